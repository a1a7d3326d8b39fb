/* What the settings of a run say together. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/int128.h"
#include "config/fields.h"
#include "config/parse.h"

/* The values of a cost table, and which methods have the stage: a set of bits 1 << method. */
typedef struct need {
  const char *key;
  size_t offset;
  unsigned methods;
} need;

#define EVERY    (~0U)
#define BW_SPLIT (1U << PP_METHOD_BW_SPLIT)
#define SPLIT    (EVERY & ~(1U << PP_METHOD_FL))
#define NEED(name, member, methods)                                                                                    \
  { "cost." name, offsetof(pp_cost_table, member), methods }
static const need needs[] = {
    NEED("iterations", iterations, EVERY),
    NEED("device.forward_s", forward_ns, EVERY),
    NEED("device.backward_s", backward_ns, EVERY),
    NEED("device.update_s", update_ns, EVERY),
    NEED("device.privacy_s", privacy_ns, 0),
    NEED("server.forward_s", server_forward_ns, SPLIT),
    NEED("server.backward_s", server_backward_ns, SPLIT & ~BW_SPLIT),
    NEED("server.backward_input_s", server_backward_input_ns, BW_SPLIT),
    NEED("server.backward_weight_s", server_backward_weight_ns, BW_SPLIT),
    NEED("server.update_s", server_update_ns, SPLIT),
    NEED("server.aggregate_s", aggregate_ns, EVERY & ~(1U << PP_METHOD_SL)),
    NEED("bytes.upload", upload_bytes, SPLIT),
    NEED("bytes.download", download_bytes, SPLIT),
    NEED("bytes.model_upload", model_upload_bytes, EVERY),
    NEED("bytes.model_download", model_download_bytes, EVERY),
};
enum { NEED_COUNT = sizeof needs / sizeof *needs };

static int64_t table_value(const pp_cost_table *table, const need *what) {
  int64_t value = 0;
  memcpy(&value, (const char *)table + what->offset, sizeof value);
  return value;
}

const pp_node *pp_group_place(const pp_node *root, int group, const char *key) {
  char whole[128], parent[128];
  snprintf(whole, sizeof whole, "devices.%d.%s", group, key);
  snprintf(parent, sizeof parent, "devices.%d", group);
  const pp_node *own = pp_node_nearest(root, whole);
  return own != pp_node_nearest(root, parent) ? own : pp_node_nearest(root, key);
}

/* A method that does not split the network, or does not cut mini-batches, is named here. */
bool pp_method_splits(pp_method method) { return method != PP_METHOD_FL; }

bool pp_method_pipelines(pp_method method) {
  return method != PP_METHOD_FL && method != PP_METHOD_SL && method != PP_METHOD_SFL;
}

static pp_status check_table(const pp_config *config, const pp_node *root, int group) {
  const pp_cost_table *table = &config->groups[group].cost.table;
  char key[128];
  for (int at = 0; at < NEED_COUNT; at++) {
    const need *what = &needs[at];
    if (table_value(table, what) != 0 || (what->methods >> config->method & 1U) == 0 ||
        (config->compute == PP_COMPUTE_REAL && strcmp(what->key, "cost.iterations") == 0))
      continue;
    return pp_fail_at(pp_group_place(root, group, what->key), what->key,
                      "is missing for device group %d: with `cost: {kind: table}` allowed is a value above 0", group);
  }
  if (config->privacy.mechanism == PP_PRIVACY_DP_FEDAVG && table->privacy_ns == 0)
    return pp_fail_at(
        pp_group_place(root, group, "cost.device.privacy_s"), "cost.device.privacy_s",
        "is missing for device group %d: with `privacy: {mechanism: dp-fedavg}` and `cost: {kind: table}` "
        "allowed is a value above 0",
        group);
  const pp_cost_table *first = &config->groups[0].cost.table;
  if (table->iterations != first->iterations || table->aggregate_ns != first->aggregate_ns) {
    const char *what = table->iterations != first->iterations ? "cost.iterations" : "cost.server.aggregate_s";
    snprintf(key, sizeof key, "devices.%d.%s", group, what);
    return pp_fail_at(pp_group_place(root, group, what), key,
                      "differs from device group 0: allowed is one value for all");
  }
  const pp_pipeline_config *pipeline = &config->groups[group].pipeline;
  if (pp_method_pipelines(config->method) && pipeline->micro_batches == PP_AUTO)
    return pp_fail_at(pp_group_place(root, group, "pipeline.micro_batches"), "pipeline.micro_batches",
                      "auto cannot be planned from `cost: {kind: table}`, whose lengths are those of one size of "
                      "micro-batch: allowed is a number");
  if (config->method != PP_METHOD_FL && config->compute == PP_COMPUTE_REAL && pipeline->split == PP_AUTO)
    return pp_fail_at(pp_group_place(root, group, "pipeline.split"), "pipeline.split",
                      "auto cannot be planned from `cost: {kind: table}`, whose lengths are those of one split: "
                      "allowed is a number");
  return NULL;
}

