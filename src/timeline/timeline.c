#include "pipar/timeline.h"

#include <stdlib.h>

#include "base/mem.h"
#include "timeline/async.h"
#include "timeline/presence.h"
#include "timeline/sharing.h"

const char *pp_cause_name(pp_cause cause) {
  static const char *const names[PP_CAUSE_COUNT] = {
      [PP_CAUSE_DEVICE_COMPUTE] = "device_compute",
      [PP_CAUSE_UPLOAD] = "upload",
      [PP_CAUSE_SERVER_QUEUE] = "server_queue",
      [PP_CAUSE_SERVER_COMPUTE] = "server_compute",
      [PP_CAUSE_DOWNLOAD] = "download",
      [PP_CAUSE_LATENCY] = "latency",
      [PP_CAUSE_AGGREGATION] = "aggregation",
      [PP_CAUSE_DRAIN] = "drain",
      [PP_CAUSE_OVERRUN] = "overrun",
      [PP_CAUSE_ABSENT] = "absent",
  };
  return names[cause];
}

static pp_status create_plans(pp_timeline *timeline) {
  const pp_scenario *scenario = timeline->scenario;
  size_t count = (size_t)scenario->class_count;
  PP_TRY(pp_alloc(count, sizeof *timeline->plans, "the timeline's device classes", &timeline->plans));
  PP_TRY(pp_alloc(count, sizeof *timeline->round_iterations, "the timeline's device classes",
                  &timeline->round_iterations));
  int64_t factor = timeline->has_own_slots ? scenario->device_count : 1;
  for (size_t index = 0; index < count; index++) {
    PP_TRY(pp_class_plan_init(&timeline->plans[index], &scenario->classes[index], factor, scenario->is_measured));
    timeline->plans[index].event_driven =
        timeline->plans[index].event_driven || scenario->has_presence || scenario->buffer > 0;
  }
  return NULL;
}

/* Lays the spans of a round out device by device. */
static pp_status lay_out(pp_timeline *timeline, int64_t *instants) {
  size_t count = (size_t)timeline->device_count;
  *instants = 0;
  timeline->span_count = 0;
  bool woken = false;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    pp_device_state *state = &timeline->devices[device];
    state->plan = timeline->scenario->class_of[device];
    const pp_class_plan *plan = &timeline->plans[state->plan];
    int64_t iterations = plan->class->iterations_per_round, spans = 0;
    if (iterations > plan->class->iterations || timeline->scenario->buffer > 0)
      iterations = plan->class->iterations;
    state->base = timeline->span_count;
    if (__builtin_mul_overflow(iterations, plan->stride, &spans) ||
        __builtin_add_overflow(timeline->span_count, spans, &timeline->span_count))
      return pp_fail(PP_CODE_RUN, "a round has more stages than can be counted (device %lld: %lld iterations)",
                     (long long)device, (long long)iterations);
    woken = woken || plan->event_driven;
    /* Besides its next wake, a micro-batch that comes back may leave a later one behind. */
    *instants += plan->event_driven ? plan->class->full->micro_batches + 4 : 1;
    *instants += timeline->scenario->has_presence || timeline->scenario->buffer > 0 ? 4 : 0;
    /* The end of a transfer, not known before, may leave a later wake behind too. */
    *instants += timeline->scenario->server_up != NULL ? 2 * plan->class->full->micro_batches + 2 : 0;
  }
  if (woken)
    PP_TRY(pp_alloc(count, sizeof *timeline->lanes, "the timeline's devices", &timeline->lanes));
  return NULL;
}

static pp_status create_devices(pp_timeline *timeline, int64_t *instants) {
  size_t count = (size_t)timeline->device_count;
  PP_TRY(pp_alloc(count, sizeof *timeline->devices, "the timeline's devices", &timeline->devices));
  PP_TRY(pp_alloc(count, sizeof *timeline->left_ns, "the timeline's devices", &timeline->left_ns));
  PP_TRY(pp_alloc(count, sizeof *timeline->device_times, "the timeline's devices", &timeline->device_times));
  PP_TRY(pp_alloc(count, sizeof *timeline->model_up, "the timeline's devices", &timeline->model_up));
  PP_TRY(pp_alloc(count, sizeof *timeline->model_down, "the timeline's devices", &timeline->model_down));
  if (pp_takes_turns(timeline))
    PP_TRY(pp_alloc(count, sizeof *timeline->device_chain, "the timeline's devices", &timeline->device_chain));
  return lay_out(timeline, instants);
}

