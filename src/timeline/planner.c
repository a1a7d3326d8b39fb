/* Resolves what is left to the planner, group by group or for all groups at once: docs/planner.md. */
#include "timeline/planner.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

enum {
  coarse_stages = 8000, /* of a candidate that may soon be ruled out */
  fine_stages = 400000  /* longer rounds are extrapolated from their first iterations */
};

int pp_planning_most_micro_batches(const pp_planning *planning, int group) {
  const pp_config *config = planning->inputs->config;
  const pp_pipeline_config *pipeline = &config->groups[group].pipeline;
  if (!pp_method_pipelines(config->method))
    return 1;
  int least = pipeline->min_micro_batch > 1 ? pipeline->min_micro_batch : 1;
  return config->training.batch_size / least > 1 ? config->training.batch_size / least : 1;
}

bool pp_is_worth_trying(int batch, int micro_batches) {
  return micro_batches == 1 ||
         pp_micro_batch_size(batch, micro_batches, 0) < pp_micro_batch_size(batch, micro_batches - 1, 0);
}

pp_status pp_planning_candidates(const pp_planning *planning, int group, bool every_count, pp_candidates *out) {
  const pp_choices *choices = &planning->choices[group];
  pp_group_plan plan = planning->plans[group];
  int batch = planning->inputs->config->training.batch_size;
  int first_split = choices->split ? 1 : plan.split, last_split = choices->split ? planning->splits : plan.split;
  int most = choices->micro_batches ? pp_planning_most_micro_batches(planning, group) : 1;
  size_t room = (size_t)(last_split - first_split + 1) * (size_t)most;
  *out = (pp_candidates){0};
  PP_TRY(pp_alloc(room, sizeof *out->items, "the planner's candidates", &out->items));
  for (int split = first_split; split <= last_split; split++)
    for (int micro_batches = 1; micro_batches <= most; micro_batches++)
      if (every_count || pp_is_worth_trying(batch, micro_batches))
        out->items[out->count++] =
            (pp_candidate){.plan = {split, choices->micro_batches ? micro_batches : plan.micro_batches},
                           .outlook = {.makespan = PP_NS_NEVER}};
  return NULL;
}

/* What is left to the planner, and whether it can do it. What is not gets its number. */
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
  if (out->split)
    plan->split = (inputs->block_count + 1) / 2;
  if (out->micro_batches)
    plan->micro_batches = 1;
  return NULL;
}

static bool is_constant(const pp_rate_trace *trace) { return trace->count == 1; }

static void choose_horizons(pp_planning *planning) {
  const pp_scenario_inputs *inputs = planning->inputs;
  int64_t batch = inputs->config->training.batch_size;
  bool constant = true;
  for (int index = 0; index < inputs->class_count; index++) {
    const pp_device_class *class = &inputs->classes[index];
    int64_t iterations =
        class->iterations < class->iterations_per_round ? class->iterations : class->iterations_per_round;
    if (iterations > planning->round_iterations)
      planning->round_iterations = iterations;
    constant = constant && is_constant(&class->network->up) && is_constant(&class->network->down);
  }
  int64_t typical = inputs->device_count * 6 * (batch < 10 ? batch : 10);
  planning->fine = fine_stages / typical < 3 ? 3 : fine_stages / typical;
  planning->coarse = coarse_stages / typical < 3 ? 3 : coarse_stages / typical;
  if (planning->fine > planning->round_iterations)
    planning->fine = planning->round_iterations;
  if (planning->coarse > planning->fine || !constant)
    planning->coarse = planning->fine;
}

static pp_status make_priced(void *context, int group, pp_group_plan plan, int batch, pp_schedule **out) {
  return pp_prices_schedule(context, group, plan, batch, out);
}

pp_status pp_planning_init(pp_planning *planning, const pp_scenario_inputs *inputs, pp_group_plan *plans) {
  const pp_config *config = inputs->config;
  size_t groups = (size_t)config->group_count;
  *planning = (pp_planning){.inputs = inputs, .plans = plans};
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc(groups, sizeof *planning->choices, "the plans of the groups", &planning->choices), fail);
  PP_TRY_GOTO(status, pp_alloc(groups, sizeof *planning->made_plans, "the plans of the groups", &planning->made_plans),
              fail);
  planning->splits = inputs->block_count > 0 ? inputs->block_count : 1;
  for (int group = 0; group < config->group_count; group++) {
    PP_TRY_GOTO(status, find_choices(inputs, group, &plans[group], &planning->choices[group]), fail);
    if (plans[group].split > planning->splits)
      planning->splits = plans[group].split;
  }
  size_t lists = groups * (size_t)planning->splits;
  PP_TRY_GOTO(status, pp_alloc(lists, sizeof *planning->lists, "the planner's prices", &planning->lists), fail);
  PP_TRY_GOTO(
      status,
      pp_alloc((size_t)inputs->class_count, sizeof *planning->members, "the planner's classes", &planning->members),
      fail);
  for (int device = 0; device < inputs->device_count; device++)
    planning->members[inputs->class_of[device]]++;
  if (config->method != PP_METHOD_SL) {
    pp_cost_inputs costs = pp_scenario_cost_inputs(inputs, 0);
    PP_TRY_GOTO(status, pp_cost_aggregate(&costs, inputs->device_count, &planning->aggregate_ns), fail);
  }
  choose_horizons(planning);
  planning->priced = *inputs;
  planning->priced.maker = (pp_schedule_maker){make_priced, planning};
  return NULL;
