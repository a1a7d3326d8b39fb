/* The worked examples of docs/timing-model.md, to the nanosecond: from structs and from experiment files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "example.h"
#include "suite.h"

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
  example_init_fl(&e);
  e.config.training.aggregate_every = 2;
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

START_TEST(example_s_an_aggregate_takes_two_updates) {
  example e;
  example_init_fl(&e);
  e.config.training.aggregate_every = 1;
  e.config.aggregate = (pp_aggregate_config){.mode = PP_AGGREGATE_ASYNC, .buffer = 2, .staleness_exponent = 0.5};
  pp_experiment *experiment = run_example(&e, source(_i, "example_s.yaml"));
  /* The first of each stage, then of the second local rounds. */
  expect_stage(&o, PP_STAGE_MODEL_UPLOAD, 0, -1, -1, 9.75, 10.15);
  expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, 0, -1, -1, 10.25, 10.45);
  expect_stage(&o, PP_STAGE_MODEL_UPLOAD, 1, -1, -1, 10.75, 11.15);
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 11.25, 11.3);
  expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, 1, -1, -1, 11.3, 11.5);
  expect_stage(&o, PP_STAGE_FORWARD, 0, 1, 0, 10.55, 13.55);
  expect_stage(&o, PP_STAGE_DEVICE_UPDATE, 0, 1, -1, 19.55, 20.3);
  expect_stage(&o, PP_STAGE_FORWARD, 1, 1, 0, 11.6, 15.6);
  expect_stage(&o, PP_STAGE_DEVICE_UPDATE, 1, 1, -1, 21.6, 22.35);
  ck_assert_int_eq(o.round_count, 2);
  ck_assert_int_eq(o.rounds[0].end_ns, example_ns(11.3));
  /* In round 0 device 0 works 0-9.75 and 10.55-11.3, device 1 0-10.75. */
  ck_assert(fabs(o.rounds[0].device_idle_s - 0.675) < 1e-12);
  for (int update = 0; update < 2; update++) {
    ck_assert_int_eq(o.rounds[0].updates[update].device, update);
    ck_assert_int_eq(o.rounds[0].updates[update].version, 0);
    ck_assert_int_eq(o.rounds[1].updates[update].device, update);
    ck_assert_int_eq(o.rounds[1].updates[update].version, update);
  }
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(23.2));
  expect_times(&o.totals.devices[0], 19.5, 3.7,
               (seconds_by_cause){.aggregation = 2.1, .upload = 0.8, .download = 0.4, .latency = 0.4});
  expect_times(&o.totals.devices[1], 21.5, 1.7,
               (seconds_by_cause){.aggregation = 0.1, .upload = 0.8, .download = 0.4, .latency = 0.4});
  expect_times(
      &o.totals.slots[0], 0.1, 23.1,
      (seconds_by_cause){.device_compute = 21.5, .upload = 0.8, .latency = 0.3, .download = 0.2, .drain = 0.3});
  end_example(experiment);
}
END_TEST

START_TEST(example_t_an_aggregate_goes_before_waiting_micro_batches) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 2, 2);
  e.groups[1].cost.table.forward_ns = example_ns(1.2);
  e.groups[0].cost.table.aggregate_ns = e.groups[1].cost.table.aggregate_ns = example_ns(2.5);
  e.config.training.epochs = 2;
  e.config.aggregate = (pp_aggregate_config){.mode = PP_AGGREGATE_ASYNC, .buffer = 1};
  pp_experiment *experiment = run_example(&e, source(_i, "example_t.yaml"));
  static const double aggregates[] = {9.9, 12.4, 22.7, 25.2};
  static const int64_t versions[] = {0, 0, 1, 1};
  ck_assert_int_eq(o.round_count, 4);
  for (int round = 0; round < 4; round++) {
    ck_assert_int_eq(o.rounds[round].updates[0].device, round % 2);
    ck_assert_int_eq(o.rounds[round].updates[0].version, versions[round]);
    if (round < 3)
      ck_assert_int_eq(o.rounds[round].end_ns, example_ns(aggregates[round] + 2.5));
  }
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 9.9, 12.4);
  for (int device = 0; device < 2; device++)
    expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, device, -1, -1, 12.4, 12.45);
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 1, 0, 13.55, 14.55);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 1, 0, 14.9, 15.4);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 1, 1, 0, 16.4, 16.9);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 1, 1, 17.9, 18.4);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 1, 1, 1, 19.65, 20.15);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(27.85));
  expect_times(&o.totals.devices[0], 13, 14.85,
               (seconds_by_cause){.aggregation = 7.5,
                                  .server_compute = 3.8,
                                  .download = 2.1,
                                  .latency = 1,
                                  .server_queue = 0.25,
                                  .upload = 0.2});
  expect_times(&o.totals.slots[0], 23, 4.85,
               (seconds_by_cause){.device_compute = 3.2, .upload = 1.2, .latency = 0.3, .drain = 0.15});
  end_example(experiment);
}
END_TEST

