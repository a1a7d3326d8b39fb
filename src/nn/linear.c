/* Linear layer: y = x W^T + b, then an activation; on OpenBLAS, or where the weights are few as a 1x1 convolution,
 * whose threads keep their samples. */
#include "nn/layer.h"

#include <cblas.h>
#include <string.h>

enum {
  PARTS = 8,          /* that a product is cut into, at most: a power of two, so that threads share them evenly */
  PART_COLUMNS = 128, /* of one part, at least, unless the product is in two */
  PART_UNIT = 16,
};

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

static pp_layer conv_of(const pp_layer *layer) {
  pp_layer conv = *layer;
  conv.type = &pp_conv_type;
  conv.input = (pp_shape){(int)pp_shape_elements(layer->input), 1, 1};
  conv.kernel = conv.stride = 1;
  return conv;
}

static bool is_conv(const pp_layer *layer) {
  pp_layer conv = conv_of(layer);
  return !turns(layer) && pp_conv_keeps_apart(&conv);
}

static pp_layer_run conv_run(const pp_layer_run *run, const pp_layer *conv) {
  pp_layer_run own = *run;
  own.layer = conv;
  return own;
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
  if (is_conv(layer)) {
    pp_layer conv = conv_of(layer);
    pp_conv_fast.plan(&conv, request, out);
    return;
  }
  if (request->training)
    cut_kept(layer, request->max_samples, &kept);
  if (turns(layer)) /* the turned input, or its gradient */
    pp_cut(&scratch, request->max_samples * pp_shape_elements(layer->input));
  *out = (pp_layer_plan){.kept = kept.used, .scratch = scratch.used};
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

/* What the parts of a pass have in common. A part's size follows from the layer alone, so that OpenBLAS gives the same
 * bits with any number of threads. */
typedef struct linear_pass {
  const pp_layer_run *run;
  const float *x;    /* as the layer gets it */
  const float *rows; /* (N, inputs) in the weights' order */
  float *turned;     /* a copy in the weights' order, or its gradient; NULL: none */
  float *y, *dy, *dx;
  linear_kept kept;
} linear_pass;

static int64_t parts_of(int64_t columns) {
  int64_t parts = columns < 2 * PART_UNIT ? 1 : 2;
  while (parts < PARTS && columns >= 2 * parts * PART_COLUMNS)
    parts *= 2;
  return parts;
}

/* This thread's parts of that many columns, where the product is worth sharing. */
static pp_range own_parts(const pp_layer_run *run, int64_t columns) {
  return pp_own_of(run, parts_of(columns), 1, run->samples * run->layer->bias / 16);
}

/* Of this thread's samples: (H, W, C) to (C, H, W), or dx back. */
static void turn_samples(const linear_pass *pass) {
  const pp_layer *layer = pass->run->layer;
  int64_t inputs = pp_shape_elements(layer->input), channels = layer->input.channels;
  pp_range samples = pp_own(pass->run, pass->run->samples, 1);
  for (int64_t at = samples.first * inputs; at < samples.end * inputs; at += inputs)
    if (pass->dx == NULL)
      transpose(pass->x + at, inputs / channels, channels, pass->turned + at);
    else
      transpose(pass->turned + at, channels, inputs / channels, pass->dx + at);
}

/* Some outputs of all samples. */
static void forward_part(const linear_pass *pass, int64_t part) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  int64_t inputs = pp_shape_elements(layer->input), outputs = layer->output.channels;
  pp_range at = pp_range_part(outputs, PART_UNIT, parts_of(outputs), part);
  size_t bytes = (size_t)(at.end - at.first) * sizeof(float);
  float *y = pass->y + at.first;
  for (int n = 0; n < run->samples; n++)
    memcpy(y + n * outputs, run->params + layer->bias + at.first, bytes);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, run->samples, (int)(at.end - at.first), (int)inputs, 1.0F,
              pass->rows, (int)inputs, run->params + layer->weight + at.first * inputs, (int)inputs, 1.0F, y,
              (int)outputs);
  for (int n = 0; n < run->samples && layer->act != PP_ACT_NONE; n++) {
    if (run->training)
      memcpy(pass->kept.a + n * outputs + at.first, y + n * outputs, bytes);
    run->kernels->act(layer->act, at.end - at.first, y + n * outputs);
  }
}

