/* Why a resource was idle: from the stage that ended a gap back to where the gap began, each piece of time going to the
 * stage that filled it. A walk stays on one device and its replica until it comes to a model download; before that lies
 * the aggregate, and before an aggregate every slot's walk is the same. So what a slot's open gap owes to earlier
 * rounds is kept as sums, and the stages of a round can be dropped when it is over. */
#include "timeline/async.h"
#include "timeline/presence.h"

typedef struct pp_walk {
  pp_timeline *timeline;
  pp_ns *causes; /* (PP_CAUSE_COUNT) */
  pp_ns from;    /* where the gap began */
  pp_ns time;    /* what is left of it ends here */
} pp_walk;

/* Puts what is left of the gap after `since` down to a cause. */
static void take(pp_walk *walk, pp_cause cause, pp_ns since) {
  if (since < walk->from)
    since = walk->from;
  if (since < walk->time) {
    walk->causes[cause] += walk->time - since;
    walk->time = since;
  }
}

/* As take, for a stage that by the model ends length_ns after its start: what is later is overrun. */
static void take_stage(pp_walk *walk, pp_cause cause, const pp_span *span, pp_ns length_ns) {
  if (walk->timeline->due != NULL && span->end_ns - span->start_ns > length_ns)
    take(walk, PP_CAUSE_OVERRUN, span->start_ns + length_ns);
  take(walk, cause, span->start_ns);
}

/* Where a walk stands: an operation of an iteration of a device. */
typedef struct pp_place {
  int64_t device, iteration;
  const pp_class_plan *plan;
  const pp_program *program;
  const pp_span *spans;
} pp_place;

static pp_place place_of(const pp_timeline *timeline, int64_t device, int64_t iteration) {
  return (pp_place){.device = device,
                    .iteration = iteration,
                    .plan = &timeline->plans[timeline->devices[device].plan],
                    .program = pp_round_program(timeline, device, iteration),
                    .spans = pp_iteration_spans(timeline, device, iteration)};
}

static pp_ns arrival_of(const pp_timeline *timeline, const pp_place *place, int transfer) {
  const pp_span *span = &place->spans[transfer];
  if (timeline->arrivals != NULL)
    return timeline->arrivals[span - timeline->spans];
  bool up = place->program->steps[transfer].resource == PP_RESOURCE_UPLINK;
  return span->end_ns + (up ? place->plan->up_latency_ns : place->plan->down_latency_ns);
}

/* The last operation of a lane that had ended at `time`; -1: none. The ends in a lane increase. */
static int last_ended(const pp_place *place, pp_lane lane, pp_ns time) {
  int low = -1, high = place->program->lane_count[lane];
  while (high - low > 1) {
    int middle = low + (high - low) / 2;
    if (place->spans[place->program->lane[lane][middle]].end_ns <= time)
      low = middle;
    else
      high = middle;
  }
  return low < 0 ? -1 : place->program->lane[lane][low];
}

static int later_of(const pp_place *place, int index, int other) {
  if (index < 0 || other < 0)
    return index < 0 ? other : index;
  return place->spans[other].end_ns > place->spans[index].end_ns ? other : index;
}

/* The operation before it on the same compute unit or link, in time; -1: none in this iteration. */
static int before(const pp_place *place, int index) {
  const pp_step *step = &place->program->steps[index];
  if (!place->plan->event_driven || step->resource == PP_RESOURCE_SERVER)
    return step->previous;
  pp_ns start = place->spans[index].start_ns;
  if (step->resource == PP_RESOURCE_DEVICE)
    return later_of(place, last_ended(place, PP_LANE_OUTBOUND, start), last_ended(place, PP_LANE_RETURN, start));
  if (!place->plan->shared_link)
    return step->previous;
  return later_of(place, last_ended(place, PP_LANE_UPLINK, start), last_ended(place, PP_LANE_DOWNLINK, start));
}

static pp_cause transfer_cause(const pp_step *step) {
  return step->resource == PP_RESOURCE_UPLINK ? PP_CAUSE_UPLOAD : PP_CAUSE_DOWNLOAD;
}

/* Over a transfer, from its arrival; over those that held the link before it; to the operation that produced the first
 * of them. */
