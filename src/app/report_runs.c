#include "app/report_runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

enum { BLOCK_ROWS = 4096 };

static bool has_prefix(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

static bool has_suffix(const char *text, const char *suffix) {
  size_t length = strlen(text), end = strlen(suffix);
  return length >= end && strcmp(text + length - end, suffix) == 0;
}

/* The key without the device group it belongs to: "pipeline.split" for devices.0.pipeline.split. */
static const char *without_group(const char *key) {
  if (!has_prefix(key, "devices."))
    return key;
  const char *dot = strchr(key + strlen("devices."), '.');
  return dot == NULL ? key : dot + 1;
}

/* Settings that change neither time nor training. */
static bool is_immaterial(const char *key) {
  return strcmp(key, "name") == 0 || strcmp(key, "dataset.path") == 0 || has_prefix(key, "record.") ||
         has_prefix(key, "checkpoint.");
}

/* Settings that fl, on the whole network and the whole mini-batch, has no use for. */
static bool is_unused_in_fl(const char *key) { return has_prefix(without_group(key), "pipeline."); }

typedef struct settings_list {
  pp_report_run *run;
  int capacity;
} settings_list;

/* The shortest decimal number that reads back as the same double. */
static void print_real(size_t room, char *out, double value) {
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(out, room, "%.*g", digits, value);
    if (strtod(out, NULL) == value)
      return;
  }
}

static pp_status add_setting(const pp_setting *setting, void *context) {
  settings_list *list = context;
  pp_report_run *run = list->run;
  if (run->setting_count == list->capacity) {
    int capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
    pp_report_setting *grown = realloc(run->settings, (size_t)capacity * sizeof *grown);
    if (grown == NULL)
      return pp_fail_memory("settings", (size_t)capacity * sizeof *grown);
    run->settings = grown;
    list->capacity = capacity;
  }
  char number[64] = "";
  if (setting->type == PP_SETTING_INT)
    snprintf(number, sizeof number, "%lld", (long long)setting->integer);
  else if (setting->type == PP_SETTING_REAL)
    print_real(sizeof number, number, setting->real);
  else if (setting->type == PP_SETTING_BOOL)
    snprintf(number, sizeof number, "%s", setting->integer != 0 ? "true" : "false");
  pp_report_setting added = {strdup(setting->key), setting->type,
                             strdup(setting->type == PP_SETTING_TEXT ? setting->text : number)};
  run->settings[run->setting_count++] = added;
  if (added.key == NULL || added.text == NULL)
    return pp_fail_memory("settings", strlen(setting->key));
  return NULL;
}

/* FNV-1a, then splitmix64's finaliser: these are summed, and FNV-1a alone is so nearly linear in the last byte that two
 * settings changing together can cancel. */
static uint64_t hash_setting(const pp_report_setting *setting) {
  uint64_t hash = UINT64_C(14695981039346656037);
  const char *const texts[] = {setting->key, setting->text};
  for (int text = 0; text < 2; text++)
    for (const char *c = texts[text];; c++) {
      hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
      if (*c == '\0')
        break;
    }
  hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
  return hash ^ hash >> 31;
}

/* Sums do not depend on the order of settings. */
static void hash_settings(pp_report_run *run) {
  for (int index = 0; index < run->setting_count; index++) {
    const pp_report_setting *setting = &run->settings[index];
    if (is_immaterial(setting->key))
      continue;
    uint64_t hash = hash_setting(setting);
    if (strcmp(setting->key, "seed") != 0)
      run->setup += hash;
    if (strcmp(setting->key, "method") != 0 && !is_unused_in_fl(setting->key))
      run->cell += hash;
  }
}

static int least(int a, int b) { return a == 0 || b < a ? b : a; }
static int most(int a, int b) { return a > b ? a : b; }

static pp_status add_to_group(pp_report_run *run, const pp_device_row *row) {
  enum { most_groups = 1 << 20 };
  if (row->group < 0 || row->group >= most_groups)
    return pp_fail(PP_CODE_INPUT, "run %d is damaged: device %d is in group %d", run->info.run, row->device,
                   row->group);
  if (row->group >= run->device_group_count) {
    size_t count = (size_t)row->group + 1;
    pp_report_device_group *grown = realloc(run->device_groups, count * sizeof *grown);
    if (grown == NULL)
      return pp_fail_memory("device groups", count * sizeof *grown);
    memset(grown + run->device_group_count, 0, (count - (size_t)run->device_group_count) * sizeof *grown);
    run->device_groups = grown;
    run->device_group_count = (int)count;
  }
  pp_report_device_group *group = &run->device_groups[row->group];
  group->devices++;
  group->least_split = least(group->least_split, row->split);
  group->most_split = most(group->most_split, row->split);
  group->least_micro_batches = least(group->least_micro_batches, row->micro_batches);
  group->most_micro_batches = most(group->most_micro_batches, row->micro_batches);
  group->busy_s += row->busy_s;
  group->idle_s += row->idle_s;
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
    group->cause_s[cause] += row->cause_s[cause];
  return NULL;
}

