/* The plain form of every layer: loops as the definition has them, sums in double, nothing lowered or fused. The oracle
 * of the fast layers, so it shares no arithmetic with them. */
#include <math.h>
#include <string.h>

#include "nn/layer.h"

/* Index into a channels-last image (N, H, W, C). */
static int64_t at(pp_shape shape, int64_t n, int64_t y, int64_t x, int64_t c) {
  return ((n * shape.height + y) * shape.width + x) * shape.channels + c;
}

/* NaN stays. */
double pp_reference_activation(pp_activation act, double a) {
  if (isnan(a))
    return a;
  double gate = fmin(fmax(a + 3.0, 0.0), 6.0) / 6.0;
  return act == PP_ACT_RELU           ? fmax(a, 0.0)
         : act == PP_ACT_HARD_SWISH   ? a * gate
         : act == PP_ACT_HARD_SIGMOID ? gate
                                      : a;
}

double pp_reference_slope(pp_activation act, double a) {
  bool inside = a > -3.0 && a < 3.0;
  return act == PP_ACT_RELU           ? (a <= 0.0 ? 0.0 : 1.0)
         : act == PP_ACT_HARD_SWISH   ? (inside    ? a / 3.0 + 0.5
                                         : a < 0.0 ? 0.0
                                                   : 1.0)
         : act == PP_ACT_HARD_SIGMOID ? (inside ? 1.0 / 6.0 : 0.0)
                                      : 1.0;
}

/* ---- convolution, batch norm, activation, pooling ---- */

typedef struct conv_tensors {
  float *z;              /* (N, H, W, O): with its bias */
  float *a;              /* (N, H, W, O): normalised, before the activation */
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

/* The input channels [first, end) that output channel o reads. */
static void group_of(const pp_layer *layer, int64_t o, int64_t *first, int64_t *end) {
  int64_t groups = layer->depthwise ? layer->input.channels : layer->groups, width = layer->input.channels / groups;
  *first = o / (layer->middle.channels / groups) * width;
  *end = *first + width;
}

/* Of the weight (O, C / groups, k, k); `of`: among the `width` channels that o reads. */
static int64_t tap(const pp_layer *layer, int64_t o, int64_t width, int64_t of, int64_t ky, int64_t kx) {
  return layer->weight + ((o * width + of) * layer->kernel + ky) * layer->kernel + kx;
}

static bool inside(pp_shape shape, int64_t y, int64_t x) {
  return y >= 0 && y < shape.height && x >= 0 && x < shape.width;
}

static void batch_norm(const pp_layer_run *run, const conv_tensors *t, int64_t c) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->middle.channels, count = run->samples * pp_pixels(layer->middle);
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

static double convolved(const pp_layer_run *run, const float *x, int64_t n, int64_t row, int64_t column, int64_t o) {
  const pp_layer *layer = run->layer;
  int64_t first, end, top = row * layer->stride - layer->padding, left = column * layer->stride - layer->padding;
  double sum = layer->biased ? (double)run->params[layer->bias + o] : 0.0;
  group_of(layer, o, &first, &end);
  for (int64_t ky = 0; ky < layer->kernel; ky++)
    for (int64_t kx = 0; kx < layer->kernel; kx++)
      for (int64_t c = first; c < end && inside(layer->input, top + ky, left + kx); c++)
        sum += (double)x[at(layer->input, n, top + ky, left + kx, c)] *
               (double)run->params[tap(layer, o, end - first, c - first, ky, kx)];
  return sum;
}

static void conv_forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  pp_shape mid = layer->middle, out = layer->output;
  conv_tensors t = conv_cut(layer, run->max_samples, &(pp_cutter){.base = run->training ? run->kept : run->scratch});
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t row = 0; row < mid.height; row++)
      for (int64_t column = 0; column < mid.width; column++)
        for (int64_t o = 0; o < mid.channels; o++)
          t.z[at(mid, n, row, column, o)] = (float)convolved(run, x, n, row, column, o);
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
          y[at(out, n, row, column, c)] = (float)pp_reference_activation(layer->act, (double)v);
        }
}

static void batch_norm_backward(const pp_layer_run *run, const conv_tensors *t, int64_t c) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->middle.channels, count = run->samples * pp_pixels(layer->middle);
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
          double slope = pp_reference_slope(layer->act, (double)t.a[from]);
          t.dz[from] = (float)(slope * (double)dy[at(out, n, row, column, c)]);
        }
  if (layer->norm)
    for (int64_t c = 0; c < mid.channels; c++)
      batch_norm_backward(run, &t, c);
  if (dx != NULL)
    memset(dx, 0, (size_t)(run->samples * pp_shape_elements(in)) * sizeof *dx);
  for (int64_t o = 0; o < mid.channels; o++) {
    double dbias = 0.0;
    for (int64_t p = 0; p < run->samples * pp_pixels(mid); p++)
      dbias += (double)t.dz[p * mid.channels + o];
    if (layer->biased)
      run->grads[layer->bias + o] += (float)dbias;
    int64_t first, end;
    group_of(layer, o, &first, &end);
    for (int64_t c = first; c < end; c++)
      for (int64_t ky = 0; ky < layer->kernel; ky++)
        for (int64_t kx = 0; kx < layer->kernel; kx++) {
          int64_t weight = tap(layer, o, end - first, c - first, ky, kx);
          double sum = 0.0;
          for (int64_t n = 0; n < run->samples; n++)
            for (int64_t row = 0; row < mid.height; row++)
              for (int64_t column = 0; column < mid.width; column++) {
                int64_t y = row * layer->stride + ky - layer->padding, z = column * layer->stride + kx - layer->padding;
                if (!inside(in, y, z))
                  continue;
                float gradient = t.dz[at(mid, n, row, column, o)];
                sum += (double)gradient * (double)x[at(in, n, y, z, c)];
                if (dx != NULL) /* one term of its sum, in float: up to O x k x k roundings */
                  dx[at(in, n, y, z, c)] += gradient * run->params[weight];
              }
          run->grads[weight] += (float)sum;
        }
  }
}

const pp_layer_ops pp_conv_reference = {.plan = conv_plan, .forward = conv_forward, .backward = conv_backward};

/* ---- linear, activation ---- */

/* Keeps what comes before the activation. */
static void linear_plan(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out) {
  *out = (pp_layer_plan){
      .kept = request->training ? pp_cut_round((int64_t)request->max_samples * layer->output.channels) : 0};
}

/* Where the input's element number i in (H, W, C) stands among the weights' columns, (C, H, W). */
static int64_t column_of(const pp_layer *layer, int64_t i) {
  int64_t channels = layer->input.channels;
  return i % channels * pp_pixels(layer->input) + i / channels;
}

static void linear_forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  int64_t inputs = pp_shape_elements(layer->input), outputs = layer->output.channels;
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t o = 0; o < outputs; o++) {
      double sum = (double)run->params[layer->bias + o];
      for (int64_t i = 0; i < inputs; i++)
        sum += (double)x[n * inputs + i] * (double)run->params[layer->weight + o * inputs + column_of(layer, i)];
      y[n * outputs + o] = (float)pp_reference_activation(layer->act, sum);
      if (run->training)
        run->kept[n * outputs + o] = (float)sum;
    }
}

static void linear_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  int64_t inputs = pp_shape_elements(layer->input), outputs = layer->output.channels;
  for (int64_t i = 0; i < run->samples * outputs; i++)
    dy[i] = (float)(pp_reference_slope(layer->act, (double)run->kept[i]) * (double)dy[i]);
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
