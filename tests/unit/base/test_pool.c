#include <stdlib.h>
#include <unistd.h>

#include "base/pool.h"
#include "suite.h"

enum { MOST = 1000 };

typedef struct seen {
  int times[MOST];
  int threads;
  bool strange; /* a thread that does not exist */
} seen;

static void see(void *context, int64_t task, int thread) {
  seen *all = context;
  all->times[task]++;
  if (thread < 0 || thread >= all->threads)
    all->strange = true;
}

static void assert_each_once(pp_pool *pool, int64_t count) {
  static seen all;
  all = (seen){.threads = pp_pool_threads(pool)};
  pp_pool_run(pool, count, see, &all);
  for (int64_t task = 0; task < MOST; task++)
    ck_assert_int_eq(all.times[task], task < count);
  ck_assert(!all.strange);
}

/* Regions of every size one upon another, so that late threads meet the next one. */
START_TEST(every_task_runs_once) {
  for (int threads = 1; threads <= 5; threads++) {
    pp_pool *pool = NULL;
    ck_assert_ptr_null(pp_pool_create(threads, &pool));
    ck_assert_int_eq(pp_pool_threads(pool), threads);
    for (int64_t count = 0; count < MOST; count += 1 + count / 50)
      assert_each_once(pool, count);
    pp_pool_destroy(pool);
  }
}
END_TEST

START_TEST(threads_that_fell_asleep_wake_again) {
  pp_pool *pool = NULL;
  ck_assert_ptr_null(pp_pool_create(3, &pool));
  for (int i = 0; i < 5; i++) {
    usleep(20000);
    assert_each_once(pool, 100);
  }
  pp_pool_destroy(pool);
}
END_TEST

START_TEST(without_a_pool_the_caller_runs_all) {
  ck_assert_int_eq(pp_pool_threads(NULL), 1);
  assert_each_once(NULL, MOST);
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
  tcase_add_test(tests, every_task_runs_once);
  tcase_add_test(tests, threads_that_fell_asleep_wake_again);
  tcase_add_test(tests, without_a_pool_the_caller_runs_all);
  tcase_add_test(tests, parts_follow_one_another_and_are_cut_at_units);
  return run_case("pool", tests);
}
