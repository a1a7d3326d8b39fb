/* A net: some blocks of a model with the memory they compute in, one piece cut into tensors when it is created. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nn/model.h"
#include "nn/net.h"

enum { APART = 64 /* floats between what is two threads' own: more than a line of the cache */ };

/* Of one micro-batch in flight, or of the one in evaluation. */
typedef struct net_slot {
  int samples; /* of the micro-batch between its forward and its backward; 0: none */
  pp_sample_place place;
  const float *x;  /* of the first block, (N, H, W, C) */
  float *image;    /* the network's input turned to (N, H, W, C); NULL where the first block is not the network's */
  float **outputs; /* (layer count): of all layers but the last, whose output is the caller's */
  float **kept;    /* (layer count) */
} net_slot;

struct pp_net {
  const pp_model *model;
  int first, end; /* blocks */
  int first_layer, layer_count;
  int64_t first_param, first_stat; /* of the net's blocks in the model's buffers */
  int64_t pass_elements;           /* per sample, of what a net without blocks copies */
  int max_samples, slot_count;
  bool training, reference;
  const pp_kernels *kernels;
  pp_sample_place place;
  bool placed;
  net_slot *slots;    /* (slot_count) */
  float **pointers;   /* (2 x slot_count + 1, layer count): the slots', and inner */
  float **inner;      /* (layer count): inside the block at hand, gradients in training, outputs in evaluation */
  float *boundary[2]; /* (boundary_elements): the same between blocks, in turns */
  int64_t boundary_elements;
  float *sum; /* a gradient to be added to another */
  float *arena;
  pp_pool *pool; /* not owned; NULL: one thread */
  /* Of a size that follows from its threads: two places for sums, what they share else, then `own_elements` of each. */
  float *scratch;
  int64_t sum_elements, shared_elements, own_elements;
};

static const pp_layer *layer_of(const pp_net *net, int layer) { return &net->model->layers[net->first_layer + layer]; }

static const pp_layer_ops *ops_of(const pp_net *net, int layer) {
  const pp_layer_type *type = layer_of(net, layer)->type;
  return net->reference ? type->reference : type->fast;
}

/* Layers count from the net's first; a block's end likewise. */
static int first_of(const pp_net *net, int block) { return net->model->blocks[block].first_layer - net->first_layer; }
static int end_of(const pp_net *net, int block) { return net->model->blocks[block].end_layer - net->first_layer; }

/* Elements of a layer's output for all samples. */
static int64_t output_of(const pp_net *net, int layer) {
  return net->max_samples * pp_shape_elements(layer_of(net, layer)->output);
}

/* A tensor in the middle of a place, at a whole line. */
static float *centred(float *place, int64_t size, int64_t elements) {
  return place == NULL ? NULL : place + (size - elements) / 2 / PP_LINE * PP_LINE;
}

/* Which of the places is for a layer of a block. */
static int place_of(const pp_net *net, int block, int layer) {
  int larger = 0;
  for (int other = first_of(net, block); other < end_of(net, block) - 1; other++)
    larger += output_of(net, other) > output_of(net, layer) ||
              (output_of(net, other) == output_of(net, layer) && other < layer);
  return larger;
}

/* What lies inside a block is needed only while that is at hand: the largest tensor of every block lies in the middle
 * of one place, the next largest of the next, so that a thread's half of one lies where it had its half of another. */
static void cut_inner(const pp_net *net, pp_cutter *cutter) {
  int64_t sizes[PP_BLOCK_MAX_LAYERS] = {0};
  float *places[PP_BLOCK_MAX_LAYERS];
  for (int block = net->first; block < net->end; block++)
    for (int layer = first_of(net, block); layer < end_of(net, block) - 1; layer++) {
      int64_t *size = &sizes[place_of(net, block, layer)];
      *size = pp_most(*size, output_of(net, layer));
    }
  for (int place = 0; place < PP_BLOCK_MAX_LAYERS; place++)
    places[place] = pp_cut(cutter, sizes[place]);
  for (int block = net->first; block < net->end && net->inner != NULL; block++)
    for (int layer = first_of(net, block); layer < end_of(net, block) - 1; layer++) {
      int place = place_of(net, block, layer);
      net->inner[layer] = centred(places[place], sizes[place], output_of(net, layer));
    }
}

