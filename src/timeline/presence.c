#include "timeline/presence.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "timeline/sharing.h"

enum { EVENT_DEPARTURE, EVENT_SILENCE, EVENT_MODEL, EVENT_SENDING, EVENT_DEADLINE, EVENT_COUNT };

static void post(pp_timeline *timeline, int event, int64_t device, pp_ns at) {
  if (at < PP_NS_NEVER)
    pp_queue_push(&timeline->instants, at, -1 - (device * EVENT_COUNT + event));
}

pp_status pp_presence_create(pp_timeline *timeline) {
  const pp_scenario *scenario = timeline->scenario;
  size_t count = (size_t)timeline->device_count;
  PP_TRY(pp_alloc(1, sizeof *timeline->presence, "the devices' presence", &timeline->presence));
  pp_presence *presence = timeline->presence;
  PP_TRY(pp_alloc(count, sizeof *presence->devices, "the devices' presence", &presence->devices));
  PP_TRY(pp_alloc(count, sizeof *presence->members, "the members of a round", &presence->members));
  presence->next_begin_ns = PP_NS_NEVER;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    const pp_device_class *class = &scenario->classes[scenario->class_of[device]];
    pp_attendance *at = &presence->devices[device];
    at->arrives_ns = class->arrives_ns;
    at->departs_ns = class->departs_ns > 0 ? class->departs_ns : PP_NS_NEVER;
    if (at->arrives_ns < presence->next_begin_ns)
      presence->next_begin_ns = at->arrives_ns;
  }
  return NULL;
}

void pp_presence_destroy(pp_presence *presence) {
  if (presence == NULL)
    return;
  free(presence->devices);
  free(presence->members);
  free(presence);
}

bool pp_presence_is_cut(const pp_timeline *timeline, int64_t device) {
  return timeline->presence->devices[device].cut_ns < PP_NS_NEVER;
}

static bool is_present(const pp_attendance *at, pp_ns time) { return at->arrives_ns <= time && time < at->departs_ns; }

/* ---- Time that the device does not work ---- */

static pp_ns clamp(pp_ns time, pp_ns low, pp_ns high) { return time < low ? low : time > high ? high : time; }

/* Puts `from` to `to` down to a cause, or to its absence. */
static void spread(pp_timeline *timeline, int64_t device, pp_ns from, pp_ns to, pp_cause cause) {
  const pp_attendance *at = &timeline->presence->devices[device];
  if (to <= from)
    return;
  pp_ns begin = clamp(at->arrives_ns, from, to), end = clamp(at->departs_ns, begin, to);
  pp_ns *causes = timeline->device_times[device].cause_ns;
  causes[PP_CAUSE_ABSENT] += (begin - from) + (to - end);
  causes[cause] += end - begin;
}

/* ---- A round ---- */

/* The iteration that the device does not begin, by chance; -1: none. */
static int64_t draw_silence(const pp_timeline *timeline, int64_t device) {
  const pp_scenario *scenario = timeline->scenario;
  int32_t class = scenario->class_of[device];
  if (scenario->classes[class].dropout <= 0)
    return -1;
  pp_rng rng = pp_rng_stream(scenario->seed, PP_RNG_SILENCE, (uint32_t)device, (uint32_t)timeline->round, 0);
  if (pp_rng_uniform(rng, 0, 0) >= scenario->classes[class].dropout)
    return -1;
  return (int64_t)pp_rng_below(rng, 1, 0, (uint64_t)timeline->round_iterations[class]);
}

static pp_span send_model(pp_timeline *timeline, int64_t device, pp_ns start) {
  const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
  pp_span span = {start, pp_link_finish(&plan->down, start, plan->class->full->model_download_bytes)};
  timeline->overflow = timeline->overflow || span.end_ns == PP_NS_NEVER;
  return span;
}

/* Its model, under way since the round's begin, has left the link. */
static void await_model(pp_timeline *timeline, int64_t device) {
  pp_attendance *at = &timeline->presence->devices[device];
  pp_device_state *state = &timeline->devices[device];
  at->joined_ns = pp_later(timeline, timeline->model_down[device].end_ns, timeline->plans[state->plan].down_latency_ns);
  state->compute_free = at->joined_ns;
  if (at->silent_at == 0)
    post(timeline, EVENT_SILENCE, device, at->joined_ns);
}

