#include "config/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "config/decimal.h"

#define AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)
#define END                                                                                                            \
  { .key = NULL }

/* Sums of lengths and of bytes must stay within int64: no single one is longer than this. */
#define MOST_BYTES  INT64_C(1000000000000000)
#define MOST_RATE   INT64_C(1000000000000000) /* bit/s */
#define MOST_COUNTS INT64_C(1000000000)

/* ---- Words. What is built later needs one word changed here. ---- */

static const pp_choice clocks[] = {{"virtual", PP_CLOCK_VIRTUAL, true}, {"wall", PP_CLOCK_WALL, true}, {NULL, 0, 0}};
static const pp_choice computes[] = {{"real", PP_COMPUTE_REAL, true}, {"none", PP_COMPUTE_NONE, true}, {NULL, 0, 0}};
static const pp_choice methods[] = {{"fl", PP_METHOD_FL, true},
                                    {"sl", PP_METHOD_SL, true},
                                    {"sfl", PP_METHOD_SFL, true},
                                    {"pipar", PP_METHOD_PIPAR, true},
                                    {"1f1b", PP_METHOD_1F1B, true},
                                    {"bw-split", PP_METHOD_BW_SPLIT, true},
                                    {NULL, 0, 0}};
static const pp_choice models[] = {{"vgg5", 0, true},
                                   {"vgg8", 0, true},
                                   {"vgg11", 0, true},
                                   {"vgg16", 0, true},
                                   {"resnet18", 0, true},
                                   {"resnet50", 0, true},
                                   {"mobilenetv3-small", 0, true},
                                   {"mobilenetv3-large", 0, true},
                                   {"FILE.yaml", 0, true},
                                   {NULL, 0, 0}};
static const pp_choice datasets[] = {
    {"fashion-mnist", 0, true}, {"mnist", 0, true}, {"synthetic", 0, true}, {"cifar-10", 0, true},
    {"cifar-100", 0, true},     {"svhn", 0, true},  {"imagenet", 0, true},  {NULL, 0, 0}};
static const pp_choice partitions[] = {
    {"iid", PP_PARTITION_IID, true}, {"dirichlet", PP_PARTITION_DIRICHLET, true}, {NULL, 0, 0}};
static const pp_choice planners[] = {{"search", PP_PLANNER_SEARCH, true},
                                     {"exhaustive", PP_PLANNER_EXHAUSTIVE, true},
                                     {"aps", PP_PLANNER_APS, true},
                                     {"aps-as-published", PP_PLANNER_APS_AS_PUBLISHED, true},
                                     {NULL, 0, 0}};
static const pp_choice costs[] = {{"roofline", PP_COST_ROOFLINE, true},
                                  {"profile", PP_COST_PROFILE, true},
                                  {"table", PP_COST_TABLE, true},
                                  {"measured", PP_COST_MEASURED, true},
                                  {NULL, 0, 0}};
static const pp_choice policies[] = {{"fifo", PP_POLICY_FIFO, true},
                                     {"space-share", PP_POLICY_SPACE_SHARE, true},
                                     {"priority", PP_POLICY_PRIORITY, true},
                                     {NULL, 0, 0}};
static const pp_choice duplexes[] = {{"full", 0, true}, {"half", 1, true}, {NULL, 0, 0}};
static const pp_choice mechanisms[] = {{"none", PP_PRIVACY_NONE, true},
                                       {"dp-fedavg", PP_PRIVACY_DP_FEDAVG, true},
                                       {"activation", PP_PRIVACY_ACTIVATION, true},
                                       {NULL, 0, 0}};
static const pp_choice noises[] = {
    {"gaussian", PP_NOISE_GAUSSIAN, true}, {"laplace", PP_NOISE_LAPLACE, true}, {NULL, 0, 0}};

/* ---- Tables ---- */

#define RATE(name, text)                                                                                               \
  {                                                                                                                    \
    .key = #name "_gflops", .type = PP_FIELD_REAL, .required = true, AT(pp_device_config, name##_gflops),              \
    .unit = "10^9 FLOP/s", .max = 1e9, .above_min = true, .help = text                                                 \
  }

