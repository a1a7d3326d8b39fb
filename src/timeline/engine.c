#include "timeline/engine.h"

#include "timeline/async.h"
#include "timeline/presence.h"
#include "timeline/sharing.h"

/* What the iteration in hand took the compute unit. */
static pp_ns spans_busy(const pp_timeline *timeline, int64_t device, const pp_program *program) {
  const pp_span *spans = pp_iteration_spans(timeline, device, timeline->devices[device].iteration);
  pp_ns busy = 0;
  for (int index = 0; index < program->count; index++)
    if (program->steps[index].resource == PP_RESOURCE_DEVICE)
      busy += spans[index].end_ns - spans[index].start_ns;
  return busy;
}

void pp_engine_count_iteration(pp_timeline *timeline, int64_t device, const pp_program *program) {
  pp_resource_times *times = &timeline->device_times[device];
  pp_ns busy = program->device_busy_ns;
  if (__builtin_expect(timeline->plans[timeline->devices[device].plan].lengths_vary, 0))
    busy = spans_busy(timeline, device, program);
  times->busy_ns = pp_later(timeline, times->busy_ns, busy);
  times->bytes_up = pp_later(timeline, times->bytes_up, program->bytes_up);
  times->bytes_down = pp_later(timeline, times->bytes_down, program->bytes_down);
  timeline->device_busy += busy;
  timeline->left_ns[device] -= program->device_work_ns;
  timeline->stage_count += program->count;
}

void pp_engine_enqueue(pp_timeline *timeline, int64_t device, int index) {
  const pp_device_state *state = &timeline->devices[device];
  pp_ns key = state->arrival;
  if (timeline->scenario->policy == PP_POLICY_PRIORITY)
    key =
        pp_round_program(timeline, device, state->iteration)->steps[index].device_before_ns - timeline->left_ns[device];
  pp_queue_push(&timeline->waiting, key, device);
}

/* What the device computes in the whole round. */
static pp_ns round_work(pp_timeline *timeline, int64_t device) {
  const pp_device_state *state = &timeline->devices[device];
  pp_ns work = 0;
  for (int64_t iteration = 0; iteration < timeline->round_iterations[state->plan]; iteration++)
    work = pp_later(timeline, work, pp_round_program(timeline, device, iteration)->device_work_ns);
  return work;
}

/* Where devices take turns nobody else's transfer is under way over the server's link. */
static pp_ns transfer_end(pp_timeline *timeline, int64_t device, bool up, const pp_step *step, pp_ns start) {
  const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
  if (__builtin_expect(timeline->sharing != NULL, 0))
    return pp_sharing_finish(timeline, device, up, start, step->bytes);
  return pp_transfer_end(timeline, up ? &plan->up : &plan->down, step, start);
}

void pp_engine_finish_device(pp_timeline *timeline, int64_t device) {
  pp_device_state *state = &timeline->devices[device];
  const pp_class_plan *plan = &timeline->plans[state->plan];
  int64_t bytes = plan->class->full->model_upload_bytes;
  pp_ns start = state->compute_free > state->up_free ? state->compute_free : state->up_free;
  pp_ns end = timeline->sharing != NULL ? pp_sharing_finish(timeline, device, true, start, bytes)
                                        : pp_link_finish(&plan->up, start, bytes);
  timeline->overflow = timeline->overflow || end == PP_NS_NEVER;
  timeline->model_up[device] = (pp_span){start, end};
  state->up_free = end;
  pp_resource_times *times = &timeline->device_times[device];
  times->bytes_up = pp_later(timeline, times->bytes_up, bytes);
  pp_ns arrival = pp_later(timeline, end, plan->up_latency_ns);
  if (arrival > timeline->last_arrival || (arrival == timeline->last_arrival && device < timeline->last_device)) {
    timeline->last_arrival = arrival;
    timeline->last_device = device;
  }
  timeline->unfinished--;
  timeline->stage_count++;
  if (pp_takes_turns(timeline))
    pp_turns_hand_over(timeline, device, arrival);
}

/* Walks a device's list from where it stands until its next micro-batch has to wait for a slot, or the round is over.
 * With `dispatched` the micro-batch it stands at starts now. */
