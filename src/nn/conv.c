/* Convolution, dense or depthwise, with the batch norm, activation and 2x2 max pool that follow it.
 *
 * What the kernels compute is cut into classes of pixels that read the same taps:
 * - Larger images are copied into a buffer with their padding, one class for all pixels (the input gradient: one for
 *   every remainder by the stride). They are taken in groups of a size that follows from the shape alone; a group stays
 *   in the second-level cache for everything that is done with it.
 * - On small images most taps would read padding. There every position is a class of its own, of the taps that fall
 *   inside the image, and its pixels are that position in all samples.
 *
 * Pooling happens before the normalisation, which then runs on a quarter of the values; backward, no gradient of z is
 * ever written but for one group. In training the bias cancels in the batch norm: it enters the running mean only and
 * its gradient is exactly 0. */
#include "nn/norm.h"

#include <string.h>

enum {
  GROUP_PIXELS = 256, /* of a group, at least */
  SMALL_PIXELS = 16,  /* of a small image, at most */
};

static int out_of(int size, const pp_layer *layer) {
  return (size + 2 * layer->padding - layer->kernel) / layer->stride + 1;
}

void pp_conv_setup(pp_layer *layer) {
  int channels = layer->output.channels;
  layer->type = &pp_conv_type;
  layer->middle = (pp_shape){channels, out_of(layer->input.height, layer), out_of(layer->input.width, layer)};
  layer->output = layer->middle;
  if (layer->pool)
    layer->output = (pp_shape){channels, layer->middle.height / 2, layer->middle.width / 2};
  int64_t count = (int64_t)channels * (layer->depthwise ? 1 : layer->input.channels) * layer->kernel * layer->kernel;
  layer->weight = 0;
  layer->bias = count;
  count += layer->biased ? channels : 0;
  layer->gamma = count;
  layer->beta = count + channels;
  layer->mean = 0;
  layer->variance = channels;
  layer->parameter_count = count + (layer->norm ? 2 * (int64_t)channels : 0);
  layer->statistic_count = layer->norm ? 2 * (int64_t)channels : 0;
}

static bool is_small(const pp_layer *layer) { return layer->kernel > 1 && pp_pixels(layer->middle) <= SMALL_PIXELS; }

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
  int64_t pad = is_small(layer) ? 0 : layer->padding;
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
  if (is_small(layer))
    return (bordered){mid.channels, mid.height, mid.width, 0, 0};
  int64_t before = rows_before(layer);
  return (bordered){mid.channels, before + mid.height + rows_after(layer, in.height, mid.height),
                    before + mid.width + rows_after(layer, in.width, mid.width), before, before};
}

/* The input needs no copy where nothing is read beside the image. */
static bool copies_x(const pp_layer *layer) { return layer->depthwise || (layer->padding > 0 && !is_small(layer)); }

typedef struct conv_memory {
  float *z; /* kept: (N, H, W, O), the convolution without its bias */
  float *m; /* kept: (N, H/2, W/2, O), what pooling chose of it; without pooling z itself */
  pp_norm norm;
  float *weights;                 /* packed panels, for forward or for the input's gradient; depthwise (taps, C) */
  float *dweights;                /* packed as forward's */
  float *x, *dz;                  /* a group, with borders of zeros */
  int32_t *x_offsets, *y_offsets; /* a group's pixels */
} conv_memory;

static int64_t depth_of(const pp_layer *layer, int64_t channels) {
  return (int64_t)layer->kernel * layer->kernel * channels;
}

static int64_t packed_elements(const pp_layer *layer, int64_t outputs, int64_t inputs, const pp_kernels *kernels) {
  if (layer->depthwise)
    return depth_of(layer, outputs) + PP_KERNEL_SLACK;
  return (outputs + kernels->panel - 1) / kernels->panel * kernels->panel * depth_of(layer, inputs);
}

