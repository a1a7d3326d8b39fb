#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "suite.h"

static pp_config with_groups(pp_device_group *groups, int count, int64_t train_samples) {
  pp_config config = {.seed = 1994, .group_count = count, .groups = groups};
  config.dataset.train_samples = train_samples;
  return config;
}

START_TEST(shares_differ_by_at_most_one_larger_first) {
  pp_device_group groups[] = {{.count = 3, .samples = -1}, {.count = 1, .samples = -1}};
  pp_config config = with_groups(groups, 2, 10);
  int64_t samples[4];
  ck_assert_ptr_null(pp_partition_shares(&config, samples));
  const int64_t expected[] = {3, 3, 2, 2};
  ck_assert_mem_eq(samples, expected, sizeof expected);
}
END_TEST

START_TEST(groups_with_samples_of_their_own_leave_the_rest_to_the_others) {
  pp_device_group groups[] = {{.count = 2, .samples = -1}, {.count = 2, .samples = 5}, {.count = 1, .samples = -1}};
  pp_config config = with_groups(groups, 3, 21);
  int64_t samples[5];
  ck_assert_ptr_null(pp_partition_shares(&config, samples));
  const int64_t expected[] = {4, 4, 5, 5, 3};
  ck_assert_mem_eq(samples, expected, sizeof expected);
}
END_TEST

START_TEST(samples_may_be_left_over_when_every_group_names_its_own) {
  pp_device_group groups[] = {{.count = 2, .samples = 5}};
  pp_config config = with_groups(groups, 1, 100);
  int64_t samples[2];
  ck_assert_ptr_null(pp_partition_shares(&config, samples));
  ck_assert_int_eq(samples[0], 5);
  ck_assert_int_eq(samples[1], 5);
}
END_TEST

static void fails_with(pp_config config, const char *text) {
  int64_t samples[8];
  pp_status status = pp_partition_shares(&config, samples);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  ck_assert_msg(strstr(pp_error_message(status), text) != NULL, "%s", pp_error_message(status));
  pp_error_free(status);
}

START_TEST(a_device_without_a_sample_and_too_many_samples_are_errors) {
  pp_device_group more_devices[] = {{.count = 4, .samples = -1}};
  fails_with(with_groups(more_devices, 1, 3), "dataset.train_samples: 3 training samples leave 3 for the 4 devices");
  pp_device_group none_left[] = {{.count = 2, .samples = 5}, {.count = 1, .samples = -1}};
  fails_with(with_groups(none_left, 2, 10), "leave 0 for the 1 devices");
  pp_device_group too_many[] = {{.count = 1, .samples = 2}, {.count = 2, .samples = 5}};
  fails_with(with_groups(too_many, 2, 11), "devices.1.samples: 2 devices with 5 samples each");
  pp_device_group overflow[] = {{.count = 4, .samples = INT64_MAX / 2}};
  fails_with(with_groups(overflow, 1, INT64_MAX), "devices.0.samples");
  pp_device_group zero[] = {{.count = 1, .samples = 0}};
  fails_with(with_groups(zero, 1, 10), "devices.0.samples is 0");
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("partition");
  tcase_add_test(tests, shares_differ_by_at_most_one_larger_first);
  tcase_add_test(tests, groups_with_samples_of_their_own_leave_the_rest_to_the_others);
  tcase_add_test(tests, samples_may_be_left_over_when_every_group_names_its_own);
  tcase_add_test(tests, a_device_without_a_sample_and_too_many_samples_are_errors);
  return run_case("partition", tests);
}
