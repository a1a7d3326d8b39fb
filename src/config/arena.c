#include "config/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { CHUNK_BYTES = 64 * 1024 };

struct pp_arena_chunk {
  struct pp_arena_chunk *next;
  size_t used, size;
  max_align_t data[];
};

pp_status pp_arena_alloc(pp_arena *arena, size_t count, size_t size, void *out) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
    return pp_fail(PP_CODE_RUN, "not enough memory for the experiment: %zu x %zu bytes", count, size);
  const size_t align = _Alignof(max_align_t);
  bytes = (bytes + align - 1) / align * align;
  if (arena->limit_bytes > 0 && bytes > arena->limit_bytes - arena->used_bytes)
    return pp_fail(PP_CODE_INPUT, "the experiment is too large: its settings take more than %zu MiB",
                   arena->limit_bytes / (1024 * 1024));
  struct pp_arena_chunk *chunk = arena->chunks;
  if (chunk == NULL || bytes > chunk->size - chunk->used) {
    size_t data_bytes = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    chunk = NULL;
    PP_TRY(pp_alloc(1, sizeof *chunk + data_bytes, "the experiment", &chunk));
    chunk->size = data_bytes;
    /* A chunk of its own for something large goes behind the open one, which still has room. */
    if (bytes > CHUNK_BYTES && arena->chunks != NULL) {
      chunk->next = arena->chunks->next;
      arena->chunks->next = chunk;
    } else {
      chunk->next = arena->chunks;
      arena->chunks = chunk;
    }
  }
  void *memory = (char *)chunk->data + chunk->used;
  chunk->used += bytes;
  arena->used_bytes += bytes;
  memcpy(out, &memory, sizeof memory);
  return NULL;
}

pp_status pp_arena_copy(pp_arena *arena, const char *text, size_t length, const char **out) {
  char *copy = NULL;
  PP_TRY(pp_arena_alloc(arena, length + 1, 1, &copy));
  if (length > 0)
    memcpy(copy, text, length);
  *out = copy;
  return NULL;
}

void pp_arena_fini(pp_arena *arena) {
  for (struct pp_arena_chunk *chunk = arena->chunks, *next = NULL; chunk != NULL; chunk = next) {
    next = chunk->next;
    free(chunk);
  }
  *arena = (pp_arena){0};
}
