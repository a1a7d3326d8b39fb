/* The products of a convolution: what the kernels compute is cut into classes of pixels that read the same taps:
 * - Larger images are copied into a buffer with their padding, one class for all pixels (the input gradient: one for
 *   every remainder by the stride). They are taken in groups of a size that follows from the shape alone; a group stays
 *   in the second-level cache for everything that is done with it.
 * - On small images most taps would read padding. There every position is a class of its own, of the taps that fall
 *   inside the image, and its pixels are that position in several samples.
 * 3x3 taps of stride 1 on larger images are transformed instead (winograd.h): each of 16 places is one class of all
 * tiles, with one tap. */
#include "nn/conv_pass.h"

enum {
  GROUP_PIXELS = 256,         /* of a group, at least */
  SMALL_PIXELS = 16,          /* of a small image, at most */
  WAVE = 4,                   /* groups at hand per thread that is not apart, where there are several */
  APART_WEIGHTS = 256 * 1024, /* that each thread packs for itself, at most */
  TILES = 24,                 /* pixels that are whole tiles of all kernels */
};

bool pp_conv_is_small(const pp_layer *layer) { return layer->kernel > 1 && pp_pixels(layer->middle) <= SMALL_PIXELS; }

bool pp_conv_is_transformed(const pp_layer *layer) { return pp_winograd_suits(layer) && !pp_conv_is_small(layer); }

static int64_t depth_of(const pp_layer *layer, int64_t channels) {
  return (int64_t)layer->kernel * layer->kernel * channels;
}

static int64_t weights_of(const pp_layer *layer) {
  return depth_of(layer, layer->depthwise ? 1 : layer->input.channels) * layer->middle.channels;
}

bool pp_conv_keeps_apart(const pp_layer *layer) { return weights_of(layer) <= APART_WEIGHTS; }

static pp_groups groups_of(const pp_layer *layer, int64_t samples) {
  int64_t pixels = pp_pixels(layer->middle), group = (GROUP_PIXELS + pixels - 1) / pixels, shares = pp_shares(samples);
  if (!pp_conv_keeps_apart(layer))
    return (pp_groups){samples, 1, pp_conv_is_small(layer) ? samples : pp_least(samples, group)};
  return (pp_groups){samples, shares, pp_least(group, (samples + shares - 1) / shares)};
}

/* Of a sample: what the convolution reads and what it gives. */
static int64_t values_of(const pp_layer *layer) {
  return pp_shape_elements(layer->input) + pp_shape_elements(layer->middle);
}

/* Sums of the weights' gradient: of every share where they are few beside the values of the samples; otherwise one. */
static int64_t weight_sums_of(const pp_layer *layer, int64_t samples) {
  bool few = pp_shares(samples) * weights_of(layer) <= samples * values_of(layer);
  return pp_conv_keeps_apart(layer) && few ? pp_shares(samples) : 1;
}

/* The most samples, of up to so many, whose images are all at hand at once: where threads are apart and there is one
 * sum. */
static int64_t all_of(const pp_layer *layer, int64_t samples) {
  if (!pp_conv_keeps_apart(layer))
    return 0;
  int64_t weights = weights_of(layer), values = values_of(layer);
  return pp_least(samples, weights <= values ? 1 : (PP_SHARES * weights - 1) / values);
}

/* Images of a buffer. Where nothing is copied groups are taken together, for whole tiles. */
static int64_t buffer_of(const pp_layer *layer, const pp_groups *groups) {
  int64_t pixels = pp_pixels(layer->middle);
  if (!pp_conv_keeps_apart(layer) || pp_conv_copies_x(layer))
    return groups->group;
  return pp_most(groups->group, pp_least(groups->samples, (GROUP_PIXELS + pixels - 1) / pixels));
}

/* The input as forward reads it. */
pp_bordered pp_conv_bordered_x(const pp_layer *layer) {
  int64_t pad = pp_conv_is_small(layer) || pp_conv_is_transformed(layer) ? 0 : layer->padding;
  return (pp_bordered){layer->input.channels, layer->input.height + 2 * pad, layer->input.width + 2 * pad, pad, pad};
}

/* The gradient of z as the input's gradient reads it: input row y takes rows (y + padding - tap) / stride. */
static int64_t rows_before(const pp_layer *layer) {
  int64_t first = layer->kernel - 1 - layer->padding;
  return first > 0 ? (first + layer->stride - 1) / layer->stride : 0;
}
static int64_t rows_after(const pp_layer *layer, int64_t input, int64_t middle) {
  return pp_most((input - 1 + layer->padding) / layer->stride - (middle - 1), 0);
}
pp_bordered pp_conv_bordered_dz(const pp_layer *layer) {
  pp_shape in = layer->input, mid = layer->middle;
  if (pp_conv_is_small(layer) || pp_conv_is_transformed(layer))
    return (pp_bordered){mid.channels, mid.height, mid.width, 0, 0};
  int64_t before = rows_before(layer);
  return (pp_bordered){mid.channels, before + mid.height + rows_after(layer, in.height, mid.height),
                       before + mid.width + rows_after(layer, in.width, mid.width), before, before};
}

