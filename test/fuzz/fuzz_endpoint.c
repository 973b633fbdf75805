/* SPDX-License-Identifier: MIT */
/* Any bytes as endpoint text.  Properties: what is taken has no control byte
 * and no empty part, its parts put together are taken again and give the same
 * parts, and a numeric host survives becoming an address and text again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "io/address.h"
#include "io/endpoint.h"
#include "monocoque/errno.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len);

static void require(bool property) {
  if (!property) abort();
}

static void clean(const char* text, size_t size) {
  size_t len = strnlen(text, size);
  require(len < size);
  for (size_t i = 0; i < len; i++)
    require((unsigned char) text[i] >= 0x20 && text[i] != 0x7f);
  for (size_t i = len; i < size; i++) require(text[i] == '\0');
}

static bool equal(const mcq__endpoint_t* a, const mcq__endpoint_t* b) {
  return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0 &&
         strcmp(a->rest, b->rest) == 0 && a->port == b->port &&
         a->wildcard == b->wildcard;
}

static void survives_as_text(const mcq__endpoint_t* e) {
  char text[2 * MCQ__ENDPOINT_MAX];
  mcq__endpoint_t again;
  bool tcp = strcmp(e->scheme, "tcp") == 0;
  bool v6 = strchr(e->host, ':') != NULL;
  if (tcp)
    snprintf(text, sizeof text, v6 ? "tcp://[%s]:%u" : "tcp://%s:%u", e->host,
             (unsigned) e->port);
  else
    snprintf(text, sizeof text, "%s://%s", e->scheme, e->rest);
  require(mcq__endpoint_parse(&again, text) == 0);
  require(equal(e, &again));
}

static void survives_as_address(const mcq__endpoint_t* e) {
  mcq__address_t a;
  mcq__address_t b;
  char text[MCQ__ENDPOINT_MAX];
  mcq__endpoint_t again;
  if (mcq__address_numeric(&a, e->host, e->port) != 0) return;
  mcq__address_text(&a, text);
  clean(text, strlen(text) + 1);
  require(mcq__endpoint_parse(&again, text) == 0);
  require(again.port == e->port);
  require(mcq__address_numeric(&b, again.host, again.port) == 0);
  char text_again[MCQ__ENDPOINT_MAX];
  mcq__address_text(&b, text_again);
  require(strcmp(text, text_again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len) {
  mcq__endpoint_t e;
  char* uri = (char*) malloc(len + 1);
  require(uri != NULL);
  if (len != 0) memcpy(uri, data, len);
  uri[len] = '\0';
  memset(&e, 0xee, sizeof e);
  int rc = mcq__endpoint_parse(&e, uri);
  require(rc == 0 || rc == MCQ_EINVAL || rc == UV_ENAMETOOLONG);
  free(uri);
  if (rc != 0) return 0;
  clean(e.scheme, sizeof e.scheme);
  clean(e.host, sizeof e.host);
  clean(e.rest, sizeof e.rest);
  bool tcp = strcmp(e.scheme, "tcp") == 0;
  bool ipc = strcmp(e.scheme, "ipc") == 0;
  require(e.scheme[0] != '\0');
  require((e.host[0] != '\0') == tcp && (e.rest[0] != '\0') == !tcp);
  require(e.wildcard == (strcmp(ipc ? e.rest : e.host, "*") == 0));
  require(!ipc ||
          (strlen(e.rest) <= MCQ__PATH_MAX && strcmp(e.rest, "@") != 0));
  survives_as_text(&e);
  if (tcp) survives_as_address(&e);
  return 0;
}
