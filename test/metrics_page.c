/* SPDX-License-Identifier: MIT */
/* The page of metrics: that it is what the OpenMetrics format says, whatever
 * sockets are called and do, and that every figure on it is the one that the
 * statistics have.  Over inproc and tcp. */
#include "support/openmetrics.h"
#include "support/papers.h"
#include "support/players.h"

static char page[1 << 20];

/* The page as it is now, found to be well-formed. */
static void look(mcq_ctx_t* ctx, int flags) {
  mcq_metrics_options_t o = {.flags = flags};
  size_t len = 0;
  assert_int_equal(mcq_metrics_format(ctx, &o, page, sizeof page, &len), 0);
  assert_true(len < sizeof page && strlen(page) == len);
  const char* fault = om_fault(page, len);
  if (fault != NULL) fail_msg("%s", fault);
}

/* ---- the reader itself --------------------------------------------------- */

#define HEAD "# TYPE a counter\n# HELP a Text.\n"

static const char* const right[] = {
    "# EOF",
    "# EOF\n",
    HEAD "# EOF\n",
    HEAD "a_total 1\n# EOF\n",
    "# TYPE a gauge\na -1.5e3\na{b=\"c\"} 2\n# EOF\n",
    "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds .5\n# EOF\n",
    "# TYPE a info\na_info{b=\"\\\\\\\"\\n\xC3\xA4\"} 1\n# EOF\n",
    HEAD "a_total{b=\"1\",c=\"2\"} 1\na_total{b=\"1\",c=\"3\"} 1\n# EOF\n",
};

static const char* const wrong[] = {
    "",
    "a 1\n",
    HEAD "a_total 1\n",
    HEAD "a_total 1\n# EOF\na_total 2\n",
    HEAD "a_total 1\n\n# EOF\n",
    HEAD "a_total 1\r\n# EOF\n",
    HEAD "a_total  1\n# EOF\n",
    HEAD "a_total 1 \n# EOF\n",
    HEAD "a_total\n# EOF\n",
    HEAD "a_total x\n# EOF\n",
    HEAD "a_total 1e\n# EOF\n",
    HEAD "a_total -1\n# EOF\n",
    HEAD "a 1\n# EOF\n",
    HEAD "b_total 1\n# EOF\n",
    HEAD "a_total 1\na_total 1\n# EOF\n",
    HEAD "a_total{} 1\n# EOF\n",
    HEAD "a_total{b=c} 1\n# EOF\n",
    HEAD "a_total{b=\"c\" } 1\n# EOF\n",
    HEAD "a_total{b=\"c\",} 1\n# EOF\n",
    HEAD "a_total{b=\"c\",b=\"d\"} 1\n# EOF\n",
    HEAD "a_total{b=\"\\x\"} 1\n# EOF\n",
    HEAD "a_total{b=\"\n\"} 1\n# EOF\n",
    HEAD "a_total{b=\"\"\"} 1\n# EOF\n",
    HEAD "a_total{__b=\"c\"} 1\n# EOF\n",
    HEAD "a_total{2=\"c\"} 1\n# EOF\n",
    HEAD "a_total{b:c=\"d\"} 1\n# EOF\n",
    HEAD "a_total{b=\"\xFF\"} 1\n# EOF\n",
    HEAD "a_total{b=\"\xC0\x80\"} 1\n# EOF\n",
    HEAD "a_total{b=\"\xED\xA0\x80\"} 1\n# EOF\n",
    HEAD "a_total 1\n# HELP a Late.\n# EOF\n",
    HEAD "# TYPE a gauge\n# EOF\n",
    HEAD "# HELP a Again.\n# EOF\n",
    HEAD "# TYPE b gauge\nb 1\n# UNIT a a\n# EOF\n",
    HEAD "# TYPE b gauge\nb 1\na_total 1\n# EOF\n",
    "# HELP a Text.\na_total 1\n# EOF\n",
    "# TYPE a_total counter\n# EOF\n",
    "# TYPE a thing\n# EOF\n",
    "# TYPE a gauge \n# EOF\n",
    "# TYPE 1a gauge\n# EOF\n",
    "# TYPE a_bytes counter\n# UNIT a_bytes seconds\n# EOF\n",
    "# TYPE a gauge\n# UNIT a a\n# EOF\n",
    "# TYPE a info\na_info 2\n# EOF\n",
    "# TYPE a info\na 1\n# EOF\n",
    "# TYPE a gauge\na_total 1\n# EOF\n",
    "# HELP a Odd \\escape.\n# EOF\n",
    "# NOTE a b\n# EOF\n",
    "#TYPE a gauge\n# EOF\n",
};

