/* Sharing the server's link, against a second opinion that lets the bits pass one nanosecond at a time. */
#include <stdlib.h>

#include "base/rng.h"
#include "suite.h"
#include "timeline/fair.h"

enum { MOST_FLOWS = 6, MOST_STEPS = 4 };

typedef struct trace {
  pp_rate_step steps[MOST_STEPS];
  pp_rate_trace trace;
  pp_link link;
} trace;

static void must_init(trace *t) {
  pp_status status = pp_link_init(&t->link, &t->trace, "a link");
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
}

static void make_constant(trace *t, int64_t rate_bps) {
  t->steps[0] = (pp_rate_step){0, rate_bps};
  t->trace = (pp_rate_trace){1, t->steps, 0};
  must_init(t);
}

static int64_t ends[MOST_FLOWS];

/* Runs transfers that start at given times to their ends. */
static void run(const pp_link *shared, int count, const trace *own, const int64_t *starts, const int64_t *bytes) {
  pp_fair fair;
  pp_status status = pp_fair_init(&fair, shared, count);
  ck_assert(status == NULL);
  int ended = 0, started = 0;
  while (ended < count) {
    int64_t next = pp_fair_next(&fair), id;
    for (int flow = 0; flow < count; flow++)
      if (starts[flow] >= fair.now_ns && starts[flow] < next && started < count) {
        bool begun = false;
        for (int other = 0; other < fair.count; other++)
          begun = begun || fair.flows[other].id == flow;
        if (!begun && ends[flow] < 0)
          next = starts[flow];
      }
    ck_assert_int_lt(next, PP_NS_NEVER);
    pp_fair_advance(&fair, next);
    while (pp_fair_take(&fair, &id)) {
      ends[id] = next;
      ended++;
    }
    for (int flow = 0; flow < count; flow++) {
      bool begun = ends[flow] >= 0;
      for (int other = 0; other < fair.count; other++)
        begun = begun || fair.flows[other].id == flow;
      if (starts[flow] == next && !begun) {
        pp_fair_start(&fair, flow, &own[flow].link, bytes[flow]);
        started++;
      }
    }
  }
  pp_fair_fini(&fair);
}

static void forget(void) {
  for (int flow = 0; flow < MOST_FLOWS; flow++)
    ends[flow] = -1;
}

START_TEST(two_equal_transfers_have_half_each) {
  trace shared, own[2];
  make_constant(&shared, 10000000);
  make_constant(&own[0], 100000000);
  make_constant(&own[1], 100000000);
  forget();
  run(&shared.link, 2, own, (int64_t[]){0, 0}, (int64_t[]){1250000, 1250000});
  ck_assert_int_eq(ends[0], 2000000000);
  ck_assert_int_eq(ends[1], 2000000000);
  forget(); /* the second begins at half time of the first: 0.5 s alone, then shared */
  run(&shared.link, 2, own, (int64_t[]){0, 500000000}, (int64_t[]){1250000, 1250000});
  ck_assert_int_eq(ends[0], 1500000000);
  ck_assert_int_eq(ends[1], 2000000000);
  pp_link_fini(&shared.link);
  pp_link_fini(&own[0].link);
  pp_link_fini(&own[1].link);
}
END_TEST

START_TEST(who_is_slower_than_its_share_leaves_the_rest_to_others) {
  trace shared, own[3];
  make_constant(&shared, 10000000);
  make_constant(&own[0], 2000000);
  make_constant(&own[1], 9000000);
  make_constant(&own[2], 9000000);
  forget(); /* 2, 4 and 4 Mbit/s; when the first two bytes' worth is done at 1 s, the third alone has its own 9 */
  run(&shared.link, 3, own, (int64_t[]){0, 0, 0}, (int64_t[]){250000, 500000, 1625000});
  ck_assert_int_eq(ends[0], 1000000000);
  ck_assert_int_eq(ends[1], 1000000000);
  ck_assert_int_eq(ends[2], 2000000000);
  pp_link_fini(&shared.link);
  for (int flow = 0; flow < 3; flow++)
    pp_link_fini(&own[flow].link);
}
END_TEST

START_TEST(a_transfer_that_is_given_up_leaves_its_rate_at_once) {
  trace shared, own;
  int64_t id;
  make_constant(&shared, 8000000);
  make_constant(&own, 100000000);
  pp_fair fair;
  ck_assert(pp_fair_init(&fair, &shared.link, 2) == NULL);
  pp_fair_start(&fair, 0, &own.link, 1000000); /* 0.5 s at half the rate, then alone: 0.75 of it left */
  pp_fair_start(&fair, 1, &own.link, 1000000);
  pp_fair_advance(&fair, 500000000);
  ck_assert(!pp_fair_take(&fair, &id));
  pp_fair_stop(&fair, 1);
  ck_assert_int_eq(pp_fair_next(&fair), 1250000000);
  pp_fair_advance(&fair, 1250000000);
  ck_assert(pp_fair_take(&fair, &id));
  ck_assert_int_eq(id, 0);
  ck_assert_int_eq(pp_fair_next(&fair), PP_NS_NEVER);
  pp_fair_fini(&fair);
  pp_link_fini(&shared.link);
  pp_link_fini(&own.link);
}
END_TEST

