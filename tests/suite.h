/* What every test in C includes: Check, and how a suite is run. */
#ifndef PP_TEST_SUITE_H
#define PP_TEST_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Check writes to a file where each assertion that holds is, to tell after which one a test crashed: some microseconds,
 * which was most of the time of tests that look at every element of an array. What it says of a crash now names the
 * test alone. */
#define _mark_point(file, line) ((void)0)

/* Runs a suite and takes it away; returns main's exit code. CK_VERBOSITY, CK_FORK, CK_RUN_CASE: as in Check's manual.
 */
static inline int run_suite(Suite *suite) {
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The same for a suite of one test case. */
static inline int run_case(const char *name, TCase *tests) {
  Suite *suite = suite_create(name);
  suite_add_tcase(suite, tests);
  return run_suite(suite);
}

#endif
