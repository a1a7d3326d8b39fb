#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Arrays of many devices are visited in the order of time, here and there: with small pages most visits would miss the
 * TLB. Blocks of at least so many pages ask for large ones; a kernel that has none ignores it. */
enum { LARGE_PAGE = 2 << 20, LARGE_BLOCK = 2 * LARGE_PAGE };

pp_status pp_alloc(size_t count, size_t size, const char *what, void *out) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - PP_ALIGNMENT)
    return pp_fail(PP_CODE_RUN, "not enough memory for %s: %zu x %zu bytes", what, count, size);
  bytes = (bytes + PP_ALIGNMENT - 1) / PP_ALIGNMENT * PP_ALIGNMENT;
  if (bytes == 0)
    bytes = PP_ALIGNMENT;
  bool is_large = bytes >= LARGE_BLOCK && bytes <= SIZE_MAX - LARGE_PAGE;
  void *memory = aligned_alloc(is_large ? LARGE_PAGE : PP_ALIGNMENT, bytes);
  if (memory == NULL)
    return pp_fail_memory(what, bytes);
  if (is_large)
    (void)madvise(memory, bytes / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
  memset(memory, 0, bytes);
  memcpy(out, &memory, sizeof memory);
  return NULL;
}
