#include "timeline/replan.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "timeline/engine.h"

enum { UP, DOWN, SLOWDOWN };

static pp_rate_step first_above_0(const pp_rate_trace *trace) {
  for (int step = 0; step < trace->count; step++)
    if (trace->steps[step].rate_bps > 0)
      return (pp_rate_step){0, trace->steps[step].rate_bps};
  return (pp_rate_step){0, 1};
}

pp_status pp_observed_init(pp_observed *observed, const pp_scenario_inputs *inputs) {
  size_t groups = (size_t)inputs->config->group_count, classes = (size_t)inputs->class_count;
  *observed = (pp_observed){.inputs = *inputs, .config = *inputs->config};
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc(groups, sizeof *observed->groups, "what is observed", &observed->groups), fail);
  PP_TRY_GOTO(status, pp_alloc(groups, sizeof *observed->steps, "what is observed", &observed->steps), fail);
  PP_TRY_GOTO(status, pp_alloc(classes, sizeof *observed->classes, "what is observed", &observed->classes), fail);
  memcpy(observed->groups, inputs->config->groups, groups * sizeof *observed->groups);
  memcpy(observed->classes, inputs->classes, classes * sizeof *observed->classes);
  observed->config.groups = observed->groups;
  observed->inputs.config = &observed->config;
  observed->inputs.classes = observed->classes;
  for (size_t group = 0; group < groups; group++) {
    pp_device_group *g = &observed->groups[group];
    pp_rate_step *steps = observed->steps[group];
    steps[UP] = first_above_0(&g->network.up);
    steps[DOWN] = first_above_0(&g->network.down);
    g->network.up = (pp_rate_trace){1, &steps[UP], 0};
    g->network.down = (pp_rate_trace){1, &steps[DOWN], 0};
    if (g->slowdown.count == 0)
      continue;
    steps[SLOWDOWN] = first_above_0(&g->slowdown);
    g->slowdown = (pp_rate_trace){1, &steps[SLOWDOWN], 0};
  }
  pp_network_config *server = &observed->config.server.link;
  for (int direction = UP; direction <= DOWN && server->up.count > 0; direction++) {
    pp_rate_trace *trace = direction == UP ? &server->up : &server->down;
    observed->server_steps[direction] = first_above_0(trace);
    *trace = (pp_rate_trace){1, &observed->server_steps[direction], 0};
  }
  for (size_t index = 0; index < classes; index++) {
    pp_device_class *class = &observed->classes[index];
    class->network = &observed->groups[class->group].network;
    class->slowdown = &observed->groups[class->group].slowdown;
  }
  return NULL;
fail:
  pp_observed_fini(observed);
  return status;
}

void pp_observed_fini(pp_observed *observed) {
  free(observed->groups);
  free(observed->steps);
  free(observed->classes);
  *observed = (pp_observed){0};
}

/* Sums over a group's devices since the last plan. */
typedef struct pp_measured {
  pp_int128 bytes[2], taken_ns[2]; /* of transfers, by UP and DOWN, while they had the link */
  pp_int128 work_ns, worked_ns;    /* compute stages: as the schedule says, and as they were */
} pp_measured;

struct pp_replan {
  const pp_scenario *first;
  pp_observed observed;
  pp_measured *measured;     /* (group_count) */
  pp_group_plan *plans;      /* (group_count) in force */
  pp_scenario *before, *now; /* the last two that were made; the one before may still be read while a round ends */
  int64_t rounds;            /* since the last plan */
  pp_plan_row *rows;
  int64_t row_count;
};

static pp_status init_plans(pp_replan *replan) {
  size_t groups = (size_t)replan->observed.config.group_count;
  PP_TRY(pp_alloc(groups, sizeof *replan->measured, "what is observed", &replan->measured));
  PP_TRY(pp_alloc(groups, sizeof *replan->plans, "plans", &replan->plans));
  for (int index = 0; index < replan->first->class_count; index++) {
    const pp_device_class *class = &replan->first->classes[index];
    replan->plans[class->group] = (pp_group_plan){class->split, class->micro_batches};
  }
  return NULL;
}

pp_status pp_replan_create(const pp_scenario *scenario, pp_replan **out) {
  pp_replan *replan = NULL;
  PP_TRY(pp_alloc(1, sizeof *replan, "plans", &replan));
  replan->first = scenario;
  pp_status status = pp_observed_init(&replan->observed, pp_scenario_inputs_of(scenario));
  if (status == NULL)
    status = init_plans(replan);
  if (status != NULL) {
    pp_replan_destroy(replan);
    return status;
  }
  *out = replan;
  return NULL;
}

void pp_replan_destroy(pp_replan *replan) {
  if (replan == NULL)
    return;
  pp_scenario_destroy(replan->before);
  pp_scenario_destroy(replan->now);
  pp_observed_fini(&replan->observed);
  free(replan->measured);
  free(replan->plans);
  free(replan->rows);
  free(replan);
}

