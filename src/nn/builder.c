/* Building a model block by block. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "nn/model.h"

pp_status pp_builder_begin(pp_builder *builder, const char *name, pp_shape input, int classes) {
  pp_model *model = NULL;
  pp_status status = NULL;
  if (input.channels < 1 || input.height < 1 || input.width < 1 || input.channels > 4096 || input.height > 4096 ||
      input.width > 4096)
    return pp_fail(PP_CODE_INPUT, "%s: an input of %d channels of %dx%d is not allowed: each is 1 to 4096", name,
                   input.channels, input.height, input.width);
  if (classes < 2 || classes > 1000000)
    return pp_fail(PP_CODE_INPUT, "%s: %d classes are not allowed: 2 to 1000000", name, classes);
  PP_TRY(pp_alloc(1, sizeof *model, "a model", &model));
  size_t layers = PP_MODEL_MAX_LAYERS;
  snprintf(model->name, sizeof model->name, "%s", name);
  model->input = input;
  model->classes = classes;
  PP_TRY_GOTO(status, pp_alloc(PP_MODEL_MAX_BLOCKS, sizeof *model->blocks, "a model", &model->blocks), fail);
  PP_TRY_GOTO(status, pp_alloc(layers, sizeof *model->layers, "a model", &model->layers), fail);
  PP_TRY_GOTO(status, pp_alloc(layers * PP_LAYER_MAX_TENSORS, sizeof *model->tensors, "a model", &model->tensors),
              fail);
  PP_TRY_GOTO(status, pp_alloc(layers * PP_LAYER_MAX_TENSORS, sizeof *model->initials, "a model", &model->initials),
              fail);
  PP_TRY_GOTO(status, pp_alloc(layers * PP_LAYER_MAX_INFOS, sizeof *model->infos, "a model", &model->infos), fail);
  *builder = (pp_builder){.model = model, .epsilon = 1e-5F, .momentum = 0.1F};
  return NULL;
fail:
  pp_model_destroy(model);
  return status;
}

/* Shape of what a block hands on so far. */
static pp_shape last_output(const pp_model *model, int block) {
  if (block < 0)
    return model->input;
  const pp_block *at = &model->blocks[block];
  return at->first_layer == at->end_layer ? at->info.input : model->layers[at->end_layer - 1].output;
}

void pp_builder_block(pp_builder *builder, const char *format, ...) {
  pp_model *model = builder->model;
  if (builder->status != NULL)
    return;
  if (model->block_count == PP_MODEL_MAX_BLOCKS) {
    builder->status = pp_fail(PP_CODE_INPUT, "%s: more than %d blocks", model->name, PP_MODEL_MAX_BLOCKS);
    return;
  }
  pp_block *block = &model->blocks[model->block_count];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(block->name, sizeof block->name, format, arguments);
  va_end(arguments);
  block->info.input = last_output(model, model->block_count - 1);
  block->first_layer = block->end_layer = model->layer_count;
  model->block_count++;
}

static pp_shape shape_of(const pp_model *model, int from) {
  return from == PP_FROM_BLOCK ? model->blocks[model->block_count - 1].info.input : model->layers[from].output;
}

pp_shape pp_builder_shape(const pp_builder *builder, int from) { return shape_of(builder->model, from); }

/* A new layer with its input; NULL after an error. */
static pp_layer *new_layer(pp_builder *builder, int from, int second) {
  pp_model *model = builder->model;
  if (builder->status != NULL)
    return NULL;
  pp_block *block = &model->blocks[model->block_count - 1];
  if (model->layer_count == PP_MODEL_MAX_LAYERS || block->end_layer - block->first_layer == PP_BLOCK_MAX_LAYERS) {
    builder->status = pp_fail(PP_CODE_INPUT, "%s: too many layers in block %d", model->name, model->block_count - 1);
    return NULL;
  }
  pp_layer *layer = &model->layers[model->layer_count];
  *layer = (pp_layer){.from = {from, second},
                      .number = (uint32_t)model->layer_count,
                      .epsilon = builder->epsilon,
                      .momentum = builder->momentum};
  layer->input = layer->middle = layer->output = shape_of(model, from);
  return layer;
}

