/* Planning again at the ends of rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan_case.h"
#include "suite.h"
#include "timeline/replan.h"

enum { MOST_ROUNDS = 16 };

typedef struct result {
  int64_t rounds, end_ns[MOST_ROUNDS], makespan_ns;
  int split[MOST_ROUNDS], micro_batches[MOST_ROUNDS]; /* of device 0, in force in that round */
  int64_t model_bytes[MOST_ROUNDS];                   /* that came back at its end */
  int planned;
} result;

/* more: lines of the experiment. */
static pp_experiment *load(const char *up_trace, const char *pipeline, const char *more) {
  char path[] = "/tmp/pipar_replan_XXXXXX";
  int file = mkstemp(path);
  ck_assert_int_ge(file, 0);
  FILE *stream = fdopen(file, "w");
  fprintf(stream,
          "method: pipar\ncompute: none\nmodel: vgg5\npipeline: %s\n%s"
          "dataset: {name: fashion-mnist, train_samples: 1000}\n"
          "training: {batch_size: 20, epochs: 10}\ndevices:\n"
          "  - {count: 2, device: raspberry-pi-4b, network: {up_trace: %s, down_mbps: 50, latency_ms: 5}}\n",
          pipeline, more, up_trace);
  fclose(stream);
  pp_experiment *experiment = NULL;
  pp_status status = pp_experiment_load(path, NULL, 0, &experiment);
  remove(path);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return experiment;
}

static result run_with(const char *up_trace, const char *pipeline, const char *more) {
  pp_experiment *experiment = load(up_trace, pipeline, more);
  const pp_config *config = pp_experiment_run(experiment, 0);
  pp_model *model = NULL;
  pp_scenario *scenario = NULL;
  pp_timeline *timeline = NULL;
  pp_replan *replan = NULL;
  pp_timeline_totals totals;
  result r = {0};
  plan_case_must(pp_model_create("vgg5", (pp_shape){1, 28, 28}, 10, &model));
  plan_case_must(pp_scenario_create(config, model, &scenario));
  plan_case_must(pp_timeline_create(scenario, true, &timeline));
  if (config->pipeline.replan > 0) {
    plan_case_must(pp_replan_create(scenario, &replan));
    pp_timeline_replan_by(timeline, pp_replan_replanner(replan));
  }
  for (; r.rounds < scenario->rounds; r.rounds++) {
    const pp_scenario *now = replan != NULL ? pp_replan_scenario(replan) : scenario;
    pp_round_times times;
    r.split[r.rounds] = now->classes[0].split;
    r.micro_batches[r.rounds] = now->classes[0].micro_batches;
    plan_case_must(pp_timeline_next_round(timeline, &times));
    r.end_ns[r.rounds] = times.end_ns;
    for (int64_t row = 0; row < times.record_count; row++)
      if (times.records[row].stage == PP_STAGE_MODEL_DOWNLOAD)
        r.model_bytes[r.rounds] = times.records[row].bytes;
    int64_t count = 0;
    const pp_plan_row *rows = replan != NULL ? pp_replan_take_rows(replan, &count) : NULL;
    for (int64_t row = 0; row < count; row++)
      ck_assert_int_eq(rows[row].round, r.rounds + 1);
    r.planned += count > 0;
  }
  plan_case_must(pp_timeline_finish(timeline, &totals));
  r.makespan_ns = totals.makespan_ns;
  for (int device = 0; device < scenario->device_count; device++)
    ck_assert_int_eq(totals.devices[device].busy_ns + totals.devices[device].idle_ns, totals.makespan_ns);
  pp_timeline_destroy(timeline);
  pp_replan_destroy(replan);
  pp_scenario_destroy(scenario);
  pp_model_destroy(model);
  pp_experiment_destroy(experiment);
  return r;
}

static result run(const char *up_trace, const char *pipeline) { return run_with(up_trace, pipeline, ""); }

START_TEST(links_that_stay_leave_the_plan) {
  result fixed = run("[[0, 20]]", "{replan: 0}");
  result again = run("[[0, 20]]", "{replan: 1}");
  ck_assert_int_eq(again.rounds, 10);
  ck_assert_int_eq(again.planned, 9); /* not after the last round */
  ck_assert_int_eq(again.makespan_ns, fixed.makespan_ns);
  ck_assert_int_eq(run("[[0, 20]]", "{replan: 4}").planned, 2);
  ck_assert_int_eq(run("[[0, 20]]", "{replan: 100}").planned, 0);
}
END_TEST

static const char falling[] = "[[0, 100], [3, 1]]";

START_TEST(a_falling_link_moves_blocks_and_their_models) {
  result again = run(falling, "{replan: 1}");
  char given[64];
  snprintf(given, sizeof given, "{split: %d, micro_batches: %d}", again.split[0], again.micro_batches[0]);
  result fixed = run(falling, given);
  ck_assert_int_ne(again.split[0], again.split[9]);
  ck_assert_int_lt(again.makespan_ns, fixed.makespan_ns);
  pp_model *model = NULL;
  plan_case_must(pp_model_create("vgg5", (pp_shape){1, 28, 28}, 10, &model));
  for (int64_t round = 0; round < again.rounds; round++) {
    int split = again.split[round + 1 < again.rounds ? round + 1 : round]; /* of the round that the model is for */
    int64_t bytes = 4 * (pp_model_parameter_offset(model, split) + pp_model_statistic_offset(model, split));
    ck_assert_int_eq(again.model_bytes[round], bytes);
  }
  pp_model_destroy(model);
}
END_TEST

