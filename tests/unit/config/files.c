#include "files.h"

#include <stdio.h>
#include <unistd.h>

static char directory[64];

static const char *scratch_path(void) {
  static char path[96];
  if (directory[0] == '\0') {
    strcpy(directory, "/tmp/pipar-config-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
  }
  snprintf(path, sizeof path, "%s/exp.yaml", directory);
  return path;
}

pp_status load_text(const char *text, size_t length, pp_experiment **out, const pp_override *overrides) {
  const char *path = scratch_path();
  FILE *file = fopen(path, "wb");
  ck_assert_ptr_nonnull(file);
  ck_assert_uint_eq(fwrite(text, 1, length, file), length);
  ck_assert_int_eq(fclose(file), 0);
  int count = 0;
  while (overrides != NULL && overrides[count] != NULL)
    count++;
  pp_status status = pp_experiment_load(path, overrides, count, out);
  unlink(path);
  rmdir(directory);
  directory[0] = '\0';
  return status;
}

pp_experiment *must_load_with(const char *text, const pp_override *overrides) {
  pp_experiment *experiment = NULL;
  pp_status status = load_text(text, strlen(text), &experiment, overrides);
  ck_assert_msg(status == NULL, "%s\nfrom\n%s", pp_error_message(status), text);
  return experiment;
}

pp_experiment *must_load(const char *text) { return must_load_with(text, NULL); }

void check_one_line(const char *message) {
  ck_assert_msg(message[0] != '\0', "an empty message");
  for (const char *c = message; *c != '\0'; c++)
    ck_assert_msg((unsigned char)*c >= 0x20 && *c != 0x7f, "control character %d in %s", *c, message);
}

const char *error_with(const char *text, const pp_override *overrides) {
  static char message[1200];
  pp_experiment *experiment = NULL;
  pp_status status = load_text(text, strlen(text), &experiment, overrides);
  ck_assert_msg(status != NULL, "loads:\n%s", text);
  ck_assert_ptr_null(experiment);
  check_one_line(pp_error_message(status));
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  const char *start = strstr(pp_error_message(status), "exp.yaml");
  snprintf(message, sizeof message, "%s", start != NULL ? start : pp_error_message(status));
  pp_error_free(status);
  return message;
}

const char *error_of(const char *text) { return error_with(text, NULL); }

char *dump_of(const pp_config *config) {
  char *text = NULL;
  size_t length = 0;
  FILE *stream = open_memstream(&text, &length);
  ck_assert_ptr_nonnull(stream);
  ck_assert_ptr_null(pp_config_dump(config, stream));
  fclose(stream);
  return text;
}

int run_tests(const char *name, const TTest *const *tests, int count) {
  TCase *all = tcase_create(name);
  tcase_set_timeout(all, 60);
  for (int test = 0; test < count; test++)
    tcase_add_test(all, tests[test]);
  return run_case(name, all);
}
