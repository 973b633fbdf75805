/* SPDX-License-Identifier: MIT */
/* A set-up and a tear-down between which nobody may write to the standard
 * output or the standard error output.  What was said after all, a failure's
 * own words above all, is shown afterwards. */
#ifndef TEST_SUPPORT_SILENCE_H
#define TEST_SUPPORT_SILENCE_H

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* What is going on, for those words; a test may write it. */
static char silence_note[160];

static int silence_file = -1;
static int silence_saved[2];

static inline int silence_begin(void** state) {
  (void) state;
  fflush(stdout);
  silence_file = memfd_create("output", MFD_CLOEXEC);
  if (silence_file < 0) return -1;
  for (int i = 0; i < 2; i++) {
    silence_saved[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 10);
    if (dup2(silence_file, i + 1) < 0) return -1;
  }
  return 0;
}

static inline int silence_end(void** state) {
  char text[2048];
  (void) state;
  fflush(stdout);
  fflush(stderr);
  ssize_t n = pread(silence_file, text, sizeof text, 0);
  for (int i = 0; i < 2; i++) {
    dup2(silence_saved[i], i + 1);
    close(silence_saved[i]);
  }
  close(silence_file);
  if (n > 0) fprintf(stderr, "%s:\n%.*s\n", silence_note, (int) n, text);
  return n == 0 ? 0 : -1;
}

#endif
