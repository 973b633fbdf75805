/* SPDX-License-Identifier: MIT */
/* Mailboxes: what other threads have for a socket.  They post under a lock,
 * which is held for as long as it takes to note a message down, and ring the
 * bell of the loop; there all that was posted is taken at once and sent one
 * after the other, as if the user did.  Where the socket takes no more the rest
 * waits, and is what fills the mailbox.
 *
 * Whoever holds it may post for ever: when its socket goes, a mailbox stays
 * behind that refuses everything. */
#include "socket/socket.h"

/* Done in one go before others have their turn. */
#define POSTS_PER_TURN 1024
#define BYTES_PER_TURN ((uint64_t) 1 << 20)

/* Storage for more posts than this is given back when they are done with. */
#define POSTS_KEPT ((size_t) 4096)

/* A message, or a call; neither, when its message has been sent. */
typedef struct post {
  mcq_msg_t* msg; /* counting */
  mcq_post_cb call;
  void* arg;
} post_t;

struct mcq_mailbox {
  /* Does not change. */
  mcq__pool_t* pool; /* a share of it */
  uint64_t max_posts;
  uint64_t max_bytes;
  bool sends; /* the type can */

  uv_mutex_t lock; /* of all up to the loop's part */
  mcq__io_t* io;   /* NULL: the socket is gone */
  mcq__fifo_t in;  /* of post_t: not yet taken */
  uint64_t posts;  /* not done with, taken or not */
  uint64_t bytes;
  unsigned holders;
  bool closed;  /* takes nothing more */
  bool rung;    /* the loop is going to look, or knows that it need not */
  bool starved; /* somebody was told MCQ_EAGAIN */

  /* The loop's. */
  mcq__ring_t ring;
  mcq__node_t node; /* in socket->mailboxes */
  mcq_socket_t* socket;
  mcq_mailbox_options_t options;
  mcq__fifo_t out; /* of post_t: taken */
  size_t taken;    /* how many at once */
  bool running;    /* inside run */
  bool stuck;      /* the socket takes no more for now */
  bool counted;    /* among what must go before the socket */
  bool forgotten;  /* after a fork */
};

static mcq__mem_t* mem_of(const mcq_mailbox_t* m) {
  return mcq__pool_mem(m->pool);
}

/* ---- the end ------------------------------------------------------------- */

static void drop_posts(mcq__fifo_t* posts) {
  for (; posts->count > 0; mcq__fifo_shift(posts))
    mcq__msg_release(((post_t*) mcq__fifo_first(posts))->msg);
  mcq__fifo_dispose(posts);
}

/* On whatever thread lets go last. */
static void destroy(mcq_mailbox_t* m) {
  mcq__pool_t* pool = m->pool;
  drop_posts(&m->in);
  drop_posts(&m->out);
  uv_mutex_destroy(&m->lock);
  mcq__mem_free(mem_of(m), m);
  mcq__pool_release(pool);
}

/* The socket and its mailbox part: what is left belongs to those who hold it.
 * The bell is told under the lock: who lets go just before may have rung. */
static void detach(mcq_mailbox_t* m) {
  mcq_socket_t* s = m->socket;
  mcq__list_remove(&m->node);
  m->socket = NULL;
  bool counted = m->counted;
  uv_mutex_lock(&m->lock);
  mcq__bell_cancel(m->io, &m->ring);
  m->closed = true;
  m->io = NULL;
  bool held = m->holders != 0;
  uv_mutex_unlock(&m->lock);
  if (!held) destroy(m);
  if (!counted) return;
  s->alive--;
  mcq__socket_check_closed(s);
}

/* ---- in the loop --------------------------------------------------------- */

static int send_post(mcq_socket_t* s, const mcq_msg_t* msg) {
  mcq__body_t body = {.slices = msg->frames, .count = msg->count};
  return s->pattern->send(s, &body);
}

