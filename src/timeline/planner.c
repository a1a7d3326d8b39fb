/* Plain search: every candidate that could still win runs through the timeline, contention between devices included.
 * Groups are planned one after the other, each against the current plans of the others, until none changes. */
#include <math.h>
#include <stdlib.h>

#include "base/int128.h"
#include "base/mem.h"
#include "timeline/scenario.h"

enum {
  most_passes = 4,              /* over the groups */
  stages_per_candidate = 400000 /* longer rounds are extrapolated from their last iteration */
};

typedef struct pp_candidate {
  pp_group_plan plan;
  pp_ns bound;    /* no shorter makespan is possible */
  pp_ns makespan; /* PP_NS_NEVER: pruned */
} pp_candidate;

typedef struct pp_search {
  const pp_scenario_inputs *inputs;
  pp_group_plan *plans;     /* (group_count) */
  int64_t round_iterations; /* the most of any device */
  int64_t horizon;          /* iterations that are run */
} pp_search;

static pp_ns saturate(pp_int128 time) { return time < PP_NS_NEVER ? (pp_ns)time : PP_NS_NEVER; }

/* Length of a message at the link's best rate. */
static pp_int128 shortest_ns(const pp_rate_trace *trace, int64_t bytes) {
  int64_t best = 1;
  for (int step = 0; step < trace->count; step++)
    if (trace->steps[step].rate_bps > best)
      best = trace->steps[step].rate_bps;
  return (pp_int128)bytes * 8 * 1000000000 / best;
}

/* No iteration of this schedule is shorter: the busiest of device, uplink and downlink, and for the links what must
 * come before their first and after their last transfer. *server: what it asks of the server. */
static pp_int128 shortest_iteration(const pp_device_class *class, const pp_schedule *schedule, pp_int128 *server) {
  const pp_network_config *network = class->network;
  pp_int128 device = 0, up = 0, down = 0, before = 0, after = 0;
  bool seen_up = false;
  *server = 0;
  for (int index = 0; index < schedule->op_count; index++) {
    const pp_op *op = &schedule->ops[index];
    switch (pp_stage_resource(op->stage)) {
    case PP_RESOURCE_DEVICE:
      device += op->cost;
      if (!seen_up)
        before += op->cost;
      after = op->stage == PP_STAGE_BACKWARD ? op->cost : after + op->cost;
      break;
    case PP_RESOURCE_SERVER:
      *server += op->cost;
      break;
    case PP_RESOURCE_UPLINK:
      up += shortest_ns(&network->up, op->cost);
      seen_up = true;
      break;
    case PP_RESOURCE_DOWNLINK:
      down += shortest_ns(&network->down, op->cost);
      break;
    }
  }
  pp_int128 links = network->half_duplex ? up + down : (up > down ? up : down);
  if (links > 0)
    links += before + after + network->up_latency_ns + network->down_latency_ns;
  return links > device ? links : device;
}

/* A lower bound of the scenario's makespan. */
static pp_ns lower_bound(const pp_scenario *scenario) {
  pp_int128 longest = 0, server_total = 0;
  pp_int128 *server_of = NULL;
  pp_status status = pp_alloc((size_t)scenario->class_count, sizeof *server_of, "a bound", &server_of);
  if (status != NULL) {
    pp_error_free(status);
    return 0;
  }
  for (int index = 0; index < scenario->class_count; index++) {
    const pp_device_class *class = &scenario->classes[index];
    int64_t ragged = class->ragged != class->full ? class->iterations / class->iterations_per_epoch : 0;
    pp_int128 server_full = 0, server_ragged = 0;
    pp_int128 full = shortest_iteration(class, class->full, &server_full);
    pp_int128 last = shortest_iteration(class, class->ragged, &server_ragged);
    pp_int128 device = full * (class->iterations - ragged) + last * ragged;
    server_of[index] = server_full * (class->iterations - ragged) + server_ragged * ragged;
    if (device > longest)
      longest = device;
  }
  for (int device = 0; device < scenario->device_count; device++)
    server_total += server_of[scenario->class_of[device]];
  free(server_of);
  server_total /= scenario->slots;
  return saturate((longest > server_total ? longest : server_total) + scenario->aggregate_ns);
}