static pp_status create_server(pp_timeline *timeline, int64_t instants) {
  size_t slots = (size_t)timeline->slot_count;
  PP_TRY(pp_alloc(slots, sizeof *timeline->slot_free, "the timeline's slots", &timeline->slot_free));
  PP_TRY(pp_alloc(slots, sizeof *timeline->slot_pending, "the timeline's slots", &timeline->slot_pending));
  PP_TRY(pp_alloc(slots, sizeof *timeline->slot_times, "the timeline's slots", &timeline->slot_times));
  PP_TRY(pp_queue_init(&timeline->instants, instants, "the timeline's instants"));
  PP_TRY(pp_queue_init(&timeline->waiting, timeline->device_count, "the server's queue"));
  PP_TRY(pp_queue_init(&timeline->busy_slots, timeline->slot_count, "the server's slots"));
  PP_TRY(pp_queue_init(&timeline->free_slots, timeline->slot_count, "the server's slots"));
  for (int slot = 0; slot < timeline->slot_count; slot++)
    pp_queue_push(&timeline->free_slots, slot, 0);
  return NULL;
}

static pp_status create_spans(pp_timeline *timeline) {
  PP_TRY(pp_alloc((size_t)timeline->span_count, sizeof *timeline->spans, "the stages of a round", &timeline->spans));
  if (timeline->record_stages)
    PP_TRY(pp_alloc((size_t)timeline->span_count, sizeof *timeline->slot_of, "the slots of a round's stages",
                    &timeline->slot_of));
  return NULL;
}

static pp_status create_parts(pp_timeline *timeline) {
  int64_t instants = 0;
  PP_TRY(create_plans(timeline));
  PP_TRY(create_devices(timeline, &instants));
  PP_TRY(create_server(timeline, instants));
  PP_TRY(create_spans(timeline));
  if (timeline->scenario->is_measured)
    PP_TRY(pp_measured_create(timeline));
  if (timeline->scenario->has_presence)
    PP_TRY(pp_presence_create(timeline));
  if (timeline->scenario->buffer > 0)
    PP_TRY(pp_async_create(timeline));
  return timeline->scenario->server_up != NULL ? pp_sharing_create(timeline) : NULL;
}

pp_status pp_timeline_create(const pp_scenario *scenario, bool record_stages, pp_timeline **out) {
  pp_timeline *timeline = NULL;
  PP_TRY(pp_alloc(1, sizeof *timeline, "the timeline", &timeline));
  timeline->scenario = scenario;
  timeline->device_count = scenario->device_count;
  timeline->slot_count = scenario->slots;
  timeline->record_stages = record_stages;
  timeline->outlasting_slot = -1;
  timeline->has_own_slots = scenario->policy == PP_POLICY_SPACE_SHARE;
  PP_ASSERT(!timeline->has_own_slots || scenario->slots == scenario->device_count);
  pp_status status = create_parts(timeline);
  if (status != NULL) {
    pp_timeline_destroy(timeline);
    return status;
  }
  *out = timeline;
  return NULL;
}

void pp_timeline_destroy(pp_timeline *timeline) {
  if (timeline == NULL)
    return;
  if (timeline->plans != NULL)
    for (int index = 0; index < timeline->scenario->class_count; index++)
      pp_class_plan_fini(&timeline->plans[index]);
  pp_presence_destroy(timeline->presence);
  pp_async_destroy(timeline->async);
  pp_sharing_destroy(timeline->sharing);
  pp_queue_fini(&timeline->instants);
  pp_queue_fini(&timeline->waiting);
  pp_queue_fini(&timeline->busy_slots);
  pp_queue_fini(&timeline->free_slots);
  free(timeline->plans);
  free(timeline->round_iterations);
  free(timeline->devices);
  free(timeline->left_ns);
  free(timeline->device_times);
  free(timeline->lanes);
  free(timeline->device_chain);
  free(timeline->model_up);
  free(timeline->model_down);
  free(timeline->slot_free);
  free(timeline->slot_pending);
  free(timeline->slot_times);
  free(timeline->spans);
  free(timeline->slot_of);
  free(timeline->round_lengths[0]);
  free(timeline->round_lengths[1]);
  free(timeline->arrivals);
  free(timeline->due);
  free(timeline->model_up_arrivals);
  free(timeline->records);
  free(timeline);
}

