/* From an experiment to the numbers that the timeline takes. */
#ifndef PP_TIMELINE_SCENARIO_H
#define PP_TIMELINE_SCENARIO_H

#include "model/cost.h"
#include "pipar/timeline.h"

/* The plan of a group; numbers, not PP_AUTO. */
typedef struct pp_group_plan {
  int split, micro_batches;
} pp_group_plan;

/* Another source of schedules with their costs than the cost model each time, for the planner's many candidates. */
typedef struct pp_schedule_maker {
  pp_status (*make)(void *context, int group, pp_group_plan plan, int batch, pp_schedule **out);
  void *context;
} pp_schedule_maker;

/* What is the same for every plan: the network, the devices and their shares of the data. */
typedef struct pp_scenario_inputs {
  const pp_config *config;
  int block_count; /* 0: costs come from tables and there is no network */
  const pp_block_info **blocks;
  int64_t classes_of_data; /* outputs of the network */
  int device_count;
  int class_count;
  pp_device_class *classes; /* (class_count) without plan and schedules */
  int32_t *class_of;        /* (device_count) */
  int64_t rounds;
  pp_schedule_maker maker; /* none: the cost model */
} pp_scenario_inputs;

/* `model` may be NULL, see pp_scenario_create. */
PP_MUST_CHECK pp_status pp_scenario_inputs_init(pp_scenario_inputs *inputs, const pp_config *config,
                                                const pp_model *model);
void pp_scenario_inputs_fini(pp_scenario_inputs *inputs);

/* Builds schedules and their costs for one plan a group. `horizon` > 0 cuts the run short: one round of at most so many
 * iterations. The inputs must outlive the scenario. */
PP_MUST_CHECK pp_status pp_scenario_build(const pp_scenario_inputs *inputs, const pp_group_plan *plans, int64_t horizon,
                                          pp_scenario **out);

/* Makes the scenario that was built for `before`, with the same inputs and horizon, that of other plans. After an error
 * it can only be destroyed. */
PP_MUST_CHECK pp_status pp_scenario_change(const pp_scenario_inputs *inputs, const pp_group_plan *before,
                                           const pp_group_plan *plans, int64_t horizon, pp_scenario *scenario);

/* The inputs of a scenario that pp_scenario_create made. */
const pp_scenario_inputs *pp_scenario_inputs_of(const pp_scenario *scenario);

pp_cost_inputs pp_scenario_cost_inputs(const pp_scenario_inputs *inputs, int group);

/* Parts of building, for candidates of the planner. */
/* Samples of the class's mini-batches but a ragged last one, and of that; 0: it has none. */
int64_t pp_scenario_full_batch(const pp_scenario_inputs *inputs, const pp_device_class *class);
int64_t pp_scenario_ragged_batch(const pp_scenario_inputs *inputs, const pp_device_class *class);
/* A batch norm that sees one value per channel has no variance. */
PP_MUST_CHECK pp_status pp_scenario_check_batch_norms(const pp_scenario_inputs *inputs, int group,
                                                      const pp_schedule *schedule);

/* Aggregates of so many updates, `buffer` at a time. */
static inline int64_t pp_async_rounds(int64_t updates, int64_t buffer) { return (updates + buffer - 1) / buffer; }

/* Devices come or go, or the aggregate does not wait for all. */
bool pp_scenario_has_presence(const pp_config *config);

/* `replan` asks for plans that change, and there is something to plan. */
bool pp_scenario_replans(const pp_config *config);

/* planner.c: resolves PP_AUTO. plans: (group_count). *rows is allocated where something was planned. */
PP_MUST_CHECK pp_status pp_planner_resolve(const pp_scenario_inputs *inputs, pp_group_plan *plans, pp_plan_row **rows,
                                           int64_t *row_count);

#endif
