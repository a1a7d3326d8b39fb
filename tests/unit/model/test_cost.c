/* Costs against numbers worked out by hand for a network of two blocks. */
#include <stdlib.h>
#include <string.h>

#include "model/cost.h"
#include "suite.h"

/* Block 0: a convolution of 1,000 MACs, 10 inputs, 40 outputs, 30 parameters; a batch norm of 40 elements, 8
 * parameters. Block 1: a linear layer of 200 MACs, 40 inputs, 5 outputs, 205 parameters. */
static const pp_layer_info layers0[] = {{PP_LAYER_DENSE_CONV, "conv", 1000, 10, 40, 30},
                                        {PP_LAYER_ELEMENTWISE, "bn", 0, 40, 40, 8}};
static const pp_layer_info layers1[] = {{PP_LAYER_LINEAR, "linear", 200, 40, 5, 205}};
static const pp_block_info block0 = {"conv", {1, 2, 5}, {4, 2, 5}, 38, 8, 2, layers0};
static const pp_block_info block1 = {"linear", {4, 2, 5}, {5, 1, 1}, 205, 0, 1, layers1};
static const pp_block_info *const blocks[] = {&block0, &block1};

/* Per second: 10^6 operations of a convolution, 10^5 of a linear layer, 10^5 bytes; 1 ms a layer and pass. */
static const pp_device_config slow = {.dense_conv_gflops = 1e-3,
                                      .pointwise_gflops = 1,
                                      .depthwise_gflops = 1,
                                      .linear_gflops = 1e-4,
                                      .memory_gbs = 1e-4,
                                      .overhead_us = 1000};
/* Bound by memory everywhere: 1 MB/s. */
static const pp_device_config wide = {.dense_conv_gflops = 1e3,
                                      .pointwise_gflops = 1e3,
                                      .depthwise_gflops = 1e3,
                                      .linear_gflops = 1e3,
                                      .memory_gbs = 1e-3};
static const pp_cost_config roofline = {.kind = PP_COST_ROOFLINE};

static pp_cost_inputs inputs(const pp_cost_config *cost) {
  return (pp_cost_inputs){
      .cost = cost, .device = &slow, .server = &wide, .block_count = 2, .blocks = blocks, .classes = 5, .group = 3};
}

static pp_schedule *must_schedule(pp_method method, int batch, int micro_batches, int split) {
  pp_schedule *schedule = NULL;
  pp_status status = pp_schedule_create(method, batch, micro_batches, split, 0, 2, &schedule);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return schedule;
}

static int64_t cost_of(const pp_schedule *schedule, pp_stage stage, int micro_batch) {
  for (int op = 0; op < schedule->op_count; op++)
    if (schedule->ops[op].stage == stage && schedule->ops[op].micro_batch == micro_batch)
      return schedule->ops[op].cost;
  return -1;
}

static void must_fill(const pp_cost_inputs *in, pp_schedule *schedule) {
  pp_status status = pp_cost_fill(in, schedule);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
}

