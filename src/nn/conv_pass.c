/* The passes of a convolution with the batch norm, activation and 2x2 max pool that follow it.
 *
 * What the kernels compute is cut into classes of pixels that read the same taps:
 * - Larger images are copied into a buffer with their padding, one class for all pixels (the input gradient: one for
 *   every remainder by the stride). They are taken in groups of a size that follows from the shape alone; a group stays
 *   in the second-level cache for everything that is done with it.
 * - On small images most taps would read padding. There every position is a class of its own, of the taps that fall
 *   inside the image, and its pixels are that position in all samples, which are one group.
 * 3x3 taps of stride 1 on larger images are transformed instead (winograd.h): each of 16 places is one class of all
 * tiles, with one tap.
 *
 * Pooling happens before the normalisation, which then runs on a quarter of the values; backward, no gradient of z is
 * ever written but for the groups at hand. In training the bias cancels in the batch norm: it enters the running mean
 * only and its gradient is exactly 0.
 *
 * Threads share out groups. Of the weights' gradient each of a fixed number of shares of the groups has a sum of its
 * own. Where there are few groups, or so many weights that the sums would not stay in the cache, threads share out
 * output channels and weights. Either way a value's sums have an order that does not depend on the threads, so it is
 * the same bits however it is shared. */
#include "nn/norm.h"
#include "nn/winograd.h"

#include <string.h>

enum {
  GROUP_PIXELS = 256,         /* of a group, at least */
  SMALL_PIXELS = 16,          /* of a small image, at most */
  WAVE = 4,                   /* groups at hand per thread, where there are several */
  SHARES = 8,                 /* of the groups, with a sum of the weights' gradients each */
  SHARE_WEIGHTS = 256 * 1024, /* of a sum, at most */
};

static bool is_small(const pp_layer *layer) { return layer->kernel > 1 && pp_pixels(layer->middle) <= SMALL_PIXELS; }

static bool is_transformed(const pp_layer *layer) { return pp_winograd_suits(layer) && !is_small(layer); }

/* Samples of one group. */
static int64_t group_of(const pp_layer *layer, int64_t samples) {
  int64_t pixels = pp_pixels(layer->middle);
  return is_small(layer) ? samples : pp_least(samples, (GROUP_PIXELS + pixels - 1) / pixels);
}

/* An image inside a buffer with a border of zeros. */
typedef struct bordered {
  int64_t channels, height, width; /* of the buffer */
  int64_t top, left;               /* of the image in it */
} bordered;

static int64_t bordered_elements(bordered b) { return b.channels * b.height * b.width; }

/* The input as forward reads it. */
static bordered bordered_x(const pp_layer *layer) {
  int64_t pad = is_small(layer) || is_transformed(layer) ? 0 : layer->padding;
  return (bordered){layer->input.channels, layer->input.height + 2 * pad, layer->input.width + 2 * pad, pad, pad};
}

/* The gradient of z as the input's gradient reads it: input row y takes rows (y + padding - tap) / stride. */
static int64_t rows_before(const pp_layer *layer) {
  int64_t first = layer->kernel - 1 - layer->padding;
  return first > 0 ? (first + layer->stride - 1) / layer->stride : 0;
}
static int64_t rows_after(const pp_layer *layer, int64_t input, int64_t middle) {
  return pp_most((input - 1 + layer->padding) / layer->stride - (middle - 1), 0);
}
static bordered bordered_dz(const pp_layer *layer) {
  pp_shape in = layer->input, mid = layer->middle;
  if (is_small(layer) || is_transformed(layer))
    return (bordered){mid.channels, mid.height, mid.width, 0, 0};
  int64_t before = rows_before(layer);
  return (bordered){mid.channels, before + mid.height + rows_after(layer, in.height, mid.height),
                    before + mid.width + rows_after(layer, in.width, mid.width), before, before};
}

/* The input needs no copy where nothing is read beside the image. */
static bool copies_x(const pp_layer *layer) { return layer->depthwise || (layer->padding > 0 && !is_small(layer)); }

/* What the tasks of a pass share. */
typedef struct conv_pass {
  const pp_layer_run *run;
  const float *input; /* of the layer */
  float *output;
  float *dy, *dx;
  float *z; /* kept: (N, H, W, O), the convolution without its bias; in evaluation a group of it per buffer */
  float *m; /* kept: (N, H/2, W/2, O), what pooling chose of it; without pooling z itself; likewise */
  pp_norm norm;
  float *weights;  /* packed panels, for forward or for the input's gradient; depthwise (taps, C) */
  float *dweights; /* (shares) packed as forward's */
  int64_t shares, share_elements;
  float *x, *dz; /* (buffers) groups, with borders of zeros; x transformed where the product is */
  /* (buffers) transformed: the product, the gradient of z as the weights' and as the inputs' gradient read it. */
  float *sums, *spread, *patches;
  float *zeros; /* (channels) */
  /* Where a whole group's pixels lie: of forward in x and in z; in the bordered dz; of the input's gradient, class
   * after class, in the bordered dz and in dx. */
  int32_t *in_x, *in_z, *in_dz, *back_dz, *back_dx; /* in_x and in_z alone, of tiles, where it is transformed */
  int64_t group, buffers;
  int64_t first_group, groups; /* at hand */
  int64_t cuts;                /* of the channels */
  uint64_t live;               /* taps that some pixel reads, a bit each */
  int64_t row_cuts;            /* of the weights' gradient: per panel and kernel row */
} conv_pass;

