/* Trace files of other tools, written here in their true format, and broken ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/tracefile.h"
#include "suite.h"

static char directory[64];
static pp_arena arena;

static void make_directory(void) {
  strcpy(directory, "/tmp/pipar_trace_XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void remove_directory(void) {
  rmdir(directory);
  pp_arena_fini(&arena);
  arena = (pp_arena){0};
}

static pp_status read_text(const char *name, const char *text, pp_rate_trace *out) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  FILE *file = fopen(path, "w");
  ck_assert_ptr_nonnull(file);
  fputs(text, file);
  fclose(file);
  *out = (pp_rate_trace){0};
  arena.files = NULL; /* another text under the same name */
  pp_status status = pp_trace_file_read(&arena, directory, name, out);
  remove(path);
  return status;
}

static pp_rate_trace must_read(const char *name, const char *text) {
  pp_rate_trace trace;
  pp_status status = read_text(name, text, &trace);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return trace;
}

static void expect_steps(pp_rate_trace trace, int count, const pp_rate_step *steps, int64_t period_ns) {
  ck_assert_int_eq(trace.count, count);
  for (int step = 0; step < count; step++) {
    ck_assert_int_eq(trace.steps[step].start_ns, steps[step].start_ns);
    ck_assert_int_eq(trace.steps[step].rate_bps, steps[step].rate_bps);
  }
  ck_assert_int_eq(trace.period_ns, period_ns);
}

START_TEST(a_simgrid_profile_has_times_rates_comments_and_a_loop) {
  pp_rate_trace trace = must_read("wifi.profile", "# a comment\n0.0 10\n2.5\t5.25 # falls\n\n11.0 0\nLOOPAFTER 1.5\n");
  expect_steps(trace, 3, (pp_rate_step[]){{0, 10000000}, {2500000000, 5250000}, {11000000000, 0}}, 12500000000);
  trace = must_read("wifi", "0 1e1\n1 1e-6");
  expect_steps(trace, 2, (pp_rate_step[]){{0, 10000000}, {1000000000, 1}}, 0);
}
END_TEST

START_TEST(a_rate_that_repeats_is_one_step_but_its_time_counts_for_the_loop) {
  pp_rate_trace trace = must_read("t", "0 4\n1 4\n2 8\n3 8\nLOOPAFTER 1\n");
  expect_steps(trace, 2, (pp_rate_step[]){{0, 4000000}, {2000000000, 8000000}}, 4000000000);
}
END_TEST

/* 12,000 bits a line in the millisecond before it: 12 Mbit/s where one packet leaves a millisecond. */
START_TEST(a_mahimahi_trace_spreads_each_packet_over_its_millisecond) {
  pp_rate_trace trace = must_read("lte.up", "1\n1\n2\n5\n5\n5\n6\n8\n");
  expect_steps(trace, 7,
               (pp_rate_step[]){{0, 24000000},
                                {1000000, 12000000},
                                {2000000, 0},
                                {4000000, 36000000},
                                {5000000, 12000000},
                                {6000000, 0},
                                {7000000, 12000000}},
               8000000);
}
END_TEST

START_TEST(packets_of_millisecond_0_leave_at_the_end_of_the_loop) {
  pp_rate_trace trace = must_read("lte.down", "0\n0\n3\n");
  expect_steps(trace, 2, (pp_rate_step[]){{0, 0}, {2000000, 36000000}}, 3000000);
}
END_TEST

START_TEST(a_csv_table_is_read_by_the_names_of_its_columns) {
  pp_rate_trace trace = must_read("a.csv", "cell, mbps ,seconds,\r\nA,10,0,\r\nB, 2.5 ,60.5,\r\n");
  expect_steps(trace, 2, (pp_rate_step[]){{0, 10000000}, {60500000000, 2500000}}, 0);
}
END_TEST

