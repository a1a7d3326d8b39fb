/* Clipping and noise. Draws come from fixed seeds, so nothing here fails by chance; bounds are those that a right
 * generator would exceed for less than one seed in a million. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/privacy.h"
#include "suite.h"

enum { DRAWS = 200000, ELEMENTS = 1001 };
static double draws[DRAWS];

static pp_rng stream(uint32_t device) { return pp_rng_stream(5, PP_RNG_PRIVACY, device, 7, 0); }

static int compare(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

static double distribution(pp_noise noise, double x) {
  if (noise == PP_NOISE_GAUSSIAN)
    return 0.5 * erfc(-x / sqrt(2.0));
  return x < 0 ? 0.5 * exp(x) : 1 - 0.5 * exp(-x);
}

/* Within 5 standard errors; the square has variance 2 (Gaussian, E x^4 = 3) or 20 (Laplace, E x^4 = 24). */
START_TEST(noise_has_its_moments) {
  for (pp_noise noise = PP_NOISE_GAUSSIAN; noise <= PP_NOISE_LAPLACE; noise++) {
    double variance = noise == PP_NOISE_GAUSSIAN ? 1 : 2, of_squares = noise == PP_NOISE_GAUSSIAN ? 2 : 20;
    double sum = 0, squares = 0, products = 0;
    pp_noise_fill(noise, stream(1), 0, 0, DRAWS, draws);
    for (int i = 0; i < DRAWS; i++) {
      sum += draws[i];
      squares += draws[i] * draws[i];
      products += i % 2 == 1 ? draws[i] * draws[i - 1] : 0; /* both of one block */
    }
    ck_assert(fabs(sum / DRAWS) < 5 * sqrt(variance / DRAWS));
    ck_assert(fabs(squares / DRAWS - variance) < 5 * sqrt(of_squares / DRAWS));
    ck_assert(fabs(products / (DRAWS / 2)) < 5 * variance / sqrt(DRAWS / 2.0));
  }
}
END_TEST

/* Kolmogorov's distance exceeds d for a share of at most 2 exp(-2 n d^2) of the seeds (Massart, 1990): 10^-6. */
START_TEST(noise_has_its_distribution) {
  double allowed = sqrt(log(2e6) / (2.0 * DRAWS));
  for (pp_noise noise = PP_NOISE_GAUSSIAN; noise <= PP_NOISE_LAPLACE; noise++) {
    double distance = 0;
    pp_noise_fill(noise, stream(2), 3, 0, DRAWS, draws);
    qsort(draws, DRAWS, sizeof *draws, compare);
    for (int i = 0; i < DRAWS; i++) {
      double expected = distribution(noise, draws[i]);
      distance = fmax(distance, fmax(fabs(expected - (double)i / DRAWS), fabs(expected - (i + 1.0) / DRAWS)));
    }
    ck_assert_msg(distance < allowed, "%g is not below %g", distance, allowed);
  }
}
END_TEST

START_TEST(noise_of_an_element_does_not_depend_on_what_is_asked_with_it) {
  double whole[64], piece[64];
  for (pp_noise noise = PP_NOISE_GAUSSIAN; noise <= PP_NOISE_LAPLACE; noise++) {
    pp_noise_fill(noise, stream(1), 9, 0, 64, whole);
    for (int first = 0; first < 64; first++)
      for (int count = 0; first + count <= 64; count++) {
        memset(piece, 0xff, sizeof piece);
        pp_noise_fill(noise, stream(1), 9, first, count, piece);
        ck_assert_int_eq(memcmp(piece, whole + first, (size_t)count * sizeof *piece), 0);
        ck_assert(count == 64 || isnan(piece[count])); /* nothing beyond */
      }
  }
}
END_TEST

static float start[ELEMENTS], values[ELEMENTS], before[ELEMENTS];

