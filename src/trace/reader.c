#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "pipar/results.h"
#include "trace/h5.h"
#include "trace/reader.h"
#include "trace/table.h"

enum { NEWEST_VERSION = 1, MOST_RUNS = 1000000 };

struct pp_results {
  char *path;
  hid_t file;
  int run_count;
  int *runs; /* (run_count): their numbers, rising; files of single runs of a sweep keep theirs */
};

static pp_status check_format(const char *path, hid_t file) {
  PP_H5_AUTO root = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_INPUT, "read", path, root = H5Gopen2(file, "/", H5P_DEFAULT));
  char *format = NULL;
  PP_TRY(pp_h5_attribute_get_text(root, path, "format", &format));
  bool ours = strcmp(format, "pipar-results") == 0;
  free(format);
  if (!ours)
    return pp_fail(PP_CODE_INPUT, "%s is not a results file of pipar: its `format` is not pipar-results", path);
  int64_t version = 0;
  PP_TRY(pp_h5_attribute_get_integer(root, path, "format_version", &version));
  if (version < 1 || version > NEWEST_VERSION)
    return pp_fail(PP_CODE_INPUT, "%s has format_version %lld; this pipar reads 1 to %d", path, (long long)version,
                   NEWEST_VERSION);
  return NULL;
}

/* Looks for the names that the writer gives, 0, 1, 2, ..., until all links are found: iterating over the links of a
 * damaged file can end the process inside the library. */
