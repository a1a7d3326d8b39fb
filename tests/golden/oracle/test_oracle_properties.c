/* The oracle against closed forms, lower bounds and what must hold for every scenario. */
#include <stdlib.h>
#include <string.h>

#include "oracle_bounds.h"
#include "oracle_shrink.h"
#include "suite.h"

__extension__ typedef __int128 wide;

enum { random_cases = 4000 };

static int64_t total(const oracle_times *times) {
  int64_t sum = times->busy;
  for (int cause = 0; cause < ORACLE_CAUSE_COUNT; cause++) {
    ck_assert_int_ge(times->causes[cause], 0);
    sum += times->causes[cause];
  }
  return sum;
}

START_TEST(busy_and_causes_add_up_to_the_makespan) {
  for (uint64_t seed = 0; seed < random_cases; seed++) {
    oracle_case c;
    case_random(seed, CASE_EVERY_METHOD, CASE_EVERY_POLICY, &c);
    oracle_result result = case_run(&c);
    int64_t device_idle = 0, server_idle = 0, round_device_idle = 0, round_server_idle = 0;
    for (int device = 0; device < c.device_count; device++) {
      ck_assert_int_eq(total(&result.devices[device]), result.makespan);
      ck_assert_int_eq(result.devices[device].busy + result.devices[device].idle, result.makespan);
      device_idle += result.devices[device].idle;
    }
    for (int slot = 0; slot < c.slots; slot++) {
      ck_assert_int_eq(total(&result.slots[slot]), result.makespan);
      server_idle += result.slots[slot].idle;
    }
    for (int round = 0; round < result.round_count; round++) {
      round_device_idle += result.rounds[round].device_idle;
      round_server_idle += result.rounds[round].server_idle;
    }
    /* Only in sl can something (an update) go on after the last round's end. */
    if (c.method != ORACLE_SL) {
      ck_assert_int_eq(result.rounds[result.round_count - 1].end, result.makespan);
      ck_assert_int_eq(round_device_idle, device_idle);
      ck_assert_int_eq(round_server_idle, server_idle);
    }
    oracle_release(&result);
  }
}
END_TEST

static bool is_transfer_kind(oracle_kind kind) {
  return kind == ORACLE_UPLOAD || kind == ORACLE_DOWNLOAD || kind == ORACLE_MODEL_UPLOAD ||
         kind == ORACLE_MODEL_DOWNLOAD;
}

/* Which link or compute unit a stage occupies, as a number. */
static int resource_of(const oracle_case *c, const oracle_stage *stage) {
  if (stage->slot >= 0)
    return stage->slot;
  int base = c->slots + 3 * stage->device;
  if (!is_transfer_kind(stage->kind))
    return base;
  bool up = stage->kind == ORACLE_UPLOAD || stage->kind == ORACLE_MODEL_UPLOAD;
  return base + (up || c->classes[c->class_of[stage->device]].half_duplex ? 1 : 2);
}

START_TEST(no_resource_does_two_things_at_once_nor_more_than_the_makespan) {
  for (uint64_t seed = 0; seed < random_cases; seed++) {
    oracle_case c;
    case_random(seed, CASE_EVERY_METHOD, CASE_EVERY_POLICY, &c);
    oracle_result result = case_run(&c);
    int64_t free_from[CASE_DEVICES + 3 * CASE_DEVICES] = {0};
    int64_t occupied[CASE_DEVICES + 3 * CASE_DEVICES] = {0};
    int64_t slot_work = 0;
    bool *done = calloc((size_t)result.stage_count, sizeof *done);
    for (int round = 0; round < result.stage_count; round++) {
      int first = -1; /* the next to start, of all */
      for (int stage = 0; stage < result.stage_count; stage++)
        if (!done[stage] && (first < 0 || result.stages[stage].start < result.stages[first].start))
          first = stage;
      const oracle_stage *at = &result.stages[first];
      done[first] = true;
      int resource = resource_of(&c, at);
      ck_assert_int_gt(at->end, at->start);
      ck_assert_int_ge(at->start, at->ready);
      ck_assert_int_ge(at->start, free_from[resource]);
      free_from[resource] = at->end;
      occupied[resource] += at->end - at->start;
      if (at->slot >= 0)
        slot_work += at->end - at->start;
    }
    for (int resource = 0; resource < c.slots + 3 * c.device_count; resource++)
      ck_assert_int_le(occupied[resource], result.makespan);
    ck_assert_int_le(slot_work, result.makespan * c.slots);
    free(done);
    oracle_release(&result);
  }
}
END_TEST

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

