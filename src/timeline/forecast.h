/* What a plan would take, and what limits it. */
#ifndef PP_TIMELINE_FORECAST_H
#define PP_TIMELINE_FORECAST_H

#include "timeline/scenario.h"

enum { PP_FORECAST_RESOURCES = 4 }; /* as pp_resource */

/* Of one group; shares are of the first round. */
typedef struct pp_forecast {
  bool refused;
  double round_s;                           /* the first round's makespan, of all groups */
  double iteration_s;                       /* of the group's slowest device, after the first ones */
  double busy_share[PP_FORECAST_RESOURCES]; /* mean over the group's devices, or over slots */
  pp_resource busiest;
  pp_cause cause; /* of most of the idle time of the group's devices before the round's last model is back */
  double cause_share;
} pp_forecast;

typedef struct pp_forecaster pp_forecaster;

/* Local. Errors as pp_scenario_create. `config` and `model` must outlive it. */
PP_MUST_CHECK pp_status pp_forecaster_create(const pp_config *config, const pp_model *model, pp_forecaster **out);
void pp_forecaster_destroy(pp_forecaster *forecaster);
/* Blocks of the network; 0: costs come from tables, which hold for one plan. */
int pp_forecaster_block_count(const pp_forecaster *forecaster);
/* plans: (group_count), numbers. */
PP_MUST_CHECK pp_status pp_forecaster_run(pp_forecaster *forecaster, const pp_group_plan *plans, int group,
                                          pp_forecast *out);
const char *pp_resource_name(pp_resource resource); /* "uplink" */

#endif
