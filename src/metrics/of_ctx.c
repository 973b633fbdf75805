/* SPDX-License-Identifier: MIT */
/* What is told of a context: sockets and memory.  Data only. */
#include "metrics/family.h"

enum { NONE, SOCKETS, OPENED, BLOCKS, BYTES, IDLE, ALLOCATIONS, FIGURES };

const mcq__family_t mcq__families_ctx[] = {
    {.name = "sockets",
     .help = "Sockets that are open, closing ones too.",
     .kind = MCQ__GAUGE,
     .samples = {{SOCKETS, NULL}}},
    {.name = "sockets_opened",
     .help = "Sockets that were ever opened.",
     .kind = MCQ__COUNTER,
     .samples = {{OPENED, NULL}}},
    {.name = "memory_blocks",
     .help = "Blocks held from the allocator.",
     .kind = MCQ__GAUGE,
     .samples = {{BLOCKS, NULL}}},
    {.name = "memory_bytes",
     .help = "Bytes in these blocks.",
     .kind = MCQ__GAUGE,
     .unit = "bytes",
     .unknown = true,
     .samples = {{BYTES, NULL}}},
    {.name = "memory_idle_bytes",
     .help = "Bytes of these that are kept to be used again.",
     .kind = MCQ__GAUGE,
     .unit = "bytes",
     .samples = {{IDLE, NULL}}},
    {.name = "memory_allocations",
     .help = "Blocks ever taken from the allocator.",
     .kind = MCQ__COUNTER,
     .samples = {{ALLOCATIONS, NULL}}},
    {.name = NULL},
};

_Static_assert(FIGURES <= MCQ__FIGURES_MAX, "more room for figures");

void mcq__figures_ctx(const mcq_ctx_stats_t* s, uint64_t v[MCQ__FIGURES_MAX]) {
  v[SOCKETS] = s->sockets;
  v[OPENED] = s->sockets_opened;
  v[BLOCKS] = s->memory_blocks;
  v[BYTES] = s->memory_bytes;
  v[IDLE] = s->memory_idle_bytes;
  v[ALLOCATIONS] = s->memory_allocations;
}
