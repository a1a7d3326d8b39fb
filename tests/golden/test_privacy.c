/* What clipping and noise do to emulated time, by hand (docs/cost.md, docs/timing-model.md). */
#include <stdlib.h>
#include <string.h>

#include "example.h"
#include "suite.h"

static example e;
static outcome o;

static void protect_updates(void) {
  e.config.privacy =
      (pp_privacy_config){.mechanism = PP_PRIVACY_DP_FEDAVG, .clip = 1, .noise_multiplier = 1, .delta = 1e-5};
  for (int group = 0; group < e.config.group_count; group++)
    e.groups[group].cost.table.privacy_ns = example_ns(0.3);
}

/* Example A of docs/timing-model.md: update 8.2-8.7 becomes 8.2-9.0, and all that follows is 0.3 later. */
START_TEST(a_rounds_last_update_takes_longer) {
  example_init(&e, PP_METHOD_PIPAR, 1, 2);
  protect_updates();
  example_finish(&e);
  outcome_run(&o, &e.config);
  expect_stage(&o, PP_STAGE_DEVICE_UPDATE, 0, 0, -1, 8.2, 9.0);
  expect_stage(&o, PP_STAGE_MODEL_UPLOAD, 0, -1, -1, 9.0, 9.1);
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 9.2, 9.25);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(9.4));
  expect_busy_idle(&o.totals.devices[0], 6.8, 2.6);
  outcome_fini(&o);
}
END_TEST

/* fl, forward 1, backward 2, update 0.5, and 0.3 at the end of the rounds of iterations 0-1 and 2. Model 0.1 up, 0.05
 * down, latency 0.1, aggregate 0.05: 7.3, model there at 7.5, average 7.55, back at 7.7; then 3.8 to 11.5. */
START_TEST(other_updates_do_not) {
  example_init(&e, PP_METHOD_FL, 1, 1);
  protect_updates();
  e.config.training.aggregate_every = 2;
  e.groups[0].cost.table.iterations = 3;
  example_finish(&e);
  outcome_run(&o, &e.config);
  ck_assert_int_eq(o.round_count, 2);
  expect_stage(&o, PP_STAGE_DEVICE_UPDATE, 0, 0, -1, 3, 3.5);
  expect_stage(&o, PP_STAGE_DEVICE_UPDATE, 0, 1, -1, 6.5, 7.3);
  expect_stage(&o, PP_STAGE_DEVICE_UPDATE, 0, 2, -1, 10.7, 11.5);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(11.9));
  expect_busy_idle(&o.totals.devices[0], 11.1, 0.8);
  outcome_fini(&o);
}
END_TEST

/* The device computes linear layers at 1 GFLOP/s, so an operation takes 1 ns and noise outweighs memory (10 GB/s). The
 * server has 10 GFLOP/s and 1 GB/s, so 20 bytes take 20 ns, more than 89 operations. 5 microseconds overhead on the
 * device. */
static void init_roofline(pp_method method, pp_mechanism mechanism, pp_noise noise) {
  example_init(&e, method, 1, 1);
  e.config.training.batch_size = 3;
  e.config.compute = PP_COMPUTE_NONE;
  strcpy(e.config.dataset.name, "synthetic");
  e.config.dataset.train_samples = 6;
  e.config.server.device = (pp_device_config){
      .dense_conv_gflops = 10, .pointwise_gflops = 10, .depthwise_gflops = 10, .linear_gflops = 10, .memory_gbs = 1};
  e.groups[0].device = (pp_device_config){.dense_conv_gflops = 1,
                                          .pointwise_gflops = 1,
                                          .depthwise_gflops = 1,
                                          .linear_gflops = 1,
                                          .memory_gbs = 10,
                                          .overhead_us = 5};
  e.groups[0].cost = (pp_cost_config){.kind = PP_COST_ROOFLINE};
  e.config.privacy = (pp_privacy_config){
      .mechanism = mechanism, .noise = noise, .clip = 1, .noise_multiplier = 1, .delta = 1e-5, .epsilon = 1};
  example_finish(&e);
}

static pp_model *vgg5(void) {
  pp_model *model = NULL;
  ck_assert_ptr_null(pp_model_create("vgg5", (pp_shape){1, 28, 28}, 10, &model));
  return model;
}