/* With nobody to wait for there is no difference, but that a round ends with its aggregate. */
START_TEST(one_device_alone_takes_as_long_with_and_without_waiting) {
  static pp_timeline_totals sync;
  static pp_resource_times device, slot;
  for (int mode = PP_AGGREGATE_SYNC; mode <= PP_AGGREGATE_ASYNC; mode++) {
    example e;
    example_init(&e, PP_METHOD_PIPAR, 1, 3);
    e.up[0][1] = (pp_rate_step){example_ns(11.5), 3000000};
    e.up_steps[0] = 2;
    e.groups[0].network.half_duplex = true;
    e.groups[0].cost.table.server_update_ns = example_ns(5);
    e.config.training.epochs = 3;
    e.config.aggregate = (pp_aggregate_config){.mode = (pp_aggregate_mode)mode, .buffer = 1};
    example_finish(&e);
    outcome_run(&o, &e.config);
    ck_assert_int_eq(o.round_count, 3);
    if (mode == PP_AGGREGATE_SYNC) {
      sync = o.totals;
      device = o.totals.devices[0];
      slot = o.totals.slots[0];
    } else {
      ck_assert_int_eq(o.totals.makespan_ns, sync.makespan_ns);
      ck_assert_int_eq(o.totals.stage_count, sync.stage_count);
      ck_assert_mem_eq(&o.totals.devices[0], &device, sizeof device);
      ck_assert_mem_eq(&o.totals.slots[0], &slot, sizeof slot);
    }
    outcome_fini(&o);
  }
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

/* ---- the other schedules, from structs ---- */

START_TEST(example_i_bw_split_sends_the_gradient_first) {
  static example e;
  example_init(&e, PP_METHOD_BW_SPLIT, 1, 2);
  e.groups[0].cost.table.server_backward_ns = 0;
  e.groups[0].cost.table.server_backward_input_ns = example_ns(0.6);
  e.groups[0].cost.table.server_backward_weight_ns = example_ns(0.4);
  run_example(&e, NULL);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 0, 0, 2.1, 2.6);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD_INPUT, 0, 0, 0, 2.6, 3.2);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD_WEIGHT, 0, 0, 0, 3.2, 3.6);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD_WEIGHT, 0, 0, 1, 4.7, 5.1);
  expect_stage(&o, PP_STAGE_SERVER_UPDATE, 0, 0, -1, 5.1, 5.35);
  expect_stage(&o, PP_STAGE_DOWNLOAD, 0, 0, 0, 3.2, 3.7);
  expect_stage(&o, PP_STAGE_DOWNLOAD, 0, 0, 1, 4.7, 5.2);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 0, 3.8, 5.8);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 1, 5.8, 7.8);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(8.7));
  expect_times(
      &o.totals.devices[0], 6.5, 2.2,
      (seconds_by_cause){.server_compute = 1.1, .download = 0.55, .latency = 0.4, .upload = 0.1, .aggregation = 0.05});
  end_example(NULL);
}
END_TEST

START_TEST(example_j_1f1b_keeps_two_micro_batches_in_flight) {
  static example e;
  example_init(&e, PP_METHOD_1F1B, 1, 4);
  e.groups[0].pipeline.in_flight = 2;
  run_example(&e, NULL);
  expect_stage(&o, PP_STAGE_FORWARD, 0, 0, 1, 1, 2);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 0, 4.2, 6.2);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 1, 6.2, 8.2);
  expect_stage(&o, PP_STAGE_FORWARD, 0, 0, 2, 8.2, 9.2);
  expect_stage(&o, PP_STAGE_FORWARD, 0, 0, 3, 9.2, 10.2);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 0, 2, 10.3, 10.8);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 0, 3, 11.8, 12.3);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 2, 12.4, 14.4);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 3, 14.4, 16.4);
  expect_stage(&o, PP_STAGE_DEVICE_UPDATE, 0, 0, -1, 16.4, 16.9);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(17.3));
  end_example(NULL);
}
END_TEST