static void begin_device(pp_timeline *timeline, int64_t device, pp_ns begin) {
  pp_attendance *at = &timeline->presence->devices[device];
  pp_device_state *state = &timeline->devices[device];
  at->standing = PP_STANDING_COMING;
  at->cut_ns = PP_NS_NEVER;
  at->sends_model = false;
  at->gets_model = begin > 0;
  at->joined_ns = begin;
  at->silent_at = draw_silence(timeline, device);
  state->up_free = state->down_free = state->compute_free = begin;
  state->iteration = 0;
  if (at->gets_model && timeline->sharing != NULL) {
    at->joined_ns = state->compute_free = PP_NS_NEVER;
    pp_sharing_start(timeline, device, false, &timeline->model_down[device],
                     timeline->plans[state->plan].class->full->model_download_bytes, begin);
  } else if (at->gets_model) {
    timeline->model_down[device] = send_model(timeline, device, begin);
    state->up_free = state->down_free = timeline->model_down[device].end_ns;
    await_model(timeline, device);
  } else if (at->silent_at == 0) {
    post(timeline, EVENT_SILENCE, device, begin);
  }
  post(timeline, EVENT_DEPARTURE, device, at->departs_ns);
  pp_engine_begin_work(timeline, device);
  timeline->presence->began++;
}

/* Where nobody was present at the end of the last round, all wait for who comes next. */
static void wait_for_arrival(pp_timeline *timeline, pp_ns begin) {
  for (int64_t device = 0; device < timeline->device_count; device++) {
    pp_attendance *at = &timeline->presence->devices[device];
    spread(timeline, device, at->explained_ns, begin, PP_CAUSE_AGGREGATION);
    at->explained_ns = begin;
  }
  for (int slot = 0; slot < timeline->slot_count; slot++) {
    pp_ns from = timeline->slot_free[slot] > timeline->round_start ? timeline->slot_free[slot] : timeline->round_start;
    if (from < begin)
      timeline->slot_pending[slot][PP_CAUSE_ABSENT] += begin - from;
  }
}

static void begin_round(pp_timeline *timeline) {
  pp_presence *presence = timeline->presence;
  const pp_scenario *scenario = timeline->scenario;
  pp_ns begin = presence->next_begin_ns;
  pp_engine_reset_round(timeline);
  timeline->instants.count = timeline->waiting.count = 0;
  if (begin > timeline->round_start)
    wait_for_arrival(timeline, begin);
  timeline->round_start = begin;
  presence->began = presence->there = 0;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    if (is_present(&presence->devices[device], begin)) {
      begin_device(timeline, device, begin);
    } else {
      presence->devices[device].standing = PP_STANDING_AWAY;
      presence->devices[device].cut_ns = PP_NS_NEVER;
      timeline->lanes[device].wake = PP_NS_NEVER;
    }
  }
  presence->coming = presence->began;
  presence->needed = scenario->min_devices > 0   ? scenario->min_devices
                     : scenario->deadline_ns > 0 ? 1
                                                 : presence->began;
  if (presence->needed > presence->began)
    presence->needed = presence->began;
  presence->deadline_ns = PP_NS_NEVER;
  if (scenario->deadline_ns > 0)
    presence->deadline_ns = pp_later(timeline, begin, scenario->deadline_ns);
  else if (scenario->min_devices > 0)
    presence->deadline_ns = begin;
  if (scenario->deadline_ns > 0)
    post(timeline, EVENT_DEADLINE, 0, presence->deadline_ns);
}

static void cut(pp_timeline *timeline, int64_t device, pp_standing standing, pp_ns now) {
  pp_attendance *at = &timeline->presence->devices[device];
  at->standing = standing;
  at->cut_ns = now;
  timeline->lanes[device].wake = PP_NS_NEVER;
  timeline->presence->coming--;
  if (timeline->sharing != NULL)
    pp_sharing_stop(timeline, device, now);
}