/* values - start has norm `norm`. */
static void make_update(double norm) {
  double square = 0;
  for (int i = 0; i < ELEMENTS; i++) {
    start[i] = (float)sin(i);
    draws[i] = cos(3.0 * i);
    square += draws[i] * draws[i];
  }
  for (int i = 0; i < ELEMENTS; i++)
    values[i] = before[i] = (float)((double)start[i] + norm / sqrt(square) * draws[i]);
}

static void protect(double clip, double deviation, pp_rng rng) {
  double factor = pp_update_factor(pp_update_square(values, start, ELEMENTS), clip);
  pp_update_protect(values, start, (pp_update_place){rng, 0, 0, ELEMENTS}, factor, deviation);
}

/* Floats of size 1 round by at most 2^-24 each: in norm 2^-24 sqrt(n). */
START_TEST(a_clipped_update_has_the_norm_and_its_direction) {
  double rounding = 0x1p-24 * sqrt(ELEMENTS);
  make_update(10);
  protect(2.5, 0, stream(0));
  ck_assert(fabs(sqrt(pp_update_square(values, start, ELEMENTS)) - 2.5) <= rounding);
  for (int i = 0; i < ELEMENTS; i++)
    ck_assert(fabs(((double)values[i] - (double)start[i]) - 0.25 * ((double)before[i] - (double)start[i])) < 2e-7);
}
END_TEST

START_TEST(an_update_within_the_clip_keeps_every_bit_without_noise) {
  make_update(2);
  start[3] = 1e30F;
  values[3] = before[3] = 1e30F;
  values[4] = before[4] = 1e-30F; /* lost in the difference */
  values[5] = before[5] = -0.0F;
  protect(1e30, 0, stream(0));
  ck_assert_int_eq(memcmp(values, before, sizeof values), 0);
}
END_TEST

/* As noise_has_its_moments. */
START_TEST(updates_get_noise_of_the_deviation_asked_for) {
  double squares = 0;
  make_update(1);
  protect(2, 0.5, stream(0));
  for (int i = 0; i < ELEMENTS; i++)
    squares += pow((double)values[i] - (double)before[i], 2);
  ck_assert(fabs(squares / ELEMENTS - 0.25) < 5 * 0.25 * sqrt(2.0 / ELEMENTS));
  float first[ELEMENTS];
  memcpy(first, values, sizeof first);
  make_update(1);
  protect(2, 0.5, stream(1));
  int alike = 0;
  for (int i = 0; i < ELEMENTS; i++)
    alike += first[i] == values[i];
  ck_assert_int_eq(alike, 0); /* another device's */
}
END_TEST

START_TEST(an_update_that_is_not_finite_gives_nothing_but_noise) {
  static const float bad[] = {NAN, INFINITY, -INFINITY};
  float noise[ELEMENTS];
  make_update(0);
  protect(1, 0.5, stream(0));
  memcpy(noise, values, sizeof noise);
  for (int at = 0; at < 3; at++) {
    make_update(3);
    values[17] = bad[at];
    protect(1, 0.5, stream(0));
    ck_assert_int_eq(memcmp(values, noise, sizeof noise), 0);
  }
}
END_TEST

static double norm(const float *x, bool first_power) {
  double sum = 0;
  for (int i = 0; i < ELEMENTS; i++)
    sum += first_power ? fabs((double)x[i]) : (double)x[i] * (double)x[i];
  return first_power ? sum : sqrt(sum);
}

