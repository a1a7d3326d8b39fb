/* Over a link of the server that all devices share (docs/timing-model.md): what goes with it, by hand. */
#include <stdlib.h>

#include "example.h"
#include "suite.h"
#include "timeline/path.h"

static example e;
static outcome o, other;
static pp_rate_step server_up[2], server_down[1];

static void must(pp_status status) { ck_assert_msg(status == NULL, "%s", pp_error_message(status)); }

static void share(int64_t up_bps, int64_t down_bps) {
  server_up[0] = (pp_rate_step){0, up_bps};
  server_down[0] = (pp_rate_step){0, down_bps};
  e.config.server.link.up = (pp_rate_trace){1, server_up, 0};
  e.config.server.link.down = (pp_rate_trace){1, server_down, 0};
}

/* Example R. */
static void init_r(void) {
  example_init(&e, PP_METHOD_PIPAR, 2, 2);
  e.groups[1].cost.table.forward_ns = example_ns(1.2);
  share(10000000, 20000000);
}

/* Example R with 0.3 more for each device's update: that of device 0 10-10.8, that of device 1 11.75-12.55, and all
 * that follows 0.3 later. */
START_TEST(protected_updates_are_uploaded_later) {
  init_r();
  e.config.privacy =
      (pp_privacy_config){.mechanism = PP_PRIVACY_DP_FEDAVG, .clip = 1, .noise_multiplier = 1, .delta = 1e-5};
  for (int group = 0; group < 2; group++)
    e.groups[group].cost.table.privacy_ns = example_ns(0.3);
  example_finish(&e);
  outcome_run(&o, &e.config);
  expect_stage(&o, PP_STAGE_UPLOAD, 0, 0, 1, 2.8, 4.8);
  expect_stage(&o, PP_STAGE_DEVICE_UPDATE, 0, 0, -1, 10, 10.8);
  expect_stage(&o, PP_STAGE_MODEL_UPLOAD, 1, -1, -1, 12.55, 12.65);
  expect_stage(&o, PP_STAGE_AGGREGATE, -1, -1, -1, 12.75, 12.8);
  expect_stage(&o, PP_STAGE_MODEL_DOWNLOAD, 0, -1, -1, 12.8, 12.9);
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(13));
  outcome_fini(&o);
}
END_TEST

static void expect_same_run(void) {
  ck_assert_int_eq(o.totals.makespan_ns, other.totals.makespan_ns);
  ck_assert_int_eq(o.round_count, other.round_count);
  ck_assert_int_eq(o.record_count, other.record_count);
  ck_assert_mem_eq(o.records, other.records, (size_t)o.record_count * sizeof *o.records);
  for (int device = 0; device < o.scenario->device_count; device++)
    ck_assert_mem_eq(&o.totals.devices[device], &other.totals.devices[device], sizeof *o.totals.devices);
  ck_assert_mem_eq(&o.totals.slots[0], &other.totals.slots[0], sizeof *o.totals.slots);
}

/* Two rounds of `sl`, as example K. */
static void init_turns(bool half_duplex) {
  example_init(&e, PP_METHOD_SL, 2, 1);
  e.config.training.epochs = 2;
  e.groups[1].cost.table.forward_ns = example_ns(2.4);
  for (int group = 0; group < 2; group++)
    e.groups[group].network.half_duplex = half_duplex;
}

/* In turns nobody else's transfer is under way: the link is the slower of the two. Uplinks of 10 Mbit/s behind one of
 * 8, from 2.5 s on 5; downlinks of 20 behind one of 15. */
START_TEST(in_turns_a_transfer_has_the_slower_of_both_links) {
  init_turns(_i > 0);
  share(8000000, 15000000);
  server_up[1] = (pp_rate_step){example_ns(2.5), 5000000};
  e.config.server.link.up.count = 2;
  example_finish(&e);
  outcome_run(&o, &e.config);
  ck_assert(o.scenario->server_up != NULL);
  init_turns(_i > 0);
  e.config.server.link = (pp_network_config){0};
  for (int group = 0; group < 2; group++) {
    e.up[group][0] = (pp_rate_step){0, 8000000};
    e.up[group][1] = (pp_rate_step){example_ns(2.5), 5000000};
    e.up_steps[group] = 2;
    e.down[group][0] = (pp_rate_step){0, 15000000};
  }
  example_finish(&e);
  outcome_run(&other, &e.config);
  expect_same_run();
  outcome_fini(&o);
  outcome_fini(&other);
}
END_TEST

/* The device's own link falls to 5 Mbit/s, the server's stays at 8. */
START_TEST(in_turns_a_device_s_link_may_become_the_slower_one) {
  for (int shared = 0; shared < 2; shared++) {
    init_turns(false);
    e.config.server.link = (pp_network_config){0};
    for (int group = 0; group < 2; group++) {
      e.up[group][0] = (pp_rate_step){0, shared ? 10000000 : 8000000};
      e.up[group][1] = (pp_rate_step){example_ns(2.5), 5000000};
      e.up_steps[group] = 2;
    }
    if (shared)
      share(8000000, 20000000);
    example_finish(&e);
    outcome_run(shared ? &o : &other, &e.config);
  }
  expect_same_run();
  outcome_fini(&o);
  outcome_fini(&other);
}
END_TEST

