/* Takes over what really happened in a round, under the wall clock, and explains it by the same walk. Every stage has
 * an instant at which, by what really preceded it, it was due: what is later is overrun. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "timeline/engine.h"

/* A server stage of the round, to be put in order of time. */
typedef struct pp_piece {
  pp_ns start_ns;
  int64_t device, iteration;
  int32_t slot, index;
} pp_piece;

typedef struct pp_observation {
  pp_timeline *timeline;
  int64_t count;
  const pp_stage_record *records;
  const pp_ns *arrivals;
  pp_span aggregate;
  bool have_aggregate;
  /* Of this round; the timeline's own are still the previous round's, which walks begin from. (device_count) */
  pp_span *model_down;
  pp_ns *model_down_arrivals;
  pp_piece *pieces;
  int64_t piece_count;
} pp_observation;

static pp_status reject(const pp_observation *observation, const pp_stage_record *record, const char *why) {
  return pp_fail(PP_CODE_RUN, "round %lld: the observed %s %d of device %d, iteration %d, from %lld to %lld ns %s",
                 (long long)observation->timeline->round,
                 record->stage >= 0 && record->stage < PP_STAGE_COUNT ? pp_stage_name((pp_stage)record->stage)
                                                                      : "stage",
                 record->micro_batch, record->device, record->iteration, (long long)record->start_ns,
                 (long long)record->end_ns, why);
}

static const pp_span unknown = {PP_NS_NEVER, PP_NS_NEVER};

static pp_status take_model(pp_observation *observation, int64_t which) {
  const pp_stage_record *record = &observation->records[which];
  pp_timeline *timeline = observation->timeline;
  bool up = record->stage == PP_STAGE_MODEL_UPLOAD;
  pp_span *span = up ? &timeline->model_up[record->device] : &observation->model_down[record->device];
  if (span->start_ns != PP_NS_NEVER)
    return reject(observation, record, "was given twice");
  *span = (pp_span){record->start_ns, record->end_ns};
  (up ? timeline->model_up_arrivals : observation->model_down_arrivals)[record->device] = observation->arrivals[which];
  return NULL;
}

static pp_status take_stage_of_iteration(pp_observation *observation, int64_t which) {
  const pp_stage_record *record = &observation->records[which];
  pp_timeline *timeline = observation->timeline;
  const pp_device_state *state = &timeline->devices[record->device];
  int64_t first = timeline->round * timeline->plans[state->plan].class->iterations_per_round;
  int64_t iteration = record->iteration - first;
  if (iteration < 0 || iteration >= timeline->round_iterations[state->plan])
    return reject(observation, record, "is of another round");
  const pp_program *program = pp_round_program(timeline, record->device, iteration);
  int index = pp_program_find(program, (pp_stage)record->stage, record->micro_batch);
  if (index < 0)
    return reject(observation, record, "is not in the schedule");
  pp_span *span = &pp_iteration_spans(timeline, record->device, iteration)[index];
  if (span->start_ns != PP_NS_NEVER)
    return reject(observation, record, "was given twice");
  *span = (pp_span){record->start_ns, record->end_ns};
  timeline->arrivals[span - timeline->spans] = observation->arrivals[which];
  if (program->steps[index].resource == PP_RESOURCE_SERVER) {
    if (record->slot < 0 || record->slot >= timeline->slot_count)
      return reject(observation, record, "ran on a slot that the server does not have");
    observation->pieces[observation->piece_count++] =
        (pp_piece){record->start_ns, record->device, iteration, record->slot, index};
  }
  return NULL;
}

