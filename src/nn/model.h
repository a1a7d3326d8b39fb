/* A model from the inside, and how one is built: blocks in order, each a graph of layers. */
#ifndef PP_NN_MODEL_H
#define PP_NN_MODEL_H

#include "nn/layer.h"

enum { PP_MODEL_MAX_BLOCKS = 64, PP_MODEL_MAX_LAYERS = 512, PP_BLOCK_MAX_LAYERS = 32 };

typedef struct pp_block {
  pp_block_info info;
  char name[48];
  int first_layer, end_layer;
  int64_t params, stats; /* first element in the model's buffers */
} pp_block;

struct pp_model {
  char name[64];
  pp_shape input;
  int classes;
  int block_count, layer_count, tensor_count, info_count;
  pp_block *blocks;        /* (block_count) */
  pp_layer *layers;        /* (layer_count) */
  pp_tensor_info *tensors; /* (tensor_count) */
  pp_initial *initials;    /* (tensor_count) */
  pp_layer_info *infos;    /* (info_count), cut into the blocks' */
  int64_t parameters, statistics;
};

/* How weights start (pipar.md "Initial weights"). */
typedef enum pp_scheme { PP_SCHEME_XAVIER, PP_SCHEME_RESNET, PP_SCHEME_MOBILENET } pp_scheme;

/* Adds blocks and layers to a model. The first error sticks: later calls do nothing, and the builder's end reports it.
 * Layers are numbers, `from` a layer of the same block or PP_FROM_BLOCK. */
typedef struct pp_builder {
  pp_model *model;
  pp_scheme scheme;
  float epsilon, momentum; /* of batch norms */
  pp_status status;
} pp_builder;

typedef struct pp_conv_spec {
  int channels, kernel, stride, padding;
  int groups;                          /* 0: 1 */
  bool depthwise, biased, plain, pool; /* plain: without batch norm */
  pp_activation act;
  const char *name, *norm_name;
} pp_conv_spec;

PP_MUST_CHECK pp_status pp_builder_begin(pp_builder *builder, const char *name, pp_shape input, int classes);
/* On success *out is the model, the caller's to destroy. */
PP_MUST_CHECK pp_status pp_builder_end(pp_builder *builder, pp_model **out);
void pp_builder_block(pp_builder *builder, const char *format, ...) PP_PRINTF(2, 3);
/* What a layer of the block at hand gives, or the block takes. */
pp_shape pp_builder_shape(const pp_builder *builder, int from);
int pp_builder_conv(pp_builder *builder, int from, const pp_conv_spec *spec);
int pp_builder_linear(pp_builder *builder, int from, int features, pp_activation act, const char *name);
int pp_builder_squeeze(pp_builder *builder, int from, int features, pp_activation act, const char *name);
int pp_builder_add(pp_builder *builder, int first, int second, pp_activation act);
int pp_builder_average(pp_builder *builder, int from);
int pp_builder_maxpool(pp_builder *builder, int from, int kernel, int stride, int padding);
int pp_builder_average_pool(pp_builder *builder, int from, int kernel, int stride);
int pp_builder_activation(pp_builder *builder, int from, pp_activation act);
int pp_builder_scale(pp_builder *builder, int from, int factors);
int pp_builder_dropout(pp_builder *builder, int from, double rate);

/* MobileNetV3's block: a pointwise convolution to `expanded` channels where that changes their number, a depthwise one,
 * squeeze and excite, a pointwise one, and the input added where it has the same shape. */
typedef struct pp_inverted {
  int kernel, expanded, channels;
  bool squeeze, swish;
  int stride;
} pp_inverted;
/* Its tensors are named block.N, counted on from *part. */
int pp_builder_inverted(pp_builder *builder, int from, const pp_inverted *shape, int *part);
/* An image times factors of its channels: average, `channels` features (0: a quarter, in eights), ReLU, as many as the
 * image has channels, hard sigmoid. The names are the two linear layers'. */
int pp_builder_squeeze_excite(pp_builder *builder, int from, int channels, const char *first, const char *second);

/* A chain written as pipar.md writes it: "C32 max2, C64, D128 drop, D" (the last D takes the classes); "N" after the
 * number of a convolution leaves out its batch norm. */
PP_MUST_CHECK pp_status pp_model_create_chain(const char *name, const char *chain, pp_shape input, int classes,
                                              pp_model **out);

#endif
