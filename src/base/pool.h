/* A few threads that do one piece of work together: every one runs the same function, takes the part of each step that
 * is its own, and meets the others where a step needs what they did. What a thread's part is follows from its number,
 * so that it finds in its cache what it wrote before; what a part computes must not depend on it, so that results are
 * the same bits with any number of threads.
 *
 * Not OpenMP: its waiting threads spin for milliseconds, which only the environment can change, and they would take the
 * cores of other ranks. These look a few microseconds, then yield the core between looks, and then sleep. */
#ifndef PP_BASE_POOL_H
#define PP_BASE_POOL_H

#include <stdint.h>

#include "pipar/status.h"

typedef struct pp_pool pp_pool;

/* thread: whose part it is to do, 0 <= thread < pp_pool_threads. */
typedef void (*pp_work)(void *context, int thread);

/* `threads` counts the caller's own. Errors (PP_CODE_RUN): threads or memory that the system does not give. The caller
 * destroys it. */
PP_MUST_CHECK pp_status pp_pool_create(int threads, pp_pool **out);
void pp_pool_destroy(pp_pool *pool);
/* 1 where pool is NULL. */
int pp_pool_threads(const pp_pool *pool);
/* Runs `work` once on every thread, all at the same time, and returns when all have ended; where pool is NULL as thread
 * 0 alone. One thread calls it at a time, and no work does. */
void pp_pool_run(pp_pool *pool, pp_work work, void *context);
/* Called by every thread of the work, by all equally often (pp_pool_run asserts that none called it once more): returns
 * when all have called it as often as the caller. What each wrote before, all see after. */
void pp_pool_meet(pp_pool *pool, int thread);
/* The same in two halves, with work between them that neither needs what others do before they arrive nor is needed by
 * them: `arrive` says that the caller is there, `await` returns when all have said so as often. */
void pp_pool_arrive(pp_pool *pool, int thread);
void pp_pool_await(pp_pool *pool, int thread);

/* Part `part` of `parts` of the numbers [0, total), cut at multiples of unit. */
typedef struct pp_range {
  int64_t first, end;
} pp_range;
pp_range pp_range_part(int64_t total, int64_t unit, int64_t parts, int64_t part);

#endif
