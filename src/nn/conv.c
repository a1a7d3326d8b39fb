/* Convolution 3x3, padding 1, with the batch norm, ReLU and 2x2 max pool that follow it. Images are taken in groups of
 * a size that follows from the shape alone; a group is copied into a zero-padded buffer and stays in the second-level
 * cache for everything that is done with it. Pooling happens before the normalisation, which then runs on a quarter of
 * the values; in the backward pass no gradient of z is ever written but for one group.
 *
 * In training the bias cancels in the batch norm: it enters the running mean only and its gradient is exactly 0. */
#include "nn/layer.h"

#include <math.h>
#include <string.h>

enum {
  TAPS = 9,
  GROUP_PIXELS = 256, /* of a group, at least */
  PART_PIXELS = 256,  /* whose sums are taken in float before they are joined in double */
};

pp_layer_size pp_conv_setup(pp_layer *layer, pp_shape input, int channels, bool norm, bool pool) {
  layer->type = &pp_conv_type;
  layer->input = input;
  layer->middle = (pp_shape){channels, input.height, input.width};
  layer->output = pool ? (pp_shape){channels, input.height / 2, input.width / 2} : layer->middle;
  layer->norm = norm;
  layer->relu = true;
  layer->pool = pool;
  layer->epsilon = 1e-5F;
  layer->momentum = 0.1F;
  layer->weight = 0;
  layer->bias = (int64_t)channels * input.channels * TAPS;
  pp_layer_size size = {.parameters = layer->bias + channels};
  if (norm) {
    layer->gamma = size.parameters;
    layer->beta = layer->gamma + channels;
    size.parameters += 2 * (int64_t)channels;
    layer->mean = 0;
    layer->variance = channels;
    size.statistics = 2 * (int64_t)channels;
  }
  return size;
}

static int64_t pixels_of(pp_shape shape) { return (int64_t)shape.height * shape.width; }
static int64_t padded_pixels(pp_shape shape) { return ((int64_t)shape.height + 2) * (shape.width + 2); }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Images of one group. */
static int64_t group_of(const pp_layer *layer) {
  int64_t pixels = pixels_of(layer->middle);
  return (GROUP_PIXELS + pixels - 1) / pixels;
}

/* What is kept from forward to backward. */
typedef struct conv_kept {
  float *z;       /* (N, H, W, O): the convolution without its bias */
  float *m;       /* (N, H/2, W/2, O): what pooling chose of it; without pooling z itself */
  float *mean;    /* (O) of z over the micro-batch; without batch norm 0 */
  float *inverse; /* (O) 1 / deviation */
  float *scale;   /* (O) gamma / deviation; without batch norm 1 */
  float *shift;   /* (O) beta; without batch norm the bias */
} conv_kept;

static conv_kept cut_kept(const pp_layer *layer, int64_t samples, pp_cutter *cutter) {
  int64_t channels = layer->middle.channels;
  conv_kept kept = {.z = pp_cut(cutter, samples * pp_shape_elements(layer->middle))};
  kept.m = layer->pool ? pp_cut(cutter, samples * pp_shape_elements(layer->output)) : kept.z;
  kept.mean = pp_cut(cutter, channels);
  kept.inverse = pp_cut(cutter, channels);
  kept.scale = pp_cut(cutter, channels);
  kept.shift = pp_cut(cutter, channels);
  return kept;
}

/* G is the images of a group, panels are as kernels.h has them. */
typedef struct conv_scratch {
  float *weights;  /* (panels of O, 3, 3 x C) forward; (panels of C, 3, 3 x O), turned by 180 degrees, backward */
  float *dweights; /* (panels of O, 3, 3 x C) */
  float *x, *dz;   /* (G, H + 2, W + 2, C or O), zero at the edges */
  int32_t *x_first, *dz_first, *dz_middle; /* (G x H x W): where a pixel's taps begin in x and dz, and itself in dz */
  float *part[2];                          /* (O) */
  double *whole[2];                        /* (O) */
  float *slope, *offset;                   /* (O) */
} conv_scratch;

static int64_t panel_elements(int64_t outputs, int64_t inputs, const pp_kernels *kernels) {
  return (outputs + kernels->panel - 1) / kernels->panel * kernels->panel * TAPS * inputs;
}

