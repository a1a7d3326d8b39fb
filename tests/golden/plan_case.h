/* Random configurations for planners: any network, up to two groups of devices, links, slots and policies. */
#ifndef PLAN_CASE_H
#define PLAN_CASE_H

#include "pipar/timeline.h"

enum { PLAN_CASE_STEPS = 6 };

typedef struct plan_case {
  pp_config config;
  pp_device_group groups[2];
  pp_rate_step steps[4][PLAN_CASE_STEPS]; /* up, down of each group */
  pp_model *model;
} plan_case;

/* The case of that number. most_candidates bounds the joint plans: (splits x batch size) to the power of groups. */
void plan_case_init(plan_case *c, uint64_t number, int most_candidates);
void plan_case_fini(plan_case *c);

/* Sets what is given in all groups. */
void plan_case_set(plan_case *c, pp_planner planner);
/* The makespan of the run, and its scenario's plan; *scenario may be NULL. Ends the program on an error. */
int64_t plan_case_run(const plan_case *c, pp_scenario **scenario);
void plan_case_must(pp_status status);

#endif
