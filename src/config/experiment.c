#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/architecture.h"
#include "config/fields.h"
#include "config/file.h"
#include "config/presets.h"
#include "config/profile.h"
#include "pipar/config.h"

enum { MOST_RUNS = 10000, MOST_AXES = 64 };
/* Of all that an experiment holds in memory: its tree, its runs' groups and traces. */
#define MOST_EXPERIMENT_BYTES ((size_t)512 << 20)

struct pp_experiment {
  pp_arena arena;
  const char *text; /* the file's */
  char name[128];
  int run_count;
  pp_config *runs; /* (run_count) */
  int override_count;
  const char **overrides; /* (override_count) */
};

/* A `--set`, its value parsed. */
typedef struct setting {
  const char *key;
  pp_node place; /* says "--set KEY=VALUE" */
  const pp_node *value;
} setting;

/* What is needed while an experiment is loaded. */
typedef struct loader {
  pp_experiment *experiment;
  const char *path;   /* as given */
  const char *source; /* as errors show it */
  pp_presets presets;
  pp_profile_list profiles;
  int setting_count;
  setting *settings;
  const pp_node *root; /* without `sweep` */
  int axis_count;
  const pp_entry *axes[MOST_AXES];
} loader;

/* ---- The file ---- */

static pp_status read_file(loader *l, size_t *length) {
  return pp_file_read(&l->experiment->arena, l->path, l->source, "an experiment file", length, &l->experiment->text);
}

/* ---- --set ---- */

static pp_status read_settings(loader *l, const pp_override *overrides, int count) {
  pp_arena *arena = &l->experiment->arena;
  PP_TRY(pp_arena_alloc(arena, (size_t)count, sizeof *l->settings, &l->settings));
  for (int at = 0; at < count; at++) {
    char shown[PP_SHOWN_VALUE], source[PP_SHOWN_VALUE + 8];
    setting *to = &l->settings[at];
    pp_escape(shown, sizeof shown, false, overrides[at]);
    const char *equals = strchr(overrides[at], '=');
    if (equals == NULL || equals == overrides[at])
      return pp_fail(PP_CODE_USAGE, "--set %s: allowed is KEY=VALUE", shown);
    snprintf(source, sizeof source, "--set %s", shown);
    to->place = pp_node_scalar("", "");
    PP_TRY(pp_arena_copy(arena, source, strlen(source), &to->place.source));
    PP_TRY(pp_arena_copy(arena, overrides[at], (size_t)(equals - overrides[at]), &to->key));
    PP_TRY(pp_node_parse(arena, to->place.source, false, equals + 1, strlen(equals + 1), &to->value));
    if (to->value == NULL)
      return pp_fail_at(&to->place, NULL, "the value is missing: allowed is KEY=VALUE");
    for (int before = 0; before < at; before++)
      if (strcmp(l->settings[before].key, to->key) == 0)
        return pp_fail(PP_CODE_USAGE, "%s: %s is set twice: allowed is once", source,
                       pp_escape(shown, sizeof shown, false, to->key));
    l->setting_count++;
  }
  return NULL;
}

/* Whether `above` is the key or holds it: devices.0 holds devices.0.network. */
static bool key_holds(const char *above, const char *key) {
  size_t length = strlen(above);
  return strncmp(above, key, length) == 0 && (key[length] == '\0' || key[length] == '.');
}

/* ---- The sweep ---- */

static bool is_same(const pp_node *a, const pp_node *b) {
  if (a->kind != b->kind || a->count != b->count)
    return false;
  if (a->kind == PP_NODE_SCALAR)
    return a->plain == b->plain && strcmp(a->text, b->text) == 0;
  for (int at = 0; at < a->count; at++) {
    if (a->kind == PP_NODE_LIST && !is_same(a->items[at], b->items[at]))
      return false;
    if (a->kind == PP_NODE_MAP && (strcmp(a->entries[at].key->text, b->entries[at].key->text) != 0 ||
                                   !is_same(a->entries[at].value, b->entries[at].value)))
      return false;
  }
  return true;
}

/* Equal runs would pass for independent ones. */
static pp_status check_values(const pp_entry *axis) {
  char key[PP_SHOWN_VALUE + 8] = "sweep.", shown[PP_SHOWN_VALUE];
  const pp_node *values = axis->value;
  pp_escape(key + 6, PP_SHOWN_VALUE, false, axis->key->text);
  for (int at = 1; at < values->count; at++)
    for (int before = 0; before < at; before++)
      if (is_same(values->items[at], values->items[before]))
        return pp_fail_at(values->items[at], key, "%s is given twice: allowed is once",
                          pp_node_show(values->items[at], shown));
  return NULL;
}

