/* SPDX-License-Identifier: MIT */
/* What the parts of the scenario test's model (simworld.h) have in common and
 * its driver has no use for. */
#ifndef TEST_SUPPORT_SIMPARTS_H
#define TEST_SUPPORT_SIMPARTS_H

#include "support/simworld.h"

/* ---- calls and callbacks ------------------------------------------------- */

static inline sim_net_t* sim_net_at(const sim_sock_t* k) {
  return &k->world->net;
}

static inline void sim_begin(sim_world_t* w) {
  sim_require(!w->net.calling);
  w->net.calling = true;
}

static inline void sim_end(sim_world_t* w) {
  w->net.calling = false;
}

static inline sim_sock_t* sim_entered(mcq_socket_t* s) {
  sim_sock_t* k = (sim_sock_t*) mcq_socket_data(s);
  if (sim_net_at(k)->calling) sim_fail("a callback inside a call");
  sim_require(k->s == s && !k->closed);
  return k;
}

static inline void sim_maybe(sim_sock_t* k) {
  sim_world_t* w = k->world;
  if (w->whim != NULL && sim_odds(&w->net, w->act)) w->whim(k);
}

static inline bool sim_starved(const sim_sock_t* k, int rc) {
  return rc == MCQ_ENOMEM && k->world->net.starving;
}

/* Who wrote what was seen: not whose connection it was seen on, where a proxy
 * handed it on. */
static inline sim_sock_t* sim_origin(const sim_sock_t* k,
                                     const sim_seen_t* seen) {
  return k->world->socks[seen->sender];
}

/* ---- simworld.c ---------------------------------------------------------- */
sim_record_t* sim_record_of(sim_world_t* w, sim_conn_t* conn);
/* Messages that have come out of the network on the way to `p`. */
size_t sim_whole_read(const sim_peer_t* p);

/* ---- simsock.c ----------------------------------------------------------- */
sim_peer_t* sim_find_peer(sim_sock_t* k, mcq_peer_t handle);
sim_peer_t* sim_find_name(sim_sock_t* k, const void* id, size_t len);
sim_ending_t* sim_find_end(sim_sock_t* k, mcq_endpoint_t id);

/* What the other side of a connection sees of it while it is up, or NULL. */
static inline sim_peer_t* sim_mirror(const sim_peer_t* p) {
  sim_sock_t* other = p->record->dir[!p->side].sock;
  for (size_t i = 0; other != NULL && i < other->peer_count; i++)
    if (other->peers[i].up && other->peers[i].record == p->record &&
        other->peers[i].side != p->side)
      return &other->peers[i];
  return NULL;
}

/* ---- simbooks.c ---------------------------------------------------------- */

bool sim_books_spreads(const sim_sock_t* k); /* to all that want it */

/* How a letter is handed in. */
typedef struct sim_parcel {
  const mcq_frame_t* head; /* frames to go before it */
  size_t head_count;
  const sim_peer_t* to; /* NULL: whoever it is for */
  bool by_handle;
  int otherwise;        /* what it must say, if not 0 */
  const sim_ask_t* ask; /* what it answers */
  mcq_request_t* token; /* and with what */
  bool rude;            /* in no form at all */
} sim_parcel_t;

int sim_books_send(sim_sock_t* k, const sim_parcel_t* how);
uint32_t sim_books_letter(sim_sock_t* k); /* the next one */
void sim_books_refused(sim_sock_t* k, int rc, uint64_t epoch);
/* A whole message has left a socket. */
void sim_books_handed(const sim_record_t* record, sim_dir_t* dir,
                      sim_seen_t* seen);
void sim_books_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg);
void sim_books_drained(mcq_socket_t* s);
/* Passes over those first `limit` messages on the way to `p` that are of no
 * use to its socket. */
void sim_books_skip(sim_sock_t* k, const sim_peer_t* p, size_t limit);

/* ---- simsums.c ----------------------------------------------------------- */
void sim_books_settle(const sim_sock_t* k, uint64_t lost);
void sim_books_audit(sim_sock_t* k);
void sim_books_catch_up(sim_sock_t* k);
sim_letter_t sim_letter_of(const sim_sock_t* sender, uint32_t seq);

/* ---- simstats.c ---------------------------------------------------------- */
void sim_stats_event(sim_sock_t* k, const mcq_event_t* e);
/* At any time, and when it has closed. */
void sim_stats_audit(sim_sock_t* k, const mcq_stats_t* stats);
void sim_stats_closed(sim_sock_t* k, const mcq_stats_t* stats);
/* All sockets that a context ever had. */
void sim_stats_seat(const sim_seat_t* seat);

/* ---- simtimers.c --------------------------------------------------------- */
void sim_timers_audit(const sim_seat_t* seat);

