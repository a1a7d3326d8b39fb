#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A thread looks for work some microseconds without giving up its core, which is longer than a region takes to be given
 * out, then yields the core between looks for about 50 microseconds, and then sleeps. */
enum { QUICK_LOOKS = 200, LOOKS = QUICK_LOOKS + 50, LINE = 64 /* bytes of the caches' lines */ };

typedef struct worker {
  pp_pool *pool;
  int thread;
  pthread_t id;
} worker;

/* The tasks that are a thread's own, a part of the region's in order: so a thread finds in its cache what it wrote in
 * the region before. Who has done his own takes others'. All that is to be known of them is one line of the cache: a
 * line that another core wrote takes as long to come as a small task. */
typedef struct hand {
  /* Number of the region in the upper half, tasks that nobody took yet in the lower: one word, so that whoever takes a
   * task knows which region it is of, and a thread that comes late finds none. */
  _Alignas(LINE) _Atomic uint64_t open;
  pp_task task;
  void *context;
  int64_t end;   /* of the tasks */
  int64_t count; /* of the region */
} hand;

struct pp_pool {
  hand *hands;          /* (threads) */
  int64_t count;        /* tasks of the region */
  int threads, started; /* started: of the workers */
  _Atomic int sleeping; /* workers */
  _Atomic bool waiting; /* the caller, asleep */
  _Atomic bool stopped;
  pthread_mutex_t lock;
  pthread_cond_t work, done;
  worker *workers;                      /* (threads - 1) */
  _Alignas(LINE) _Atomic int64_t ended; /* tasks of the region */
};

static uint32_t left_of(uint64_t open) { return (uint32_t)open; }

static void look_again(int look) {
  if (look >= QUICK_LOOKS)
    sched_yield();
#if defined __x86_64__
  else
    __builtin_ia32_pause();
#elif defined __aarch64__
  else
    __asm__ volatile("isb");
#endif
}

/* Takes a hand's tasks until none is left. */
static void take_from(pp_pool *pool, int of, int thread) {
  hand *from = &pool->hands[of];
  uint64_t open = atomic_load_explicit(&from->open, memory_order_acquire);
  int64_t taken = 0, count = 0;
  while (left_of(open) > 0) {
    if (!atomic_compare_exchange_weak(&from->open, &open, open - 1))
      continue;
    /* The region cannot end, nor its description change, before this task has. */
    from->task(from->context, from->end - left_of(open), thread);
    count = from->count;
    taken++;
    open = atomic_load_explicit(&from->open, memory_order_acquire);
  }
  if (taken > 0 && atomic_fetch_add(&pool->ended, taken) + taken == count && atomic_load(&pool->waiting)) {
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->lock);
  }
}

static void take_tasks(pp_pool *pool, int thread) {
  for (int i = 0; i < pool->threads; i++)
    take_from(pool, (thread + i) % pool->threads, thread);
}

static bool has_some(const hand *of) { return left_of(atomic_load(&of->open)) > 0; }

static bool has_work(pp_pool *pool) {
  for (int of = 0; of < pool->threads; of++)
    if (has_some(&pool->hands[of]))
      return true;
  return atomic_load(&pool->stopped);
}

static void *work(void *argument) {
  worker *self = argument;
  pp_pool *pool = self->pool;
  const hand *own = &pool->hands[self->thread];
  while (!atomic_load(&pool->stopped)) {
    /* Its own alone: a line that nobody else reads is written faster. */
    for (int look = 0; look < LOOKS && !has_some(own); look++)
      look_again(look);
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
    look_again(look);
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
  pool->count = count;
  atomic_store_explicit(&pool->ended, 0, memory_order_relaxed);
  for (int of = pool->threads - 1; of >= 0; of--) { /* its own last: the others are waiting */
    hand *to = &pool->hands[of];
    int64_t first = count * of / pool->threads, end = count * (of + 1) / pool->threads;
    uint64_t region = (atomic_load_explicit(&to->open, memory_order_relaxed) >> 32) + 1;
    to->task = task;
    to->context = context;
    to->end = end;
    to->count = count;
    atomic_store_explicit(&to->open, region << 32 | (uint64_t)(end - first), memory_order_release);
  }
  atomic_thread_fence(memory_order_seq_cst); /* given before it is seen who sleeps */
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
