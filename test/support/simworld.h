/* SPDX-License-Identifier: MIT */
/* The scenario test's model: contexts and sockets on a simulated network,
 * what the test did to them and what they told it.  Whatever contradicts the
 * promises of monocoque.h ends the program (sim_fail).
 *
 *   world   all of one seed: network, loops, contexts, sockets (simworld.c)
 *   sock    one socket as the model sees it
 *   peer    one connection of a sock, from its up to its down
 *   record  one connection on the network, kept when it is gone
 *
 * simsock.c is a socket's life and its peers', simbooks.c its messages,
 * simsums.c whether they add up, simstats.c whether the library says so,
 * simtopics.c who subscribed to what, simasks.c who asked what, simproxy.c two
 * sockets that are joined, simstream.c bytes without ends, simtimers.c what is
 * set to ring, simstale.c handles that are good no more, simlimits.c who is
 * over a limit, simmail.c what is posted. */
#ifndef TEST_SUPPORT_SIMWORLD_H
#define TEST_SUPPORT_SIMWORLD_H

#include "ctx.h"
#include "support/alloc.h"
#include "support/simtap.h"

#define SIM_CTXS 4
#define SIM_SOCKS 24
#define SIM_ENDS 16
#define SIM_EVENTS 32 /* kinds there may be */

typedef struct sim_world sim_world_t;
typedef struct sim_sock sim_sock_t;

/* What a test has to have seen to be worth anything. */
typedef struct sim_sights {
  uint64_t crumbs;    /* reads of one byte */
  uint64_t halves;    /* that end inside a message */
  uint64_t bunches;   /* that bring the ends of two messages or more */
  uint64_t cut_early; /* directions cut inside the greeting, */
  uint64_t cut_clean; /* right behind a message, */
  uint64_t cut_torn;  /* anywhere else */
  uint64_t starved;   /* allocations that failed */
  uint64_t missed;    /* messages that a slow peer did not get, */
  uint64_t shed;      /* that were given up for newer ones, */
  uint64_t requeued;  /* that went to another peer */
  uint64_t barriers;  /* subscriptions heard to be in force */
  uint64_t notices;   /* messages about subscriptions */
  uint64_t answers;   /* questions answered, */
  uint64_t failures;  /* given up, */
  uint64_t stale;     /* answered when the asker was gone */
  uint64_t drained;   /* sockets, before they were closed */
  uint64_t promised;  /* messages told to many peers together */
  uint64_t passed;    /* messages that proxies handed on, */
  uint64_t lapsed;    /* and that nobody took from them */
  uint64_t welcomes;  /* heard by subscribers */
  uint64_t torn;      /* chunks of streams that end inside a message, */
  uint64_t merged;    /* and that have two or more */
  uint64_t posts;     /* letters that went by a mailbox */
  uint64_t stops;     /* endpoints that gave up dialing */
  uint64_t crowds;    /* told of those that were one too many */
  uint64_t idlers;    /* shown out because they said nothing, */
  uint64_t ghosts;    /* or were dead */
} sim_sights_t;

/* Who sent the last letter that went this way through a proxy, and on which
 * connection it had come there. */
typedef struct sim_onward {
  const struct sim_record* way;
  uint64_t end; /* where in its stream that was: no earlier one may follow */
} sim_onward_t;

typedef struct sim_dir {
  sim_tap_t tap;
  sim_sock_t* sock;      /* who writes; known when it is up */
  mcq_endpoint_t end;    /* of his, 0: accepted */
  uint32_t force;        /* the writer has been told these words */
  uint32_t made;         /* words that the writer subscribed the reader to */
  uint32_t next_seq;     /* no earlier letter may follow */
  size_t delivered;      /* of the tap's messages, by the reader */
  int refusal;           /* why the writer's side did not take the peer in */
  uint64_t handed_at[2]; /* when the last message of it went out, ms, and one
                            at some other time before that; */
  uint64_t read_at[2];   /* the same of those that came in */
  struct sim_raw* raw;   /* a STREAM writes; else NULL */
  sim_onward_t onward[SIM_SOCKS]; /* by sender */
} sim_dir_t;

typedef struct sim_record {
  sim_conn_t* conn; /* NULL: gone */
  sim_dir_t dir[2];
} sim_record_t;

