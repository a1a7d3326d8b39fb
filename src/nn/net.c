/* A net: some blocks of a model with the memory they compute in, one piece cut into tensors when it is created. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nn/model.h"
#include "nn/net.h"

/* Of one micro-batch in flight, or of the one in evaluation. */
typedef struct net_slot {
  int samples; /* of the micro-batch between its forward and its backward; 0: none */
  const float *x;
  float *image;    /* the network's input turned to (N, H, W, C); NULL where the first block is not the network's */
  float **outputs; /* (layer count): of all layers but the last, whose output is the caller's */
  float **kept;    /* (layer count) */
} net_slot;

struct pp_net {
  const pp_model *model;
  int first_layer, layer_count;
  int64_t first_param, first_stat; /* of the net's blocks in the model's buffers */
  int64_t pass_elements;           /* per sample, of what a net without blocks copies */
  int max_samples, slot_count;
  bool training, reference;
  const pp_kernels *kernels;
  net_slot *slots;     /* (slot_count) */
  float **pointers;    /* (slot_count, 2, layer count): the slots' */
  float *gradients[2]; /* between layers, in turns */
  float *scratch;
  float *arena;
};

static const pp_layer *layer_of(const pp_net *net, int layer) { return &net->model->layers[net->first_layer + layer]; }

static const pp_layer_ops *ops_of(const pp_net *net, int layer) {
  const pp_layer_type *type = layer_of(net, layer)->type;
  return net->reference ? type->reference : type->fast;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Cuts the arena; the slots' pointers are set only where they exist. */
static void cut_arena(pp_net *net, pp_cutter *cutter) {
  int64_t samples = net->max_samples, widest = 0, scratch = 0;
  bool turns = net->first_layer == 0 && net->layer_count > 0;
  pp_layer_request request = {.max_samples = net->max_samples, .training = net->training, .kernels = net->kernels};
  for (int layer = 0; layer < net->layer_count; layer++) {
    pp_layer_plan plan;
    ops_of(net, layer)->plan(layer_of(net, layer), &request, &plan);
    scratch = larger(scratch, plan.scratch);
    if (layer > 0 || turns)
      widest = larger(widest, samples * pp_shape_elements(layer_of(net, layer)->input));
  }
  net->scratch = pp_cut(cutter, scratch);
  for (int i = 0; i < 2; i++) /* between layers: gradients in training, outputs in evaluation */
    net->gradients[i] = pp_cut(cutter, widest);
  for (int slot = 0; slot < net->slot_count && net->training; slot++) {
    float *image = pp_cut(cutter, turns ? samples * pp_shape_elements(net->model->input) : 0);
    if (net->slots != NULL)
      net->slots[slot].image = image;
    for (int layer = 0; layer < net->layer_count; layer++) {
      pp_layer_plan plan;
      ops_of(net, layer)->plan(layer_of(net, layer), &request, &plan);
      float *kept = pp_cut(cutter, plan.kept), *output = NULL;
      if (layer < net->layer_count - 1)
        output = pp_cut(cutter, samples * pp_shape_elements(layer_of(net, layer)->output));
      if (net->slots != NULL) {
        net->slots[slot].kept[layer] = kept;
        net->slots[slot].outputs[layer] = output;
      }
    }
  }
}

static pp_net describe(const pp_model *model, int first, int end, int max_samples, int in_flight, pp_net_use use,
                       const pp_kernels *kernels) {
  PP_ASSERT(first >= 0 && first <= end && end <= model->block_count);
  PP_ASSERT(max_samples >= 1 && in_flight >= 1);
  pp_net net = {
      .model = model,
      .first_param = pp_model_parameter_offset(model, first),
      .first_stat = pp_model_statistic_offset(model, first),
      .pass_elements = pp_shape_elements(first == 0 ? model->input : model->blocks[first - 1].info.output),
      .max_samples = max_samples,
      .slot_count = use == PP_NET_EVALUATE ? 1 : in_flight,
      .training = use != PP_NET_EVALUATE,
      .reference = use == PP_NET_REFERENCE,
      .kernels = kernels,
  };
  if (first < end) {
    net.first_layer = model->blocks[first].first_layer;
    net.layer_count = model->blocks[end - 1].end_layer - net.first_layer;
  }
  return net;
}

static size_t pointer_count(const pp_net *net) { return (size_t)net->slot_count * 2 * (size_t)net->layer_count; }

size_t pp_net_memory(const pp_model *model, int first, int end, int max_samples, int in_flight, pp_net_use use) {
  pp_net net = describe(model, first, end, max_samples, in_flight, use, pp_kernels_best());
  pp_cutter cutter = {0};
  cut_arena(&net, &cutter);
  return (size_t)cutter.used * sizeof(float) + sizeof net + (size_t)net.slot_count * sizeof(net_slot) +
         pointer_count(&net) * sizeof(float *);
}

pp_status pp_net_create(const pp_model *model, int first, int end, int max_samples, int in_flight, pp_net_use use,
                        pp_net **out) {
  return pp_net_create_with(model, first, end, max_samples, in_flight, use, pp_kernels_best(), out);
}

pp_status pp_net_create_with(const pp_model *model, int first, int end, int max_samples, int in_flight, pp_net_use use,
                             const pp_kernels *kernels, pp_net **out) {
  pp_status status = NULL;
  pp_net *net = NULL;
  PP_TRY(pp_alloc(1, sizeof *net, "a net", &net));
  *net = describe(model, first, end, max_samples, in_flight, use, kernels);
  size_t slots = (size_t)net->slot_count, layers = (size_t)net->layer_count;
  pp_cutter cutter = {0};
  cut_arena(net, &cutter);
  PP_TRY_GOTO(status, pp_alloc((size_t)cutter.used, sizeof(float), "the activations of a net", &net->arena), fail);
  PP_TRY_GOTO(status, pp_alloc(slots, sizeof *net->slots, "a net", &net->slots), fail);
  PP_TRY_GOTO(status, pp_alloc(pointer_count(net), sizeof(float *), "a net", &net->pointers), fail);
  for (size_t slot = 0; slot < slots; slot++) {
    net->slots[slot].kept = net->pointers + slot * 2 * layers;
    net->slots[slot].outputs = net->slots[slot].kept + layers;
  }
  cut_arena(net, &(pp_cutter){.base = net->arena});
  *out = net;
  return NULL;
fail:
  pp_net_destroy(net);
  return status;
}

void pp_net_destroy(pp_net *net) {
  if (net == NULL)
    return;
  free(net->arena);
  free(net->slots);
  free(net->pointers);
  free(net);
}

/* (N, C, pixels) to (N, pixels, C) and back. */
static void to_channels_last(pp_shape shape, int samples, const float *x, float *y) {
  int64_t pixels = (int64_t)shape.height * shape.width, channels = shape.channels;
  for (int n = 0; n < samples; n++, x += pixels * channels, y += pixels * channels)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t p = 0; p < pixels; p++)
        y[p * channels + c] = x[c * pixels + p];
}

