#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/time.h"
#include "suite.h"

static pp_status fails_inside(void) {
  PP_TRY(NULL);
  PP_TRY(pp_fail(PP_CODE_INPUT, "value %d is not allowed", 7));
  ck_abort_msg("PP_TRY did not return");
  return NULL;
}

START_TEST(an_error_carries_its_code_and_message) {
  pp_status status = fails_inside();
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  ck_assert_str_eq(pp_error_message(status), "value 7 is not allowed");
  pp_error_free(status);
  ck_assert_int_eq(pp_error_code(NULL), PP_CODE_OK);
  ck_assert_str_eq(pp_error_message(NULL), "");
}
END_TEST

START_TEST(the_first_of_two_failures_is_kept) {
  pp_status status = pp_status_first(pp_fail(PP_CODE_RUN, "a"), pp_fail(PP_CODE_RUN, "b"));
  ck_assert_str_eq(pp_error_message(status), "a");
  pp_error_free(status);
  status = pp_status_first(NULL, pp_fail(PP_CODE_RUN, "b"));
  ck_assert_str_eq(pp_error_message(status), "b");
  pp_error_free(status);
}
END_TEST

START_TEST(memory_is_aligned_and_zeroed_and_overflow_is_an_error) {
  float *x = NULL;
  ck_assert_ptr_null(pp_alloc(1000, sizeof *x, "x", &x));
  ck_assert_uint_eq((uintptr_t)x % PP_ALIGNMENT, 0);
  for (int i = 0; i < 1000; i++)
    ck_assert(x[i] == 0.0F);
  free(x);
  x = NULL;
  pp_status status = pp_alloc(SIZE_MAX / 2, 16, "the impossible", &x);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_RUN);
  ck_assert_ptr_null(x);
  pp_error_free(status);
}
END_TEST

/* Known answers of Philox4x32-10 from Random123's kat_vectors: counter and key of zeros, and of ones. */
START_TEST(philox_gives_the_published_words) {
  uint32_t words[4];
  pp_rng_words((pp_rng){{0, 0}}, 0, 0, words);
  ck_assert_uint_eq(words[0], 0x6627e8d5U);
  ck_assert_uint_eq(words[1], 0xe169c58dU);
  ck_assert_uint_eq(words[2], 0xbc57ac4cU);
  ck_assert_uint_eq(words[3], 0x9b00dbd8U);
  pp_rng_words((pp_rng){{UINT32_MAX, UINT32_MAX}}, UINT64_MAX, UINT64_MAX, words);
  ck_assert_uint_eq(words[0], 0x408f276dU);
  ck_assert_uint_eq(words[1], 0x41c83b0eU);
  ck_assert_uint_eq(words[2], 0xa20bc7c6U);
  ck_assert_uint_eq(words[3], 0x6d5451fdU);
}
END_TEST

START_TEST(streams_differ_in_every_index) {
  pp_rng base = pp_rng_stream(1, PP_RNG_INIT, 2, 3, 4);
  pp_rng others[] = {pp_rng_stream(2, PP_RNG_INIT, 2, 3, 4), pp_rng_stream(1, PP_RNG_SHUFFLE, 2, 3, 4),
                     pp_rng_stream(1, PP_RNG_INIT, 3, 3, 4), pp_rng_stream(1, PP_RNG_INIT, 2, 4, 4),
                     pp_rng_stream(1, PP_RNG_INIT, 2, 3, 5)};
  for (size_t other = 0; other < sizeof others / sizeof others[0]; other++)
    ck_assert(pp_rng_word(base, 0, 0) != pp_rng_word(others[other], 0, 0));
}
END_TEST

/* 20,000 draws: mean within 5 standard errors, i.e. 5 x sigma / sqrt(20,000). */
START_TEST(uniform_and_normal_have_their_moments) {
  enum { draws = 20000 };
  pp_rng rng = pp_rng_stream(1994, PP_RNG_SYNTHETIC, 0, 0, 0);
  double uniform = 0, normal = 0, square = 0;
  for (uint64_t draw = 0; draw < draws; draw++) {
    double u = pp_rng_uniform(rng, 1, draw);
    ck_assert(u >= 0.0 && u < 1.0);
    uniform += u;
    double z = pp_rng_normal(rng, 2, draw);
    normal += z;
    square += z * z;
    ck_assert_uint_lt(pp_rng_below(rng, 3, draw, 7), 7);
  }
  double root = sqrt((double)draws);
  ck_assert(fabs(uniform / draws - 0.5) < 5 * sqrt(1.0 / 12) / root);
  ck_assert(fabs(normal / draws) < 5 / root);
  ck_assert(fabs(square / draws - 1) < 5 * sqrt(2.0) / root);
}
END_TEST

START_TEST(seconds_round_to_the_nearest_nanosecond) {
  pp_ns ns = -1;
  ck_assert_ptr_null(pp_ns_from_seconds(0.1, "x", &ns));
  ck_assert_int_eq(ns, 100000000);
  ck_assert_ptr_null(pp_ns_from_seconds(2.5e-9, "x", &ns));
  ck_assert_int_eq(ns, 3);
  const double bad[] = {-1, NAN, INFINITY, 1e12};
  for (int i = 0; i < 4; i++) {
    pp_status status = pp_ns_from_seconds(bad[i], "x", &ns);
    ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
    pp_error_free(status);
  }
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("base");
  tcase_add_test(tests, an_error_carries_its_code_and_message);
  tcase_add_test(tests, the_first_of_two_failures_is_kept);
  tcase_add_test(tests, memory_is_aligned_and_zeroed_and_overflow_is_an_error);
  tcase_add_test(tests, philox_gives_the_published_words);
  tcase_add_test(tests, streams_differ_in_every_index);
  tcase_add_test(tests, uniform_and_normal_have_their_moments);
  tcase_add_test(tests, seconds_round_to_the_nearest_nanosecond);
  return run_case("base", tests);
}
