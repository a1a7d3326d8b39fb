/* Memory that is released as a whole: everything a loaded experiment holds. */
#ifndef PP_CONFIG_ARENA_H
#define PP_CONFIG_ARENA_H

#include <stddef.h>

#include "pipar/status.h"

/* The caller owns it; {0} is an empty one. */
typedef struct pp_arena {
  struct pp_arena_chunk *chunks;
  size_t used_bytes;          /* asked for so far */
  size_t limit_bytes;         /* more than this is refused; 0: no limit */
  struct pp_read_file *files; /* that were read into it (config/file.h), the last one first */
} pp_arena;

/* Zeroed memory for count x size bytes, aligned for every type. Errors: memory (PP_CODE_RUN), over the limit
 * (PP_CODE_INPUT). */
PP_MUST_CHECK pp_status pp_arena_alloc(pp_arena *arena, size_t count, size_t size, void *out);
/* A copy of `length` bytes with a 0 after them. */
PP_MUST_CHECK pp_status pp_arena_copy(pp_arena *arena, const char *text, size_t length, const char **out);
void pp_arena_fini(pp_arena *arena);

#endif
