#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "pipar/results.h"
#include "trace/h5.h"
#include "trace/inputs.h"
#include "trace/resume.h"
#include "trace/sync.h"
#include "trace/table.h"

enum {
  FORMAT_VERSION = 1,
  STATUS_ROOM = 16,
  /* A longer setting would leave the object header, where a run's summary can be changed while others read. The whole
   * text of the experiment is in the root. */
  LONGEST_SETTING = 32000,
  LOCK_ATTEMPTS = 100,
  LOCK_PAUSE_NS = 20000000,
  SYNC_EVERY_S = 1,
};

static const char beside[] = ".part.new"; /* PATH's, until it replaces what is gone on with */

/* Stage rows are compressed where a round brings many chunks: a partial chunk that is written again takes new space. */
enum { STAGE_CHUNK = 16384, SMALLEST_CHUNK = 64, CHUNKS_TO_COMPRESS = 8 };

typedef struct pending_round {
  int run;
  pp_round_row row;
} pending_round;

struct pp_results_writer {
  char *path, *part;
  bool force;
  /* A write failed. What is on disk stays as it is and can be read; closing would mark the file as finished, with an
   * end that is not there. So HDF5 keeps it open. */
  bool broken;
  bool has_rounds; /* there is something worth keeping */
  /* Of a writer that goes on: what it is to replace, locked until it does. Its own file is beside it until then. */
  pp_remains remains;
  int lock_fd;   /* of the file: says to other writers and to readers what goes on; also to sync it */
  bool own_lock; /* HDF5 locks nothing itself: an exclusive lock while only we may look, a shared one while all may */
  hid_t file;
  int run_count;
  int open_run; /* whose tables are open; -1: none */
  hid_t tables[PP_TABLE_COUNT];
  hid_t memory_types[PP_TABLE_COUNT];
  /* Rows of rounds wait until all that belongs to the round is in the file: a round that is there is complete. */
  int64_t pending_count, pending_capacity;
  pending_round *pending;
  struct timespec last_sync;
};

/* Whether what was there is untouched. */
static bool is_beside(const pp_results_writer *writer) { return writer->remains.path != NULL; }

/* Waits a moment for readers to go; a file system without locks goes without. */
static bool lock_file(const pp_results_writer *writer, int mode, int attempts) {
  if (!writer->own_lock)
    return true;
  for (int attempt = 0; attempt < attempts; attempt++) {
    if (flock(writer->lock_fd, mode | LOCK_NB) == 0 || errno != EWOULDBLOCK)
      return true;
    if (attempt + 1 < attempts)
      nanosleep(&(struct timespec){0, LOCK_PAUSE_NS}, NULL);
  }
  return false;
}

static pp_status create_access(const pp_results_writer *writer, hid_t *out) {
  PP_H5_AUTO access = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_RUN, "create", writer->part, access = H5Pcreate(H5P_FILE_ACCESS));
  PP_TRY_H5(PP_CODE_RUN, "create", writer->part, H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_LATEST));
  PP_TRY_H5(PP_CODE_RUN, "create", writer->part, H5Pset_fclose_degree(access, H5F_CLOSE_STRONG));
  /* Every flush looks at all of the metadata cache: thousands of finished runs need not stay in it. */
  enum { cache_bytes = 1 << 18 };
  H5AC_cache_config_t cache = {.version = H5AC__CURR_CACHE_CONFIG_VERSION};
  PP_TRY_H5(PP_CODE_RUN, "create", writer->part, H5Pget_mdc_config(access, &cache));
  cache.set_initial_size = true;
  cache.initial_size = cache.min_size = cache.max_size = cache_bytes;
  cache.incr_mode = H5C_incr__off;
  cache.flash_incr_mode = H5C_flash_incr__off;
  cache.decr_mode = H5C_decr__off;
  PP_TRY_H5(PP_CODE_RUN, "create", writer->part, H5Pset_mdc_config(access, &cache));
#if H5_VERSION_GE(1, 10, 7)
  if (writer->own_lock)
    PP_TRY_H5(PP_CODE_RUN, "create", writer->part, H5Pset_file_locking(access, false, true));
#endif
  *out = access;
  access = H5I_INVALID_HID;
  return NULL;
}