static int64_t rate_at(const trace *t, int64_t time) {
  if (t->trace.period_ns > 0)
    time %= t->trace.period_ns;
  int64_t rate = 0;
  for (int step = 0; step < t->trace.count && t->steps[step].start_ns <= time; step++)
    rate = t->steps[step].rate_bps;
  return rate;
}

/* The highest level at which all wishes, cut off there, still fit; what does not divide goes bit by bit to those who
 * could use more, the largest wishes first (ties: the higher number). */
static void fill(int64_t capacity, int count, const int64_t *wishes, int64_t *rates) {
  int64_t low = 0, high = capacity + 1, sum = 0;
  while (high - low > 1) {
    int64_t level = low + (high - low) / 2;
    sum = 0;
    for (int flow = 0; flow < count; flow++)
      sum += wishes[flow] < level ? wishes[flow] : level;
    if (sum <= capacity)
      low = level;
    else
      high = level;
  }
  sum = 0;
  for (int flow = 0; flow < count; flow++) {
    rates[flow] = wishes[flow] < low ? wishes[flow] : low;
    sum += rates[flow];
  }
  for (int64_t rest = capacity - sum; rest > 0; rest--) {
    int best = -1;
    for (int flow = 0; flow < count; flow++)
      if (rates[flow] == low && wishes[flow] > low && (best < 0 || wishes[flow] >= wishes[best]))
        best = flow;
    if (best < 0)
      return;
    rates[best]++;
  }
}

static void check_by_the_nanosecond(const trace *shared, int count, const trace *own, const int64_t *starts,
                                    const int64_t *bytes) {
  pp_int128 left[MOST_FLOWS];
  int64_t wishes[MOST_FLOWS], rates[MOST_FLOWS];
  int over = 0;
  for (int flow = 0; flow < count; flow++)
    left[flow] = (pp_int128)bytes[flow] * 8 * 1000000000;
  for (int64_t time = 0; over < count; time++) {
    for (int flow = 0; flow < count; flow++)
      wishes[flow] = starts[flow] <= time && left[flow] > 0 ? rate_at(&own[flow], time) : 0;
    fill(rate_at(shared, time), count, wishes, rates);
    for (int flow = 0; flow < count; flow++) {
      bool before = left[flow] > 0;
      left[flow] -= rates[flow];
      if (before && left[flow] <= 0) {
        ck_assert_msg(ends[flow] == time + 1, "transfer %d ends at %lld, not at %lld", flow, (long long)ends[flow],
                      (long long)time + 1);
        over++;
      }
    }
  }
}

static int64_t draw(uint64_t *drawn, int64_t below) {
  return (int64_t)pp_rng_below(pp_rng_stream(7, PP_RNG_SYNTHETIC, 0, 0, 0), (*drawn)++, 0, (uint64_t)below);
}

static void make_random(trace *t, uint64_t *rng) {
  int count = 1 + (int)draw(rng, MOST_STEPS);
  int64_t time = 0;
  for (int step = 0; step < count; step++) {
    int64_t rate = draw(rng, 4) == 0 && step + 1 < count ? 0 : 100000000 + draw(rng, 1000000000);
    t->steps[step] = (pp_rate_step){time, rate};
    time += 1 + draw(rng, 200);
  }
  t->trace = (pp_rate_trace){count, t->steps, draw(rng, 2) == 0 ? time : 0};
  must_init(t);
}

START_TEST(random_transfers_end_when_the_last_of_their_bits_has_passed) {
  uint64_t rng = 0;
  for (int turn = 0; turn < 400; turn++) {
    trace shared, own[MOST_FLOWS];
    int64_t starts[MOST_FLOWS], bytes[MOST_FLOWS];
    int count = 1 + (int)draw(&rng, MOST_FLOWS);
    make_random(&shared, &rng);
    for (int flow = 0; flow < count; flow++) {
      make_random(&own[flow], &rng);
      starts[flow] = draw(&rng, 300);
      bytes[flow] = 1 + draw(&rng, 40);
    }
    forget();
    run(&shared.link, count, own, starts, bytes);
    check_by_the_nanosecond(&shared, count, own, starts, bytes);
    pp_link_fini(&shared.link);
    for (int flow = 0; flow < count; flow++)
      pp_link_fini(&own[flow].link);
  }
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("fair");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, two_equal_transfers_have_half_each);
  tcase_add_test(tests, who_is_slower_than_its_share_leaves_the_rest_to_others);
  tcase_add_test(tests, a_transfer_that_is_given_up_leaves_its_rate_at_once);
  tcase_add_test(tests, random_transfers_end_when_the_last_of_their_bits_has_passed);
  return run_case("fair", tests);
}
