/* The plain form of the layers of simple.c: one value at a time, as the definition has it. */
#include <math.h>
#include <string.h>

#include "nn/layer.h"

static int64_t at(pp_shape shape, int64_t n, int64_t y, int64_t x, int64_t c) {
  return ((n * shape.height + y) * shape.width + x) * shape.channels + c;
}

static void plan_nothing(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out) {
  (void)layer;
  (void)request;
  *out = (pp_layer_plan){0};
}

static void add_forward(const pp_layer_run *run, const float *x, float *y) {
  for (int64_t i = 0; i < run->samples * pp_shape_elements(run->layer->output); i++) {
    double sum = (double)x[i] + (double)run->second[i];
    y[i] = (float)(run->layer->act == PP_ACT_RELU && sum < 0.0 ? 0.0 : sum);
  }
}

static void add_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  for (int64_t i = 0; i < run->samples * pp_shape_elements(run->layer->output); i++) {
    bool passes = run->layer->act != PP_ACT_RELU || !((double)x[i] + (double)run->second[i] <= 0.0);
    if (dx != NULL)
      dx[i] = passes ? dy[i] : 0.0F;
    if (run->dsecond != NULL)
      run->dsecond[i] = passes ? dy[i] : 0.0F;
  }
}

const pp_layer_ops pp_add_reference = {plan_nothing, add_forward, add_backward};

static void activation_forward(const pp_layer_run *run, const float *x, float *y) {
  for (int64_t i = 0; i < run->samples * pp_shape_elements(run->layer->output); i++)
    y[i] = (float)pp_reference_activation(run->layer->act, (double)x[i]);
}

static void activation_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  for (int64_t i = 0; i < run->samples * pp_shape_elements(run->layer->output) && dx != NULL; i++)
    dx[i] = (float)((double)dy[i] * pp_reference_slope(run->layer->act, (double)x[i]));
}

const pp_layer_ops pp_activation_reference = {plan_nothing, activation_forward, activation_backward};

/* Over the windows of a pooling without padding. */
static void average_pool_forward(const pp_layer_run *run, const float *x, float *y) {
  pp_shape in = run->layer->input, out = run->layer->output;
  int64_t kernel = run->layer->kernel, stride = run->layer->stride;
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t row = 0; row < out.height; row++)
      for (int64_t column = 0; column < out.width; column++)
        for (int64_t c = 0; c < out.channels; c++) {
          double sum = 0.0;
          for (int64_t k = 0; k < kernel * kernel; k++)
            sum += (double)x[at(in, n, row * stride + k / kernel, column * stride + k % kernel, c)];
          y[at(out, n, row, column, c)] = (float)(sum / (double)(kernel * kernel));
        }
}

/* Each input gathers what the windows that hold it give. */
static void average_pool_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  (void)x;
  pp_shape in = run->layer->input, out = run->layer->output;
  int64_t kernel = run->layer->kernel, stride = run->layer->stride;
  for (int64_t i = 0; i < run->samples * pp_shape_elements(in) && dx != NULL; i++) {
    int64_t c = i % in.channels, pixel = i / in.channels;
    int64_t s = pixel % in.width, r = pixel / in.width % in.height, n = pixel / in.width / in.height;
    double sum = 0.0;
    for (int64_t row = 0; row < out.height; row++)
      for (int64_t column = 0; column < out.width; column++)
        if (r >= row * stride && r < row * stride + kernel && s >= column * stride && s < column * stride + kernel)
          sum += (double)dy[at(out, n, row, column, c)];
    dx[i] = (float)(sum / (double)(kernel * kernel));
  }
}

const pp_layer_ops pp_average_pool_reference = {plan_nothing, average_pool_forward, average_pool_backward};

static void average_forward(const pp_layer_run *run, const float *x, float *y) {
  pp_shape in = run->layer->input;
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t c = 0; c < in.channels; c++) {
      double sum = 0.0;
      for (int64_t p = 0; p < pp_pixels(in); p++)
        sum += (double)x[at(in, n, 0, p, c)];
      y[n * in.channels + c] = (float)(sum / (double)pp_pixels(in));
    }
}