/* The input needs no copy where nothing is read beside the image. */
bool pp_conv_copies_x(const pp_layer *layer) {
  return layer->depthwise || (layer->padding > 0 && !pp_conv_is_small(layer));
}

/* Rows of a packed panel. */
static int64_t packed_rows(const pp_layer *layer, int64_t channels) {
  return pp_conv_is_transformed(layer) ? PP_PLACES * channels : depth_of(layer, channels);
}

static int64_t packed_elements(const pp_layer *layer, int64_t outputs, int64_t inputs, const pp_kernels *kernels) {
  if (layer->depthwise)
    return depth_of(layer, outputs) + PP_KERNEL_SLACK;
  return (outputs + kernels->panel - 1) / kernels->panel * kernels->panel * packed_rows(layer, inputs);
}

static int64_t x_elements(const pp_layer *layer, int64_t images) {
  if (pp_conv_is_transformed(layer))
    return pp_winograd_elements(layer->input, images);
  return pp_cut_round(images * pp_bordered_elements(pp_conv_bordered_x(layer)) + PP_KERNEL_SLACK);
}
static int64_t dz_elements(const pp_layer *layer, int64_t images) {
  return pp_cut_round(images * pp_bordered_elements(pp_conv_bordered_dz(layer)) + PP_KERNEL_SLACK);
}

int64_t pp_conv_tile_elements(const pp_conv_pass *pass, pp_shape shape) {
  return pp_winograd_elements(shape, pass->images);
}
int64_t pp_conv_x_elements(const pp_conv_pass *pass) { return x_elements(pass->run->layer, pass->images); }
int64_t pp_conv_dz_elements(const pp_conv_pass *pass) { return dz_elements(pass->run->layer, pass->images); }

/* Buffers for backward: of so many times so many images. */
typedef struct gradient_buffers {
  float *dz, *spread, *patches;
} gradient_buffers;
static gradient_buffers cut_gradients(const pp_layer *layer, int64_t times, int64_t images, pp_cutter *cutter) {
  int64_t tiles = pp_conv_is_transformed(layer) ? times * pp_winograd_elements(layer->middle, images) : 0;
  gradient_buffers cut = {.dz = pp_cut(cutter, times * dz_elements(layer, images))};
  cut.spread = pp_cut(cutter, tiles);
  cut.patches = pp_cut(cutter, tiles);
  return cut;
}

/* In evaluation z and m are scratch. Where threads are apart each has its own buffer, of some images. Memory is for the
 * most samples, whatever the run has. */
static pp_conv_pass cut(const pp_layer_run *run, int64_t threads, pp_cutter *kept, pp_cutter *scratch, pp_cutter *sums,
                        pp_cutter *own) {
  const pp_layer *layer = run->layer;
  int64_t in = layer->input.channels, out = layer->middle.channels, most = run->max_samples;
  int64_t forward = packed_elements(layer, out, in, run->kernels);
  int64_t backward = packed_elements(layer, in, out, run->kernels);
  bool training = run->training, apart = pp_conv_keeps_apart(layer);
  bool copies = pp_conv_copies_x(layer), transformed = pp_conv_is_transformed(layer);
  pp_groups largest = groups_of(layer, most);
  pp_conv_pass pass = {.run = run, .cut = groups_of(layer, run->samples)};
  pass.images = buffer_of(layer, &pass.cut);
  pass.weight_sums = weight_sums_of(layer, run->samples);
  pass.groups = pp_groups_count(&pass.cut);
  int64_t room = buffer_of(layer, &largest), all = training ? all_of(layer, most) : 0;
  pass.buffers = threads == 1 || apart ? 1 : pp_least(pp_groups_count(&largest), WAVE * threads);
  pp_cutter *buffers = apart ? own : scratch, *values = training ? kept : buffers;
  int64_t held = training ? most : pass.buffers * room;
  int64_t positions = pp_conv_is_small(layer) ? 1
                      : transformed           ? pp_winograd_tiles(layer->middle)
                                              : pp_pixels(layer->middle),
          inputs = pp_conv_is_small(layer) ? 1 : pp_pixels(layer->input);
  pass.z = pp_cut(values, held * pp_shape_elements(layer->middle));
  pass.m = layer->pool ? pp_cut(values, held * pp_shape_elements(layer->output)) : pass.z;
  pp_norm_cut_kept(&pass.norm, layer, values);
  if (training)
    pp_norm_cut_shared(&pass.norm, layer, &pass.cut, &largest, sums);
  pp_norm_cut_own(&pass.norm, layer, own);
  pass.weights = pp_cut(buffers, training ? pp_most(forward, backward) : forward);
  int64_t sums_of_weights = weight_sums_of(layer, most);
  pass.sum_elements = pp_cut_round(pp_conv_is_pointwise(layer) ? weights_of(layer) : forward);
  if (training && !(pp_conv_is_pointwise(layer) && sums_of_weights == 1))
    pass.dweights = pp_cut(scratch, sums_of_weights * pass.sum_elements);
  pass.x = pp_cut(buffers, copies ? pass.buffers * x_elements(layer, room) : 0);
  if (training && all < most) { /* some samples are not all at hand at once */
    gradient_buffers gradients = cut_gradients(layer, pass.buffers, room, buffers);
    pass.dz = gradients.dz, pass.spread = gradients.spread, pass.patches = gradients.patches;
  }
  if (all > 0) {
    pp_groups of_all = groups_of(layer, all);
    int64_t images = transformed ? of_all.group : all, times = transformed ? pp_groups_count(&of_all) : 1;
    gradient_buffers gradients = cut_gradients(layer, times, images, scratch);
    pass.all_dz = gradients.dz, pass.all_spread = gradients.spread, pass.all_patches = gradients.patches;
    pass.all_x = pp_cut(scratch, copies ? times * x_elements(layer, images) : 0);
  }
  pass.in_x = (int32_t *)pp_cut(own, room * positions);
  pass.in_z = (int32_t *)pp_cut(own, room * positions);
  if (transformed) {
    int64_t tiles_in = pp_winograd_elements(layer->input, room), tiles_out = pp_winograd_elements(layer->middle, room);
    pass.zeros = pp_cut(own, pp_most(in, out));
    pass.sums = pp_cut(buffers, pass.buffers * (training ? pp_most(tiles_in, tiles_out) : tiles_out));
  } else if (training) {
    pass.in_dz = (int32_t *)pp_cut(own, room * positions);
    pass.back_dz = (int32_t *)pp_cut(own, room * inputs);
    pass.back_dx = (int32_t *)pp_cut(own, room * inputs);
  }
  return pass;
}

