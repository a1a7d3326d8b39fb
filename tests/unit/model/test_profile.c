/* Costs from profiles against numbers worked out by hand, and profiles that are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/profile.h"
#include "model/cost.h"
#include "suite.h"

static const pp_layer_info layer = {PP_LAYER_LINEAR, "linear", 8, 4, 4, 20};
static const pp_block_info block0 = {"first", {1, 2, 2}, {4, 1, 1}, 20, 0, 1, &layer};
static const pp_block_info block1 = {"middle", {4, 1, 1}, {4, 1, 1}, 20, 0, 1, &layer};
static const pp_block_info block2 = {"last", {4, 1, 1}, {3, 1, 1}, 15, 0, 1, &layer};
static const pp_block_info *const blocks[] = {&block0, &block1, &block2};

#define HEAD                                                                                                           \
  "format: pipar-profile\nformat_version: 1\nnetwork: net\ninput: [1, 2, 2]\nclasses: 3\nbatch_sizes: [1, 3, 7]\n"
#define BLOCK0 "  - {name: first, forward_s: [1, 2, 6], backward_s: [2, 5, 9], update_s: 0.5}\n"
#define BLOCK1 "  - {forward_s: [0.1, 0.2, 0.6], backward_s: [0.2, 0.5, 0.9], update_s: 0.25}\n"
#define BLOCK2 "  - {name: last, forward_s: [0.01, 0.02, 0.06], backward_s: [0.02, 0.05, 0.09], update_s: 0.125}\n"
#define LOSS   "loss: {forward_s: [0.001, 0.002, 0.006], backward_s: [0.002, 0.005, 0.009]}\n"
#define TAIL   LOSS "aggregate: {add_s: 0.5, finish_s: 0.125}\n"
#define WHOLE  HEAD "blocks:\n" BLOCK0 BLOCK1 BLOCK2 TAIL
/* Other numbers, so that device and server cannot be mixed up; in proportion to the size. */
#define SERVER                                                                                                         \
  HEAD "blocks:\n  - {forward_s: [9, 9, 9], backward_s: [9, 9, 9], update_s: 9}\n"                                     \
       "  - {forward_s: [10, 30, 70], backward_s: [20, 60, 140], update_s: 3}\n"                                       \
       "  - {forward_s: [1, 3, 7], backward_s: [2, 6, 14], update_s: 4}\n"                                             \
       "loss: {forward_s: [0.1, 0.3, 0.7], backward_s: [0.2, 0.6, 1.4]}\n"                                             \
       "aggregate: {add_s: 0.5, finish_s: 0.125}\n"

static pp_arena arena;
static void begin(void) { arena = (pp_arena){0}; }
static void end(void) { pp_arena_fini(&arena); }

static const pp_profile *must_parse(const char *text) {
  const pp_profile *profile = NULL;
  pp_status status = pp_profile_parse(&arena, "p.yaml", text, strlen(text), &profile);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return profile;
}

static pp_schedule *must_schedule(pp_method method, int batch, int micro_batches, int split) {
  pp_schedule *schedule = NULL;
  pp_status status = pp_schedule_create(method, batch, micro_batches, split, 0, 3, &schedule);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return schedule;
}

static int64_t cost_of(const pp_schedule *schedule, pp_stage stage, int micro_batch) {
  for (int op = 0; op < schedule->op_count; op++)
    if (schedule->ops[op].stage == stage && schedule->ops[op].micro_batch == micro_batch)
      return schedule->ops[op].cost;
  return -1;
}

static pp_cost_config cost_with(const char *device, const char *server) {
  return (pp_cost_config){.kind = PP_COST_PROFILE, .on_device = must_parse(device), .on_server = must_parse(server)};
}

static pp_cost_inputs inputs_of(const pp_cost_config *cost) {
  return (pp_cost_inputs){.cost = cost, .block_count = 3, .blocks = blocks, .classes = 3, .group = 4};
}

static pp_schedule *filled(const pp_cost_config *cost, pp_method method, int batch, int micro_batches, int split) {
  pp_cost_inputs in = inputs_of(cost);
  pp_schedule *schedule = must_schedule(method, batch, micro_batches, split);
  pp_status status = pp_cost_fill(&in, schedule);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return schedule;
}

