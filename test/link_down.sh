#!/bin/sh
# SPDX-License-Identifier: MIT
# Connections whose network goes away and comes back: test/link_pairs between
# two network namespaces, as whoever calls this, who becomes root in a user
# namespace for it.  Called from a build directory, where that program is.
# 77, with the reason, where that is not permitted.
set -u

if ! command -v ip >/dev/null 2>&1; then
  echo "no program ip here (package iproute2)"
  exit 77
fi
if ! command -v unshare >/dev/null 2>&1; then
  echo "no program unshare here (package util-linux)"
  exit 77
fi
if ! unshare -Urn true 2>/dev/null; then
  echo "user and network namespaces cannot run here"
  exit 77
fi
exec unshare -Urn ./test/link_pairs
