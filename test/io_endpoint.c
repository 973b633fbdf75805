/* SPDX-License-Identifier: MIT */
/* Endpoint text: what is taken, what is refused, and what comes of it; and
 * the text of socket addresses. */
#include "io/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "io/address.h"
#include "support/pool.h"

typedef struct good {
  const char* uri;
  const char* scheme;
  const char* host;
  int port;
  bool wildcard;
  const char* rest;
} good_t;

static const good_t good[] = {
    {"tcp://127.0.0.1:5555", "tcp", "127.0.0.1", 5555, false, ""},
    {"tcp://127.0.0.1:0", "tcp", "127.0.0.1", 0, false, ""},
    {"tcp://127.0.0.1:*", "tcp", "127.0.0.1", 0, false, ""},
    {"tcp://*:65535", "tcp", "*", 65535, true, ""},
    {"tcp://*:*", "tcp", "*", 0, true, ""},
    {"tcp://[::1]:80", "tcp", "::1", 80, false, ""},
    {"tcp://[::]:0", "tcp", "::", 0, false, ""},
    {"tcp://[::ffff:1.2.3.4]:1", "tcp", "::ffff:1.2.3.4", 1, false, ""},
    {"tcp://[fe80::1%eth0]:7", "tcp", "fe80::1%eth0", 7, false, ""},
    {"tcp://[fe80::1%2]:7", "tcp", "fe80::1%2", 7, false, ""},
    {"tcp://localhost:00080", "tcp", "localhost", 80, false, ""},
    {"tcp://eth0:1", "tcp", "eth0", 1, false, ""},
    {"tcp://a-b_c.example:1", "tcp", "a-b_c.example", 1, false, ""},
    {"ipc:///tmp/some path", "ipc", "", 0, false, "/tmp/some path"},
    {"ipc://relative", "ipc", "", 0, false, "relative"},
    {"ipc://a/../b//c.sock", "ipc", "", 0, false, "a/../b//c.sock"},
    {"ipc://127.0.0.1:80", "ipc", "", 0, false, "127.0.0.1:80"},
    {"ipc://@abstract", "ipc", "", 0, false, "@abstract"},
    {"ipc://@@", "ipc", "", 0, false, "@@"},
    {"ipc://@*", "ipc", "", 0, false, "@*"},
    {"ipc://*", "ipc", "", 0, true, "*"},
    {"ipc://**", "ipc", "", 0, false, "**"},
    {"ipc://*/x", "ipc", "", 0, false, "*/x"},
    {"inproc://*", "inproc", "", 0, false, "*"},
    {"inproc://a://b", "inproc", "", 0, false, "a://b"},
    {"fake9://x", "fake9", "", 0, false, "x"},
};

static const char* const bad[] = {
    "",
    "tcp",
    "tcp:",
    "tcp:/",
    "://127.0.0.1:1",
    "tcp//127.0.0.1:1",
    "TCP://127.0.0.1:1",
    "t p://127.0.0.1:1",
    "tcp+x://127.0.0.1:1",
    "schemeof9://x",
    "tcp://",
    "tcp://:",
    "tcp://:80",
    "tcp://host",
    "tcp://host:",
    "tcp://host:65536",
    "tcp://host:99999",
    "tcp://host:100000",
    "tcp://host:-1",
    "tcp://host:+1",
    "tcp://host: 1",
    "tcp://host:1 ",
    "tcp://host:1x",
    "tcp://host:0x10",
    "tcp://host:**",
    "tcp://host:80/",
    "tcp://host:80/name",
    "tcp://host:80:81",
    "tcp://ho st:80",
    "tcp:// host:80",
    "tcp://ho/st:80",
    "tcp://user@host:80",
    "tcp://**:80",
    "tcp://*x:80",
    "tcp://host%eth0:80",
    "tcp://::1:80",
    "tcp://fe80::1:80",
    "tcp://[::1]",
    "tcp://[::1]:",
    "tcp://[::1]80",
    "tcp://[::1:80",
    "tcp://::1]:80",
    "tcp://[[::1]]:80",
    "tcp://[::1]]:80",
    "tcp://[]:80",
    "tcp://[host]:80",
    "tcp://[127.0.0.1]:80",
    "tcp://[*]:80",
    "tcp://[::1%]:80",
    "tcp://[%eth0]:80",
    "tcp://[::1%a%b]:80",
    "tcp://[::1%a b]:80",
    "tcp://[1:2:3:4:5:6:7:8:9]:80",
    "tcp://ho\nst:80",
    "tcp://host:8\x7f",
    "tcp://host:80\r\n",
    "\ttcp://host:80",
    "ipc://",
    "ipc:///tmp/\x7f",
    "ipc://@",
    "ipc://a\nb",
    "ipc://a\x1f",
};