START_TEST(example_k_sl_hands_the_model_from_device_to_device) {
  static example e;
  example_init(&e, PP_METHOD_SL, 2, 1);
  e.config.training.epochs = 2;
  for (int group = 0; group < 2; group++) {
    pp_cost_table *table = &e.groups[group].cost.table;
    table->forward_ns = group == 0 ? example_ns(2) : example_ns(2.4);
    table->backward_ns *= 2;
    table->server_forward_ns *= 2;
    table->server_backward_ns *= 2;
    table->upload_bytes *= 2;
    table->download_bytes *= 2;
    table->aggregate_ns = 0; /* nothing is averaged */
  }
  run_example(&e, NULL);
  ck_assert_int_eq(o.round_count, 2);
  expect_stage(&o, PP_STAGE_MODEL_UPLOAD, 0, -1, -1, 12.7, 12.8);
  expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, 1, -1, -1, 12.9, 12.95);
  expect_stage(&o, PP_STAGE_FORWARD, 1, 0, 0, 13.05, 15.45);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 1, 0, 0, 17.55, 18.55);
  expect_stage(&o, PP_STAGE_BACKWARD, 1, 0, 0, 21.65, 25.65);
  expect_stage(&o, PP_STAGE_MODEL_UPLOAD, 1, -1, -1, 26.15, 26.25);
  expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, 0, -1, -1, 26.35, 26.4);
  expect_stage(&o, PP_STAGE_FORWARD, 0, 1, 0, 26.5, 28.5);
  ck_assert_ptr_null(outcome_find(&o, PP_STAGE_AGGREGATE, -1, -1, -1));
  ck_assert_int_eq(o.rounds[0].end_ns, example_ns(26.5));
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(52.85));
  expect_times(
      &o.totals.devices[0], 13.0, 39.85,
      (seconds_by_cause){
          .device_compute = 6.9, .server_compute = 9, .download = 3.1, .upload = 6.3, .latency = 1.1, .drain = 13.45});
  end_example(NULL);
}
END_TEST

START_TEST(example_l_space_share_gives_each_device_a_slow_slot) {
  static example e;
  example_init(&e, PP_METHOD_PIPAR, 2, 2);
  e.groups[1].cost.table.forward_ns = example_ns(1.2);
  e.config.server.policy = PP_POLICY_SPACE_SHARE;
  run_example(&e, NULL);
  ck_assert_int_eq(o.scenario->slots, 2);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 0, 0, 2.1, 3.1);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD, 0, 0, 0, 3.1, 5.1);
  expect_stage(&o, PP_STAGE_SERVER_BACKWARD, 0, 0, 1, 6.1, 8.1);
  expect_stage(&o, PP_STAGE_SERVER_UPDATE, 0, 0, -1, 8.1, 8.6);
  expect_stage(&o, PP_STAGE_SERVER_FORWARD, 1, 0, 0, 2.3, 3.3);
  expect_stage(&o, PP_STAGE_SERVER_UPDATE, 1, 0, -1, 8.3, 8.8);
  ck_assert_int_eq(outcome_find(&o, PP_STAGE_SERVER_FORWARD, 1, 0, 0)->slot, 1);
  expect_stage(&o, PP_STAGE_BACKWARD, 1, 0, 1, 8.9, 10.9);
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 11.6, 11.65);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(11.8));
  end_example(NULL);
}
END_TEST

START_TEST(example_m_priority_serves_who_has_most_to_do) {
  static const pp_policy policies[] = {PP_POLICY_PRIORITY, PP_POLICY_FIFO};
  for (int which = 0; which < 2; which++) {
    static example e;
    example_init(&e, PP_METHOD_PIPAR, 2, 2);
    e.groups[1].cost.table.forward_ns = example_ns(1.2);
    e.groups[1].cost.table.backward_ns = example_ns(3);
    e.config.server.policy = policies[which];
    run_example(&e, NULL);
    if (policies[which] == PP_POLICY_PRIORITY) {
      expect_stage(&o, PP_STAGE_SERVER_FORWARD, 1, 0, 0, 3.6, 4.1);
      expect_stage(&o, PP_STAGE_SERVER_FORWARD, 1, 0, 1, 5.1, 5.6);
      expect_stage(&o, PP_STAGE_SERVER_UPDATE, 1, 0, -1, 6.6, 6.85);
      expect_stage(&o, PP_STAGE_SERVER_FORWARD, 0, 0, 1, 6.85, 7.35);
      expect_stage(&o, PP_STAGE_BACKWARD, 1, 0, 1, 8.7, 11.7);
      expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 12.4, 12.45);
      ck_assert_int_eq(o.totals.makespan_ns, example_ns(12.6));
    } else {
      ck_assert_int_eq(o.totals.makespan_ns, example_ns(12.85));
    }
    end_example(NULL);
  }
}
END_TEST

