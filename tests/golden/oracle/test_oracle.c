/* The oracle against the worked examples. */
#include <stdlib.h>

#include "oracle_case.h"
#include "suite.h"

static int64_t s(double seconds) { return case_seconds(seconds); }

static void set_forward(case_class *class, int64_t length) {
  for (int micro_batch = 0; micro_batch < class->full.micro_batch_count; micro_batch++)
    class->full.micro_batches[micro_batch].forward = length;
}

/* A stage of round 0, in seconds. */
static void expect_stage(const oracle_result *result, oracle_kind kind, int device, int iteration, int micro_batch,
                         double start, double end) {
  const oracle_stage *stage = oracle_find(result, kind, device, 0, iteration, micro_batch);
  ck_assert_msg(stage != NULL, "no %s %d of device %d", oracle_kind_name(kind), micro_batch, device);
  ck_assert_msg(stage->start == s(start) && stage->end == s(end), "%s %d of device %d is %.9f-%.9f, not %.3f-%.3f",
                oracle_kind_name(kind), micro_batch, device, (double)stage->start / 1e9, (double)stage->end / 1e9,
                start, end);
}

static void expect_arrival(const oracle_result *result, oracle_kind kind, int device, int iteration, int micro_batch,
                           double arrival) {
  const oracle_stage *stage = oracle_find(result, kind, device, 0, iteration, micro_batch);
  ck_assert_ptr_nonnull(stage);
  ck_assert_int_eq(stage->arrival, s(arrival));
}

typedef struct seconds_by_cause {
  double device_compute, upload, server_queue, server_compute, download, latency, aggregation, drain;
} seconds_by_cause;

static void expect_times(const oracle_times *times, double busy, double idle, seconds_by_cause causes) {
  const double wanted[ORACLE_CAUSE_COUNT] = {causes.device_compute, causes.upload,   causes.server_queue,
                                             causes.server_compute, causes.download, causes.latency,
                                             causes.aggregation,    causes.drain};
  ck_assert_int_eq(times->busy, s(busy));
  ck_assert_int_eq(times->idle, s(idle));
  for (int cause = 0; cause < ORACLE_CAUSE_COUNT; cause++)
    ck_assert_msg(times->causes[cause] == s(wanted[cause]), "%s is %.9f, not %.3f",
                  oracle_cause_name((oracle_cause)cause), (double)times->causes[cause] / 1e9, wanted[cause]);
}

/* ---- the worked examples ---- */

START_TEST(example_a_one_device_two_micro_batches) {
  oracle_case c = case_example(ORACLE_PIPAR, 1, 2);
  oracle_result result = case_run(&c);
  expect_stage(&result, ORACLE_FORWARD, 0, 0, 0, 0, 1);
  expect_stage(&result, ORACLE_FORWARD, 0, 0, 1, 1, 2);
  expect_stage(&result, ORACLE_UPLOAD, 0, 0, 0, 1, 2);
  expect_stage(&result, ORACLE_UPLOAD, 0, 0, 1, 2, 3);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 0, 0, 0, 2.1, 2.6);
  expect_stage(&result, ORACLE_SERVER_BACKWARD, 0, 0, 0, 2.6, 3.6);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 0, 0, 1, 3.6, 4.1);
  expect_stage(&result, ORACLE_SERVER_BACKWARD, 0, 0, 1, 4.1, 5.1);
  expect_stage(&result, ORACLE_SERVER_UPDATE, 0, 0, -1, 5.1, 5.35);
  expect_stage(&result, ORACLE_DOWNLOAD, 0, 0, 0, 3.6, 4.1);
  expect_stage(&result, ORACLE_DOWNLOAD, 0, 0, 1, 5.1, 5.6);
  expect_stage(&result, ORACLE_BACKWARD, 0, 0, 0, 4.2, 6.2);
  expect_stage(&result, ORACLE_BACKWARD, 0, 0, 1, 6.2, 8.2);
  expect_stage(&result, ORACLE_DEVICE_UPDATE, 0, 0, -1, 8.2, 8.7);
  expect_stage(&result, ORACLE_MODEL_UPLOAD, 0, -1, -1, 8.7, 8.8);
  expect_stage(&result, ORACLE_AGGREGATE, -1, -1, -1, 8.9, 8.95);
  expect_stage(&result, ORACLE_MODEL_DOWNLOAD, 0, -1, -1, 8.95, 9.0);
  ck_assert_int_eq(result.stage_count, 6 * 2 + 2 + 3);
  ck_assert_int_eq(result.makespan, s(9.1));
  expect_times(
      &result.devices[0], 6.5, 2.6,
      (seconds_by_cause){.server_compute = 1.5, .download = 0.55, .latency = 0.4, .upload = 0.1, .aggregation = 0.05});
  expect_times(&result.slots[0], 3.3, 5.8,
               (seconds_by_cause){.device_compute = 4.35, .upload = 1.1, .latency = 0.2, .drain = 0.15});
  ck_assert_int_eq(result.round_count, 1);
  ck_assert_int_eq(result.rounds[0].end, s(9.1));
  ck_assert_int_eq(result.rounds[0].device_idle, s(2.6));
  ck_assert_int_eq(result.rounds[0].server_idle, s(5.8));
  ck_assert_int_eq(result.devices[0].bytes_up, 2 * 1250000 + 125000);
  ck_assert_int_eq(result.devices[0].bytes_down, 2 * 1250000 + 125000);
  oracle_release(&result);
}
END_TEST