static void finish_groups(pp_report_run *run) {
  for (int index = 0; index < run->device_group_count; index++) {
    pp_report_device_group *group = &run->device_groups[index];
    group->busy_s /= (double)group->devices;
    group->idle_s /= (double)group->devices;
    for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
      group->cause_s[cause] /= (double)group->devices;
  }
}

static pp_status read_devices(const pp_results *results, pp_report_run *run) {
  pp_device_row *rows = NULL;
  PP_TRY(pp_alloc(BLOCK_ROWS, sizeof *rows, "rows of devices", &rows));
  pp_status status = NULL;
  int64_t count = run->info.device_count;
  for (int64_t first = 0; first < count && status == NULL; first += BLOCK_ROWS) {
    int64_t block = count - first < BLOCK_ROWS ? count - first : BLOCK_ROWS;
    status = pp_results_read_devices(results, run->info.run, first, block, rows);
    for (int64_t row = 0; row < block && status == NULL; row++) {
      status = add_to_group(run, &rows[row]);
      run->least_split = least(run->least_split, rows[row].split);
      run->most_split = most(run->most_split, rows[row].split);
      run->least_micro_batches = least(run->least_micro_batches, rows[row].micro_batches);
      run->most_micro_batches = most(run->most_micro_batches, rows[row].micro_batches);
      run->device_busy_s += rows[row].busy_s / (double)count;
      for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
        run->device_cause_s[cause] += rows[row].cause_s[cause] / (double)count;
    }
  }
  free(rows);
  return status;
}

static pp_status read_server(const pp_results *results, pp_report_run *run) {
  pp_server_row *rows = NULL;
  PP_TRY(pp_alloc(BLOCK_ROWS, sizeof *rows, "rows of the server", &rows));
  pp_status status = NULL;
  int64_t count = run->info.slot_count;
  for (int64_t first = 0; first < count && status == NULL; first += BLOCK_ROWS) {
    int64_t block = count - first < BLOCK_ROWS ? count - first : BLOCK_ROWS;
    status = pp_results_read_server(results, run->info.run, first, block, rows);
    for (int64_t row = 0; row < block && status == NULL; row++)
      for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
        run->server_cause_s[cause] += rows[row].cause_s[cause] / (double)count;
  }
  free(rows);
  return status;
}

static pp_status read_run(const pp_results *results, int number, pp_report_run *run) {
  PP_TRY(pp_results_read_run(results, number, &run->info));
  settings_list list = {run, 0};
  PP_TRY(pp_results_visit_settings(results, number, add_setting, &list));
  hash_settings(run);
  PP_TRY(pp_fail_in(read_devices(results, run), "%s", pp_results_path(results)));
  finish_groups(run);
  PP_TRY(read_server(results, run));
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++) {
    if (run->info.device_count == 0)
      run->device_cause_s[cause] = NAN;
    if (run->info.slot_count == 0)
      run->server_cause_s[cause] = NAN;
  }
  if (run->info.device_count == 0)
    run->device_busy_s = NAN;
  run->last_round_s = run->epsilon = NAN;
  if (run->info.round_count > 0) {
    pp_round_row last;
    PP_TRY(pp_results_read_rounds(results, number, run->info.round_count - 1, 1, &last));
    run->last_round_s = last.end_s;
    run->epsilon = last.epsilon;
  }
  return NULL;
}

bool pp_report_is_complete(const pp_report_run *run) { return strcmp(run->info.status, "complete") == 0; }

/* Among fl runs of the cell one with the same pipeline settings too, where there is one. */
static void find_references(pp_report *report) {
  for (int index = 0; index < report->run_count; index++) {
    pp_report_run *run = &report->runs[index];
    run->reference = -1;
    for (int other = 0; other < report->run_count; other++) {
      const pp_report_run *fl = &report->runs[other];
      if (fl->cell != run->cell || strcmp(fl->info.method, "fl") != 0 || !pp_report_is_complete(fl))
        continue;
      if (run->reference < 0)
        run->reference = other;
      if (other == index)
        run->reference = index;
    }
  }
}