static pp_status makespan_of(const pp_search *search, int64_t horizon, pp_ns *out) {
  pp_scenario *scenario = NULL;
  pp_timeline *timeline = NULL;
  pp_round_times round;
  PP_TRY(pp_scenario_build(search->inputs, search->plans, horizon, &scenario));
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_timeline_create(scenario, false, &timeline), done);
  PP_TRY_GOTO(status, pp_timeline_next_round(timeline, &round), done);
  *out = round.end_ns;
done:
  pp_timeline_destroy(timeline);
  pp_scenario_destroy(scenario);
  return status;
}

/* The first round's makespan under the current plans. */
static pp_status predict(const pp_search *search, pp_ns *out) {
  PP_TRY(makespan_of(search, search->horizon, out));
  if (search->horizon == search->round_iterations)
    return NULL;
  pp_ns shorter = 0;
  PP_TRY(makespan_of(search, search->horizon - 1, &shorter));
  *out = saturate(*out + (pp_int128)(*out - shorter) * (search->round_iterations - search->horizon));
  return NULL;
}

static pp_status bound(const pp_search *search, pp_ns *out) {
  pp_scenario *scenario = NULL;
  PP_TRY(pp_scenario_build(search->inputs, search->plans, search->round_iterations, &scenario));
  *out = lower_bound(scenario);
  pp_scenario_destroy(scenario);
  return NULL;
}

/* A shorter makespan wins, then fewer micro-batches, then the lower split. */
static bool is_better(const pp_candidate *a, const pp_candidate *b) {
  if (a->makespan != b->makespan)
    return a->makespan < b->makespan;
  if (a->plan.micro_batches != b->plan.micro_batches)
    return a->plan.micro_batches < b->plan.micro_batches;
  return a->plan.split < b->plan.split;
}

/* Numbers of micro-batches worth trying: for each size of the largest micro-batch the fewest that give it. */
static bool is_worth_trying(int batch, int micro_batches) {
  return micro_batches == 1 ||
         pp_micro_batch_size(batch, micro_batches, 0) < pp_micro_batch_size(batch, micro_batches - 1, 0);
}

static int compare_bounds(const void *a, const void *b) {
  const pp_candidate *left = a, *right = b;
  if (left->bound != right->bound)
    return left->bound < right->bound ? -1 : 1;
  if (left->plan.split != right->plan.split)
    return left->plan.split - right->plan.split;
  return left->plan.micro_batches - right->plan.micro_batches;
}

static int compare_plans(const void *a, const void *b) {
  const pp_candidate *left = a, *right = b;
  if (left->plan.split != right->plan.split)
    return left->plan.split - right->plan.split;
  return left->plan.micro_batches - right->plan.micro_batches;
}

/* Tries candidates [first, count), the most promising first; *best is an index or -1. A candidate that the scenario
 * refuses (a batch norm without variance) is left out; *refusal keeps the last reason. */
static pp_status try_candidates(pp_search *search, int group, pp_candidate *candidates, int first, int count, int *best,
                                pp_status *refusal) {
  pp_group_plan *plan = &search->plans[group];
  for (int index = first; index < count; index++) {
    *plan = candidates[index].plan;
    candidates[index].makespan = PP_NS_NEVER;
    pp_status status = bound(search, &candidates[index].bound);
    if (pp_error_code(status) == PP_CODE_INPUT) {
      pp_error_free(*refusal);
      *refusal = status;
      candidates[index].bound = PP_NS_NEVER;
    } else if (status != NULL) {
      return status;
    }
  }
  qsort(candidates + first, (size_t)(count - first), sizeof *candidates, compare_bounds);
  for (int index = first; index < count; index++) {
    pp_ns least = *best < 0 ? PP_NS_NEVER : candidates[*best].makespan;
    if (candidates[index].bound >= least)
      continue;
    *plan = candidates[index].plan;
    PP_TRY(predict(search, &candidates[index].makespan));
    if (*best < 0 || is_better(&candidates[index], &candidates[*best]))
      *best = index;
  }
  return NULL;
}

typedef struct pp_choices {
  bool split, micro_batches; /* left to the planner */
} pp_choices;

