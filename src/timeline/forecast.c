#include "timeline/forecast.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "timeline/engine.h"
#include "timeline/planner.h"

struct pp_forecaster {
  pp_scenario_inputs inputs;
  pp_planning planning;
  pp_group_plan *plans; /* (group_count) */
};

const char *pp_resource_name(pp_resource resource) {
  static const char *const names[PP_FORECAST_RESOURCES] = {[PP_RESOURCE_DEVICE] = "device",
                                                           [PP_RESOURCE_UPLINK] = "uplink",
                                                           [PP_RESOURCE_SERVER] = "server",
                                                           [PP_RESOURCE_DOWNLINK] = "downlink"};
  return names[resource];
}

pp_status pp_forecaster_create(const pp_config *config, const pp_model *model, pp_forecaster **out) {
  pp_forecaster *forecaster = NULL;
  if (config->groups[0].cost.kind == PP_COST_MEASURED)
    return pp_fail(PP_CODE_INPUT,
                   "cost.kind: measured is known only once it has been computed: plans are made with the other kinds");
  size_t groups = (size_t)config->group_count;
  PP_TRY(pp_alloc(1, sizeof *forecaster, "forecasts", &forecaster));
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_scenario_inputs_init(&forecaster->inputs, config, model), fail);
  PP_TRY_GOTO(status, pp_alloc(groups, sizeof *forecaster->plans, "forecasts", &forecaster->plans), fail);
  for (size_t group = 0; group < groups; group++)
    forecaster->plans[group] =
        (pp_group_plan){config->groups[group].pipeline.split, config->groups[group].pipeline.micro_batches};
  PP_TRY_GOTO(status, pp_planning_init(&forecaster->planning, &forecaster->inputs, forecaster->plans), fail);
  *out = forecaster;
  return NULL;
fail:
  pp_forecaster_destroy(forecaster);
  return status;
}

void pp_forecaster_destroy(pp_forecaster *forecaster) {
  if (forecaster == NULL)
    return;
  pp_planning_fini(&forecaster->planning);
  pp_scenario_inputs_fini(&forecaster->inputs);
  free(forecaster->plans);
  free(forecaster);
}

int pp_forecaster_block_count(const pp_forecaster *forecaster) {
  bool table = forecaster->inputs.config->groups[0].cost.kind == PP_COST_TABLE;
  return table ? 0 : forecaster->inputs.block_count;
}

/* Time that a device's link was taken, model included. */
static pp_int128 link_busy(const pp_timeline *timeline, int64_t device, pp_resource link) {
  const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
  int64_t iterations = timeline->round_iterations[timeline->devices[device].plan];
  pp_int128 busy = 0;
  for (int64_t iteration = 0; iteration < iterations; iteration++) {
    const pp_program *program = pp_class_program(plan, iteration);
    const pp_span *spans = pp_iteration_spans(timeline, device, iteration);
    for (int index = 0; index < program->count; index++)
      if (program->steps[index].resource == link)
        busy += spans[index].end_ns - spans[index].start_ns;
  }
  const pp_span *model = link == PP_RESOURCE_UPLINK ? &timeline->model_up[device] : &timeline->model_down[device];
  return busy + (model->end_ns - model->start_ns);
}

static void find_limits(const pp_timeline *timeline, const pp_timeline_totals *totals, int group, pp_forecast *out) {
  pp_int128 busy[PP_FORECAST_RESOURCES] = {0}, causes[PP_CAUSE_COUNT] = {0};
  int64_t members = 0;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    if (timeline->plans[timeline->devices[device].plan].class->group != group)
      continue;
    members++;
    busy[PP_RESOURCE_DEVICE] += totals->devices[device].busy_ns;
    busy[PP_RESOURCE_UPLINK] += link_busy(timeline, device, PP_RESOURCE_UPLINK);
    busy[PP_RESOURCE_DOWNLINK] += link_busy(timeline, device, PP_RESOURCE_DOWNLINK);
    for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
      causes[cause] += totals->devices[device].cause_ns[cause];
  }
  for (int slot = 0; slot < timeline->slot_count; slot++)
    busy[PP_RESOURCE_SERVER] += totals->slots[slot].busy_ns;
  double length = (double)totals->makespan_ns;
  for (int resource = 0; resource < PP_FORECAST_RESOURCES; resource++) {
    double units = resource == PP_RESOURCE_SERVER ? timeline->slot_count : (double)members;
    out->busy_share[resource] = (double)busy[resource] / units / length;
    if (out->busy_share[resource] > out->busy_share[out->busiest])
      out->busiest = (pp_resource)resource;
  }
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
    if (cause != PP_CAUSE_DRAIN && causes[cause] > causes[out->cause])
      out->cause = (pp_cause)cause;
  out->cause_share = (double)causes[out->cause] / (double)members / length;
}

/* The slowest device's, from the second half of what was run. */
static double iteration_seconds(const pp_timeline *timeline, int group) {
  double longest = 0;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
    int64_t ran = timeline->round_iterations[timeline->devices[device].plan], from = (ran - 1) / 2;
    if (plan->class->group != group)
      continue;
    const pp_program *last = pp_class_program(plan, ran - 1), *first = pp_class_program(plan, from);
    pp_ns end = pp_iteration_spans(timeline, device, ran - 1)[last->last_device_step].end_ns;
    pp_ns begin = ran > 1 ? pp_iteration_spans(timeline, device, from)[first->last_device_step].end_ns : 0;
    double each = pp_seconds(end - begin) / (double)(ran > 1 ? ran - 1 - from : 1);
    longest = each > longest ? each : longest;
  }
  return longest;
}

pp_status pp_forecaster_run(pp_forecaster *forecaster, const pp_group_plan *plans, int group, pp_forecast *out) {
  pp_planning *planning = &forecaster->planning;
  pp_scenario *scenario = NULL;
  pp_timeline *timeline = NULL;
  pp_timeline_totals totals;
  pp_round_times round;
  pp_outlook outlook;
  *out = (pp_forecast){.busiest = PP_RESOURCE_DEVICE};
  memcpy(forecaster->plans, plans, (size_t)forecaster->inputs.config->group_count * sizeof *plans);
  PP_TRY(pp_predict(planning, planning->fine, &outlook));
  out->refused = outlook.makespan == PP_NS_NEVER;
  if (out->refused)
    return NULL;
  out->round_s = pp_seconds(outlook.makespan);
  pp_status status = pp_scenario_build(&planning->priced, forecaster->plans, planning->fine, &scenario);
  if (status != NULL)
    return status;
  PP_TRY_GOTO(status, pp_timeline_create(scenario, false, &timeline), done);
  PP_TRY_GOTO(status, pp_timeline_next_round(timeline, &round), done);
  PP_TRY_GOTO(status, pp_timeline_finish(timeline, &totals), done);
  out->iteration_s = iteration_seconds(timeline, group);
  find_limits(timeline, &totals, group, out);
done:
  pp_timeline_destroy(timeline);
  pp_scenario_destroy(scenario);
  return status;
}
