/* Critical paths and what-ifs of the worked examples of docs/timing-model.md, worked out by hand. */
#include <stdlib.h>

#include "example.h"
#include "suite.h"
#include "timeline/path.h"

static void expect_ok(pp_status status) { ck_assert_msg(status == NULL, "%s", pp_error_message(status)); }

static int64_t part_ns(const pp_path *path, int group, int kind) {
  for (int part = 0; part < path->part_count; part++)
    if (path->parts[part].group == group && path->parts[part].kind == kind)
      return path->parts[part].length_ns;
  return 0;
}

static int64_t sum_ns(const pp_path *path) {
  int64_t sum = 0;
  for (int part = 0; part < path->part_count; part++)
    sum += path->parts[part].length_ns;
  return sum;
}

/* Device 1's forward takes 1.2: example B. */
static void example_b(example *e) {
  example_init(e, PP_METHOD_PIPAR, 2, 2);
  e->groups[1].cost.table.forward_ns = example_ns(1.2);
  example_finish(e);
}

START_TEST(the_path_of_one_device_is_everything_it_did_first) {
  example e;
  pp_scenario *scenario = NULL;
  pp_path path;
  example_init(&e, PP_METHOD_PIPAR, 1, 2);
  example_finish(&e);
  expect_ok(pp_scenario_create(&e.config, NULL, &scenario));
  expect_ok(pp_path_of_scenario(scenario, &path));
  ck_assert_int_eq(path.makespan_ns, example_ns(9.1));
  ck_assert_int_eq(sum_ns(&path), example_ns(9.1));
  static const struct {
    int kind;
    double seconds;
  } parts[] = {{PP_STAGE_FORWARD, 1},       {PP_STAGE_UPLOAD, 1},          {PP_STAGE_SERVER_FORWARD, 0.5},
               {PP_STAGE_DOWNLOAD, 0.5},    {PP_STAGE_SERVER_BACKWARD, 1}, {PP_STAGE_BACKWARD, 4},
               {PP_STAGE_MODEL_UPLOAD, .1}, {PP_STAGE_DEVICE_UPDATE, 0.5}, {PP_STAGE_MODEL_DOWNLOAD, 0.05},
               {PP_PATH_UP_LATENCY, 0.2},   {PP_PATH_DOWN_LATENCY, 0.2}};
  for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++)
    ck_assert_msg(part_ns(&path, 0, parts[part].kind) == example_ns(parts[part].seconds), "%s",
                  pp_path_kind_name(parts[part].kind));
  ck_assert_int_eq(part_ns(&path, -1, PP_STAGE_AGGREGATE), example_ns(0.05));
  ck_assert_int_eq(path.part_count, 12);
  ck_assert_int_eq(path.parts[0].kind, PP_STAGE_BACKWARD);
  ck_assert_int_eq(path.parts[0].count, 2);
  pp_path_fini(&path);
  pp_scenario_destroy(scenario);
}
END_TEST

START_TEST(the_path_goes_over_the_devices_that_held_the_slot) {
  example e;
  pp_scenario *scenario = NULL;
  pp_path path;
  example_b(&e);
  expect_ok(pp_scenario_create(&e.config, NULL, &scenario));
  expect_ok(pp_path_of_scenario(scenario, &path));
  ck_assert_int_eq(path.makespan_ns, example_ns(11.85));
  ck_assert_int_eq(sum_ns(&path), example_ns(11.85));
  ck_assert_int_eq(part_ns(&path, 0, PP_STAGE_FORWARD), example_ns(1));
  ck_assert_int_eq(part_ns(&path, 0, PP_STAGE_UPLOAD), example_ns(1));
  ck_assert_int_eq(part_ns(&path, 0, PP_STAGE_SERVER_FORWARD), example_ns(1));
  ck_assert_int_eq(part_ns(&path, 0, PP_STAGE_SERVER_BACKWARD), example_ns(2));
  ck_assert_int_eq(part_ns(&path, 0, PP_STAGE_SERVER_UPDATE), example_ns(0.25));
  ck_assert_int_eq(part_ns(&path, 0, PP_STAGE_BACKWARD), 0);
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_FORWARD), 0);
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_SERVER_FORWARD), example_ns(1));
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_SERVER_BACKWARD), example_ns(2));
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_DOWNLOAD), example_ns(0.5));
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_BACKWARD), example_ns(2));
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_DEVICE_UPDATE), example_ns(0.5));
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_MODEL_UPLOAD), example_ns(0.1));
  ck_assert_int_eq(part_ns(&path, 0, PP_PATH_WAIT) + part_ns(&path, 1, PP_PATH_WAIT), 0);
  pp_path_fini(&path);
  pp_scenario_destroy(scenario);
}
END_TEST