static void forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  if (is_conv(layer)) {
    pp_layer conv = conv_of(layer);
    pp_layer_run own = conv_run(run, &conv);
    pp_conv_fast.forward(&own, x, y);
    return;
  }
  linear_pass pass = {.run = run, .x = x, .rows = x, .y = y};
  if (run->training)
    pass.kept = cut_kept(layer, run->max_samples, &(pp_cutter){.base = run->kept});
  if (turns(layer)) {
    pass.rows = pass.turned = run->training ? pass.kept.x : run->scratch;
    turn_samples(&pass);
    pp_meet(run);
  }
  pp_range parts = own_parts(run, layer->output.channels);
  for (int64_t part = parts.first; part < parts.end; part++)
    forward_part(&pass, part);
}

/* The gradients of some outputs: before the activation, of the bias and of the weights. */
static void weights_part(const linear_pass *pass, int64_t part) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  int64_t inputs = pp_shape_elements(layer->input), outputs = layer->output.channels;
  pp_range at = pp_range_part(outputs, PART_UNIT, parts_of(outputs), part);
  float *dy = pass->dy;
  for (int n = 0; n < run->samples && layer->act != PP_ACT_NONE; n++)
    run->kernels->undo_act(layer->act, pass->kept.a + n * outputs + at.first, at.end - at.first,
                           dy + n * outputs + at.first);
  for (int64_t first = at.first; first < at.end; first += PART_COLUMNS) {
    double sums[PART_COLUMNS] = {0};
    int64_t count = pp_least(at.end - first, PART_COLUMNS);
    for (int n = 0; n < run->samples; n++)
      for (int64_t o = 0; o < count; o++)
        sums[o] += (double)dy[n * outputs + first + o];
    for (int64_t o = 0; o < count; o++)
      run->grads[layer->bias + first + o] += (float)sums[o];
  }
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)(at.end - at.first), (int)inputs, run->samples, 1.0F,
              dy + at.first, (int)outputs, pass->rows, (int)inputs, 1.0F,
              run->grads + layer->weight + at.first * inputs, (int)inputs);
}

/* The gradient of some inputs. */
static void inputs_part(const linear_pass *pass, int64_t part) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  int64_t inputs = pp_shape_elements(layer->input), outputs = layer->output.channels;
  pp_range at = pp_range_part(inputs, PART_UNIT, parts_of(inputs), part);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, run->samples, (int)(at.end - at.first), (int)outputs, 1.0F,
              pass->dy, (int)outputs, run->params + layer->weight + at.first, (int)inputs, 0.0F,
              (turns(layer) ? pass->turned : pass->dx) + at.first, (int)inputs);
}

static void backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  if (is_conv(layer)) {
    pp_layer conv = conv_of(layer);
    pp_layer_run own = conv_run(run, &conv);
    pp_conv_fast.backward(&own, x, dy, dx);
    return;
  }
  linear_pass pass = {.run = run,
                      .dy = dy,
                      .dx = dx,
                      .turned = run->scratch,
                      .kept = cut_kept(layer, run->max_samples, &(pp_cutter){.base = run->kept})};
  pass.rows = turns(layer) ? pass.kept.x : x;
  pp_range parts = own_parts(run, layer->output.channels);
  for (int64_t part = parts.first; part < parts.end; part++)
    weights_part(&pass, part);
  if (dx == NULL)
    return;
  pp_meet(run);
  parts = own_parts(run, pp_shape_elements(layer->input));
  for (int64_t part = parts.first; part < parts.end; part++)
    inputs_part(&pass, part);
  if (turns(layer)) {
    pp_meet(run);
    turn_samples(&pass);
  }
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
  if (layer->act != PP_ACT_NONE)
    out[count++] = (pp_layer_info){
        .kind = PP_LAYER_ELEMENTWISE, .name = pp_activation_name(layer->act), .inputs = outputs, .outputs = outputs};
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
    .keeps_apart = is_conv,
    .info = info,
    .tensors = tensors,
};