static pp_status reopen(pp_results_writer *writer, unsigned flags) {
  PP_H5_AUTO access = H5I_INVALID_HID;
  PP_TRY(create_access(writer, &access));
  PP_TRY_H5(PP_CODE_RUN, "open", writer->part, writer->file = H5Fopen(writer->part, flags, access));
  return NULL;
}

/* Rows of stages that a round of the run will have, roughly: decides about chunks alone. */
static double expected_stages_per_round(const pp_config *config) {
  double rows = 0;
  for (int group = 0; group < config->group_count && config->record_stages; group++) {
    double iterations = config->training.aggregate_every > 0 ? (double)config->training.aggregate_every
                                                             : pp_config_guess_iterations(config, group);
    rows += config->groups[group].count * (iterations * pp_config_guess_stages(config, group) + 2);
  }
  return rows;
}

static hsize_t chunk_for(double rows, int largest) {
  hsize_t chunk = SMALLEST_CHUNK;
  while (chunk < (hsize_t)largest && (double)chunk < rows)
    chunk *= 2;
  return chunk;
}

static pp_status create_table(const pp_results_writer *writer, hid_t group, pp_table_id id, const pp_config *config) {
  const pp_table *table = pp_table_of(id);
  const char *path = writer->part;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_H5_AUTO properties = H5I_INVALID_HID;
  PP_H5_AUTO dataset = H5I_INVALID_HID;
  double stages = expected_stages_per_round(config);
  const hsize_t chunks[PP_TABLE_COUNT] = {
      [PP_TABLE_DEVICES] = chunk_for(pp_config_device_count(config), 8192),
      [PP_TABLE_SERVER] = chunk_for(config->server.slots, 8192),
      [PP_TABLE_ROUNDS] = SMALLEST_CHUNK,
      [PP_TABLE_STAGES] = chunk_for(stages, STAGE_CHUNK),
      [PP_TABLE_PLAN] = SMALLEST_CHUNK,
      [PP_TABLE_ROUND_PLANS] = SMALLEST_CHUNK,
      [PP_TABLE_NETWORK] = SMALLEST_CHUNK,
      [PP_TABLE_COSTS] = SMALLEST_CHUNK,
  };
  PP_TRY(pp_table_file_type(table, path, &type));
  PP_TRY_H5(PP_CODE_RUN, "write", path,
            space = H5Screate_simple(1, (const hsize_t[]){0}, (const hsize_t[]){H5S_UNLIMITED}));
  PP_TRY_H5(PP_CODE_RUN, "write", path, properties = H5Pcreate(H5P_DATASET_CREATE));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Pset_chunk(properties, 1, &chunks[id]));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Pset_fill_time(properties, H5D_FILL_TIME_ALLOC));
  if (id == PP_TABLE_STAGES && stages >= (double)STAGE_CHUNK * CHUNKS_TO_COMPRESS &&
      H5Zfilter_avail(H5Z_FILTER_DEFLATE) > 0) {
    PP_TRY_H5(PP_CODE_RUN, "write", path, H5Pset_shuffle(properties));
    PP_TRY_H5(PP_CODE_RUN, "write", path, H5Pset_deflate(properties, 1));
  }
  PP_TRY_H5(PP_CODE_RUN, "write", path,
            dataset = H5Dcreate2(group, table->name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT));
  const char *units[32];
  PP_ASSERT(table->column_count <= (int)(sizeof units / sizeof units[0]));
  for (int column = 0; column < table->column_count; column++)
    units[column] = table->columns[column].unit;
  return pp_h5_attribute_texts(dataset, path, "units", table->column_count, units);
}

typedef struct settings_target {
  hid_t group;
  const char *path;
} settings_target;

static pp_status write_setting(const pp_setting *setting, void *context) {
  const settings_target *target = context;
  switch (setting->type) {
  case PP_SETTING_INT:
    return pp_h5_attribute_integer(target->group, target->path, setting->key, setting->integer);
  case PP_SETTING_REAL:
    return pp_h5_attribute_real(target->group, target->path, setting->key, setting->real);
  case PP_SETTING_BOOL:
    return pp_h5_attribute_bool(target->group, target->path, setting->key, setting->integer != 0);
  case PP_SETTING_TEXT:
    break;
  }
  if (strlen(setting->text) <= LONGEST_SETTING)
    return pp_h5_attribute_text(target->group, target->path, setting->key, setting->text, 0);
  char *cut = NULL;
  PP_TRY(pp_alloc(LONGEST_SETTING + 4, 1, setting->key, &cut));
  memcpy(cut, setting->text, LONGEST_SETTING);
  memcpy(cut + LONGEST_SETTING, "...", 3);
  pp_status status = pp_h5_attribute_text(target->group, target->path, setting->key, cut, 0);
  free(cut);
  return status;
}

