/* A round that is observed instead of worked out: the same causes where it kept to the model, overrun where it did not.
 */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "example.h"
#include "suite.h"

static outcome o;

typedef struct observed {
  pp_timeline *timeline;
  pp_timeline_totals totals;
} observed;

static int64_t arrival_of(const pp_scenario *scenario, const pp_stage_record *record) {
  if (record->device < 0)
    return 0;
  const pp_network_config *network = scenario->classes[scenario->class_of[record->device]].network;
  switch (pp_stage_resource((pp_stage)record->stage)) {
  case PP_RESOURCE_UPLINK:
    return record->end_ns + network->up_latency_ns;
  case PP_RESOURCE_DOWNLINK:
    return record->end_ns + network->down_latency_ns;
  default:
    return 0;
  }
}

/* The world stands still for `length` from `instant` on. */
typedef struct standstill {
  int64_t instant, length;
} standstill;

static int64_t moved(standstill s, int64_t time) { return time > s.instant ? time + s.length : time; }

/* The rounds of `o`, in another order of records, with a standstill, as if they had been observed. */
static pp_status observe(standstill s, observed *out) {
  pp_stage_record *records = calloc((size_t)o.record_count, sizeof *records);
  int64_t *arrivals = calloc((size_t)o.record_count, sizeof *arrivals);
  pp_status status = pp_timeline_create(o.scenario, true, &out->timeline);
  int64_t done = 0;
  for (int64_t round = 0; round < o.round_count && status == NULL; round++) {
    int64_t count = o.rounds[round].record_count;
    for (int64_t record = 0; record < count; record++) {
      const pp_stage_record *from = &o.records[done + count - 1 - record];
      records[record] = *from;
      records[record].start_ns = moved(s, from->start_ns);
      records[record].end_ns = moved(s, from->end_ns);
      arrivals[record] = moved(s, arrival_of(o.scenario, from));
    }
    done += count;
    pp_round_times times;
    status = pp_timeline_observe_round(out->timeline, count, records, arrivals, &times);
    if (status != NULL)
      break;
    ck_assert_int_eq(times.end_ns, moved(s, o.rounds[round].end_ns));
    ck_assert_int_eq(times.record_count, count);
    for (int64_t record = 1; record < count; record++)
      ck_assert_int_le(times.records[record - 1].start_ns, times.records[record].start_ns);
  }
  free(records);
  free(arrivals);
  if (status == NULL)
    status = pp_timeline_finish(out->timeline, &out->totals);
  return status;
}

static void must_observe(standstill s, observed *out) {
  pp_status status = observe(s, out);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  ck_assert_int_eq(out->totals.makespan_ns, moved(s, o.totals.makespan_ns));
  ck_assert_int_eq(out->totals.stage_count, o.totals.stage_count);
}

typedef struct dice {
  uint64_t which, draw;
} dice;

static int64_t roll(dice *d, int64_t bound) {
  return (int64_t)pp_rng_below(pp_rng_stream(7, PP_RNG_SYNTHETIC, 0, 0, 0), d->which, d->draw++, (uint64_t)bound);
}