static int64_t depth_of(const pp_layer *layer, int64_t channels) {
  return (int64_t)layer->kernel * layer->kernel * channels;
}

/* Rows of a packed panel. */
static int64_t packed_rows(const pp_layer *layer, int64_t channels) {
  return is_transformed(layer) ? PP_PLACES * channels : depth_of(layer, channels);
}

static int64_t packed_elements(const pp_layer *layer, int64_t outputs, int64_t inputs, const pp_kernels *kernels) {
  if (layer->depthwise)
    return depth_of(layer, outputs) + PP_KERNEL_SLACK;
  return (outputs + kernels->panel - 1) / kernels->panel * kernels->panel * packed_rows(layer, inputs);
}

/* Floats of a transformed group with the channels of that shape. */
static int64_t tile_elements(const conv_pass *pass, pp_shape shape) { return pp_winograd_elements(shape, pass->group); }

static int64_t x_elements(const conv_pass *pass) {
  if (is_transformed(pass->run->layer))
    return tile_elements(pass, pass->run->layer->input);
  return pp_cut_round(pass->group * bordered_elements(bordered_x(pass->run->layer)) + PP_KERNEL_SLACK);
}
static int64_t dz_elements(const conv_pass *pass) {
  return pp_cut_round(pass->group * bordered_elements(bordered_dz(pass->run->layer)) + PP_KERNEL_SLACK);
}

static int64_t shares_of(int64_t groups, int64_t weights) {
  return groups >= 2 * SHARES && weights <= SHARE_WEIGHTS ? SHARES : 1;
}

/* In evaluation z and m are scratch. */
static conv_pass cut(const pp_layer_run *run, int64_t threads, pp_cutter *kept, pp_cutter *scratch) {
  const pp_layer *layer = run->layer;
  int64_t in = layer->input.channels, out = layer->middle.channels, samples = run->max_samples;
  int64_t forward = packed_elements(layer, out, in, run->kernels);
  int64_t backward = packed_elements(layer, in, out, run->kernels);
  bool training = run->training;
  conv_pass pass = {.run = run, .group = group_of(layer, samples)};
  int64_t groups = (samples + pass.group - 1) / pass.group;
  pass.buffers = threads == 1 ? 1 : pp_least(groups, WAVE * threads);
  pp_cutter *values = training ? kept : scratch;
  int64_t held = training ? samples : pass.buffers * pass.group;
  bool transformed = is_transformed(layer);
  int64_t positions = is_small(layer) ? 1
                      : transformed   ? pp_winograd_tiles(layer->middle)
                                      : pp_pixels(layer->middle),
          inputs = is_small(layer) ? 1 : pp_pixels(layer->input);
  pass.z = pp_cut(values, held * pp_shape_elements(layer->middle));
  pass.m = layer->pool ? pp_cut(values, held * pp_shape_elements(layer->output)) : pass.z;
  pp_norm_cut_kept(&pass.norm, layer, values);
  pp_norm_cut_scratch(&pass.norm, layer, training ? samples : pass.group, pass.group, scratch);
  pass.weights = pp_cut(scratch, training ? pp_most(forward, backward) : forward);
  pass.share_elements = pp_cut_round(forward);
  pass.dweights = pp_cut(scratch, training ? shares_of(groups, forward) * pass.share_elements : 0);
  pass.x = pp_cut(scratch, copies_x(layer) ? pass.buffers * x_elements(&pass) : 0);
  pass.dz = pp_cut(scratch, training ? pass.buffers * dz_elements(&pass) : 0);
  pass.in_x = (int32_t *)pp_cut(scratch, pass.group * positions);
  pass.in_z = (int32_t *)pp_cut(scratch, pass.group * positions);
  if (transformed) {
    int64_t tiles_in = pass.buffers * tile_elements(&pass, layer->input);
    int64_t tiles_out = pass.buffers * tile_elements(&pass, layer->middle);
    pass.zeros = pp_cut(scratch, pp_most(in, out));
    pass.sums = pp_cut(scratch, training ? pp_most(tiles_in, tiles_out) : tiles_out);
    pass.spread = pp_cut(scratch, training ? tiles_out : 0);
    pass.patches = pp_cut(scratch, training ? tiles_out : 0);
  } else if (training) {
    pass.in_dz = (int32_t *)pp_cut(scratch, pass.group * positions);
    pass.back_dz = (int32_t *)pp_cut(scratch, pass.group * inputs);
    pass.back_dx = (int32_t *)pp_cut(scratch, pass.group * inputs);
  }
  return pass;
}