static void the_reader_is_strict(void** state) {
  (void) state;
  for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
    const char* fault = om_fault(right[i], strlen(right[i]));
    if (fault != NULL) fail_msg("page %zu is right, but: %s", i, fault);
  }
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    if (om_fault(wrong[i], strlen(wrong[i])) == NULL)
      fail_msg("page %zu is wrong: %s", i, wrong[i]);
}

/* ---- every figure -------------------------------------------------------- */

typedef struct entry {
  const char* name;
  const char* label; /* of its own */
  size_t offset;
} entry_t;

#define OF(member) offsetof(mcq_stats_t, member)

static const entry_t of_socket[] = {
    {"peers", "", OF(peers)},
    {"received_messages_total", "", OF(messages_received)},
    {"received_frames_total", "", OF(frames_received)},
    {"received_bytes_total", "", OF(bytes_received)},
    {"discarded_messages_total", "", OF(messages_discarded)},
    {"sent_messages_total", "", OF(messages_sent)},
    {"sent_frames_total", "", OF(frames_sent)},
    {"sent_bytes_total", "", OF(bytes_sent)},
    {"written_messages_total", "", OF(messages_written)},
    {"in_flight_messages", "", OF(messages_in_flight)},
    {"queued_messages", "", OF(messages_queued)},
    {"queued_bytes", "", OF(bytes_queued)},
    {"queue_peak_messages", "", OF(queue_peak_messages)},
    {"queue_peak_bytes", "", OF(queue_peak_bytes)},
    {"congestions_total", "", OF(congestions)},
    {"unsure_messages_total", "", OF(messages_unsure)},
    {"lost_messages_total", ",reason=\"gone\"", OF(lost_gone)},
    {"lost_messages_total", ",reason=\"slow\"", OF(lost_slow)},
    {"lost_messages_total", ",reason=\"local\"", OF(lost_local)},
    {"dropped_messages_total", ",reason=\"full\"", OF(dropped_full)},
    {"dropped_messages_total", ",reason=\"memory\"", OF(dropped_memory)},
    {"dropped_messages_total", ",reason=\"replaced\"", OF(messages_replaced)},
    {"requeued_messages_total", "", OF(messages_requeued)},
    {"refused_sends_total", ",reason=\"full\"", OF(sends_refused)},
    {"refused_sends_total", ",reason=\"unroutable\"", OF(sends_unroutable)},
    {"failed_posts_total", "", OF(posts_failed)},
    {"failed_requests_total", "", OF(requests_failed)},
    {"connections_total", ",direction=\"in\"", OF(connections_accepted)},
    {"connections_total", ",direction=\"out\"", OF(connections_made)},
    {"failed_connections_total", ",direction=\"in\"", OF(accepts_failed)},
    {"failed_connections_total", ",direction=\"out\"", OF(connects_failed)},
    {"refused_connections_total", "", OF(connections_refused)},
    {"handshakes_total", ",result=\"ok\"", OF(handshakes_ok)},
    {"handshakes_total", ",result=\"timed_out\"", OF(handshakes_timed_out)},
    {"handshakes_total", ",result=\"refused\"", OF(handshakes_refused)},
    {"handshakes_total", ",result=\"rejected\"", OF(handshakes_rejected)},
    {"handshakes_total", ",result=\"invalid\"", OF(handshakes_invalid)},
    {"handshakes_total", ",result=\"lost\"", OF(handshakes_lost)},
    {"disconnects_total", "", OF(disconnects)},
    {"reconnects_total", "", OF(reconnects)},
    {"unknown_commands_total", "", OF(commands_unknown)},
    {"subscriptions", "", OF(subscriptions)},
    {"wire_received_bytes_total", "", OF(wire_bytes_received)},
    {"wire_sent_bytes_total", "", OF(wire_bytes_sent)},
    {"heartbeats_total", ",kind=\"ping_sent\"", OF(pings_sent)},
    {"heartbeats_total", ",kind=\"ping_received\"", OF(pings_received)},
    {"heartbeats_total", ",kind=\"pong_received\"", OF(pongs_received)},
};
#define SOCKET_ENTRIES (sizeof of_socket / sizeof *of_socket)

