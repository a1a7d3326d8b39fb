#include "timeline/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/dataset.h"
#include "model/link.h"
#include "model/privacy.h"
#include "timeline/replan.h"

typedef struct pp_scenario_storage {
  pp_scenario_inputs *inputs; /* owned; NULL where the planner lends them */
  pp_device_class *classes;
  pp_schedule **schedules; /* (4 x class_count) full, ragged, and those that close a round */
  pp_plan_row *plan;
} pp_scenario_storage;

/* Iterations of an epoch: given by the table, or what the device's share of the data takes. */
static pp_status count_iterations(const pp_config *config, pp_device_class *class) {
  const pp_device_group *group = &config->groups[class->group];
  int64_t batch = config->training.batch_size;
  int64_t table = group->cost.kind == PP_COST_TABLE ? group->cost.table.iterations : 0;
  int64_t data = (class->samples + batch - 1) / batch;
  if (table > 0 && config->compute == PP_COMPUTE_REAL && table != data)
    return pp_fail(PP_CODE_INPUT,
                   "devices.%d: cost.iterations is %lld, but %lld samples in batches of %lld are %lld iterations an "
                   "epoch: with compute: real they must agree",
                   class->group, (long long)table, (long long)class->samples, (long long)batch, (long long)data);
  class->iterations_per_epoch = table > 0 ? table : data;
  if (__builtin_mul_overflow(class->iterations_per_epoch, (int64_t)config->training.epochs, &class->iterations) ||
      class->iterations > INT32_MAX)
    return pp_fail(PP_CODE_INPUT, "devices.%d: %lld iterations an epoch in %d epochs are too many: at most %d in all",
                   class->group, (long long)class->iterations_per_epoch, config->training.epochs, INT32_MAX);
  class->iterations_per_round =
      config->training.aggregate_every > 0 ? config->training.aggregate_every : class->iterations_per_epoch;
  return NULL;
}

static bool needs_data(const pp_config *config) {
  if (config->compute == PP_COMPUTE_REAL)
    return true;
  for (int group = 0; group < config->group_count; group++)
    if (config->groups[group].cost.kind != PP_COST_TABLE || config->groups[group].cost.table.iterations == 0)
      return true;
  return false;
}

/* Finds or adds the class of devices of a group with so many samples. */
static pp_status classify(pp_scenario_inputs *inputs, int group, int64_t samples, int *room, int32_t *out) {
  for (int index = inputs->class_count - 1; index >= 0 && inputs->classes[index].group == group; index--)
    if (inputs->classes[index].samples == samples) {
      *out = index;
      return NULL;
    }
  if (inputs->class_count == *room) {
    pp_device_class *classes = NULL;
    PP_TRY(pp_alloc((size_t)(*room * 2 + 4), sizeof *classes, "the classes of devices", &classes));
    if (inputs->class_count > 0)
      memcpy(classes, inputs->classes, (size_t)inputs->class_count * sizeof *classes);
    free(inputs->classes);
    inputs->classes = classes;
    *room = *room * 2 + 4;
  }
  pp_device_class *class = &inputs->classes[inputs->class_count];
  *class = (pp_device_class){.group = group,
                             .samples = samples,
                             .network = &inputs->config->groups[group].network,
                             .arrives_ns = inputs->config->groups[group].arrives_ns,
                             .departs_ns = inputs->config->groups[group].departs_ns,
                             .dropout = inputs->config->groups[group].dropout,
                             .slowdown = &inputs->config->groups[group].slowdown};
  PP_TRY(count_iterations(inputs->config, class));
  *out = inputs->class_count++;
  return NULL;
}

static pp_status classify_devices(pp_scenario_inputs *inputs, const int64_t *samples) {
  const pp_config *config = inputs->config;
  int room = 0, device = 0;
  for (int group = 0; group < config->group_count; group++)
    for (int member = 0; member < config->groups[group].count; member++, device++) {
      int64_t share = config->groups[group].samples > 0 ? config->groups[group].samples : 0;
      PP_TRY(classify(inputs, group, samples != NULL ? samples[device] : share, &room, &inputs->class_of[device]));
    }
  return NULL;
}

