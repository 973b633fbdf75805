/* SPDX-License-Identifier: MIT */
/* Stands in for libFuzzer: hands each file given, and each file in each folder
 * given, to the fuzz target it is linked with.  A property that does not hold
 * aborts the program; a folder without files is a mistake, too. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len);

/* Runs one file; its bytes end where their block ends, so that an overrun is
 * seen.  Returns the files run: 1, or -1. */
static int run_file(const char* path, size_t len) {
  FILE* f = fopen(path, "rb");
  uint8_t* data = (uint8_t*) malloc(len == 0 ? 1 : len);
  int rc = -1;
  if (f != NULL && data != NULL && fread(data, 1, len, f) == len) {
    LLVMFuzzerTestOneInput(data, len);
    rc = 1;
  } else {
    perror(path);
  }
  free(data);
  if (f != NULL) fclose(f);
  return rc;
}

static int run_folder(const char* path);

static int run_path(const char* path) {
  struct stat st;
  if (stat(path, &st) != 0) {
    perror(path);
    return -1;
  }
  if (S_ISDIR(st.st_mode)) return run_folder(path);
  return run_file(path, (size_t) st.st_size);
}

static int run_folder(const char* path) {
  struct dirent* entry;
  int count = 0;
  DIR* dir = opendir(path);
  if (dir == NULL) {
    perror(path);
    return -1;
  }
  while (count >= 0 && (entry = readdir(dir)) != NULL) {
    char name[4096];
    if (entry->d_name[0] == '.') continue;
    int len = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    int n = len < 0 || (size_t) len >= sizeof name ? -1 : run_path(name);
    count = n < 0 ? -1 : count + n;
  }
  closedir(dir);
  return count;
}

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    int count = run_path(argv[i]);
    if (count <= 0) {
      fprintf(stderr, "%s: %s\n", argv[i],
              count == 0 ? "no files" : "not read");
      return 1;
    }
    printf("%s: %d inputs\n", argv[i], count);
  }
  if (argc < 2) fprintf(stderr, "usage: %s FILE-OR-FOLDER...\n", argv[0]);
  return argc < 2;
}