static pp_status take_record(pp_observation *observation, int64_t which) {
  const pp_stage_record *record = &observation->records[which];
  const pp_timeline *timeline = observation->timeline;
  if (record->stage < 0 || record->stage >= PP_STAGE_COUNT || record->round != timeline->round ||
      record->start_ns < 0 || record->end_ns < record->start_ns)
    return reject(observation, record, "makes no sense");
  if (record->stage == PP_STAGE_AGGREGATE) {
    if (observation->have_aggregate)
      return reject(observation, record, "was given twice");
    observation->have_aggregate = true;
    observation->aggregate = (pp_span){record->start_ns, record->end_ns};
    return NULL;
  }
  if (record->device < 0 || record->device >= timeline->device_count)
    return reject(observation, record, "is of a device that does not exist");
  pp_resource resource = pp_stage_resource((pp_stage)record->stage);
  bool transfer = resource == PP_RESOURCE_UPLINK || resource == PP_RESOURCE_DOWNLINK;
  if (transfer && observation->arrivals[which] < record->end_ns)
    return reject(observation, record, "arrived before it ended");
  bool model = record->stage == PP_STAGE_MODEL_UPLOAD || record->stage == PP_STAGE_MODEL_DOWNLOAD;
  return model ? take_model(observation, which) : take_stage_of_iteration(observation, which);
}

/* What of the round was not observed, if anything. */
static pp_status check_complete(const pp_observation *observation) {
  const pp_timeline *timeline = observation->timeline;
  pp_stage_record missing = {.device = -1, .slot = -1, .iteration = -1, .micro_batch = -1};
  if (!observation->have_aggregate) {
    missing.stage = PP_STAGE_AGGREGATE;
    return reject(observation, &missing, "is missing");
  }
  for (int64_t device = 0; device < timeline->device_count; device++) {
    missing.device = (int32_t)device;
    bool up = timeline->model_up[device].start_ns != PP_NS_NEVER;
    missing.stage = up ? PP_STAGE_MODEL_DOWNLOAD : PP_STAGE_MODEL_UPLOAD;
    if (!up || observation->model_down[device].start_ns == PP_NS_NEVER)
      return reject(observation, &missing, "is missing");
    int32_t plan = timeline->devices[device].plan;
    for (int64_t iteration = 0; iteration < timeline->round_iterations[plan]; iteration++) {
      const pp_program *program = pp_round_program(timeline, device, iteration);
      const pp_span *spans = pp_iteration_spans(timeline, device, iteration);
      for (int index = 0; index < program->count; index++) {
        missing.stage = (int32_t)program->schedule->ops[index].stage;
        missing.micro_batch = program->schedule->ops[index].micro_batch;
        missing.iteration = (int32_t)(timeline->round * timeline->plans[plan].class->iterations_per_round + iteration);
        if (spans[index].start_ns == PP_NS_NEVER)
          return reject(observation, &missing, "is missing");
      }
    }
  }
  return NULL;
}

static pp_ns later_of(pp_ns a, pp_ns b) { return a > b ? a : b; }

/* The operations of the lanes, of two at most, in order of their starts. */
static int merge_lanes(const pp_program *program, const pp_span *spans, pp_lane first, pp_lane second, int32_t *out) {
  int count = 0, a = 0, b = 0;
  while (a < program->lane_count[first] || b < program->lane_count[second]) {
    bool take_first = b == program->lane_count[second] ||
                      (a < program->lane_count[first] &&
                       spans[program->lane[first][a]].start_ns <= spans[program->lane[second][b]].start_ns);
    out[count++] = take_first ? program->lane[first][a++] : program->lane[second][b++];
  }
  return count;
}

