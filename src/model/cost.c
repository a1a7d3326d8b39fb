#include "model/cost.h"

#include <stdio.h>

#include "model/privacy.h"
#include "model/profile.h"

enum { element_bytes = 4, label_bytes = 4, update_bytes = 20 };

/* A layer's rate in operations a second; 0 for element-wise layers, which are bound by memory. */
static double layer_rate(const pp_device_config *device, pp_layer_kind kind) {
  switch (kind) {
  case PP_LAYER_DENSE_CONV:
    return device->dense_conv_gflops * 1e9;
  case PP_LAYER_POINTWISE:
    return device->pointwise_gflops * 1e9;
  case PP_LAYER_DEPTHWISE:
    return device->depthwise_gflops * 1e9;
  case PP_LAYER_LINEAR:
    return device->linear_gflops * 1e9;
  case PP_LAYER_ELEMENTWISE:
    return 0;
  }
  return 0;
}

/* Seconds of one pass of a layer over `samples` samples: the roofline (Williams et al., CACM 52(4), 2009). */
static double layer_seconds(const pp_device_config *device, const pp_layer_info *layer, int samples) {
  double rate = layer_rate(device, layer->kind);
  double elements = (double)samples * (double)(layer->inputs + layer->outputs) + (double)layer->parameters;
  double memory = element_bytes * elements / (device->memory_gbs * 1e9);
  double compute = rate > 0 ? 2.0 * (double)layer->macs * (double)samples / rate : 0;
  return (compute > memory ? compute : memory) + device->overhead_us * 1e-6;
}

/* Which passes over the layers a stage makes. */
typedef struct pp_passes {
  int forward, input_gradient, weight_gradient; /* 0 or 1 each */
} pp_passes;

/* Blocks [first, end). The network's first layer has no input gradient. */
static double blocks_seconds(const pp_cost_inputs *inputs, const pp_device_config *device, int first, int end,
                             int samples, pp_passes passes) {
  double seconds = 0;
  int all = passes.forward + passes.input_gradient + passes.weight_gradient;
  for (int block = first; block < end; block++) {
    const pp_block_info *info = inputs->blocks[block];
    for (int layer = 0; layer < info->layer_count; layer++) {
      int count = block == 0 && layer == 0 ? all - passes.input_gradient : all;
      seconds += count * layer_seconds(device, &info->layers[layer], samples);
    }
  }
  return seconds;
}

/* Softmax cross-entropy, where the network ends: one more element-wise layer, from logits to probabilities. */
static double loss_seconds(const pp_cost_inputs *inputs, const pp_device_config *device, int samples,
                           pp_passes passes) {
  const pp_layer_info loss = {
      .kind = PP_LAYER_ELEMENTWISE, .name = "loss", .inputs = inputs->classes, .outputs = inputs->classes};
  int all = passes.forward + passes.input_gradient + passes.weight_gradient;
  return all * layer_seconds(device, &loss, samples);
}

static double device_seconds(const pp_cost_inputs *inputs, const pp_schedule *schedule, int samples, pp_passes passes) {
  double seconds = blocks_seconds(inputs, inputs->device, 0, schedule->split, samples, passes);
  bool ends_network = schedule->method == PP_METHOD_FL;
  return ends_network ? seconds + loss_seconds(inputs, inputs->device, samples, passes) : seconds;
}

static double server_seconds(const pp_cost_inputs *inputs, const pp_schedule *schedule, int samples, pp_passes passes) {
  return blocks_seconds(inputs, inputs->server, schedule->split, inputs->block_count, samples, passes) +
         loss_seconds(inputs, inputs->server, samples, passes);
}

static double update_seconds(const pp_cost_inputs *inputs, const pp_device_config *device, int first, int end) {
  double parameters = 0;
  for (int block = first; block < end; block++)
    parameters += (double)inputs->blocks[block]->parameters;
  return update_bytes * parameters / (device->memory_gbs * 1e9);
}

static int64_t model_bytes(const pp_cost_inputs *inputs, int blocks) {
  int64_t elements = 0;
  for (int block = 0; block < blocks; block++)
    elements += inputs->blocks[block]->parameters + inputs->blocks[block]->statistics;
  return element_bytes * elements;
}

