/* The worked examples of docs/timing-model.md, to the nanosecond: from structs and from experiment files. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "example.h"

static outcome o;

/* Runs what the struct says, or the file of that name that says the same. */
static pp_experiment *run_example(example *e, const char *file) {
  if (file == NULL) {
    example_finish(e);
    outcome_run(&o, &e->config);
    return NULL;
  }
  char path[512];
  snprintf(path, sizeof path, "%s/%s", PP_GOLDEN_DIR, file);
  pp_experiment *experiment = NULL;
  pp_status status = pp_experiment_load(path, NULL, 0, &experiment);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  outcome_run(&o, pp_experiment_run(experiment, 0));
  return experiment;
}

/* Loop index 0: the struct, 1: the file. */
static const char *source(int index, const char *file) { return index == 0 ? NULL : file; }

static void end_example(pp_experiment *experiment) {
  outcome_fini(&o);
  pp_experiment_destroy(experiment);
}

START_TEST(example_a_one_device_two_micro_batches) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 1, 2);
  pp_experiment *experiment = run_example(&e, source(_i, "example_a.yaml"));
  expect_stage(&o, PP_STAGE_FORWARD, 0, 0, 0, 0, 1);
  expect_stage(&o, PP_STAGE_FORWARD, 0, 0, 1, 1, 2);
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 0, 0, 1, 2);
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 0, 1, 2, 3);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 0, 0, 2.1, 2.6);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD, 0, 0, 0, 2.6, 3.6);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 0, 1, 3.6, 4.1);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD, 0, 0, 1, 4.1, 5.1);
  expect_stage(&o, PP_STAGE_SERVER_UPDATE, 0, 0, -1, 5.1, 5.35);
  expect_stage(&o, PP_STAGE_DOWNLOAD, 0, 0, 0, 3.6, 4.1);
  expect_stage(&o, PP_STAGE_DOWNLOAD, 0, 0, 1, 5.1, 5.6);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 0, 4.2, 6.2);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 1, 6.2, 8.2);
  expect_stage(&o, PP_STAGE_DEVICE_UPDATE, 0, 0, -1, 8.2, 8.7);
  expect_stage(&o, PP_STAGE_MODEL_UPLOAD, 0, -1, -1, 8.7, 8.8);
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 8.9, 8.95);
  expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, 0, -1, -1, 8.95, 9.0);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(9.1));
  ck_assert_int_eq(o.totals.stage_count, 6 * 2 + 2 + 3);
  expect_times(
      &o.totals.devices[0], 6.5, 2.6,
      (seconds_by_cause){.server_compute = 1.5, .download = 0.55, .latency = 0.4, .upload = 0.1, .aggregation = 0.05});
  expect_times(&o.totals.slots[0], 3.3, 5.8,
               (seconds_by_cause){.device_compute = 4.35, .upload = 1.1, .latency = 0.2, .drain = 0.15});
  ck_assert_int_eq(o.totals.devices[0].bytes_up, 2 * 1250000 + 125000);
  ck_assert_int_eq(o.totals.devices[0].bytes_down, 2 * 1250000 + 125000);
  ck_assert(o.rounds[0].device_idle_s == 2.6 && o.rounds[0].server_idle_s == 5.8);
  end_example(experiment);
}
END_TEST

