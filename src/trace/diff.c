#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pipar/results.h"
#include "trace/h5.h"
#include "trace/identity.h"
#include "trace/reader.h"
#include "trace/table.h"

enum {
  BLOCK_BYTES = 1 << 22,
  MOST_AXES = 8,
  MOST_COLUMNS = 64,
  WHERE_ROOM = 256,
  VALUE_ROOM = 512,
  SHAPE_ROOM = MOST_AXES * (20 + 3) + 1, /* digits of 2^64, and " x " */
};

typedef struct side {
  const char *path; /* as given to the user */
  hid_t id;         /* of what is being compared */
} side;

typedef struct comparison {
  FILE *stream;
  bool same;
} comparison;

static void __attribute__((format(printf, 2, 3))) report(comparison *of, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(of->stream, format, args);
  va_end(args);
  fputc('\n', of->stream);
  of->same = false;
}

/* One number or text of an element: a column, or the whole of an element that is no compound. */
typedef struct field {
  char *name; /* HDF5's memory; NULL for an element that is no compound */
  hid_t type; /* native */
  H5T_class_t class;
  size_t offset, size;
} field;

typedef struct layout {
  size_t bytes;
  int count;
  field fields[MOST_COLUMNS];
} layout;

static void layout_fini(layout *of) {
  for (int index = 0; index < of->count; index++) {
    H5free_memory(of->fields[index].name);
    pp_h5_close(&of->fields[index].type);
  }
  of->count = 0;
}

/* `native` is a native type of HDF5. */
static pp_status layout_init(layout *out, const char *path, hid_t native) {
  bool compound = H5Tget_class(native) == H5T_COMPOUND;
  int count = compound ? H5Tget_nmembers(native) : 1;
  if (count > MOST_COLUMNS)
    return pp_fail(PP_CODE_INPUT, "%s has a table of %d columns; at most %d can be compared", path, count,
                   MOST_COLUMNS);
  out->bytes = H5Tget_size(native);
  for (out->count = 0; out->count < count; out->count++) {
    field *of = &out->fields[out->count];
    unsigned member = (unsigned)out->count;
    of->name = compound ? H5Tget_member_name(native, member) : NULL;
    of->type = compound ? H5Tget_member_type(native, member) : H5Tcopy(native);
    of->class = H5Tget_class(of->type);
    of->offset = compound ? H5Tget_member_offset(native, member) : 0;
    of->size = H5Tget_size(of->type);
  }
  return NULL;
}

static bool field_equal(const field *of, const char *a, const char *b) {
  a += of->offset;
  b += of->offset;
  if (memcmp(a, b, of->size) == 0)
    return true;
  if (of->class != H5T_FLOAT)
    return false;
  if (of->size == sizeof(float)) {
    float x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return isnan(x) && isnan(y);
  }
  double x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  return isnan(x) && isnan(y);
}

static void print_value(char out[VALUE_ROOM], const field *of, const char *element) {
  const char *value = element + of->offset;
  if (of->class == H5T_FLOAT) {
    float single;
    double real;
    if (of->size == sizeof single) {
      memcpy(&single, value, sizeof single);
      real = (double)single;
    } else {
      memcpy(&real, value, sizeof real);
    }
    if (isnan(real))
      snprintf(out, VALUE_ROOM, "NaN");
    else
      snprintf(out, VALUE_ROOM, "%.17g", real);
  } else if (of->class == H5T_STRING) {
    snprintf(out, VALUE_ROOM, "\"%.*s\"", (int)(of->size < 400 ? of->size : 400), value);
  } else if (of->class == H5T_ENUM && H5Tenum_nameof(of->type, value, out, VALUE_ROOM) >= 0) {
    return;
  } else if (of->size == sizeof(int64_t)) {
    int64_t integer;
    memcpy(&integer, value, sizeof integer);
    snprintf(out, VALUE_ROOM, "%lld", (long long)integer);
  } else if (of->size == sizeof(int32_t)) {
    int32_t integer;
    memcpy(&integer, value, sizeof integer);
    snprintf(out, VALUE_ROOM, "%d", integer);
  } else {
    snprintf(out, VALUE_ROOM, "%d", value[0]);
  }
}