static void random_example(example *e, uint64_t which, bool traces) {
  dice d = {which, 0};
  static const pp_method methods[] = {PP_METHOD_FL, PP_METHOD_SFL, PP_METHOD_PIPAR, PP_METHOD_PIPAR};
  pp_method method = methods[roll(&d, 4)];
  int groups = 1 + (int)roll(&d, EXAMPLE_GROUPS);
  example_init(e, method, groups, 1 + (int)roll(&d, 4));
  e->config.server.slots = 1 + (int)roll(&d, 3);
  e->config.training.epochs = 1 + (int)roll(&d, 2);
  e->config.training.aggregate_every = roll(&d, 2);
  int64_t iterations = 1 + roll(&d, 3);
  for (int group = 0; group < e->config.group_count; group++) {
    pp_cost_table *table = &e->groups[group].cost.table;
    table->iterations = iterations;
    table->forward_ns = 1 + roll(&d, 9);
    table->backward_ns = 1 + roll(&d, 9);
    table->update_ns = 1 + roll(&d, 4);
    table->server_forward_ns = 1 + roll(&d, 6);
    table->server_backward_ns = 1 + roll(&d, 6);
    table->server_update_ns = 1 + roll(&d, 12);
    table->aggregate_ns = 3;
    table->upload_bytes = 1 + roll(&d, 9);
    table->download_bytes = 1 + roll(&d, 9);
    table->model_upload_bytes = 1 + roll(&d, 9);
    table->model_download_bytes = 1 + roll(&d, 9);
    e->up[group][0].rate_bps = 8000000000;
    e->up[group][1] = (pp_rate_step){1 + roll(&d, 30), 3000000000};
    e->up_steps[group] = traces ? 1 + (int)roll(&d, 2) : 1;
    e->down[group][0].rate_bps = 8000000000;
    e->groups[group].network.up_latency_ns = roll(&d, 3);
    e->groups[group].network.down_latency_ns = roll(&d, 3);
    e->groups[group].network.half_duplex = roll(&d, 2) == 1;
  }
  bool longer = roll(&d, 3) == 0; /* the last update of a round */
  for (int group = 0; longer && group < e->config.group_count; group++) {
    e->config.privacy = (pp_privacy_config){.mechanism = PP_PRIVACY_DP_FEDAVG, .clip = 1, .noise_multiplier = 1};
    e->groups[group].cost.table.privacy_ns = 1 + roll(&d, 9);
  }
  example_finish(e);
}

START_TEST(a_run_that_keeps_to_the_model_has_the_same_causes) {
  for (uint64_t which = 0; which < 300; which++) {
    example e;
    random_example(&e, which, true);
    outcome_run(&o, &e.config);
    observed seen = {0};
    must_observe((standstill){INT64_MAX, 0}, &seen);
    for (int device = 0; device < o.scenario->device_count; device++)
      ck_assert_mem_eq(&seen.totals.devices[device], &o.totals.devices[device], sizeof(pp_resource_times));
    for (int slot = 0; slot < o.scenario->slots; slot++)
      ck_assert_mem_eq(&seen.totals.slots[slot], &o.totals.slots[slot], sizeof(pp_resource_times));
    pp_timeline_destroy(seen.timeline);
    outcome_fini(&o);
  }
}
END_TEST

/* A resource was busy or idle while all stood still, and pp_timeline_finish checks that its causes add up. */
START_TEST(a_standstill_anywhere_is_time_that_adds_up) {
  for (uint64_t which = 0; which < 300; which++) {
    example e;
    random_example(&e, which, false);
    outcome_run(&o, &e.config);
    for (int64_t instant = 0; instant < o.totals.makespan_ns; instant += 1 + o.totals.makespan_ns / 50) {
      observed seen = {0};
      must_observe((standstill){instant, 1000}, &seen);
      for (int device = 0; device < o.scenario->device_count; device++) {
        const pp_resource_times *now = &seen.totals.devices[device], *then = &o.totals.devices[device];
        ck_assert_int_eq(now->idle_ns - then->idle_ns + now->busy_ns - then->busy_ns, 1000);
      }
      pp_timeline_destroy(seen.timeline);
    }
    outcome_fini(&o);
  }
}
END_TEST

static void run_example_a(void) {
  static example e;
  example_init(&e, PP_METHOD_PIPAR, 1, 2);
  example_finish(&e);
  outcome_run(&o, &e.config);
}