void pp_conv_plan(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out) {
  pp_cutter kept = {0}, scratch = {0}, sums = {0}, own = {0};
  pp_layer_run run = {.layer = layer,
                      .samples = request->max_samples,
                      .max_samples = request->max_samples,
                      .training = request->training,
                      .kernels = request->kernels};
  cut(&run, request->threads, &kept, &scratch, &sums, &own);
  *out = (pp_layer_plan){kept.used, scratch.used, sums.used, own.used};
}

/* Offsets of the pixels (y0 + i x step, x0 + j x step), i < rows, j < columns, of `images` images; returns the next. */
static int32_t *list_pixels(pp_bordered b, int64_t images, int64_t y0, int64_t x0, int64_t rows, int64_t columns,
                            int64_t step, int32_t *offsets) {
  for (int64_t g = 0; g < images; g++)
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++)
        *offsets++ = (int32_t)(((g * b.height + y0 + i * step) * b.width + x0 + j * step) * b.channels);
  return offsets;
}

static pp_bordered plain(pp_shape shape) { return (pp_bordered){shape.channels, shape.height, shape.width, 0, 0}; }

/* Pixels of the input gradient's class (y, x): those rows and columns of the input. */
static int64_t class_rows(const pp_layer *layer, int64_t y) {
  return (layer->input.height - y + layer->stride - 1) / layer->stride;
}
static int64_t class_columns(const pp_layer *layer, int64_t x) {
  return (layer->input.width - x + layer->stride - 1) / layer->stride;
}

/* The taps along one axis that fall inside at output position `at`: [*first, *end). */
static void taps_inside(const pp_layer *layer, int64_t at, int64_t size, int64_t *first, int64_t *end) {
  int64_t begin = at * layer->stride - layer->padding;
  *first = pp_most(0, -begin);
  *end = pp_most(*first, pp_least(layer->kernel, size - begin));
}

static uint64_t live_taps(const pp_layer *layer) {
  uint64_t live = 0;
  if (!pp_conv_is_small(layer))
    return UINT64_MAX;
  for (int64_t y = 0; y < layer->middle.height; y++)
    for (int64_t x = 0; x < layer->middle.width; x++) {
      int64_t top, bottom, left, right;
      taps_inside(layer, y, layer->input.height, &top, &bottom);
      taps_inside(layer, x, layer->input.width, &left, &right);
      for (int64_t ky = top; ky < bottom; ky++)
        for (int64_t kx = left; kx < right; kx++)
          live |= UINT64_C(1) << (ky * layer->kernel + kx);
    }
  return live;
}

