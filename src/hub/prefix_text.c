/* SPDX-License-Identifier: MIT */
/* The texts of the prefix table.  The table adds one when a prefix gets its
 * first holder and removes it with the last; most live in their page, long
 * ones in a block of their own.  What is free again waits for a text of the
 * same size: were each of the four sizes in turn all there is, it would be two
 * and a half times what the largest takes.  It never sorts and never searches.
 */
#include "hub/prefix_text.h"

#include "base/check.h"

/* What stands before the bytes. */
#define HEAD ((uint32_t) offsetof(mcq__text_t, bytes))

/* How many units a text of this length takes. */
static uint32_t units_of(uint32_t len) {
  if (len > MCQ__TEXT_NEAR) return 1;
  return (HEAD + len + MCQ__TEXT_UNIT - 1) / MCQ__TEXT_UNIT;
}

/* Makes a number free.  Its length tells how many units it has. */
static void give(mcq__texts_t* x, uint32_t id, uint32_t units) {
  mcq__text_t* text = mcq__text_at(x, id);
  text->len = units * MCQ__TEXT_UNIT - HEAD;
  text->holder = x->free[units - 1];
  x->free[units - 1] = id;
}

/* Sees to it that a number can be taken; the end of a page that is too short
 * is left to shorter texts.  0 or MCQ_ENOMEM. */
static int reserve(mcq__texts_t* x, uint32_t units) {
  uint32_t left = (UINT32_C(0) - x->used) % MCQ__TEXT_PAGE;
  if (x->free[units - 1] != MCQ__NO_TEXT || units <= left) return 0;
  if (x->used > MCQ__NO_TEXT - 2 * MCQ__TEXT_PAGE) return MCQ_ENOMEM;
  size_t page = (x->used + left) / MCQ__TEXT_PAGE;
  void* pages = x->pages;
  int rc = mcq__mem_grow(x->mem, &pages, &x->cap, page + 1, sizeof *x->pages);
  if (rc != 0) return rc;
  x->pages = (mcq__text_unit_t**) pages;
  if (x->pages[page] == NULL)
    x->pages[page] = (mcq__text_unit_t*) mcq__mem_alloc(
        x->mem, MCQ__TEXT_PAGE * sizeof(mcq__text_unit_t));
  if (x->pages[page] == NULL) return MCQ_ENOMEM;
  if (left > 0) give(x, x->used, left);
  x->used += left;
  return 0;
}

/* A number that is free again or was never used. */
static uint32_t take(mcq__texts_t* x, uint32_t units) {
  uint32_t id = x->free[units - 1];
  if (id != MCQ__NO_TEXT) {
    x->free[units - 1] = mcq__text_at(x, id)->holder;
  } else {
    id = x->used;
    x->used += units;
  }
  return id;
}

void mcq__texts_init(mcq__texts_t* x, mcq__mem_t* mem) {
  *x = (mcq__texts_t){.mem = mem};
  for (size_t i = 0; i < MCQ__TEXT_UNITS; i++) x->free[i] = MCQ__NO_TEXT;
}

/* Texts are still there only when the whole table goes. */
void mcq__texts_dispose(mcq__texts_t* x) {
  for (uint32_t id = 0; id < x->used;) {
    mcq__text_t* text = mcq__text_at(x, id);
    if (text->len > MCQ__TEXT_NEAR) mcq__mem_free(x->mem, text->bytes.far);
    id += units_of(text->len);
  }
  for (size_t i = 0; i < x->cap; i++) mcq__mem_free(x->mem, x->pages[i]);
  if (x->pages != NULL) mcq__mem_free(x->mem, x->pages);
  mcq__texts_init(x, x->mem);
}

int mcq__texts_add(mcq__texts_t* x, mcq_frame_t text, uint32_t* id) {
  if (text.len > UINT32_MAX) return MCQ_ENOMEM;
  uint32_t len = (uint32_t) text.len;
  int rc = reserve(x, units_of(len));
  if (rc != 0) return rc;
  uint8_t* far = NULL;
  if (len > MCQ__TEXT_NEAR) {
    far = (uint8_t*) mcq__mem_copy(x->mem, text.data, len);
    if (far == NULL) return MCQ_ENOMEM;
  }
  *id = take(x, units_of(len));
  mcq__text_t* made = mcq__text_at(x, *id);
  made->len = len;
  made->bytes.far = far;
  const uint8_t* bytes = (const uint8_t*) text.data;
  for (size_t i = 0; far == NULL && i < len; i++)
    made->bytes.near[i] = bytes[i];
  x->count++;
  return 0;
}

void mcq__texts_remove(mcq__texts_t* x, uint32_t id) {
  mcq__text_t* text = mcq__text_at(x, id);
  uint32_t units = units_of(text->len);
  if (text->len > MCQ__TEXT_NEAR) mcq__mem_free(x->mem, text->bytes.far);
  give(x, id, units);
  mcq__check(x->count > 0);
  if (--x->count == 0) mcq__texts_dispose(x);
}
