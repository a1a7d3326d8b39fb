#include "model/profile.h"

#include <stdio.h>
#include <string.h>

#include "config/profile.h"

/* ---- Whether a profile is of this network ---- */

static pp_status check_one(const pp_cost_inputs *inputs, const pp_profile *profile) {
  const pp_node *root = profile->root;
  const int *input = profile->input;
  pp_shape shape = inputs->blocks[0]->input;
  if (input[0] != shape.channels || input[1] != shape.height || input[2] != shape.width)
    return pp_fail_at(pp_node_nearest(root, "input"), "input",
                      "[%d, %d, %d] is not what the experiment's network takes: allowed is [%d, %d, %d]", input[0],
                      input[1], input[2], shape.channels, shape.height, shape.width);
  if (profile->classes != inputs->classes)
    return pp_fail_at(pp_node_nearest(root, "classes"), "classes",
                      "%d are not those of the experiment's data: allowed is %lld", profile->classes,
                      (long long)inputs->classes);
  if (profile->block_count != inputs->block_count)
    return pp_fail_at(pp_node_nearest(root, "blocks"), "blocks",
                      "%d blocks: allowed are the network's %d, none left out", profile->block_count,
                      inputs->block_count);
  for (int block = 0; block < profile->block_count; block++) {
    char key[48];
    const char *name = profile->blocks[block].name;
    if (name[0] == '\0' || strcmp(name, inputs->blocks[block]->name) == 0)
      continue;
    snprintf(key, sizeof key, "blocks.%d.name", block);
    return pp_fail_at(pp_node_nearest(root, key), key, "%s is not that block of the network: allowed is %s", name,
                      inputs->blocks[block]->name);
  }
  return NULL;
}

pp_status pp_profile_check(const pp_cost_inputs *inputs) {
  PP_ASSERT(inputs->cost->on_device != NULL && inputs->cost->on_server != NULL && inputs->block_count > 0);
  PP_TRY(check_one(inputs, inputs->cost->on_device));
  return check_one(inputs, inputs->cost->on_server);
}

/* ---- Seconds ---- */

typedef enum pass { PASS_FORWARD, PASS_BACKWARD, PASS_BACKWARD_INPUT, PASS_BACKWARD_WEIGHT } pass;
static const char *const pass_keys[] = {"forward_s", "backward_s", "backward_input_s", "backward_weight_s"};

static const pp_reals *values_of(const pp_profile_passes *passes, pass which) {
  const pp_reals *const values[] = {&passes->forward_s, &passes->backward_s, &passes->backward_input_s,
                                    &passes->backward_weight_s};
  return values[which];
}

/* Where a batch size lies: seconds = values[low] + share x (values[low + 1] - values[low]). */
typedef struct point {
  int low;
  double share; /* 0: just values[low] */
} point;

static pp_status locate(const pp_profile *profile, int group, int samples, point *out) {
  const int *sizes = profile->sizes;
  int last = profile->size_count - 1;
  if (!profile->extrapolate && (samples < sizes[0] || samples > sizes[last]))
    return pp_fail_at(pp_node_nearest(profile->root, "batch_sizes"), "batch_sizes",
                      "devices.%d has a batch of %d: allowed are %d to %d, or `extrapolate: true`", group, samples,
                      sizes[0], sizes[last]);
  int low = 0;
  while (low + 1 < last && sizes[low + 1] <= samples)
    low++;
  *out = (point){.low = low};
  if (samples != sizes[low])
    out->share = (double)(samples - sizes[low]) / (double)(sizes[low + 1] - sizes[low]);
  return NULL;
}

/* `block` -1: the loss. */
static pp_status add_pass(const pp_profile *profile, int block, pass which, point at, double *seconds) {
  char key[64];
  const pp_reals *reals = values_of(block < 0 ? profile->loss : &profile->blocks[block], which);
  if (reals->count > 0) {
    const double *values = reals->values + at.low;
    double length = at.share == 0   ? values[0]
                    : at.share == 1 ? values[1]
                                    : values[0] + at.share * (values[1] - values[0]);
    *seconds += length;
    if (length >= 0)
      return NULL;
  }
  if (block < 0)
    snprintf(key, sizeof key, "loss.%s", pass_keys[which]);
  else
    snprintf(key, sizeof key, "blocks.%d.%s", block, pass_keys[which]);
  if (reals->count > 0)
    return pp_fail_at(pp_node_nearest(profile->root, key), key,
                      "extrapolated falls below 0: allowed are seconds whose line does not");
  return pp_fail_at(pp_node_nearest(profile->root, key), key,
                    "is missing: bw-split needs both halves of backward, a number a batch size each");
}

/* Blocks [first, end), and the loss where the network ends. */
static pp_status sum_passes(const pp_cost_inputs *inputs, const pp_profile *profile, int first, int end, bool loss,
                            pass which, int samples, double *out) {
  point at = {0};
  double seconds = 0;
  PP_TRY(locate(profile, inputs->group, samples, &at));
  for (int block = first; block < end; block++)
    PP_TRY(add_pass(profile, block, which, at, &seconds));
  if (loss)
    PP_TRY(add_pass(profile, -1, which, at, &seconds));
  *out = seconds;
  return NULL;
}

static double sum_updates(const pp_profile *profile, int first, int end) {
  double seconds = 0;
  for (int block = first; block < end; block++)
    seconds += profile->blocks[block].update_s;
  return seconds;
}

pp_status pp_profile_seconds(const pp_cost_inputs *inputs, const pp_schedule *schedule, const pp_op *op, double *out) {
  const pp_profile *device = inputs->cost->on_device, *server = inputs->cost->on_server;
  int split = schedule->split, blocks = inputs->block_count;
  bool whole = schedule->method == PP_METHOD_FL;
  switch (op->stage) {
  case PP_STAGE_FORWARD:
    return sum_passes(inputs, device, 0, split, whole, PASS_FORWARD, op->samples, out);
  case PP_STAGE_BACKWARD:
    return sum_passes(inputs, device, 0, split, whole, PASS_BACKWARD, op->samples, out);
  case PP_STAGE_DEVICE_UPDATE:
    *out = sum_updates(device, 0, split);
    return NULL;
  case PP_STAGE_SERVER_FORWARD:
    return sum_passes(inputs, server, split, blocks, true, PASS_FORWARD, op->samples, out);
  case PP_STAGE_SERVER_BACKWARD:
    return sum_passes(inputs, server, split, blocks, true, PASS_BACKWARD, op->samples, out);
  case PP_STAGE_SERVER_BACKWARD_INPUT:
    return sum_passes(inputs, server, split, blocks, true, PASS_BACKWARD_INPUT, op->samples, out);
  case PP_STAGE_SERVER_BACKWARD_WEIGHT:
    return sum_passes(inputs, server, split, blocks, true, PASS_BACKWARD_WEIGHT, op->samples, out);
  case PP_STAGE_SERVER_UPDATE:
    *out = sum_updates(server, split, blocks);
    return NULL;
  default:
    break;
  }
  return pp_fail(PP_CODE_INPUT, "devices.%d: a profile has no cost of %s", inputs->group, pp_stage_name(op->stage));
}

pp_status pp_profile_aggregate_seconds(const pp_cost_inputs *inputs, int64_t device_count, double *out) {
  const pp_profile *server = inputs->cost->on_server;
  if (!server->has_aggregate)
    return pp_fail_at(server->root, "aggregate",
                      "is missing: the server's profile needs {add_s: .., finish_s: ..}, seconds");
  *out = (double)device_count * server->add_s + server->finish_s;
  return NULL;
}
