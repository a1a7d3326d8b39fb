#include "model/privacy.h"

/* Operations and bytes an element; estimates, as docs/cost.md derives them. */
enum {
  gaussian_operations = 82,
  laplace_operations = 66,
  update_operations = 7, /* its square, then the clipped update */
  update_bytes = 20,     /* both models read twice, one written */
  activation_operations = 4,
  activation_bytes = 12, /* read twice, written */
  gradient_operations = 1,
  gradient_bytes = 8,
};

static double pass_seconds(const pp_device_config *device, double elements, double operations, double bytes) {
  double compute = operations * elements / (device->linear_gflops * 1e9);
  double memory = bytes * elements / (device->memory_gbs * 1e9);
  return compute > memory ? compute : memory;
}

static int noise_operations(const pp_privacy_config *privacy) {
  if (privacy->mechanism == PP_PRIVACY_ACTIVATION && privacy->noise == PP_NOISE_LAPLACE)
    return laplace_operations;
  return privacy->noise_multiplier > 0 ? gaussian_operations : 0;
}

static bool uses(const pp_cost_inputs *inputs, pp_mechanism mechanism) {
  return inputs->privacy != NULL && inputs->privacy->mechanism == mechanism;
}

static double boundary_elements(const pp_cost_inputs *inputs, const pp_schedule *schedule, int samples) {
  return (double)samples * (double)pp_shape_elements(inputs->blocks[schedule->split - 1]->output);
}

double pp_privacy_forward_seconds(const pp_cost_inputs *inputs, const pp_schedule *schedule, int samples) {
  if (!uses(inputs, PP_PRIVACY_ACTIVATION))
    return 0;
  return pass_seconds(inputs->device, boundary_elements(inputs, schedule, samples),
                      activation_operations + noise_operations(inputs->privacy), activation_bytes) +
         inputs->device->overhead_us * 1e-6;
}

double pp_privacy_backward_seconds(const pp_cost_inputs *inputs, const pp_schedule *schedule, int samples) {
  if (!uses(inputs, PP_PRIVACY_ACTIVATION))
    return 0;
  return pass_seconds(inputs->device, boundary_elements(inputs, schedule, samples), gradient_operations,
                      gradient_bytes) +
         inputs->device->overhead_us * 1e-6;
}

/* Blocks [first, end): what they send, parameters and running statistics. */
static pp_status update_ns(const pp_cost_inputs *inputs, const pp_device_config *device, int first, int end,
                           const char *what, pp_ns *out) {
  double elements = 0;
  for (int block = first; block < end; block++)
    elements += (double)(inputs->blocks[block]->parameters + inputs->blocks[block]->statistics);
  *out = 0;
  if (elements == 0)
    return NULL;
  PP_TRY(pp_ns_from_seconds(
      pass_seconds(device, elements, update_operations + noise_operations(inputs->privacy), update_bytes), what, out));
  if (*out < 1)
    return pp_fail(PP_CODE_INPUT, "devices.%d: %s rounds to 0: it takes at least 1 ns", inputs->group, what);
  return NULL;
}

pp_status pp_cost_device_privacy(const pp_cost_inputs *inputs, int split, pp_ns *out) {
  *out = 0;
  if (!uses(inputs, PP_PRIVACY_DP_FEDAVG))
    return NULL;
  if (inputs->cost->kind == PP_COST_TABLE) {
    *out = inputs->cost->table.privacy_ns;
    return *out > 0 ? NULL
                    : pp_fail(PP_CODE_INPUT, "devices.%d: cost.device.privacy_s is missing: dp-fedavg needs it above 0",
                              inputs->group);
  }
  return update_ns(inputs, inputs->device, 0, split, "a device's clipping and noise", out);
}

pp_status pp_cost_replica_privacy(const pp_cost_inputs *inputs, int split, pp_ns *out) {
  *out = 0;
  if (!uses(inputs, PP_PRIVACY_DP_FEDAVG) || inputs->cost->kind == PP_COST_TABLE)
    return NULL; /* the table's aggregate_s has it */
  return update_ns(inputs, inputs->server, split, inputs->block_count, "a replica's clipping and noise", out);
}