START_TEST(blocks_are_summed_on_their_side_at_the_sizes_that_were_measured) {
  pp_cost_config cost = cost_with(WHOLE, SERVER);
  pp_schedule *schedule = filled(&cost, PP_METHOD_PIPAR, 3, 1, 1);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, 0), 2000000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_BACKWARD, 0), 5000000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_DEVICE_UPDATE, -1), 500000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_FORWARD, 0), 33300000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_BACKWARD, 0), 66600000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_UPDATE, -1), 7000000000);
  /* Messages are those of the network: 4 floats and a label a sample, 20 parameters. */
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_UPLOAD, 0), 3 * (16 + 4));
  ck_assert_int_eq(schedule->model_upload_bytes, 80);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(sizes_in_between_lie_on_a_line) {
  pp_cost_config cost = cost_with(WHOLE, SERVER);
  pp_schedule *schedule = filled(&cost, PP_METHOD_PIPAR, 9, 2, 2); /* micro-batches of 5 and 4 */
  /* At 5, half way from 3 to 7: 4 + 0.4; at 4, a quarter of the way: 3 + 0.3. */
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, 0), 4400000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, 1), 3300000000);
  /* Backward: 7 + 0.7, and 6 + 0.6. */
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_BACKWARD, 0), 7700000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_BACKWARD, 1), 6600000000);
  /* The server's numbers are in proportion to the size. */
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_FORWARD, 0), 5500000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_BACKWARD, 1), 8800000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_DEVICE_UPDATE, -1), 750000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_UPDATE, -1), 4000000000);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(fl_has_the_whole_network_and_the_loss_on_the_device) {
  pp_cost_config cost = cost_with(WHOLE, SERVER);
  pp_schedule *schedule = filled(&cost, PP_METHOD_FL, 1, 1, 3);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, 0), 1111000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_BACKWARD, 0), 2222000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_DEVICE_UPDATE, -1), 875000000);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(with_all_blocks_on_the_device_the_server_has_the_loss) {
  pp_cost_config cost = cost_with(WHOLE, SERVER);
  pp_schedule *schedule = filled(&cost, PP_METHOD_SFL, 7, 1, 3);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, 0), 6660000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_FORWARD, 0), 700000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_BACKWARD, 0), 1400000000);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(aggregate_adds_each_model_and_finishes_once) {
  pp_cost_config cost = cost_with(WHOLE, SERVER);
  pp_cost_inputs in = inputs_of(&cost);
  pp_ns length = 0;
  ck_assert_ptr_null(pp_cost_aggregate(&in, 9, &length));
  ck_assert_int_eq(length, 4625000000);
}
END_TEST