typedef struct sim_peer {
  mcq_peer_t handle;
  sim_record_t* record;
  int side; /* ours */
  uint8_t id[255];
  size_t id_len;
  bool up;
  bool paused;
  bool ending;               /* we asked for its end */
  bool brief;                /* its endpoint was closing before it was up */
  bool tampered;             /* it is not alone in saying what it wants */
  uint32_t holds;            /* words that it is subscribed to here, */
  uint32_t asked;            /* those we were told of by messages */
  uint64_t since[SIM_WORDS]; /* it is or is not, in steps */
  mcq_endpoint_t end;        /* it was dialed by; 0: accepted */
  uint64_t up_at;            /* ms */
} sim_peer_t;

typedef struct sim_ending {
  mcq_endpoint_t id;
  char uri[64];
  bool connecting;
  bool closing;
  bool stopped;          /* refused for good */
  uint32_t made;         /* words that peers there were subscribed to by us */
  unsigned closed;       /* events */
  uint32_t next_seq;     /* no earlier letter may follow, on any connection */
  bool must_stop;        /* before it dials again */
  uint64_t tries;        /* in a row, */
  uint64_t since;        /* the first of them: ms; */
  uint64_t tries_before; /* the same of the row before */
  uint64_t since_before;
} sim_ending_t;

enum {
  SIM_ACCEPTED = 1,
  SIM_HANDED = 2,
  SIM_DELIVERED = 4,
  SIM_DROPPED = 8, /* of no use to who gets it, or to be given up by him */
  SIM_DIRECT = 16, /* sent by handle */
  SIM_ONWARD = 32  /* handed on by a proxy */
};

/* What became of a letter. */
typedef struct sim_fate {
  uint8_t flags;
  uint8_t envelope;             /* frames put before it on the way */
  uint32_t asker;               /* of the question it answers, */
  uint32_t question;            /* and which */
  bool spread;                  /* it went on several connections: */
  const struct sim_record* way; /* on this one last, from its sender */
  uint64_t way_end;             /* bytes there up to and with it */
  uint64_t step;                /* and when */
  uint32_t got;                 /* by these, a bit for each number */
} sim_fate_t;

/* A question that somebody is to answer. */
typedef struct sim_ask {
  mcq_request_t* token; /* NULL: in hand, or a ROUTER's */
  mcq_peer_t peer;
  sim_sock_t* asker;
  uint32_t question;
  uint8_t id[4]; /* REQ's, for a ROUTER */
  size_t envelope;
} sim_ask_t;

#define SIM_HELD 16

/* A socket's mailbox, by which all it says goes. */
typedef struct sim_mail {
  mcq_mailbox_t* box; /* NULL: there is none, or nobody holds it */
  bool used;          /* there is or was one */
  bool starved;       /* it was full, and on_drain has not come */
  uint64_t hwm;
  uint64_t hwm_bytes;
  uint64_t posted; /* letters */
  uint64_t failed; /* of these, as on_failed told */
  uint64_t calls;  /* posted, */
  uint64_t called; /* and come */
} sim_mail_t;

struct sim_sock {
  sim_world_t* world;
  uint32_t number;
  struct sim_seat* ctx;
  mcq_socket_t* s; /* NULL: there is none */
  mcq_socket_options_t options;
  char name[32]; /* routing id; may be empty */
  sim_peer_t* peers;
  size_t peer_count;
  size_t peer_cap;
  size_t up;
  sim_ending_t ends[SIM_ENDS];
  size_t end_count;
  bool drains; /* it was told to, */
  bool waits;  /* for as long as it takes */
  bool drained;
  uint64_t drain_lost; /* until on_drained, */
  uint64_t mail_lost;  /* of these: posted, and there was no room */
  bool closing;
  bool with_cb; /* closed by us: on_close will tell */
  bool closed;
  bool paused;
  uint64_t moved_at; /* when a close began or bytes left at last */
  /* A send was refused and no on_drain has come. */
  bool wants_drain;
  uint64_t refused_epoch; /* by whom alone, or 0: by all that were up */
  uint64_t refused_last;  /* the last epoch up then */
  /* The next events that must come. */
  mcq_peer_t expect_up;
  mcq_endpoint_t expect_end; /* of that one */
  mcq_peer_t expect_down;
  bool expect_successor; /* of the id below */
  uint8_t successor[255];
  size_t successor_len;
  /* The books. */
  sim_kind_t kind;
  sim_fate_t* fates; /* by seq */
  uint32_t letters;
  size_t fate_cap;
  bool sending; /* the last letter is being handed in */
  uint64_t accepted;
  uint64_t received;
  uint64_t refused;
  uint64_t unroutable;
  uint64_t handed; /* whole messages that the network took */
  uint64_t unsure;
  uint64_t lost;               /* before the close */
  uint64_t shed;               /* accepted and given up for a newer one */
  uint64_t missed;             /* never accepted by a slow peer */
  uint64_t dropped_told;       /* by events */
  uint64_t events[SIM_EVENTS]; /* told, by kind */
  uint64_t peak;               /* what waited for a peer, as far as was seen */
  bool displaced;              /* one of its peers was, at some time */
  uint64_t failures;
  /* Subscriptions: of ours, of others. */
  unsigned wants[SIM_WORDS];
  uint64_t changed[SIM_WORDS]; /* at this step at last */
  uint32_t ever;
  uint32_t blurred; /* cancelled, and wanted still: publishers need not know */
  uint32_t told;    /* topics with a subscriber, as messages tell */
  int owed[SIM_WORDS]; /* cancellations for peers that are gone */
  /* Questions. */
  bool waiting;
  uint32_t question;
  uint64_t asked_at;
  bool serves; /* a ROUTER that answers */
  bool rude;   /* and not always in good form */
  bool in_hand;
  sim_ask_t hand;
  sim_ask_t held[SIM_HELD];
  size_t held_count;
  struct sim_bridge* bridge; /* the proxy it is or was part of */
  bool welcomes;             /* XPUB: says so to everybody */
  uint64_t welcomed;         /* how often that was accepted */
  sim_mail_t mail;
  uint64_t crowded; /* who was one too many, as told */
};