static void plan(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out) {
  pp_cutter kept = {0}, scratch = {0};
  pp_layer_run run = {
      .layer = layer, .max_samples = request->max_samples, .training = request->training, .kernels = request->kernels};
  cut(&run, request->threads, &kept, &scratch);
  out->kept = kept.used;
  out->scratch = scratch.used;
}

/* Offsets of the pixels (y0 + i x step, x0 + j x step), i < rows, j < columns, of `images` images; returns the next. */
static int32_t *list_pixels(bordered b, int64_t images, int64_t y0, int64_t x0, int64_t rows, int64_t columns,
                            int64_t step, int32_t *offsets) {
  for (int64_t g = 0; g < images; g++)
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++)
        *offsets++ = (int32_t)(((g * b.height + y0 + i * step) * b.width + x0 + j * step) * b.channels);
  return offsets;
}

static bordered plain(pp_shape shape) { return (bordered){shape.channels, shape.height, shape.width, 0, 0}; }

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
  if (!is_small(layer))
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

static void clear(float *x, int64_t count) { memset(x, 0, (size_t)count * sizeof *x); }

/* A pass over the run's samples, its offsets listed for as much as it needs. */
static conv_pass pass_of(const pp_layer_run *run, bool backward) {
  const pp_layer *layer = run->layer;
  pp_shape mid = layer->middle;
  conv_pass pass =
      cut(run, pp_pool_threads(run->pool), &(pp_cutter){.base = run->kept}, &(pp_cutter){.base = run->scratch});
  int64_t images = pp_least(pass.group, run->samples), stride = layer->stride;
  int64_t rows = is_small(layer) ? 1 : mid.height, columns = is_small(layer) ? 1 : mid.width;
  bordered bz = bordered_dz(layer);
  pass.groups = (run->samples + pass.group - 1) / pass.group;
  pass.shares = shares_of(pass.groups, packed_elements(layer, mid.channels, layer->input.channels, run->kernels));
  pass.live = live_taps(layer);
  if (is_transformed(layer)) {
    for (int64_t tile = 0; tile < images * pp_winograd_tiles(mid); tile++) {
      pass.in_x[tile] = (int32_t)(tile * layer->input.channels);
      pass.in_z[tile] = (int32_t)(tile * mid.channels);
    }
    clear(pass.zeros, pp_most(layer->input.channels, mid.channels));
    return pass;
  }
  list_pixels(bordered_x(layer), images, 0, 0, rows, columns, stride, pass.in_x);
  list_pixels(plain(mid), images, 0, 0, rows, columns, 1, pass.in_z);
  if (!backward)
    return pass;
  list_pixels(bz, images, bz.top, bz.left, rows, columns, 1, pass.in_dz);
  int32_t *back_dz = pass.back_dz, *back_dx = pass.back_dx;
  if (is_small(layer)) {
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

static int64_t images_of(const conv_pass *pass, int64_t group) {
  return pp_least(pass->run->samples - group * pass->group, pass->group);
}

static int64_t panels_of(const conv_pass *pass, int64_t channels) {
  return (channels + pass->run->kernels->panel - 1) / pass->run->kernels->panel;
}

/* Weights (O, C, taps) into panels of outputs, rows (taps, inputs); `turned` swaps inputs and outputs, for the gradient
 * of the input. Depthwise: (taps, C). `to`: which of the panels' channels. */
static void pack(const conv_pass *pass, bool turned, pp_range to) {
  const pp_layer *layer = pass->run->layer;
  const pp_kernels *kernels = pass->run->kernels;
  const float *weight = pass->run->params + layer->weight;
  int64_t taps = depth_of(layer, 1), in = layer->input.channels, out = layer->middle.channels;
  if (layer->depthwise) {
    for (int64_t tap = 0; tap < taps; tap++)
      for (int64_t c = to.first; c < to.end; c++)
        pass->weights[tap * out + c] = weight[c * taps + tap];
    return;
  }
  int64_t rows = turned ? out : in;
  for (int64_t first = to.first; first < to.end; first += kernels->panel) {
    int64_t width = pp_least(to.end - first, kernels->panel);
    float *panel = pass->weights + first * packed_rows(layer, rows);
    float *packed = is_transformed(layer) ? pp_winograd_taps(kernels, panel, rows) : panel;
    if (turned)
      kernels->pack_turned(weight + first * taps, in, out, taps, pass->live, width, packed);
    else
      kernels->pack(weight + first * in * taps, in, taps, pass->live, width, packed);
    if (is_transformed(layer))
      pp_winograd_weigh(kernels, rows, turned, panel);
  }
}

/* Adds up the shares' sums: of the channels `at`. */
static void join_shares(const conv_pass *pass, pp_range at) {
  const pp_layer *layer = pass->run->layer;
  int64_t panel = pass->run->kernels->panel, in = layer->input.channels, rows = packed_rows(layer, in);
  int64_t first = at.first * rows, count = (at.end - at.first + panel - 1) / panel * panel * rows;
  int64_t times = layer->depthwise ? depth_of(layer, 1) : 1;
  if (layer->depthwise)
    first = at.first, count = at.end - at.first;
  for (int64_t share = 1; share < pass->shares; share++)
    for (int64_t tap = 0; tap < times; tap++) {
      float *restrict to = pass->dweights + first + tap * in;
      const float *restrict from = to + share * pass->share_elements;
      for (int64_t i = 0; i < count; i++)
        to[i] += from[i];
    }
}

/* Adds the packed gradients to the weights' own. */
static void unpack_add(const conv_pass *pass, pp_range at) {
  const pp_layer *layer = pass->run->layer;
  const pp_kernels *kernels = pass->run->kernels;
  float *dweight = pass->run->grads + layer->weight;
  int64_t taps = depth_of(layer, 1), in = layer->input.channels, out = layer->middle.channels;
  if (layer->depthwise) {
    for (int64_t c = at.first; c < at.end; c++)
      for (int64_t tap = 0; tap < taps; tap++)
        dweight[c * taps + tap] += pass->dweights[tap * out + c];
    return;
  }
  for (int64_t first = at.first; first < at.end; first += kernels->panel) {
    float *packed = pass->dweights + first * packed_rows(layer, in);
    if (is_transformed(layer)) {
      pp_winograd_unweigh(kernels, in, packed);
      packed = pp_winograd_taps(kernels, packed, in);
    }
    kernels->unpack_add(packed, in, taps, pass->live, pp_least(at.end - first, kernels->panel),
                        dweight + first * in * taps);
  }
}

/* The packed gradients of live taps. */
static void clear_gradient(const conv_pass *pass, pp_range at) {
  const pp_layer *layer = pass->run->layer;
  int64_t panel = pass->run->kernels->panel, taps = packed_rows(layer, 1), in = layer->input.channels;
  if (layer->depthwise) {
    for (int64_t tap = 0; tap < taps; tap++)
      clear(pass->dweights + tap * in + at.first, at.end - at.first);
    return;
  }
  for (int64_t first = at.first; first < at.end; first += panel)
    for (int64_t tap = 0; tap < taps; tap++)
      if ((pass->live >> tap & 1) != 0)
        clear(pass->dweights + (first * taps + tap * panel) * in, in * panel);
}

/* Copies an image into its borders, which are zero already. */
static void copy_in(const float *x, pp_shape shape, bordered b, float *to) {
  int64_t row = (int64_t)shape.width * shape.channels;
  for (int64_t y = 0; y < shape.height; y++, x += row)
    memcpy(to + ((b.top + y) * b.width + b.left) * b.channels, x, (size_t)row * sizeof *x);
}

/* An image of a transformed group. */
static pp_winograd_image transformed(const conv_pass *pass, pp_shape shape) {
  return (pp_winograd_image){.shape = shape, .plane = tile_elements(pass, shape) / PP_PLACES, .zeros = pass->zeros};
}

static void read_image(const conv_pass *pass, int64_t group, int64_t image, int64_t buffer) {
  const pp_layer *layer = pass->run->layer;
  bordered b = bordered_x(layer);
  const float *x = pass->input + (group * pass->group + image) * pp_shape_elements(layer->input);
  float *to = pass->x + buffer * x_elements(pass);
  if (is_transformed(layer)) {
    pp_winograd_image of = transformed(pass, layer->input);
    pp_winograd_read(pass->run->kernels, &of, x, to + image * pp_winograd_tiles(layer->input) * layer->input.channels);
  } else if (copies_x(layer)) {
    copy_in(x, layer->input, b, to + image * bordered_elements(b));
  }
}

/* A group's input as the kernels read it. */
static const float *input_of(const conv_pass *pass, int64_t group, int64_t buffer) {
  return copies_x(pass->run->layer) ? pass->x + buffer * x_elements(pass)
                                    : pass->input + group * pass->group * pp_shape_elements(pass->run->layer->input);
}

/* Adds the taps [kx, kx + count) of kernel row ky, which read at (y, x) relative to a pixel's offset. */
static void add_taps(const pp_layer *layer, bordered b, int64_t ky, int64_t kx, int64_t count, int64_t y, int64_t x,
                     pp_window *window) {
  int64_t parts = layer->depthwise ? count : 1; /* a depthwise tap is a run of its own */
  for (int64_t part = 0; part < parts; part++) {
    window->x_run[window->runs] = (int32_t)((y * b.width + x + part) * b.channels);
    window->w_run[window->runs++] = (int32_t)((ky * layer->kernel + kx + part) * b.channels);
  }
  window->run_length = layer->depthwise ? b.channels : count * b.channels;
}

/* One call of a kernel: the channels `at` of y for the pixels of a window. */
static void multiply(const conv_pass *pass, pp_window *window, const float *x, pp_range at, int64_t depth, float *y) {
  const pp_kernels *kernels = pass->run->kernels;
  if (pass->run->layer->depthwise) {
    window->run_length = at.end - at.first;
    kernels->depthwise(window, x + at.first, pass->weights + at.first, y + at.first);
    return;
  }
  for (int64_t o = at.first; o < at.end; o += kernels->panel)
    kernels->convolve(window, x, pass->weights + o * depth, pp_least(at.end - o, kernels->panel), y + o);
}

/* Some of the weights' gradient: of the channels `at`, of kernel row ky or all (-1), a part of the row's weights. */
typedef struct weight_part {
  pp_range at;
  int64_t ky, row_cut, row_cuts;
  int64_t share; /* whose sum it is added to */
} weight_part;

static void weigh(const conv_pass *pass, const pp_window *window, const float *x, const float *dz, weight_part part) {
  const pp_layer *layer = pass->run->layer;
  const pp_kernels *kernels = pass->run->kernels;
  pp_window some = *window;
  pp_range at = part.at;
  float *dweights = pass->dweights + part.share * pass->share_elements;
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
        pp_range cut = pp_range_part(window->run_length, 1, part.row_cuts, part.row_cut);
        some.x_run[some.runs] = window->x_run[run] + (int32_t)cut.first;
        some.w_run[some.runs++] = window->w_run[run] + (int32_t)cut.first;
        some.run_length = cut.end - cut.first;
      }
  }
  for (int64_t o = at.first; o < at.end; o += kernels->panel)
    kernels->weight_gradient(&some, x, dz + o, pp_least(at.end - o, kernels->panel),
                             dweights + o * depth_of(layer, layer->input.channels));
}