static pp_status check_overflow(const pp_timeline *timeline) {
  if (timeline->overflow)
    return pp_fail(PP_CODE_RUN, "round %lld: the emulated time passes 2^63 nanoseconds (292 years)",
                   (long long)timeline->round);
  return NULL;
}

/* All models have been uploaded: averages them as soon as every replica is idle. */
static pp_span aggregate(pp_timeline *timeline, pp_ns *due) {
  *due = timeline->last_arrival;
  for (int slot = 0; slot < timeline->slot_count; slot++)
    if (timeline->slot_free[slot] > *due)
      *due = timeline->slot_free[slot];
  pp_span span = {*due, pp_later(timeline, *due, pp_aggregate_length(timeline))};
  pp_causes_aggregate(timeline, span, *due);
  timeline->slot_times[0].busy_ns += span.end_ns - span.start_ns;
  timeline->server_busy += span.end_ns - span.start_ns;
  timeline->slot_free[0] = span.end_ns;
  timeline->stage_count++;
  return span;
}

/* Sends the average to every device; returns when the last of them has it. */
static pp_ns return_models(pp_timeline *timeline, pp_span aggregate, pp_ns due) {
  pp_ns end = 0;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    pp_device_state *state = &timeline->devices[device];
    const pp_class_plan *plan = &timeline->plans[state->plan];
    pp_resource_times *times = &timeline->device_times[device];
    int64_t bytes = pp_returning_class(timeline, device)->full->model_download_bytes;
    pp_span span = {aggregate.end_ns, pp_link_finish(&plan->down, aggregate.end_ns, bytes)};
    timeline->overflow = timeline->overflow || span.end_ns == PP_NS_NEVER;
    pp_ns arrival = pp_later(timeline, span.end_ns, plan->down_latency_ns);
    times->bytes_down = pp_later(timeline, times->bytes_down, bytes);
    timeline->model_down[device] = span;
    pp_causes_model_gap(timeline, device, state->compute_free, arrival, aggregate, due);
    state->up_free = state->down_free = span.end_ns;
    state->compute_free = arrival;
    if (arrival > end)
      end = arrival;
  }
  timeline->stage_count += timeline->device_count;
  return end;
}

/* Ends a round whose uploads have all arrived; returns the arrival of its last model. */
static pp_status end_round(pp_timeline *timeline, pp_ns *end) {
  if (pp_takes_turns(timeline)) {
    timeline->stage_count += timeline->device_count - (timeline->round + 1 == timeline->scenario->rounds ? 1 : 0);
    if (timeline->record_stages)
      pp_records_fill(timeline, NULL);
    *end = timeline->turn_end;
    return NULL;
  }
  pp_ns due = 0;
  pp_span averaging = aggregate(timeline, &due);
  if (timeline->replanner.decide != NULL && timeline->round + 1 < timeline->scenario->rounds)
    PP_TRY(timeline->replanner.decide(timeline->replanner.context, timeline, &timeline->next));
  *end = return_models(timeline, averaging, due);
  if (timeline->record_stages && !timeline->overflow)
    pp_records_fill(timeline, &averaging);
  timeline->round_start = averaging.end_ns;
  return NULL;
}

void pp_timeline_replan_by(pp_timeline *timeline, pp_replanner replanner) { timeline->replanner = replanner; }

