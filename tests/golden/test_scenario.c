/* From experiments to scenarios: rounds, ragged mini-batches, plans, bounds, and what is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "example.h"
#include "suite.h"
#include "timeline/scenario.h"

static outcome o;
static char text[4096];

static pp_experiment *must_load(const char *contents) {
  char path[] = "/tmp/pipar_scenario_XXXXXX";
  int file = mkstemp(path);
  ck_assert_int_ge(file, 0);
  FILE *stream = fdopen(file, "w");
  fputs(contents, stream);
  fclose(stream);
  pp_experiment *experiment = NULL;
  pp_status status = pp_experiment_load(path, NULL, 0, &experiment);
  remove(path);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return experiment;
}

static pp_model *vgg5(void) {
  pp_model *model = NULL;
  pp_status status = pp_model_create("vgg5", (pp_shape){1, 28, 28}, 10, &model);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return model;
}

static pp_scenario *must_create(const pp_config *config, const pp_model *model) {
  pp_scenario *scenario = NULL;
  pp_status status = pp_scenario_create(config, model, &scenario);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return scenario;
}

static int64_t makespan_of(const pp_scenario *scenario) {
  pp_timeline *timeline = NULL;
  pp_timeline_totals totals;
  ck_assert_ptr_null(pp_timeline_create(scenario, false, &timeline));
  for (int64_t round = 0; round < scenario->rounds; round++) {
    pp_round_times times;
    ck_assert_ptr_null(pp_timeline_next_round(timeline, &times));
  }
  ck_assert_ptr_null(pp_timeline_finish(timeline, &totals));
  int64_t makespan = totals.makespan_ns;
  pp_timeline_destroy(timeline);
  return makespan;
}

static const char *experiment(const char *method, const char *rest) {
  snprintf(text, sizeof text,
           "method: %s\ncompute: none\nmodel: vgg5\ndataset: {name: fashion-mnist, train_samples: 1030}\n%s", method,
           rest);
  return text;
}

static const char two_groups[] = "devices:\n"
                                 "  - {count: 2, device: raspberry-pi-4b, network: code-10-25}\n"
                                 "  - {count: 1, device: raspberry-pi-4b, network: code-50-50, samples: 250}\n";

START_TEST(devices_of_a_group_with_equal_shares_are_one_class) {
  snprintf(text + 2048, 2048, "pipeline: {split: 1, micro_batches: 30}\ntraining: {epochs: 2}\n%s", two_groups);
  char rest[2048];
  strcpy(rest, text + 2048);
  pp_experiment *e = must_load(experiment("pipar", rest));
  pp_model *model = vgg5();
  pp_scenario *scenario = must_create(pp_experiment_run(e, 0), model);
  /* 780 left for two: 390 each; 250 for the third. */
  ck_assert_int_eq(scenario->class_count, 2);
  const pp_device_class *first = &scenario->classes[0], *second = &scenario->classes[1];
  ck_assert_int_eq(first->samples, 390);
  ck_assert_int_eq(first->iterations_per_epoch, 4);
  ck_assert_int_eq(first->iterations, 8);
  ck_assert_int_eq(first->full->batch, 100);
  ck_assert_int_eq(first->ragged->batch, 90);
  ck_assert_int_eq(second->iterations_per_epoch, 3);
  ck_assert_int_eq(second->ragged->batch, 50);
  ck_assert_int_eq(scenario->rounds, 2);
  ck_assert_ptr_eq(pp_scenario_schedule(scenario, 0, 2), first->full);
  ck_assert_ptr_eq(pp_scenario_schedule(scenario, 0, 3), first->ragged);
  ck_assert_ptr_eq(pp_scenario_schedule(scenario, 1, 7), first->ragged);
  ck_assert_ptr_eq(pp_scenario_schedule(scenario, 2, 5), second->ragged);
  pp_scenario_destroy(scenario);
  pp_model_destroy(model);
  pp_experiment_destroy(e);
}
END_TEST