/* Two sockets, of one context, that are joined from their first day to the end
 * of either. */
typedef struct sim_bridge {
  sim_world_t* world;
  mcq_proxy_t* proxy; /* NULL: there is none, or not any more */
  sim_sock_t* front;
  sim_sock_t* back;
  bool open;
  bool paused;
  uint64_t passed; /* in all, when it was let go */
} sim_bridge_t;

typedef struct sim_seat {
  sim_world_t* world;
  mcq_ctx_t* ctx; /* NULL: closed */
  uv_loop_t* loop;
  uint64_t last_epoch;
  bool closing;
  bool closed;
} sim_seat_t;

struct sim_world {
  sim_net_t net;
  uint64_t seed;
  test_alloc_t alloc;
  uv_loop_t loops[SIM_CTXS];
  size_t loop_count;
  sim_seat_t seats[SIM_CTXS];
  size_t seat_count;
  sim_sock_t* socks[SIM_SOCKS];
  size_t sock_count;
  sim_record_t** records; /* by connection id */
  size_t record_cap;
  unsigned wraps;  /* foreign memory out there */
  unsigned act;    /* odds to do something inside a callback, */
  unsigned prompt; /* and to answer what is asked there */
  uint64_t turns;
  uint64_t delivered;
  uint64_t skipped; /* of no use to who received them */
  uint64_t step;
  bool settling; /* what is asked is answered at once */
  bool lossy;    /* connections may break */
  uint64_t calm; /* since when all is well, ms */
  sim_bridge_t bridge;
  void (*whim)(sim_sock_t* sock); /* what is done then */
  sim_sights_t* sights;
};

/* ---- the world ----------------------------------------------------------- */
/* `joined`: one socket may wait for another of the same context, so that these
 * share no bytes that may wait. */
void sim_world_open(sim_world_t* w, uint64_t seed, size_t seats, size_t loops,
                    bool joined);
/* Everything is closed: asserts that nothing is left. */
void sim_world_dispose(sim_world_t* w);

/* Runs until virtual time `until`. */
void sim_world_run(sim_world_t* w, uint64_t until);
/* Runs until `done` says so, at most until `limit`; false when it did not. */
bool sim_world_wait(sim_world_t* w, bool (*done)(sim_world_t* w),
                    uint64_t limit);

/* Breaks a connection (sim_conn_cut). */
void sim_world_cut(sim_world_t* w, sim_conn_t* conn, const uint64_t after[2],
                   const int code[2]);

/* Looks through everything for contradictions. */
void sim_world_audit(sim_world_t* w);

/* ---- what the test does: life (simsock.c) -------------------------------- */
sim_sock_t* sim_sock_new(sim_world_t* w, sim_seat_t* seat,
                         const mcq_socket_options_t* options, const char* name);
int sim_sock_bind(sim_sock_t* k, const char* uri);
int sim_sock_connect(sim_sock_t* k, const char* uri,
                     const mcq_connect_options_t* options);
