/* Batch norm around a fused product: moments as z comes, the normalisation, and the gradients' sums. Without batch norm
 * the same with mean 0 and scale 1, and the bias for a shift. */
#ifndef PP_NN_NORM_H
#define PP_NN_NORM_H

#include "nn/layer.h"

/* How the samples of a pass are cut: into shares, each of these into groups of so many, what is left of it the last;
 * groups after that are empty. */
typedef struct pp_groups {
  int64_t samples, shares, group;
} pp_groups;
int64_t pp_groups_of_share(const pp_groups *groups);
int64_t pp_groups_count(const pp_groups *groups);
pp_range pp_group_samples(const pp_groups *groups, int64_t group);

enum { PP_NORM_UNIT = PP_LINE /* channels that one thread takes, at least */ };

typedef struct pp_norm {
  /* This thread's own, (channels) each. */
  float *mean;           /* of z, without its bias, over the micro-batch; without batch norm 0 */
  float *inverse;        /* 1 / deviation */
  float *scale;          /* gamma / deviation; without batch norm 1 */
  float *shift;          /* beta; without batch norm the bias */
  float *slope, *offset; /* dz += (z - mean) x slope + offset */
  double *whole[2];
  float *kept[4]; /* the first four, from forward to backward */
  float *part[2]; /* (parts, channels): sums over up to 256 pixels of a group each, of all threads */
  pp_groups groups;
  int64_t parts; /* of a group */
} pp_norm;

void pp_norm_cut_kept(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter);
/* groups: the pass's; most: with the most parts. */
void pp_norm_cut_shared(pp_norm *norm, const pp_layer *layer, const pp_groups *groups, const pp_groups *most,
                        pp_cutter *cutter);
/* What every thread has for itself. */
void pp_norm_cut_own(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter);

/* What is known before any value is: in evaluation and without batch norm everything; otherwise the sign of scale. */
void pp_norm_begin(const pp_layer_run *run, pp_norm *norm);
/* Takes in some channels of some groups' z; z: of all. Training with batch norm only. */
void pp_norm_add(const pp_layer_run *run, const pp_norm *norm, const float *z, pp_range groups, pp_range channels);
/* Some channels' normalisation from what was taken in of them, when the threads that took it in have met. */
void pp_norm_finish(const pp_layer_run *run, const pp_norm *norm, pp_range channels);
/* Keeps it for backward, and moves the running statistics: by one thread for each channel. */
void pp_norm_keep(const pp_layer_run *run, const pp_norm *norm, pp_range channels);
/* What forward kept, for this thread. */
void pp_norm_recall(const pp_layer_run *run, const pp_norm *norm);

/* Gradients: some of the pp_norm_parts sums, by any thread and in any order. dy, m: of all outputs; m is z or what
 * pooling left of it. When the threads have met, `finish` finds slope and offset, for each thread. */
int64_t pp_norm_parts(const pp_norm *norm);
void pp_norm_sums_take(const pp_layer_run *run, const pp_norm *norm, const float *dy, const float *m, pp_range parts);
/* own: the channels whose gradients of gamma and beta, or of the bias, this thread adds up, too. */
void pp_norm_sums_finish(const pp_layer_run *run, const pp_norm *norm, pp_range own);

/* Of the channels from `first` on. */
static inline pp_affine pp_norm_affine(const pp_layer *layer, const pp_norm *norm, int64_t first) {
  return (pp_affine){layer->act,          norm->mean + first,  norm->scale + first,
                     norm->shift + first, norm->slope + first, norm->offset + first};
}

#endif