START_TEST(what_is_wrong_is_said_with_file_and_line) {
  static const struct {
    const char *name, *text, *says;
  } cases[] = {
      {"t", "", "t:0: holds no rate"},
      {"t", "# nothing\n", "t:1: holds no rate"},
      {"t", "1 10\n", "t:1: the first time is 1"},
      {"t", "0 10\n0 11\n", "t:2: the time 0 is not later"},
      {"t", "0 10\n2 10\n1 3\n", "t:3: the time 1 is not later"},
      {"t", "0\n", "t:1: a line has 1 values"},
      {"t", "0 1 2\n", "t:1: a line has 3 values"},
      {"t", "0 ten\n", "t:1: Mbit/s: ten: allowed is"},
      {"t", "0 -1\n", "t:1: Mbit/s: -1: allowed is"},
      {"t", "0 1e30\n", "t:1: Mbit/s: 1e30: allowed is"},
      {"t", "nan 1\n", "t:1: seconds: nan: allowed is"},
      {"t", "0 1\nLOOPAFTER 0\n", "t:2: LOOPAFTER"},
      {"t", "LOOPAFTER 1\n", "t:1: LOOPAFTER"},
      {"t", "0 1\nLOOPAFTER 1\n1 1\n", "t:3: nothing may follow"},
      {"a.up", "", "a.up:0: no packet"},
      {"a.up", "0\n", "a.up:1: no packet"},
      {"a.up", "3\n2\n", "a.up:2: 2: allowed is one whole number"},
      {"a.up", "1.5\n", "a.up:1: 1.5: allowed is one whole number"},
      {"a.up", "1 2\n", "a.up:1: 1: allowed is one whole number"},
      {"a.up", "-1\n", "a.up:1: -1: allowed is one whole number"},
      {"a.csv", "seconds,rate\n0,1\n", "a.csv:1: the header names no column `mbps`"},
      {"a.csv", "0,1\n", "a.csv:1: the header names no column `seconds`"},
      {"a.csv", "seconds,mbps\n", "a.csv:1: holds no rate"},
      {"a.csv", "seconds,mbps\n0\n", "a.csv:2: a row has 1 values"},
      {"a.csv", "seconds,x,mbps\n0,,\n", "a.csv:2: Mbit/s: : allowed is"},
  };
  for (size_t which = 0; which < sizeof cases / sizeof cases[0]; which++) {
    pp_rate_trace trace;
    pp_status status = read_text(cases[which].name, cases[which].text, &trace);
    ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
    ck_assert_msg(strstr(pp_error_message(status), cases[which].says) != NULL, "\"%s\" does not say \"%s\"",
                  pp_error_message(status), cases[which].says);
    ck_assert_ptr_nonnull(strstr(pp_error_message(status), directory));
    pp_error_free(status);
  }
}
END_TEST

START_TEST(an_experiment_finds_its_traces_beside_it) {
  char trace[128], experiment[128];
  snprintf(trace, sizeof trace, "%s/slow.txt", directory);
  snprintf(experiment, sizeof experiment, "%s/exp.yaml", directory);
  FILE *file = fopen(trace, "w");
  fputs("0 8\n10 0\nLOOPAFTER 5\n", file);
  fclose(file);
  file = fopen(experiment, "w");
  fputs(
      "method: fl\ndevices: [{device: raspberry-pi-4b, network: {up_trace: slow.txt, down_mbps: 1, latency_ms: 0}}]\n",
      file);
  fclose(file);
  pp_experiment *loaded = NULL;
  pp_status status = pp_experiment_load(experiment, NULL, 0, &loaded);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  expect_steps(pp_experiment_run(loaded, 0)->groups[0].network.up, 2, (pp_rate_step[]){{0, 8000000}, {10000000000, 0}},
               15000000000);
  pp_experiment_destroy(loaded);
  remove(trace);
  remove(experiment);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("trace files");
  tcase_add_checked_fixture(tests, make_directory, remove_directory);
  tcase_add_test(tests, a_simgrid_profile_has_times_rates_comments_and_a_loop);
  tcase_add_test(tests, a_rate_that_repeats_is_one_step_but_its_time_counts_for_the_loop);
  tcase_add_test(tests, a_mahimahi_trace_spreads_each_packet_over_its_millisecond);
  tcase_add_test(tests, packets_of_millisecond_0_leave_at_the_end_of_the_loop);
  tcase_add_test(tests, a_csv_table_is_read_by_the_names_of_its_columns);
  tcase_add_test(tests, what_is_wrong_is_said_with_file_and_line);
  tcase_add_test(tests, an_experiment_finds_its_traces_beside_it);
  return run_case("trace files", tests);
}