START_TEST(example_n_a_slowdown_begins_during_a_backward) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 1, 2);
  pp_rate_step steps[] = {{0, 1000000}, {example_ns(5), 2500000}};
  e.groups[0].slowdown = (pp_rate_trace){.count = 2, .steps = steps};
  pp_experiment *experiment = run_example(&e, source(_i, "example_n.yaml"));
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 0, 4.2, 8);
  expect_stage(&o, PP_STAGE_BACKWARD, 0, 0, 1, 8, 13);
  expect_stage(&o, PP_STAGE_DEVICE_UPDATE, 0, 0, -1, 13, 14.25);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(14.65));
  expect_times(
      &o.totals.devices[0], 12.05, 2.6,
      (seconds_by_cause){.server_compute = 1.5, .download = 0.55, .latency = 0.4, .upload = 0.1, .aggregation = 0.05});
  end_example(experiment);
}
END_TEST

START_TEST(example_o_the_aggregate_takes_the_first_model) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 2, 2);
  e.groups[1].cost.table.forward_ns = example_ns(1.2);
  e.config.aggregate.min_devices = 1;
  pp_experiment *experiment = run_example(&e, source(_i, "example_o.yaml"));
  expect_stage(&o, PP_STAGE_BACKWARD, 1, 0, 1, 8.95, 9.9);
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 9.9, 9.95);
  expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, 1, -1, -1, 9.95, 10);
  ck_assert_ptr_null(outcome_find(&o, PP_STAGE_MODEL_UPLOAD, 1, -1, -1));
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(10.1));
  expect_times(
      &o.totals.devices[0], 6.5, 3.6,
      (seconds_by_cause){.server_compute = 1.9, .aggregation = 0.05, .download = 1.05, .latency = 0.5, .upload = 0.1});
  expect_times(&o.totals.devices[1], 5.35, 4.75,
               (seconds_by_cause){
                   .server_compute = 2.15, .server_queue = 1.2, .download = 1.05, .latency = 0.3, .aggregation = 0.05});
  ck_assert_int_eq(o.rounds[0].member_count, 1);
  end_example(experiment);
}
END_TEST

START_TEST(example_p_a_device_departs_and_the_server_waits_for_it) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 2, 2);
  e.groups[1].cost.table.forward_ns = example_ns(1.2);
  e.groups[1].departs_ns = example_ns(6);
  e.config.aggregate.deadline_ns = example_ns(12);
  pp_experiment *experiment = run_example(&e, source(_i, "example_p.yaml"));
  expect_stage(&o, PP_STAGE_BACKWARD, 1, 0, 0, 5.7, 6);
  ck_assert_ptr_null(outcome_find(&o, PP_STAGE_SERVER_FORWARD, 1, 0, 1));
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 12, 12.05);
  expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, 0, -1, -1, 12.05, 12.1);
  ck_assert_ptr_null(outcome_find(&o, PP_STAGE_MODEL_DOWNLOAD, 1, -1, -1));
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(12.2));
  expect_times(
      &o.totals.devices[1], 2.7, 9.5,
      (seconds_by_cause){.absent = 6.2, .server_compute = 1.5, .server_queue = 1.2, .download = 0.5, .latency = 0.1});
  expect_busy_idle(&o.totals.slots[0], 4.8, 7.4);
  ck_assert_int_eq(o.totals.slots[0].cause_ns[PP_CAUSE_AGGREGATION], example_ns(2.1));
  end_example(experiment);
}
END_TEST

