#include "timeline/queue.h"

#include <stdlib.h>

#include "base/mem.h"

pp_status pp_queue_init(pp_queue *queue, int64_t room, const char *what) {
  enum { line = PP_ALIGNMENT / sizeof(pp_queue_entry) };
  pp_queue_entry *memory = NULL;
  /* The children 4i + 1 to 4i + 4 of an entry start at a cache line. */
  PP_TRY(pp_alloc((size_t)room + line, sizeof *memory, what, &memory));
  *queue = (pp_queue){.room = room, .entries = memory + line - 1, .memory = memory};
  return NULL;
}

void pp_queue_fini(pp_queue *queue) {
  free(queue->memory);
  *queue = (pp_queue){0};
}
