/* Automated parameter selection: the rule of PiPar's published code (pipar.md's source), as it stands and mended. Each
 * group is planned by itself, from the costs of one whole mini-batch. docs/planner.md says what differs. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "timeline/planner.h"

enum { most_micro_batches = 100 };

/* Seconds of a whole mini-batch. */
typedef struct lengths {
  double forward, upload, server_forward, server_backward, download, backward;
  double up_latency, down_latency;
} lengths;

/* The rate a trace begins with: its first above 0. */
static double first_rate(const pp_rate_trace *trace) {
  for (int step = 0; step < trace->count; step++)
    if (trace->steps[step].rate_bps > 0)
      return (double)trace->steps[step].rate_bps;
  return 1;
}

/* Devices that one slot serves. */
static double devices_per_slot(const pp_scenario_inputs *inputs) {
  const pp_server_config *server = &inputs->config->server;
  if (server->policy == PP_POLICY_SPACE_SHARE)
    return inputs->device_count;
  double share = (double)inputs->device_count / server->slots;
  return share > 1 ? share : 1;
}

static lengths mended_lengths(const pp_scenario_inputs *inputs, int group, const pp_price *price) {
  const pp_network_config *network = &inputs->config->groups[group].network;
  const int64_t *cost = price->cost;
  double share = devices_per_slot(inputs);
  pp_ns backward =
      cost[PP_STAGE_SERVER_BACKWARD] + cost[PP_STAGE_SERVER_BACKWARD_INPUT] + cost[PP_STAGE_SERVER_BACKWARD_WEIGHT];
  return (lengths){.forward = pp_seconds(cost[PP_STAGE_FORWARD]),
                   .upload = 8 * (double)cost[PP_STAGE_UPLOAD] / first_rate(&network->up),
                   .server_forward = share * pp_seconds(cost[PP_STAGE_SERVER_FORWARD]),
                   .server_backward = share * pp_seconds(backward),
                   .download = 8 * (double)cost[PP_STAGE_DOWNLOAD] / first_rate(&network->down),
                   .backward = pp_seconds(cost[PP_STAGE_BACKWARD]),
                   .up_latency = pp_seconds(network->up_latency_ns),
                   .down_latency = pp_seconds(network->down_latency_ns)};
}

/* What the code takes for the size of a block's output: for the first the elements of its first layer's, for the others
 * seconds of a forward. */
static double published_size(const pp_scenario_inputs *inputs, int split, int batch, double forward_s) {
  const pp_block_info *first = inputs->blocks[0];
  return split == 1 ? (double)batch * (double)first->layers[0].outputs : forward_s;
}

static pp_status block_forward(pp_planning *planning, int group, int split, int batch, bool on_server, double *out) {
  const pp_price *with = NULL, *without = NULL;
  PP_TRY(pp_prices_get(planning, group, split, batch, &with));
  PP_TRY(pp_prices_get(planning, group, split - 1, batch, &without));
  pp_stage stage = on_server ? PP_STAGE_SERVER_FORWARD : PP_STAGE_FORWARD;
  *out = 0;
  if (with != NULL && without != NULL)
    *out = fabs(pp_seconds(with->cost[stage]) - pp_seconds(without->cost[stage]));
  return NULL;
}

static pp_status published_lengths(pp_planning *planning, int group, int split, int batch, const pp_price *price,
                                   lengths *out) {
  const double mebi = 1024.0 * 1024.0;
  const pp_network_config *network = &planning->inputs->config->groups[group].network;
  double on_device = 0, on_server = 0;
  if (split > 1) {
    PP_TRY(block_forward(planning, group, split, batch, false, &on_device));
    PP_TRY(block_forward(planning, group, split, batch, true, &on_server));
  }
  double up_mbps = first_rate(&network->up) / 1e6, down_mbps = first_rate(&network->down) / 1e6;
  *out = mended_lengths(planning->inputs, group, price);
  double share = devices_per_slot(planning->inputs);
  out->server_forward /= share;
  out->server_backward /= share;
  out->upload = 8 * published_size(planning->inputs, split, batch, on_device) / (up_mbps * mebi);
  out->download = 8 * published_size(planning->inputs, split, batch, on_server) / (down_mbps * mebi);
  out->up_latency = out->down_latency = 0;
  return NULL;
}

static int rule(const lengths *of, int batch, int most) {
  double round_trip =
      of->upload + of->up_latency + of->server_forward + of->server_backward + of->download + of->down_latency;
  double shorter = of->forward < of->backward ? of->forward : of->backward;
  double wanted = ceil(round_trip / (shorter + 1e-8)) + 1;
  double cap = batch / 2 < most_micro_batches ? batch / 2 : most_micro_batches;
  if (cap < 1)
    cap = 1;
  int count = (int)(wanted < cap ? wanted : cap);
  if (count > most)
    count = most;
  return batch / (batch / count);
}

static double later(double a, double b) { return a > b ? a : b; }