static pp_status count_rounds(pp_scenario_inputs *inputs) {
  const pp_config *config = inputs->config;
  const pp_device_class *first = &inputs->classes[0];
  int64_t every = config->training.aggregate_every;
  inputs->rounds = every > 0 ? (first->iterations + every - 1) / every : config->training.epochs;
  if (every == 0)
    return NULL;
  for (int index = 1; index < inputs->class_count; index++)
    if (inputs->classes[index].iterations_per_epoch != first->iterations_per_epoch)
      return pp_fail(PP_CODE_INPUT,
                     "training.aggregate_every: %lld needs the same iterations an epoch on all devices, but devices.%d "
                     "has %lld and devices.%d %lld; allowed is epoch",
                     (long long)every, first->group, (long long)first->iterations_per_epoch,
                     inputs->classes[index].group, (long long)inputs->classes[index].iterations_per_epoch);
  return NULL;
}

static pp_status check_tables(const pp_config *config) {
  const pp_cost_config *first = &config->groups[0].cost;
  for (int group = 1; group < config->group_count; group++) {
    const pp_cost_config *cost = &config->groups[group].cost;
    if (cost->kind != PP_COST_TABLE || first->kind != PP_COST_TABLE)
      continue;
    if (cost->table.iterations != first->table.iterations)
      return pp_fail(PP_CODE_INPUT, "devices.%d: cost.iterations is %lld, but %lld for devices.0: they must be equal",
                     group, (long long)cost->table.iterations, (long long)first->table.iterations);
    if (cost->table.aggregate_ns != first->table.aggregate_ns)
      return pp_fail(PP_CODE_INPUT,
                     "devices.%d: cost.server.aggregate_s is %g, but %g for devices.0: they must be equal", group,
                     pp_seconds(cost->table.aggregate_ns), pp_seconds(first->table.aggregate_ns));
  }
  return NULL;
}

static pp_status check_links(const pp_config *config) {
  for (int group = 0; group < config->group_count; group++) {
    char what[64];
    snprintf(what, sizeof what, "devices.%d: the uplink", group);
    PP_TRY(pp_link_check(&config->groups[group].network.up, what));
    snprintf(what, sizeof what, "devices.%d: the downlink", group);
    PP_TRY(pp_link_check(&config->groups[group].network.down, what));
  }
  return NULL;
}

static pp_status take_network(pp_scenario_inputs *inputs, const pp_model *model) {
  if (model == NULL) {
    for (int group = 0; group < inputs->config->group_count; group++)
      if (inputs->config->groups[group].cost.kind != PP_COST_TABLE)
        return pp_fail(PP_CODE_INPUT, "devices.%d: cost.kind: %s needs a network; without one only table is allowed",
                       group, pp_cost_kind_name(inputs->config->groups[group].cost.kind));
    return NULL;
  }
  inputs->block_count = pp_model_block_count(model);
  inputs->classes_of_data = pp_model_classes(model);
  PP_TRY(pp_alloc((size_t)inputs->block_count, sizeof *inputs->blocks, "the blocks of the network", &inputs->blocks));
  for (int block = 0; block < inputs->block_count; block++)
    inputs->blocks[block] = pp_model_block(model, block);
  return NULL;
}

static pp_status init_inputs(pp_scenario_inputs *inputs, const pp_model *model, int64_t **samples) {
  const pp_config *config = inputs->config;
  PP_ASSERT(config->group_count > 0);
  if (config->clock == PP_CLOCK_WALL && config->server.policy != PP_POLICY_FIFO)
    return pp_fail(PP_CODE_INPUT, "server.policy: %s is not built yet under clock: wall; allowed is fifo",
                   pp_policy_name(config->server.policy));
  inputs->device_count = pp_config_device_count(config);
  PP_TRY(check_tables(config));
  PP_TRY(check_links(config));
  PP_TRY(take_network(inputs, model));
  PP_TRY(pp_alloc((size_t)inputs->device_count, sizeof *inputs->class_of, "the devices", &inputs->class_of));
  if (needs_data(config)) {
    PP_TRY(pp_alloc((size_t)inputs->device_count, sizeof **samples, "the devices", samples));
    PP_TRY(pp_partition_shares(config, *samples));
  }
  PP_TRY(classify_devices(inputs, *samples));
  return count_rounds(inputs);
}

