/* SPDX-License-Identifier: MIT */
/* Socket addresses and their text (see address.h).  Called when an endpoint
 * opens and when a connection is made; never by what runs per message. */
#include "io/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "monocoque/errno.h"

socklen_t mcq__address_size(const mcq__address_t* a) {
  return a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

void mcq__address_wildcard(mcq__address_t* out, int family, uint16_t port) {
  memset(out, 0, sizeof *out);
  out->any.sa_family = (sa_family_t) family;
  if (family == AF_INET6)
    out->v6.sin6_port = htons(port);
  else
    out->v4.sin_port = htons(port);
}

/* The zone behind '%': an interface by name or by number. */
static uint32_t find_zone(const char* zone) {
  uint32_t index = if_nametoindex(zone);
  if (index != 0) return index;
  char* end;
  unsigned long number = strtoul(zone, &end, 10);
  if (zone[0] < '0' || zone[0] > '9' || *end != '\0') return 0;
  return number > UINT32_MAX ? 0 : (uint32_t) number;
}

static int numeric_v6(mcq__address_t* out, const char* host, uint16_t port) {
  char text[INET6_ADDRSTRLEN];
  size_t len = strcspn(host, "%");
  if (len >= sizeof text) return MCQ_EINVAL;
  snprintf(text, sizeof text, "%.*s", (int) len, host);
  mcq__address_wildcard(out, AF_INET6, port);
  if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) != 1) return MCQ_EINVAL;
  if (host[len] == '\0') return 0;
  out->v6.sin6_scope_id = find_zone(host + len + 1);
  return out->v6.sin6_scope_id == 0 ? MCQ_EINVAL : 0;
}

int mcq__address_numeric(mcq__address_t* out, const char* host, uint16_t port) {
  mcq__address_wildcard(out, AF_INET, port);
  if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) return 0;
  return numeric_v6(out, host, port);
}

/* The interface's IPv4 address, else its first IPv6 one. */
static int interface(mcq__address_t* out, const char* name, uint16_t port) {
  uv_interface_address_t* all;
  int count;
  int rc = uv_interface_addresses(&all, &count);
  if (rc != 0) return rc;
  rc = UV_ENODEV;
  for (int i = 0; i < count; i++) {
    if (strcmp(all[i].name, name) != 0) continue;
    int family = all[i].address.address4.sin_family;
    if (family == AF_INET) {
      out->v4 = all[i].address.address4;
      out->v4.sin_port = htons(port);
      rc = 0;
      break;
    }
    if (family == AF_INET6 && rc != 0) {
      out->v6 = all[i].address.address6;
      out->v6.sin6_port = htons(port);
      rc = 0;
    }
  }
  uv_free_interface_addresses(all, count);
  return rc;
}

int mcq__address_local(mcq__address_t* out, const char* host, uint16_t port) {
  if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
  if (mcq__address_numeric(out, host, port) == 0) return 0;
  return interface(out, host, port);
}

/* Four bytes in network order. */
static void text_v4(const uint8_t ip[4], unsigned port,
                    char out[MCQ__ENDPOINT_MAX]) {
  snprintf(out, MCQ__ENDPOINT_MAX, "tcp://%u.%u.%u.%u:%u", ip[0], ip[1], ip[2],
           ip[3], port);
}

void mcq__address_text(const mcq__address_t* a, char out[MCQ__ENDPOINT_MAX]) {
  if (a->any.sa_family == AF_INET) {
    text_v4((const uint8_t*) &a->v4.sin_addr, ntohs(a->v4.sin_port), out);
    return;
  }
  const struct in6_addr* ip = &a->v6.sin6_addr;
  unsigned port = ntohs(a->v6.sin6_port);
  if (IN6_IS_ADDR_V4MAPPED(ip)) {
    text_v4(ip->s6_addr + 12, port, out);
    return;
  }
  char host[INET6_ADDRSTRLEN] = "";
  char zone[1 + IF_NAMESIZE] = "";
  inet_ntop(AF_INET6, ip, host, sizeof host);
  if (a->v6.sin6_scope_id != 0) {
    zone[0] = '%';
    if (if_indextoname(a->v6.sin6_scope_id, zone + 1) == NULL)
      snprintf(zone, sizeof zone, "%%%u", (unsigned) a->v6.sin6_scope_id);
  }
  snprintf(out, MCQ__ENDPOINT_MAX, "tcp://[%s%s]:%u", host, zone, port);
}

/* The address alone, in network order; what stands for IPv4 as that.  Returns
 * its length. */
static size_t ip_of(const mcq__address_t* a, const uint8_t** ip) {
  if (a->any.sa_family != AF_INET6) {
    *ip = (const uint8_t*) &a->v4.sin_addr;
    return 4;
  }
  bool mapped = IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr);
  *ip = a->v6.sin6_addr.s6_addr + (mapped ? 12 : 0);
  return mapped ? 4 : 16;
}

size_t mcq__address_origin(const mcq__address_t* a, uint8_t out[8]) {
  const uint8_t* from;
  size_t len = ip_of(a, &from) == 4 ? 4 : 8;
  for (size_t i = 0; i < len; i++) out[i] = from[i];
  return len;
}

bool mcq__address_is_loopback(const mcq__address_t* a) {
  const uint8_t* ip;
  return ip_of(a, &ip) == 4 ? ip[0] == 127
                            : IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

bool mcq__address_is_here(const mcq__address_t* to,
                          const mcq__address_t* from) {
  const uint8_t* ip[2];
  size_t len = ip_of(to, &ip[0]);
  if (mcq__address_is_loopback(to)) return true;
  return ip_of(from, &ip[1]) == len && memcmp(ip[0], ip[1], len) == 0;
}