/* A pass over the run's samples, its offsets listed for as much as it needs. */
pp_conv_pass pp_conv_pass_of(const pp_layer_run *run, bool backward) {
  const pp_layer *layer = run->layer;
  pp_shape mid = layer->middle;
  pp_conv_pass pass =
      cut(run, pp_pool_threads(run->pool), &(pp_cutter){.base = run->kept}, &(pp_cutter){.base = run->scratch},
          &(pp_cutter){.base = run->sums}, &(pp_cutter){.base = run->own});
  int64_t images = pass.images, stride = layer->stride;
  int64_t rows = pp_conv_is_small(layer) ? 1 : mid.height, columns = pp_conv_is_small(layer) ? 1 : mid.width;
  pp_bordered bz = pp_conv_bordered_dz(layer);
  pass.live = live_taps(layer);
  if (pp_conv_is_transformed(layer)) {
    for (int64_t tile = 0; tile < images * pp_winograd_tiles(mid); tile++) {
      pass.in_x[tile] = (int32_t)(tile * layer->input.channels);
      pass.in_z[tile] = (int32_t)(tile * mid.channels);
    }
    pp_clear(pass.zeros, pp_most(layer->input.channels, mid.channels));
    return pass;
  }
  list_pixels(pp_conv_bordered_x(layer), images, 0, 0, rows, columns, stride, pass.in_x);
  list_pixels(plain(mid), images, 0, 0, rows, columns, 1, pass.in_z);
  if (!backward)
    return pass;
  list_pixels(bz, images, bz.top, bz.left, rows, columns, 1, pass.in_dz);
  int32_t *back_dz = pass.back_dz, *back_dx = pass.back_dx;
  if (pp_conv_is_small(layer)) {
    list_pixels(bz, images, 0, 0, 1, 1, 1, back_dz);
    list_pixels(plain(layer->input), images, 0, 0, 1, 1, 1, back_dx);
    return pass;
  }
  for (int64_t y = 0; y < pp_least(stride, layer->input.height); y++)
    for (int64_t x = 0; x < pp_least(stride, layer->input.width); x++) {
      back_dz = list_pixels(bz, images, 0, 0, class_rows(layer, y), class_columns(layer, x), 1, back_dz);
      back_dx = list_pixels(plain(layer->input), images, y, x, class_rows(layer, y), class_columns(layer, x), stride,
                            back_dx);
    }
  return pass;
}

int64_t pp_conv_images(const pp_conv_pass *pass, int64_t group) {
  return pp_least(pass->run->samples - group * pass->images, pass->images);
}

int64_t pp_conv_unit(const pp_conv_pass *pass) {
  return pass->run->layer->depthwise ? pass->run->kernels->panel / 2 : pass->run->kernels->panel;
}

int64_t pp_conv_units(const pp_conv_pass *pass, int64_t channels) {
  return (channels + pp_conv_unit(pass) - 1) / pp_conv_unit(pass);
}

pp_range pp_conv_some_images(const pp_conv_pass *pass, int64_t group, int64_t pixels, int64_t parts, int64_t part) {
  int64_t unit = TILES;
  for (int64_t factor = 2; factor <= 3; factor++)
    while (pixels % factor == 0 && unit % factor == 0) {
      pixels /= factor;
      unit /= factor;
    }
  return pp_range_part(pp_conv_images(pass, group), unit, parts, part);
}

static bool is_live(const pp_conv_pass *pass, int64_t tap) { return (pass->live >> tap & 1) != 0; }

/* Weights (O, C, taps) into panels of outputs, rows (taps, inputs); `turned` swaps inputs and outputs, for the gradient
 * of the input. Depthwise: (taps, C). `to`: which of the panels' channels. */
void pp_conv_pack(const pp_conv_pass *pass, bool turned, pp_range to) {
  const pp_layer *layer = pass->run->layer;
  const pp_kernels *kernels = pass->run->kernels;
  const float *weight = pass->run->params + layer->weight;
  int64_t taps = depth_of(layer, 1), in = layer->input.channels, out = layer->middle.channels;
  if (pp_conv_keeps_apart(layer))
    pp_fetch(pass->run, weight, weights_of(layer));
  if (layer->depthwise) {
    for (int64_t tap = 0; tap < taps; tap++)
      for (int64_t c = to.first; c < to.end && is_live(pass, tap); c++)
        pass->weights[tap * out + c] = weight[c * taps + tap];
    return;
  }
  int64_t rows = turned ? out : in;
  for (int64_t first = to.first; first < to.end; first += kernels->panel) {
    int64_t width = pp_least(to.end - first, kernels->panel);
    float *panel = pass->weights + first * packed_rows(layer, rows);
    float *packed = pp_conv_is_transformed(layer) ? pp_winograd_taps(kernels, panel, rows) : panel;
    if (turned)
      kernels->pack_turned(weight + first * taps, in, out, taps, pass->live, width, packed);
    else
      kernels->pack(weight + first * in * taps, in, taps, pass->live, width, packed);
    if (pp_conv_is_transformed(layer))
      pp_winograd_weigh(kernels, rows, turned, panel);
  }
}