START_TEST(every_method_s_path_is_as_long_as_the_run_and_never_waits) {
  static const pp_method methods[] = {PP_METHOD_FL,    PP_METHOD_SL,   PP_METHOD_SFL,
                                      PP_METHOD_PIPAR, PP_METHOD_1F1B, PP_METHOD_BW_SPLIT};
  for (size_t which = 0; which < sizeof methods / sizeof methods[0]; which++)
    for (int half_duplex = 0; half_duplex < 2; half_duplex++) {
      example e;
      pp_scenario *scenario = NULL;
      pp_path path;
      example_init(&e, methods[which], 3, 3);
      e.config.training.epochs = 3;
      e.config.server.slots = 2;
      e.groups[1].cost.table.forward_ns = example_ns(1.2);
      e.groups[2].cost.table.upload_bytes = 2500000;
      for (int group = 0; group < 3; group++) {
        e.groups[group].network.half_duplex = half_duplex != 0;
        e.groups[group].cost.table.server_backward_input_ns = example_ns(0.4);
        e.groups[group].cost.table.server_backward_weight_ns = example_ns(0.6);
      }
      example_finish(&e);
      expect_ok(pp_scenario_create(&e.config, NULL, &scenario));
      expect_ok(pp_path_of_scenario(scenario, &path));
      ck_assert_int_eq(sum_ns(&path), path.makespan_ns);
      for (int group = 0; group < 3; group++)
        ck_assert_int_eq(part_ns(&path, group, PP_PATH_WAIT), 0);
      pp_path_fini(&path);
      pp_scenario_destroy(scenario);
    }
}
END_TEST

/* Example S: device 1's rounds and the aggregates between them. */
START_TEST(without_waiting_the_path_goes_over_the_update_that_an_aggregate_took_last) {
  example e;
  pp_scenario *scenario = NULL;
  pp_path path;
  example_init_fl(&e);
  e.config.training.aggregate_every = 1;
  e.config.aggregate = (pp_aggregate_config){.mode = PP_AGGREGATE_ASYNC, .buffer = 2};
  example_finish(&e);
  expect_ok(pp_scenario_create(&e.config, NULL, &scenario));
  expect_ok(pp_path_of_scenario(scenario, &path));
  ck_assert_int_eq(path.makespan_ns, example_ns(23.2));
  ck_assert_int_eq(sum_ns(&path), example_ns(23.2));
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_FORWARD), example_ns(8));
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_BACKWARD), example_ns(12));
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_DEVICE_UPDATE), example_ns(1.5));
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_MODEL_UPLOAD), example_ns(0.8));
  ck_assert_int_eq(part_ns(&path, -1, PP_STAGE_AGGREGATE), example_ns(0.1));
  /* Both ways twice; the last model is also on its way to device 0, whose latency stays 0.1: 23.17. */
  int64_t makespan_ns = 0;
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_LATENCY, 1, &makespan_ns));
  ck_assert_int_eq(makespan_ns, example_ns(23.17));
  pp_path_fini(&path);
  pp_scenario_destroy(scenario);
}
END_TEST