START_TEST(example_b_two_devices_share_a_slot) {
  oracle_case c = case_example(ORACLE_PIPAR, 2, 2);
  set_forward(&c.classes[1], s(1.2));
  oracle_result result = case_run(&c);
  expect_arrival(&result, ORACLE_UPLOAD, 0, 0, 0, 2.1);
  expect_arrival(&result, ORACLE_UPLOAD, 0, 0, 1, 3.1);
  expect_arrival(&result, ORACLE_UPLOAD, 1, 0, 0, 2.3);
  expect_arrival(&result, ORACLE_UPLOAD, 1, 0, 1, 3.5);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 0, 0, 0, 2.1, 2.6);
  expect_stage(&result, ORACLE_SERVER_BACKWARD, 0, 0, 0, 2.6, 3.6);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 1, 0, 0, 3.6, 4.1);
  expect_stage(&result, ORACLE_SERVER_BACKWARD, 1, 0, 0, 4.1, 5.1);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 0, 0, 1, 5.1, 5.6);
  expect_stage(&result, ORACLE_SERVER_BACKWARD, 0, 0, 1, 5.6, 6.6);
  expect_stage(&result, ORACLE_SERVER_UPDATE, 0, 0, -1, 6.6, 6.85);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 1, 0, 1, 6.85, 7.35);
  expect_stage(&result, ORACLE_SERVER_BACKWARD, 1, 0, 1, 7.35, 8.35);
  expect_stage(&result, ORACLE_SERVER_UPDATE, 1, 0, -1, 8.35, 8.6);
  expect_stage(&result, ORACLE_BACKWARD, 0, 0, 0, 4.2, 6.2);
  expect_stage(&result, ORACLE_BACKWARD, 0, 0, 1, 7.2, 9.2);
  expect_stage(&result, ORACLE_BACKWARD, 1, 0, 0, 5.7, 7.7);
  expect_stage(&result, ORACLE_BACKWARD, 1, 0, 1, 8.95, 10.95);
  expect_stage(&result, ORACLE_AGGREGATE, -1, -1, -1, 11.65, 11.7);
  ck_assert_int_eq(result.makespan, s(11.85));
  expect_times(
      &result.devices[0], 6.5, 5.35,
      (seconds_by_cause){.server_compute = 1.9, .aggregation = 1.8, .download = 1.05, .latency = 0.5, .upload = 0.1});
  expect_times(&result.devices[1], 6.9, 4.95,
               (seconds_by_cause){.server_compute = 2.15,
                                  .server_queue = 1.2,
                                  .download = 1.05,
                                  .latency = 0.4,
                                  .upload = 0.1,
                                  .aggregation = 0.05});
  expect_times(
      &result.slots[0], 6.55, 5.3,
      (seconds_by_cause){.device_compute = 3.5, .upload = 1.1, .latency = 0.3, .download = 0.25, .drain = 0.15});
  oracle_release(&result);
}
END_TEST

