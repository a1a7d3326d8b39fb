#include "double_forward.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct image {
  int64_t samples, channels, height, width;
  double *v; /* (N, C, H, W) */
} image;

static int64_t count_of(const image *im) { return im->samples * im->channels * im->height * im->width; }

static image image_make(int64_t samples, int64_t channels, int64_t height, int64_t width) {
  image im = {samples, channels, height, width, NULL};
  im.v = calloc((size_t)count_of(&im), sizeof *im.v);
  ck_assert_ptr_nonnull(im.v);
  return im;
}

static double *at(const image *im, int64_t n, int64_t c, int64_t y, int64_t x) {
  return &im->v[((n * im->channels + c) * im->height + y) * im->width + x];
}

static bool inside(const image *im, int64_t y, int64_t x) {
  return y >= 0 && y < im->height && x >= 0 && x < im->width;
}

/* The tensor "blockB.LAYER.NAME", or NULL. */
static const double *tensor_of(const pp_model *model, const double *params, int block, const char *layer,
                               const char *name) {
  char full[96];
  snprintf(full, sizeof full, "block%d.%s.%s", block, layer, name);
  for (int t = 0; t < pp_model_tensor_count(model); t++)
    if (strcmp(pp_model_tensor(model, t)->name, full) == 0)
      return params + pp_model_tensor(model, t)->offset;
  return NULL;
}

static double activation(pp_activation act, double a) {
  double sixth = fmin(fmax(a + 3, 0), 6) / 6;
  return act == PP_ACT_RELU           ? fmax(a, 0)
         : act == PP_ACT_HARD_SWISH   ? a * sixth
         : act == PP_ACT_HARD_SIGMOID ? sixth
                                      : a;
}

static void activate(pp_activation act, image *im) {
  for (int64_t i = 0; i < count_of(im); i++)
    im->v[i] = activation(act, im->v[i]);
}

/* weight: (outputs, channels / groups, kernel, kernel) */
static image convolve(const image *x, int64_t outputs, const pp_layer *layer, int64_t groups, const double *weight,
                      const double *bias) {
  const int64_t k = layer->kernel, stride = layer->stride, padding = layer->padding, part = x->channels / groups;
  image y = image_make(x->samples, outputs, (x->height + 2 * padding - k) / stride + 1,
                       (x->width + 2 * padding - k) / stride + 1);
  for (int64_t n = 0; n < y.samples; n++)
    for (int64_t o = 0; o < outputs; o++)
      for (int64_t row = 0; row < y.height; row++)
        for (int64_t column = 0; column < y.width; column++) {
          double sum = bias != NULL ? bias[o] : 0;
          for (int64_t c = 0; c < part; c++)
            for (int64_t tap = 0; tap < k * k; tap++) {
              int64_t r = row * stride + tap / k - padding, s = column * stride + tap % k - padding;
              if (inside(x, r, s))
                sum += *at(x, n, o / (outputs / groups) * part + c, r, s) * weight[(o * part + c) * k * k + tap];
            }
          *at(&y, n, o, row, column) = sum;
        }
  return y;
}

static void normalise(image *x, double epsilon, const double *gamma, const double *beta) {
  double count = (double)(x->samples * x->height * x->width);
  for (int64_t c = 0; c < x->channels; c++) {
    double mean = 0, variance = 0;
    for (int64_t n = 0; n < x->samples; n++)
      for (int64_t p = 0; p < x->height * x->width; p++)
        mean += at(x, n, c, 0, 0)[p] / count;
    for (int64_t n = 0; n < x->samples; n++)
      for (int64_t p = 0; p < x->height * x->width; p++)
        variance += pow(at(x, n, c, 0, 0)[p] - mean, 2) / count;
    for (int64_t n = 0; n < x->samples; n++)
      for (int64_t p = 0; p < x->height * x->width; p++) {
        double *v = &at(x, n, c, 0, 0)[p];
        *v = (*v - mean) / sqrt(variance + epsilon) * gamma[c] + beta[c];
      }
  }
}

/* The largest, or the mean, of every window. */
static image pool(const image *x, int64_t kernel, int64_t stride, int64_t padding, bool largest) {
  image y = image_make(x->samples, x->channels, (x->height + 2 * padding - kernel) / stride + 1,
                       (x->width + 2 * padding - kernel) / stride + 1);
  for (int64_t n = 0; n < y.samples; n++)
    for (int64_t c = 0; c < y.channels; c++)
      for (int64_t r = 0; r < y.height; r++)
        for (int64_t s = 0; s < y.width; s++) {
          double best = -INFINITY, sum = 0;
          for (int64_t tap = 0; tap < kernel * kernel; tap++) {
            int64_t row = r * stride + tap / kernel - padding, column = s * stride + tap % kernel - padding;
            if (!inside(x, row, column))
              continue;
            best = fmax(best, *at(x, n, c, row, column));
            sum += *at(x, n, c, row, column);
          }
          *at(&y, n, c, r, s) = largest ? best : sum / (double)(kernel * kernel);
        }
  return y;
}