static int over_transfers(pp_walk *walk, const pp_place *place, int index) {
  const pp_timeline *timeline = walk->timeline;
  const pp_span *span = &place->spans[index];
  bool up = place->program->steps[index].resource == PP_RESOURCE_UPLINK;
  if (timeline->due != NULL)
    take(walk, PP_CAUSE_OVERRUN, span->end_ns + (up ? place->plan->up_latency_ns : place->plan->down_latency_ns));
  take(walk, PP_CAUSE_LATENCY, span->end_ns);
  for (;;) {
    const pp_step *step = &place->program->steps[index];
    span = &place->spans[index];
    pp_ns length = 0;
    if (timeline->due != NULL) {
      const pp_link *link = step->resource == PP_RESOURCE_UPLINK ? &place->plan->up : &place->plan->down;
      length = pp_transfer_end(walk->timeline, link, step, span->start_ns) - span->start_ns;
    }
    take_stage(walk, transfer_cause(step), span, length);
    pp_ns ready = place->spans[step->source].end_ns;
    int holder = span->start_ns > ready ? before(place, index) : -1;
    if (timeline->due != NULL)
      take(walk, PP_CAUSE_OVERRUN, timeline->due[span - timeline->spans]);
    if (holder < 0 || place->spans[holder].end_ns <= ready)
      return step->source;
    index = holder;
  }
}

/* Over a model's way down or up, from its arrival to its start; under the wall clock what is later than the model says
 * is overrun, up to `ready`, when it could have started. */
static void over_model(pp_walk *walk, pp_cause cause, const pp_link *link, pp_ns latency_ns, pp_span span,
                       int64_t bytes, pp_ns ready) {
  bool observed = walk->timeline->due != NULL;
  if (observed)
    take(walk, PP_CAUSE_OVERRUN, span.end_ns + latency_ns);
  take(walk, PP_CAUSE_LATENCY, span.end_ns);
  take_stage(walk, cause, &span, observed ? pp_link_finish(link, span.start_ns, bytes) - span.start_ns : 0);
  if (observed)
    take(walk, PP_CAUSE_OVERRUN, ready);
}

static void over_model_download(pp_walk *walk, int64_t device, pp_ns ready) {
  const pp_class_plan *plan = &walk->timeline->plans[walk->timeline->devices[device].plan];
  over_model(walk, PP_CAUSE_DOWNLOAD, &plan->down, plan->down_latency_ns, walk->timeline->model_down[device],
             plan->class->full->model_download_bytes, ready);
}

static void over_model_upload(pp_walk *walk, int64_t device) {
  const pp_class_plan *plan = &walk->timeline->plans[walk->timeline->devices[device].plan];
  over_model(walk, PP_CAUSE_UPLOAD, &plan->up, plan->up_latency_ns, walk->timeline->model_up[device],
             plan->class->full->model_upload_bytes, walk->timeline->devices[device].compute_free);
}

/* Nobody waits for the others: over a device's model_upload, from its arrival, to the stage that ended the local round.
 */
static int over_update(pp_walk *walk, int64_t device, int64_t local_round, pp_place *place) {
  const pp_timeline *timeline = walk->timeline;
  const pp_local_round *at = pp_async_local_round(timeline, device, local_round);
  const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
  int64_t first = 0, end = 0;
  take(walk, PP_CAUSE_SERVER_QUEUE, at->up.end_ns + plan->up_latency_ns);
  take(walk, PP_CAUSE_LATENCY, at->up.end_ns);
  take(walk, PP_CAUSE_UPLOAD, at->up.start_ns);
  pp_async_iterations(timeline, device, local_round, &first, &end);
  *place = place_of(timeline, device, end - 1);
  return place->program->last_device_step;
}