static pp_status group_runs(pp_report *report) {
  PP_TRY(pp_alloc((size_t)report->run_count, sizeof *report->groups, "groups of runs", &report->groups));
  for (int index = 0; index < report->run_count; index++) {
    pp_report_run *run = &report->runs[index];
    int group = 0;
    while (group < report->group_count && report->runs[report->groups[group].runs[0]].setup != run->setup)
      group++;
    pp_report_group *of = &report->groups[group];
    /* A run that goes on or failed stands by itself: it has no figures to average. */
    if (group == report->group_count || !pp_report_is_complete(run) ||
        !pp_report_is_complete(&report->runs[of->runs[0]])) {
      group = report->group_count++;
      of = &report->groups[group];
    }
    int *grown = realloc(of->runs, (size_t)(of->count + 1) * sizeof *grown);
    if (grown == NULL)
      return pp_fail_memory("groups of runs", (size_t)(of->count + 1) * sizeof *grown);
    of->runs = grown;
    of->runs[of->count++] = index;
    run->group = group;
  }
  return NULL;
}

const char *pp_report_setting_text(const pp_report_run *run, const char *key) {
  for (int setting = 0; setting < run->setting_count; setting++)
    if (strcmp(run->settings[setting].key, key) == 0)
      return run->settings[setting].text;
  return "";
}

int pp_report_group_count(const pp_report_run *run) {
  int groups = 0;
  char key[64];
  do
    snprintf(key, sizeof key, "devices.%d.count", groups++);
  while (pp_report_setting_text(run, key)[0] != '\0');
  return groups - 1;
}

static bool varies(const pp_report *report, const char *key) {
  const char *first = pp_report_setting_text(&report->runs[0], key);
  for (int run = 1; run < report->run_count; run++)
    if (strcmp(pp_report_setting_text(&report->runs[run], key), first) != 0)
      return true;
  return false;
}

/* Runs that agree in `key` agree in `other`. Looks at each run once for every value of `key`: of those there are few.
 */
static bool determines(const pp_report *report, const char *key, const char *other) {
  for (int a = 0; a < report->run_count; a++) {
    const char *value = pp_report_setting_text(&report->runs[a], key);
    bool seen = false;
    for (int b = 0; b < a && !seen; b++)
      seen = strcmp(pp_report_setting_text(&report->runs[b], key), value) == 0;
    if (seen)
      continue;
    const char *follows = pp_report_setting_text(&report->runs[a], other);
    for (int b = a + 1; b < report->run_count; b++)
      if (strcmp(pp_report_setting_text(&report->runs[b], key), value) == 0 &&
          strcmp(pp_report_setting_text(&report->runs[b], other), follows) != 0)
        return false;
  }
  return true;
}

static bool is_never_empty(const pp_report *report, const char *key) {
  for (int run = 0; run < report->run_count; run++)
    if (pp_report_setting_text(&report->runs[run], key)[0] == '\0')
      return false;
  return true;
}

/* A preset's numbers follow its name, and a group's setting the experiment's: not worth a column. */
static bool follows_from(const pp_report *report, const char *kept, const char *key) {
  size_t stem = has_suffix(kept, ".name") ? strlen(kept) - strlen("name") : 0;
  bool of_preset = stem > 0 && strncmp(key, kept, stem) == 0 && is_never_empty(report, kept);
  bool of_group = strcmp(without_group(key), kept) == 0;
  return (of_preset || of_group) && determines(report, kept, key);
}

typedef struct key_list {
  int count;
  const char **keys;
} key_list;

static bool is_planned(const char *key) {
  const char *stem = without_group(key);
  return strcmp(stem, "pipeline.split") == 0 || strcmp(stem, "pipeline.micro_batches") == 0;
}

static bool has_column_of_its_own(const char *key) {
  return is_immaterial(key) || strcmp(key, "method") == 0 || strcmp(key, "seed") == 0;
}

static bool is_listed(const pp_report *report, const key_list *list, const char *key) {
  for (int kept = 0; kept < list->count; kept++)
    if (strcmp(list->keys[kept], key) == 0 || follows_from(report, list->keys[kept], key))
      return true;
  return false;
}

