#include "trace/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "trace/h5.h"
#include "trace/identity.h"
#include "trace/reader.h"

/* A writer holds its file's lock, shared while others may read. So does who goes on with it, once it had it alone. */
static pp_status claim(pp_remains *remains, const char *path) {
  struct stat ours, named;
  remains->lock_fd = open(remains->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (remains->lock_fd < 0 && errno == ENOENT && access(path, F_OK) == 0)
    return pp_fail(PP_CODE_USAGE, "nothing to resume: %s is complete", path);
  if (remains->lock_fd < 0 && errno == ENOENT)
    return pp_fail(PP_CODE_USAGE, "nothing to resume: there is no %s", remains->path);
  if (remains->lock_fd < 0)
    return pp_fail(PP_CODE_RUN, "cannot open %s: %s", remains->path, strerror(errno));
  bool taken = flock(remains->lock_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  /* For a moment the lock is nobody's; and another process may have put its file there before. */
  if (!taken)
    taken = flock(remains->lock_fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  taken = taken || fstat(remains->lock_fd, &ours) != 0 || stat(remains->path, &named) != 0 ||
          ours.st_ino != named.st_ino || ours.st_dev != named.st_dev;
  return taken ? pp_fail(PP_CODE_RUN, "cannot go on with %s: another process is writing it", remains->path) : NULL;
}

/* The file must have the wanted runs and no others. */
static pp_status find_complete(pp_remains *remains, const pp_experiment *experiment, int only) {
  int runs = pp_experiment_run_count(experiment), first = only < 0 ? 0 : only;
  int count = pp_results_run_count(remains->results);
  PP_TRY(pp_alloc((size_t)runs, sizeof *remains->complete, "runs", &remains->complete));
  if (count != (only < 0 ? runs : 1))
    return pp_fail(PP_CODE_INPUT, "%s has %d runs, %d are wanted", remains->path, count, only < 0 ? runs : 1);
  for (int index = 0; index < count; index++) {
    pp_results_run info;
    int run = pp_results_run_number(remains->results, index);
    if (run != first + index)
      return pp_fail(PP_CODE_INPUT, "%s has no run %d", remains->path, first + index);
    PP_TRY(pp_results_read_run(remains->results, run, &info));
    remains->complete[run] = strcmp(info.status, "complete") == 0;
  }
  return NULL;
}

static pp_status open_remains(const char *path, bool force, const pp_experiment *experiment, int only,
                              const pp_identity *identity, pp_remains *remains) {
  pp_identity found;
  if (asprintf(&remains->path, "%s.part", path) < 0) {
    remains->path = NULL;
    return pp_fail_memory("the results file's name", strlen(path));
  }
  PP_TRY(claim(remains, path));
  if (!force && access(path, F_OK) == 0)
    return pp_fail(PP_CODE_USAGE, "%s exists: --resume --force goes on with %s and replaces it", path, remains->path);
  PP_TRY(pp_results_open(remains->path, &remains->results));
  PP_TRY(pp_identity_read(pp_results_file(remains->results), remains->path, &found));
  PP_TRY(pp_identity_compare(remains->path, &found, identity));
  return find_complete(remains, experiment, only);
}

pp_status pp_remains_open(const char *path, bool force, const pp_experiment *experiment, int only,
                          const pp_identity *identity, pp_remains *out) {
  *out = (pp_remains){.lock_fd = -1};
  pp_h5_begin();
  pp_status status = open_remains(path, force, experiment, only, identity, out);
  if (status != NULL)
    pp_remains_close(out);
  return status;
}

void pp_remains_close(pp_remains *remains) {
  pp_results_close(remains->results);
  if (remains->lock_fd >= 0)
    close(remains->lock_fd);
  free(remains->path);
  free(remains->complete);
  *remains = (pp_remains){.lock_fd = -1};
}

pp_status pp_remains_copy_run(const pp_remains *remains, int run, hid_t runs, const char *path) {
  char from[32], to[16];
  snprintf(from, sizeof from, "/runs/%d", run);
  snprintf(to, sizeof to, "%d", run);
  PP_TRY_H5(PP_CODE_RUN, "copy a run into", path,
            H5Ocopy(pp_results_file(remains->results), from, runs, to, H5P_DEFAULT, H5P_DEFAULT));
  return NULL;
}

pp_status pp_results_find_complete(const char *path, bool force, const pp_experiment *experiment, int only,
                                   const pp_identity *identity, bool *complete) {
  pp_remains remains;
  PP_TRY(pp_remains_open(path, force, experiment, only, identity, &remains));
  memcpy(complete, remains.complete, (size_t)pp_experiment_run_count(experiment) * sizeof *complete);
  pp_remains_close(&remains);
  return NULL;
}