static pp_status check_axis(const loader *l, const pp_entry *axis) {
  char key[PP_SHOWN_VALUE + 8] = "sweep.", shown[PP_SHOWN_VALUE];
  pp_escape(key + 6, PP_SHOWN_VALUE, false, axis->key->text);
  const char *name = axis->key->text;
  if (key_holds("sweep", name) || key_holds("name", name))
    return pp_fail_at(axis->key, key, "cannot be swept: allowed is any other key");
  if (axis->value->kind != PP_NODE_LIST || axis->value->count == 0)
    return pp_fail_at(axis->value, key, "%s is not a list of values: allowed is [value, ...]",
                      axis->value->kind == PP_NODE_LIST ? "an empty list" : pp_node_show(axis->value, shown));
  for (int other = 0; other < l->axis_count; other++)
    if (key_holds(name, l->axes[other]->key->text) || key_holds(l->axes[other]->key->text, name))
      return pp_fail_at(axis->key, key, "and %s overlap: allowed are keys apart",
                        pp_node_show(l->axes[other]->key, shown));
  return NULL;
}

static bool sets_sweep(const setting *set) { return key_holds("sweep", set->key); }

/* `--set sweep=...` and `--set sweep.KEY=...`, where KEY has dots of its own. */
static pp_status set_sweep(loader *l, const pp_node **tree) {
  pp_arena *arena = &l->experiment->arena;
  for (int at = 0; at < l->setting_count; at++) {
    const setting *set = &l->settings[at];
    if (!sets_sweep(set))
      continue;
    pp_node *key = NULL, *empty = NULL;
    PP_TRY(pp_arena_alloc(arena, 1, sizeof *key, &key));
    *key = set->place;
    const pp_node *sweep = set->value;
    if (set->key[5] == '.') {
      key->text = set->key + 6;
      sweep = pp_node_find(*tree, "sweep", NULL);
      if (sweep == NULL || sweep->kind != PP_NODE_MAP) {
        PP_TRY(pp_arena_alloc(arena, 1, sizeof *empty, &empty));
        *empty = (pp_node){.kind = PP_NODE_MAP, .source = set->place.source};
        sweep = empty;
      }
      PP_TRY(pp_node_with_entry(arena, sweep, key, set->value, &sweep));
      PP_TRY(pp_arena_alloc(arena, 1, sizeof *key, &key));
      *key = set->place;
    }
    key->text = "sweep";
    PP_TRY(pp_node_with_entry(arena, *tree, key, sweep, tree));
  }
  return NULL;
}

/* Takes the sweep off the tree; axes that a --set fixes are dropped. */
static pp_status read_sweep(loader *l, const pp_node *tree) {
  PP_TRY(set_sweep(l, &tree));
  const pp_node *sweep = pp_node_find(tree, "sweep", NULL);
  l->root = tree;
  l->experiment->run_count = 1;
  if (sweep == NULL)
    return NULL;
  if (sweep->kind != PP_NODE_MAP)
    return pp_fail_at(sweep, "sweep", "allowed is a mapping of keys to lists, {method: [fl, pipar]}");
  PP_TRY(pp_node_without(&l->experiment->arena, tree, "sweep", &l->root));
  int64_t runs = 1;
  for (int at = 0; at < sweep->count; at++) {
    const pp_entry *axis = &sweep->entries[at];
    PP_TRY(check_axis(l, axis));
    bool fixed = false;
    for (int set = 0; set < l->setting_count; set++)
      fixed = fixed || key_holds(l->settings[set].key, axis->key->text);
    if (fixed)
      continue;
    if (l->axis_count == MOST_AXES)
      return pp_fail_at(axis->key, "sweep", "more than %d keys", MOST_AXES);
    l->axes[l->axis_count++] = axis;
    runs *= axis->value->count;
    if (runs > MOST_RUNS)
      return pp_fail_at(sweep, "sweep", "more than %d runs: allowed are fewer values", MOST_RUNS);
    PP_TRY(check_values(axis));
  }
  l->experiment->run_count = (int)runs;
  return NULL;
}

pp_status pp_init_find(const char *directory, const char *init, char **path, const char **group) {
  bool relative = directory != NULL && init[0] != '/';
  if (asprintf(path, "%s%s%s", relative ? directory : "", relative ? "/" : "", init) < 0)
    return pp_fail_memory("a file name", strlen(init));
  *group = "/";
  char *colon = strrchr(*path, ':');
  if (colon == NULL || access(*path, F_OK) == 0)
    return NULL;
  *colon = '\0';
  if (colon[1] != '\0')
    *group = colon + 1;
  return NULL;
}