static pp_status find_varying(const pp_report *report, bool with_planned, key_list *list) {
  int most_keys = 0;
  for (int run = 0; run < report->run_count; run++)
    most_keys += report->runs[run].setting_count;
  PP_TRY(pp_alloc((size_t)most_keys, sizeof *list->keys, "keys", &list->keys));
  for (int run = 0; run < report->run_count; run++) {
    /* Only runs whose settings are others than the first run's can add a key. */
    if (run > 0 && report->runs[run].setting_count == report->runs[0].setting_count)
      continue;
    for (int setting = 0; setting < report->runs[run].setting_count; setting++) {
      const char *key = report->runs[run].settings[setting].key;
      if (!has_column_of_its_own(key) && (with_planned || !is_planned(key)) && varies(report, key) &&
          !is_listed(report, list, key))
        list->keys[list->count++] = key;
    }
  }
  return NULL;
}

static pp_status find_keys(pp_report *report) {
  key_list varying = {0}, swept = {0};
  pp_status status = find_varying(report, false, &varying);
  if (status == NULL)
    status = find_varying(report, true, &swept);
  report->varying = varying.keys;
  report->varying_count = varying.count;
  report->swept = swept.keys;
  report->swept_count = swept.count;
  return status;
}

/* Twice the same runs would look like runs of two seeds. */
static pp_status check_twice(const pp_report *report, int file) {
  struct stat one, other;
  if (stat(pp_results_path(report->files[file]), &one) != 0)
    return NULL;
  for (int before = 0; before < file; before++)
    if (stat(pp_results_path(report->files[before]), &other) == 0 && one.st_dev == other.st_dev &&
        one.st_ino == other.st_ino)
      return pp_fail(PP_CODE_USAGE, "%s is given twice", pp_results_path(report->files[file]));
  return NULL;
}

static pp_status fill(pp_report *report, char *const *paths) {
  PP_TRY(pp_alloc((size_t)report->file_count, sizeof *report->files, "files", &report->files));
  int runs = 0;
  for (int file = 0; file < report->file_count; file++) {
    PP_TRY(pp_results_open(paths[file], &report->files[file]));
    PP_TRY(check_twice(report, file));
    runs += pp_results_run_count(report->files[file]);
  }
  PP_TRY(pp_alloc((size_t)runs, sizeof *report->runs, "runs", &report->runs));
  for (int file = 0; file < report->file_count; file++)
    for (int run = 0; run < pp_results_run_count(report->files[file]); run++) {
      pp_report_run *next = &report->runs[report->run_count++];
      next->file = file;
      PP_TRY(read_run(report->files[file], pp_results_run_number(report->files[file], run), next));
    }
  if (report->run_count == 0)
    return NULL;
  find_references(report);
  PP_TRY(group_runs(report));
  return find_keys(report);
}

double pp_report_group_reduction(const pp_report *report, const pp_report_run *run, int group) {
  if (run->reference < 0 || group >= run->device_group_count)
    return NAN;
  const pp_report_run *fl = &report->runs[run->reference];
  if (group >= fl->device_group_count)
    return NAN;
  double idle_s = run->device_groups[group].idle_s;
  return idle_s > 0 ? fl->device_groups[group].idle_s / idle_s : NAN;
}

pp_status pp_report_create(int file_count, char *const *paths, pp_report **out) {
  pp_report *report = NULL;
  PP_TRY(pp_alloc(1, sizeof *report, "the report", &report));
  report->file_count = file_count;
  pp_status status = fill(report, paths);
  if (status != NULL)
    pp_report_destroy(report);
  else
    *out = report;
  return status;
}

void pp_report_destroy(pp_report *report) {
  if (report == NULL)
    return;
  for (int run = 0; run < report->run_count; run++) {
    for (int setting = 0; setting < report->runs[run].setting_count; setting++) {
      free(report->runs[run].settings[setting].key);
      free(report->runs[run].settings[setting].text);
    }
    free(report->runs[run].settings);
    free(report->runs[run].device_groups);
  }
  for (int group = 0; group < report->group_count; group++)
    free(report->groups[group].runs);
  for (int file = 0; report->files != NULL && file < report->file_count; file++)
    pp_results_close(report->files[file]);
  free(report->files);
  free(report->runs);
  free(report->groups);
  free(report->varying);
  free(report->swept);
  free(report);
}

