/* A few threads that share out the tasks of a region. Which thread takes a task is left to chance, so tasks must not
 * depend on it: then results are the same bits with any number of threads.
 *
 * Not OpenMP: its waiting threads spin for milliseconds, which only the environment can change, and they would take the
 * cores of other ranks. These look for work a short while, yielding the core, and then sleep. */
#ifndef PP_BASE_POOL_H
#define PP_BASE_POOL_H

#include <stdint.h>

#include "pipar/status.h"

typedef struct pp_pool pp_pool;

/* task: which; thread: who takes it, 0 <= thread < pp_pool_threads, for memory of its own. */
typedef void (*pp_task)(void *context, int64_t task, int thread);

/* `threads` counts the caller's own. Errors (PP_CODE_RUN): threads or memory that the system does not give. The caller
 * destroys it. */
PP_MUST_CHECK pp_status pp_pool_create(int threads, pp_pool **out);
void pp_pool_destroy(pp_pool *pool);
/* 1 where pool is NULL. */
int pp_pool_threads(const pp_pool *pool);
/* Runs tasks 0 to count - 1 and returns when all have ended; in order where pool is NULL. One thread calls it at a
 * time, and no task does. */
void pp_pool_run(pp_pool *pool, int64_t count, pp_task task, void *context);

/* Part `part` of `parts` of the numbers [0, total), cut at multiples of unit. */
typedef struct pp_range {
  int64_t first, end;
} pp_range;
pp_range pp_range_part(int64_t total, int64_t unit, int64_t parts, int64_t part);

#endif
