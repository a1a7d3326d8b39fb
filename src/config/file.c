#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_FILE_BYTES ((size_t)8 << 20)

pp_status pp_file_provide(pp_arena *arena, const char *path, const char *text, size_t length) {
  pp_read_file *file = NULL;
  PP_TRY(pp_arena_alloc(arena, 1, sizeof *file, &file));
  PP_TRY(pp_arena_copy(arena, path, strlen(path), &file->path));
  PP_TRY(pp_arena_copy(arena, text, length, &file->text));
  file->length = length;
  file->next = arena->files;
  arena->files = file;
  return NULL;
}

static const pp_read_file *find_held(const pp_arena *arena, const char *path) {
  for (const pp_read_file *file = arena->files; file != NULL; file = file->next)
    if (strcmp(file->path, path) == 0)
      return file;
  return NULL;
}

bool pp_file_is_held(const pp_arena *arena, const char *path) { return find_held(arena, path) != NULL; }

static pp_status read_all(int file, const char *source, size_t *length, char **out) {
  size_t capacity = 64 * 1024, used = 0;
  char *text = malloc(capacity);
  pp_status status = text == NULL ? pp_fail_memory(source, capacity) : NULL;
  while (status == NULL) {
    if (used == capacity) {
      char *larger = realloc(text, 2 * capacity);
      if (larger == NULL) {
        status = pp_fail_memory(source, 2 * capacity);
        break;
      }
      text = larger;
      capacity *= 2;
    }
    ssize_t got = read(file, text + used, capacity - used);
    if (got == 0)
      break;
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      status = pp_fail(PP_CODE_INPUT, "%s: cannot be read: %s", source, strerror(errno));
    else
      used += (size_t)got;
    if (status == NULL && used > MOST_FILE_BYTES)
      status = pp_fail(PP_CODE_INPUT, "%s: is too large: allowed are %zu MiB", source, MOST_FILE_BYTES >> 20);
  }
  if (status != NULL) {
    free(text);
    return status;
  }
  *length = used;
  *out = text;
  return NULL;
}

pp_status pp_file_read(pp_arena *arena, const char *path, const char *source, const char *kind, size_t *length,
                       const char **out) {
  const pp_read_file *held = find_held(arena, path);
  if (held != NULL) {
    *length = held->length;
    *out = held->text;
    return NULL;
  }
  struct stat info;
  char *text = NULL;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return pp_fail(PP_CODE_INPUT, "%s: cannot be opened: %s", source, strerror(errno));
  pp_status status = NULL;
  if (fstat(file, &info) == 0 && S_ISDIR(info.st_mode))
    status = pp_fail(PP_CODE_INPUT, "%s: is a directory: allowed is %s", source, kind);
  else
    status = read_all(file, source, length, &text);
  close(file);
  PP_TRY(status);
  status = pp_file_provide(arena, path, text, *length);
  free(text);
  if (status == NULL)
    *out = arena->files->text;
  return status;
}
