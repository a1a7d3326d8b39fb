/* Networks: chains of blocks, the units at which they can be split between device and server. */
#ifndef PIPAR_NN_H
#define PIPAR_NN_H

#include <stddef.h>
#include <stdint.h>

#include "pipar/status.h"

typedef struct pp_shape {
  int channels, height, width;
} pp_shape;
int64_t pp_shape_elements(pp_shape shape);

/* Kinds of layer with a rate of their own in the roofline cost model. */
typedef enum pp_layer_kind {
  PP_LAYER_DENSE_CONV,
  PP_LAYER_POINTWISE,
  PP_LAYER_DEPTHWISE,
  PP_LAYER_LINEAR,
  PP_LAYER_ELEMENTWISE, /* batch norm, ReLU, pooling: bound by memory bandwidth */
} pp_layer_kind;

/* What the cost model needs of one layer. */
typedef struct pp_layer_info {
  pp_layer_kind kind;
  const char *name;        /* "conv", "bn", "relu", "pool", "linear" */
  int64_t macs;            /* multiply-accumulates of a forward pass, per sample */
  int64_t inputs, outputs; /* elements per sample */
  int64_t parameters;
} pp_layer_info;

typedef struct pp_block_info {
  const char *name; /* "C32 max2" as in the description of the network */
  pp_shape input, output;
  int64_t parameters; /* trainable */
  int64_t statistics; /* running means and variances */
  int layer_count;
  const pp_layer_info *layers; /* (layer_count) */
} pp_block_info;

/* A tensor of a network, as results files and PyTorch's state_dict name and shape it. */
typedef struct pp_tensor_info {
  char name[64]; /* "block0.conv.weight" */
  int rank;
  int64_t shape[4];
  bool is_statistic; /* in the statistics buffer, otherwise in the parameters buffer */
  int64_t offset;    /* elements into that buffer */
  int64_t elements;
} pp_tensor_info;

/* A network's architecture. Immutable. */
typedef struct pp_model pp_model;

/* `name` as in an experiment file. Errors (PP_CODE_INPUT): unknown or not built yet, an input it cannot take, fewer
 * than 2 classes. The caller destroys it. */
PP_MUST_CHECK pp_status pp_model_create(const char *name, pp_shape input, int classes, pp_model **out);
struct pp_architecture;
/* The network of a file (config/architecture.h). Errors (PP_CODE_INPUT) name the place in the file: shapes that do not
 * fit. */
PP_MUST_CHECK pp_status pp_model_create_own(const struct pp_architecture *architecture, pp_shape input, int classes,
                                            pp_model **out);
void pp_model_destroy(pp_model *model);
const char *pp_model_name(const pp_model *model);
pp_shape pp_model_input(const pp_model *model);
int pp_model_classes(const pp_model *model);
int pp_model_block_count(const pp_model *model);
const pp_block_info *pp_model_block(const pp_model *model, int block);
/* Whether the block has a batch norm that sees one value per channel of each sample, so that a micro-batch of 1 has no
 * variance: the experiment must refuse it. */
bool pp_model_needs_two_samples(const pp_model *model, int block);
/* Whether training draws random numbers (dropout): then pp_net_place matters. */
bool pp_model_is_random(const pp_model *model);
/* Names of all networks that can be built, NULL-terminated. */
const char *const *pp_model_names(void);

/* Parameters and statistics of a whole network are one flat float buffer each, in order of the blocks, so that a device
 * holds a prefix. Offset of a block's first element; block = block count gives the total. */
int64_t pp_model_parameter_offset(const pp_model *model, int block);
int64_t pp_model_statistic_offset(const pp_model *model, int block);
int pp_model_tensor_count(const pp_model *model);
const pp_tensor_info *pp_model_tensor(const pp_model *model, int tensor);

/* Fills the initial weights (pipar.md "Initial weights"), random numbers keyed by seed and tensor; statistics: mean 0,
 * variance 1. params: (parameter_offset(blocks)), stats: (statistic_offset(blocks)). */
void pp_model_init(const pp_model *model, uint64_t seed, float *params, float *stats);

/* The state a net works on: pointers to the first element of *its* blocks in flat buffers laid out as above. */
typedef struct pp_state {
  float *params;
  float *stats;
  float *grads;    /* accumulated by backward; may be NULL where backward is never called */
  float *momentum; /* used by pp_sgd_step and pp_net_step alone */
} pp_state;

/* Blocks [first, end) of a model, ready to compute: workspace for `in_flight` micro-batches of at most `max_samples`
 * between their forward and their backward. All memory is allocated here, none later. Holds no weights. One thread
 * uses it at a time. first = end is allowed: forward and backward copy. */
typedef struct pp_net pp_net;

