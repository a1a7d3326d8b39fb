#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { LOOKS = 200 /* for work, yielding the core between them, before a thread sleeps: about 50 microseconds */ };

typedef struct worker {
  pp_pool *pool;
  int thread;
  pthread_t id;
} worker;

/* The tasks that are a thread's own, a part of the region's in order: so a thread finds in its cache what it wrote in
 * the region before. Who has done his own takes others'. */
typedef struct hand {
  /* Number of the region in the upper half, tasks that nobody took yet in the lower: one word, so that whoever takes a
   * task knows which region it is of, and a thread that comes late finds none. */
  _Atomic uint64_t open;
  char apart[56]; /* a line of the cache each */
} hand;

struct pp_pool {
  hand *hands;           /* (threads) */
  _Atomic int64_t ended; /* tasks of the region */
  pp_task task;
  void *context;
  int64_t count;
  int threads, started; /* started: of the workers */
  _Atomic int sleeping; /* workers */
  _Atomic bool waiting; /* the caller, asleep */
  _Atomic bool stopped;
  pthread_mutex_t lock;
  pthread_cond_t work, done;
  worker *workers; /* (threads - 1) */
};

static uint32_t left_of(uint64_t open) { return (uint32_t)open; }

/* Where the tasks of a hand end. */
static int64_t end_of(const pp_pool *pool, int of) { return pool->count * (of + 1) / pool->threads; }

/* Takes a hand's tasks until none is left. */
static void take_from(pp_pool *pool, int of, int thread) {
  _Atomic uint64_t *open_tasks = &pool->hands[of].open;
  uint64_t open = atomic_load(open_tasks);
  while (left_of(open) > 0) {
    if (!atomic_compare_exchange_weak(open_tasks, &open, open - 1))
      continue;
    /* The region cannot end, nor its description change, before this task has. */
    int64_t count = pool->count;
    pool->task(pool->context, end_of(pool, of) - left_of(open), thread);
    if (atomic_fetch_add(&pool->ended, 1) + 1 == count && atomic_load(&pool->waiting)) {
      pthread_mutex_lock(&pool->lock);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->lock);
    }
    open = atomic_load(open_tasks);
  }
}

static void take_tasks(pp_pool *pool, int thread) {
  for (int i = 0; i < pool->threads; i++)
    take_from(pool, (thread + i) % pool->threads, thread);
}

static bool has_work(pp_pool *pool) {
  for (int of = 0; of < pool->threads; of++)
    if (left_of(atomic_load(&pool->hands[of].open)) > 0)
      return true;
  return atomic_load(&pool->stopped);
}

static void *work(void *argument) {
  worker *self = argument;
  pp_pool *pool = self->pool;
  while (!atomic_load(&pool->stopped)) {
    for (int look = 0; look < LOOKS && !has_work(pool); look++)
      sched_yield();
    if (!has_work(pool)) {
      pthread_mutex_lock(&pool->lock);
      atomic_fetch_add(&pool->sleeping, 1); /* before the last look: the caller looks here after it gives work */
      while (!has_work(pool))
        pthread_cond_wait(&pool->work, &pool->lock);
      atomic_fetch_sub(&pool->sleeping, 1);
      pthread_mutex_unlock(&pool->lock);
    }
    take_tasks(pool, self->thread);
  }
  return NULL;
}

pp_status pp_pool_create(int threads, pp_pool **out) {
  pp_pool *pool = NULL;
  pp_status status = NULL;
  PP_ASSERT(threads >= 1);
  PP_TRY(pp_alloc(1, sizeof *pool, "threads", &pool));
  pool->threads = threads;
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->done, NULL);
  PP_TRY_GOTO(status, pp_alloc((size_t)threads, sizeof *pool->workers, "threads", &pool->workers), fail);
  PP_TRY_GOTO(status, pp_alloc((size_t)threads, sizeof *pool->hands, "threads", &pool->hands), fail);
  for (; pool->started < threads - 1; pool->started++) {
    worker *next = &pool->workers[pool->started];
    *next = (worker){.pool = pool, .thread = pool->started + 1};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the caller's */
    int error = pthread_create(&next->id, NULL, work, next);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
      status = pp_fail(PP_CODE_RUN, "thread %d of %d cannot be started: %s", next->thread, threads, strerror(error));
      goto fail;
    }
  }
  *out = pool;
  return NULL;
fail:
  pp_pool_destroy(pool);
  return status;
}

void pp_pool_destroy(pp_pool *pool) {
  if (pool == NULL)
    return;
  pthread_mutex_lock(&pool->lock);
  atomic_store(&pool->stopped, true);
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->lock);
  for (int i = 0; i < pool->started; i++)
    pthread_join(pool->workers[i].id, NULL);
  pthread_mutex_destroy(&pool->lock);
  pthread_cond_destroy(&pool->work);
  pthread_cond_destroy(&pool->done);
  free(pool->workers);
  free(pool->hands);
  free(pool);
}

int pp_pool_threads(const pp_pool *pool) { return pool == NULL ? 1 : pool->threads; }

static void wait_for_all(pp_pool *pool) {
  for (int look = 0; look < LOOKS && atomic_load(&pool->ended) < pool->count; look++)
    sched_yield();
  if (atomic_load(&pool->ended) == pool->count)
    return;
  pthread_mutex_lock(&pool->lock);
  atomic_store(&pool->waiting, true);
  while (atomic_load(&pool->ended) < pool->count)
    pthread_cond_wait(&pool->done, &pool->lock);
  atomic_store(&pool->waiting, false);
  pthread_mutex_unlock(&pool->lock);
}

void pp_pool_run(pp_pool *pool, int64_t count, pp_task task, void *context) {
  if (pool == NULL || pool->threads == 1 || count == 1) {
    for (int64_t i = 0; i < count; i++)
      task(context, i, 0);
    return;
  }
  if (count == 0)
    return;
  PP_ASSERT(count > 0 && count <= INT32_MAX);
  pool->task = task;
  pool->context = context;
  pool->count = count;
  atomic_store(&pool->ended, 0);
  for (int64_t of = 0, first = 0; of < pool->threads; of++) {
    _Atomic uint64_t *open_tasks = &pool->hands[of].open;
    int64_t end = end_of(pool, (int)of);
    atomic_store(open_tasks, ((atomic_load(open_tasks) >> 32) + 1) << 32 | (uint64_t)(end - first));
    first = end;
  }
  if (atomic_load(&pool->sleeping) > 0) {
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
  }
  take_tasks(pool, 0);
  wait_for_all(pool);
}

pp_range pp_range_part(int64_t total, int64_t unit, int64_t parts, int64_t part) {
  int64_t units = (total + unit - 1) / unit, first = units * part / parts * unit,
          end = units * (part + 1) / parts * unit;
  return (pp_range){first, end < total ? end : total};
}