void sim_sock_end(sim_sock_t* k, size_t i); /* unbind or disconnect */
void sim_sock_drain(sim_sock_t* k, int64_t linger_ms);
void sim_sock_close(sim_sock_t* k);
void sim_seat_close(sim_seat_t* seat);
void sim_sock_pause(sim_sock_t* k, bool on);
void sim_peer_pause(sim_sock_t* k, sim_peer_t* p, bool on);
void sim_peer_close(sim_sock_t* k, sim_peer_t* p);
/* A peer that is up, or one that is not; NULL when there is none. */
sim_peer_t* sim_sock_peer(sim_sock_t* k, bool up);

/* ---- messages (simbooks.c) ----------------------------------------------- */
/* Sends a letter: to whom the type picks, to one peer, by name. */
int sim_sock_send(sim_sock_t* k);
int sim_sock_send_to(sim_sock_t* k, const sim_peer_t* to);
int sim_sock_send_name(sim_sock_t* k, const void* id, size_t len);

/* ---- subscriptions (simtopics.c) ----------------------------------------- */
void sim_sock_subscribe(sim_sock_t* k, size_t word, bool wanted);
void sim_peer_subscribe(sim_sock_t* k, sim_peer_t* p, size_t word, bool wanted);

/* ---- questions (simasks.c) ----------------------------------------------- */
/* The request in hand: answered, or taken out; nothing when there is none. */
void sim_sock_answer(sim_sock_t* k);
void sim_sock_take(sim_sock_t* k);
/* One that was taken: answered, or dropped. */
void sim_sock_reply(sim_sock_t* k, size_t i);
void sim_sock_drop(sim_sock_t* k, size_t i);

/* ---- proxies (simproxy.c) ------------------------------------------------ */
/* Joins them; the world has one such pair at most. */
void sim_bridge_open(sim_sock_t* front, sim_sock_t* back);
void sim_bridge_pause(sim_bridge_t* b, bool on);
/* Nobody is left on one side, so that all others wait. */
bool sim_bridge_stuck(const sim_bridge_t* b);
/* How many messages it has got from others than subscribers. */
uint64_t sim_bridge_passed(const sim_bridge_t* b);
/* Nothing is lost, nothing is under way. */
void sim_bridge_quiet(const sim_bridge_t* b);

/* ---- mailboxes (simmail.c) ----------------------------------------------- */
void sim_mail_open(sim_sock_t* k, int32_t hwm, int64_t hwm_bytes);
int sim_mail_post(sim_sock_t* k);
void sim_mail_call(sim_sock_t* k);
/* Nobody holds it any more. */
void sim_mail_release(sim_sock_t* k);
/* Nothing waits in it that need not. */
void sim_mail_quiet(const sim_sock_t* k);

/* ---- limits (simlimits.c) ------------------------------------------------ */
/* All is well since `calm`: nobody is over one. */
void sim_limits_quiet(const sim_sock_t* k, uint64_t calm);
/* Both PAIRs, and one dials the other. */
void sim_limits_pair(const sim_sock_t* k, const sim_sock_t* to);

/* ---- streams (simstream.c) ----------------------------------------------- */
/* A message of no bytes; the end of a connection as a message. */
void sim_stream_nothing(sim_sock_t* k, const sim_peer_t* p);
void sim_stream_end(sim_sock_t* k, sim_peer_t* p, bool by_name);

/* Whether it may be used from outside its callbacks: a socket that its context
 * closes goes without a word. */
static inline bool sim_sock_usable(const sim_sock_t* k) {
  return k->s != NULL && (!k->closing || k->with_cb);
}

static inline bool sim_sock_open(const sim_sock_t* k) {
  return k->s != NULL && !k->closing && !k->closed;
}

/* It takes nothing more to send. */
static inline bool sim_leaving(const sim_sock_t* k) {
  return k->closing || k->drains;
}

static inline bool sim_publishes(const sim_sock_t* k) {
  return k->options.type == MCQ_PUB || k->options.type == MCQ_XPUB;
}

static inline bool sim_subscribes(const sim_sock_t* k) {
  return k->options.type == MCQ_SUB || k->options.type == MCQ_XSUB;
}

static inline bool sim_streams(const sim_sock_t* k) {
  return k->options.type == MCQ_STREAM;
}

/* Its connection is cut, and nobody here has learned of it. */
static inline bool sim_dead(const sim_peer_t* p) {
  const sim_conn_t* conn = p->record->conn;
  return conn == NULL || (conn->cut && conn->end[p->side].broken == 0);
}

static inline bool sim_same(mcq_peer_t a, mcq_peer_t b) {
  return a.epoch == b.epoch && a.slot == b.slot;
}

#endif