/* Summaries come first and all attributes stay in the object header: there they can change under readers' eyes. */
static pp_status create_run(const pp_results_writer *writer, hid_t runs, int run, const pp_config *config) {
  enum { most_attributes = 65535, most_links = PP_TABLE_COUNT + 8, room_of_attribute = 96 };
  const char *path = writer->part;
  char name[16];
  snprintf(name, sizeof name, "%d", run);
  PP_H5_AUTO properties = H5I_INVALID_HID;
  PP_H5_AUTO group = H5I_INVALID_HID;
  PP_H5_AUTO model = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_RUN, "write", path, properties = H5Pcreate(H5P_GROUP_CREATE));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Pset_attr_phase_change(properties, most_attributes, most_attributes));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Pset_attr_creation_order(properties, H5P_CRT_ORDER_TRACKED));
  /* Links stay there too: to move them out costs more than all else. Room is made at once for them and the attributes.
   */
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Pset_link_phase_change(properties, most_links, most_links / 2));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Pset_est_link_info(properties, 128, room_of_attribute));
  PP_TRY_H5(PP_CODE_RUN, "write", path, group = H5Gcreate2(runs, name, H5P_DEFAULT, properties, H5P_DEFAULT));
  PP_TRY(pp_h5_attribute_text(group, path, "status", "running", STATUS_ROOM));
  for (int real = 0; real < (int)(sizeof pp_summary_reals / sizeof pp_summary_reals[0]); real++)
    PP_TRY(pp_h5_attribute_real(group, path, pp_summary_reals[real], NAN));
  for (int integer = 0; integer < (int)(sizeof pp_summary_integers / sizeof pp_summary_integers[0]); integer++)
    PP_TRY(pp_h5_attribute_integer(group, path, pp_summary_integers[integer], -1));
  PP_TRY(pp_config_visit(config, write_setting, &(settings_target){group, path}));
  for (pp_table_id id = 0; id < PP_TABLE_COUNT; id++)
    PP_TRY(create_table(writer, group, id, config));
  PP_TRY_H5(PP_CODE_RUN, "write", path, model = H5Gcreate2(group, "model", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  return NULL;
}

/* remains: NULL, or what has complete runs to be kept. */
static pp_status create_contents(pp_results_writer *writer, const pp_experiment *experiment, int only,
                                 const pp_provenance *provenance, int provenance_count, const pp_remains *remains) {
  const char *path = writer->part;
  PP_H5_AUTO access = H5I_INVALID_HID;
  PP_TRY(create_access(writer, &access));
  /* Objects of a run lie together, and making thousands of them costs few writes. */
  PP_TRY_H5(PP_CODE_RUN, "create", path, H5Pset_meta_block_size(access, 65536));
  PP_TRY_H5(PP_CODE_RUN, "create", path, writer->file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access));
  PP_H5_AUTO root = H5I_INVALID_HID;
  PP_H5_AUTO runs = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_RUN, "write", path, root = H5Gopen2(writer->file, "/", H5P_DEFAULT));
  PP_TRY(pp_h5_attribute_text(root, path, "format", "pipar-results", 0));
  PP_TRY(pp_h5_attribute_integer(root, path, "format_version", FORMAT_VERSION));
  char created[32];
  time_t now = time(NULL);
  struct tm utc;
  strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  PP_TRY(pp_h5_attribute_text(root, path, "created", created, 0));
  PP_TRY(pp_h5_attribute_text(root, path, "experiment", pp_experiment_text(experiment), 0));
  for (int entry = 0; entry < provenance_count; entry++)
    PP_TRY(pp_h5_attribute_text(root, path, provenance[entry].key, provenance[entry].value, 0));
  PP_TRY(pp_inputs_write(writer->file, path, experiment));
  PP_TRY_H5(PP_CODE_RUN, "write", path, runs = H5Gcreate2(root, "runs", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  PP_TRY(pp_h5_attribute_integer(root, path, "sweep_runs", writer->run_count));
  for (int run = only < 0 ? 0 : only; run < (only < 0 ? writer->run_count : only + 1); run++)
    if (remains != NULL && remains->complete[run])
      PP_TRY(pp_remains_copy_run(remains, run, runs, path));
    else
      PP_TRY(create_run(writer, runs, run, pp_experiment_run(experiment, run)));
  return NULL;
}

static void close_tables(pp_results_writer *writer) {
  for (int table = 0; table < PP_TABLE_COUNT; table++)
    pp_h5_close(&writer->tables[table]);
  writer->open_run = -1;
}

static void destroy(pp_results_writer *writer) {
  if (writer == NULL)
    return;
  pp_remains_close(&writer->remains);
  for (int table = 0; table < PP_TABLE_COUNT; table++)
    pp_h5_close(&writer->memory_types[table]);
  if (writer->lock_fd >= 0)
    close(writer->lock_fd);
  free(writer->pending);
  free(writer->path);
  free(writer->part);
  free(writer);
}

/* Takes PATH.part for ourselves. */
static pp_status claim(pp_results_writer *writer) {
  struct stat there;
  /* Through a link another file would be overwritten; a pipe would block. */
  writer->lock_fd = open(writer->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (writer->lock_fd < 0 && errno == ELOOP && lstat(writer->part, &there) == 0 && S_ISLNK(there.st_mode))
    return pp_fail(PP_CODE_RUN, "cannot create %s: it is a symbolic link", writer->part);
  if (writer->lock_fd < 0 || fstat(writer->lock_fd, &there) != 0)
    return pp_fail(PP_CODE_RUN, "cannot create %s: %s", writer->part, strerror(errno));
  if (!S_ISREG(there.st_mode))
    return pp_fail(PP_CODE_RUN, "cannot create %s: it is there and no regular file", writer->part);
  if (!lock_file(writer, LOCK_EX, LOCK_ATTEMPTS / 10))
    return pp_fail(PP_CODE_RUN, "cannot create %s: another process is writing it", writer->part);
  if (there.st_size > 0 && !writer->force)
    return pp_fail(PP_CODE_USAGE,
                   "%s holds what a run left that did not end: --resume goes on with it, --force replaces it, -o names "
                   "another file",
                   writer->part);
  return NULL;
}

/* Told before hours of running, not after. Links are replaced, not followed. */
static pp_status check_name(const char *path, bool force) {
  static const char unfinished[] = ".part";
  size_t length = strlen(path), ending = sizeof unfinished - 1;
  struct stat there;
  if (length == 0 || path[length - 1] == '/')
    return pp_fail(PP_CODE_USAGE, "'%s' cannot be a results file's name: -o names another", path);
  if (length >= ending && strcmp(path + length - ending, unfinished) == 0)
    return pp_fail(PP_CODE_USAGE, "%s: unfinished results end in %s: -o names another file", path, unfinished);
  if (lstat(path, &there) != 0)
    return NULL;
  if (S_ISDIR(there.st_mode))
    return pp_fail(PP_CODE_USAGE, "%s is a directory: -o names another file", path);
  if (!S_ISREG(there.st_mode) && !S_ISLNK(there.st_mode))
    return pp_fail(PP_CODE_USAGE, "%s is no regular file: -o names another", path);
  return force ? NULL : pp_fail(PP_CODE_USAGE, "%s exists: --force replaces it, -o names another file", path);
}

/* Against a crash of the machine; a killed process loses nothing that HDF5 has flushed. */
static pp_status sync_file(pp_results_writer *writer, bool now) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  if (!now && time.tv_sec - writer->last_sync.tv_sec < SYNC_EVERY_S)
    return NULL;
  writer->last_sync = time;
  if (fdatasync(writer->lock_fd) != 0 && errno != EINVAL && errno != EROFS)
    return pp_fail(PP_CODE_RUN, "cannot write %s: %s", writer->part, strerror(errno));
  return NULL;
}

static pp_status create_writer(const char *path, bool force, const char *suffix, int run_count,
                               pp_results_writer **out) {
  pp_results_writer *writer = NULL;
  PP_TRY(pp_alloc(1, sizeof *writer, "the results file", &writer));
  writer->force = force;
  writer->remains.lock_fd = -1;
  writer->lock_fd = -1;
  writer->file = H5I_INVALID_HID;
  writer->open_run = -1;
  writer->run_count = run_count;
#if H5_VERSION_GE(1, 10, 7)
  writer->own_lock = getenv("HDF5_USE_FILE_LOCKING") == NULL;
#endif
  for (int table = 0; table < PP_TABLE_COUNT; table++)
    writer->tables[table] = writer->memory_types[table] = H5I_INVALID_HID;
  writer->path = strdup(path);
  if (writer->path == NULL || asprintf(&writer->part, "%s%s", path, suffix) < 0) {
    writer->part = NULL;
    destroy(writer);
    return pp_fail_memory("the results file's name", strlen(path));
  }
  *out = writer;
  return NULL;
}

/* Makes the file with its tables, closed. */
static pp_status make_file(pp_results_writer *writer, const pp_experiment *experiment, int only,
                           const pp_provenance *provenance, int provenance_count, const pp_remains *remains) {
  for (pp_table_id id = 0; id < PP_TABLE_COUNT; id++)
    PP_TRY(pp_table_memory_type(pp_table_of(id), writer->part, &writer->memory_types[id]));
  pp_status status = create_contents(writer, experiment, only, provenance, provenance_count, remains);
  status = pp_status_first(status, pp_h5_file_close(&writer->file, writer->part));
  if (status != NULL)
    unlink(writer->part);
  return status;
}

static pp_status open_for_all(pp_results_writer *writer) {
  PP_TRY(reopen(writer, H5F_ACC_RDWR | H5F_ACC_SWMR_WRITE));
  lock_file(writer, LOCK_SH, 1);
  return NULL;
}

/* What a resuming left that was killed. */
static pp_status remove_beside(const char *path) {
  char *name = NULL;
  if (asprintf(&name, "%s%s", path, beside) < 0)
    return pp_fail_memory("the results file's name", strlen(path));
  unlink(name);
  free(name);
  return NULL;
}

pp_status pp_results_create(const char *path, bool force, const pp_experiment *experiment, int only,
                            const pp_provenance *provenance, int provenance_count, pp_results_writer **out) {
  PP_TRY(check_name(path, force));
  pp_h5_begin();
  pp_results_writer *writer = NULL;
  PP_TRY(create_writer(path, force, ".part", pp_experiment_run_count(experiment), &writer));
  pp_status status = claim(writer);
  if (status == NULL)
    status = remove_beside(path);
  if (status == NULL)
    status = make_file(writer, experiment, only, provenance, provenance_count, NULL);
  if (status == NULL) {
    status = open_for_all(writer);
    if (status != NULL)
      unlink(writer->part);
  }
  if (status == NULL)
    *out = writer;
  else
    destroy(writer);
  return status;
}

/* The file with the complete runs, beside the old one. */
static pp_status begin_beside(pp_results_writer *writer, const pp_experiment *experiment, int only,
                              const pp_provenance *provenance, int provenance_count) {
  PP_TRY(remove_beside(writer->path)); /* nobody else has the lock */
  PP_TRY(claim(writer));
  PP_TRY(make_file(writer, experiment, only, provenance, provenance_count, &writer->remains));
  pp_results_close(writer->remains.results);
  writer->remains.results = NULL;
  pp_status status = open_for_all(writer);
  if (status != NULL)
    unlink(writer->part);
  return status;
}

pp_status pp_results_resume(const char *path, bool force, const pp_experiment *experiment, int only,
                            const pp_provenance *provenance, int provenance_count, const pp_identity *identity,
                            pp_results_writer **out) {
  PP_TRY(check_name(path, true));
  pp_results_writer *writer = NULL;
  PP_TRY(create_writer(path, force, beside, pp_experiment_run_count(experiment), &writer));
  writer->has_rounds = true; /* with a checkpoint there are more than the file says */
  pp_status status = pp_remains_open(path, force, experiment, only, identity, &writer->remains);
  if (status == NULL)
    status = begin_beside(writer, experiment, only, provenance, provenance_count);
  if (status == NULL)
    *out = writer;
  else
    destroy(writer);
  return status;
}

static pp_status open_tables(pp_results_writer *writer, int run) {
  PP_ASSERT(run >= 0 && run < writer->run_count);
  if (writer->open_run == run)
    return NULL;
  close_tables(writer);
  for (pp_table_id id = 0; id < PP_TABLE_COUNT; id++) {
    char name[64];
    snprintf(name, sizeof name, "/runs/%d/%s", run, pp_table_of(id)->name);
    PP_TRY_H5(PP_CODE_RUN, "write", writer->part, writer->tables[id] = H5Dopen2(writer->file, name, H5P_DEFAULT));
  }
  writer->open_run = run;
  return NULL;
}

static pp_status append_rows(pp_results_writer *writer, int run, pp_table_id id, const void *rows, int64_t count) {
  if (count == 0)
    return NULL;
  const char *path = writer->part;
  PP_TRY(open_tables(writer, run));
  hid_t dataset = writer->tables[id];
  PP_H5_AUTO before = H5I_INVALID_HID;
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_H5_AUTO memory = H5I_INVALID_HID;
  PP_H5_AUTO transfer = H5I_INVALID_HID;
  hsize_t length = (hsize_t)count, first = 0;
  PP_TRY_H5(PP_CODE_RUN, "write", path, before = H5Dget_space(dataset));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Sget_simple_extent_dims(before, &first, NULL));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Dset_extent(dataset, (const hsize_t[]){first + length}));
  PP_TRY_H5(PP_CODE_RUN, "write", path, space = H5Dget_space(dataset));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Sselect_hyperslab(space, H5S_SELECT_SET, &first, NULL, &length, NULL));
  PP_TRY_H5(PP_CODE_RUN, "write", path, memory = H5Screate_simple(1, &length, NULL));
  PP_TRY(pp_h5_transfer(pp_table_of(id)->row_bytes, count, PP_CODE_RUN, "write", path, &transfer));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Dwrite(dataset, writer->memory_types[id], memory, space, transfer, rows));
  return NULL;
}

