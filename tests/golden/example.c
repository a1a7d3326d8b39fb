#include "example.h"
#include "suite.h"

#include <math.h>
#include <string.h>

int64_t example_ns(double seconds) { return (int64_t)llround(seconds * 1000) * 1000000; }

void example_init(example *e, pp_method method, int groups, int micro_batches) {
  memset(e, 0, sizeof *e);
  e->config = (pp_config){.compute = PP_COMPUTE_NONE,
                          .method = method,
                          .training = {.epochs = 1, .batch_size = 100},
                          .server = {.slots = 1, .policy = PP_POLICY_FIFO},
                          .group_count = groups};
  for (int group = 0; group < groups; group++) {
    e->up[group][0].rate_bps = 10000000;
    e->down[group][0].rate_bps = 20000000;
    e->up_steps[group] = 1;
    e->groups[group] =
        (pp_device_group){.count = 1,
                          .network = {.up_latency_ns = example_ns(0.1), .down_latency_ns = example_ns(0.1)},
                          .pipeline = {.split = 1, .micro_batches = micro_batches},
                          .cost = {.kind = PP_COST_TABLE,
                                   .table = {.iterations = 1,
                                             .forward_ns = example_ns(1),
                                             .backward_ns = example_ns(2),
                                             .update_ns = example_ns(0.5),
                                             .server_forward_ns = example_ns(0.5),
                                             .server_backward_ns = example_ns(1),
                                             .server_update_ns = example_ns(0.25),
                                             .aggregate_ns = example_ns(0.05),
                                             .upload_bytes = 1250000,
                                             .download_bytes = 1250000,
                                             .model_upload_bytes = 125000,
                                             .model_download_bytes = 125000}},
                          .samples = -1};
  }
}

void example_init_fl(example *e) {
  example_init(e, PP_METHOD_FL, 2, 1);
  for (int group = 0; group < 2; group++) {
    pp_cost_table *table = &e->groups[group].cost.table;
    table->iterations = 2;
    table->forward_ns = group == 0 ? example_ns(3) : example_ns(4);
    table->backward_ns = example_ns(6);
    table->update_ns = example_ns(0.75);
    table->model_upload_bytes = table->model_download_bytes = 500000;
  }
}

void example_finish(example *e) {
  e->config.groups = e->groups;
  for (int group = 0; group < e->config.group_count; group++) {
    pp_network_config *network = &e->groups[group].network;
    network->up = (pp_rate_trace){.count = e->up_steps[group], .steps = e->up[group]};
    network->down = (pp_rate_trace){.count = 1, .steps = e->down[group]};
  }
}

static void expect_ok(pp_status status) { ck_assert_msg(status == NULL, "%s", pp_error_message(status)); }

void outcome_run(outcome *out, const pp_config *config) {
  out->record_count = 0;
  expect_ok(pp_scenario_create(config, NULL, &out->scenario));
  expect_ok(pp_timeline_create(out->scenario, true, &out->timeline));
  out->round_count = out->scenario->rounds;
  for (int64_t round = 0; round < out->round_count; round++) {
    expect_ok(pp_timeline_next_round(out->timeline, &out->rounds[round]));
    int64_t count = out->rounds[round].record_count;
    ck_assert_int_le(out->record_count + count, EXAMPLE_RECORDS);
    memcpy(out->records + out->record_count, out->rounds[round].records, (size_t)count * sizeof *out->records);
    out->record_count += count;
  }
  expect_ok(pp_timeline_finish(out->timeline, &out->totals));
  ck_assert_int_eq(out->totals.stage_count, out->record_count);
}

void outcome_fini(outcome *out) {
  pp_timeline_destroy(out->timeline);
  pp_scenario_destroy(out->scenario);
}

const pp_stage_record *outcome_find(const outcome *out, pp_stage stage, int device, int iteration, int micro_batch) {
  for (int64_t record = 0; record < out->record_count; record++) {
    const pp_stage_record *at = &out->records[record];
    if (at->stage == (int32_t)stage && at->device == device && at->iteration == iteration &&
        at->micro_batch == micro_batch)
      return at;
  }
  return NULL;
}

void expect_stage(const outcome *out, pp_stage stage, int device, int iteration, int micro_batch, double start_s,
                  double end_s) {
  const pp_stage_record *at = outcome_find(out, stage, device, iteration, micro_batch);
  ck_assert_msg(at != NULL, "no %s %d of device %d", pp_stage_name(stage), micro_batch, device);
  ck_assert_msg(at->start_ns == example_ns(start_s) && at->end_ns == example_ns(end_s),
                "%s %d of device %d is %.9f-%.9f, not %.3f-%.3f", pp_stage_name(stage), micro_batch, device,
                (double)at->start_ns / 1e9, (double)at->end_ns / 1e9, start_s, end_s);
}

void expect_busy_idle(const pp_resource_times *times, double busy_s, double idle_s) {
  ck_assert_int_eq(times->busy_ns, example_ns(busy_s));
  ck_assert_int_eq(times->idle_ns, example_ns(idle_s));
}

void expect_times(const pp_resource_times *times, double busy_s, double idle_s, seconds_by_cause causes) {
  const double wanted[PP_CAUSE_COUNT] = {[PP_CAUSE_DEVICE_COMPUTE] = causes.device_compute,
                                         [PP_CAUSE_UPLOAD] = causes.upload,
                                         [PP_CAUSE_SERVER_QUEUE] = causes.server_queue,
                                         [PP_CAUSE_SERVER_COMPUTE] = causes.server_compute,
                                         [PP_CAUSE_DOWNLOAD] = causes.download,
                                         [PP_CAUSE_LATENCY] = causes.latency,
                                         [PP_CAUSE_AGGREGATION] = causes.aggregation,
                                         [PP_CAUSE_DRAIN] = causes.drain,
                                         [PP_CAUSE_ABSENT] = causes.absent};
  expect_busy_idle(times, busy_s, idle_s);
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
    ck_assert_msg(times->cause_ns[cause] == example_ns(wanted[cause]), "%s is %.9f, not %.3f",
                  pp_cause_name((pp_cause)cause), (double)times->cause_ns[cause] / 1e9, wanted[cause]);
}