/* Of the largest tensor that several layers read: their gradients of it are added up. */
static int64_t sum_elements(const pp_net *net) {
  int64_t largest = 0;
  for (int block = net->first; block < net->end; block++) {
    int readers[PP_BLOCK_MAX_LAYERS + 1] = {0};
    for (int layer = first_of(net, block); layer < end_of(net, block); layer++)
      for (int input = 0; input < layer_of(net, layer)->type->inputs; input++) {
        int from = layer_of(net, layer)->from[input];
        int at = from == PP_FROM_BLOCK ? 0 : from - net->model->blocks[block].first_layer + 1;
        if (++readers[at] < 2)
          continue;
        pp_shape shape = from == PP_FROM_BLOCK ? net->model->blocks[block].info.input : net->model->layers[from].output;
        largest = pp_most(largest, net->max_samples * pp_shape_elements(shape));
      }
  }
  return largest;
}

static pp_layer_plan plan_of(const pp_net *net, int layer, int threads) {
  pp_layer_request request = {
      .max_samples = net->max_samples, .training = net->training, .kernels = net->kernels, .threads = threads};
  pp_layer_plan plan;
  ops_of(net, layer)->plan(layer_of(net, layer), &request, &plan);
  return plan;
}

/* What the most demanding layers want. */
static pp_layer_plan scratch_plan(const pp_net *net, int threads) {
  pp_layer_plan most = {0};
  for (int layer = 0; layer < net->layer_count; layer++) {
    pp_layer_plan plan = plan_of(net, layer, threads);
    most.scratch = pp_most(most.scratch, plan.scratch);
    most.sums = pp_most(most.sums, plan.sums);
    most.own = pp_most(most.own, plan.own);
  }
  most.sums = pp_cut_round(most.sums);
  most.own = pp_cut_round(most.own) + APART;
  return most;
}

static int64_t scratch_elements(const pp_layer_plan *plan, int threads) {
  return 2 * plan->sums + plan->scratch + threads * plan->own;
}

/* Cuts the arena; pointers are set only where they exist. A core that writes some channels of every pixel has lines
 * fetched far past the end of its samples, and the other thread's part of what lies there then takes longer to write.
 * So what is kept lies apart from the outputs, and each layer's lies before that of the layer before it, which is
 * written already. */
static void cut_arena(pp_net *net, pp_cutter *cutter) {
  int64_t samples = net->max_samples, between = 0;
  bool turns = net->first == 0 && net->layer_count > 0;
  for (int block = net->first; block < net->end; block++) {
    if (block > net->first || turns)
      between = pp_most(between, samples * pp_shape_elements(net->model->blocks[block].info.input));
  }
  for (int i = 0; i < 2; i++)
    net->boundary[i] = pp_cut(cutter, between);
  net->boundary_elements = between;
  cut_inner(net, cutter);
  net->sum = pp_cut(cutter, net->training ? sum_elements(net) : 0);
  for (int slot = 0; slot < net->slot_count && net->training; slot++) {
    float *image = pp_cut(cutter, turns ? samples * pp_shape_elements(net->model->input) : 0);
    if (net->slots != NULL)
      net->slots[slot].image = image;
    for (int layer = net->layer_count - 1; layer >= 0; layer--) {
      float *kept = pp_cut(cutter, plan_of(net, layer, 1).kept);
      if (net->slots != NULL)
        net->slots[slot].kept[layer] = kept;
    }
    for (int layer = net->layer_count - 1; layer >= 0; layer--) {
      float *output = layer < net->layer_count - 1 ? pp_cut(cutter, output_of(net, layer)) : NULL;
      if (net->slots != NULL)
        net->slots[slot].outputs[layer] = output;
    }
  }
}

