/* A network's tensors from a file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pipar/results.h"
#include "trace/h5.h"

enum { MOST_AXES = 4, SHAPE_ROOM = MOST_AXES * (20 + 3) + 1 /* digits of 2^63, and " x " */ };

/* "2 x 3"; rank <= MOST_AXES. */
static const char *print_shape(int rank, const int64_t *shape, char out[SHAPE_ROOM]) {
  int length = snprintf(out, SHAPE_ROOM, "%s", rank == 0 ? "a single value" : "");
  for (int axis = 0; axis < rank; axis++)
    length +=
        snprintf(out + length, SHAPE_ROOM - (size_t)length, "%s%lld", axis > 0 ? " x " : "", (long long)shape[axis]);
  return out;
}

static pp_status read_tensor(hid_t group, const char *path, const pp_tensor_info *tensor, float *values) {
  PP_H5_AUTO dataset = H5I_INVALID_HID;
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  char found_text[SHAPE_ROOM], wanted_text[SHAPE_ROOM];
  hsize_t dimensions[H5S_MAX_RANK] = {0};
  int64_t found[MOST_AXES] = {0};
  htri_t exists = H5Lexists(group, tensor->name, H5P_DEFAULT);
  if (exists <= 0)
    return pp_fail(PP_CODE_INPUT, "init: %s has no tensor %s", path, tensor->name);
  PP_TRY_H5(PP_CODE_INPUT, "read", path, dataset = H5Dopen2(group, tensor->name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, space = H5Dget_space(dataset));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, type = H5Dget_type(dataset));
  if (H5Tget_class(type) != H5T_FLOAT && H5Tget_class(type) != H5T_INTEGER)
    return pp_fail(PP_CODE_INPUT, "init: %s: %s holds no numbers", path, tensor->name);
  int rank = H5Sget_simple_extent_ndims(space);
  bool same = rank == tensor->rank;
  if (same)
    PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Sget_simple_extent_dims(space, dimensions, NULL));
  for (int axis = 0; same && axis < rank; axis++)
    found[axis] = (int64_t)dimensions[axis];
  same = same && memcmp(found, tensor->shape, (size_t)rank * sizeof *found) == 0;
  if (!same && rank == tensor->rank)
    return pp_fail(PP_CODE_INPUT, "init: %s: %s is %s; the network's is %s", path, tensor->name,
                   print_shape(rank, found, found_text), print_shape(tensor->rank, tensor->shape, wanted_text));
  if (!same)
    return pp_fail(PP_CODE_INPUT, "init: %s: %s has %d dimensions; the network's is %s", path, tensor->name, rank,
                   print_shape(tensor->rank, tensor->shape, wanted_text));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
  for (int64_t i = 0; i < tensor->elements; i++)
    if (!isfinite(values[i]))
      return pp_fail(PP_CODE_INPUT, "init: %s: %s[%lld] is %g: allowed are finite numbers", path, tensor->name,
                     (long long)i, (double)values[i]);
  return NULL;
}

static pp_status read_group(const char *path, const char *name, const pp_model *model, float *params, float *stats) {
  PP_H5_AUTO file = H5I_INVALID_HID;
  PP_H5_AUTO group = H5I_INVALID_HID;
  PP_TRY(pp_fail_in(pp_h5_open_reading(path, &file), "init"));
  H5E_BEGIN_TRY { group = H5Gopen2(file, name, H5P_DEFAULT); }
  H5E_END_TRY
  if (group < 0)
    return pp_fail(PP_CODE_INPUT, "init: %s has no group %s", path, name);
  for (int tensor = 0; tensor < pp_model_tensor_count(model); tensor++) {
    const pp_tensor_info *info = pp_model_tensor(model, tensor);
    PP_TRY(read_tensor(group, path, info, (info->is_statistic ? stats : params) + info->offset));
  }
  return NULL;
}

pp_status pp_results_read_tensors(const char *directory, const char *source, const pp_model *model, float *params,
                                  float *stats) {
  char *path = NULL;
  const char *group = NULL;
  PP_TRY(pp_init_find(directory, source, &path, &group));
  pp_status status = read_group(path, group, model, params, stats);
  free(path);
  return status;
}
