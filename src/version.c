/* SPDX-License-Identifier: MIT */
/* What this library is and what it can do here. */
#include <string.h>

#include "monocoque.h"
#include "socket/pattern.h"

const char* mcq_version(int* major, int* minor, int* patch) {
  if (major != NULL) *major = MCQ_VERSION_MAJOR;
  if (minor != NULL) *minor = MCQ_VERSION_MINOR;
  if (patch != NULL) *patch = MCQ_VERSION_PATCH;
  return MCQ_VERSION_STRING;
}

bool mcq_has(const char* feature) {
  if (strcmp(feature, "uring") == 0) return mcq__backend_uring() != NULL;
  return strcmp(feature, "ipc") == 0 || strcmp(feature, "inproc") == 0;
}

const char* mcq_type_name(int type) {
  static const char* const names[] = {"PAIR", "PUB",    "SUB",    "REQ",
                                      "REP",  "DEALER", "ROUTER", "PULL",
                                      "PUSH", "XPUB",   "XSUB",   "STREAM"};
  return type < 0 || type > MCQ_STREAM ? NULL : names[type];
}

const char* mcq_event_name(mcq_event_kind_t kind) {
  static const char* const names[] = {
      [MCQ_EVENT_LISTENING] = "listening",
      [MCQ_EVENT_ACCEPTED] = "accepted",
      [MCQ_EVENT_ACCEPT_FAILED] = "accept-failed",
      [MCQ_EVENT_CONNECTING] = "connecting",
      [MCQ_EVENT_CONNECTED] = "connected",
      [MCQ_EVENT_CONNECT_FAILED] = "connect-failed",
      [MCQ_EVENT_RETRY] = "retry",
      [MCQ_EVENT_HANDSHAKE_OK] = "handshake-ok",
      [MCQ_EVENT_HANDSHAKE_FAILED] = "handshake-failed",
      [MCQ_EVENT_DISCONNECTED] = "disconnected",
      [MCQ_EVENT_STOPPED] = "stopped",
      [MCQ_EVENT_CLOSED] = "closed",
      [MCQ_EVENT_COMMAND] = "command",
      [MCQ_EVENT_BACKEND] = "backend",
      [MCQ_EVENT_SUBSCRIBED] = "subscribed",
      [MCQ_EVENT_UNSUBSCRIBED] = "unsubscribed",
      [MCQ_EVENT_DROPPED] = "dropped",
      [MCQ_EVENT_REFUSED] = "refused",
      [MCQ_EVENT_CONGESTED] = "congested",
      [MCQ_EVENT_RELIEVED] = "relieved",
  };
  size_t count = sizeof names / sizeof *names;
  return (size_t) kind < count ? names[kind] : NULL;
}