static pp_net describe(const pp_model *model, int first, int end, int max_samples, int in_flight, pp_net_use use,
                       const pp_kernels *kernels) {
  PP_ASSERT(first >= 0 && first <= end && end <= model->block_count);
  PP_ASSERT(max_samples >= 1 && in_flight >= 1);
  pp_net net = {
      .model = model,
      .first = first,
      .end = end,
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

static size_t pointer_count(const pp_net *net) { return ((size_t)net->slot_count * 2 + 1) * (size_t)net->layer_count; }

size_t pp_net_memory(const pp_model *model, int first, int end, int max_samples, int in_flight, pp_net_use use,
                     int threads) {
  pp_net net = describe(model, first, end, max_samples, in_flight, use, pp_kernels_best());
  pp_cutter cutter = {0};
  cut_arena(&net, &cutter);
  pp_layer_plan scratch = scratch_plan(&net, threads);
  return (size_t)(cutter.used + scratch_elements(&scratch, threads)) * sizeof(float) + sizeof net +
         (size_t)net.slot_count * sizeof(net_slot) + pointer_count(&net) * sizeof(float *);
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
  PP_TRY_GOTO(status, pp_net_share(net, NULL), fail);
  PP_TRY_GOTO(status, pp_alloc(slots, sizeof *net->slots, "a net", &net->slots), fail);
  PP_TRY_GOTO(status, pp_alloc(pointer_count(net), sizeof(float *), "a net", &net->pointers), fail);
  for (size_t slot = 0; slot < slots; slot++) {
    net->slots[slot].kept = net->pointers + slot * 2 * layers;
    net->slots[slot].outputs = net->slots[slot].kept + layers;
  }
  net->inner = net->pointers + slots * 2 * layers;
  cut_arena(net, &(pp_cutter){.base = net->arena});
  *out = net;
  return NULL;
fail:
  pp_net_destroy(net);
  return status;
}

pp_status pp_net_share(pp_net *net, pp_pool *pool) {
  pp_layer_plan plan = scratch_plan(net, pp_pool_threads(pool));
  size_t elements = (size_t)scratch_elements(&plan, pp_pool_threads(pool));
  float *scratch = NULL;
  PP_TRY(pp_alloc(elements, sizeof(float), "the scratch memory of a net", &scratch));
  free(net->scratch);
  net->scratch = scratch;
  net->sum_elements = plan.sums;
  net->shared_elements = plan.scratch;
  net->own_elements = plan.own;
  net->pool = pool;
  return NULL;
}

void pp_net_destroy(pp_net *net) {
  if (net == NULL)
    return;
  free(net->arena);
  free(net->scratch);
  free(net->slots);
  free(net->pointers);
  free(net);
}

/* One thread's part in what the net's threads do together. */
typedef struct team_member {
  const pp_net *net;
  const pp_state *state;
  const net_slot *slot;
  int thread;
  bool has_worked; /* since it met all others */
  int place;       /* of the next layer's sums */
} team_member;

static void meet(team_member *me) {
  if (me->has_worked)
    pp_pool_meet(me->net->pool, me->thread);
  me->has_worked = false;
}

static pp_range own_part(const team_member *me, int64_t total, int64_t unit) {
  return pp_range_part(total, unit, pp_pool_threads(me->net->pool), me->thread);
}

static pp_range own_samples(const team_member *me) {
  return pp_own_samples(me->slot->samples, me->net->pool, me->thread);
}

/* Of this thread's samples: (N, C, pixels) to (N, pixels, C), and back. */
static void to_channels_last(team_member *me, pp_shape shape, const float *x, float *y) {
  int64_t pixels = pp_pixels(shape), channels = shape.channels;
  pp_range at = own_samples(me);
  for (int64_t n = at.first * pixels * channels; n < at.end * pixels * channels; n += pixels * channels)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t p = 0; p < pixels; p++)
        y[n + p * channels + c] = x[n + c * pixels + p];
  me->has_worked = true;
}

static void to_channels_first(const team_member *me, pp_shape shape, const float *x, float *y) {
  int64_t pixels = pp_pixels(shape), channels = shape.channels;
  pp_range at = own_samples(me);
  for (int64_t n = at.first * pixels * channels; n < at.end * pixels * channels; n += pixels * channels)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t p = 0; p < pixels; p++)
        y[n + c * pixels + p] = x[n + p * channels + c];
}