static conv_scratch cut_scratch(const pp_layer *layer, const pp_layer_request *request, pp_cutter *cutter) {
  int64_t in = layer->input.channels, out = layer->middle.channels, group = group_of(layer);
  int64_t forward = panel_elements(out, in, request->kernels), backward = panel_elements(in, out, request->kernels);
  bool training = request->training;
  conv_scratch scratch = {.weights = pp_cut(cutter, training && backward > forward ? backward : forward)};
  scratch.dweights = pp_cut(cutter, training ? forward : 0);
  scratch.x = pp_cut(cutter, group * padded_pixels(layer->input) * in + PP_KERNEL_SLACK);
  scratch.dz = pp_cut(cutter, training ? group * padded_pixels(layer->middle) * out + PP_KERNEL_SLACK : 0);
  scratch.x_first = (int32_t *)pp_cut(cutter, group * pixels_of(layer->middle));
  scratch.dz_first = (int32_t *)pp_cut(cutter, training ? group * pixels_of(layer->middle) : 0);
  scratch.dz_middle = (int32_t *)pp_cut(cutter, training ? group * pixels_of(layer->middle) : 0);
  for (int i = 0; i < 2; i++) {
    scratch.part[i] = pp_cut(cutter, out);
    scratch.whole[i] = (double *)pp_cut(cutter, 2 * out);
  }
  scratch.slope = pp_cut(cutter, out);
  scratch.offset = pp_cut(cutter, out);
  return scratch;
}

static pp_layer_request request_of(const pp_layer_run *run) {
  return (pp_layer_request){.max_samples = run->max_samples, .training = run->training, .kernels = run->kernels};
}

/* In evaluation only one group's z is held, in the scratch. */
static void plan(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out) {
  pp_cutter kept = {0}, scratch = {0};
  cut_scratch(layer, request, &scratch);
  if (request->training)
    cut_kept(layer, request->max_samples, &kept);
  else
    cut_kept(layer, group_of(layer), &scratch);
  out->kept = kept.used;
  out->scratch = scratch.used;
}

/* Packs weights (O, C, 3, 3) into panels of output channels; `turned` swaps inputs and outputs and reverses the taps,
 * for the gradient of the input. */
static void pack(const pp_layer *layer, const float *weight, bool turned, int64_t panel, float *packed) {
  int64_t in = layer->input.channels, out = layer->middle.channels;
  int64_t from = turned ? out : in, to = turned ? in : out;
  int64_t from_step = turned ? in * TAPS : TAPS, to_step = turned ? TAPS : in * TAPS;
  for (int64_t first = 0; first < to; first += panel)
    for (int64_t tap = 0; tap < TAPS; tap++)
      for (int64_t f = 0; f < from; f++, packed += panel) {
        const float *source = weight + f * from_step + first * to_step + (turned ? TAPS - 1 - tap : tap);
        int64_t width = least(to - first, panel);
        for (int64_t t = 0; t < width; t++)
          packed[t] = source[t * to_step];
        for (int64_t t = width; t < panel; t++)
          packed[t] = 0.0F;
      }
}

/* Adds the packed gradients to the weights' own. */
static void unpack_add(const pp_layer *layer, const float *packed, int64_t panel, float *dweight) {
  int64_t in = layer->input.channels, out = layer->middle.channels;
  for (int64_t o = 0; o < out; o++) {
    const float *from = packed + o / panel * panel * TAPS * in + o % panel;
    for (int64_t c = 0; c < in; c++)
      for (int64_t tap = 0; tap < TAPS; tap++)
        dweight[(o * in + c) * TAPS + tap] += from[(tap * in + c) * panel];
  }
}

/* Where pixel (g, y, x) of a group begins in a padded buffer, `by` pixels further on. */
static void fill_offsets(pp_shape shape, int64_t group, int64_t by, int32_t *offsets) {
  int64_t pitch = shape.width + 2;
  for (int64_t g = 0; g < group; g++)
    for (int64_t y = 0; y < shape.height; y++)
      for (int64_t x = 0; x < shape.width; x++)
        *offsets++ = (int32_t)((g * padded_pixels(shape) + y * pitch + x + by) * shape.channels);
}

