/* A model from the inside. */
#ifndef PP_NN_MODEL_H
#define PP_NN_MODEL_H

#include "nn/layer.h"

typedef struct pp_block {
  pp_block_info info;
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
  double *bounds;          /* (tensor_count): uniform in +-bound; 0: a constant */
  pp_layer_info *infos;    /* (info_count), cut into the blocks' */
  char *block_names;
  int64_t parameters, statistics;
};

/* A chain written as pipar.md writes it: "C32 max2, C64, D128, D" (the last D takes the classes); "N" after the number
 * of a convolution leaves out its batch norm. For tests; networks go by name. */
PP_MUST_CHECK pp_status pp_model_create_chain(const char *name, const char *chain, pp_shape input, int classes,
                                              pp_model **out);

#endif
