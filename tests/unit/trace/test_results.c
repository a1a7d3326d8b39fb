#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_experiment.h"
#include "pipar/results.h"
#include "suite.h"

static char directory[64];
static char path[128], part[128];
static pp_experiment *experiment;

static void set_up(void) {
  snprintf(directory, sizeof directory, "results-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(directory));
  snprintf(path, sizeof path, "%s/out.h5", directory);
  snprintf(part, sizeof part, "%s/out.h5.part", directory);
  experiment = fake_experiment_create("method: pipar\ndevices: [{count: 2}]\n", 2, 2);
}

static void tear_down(void) {
  fake_experiment_destroy(experiment);
  chmod(directory, 0700);
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", directory);
  ck_assert_int_eq(system(command), 0);
}

static void ok(pp_status status) {
  if (status != NULL)
    ck_abort_msg("%s", pp_error_message(status));
}

/* The status must be an error of this code whose line contains `text`. */
static void fails(pp_status status, pp_code code, const char *text) {
  ck_assert_ptr_nonnull(status);
  if (strstr(pp_error_message(status), text) == NULL || strchr(pp_error_message(status), '\n') != NULL)
    ck_abort_msg("`%s` is not in `%s`", text, pp_error_message(status));
  ck_assert_int_eq(pp_error_code(status), code);
  pp_error_free(status);
}

static pp_stage_record stage_row(int run, int round, int64_t row) {
  return (pp_stage_record){.device = (int32_t)(row % 3) - 1,
                           .slot = -1,
                           .round = round,
                           .iteration = (int32_t)row,
                           .micro_batch = run,
                           .stage = (int32_t)(row % PP_STAGE_COUNT),
                           .start_ns = INT64_C(5000000000000) + row,
                           .end_ns = INT64_C(5000000000000) + 2 * row,
                           .bytes = row * row};
}

static const pp_run_summary summary = {9.1, 3.3, 5.8, 2.6, 0.25, NAN, 2750000, 2625000, NAN};
enum { ROWS_PER_ROUND = 300 };

static pp_results_writer *begin(bool force) {
  pp_results_writer *writer = NULL;
  const pp_provenance provenance[] = {{"host", "here"}, {"command", ""}};
  ok(pp_results_create(path, force, experiment, -1, provenance, 2, &writer));
  return writer;
}

static void write_round(pp_results_writer *writer, int run, int round) {
  pp_stage_record rows[ROWS_PER_ROUND];
  for (int64_t row = 0; row < ROWS_PER_ROUND; row++)
    rows[row] = stage_row(run, round, round * ROWS_PER_ROUND + row);
  ok(pp_results_append_stages(writer, run, rows, ROWS_PER_ROUND));
  pp_round_row of = {round, 25, 4.5 * (round + 1), 0.5, NAN, 0.125 * round, 1.5, 0.25, NAN};
  ok(pp_results_append_round(writer, run, &of));
}

static void end_run(pp_results_writer *writer, int run, const char *status, bool with_model) {
  pp_device_row devices[2] = {{0, 0, 2, 4, 500, 6.5, 2.6, {0, 0.1, 0, 1.5, 0.55, 0.4, 0.05, 0, 0}, 1375000, 1312500},
                              {1, 0, 2, 4, 500, 6.5, 2.6, {0, 0.1, 0, 1.5, 0.55, 0.4, 0.05, 0, 0}, 1375000, 1312500}};
  pp_server_row server = {0, 3.3, 5.8, {4.35, 1.1, 0, 0, 0, 0.2, 0, 0.15, 0}};
  const float params[6] = {1, 2, 3, 4, 5, -0.0F};
  const float stats[2] = {0.5F, NAN};
  ok(pp_results_end_run(writer, run, status, &summary, devices, 2, &server, 1, with_model ? fake_model() : NULL,
                        with_model ? params : NULL, with_model ? stats : NULL));
}

static void write_file(bool force) {
  pp_results_writer *writer = begin(force);
  const pp_plan_row plan[] = {{0, 1, 4, 2.5, 1, 0}, {0, 2, 4, NAN, 0, 0}};
  ok(pp_results_append_plan(writer, 0, plan, 2));
  const pp_round_plan_row round_plans[] = {{0, 0, 1, 4}, {0, 1, 2, 8}, {1, 0, 3, 4}, {1, 1, 2, 6}};
  ok(pp_results_append_round_plans(writer, 0, round_plans, 2));
  ok(pp_results_append_round_plans(writer, 0, round_plans + 2, 2));
  for (int run = 0; run < 2; run++) {
    for (int round = 0; round < 3; round++) {
      write_round(writer, run, round);
      ok(pp_results_flush(writer));
    }
    end_run(writer, run, run == 0 ? "complete" : "failed", run == 0);
  }
  ok(pp_results_commit(writer));
}

static bool same_real(double a, double b) { return isnan(a) ? isnan(b) : a == b; }

static void check_stages(const pp_results *results, int run, int64_t count) {
  pp_stage_record *rows = calloc((size_t)count, sizeof *rows);
  ok(pp_results_read_stages(results, run, 0, count, rows));
  for (int64_t row = 0; row < count; row++) {
    pp_stage_record want = stage_row(run, (int)(row / ROWS_PER_ROUND), row);
    ck_assert_int_eq(memcmp(&rows[row], &want, sizeof want), 0);
  }
  free(rows);
}

START_TEST(what_is_written_is_read_back) {
  write_file(false);
  ck_assert_int_ne(access(part, F_OK), 0);
  pp_results *results = NULL;
  ok(pp_results_open(path, &results));
  ck_assert_str_eq(pp_results_path(results), path);
  ck_assert_int_eq(pp_results_run_count(results), 2);
  for (int run = 0; run < 2; run++) {
    pp_results_run read;
    ok(pp_results_read_run(results, run, &read));
    ck_assert_str_eq(read.status, run == 0 ? "complete" : "failed");
    ck_assert_str_eq(read.method, "pipar");
    ck_assert_str_eq(read.model, "vgg5");
    ck_assert_str_eq(read.dataset, "");
    ck_assert_str_eq(read.name, "sample");
    ck_assert_uint_eq(read.seed, 1994);
    ck_assert(read.summary.makespan_s == 9.1 && read.summary.server_busy_s == 3.3 &&
              read.summary.server_idle_s == 5.8 && read.summary.device_idle_s == 2.6 &&
              read.summary.train_loss == 0.25);
    ck_assert(isnan(read.summary.test_accuracy) && isnan(read.summary.overrun_s));
    ck_assert_int_eq(read.summary.bytes_up, 2750000);
    ck_assert_int_eq(read.summary.bytes_down, 2625000);
    ck_assert_int_eq(read.device_count, 2);
    ck_assert_int_eq(read.slot_count, 1);
    ck_assert_int_eq(read.round_count, 3);
    ck_assert_int_eq(read.stage_count, 3 * ROWS_PER_ROUND);
    ck_assert_int_eq(read.plan_count, run == 0 ? 2 : 0);
    ck_assert_int_eq(read.round_plan_count, run == 0 ? 4 : 0);
    check_stages(results, run, read.stage_count);
  }
  pp_round_row round;
  ok(pp_results_read_rounds(results, 1, 2, 1, &round));
  ck_assert_int_eq(round.round, 2);
  ck_assert_int_eq(round.iterations, 25);
  ck_assert(round.end_s == 13.5 && isnan(round.train_accuracy) && round.test_accuracy == 0.25);
  pp_device_row device;
  ok(pp_results_read_devices(results, 0, 1, 1, &device));
  ck_assert_int_eq(device.device, 1);
  ck_assert_int_eq(device.micro_batches, 4);
  ck_assert_int_eq(device.bytes_down, 1312500);
  ck_assert(device.cause_s[PP_CAUSE_DOWNLOAD] == 0.55 && device.cause_s[PP_CAUSE_AGGREGATION] == 0.05);
  pp_server_row slot;
  ok(pp_results_read_server(results, 0, 0, 1, &slot));
  ck_assert(slot.busy_s == 3.3 && slot.cause_s[PP_CAUSE_DRAIN] == 0.15);
  pp_plan_row plan[2];
  ok(pp_results_read_plan(results, 0, 0, 2, plan));
  ck_assert(plan[0].makespan_s == 2.5 && plan[0].chosen == 1 && isnan(plan[1].makespan_s) && plan[1].split == 2);
  pp_round_plan_row last;
  ok(pp_results_read_round_plans(results, 0, 3, 1, &last));
  ck_assert(last.round == 1 && last.group == 1 && last.split == 2 && last.micro_batches == 6);
  fails(pp_results_read_rounds(results, 0, 2, 2, &round), PP_CODE_INPUT, "no rows 2 to 3");
  pp_results_run read;
  fails(pp_results_read_run(results, 2, &read), PP_CODE_USAGE, "runs 0 to 1, not 2");
  pp_results_close(results);
}
END_TEST

typedef struct seen_settings {
  char text[1024];
} seen_settings;

static pp_status note_setting(const pp_setting *setting, void *context) {
  seen_settings *seen = context;
  size_t used = strlen(seen->text);
  char *end = seen->text + used;
  size_t room = sizeof seen->text - used;
  switch (setting->type) {
  case PP_SETTING_INT:
    snprintf(end, room, "%s=%lld;", setting->key, (long long)setting->integer);
    break;
  case PP_SETTING_REAL:
    snprintf(end, room, "%s=%.17g;", setting->key, setting->real);
    break;
  case PP_SETTING_BOOL:
    snprintf(end, room, "%s=%s;", setting->key, setting->integer ? "yes" : "no");
    break;
  case PP_SETTING_TEXT:
    snprintf(end, room, "%s='%s';", setting->key, setting->text);
    break;
  }
  return NULL;
}

START_TEST(settings_keep_their_order_types_and_values) {
  fake_set_real(experiment, 1, "training.learning_rate", 0.01);
  fake_set_bool(experiment, 1, "record.stages", true);
  fake_set_bool(experiment, 1, "record.model", false);
  fake_set_text(experiment, 1, "dataset.path", "");
  fake_set_text(experiment, 1, "a.name", "Kälte");
  fake_set_integer(experiment, 1, "devices.0.count", INT64_C(-9007199254740993));
  write_file(false);
  pp_results *results = NULL;
  ok(pp_results_open(path, &results));
  seen_settings seen = {""};
  ok(pp_results_visit_settings(results, 1, note_setting, &seen));
  ck_assert_str_eq(seen.text,
                   "name='sample';seed=1994;method='pipar';model='vgg5';training.learning_rate=0.01;record.stages=yes;"
                   "record.model=no;dataset.path='';a.name='Kälte';devices.0.count=-9007199254740993;");
  pp_results_close(results);
}
END_TEST

START_TEST(long_texts_of_experiments_and_settings_are_kept) {
  enum { length = 300000 };
  char *text = malloc(length + 1);
  memset(text, '#', length);
  text[length] = '\0';
  fake_experiment_destroy(experiment);
  experiment = fake_experiment_create(text, 2, 2);
  fake_set_text(experiment, 0, "devices.0.network.up_trace", text);
  write_file(false);
  pp_results *results = NULL;
  ok(pp_results_open(path, &results));
  pp_results_run read;
  ok(pp_results_read_run(results, 0, &read));
  ck_assert_str_eq(read.status, "complete");
  pp_results_close(results);
  hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  hid_t attribute = H5Aopen_by_name(file, "/", "experiment", H5P_DEFAULT, H5P_DEFAULT);
  hid_t type = H5Aget_type(attribute);
  ck_assert_uint_eq(H5Tget_size(type), length);
  char *read_text = calloc(length + 1, 1);
  ck_assert_int_ge(H5Aread(attribute, type, read_text), 0);
  ck_assert_str_eq(read_text, text);
  H5Tclose(type);
  H5Aclose(attribute);
  H5Fclose(file);
  free(read_text);
  free(text);
}
END_TEST

START_TEST(an_existing_output_is_refused_without_force_and_kept_until_the_new_one_is_complete) {
  write_file(false);
  struct stat before, after;
  ck_assert_int_eq(stat(path, &before), 0);
  pp_results_writer *writer = NULL;
  fails(pp_results_create(path, false, experiment, -1, NULL, 0, &writer), PP_CODE_USAGE, "exists: --force replaces it");
  ck_assert_ptr_null(writer);
  writer = begin(true);
  ck_assert_int_eq(stat(path, &after), 0);
  ck_assert_uint_eq(before.st_ino, after.st_ino);
  end_run(writer, 0, "complete", false);
  ok(pp_results_commit(writer));
  ck_assert_int_eq(stat(path, &after), 0);
  ck_assert_uint_ne(before.st_ino, after.st_ino);
}
END_TEST

START_TEST(a_name_taken_while_running_is_not_overwritten) {
  pp_results_writer *writer = begin(false);
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  ck_assert_int_ge(fd, 0);
  close(fd);
  fails(pp_results_commit(writer), PP_CODE_RUN, "File exists");
  struct stat about;
  ck_assert_int_eq(stat(path, &about), 0);
  ck_assert_int_eq(about.st_size, 0);
  ck_assert_int_eq(access(part, F_OK), 0);
}
END_TEST

/* Another process, as a user's `pipar report`, given either name, sees rounds and finished runs while the writer goes
 * on. */
START_TEST(another_process_reads_while_the_writer_goes_on) {
  pp_results_writer *writer = begin(false);
  for (int step = 0; step < 4; step++) {
    if (step < 3)
      write_round(writer, 0, step);
    else
      end_run(writer, 0, "complete", true);
    ok(pp_results_flush(writer));
    pid_t child = fork();
    if (child == 0) {
      execl(getenv("TEST_READER"), "reader", step % 2 == 0 ? part : path, (char *)NULL);
      _exit(99);
    }
    int how = 0;
    ck_assert_int_eq(waitpid(child, &how, 0), child);
    ck_assert(WIFEXITED(how));
    ck_assert_int_eq(WEXITSTATUS(how), step < 3 ? step + 1 : 13);
  }
  pp_results_abandon(writer);
}
END_TEST

/* A writer is killed at a random moment, many times; whatever is in its file then is complete rounds. */
START_TEST(a_killed_writer_leaves_complete_rounds) {
  int64_t rounds_seen = 0;
  for (int attempt = 0; attempt < 8; attempt++) {
    int ready[2];
    ck_assert_int_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
      pp_results_writer *writer = begin(true);
      for (int round = 0;; round++) {
        write_round(writer, 0, round);
        ok(pp_results_flush(writer));
        if (round == 0 && write(ready[1], "", 1) != 1)
          _exit(1);
      }
    }
    char byte;
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    usleep((useconds_t)(3700 * attempt));
    kill(child, SIGKILL);
    int how = 0;
    ck_assert_int_eq(waitpid(child, &how, 0), child);
    ck_assert(WIFSIGNALED(how));
    close(ready[0]);
    close(ready[1]);
    pp_results *results = NULL;
    ok(pp_results_open(path, &results));
    pp_results_run read;
    ok(pp_results_read_run(results, 0, &read));
    ck_assert_str_eq(read.status, "running");
    ck_assert_int_ge(read.round_count, 1);
    ck_assert_int_eq(read.stage_count, read.round_count * ROWS_PER_ROUND);
    check_stages(results, 0, read.stage_count);
    pp_round_row round;
    ok(pp_results_read_rounds(results, 0, read.round_count - 1, 1, &round));
    ck_assert_int_eq(round.round, read.round_count - 1);
    ck_assert(same_real(round.end_s, 4.5 * (double)read.round_count));
    pp_results_close(results);
    rounds_seen += read.round_count;
  }
  ck_assert_int_gt(rounds_seen, 8);
}
END_TEST