pp_status pp_scenario_inputs_init(pp_scenario_inputs *inputs, const pp_config *config, const pp_model *model) {
  *inputs = (pp_scenario_inputs){.config = config};
  int64_t *samples = NULL;
  pp_status status = init_inputs(inputs, model, &samples);
  free(samples);
  if (status != NULL)
    pp_scenario_inputs_fini(inputs);
  return status;
}

void pp_scenario_inputs_fini(pp_scenario_inputs *inputs) {
  free(inputs->blocks);
  free(inputs->classes);
  free(inputs->class_of);
  *inputs = (pp_scenario_inputs){0};
}

pp_cost_inputs pp_scenario_cost_inputs(const pp_scenario_inputs *inputs, int group) {
  const pp_config *config = inputs->config;
  return (pp_cost_inputs){.cost = &config->groups[group].cost,
                          .device = &config->groups[group].device,
                          .server = &config->server.device,
                          .block_count = inputs->block_count,
                          .blocks = inputs->blocks,
                          .classes = inputs->classes_of_data,
                          .group = group,
                          .privacy = &config->privacy};
}

pp_status pp_scenario_check_batch_norms(const pp_scenario_inputs *inputs, int group, const pp_schedule *schedule) {
  int smallest = pp_micro_batch_size(schedule->batch, schedule->micro_batches, schedule->micro_batches - 1);
  for (int block = 0; block < inputs->block_count; block++)
    for (int index = 0; index < inputs->blocks[block]->layer_count; index++) {
      const pp_layer_info *layer = &inputs->blocks[block]->layers[index];
      int64_t channels = layer->parameters / 2; /* a scale and a shift each */
      if (strcmp(layer->name, "bn") == 0 && smallest == 1 && layer->outputs == channels)
        return pp_fail(PP_CODE_INPUT,
                       "devices.%d: a micro-batch of 1 sample gives the batch norm of block %d (%s) one value a "
                       "channel, which has no variance: use fewer micro-batches or another batch size",
                       group, block, inputs->blocks[block]->name);
    }
  return NULL;
}

static pp_status create_schedule(const pp_scenario_inputs *inputs, int group, int batch, pp_group_plan plan,
                                 pp_schedule **out) {
  const pp_config *config = inputs->config;
  if (inputs->maker.make != NULL)
    return inputs->maker.make(inputs->maker.context, group, plan, batch, out);
  int blocks = inputs->block_count > 0 ? inputs->block_count : plan.split + 1;
  PP_TRY(pp_schedule_create(config->method, batch, plan.micro_batches, plan.split,
                            config->groups[group].pipeline.in_flight, blocks, out));
  PP_TRY(pp_scenario_check_batch_norms(inputs, group, *out));
  pp_cost_inputs costs = pp_scenario_cost_inputs(inputs, group);
  return pp_cost_fill(&costs, *out);
}

/* The same again for the end of a round, if that takes longer. schedules: (4), the first two are there. */
static pp_status create_closing(const pp_scenario_inputs *inputs, int group, pp_group_plan plan,
                                pp_schedule **schedules) {
  pp_cost_inputs costs = pp_scenario_cost_inputs(inputs, group);
  pp_ns longer_ns = 0;
  PP_TRY(pp_cost_device_privacy(&costs, schedules[0]->split, &longer_ns));
  for (int which = 0; which < 2 && longer_ns > 0; which++) {
    if (schedules[which] == NULL)
      continue;
    PP_TRY(create_schedule(inputs, group, schedules[which]->batch, plan, &schedules[2 + which]));
    for (int index = 0; index < schedules[2 + which]->op_count; index++) {
      pp_op *op = &schedules[2 + which]->ops[index];
      if (op->stage == PP_STAGE_DEVICE_UPDATE && __builtin_add_overflow(op->cost, longer_ns, &op->cost))
        return pp_fail(PP_CODE_INPUT, "devices.%d: the last update of a round takes more than 292 years", group);
    }
  }
  return NULL;
}

static bool has_samples(const pp_scenario_inputs *inputs, const pp_device_class *class) {
  const pp_cost_config *cost = &inputs->config->groups[class->group].cost;
  return cost->kind != PP_COST_TABLE || cost->table.iterations == 0 || inputs->config->compute == PP_COMPUTE_REAL;
}