/* In evaluation only one group's z is held, in the scratch. */
static conv_memory cut(const pp_layer *layer, const pp_layer_request *request, pp_cutter *kept, pp_cutter *scratch) {
  int64_t in = layer->input.channels, out = layer->middle.channels, samples = request->max_samples;
  int64_t group = group_of(layer, samples), pixels = pp_most(pp_pixels(layer->input), pp_pixels(layer->middle));
  int64_t forward = packed_elements(layer, out, in, request->kernels);
  int64_t backward = packed_elements(layer, in, out, request->kernels);
  bool training = request->training;
  pp_cutter *values = training ? kept : scratch;
  int64_t held = training ? samples : group;
  conv_memory mem = {.z = pp_cut(values, held * pp_shape_elements(layer->middle))};
  mem.m = layer->pool ? pp_cut(values, held * pp_shape_elements(layer->output)) : mem.z;
  pp_norm_cut_kept(&mem.norm, layer, values);
  pp_norm_cut_scratch(&mem.norm, layer, scratch);
  mem.weights = pp_cut(scratch, training ? pp_most(forward, backward) : forward);
  mem.dweights = pp_cut(scratch, training ? forward : 0);
  mem.x = pp_cut(scratch, copies_x(layer) ? group * bordered_elements(bordered_x(layer)) + PP_KERNEL_SLACK : 0);
  mem.dz = pp_cut(scratch, training ? group * bordered_elements(bordered_dz(layer)) + PP_KERNEL_SLACK : 0);
  mem.x_offsets = (int32_t *)pp_cut(scratch, group * pixels);
  mem.y_offsets = (int32_t *)pp_cut(scratch, group * pixels);
  return mem;
}

static conv_memory memory_of(const pp_layer_run *run) {
  pp_layer_request request = {run->max_samples, run->training, run->kernels};
  return cut(run->layer, &request, &(pp_cutter){.base = run->kept}, &(pp_cutter){.base = run->scratch});
}

static void plan(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out) {
  pp_cutter kept = {0}, scratch = {0};
  cut(layer, request, &kept, &scratch);
  out->kept = kept.used;
  out->scratch = scratch.used;
}

/* Weights (O, C, taps) into panels of outputs, rows (taps, inputs); `turned` swaps inputs and outputs, for the gradient
 * of the input. Depthwise: (taps, C). */
static void pack(const pp_layer *layer, const float *weight, bool turned, const pp_kernels *kernels, float *packed) {
  int64_t taps = depth_of(layer, 1), in = layer->input.channels, out = layer->middle.channels;
  if (layer->depthwise) {
    for (int64_t tap = 0; tap < taps; tap++)
      for (int64_t c = 0; c < out; c++)
        packed[tap * out + c] = weight[c * taps + tap];
    return;
  }
  int64_t depth = turned ? out * taps : in * taps, to = turned ? in : out;
  for (int64_t first = 0; first < to; first += kernels->panel, packed += kernels->panel * depth)
    if (turned)
      kernels->pack_turned(weight + first * taps, in, out, taps, pp_least(to - first, kernels->panel), packed);
    else
      kernels->pack(weight + first * in * taps, in, taps, pp_least(to - first, kernels->panel), packed);
}

/* Adds the packed gradients to the weights' own. */
static void unpack_add(const pp_layer *layer, const float *packed, const pp_kernels *kernels, float *dweight) {
  int64_t taps = depth_of(layer, 1), in = layer->input.channels, out = layer->middle.channels;
  if (layer->depthwise) {
    for (int64_t c = 0; c < out; c++)
      for (int64_t tap = 0; tap < taps; tap++)
        dweight[c * taps + tap] += packed[tap * out + c];
    return;
  }
  for (int64_t first = 0; first < out; first += kernels->panel, packed += kernels->panel * taps * in)
    kernels->unpack_add(packed, in, taps, pp_least(out - first, kernels->panel), dweight + first * in * taps);
}

static void clear(float *x, int64_t count) { memset(x, 0, (size_t)count * sizeof *x); }

/* Copies images into their borders, which are zero already. */
static void copy_in(const float *x, pp_shape shape, int64_t images, bordered b, float *to) {
  int64_t row = (int64_t)shape.width * shape.channels;
  for (int64_t g = 0; g < images; g++)
    for (int64_t y = 0; y < shape.height; y++, x += row)
      memcpy(to + ((g * b.height + b.top + y) * b.width + b.left) * b.channels, x, (size_t)row * sizeof *x);
}