static pp_window window_of(pp_shape shape, const int32_t *offsets, int64_t images) {
  return (pp_window){
      .offsets = offsets,
      .pixels = images * pixels_of(shape),
      .runs = 3,
      .run_length = 3 * (int64_t)shape.channels,
      .run_stride = ((int64_t)shape.width + 2) * shape.channels,
  };
}

static void clear(float *x, int64_t count) { memset(x, 0, (size_t)count * sizeof *x); }

static void copy_padded(pp_shape shape, int64_t images, const float *x, float *padded) {
  int64_t row = (int64_t)shape.width * shape.channels, pitch = row + 2 * (int64_t)shape.channels;
  for (int64_t g = 0; g < images; g++) {
    float *to = padded + g * padded_pixels(shape) * shape.channels + pitch + shape.channels;
    for (int64_t y = 0; y < shape.height; y++, x += row, to += pitch)
      memcpy(to, x, (size_t)row * sizeof *x);
  }
}

/* Joins the moments of `pixels` more pixels after `before` to the whole's: parts in float around their own mean, joined
 * in double, so that no digits are lost where the mean is large (Chan, Golub and LeVeque, 1983, eq. 2.1). */
static void add_moments(const pp_layer_run *run, const conv_scratch *s, const float *z, int64_t before,
                        int64_t pixels) {
  int64_t channels = run->layer->middle.channels;
  for (int64_t first = 0; first < pixels; first += PART_PIXELS) {
    int64_t count = least(pixels - first, PART_PIXELS);
    run->kernels->moments(z + first * channels, count, channels, s->part[0], s->part[1]);
    double a = (double)(before + first), b = (double)count;
    for (int64_t c = 0; c < channels; c++) {
      double delta = (double)s->part[0][c] - s->whole[0][c];
      s->whole[0][c] += delta * (b / (a + b));
      s->whole[1][c] += (double)s->part[1][c] + delta * delta * (a * b / (a + b));
    }
  }
}

/* The normalisation y = (z - mean) x scale + shift from the micro-batch's moments; moves the running statistics. */
static void normalise_batch(const pp_layer_run *run, const conv_scratch *s, conv_kept *kept) {
  const pp_layer *layer = run->layer;
  int64_t values = run->samples * pixels_of(layer->middle);
  const float *gamma = run->params + layer->gamma, *bias = run->params + layer->bias;
  float *running_mean = run->stats + layer->mean, *running_variance = run->stats + layer->variance;
  PP_ASSERT(values > 1);
  for (int64_t c = 0; c < layer->middle.channels; c++) {
    float mean = (float)s->whole[0][c], variance = (float)(s->whole[1][c] / (double)values);
    float unbiased = (float)(s->whole[1][c] / (double)(values - 1));
    running_mean[c] += layer->momentum * (mean + bias[c] - running_mean[c]);
    running_variance[c] += layer->momentum * (unbiased - running_variance[c]);
    kept->mean[c] = mean;
    kept->inverse[c] = 1.0F / sqrtf(variance + layer->epsilon);
    kept->scale[c] = gamma[c] * kept->inverse[c];
  }
}

/* What is known of the normalisation before any value is: all of it in evaluation and without batch norm; the sign of
 * scale in any case, which pooling needs. */
static void normalise_before(const pp_layer_run *run, conv_kept *kept) {
  const pp_layer *layer = run->layer;
  for (int64_t c = 0; c < layer->middle.channels; c++) {
    float bias = run->params[layer->bias + c];
    kept->mean[c] = 0.0F;
    kept->scale[c] = 1.0F;
    kept->shift[c] = bias;
    if (!layer->norm)
      continue;
    kept->scale[c] = run->params[layer->gamma + c];
    kept->shift[c] = run->params[layer->beta + c];
    if (run->training)
      continue;
    kept->mean[c] = run->stats[layer->mean + c] - bias;
    kept->scale[c] /= sqrtf(run->stats[layer->variance + c] + layer->epsilon);
  }
}

