/* The plain form of every layer: loops as the definition has them, sums in double, nothing lowered or fused. The oracle
 * of the fast layers, so it shares no arithmetic with them. */
#include <math.h>
#include <string.h>

#include "nn/layer.h"

/* Index into a channels-last image (N, H, W, C). */
static int64_t at(pp_shape shape, int64_t n, int64_t y, int64_t x, int64_t c) {
  return ((n * shape.height + y) * shape.width + x) * shape.channels + c;
}

static int64_t pixels_of(pp_shape shape) { return (int64_t)shape.height * shape.width; }

/* ---- convolution, batch norm, ReLU, pooling ---- */

typedef struct conv_tensors {
  float *z;              /* (N, H, W, O): with its bias */
  float *a;              /* (N, H, W, O): normalised, before ReLU */
  float *dz;             /* (N, H, W, O) */
  float *mean, *inverse; /* (O) */
} conv_tensors;

static conv_tensors conv_cut(const pp_layer *layer, int64_t samples, pp_cutter *cutter) {
  int64_t values = samples * pp_shape_elements(layer->middle), channels = layer->middle.channels;
  conv_tensors t = {.z = pp_cut(cutter, values)};
  t.a = pp_cut(cutter, values);
  t.dz = pp_cut(cutter, values);
  t.mean = pp_cut(cutter, channels);
  t.inverse = pp_cut(cutter, channels);
  return t;
}

static void conv_plan(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out) {
  pp_cutter cutter = {0};
  conv_cut(layer, request->max_samples, &cutter);
  *out = request->training ? (pp_layer_plan){.kept = cutter.used} : (pp_layer_plan){.scratch = cutter.used};
}

/* Of the weight (O, C, 3, 3). */
static int64_t tap(const pp_layer *layer, int64_t o, int64_t c, int64_t ky, int64_t kx) {
  return layer->weight + ((o * layer->input.channels + c) * 3 + ky) * 3 + kx;
}

static bool inside(pp_shape shape, int64_t y, int64_t x) {
  return y >= 0 && y < shape.height && x >= 0 && x < shape.width;
}

static void batch_norm(const pp_layer_run *run, const conv_tensors *t, int64_t c) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->middle.channels, count = run->samples * pixels_of(layer->middle);
  float *running_mean = run->stats + layer->mean + c, *running_variance = run->stats + layer->variance + c;
  double mean = (double)*running_mean, variance = (double)*running_variance;
  if (run->training) {
    mean = variance = 0.0;
    for (int64_t p = 0; p < count; p++)
      mean += (double)t->z[p * channels + c];
    mean /= (double)count;
    for (int64_t p = 0; p < count; p++)
      variance += ((double)t->z[p * channels + c] - mean) * ((double)t->z[p * channels + c] - mean);
    double unbiased = variance / (double)(count - 1), momentum = (double)layer->momentum;
    variance /= (double)count;
    *running_mean = (float)((1.0 - momentum) * (double)*running_mean + momentum * mean);
    *running_variance = (float)((1.0 - momentum) * (double)*running_variance + momentum * unbiased);
  }
  double inverse = 1.0 / sqrt(variance + (double)layer->epsilon);
  t->mean[c] = (float)mean;
  t->inverse[c] = (float)inverse;
  double gamma = (double)run->params[layer->gamma + c], beta = (double)run->params[layer->beta + c];
  for (int64_t p = 0; p < count; p++)
    t->a[p * channels + c] = (float)(((double)t->z[p * channels + c] - mean) * inverse * gamma + beta);
}

/* The first of the largest of a 2x2 window, in reading order; a NaN is larger than all. */
static int64_t largest(pp_shape shape, const float *a, int64_t n, int64_t y, int64_t x, int64_t c) {
  int64_t best = at(shape, n, 2 * y, 2 * x, c);
  for (int64_t k = 1; k < 4; k++) {
    int64_t other = at(shape, n, 2 * y + k / 2, 2 * x + k % 2, c);
    if (!isnan(a[best]) && (a[other] > a[best] || isnan(a[other])))
      best = other;
  }
  return best;
}

