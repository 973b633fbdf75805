/* SPDX-License-Identifier: MIT */
/* A weather station and two listeners: PUB and SUB.
 *
 * The station publishes the weather of ten towns, over and over, and does not
 * know who listens: a topic nobody wants goes nowhere.  Each listener names
 * its town, takes five reports, tells the average and leaves.  A subscription
 * takes a moment to travel, and what was said before it arrived was not said
 * to the listener; that is PUB and SUB.
 *
 *   weather              station and listeners in one loop, and the end
 *   weather station tcp://127.0.0.1:5556
 *   weather listen tcp://127.0.0.1:5556 paris */
#include <monocoque.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPORTS = 5, PERIOD_MS = 2 };

static const char* const towns[] = {"athens", "berlin", "cork",  "delft",
                                    "essen",  "faro",   "ghent", "hamburg",
                                    "izmir",  "jena"};
enum { TOWNS = sizeof towns / sizeof *towns };

typedef struct listener {
  const char* town;
  int reports;
  int sum;
} listener_t;

static uv_timer_t clock_timer;
static mcq_ctx_t* ctx;
static int listening; /* listeners that have not heard enough */
static bool mistaken;

static void must(const char* what, int rc) {
  if (rc == 0) return;
  fprintf(stderr, "weather: %s: %s\n", what, mcq_strerror(rc));
  exit(1);
}

/* ---- the station --------------------------------------------------------- */

/* Frame 0 is what subscriptions are compared with, and frame 1 is not.  The
 * temperature of a town is 10 times its number, and a bit. */
static void publish_all(uv_timer_t* timer) {
  static int round;
  round++;
  for (int i = 0; i < TOWNS; i++) {
    char report[32];
    int len = snprintf(report, sizeof report, "%d", i * 10 + round % 3);
    const mcq_frame_t frames[] = {{towns[i], strlen(towns[i])},
                                  {report, (size_t) len}};
    must("publish", mcq_send(timer->data, frames, 2));
  }
}

static const char* open_station(const char* uri) {
  mcq_socket_t* station;
  mcq_endpoint_t here;
  mcq_socket_options_t options = {.type = MCQ_PUB};
  must("station", mcq_socket_new(ctx, &options, &station));
  must("bind", mcq_bind(station, uri, &here));
  uv_timer_init(mcq_ctx_loop(ctx), &clock_timer);
  clock_timer.data = station;
  uv_timer_start(&clock_timer, publish_all, PERIOD_MS, PERIOD_MS);
  return mcq_endpoint_uri(station, here);
}

/* ---- a listener ---------------------------------------------------------- */

static void leave(void) {
  if (clock_timer.data != NULL) uv_close((uv_handle_t*) &clock_timer, NULL);
  mcq_ctx_close(ctx, NULL);
}

static void on_report(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  listener_t* l = mcq_socket_data(socket);
  mcq_frame_t town = mcq_msg_frame(msg, 0);
  mcq_frame_t report = mcq_msg_frame(msg, 1);
  char text[32];
  snprintf(text, sizeof text, "%.*s", (int) report.len,
           (const char*) report.data);
  if (town.len != strlen(l->town) || memcmp(town.data, l->town, town.len) != 0)
    mistaken = true; /* somebody else's weather */
  l->sum += atoi(text);
  if (++l->reports < REPORTS) return;
  printf("%s: %d degrees on average\n", l->town, l->sum / REPORTS);
  mcq_close(socket, NULL);
  if (--listening == 0) leave();
}

static void open_listener(listener_t* l, const char* uri) {
  mcq_socket_t* socket;
  mcq_socket_options_t options = {
      .type = MCQ_SUB, .data = l, .on_message = on_report};
  must("listener", mcq_socket_new(ctx, &options, &socket));
  must("subscribe", mcq_subscribe(socket, l->town, strlen(l->town)));
  must("connect", mcq_connect(socket, uri, NULL, NULL));
  listening++;
}

/* ---- main ---------------------------------------------------------------- */

/* True when every listener heard its own town and nothing else. */
static bool demo(uv_loop_t* loop) {
  static listener_t cork = {.town = "cork"};
  static listener_t jena = {.town = "jena"};
  const char* uri = open_station("tcp://127.0.0.1:0");
  open_listener(&cork, uri);
  open_listener(&jena, uri);
  uv_run(loop, UV_RUN_DEFAULT);
  return !mistaken && cork.reports == REPORTS && jena.reports == REPORTS &&
         cork.sum / REPORTS / 10 == 2 && jena.sum / REPORTS / 10 == 9;
}

int main(int argc, char** argv) {
  static listener_t listener;
  uv_loop_t* loop = uv_default_loop();
  must("context", mcq_ctx_new(loop, NULL, &ctx));
  if (argc == 1) {
    bool good = demo(loop);
    return uv_loop_close(loop) == 0 && good ? 0 : 1;
  }
  if (argc == 3 && strcmp(argv[1], "station") == 0) {
    printf("weather at %s\n", open_station(argv[2]));
  } else if (argc == 4 && strcmp(argv[1], "listen") == 0) {
    listener.town = argv[3];
    open_listener(&listener, argv[2]);
  } else {
    fprintf(stderr, "usage: weather [station URI | listen URI TOWN]\n");
    return 2;
  }
  return uv_run(loop, UV_RUN_DEFAULT);
}
