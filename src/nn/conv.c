/* Convolution, dense or depthwise, with the batch norm, activation and 2x2 max pool that follow it: its description.
 * How it computes is in conv_pass.c. */
#include "nn/layer.h"

static int out_of(int size, const pp_layer *layer) {
  return (size + 2 * layer->padding - layer->kernel) / layer->stride + 1;
}

void pp_conv_setup(pp_layer *layer) {
  int channels = layer->output.channels;
  layer->type = &pp_conv_type;
  layer->middle = (pp_shape){channels, out_of(layer->input.height, layer), out_of(layer->input.width, layer)};
  layer->output = layer->middle;
  if (layer->pool)
    layer->output = (pp_shape){channels, layer->middle.height / 2, layer->middle.width / 2};
  int64_t count = (int64_t)channels * (layer->depthwise ? 1 : layer->input.channels) * layer->kernel * layer->kernel;
  layer->weight = 0;
  layer->bias = count;
  count += layer->biased ? channels : 0;
  layer->gamma = count;
  layer->beta = count + channels;
  layer->mean = 0;
  layer->variance = channels;
  layer->parameter_count = count + (layer->norm ? 2 * (int64_t)channels : 0);
  layer->statistic_count = layer->norm ? 2 * (int64_t)channels : 0;
}

static int info(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]) {
  int64_t values = pp_shape_elements(layer->middle), weights = layer->bias;
  int count = 0;
  out[count++] = (pp_layer_info){.kind = layer->depthwise    ? PP_LAYER_DEPTHWISE
                                         : layer->kernel > 1 ? PP_LAYER_DENSE_CONV
                                                             : PP_LAYER_POINTWISE,
                                 .name = "conv",
                                 .macs = weights * pp_pixels(layer->middle),
                                 .inputs = pp_shape_elements(layer->input),
                                 .outputs = values,
                                 .parameters = weights + (layer->biased ? layer->middle.channels : 0)};
  if (layer->norm)
    out[count++] = (pp_layer_info){.kind = PP_LAYER_ELEMENTWISE,
                                   .name = "bn",
                                   .inputs = values,
                                   .outputs = values,
                                   .parameters = 2 * (int64_t)layer->middle.channels};
  if (layer->act != PP_ACT_NONE)
    out[count++] = (pp_layer_info){
        .kind = PP_LAYER_ELEMENTWISE, .name = pp_activation_name(layer->act), .inputs = values, .outputs = values};
  if (layer->pool)
    out[count++] = (pp_layer_info){
        .kind = PP_LAYER_ELEMENTWISE, .name = "pool", .inputs = values, .outputs = pp_shape_elements(layer->output)};
  return count;
}

static int tensors(const pp_layer *layer, pp_layer_tensor out[PP_LAYER_MAX_TENSORS]) {
  int64_t channels = layer->middle.channels;
  const pp_initial zero = {PP_INITIAL_CONSTANT, 0.0}, one = {PP_INITIAL_CONSTANT, 1.0};
  int count = 0;
  out[count++] =
      (pp_layer_tensor){layer->name,
                        "weight",
                        4,
                        {channels, layer->depthwise ? 1 : layer->input.channels, layer->kernel, layer->kernel},
                        false,
                        layer->weight,
                        layer->initial_weight};
  if (layer->biased)
    out[count++] = (pp_layer_tensor){layer->name, "bias", 1, {channels}, false, layer->bias, layer->initial_bias};
  if (!layer->norm)
    return count;
  const char *norm = layer->norm_name;
  out[count++] = (pp_layer_tensor){norm, "weight", 1, {channels}, false, layer->gamma, one};
  out[count++] = (pp_layer_tensor){norm, "bias", 1, {channels}, false, layer->beta, zero};
  out[count++] = (pp_layer_tensor){norm, "running_mean", 1, {channels}, true, layer->mean, zero};
  out[count++] = (pp_layer_tensor){norm, "running_var", 1, {channels}, true, layer->variance, one};
  return count;
}

const pp_layer_type pp_conv_type = {
    .fast = &pp_conv_fast,
    .reference = &pp_conv_reference,
    .inputs = 1,
    .keeps_apart = pp_conv_keeps_apart,
    .info = info,
    .tensors = tensors,
};