/* elements: of a sample. */
static void add_to(team_member *me, int64_t elements, const float *restrict from, float *restrict to) {
  pp_range at = own_samples(me);
  for (int64_t i = at.first * elements; i < at.end * elements; i++)
    to[i] += from[i];
  me->has_worked = true;
}

/* This thread's samples of a layer that computes each for itself; backward where there is a gradient. */
static void run_samples(const pp_layer_run *all, const pp_layer_ops *ops, const float *x, float *y, float *dy,
                        float *dx) {
  const pp_layer *layer = all->layer;
  pp_layer_run run = *all;
  pp_range at = pp_own_samples(all->samples, all->pool, all->thread);
  int64_t in = pp_shape_elements(layer->input), out = pp_shape_elements(layer->output);
  int64_t second = layer->type == &pp_scale_type ? layer->input.channels : in;
  run.samples = (int)(at.end - at.first);
  run.place.first_sample += (int)at.first;
  run.second += run.second == NULL ? 0 : at.first * second;
  run.dsecond += run.dsecond == NULL ? 0 : at.first * second;
  if (dy == NULL)
    ops->forward(&run, x + at.first * in, y + at.first * out);
  else
    ops->backward(&run, x + at.first * in, dy + at.first * out, dx == NULL ? NULL : dx + at.first * in);
}

/* Whether threads need not meet before a layer and after it. */
static bool keeps_apart(const pp_net *net, const pp_layer *layer) {
  const pp_layer_type *type = layer->type;
  return !net->reference && (type->keeps_apart == NULL ? type->by_sample : type->keeps_apart(layer));
}

/* Forward where dy is NULL, otherwise backward. */
static void run_layer(team_member *me, int layer, const pp_layer_run *run, const float *x, float *y, float *dy,
                      float *dx) {
  const pp_layer_ops *ops = ops_of(me->net, layer);
  bool apart = keeps_apart(me->net, run->layer);
  if (!apart)
    meet(me);
  if (run->layer->type->by_sample && !me->net->reference)
    run_samples(run, ops, x, y, dy, dx);
  else if (me->thread > 0 && me->net->reference)
    ; /* the first thread's alone */
  else if (dy == NULL)
    ops->forward(run, x, y);
  else
    ops->backward(run, x, dy, dx);
  me->has_worked = true;
  if (!apart)
    meet(me);
  /* It met the others after it wrote sums. */
  if (!run->layer->type->by_sample && (dy != NULL || (run->training && run->layer->norm)))
    me->place ^= 1;
}

void pp_net_place(pp_net *net, pp_sample_place place) {
  net->place = place;
  net->placed = true;
}

static pp_layer_run run_of(const team_member *me, int layer) {
  const pp_net *net = me->net;
  const pp_state *state = me->state;
  const net_slot *slot = me->slot;
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
      .sums = net->scratch + me->place * net->sum_elements,
      .scratch = net->scratch + 2 * net->sum_elements,
      .own = net->scratch + 2 * net->sum_elements + net->shared_elements + me->thread * net->own_elements,
      .kernels = net->kernels,
      .pool = net->pool,
      .thread = me->thread,
      .place = slot->place,
  };
}

