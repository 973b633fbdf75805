/* SPDX-License-Identifier: MIT */
/* Payload memory: where slabs come from and where they go.  Called by the
 * read pumps, the sessions and the messages.  It never hands out a slab that
 * somebody still counts, and never touches memory of others except to read.
 *
 * A slab and its payload are one block: the struct, padding up to the next
 * multiple of 64 (where the payload is not tiny), then cap_ bytes.  A foreign
 * slab is the struct alone. */
#include "base/slab.h"

#include <pthread.h>

/* A payload starts on a cache line, unless that would cost more than it. */
#define PAYLOAD_ALIGN ((size_t) 64)
#define ALIGN_FROM ((size_t) 1024)

/* What the pool recycles.  `keep` slabs may lie idle whatever else does, more
 * while all together are not too many; with more than `quiet` the pool is
 * grown, and that many a trim leaves.  Of the last two classes one has exact
 * blocks of any size that is worth it, one the bare structs around foreign
 * memory. */
typedef struct shelf_plan {
  size_t size;
  unsigned keep;
  unsigned quiet;
} shelf_plan_t;

/* Without recycling every slab is a block of its own, for memory checkers. */
#ifdef MCQ_NO_POOL
static const bool recycling = false;
#else
static const bool recycling = true;
#endif

#define SHELVES 5
#define EXACT_SHELF 3
#define FOREIGN_SHELF 4

/* Idle bytes of all classes together: what a connection at full speed has in
 * its queue and on its way.  Memory that comes from the system anew each time
 * costs more than the copy that it is for, page by page. */
#define IDLE_MAX ((size_t) 1 << 24)

/* Exact blocks of more than this are worth keeping: a multipart message or a
 * large body that two reads bring each a part of takes one now and again.  A
 * block serves for sizes from seven eighths of its own on, and so many are
 * looked at. */
#define EXACT_FROM MCQ__SLAB_SMALL
#define EXACT_LOOKS 8

/* Bytes of slabs that were let go on other threads and not yet fetched. */
#define AWAY_MAX ((size_t) 1 << 21)

static const shelf_plan_t plans[SHELVES] = {
    {MCQ__SLAB_SMALL, 256, 16}, /* 1 MiB, 64 KiB */
    {MCQ__SLAB_MEDIUM, 16, 2},  /* 1 MiB, 128 KiB */
    {MCQ__SLAB_LARGE, 4, 1},    /* 1 MiB, 256 KiB */
    {0, 0, 0},
    {0, 1024, 64},
};

struct mcq__pool {
  mcq__mem_t* mem;
  atomic_size_t refs; /* slabs that exist, messages, and the opener */
  _Atomic(pthread_t) owner;
  _Atomic(mcq__slab_t*) away; /* let go on other threads; see send_home */
  atomic_size_t away_bytes;
  /* The rest belongs to the owner's thread. */
  bool closed;
  bool grown;  /* a shelf had more than is kept when all is quiet */
  bool taken;  /* a slab was, since the pool was last thinned */
  size_t idle; /* bytes on all shelves */
  struct {
    mcq__slab_t* idle;
    unsigned count;
    unsigned spare; /* the fewest that lay there since then */
  } shelves[SHELVES];
};

#ifdef MCQ_DEBUG
#define POISON_OPENED 0xA5
#define POISON_FREED 0xDD
#define POISON_MAX ((size_t) 1 << 20)

/* Makes reads of bytes nobody wrote, or nobody holds any more, show.  The
 * pages of a huge block are left untouched but for the edges. */
static void poison(mcq__slab_t* slab, int value) {
  const size_t edge = 4096;
  if (slab->kind_ == MCQ__SLAB_FOREIGN || slab->cap_ == 0) return;
  if (slab->cap_ <= POISON_MAX) {
    memset(slab->base_, value, slab->cap_);
  } else {
    memset(slab->base_, value, edge);
    memset(slab->base_ + slab->cap_ - edge, value, edge);
  }
}
#else
#define POISON_OPENED 0
#define POISON_FREED 0
static void poison(mcq__slab_t* slab, int value) {
  (void) slab;
  (void) value;
}
#endif

/* With the address sanitizer a slab on a shelf is as unreadable as a freed
 * one. */
#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len) ((void) (at), (void) (len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void) (at), (void) (len))
#endif

static void veil(mcq__slab_t* slab) {
  ASAN_POISON_MEMORY_REGION(slab->base_, slab->cap_);
}

static void unveil(mcq__slab_t* slab) {
  ASAN_UNPOISON_MEMORY_REGION(slab->base_, slab->cap_);
}

/* ---- blocks -------------------------------------------------------------- */

/* A new slab of `size` payload bytes, or NULL.  Invariant: base_ lies inside
 * the block and base_ + cap_ not behind its end, for head + slack + size does
 * not wrap and aligning moves base_ by no more than slack. */
