/* SPDX-License-Identifier: MIT */
/* Intrusive doubly linked ring.  A zeroed node is in no list; a head is
 * initialised once and is a node that holds no object.  Never allocates. */
#ifndef MCQ__BASE_LIST_H
#define MCQ__BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mcq__node {
  struct mcq__node* next;
  struct mcq__node* prev;
} mcq__node_t;

static inline void mcq__list_init(mcq__node_t* head) {
  head->next = head;
  head->prev = head;
}

static inline bool mcq__list_empty(const mcq__node_t* head) {
  return head->next == head;
}

static inline bool mcq__node_linked(const mcq__node_t* node) {
  return node->next != NULL;
}

/* Puts `node` before `at`: with a head that is the tail of the list. */
static inline void mcq__list_insert(mcq__node_t* at, mcq__node_t* node) {
  node->next = at;
  node->prev = at->prev;
  at->prev->next = node;
  at->prev = node;
}

/* Takes `node` out of its list; no-op when it is in none. */
static inline void mcq__list_remove(mcq__node_t* node) {
  if (node->next == NULL) return;
  node->prev->next = node->next;
  node->next->prev = node->prev;
  node->next = NULL;
  node->prev = NULL;
}

/* Takes the first node out, or returns NULL. */
static inline mcq__node_t* mcq__list_shift(mcq__node_t* head) {
  if (mcq__list_empty(head)) return NULL;
  mcq__node_t* node = head->next;
  mcq__list_remove(node);
  return node;
}

/* Moves everything from `from` to the tail of `to`. */
static inline void mcq__list_splice(mcq__node_t* to, mcq__node_t* from) {
  if (mcq__list_empty(from)) return;
  from->next->prev = to->prev;
  from->prev->next = to;
  to->prev->next = from->next;
  to->prev = from->prev;
  mcq__list_init(from);
}

#endif
