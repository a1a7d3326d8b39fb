/* The experiment: what an experiment file says, checked and resolved, one pp_config per run of its sweep. */
#ifndef PIPAR_CONFIG_H
#define PIPAR_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "pipar/status.h"

enum { PP_AUTO = 0 }; /* split and micro-batches: left to the planner */

typedef enum pp_clock { PP_CLOCK_VIRTUAL, PP_CLOCK_WALL } pp_clock;
typedef enum pp_compute { PP_COMPUTE_REAL, PP_COMPUTE_NONE } pp_compute;
typedef enum pp_method {
  PP_METHOD_FL,
  PP_METHOD_SL,
  PP_METHOD_SFL,
  PP_METHOD_PIPAR,
  PP_METHOD_1F1B,
  PP_METHOD_BW_SPLIT,
} pp_method;
typedef enum pp_policy { PP_POLICY_FIFO, PP_POLICY_SPACE_SHARE, PP_POLICY_PRIORITY } pp_policy;
typedef enum pp_partition_kind { PP_PARTITION_IID, PP_PARTITION_DIRICHLET } pp_partition_kind;
typedef enum pp_mechanism { PP_PRIVACY_NONE, PP_PRIVACY_DP_FEDAVG, PP_PRIVACY_ACTIVATION } pp_mechanism;
typedef enum pp_noise { PP_NOISE_GAUSSIAN, PP_NOISE_LAPLACE } pp_noise;
typedef enum pp_planner {
  PP_PLANNER_SEARCH,
  PP_PLANNER_APS,
  PP_PLANNER_APS_AS_PUBLISHED,
  PP_PLANNER_EXHAUSTIVE,
} pp_planner;
typedef enum pp_cost_kind { PP_COST_ROOFLINE, PP_COST_PROFILE, PP_COST_TABLE, PP_COST_MEASURED } pp_cost_kind;

/* A rate that holds from start_ns until the next step. */
typedef struct pp_rate_step {
  int64_t start_ns;
  int64_t rate_bps;
} pp_rate_step;

/* A piecewise-constant rate: steps sorted by time, the first at 0; a constant is one step. */
typedef struct pp_rate_trace {
  int count;
  pp_rate_step *steps; /* (count) */
  int64_t period_ns;   /* it starts over after this long; 0: the last rate stays */
} pp_rate_trace;

typedef struct pp_network_config {
  char name[64]; /* preset, or "" when given in place */
  pp_rate_trace up, down;
  int64_t up_latency_ns, down_latency_ns;
  bool half_duplex;
} pp_network_config;

/* Rates of a device or of one server slot, per kind of layer. */
typedef struct pp_device_config {
  char name[64]; /* preset, or "" when given in place */
  double dense_conv_gflops, pointwise_gflops, depthwise_gflops, linear_gflops;
  double memory_gbs;  /* 10^9 bytes per second */
  double overhead_us; /* per layer and pass */
} pp_device_config;

/* `cost: table`: lengths of stages in ns and sizes of messages in bytes; 0 where not given. */
typedef struct pp_cost_table {
  int64_t iterations; /* per epoch */
  int64_t forward_ns, backward_ns, update_ns;
  int64_t privacy_ns; /* dp-fedavg: clipping and noise at the end of a round */
  int64_t server_forward_ns, server_backward_ns, server_update_ns, aggregate_ns;
  int64_t server_backward_input_ns, server_backward_weight_ns; /* bw-split, instead of server_backward_ns */
  int64_t upload_bytes, download_bytes, model_upload_bytes, model_download_bytes;
} pp_cost_table;

typedef struct pp_cost_config {
  pp_cost_kind kind;
  pp_cost_table table;                            /* with PP_COST_TABLE */
  char *device_profile, *server_profile;          /* files, with PP_COST_PROFILE; NULL where not given */
  const struct pp_profile *on_device, *on_server; /* what they hold (config/profile.h) */
  int64_t slowdown, server_slowdown;              /* millionths, with PP_COST_MEASURED; 0: not given, which is 1 */
} pp_cost_config;

