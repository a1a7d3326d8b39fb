/* Networks by name, as chains of blocks written the way pipar.md writes them. */
#include "nn/model.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

static const struct {
  const char *name, *chain;
} presets[] = {
    {"vgg5", "C32 max2, C64 max2, C64, D128, D"},
    {"vgg8", "C32, C32 max2, C64, C64 max2, C128, C128, D128, D"},
};
enum { PRESET_COUNT = sizeof presets / sizeof presets[0] };

int64_t pp_shape_elements(pp_shape shape) { return (int64_t)shape.channels * shape.height * shape.width; }

const char *const *pp_model_names(void) {
  static const char *const names[] = {"vgg5", "vgg8", NULL};
  return names;
}

/* One block of a chain, parsed from its words. */
typedef struct block_words {
  char kind; /* 'C' or 'D' */
  int size;  /* 0: the number of classes */
  bool norm, pool;
} block_words;

static pp_status parse_block(const char *words, block_words *out) {
  block_words block = {.kind = words[0], .norm = true};
  const char *rest = words + 1;
  if (isdigit((unsigned char)*rest)) {
    char *end = NULL;
    long size = strtol(rest, &end, 10);
    block.size = size > 0 && size <= 1000000 ? (int)size : -1;
    rest = end;
  }
  if (*rest == 'N') {
    block.norm = false;
    rest++;
  }
  if (strcmp(rest, " max2") == 0) {
    block.pool = true;
    rest += 5;
  }
  if ((block.kind != 'C' && block.kind != 'D') || *rest != '\0' || block.size < 0 ||
      (block.kind == 'C' && block.size == 0) || (block.kind == 'D' && (block.pool || !block.norm)))
    return pp_fail(PP_CODE_INPUT, "block \"%s\" is not built: C<channels>[N] [max2], D[<features>]", words);
  *out = block;
  return NULL;
}

/* Cuts the copy of the chain into the blocks' names in place; returns how many. */
static int cut_names(char *text, const char **names, int capacity) {
  int count = 0;
  for (char *at = text; at != NULL && count < capacity; count++) {
    char *comma = strchr(at, ',');
    if (comma != NULL)
      *comma++ = '\0';
    while (comma != NULL && *comma == ' ')
      comma++;
    names[count] = at;
    at = comma;
  }
  return count;
}

static pp_status add_block(pp_model *model, int number, const char *words, pp_shape input) {
  block_words parsed = {0};
  PP_TRY(parse_block(words, &parsed));
  pp_block *block = &model->blocks[number];
  pp_layer *layer = &model->layers[model->layer_count];
  block->first_layer = model->layer_count++;
  block->end_layer = model->layer_count;
  block->params = layer->params = model->parameters;
  block->stats = layer->stats = model->statistics;
  pp_layer_size size;
  if (parsed.kind == 'C') {
    if (parsed.pool && (input.height < 2 || input.width < 2))
      return pp_fail(PP_CODE_INPUT, "%s: an input of %dx%dx%d is too small: %dx%d is left where block %d pools 2x2",
                     model->name, model->input.height, model->input.width, model->input.channels, input.height,
                     input.width, number);
    size = pp_conv_setup(layer, input, parsed.size, parsed.norm, parsed.pool);
  } else {
    bool last = number == model->block_count - 1;
    size = pp_linear_setup(layer, input, parsed.size > 0 ? parsed.size : model->classes, !last);
  }
  model->parameters += size.parameters;
  model->statistics += size.statistics;
  block->info = (pp_block_info){
      .name = words,
      .input = input,
      .output = layer->output,
      .parameters = size.parameters,
      .statistics = size.statistics,
  };
  return NULL;
}

/* Xavier uniform (Glorot and Bengio, AISTATS 2010, eq. 16): the bound of a weight, 0 for all that is constant. */
static double initial_bound(const pp_tensor_info *tensor) {
  if (tensor->rank < 2)
    return 0.0;
  int64_t taps = tensor->rank == 4 ? tensor->shape[2] * tensor->shape[3] : 1;
  return sqrt(6.0 / (double)((tensor->shape[0] + tensor->shape[1]) * taps));
}

static void add_tensors(pp_model *model, int number) {
  const pp_block *block = &model->blocks[number];
  for (int l = block->first_layer; l < block->end_layer; l++) {
    const pp_layer *layer = &model->layers[l];
    pp_layer_tensor tensors[PP_LAYER_MAX_TENSORS];
    int count = layer->type->tensors(layer, tensors);
    for (int t = 0; t < count; t++) {
      pp_tensor_info *info = &model->tensors[model->tensor_count];
      snprintf(info->name, sizeof info->name, "block%d.%s", number, tensors[t].name);
      info->rank = tensors[t].rank;
      info->is_statistic = tensors[t].is_statistic;
      info->offset = tensors[t].offset + (info->is_statistic ? layer->stats : layer->params);
      info->elements = 1;
      for (int axis = 0; axis < info->rank; axis++)
        info->elements *= info->shape[axis] = tensors[t].shape[axis];
      model->bounds[model->tensor_count++] = initial_bound(info);
    }
  }
}