#undef OF
#define OF(member) offsetof(mcq_peer_stats_t, member)

static const entry_t of_peer[] = {
    {"connected", "", OF(connected)},
    {"connections_total", "", OF(connections)},
    {"received_messages_total", "", OF(messages_received)},
    {"received_frames_total", "", OF(frames_received)},
    {"received_bytes_total", "", OF(bytes_received)},
    {"discarded_messages_total", "", OF(messages_discarded)},
    {"sent_messages_total", "", OF(messages_sent)},
    {"sent_frames_total", "", OF(frames_sent)},
    {"sent_bytes_total", "", OF(bytes_sent)},
    {"written_messages_total", "", OF(messages_written)},
    {"in_flight_messages", "", OF(messages_in_flight)},
    {"queued_messages", "", OF(messages_queued)},
    {"queued_bytes", "", OF(bytes_queued)},
    {"queue_peak_messages", "", OF(queue_peak_messages)},
    {"queue_peak_bytes", "", OF(queue_peak_bytes)},
    {"congested", "", OF(congested)},
    {"congestions_total", "", OF(congestions)},
    {"unsure_messages_total", "", OF(messages_unsure)},
    {"lost_messages_total", "", OF(messages_lost)},
    {"requeued_messages_total", "", OF(messages_requeued)},
    {"dropped_messages_total", ",reason=\"full\"", OF(dropped_full)},
    {"dropped_messages_total", ",reason=\"memory\"", OF(dropped_memory)},
    {"dropped_messages_total", ",reason=\"replaced\"", OF(messages_replaced)},
    {"wire_received_bytes_total", "", OF(wire_bytes_received)},
    {"wire_sent_bytes_total", "", OF(wire_bytes_sent)},
    {"heartbeats_total", ",kind=\"ping_sent\"", OF(pings_sent)},
    {"heartbeats_total", ",kind=\"ping_received\"", OF(pings_received)},
    {"heartbeats_total", ",kind=\"pong_received\"", OF(pongs_received)},
};
#define PEER_ENTRIES (sizeof of_peer / sizeof *of_peer)

/* Not on the page, because others add up to them: messages_lost,
 * messages_dropped, handshakes_failed.  In other units there: up_ms, rtt_ns. */
static void nothing_is_left_out(void** state) {
  (void) state;
  assert_int_equal((SOCKET_ENTRIES + 3) * sizeof(uint64_t),
                   sizeof(mcq_stats_t));
  assert_int_equal((PEER_ENTRIES + 2) * sizeof(uint64_t),
                   sizeof(mcq_peer_stats_t));
}

static void check_figure(const char* what, const entry_t* e, const char* labels,
                         const void* stats) {
  char sample[400];
  char figure[24];
  uint64_t value;
  memcpy(&value, (const char*) stats + e->offset, sizeof value);
  snprintf(sample, sizeof sample, "monocoque_%s_%s{%s%s}", what, e->name,
           labels, e->label);
  snprintf(figure, sizeof figure, "%llu", (unsigned long long) value);
  const char* have = om_value(page, sample);
  if (have == NULL) fail_msg("no %s on the page", sample);
  if (strcmp(have, figure) != 0)
    fail_msg("%s is %s, not %s", sample, have, figure);
}

static void check_socket(const player_t* p, const char* labels) {
  mcq_stats_t stats = player_stats(p);
  for (size_t i = 0; i < SOCKET_ENTRIES; i++)
    check_figure("socket", &of_socket[i], labels, &stats);
}

