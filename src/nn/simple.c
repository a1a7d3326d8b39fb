/* Layers without parameters: addition, average, maximum, scaling, dropout. All are bound by memory; plain loops over
 * channels do. */
#include "nn/layer.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

enum { GIVE_CHANNELS = 64 }; /* of a window at once, on the stack */

static void plan_nothing(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out) {
  (void)layer;
  (void)request;
  *out = (pp_layer_plan){0};
}

static int no_tensors(const pp_layer *layer, pp_layer_tensor out[PP_LAYER_MAX_TENSORS]) {
  (void)layer;
  (void)out;
  return 0;
}

static int info_as(const char *name, const pp_layer *layer, int64_t inputs, pp_layer_info *out) {
  *out = (pp_layer_info){
      .kind = PP_LAYER_ELEMENTWISE, .name = name, .inputs = inputs, .outputs = pp_shape_elements(layer->output)};
  return 1;
}

/* ---- addition of two inputs, then ReLU or nothing ---- */

static void add_forward(const pp_layer_run *run, const float *restrict x, float *restrict y) {
  const float *restrict second = run->second;
  bool relu = run->layer->act == PP_ACT_RELU;
  int64_t count = run->samples * pp_shape_elements(run->layer->output);
  for (int64_t i = 0; i < count; i++) {
    float sum = x[i] + second[i];
    y[i] = relu && 0.0F > sum ? 0.0F : sum;
  }
}

static void add_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  int64_t count = run->samples * pp_shape_elements(run->layer->output);
  const float *second = run->second;
  for (int64_t i = 0; i < count && run->layer->act == PP_ACT_RELU; i++)
    dy[i] = x[i] + second[i] <= 0.0F ? 0.0F : dy[i];
  if (dx != NULL)
    memcpy(dx, dy, (size_t)count * sizeof *dx);
  if (run->dsecond != NULL)
    memcpy(run->dsecond, dy, (size_t)count * sizeof *dx);
}

static int add_info(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]) {
  int64_t values = pp_shape_elements(layer->output);
  int count = info_as("add", layer, 2 * values, out);
  return layer->act == PP_ACT_RELU ? count + info_as("relu", layer, values, out + 1) : count;
}

static const pp_layer_ops add_ops = {plan_nothing, add_forward, add_backward};
const pp_layer_type pp_add_type = {&add_ops, &pp_add_reference, 2, true, NULL, add_info, no_tensors};

/* ---- average over all pixels ---- */

static void average_forward(const pp_layer_run *run, const float *x, float *y) {
  int64_t pixels = pp_pixels(run->layer->input), channels = run->layer->input.channels;
  for (int n = 0; n < run->samples; n++, y += channels) {
    memset(y, 0, (size_t)channels * sizeof *y);
    for (int64_t p = 0; p < pixels; p++, x += channels)
      for (int64_t c = 0; c < channels; c++)
        y[c] += x[c];
    for (int64_t c = 0; c < channels; c++)
      y[c] /= (float)pixels;
  }
}

static void average_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  int64_t pixels = pp_pixels(run->layer->input), channels = run->layer->input.channels;
  (void)x;
  if (dx == NULL)
    return;
  for (int n = 0; n < run->samples; n++, dy += channels)
    for (int64_t p = 0; p < pixels; p++, dx += channels)
      for (int64_t c = 0; c < channels; c++)
        dx[c] = dy[c] / (float)pixels;
}

static int average_info(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]) {
  return info_as("avgpool", layer, pp_shape_elements(layer->input), out);
}

static const pp_layer_ops average_ops = {plan_nothing, average_forward, average_backward};
const pp_layer_type pp_average_type = {&average_ops, &pp_average_reference, 1, true, NULL, average_info, no_tensors};

/* ---- maximum of a window; of equal values the first counts, and NaN is the largest ---- */

void pp_maxpool_setup(pp_layer *layer) {
  layer->type = &pp_maxpool_type;
  layer->output = (pp_shape){
      layer->input.channels,
      (layer->input.height + 2 * layer->padding - layer->kernel) / layer->stride + 1,
      (layer->input.width + 2 * layer->padding - layer->kernel) / layer->stride + 1,
  };
  layer->middle = layer->output;
}

/* The part of output position `at`'s window that lies inside an axis of `size`: [*first, *end). */
static void window_inside(const pp_layer *layer, int64_t at, int64_t size, int64_t *first, int64_t *end) {
  int64_t begin = at * layer->stride - layer->padding;
  *first = pp_most(begin, 0);
  *end = pp_least(begin + layer->kernel, size);
}