static void add_infos(pp_model *model, int number) {
  pp_block *block = &model->blocks[number];
  pp_layer_info *infos = &model->infos[model->info_count];
  for (int l = block->first_layer; l < block->end_layer; l++)
    model->info_count += model->layers[l].type->info(&model->layers[l], &model->infos[model->info_count]);
  block->info.layers = infos;
  block->info.layer_count = (int)(&model->infos[model->info_count] - infos);
}

pp_status pp_model_create_chain(const char *name, const char *chain, pp_shape input, int classes, pp_model **out) {
  enum { MAX_BLOCKS = 64 };
  const char *names[MAX_BLOCKS];
  pp_status status = NULL;
  pp_model *model = NULL;
  if (input.channels < 1 || input.height < 1 || input.width < 1 || input.channels > 4096 || input.height > 4096 ||
      input.width > 4096)
    return pp_fail(PP_CODE_INPUT, "%s: an input of %d channels of %dx%d is not allowed: each is 1 to 4096", name,
                   input.channels, input.height, input.width);
  if (classes < 2 || classes > 1000000)
    return pp_fail(PP_CODE_INPUT, "%s: %d classes are not allowed: 2 to 1000000", name, classes);
  PP_TRY(pp_alloc(1, sizeof *model, "a model", &model));
  snprintf(model->name, sizeof model->name, "%s", name);
  model->input = input;
  model->classes = classes;
  PP_TRY_GOTO(status, pp_alloc(strlen(chain) + 1, 1, "a model", &model->block_names), fail);
  memcpy(model->block_names, chain, strlen(chain) + 1);
  int blocks = cut_names(model->block_names, names, MAX_BLOCKS);
  size_t n = (size_t)blocks;
  PP_TRY_GOTO(status, pp_alloc(n, sizeof *model->blocks, "a model", &model->blocks), fail);
  PP_TRY_GOTO(status, pp_alloc(n, sizeof *model->layers, "a model", &model->layers), fail);
  PP_TRY_GOTO(status, pp_alloc(n * PP_LAYER_MAX_TENSORS, sizeof *model->tensors, "a model", &model->tensors), fail);
  PP_TRY_GOTO(status, pp_alloc(n * PP_LAYER_MAX_TENSORS, sizeof *model->bounds, "a model", &model->bounds), fail);
  PP_TRY_GOTO(status, pp_alloc(n * PP_LAYER_MAX_INFOS, sizeof *model->infos, "a model", &model->infos), fail);
  model->block_count = blocks;
  for (int number = 0; number < blocks; number++) {
    PP_TRY_GOTO(status, add_block(model, number, names[number], input), fail);
    add_tensors(model, number);
    add_infos(model, number);
    input = model->blocks[number].info.output;
  }
  *out = model;
  return NULL;
fail:
  pp_model_destroy(model);
  return status;
}

pp_status pp_model_create(const char *name, pp_shape input, int classes, pp_model **out) {
  for (int preset = 0; preset < PRESET_COUNT; preset++)
    if (strcmp(name, presets[preset].name) == 0)
      return pp_model_create_chain(name, presets[preset].chain, input, classes, out);
  return pp_fail(PP_CODE_INPUT, "model \"%s\" is not known or not built yet: vgg5, vgg8", name);
}

void pp_model_destroy(pp_model *model) {
  if (model == NULL)
    return;
  free(model->blocks);
  free(model->layers);
  free(model->tensors);
  free(model->bounds);
  free(model->infos);
  free(model->block_names);
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
  for (int l = model->blocks[block].first_layer; l < model->blocks[block].end_layer; l++) {
    const pp_layer *layer = &model->layers[l];
    if (layer->norm && (int64_t)layer->middle.height * layer->middle.width == 1)
      return true;
  }
  return false;
}

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

void pp_model_init(const pp_model *model, uint64_t seed, float *params, float *stats) {
  for (int t = 0; t < model->tensor_count; t++) {
    const pp_tensor_info *tensor = &model->tensors[t];
    float *values = (tensor->is_statistic ? stats : params) + tensor->offset;
    if (model->bounds[t] > 0.0) {
      pp_rng rng = pp_rng_stream(seed, PP_RNG_INIT, 0, 0, (uint32_t)t);
      for (int64_t i = 0; i < tensor->elements; i += 4) {
        uint32_t words[4];
        pp_rng_words(rng, 0, (uint64_t)i / 4, words);
        for (int64_t j = i; j < tensor->elements && j < i + 4; j++)
          values[j] = (float)(model->bounds[t] * (((double)words[j - i] + 0.5) * 0x1p-31 - 1.0));
      }
    } else {
      bool one = ends_with(tensor->name, "bn.weight") || ends_with(tensor->name, "running_var");
      for (int64_t i = 0; i < tensor->elements; i++)
        values[i] = one ? 1.0F : 0.0F;
    }
  }
}