/* Ending a run changes attributes that are already there, while others may read: killed then, the file still opens. */
START_TEST(a_writer_killed_between_runs_leaves_the_finished_ones) {
  for (int attempt = 0; attempt < 4; attempt++) {
    int ready[2];
    ck_assert_int_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
      pp_results_writer *writer = begin(true);
      write_round(writer, 0, 0);
      end_run(writer, 0, "complete", attempt % 2 == 1);
      if (write(ready[1], "", 1) != 1)
        _exit(1);
      for (int round = 0;; round++) {
        write_round(writer, 1, round);
        ok(pp_results_flush(writer));
      }
    }
    char byte;
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    usleep((useconds_t)(2900 * attempt));
    kill(child, SIGKILL);
    int how = 0;
    ck_assert_int_eq(waitpid(child, &how, 0), child);
    close(ready[0]);
    close(ready[1]);
    pp_results *results = NULL;
    ok(pp_results_open(part, &results));
    pp_results_run read;
    ok(pp_results_read_run(results, 0, &read));
    ck_assert_str_eq(read.status, "complete");
    ck_assert(read.summary.makespan_s == 9.1);
    ck_assert_int_eq(read.device_count, 2);
    check_stages(results, 0, read.stage_count);
    ok(pp_results_read_run(results, 1, &read));
    ck_assert_str_eq(read.status, "running");
    ck_assert_int_eq(read.stage_count, read.round_count * ROWS_PER_ROUND);
    pp_results_close(results);
  }
}
END_TEST