int64_t pp_scenario_full_batch(const pp_scenario_inputs *inputs, const pp_device_class *class) {
  int64_t batch = inputs->config->training.batch_size;
  return has_samples(inputs, class) && class->samples < batch ? class->samples : batch;
}

int64_t pp_scenario_ragged_batch(const pp_scenario_inputs *inputs, const pp_device_class *class) {
  int64_t batch = inputs->config->training.batch_size;
  return has_samples(inputs, class) && class->samples > batch ? class->samples % batch : 0;
}

static void cut_class(pp_device_class *class, int64_t horizon) {
  if (class->iterations > class->iterations_per_round)
    class->iterations = class->iterations_per_round;
  if (class->iterations > horizon)
    class->iterations = horizon;
  class->iterations_per_round = class->iterations;
  class->arrives_ns = class->departs_ns = 0;
  class->dropout = 0;
}

static pp_status create_schedules(const pp_scenario_inputs *inputs, pp_device_class *class, pp_group_plan plan,
                                  pp_schedule **schedules) {
  int64_t batch = pp_scenario_full_batch(inputs, class), left = pp_scenario_ragged_batch(inputs, class);
  PP_TRY(create_schedule(inputs, class->group, (int)batch, plan, &schedules[0]));
  if (left > 0)
    PP_TRY(create_schedule(inputs, class->group, (int)left, plan, &schedules[1]));
  PP_TRY(create_closing(inputs, class->group, plan, schedules));
  class->closing_full = schedules[2];
  class->closing_ragged = schedules[3] != NULL ? schedules[3] : schedules[2];
  class->full = schedules[0];
  class->ragged = left > 0 ? schedules[1] : schedules[0];
  class->split = class->full->split;
  class->micro_batches = pp_method_pipelines(inputs->config->method) ? plan.micro_batches : 1;
  return NULL;
}

/* The server protects the replicas' parts of the update before it averages. */
static pp_status add_replica_privacy(const pp_scenario_inputs *inputs, pp_scenario *scenario) {
  if (inputs->config->privacy.mechanism != PP_PRIVACY_DP_FEDAVG)
    return NULL;
  for (int device = 0; device < inputs->device_count; device++) {
    const pp_device_class *class = &scenario->classes[inputs->class_of[device]];
    pp_cost_inputs costs = pp_scenario_cost_inputs(inputs, class->group);
    pp_ns longer_ns = 0;
    PP_TRY(pp_cost_replica_privacy(&costs, class->split, &longer_ns));
    if (__builtin_add_overflow(scenario->aggregate_ns, longer_ns, &scenario->aggregate_ns))
      return pp_fail(PP_CODE_INPUT, "aggregate takes more than 292 years");
  }
  return NULL;
}

/* A plan is for when all are there, over the server's link all the same. */
static void take_presence(const pp_config *config, int64_t horizon, pp_scenario *scenario) {
  if (config->server.link.up.count > 0) {
    scenario->server_up = &config->server.link.up;
    scenario->server_down = &config->server.link.down;
    bool has_rounds = horizon > 0 || config->aggregate.mode == PP_AGGREGATE_SYNC; /* in which all wait for each other */
    scenario->has_presence = has_rounds && scenario->method != PP_METHOD_SL;
  }
  if (horizon > 0)
    return;
  scenario->seed = config->seed;
  scenario->deadline_ns = config->aggregate.deadline_ns;
  scenario->min_devices = config->aggregate.min_devices;
  scenario->has_presence = scenario->has_presence || pp_scenario_has_presence(config);
}

/* Without a buffer rounds are the same for all; with one they are aggregates. A plan is for rounds of the first kind.
 */
static void take_buffer(const pp_config *config, int64_t horizon, pp_scenario *scenario) {
  if (horizon > 0 || config->aggregate.mode != PP_AGGREGATE_ASYNC)
    return;
  int64_t updates = pp_scenario_update_count(scenario);
  scenario->buffer = config->aggregate.buffer < updates ? config->aggregate.buffer : updates;
  scenario->rounds = pp_async_rounds(updates, scenario->buffer);
}