void pp_presence_end_transfers(pp_timeline *timeline, pp_ns now) {
  int64_t device;
  for (pp_span *span; (span = pp_sharing_take(timeline, now, &device)) != NULL;) {
    const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
    if (span == &timeline->model_up[device]) {
      post(timeline, EVENT_MODEL, device, pp_later(timeline, now, plan->up_latency_ns));
    } else if (span == &timeline->model_down[device]) {
      await_model(timeline, device);
      pp_reactive_wake_at(timeline, device, timeline->devices[device].compute_free);
    } else {
      pp_reactive_wake_at(timeline, device, now);
    }
  }
}

void pp_presence_take(pp_timeline *timeline, int64_t id, pp_ns now) {
  pp_presence *presence = timeline->presence;
  int64_t device = (-1 - id) / EVENT_COUNT;
  pp_attendance *at = &presence->devices[device];
  int event = (int)((-1 - id) % EVENT_COUNT);
  if (event == EVENT_DEADLINE || at->standing != PP_STANDING_COMING)
    return;
  if (event == EVENT_DEPARTURE) {
    /* What has left it arrives. */
    if (!at->sends_model || timeline->model_up[device].end_ns > now)
      cut(timeline, device, PP_STANDING_GONE, now);
  } else if (event == EVENT_SILENCE) {
    cut(timeline, device, PP_STANDING_SILENT, now);
  } else if (event == EVENT_SENDING) {
    pp_sharing_start(timeline, device, true, &timeline->model_up[device],
                     timeline->plans[timeline->devices[device].plan].class->full->model_upload_bytes, now);
  } else {
    at->standing = PP_STANDING_THERE;
    presence->there++;
    presence->coming--;
    if (now > timeline->last_arrival || device < timeline->last_device) {
      timeline->last_arrival = now;
      timeline->last_device = device;
    }
  }
}

bool pp_presence_is_due(pp_timeline *timeline, pp_ns now) {
  pp_presence *presence = timeline->presence;
  bool enough = presence->there >= presence->needed || presence->there + presence->coming < presence->needed;
  if (presence->there < presence->began && !(now >= presence->deadline_ns && enough))
    return false;
  presence->due_ns = now;
  for (int64_t device = 0; device < timeline->device_count; device++)
    if (presence->devices[device].standing == PP_STANDING_COMING)
      cut(timeline, device, PP_STANDING_LATE, now);
  return true;
}

void pp_presence_end_iteration(pp_timeline *timeline, int64_t device, const pp_program *program) {
  pp_device_state *state = &timeline->devices[device];
  pp_attendance *at = &timeline->presence->devices[device];
  const pp_class_plan *plan = &timeline->plans[state->plan];
  timeline->left_ns[device] -= program->device_work_ns;
  if (at->silent_at == state->iteration + 1)
    post(timeline, EVENT_SILENCE, device, state->compute_free);
  if (state->iteration + 1 < timeline->round_iterations[state->plan])
    return;
  timeline->lanes[device].finished = true;
  pp_ns start = state->compute_free > state->up_free ? state->compute_free : state->up_free;
  at->sends_model = true;
  if (timeline->sharing != NULL) {
    timeline->model_up[device] = (pp_span){start, PP_NS_NEVER};
    post(timeline, EVENT_SENDING, device, start);
    return;
  }
  pp_ns end = pp_link_finish(&plan->up, start, plan->class->full->model_upload_bytes);
  timeline->overflow = timeline->overflow || end == PP_NS_NEVER;
  timeline->model_up[device] = (pp_span){start, end};
  state->up_free = end;
  post(timeline, EVENT_MODEL, device, pp_later(timeline, end, plan->up_latency_ns));
}

/* ---- The end of a round ---- */

/* A transfer that was cut under way brought nothing. */
static void count_transfer(pp_timeline *timeline, int64_t device, bool up, pp_span span, int64_t bytes) {
  pp_ns cut_ns = timeline->presence->devices[device].cut_ns;
  int64_t *sum = up ? &timeline->device_times[device].bytes_up : &timeline->device_times[device].bytes_down;
  if (span.end_ns <= cut_ns && span.start_ns < PP_NS_NEVER)
    *sum = pp_later(timeline, *sum, bytes);
  timeline->stage_count += span.start_ns < cut_ns ? 1 : 0;
}