static void check_peer(const player_t* p, const char* labels,
                       const mcq_peer_stats_t* stats) {
  char all[300];
  const char* uri = mcq_endpoint_uri(p->s, p->dialed);
  snprintf(all, sizeof all, "%s,link=\"e%llu\",address=\"%s\"", labels,
           (unsigned long long) p->dialed, uri);
  for (size_t i = 0; i < PEER_ENTRIES; i++)
    check_figure("peer", &of_peer[i], all, stats);
}

/* ---- the scenes ---------------------------------------------------------- */

/* Each name is in the document for users. */
static void check_document(const char* text) {
  for (const char* line = page; *line != '\0';) {
    char name[140];
    size_t len = strcspn(line, "{ \n");
    snprintf(name, sizeof name, "`%.*s`", (int) len, line);
    if (*line != '#' && strstr(text, name) == NULL)
      fail_msg("doc/metrics.md does not know %s", name);
    line += strcspn(line, "\n");
    line += *line == '\n';
  }
}

static void nobody_is_there(void** state) {
  stage_t g;
  (void) state;
  stage_open(&g, MCQ_BACKEND_UV, false);
  look(g.ctx, 0);
  assert_string_equal(om_value(page, "monocoque_sockets"), "0");
  assert_string_equal(om_value(page, "monocoque_sockets_opened_total"), "0");
  assert_string_equal(
      om_value(page, "monocoque_build_info{version=\"" MCQ_VERSION_STRING
                     "\",backend=\"uv\"}"),
      "1");
  assert_null(om_value(page, "monocoque_memory_bytes")); /* it is not known */
  assert_int_equal(om_samples(page), 6);
  look(g.ctx, MCQ_METRICS_PEERS);
  stage_close(&g);
}

static void figures_are_those_of_the_statistics(void** state) {
  stage_t g;
  static player_t rep, req, pub, sub, lone;
  mcq_peer_stats_t stats;
  (void) state;
  stage_open(&g, MCQ_BACKEND_UV, true);
  player_open(&rep, &g, (mcq_socket_options_t){.type = MCQ_ROUTER});
  player_open(&req, &g,
              (mcq_socket_options_t){.type = MCQ_DEALER,
                                     .name = "asks",
                                     .routing_id = "\1\xFEme",
                                     .routing_id_len = 4});
  player_bind(&rep);
  player_meet(&req, &rep);
  player_open(&pub, &g, (mcq_socket_options_t){.type = MCQ_PUB});
  player_open(&sub, &g, (mcq_socket_options_t){.type = MCQ_SUB});
  player_bind(&pub);
  assert_int_equal(mcq_subscribe(sub.s, "a", 1), 0);
  player_meet(&sub, &pub);
  player_open(&lone, &g, (mcq_socket_options_t){.type = MCQ_PUSH, .sndhwm = 3});
  assert_int_equal(mcq_connect(lone.s, "inproc://nobody", NULL, &lone.dialed),
                   0);
  for (unsigned i = 0; i < 7; i++) (void) say(&lone, "is there anybody|there");
  for (unsigned i = 1; i <= 5; i++) {
    assert_int_equal(say(&req, "a question|of three|frames"), 0);
    until(&g, rep.count == i);
    assert_int_equal(answer_to(&rep, i - 1, "an answer"), 0);
    until(&g, req.count == i);
  }
  until(&g, player_stats(&pub).subscriptions == 1);
  assert_int_equal(say(&pub, "a|news"), 0);
  until(&g, sub.count == 1);
  g.now += 2500;
  stage_turns(&g, 3);
  look(g.ctx, MCQ_METRICS_PEERS);
  check_socket(&rep, "socket=\"1\",id=\"1\",type=\"ROUTER\"");
  check_socket(&req, "socket=\"asks\",id=\"2\",type=\"DEALER\"");
  check_socket(&pub, "socket=\"3\",id=\"3\",type=\"PUB\"");
  check_socket(&sub, "socket=\"4\",id=\"4\",type=\"SUB\"");
  check_socket(&lone, "socket=\"5\",id=\"5\",type=\"PUSH\"");
  assert_int_equal(player_stats(&lone).sends_refused, 4);
  assert_int_equal(player_stats(&rep).messages_received, 5);
  assert_int_equal(mcq_peer_stats(req.s, req.peer, &stats), 0);
  check_peer(&req, "socket=\"asks\",id=\"2\",type=\"DEALER\"", &stats);
  assert_int_equal(mcq_endpoint_stats(lone.s, lone.dialed, &stats), 0);
  check_peer(&lone, "socket=\"5\",id=\"5\",type=\"PUSH\"", &stats);
  assert_int_equal(stats.messages_queued, 3);
  assert_non_null(strstr(page, "routing_id=\"01fe6d65\""));
  assert_non_null(strstr(page, "} 2.5\n")); /* seconds */
  char* text = paper_read("doc/metrics.md");
  if (text != NULL) check_document(text);
  free(text);
  stage_close(&g);
}