/* Takes the layer in: its place in the model's buffers. */
static int take(pp_builder *builder, pp_layer *layer) {
  pp_model *model = builder->model;
  pp_block *block = &model->blocks[model->block_count - 1];
  pp_shape widest = layer->input;
  widest.channels = (int)pp_most(layer->input.channels, layer->middle.channels);
  widest.height += 16;
  widest.width += 16; /* borders */
  if (layer->middle.height < 1 || layer->middle.width < 1 || layer->output.height < 1 || layer->output.width < 1) {
    builder->status = pp_fail(PP_CODE_INPUT, "%s: an input of %dx%dx%d is too small: %dx%d is left at block %d (%s)",
                              model->name, model->input.channels, model->input.height, model->input.width,
                              layer->input.height, layer->input.width, model->block_count - 1, block->name);
    return 0;
  }
  if (pp_shape_elements(widest) > INT32_MAX) {
    builder->status = pp_fail(PP_CODE_INPUT, "%s: an input of %dx%dx%d is too large: block %d (%s) has %lld values",
                              model->name, model->input.channels, model->input.height, model->input.width,
                              model->block_count - 1, block->name, (long long)pp_shape_elements(widest));
    return 0;
  }
  layer->params = model->parameters;
  layer->stats = model->statistics;
  model->parameters += layer->parameter_count;
  model->statistics += layer->statistic_count;
  block->end_layer = ++model->layer_count;
  return model->layer_count - 1;
}

static pp_initial uniform(double bound) { return (pp_initial){PP_INITIAL_UNIFORM, bound}; }
static pp_initial normal(double deviation) { return (pp_initial){PP_INITIAL_NORMAL, deviation}; }

/* Glorot and Bengio, AISTATS 2010, eq. 16; He et al., ICCV 2015, eq. 14 with the fan out. */
static void start_conv(const pp_builder *builder, pp_layer *layer) {
  double taps = (double)layer->kernel * layer->kernel, out = (double)layer->middle.channels;
  double in = layer->depthwise ? 1.0 : (double)(layer->input.channels / layer->groups);
  if (builder->scheme == PP_SCHEME_XAVIER)
    layer->initial_weight = uniform(sqrt(6.0 / ((in + out) * taps)));
  else
    layer->initial_weight = normal(sqrt(2.0 / (out * taps)));
}

static void start_linear(const pp_builder *builder, pp_layer *layer) {
  double in = (double)pp_shape_elements(layer->input), out = (double)layer->output.channels;
  if (builder->scheme == PP_SCHEME_XAVIER)
    layer->initial_weight = uniform(sqrt(6.0 / (in + out)));
  else if (builder->scheme == PP_SCHEME_RESNET)
    layer->initial_weight = layer->initial_bias = uniform(1.0 / sqrt(in));
  else
    layer->initial_weight = normal(layer->kernel == 1 ? sqrt(2.0 / out) : 0.01);
}

int pp_builder_conv(pp_builder *builder, int from, const pp_conv_spec *spec) {
  pp_layer *layer = new_layer(builder, from, PP_FROM_BLOCK);
  if (layer == NULL)
    return 0;
  layer->output.channels = spec->channels;
  layer->kernel = spec->kernel;
  layer->stride = spec->stride;
  layer->padding = spec->padding;
  layer->depthwise = spec->depthwise;
  layer->groups = spec->groups > 1 ? spec->groups : 1;
  layer->biased = spec->biased;
  layer->norm = !spec->plain;
  layer->act = spec->act;
  layer->pool = spec->pool;
  snprintf(layer->name, sizeof layer->name, "%s", spec->name);
  snprintf(layer->norm_name, sizeof layer->norm_name, "%s", spec->norm_name);
  PP_ASSERT(spec->kernel * spec->kernel <= PP_MAX_RUNS && (!spec->pool || spec->act == PP_ACT_RELU));
  PP_ASSERT(layer->input.channels % layer->groups == 0 && spec->channels % layer->groups == 0);
  PP_ASSERT(!spec->depthwise || spec->channels == layer->input.channels);
  if (layer->input.height + 2 * spec->padding < spec->kernel || layer->input.width + 2 * spec->padding < spec->kernel)
    layer->middle.height = 0; /* refused by take */
  else if (layer->groups > 1)
    pp_grouped_setup(layer);
  else
    pp_conv_setup(layer);
  start_conv(builder, layer);
  return take(builder, layer);
}

static int add_linear(pp_builder *builder, int from, int features, pp_activation act, const char *name, bool squeeze) {
  pp_layer *layer = new_layer(builder, from, PP_FROM_BLOCK);
  if (layer == NULL)
    return 0;
  layer->output.channels = features;
  layer->act = act;
  layer->kernel = squeeze; /* as a 1x1 convolution */
  snprintf(layer->name, sizeof layer->name, "%s", name);
  pp_linear_setup(layer);
  start_linear(builder, layer);
  return take(builder, layer);
}