static pp_status check_profiles(const pp_config *config, const pp_node *root, int group) {
  static const char *const keys[] = {"cost.device_profile", "cost.server_profile"};
  const pp_cost_config *cost = &config->groups[group].cost, *first = &config->groups[0].cost;
  const char *const files[] = {cost->device_profile, cost->server_profile};
  for (int at = 0; at < 2; at++)
    if (cost->kind == PP_COST_PROFILE && files[at] == NULL)
      return pp_fail_at(pp_group_place(root, group, keys[at]), keys[at],
                        "is missing for device group %d: with `cost: {kind: profile}` allowed is a file as "
                        "`pipar profile` writes it",
                        group);
    else if (cost->kind != PP_COST_PROFILE && files[at] != NULL)
      return pp_fail_at(pp_group_place(root, group, keys[at]), keys[at],
                        "is of use with `cost: {kind: profile}` alone, and kind is %s", pp_cost_kind_name(cost->kind));
  if (cost->kind == PP_COST_PROFILE && strcmp(cost->server_profile, first->server_profile) != 0)
    return pp_fail_at(pp_group_place(root, group, keys[1]), keys[1],
                      "%s differs from device group 0: allowed is one file for all groups", cost->server_profile);
  return NULL;
}

/* Thread CPU time is known only once a stage has been computed: what wants lengths before is refused. */
static pp_status check_measured(const pp_config *config, const pp_node *root, int group) {
  static const char *const keys[] = {"cost.device.slowdown", "cost.server.slowdown"};
  const pp_device_group *g = &config->groups[group];
  const int64_t factors[] = {g->cost.slowdown, g->cost.server_slowdown};
  if (g->cost.kind != PP_COST_MEASURED) {
    for (int at = 0; at < 2; at++)
      if (factors[at] != 0)
        return pp_fail_at(pp_group_place(root, group, keys[at]), keys[at],
                          "is of use with `cost: {kind: measured}` alone, and kind is %s",
                          pp_cost_kind_name(g->cost.kind));
    return NULL;
  }
  if (g->cost.server_slowdown != config->groups[0].cost.server_slowdown)
    return pp_fail_at(pp_group_place(root, group, keys[1]), keys[1],
                      "differs from device group 0: allowed is one value for all");
  bool pipelines = pp_method_pipelines(config->method), splits = pp_method_splits(config->method);
  const char *key = NULL, *allowed = NULL;
  if (config->compute == PP_COMPUTE_NONE) {
    key = "compute";
    allowed = "none computes nothing that could be measured: allowed is real";
  } else if (config->clock == PP_CLOCK_WALL) {
    key = "clock";
    allowed = "wall paces to lengths that are known before: allowed is virtual";
  } else if (config->method == PP_METHOD_BW_SPLIT) {
    key = "method";
    allowed = "bw-split computes both gradients at once, so that neither is measured alone: allowed is another method";
  } else if (config->server.policy == PP_POLICY_PRIORITY) {
    key = "server.policy";
    allowed = "priority ranks by lengths that are known before: allowed is fifo or space-share";
  } else if (splits && g->pipeline.split == PP_AUTO) {
    key = "pipeline.split";
    allowed = "auto cannot be planned, as lengths are known only once computed: allowed is a number";
  } else if (pipelines && g->pipeline.micro_batches == PP_AUTO) {
    key = "pipeline.micro_batches";
    allowed = "auto cannot be planned, as lengths are known only once computed: allowed is a number";
  } else if (config->pipeline.replan > 0) {
    key = "pipeline.replan";
    allowed = "replan plans by lengths that are known before: allowed is 0";
  }
  if (key == NULL)
    return NULL;
  return pp_fail_at(pp_group_place(root, group, key), key, "with `cost: {kind: measured}`, %s", allowed);
}

