/* SPDX-License-Identifier: MIT */
/* STREAMs in the scenario test (see simworld.h): letters without their ends.
 * What was accepted must travel byte by byte and in this order, and be
 * delivered so; where each letter ends only the test knows.  It makes no
 * choice of its own. */
#include <stdlib.h>

#include "support/simparts.h"

/* Where a letter ends in the stream. */
typedef struct sim_mark {
  uint64_t end;
  uint32_t seq;
} sim_mark_t;

typedef struct sim_raw {
  uint8_t* bytes; /* of all letters that were accepted */
  size_t len;
  size_t cap;
  sim_mark_t* marks;
  size_t mark_count;
  size_t mark_cap;
  size_t at;        /* bytes that have entered the network, */
  size_t handed;    /* and letters, */
  size_t delivered; /* and those that its reader has */
  size_t letters;
} sim_raw_t;

static void* grown(void* old, size_t* cap, size_t need, size_t size) {
  if (need <= *cap) return old;
  *cap = need * 2;
  void* more = realloc(old, *cap * size);
  sim_require(more != NULL);
  return more;
}

void sim_stream_claim(sim_dir_t* dir) {
  dir->raw = (sim_raw_t*) calloc(1, sizeof *dir->raw);
  sim_require(dir->raw != NULL);
}

void sim_stream_dispose(sim_dir_t* dir) {
  if (dir->raw == NULL) return;
  free(dir->raw->bytes);
  free(dir->raw->marks);
  free(dir->raw);
}

/* ---- sending ------------------------------------------------------------- */

void sim_stream_add(sim_sock_t* k, sim_dir_t* dir, const mcq_frame_t* frames,
                    size_t count) {
  sim_raw_t* raw = dir->raw;
  for (size_t i = 0; i < count; i++) {
    raw->bytes = (uint8_t*) grown(raw->bytes, &raw->cap,
                                  raw->len + frames[i].len + 1, 1);
    if (frames[i].len != 0)
      memcpy(raw->bytes + raw->len, frames[i].data, frames[i].len);
    raw->len += frames[i].len;
  }
  raw->marks = (sim_mark_t*) grown(raw->marks, &raw->mark_cap,
                                   raw->mark_count + 1, sizeof *raw->marks);
  raw->marks[raw->mark_count++] = (sim_mark_t){raw->len, k->letters - 1};
}

void sim_stream_retract(sim_sock_t* k, sim_dir_t* dir) {
  sim_raw_t* raw = dir->raw;
  sim_require(raw->marks[raw->mark_count - 1].seq == k->letters - 1);
  raw->mark_count--;
  raw->len =
      raw->mark_count == 0 ? 0 : (size_t) raw->marks[raw->mark_count - 1].end;
  sim_require(raw->at <= raw->len);
}

bool sim_stream_feed(sim_dir_t* dir, const uint8_t* data, size_t len) {
  sim_raw_t* raw = dir->raw;
  sim_sock_t* k = dir->sock;
  if (len > raw->len - raw->at)
    sim_fail("socket %u: bytes that nobody sent", k->number);
  if (memcmp(raw->bytes + raw->at, data, len) != 0)
    sim_fail("socket %u: other bytes than were sent", k->number);
  raw->at += len;
  size_t before = raw->handed;
  while (raw->handed < raw->mark_count &&
         raw->marks[raw->handed].end <= raw->at) {
    uint8_t* fate = &k->fates[raw->marks[raw->handed++].seq].flags;
    sim_require((*fate & SIM_HANDED) == 0);
    *fate |= SIM_HANDED;
    k->handed++;
  }
  return raw->handed != before;
}

/* ---- arriving ------------------------------------------------------------ */