/* Example O: device 0 alone decides when the aggregate is due. */
START_TEST(the_path_does_not_go_over_who_is_late) {
  example e;
  pp_scenario *scenario = NULL;
  pp_path path;
  example_b(&e);
  e.config.aggregate.min_devices = 1;
  expect_ok(pp_scenario_create(&e.config, NULL, &scenario));
  expect_ok(pp_path_of_scenario(scenario, &path));
  ck_assert_int_eq(path.makespan_ns, example_ns(10.1));
  ck_assert_int_eq(sum_ns(&path), example_ns(10.1));
  ck_assert_int_eq(part_ns(&path, 0, PP_STAGE_BACKWARD), example_ns(2));
  ck_assert_int_eq(part_ns(&path, 0, PP_STAGE_DEVICE_UPDATE), example_ns(0.5));
  ck_assert_int_eq(part_ns(&path, 1, PP_STAGE_BACKWARD), 0);
  for (int group = -1; group < 2; group++)
    ck_assert_int_eq(part_ns(&path, group, PP_PATH_WAIT), 0);
  pp_path_fini(&path);
  pp_scenario_destroy(scenario);
}
END_TEST

/* Example P for two rounds: each lasts as long as its deadline, whatever the devices do. */
START_TEST(the_path_goes_from_a_deadline_to_the_begin_of_its_round) {
  example e;
  pp_scenario *scenario = NULL;
  pp_path path;
  example_b(&e);
  e.config.training.epochs = 2;
  e.config.aggregate.deadline_ns = example_ns(12);
  e.groups[1].departs_ns = example_ns(6);
  /* Silent from its second round on. */
  e.groups[0].departs_ns = example_ns(20);
  expect_ok(pp_scenario_create(&e.config, NULL, &scenario));
  expect_ok(pp_path_of_scenario(scenario, &path));
  ck_assert_int_eq(part_ns(&path, -1, PP_PATH_WAIT), example_ns(24));
  ck_assert_int_eq(part_ns(&path, -1, PP_STAGE_AGGREGATE), example_ns(0.1));
  ck_assert_int_eq(path.makespan_ns, example_ns(24.1));
  ck_assert_int_eq(sum_ns(&path), example_ns(24.1));
  int64_t makespan_ns = 0;
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_DEVICE, 0, &makespan_ns));
  ck_assert_int_eq(makespan_ns, example_ns(24.1));
  pp_path_fini(&path);
  pp_scenario_destroy(scenario);
}
END_TEST

/* One device that falls silent before its first iteration, whose round ends at the deadline, or before its second: that
 * is after the deadline, and the round ends at once, for nobody can come any more. */
START_TEST(the_path_goes_over_what_a_device_did_before_it_fell_silent) {
  int early = 0, late = 0;
  for (uint64_t seed = 0; seed < 20; seed++) {
    example e;
    pp_scenario *scenario = NULL;
    pp_path path;
    example_init(&e, PP_METHOD_PIPAR, 1, 2);
    example_finish(&e);
    e.config.seed = seed;
    e.config.aggregate.deadline_ns = example_ns(5);
    e.groups[0].dropout = 1;
    e.groups[0].cost.table.iterations = 2;
    expect_ok(pp_scenario_create(&e.config, NULL, &scenario));
    expect_ok(pp_path_of_scenario(scenario, &path));
    ck_assert_int_eq(sum_ns(&path), path.makespan_ns);
    bool at_deadline = path.makespan_ns == example_ns(5.2);
    early += at_deadline;
    late += !at_deadline;
    ck_assert_int_eq(part_ns(&path, -1, PP_PATH_WAIT), at_deadline ? example_ns(5) : 0);
    ck_assert_int_eq(part_ns(&path, 0, PP_STAGE_DEVICE_UPDATE), at_deadline ? 0 : example_ns(0.5));
    ck_assert_int_eq(path.makespan_ns, at_deadline ? example_ns(5.2) : example_ns(8.9));
    pp_path_fini(&path);
    pp_scenario_destroy(scenario);
  }
  ck_assert_int_gt(early, 0);
  ck_assert_int_gt(late, 0);
}
END_TEST