static pp_status check_group(const pp_config *config, const pp_node *root, int group) {
  const pp_device_group *g = &config->groups[group];
  char key[128];
  if (g->pipeline.micro_batches > config->training.batch_size)
    return pp_fail_at(pp_group_place(root, group, "pipeline.micro_batches"), "pipeline.micro_batches",
                      "%d is more than the %d samples of a mini-batch: allowed is at most training.batch_size",
                      g->pipeline.micro_batches, config->training.batch_size);
  if (g->cost.kind == PP_COST_MEASURED && config->training.threads > 1)
    return pp_fail_at(pp_node_nearest(root, "training.threads"), "training.threads",
                      "%d is not allowed with `cost: {kind: measured}`, which times one thread: allowed is 1",
                      config->training.threads);
  if (g->cost.kind != config->groups[0].cost.kind) {
    snprintf(key, sizeof key, "devices.%d.cost.kind", group);
    return pp_fail_at(pp_group_place(root, group, "cost.kind"), key, "%s beside %s: allowed is one kind for all groups",
                      pp_cost_kind_name(g->cost.kind), pp_cost_kind_name(config->groups[0].cost.kind));
  }
  if (g->slowdown.count > 0 && config->clock == PP_CLOCK_WALL) {
    snprintf(key, sizeof key, "devices.%d.slowdown", group);
    return pp_fail_at(pp_node_nearest(root, key), key,
                      "contradicts `clock: wall`, which does not stretch stages: allowed is `clock: virtual`");
  }
  PP_TRY(check_profiles(config, root, group));
  PP_TRY(check_measured(config, root, group));
  if (g->cost.kind == PP_COST_TABLE)
    return check_table(config, root, group);
  for (int at = 0; at < NEED_COUNT; at++)
    if (table_value(&g->cost.table, &needs[at]) != 0)
      return pp_fail_at(pp_group_place(root, group, needs[at].key), needs[at].key,
                        "is of use with `cost: {kind: table}` alone, and kind is %s", pp_cost_kind_name(g->cost.kind));
  if (g->device.memory_gbs == 0 && g->cost.kind != PP_COST_PROFILE && g->cost.kind != PP_COST_MEASURED) {
    snprintf(key, sizeof key, "devices.%d.device", group);
    return pp_fail_at(pp_node_nearest(root, key), key,
                      "is missing: allowed is a device preset (`pipar presets`) or a mapping");
  }
  return NULL;
}

/* Every device has samples, and where rounds are counted in iterations all devices have as many. */
static pp_status check_samples(const pp_config *config, const pp_node *root) {
  bool table = config->groups[0].cost.kind == PP_COST_TABLE;
  if (config->compute == PP_COMPUTE_NONE && table)
    return NULL;
  const pp_node *place = pp_node_nearest(root, "dataset.train_samples");
  pp_int128 given = 0;
  int64_t sharing = 0, total = config->dataset.train_samples;
  for (int group = 0; group < config->group_count; group++) {
    const pp_device_group *g = &config->groups[group];
    if (g->samples < 0)
      sharing += g->count;
    else
      given += (pp_int128)g->count * g->samples;
  }
  if (given > total)
    return pp_fail_at(place, "dataset.train_samples", "%" PRId64 " are fewer than the device groups' `samples` ask for",
                      total);
  int64_t rest = total - (int64_t)given;
  if (rest < sharing)
    return pp_fail_at(place, "dataset.train_samples",
                      "%" PRId64 " leave %" PRId64 " for %" PRId64 " devices: allowed is at least one for each", total,
                      rest, sharing);
  /* With a share in [low, high] samples, iterations an epoch: */
  int64_t batch = config->training.batch_size, fewest = INT64_MAX, most = 0;
  for (int group = 0; group < config->group_count; group++) {
    int64_t low = config->groups[group].samples, high = low;
    if (low < 0) {
      low = rest / sharing;
      high = low + (rest % sharing != 0);
    }
    int64_t first = (low + batch - 1) / batch, last = (high + batch - 1) / batch;
    fewest = first < fewest ? first : fewest;
    most = last > most ? last : most;
  }
  if (config->training.aggregate_every > 0 && fewest != most)
    return pp_fail_at(pp_node_nearest(root, "training.aggregate_every"), "training.aggregate_every",
                      "%" PRId64 " needs as many iterations an epoch on all devices, which have %" PRId64 " to %" PRId64
                      ": allowed is epoch, or equal shares",
                      config->training.aggregate_every, fewest, most);
  int64_t iterations = config->groups[0].cost.table.iterations;
  if (table && iterations > 0 && (fewest != iterations || most != iterations))
    return pp_fail_at(pp_node_nearest(root, "cost.iterations"), "cost.iterations",
                      "%" PRId64 " is not what the training samples give, %" PRId64 " to %" PRId64
                      ": allowed is that, or none",
                      iterations, fewest, most);
  return NULL;
}

