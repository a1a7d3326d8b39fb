#include "timeline/async.h"

#include <stdlib.h>

#include "base/mem.h"
#include "timeline/scenario.h"
#include "timeline/sharing.h"

/* Ids of instants: -1 an aggregate may begin or end, those below an update is complete, lower devices first, and below
 * those a model begins its way up over the server's link. */
enum { TICK = -1 };
static int64_t completion_id(const pp_timeline *timeline, int64_t device) {
  return device - timeline->device_count - 1;
}

static int64_t sending_id(const pp_timeline *timeline, int64_t device) {
  return completion_id(timeline, device) - timeline->device_count;
}

static void post(pp_timeline *timeline, int64_t id, pp_ns at) {
  if (at < PP_NS_NEVER)
    pp_queue_push(&timeline->instants, at, id);
}

static pp_status create_local_rounds(pp_timeline *timeline) {
  pp_async *async = timeline->async;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    const pp_device_class *class = timeline->plans[timeline->devices[device].plan].class;
    async->devices[device].first = async->update_count;
    async->update_count += pp_class_rounds(class);
  }
  PP_ASSERT(timeline->scenario->rounds == pp_async_rounds(async->update_count, timeline->scenario->buffer));
  size_t updates = (size_t)async->update_count, rounds = (size_t)timeline->scenario->rounds;
  PP_TRY(pp_alloc(updates, sizeof *async->local_rounds, "the devices' rounds", &async->local_rounds));
  for (size_t local_round = 0; local_round < updates; local_round++)
    async->local_rounds[local_round].up.start_ns = async->local_rounds[local_round].down.start_ns = PP_NS_NEVER;
  PP_TRY(pp_alloc(updates, sizeof *async->updates, "the devices' updates", &async->updates));
  PP_TRY(pp_alloc(rounds, sizeof *async->figures, "the aggregates", &async->figures));
  return pp_alloc(rounds, sizeof *async->aggregates, "the aggregates", &async->aggregates);
}

void pp_async_iterations(const pp_timeline *timeline, int64_t device, int64_t local_round, int64_t *first,
                         int64_t *end) {
  pp_class_round_iterations(timeline->plans[timeline->devices[device].plan].class, local_round, first, end);
}

/* What the device computes in its local round in hand. */
static void count_work(pp_timeline *timeline, int64_t device) {
  int64_t first = 0, end = 0;
  pp_async_iterations(timeline, device, timeline->async->devices[device].local_round, &first, &end);
  timeline->left_ns[device] = 0;
  for (int64_t iteration = first; iteration < end; iteration++)
    timeline->left_ns[device] =
        pp_later(timeline, timeline->left_ns[device], pp_round_program(timeline, device, iteration)->device_work_ns);
}

pp_status pp_async_create(pp_timeline *timeline) {
  size_t count = (size_t)timeline->device_count;
  PP_TRY(pp_alloc(1, sizeof *timeline->async, "the devices' updates", &timeline->async));
  pp_async *async = timeline->async;
  PP_TRY(pp_alloc(count, sizeof *async->devices, "the devices' updates", &async->devices));
  PP_TRY(pp_alloc(count, sizeof *async->waiting, "the devices' updates", &async->waiting));
  PP_TRY(create_local_rounds(timeline));
  pp_engine_reset_round(timeline);
  for (int class = 0; class < timeline->scenario->class_count; class ++)
    timeline->round_iterations[class] = timeline->plans[class].class->iterations;
  timeline->previous_end_ns = PP_NS_NEVER; /* so that what has begun counts as early, whole */
  for (int64_t device = 0; device < timeline->device_count; device++) {
    count_work(timeline, device);
    pp_reactive_begin_round(timeline, device);
  }
  return NULL;
}

void pp_async_destroy(pp_async *async) {
  if (async == NULL)
    return;
  free(async->devices);
  free(async->local_rounds);
  free(async->updates);
  free(async->aggregates);
  free(async->figures);
  free(async->waiting);
  free(async);
}

static pp_local_round *round_in_hand(const pp_timeline *timeline, int64_t device) {
  const pp_async_device *at = &timeline->async->devices[device];
  return &timeline->async->local_rounds[at->first + at->local_round];
}

