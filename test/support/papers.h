/* SPDX-License-Identifier: MIT */
/* The documents of the tree, for tests that what is in the code is in them. */
#ifndef TEST_SUPPORT_PAPERS_H
#define TEST_SUPPORT_PAPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The whole of a file of the source tree, to be freed; NULL, and says so, when
 * the test was not told where that is (test/run.sh does). */
static inline char* paper_read(const char* name) {
  const char* tree = getenv("MCQ_SRCDIR");
  char path[4096];
  if (tree == NULL) {
    print_message("no $MCQ_SRCDIR: %s is not looked at\n", name);
    return NULL;
  }
  snprintf(path, sizeof path, "%s/%s", tree, name);
  FILE* file = fopen(path, "rb");
  assert_non_null(file);
  char* text = (char*) calloc(1, 1 << 20);
  assert_non_null(text);
  size_t len = fread(text, 1, (1 << 20) - 1, file);
  assert_true(len > 0 && feof(file));
  fclose(file);
  return text;
}

#endif