static pp_status list_runs(pp_results *results) {
  const char *path = results->path;
  PP_H5_AUTO runs = H5I_INVALID_HID;
  H5G_info_t info;
  PP_TRY_H5(PP_CODE_INPUT, "read", path, runs = H5Gopen2(results->file, "/runs", H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Gget_info(runs, &info));
  if (info.nlinks > MOST_RUNS)
    return pp_fail(PP_CODE_INPUT, "%s is damaged: it says to have %llu runs", path, (unsigned long long)info.nlinks);
  int count = (int)info.nlinks;
  PP_TRY(pp_alloc((size_t)count, sizeof *results->runs, "runs", &results->runs));
  for (int number = 0; results->run_count < count; number++) {
    if (number == MOST_RUNS)
      return pp_fail(PP_CODE_INPUT, "%s is damaged: /runs holds something that is no run", path);
    char name[16];
    htri_t there = 0;
    snprintf(name, sizeof name, "%d", number);
    PP_TRY_H5(PP_CODE_INPUT, "read", path, there = H5Lexists(runs, name, H5P_DEFAULT));
    if (there > 0)
      results->runs[results->run_count++] = number;
  }
  return NULL;
}

/* PATH, or PATH.part where only that is there. */
static pp_status find_file(const char *path, char **out) {
  char *found = NULL;
  bool part = false;
  if (access(path, F_OK) != 0) {
    if (asprintf(&found, "%s.part", path) < 0)
      return pp_fail_memory("a file name", strlen(path));
    part = access(found, F_OK) == 0;
    if (!part)
      free(found);
  }
  if (!part) {
    found = strdup(path);
    if (found == NULL)
      return pp_fail_memory("a file name", strlen(path));
  }
  *out = found;
  return NULL;
}

pp_status pp_results_open(const char *path, pp_results **out) {
  pp_status status = NULL;
  pp_results *results = NULL;
  PP_TRY(pp_alloc(1, sizeof *results, "a results file", &results));
  results->file = H5I_INVALID_HID;
  PP_TRY_GOTO(status, find_file(path, &results->path), fail);
  PP_TRY_GOTO(status, pp_h5_open_reading(results->path, &results->file), fail);
  PP_TRY_GOTO(status, check_format(results->path, results->file), fail);
  PP_TRY_GOTO(status, list_runs(results), fail);
  *out = results;
  return NULL;
fail:
  pp_results_close(results);
  return status;
}

void pp_results_close(pp_results *results) {
  if (results == NULL)
    return;
  pp_error_free(pp_h5_file_close(&results->file, results->path));
  free(results->path);
  free(results->runs);
  free(results);
}

const char *pp_results_path(const pp_results *results) { return results->path; }

int pp_results_run_count(const pp_results *results) { return results->run_count; }

int pp_results_run_number(const pp_results *results, int index) {
  PP_ASSERT(index >= 0 && index < results->run_count);
  return results->runs[index];
}

hid_t pp_results_file(const pp_results *results) { return results->file; }

static int compare_runs(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static pp_status open_run(const pp_results *results, int run, hid_t *out) {
  int count = results->run_count;
  if (count == 0 || bsearch(&run, results->runs, (size_t)count, sizeof run, compare_runs) == NULL) {
    int last = count == 0 ? -1 : results->runs[count - 1];
    if (last == count - 1)
      return pp_fail(PP_CODE_USAGE, "%s has runs 0 to %d, not %d", results->path, last, run);
    return pp_fail(PP_CODE_USAGE, "%s has %d of its sweep's runs, not run %d", results->path, count, run);
  }
  char name[32];
  snprintf(name, sizeof name, "/runs/%d", run);
  PP_TRY_H5(PP_CODE_INPUT, "read", results->path, *out = H5Gopen2(results->file, name, H5P_DEFAULT));
  return NULL;
}

static pp_status count_rows(const pp_results *results, hid_t group, pp_table_id table, int64_t *out) {
  PP_H5_AUTO dataset = H5I_INVALID_HID;
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_INPUT, "read", results->path, dataset = H5Dopen2(group, pp_table_of(table)->name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", results->path, space = H5Dget_space(dataset));
  if (H5Sget_simple_extent_ndims(space) != 1)
    return pp_fail(PP_CODE_INPUT, "%s is damaged: table %s has not one dimension", results->path,
                   pp_table_of(table)->name);
  *out = H5Sget_simple_extent_npoints(space);
  return NULL;
}

static pp_status read_rows(const pp_results *results, hid_t group, pp_table_id id, int64_t first, int64_t count,
                           void *rows) {
  if (count == 0)
    return NULL;
  const pp_table *table = pp_table_of(id);
  const char *path = results->path;
  PP_H5_AUTO dataset = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_H5_AUTO memory = H5I_INVALID_HID;
  PP_H5_AUTO in_file = H5I_INVALID_HID;
  PP_H5_AUTO transfer = H5I_INVALID_HID;
  hsize_t start = (hsize_t)first, length = (hsize_t)count;
  PP_TRY_H5(PP_CODE_INPUT, "read", path, dataset = H5Dopen2(group, table->name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, space = H5Dget_space(dataset));
  if (first < 0 || count < 0 || first + count > H5Sget_simple_extent_npoints(space))
    return pp_fail(PP_CODE_INPUT, "%s: table %s has no rows %lld to %lld", path, table->name, (long long)first,
                   (long long)(first + count - 1));
  PP_TRY(pp_table_memory_type(table, path, &type));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &length, NULL));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, memory = H5Screate_simple(1, &length, NULL));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, in_file = H5Dget_type(dataset));
  size_t wide = H5Tget_size(in_file), row_bytes = wide > table->row_bytes ? wide : table->row_bytes;
  PP_TRY(pp_h5_transfer(row_bytes, count, PP_CODE_INPUT, "read", path, &transfer));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Dread(dataset, type, memory, space, transfer, rows));
  return NULL;
}

