/* SPDX-License-Identifier: MIT */
/* Binding on ipc: taking a place in the file system, and giving it back.
 *
 * A socket's file outlives the process that was killed, and nobody can bind to
 * a file that is there.  So a socket that nobody has open any more is removed
 * first; one that somebody has, or whatever else lies there, never is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/ipc.h"

/* Where a wildcard's socket is: in a directory of its own that only this user
 * can enter, in the system's place for such things. */
#define ANY "ipc://%s/mcq-XXXXXX"
#define ANY_NAME "/socket"
#define LAST_RESORT "/tmp"

/* How often a place is tried that others take and leave meanwhile. */
#define TRIES 3

typedef struct place {
  mcq__door_t door;
  mcq__endpoint_t at; /* no wildcard any more */
  bool bound;         /* the path is ours: this file */
  dev_t device;
  ino_t inode;
  size_t own; /* bytes of the path that are a directory of our own; 0: none */
} place_t;

/* An abstract name is in no directory, and goes with its socket. */
static bool is_path(const place_t* p) {
  return p->at.rest[0] != '@';
}

/* ---- giving it back ------------------------------------------------------ */

/* Only the very file that was made: another may lie there by now. */
static void remove_socket(const place_t* p) {
  struct stat now;
  if (lstat(p->at.rest, &now) == 0 && now.st_dev == p->device &&
      now.st_ino == p->inode)
    (void) unlink(p->at.rest);
}

static void remove_directory(place_t* p) {
  p->at.rest[p->own] = '\0';
  (void) rmdir(p->at.rest);
}

/* The socket still is open, so no other file can have its inode. */
static void give_back(place_t* p) {
  if (p->bound) remove_socket(p);
  if (p->own != 0) remove_directory(p);
  p->bound = false;
  p->own = 0;
}

void mcq__ipc_leave(mcq__door_t* door) {
  give_back(mcq__container_of(door, place_t, door));
}

/* ---- a path that is taken ------------------------------------------------ */

/* 0 when no process has the socket at that address.  A datagram socket asks:
 * it cannot be connected to a stream one, so whoever listens does not notice,
 * and one that is bound but does not listen yet is seen as well. */
static int check_abandoned(const mcq__ipc_address_t* a) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return uv_translate_sys_error(errno);
  bool refused = connect(fd, (const struct sockaddr*) &a->un, a->size) != 0 &&
                 errno == ECONNREFUSED;
  close(fd);
  return refused ? 0 : UV_EADDRINUSE;
}

/* Makes the path free.  0, or why it is not. */
static int clear(const mcq__ipc_address_t* a) {
  struct stat there;
  const char* path = a->un.sun_path;
  int rc = 0;
  if (lstat(path, &there) != 0)
    rc = uv_translate_sys_error(errno);
  else if (!S_ISSOCK(there.st_mode))
    rc = UV_EADDRINUSE;
  else
    rc = check_abandoned(a);
  if (rc == 0 && unlink(path) != 0) rc = uv_translate_sys_error(errno);
  return rc == UV_ENOENT ? 0 : rc; /* somebody else cleared it */
}

/* ---- taking it ----------------------------------------------------------- */

static int bind_to(const place_t* p, int fd) {
  mcq__ipc_address_t a;
  mcq__ipc_address(&a, p->at.rest);
  for (int i = 0; i < TRIES; i++) {
    if (bind(fd, (const struct sockaddr*) &a.un, a.size) == 0) return 0;
    int rc = uv_translate_sys_error(errno);
    if (rc == UV_EADDRINUSE && is_path(p)) rc = clear(&a);
    if (rc != 0) return rc;
  }
  return UV_EADDRINUSE;
}

static int remember_file(place_t* p) {
  struct stat now;
  if (lstat(p->at.rest, &now) != 0) return uv_translate_sys_error(errno);
  p->bound = true;
  p->device = now.st_dev;
  p->inode = now.st_ino;
  return 0;
}

/* A listening socket at the place, or an error. */
static int take(place_t* p, int backlog) {
  int fd = mcq__stream_socket(AF_UNIX);
  if (fd < 0) return fd;
  int rc = bind_to(p, fd);
  if (rc == 0 && is_path(p)) rc = remember_file(p);
  if (rc == 0 && listen(fd, backlog) != 0) rc = uv_translate_sys_error(errno);
  if (rc == 0) return fd;
  give_back(p);
  close(fd);
  return rc;
}

static bool name_within(mcq__endpoint_t* out, const char* directory) {
  char text[MCQ__ENDPOINT_MAX];
  snprintf(text, sizeof text, ANY ANY_NAME, directory);
  return directory[0] == '/' && mcq__endpoint_parse(out, text) == 0;
}

/* Replaces the wildcard by a path that nobody has. */
static int choose(place_t* p) {
  char directory[sizeof p->at.rest];
  size_t size = sizeof directory;
  /* A directory that endpoints cannot name, or not from everywhere, is of no
   * use. */
  if (uv_os_tmpdir(directory, &size) != 0 || !name_within(&p->at, directory))
    (void) name_within(&p->at, LAST_RESORT);
  char* end = p->at.rest + strlen(p->at.rest) - strlen(ANY_NAME);
  *end = '\0';
  if (mkdtemp(p->at.rest) == NULL) return uv_translate_sys_error(errno);
  *end = ANY_NAME[0];
  p->own = (size_t) (end - p->at.rest);
  return 0;
}

int mcq__ipc_listen(mcq__listener_t* l) {
  place_t* p = mcq__new(l->io->mem, place_t);
  if (p == NULL) return MCQ_ENOMEM;
  p->at = l->endpoint;
  int rc = p->at.wildcard ? choose(p) : 0;
  int fd = rc != 0 ? rc : take(p, l->backlog);
  if (fd < 0) {
    give_back(p);
    mcq__mem_free(l->io->mem, p);
    return fd;
  }
  snprintf(l->address, sizeof l->address, "ipc://%s", p->at.rest);
  return mcq__door_open(&p->door, l, &mcq__ipc_family, fd);
}