const pp_field pp_device_fields[] = {
    {.key = "name", .type = PP_FIELD_LABEL, AT(pp_device_config, name), .help = "what reports call it"},
    RATE(dense_conv, "rate of dense convolutions, 2 FLOP a multiply-accumulate"),
    RATE(pointwise, "rate of 1x1 convolutions"),
    RATE(depthwise, "rate of depthwise convolutions"),
    RATE(linear, "rate of linear layers"),
    {.key = "memory_gbs",
     .type = PP_FIELD_REAL,
     .required = true,
     AT(pp_device_config, memory_gbs),
     .unit = "10^9 byte/s",
     .max = 1e9,
     .above_min = true,
     .help = "memory bandwidth: bounds every layer, and alone the element-wise ones"},
    {.key = "overhead_us",
     .type = PP_FIELD_REAL,
     AT(pp_device_config, overhead_us),
     .fallback = "0",
     .unit = "microseconds",
     .max = 1e12,
     .help = "added to each layer and pass"},
    END};

#define LATENCY(name, kind, member, text)                                                                              \
  {                                                                                                                    \
    .key = name, .type = kind, AT(pp_network_config, member), .unit = "milliseconds", .high = PP_NS_LONGEST,           \
    .scale = 6, .help = text                                                                                           \
  }