START_TEST(a_constant_and_a_cost_per_sample_can_be_written_by_hand) {
  /* 2 s + 0.5 s a sample, and 0.001 s a sample: sizes 0 and 1, extended. */
  static const char text[] =
      "format: pipar-profile\nformat_version: 1\nnetwork: net\ninput: [1, 2, 2]\nclasses: 3\nbatch_sizes: [0, 1]\n"
      "extrapolate: true\nblocks:\n"
      "  - {forward_s: [2, 2.5], backward_s: [2, 2.5], update_s: 1}\n"
      "  - {forward_s: [2, 2.5], backward_s: [2, 2.5], update_s: 1}\n"
      "  - {forward_s: [2, 2.5], backward_s: [2, 2.5], update_s: 1}\n"
      "loss: {forward_s: [0, 0.001], backward_s: [0, 0.001]}\naggregate: {add_s: 1, finish_s: 0}\n";
  pp_cost_config cost = cost_with(text, text);
  pp_schedule *schedule = filled(&cost, PP_METHOD_PIPAR, 200, 2, 1);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, 0), 52000000000);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_SERVER_FORWARD, 1), 104100000000);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(extrapolation_goes_on_from_the_nearest_two_sizes) {
  pp_cost_config cost = cost_with("extrapolate: true\n" WHOLE, SERVER "extrapolate: true\n");
  pp_schedule *schedule = filled(&cost, PP_METHOD_SFL, 9, 1, 1);
  ck_assert_int_eq(cost_of(schedule, PP_STAGE_FORWARD, 0), 8000000000); /* 6 + (9 - 7) (6 - 2) / (7 - 3) */
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(a_length_is_rounded_once_after_the_sum) {
  /* 0.4 ns a block: 0.8 ns of two blocks is 1 ns, 0.4 ns of one is refused. */
  static const char text[] =
      HEAD "blocks:\n"
           "  - {forward_s: [4e-10, 4e-10, 4e-10], backward_s: [1, 1, 1], update_s: 1}\n"
           "  - {forward_s: [4e-10, 4e-10, 4e-10], backward_s: [1, 1, 1], update_s: 1}\n"
           "  - {forward_s: [1, 1, 1], backward_s: [1, 1, 1], update_s: 1}\n"
           "loss: {forward_s: [1, 1, 1], backward_s: [1, 1, 1]}\naggregate: {add_s: 1, finish_s: 1}\n";
  pp_cost_config cost = cost_with(text, text);
  pp_schedule *two = filled(&cost, PP_METHOD_SFL, 3, 1, 2), *one = must_schedule(PP_METHOD_SFL, 3, 1, 1);
  ck_assert_int_eq(cost_of(two, PP_STAGE_FORWARD, 0), 1);
  pp_cost_inputs in = inputs_of(&cost);
  pp_status status = pp_cost_fill(&in, one);
  ck_assert_str_eq(pp_error_message(status), "devices.4: the profile cost of forward is 4e-10 s, which rounds to 0: a "
                                             "stage lasts at least 1 ns");
  pp_error_free(status);
  pp_schedule_destroy(one);
  pp_schedule_destroy(two);
}
END_TEST

START_TEST(what_a_profile_does_not_give_is_refused_where_it_is_needed) {
  static const struct {
    const char *device, *server, *message;
    int batch;
  } cases[] = {
      {WHOLE, SERVER, "p.yaml:6:14: batch_sizes: devices.4 has a batch of 8: allowed are 1 to 7, or `extrapolate", 8},
      {"extrapolate: true\n" HEAD
       "blocks:\n  - {forward_s: [1, 9, 1], backward_s: [1, 1, 1], update_s: 1}\n" BLOCK1 BLOCK2 TAIL,
       SERVER, "p.yaml:9:17: blocks.0.forward_s: extrapolated falls below 0: allowed are", 8},
      {HEAD "blocks:\n" BLOCK0 BLOCK1 TAIL, SERVER, "p.yaml:8:3: blocks: 2 blocks: allowed are the network's 3", 3},
      {WHOLE, HEAD "blocks:\n" BLOCK0 BLOCK2 BLOCK1 TAIL,
       "p.yaml:9:12: blocks.1.name: last is not that block of the network: allowed is middle", 3},
  };
  for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
    pp_cost_config cost = cost_with(cases[at].device, cases[at].server);
    pp_cost_inputs in = inputs_of(&cost);
    pp_schedule *schedule = must_schedule(PP_METHOD_SFL, cases[at].batch, 1, 1);
    pp_status status = pp_cost_fill(&in, schedule);
    ck_assert_msg(strncmp(pp_error_message(status), cases[at].message, strlen(cases[at].message)) == 0, "%zu: %s", at,
                  pp_error_message(status));
    pp_error_free(status);
    pp_schedule_destroy(schedule);
  }
}
END_TEST