START_TEST(a_left_part_is_replaced_by_force_but_not_one_in_use) {
  pp_results_writer *writer = begin(false);
  pp_results_writer *second = NULL;
  fails(pp_results_create(path, true, experiment, -1, NULL, 0, &second), PP_CODE_RUN, "another process is writing it");
  ck_assert_ptr_null(second);
  write_round(writer, 0, 0);
  pp_results_abandon(writer);
  ck_assert_int_eq(access(part, F_OK), 0);
  ck_assert_int_ne(access(path, F_OK), 0);
  fails(pp_results_create(path, false, experiment, -1, NULL, 0, &second), PP_CODE_USAGE,
        "holds what a run left that did not end: --resume goes on with it, --force replaces it");
  ck_assert_int_eq(access(part, F_OK), 0);
  write_file(true);
  ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(an_abandoned_part_holds_what_was_appended) {
  pp_results_writer *writer = begin(false);
  write_round(writer, 1, 0);
  pp_results_abandon(writer);
  pp_results_abandon(NULL);
  pp_results *results = NULL;
  ok(pp_results_open(path, &results));
  pp_results_run read;
  ok(pp_results_read_run(results, 1, &read));
  ck_assert_int_eq(read.round_count, 1);
  check_stages(results, 1, ROWS_PER_ROUND);
  pp_results_close(results);
}
END_TEST

START_TEST(an_abandoned_part_without_a_round_is_removed) {
  pp_results_abandon(begin(false));
  ck_assert_int_ne(access(part, F_OK), 0);
}
END_TEST

START_TEST(places_that_cannot_be_written_are_named) {
  pp_results_writer *writer = NULL;
  fails(pp_results_create("no-such-directory/out.h5", false, experiment, -1, NULL, 0, &writer), PP_CODE_RUN,
        "cannot create no-such-directory/out.h5.part: No such file or directory");
  if (geteuid() != 0) { /* root may write anywhere */
    chmod(directory, 0500);
    fails(pp_results_create(path, false, experiment, -1, NULL, 0, &writer), PP_CODE_RUN, "Permission denied");
  }
  ck_assert_int_eq(mkdir(part, 0700), 0);
  fails(pp_results_create(path, false, experiment, -1, NULL, 0, &writer), PP_CODE_RUN, "Is a directory");
}
END_TEST

/* A limit on the file's size stands in for a full disk: writes fail in the same place, with another errno. In a process
 * of its own, whose exit must be quiet as well. */
START_TEST(a_write_that_fails_is_one_line_and_nothing_gets_the_final_name) {
  char log[160];
  snprintf(log, sizeof log, "%s/stderr", directory);
  pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    if (freopen(log, "w", stderr) == NULL)
      _exit(1);
    pp_results_writer *writer = begin(false);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){200000, 200000});
    pp_status status = NULL;
    for (int round = 0; round < 100 && status == NULL; round++) {
      pp_stage_record rows[ROWS_PER_ROUND];
      for (int64_t row = 0; row < ROWS_PER_ROUND; row++)
        rows[row] = stage_row(0, round, round * ROWS_PER_ROUND + row);
      status = pp_results_append_stages(writer, 0, rows, ROWS_PER_ROUND);
      if (status == NULL)
        status = pp_results_append_round(writer, 0, &(pp_round_row){.round = round});
      if (status == NULL)
        status = pp_results_flush(writer);
    }
    if (status == NULL)
      _exit(2);
    fprintf(stderr, "%s\n", pp_error_message(status));
    pp_error_free(status);
    status = pp_results_flush(writer);
    if (status == NULL)
      _exit(3);
    pp_error_free(status);
    status = pp_results_commit(writer);
    if (pp_error_code(status) != PP_CODE_RUN)
      _exit(4);
    pp_error_free(status);
    exit(0);
  }
  int how = 0;
  ck_assert_int_eq(waitpid(child, &how, 0), child);
  FILE *stream = fopen(log, "r");
  char text[1000] = "";
  ck_assert_ptr_nonnull(stream);
  ck_assert_uint_gt(fread(text, 1, sizeof text - 1, stream), 0);
  fclose(stream);
  char want[256];
  snprintf(want, sizeof want, "cannot write %s: File too large\n", part);
  ck_assert_str_eq(text, want);
  ck_assert(WIFEXITED(how));
  ck_assert_int_eq(WEXITSTATUS(how), 0);
  ck_assert_int_ne(access(path, F_OK), 0);
  pp_results *results = NULL;
  ok(pp_results_open(path, &results));
  pp_results_run read;
  ok(pp_results_read_run(results, 0, &read));
  ck_assert_int_gt(read.round_count, 5); /* a round is 14,400 bytes, 200,000 fit */
  ck_assert_int_eq(read.stage_count, read.round_count * ROWS_PER_ROUND);
  check_stages(results, 0, read.stage_count);
  pp_results_close(results);
}
END_TEST

