#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/report.h"
#include "samples.h"
#include "suite.h"

static char directory[64];
static char path[128];

static void set_up(void) {
  snprintf(directory, sizeof directory, "report-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(directory));
  snprintf(path, sizeof path, "%s/out.h5", directory);
}

static void tear_down(void) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", directory);
  ck_assert_int_eq(system(command), 0);
}

static void ok(pp_status status) {
  if (status != NULL)
    ck_abort_msg("%s", pp_error_message(status));
}

static pp_report *open_report(void) {
  pp_report *report = NULL;
  char *paths[] = {path};
  ok(pp_report_create(1, paths, &report));
  return report;
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-12 * fabs(b); } /* a few roundings of doubles */

START_TEST(runs_are_measured_against_fl_of_their_cell) {
  const sample_run runs[] = {
      {"fl", "slow", "complete", 1, 1, 100, 80, 40, NAN, 1},    {"fl", "fast", "complete", 1, 1, 50, 30, 20, NAN, 1},
      {"pipar", "slow", "complete", 1, 4, 25, 5, 8, NAN, 1},    {"pipar", "fast", "complete", 1, 8, 20, 3, 5, NAN, 1},
      {"pipar", "strange", "complete", 1, 8, 20, 3, 5, NAN, 1}, {"sfl", "slow", "failed", 1, 1, 60, 50, 10, NAN, 1},
  };
  sample_write(path, 6, runs);
  pp_report *report = open_report();
  const int want[] = {0, 1, 0, 1, -1, 0};
  for (int run = 0; run < 6; run++)
    ck_assert_int_eq(report->runs[run].reference, want[run]);
  const pp_report_run *slow = &report->runs[2];
  ck_assert(near(pp_report_figure_of(report, slow, PP_FIGURE_SPEEDUP), 4));
  ck_assert(near(pp_report_figure_of(report, slow, PP_FIGURE_SERVER_REDUCTION), 16));
  ck_assert(near(pp_report_figure_of(report, slow, PP_FIGURE_DEVICE_REDUCTION), 5));
  ck_assert(near(slow->device_cause_s[PP_CAUSE_DEVICE_COMPUTE], 4));
  ck_assert(near(slow->server_cause_s[PP_CAUSE_UPLOAD], 1.25));
  ck_assert(near(pp_report_figure_of(report, &report->runs[0], PP_FIGURE_SPEEDUP), 1));
  ck_assert(isnan(pp_report_figure_of(report, &report->runs[4], PP_FIGURE_SPEEDUP)));
  ck_assert(isnan(pp_report_figure_of(report, &report->runs[5], PP_FIGURE_TIME)));
  /* The network is told by its preset's name alone; micro-batches have a column of their own. */
  ck_assert_int_eq(report->varying_count, 1);
  ck_assert_str_eq(report->varying[0], "devices.0.network.name");
  pp_report_destroy(report);
}
END_TEST

/* The quantile is where the density, integrated by Simpson's rule, reaches 0.975; error of 20,000 steps below 1e-9. */
START_TEST(students_t_is_the_quantile_of_its_density) {
  for (int n = 1; n <= 60; n += n < 14 ? 1 : 15) {
    enum { steps = 20000 };
    double t = pp_student_t(n), h = t / steps, sum = 0;
    double factor = exp(lgamma((n + 1) / 2.0) - lgamma(n / 2.0)) / sqrt(n * acos(-1.0));
    for (int step = 0; step <= steps; step++) {
      double x = step * h;
      double weight = step == 0 || step == steps ? 1 : step % 2 == 1 ? 4 : 2;
      sum += weight * factor * pow(1 + x * x / n, -(n + 1) / 2.0);
    }
    ck_assert_msg(fabs(0.5 + sum * h / 3 - 0.975) < 1e-6, "%d: %.9f", n, 0.5 + sum * h / 3);
  }
  ck_assert(isnan(pp_student_t(0)));
}
END_TEST