static void report_values(comparison *of, const char *where, const side *a, const side *b, const field *column,
                          const char *element_a, const char *element_b) {
  char value_a[VALUE_ROOM], value_b[VALUE_ROOM];
  H5E_BEGIN_TRY {
    print_value(value_a, column, element_a);
    print_value(value_b, column, element_b);
  }
  H5E_END_TRY
  report(of, "%s: %s in %s, %s in %s", where, value_a, a->path, value_b, b->path);
}

/* Native types of both sides; where they are not the same the difference is reported. */
static pp_status compare_types(comparison *of, const char *where, const side *a, const side *b, hid_t type_a,
                               hid_t type_b, hid_t *out) {
  PP_H5_AUTO native_a = H5I_INVALID_HID;
  PP_H5_AUTO native_b = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_INPUT, "read", a->path, native_a = H5Tget_native_type(type_a, H5T_DIR_ASCEND));
  PP_TRY_H5(PP_CODE_INPUT, "read", b->path, native_b = H5Tget_native_type(type_b, H5T_DIR_ASCEND));
  if (H5Tequal(native_a, native_b) > 0) {
    *out = native_a;
    native_a = H5I_INVALID_HID;
    return NULL;
  }
  layout columns_a = {0}, columns_b = {0};
  pp_status status = layout_init(&columns_a, a->path, native_a);
  if (status == NULL)
    status = layout_init(&columns_b, b->path, native_b);
  const char *which = NULL;
  for (int column = 0; status == NULL && which == NULL; column++) {
    const char *name_a = column < columns_a.count ? columns_a.fields[column].name : NULL;
    const char *name_b = column < columns_b.count ? columns_b.fields[column].name : NULL;
    if (name_a == NULL && name_b == NULL)
      break;
    if (name_a == NULL || name_b == NULL || strcmp(name_a, name_b) != 0 ||
        H5Tequal(columns_a.fields[column].type, columns_b.fields[column].type) <= 0)
      which = name_a != NULL ? name_a : name_b;
  }
  if (status == NULL && which != NULL)
    report(of, "%s, column %s: %s and %s have different columns", where, which, a->path, b->path);
  else if (status == NULL)
    report(of, "%s: has another type in %s than in %s", where, a->path, b->path);
  layout_fini(&columns_a);
  layout_fini(&columns_b);
  return status;
}

typedef struct shape {
  int rank;
  hsize_t axes[MOST_AXES];
} shape;

static pp_status get_shape(const side *of, hid_t *space, shape *out) {
  PP_TRY_H5(PP_CODE_INPUT, "read", of->path, *space = H5Dget_space(of->id));
  out->rank = H5Sget_simple_extent_ndims(*space);
  if (out->rank < 1 || out->rank > MOST_AXES)
    return pp_fail(PP_CODE_INPUT, "%s has a data set of %d dimensions", of->path, out->rank);
  PP_TRY_H5(PP_CODE_INPUT, "read", of->path, H5Sget_simple_extent_dims(*space, out->axes, NULL));
  return NULL;
}

static void print_shape(char out[SHAPE_ROOM], const shape *of) {
  size_t used = 0;
  for (int axis = 0; axis < of->rank; axis++)
    used += (size_t)snprintf(out + used, SHAPE_ROOM - used, "%s%llu", axis == 0 ? "" : " x ",
                             (unsigned long long)of->axes[axis]);
}

/* Rows `first` on of both sides: elements with their first index there. */
static pp_status read_block(const side *of, hid_t space, hid_t type, const shape *extent, hsize_t first, hsize_t count,
                            char *out) {
  PP_H5_AUTO memory = H5I_INVALID_HID;
  hsize_t start[MOST_AXES] = {first}, size[MOST_AXES];
  memcpy(size, extent->axes, sizeof size);
  size[0] = count;
  PP_TRY_H5(PP_CODE_INPUT, "read", of->path, H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, size, NULL));
  PP_TRY_H5(PP_CODE_INPUT, "read", of->path, memory = H5Screate_simple(extent->rank, size, NULL));
  PP_TRY_H5(PP_CODE_INPUT, "read", of->path, H5Dread(of->id, type, memory, space, H5P_DEFAULT, out));
  return NULL;
}

