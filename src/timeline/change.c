/* The same run under other conditions: a copy of the scenario with its numbers changed, through the timeline again. */
#include <stdlib.h>
#include <string.h>

#include "base/int128.h"
#include "base/mem.h"
#include "timeline/path.h"

/* A tenth more of what is good: rates times 11 / 10, lengths times 10 / 11. */
enum { MORE = 11, LESS = 10 };

typedef struct varied {
  pp_scenario scenario;
  pp_device_class *classes;    /* (class_count) */
  pp_network_config *networks; /* (class_count) */
  pp_schedule *schedules;      /* (4 x class_count) */
  pp_rate_trace server_up;     /* where that is what changes */
  pp_rate_trace server_down;   /* likewise */
} varied;

static int64_t scale(int64_t value, int numerator, int denominator, int64_t least) {
  int64_t scaled = (int64_t)(((pp_int128)value * numerator + denominator / 2) / denominator);
  return scaled < least ? least : scaled;
}

static pp_status scale_rates(pp_rate_trace *trace) {
  pp_rate_step *steps = NULL;
  PP_TRY(pp_alloc((size_t)trace->count, sizeof *steps, "a link's rates", &steps));
  for (int step = 0; step < trace->count; step++) {
    steps[step] = trace->steps[step];
    steps[step].rate_bps = scale(steps[step].rate_bps, MORE, LESS, 0);
  }
  trace->steps = steps;
  return NULL;
}

static bool changes_stage(pp_change_kind change, pp_stage stage, bool of_group) {
  pp_resource resource = pp_stage_resource(stage);
  return (change == PP_CHANGE_DEVICE && of_group && resource == PP_RESOURCE_DEVICE) ||
         (change == PP_CHANGE_SERVER && resource == PP_RESOURCE_SERVER);
}

static pp_status vary_schedule(const pp_schedule **schedule, pp_change_kind change, bool of_group, pp_schedule *copy) {
  if (*schedule == NULL)
    return NULL;
  *copy = **schedule;
  PP_TRY(pp_alloc((size_t)copy->op_count, sizeof *copy->ops, "a schedule", &copy->ops));
  for (int index = 0; index < copy->op_count; index++) {
    copy->ops[index] = (*schedule)->ops[index];
    if (changes_stage(change, copy->ops[index].stage, of_group))
      copy->ops[index].cost = scale(copy->ops[index].cost, LESS, MORE, 1);
  }
  *schedule = copy;
  return NULL;
}

static pp_status vary_class(varied *of, int index, pp_change_kind change, int group) {
  pp_device_class *class = &of->classes[index];
  pp_network_config *network = &of->networks[index];
  bool of_group = class->group == group || group == PP_CHANGE_OF_ALL;
  *network = *class->network;
  class->network = network;
  if (of_group && (change == PP_CHANGE_UPLINK || change == PP_CHANGE_LINKS))
    PP_TRY(scale_rates(&network->up));
  if (of_group && (change == PP_CHANGE_DOWNLINK || change == PP_CHANGE_LINKS))
    PP_TRY(scale_rates(&network->down));
  if (of_group && change == PP_CHANGE_LATENCY) {
    network->up_latency_ns = scale(network->up_latency_ns, LESS - 1, LESS, 0);
    network->down_latency_ns = scale(network->down_latency_ns, LESS - 1, LESS, 0);
  }
  const pp_schedule *full = class->full, *closing = class->closing_full;
  bool ragged = class->ragged != full, ragged_closing = class->closing_ragged != closing;
  pp_schedule *copies = &of->schedules[4 * index];
  PP_TRY(vary_schedule(&class->full, change, of_group, &copies[0]));
  PP_TRY(vary_schedule(&class->closing_full, change, of_group, &copies[1]));
  if (ragged)
    PP_TRY(vary_schedule(&class->ragged, change, of_group, &copies[2]));
  else
    class->ragged = class->full;
  if (ragged_closing)
    return vary_schedule(&class->closing_ragged, change, of_group, &copies[3]);
  class->closing_ragged = class->closing_full;
  return NULL;
}

