#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A thread looks for others, or for work, some microseconds without giving up its core, which is longer than what one
 * writes takes to reach it; then it yields the core between looks; and without work for about 50 microseconds it
 * sleeps. */
enum { QUICK_LOOKS = 200, LOOKS = QUICK_LOOKS + 50, LINE = 64 /* bytes of the caches' lines */ };

typedef struct worker {
  pp_pool *pool;
  int thread;
  pthread_t id;
} worker;

/* How often a thread has met the others, the end of each work included. */
typedef struct meetings {
  _Alignas(LINE) _Atomic uint64_t count;
} meetings;

struct pp_pool {
  _Alignas(LINE) _Atomic uint64_t given; /* times that work was given out */
  pp_work work;
  void *context;
  meetings *met;        /* (threads) */
  int threads, started; /* started: of the workers */
  _Atomic bool stopped;
  _Alignas(LINE) _Atomic int sleeping; /* workers */
  pthread_mutex_t lock;
  pthread_cond_t wake;
  worker *workers; /* (threads - 1) */
};

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

/* Notes that a thread is there. */
static uint64_t arrive(pp_pool *pool, int thread) {
  uint64_t count = atomic_load_explicit(&pool->met[thread].count, memory_order_relaxed) + 1;
  atomic_store_explicit(&pool->met[thread].count, count, memory_order_release);
  return count;
}

void pp_pool_meet(pp_pool *pool, int thread) {
  if (pp_pool_threads(pool) == 1)
    return;
  uint64_t count = arrive(pool, thread);
  for (int other = 0; other < pool->threads; other++)
    for (int look = 0; atomic_load_explicit(&pool->met[other].count, memory_order_acquire) < count; look++)
      look_again(look);
}

static bool has_work(pp_pool *pool, uint64_t done) {
  return atomic_load(&pool->given) > done || atomic_load(&pool->stopped);
}

static void *serve(void *argument) {
  const worker *self = argument;
  pp_pool *pool = self->pool;
  for (uint64_t done = 0; !atomic_load(&pool->stopped);) {
    for (int look = 0; look < LOOKS && !has_work(pool, done); look++)
      look_again(look);
    if (!has_work(pool, done)) {
      pthread_mutex_lock(&pool->lock);
      atomic_fetch_add(&pool->sleeping, 1); /* before the last look: the caller looks here after it gives work */
      while (!has_work(pool, done))
        pthread_cond_wait(&pool->wake, &pool->lock);
      atomic_fetch_sub(&pool->sleeping, 1);
      pthread_mutex_unlock(&pool->lock);
    }
    if (atomic_load(&pool->given) == done)
      break; /* stopped */
    pool->work(pool->context, self->thread);
    done++;
    arrive(pool, self->thread);
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
  pthread_cond_init(&pool->wake, NULL);
  PP_TRY_GOTO(status, pp_alloc((size_t)threads, sizeof *pool->workers, "threads", &pool->workers), fail);
  PP_TRY_GOTO(status, pp_alloc((size_t)threads, sizeof *pool->met, "threads", &pool->met), fail);
  for (; pool->started < threads - 1; pool->started++) {
    worker *next = &pool->workers[pool->started];
    *next = (worker){.pool = pool, .thread = pool->started + 1};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the caller's */
    int error = pthread_create(&next->id, NULL, serve, next);
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
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
  for (int i = 0; i < pool->started; i++)
    pthread_join(pool->workers[i].id, NULL);
  pthread_mutex_destroy(&pool->lock);
  pthread_cond_destroy(&pool->wake);
  free(pool->workers);
  free(pool->met);
  free(pool);
}

int pp_pool_threads(const pp_pool *pool) { return pool == NULL ? 1 : pool->threads; }

void pp_pool_run(pp_pool *pool, pp_work work, void *context) {
  if (pp_pool_threads(pool) == 1) {
    work(context, 0);
    return;
  }
  pool->work = work;
  pool->context = context;
  atomic_fetch_add(&pool->given, 1);
  if (atomic_load(&pool->sleeping) > 0) {
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
  }
  work(context, 0);
  pp_pool_meet(pool, 0);
}

pp_range pp_range_part(int64_t total, int64_t unit, int64_t parts, int64_t part) {
  int64_t units = (total + unit - 1) / unit, first = units * part / parts * unit,
          end = units * (part + 1) / parts * unit;
  return (pp_range){first, end < total ? end : total};
}