/* The device's model has left the link. The last gradient has come down, so the end of the replica's update is known.
 */
static void await_update(pp_timeline *timeline, int64_t device, pp_span up) {
  const pp_device_state *state = &timeline->devices[device];
  timeline->model_up[device] = up;
  pp_ns arrival = pp_later(timeline, up.end_ns, timeline->plans[state->plan].up_latency_ns);
  post(timeline, completion_id(timeline, device), arrival > state->replica_free ? arrival : state->replica_free);
}

void pp_async_end_iteration(pp_timeline *timeline, int64_t device, const pp_program *program) {
  pp_device_state *state = &timeline->devices[device];
  const pp_class_plan *plan = &timeline->plans[state->plan];
  pp_engine_count_iteration(timeline, device, program);
  if (!pp_class_closes_round(plan->class, state->iteration))
    return;
  timeline->lanes[device].finished = true;
  pp_resource_times *times = &timeline->device_times[device];
  int64_t bytes = plan->class->full->model_upload_bytes;
  pp_ns start = state->compute_free > state->up_free ? state->compute_free : state->up_free;
  times->bytes_up = pp_later(timeline, times->bytes_up, bytes);
  timeline->stage_count++;
  pp_span *up = &round_in_hand(timeline, device)->up;
  if (timeline->sharing != NULL) {
    *up = (pp_span){start, PP_NS_NEVER};
    post(timeline, sending_id(timeline, device), start);
    return;
  }
  *up = (pp_span){start, pp_link_finish(&plan->up, start, bytes)};
  timeline->overflow = timeline->overflow || up->end_ns == PP_NS_NEVER;
  state->up_free = up->end_ns;
  await_update(timeline, device, *up);
}

static bool has_rounds_left(const pp_timeline *timeline, int64_t device) {
  const pp_device_class *class = timeline->plans[timeline->devices[device].plan].class;
  return timeline->async->devices[device].local_round + 1 < pp_class_rounds(class);
}

void pp_async_take(pp_timeline *timeline, int64_t id) {
  pp_async *async = timeline->async;
  if (id == TICK)
    return;
  int64_t device = id + timeline->device_count + 1;
  if (device < 0) {
    device += timeline->device_count;
    pp_sharing_start(timeline, device, true, &round_in_hand(timeline, device)->up,
                     timeline->plans[timeline->devices[device].plan].class->full->model_upload_bytes, timeline->now);
    return;
  }
  const pp_async_device *at = &async->devices[device];
  pp_update *update = &async->updates[async->complete++];
  *update = (pp_update){.device = (int32_t)device, .local_round = at->local_round, .version = at->version};
  pp_async_iterations(timeline, device, at->local_round, &update->first_iteration, &update->end_iteration);
  if (has_rounds_left(timeline, device))
    async->waiting[async->waiting_count++] = (int32_t)device;
}

/* The model has left the link, on which its way began the local round: the device computes once it is there. */
static void await_model(pp_timeline *timeline, int64_t device, pp_span down) {
  pp_async_device *at = &timeline->async->devices[device];
  pp_device_state *state = &timeline->devices[device];
  timeline->model_down[device] = down;
  at->model_arrival = pp_later(timeline, down.end_ns, timeline->plans[state->plan].down_latency_ns);
  if (!timeline->overflow)
    pp_causes_model_gap(timeline, device, at->last_end_ns, at->model_arrival, (pp_span){down.start_ns, down.start_ns},
                        down.start_ns);
  state->up_free = state->down_free = down.end_ns;
  state->compute_free = at->model_arrival;
  if (!timeline->lanes[device].finished)
    pp_reactive_wake_at(timeline, device, at->model_arrival);
}

void pp_async_end_transfers(pp_timeline *timeline, pp_ns now) {
  int64_t device;
  for (pp_span *span; (span = pp_sharing_take(timeline, now, &device)) != NULL;) {
    const pp_async_device *at = &timeline->async->devices[device];
    if (span == &round_in_hand(timeline, device)->up)
      await_update(timeline, device, *span);
    else if (at->before != NULL && span == &at->before->down)
      await_model(timeline, device, *span);
    else
      pp_reactive_wake_at(timeline, device, now);
  }
}