START_TEST(fewer_samples_than_a_mini_batch_make_one_small_mini_batch) {
  pp_experiment *e = must_load("method: pipar\ncompute: none\ndataset: {train_samples: 7}\n"
                               "pipeline: {split: 1, micro_batches: 30}\n"
                               "devices: [{count: 2, device: raspberry-pi-4b, network: code-10-25}]\n");
  pp_model *model = vgg5();
  pp_scenario *scenario = must_create(pp_experiment_run(e, 0), model);
  ck_assert_int_eq(scenario->class_count, 2); /* 4 and 3 */
  ck_assert_int_eq(scenario->classes[0].full->batch, 4);
  ck_assert_int_eq(scenario->classes[0].full->micro_batches, 4);
  ck_assert_ptr_eq(scenario->classes[0].ragged, scenario->classes[0].full);
  ck_assert_int_eq(scenario->classes[1].full->batch, 3);
  ck_assert_int_eq(scenario->classes[0].iterations, 1);
  pp_scenario_destroy(scenario);
  pp_model_destroy(model);
  pp_experiment_destroy(e);
}
END_TEST

START_TEST(rounds_count_iterations_over_the_run_and_the_last_may_be_short) {
  static example e;
  example_init(&e, PP_METHOD_PIPAR, 1, 2);
  e.groups[0].cost.table.iterations = 4;
  e.config.training.epochs = 2;
  e.config.training.aggregate_every = 3;
  example_finish(&e);
  outcome_run(&o, &e.config);
  ck_assert_int_eq(o.round_count, 3);
  ck_assert_int_eq(o.rounds[0].iterations, 3);
  ck_assert_int_eq(o.rounds[1].iterations, 3);
  ck_assert_int_eq(o.rounds[2].iterations, 2);
  ck_assert_int_eq(outcome_find(&o, PP_STAGE_FORWARD, 0, 2, 0)->round, 0);
  ck_assert_int_eq(outcome_find(&o, PP_STAGE_FORWARD, 0, 3, 0)->round, 1);
  ck_assert_int_eq(outcome_find(&o, PP_STAGE_FORWARD, 0, 7, 1)->round, 2);
  /* 8.7 an iteration, 0.4 for the model's way there and back, and that is all that is between them. */
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(8 * 8.7 + 3 * 0.4));
  double idle = 0;
  for (int round = 0; round < 3; round++)
    idle += o.rounds[round].device_idle_s;
  ck_assert(fabs(idle - (double)o.totals.devices[0].idle_ns / 1e9) < 1e-9); /* sums of a few doubles near 10 */
  outcome_fini(&o);
}
END_TEST

START_TEST(ties_go_to_the_lower_device_and_the_lowest_slot) {
  static example e;
  example_init(&e, PP_METHOD_PIPAR, 3, 1);
  e.config.server.slots = 2;
  example_finish(&e);
  outcome_run(&o, &e.config);
  ck_assert_int_eq(outcome_find(&o, PP_STAGE_SERVER_FORWARD, 0, 0, 0)->slot, 0);
  ck_assert_int_eq(outcome_find(&o, PP_STAGE_SERVER_FORWARD, 1, 0, 0)->slot, 1);
  const pp_stage_record *third = outcome_find(&o, PP_STAGE_SERVER_FORWARD, 2, 0, 0);
  ck_assert_int_eq(third->slot, 0);
  ck_assert_int_eq(third->start_ns, example_ns(2.1 + 1.75));
  outcome_fini(&o);
}
END_TEST

START_TEST(example_h_a_late_update_holds_the_aggregate_up) {
  static example e;
  example_init(&e, PP_METHOD_PIPAR, 1, 2);
  e.groups[0].cost.table.server_update_ns = example_ns(5);
  e.config.server.slots = 2;
  example_finish(&e);
  outcome_run(&o, &e.config);
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 10.1, 10.15);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(10.3));
  expect_times(
      &o.totals.devices[0], 6.5, 3.8,
      (seconds_by_cause){.server_compute = 1.5, .download = 0.55, .latency = 0.4, .upload = 0.1, .aggregation = 1.25});
  expect_times(&o.totals.slots[0], 8.05, 2.25,
               (seconds_by_cause){.device_compute = 1, .upload = 1, .latency = 0.1, .drain = 0.15});
  expect_times(&o.totals.slots[1], 0, 10.3, (seconds_by_cause){.drain = 10.3});
  outcome_fini(&o);
}
END_TEST

/* No link may carry more than one transfer at a time and no unit compute two stages, so the sum of the stages on any
 * resource is a bound, and so is a device's own chain. */