/* The file of the initial weights can be opened; what it holds is looked at when its run begins. */
static pp_status check_init(const pp_config *config, const pp_node *root) {
  if (strcmp(config->init, "random") == 0)
    return NULL;
  char shown[PP_SHOWN_VALUE], *path = NULL;
  const char *group = NULL;
  PP_TRY(pp_init_find(config->directory, config->init, &path, &group));
  struct stat about;
  int failed = access(path, R_OK) != 0 || stat(path, &about) != 0 ? errno : S_ISDIR(about.st_mode) ? EISDIR : 0;
  free(path);
  if (failed == 0)
    return NULL;
  return pp_fail_at(pp_node_nearest(root, "init"), "init", "%s cannot be read: %s",
                    pp_escape(shown, sizeof shown, false, config->init), strerror(failed));
}

/* Each file once, whatever the number of runs. */
static pp_status read_architecture(loader *l, const char *directory, const pp_node *root, pp_config *config) {
  for (const pp_config *other = l->experiment->runs; other < config; other++)
    if (strcmp(other->model, config->model) == 0) {
      config->architecture = other->architecture;
      return NULL;
    }
  return pp_architecture_read(&l->experiment->arena, directory, config->model, pp_node_nearest(root, "model"),
                              &config->architecture);
}

static pp_status load_run(loader *l, int run, pp_arena *scratch) {
  const pp_node *root = l->root;
  for (int axis = l->axis_count - 1, left = run; axis >= 0; axis--) {
    const pp_node *values = l->axes[axis]->value, *key = l->axes[axis]->key;
    PP_TRY(pp_node_with(scratch, root, key->text, key, values->items[left % values->count], &root));
    left /= values->count;
  }
  for (int at = 0; at < l->setting_count; at++) {
    const setting *set = &l->settings[at];
    if (!sets_sweep(set))
      PP_TRY(pp_node_with(scratch, root, set->key, &set->place, set->value, &root));
  }
  pp_config *config = &l->experiment->runs[run];
  const char *slash = strrchr(l->path, '/');
  const char *directory = NULL;
  if (slash != NULL)
    PP_TRY(pp_arena_copy(&l->experiment->arena, l->path, (size_t)(slash - l->path), &directory));
  PP_TRY(pp_config_parse(&l->experiment->arena, &l->presets, directory, root, config));
  PP_TRY(pp_config_check(config, root));
  config->directory = directory;
  PP_TRY(check_init(config, root));
  if (pp_architecture_is_file(config->model))
    PP_TRY(read_architecture(l, directory, root, config));
  return pp_config_read_profiles(&l->experiment->arena, &l->profiles, directory, root, config);
}

/* ---- Names ---- */

/* The file's own name less its suffix, checked as if the file gave it. */
static pp_status default_name(const loader *l, char *out, size_t size) {
  const char *base = strrchr(l->path, '/');
  base = base == NULL ? l->path : base + 1;
  size_t length = strlen(base);
  const char *dot = strrchr(base, '.');
  if (dot != NULL && dot > base && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0))
    length = (size_t)(dot - base);
  char *text = strndup(base, length);
  if (text == NULL)
    return pp_fail_memory("a name", length);
  bool fits =
      length > 0 && length < size && strcmp(text, ".") != 0 && strcmp(text, "..") != 0 && pp_text_is_plain(text);
  if (fits)
    snprintf(out, size, "%s", text);
  free(text);
  if (!fits)
    return pp_fail(PP_CODE_INPUT, "%s: name: the file's own name is not fit to be one: give `name:`", l->source);
  return NULL;
}

static pp_status set_names(loader *l) {
  pp_experiment *experiment = l->experiment;
  char *name = experiment->name;
  strcpy(name, experiment->runs[0].name);
  if (name[0] == '\0')
    PP_TRY(default_name(l, name, sizeof experiment->name));
  for (int run = 0; run < experiment->run_count; run++)
    strcpy(experiment->runs[run].name, name);
  return NULL;
}

/* ---- Together ---- */

static pp_status keep_overrides(pp_experiment *experiment, const pp_override *overrides, int count) {
  PP_TRY(pp_arena_alloc(&experiment->arena, (size_t)count, sizeof *experiment->overrides, &experiment->overrides));
  for (; experiment->override_count < count; experiment->override_count++) {
    const char *text = overrides[experiment->override_count];
    PP_TRY(pp_arena_copy(&experiment->arena, text, strlen(text), &experiment->overrides[experiment->override_count]));
  }
  return NULL;
}