static void add(const float *restrict from, int64_t count, float *restrict to) {
  for (int64_t i = 0; i < count; i++)
    to[i] += from[i];
}

/* Joins the sums of some of the gradients: into the first. */
static void join_sums(const pp_conv_pass *pass, int64_t first, int64_t count) {
  for (int64_t sum = 1; sum < pass->weight_sums; sum++)
    add(pass->dweights + sum * pass->sum_elements + first, count, pass->dweights + first);
}

/* Of the panels of some channels: some inputs of every tap. */
static void join_panels(const pp_conv_pass *pass, pp_range at, pp_range inputs) {
  const pp_layer *layer = pass->run->layer;
  int64_t panel = pass->run->kernels->panel, in = layer->input.channels, taps = packed_rows(layer, 1);
  for (int64_t first = at.first; first < at.end; first += panel)
    for (int64_t tap = 0; tap < taps; tap++)
      if (is_live(pass, tap))
        join_sums(pass, first * packed_rows(layer, in) + (tap * in + inputs.first) * panel,
                  (inputs.end - inputs.first) * panel);
}

static void add_depthwise(const pp_conv_pass *pass, pp_range at) {
  const pp_layer *layer = pass->run->layer;
  float *dweight = pass->run->grads + layer->weight;
  int64_t taps = depth_of(layer, 1), channels = layer->middle.channels;
  for (int64_t tap = 0; tap < taps; tap++) {
    if (!is_live(pass, tap))
      continue;
    join_sums(pass, tap * channels + at.first, at.end - at.first);
    for (int64_t c = at.first; c < at.end; c++)
      dweight[c * taps + tap] += pass->dweights[tap * channels + c];
  }
}

/* Of a 1x1 kernel, in pieces that stay in the first-level cache. */
static void add_pointwise(const pp_conv_pass *pass, pp_range outputs) {
  enum { PIECE = 1024 };
  const pp_layer *layer = pass->run->layer;
  int64_t in = layer->input.channels, end = outputs.end * in;
  for (int64_t first = outputs.first * in; first < end && pass->weight_sums > 1; first += PIECE) {
    int64_t count = pp_least(end - first, PIECE);
    join_sums(pass, first, count);
    add(pass->dweights + first, count, pass->run->grads + layer->weight + first);
  }
}

void pp_conv_add_gradient(const pp_conv_pass *pass, pp_weight_part part) {
  const pp_layer *layer = pass->run->layer;
  const pp_kernels *kernels = pass->run->kernels;
  if (pp_conv_is_pointwise(layer)) {
    add_pointwise(pass, pp_run_of(part, layer->middle.channels));
    return;
  }
  int64_t taps = depth_of(layer, 1), in = layer->input.channels;
  pp_range at = part.at, inputs = pp_run_of(part, in);
  if (layer->depthwise) {
    add_depthwise(pass, at);
    return;
  }
  join_panels(pass, at, inputs);
  for (int64_t first = at.first; first < at.end; first += kernels->panel) {
    float *packed = pass->dweights + first * packed_rows(layer, in);
    if (pp_conv_is_transformed(layer)) {
      pp_winograd_unweigh(kernels, in, packed);
      packed = pp_winograd_taps(kernels, packed, in);
    }
    kernels->unpack_add(packed, in, inputs.first, inputs.end, taps, pass->live,
                        pp_least(at.end - first, kernels->panel), pass->run->grads + layer->weight + first * in * taps);
  }
}

/* Of tap `tap` the inputs in the part. */
static pp_range inputs_of(const pp_conv_pass *pass, int64_t tap, pp_weight_part part) {
  const pp_layer *layer = pass->run->layer;
  int64_t in = layer->input.channels, in_row = pp_conv_is_transformed(layer) ? 1 : layer->kernel;
  if (part.ky >= 0 && tap / in_row != part.ky)
    return (pp_range){0, 0};
  int64_t before = tap % in_row * in;
  pp_range run = pp_run_of(part, in_row * in);
  return (pp_range){pp_least(pp_most(run.first - before, 0), in), pp_least(pp_most(run.end - before, 0), in)};
}

/* Of live taps. */
void pp_conv_clear_gradient(const pp_conv_pass *pass, pp_weight_part part) {
  const pp_layer *layer = pass->run->layer;
  if (pp_conv_is_pointwise(layer)) {
    PP_ASSERT(part.run.end == 0 || pass->weight_sums == 1);
    if (pass->weight_sums > 1)
      pp_clear(pass->dweights + part.sum * pass->sum_elements, weights_of(layer));
    return;
  }
  int64_t panel = pass->run->kernels->panel, taps = packed_rows(layer, 1), in = layer->input.channels;
  float *dweights = pass->dweights + part.sum * pass->sum_elements;
  for (int64_t tap = 0; tap < taps; tap++) {
    if (!is_live(pass, tap))
      continue;
    if (layer->depthwise) {
      pp_clear(dweights + tap * in + part.at.first, part.at.end - part.at.first);
      continue;
    }
    pp_range inputs = inputs_of(pass, tap, part);
    for (int64_t first = part.at.first; first < part.at.end; first += panel)
      pp_clear(dweights + (first * taps + tap * panel) * in + inputs.first * panel,
               (inputs.end - inputs.first) * panel);
  }
}