START_TEST(changes_are_run_again) {
  example e;
  pp_scenario *scenario = NULL;
  int64_t makespan_ns = 0;
  example_init(&e, PP_METHOD_PIPAR, 1, 2);
  example_finish(&e);
  expect_ok(pp_scenario_create(&e.config, NULL, &scenario));
  /* At 11 Mbit/s an upload takes 0.909090910 s and the model 0.090909091 s, to the first whole nanosecond. */
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_UPLINK, 0, &makespan_ns));
  ck_assert_int_eq(makespan_ns, example_ns(9.1) - 90909090 - 9090909);
  /* 22 Mbit/s: 0.454545455 s and 0.045454546 s. */
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_DOWNLINK, 0, &makespan_ns));
  ck_assert_int_eq(makespan_ns, example_ns(9.1) - 45454545 - 4545454);
  /* Four latencies of 0.1 on the path. */
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_LATENCY, 0, &makespan_ns));
  ck_assert_int_eq(makespan_ns, example_ns(9.06));
  /* A forward, two backwards, an update: 0.909090909, 2 x 1.818181818, 0.454545455. */
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_DEVICE, 0, &makespan_ns));
  ck_assert_int_eq(makespan_ns, example_ns(9.1) - 90909091 - 2 * 181818182 - 45454545);
  /* server_forward, server_backward, aggregate: 0.454545455, 0.909090909, 0.045454545. */
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_SERVER, 0, &makespan_ns));
  ck_assert_int_eq(makespan_ns, example_ns(9.1) - 45454545 - 90909091 - 4545455);
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_SLOT, 0, &makespan_ns));
  ck_assert_int_eq(makespan_ns, example_ns(9.1));
  /* The scenario itself stays. */
  pp_path path;
  expect_ok(pp_path_of_scenario(scenario, &path));
  ck_assert_int_eq(path.makespan_ns, example_ns(9.1));
  pp_path_fini(&path);
  pp_scenario_destroy(scenario);
}
END_TEST

/* Four uploads, then a download, take as long as an upload, then four downloads: 1 s each. What one direction gains
 * waits for the other, but for one transfer and a model. */
START_TEST(both_directions_of_links_help_where_neither_does_alone) {
  example e;
  pp_scenario *scenario = NULL;
  int64_t uplink_ns = 0, downlink_ns = 0, both_ns = 0, all_ns = 0;
  example_init(&e, PP_METHOD_PIPAR, 1, 4);
  e.down[0][0].rate_bps = 10000000;
  int64_t *stages[] = {&e.groups[0].cost.table.forward_ns,         &e.groups[0].cost.table.backward_ns,
                       &e.groups[0].cost.table.update_ns,          &e.groups[0].cost.table.server_forward_ns,
                       &e.groups[0].cost.table.server_backward_ns, &e.groups[0].cost.table.server_update_ns};
  for (size_t stage = 0; stage < sizeof stages / sizeof stages[0]; stage++)
    *stages[stage] = example_ns(0.001);
  example_finish(&e);
  expect_ok(pp_scenario_create(&e.config, NULL, &scenario));
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_UPLINK, 0, &uplink_ns));
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_DOWNLINK, 0, &downlink_ns));
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_LINKS, 0, &both_ns));
  expect_ok(pp_change_makespan(scenario, PP_CHANGE_LINKS, PP_CHANGE_OF_ALL, &all_ns));
  ck_assert_int_eq(uplink_ns, example_ns(5.655) - 90909090 - 9090909);
  ck_assert_int_eq(downlink_ns, uplink_ns);
  ck_assert_int_eq(both_ns, example_ns(5.655) - 5 * 90909090 - 2 * 9090909);
  ck_assert_int_eq(all_ns, both_ns);
  pp_scenario_destroy(scenario);
}
END_TEST

int main(void) {
  TCase *cases = tcase_create("all");
  tcase_add_test(cases, the_path_of_one_device_is_everything_it_did_first);
  tcase_add_test(cases, the_path_goes_over_the_devices_that_held_the_slot);
  tcase_add_test(cases, every_method_s_path_is_as_long_as_the_run_and_never_waits);
  tcase_add_test(cases, without_waiting_the_path_goes_over_the_update_that_an_aggregate_took_last);
  tcase_add_test(cases, the_path_does_not_go_over_who_is_late);
  tcase_add_test(cases, the_path_goes_from_a_deadline_to_the_begin_of_its_round);
  tcase_add_test(cases, the_path_goes_over_what_a_device_did_before_it_fell_silent);
  tcase_add_test(cases, changes_are_run_again);
  tcase_add_test(cases, both_directions_of_links_help_where_neither_does_alone);
  return run_case("critical path", cases);
}
