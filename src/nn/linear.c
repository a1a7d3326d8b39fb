/* Linear layer: y = x W^T + b, then an activation; on OpenBLAS. */
#include "nn/layer.h"

#include <cblas.h>
#include <string.h>

void pp_linear_setup(pp_layer *layer) {
  layer->type = &pp_linear_type;
  layer->middle = layer->output = (pp_shape){layer->output.channels, 1, 1};
  layer->biased = true;
  layer->weight = 0;
  layer->bias = pp_shape_elements(layer->input) * layer->output.channels;
  layer->parameter_count = layer->bias + layer->output.channels;
}

/* An image has to be turned from (H, W, C) to (C, H, W), the order of the weights' columns. */
static bool turns(const pp_layer *layer) {
  return layer->input.channels > 1 && (int64_t)layer->input.height * layer->input.width > 1;
}

/* What is kept from forward to backward. */
typedef struct linear_kept {
  float *x; /* (N, C x H x W), only where it is turned */
  float *a; /* (N, features), before the activation; only where there is one */
} linear_kept;

static linear_kept cut_kept(const pp_layer *layer, int64_t samples, pp_cutter *cutter) {
  linear_kept kept = {0};
  if (turns(layer))
    kept.x = pp_cut(cutter, samples * pp_shape_elements(layer->input));
  if (layer->act != PP_ACT_NONE)
    kept.a = pp_cut(cutter, samples * layer->output.channels);
  return kept;
}

static void plan(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out) {
  pp_cutter kept = {0}, scratch = {0};
  if (request->training)
    cut_kept(layer, request->max_samples, &kept);
  if (turns(layer)) /* the turned input, or its gradient */
    pp_cut(&scratch, request->max_samples * pp_shape_elements(layer->input));
  out->kept = kept.used;
  out->scratch = scratch.used;
}

/* (rows, columns) to (columns, rows), in tiles that stay in the first-level cache. */
static void transpose(const float *from, int64_t rows, int64_t columns, float *to) {
  enum { TILE = 16 };
  for (int64_t r0 = 0; r0 < rows; r0 += TILE)
    for (int64_t c0 = 0; c0 < columns; c0 += TILE)
      for (int64_t r = r0; r < rows && r < r0 + TILE; r++)
        for (int64_t c = c0; c < columns && c < c0 + TILE; c++)
          to[c * rows + r] = from[r * columns + c];
}

float pp_activation_at(pp_activation act, float a) {
  float gate = a < -3.0F ? 0.0F : a > 3.0F ? 1.0F : (a + 3.0F) / 6.0F;
  switch (act) {
  case PP_ACT_RELU:
    return 0.0F > a ? 0.0F : a;
  case PP_ACT_HARD_SWISH:
    return a * gate;
  case PP_ACT_HARD_SIGMOID:
    return gate;
  default:
    return a;
  }
}

float pp_activation_slope(pp_activation act, float a) {
  switch (act) {
  case PP_ACT_RELU:
    return a <= 0.0F ? 0.0F : 1.0F;
  case PP_ACT_HARD_SWISH:
    return a < -3.0F ? 0.0F : a > 3.0F ? 1.0F : a / 3.0F + 0.5F;
  case PP_ACT_HARD_SIGMOID:
    return a <= -3.0F || a >= 3.0F ? 0.0F : 1.0F / 6.0F;
  default:
    return 1.0F;
  }
}

static void forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  int64_t inputs = pp_shape_elements(layer->input), outputs = layer->output.channels;
  linear_kept kept = {0};
  if (run->training)
    kept = cut_kept(layer, run->max_samples, &(pp_cutter){.base = run->kept});
  const float *rows = x; /* (N, inputs) in the weights' order */
  if (turns(layer)) {
    float *turned = run->training ? kept.x : run->scratch;
    for (int n = 0; n < run->samples; n++)
      transpose(x + n * inputs, inputs / layer->input.channels, layer->input.channels, turned + n * inputs);
    rows = turned;
  }
  for (int n = 0; n < run->samples; n++)
    memcpy(y + n * outputs, run->params + layer->bias, (size_t)outputs * sizeof *y);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, run->samples, (int)outputs, (int)inputs, 1.0F, rows, (int)inputs,
              run->params + layer->weight, (int)inputs, 1.0F, y, (int)outputs);
  if (layer->act == PP_ACT_NONE)
    return;
  if (run->training)
    memcpy(kept.a, y, (size_t)(run->samples * outputs) * sizeof *y);
  for (int64_t i = 0; i < run->samples * outputs; i++)
    y[i] = pp_activation_at(layer->act, y[i]);
}

static void backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  int64_t inputs = pp_shape_elements(layer->input), outputs = layer->output.channels;
  linear_kept kept = cut_kept(layer, run->max_samples, &(pp_cutter){.base = run->kept});
  for (int64_t i = 0; i < run->samples * outputs && layer->act != PP_ACT_NONE; i++)
    dy[i] *= pp_activation_slope(layer->act, kept.a[i]);
  float *dbias = run->grads + layer->bias;
  for (int64_t o = 0; o < outputs; o++) {
    double sum = 0.0;
    for (int n = 0; n < run->samples; n++)
      sum += (double)dy[n * outputs + o];
    dbias[o] += (float)sum;
  }
  const float *rows = turns(layer) ? kept.x : x;
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)outputs, (int)inputs, run->samples, 1.0F, dy, (int)outputs,
              rows, (int)inputs, 1.0F, run->grads + layer->weight, (int)inputs);
  if (dx == NULL)
    return;
  float *gradient = turns(layer) ? run->scratch : dx;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, run->samples, (int)inputs, (int)outputs, 1.0F, dy,
              (int)outputs, run->params + layer->weight, (int)inputs, 0.0F, gradient, (int)inputs);
  if (turns(layer))
    for (int n = 0; n < run->samples; n++)
      transpose(gradient + n * inputs, layer->input.channels, inputs / layer->input.channels, dx + n * inputs);
}

static int info(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]) {
  int64_t inputs = pp_shape_elements(layer->input), outputs = layer->output.channels;
  int count = 0;
  out[count++] = (pp_layer_info){.kind = PP_LAYER_LINEAR,
                                 .name = "linear",
                                 .macs = inputs * outputs,
                                 .inputs = inputs,
                                 .outputs = outputs,
                                 .parameters = inputs * outputs + outputs};
  static const char *const acts[] = {NULL, "relu", "hardswish", "hardsigmoid"};
  if (layer->act != PP_ACT_NONE)
    out[count++] =
        (pp_layer_info){.kind = PP_LAYER_ELEMENTWISE, .name = acts[layer->act], .inputs = outputs, .outputs = outputs};
  return count;
}

/* A squeeze is written as a 1x1 convolution. */
static int tensors(const pp_layer *layer, pp_layer_tensor out[PP_LAYER_MAX_TENSORS]) {
  int64_t inputs = pp_shape_elements(layer->input), outputs = layer->output.channels;
  out[0] = (pp_layer_tensor){layer->name, "weight",      layer->kernel == 1 ? 4 : 2, {outputs, inputs, 1, 1},
                             false,       layer->weight, layer->initial_weight};
  out[1] = (pp_layer_tensor){layer->name, "bias", 1, {outputs}, false, layer->bias, layer->initial_bias};
  return 2;
}

static const pp_layer_ops fast = {.plan = plan, .forward = forward, .backward = backward};

const pp_layer_type pp_linear_type = {
    .fast = &fast,
    .reference = &pp_linear_reference,
    .inputs = 1,
    .info = info,
    .tensors = tensors,
};
