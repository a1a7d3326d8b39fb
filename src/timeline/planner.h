/* What the planners share: what is left to them, what a candidate costs, and what the timeline says of it. */
#ifndef PP_TIMELINE_PLANNER_H
#define PP_TIMELINE_PLANNER_H

#include "base/int128.h"
#include "timeline/scenario.h"

/* What is left to the planner of a group. */
typedef struct pp_choices {
  bool split, micro_batches;
} pp_choices;

/* Costs of a micro-batch of so many samples, by stage: ns or bytes. */
typedef struct pp_price {
  bool known, refused;
  int64_t cost[PP_STAGE_COUNT];
} pp_price;

/* Prices of one group at one split. */
typedef struct pp_price_list {
  pp_price *by_size; /* (batch_size + 1); NULL until asked for */
  int64_t model_up_bytes, model_down_bytes;
} pp_price_list;

typedef struct pp_planning {
  const pp_scenario_inputs *inputs;
  pp_scenario_inputs priced; /* the same, with schedules made from prices */
  pp_group_plan *plans;      /* (group_count): those of the candidate in hand */
  pp_choices *choices;       /* (group_count) */
  pp_price_list *lists;      /* by group, then split - 1 */
  int splits;                /* lists a group */
  int64_t *members;          /* (class_count) devices */
  int64_t aggregate_ns;
  int64_t round_iterations; /* the most of any device */
  int64_t coarse, fine;     /* iterations of the round that are run: to sort candidates out, and to compare them */
  /* The last candidate's scenario, whose groups mostly have the same plans in the next; NULL: none. */
  pp_scenario *made;
  pp_group_plan *made_plans; /* (group_count) */
  int64_t made_iterations;
  pp_status refusal; /* the last reason for which a candidate was left out */
} pp_planning;

/* What the timeline says of a plan: shorter rounds are better, then devices that end earlier. */
typedef struct pp_outlook {
  pp_ns makespan;       /* of the first round; PP_NS_NEVER: not run */
  pp_int128 finish_sum; /* over devices, of the ends of their model_upload and model_download */
} pp_outlook;

typedef struct pp_candidate {
  pp_group_plan plan;
  pp_ns bound; /* no shorter round is possible; PP_NS_NEVER: refused */
  pp_outlook outlook;
} pp_candidate;

PP_MUST_CHECK pp_status pp_planning_init(pp_planning *planning, const pp_scenario_inputs *inputs, pp_group_plan *plans);
void pp_planning_fini(pp_planning *planning);

/* Keeps the reason for which a candidate was left out. */
void pp_planning_refuse(pp_planning *planning, pp_status status);

/* The group's most micro-batches: pipeline.min_micro_batch bounds their size. */
int pp_planning_most_micro_batches(const pp_planning *planning, int group);

/* prices.c: *out is NULL where the costs do not cover that size: planning->refusal says why. */
PP_MUST_CHECK pp_status pp_prices_get(pp_planning *planning, int group, int split, int samples, const pp_price **out);
/* Bytes of the group's models at a split that pp_prices_get has priced. */
void pp_prices_models(const pp_planning *planning, int group, int split, int64_t *up_bytes, int64_t *down_bytes);
/* The schedule of a plan for `batch` samples, its costs filled in. Errors (PP_CODE_INPUT): no candidate. */
PP_MUST_CHECK pp_status pp_prices_schedule(pp_planning *planning, int group, pp_group_plan plan, int batch,
                                           pp_schedule **out);

/* What a group's plan takes at least, whatever the other groups do. */
typedef struct pp_group_bound {
  bool refused;
  pp_int128 device_ns; /* of its slowest device, from the round's start to the arrival of its model */
  pp_int128 server_ns; /* what its devices ask of the server, in all */
  pp_int128 first_ns;  /* before any of them has work for the server */
  pp_int128 return_ns; /* from the aggregate to its last model's arrival */
} pp_group_bound;
PP_MUST_CHECK pp_status pp_bounds_of_group(pp_planning *planning, int group, pp_group_plan plan, pp_group_bound *out);
/* A lower bound of the round's makespan; bounds: (group_count). */
pp_ns pp_bounds_join(const pp_planning *planning, const pp_group_bound *bounds);

/* predict.c: runs planning->plans for so many iterations of the first round and extrapolates the rest.
 * outlook->makespan is PP_NS_NEVER where the plan is refused. */
PP_MUST_CHECK pp_status pp_predict(pp_planning *planning, int64_t iterations, pp_outlook *out);
bool pp_outlook_is_better(const pp_outlook *a, const pp_outlook *b);

/* The candidates of each group that a planner looked at. */
typedef struct pp_candidates {
  pp_candidate *items; /* (count) */
  int64_t count;
} pp_candidates;

/* The planners: each leaves its choice in planning->plans, and in looked_at: (group_count) what it compared. */
PP_MUST_CHECK pp_status pp_plan_by_search(pp_planning *planning, pp_candidates *looked_at);
PP_MUST_CHECK pp_status pp_plan_exhaustively(pp_planning *planning, pp_candidates *looked_at);
PP_MUST_CHECK pp_status pp_plan_by_aps(pp_planning *planning, int group, pp_candidates *looked_at);

/* All plans of a group that are allowed, each once, by split, then micro-batches. The caller frees out->items. */
PP_MUST_CHECK pp_status pp_planning_candidates(const pp_planning *planning, int group, bool every_count,
                                               pp_candidates *out);
/* Numbers of micro-batches worth trying first: for each size of the largest micro-batch the fewest that give it. */
bool pp_is_worth_trying(int batch, int micro_batches);

#endif