/* Sets the due instants of the transfers, then of the compute stages of an iteration of a device. */
static pp_status set_due(pp_observation *observation, int64_t device, int64_t iteration, int32_t *order,
                         pp_ns *compute_free) {
  pp_timeline *timeline = observation->timeline;
  const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
  const pp_program *program = pp_round_program(timeline, device, iteration);
  const pp_span *spans = pp_iteration_spans(timeline, device, iteration);
  pp_ns *due = timeline->due + (spans - timeline->spans);
  const pp_ns *arrivals = timeline->arrivals + (spans - timeline->spans);
  pp_ns link_free[2] = {0, 0};
  int count = merge_lanes(program, spans, PP_LANE_UPLINK, PP_LANE_DOWNLINK, order);
  for (int place = 0; place < count; place++) {
    int index = order[place];
    bool down = program->steps[index].resource == PP_RESOURCE_DOWNLINK;
    pp_ns *free = &link_free[down && !plan->shared_link ? 1 : 0];
    due[index] = later_of(spans[program->steps[index].source].end_ns, *free);
    *free = later_of(*free, spans[index].end_ns);
  }
  count = merge_lanes(program, spans, PP_LANE_OUTBOUND, PP_LANE_RETURN, order);
  for (int place = 0; place < count; place++) {
    int index = order[place], source = program->steps[index].source;
    if (spans[index].start_ns < *compute_free)
      return pp_fail(PP_CODE_RUN, "round %lld: stages of device %lld overlap at %lld ns", (long long)timeline->round,
                     (long long)device, (long long)spans[index].start_ns);
    due[index] = source >= 0 ? later_of(arrivals[source], *compute_free) : *compute_free;
    *compute_free = spans[index].end_ns;
  }
  return NULL;
}

/* Explains the gaps of an iteration of a device, whose due instants are set, and adds up its busy time. */
static void explain_device(pp_timeline *timeline, int64_t device, int64_t iteration, int32_t *order,
                           pp_ns *compute_free) {
  const pp_program *program = pp_round_program(timeline, device, iteration);
  const pp_span *spans = pp_iteration_spans(timeline, device, iteration);
  pp_resource_times *times = &timeline->device_times[device];
  int count = merge_lanes(program, spans, PP_LANE_OUTBOUND, PP_LANE_RETURN, order);
  for (int place = 0; place < count; place++) {
    const pp_span *span = &spans[order[place]];
    if (span->start_ns > *compute_free)
      pp_causes_device_gap(timeline, device, iteration, order[place], *compute_free, span->start_ns);
    times->busy_ns += span->end_ns - span->start_ns;
    timeline->device_busy += span->end_ns - span->start_ns;
    *compute_free = span->end_ns;
  }
  times->bytes_up += program->bytes_up;
  times->bytes_down += program->bytes_down;
  timeline->stage_count += program->count;
}

static int compare_pieces(const void *a, const void *b) {
  const pp_piece *left = a, *right = b;
  if (left->start_ns != right->start_ns)
    return left->start_ns < right->start_ns ? -1 : 1;
  return (left->slot > right->slot) - (left->slot < right->slot);
}

static pp_status set_due_on_server(pp_observation *observation, pp_ns *slot_free) {
  pp_timeline *timeline = observation->timeline;
  memcpy(slot_free, timeline->slot_free, (size_t)timeline->slot_count * sizeof *slot_free);
  for (int64_t device = 0; device < timeline->device_count; device++)
    timeline->devices[device].replica_free = 0;
  for (int64_t place = 0; place < observation->piece_count; place++) {
    const pp_piece *piece = &observation->pieces[place];
    const pp_program *program = pp_round_program(timeline, piece->device, piece->iteration);
    const pp_span *span = &pp_iteration_spans(timeline, piece->device, piece->iteration)[piece->index];
    pp_device_state *state = &timeline->devices[piece->device];
    pp_ns *due = &timeline->due[span - timeline->spans];
    if (span->start_ns < slot_free[piece->slot])
      return pp_fail(PP_CODE_RUN, "round %lld: stages on slot %d overlap at %lld ns", (long long)timeline->round,
                     piece->slot, (long long)span->start_ns);
    *due = state->replica_free;
    if (program->steps[piece->index].starts_piece) {
      int64_t source = span - timeline->spans - piece->index + program->steps[piece->index].source;
      *due = later_of(*due, later_of(timeline->arrivals[source], slot_free[piece->slot]));
    }
    state->replica_free = span->end_ns;
    slot_free[piece->slot] = span->end_ns;
  }
  return NULL;
}