static void good_ones_are_taken_apart(void** state) {
  (void) state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    mcq__endpoint_t e;
    memset(&e, 0xee, sizeof e);
    if (mcq__endpoint_parse(&e, good[i].uri) != 0) fail_msg("%s", good[i].uri);
    assert_string_equal(e.scheme, good[i].scheme);
    assert_string_equal(e.host, good[i].host);
    assert_int_equal(e.port, good[i].port);
    assert_int_equal(e.wildcard, good[i].wildcard);
    assert_string_equal(e.rest, good[i].rest);
  }
}

static void bad_ones_are_refused(void** state) {
  (void) state;
  mcq__endpoint_t e;
  assert_int_equal(mcq__endpoint_parse(&e, NULL), MCQ_EINVAL);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (mcq__endpoint_parse(&e, bad[i]) != MCQ_EINVAL) fail_msg("%s", bad[i]);
}

static void the_longest_host_and_the_next(void** state) {
  (void) state;
  char uri[1024];
  char host[300];
  mcq__endpoint_t e;
  memset(host, 'h', sizeof host);
  snprintf(uri, sizeof uri, "tcp://%.255s:1", host);
  assert_int_equal(mcq__endpoint_parse(&e, uri), 0);
  assert_int_equal(strlen(e.host), 255);
  snprintf(uri, sizeof uri, "tcp://%.256s:1", host);
  assert_int_equal(mcq__endpoint_parse(&e, uri), MCQ_EINVAL);
  snprintf(uri, sizeof uri, "fake://%.255s", host);
  assert_int_equal(mcq__endpoint_parse(&e, uri), 0);
  assert_int_equal(strlen(e.rest), 255);
  snprintf(uri, sizeof uri, "fake://%.256s", host);
  assert_int_equal(mcq__endpoint_parse(&e, uri), MCQ_EINVAL);
}

/* What a socket cannot have is refused, and not cut. */
static void the_longest_path_and_the_next(void** state) {
  (void) state;
  char uri[1024];
  char path[400];
  mcq__endpoint_t e;
  memset(path, 'p', sizeof path);
  for (int abstract = 0; abstract < 2; abstract++) {
    path[0] = abstract ? '@' : '/';
    snprintf(uri, sizeof uri, "ipc://%.107s", path);
    assert_int_equal(mcq__endpoint_parse(&e, uri), 0);
    assert_int_equal(strlen(e.rest), 107);
    snprintf(uri, sizeof uri, "ipc://%.108s", path);
    assert_int_equal(mcq__endpoint_parse(&e, uri), UV_ENAMETOOLONG);
    snprintf(uri, sizeof uri, "ipc://%.400s", path);
    assert_int_equal(mcq__endpoint_parse(&e, uri), UV_ENAMETOOLONG);
  }
}

static void text_without_an_end_is_not_run_through(void** state) {
  (void) state;
  char uri[MCQ__ENDPOINT_MAX]; /* no NUL anywhere: a sanitizer would see */
  mcq__endpoint_t e;
  memset(uri, 'x', sizeof uri);
  memcpy(uri, "ipc://", 6);
  assert_int_equal(mcq__endpoint_parse(&e, uri), MCQ_EINVAL);
}

/* ---- addresses ----------------------------------------------------------- */

static void numbers_survive_the_round_trip(void** state) {
  (void) state;
  static const char* const hosts[] = {"127.0.0.1", "255.255.255.255", "::1",
                                      "::", "2001:db8::5"};
  for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
    mcq__address_t a;
    char text[MCQ__ENDPOINT_MAX];
    mcq__endpoint_t e;
    assert_int_equal(mcq__address_numeric(&a, hosts[i], 4711), 0);
    mcq__address_text(&a, text);
    assert_int_equal(mcq__endpoint_parse(&e, text), 0);
    assert_string_equal(e.host, hosts[i]);
    assert_int_equal(e.port, 4711);
  }
}