/* What layer `layer` of the block reads as its input number `input`. */
static const float *input_of(const pp_net *net, const net_slot *slot, int layer, int input, const float *x) {
  int from = layer_of(net, layer)->from[input];
  if (from == PP_FROM_BLOCK)
    return x;
  return net->training ? slot->outputs[from - net->first_layer] : net->inner[from - net->first_layer];
}

static void forward_block(team_member *me, int block, const float *x, float *y) {
  const pp_net *net = me->net;
  for (int layer = first_of(net, block); layer < end_of(net, block); layer++) {
    pp_layer_run run = run_of(me, layer);
    float *output = y;
    if (layer < end_of(net, block) - 1)
      output = net->training ? me->slot->outputs[layer] : net->inner[layer];
    if (layer_of(net, layer)->type->inputs > 1)
      run.second = input_of(net, me->slot, layer, 1, x);
    run_layer(me, layer, &run, input_of(net, me->slot, layer, 0, x), output, NULL, NULL);
  }
}

/* What a pass over the net is given. */
typedef struct net_pass {
  const pp_net *net;
  const pp_state *state;
  const net_slot *slot;
  const float *x;
  float *y, *dy, *dx;
} net_pass;

/* The other place for what lies before a block. */
static float *next_boundary(const pp_net *net, int block, int *turn) {
  *turn ^= 1;
  return centred(net->boundary[*turn], net->boundary_elements,
                 net->max_samples * pp_shape_elements(net->model->blocks[block].info.input));
}

static void forward_blocks(void *context, int thread) {
  const net_pass *pass = context;
  const pp_net *net = pass->net;
  team_member me = {.net = net, .state = pass->state, .slot = pass->slot, .thread = thread};
  int turn = 0;
  const float *input = pass->slot->x;
  if (net->first == 0) {
    float *image = net->training ? pass->slot->image : next_boundary(net, 0, &turn);
    to_channels_last(&me, net->model->input, pass->x, image);
    input = image;
  }
  for (int block = net->first; block < net->end; block++) {
    float *output = pass->y;
    if (block < net->end - 1)
      output = net->training ? pass->slot->outputs[end_of(net, block) - 1] : next_boundary(net, block + 1, &turn);
    forward_block(&me, block, input, output);
    if (!net->training) /* the next block's outputs lie where this one's did, cut otherwise */
      meet(&me);
    input = output;
  }
}

void pp_net_forward(pp_net *net, const pp_state *state, int slot, int samples, const float *x, float *y) {
  PP_ASSERT(samples >= 1 && samples <= net->max_samples);
  PP_ASSERT(!net->training || (slot >= 0 && slot < net->slot_count));
  PP_ASSERT(!net->training || net->placed || !pp_model_is_random(net->model)); /* or masks would repeat */
  net_slot *at = &net->slots[net->training ? slot : 0];
  at->samples = samples;
  at->place = net->place;
  at->x = net->first == 0 && net->training ? at->image : x;
  if (net->first == net->end) {
    memcpy(y, x, (size_t)(samples * net->pass_elements) * sizeof *y);
    return;
  }
  pp_pool_run(net->pool, forward_blocks, &(net_pass){.net = net, .state = state, .slot = at, .x = x, .y = y});
}

/* Backward of a block: dy is its output's gradient, dx takes its input's, NULL where that is not wanted. Where several
 * layers read a tensor the last one's gradient comes first and the others' are added. */