static void explain_slots(pp_observation *observation) {
  pp_timeline *timeline = observation->timeline;
  for (int64_t place = 0; place < observation->piece_count; place++) {
    const pp_piece *piece = &observation->pieces[place];
    const pp_span *span = &pp_iteration_spans(timeline, piece->device, piece->iteration)[piece->index];
    if (span->start_ns > timeline->slot_free[piece->slot])
      pp_causes_slot_gap(timeline, piece->slot, piece->device, piece->iteration, piece->index, span->start_ns);
    timeline->slot_times[piece->slot].busy_ns += span->end_ns - span->start_ns;
    timeline->server_busy += span->end_ns - span->start_ns;
    timeline->slot_free[piece->slot] = span->end_ns;
  }
}

/* The averaging of the models and their way back; returns when the last of them was there. */
static pp_status explain_models(pp_observation *observation, pp_ns *end) {
  pp_timeline *timeline = observation->timeline;
  pp_span averaging = observation->aggregate;
  pp_ns due = timeline->last_arrival;
  for (int slot = 0; slot < timeline->slot_count; slot++)
    due = later_of(due, timeline->slot_free[slot]);
  if (averaging.start_ns < due)
    return pp_fail(PP_CODE_RUN, "round %lld: the aggregate started at %lld ns, before all was there at %lld ns",
                   (long long)timeline->round, (long long)averaging.start_ns, (long long)due);
  pp_causes_aggregate(timeline, averaging, due);
  timeline->slot_times[0].busy_ns += averaging.end_ns - averaging.start_ns;
  timeline->server_busy += averaging.end_ns - averaging.start_ns;
  timeline->slot_free[0] = averaging.end_ns;
  *end = 0;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    pp_device_state *state = &timeline->devices[device];
    const pp_schedule *schedule = timeline->plans[state->plan].class->full;
    pp_ns arrival = observation->model_down_arrivals[device];
    if (timeline->model_up[device].start_ns < state->compute_free || arrival < averaging.end_ns)
      return pp_fail(PP_CODE_RUN, "round %lld: the model of device %lld was sent before it was there",
                     (long long)timeline->round, (long long)device);
    timeline->model_down[device] = observation->model_down[device];
    pp_causes_model_gap(timeline, device, state->compute_free, arrival, averaging, due);
    timeline->device_times[device].bytes_up += schedule->model_upload_bytes;
    timeline->device_times[device].bytes_down += schedule->model_download_bytes;
    state->compute_free = arrival;
    *end = later_of(*end, arrival);
  }
  timeline->stage_count += 2 * timeline->device_count + 1;
  timeline->round_start = averaging.end_ns;
  return NULL;
}

static pp_status explain(pp_observation *observation, int32_t *order, pp_ns *slot_free, pp_ns *end) {
  pp_timeline *timeline = observation->timeline;
  PP_TRY(check_complete(observation));
  qsort(observation->pieces, (size_t)observation->piece_count, sizeof *observation->pieces, compare_pieces);
  for (int64_t device = 0; device < timeline->device_count; device++) {
    const pp_device_state *state = &timeline->devices[device];
    pp_ns compute_free = state->compute_free;
    for (int64_t iteration = 0; iteration < timeline->round_iterations[state->plan]; iteration++)
      PP_TRY(set_due(observation, device, iteration, order, &compute_free));
  }
  PP_TRY(set_due_on_server(observation, slot_free));
  for (int64_t device = 0; device < timeline->device_count; device++) {
    pp_device_state *state = &timeline->devices[device];
    for (int64_t iteration = 0; iteration < timeline->round_iterations[state->plan]; iteration++)
      explain_device(timeline, device, iteration, order, &state->compute_free);
    if (timeline->model_up_arrivals[device] > timeline->last_arrival) {
      timeline->last_arrival = timeline->model_up_arrivals[device];
      timeline->last_device = device;
    }
  }
  explain_slots(observation);
  return explain_models(observation, end);
}