static void conv_forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  pp_shape in = layer->input, mid = layer->middle, out = layer->output;
  conv_tensors t = conv_cut(layer, run->max_samples, &(pp_cutter){.base = run->training ? run->kept : run->scratch});
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t row = 0; row < mid.height; row++)
      for (int64_t column = 0; column < mid.width; column++)
        for (int64_t o = 0; o < mid.channels; o++) {
          double sum = (double)run->params[layer->bias + o];
          for (int64_t ky = 0; ky < 3; ky++)
            for (int64_t kx = 0; kx < 3; kx++)
              for (int64_t c = 0; c < in.channels && inside(in, row + ky - 1, column + kx - 1); c++)
                sum += (double)x[at(in, n, row + ky - 1, column + kx - 1, c)] *
                       (double)run->params[tap(layer, o, c, ky, kx)];
          t.z[at(mid, n, row, column, o)] = (float)sum;
        }
  if (layer->norm)
    for (int64_t c = 0; c < mid.channels; c++)
      batch_norm(run, &t, c);
  else
    memcpy(t.a, t.z, (size_t)(run->samples * pp_shape_elements(mid)) * sizeof *t.a);
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t row = 0; row < out.height; row++)
      for (int64_t column = 0; column < out.width; column++)
        for (int64_t c = 0; c < out.channels; c++) {
          float v = t.a[layer->pool ? largest(mid, t.a, n, row, column, c) : at(mid, n, row, column, c)];
          y[at(out, n, row, column, c)] = v < 0.0F ? 0.0F : v;
        }
}

static void batch_norm_backward(const pp_layer_run *run, const conv_tensors *t, int64_t c) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->middle.channels, count = run->samples * pixels_of(layer->middle);
  double mean = (double)t->mean[c], inverse = (double)t->inverse[c], sum = 0.0, along = 0.0;
  for (int64_t p = 0; p < count; p++) {
    double da = (double)t->dz[p * channels + c];
    sum += da;
    along += da * ((double)t->z[p * channels + c] - mean) * inverse;
  }
  run->grads[layer->beta + c] += (float)sum;
  run->grads[layer->gamma + c] += (float)along;
  double gamma = (double)run->params[layer->gamma + c];
  for (int64_t p = 0; p < count; p++) {
    double normal = ((double)t->z[p * channels + c] - mean) * inverse;
    double da = (double)t->dz[p * channels + c];
    t->dz[p * channels + c] = (float)(gamma * inverse * (da - sum / (double)count - normal * along / (double)count));
  }
}

static void conv_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  pp_shape in = layer->input, mid = layer->middle, out = layer->output;
  conv_tensors t = conv_cut(layer, run->max_samples, &(pp_cutter){.base = run->kept});
  memset(t.dz, 0, (size_t)(run->samples * pp_shape_elements(mid)) * sizeof *t.dz);
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t row = 0; row < out.height; row++)
      for (int64_t column = 0; column < out.width; column++)
        for (int64_t c = 0; c < out.channels; c++) {
          int64_t from = layer->pool ? largest(mid, t.a, n, row, column, c) : at(mid, n, row, column, c);
          t.dz[from] = t.a[from] <= 0.0F ? 0.0F : dy[at(out, n, row, column, c)];
        }
  if (layer->norm)
    for (int64_t c = 0; c < mid.channels; c++)
      batch_norm_backward(run, &t, c);
  for (int64_t o = 0; o < mid.channels; o++) {
    double dbias = 0.0;
    for (int64_t p = 0; p < run->samples * pixels_of(mid); p++)
      dbias += (double)t.dz[p * mid.channels + o];
    run->grads[layer->bias + o] += (float)dbias;
    for (int64_t c = 0; c < in.channels; c++)
      for (int64_t ky = 0; ky < 3; ky++)
        for (int64_t kx = 0; kx < 3; kx++) {
          double sum = 0.0;
          for (int64_t n = 0; n < run->samples; n++)
            for (int64_t row = 0; row < mid.height; row++)
              for (int64_t column = 0; column < mid.width; column++)
                if (inside(in, row + ky - 1, column + kx - 1))
                  sum +=
                      (double)t.dz[at(mid, n, row, column, o)] * (double)x[at(in, n, row + ky - 1, column + kx - 1, c)];
          run->grads[tap(layer, o, c, ky, kx)] += (float)sum;
        }
  }
  if (dx == NULL)
    return;
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t row = 0; row < in.height; row++)
      for (int64_t column = 0; column < in.width; column++)
        for (int64_t c = 0; c < in.channels; c++) {
          double sum = 0.0;
          for (int64_t ky = 0; ky < 3; ky++)
            for (int64_t kx = 0; kx < 3; kx++)
              for (int64_t o = 0; o < mid.channels && inside(mid, row + 1 - ky, column + 1 - kx); o++)
                sum += (double)t.dz[at(mid, n, row + 1 - ky, column + 1 - kx, o)] *
                       (double)run->params[tap(layer, o, c, ky, kx)];
          dx[at(in, n, row, column, c)] = (float)sum;
        }
}

