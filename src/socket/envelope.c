/* SPDX-License-Identifier: MIT */
/* Envelopes, put on and measured (see envelope.h).  Copies no payload. */
#include "socket/envelope.h"

void mcq__wrapper_dispose(mcq__wrapper_t* w, mcq__mem_t* mem) {
  mcq__mem_free(mem, w->frames);
  mcq__mem_free(mem, w->slices);
  *w = (mcq__wrapper_t){0};
}

static int wrap_frames(mcq__wrapper_t* w, mcq__mem_t* mem,
                       const mcq__slice_t* head, size_t count,
                       const mcq__body_t* body) {
  void* frames = w->frames;
  int rc = mcq__mem_grow(mem, &frames, &w->frames_cap, count + body->count,
                         sizeof *w->frames);
  if (rc != 0) return rc;
  w->frames = (mcq_frame_t*) frames;
  for (size_t i = 0; i < count; i++)
    w->frames[i] = (mcq_frame_t){head[i].data, head[i].len};
  for (size_t i = 0; i < body->count; i++)
    w->frames[count + i] = body->frames[i];
  return 0;
}

static int wrap_slices(mcq__wrapper_t* w, mcq__mem_t* mem,
                       const mcq__slice_t* head, size_t count,
                       const mcq__body_t* body) {
  void* slices = w->slices;
  int rc = mcq__mem_grow(mem, &slices, &w->slices_cap, count + body->count,
                         sizeof *w->slices);
  if (rc != 0) return rc;
  w->slices = (mcq__slice_t*) slices;
  for (size_t i = 0; i < count; i++) w->slices[i] = head[i];
  for (size_t i = 0; i < body->count; i++)
    w->slices[count + i] = body->slices[i];
  return 0;
}

int mcq__envelope_wrap(mcq__wrapper_t* w, mcq__mem_t* mem,
                       const mcq__slice_t* head, size_t count,
                       const mcq__body_t* body, mcq__body_t* out) {
  bool plain = body->frames != NULL;
  if (count > SIZE_MAX / 2 || body->count > SIZE_MAX / 2) return MCQ_ENOMEM;
  int rc = plain ? wrap_frames(w, mem, head, count, body)
                 : wrap_slices(w, mem, head, count, body);
  *out = (mcq__body_t){.frames = plain ? w->frames : NULL,
                       .slices = plain ? NULL : w->slices,
                       .count = count + body->count};
  return rc;
}

size_t mcq__envelope_count(const mcq_msg_t* msg) {
  for (size_t i = 0; i + 1 < msg->count; i++)
    if (msg->frames[i].len == 0) return i + 1;
  return 0;
}