START_TEST(example_q_a_device_arrives_during_a_round) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 2, 2);
  e.groups[1].arrives_ns = example_ns(3);
  e.config.training.epochs = 2;
  pp_experiment *experiment = run_example(&e, source(_i, "example_q.yaml"));
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 8.9, 8.95);
  expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, 1, -1, -1, 8.95, 9);
  expect_stage(&o, PP_STAGE_FORWARD, 0, 1, 0, 9.1, 10.1);
  expect_stage(&o, PP_STAGE_FORWARD, 1, 1, 0, 9.1, 10.1);
  ck_assert_int_eq(o.totals.devices[1].cause_ns[PP_CAUSE_ABSENT], example_ns(3));
  ck_assert_int_eq(o.rounds[0].member_count, 1);
  ck_assert_int_eq(o.rounds[1].member_count, 2);
  end_example(experiment);
}
END_TEST

static void expect_ok(pp_status status) { ck_assert_msg(status == NULL, "%s", pp_error_message(status)); }

START_TEST(example_r_devices_share_the_server_s_link) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 2, 2);
  e.groups[1].cost.table.forward_ns = example_ns(1.2);
  pp_rate_step up = {0, 10000000}, down = {0, 20000000};
  e.config.server.link.up = (pp_rate_trace){1, &up, 0};
  e.config.server.link.down = (pp_rate_trace){1, &down, 0};
  pp_experiment *experiment = run_example(&e, source(_i, "example_r.yaml"));
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 0, 0, 1, 2.8);
  expect_stage(&o, PP_STAGE_UPLOAD, 1, 0, 0, 1.2, 3.2);
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 0, 1, 2.8, 4.8);
  expect_stage(&o, PP_STAGE_UPLOAD, 1, 0, 1, 3.2, 5);
  expect_stage(&o, PP_STAGE_BACKWARD, 1, 0, 1, 9.75, 11.75);
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 12.45, 12.5);
  expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, 0, -1, -1, 12.5, 12.6);
  expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, 1, -1, -1, 12.5, 12.6);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(12.7));
  expect_times(
      &o.totals.devices[0], 6.5, 6.2,
      (seconds_by_cause){.server_compute = 1.9, .aggregation = 1.8, .download = 1.1, .latency = 0.5, .upload = 0.9});
  expect_times(&o.totals.devices[1], 6.9, 5.8,
               (seconds_by_cause){.server_compute = 2.15,
                                  .server_queue = 1.1,
                                  .aggregation = 0.05,
                                  .download = 1.1,
                                  .latency = 0.5,
                                  .upload = 0.9});
  expect_times(
      &o.totals.slots[0], 6.55, 6.15,
      (seconds_by_cause){.device_compute = 3.5, .upload = 1.9, .latency = 0.3, .download = 0.25, .drain = 0.2});
  ck_assert_int_eq(o.rounds[0].member_count, 2);
  end_example(experiment);
}
END_TEST

START_TEST(a_server_s_link_wide_enough_for_all_changes_nothing) {
  example e;
  example_init(&e, PP_METHOD_PIPAR, 3, 2);
  e.groups[1].cost.table.forward_ns = example_ns(1.2);
  e.groups[2].cost.table.forward_ns = example_ns(0.7);
  pp_rate_step up = {0, 30000000}, down = {0, 60000000};
  e.config.server.link.up = (pp_rate_trace){1, &up, 0};
  e.config.server.link.down = (pp_rate_trace){1, &down, 0};
  example_finish(&e);
  pp_scenario *shared = NULL, *alone = NULL;
  pp_timeline_totals totals[2];
  pp_timeline *timelines[2];
  expect_ok(pp_scenario_create(&e.config, NULL, &shared));
  e.config.server.link.up.count = e.config.server.link.down.count = 0;
  expect_ok(pp_scenario_create(&e.config, NULL, &alone));
  ck_assert(shared->server_up != NULL && alone->server_up == NULL);
  const pp_scenario *const scenarios[] = {shared, alone};
  e.config.server.link.up.count = e.config.server.link.down.count = 1;
  for (int which = 0; which < 2; which++) {
    pp_round_times times;
    expect_ok(pp_timeline_create(scenarios[which], false, &timelines[which]));
    expect_ok(pp_timeline_next_round(timelines[which], &times));
    expect_ok(pp_timeline_finish(timelines[which], &totals[which]));
  }
  ck_assert_int_eq(totals[0].makespan_ns, totals[1].makespan_ns);
  for (int device = 0; device < 3; device++) {
    ck_assert_int_eq(totals[0].devices[device].busy_ns, totals[1].devices[device].busy_ns);
    ck_assert_int_eq(totals[0].devices[device].bytes_up, 2 * 1250000 + 125000);
    ck_assert_int_eq(totals[0].devices[device].bytes_down, 2 * 1250000 + 125000);
  }
  for (int which = 0; which < 2; which++)
    pp_timeline_destroy(timelines[which]);
  pp_scenario_destroy(shared);
  pp_scenario_destroy(alone);
}
END_TEST