const pp_layer_ops pp_conv_reference = {.plan = conv_plan, .forward = conv_forward, .backward = conv_backward};

/* ---- linear, ReLU ---- */

/* Keeps y, whose sign the ReLU's gradient needs. */
static void linear_plan(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out) {
  *out = (pp_layer_plan){
      .kept = request->training ? pp_cut_round((int64_t)request->max_samples * layer->output.channels) : 0};
}

/* Where the input's element number i in (H, W, C) stands among the weights' columns, (C, H, W). */
static int64_t column_of(const pp_layer *layer, int64_t i) {
  int64_t channels = layer->input.channels;
  return i % channels * pixels_of(layer->input) + i / channels;
}

static void linear_forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  int64_t inputs = pp_shape_elements(layer->input), outputs = layer->output.channels;
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t o = 0; o < outputs; o++) {
      double sum = (double)run->params[layer->bias + o];
      for (int64_t i = 0; i < inputs; i++)
        sum += (double)x[n * inputs + i] * (double)run->params[layer->weight + o * inputs + column_of(layer, i)];
      y[n * outputs + o] = layer->relu && sum < 0.0 ? 0.0F : (float)sum;
    }
  if (run->training)
    memcpy(run->kept, y, (size_t)(run->samples * outputs) * sizeof *y);
}

static void linear_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  int64_t inputs = pp_shape_elements(layer->input), outputs = layer->output.channels;
  for (int64_t i = 0; i < run->samples * outputs; i++)
    if (layer->relu && run->kept[i] <= 0.0F)
      dy[i] = 0.0F;
  for (int64_t o = 0; o < outputs; o++) {
    double dbias = 0.0;
    for (int64_t n = 0; n < run->samples; n++)
      dbias += (double)dy[n * outputs + o];
    run->grads[layer->bias + o] += (float)dbias;
    for (int64_t i = 0; i < inputs; i++) {
      double sum = 0.0;
      for (int64_t n = 0; n < run->samples; n++)
        sum += (double)dy[n * outputs + o] * (double)x[n * inputs + i];
      run->grads[layer->weight + o * inputs + column_of(layer, i)] += (float)sum;
    }
  }
  for (int64_t n = 0; n < run->samples && dx != NULL; n++)
    for (int64_t i = 0; i < inputs; i++) {
      double sum = 0.0;
      for (int64_t o = 0; o < outputs; o++)
        sum += (double)dy[n * outputs + o] * (double)run->params[layer->weight + o * inputs + column_of(layer, i)];
      dx[n * inputs + i] = (float)sum;
    }
}

const pp_layer_ops pp_linear_reference = {.plan = linear_plan, .forward = linear_forward, .backward = linear_backward};