/* From the begin of an iteration to the stage before it; -1: there is none. */
static int before_iteration(pp_walk *walk, pp_place *place) {
  const pp_timeline *timeline = walk->timeline;
  int64_t device = place->device, local_round = place->iteration / place->plan->class->iterations_per_round;
  if (place->iteration % place->plan->class->iterations_per_round != 0) {
    *place = place_of(timeline, device, place->iteration - 1);
    return place->program->last_device_step;
  }
  if (local_round == 0)
    return -1;
  const pp_local_round *at = pp_async_local_round(timeline, device, --local_round);
  take(walk, PP_CAUSE_LATENCY, at->down.end_ns);
  take(walk, PP_CAUSE_DOWNLOAD, at->down.start_ns);
  if (at->source >= 0) {
    const pp_update *last = pp_async_last_update(timeline, at->source);
    take(walk, PP_CAUSE_AGGREGATION, timeline->async->aggregates[at->source].start_ns);
    device = last->device;
    local_round = last->local_round;
  }
  return over_update(walk, device, local_round, place);
}

/* From the start of an operation (walk->time) back to where the gap began, or to the beginning of the round. */
static void walk_back(pp_walk *walk, pp_place *place, int index) {
  const pp_timeline *timeline = walk->timeline;
  while (walk->time > walk->from) {
    const pp_step *step = &place->program->steps[index];
    if (step->resource == PP_RESOURCE_SERVER) {
      if (timeline->due != NULL)
        take(walk, PP_CAUSE_OVERRUN, timeline->due[&place->spans[index] - timeline->spans]);
      if (step->starts_piece) {
        take(walk, PP_CAUSE_SERVER_QUEUE, arrival_of(timeline, place, step->source));
        index = over_transfers(walk, place, step->source);
      } else {
        index = step->previous;
      }
    } else {
      if (timeline->due != NULL)
        take(walk, PP_CAUSE_OVERRUN, timeline->due[&place->spans[index] - timeline->spans]);
      pp_ns data = step->source >= 0 ? arrival_of(timeline, place, step->source) : -1;
      if (data >= 0 && data >= walk->time) {
        index = over_transfers(walk, place, step->source);
      } else {
        index = before(place, index);
        if (index < 0 && timeline->async != NULL) {
          index = before_iteration(walk, place);
          if (index < 0)
            return;
        }
        if (index < 0 && place->iteration == 0) {
          if (timeline->round > 0 || timeline->round_start > 0)
            over_model_download(walk, place->device, timeline->round_start);
          return;
        }
        if (index < 0) {
          *place = place_of(timeline, place->device, place->iteration - 1);
          index = place->program->last_device_step;
        }
      }
    }
    pp_cause cause =
        place->program->steps[index].resource == PP_RESOURCE_DEVICE ? PP_CAUSE_DEVICE_COMPUTE : PP_CAUSE_SERVER_COMPUTE;
    take_stage(walk, cause, &place->spans[index], place->program->steps[index].length_ns);
  }
}

/* Under the wall clock stages may not meet exactly: what no stage explains is overrun. */
static void end_walk(pp_walk *walk) {
  PP_ASSERT(walk->time <= walk->from || walk->timeline->due != NULL);
  take(walk, PP_CAUSE_OVERRUN, walk->from);
}

void pp_causes_device_gap(pp_timeline *timeline, int64_t device, int64_t iteration, int index, pp_ns from,
                          pp_ns start) {
  if (timeline->overflow || timeline->times_only)
    return; /* the run is over, or nobody asks */
  pp_walk walk = {timeline, timeline->device_times[device].cause_ns, from, start};
  pp_place place = place_of(timeline, device, iteration);
  walk_back(&walk, &place, index);
  end_walk(&walk);
}

static void add_difference(pp_ns *causes, const pp_ns *whole, const pp_ns *part) {
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
    causes[cause] += whole[cause] - part[cause];
}

void pp_causes_slot_gap(pp_timeline *timeline, int slot, int64_t device, int64_t iteration, int index, pp_ns start) {
  if (timeline->times_only)
    return;
  pp_ns *causes = timeline->slot_times[slot].cause_ns;
  pp_ns free = timeline->slot_free[slot];
  pp_walk walk = {timeline, causes, free > timeline->round_start ? free : timeline->round_start, start};
  pp_place place = place_of(timeline, device, iteration);
  walk_back(&walk, &place, index);
  end_walk(&walk);
  if (free >= timeline->round_start)
    return;
  if (pp_takes_turns(timeline)) {
    add_difference(causes, timeline->chain, timeline->slot_pending[slot]);
    return;
  }
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++) {
    causes[cause] += timeline->slot_pending[slot][cause];
    timeline->slot_pending[slot][cause] = 0;
  }
}