/* Copies an image into its borders, which are zero already. */
static void copy_in(const float *x, pp_shape shape, pp_bordered b, float *to) {
  int64_t row = (int64_t)shape.width * shape.channels;
  for (int64_t y = 0; y < shape.height; y++, x += row)
    memcpy(to + ((b.top + y) * b.width + b.left) * b.channels, x, (size_t)row * sizeof *x);
}

/* An image of a transformed buffer. */
pp_winograd_image pp_conv_transformed(const pp_conv_pass *pass, pp_shape shape) {
  return (pp_winograd_image){
      .shape = shape, .plane = pp_conv_tile_elements(pass, shape) / PP_PLACES, .zeros = pass->zeros};
}

void pp_conv_read_image(const pp_conv_pass *pass, int64_t sample, int64_t buffer, int64_t place) {
  const pp_layer *layer = pass->run->layer;
  pp_bordered b = pp_conv_bordered_x(layer);
  const float *x = pass->input + sample * pp_shape_elements(layer->input);
  float *to = pass->x + buffer * pp_conv_x_elements(pass);
  if (pp_conv_is_transformed(layer)) {
    pp_winograd_image of = pp_conv_transformed(pass, layer->input);
    pp_winograd_read(pass->run->kernels, &of, x, to + place * pp_winograd_tiles(layer->input) * layer->input.channels);
  } else if (pp_conv_copies_x(layer)) {
    copy_in(x, layer->input, b, to + place * pp_bordered_elements(b));
  }
}

/* A buffer's input as the kernels read it. */
const float *pp_conv_input(const pp_conv_pass *pass, int64_t first_sample, int64_t buffer) {
  return pp_conv_copies_x(pass->run->layer) ? pass->x + buffer * pp_conv_x_elements(pass)
                                            : pass->input + first_sample * pp_shape_elements(pass->run->layer->input);
}

/* Adds the taps [kx, kx + count) of kernel row ky, which read at (y, x) relative to a pixel's offset. */
static void add_taps(const pp_layer *layer, pp_bordered b, int64_t ky, int64_t kx, int64_t count, int64_t y, int64_t x,
                     pp_window *window) {
  int64_t parts = layer->depthwise ? count : 1; /* a depthwise tap is a run of its own */
  for (int64_t part = 0; part < parts; part++) {
    window->x_run[window->runs] = (int32_t)((y * b.width + x + part) * b.channels);
    window->w_run[window->runs++] = (int32_t)((ky * layer->kernel + kx + part) * b.channels);
  }
  window->run_length = layer->depthwise ? b.channels : count * b.channels;
}

/* One call of a kernel: the channels `at` of y for the pixels of a window. */
static void multiply(const pp_conv_pass *pass, pp_window *window, const float *x, pp_range at, int64_t depth,
                     float *y) {
  const pp_kernels *kernels = pass->run->kernels;
  if (pass->run->layer->depthwise) {
    window->run_length = at.end - at.first;
    kernels->depthwise(window, x + at.first, pass->weights + at.first, y + at.first);
    return;
  }
  for (int64_t o = at.first; o < at.end; o += kernels->panel)
    kernels->convolve(window, x, pass->weights + o * depth, pp_least(at.end - o, kernels->panel), y + o);
}

/* Of a 1x1 kernel the product the other way round: rows of outputs, panels of inputs. */
static void weigh_pointwise(const pp_conv_pass *pass, const pp_window *window, const float *x, const float *dz,
                            pp_weight_part part) {
  const pp_layer *layer = pass->run->layer;
  const pp_kernels *kernels = pass->run->kernels;
  int64_t in = layer->input.channels;
  pp_range rows = pp_run_of(part, layer->middle.channels);
  float *sum =
      pass->weight_sums == 1 ? pass->run->grads + layer->weight : pass->dweights + part.sum * pass->sum_elements;
  const pp_window turned = {.x_offsets = window->y_offsets,
                            .y_offsets = window->x_offsets,
                            .pixels = window->pixels,
                            .runs = 1,
                            .run_length = rows.end - rows.first};
  for (int64_t c = 0; c < in; c += kernels->panel)
    kernels->weight_gradient(&turned, dz + rows.first, x + window->x_run[0] + c, pp_least(in - c, kernels->panel), in,
                             sum + rows.first * in + c);
}