/* What the aggregate takes; with `sl` nothing is averaged. */
static pp_status take_aggregate(const pp_scenario_inputs *inputs, pp_scenario *scenario) {
  if (inputs->config->method == PP_METHOD_SL)
    return NULL;
  pp_cost_inputs costs = pp_scenario_cost_inputs(inputs, 0);
  int models = scenario->buffer > 0 ? (int)scenario->buffer : inputs->device_count;
  PP_TRY(pp_cost_aggregate(&costs, models, &scenario->aggregate_ns));
  return add_replica_privacy(inputs, scenario);
}

/* In place of what the class had before, if anything. */
static pp_status build_class(const pp_scenario_inputs *inputs, int index, const pp_group_plan *plans, int64_t horizon,
                             pp_scenario_storage *storage) {
  pp_device_class *class = &storage->classes[index];
  pp_schedule **schedules = &storage->schedules[4 * index];
  *class = inputs->classes[index];
  for (int which = 0; which < 4; which++) {
    pp_schedule_destroy(schedules[which]);
    schedules[which] = NULL;
  }
  PP_TRY(create_schedules(inputs, class, plans[class->group], schedules));
  if (horizon > 0)
    cut_class(class, horizon);
  return NULL;
}

static pp_status build(const pp_scenario_inputs *inputs, const pp_group_plan *plans, int64_t horizon,
                       pp_scenario *scenario) {
  const pp_config *config = inputs->config;
  pp_scenario_storage *storage = scenario->storage;
  size_t count = (size_t)inputs->class_count;
  PP_TRY(pp_alloc(count, sizeof *storage->classes, "the classes of devices", &storage->classes));
  PP_TRY(pp_alloc(4 * count, sizeof *storage->schedules, "the schedules of devices", &storage->schedules));
  scenario->method = config->method;
  scenario->policy = config->server.policy;
  scenario->slots = config->server.policy == PP_POLICY_SPACE_SHARE ? inputs->device_count : config->server.slots;
  scenario->device_count = inputs->device_count;
  scenario->class_count = inputs->class_count;
  scenario->class_of = inputs->class_of;
  scenario->rounds = horizon > 0 ? 1 : inputs->rounds;
  scenario->is_measured = config->groups[0].cost.kind == PP_COST_MEASURED;
  for (int index = 0; index < inputs->class_count; index++)
    PP_TRY(build_class(inputs, index, plans, horizon, storage));
  scenario->classes = storage->classes;
  take_presence(config, horizon, scenario);
  if (config->method != PP_METHOD_SL)
    take_buffer(config, horizon, scenario);
  return take_aggregate(inputs, scenario);
}

pp_status pp_scenario_change(const pp_scenario_inputs *inputs, const pp_group_plan *before, const pp_group_plan *plans,
                             int64_t horizon, pp_scenario *scenario) {
  for (int index = 0; index < inputs->class_count; index++) {
    int group = inputs->classes[index].group;
    if (before[group].split != plans[group].split || before[group].micro_batches != plans[group].micro_batches)
      PP_TRY(build_class(inputs, index, plans, horizon, scenario->storage));
  }
  return take_aggregate(inputs, scenario);
}

pp_status pp_scenario_build(const pp_scenario_inputs *inputs, const pp_group_plan *plans, int64_t horizon,
                            pp_scenario **out) {
  pp_scenario *scenario = NULL;
  pp_scenario_storage *storage = NULL;
  PP_TRY(pp_alloc(1, sizeof *scenario, "the scenario", &scenario));
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc(1, sizeof *storage, "the scenario", &storage), fail);
  scenario->storage = storage;
  PP_TRY_GOTO(status, build(inputs, plans, horizon, scenario), fail);
  *out = scenario;
  return NULL;
fail:
  pp_scenario_destroy(scenario);
  return status;
}

static pp_status check_plan(const pp_scenario_inputs *inputs, int group, pp_group_plan plan) {
  const pp_config *config = inputs->config;
  if (pp_method_splits(config->method) && inputs->block_count > 0 && plan.split > inputs->block_count)
    return pp_fail(PP_CODE_INPUT, "devices.%d: pipeline.split is %d, but %s has %d blocks: allowed are 1 to %d", group,
                   plan.split, config->model, inputs->block_count, inputs->block_count);
  if (pp_method_pipelines(config->method) && plan.micro_batches > config->training.batch_size)
    return pp_fail(PP_CODE_INPUT,
                   "devices.%d: pipeline.micro_batches is %d, more than the %d samples of a mini-batch: allowed are 1 "
                   "to %d",
                   group, plan.micro_batches, config->training.batch_size, config->training.batch_size);
  return NULL;
}

