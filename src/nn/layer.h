/* The seam between a network and its layers. A layer is what one pass over the data computes: a convolution with the
 * batch norm, ReLU and pooling that follow it is one layer, so that its fast form may fuse them.
 *
 * Layout, stated once: between layers, and so at every boundary between blocks, an image is channels-last,
 * (N, H, W, C), and what a linear layer gives is (N, features). Only the network's input is (N, C, H, W). Tensors in
 * the parameter buffers have PyTorch's order; a linear layer that reads an image takes its weights' columns as
 * (C, H, W). */
#ifndef PP_NN_LAYER_H
#define PP_NN_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "nn/kernels.h"
#include "pipar/nn.h"

typedef struct pp_layer_type pp_layer_type;

/* A layer of a model. Immutable. Offsets count from the layer's first parameter or statistic. */
typedef struct pp_layer {
  const pp_layer_type *type;
  pp_shape input, middle, output; /* middle: between convolution and pooling */
  bool norm, relu, pool;          /* what follows the product */
  float epsilon, momentum;        /* of the batch norm */
  int64_t params, stats;          /* first element in the model's buffers */
  int64_t weight, bias, gamma, beta;
  int64_t mean, variance;
} pp_layer;

/* One layer's part in one micro-batch. */
typedef struct pp_layer_run {
  const pp_layer *layer;
  int samples, max_samples;
  bool training;       /* batch statistics; otherwise running ones, and nothing is kept */
  const float *params; /* the layer's own first elements */
  float *stats;
  float *grads;
  float *kept;    /* of the slot, from forward to backward */
  float *scratch; /* of the net, holds nothing between calls */
  const pp_kernels *kernels;
} pp_layer_run;

/* Floats a net sets aside for a layer, and for what. */
typedef struct pp_layer_plan {
  int64_t kept, scratch;
} pp_layer_plan;
typedef struct pp_layer_request {
  int max_samples;
  bool training;
  const pp_kernels *kernels;
} pp_layer_request;

/* How a layer computes: the fast way and the plain one are two of these. */
typedef struct pp_layer_ops {
  void (*plan)(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *plan);
  void (*forward)(const pp_layer_run *run, const float *x, float *y);
  /* Adds to run->grads; overwrites dx, or leaves it out where it is NULL; may overwrite dy. */
  void (*backward)(const pp_layer_run *run, const float *x, float *dy, float *dx);
} pp_layer_ops;

typedef struct pp_layer_tensor {
  const char *name; /* "conv.weight" */
  int rank;
  int64_t shape[4];
  bool is_statistic;
  int64_t offset; /* from the layer's first parameter or statistic */
} pp_layer_tensor;
enum { PP_LAYER_MAX_TENSORS = 6, PP_LAYER_MAX_INFOS = 4 };

struct pp_layer_type {
  const pp_layer_ops *fast, *reference;
  /* What the cost model sees of it; returns how many. */
  int (*info)(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]);
  /* Its tensors in PyTorch's order of a state_dict; returns how many. */
  int (*tensors)(const pp_layer *layer, pp_layer_tensor out[PP_LAYER_MAX_TENSORS]);
};

extern const pp_layer_type pp_conv_type;   /* 3x3, padding 1, bias; batch norm, ReLU, 2x2 max pool */
extern const pp_layer_type pp_linear_type; /* bias; ReLU */

/* The plain loops, in reference.c. */
extern const pp_layer_ops pp_conv_reference, pp_linear_reference;

/* Fill in a layer's offsets and shapes from its input; they give the layer's counts. */
typedef struct pp_layer_size {
  int64_t parameters, statistics;
} pp_layer_size;
pp_layer_size pp_conv_setup(pp_layer *layer, pp_shape input, int channels, bool norm, bool pool);
pp_layer_size pp_linear_setup(pp_layer *layer, pp_shape input, int features, bool relu);

/* One piece of memory cut into aligned tensors. With base NULL it only counts. */
typedef struct pp_cutter {
  float *base;
  int64_t used; /* floats */
} pp_cutter;
static inline int64_t pp_cut_round(int64_t count) { return (count + 15) / 16 * 16; }
static inline float *pp_cut(pp_cutter *cutter, int64_t count) {
  float *piece = cutter->base == NULL ? NULL : cutter->base + cutter->used;
  cutter->used += pp_cut_round(count);
  return piece;
}

#endif
