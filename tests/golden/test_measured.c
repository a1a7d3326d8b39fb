/* Lengths that come after the schedule: the timeline of a table whose numbers are handed over round by round. */
#include <string.h>

#include "example.h"
#include "suite.h"

enum { MOST_LENGTHS = 512 };

static void must(pp_status status) { ck_assert_msg(status == NULL, "%s", pp_error_message(status)); }

static pp_stage_record length_of(int device, int64_t iteration, pp_stage stage, int micro_batch, int64_t ns) {
  return (pp_stage_record){.device = device,
                           .iteration = (int32_t)iteration,
                           .micro_batch = micro_batch,
                           .stage = (int32_t)stage,
                           .end_ns = ns};
}

/* What the schedules say of a round, as lengths, the last stage first. */
static int64_t list_lengths(const pp_scenario *scenario, int64_t round, pp_stage_record *lengths) {
  int64_t count = 0;
  if (scenario->aggregate_ns > 0)
    lengths[count++] = length_of(-1, -1, PP_STAGE_AGGREGATE, -1, scenario->aggregate_ns);
  for (int device = scenario->device_count - 1; device >= 0; device--) {
    const pp_device_class *class = &scenario->classes[scenario->class_of[device]];
    int64_t first = round * class->iterations_per_round, end = first + class->iterations_per_round;
    for (int64_t iteration = (end < class->iterations ? end : class->iterations) - 1; iteration >= first; iteration--) {
      const pp_schedule *schedule = pp_scenario_schedule(scenario, device, iteration);
      for (int index = schedule->op_count - 1; index >= 0; index--) {
        const pp_op *op = &schedule->ops[index];
        pp_resource resource = pp_stage_resource(op->stage);
        ck_assert_int_lt(count, MOST_LENGTHS);
        if (resource == PP_RESOURCE_DEVICE || resource == PP_RESOURCE_SERVER)
          lengths[count++] = length_of(device, iteration, op->stage, op->micro_batch, op->cost);
      }
    }
  }
  return count;
}

/* As the cost model leaves it where stages are measured. */
static pp_scenario *measured_scenario(const pp_config *config) {
  pp_scenario *scenario = NULL;
  must(pp_scenario_create(config, NULL, &scenario));
  scenario->is_measured = true;
  scenario->aggregate_ns = 0;
  for (int index = 0; index < scenario->class_count; index++) {
    const pp_schedule *both[2] = {scenario->classes[index].full, scenario->classes[index].ragged};
    for (int which = 0; which < 2; which++)
      for (int at = 0; at < both[which]->op_count; at++) {
        pp_resource resource = pp_stage_resource(both[which]->ops[at].stage);
        if (resource == PP_RESOURCE_DEVICE || resource == PP_RESOURCE_SERVER)
          both[which]->ops[at].cost = 0;
      }
  }
  return scenario;
}

static void expect_as_table(example *e) {
  static outcome table;
  static pp_stage_record lengths[MOST_LENGTHS];
  pp_timeline *timeline = NULL;
  pp_timeline_totals totals;
  example_finish(e);
  outcome_run(&table, &e->config);
  pp_scenario *scenario = measured_scenario(&e->config);
  must(pp_timeline_create(scenario, true, &timeline));
  int64_t given = 0, record = 0;
  for (int64_t round = 0; round < scenario->rounds; round++) {
    pp_round_times times;
    for (; given < scenario->rounds && given <= round + 1; given++)
      must(pp_timeline_take_lengths(timeline, given, list_lengths(table.scenario, given, lengths), lengths));
    must(pp_timeline_next_round(timeline, &times));
    ck_assert_int_eq(times.end_ns, table.rounds[round].end_ns);
    ck_assert(times.server_idle_s == table.rounds[round].server_idle_s);
    ck_assert(times.device_idle_s == table.rounds[round].device_idle_s);
    for (int64_t at = 0; at < times.record_count; at++, record++)
      ck_assert_mem_eq(&times.records[at], &table.records[record], sizeof times.records[at]);
  }
  ck_assert_int_eq(record, table.record_count);
  must(pp_timeline_finish(timeline, &totals));
  ck_assert_int_eq(totals.makespan_ns, table.totals.makespan_ns);
  ck_assert_mem_eq(totals.devices, table.totals.devices, (size_t)scenario->device_count * sizeof *totals.devices);
  ck_assert_mem_eq(totals.slots, table.totals.slots, (size_t)scenario->slots * sizeof *totals.slots);
  pp_timeline_destroy(timeline);
  pp_scenario_destroy(scenario);
  outcome_fini(&table);
}

