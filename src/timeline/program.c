#include "timeline/program.h"

#include <stdlib.h>

#include "base/mem.h"

static bool is_transfer(pp_resource resource) {
  return resource == PP_RESOURCE_UPLINK || resource == PP_RESOURCE_DOWNLINK;
}

static pp_lane lane_of(pp_stage stage) {
  switch (pp_stage_resource(stage)) {
  case PP_RESOURCE_DEVICE:
    return stage == PP_STAGE_FORWARD ? PP_LANE_OUTBOUND : PP_LANE_RETURN;
  case PP_RESOURCE_UPLINK:
    return PP_LANE_UPLINK;
  case PP_RESOURCE_SERVER:
    return PP_LANE_SERVER;
  case PP_RESOURCE_DOWNLINK:
    return PP_LANE_DOWNLINK;
  }
  return PP_LANE_RETURN;
}

static void compile_dependencies(const pp_schedule *schedule, int index, pp_step *step) {
  const pp_op *op = &schedule->ops[index];
  step->source = step->also_after = -1;
  for (int which = 0; which < 2; which++) {
    int after = op->after[which];
    if (after < 0)
      continue;
    pp_resource from = pp_stage_resource(schedule->ops[after].stage);
    if (is_transfer((pp_resource)step->resource) || is_transfer(from))
      step->source = after;
    else if (step->resource == PP_RESOURCE_DEVICE)
      step->also_after = after;
  }
  step->starts_piece = step->resource == PP_RESOURCE_SERVER && step->source >= 0;
}

static pp_status program_init(pp_program *program, const pp_schedule *schedule, const pp_class_plan *plan) {
  size_t count = (size_t)schedule->op_count;
  size_t bytes = count * (sizeof(pp_step) + sizeof(int32_t) * PP_LANE_COUNT);
  PP_TRY(pp_alloc(1, bytes, "the program of a schedule", &program->memory));
  program->schedule = schedule;
  program->count = schedule->op_count;
  program->steps = program->memory;
  for (int lane = 0; lane < PP_LANE_COUNT; lane++)
    program->lane[lane] = (int32_t *)(program->steps + count) + (size_t)lane * count;
  int last_on[4] = {-1, -1, -1, -1};
  for (int index = 0; index < program->count; index++) {
    const pp_op *op = &schedule->ops[index];
    pp_step *step = &program->steps[index];
    pp_resource resource = pp_stage_resource(op->stage);
    step->resource = (uint8_t)resource;
    step->micro_batch = op->micro_batch;
    compile_dependencies(schedule, index, step);
    step->previous = last_on[resource];
    last_on[resource] = index;
    if (is_transfer(resource)) {
      const pp_link *link = resource == PP_RESOURCE_UPLINK ? &plan->up : &plan->down;
      step->bytes = op->cost;
      step->length_ns = pp_link_is_constant(link) ? pp_link_finish(link, 0, op->cost) : 0;
    } else {
      int64_t factor = resource == PP_RESOURCE_SERVER ? plan->server_factor : 1;
      if (__builtin_mul_overflow(op->cost, factor, &step->length_ns))
        return pp_fail(PP_CODE_INPUT, "server.policy: space-share makes a server stage of group %d last over 292 years",
                       plan->class->group);
      step->work_ns = step->length_ns;
      if (resource == PP_RESOURCE_DEVICE && plan->speed.count > 0)
        step->length_ns = plan->lengths_vary ? 0 : pp_speed_finish(&plan->speed, 0, op->cost);
    }
    if (step->starts_piece)
      step->device_before_ns = program->device_work_ns;
    pp_lane lane = lane_of(op->stage);
    program->lane[lane][program->lane_count[lane]++] = index;
    if (resource == PP_RESOURCE_DEVICE &&
        (__builtin_add_overflow(program->device_work_ns, op->cost, &program->device_work_ns) ||
         __builtin_add_overflow(program->device_busy_ns, step->length_ns, &program->device_busy_ns)))
      return pp_fail(PP_CODE_INPUT, "the stages of one iteration of group %d add up to more than 292 years",
                     plan->class->group);
    int64_t *sent = resource == PP_RESOURCE_UPLINK ? &program->bytes_up : &program->bytes_down;
    if (is_transfer(resource) && __builtin_add_overflow(*sent, op->cost, sent))
      return pp_fail(PP_CODE_INPUT, "the messages of one iteration of group %d add up to more than 2^63 bytes",
                     plan->class->group);
  }
  program->last_device_step = last_on[PP_RESOURCE_DEVICE];
  return NULL;
}

