/* Files that are read as a whole. */
#ifndef PP_CONFIG_FILE_H
#define PP_CONFIG_FILE_H

#include "config/arena.h"

/* Reads a file of at most 8 MiB into the arena. `source` begins its errors (PP_CODE_INPUT), `kind` is what is allowed
 * ("an experiment file"). */
PP_MUST_CHECK pp_status pp_file_read(pp_arena *arena, const char *path, const char *source, const char *kind,
                                     size_t *length, const char **out);

#endif
