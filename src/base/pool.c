#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A thread looks for others, or for work, some microseconds without giving up its core, which is longer than what one
 * writes takes to reach it; then for about 50 it yields the core between looks; then it sleeps. */
enum { QUICK_LOOKS = 200, LOOKS = QUICK_LOOKS + 50, LINE = 64 /* bytes of the caches' lines */ };
enum { STACK = 2 << 20 /* bytes of a thread's, at least, whatever the limit of the first one's (ulimit -s) */ };

typedef struct worker {
  pp_pool *pool;
  int thread;
  pthread_t id;
} worker;

/* How often a thread has met the others, the end of each work included, and how many works it has ended. */
typedef struct meetings {
  _Alignas(LINE) _Atomic uint64_t count;
  _Atomic uint64_t ended;
} meetings;

struct pp_pool {
  _Alignas(LINE) _Atomic uint64_t given; /* times that work was given out */
  pp_work work;
  void *context;
  meetings *met;        /* (threads) */
  int threads, started; /* started: of the workers */
  _Atomic bool stopped;
  _Alignas(LINE) _Atomic int sleeping; /* threads */
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

/* What a thread waits for: that work is given or the pool stopped, or that another thread has met it that often. */
typedef struct awaited {
  pp_pool *pool;
  const meetings *other; /* NULL: work */
  uint64_t count;        /* of meetings, or of work that is done */
} awaited;

static bool is_there(const awaited *what) {
  if (what->other != NULL)
    return atomic_load(&what->other->count) >= what->count;
  return atomic_load(&what->pool->given) > what->count || atomic_load(&what->pool->stopped);
}

static void await(const awaited *what) {
  pp_pool *pool = what->pool;
  for (int look = 0; look < LOOKS; look++) {
    if (is_there(what))
      return;
    look_again(look);
  }
  pthread_mutex_lock(&pool->lock);
  atomic_fetch_add(&pool->sleeping, 1); /* before the last look: others look here after they did what is awaited */
  while (!is_there(what))
    pthread_cond_wait(&pool->wake, &pool->lock);
  atomic_fetch_sub(&pool->sleeping, 1);
  pthread_mutex_unlock(&pool->lock);
}

/* After what others may wait for was done. */
static void wake_sleepers(pp_pool *pool) {
  if (atomic_load(&pool->sleeping) == 0)
    return;
  pthread_mutex_lock(&pool->lock);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
}

void pp_pool_arrive(pp_pool *pool, int thread) {
  if (pp_pool_threads(pool) == 1)
    return;
  uint64_t count = atomic_load_explicit(&pool->met[thread].count, memory_order_relaxed) + 1;
  atomic_store(&pool->met[thread].count, count);
  wake_sleepers(pool);
}

void pp_pool_await(pp_pool *pool, int thread) {
  if (pp_pool_threads(pool) == 1)
    return;
  uint64_t count = atomic_load_explicit(&pool->met[thread].count, memory_order_relaxed);
  for (int other = 0; other < pool->threads; other++)
    await(&(awaited){pool, &pool->met[other], count});
}

void pp_pool_meet(pp_pool *pool, int thread) {
  pp_pool_arrive(pool, thread);
  pp_pool_await(pool, thread);
}

static void *serve(void *argument) {
  const worker *self = argument;
  pp_pool *pool = self->pool;
  for (uint64_t done = 0;; done++) {
    await(&(awaited){pool, NULL, done});
    if (atomic_load(&pool->given) == done)
      return NULL; /* stopped */
    pool->work(pool->context, self->thread);
    atomic_store(&pool->met[self->thread].ended, done + 1);
    pp_pool_arrive(pool, self->thread);
  }
}

/* Without signals, which are the caller's. */
static int start(worker *next) {
  pthread_attr_t attributes;
  size_t size;
  sigset_t all, before;
  pthread_attr_init(&attributes);
  pthread_attr_getstacksize(&attributes, &size);
  pthread_attr_setstacksize(&attributes, size < STACK ? STACK : size);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&next->id, &attributes, serve, next);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return error;
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
    int error = start(next);
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
  atomic_store(&pool->stopped, true);
  wake_sleepers(pool);
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
  wake_sleepers(pool);
  work(context, 0);
  pp_pool_meet(pool, 0);
  for (int thread = 1; thread < pool->threads; thread++) /* or some would have met others once more */
    PP_ASSERT(atomic_load(&pool->met[thread].ended) == atomic_load(&pool->given));
}

pp_range pp_range_part(int64_t total, int64_t unit, int64_t parts, int64_t part) {
  int64_t units = (total + unit - 1) / unit, first = units * part / parts * unit,
          end = units * (part + 1) / parts * unit;
  return (pp_range){first, end < total ? end : total};
}
