/* SPDX-License-Identifier: MIT */
/* What mcqperf found: for people (a table, on a terminal or in a document; a
 * plot) or programs (one JSON object). */
#ifndef PERF_REPORT_H
#define PERF_REPORT_H

#include <stdio.h>

#include "perf_book.h"

/* 0 or tool_fail's answer, when the file takes no more. */
int perf_report_table(const perf_book_t* book, FILE* out);
int perf_report_markdown(const perf_book_t* book, FILE* out);
int perf_report_json(const perf_book_t* book, FILE* out);
int perf_report_plot(const perf_book_t* book, FILE* out);

/* "PUSH-PULL", ...: ours, and libzmq's. */
const char* perf_report_sockets(const perf_book_t* book);
const char* perf_report_zmq_sockets(const perf_book_t* book);

/* "5.42 M", "787 k", "93": three digits. */
enum { PERF_HUMAN = 16 };
const char* perf_report_human(double n, char out[PERF_HUMAN]);

/* Where all this ran; empty where it cannot be told. */
typedef struct perf_machine {
  char cpu[128];
  long cores; /* that this process may use */
  char kernel[256];
  char congestion[32]; /* TCP's algorithm, if the system tells */
  char compiler[128];
  char date[32]; /* UTC */
} perf_machine_t;

void perf_machine_read(perf_machine_t* out);

#endif