/* The newest model goes to the device; source: the aggregate that ends now, -1: none. */
static void send_model(pp_timeline *timeline, int64_t device, pp_ns now, int64_t source) {
  pp_async *async = timeline->async;
  pp_async_device *at = &async->devices[device];
  pp_device_state *state = &timeline->devices[device];
  pp_resource_times *times = &timeline->device_times[device];
  const pp_class_plan *plan = &timeline->plans[state->plan];
  int64_t bytes = plan->class->full->model_download_bytes;
  at->before = round_in_hand(timeline, device);
  at->before->source = source;
  at->last_end_ns = state->compute_free;
  at->is_touched = true;
  at->version = async->ended;
  times->bytes_down = pp_later(timeline, times->bytes_down, bytes);
  timeline->stage_count++;
  if (has_rounds_left(timeline, device)) {
    at->local_round++;
    count_work(timeline, device);
    timeline->lanes[device].finished = false;
  }
  if (timeline->sharing != NULL) {
    at->model_arrival = state->compute_free = PP_NS_NEVER;
    pp_sharing_start(timeline, device, false, &at->before->down, bytes, now);
    return;
  }
  at->before->down = (pp_span){now, pp_link_finish(&plan->down, now, bytes)};
  timeline->overflow = timeline->overflow || at->before->down.end_ns == PP_NS_NEVER;
  await_model(timeline, device, at->before->down);
}

/* To the first `count` devices that wait. */
static void send_models(pp_timeline *timeline, int64_t count, pp_ns now, int64_t source) {
  pp_async *async = timeline->async;
  for (int64_t place = 0; place < count; place++)
    send_model(timeline, async->waiting[place], now, source);
  for (int64_t place = count; place < async->waiting_count; place++)
    async->waiting[place - count] = async->waiting[place];
  async->waiting_count -= count;
}

static void end_aggregate(pp_timeline *timeline, pp_ns now) {
  pp_async *async = timeline->async;
  async->runs = false;
  async->ended++;
  if (async->is_held)
    pp_queue_push(&timeline->waiting, timeline->devices[0].arrival, 0);
  async->is_held = false;
  send_models(timeline, async->expecting, now, async->ended - 1);
  if (async->ended < timeline->scenario->rounds)
    return;
  for (int64_t device = 0; device < timeline->device_count; device++)
    send_model(timeline, device, now, async->ended - 1);
}

/* On slot 0, before any micro-batch that waits for it. */
static void begin_aggregate(pp_timeline *timeline, pp_ns now) {
  pp_async *async = timeline->async;
  int64_t left = async->complete - async->taken, most = timeline->scenario->buffer;
  pp_span span = {now, pp_later(timeline, now, timeline->scenario->aggregate_ns)};
  async->is_due = false;
  async->runs = true;
  async->taken += left < most ? left : most;
  async->aggregates[async->ended] = span;
  if (timeline->slot_free[0] < now && !timeline->overflow)
    pp_causes_async_aggregate(timeline, async->ended);
  if (!timeline->has_own_slots) {
    PP_ASSERT(timeline->free_slots.count > 0 && timeline->free_slots.entries[0].key == 0);
    pp_queue_pop(&timeline->free_slots);
    pp_queue_push(&timeline->busy_slots, span.end_ns, 0);
  }
  timeline->slot_free[0] = span.end_ns;
  timeline->slot_times[0].busy_ns += span.end_ns - span.start_ns;
  timeline->early_server_busy += span.end_ns - span.start_ns;
  timeline->stage_count++;
  post(timeline, TICK, span.end_ns);
}