static void to_channels_first(pp_shape shape, int samples, const float *x, float *y) {
  int64_t pixels = (int64_t)shape.height * shape.width, channels = shape.channels;
  for (int n = 0; n < samples; n++, x += pixels * channels, y += pixels * channels)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t p = 0; p < pixels; p++)
        y[c * pixels + p] = x[p * channels + c];
}

static pp_layer_run run_of(const pp_net *net, const pp_state *state, const net_slot *slot, int layer) {
  const pp_layer *description = layer_of(net, layer);
  int64_t param = description->params - net->first_param, stat = description->stats - net->first_stat;
  return (pp_layer_run){
      .layer = description,
      .samples = slot->samples,
      .max_samples = net->max_samples,
      .training = net->training,
      .params = state->params + param,
      .stats = state->stats == NULL ? NULL : state->stats + stat,
      .grads = state->grads == NULL ? NULL : state->grads + param,
      .kept = net->training ? slot->kept[layer] : NULL,
      .scratch = net->scratch,
      .kernels = net->kernels,
  };
}

void pp_net_forward(pp_net *net, const pp_state *state, int slot, int samples, const float *x, float *y) {
  PP_ASSERT(samples >= 1 && samples <= net->max_samples);
  net_slot *at = &net->slots[net->training ? slot : 0];
  PP_ASSERT(!net->training || (slot >= 0 && slot < net->slot_count));
  at->samples = samples;
  at->x = x;
  if (net->layer_count == 0) {
    memcpy(y, x, (size_t)(samples * net->pass_elements) * sizeof *y);
    return;
  }
  int turn = 0;
  if (net->first_layer == 0) {
    float *image = net->training ? at->image : net->gradients[turn ^= 1];
    to_channels_last(net->model->input, samples, x, image);
    at->x = image;
  }
  const float *input = at->x;
  for (int layer = 0; layer < net->layer_count; layer++) {
    pp_layer_run run = run_of(net, state, at, layer);
    float *output = y;
    if (layer < net->layer_count - 1)
      output = net->training ? at->outputs[layer] : net->gradients[turn ^= 1];
    ops_of(net, layer)->forward(&run, input, output);
    input = output;
  }
}

void pp_net_backward(pp_net *net, const pp_state *state, int slot, float *dy, float *dx) {
  PP_ASSERT(net->training && slot >= 0 && slot < net->slot_count && net->slots[slot].samples > 0);
  net_slot *at = &net->slots[slot];
  if (net->layer_count == 0) {
    if (dx != NULL && dx != dy)
      memcpy(dx, dy, (size_t)(at->samples * net->pass_elements) * sizeof *dx);
    at->samples = 0;
    return;
  }
  bool turns = net->first_layer == 0;
  int turn = 0;
  float *gradient = dy;
  for (int layer = net->layer_count - 1; layer >= 0; layer--) {
    pp_layer_run run = run_of(net, state, at, layer);
    float *to = net->gradients[turn ^= 1];
    if (layer == 0 && (dx == NULL || !turns))
      to = dx;
    ops_of(net, layer)->backward(&run, layer == 0 ? at->x : at->outputs[layer - 1], gradient, to);
    gradient = to;
  }
  if (turns && dx != NULL)
    to_channels_first(net->model->input, at->samples, gradient, dx);
  at->samples = 0;
}