static pp_ns model_arrival(const pp_timeline *timeline, int64_t device) {
  if (timeline->model_up_arrivals != NULL)
    return timeline->model_up_arrivals[device];
  const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
  return timeline->model_up[device].end_ns + plan->up_latency_ns;
}

/* Over the aggregate itself; under the wall clock what is later than the model says is overrun. */
static void over_aggregate(pp_walk *walk, pp_span aggregate, pp_ns due) {
  take_stage(walk, PP_CAUSE_AGGREGATION, &aggregate, walk->timeline->scenario->aggregate_ns);
  if (walk->timeline->due != NULL)
    take(walk, PP_CAUSE_OVERRUN, due);
}

void pp_causes_model_gap(pp_timeline *timeline, int64_t device, pp_ns from, pp_ns arrival, pp_span aggregate,
                         pp_ns due) {
  pp_walk walk = {timeline, timeline->device_times[device].cause_ns, from, arrival};
  over_model_download(&walk, device, aggregate.end_ns);
  over_aggregate(&walk, aggregate, due);
  take(&walk, PP_CAUSE_AGGREGATION, model_arrival(timeline, device));
  over_model_upload(&walk, device);
  end_walk(&walk);
}

/* From the start of the aggregate back to where the walk's gap began or the round did. */
static void walk_back_from_aggregate(pp_walk *walk, pp_ns due) {
  const pp_timeline *timeline = walk->timeline;
  int64_t device = timeline->last_device;
  if (timeline->due != NULL)
    take(walk, PP_CAUSE_OVERRUN, due);
  if (timeline->presence != NULL) {
    take(walk, PP_CAUSE_SERVER_QUEUE, due);
    take(walk, PP_CAUSE_AGGREGATION, device < 0 ? timeline->round_start : timeline->last_arrival);
    if (device < 0)
      return;
  }
  take(walk, PP_CAUSE_SERVER_QUEUE, timeline->last_arrival);
  over_model_upload(walk, device);
  pp_place place = place_of(timeline, device, timeline->round_iterations[timeline->devices[device].plan] - 1);
  int index = place.program->last_device_step;
  take_stage(walk, PP_CAUSE_DEVICE_COMPUTE, &place.spans[index], place.program->steps[index].length_ns);
  walk_back(walk, &place, index);
  end_walk(walk);
}

void pp_causes_own_model(pp_timeline *timeline, int64_t device, pp_ns from, pp_ns until) {
  pp_walk walk = {timeline, timeline->device_times[device].cause_ns, from, until};
  take(&walk, PP_CAUSE_AGGREGATION, model_arrival(timeline, device));
  over_model_upload(&walk, device);
  end_walk(&walk);
}

void pp_causes_aggregate(pp_timeline *timeline, pp_span aggregate, pp_ns due) {
  pp_walk first = {timeline, timeline->slot_times[0].cause_ns, timeline->slot_free[0], aggregate.start_ns};
  if (timeline->slot_free[0] < timeline->round_start) {
    /* Nobody was there when the round before it ended. */
    first.from = timeline->round_start;
    for (int cause = 0; cause < PP_CAUSE_COUNT; cause++) {
      first.causes[cause] += timeline->slot_pending[0][cause];
      timeline->slot_pending[0][cause] = 0;
    }
  }
  walk_back_from_aggregate(&first, due);
  /* Slots that have been idle since before this round owe it all the same. */
  pp_ns whole[PP_CAUSE_COUNT];
  bool have_whole = false;
  for (int slot = 1; slot < timeline->slot_count; slot++) {
    pp_ns *pending = timeline->slot_pending[slot];
    if (timeline->slot_free[slot] <= timeline->round_start) {
      if (!have_whole) {
        for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
          whole[cause] = 0;
        pp_walk walk = {timeline, whole, timeline->round_start, aggregate.end_ns};
        over_aggregate(&walk, aggregate, due);
        walk_back_from_aggregate(&walk, due);
        have_whole = true;
      }
      for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
        pending[cause] += whole[cause];
    } else {
      pp_walk walk = {timeline, pending, timeline->slot_free[slot], aggregate.end_ns};
      over_aggregate(&walk, aggregate, due);
      walk_back_from_aggregate(&walk, due);
    }
  }
}