/* What cannot be sent is given up; the user learns which and why. */
static void fail_post(mcq_mailbox_t* m, mcq_msg_t* msg, int code) {
  mcq_socket_t* s = m->socket;
  mcq__socket_failure(s, code);
  s->counts.posts_failed++;
  if (m->options.on_failed != NULL)
    m->options.on_failed(s, msg, code, m->options.data);
}

/* The oldest post, which anything may become of meanwhile but to stay: a
 * callback may close the socket.  False: it must wait.  `*bytes` gets its
 * size. */
static bool take_step(mcq_mailbox_t* m, uint64_t* bytes) {
  post_t p = *(post_t*) mcq__fifo_first(&m->out);
  *bytes = p.msg == NULL ? 0 : p.msg->bytes;
  int rc = p.msg == NULL ? 0 : send_post(m->socket, p.msg);
  if (rc == MCQ_EAGAIN) {
    m->stuck = true;
    m->socket->mail_waits = true;
    return false;
  }
  mcq__fifo_shift(&m->out);
  if (rc != 0) fail_post(m, p.msg, rc);
  mcq__msg_release(p.msg);
  if (p.call != NULL) p.call(m->socket, p.arg);
  return true;
}

/* All that was posted, when what was taken before is done with. */
static void take(mcq_mailbox_t* m) {
  if (m->out.count != 0) return;
  uv_mutex_lock(&m->lock);
  mcq__fifo_t taken = m->in;
  m->in = m->out;
  m->out = taken;
  uv_mutex_unlock(&m->lock);
  m->taken = taken.count;
}

static void give_storage_back(mcq_mailbox_t* m) {
  if (m->out.count == 0 && m->taken > POSTS_KEPT) mcq__fifo_dispose(&m->out);
}

/* Keeps the books of a turn.  True when half of it is free for those who were
 * refused. */
static bool settle(mcq_mailbox_t* m, uint64_t posts, uint64_t bytes) {
  uv_mutex_lock(&m->lock);
  m->posts -= posts;
  m->bytes -= bytes;
  bool drained = m->starved && !m->closed && m->posts <= m->max_posts / 2 &&
                 m->bytes <= m->max_bytes / 2;
  if (drained) m->starved = false;
  uv_mutex_unlock(&m->lock);
  return drained;
}

/* Whether anything is left to do, now or ever. */
typedef enum outlook { NOTHING, SOMETHING, THE_END } outlook_t;

static outlook_t look_ahead(mcq_mailbox_t* m) {
  uv_mutex_lock(&m->lock);
  m->rung = m->posts != 0; /* then nobody has to ring */
  bool over = m->posts == 0 && (m->closed || m->holders == 0);
  outlook_t next = m->rung ? SOMETHING : NOTHING;
  uv_mutex_unlock(&m->lock);
  return over || m->forgotten ? THE_END : next;
}

static void run(mcq__task_t* task) {
  mcq_mailbox_t* m = mcq__container_of(task, mcq_mailbox_t, ring.task);
  mcq__io_t* io = &m->socket->host->io;
  uint64_t posts = 0;
  uint64_t bytes = 0;
  uint64_t size = 0;
  m->running = true;
  m->stuck = false;
  take(m);
  while (m->out.count > 0 && posts < POSTS_PER_TURN && bytes < BYTES_PER_TURN &&
         take_step(m, &size)) {
    posts++;
    bytes += size;
  }
  if (settle(m, posts, bytes) && m->options.on_drain != NULL)
    m->options.on_drain(m->socket, m->options.data);
  m->running = false;
  mcq__io_spend(io, posts, bytes, 0);
  give_storage_back(m);
  outlook_t next = look_ahead(m);
  if (next == THE_END)
    detach(m);
  else if (next == SOMETHING && !m->stuck)
    mcq__io_later(io, &m->ring.task);
}

/* ---- what the socket says ------------------------------------------------ */