START_TEST(no_run_is_shorter_than_its_busiest_resource) {
  for (int split = 1; split <= 5; split++)
    for (int micro_batches = 1; micro_batches <= 64; micro_batches *= 4) {
      char rest[1024];
      snprintf(rest, sizeof rest, "pipeline: {split: %d, micro_batches: %d}\n%s", split, micro_batches, two_groups);
      pp_experiment *e = must_load(experiment("pipar", rest));
      pp_model *model = vgg5();
      pp_scenario *scenario = must_create(pp_experiment_run(e, 0), model);
      int64_t makespan = makespan_of(scenario), server = 0;
      for (int device = 0; device < scenario->device_count; device++) {
        int64_t compute = 0, bits_up = 0;
        for (int64_t iteration = 0; iteration < scenario->classes[scenario->class_of[device]].iterations; iteration++) {
          const pp_schedule *schedule = pp_scenario_schedule(scenario, device, iteration);
          bool server_updates = false;
          for (int op = 0; op < schedule->op_count; op++) {
            pp_resource resource = pp_stage_resource(schedule->ops[op].stage);
            compute += resource == PP_RESOURCE_DEVICE ? schedule->ops[op].cost : 0;
            server += resource == PP_RESOURCE_SERVER ? schedule->ops[op].cost : 0;
            bits_up += resource == PP_RESOURCE_UPLINK ? 8 * schedule->ops[op].cost : 0;
            server_updates = server_updates || schedule->ops[op].stage == PP_STAGE_SERVER_UPDATE;
          }
          ck_assert_int_eq(server_updates, split < 5);
        }
        ck_assert_int_gt(makespan, compute);
        double rate = (double)scenario->classes[scenario->class_of[device]].network->up.steps[0].rate_bps;
        ck_assert((double)makespan > (double)bits_up / rate * 1e9);
      }
      ck_assert_int_gt(makespan, server);
      pp_scenario_destroy(scenario);
      pp_model_destroy(model);
      pp_experiment_destroy(e);
    }
}
END_TEST

/* The planner against running every split and every number of micro-batches. */
START_TEST(the_plan_of_one_group_is_the_best_of_all) {
  static const char *const networks[] = {"code-10-25", "code-50-50"};
  pp_model *model = vgg5();
  for (int network = 0; network < 2; network++) {
    char rest[1024];
    snprintf(rest, sizeof rest,
             "training: {batch_size: 24}\ndevices: [{count: 3, device: raspberry-pi-4b, network: %s}]\n",
             networks[network]);
    pp_experiment *e = must_load(experiment("pipar", rest));
    pp_scenario *planned = must_create(pp_experiment_run(e, 0), model);
    int64_t best = INT64_MAX, chosen = makespan_of(planned);
    for (int split = 1; split <= 5; split++)
      for (int micro_batches = 1; micro_batches <= 24; micro_batches++) {
        pp_config config = *pp_experiment_run(e, 0);
        pp_device_group group = config.groups[0];
        group.pipeline.split = split;
        group.pipeline.micro_batches = micro_batches;
        config.groups = &group;
        pp_scenario *candidate = NULL;
        pp_status status = pp_scenario_create(&config, model, &candidate);
        if (status != NULL) {
          pp_error_free(status);
          continue;
        }
        int64_t makespan = makespan_of(candidate);
        best = makespan < best ? makespan : best;
        pp_scenario_destroy(candidate);
      }
    ck_assert_int_eq(chosen, best);
    int64_t rows_chosen = 0;
    for (int64_t row = 0; row < planned->plan_count; row++)
      if (planned->plan[row].chosen) {
        rows_chosen++;
        ck_assert_int_eq(planned->plan[row].split, planned->classes[0].split);
        ck_assert_int_eq(planned->plan[row].micro_batches, planned->classes[0].micro_batches);
        ck_assert(planned->plan[row].makespan_s == (double)chosen / 1e9); /* one round */
      }
    ck_assert_int_eq(rows_chosen, 1);
    pp_scenario_destroy(planned);
    pp_experiment_destroy(e);
  }
  pp_model_destroy(model);
}
END_TEST

