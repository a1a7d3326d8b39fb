#include "nn/norm.h"

#include <math.h>
#include <string.h>

enum { PART_PIXELS = 256 /* whose sums are taken in float before they are joined in double */ };

static int64_t part_pixels(const pp_norm *norm) { return pp_least(PART_PIXELS, norm->group_pixels); }

static int64_t parts_of(const pp_norm *norm, int64_t pixels) {
  return (pixels + part_pixels(norm) - 1) / part_pixels(norm);
}

void pp_norm_cut_kept(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter) {
  for (int i = 0; i < 4; i++)
    norm->kept[i] = pp_cut(cutter, layer->middle.channels);
}

void pp_norm_cut_shared(pp_norm *norm, const pp_layer *layer, int64_t groups, int64_t group, pp_cutter *cutter) {
  norm->group_pixels = group * pp_pixels(layer->middle);
  for (int i = 0; i < 2; i++)
    norm->part[i] = pp_cut(cutter, groups * parts_of(norm, norm->group_pixels) * layer->middle.channels);
}

void pp_norm_cut_own(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter) {
  float **own[] = {&norm->mean, &norm->inverse, &norm->scale, &norm->shift, &norm->slope, &norm->offset};
  for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
    *own[i] = pp_cut(cutter, layer->middle.channels);
  for (int i = 0; i < 2; i++)
    norm->whole[i] = (double *)pp_cut(cutter, 2 * (int64_t)layer->middle.channels);
}