static void maxpool_forward(const pp_layer_run *run, const float *restrict x, float *restrict y) {
  const pp_layer *layer = run->layer;
  pp_shape in = layer->input, out = layer->output;
  int64_t channels = in.channels;
  for (int n = 0; n < run->samples; n++, x += pp_shape_elements(in))
    for (int64_t row = 0; row < out.height; row++)
      for (int64_t column = 0; column < out.width; column++, y += channels) {
        int64_t top, bottom, left, right;
        window_inside(layer, row, in.height, &top, &bottom);
        window_inside(layer, column, in.width, &left, &right);
        memcpy(y, x + (top * in.width + left) * channels, (size_t)channels * sizeof *y);
        for (int64_t r = top; r < bottom; r++)
          for (int64_t s = left; s < right; s++) {
            const float *from = x + (r * in.width + s) * channels;
            for (int64_t c = 0; c < channels; c++)
              y[c] = ((from[c] > y[c]) | (from[c] != from[c])) ? from[c] : y[c];
          }
      }
}

/* Gives dy of `count` channels of one window to the first of its largest values: `rest` is what no value took yet. */
static void give_back(const pp_layer *layer, const float *restrict x, const float *restrict dy, int64_t row,
                      int64_t column, int64_t count, float *restrict dx) {
  int64_t top, bottom, left, right, channels = layer->input.channels, width = layer->input.width;
  float best[GIVE_CHANNELS], rest[GIVE_CHANNELS];
  window_inside(layer, row, layer->input.height, &top, &bottom);
  window_inside(layer, column, width, &left, &right);
  memcpy(best, x + (top * width + left) * channels, (size_t)count * sizeof *best);
  memcpy(rest, dy, (size_t)count * sizeof *rest);
  for (int64_t r = top; r < bottom; r++)
    for (int64_t s = left; s < right; s++) {
      const float *from = x + (r * width + s) * channels;
      for (int64_t c = 0; c < count; c++)
        best[c] = ((from[c] > best[c]) | (from[c] != from[c])) ? from[c] : best[c];
    }
  for (int64_t r = top; r < bottom; r++)
    for (int64_t s = left; s < right; s++) {
      const float *from = x + (r * width + s) * channels;
      float *to = dx + (r * width + s) * channels;
      for (int64_t c = 0; c < count; c++) {
        float share = from[c] < best[c] ? 0.0F : rest[c];
        rest[c] = from[c] < best[c] ? rest[c] : 0.0F;
        to[c] += share;
      }
    }
}

static void maxpool_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  pp_shape in = layer->input, out = layer->output;
  if (dx == NULL)
    return;
  memset(dx, 0, (size_t)(run->samples * pp_shape_elements(in)) * sizeof *dx);
  for (int n = 0; n < run->samples; n++, x += pp_shape_elements(in), dx += pp_shape_elements(in))
    for (int64_t row = 0; row < out.height; row++)
      for (int64_t column = 0; column < out.width; column++, dy += in.channels)
        for (int64_t c = 0; c < in.channels; c += GIVE_CHANNELS)
          give_back(layer, x + c, dy + c, row, column, pp_least(in.channels - c, GIVE_CHANNELS), dx + c);
}

static int maxpool_info(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]) {
  return info_as("pool", layer, pp_shape_elements(layer->input), out);
}

static const pp_layer_ops maxpool_ops = {plan_nothing, maxpool_forward, maxpool_backward};
const pp_layer_type pp_maxpool_type = {&maxpool_ops, &pp_maxpool_reference, 1, true, NULL, maxpool_info, no_tensors};

/* ---- average of a window ---- */

static void average_pool_forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->input.channels, width = layer->input.width * channels;
  float share = 1.0F / (float)(layer->kernel * layer->kernel);
  for (int n = 0; n < run->samples; n++, x += pp_shape_elements(layer->input))
    for (int64_t row = 0; row < layer->output.height; row++)
      for (int64_t column = 0; column < layer->output.width; column++, y += channels) {
        const float *window = x + row * layer->stride * width + column * layer->stride * channels;
        memset(y, 0, (size_t)channels * sizeof *y);
        for (int64_t r = 0; r < layer->kernel; r++)
          for (int64_t s = 0; s < layer->kernel; s++)
            for (int64_t c = 0; c < channels; c++)
              y[c] += window[r * width + s * channels + c];
        for (int64_t c = 0; c < channels; c++)
          y[c] *= share;
      }
}

static void average_pool_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  (void)x;
  const pp_layer *layer = run->layer;
  int64_t channels = layer->input.channels, width = layer->input.width * channels;
  float share = 1.0F / (float)(layer->kernel * layer->kernel);
  if (dx == NULL)
    return;
  memset(dx, 0, (size_t)(run->samples * pp_shape_elements(layer->input)) * sizeof *dx);
  for (int n = 0; n < run->samples; n++, dx += pp_shape_elements(layer->input))
    for (int64_t row = 0; row < layer->output.height; row++)
      for (int64_t column = 0; column < layer->output.width; column++, dy += channels) {
        float *window = dx + row * layer->stride * width + column * layer->stride * channels;
        for (int64_t r = 0; r < layer->kernel; r++)
          for (int64_t s = 0; s < layer->kernel; s++)
            for (int64_t c = 0; c < channels; c++)
              window[r * width + s * channels + c] += dy[c] * share;
      }
}