/* Example S, behind 2 Mbit/s up and 20 down; a model has 4 Mbit. Device 0's goes up from 9.75, has sent 2 Mbit
 * by 10.75, then 1 Mbit/s beside device 1's: 12.75; that one has 2 Mbit left and the link to itself: 13.75. Device 0
 * gets version 0 at once, 12.85-13.05, and works 13.15-22.9; aggregate 13.85-13.9, version 1 down to device
 * 1 13.9-14.1, work 14.2-24.95. Up 22.9-24.9 and 24.95-26.95; aggregate 27.05-27.1; both models down at 10
 * Mbit/s, 27.1-27.5. */
START_TEST(nobody_waits_for_the_others_but_for_the_link) {
  example_init_fl(&e);
  e.config.training.aggregate_every = 1;
  e.config.aggregate.mode = PP_AGGREGATE_ASYNC;
  e.config.aggregate.buffer = 2;
  share(2000000, 20000000);
  example_finish(&e);
  outcome_run(&o, &e.config);
  static const struct {
    pp_stage stage;
    int device, round; /* of the two of its kind the one that began in that round */
    double start, end;
  } wanted[] = {{PP_STAGE_MODEL_UPLOAD, 0, 0, 9.75, 12.75},    {PP_STAGE_MODEL_UPLOAD, 1, 0, 10.75, 13.75},
                {PP_STAGE_MODEL_DOWNLOAD, 0, 0, 12.85, 13.05}, {PP_STAGE_MODEL_UPLOAD, 0, 1, 22.9, 24.9},
                {PP_STAGE_MODEL_UPLOAD, 1, 1, 24.95, 26.95},   {PP_STAGE_AGGREGATE, -1, 0, 13.85, 13.9},
                {PP_STAGE_AGGREGATE, -1, 1, 27.05, 27.1}};
  for (size_t at = 0; at < sizeof wanted / sizeof wanted[0]; at++) {
    const pp_stage_record *found = NULL;
    for (int64_t row = 0; row < o.record_count; row++)
      if (o.records[row].stage == (int32_t)wanted[at].stage && o.records[row].device == wanted[at].device &&
          o.records[row].round == wanted[at].round)
        found = &o.records[row];
    ck_assert_ptr_nonnull(found);
    ck_assert_int_eq(found->start_ns, example_ns(wanted[at].start));
    ck_assert_int_eq(found->end_ns, example_ns(wanted[at].end));
  }
  ck_assert_int_eq(o.rounds[0].end_ns, example_ns(13.9));
  ck_assert_int_eq(o.totals.makespan_ns, example_ns(27.6));
  expect_busy_idle(&o.totals.devices[0], 19.5, 8.1);
  outcome_fini(&o);
}
END_TEST

/* A transfer that is under way when an aggregate ends has its end in the records of the round in which it began. A
 * device uploads for a minute while the other makes three aggregates of its own. */
START_TEST(records_wait_for_the_ends_of_transfers) {
  example_init_fl(&e);
  e.config.training.aggregate_every = 1;
  e.config.aggregate.mode = PP_AGGREGATE_ASYNC;
  e.config.aggregate.buffer = 1;
  for (int group = 0; group < 2; group++)
    e.groups[group].cost.table.iterations = 4;
  e.up[1][0].rate_bps = 66667;
  share(10000000, 20000000);
  example_finish(&e);
  outcome_run(&o, &e.config);
  int64_t late = 0;
  for (int64_t row = 0; row < o.record_count; row++) {
    const pp_stage_record *at = &o.records[row];
    ck_assert_int_lt(at->end_ns, o.totals.makespan_ns + 1);
    if (at->stage == PP_STAGE_MODEL_UPLOAD && at->device == 1 && at->round == 1) {
      late++;
      ck_assert_int_ge(at->end_ns - at->start_ns, example_ns(59.9));
      ck_assert_int_gt(at->end_ns, o.rounds[2].end_ns);
    }
  }
  ck_assert_int_eq(late, 1);
  ck_assert_int_eq(o.record_count, o.totals.stage_count);
  outcome_fini(&o);
}
END_TEST

typedef struct part {
  int group, kind;
  double seconds;
} part;

/* Example R back from its last event: device 1's second micro-batch waited for device 0's on the slot, that for device
 * 1's first, and that for device 0's first, whose upload took 1.8 because both shared the link. */
