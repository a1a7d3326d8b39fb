#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_experiment.h"
#include "pipar/results.h"
#include "suite.h"

static char directory[64];
static char path_a[128], path_b[128];

static void set_up(void) {
  snprintf(directory, sizeof directory, "diff-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(directory));
  snprintf(path_a, sizeof path_a, "%s/a.h5", directory);
  snprintf(path_b, sizeof path_b, "%s/b.h5", directory);
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

/* What a file is made with where it differs from the other. */
typedef struct variant {
  const char *name, *host, *extra_setting, *method;
  int rounds, runs;
  bool with_model;
} variant;

static const variant plain = {"sample", "here", NULL, "pipar", 3, 2, true};

static void write_file(const char *path, const variant *of) {
  enum { rows_per_round = 200 };
  pp_experiment *experiment = fake_experiment_create(of->host, of->runs, 2);
  for (int run = 0; run < of->runs; run++) {
    fake_set_text(experiment, run, "name", of->name);
    fake_set_text(experiment, run, "method", of->method);
    fake_set_real(experiment, run, "training.learning_rate", 0.01);
    fake_set_bool(experiment, run, "record.model", true);
    if (of->extra_setting != NULL)
      fake_set_text(experiment, run, of->extra_setting, "x");
  }
  const pp_provenance provenance = {"host", of->host};
  pp_results_writer *writer = NULL;
  ok(pp_results_create(path, true, experiment, -1, &provenance, 1, &writer));
  for (int run = 0; run < of->runs; run++) {
    const pp_plan_row plan[] = {{0, 1, 4, 2.5, 1, 0}, {0, 2, 4, NAN, 0, 0}};
    ok(pp_results_append_plan(writer, run, plan, 2));
    for (int round = 0; round < of->rounds; round++) {
      pp_stage_record rows[rows_per_round];
      for (int row = 0; row < rows_per_round; row++)
        rows[row] = (pp_stage_record){row % 2, -1, round, row / 10, row % 5, row % 8, 1000 * row, 1000 * row + 7, row};
      ok(pp_results_append_stages(writer, run, rows, rows_per_round));
      pp_round_row summary = {round, 25, 4.5, 0.5, NAN, 0.25, 1.5, 0.25, NAN};
      ok(pp_results_append_round(writer, run, &summary));
    }
    const pp_device_row devices[2] = {{.device = 0, .busy_s = 6.5, .idle_s = 2.6}, {.device = 1, .busy_s = 0.1}};
    const pp_server_row slot = {.slot = 0, .busy_s = 3.3};
    const pp_run_summary summary = {9.1, 3.3, 5.8, 2.6, 0.25, NAN, 27, 26, NAN};
    const float params[6] = {1, 2, 3, 4, 5, 0}, stats[2] = {0.5F, NAN};
    ok(pp_results_end_run(writer, run, "complete", &summary, devices, 2, &slot, 1, of->with_model ? fake_model() : NULL,
                          params, stats));
  }
  ok(pp_results_commit(writer));
  fake_experiment_destroy(experiment);
}

/* Compares a.h5 with b.h5: "" where they are the same, otherwise the one line. */
static void compare(char line[512]) {
  FILE *stream = tmpfile();
  bool same = false;
  ok(pp_results_diff(path_a, path_b, stream, &same));
  rewind(stream);
  size_t length = fread(line, 1, 511, stream);
  line[length] = '\0';
  fclose(stream);
  ck_assert_int_eq(same, length == 0);
  if (length > 0)
    ck_assert_ptr_eq(strchr(line, '\n'), line + length - 1);
}

static void differ(const variant *b, const char *want) {
  char line[512];
  write_file(path_a, &plain);
  write_file(path_b, b);
  compare(line);
  if (want[0] == '\0' ? line[0] != '\0' : strstr(line, want) == NULL)
    ck_abort_msg("wanted `%s`, got `%s`", want, line);
}

START_TEST(equal_results_are_the_same_whatever_made_them) {
  variant other = plain;
  differ(&other, "");
  other.name = "another";
  other.host = "elsewhere";
  differ(&other, "");
  bool same = false;
  ok(pp_results_diff(path_a, path_a, stdout, &same));
  ck_assert(same);
}
END_TEST

START_TEST(settings_runs_rows_and_tensors_that_one_lacks_are_named) {
  variant other = plain;
  other.method = "sfl";
  differ(&other, "/runs/0 attribute method: \"pipar\" in ");
  other = plain;
  other.extra_setting = "training.new";
  differ(&other, "/runs/0 attribute training.new: only in ");
  other.extra_setting = "dataset.path";
  differ(&other, "");
  other.extra_setting = "training.threads";
  differ(&other, "");
  other = plain;
  other.runs = 3;
  differ(&other, "/runs: 2 in ");
  other = plain;
  other.rounds = 2;
  differ(&other, "/runs/0/stages: has 600 rows in ");
  other = plain;
  other.with_model = false;
  differ(&other, "/runs/0/model/block0.bn.running_mean: only in ");
}
END_TEST

/* Flips one bit of a value as it lies in the file: of column `column` (NULL: of an element that is no compound) of
 * element `element` of a dataset, or of an attribute of the object. */
static void flip(const char *object, const char *attribute, const char *column, int element, int bit) {
  hid_t file = H5Fopen(path_b, H5F_ACC_RDWR, H5P_DEFAULT);
  ck_assert_int_ge(file, 0);
  hid_t owner = H5Oopen(file, object, H5P_DEFAULT);
  hid_t id = attribute == NULL ? owner : H5Aopen(owner, attribute, H5P_DEFAULT);
  hid_t type = attribute == NULL ? H5Dget_type(id) : H5Aget_type(id);
  hid_t space = attribute == NULL ? H5Dget_space(id) : H5Aget_space(id);
  size_t size = H5Tget_size(type);
  unsigned char *bytes = calloc((size_t)H5Sget_simple_extent_npoints(space), size);
  ck_assert_int_ge(
      attribute == NULL ? H5Dread(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) : H5Aread(id, type, bytes), 0);
  size_t offset = (size_t)element * size;
  if (column != NULL)
    offset += H5Tget_member_offset(type, (unsigned)H5Tget_member_index(type, column));
  bytes[offset + (size_t)bit / 8] ^= (unsigned char)(1U << (bit % 8));
  ck_assert_int_ge(
      attribute == NULL ? H5Dwrite(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) : H5Awrite(id, type, bytes), 0);
  free(bytes);
  H5Sclose(space);
  H5Tclose(type);
  if (attribute != NULL)
    H5Aclose(id);
  H5Oclose(owner);
  H5Fclose(file);
}

START_TEST(a_single_flipped_bit_is_found_and_named) {
  char line[512], want[512];
  const struct {
    const char *object, *attribute, *column;
    int element, bit;
    const char *want;
  } cases[] = {
      {"/runs/1/stages", NULL, "end_ns", 417, 0, "/runs/1/stages row 417, column end_ns: 17007 in %s, 17006 in %s\n"},
      {"/runs/0/stages", NULL, "bytes", 599, 62,
       "/runs/0/stages row 599, column bytes: 199 in %s, 4611686018427388103 in %s\n"},
      {"/runs/0/stages", NULL, "stage", 1, 1,
       "/runs/0/stages row 1, column stage: upload in %s, server_backward in %s\n"},
      {"/runs/0/devices", NULL, "busy_s", 1, 0,
       "/runs/0/devices row 1, column busy_s: 0.10000000000000001 in %s, 0.10000000000000002 in %s\n"},
      {"/runs/0/rounds", NULL, "end_s", 2, 63, "/runs/0/rounds row 2, column end_s: 4.5 in %s, -4.5 in %s\n"},
      {"/runs/0/server", NULL, "drain_s", 0, 63, "/runs/0/server row 0, column drain_s: 0 in %s, -0 in %s\n"},
      {"/runs/0/plan", NULL, "makespan_s", 0, 51, "/runs/0/plan row 0, column makespan_s: 2.5 in %s, 3.5 in %s\n"},
      {"/runs/0/model/block0.conv.weight", NULL, NULL, 5, 31,
       "/runs/0/model/block0.conv.weight[1, 2]: 0 in %s, -0 in %s\n"},
      {"/runs/1/model/block0.bn.running_mean", NULL, NULL, 0, 0,
       "/runs/1/model/block0.bn.running_mean[0]: 0.5 in %s, 0.50000005960464478 in %s\n"},
      {"/runs/0", "makespan_s", NULL, 0, 0,
       "/runs/0 attribute makespan_s: 9.0999999999999996 in %s, 9.0999999999999979 in %s\n"},
      {"/runs/0", "bytes_up", NULL, 0, 2, "/runs/0 attribute bytes_up: 27 in %s, 31 in %s\n"},
      {"/runs/0", "seed", NULL, 0, 0, "/runs/0 attribute seed: 1994 in %s, 1995 in %s\n"},
      {"/runs/1", "record.model", NULL, 0, 0, "/runs/1 attribute record.model: TRUE in %s, FALSE in %s\n"},
      {"/runs/0", "model", NULL, 0, 0, "/runs/0 attribute model: \"vgg5\" in %s, \"wgg5\" in %s\n"},
  };
  write_file(path_a, &plain);
  write_file(path_b, &plain);
  for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
    flip(cases[index].object, cases[index].attribute, cases[index].column, cases[index].element, cases[index].bit);
    compare(line);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(want, sizeof want, cases[index].want, path_a, path_b);
#pragma GCC diagnostic pop
    ck_assert_str_eq(line, want);
    flip(cases[index].object, cases[index].attribute, cases[index].column, cases[index].element, cases[index].bit);
    compare(line);
    ck_assert_str_eq(line, "");
  }
}
END_TEST

/* Bits all over a row of every table, some in each column. */
START_TEST(no_bit_of_a_table_is_left_out) {
  static const char *const objects[] = {"/runs/0/devices", "/runs/0/server", "/runs/0/rounds", "/runs/0/stages",
                                        "/runs/0/plan"};
  write_file(path_a, &plain);
  write_file(path_b, &plain);
  for (size_t object = 0; object < sizeof objects / sizeof objects[0]; object++) {
    hid_t file = H5Fopen(path_b, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t dataset = H5Dopen2(file, objects[object], H5P_DEFAULT);
    hid_t type = H5Dget_type(dataset);
    size_t size = H5Tget_size(type);
    H5Tclose(type);
    H5Dclose(dataset);
    H5Fclose(file);
    for (size_t bit = 0; bit < 8 * size; bit += 23) {
      char line[512];
      flip(objects[object], NULL, NULL, 0, (int)bit);
      compare(line);
      bool nan_stays_nan = strcmp(objects[object], "/runs/0/rounds") == 0 && line[0] == '\0';
      if (!nan_stays_nan)
        ck_assert_ptr_nonnull(strstr(line, objects[object]));
      flip(objects[object], NULL, NULL, 0, (int)bit);
    }
  }
}
END_TEST

/* Files that no pipar wrote: what they hold must fit nowhere by chance. */
static void add_attribute(const char *path, const char *name, hsize_t count) {
  int64_t values[64] = {1, 2, 3};
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), run = H5Gopen2(file, "/runs/0", H5P_DEFAULT);
  hid_t space = H5Screate_simple(1, &count, NULL);
  hid_t attribute = H5Acreate2(run, name, H5T_NATIVE_INT64, space, H5P_DEFAULT, H5P_DEFAULT);
  ck_assert_int_ge(H5Awrite(attribute, H5T_NATIVE_INT64, values), 0);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Gclose(run);
  H5Fclose(file);
}

START_TEST(an_attribute_of_many_values_is_an_error) {
  write_file(path_a, &plain);
  write_file(path_b, &plain);
  add_attribute(path_a, "training.many", 64);
  add_attribute(path_b, "training.many", 64);
  bool same = true;
  pp_status status = pp_results_diff(path_a, path_b, stdout, &same);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  ck_assert_ptr_nonnull(strstr(pp_error_message(status), "/runs/0 attribute training.many has several values"));
  pp_error_free(status);
}
END_TEST

/* 8 dimensions of 2^56 and more; nothing of it is ever on disk. */
static void add_dataset(const char *path, hsize_t length) {
  hsize_t shape[8], chunk[8];
  for (int axis = 0; axis < 8; axis++) {
    shape[axis] = length;
    chunk[axis] = 1;
  }
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), run = H5Gopen2(file, "/runs/0", H5P_DEFAULT);
  hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(8, shape, NULL);
  ck_assert_int_ge(H5Pset_chunk(properties, 8, chunk), 0);
  hid_t dataset = H5Dcreate2(run, "extra", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  ck_assert_int_ge(dataset, 0);
  H5Dclose(dataset);
  H5Sclose(space);
  H5Pclose(properties);
  H5Gclose(run);
  H5Fclose(file);
}

START_TEST(shapes_of_large_numbers_are_told_whole) {
  char line[512];
  write_file(path_a, &plain);
  write_file(path_b, &plain);
  add_dataset(path_a, 1152921504606846976);
  add_dataset(path_b, 1152921504606846975);
  compare(line);
  ck_assert_ptr_nonnull(strstr(line, "/runs/0/extra: is 1152921504606846976 x "));
  ck_assert_ptr_nonnull(strstr(line, "x 1152921504606846975 in "));
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_an_error) {
  write_file(path_a, &plain);
  bool same = true;
  pp_status status = pp_results_diff(path_a, "no-such.h5", stdout, &same);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  ck_assert_ptr_nonnull(strstr(pp_error_message(status), "no-such.h5"));
  pp_error_free(status);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("diff");
  tcase_add_checked_fixture(tests, set_up, tear_down);
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, equal_results_are_the_same_whatever_made_them);
  tcase_add_test(tests, settings_runs_rows_and_tensors_that_one_lacks_are_named);
  tcase_add_test(tests, a_single_flipped_bit_is_found_and_named);
  tcase_add_test(tests, no_bit_of_a_table_is_left_out);
  tcase_add_test(tests, an_attribute_of_many_values_is_an_error);
  tcase_add_test(tests, shapes_of_large_numbers_are_told_whole);
  tcase_add_test(tests, a_file_that_cannot_be_read_is_an_error);
  return run_case("diff", tests);
}