void pp_norm_begin(const pp_layer_run *run, pp_norm *norm) {
  const pp_layer *layer = run->layer;
  for (int64_t c = 0; c < layer->middle.channels; c++) {
    float bias = layer->biased ? run->params[layer->bias + c] : 0.0F;
    norm->mean[c] = norm->inverse[c] = 0.0F;
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

void pp_norm_add(const pp_layer_run *run, const pp_norm *norm, const float *z, int64_t group, int64_t pixels,
                 pp_range channels) {
  int64_t stride = run->layer->middle.channels,
          at = group * parts_of(norm, norm->group_pixels) * stride + channels.first;
  for (int64_t first = 0; first < pixels; first += PART_PIXELS, at += stride)
    run->kernels->moments(z + first * stride + channels.first, pp_least(pixels - first, PART_PIXELS),
                          channels.end - channels.first, stride, norm->part[0] + at, norm->part[1] + at);
}

/* Parts in float around their own mean, joined in double, so that no digits are lost where the mean is large (Chan,
 * Golub and LeVeque, 1983, eq. 2.1). */
static void join_moments(const pp_layer_run *run, const pp_norm *norm, pp_range at) {
  int64_t channels = run->layer->middle.channels, pixels = run->samples * pp_pixels(run->layer->middle);
  double *means = norm->whole[0], *squares = norm->whole[1];
  const float *mean = norm->part[0], *square = norm->part[1];
  for (int64_t start = 0; start < pixels; start += norm->group_pixels) {
    int64_t end = pp_least(pixels, start + norm->group_pixels);
    for (int64_t first = start; first < end; first += PART_PIXELS, mean += channels, square += channels) {
      double before = (double)first, count = (double)pp_least(end - first, PART_PIXELS);
      double share = count / (before + count), spread = before * count / (before + count);
      for (int64_t c = at.first; c < at.end; c++) {
        double delta = (double)mean[c] - means[c];
        means[c] += delta * share;
        squares[c] += (double)square[c] + delta * delta * spread;
      }
    }
  }
}

static void clear_sums(const pp_norm *norm, pp_range at) {
  for (int i = 0; i < 2; i++)
    memset(norm->whole[i] + at.first, 0, (size_t)(at.end - at.first) * sizeof(double));
}

static double pixels_of(const pp_layer_run *run) { return (double)(run->samples * pp_pixels(run->layer->middle)); }

void pp_norm_finish(const pp_layer_run *run, const pp_norm *norm, pp_range channels) {
  const pp_layer *layer = run->layer;
  PP_ASSERT(pixels_of(run) > 1);
  clear_sums(norm, channels);
  join_moments(run, norm, channels);
  for (int64_t c = channels.first; c < channels.end; c++) {
    norm->mean[c] = (float)norm->whole[0][c];
    norm->inverse[c] = 1.0F / sqrtf((float)(norm->whole[1][c] / pixels_of(run)) + layer->epsilon);
    norm->scale[c] = run->params[layer->gamma + c] * norm->inverse[c];
  }
}

void pp_norm_keep(const pp_layer_run *run, const pp_norm *norm, pp_range channels) {
  const pp_layer *layer = run->layer;
  const float *own[] = {norm->mean, norm->inverse, norm->scale, norm->shift};
  for (int i = 0; i < 4; i++)
    memcpy(norm->kept[i] + channels.first, own[i] + channels.first,
           (size_t)(channels.end - channels.first) * sizeof(float));
  float *running_mean = run->stats + layer->mean, *running_variance = run->stats + layer->variance;
  for (int64_t c = channels.first; c < channels.end && layer->norm; c++) {
    float unbiased = (float)(norm->whole[1][c] / (pixels_of(run) - 1));
    float bias = layer->biased ? run->params[layer->bias + c] : 0.0F;
    running_mean[c] += layer->momentum * (norm->mean[c] + bias - running_mean[c]);
    running_variance[c] += layer->momentum * (unbiased - running_variance[c]);
  }
}

void pp_norm_recall(const pp_layer_run *run, const pp_norm *norm) {
  float *own[] = {norm->mean, norm->inverse, norm->scale, norm->shift};
  for (int i = 0; i < 4; i++)
    memcpy(own[i], norm->kept[i], (size_t)run->layer->middle.channels * sizeof(float));
}

pp_norm_sums pp_norm_sums_of(const pp_norm *norm, const float *dy, const float *m, int64_t pixels) {
  return (pp_norm_sums){.dy = dy, .m = m, .pixels = pixels, .parts = parts_of(norm, pixels)};
}

void pp_norm_sums_take(const pp_layer_run *run, const pp_norm *norm, const pp_norm_sums *sums, int64_t part) {
  int64_t channels = run->layer->middle.channels, first = part * part_pixels(norm);
  pp_affine affine = pp_norm_affine(run->layer, norm, 0);
  run->kernels->gradient_sums(sums->dy + first * channels, sums->m + first * channels,
                              pp_least(sums->pixels - first, part_pixels(norm)), channels, channels, &affine,
                              norm->part[0] + part * channels, norm->part[1] + part * channels);
}

/* Ioffe and Szegedy, 2015: dz = scale x (da - mean(da) - (z - mean) x inverse^2 x mean(da x (z - mean))), da being the
 * gradient before the activation. */
void pp_norm_sums_finish(const pp_layer_run *run, const pp_norm *norm, const pp_norm_sums *sums, bool adds) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->middle.channels;
  clear_sums(norm, (pp_range){0, channels});
  for (int i = 0; i < 2; i++)
    for (int64_t part = 0; part < sums->parts; part++)
      for (int64_t c = 0; c < channels; c++)
        norm->whole[i][c] += (double)norm->part[i][part * channels + c];
  for (int64_t c = 0; c < channels; c++) {
    double plain = norm->whole[0][c], product = norm->whole[1][c];
    double scale = (double)norm->scale[c], inverse = (double)norm->inverse[c];
    norm->slope[c] = norm->offset[c] = 0.0F;
    if (layer->norm) {
      norm->slope[c] = (float)(-scale * inverse * inverse * product / pixels_of(run));
      norm->offset[c] = (float)(-scale * plain / pixels_of(run));
    }
    if (adds && layer->norm) {
      run->grads[layer->gamma + c] += (float)(product * inverse);
      run->grads[layer->beta + c] += (float)plain;
    } else if (adds && layer->biased) {
      run->grads[layer->bias + c] += (float)plain;
    }
  }
}