/* Whatever they are called. */
static void names_are_escaped(void** state) {
  static const char* const names[] = {"\"quoted\"",
                                      "back\\slash",
                                      "two\nlines",
                                      "\xFF\xC0\x80",
                                      "half \xE2\x82",
                                      "",
                                      "\xE2\x82\xAC\tmoney",
                                      "name",
                                      "name",
                                      "\\",
                                      "\xF4\x90\x80\x80",
                                      "\xED\xA0\x80x"};
  static player_t p[sizeof names / sizeof *names];
  stage_t g;
  (void) state;
  stage_open(&g, MCQ_BACKEND_UV, false);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    player_open(&p[i], &g,
                (mcq_socket_options_t){.type = MCQ_PAIR, .name = names[i]});
  look(g.ctx, MCQ_METRICS_PEERS);
#define PEERS_OF(name, id)                                             \
  om_value(page, "monocoque_socket_peers{socket=\"" name "\",id=\"" id \
                 "\",type=\"PAIR\"}")
  assert_non_null(PEERS_OF("\\\"quoted\\\"", "1"));
  assert_non_null(PEERS_OF("back\\\\slash", "2"));
  assert_non_null(PEERS_OF("two\\nlines", "3"));
  assert_non_null(PEERS_OF("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", "4"));
  assert_non_null(PEERS_OF("half \xEF\xBF\xBD\xEF\xBF\xBD", "5"));
  assert_non_null(PEERS_OF("", "6"));
  assert_non_null(PEERS_OF("\xE2\x82\xAC\tmoney", "7"));
  assert_non_null(PEERS_OF("name", "8"));
  assert_non_null(PEERS_OF("name", "9"));
  stage_close(&g);
}

/* ---- ways to get it ------------------------------------------------------ */

typedef struct gathered {
  char text[1 << 16];
  size_t len;
  size_t calls;
  size_t fail_at;
} gathered_t;

static int gather(const char* text, size_t len, void* arg) {
  gathered_t* t = (gathered_t*) arg;
  assert_true(len > 0 && t->len + len < sizeof t->text);
  if (++t->calls == t->fail_at) return MCQ_ECLOSED;
  memcpy(t->text + t->len, text, len);
  t->len += len;
  return 0;
}

/* A page takes memory for a moment, and counts that: once it has three digits
 * the figure is as long as the next one. */
static void warm_up(mcq_ctx_t* ctx) {
  size_t len;
  for (int i = 0; i < 100; i++)
    assert_int_equal(mcq_metrics_format(ctx, NULL, NULL, 0, &len), 0);
}

/* The same page, but for that figure. */
static void assert_same_page(char* a, char* b) {
  static const char figure[] = "memory_allocations_total ";
  char* both[2] = {a, b};
  for (int i = 0; i < 2; i++) {
    char* digits = strstr(both[i], figure);
    assert_non_null(digits);
    memset(digits + sizeof figure - 1, '?', 3);
  }
  assert_string_equal(a, b);
}

