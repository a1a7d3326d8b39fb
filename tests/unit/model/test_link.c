/* Links against a second opinion that lets the bits pass one nanosecond at a time. */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "model/link.h"
#include "suite.h"

static pp_link must_link(const pp_rate_trace *trace) {
  pp_link link;
  pp_status status = pp_link_init(&link, trace, "uplink");
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return link;
}

static int64_t rate_at(const pp_rate_trace *trace, int64_t time) {
  if (trace->period_ns > 0)
    time %= trace->period_ns;
  int64_t rate = 0;
  for (int step = 0; step < trace->count && trace->steps[step].start_ns <= time; step++)
    rate = trace->steps[step].rate_bps;
  return rate;
}

static int64_t finish_by_the_nanosecond(const pp_rate_trace *trace, int64_t start, int64_t bytes) {
  pp_int128 left = (pp_int128)bytes * 8 * 1000000000;
  int64_t time = start;
  while (left > 0)
    left -= rate_at(trace, time++);
  return time;
}

START_TEST(a_constant_rate_takes_bits_over_rate_rounded_up) {
  pp_rate_step step = {0, 10000000};
  pp_rate_trace trace = {1, &step, 0};
  pp_link link = must_link(&trace);
  ck_assert(pp_link_is_constant(&link));
  ck_assert_int_eq(pp_link_finish(&link, 0, 1250000), 1000000000);
  ck_assert_int_eq(pp_link_finish(&link, 7, 1), 807);
  step.rate_bps = 3;
  ck_assert_int_eq(pp_link_finish(&link, 0, 1), 2666666667);
  step.rate_bps = INT64_C(1000000000000000000); /* faster than a byte a nanosecond: still one nanosecond */
  ck_assert_int_eq(pp_link_finish(&link, 5, 1), 6);
  pp_link_fini(&link);
}
END_TEST

START_TEST(a_rate_that_falls_during_a_transfer_prolongs_it) {
  pp_rate_step steps[] = {{0, 10000000}, {2500000000, 5000000}};
  pp_rate_trace trace = {2, steps, 0};
  pp_link link = must_link(&trace);
  ck_assert(!pp_link_is_constant(&link));
  ck_assert_int_eq(pp_link_finish(&link, 2000000000, 1250000), 3500000000);
  ck_assert_int_eq(pp_link_finish(&link, 8700000000, 125000), 8900000000);
  /* Exactly used up when the step comes. */
  ck_assert_int_eq(pp_link_finish(&link, 1500000000, 1250000), 2500000000);
  pp_link_fini(&link);
}
END_TEST

START_TEST(nothing_passes_during_an_outage) {
  pp_rate_step steps[] = {{0, 8000000000}, {10, 0}, {1000, 8000000000}};
  pp_rate_trace trace = {3, steps, 0};
  pp_link link = must_link(&trace);
  ck_assert_int_eq(pp_link_finish(&link, 0, 10), 10); /* the last byte passes just before it */
  ck_assert_int_eq(pp_link_finish(&link, 0, 11), 1001);
  ck_assert_int_eq(pp_link_finish(&link, 10, 1), 1001);
  ck_assert_int_eq(pp_link_finish(&link, 500, 1), 1001);
  pp_link_fini(&link);
}
END_TEST

START_TEST(a_trace_that_loops_is_followed_over_any_number_of_periods) {
  pp_rate_step steps[] = {{0, 8000000000}, {3, 0}};
  pp_rate_trace trace = {2, steps, 10};
  pp_link link = must_link(&trace); /* three bytes in every 10 ns */
  ck_assert_int_eq(pp_link_finish(&link, 0, 3), 3);
  ck_assert_int_eq(pp_link_finish(&link, 0, 4), 11);
  ck_assert_int_eq(pp_link_finish(&link, 9, 1), 11);
  ck_assert_int_eq(pp_link_finish(&link, 0, 3 * INT64_C(100000000000000000)), INT64_C(999999999999999993));
  pp_link_fini(&link);
}
END_TEST