/* Of transformed groups: some channels of `to`, at every place a product over the channels of `from`. */
static void transformed_product(const conv_pass *pass, int64_t images, pp_shape from, const float *tiles, pp_shape to,
                                pp_range at, float *sums, float *image) {
  const pp_kernels *kernels = pass->run->kernels;
  bool turned = from.channels == pass->run->layer->middle.channels;
  pp_winograd_image in = transformed(pass, from), out = transformed(pass, to);
  pp_window window = {.x_offsets = turned ? pass->in_z : pass->in_x,
                      .y_offsets = turned ? pass->in_x : pass->in_z,
                      .pixels = images * pp_winograd_tiles(to),
                      .runs = 1,
                      .run_length = from.channels};
  for (int64_t place = 0; place < PP_PLACES; place++)
    for (int64_t o = at.first; o < at.end; o += kernels->panel)
      kernels->convolve(&window, tiles + place * in.plane,
                        pass->weights + (o * PP_PLACES + place * kernels->panel) * from.channels,
                        pp_least(at.end - o, kernels->panel), sums + place * out.plane + o);
  for (int64_t g = 0; g < images; g++)
    pp_winograd_write(kernels, &out, sums + g * pp_winograd_tiles(to) * to.channels, at,
                      image + g * pp_shape_elements(to));
}

