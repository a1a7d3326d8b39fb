/* Devices whose order on a resource depends on time: a link that both directions share, or a device that turns to a
 * backward as soon as its gradient is there. Such a device is woken at every instant at which it may have to choose; a
 * choice at an instant changes nothing at that instant, for every stage lasts at least 1 ns. */
#include "timeline/async.h"
#include "timeline/presence.h"
#include "timeline/sharing.h"

typedef struct pp_view {
  pp_device_state *state;
  pp_device_lanes *lanes;
  const pp_class_plan *plan;
  const pp_program *program;
  pp_span *spans;
} pp_view;

static pp_view view_of(const pp_timeline *timeline, int64_t device) {
  pp_device_state *state = &timeline->devices[device];
  return (pp_view){.state = state,
                   .lanes = &timeline->lanes[device],
                   .plan = &timeline->plans[state->plan],
                   .program = pp_round_program(timeline, device, state->iteration),
                   .spans = pp_iteration_spans(timeline, device, state->iteration)};
}

/* The next operation of a lane; -1: none in this iteration. */
static int head(const pp_view *view, pp_lane lane) {
  int next = view->lanes->next[lane];
  return next < view->program->lane_count[lane] ? view->program->lane[lane][next] : -1;
}

static void begin_iteration(const pp_timeline *timeline, int64_t device) {
  pp_view view = view_of(timeline, device);
  for (int lane = 0; lane < PP_LANE_COUNT; lane++)
    view.lanes->next[lane] = 0;
  for (int index = 0; index < view.program->count; index++)
    view.spans[index] = (pp_span){PP_NS_NEVER, PP_NS_NEVER};
}

static pp_ns add_known(pp_timeline *timeline, pp_ns time, pp_ns length) {
  return time == PP_NS_NEVER ? PP_NS_NEVER : pp_later(timeline, time, length);
}

/* When all that an operation waits for, besides its resource, has ended or arrived; PP_NS_NEVER: not known yet. */
static pp_ns ready_at(pp_timeline *timeline, const pp_view *view, int index) {
  if (index < 0)
    return PP_NS_NEVER;
  const pp_step *step = &view->program->steps[index];
  pp_ns ready = 0;
  if (step->source >= 0) {
    ready = view->spans[step->source].end_ns;
    if (step->resource == PP_RESOURCE_DEVICE)
      ready = add_known(timeline, ready, view->plan->down_latency_ns);
    if (step->resource == PP_RESOURCE_SERVER)
      ready = add_known(timeline, ready, view->plan->up_latency_ns);
  }
  if (step->also_after >= 0 && view->spans[step->also_after].end_ns > ready)
    ready = view->spans[step->also_after].end_ns;
  return ready;
}

static bool iteration_is_over(const pp_view *view) {
  return head(view, PP_LANE_OUTBOUND) < 0 && head(view, PP_LANE_RETURN) < 0;
}

static void choose_compute(pp_timeline *timeline, int64_t device, pp_ns now) {
  pp_view view = view_of(timeline, device);
  if (view.lanes->finished || view.state->compute_free > now)
    return;
  if (iteration_is_over(&view)) {
    view.state->iteration++;
    begin_iteration(timeline, device);
    view = view_of(timeline, device);
  }
  pp_lane lane = ready_at(timeline, &view, head(&view, PP_LANE_RETURN)) <= now ? PP_LANE_RETURN : PP_LANE_OUTBOUND;
  int index = head(&view, lane);
  if (ready_at(timeline, &view, index) > now)
    return;
  pp_ns end = pp_compute_end(timeline, view.plan, &view.program->steps[index], &view.spans[index], now);
  view.spans[index] = (pp_span){now, end};
  if (view.state->compute_free < now)
    pp_causes_device_gap(timeline, device, view.state->iteration, index, view.state->compute_free, now);
  view.state->compute_free = end;
  view.lanes->next[lane]++;
  pp_count_early(timeline, &timeline->early_device_busy, now, end);
  if (!iteration_is_over(&view))
    return;
  if (timeline->presence != NULL) {
    pp_presence_end_iteration(timeline, device, view.program);
    return;
  }
  if (timeline->async != NULL) {
    pp_async_end_iteration(timeline, device, view.program);
    return;
  }
  pp_engine_count_iteration(timeline, device, view.program);
  if (view.state->iteration + 1 == timeline->round_iterations[view.state->plan]) {
    view.lanes->finished = true;
    pp_engine_finish_device(timeline, device);
  }
}

/* Of the heads of both directions the one that became ready first; ties: lower micro-batch, then the upload. */
static pp_lane first_ready(pp_timeline *timeline, const pp_view *view, pp_ns *ready) {
  int up = head(view, PP_LANE_UPLINK), down = head(view, PP_LANE_DOWNLINK);
  pp_ns up_ready = ready_at(timeline, view, up), down_ready = ready_at(timeline, view, down);
  bool upload = up_ready < down_ready;
  if (up_ready == down_ready && up_ready < PP_NS_NEVER)
    upload = view->program->steps[up].micro_batch <= view->program->steps[down].micro_batch;
  *ready = upload ? up_ready : down_ready;
  return upload ? PP_LANE_UPLINK : PP_LANE_DOWNLINK;
}

