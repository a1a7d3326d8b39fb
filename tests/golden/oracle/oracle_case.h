/* Small scenarios in one flat struct that can be copied, shrunk and printed: by hand or at random. */
#ifndef ORACLE_CASE_H
#define ORACLE_CASE_H

#include "oracle.h"

enum { CASE_DEVICES = 6, CASE_MICRO_BATCHES = 5, CASE_ITERATIONS = 16, CASE_RATES = 6 };

typedef struct case_iteration {
  int micro_batch_count;
  oracle_micro_batch micro_batches[CASE_MICRO_BATCHES];
  int64_t device_update, server_update;
} case_iteration;

typedef struct case_trace {
  int count;
  oracle_rate rates[CASE_RATES];
  int64_t period;
} case_trace;

/* Devices that are alike. */
typedef struct case_class {
  case_iteration full;
  bool has_ragged;
  case_iteration ragged;                   /* the last of each epoch, where there is one */
  case_iteration later_full, later_ragged; /* from round changes_at on */
  int iterations_per_epoch, iterations_per_round;
  int in_flight;
  int64_t model_upload_bytes, model_download_bytes;
  int64_t protection; /* what the last update of each round takes more, before the model goes up */
  case_trace up, down, slowdown;
  int64_t up_latency, down_latency;
  bool half_duplex;
  int64_t arrives, departs; /* departs 0: never */
  int dropout_percent;
} case_class;

typedef struct oracle_case {
  oracle_method method;
  oracle_policy policy;
  int slots, epochs;
  int64_t aggregate;
  int device_count, class_count;
  int class_of[CASE_DEVICES];
  bool presence;
  int64_t deadline;
  int min_devices;
  int buffer;  /* 0: all wait for each other; without presence */
  bool shared; /* the server's link; with presence, in sl or with a buffer */
  case_trace shared_up, shared_down;
  int changes_at; /* the round from which on iterations are others; 0: none */
  uint64_t silence_seed;
  int silent_at[CASE_DEVICES][CASE_ITERATIONS]; /* by device and round; who runs the case fills it in */
  case_class classes[CASE_DEVICES];
} oracle_case;

/* The case as the oracle takes it; it points into the case. */
typedef struct case_scenario {
  oracle_scenario scenario;
  oracle_device devices[CASE_DEVICES];
  oracle_iteration iterations[CASE_DEVICES][CASE_ITERATIONS];
} case_scenario;
/* Whether a round surely ends: there is a deadline, or enough devices never fail, or none ever does. */
bool case_ends(const oracle_case *c);
/* The case as if it had been from the start what it is from round changes_at on. */
oracle_case case_later(const oracle_case *c);
void case_expand(const oracle_case *from, case_scenario *out);

/* Seconds of at most three decimals as nanoseconds. */
int64_t case_seconds(double seconds);
case_trace case_constant(int64_t rate);
/* The worked examples' devices, each with its mini-batch in `micro_batches` micro-batches. */
oracle_case case_example(oracle_method method, int devices, int micro_batches);
/* The caller releases the result. */
oracle_result case_run(const oracle_case *c);

/* A random number generator of our own (SplitMix64: Steele, Lea and Flood, OOPSLA 2014). */
typedef struct case_rng {
  uint64_t state;
} case_rng;
uint64_t case_rng_next(case_rng *rng);
/* lowest..highest, both included; the bias of the remainder does not matter here. */
int64_t case_rng_range(case_rng *rng, int64_t lowest, int64_t highest);

/* Sets of methods and policies: bits 1 << method, 1 << policy. */
enum { CASE_EVERY_METHOD = 63, CASE_EVERY_POLICY = 7 };

/* The case of that seed, its method and policy drawn from these sets. */
void case_random(uint64_t seed, unsigned methods, unsigned policies, oracle_case *out);

const char *case_method_name(oracle_method method);
void case_print(const oracle_case *c, FILE *stream);

#endif