bool pp_async_settle(pp_timeline *timeline, pp_ns now) {
  pp_async *async = timeline->async;
  bool ends = async->runs && timeline->slot_free[0] <= now;
  if (ends)
    end_aggregate(timeline, now);
  int64_t left = async->complete - async->taken;
  if (!async->runs && !async->is_due &&
      (left >= timeline->scenario->buffer || (left > 0 && async->complete == async->update_count))) {
    async->is_due = true;
    if (timeline->slot_free[0] > now)
      post(timeline, TICK, timeline->slot_free[0]);
  }
  if (async->is_due && timeline->slot_free[0] <= now)
    begin_aggregate(timeline, now);
  if (!async->runs && !async->is_due)
    send_models(timeline, async->waiting_count, now, -1);
  async->expecting = async->waiting_count;
  return ends;
}

void pp_async_hold(pp_timeline *timeline) { timeline->async->is_held = true; }

/* What of the stages that have begun lies after `end`. */
static pp_int128 device_rest(const pp_timeline *timeline, pp_ns end) {
  pp_int128 rest = 0;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    pp_ns free = timeline->devices[device].compute_free;
    if (free > end && free != timeline->async->devices[device].model_arrival)
      rest += free - end;
  }
  return rest;
}

static pp_int128 server_rest(const pp_timeline *timeline, pp_ns end) {
  pp_int128 rest = 0;
  for (int slot = 0; slot < timeline->slot_count; slot++)
    if (timeline->slot_free[slot] > end)
      rest += timeline->slot_free[slot] - end;
  return rest;
}

/* The most stages that the device may have begun and that are not recorded. */
static int64_t count_unrecorded(const pp_timeline *timeline, int64_t device) {
  const pp_async_device *at = &timeline->async->devices[device];
  const pp_device_state *state = &timeline->devices[device];
  return (state->iteration + 1 - at->recorded_iterations) * timeline->plans[state->plan].stride +
         2 * (at->local_round + 1 - at->recorded_rounds);
}

/* Whether a stage of the device's iteration begins in [from, to). */
static bool begins(const pp_timeline *timeline, int64_t device, int64_t iteration, pp_ns from, pp_ns to) {
  const pp_program *program = pp_round_program(timeline, device, iteration);
  const pp_span *spans = pp_iteration_spans(timeline, device, iteration);
  for (int index = 0; index < program->count; index++)
    if (from <= spans[index].start_ns && spans[index].start_ns < to)
      return true;
  return false;
}

static void record_model(pp_timeline *timeline, int64_t device, pp_stage stage, pp_span span, pp_ns from, pp_ns to) {
  if (from <= span.start_ns && span.start_ns < to)
    pp_records_add_model(timeline, device, stage, span, PP_NS_NEVER);
  else if (to <= span.start_ns && span.start_ns < PP_NS_NEVER)
    pp_async_touch(timeline, device);
}

/* What of the device began in the round, which lasted [from, to). */
static void record_device(pp_timeline *timeline, int64_t device, pp_ns from, pp_ns to) {
  pp_async_device *at = &timeline->async->devices[device];
  at->is_touched = false;
  for (int64_t iteration = at->recorded_iterations; iteration <= timeline->devices[device].iteration; iteration++) {
    pp_records_add_begun(timeline, device, iteration, from, to);
    if (begins(timeline, device, iteration, to, PP_NS_NEVER))
      at->is_touched = true; /* a slot will get to it */
    else if (iteration == at->recorded_iterations && iteration < timeline->devices[device].iteration)
      at->recorded_iterations++;
  }
  for (int64_t round = at->recorded_rounds; round <= at->local_round; round++) {
    const pp_local_round *local_round = &timeline->async->local_rounds[at->first + round];
    record_model(timeline, device, PP_STAGE_MODEL_UPLOAD, local_round->up, from, to);
    record_model(timeline, device, PP_STAGE_MODEL_DOWNLOAD, local_round->down, from, to);
    if (round == at->recorded_rounds && local_round->down.start_ns < to)
      at->recorded_rounds++;
  }
}