/* Adds up what the device and its replica did in an iteration. */
static void count_iteration(pp_timeline *timeline, int64_t device, int64_t iteration) {
  const pp_program *program = pp_round_program(timeline, device, iteration);
  const pp_span *spans = pp_iteration_spans(timeline, device, iteration);
  pp_ns cut_ns = timeline->presence->devices[device].cut_ns;
  for (int index = 0; index < program->count; index++) {
    const pp_step *step = &program->steps[index];
    pp_span span = spans[index];
    switch ((pp_resource)step->resource) {
    case PP_RESOURCE_UPLINK:
    case PP_RESOURCE_DOWNLINK:
      count_transfer(timeline, device, step->resource == PP_RESOURCE_UPLINK, span, step->bytes);
      break;
    case PP_RESOURCE_SERVER: /* what a slot has begun it ends */
      timeline->stage_count += span.start_ns < PP_NS_NEVER ? 1 : 0;
      break;
    case PP_RESOURCE_DEVICE:
      if (span.start_ns < cut_ns) {
        pp_ns busy = (span.end_ns < cut_ns ? span.end_ns : cut_ns) - span.start_ns;
        timeline->stage_count++;
        timeline->device_busy += busy;
        timeline->device_times[device].busy_ns += busy;
      }
      break;
    }
  }
}

/* From the round's begin, or the device's last compute stage, to the end of the aggregate. */
static void explain_rest(pp_timeline *timeline, int64_t device, pp_ns end) {
  pp_attendance *at = &timeline->presence->devices[device];
  const pp_device_state *state = &timeline->devices[device];
  pp_ns *causes = timeline->device_times[device].cause_ns;
  pp_ns last = timeline->round_start;
  if (at->joined_ns <= at->cut_ns) {
    if (at->gets_model) {
      causes[PP_CAUSE_DOWNLOAD] += timeline->model_down[device].end_ns - timeline->round_start;
      causes[PP_CAUSE_LATENCY] += at->joined_ns - timeline->model_down[device].end_ns;
    }
    last = state->compute_free < at->cut_ns ? state->compute_free : at->cut_ns;
  }
  if (at->standing == PP_STANDING_THERE) {
    pp_ns until = at->departs_ns < end ? at->departs_ns : end;
    pp_causes_own_model(timeline, device, last, until);
    last = until;
  } else if (at->standing == PP_STANDING_SILENT) {
    spread(timeline, device, last, at->cut_ns, PP_CAUSE_AGGREGATION);
    spread(timeline, device, at->cut_ns, end, PP_CAUSE_ABSENT);
    last = end;
  }
  spread(timeline, device, last, end, PP_CAUSE_AGGREGATION);
}

static void settle(pp_timeline *timeline, int64_t device, pp_ns end) {
  pp_attendance *at = &timeline->presence->devices[device];
  const pp_device_state *state = &timeline->devices[device];
  const pp_schedule *schedule = timeline->plans[state->plan].class->full;
  if (at->standing == PP_STANDING_AWAY) {
    spread(timeline, device, at->explained_ns, end, PP_CAUSE_AGGREGATION);
    at->explained_ns = end;
    return;
  }
  explain_rest(timeline, device, end);
  at->explained_ns = end;
  for (int64_t iteration = 0; iteration <= state->iteration; iteration++)
    count_iteration(timeline, device, iteration);
  if (at->gets_model)
    count_transfer(timeline, device, false, timeline->model_down[device], schedule->model_download_bytes);
  if (at->sends_model)
    count_transfer(timeline, device, true, timeline->model_up[device], schedule->model_upload_bytes);
}

/* As soon as slot 0 is free and the members' replicas are idle. */
static pp_span aggregate(pp_timeline *timeline) {
  pp_presence *presence = timeline->presence;
  pp_ns start = presence->due_ns;
  if (timeline->slot_free[0] > start)
    start = timeline->slot_free[0];
  presence->member_count = 0;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    if (presence->devices[device].standing != PP_STANDING_THERE)
      continue;
    presence->members[presence->member_count++] = (int32_t)device;
    if (timeline->devices[device].replica_free > start)
      start = timeline->devices[device].replica_free;
  }
  pp_span span = {start, pp_later(timeline, start, pp_aggregate_length(timeline))};
  pp_causes_aggregate(timeline, span, presence->due_ns);
  timeline->slot_times[0].busy_ns += span.end_ns - span.start_ns;
  timeline->server_busy += span.end_ns - span.start_ns;
  timeline->slot_free[0] = span.end_ns;
  timeline->stage_count++;
  return span;
}