static void advance(pp_timeline *timeline, int64_t device, bool dispatched) {
  pp_device_state *state = &timeline->devices[device];
  const pp_class_plan *plan = &timeline->plans[state->plan];
  const int64_t iterations = timeline->round_iterations[state->plan];
  for (; state->iteration < iterations; state->iteration++, state->next = 0) {
    const pp_program *program = pp_round_program(timeline, device, state->iteration);
    pp_span *spans = pp_iteration_spans(timeline, device, state->iteration);
    for (int index = state->next; index < program->count; index++) {
      const pp_step *step = &program->steps[index];
      pp_ns start = 0, end = 0;
      switch ((pp_resource)step->resource) {
      case PP_RESOURCE_DEVICE:
        start = state->compute_free;
        if (step->source >= 0) {
          pp_ns arrival = pp_later(timeline, spans[step->source].end_ns, plan->down_latency_ns);
          if (arrival > start) {
            pp_causes_device_gap(timeline, device, state->iteration, index, start, arrival);
            start = arrival;
          }
        }
        end = pp_compute_end(timeline, plan, step, &spans[index], start);
        state->compute_free = end;
        pp_count_early(timeline, &timeline->early_device_busy, start, end);
        break;
      case PP_RESOURCE_UPLINK:
        start = spans[step->source].end_ns > state->up_free ? spans[step->source].end_ns : state->up_free;
        end = transfer_end(timeline, device, true, step, start);
        state->up_free = end;
        break;
      case PP_RESOURCE_DOWNLINK:
        start = spans[step->source].end_ns > state->down_free ? spans[step->source].end_ns : state->down_free;
        end = transfer_end(timeline, device, false, step, start);
        state->down_free = end;
        break;
      case PP_RESOURCE_SERVER:
        start = state->replica_free;
        if (step->starts_piece && !dispatched) {
          state->next = index;
          state->arrival = pp_later(timeline, spans[step->source].end_ns, plan->up_latency_ns);
          pp_queue_push(&timeline->instants, state->arrival > start ? state->arrival : start, device);
          return;
        }
        if (step->starts_piece) {
          dispatched = false;
          start = timeline->now;
        }
        end = pp_server_end(timeline, step, &spans[index], start);
        state->replica_free = end;
        if (timeline->slot_of != NULL)
          timeline->slot_of[&spans[index] - timeline->spans] = timeline->dispatch_slot;
        break;
      }
      spans[index] = (pp_span){start, end};
    }
    pp_engine_count_iteration(timeline, device, program);
  }
  pp_engine_finish_device(timeline, device);
}

/* Of many devices each visit misses the caches: what the next ones will touch is fetched ahead, of the first in the
 * queue all, of those that may follow it where to find that. */
static void look_ahead(const pp_timeline *timeline) {
  const pp_queue *waiting = &timeline->waiting;
  if (waiting->count == 0 || timeline->presence != NULL)
    return; /* who is cut may stand anywhere */
  int64_t device = waiting->entries[0].id;
  const pp_device_state *state = &timeline->devices[device];
  const pp_span *spans = timeline->spans + state->base + state->iteration * timeline->plans[state->plan].stride;
  const pp_step *step = &pp_round_program(timeline, device, state->iteration)->steps[state->next];
  __builtin_prefetch(spans + step->source + 2, 0);
  __builtin_prefetch(spans + state->next, 1);
  __builtin_prefetch(spans + state->next + 3, 1);
  __builtin_prefetch(&timeline->device_times[device], 1);
  __builtin_prefetch((const char *)(&timeline->device_times[device] + 1) - 1, 1);
  for (int64_t place = 1; place < 5 && place < waiting->count; place++)
    __builtin_prefetch(&timeline->devices[waiting->entries[place].id], 1);
}

static void dispatch(pp_timeline *timeline) {
  int64_t device = pp_queue_pop(&timeline->waiting).id;
  look_ahead(timeline);
  if (timeline->presence != NULL && pp_presence_is_cut(timeline, device))
    return; /* dropped */
  if (timeline->has_own_slots && timeline->async != NULL && timeline->slot_free[device] > timeline->now) {
    pp_async_hold(timeline);
    return;
  }
  int slot = timeline->has_own_slots ? (int)device : (int)pp_queue_pop(&timeline->free_slots).key;
  pp_device_state *state = &timeline->devices[device];
  pp_ns now = timeline->now;
  timeline->dispatch_slot = slot;
  bool event_driven = timeline->plans[state->plan].event_driven;
  if (timeline->slot_free[slot] < now) {
    int index = state->next;
    if (event_driven)
      index = pp_round_program(timeline, device, state->iteration)
                  ->lane[PP_LANE_SERVER][timeline->lanes[device].next[PP_LANE_SERVER]];
    pp_causes_slot_gap(timeline, slot, device, state->iteration, index, now);
  }
  if (event_driven)
    pp_reactive_dispatch(timeline, device);
  else
    advance(timeline, device, true);
  pp_ns end = state->replica_free;
  timeline->slot_free[slot] = end;
  timeline->slot_times[slot].busy_ns += end - now;
  timeline->server_busy += end - now;
  pp_count_early(timeline, &timeline->early_server_busy, now, end);
  if (!timeline->has_own_slots)
    pp_queue_push(&timeline->busy_slots, end, slot);
}