static void deliver_letters(const sim_sock_t* k, const sim_dir_t* in) {
  sim_raw_t* raw = in->raw;
  size_t before = raw->letters;
  while (raw->letters < raw->mark_count &&
         raw->marks[raw->letters].end <= raw->delivered) {
    uint8_t* fate = &in->sock->fates[raw->marks[raw->letters++].seq].flags;
    sim_require((*fate & SIM_DELIVERED) == 0 && (*fate & SIM_HANDED) != 0);
    *fate |= SIM_DELIVERED;
    k->world->delivered++;
  }
  if (raw->letters > before + 1) k->world->sights->merged++;
  if (raw->letters == 0 ? raw->delivered != 0
                        : raw->marks[raw->letters - 1].end != raw->delivered)
    k->world->sights->torn++;
}

void sim_stream_chunk(sim_sock_t* k, const sim_peer_t* p,
                      const mcq_msg_t* msg) {
  const sim_dir_t* in = &p->record->dir[!p->side];
  sim_raw_t* raw = in->raw;
  mcq_frame_t f = mcq_msg_frame(msg, 0);
  sim_require(mcq_msg_count(msg) == 1 && f.len > 0);
  if (raw == NULL) return; /* of somebody who speaks ZMTP */
  if (raw->delivered + f.len > p->record->conn->pipe[!p->side].read)
    sim_fail("socket %u: bytes before they have come", k->number);
  if (memcmp(raw->bytes + raw->delivered, f.data, f.len) != 0)
    sim_fail("socket %u: other bytes than were sent to it", k->number);
  raw->delivered += f.len;
  sim_log(sim_net_at(k), "socket %u got %zu bytes", k->number, f.len);
  deliver_letters(k, in);
}

bool sim_stream_all_read(const sim_peer_t* p) {
  const sim_raw_t* raw = p->record->dir[!p->side].raw;
  return raw == NULL || raw->delivered == p->record->conn->pipe[!p->side].read;
}

bool sim_stream_all_passed(const sim_peer_t* p) {
  const sim_raw_t* raw = p->record->dir[!p->side].raw;
  return raw == NULL || raw->delivered == raw->at;
}

/* ---- what only they know ------------------------------------------------- */

static int code_of(const sim_sock_t* k, const sim_peer_t* p) {
  if (sim_leaving(k)) return MCQ_ECLOSED;
  return p->up && !p->ending ? 0 : MCQ_EPEERGONE;
}

/* Accepted, and there is nothing to hand over. */
void sim_stream_nothing(sim_sock_t* k, const sim_peer_t* p) {
  mcq_frame_t frames[2] = {{"", 0}, {NULL, 0}};
  int expected = code_of(k, p);
  sim_begin(k->world);
  int rc = mcq_send_to(k->s, p->handle, frames, 2);
  sim_end(k->world);
  sim_log(sim_net_at(k), "socket %u says nothing: %d", k->number, rc);
  if (sim_starved(k, rc)) return;
  if (expected == 0)
    sim_require(rc == 0 || rc == MCQ_EAGAIN || k->world->lossy);
  else
    sim_require(rc == expected || (p->up && p->brief));
  if (!k->closed) sim_books_refused(k, rc, p->handle.epoch);
  if (rc != 0) return;
  k->accepted++;
  k->handed++;
  k->world->delivered++;
}

void sim_stream_end(sim_sock_t* k, sim_peer_t* p, bool by_name) {
  mcq_frame_t frames[2] = {{p->id, p->id_len}, {"", 0}};
  int expected = p->up ? 0 : by_name ? MCQ_EHOSTUNREACH : MCQ_EPEERGONE;
  if (sim_leaving(k)) expected = MCQ_ECLOSED;
  sim_begin(k->world);
  int rc = by_name ? mcq_send(k->s, frames, 2)
                   : mcq_send_to(k->s, p->handle, frames + 1, 1);
  sim_end(k->world);
  sim_log(sim_net_at(k), "socket %u ends %llu: %d", k->number,
          (unsigned long long) p->handle.epoch, rc);
  sim_require(rc == expected);
  if (!k->closed) sim_books_refused(k, rc, 0);
  if (rc == 0) p->ending = true;
}