const pp_plan_row *pp_replan_take_rows(pp_replan *replan, int64_t *count) {
  *count = replan->row_count;
  replan->row_count = 0;
  return replan->rows;
}

const pp_group_plan *pp_replan_plans(const pp_replan *replan) { return replan->plans; }

const pp_scenario *pp_replan_scenario(const pp_replan *replan) {
  return replan->now != NULL ? replan->now : replan->first;
}

static void add_transfer(pp_measured *of, int direction, int64_t bytes, pp_span span) {
  of->bytes[direction] += bytes;
  of->taken_ns[direction] += span.end_ns - span.start_ns;
}

/* Adds up what the round in hand has shown; its models are not back yet, those it began with are. */
static void measure(pp_replan *replan, const pp_timeline *timeline) {
  for (int64_t device = 0; device < timeline->device_count; device++) {
    const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
    pp_measured *of = &replan->measured[plan->class->group];
    for (int64_t iteration = 0; iteration < timeline->round_iterations[timeline->devices[device].plan]; iteration++) {
      const pp_program *program = pp_round_program(timeline, device, iteration);
      const pp_span *spans = pp_iteration_spans(timeline, device, iteration);
      for (int index = 0; index < program->count; index++) {
        const pp_op *op = &program->schedule->ops[index];
        pp_resource resource = (pp_resource)program->steps[index].resource;
        if (resource == PP_RESOURCE_UPLINK || resource == PP_RESOURCE_DOWNLINK)
          add_transfer(of, resource == PP_RESOURCE_UPLINK ? UP : DOWN, op->cost, spans[index]);
        if (resource == PP_RESOURCE_DEVICE) {
          of->work_ns += op->cost;
          of->worked_ns += spans[index].end_ns - spans[index].start_ns;
        }
      }
    }
    const pp_schedule *schedule = plan->class->full;
    add_transfer(of, UP, schedule->model_upload_bytes, timeline->model_up[device]);
    if (timeline->round > 0)
      add_transfer(of, DOWN, schedule->model_download_bytes, timeline->model_down[device]);
  }
}

/* What was measured takes the place of what was believed. */
static void believe(pp_replan *replan) {
  for (int group = 0; group < replan->observed.config.group_count; group++) {
    pp_measured *of = &replan->measured[group];
    pp_rate_step *steps = replan->observed.steps[group];
    for (int direction = UP; direction <= DOWN; direction++)
      if (of->taken_ns[direction] > 0) {
        pp_int128 rate = of->bytes[direction] * 8 * 1000000000 / of->taken_ns[direction];
        steps[direction].rate_bps = rate < 1 ? 1 : rate > INT64_MAX ? INT64_MAX : (int64_t)rate;
      }
    if (replan->observed.groups[group].slowdown.count > 0 && of->work_ns > 0) {
      pp_int128 factor = of->worked_ns * 1000000 / of->work_ns;
      steps[SLOWDOWN].rate_bps = factor < 1000000 ? 1000000 : (int64_t)factor;
    }
    *of = (pp_measured){0};
  }
  /* What the server's link left to each is in its transfers' rates. */
  replan->observed.config.server.link.up.count = replan->observed.config.server.link.down.count = 0;
}

static pp_status plan_again(pp_replan *replan, int64_t round, const pp_scenario **next) {
  const pp_config *config = &replan->observed.config;
  pp_group_plan *plans = NULL;
  bool changed = false;
  size_t groups = (size_t)config->group_count;
  PP_TRY(pp_alloc(groups, sizeof *plans, "plans", &plans));
  for (size_t group = 0; group < groups; group++)
    plans[group] = (pp_group_plan){config->groups[group].pipeline.split, config->groups[group].pipeline.micro_batches};
  pp_status status = pp_planner_resolve(&replan->observed.inputs, plans, &replan->rows, &replan->row_count);
  for (int64_t row = 0; status == NULL && row < replan->row_count; row++)
    replan->rows[row].round = (int)round;
  for (size_t group = 0; group < groups; group++)
    changed = changed || plans[group].split != replan->plans[group].split ||
              plans[group].micro_batches != replan->plans[group].micro_batches;
  if (status == NULL && changed) {
    pp_scenario *made = NULL;
    status = pp_scenario_build(pp_scenario_inputs_of(replan->first), plans, 0, &made);
    if (status == NULL) {
      pp_scenario_destroy(replan->before);
      replan->before = replan->now;
      replan->now = made;
      *next = made;
      memcpy(replan->plans, plans, groups * sizeof *plans);
    }
  }
  free(plans);
  return status;
}

static pp_status decide(void *context, const pp_timeline *timeline, const pp_scenario **next) {
  pp_replan *replan = context;
  free(replan->rows);
  replan->rows = NULL;
  replan->row_count = 0;
  measure(replan, timeline);
  if (++replan->rounds < replan->observed.config.pipeline.replan)
    return NULL;
  replan->rounds = 0;
  believe(replan);
  return plan_again(replan, timeline->round + 1, next);
}

pp_replanner pp_replan_replanner(pp_replan *replan) { return (pp_replanner){decide, replan}; }
