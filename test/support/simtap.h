/* SPDX-License-Identifier: MIT */
/* Letters and where they are seen: the messages of the scenario test, each of
 * which tells who sent it and as which of his, and a tap on one direction of
 * a connection that finds them in the stream.  The wire is read here
 * independently of src/zmtp. */
#ifndef TEST_SUPPORT_SIMTAP_H
#define TEST_SUPPORT_SIMTAP_H

#include "monocoque.h"
#include "support/simnet.h"

#define SIM_FRAMES_MAX 60
#define SIM_LETTER_MAX ((size_t) 200000)

typedef enum sim_kind {
  SIM_PLAIN,     /* anything */
  SIM_MARKED,    /* never anonymous */
  SIM_PUBLISHED, /* its first frame begins with a topic */
  SIM_ENVELOPED, /* most have an envelope that an empty frame ends */
  SIM_ANSWER     /* its first frame tells what it answers */
} sim_kind_t;

/* Enough to make the letter anew. */
typedef struct sim_letter {
  uint64_t key; /* of the run */
  uint32_t sender;
  uint32_t seq;
  sim_kind_t kind;
  uint32_t asker; /* SIM_ANSWER: of whose question, and which */
  uint32_t question;
} sim_letter_t;

/* What is subscribed to, by number; masks of them have a bit each. */
#define SIM_WORDS 11

mcq_frame_t sim_word(size_t i);

/* The words that the first frame of a SIM_PUBLISHED letter begins with. */
uint32_t sim_letter_words(const sim_letter_t* letter);

/* What an XPUB says to everybody first: a word and whose it is. */
#define SIM_WELCOME UINT32_MAX /* its seq */
#define SIM_WELCOME_WORD 1
mcq_frame_t sim_welcome(uint32_t sender); /* good until the next call */
uint32_t sim_welcome_words(void);         /* that it begins with */

/* A letter of empty frames alone cannot tell whose it is. */
#define SIM_ANONYMOUS UINT32_MAX

/* The frames of a letter, `frames[0]` the first.  Good until the next call.
 * Returns how many. */
size_t sim_letter_frames(const sim_letter_t* letter,
                         mcq_frame_t frames[SIM_FRAMES_MAX]);

/* Frames of the letter up to and with the first empty one that others follow;
 * 0: there is none. */
size_t sim_letter_envelope(const sim_letter_t* letter);

/* Whether `msg` behind its first `offset` frames is, byte for byte, the letter
 * without its first `skip`. */
bool sim_letter_is(const sim_letter_t* letter, size_t skip,
                   const mcq_msg_t* msg, size_t offset);

/* A message that has passed the tap. */
typedef struct sim_seen {
  uint64_t end; /* bytes of the stream up to and with it */
  uint32_t sender;
  uint32_t seq;
  uint32_t frames;
  uint64_t step; /* when, in steps of the model */
} sim_seen_t;

typedef struct sim_tap {
  uint64_t at; /* bytes that have passed */
  uint8_t head[9];
  size_t head_len;
  uint64_t body;    /* bytes of the frame that are still to come */
  uint8_t peek[48]; /* its first bytes */
  size_t peek_len;
  bool in_body;
  sim_seen_t now;   /* being put together */
  sim_seen_t* seen; /* whole ones */
  size_t count;
  size_t cap;
} sim_tap_t;

void sim_tap_feed(sim_tap_t* tap, const uint8_t* data, size_t len);
void sim_tap_dispose(sim_tap_t* tap);

#endif