static int add_candidates(const pp_search *search, int group, pp_choices choices, pp_candidate *candidates) {
  const pp_pipeline_config *pipeline = &search->inputs->config->groups[group].pipeline;
  int batch = search->inputs->config->training.batch_size, count = 0;
  int first_split = choices.split ? 1 : pipeline->split;
  int last_split = choices.split ? search->inputs->block_count : pipeline->split;
  int most = pp_method_pipelines(search->inputs->config->method) ? batch : 1;
  for (int split = first_split; split <= last_split; split++)
    for (int micro_batches = 1; micro_batches <= most; micro_batches++) {
      bool wanted = choices.micro_batches ? is_worth_trying(batch, micro_batches)
                                          : most == 1 || micro_batches == pipeline->micro_batches;
      if (wanted)
        candidates[count++] = (pp_candidate){.plan = {split, micro_batches}};
    }
  return count;
}

/* The numbers of micro-batches between the best and its neighbours that were skipped. */
static int add_refinements(const pp_search *search, pp_group_plan best, pp_candidate *candidates) {
  int batch = search->inputs->config->training.batch_size, count = 0;
  for (int direction = -1; direction <= 1; direction += 2)
    for (int micro_batches = best.micro_batches + direction;
         micro_batches >= 1 && micro_batches <= batch && !is_worth_trying(batch, micro_batches);
         micro_batches += direction)
      candidates[count++] = (pp_candidate){.plan = {best.split, micro_batches}};
  return count;
}

typedef struct pp_rows {
  pp_plan_row *rows;
  int64_t count;
} pp_rows;

static pp_status keep_rows(pp_rows *rows, int group, pp_candidate *candidates, int count, pp_group_plan chosen) {
  qsort(candidates, (size_t)count, sizeof *candidates, compare_plans);
  free(rows->rows);
  rows->rows = NULL;
  PP_TRY(pp_alloc((size_t)count, sizeof *rows->rows, "the planner's table", &rows->rows));
  rows->count = count;
  for (int index = 0; index < count; index++) {
    const pp_candidate *candidate = &candidates[index];
    bool is_chosen = candidate->plan.split == chosen.split && candidate->plan.micro_batches == chosen.micro_batches;
    rows->rows[index] =
        (pp_plan_row){.group = group,
                      .split = candidate->plan.split,
                      .micro_batches = candidate->plan.micro_batches,
                      .makespan_s = candidate->makespan == PP_NS_NEVER ? NAN : pp_seconds(candidate->makespan),
                      .chosen = is_chosen};
  }
  return NULL;
}

static pp_status plan_group(pp_search *search, int group, pp_choices choices, pp_rows *rows) {
  int batch = search->inputs->config->training.batch_size;
  int splits = choices.split ? search->inputs->block_count : 1;
  pp_candidate *candidates = NULL;
  PP_TRY(pp_alloc(((size_t)splits + 2) * (size_t)batch, sizeof *candidates, "the planner's candidates", &candidates));
  pp_status refusal = NULL;
  int best = -1;
  int count = add_candidates(search, group, choices, candidates);
  pp_status status = try_candidates(search, group, candidates, 0, count, &best, &refusal);
  if (status == NULL && best >= 0 && choices.micro_batches && pp_method_pipelines(search->inputs->config->method)) {
    int more = add_refinements(search, candidates[best].plan, candidates + count);
    status = try_candidates(search, group, candidates, count, count + more, &best, &refusal);
    count += more;
  }
  if (status == NULL && best < 0)
    status = refusal != NULL ? refusal
                             : pp_fail(PP_CODE_INPUT, "devices.%d: the planner found no plan that ends in time", group);
  else
    pp_error_free(refusal);
  if (status == NULL) {
    search->plans[group] = candidates[best].plan;
    status = keep_rows(rows, group, candidates, count, search->plans[group]);
  }
  free(candidates);
  return status;
}

