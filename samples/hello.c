/* SPDX-License-Identifier: MIT */
/* The smallest conversation: a DEALER asks, a ROUTER answers, both in one
 * loop.  They could as well stand in two programs on two continents; nothing
 * but the address would change.
 *
 *   cc hello.c $(pkg-config --cflags --libs monocoque) */
#include <monocoque.h>
#include <stdio.h>

/* Frames are borrowed until the callback returns; what is sent is copied. */
static void answer(mcq_socket_t* server, mcq_peer_t peer, mcq_msg_t* msg) {
  mcq_frame_t name = mcq_msg_frame(msg, 0);
  const mcq_frame_t frames[] = {{"Hello,", 6}, name};
  mcq_send_to(server, peer, frames, 2);
}

static void print(mcq_socket_t* client, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  mcq_frame_t word = mcq_msg_frame(msg, 0);
  mcq_frame_t name = mcq_msg_frame(msg, 1);
  printf("%.*s %.*s!\n", (int) word.len, (const char*) word.data,
         (int) name.len, (const char*) name.data);
  mcq_ctx_close(mcq_socket_ctx(client), NULL); /* then uv_run returns */
}

int main(void) {
  uv_loop_t* loop = uv_default_loop();
  mcq_ctx_t* ctx;
  if (mcq_ctx_new(loop, NULL, &ctx) != 0) return 1;

  mcq_socket_t *server, *client;
  mcq_endpoint_t here;
  int rc = mcq_socket_new(
      ctx, &(mcq_socket_options_t){.type = MCQ_ROUTER, .on_message = answer},
      &server);
  if (rc == 0) rc = mcq_bind(server, "tcp://127.0.0.1:0", &here);
  if (rc == 0)
    rc = mcq_socket_new(
        ctx, &(mcq_socket_options_t){.type = MCQ_DEALER, .on_message = print},
        &client);
  if (rc == 0)
    rc = mcq_connect(client, mcq_endpoint_uri(server, here), NULL, NULL);
  if (rc == 0) rc = mcq_send_text(client, "world"); /* waits until connected */

  if (rc != 0) {
    fprintf(stderr, "hello: %s\n", mcq_strerror(rc));
    mcq_ctx_close(ctx, NULL);
  }
  uv_run(loop, UV_RUN_DEFAULT);
  return uv_loop_close(loop) == 0 && rc == 0 ? 0 : 1;
}
