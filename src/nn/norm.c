#include "nn/norm.h"

#include <math.h>
#include <string.h>

enum { PART_PIXELS = 256 /* whose sums are taken in float before they are joined in double */ };

int64_t pp_groups_of_share(const pp_groups *groups) {
  int64_t most = (groups->samples + groups->shares - 1) / groups->shares;
  return (most + groups->group - 1) / groups->group;
}

int64_t pp_groups_count(const pp_groups *groups) { return groups->shares * pp_groups_of_share(groups); }

pp_range pp_group_samples(const pp_groups *groups, int64_t group) {
  int64_t in_share = pp_groups_of_share(groups);
  pp_range share = pp_range_part(groups->samples, 1, groups->shares, group / in_share);
  int64_t first = pp_least(share.first + group % in_share * groups->group, share.end);
  return (pp_range){first, pp_least(first + groups->group, share.end)};
}

static int64_t parts_of_group(const pp_groups *groups, const pp_layer *layer) {
  return (groups->group * pp_pixels(layer->middle) + PART_PIXELS - 1) / PART_PIXELS;
}

static int64_t parts_of(const pp_groups *groups, const pp_layer *layer) {
  return pp_groups_count(groups) * parts_of_group(groups, layer);
}

/* The pixels of images of that shape that a part is about: none where end <= first. */
static pp_range part_at(const pp_norm *norm, pp_shape shape, int64_t part) {
  pp_range samples = pp_group_samples(&norm->groups, part / norm->parts);
  int64_t first = samples.first * pp_pixels(shape) + part % norm->parts * PART_PIXELS;
  return (pp_range){first, pp_least(first + PART_PIXELS, samples.end * pp_pixels(shape))};
}

int64_t pp_norm_parts(const pp_norm *norm) { return pp_groups_count(&norm->groups) * norm->parts; }

void pp_norm_cut_kept(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter) {
  for (int i = 0; i < 4; i++)
    norm->kept[i] = pp_cut(cutter, layer->middle.channels);
}

void pp_norm_cut_shared(pp_norm *norm, const pp_layer *layer, const pp_groups *groups, const pp_groups *most,
                        pp_cutter *cutter) {
  norm->groups = *groups;
  norm->parts = parts_of_group(groups, layer);
  for (int i = 0; i < 2; i++)
    norm->part[i] = pp_cut(cutter, pp_most(parts_of(groups, layer), parts_of(most, layer)) * layer->middle.channels);
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

void pp_norm_add(const pp_layer_run *run, const pp_norm *norm, const float *z, pp_range groups, pp_range channels) {
  int64_t stride = run->layer->middle.channels;
  for (int64_t part = groups.first * norm->parts; part < groups.end * norm->parts; part++) {
    pp_range at = part_at(norm, run->layer->middle, part);
    int64_t to = part * stride + channels.first;
    if (at.first < at.end)
      run->kernels->moments(z + at.first * stride + channels.first, at.end - at.first, channels.end - channels.first,
                            stride, norm->part[0] + to, norm->part[1] + to);
  }
}

/* Parts in float around their own mean, joined in double, so that no digits are lost where the mean is large (Chan,
 * Golub and LeVeque, 1983, eq. 2.1). */
static void join_moments(const pp_layer_run *run, const pp_norm *norm, pp_range at) {
  int64_t channels = run->layer->middle.channels;
  double *means = norm->whole[0], *squares = norm->whole[1], before = 0;
  for (int64_t part = 0, parts = pp_norm_parts(norm); part < parts; part++) {
    pp_range pixels = part_at(norm, run->layer->middle, part);
    if (pixels.first >= pixels.end)
      continue;
    const float *mean = norm->part[0] + part * channels, *square = norm->part[1] + part * channels;
    double count = (double)(pixels.end - pixels.first);
    double share = count / (before + count), spread = before * count / (before + count);
    for (int64_t c = at.first; c < at.end; c++) {
      double delta = (double)mean[c] - means[c];
      means[c] += delta * share;
      squares[c] += (double)square[c] + delta * delta * spread;
    }
    before += count;
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
  const double *means = norm->whole[0], *squares = norm->whole[1];
  const float *gamma = run->params + layer->gamma;
  float *restrict mean = norm->mean, *restrict inverse = norm->inverse, *restrict scale = norm->scale;
  double share = 1 / pixels_of(run);
  float epsilon = layer->epsilon;
  for (int64_t c = channels.first; c < channels.end; c++) {
    mean[c] = (float)means[c];
    inverse[c] = 1.0F / sqrtf((float)(squares[c] * share) + epsilon);
    scale[c] = gamma[c] * inverse[c];
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

void pp_norm_sums_take(const pp_layer_run *run, const pp_norm *norm, const float *dy, const float *m, pp_range parts) {
  int64_t channels = run->layer->middle.channels;
  pp_affine affine = pp_norm_affine(run->layer, norm, 0);
  for (int64_t part = parts.first; part < parts.end; part++) {
    pp_range at = part_at(norm, run->layer->output, part);
    if (at.first < at.end)
      run->kernels->gradient_sums(dy + at.first * channels, m + at.first * channels, at.end - at.first, channels,
                                  channels, &affine, norm->part[0] + part * channels, norm->part[1] + part * channels);
  }
}

/* Ioffe and Szegedy, 2015: dz = scale x (da - mean(da) - (z - mean) x inverse^2 x mean(da x (z - mean))), da being the
 * gradient before the activation. */
void pp_norm_sums_finish(const pp_layer_run *run, const pp_norm *norm, pp_range own) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->middle.channels;
  clear_sums(norm, (pp_range){0, channels});
  for (int64_t part = 0, parts = pp_norm_parts(norm); part < parts; part++) {
    pp_range at = part_at(norm, layer->output, part);
    for (int i = 0; i < 2 && at.first < at.end; i++)
      for (int64_t c = 0; c < channels; c++)
        norm->whole[i][c] += (double)norm->part[i][part * channels + c];
  }
  const double *restrict plain = norm->whole[0], *restrict product = norm->whole[1];
  float *restrict slope = norm->slope, *restrict offset = norm->offset, *grads = run->grads;
  if (!layer->norm) {
    memset(slope, 0, (size_t)channels * sizeof *slope);
    memset(offset, 0, (size_t)channels * sizeof *offset);
    for (int64_t c = own.first; c < own.end && layer->biased; c++)
      grads[layer->bias + c] += (float)plain[c];
    return;
  }
  double share = 1 / pixels_of(run);
  for (int64_t c = 0; c < channels; c++) {
    double scale = (double)norm->scale[c] * share, inverse = (double)norm->inverse[c];
    slope[c] = (float)(-scale * inverse * inverse * product[c]);
    offset[c] = (float)(-scale * plain[c]);
  }
  for (int64_t c = own.first; c < own.end; c++) {
    grads[layer->gamma + c] += (float)(product[c] * (double)norm->inverse[c]);
    grads[layer->beta + c] += (float)plain[c];
  }
}