static void backward_block(team_member *me, int block, const float *x, float *dy, float *dx) {
  const pp_net *net = me->net;
  int first = first_of(net, block), end = end_of(net, block);
  bool written[PP_BLOCK_MAX_LAYERS + 1] = {false}; /* gradient of the block's input, and of each layer's output */
  for (int layer = end - 1; layer >= first; layer--) {
    const pp_layer *description = layer_of(net, layer);
    pp_layer_run run = run_of(me, layer);
    float *target[2] = {NULL, NULL}, *given[2] = {NULL, NULL};
    for (int input = 0; input < description->type->inputs; input++) {
      int from = description->from[input], at = from == PP_FROM_BLOCK ? 0 : from - net->first_layer - first + 1;
      target[input] = from == PP_FROM_BLOCK ? dx : net->inner[from - net->first_layer];
      given[input] = written[at] && target[input] != NULL ? net->sum : target[input];
      written[at] = true;
    }
    PP_ASSERT(given[0] == NULL || given[0] != given[1]);
    if (description->type->inputs > 1) {
      run.second = input_of(net, me->slot, layer, 1, x);
      run.dsecond = given[1];
    }
    run_layer(me, layer, &run, input_of(net, me->slot, layer, 0, x), NULL, layer == end - 1 ? dy : net->inner[layer],
              given[0]);
    for (int input = 0; input < description->type->inputs; input++)
      if (given[input] != target[input]) {
        pp_shape shape = description->from[input] == PP_FROM_BLOCK
                             ? net->model->blocks[block].info.input
                             : net->model->layers[description->from[input]].output;
        add_to(me, pp_shape_elements(shape), given[input], target[input]);
        meet(me); /* the next to be added lies there, too */
      }
  }
}

static void backward_blocks(void *context, int thread) {
  const net_pass *pass = context;
  const pp_net *net = pass->net;
  const net_slot *slot = pass->slot;
  team_member me = {.net = net, .state = pass->state, .slot = slot, .thread = thread};
  bool turns = net->first == 0;
  int turn = 0;
  float *gradient = pass->dy;
  for (int block = net->end - 1; block >= net->first; block--) {
    float *to = pass->dx;
    if (block > net->first || (pass->dx != NULL && turns))
      to = next_boundary(net, block, &turn);
    const float *x = block == net->first ? slot->x : slot->outputs[first_of(net, block) - 1];
    backward_block(&me, block, x, gradient, to);
    meet(&me); /* the next block's gradients lie where this one's did */
    gradient = to;
  }
  if (turns && pass->dx != NULL)
    to_channels_first(&me, net->model->input, gradient, pass->dx);
}

void pp_net_backward(pp_net *net, const pp_state *state, int slot, float *dy, float *dx) {
  PP_ASSERT(net->training && slot >= 0 && slot < net->slot_count && net->slots[slot].samples > 0);
  net_slot *at = &net->slots[slot];
  if (net->first == net->end) {
    if (dx != NULL && dx != dy)
      memcpy(dx, dy, (size_t)(at->samples * net->pass_elements) * sizeof *dx);
  } else {
    pp_pool_run(net->pool, backward_blocks, &(net_pass){.net = net, .state = state, .slot = at, .dy = dy, .dx = dx});
  }
  at->samples = 0;
}

typedef struct step_pass {
  const pp_net *net;
  const pp_state *state;
  pp_sgd rates;
} step_pass;

/* This thread's part of every tensor, for the most part what it summed up the gradient of: that is in its cache. */
static void step_own(void *context, int thread) {
  const step_pass *pass = context;
  const team_member me = {.net = pass->net, .thread = thread};
  bool alone = pp_pool_threads(pass->net->pool) == 1;
  for (int layer = 0; layer < pass->net->layer_count; layer++) {
    const pp_layer *description = layer_of(pass->net, layer);
    const int64_t cuts[] = {0, description->bias, description->parameter_count}; /* weights, then vectors */
    for (int i = 0; i < 2; i++) {
      pp_range at = own_part(&me, cuts[i + 1] - cuts[i], PP_LINE);
      int64_t first = description->params - pass->net->first_param + cuts[i] + at.first;
      pass->net->kernels->sgd(&pass->rates, at.end - at.first, !alone, pass->state->params + first,
                              pass->state->grads + first, pass->state->momentum + first);
    }
  }
}

void pp_net_step(const pp_net *net, const pp_state *state, float learning_rate, float momentum, float weight_decay) {
  pp_pool_run(net->pool, step_own, &(step_pass){net, state, {learning_rate, momentum, weight_decay}});
}