/* In a direction of the server's link. */
static pp_status vary_link(const pp_rate_trace **trace, pp_rate_trace *copy) {
  *copy = **trace;
  *trace = copy;
  return scale_rates(copy);
}

static pp_status vary(varied *of, const pp_scenario *scenario, pp_change_kind change, int group) {
  size_t count = (size_t)scenario->class_count;
  of->scenario = *scenario;
  of->scenario.storage = NULL;
  PP_TRY(pp_alloc(count, sizeof *of->classes, "the classes of devices", &of->classes));
  PP_TRY(pp_alloc(count, sizeof *of->networks, "the classes of devices", &of->networks));
  PP_TRY(pp_alloc(4 * count, sizeof *of->schedules, "the schedules of devices", &of->schedules));
  memcpy(of->classes, scenario->classes, count * sizeof *of->classes);
  of->scenario.classes = of->classes;
  for (int index = 0; index < scenario->class_count; index++)
    PP_TRY(vary_class(of, index, change, group));
  if (change == PP_CHANGE_SERVER && scenario->aggregate_ns > 0)
    of->scenario.aggregate_ns = scale(scenario->aggregate_ns, LESS, MORE, 1);
  if (change == PP_CHANGE_SLOT)
    of->scenario.slots++;
  if (change == PP_CHANGE_SERVER_UPLINK || change == PP_CHANGE_SERVER_LINKS)
    PP_TRY(vary_link(&of->scenario.server_up, &of->server_up));
  if (change == PP_CHANGE_SERVER_DOWNLINK || change == PP_CHANGE_SERVER_LINKS)
    PP_TRY(vary_link(&of->scenario.server_down, &of->server_down));
  return NULL;
}

static void varied_fini(varied *of, const pp_scenario *scenario) {
  for (int index = 0; of->schedules != NULL && index < scenario->class_count; index++) {
    for (int which = 0; which < 4; which++)
      free(of->schedules[4 * index + which].ops);
    const pp_network_config *was = scenario->classes[index].network, *is = &of->networks[index];
    if (is->up.steps != was->up.steps)
      free(is->up.steps);
    if (is->down.steps != was->down.steps)
      free(is->down.steps);
  }
  if (of->scenario.server_up == &of->server_up && of->server_up.steps != scenario->server_up->steps)
    free(of->server_up.steps);
  if (of->scenario.server_down == &of->server_down && of->server_down.steps != scenario->server_down->steps)
    free(of->server_down.steps);
  free(of->schedules);
  free(of->networks);
  free(of->classes);
}

static pp_status run(const pp_scenario *scenario, int64_t *makespan_ns) {
  pp_timeline *timeline = NULL;
  pp_timeline_totals totals;
  pp_round_times times = {.is_last = false};
  PP_TRY(pp_timeline_create(scenario, false, &timeline));
  pp_status status = NULL;
  while (status == NULL && !times.is_last)
    status = pp_timeline_next_round(timeline, &times);
  if (status == NULL)
    status = pp_timeline_finish(timeline, &totals);
  if (status == NULL)
    *makespan_ns = totals.makespan_ns;
  pp_timeline_destroy(timeline);
  return status;
}

pp_status pp_change_makespan(const pp_scenario *scenario, pp_change_kind change, int group, int64_t *makespan_ns) {
  varied of = {0};
  PP_ASSERT(change != PP_CHANGE_SLOT || scenario->policy != PP_POLICY_SPACE_SHARE);
  PP_ASSERT(
      (change != PP_CHANGE_SERVER_UPLINK && change != PP_CHANGE_SERVER_DOWNLINK && change != PP_CHANGE_SERVER_LINKS) ||
      scenario->server_up != NULL);
  pp_status status = vary(&of, scenario, change, group);
  if (status == NULL)
    status = run(&of.scenario, makespan_ns);
  varied_fini(&of, scenario);
  return status;
}