/* ---- simstale.c ---------------------------------------------------------- */
/* A peer is up; it is about to be down. */
void sim_stale_up(sim_sock_t* k, const sim_peer_t* p);
void sim_stale_down(const sim_sock_t* k, const sim_peer_t* p,
                    const mcq_peer_info_t* info);
void sim_stale_audit(sim_sock_t* k);

/* ---- simmail.c ----------------------------------------------------------- */
/* What was sent meanwhile is in the socket's books now. */
void sim_mail_adopt(sim_sock_t* k);
void sim_mail_audit(const sim_sock_t* k, const mcq_stats_t* stats);
/* What the close could not send any more. */
uint64_t sim_mail_lost(const sim_sock_t* k, const mcq_stats_t* stats);
void sim_mail_closed(const sim_sock_t* k);

/* ---- simlimits.c --------------------------------------------------------- */
void sim_limits_event(sim_sock_t* k, const mcq_event_t* ev);
void sim_limits_audit(const sim_sock_t* k, const mcq_stats_t* stats);
/* A peer was shown out because it is silent. */
void sim_limits_idle(const sim_sock_t* k, const sim_peer_t* p,
                     const char* text);

/* ---- simtopics.c --------------------------------------------------------- */
/* What a reader is to get: its own subscriptions, or those of a proxy's other
 * side. */
uint32_t sim_topics_wants(const sim_sock_t* k);
/* Peers that are to get a message, by what the hub says. */
size_t sim_topics_meant(const sim_sock_t* k, uint32_t words);
/* Whether a subscriber may have thrown this message away. */
bool sim_topics_unwanted(const sim_sock_t* k, const sim_seen_t* seen,
                         uint32_t words);
/* Whether it may have got it; the same of a welcome. */
void sim_topics_wanted(const sim_sock_t* k, const sim_dir_t* dir,
                       uint32_t words);
void sim_topics_welcomed(const sim_sock_t* k, uint32_t words);
/* An XPUB has a new peer. */
void sim_topics_welcome(sim_sock_t* k);
void sim_topics_notice(sim_sock_t* k, mcq_peer_t peer, mcq_frame_t frame);
void sim_topics_event(sim_sock_t* k, const mcq_event_t* e);
void sim_topics_left(sim_sock_t* k, sim_peer_t* p);
void sim_topics_audit(sim_sock_t* k);
/* Nothing is under way any more. */
void sim_topics_quiet(sim_sock_t* k);

/* ---- simasks.c ----------------------------------------------------------- */
void sim_asks_asked(sim_sock_t* k, uint32_t question);
void sim_asks_failed(mcq_socket_t* s, int code);
/* Somebody has got a question; a REQ its answer. */
void sim_asks_question(sim_sock_t* k, sim_peer_t* p, const sim_seen_t* seen,
                       const mcq_msg_t* msg);
void sim_asks_answer(sim_sock_t* k, const sim_peer_t* p,
                     const sim_seen_t* seen);
/* Whether a REQ may have thrown this message away. */
bool sim_asks_unwanted(const sim_sock_t* k, const sim_seen_t* seen);
/* Its context goes: so must what was taken. */
void sim_asks_forget(sim_sock_t* k);
void sim_asks_audit(const sim_sock_t* k);
void sim_asks_settle(sim_sock_t* k); /* answers all there is */
void sim_asks_quiet(const sim_sock_t* k);

/* ---- simproxy.c ---------------------------------------------------------- */
/* A whole message of somebody else's has left a socket. */
void sim_bridge_handed(sim_dir_t* dir, const sim_seen_t* seen);
/* What the proxy did is in the socket's books now. */
void sim_bridge_adopt(sim_sock_t* k);
/* Before and after a socket is closed, or its context. */
void sim_bridge_closing(sim_bridge_t* b);
void sim_bridge_closed(sim_bridge_t* b, sim_sock_t* k);
void sim_bridge_dispose(sim_bridge_t* b);

/* ---- simstream.c --------------------------------------------------------- */
/* From now on a STREAM writes there. */
void sim_stream_claim(sim_dir_t* dir);
/* The last letter, about to be sent there; it was refused. */
void sim_stream_add(sim_sock_t* k, sim_dir_t* dir, const mcq_frame_t* frames,
                    size_t count);
void sim_stream_retract(sim_sock_t* k, sim_dir_t* dir);
/* Bytes enter the network; true: with the end of a letter. */
bool sim_stream_feed(sim_dir_t* dir, const uint8_t* data, size_t len);
void sim_stream_chunk(sim_sock_t* k, const sim_peer_t* p, const mcq_msg_t* msg);
/* All that came out of the network was delivered; all that went in. */
bool sim_stream_all_read(const sim_peer_t* p);
bool sim_stream_all_passed(const sim_peer_t* p);
void sim_stream_dispose(sim_dir_t* dir);

#endif
