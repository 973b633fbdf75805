/* SPDX-License-Identifier: MIT */
/* The machine, for whoever reads a result later on. */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "perf_report.h"

#ifdef __clang__
static const char* const compiler = "clang " __clang_version__;
#else
static const char* const compiler = "gcc " __VERSION__;
#endif

/* The first "model name" of /proc/cpuinfo; not every architecture has one. */
static void read_cpu(char* out, size_t size) {
  char line[256];
  FILE* f = fopen("/proc/cpuinfo", "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL) {
    const char* colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) != 0 || colon == NULL) continue;
    colon += strspn(colon, ": \t");
    snprintf(out, size, "%.*s", (int) strcspn(colon, "\n"), colon);
    break;
  }
  if (f != NULL) fclose(f);
}

/* What rivals send with; this library does so, too, where nothing is gained by
 * another one. */
static void read_congestion(char* out, size_t size) {
  char line[64] = "";
  FILE* f = fopen("/proc/sys/net/ipv4/tcp_congestion_control", "r");
  if (f != NULL && fgets(line, sizeof line, f) != NULL)
    snprintf(out, size, "%.*s", (int) strcspn(line, "\n"), line);
  if (f != NULL) fclose(f);
}

void perf_machine_read(perf_machine_t* out) {
  *out = (perf_machine_t){0};
  read_cpu(out->cpu, sizeof out->cpu);
  read_congestion(out->congestion, sizeof out->congestion);
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) out->cores = CPU_COUNT(&set);
  struct utsname u;
  if (uname(&u) == 0)
    snprintf(out->kernel, sizeof out->kernel, "%s %s %s", u.sysname, u.release,
             u.machine);
  snprintf(out->compiler, sizeof out->compiler, "%s", compiler);
  time_t now = time(NULL);
  struct tm tm;
  if (gmtime_r(&now, &tm) != NULL)
    strftime(out->date, sizeof out->date, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