static void in_pieces_it_is_the_same(void** state) {
  static gathered_t all, some;
  static player_t p;
  stage_t g;
  (void) state;
  memset(&all, 0, sizeof all);
  stage_open(&g, MCQ_BACKEND_UV, false);
  player_open(&p, &g, (mcq_socket_options_t){.type = MCQ_PAIR});
  warm_up(g.ctx);
  look(g.ctx, 0);
  assert_int_equal(mcq_metrics_write(g.ctx, NULL, gather, &all), 0);
  assert_true(all.calls > 1);
  assert_null(om_fault(all.text, all.len));
  assert_same_page(page, all.text);
  for (size_t i = 1; i <= all.calls; i++) {
    memset(&some, 0, sizeof some);
    some.fail_at = i;
    assert_int_equal(mcq_metrics_write(g.ctx, NULL, gather, &some),
                     MCQ_ECLOSED);
    assert_int_equal(some.calls, i); /* it is not asked again */
  }
  stage_close(&g);
}

static void as_much_as_there_is_room_for(void** state) {
  static char part[1 << 16];
  static player_t p;
  stage_t g;
  size_t whole, len;
  (void) state;
  stage_open(&g, MCQ_BACKEND_UV, false);
  player_open(&p, &g, (mcq_socket_options_t){.type = MCQ_PAIR});
  warm_up(g.ctx);
  assert_int_equal(mcq_metrics_format(g.ctx, NULL, NULL, 0, &whole), 0);
  assert_true(whole > 1000 && whole < sizeof part);
  for (size_t size = 1; size <= whole + 2; size += size < 40 ? 1 : 97) {
    memset(part, 'x', sizeof part);
    assert_int_equal(mcq_metrics_format(g.ctx, NULL, part, size, &len), 0);
    assert_int_equal(len, whole);
    assert_int_equal(strlen(part), size <= whole ? size - 1 : whole);
    assert_true(part[size] == 'x');
    assert_memory_equal(part, "# TYPE monocoque_build info\n",
                        size - 1 < 28 ? size - 1 : 28);
  }
  stage_close(&g);
}

static void as_it_is_asked_for(void** state) {
  static const char* const bad[] = {"", "9a", "a-b", "a b", "\xC3\xA4"};
  static player_t p;
  stage_t g;
  size_t len;
  (void) state;
  stage_open(&g, MCQ_BACKEND_UV, false);
  player_open(&p, &g, (mcq_socket_options_t){.type = MCQ_PAIR});
  mcq_metrics_options_t o = {.flags = MCQ_METRICS_OPEN_END,
                             .prefix = "my:shop_9"};
  assert_int_equal(mcq_metrics_format(g.ctx, &o, page, sizeof page, &len), 0);
  assert_non_null(om_fault(page, len));
  strcpy(page + len, "# TYPE other gauge\nother 1\n# EOF\n");
  assert_null(om_fault(page, strlen(page)));
  assert_string_equal(om_value(page, "my:shop_9_sockets"), "1");
  assert_null(strstr(page, "monocoque"));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    o = (mcq_metrics_options_t){.prefix = bad[i]};
    assert_int_equal(mcq_metrics_format(g.ctx, &o, page, sizeof page, &len),
                     MCQ_EINVAL);
    assert_string_equal(page, "");
    assert_int_equal(len, 0);
  }
  o = (mcq_metrics_options_t){.flags = 1 << 9};
  assert_int_equal(mcq_metrics_write(g.ctx, &o, gather, NULL), MCQ_EINVAL);
  assert_int_equal(mcq_metrics_write(g.ctx, NULL, NULL, NULL), MCQ_EINVAL);
  assert_int_equal(mcq_metrics_format(g.ctx, NULL, NULL, 9, &len), MCQ_EINVAL);
  test_alloc_fail_next(&g.memory, false);
  assert_int_equal(mcq_metrics_format(g.ctx, NULL, page, sizeof page, &len),
                   MCQ_ENOMEM);
  assert_string_equal(page, "");
  stage_close(&g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_reader_is_strict),
      cmocka_unit_test(nothing_is_left_out),
      cmocka_unit_test(nobody_is_there),
      cmocka_unit_test(figures_are_those_of_the_statistics),
      cmocka_unit_test(names_are_escaped),
      cmocka_unit_test(in_pieces_it_is_the_same),
      cmocka_unit_test(as_much_as_there_is_room_for),
      cmocka_unit_test(as_it_is_asked_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