static void init(example *e, pp_method method) {
  example_init(e, method, 3, 3);
  e->config.training.aggregate_every = 2;
  for (int group = 0; group < 3; group++)
    e->groups[group].cost.table.iterations = 5;
  e->groups[1].cost.table.forward_ns = example_ns(1.2);
  e->groups[2].cost.table.server_forward_ns = example_ns(0.9);
}

START_TEST(a_round_that_is_measured_is_that_of_a_table_with_the_same_lengths) {
  static const pp_method methods[] = {PP_METHOD_FL, PP_METHOD_SL, PP_METHOD_SFL, PP_METHOD_PIPAR, PP_METHOD_1F1B};
  static example e;
  for (size_t method = 0; method < sizeof methods / sizeof *methods; method++) {
    init(&e, methods[method]);
    expect_as_table(&e);
    init(&e, methods[method]);
    e.config.server.slots = 2;
    e.groups[0].network.half_duplex = true;
    expect_as_table(&e);
    if (methods[method] == PP_METHOD_SL)
      continue;
    init(&e, methods[method]);
    e.config.server.policy = PP_POLICY_SPACE_SHARE;
    expect_as_table(&e);
  }
}
END_TEST

START_TEST(measured_lengths_hold_over_the_server_s_link_too) {
  static const pp_method methods[] = {PP_METHOD_FL, PP_METHOD_SL, PP_METHOD_SFL, PP_METHOD_PIPAR, PP_METHOD_1F1B};
  pp_rate_step up[] = {{0, 12000000}, {example_ns(4), 7000000}}, down[] = {{0, 20000000}};
  static example e;
  for (size_t method = 0; method < sizeof methods / sizeof *methods; method++) {
    init(&e, methods[method]);
    e.config.server.link.up = (pp_rate_trace){2, up, 0};
    e.config.server.link.down = (pp_rate_trace){1, down, 0};
    expect_as_table(&e);
  }
}
END_TEST

START_TEST(slowdowns_of_devices_stretch_measured_lengths_too) {
  pp_rate_step constant[] = {{0, 2500000}}, changing[] = {{0, 1000000}, {example_ns(3), 3000000}};
  static example e;
  init(&e, PP_METHOD_PIPAR);
  e.groups[0].slowdown = (pp_rate_trace){.count = 1, .steps = constant};
  e.groups[1].slowdown = (pp_rate_trace){.count = 2, .steps = changing};
  expect_as_table(&e);
}
END_TEST

/* Example A of docs/timing-model.md, its forward 1 half a second and its backward 1 a second longer: forwards 0-1,
 * 1-2.5; uploads 1-2, 2.5-3.5; server 2.1-3.6, 3.6-5.1; backwards 4.2-6.2, 6.2-9.2; all else a second later. */
START_TEST(each_stage_has_its_own_length) {
  static example e;
  static pp_stage_record lengths[MOST_LENGTHS];
  pp_scenario *table = NULL;
  pp_timeline *timeline = NULL;
  pp_round_times times;
  pp_timeline_totals totals;
  example_init(&e, PP_METHOD_PIPAR, 1, 2);
  example_finish(&e);
  must(pp_scenario_create(&e.config, NULL, &table));
  pp_scenario *scenario = measured_scenario(&e.config);
  int64_t count = list_lengths(table, 0, lengths);
  for (int64_t at = 0; at < count; at++) {
    if (lengths[at].stage == PP_STAGE_FORWARD && lengths[at].micro_batch == 1)
      lengths[at].end_ns = example_ns(1.5);
    if (lengths[at].stage == PP_STAGE_BACKWARD && lengths[at].micro_batch == 1)
      lengths[at].end_ns = example_ns(3);
  }
  must(pp_timeline_create(scenario, true, &timeline));
  must(pp_timeline_take_lengths(timeline, 0, count, lengths));
  must(pp_timeline_next_round(timeline, &times));
  must(pp_timeline_finish(timeline, &totals));
  ck_assert_int_eq(totals.makespan_ns, example_ns(10.1));
  expect_times(
      &totals.devices[0], 8, 2.1,
      (seconds_by_cause){.server_compute = 1.1, .download = 0.55, .latency = 0.3, .upload = 0.1, .aggregation = 0.05});
  pp_timeline_destroy(timeline);
  pp_scenario_destroy(scenario);
  pp_scenario_destroy(table);
}
END_TEST