static bool loops_through_0(const pp_rate_trace *trace) {
  bool falls = false;
  for (int step = 0; step < trace->count; step++)
    falls = falls || trace->steps[step].rate_bps == 0;
  return falls && trace->period_ns > 0;
}

/* Two links that are open in turns might never carry anything. */
static pp_status check_outages(const pp_config *config, const pp_node *root) {
  for (int group = 0; group < config->group_count; group++) {
    const pp_network_config *network = &config->groups[group].network, *server = &config->server.link;
    bool up = loops_through_0(&server->up) && loops_through_0(&network->up);
    bool down = loops_through_0(&server->down) && loops_through_0(&network->down);
    if (up || down)
      return pp_fail_at(pp_node_nearest(root, "server.link"), "server.link",
                        "the %s's trace loops and falls to 0, and so does that of devices.%d: a transfer might never "
                        "end; allowed is one such trace of the two",
                        up ? "uplink" : "downlink", group);
  }
  return NULL;
}

/* Devices share the server's link in whole bits per second: each must get one. */
static pp_status check_server_link(const pp_config *config, const pp_node *root) {
  if (config->server.link.up.count > 0 && config->clock == PP_CLOCK_WALL)
    return pp_fail_at(pp_node_nearest(root, "server.link"), "server.link",
                      "contradicts `clock: wall`, where a device's rank paces its own links and sees no other's "
                      "transfers: allowed is `clock: virtual`");
  const pp_rate_trace *const traces[] = {&config->server.link.up, &config->server.link.down};
  int devices = pp_config_device_count(config);
  for (int which = 0; which < 2; which++)
    for (int step = 0; step < traces[which]->count; step++) {
      int64_t rate = traces[which]->steps[step].rate_bps;
      if (rate != 0 && rate < devices)
        return pp_fail_at(pp_node_nearest(root, "server.link"), "server.link",
                          "a rate of the %s is %" PRId64 " bit/s, less than one for each of %d devices: allowed is at "
                          "least that, or in a trace 0",
                          which == 0 ? "uplink" : "downlink", rate, devices);
    }
  return check_outages(config, root);
}