/* When the next round begins: at once if somebody is present, else with the next arrival. */
static pp_ns next_begin(const pp_timeline *timeline, pp_ns end) {
  pp_ns next = PP_NS_NEVER;
  if (timeline->round + 1 == timeline->scenario->rounds)
    return next;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    const pp_attendance *at = &timeline->presence->devices[device];
    if (is_present(at, end))
      return end;
    if (at->arrives_ns > end && at->arrives_ns < next)
      next = at->arrives_ns;
  }
  return next;
}

static void record_round(pp_timeline *timeline, pp_span averaging) {
  const pp_presence *presence = timeline->presence;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    const pp_attendance *at = &presence->devices[device];
    if (at->standing == PP_STANDING_AWAY)
      continue;
    for (int64_t iteration = 0; iteration <= timeline->devices[device].iteration; iteration++)
      pp_records_add_iteration(timeline, device, iteration, at->cut_ns);
    if (at->gets_model)
      pp_records_add_model(timeline, device, PP_STAGE_MODEL_DOWNLOAD, timeline->model_down[device], at->cut_ns);
    if (at->sends_model)
      pp_records_add_model(timeline, device, PP_STAGE_MODEL_UPLOAD, timeline->model_up[device], at->cut_ns);
  }
  pp_records_add_aggregate(timeline, averaging);
}

/* Over the server's link: who departs meanwhile leaves its share to the others. */
static void share_last_models(pp_timeline *timeline, pp_ns end) {
  for (int64_t device = 0; device < timeline->device_count; device++)
    if (is_present(&timeline->presence->devices[device], end))
      pp_sharing_start(timeline, device, false, &timeline->model_down[device],
                       timeline->plans[timeline->devices[device].plan].class->full->model_download_bytes, end);
  while (pp_sharing_is_busy(timeline->sharing)) {
    pp_ns now = pp_sharing_next(timeline->sharing);
    int64_t taken;
    for (int64_t device = 0; device < timeline->device_count; device++) {
      const pp_attendance *at = &timeline->presence->devices[device];
      if (is_present(at, end) && timeline->model_down[device].end_ns == PP_NS_NEVER && at->departs_ns > timeline->now &&
          at->departs_ns < now)
        now = at->departs_ns;
    }
    if (now == PP_NS_NEVER) {
      timeline->overflow = true;
      return;
    }
    timeline->now = now;
    while (pp_sharing_take(timeline, now, &taken) != NULL)
      continue;
    for (int64_t device = 0; device < timeline->device_count; device++)
      if (timeline->presence->devices[device].departs_ns == now)
        pp_sharing_stop(timeline, device, now);
  }
}

/* After the last aggregate who is present gets the model; returns when all is over. */
static pp_ns send_last_models(pp_timeline *timeline, pp_ns end) {
  pp_ns over = end;
  if (timeline->sharing != NULL)
    share_last_models(timeline, end);
  for (int64_t device = 0; device < timeline->device_count; device++) {
    pp_attendance *at = &timeline->presence->devices[device];
    const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
    pp_ns *causes = timeline->device_times[device].cause_ns;
    if (!is_present(at, end))
      continue;
    at->cut_ns = at->departs_ns;
    if (timeline->sharing == NULL)
      timeline->model_down[device] = send_model(timeline, device, end);
    pp_span down = timeline->model_down[device];
    pp_ns arrival = PP_NS_NEVER; /* it was cut */
    if (timeline->sharing == NULL || down.end_ns < PP_NS_NEVER)
      arrival = pp_later(timeline, down.end_ns, plan->down_latency_ns);
    count_transfer(timeline, device, false, down, plan->class->full->model_download_bytes);
    if (timeline->record_stages)
      pp_records_add_model(timeline, device, PP_STAGE_MODEL_DOWNLOAD, down, at->cut_ns);
    if (arrival <= at->cut_ns) {
      causes[PP_CAUSE_DOWNLOAD] += down.end_ns - down.start_ns;
      causes[PP_CAUSE_LATENCY] += arrival - down.end_ns;
      at->explained_ns = arrival;
    } else {
      spread(timeline, device, end, at->cut_ns, PP_CAUSE_AGGREGATION);
      at->explained_ns = at->cut_ns;
    }
    if (at->explained_ns > over)
      over = at->explained_ns;
  }
  for (int slot = 0; slot < timeline->slot_count; slot++)
    if (timeline->slot_free[slot] > over)
      over = timeline->slot_free[slot];
  return over;
}

