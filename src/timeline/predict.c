/* What the timeline says of a plan. A long round is run for its first iterations, and each device's rest extrapolated
 * from the second half of those. */
#include <string.h>

#include "timeline/engine.h"
#include "timeline/planner.h"

static pp_ns iteration_end(const pp_timeline *timeline, int64_t device, int64_t iteration) {
  const pp_program *program = pp_class_program(&timeline->plans[timeline->devices[device].plan], iteration);
  return pp_iteration_spans(timeline, device, iteration)[program->last_device_step].end_ns;
}

/* What the devices' iterations that were not run would add. */
static void extrapolate(const pp_planning *planning, const pp_timeline *timeline, pp_ns end, pp_outlook *out) {
  pp_int128 last_run = 0, last_full = 0;
  bool turns = pp_takes_turns(timeline);
  pp_int128 added_in_turn = 0;
  out->finish_sum = 0;
  for (int64_t device = 0; device < timeline->device_count; device++) {
    const pp_device_class *whole = &planning->inputs->classes[timeline->devices[device].plan];
    int64_t ran = timeline->round_iterations[timeline->devices[device].plan];
    int64_t all = whole->iterations < whole->iterations_per_round ? whole->iterations : whole->iterations_per_round;
    pp_int128 rest = 0;
    if (all > ran && ran > 1) {
      int64_t from = (ran - 1) / 2;
      pp_int128 length = iteration_end(timeline, device, ran - 1) - iteration_end(timeline, device, from);
      rest = length * (all - ran) / (ran - 1 - from);
    }
    pp_ns finish = timeline->model_up[device].end_ns;
    last_run = finish > last_run ? finish : last_run;
    last_full = finish + rest > last_full ? finish + rest : last_full;
    added_in_turn += rest;
    out->finish_sum += finish + rest + (turns ? 0 : timeline->model_down[device].end_ns);
  }
  pp_int128 makespan = end + (turns ? added_in_turn : last_full - last_run);
  out->makespan = makespan < PP_NS_NEVER ? (pp_ns)makespan : PP_NS_NEVER - 1;
}

/* planning->made becomes the scenario of planning->plans. */
static pp_status make(pp_planning *planning, int64_t iterations) {
  size_t bytes = (size_t)planning->inputs->config->group_count * sizeof *planning->plans;
  pp_status status = NULL;
  if (planning->made != NULL && planning->made_iterations == iterations) {
    status = pp_scenario_change(&planning->priced, planning->made_plans, planning->plans, iterations, planning->made);
  } else {
    pp_scenario_destroy(planning->made);
    planning->made = NULL;
    status = pp_scenario_build(&planning->priced, planning->plans, iterations, &planning->made);
  }
  if (status != NULL) {
    pp_scenario_destroy(planning->made);
    planning->made = NULL;
    return status;
  }
  planning->made_iterations = iterations;
  memcpy(planning->made_plans, planning->plans, bytes);
  return NULL;
}

pp_status pp_predict(pp_planning *planning, int64_t iterations, pp_outlook *out) {
  pp_timeline *timeline = NULL;
  pp_round_times round;
  *out = (pp_outlook){.makespan = PP_NS_NEVER};
  pp_status status = make(planning, iterations);
  if (pp_error_code(status) == PP_CODE_INPUT) {
    pp_planning_refuse(planning, status);
    return NULL;
  }
  PP_TRY(status);
  PP_TRY_GOTO(status, pp_timeline_create(planning->made, false, &timeline), done);
  timeline->times_only = true;
  PP_TRY_GOTO(status, pp_timeline_next_round(timeline, &round), done);
  extrapolate(planning, timeline, round.end_ns, out);
done:
  pp_timeline_destroy(timeline);
  return status;
}

bool pp_outlook_is_better(const pp_outlook *a, const pp_outlook *b) {
  if (a->makespan != b->makespan)
    return a->makespan < b->makespan;
  return a->finish_sum < b->finish_sum;
}
