#include "trace/inputs.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pipar/results.h"
#include "trace/h5.h"
#include "trace/reader.h"

/* A file's bytes: profiles and traces are texts, but nothing else need know. */
static pp_status write_file(hid_t group, const char *path, int number, pp_input_file file) {
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_H5_AUTO dataset = H5I_INVALID_HID;
  char name[16];
  snprintf(name, sizeof name, "%d", number);
  hsize_t length = (hsize_t)file.length;
  PP_TRY_H5(PP_CODE_RUN, "write", path, space = H5Screate_simple(1, &length, NULL));
  PP_TRY_H5(PP_CODE_RUN, "write", path,
            dataset = H5Dcreate2(group, name, H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  if (length > 0)
    PP_TRY_H5(PP_CODE_RUN, "write", path,
              H5Dwrite(dataset, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, file.text));
  return pp_h5_attribute_text(dataset, path, "path", file.path, 0);
}

pp_status pp_inputs_write(hid_t file, const char *path, const pp_experiment *experiment) {
  PP_H5_AUTO inputs = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_RUN, "write", path, inputs = H5Gcreate2(file, "/inputs", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  int overrides = pp_experiment_override_count(experiment);
  PP_TRY(pp_h5_attribute_integer(inputs, path, "set_count", overrides));
  for (int override = 0; override < overrides; override++) {
    char name[32];
    snprintf(name, sizeof name, "set_%d", override);
    PP_TRY(pp_h5_attribute_text(inputs, path, name, pp_experiment_override(experiment, override), 0));
  }
  for (int number = 0; number < pp_experiment_input_count(experiment); number++)
    PP_TRY(write_file(inputs, path, number, pp_experiment_input(experiment, number)));
  return NULL;
}

static pp_status read_file(hid_t group, const char *path, int number, pp_input_file *out) {
  PP_H5_AUTO dataset = H5I_INVALID_HID;
  PP_H5_AUTO space = H5I_INVALID_HID;
  char name[16], *text = NULL, *file = NULL;
  hsize_t length = 0;
  enum { most_bytes = 1 << 30 };
  bool is_row = false;
  snprintf(name, sizeof name, "%d", number);
  PP_TRY_H5(PP_CODE_INPUT, "read", path, dataset = H5Dopen2(group, name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, space = H5Dget_space(dataset));
  is_row = H5Sget_simple_extent_ndims(space) == 1;
  if (is_row)
    PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Sget_simple_extent_dims(space, &length, NULL));
  if (!is_row || length > most_bytes)
    return pp_fail(PP_CODE_INPUT, "%s: holds inputs that cannot be: input %d is no text", path, number);
  PP_TRY(pp_h5_attribute_get_text(dataset, path, "path", &file));
  out->path = file;
  PP_TRY(pp_alloc((size_t)length + 1, 1, "an input", &text));
  out->text = text;
  out->length = (int64_t)length;
  if (length > 0)
    PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Dread(dataset, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, text));
  return NULL;
}

static pp_status read_inputs(const pp_results *results, pp_results_inputs *out) {
  const char *path = pp_results_path(results);
  PP_H5_AUTO inputs = H5I_INVALID_HID;
  H5G_info_t info;
  int64_t overrides = 0;
  htri_t there = 0;
  PP_TRY_H5(PP_CODE_INPUT, "read", path, there = H5Lexists(pp_results_file(results), "/inputs", H5P_DEFAULT));
  if (there == 0)
    return pp_fail(PP_CODE_INPUT, "%s: was written by a version that did not keep its inputs", path);
  PP_TRY_H5(PP_CODE_INPUT, "read", path, inputs = H5Gopen2(pp_results_file(results), "/inputs", H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Gget_info(inputs, &info));
  PP_TRY(pp_h5_attribute_get_integer(inputs, path, "set_count", &overrides));
  if (overrides < 0 || overrides > 100000 || info.nlinks > 100000)
    return pp_fail(PP_CODE_INPUT, "%s: holds inputs that cannot be", path);
  PP_TRY(pp_alloc((size_t)overrides, sizeof *out->overrides, "the inputs", &out->overrides));
  PP_TRY(pp_alloc((size_t)info.nlinks, sizeof *out->files, "the inputs", &out->files));
  for (; out->override_count < overrides; out->override_count++) {
    char name[32];
    snprintf(name, sizeof name, "set_%d", out->override_count);
    PP_TRY(pp_h5_attribute_get_text(inputs, path, name, &out->overrides[out->override_count]));
  }
  for (int number = 0; number < (int)info.nlinks; number++) {
    out->file_count++;
    PP_TRY(read_file(inputs, path, number, &out->files[number]));
  }
  return NULL;
}

pp_status pp_results_read_inputs(const pp_results *results, pp_results_inputs *out) {
  *out = (pp_results_inputs){0};
  pp_status status = read_inputs(results, out);
  if (status != NULL)
    pp_results_inputs_fini(out);
  return status;
}

void pp_results_inputs_fini(pp_results_inputs *inputs) {
  for (int override = 0; override < inputs->override_count; override++)
    free(inputs->overrides[override]);
  for (int file = 0; file < inputs->file_count; file++) {
    free((void *)(uintptr_t)inputs->files[file].path);
    free((void *)(uintptr_t)inputs->files[file].text);
  }
  free(inputs->overrides);
  free(inputs->files);
  *inputs = (pp_results_inputs){0};
}
