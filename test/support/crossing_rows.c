/* SPDX-License-Identifier: MIT */
/* What can happen to a connection and what is to come of it, for every pairing
 * of socket types: the tables that crossing.c plays.
 *
 * A greeting has 64 bytes.  READY follows: flags at 64, length, the length of
 * its name, "READY" from 67; at 72 the length of "Socket-Type", the name from
 * 73, the length of the value from 84, the value from 88.  A message of the
 * plays has two frames: flags, length and five bytes, then from 7 flags, length
 * and ninety bytes, none of which could be the flags of a frame. */
#include "support/crossing.h"

const pairing_t pairings[] = {
    {"DEALER to ROUTER", MCQ_ROUTER, MCQ_DEALER, .echoes = true, .keeps = true},
    {"ROUTER to DEALER, which drives", MCQ_DEALER, MCQ_ROUTER,
     .server_drives = true, .echoes = true},
    {"PUSH to PULL", MCQ_PULL, MCQ_PUSH, .keeps = true},
    {"PULL to PUSH", MCQ_PUSH, MCQ_PULL, .server_drives = true},
    {"SUB to PUB", MCQ_PUB, MCQ_SUB, .server_drives = true},
    {"PUB to SUB", MCQ_SUB, MCQ_PUB, .keeps = false},
    {"REQ to REP", MCQ_REP, MCQ_REQ, .echoes = true, .keeps = true,
     .asks = true},
    {"REP to REQ", MCQ_REQ, MCQ_REP, .server_drives = true, .echoes = true,
     .alone = true, .asks = true},
    {"PAIR to PAIR", MCQ_PAIR, MCQ_PAIR, .echoes = true, .keeps = true,
     .alone = true},
    {"PAIR to PAIR, which drives", MCQ_PAIR, MCQ_PAIR, .server_drives = true,
     .echoes = true, .alone = true},
};
const size_t pairing_count = sizeof pairings / sizeof *pairings;

#define FLIP(byte, bits) \
  { .kind = RELAY_FLIP, .at = (byte), .mask = (bits) }
#define FLIP_UP(byte, bits) \
  { .ways = RELAY_UP, .kind = RELAY_FLIP, .at = (byte), .mask = (bits) }
#define FLIP_DOWN(byte, bits) \
  { .ways = RELAY_DOWN, .kind = RELAY_FLIP, .at = (byte), .mask = (bits) }
#define BOTH(what, byte) \
  { .ways = RELAY_BOTH, .kind = (what), .at = (byte) }
#define STALL(byte, how_long) \
  { .ways = RELAY_BOTH, .kind = RELAY_STALL, .at = (byte), .ms = (how_long) }