/* Offsets of the pixels (y0 + i x step, x0 + j x step), i < rows, j < columns, of `images` images; returns how many. */
static int64_t list_pixels(bordered b, int64_t images, int64_t y0, int64_t x0, int64_t rows, int64_t columns,
                           int64_t step, int32_t *offsets) {
  for (int64_t g = 0; g < images; g++)
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++)
        *offsets++ = (int32_t)(((g * b.height + y0 + i * step) * b.width + x0 + j * step) * b.channels);
  return images * rows * columns;
}

static bordered plain(pp_shape shape) { return (bordered){shape.channels, shape.height, shape.width, 0, 0}; }

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

/* One call of a kernel: all panels of `outputs` for the pixels of a window. */
static void multiply(const pp_layer_run *run, const pp_window *window, const float *x, const float *weights,
                     int64_t outputs, int64_t depth, float *y) {
  int64_t panel = run->kernels->panel;
  if (run->layer->depthwise)
    run->kernels->depthwise(window, x, weights, y);
  for (int64_t o = 0; o < outputs && !run->layer->depthwise; o += panel)
    run->kernels->convolve(window, x, weights + o * depth, pp_least(outputs - o, panel), y + o);
}

static void weigh(const pp_layer_run *run, const pp_window *window, const float *x, const float *dz, float *dweights) {
  int64_t panel = run->kernels->panel, outputs = run->layer->middle.channels;
  int64_t depth = depth_of(run->layer, run->layer->input.channels);
  if (run->layer->depthwise)
    run->kernels->depthwise_gradient(window, x, dz, dweights);
  for (int64_t o = 0; o < outputs && !run->layer->depthwise; o += panel)
    run->kernels->weight_gradient(window, x, dz + o, pp_least(outputs - o, panel), dweights + o * depth);
}

/* The taps along one axis that fall inside at output position `at`: [*first, *end). */
static void taps_inside(const pp_layer *layer, int64_t at, int64_t size, int64_t *first, int64_t *end) {
  int64_t begin = at * layer->stride - layer->padding;
  *first = pp_most(0, -begin);
  *end = pp_most(*first, pp_least(layer->kernel, size - begin));
}

