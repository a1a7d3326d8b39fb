/* The seam between a network and its layers. A layer is what one pass over the data computes: a convolution with the
 * batch norm, activation and pooling that follow it is one layer, so that its fast form may fuse them. The layers of a
 * block form a graph: each reads the outputs of one or two earlier ones.
 *
 * Layout, stated once: between layers, and so at every boundary between blocks, an image is channels-last,
 * (N, H, W, C), and what a linear layer gives is (N, features). Only the network's input is (N, C, H, W). Tensors in
 * the parameter buffers have PyTorch's order; a linear layer that reads an image takes its weights' columns as
 * (C, H, W). */
#ifndef PP_NN_LAYER_H
#define PP_NN_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "nn/kernels.h"
#include "pipar/nn.h"

typedef struct pp_layer_type pp_layer_type;

/* How a tensor starts: uniform in +-spread, normal with deviation spread, or constant. */
typedef struct pp_initial {
  enum { PP_INITIAL_CONSTANT, PP_INITIAL_UNIFORM, PP_INITIAL_NORMAL } kind;
  double spread; /* or the constant */
} pp_initial;

enum { PP_FROM_BLOCK = -1 }; /* instead of a layer's number: the block's input */

/* A layer of a model. Immutable. Offsets count from the layer's first parameter or statistic. */
typedef struct pp_layer {
  const pp_layer_type *type;
  int from[2];                    /* the layers it reads, or PP_FROM_BLOCK; the second where the type takes two */
  pp_shape input, middle, output; /* middle: between convolution and pooling */
  char name[24], norm_name[24];   /* of its tensors: "conv" and "bn" */
  int kernel, stride, padding;    /* of a convolution or a pooling */
  int groups;                     /* of a convolution that is not depthwise; each reads its own share of the channels */
  bool depthwise, biased, norm;
  pp_activation act;
  bool pool;               /* 2x2, after a ReLU */
  float epsilon, momentum; /* of the batch norm */
  float rate;              /* of a dropout */
  uint32_t number;         /* in the model: the dropout's stream */
  int64_t params, stats;   /* first element in the model's buffers */
  int64_t weight, bias, gamma, beta;
  int64_t mean, variance;
  int64_t parameter_count, statistic_count;
  pp_initial initial_weight, initial_bias;
} pp_layer;

/* One layer's part in one micro-batch. */
typedef struct pp_layer_run {
  const pp_layer *layer;
  int samples, max_samples;
  bool training;       /* batch statistics; otherwise running ones, and nothing is kept */
  const float *params; /* the layer's own first elements */
  float *stats;
  float *grads;
  const float *second; /* the second input, for types that take two */
  float *dsecond;      /* its gradient, overwritten by backward; NULL: not wanted */
  float *kept;         /* of the slot, from forward to backward */
  float *scratch; /* of the net, holds nothing between calls; a layer that keeps threads apart writes it when they have
                     met */
  float *sums;    /* likewise, but written before that, too: the layer before has another */
  float *own;     /* of this thread alone, holds nothing between calls */
  const pp_kernels *kernels;
  pp_pool *pool;         /* whose threads all do this at the same time, each its part; NULL: no other threads */
  int thread;            /* which of them this is */
  pp_sample_place place; /* for random masks */
} pp_layer_run;

/* Floats a net sets aside for a layer, and for what. */
typedef struct pp_layer_plan {
  int64_t kept, scratch, sums, own;
} pp_layer_plan;
typedef struct pp_layer_request {
  int max_samples;
  bool training;
  const pp_kernels *kernels;
  int threads;
} pp_layer_request;

/* How a layer computes: the fast way and the plain one are two of these. Every thread calls forward and backward, when
 * what they read is whole, and when all have returned what they write is. A layer that keeps threads apart reads and
 * writes images of the thread's own samples alone; its backward may read all of x, which is forward's and which no
 * backward changes, when the threads have met in it. The plain way is the first thread's alone. */
typedef struct pp_layer_ops {
  void (*plan)(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *plan);
  void (*forward)(const pp_layer_run *run, const float *x, float *y);
  /* Adds to run->grads; overwrites dx and run->dsecond where they are not NULL; may overwrite dy. */
  void (*backward)(const pp_layer_run *run, const float *x, float *dy, float *dx);
} pp_layer_ops;

typedef struct pp_layer_tensor {
  const char *layer, *name; /* "conv", "weight" */
  int rank;
  int64_t shape[4];
  bool is_statistic;
  int64_t offset; /* from the layer's first parameter or statistic */
  pp_initial initial;
} pp_layer_tensor;
enum { PP_LAYER_MAX_TENSORS = 6, PP_LAYER_MAX_INFOS = 4 };