START_TEST(roofline_takes_the_slower_of_arithmetic_and_memory_and_adds_overhead) {
  pp_cost_inputs in = inputs(&roofline);
  pp_schedule *schedule = must_schedule(PP_METHOD_PIPAR, 5, 2, 1); /* micro-batches of 3 and 2 */
  must_fill(&in, schedule);
  /* 3 samples: conv max(6,000 / 10^6, 4 (150 + 30) / 10^5) = 7.2 ms, bn 4 (240 + 8) / 10^5 = 9.92 ms, 2 ms overhead. */
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, 0), 19120000);
  /* 2 samples: conv max(4, 5.2), bn 6.72. */
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, 1), 13920000);
  /* One pass of the first layer, two of the second. */
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_BACKWARD, 0), 8200000 + 2 * 10920000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_DEVICE_UPDATE, -1), 20 * 38 * 10000);
  /* Server, 1 us a byte: linear 4 (3 x 45 + 205) = 1,360; loss 4 (3 x 10) = 120. */
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_FORWARD, 0), 1480000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_BACKWARD, 0), 2 * 1480000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_UPDATE, -1), 20 * 205 * 1000);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(messages_are_activations_with_labels_gradients_and_models_with_statistics) {
  pp_cost_inputs in = inputs(&roofline);
  pp_schedule *schedule = must_schedule(PP_METHOD_PIPAR, 5, 2, 1);
  must_fill(&in, schedule);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_UPLOAD, 0), 3 * (4 * 40 + 4));
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_DOWNLOAD, 1), 2 * 4 * 40);
  ck_assert_int_eq(schedule->model_upload_bytes, 4 * (38 + 8));
  ck_assert_int_eq(schedule->model_download_bytes, 4 * (38 + 8));
  pp_schedule_destroy(schedule);
  schedule = must_schedule(PP_METHOD_FL, 5, 1, 1);
  must_fill(&in, schedule);
  ck_assert_int_eq(schedule->model_upload_bytes, 4 * (38 + 8 + 205));
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(fl_computes_everything_on_the_device_and_the_loss_too) {
  pp_cost_inputs in = inputs(&roofline);
  pp_schedule *schedule = must_schedule(PP_METHOD_FL, 3, 1, 1);
  must_fill(&in, schedule);
  /* linear max(1,200 / 10^5, 4 (135 + 205) / 10^5) = 13.6 ms, loss 4 x 30 / 10^5 = 1.2 ms, 4 ms overhead in all. */
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, 0), 19120000 + 14600000 + 2200000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_BACKWARD, 0), 8200000 + 2 * (10920000 + 14600000 + 2200000));
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_DEVICE_UPDATE, -1), 20 * 243 * 10000);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(with_all_blocks_on_the_device_the_server_computes_the_loss_and_updates_nothing) {
  pp_cost_inputs in = inputs(&roofline);
  pp_schedule *schedule = must_schedule(PP_METHOD_SFL, 3, 1, 2);
  must_fill(&in, schedule);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_FORWARD, 0), 120000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_BACKWARD, 0), 240000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_UPDATE, -1), -1); /* there is none */
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_UPLOAD, 0), 3 * (4 * 5 + 4));
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_DOWNLOAD, 0), 3 * 4 * 5);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, 0), 19120000 + 14600000);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(aggregate_reads_every_model_and_writes_one) {
  pp_cost_inputs in = inputs(&roofline);
  pp_ns length = 0;
  ck_assert_ptr_null(pp_cost_aggregate(&in, 9, &length));
  ck_assert_int_eq(length, 10 * 4 * (38 + 8 + 205) * 1000);
}
END_TEST

static const pp_cost_table full_table = {.forward_ns = 1,
                                         .backward_ns = 2,
                                         .update_ns = 3,
                                         .server_forward_ns = 4,
                                         .server_backward_ns = 5,
                                         .server_update_ns = 6,
                                         .aggregate_ns = 7,
                                         .upload_bytes = 8,
                                         .download_bytes = 9,
                                         .model_upload_bytes = 10,
                                         .model_download_bytes = 11};

START_TEST(a_table_is_taken_as_it_is_whatever_the_size_of_a_micro_batch) {
  pp_cost_config cost = {.kind = PP_COST_TABLE, .table = full_table};
  pp_cost_inputs in = {.cost = &cost, .device = &slow, .server = &wide};
  pp_schedule *schedule = must_schedule(PP_METHOD_PIPAR, 5, 2, 1);
  must_fill(&in, schedule);
  for (int micro_batch = 0; micro_batch < 2; micro_batch++) {
    ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, micro_batch), 1);
    ck_assert_int_eq(cost_of(schedule, PP_STAGE_BACKWARD, micro_batch), 2);
    ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_FORWARD, micro_batch), 4);
    ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_BACKWARD, micro_batch), 5);
    ck_assert_int_eq(cost_of(schedule, PP_STAGE_UPLOAD, micro_batch), 8);
    ck_assert_int_eq(cost_of(schedule, PP_STAGE_DOWNLOAD, micro_batch), 9);
  }
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_DEVICE_UPDATE, -1), 3);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_UPDATE, -1), 6);
  ck_assert_int_eq(schedule->model_upload_bytes, 10);
  ck_assert_int_eq(schedule->model_download_bytes, 11);
  pp_ns aggregate = 0;
  ck_assert_ptr_null(pp_cost_aggregate(&in, 100, &aggregate));
  ck_assert_int_eq(aggregate, 7);
  pp_schedule_destroy(schedule);
}
END_TEST

static void expect_refused(pp_status status, const char *group, const char *says) {
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  ck_assert_msg(strstr(pp_error_message(status), group) != NULL && strstr(pp_error_message(status), says) != NULL, "%s",
                pp_error_message(status));
  pp_error_free(status);
}