static double roofline_seconds(const pp_cost_inputs *inputs, const pp_schedule *schedule, const pp_op *op) {
  const pp_passes forward = {.forward = 1}, backward = {.input_gradient = 1, .weight_gradient = 1};
  const pp_passes backward_input = {.input_gradient = 1}, backward_weight = {.weight_gradient = 1};
  switch (op->stage) {
  case PP_STAGE_FORWARD:
    return device_seconds(inputs, schedule, op->samples, forward) +
           pp_privacy_forward_seconds(inputs, schedule, op->samples);
  case PP_STAGE_BACKWARD:
    return device_seconds(inputs, schedule, op->samples, backward) +
           pp_privacy_backward_seconds(inputs, schedule, op->samples);
  case PP_STAGE_DEVICE_UPDATE:
    return update_seconds(inputs, inputs->device, 0, schedule->split);
  case PP_STAGE_SERVER_FORWARD:
    return server_seconds(inputs, schedule, op->samples, forward);
  case PP_STAGE_SERVER_BACKWARD:
    return server_seconds(inputs, schedule, op->samples, backward);
  case PP_STAGE_SERVER_BACKWARD_INPUT:
    return server_seconds(inputs, schedule, op->samples, backward_input);
  case PP_STAGE_SERVER_BACKWARD_WEIGHT:
    return server_seconds(inputs, schedule, op->samples, backward_weight);
  case PP_STAGE_SERVER_UPDATE:
    return update_seconds(inputs, inputs->server, schedule->split, inputs->block_count);
  default:
    return 0;
  }
}

/* Nanoseconds of a compute stage; 0 where the table does not give it. */
static int64_t table_ns(const pp_cost_table *table, pp_stage stage) {
  switch (stage) {
  case PP_STAGE_FORWARD:
    return table->forward_ns;
  case PP_STAGE_BACKWARD:
    return table->backward_ns;
  case PP_STAGE_DEVICE_UPDATE:
    return table->update_ns;
  case PP_STAGE_SERVER_FORWARD:
    return table->server_forward_ns;
  case PP_STAGE_SERVER_BACKWARD:
    return table->server_backward_ns;
  case PP_STAGE_SERVER_BACKWARD_INPUT:
    return table->server_backward_input_ns;
  case PP_STAGE_SERVER_BACKWARD_WEIGHT:
    return table->server_backward_weight_ns;
  case PP_STAGE_SERVER_UPDATE:
    return table->server_update_ns;
  case PP_STAGE_AGGREGATE:
    return table->aggregate_ns;
  case PP_STAGE_UPLOAD:
    return table->upload_bytes;
  case PP_STAGE_DOWNLOAD:
    return table->download_bytes;
  case PP_STAGE_MODEL_UPLOAD:
    return table->model_upload_bytes;
  case PP_STAGE_MODEL_DOWNLOAD:
    return table->model_download_bytes;
  default:
    return 0;
  }
}

static const char *table_key(pp_stage stage) {
  switch (stage) {
  case PP_STAGE_FORWARD:
    return "cost.device.forward_s";
  case PP_STAGE_BACKWARD:
    return "cost.device.backward_s";
  case PP_STAGE_DEVICE_UPDATE:
    return "cost.device.update_s";
  case PP_STAGE_SERVER_FORWARD:
    return "cost.server.forward_s";
  case PP_STAGE_SERVER_BACKWARD:
    return "cost.server.backward_s";
  case PP_STAGE_SERVER_BACKWARD_INPUT:
    return "cost.server.backward_input_s";
  case PP_STAGE_SERVER_BACKWARD_WEIGHT:
    return "cost.server.backward_weight_s";
  case PP_STAGE_SERVER_UPDATE:
    return "cost.server.update_s";
  case PP_STAGE_AGGREGATE:
    return "cost.server.aggregate_s";
  case PP_STAGE_UPLOAD:
    return "cost.bytes.upload";
  case PP_STAGE_DOWNLOAD:
    return "cost.bytes.download";
  case PP_STAGE_MODEL_UPLOAD:
    return "cost.bytes.model_upload";
  case PP_STAGE_MODEL_DOWNLOAD:
    return "cost.bytes.model_download";
  default:
    return "cost";
  }
}