typedef struct pp_pipeline_config {
  int split;         /* blocks on the device, or PP_AUTO */
  int micro_batches; /* or PP_AUTO */
  int in_flight;     /* 1f1b; 0: micro_batches */
  pp_planner planner;
  int min_micro_batch; /* samples; bounds what is planned */
  int replan;          /* rounds after which the planner runs again; 0: never */
} pp_pipeline_config;

typedef enum pp_aggregate_mode { PP_AGGREGATE_SYNC, PP_AGGREGATE_ASYNC } pp_aggregate_mode;

/* Which models an aggregate waits for. */
typedef struct pp_aggregate_config {
  pp_aggregate_mode mode;
  int buffer;                /* async: updates that an aggregate takes; 0: not given */
  double staleness_exponent; /* async */
  int64_t deadline_ns;       /* from the round's begin; 0: none */
  int min_devices;           /* 0: all; with a deadline one */
} pp_aggregate_config;

/* `count` devices alike, numbered in order of the groups. */
typedef struct pp_device_group {
  int count;
  pp_device_config device;
  pp_network_config network;
  pp_pipeline_config pipeline;    /* the experiment's, unless the group overrides it */
  pp_cost_config cost;            /* the experiment's, unless the group overrides it */
  int64_t samples;                /* per device; -1: an equal share of what the others leave */
  int64_t arrives_ns, departs_ns; /* departs_ns 0: never */
  double dropout;                 /* probability a round */
  pp_rate_trace slowdown;         /* millionths by which compute stages are stretched, as `rate_bps`; no steps: never */
} pp_device_group;

typedef struct pp_dataset_config {
  char name[64];
  char *path; /* "auto" or a directory */
  int64_t train_samples, test_samples;
  pp_partition_kind partition;
  double alpha;
  bool shuffle, augment;
  int normalize_channels;      /* 0: the data set's own */
  float mean[4], deviation[4]; /* (normalize_channels) */
  int shape[3];                /* channels, height, width; `synthetic` */
  int classes;                 /* `synthetic` */
} pp_dataset_config;

typedef struct pp_training_config {
  int epochs;
  int batch_size;
  double learning_rate, momentum, weight_decay;
  int64_t aggregate_every; /* iterations; 0: epoch */
  int threads;             /* of each rank */
} pp_training_config;

typedef struct pp_server_config {
  pp_device_config device; /* one slot */
  int slots;
  pp_policy policy;
  pp_network_config link; /* rates that all devices share; no steps: nothing is shared */
} pp_server_config;

/* docs/privacy.md. Noise has the scale noise_multiplier x 2 clip; Laplace noise of activations 2 clip / epsilon. */
typedef struct pp_privacy_config {
  pp_mechanism mechanism;
  pp_noise noise;          /* of activations */
  double clip;             /* norm; 0 where not given */
  double noise_multiplier; /* 0: no Gaussian noise */
  double delta;
  double epsilon; /* of one release, Laplace; 0 where not given */
} pp_privacy_config;

typedef struct pp_config {
  char name[128];
  uint64_t seed;
  pp_clock clock;
  pp_compute compute;
  pp_method method;
  char model[256];                            /* a name, or a file from the experiment's directory */
  const struct pp_architecture *architecture; /* what that holds (config/architecture.h); NULL for a name */
  pp_dataset_config dataset;
  pp_training_config training;
  pp_pipeline_config pipeline;
  pp_cost_config cost;
  pp_server_config server;
  pp_aggregate_config aggregate;
  int group_count;
  pp_device_group *groups; /* (group_count) */
  pp_privacy_config privacy;
  bool record_stages, record_model;
  int checkpoint_every_rounds;
  char *init;            /* "random" or FILE.h5[:GROUP] */
  const char *directory; /* of the experiment file, NULL for the working directory; the experiment's */
} pp_config;

/* A loaded experiment file with its overrides applied: its text, and its runs. */
typedef struct pp_experiment pp_experiment;

