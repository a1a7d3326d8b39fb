/* A checkpoint gives back what was put into it, and tells when it does not fit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"
#include "trace/checkpoint.h"

static char directory[] = "checkpoint-XXXXXX";
static char path[64];
static pp_identity identity;

static void set_up(void) {
  ck_assert_ptr_nonnull(mkdtemp(directory));
  snprintf(path, sizeof path, "%s/out.h5.ckpt", directory);
  for (int part = 0; part < PP_IDENTITY_PARTS; part++)
    snprintf(identity.part[part], PP_IDENTITY_ROOM, "part %d", part);
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

enum { ROUNDS = 3, ROWS = 2, COLUMNS = 300001 /* more than a chunk, and not whole ones */ };

static void save(float first_value) {
  pp_checkpoint_writer *writer = NULL;
  pp_round_row rows[ROUNDS] = {{.round = 0, .train_loss = 0.25}, {.round = 1, .epsilon = 3}, {.round = 2, .end_s = 7}};
  pp_checkpoint_head head = {.run = 5, .rounds = ROUNDS, .devices = ROWS, .parameters = COLUMNS};
  float *values = malloc(COLUMNS * sizeof *values);
  ck_assert_ptr_nonnull(values);
  for (int i = 0; i < COLUMNS; i++)
    values[i] = first_value + (float)i;
  ok(pp_checkpoint_writer_create(path, &identity, &writer));
  ok(pp_checkpoint_begin(writer, &head));
  ok(pp_checkpoint_put_rounds(writer, rows));
  ok(pp_checkpoint_add_table(writer, "nothing", 0, COLUMNS));
  ok(pp_checkpoint_add_table(writer, "values", ROWS, COLUMNS));
  ok(pp_checkpoint_put(writer, 1, 0, 1000, values));
  ok(pp_checkpoint_put(writer, 1, 1000, COLUMNS - 1000, values + 1000));
  ok(pp_checkpoint_commit(writer));
  pp_checkpoint_writer_destroy(writer);
  free(values);
}

START_TEST(what_was_put_comes_back) {
  pp_checkpoint *checkpoint = NULL;
  pp_round_row rows[ROUNDS];
  float values[4];
  save(1);
  save(2); /* takes the place of the first */
  ok(pp_checkpoint_open(path, &identity, &checkpoint));
  const pp_checkpoint_head *head = pp_checkpoint_head_of(checkpoint);
  ck_assert(head->run == 5 && head->rounds == ROUNDS && head->devices == ROWS && head->parameters == COLUMNS);
  ok(pp_checkpoint_get_rounds(checkpoint, rows));
  ck_assert(rows[0].train_loss == 0.25 && rows[1].epsilon == 3 && rows[2].end_s == 7 && rows[2].round == 2);
  ok(pp_checkpoint_get(checkpoint, "values", COLUMNS, 1, COLUMNS - 4, 4, values));
  ck_assert(values[0] == 2 + COLUMNS - 4 && values[3] == 2 + COLUMNS - 1);
  ok(pp_checkpoint_get(checkpoint, "values", COLUMNS, 0, 0, 4, values));
  ck_assert(values[0] == 0 && values[3] == 0);
  pp_checkpoint_close(checkpoint);
}
END_TEST

START_TEST(another_version_kernels_or_library_is_named) {
  static const char *const names[] = {"pipar_version", "git_revision", "blas", "kernels", "another experiment"};
  save(1);
  for (int part = 0; part < PP_IDENTITY_PARTS; part++) {
    pp_checkpoint *checkpoint = NULL;
    pp_identity other = identity;
    snprintf(other.part[part], PP_IDENTITY_ROOM, "changed");
    pp_status status = pp_checkpoint_open(path, &other, &checkpoint);
    ck_assert_ptr_nonnull(status);
    ck_assert_ptr_null(checkpoint);
    ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
    ck_assert_ptr_nonnull(strstr(pp_error_message(status), names[part]));
    ck_assert_ptr_nonnull(strstr(pp_error_message(status), path));
    pp_error_free(status);
  }
}
END_TEST

START_TEST(one_that_was_not_committed_leaves_the_one_before_it) {
  pp_checkpoint_writer *writer = NULL;
  pp_checkpoint *checkpoint = NULL;
  pp_checkpoint_head head = {.run = 6, .rounds = 1};
  save(1);
  ok(pp_checkpoint_writer_create(path, &identity, &writer));
  ok(pp_checkpoint_begin(writer, &head));
  pp_checkpoint_writer_destroy(writer);
  ok(pp_checkpoint_open(path, &identity, &checkpoint));
  ck_assert(pp_checkpoint_head_of(checkpoint)->run == 5);
  pp_checkpoint_close(checkpoint);
  ok(pp_checkpoint_remove(path));
  ok(pp_checkpoint_remove(path));
  ok(pp_checkpoint_open(path, &identity, &checkpoint));
}
END_TEST

START_TEST(a_missing_one_is_none) {
  pp_checkpoint *checkpoint = NULL;
  ok(pp_checkpoint_open(path, &identity, &checkpoint));
  ck_assert_ptr_null(checkpoint);
}
END_TEST

int main(void) {
  TCase *cases = tcase_create("file");
  tcase_add_checked_fixture(cases, set_up, tear_down);
  tcase_add_test(cases, what_was_put_comes_back);
  tcase_add_test(cases, another_version_kernels_or_library_is_named);
  tcase_add_test(cases, one_that_was_not_committed_leaves_the_one_before_it);
  tcase_add_test(cases, a_missing_one_is_none);
  return run_case("checkpoint", cases);
}