static void weigh(const pp_conv_pass *pass, const pp_window *window, const float *x, const float *dz,
                  pp_weight_part part) {
  const pp_layer *layer = pass->run->layer;
  if (pp_conv_is_pointwise(layer)) {
    weigh_pointwise(pass, window, x, dz, part);
    return;
  }
  const pp_kernels *kernels = pass->run->kernels;
  pp_window some = *window;
  pp_range at = part.at;
  float *dweights = pass->dweights + part.sum * pass->sum_elements;
  if (layer->depthwise) {
    some.run_length = at.end - at.first;
    kernels->depthwise_gradient(&some, x + at.first, dz + at.first, dweights + at.first);
    return;
  }
  if (part.ky >= 0) { /* a kernel row is one run */
    int64_t rows = depth_of(layer, layer->input.channels) / layer->kernel;
    some.runs = 0;
    for (int run = 0; run < window->runs; run++)
      if (window->w_run[run] / rows == part.ky) {
        pp_range cut = pp_run_of(part, window->run_length);
        some.x_run[some.runs] = window->x_run[run] + (int32_t)cut.first;
        some.w_run[some.runs++] = window->w_run[run] + (int32_t)cut.first;
        some.run_length = cut.end - cut.first;
      }
  }
  for (int64_t o = at.first; o < at.end; o += kernels->panel)
    kernels->weight_gradient(&some, x, dz + o, pp_least(at.end - o, kernels->panel), kernels->panel,
                             dweights + o * depth_of(layer, layer->input.channels));
}

/* Of transformed images: some channels of `to`, at every place a product over the channels of `from`. */
static void transformed_product(const pp_conv_pass *pass, pp_range images, pp_shape from, const float *tiles,
                                pp_shape to, pp_range at, float *sums, float *image) {
  const pp_kernels *kernels = pass->run->kernels;
  bool turned = from.channels == pass->run->layer->middle.channels;
  pp_winograd_image in = pp_conv_transformed(pass, from), out = pp_conv_transformed(pass, to);
  int64_t first = images.first * pp_winograd_tiles(to);
  pp_window window = {.x_offsets = (turned ? pass->in_z : pass->in_x) + first,
                      .y_offsets = (turned ? pass->in_x : pass->in_z) + first,
                      .pixels = (images.end - images.first) * pp_winograd_tiles(to),
                      .runs = 1,
                      .run_length = from.channels};
  for (int64_t place = 0; place < PP_PLACES; place++)
    for (int64_t o = at.first; o < at.end; o += kernels->panel)
      kernels->convolve(&window, tiles + place * in.plane,
                        pass->weights + (o * PP_PLACES + place * kernels->panel) * from.channels,
                        pp_least(at.end - o, kernels->panel), sums + place * out.plane + o);
  for (int64_t g = images.first; g < images.end; g++)
    pp_winograd_write(kernels, &out, sums + g * pp_winograd_tiles(to) * to.channels, at,
                      image + g * pp_shape_elements(to));
}

/* The weights' gradient at some places. */
static void transformed_gradient(const pp_conv_pass *pass, pp_range images, const float *tiles, const float *spread,
                                 pp_weight_part part) {
  const pp_kernels *kernels = pass->run->kernels;
  pp_shape in = pass->run->layer->input, out = pass->run->layer->middle;
  pp_window window = {.x_offsets = pass->in_x + images.first * pp_winograd_tiles(in),
                      .y_offsets = pass->in_z + images.first * pp_winograd_tiles(in),
                      .pixels = (images.end - images.first) * pp_winograd_tiles(in),
                      .runs = 1,
                      .run_length = in.channels};
  pp_range places = part.ky < 0 ? (pp_range){0, PP_PLACES} : (pp_range){part.ky, part.ky + 1};
  for (int64_t place = places.first; place < places.end; place++)
    for (int64_t o = part.at.first; o < part.at.end; o += kernels->panel)
      kernels->weight_gradient(&window, tiles + place * pp_conv_transformed(pass, in).plane,
                               spread + place * pp_conv_transformed(pass, out).plane + o,
                               pp_least(part.at.end - o, kernels->panel), kernels->panel,
                               pass->dweights + part.sum * pass->sum_elements +
                                   (o * PP_PLACES + place * kernels->panel) * in.channels);
}

/* z = x * weights, or where z is NULL the weights' gradient from dz, which has borders: for some images of a buffer,
 * part of it. */