/* After a failure nothing more is written: a later success would hide the gap. */
static pp_status guard(const pp_results_writer *writer) {
  return writer->broken ? pp_fail(PP_CODE_RUN, "cannot write %s: an earlier write failed", writer->part) : NULL;
}

static pp_status guarded(pp_results_writer *writer, pp_status status) {
  writer->broken = writer->broken || status != NULL;
  return status;
}

pp_status pp_results_append_stages(pp_results_writer *writer, int run, const pp_stage_record *rows, int64_t count) {
  PP_TRY(guard(writer));
  return guarded(writer, append_rows(writer, run, PP_TABLE_STAGES, rows, count));
}

pp_status pp_results_append_plan(pp_results_writer *writer, int run, const pp_plan_row *rows, int64_t count) {
  PP_TRY(guard(writer));
  return guarded(writer, append_rows(writer, run, PP_TABLE_PLAN, rows, count));
}

pp_status pp_results_append_round_plans(pp_results_writer *writer, int run, const pp_round_plan_row *rows,
                                        int64_t count) {
  PP_TRY(guard(writer));
  return guarded(writer, append_rows(writer, run, PP_TABLE_ROUND_PLANS, rows, count));
}

pp_status pp_results_append_network(pp_results_writer *writer, int run, const pp_network_row *rows, int64_t count) {
  PP_TRY(guard(writer));
  return guarded(writer, append_rows(writer, run, PP_TABLE_NETWORK, rows, count));
}