/* The weights' gradient at some places. */
static void transformed_gradient(const conv_pass *pass, int64_t images, const float *tiles, const float *spread,
                                 weight_part part) {
  const pp_kernels *kernels = pass->run->kernels;
  pp_shape in = pass->run->layer->input, out = pass->run->layer->middle;
  pp_window window = {.x_offsets = pass->in_x,
                      .y_offsets = pass->in_z,
                      .pixels = images * pp_winograd_tiles(in),
                      .runs = 1,
                      .run_length = in.channels};
  pp_range places = part.ky < 0 ? (pp_range){0, PP_PLACES} : (pp_range){part.ky, part.ky + 1};
  for (int64_t place = places.first; place < places.end; place++)
    for (int64_t o = part.at.first; o < part.at.end; o += kernels->panel)
      kernels->weight_gradient(
          &window, tiles + place * transformed(pass, in).plane, spread + place * transformed(pass, out).plane + o,
          pp_least(part.at.end - o, kernels->panel),
          pass->dweights + part.share * pass->share_elements + (o * PP_PLACES + place * kernels->panel) * in.channels);
}

/* z = x * weights, or where z is NULL the weights' gradient from dz, which has borders: for the group of a buffer, part
 * of it. */
static void forward_product(const conv_pass *pass, int64_t buffer, int64_t images, const float *x, float *z,
                            weight_part part) {
  const pp_layer *layer = pass->run->layer;
  const float *dz = pass->dz + buffer * dz_elements(pass);
  if (is_transformed(layer)) {
    int64_t tiles = buffer * tile_elements(pass, layer->middle);
    if (z == NULL)
      transformed_gradient(pass, images, x, pass->spread + tiles, part);
    else
      transformed_product(pass, images, layer->input, x, layer->middle, part.at, pass->sums + tiles, z);
    return;
  }
  pp_shape in = layer->input, mid = layer->middle;
  bordered bx = bordered_x(layer);
  pp_window window = {.x_offsets = pass->in_x, .y_offsets = z != NULL ? pass->in_z : pass->in_dz};
  int64_t depth = depth_of(layer, in.channels);
  if (!is_small(layer)) {
    window.pixels = images * pp_pixels(mid);
    for (int64_t ky = 0; ky < layer->kernel; ky++)
      add_taps(layer, bx, ky, 0, layer->kernel, ky + bx.top - layer->padding, bx.left - layer->padding, &window);
    if (z == NULL)
      weigh(pass, &window, x, dz, part);
    else
      multiply(pass, &window, x, part.at, depth, z);
    return;
  }
  window.pixels = images;
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
static void add_turned_taps(const pp_layer *layer, bordered b, int64_t y, int64_t x, int64_t move, bool inside,
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

/* dx = dz * turned weights, for the group of a buffer and some of the input's channels. */
static void input_gradient(const conv_pass *pass, int64_t buffer, int64_t images, pp_range at, float *dx) {
  const pp_layer *layer = pass->run->layer;
  pp_shape in = layer->input;
  const float *dz = pass->dz + buffer * dz_elements(pass);
  if (is_transformed(layer)) {
    transformed_product(pass, images, layer->middle, pass->patches + buffer * tile_elements(pass, layer->middle), in,
                        at, pass->sums + buffer * tile_elements(pass, in), dx);
    return;
  }
  bordered bz = bordered_dz(layer);
  pp_window window = {.x_offsets = pass->back_dz, .y_offsets = pass->back_dx};
  int64_t depth = depth_of(layer, layer->middle.channels);
  if (is_small(layer)) {
    window.pixels = images;
    for (int64_t y = 0; y < in.height; y++)
      for (int64_t x = 0; x < in.width; x++) {
        add_turned_taps(layer, bz, y, x, 0, true, &window);
        multiply(pass, &window, dz, at, depth, dx + (y * in.width + x) * in.channels);
      }
    return;
  }
  int64_t whole = pp_least(pass->group, pass->run->samples); /* images that are listed */
  for (int64_t y = 0; y < pp_least(layer->stride, in.height); y++)
    for (int64_t x = 0; x < pp_least(layer->stride, in.width); x++) {
      int64_t pixels = class_rows(layer, y) * class_columns(layer, x);
      window.pixels = images * pixels;
      add_turned_taps(layer, bz, y, x, bz.top, false, &window);
      multiply(pass, &window, dz, at, depth, dx);
      window.x_offsets += whole * pixels;
      window.y_offsets += whole * pixels;
    }
}

/* ---- tasks; regions of tasks follow one another ---- */

static void prepare_forward(void *context, int64_t task, int thread) {
  const conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  int64_t parts = pp_parts(run->pool, INT32_MAX);
  pack(pass, false, pp_range_part(run->layer->middle.channels, run->kernels->panel, parts, task));
  pp_range buffers = pp_range_part(copies_x(run->layer) ? pass->buffers : 0, 1, parts, task);
  clear(pass->x + buffers.first * x_elements(pass), (buffers.end - buffers.first) * x_elements(pass));
  (void)thread;
}

/* Images of the groups at hand; buffers are numbered with them. */
static void read_images(void *context, int64_t task, int thread) {
  const conv_pass *pass = context;
  read_image(pass, pass->first_group, task, 0);
  (void)thread;
}

/* A group's z, or some channels of it, and all that needs no other group. */
static void forward_part(void *context, int64_t task, int thread) {
  const conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_shape middle = layer->middle, output = layer->output;
  int64_t group = pass->first_group + task / pass->cuts, images = images_of(pass, group), channels = middle.channels;
  int64_t buffer = pass->cuts == 1 ? thread : 0, held = run->training ? group : buffer;
  pp_range at = pp_range_part(channels, run->kernels->panel, pass->cuts, task % pass->cuts);
  float *z = pass->z + held * pass->group * pp_shape_elements(middle);
  float *m = pass->m + held * pass->group * pp_shape_elements(output);
  for (int64_t image = 0; image < images && pass->cuts == 1; image++)
    read_image(pass, group, image, buffer);
  forward_product(pass, buffer, images, input_of(pass, group, buffer), z, (weight_part){at, -1, 0, 1, 0});
  if (run->training && layer->norm)
    pp_norm_add(run, &pass->norm, z, group, images * pp_pixels(middle), at);
  for (int64_t g = 0; g < images && layer->pool; g++)
    run->kernels->pool(z + g * pp_shape_elements(middle) + at.first, middle.height, middle.width, at.end - at.first,
                       channels, pass->norm.scale + at.first, m + g * pp_shape_elements(output) + at.first);
  pp_affine affine = pp_norm_affine(layer, &pass->norm, at.first);
  if (!run->training)
    run->kernels->activate(m + at.first, images * pp_pixels(output), at.end - at.first, channels, &affine,
                           pass->output + group * pass->group * pp_shape_elements(output) + at.first);
}

static void activate_part(void *context, int64_t task, int thread) {
  const conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  int64_t channels = run->layer->output.channels;
  pp_range at = pp_range_part(run->samples * pp_pixels(run->layer->output), 1, pass->cuts, task);
  pp_affine affine = pp_norm_affine(run->layer, &pass->norm, 0);
  run->kernels->activate(pass->m + at.first * channels, at.end - at.first, channels, channels, &affine,
                         pass->output + at.first * channels);
  (void)thread;
}

static void forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  conv_pass pass = pass_of(run, false);
  int64_t groups = pass.groups;
  pass.input = x;
  pass.output = y;
  pp_norm_begin(run, &pass.norm);
  pp_pool_run(pp_pool_for(run->pool, 2 * layer->bias + (copies_x(layer) ? pass.buffers * x_elements(&pass) : 0)),
              pp_parts(run->pool, INT32_MAX), prepare_forward, &pass);
  pass.cuts = 1;
  if (groups >= pp_parts(run->pool, 2 * (int64_t)pp_pool_threads(run->pool)))
    pp_pool_run(run->pool, groups, forward_part, &pass);
  else
    for (pass.first_group = 0; pass.first_group < groups; pass.first_group++) {
      pass.cuts = pp_parts(run->pool, panels_of(&pass, layer->middle.channels));
      if (copies_x(layer) && pass.cuts > 1)
        pp_pool_run(run->pool, images_of(&pass, pass.first_group), read_images, &pass);
      pp_pool_run(run->pool, pass.cuts, forward_part, &pass);
    }
  if (!run->training)
    return;
  if (layer->norm)
    pp_norm_finish(run, &pass.norm);
  pass.cuts = pp_parts(run->pool, run->samples * pp_pixels(layer->output));
  pp_pool_run(pp_pool_for(run->pool, run->samples * pp_shape_elements(layer->output)), pass.cuts, activate_part, &pass);
}

static void prepare_backward(void *context, int64_t task, int thread) {
  const conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  int64_t parts = pp_parts(run->pool, INT32_MAX), panel = run->kernels->panel;
  if (pass->dx != NULL)
    pack(pass, true, pp_range_part(layer->input.channels, panel, parts, task));
  pp_range buffers = pp_range_part(pass->buffers, 1, parts, task);
  if (copies_x(layer))
    clear(pass->x + buffers.first * x_elements(pass), (buffers.end - buffers.first) * x_elements(pass));
  clear(pass->dz + buffers.first * dz_elements(pass), (buffers.end - buffers.first) * dz_elements(pass));
  if (pass->shares == 1)
    clear_gradient(pass, pp_range_part(layer->middle.channels, panel, parts, task));
  (void)thread;
}

/* The gradient of z of an image, and its input, in a buffer. */
static void undo_image(const conv_pass *pass, int64_t group, int64_t image, int64_t buffer) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_shape middle = layer->middle, output = layer->output;
  bordered bz = bordered_dz(layer);
  int64_t sample = group * pass->group + image, pitch = bz.width * bz.channels;
  pp_affine affine = pp_norm_affine(layer, &pass->norm, 0);
  const float *z = pass->z + sample * pp_shape_elements(middle), *m = pass->m + sample * pp_shape_elements(output);
  const float *dy = pass->dy + sample * pp_shape_elements(output);
  float *dz =
      pass->dz + buffer * dz_elements(pass) + image * bordered_elements(bz) + bz.top * pitch + bz.left * bz.channels;
  if (layer->pool)
    run->kernels->undo_pool(dy, z, m, middle.height, middle.width, middle.channels, &affine, pitch, dz);
  else
    run->kernels->undo(dy, z, middle.height, middle.width, middle.channels, &affine, pitch, dz);
  if (is_transformed(layer)) {
    pp_winograd_image of = transformed(pass, middle);
    int64_t tiles = buffer * tile_elements(pass, middle) + image * pp_winograd_tiles(middle) * middle.channels;
    pp_winograd_spread(run->kernels, &of, dz, pass->spread + tiles);
    if (pass->dx != NULL)
      pp_winograd_read(run->kernels, &of, dz, pass->patches + tiles);
  }
  read_image(pass, group, image, buffer);
}