START_TEST(example_c_the_uplink_slows_down_during_a_transfer) {
  oracle_case c = case_example(ORACLE_PIPAR, 1, 2);
  c.classes[0].up = (case_trace){.count = 2, .rates = {{0, 10000000}, {s(2.5), 5000000}}};
  oracle_result result = case_run(&c);
  expect_stage(&result, ORACLE_UPLOAD, 0, 0, 1, 2, 3.5);
  expect_stage(&result, ORACLE_MODEL_UPLOAD, 0, -1, -1, 8.7, 8.9);
  ck_assert_int_eq(result.makespan, s(9.2));
  oracle_release(&result);
}
END_TEST

static void make_whole(case_class *class) {
  class->full.micro_batch_count = 1;
  class->full.micro_batches[0].forward *= 2;
  class->full.micro_batches[0].backward *= 2;
  class->full.micro_batches[0].server_forward *= 2;
  class->full.micro_batches[0].server_backward *= 2;
  class->full.micro_batches[0].upload_bytes *= 2;
  class->full.micro_batches[0].download_bytes *= 2;
}

START_TEST(example_d_sfl_runs_one_after_the_other) {
  oracle_case c = case_example(ORACLE_SFL, 1, 1);
  make_whole(&c.classes[0]);
  oracle_result result = case_run(&c);
  expect_stage(&result, ORACLE_FORWARD, 0, 0, 0, 0, 2);
  expect_stage(&result, ORACLE_UPLOAD, 0, 0, 0, 2, 4);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 0, 0, 0, 4.1, 5.1);
  expect_stage(&result, ORACLE_SERVER_BACKWARD, 0, 0, 0, 5.1, 7.1);
  expect_stage(&result, ORACLE_DOWNLOAD, 0, 0, 0, 7.1, 8.1);
  expect_stage(&result, ORACLE_BACKWARD, 0, 0, 0, 8.2, 12.2);
  expect_stage(&result, ORACLE_DEVICE_UPDATE, 0, 0, -1, 12.2, 12.7);
  ck_assert_int_eq(result.makespan, s(13.1));
  expect_times(
      &result.devices[0], 6.5, 6.6,
      (seconds_by_cause){.server_compute = 3, .upload = 2.1, .download = 1.05, .latency = 0.4, .aggregation = 0.05});
  oracle_release(&result);
}
END_TEST

START_TEST(example_e_fl_aggregates_every_two_iterations) {
  oracle_case c = case_example(ORACLE_FL, 2, 1);
  for (int device = 0; device < 2; device++) {
    c.classes[device].iterations_per_epoch = c.classes[device].iterations_per_round = 2;
    c.classes[device].full.micro_batches[0].forward = device == 0 ? s(3) : s(4);
    c.classes[device].full.micro_batches[0].backward = s(6);
    c.classes[device].full.device_update = s(0.75);
    c.classes[device].model_upload_bytes = c.classes[device].model_download_bytes = 500000;
  }
  oracle_result result = case_run(&c);
  expect_stage(&result, ORACLE_MODEL_UPLOAD, 0, -1, -1, 19.5, 19.9);
  expect_stage(&result, ORACLE_MODEL_UPLOAD, 1, -1, -1, 21.5, 21.9);
  expect_stage(&result, ORACLE_AGGREGATE, -1, -1, -1, 22.0, 22.05);
  for (int device = 0; device < 2; device++)
    expect_stage(&result, ORACLE_MODEL_DOWNLOAD, device, -1, -1, 22.05, 22.25);
  ck_assert_int_eq(result.makespan, s(22.35));
  ck_assert_int_eq(result.slots[0].busy, s(0.05));
  expect_times(&result.devices[0], 19.5, 2.85,
               (seconds_by_cause){.aggregation = 2.05, .upload = 0.4, .download = 0.2, .latency = 0.2});
  oracle_release(&result);
}
END_TEST