static const pp_layer_ops average_pool_ops = {plan_nothing, average_pool_forward, average_pool_backward};
const pp_layer_type pp_average_pool_type = {&average_pool_ops, &pp_average_pool_reference, 1, true, NULL, maxpool_info,
                                            no_tensors};

/* ---- an activation alone ---- */

static void activation_forward(const pp_layer_run *run, const float *x, float *y) {
  int64_t count = run->samples * pp_shape_elements(run->layer->output);
  memcpy(y, x, (size_t)count * sizeof *y);
  run->kernels->act(run->layer->act, count, y);
}

static void activation_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  int64_t count = run->samples * pp_shape_elements(run->layer->output);
  if (dx == NULL)
    return;
  memcpy(dx, dy, (size_t)count * sizeof *dx);
  run->kernels->undo_act(run->layer->act, x, count, dx);
}

static int activation_info(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]) {
  return info_as(pp_activation_name(layer->act), layer, pp_shape_elements(layer->input), out);
}

static const pp_layer_ops activation_ops = {plan_nothing, activation_forward, activation_backward};
const pp_layer_type pp_activation_type = {&activation_ops, &pp_activation_reference, 1, true, NULL, activation_info,
                                          no_tensors};

/* ---- an image times one factor per sample and channel ---- */

static void scale_forward(const pp_layer_run *run, const float *x, float *y) {
  int64_t pixels = pp_pixels(run->layer->input), channels = run->layer->input.channels;
  const float *factor = run->second;
  for (int n = 0; n < run->samples; n++, factor += channels)
    for (int64_t p = 0; p < pixels; p++, x += channels, y += channels)
      for (int64_t c = 0; c < channels; c++)
        y[c] = x[c] * factor[c];
}

static void scale_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  int64_t pixels = pp_pixels(run->layer->input), channels = run->layer->input.channels;
  const float *factor = run->second;
  float *dfactor = run->dsecond;
  PP_ASSERT(dfactor != NULL);
  for (int n = 0; n < run->samples; n++, factor += channels, dfactor += channels) {
    memset(dfactor, 0, (size_t)channels * sizeof *dfactor);
    for (int64_t p = 0; p < pixels; p++, x += channels, dy += channels) {
      for (int64_t c = 0; c < channels; c++)
        dfactor[c] += dy[c] * x[c];
      if (dx == NULL) /* the network's input is scaled */
        continue;
      for (int64_t c = 0; c < channels; c++)
        dx[c] = dy[c] * factor[c];
      dx += channels;
    }
  }
}

static int scale_info(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]) {
  return info_as("scale", layer, pp_shape_elements(layer->input) + layer->input.channels, out);
}

static const pp_layer_ops scale_ops = {plan_nothing, scale_forward, scale_backward};
const pp_layer_type pp_scale_type = {&scale_ops, &pp_scale_reference, 2, true, NULL, scale_info, no_tensors};

/* ---- dropout: a mask that depends on the place of a value in the experiment alone ---- */

float pp_dropout_factor(const pp_layer_run *run, int sample, int64_t element) {
  const pp_layer *layer = run->layer;
  pp_rng rng = pp_rng_stream(run->place.seed, PP_RNG_DROPOUT, run->place.device, run->place.iteration, layer->number);
  uint32_t word = pp_rng_word(rng, (uint64_t)(run->place.first_sample + sample), (uint64_t)element);
  return (double)word * 0x1p-32 < (double)layer->rate ? 0.0F : 1.0F / (1.0F - layer->rate);
}

static void drop(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  int64_t elements = pp_shape_elements(layer->input);
  pp_rng rng = pp_rng_stream(run->place.seed, PP_RNG_DROPOUT, run->place.device, run->place.iteration, layer->number);
  float factor = 1.0F / (1.0F - layer->rate);
  for (int n = 0; n < run->samples; n++)
    for (int64_t i = 0; i < elements; i += 4) {
      uint32_t words[4];
      pp_rng_words(rng, (uint64_t)(run->place.first_sample + n), (uint64_t)i / 4, words);
      for (int64_t j = i; j < pp_least(i + 4, elements); j++) {
        float mask = (double)words[j - i] * 0x1p-32 < (double)layer->rate ? 0.0F : factor;
        y[n * elements + j] = x[n * elements + j] * mask;
      }
    }
}

static void dropout_forward(const pp_layer_run *run, const float *x, float *y) {
  if (run->training)
    drop(run, x, y);
  else
    memcpy(y, x, (size_t)(run->samples * pp_shape_elements(run->layer->input)) * sizeof *y);
}

static void dropout_backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  (void)x;
  if (dx != NULL)
    drop(run, dy, dx);
}

static int dropout_info(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]) {
  return info_as("dropout", layer, pp_shape_elements(layer->input), out);
}

static const pp_layer_ops dropout_ops = {plan_nothing, dropout_forward, dropout_backward};
const pp_layer_type pp_dropout_type = {&dropout_ops, &pp_dropout_reference, 1, true, NULL, dropout_info, no_tensors};