/* Of the groups at hand. */
static void undo_at_hand(void *context, int64_t task, int thread) {
  const conv_pass *pass = context;
  undo_image(pass, pass->first_group + task / pass->group, task % pass->group, task / pass->group);
  (void)thread;
}

/* Kernel rows, or places, of the weights' gradient. */
static int64_t weight_rows(const pp_layer *layer) { return is_transformed(layer) ? PP_PLACES : layer->kernel; }

/* How the gradients of the groups at hand are shared out: first tasks of weights, then tasks of inputs. */
static int64_t weight_tasks(const conv_pass *pass) {
  const pp_layer *layer = pass->run->layer;
  int64_t panels = panels_of(pass, layer->middle.channels);
  return pp_pool_threads(pass->run->pool) == 1 ? 1
         : layer->depthwise                    ? panels
                                               : panels * weight_rows(layer) * pass->row_cuts;
}

static weight_part weights_of(const conv_pass *pass, int64_t task) {
  const pp_layer *layer = pass->run->layer;
  int64_t channels = layer->middle.channels, panel = pass->run->kernels->panel, panels = panels_of(pass, channels);
  if (pp_pool_threads(pass->run->pool) == 1)
    return (weight_part){{0, channels}, -1, 0, 1, 0};
  int64_t rows = weight_rows(layer);
  return (weight_part){pp_range_part(channels, panel, panels, task % panels), task / panels % rows,
                       task / panels / rows, pass->row_cuts, 0};
}