START_TEST(a_profile_of_another_network_is_refused) {
  pp_cost_config cost = cost_with(WHOLE, WHOLE);
  pp_cost_inputs in = inputs_of(&cost);
  pp_schedule *schedule = must_schedule(PP_METHOD_SFL, 3, 1, 1);
  in.classes = 5;
  pp_status status = pp_cost_fill(&in, schedule);
  ck_assert_str_eq(pp_error_message(status),
                   "p.yaml:5:10: classes: 3 are not those of the experiment's data: allowed is 5");
  pp_error_free(status);
  const pp_block_info *const swapped[] = {&block1, &block0, &block2};
  in.blocks = swapped;
  status = pp_cost_fill(&in, schedule);
  ck_assert_str_eq(pp_error_message(status), "p.yaml:4:8: input: [1, 2, 2] is not what the experiment's network takes: "
                                             "allowed is [4, 1, 1]");
  pp_error_free(status);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(a_server_without_aggregate_is_refused) {
  pp_cost_config cost = cost_with(WHOLE, HEAD "blocks:\n" BLOCK0 BLOCK1 BLOCK2 LOSS);
  pp_cost_inputs in = inputs_of(&cost);
  pp_ns length = 0;
  pp_status status = pp_cost_aggregate(&in, 9, &length);
  ck_assert_str_eq(pp_error_message(status), "p.yaml:1:1: aggregate: is missing: the server's profile needs {add_s: "
                                             ".., finish_s: ..}, seconds");
  pp_error_free(status);
}
END_TEST

START_TEST(files_that_are_no_profiles_are_refused_with_line_and_key) {
#define REST "blocks:\n" BLOCK0 BLOCK1 BLOCK2 TAIL
#define TOP  "format: pipar-profile\nformat_version: 1\nnetwork: net\ninput: [1, 2, 2]\nclasses: 3\n"
  static const struct {
    const char *text, *message;
  } cases[] = {
      {"", "p.yaml: is not a profile: allowed is a file as `pipar profile` writes it"},
      {"- 1\n", "p.yaml: is not a profile"},
      {"format: other\n", "p.yaml:1:9: format: other is unknown: allowed is pipar-profile"},
      {"format: pipar-profile\nformat_version: 2\n", "p.yaml:2:17: format_version: 2 is out of range: allowed is"},
      {"format_version: 1\n", "p.yaml:1:1: format: is missing: allowed is pipar-profile"},
      {WHOLE "nework: x\n", "p.yaml:13:1: nework: is not a key, did you mean network?"},
      {HEAD TAIL, "p.yaml:1:1: blocks: is missing"},
      {HEAD "blocks: []\n" TAIL, "p.yaml:7:9: blocks: allowed is a list of 1 to 1000 mappings"},
      {HEAD "blocks:\n" BLOCK0 BLOCK1 BLOCK2, "p.yaml:1:1: loss: is missing"},
      {TOP "batch_sizes: [3, 1]\n" REST, "p.yaml:6:18: batch_sizes.1: 1 does not rise: allowed are whole numbers"},
      {TOP "batch_sizes: [1, 2.5, 7]\n" REST, "p.yaml:6:18: batch_sizes.1: 2.5 is not whole: allowed are"},
      {TOP "batch_sizes: [0]\n" REST, "p.yaml:6:14: batch_sizes: 0 alone is no batch"},
      {TOP "batch_sizes: []\n" REST, "p.yaml:6:14: batch_sizes: a list is not such a list"},
      {TOP "batch_sizes: [-1]\n" REST, "p.yaml:6:15: batch_sizes.0: -1 is out of range"},
      {TOP "extrapolate: true\nbatch_sizes: [3]\n" REST, "p.yaml:7:14: batch_sizes: one size gives no line"},
      {TOP "batch_sizes: [1, 3]\n" REST, "p.yaml:8:30: blocks.0.forward_s: 3 values: allowed is one a batch size"},
      {HEAD "blocks:\n  - {forward_s: [1, 2, 3], update_s: 1}\n" TAIL, "p.yaml:8:5: blocks.0.backward_s: is missing"},
      {HEAD "blocks:\n  - {forward_s: [1, -2, 3], backward_s: [1, 1, 1], update_s: 1}\n" TAIL,
       "p.yaml:8:21: blocks.0.forward_s.1: -2 is out of range: allowed is a number from 0"},
      {HEAD "blocks:\n  - {forward_s: [1, .nan, 3], backward_s: [1, 1, 1], update_s: 1}\n" TAIL,
       "p.yaml:8:21: blocks.0.forward_s.1: .nan is not a finite number"},
      {HEAD "blocks:\n  - {forward_s: [1, 2, 3], backward_s: [1, 1, 1]}\n" TAIL,
       "p.yaml:8:5: blocks.0.update_s: is missing"},
      {WHOLE "classes: 3\n", "p.yaml:13:1: classes: is given twice"},
      {HEAD "blocks:\n" BLOCK0 LOSS "aggregate: {add_s: 1}\n", "p.yaml:10:12: aggregate.finish_s: is missing"},
  };
  for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
    const pp_profile *profile = NULL;
    pp_status status = pp_profile_parse(&arena, "p.yaml", cases[at].text, strlen(cases[at].text), &profile);
    ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
    ck_assert_msg(strncmp(pp_error_message(status), cases[at].message, strlen(cases[at].message)) == 0, "%zu: %s", at,
                  pp_error_message(status));
    pp_error_free(status);
  }
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("profile");
  tcase_add_checked_fixture(tests, begin, end);
  tcase_add_test(tests, blocks_are_summed_on_their_side_at_the_sizes_that_were_measured);
  tcase_add_test(tests, sizes_in_between_lie_on_a_line);
  tcase_add_test(tests, fl_has_the_whole_network_and_the_loss_on_the_device);
  tcase_add_test(tests, with_all_blocks_on_the_device_the_server_has_the_loss);
  tcase_add_test(tests, aggregate_adds_each_model_and_finishes_once);
  tcase_add_test(tests, a_constant_and_a_cost_per_sample_can_be_written_by_hand);
  tcase_add_test(tests, extrapolation_goes_on_from_the_nearest_two_sizes);
  tcase_add_test(tests, a_length_is_rounded_once_after_the_sum);
  tcase_add_test(tests, what_a_profile_does_not_give_is_refused_where_it_is_needed);
  tcase_add_test(tests, a_profile_of_another_network_is_refused);
  tcase_add_test(tests, a_server_without_aggregate_is_refused);
  tcase_add_test(tests, files_that_are_no_profiles_are_refused_with_line_and_key);
  return run_case("profile", tests);
}