/* One `--set KEY=VALUE`, as given on the command line. */
typedef const char *pp_override;

/* Local. Reads and checks the file and every run of its sweep; errors (PP_CODE_INPUT) name file, line and column, key,
 * value and what is allowed. */
PP_MUST_CHECK pp_status pp_experiment_load(const char *path, const pp_override *overrides, int override_count,
                                           pp_experiment **out);

/* A file that an experiment was loaded from: itself, profiles, traces, networks. */
typedef struct pp_input_file {
  const char *path; /* as it was opened */
  const char *text;
  int64_t length;
} pp_input_file;
/* As pp_experiment_load, with the given texts in place of the files of those paths. */
PP_MUST_CHECK pp_status pp_experiment_load_from(const char *path, const pp_override *overrides, int override_count,
                                                const pp_input_file *files, int file_count, pp_experiment **out);
/* Everything it was loaded from, the experiment's own file first; the experiment keeps ownership. */
int pp_experiment_input_count(const pp_experiment *experiment);
pp_input_file pp_experiment_input(const pp_experiment *experiment, int input);
int pp_experiment_override_count(const pp_experiment *experiment);
pp_override pp_experiment_override(const pp_experiment *experiment, int override);

void pp_experiment_destroy(pp_experiment *experiment);

const char *pp_experiment_name(const pp_experiment *experiment);
const char *pp_experiment_text(const pp_experiment *experiment); /* the file's text as read */
int pp_experiment_run_count(const pp_experiment *experiment);
/* The experiment keeps ownership. 0 <= run < run count. */
const pp_config *pp_experiment_run(const pp_experiment *experiment, int run);

int pp_config_device_count(const pp_config *config);
/* Guesses, for sizes and shares that results do not depend on: the iterations of an epoch of a device of the group, the
 * stages of one of them. What is left to a planner counts as 8 micro-batches. */
double pp_config_guess_iterations(const pp_config *config, int group);
double pp_config_guess_stages(const pp_config *config, int group);
/* Where the initial weights are: `init` is FILE.h5[:GROUP], from `directory` (NULL: the current one). *path is the
 * caller's to free and holds *group, "/" unless given. A name with a colon is a file's where there is such a file. */
PP_MUST_CHECK pp_status pp_init_find(const char *directory, const char *init, char **path, const char **group);

/* The names as the file writes them. */
const char *pp_method_name(pp_method method);
bool pp_method_splits(pp_method method);    /* the server has the blocks from the split on */
bool pp_method_pipelines(pp_method method); /* a mini-batch is cut into micro-batches */
const char *pp_policy_name(pp_policy policy);
const char *pp_cost_kind_name(pp_cost_kind kind);
const char *pp_mechanism_name(pp_mechanism mechanism);

/* One resolved setting, as dump and results show it: dotted key ("training.batch_size", "devices.0.count"). */
typedef enum pp_setting_type { PP_SETTING_INT, PP_SETTING_REAL, PP_SETTING_BOOL, PP_SETTING_TEXT } pp_setting_type;
typedef struct pp_setting {
  const char *key;
  pp_setting_type type;
  int64_t integer; /* PP_SETTING_INT, PP_SETTING_BOOL */
  double real;
  const char *text;
} pp_setting;
typedef pp_status (*pp_setting_visitor)(const pp_setting *setting, void *context);
/* Calls the visitor for every setting in the field table's order; what it returns ends the visit when not NULL. */
PP_MUST_CHECK pp_status pp_config_visit(const pp_config *config, pp_setting_visitor visitor, void *context);

/* Writes the resolved run as an experiment file that loads to the same pp_config. */
PP_MUST_CHECK pp_status pp_config_dump(const pp_config *config, FILE *stream);
/* Writes the reference of every key: type, default, unit, range, help. */
PP_MUST_CHECK pp_status pp_config_document(FILE *stream);
/* Writes the table of device and network presets: numbers, kind and source. */
PP_MUST_CHECK pp_status pp_presets_print(FILE *stream);

#endif