static void gradient_part(void *context, int64_t task, int thread) {
  const conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  pp_shape in = run->layer->input;
  int64_t first = weight_tasks(pass);
  if (task < first) {
    weight_part part = weights_of(pass, task);
    for (int64_t buffer = 0; buffer < pass->groups; buffer++) {
      int64_t group = pass->first_group + buffer;
      forward_product(pass, buffer, images_of(pass, group), input_of(pass, group, buffer), NULL, part);
    }
    return;
  }
  int64_t buffer = (task - first) / pass->cuts, group = pass->first_group + buffer;
  input_gradient(pass, buffer, images_of(pass, group),
                 pp_range_part(in.channels, run->kernels->panel, pass->cuts, (task - first) % pass->cuts),
                 pass->dx + group * pass->group * pp_shape_elements(in));
  (void)thread;
}

/* All gradients of a share of the groups, one group after the other. */
static void share_part(void *context, int64_t share, int thread) {
  const conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  pp_shape in = run->layer->input, middle = run->layer->middle;
  pp_range groups = pp_range_part(pass->groups, 1, pass->shares, share);
  int64_t buffer = pp_pool_threads(run->pool) == 1 ? 0 : share;
  clear(pass->dweights + share * pass->share_elements, pass->share_elements);
  for (int64_t group = groups.first; group < groups.end; group++) {
    int64_t images = images_of(pass, group);
    for (int64_t image = 0; image < images; image++)
      undo_image(pass, group, image, buffer);
    forward_product(pass, buffer, images, input_of(pass, group, buffer), NULL,
                    (weight_part){{0, middle.channels}, -1, 0, 1, share});
    if (pass->dx != NULL)
      input_gradient(pass, buffer, images, (pp_range){0, in.channels},
                     pass->dx + group * pass->group * pp_shape_elements(in));
  }
  (void)thread;
}

