/* The accountant against published values and against renyi_oracle.py, which is beside this file. */
#include <math.h>
#include <stdlib.h>

#include "nn/accountant.h"
#include "suite.h"

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
  ck_assert(pp_privacy_epsilon(&privacy, 3) == pp_epsilon_laplace(0.5, 3, 1e-5));
  ck_assert(pp_privacy_epsilon(&privacy, 1000) == pp_epsilon_laplace(0.5, 1000, 1e-5));
  ck_assert(pp_privacy_epsilon(&privacy, 1000) < 500);
  privacy.noise = PP_NOISE_GAUSSIAN;
  ck_assert(pp_privacy_epsilon(&privacy, 0) == 0);
  privacy.noise_multiplier = 0;
  ck_assert(isinf(pp_privacy_epsilon(&privacy, 1)));
}
END_TEST

/* The oracle's integrals. Two terms of size e leave the divergence, about a e^2 / 2 where e is small: 2^-52 / (a e) of
 * it, here at most 3e-14 with e = 0.01. */
START_TEST(a_laplace_divergence_is_the_integral_that_defines_it) {
  static const double cases[][3] = {
      {1.5, 1, 0.512883511294509}, {2, 0.5, 0.200303896173616},   {3, 0.01, 0.000149486369326632},
      {8, 3, 2.91019876293966},    {20, 0.1, 0.0658535730013273}, {64, 10, 9.98912215868097},
  };
  for (size_t at = 0; at < sizeof cases / sizeof *cases; at++)
    expect_near(pp_rdp_laplace(cases[at][0], cases[at][1]), cases[at][2], 1e-13);
}
END_TEST

/* Order 1 is the Kullback-Leibler divergence, e + exp(-e) - 1 (Mironov 2017, proposition 6 and what follows it); as the
 * order grows the divergence approaches e from below: e + log(a / (2a - 1)) / (a - 1) and less than exp(-a e) more. */
START_TEST(a_laplace_divergence_lies_between_its_limits) {
  for (double e = 0.01; e < 100; e *= 2.7) {
    expect_near(pp_rdp_laplace(1 + 1e-7, e), e + expm1(-e), 1e-5);
    double order = 1e8, before = 0;
    expect_near(pp_rdp_laplace(order, e), e + log(order / (2 * order - 1)) / (order - 1), 1e-14);
    for (double a = 1.01; a < 1e6; a *= 1.7) {
      double here = pp_rdp_laplace(a, e);
      ck_assert(here >= before && here <= e);
      before = here;
      /* Shared among elements: never more than in one. */
      ck_assert(pp_rdp_laplace(a, 0.3 * e) + pp_rdp_laplace(a, 0.7 * e) <= here);
    }
  }
}
END_TEST

/* As for Gaussian noise. The exact epsilon of one release is e + 2 log(1 - delta); of two the oracle integrates it. */
START_TEST(the_epsilon_of_laplace_releases_is_between_the_exact_one_and_the_sum) {
  static const struct {
    double epsilon;
    int64_t releases;
    double delta, least, exact; /* 0: not known */
  } cases[] = {
      {1, 1, 1e-5, 0.999979999999998, 0.999979999899999},
      {1, 2, 1e-5, 1.99996000079993, 1.99996},
      {4, 2, 1e-2, 7.96073729302269, 7.95999735931953},
      {0.1, 100, 1e-5, 4.53268277427702, 0.0},
      {0.5, 60, 1e-6, 22.1933640424558, 0.0},
      {0.01, 10000, 1e-5, 4.71826484779042, 0.0},
      {4, 20, 1e-5, 79.3136119746321, 0.0},
      {20, 1000, 1e-9, 19317.5673636397, 0.0},
  };
  for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
    double sum = (double)cases[at].releases * cases[at].epsilon;
    double epsilon = pp_epsilon_laplace(cases[at].epsilon, cases[at].releases, cases[at].delta);
    expect_near(epsilon, cases[at].least < sum ? cases[at].least : sum, 1e-11);
    ck_assert(epsilon > cases[at].exact);
  }
  for (double e = 1e-6; e < 1e6; e *= 31)
    for (int64_t releases = 1; releases < 1000000; releases *= 7)
      for (double delta = 1e-9; delta < 1; delta *= 100) {
        double here = pp_epsilon_laplace(e, releases, delta);
        ck_assert(here >= 0 && here <= (double)releases * e);
        ck_assert(here <= pp_epsilon_laplace(e, releases + 1, delta));
        ck_assert(here <= pp_epsilon_laplace(e * 1.1, releases, delta));
      }
  ck_assert(pp_epsilon_laplace(1, 0, 1e-5) == 0);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("accountant");
  tcase_add_test(tests, a_divergence_is_the_integral_that_defines_it);
  tcase_add_test(tests, published_values_come_out);
  tcase_add_test(tests, the_least_epsilon_is_the_oracles_and_above_the_exact_one);
  tcase_add_test(tests, epsilon_rises_with_releases_and_falls_with_noise_and_delta);
  tcase_add_test(tests, a_laplace_divergence_is_the_integral_that_defines_it);
  tcase_add_test(tests, a_laplace_divergence_lies_between_its_limits);
  tcase_add_test(tests, the_epsilon_of_laplace_releases_is_between_the_exact_one_and_the_sum);
  tcase_add_test(tests, an_experiments_mechanism_is_counted);
  return run_case("accountant", tests);
}