void mcq__mailboxes_room(mcq_socket_t* s) {
  s->mail_waits = false;
  for (mcq__node_t* n = s->mailboxes.next; n != &s->mailboxes; n = n->next) {
    mcq_mailbox_t* m = mcq__container_of(n, mcq_mailbox_t, node);
    if (m->stuck) mcq__io_work(&s->host->io, &m->ring.task);
  }
}

/* Last orders: what the socket does not take now is lost.  No callback comes
 * inside a call, so posted calls stay where they are. */
static void send_all(mcq_socket_t* s, const mcq__fifo_t* posts) {
  for (size_t i = 0; i < posts->count; i++) {
    post_t* p = (post_t*) mcq__fifo_at(posts, i);
    if (p->msg == NULL) continue;
    if (send_post(s, p->msg) != 0) {
      s->counts.posts_failed++;
      s->lost_messages++;
      s->lost_bytes += p->msg->bytes;
    }
    mcq__msg_release(p->msg);
    p->msg = NULL;
  }
}

void mcq__mailboxes_close(mcq_socket_t* s) {
  for (mcq__node_t* n = s->mailboxes.next; n != &s->mailboxes; n = n->next) {
    mcq_mailbox_t* m = mcq__container_of(n, mcq_mailbox_t, node);
    uv_mutex_lock(&m->lock);
    m->closed = true;
    uv_mutex_unlock(&m->lock);
    send_all(s, &m->out);
    send_all(s, &m->in);
    m->stuck = false;
    m->counted = true;
    s->alive++;
    if (!m->running) mcq__io_work(&s->host->io, &m->ring.task);
  }
}

/* What was posted goes out in the parent.  Where another thread was in the
 * middle of posting, what it left is not looked at. */
void mcq__mailboxes_forget(mcq_socket_t* s) {
  mcq__node_t* n = s->mailboxes.next;
  while (n != &s->mailboxes) {
    mcq_mailbox_t* m = mcq__container_of(n, mcq_mailbox_t, node);
    n = n->next;
    m->options.on_failed = NULL;
    m->options.on_drain = NULL;
    m->forgotten = true;
    drop_posts(&m->out);
    if (mcq__io_repair(&m->lock))
      drop_posts(&m->in);
    else
      mcq__fifo_init(&m->in, mem_of(m), sizeof(post_t));
    if (!m->running) detach(m);
  }
}

void mcq__mailboxes_each(const mcq_socket_t* s,
                         void (*each)(uint64_t posts, uint64_t bytes,
                                      void* arg),
                         void* arg) {
  const mcq__node_t* head = &s->mailboxes;
  for (mcq__node_t* n = head->next; n != head; n = n->next) {
    mcq_mailbox_t* m = mcq__container_of(n, mcq_mailbox_t, node);
    uv_mutex_lock(&m->lock);
    uint64_t posts = m->posts;
    uint64_t bytes = m->bytes;
    uv_mutex_unlock(&m->lock);
    each(posts, bytes, arg);
  }
}

/* ---- posting ------------------------------------------------------------- */

/* Under the lock. */
static int admit(mcq_mailbox_t* m, const post_t* p, size_t bytes) {
  if (m->closed) return MCQ_ECLOSED;
  if (m->posts >= m->max_posts || m->bytes >= m->max_bytes) {
    m->starved = true;
    return MCQ_EAGAIN;
  }
  post_t* slot = (post_t*) mcq__fifo_push(&m->in);
  if (slot == NULL) return MCQ_ENOMEM;
  *slot = *p;
  m->posts++;
  m->bytes += bytes;
  if (!m->rung) mcq__bell_ring(m->io, &m->ring);
  m->rung = true;
  return 0;
}

static int post(mcq_mailbox_t* m, const post_t* p, size_t bytes) {
  uv_mutex_lock(&m->lock);
  int rc = admit(m, p, bytes);
  uv_mutex_unlock(&m->lock);
  return rc;
}

