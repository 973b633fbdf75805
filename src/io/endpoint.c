/* SPDX-License-Identifier: MIT */
/* Endpoint text, parsed (see endpoint.h).  Called by bind, connect and the
 * fuzzer; looks nothing up and keeps nothing. */
#include "io/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "monocoque/errno.h"

/* A piece of the text. */
typedef struct span {
  const char* at;
  size_t len;
} span_t;

static bool has_control(const char* text, size_t len) {
  for (size_t i = 0; i < len; i++)
    if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f) return true;
  return false;
}

static bool all_of(span_t s, const char* allowed) {
  for (size_t i = 0; i < s.len; i++)
    if (strchr(allowed, s.at[i]) == NULL) return false;
  return true;
}

static bool none_of(span_t s, const char* refused) {
  for (size_t i = 0; i < s.len; i++)
    if (strchr(refused, s.at[i]) != NULL) return false;
  return true;
}

static bool copy(char* out, size_t cap, span_t s) {
  if (s.len == 0 || s.len >= cap) return false;
  snprintf(out, cap, "%.*s", (int) s.len, s.at);
  return true;
}

/* "*" or 0 to 65535, in decimal. */
static bool parse_port(span_t s, uint16_t* out) {
  if (s.len == 1 && s.at[0] == '*') return true;
  if (s.len == 0 || s.len > 5 || !all_of(s, "0123456789")) return false;
  unsigned value = 0;
  for (size_t i = 0; i < s.len; i++)
    value = value * 10 + (unsigned) (s.at[i] - '0');
  *out = (uint16_t) value;
  return value <= UINT16_MAX;
}

/* "::1" or "fe80::1%eth0": what stands between brackets. */
static bool parse_v6(span_t s, mcq__endpoint_t* out) {
  const char* percent = memchr(s.at, '%', s.len);
  span_t number = {s.at, percent == NULL ? s.len : (size_t) (percent - s.at)};
  if (percent != NULL) {
    span_t zone = {percent + 1, s.len - number.len - 1};
    if (zone.len == 0 || !none_of(zone, "%/[] ")) return false;
  }
  char text[INET6_ADDRSTRLEN];
  struct in6_addr address;
  return copy(text, sizeof text, number) &&
         inet_pton(AF_INET6, text, &address) == 1 &&
         copy(out->host, sizeof out->host, s);
}

static bool parse_host(span_t s, mcq__endpoint_t* out) {
  out->wildcard = s.len == 1 && s.at[0] == '*';
  if (!out->wildcard && !none_of(s, "*:%/\\?#@[] ")) return false;
  return copy(out->host, sizeof out->host, s);
}

/* "host:port" or "[host]:port". */
static bool parse_tcp(span_t s, mcq__endpoint_t* out) {
  bool bracket = s.len != 0 && s.at[0] == '[';
  const char* end = memchr(s.at, bracket ? ']' : ':', s.len);
  if (end == NULL) return false;
  span_t host = {s.at, (size_t) (end - s.at)};
  span_t port = {end + 1, s.len - host.len - 1};
  if (!bracket) return parse_host(host, out) && parse_port(port, &out->port);
  if (port.len == 0 || port.at[0] != ':') return false;
  host.at++;
  host.len--;
  port.at++;
  port.len--;
  return parse_v6(host, out) && parse_port(port, &out->port);
}

/* A path, "@name" or "*". */
static int parse_ipc(span_t s, mcq__endpoint_t* out) {
  if (s.len > MCQ__PATH_MAX) return UV_ENAMETOOLONG;
  if (s.len == 1 && s.at[0] == '@') return MCQ_EINVAL;
  out->wildcard = s.len == 1 && s.at[0] == '*';
  return copy(out->rest, sizeof out->rest, s) ? 0 : MCQ_EINVAL;
}

int mcq__endpoint_parse(mcq__endpoint_t* out, const char* uri) {
  memset(out, 0, sizeof *out);
  if (uri == NULL) return MCQ_EINVAL;
  size_t len = strnlen(uri, MCQ__ENDPOINT_MAX);
  if (len == MCQ__ENDPOINT_MAX || has_control(uri, len)) return MCQ_EINVAL;
  const char* colon = strstr(uri, "://");
  if (colon == NULL) return MCQ_EINVAL;
  span_t scheme = {uri, (size_t) (colon - uri)};
  span_t rest = {colon + 3, len - scheme.len - 3};
  if (!all_of(scheme, "abcdefghijklmnopqrstuvwxyz0123456789") ||
      !copy(out->scheme, sizeof out->scheme, scheme))
    return MCQ_EINVAL;
  if (strcmp(out->scheme, "ipc") == 0) return parse_ipc(rest, out);
  bool good = strcmp(out->scheme, "tcp") == 0
                  ? parse_tcp(rest, out)
                  : copy(out->rest, sizeof out->rest, rest);
  return good ? 0 : MCQ_EINVAL;
}
