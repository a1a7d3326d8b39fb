#include "nn/norm.h"

#include <math.h>
#include <string.h>

enum {
  PART_PIXELS = 256, /* whose sums are taken in float before they are joined in double */
  CHANNEL_UNIT = 16, /* channels that one task takes, at least */
};

static int64_t part_pixels(const pp_norm *norm) { return pp_least(PART_PIXELS, norm->group_pixels); }

static int64_t parts_of(const pp_norm *norm, int64_t pixels) {
  return (pixels + part_pixels(norm) - 1) / part_pixels(norm);
}

void pp_norm_cut_kept(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter) {
  int64_t channels = layer->middle.channels;
  norm->mean = pp_cut(cutter, channels);
  norm->inverse = pp_cut(cutter, channels);
  norm->scale = pp_cut(cutter, channels);
  norm->shift = pp_cut(cutter, channels);
}

void pp_norm_cut_scratch(pp_norm *norm, const pp_layer *layer, int64_t groups, int64_t group, pp_cutter *cutter) {
  int64_t channels = layer->middle.channels;
  norm->group_pixels = group * pp_pixels(layer->middle);
  norm->slope = pp_cut(cutter, channels);
  norm->offset = pp_cut(cutter, channels);
  for (int i = 0; i < 2; i++) {
    norm->part[i] = pp_cut(cutter, groups * parts_of(norm, norm->group_pixels) * channels);
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
  int64_t stride = run->layer->middle.channels,
          at = group * parts_of(norm, norm->group_pixels) * stride + channels.first;
  for (int64_t first = 0; first < pixels; first += PART_PIXELS, at += stride)
    run->kernels->moments(z + first * stride + channels.first, pp_least(pixels - first, PART_PIXELS),
                          channels.end - channels.first, stride, norm->part[0] + at, norm->part[1] + at);
}

/* What the tasks of a region share that take some channels each. */
typedef struct norm_work {
  const pp_layer_run *run;
  pp_norm *norm;
  const pp_norm_sums *sums;
  int64_t cuts; /* of the channels */
} norm_work;

static pp_range channels_of(const pp_layer_run *run, int64_t cuts, int64_t task) {
  return pp_range_part(run->layer->middle.channels, CHANNEL_UNIT, cuts, task % cuts);
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

void pp_norm_finish_some(const pp_layer_run *run, const pp_norm *norm, pp_range channels) {
  const pp_layer *layer = run->layer;
  const float *gamma = run->params + layer->gamma;
  float *running_mean = run->stats + layer->mean, *running_variance = run->stats + layer->variance;
  double pixels = (double)(run->samples * pp_pixels(layer->middle));
  PP_ASSERT(pixels > 1);
  clear_sums(norm, channels);
  join_moments(run, norm, channels);
  for (int64_t c = channels.first; c < channels.end; c++) {
    float mean = (float)norm->whole[0][c], variance = (float)(norm->whole[1][c] / pixels);
    float unbiased = (float)(norm->whole[1][c] / (pixels - 1));
    float bias = layer->biased ? run->params[layer->bias + c] : 0.0F;
    running_mean[c] += layer->momentum * (mean + bias - running_mean[c]);
    running_variance[c] += layer->momentum * (unbiased - running_variance[c]);
    norm->mean[c] = mean;
    norm->inverse[c] = 1.0F / sqrtf(variance + layer->epsilon);
    norm->scale[c] = gamma[c] * norm->inverse[c];
  }
}

static void finish(void *context, int64_t task, int thread) {
  const norm_work *work = context;
  pp_norm_finish_some(work->run, work->norm, channels_of(work->run, work->cuts, task));
  (void)thread;
}

static int64_t channel_cuts(const pp_layer_run *run) {
  return pp_parts(run->pool, (run->layer->middle.channels + CHANNEL_UNIT - 1) / CHANNEL_UNIT);
}

void pp_norm_finish(const pp_layer_run *run, pp_norm *norm) {
  norm_work work = {.run = run, .norm = norm, .cuts = channel_cuts(run)};
  int64_t partials = parts_of(norm, run->samples * pp_pixels(run->layer->middle)) * run->layer->middle.channels;
  pp_pool_run(pp_pool_for(run->pool, 4 * partials), work.cuts, finish, &work);
}

pp_norm_sums pp_norm_sums_of(const pp_layer_run *run, pp_norm *norm, const float *dy, const float *m, int64_t pixels) {
  pp_norm_sums sums = {.run = run, .norm = norm, .dy = dy, .m = m, .pixels = pixels, .parts = parts_of(norm, pixels)};
  int64_t wanted = pp_parts(run->pool, INT32_MAX);
  sums.cuts = sums.parts >= wanted ? 1 : pp_least(channel_cuts(run), (wanted + sums.parts - 1) / sums.parts);
  return sums;
}

int64_t pp_norm_sums_tasks(const pp_norm_sums *sums) { return sums->parts * sums->cuts; }

void pp_norm_sums_take(const pp_norm_sums *sums, int64_t task) {
  const pp_layer_run *run = sums->run;
  const pp_norm *norm = sums->norm;
  int64_t stride = run->layer->middle.channels, first = task / sums->cuts * part_pixels(sums->norm);
  pp_range at = channels_of(run, sums->cuts, task);
  int64_t from = first * stride + at.first, to = task / sums->cuts * stride + at.first;
  pp_affine affine = pp_norm_affine(run->layer, norm, at.first);
  run->kernels->gradient_sums(sums->dy + from, sums->m + from, pp_least(sums->pixels - first, part_pixels(norm)),
                              at.end - at.first, stride, &affine, norm->part[0] + to, norm->part[1] + to);
}

/* Ioffe and Szegedy, 2015: dz = scale x (da - mean(da) - (z - mean) x inverse^2 x mean(da x (z - mean))), da being the
 * gradient before the activation. */
static void finish_gradient(void *context, int64_t task, int thread) {
  const norm_work *work = context;
  const pp_layer_run *run = work->run;
  const pp_layer *layer = run->layer;
  pp_norm *norm = work->norm;
  pp_range at = channels_of(run, work->cuts, task);
  int64_t channels = layer->middle.channels, parts = work->sums->parts;
  double values = (double)(run->samples * pp_pixels(layer->middle));
  (void)thread;
  clear_sums(norm, at);
  for (int i = 0; i < 2; i++)
    for (int64_t part = 0; part < parts; part++)
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

void pp_norm_sums_finish(const pp_norm_sums *sums) {
  const pp_layer_run *run = sums->run;
  norm_work work = {.run = run, .norm = sums->norm, .sums = sums, .cuts = channel_cuts(run)};
  pp_pool_run(pp_pool_for(run->pool, 4 * sums->parts * run->layer->middle.channels), work.cuts, finish_gradient, &work);
}