static pp_status create_memory(pp_timeline *timeline) {
  if (timeline->due != NULL)
    return NULL;
  size_t spans = (size_t)timeline->span_count, devices = (size_t)timeline->device_count;
  PP_TRY(pp_alloc(spans, sizeof *timeline->arrivals, "what is observed of a round", &timeline->arrivals));
  PP_TRY(pp_alloc(devices, sizeof *timeline->model_up_arrivals, "what is observed of a round",
                  &timeline->model_up_arrivals));
  return pp_alloc(spans, sizeof *timeline->due, "what is observed of a round", &timeline->due);
}

static pp_status observe(pp_observation *observation, int32_t *order, pp_ns *slot_free, pp_round_times *out) {
  pp_timeline *timeline = observation->timeline;
  for (int64_t span = 0; span < timeline->span_count; span++)
    timeline->spans[span] = unknown;
  for (int64_t device = 0; device < timeline->device_count; device++)
    timeline->model_up[device] = observation->model_down[device] = unknown;
  for (int64_t which = 0; which < observation->count; which++)
    PP_TRY(take_record(observation, which));
  pp_ns end = 0;
  PP_TRY(explain(observation, order, slot_free, &end));
  pp_ns length = end - timeline->previous_end_ns;
  *out = (pp_round_times){.round = timeline->round,
                          .end_ns = end,
                          .server_idle_s = pp_mean_idle_s(length, timeline->slot_count, timeline->server_busy),
                          .device_idle_s = pp_mean_idle_s(length, timeline->device_count, timeline->device_busy)};
  for (int index = 0; index < timeline->scenario->class_count; index++)
    if (timeline->round_iterations[index] > out->iterations)
      out->iterations = timeline->round_iterations[index];
  timeline->previous_end_ns = end;
  timeline->makespan = end;
  return NULL;
}

pp_status pp_timeline_observe_round(pp_timeline *timeline, int64_t count, const pp_stage_record *records,
                                    const int64_t *arrival_ns, pp_round_times *out) {
  PP_ASSERT(timeline->round < timeline->scenario->rounds);
  if (pp_takes_turns(timeline))
    return pp_fail(PP_CODE_INPUT, "method: sl is not built yet under the wall clock");
  PP_TRY(create_memory(timeline));
  pp_engine_reset_round(timeline);
  pp_observation observation = {.timeline = timeline, .count = count, .records = records, .arrivals = arrival_ns};
  int32_t *order = NULL;
  pp_ns *slot_free = NULL;
  pp_status status = NULL;
  PP_TRY_GOTO(status,
              pp_alloc((size_t)timeline->device_count, sizeof *observation.model_down, "what is observed of a round",
                       &observation.model_down),
              done);
  PP_TRY_GOTO(status,
              pp_alloc((size_t)timeline->device_count, sizeof *observation.model_down_arrivals,
                       "what is observed of a round", &observation.model_down_arrivals),
              done);
  PP_TRY_GOTO(status,
              pp_alloc((size_t)count, sizeof *observation.pieces, "what is observed of a round", &observation.pieces),
              done);
  PP_TRY_GOTO(status, pp_alloc((size_t)count, sizeof *order, "what is observed of a round", &order), done);
  PP_TRY_GOTO(status,
              pp_alloc((size_t)timeline->slot_count, sizeof *slot_free, "what is observed of a round", &slot_free),
              done);
  PP_TRY_GOTO(status, observe(&observation, order, slot_free, out), done);
  if (timeline->record_stages) {
    PP_TRY_GOTO(status, pp_records_reserve(timeline), done);
    pp_records_copy(timeline, records, count);
    out->records = timeline->records;
    out->record_count = timeline->record_count;
  }
  timeline->round++;
done:
  free(observation.model_down);
  free(observation.model_down_arrivals);
  free(observation.pieces);
  free(order);
  free(slot_free);
  return status;
}
