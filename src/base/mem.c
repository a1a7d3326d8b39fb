#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Arrays of many devices are visited in the order of time, here and there: with small pages most visits miss the TLB.
 * Large blocks ask for large pages in what lies between two borders of such pages; a kernel that has none ignores it.
 */
static void ask_for_large_pages(void *memory, size_t bytes) {
  const size_t page = (size_t)2 << 20, least = 8 * page;
  if (bytes < least)
    return;
  size_t before = (page - (uintptr_t)memory % page) % page;
  (void)madvise((char *)memory + before, (bytes - before) / page * page, MADV_HUGEPAGE);
}

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
  ask_for_large_pages(memory, bytes);
  memset(memory, 0, bytes);
  memcpy(out, &memory, sizeof memory);
  return NULL;
}