static void write_bytes(const char *where, const char *bytes, size_t count) {
  FILE *stream = fopen(where, "wb");
  ck_assert_ptr_nonnull(stream);
  ck_assert_uint_eq(fwrite(bytes, 1, count, stream), count);
  fclose(stream);
}

START_TEST(files_that_are_no_results_are_named_with_the_reason) {
  pp_results *results = NULL;
  char other[128];
  snprintf(other, sizeof other, "%s/other", directory);
  fails(pp_results_open(other, &results), PP_CODE_INPUT, "No such file or directory");
  fails(pp_results_open(directory, &results), PP_CODE_INPUT, "it is a directory");
  write_bytes(other, "", 0);
  fails(pp_results_open(other, &results), PP_CODE_INPUT, "is not an HDF5 file");
  write_bytes(other, "method: pipar\n", 14);
  fails(pp_results_open(other, &results), PP_CODE_INPUT, "is not an HDF5 file");
  write_bytes(other, "\x89HDF\r\n\x1a\n and no more", 20);
  fails(pp_results_open(other, &results), PP_CODE_INPUT, "cannot open");
  hid_t file = H5Fcreate(other, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  fails(pp_results_open(other, &results), PP_CODE_INPUT, "is not a results file of pipar");
  ck_assert_ptr_null(results);
}
END_TEST

START_TEST(a_file_cut_short_anywhere_is_an_error) {
  write_file(false);
  struct stat about;
  ck_assert_int_eq(stat(path, &about), 0);
  for (off_t size = about.st_size - 1; size > 8; size = size * 2 / 3) {
    ck_assert_int_eq(truncate(path, size), 0);
    pp_results *results = NULL;
    fails(pp_results_open(path, &results), PP_CODE_INPUT, size > 100 ? "is cut short" : path);
  }
}
END_TEST

START_TEST(a_newer_format_is_refused) {
  write_file(false);
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  hid_t attribute = H5Aopen_by_name(file, "/", "format_version", H5P_DEFAULT, H5P_DEFAULT);
  const int version = 2;
  ck_assert_int_ge(H5Awrite(attribute, H5T_NATIVE_INT, &version), 0);
  H5Aclose(attribute);
  H5Fclose(file);
  pp_results *results = NULL;
  fails(pp_results_open(path, &results), PP_CODE_INPUT, "has format_version 2; this pipar reads 1 to 1");
}
END_TEST

/* Large rounds are compressed; the rows must be the same. */
START_TEST(large_rounds_are_read_back) {
  enum { rows = 300000 };
  fake_run *run = fake_experiment_run(experiment, 0);
  run->group.count = 20000;
  run->group.cost.kind = PP_COST_TABLE;
  run->group.cost.table.iterations = 10;
  run->config.method = PP_METHOD_PIPAR;
  pp_results_writer *writer = begin(false);
  pp_stage_record *stages = calloc(rows, sizeof *stages);
  for (int64_t row = 0; row < rows; row++)
    stages[row] = stage_row(0, (int)(row / ROWS_PER_ROUND), row);
  ok(pp_results_append_stages(writer, 0, stages, rows / 2 + 1));
  ok(pp_results_append_stages(writer, 0, stages + rows / 2 + 1, rows - rows / 2 - 1));
  pp_round_row round = {.round = rows / ROWS_PER_ROUND - 1};
  ok(pp_results_append_round(writer, 0, &round));
  ok(pp_results_flush(writer));
  ok(pp_results_commit(writer));
  free(stages);
  struct stat about;
  ck_assert_int_eq(stat(path, &about), 0);
  ck_assert_int_lt(about.st_size, rows * 48 / 2);
  pp_results *results = NULL;
  ok(pp_results_open(path, &results));
  check_stages(results, 0, rows);
  pp_results_close(results);
}
END_TEST

static pp_status ignore_setting(const pp_setting *setting, void *context) {
  (void)setting;
  (void)context;
  return NULL;
}

/* As no pipar writes them, but a file may be anybody's. */
START_TEST(a_setting_of_many_values_is_an_error) {
  write_file(false);
  const int8_t values[64] = {1};
  const int8_t no = 0, yes = 1;
  hsize_t count = 64;
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), run = H5Gopen2(file, "/runs/0", H5P_DEFAULT);
  hid_t type = H5Tenum_create(H5T_NATIVE_INT8), space = H5Screate_simple(1, &count, NULL);
  H5Tenum_insert(type, "FALSE", &no);
  H5Tenum_insert(type, "TRUE", &yes);
  hid_t attribute = H5Acreate2(run, "record.many", type, space, H5P_DEFAULT, H5P_DEFAULT);
  ck_assert_int_ge(H5Awrite(attribute, type, values), 0);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
  H5Gclose(run);
  H5Fclose(file);
  pp_results *results = NULL;
  ok(pp_results_open(path, &results));
  fails(pp_results_visit_settings(results, 0, ignore_setting, NULL), PP_CODE_INPUT, "record.many");
  pp_results_close(results);
}
END_TEST