START_TEST(plans_of_two_groups_are_the_same_every_time) {
  pp_model *model = vgg5();
  pp_experiment *e = must_load(experiment("pipar", two_groups));
  pp_scenario *first = must_create(pp_experiment_run(e, 0), model),
              *second = must_create(pp_experiment_run(e, 0), model);
  ck_assert_int_gt(first->plan_count, 0);
  ck_assert_int_eq(first->plan_count, second->plan_count);
  for (int64_t row = 0; row < first->plan_count; row++) {
    ck_assert_int_eq(first->plan[row].split, second->plan[row].split);
    ck_assert_int_eq(first->plan[row].chosen, second->plan[row].chosen);
    ck_assert(first->plan[row].makespan_s == second->plan[row].makespan_s ||
              (isnan(first->plan[row].makespan_s) && isnan(second->plan[row].makespan_s)));
  }
  pp_scenario_destroy(first);
  pp_scenario_destroy(second);
  pp_experiment_destroy(e);
  e = must_load(experiment("fl", two_groups)); /* nothing to plan */
  first = must_create(pp_experiment_run(e, 0), model);
  ck_assert_int_eq(first->plan_count, 0);
  ck_assert_int_eq(first->classes[0].split, 5);
  ck_assert_int_eq(first->classes[0].micro_batches, 1);
  pp_scenario_destroy(first);
  pp_experiment_destroy(e);
  pp_model_destroy(model);
}
END_TEST

static void expect_refused(const pp_config *config, const pp_model *model, pp_code code, const char *says) {
  pp_scenario *scenario = NULL;
  pp_status status = pp_scenario_create(config, model, &scenario);
  ck_assert_int_eq(pp_error_code(status), code);
  ck_assert_msg(strstr(pp_error_message(status), says) != NULL, "\"%s\" does not say \"%s\"", pp_error_message(status),
                says);
  pp_error_free(status);
}

START_TEST(what_makes_no_scenario_is_refused) {
  pp_model *model = vgg5();
  pp_experiment *e = must_load(experiment("pipar", two_groups));
  pp_config config = *pp_experiment_run(e, 0);
  pp_device_group groups[2] = {config.groups[0], config.groups[1]};
  config.groups = groups;
  groups[0].pipeline.split = groups[1].pipeline.split = 1;
  groups[0].pipeline.micro_batches = groups[1].pipeline.micro_batches = 2;
  pp_scenario_destroy(must_create(&config, model));
  expect_refused(&config, NULL, PP_CODE_INPUT, "needs a network");
  groups[1].pipeline.split = 6;
  expect_refused(&config, model, PP_CODE_INPUT, "devices.1: pipeline.split is 6");
  groups[1].pipeline.split = 1;
  groups[1].pipeline.micro_batches = 101;
  expect_refused(&config, model, PP_CODE_INPUT, "pipeline.micro_batches is 101");
  groups[1].pipeline.micro_batches = 2;
  config.training.aggregate_every = 2;
  expect_refused(&config, model, PP_CODE_INPUT, "the same iterations an epoch");
  config.training.aggregate_every = 0;
  groups[1].samples = 2000;
  expect_refused(&config, model, PP_CODE_INPUT, "devices.1.samples");
  groups[1].samples = 250;
  groups[0].cost.kind = PP_COST_MEASURED;
  expect_refused(&config, model, PP_CODE_INPUT, "measured");
  groups[0].cost.kind = PP_COST_ROOFLINE;
  groups[0].network.up.steps = &(pp_rate_step){0, 0};
  expect_refused(&config, model, PP_CODE_INPUT, "devices.0");
  pp_experiment_destroy(e);
  pp_model_destroy(model);
}
END_TEST

START_TEST(tables_that_cannot_be_planned_or_differ_are_refused) {
  static example e;
  example_init(&e, PP_METHOD_PIPAR, 2, PP_AUTO);
  example_finish(&e);
  expect_refused(&e.config, NULL, PP_CODE_INPUT, "micro_batches: auto");
  example_init(&e, PP_METHOD_PIPAR, 2, 2);
  e.groups[1].cost.table.iterations = 5;
  example_finish(&e);
  expect_refused(&e.config, NULL, PP_CODE_INPUT, "cost.iterations");
  example_init(&e, PP_METHOD_PIPAR, 2, 2);
  e.groups[1].cost.table.aggregate_ns++;
  example_finish(&e);
  expect_refused(&e.config, NULL, PP_CODE_INPUT, "cost.server.aggregate_s");
  example_init(&e, PP_METHOD_PIPAR, 2, 2);
  e.groups[1].cost.table.server_forward_ns = 0;
  example_finish(&e);
  expect_refused(&e.config, NULL, PP_CODE_INPUT, "devices.1: cost.server.forward_s");
}
END_TEST

