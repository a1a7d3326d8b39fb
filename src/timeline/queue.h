/* A priority queue of fixed room: a 4-ary heap, whose siblings share a cache line. */
#ifndef PP_TIMELINE_QUEUE_H
#define PP_TIMELINE_QUEUE_H

#include "base/time.h"

/* Entries leave by key, then by id: ties are settled by number, never by order of entry. */
typedef struct pp_queue_entry {
  pp_ns key;
  int64_t id;
} pp_queue_entry;

typedef struct pp_queue {
  int64_t count, room;
  pp_queue_entry *entries; /* (room), entries[0] the first */
  pp_queue_entry *memory;  /* what entries lies in */
} pp_queue;

PP_MUST_CHECK pp_status pp_queue_init(pp_queue *queue, int64_t room, const char *what);
void pp_queue_fini(pp_queue *queue);

static inline bool pp_queue_before(pp_queue_entry a, pp_queue_entry b) {
  return (a.key < b.key) | ((a.key == b.key) & (a.id < b.id));
}

static inline void pp_queue_push(pp_queue *queue, pp_ns key, int64_t id) {
  PP_ASSERT(queue->count < queue->room);
  pp_queue_entry entry = {key, id};
  int64_t hole = queue->count++;
  while (hole > 0) {
    int64_t parent = (hole - 1) / 4;
    if (!pp_queue_before(entry, queue->entries[parent]))
      break;
    queue->entries[hole] = queue->entries[parent];
    hole = parent;
  }
  queue->entries[hole] = entry;
}

/* Removes the first entry; the queue must not be empty. */
static inline pp_queue_entry pp_queue_pop(pp_queue *queue) {
  pp_queue_entry *entries = queue->entries;
  const pp_queue_entry first = entries[0];
  const int64_t count = --queue->count;
  /* By halves: an entry that has just been written so cannot be read whole before it is in the cache. */
  const pp_queue_entry last = {*(volatile pp_ns *)&entries[count].key, *(volatile int64_t *)&entries[count].id};
  int64_t hole = 0;
  for (;;) {
    int64_t child = 4 * hole + 1;
    if (child >= count)
      break;
    int64_t end = child + 4 < count ? child + 4 : count, best = child;
    for (int64_t other = child + 1; other < end; other++)
      if (pp_queue_before(entries[other], entries[best]))
        best = other;
    if (!pp_queue_before(entries[best], last))
      break;
    entries[hole] = entries[best];
    hole = best;
  }
  entries[hole] = last;
  return first;
}

#endif