START_TEST(example_f_half_duplex_makes_a_download_wait) {
  oracle_case c = case_example(ORACLE_PIPAR, 1, 3);
  oracle_result result = case_run(&c);
  ck_assert_int_eq(result.makespan, s(11.1));
  oracle_release(&result);
  c.classes[0].half_duplex = true;
  result = case_run(&c);
  const oracle_stage *download = oracle_find(&result, ORACLE_DOWNLOAD, 0, 0, 0, 0);
  ck_assert_int_eq(download->ready, s(3.6));
  expect_stage(&result, ORACLE_DOWNLOAD, 0, 0, 0, 4.0, 4.5);
  ck_assert_int_eq(result.stages[download->previous].kind, ORACLE_UPLOAD);
  ck_assert_int_eq(result.stages[download->previous].micro_batch, 2);
  ck_assert_int_eq(result.makespan, s(11.5));
  expect_times(&result.devices[0], 9.5, 2.0,
               (seconds_by_cause){.upload = 1.1, .download = 0.55, .latency = 0.3, .aggregation = 0.05});
  oracle_release(&result);
}
END_TEST

START_TEST(example_g_three_devices_two_slots_two_rounds) {
  oracle_case c = case_example(ORACLE_PIPAR, 3, 2);
  set_forward(&c.classes[1], s(1.2));
  set_forward(&c.classes[2], s(0.7));
  c.slots = 2;
  for (int device = 0; device < 3; device++) {
    c.classes[device].iterations_per_epoch = 4;
    c.classes[device].iterations_per_round = 2;
  }
  for (int micro_batch = 0; micro_batch < 2; micro_batch++)
    c.classes[2].full.micro_batches[micro_batch].server_forward = s(0.9);
  oracle_result result = case_run(&c);
  ck_assert_int_eq(result.makespan, s(40.6));
  ck_assert_int_eq(result.slots[0].busy + result.slots[1].busy, s(42.3));
  ck_assert_int_eq(result.slots[0].busy, s(23.3));
  ck_assert_int_eq(result.slots[1].busy, s(19.0));
  oracle_release(&result);
}
END_TEST

/* ---- more examples, worked by hand ---- */

START_TEST(bw_split_sends_the_gradient_before_the_weights_are_done) {
  oracle_case c = case_example(ORACLE_BW_SPLIT, 1, 2);
  for (int micro_batch = 0; micro_batch < 2; micro_batch++) {
    c.classes[0].full.micro_batches[micro_batch].server_backward = s(0.6);
    c.classes[0].full.micro_batches[micro_batch].server_backward_weight = s(0.4);
  }
  oracle_result result = case_run(&c);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 0, 0, 0, 2.1, 2.6);
  expect_stage(&result, ORACLE_SERVER_BACKWARD_INPUT, 0, 0, 0, 2.6, 3.2);
  expect_stage(&result, ORACLE_SERVER_BACKWARD_WEIGHT, 0, 0, 0, 3.2, 3.6);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 0, 0, 1, 3.6, 4.1);
  expect_stage(&result, ORACLE_SERVER_BACKWARD_INPUT, 0, 0, 1, 4.1, 4.7);
  expect_stage(&result, ORACLE_SERVER_BACKWARD_WEIGHT, 0, 0, 1, 4.7, 5.1);
  expect_stage(&result, ORACLE_SERVER_UPDATE, 0, 0, -1, 5.1, 5.35);
  expect_stage(&result, ORACLE_DOWNLOAD, 0, 0, 0, 3.2, 3.7);
  expect_stage(&result, ORACLE_DOWNLOAD, 0, 0, 1, 4.7, 5.2);
  expect_stage(&result, ORACLE_BACKWARD, 0, 0, 0, 3.8, 5.8);
  expect_stage(&result, ORACLE_BACKWARD, 0, 0, 1, 5.8, 7.8);
  ck_assert_int_eq(result.makespan, s(8.7));
  expect_times(
      &result.devices[0], 6.5, 2.2,
      (seconds_by_cause){.server_compute = 1.1, .download = 0.55, .latency = 0.4, .upload = 0.1, .aggregation = 0.05});
  oracle_release(&result);
}
END_TEST