static pp_scenario *scenario_of(const pp_model *model) {
  pp_scenario *scenario = NULL;
  pp_status status = pp_scenario_create(&e.config, model, &scenario);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return scenario;
}

static int64_t cost_of(const pp_schedule *schedule, pp_stage stage) {
  for (int op = 0; op < schedule->op_count; op++)
    if (schedule->ops[op].stage == stage)
      return schedule->ops[op].cost;
  ck_abort_msg("no %s", pp_stage_name(stage));
  return 0;
}

/* C32 on one channel: 288 + 32 weights, 64 of batch norm, 64 running statistics: 448 elements of 7 + 82 operations.
 * The server has what is left of the network, 20 ns each. Two mini-batches an epoch, so the second ends the round. */
START_TEST(protected_updates_cost_operations_on_the_device_and_memory_on_the_server) {
  pp_model *model = vgg5();
  init_roofline(PP_METHOD_PIPAR, PP_PRIVACY_NONE, PP_NOISE_GAUSSIAN);
  pp_scenario *plain = scenario_of(model);
  ck_assert_ptr_null(plain->classes[0].closing_full);
  int64_t aggregate = plain->aggregate_ns, update = cost_of(plain->classes[0].full, PP_STAGE_DEVICE_UPDATE);
  pp_scenario_destroy(plain);
  init_roofline(PP_METHOD_PIPAR, PP_PRIVACY_DP_FEDAVG, PP_NOISE_GAUSSIAN);
  pp_scenario *noisy = scenario_of(model);
  ck_assert_int_eq(cost_of(pp_scenario_schedule(noisy, 0, 0), PP_STAGE_DEVICE_UPDATE), update);
  ck_assert_int_eq(cost_of(pp_scenario_schedule(noisy, 0, 1), PP_STAGE_DEVICE_UPDATE), update + 448 * 89);
  int64_t elements = pp_model_parameter_offset(model, 5) + pp_model_statistic_offset(model, 5);
  ck_assert_int_eq(noisy->aggregate_ns, aggregate + (elements - 448) * 20);
  pp_scenario_destroy(noisy);
  pp_model_destroy(model);
}
END_TEST

/* C32 max2 of 28 x 28 gives 32 x 14 x 14 = 6,272 elements, 3 samples. Backward: 1 operation, 1 ns, is more than 8
 * bytes. */
START_TEST(protected_activations_lengthen_forward_and_backward) {
  pp_model *model = vgg5();
  init_roofline(PP_METHOD_SFL, PP_PRIVACY_NONE, PP_NOISE_GAUSSIAN);
  pp_scenario *plain = scenario_of(model);
  int64_t forward = cost_of(plain->classes[0].full, PP_STAGE_FORWARD);
  int64_t backward = cost_of(plain->classes[0].full, PP_STAGE_BACKWARD), aggregate = plain->aggregate_ns;
  pp_scenario_destroy(plain);
  for (pp_noise noise = PP_NOISE_GAUSSIAN; noise <= PP_NOISE_LAPLACE; noise++) {
    init_roofline(PP_METHOD_SFL, PP_PRIVACY_ACTIVATION, noise);
    pp_scenario *noisy = scenario_of(model);
    const pp_schedule *schedule = noisy->classes[0].full;
    int64_t operations = noise == PP_NOISE_LAPLACE ? 4 + 66 : 4 + 82;
    ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD), forward + 3 * 6272 * operations + 5000);
    ck_assert_int_eq(cost_of(schedule, PP_STAGE_BACKWARD), backward + 3 * 6272 + 5000);
    ck_assert_ptr_null(noisy->classes[0].closing_full);
    ck_assert_int_eq(noisy->aggregate_ns, aggregate);
    pp_scenario_destroy(noisy);
  }
  pp_model_destroy(model);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("privacy");
  tcase_add_test(tests, a_rounds_last_update_takes_longer);
  tcase_add_test(tests, other_updates_do_not);
  tcase_add_test(tests, protected_updates_cost_operations_on_the_device_and_memory_on_the_server);
  tcase_add_test(tests, protected_activations_lengthen_forward_and_backward);
  return run_case("privacy in time", tests);
}