/* Example A; at 3.0 the server is in backward 0, for which the device waits. */
START_TEST(a_stage_that_takes_too_long_is_overrun_of_who_waits_for_it) {
  run_example_a();
  observed seen = {0};
  must_observe((standstill){example_ns(3), example_ns(0.5)}, &seen);
  const pp_resource_times *device = &seen.totals.devices[0], *slot = &seen.totals.slots[0];
  expect_busy_idle(device, 6.5, 3.1);
  ck_assert_int_eq(device->cause_ns[PP_CAUSE_OVERRUN], example_ns(0.5));
  ck_assert_int_eq(device->cause_ns[PP_CAUSE_SERVER_COMPUTE], example_ns(1.5));
  ck_assert_int_eq(device->cause_ns[PP_CAUSE_DOWNLOAD], example_ns(0.55));
  expect_busy_idle(slot, 3.8, 5.8);
  ck_assert_int_eq(slot->cause_ns[PP_CAUSE_OVERRUN], 0);
  pp_timeline_destroy(seen.timeline);
  outcome_fini(&o);
}
END_TEST

/* At 2.05 upload 0 is on its way, both wait for it. */
START_TEST(a_message_that_arrives_late_is_overrun) {
  run_example_a();
  observed seen = {0};
  must_observe((standstill){example_ns(2.05), example_ns(0.5)}, &seen);
  const pp_resource_times *device = &seen.totals.devices[0], *slot = &seen.totals.slots[0];
  expect_busy_idle(device, 6.5, 3.1);
  ck_assert_int_eq(device->cause_ns[PP_CAUSE_OVERRUN], example_ns(0.5));
  ck_assert_int_eq(device->cause_ns[PP_CAUSE_LATENCY], example_ns(0.4));
  expect_busy_idle(slot, 3.3, 6.3);
  ck_assert_int_eq(slot->cause_ns[PP_CAUSE_OVERRUN], example_ns(0.5));
  ck_assert_int_eq(slot->cause_ns[PP_CAUSE_LATENCY], example_ns(0.2));
  pp_timeline_destroy(seen.timeline);
  outcome_fini(&o);
}
END_TEST

/* What an observation is spoilt with, and what is said about it. */
static void expect_refused(int64_t count, const pp_stage_record *records, const char *says) {
  pp_timeline *timeline = NULL;
  int64_t arrivals[64];
  for (int64_t record = 0; record < count; record++)
    arrivals[record] = records[record].end_ns + example_ns(0.1);
  ck_assert_ptr_null(pp_timeline_create(o.scenario, false, &timeline));
  pp_round_times times;
  pp_status status = pp_timeline_observe_round(timeline, count, records, arrivals, &times);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_RUN);
  ck_assert_msg(strstr(pp_error_message(status), says) != NULL, "%s", pp_error_message(status));
  pp_error_free(status);
  pp_timeline_destroy(timeline);
}

START_TEST(an_observation_with_gaps_doubles_or_nonsense_is_refused) {
  run_example_a();
  pp_stage_record records[64];
  const int64_t count = o.record_count;
  const size_t bytes = (size_t)count * sizeof records[0];
  memcpy(records, o.records, bytes);
  for (int64_t record = 0; record < count; record++) {
    records[record] = o.records[count - 1];
    expect_refused(count - 1, records, "is missing");
    records[record] = o.records[record == 0 ? 1 : 0];
    expect_refused(count, records, "was given twice");
    records[record] = o.records[record];
    records[record].end_ns = records[record].start_ns - 1;
    expect_refused(count, records, "makes no sense");
    records[record] = o.records[record];
  }
  pp_stage_record *forward = &records[1];
  ck_assert_int_eq(forward->stage, PP_STAGE_FORWARD);
  forward->start_ns -= 1;
  expect_refused(count, records, "overlap");
  outcome_fini(&o);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("observed");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, a_run_that_keeps_to_the_model_has_the_same_causes);
  tcase_add_test(tests, a_standstill_anywhere_is_time_that_adds_up);
  tcase_add_test(tests, a_stage_that_takes_too_long_is_overrun_of_who_waits_for_it);
  tcase_add_test(tests, a_message_that_arrives_late_is_overrun);
  tcase_add_test(tests, an_observation_with_gaps_doubles_or_nonsense_is_refused);
  return run_case("observed", tests);
}