/* z = x * weights, or with dz the weights' gradient, for a group. to: z, or the bordered dz. */
static void forward_product(const pp_layer_run *run, const conv_memory *mem, int64_t images, const float *x, float *z,
                            const float *dz) {
  const pp_layer *layer = run->layer;
  pp_shape in = layer->input, mid = layer->middle;
  bordered bx = bordered_x(layer), by = dz != NULL ? bordered_dz(layer) : plain(mid);
  pp_window window = {.x_offsets = mem->x_offsets, .y_offsets = mem->y_offsets};
  int64_t depth = depth_of(layer, in.channels);
  if (!is_small(layer)) {
    window.pixels = list_pixels(bx, images, 0, 0, mid.height, mid.width, layer->stride, mem->x_offsets);
    list_pixels(by, images, by.top, by.left, mid.height, mid.width, 1, mem->y_offsets);
    for (int64_t ky = 0; ky < layer->kernel; ky++)
      add_taps(layer, bx, ky, 0, layer->kernel, ky + bx.top - layer->padding, bx.left - layer->padding, &window);
    if (dz != NULL)
      weigh(run, &window, x, dz, mem->dweights);
    else
      multiply(run, &window, x, mem->weights, mid.channels, depth, z);
    return;
  }
  window.pixels = list_pixels(bx, images, 0, 0, 1, 1, 1, mem->x_offsets);
  list_pixels(by, images, 0, 0, 1, 1, 1, mem->y_offsets);
  for (int64_t y = 0; y < mid.height; y++)
    for (int64_t column = 0; column < mid.width; column++) {
      int64_t ky, ky_end, kx, kx_end, at = (y * mid.width + column) * mid.channels;
      taps_inside(layer, y, in.height, &ky, &ky_end);
      taps_inside(layer, column, in.width, &kx, &kx_end);
      window.runs = 0;
      for (; ky < ky_end && kx < kx_end; ky++)
        add_taps(layer, bx, ky, kx, kx_end - kx, y * layer->stride + ky - layer->padding,
                 column * layer->stride + kx - layer->padding, &window);
      if (dz != NULL)
        weigh(run, &window, x, dz + at, mem->dweights);
      else
        multiply(run, &window, x, mem->weights, mid.channels, depth, z + at);
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

/* dx = dz * turned weights, for a group. */
static void input_gradient(const pp_layer_run *run, const conv_memory *mem, int64_t images, float *dx) {
  const pp_layer *layer = run->layer;
  pp_shape in = layer->input;
  bordered bz = bordered_dz(layer);
  pp_window window = {.x_offsets = mem->x_offsets, .y_offsets = mem->y_offsets};
  int64_t depth = depth_of(layer, layer->middle.channels);
  if (is_small(layer)) {
    window.pixels = list_pixels(bz, images, 0, 0, 1, 1, 1, mem->x_offsets);
    list_pixels(plain(in), images, 0, 0, 1, 1, 1, mem->y_offsets);
    for (int64_t y = 0; y < in.height; y++)
      for (int64_t x = 0; x < in.width; x++) {
        add_turned_taps(layer, bz, y, x, 0, true, &window);
        multiply(run, &window, mem->dz, mem->weights, in.channels, depth, dx + (y * in.width + x) * in.channels);
      }
    return;
  }
  for (int64_t y = 0; y < pp_least(layer->stride, in.height); y++)
    for (int64_t x = 0; x < pp_least(layer->stride, in.width); x++) {
      int64_t rows = (in.height - y + layer->stride - 1) / layer->stride;
      int64_t columns = (in.width - x + layer->stride - 1) / layer->stride;
      window.pixels = list_pixels(bz, images, 0, 0, rows, columns, 1, mem->x_offsets);
      list_pixels(plain(in), images, y, x, rows, columns, layer->stride, mem->y_offsets);
      add_turned_taps(layer, bz, y, x, bz.top, false, &window);
      multiply(run, &window, mem->dz, mem->weights, in.channels, depth, dx);
    }
}

/* A group's input as the kernels read it. */
static const float *read_input(const pp_layer *layer, const conv_memory *mem, const float *x, int64_t images) {
  if (!copies_x(layer))
    return x;
  copy_in(x, layer->input, images, bordered_x(layer), mem->x);
  return mem->x;
}

static void forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  const pp_kernels *kernels = run->kernels;
  pp_shape middle = layer->middle, output = layer->output;
  int64_t group = group_of(layer, run->samples), channels = middle.channels;
  conv_memory mem = memory_of(run);
  pp_affine affine = pp_norm_affine(layer, &mem.norm);
  pp_norm_begin(run, &mem.norm);
  pack(layer, run->params + layer->weight, false, kernels, mem.weights);
  if (copies_x(layer))
    clear(mem.x, group * bordered_elements(bordered_x(layer)));
  for (int64_t first = 0; first < run->samples; first += group) {
    int64_t images = pp_least(run->samples - first, group), held = run->training ? first : 0;
    float *z = mem.z + held * pp_shape_elements(middle), *m = mem.m + held * pp_shape_elements(output);
    forward_product(run, &mem, images, read_input(layer, &mem, x + first * pp_shape_elements(layer->input), images), z,
                    NULL);
    if (run->training && layer->norm)
      pp_norm_add(run, &mem.norm, z, first * pp_pixels(middle), images * pp_pixels(middle));
    for (int64_t g = 0; g < images && layer->pool; g++)
      kernels->pool(z + g * pp_shape_elements(middle), middle.height, middle.width, channels, mem.norm.scale,
                    m + g * pp_shape_elements(output));
    if (!run->training)
      kernels->activate(m, images * pp_pixels(output), channels, &affine, y + first * pp_shape_elements(output));
  }
  if (!run->training)
    return;
  if (layer->norm)
    pp_norm_finish(run, &mem.norm);
  kernels->activate(mem.m, run->samples * pp_pixels(output), channels, &affine, y);
}

static void backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  const pp_kernels *kernels = run->kernels;
  pp_shape middle = layer->middle, output = layer->output;
  bordered bz = bordered_dz(layer);
  int64_t group = group_of(layer, run->samples), pitch = bz.width * bz.channels;
  conv_memory mem = memory_of(run);
  pp_affine affine = pp_norm_affine(layer, &mem.norm);
  pp_norm_gradient(run, &mem.norm, dy, mem.m, run->samples * pp_pixels(output));
  if (dx != NULL)
    pack(layer, run->params + layer->weight, true, kernels, mem.weights);
  if (copies_x(layer))
    clear(mem.x, group * bordered_elements(bordered_x(layer)));
  clear(mem.dz, group * bordered_elements(bz));
  clear(mem.dweights, packed_elements(layer, middle.channels, layer->input.channels, kernels));
  for (int64_t first = 0; first < run->samples; first += group) {
    int64_t images = pp_least(run->samples - first, group);
    for (int64_t g = 0; g < images; g++) {
      const float *z = mem.z + (first + g) * pp_shape_elements(middle);
      const float *from = dy + (first + g) * pp_shape_elements(output);
      float *dz = mem.dz + g * bordered_elements(bz) + bz.top * pitch + bz.left * bz.channels;
      if (layer->pool)
        kernels->undo_pool(from, z, mem.m + (first + g) * pp_shape_elements(output), middle.height, middle.width,
                           middle.channels, &affine, pitch, dz);
      else
        kernels->undo(from, z, middle.height, middle.width, middle.channels, &affine, pitch, dz);
    }
    const float *input = read_input(layer, &mem, x + first * pp_shape_elements(layer->input), images);
    forward_product(run, &mem, images, input, NULL, mem.dz);
    if (dx != NULL)
      input_gradient(run, &mem, images, dx + first * pp_shape_elements(layer->input));
  }
  unpack_add(layer, mem.dweights, kernels, run->grads + layer->weight);
}