/* Relative rounding of each element is at most 2^-24. Scales of 2e-9 (Laplace) are not seen beside that. */
START_TEST(activations_are_clipped_sample_by_sample_in_the_noises_norm) {
  for (pp_noise noise = PP_NOISE_GAUSSIAN; noise <= PP_NOISE_LAPLACE; noise++) {
    bool laplace = noise == PP_NOISE_LAPLACE;
    pp_privacy_config privacy = {
        .mechanism = PP_PRIVACY_ACTIVATION, .noise = noise, .clip = 8, .epsilon = laplace ? 1e9 : 0};
    float x[2 * ELEMENTS], factors[2], gradient[2 * ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) {
      x[i] = 3.0F * (float)cos(i);
      x[ELEMENTS + i] = 1e-3F * (float)cos(i);
      gradient[i] = gradient[ELEMENTS + i] = (float)i;
    }
    double large = norm(x, laplace), small = norm(x + ELEMENTS, laplace);
    pp_activation_protect(&privacy, stream(0), 0, 2, ELEMENTS, x, factors);
    ck_assert(fabs(norm(x, laplace) - 8) < 8 * 1e-6 && fabs(norm(x + ELEMENTS, laplace) - small) < 1e-4 * small);
    ck_assert(fabs((double)factors[0] - 8 / large) < 1e-7 && factors[1] == 1.0F);
    pp_activation_gradient(2, ELEMENTS, factors, gradient);
    ck_assert(gradient[1000] == factors[0] * 1000.0F && gradient[ELEMENTS + 1000] == 1000.0F);
  }
}
END_TEST

/* 5 standard errors, as above; scale 2C / epsilon or z x 2C. */
START_TEST(activations_get_noise_scaled_to_twice_the_clip) {
  for (pp_noise noise = PP_NOISE_GAUSSIAN; noise <= PP_NOISE_LAPLACE; noise++) {
    pp_privacy_config privacy = {.noise = noise, .clip = 3};
    if (noise == PP_NOISE_LAPLACE)
      privacy.epsilon = 4;
    else
      privacy.noise_multiplier = 0.25;
    float x[ELEMENTS] = {0}, factor;
    pp_activation_protect(&privacy, stream(0), 0, 1, ELEMENTS, x, &factor);
    double variance = (noise == PP_NOISE_LAPLACE ? 2 : 1) * 1.5 * 1.5, of_squares = noise == PP_NOISE_LAPLACE ? 5 : 2;
    ck_assert(fabs(pow(norm(x, false), 2) / ELEMENTS - variance) < 5 * variance * sqrt(of_squares / ELEMENTS));
    ck_assert(factor == 1.0F);
  }
}
END_TEST

START_TEST(a_sample_gets_the_same_noise_in_whatever_micro_batch_it_comes) {
  pp_privacy_config privacy = {.noise = PP_NOISE_LAPLACE, .clip = 3, .epsilon = 4};
  enum { SAMPLES = 7, WIDE = 301 };
  float whole[SAMPLES * WIDE], cut[SAMPLES * WIDE], factors[SAMPLES];
  for (int i = 0; i < SAMPLES * WIDE; i++)
    whole[i] = cut[i] = (float)sin(i);
  pp_activation_protect(&privacy, stream(0), 0, SAMPLES, WIDE, whole, factors);
  for (int first = 0; first < SAMPLES; first += 3) {
    int samples = SAMPLES - first < 3 ? SAMPLES - first : 3;
    pp_activation_protect(&privacy, stream(0), first, samples, WIDE, cut + first * WIDE, factors);
  }
  ck_assert_int_eq(memcmp(whole, cut, sizeof whole), 0);
  ck_assert(whole[0] != whole[WIDE]);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("privacy");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, noise_has_its_moments);
  tcase_add_test(tests, noise_has_its_distribution);
  tcase_add_test(tests, noise_of_an_element_does_not_depend_on_what_is_asked_with_it);
  tcase_add_test(tests, a_clipped_update_has_the_norm_and_its_direction);
  tcase_add_test(tests, an_update_within_the_clip_keeps_every_bit_without_noise);
  tcase_add_test(tests, updates_get_noise_of_the_deviation_asked_for);
  tcase_add_test(tests, an_update_that_is_not_finite_gives_nothing_but_noise);
  tcase_add_test(tests, activations_are_clipped_sample_by_sample_in_the_noises_norm);
  tcase_add_test(tests, activations_get_noise_scaled_to_twice_the_clip);
  tcase_add_test(tests, a_sample_gets_the_same_noise_in_whatever_micro_batch_it_comes);
  return run_case("privacy", tests);
}