/* As drawn, but with all devices there all the time and nobody left behind. */
static void let_all_stay(oracle_case *c) {
  c->deadline = 0;
  c->min_devices = 0;
  c->presence = c->presence && c->shared;
  for (int class = 0; class < c->class_count; class ++) {
    case_class *at = &c->classes[class];
    at->arrives = at->departs = 0;
    at->dropout_percent = 0;
  }
}

START_TEST(no_schedule_beats_its_lower_bounds) {
  int tight[ORACLE_BW_SPLIT + 1] = {0};
  for (uint64_t seed = 0; seed < random_cases; seed++) {
    oracle_case c;
    case_random(seed, CASE_EVERY_METHOD, CASE_EVERY_POLICY, &c);
    let_all_stay(&c);
    ck_assert(bounds_hold(&c));
    oracle_result result = case_run(&c);
    int64_t bound = later(bound_of_path(&c), bound_of_busiest(&c));
    ck_assert_msg(result.makespan >= bound, "seed %d, %s: %lld below %lld", (int)seed, case_method_name(c.method),
                  (long long)result.makespan, (long long)bound);
    tight[c.method] += result.makespan == bound;
    oracle_release(&result);
  }
  /* Bounds that nothing ever reaches would say little. */
  for (int method = 0; method <= ORACLE_BW_SPLIT; method++)
    ck_assert_msg(tight[method] > 0, "%s never reaches a bound", case_method_name((oracle_method)method));
}
END_TEST

enum { with_critical_path = 1 << ORACLE_FL | 1 << ORACLE_SFL | 1 << ORACLE_PIPAR | 1 << ORACLE_BW_SPLIT };

START_TEST(with_a_slot_for_each_and_steady_links_the_run_is_its_critical_path) {
  for (uint64_t seed = 0; seed < random_cases; seed++) {
    oracle_case c;
    case_random(seed, with_critical_path | 1 << ORACLE_SL, CASE_EVERY_POLICY, &c);
    let_all_stay(&c);
    c.presence = c.shared = false;
    c.buffer = 0;
    c.slots = c.device_count;
    for (int class = 0; class < c.class_count; class ++) {
      c.classes[class].half_duplex = false;
      c.classes[class].slowdown.count = 0;
      c.classes[class].up = case_constant(bound_highest_rate(&c.classes[class].up));
      c.classes[class].down = case_constant(bound_highest_rate(&c.classes[class].down));
    }
    oracle_result result = case_run(&c);
    ck_assert_int_eq(result.makespan, bound_of_path(&c));
    oracle_release(&result);
  }
}
END_TEST

/* Where nobody waits for the others each device still takes as long as by itself, with one aggregate at the end. Half
 * duplex links and 1f1b choose by what is ready, so there being later may pay. */
START_TEST(without_waiting_no_run_beats_a_device_by_itself) {
  int checked = 0;
  for (uint64_t seed = 0; seed < random_cases; seed++) {
    oracle_case c;
    case_random(seed, with_critical_path, 1 << ORACLE_FIFO | 1 << ORACLE_PRIORITY, &c);
    if (c.buffer == 0)
      continue;
    for (int class = 0; class < c.class_count; class ++)
      c.classes[class].half_duplex = false;
    oracle_result result = case_run(&c);
    for (int device = 0; device < c.device_count; device++) {
      oracle_case alone = c;
      alone.device_count = alone.class_count = 1;
      alone.class_of[0] = 0;
      alone.classes[0] = c.classes[c.class_of[device]];
      alone.buffer = CASE_ITERATIONS;
      oracle_result by_itself = case_run(&alone);
      ck_assert_int_eq(by_itself.round_count, 1);
      ck_assert_int_ge(result.makespan, by_itself.makespan);
      oracle_release(&by_itself);
      checked++;
    }
    oracle_release(&result);
  }
  ck_assert_int_gt(checked, random_cases / 10);
}
END_TEST

/* A transfer's end on a trace, one nanosecond after the other. */
static int64_t end_by_nanoseconds(const case_trace *trace, int64_t start, int64_t bytes) {
  wide left = (wide)bytes * 8000000000;
  int64_t now = start;
  while (left > 0) {
    int64_t place_in_lap = trace->period > 0 ? now % trace->period : now;
    int64_t rate = 0;
    for (int place = 0; place < trace->count; place++)
      if (trace->rates[place].from <= place_in_lap)
        rate = trace->rates[place].bits_per_second;
    left -= rate;
    now++;
  }
  return now;
}