/* Who comes, goes and falls silent, and whether rounds end all the same. */
static pp_status check_presence(const pp_config *config, const pp_node *root) {
  const pp_aggregate_config *aggregate = &config->aggregate;
  bool partial = aggregate->deadline_ns > 0 || aggregate->min_devices > 0;
  int64_t devices = 0, steady = 0;
  int failing = -1, moving = -1;
  char key[128];
  for (int group = 0; group < config->group_count; group++) {
    const pp_device_group *g = &config->groups[group];
    bool fails = g->departs_ns > 0 || g->dropout > 0;
    devices += g->count;
    steady += !fails && g->arrives_ns == 0 ? g->count : 0;
    failing = fails && failing < 0 ? group : failing;
    moving = (fails || g->arrives_ns > 0) && moving < 0 ? group : moving;
    snprintf(key, sizeof key, "devices.%d.departs_s", group);
    if (g->departs_ns > 0 && g->departs_ns <= g->arrives_ns)
      return pp_fail_at(pp_node_nearest(root, key), key, "is not after arrives_s: allowed is a later time");
  }
  if (aggregate->min_devices > devices)
    return pp_fail_at(pp_node_nearest(root, "aggregate.min_devices"), "aggregate.min_devices",
                      "%d are more than the %" PRId64 " devices: allowed are at most so many", aggregate->min_devices,
                      devices);
  if (!partial && moving < 0)
    return NULL;
  bool measured = config->groups[0].cost.kind == PP_COST_MEASURED;
  const char *shown = config->groups[moving < 0 ? 0 : moving].dropout > 0      ? "dropout"
                      : config->groups[moving < 0 ? 0 : moving].departs_ns > 0 ? "departs_s"
                                                                               : "arrives_s";
  if (partial)
    snprintf(key, sizeof key, "aggregate");
  else
    snprintf(key, sizeof key, "devices.%d.%s", moving, shown);
  if (measured)
    return pp_fail_at(pp_node_nearest(root, key), key,
                      "contradicts `cost: {kind: measured}`, as who takes part is decided by lengths that are known "
                      "before: allowed is another kind");
  if (config->clock == PP_CLOCK_WALL)
    return pp_fail_at(pp_node_nearest(root, key), key,
                      "contradicts `clock: wall`, under which all devices are there: allowed is `clock: virtual`");
  if (config->privacy.mechanism != PP_PRIVACY_NONE)
    return pp_fail_at(pp_node_nearest(root, key), key,
                      "contradicts `privacy`, which counts on all devices in each round: allowed is mechanism none");
  if (config->method == PP_METHOD_SL)
    return pp_fail_at(pp_node_nearest(root, key), key,
                      "contradicts `method: sl`, whose devices wait for each other's turns: allowed is another method");
  if (failing < 0 || aggregate->deadline_ns > 0 || (aggregate->min_devices > 0 && aggregate->min_devices <= steady))
    return NULL;
  snprintf(key, sizeof key, "devices.%d.%s", failing, config->groups[failing].dropout > 0 ? "dropout" : "departs_s");
  return pp_fail_at(pp_node_nearest(root, key), key,
                    "makes rounds that never end: allowed is this with aggregate.deadline_s, or with "
                    "aggregate.min_devices of at most the devices that are always there, %" PRId64,
                    steady);
}

/* Where no device waits for another nothing may count on rounds that all begin and end. */
static pp_status check_async(const pp_config *config, const pp_node *root) {
  const pp_aggregate_config *aggregate = &config->aggregate;
  if (aggregate->mode == PP_AGGREGATE_SYNC)
    return NULL;
  if (aggregate->buffer == 0)
    return pp_fail_at(pp_node_nearest(root, "aggregate.mode"), "aggregate.buffer",
                      "is missing: aggregate.mode: async needs it, allowed is 1 to %d", PP_MOST_DEVICES);
  const char *what = NULL;
  for (int group = 0; group < config->group_count; group++) {
    const pp_device_group *g = &config->groups[group];
    what = g->arrives_ns > 0 || g->departs_ns > 0 || g->dropout > 0 ? "arrives_s, departs_s and dropout" : what;
    what = g->pipeline.replan > 0 ? "pipeline.replan" : what;
  }
  what = aggregate->deadline_ns > 0 ? "deadline_s" : what;
  what = aggregate->min_devices > 0 ? "min_devices" : what;
  what = config->groups[0].cost.kind == PP_COST_MEASURED ? "`cost: {kind: measured}`" : what;
  what = config->privacy.mechanism != PP_PRIVACY_NONE ? "`privacy`" : what;
  what = config->clock == PP_CLOCK_WALL ? "`clock: wall`" : what;
  what = config->method == PP_METHOD_SL ? "`method: sl`" : what;
  if (what == NULL)
    return NULL;
  return pp_fail_at(pp_node_nearest(root, "aggregate.mode"), "aggregate.mode", "async contradicts %s: allowed is sync",
                    what);
}

static int dataset_channels(const pp_dataset_config *dataset) {
  if (strcmp(dataset->name, "synthetic") == 0)
    return dataset->shape[0];
  return strstr(dataset->name, "mnist") != NULL ? 1 : 3;
}