static pp_status load(loader *l, const pp_override *overrides, int override_count, const pp_input_file *files,
                      int file_count) {
  pp_experiment *experiment = l->experiment;
  pp_arena *arena = &experiment->arena;
  for (int file = 0; file < file_count; file++)
    PP_TRY(pp_file_provide(arena, files[file].path, files[file].text, (size_t)files[file].length));
  PP_TRY(keep_overrides(experiment, overrides, override_count));
  char shown[PP_SHOWN_PATH];
  size_t length = 0;
  pp_escape(shown, sizeof shown, true, l->path);
  PP_TRY(pp_arena_copy(arena, shown, strlen(shown), &l->source));
  PP_TRY(read_file(l, &length));
  const pp_node *tree = NULL;
  PP_TRY(pp_node_parse(arena, l->source, true, experiment->text, length, &tree));
  if (tree == NULL || pp_node_is_null(tree))
    return pp_fail(PP_CODE_INPUT, "%s: is empty: at least `method` and `devices` are needed", l->source);
  if (tree->kind != PP_NODE_MAP)
    return pp_fail_at(tree, NULL, "%s is not an experiment: allowed is a mapping with `method` and `devices`",
                      pp_node_show(tree, shown));
  PP_TRY(pp_presets_load(arena, &l->presets));
  PP_TRY(read_settings(l, overrides, override_count));
  PP_TRY(read_sweep(l, tree));
  PP_TRY(pp_arena_alloc(arena, (size_t)experiment->run_count, sizeof *experiment->runs, &experiment->runs));
  for (int run = 0; run < experiment->run_count; run++) {
    pp_arena scratch = {.limit_bytes = MOST_EXPERIMENT_BYTES};
    pp_status status = load_run(l, run, &scratch);
    pp_arena_fini(&scratch);
    PP_TRY(status);
  }
  return set_names(l);
}

pp_status pp_experiment_load(const char *path, const pp_override *overrides, int override_count, pp_experiment **out) {
  return pp_experiment_load_from(path, overrides, override_count, NULL, 0, out);
}

pp_status pp_experiment_load_from(const char *path, const pp_override *overrides, int override_count,
                                  const pp_input_file *files, int file_count, pp_experiment **out) {
  pp_experiment *experiment = NULL;
  PP_TRY(pp_alloc(1, sizeof *experiment, "the experiment", &experiment));
  experiment->arena.limit_bytes = MOST_EXPERIMENT_BYTES;
  loader l = {.experiment = experiment, .path = path};
  pp_status status = load(&l, overrides, override_count, files, file_count);
  if (status != NULL)
    pp_experiment_destroy(experiment);
  else
    *out = experiment;
  return status;
}

void pp_experiment_destroy(pp_experiment *experiment) {
  if (experiment == NULL)
    return;
  pp_arena_fini(&experiment->arena);
  free(experiment);
}

int pp_experiment_input_count(const pp_experiment *experiment) {
  int count = 0;
  for (const pp_read_file *file = experiment->arena.files; file != NULL; file = file->next)
    count++;
  return count;
}

pp_input_file pp_experiment_input(const pp_experiment *experiment, int input) {
  const pp_read_file *file = experiment->arena.files; /* the last one first */
  for (int left = pp_experiment_input_count(experiment) - 1 - input; left > 0; left--)
    file = file->next;
  return (pp_input_file){file->path, file->text, (int64_t)file->length};
}

int pp_experiment_override_count(const pp_experiment *experiment) { return experiment->override_count; }

pp_override pp_experiment_override(const pp_experiment *experiment, int override) {
  PP_ASSERT(override >= 0 && override < experiment->override_count);
  return experiment->overrides[override];
}

const char *pp_experiment_name(const pp_experiment *experiment) { return experiment->name; }
const char *pp_experiment_text(const pp_experiment *experiment) { return experiment->text; }
int pp_experiment_run_count(const pp_experiment *experiment) { return experiment->run_count; }

const pp_config *pp_experiment_run(const pp_experiment *experiment, int run) {
  PP_ASSERT(run >= 0 && run < experiment->run_count);
  return &experiment->runs[run];
}

int pp_config_device_count(const pp_config *config) {
  int devices = 0;
  for (int group = 0; group < config->group_count; group++)
    devices += config->groups[group].count;
  return devices;
}

double pp_config_guess_iterations(const pp_config *config, int group) {
  const pp_device_group *of = &config->groups[group];
  if (of->cost.kind == PP_COST_TABLE)
    return (double)of->cost.table.iterations;
  double devices = pp_config_device_count(config);
  double samples = of->samples >= 0 ? (double)of->samples : (double)config->dataset.train_samples / devices;
  return ceil(samples / config->training.batch_size);
}

double pp_config_guess_stages(const pp_config *config, int group) {
  enum { guessed_micro_batches = 8 };
  int given = config->groups[group].pipeline.micro_batches;
  int micro_batches = !pp_method_pipelines(config->method) ? 1 : given == PP_AUTO ? guessed_micro_batches : given;
  return pp_method_splits(config->method) ? 6 * micro_batches + 2 : 3;
}