/* Interpreting the list in order gives every resource its order when all forwards and their uploads come before the
 * first stage that waits for the server, no backward may overtake a forward, and no two kinds of transfer compete for a
 * link. */
static bool order_is_static(const pp_class_plan *plan, const pp_program *program) {
  bool waited = false;
  for (int index = 0; index < program->count; index++) {
    pp_stage stage = program->schedule->ops[index].stage;
    waited = waited || program->steps[index].starts_piece;
    if (waited && (stage == PP_STAGE_FORWARD || stage == PP_STAGE_UPLOAD))
      return false;
  }
  int forwards = program->lane_count[PP_LANE_OUTBOUND];
  int last_forward = program->lane[PP_LANE_OUTBOUND][forwards - 1];
  if (forwards > 1 && program->steps[program->lane[PP_LANE_RETURN][0]].also_after != last_forward)
    return false;
  bool competes = plan->shared_link && program->lane_count[PP_LANE_UPLINK] > 1;
  return !competes;
}

/* A slowdown of f millionths is a speed of 10^12 / f millionths, rounded to the nearest. */
static pp_status speed_init(pp_class_plan *plan, const pp_rate_trace *slowdown) {
  if (slowdown == NULL || slowdown->count == 0)
    return NULL;
  PP_TRY(pp_alloc((size_t)slowdown->count, sizeof *plan->speed_steps, "a slowdown", &plan->speed_steps));
  for (int step = 0; step < slowdown->count; step++) {
    int64_t factor = slowdown->steps[step].rate_bps;
    PP_ASSERT(factor >= 1);
    plan->speed_steps[step] =
        (pp_rate_step){slowdown->steps[step].start_ns, (INT64_C(1000000000000) + factor / 2) / factor};
  }
  pp_rate_trace speed = {slowdown->count, plan->speed_steps, slowdown->period_ns};
  PP_TRY(pp_link_init(&plan->speed, &speed, "slowdown"));
  plan->lengths_vary = plan->lengths_vary || !pp_link_is_constant(&plan->speed);
  return NULL;
}

pp_status pp_class_plan_init(pp_class_plan *plan, const pp_device_class *class, int64_t server_factor,
                             bool is_measured) {
  const pp_network_config *network = class->network;
  *plan = (pp_class_plan){.class = class,
                          .up_latency_ns = network->up_latency_ns,
                          .down_latency_ns = network->down_latency_ns,
                          .shared_link = network->half_duplex,
                          .lengths_vary = is_measured,
                          .server_factor = server_factor};
  PP_TRY(pp_link_init(&plan->up, &network->up, "uplink"));
  PP_TRY(pp_link_init(&plan->down, &network->down, "downlink"));
  PP_TRY(speed_init(plan, class->slowdown));
  PP_TRY(program_init(&plan->full, class->full, plan));
  plan->event_driven = !order_is_static(plan, &plan->full);
  plan->stride = plan->full.count;
  if (class->ragged != class->full) {
    PP_TRY(program_init(&plan->ragged, class->ragged, plan));
    plan->event_driven = plan->event_driven || !order_is_static(plan, &plan->ragged);
    if (plan->ragged.count > plan->stride)
      plan->stride = plan->ragged.count;
  }
  if (class->closing_full == NULL)
    return NULL;
  PP_TRY(program_init(&plan->closing_full, class->closing_full, plan));
  if (class->ragged != class->full)
    PP_TRY(program_init(&plan->closing_ragged, class->closing_ragged, plan));
  return NULL;
}

void pp_class_plan_fini(pp_class_plan *plan) {
  free(plan->full.memory);
  free(plan->ragged.memory);
  free(plan->closing_full.memory);
  free(plan->closing_ragged.memory);
  pp_link_fini(&plan->up);
  pp_link_fini(&plan->down);
  pp_link_fini(&plan->speed);
  free(plan->speed_steps);
}

int pp_program_find(const pp_program *program, pp_stage stage, int micro_batch) {
  for (int index = 0; index < program->count; index++)
    if (program->schedule->ops[index].stage == stage && program->schedule->ops[index].micro_batch == micro_batch)
      return index;
  return -1;
}