START_TEST(a_transfer_ends_at_the_first_nanosecond_by_which_its_bits_have_passed) {
  int checked = 0;
  for (uint64_t seed = 0; seed < random_cases; seed++) {
    oracle_case c;
    case_random(seed, CASE_EVERY_METHOD, CASE_EVERY_POLICY, &c);
    c.presence = c.shared = false;
    c.changes_at = 0;
    oracle_result result = case_run(&c);
    for (int stage = 0; stage < result.stage_count; stage++) {
      const oracle_stage *at = &result.stages[stage];
      if (!is_transfer_kind(at->kind) || at->end - at->start > 1000)
        continue;
      const case_class *class = &c.classes[c.class_of[at->device]];
      bool up = at->kind == ORACLE_UPLOAD || at->kind == ORACLE_MODEL_UPLOAD;
      ck_assert_int_eq(at->end, end_by_nanoseconds(up ? &class->up : &class->down, at->start, at->bytes));
      ck_assert_int_eq(at->arrival, at->end + (up ? class->up_latency : class->down_latency));
      checked++;
    }
    oracle_release(&result);
  }
  ck_assert_int_gt(checked, 10 * random_cases);
}
END_TEST

/* Alike stages through device, uplink, slot and downlink are a flow shop: the last leaves after one pass and N - 1
 * times the slowest. The device's N backwards begin with the first gradient, or are held up by the last. */
START_TEST(alike_micro_batches_on_one_device_take_the_closed_form) {
  case_rng rng = {7};
  for (int trial = 0; trial < 500; trial++) {
    int n = (int)case_rng_range(&rng, 1, CASE_MICRO_BATCHES);
    oracle_case c = case_example(ORACLE_PIPAR, 1, n);
    case_class *class = &c.classes[0];
    class->up = class->down = case_constant(8000000000);
    int64_t f = case_rng_range(&rng, 1, 9), u = case_rng_range(&rng, 1, 9), server = case_rng_range(&rng, 2, 9);
    int64_t d = case_rng_range(&rng, 1, 9), b = case_rng_range(&rng, 1, 9);
    class->up_latency = case_rng_range(&rng, 0, 3);
    class->down_latency = case_rng_range(&rng, 0, 3);
    class->full.device_update = 4;
    class->full.server_update = 1;
    class->model_upload_bytes = 2;
    class->model_download_bytes = 3;
    c.aggregate = 5;
    for (int j = 0; j < n; j++)
      class->full.micro_batches[j] = (oracle_micro_batch){f, b, 1, server - 1, 0, u, d};
    int64_t first = f + u + class->up_latency + server + d + class->down_latency;
    int64_t last = first + (n - 1) * later(later(f, u), later(server, d));
    int64_t backwards_end = later(later(first, n * f) + n * b, last + b);
    int64_t makespan = backwards_end + 4 + 2 + class->up_latency + 5 + 3 + class->down_latency;
    oracle_result result = case_run(&c);
    ck_assert_int_eq(result.makespan, makespan);
    oracle_release(&result);
  }
}
END_TEST

START_TEST(federated_averaging_takes_the_slowest_devices_time) {
  case_rng rng = {8};
  for (int trial = 0; trial < 500; trial++) {
    int devices = (int)case_rng_range(&rng, 1, CASE_DEVICES);
    oracle_case c = case_example(ORACLE_FL, devices, 1);
    c.aggregate = case_rng_range(&rng, 1, 9);
    c.epochs = (int)case_rng_range(&rng, 1, 3);
    int64_t up_end = 0, down = 0;
    int iterations = (int)case_rng_range(&rng, 1, 4);
    for (int device = 0; device < devices; device++) {
      case_class *class = &c.classes[device];
      class->up = class->down = case_constant(4000000000);
      class->iterations_per_epoch = class->iterations_per_round = iterations;
      class->full.micro_batches[0].forward = case_rng_range(&rng, 1, 9);
      class->full.micro_batches[0].backward = case_rng_range(&rng, 1, 9);
      class->full.device_update = case_rng_range(&rng, 1, 9);
      class->up_latency = case_rng_range(&rng, 0, 9);
      class->down_latency = case_rng_range(&rng, 0, 9);
      class->model_upload_bytes = case_rng_range(&rng, 1, 9);
      class->model_download_bytes = 4;
      class->down_latency = 6;
      int64_t step =
          class->full.micro_batches[0].forward + class->full.micro_batches[0].backward + class->full.device_update;
      up_end = later(up_end, iterations * step + 2 * class->model_upload_bytes + class->up_latency);
      down = 2 * 4 + 6;
    }
    oracle_result result = case_run(&c);
    ck_assert_int_eq(result.makespan, c.epochs * (up_end + c.aggregate + down));
    oracle_release(&result);
  }
}
END_TEST