/* Takes over the count of `msg`. */
static int post_message(mcq_mailbox_t* m, mcq_msg_t* msg) {
  if (msg == NULL) return MCQ_ENOMEM;
  post_t p = {.msg = msg};
  int rc = post(m, &p, msg->bytes);
  if (rc != 0) mcq__msg_release(msg);
  return rc;
}

int mcq_post(mcq_mailbox_t* mailbox, const mcq_frame_t* frames, size_t count) {
  if (!mailbox->sends) return MCQ_ENOTSUP;
  if (count == 0) return MCQ_EINVAL;
  return post_message(mailbox, mcq__msg_copy(mailbox->pool, frames, count));
}

int mcq_post_msg(mcq_mailbox_t* mailbox, const mcq_msg_t* msg) {
  if (!mailbox->sends) return MCQ_ENOTSUP;
  if (msg->count == 0) return MCQ_EINVAL;
  return post_message(mailbox, mcq__msg_keep(msg));
}

int mcq_post_call(mcq_mailbox_t* mailbox, mcq_post_cb call, void* arg) {
  if (call == NULL) return MCQ_EINVAL;
  post_t p = {.call = call, .arg = arg};
  return post(mailbox, &p, 0);
}

/* ---- holding ------------------------------------------------------------- */

static int64_t settled(int64_t value, int64_t standard) {
  return value == 0 ? standard : value;
}

static mcq_mailbox_t* make(mcq_socket_t* s,
                           const mcq_mailbox_options_t* options) {
  mcq_mailbox_t* m = mcq__new(s->host->mem, mcq_mailbox_t);
  if (m == NULL || uv_mutex_init(&m->lock) != 0) {
    mcq__mem_free(s->host->mem, m);
    return NULL;
  }
  int64_t posts = settled(options->hwm, 1000);
  int64_t bytes = settled(options->hwm_bytes, 8 << 20);
  m->max_posts = posts < 0 ? UINT64_MAX : (uint64_t) posts;
  m->max_bytes = bytes < 0 ? UINT64_MAX : (uint64_t) bytes;
  m->pool = s->host->pool;
  m->sends = s->pattern->send != NULL;
  m->io = &s->host->io;
  m->holders = 1;
  m->socket = s;
  m->options = *options;
  m->ring.task.run = run;
  mcq__fifo_init(&m->in, s->host->mem, sizeof(post_t));
  mcq__fifo_init(&m->out, s->host->mem, sizeof(post_t));
  mcq__pool_retain(m->pool);
  return m;
}

int mcq_mailbox_new(mcq_socket_t* socket, const mcq_mailbox_options_t* options,
                    mcq_mailbox_t** out) {
  static const mcq_mailbox_options_t defaults = {0};
  if (options == NULL) options = &defaults;
  if (out == NULL || options->hwm < -1 || options->hwm_bytes < -1)
    return MCQ_EINVAL;
  if (socket->leaving) return MCQ_ECLOSED;
  int rc = mcq__bell_open(&socket->host->io);
  if (rc != 0) return rc;
  mcq_mailbox_t* m = make(socket, options);
  if (m == NULL) return MCQ_ENOMEM;
  mcq__list_insert(&socket->mailboxes, &m->node);
  *out = m;
  return 0;
}

mcq_mailbox_t* mcq_mailbox_retain(mcq_mailbox_t* mailbox) {
  uv_mutex_lock(&mailbox->lock);
  mailbox->holders++;
  uv_mutex_unlock(&mailbox->lock);
  return mailbox;
}

/* The loop sees to the rest when it has done with what was posted. */
void mcq_mailbox_release(mcq_mailbox_t* mailbox) {
  if (mailbox == NULL) return;
  uv_mutex_lock(&mailbox->lock);
  bool last = --mailbox->holders == 0;
  bool alone = last && mailbox->io == NULL;
  if (last && !alone && !mailbox->rung)
    mcq__bell_ring(mailbox->io, &mailbox->ring);
  uv_mutex_unlock(&mailbox->lock);
  if (alone) destroy(mailbox);
}