START_TEST(example_b_two_devices_share_a_slot) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 2, 2);
  e.groups[1].cost.table.forward_ns = example_ns(1.2);
  pp_experiment *experiment = run_example(&e, source(_i, "example_b.yaml"));
  /* Uploads arrive 0.1 after their ends. */
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 0, 0, 1, 2);
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 0, 1, 2, 3);
  expect_stage(&o, PP_STAGE_UPLOAD, 1, 0, 0, 1.2, 2.2);
  expect_stage(&o, PP_STAGE_UPLOAD, 1, 0, 1, 2.4, 3.4);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 0, 0, 2.1, 2.6);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD, 0, 0, 0, 2.6, 3.6);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 1, 0, 0, 3.6, 4.1);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD, 1, 0, 0, 4.1, 5.1);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 0, 1, 5.1, 5.6);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD, 0, 0, 1, 5.6, 6.6);
  expect_stage(&o, PP_STAGE_SERVER_UPDATE, 0, 0, -1, 6.6, 6.85);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 1, 0, 1, 6.85, 7.35);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD, 1, 0, 1, 7.35, 8.35);
  expect_stage(&o, PP_STAGE_SERVER_UPDATE, 1, 0, -1, 8.35, 8.6);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 0, 4.2, 6.2);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 1, 7.2, 9.2);
  expect_stage(&o, PP_STAGE_BACKWARD, 1, 0, 0, 5.7, 7.7);
  expect_stage(&o, PP_STAGE_BACKWARD, 1, 0, 1, 8.95, 10.95);
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 11.65, 11.7);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(11.85));
  expect_times(
      &o.totals.devices[0], 6.5, 5.35,
      (seconds_by_cause){.server_compute = 1.9, .aggregation = 1.8, .download = 1.05, .latency = 0.5, .upload = 0.1});
  expect_times(&o.totals.devices[1], 6.9, 4.95,
               (seconds_by_cause){.server_compute = 2.15,
                                  .server_queue = 1.2,
                                  .download = 1.05,
                                  .latency = 0.4,
                                  .upload = 0.1,
                                  .aggregation = 0.05});
  expect_times(
      &o.totals.slots[0], 6.55, 5.3,
      (seconds_by_cause){.device_compute = 3.5, .upload = 1.1, .latency = 0.3, .download = 0.25, .drain = 0.15});
  end_example(experiment);
}
END_TEST

START_TEST(example_c_the_uplink_slows_down_during_a_transfer) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 1, 2);
  e.up[0][1] = (pp_rate_step){example_ns(2.5), 5000000};
  e.up_steps[0] = 2;
  pp_experiment *experiment = run_example(&e, source(_i, "example_c.yaml"));
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 0, 0, 1, 2);
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 0, 1, 2, 3.5);
  expect_stage(&o, PP_STAGE_MODEL_UPLOAD, 0, -1, -1, 8.7, 8.9);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(9.2));
  /* As A, but 0.1 more of model upload. */
  expect_times(
      &o.totals.devices[0], 6.5, 2.7,
      (seconds_by_cause){.server_compute = 1.5, .download = 0.55, .latency = 0.4, .upload = 0.2, .aggregation = 0.05});
  end_example(experiment);
}
END_TEST

START_TEST(example_d_sfl_runs_one_after_the_other) {
  example e;
  example_init(&e, PP_METHOD_SFL, 1, 2);
  pp_cost_table *table = &e.groups[0].cost.table;
  table->forward_ns *= 2;
  table->backward_ns *= 2;
  table->server_forward_ns *= 2;
  table->server_backward_ns *= 2;
  table->upload_bytes *= 2;
  table->download_bytes *= 2;
  pp_experiment *experiment = run_example(&e, source(_i, "example_d.yaml"));
  expect_stage(&o, PP_STAGE_FORWARD, 0, 0, 0, 0, 2);
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 0, 0, 2, 4);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 0, 0, 4.1, 5.1);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD, 0, 0, 0, 5.1, 7.1);
  expect_stage(&o, PP_STAGE_SERVER_UPDATE, 0, 0, -1, 7.1, 7.35);
  expect_stage(&o, PP_STAGE_DOWNLOAD, 0, 0, 0, 7.1, 8.1);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 0, 8.2, 12.2);
  expect_stage(&o, PP_STAGE_DEVICE_UPDATE, 0, 0, -1, 12.2, 12.7);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(13.1));
  expect_times(
      &o.totals.devices[0], 6.5, 6.6,
      (seconds_by_cause){.server_compute = 3, .upload = 2.1, .download = 1.05, .latency = 0.4, .aggregation = 0.05});
  /* From 4.1 back: latency 0.1, upload 2, forward 2. From the aggregate at 12.9 back to 7.35: latency 0.1, model upload
   * 0.1, update 0.5, backward 4, latency 0.1, and what the update leaves of download 0, 0.75. */
  expect_times(
      &o.totals.slots[0], 3.3, 9.8,
      (seconds_by_cause){.device_compute = 6.5, .upload = 2.1, .latency = 0.3, .download = 0.75, .drain = 0.15});
  end_example(experiment);
}
END_TEST

