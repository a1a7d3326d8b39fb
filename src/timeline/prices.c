/* Costs of candidates without their schedules: a stage's cost follows from its samples, so each size of micro-batch is
 * priced once for each split, and bounds are sums over two sizes. */
#include <stdlib.h>

#include "base/mem.h"
#include "timeline/planner.h"

void pp_planning_refuse(pp_planning *planning, pp_status status) {
  pp_error_free(planning->refusal);
  planning->refusal = status;
}

static pp_price_list *list_of(pp_planning *planning, int group, int split) {
  return &planning->lists[(size_t)group * (size_t)planning->splits + (size_t)(split - 1)];
}

static pp_status price(pp_planning *planning, int group, pp_price_list *list, int split, int samples, pp_price *out) {
  const pp_scenario_inputs *inputs = planning->inputs;
  int blocks = inputs->block_count > 0 ? inputs->block_count : split + 1;
  pp_schedule *schedule = NULL;
  PP_TRY(pp_schedule_create(inputs->config->method, samples, 1, split, 0, blocks, &schedule));
  pp_cost_inputs costs = pp_scenario_cost_inputs(inputs, group);
  pp_status status = pp_cost_fill(&costs, schedule);
  out->known = true;
  if (pp_error_code(status) == PP_CODE_INPUT) {
    out->refused = true;
    pp_planning_refuse(planning, status);
    status = NULL;
  }
  for (int index = 0; index < schedule->op_count; index++)
    out->cost[schedule->ops[index].stage] = schedule->ops[index].cost;
  list->model_up_bytes = schedule->model_upload_bytes;
  list->model_down_bytes = schedule->model_download_bytes;
  pp_schedule_destroy(schedule);
  return status;
}

pp_status pp_prices_get(pp_planning *planning, int group, int split, int samples, const pp_price **out) {
  pp_price_list *list = list_of(planning, group, split);
  size_t sizes = (size_t)planning->inputs->config->training.batch_size + 1;
  if (list->by_size == NULL)
    PP_TRY(pp_alloc(sizes, sizeof *list->by_size, "the planner's prices", &list->by_size));
  PP_ASSERT((size_t)samples < sizes);
  pp_price *entry = &list->by_size[samples];
  if (!entry->known)
    PP_TRY(price(planning, group, list, split, samples, entry));
  *out = entry->refused ? NULL : entry;
  return NULL;
}

void pp_prices_models(const pp_planning *planning, int group, int split, int64_t *up_bytes, int64_t *down_bytes) {
  const pp_price_list *list = &planning->lists[(size_t)group * (size_t)planning->splits + (size_t)(split - 1)];
  *up_bytes = list->model_up_bytes;
  *down_bytes = list->model_down_bytes;
}

static pp_status fill(pp_planning *planning, int group, int split, pp_schedule *schedule) {
  int largest = pp_micro_batch_size(schedule->batch, schedule->micro_batches, 0);
  for (int index = 0; index < schedule->op_count; index++) {
    pp_op *op = &schedule->ops[index];
    const pp_price *known = NULL;
    /* An update's cost does not depend on samples; the sizes that are covered may end below the mini-batch. */
    PP_TRY(pp_prices_get(planning, group, split, op->micro_batch < 0 ? largest : op->samples, &known));
    if (known == NULL)
      return pp_fail(PP_CODE_INPUT, "%s", pp_error_message(planning->refusal));
    op->cost = known->cost[op->stage];
  }
  const pp_price_list *list = list_of(planning, group, split);
  schedule->model_upload_bytes = list->model_up_bytes;
  schedule->model_download_bytes = list->model_down_bytes;
  return NULL;
}