static mcq__slab_t* make(mcq__pool_t* pool, size_t size) {
  size_t head = sizeof(mcq__slab_t);
  size_t slack = size < ALIGN_FROM ? 0 : PAYLOAD_ALIGN - 1;
  if (size > PTRDIFF_MAX - head - slack) return NULL;
  char* block = (char*) mcq__mem_alloc(pool->mem, head + slack + size);
  if (block == NULL) return NULL;
  mcq__slab_t* slab = (mcq__slab_t*) (void*) block;
  memset(slab, 0, sizeof *slab);
  size_t pad = (0 - ((uintptr_t) block + head)) & slack;
  slab->base_ = (uint8_t*) block + head + pad;
  slab->cap_ = size;
  slab->pool_ = pool;
  mcq__pool_retain(pool);
  return slab;
}

/* Gives the block back.  Invariant: nobody counts the slab and no free list
 * holds it. */
static void unmake(mcq__slab_t* slab) {
  mcq__pool_t* pool = slab->pool_;
  mcq__mem_free(pool->mem, slab);
  mcq__pool_release(pool);
}

/* ---- shelves ------------------------------------------------------------- */

/* True on the one thread that may touch the shelves. */
static bool at_home(mcq__pool_t* pool) {
  pthread_t owner = atomic_load_explicit(&pool->owner, memory_order_relaxed);
  return pthread_equal(owner, pthread_self());
}

/* Where no slab can be: stands in `away` when nobody fetches any more. */
static mcq__slab_t* shut(mcq__pool_t* pool) {
  return (mcq__slab_t*) (void*) pool;
}

static bool has_place(const mcq__pool_t* pool, unsigned shelf, size_t size) {
  if (pool->shelves[shelf].count < plans[shelf].keep) return true;
  return shelf != FOREIGN_SHELF && pool->idle < IDLE_MAX &&
         size <= IDLE_MAX - pool->idle;
}

static bool shelve(mcq__slab_t* slab) {
  mcq__pool_t* pool = slab->pool_;
  unsigned shelf = slab->size_class_;
  size_t size = shelf == EXACT_SHELF ? slab->whole_ : slab->cap_;
  if (!has_place(pool, shelf, size)) return false;
  slab->cap_ = size;
  veil(slab);
  pool->idle += slab->cap_;
  slab->next_ = pool->shelves[shelf].idle;
  pool->shelves[shelf].idle = slab;
  pool->shelves[shelf].count++;
  if (pool->shelves[shelf].count > plans[shelf].quiet) pool->grown = true;
  return true;
}

/* From another thread: leaves the slab where its owner finds it.  Invariant:
 * until it lies there it keeps the pool alive, and then it is the owner's. */
static bool send_home(mcq__slab_t* slab) {
  mcq__pool_t* pool = slab->pool_;
  size_t size = slab->cap_;
  if (slab->size_class_ == FOREIGN_SHELF) return false;
  size_t before =
      atomic_fetch_add_explicit(&pool->away_bytes, size, memory_order_relaxed);
  mcq__slab_t* head = atomic_load_explicit(&pool->away, memory_order_relaxed);
  do {
    if (before + size > AWAY_MAX || head == shut(pool)) {
      atomic_fetch_sub_explicit(&pool->away_bytes, size, memory_order_relaxed);
      return false;
    }
    slab->next_ = head;
  } while (!atomic_compare_exchange_weak_explicit(
      &pool->away, &head, slab, memory_order_release, memory_order_relaxed));
  return true;
}

/* Frees what lies there, or puts it on its shelf. */
static void put_away(mcq__slab_t* slab, bool keep) {
  while (slab != NULL) {
    mcq__slab_t* next = slab->next_;
    atomic_fetch_sub_explicit(&slab->pool_->away_bytes, slab->cap_,
                              memory_order_relaxed);
    if (!keep || !shelve(slab)) unmake(slab);
    slab = next;
  }
}

/* On the owner's thread: all that came home. */
static void fetch(mcq__pool_t* pool) {
  mcq__slab_t* head = atomic_load_explicit(&pool->away, memory_order_relaxed);
  if (head == NULL || head == shut(pool)) return;
  put_away(atomic_exchange_explicit(&pool->away, NULL, memory_order_acquire),
           true);
}

/* Whether an idle slab of the class will do for `size` bytes. */
static bool serves(const mcq__slab_t* slab, unsigned shelf, size_t size) {
  return shelf != EXACT_SHELF ||
         (slab->cap_ >= size && slab->cap_ - slab->cap_ / 8 <= size);
}

/* Takes out what `at` points to.  Invariant: what lies on a shelf is counted by
 * nobody, so the taker is the only one who can name it. */
