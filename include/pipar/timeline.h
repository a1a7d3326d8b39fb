/* When everything happens: the emulated-time interpreter of schedules. Pure: no MPI, no data, no clock. The meaning of
 * every rule is docs/timing-model.md. */
#ifndef PIPAR_TIMELINE_H
#define PIPAR_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "pipar/config.h"
#include "pipar/nn.h"
#include "pipar/schedule.h"
#include "pipar/status.h"

/* Why a resource was idle. */
typedef enum pp_cause {
  PP_CAUSE_DEVICE_COMPUTE,
  PP_CAUSE_UPLOAD,
  PP_CAUSE_SERVER_QUEUE,
  PP_CAUSE_SERVER_COMPUTE,
  PP_CAUSE_DOWNLOAD,
  PP_CAUSE_LATENCY,
  PP_CAUSE_AGGREGATION,
  PP_CAUSE_DRAIN,
  PP_CAUSE_OVERRUN, /* 0 under the virtual clock */
  PP_CAUSE_ABSENT,  /* the device was not there; of a slot: no device was */
} pp_cause;
enum { PP_CAUSE_COUNT = 10 };
const char *pp_cause_name(pp_cause cause); /* "device_compute" */

/* Devices that are alike in everything that time depends on. */
typedef struct pp_device_class {
  int group;
  int64_t samples;          /* training samples per device */
  int split, micro_batches; /* as planned; micro_batches 1 in fl and sfl */
  int64_t iterations_per_epoch;
  int64_t iterations_per_round; /* the last round may have fewer */
  int64_t iterations;           /* over the run */
  const pp_schedule *full;      /* every mini-batch but a ragged last one of an epoch */
  const pp_schedule *ragged;    /* that one; equal to `full` where there is none */
  /* The same as the last mini-batch of a round, where clipping and noise make its update longer; else both NULL. */
  const pp_schedule *closing_full, *closing_ragged;
  const pp_network_config *network;
  int64_t arrives_ns, departs_ns; /* departs_ns 0: it stays */
  double dropout;                 /* probability a round to fall silent */
  const pp_rate_trace *slowdown;  /* millionths; NULL or no steps: compute stages take what the schedule says */
} pp_device_class;

/* One candidate that the planner considered. */
typedef struct pp_plan_row {
  int group;
  int split, micro_batches;
  double makespan_s; /* predicted by the timeline for the planner's horizon; NaN where pruned */
  int chosen;        /* 1 for the plan of its group */
  int round;         /* from which on the choice holds */
} pp_plan_row;

/* A run, as numbers: the timeline's whole input. */
typedef struct pp_scenario {
  pp_method method;
  pp_policy policy;
  int slots;
  int device_count;
  int class_count;
  const pp_device_class *classes; /* (class_count) */
  const int32_t *class_of;        /* (device_count) */
  int64_t rounds;
  int64_t aggregate_ns; /* 0 where the method has no aggregate */
  bool is_measured;     /* compute stages cost 0 in the schedules: pp_timeline_take_lengths says what they took */
  /* Rates of the server's link that all devices share; both NULL: they share none. has_presence goes with them, but in
   * sl and with a buffer. */
  const pp_rate_trace *server_up, *server_down;
  bool has_presence;   /* devices come or go, or the aggregate does not wait for all, or they share the server's link */
  int64_t deadline_ns; /* of a round's aggregate, from its begin; 0: none */
  int min_devices;     /* whose models an aggregate needs; 0: all's, or with a deadline one */
  int64_t buffer;      /* updates that an aggregate takes where nobody waits for the others; 0: all wait */
  uint64_t seed;       /* of the devices' silences */
  int64_t plan_count;
  const pp_plan_row *plan; /* (plan_count); empty where nothing was left to the planner */
  void *storage;           /* owns all of the above */
} pp_scenario;

/* Local. Resolves `auto` by the planner, builds schedules and fills in their costs. `model` is the network, or NULL
 * with `cost: table` and `compute: none`. Errors (PP_CODE_INPUT): a cost that is missing or rounds to 0, a split the
 * network does not have, more micro-batches than samples, a batch norm that would see one value per channel, what is
 * not built yet. `config` must outlive the scenario. */
PP_MUST_CHECK pp_status pp_scenario_create(const pp_config *config, const pp_model *model, pp_scenario **out);
void pp_scenario_destroy(pp_scenario *scenario);
/* Whether all devices are there all the time, and an aggregate of a round is of all of them. */
bool pp_scenario_waits_for_all(const pp_scenario *scenario);
/* How often the device sends its model. */
int64_t pp_class_rounds(const pp_device_class *class);
/* The iterations [*first, *end) of the whole run that the device does in its round; past its last round none. */
void pp_class_round_iterations(const pp_device_class *class, int64_t round, int64_t *first, int64_t *end);
/* How often all devices send their models, together. */
int64_t pp_scenario_update_count(const pp_scenario *scenario);
/* Whether iteration number `iteration` of the whole run ends a round of the class. */
bool pp_class_closes_round(const pp_device_class *class, int64_t iteration);
/* The schedule of a device's iteration number `iteration` of the whole run. */
const pp_schedule *pp_scenario_schedule(const pp_scenario *scenario, int device, int64_t iteration);

