#include "data/input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Deflate's own bound: no more than 1032 bytes out of each byte in. */
enum { MOST_INFLATION = 1032, READ_BUFFER_BYTES = 128 * 1024 };

pp_status pp_input_join(const char *directory, const char *name, char *path) {
  int length = snprintf(path, PATH_MAX, "%s/%s", directory, name);
  if (length < 0 || length >= PATH_MAX)
    return pp_fail(PP_CODE_INPUT, "%.200s.../%.200s: path longer than %d bytes", directory, name, PATH_MAX - 1);
  return NULL;
}

static bool exists(const char *path) {
  struct stat info;
  return stat(path, &info) == 0;
}

bool pp_input_is_directory(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

pp_status pp_input_place(const pp_source *source, const char *path, char *place) {
  if (strcmp(path, "auto") != 0) {
    if (!exists(path))
      return pp_fail(PP_CODE_INPUT, "dataset.path: %s: %s; it is where the files of %s are (%s)", path, strerror(errno),
                     source->name, source->advice);
    int length = snprintf(place, PATH_MAX, "%s", path);
    if (length < 0 || length >= PATH_MAX)
      return pp_fail(PP_CODE_INPUT, "dataset.path: %.200s...: longer than %d bytes", path, PATH_MAX - 1);
    return NULL;
  }
  const char *root = getenv("PIPAR_DATA");
  const bool has_root = root != NULL && root[0] != '\0';
  if (has_root) {
    PP_TRY(pp_input_join(root, source->name, place));
    if (exists(place))
      return NULL;
  }
  if (source->package_directory != NULL && pp_input_is_directory(source->package_directory)) {
    snprintf(place, PATH_MAX, "%s", source->package_directory);
    return NULL;
  }
  return pp_fail(PP_CODE_INPUT, "dataset.path: auto: %s is not in %s%s%s; %s, or set dataset.path or PIPAR_DATA",
                 source->name, has_root ? place : "$PIPAR_DATA (not set)",
                 source->package_directory != NULL ? " nor in " : "",
                 source->package_directory != NULL ? source->package_directory : "", source->advice);
}

pp_status pp_input_directory(const pp_source *source, const char *path, char *directory) {
  PP_TRY(pp_input_place(source, path, directory));
  if (!pp_input_is_directory(directory))
    return pp_fail(PP_CODE_INPUT, "dataset.path: %s is not a directory; it is the one with the files of %s (%s)",
                   directory, source->name, source->advice);
  return NULL;
}

pp_status pp_input_find(const pp_source *source, const char *directory, const char *const *names, char *path) {
  for (const char *const *name = names; *name != NULL; name++) {
    PP_TRY(pp_input_join(directory, *name, path));
    if (exists(path))
      return NULL;
    size_t length = strlen(path);
    if (length + sizeof ".gz" > PATH_MAX)
      continue;
    memcpy(path + length, ".gz", sizeof ".gz");
    if (exists(path))
      return NULL;
  }
  return pp_fail(PP_CODE_INPUT, "dataset %s: %s/%s is missing, gzipped (.gz) or not (%s)", source->name, directory,
                 names[0], source->advice);
}

pp_status pp_input_load_subsets(const pp_dataset_config *config, pp_dataset *dataset, pp_subset_loader load) {
  char directory[PATH_MAX];
  PP_TRY(pp_input_directory(dataset->source, config->path, directory));
  for (int subset = 0; subset < PP_SUBSET_COUNT; subset++)
    if (pp_subset_wanted(config, (pp_subset)subset) > 0)
      PP_TRY(load(config, directory, (pp_subset)subset, dataset));
  return NULL;
}

pp_status pp_input_open(pp_input *input, const char *path) {
  memset(input, 0, sizeof *input);
  snprintf(input->path, sizeof input->path, "%s", path);
  struct stat info;
  if (stat(path, &info) != 0)
    return pp_fail(PP_CODE_INPUT, "%s: %s", path, strerror(errno));
  if (!S_ISREG(info.st_mode))
    return pp_fail(PP_CODE_INPUT, "%s: not a regular file", path);
  input->file = gzopen(path, "rb");
  if (input->file == NULL)
    return pp_fail(PP_CODE_INPUT, "%s: %s", path, errno != 0 ? strerror(errno) : "not enough memory to read it");
  (void)gzbuffer(input->file, READ_BUFFER_BYTES);
  int64_t size = (int64_t)info.st_size;
  if (gzdirect(input->file) == 0 && __builtin_mul_overflow(size, MOST_INFLATION, &size))
    size = INT64_MAX;
  input->bytes_possible = size;
  return NULL;
}

void pp_input_close(pp_input *input) {
  if (input->file != NULL)
    (void)gzclose_r(input->file);
  input->file = NULL;
}

pp_status pp_input_read_some(pp_input *input, void *buffer, size_t bytes, size_t *got) {
  size_t have = 0;
  while (have < bytes) {
    size_t part = bytes - have < (1U << 30) ? bytes - have : (1U << 30);
    int result = gzread(input->file, (char *)buffer + have, (unsigned)part);
    if (result > 0) {
      have += (size_t)result;
      input->bytes_read += result;
      continue;
    }
    int error = Z_OK;
    const char *reason = gzerror(input->file, &error);
    if (error == Z_BUF_ERROR)
      return pp_fail(PP_CODE_INPUT, "%s: cut off: its compressed data ends after %lld unpacked bytes", input->path,
                     (long long)input->bytes_read);
    if (error == Z_ERRNO)
      return pp_fail(PP_CODE_INPUT, "%s: cannot be read: %s", input->path, strerror(errno));
    if (result < 0 || error != Z_OK)
      return pp_fail(PP_CODE_INPUT, "%s: damaged after %lld unpacked bytes: %s", input->path,
                     (long long)input->bytes_read, reason);
    break; /* the end */
  }
  *got = have;
  return NULL;
}

pp_status pp_input_read(pp_input *input, void *buffer, size_t bytes) {
  size_t got = 0;
  int64_t wanted = input->bytes_read + (int64_t)bytes;
  PP_TRY(pp_input_read_some(input, buffer, bytes, &got));
  if (got < bytes)
    return pp_fail(PP_CODE_INPUT, "%s: cut off: it ends after %lld bytes where at least %lld belong", input->path,
                   (long long)input->bytes_read, (long long)wanted);
  return NULL;
}

pp_status pp_input_skip(pp_input *input, int64_t bytes) {
  char buffer[16 * 1024];
  for (int64_t left = bytes; left > 0;) {
    size_t part = left < (int64_t)sizeof buffer ? (size_t)left : sizeof buffer;
    PP_TRY(pp_input_read(input, buffer, part));
    left -= (int64_t)part;
  }
  return NULL;
}

pp_status pp_input_expect_end(pp_input *input) {
  int64_t end = input->bytes_read;
  char extra = 0;
  size_t got = 0;
  PP_TRY(pp_input_read_some(input, &extra, 1, &got));
  if (got > 0)
    return pp_fail(PP_CODE_INPUT, "%s: goes on after the %lld bytes that its header announces", input->path,
                   (long long)end);
  return NULL;
}