const pp_scenario_inputs *pp_scenario_inputs_of(const pp_scenario *scenario) {
  return ((const pp_scenario_storage *)scenario->storage)->inputs;
}

bool pp_scenario_has_presence(const pp_config *config) {
  bool has = config->aggregate.deadline_ns > 0 || config->aggregate.min_devices > 0;
  for (int group = 0; group < config->group_count; group++) {
    const pp_device_group *g = &config->groups[group];
    has = has || g->arrives_ns > 0 || g->departs_ns > 0 || g->dropout > 0;
  }
  return has;
}

bool pp_scenario_replans(const pp_config *config) {
  if (config->pipeline.replan == 0 || config->method == PP_METHOD_SL)
    return false;
  for (int group = 0; group < config->group_count; group++) {
    const pp_pipeline_config *pipeline = &config->groups[group].pipeline;
    if ((pp_method_splits(config->method) && pipeline->split == PP_AUTO) ||
        (pp_method_pipelines(config->method) && pipeline->micro_batches == PP_AUTO))
      return true;
  }
  return false;
}

static pp_status check_replan(const pp_config *config) {
  for (int group = 0; group < config->group_count; group++)
    if (config->groups[group].pipeline.replan != config->pipeline.replan)
      return pp_fail(PP_CODE_INPUT,
                     "devices.%d.pipeline.replan: %d differs from the experiment's %d: allowed is one "
                     "value for all groups",
                     group, config->groups[group].pipeline.replan, config->pipeline.replan);
  if (config->pipeline.replan > 0 && pp_scenario_has_presence(config))
    return pp_fail(PP_CODE_INPUT,
                   "pipeline.replan: %d is not built yet with devices that come, go or drop out, or an aggregate that "
                   "does not wait for all; allowed is 0",
                   config->pipeline.replan);
  if (config->pipeline.replan > 0 && config->clock == PP_CLOCK_WALL)
    return pp_fail(PP_CODE_INPUT,
                   "pipeline.replan: %d is not built yet with clock: wall; allowed are 0, or clock: virtual",
                   config->pipeline.replan);
  return NULL;
}

/* Where lengths are known only once stages have been computed, nothing may want them before. */
static pp_status check_measured(const pp_config *config) {
  if (config->groups[0].cost.kind != PP_COST_MEASURED)
    return NULL;
  const char *what = NULL;
  for (int group = 0; group < config->group_count; group++) {
    const pp_pipeline_config *pipeline = &config->groups[group].pipeline;
    if ((pp_method_splits(config->method) && pipeline->split == PP_AUTO) ||
        (pp_method_pipelines(config->method) && pipeline->micro_batches == PP_AUTO))
      what = "a plan by auto";
  }
  if (pp_scenario_has_presence(config))
    what = "devices that come, go or drop out, or an aggregate that does not wait for all";
  if (config->server.policy == PP_POLICY_PRIORITY)
    what = "server.policy: priority";
  if (config->method == PP_METHOD_BW_SPLIT)
    what = "method: bw-split";
  if (config->clock == PP_CLOCK_WALL)
    what = "clock: wall";
  if (config->compute == PP_COMPUTE_NONE)
    what = "compute: none";
  if (what == NULL)
    return NULL;
  return pp_fail(PP_CODE_INPUT, "cost.kind: measured does not go with %s: allowed is another kind", what);
}

/* Who plans again later does not know the links' future now either. */
static pp_status resolve(const pp_scenario_inputs *inputs, pp_group_plan *plans, pp_plan_row **rows, int64_t *count) {
  if (inputs->config->pipeline.replan == 0)
    return pp_planner_resolve(inputs, plans, rows, count);
  pp_observed observed;
  PP_TRY(pp_observed_init(&observed, inputs));
  pp_status status = pp_planner_resolve(&observed.inputs, plans, rows, count);
  pp_observed_fini(&observed);
  return status;
}