void pp_conv_product(const pp_conv_pass *pass, int64_t buffer, pp_range images, const float *x, float *z,
                     pp_weight_part part) {
  const pp_layer *layer = pass->run->layer;
  const float *dz = z == NULL ? pass->dz + buffer * pp_conv_dz_elements(pass) : NULL;
  if (pp_conv_is_transformed(layer)) {
    int64_t tiles = buffer * pp_conv_tile_elements(pass, layer->middle);
    if (z == NULL)
      transformed_gradient(pass, images, x, pass->spread + tiles, part);
    else
      transformed_product(pass, images, layer->input, x, layer->middle, part.at, pass->sums + tiles, z);
    return;
  }
  pp_shape in = layer->input, mid = layer->middle;
  pp_bordered bx = pp_conv_bordered_x(layer);
  int64_t depth = depth_of(layer, in.channels), pixels = pp_conv_is_small(layer) ? 1 : pp_pixels(mid);
  pp_window window = {.x_offsets = pass->in_x + images.first * pixels,
                      .y_offsets = (z != NULL ? pass->in_z : pass->in_dz) + images.first * pixels,
                      .pixels = (images.end - images.first) * pixels};
  if (!pp_conv_is_small(layer)) {
    for (int64_t ky = 0; ky < layer->kernel; ky++)
      add_taps(layer, bx, ky, 0, layer->kernel, ky + bx.top - layer->padding, bx.left - layer->padding, &window);
    if (z == NULL)
      weigh(pass, &window, x, dz, part);
    else
      multiply(pass, &window, x, part.at, depth, z);
    return;
  }
  for (int64_t y = 0; y < mid.height; y++)
    for (int64_t column = 0; column < mid.width; column++) {
      int64_t ky, ky_end, kx, kx_end, at = (y * mid.width + column) * mid.channels;
      taps_inside(layer, y, in.height, &ky, &ky_end);
      taps_inside(layer, column, in.width, &kx, &kx_end);
      window.runs = 0;
      for (; ky < ky_end && kx < kx_end; ky++)
        add_taps(layer, bx, ky, kx, kx_end - kx, y * layer->stride + ky - layer->padding,
                 column * layer->stride + kx - layer->padding, &window);
      if (z == NULL)
        weigh(pass, &window, x, dz + at, part);
      else
        multiply(pass, &window, x, part.at, depth, z + at);
    }
}

/* Adds to the window every tap of the input's gradient at (y, x): gradient row (y + padding - tap) / stride where that
 * is whole, and inside where there are no borders. Rows are relative to the image in dz, moved by `move`. */
static void add_turned_taps(const pp_layer *layer, pp_bordered b, int64_t y, int64_t x, int64_t move, bool inside,
                            pp_window *window) {
  pp_shape mid = layer->middle;
  window->runs = 0;
  window->run_length = b.channels;
  for (int64_t ky = 0; ky < layer->kernel; ky++)
    for (int64_t kx = 0; kx < layer->kernel; kx++) {
      int64_t sy = y + layer->padding - ky, sx = x + layer->padding - kx, stride = layer->stride;
      if (sy % stride != 0 || sx % stride != 0)
        continue;
      int64_t row = sy / stride, column = sx / stride;
      if (inside && (row < 0 || column < 0 || row >= mid.height || column >= mid.width))
        continue;
      add_taps(layer, b, ky, kx, 1, row + move, column + move, window);
    }
}

/* dx = dz * turned weights, for some images of a buffer and some of the input's channels. */
void pp_conv_input_gradient(const pp_conv_pass *pass, int64_t buffer, pp_range images, pp_range at, float *dx) {
  const pp_layer *layer = pass->run->layer;
  pp_shape in = layer->input;
  const float *dz = pass->dz + buffer * pp_conv_dz_elements(pass);
  if (pp_conv_is_transformed(layer)) {
    transformed_product(pass, images, layer->middle,
                        pass->patches + buffer * pp_conv_tile_elements(pass, layer->middle), in, at,
                        pass->sums + buffer * pp_conv_tile_elements(pass, in), dx);
    return;
  }
  pp_bordered bz = pp_conv_bordered_dz(layer);
  const int32_t *back_dz = pass->back_dz, *back_dx = pass->back_dx;
  pp_window window = {.x_offsets = back_dz, .y_offsets = back_dx};
  int64_t depth = depth_of(layer, layer->middle.channels);
  if (pp_conv_is_small(layer)) {
    window.x_offsets += images.first;
    window.y_offsets += images.first;
    window.pixels = images.end - images.first;
    for (int64_t y = 0; y < in.height; y++)
      for (int64_t x = 0; x < in.width; x++) {
        add_turned_taps(layer, bz, y, x, 0, true, &window);
        multiply(pass, &window, dz, at, depth, dx + (y * in.width + x) * in.channels);
      }
    return;
  }
  for (int64_t y = 0; y < pp_least(layer->stride, in.height); y++)
    for (int64_t x = 0; x < pp_least(layer->stride, in.width); x++) {
      int64_t pixels = class_rows(layer, y) * class_columns(layer, x);
      window.x_offsets = back_dz + images.first * pixels;
      window.y_offsets = back_dx + images.first * pixels;
      window.pixels = (images.end - images.first) * pixels;
      add_turned_taps(layer, bz, y, x, bz.top, false, &window);
      multiply(pass, &window, dz, at, depth, dx);
      back_dz += pass->images * pixels;
      back_dx += pass->images * pixels;
    }
}
