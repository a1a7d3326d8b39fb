/* Planning again at the ends of rounds, from what was observed until then: docs/planner.md. */
#ifndef PP_TIMELINE_REPLAN_H
#define PP_TIMELINE_REPLAN_H

#include "timeline/scenario.h"

/* What a planner may know: the inputs with links and slowdowns that do not change. */
typedef struct pp_observed {
  pp_scenario_inputs inputs; /* shares with the true ones what does not depend on time */
  pp_config config;
  pp_device_group *groups;  /* (group_count) */
  pp_device_class *classes; /* (class_count) */
  pp_rate_step (*steps)[3]; /* (group_count): uplink, downlink, slowdown */
  pp_rate_step server_steps[2];
} pp_observed;

/* At the start: the first rate above 0 of each link, the server's too, and the first slowdown. It must not be moved
 * then. The inputs must outlive it. */
PP_MUST_CHECK pp_status pp_observed_init(pp_observed *observed, const pp_scenario_inputs *inputs);
void pp_observed_fini(pp_observed *observed);

typedef struct pp_replan pp_replan;

/* `scenario` is what pp_scenario_create made and must outlive it; so must it the timeline. */
PP_MUST_CHECK pp_status pp_replan_create(const pp_scenario *scenario, pp_replan **out);
void pp_replan_destroy(pp_replan *replan);
pp_replanner pp_replan_replanner(pp_replan *replan);
/* What was planned since this was asked last; valid until the next round. */
const pp_plan_row *pp_replan_take_rows(pp_replan *replan, int64_t *count);
/* (group_count) that hold now. */
const pp_group_plan *pp_replan_plans(const pp_replan *replan);
/* With the plans that hold now. */
const pp_scenario *pp_replan_scenario(const pp_replan *replan);

#endif
