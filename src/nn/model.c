/* What a model says of itself, and how its weights start. */
#include "nn/model.h"

#include <stdlib.h>

#include "base/rng.h"

int64_t pp_shape_elements(pp_shape shape) { return (int64_t)shape.channels * shape.height * shape.width; }

void pp_model_destroy(pp_model *model) {
  if (model == NULL)
    return;
  free(model->blocks);
  free(model->layers);
  free(model->tensors);
  free(model->initials);
  free(model->infos);
  free(model);
}

const char *pp_model_name(const pp_model *model) { return model->name; }
pp_shape pp_model_input(const pp_model *model) { return model->input; }
int pp_model_classes(const pp_model *model) { return model->classes; }
int pp_model_block_count(const pp_model *model) { return model->block_count; }
int pp_model_tensor_count(const pp_model *model) { return model->tensor_count; }

const pp_block_info *pp_model_block(const pp_model *model, int block) {
  PP_ASSERT(block >= 0 && block < model->block_count);
  return &model->blocks[block].info;
}

const pp_tensor_info *pp_model_tensor(const pp_model *model, int tensor) {
  PP_ASSERT(tensor >= 0 && tensor < model->tensor_count);
  return &model->tensors[tensor];
}

int64_t pp_model_parameter_offset(const pp_model *model, int block) {
  PP_ASSERT(block >= 0 && block <= model->block_count);
  return block == model->block_count ? model->parameters : model->blocks[block].params;
}

int64_t pp_model_statistic_offset(const pp_model *model, int block) {
  PP_ASSERT(block >= 0 && block <= model->block_count);
  return block == model->block_count ? model->statistics : model->blocks[block].stats;
}

bool pp_model_needs_two_samples(const pp_model *model, int block) {
  PP_ASSERT(block >= 0 && block < model->block_count);
  for (int l = model->blocks[block].first_layer; l < model->blocks[block].end_layer; l++)
    if (model->layers[l].norm && pp_pixels(model->layers[l].middle) == 1)
      return true;
  return false;
}

bool pp_model_is_random(const pp_model *model) {
  for (int l = 0; l < model->layer_count; l++)
    if (model->layers[l].rate > 0.0F)
      return true;
  return false;
}

static void fill_uniform(pp_rng rng, double bound, int64_t count, float *values) {
  for (int64_t i = 0; i < count; i += 4) {
    uint32_t words[4];
    pp_rng_words(rng, 0, (uint64_t)i / 4, words);
    for (int64_t j = i; j < pp_least(count, i + 4); j++)
      values[j] = (float)(bound * (((double)words[j - i] + 0.5) * 0x1p-31 - 1.0));
  }
}

void pp_model_init(const pp_model *model, uint64_t seed, float *params, float *stats) {
  for (int t = 0; t < model->tensor_count; t++) {
    const pp_tensor_info *tensor = &model->tensors[t];
    pp_initial initial = model->initials[t];
    float *values = (tensor->is_statistic ? stats : params) + tensor->offset;
    pp_rng rng = pp_rng_stream(seed, PP_RNG_INIT, 0, 0, (uint32_t)t);
    if (initial.kind == PP_INITIAL_UNIFORM)
      fill_uniform(rng, initial.spread, tensor->elements, values);
    for (int64_t i = 0; i < tensor->elements && initial.kind != PP_INITIAL_UNIFORM; i++)
      values[i] = initial.kind == PP_INITIAL_NORMAL ? (float)(initial.spread * pp_rng_normal(rng, 0, (uint64_t)i))
                                                    : (float)initial.spread;
  }
}