int pp_builder_linear(pp_builder *builder, int from, int features, pp_activation act, const char *name) {
  return add_linear(builder, from, features, act, name, false);
}

int pp_builder_squeeze(pp_builder *builder, int from, int features, pp_activation act, const char *name) {
  return add_linear(builder, from, features, act, name, true);
}

static int add_simple(pp_builder *builder, const pp_layer_type *type, int from, int second, pp_activation act) {
  pp_layer *layer = new_layer(builder, from, second);
  if (layer == NULL)
    return 0;
  layer->type = type;
  layer->act = act;
  if (type == &pp_average_type)
    layer->output = layer->middle = (pp_shape){layer->input.channels, 1, 1};
  return take(builder, layer);
}

int pp_builder_add(pp_builder *builder, int first, int second, pp_activation act) {
  return add_simple(builder, &pp_add_type, first, second, act);
}

int pp_builder_average(pp_builder *builder, int from) {
  return add_simple(builder, &pp_average_type, from, PP_FROM_BLOCK, PP_ACT_NONE);
}

int pp_builder_scale(pp_builder *builder, int from, int factors) {
  return add_simple(builder, &pp_scale_type, from, factors, PP_ACT_NONE);
}

int pp_builder_maxpool(pp_builder *builder, int from, int kernel, int stride, int padding) {
  pp_layer *layer = new_layer(builder, from, PP_FROM_BLOCK);
  if (layer == NULL)
    return 0;
  layer->kernel = kernel;
  layer->stride = stride;
  layer->padding = padding;
  pp_maxpool_setup(layer);
  return take(builder, layer);
}

int pp_builder_average_pool(pp_builder *builder, int from, int kernel, int stride) {
  int number = pp_builder_maxpool(builder, from, kernel, stride, 0);
  if (builder->status == NULL)
    builder->model->layers[number].type = &pp_average_pool_type;
  return number;
}

int pp_builder_activation(pp_builder *builder, int from, pp_activation act) {
  return add_simple(builder, &pp_activation_type, from, PP_FROM_BLOCK, act);
}

int pp_builder_dropout(pp_builder *builder, int from, double rate) {
  int number = add_simple(builder, &pp_dropout_type, from, PP_FROM_BLOCK, PP_ACT_NONE);
  if (builder->status == NULL)
    builder->model->layers[number].rate = (float)rate;
  return number;
}

static void add_tensors(pp_model *model, int number, const pp_layer *layer) {
  pp_layer_tensor tensors[PP_LAYER_MAX_TENSORS];
  int count = layer->type->tensors(layer, tensors);
  for (int t = 0; t < count; t++) {
    pp_tensor_info *info = &model->tensors[model->tensor_count];
    snprintf(info->name, sizeof info->name, "block%d.%s.%s", number, tensors[t].layer, tensors[t].name);
    info->rank = tensors[t].rank;
    info->is_statistic = tensors[t].is_statistic;
    info->offset = tensors[t].offset + (info->is_statistic ? layer->stats : layer->params);
    info->elements = 1;
    for (int axis = 0; axis < info->rank; axis++)
      info->elements *= info->shape[axis] = tensors[t].shape[axis];
    model->initials[model->tensor_count++] = tensors[t].initial;
  }
}

static void finish_block(pp_model *model, int number) {
  pp_block *block = &model->blocks[number];
  pp_layer_info *infos = &model->infos[model->info_count];
  block->params = model->layers[block->first_layer].params;
  block->stats = model->layers[block->first_layer].stats;
  for (int l = block->first_layer; l < block->end_layer; l++) {
    const pp_layer *layer = &model->layers[l];
    block->info.parameters += layer->parameter_count;
    block->info.statistics += layer->statistic_count;
    model->info_count += layer->type->info(layer, &model->infos[model->info_count]);
    add_tensors(model, number, layer);
  }
  block->info.name = block->name;
  block->info.output = last_output(model, number);
  block->info.layers = infos;
  block->info.layer_count = (int)(&model->infos[model->info_count] - infos);
}

pp_status pp_builder_end(pp_builder *builder, pp_model **out) {
  pp_model *model = builder->model;
  if (builder->status != NULL) {
    pp_model_destroy(model);
    return builder->status;
  }
  for (int number = 0; number < model->block_count; number++)
    finish_block(model, number);
  *out = model;
  return NULL;
}