START_TEST(the_future_is_not_known) {
  result falls = run("[[0, 100], [4, 1]]", "{replan: 1}"), rises = run("[[0, 100], [4, 400]]", "{replan: 1}");
  int alike = 0;
  for (int64_t round = 0; round < falls.rounds && falls.end_ns[round] < 4000000000; round++, alike++) {
    ck_assert_int_eq(falls.end_ns[round], rises.end_ns[round]);
    ck_assert_int_eq(falls.split[round + 1], rises.split[round + 1]);
    ck_assert_int_eq(falls.micro_batches[round + 1], rises.micro_batches[round + 1]);
  }
  ck_assert_int_ge(alike, 2);
  ck_assert_int_ne(falls.split[9], rises.split[9]);
  /* Nor is it when the first plan is made. */
  ck_assert_int_eq(run("[[0, 100], [0.001, 1]]", "{replan: 1}").split[0], falls.split[0]);
}
END_TEST

#define SERVER_LINK(up_trace) "server: {link: {up_trace: " up_trace ", down_mbps: 100}}\n"

/* Devices' own links stay at 100 Mbit/s; what the server's leaves them is what they are seen to have. */
START_TEST(a_falling_link_of_the_server_moves_blocks) {
  result again = run_with("[[0, 100]]", "{replan: 1}", SERVER_LINK("[[0, 200], [3, 2]]"));
  char given[64];
  snprintf(given, sizeof given, "{split: %d, micro_batches: %d}", again.split[0], again.micro_batches[0]);
  result fixed = run_with("[[0, 100]]", given, SERVER_LINK("[[0, 200], [3, 2]]"));
  ck_assert_int_eq(again.planned, 9);
  ck_assert_int_ne(again.split[0], again.split[9]);
  ck_assert_int_lt(again.makespan_ns, fixed.makespan_ns);
  /* There a round begins with its models. */
  pp_model *model = NULL;
  plan_case_must(pp_model_create("vgg5", (pp_shape){1, 28, 28}, 10, &model));
  for (int64_t round = 1; round + 1 < again.rounds; round++) {
    int split = again.split[round];
    int64_t bytes = 4 * (pp_model_parameter_offset(model, split) + pp_model_statistic_offset(model, split));
    ck_assert_int_eq(again.model_bytes[round], bytes);
  }
  pp_model_destroy(model);
}
END_TEST

START_TEST(the_future_of_the_server_s_link_is_not_known) {
  result falls = run_with("[[0, 100]]", "{replan: 1}", SERVER_LINK("[[0, 200], [4, 2]]"));
  result rises = run_with("[[0, 100]]", "{replan: 1}", SERVER_LINK("[[0, 200], [4, 800]]"));
  int alike = 0;
  for (int64_t round = 0; round < falls.rounds && falls.end_ns[round] < 4000000000; round++, alike++) {
    ck_assert_int_eq(falls.end_ns[round], rises.end_ns[round]);
    ck_assert_int_eq(falls.split[round + 1], rises.split[round + 1]);
    ck_assert_int_eq(falls.micro_batches[round + 1], rises.micro_batches[round + 1]);
  }
  ck_assert_int_ge(alike, 2);
  ck_assert_int_ne(falls.split[9], rises.split[9]);
  ck_assert_int_eq(run_with("[[0, 100]]", "{replan: 1}", SERVER_LINK("[[0, 200], [0.001, 2]]")).split[0],
                   falls.split[0]);
}
END_TEST

START_TEST(the_wall_clock_and_groups_that_differ_are_refused) {
  pp_experiment *experiment = load(falling, "{replan: 1}", "");
  pp_config config = *pp_experiment_run(experiment, 0);
  pp_device_group group = config.groups[0];
  pp_model *model = NULL;
  plan_case_must(pp_model_create("vgg5", (pp_shape){1, 28, 28}, 10, &model));
  for (int which = 0; which < 2; which++) {
    pp_scenario *scenario = NULL;
    config.groups = &group;
    config.clock = which == 0 ? PP_CLOCK_WALL : PP_CLOCK_VIRTUAL;
    group.pipeline.replan = which == 0 ? 1 : 2;
    pp_status status = pp_scenario_create(&config, model, &scenario);
    ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
    ck_assert_ptr_nonnull(strstr(pp_error_message(status), which == 0 ? "clock: wall" : "one value for all groups"));
    pp_error_free(status);
  }
  pp_model_destroy(model);
  pp_experiment_destroy(experiment);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("replan");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, links_that_stay_leave_the_plan);
  tcase_add_test(tests, a_falling_link_moves_blocks_and_their_models);
  tcase_add_test(tests, the_future_is_not_known);
  tcase_add_test(tests, a_falling_link_of_the_server_moves_blocks);
  tcase_add_test(tests, the_future_of_the_server_s_link_is_not_known);
  tcase_add_test(tests, the_wall_clock_and_groups_that_differ_are_refused);
  return run_case("replan", tests);
}
