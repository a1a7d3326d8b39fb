#include "files.h"

START_TEST(the_least_experiment_gets_the_documented_defaults) {
  pp_experiment *experiment = must_load(LEAST);
  ck_assert_int_eq(pp_experiment_run_count(experiment), 1);
  ck_assert_str_eq(pp_experiment_name(experiment), "exp");
  ck_assert_str_eq(pp_experiment_text(experiment), LEAST);
  const pp_config *run = pp_experiment_run(experiment, 0);
  ck_assert_str_eq(run->name, "exp");
  ck_assert_uint_eq(run->seed, 1994);
  ck_assert_int_eq(run->clock, PP_CLOCK_VIRTUAL);
  ck_assert_int_eq(run->compute, PP_COMPUTE_REAL);
  ck_assert_int_eq(run->method, PP_METHOD_PIPAR);
  ck_assert_str_eq(run->model, "vgg5");
  ck_assert_str_eq(run->dataset.name, "fashion-mnist");
  ck_assert_str_eq(run->dataset.path, "auto");
  ck_assert_int_eq(run->dataset.train_samples, 10000);
  ck_assert_int_eq(run->dataset.test_samples, 10000);
  ck_assert_int_eq(run->dataset.partition, PP_PARTITION_IID);
  ck_assert(run->dataset.alpha == 0.5);
  ck_assert(run->dataset.shuffle && !run->dataset.augment);
  ck_assert_int_eq(run->dataset.normalize_channels, 0);
  ck_assert_int_eq(run->dataset.shape[0], 3);
  ck_assert_int_eq(run->dataset.shape[1], 32);
  ck_assert_int_eq(run->dataset.shape[2], 32);
  ck_assert_int_eq(run->dataset.classes, 10);
  ck_assert_int_eq(run->training.epochs, 1);
  ck_assert_int_eq(run->training.batch_size, 100);
  ck_assert(run->training.learning_rate == 0.01 && run->training.momentum == 0.9 && run->training.weight_decay == 0);
  ck_assert_int_eq(run->training.aggregate_every, 0);
  ck_assert_int_eq(run->pipeline.split, PP_AUTO);
  ck_assert_int_eq(run->pipeline.micro_batches, PP_AUTO);
  ck_assert_int_eq(run->pipeline.in_flight, 0);
  ck_assert_int_eq(run->pipeline.planner, PP_PLANNER_SEARCH);
  ck_assert_int_eq(run->cost.kind, PP_COST_ROOFLINE);
  ck_assert_str_eq(run->server.device.name, "server-cpu");
  ck_assert_int_eq(run->server.slots, 1);
  ck_assert_int_eq(run->server.policy, PP_POLICY_FIFO);
  ck_assert(run->record_stages && !run->record_model);
  ck_assert_int_eq(run->checkpoint_every_rounds, 0);
  ck_assert_int_eq(run->group_count, 1);
  ck_assert_int_eq(run->groups[0].count, 1);
  ck_assert_int_eq(run->groups[0].samples, -1);
  ck_assert_str_eq(run->groups[0].device.name, "raspberry-pi-4b");
  ck_assert_str_eq(run->groups[0].network.name, "code-10-25");
  pp_experiment_destroy(experiment);
}
END_TEST

int main(void) {
  const TTest *const tests[] = {the_least_experiment_gets_the_documented_defaults};
  return RUN_SUITE("config load", tests);
}
