/* Lengths that are known only once a stage has been computed (`cost: measured`): an array beside the spans. Two rounds
 * are held, because the next one's first stages fall before the end of the one in hand. */
#include "base/mem.h"
#include "timeline/engine.h"

pp_status pp_measured_create(pp_timeline *timeline) {
  for (int which = 0; which < 2; which++)
    PP_TRY(pp_alloc((size_t)timeline->span_count, sizeof *timeline->round_lengths[which],
                    "the measured lengths of a round", &timeline->round_lengths[which]));
  return NULL;
}

pp_status pp_measured_begin_round(pp_timeline *timeline) {
  if (!timeline->scenario->is_measured)
    return NULL;
  if (timeline->round >= timeline->rounds_measured)
    return pp_fail(PP_CODE_RUN, "round %lld: its stages have not been measured", (long long)timeline->round);
  timeline->lengths = timeline->round_lengths[timeline->round % 2];
  return NULL;
}

static pp_status reject(int64_t round, const pp_stage_record *length, const char *why) {
  bool known = length->stage >= 0 && length->stage < PP_STAGE_COUNT;
  return pp_fail(PP_CODE_RUN, "round %lld: the measured %s %d of device %d, iteration %d, of %lld ns %s",
                 (long long)round, known ? pp_stage_name((pp_stage)length->stage) : "stage", length->micro_batch,
                 length->device, length->iteration, (long long)(length->end_ns - length->start_ns), why);
}

/* What a device does in iteration `iteration` of the round, and where its lengths lie. */
static const pp_program *program_of(const pp_timeline *timeline, int64_t round, int64_t device, int64_t iteration,
                                    int64_t *base) {
  const pp_device_state *state = &timeline->devices[device];
  const pp_class_plan *plan = &timeline->plans[state->plan];
  *base = state->base + iteration * plan->stride;
  return pp_class_program(plan, round * plan->class->iterations_per_round + iteration);
}

static int64_t iterations_of(const pp_timeline *timeline, int64_t round, int64_t device) {
  int64_t first = 0, end = 0;
  pp_class_round_iterations(timeline->plans[timeline->devices[device].plan].class, round, &first, &end);
  return end - first;
}

static pp_status take(pp_timeline *timeline, int64_t round, const pp_stage_record *length) {
  pp_ns *lengths = timeline->round_lengths[round % 2], *to = &timeline->aggregate_length[round % 2];
  pp_ns factor = 1;
  if (length->stage != PP_STAGE_AGGREGATE) {
    if (length->device < 0 || length->device >= timeline->device_count)
      return reject(round, length, "is of a device that does not exist");
    const pp_class_plan *plan = &timeline->plans[timeline->devices[length->device].plan];
    int64_t iteration = length->iteration - round * plan->class->iterations_per_round, base = 0;
    if (iteration < 0 || iteration >= iterations_of(timeline, round, length->device))
      return reject(round, length, "is of another round");
    const pp_program *program = program_of(timeline, round, length->device, iteration, &base);
    int index = pp_program_find(program, (pp_stage)length->stage, length->micro_batch);
    if (index < 0)
      return reject(round, length, "is not in the schedule");
    if (pp_stage_resource((pp_stage)length->stage) == PP_RESOURCE_UPLINK ||
        pp_stage_resource((pp_stage)length->stage) == PP_RESOURCE_DOWNLINK)
      return reject(round, length, "is not computed");
    factor = program->steps[index].resource == PP_RESOURCE_SERVER ? plan->server_factor : 1;
    to = &lengths[base + index];
  }
  if (*to > 0)
    return reject(round, length, "was given twice");
  if (length->end_ns <= length->start_ns || __builtin_mul_overflow(length->end_ns - length->start_ns, factor, to))
    return reject(round, length, "is shorter than 1 ns or longer than 292 years");
  return NULL;
}

static pp_status check_complete(const pp_timeline *timeline, int64_t round) {
  const pp_ns *lengths = timeline->round_lengths[round % 2];
  pp_stage_record missing = {.device = -1, .iteration = -1, .micro_batch = -1, .stage = PP_STAGE_AGGREGATE};
  if (!pp_takes_turns(timeline) && timeline->aggregate_length[round % 2] == 0)
    return reject(round, &missing, "is missing");
  for (int64_t device = 0; device < timeline->device_count; device++)
    for (int64_t iteration = 0; iteration < iterations_of(timeline, round, device); iteration++) {
      int64_t base = 0;
      const pp_program *program = program_of(timeline, round, device, iteration, &base);
      for (int index = 0; index < program->count; index++) {
        const pp_op *op = &program->schedule->ops[index];
        bool computes = program->steps[index].resource == PP_RESOURCE_DEVICE ||
                        program->steps[index].resource == PP_RESOURCE_SERVER;
        missing = (pp_stage_record){.device = (int32_t)device,
                                    .iteration = (int32_t)iteration,
                                    .micro_batch = op->micro_batch,
                                    .stage = (int32_t)op->stage};
        if (computes && lengths[base + index] == 0)
          return reject(round, &missing, "is missing");
      }
    }
  return NULL;
}

pp_status pp_timeline_take_lengths(pp_timeline *timeline, int64_t round, int64_t count,
                                   const pp_stage_record *lengths) {
  PP_ASSERT(timeline->scenario->is_measured && round == timeline->rounds_measured && round <= timeline->round + 1);
  pp_ns *known = timeline->round_lengths[round % 2];
  for (int64_t span = 0; span < timeline->span_count; span++)
    known[span] = 0;
  timeline->aggregate_length[round % 2] = 0;
  for (int64_t which = 0; which < count; which++)
    PP_TRY(take(timeline, round, &lengths[which]));
  PP_TRY(check_complete(timeline, round));
  timeline->rounds_measured++;
  return NULL;
}