static void unpack_part(void *context, int64_t task, int thread) {
  const conv_pass *pass = context;
  int64_t panels = panels_of(pass, pass->run->layer->middle.channels);
  pp_range at = pp_range_part(pass->run->layer->middle.channels, pass->run->kernels->panel,
                              pp_parts(pass->run->pool, panels), task);
  join_shares(pass, at);
  unpack_add(pass, at);
  (void)thread;
}

static void backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  conv_pass pass = pass_of(run, true);
  int64_t groups = pass.groups, wanted = pp_parts(run->pool, INT32_MAX);
  int64_t panels = panels_of(&pass, layer->middle.channels), in_panels = panels_of(&pass, layer->input.channels);
  pass.input = x;
  pass.dy = dy;
  pass.dx = dx;
  pp_norm_gradient(run, &pass.norm, dy, pass.m, run->samples * pp_pixels(layer->output));
  pp_pool_run(pp_pool_for(run->pool, 2 * layer->bias + pass.buffers * dz_elements(&pass)), wanted, prepare_backward,
              &pass);
  pass.row_cuts =
      is_small(layer) || is_transformed(layer) ? 1 : (wanted + panels * layer->kernel - 1) / (panels * layer->kernel);
  if (pass.shares > 1)
    pp_pool_run(run->pool, pass.shares, share_part, &pass);
  for (pass.first_group = 0; pass.shares == 1 && pass.first_group < groups; pass.first_group += pass.buffers) {
    pass.groups = pp_least(groups - pass.first_group, pass.buffers);
    pass.cuts = pp_least(in_panels, (wanted + pass.groups - 1) / pass.groups);
    int64_t images = pp_least(run->samples - pass.first_group * pass.group, pass.groups * pass.group);
    pp_pool_run(pp_pool_for(run->pool, 2 * images * pp_shape_elements(layer->middle)), images, undo_at_hand, &pass);
    pp_pool_run(run->pool, weight_tasks(&pass) + (dx == NULL ? 0 : pass.groups * pass.cuts), gradient_part, &pass);
  }
  pp_pool_run(pp_pool_for(run->pool, pass.shares * layer->bias), pp_parts(run->pool, panels), unpack_part, &pass);
}

const pp_layer_ops pp_conv_fast = {.plan = plan, .forward = forward, .backward = backward};