START_TEST(the_critical_path_goes_over_shared_transfers) {
  static const part parts[] = {
      {0, PP_STAGE_FORWARD, 1},         {0, PP_STAGE_UPLOAD, 1.8},        {0, PP_STAGE_SERVER_FORWARD, 1},
      {0, PP_STAGE_SERVER_BACKWARD, 2}, {0, PP_STAGE_SERVER_UPDATE, .25}, {1, PP_STAGE_SERVER_FORWARD, 1},
      {1, PP_STAGE_SERVER_BACKWARD, 2}, {1, PP_STAGE_DOWNLOAD, .5},       {1, PP_STAGE_BACKWARD, 2},
      {1, PP_STAGE_DEVICE_UPDATE, .5},  {1, PP_STAGE_MODEL_UPLOAD, .1},   {-1, PP_STAGE_AGGREGATE, .05},
      {0, PP_STAGE_MODEL_DOWNLOAD, .1}, {0, PP_PATH_UP_LATENCY, .1},      {1, PP_PATH_UP_LATENCY, .1},
      {1, PP_PATH_DOWN_LATENCY, .1},    {0, PP_PATH_DOWN_LATENCY, .1}};
  enum { count = sizeof parts / sizeof parts[0] };
  pp_scenario *scenario = NULL;
  pp_path path;
  init_r();
  example_finish(&e);
  must(pp_scenario_create(&e.config, NULL, &scenario));
  must(pp_path_of_scenario(scenario, &path));
  ck_assert_int_eq(path.makespan_ns, example_ns(12.7));
  ck_assert_int_eq(path.part_count, count);
  for (int at = 0; at < count; at++) {
    int64_t found_ns = 0;
    for (int which = 0; which < count; which++)
      if (path.parts[which].group == parts[at].group && path.parts[which].kind == parts[at].kind)
        found_ns = path.parts[which].length_ns;
    ck_assert_msg(found_ns == example_ns(parts[at].seconds), "%s of %d: %.9f", pp_path_kind_name(parts[at].kind),
                  parts[at].group, (double)found_ns / 1e9);
  }
  pp_path_fini(&path);
  pp_scenario_destroy(scenario);
}
END_TEST

/* The upload that all waits for (above) has 10 Mbit/s for 0.2 s, then half of 11 instead of half of 10: 8 Mbit in
 * 1.454545 s, not 1.6. Both models go down at 11 Mbit/s each instead of 10: 0.090909 s, not 0.1. Each transfer ends up
 * to 1 ns late. */
START_TEST(a_faster_link_of_the_server_is_run_again) {
  pp_scenario *scenario = NULL;
  int64_t makespan_ns = 0;
  init_r();
  example_finish(&e);
  must(pp_scenario_create(&e.config, NULL, &scenario));
  must(pp_change_makespan(scenario, PP_CHANGE_SERVER_UPLINK, -1, &makespan_ns));
  ck_assert_int_ge(makespan_ns, INT64_C(12554545454));
  ck_assert_int_le(makespan_ns, INT64_C(12554545460));
  must(pp_change_makespan(scenario, PP_CHANGE_SERVER_DOWNLINK, -1, &makespan_ns));
  ck_assert_int_ge(makespan_ns, INT64_C(12690909090));
  ck_assert_int_le(makespan_ns, INT64_C(12690909093));
  must(pp_change_makespan(scenario, PP_CHANGE_SERVER_LINKS, -1, &makespan_ns));
  ck_assert_int_ge(makespan_ns, INT64_C(12545454544));
  ck_assert_int_le(makespan_ns, INT64_C(12545454553));
  pp_scenario_destroy(scenario);
}
END_TEST

/* A device that departs when all is over, and a deadline that nobody misses, change nothing. */
START_TEST(the_critical_path_of_devices_that_may_leave_is_that_of_those_that_stay) {
  pp_scenario *scenario = NULL;
  pp_path path;
  int64_t sum_ns = 0;
  init_r();
  e.groups[1].departs_ns = example_ns(20);
  e.config.aggregate.deadline_ns = example_ns(30);
  example_finish(&e);
  must(pp_scenario_create(&e.config, NULL, &scenario));
  must(pp_path_of_scenario(scenario, &path));
  ck_assert_int_eq(path.makespan_ns, example_ns(12.7));
  for (int at = 0; at < path.part_count; at++) {
    ck_assert_int_ne(path.parts[at].kind, PP_PATH_WAIT);
    sum_ns += path.parts[at].length_ns;
  }
  ck_assert_int_eq(sum_ns, example_ns(12.7));
  pp_path_fini(&path);
  pp_scenario_destroy(scenario);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("server's link");
  tcase_add_test(tests, protected_updates_are_uploaded_later);
  tcase_add_loop_test(tests, in_turns_a_transfer_has_the_slower_of_both_links, 0, 2);
  tcase_add_test(tests, in_turns_a_device_s_link_may_become_the_slower_one);
  tcase_add_test(tests, nobody_waits_for_the_others_but_for_the_link);
  tcase_add_test(tests, records_wait_for_the_ends_of_transfers);
  tcase_add_test(tests, the_critical_path_goes_over_shared_transfers);
  tcase_add_test(tests, a_faster_link_of_the_server_is_run_again);
  tcase_add_test(tests, the_critical_path_of_devices_that_may_leave_is_that_of_those_that_stay);
  return run_case("server's link", tests);
}
