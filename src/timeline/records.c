#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "timeline/engine.h"

/* By start, then end, device, stage: no two stages of a run agree in all four. */
static int compare_records(const void *a, const void *b) {
  const pp_stage_record *left = a, *right = b;
  if (left->start_ns != right->start_ns)
    return left->start_ns < right->start_ns ? -1 : 1;
  if (left->end_ns != right->end_ns)
    return left->end_ns < right->end_ns ? -1 : 1;
  if (left->device != right->device)
    return left->device < right->device ? -1 : 1;
  return (left->stage > right->stage) - (left->stage < right->stage);
}

pp_status pp_records_reserve(pp_timeline *timeline) {
  int64_t count = (timeline->presence != NULL ? 3 : 2) * timeline->device_count + 1;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    const pp_device_state *state = &timeline->devices[device];
    count += timeline->plans[state->plan].stride * timeline->round_iterations[state->plan];
  }
  return pp_records_make_room(timeline, count);
}

pp_status pp_records_make_room(pp_timeline *timeline, int64_t count) {
  if (count <= timeline->record_room)
    return NULL;
  free(timeline->records);
  timeline->records = NULL;
  timeline->record_room = 0;
  PP_TRY(pp_alloc((size_t)count, sizeof *timeline->records, "the stage records of a round", &timeline->records));
  timeline->record_room = count;
  return NULL;
}

static void add(pp_timeline *timeline, int64_t device, pp_stage stage, pp_span span, int64_t bytes) {
  timeline->records[timeline->record_count++] = (pp_stage_record){.device = (int32_t)device,
                                                                  .slot = -1,
                                                                  .round = (int32_t)timeline->round,
                                                                  .iteration = -1,
                                                                  .micro_batch = -1,
                                                                  .stage = (int32_t)stage,
                                                                  .start_ns = span.start_ns,
                                                                  .end_ns = span.end_ns,
                                                                  .bytes = bytes};
}

/* What of a stage happened before it was cut; a transfer that was cut brought nothing. False: nothing happened. */
static bool add_until(pp_timeline *timeline, int64_t device, pp_stage stage, pp_span span, int64_t bytes,
                      pp_ns cut_ns) {
  if (span.start_ns >= cut_ns)
    return false;
  if (span.end_ns > cut_ns)
    add(timeline, device, stage, (pp_span){span.start_ns, cut_ns}, 0);
  else
    add(timeline, device, stage, span, bytes);
  return true;
}

void pp_records_add_model(pp_timeline *timeline, int64_t device, pp_stage stage, pp_span span, pp_ns cut_ns) {
  const pp_schedule *schedule = timeline->plans[timeline->devices[device].plan].class->full;
  int64_t bytes = stage == PP_STAGE_MODEL_UPLOAD ? schedule->model_upload_bytes : schedule->model_download_bytes;
  add_until(timeline, device, stage, span, bytes, cut_ns);
}

void pp_records_add_aggregate(pp_timeline *timeline, pp_span span) {
  add(timeline, -1, PP_STAGE_AGGREGATE, span, 0);
  timeline->records[timeline->record_count - 1].slot = 0;
}

void pp_records_sort(pp_timeline *timeline) {
  PP_ASSERT(timeline->record_count <= timeline->record_room);
  qsort(timeline->records, (size_t)timeline->record_count, sizeof *timeline->records, compare_records);
}

/* Of an operation whose span has just been added. */
static void name_last(pp_timeline *timeline, int64_t device, int64_t iteration, const pp_program *program, int index) {
  const pp_device_class *class = timeline->plans[timeline->devices[device].plan].class;
  const pp_span *span = &pp_iteration_spans(timeline, device, iteration)[index];
  pp_stage_record *record = &timeline->records[timeline->record_count - 1];
  record->iteration = (int32_t)(timeline->round * class->iterations_per_round + iteration);
  record->micro_batch = program->schedule->ops[index].micro_batch;
  if (program->steps[index].resource == PP_RESOURCE_SERVER)
    record->slot = timeline->slot_of[span - timeline->spans];
}

void pp_records_add_iteration(pp_timeline *timeline, int64_t device, int64_t iteration, pp_ns cut_ns) {
  const pp_program *program = pp_round_program(timeline, device, iteration);
  const pp_span *spans = pp_iteration_spans(timeline, device, iteration);
  for (int index = 0; index < program->count; index++) {
    bool on_server = program->steps[index].resource == PP_RESOURCE_SERVER;
    if (add_until(timeline, device, program->schedule->ops[index].stage, spans[index], program->steps[index].bytes,
                  on_server ? PP_NS_NEVER : cut_ns))
      name_last(timeline, device, iteration, program, index);
  }
}

void pp_records_add_begun(pp_timeline *timeline, int64_t device, int64_t iteration, pp_ns from, pp_ns to) {
  const pp_program *program = pp_round_program(timeline, device, iteration);
  const pp_span *spans = pp_iteration_spans(timeline, device, iteration);
  for (int index = 0; index < program->count; index++)
    if (from <= spans[index].start_ns && spans[index].start_ns < to) {
      add(timeline, device, program->schedule->ops[index].stage, spans[index], program->steps[index].bytes);
      name_last(timeline, device, iteration, program, index);
    }
}

void pp_records_fill(pp_timeline *timeline, const pp_span *aggregate) {
  timeline->record_count = 0;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    int32_t plan = timeline->devices[device].plan;
    const pp_schedule *schedule = timeline->plans[plan].class->full;
    for (int64_t iteration = 0; iteration < timeline->round_iterations[plan]; iteration++)
      pp_records_add_iteration(timeline, device, iteration, PP_NS_NEVER);
    add(timeline, device, PP_STAGE_MODEL_UPLOAD, timeline->model_up[device], schedule->model_upload_bytes);
    /* In sl the first device gets the model for the next round, and in the last there is none. */
    if (device > 0 || aggregate != NULL || timeline->round + 1 < timeline->scenario->rounds)
      add(timeline, device, PP_STAGE_MODEL_DOWNLOAD, timeline->model_down[device],
          pp_returning_class(timeline, device)->full->model_download_bytes);
  }
  if (aggregate != NULL)
    pp_records_add_aggregate(timeline, *aggregate);
  pp_records_sort(timeline);
}

void pp_records_copy(pp_timeline *timeline, const pp_stage_record *records, int64_t count) {
  PP_ASSERT(count <= timeline->record_room);
  timeline->record_count = count;
  memcpy(timeline->records, records, (size_t)count * sizeof *records);
  qsort(timeline->records, (size_t)count, sizeof *records, compare_records);
}
