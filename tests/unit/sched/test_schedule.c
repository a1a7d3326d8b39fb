#include <stdlib.h>
#include <string.h>

#include "pipar/schedule.h"
#include "suite.h"

static pp_schedule *must_create(pp_method method, int batch, int micro_batches, int split) {
  pp_schedule *schedule = NULL;
  pp_status status = pp_schedule_create(method, batch, micro_batches, split, 0, 5, &schedule);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return schedule;
}

static int find(const pp_schedule *schedule, pp_stage stage, int micro_batch) {
  for (int op = 0; op < schedule->op_count; op++)
    if (schedule->ops[op].stage == stage && schedule->ops[op].micro_batch == micro_batch)
      return op;
  return -1;
}

static bool waits_for(const pp_op *op, int other) { return op->after[0] == other || op->after[1] == other; }

static const pp_method methods[] = {PP_METHOD_FL,    PP_METHOD_SL,   PP_METHOD_SFL,
                                    PP_METHOD_PIPAR, PP_METHOD_1F1B, PP_METHOD_BW_SPLIT};
enum { method_count = sizeof methods / sizeof methods[0], blocks = 5 };

START_TEST(micro_batches_differ_by_at_most_one_sample_larger_first) {
  for (int batch = 1; batch <= 40; batch++)
    for (int count = 1; count <= batch; count++) {
      int next = 0;
      for (int micro_batch = 0; micro_batch < count; micro_batch++) {
        int size = pp_micro_batch_size(batch, count, micro_batch);
        ck_assert_int_eq(pp_micro_batch_first(batch, count, micro_batch), next);
        ck_assert_int_ge(size, batch / count);
        ck_assert_int_le(size, pp_micro_batch_size(batch, count, 0));
        ck_assert_int_le(pp_micro_batch_size(batch, count, 0) - size, 1);
        next += size;
      }
      ck_assert_int_eq(next, batch);
    }
}
END_TEST

START_TEST(every_operation_follows_what_it_waits_for_and_covers_its_samples) {
  for (int method = 0; method < method_count; method++)
    for (int batch = 1; batch <= 7; batch++)
      for (int count = 1; count <= 9; count++) {
        pp_schedule *schedule = must_create(methods[method], batch, count, 2);
        int forwarded = 0, backwarded = 0;
        for (int index = 0; index < schedule->op_count; index++) {
          const pp_op *op = &schedule->ops[index];
          ck_assert_int_lt(op->after[0], index);
          ck_assert_int_lt(op->after[1], index);
          ck_assert_int_eq(op->cost, 0);
          forwarded += op->stage == PP_STAGE_FORWARD ? op->samples : 0;
          backwarded += op->stage == PP_STAGE_BACKWARD ? op->samples : 0;
          if (op->micro_batch >= 0)
            ck_assert_int_eq(op->first_sample, pp_micro_batch_first(batch, schedule->micro_batches, op->micro_batch));
        }
        ck_assert_int_eq(forwarded, batch);
        ck_assert_int_eq(backwarded, batch);
        pp_schedule_destroy(schedule);
      }
}
END_TEST

START_TEST(pipar_has_six_stages_a_micro_batch_and_two_updates) {
  pp_schedule *schedule = must_create(PP_METHOD_PIPAR, 10, 4, 2);
  ck_assert_int_eq(schedule->op_count, 6 * 4 + 2);
  ck_assert_int_eq(schedule->micro_batches, 4);
  ck_assert_int_eq(schedule->split, 2);
  int last_forward = find(schedule, PP_STAGE_FORWARD, 3);
  for (int j = 0; j < 4; j++) {
    int forward = find(schedule, PP_STAGE_FORWARD, j), upload = find(schedule, PP_STAGE_UPLOAD, j);
    int server_forward = find(schedule, PP_STAGE_SERVER_FORWARD, j);
    int server_backward = find(schedule, PP_STAGE_SERVER_BACKWARD, j);
    int download = find(schedule, PP_STAGE_DOWNLOAD, j), backward = find(schedule, PP_STAGE_BACKWARD, j);
    ck_assert(waits_for(&schedule->ops[upload], forward));
    ck_assert(waits_for(&schedule->ops[server_forward], upload));
    ck_assert(waits_for(&schedule->ops[server_backward], server_forward));
    ck_assert(waits_for(&schedule->ops[download], server_backward));
    ck_assert(waits_for(&schedule->ops[backward], download) && waits_for(&schedule->ops[backward], last_forward));
  }
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(sfl_is_pipar_with_one_micro_batch) {
  pp_schedule *sfl = must_create(PP_METHOD_SFL, 10, 4, 2), *pipar = must_create(PP_METHOD_PIPAR, 10, 1, 2);
  ck_assert_int_eq(sfl->micro_batches, 1);
  ck_assert_int_eq(sfl->op_count, pipar->op_count);
  ck_assert_mem_eq(sfl->ops, pipar->ops, (size_t)sfl->op_count * sizeof *sfl->ops);
  pp_schedule_destroy(sfl);
  pp_schedule_destroy(pipar);
}
END_TEST

START_TEST(fl_has_the_whole_network_on_the_device) {
  pp_schedule *schedule = must_create(PP_METHOD_FL, 10, 4, 2);
  ck_assert_int_eq(schedule->op_count, 3);
  ck_assert_int_eq(schedule->split, blocks);
  ck_assert_int_eq(schedule->ops[0].samples, 10);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(a_small_mini_batch_has_fewer_micro_batches) {
  pp_schedule *schedule = must_create(PP_METHOD_PIPAR, 3, 8, 2);
  ck_assert_int_eq(schedule->micro_batches, 3);
  ck_assert_int_eq(schedule->op_count, 6 * 3 + 2);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(a_server_without_parameters_has_no_update) {
  pp_schedule *schedule = must_create(PP_METHOD_PIPAR, 10, 4, blocks);
  ck_assert_int_eq(find(schedule, PP_STAGE_SERVER_UPDATE, -1), -1);
  ck_assert_int_eq(schedule->op_count, 6 * 4 + 1);
  pp_schedule_destroy(schedule);
}
END_TEST

START_TEST(stages_have_the_names_and_numbers_of_results_files) {
  static const char *const names[PP_STAGE_COUNT] = {"forward",
                                                    "upload",
                                                    "server_forward",
                                                    "server_backward",
                                                    "download",
                                                    "backward",
                                                    "device_update",
                                                    "server_update",
                                                    "model_upload",
                                                    "aggregate",
                                                    "model_download",
                                                    "server_backward_input",
                                                    "server_backward_weight"};
  for (int stage = 0; stage < PP_STAGE_COUNT; stage++)
    ck_assert_str_eq(pp_stage_name((pp_stage)stage), names[stage]);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("schedule");
  tcase_add_test(tests, micro_batches_differ_by_at_most_one_sample_larger_first);
  tcase_add_test(tests, every_operation_follows_what_it_waits_for_and_covers_its_samples);
  tcase_add_test(tests, pipar_has_six_stages_a_micro_batch_and_two_updates);
  tcase_add_test(tests, sfl_is_pipar_with_one_micro_batch);
  tcase_add_test(tests, fl_has_the_whole_network_on_the_device);
  tcase_add_test(tests, a_small_mini_batch_has_fewer_micro_batches);
  tcase_add_test(tests, a_server_without_parameters_has_no_update);
  tcase_add_test(tests, stages_have_the_names_and_numbers_of_results_files);
  return run_case("schedule", tests);
}
