#include "app/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/leftover.h"

static bool is_same_file(const char *one, const struct stat *other) {
  struct stat about;
  return stat(one, &about) == 0 && about.st_dev == other->st_dev && about.st_ino == other->st_ino;
}

/* A slip on the command line must not cost hours of running. */
static bool is_hdf5(const char *path) {
  static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  unsigned char head[sizeof signature] = {0};
  FILE *file = fopen(path, "rb");
  if (file == NULL)
    return false;
  bool found = fread(head, 1, sizeof head, file) == sizeof head && memcmp(head, signature, sizeof head) == 0;
  fclose(file);
  return found;
}

pp_status pp_output_check_directory(const char *path) {
  const char *slash = strrchr(path, '/');
  struct stat about;
  if (slash == NULL)
    return NULL;
  char *directory = strndup(path, (size_t)(slash - path) + 1);
  if (directory == NULL)
    return pp_fail_memory("a file name", strlen(path));
  bool missing = stat(directory, &about) != 0 && (errno == ENOENT || errno == ENOTDIR);
  free(directory);
  return missing
             ? pp_fail(PP_CODE_USAGE, "cannot write %s: there is no directory %.*s", path, (int)(slash - path), path)
             : NULL;
}

static pp_status check_name(const char *path, char *const *inputs, bool force) {
  struct stat about;
  size_t length = strlen(path);
  if (length == 0 || path[length - 1] == '/')
    return pp_fail(PP_CODE_USAGE, "'%s' cannot be a file's name: -o names another", path);
  if (stat(path, &about) != 0)
    return pp_output_check_directory(path);
  if (S_ISDIR(about.st_mode))
    return pp_fail(PP_CODE_USAGE, "%s is a directory: -o names a file", path);
  if (!S_ISREG(about.st_mode))
    return pp_fail(PP_CODE_USAGE, "%s is no regular file: -o names another", path);
  for (; *inputs != NULL; inputs++)
    if (is_same_file(*inputs, &about))
      return pp_fail(PP_CODE_USAGE, "%s is read: -o names another file", path);
  if (!force && is_hdf5(path))
    return pp_fail(PP_CODE_USAGE, "%s is an HDF5 file and is not replaced: -o names another", path);
  return NULL;
}

pp_status pp_output_exists(const char *path) {
  return pp_fail(PP_CODE_USAGE, "%s exists: --force replaces it, -o names another file", path);
}

pp_status pp_output_open(pp_output *output, const char *path, char *const *inputs, bool force) {
  *output = (pp_output){.path = path};
  PP_TRY(check_name(path, inputs, force));
  /* A name that nobody else uses: PATH.part may be a run's. */
  if (asprintf(&output->part, "%s.XXXXXX", path) < 0) {
    output->part = NULL;
    return pp_fail_memory("a file name", strlen(path));
  }
  int fd = pp_leftover_make_file(output->part);
  if (fd < 0) {
    pp_status status = pp_fail(PP_CODE_RUN, "cannot write %s: %s", path, strerror(errno));
    free(output->part);
    output->part = NULL;
    return status;
  }
  mode_t mask = umask(0);
  umask(mask);
  output->stream = fchmod(fd, 0666 & ~mask) == 0 ? fdopen(fd, "w+") : NULL;
  if (output->stream != NULL)
    return NULL;
  pp_status status = pp_fail(PP_CODE_RUN, "cannot write %s: %s", path, strerror(errno));
  close(fd);
  pp_output_abandon(output);
  return status;
}

/* A link does not replace; some file systems have none. */
static bool take_name(const pp_output *output) {
  if (!output->keeps)
    return rename(output->part, output->path) == 0;
  if (link(output->part, output->path) == 0)
    return unlink(output->part) == 0;
  return errno != EEXIST && rename(output->part, output->path) == 0;
}

pp_status pp_output_commit(pp_output *output, int64_t *bytes) {
  FILE *stream = output->stream;
  output->stream = NULL;
  bool failed =
      ferror(stream) != 0 || fflush(stream) != 0 || (fsync(fileno(stream)) != 0 && errno != EINVAL && errno != EROFS);
  int64_t size = ftello(stream);
  failed = fclose(stream) != 0 || failed;
  if (!failed && take_name(output)) {
    pp_leftover_forget(output->part);
    free(output->part);
    output->part = NULL;
    if (bytes != NULL)
      *bytes = size;
    return NULL;
  }
  bool taken = !failed && output->keeps && errno == EEXIST;
  pp_status status = taken ? pp_output_exists(output->path)
                           : pp_fail(PP_CODE_RUN, "cannot write %s: %s", output->path, strerror(errno));
  pp_output_abandon(output);
  return status;
}

void pp_output_abandon(pp_output *output) {
  if (output->stream != NULL)
    fclose(output->stream);
  if (output->part != NULL) {
    unlink(output->part);
    pp_leftover_forget(output->part);
  }
  free(output->part);
  *output = (pp_output){0};
}