static void average_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  pp_shape in = run->layer->input;
  (void)x;
  for (int64_t n = 0; n < run->samples && dx != NULL; n++)
    for (int64_t c = 0; c < in.channels; c++)
      for (int64_t p = 0; p < pp_pixels(in); p++)
        dx[at(in, n, 0, p, c)] = (float)((double)dy[n * in.channels + c] / (double)pp_pixels(in));
}

const pp_layer_ops pp_average_reference = {plan_nothing, average_forward, average_backward};

/* The index of a window's largest value: the first in reading order, or the first NaN. */
static int64_t largest(const pp_layer *layer, const float *x, int64_t n, int64_t row, int64_t column, int64_t c) {
  int64_t best = -1;
  for (int64_t ky = 0; ky < layer->kernel; ky++)
    for (int64_t kx = 0; kx < layer->kernel; kx++) {
      int64_t r = row * layer->stride + ky - layer->padding, s = column * layer->stride + kx - layer->padding;
      if (r < 0 || s < 0 || r >= layer->input.height || s >= layer->input.width)
        continue;
      int64_t other = at(layer->input, n, r, s, c);
      if (best < 0 || (!isnan(x[best]) && (isnan(x[other]) || x[other] > x[best])))
        best = other;
    }
  return best;
}

static void maxpool_forward(const pp_layer_run *run, const float *x, float *y) {
  pp_shape out = run->layer->output;
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t row = 0; row < out.height; row++)
      for (int64_t column = 0; column < out.width; column++)
        for (int64_t c = 0; c < out.channels; c++)
          y[at(out, n, row, column, c)] = x[largest(run->layer, x, n, row, column, c)];
}

static void maxpool_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  pp_shape out = run->layer->output;
  if (dx == NULL)
    return;
  memset(dx, 0, (size_t)(run->samples * pp_shape_elements(run->layer->input)) * sizeof *dx);
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t row = 0; row < out.height; row++)
      for (int64_t column = 0; column < out.width; column++)
        for (int64_t c = 0; c < out.channels; c++)
          dx[largest(run->layer, x, n, row, column, c)] += dy[at(out, n, row, column, c)];
}

const pp_layer_ops pp_maxpool_reference = {plan_nothing, maxpool_forward, maxpool_backward};

static void scale_forward(const pp_layer_run *run, const float *x, float *y) {
  pp_shape in = run->layer->input;
  for (int64_t i = 0; i < run->samples * pp_shape_elements(in); i++) {
    int64_t n = i / pp_shape_elements(in), c = i % in.channels;
    y[i] = (float)((double)x[i] * (double)run->second[n * in.channels + c]);
  }
}

static void scale_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  pp_shape in = run->layer->input;
  for (int64_t n = 0; n < run->samples; n++)
    for (int64_t c = 0; c < in.channels; c++) {
      double sum = 0.0;
      for (int64_t p = 0; p < pp_pixels(in); p++) {
        sum += (double)dy[at(in, n, 0, p, c)] * (double)x[at(in, n, 0, p, c)];
        if (dx != NULL)
          dx[at(in, n, 0, p, c)] = (float)((double)dy[at(in, n, 0, p, c)] * (double)run->second[n * in.channels + c]);
      }
      run->dsecond[n * in.channels + c] = (float)sum;
    }
}

const pp_layer_ops pp_scale_reference = {plan_nothing, scale_forward, scale_backward};

static void dropout_forward(const pp_layer_run *run, const float *x, float *y) {
  int64_t elements = pp_shape_elements(run->layer->input);
  for (int n = 0; n < run->samples; n++)
    for (int64_t i = 0; i < elements; i++)
      y[n * elements + i] = x[n * elements + i] * (run->training ? pp_dropout_factor(run, n, i) : 1.0F);
}

static void dropout_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  if (dx != NULL)
    dropout_forward(run, dy, dx);
  (void)x;
}

const pp_layer_ops pp_dropout_reference = {plan_nothing, dropout_forward, dropout_backward};
