/* From an experiment to the numbers that the timeline takes. */
#ifndef PP_TIMELINE_SCENARIO_H
#define PP_TIMELINE_SCENARIO_H

#include "model/cost.h"
#include "pipar/timeline.h"

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
} pp_scenario_inputs;

/* `model` may be NULL, see pp_scenario_create. */
PP_MUST_CHECK pp_status pp_scenario_inputs_init(pp_scenario_inputs *inputs, const pp_config *config,
                                                const pp_model *model);
void pp_scenario_inputs_fini(pp_scenario_inputs *inputs);

/* The plan of a group; numbers, not PP_AUTO. */
typedef struct pp_group_plan {
  int split, micro_batches;
} pp_group_plan;

/* Builds schedules and their costs for one plan a group. `horizon` > 0 cuts the run short: one round of at most so many
 * iterations. The inputs must outlive the scenario. */
PP_MUST_CHECK pp_status pp_scenario_build(const pp_scenario_inputs *inputs, const pp_group_plan *plans, int64_t horizon,
                                          pp_scenario **out);

pp_cost_inputs pp_scenario_cost_inputs(const pp_scenario_inputs *inputs, int group);

bool pp_method_splits(pp_method method);    /* split matters */
bool pp_method_pipelines(pp_method method); /* the number of micro-batches matters */

/* planner.c: resolves PP_AUTO. plans: (group_count). *rows is allocated where something was planned. */
PP_MUST_CHECK pp_status pp_planner_resolve(const pp_scenario_inputs *inputs, pp_group_plan *plans, pp_plan_row **rows,
                                           int64_t *row_count);

#endif
