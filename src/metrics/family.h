/* SPDX-License-Identifier: MIT */
/* Metric families as the OpenMetrics format has them: a name, a type, a unit
 * and a sentence, and samples of it, each of one figure of what is looked at.
 * The tables; what is written of them is openmetrics.c's. */
#ifndef MCQ__METRICS_FAMILY_H
#define MCQ__METRICS_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

#include "monocoque.h"

typedef enum mcq__metric_kind { MCQ__GAUGE, MCQ__COUNTER } mcq__metric_kind_t;

#define MCQ__SAMPLES_MAX 6
#define MCQ__FIGURES_MAX 48

typedef struct mcq__sample {
  unsigned figure;   /* 0: there are no more samples */
  const char* value; /* of the family's own label */
} mcq__sample_t;

typedef struct mcq__family {
  const char* name; /* behind the prefix; a unit is its end */
  const char* help;
  mcq__metric_kind_t kind;
  const char* unit;  /* NULL: none */
  const char* label; /* of its own, that tells its samples apart; NULL: none */
  uint64_t per;      /* units in one of the name's; 0: the same */
  bool unknown;      /* a figure of 0 is one that is not known */
  mcq__sample_t samples[MCQ__SAMPLES_MAX + 1];
} mcq__family_t;

/* What is looked at: its families, NULL name at the end, and its figures, by
 * the numbers that samples have. */
extern const mcq__family_t mcq__families_ctx[];
extern const mcq__family_t mcq__families_socket[];
extern const mcq__family_t mcq__families_peer[];

void mcq__figures_ctx(const mcq_ctx_stats_t* s, uint64_t v[MCQ__FIGURES_MAX]);
void mcq__figures_socket(const mcq_stats_t* s, uint64_t v[MCQ__FIGURES_MAX]);
void mcq__figures_peer(const mcq_peer_stats_t* s, uint64_t v[MCQ__FIGURES_MAX]);

#endif