static mcq__slab_t* unshelve(mcq__pool_t* pool, unsigned shelf,
                             mcq__slab_t** at) {
  mcq__slab_t* slab = *at;
  *at = slab->next_;
  slab->next_ = NULL;
  pool->idle -= slab->cap_;
  pool->shelves[shelf].count--;
  unveil(slab);
  mcq__check(atomic_load(&slab->refs_) == 0);
  return slab;
}

/* An idle slab, or NULL. */
static mcq__slab_t* find(mcq__pool_t* pool, unsigned shelf, size_t size) {
  if (shelf == EXACT_SHELF && size < EXACT_FROM - EXACT_FROM / 8) return NULL;
  pool->taken = true;
  if (pool->shelves[shelf].idle == NULL) fetch(pool);
  mcq__slab_t** at = &pool->shelves[shelf].idle;
  for (unsigned i = 0; i < EXACT_LOOKS && *at != NULL; i++) {
    if (serves(*at, shelf, size)) {
      mcq__slab_t* slab = unshelve(pool, shelf, at);
      if (pool->shelves[shelf].count < pool->shelves[shelf].spare)
        pool->shelves[shelf].spare = pool->shelves[shelf].count;
      return slab;
    }
    at = &(*at)->next_;
  }
  return NULL;
}

/* Takes an idle slab of the class, or makes one; it has `size` bytes and its
 * count is 1.  Invariant: a block that has more is not used beyond them. */
static mcq__slab_t* take(mcq__pool_t* pool, unsigned shelf, size_t size) {
  mcq__slab_t* slab = at_home(pool) ? find(pool, shelf, size) : NULL;
  if (slab == NULL) {
    slab = make(pool, size);
    if (slab == NULL) return NULL;
    slab->size_class_ = (uint8_t) shelf;
    if (shelf == EXACT_SHELF) slab->whole_ = size;
  }
  slab->cap_ = size;
  atomic_init(&slab->refs_, 1);
  return slab;
}

/* Puts a slab that reached zero back on its shelf, or frees it.  Invariant:
 * shelves are touched by the owner's thread alone; a slab let go elsewhere gets
 * there by his hands, and after the pool was closed none does. */
static void put_back(mcq__slab_t* slab) {
  mcq__pool_t* pool = slab->pool_;
  bool kept = false;
  if (recycling)
    kept = at_home(pool) ? !pool->closed && shelve(slab) : send_home(slab);
  if (!kept) unmake(slab);
}

static void thin(mcq__pool_t* pool, unsigned shelf, unsigned leave) {
  while (pool->shelves[shelf].count > leave) {
    unmake(unshelve(pool, shelf, &pool->shelves[shelf].idle));
  }
  if (pool->shelves[shelf].spare > leave) pool->shelves[shelf].spare = leave;
}

/* ---- pool ---------------------------------------------------------------- */

int mcq__pool_open(mcq__pool_t** out, mcq__mem_t* mem) {
  mcq__pool_t* pool = mcq__new(mem, mcq__pool_t);
  if (pool == NULL) return MCQ_ENOMEM;
  pool->mem = mem;
  atomic_init(&pool->owner, pthread_self());
  atomic_init(&pool->refs, 1);
  atomic_init(&pool->away, NULL);
  atomic_init(&pool->away_bytes, 0);
  *out = pool;
  return 0;
}

void mcq__pool_close(mcq__pool_t* pool) {
  if (pool == NULL) return;
  mcq__check(!pool->closed);
  put_away(
      atomic_exchange_explicit(&pool->away, shut(pool), memory_order_acquire),
      false);
  for (unsigned i = 0; i < SHELVES; i++) thin(pool, i, 0);
  pool->closed = true;
  mcq__pool_release(pool);
}

void mcq__pool_adopt(mcq__pool_t* pool) {
  atomic_store_explicit(&pool->owner, pthread_self(), memory_order_relaxed);
}

void mcq__pool_trim(mcq__pool_t* pool) {
  for (unsigned i = 0; i < SHELVES; i++) thin(pool, i, plans[i].quiet);
}

bool mcq__pool_grown(const mcq__pool_t* pool) {
  return pool->grown;
}

/* Who needs slabs now and then finds as many as he needed last time. */
bool mcq__pool_thin(mcq__pool_t* pool) {
  fetch(pool);
  pool->grown = false;
  for (unsigned i = 0; i < SHELVES; i++) {
    unsigned count = pool->shelves[i].count;
    unsigned spare = pool->shelves[i].spare;
    unsigned leave = plans[i].quiet;
    if (!pool->taken)
      leave = 0;
    else if (leave < count - spare)
      leave = count - spare;
    thin(pool, i, leave);
    pool->shelves[i].spare = pool->shelves[i].count;
    if (pool->shelves[i].count > plans[i].quiet) pool->grown = true;
  }
  pool->taken = false;
  return pool->grown;
}