static void scopes_are_kept(void** state) {
  (void) state;
  mcq__address_t a;
  char text[MCQ__ENDPOINT_MAX];
  assert_int_equal(mcq__address_numeric(&a, "fe80::1%lo", 1), 0);
  assert_int_not_equal(a.v6.sin6_scope_id, 0);
  mcq__address_text(&a, text);
  assert_string_equal(text, "tcp://[fe80::1%lo]:1");
  assert_int_equal(mcq__address_numeric(&a, "fe80::1%987654", 1), 0);
  assert_int_equal(a.v6.sin6_scope_id, 987654);
  mcq__address_text(&a, text);
  assert_string_equal(text, "tcp://[fe80::1%987654]:1");
  assert_int_equal(mcq__address_numeric(&a, "fe80::1%nosuch0", 1), MCQ_EINVAL);
  assert_int_equal(mcq__address_numeric(&a, "fe80::1%9x", 1), MCQ_EINVAL);
  assert_int_equal(mcq__address_numeric(&a, "fe80::1%", 1), MCQ_EINVAL);
}

static void mapped_addresses_are_shown_as_what_they_are(void** state) {
  (void) state;
  mcq__address_t a;
  char text[MCQ__ENDPOINT_MAX];
  assert_int_equal(mcq__address_numeric(&a, "::ffff:10.20.30.40", 99), 0);
  mcq__address_text(&a, text);
  assert_string_equal(text, "tcp://10.20.30.40:99");
}

static bool is_here(const char* to, const char* from) {
  mcq__address_t a;
  mcq__address_t b;
  assert_int_equal(mcq__address_numeric(&a, to, 1), 0);
  assert_int_equal(mcq__address_numeric(&b, from, 2), 0);
  return mcq__address_is_here(&a, &b);
}

static void what_does_not_leave_the_machine(void** state) {
  (void) state;
  assert_true(is_here("127.0.0.1", "127.0.0.1"));
  assert_true(is_here("127.8.9.10", "10.20.30.40"));
  assert_true(is_here("::1", "::1"));
  assert_true(is_here("::ffff:127.0.0.1", "::ffff:127.0.0.1"));
  assert_true(is_here("10.20.30.40", "10.20.30.40"));
  assert_true(is_here("::ffff:10.20.30.40", "10.20.30.40"));
  assert_true(is_here("2001:db8::7", "2001:db8::7"));
  assert_false(is_here("10.20.30.40", "10.20.30.41"));
  assert_false(is_here("10.20.30.40", "127.0.0.1"));
  assert_false(is_here("2001:db8::7", "2001:db8::8"));
  assert_false(is_here("2001:db8::7", "32.1.13.184"));
  assert_false(is_here("::2", "::1"));
}

static void local_names(void** state) {
  (void) state;
  mcq__address_t a;
  char text[MCQ__ENDPOINT_MAX];
  assert_int_equal(mcq__address_local(&a, "localhost", 5), 0);
  mcq__address_text(&a, text);
  assert_string_equal(text, "tcp://127.0.0.1:5");
  assert_int_equal(mcq__address_local(&a, "lo", 6), 0);
  mcq__address_text(&a, text);
  assert_string_equal(text, "tcp://127.0.0.1:6");
  assert_int_equal(mcq__address_local(&a, "nosuch0", 6), UV_ENODEV);
}

static void names_are_no_numbers(void** state) {
  (void) state;
  static const char* const hosts[] = {
      "localhost", "1.2.3", "1.2.3.4.5", "0x7f000001", "127.0.0.1 ", "", "::g"};
  for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
    mcq__address_t a;
    assert_int_equal(mcq__address_numeric(&a, hosts[i], 1), MCQ_EINVAL);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good_ones_are_taken_apart),
      cmocka_unit_test(bad_ones_are_refused),
      cmocka_unit_test(the_longest_host_and_the_next),
      cmocka_unit_test(the_longest_path_and_the_next),
      cmocka_unit_test(text_without_an_end_is_not_run_through),
      cmocka_unit_test(numbers_survive_the_round_trip),
      cmocka_unit_test(scopes_are_kept),
      cmocka_unit_test(mapped_addresses_are_shown_as_what_they_are),
      cmocka_unit_test(what_does_not_leave_the_machine),
      cmocka_unit_test(local_names),
      cmocka_unit_test(names_are_no_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