static pp_status record_round(pp_timeline *timeline, int64_t round, bool is_last) {
  pp_async *async = timeline->async;
  pp_ns from = round > 0 ? async->aggregates[round - 1].end_ns : 0;
  pp_ns to = is_last ? PP_NS_NEVER : async->aggregates[round].end_ns;
  int64_t count = 1;
  for (int64_t device = 0; device < timeline->device_count; device++)
    count += async->devices[device].is_touched ? count_unrecorded(timeline, device) : 0;
  PP_TRY(pp_records_make_room(timeline, count));
  timeline->record_count = 0;
  for (int64_t device = 0; device < timeline->device_count; device++)
    if (async->devices[device].is_touched)
      record_device(timeline, device, from, to);
  pp_records_add_aggregate(timeline, async->aggregates[round]);
  for (int64_t row = 0; row < timeline->record_count; row++)
    timeline->records[row].round = (int32_t)round;
  pp_records_sort(timeline);
  return NULL;
}

/* The aggregate of a round has ended, the last one's models have arrived. */
static void figure(pp_timeline *timeline, int64_t round) {
  pp_async *async = timeline->async;
  pp_ns end = async->aggregates[round].end_ns;
  for (int64_t device = 0; device < timeline->device_count && round + 1 == timeline->scenario->rounds; device++)
    if (async->devices[device].model_arrival > end)
      end = async->devices[device].model_arrival;
  pp_int128 device_busy = timeline->early_device_busy - device_rest(timeline, end);
  pp_int128 server_busy = timeline->early_server_busy - server_rest(timeline, end);
  pp_ns length = end - async->previous_end_ns;
  async->figures[round] = (pp_async_figures){
      .end_ns = end,
      .device_idle_s = pp_mean_idle_s(length, timeline->device_count, device_busy - async->device_busy),
      .server_idle_s = pp_mean_idle_s(length, timeline->slot_count, server_busy - async->server_busy)};
  async->previous_end_ns = end;
  async->device_busy = device_busy;
  async->server_busy = server_busy;
}

/* Until the next aggregate has ended, the last one's models have arrived. */
static pp_status advance(pp_timeline *timeline) {
  pp_async *async = timeline->async;
  int64_t round = async->ended;
  pp_engine_run(timeline, PP_NS_NEVER);
  if (async->ended == timeline->scenario->rounds && timeline->sharing != NULL)
    pp_engine_run(timeline, PP_NS_NEVER);
  /* The end of a transfer over the server's link that is too late is never known. */
  bool is_stuck =
      timeline->sharing != NULL &&
      (async->ended == round || (async->ended == timeline->scenario->rounds && pp_sharing_is_busy(timeline->sharing)));
  if (timeline->overflow || is_stuck)
    return pp_fail(PP_CODE_RUN, "round %lld: the emulated time passes 2^63 nanoseconds (292 years)", (long long)round);
  PP_ASSERT(async->ended == round + 1);
  figure(timeline, round);
  return NULL;
}

pp_status pp_async_next_round(pp_timeline *timeline, pp_round_times *out) {
  pp_async *async = timeline->async;
  int64_t round = async->reported++, first = round * timeline->scenario->buffer;
  while (async->ended <= round)
    PP_TRY(advance(timeline));
  while (timeline->record_stages && timeline->sharing != NULL &&
         pp_sharing_has_from_before(timeline, async->aggregates[round].end_ns))
    PP_TRY(advance(timeline));
  bool is_last = round + 1 == timeline->scenario->rounds;
  int64_t left = async->update_count - first;
  *out = (pp_round_times){.round = round,
                          .end_ns = async->figures[round].end_ns,
                          .is_last = is_last,
                          .update_count = left < timeline->scenario->buffer ? left : timeline->scenario->buffer,
                          .updates = async->updates + first,
                          .device_idle_s = async->figures[round].device_idle_s,
                          .server_idle_s = async->figures[round].server_idle_s};
  out->member_count = out->update_count;
  for (int64_t which = 0; which < out->update_count; which++) {
    int64_t iterations = out->updates[which].end_iteration - out->updates[which].first_iteration;
    if (iterations > out->iterations)
      out->iterations = iterations;
  }
  if (timeline->record_stages)
    PP_TRY(record_round(timeline, round, is_last));
  out->record_count = timeline->record_count;
  out->records = timeline->records;
  timeline->makespan = out->end_ns;
  if (is_last)
    timeline->round = timeline->scenario->rounds;
  return NULL;
}
