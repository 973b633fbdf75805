/* SPDX-License-Identifier: MIT */
/* A server, a client that reaches it through a relay that misbehaves, and a
 * bystander that reaches it without.  Numbered messages go on two lanes: 0
 * through the relay, 1 beside it.  One row of the table is one play; whatever
 * the line does, what arrives is in order and came once, connections begin
 * and end in pairs under rising epochs, and the other lane notices nothing.
 *
 * Uses the public interface alone.  The program that plays says how time
 * passes and may put sockets of another library in a party's place. */
#ifndef TEST_SUPPORT_CROSSING_H
#define TEST_SUPPORT_CROSSING_H

#include "monocoque.h"
#include "support/relay.h"

#define NUMBERS_MAX 4096
#define BODY ((size_t) 90)
#define LARGE_BODY ((size_t) 7 << 20)

typedef struct pairing {
  const char* name;
  int server;
  int client;
  bool server_drives; /* and not the client */
  bool echoes;        /* what is sent comes back */
  bool keeps;         /* what is queued for a lost connection waits */
  bool alone;         /* there is no room for a bystander */
  bool asks;          /* its messages come in envelopes */
} pairing_t;

extern const pairing_t pairings[];
extern const size_t pairing_count;

typedef enum outcome {
  SERVED,  /* nobody notices: all arrives and no connection ends */
  AGAIN,   /* lost, made again, and served */
  REFUSED, /* the client gives up for good; connected anew it is served */
  EITHER   /* it is not known whether the other library comes again */
} outcome_t;

/* Where a fault may be played. */
enum {
  WITH_MESSAGES = 1, /* only the way that messages are sent, */
  WITH_ANSWERS = 2,  /* or come back */
  ONLY_KEPT = 4,     /* only where what is queued waits */
  ONLY_ROUTER = 8    /* where who comes again takes his place over */
};

typedef struct row {
  const char* name;
  outcome_t outcome;
  unsigned
      hello; /* so many new connections; 0: one in the middle of the talk */
  relay_fault_t fault; /* no ways: once each way */
  int code;            /* of who hears it; 0: depends */
  unsigned spoiled;    /* messages that arrive other than they were sent */
  unsigned where;
  bool large; /* the message is */
  bool waits; /* somebody may have to wait for the end of the handshake */
} row_t;

extern const row_t rows[];
extern const size_t row_count;

typedef struct crossing crossing_t;
typedef struct party party_t;

typedef struct lane {
  uint32_t sent;
  uint32_t next_far; /* the lowest number that may still come there, */
  uint32_t next_near;
  uint32_t base;      /* what was sent before is not waited for */
  uint32_t safe_from; /* from here on none may be lost */
  uint32_t limit;
  unsigned pause; /* of the bystander's: until that turn */
  bool ready;     /* who sends has somebody to send to */
  bool got_far[NUMBERS_MAX];
  bool got_near[NUMBERS_MAX];
} lane_t;

struct party {
  crossing_t* x;
  const char* name;
  int type;
  int lane; /* -1: both */
  bool serves;
  mcq_socket_t* s; /* NULL: it is of another library */
  mcq_endpoint_t end;
  bool there[2]; /* between up and down */
  mcq_peer_t peer[2];
  unsigned ups[2], downs[2];
  uint64_t last_epoch;
  int code; /* of the first failure since the fault */
  bool asking;
  bool stopped;
  void* theirs;
};

struct crossing {
  const pairing_t* pairing;
  const row_t* row;
  relay_fault_t fault; /* the row's, its ways settled */
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  relay_t relay;
  party_t server, client, beside;
  lane_t lane[2];
  unsigned spoiled;
  uint32_t large; /* the number of the large message */
  bool armed;
  bool closing;
  bool left;
  uint64_t noise; /* counts whatever happens */
  unsigned turns;
  int64_t request_ms, handshake_ms;
  int request_flags;
  char uri[128]; /* the server's */

  /* Of who plays.  One step of the loop: */
  void (*turn)(crossing_t* x);
  /* Instead of a socket of ours, for parties that have `theirs`: */
  void (*open)(party_t* p);
  int (*send)(party_t* p, const mcq_frame_t* frames, size_t count);
  void (*part)(party_t* p); /* disconnects, */
  void (*join)(party_t* p); /* connects */
};

/* Somebody on this lane wants what `p`, who has no socket of ours, sends. */
void crossing_ready(party_t* p, int lane);

/* Whether the row makes sense there. */
bool crossing_fits(const pairing_t* pairing, const row_t* row, unsigned way);

/* The ways it is played: one after the other, or both at once. */
unsigned crossing_ways(const row_t* row, unsigned out[2]);

/* All of it.  `x` is zeroed but for the program's own, the context is open in
 * the loop; both are closed when it returns. */
void crossing_play(crossing_t* x);

/* A message came to `p`: for those that have no socket of ours.  True: it is
 * to go back as it is. */
bool crossing_heard(party_t* p, const mcq_frame_t* frames, size_t count);

#endif
