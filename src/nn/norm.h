/* Batch norm around a fused product: moments as z comes, the normalisation, and the gradients' sums. Without batch norm
 * the same with mean 0 and scale 1, and the bias for a shift. */
#ifndef PP_NN_NORM_H
#define PP_NN_NORM_H

#include "nn/layer.h"

typedef struct pp_norm {
  /* This thread's own, (channels) each. */
  float *mean;           /* of z, without its bias, over the micro-batch; without batch norm 0 */
  float *inverse;        /* 1 / deviation */
  float *scale;          /* gamma / deviation; without batch norm 1 */
  float *shift;          /* beta; without batch norm the bias */
  float *slope, *offset; /* dz += (z - mean) x slope + offset */
  double *whole[2];
  float *kept[4]; /* the first four, from forward to backward */
  float *part[2]; /* (parts, channels): sums over some pixels each, of all threads */
  int64_t group_pixels;
} pp_norm;

void pp_norm_cut_kept(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter);
/* z is taken in by at most `groups` groups of `group` samples. */
void pp_norm_cut_shared(pp_norm *norm, const pp_layer *layer, int64_t groups, int64_t group, pp_cutter *cutter);
/* What every thread has for itself. */
void pp_norm_cut_own(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter);

/* What is known before any value is: in evaluation and without batch norm everything; otherwise the sign of scale. */
void pp_norm_begin(const pp_layer_run *run, pp_norm *norm);
/* Takes in some channels of group `group`'s z, of `pixels` pixels; training with batch norm only. */
void pp_norm_add(const pp_layer_run *run, const pp_norm *norm, const float *z, int64_t group, int64_t pixels,
                 pp_range channels);
/* Some channels' normalisation from what was taken in of them, when the threads that took it in have met. */
void pp_norm_finish(const pp_layer_run *run, const pp_norm *norm, pp_range channels);
/* Keeps it for backward, and moves the running statistics: by one thread for each channel. */
void pp_norm_keep(const pp_layer_run *run, const pp_norm *norm, pp_range channels);
/* What forward kept, for this thread. */
void pp_norm_recall(const pp_layer_run *run, const pp_norm *norm);

/* Gradients: sums over some pixels each, by any thread and in any order; when the threads have met, `finish` finds
 * slope and offset, for each thread. */
typedef struct pp_norm_sums {
  const float *dy, *m; /* (pixels, channels): of the output; z or what pooling left of it */
  int64_t pixels, parts;
} pp_norm_sums;
pp_norm_sums pp_norm_sums_of(const pp_norm *norm, const float *dy, const float *m, int64_t pixels);
void pp_norm_sums_take(const pp_layer_run *run, const pp_norm *norm, const pp_norm_sums *sums, int64_t part);
/* adds: the gradients of gamma and beta, or of the bias, too; true on exactly one thread. */
void pp_norm_sums_finish(const pp_layer_run *run, const pp_norm *norm, const pp_norm_sums *sums, bool adds);

/* Of the channels from `first` on. */
static inline pp_affine pp_norm_affine(const pp_layer *layer, const pp_norm *norm, int64_t first) {
  return (pp_affine){layer->act,          norm->mean + first,  norm->scale + first,
                     norm->shift + first, norm->slope + first, norm->offset + first};
}

#endif