pp_status pp_prices_schedule(pp_planning *planning, int group, pp_group_plan plan, int batch, pp_schedule **out) {
  const pp_scenario_inputs *inputs = planning->inputs;
  const pp_config *config = inputs->config;
  int blocks = inputs->block_count > 0 ? inputs->block_count : plan.split + 1;
  pp_schedule *schedule = NULL;
  PP_TRY(pp_schedule_create(config->method, batch, plan.micro_batches, plan.split,
                            config->groups[group].pipeline.in_flight, blocks, &schedule));
  pp_status status = pp_scenario_check_batch_norms(inputs, group, schedule);
  if (status == NULL)
    status = fill(planning, group, plan.split, schedule);
  if (status != NULL) {
    pp_schedule_destroy(schedule);
    return status;
  }
  *out = schedule;
  return NULL;
}

/* ---- Lower bounds ---- */

/* Length of a message at the link's best rate. */
static pp_int128 shortest_ns(const pp_rate_trace *trace, int64_t bytes) {
  int64_t best = 1;
  for (int step = 0; step < trace->count; step++)
    if (trace->steps[step].rate_bps > best)
      best = trace->steps[step].rate_bps;
  return (pp_int128)bytes * 8 * 1000000000 / best;
}

/* One micro-batch. */
typedef struct piece {
  pp_int128 forward, up, turn, server, down, backward; /* turn: until its gradient is ready, server: all of it */
} piece;

static piece piece_of(const pp_price *price, const pp_network_config *network, pp_int128 server_factor) {
  const int64_t *cost = price->cost;
  pp_int128 turn = cost[PP_STAGE_SERVER_FORWARD] + cost[PP_STAGE_SERVER_BACKWARD];
  turn += cost[PP_STAGE_SERVER_BACKWARD_INPUT];
  return (piece){.forward = cost[PP_STAGE_FORWARD],
                 .up = cost[PP_STAGE_UPLOAD] > 0 ? shortest_ns(&network->up, cost[PP_STAGE_UPLOAD]) : 0,
                 .turn = turn * server_factor,
                 .server = (turn + cost[PP_STAGE_SERVER_BACKWARD_WEIGHT]) * server_factor,
                 .down = cost[PP_STAGE_DOWNLOAD] > 0 ? shortest_ns(&network->down, cost[PP_STAGE_DOWNLOAD]) : 0,
                 .backward = cost[PP_STAGE_BACKWARD]};
}

static pp_int128 larger(pp_int128 a, pp_int128 b) { return a > b ? a : b; }

/* Of one iteration: what it takes at least, from its first forward to its device_update's end; *server: what it asks of
 * a slot; *ahead: before it asks. */
static pp_status bound_iteration(pp_planning *planning, int group, pp_group_plan plan, int batch, bool *refused,
                                 pp_int128 *length, pp_int128 *server, pp_int128 *ahead) {
  const pp_config *config = planning->inputs->config;
  const pp_network_config *network = &config->groups[group].network;
  int count = plan.micro_batches < batch ? plan.micro_batches : batch;
  int larger_count = batch % count;
  const pp_price *large = NULL, *small = NULL;
  PP_TRY(pp_prices_get(planning, group, plan.split, pp_micro_batch_size(batch, count, 0), &large));
  PP_TRY(pp_prices_get(planning, group, plan.split, pp_micro_batch_size(batch, count, count - 1), &small));
  *refused = large == NULL || small == NULL;
  if (*refused)
    return NULL;
  pp_int128 factor = config->server.policy == PP_POLICY_SPACE_SHARE ? planning->inputs->device_count : 1;
  piece l = piece_of(large, network, factor), s = piece_of(small, network, factor);
  pp_int128 nl = larger_count, ns = count - larger_count;
  pp_int128 forward = nl * l.forward + ns * s.forward, backward = nl * l.backward + ns * s.backward;
  pp_int128 up = nl * l.up + ns * s.up, down = nl * l.down + ns * s.down;
  pp_int128 update = large->cost[PP_STAGE_DEVICE_UPDATE];
  pp_int128 out_latency = network->up_latency_ns, back_latency = network->down_latency_ns;
  *server = nl * l.server + ns * s.server + (pp_int128)large->cost[PP_STAGE_SERVER_UPDATE] * factor;
  const piece *first = larger_count > 0 ? &l : &s, *last = &s; /* larger ones come first */
  *ahead = first->forward + first->up + out_latency;
  *length = forward + backward + update;
  if (up == 0)
    return NULL;
  pp_int128 end = last->down + back_latency + last->backward + update; /* after its last turn at the server */
  pp_int128 begin = *ahead;
  *length = larger(*length, first->forward + up + out_latency + last->turn + end);
  *length = larger(*length, forward + last->up + out_latency + last->turn + end);
  *length = larger(*length, begin + nl * l.server + ns * s.server - (last->server - last->turn) + end);
  *length = larger(*length, begin + first->turn + down + back_latency + last->backward + update);
  *length = larger(*length, begin + first->turn + first->down + back_latency + backward + update);
  if (network->half_duplex)
    *length = larger(*length, first->forward + up + down + back_latency + last->backward + update);
  return NULL;
}

