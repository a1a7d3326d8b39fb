/* Files that are read as a whole. */
#ifndef PP_CONFIG_FILE_H
#define PP_CONFIG_FILE_H

#include "config/arena.h"

/* A file's text in an arena. */
typedef struct pp_read_file {
  struct pp_read_file *next;
  const char *path, *text;
  size_t length;
} pp_read_file;

/* Makes pp_file_read take `text` for the file's; copies it. */
PP_MUST_CHECK pp_status pp_file_provide(pp_arena *arena, const char *path, const char *text, size_t length);

/* Whether the arena holds the file. */
bool pp_file_is_held(const pp_arena *arena, const char *path);

/* Reads a file of at most 8 MiB into the arena, once: what the arena holds of that path already is what is
 * given again. `source` begins its errors (PP_CODE_INPUT), `kind` is what is allowed
 * ("an experiment file"). */
PP_MUST_CHECK pp_status pp_file_read(pp_arena *arena, const char *path, const char *source, const char *kind,
                                     size_t *length, const char **out);

#endif