void pp_causes_async_aggregate(pp_timeline *timeline, int64_t aggregate) {
  pp_walk walk = {timeline, timeline->slot_times[0].cause_ns, timeline->slot_free[0],
                  timeline->async->aggregates[aggregate].start_ns};
  const pp_update *last = pp_async_last_update(timeline, aggregate);
  pp_place place = {0};
  int index = over_update(&walk, last->device, last->local_round, &place);
  take_stage(&walk, PP_CAUSE_DEVICE_COMPUTE, &place.spans[index], place.program->steps[index].length_ns);
  walk_back(&walk, &place, index);
  end_walk(&walk);
}

/* From the start of the next turn back over the model's way to it, then over the device's own turn. */
static void walk_turn(pp_walk *walk, int64_t device, int64_t next) {
  const pp_timeline *timeline = walk->timeline;
  over_model_download(walk, next, timeline->model_down[next].start_ns);
  over_model_upload(walk, device);
  if (walk->time <= walk->from)
    return;
  pp_place place = place_of(timeline, device, timeline->round_iterations[timeline->devices[device].plan] - 1);
  int index = place.program->last_device_step;
  take_stage(walk, PP_CAUSE_DEVICE_COMPUTE, &place.spans[index], place.program->steps[index].length_ns);
  walk_back(walk, &place, index);
}

void pp_causes_turn(pp_timeline *timeline, int64_t device, int64_t next, pp_ns start) {
  if (timeline->overflow)
    return;
  const pp_device_state *state = &timeline->devices[device];
  const pp_ns nothing[PP_CAUSE_COUNT] = {0};
  pp_ns whole[PP_CAUSE_COUNT] = {0}, way[PP_CAUSE_COUNT] = {0}, after_slot[PP_CAUSE_COUNT] = {0};
  walk_turn(&(pp_walk){timeline, whole, timeline->round_start, start}, device, next);
  walk_turn(&(pp_walk){timeline, way, state->compute_free, start}, device, next);
  walk_turn(&(pp_walk){timeline, after_slot, state->replica_free, start}, device, next);
  add_difference(timeline->chain, whole, nothing);
  if (timeline->outlasting_slot >= 0) {
    /* The turn before this one left a stage on that slot that ended within this one. */
    int32_t slot = timeline->outlasting_slot;
    pp_ns after[PP_CAUSE_COUNT] = {0};
    walk_turn(&(pp_walk){timeline, after, timeline->slot_free[slot], start}, device, next);
    for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
      timeline->slot_pending[slot][cause] = timeline->chain[cause] - after[cause];
  }
  timeline->outlasting_slot = state->replica_free > start ? timeline->dispatch_slot : -1;
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++) {
    timeline->device_chain[device][cause] = timeline->chain[cause] - way[cause];
    timeline->slot_pending[timeline->dispatch_slot][cause] = timeline->chain[cause] - after_slot[cause];
  }
  add_difference(timeline->device_times[next].cause_ns, timeline->chain, timeline->device_chain[next]);
}

void pp_causes_last_turn(pp_timeline *timeline, int64_t device, pp_ns arrival) {
  if (timeline->overflow)
    return;
  pp_walk walk = {timeline, timeline->device_times[device].cause_ns, timeline->devices[device].compute_free, arrival};
  over_model_upload(&walk, device);
  end_walk(&walk);
}

static void close_account(pp_resource_times *times, pp_ns makespan, pp_ns last_event) {
  times->cause_ns[PP_CAUSE_DRAIN] += makespan - last_event;
  times->idle_ns = makespan - times->busy_ns;
  pp_ns explained = 0;
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
    explained += times->cause_ns[cause];
  PP_ASSERT(explained == times->idle_ns);
}

void pp_causes_finish(pp_timeline *timeline) {
  for (int64_t device = 0; device < timeline->device_count; device++)
    close_account(&timeline->device_times[device], timeline->makespan,
                  timeline->presence != NULL ? timeline->makespan : timeline->devices[device].compute_free);
  for (int slot = 0; slot < timeline->slot_count; slot++)
    close_account(&timeline->slot_times[slot], timeline->makespan, timeline->slot_free[slot]);
}
