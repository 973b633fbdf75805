/* SPDX-License-Identifier: MIT */
/* Socket addresses and their text.  Nothing here asks a name server. */
#ifndef MCQ__IO_ADDRESS_H
#define MCQ__IO_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/endpoint.h"

/* An IPv4 or IPv6 address with its port. */
typedef union mcq__address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} mcq__address_t;

/* Bytes of it that the system wants to see. */
socklen_t mcq__address_size(const mcq__address_t* a);

/* "127.0.0.1", "::1", "fe80::1%eth0".  0, or MCQ_EINVAL when it is no number.
 */
int mcq__address_numeric(mcq__address_t* out, const char* host, uint16_t port);

/* The same, "localhost", or the name of an interface that is up.  0, or
 * UV_ENODEV when this machine has no such address. */
int mcq__address_local(mcq__address_t* out, const char* host, uint16_t port);

/* All interfaces. */
void mcq__address_wildcard(mcq__address_t* out, int family, uint16_t port);

/* What tells where somebody is, without the part that is its own to choose:
 * the address of an IPv4 peer, the network of an IPv6 one.  Returns its
 * length. */
size_t mcq__address_origin(const mcq__address_t* a, uint8_t out[8]);

/* True for an address that only this machine itself can reach. */
bool mcq__address_is_loopback(const mcq__address_t* a);

/* True when what leaves for `to` from `from` does not leave this machine: a
 * loopback address, or the sender's own. */
bool mcq__address_is_here(const mcq__address_t* to, const mcq__address_t* from);

/* "tcp://127.0.0.1:80", "tcp://[fe80::1%eth0]:80"; an IPv4 peer of an IPv6
 * socket is shown as the IPv4 address it has. */
void mcq__address_text(const mcq__address_t* a, char out[MCQ__ENDPOINT_MAX]);

#endif