static pp_status create(const pp_scenario_inputs *inputs, pp_scenario **out) {
  const pp_config *config = inputs->config;
  pp_group_plan *plans = NULL;
  pp_plan_row *rows = NULL;
  int64_t row_count = 0;
  PP_TRY(pp_alloc((size_t)config->group_count, sizeof *plans, "the plans of the groups", &plans));
  for (int group = 0; group < config->group_count; group++)
    plans[group] = (pp_group_plan){config->groups[group].pipeline.split, config->groups[group].pipeline.micro_batches};
  pp_status status = NULL;
  PP_TRY_GOTO(status, check_measured(config), done);
  PP_TRY_GOTO(status, check_replan(config), done);
  PP_TRY_GOTO(status, resolve(inputs, plans, &rows, &row_count), done);
  for (int group = 0; group < config->group_count; group++)
    PP_TRY_GOTO(status, check_plan(inputs, group, plans[group]), done);
  PP_TRY_GOTO(status, pp_scenario_build(inputs, plans, 0, out), done);
  pp_scenario_storage *storage = (*out)->storage;
  storage->plan = rows;
  (*out)->plan = rows;
  (*out)->plan_count = row_count;
  rows = NULL;
done:
  free(rows);
  free(plans);
  return status;
}

pp_status pp_scenario_create(const pp_config *config, const pp_model *model, pp_scenario **out) {
  pp_scenario_inputs *inputs = NULL;
  PP_TRY(pp_alloc(1, sizeof *inputs, "the scenario", &inputs));
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_scenario_inputs_init(inputs, config, model), fail);
  PP_TRY_GOTO(status, create(inputs, out), fail);
  ((pp_scenario_storage *)(*out)->storage)->inputs = inputs;
  return NULL;
fail:
  pp_scenario_inputs_fini(inputs);
  free(inputs);
  return status;
}

void pp_scenario_destroy(pp_scenario *scenario) {
  if (scenario == NULL)
    return;
  pp_scenario_storage *storage = scenario->storage;
  if (storage != NULL) {
    if (storage->schedules != NULL)
      for (int index = 0; index < 4 * scenario->class_count; index++)
        pp_schedule_destroy(storage->schedules[index]);
    free(storage->schedules);
    free(storage->classes);
    free(storage->plan);
    if (storage->inputs != NULL)
      pp_scenario_inputs_fini(storage->inputs);
    free(storage->inputs);
    free(storage);
  }
  free(scenario);
}

bool pp_scenario_waits_for_all(const pp_scenario *scenario) {
  bool all = scenario->deadline_ns == 0 && scenario->min_devices == 0 && scenario->buffer == 0;
  for (int index = 0; index < scenario->class_count; index++) {
    const pp_device_class *class = &scenario->classes[index];
    all = all && class->arrives_ns == 0 && class->departs_ns == 0 && class->dropout <= 0;
  }
  return all;
}

int64_t pp_class_rounds(const pp_device_class *class) {
  return (class->iterations + class->iterations_per_round - 1) / class->iterations_per_round;
}

void pp_class_round_iterations(const pp_device_class *class, int64_t round, int64_t *first, int64_t *end) {
  *first = round * class->iterations_per_round;
  *end = *first + class->iterations_per_round;
  if (*first > class->iterations)
    *first = class->iterations;
  if (*end > class->iterations)
    *end = class->iterations;
}

int64_t pp_scenario_update_count(const pp_scenario *scenario) {
  int64_t updates = 0;
  for (int device = 0; device < scenario->device_count; device++)
    updates += pp_class_rounds(&scenario->classes[scenario->class_of[device]]);
  return updates;
}

bool pp_class_closes_round(const pp_device_class *class, int64_t iteration) {
  return (iteration + 1) % class->iterations_per_round == 0 || iteration + 1 == class->iterations;
}

const pp_schedule *pp_scenario_schedule(const pp_scenario *scenario, int device, int64_t iteration) {
  const pp_device_class *class = &scenario->classes[scenario->class_of[device]];
  bool ragged = (iteration + 1) % class->iterations_per_epoch == 0;
  if (class->closing_full != NULL && pp_class_closes_round(class, iteration))
    return ragged ? class->closing_ragged : class->closing_full;
  return ragged ? class->ragged : class->full;
}