START_TEST(an_input_of_several_dimensions_is_an_error) {
  write_file(false);
  hsize_t shape[8] = {2, 2, 2, 2, 2, 2, 2, 2};
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), inputs = H5Gopen2(file, "/inputs", H5P_DEFAULT);
  hid_t space = H5Screate_simple(8, shape, NULL);
  ck_assert_int_ge(inputs, 0);
  H5Ldelete(inputs, "0", H5P_DEFAULT);
  hid_t dataset = H5Dcreate2(inputs, "0", H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Sclose(space);
  ck_assert_int_ge(dataset, 0);
  H5Dclose(dataset);
  H5Gclose(inputs);
  H5Fclose(file);
  pp_results *results = NULL;
  pp_results_inputs read;
  ok(pp_results_open(path, &results));
  fails(pp_results_read_inputs(results, &read), PP_CODE_INPUT, "input 0 is no text");
  pp_results_close(results);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("results");
  tcase_add_checked_fixture(tests, set_up, tear_down);
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, what_is_written_is_read_back);
  tcase_add_test(tests, a_setting_of_many_values_is_an_error);
  tcase_add_test(tests, an_input_of_several_dimensions_is_an_error);
  tcase_add_test(tests, settings_keep_their_order_types_and_values);
  tcase_add_test(tests, long_texts_of_experiments_and_settings_are_kept);
  tcase_add_test(tests, an_existing_output_is_refused_without_force_and_kept_until_the_new_one_is_complete);
  tcase_add_test(tests, a_name_taken_while_running_is_not_overwritten);
  tcase_add_test(tests, another_process_reads_while_the_writer_goes_on);
  tcase_add_test(tests, a_killed_writer_leaves_complete_rounds);
  tcase_add_test(tests, a_writer_killed_between_runs_leaves_the_finished_ones);
  tcase_add_test(tests, a_left_part_is_replaced_by_force_but_not_one_in_use);
  tcase_add_test(tests, an_abandoned_part_holds_what_was_appended);
  tcase_add_test(tests, an_abandoned_part_without_a_round_is_removed);
  tcase_add_test(tests, places_that_cannot_be_written_are_named);
  tcase_add_test(tests, a_write_that_fails_is_one_line_and_nothing_gets_the_final_name);
  tcase_add_test(tests, files_that_are_no_results_are_named_with_the_reason);
  tcase_add_test(tests, a_file_cut_short_anywhere_is_an_error);
  tcase_add_test(tests, a_newer_format_is_refused);
  tcase_add_test(tests, large_rounds_are_read_back);
  return run_case("results", tests);
}