/* Rows of stages that belong to complete rounds. They are in order of rounds, so the border is found by bisection. */
static pp_status count_complete_stages(const pp_results *results, hid_t group, int64_t rounds, int64_t *stages) {
  if (*stages == 0)
    return NULL;
  int32_t last_round = -1;
  if (rounds > 0) {
    pp_round_row row = {0};
    PP_TRY(read_rows(results, group, PP_TABLE_ROUNDS, rounds - 1, 1, &row));
    last_round = row.round;
  }
  int64_t complete = 0, end = *stages;
  while (complete < end) {
    int64_t middle = complete + (end - complete) / 2;
    pp_stage_record row = {0};
    PP_TRY(read_rows(results, group, PP_TABLE_STAGES, middle, 1, &row));
    if (row.round <= last_round)
      complete = middle + 1;
    else
      end = middle;
  }
  *stages = complete;
  return NULL;
}

/* Copies a text setting; one that is missing gives "". */
static pp_status read_text(const pp_results *results, hid_t group, const char *key, size_t room, char *out) {
  out[0] = '\0';
  htri_t there = 0;
  PP_TRY_H5(PP_CODE_INPUT, "read", results->path, there = H5Aexists(group, key));
  if (there == 0)
    return NULL;
  char *text = NULL;
  PP_TRY(pp_h5_attribute_get_text(group, results->path, key, &text));
  snprintf(out, room, "%s", text);
  free(text);
  return NULL;
}

/* Times of a complete run, which reports divide by and figures are scaled to. */
static pp_status check_summary(const char *path, const pp_results_run *run) {
  const pp_run_summary *of = &run->summary;
  if (strcmp(run->status, "complete") != 0)
    return NULL;
  if (!(of->makespan_s > 0) || !isfinite(of->makespan_s))
    return pp_fail(PP_CODE_INPUT, "%s is damaged: run %d's makespan_s is %g, allowed is more than 0", path, run->run,
                   of->makespan_s);
  const struct {
    const char *name;
    double value;
  } times[] = {
      {"server_busy_s", of->server_busy_s}, {"server_idle_s", of->server_idle_s}, {"device_idle_s", of->device_idle_s}};
  for (size_t time = 0; time < sizeof times / sizeof times[0]; time++)
    if (!(times[time].value >= 0) || !isfinite(times[time].value))
      return pp_fail(PP_CODE_INPUT, "%s is damaged: run %d's %s is %g, allowed is 0 or more", path, run->run,
                     times[time].name, times[time].value);
  return NULL;
}