/* 2,000 devices drop out with probability 0.3: members are 1,400, give or take 5 standard deviations of 20.5. */
START_TEST(devices_drop_out_as_often_as_told_and_differ_by_seed_and_round) {
  example e;
  example_init(&e, PP_METHOD_FL, 1, 1);
  e.config.training.epochs = 2;
  e.config.aggregate.deadline_ns = example_ns(100);
  e.groups[0].count = 2000;
  e.groups[0].dropout = 0.3;
  example_finish(&e);
  int64_t members[2][2] = {{0}};
  int32_t first[2][2] = {{0}};
  for (int seed = 0; seed < 2; seed++) {
    e.config.seed = (uint64_t)seed;
    pp_scenario *scenario = NULL;
    pp_timeline *timeline = NULL;
    expect_ok(pp_scenario_create(&e.config, NULL, &scenario));
    expect_ok(pp_timeline_create(scenario, false, &timeline));
    for (int round = 0; round < 2; round++) {
      pp_round_times times;
      expect_ok(pp_timeline_next_round(timeline, &times));
      members[seed][round] = times.member_count;
      for (int member = 0; member < 100; member++)
        first[seed][round] += times.members[member];
      ck_assert_int_le(llabs(members[seed][round] - 1400), 102);
    }
    pp_timeline_totals totals;
    expect_ok(pp_timeline_finish(timeline, &totals));
    pp_timeline_destroy(timeline);
    pp_scenario_destroy(scenario);
  }
  ck_assert(first[0][0] != first[0][1] && first[0][0] != first[1][0]);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("examples");
  tcase_add_loop_test(tests, example_a_one_device_two_micro_batches, 0, 2);
  tcase_add_loop_test(tests, example_b_two_devices_share_a_slot, 0, 2);
  tcase_add_loop_test(tests, example_c_the_uplink_slows_down_during_a_transfer, 0, 2);
  tcase_add_loop_test(tests, example_d_sfl_runs_one_after_the_other, 0, 2);
  tcase_add_loop_test(tests, example_e_fl_aggregates_every_two_iterations, 0, 2);
  tcase_add_loop_test(tests, example_f_half_duplex_makes_a_download_wait, 0, 2);
  tcase_add_loop_test(tests, example_g_three_devices_two_slots_two_rounds, 0, 2);
  tcase_add_test(tests, example_i_bw_split_sends_the_gradient_first);
  tcase_add_test(tests, example_j_1f1b_keeps_two_micro_batches_in_flight);
  tcase_add_test(tests, example_k_sl_hands_the_model_from_device_to_device);
  tcase_add_test(tests, example_l_space_share_gives_each_device_a_slow_slot);
  tcase_add_test(tests, example_m_priority_serves_who_has_most_to_do);
  tcase_add_loop_test(tests, example_n_a_slowdown_begins_during_a_backward, 0, 2);
  tcase_add_loop_test(tests, example_o_the_aggregate_takes_the_first_model, 0, 2);
  tcase_add_loop_test(tests, example_p_a_device_departs_and_the_server_waits_for_it, 0, 2);
  tcase_add_loop_test(tests, example_q_a_device_arrives_during_a_round, 0, 2);
  tcase_add_loop_test(tests, example_r_devices_share_the_server_s_link, 0, 2);
  tcase_add_loop_test(tests, example_s_an_aggregate_takes_two_updates, 0, 2);
  tcase_add_loop_test(tests, example_t_an_aggregate_goes_before_waiting_micro_batches, 0, 2);
  tcase_add_test(tests, one_device_alone_takes_as_long_with_and_without_waiting);
  tcase_add_test(tests, a_server_s_link_wide_enough_for_all_changes_nothing);
  tcase_add_test(tests, devices_drop_out_as_often_as_told_and_differ_by_seed_and_round);
  return run_case("examples", tests);
}