static int info(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]) {
  static const char *const acts[] = {NULL, "relu", "hardswish", "hardsigmoid"};
  int64_t values = pp_shape_elements(layer->middle), weights = layer->bias;
  int count = 0;
  out[count++] = (pp_layer_info){.kind = layer->depthwise    ? PP_LAYER_DEPTHWISE
                                         : layer->kernel > 1 ? PP_LAYER_DENSE_CONV
                                                             : PP_LAYER_POINTWISE,
                                 .name = "conv",
                                 .macs = weights * pp_pixels(layer->middle),
                                 .inputs = pp_shape_elements(layer->input),
                                 .outputs = values,
                                 .parameters = weights + (layer->biased ? layer->middle.channels : 0)};
  if (layer->norm)
    out[count++] = (pp_layer_info){.kind = PP_LAYER_ELEMENTWISE,
                                   .name = "bn",
                                   .inputs = values,
                                   .outputs = values,
                                   .parameters = 2 * (int64_t)layer->middle.channels};
  if (layer->act != PP_ACT_NONE)
    out[count++] =
        (pp_layer_info){.kind = PP_LAYER_ELEMENTWISE, .name = acts[layer->act], .inputs = values, .outputs = values};
  if (layer->pool)
    out[count++] = (pp_layer_info){
        .kind = PP_LAYER_ELEMENTWISE, .name = "pool", .inputs = values, .outputs = pp_shape_elements(layer->output)};
  return count;
}

static int tensors(const pp_layer *layer, pp_layer_tensor out[PP_LAYER_MAX_TENSORS]) {
  int64_t channels = layer->middle.channels;
  const pp_initial zero = {PP_INITIAL_CONSTANT, 0.0}, one = {PP_INITIAL_CONSTANT, 1.0};
  int count = 0;
  out[count++] =
      (pp_layer_tensor){layer->name,
                        "weight",
                        4,
                        {channels, layer->depthwise ? 1 : layer->input.channels, layer->kernel, layer->kernel},
                        false,
                        layer->weight,
                        layer->initial_weight};
  if (layer->biased)
    out[count++] = (pp_layer_tensor){layer->name, "bias", 1, {channels}, false, layer->bias, layer->initial_bias};
  if (!layer->norm)
    return count;
  const char *norm = layer->norm_name;
  out[count++] = (pp_layer_tensor){norm, "weight", 1, {channels}, false, layer->gamma, one};
  out[count++] = (pp_layer_tensor){norm, "bias", 1, {channels}, false, layer->beta, zero};
  out[count++] = (pp_layer_tensor){norm, "running_mean", 1, {channels}, true, layer->mean, zero};
  out[count++] = (pp_layer_tensor){norm, "running_var", 1, {channels}, true, layer->variance, one};
  return count;
}

static const pp_layer_ops fast = {.plan = plan, .forward = forward, .backward = backward};

const pp_layer_type pp_conv_type = {
    .fast = &fast,
    .reference = &pp_conv_reference,
    .inputs = 1,
    .info = info,
    .tensors = tensors,
};