/* What is left to the planner, and whether it can do it. */
static pp_status find_choices(const pp_scenario_inputs *inputs, int group, pp_group_plan *plan, pp_choices *out) {
  const pp_config *config = inputs->config;
  const pp_pipeline_config *pipeline = &config->groups[group].pipeline;
  bool table = config->groups[group].cost.kind == PP_COST_TABLE;
  *out = (pp_choices){.split = pp_method_splits(config->method) && pipeline->split == PP_AUTO,
                      .micro_batches = pp_method_pipelines(config->method) && pipeline->micro_batches == PP_AUTO};
  if (!pp_method_splits(config->method))
    plan->split = inputs->block_count > 0 ? inputs->block_count : 1;
  if (!pp_method_pipelines(config->method))
    plan->micro_batches = 1;
  if (table && out->split && inputs->block_count == 0) {
    plan->split = 1; /* nothing depends on it */
    out->split = false;
  }
  if (table && (out->split || out->micro_batches))
    return pp_fail(PP_CODE_INPUT,
                   "devices.%d: pipeline.%s: auto cannot be planned with cost.kind: table, whose costs hold for one "
                   "plan: give a number",
                   group, out->micro_batches ? "micro_batches" : "split");
  if ((out->split || out->micro_batches) && pipeline->planner != PP_PLANNER_SEARCH)
    return pp_fail(PP_CODE_INPUT, "devices.%d: pipeline.planner: only search is built yet", group);
  if (out->split)
    plan->split = (inputs->block_count + 1) / 2;
  if (out->micro_batches)
    plan->micro_batches = config->training.batch_size < 4 ? 1 : 4;
  return NULL;
}

static void choose_horizon(pp_search *search) {
  const pp_scenario_inputs *inputs = search->inputs;
  int64_t batch = inputs->config->training.batch_size;
  for (int index = 0; index < inputs->class_count; index++) {
    const pp_device_class *class = &inputs->classes[index];
    int64_t iterations =
        class->iterations < class->iterations_per_round ? class->iterations : class->iterations_per_round;
    if (iterations > search->round_iterations)
      search->round_iterations = iterations;
  }
  int64_t typical = inputs->device_count * 6 * (batch < 10 ? batch : 10);
  int64_t affordable = stages_per_candidate / typical;
  search->horizon = affordable < 2 ? 2 : affordable;
  if (search->horizon > search->round_iterations)
    search->horizon = search->round_iterations;
}

static pp_status search_groups(pp_search *search, const pp_choices *choices, pp_rows *rows) {
  int group_count = search->inputs->config->group_count, open = 0;
  for (int group = 0; group < group_count; group++)
    open += choices[group].split || choices[group].micro_batches;
  bool changed = open > 0;
  for (int pass = 0; changed && pass < (open > 1 ? most_passes : 1); pass++) {
    changed = false;
    for (int group = 0; group < group_count; group++) {
      if (!choices[group].split && !choices[group].micro_batches)
        continue;
      pp_group_plan before = search->plans[group];
      PP_TRY(plan_group(search, group, choices[group], &rows[group]));
      changed = changed || before.split != search->plans[group].split ||
                before.micro_batches != search->plans[group].micro_batches;
    }
  }
  return NULL;
}

static pp_status join_rows(const pp_rows *rows, int group_count, pp_plan_row **out, int64_t *count) {
  int64_t total = 0;
  for (int group = 0; group < group_count; group++)
    total += rows[group].count;
  if (total == 0)
    return NULL;
  pp_plan_row *all = NULL;
  PP_TRY(pp_alloc((size_t)total, sizeof *all, "the planner's table", &all));
  for (int group = 0; group < group_count; group++)
    for (int64_t row = 0; row < rows[group].count; row++)
      all[(*count)++] = rows[group].rows[row];
  *out = all;
  return NULL;
}

pp_status pp_planner_resolve(const pp_scenario_inputs *inputs, pp_group_plan *plans, pp_plan_row **out,
                             int64_t *count) {
  int group_count = inputs->config->group_count;
  pp_search search = {.inputs = inputs, .plans = plans};
  pp_choices *choices = NULL;
  pp_rows *rows = NULL;
  PP_TRY(pp_alloc((size_t)group_count, sizeof *choices, "the plans of the groups", &choices));
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc((size_t)group_count, sizeof *rows, "the plans of the groups", &rows), done);
  for (int group = 0; group < group_count; group++)
    PP_TRY_GOTO(status, find_choices(inputs, group, &plans[group], &choices[group]), done);
  choose_horizon(&search);
  PP_TRY_GOTO(status, search_groups(&search, choices, rows), done);
  PP_TRY_GOTO(status, join_rows(rows, group_count, out, count), done);
done:
  if (rows != NULL)
    for (int group = 0; group < group_count; group++)
      free(rows[group].rows);
  free(rows);
  free(choices);
  return status;
}