static void expect_refused(const pp_scenario *scenario, int64_t count, const pp_stage_record *lengths,
                           const char *says) {
  pp_timeline *timeline = NULL;
  must(pp_timeline_create(scenario, false, &timeline));
  pp_status status = pp_timeline_take_lengths(timeline, 0, count, lengths);
  ck_assert_ptr_nonnull(status);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_RUN);
  ck_assert_msg(strstr(pp_error_message(status), says) != NULL, "%s", pp_error_message(status));
  pp_error_free(status);
  pp_timeline_destroy(timeline);
}

START_TEST(lengths_that_do_not_fit_the_round_are_refused) {
  static example e;
  static pp_stage_record good[MOST_LENGTHS], bad[MOST_LENGTHS];
  pp_scenario *table = NULL;
  init(&e, PP_METHOD_PIPAR);
  example_finish(&e);
  must(pp_scenario_create(&e.config, NULL, &table));
  pp_scenario *scenario = measured_scenario(&e.config);
  int64_t count = list_lengths(table, 0, good);
  expect_refused(scenario, count - 1, good, "is missing");
  expect_refused(scenario, count - 1, good + 1, "aggregate -1 of device -1, iteration -1, of 0 ns is missing");
  memcpy(bad, good, sizeof bad);
  bad[count] = good[1];
  expect_refused(scenario, count + 1, bad, "was given twice");
  bad[count] = good[0];
  expect_refused(scenario, count + 1, bad, "was given twice");
  bad[1].end_ns = 0;
  expect_refused(scenario, count, bad, "is shorter than 1 ns");
  bad[1] = good[1];
  bad[1].device = 3;
  expect_refused(scenario, count, bad, "is of a device that does not exist");
  bad[1] = good[1];
  bad[1].iteration = 2;
  expect_refused(scenario, count, bad, "is of another round");
  bad[1] = good[1];
  bad[1].micro_batch = 3;
  expect_refused(scenario, count, bad, "is not in the schedule");
  bad[1] = good[1];
  bad[1].stage = 99;
  expect_refused(scenario, count, bad, "is not in the schedule");
  bad[1] = good[1];
  bad[1].stage = PP_STAGE_UPLOAD;
  bad[1].micro_batch = 0;
  expect_refused(scenario, count, bad, "is not computed");

  pp_timeline *timeline = NULL;
  pp_round_times times;
  must(pp_timeline_create(scenario, false, &timeline));
  must(pp_timeline_take_lengths(timeline, 0, count, good));
  pp_status status = pp_timeline_next_round(timeline, &times);
  ck_assert_ptr_nonnull(status);
  ck_assert_str_eq(pp_error_message(status), "round 1: its stages have not been measured");
  pp_error_free(status);
  pp_timeline_destroy(timeline);
  pp_scenario_destroy(scenario);
  pp_scenario_destroy(table);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("measured lengths");
  tcase_add_test(tests, a_round_that_is_measured_is_that_of_a_table_with_the_same_lengths);
  tcase_add_test(tests, measured_lengths_hold_over_the_server_s_link_too);
  tcase_add_test(tests, slowdowns_of_devices_stretch_measured_lengths_too);
  tcase_add_test(tests, each_stage_has_its_own_length);
  tcase_add_test(tests, lengths_that_do_not_fit_the_round_are_refused);
  return run_case("measured lengths", tests);
}