/* "NAME row 3, column busy_s" of a table, "NAME[3, 0, 2]" of a tensor. */
static void print_place(char out[WHERE_ROOM], const char *where, const shape *extent, const field *column,
                        hsize_t element) {
  if (column->name != NULL) {
    snprintf(out, WHERE_ROOM, "%s row %llu, column %s", where, (unsigned long long)element, column->name);
    return;
  }
  hsize_t index[MOST_AXES];
  for (int axis = extent->rank - 1; axis >= 0; axis--) {
    index[axis] = element % extent->axes[axis];
    element /= extent->axes[axis];
  }
  size_t used = (size_t)snprintf(out, WHERE_ROOM, "%s[", where);
  for (int axis = 0; axis < extent->rank && used < WHERE_ROOM; axis++)
    used += (size_t)snprintf(out + used, WHERE_ROOM - used, "%llu%s", (unsigned long long)index[axis],
                             axis + 1 < extent->rank ? ", " : "]");
}

static void compare_block(comparison *of, const char *where, const side *a, const side *b, const layout *columns,
                          const shape *extent, hsize_t first, hsize_t elements, const char *block_a,
                          const char *block_b) {
  if (memcmp(block_a, block_b, elements * columns->bytes) == 0)
    return;
  for (hsize_t element = 0; element < elements; element++)
    for (int column = 0; column < columns->count; column++) {
      const char *element_a = block_a + element * columns->bytes, *element_b = block_b + element * columns->bytes;
      if (field_equal(&columns->fields[column], element_a, element_b))
        continue;
      char place[WHERE_ROOM];
      print_place(place, where, extent, &columns->fields[column], first + element);
      report_values(of, place, a, b, &columns->fields[column], element_a, element_b);
      return;
    }
}

static pp_status compare_rows(comparison *of, const char *where, const side *a, const side *b, hid_t type,
                              const layout *columns, hid_t space_a, hid_t space_b, const shape *extent, char *block_a,
                              char *block_b, hsize_t rows_per_block) {
  hsize_t row_elements = 1;
  for (int axis = 1; axis < extent->rank; axis++)
    row_elements *= extent->axes[axis];
  for (hsize_t row = 0; row < extent->axes[0] && of->same; row += rows_per_block) {
    hsize_t rows = extent->axes[0] - row < rows_per_block ? extent->axes[0] - row : rows_per_block;
    PP_TRY(read_block(a, space_a, type, extent, row, rows, block_a));
    PP_TRY(read_block(b, space_b, type, extent, row, rows, block_b));
    compare_block(of, where, a, b, columns, extent, row * row_elements, rows * row_elements, block_a, block_b);
  }
  return NULL;
}

/* Rows that both have are compared before their number is, so that the first row that went another way is named. */
static pp_status compare_datasets(comparison *of, const char *where, const side *a, const side *b) {
  PP_H5_AUTO type_a = H5I_INVALID_HID;
  PP_H5_AUTO type_b = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_H5_AUTO space_a = H5I_INVALID_HID;
  PP_H5_AUTO space_b = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_INPUT, "read", a->path, type_a = H5Dget_type(a->id));
  PP_TRY_H5(PP_CODE_INPUT, "read", b->path, type_b = H5Dget_type(b->id));
  PP_TRY(compare_types(of, where, a, b, type_a, type_b, &type));
  if (!of->same)
    return NULL;
  shape shape_a, shape_b;
  PP_TRY(get_shape(a, &space_a, &shape_a));
  PP_TRY(get_shape(b, &space_b, &shape_b));
  char text_a[SHAPE_ROOM], text_b[SHAPE_ROOM];
  print_shape(text_a, &shape_a);
  print_shape(text_b, &shape_b);
  bool table = shape_a.rank == 1 && shape_b.rank == 1 && H5Tget_class(type) == H5T_COMPOUND;
  bool same_shape = strcmp(text_a, text_b) == 0;
  if (!table && !same_shape) {
    report(of, "%s: is %s in %s, %s in %s", where, text_a, a->path, text_b, b->path);
    return NULL;
  }
  shape common = shape_a;
  common.axes[0] = shape_a.axes[0] < shape_b.axes[0] ? shape_a.axes[0] : shape_b.axes[0];
  layout columns = {0};
  char *block_a = NULL, *block_b = NULL;
  pp_status status = NULL;
  PP_TRY_GOTO(status, layout_init(&columns, a->path, type), done);
  size_t row_bytes = columns.bytes;
  for (int axis = 1; axis < common.rank; axis++)
    row_bytes *= common.axes[axis];
  size_t rows_per_block = row_bytes == 0 || row_bytes > BLOCK_BYTES ? 1 : BLOCK_BYTES / row_bytes;
  if (rows_per_block > common.axes[0]) /* most tables are short */
    rows_per_block = common.axes[0] == 0 ? 1 : (size_t)common.axes[0];
  PP_TRY_GOTO(status, pp_alloc(rows_per_block, row_bytes, "rows to compare", &block_a), done);
  PP_TRY_GOTO(status, pp_alloc(rows_per_block, row_bytes, "rows to compare", &block_b), done);
  status = compare_rows(of, where, a, b, type, &columns, space_a, space_b, &common, block_a, block_b, rows_per_block);
  if (status == NULL && of->same && !same_shape)
    report(of, "%s: has %s rows in %s, %s in %s", where, text_a, a->path, text_b, b->path);