/* One stage that happened: a row of /runs/<n>/stages. */
typedef struct pp_stage_record {
  int32_t device; /* -1: aggregate */
  int32_t slot;   /* -1: not on one */
  int32_t round;
  int32_t iteration;   /* over the whole run; -1: model_upload, aggregate, model_download */
  int32_t micro_batch; /* -1: none */
  int32_t stage;       /* pp_stage */
  int64_t start_ns, end_ns;
  int64_t bytes; /* transfers; else 0 */
} pp_stage_record;

/* What an aggregate takes where nobody waits for the others. */
typedef struct pp_update {
  int32_t device;
  int64_t local_round; /* of the device */
  int64_t version;     /* of the model that it began with: the aggregates that had ended */
  int64_t first_iteration, end_iteration;
} pp_update;

/* A round: its idle time is what falls between the previous round's end and its own. */
typedef struct pp_round_times {
  int64_t round;
  int64_t iterations; /* the most of any device in this round */
  int64_t end_ns;
  bool is_last;           /* of the run, which may be over early when nobody is left */
  int64_t member_count;   /* devices whose models were averaged */
  const int32_t *members; /* (member_count) rising; NULL: all devices, or those of updates. Valid as records
                             are */
  int64_t update_count;
  const pp_update *updates; /* (update_count) that the round's aggregate takes, in the order in which they were
                               complete; empty where all devices wait for each other */
  double server_idle_s;     /* mean over slots */
  double device_idle_s;     /* mean over devices */
  int64_t record_count;
  const pp_stage_record *records; /* (record_count), by start, then end, device, stage; valid until the timeline's next
                                     call. Empty unless recording was asked for */
} pp_round_times;

/* What one device or slot did in the whole run. busy_ns + the causes = makespan. */
typedef struct pp_resource_times {
  int64_t busy_ns;
  int64_t idle_ns;
  int64_t cause_ns[PP_CAUSE_COUNT];
  int64_t bytes_up, bytes_down; /* devices */
} pp_resource_times;

typedef struct pp_timeline_totals {
  int64_t makespan_ns;
  int64_t stage_count;
  const pp_resource_times *devices; /* (device_count) */
  const pp_resource_times *slots;   /* (slots) */
} pp_timeline_totals;

typedef struct pp_timeline pp_timeline;

/* All memory is allocated here or grows by whole rounds; the scenario must outlive the timeline. */
PP_MUST_CHECK pp_status pp_timeline_create(const pp_scenario *scenario, bool record_stages, pp_timeline **out);
void pp_timeline_destroy(pp_timeline *timeline);
/* Advances by one round; to be called until one is_last, after scenario->rounds at most. */
PP_MUST_CHECK pp_status pp_timeline_next_round(pp_timeline *timeline, pp_round_times *out);
/* In a scenario that is_measured: what the compute stages of a round, and its aggregate, took. lengths: all of them, in
 * any order; end_ns - start_ns >= 1 counts, and which stage it is, the rest does not. Rounds are given in order;
 * pp_timeline_next_round wants those of the round after the one that it returns too, unless there is none, because that
 * begins before this one ends. Errors (PP_CODE_RUN): one that is missing, given twice, below 1 ns or in no schedule. */
PP_MUST_CHECK pp_status pp_timeline_take_lengths(pp_timeline *timeline, int64_t round, int64_t count,
                                                 const pp_stage_record *lengths);
/* After the last round. `out` is valid until the timeline is destroyed. */
PP_MUST_CHECK pp_status pp_timeline_finish(pp_timeline *timeline, pp_timeline_totals *out);

/* Asked when a round's aggregate has ended, but not the last one's. *next: the scenario that holds from the next round
 * on, alike but for its plans, in whose sizes the models go out; NULL: none. It must outlive the timeline. */
typedef struct pp_replanner {
  pp_status (*decide)(void *context, const pp_timeline *timeline, const pp_scenario **next);
  void *context;
} pp_replanner;
void pp_timeline_replan_by(pp_timeline *timeline, pp_replanner replanner);

/* Under the wall clock, instead of pp_timeline_next_round: takes over what really happened in the next round, and gives
 * the same figures of it, with lateness against the model as PP_CAUSE_OVERRUN. `records`: every stage of the round, in
 * any order; `arrival_ns`: for a transfer when it was seen by its receiver, else ignored. */
PP_MUST_CHECK pp_status pp_timeline_observe_round(pp_timeline *timeline, int64_t count, const pp_stage_record *records,
                                                  const int64_t *arrival_ns, pp_round_times *out);

#endif