pp_status pp_results_append_costs(pp_results_writer *writer, int run, const pp_cost_row *rows, int64_t count) {
  PP_TRY(guard(writer));
  return guarded(writer, append_rows(writer, run, PP_TABLE_COSTS, rows, count));
}

pp_status pp_results_append_round(pp_results_writer *writer, int run, const pp_round_row *row) {
  PP_TRY(guard(writer));
  PP_ASSERT(run >= 0 && run < writer->run_count);
  writer->has_rounds = true;
  if (writer->pending_count == writer->pending_capacity) {
    int64_t capacity = writer->pending_capacity == 0 ? 16 : 2 * writer->pending_capacity;
    pending_round *grown = realloc(writer->pending, (size_t)capacity * sizeof *grown);
    if (grown == NULL)
      return pp_fail_memory("rows of rounds", (size_t)capacity * sizeof *grown);
    writer->pending = grown;
    writer->pending_capacity = capacity;
  }
  writer->pending[writer->pending_count++] = (pending_round){run, *row};
  return NULL;
}

static pp_status flush(pp_results_writer *writer, bool sync_now) {
  PP_TRY_H5(PP_CODE_RUN, "write", writer->part, H5Fflush(writer->file, H5F_SCOPE_GLOBAL));
  for (int64_t round = 0; round < writer->pending_count; round++) {
    const pending_round *pending = &writer->pending[round];
    PP_TRY(append_rows(writer, pending->run, PP_TABLE_ROUNDS, &pending->row, 1));
  }
  if (writer->pending_count > 0)
    PP_TRY_H5(PP_CODE_RUN, "write", writer->part, H5Fflush(writer->file, H5F_SCOPE_GLOBAL));
  writer->pending_count = 0;
  return sync_file(writer, sync_now);
}