void pp_report_label(const char *key, size_t room, char *out) {
  static const char *const sections[] = {"training.", "pipeline.", "dataset.", "privacy."};
  const char *stem = without_group(key);
  for (size_t section = 0; section < sizeof sections / sizeof sections[0]; section++)
    if (has_prefix(stem, sections[section]) && strcmp(stem, "dataset.name") != 0)
      stem += strlen(sections[section]);
  size_t length = strlen(stem);
  if (has_suffix(stem, ".name"))
    length -= strlen(".name");
  /* Groups after the first say which they are. */
  int group = stem == key ? 0 : atoi(key + strlen("devices."));
  if (has_prefix(key, "devices.") && group > 0)
    snprintf(out, room, "%.*s (%d)", (int)length, stem, group);
  else
    snprintf(out, room, "%.*s", (int)length, stem);
}

void pp_report_file_label(const char *path, size_t room, char *out) {
  const char *slash = strrchr(path, '/');
  const char *name = slash == NULL ? path : slash + 1;
  size_t length = strlen(name);
  if (has_suffix(name, ".part"))
    length -= strlen(".part");
  if (length > 3 && strncmp(name + length - 3, ".h5", 3) == 0)
    length -= 3;
  snprintf(out, room, "%.*s", (int)length, name);
}

bool pp_report_is_part(const pp_report *report, int file) {
  return has_suffix(pp_results_path(report->files[file]), ".part");
}

double pp_report_figure_of(const pp_report *report, const pp_report_run *run, pp_report_figure figure) {
  const pp_run_summary *own = &run->info.summary;
  if (!pp_report_is_complete(run))
    return NAN;
  const pp_run_summary *fl = run->reference < 0 ? NULL : &report->runs[run->reference].info.summary;
  switch (figure) {
  case PP_FIGURE_TIME:
    return own->makespan_s;
  case PP_FIGURE_SPEEDUP:
    return fl == NULL ? NAN : fl->makespan_s / own->makespan_s;
  case PP_FIGURE_SERVER_IDLE:
    return own->server_idle_s;
  case PP_FIGURE_SERVER_REDUCTION:
    return fl == NULL ? NAN : fl->server_idle_s / own->server_idle_s;
  case PP_FIGURE_DEVICE_IDLE:
    return own->device_idle_s;
  case PP_FIGURE_DEVICE_REDUCTION:
    return fl == NULL ? NAN : fl->device_idle_s / own->device_idle_s;
  case PP_FIGURE_ACCURACY:
    return own->test_accuracy;
  case PP_FIGURE_LOSS:
    return own->train_loss;
  case PP_FIGURE_BYTES_UP:
    return own->bytes_up < 0 ? NAN : (double)own->bytes_up;
  case PP_FIGURE_BYTES_DOWN:
    return own->bytes_down < 0 ? NAN : (double)own->bytes_down;
  case PP_FIGURE_COUNT:
    break;
  }
  return NAN;
}

double pp_student_t(int degrees_of_freedom) {
  static const double table[] = {12.7062047362, 4.3026527297, 3.1824463053, 2.7764451052, 2.5705818356,
                                 2.4469118511,  2.3646242516, 2.3060041352, 2.2621571628, 2.2281388520};
  enum { in_table = sizeof table / sizeof table[0] };
  if (degrees_of_freedom < 1)
    return NAN;
  if (degrees_of_freedom <= in_table)
    return table[degrees_of_freedom - 1];
  /* Cornish-Fisher expansion about the normal quantile (Abramowitz and Stegun 26.7.5). */
  const double z = 1.9599639845400545;
  double z2 = z * z, n = degrees_of_freedom;
  return z + z * (z2 + 1) / (4 * n) + z * ((5 * z2 + 16) * z2 + 3) / (96 * n * n) +
         z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / (384 * n * n * n) +
         z * ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) / (92160 * n * n * n * n);
}

pp_report_mean pp_report_mean_of(const pp_report *report, const pp_report_group *group, pp_report_figure figure) {
  pp_report_mean out = {0, NAN, NAN};
  double sum = 0;
  for (int member = 0; member < group->count; member++) {
    double value = pp_report_figure_of(report, &report->runs[group->runs[member]], figure);
    if (isnan(value))
      continue;
    sum += value;
    out.count++;
  }
  if (out.count == 0)
    return out;
  out.mean = sum / out.count;
  double squares = 0;
  for (int member = 0; member < group->count; member++) {
    double value = pp_report_figure_of(report, &report->runs[group->runs[member]], figure);
    if (!isnan(value))
      squares += (value - out.mean) * (value - out.mean);
  }
  if (out.count > 1)
    out.half_width = pp_student_t(out.count - 1) * sqrt(squares / (out.count - 1) / out.count);
  return out;
}