START_TEST(one_micro_batch_makes_pipar_sfl) {
  for (uint64_t seed = 0; seed < 1000; seed++) {
    oracle_case c;
    case_random(seed, 1 << ORACLE_SFL | 1 << ORACLE_PIPAR, CASE_EVERY_POLICY, &c);
    c.presence = c.shared = false;
    c.changes_at = 0;
    for (int class = 0; class < c.class_count; class ++)
      c.classes[class].full.micro_batch_count = c.classes[class].ragged.micro_batch_count = 1;
    c.method = ORACLE_SFL;
    oracle_result sfl = case_run(&c);
    c.method = ORACLE_PIPAR;
    oracle_result pipar = case_run(&c);
    ck_assert_int_eq(sfl.makespan, pipar.makespan);
    ck_assert_int_eq(sfl.stage_count, pipar.stage_count);
    for (int stage = 0; stage < sfl.stage_count; stage++)
      ck_assert_int_eq(sfl.stages[stage].end, pipar.stages[stage].end);
    oracle_release(&sfl);
    oracle_release(&pipar);
  }
}
END_TEST

/* A download that an upload held, on device 0 or any other. */
static bool upload_holds_a_download(const oracle_case *c, void *context) {
  (void)context;
  oracle_result result = case_run(c);
  bool found = false;
  for (int stage = 0; stage < result.stage_count; stage++) {
    const oracle_stage *at = &result.stages[stage];
    found |= at->kind == ORACLE_DOWNLOAD && at->start > at->ready && result.stages[at->previous].kind == ORACLE_UPLOAD;
  }
  oracle_release(&result);
  return found;
}

START_TEST(shrinking_leaves_only_what_a_failure_needs) {
  int shrunk = 0;
  for (uint64_t seed = 0; seed < 200; seed++) {
    oracle_case c;
    case_random(seed, 1 << ORACLE_PIPAR, CASE_EVERY_POLICY, &c);
    c.presence = c.shared = false;
    c.changes_at = 0;
    for (int class = 0; class < c.class_count; class ++) {
      c.classes[class].up = case_constant(bound_highest_rate(&c.classes[class].up));
      c.classes[class].down = case_constant(bound_highest_rate(&c.classes[class].down));
    }
    if (!upload_holds_a_download(&c, NULL))
      continue;
    case_shrink(&c, upload_holds_a_download, NULL);
    shrunk++;
    ck_assert(upload_holds_a_download(&c, NULL));
    ck_assert_int_eq(c.device_count, 1);
    ck_assert_int_eq(c.class_count, 1);
    ck_assert_int_eq(c.slots, 1);
    ck_assert_int_eq(c.epochs * c.classes[0].iterations_per_epoch, 1);
    ck_assert(!c.classes[0].has_ragged);
    ck_assert(c.classes[0].half_duplex);
    ck_assert_int_eq(c.classes[0].full.device_update, 1);
    ck_assert_int_eq(c.aggregate, 1);
  }
  ck_assert_int_gt(shrunk, 10);
}
END_TEST

int main(void) {
  TCase *properties = tcase_create("properties");
  tcase_set_timeout(properties, 300); /* not a threshold: a loop without an end must end */
  tcase_add_test(properties, busy_and_causes_add_up_to_the_makespan);
  tcase_add_test(properties, no_resource_does_two_things_at_once_nor_more_than_the_makespan);
  tcase_add_test(properties, no_schedule_beats_its_lower_bounds);
  tcase_add_test(properties, without_waiting_no_run_beats_a_device_by_itself);
  tcase_add_test(properties, with_a_slot_for_each_and_steady_links_the_run_is_its_critical_path);
  tcase_add_test(properties, a_transfer_ends_at_the_first_nanosecond_by_which_its_bits_have_passed);
  tcase_add_test(properties, alike_micro_batches_on_one_device_take_the_closed_form);
  tcase_add_test(properties, federated_averaging_takes_the_slowest_devices_time);
  tcase_add_test(properties, one_micro_batch_makes_pipar_sfl);
  tcase_add_test(properties, shrinking_leaves_only_what_a_failure_needs);
  return run_case("oracle_properties", properties);
}