void mcq__pool_retain(mcq__pool_t* pool) {
  atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
}

void mcq__pool_release(mcq__pool_t* pool) {
  size_t before =
      atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel);
  mcq__check(before > 0);
  if (before == 1) mcq__mem_free(pool->mem, pool);
}

mcq__mem_t* mcq__pool_mem(const mcq__pool_t* pool) {
  return pool->mem;
}

size_t mcq__pool_idle(const mcq__pool_t* pool) {
  return pool->idle;
}

/* ---- slab ---------------------------------------------------------------- */

/* Invariant: base_ is cast free of const only to be stored; no function
 * writes through a foreign slab, because no window ever opens on one. */
mcq__slab_t* mcq__slab_foreign(mcq__pool_t* pool, const void* data, size_t len,
                               bool transient,
                               void (*release)(void* data, void* arg),
                               void* arg) {
  mcq__slab_t* slab = take(pool, FOREIGN_SHELF, 0);
  if (slab == NULL) return NULL;
  slab->kind_ = MCQ__SLAB_FOREIGN;
  slab->transient_ = transient;
  slab->base_ = (uint8_t*) (uintptr_t) data;
  slab->cap_ = len;
  slab->release_ = release;
  slab->arg_ = arg;
  return slab;
}

/* Invariant: the caller saw the count reach zero, so this runs once a life of
 * the slab and nobody else can name it.  The release callback comes last: it
 * may do anything, even let go of the pool. */
void mcq__slab_destroy(mcq__slab_t* slab) {
  poison(slab, POISON_FREED);
  if (slab->kind_ == MCQ__SLAB_EXACT && slab->whole_ < EXACT_FROM) {
    unmake(slab);
    return;
  }
  if (slab->kind_ != MCQ__SLAB_FOREIGN) {
    put_back(slab);
    return;
  }
  void (*release)(void* data, void* arg) = slab->release_;
  void* data = slab->base_;
  void* arg = slab->arg_;
  slab->base_ = NULL;
  slab->cap_ = 0;
  put_back(slab);
  if (release != NULL) release(data, arg);
}

/* ---- window -------------------------------------------------------------- */

static int open_on(mcq__window_t* w, mcq__slab_t* slab, uint8_t kind) {
  if (slab == NULL) return MCQ_ENOMEM;
  slab->kind_ = kind;
  poison(slab, POISON_OPENED);
  mcq__slab_release(w->slab_);
  w->slab_ = slab;
  w->at_ = 0;
  return 0;
}

/* Invariant: the slab is nobody else's, so all its bytes are writable and
 * none of them was promised to a reader. */
int mcq__window_open(mcq__window_t* w, mcq__pool_t* pool, size_t size) {
  unsigned shelf = 0;
  while (shelf < EXACT_SHELF && plans[shelf].size < size) shelf++;
  if (shelf == EXACT_SHELF) return mcq__window_open_exact(w, pool, size);
  return open_on(w, take(pool, shelf, plans[shelf].size), MCQ__SLAB_POOLED);
}

/* Invariant: as above. */
int mcq__window_open_exact(mcq__window_t* w, mcq__pool_t* pool, size_t size) {
  return open_on(w, take(pool, EXACT_SHELF, size), MCQ__SLAB_EXACT);
}

/* ---- slice --------------------------------------------------------------- */

int mcq__slice_copy(mcq__slice_t* out, mcq__pool_t* pool, const void* data,
                    size_t len) {
  mcq__slice_t empty = {NULL, 0, NULL};
  *out = empty;
  if (len == 0) return 0;
  mcq__window_t w = {NULL, 0};
  if (mcq__window_open_exact(&w, pool, len) != 0) return MCQ_ENOMEM;
  mcq__window_poke(&w, 0, data, len);
  *out = mcq__window_freeze(&w, len);
  mcq__window_close(&w);
  return 0;
}

bool mcq__slice_keepable(mcq__slice_t s) {
  if (s.len == 0) return true;
  if (s.slab_ == NULL || s.slab_->transient_) return false;
  if (s.slab_->kind_ == MCQ__SLAB_POOLED) return false;
  if (s.len > MCQ__KEEP_COPY_MAX) return true;
  return s.slab_->kind_ == MCQ__SLAB_EXACT && s.len >= s.slab_->cap_ / 2;
}

int mcq__slice_keep(mcq__slice_t* out, mcq__pool_t* pool, mcq__slice_t s) {
  if (s.len == 0 || !mcq__slice_keepable(s))
    return mcq__slice_copy(out, pool, s.data, s.len);
  *out = mcq__slice_retain(s);
  return 0;
}