static image convolution(const pp_model *model, const double *params, int block, const pp_layer *layer,
                         const image *x) {
  const int64_t groups = layer->depthwise ? x->channels : layer->groups > 1 ? layer->groups : 1;
  image y = convolve(x, layer->middle.channels, layer, groups, tensor_of(model, params, block, layer->name, "weight"),
                     layer->biased ? tensor_of(model, params, block, layer->name, "bias") : NULL);
  if (layer->norm)
    normalise(&y, (double)layer->epsilon, tensor_of(model, params, block, layer->norm_name, "weight"),
              tensor_of(model, params, block, layer->norm_name, "bias"));
  activate(layer->act, &y);
  if (layer->pool) {
    image pooled = pool(&y, 2, 2, 0, true);
    free(y.v);
    y = pooled;
  }
  return y;
}

static image linear(const pp_model *model, const double *params, int block, const pp_layer *layer, const image *x) {
  const double *weight = tensor_of(model, params, block, layer->name, "weight");
  const double *bias = tensor_of(model, params, block, layer->name, "bias");
  const int64_t inputs = x->channels * x->height * x->width;
  image y = image_make(x->samples, layer->output.channels, 1, 1);
  for (int64_t n = 0; n < x->samples; n++)
    for (int64_t o = 0; o < y.channels; o++) {
      double sum = bias[o];
      for (int64_t i = 0; i < inputs; i++)
        sum += x->v[n * inputs + i] * weight[o * inputs + i];
      y.v[n * y.channels + o] = sum;
    }
  activate(layer->act, &y);
  return y;
}

/* Of two images of one shape, or of an image and a factor per sample and channel. */
static image combine(const image *x, const image *second, bool product) {
  image y = image_make(x->samples, x->channels, x->height, x->width);
  for (int64_t n = 0; n < x->samples; n++)
    for (int64_t c = 0; c < x->channels; c++)
      for (int64_t p = 0; p < x->height * x->width; p++)
        at(&y, n, c, 0, 0)[p] =
            product ? at(x, n, c, 0, 0)[p] * *at(second, n, c, 0, 0) : at(x, n, c, 0, 0)[p] + at(second, n, c, 0, 0)[p];
  return y;
}

/* The mask's elements are counted channels last. */
static image dropout(const pp_layer *layer, pp_sample_place place, const image *x) {
  image y = image_make(x->samples, x->channels, x->height, x->width);
  pp_layer_run run = {.layer = layer, .place = place};
  for (int64_t n = 0; n < x->samples; n++)
    for (int64_t c = 0; c < x->channels; c++)
      for (int64_t p = 0; p < x->height * x->width; p++)
        at(&y, n, c, 0, 0)[p] = at(x, n, c, 0, 0)[p] * (double)pp_dropout_factor(&run, (int)n, p * x->channels + c);
  return y;
}

static image compute(const pp_model *model, const double *params, pp_sample_place place, int block,
                     const pp_layer *layer, const image *x, const image *second) {
  if (layer->type == &pp_conv_type || layer->type == &pp_grouped_type)
    return convolution(model, params, block, layer, x);
  if (layer->type == &pp_linear_type)
    return linear(model, params, block, layer, x);
  if (layer->type == &pp_dropout_type)
    return dropout(layer, place, x);
  if (layer->type == &pp_scale_type)
    return combine(x, second, true);
  if (layer->type == &pp_maxpool_type)
    return pool(x, layer->kernel, layer->stride, layer->padding, true);
  if (layer->type == &pp_average_pool_type)
    return pool(x, layer->kernel, layer->stride, layer->padding, false);
  image y = {0};
  if (layer->type == &pp_add_type)
    y = combine(x, second, false);
  else if (layer->type == &pp_activation_type)
    y = pool(x, 1, 1, 0, true); /* a copy */
  else if (layer->type == &pp_average_type) {
    y = image_make(x->samples, x->channels, 1, 1);
    for (int64_t n = 0; n < x->samples; n++)
      for (int64_t c = 0; c < x->channels; c++)
        for (int64_t p = 0; p < x->height * x->width; p++)
          *at(&y, n, c, 0, 0) += at(x, n, c, 0, 0)[p] / (double)(x->height * x->width);
  } else
    ck_abort_msg("a layer of block %d is not known to the oracle", block);
  activate(layer->act, &y);
  return y;
}

double *double_forward(const pp_model *model, const double *params, pp_sample_place place, int samples,
                       const double *input) {
  pp_shape shape = pp_model_input(model);
  image x = image_make(samples, shape.channels, shape.height, shape.width), outputs[PP_BLOCK_MAX_LAYERS];
  memcpy(x.v, input, (size_t)count_of(&x) * sizeof *input);
  for (int block = 0; block < pp_model_block_count(model); block++) {
    const int first = model->blocks[block].first_layer, end = model->blocks[block].end_layer;
    for (int l = first; l < end; l++) {
      const pp_layer *layer = &model->layers[l];
      const image *from[2];
      for (int side = 0; side < 2; side++)
        from[side] = layer->from[side] == PP_FROM_BLOCK ? &x : &outputs[layer->from[side] - first];
      outputs[l - first] = compute(model, params, place, block, layer, from[0], from[1]);
    }
    free(x.v);
    for (int l = first; l < end - 1; l++)
      free(outputs[l - first].v);
    x = outputs[end - 1 - first];
  }
  return x.v;
}
