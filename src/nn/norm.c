#include "nn/norm.h"

#include <math.h>
#include <string.h>

enum { PART_PIXELS = 256 }; /* whose sums are taken in float before they are joined in double */

void pp_norm_cut_kept(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter) {
  int64_t channels = layer->middle.channels;
  norm->mean = pp_cut(cutter, channels);
  norm->inverse = pp_cut(cutter, channels);
  norm->scale = pp_cut(cutter, channels);
  norm->shift = pp_cut(cutter, channels);
}

void pp_norm_cut_scratch(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter) {
  int64_t channels = layer->middle.channels;
  norm->slope = pp_cut(cutter, channels);
  norm->offset = pp_cut(cutter, channels);
  for (int i = 0; i < 2; i++) {
    norm->part[i] = pp_cut(cutter, channels);
    norm->whole[i] = (double *)pp_cut(cutter, 2 * channels);
  }
}

static void clear_sums(const pp_layer *layer, pp_norm *norm) {
  for (int i = 0; i < 2; i++)
    memset(norm->whole[i], 0, (size_t)layer->middle.channels * sizeof(double));
}

void pp_norm_begin(const pp_layer_run *run, pp_norm *norm) {
  const pp_layer *layer = run->layer;
  clear_sums(layer, norm);
  for (int64_t c = 0; c < layer->middle.channels; c++) {
    float bias = layer->biased ? run->params[layer->bias + c] : 0.0F;
    norm->mean[c] = 0.0F;
    norm->scale[c] = 1.0F;
    norm->shift[c] = bias;
    if (!layer->norm)
      continue;
    norm->scale[c] = run->params[layer->gamma + c];
    norm->shift[c] = run->params[layer->beta + c];
    if (run->training)
      continue;
    norm->mean[c] = run->stats[layer->mean + c] - bias;
    norm->scale[c] /= sqrtf(run->stats[layer->variance + c] + layer->epsilon);
  }
}

/* Parts in float around their own mean, joined in double, so that no digits are lost where the mean is large (Chan,
 * Golub and LeVeque, 1983, eq. 2.1). */
void pp_norm_add(const pp_layer_run *run, pp_norm *norm, const float *z, int64_t before, int64_t pixels) {
  int64_t channels = run->layer->middle.channels;
  double *means = norm->whole[0], *squares = norm->whole[1];
  for (int64_t first = 0; first < pixels; first += PART_PIXELS) {
    int64_t count = pp_least(pixels - first, PART_PIXELS);
    run->kernels->moments(z + first * channels, count, channels, norm->part[0], norm->part[1]);
    double a = (double)(before + first), b = (double)count;
    for (int64_t c = 0; c < channels; c++) {
      double delta = (double)norm->part[0][c] - means[c];
      means[c] += delta * (b / (a + b));
      squares[c] += (double)norm->part[1][c] + delta * delta * (a * b / (a + b));
    }
  }
}

void pp_norm_finish(const pp_layer_run *run, pp_norm *norm) {
  const pp_layer *layer = run->layer;
  int64_t values = run->samples * pp_pixels(layer->middle);
  const float *gamma = run->params + layer->gamma;
  float *running_mean = run->stats + layer->mean, *running_variance = run->stats + layer->variance;
  PP_ASSERT(values > 1);
  for (int64_t c = 0; c < layer->middle.channels; c++) {
    float mean = (float)norm->whole[0][c], variance = (float)(norm->whole[1][c] / (double)values);
    float unbiased = (float)(norm->whole[1][c] / (double)(values - 1));
    float bias = layer->biased ? run->params[layer->bias + c] : 0.0F;
    running_mean[c] += layer->momentum * (mean + bias - running_mean[c]);
    running_variance[c] += layer->momentum * (unbiased - running_variance[c]);
    norm->mean[c] = mean;
    norm->inverse[c] = 1.0F / sqrtf(variance + layer->epsilon);
    norm->scale[c] = gamma[c] * norm->inverse[c];
  }
}

/* Ioffe and Szegedy, 2015: dz = scale x (da - mean(da) - (z - mean) x inverse^2 x mean(da x (z - mean))), da being the
 * gradient before the activation. */
void pp_norm_gradient(const pp_layer_run *run, pp_norm *norm, const float *dy, const float *m, int64_t pixels) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->middle.channels;
  pp_affine affine = pp_norm_affine(layer, norm);
  clear_sums(layer, norm);
  for (int64_t first = 0; first < pixels; first += PART_PIXELS) {
    run->kernels->gradient_sums(dy + first * channels, m + first * channels, pp_least(pixels - first, PART_PIXELS),
                                channels, &affine, norm->part[0], norm->part[1]);
    for (int64_t c = 0; c < channels; c++) {
      norm->whole[0][c] += (double)norm->part[0][c];
      norm->whole[1][c] += (double)norm->part[1][c];
    }
  }
  double values = (double)(run->samples * pp_pixels(layer->middle));
  for (int64_t c = 0; c < channels; c++) {
    double plain = norm->whole[0][c], product = norm->whole[1][c];
    norm->slope[c] = norm->offset[c] = 0.0F;
    if (!layer->norm) {
      if (layer->biased)
        run->grads[layer->bias + c] += (float)plain;
      continue;
    }
    double scale = (double)norm->scale[c], inverse = (double)norm->inverse[c];
    run->grads[layer->gamma + c] += (float)(product * inverse);
    run->grads[layer->beta + c] += (float)plain;
    norm->slope[c] = (float)(-scale * inverse * inverse * product / values);
    norm->offset[c] = (float)(-scale * plain / values);
  }
}