/* The longest path through the stages of `count` micro-batches, each of its part of the mini-batch's length. */
static double longest_path(const lengths *of, int count, bool published) {
  double n = count, forward = 0, up = 0, server = 0, down = 0, backward = 0;
  if (!published)
    backward = of->forward; /* no backward before all forwards */
  for (int micro_batch = 0; micro_batch < count; micro_batch++) {
    forward += of->forward / n;
    up = later(up, forward) + of->upload / n;
    server = later(server, up + of->up_latency) + (of->server_forward + of->server_backward) / n;
    /* The published estimate lets downloads overlap. */
    down = (published ? server : later(down, server)) + of->download / n;
    backward = later(backward, down + of->down_latency) + of->backward / n;
  }
  return backward;
}

/* Of a round, but for the aggregate: its iterations and its models' way up and back. */
static double round_length(const pp_planning *planning, int group, int split, double iteration) {
  const pp_scenario_inputs *inputs = planning->inputs;
  const pp_network_config *network = &inputs->config->groups[group].network;
  int64_t iterations = 0, up_bytes = 0, down_bytes = 0;
  for (int index = 0; index < inputs->class_count; index++) {
    const pp_device_class *class = &inputs->classes[index];
    int64_t own = class->iterations < class->iterations_per_round ? class->iterations : class->iterations_per_round;
    if (class->group == group && own > iterations)
      iterations = own;
  }
  pp_prices_models(planning, group, split, &up_bytes, &down_bytes);
  return (double)iterations * iteration + 8 * (double)up_bytes / first_rate(&network->up) +
         8 * (double)down_bytes / first_rate(&network->down) +
         pp_seconds(network->up_latency_ns + network->down_latency_ns);
}

/* Whether batch norms and costs cover the plan. */
static pp_status is_allowed(pp_planning *planning, int group, pp_group_plan plan, bool *out) {
  *out = true;
  for (int index = 0; *out && index < planning->inputs->class_count; index++) {
    const pp_device_class *class = &planning->inputs->classes[index];
    if (class->group != group)
      continue;
    int64_t batches[2] = {pp_scenario_full_batch(planning->inputs, class),
                          pp_scenario_ragged_batch(planning->inputs, class)};
    for (int which = 0; *out && which < 2; which++) {
      pp_schedule *schedule = NULL;
      if (batches[which] == 0)
        continue;
      pp_status status = pp_prices_schedule(planning, group, plan, (int)batches[which], &schedule);
      pp_schedule_destroy(schedule);
      *out = status == NULL;
      if (pp_error_code(status) == PP_CODE_INPUT)
        pp_planning_refuse(planning, status);
      else
        PP_TRY(status);
    }
  }
  return NULL;
}

pp_status pp_plan_by_aps(pp_planning *planning, int group, pp_candidates *looked_at) {
  const pp_scenario_inputs *inputs = planning->inputs;
  const pp_choices *choices = &planning->choices[group];
  bool published = inputs->config->groups[group].pipeline.planner == PP_PLANNER_APS_AS_PUBLISHED;
  int batch = inputs->config->training.batch_size, most = pp_planning_most_micro_batches(planning, group);
  int first_split = choices->split ? 1 : planning->plans[group].split;
  int last_split = choices->split ? planning->splits : planning->plans[group].split;
  if (published && choices->split && last_split > 1)
    last_split--; /* it never leaves the server without a block */
  PP_TRY(pp_alloc((size_t)last_split, sizeof *looked_at->items, "the planner's candidates", &looked_at->items));
  double least = INFINITY;
  pp_group_plan best = {0};
  for (int split = first_split; split <= last_split; split++) {
    const pp_price *price = NULL;
    lengths of = {0};
    bool allowed = false;
    PP_TRY(pp_prices_get(planning, group, split, batch, &price));
    if (price == NULL)
      continue;
    if (published)
      PP_TRY(published_lengths(planning, group, split, batch, price, &of));
    else
      of = mended_lengths(inputs, group, price);
    pp_group_plan plan = {split, planning->plans[group].micro_batches};
    if (choices->micro_batches)
      plan.micro_batches = rule(&of, batch, most);
    PP_TRY(is_allowed(planning, group, plan, &allowed));
    while (!allowed && choices->micro_batches && plan.micro_batches > 1) {
      plan.micro_batches--;
      PP_TRY(is_allowed(planning, group, plan, &allowed));
    }
    if (!allowed)
      continue;
    looked_at->items[looked_at->count++] = (pp_candidate){.plan = plan, .outlook = {.makespan = PP_NS_NEVER}};
    double length = longest_path(&of, plan.micro_batches, published);
    if (!published)
      length = round_length(planning, group, split, length);
    if (length >= least)
      continue;
    least = length;
    best = plan;
  }
  if (looked_at->count == 0) {
    pp_status refusal = planning->refusal;
    planning->refusal = NULL;
    return refusal != NULL ? refusal : pp_fail(PP_CODE_INPUT, "devices.%d: there is no plan to choose", group);
  }
  planning->plans[group] = best;
  return NULL;
}