static void forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  const pp_kernels *kernels = run->kernels;
  pp_shape middle = layer->middle, output = layer->output;
  int64_t group = group_of(layer), channels = middle.channels;
  pp_layer_request request = request_of(run);
  pp_cutter cutter = {.base = run->scratch};
  conv_scratch s = cut_scratch(layer, &request, &cutter);
  conv_kept kept = run->training ? cut_kept(layer, run->max_samples, &(pp_cutter){.base = run->kept})
                                 : cut_kept(layer, group, &cutter);
  normalise_before(run, &kept);
  pack(layer, run->params + layer->weight, false, kernels->panel, s.weights);
  fill_offsets(layer->input, group, 0, s.x_first);
  clear(s.x, group * padded_pixels(layer->input) * layer->input.channels);
  memset(s.whole[0], 0, (size_t)channels * sizeof(double));
  memset(s.whole[1], 0, (size_t)channels * sizeof(double));
  for (int64_t first = 0; first < run->samples; first += group) {
    int64_t images = least(run->samples - first, group), kept_first = run->training ? first : 0;
    float *z = kept.z + kept_first * pp_shape_elements(middle), *m = kept.m + kept_first * pp_shape_elements(output);
    pp_window window = window_of(layer->input, s.x_first, images);
    copy_padded(layer->input, images, x + first * pp_shape_elements(layer->input), s.x);
    kernels->convolve(&window, s.x, s.weights, channels, z);
    if (run->training && layer->norm)
      add_moments(run, &s, z, first * pixels_of(middle), images * pixels_of(middle));
    for (int64_t g = 0; g < images && layer->pool; g++)
      kernels->pool(z + g * pp_shape_elements(middle), middle.height, middle.width, channels, kept.scale,
                    m + g * pp_shape_elements(output));
    if (!run->training)
      kernels->activate(m, images * pixels_of(output), channels, kept.mean, kept.scale, kept.shift,
                        y + first * pp_shape_elements(output));
  }
  if (!run->training)
    return;
  if (layer->norm)
    normalise_batch(run, &s, &kept);
  kernels->activate(kept.m, run->samples * pixels_of(output), channels, kept.mean, kept.scale, kept.shift, y);
}

/* Gradients of gamma and beta, or of the bias, and what the gradient of z needs of them (Ioffe and Szegedy, 2015): dz =
 * scale x (dy - mean(dy) - (z - mean) x inverse^2 x mean(dy x (z - mean))). */
static void gradient_sums(const pp_layer_run *run, const conv_kept *kept, const conv_scratch *s, const float *dy) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->middle.channels, pixels = run->samples * pixels_of(layer->output);
  memset(s->whole[0], 0, (size_t)channels * sizeof(double));
  memset(s->whole[1], 0, (size_t)channels * sizeof(double));
  for (int64_t first = 0; first < pixels; first += PART_PIXELS) {
    run->kernels->gradient_sums(dy + first * channels, kept->m + first * channels, least(pixels - first, PART_PIXELS),
                                channels, kept->mean, kept->scale, kept->shift, s->part[0], s->part[1]);
    for (int64_t c = 0; c < channels; c++) {
      s->whole[0][c] += (double)s->part[0][c];
      s->whole[1][c] += (double)s->part[1][c];
    }
  }
  double values = (double)(run->samples * pixels_of(layer->middle));
  for (int64_t c = 0; c < channels; c++) {
    double plain = s->whole[0][c], product = s->whole[1][c];
    s->slope[c] = s->offset[c] = 0.0F;
    if (!layer->norm) {
      run->grads[layer->bias + c] += (float)plain;
      continue;
    }
    double scale = (double)kept->scale[c], inverse = (double)kept->inverse[c];
    run->grads[layer->gamma + c] += (float)(product * inverse);
    run->grads[layer->beta + c] += (float)plain;
    s->slope[c] = (float)(-scale * inverse * inverse * product / values);
    s->offset[c] = (float)(-scale * plain / values);
  }
}

