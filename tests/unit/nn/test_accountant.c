/* The accountant against published values and against renyi_oracle.py, which is beside this file. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "nn/accountant.h"

static void expect_near(double value, double expected, double relative) {
  ck_assert_msg(fabs(value - expected) <= relative * fabs(expected), "%.15g is not %.15g", value, expected);
}

/* The oracle's integrals, printed with 15 digits. */
START_TEST(a_divergence_is_the_integral_that_defines_it) {
  static const double cases[][3] = {
      {1.5, 1, 0.75}, {2, 0.5, 4.0}, {8, 3, 0.444444444444444}, {20, 10, 0.1}, {64, 2.5, 5.12}};
  for (size_t at = 0; at < sizeof cases / sizeof *cases; at++)
    expect_near(pp_rdp_gaussian(cases[at][0], cases[at][1]), cases[at][2], 3e-15);
}
END_TEST

/* tensorflow/privacy, tensorflow_privacy/privacy/analysis/rdp_accountant_test.py: test_compute_rdp_no_sampling and
 * test_get_privacy_spent_check_target_delta, with the digits and places given there. The same values stand in
 * google/differential-privacy, rdp_privacy_accountant_test.py. */
START_TEST(published_values_come_out) {
  expect_near(pp_rdp_gaussian(20, 10), 0.1, 1e-15);
  double least = (double)INFINITY;
  for (int order = 2; order <= 32; order++) {
    double epsilon = pp_rdp_epsilon(order, 1.1, 1e-5);
    least = epsilon < least ? epsilon : least;
  }
  ck_assert(fabs(least - 1.32783806176) < 5e-12);
  ck_assert(fabs(pp_epsilon_gaussian(4.530877117, 1, 1e-6) - 1) < 5e-8);
}
END_TEST

/* A flat minimum, found to 1e-9 of its order's logarithm, is off by far less than 1e-12 of itself; the oracle's numbers
 * have 15 digits. No bound may be below the exact epsilon (Balle and Wang, ICML 2018, theorem 8). */
START_TEST(the_least_epsilon_is_the_oracles_and_above_the_exact_one) {
  static const struct {
    double multiplier;
    int64_t releases;
    double delta, least, exact;
  } cases[] = {
      {1, 1, 1e-5, 4.72838698494331, 4.37717809568122},
      {1, 2, 1e-5, 7.07719669580634, 6.57297006703033},
      {1, 100, 1e-5, 96.0352706751731, 91.8172896246637},
      {10, 100, 1e-5, 4.72838698494331, 4.37717809568122},
      {0.5, 7, 1e-6, 40.415274262364, 38.4412319772024},
      {50, 1, 1e-3, 0.0330943415892039, 0.0252317491499588},
      {4.530877117, 1, 1e-6, 1.00000000000861, 0.927392337997443},
      {3, 1000, 1e-9, 121.662180978769, 117.987240035529},
  };
  for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
    double epsilon = pp_epsilon_gaussian(cases[at].multiplier, cases[at].releases, cases[at].delta);
    expect_near(epsilon, cases[at].least, 1e-12);
    ck_assert(epsilon > cases[at].exact);
  }
}
END_TEST

START_TEST(epsilon_rises_with_releases_and_falls_with_noise_and_delta) {
  for (double z = 0.01; z < 1e5; z *= 3)
    for (int64_t releases = 1; releases < 1000000; releases *= 7) {
      double here = pp_epsilon_gaussian(z, releases, 1e-5);
      ck_assert(isfinite(here) && here >= 0);
      ck_assert(here <= pp_epsilon_gaussian(z, releases + 1, 1e-5));
      ck_assert(here >= pp_epsilon_gaussian(z * 1.1, releases, 1e-5));
      ck_assert(here >= pp_epsilon_gaussian(z, releases, 1e-4));
    }
}
END_TEST

START_TEST(an_experiments_mechanism_is_counted) {
  pp_privacy_config privacy = {.clip = 1, .noise_multiplier = 1, .delta = 1e-5, .epsilon = 0.5};
  ck_assert(isnan(pp_privacy_epsilon(&privacy, 3)));
  privacy.mechanism = PP_PRIVACY_DP_FEDAVG;
  expect_near(pp_privacy_epsilon(&privacy, 2), 7.07719669580634, 1e-12);
  privacy.noise = PP_NOISE_LAPLACE; /* of no use to it */
  expect_near(pp_privacy_epsilon(&privacy, 2), 7.07719669580634, 1e-12);
  privacy.mechanism = PP_PRIVACY_ACTIVATION;
  ck_assert(pp_privacy_epsilon(&privacy, 3) == 1.5);
  privacy.noise = PP_NOISE_GAUSSIAN;
  ck_assert(pp_privacy_epsilon(&privacy, 0) == 0);
  privacy.noise_multiplier = 0;
  ck_assert(isinf(pp_privacy_epsilon(&privacy, 1)));
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("accountant");
  tcase_add_test(tests, a_divergence_is_the_integral_that_defines_it);
  tcase_add_test(tests, published_values_come_out);
  tcase_add_test(tests, the_least_epsilon_is_the_oracles_and_above_the_exact_one);
  tcase_add_test(tests, epsilon_rises_with_releases_and_falls_with_noise_and_delta);
  tcase_add_test(tests, an_experiments_mechanism_is_counted);
  Suite *suite = suite_create("accountant");
  suite_add_tcase(suite, tests);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