START_TEST(seeds_are_averaged_with_their_interval) {
  const sample_run runs[] = {
      {"fl", "slow", "complete", 1, 1, 90, 80, 40, 0.8, 1},  {"fl", "slow", "complete", 2, 1, 100, 80, 40, 0.8, 1},
      {"fl", "slow", "complete", 3, 1, 110, 80, 40, 0.8, 1}, {"pipar", "slow", "complete", 1, 4, 30, 8, 4, 0.7, 1},
      {"pipar", "slow", "complete", 2, 4, 20, 8, 4, 0.8, 1}, {"pipar", "slow", "complete", 3, 4, 10, 8, 4, 0.9, 1},
      {"pipar", "slow", NULL, 4, 4, 10, 8, 4, 0.9, 1},
  };
  sample_write(path, 7, runs);
  pp_report *report = open_report();
  ck_assert_int_eq(report->group_count, 3);
  ck_assert_int_eq(report->groups[1].count, 3);
  pp_report_mean time = pp_report_mean_of(report, &report->groups[1], PP_FIGURE_TIME);
  ck_assert_int_eq(time.count, 3);
  ck_assert(near(time.mean, 20));
  /* Standard deviation 10; 4.302652729911275 is the quantile for two degrees of freedom. */
  ck_assert(fabs(time.half_width - 4.302652729911275 * 10 / sqrt(3)) < 1e-8);
  /* Each against fl of its own seed: 90/30, 100/20, 110/10. */
  pp_report_mean speedup = pp_report_mean_of(report, &report->groups[1], PP_FIGURE_SPEEDUP);
  ck_assert(near(speedup.mean, (3.0 + 5 + 11) / 3));
  ck_assert(isnan(pp_report_mean_of(report, &report->groups[2], PP_FIGURE_TIME).mean));
  pp_report_destroy(report);
}
END_TEST

START_TEST(runs_of_other_settings_are_not_seeds_of_each_other) {
  enum { RUNS = 9 };
  sample_run runs[RUNS];
  for (int run = 0; run < RUNS; run++)
    runs[run] = (sample_run){"pipar", "slow", "complete", 1, run + 1, 90, 80, 40, 0.8, 1};
  sample_write(path, RUNS, runs);
  pp_report *report = open_report();
  ck_assert_int_eq(report->group_count, RUNS);
  pp_report_destroy(report);
}
END_TEST

static char *print_text(void) {
  pp_report *report = open_report();
  char *text = NULL;
  size_t size = 0;
  FILE *stream = open_memstream(&text, &size);
  ok(pp_report_print_text(report, stream));
  fclose(stream);
  pp_report_destroy(report);
  return text;
}

static void check_lines_fit(const char *text) {
  int width = 0;
  for (; *text != '\0'; text++) {
    width = *text == '\n' ? 0 : width + (((unsigned char)*text & 0xc0) != 0x80);
    ck_assert_int_le(width, 120);
    if (*text == '\n')
      ck_assert_int_ne(text[-1], ' ');
  }
}

START_TEST(the_text_shows_figures_in_at_most_120_columns) {
  const sample_run runs[] = {
      {"fl", "slow", "complete", 1, 1, 100, 80, 40, 0.81, 1},
      {"pipar", "slow", "complete", 1, 4, 25, 5, 8, 0.825, 1},
      {"sfl", "slow", NULL, 1, 1, 60, 50, 10, NAN, 2},
      {"pipar", "a-network-with-a-name-that-is-much-longer-than-others-are-0123456789", "complete", 1, 4, 1, 1, 1, 0.5,
       1},
  };
  for (int count = 1; count <= 4; count++) {
    sample_write(path, count, runs);
    char *text = print_text();
    check_lines_fit(text);
    if (count == 2) {
      ck_assert_ptr_nonnull(
          strstr(text, "1  pipar       2  4   25.0     4.00x      5.00   16.00x      8.00    5.00x     82.50"));
      ck_assert_ptr_nonnull(strstr(text, "1  pipar   devices   8.00     4.00    2.00     2.00\n"));
    }
    if (count >= 3) {
      ck_assert_ptr_nonnull(strstr(text, "out.h5.part: "));
      ck_assert_ptr_nonnull(strstr(text, "unfinished"));
      ck_assert_ptr_nonnull(strstr(text, "out run 2 is not finished: 2 rounds complete, 60.000 s."));
    }
    free(text);
    unlink(path);
  }
}
END_TEST

