#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

pp_status pp_alloc(size_t count, size_t size, const char *what, void *out) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - PP_ALIGNMENT)
    return pp_fail(PP_CODE_RUN, "not enough memory for %s: %zu x %zu bytes", what, count, size);
  bytes = (bytes + PP_ALIGNMENT - 1) / PP_ALIGNMENT * PP_ALIGNMENT;
  if (bytes == 0)
    bytes = PP_ALIGNMENT;
  void *memory = aligned_alloc(PP_ALIGNMENT, bytes);
  if (memory == NULL)
    return pp_fail_memory(what, bytes);
  memset(memory, 0, bytes);
  memcpy(out, &memory, sizeof memory);
  return NULL;
}
