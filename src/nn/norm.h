/* Batch norm around a fused product: moments as z comes, the normalisation, and the gradients' sums. Without batch norm
 * the same with mean 0 and scale 1, and the bias for a shift. */
#ifndef PP_NN_NORM_H
#define PP_NN_NORM_H

#include "nn/layer.h"

typedef struct pp_norm {
  /* Kept from forward to backward, (channels) each. */
  float *mean;    /* of z, without its bias, over the micro-batch; without batch norm 0 */
  float *inverse; /* 1 / deviation */
  float *scale;   /* gamma / deviation; without batch norm 1 */
  float *shift;   /* beta; without batch norm the bias */
  /* Scratch, (channels) each. */
  float *slope, *offset; /* dz += (z - mean) x slope + offset */
  float *part[2];
  double *whole[2];
} pp_norm;

void pp_norm_cut_kept(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter);
void pp_norm_cut_scratch(pp_norm *norm, const pp_layer *layer, pp_cutter *cutter);

/* What is known before any value is: in evaluation and without batch norm everything; otherwise the sign of scale. */
void pp_norm_begin(const pp_layer_run *run, pp_norm *norm);
/* Takes in z of `pixels` more pixels after `before`; training with batch norm only. */
void pp_norm_add(const pp_layer_run *run, pp_norm *norm, const float *z, int64_t before, int64_t pixels);
/* The micro-batch's normalisation from what was taken in; moves the running statistics. */
void pp_norm_finish(const pp_layer_run *run, pp_norm *norm);
/* Adds the gradients of gamma and beta, or of the bias, and finds slope and offset. m: (pixels, channels), z or what
 * pooling left of it, dy: the same of the output. */
void pp_norm_gradient(const pp_layer_run *run, pp_norm *norm, const float *dy, const float *m, int64_t pixels);

static inline pp_affine pp_norm_affine(const pp_layer *layer, const pp_norm *norm) {
  return (pp_affine){layer->act, norm->mean, norm->scale, norm->shift, norm->slope, norm->offset};
}

#endif