static void backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  const pp_kernels *kernels = run->kernels;
  pp_shape input = layer->input, middle = layer->middle, output = layer->output;
  int64_t group = group_of(layer), pitch = ((int64_t)middle.width + 2) * middle.channels;
  pp_layer_request request = request_of(run);
  conv_scratch s = cut_scratch(layer, &request, &(pp_cutter){.base = run->scratch});
  conv_kept kept = cut_kept(layer, run->max_samples, &(pp_cutter){.base = run->kept});
  gradient_sums(run, &kept, &s, dy);
  pp_undo undo = {kept.mean, kept.scale, kept.shift, s.slope, s.offset};
  if (dx != NULL)
    pack(layer, run->params + layer->weight, true, kernels->panel, s.weights);
  fill_offsets(input, group, 0, s.x_first);
  fill_offsets(middle, group, 0, s.dz_first);
  fill_offsets(middle, group, middle.width + 3, s.dz_middle);
  clear(s.x, group * padded_pixels(input) * input.channels);
  clear(s.dz, group * padded_pixels(middle) * middle.channels);
  clear(s.dweights, panel_elements(middle.channels, input.channels, kernels));
  for (int64_t first = 0; first < run->samples; first += group) {
    int64_t images = least(run->samples - first, group);
    for (int64_t g = 0; g < images; g++) {
      const float *z = kept.z + (first + g) * pp_shape_elements(middle);
      const float *from = dy + (first + g) * pp_shape_elements(output);
      float *dz = s.dz + g * padded_pixels(middle) * middle.channels + pitch + middle.channels;
      if (layer->pool)
        kernels->undo_pool(from, z, kept.m + (first + g) * pp_shape_elements(output), middle.height, middle.width,
                           middle.channels, &undo, pitch, dz);
      else
        kernels->undo(from, z, middle.height, middle.width, middle.channels, &undo, pitch, dz);
    }
    copy_padded(input, images, x + first * pp_shape_elements(input), s.x);
    pp_window window = window_of(input, s.x_first, images);
    kernels->weight_gradient(&window, s.x, s.dz, s.dz_middle, middle.channels, s.dweights);
    if (dx == NULL)
      continue;
    window = window_of(middle, s.dz_first, images);
    kernels->convolve(&window, s.dz, s.weights, input.channels, dx + first * pp_shape_elements(input));
  }
  unpack_add(layer, s.dweights, kernels->panel, run->grads + layer->weight);
}

static int info(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]) {
  int64_t values = pp_shape_elements(layer->middle), weights = layer->bias;
  int count = 0;
  out[count++] = (pp_layer_info){.kind = PP_LAYER_DENSE_CONV,
                                 .name = "conv",
                                 .macs = weights * pixels_of(layer->middle),
                                 .inputs = pp_shape_elements(layer->input),
                                 .outputs = values,
                                 .parameters = weights + layer->middle.channels};
  if (layer->norm)
    out[count++] = (pp_layer_info){.kind = PP_LAYER_ELEMENTWISE,
                                   .name = "bn",
                                   .inputs = values,
                                   .outputs = values,
                                   .parameters = 2 * (int64_t)layer->middle.channels};
  if (layer->relu)
    out[count++] = (pp_layer_info){.kind = PP_LAYER_ELEMENTWISE, .name = "relu", .inputs = values, .outputs = values};
  if (layer->pool)
    out[count++] = (pp_layer_info){
        .kind = PP_LAYER_ELEMENTWISE, .name = "pool", .inputs = values, .outputs = pp_shape_elements(layer->output)};
  return count;
}

static int tensors(const pp_layer *layer, pp_layer_tensor out[PP_LAYER_MAX_TENSORS]) {
  int64_t channels = layer->middle.channels;
  int count = 0;
  out[count++] = (pp_layer_tensor){
      .name = "conv.weight", .rank = 4, .shape = {channels, layer->input.channels, 3, 3}, .offset = layer->weight};
  out[count++] = (pp_layer_tensor){.name = "conv.bias", .rank = 1, .shape = {channels}, .offset = layer->bias};
  if (!layer->norm)
    return count;
  out[count++] = (pp_layer_tensor){.name = "bn.weight", .rank = 1, .shape = {channels}, .offset = layer->gamma};
  out[count++] = (pp_layer_tensor){.name = "bn.bias", .rank = 1, .shape = {channels}, .offset = layer->beta};
  out[count++] = (pp_layer_tensor){
      .name = "bn.running_mean", .rank = 1, .shape = {channels}, .is_statistic = true, .offset = layer->mean};
  out[count++] = (pp_layer_tensor){
      .name = "bn.running_var", .rank = 1, .shape = {channels}, .is_statistic = true, .offset = layer->variance};
  return count;
}

static const pp_layer_ops fast = {.plan = plan, .forward = forward, .backward = backward};

const pp_layer_type pp_conv_type = {
    .fast = &fast,
    .reference = &pp_conv_reference,
    .info = info,
    .tensors = tensors,
};