START_TEST(one_forward_one_backward_keeps_two_micro_batches_in_flight) {
  oracle_case c = case_example(ORACLE_1F1B, 1, 4);
  c.classes[0].in_flight = 2;
  oracle_result result = case_run(&c);
  expect_stage(&result, ORACLE_FORWARD, 0, 0, 0, 0, 1);
  expect_stage(&result, ORACLE_FORWARD, 0, 0, 1, 1, 2);
  expect_stage(&result, ORACLE_BACKWARD, 0, 0, 0, 4.2, 6.2);
  expect_stage(&result, ORACLE_BACKWARD, 0, 0, 1, 6.2, 8.2);
  expect_stage(&result, ORACLE_FORWARD, 0, 0, 2, 8.2, 9.2);
  expect_stage(&result, ORACLE_FORWARD, 0, 0, 3, 9.2, 10.2);
  expect_stage(&result, ORACLE_UPLOAD, 0, 0, 3, 10.2, 11.2);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 0, 0, 2, 10.3, 10.8);
  expect_stage(&result, ORACLE_SERVER_BACKWARD, 0, 0, 3, 12.3, 13.3);
  expect_stage(&result, ORACLE_SERVER_UPDATE, 0, 0, -1, 13.3, 13.55);
  expect_stage(&result, ORACLE_BACKWARD, 0, 0, 2, 12.4, 14.4);
  expect_stage(&result, ORACLE_BACKWARD, 0, 0, 3, 14.4, 16.4);
  expect_stage(&result, ORACLE_MODEL_UPLOAD, 0, -1, -1, 16.9, 17.0);
  ck_assert_int_eq(result.makespan, s(17.3));
  oracle_release(&result);
}
END_TEST

START_TEST(split_learning_hands_the_model_from_device_to_device) {
  oracle_case c = case_example(ORACLE_SL, 2, 1);
  c.epochs = 2;
  make_whole(&c.classes[0]);
  make_whole(&c.classes[1]);
  set_forward(&c.classes[1], s(2.4));
  oracle_result result = case_run(&c);
  expect_stage(&result, ORACLE_MODEL_UPLOAD, 0, -1, -1, 12.7, 12.8);
  expect_stage(&result, ORACLE_MODEL_DOWNLOAD, 1, -1, -1, 12.9, 12.95);
  expect_stage(&result, ORACLE_FORWARD, 1, 0, 0, 13.05, 15.45);
  expect_stage(&result, ORACLE_UPLOAD, 1, 0, 0, 15.45, 17.45);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 1, 0, 0, 17.55, 18.55);
  expect_stage(&result, ORACLE_DOWNLOAD, 1, 0, 0, 20.55, 21.55);
  expect_stage(&result, ORACLE_BACKWARD, 1, 0, 0, 21.65, 25.65);
  expect_stage(&result, ORACLE_MODEL_UPLOAD, 1, -1, -1, 26.15, 26.25);
  expect_stage(&result, ORACLE_MODEL_DOWNLOAD, 0, -1, -1, 26.35, 26.4);
  const oracle_stage *last = oracle_find(&result, ORACLE_MODEL_UPLOAD, 0, 1, -1, -1);
  ck_assert_int_eq(last->arrival, s(39.4));
  ck_assert_ptr_null(oracle_find(&result, ORACLE_MODEL_DOWNLOAD, 0, 1, -1, -1));
  ck_assert_ptr_null(oracle_find(&result, ORACLE_AGGREGATE, -1, 0, -1, -1));
  ck_assert_int_eq(result.makespan, s(52.85));
  /* Two gaps of 6.2 within iterations, 13.8 for the other's turn, 0.2 to the last arrival. */
  expect_times(&result.devices[0], 13.0, 39.85,
               (seconds_by_cause){.device_compute = 6.9,
                                  .server_compute = 3 + 2 * 3,
                                  .download = 1.1 + 2 * 1,
                                  .upload = 2.2 + 2 * 2 + 0.1,
                                  .latency = 0.6 + 2 * 0.2 + 0.1,
                                  .drain = 13.45});
  oracle_release(&result);
}
END_TEST