fail:
  pp_planning_fini(planning);
  return status;
}

void pp_planning_fini(pp_planning *planning) {
  if (planning->lists != NULL)
    for (int list = 0; list < planning->inputs->config->group_count * planning->splits; list++)
      free(planning->lists[list].by_size);
  free(planning->lists);
  free(planning->members);
  free(planning->choices);
  free(planning->made_plans);
  pp_scenario_destroy(planning->made);
  pp_error_free(planning->refusal);
  *planning = (pp_planning){0};
}

static int compare_plans(const void *a, const void *b) {
  const pp_candidate *left = a, *right = b;
  if (left->plan.split != right->plan.split)
    return left->plan.split - right->plan.split;
  return left->plan.micro_batches - right->plan.micro_batches;
}

static pp_status join_rows(const pp_planning *planning, const pp_candidates *looked_at, pp_plan_row **out,
                           int64_t *count) {
  int64_t total = 0;
  for (int group = 0; group < planning->inputs->config->group_count; group++)
    total += looked_at[group].count;
  if (total == 0)
    return NULL;
  PP_TRY(pp_alloc((size_t)total, sizeof **out, "the planner's table", out));
  for (int group = 0; group < planning->inputs->config->group_count; group++) {
    const pp_candidates *of = &looked_at[group];
    if (of->count > 0)
      qsort(of->items, (size_t)of->count, sizeof *of->items, compare_plans);
    for (int64_t index = 0; index < of->count; index++) {
      const pp_candidate *candidate = &of->items[index];
      pp_ns makespan = candidate->outlook.makespan;
      bool chosen = candidate->plan.split == planning->plans[group].split &&
                    candidate->plan.micro_batches == planning->plans[group].micro_batches;
      (*out)[(*count)++] = (pp_plan_row){.group = group,
                                         .split = candidate->plan.split,
                                         .micro_batches = candidate->plan.micro_batches,
                                         .makespan_s = makespan == PP_NS_NEVER ? NAN : pp_seconds(makespan),
                                         .chosen = chosen};
    }
  }
  return NULL;
}

/* Groups of `aps` do not look at the others; then come those that are searched, against the plans of all. */
static pp_status plan_groups(pp_planning *planning, pp_candidates *looked_at) {
  const pp_config *config = planning->inputs->config;
  int searched = 0, exhausted = 0;
  for (int group = 0; group < config->group_count; group++) {
    pp_planner planner = config->groups[group].pipeline.planner;
    pp_choices *choices = &planning->choices[group];
    if (!choices->split && !choices->micro_batches)
      continue;
    if (planner == PP_PLANNER_APS || planner == PP_PLANNER_APS_AS_PUBLISHED) {
      PP_TRY(pp_plan_by_aps(planning, group, &looked_at[group]));
      *choices = (pp_choices){0};
    } else if (planner == PP_PLANNER_EXHAUSTIVE) {
      exhausted++;
    } else {
      searched++;
    }
  }
  if (exhausted > 0 && searched > 0)
    return pp_fail(PP_CODE_INPUT, "pipeline.planner: exhaustive beside search: allowed is one of them for all groups");
  if (exhausted > 0)
    return pp_plan_exhaustively(planning, looked_at);
  return searched > 0 ? pp_plan_by_search(planning, looked_at) : NULL;
}

/* The rows that `aps` has no figure for: what the timeline says of its choice. */
static pp_status predict_choices(pp_planning *planning, pp_candidates *looked_at) {
  pp_outlook outlook = {.makespan = PP_NS_NEVER};
  for (int group = 0; group < planning->inputs->config->group_count; group++)
    for (int64_t index = 0; index < looked_at[group].count; index++) {
      pp_candidate *candidate = &looked_at[group].items[index];
      if (candidate->plan.split != planning->plans[group].split ||
          candidate->plan.micro_batches != planning->plans[group].micro_batches)
        continue;
      if (outlook.makespan == PP_NS_NEVER)
        PP_TRY(pp_predict(planning, planning->fine, &outlook));
      candidate->outlook = outlook;
    }
  return NULL;
}

static bool is_open(const pp_planning *planning) {
  for (int group = 0; group < planning->inputs->config->group_count; group++)
    if (planning->choices[group].split || planning->choices[group].micro_batches)
      return true;
  return false;
}

pp_status pp_planner_resolve(const pp_scenario_inputs *inputs, pp_group_plan *plans, pp_plan_row **rows,
                             int64_t *row_count) {
  pp_planning planning;
  pp_candidates *looked_at = NULL;
  PP_TRY(pp_planning_init(&planning, inputs, plans));
  pp_status status = NULL;
  if (is_open(&planning)) {
    PP_TRY_GOTO(status,
                pp_alloc((size_t)inputs->config->group_count, sizeof *looked_at, "the planner's table", &looked_at),
                done);
    PP_TRY_GOTO(status, plan_groups(&planning, looked_at), done);
    PP_TRY_GOTO(status, predict_choices(&planning, looked_at), done);
    PP_TRY_GOTO(status, join_rows(&planning, looked_at, rows, row_count), done);
  }
done:
  if (looked_at != NULL)
    for (int group = 0; group < inputs->config->group_count; group++)
      free(looked_at[group].items);
  free(looked_at);
  pp_planning_fini(&planning);
  return status;
}