pp_status pp_timeline_adopt(pp_timeline *timeline) {
  const pp_scenario *scenario = timeline->next;
  if (scenario == NULL)
    return NULL;
  for (int index = 0; index < scenario->class_count; index++)
    pp_class_plan_fini(&timeline->plans[index]);
  free(timeline->plans);
  free(timeline->round_iterations);
  free(timeline->lanes);
  free(timeline->spans);
  free(timeline->slot_of);
  timeline->plans = NULL;
  timeline->round_iterations = NULL;
  timeline->lanes = NULL;
  timeline->spans = NULL;
  timeline->slot_of = NULL;
  timeline->scenario = scenario;
  timeline->next = NULL;
  int64_t instants = 0;
  PP_TRY(create_plans(timeline));
  PP_TRY(lay_out(timeline, &instants));
  pp_queue_fini(&timeline->instants);
  PP_TRY(pp_queue_init(&timeline->instants, instants, "the timeline's instants"));
  return create_spans(timeline);
}

/* Takes out what belongs to the time of other rounds. */
static void trim_busy(pp_timeline *timeline, pp_ns end, pp_int128 *device_busy, pp_int128 *server_busy) {
  *device_busy = timeline->device_busy - timeline->early_device_busy;
  *server_busy = timeline->server_busy - timeline->early_server_busy + timeline->late_server_busy;
  /* With an aggregate all is done before the end; in sl the last server_update may outlast the model's way. */
  timeline->late_server_busy =
      pp_takes_turns(timeline) && timeline->previous_replica_free > end ? timeline->previous_replica_free - end : 0;
  *server_busy -= timeline->late_server_busy;
}

pp_status pp_timeline_next_round(pp_timeline *timeline, pp_round_times *out) {
  const pp_scenario *scenario = timeline->scenario;
  PP_ASSERT(timeline->round < scenario->rounds);
  if (timeline->presence != NULL)
    return pp_presence_next_round(timeline, out);
  if (timeline->async != NULL)
    return pp_async_next_round(timeline, out);
  if (timeline->round == 0) {
    PP_TRY(pp_measured_begin_round(timeline));
    pp_engine_begin_round(timeline);
  }
  if (timeline->record_stages)
    PP_TRY(pp_records_reserve(timeline));
  pp_engine_run(timeline, PP_NS_NEVER);
  PP_TRY(check_overflow(timeline));
  PP_ASSERT(timeline->unfinished == 0);
  pp_ns end = 0;
  PP_TRY(end_round(timeline, &end));
  PP_TRY(check_overflow(timeline));
  *out = (pp_round_times){.round = timeline->round,
                          .end_ns = end,
                          .is_last = timeline->round + 1 == scenario->rounds,
                          .member_count = timeline->device_count,
                          .record_count = timeline->record_count,
                          .records = timeline->records};
  for (int index = 0; index < scenario->class_count; index++)
    if (timeline->round_iterations[index] > out->iterations)
      out->iterations = timeline->round_iterations[index];

  pp_ns length = end - timeline->previous_end_ns;
  pp_int128 device_busy = 0, server_busy = 0;
  trim_busy(timeline, end, &device_busy, &server_busy);
  timeline->round++;
  timeline->previous_end_ns = end;
  timeline->makespan = end;
  timeline->early_device_busy = timeline->early_server_busy = 0;
  PP_TRY(pp_timeline_adopt(timeline));
  if (timeline->round < scenario->rounds) {
    /* What the next round does before this one ends is work in this one's time. */
    PP_TRY(pp_measured_begin_round(timeline));
    pp_engine_begin_round(timeline);
    pp_engine_run(timeline, end);
    PP_TRY(check_overflow(timeline));
    device_busy += timeline->early_device_busy;
    server_busy += timeline->early_server_busy;
  }
  out->device_idle_s = pp_mean_idle_s(length, timeline->device_count, device_busy);
  out->server_idle_s = pp_mean_idle_s(length, timeline->slot_count, server_busy);
  return NULL;
}

pp_status pp_timeline_finish(pp_timeline *timeline, pp_timeline_totals *out) {
  PP_ASSERT(timeline->round == timeline->scenario->rounds);
  for (int slot = 0; slot < timeline->slot_count; slot++)
    if (timeline->slot_free[slot] > timeline->makespan)
      timeline->makespan = timeline->slot_free[slot];
  if (timeline->presence != NULL)
    pp_presence_finish(timeline);
  pp_causes_finish(timeline);
  *out = (pp_timeline_totals){.makespan_ns = timeline->makespan,
                              .stage_count = timeline->stage_count,
                              .devices = timeline->device_times,
                              .slots = timeline->slot_times};
  return NULL;
}
