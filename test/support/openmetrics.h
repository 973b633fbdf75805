/* SPDX-License-Identifier: MIT */
/* A strict reader of the OpenMetrics text format 1.0, for tests: it takes what
 * the specification's grammar and its rules for names, units, types and labels
 * allow, as far as counters, gauges and infos go, and nothing else.  It knows
 * nothing of the library. */
#ifndef TEST_SUPPORT_OPENMETRICS_H
#define TEST_SUPPORT_OPENMETRICS_H

#include <stdbool.h>
#include <stddef.h>

/* What is wrong with `text` of `len` bytes, with the line, or NULL.  Static:
 * good until the next call. */
const char* om_fault(const char* text, size_t len);

/* The value of the sample that begins like this, "name" or "name{labels}", as
 * it is written there, or NULL.  Static as well. */
const char* om_value(const char* text, const char* sample);

/* Samples in all. */
size_t om_samples(const char* text);

#endif
