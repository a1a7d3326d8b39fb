/* As much of Check as the tests of src/base and src/nn use, for processors that Check is not there for: every test runs
 * in the one process, and the first that fails ends it. */
#ifndef PP_STAND_IN_CHECK_H
#define PP_STAND_IN_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CK_ENV, STAND_IN_MOST_TESTS = 64 };

typedef struct TCase {
  const char *name;
  int count;
  struct {
    const char *name;
    void (*function)(int);
    int first, end;
  } tests[STAND_IN_MOST_TESTS];
} TCase;
typedef TCase Suite, SRunner;

#define START_TEST(test) static void test(int _i __attribute__((unused)))
#define END_TEST

#define stand_in_fail(...)                                                                                             \
  do {                                                                                                                 \
    printf("%s:%d: ", __FILE__, __LINE__);                                                                             \
    printf(__VA_ARGS__);                                                                                               \
    printf("\n");                                                                                                      \
    exit(EXIT_FAILURE);                                                                                                \
  } while (0)
#define ck_abort_msg(...) stand_in_fail(__VA_ARGS__)
#define ck_assert_msg(condition, ...)                                                                                  \
  do {                                                                                                                 \
    if (!(condition))                                                                                                  \
      stand_in_fail(__VA_ARGS__);                                                                                      \
  } while (0)
#define ck_assert(condition)       ck_assert_msg(condition, "%s", #condition)
#define ck_assert_ptr_null(p)      ck_assert((p) == NULL)
#define ck_assert_ptr_nonnull(p)   ck_assert((p) != NULL)
#define ck_assert_int_eq(a, b)     ck_assert((intmax_t)(a) == (intmax_t)(b))
#define ck_assert_uint_eq(a, b)    ck_assert((uintmax_t)(a) == (uintmax_t)(b))
#define ck_assert_uint_lt(a, b)    ck_assert((uintmax_t)(a) < (uintmax_t)(b))
#define ck_assert_str_eq(a, b)     ck_assert(strcmp(a, b) == 0)
#define ck_assert_mem_eq(a, b, n)  ck_assert(memcmp(a, b, n) == 0)
#define tcase_set_timeout(t, s)    ((void)0)
#define tcase_add_test(t, test)    tcase_add_loop_test(t, test, 0, 1)
#define suite_add_tcase(suite, t)  (*(suite) = *(t), free(t))
#define srunner_create(suite)      (suite)
#define srunner_ntests_failed(run) 0
#define srunner_free(run)          free(run)

static inline TCase *tcase_create(const char *name) {
  TCase *made = calloc(1, sizeof *made);
  if (made == NULL)
    exit(EXIT_FAILURE);
  made->name = name;
  return made;
}
#define suite_create(name) tcase_create(name)

#define tcase_add_loop_test(t, test, from, to) stand_in_add(t, #test, test, from, to)
static inline void stand_in_add(TCase *tests, const char *name, void (*function)(int), int first, int end) {
  if (tests->count == STAND_IN_MOST_TESTS)
    exit(EXIT_FAILURE);
  tests->tests[tests->count].name = name;
  tests->tests[tests->count].function = function;
  tests->tests[tests->count].first = first;
  tests->tests[tests->count++].end = end;
}

static inline void srunner_run_all(SRunner *runner, int how) {
  (void)how;
  for (int test = 0; test < runner->count; test++) {
    printf("%s\n", runner->tests[test].name);
    for (int i = runner->tests[test].first; i < runner->tests[test].end; i++)
      runner->tests[test].function(i);
  }
}

#endif
