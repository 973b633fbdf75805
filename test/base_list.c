/* SPDX-License-Identifier: MIT */
/* The intrusive ring, compared with an array of the same names. */
#include "base/list.h"

#include <string.h>

#include "base/check.h"
#include "support/pool.h"
#include "support/random.h"

enum { ITEMS = 12, LISTS = 3 };

typedef struct item {
  int name;
  mcq__node_t node;
} item_t;

static item_t* item_of(mcq__node_t* node) {
  return mcq__container_of(node, item_t, node);
}

static void zeroed_nodes_are_in_no_list(void** state) {
  (void) state;
  mcq__node_t head;
  mcq__list_init(&head);
  item_t item = {1, {NULL, NULL}};
  assert_true(mcq__list_empty(&head));
  assert_false(mcq__node_linked(&item.node));
  mcq__list_remove(&item.node);
  assert_null(mcq__list_shift(&head));
  mcq__list_insert(&head, &item.node);
  assert_true(mcq__node_linked(&item.node));
  assert_false(mcq__list_empty(&head));
  assert_true(item_of(mcq__list_shift(&head)) == &item);
  assert_false(mcq__node_linked(&item.node));
  assert_null(item.node.prev);
  assert_true(mcq__list_empty(&head));
  mcq__list_insert(&head, &item.node);
  mcq__list_remove(&item.node);
  mcq__list_remove(&item.node);
  assert_true(mcq__list_empty(&head));
}

typedef struct model {
  mcq__node_t head;
  int names[ITEMS];
  size_t len;
} model_t;

static void expect_same(const model_t* m) {
  const mcq__node_t* node = &m->head;
  for (size_t i = 0; i < m->len; i++) {
    assert_true(node->next->prev == node);
    node = node->next;
    assert_int_equal(item_of((mcq__node_t*) (uintptr_t) node)->name,
                     m->names[i]);
  }
  assert_true(node->next == &m->head && m->head.prev == node);
  assert_true(mcq__list_empty(&m->head) == (m->len == 0));
}

static void model_remove(model_t* m, size_t at) {
  m->len--;
  memmove(&m->names[at], &m->names[at + 1], (m->len - at) * sizeof(int));
}

static void model_insert(model_t* m, size_t at, int name) {
  memmove(&m->names[at + 1], &m->names[at], (m->len - at) * sizeof(int));
  m->names[at] = name;
  m->len++;
}

static void model_forget(model_t lists[LISTS], int name) {
  for (size_t k = 0; k < LISTS; k++)
    for (size_t i = 0; i < lists[k].len; i++)
      if (lists[k].names[i] == name) model_remove(&lists[k], i--);
}

static void same_order_as_an_array(void** state) {
  (void) state;
  test_random_t r = {6};
  item_t items[ITEMS];
  model_t lists[LISTS] = {0};
  for (int i = 0; i < ITEMS; i++) {
    item_t item = {i, {NULL, NULL}};
    items[i] = item;
  }
  for (size_t k = 0; k < LISTS; k++) mcq__list_init(&lists[k].head);
  for (int step = 0; step < 20000; step++) {
    model_t* m = &lists[test_random_below(&r, LISTS)];
    model_t* other = &lists[test_random_below(&r, LISTS)];
    item_t* item = &items[test_random_below(&r, ITEMS)];
    size_t at = test_random_below(&r, m->len + 1);
    switch (test_random_below(&r, 6)) {
      case 0:
        mcq__list_remove(&item->node);
        model_forget(lists, item->name);
        break;
      case 1: {
        mcq__node_t* first = mcq__list_shift(&m->head);
        assert_true((first == NULL) == (m->len == 0));
        if (first == NULL) break;
        assert_int_equal(item_of(first)->name, m->names[0]);
        model_remove(m, 0);
        break;
      }
      case 2:
        if (m == other || step % 4 != 0) break;
        mcq__list_splice(&m->head, &other->head);
        while (other->len > 0) {
          model_insert(m, m->len, other->names[0]);
          model_remove(other, 0);
        }
        break;
      default:
        if (mcq__node_linked(&item->node)) break;
        mcq__list_insert(at == m->len ? &m->head : &items[m->names[at]].node,
                         &item->node);
        model_insert(m, at, item->name);
    }
    for (size_t k = 0; k < LISTS; k++) expect_same(&lists[k]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(zeroed_nodes_are_in_no_list),
      cmocka_unit_test(same_order_as_an_array),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