pp_status pp_bounds_of_group(pp_planning *planning, int group, pp_group_plan plan, pp_group_bound *out) {
  const pp_scenario_inputs *inputs = planning->inputs;
  const pp_config *config = inputs->config;
  const pp_network_config *network = &config->groups[group].network;
  int64_t most_batch = config->training.batch_size;
  *out = (pp_group_bound){.first_ns = -1};
  for (int index = 0; index < inputs->class_count; index++) {
    const pp_device_class *class = &inputs->classes[index];
    if (class->group != group)
      continue;
    int64_t iterations =
        class->iterations < class->iterations_per_round ? class->iterations : class->iterations_per_round;
    pp_int128 full = 0, last = 0, server = 0, last_server = 0, ahead = 0, ignored = 0;
    int64_t left = pp_scenario_ragged_batch(inputs, class);
    int64_t batch = pp_scenario_full_batch(inputs, class);
    PP_ASSERT(batch <= most_batch);
    int64_t ragged = left > 0 ? iterations / class->iterations_per_epoch : 0;
    PP_TRY(bound_iteration(planning, group, plan, (int)batch, &out->refused, &full, &server, &ahead));
    if (!out->refused && ragged > 0)
      PP_TRY(bound_iteration(planning, group, plan, (int)left, &out->refused, &last, &last_server, &ignored));
    if (out->refused)
      return NULL;
    const pp_price_list *list = list_of(planning, group, plan.split);
    pp_int128 models = shortest_ns(&network->up, list->model_up_bytes) + network->up_latency_ns;
    if (config->method != PP_METHOD_SL)
      out->return_ns = shortest_ns(&network->down, list->model_down_bytes) + network->down_latency_ns;
    pp_int128 own = full * (iterations - ragged) + last * ragged + models;
    pp_int128 asked = server * (iterations - ragged) + last_server * ragged;
    out->device_ns = larger(out->device_ns, larger(own, ahead + asked));
    out->server_ns += asked * planning->members[index];
    out->first_ns = out->first_ns < 0 || ahead < out->first_ns ? ahead : out->first_ns;
  }
  return NULL;
}

pp_ns pp_bounds_join(const pp_planning *planning, const pp_group_bound *bounds) {
  const pp_config *config = planning->inputs->config;
  if (pp_scenario_has_presence(config))
    return 0; /* a round may end without its slowest devices */
  pp_int128 device = 0, server = 0, first = -1, back = 0;
  for (int group = 0; group < config->group_count; group++) {
    device = larger(device, bounds[group].device_ns);
    back = larger(back, bounds[group].return_ns);
    server += bounds[group].server_ns;
    if (first < 0 || bounds[group].first_ns < first)
      first = bounds[group].first_ns;
  }
  bool shares = config->server.policy == PP_POLICY_SPACE_SHARE;
  server /= shares ? planning->inputs->device_count : config->server.slots;
  pp_int128 all = larger(device, server + first) + planning->aggregate_ns + back;
  return all < PP_NS_NEVER ? (pp_ns)all : PP_NS_NEVER - 1;
}