#define LINK(direction, text)                                                                                          \
  {.key = #direction "_mbps",                                                                                          \
   .type = PP_FIELD_RATE,                                                                                              \
   AT(pp_network_config, direction),                                                                                   \
   .unit = "10^6 bit/s",                                                                                               \
   .low = 1,                                                                                                           \
   .high = MOST_RATE,                                                                                                  \
   .scale = 6,                                                                                                         \
   .help = "rate of the " text ": this or " #direction "_trace"},                                                      \
      {.key = #direction "_trace",                                                                                     \
       .type = PP_FIELD_TRACE,                                                                                         \
       AT(pp_network_config, direction),                                                                               \
       .unit = "seconds, 10^6 bit/s",                                                                                  \
       .help =                                                                                                         \
           "rate of the " text " as it changes: [[0, 10], [2.5, 5]]; starts at 0, times rise, the last rate stays "    \
           "and is then not 0. Or a file, from the experiment's directory"},                                           \
  {                                                                                                                    \
    .key = #direction "_loop_after_s", .type = PP_FIELD_LOOP, AT(pp_network_config, direction), .unit = "seconds",     \
    .low = 1, .high = PP_NS_LONGEST / 2, .scale = 9, .help = "the trace starts over this long after its last step"     \
  }

const pp_field pp_network_fields[] = {
    {.key = "name", .type = PP_FIELD_LABEL, AT(pp_network_config, name), .help = "what reports call it"},
    LINK(up, "uplink"),
    LINK(down, "downlink"),
    LATENCY("latency_ms", PP_FIELD_BOTH, up_latency_ns, "from the end of a transfer to its arrival, both ways"),
    LATENCY("up_latency_ms", PP_FIELD_SCALED, up_latency_ns, "that of the uplink, where they differ"),
    LATENCY("down_latency_ms", PP_FIELD_SCALED, down_latency_ns, "that of the downlink, where they differ"),
    {.key = "duplex",
     .type = PP_FIELD_CHOICE,
     AT(pp_network_config, half_duplex),
     .fallback = "full",
     .choices = duplexes,
     .help = "half: uplink and downlink are one resource"},
    END};

const pp_field pp_server_link_fields[] = {LINK(up, "server's link from the devices"),
                                          LINK(down, "server's link to the devices"), END};

const pp_field pp_rate_field = {.type = PP_FIELD_SCALED, .high = MOST_RATE, .scale = 6};
const pp_field pp_factor_field = {.type = PP_FIELD_SCALED, .low = 1000000, .high = INT64_C(1000000000000), .scale = 6};
const pp_field pp_time_field = {.type = PP_FIELD_SCALED, .high = PP_NS_LONGEST / 2, .scale = 9};

static const pp_field pipeline_fields[] = {
    {.key = "split",
     .type = PP_FIELD_INT,
     AT(pp_pipeline_config, split),
     .fallback = "auto",
     .low = 1,
     .high = 1000,
     .word = "auto",
     .word_value = PP_AUTO,
     .help = "blocks of the network that a device holds (the split point); the server holds the rest"},
    {.key = "micro_batches",
     .type = PP_FIELD_INT,
     AT(pp_pipeline_config, micro_batches),
     .fallback = "auto",
     .low = 1,
     .high = 1000000,
     .word = "auto",
     .word_value = PP_AUTO,
     .help = "parts of a mini-batch that follow each other through the pipeline; at most training.batch_size"},
    {.key = "in_flight",
     .type = PP_FIELD_INT,
     AT(pp_pipeline_config, in_flight),
     .fallback = "auto",
     .low = 1,
     .high = 1000000,
     .word = "auto",
     .word_value = 0,
     .help = "`1f1b`: micro-batches between their forward and backward; auto: micro_batches"},
    {.key = "planner",
     .type = PP_FIELD_CHOICE,
     AT(pp_pipeline_config, planner),
     .fallback = "search",
     .choices = planners,
     .help = "how `auto` is chosen"},
    {.key = "min_micro_batch",
     .type = PP_FIELD_INT,
     AT(pp_pipeline_config, min_micro_batch),
     .fallback = "1",
     .low = 1,
     .high = 1000000,
     .help = "samples: the smallest micro-batch that a planner may choose; batch norm wants several"},
    {.key = "replan",
     .type = PP_FIELD_INT,
     AT(pp_pipeline_config, replan),
     .fallback = "0",
     .low = 0,
     .high = 1000000,
     .unit = "rounds",
     .help = "how often what is `auto` is planned again, from what was observed; 0: never. One value for all groups"},
    END};

#define STAGE(name, member, text)                                                                                      \
  {                                                                                                                    \
    .key = name, .type = PP_FIELD_SCALED, AT(pp_cost_config, table.member), .unit = "seconds", .low = 1,               \
    .high = PP_NS_LONGEST, .scale = 9, .help = text                                                                    \
  }
#define MESSAGE(name, member, text)                                                                                    \
  {                                                                                                                    \
    .key = name, .type = PP_FIELD_INT, AT(pp_cost_config, table.member), .unit = "bytes", .low = 1,                    \
    .high = MOST_BYTES, .help = text                                                                                   \
  }
#define SLOWDOWN(member, text)                                                                                         \
  {                                                                                                                    \
    .key = "slowdown", .type = PP_FIELD_SCALED, AT(pp_cost_config, member), .low = 1, .high = INT64_C(1000000000000),  \
    .scale = 6, .help = "measured: " text                                                                              \
  }
static const pp_field device_cost_fields[] = {
    STAGE("forward_s", forward_ns, "forward of a micro-batch on the device (`fl`: of a mini-batch, the whole network)"),
    STAGE("backward_s", backward_ns, "its backward"),
    STAGE("update_s", update_ns, "the device's update"),
    STAGE("privacy_s", privacy_ns, "`privacy: {mechanism: dp-fedavg}`: added to the last update of a round"),
    SLOWDOWN(slowdown, "a stage lasts so many times what computing it took the rank; 1 if left out"),
    END};
static const pp_field server_cost_fields[] = {
    STAGE("forward_s", server_forward_ns, "forward of a micro-batch on the server"),
    STAGE("backward_s", server_backward_ns, "its backward"),
    STAGE("update_s", server_update_ns, "a replica's update"),
    STAGE("backward_input_s", server_backward_input_ns, "`bw-split`, instead of backward_s: the activations' gradient"),
    STAGE("backward_weight_s", server_backward_weight_ns, "`bw-split`: the weights' gradient"),
    STAGE("aggregate_s", aggregate_ns, "averaging all models; the same in all groups"),
    SLOWDOWN(server_slowdown, "likewise of the server's stages; the same in all groups; 1 if left out"),
    END};
static const pp_field byte_fields[] = {
    MESSAGE("upload", upload_bytes, "of a micro-batch to the server"),
    MESSAGE("download", download_bytes, "of a micro-batch back"),
    MESSAGE("model_upload", model_upload_bytes, "of the device's part of the network (`fl`: all of it) to the server"),
    MESSAGE("model_download", model_download_bytes, "of the same back"), END};
const pp_field pp_cost_fields[] = {
    {.key = "kind",
     .type = PP_FIELD_CHOICE,
     AT(pp_cost_config, kind),
     .fallback = "roofline",
     .choices = costs,
     .help = "where the lengths of stages and the sizes of messages come from; profile: from files with the seconds of "
             "each block; table: from the keys below; measured: from the processor time of the real computation"},
    {.key = "device_profile",
     .type = PP_FIELD_FILE,
     AT(pp_cost_config, device_profile),
     .help = "profile: file of the devices, as `pipar profile` writes it, from the experiment's directory"},
    {.key = "server_profile",
     .type = PP_FIELD_FILE,
     AT(pp_cost_config, server_profile),
     .help = "profile: file of a slot of the server, likewise; the same in all groups"},
    {.key = "iterations",
     .type = PP_FIELD_INT,
     AT(pp_cost_config, table.iterations),
     .low = 1,
     .high = MOST_COUNTS,
     .help =
         "table: iterations per epoch; the same in all groups; with `compute: real` the data set's own if left out"},
    {.key = "device", .type = PP_FIELD_SECTION, .fields = device_cost_fields},
    {.key = "server", .type = PP_FIELD_SECTION, .fields = server_cost_fields},
    {.key = "bytes", .type = PP_FIELD_SECTION, .fields = byte_fields},
    END};

const pp_field pp_normalize_fields[] = {{.key = "mean",
                                         .type = PP_FIELD_FLOATS,
                                         .required = true,
                                         AT(pp_dataset_config, mean),
                                         .min = -1e6,
                                         .max = 1e6,
                                         .help = "subtracted, one a channel; pixels are 0 to 1"},
                                        {.key = "std",
                                         .type = PP_FIELD_FLOATS,
                                         .required = true,
                                         AT(pp_dataset_config, deviation),
                                         .min = 1e-6,
                                         .max = 1e6,
                                         .help = "then divided by, one a channel"},
                                        END};

static const pp_field dataset_fields[] = {
    {.key = "name",
     .type = PP_FIELD_NAME,
     AT(pp_dataset_config, name),
     .fallback = "fashion-mnist",
     .choices = datasets,
     .help = "`synthetic` is made up and needs no files"},
    {.key = "path",
     .type = PP_FIELD_PATH,
     AT(pp_dataset_config, path),
     .fallback = "auto",
     .word = "a directory",
     .help =
         "directory with the data set's own files, gzipped or not; auto: $PIPAR_DATA/NAME, or where Debian's package "
         "puts them"},
    {.key = "train_samples",
     .type = PP_FIELD_INT,
     AT(pp_dataset_config, train_samples),
     .fallback = "10000",
     .low = 1,
     .high = INT64_C(1000000000000),
     .help = "the first so many are shared among the devices"},
    {.key = "test_samples",
     .type = PP_FIELD_INT,
     AT(pp_dataset_config, test_samples),
     .fallback = "10000",
     .low = 1,
     .high = INT64_C(1000000000000),
     .help = "the first so many measure accuracy"},
    {.key = "partition",
     .type = PP_FIELD_CHOICE,
     AT(pp_dataset_config, partition),
     .fallback = "iid",
     .choices = partitions,
     .help = "how training samples are shared among devices"},
    {.key = "alpha",
     .type = PP_FIELD_REAL,
     AT(pp_dataset_config, alpha),
     .fallback = "0.5",
     .max = 1e6,
     .above_min = true,
     .help = "`dirichlet`: small is skewed"},
    {.key = "shuffle",
     .type = PP_FIELD_BOOL,
     AT(pp_dataset_config, shuffle),
     .fallback = "true",
     .help = "false: device k has the k-th contiguous share, in order"},
    {.key = "augment",
     .type = PP_FIELD_BOOL,
     AT(pp_dataset_config, augment),
     .fallback = "false",
     .help = "random crop with padding 4 and horizontal flip"},
    {.key = "normalize",
     .type = PP_FIELD_NORMALIZE,
     .fallback = "auto",
     .word = "auto",
     .fields = pp_normalize_fields,
     .help = "auto: the data set's own, or {mean: [0.5], std: [0.5]}, one a channel"},
    {.key = "shape",
     .type = PP_FIELD_SHAPE,
     AT(pp_dataset_config, shape),
     .fallback = "[3, 32, 32]",
     .low = 1,
     .high = 4096,
     .only_synthetic = true,
     .help = "`synthetic` alone: channels, height, width"},
    {.key = "classes",
     .type = PP_FIELD_INT,
     AT(pp_dataset_config, classes),
     .fallback = "10",
     .low = 2,
     .high = 1000000,
     .only_synthetic = true,
     .help = "`synthetic` alone"},
    END};

static const pp_field training_fields[] = {
    {.key = "epochs",
     .type = PP_FIELD_INT,
     AT(pp_training_config, epochs),
     .fallback = "1",
     .low = 1,
     .high = 1000000,
     .help = "passes over the training samples"},
    {.key = "batch_size",
     .type = PP_FIELD_INT,
     AT(pp_training_config, batch_size),
     .fallback = "100",
     .low = 1,
     .high = 1000000,
     .help = "samples of a mini-batch; an epoch's last one may have fewer"},
    {.key = "learning_rate",
     .type = PP_FIELD_REAL,
     AT(pp_training_config, learning_rate),
     .fallback = "0.01",
     .max = 1e6,
     .help = "of stochastic gradient descent"},
    {.key = "momentum",
     .type = PP_FIELD_REAL,
     AT(pp_training_config, momentum),
     .fallback = "0.9",
     .max = 1,
     .below_max = true,
     .help = "stays with its device and replica when models are averaged"},
    {.key = "weight_decay",
     .type = PP_FIELD_REAL,
     AT(pp_training_config, weight_decay),
     .fallback = "0",
     .max = 1e6,
     .help = "added to the gradient, times the weight"},
    {.key = "aggregate_every",
     .type = PP_FIELD_INT,
     AT(pp_training_config, aggregate_every),
     .fallback = "epoch",
     .unit = "iterations",
     .low = 1,
     .high = MOST_COUNTS,
     .word = "epoch",
     .word_value = 0,
     .help = "a round's length; epoch: each device's own; a number counts on over epochs"},
    {.key = "threads",
     .type = PP_FIELD_INT,
     AT(pp_training_config, threads),
     .fallback = "1",
     .low = 1,
     .high = 1024,
     .help = "of each rank, that share the computing; the results are the same bits with any number"},
    END};

static const pp_field server_fields[] = {
    {.key = "device",
     .type = PP_FIELD_DEVICE,
     AT(pp_server_config, device),
     .fallback = "server-cpu",
     .help = "what one slot computes with: a preset or values in place, as of a device"},
    {.key = "slots",
     .type = PP_FIELD_INT,
     AT(pp_server_config, slots),
     .fallback = "1",
     .low = 1,
     .high = 1000000,
     .help = "pieces of work at a time"},
    {.key = "policy",
     .type = PP_FIELD_CHOICE,
     AT(pp_server_config, policy),
     .fallback = "fifo",
     .choices = policies,
     .help = "which micro-batch a free slot takes"},
    {.key = "link", .type = PP_FIELD_SECTION, AT(pp_server_config, link), .fields = pp_server_link_fields},
    END};

static const pp_choice modes[] = {{"sync", PP_AGGREGATE_SYNC, true}, {"async", PP_AGGREGATE_ASYNC, true}, {NULL, 0, 0}};
static const pp_field aggregate_fields[] = {
    {.key = "mode",
     .type = PP_FIELD_CHOICE,
     AT(pp_aggregate_config, mode),
     .fallback = "sync",
     .choices = modes,
     .help =
         "sync: models are averaged round by round; async: nobody waits for the others, an aggregate takes the first "
         "`buffer` updates"},
    {.key = "buffer",
     .type = PP_FIELD_INT,
     AT(pp_aggregate_config, buffer),
     .low = 1,
     .high = PP_MOST_DEVICES,
     .help = "async: updates that an aggregate takes; async needs it, sync has no use for it"},
    {.key = "staleness_exponent",
     .type = PP_FIELD_REAL,
     AT(pp_aggregate_config, staleness_exponent),
     .fallback = "0.5",
     .max = 100,
     .help = "async: an update counts (1 + the aggregates since its device got its model) to the minus this; unused in "
             "sync"},
    {.key = "deadline_s",
     .type = PP_FIELD_SCALED,
     AT(pp_aggregate_config, deadline_ns),
     .unit = "seconds",
     .low = 1,
     .high = PP_NS_LONGEST,
     .scale = 9,
     .help = "so long after a round's begin the models that are there are averaged, if there are min_devices"},
    {.key = "min_devices",
     .type = PP_FIELD_INT,
     AT(pp_aggregate_config, min_devices),
     .low = 1,
     .high = PP_MOST_DEVICES,
     .help = "models that an aggregate waits for: without deadline_s the first so many; left out: all, with deadline_s "
             "one"},
    END};

const pp_field pp_group_fields[] = {
    {.key = "count",
     .type = PP_FIELD_INT,
     AT(pp_device_group, count),
     .fallback = "1",
     .low = 1,
     .high = PP_MOST_DEVICES,
     .help = "devices alike; at most 10000000 in all groups"},
    {.key = "device",
     .type = PP_FIELD_DEVICE,
     AT(pp_device_group, device),
     .help = "a preset or values in place; may be left out with `cost: {kind: table}` or `profile`"},
    {.key = "network",
     .type = PP_FIELD_NETWORK,
     .required = true,
     AT(pp_device_group, network),
     .help = "a preset or values in place"},
    {.key = "samples",
     .type = PP_FIELD_INT,
     AT(pp_device_group, samples),
     .fallback = "auto",
     .low = 1,
     .high = INT64_C(1000000000000),
     .word = "auto",
     .word_value = -1,
     .help = "training samples of each device; auto: an equal share of what the other groups leave"},
    {.key = "arrives_s",
     .type = PP_FIELD_SCALED,
     AT(pp_device_group, arrives_ns),
     .fallback = "0",
     .unit = "seconds",
     .high = PP_NS_LONGEST,
     .scale = 9,
     .help = "when the devices come; they take part from the next round on"},
    {.key = "departs_s",
     .type = PP_FIELD_SCALED,
     AT(pp_device_group, departs_ns),
     .unit = "seconds",
     .low = 1,
     .high = PP_NS_LONGEST,
     .scale = 9,
     .help = "when they leave for good; left out: never"},
    {.key = "dropout",
     .type = PP_FIELD_REAL,
     AT(pp_device_group, dropout),
     .fallback = "0",
     .max = 1,
     .help = "probability, per round and device, that it falls silent until the round is over"},
    {.key = "slowdown",
     .type = PP_FIELD_SLOWDOWN,
     AT(pp_device_group, slowdown),
     .help = "what compute stages of the devices are stretched by, as it changes: [[0, 1], [60, 2.5]]; the last factor "
             "stays. Or a file, from the experiment's directory"},
    {.key = "slowdown_loop_after_s",
     .type = PP_FIELD_LOOP,
     AT(pp_device_group, slowdown),
     .unit = "seconds",
     .low = 1,
     .high = PP_NS_LONGEST / 2,
     .scale = 9,
     .help = "it starts over this long after its last step"},
    {.key = "pipeline",
     .type = PP_FIELD_SECTION,
     AT(pp_device_group, pipeline),
     .fields = pipeline_fields,
     .inherits = true,
     .help = "keys of `pipeline` that differ from the experiment's"},
    {.key = "cost",
     .type = PP_FIELD_SECTION,
     AT(pp_device_group, cost),
     .fields = pp_cost_fields,
     .inherits = true,
     .help = "keys of `cost` that differ from the experiment's"},
    END};

static const pp_field privacy_fields[] = {
    {.key = "mechanism",
     .type = PP_FIELD_CHOICE,
     AT(pp_privacy_config, mechanism),
     .fallback = "none",
     .choices = mechanisms,
     .help = "differential privacy: dp-fedavg clips each device's update of a round and adds noise to it, activation "
             "each sample's activation"},
    {.key = "clip",
     .type = PP_FIELD_REAL,
     AT(pp_privacy_config, clip),
     .max = 1e30,
     .above_min = true,
     .help = "the largest norm that is left: L2, with laplace noise L1"},
    {.key = "noise_multiplier",
     .type = PP_FIELD_REAL,
     AT(pp_privacy_config, noise_multiplier),
     .fallback = "0",
     .max = 1e6,
     .help = "Gaussian noise: its standard deviation over the sensitivity, which is twice `clip`; 0: clipped only"},
    {.key = "delta",
     .type = PP_FIELD_REAL,
     AT(pp_privacy_config, delta),
     .fallback = "1e-05",
     .max = 1,
     .above_min = true,
     .below_max = true,
     .help = "of the (epsilon, delta) that results report"},
    {.key = "noise",
     .type = PP_FIELD_CHOICE,
     AT(pp_privacy_config, noise),
     .fallback = "gaussian",
     .choices = noises,
     .help = "`activation`: which; gaussian takes noise_multiplier, laplace epsilon. `dp-fedavg` is always Gaussian"},
    {.key = "epsilon",
     .type = PP_FIELD_REAL,
     AT(pp_privacy_config, epsilon),
     .max = 1e9,
     .min = 1e-6,
     .help = "laplace noise: of one upload of a sample; the noise's scale is twice `clip` over this"},
    END};

static const pp_field record_fields[] = {{.key = "stages",
                                          .type = PP_FIELD_BOOL,
                                          AT(pp_config, record_stages),
                                          .fallback = "true",
                                          .help = "write every stage to the results file"},
                                         {.key = "model",
                                          .type = PP_FIELD_BOOL,
                                          AT(pp_config, record_model),
                                          .fallback = "false",
                                          .help = "save the averaged network of the last round"},
                                         END};

static const pp_field checkpoint_fields[] = {{.key = "every_rounds",
                                              .type = PP_FIELD_INT,
                                              AT(pp_config, checkpoint_every_rounds),
                                              .fallback = "1",
                                              .high = 1000000,
                                              .help = "beside the results file, of real training under the virtual "
                                                      "clock; 0: none"},
                                             END};

const pp_field pp_experiment_fields[] = {
    {.key = "name",
     .type = PP_FIELD_TEXT,
     AT(pp_config, name),
     .help = "of the results file; without it the experiment file's own name, less its suffix"},
    {.key = "seed",
     .type = PP_FIELD_INT,
     AT(pp_config, seed),
     .fallback = "1994",
     .high = INT64_MAX,
     .help = "all random numbers follow from it"},
    {.key = "clock",
     .type = PP_FIELD_CHOICE,
     AT(pp_config, clock),
     .fallback = "virtual",
     .choices = clocks,
     .help = "virtual: emulated time is computed; wall: it is lived through"},
    {.key = "compute",
     .type = PP_FIELD_CHOICE,
     AT(pp_config, compute),
     .fallback = "real",
     .choices = computes,
     .help = "real: networks are trained; none: time only"},
    {.key = "method",
     .type = PP_FIELD_CHOICE,
     .required = true,
     AT(pp_config, method),
     .choices = methods,
     .help = "the schedule"},
    {.key = "model",
     .type = PP_FIELD_NAME,
     AT(pp_config, model),
     .fallback = "vgg5",
     .choices = models,
     .help = "the network; `pipar models` lists them. Or a file that describes one, from the experiment's directory"},
    {.key = "dataset", .type = PP_FIELD_SECTION, AT(pp_config, dataset), .fields = dataset_fields},
    {.key = "training", .type = PP_FIELD_SECTION, AT(pp_config, training), .fields = training_fields},
    {.key = "pipeline", .type = PP_FIELD_SECTION, AT(pp_config, pipeline), .fields = pipeline_fields},
    {.key = "cost", .type = PP_FIELD_SECTION, AT(pp_config, cost), .fields = pp_cost_fields},
    {.key = "server", .type = PP_FIELD_SECTION, AT(pp_config, server), .fields = server_fields},
    {.key = "aggregate", .type = PP_FIELD_SECTION, AT(pp_config, aggregate), .fields = aggregate_fields},
    {.key = "devices",
     .type = PP_FIELD_GROUPS,
     .required = true,
     .fields = pp_group_fields,
     .help = "groups of devices that are alike, numbered in order"},
    {.key = "privacy", .type = PP_FIELD_SECTION, AT(pp_config, privacy), .fields = privacy_fields},
    {.key = "record", .type = PP_FIELD_SECTION, .fields = record_fields},
    {.key = "checkpoint", .type = PP_FIELD_SECTION, .fields = checkpoint_fields},
    {.key = "init",
     .type = PP_FIELD_PATH,
     AT(pp_config, init),
     .fallback = "random",
     .word = "FILE.h5[:GROUP]",
     .help =
         "the initial weights: random, or a file's tensors under the names that results have, GROUP / unless given; "
         "from the experiment's directory"},
    {.key = "sweep",
     .type = PP_FIELD_SWEEP,
     .help = "dotted keys, each with a list of values: a run for every combination, the first key slowest"},
    END};

/* ---- In words ---- */

char *pp_choices_print(const pp_choice *choices, bool built, const char *separator, char *out) {
  size_t used = 0;
  out[0] = '\0';
  for (; choices->name != NULL; choices++)
    if (choices->built == built && used < PP_ALLOWED_TEXT)
      used += (size_t)snprintf(out + used, PP_ALLOWED_TEXT - used, "%s%s", used > 0 ? separator : "", choices->name);
  return out;
}

const pp_choice *pp_choice_find(const pp_choice *choices, const char *name) {
  for (; choices->name != NULL; choices++)
    if (strcmp(choices->name, name) == 0)
      return choices;
  return NULL;
}

char *pp_field_allowed(const pp_field *field, char *out) {
  char low[PP_DECIMAL_TEXT], high[PP_DECIMAL_TEXT], word[64] = "", unit[64] = "";
  if (field->word != NULL)
    snprintf(word, sizeof word, "%s or ", field->word);
  if (field->unit != NULL)
    snprintf(unit, sizeof unit, " (%s)", field->unit);
  switch (field->type) {
  case PP_FIELD_INT:
    snprintf(out, PP_ALLOWED_TEXT, "%san integer from %" PRId64 " to %" PRId64 "%s", word, field->low, field->high,
             unit);
    return out;
  case PP_FIELD_REAL:
  case PP_FIELD_FLOATS:
    pp_real_print(field->min, false, low);
    pp_real_print(field->max, false, high);
    snprintf(out, PP_ALLOWED_TEXT, "%sa %s %s%s to %s%s%s", word,
             field->type == PP_FIELD_FLOATS ? "list of 1 to 4 numbers" : "number",
             field->above_min ? "above " : "from ", low, field->below_max ? "below " : "", high, unit);
    return out;
  case PP_FIELD_RATE:
  case PP_FIELD_LOOP:
  case PP_FIELD_BOTH:
  case PP_FIELD_SCALED:
    pp_decimal_print(field->low, field->scale, low);
    pp_decimal_print(field->high, field->scale, high);
    snprintf(out, PP_ALLOWED_TEXT, "a number from %s to %s%s", low, high, unit);
    return out;
  case PP_FIELD_BOOL:
    return strcpy(out, "true | false");
  case PP_FIELD_CHOICE:
  case PP_FIELD_NAME:
  case PP_FIELD_FIXED:
    return pp_choices_print(field->choices, true, " | ", out);
  case PP_FIELD_TEXT:
  case PP_FIELD_LABEL:
    snprintf(out, PP_ALLOWED_TEXT, "a text of 1 to %zu bytes without / and control characters", field->size - 1);
    return out;
  case PP_FIELD_PATH:
    snprintf(out, PP_ALLOWED_TEXT, "%s or %s", field->fallback, field->word);
    return out;
  case PP_FIELD_FILE:
    return strcpy(out, "a file");
  case PP_FIELD_REALS:
    pp_real_print(field->min, false, low);
    pp_real_print(field->max, false, high);
    snprintf(out, PP_ALLOWED_TEXT, "a list of numbers from %s to %s%s", low, high, unit);
    return out;
  case PP_FIELD_SHAPE:
    snprintf(out, PP_ALLOWED_TEXT, "a list of 3 integers from %" PRId64 " to %" PRId64, field->low, field->high);
    return out;
  case PP_FIELD_TRACE:
    return strcpy(out, "a list of [seconds, Mbit/s] that starts at 0, or a file");
  case PP_FIELD_SLOWDOWN:
    return strcpy(out, "a list of [seconds, factor] that starts at 0, factors from 1 to 1000000, or a file");
  case PP_FIELD_NORMALIZE:
    return strcpy(out, "auto or {mean: [..], std: [..]}");
  case PP_FIELD_DEVICE:
    return strcpy(out, "a device preset (`pipar presets`) or a mapping");
  case PP_FIELD_NETWORK:
    return strcpy(out, "a network preset (`pipar presets`) or a mapping");
  case PP_FIELD_GROUPS:
    return strcpy(out, "a list of mappings, as - {count: 4, device: .., network: ..}");
  case PP_FIELD_SECTION:
  case PP_FIELD_NODE:
  case PP_FIELD_SWEEP:
  case PP_FIELD_UNBUILT:
    break;
  }
  return strcpy(out, "a mapping");
}

bool pp_text_is_near(const char *text, const char *word) {
  enum { longest = 32 };
  size_t rows = strlen(text), columns = strlen(word);
  if (rows > longest || columns > longest || rows == 0)
    return false;
  /* Optimal string alignment: insertions, deletions, substitutions, swaps of neighbours. */
  size_t distance[longest + 1][longest + 1];
  for (size_t row = 0; row <= rows; row++)
    for (size_t column = 0; column <= columns; column++) {
      if (row == 0 || column == 0) {
        distance[row][column] = row + column;
        continue;
      }
      size_t best = distance[row - 1][column - 1] + (text[row - 1] != word[column - 1]);
      if (distance[row - 1][column] + 1 < best)
        best = distance[row - 1][column] + 1;
      if (distance[row][column - 1] + 1 < best)
        best = distance[row][column - 1] + 1;
      if (row > 1 && column > 1 && text[row - 1] == word[column - 2] && text[row - 2] == word[column - 1] &&
          distance[row - 2][column - 2] + 1 < best)
        best = distance[row - 2][column - 2] + 1;
      distance[row][column] = best;
    }
  size_t slips = distance[rows][columns];
  return slips <= 2 && slips * 2 < columns + 1;
}
