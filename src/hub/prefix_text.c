/* SPDX-License-Identifier: MIT */
/* The texts of the prefix table.  The table adds one when a prefix gets its
 * first holder and removes it with the last; short ones live in their page,
 * longer ones in a block of their own.  It never sorts and never searches. */
#include "hub/prefix_text.h"

#include "base/check.h"

/* A number that was never used or is free again.  0 or MCQ_ENOMEM. */
static int reserve(mcq__texts_t* x) {
  if (x->free != MCQ__NO_TEXT || x->used % MCQ__TEXT_PAGE != 0) return 0;
  if (x->used > MCQ__NO_TEXT - MCQ__TEXT_PAGE) return MCQ_ENOMEM;
  size_t page = x->used / MCQ__TEXT_PAGE;
  void* pages = x->pages;
  int rc = mcq__mem_grow(x->mem, &pages, &x->cap, page + 1, sizeof *x->pages);
  if (rc != 0) return rc;
  x->pages = (mcq__text_t**) pages;
  if (x->pages[page] != NULL) return 0;
  x->pages[page] = (mcq__text_t*) mcq__mem_alloc(
      x->mem, MCQ__TEXT_PAGE * sizeof(mcq__text_t));
  return x->pages[page] == NULL ? MCQ_ENOMEM : 0;
}

static uint32_t take(mcq__texts_t* x) {
  uint32_t id = x->free;
  if (id == MCQ__NO_TEXT) return x->used++;
  x->free = mcq__text_at(x, id)->holder;
  return id;
}

void mcq__texts_init(mcq__texts_t* x, mcq__mem_t* mem) {
  x->mem = mem;
  x->pages = NULL;
  x->cap = 0;
  x->used = 0;
  x->free = MCQ__NO_TEXT;
  x->count = 0;
}

/* Texts are still there only when the whole table goes; free numbers have the
 * length 0. */
void mcq__texts_dispose(mcq__texts_t* x) {
  for (uint32_t id = 0; id < x->used; id++) {
    mcq__text_t* text = mcq__text_at(x, id);
    if (text->len > MCQ__TEXT_NEAR) mcq__mem_free(x->mem, text->bytes.far);
  }
  for (size_t i = 0; i < x->cap; i++) mcq__mem_free(x->mem, x->pages[i]);
  if (x->pages != NULL) mcq__mem_free(x->mem, x->pages);
  mcq__texts_init(x, x->mem);
}

int mcq__texts_add(mcq__texts_t* x, mcq_frame_t text, uint32_t* id) {
  if (text.len > UINT32_MAX) return MCQ_ENOMEM;
  int rc = reserve(x);
  if (rc != 0) return rc;
  uint8_t* far = NULL;
  if (text.len > MCQ__TEXT_NEAR) {
    far = (uint8_t*) mcq__mem_copy(x->mem, text.data, text.len);
    if (far == NULL) return MCQ_ENOMEM;
  }
  *id = take(x);
  mcq__text_t* made = mcq__text_at(x, *id);
  made->len = (uint32_t) text.len;
  made->bytes.far = far;
  const uint8_t* bytes = (const uint8_t*) text.data;
  for (size_t i = 0; far == NULL && i < text.len; i++)
    made->bytes.near[i] = bytes[i];
  x->count++;
  return 0;
}

void mcq__texts_remove(mcq__texts_t* x, uint32_t id) {
  mcq__text_t* text = mcq__text_at(x, id);
  if (text->len > MCQ__TEXT_NEAR) mcq__mem_free(x->mem, text->bytes.far);
  text->len = 0;
  text->holder = x->free;
  x->free = id;
  mcq__check(x->count > 0);
  if (--x->count == 0) mcq__texts_dispose(x);
}