struct pp_layer_type {
  const pp_layer_ops *fast, *reference;
  int inputs;     /* 1 or 2 */
  bool by_sample; /* every sample is computed for itself, without parameters: the net calls it for some */
  bool (*keeps_apart)(const pp_layer *layer); /* NULL: where by_sample */
  /* What the cost model sees of it; returns how many. */
  int (*info)(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]);
  /* Its tensors in PyTorch's order of a state_dict; returns how many. */
  int (*tensors)(const pp_layer *layer, pp_layer_tensor out[PP_LAYER_MAX_TENSORS]);
};

extern const pp_layer_type pp_conv_type;         /* dense or depthwise; bias, batch norm, activation, 2x2 max pool */
extern const pp_layer_type pp_grouped_type;      /* a convolution of several groups */
extern const pp_layer_type pp_linear_type;       /* bias, activation */
extern const pp_layer_type pp_add_type;          /* of two inputs, then an activation (none or ReLU) */
extern const pp_layer_type pp_average_type;      /* over all pixels */
extern const pp_layer_type pp_maxpool_type;      /* kernel, stride, padding */
extern const pp_layer_type pp_average_pool_type; /* kernel, stride */
extern const pp_layer_type pp_activation_type;   /* alone, where nothing before it takes it in */
extern const pp_layer_type pp_scale_type;        /* an image by one factor per sample and channel, the second input */
extern const pp_layer_type pp_dropout_type;      /* rate */

/* A convolution's fast form, in conv_pass.c. */
extern const pp_layer_ops pp_conv_fast;
/* Whether its weights are few enough for each thread to pack them for itself. */
bool pp_conv_keeps_apart(const pp_layer *layer);

/* The plain loops, in reference*.c. */
extern const pp_layer_ops pp_conv_reference, pp_linear_reference, pp_add_reference, pp_average_reference;
extern const pp_layer_ops pp_average_pool_reference, pp_activation_reference;
extern const pp_layer_ops pp_maxpool_reference, pp_scale_reference, pp_dropout_reference;

/* An activation and its slope at a, plainly; NaN stays. */
double pp_reference_activation(pp_activation act, double a);
double pp_reference_slope(pp_activation act, double a);

/* What dropout does to element `element` of the micro-batch's sample: 0 or 1 / (1 - rate). */
float pp_dropout_factor(const pp_layer_run *run, int sample, int64_t element);

/* Lay out a layer whose input, kernel, flags and output channels (output.channels) are set: the other shapes, the
 * offsets and counts of its tensors. */
void pp_conv_setup(pp_layer *layer);
void pp_grouped_setup(pp_layer *layer);
void pp_linear_setup(pp_layer *layer);
void pp_maxpool_setup(pp_layer *layer);

static inline int64_t pp_least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t pp_most(int64_t a, int64_t b) { return a > b ? a : b; }

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

/* The samples of a micro-batch lie in up to PP_SHARES shares, cut by their number alone; a thread keeps its shares from
 * layer to layer, and so finds in its cache what it wrote. */
enum { PP_SHARES = 8 };
static inline int64_t pp_shares(int64_t samples) { return pp_least(samples, PP_SHARES); }
static inline pp_range pp_own_samples(int64_t samples, const pp_pool *pool, int thread) {
  int64_t shares = pp_shares(samples);
  pp_range own = pp_range_part(shares, 1, pp_pool_threads(pool), thread);
  return (pp_range){samples * own.first / shares, samples * own.end / shares};
}

/* The part of [0, total) that is this thread's, cut at multiples of unit. */
static inline pp_range pp_own(const pp_layer_run *run, int64_t total, int64_t unit) {
  return pp_range_part(total, unit, pp_pool_threads(run->pool), run->thread);
}
/* The same where that many elements are worth sharing; otherwise all of it is the first thread's. */
static inline pp_range pp_own_of(const pp_layer_run *run, int64_t total, int64_t unit, int64_t elements) {
  if (elements >= 16384)
    return pp_own(run, total, unit);
  return (pp_range){0, run->thread == 0 ? total : 0};
}
static inline void pp_meet(const pp_layer_run *run) { pp_pool_meet(run->pool, run->thread); }
static inline void pp_arrive(const pp_layer_run *run) { pp_pool_arrive(run->pool, run->thread); }
static inline void pp_await(const pp_layer_run *run) { pp_pool_await(run->pool, run->thread); }
/* As `pipar models` shows it. */
static inline const char *pp_activation_name(pp_activation act) {
  return act == PP_ACT_RELU           ? "relu"
         : act == PP_ACT_HARD_SWISH   ? "hardswish"
         : act == PP_ACT_HARD_SIGMOID ? "hardsigmoid"
                                      : "none";
}
static inline int64_t pp_pixels(pp_shape shape) { return (int64_t)shape.height * shape.width; }

#endif
