/* Asynchronous aggregation: devices go on without waiting for each other, each in local rounds of its own, and an
 * aggregate takes the first `buffer` updates. To the engine the whole run is one round, whose stages are all kept:
 * there is no instant at which every walk through idle time passes the same stage. */
#ifndef PP_TIMELINE_ASYNC_H
#define PP_TIMELINE_ASYNC_H

#include "timeline/engine.h"

/* The end of a device's local round. */
typedef struct pp_local_round {
  pp_span up;     /* its model_upload */
  pp_span down;   /* the model_download that followed */
  int64_t source; /* the aggregate at whose end `down` began; -1: it began at once */
} pp_local_round;

typedef struct pp_async_device {
  int64_t first;          /* its first local round in pp_async.local_rounds */
  int64_t local_round;    /* in hand, or the last one */
  int64_t version;        /* of the model that it began with */
  pp_ns model_arrival;    /* of that model; PP_NS_NEVER while it is on its way over the server's link: */
  pp_local_round *before; /* the local round before it */
  pp_ns last_end_ns;      /* of that one's compute stages */
  /* Of the first so many all stages are in records; of the rest those that began in earlier rounds. */
  int64_t recorded_iterations, recorded_rounds;
  bool is_touched; /* something may have begun that is not recorded */
} pp_async_device;

/* What a round is reported with, known when its aggregate has ended. */
typedef struct pp_async_figures {
  pp_ns end_ns;
  double device_idle_s, server_idle_s;
} pp_async_figures;

struct pp_async {
  pp_async_device *devices;     /* (device_count) */
  pp_local_round *local_rounds; /* by device, local round */
  int64_t update_count, complete, taken;
  pp_update *updates;        /* (update_count) in the order in which they are complete */
  pp_span *aggregates;       /* (rounds) */
  int64_t ended;             /* aggregates; the model's newest version */
  int64_t reported;          /* rounds; fewer where ends of transfers that began in one are not known yet */
  pp_async_figures *figures; /* (rounds) of the aggregates that have ended */
  bool is_due, runs;
  bool is_held; /* the device of slot 0, which the aggregate occupies, has a micro-batch there */
  /* Devices whose updates are complete and that have no newer model yet; the first `expecting` of them since before
   * this instant. */
  int64_t waiting_count, expecting;
  int32_t *waiting; /* (device_count) */
  pp_ns previous_end_ns;
  pp_int128 device_busy, server_busy; /* up to there */
};

PP_MUST_CHECK pp_status pp_async_create(pp_timeline *timeline);
void pp_async_destroy(pp_async *async);

/* Transfers over the server's link that have ended by `now`. */
void pp_async_end_transfers(pp_timeline *timeline, pp_ns now);
/* An instant of the timeline's queue that is no wake: ids below 0. */
void pp_async_take(pp_timeline *timeline, int64_t id);
/* Everything that ends or arrives at `now` has: begins and ends aggregates and sends models. True: an aggregate has
 * ended. */
bool pp_async_settle(pp_timeline *timeline, pp_ns now);
/* Slot 0 is the device's alone, and an aggregate is on it: its micro-batch waits. */
void pp_async_hold(pp_timeline *timeline);
/* The device's iteration in hand ends at its compute_free. */
void pp_async_end_iteration(pp_timeline *timeline, int64_t device, const pp_program *program);

/* Something of the device may begin. */
static inline void pp_async_touch(pp_timeline *timeline, int64_t device) {
  if (timeline->async != NULL)
    timeline->async->devices[device].is_touched = true;
}

PP_MUST_CHECK pp_status pp_async_next_round(pp_timeline *timeline, pp_round_times *out);

/* Iterations [*first, *end) of the run that a device does in a local round. */
void pp_async_iterations(const pp_timeline *timeline, int64_t device, int64_t local_round, int64_t *first,
                         int64_t *end);
static inline const pp_local_round *pp_async_local_round(const pp_timeline *timeline, int64_t device,
                                                         int64_t local_round) {
  const pp_async *async = timeline->async;
  return &async->local_rounds[async->devices[device].first + local_round];
}
/* The update that an aggregate waited for last. */
static inline const pp_update *pp_async_last_update(const pp_timeline *timeline, int64_t aggregate) {
  int64_t end = (aggregate + 1) * timeline->scenario->buffer;
  return &timeline->async->updates[(end < timeline->async->update_count ? end : timeline->async->update_count) - 1];
}

#endif
