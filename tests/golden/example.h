/* The worked examples of docs/timing-model.md as experiments, and exact expectations in seconds. */
#ifndef GOLDEN_EXAMPLE_H
#define GOLDEN_EXAMPLE_H

#include "pipar/timeline.h"

enum { EXAMPLE_GROUPS = 3, EXAMPLE_STEPS = 2, EXAMPLE_RECORDS = 4096 };

/* An experiment in one struct: config points into it, so it must not be moved once example_finish has been called. */
typedef struct example {
  pp_config config;
  pp_device_group groups[EXAMPLE_GROUPS];
  pp_rate_step up[EXAMPLE_GROUPS][EXAMPLE_STEPS], down[EXAMPLE_GROUPS][1];
  int up_steps[EXAMPLE_GROUPS];
} example;

/* Seconds of at most three decimals as nanoseconds. */
int64_t example_ns(double seconds);

/* Groups of one device each as in the examples: N micro-batches, table costs. */
void example_init(example *e, pp_method method, int groups, int micro_batches);
/* Example E's two devices, of two mini-batches each. */
void example_init_fl(example *e);
/* Links the struct's pointers; call it after all changes. */
void example_finish(example *e);

/* What happened in all rounds. */
typedef struct outcome {
  pp_scenario *scenario;
  pp_timeline *timeline;
  pp_timeline_totals totals;
  int64_t round_count;
  pp_round_times rounds[64]; /* records are not kept here */
  int64_t record_count;
  pp_stage_record records[EXAMPLE_RECORDS];
} outcome;

/* Runs to the end; fails the test on any error. */
void outcome_run(outcome *out, const pp_config *config);
void outcome_fini(outcome *out);

/* The record of that description in the run; NULL: there is none. */
const pp_stage_record *outcome_find(const outcome *out, pp_stage stage, int device, int iteration, int micro_batch);
void expect_stage(const outcome *out, pp_stage stage, int device, int iteration, int micro_batch, double start_s,
                  double end_s);

typedef struct seconds_by_cause {
  double device_compute, upload, server_queue, server_compute, download, latency, aggregation, drain, absent;
} seconds_by_cause;
void expect_times(const pp_resource_times *times, double busy_s, double idle_s, seconds_by_cause causes);
/* Without the causes. */
void expect_busy_idle(const pp_resource_times *times, double busy_s, double idle_s);

#endif