/* What slots are busy with after the end of the round is work in the next one's time. */
static pp_int128 server_busy_until(pp_timeline *timeline, pp_ns end) {
  pp_presence *presence = timeline->presence;
  pp_int128 busy = timeline->server_busy + presence->late_server_busy;
  presence->late_server_busy = 0;
  for (int slot = 0; slot < timeline->slot_count; slot++)
    if (timeline->slot_free[slot] > end)
      presence->late_server_busy += timeline->slot_free[slot] - end;
  return busy - presence->late_server_busy;
}

static pp_status check_overflow(const pp_timeline *timeline) {
  if (timeline->overflow)
    return pp_fail(PP_CODE_RUN, "round %lld: the emulated time passes 2^63 nanoseconds (292 years)",
                   (long long)timeline->round);
  return NULL;
}

pp_status pp_presence_next_round(pp_timeline *timeline, pp_round_times *out) {
  pp_presence *presence = timeline->presence;
  PP_ASSERT(presence->next_begin_ns < PP_NS_NEVER);
  PP_TRY(pp_measured_begin_round(timeline));
  begin_round(timeline);
  timeline->record_count = 0;
  if (timeline->record_stages)
    PP_TRY(pp_records_reserve(timeline));
  presence->due_ns = PP_NS_NEVER;
  pp_engine_run(timeline, PP_NS_NEVER);
  /* The end of a transfer over the server's link that is too late is never known. */
  timeline->overflow = timeline->overflow || (timeline->sharing != NULL && presence->due_ns == PP_NS_NEVER);
  PP_TRY(check_overflow(timeline));
  PP_ASSERT(presence->due_ns < PP_NS_NEVER);
  pp_span averaging = aggregate(timeline);
  PP_TRY(check_overflow(timeline));
  pp_ns end = averaging.end_ns;
  for (int64_t device = 0; device < timeline->device_count; device++)
    settle(timeline, device, end);
  if (timeline->record_stages)
    record_round(timeline, averaging);
  timeline->round_start = end;
  presence->next_begin_ns = next_begin(timeline, end);
  bool last = presence->next_begin_ns == PP_NS_NEVER;
  if (last)
    end = send_last_models(timeline, end);
  else if (timeline->replanner.decide != NULL)
    PP_TRY(timeline->replanner.decide(timeline->replanner.context, timeline, &timeline->next));
  PP_TRY(check_overflow(timeline));
  if (timeline->record_stages)
    pp_records_sort(timeline);
  *out = (pp_round_times){.round = timeline->round,
                          .end_ns = end,
                          .is_last = last,
                          .member_count = presence->member_count,
                          .members = presence->members,
                          .record_count = timeline->record_count,
                          .records = timeline->records};
  for (int index = 0; index < timeline->scenario->class_count; index++)
    if (timeline->round_iterations[index] > out->iterations)
      out->iterations = timeline->round_iterations[index];
  pp_ns length = end - presence->previous_end_ns;
  out->device_idle_s = pp_mean_idle_s(length, timeline->device_count, timeline->device_busy);
  out->server_idle_s = pp_mean_idle_s(length, timeline->slot_count, server_busy_until(timeline, end));
  presence->previous_end_ns = end;
  timeline->makespan = end;
  timeline->round = last ? timeline->scenario->rounds : timeline->round + 1;
  return pp_timeline_adopt(timeline);
}

void pp_presence_finish(pp_timeline *timeline) {
  for (int64_t device = 0; device < timeline->device_count; device++) {
    pp_attendance *at = &timeline->presence->devices[device];
    spread(timeline, device, at->explained_ns, timeline->makespan, PP_CAUSE_DRAIN);
    at->explained_ns = timeline->makespan;
  }
}