START_TEST(a_missing_cost_is_refused_by_name_and_one_that_is_not_used_is_not_missed) {
  static const struct {
    size_t offset;
    const char *key;
    bool in_fl;
  } costs[] = {{offsetof(pp_cost_table, forward_ns), "cost.device.forward_s", true},
               {offsetof(pp_cost_table, backward_ns), "cost.device.backward_s", true},
               {offsetof(pp_cost_table, update_ns), "cost.device.update_s", true},
               {offsetof(pp_cost_table, server_forward_ns), "cost.server.forward_s", false},
               {offsetof(pp_cost_table, server_backward_ns), "cost.server.backward_s", false},
               {offsetof(pp_cost_table, server_update_ns), "cost.server.update_s", false},
               {offsetof(pp_cost_table, upload_bytes), "cost.bytes.upload", false},
               {offsetof(pp_cost_table, download_bytes), "cost.bytes.download", false},
               {offsetof(pp_cost_table, model_upload_bytes), "cost.bytes.model_upload", true},
               {offsetof(pp_cost_table, model_download_bytes), "cost.bytes.model_download", true}};
  for (size_t which = 0; which < sizeof costs / sizeof costs[0]; which++) {
    pp_cost_config cost = {.kind = PP_COST_TABLE, .table = full_table};
    memset((char *)&cost.table + costs[which].offset, 0, sizeof(int64_t));
    pp_cost_inputs in = {.cost = &cost, .device = &slow, .server = &wide, .group = 3};
    pp_schedule *split = must_schedule(PP_METHOD_PIPAR, 5, 2, 1), *whole = must_schedule(PP_METHOD_FL, 5, 1, 1);
    expect_refused(pp_cost_fill(&in, split), "devices.3", costs[which].key);
    pp_status status = pp_cost_fill(&in, whole);
    if (costs[which].in_fl)
      expect_refused(status, "devices.3", costs[which].key);
    else
      ck_assert_ptr_null(status);
    pp_schedule_destroy(split);
    pp_schedule_destroy(whole);
  }
}
END_TEST

START_TEST(a_roofline_cost_that_rounds_to_nothing_or_overflows_is_refused) {
  pp_device_config infinite = {.dense_conv_gflops = 1e30,
                               .pointwise_gflops = 1e30,
                               .depthwise_gflops = 1e30,
                               .linear_gflops = 1e30,
                               .memory_gbs = 1e30};
  pp_cost_inputs in = inputs(&roofline);
  in.device = &infinite;
  pp_schedule *schedule = must_schedule(PP_METHOD_PIPAR, 5, 2, 1);
  expect_refused(pp_cost_fill(&in, schedule), "devices.3", "forward");
  pp_device_config stuck = slow;
  stuck.memory_gbs = 1e-30;
  in.device = &stuck;
  expect_refused(pp_cost_fill(&in, schedule), "devices.3", "forward");
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(measured_stages_have_no_length_yet_and_messages_weigh_as_by_the_roofline) {
  const pp_cost_config measured = {.kind = PP_COST_MEASURED};
  pp_cost_inputs in = inputs(&measured), other = inputs(&roofline);
  pp_schedule *schedule = must_schedule(PP_METHOD_PIPAR, 5, 2, 1), *like = must_schedule(PP_METHOD_PIPAR, 5, 2, 1);
  in.device = in.server = NULL; /* no rates are looked at */
  ck_assert_ptr_null(pp_cost_fill(&in, schedule));
  ck_assert_ptr_null(pp_cost_fill(&other, like));
  for (int index = 0; index < schedule->op_count; index++) {
    pp_resource resource = pp_stage_resource(schedule->ops[index].stage);
    bool transfer = resource == PP_RESOURCE_UPLINK || resource == PP_RESOURCE_DOWNLINK;
    ck_assert_int_eq(schedule->ops[index].cost, transfer ? like->ops[index].cost : 0);
  }
  ck_assert_int_eq(schedule->model_upload_bytes, like->model_upload_bytes);
  ck_assert_int_eq(schedule->model_download_bytes, like->model_download_bytes);
  pp_ns aggregate = -1;
  ck_assert_ptr_null(pp_cost_aggregate(&in, 4, &aggregate));
  ck_assert_int_eq(aggregate, 0);
  pp_schedule_destroy(schedule);
  pp_schedule_destroy(like);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("cost");
  tcase_add_test(tests, roofline_takes_the_slower_of_arithmetic_and_memory_and_adds_overhead);
  tcase_add_test(tests, messages_are_activations_with_labels_gradients_and_models_with_statistics);
  tcase_add_test(tests, fl_computes_everything_on_the_device_and_the_loss_too);
  tcase_add_test(tests, with_all_blocks_on_the_device_the_server_computes_the_loss_and_updates_nothing);
  tcase_add_test(tests, aggregate_reads_every_model_and_writes_one);
  tcase_add_test(tests, a_table_is_taken_as_it_is_whatever_the_size_of_a_micro_batch);
  tcase_add_test(tests, a_missing_cost_is_refused_by_name_and_one_that_is_not_used_is_not_missed);
  tcase_add_test(tests, a_roofline_cost_that_rounds_to_nothing_or_overflows_is_refused);
  tcase_add_test(tests, measured_stages_have_no_length_yet_and_messages_weigh_as_by_the_roofline);
  return run_case("cost", tests);
}