typedef enum pp_net_use {
  PP_NET_TRAIN,     /* forward and backward */
  PP_NET_EVALUATE,  /* forward with running statistics only: in_flight is ignored */
  PP_NET_REFERENCE, /* as PP_NET_TRAIN with the plain loops: the oracle of the fast layers */
} pp_net_use;

/* Where a micro-batch stands in the experiment: what random masks (dropout) are keyed by, so that they do not depend on
 * how a mini-batch is cut. */
typedef struct pp_sample_place {
  uint64_t seed;
  uint32_t device, iteration;
  int first_sample; /* of the micro-batch, within its mini-batch */
} pp_sample_place;
/* Sets the place of the next forward. Training must call it before each where pp_model_is_random. */
void pp_net_place(pp_net *net, pp_sample_place place);

PP_MUST_CHECK pp_status pp_net_create(const pp_model *model, int first, int end, int max_samples, int in_flight,
                                      pp_net_use use, pp_net **out);
void pp_net_destroy(pp_net *net);
/* What pp_net_create with these arguments, shared by `threads` threads, allocates, in bytes (an estimate within a few
 * KiB). */
size_t pp_net_memory(const pp_model *model, int first, int end, int max_samples, int in_flight, pp_net_use use,
                     int threads);
/* From now on the pool's threads share the net's work; NULL: the caller's alone, as after pp_net_create. The results
 * are the same bits. Allocates scratch memory for as many threads; the pool must outlive the net's use, and nets of one
 * pool are not used at the same time. */
typedef struct pp_pool pp_pool;
PP_MUST_CHECK pp_status pp_net_share(pp_net *net, pp_pool *pool);

/* Forward of `samples` samples as micro-batch slot `slot` (0 <= slot < in_flight; kept until its backward).
 * x: (samples, elements of the first block's input); images are (N, C, H, W) float. y: (samples, elements of the last
 * block's output), written straight into the caller's buffer. The layout of a boundary between blocks is nn's own, the
 * same for both neighbours. Training: batch statistics, and running statistics are updated. x must stay valid and
 * unchanged until the slot's backward. */
void pp_net_forward(pp_net *net, const pp_state *state, int slot, int samples, const float *x, float *y);
/* Backward of the slot's micro-batch: adds to state->grads; dx may be NULL (not wanted: first block of a network).
 * dy: as y, dx: as x. dy may be overwritten. */
void pp_net_backward(pp_net *net, const pp_state *state, int slot, float *dy, float *dx);

/* Softmax cross-entropy. logits: (samples, classes); labels: (samples), 0 <= label < classes. Returns the sum over the
 * samples of the loss (double), counts correct argmax predictions in *correct (may be NULL), and where dlogits is not
 * NULL writes (softmax - onehot) * scale into it (scale = 1 / mini-batch for the mini-batch's mean);
 * dlogits may be logits. */
double pp_softmax_cross_entropy(int samples, int classes, const float *logits, const int32_t *labels, float scale,
                                float *dlogits, int64_t *correct);

/* SGD as PyTorch: g += weight_decay * w; m = momentum * m + g; w -= learning_rate * m; and g is set to 0 for the next
 * mini-batch. count: elements of params. */
void pp_sgd_step(const pp_state *state, int64_t count, float learning_rate, float momentum, float weight_decay);
/* The same for the net's blocks, by the threads that share it: state as for its backward, grads and momentum not NULL.
 * A net without blocks has nothing to step. */
void pp_net_step(const pp_net *net, const pp_state *state, float learning_rate, float momentum, float weight_decay);

/* FedAvg, one model at a time in a fixed order: accumulator += weight * x, in double, so that any number of models
 * averages alike; then finish writes float(accumulator). Arrays of `count` elements. */
void pp_average_add(double *accumulator, const float *x, double weight, int64_t count);
void pp_average_finish(float *out, const double *accumulator, int64_t count);

/* Threads that OpenBLAS uses by itself from now on (process-wide: it has one setting). 1 is right: a net's threads
 * each call it for a part. */
void pp_nn_set_threads(int threads);
/* Local, one thread at a time. Where the system limits the process's addresses (ulimit -v) OpenBLAS, finding none, asks
 * for its memory forever: makes sure that there is enough for `threads` callers at a time and `other_bytes` besides.
 * Errors (PP_CODE_RUN): there is not. */
PP_MUST_CHECK pp_status pp_nn_reserve(int threads, int64_t other_bytes);
/* The OpenBLAS build and core type: "OpenBLAS 0.3.21 ... SkylakeX". */
const char *pp_nn_library(void);
/* The kernels that this processor runs: "avx512", "avx2" or "plain". */
const char *pp_nn_kernels(void);

#endif