/* Methods name files of figures. */
static pp_status check_method(const char *path, const pp_results_run *run) {
  if (run->method[0] == '\0' || strspn(run->method, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(run->method))
    return pp_fail(PP_CODE_INPUT, "%s is damaged: run %d's method is none that there is", path, run->run);
  return NULL;
}

pp_status pp_results_read_run(const pp_results *results, int run, pp_results_run *out) {
  const char *path = results->path;
  PP_H5_AUTO group = H5I_INVALID_HID;
  PP_TRY(open_run(results, run, &group));
  pp_results_run read = {.run = run};
  PP_TRY(read_text(results, group, "status", sizeof read.status, read.status));
  PP_TRY(read_text(results, group, "method", sizeof read.method, read.method));
  PP_TRY(read_text(results, group, "model", sizeof read.model, read.model));
  PP_TRY(read_text(results, group, "dataset.name", sizeof read.dataset, read.dataset));
  PP_TRY(read_text(results, group, "name", sizeof read.name, read.name));
  int64_t seed = 0;
  PP_TRY(pp_h5_attribute_get_integer(group, path, "seed", &seed));
  read.seed = (uint64_t)seed;
  for (int real = 0; real < (int)(sizeof pp_summary_reals / sizeof pp_summary_reals[0]); real++)
    PP_TRY(pp_h5_attribute_get_real(group, path, pp_summary_reals[real], pp_summary_real(&read.summary, real)));
  for (int integer = 0; integer < (int)(sizeof pp_summary_integers / sizeof pp_summary_integers[0]); integer++)
    PP_TRY(pp_h5_attribute_get_integer(group, path, pp_summary_integers[integer],
                                       pp_summary_integer(&read.summary, integer)));
  PP_TRY(count_rows(results, group, PP_TABLE_DEVICES, &read.device_count));
  PP_TRY(count_rows(results, group, PP_TABLE_SERVER, &read.slot_count));
  PP_TRY(count_rows(results, group, PP_TABLE_ROUNDS, &read.round_count));
  PP_TRY(count_rows(results, group, PP_TABLE_STAGES, &read.stage_count));
  PP_TRY(count_rows(results, group, PP_TABLE_PLAN, &read.plan_count));
  htri_t has_round_plans = 0; /* older files do not */
  PP_TRY_H5(PP_CODE_INPUT, "read", path, has_round_plans = H5Lexists(group, "round_plans", H5P_DEFAULT));
  if (has_round_plans > 0)
    PP_TRY(count_rows(results, group, PP_TABLE_ROUND_PLANS, &read.round_plan_count));
  if (strcmp(read.status, "complete") != 0)
    PP_TRY(count_complete_stages(results, group, read.round_count, &read.stage_count));
  PP_TRY(check_method(path, &read));
  PP_TRY(check_summary(path, &read));
  *out = read;
  return NULL;
}

typedef struct visit {
  const char *path;
  pp_setting_visitor visitor;
  void *context;
  pp_status status;
} visit;

static pp_status visit_attribute(hid_t group, const char *name, const visit *of) {
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_INPUT, "read", of->path, attribute = H5Aopen(group, name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", of->path, type = H5Aget_type(attribute));
  pp_setting setting = {.key = name};
  char *text = NULL;
  bool truth = false;
  switch (H5Tget_class(type)) {
  case H5T_INTEGER:
    setting.type = PP_SETTING_INT;
    PP_TRY(pp_h5_attribute_get_integer(group, of->path, name, &setting.integer));
    break;
  case H5T_FLOAT:
    setting.type = PP_SETTING_REAL;
    PP_TRY(pp_h5_attribute_get_real(group, of->path, name, &setting.real));
    break;
  case H5T_ENUM:
    setting.type = PP_SETTING_BOOL;
    PP_TRY(pp_h5_attribute_get_bool(group, of->path, name, &truth));
    setting.integer = truth;
    break;
  case H5T_STRING:
    setting.type = PP_SETTING_TEXT;
    PP_TRY(pp_h5_attribute_get_text(group, of->path, name, &text));
    setting.text = text;
    break;
  default:
    return NULL;
  }
  pp_status status = of->visitor(&setting, of->context);
  free(text);
  return status;
}

static herr_t visit_next(hid_t group, const char *name, const H5A_info_t *info, void *context) {
  (void)info;
  visit *of = context;
  if (pp_is_summary(name))
    return 0;
  of->status = visit_attribute(group, name, of);
  return of->status == NULL ? 0 : 1;
}

pp_status pp_results_visit_settings(const pp_results *results, int run, pp_setting_visitor visitor, void *context) {
  PP_H5_AUTO group = H5I_INVALID_HID;
  PP_TRY(open_run(results, run, &group));
  visit of = {results->path, visitor, context, NULL};
  herr_t result = H5Aiterate2(group, H5_INDEX_CRT_ORDER, H5_ITER_INC, NULL, visit_next, &of);
  if (of.status == NULL && result < 0)
    return pp_h5_fail(PP_CODE_INPUT, "read", results->path);
  return of.status;
}

static pp_status read_table(const pp_results *results, int run, pp_table_id table, int64_t first, int64_t count,
                            void *rows) {
  PP_H5_AUTO group = H5I_INVALID_HID;
  PP_TRY(open_run(results, run, &group));
  return read_rows(results, group, table, first, count, rows);
}

static bool is_length(double value_s) { return value_s >= 0 && isfinite(value_s); }

/* The cause that cannot be; PP_CAUSE_COUNT: busy or idle time itself; -1: there is none. */
static int find_nonsense(double busy_s, double idle_s, const double cause_s[PP_CAUSE_COUNT]) {
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
    if (!is_length(cause_s[cause]))
      return cause;
  return is_length(busy_s) && is_length(idle_s) ? -1 : PP_CAUSE_COUNT;
}

static pp_status refuse_row(const pp_results *results, int run, const char *table, int64_t row, int cause) {
  return pp_fail(PP_CODE_INPUT,
                 "%s is damaged: row %lld of run %d's %s has %s%s that is no length, allowed is 0 or more",
                 results->path, (long long)row, run, table,
                 cause == PP_CAUSE_COUNT ? "busy or idle time" : pp_cause_name((pp_cause)cause),
                 cause == PP_CAUSE_COUNT ? "" : "_s");
}

pp_status pp_results_read_devices(const pp_results *results, int run, int64_t first, int64_t count,
                                  pp_device_row *rows) {
  PP_TRY(read_table(results, run, PP_TABLE_DEVICES, first, count, rows));
  for (int64_t row = 0; row < count; row++) {
    int cause = find_nonsense(rows[row].busy_s, rows[row].idle_s, rows[row].cause_s);
    if (cause >= 0)
      return refuse_row(results, run, "devices", first + row, cause);
  }
  return NULL;
}

pp_status pp_results_read_server(const pp_results *results, int run, int64_t first, int64_t count,
                                 pp_server_row *rows) {
  PP_TRY(read_table(results, run, PP_TABLE_SERVER, first, count, rows));
  for (int64_t row = 0; row < count; row++) {
    int cause = find_nonsense(rows[row].busy_s, rows[row].idle_s, rows[row].cause_s);
    if (cause >= 0)
      return refuse_row(results, run, "server", first + row, cause);
  }
  return NULL;
}

pp_status pp_results_read_rounds(const pp_results *results, int run, int64_t first, int64_t count, pp_round_row *rows) {
  PP_TRY(read_table(results, run, PP_TABLE_ROUNDS, first, count, rows));
  for (int64_t row = 0; row < count; row++) {
    if (!is_length(rows[row].end_s))
      return pp_fail(PP_CODE_INPUT, "%s is damaged: round %lld of run %d ends at %g s, allowed is 0 or more",
                     results->path, (long long)(first + row), run, rows[row].end_s);
  }
  return NULL;
}

pp_status pp_results_read_stages(const pp_results *results, int run, int64_t first, int64_t count,
                                 pp_stage_record *rows) {
  PP_TRY(read_table(results, run, PP_TABLE_STAGES, first, count, rows));
  for (int64_t row = 0; row < count; row++) {
    const pp_stage_record *at = &rows[row];
    if (at->stage < 0 || at->stage >= PP_STAGE_COUNT || at->device < -1 || at->slot < -1 || at->start_ns < 0 ||
        at->end_ns < at->start_ns)
      return pp_fail(PP_CODE_INPUT, "%s is damaged: row %lld of run %d's stages is none that can happen", results->path,
                     (long long)(first + row), run);
  }
  return NULL;
}

pp_status pp_results_read_plan(const pp_results *results, int run, int64_t first, int64_t count, pp_plan_row *rows) {
  for (int64_t row = 0; row < count; row++)
    rows[row].round = 0; /* older files planned once */
  return read_table(results, run, PP_TABLE_PLAN, first, count, rows);
}

pp_status pp_results_read_round_plans(const pp_results *results, int run, int64_t first, int64_t count,
                                      pp_round_plan_row *rows) {
  return read_table(results, run, PP_TABLE_ROUND_PLANS, first, count, rows);
}

const char *pp_results_library(void) {
#define VERSION_TEXT(x)  VERSION_QUOTE(x)
#define VERSION_QUOTE(x) #x
  return VERSION_TEXT(H5_VERS_MAJOR) "." VERSION_TEXT(H5_VERS_MINOR) "." VERSION_TEXT(H5_VERS_RELEASE);
}
