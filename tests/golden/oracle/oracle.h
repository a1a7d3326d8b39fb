/* A second simulator of docs/timing-model.md, written from that text alone and slow on purpose: what the timeline is
 * compared with. It shares no code with the library. Times are ns, sizes bytes, rates bits per second. */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum oracle_method {
  ORACLE_FL,
  ORACLE_SL,
  ORACLE_SFL,
  ORACLE_PIPAR,
  ORACLE_1F1B,
  ORACLE_BW_SPLIT
} oracle_method;

typedef enum oracle_policy { ORACLE_FIFO, ORACLE_SPACE_SHARE, ORACLE_PRIORITY } oracle_policy;

typedef struct oracle_micro_batch {
  int64_t forward, backward;               /* on the device */
  int64_t server_forward, server_backward; /* bw-split: server_backward is the gradient of the input */
  int64_t server_backward_weight;          /* bw-split */
  int64_t upload_bytes, download_bytes;
} oracle_micro_batch;

/* One mini-batch. `fl` and `sfl` have one micro-batch, of which `fl` uses forward and backward. */
typedef struct oracle_iteration {
  int micro_batch_count;
  const oracle_micro_batch *micro_batches; /* (micro_batch_count) */
  int64_t device_update, server_update;
} oracle_iteration;

typedef struct oracle_rate {
  int64_t from, bits_per_second;
} oracle_rate;

typedef struct oracle_trace {
  int count;
  const oracle_rate *rates; /* (count), the first from 0 */
  int64_t period;           /* starts over after this long; 0: the last rate stays */
} oracle_trace;

typedef struct oracle_device {
  int iteration_count;                /* over the run */
  const oracle_iteration *iterations; /* (iteration_count) */
  int iterations_per_round;
  int in_flight; /* 1f1b */
  int64_t model_upload_bytes, model_download_bytes;
  oracle_trace up, down;
  oracle_trace slowdown; /* of compute stages, millionths as bits_per_second; no rates: none */
  int64_t up_latency, down_latency;
  bool half_duplex;
  int64_t arrives, departs; /* departs 0: never */
  const int *silent_at;     /* (rounds) the round's iteration that does not begin, -1: none; NULL: none in any */
} oracle_device;

typedef struct oracle_scenario {
  oracle_method method;
  oracle_policy policy;
  int slots; /* space-share: as many as devices */
  int device_count;
  const oracle_device *devices; /* (device_count) */
  int64_t aggregate;            /* its length; sl: unused */
  bool presence;                /* devices come and go, or aggregates do not wait for all */
  int64_t deadline;             /* of a round's aggregate; 0: none */
  int min_devices;              /* 0: all, or with a deadline one */
  int buffer; /* updates that an aggregate takes where nobody waits for the others, 0: all wait; without presence */
  oracle_trace shared_up,
      shared_down; /* the server's link; no rates: not shared. Both or none, with presence, sl or buffer */
} oracle_scenario;

/* Numbered as in results files. */
typedef enum oracle_kind {
  ORACLE_FORWARD,
  ORACLE_UPLOAD,
  ORACLE_SERVER_FORWARD,
  ORACLE_SERVER_BACKWARD,
  ORACLE_DOWNLOAD,
  ORACLE_BACKWARD,
  ORACLE_DEVICE_UPDATE,
  ORACLE_SERVER_UPDATE,
  ORACLE_MODEL_UPLOAD,
  ORACLE_AGGREGATE,
  ORACLE_MODEL_DOWNLOAD,
  ORACLE_SERVER_BACKWARD_INPUT,
  ORACLE_SERVER_BACKWARD_WEIGHT
} oracle_kind;
const char *oracle_kind_name(oracle_kind kind);

/* A stage that happened. Other stages are named by their place in the list; -1: there is none. */
typedef struct oracle_stage {
  oracle_kind kind;
  int device; /* -1: aggregate */
  int slot;   /* -1: not on one */
  int round;
  int iteration;   /* over the run; -1: of none */
  int micro_batch; /* -1: of none */
  int64_t bytes;   /* transfers */
  int64_t ready;   /* transfers: when it could have gone, had the link been free */
  int64_t start, end;
  int64_t arrival; /* transfers */
  int producer;    /* transfers: what it had to wait for before it was ready */
  int data;        /* compute: the transfer without which it could not start; aggregate: the model that arrived last */
  int previous;    /* the stage before it on its compute unit, slot or link */
} oracle_stage;

typedef enum oracle_cause {
  ORACLE_CAUSE_DEVICE_COMPUTE,
  ORACLE_CAUSE_UPLOAD,
  ORACLE_CAUSE_SERVER_QUEUE,
  ORACLE_CAUSE_SERVER_COMPUTE,
  ORACLE_CAUSE_DOWNLOAD,
  ORACLE_CAUSE_LATENCY,
  ORACLE_CAUSE_AGGREGATION,
  ORACLE_CAUSE_DRAIN,
  ORACLE_CAUSE_ABSENT,
  ORACLE_CAUSE_COUNT
} oracle_cause;
const char *oracle_cause_name(oracle_cause cause);

typedef struct oracle_times {
  int64_t busy, idle;
  int64_t causes[ORACLE_CAUSE_COUNT];
  int64_t bytes_up, bytes_down; /* devices */
} oracle_times;

typedef struct oracle_round {
  int iterations; /* the most of any device */
  int64_t end;
  int64_t server_idle; /* sum over the slots, between the previous round's end and this one's */
  int64_t device_idle; /* sum over the devices */
  uint64_t members;    /* bits of the devices whose models were averaged; presence alone */
} oracle_round;

/* What an aggregate takes where nobody waits for the others. */
typedef struct oracle_update {
  int device, local_round, version;
} oracle_update;

typedef struct oracle_result {
  int64_t makespan;
  int stage_count;
  oracle_stage *stages; /* (stage_count), in the order in which they became ready or started */
  oracle_times *devices;
  oracle_times *slots;
  int round_count;
  oracle_round *rounds;
  int update_count;
  oracle_update *updates; /* (update_count) `buffer` a round */
} oracle_result;

/* Aborts with a line on stderr when the scenario is not one the text allows. The caller releases the result. */
oracle_result oracle_run(const oracle_scenario *scenario);
void oracle_release(oracle_result *result);

/* The stage of that description, or NULL. A device of -1 (aggregate) has iteration and micro-batch -1 too. */
const oracle_stage *oracle_find(const oracle_result *result, oracle_kind kind, int device, int round, int iteration,
                                int micro_batch);

#endif