const row_t rows[] = {

    /* ---- from the first byte on, and nobody is to notice */
    {"a good line", SERVED, .hello = 1, .fault = {.ways = RELAY_BOTH}},
    {"a slow line", SERVED, .hello = 1,
     .fault = {.ways = RELAY_BOTH, .delay = 3}},
    {"byte by byte", SERVED, .hello = 1,
     .fault = {.ways = RELAY_BOTH, .step = 1}},
    {"seven bytes at a time", SERVED, .hello = 1,
     .fault = {.ways = RELAY_BOTH, .step = 7}},
    {"byte by byte one way", SERVED, .hello = 1, .fault = {.step = 1}},
    {"a pause in the greeting", SERVED, .hello = 1, .fault = STALL(30, 60)},
    {"a pause in READY", SERVED, .hello = 1, .fault = STALL(70, 60)},
    {"a size of old in the signature", SERVED, .hello = 1,
     .fault = FLIP(5, 0xFF)},
    {"major version 131", SERVED, .hello = 1, .fault = FLIP(10, 0x80)},
    {"version 3.0", SERVED, .hello = 1, .fault = FLIP(11, 0x01)},
    {"another role", SERVED, .hello = 1, .fault = FLIP(32, 0x01)},
    {"filler that is none", SERVED, .hello = 1, .fault = FLIP(50, 0xA5)},
    {"a name in another case", SERVED, .hello = 1, .fault = FLIP(73, 0x20)},

    /* ---- no connection comes about, then one does */
    {"reset at once", AGAIN, .hello = 3, .fault = BOTH(RELAY_RESET, 0)},
    {"reset in the greeting", AGAIN, .hello = 2,
     .fault = BOTH(RELAY_RESET, 10)},
    {"reset behind the greeting", AGAIN, .hello = 2,
     .fault = BOTH(RELAY_RESET, 64)},
    {"reset in READY", AGAIN, .hello = 2, .fault = BOTH(RELAY_RESET, 70)},
    {"closed at once", AGAIN, .hello = 3, .fault = BOTH(RELAY_CLOSE, 0)},
    {"closed in the greeting", AGAIN, .hello = 2,
     .fault = BOTH(RELAY_CLOSE, 32)},
    {"closed in READY", AGAIN, .hello = 2, .fault = BOTH(RELAY_CLOSE, 66)},
    {"half closed in the greeting", AGAIN, .hello = 2,
     .fault = {.kind = RELAY_SHUT, .at = 40}, .code = UV_EOF},
    {"half closed in READY", AGAIN, .hello = 2,
     .fault = {.kind = RELAY_SHUT, .at = 70}, .code = UV_EOF},
    {"dead at once", AGAIN, .hello = 1, .fault = STALL(0, RELAY_EVER),
     .waits = true},
    {"dead in the greeting", AGAIN, .hello = 1, .fault = STALL(12, RELAY_EVER),
     .waits = true},
    {"dead in READY", AGAIN, .hello = 1, .fault = STALL(70, RELAY_EVER),
     .waits = true},
    {"dead one way", AGAIN, .hello = 1,
     .fault = {.kind = RELAY_STALL, .at = 64, .ms = RELAY_EVER},
     .code = MCQ_EHANDSHAKE, .waits = true},
    {"a signature that is none", AGAIN, .hello = 2, .fault = FLIP(0, 0xFF),
     .code = MCQ_EGREETING},
    {"a signature of old", AGAIN, .hello = 2, .fault = FLIP(0, 0x80),
     .code = MCQ_ELEGACY},
    {"an odd end of the signature", AGAIN, .hello = 2, .fault = FLIP(9, 0x80),
     .code = MCQ_EGREETING},
    {"version 2", AGAIN, .hello = 2, .fault = FLIP(10, 0x01),
     .code = MCQ_ELEGACY},
    {"another mechanism at the server", AGAIN, .hello = 2,
     .fault = FLIP_UP(12, 0x01), .code = MCQ_EMECHANISM},
    {"reserved flags at READY", AGAIN, .hello = 2, .fault = FLIP(64, 0x80),
     .code = MCQ_EFRAME},
    {"READY as a message", AGAIN, .hello = 2, .fault = FLIP(64, 0x04),
     .code = MCQ_ECOMMAND},
    {"a longer READY", AGAIN, .hello = 1, .fault = FLIP(65, 0x40),
     .waits = true},
    {"a shorter READY", AGAIN, .hello = 2, .fault = FLIP(65, 0x10),
     .waits = true},
    {"a shorter name", AGAIN, .hello = 2, .fault = FLIP(66, 0x01),
     .code = MCQ_ECOMMAND},
    {"another name", AGAIN, .hello = 2, .fault = FLIP(67, 0x01),
     .code = MCQ_ECOMMAND},
    {"a shorter property", AGAIN, .hello = 2, .fault = FLIP(72, 0x01),
     .code = MCQ_EMETADATA},
    {"a value without end", AGAIN, .hello = 2, .fault = FLIP(84, 0x80),
     .code = MCQ_EMETADATA},

    /* ---- what sounds like a definite no is one */
    {"another mechanism at the client", REFUSED, .hello = 1,
     .fault = FLIP_DOWN(12, 0x01), .code = MCQ_EMECHANISM},
    {"no type", REFUSED, .hello = 1, .fault = FLIP(73, 0x01),
     .code = MCQ_ETYPE},
    {"another type", REFUSED, .hello = 1, .fault = FLIP(88, 0x20),
     .code = MCQ_ETYPE},

    /* ---- in the middle of it, and nobody is to notice */
    {"slow from now on", SERVED, .fault = {.ways = RELAY_BOTH, .delay = 3}},
    {"byte by byte from now on", SERVED,
     .fault = {.ways = RELAY_BOTH, .step = 1}},
    {"a pause between messages", SERVED, .fault = STALL(0, 60)},
    {"a pause in a message", SERVED,
     .fault = {.kind = RELAY_STALL, .at = 20, .ms = 60},
     .where = WITH_MESSAGES | WITH_ANSWERS},
    {"another body", SERVED, .fault = FLIP(30, 0x55), .spoiled = 1,
     .where = WITH_MESSAGES | WITH_ANSWERS},

    /* ---- lost, and found again */
    {"reset between messages", AGAIN, .fault = BOTH(RELAY_RESET, 0)},
    {"reset after a silence", AGAIN,
     .fault = {.ways = RELAY_BOTH, .kind = RELAY_RESET, .ms = 200}},
    {"reset in a header", AGAIN, .fault = {.kind = RELAY_RESET, .at = 1},
     .where = WITH_MESSAGES | WITH_ANSWERS},
    {"reset between frames", AGAIN, .fault = {.kind = RELAY_RESET, .at = 7},
     .where = WITH_MESSAGES | WITH_ANSWERS},
    {"reset in a body", AGAIN, .fault = {.kind = RELAY_RESET, .at = 50},
     .where = WITH_MESSAGES | WITH_ANSWERS},
    {"reset behind a message", AGAIN, .fault = {.kind = RELAY_RESET, .at = 99},
     .where = WITH_MESSAGES | WITH_ANSWERS},
    {"reset in a large message", AGAIN,
     .fault = {.kind = RELAY_RESET, .at = 100000, .ms = 20},
     .where = WITH_MESSAGES | ONLY_KEPT, .large = true},
    {"closed between messages", AGAIN, .fault = BOTH(RELAY_CLOSE, 0)},
    {"closed between frames", AGAIN, .fault = {.kind = RELAY_CLOSE, .at = 7},
     .code = MCQ_EPARTIAL, .where = WITH_MESSAGES | WITH_ANSWERS},
    {"closed in a body", AGAIN, .fault = {.kind = RELAY_CLOSE, .at = 50},
     .code = MCQ_EPARTIAL, .where = WITH_MESSAGES | WITH_ANSWERS},
    {"closed behind a message", AGAIN, .fault = {.kind = RELAY_CLOSE, .at = 99},
     .code = UV_EOF, .where = WITH_MESSAGES | WITH_ANSWERS},
    {"half closed", AGAIN, .fault = {.kind = RELAY_SHUT}, .code = UV_EOF},
    {"half closed in a body", AGAIN, .fault = {.kind = RELAY_SHUT, .at = 50},
     .code = MCQ_EPARTIAL, .where = WITH_MESSAGES | WITH_ANSWERS},
    {"the client alone is reset", AGAIN,
     .fault = {.ways = RELAY_BOTH, .kind = RELAY_FORGET}, .where = ONLY_ROUTER},

    /* ---- what cannot be understood is not guessed at */
    {"reserved flags", AGAIN, .fault = FLIP(0, 0x80), .code = MCQ_EFRAME,
     .where = WITH_MESSAGES | WITH_ANSWERS},
    {"a command with MORE", AGAIN, .fault = FLIP(0, 0x04), .code = MCQ_EFRAME,
     .where = WITH_MESSAGES | WITH_ANSWERS},
    {"a longer first frame", AGAIN, .fault = FLIP(1, 0x02), .code = MCQ_EFRAME,
     .where = WITH_MESSAGES | WITH_ANSWERS},
    {"a length without end", AGAIN, .fault = FLIP(7, 0x02),
     .code = MCQ_EMSGLIMIT, .where = WITH_MESSAGES | WITH_ANSWERS},
    {"a shorter last frame", AGAIN, .fault = FLIP(8, 0x40), .code = MCQ_EFRAME,
     .spoiled = 1, .where = WITH_MESSAGES | WITH_ANSWERS},
    {"a longer last frame", AGAIN, .fault = FLIP(8, 0x20), .code = MCQ_EFRAME,
     .spoiled = 1, .where = WITH_MESSAGES | WITH_ANSWERS},
};
const size_t row_count = sizeof rows / sizeof *rows;

unsigned crossing_ways(const row_t* row, unsigned out[2]) {
  out[0] = row->fault.ways == 0 ? RELAY_UP : row->fault.ways;
  out[1] = RELAY_DOWN;
  return row->fault.ways == 0 ? 2 : 1;
}

bool crossing_fits(const pairing_t* p, const row_t* row, unsigned way) {
  unsigned ahead = p->server_drives ? RELAY_DOWN : RELAY_UP;
  if ((row->where & ONLY_KEPT) && !p->keeps) return false;
  if ((row->where & ONLY_ROUTER) &&
      (p->server != MCQ_ROUTER || p->client != MCQ_DEALER))
    return false;
  if (way == ahead) return true;
  if (!(row->where & WITH_MESSAGES)) return true;
  return (row->where & WITH_ANSWERS) && p->echoes;
}
