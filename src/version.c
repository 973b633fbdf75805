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