START_TEST(space_share_gives_each_device_a_slow_slot_of_its_own) {
  oracle_case c = case_example(ORACLE_PIPAR, 2, 2);
  set_forward(&c.classes[1], s(1.2));
  c.policy = ORACLE_SPACE_SHARE;
  c.slots = 2;
  oracle_result result = case_run(&c);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 0, 0, 0, 2.1, 3.1);
  expect_stage(&result, ORACLE_SERVER_BACKWARD, 0, 0, 0, 3.1, 5.1);
  expect_stage(&result, ORACLE_SERVER_BACKWARD, 0, 0, 1, 6.1, 8.1);
  expect_stage(&result, ORACLE_SERVER_UPDATE, 0, 0, -1, 8.1, 8.6);
  expect_stage(&result, ORACLE_SERVER_FORWARD, 1, 0, 0, 2.3, 3.3);
  ck_assert_int_eq(oracle_find(&result, ORACLE_SERVER_FORWARD, 1, 0, 0, 0)->slot, 1);
  expect_stage(&result, ORACLE_SERVER_BACKWARD, 1, 0, 1, 6.3, 8.3);
  expect_stage(&result, ORACLE_BACKWARD, 1, 0, 1, 8.9, 10.9);
  expect_stage(&result, ORACLE_AGGREGATE, -1, -1, -1, 11.6, 11.65);
  ck_assert_int_eq(result.makespan, s(11.8));
  oracle_release(&result);
}
END_TEST

START_TEST(an_aggregate_waits_for_a_late_server_update) {
  oracle_case c = case_example(ORACLE_PIPAR, 1, 2);
  c.classes[0].full.server_update = s(5);
  c.slots = 2;
  oracle_result result = case_run(&c);
  /* The model is there at 8.9, the update ends at 10.1. */
  expect_stage(&result, ORACLE_AGGREGATE, -1, -1, -1, 10.1, 10.15);
  ck_assert_int_eq(result.makespan, s(10.3));
  expect_times(
      &result.devices[0], 6.5, 3.8,
      (seconds_by_cause){.server_compute = 1.5, .download = 0.55, .latency = 0.4, .upload = 0.1, .aggregation = 1.25});
  expect_times(&result.slots[0], 8.05, 2.25,
               (seconds_by_cause){.device_compute = 1, .upload = 1, .latency = 0.1, .drain = 0.15});
  expect_times(&result.slots[1], 0, 10.3, (seconds_by_cause){.drain = 10.3});
  oracle_release(&result);
}
END_TEST

int main(void) {
  TCase *examples = tcase_create("examples");
  tcase_add_test(examples, example_a_one_device_two_micro_batches);
  tcase_add_test(examples, example_b_two_devices_share_a_slot);
  tcase_add_test(examples, example_c_the_uplink_slows_down_during_a_transfer);
  tcase_add_test(examples, example_d_sfl_runs_one_after_the_other);
  tcase_add_test(examples, example_e_fl_aggregates_every_two_iterations);
  tcase_add_test(examples, example_f_half_duplex_makes_a_download_wait);
  tcase_add_test(examples, example_g_three_devices_two_slots_two_rounds);
  tcase_add_test(examples, bw_split_sends_the_gradient_before_the_weights_are_done);
  tcase_add_test(examples, one_forward_one_backward_keeps_two_micro_batches_in_flight);
  tcase_add_test(examples, split_learning_hands_the_model_from_device_to_device);
  tcase_add_test(examples, space_share_gives_each_device_a_slow_slot_of_its_own);
  tcase_add_test(examples, an_aggregate_waits_for_a_late_server_update);
  return run_case("oracle", examples);
}