static pp_status from_table(const pp_cost_inputs *inputs, pp_stage stage, int64_t *out) {
  *out = table_ns(&inputs->cost->table, stage);
  if (*out <= 0)
    return pp_fail(PP_CODE_INPUT, "devices.%d: %s is missing or rounds to 0: this method needs it above 0",
                   inputs->group, table_key(stage));
  return NULL;
}

static pp_status from_seconds(const pp_cost_inputs *inputs, pp_stage stage, double seconds, int64_t *out) {
  char what[96];
  snprintf(what, sizeof what, "devices.%d: the %s cost of %s", inputs->group, pp_cost_kind_name(inputs->cost->kind),
           pp_stage_name(stage));
  PP_TRY(pp_ns_from_seconds(seconds, what, out));
  if (*out < 1)
    return pp_fail(PP_CODE_INPUT, "%s is %g s, which rounds to 0: a stage lasts at least 1 ns", what, seconds);
  return NULL;
}

static pp_status message_bytes(const pp_cost_inputs *inputs, const pp_schedule *schedule, pp_stage stage, int samples,
                               int64_t *out) {
  if (inputs->cost->kind == PP_COST_TABLE)
    return from_table(inputs, stage, out);
  int64_t activations = element_bytes * pp_shape_elements(inputs->blocks[schedule->split - 1]->output);
  switch (stage) {
  case PP_STAGE_UPLOAD:
    *out = samples * (activations + label_bytes);
    break;
  case PP_STAGE_DOWNLOAD:
    *out = samples * activations;
    break;
  default:
    *out = model_bytes(inputs, schedule->split);
    break;
  }
  if (*out < 1)
    return pp_fail(PP_CODE_INPUT, "devices.%d: with split %d a %s has no bytes: at least 1 is needed", inputs->group,
                   schedule->split, pp_stage_name(stage));
  return NULL;
}

static pp_status compute_ns(const pp_cost_inputs *inputs, const pp_schedule *schedule, const pp_op *op, int64_t *out) {
  switch (inputs->cost->kind) {
  case PP_COST_TABLE:
    return from_table(inputs, op->stage, out);
  case PP_COST_ROOFLINE:
    return from_seconds(inputs, op->stage, roofline_seconds(inputs, schedule, op), out);
  case PP_COST_PROFILE: {
    double seconds = 0;
    PP_TRY(pp_profile_seconds(inputs, schedule, op, &seconds));
    return from_seconds(inputs, op->stage, seconds, out);
  }
  case PP_COST_MEASURED:
    *out = 0; /* known when it has been computed */
    break;
  }
  return NULL;
}

pp_status pp_cost_fill(const pp_cost_inputs *inputs, pp_schedule *schedule) {
  if (inputs->cost->kind == PP_COST_PROFILE)
    PP_TRY(pp_profile_check(inputs));
  for (int index = 0; index < schedule->op_count; index++) {
    pp_op *op = &schedule->ops[index];
    pp_resource resource = pp_stage_resource(op->stage);
    if (resource == PP_RESOURCE_DEVICE || resource == PP_RESOURCE_SERVER)
      PP_TRY(compute_ns(inputs, schedule, op, &op->cost));
    else
      PP_TRY(message_bytes(inputs, schedule, op->stage, op->samples, &op->cost));
  }
  PP_TRY(message_bytes(inputs, schedule, PP_STAGE_MODEL_UPLOAD, 0, &schedule->model_upload_bytes));
  return message_bytes(inputs, schedule, PP_STAGE_MODEL_DOWNLOAD, 0, &schedule->model_download_bytes);
}

pp_status pp_cost_aggregate(const pp_cost_inputs *inputs, int64_t device_count, pp_ns *out) {
  if (inputs->cost->kind == PP_COST_TABLE)
    return from_table(inputs, PP_STAGE_AGGREGATE, out);
  *out = 0;
  if (inputs->cost->kind == PP_COST_MEASURED)
    return NULL;
  if (inputs->cost->kind == PP_COST_PROFILE) {
    double seconds = 0;
    PP_TRY(pp_profile_aggregate_seconds(inputs, device_count, &seconds));
    return from_seconds(inputs, PP_STAGE_AGGREGATE, seconds, out);
  }
  double bytes = (double)(device_count + 1) * (double)model_bytes(inputs, inputs->block_count);
  return from_seconds(inputs, PP_STAGE_AGGREGATE, bytes / (inputs->server->memory_gbs * 1e9), out);
}