START_TEST(example_e_fl_aggregates_every_two_iterations) {
  example e;
  example_init(&e, PP_METHOD_FL, 2, 1);
  e.config.training.aggregate_every = 2;
  for (int group = 0; group < 2; group++) {
    pp_cost_table *table = &e.groups[group].cost.table;
    table->iterations = 2;
    table->forward_ns = group == 0 ? example_ns(3) : example_ns(4);
    table->backward_ns = example_ns(6);
    table->update_ns = example_ns(0.75);
    table->model_upload_bytes = table->model_download_bytes = 500000;
  }
  pp_experiment *experiment = run_example(&e, source(_i, "example_e.yaml"));
  expect_stage(&o, PP_STAGE_MODEL_UPLOAD, 0, -1, -1, 19.5, 19.9);
  expect_stage(&o, PP_STAGE_MODEL_UPLOAD, 1, -1, -1, 21.5, 21.9);
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 22.0, 22.05);
  for (int device = 0; device < 2; device++)
    expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, device, -1, -1, 22.05, 22.25);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(22.35));
  expect_times(&o.totals.devices[0], 19.5, 2.85,
               (seconds_by_cause){.aggregation = 2.05, .upload = 0.4, .download = 0.2, .latency = 0.2});
  expect_times(&o.totals.slots[0], 0.05, 22.3,
               (seconds_by_cause){.device_compute = 21.5, .upload = 0.4, .latency = 0.1, .drain = 0.3});
  end_example(experiment);
}
END_TEST

START_TEST(example_f_half_duplex_makes_a_download_wait) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 1, 3);
  pp_experiment *experiment = run_example(&e, source(_i, "example_f_full_duplex.yaml"));
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(11.1));
  expect_stage(&o, PP_STAGE_DOWNLOAD, 0, 0, 0, 3.6, 4.1);
  end_example(experiment);
  example_init(&e, PP_METHOD_PIPAR, 1, 3);
  e.groups[0].network.half_duplex = true;
  experiment = run_example(&e, source(_i, "example_f_half_duplex.yaml"));
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 0, 2, 3, 4);
  expect_stage(&o, PP_STAGE_DOWNLOAD, 0, 0, 0, 4.0, 4.5);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(11.5));
  expect_times(&o.totals.devices[0], 9.5, 2.0,
               (seconds_by_cause){.upload = 1.1, .download = 0.55, .latency = 0.3, .aggregation = 0.05});
  end_example(experiment);
}
END_TEST

START_TEST(example_g_three_devices_two_slots_two_rounds) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 3, 2);
  e.config.training.aggregate_every = 2;
  e.config.server.slots = 2;
  e.groups[1].cost.table.forward_ns = example_ns(1.2);
  e.groups[2].cost.table.forward_ns = example_ns(0.7);
  e.groups[2].cost.table.server_forward_ns = example_ns(0.9);
  for (int group = 0; group < 3; group++)
    e.groups[group].cost.table.iterations = 4;
  pp_experiment *experiment = run_example(&e, source(_i, "example_g.yaml"));
  ck_assert_int_eq(o.round_count, 2);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(40.6));
  expect_busy_idle(&o.totals.slots[0], 23.3, 17.3);
  expect_busy_idle(&o.totals.slots[1], 19.0, 21.6);
  end_example(experiment);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("examples");
  TCase *tests = tcase_create("examples");
  tcase_add_loop_test(tests, example_a_one_device_two_micro_batches, 0, 2);
  tcase_add_loop_test(tests, example_b_two_devices_share_a_slot, 0, 2);
  tcase_add_loop_test(tests, example_c_the_uplink_slows_down_during_a_transfer, 0, 2);
  tcase_add_loop_test(tests, example_d_sfl_runs_one_after_the_other, 0, 2);
  tcase_add_loop_test(tests, example_e_fl_aggregates_every_two_iterations, 0, 2);
  tcase_add_loop_test(tests, example_f_half_duplex_makes_a_download_wait, 0, 2);
  tcase_add_loop_test(tests, example_g_three_devices_two_slots_two_rounds, 0, 2);
  suite_add_tcase(suite, tests);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