START_TEST(time_beyond_292_years_is_an_error) {
  static example e;
  example_init(&e, PP_METHOD_PIPAR, 1, 4);
  e.groups[0].cost.table.server_forward_ns = INT64_C(3000000000000000000);
  example_finish(&e);
  pp_scenario *scenario = must_create(&e.config, NULL);
  pp_timeline *timeline = NULL;
  ck_assert_ptr_null(pp_timeline_create(scenario, false, &timeline));
  pp_round_times times;
  pp_status status = pp_timeline_next_round(timeline, &times);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_RUN);
  ck_assert_ptr_nonnull(strstr(pp_error_message(status), "292 years"));
  pp_error_free(status);
  pp_timeline_destroy(timeline);
  pp_scenario_destroy(scenario);
}
END_TEST

/* A network that is made up: a batch norm over a map of 1x1, and a linear layer. */
START_TEST(a_batch_norm_that_would_see_one_value_is_refused_by_block) {
  static const pp_layer_info norm[] = {{PP_LAYER_ELEMENTWISE, "bn", 0, 8, 8, 16}};
  static const pp_layer_info linear[] = {{PP_LAYER_LINEAR, "linear", 80, 8, 10, 90}};
  static const pp_block_info block0 = {"norm", {8, 1, 1}, {8, 1, 1}, 16, 16, 1, norm};
  static const pp_block_info block1 = {"linear", {8, 1, 1}, {10, 1, 1}, 90, 0, 1, linear};
  const pp_block_info *blocks[] = {&block0, &block1};
  pp_experiment *e =
      must_load(experiment("pipar", "training: {batch_size: 4}\ndevices: [{count: 1, samples: 12, device: "
                                    "raspberry-pi-4b, network: code-10-25}]\n"));
  int32_t class_of = 0;
  pp_device_class class = {.samples = 12,
                           .iterations_per_epoch = 3,
                           .iterations_per_round = 3,
                           .iterations = 3,
                           .network = &pp_experiment_run(e, 0)->groups[0].network};
  pp_scenario_inputs inputs = {.config = pp_experiment_run(e, 0),
                               .block_count = 2,
                               .blocks = blocks,
                               .classes_of_data = 10,
                               .device_count = 1,
                               .class_count = 1,
                               .classes = &class,
                               .class_of = &class_of,
                               .rounds = 1};
  for (int split = 1; split <= 2; split++)
    for (int micro_batches = 1; micro_batches <= 4; micro_batches++) {
      pp_scenario *scenario = NULL;
      pp_status status = pp_scenario_build(&inputs, &(pp_group_plan){split, micro_batches}, 0, &scenario);
      ck_assert_int_eq(pp_error_code(status), micro_batches <= 2 ? PP_CODE_OK : PP_CODE_INPUT);
      if (status != NULL)
        ck_assert_ptr_nonnull(strstr(pp_error_message(status), "block 0 (norm)"));
      pp_error_free(status);
      pp_scenario_destroy(scenario);
    }
  /* The planner keeps to what is left. */
  pp_group_plan plan = {PP_AUTO, PP_AUTO};
  pp_plan_row *rows = NULL;
  int64_t count = 0;
  ck_assert_ptr_null(pp_planner_resolve(&inputs, &plan, &rows, &count));
  ck_assert_int_ge(plan.split, 1);
  ck_assert_int_le(plan.micro_batches, 2);
  free(rows);
  pp_experiment_destroy(e);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("scenario");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, devices_of_a_group_with_equal_shares_are_one_class);
  tcase_add_test(tests, fewer_samples_than_a_mini_batch_make_one_small_mini_batch);
  tcase_add_test(tests, rounds_count_iterations_over_the_run_and_the_last_may_be_short);
  tcase_add_test(tests, ties_go_to_the_lower_device_and_the_lowest_slot);
  tcase_add_test(tests, example_h_a_late_update_holds_the_aggregate_up);
  tcase_add_test(tests, no_run_is_shorter_than_its_busiest_resource);
  tcase_add_test(tests, the_plan_of_one_group_is_the_best_of_all);
  tcase_add_test(tests, plans_of_two_groups_are_the_same_every_time);
  tcase_add_test(tests, what_makes_no_scenario_is_refused);
  tcase_add_test(tests, tables_that_cannot_be_planned_or_differ_are_refused);
  tcase_add_test(tests, time_beyond_292_years_is_an_error);
  tcase_add_test(tests, a_batch_norm_that_would_see_one_value_is_refused_by_block);
  return run_case("scenario", tests);
}