static void start_transfer(pp_timeline *timeline, const pp_view *view, pp_lane lane, pp_ns now) {
  int index = head(view, lane);
  if (timeline->sharing != NULL) {
    view->lanes->next[lane]++;
    pp_sharing_start(timeline, view->state - timeline->devices, lane == PP_LANE_UPLINK, &view->spans[index],
                     view->program->steps[index].bytes, now);
    return;
  }
  const pp_link *link = lane == PP_LANE_UPLINK ? &view->plan->up : &view->plan->down;
  pp_ns end = pp_transfer_end(timeline, link, &view->program->steps[index], now);
  view->spans[index] = (pp_span){now, end};
  view->lanes->next[lane]++;
  if (view->plan->shared_link)
    view->state->up_free = view->state->down_free = end;
  else if (lane == PP_LANE_UPLINK)
    view->state->up_free = end;
  else
    view->state->down_free = end;
}

static void choose_transfers(pp_timeline *timeline, const pp_view *view, pp_ns now) {
  pp_ns ready;
  if (view->plan->shared_link) {
    pp_lane lane = first_ready(timeline, view, &ready);
    if (view->state->up_free <= now && ready <= now)
      start_transfer(timeline, view, lane, now);
    return;
  }
  if (view->state->up_free <= now && ready_at(timeline, view, head(view, PP_LANE_UPLINK)) <= now)
    start_transfer(timeline, view, PP_LANE_UPLINK, now);
  if (view->state->down_free <= now && ready_at(timeline, view, head(view, PP_LANE_DOWNLINK)) <= now)
    start_transfer(timeline, view, PP_LANE_DOWNLINK, now);
}

/* When the replica can take its next micro-batch. */
static pp_ns startable_at(pp_timeline *timeline, const pp_view *view, pp_ns *arrival) {
  *arrival = ready_at(timeline, view, head(view, PP_LANE_SERVER));
  return *arrival > view->state->replica_free ? *arrival : view->state->replica_free;
}

static pp_ns at_least(pp_ns time, pp_ns other) { return time > other ? time : other; }
static pp_ns sooner(pp_ns time, pp_ns other) { return time < other ? time : other; }

/* The next instant after now at which, by what is known, something may be chosen. */
static pp_ns next_wake(pp_timeline *timeline, const pp_view *view) {
  const pp_device_state *state = view->state;
  pp_ns wake = PP_NS_NEVER, ready;
  if (!view->lanes->finished) {
    ready = iteration_is_over(view) ? 0
                                    : sooner(ready_at(timeline, view, head(view, PP_LANE_OUTBOUND)),
                                             ready_at(timeline, view, head(view, PP_LANE_RETURN)));
    wake = sooner(wake, at_least(ready, state->compute_free));
  }
  if (view->plan->shared_link) {
    first_ready(timeline, view, &ready);
    wake = sooner(wake, at_least(ready, state->up_free));
  } else {
    wake = sooner(wake, at_least(ready_at(timeline, view, head(view, PP_LANE_UPLINK)), state->up_free));
    wake = sooner(wake, at_least(ready_at(timeline, view, head(view, PP_LANE_DOWNLINK)), state->down_free));
  }
  if (!view->lanes->waits_for_slot)
    wake = sooner(wake, startable_at(timeline, view, &ready));
  return wake;
}

void pp_reactive_wake_at(pp_timeline *timeline, int64_t device, pp_ns wake) {
  timeline->lanes[device].wake = wake;
  if (wake < PP_NS_NEVER)
    pp_queue_push(&timeline->instants, wake, device);
}

void pp_reactive_begin_round(pp_timeline *timeline, int64_t device) {
  timeline->lanes[device].finished = false;
  timeline->lanes[device].waits_for_slot = false;
  begin_iteration(timeline, device);
  pp_reactive_wake_at(timeline, device, timeline->devices[device].compute_free);
}

void pp_reactive_wake(pp_timeline *timeline, int64_t device, pp_ns now) {
  if (timeline->lanes[device].wake != now)
    return; /* overtaken by an earlier one */
  pp_async_touch(timeline, device);
  choose_compute(timeline, device, now);
  pp_view view = view_of(timeline, device);
  choose_transfers(timeline, &view, now);
  pp_ns arrival;
  if (!view.lanes->waits_for_slot && startable_at(timeline, &view, &arrival) <= now) {
    view.lanes->waits_for_slot = true;
    view.state->arrival = arrival;
    pp_engine_enqueue(timeline, device, head(&view, PP_LANE_SERVER));
  }
  pp_reactive_wake_at(timeline, device, next_wake(timeline, &view));
}

void pp_reactive_dispatch(pp_timeline *timeline, int64_t device) {
  pp_view view = view_of(timeline, device);
  view.lanes->waits_for_slot = false;
  pp_async_touch(timeline, device);
  view.state->replica_free = timeline->now;
  int index = head(&view, PP_LANE_SERVER);
  do {
    pp_ns start = view.state->replica_free;
    view.state->replica_free = pp_server_end(timeline, &view.program->steps[index], &view.spans[index], start);
    view.spans[index] = (pp_span){start, view.state->replica_free};
    if (timeline->slot_of != NULL)
      timeline->slot_of[&view.spans[index] - timeline->spans] = timeline->dispatch_slot;
    view.lanes->next[PP_LANE_SERVER]++;
    index = head(&view, PP_LANE_SERVER);
  } while (index >= 0 && !view.program->steps[index].starts_piece);
  pp_ns wake = next_wake(timeline, &view), set = view.lanes->wake;
  if (wake < set || set <= timeline->now)
    pp_reactive_wake_at(timeline, device, wake);
}