pp_status pp_results_flush(pp_results_writer *writer) {
  PP_TRY(guard(writer));
  return guarded(writer, flush(writer, false));
}

pp_status pp_results_sync(pp_results_writer *writer) {
  PP_TRY(guard(writer));
  return guarded(writer, flush(writer, true));
}

/* HDF5 knows a file by the name that it was opened with. */
static pp_status replace_remains(pp_results_writer *writer) {
  PP_TRY(flush(writer, true));
  close_tables(writer);
  PP_TRY(pp_h5_file_close(&writer->file, writer->part));
  PP_TRY(sync_file(writer, true));
  if (rename(writer->part, writer->remains.path) != 0)
    return pp_fail(PP_CODE_RUN, "cannot rename %s to %s: %s", writer->part, writer->remains.path, strerror(errno));
  pp_sync_directory(writer->remains.path);
  free(writer->part);
  writer->part = writer->remains.path;
  writer->remains.path = NULL;
  pp_remains_close(&writer->remains);
  return open_for_all(writer);
}

pp_status pp_results_settle(pp_results_writer *writer) {
  PP_TRY(guard(writer));
  return !is_beside(writer) ? NULL : guarded(writer, replace_remains(writer));
}

static pp_status write_tensor(const pp_results_writer *writer, hid_t group, const pp_tensor_info *tensor,
                              const float *values) {
  const char *path = writer->part;
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_H5_AUTO dataset = H5I_INVALID_HID;
  hsize_t shape[4];
  for (int axis = 0; axis < tensor->rank; axis++)
    shape[axis] = (hsize_t)tensor->shape[axis];
  PP_TRY_H5(PP_CODE_RUN, "write", path, space = H5Screate_simple(tensor->rank, shape, NULL));
  PP_TRY_H5(PP_CODE_RUN, "write", path,
            dataset = H5Dcreate2(group, tensor->name, H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
  return NULL;
}

static pp_status write_tensors(pp_results_writer *writer, int run, const pp_model *model, const float *params,
                               const float *stats) {
  char name[64];
  snprintf(name, sizeof name, "/runs/%d/model", run);
  PP_H5_AUTO group = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_RUN, "write", writer->part, group = H5Gopen2(writer->file, name, H5P_DEFAULT));
  for (int tensor = 0; tensor < pp_model_tensor_count(model); tensor++) {
    const pp_tensor_info *info = pp_model_tensor(model, tensor);
    const float *buffer = info->is_statistic ? stats : params;
    if (buffer != NULL)
      PP_TRY(write_tensor(writer, group, info, buffer + info->offset));
  }
  return NULL;
}

/* Objects cannot be made while others may read: closes, adds the tensors, and opens for all again. */
static pp_status save_model(pp_results_writer *writer, int run, const pp_model *model, const float *params,
                            const float *stats) {
  PP_TRY(flush(writer, true));
  close_tables(writer);
  PP_TRY(pp_h5_file_close(&writer->file, writer->part));
  lock_file(writer, LOCK_EX, LOCK_ATTEMPTS);
  PP_TRY(reopen(writer, H5F_ACC_RDWR));
  PP_TRY(write_tensors(writer, run, model, params, stats));
  PP_TRY(pp_h5_file_close(&writer->file, writer->part));
  PP_TRY(reopen(writer, H5F_ACC_RDWR | H5F_ACC_SWMR_WRITE));
  lock_file(writer, LOCK_SH, 1);
  return NULL;
}

static pp_status write_summary(pp_results_writer *writer, int run, const char *run_status,
                               const pp_run_summary *summary) {
  const char *path = writer->part;
  char name[32];
  snprintf(name, sizeof name, "/runs/%d", run);
  pp_run_summary values = *summary;
  PP_H5_AUTO group = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_RUN, "write", path, group = H5Gopen2(writer->file, name, H5P_DEFAULT));
  for (int real = 0; real < (int)(sizeof pp_summary_reals / sizeof pp_summary_reals[0]); real++)
    PP_TRY(pp_h5_attribute_set_real(group, path, pp_summary_reals[real], *pp_summary_real(&values, real)));
  for (int integer = 0; integer < (int)(sizeof pp_summary_integers / sizeof pp_summary_integers[0]); integer++)
    PP_TRY(
        pp_h5_attribute_set_integer(group, path, pp_summary_integers[integer], *pp_summary_integer(&values, integer)));
  return pp_h5_attribute_set_text(group, path, "status", run_status);
}

