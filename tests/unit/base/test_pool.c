#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/pool.h"
#include "suite.h"

enum { MOST = 8, STEPS = 500 };

/* Every thread writes its place of a row, and after they met reads everybody's. */
typedef struct rows {
  pp_pool *pool;
  int threads, steps;
  int at[STEPS][MOST];
  int ran[MOST], wrong[MOST];
  _Atomic int passed[MOST]; /* meetings */
  _Atomic bool strangers;
} rows;

static void see_all(rows *all, int step, int thread) {
  for (int other = 0; other < all->threads; other++)
    all->wrong[thread] += all->at[step][other] != step + other;
}

static void write_and_read(void *context, int thread) {
  rows *all = context;
  if (thread < 0 || thread >= all->threads) { /* Check's assertions are the main thread's */
    all->strangers = true;
    return;
  }
  all->ran[thread]++;
  for (int step = 0; step < all->steps; step++) {
    all->at[step][thread] = step + thread;
    pp_pool_meet(all->pool, thread);
    see_all(all, step, thread);
  }
}

static void assert_together(pp_pool *pool, int steps) {
  static rows all;
  all = (rows){.pool = pool, .threads = pp_pool_threads(pool), .steps = steps};
  pp_pool_run(pool, write_and_read, &all);
  ck_assert(!all.strangers);
  for (int thread = 0; thread < MOST; thread++) {
    ck_assert_int_eq(all.ran[thread], thread < all.threads);
    ck_assert_int_eq(all.wrong[thread], 0);
  }
}

START_TEST(every_thread_runs_once_and_sees_what_others_wrote_before_they_met) {
  for (int threads = 1; threads <= 5; threads++) {
    pp_pool *pool = NULL;
    ck_assert_ptr_null(pp_pool_create(threads, &pool));
    ck_assert_int_eq(pp_pool_threads(pool), threads);
    for (int steps = 0; steps < STEPS; steps += 1 + steps / 3)
      for (int again = 0; again < 5; again++)
        assert_together(pool, steps);
    pp_pool_destroy(pool);
  }
}
END_TEST

START_TEST(threads_that_fell_asleep_wake_again) {
  pp_pool *pool = NULL;
  ck_assert_ptr_null(pp_pool_create(3, &pool));
  for (int i = 0; i < 5; i++) {
    usleep(20000);
    assert_together(pool, 3);
  }
  pp_pool_destroy(pool);
}
END_TEST

/* One thread after the other goes on from arriving to awaiting only when the next one has passed that meeting, which it
 * could not if it had to wait for more than the arrival. */
static void meet_in_halves(void *context, int thread) {
  rows *all = context;
  for (int step = 0; step < all->steps; step++) {
    all->at[step][thread] = step + thread;
    pp_pool_arrive(all->pool, thread);
    while (all->threads > 1 && step % all->threads == thread && all->passed[(thread + 1) % all->threads] <= step)
      sched_yield();
    pp_pool_await(all->pool, thread);
    all->passed[thread] = step + 1;
    see_all(all, step, thread);
  }
}

START_TEST(threads_may_meet_in_halves) {
  for (int threads = 1; threads <= 4; threads++) {
    static rows all;
    pp_pool *pool = NULL;
    ck_assert_ptr_null(pp_pool_create(threads, &pool));
    all = (rows){.pool = pool, .threads = threads, .steps = STEPS};
    pp_pool_run(pool, meet_in_halves, &all);
    for (int thread = 0; thread < threads; thread++)
      ck_assert_int_eq(all.wrong[thread], 0);
    assert_together(pool, 3);
    pp_pool_destroy(pool);
  }
}
END_TEST

/* The last thread comes late to every meeting. */
static void come_late(void *context, int thread) {
  rows *all = context;
  for (int step = 0; step < all->steps; step++) {
    if (thread == all->threads - 1)
      usleep(5000);
    all->at[step][thread] = step + thread;
    pp_pool_meet(all->pool, thread);
    see_all(all, step, thread);
  }
}

/* How often this process's threads gave up their core to wait. */
static long waits(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw;
}

START_TEST(those_that_wait_long_sleep) {
  static rows all;
  all = (rows){.threads = 3, .steps = 40};
  ck_assert_ptr_null(pp_pool_create(all.threads, &all.pool));
  long before = waits();
  pp_pool_run(all.pool, come_late, &all);
  ck_assert(waits() - before >= 2 * all.steps); /* the late one's, and at least half of the others' */
  for (int thread = 0; thread < all.threads; thread++)
    ck_assert_int_eq(all.wrong[thread], 0);
  pp_pool_destroy(all.pool);
}
END_TEST

START_TEST(without_a_pool_the_caller_runs_alone) {
  ck_assert_int_eq(pp_pool_threads(NULL), 1);
  assert_together(NULL, STEPS);
  pp_pool_destroy(NULL);
}
END_TEST

START_TEST(parts_follow_one_another_and_are_cut_at_units) {
  for (int64_t total = 0; total < 70; total++)
    for (int64_t unit = 1; unit <= 16; unit *= 4)
      for (int64_t parts = 1; parts < 9; parts++) {
        int64_t at = 0;
        for (int64_t part = 0; part < parts; part++) {
          pp_range range = pp_range_part(total, unit, parts, part);
          ck_assert_int_eq(range.first < total ? range.first : total, at);
          ck_assert(range.end >= at && (range.end % unit == 0 || range.end == total));
          at = range.end;
        }
        ck_assert_int_eq(at, total);
      }
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("pool");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, every_thread_runs_once_and_sees_what_others_wrote_before_they_met);
  tcase_add_test(tests, threads_that_fell_asleep_wake_again);
  tcase_add_test(tests, threads_may_meet_in_halves);
  tcase_add_test(tests, those_that_wait_long_sleep);
  tcase_add_test(tests, without_a_pool_the_caller_runs_alone);
  tcase_add_test(tests, parts_follow_one_another_and_are_cut_at_units);
  return run_case("pool", tests);
}
