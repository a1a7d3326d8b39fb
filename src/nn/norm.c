#include "nn/norm.h"

#include <math.h>
#include <string.h>

enum {
  PART_PIXELS = 256, /* whose sums are taken in float before they are joined in double */
  CHANNEL_UNIT = 32, /* channels that one task takes, at least */
};

static int64_t parts_of(int64_t pixels) { return (pixels + PART_PIXELS - 1) / PART_PIXELS; }

void pp_norm_cut_kept(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter) {
  int64_t channels = layer->middle.channels;
  norm->mean = pp_cut(cutter, channels);
  norm->inverse = pp_cut(cutter, channels);
  norm->scale = pp_cut(cutter, channels);
  norm->shift = pp_cut(cutter, channels);
}

void pp_norm_cut_scratch(pp_norm *norm, const pp_layer *layer, int64_t samples, int64_t group, pp_cutter *cutter) {
  int64_t channels = layer->middle.channels, groups = (samples + group - 1) / group;
  norm->group_pixels = group * pp_pixels(layer->middle);
  norm->slope = pp_cut(cutter, channels);
  norm->offset = pp_cut(cutter, channels);
  for (int i = 0; i < 2; i++) {
    norm->part[i] = pp_cut(cutter, groups * parts_of(norm->group_pixels) * channels);
    norm->whole[i] = (double *)pp_cut(cutter, 2 * channels);
  }
}

void pp_norm_begin(const pp_layer_run *run, pp_norm *norm) {
  const pp_layer *layer = run->layer;
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

void pp_norm_add(const pp_layer_run *run, const pp_norm *norm, const float *z, int64_t group, int64_t pixels,
                 pp_range channels) {
  int64_t stride = run->layer->middle.channels, at = group * parts_of(norm->group_pixels) * stride + channels.first;
  for (int64_t first = 0; first < pixels; first += PART_PIXELS, at += stride)
    run->kernels->moments(z + first * stride + channels.first, pp_least(pixels - first, PART_PIXELS),
                          channels.end - channels.first, stride, norm->part[0] + at, norm->part[1] + at);
}

/* What the tasks of one region share. */
typedef struct norm_work {
  const pp_layer_run *run;
  pp_norm *norm;
  const float *dy, *m;
  int64_t pixels, parts, cuts; /* parts of the sums; cuts of the channels */
} norm_work;

static pp_range channels_of(const norm_work *work, int64_t task) {
  return pp_range_part(work->run->layer->middle.channels, CHANNEL_UNIT, work->cuts, task % work->cuts);
}

/* Parts in float around their own mean, joined in double, so that no digits are lost where the mean is large (Chan,
 * Golub and LeVeque, 1983, eq. 2.1). */
static void join_moments(const norm_work *work, pp_range at) {
  const pp_norm *norm = work->norm;
  int64_t channels = work->run->layer->middle.channels;
  double *means = norm->whole[0], *squares = norm->whole[1];
  const float *mean = norm->part[0], *square = norm->part[1];
  for (int64_t start = 0; start < work->pixels; start += norm->group_pixels) {
    int64_t end = pp_least(work->pixels, start + norm->group_pixels);
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

static void clear_sums(pp_norm *norm, pp_range at) {
  for (int i = 0; i < 2; i++)
    memset(norm->whole[i] + at.first, 0, (size_t)(at.end - at.first) * sizeof(double));
}

static void finish(void *context, int64_t task, int thread) {
  const norm_work *work = context;
  const pp_layer_run *run = work->run;
  const pp_layer *layer = run->layer;
  pp_norm *norm = work->norm;
  pp_range at = channels_of(work, task);
  const float *gamma = run->params + layer->gamma;
  float *running_mean = run->stats + layer->mean, *running_variance = run->stats + layer->variance;
  (void)thread;
  clear_sums(norm, at);
  join_moments(work, at);
  for (int64_t c = at.first; c < at.end; c++) {
    float mean = (float)norm->whole[0][c], variance = (float)(norm->whole[1][c] / (double)work->pixels);
    float unbiased = (float)(norm->whole[1][c] / (double)(work->pixels - 1));
    float bias = layer->biased ? run->params[layer->bias + c] : 0.0F;
    running_mean[c] += layer->momentum * (mean + bias - running_mean[c]);
    running_variance[c] += layer->momentum * (unbiased - running_variance[c]);
    norm->mean[c] = mean;
    norm->inverse[c] = 1.0F / sqrtf(variance + layer->epsilon);
    norm->scale[c] = gamma[c] * norm->inverse[c];
  }
}

static int64_t channel_cuts(const pp_layer_run *run) {
  return pp_parts(run->pool, (run->layer->middle.channels + CHANNEL_UNIT - 1) / CHANNEL_UNIT);
}

void pp_norm_finish(const pp_layer_run *run, pp_norm *norm) {
  norm_work work = {
      .run = run, .norm = norm, .pixels = run->samples * pp_pixels(run->layer->middle), .cuts = channel_cuts(run)};
  PP_ASSERT(work.pixels > 1);
  int64_t partials = parts_of(work.pixels) * run->layer->middle.channels;
  pp_pool_run(pp_pool_for(run->pool, 4 * partials), work.cuts, finish, &work);
}

static void sum_part(void *context, int64_t task, int thread) {
  const norm_work *work = context;
  const pp_norm *norm = work->norm;
  int64_t stride = work->run->layer->middle.channels, first = task / work->cuts * PART_PIXELS;
  pp_range at = channels_of(work, task);
  int64_t from = first * stride + at.first, to = task / work->cuts * stride + at.first;
  pp_affine affine = pp_norm_affine(work->run->layer, norm, at.first);
  (void)thread;
  work->run->kernels->gradient_sums(work->dy + from, work->m + from, pp_least(work->pixels - first, PART_PIXELS),
                                    at.end - at.first, stride, &affine, norm->part[0] + to, norm->part[1] + to);
}

/* Ioffe and Szegedy, 2015: dz = scale x (da - mean(da) - (z - mean) x inverse^2 x mean(da x (z - mean))), da being the
 * gradient before the activation. */
static void finish_gradient(void *context, int64_t task, int thread) {
  const norm_work *work = context;
  const pp_layer_run *run = work->run;
  const pp_layer *layer = run->layer;
  pp_norm *norm = work->norm;
  pp_range at = channels_of(work, task);
  int64_t channels = layer->middle.channels;
  double values = (double)(run->samples * pp_pixels(layer->middle));
  (void)thread;
  clear_sums(norm, at);
  for (int i = 0; i < 2; i++)
    for (int64_t part = 0; part < work->parts; part++)
      for (int64_t c = at.first; c < at.end; c++)
        norm->whole[i][c] += (double)norm->part[i][part * channels + c];
  for (int64_t c = at.first; c < at.end; c++) {
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

void pp_norm_gradient(const pp_layer_run *run, pp_norm *norm, const float *dy, const float *m, int64_t pixels) {
  norm_work work = {.run = run, .norm = norm, .dy = dy, .m = m, .pixels = pixels, .parts = parts_of(pixels)};
  int64_t wanted = pp_parts(run->pool, INT32_MAX), cuts = channel_cuts(run);
  work.cuts = work.parts >= wanted ? 1 : pp_least(cuts, (wanted + work.parts - 1) / work.parts);
  int64_t channels = run->layer->middle.channels;
  pp_pool_run(pp_pool_for(run->pool, 2 * pixels * channels), work.parts * work.cuts, sum_part, &work);
  work.cuts = cuts;
  pp_pool_run(pp_pool_for(run->pool, 4 * work.parts * channels), work.cuts, finish_gradient, &work);
}