static pp_status end_run(pp_results_writer *writer, int run, const char *run_status, const pp_run_summary *summary,
                         const pp_device_row *devices, int64_t device_count, const pp_server_row *server,
                         int64_t slot_count, const pp_model *model, const float *params, const float *stats) {
  PP_TRY(append_rows(writer, run, PP_TABLE_DEVICES, devices, device_count));
  PP_TRY(append_rows(writer, run, PP_TABLE_SERVER, server, slot_count));
  if (model != NULL && (params != NULL || stats != NULL))
    PP_TRY(save_model(writer, run, model, params, stats));
  /* The tables are on disk before the run is said to be complete. */
  PP_TRY(flush(writer, false));
  PP_TRY(write_summary(writer, run, run_status, summary));
  return flush(writer, false);
}

pp_status pp_results_end_run(pp_results_writer *writer, int run, const char *status, const pp_run_summary *summary,
                             const pp_device_row *devices, int64_t device_count, const pp_server_row *server,
                             int64_t slot_count, const pp_model *model, const float *params, const float *stats) {
  PP_TRY(guard(writer));
  return guarded(
      writer, end_run(writer, run, status, summary, devices, device_count, server, slot_count, model, params, stats));
}

static pp_status take_name(const pp_results_writer *writer) {
  int failed = writer->force ? rename(writer->part, writer->path)
                             : renameat2(AT_FDCWD, writer->part, AT_FDCWD, writer->path, RENAME_NOREPLACE);
  if (failed && !writer->force && (errno == EINVAL || errno == ENOSYS)) {
    /* Some network file systems cannot do it in one step; a link does not replace either. */
    failed = link(writer->part, writer->path);
    if (!failed)
      failed = unlink(writer->part);
    else if (errno == EPERM || errno == EOPNOTSUPP)
      failed = rename(writer->part, writer->path);
  }
  if (failed)
    return pp_fail(PP_CODE_RUN, "cannot rename %s to %s: %s", writer->part, writer->path, strerror(errno));
  pp_sync_directory(writer->path);
  return NULL;
}

static pp_status finish_file(pp_results_writer *writer) {
  PP_TRY(guard(writer));
  PP_TRY(flush(writer, false));
  close_tables(writer);
  PP_TRY(pp_h5_file_close(&writer->file, writer->part));
  return sync_file(writer, true);
}

pp_status pp_results_commit(pp_results_writer *writer) {
  PP_ASSERT(!is_beside(writer));
  pp_status status = guarded(writer, finish_file(writer));
  if (status == NULL)
    status = take_name(writer);
  destroy(writer);
  return status;
}

void pp_results_abandon(pp_results_writer *writer) {
  if (writer == NULL)
    return;
  if (!writer->broken) {
    pp_error_free(flush(writer, true));
    close_tables(writer);
    pp_error_free(pp_h5_file_close(&writer->file, writer->part));
  }
  if (is_beside(writer) || (!writer->broken && !writer->has_rounds))
    unlink(writer->part);
  destroy(writer);
}
