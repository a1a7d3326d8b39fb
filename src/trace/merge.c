/* Files of single runs of one sweep become one file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "pipar/results.h"
#include "trace/h5.h"
#include "trace/reader.h"

/* What makes files those of one experiment, and what they should have in common for their bits to be comparable. */
static const char *const same_texts[] = {"experiment", "overrides"};
static const char *const same_places[] = {"pipar_version", "git_revision", "cpu", "blas", "hdf5"};

typedef struct merger {
  int file_count, run_count;
  pp_results **files; /* (file_count) */
  int *owners;        /* (run_count): the file that has the run; -1: none yet */
  const char *path;   /* the new file's */
  hid_t out;
} merger;

/* "" where the file has none. */
static pp_status root_text(const pp_results *file, const char *name, char **out) {
  PP_H5_AUTO root = H5I_INVALID_HID;
  htri_t there = 0;
  PP_TRY_H5(PP_CODE_INPUT, "read", pp_results_path(file), root = H5Gopen2(pp_results_file(file), "/", H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", pp_results_path(file), there = H5Aexists(root, name));
  if (there > 0)
    return pp_h5_attribute_get_text(root, pp_results_path(file), name, out);
  *out = strdup("");
  return *out == NULL ? pp_fail_memory("a text", 1) : NULL;
}

/* Runs of the whole sweep. */
static pp_status sweep_runs(const pp_results *file, int64_t *out) {
  enum { most_runs = 1000000 };
  PP_H5_AUTO root = H5I_INVALID_HID;
  const char *path = pp_results_path(file);
  PP_TRY_H5(PP_CODE_INPUT, "read", path, root = H5Gopen2(pp_results_file(file), "/", H5P_DEFAULT));
  htri_t there = 0;
  PP_TRY_H5(PP_CODE_INPUT, "read", path, there = H5Aexists(root, "sweep_runs"));
  if (there == 0)
    return pp_fail(PP_CODE_INPUT, "%s is of an earlier pipar and does not say how many runs its sweep has", path);
  PP_TRY(pp_h5_attribute_get_integer(root, path, "sweep_runs", out));
  if (*out < 1 || *out > most_runs)
    return pp_fail(PP_CODE_INPUT, "%s is damaged: its sweep has %lld runs", path, (long long)*out);
  return NULL;
}

static pp_status is_same_text(const pp_results *a, const pp_results *b, const char *name, bool *same) {
  char *text_a = NULL, *text_b = NULL;
  PP_TRY(root_text(a, name, &text_a));
  pp_status status = root_text(b, name, &text_b);
  if (status == NULL)
    *same = strcmp(text_a, text_b) == 0;
  free(text_a);
  free(text_b);
  return status;
}

static pp_status has_inputs(const pp_results *file, bool *out) {
  htri_t there = 0;
  PP_TRY_H5(PP_CODE_INPUT, "read", pp_results_path(file),
            there = H5Lexists(pp_results_file(file), "/inputs", H5P_DEFAULT));
  *out = there > 0;
  return NULL;
}

/* Files that were read count by their text: their names are as seen from where `pipar run` was called. */
static pp_status compare_inputs(const pp_results *a, const pp_results *b) {
  pp_results_inputs inputs_a = {0}, inputs_b = {0};
  bool in_a = false, in_b = false;
  PP_TRY(has_inputs(a, &in_a));
  PP_TRY(has_inputs(b, &in_b));
  if (!in_a || !in_b)
    return NULL;
  PP_TRY(pp_results_read_inputs(a, &inputs_a));
  pp_status status = pp_results_read_inputs(b, &inputs_b);
  for (int file = 0; status == NULL && (file < inputs_a.file_count || file < inputs_b.file_count); file++) {
    const pp_input_file *first = file < inputs_a.file_count ? &inputs_a.files[file] : NULL;
    const pp_input_file *second = file < inputs_b.file_count ? &inputs_b.files[file] : NULL;
    if (first == NULL || second == NULL || first->length != second->length ||
        memcmp(first->text, second->text, (size_t)first->length) != 0)
      status = pp_fail(PP_CODE_INPUT, "%s and %s were not loaded from the same files: %s differs", pp_results_path(a),
                       pp_results_path(b), first != NULL ? first->path : second->path);
  }
  pp_results_inputs_fini(&inputs_a);
  pp_results_inputs_fini(&inputs_b);
  return status;
}

static pp_status compare_file(const merger *of, int file, FILE *log) {
  const pp_results *first = of->files[0], *other = of->files[file];
  int64_t runs = 0;
  PP_TRY(sweep_runs(other, &runs));
  bool same = runs == of->run_count;
  for (size_t text = 0; same && text < sizeof same_texts / sizeof same_texts[0]; text++)
    PP_TRY(is_same_text(first, other, same_texts[text], &same));
  if (!same)
    return pp_fail(PP_CODE_INPUT, "%s and %s are not of the same experiment: its text or --set differ",
                   pp_results_path(first), pp_results_path(other));
  PP_TRY(compare_inputs(first, other));
  for (size_t place = 0; place < sizeof same_places / sizeof same_places[0]; place++) {
    PP_TRY(is_same_text(first, other, same_places[place], &same));
    if (same)
      continue;
    fprintf(log, "%s and %s were made with different %s: their bits need not be those of one run\n",
            pp_results_path(first), pp_results_path(other), same_places[place]);
    return NULL;
  }
  return NULL;
}

static pp_status take_runs(merger *of, int file) {
  const pp_results *from = of->files[file];
  for (int index = 0; index < pp_results_run_count(from); index++) {
    int run = pp_results_run_number(from, index);
    pp_results_run info;
    if (run >= of->run_count)
      return pp_fail(PP_CODE_INPUT, "%s is damaged: it has run %d of a sweep of %d", pp_results_path(from), run,
                     of->run_count);
    if (of->owners[run] >= 0)
      return pp_fail(PP_CODE_INPUT, "run %d is in %s and in %s", run, pp_results_path(of->files[of->owners[run]]),
                     pp_results_path(from));
    PP_TRY(pp_results_read_run(from, run, &info));
    if (strcmp(info.status, "complete") != 0)
      return pp_fail(PP_CODE_INPUT, "%s: run %d is not complete: it is %s", pp_results_path(from), run, info.status);
    of->owners[run] = file;
  }
  return NULL;
}

static pp_status check_files(merger *of, FILE *log) {
  int64_t runs = 0;
  PP_TRY(sweep_runs(of->files[0], &runs));
  of->run_count = (int)runs;
  PP_TRY(pp_alloc((size_t)runs, sizeof *of->owners, "runs", &of->owners));
  for (int run = 0; run < of->run_count; run++)
    of->owners[run] = -1;
  for (int file = 0; file < of->file_count; file++) {
    if (file > 0)
      PP_TRY(compare_file(of, file, log));
    PP_TRY(take_runs(of, file));
  }
  int missing = 0, first = -1;
  for (int run = of->run_count - 1; run >= 0; run--)
    if (of->owners[run] < 0) {
      missing++;
      first = run;
    }
  if (missing > 0)
    return pp_fail(PP_CODE_INPUT, "%d of the sweep's %d runs %s in none of the files, the first is run %d", missing,
                   of->run_count, missing == 1 ? "is" : "are", first);
  return NULL;
}

/* Attributes of the root are texts of fixed length and integers. */
static pp_status copy_attribute(const merger *of, hid_t from, hid_t to, const char *name) {
  enum { most_bytes = 1 << 26 };
  const char *path = pp_results_path(of->files[0]);
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_INPUT, "read", path, attribute = H5Aopen(from, name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, type = H5Aget_type(attribute));
  size_t size = H5Tget_size(type);
  if (H5Tget_class(type) == H5T_STRING && size <= most_bytes) {
    char *text = NULL;
    PP_TRY(pp_h5_attribute_get_text(from, path, name, &text));
    pp_status status = pp_h5_attribute_text(to, of->path, name, text, 0);
    free(text);
    return status;
  }
  if (H5Tget_class(type) != H5T_INTEGER)
    return NULL;
  int64_t value = 0;
  PP_TRY(pp_h5_attribute_get_integer(from, path, name, &value));
  return pp_h5_attribute_integer(to, of->path, name, value);
}

static pp_status copy_attributes(const merger *of) {
  const char *path = pp_results_path(of->files[0]);
  PP_H5_AUTO from = H5I_INVALID_HID;
  PP_H5_AUTO to = H5I_INVALID_HID;
  H5O_info_t info;
  PP_TRY_H5(PP_CODE_INPUT, "read", path, from = H5Gopen2(pp_results_file(of->files[0]), "/", H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_RUN, "write", of->path, to = H5Gopen2(of->out, "/", H5P_DEFAULT));
#if H5_VERSION_GE(1, 12, 0)
  PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Oget_info3(from, &info, H5O_INFO_NUM_ATTRS));
#else
  PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Oget_info2(from, &info, H5O_INFO_NUM_ATTRS));
#endif
  for (hsize_t index = 0; index < info.num_attrs; index++) {
    char name[256];
    PP_TRY_H5(PP_CODE_INPUT, "read", path,
              H5Aget_name_by_idx(from, ".", H5_INDEX_NAME, H5_ITER_INC, index, name, sizeof name, H5P_DEFAULT));
    PP_TRY(copy_attribute(of, from, to, name));
  }
  return pp_h5_attribute_integer(to, of->path, "merged_files", of->file_count);
}

/* Where a write fails H5Ocopy may crash (HDF5 1.10). So the room is taken first: a run takes no more than it has taken
 * in its own file. */
static pp_status reserve(const merger *of) {
  enum { slack_bytes = 65536 };
  int64_t bytes = slack_bytes;
  for (int file = 0; file < of->file_count; file++) {
    struct stat about;
    bytes += stat(pp_results_path(of->files[file]), &about) == 0 ? about.st_size : 0;
  }
  int fd = open(of->path, O_WRONLY | O_CLOEXEC);
  int failed = fd < 0 ? errno : posix_fallocate(fd, 0, bytes);
  if (fd >= 0)
    close(fd);
  return failed == 0 ? NULL
                     : pp_fail(PP_CODE_RUN, "cannot write %s: its %lld KiB do not fit: %s", of->path,
                               (long long)(bytes >> 10), strerror(failed));
}

/* Gives back what was too much. */
static pp_status finish_file(merger *of) {
  hsize_t bytes = 0;
  PP_TRY_H5(PP_CODE_RUN, "write", of->path, H5Fflush(of->out, H5F_SCOPE_GLOBAL));
  PP_TRY_H5(PP_CODE_RUN, "write", of->path, H5Fget_filesize(of->out, &bytes));
  PP_TRY(pp_h5_file_close(&of->out, of->path));
  if (truncate(of->path, (off_t)bytes) != 0)
    return pp_fail(PP_CODE_RUN, "cannot write %s: %s", of->path, strerror(errno));
  return NULL;
}

static pp_status write_file(merger *of) {
  PP_H5_AUTO access = H5I_INVALID_HID;
  PP_H5_AUTO runs = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_RUN, "create", of->path, access = H5Pcreate(H5P_FILE_ACCESS));
  PP_TRY_H5(PP_CODE_RUN, "create", of->path, H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_LATEST));
  PP_TRY_H5(PP_CODE_RUN, "create", of->path, H5Pset_fclose_degree(access, H5F_CLOSE_STRONG));
  PP_TRY_H5(PP_CODE_RUN, "create", of->path, of->out = H5Fcreate(of->path, H5F_ACC_TRUNC, H5P_DEFAULT, access));
  PP_TRY(reserve(of));
  PP_TRY(copy_attributes(of));
  bool has = false;
  PP_TRY(has_inputs(of->files[0], &has));
  if (has)
    PP_TRY_H5(PP_CODE_INPUT, "copy the inputs from", pp_results_path(of->files[0]),
              H5Ocopy(pp_results_file(of->files[0]), "/inputs", of->out, "inputs", H5P_DEFAULT, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_RUN, "write", of->path, runs = H5Gcreate2(of->out, "runs", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  for (int run = 0; run < of->run_count; run++) {
    char name[32];
    snprintf(name, sizeof name, "/runs/%d", run);
    const pp_results *from = of->files[of->owners[run]];
    PP_TRY_H5(PP_CODE_INPUT, "copy a run from", pp_results_path(from),
              H5Ocopy(pp_results_file(from), name, runs, name + strlen("/runs/"), H5P_DEFAULT, H5P_DEFAULT));
  }
  return NULL;
}

pp_status pp_results_merge(int file_count, char *const *paths, const char *path, FILE *log) {
  merger of = {.file_count = file_count, .path = path, .out = H5I_INVALID_HID};
  pp_status status = NULL;
  PP_TRY(pp_alloc((size_t)file_count, sizeof *of.files, "files", &of.files));
  for (int file = 0; file < file_count && status == NULL; file++)
    status = pp_results_open(paths[file], &of.files[file]);
  if (status == NULL)
    status = check_files(&of, log);
  if (status == NULL)
    status = write_file(&of);
  if (status == NULL)
    status = finish_file(&of);
  else
    pp_error_free(pp_h5_file_close(&of.out, path));
  for (int file = 0; file < file_count; file++)
    pp_results_close(of.files[file]);
  free(of.files);
  free(of.owners);
  return status;
}