void pp_engine_run(pp_timeline *timeline, pp_ns limit) {
  for (;;) {
    pp_ns now = timeline->instants.count > 0 ? timeline->instants.entries[0].key : PP_NS_NEVER;
    if (timeline->waiting.count > 0 && timeline->busy_slots.entries[0].key < now)
      now = timeline->busy_slots.entries[0].key;
    if (timeline->sharing != NULL && pp_sharing_next(timeline->sharing) < now)
      now = pp_sharing_next(timeline->sharing);
    if (now >= limit)
      return;
    timeline->now = now;
    /* First everything that ends or arrives now has ended or arrived ... */
    while (timeline->busy_slots.count > 0 && timeline->busy_slots.entries[0].key <= now)
      pp_queue_push(&timeline->free_slots, pp_queue_pop(&timeline->busy_slots).id, 0);
    if (timeline->sharing != NULL && timeline->presence != NULL)
      pp_presence_end_transfers(timeline, now);
    else if (timeline->sharing != NULL)
      pp_async_end_transfers(timeline, now);
    while (timeline->instants.count > 0 && timeline->instants.entries[0].key <= now &&
           timeline->instants.entries[0].id < 0) {
      int64_t id = pp_queue_pop(&timeline->instants).id;
      if (timeline->async != NULL)
        pp_async_take(timeline, id);
      else
        pp_presence_take(timeline, id, now);
    }
    if (timeline->presence != NULL && pp_presence_is_due(timeline, now))
      return;
    bool round_is_over = timeline->async != NULL && pp_async_settle(timeline, now);
    while (timeline->instants.count > 0 && timeline->instants.entries[0].key <= now) {
      int64_t device = pp_queue_pop(&timeline->instants).id;
      const pp_device_state *state = &timeline->devices[device];
      if (timeline->plans[state->plan].event_driven)
        pp_reactive_wake(timeline, device, now);
      else
        pp_engine_enqueue(timeline, device, state->next);
    }
    /* ... then the lowest-numbered free slot takes what arrived first, and so on. */
    while (timeline->waiting.count > 0 && (timeline->has_own_slots || timeline->free_slots.count > 0))
      dispatch(timeline);
    if (round_is_over)
      return;
  }
}

void pp_engine_reset_round(pp_timeline *timeline) {
  const pp_scenario *scenario = timeline->scenario;
  for (int index = 0; index < scenario->class_count; index++) {
    int64_t first = 0, end = 0;
    pp_class_round_iterations(&scenario->classes[index], timeline->round, &first, &end);
    timeline->round_iterations[index] = end - first;
  }
  timeline->unfinished = timeline->device_count;
  timeline->last_arrival = -1;
  timeline->last_device = -1;
  timeline->device_busy = timeline->server_busy = 0;
  timeline->early_device_busy = timeline->early_server_busy = 0;
}

void pp_engine_begin_turn(pp_timeline *timeline, int64_t device) {
  pp_device_state *state = &timeline->devices[device];
  state->iteration = state->next = 0;
  advance(timeline, device, false);
}

void pp_engine_begin_work(pp_timeline *timeline, int64_t device) {
  pp_device_state *state = &timeline->devices[device];
  state->iteration = 0;
  if (timeline->scenario->policy == PP_POLICY_PRIORITY)
    timeline->left_ns[device] = round_work(timeline, device);
  if (timeline->plans[state->plan].event_driven)
    pp_reactive_begin_round(timeline, device);
  else
    pp_engine_begin_turn(timeline, device);
}

void pp_engine_begin_round(pp_timeline *timeline) {
  pp_engine_reset_round(timeline);
  if (pp_takes_turns(timeline)) {
    pp_engine_begin_turn(timeline, 0);
    return;
  }
  for (int64_t device = 0; device < timeline->device_count; device++)
    pp_engine_begin_work(timeline, device);
}