static char *print_form(void (*print)(const pp_report *report, FILE *stream)) {
  pp_report *report = open_report();
  char *text = NULL;
  size_t size = 0;
  FILE *stream = open_memstream(&text, &size);
  print(report, stream);
  fclose(stream);
  pp_report_destroy(report);
  return text;
}

START_TEST(csv_fields_are_quoted_where_they_must_be) {
  const sample_run run = {"fl", "a,\"b\"", "complete", 1, 1, 100, 0.1, 40, NAN, 1};
  const sample_run other = {"fl", "two\nlines", "complete", 1, 1, 100, 80, 40, NAN, 1};
  const sample_run runs[] = {run, other};
  sample_write(path, 2, runs);
  char *text = print_form(pp_report_print_csv);
  ck_assert_ptr_nonnull(strstr(text, ",devices.0.network.name\r\n"));
  ck_assert_ptr_nonnull(strstr(text, ",\"a,\"\"b\"\"\"\r\n"));
  ck_assert_ptr_nonnull(strstr(text, ",\"two\nlines\"\r\n"));
  ck_assert_ptr_nonnull(strstr(text, ",100,1,0.1,1,40,1,,0.5,2500000,1500000,"));
  free(text);
}
END_TEST

START_TEST(json_says_null_where_nothing_applies_and_escapes_text) {
  const sample_run runs[] = {{"fl", "a\"\\\n\xff\xc3\xa4", "complete", 1, 1, 100, 0.1, 40, NAN, 1}};
  sample_write(path, 1, runs);
  char *text = print_form(pp_report_print_json);
  ck_assert_ptr_nonnull(strstr(text, "\"devices.0.network.name\": \"a\\\"\\\\\\u000a\\ufffd\xc3\xa4\""));
  ck_assert_ptr_nonnull(strstr(text, "\"test_accuracy\": null"));
  ck_assert_ptr_nonnull(strstr(text, "\"record.model\": true"));
  free(text);
}
END_TEST

/* For a JSON parser and a CSV reader of other people's, in report_test.py: writes its file and stops. */
static int write_for_others(const char *where) {
  const sample_run runs[] = {
      {"fl", "slow", "complete", 1, 1, 100, 80, 40, 0.8, 2},
      {"pipar", "slow", "complete", 1, 4, 25, 5, 8, 0.8, 2},
      {"fl", "slow", "complete", 2, 1, 104, 84, 44, 0.7, 2},
      {"pipar", "slow", "complete", 2, 4, 26, 6, 7, NAN, 2},
      {"pipar", "a \"b\", 'c' \\d\n\x01 `touch pwned`", "complete", 2, 4, 26, 6, 7, NAN, 2},
  };
  sample_write(where, 5, runs);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2)
    return write_for_others(argv[1]);
  TCase *tests = tcase_create("report");
  tcase_add_checked_fixture(tests, set_up, tear_down);
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, runs_are_measured_against_fl_of_their_cell);
  tcase_add_test(tests, students_t_is_the_quantile_of_its_density);
  tcase_add_test(tests, seeds_are_averaged_with_their_interval);
  tcase_add_test(tests, runs_of_other_settings_are_not_seeds_of_each_other);
  tcase_add_test(tests, the_text_shows_figures_in_at_most_120_columns);
  tcase_add_test(tests, csv_fields_are_quoted_where_they_must_be);
  tcase_add_test(tests, json_says_null_where_nothing_applies_and_escapes_text);
  return run_case("report", tests);
}