static pp_status check_dataset(const pp_config *config, const pp_node *root) {
  const pp_dataset_config *dataset = &config->dataset;
  int channels = dataset_channels(dataset);
  if (dataset->normalize_channels > 0 && dataset->normalize_channels != channels)
    return pp_fail_at(pp_node_nearest(root, "dataset.normalize"), "dataset.normalize",
                      "%d values a list: allowed is one a channel, and %s has %d", dataset->normalize_channels,
                      dataset->name, channels);
  static const char *const synthetic_only[] = {"shape", "classes"};
  const pp_node *section = pp_node_find(root, "dataset", NULL);
  for (int at = 0; at < 2; at++) {
    const pp_entry *entry = NULL;
    char key[64];
    if (strcmp(dataset->name, "synthetic") == 0 || pp_node_find(section, synthetic_only[at], &entry) == NULL)
      continue;
    snprintf(key, sizeof key, "dataset.%s", synthetic_only[at]);
    return pp_fail_at(entry->key, key, "is of use with the data set synthetic alone: %s has its own", dataset->name);
  }
  return NULL;
}

/* What the keys of `privacy` say together, and with the method. What a mechanism has no use for is unused. */
static pp_status check_privacy(const pp_config *config, const pp_node *root) {
  const pp_privacy_config *privacy = &config->privacy;
  const pp_node *section = pp_node_find(root, "privacy", NULL), *place = pp_node_nearest(root, "privacy.mechanism");
  if (privacy->mechanism == PP_PRIVACY_NONE)
    return NULL;
  const char *mechanism = pp_mechanism_name(privacy->mechanism), *method = pp_method_name(config->method);
  bool activation = privacy->mechanism == PP_PRIVACY_ACTIVATION;
  bool laplace = activation && privacy->noise == PP_NOISE_LAPLACE;
  if (activation && config->method == PP_METHOD_FL)
    return pp_fail_at(place, "privacy.mechanism",
                      "activation contradicts `method: fl`, which sends no activations: "
                      "allowed is none or dp-fedavg");
  if (!activation && config->method == PP_METHOD_SL)
    return pp_fail_at(place, "privacy.mechanism",
                      "dp-fedavg contradicts `method: sl`, which averages no updates: "
                      "allowed is none or activation");
  if (privacy->clip == 0)
    return pp_fail_at(section, "privacy.clip", "is missing: with `mechanism: %s` allowed is a number above 0",
                      mechanism);
  if (laplace && privacy->epsilon == 0)
    return pp_fail_at(section, "privacy.epsilon", "is missing: with `noise: laplace` allowed is a number above 0");
  if (laplace && privacy->noise_multiplier > 0)
    return pp_fail_at(pp_node_nearest(root, "privacy.noise_multiplier"), "privacy.noise_multiplier",
                      "contradicts `noise: laplace`, which takes epsilon: allowed is 0, or `noise: gaussian`");
  if (!laplace && pp_node_find(section, "noise_multiplier", NULL) == NULL)
    return pp_fail_at(section, "privacy.noise_multiplier",
                      "is missing: with `mechanism: %s` and Gaussian noise allowed is a number from 0", mechanism);
  if (activation && !laplace && privacy->epsilon > 0)
    return pp_fail_at(pp_node_nearest(root, "privacy.epsilon"), "privacy.epsilon",
                      "contradicts `noise: gaussian`, which takes noise_multiplier: allowed is none, or `noise: "
                      "laplace`");
  pp_cost_kind kind = config->groups[0].cost.kind;
  if (kind == PP_COST_PROFILE || (kind == PP_COST_MEASURED && !activation))
    return pp_fail_at(place, "privacy.mechanism",
                      "%s has no cost with `cost: {kind: %s}` (method %s): allowed is roofline or table", mechanism,
                      pp_cost_kind_name(kind), method);
  return NULL;
}

pp_status pp_config_check(const pp_config *config, const pp_node *root) {
  if (config->clock == PP_CLOCK_WALL && config->compute == PP_COMPUTE_NONE)
    return pp_fail_at(pp_node_nearest(root, "clock"), "clock",
                      "wall contradicts `compute: none`: allowed is virtual, or `compute: real`");
  if (config->record_model && config->compute == PP_COMPUTE_NONE)
    return pp_fail_at(pp_node_nearest(root, "record.model"), "record.model",
                      "true contradicts `compute: none`, which trains no network: allowed is false");
  for (int group = 0; group < config->group_count; group++)
    PP_TRY(check_group(config, root, group));
  PP_TRY(check_privacy(config, root));
  PP_TRY(check_server_link(config, root));
  PP_TRY(check_async(config, root));
  PP_TRY(check_presence(config, root));
  PP_TRY(check_dataset(config, root));
  return check_samples(config, root);
}