done:
  layout_fini(&columns);
  free(block_a);
  free(block_b);
  return status;
}

/* There is room for one value. */
static pp_status check_single(const char *place, const side *of, hid_t attribute) {
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_INPUT, "read", of->path, space = H5Aget_space(attribute));
  if (H5Sget_simple_extent_npoints(space) != 1)
    return pp_fail(PP_CODE_INPUT, "%s: %s has several values; one can be compared", of->path, place);
  return NULL;
}

static pp_status compare_attribute(comparison *of, const char *where, const side *a, const side *b, const char *name) {
  PP_H5_AUTO attribute_a = H5I_INVALID_HID;
  PP_H5_AUTO attribute_b = H5I_INVALID_HID;
  PP_H5_AUTO type_a = H5I_INVALID_HID;
  PP_H5_AUTO type_b = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  char place[WHERE_ROOM];
  snprintf(place, sizeof place, "%s attribute %s", where, name);
  PP_TRY_H5(PP_CODE_INPUT, "read", a->path, attribute_a = H5Aopen(a->id, name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", b->path, attribute_b = H5Aopen(b->id, name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", a->path, type_a = H5Aget_type(attribute_a));
  PP_TRY_H5(PP_CODE_INPUT, "read", b->path, type_b = H5Aget_type(attribute_b));
  PP_TRY(check_single(place, a, attribute_a));
  PP_TRY(check_single(place, b, attribute_b));
  if (H5Tget_class(type_a) == H5T_STRING && H5Tget_class(type_b) == H5T_STRING) {
    char *text_a = NULL, *text_b = NULL;
    PP_TRY(pp_h5_attribute_get_text(a->id, a->path, name, &text_a));
    pp_status status = pp_h5_attribute_get_text(b->id, b->path, name, &text_b);
    if (status == NULL && strcmp(text_a, text_b) != 0)
      report(of, "%s: \"%s\" in %s, \"%s\" in %s", place, text_a, a->path, text_b, b->path);
    free(text_a);
    free(text_b);
    return status;
  }
  PP_TRY(compare_types(of, place, a, b, type_a, type_b, &type));
  if (!of->same)
    return NULL;
  layout value = {0};
  PP_TRY(layout_init(&value, a->path, type));
  int64_t value_a[2] = {0}, value_b[2] = {0};
  pp_status status = NULL;
  H5E_BEGIN_TRY {
    if (value.bytes > sizeof value_a || H5Aread(attribute_a, type, value_a) < 0)
      status = pp_h5_fail(PP_CODE_INPUT, "read", a->path);
    else if (H5Aread(attribute_b, type, value_b) < 0)
      status = pp_h5_fail(PP_CODE_INPUT, "read", b->path);
  }
  H5E_END_TRY
  if (status == NULL && !field_equal(&value.fields[0], (const char *)value_a, (const char *)value_b))
    report_values(of, place, a, b, &value.fields[0], (const char *)value_a, (const char *)value_b);
  layout_fini(&value);
  return status;
}

/* Names of attributes or links, in order. */
typedef struct names {
  int count, capacity;
  char **names;
} names;

static void names_fini(names *of) {
  for (int name = 0; name < of->count; name++)
    free(of->names[name]);
  free(of->names);
  *of = (names){0};
}

static herr_t add_name(names *to, const char *name) {
  if (to->count == to->capacity) {
    int capacity = to->capacity == 0 ? 64 : 2 * to->capacity;
    char **grown = realloc(to->names, (size_t)capacity * sizeof *grown);
    if (grown == NULL)
      return -1;
    to->names = grown;
    to->capacity = capacity;
  }
  to->names[to->count] = strdup(name);
  return to->names[to->count++] == NULL ? -1 : 0;
}

static herr_t add_attribute(hid_t location, const char *name, const H5A_info_t *info, void *context) {
  (void)location;
  (void)info;
  return add_name(context, name);
}

static herr_t add_link(hid_t group, const char *name, const H5L_info_t *info, void *context) {
  (void)group;
  (void)info;
  return add_name(context, name);
}

static int compare_texts(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void sort_names(names *of) {
  if (of->count > 0)
    qsort(of->names, (size_t)of->count, sizeof *of->names, compare_texts);
}

/* In the file's own order, which is sorted here: HDF5 (1.10) can crash on a damaged file while it sorts. */
static pp_status list_attributes(const side *of, names *out) {
  PP_TRY_H5(PP_CODE_INPUT, "read", of->path,
            H5Aiterate2(of->id, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, add_attribute, out));
  sort_names(out);
  return NULL;
}

static pp_status list_links(const side *of, names *out) {
  PP_TRY_H5(PP_CODE_INPUT, "read", of->path, H5Literate(of->id, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, add_link, out));
  sort_names(out);
  return NULL;
}

typedef bool (*name_filter)(const char *name);

static bool is_compared_setting(const char *name) { return pp_setting_matters(name) && !pp_is_summary(name); }

/* Calls `compare` for every name that passes the filter, both lists being sorted; a name that one side lacks is a
 * difference. */
static pp_status compare_names(comparison *of, const char *where, const char *kind, const side *a, const side *b,
                               const names *list_a, const names *list_b, name_filter filter,
                               pp_status (*compare)(comparison *of, const char *where, const side *a, const side *b,
                                                    const char *name)) {
  for (int next_a = 0, next_b = 0; of->same && (next_a < list_a->count || next_b < list_b->count);) {
    int order = next_a == list_a->count   ? 1
                : next_b == list_b->count ? -1
                                          : strcmp(list_a->names[next_a], list_b->names[next_b]);
    const char *name = order <= 0 ? list_a->names[next_a] : list_b->names[next_b];
    next_a += order <= 0;
    next_b += order >= 0;
    if (filter != NULL && !filter(name))
      continue;
    if (order == 0)
      PP_TRY(compare(of, where, a, b, name));
    else
      report(of, "%s%s%s: only in %s", where, kind, name, order < 0 ? a->path : b->path);
  }
  return NULL;
}

static pp_status compare_attributes(comparison *of, const char *where, const side *a, const side *b,
                                    name_filter filter) {
  names list_a = {0}, list_b = {0};
  pp_status status = list_attributes(a, &list_a);
  if (status == NULL)
    status = list_attributes(b, &list_b);
  if (status == NULL)
    status = compare_names(of, where, " attribute ", a, b, &list_a, &list_b, filter, compare_attribute);
  names_fini(&list_a);
  names_fini(&list_b);
  return status;
}

static pp_status compare_groups(comparison *of, const char *where, const side *a, const side *b, name_filter filter);

static pp_status compare_objects(comparison *of, const char *where, const side *a, const side *b, const char *name) {
  PP_H5_AUTO object_a = H5I_INVALID_HID;
  PP_H5_AUTO object_b = H5I_INVALID_HID;
  char place[WHERE_ROOM];
  snprintf(place, sizeof place, "%s/%s", where, name);
  PP_TRY_H5(PP_CODE_INPUT, "read", a->path, object_a = H5Oopen(a->id, name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", b->path, object_b = H5Oopen(b->id, name, H5P_DEFAULT));
  const side inner_a = {a->path, object_a}, inner_b = {b->path, object_b};
  H5I_type_t kind_a = H5Iget_type(object_a), kind_b = H5Iget_type(object_b);
  if (kind_a == H5I_DATASET && kind_b == H5I_DATASET)
    return compare_datasets(of, place, &inner_a, &inner_b);
  if (kind_a == H5I_GROUP && kind_b == H5I_GROUP)
    return compare_groups(of, place, &inner_a, &inner_b, NULL);
  report(of, "%s: has another type in %s than in %s", place, a->path, b->path);
  return NULL;
}

static pp_status compare_groups(comparison *of, const char *where, const side *a, const side *b, name_filter filter) {
  names list_a = {0}, list_b = {0};
  pp_status status = list_links(a, &list_a);
  if (status == NULL)
    status = list_links(b, &list_b);
  if (status == NULL)
    status = compare_names(of, where, "/", a, b, &list_a, &list_b, filter, compare_objects);
  names_fini(&list_a);
  names_fini(&list_b);
  return status;
}

/* Tables from cause to effect, so that what is named first is where two runs part. */
static const char *const first_tables[] = {"network", "costs",  "plan",    "round_plans",
                                           "stages",  "rounds", "devices", "server"};

static bool is_other_object(const char *name) {
  for (size_t table = 0; table < sizeof first_tables / sizeof first_tables[0]; table++)
    if (strcmp(name, first_tables[table]) == 0)
      return false;
  return true;
}

static pp_status compare_runs(comparison *of, const pp_results *a, const pp_results *b, int run) {
  PP_H5_AUTO run_a = H5I_INVALID_HID;
  PP_H5_AUTO run_b = H5I_INVALID_HID;
  char where[32];
  snprintf(where, sizeof where, "/runs/%d", run);
  PP_TRY_H5(PP_CODE_INPUT, "read", pp_results_path(a), run_a = H5Gopen2(pp_results_file(a), where, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", pp_results_path(b), run_b = H5Gopen2(pp_results_file(b), where, H5P_DEFAULT));
  const side side_a = {pp_results_path(a), run_a}, side_b = {pp_results_path(b), run_b};
  PP_TRY(compare_attributes(of, where, &side_a, &side_b, is_compared_setting));
  for (size_t table = 0; of->same && table < sizeof first_tables / sizeof first_tables[0]; table++)
    PP_TRY(compare_objects(of, where, &side_a, &side_b, first_tables[table]));
  if (of->same)
    PP_TRY(compare_groups(of, where, &side_a, &side_b, is_other_object));
  return of->same ? compare_attributes(of, where, &side_a, &side_b, pp_is_summary) : NULL;
}

static pp_status compare_files(comparison *of, const pp_results *a, const pp_results *b) {
  int count_a = pp_results_run_count(a), count_b = pp_results_run_count(b);
  if (count_a != count_b)
    report(of, "/runs: %d in %s, %d in %s", count_a, pp_results_path(a), count_b, pp_results_path(b));
  for (int index = 0; of->same && index < count_a; index++) {
    int run_a = pp_results_run_number(a, index), run_b = pp_results_run_number(b, index);
    if (run_a == run_b)
      PP_TRY(compare_runs(of, a, b, run_a));
    else
      report(of, "/runs/%d: only in %s", run_a < run_b ? run_a : run_b, pp_results_path(run_a < run_b ? a : b));
  }
  return NULL;
}

pp_status pp_results_diff(const char *path_a, const char *path_b, FILE *stream, bool *same) {
  pp_results *a = NULL, *b = NULL;
  comparison of = {stream, true};
  pp_status status = pp_results_open(path_a, &a);
  if (status == NULL)
    status = pp_results_open(path_b, &b);
  if (status == NULL)
    status = compare_files(&of, a, b);
  pp_results_close(a);
  pp_results_close(b);
  if (status == NULL)
    *same = of.same;
  return status;
}