/* Rates around a byte a nanosecond, so that a transfer takes few of them. */
START_TEST(random_traces_agree_with_counting_nanoseconds) {
  enum { most_steps = 6, transfers = 20 };
  pp_rng rng = pp_rng_stream(1, PP_RNG_SYNTHETIC, 0, 0, 0);
  for (uint64_t which = 0; which < 3000; which++) {
    uint64_t draw = 0;
    pp_rate_step steps[most_steps];
    int count = 1 + (int)pp_rng_below(rng, which, draw++, most_steps);
    int64_t start = 0;
    for (int step = 0; step < count; step++) {
      bool outage = pp_rng_below(rng, which, draw++, 3) == 0;
      steps[step] = (pp_rate_step){start, outage ? 0 : 1 + (int64_t)pp_rng_below(rng, which, draw++, 20000000000)};
      start += 1 + (int64_t)pp_rng_below(rng, which, draw++, 12);
    }
    pp_rate_trace trace = {count, steps, pp_rng_below(rng, which, draw++, 2) == 0 ? start : 0};
    steps[trace.period_ns == 0 ? count - 1 : 0].rate_bps += 1000000000;
    pp_link link = must_link(&trace);
    for (int transfer = 0; transfer < transfers; transfer++) {
      int64_t from = (int64_t)pp_rng_below(rng, which, draw++, 100);
      int64_t bytes = 1 + (int64_t)pp_rng_below(rng, which, draw++, 60);
      ck_assert_int_eq(pp_link_finish(&link, from, bytes), finish_by_the_nanosecond(&trace, from, bytes));
    }
    pp_link_fini(&link);
  }
}
END_TEST

START_TEST(what_ends_beyond_int64_never_ends) {
  pp_rate_step steps[] = {{0, 1}, {1, 1}};
  pp_rate_trace constant = {1, steps, 0}, trace = {2, steps, 0}, loop = {2, steps, 2};
  const pp_rate_trace *traces[] = {&constant, &trace, &loop};
  for (int which = 0; which < 3; which++) {
    pp_link link = must_link(traces[which]);
    ck_assert_int_eq(pp_link_finish(&link, 0, INT64_MAX), PP_NS_NEVER);
    ck_assert_int_eq(pp_link_finish(&link, INT64_MAX - 1, 1), PP_NS_NEVER);
    ck_assert_int_eq(pp_link_finish(&link, 0, 1000000000), INT64_C(8000000000000000000));
    ck_assert_int_eq(pp_link_finish(&link, 0, 2000000000), PP_NS_NEVER);
    pp_link_fini(&link);
  }
}
END_TEST

START_TEST(traces_that_make_no_sense_are_refused) {
  pp_rate_step late[] = {{1, 10}}, negative[] = {{0, -1}}, disorder[] = {{0, 1}, {5, 2}, {5, 3}},
               dead[] = {{0, 5}, {9, 0}}, zero[] = {{0, 0}, {5, 0}};
  const struct {
    pp_rate_trace trace;
    const char *says;
  } cases[] = {{{0, NULL, 0}, "no steps"},
               {{1, late, 0}, "must start at 0"},
               {{1, negative, 0}, "not be negative"},
               {{3, disorder, 0}, "times must increase"},
               {{2, dead, 0}, "must end above 0"},
               {{2, dead, 9}, "must be later than its last step"},
               {{2, zero, 10}, "above 0 somewhere"}};
  for (size_t which = 0; which < sizeof cases / sizeof cases[0]; which++) {
    pp_link link;
    pp_status status = pp_link_init(&link, &cases[which].trace, "devices.0.network.up");
    ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
    ck_assert_ptr_nonnull(strstr(pp_error_message(status), cases[which].says));
    ck_assert_ptr_nonnull(strstr(pp_error_message(status), "devices.0.network.up"));
    pp_error_free(status);
  }
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("link");
  tcase_add_test(tests, a_constant_rate_takes_bits_over_rate_rounded_up);
  tcase_add_test(tests, a_rate_that_falls_during_a_transfer_prolongs_it);
  tcase_add_test(tests, nothing_passes_during_an_outage);
  tcase_add_test(tests, a_trace_that_loops_is_followed_over_any_number_of_periods);
  tcase_add_test(tests, random_traces_agree_with_counting_nanoseconds);
  tcase_add_test(tests, what_ends_beyond_int64_never_ends);
  tcase_add_test(tests, traces_that_make_no_sense_are_refused);
  return run_case("link", tests);
}
