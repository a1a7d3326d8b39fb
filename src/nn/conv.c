/* Convolution 3x3, padding 1, with the batch norm, ReLU and 2x2 max pool that follow it. The convolution is lowered to
 * OpenBLAS in chunks of image rows whose size follows from the shape alone, so that a micro-batch's bits depend on
 * nothing else.
 *
 * In training the bias cancels in the batch norm: it enters the running mean only and its gradient is exactly 0. */
#include "nn/layer.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

enum {
  TAPS = 9,
  CHUNK_PIXELS = 512, /* of a chunk, about: its matrix should stay in the second-level cache */
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

/* Image rows of one chunk, counted over all samples. */
static int64_t chunk_rows(const pp_layer *layer) {
  int64_t rows = CHUNK_PIXELS / layer->middle.width;
  return rows < 1 ? 1 : rows;
}

/* What is kept from forward to backward. */
typedef struct conv_kept {
  float *z;       /* (N, H, W, O): the convolution without its bias */
  float *mean;    /* (O) of z over the micro-batch; without batch norm 0 */
  float *inverse; /* (O) 1 / deviation */
  float *scale;   /* (O) gamma / deviation; without batch norm 1 */
  float *shift;   /* (O) beta; without batch norm the bias */
} conv_kept;

static conv_kept cut_kept(const pp_layer *layer, int64_t samples, pp_cutter *cutter) {
  int64_t channels = layer->middle.channels;
  conv_kept kept = {.z = pp_cut(cutter, samples * pp_shape_elements(layer->middle))};
  kept.mean = pp_cut(cutter, channels);
  kept.inverse = pp_cut(cutter, channels);
  kept.scale = pp_cut(cutter, channels);
  kept.shift = pp_cut(cutter, channels);
  return kept;
}

typedef struct conv_scratch {
  float *weights; /* (taps, C, O) forward, (taps, O, C) turned by 180 degrees backward */
  float *dweight; /* (taps, C, O) */
  float *matrix;  /* (pixels of a chunk, taps, C or O) */
  float *dz;      /* (N, H, W, O); training only */
  float *sums;    /* (2, O) */
} conv_scratch;

static conv_scratch cut_scratch(const pp_layer *layer, int64_t samples, bool training, pp_cutter *cutter) {
  int64_t in = layer->input.channels, out = layer->middle.channels;
  int64_t widest = training && out > in ? out : in;
  conv_scratch scratch = {.weights = pp_cut(cutter, TAPS * in * out)};
  scratch.dweight = pp_cut(cutter, training ? TAPS * in * out : 0);
  scratch.matrix = pp_cut(cutter, chunk_rows(layer) * layer->middle.width * TAPS * widest);
  scratch.dz = pp_cut(cutter, training ? samples * pp_shape_elements(layer->middle) : 0);
  scratch.sums = pp_cut(cutter, 2 * out);
  return scratch;
}

static void plan(const pp_layer *layer, int max_samples, bool training, pp_layer_plan *out) {
  pp_cutter kept = {0}, scratch = {0};
  cut_scratch(layer, max_samples, training, &scratch);
  cut_kept(layer, max_samples, training ? &kept : &scratch);
  out->kept = kept.used;
  out->scratch = scratch.used;
}

/* The 3x3 neighbourhoods of image rows [first, first + rows): matrix (rows x W, taps, C). */
static void lower(const float *x, pp_shape shape, int64_t first, int64_t rows, float *matrix) {
  int64_t height = shape.height, width = shape.width, channels = shape.channels;
  size_t pixel_bytes = (size_t)channels * sizeof *x;
  for (int64_t row = first; row < first + rows; row++) {
    int64_t y = row % height;
    for (int64_t column = 0; column < width; column++) {
      for (int64_t ky = -1; ky <= 1; ky++, matrix += 3 * channels) {
        if (y + ky < 0 || y + ky >= height) {
          memset(matrix, 0, 3 * pixel_bytes);
          continue;
        }
        const float *from = x + ((row + ky) * width + column) * channels; /* the middle tap */
        if (column > 0 && column < width - 1) {
          memcpy(matrix, from - channels, 3 * pixel_bytes);
          continue;
        }
        memcpy(matrix + channels, from, pixel_bytes);
        if (column > 0)
          memcpy(matrix, from - channels, pixel_bytes);
        else
          memset(matrix, 0, pixel_bytes);
        if (column < width - 1)
          memcpy(matrix + 2 * channels, from + channels, pixel_bytes);
        else
          memset(matrix + 2 * channels, 0, pixel_bytes);
      }
    }
  }
}

/* z = convolution of x with weights (taps, C, O), over all rows. */
static void convolve(const pp_layer *layer, int samples, pp_shape from, int64_t to_channels, const float *x,
                     const float *weights, float *matrix, float *z) {
  int64_t total = (int64_t)samples * from.height, step = chunk_rows(layer), depth = TAPS * (int64_t)from.channels;
  for (int64_t row = 0; row < total; row += step) {
    int64_t rows = total - row < step ? total - row : step;
    lower(x, from, row, rows, matrix);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)(rows * from.width), (int)to_channels, (int)depth, 1.0F,
                matrix, (int)depth, weights, (int)to_channels, 0.0F, z + row * from.width * to_channels,
                (int)to_channels);
  }
}

static void pack_forward(const pp_layer *layer, const float *weight, float *packed) {
  int64_t in = layer->input.channels, out = layer->middle.channels;
  for (int64_t o = 0; o < out; o++)
    for (int64_t c = 0; c < in; c++)
      for (int64_t tap = 0; tap < TAPS; tap++)
        packed[(tap * in + c) * out + o] = weight[(o * in + c) * TAPS + tap];
}

static void pack_backward(const pp_layer *layer, const float *weight, float *packed) {
  int64_t in = layer->input.channels, out = layer->middle.channels;
  for (int64_t o = 0; o < out; o++)
    for (int64_t c = 0; c < in; c++)
      for (int64_t tap = 0; tap < TAPS; tap++)
        packed[(tap * out + o) * in + c] = weight[(o * in + c) * TAPS + TAPS - 1 - tap];
}

/* Mean and mean square deviation per channel over all pixels: each chunk in float around its own mean, chunks joined in
 * double (Chan, Golub and LeVeque, 1983, eq. 2.1), so that no digits are lost where the mean is large. */
static void statistics(const pp_layer *layer, int samples, const float *z, float *sums, float *mean, float *variance) {
  int64_t channels = layer->middle.channels, pixels = samples * pixels_of(layer->middle);
  enum { PART = 256 }; /* pixels */
  for (int64_t c0 = 0; c0 < channels; c0 += 64) {
    int64_t width = channels - c0 < 64 ? channels - c0 : 64;
    double means[64] = {0}, squares[64] = {0};
    for (int64_t first = 0; first < pixels; first += PART) {
      int64_t count = pixels - first < PART ? pixels - first : PART;
      const float *part = z + first * channels + c0;
      float *sum = sums, *square = sums + width;
      memset(sums, 0, (size_t)(2 * width) * sizeof *sums);
      for (int64_t p = 0; p < count; p++)
        for (int64_t c = 0; c < width; c++)
          sum[c] += part[p * channels + c];
      for (int64_t c = 0; c < width; c++)
        sum[c] /= (float)count;
      for (int64_t p = 0; p < count; p++)
        for (int64_t c = 0; c < width; c++) {
          float difference = part[p * channels + c] - sum[c];
          square[c] += difference * difference;
        }
      double before = (double)first, both = (double)(first + count);
      for (int64_t c = 0; c < width; c++) {
        double delta = (double)sum[c] - means[c];
        means[c] += delta * (double)count / both;
        squares[c] += (double)square[c] + delta * delta * before * (double)count / both;
      }
    }
    for (int64_t c = 0; c < width; c++) {
      mean[c0 + c] = (float)means[c];
      variance[c0 + c] = (float)(squares[c] / (double)pixels);
    }
  }
}

/* The normalisation y = (z - mean) x scale + shift, from the micro-batch or from the running statistics. */
static void normalisation(const pp_layer_run *run, conv_kept *kept, float *sums, const float *z) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->middle.channels, values = run->samples * pixels_of(layer->middle);
  const float *gamma = run->params + layer->gamma, *beta = run->params + layer->beta;
  const float *bias = run->params + layer->bias;
  float *running_mean = run->stats + layer->mean, *running_variance = run->stats + layer->variance;
  if (!run->training) {
    for (int64_t c = 0; c < channels; c++) {
      kept->mean[c] = running_mean[c] - bias[c];
      kept->scale[c] = gamma[c] / sqrtf(running_variance[c] + layer->epsilon);
      kept->shift[c] = beta[c];
    }
    return;
  }
  PP_ASSERT(values > 1);
  float *variance = kept->inverse; /* until it is replaced below */
  statistics(layer, run->samples, z, sums, kept->mean, variance);
  float unbiased = (float)((double)values / (double)(values - 1));
  for (int64_t c = 0; c < channels; c++) {
    running_mean[c] += layer->momentum * (kept->mean[c] + bias[c] - running_mean[c]);
    running_variance[c] += layer->momentum * (variance[c] * unbiased - running_variance[c]);
    kept->inverse[c] = 1.0F / sqrtf(variance[c] + layer->epsilon);
    kept->scale[c] = gamma[c] * kept->inverse[c];
    kept->shift[c] = beta[c];
  }
}

/* NaN stays in both. */
static inline float relu(float v) { return 0.0F > v ? 0.0F : v; }
static inline float larger(float best, float v) { return best > v || best != best ? best : v; }

/* y = pooled ReLU of (z - mean) x scale + shift. */
static void activate(const pp_layer *layer, int samples, const conv_kept *kept, const float *z, float *y) {
  int64_t channels = layer->middle.channels, width = layer->middle.width;
  const float *restrict mean = kept->mean, *restrict scale = kept->scale, *restrict shift = kept->shift;
  if (!layer->pool) {
    for (int64_t p = 0; p < samples * pixels_of(layer->middle); p++)
      for (int64_t c = 0; c < channels; c++)
        y[p * channels + c] = relu((z[p * channels + c] - mean[c]) * scale[c] + shift[c]);
    return;
  }
  for (int n = 0; n < samples; n++)
    for (int64_t row = 0; row < layer->output.height; row++)
      for (int64_t column = 0; column < layer->output.width; column++, y += channels) {
        const float *a = z + (((int64_t)n * layer->middle.height + 2 * row) * width + 2 * column) * channels;
        const float *b = a + width * channels;
        for (int64_t c = 0; c < channels; c++) {
          float top = larger((a[c] - mean[c]) * scale[c] + shift[c], (a[c + channels] - mean[c]) * scale[c] + shift[c]);
          float bottom =
              larger((b[c] - mean[c]) * scale[c] + shift[c], (b[c + channels] - mean[c]) * scale[c] + shift[c]);
          y[c] = relu(larger(top, bottom));
        }
      }
}

static void forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->middle.channels;
  pp_cutter cutter = {.base = run->scratch};
  conv_scratch scratch = cut_scratch(layer, run->max_samples, run->training, &cutter);
  conv_kept kept = cut_kept(layer, run->max_samples, run->training ? &(pp_cutter){.base = run->kept} : &cutter);
  pack_forward(layer, run->params + layer->weight, scratch.weights);
  convolve(layer, run->samples, layer->input, channels, x, scratch.weights, scratch.matrix, kept.z);
  if (layer->norm) {
    normalisation(run, &kept, scratch.sums, kept.z);
  } else {
    const float *bias = run->params + layer->bias;
    for (int64_t c = 0; c < channels; c++) {
      kept.scale[c] = 1.0F;
      kept.shift[c] = bias[c];
      kept.mean[c] = 0.0F;
    }
  }
  activate(layer, run->samples, &kept, kept.z, y);
}

/* dz = the gradient before pooling and ReLU: that of the normalised values, zero where another value was the largest.
 */
static void deactivate(const pp_layer *layer, int samples, const conv_kept *kept, const float *dy, float *dz) {
  int64_t channels = layer->middle.channels, width = layer->middle.width;
  const float *restrict z = kept->z, *restrict mean = kept->mean;
  const float *restrict scale = kept->scale, *restrict shift = kept->shift;
  if (!layer->pool) {
    for (int64_t p = 0; p < samples * pixels_of(layer->middle); p++)
      for (int64_t c = 0; c < channels; c++)
        dz[p * channels + c] =
            (z[p * channels + c] - mean[c]) * scale[c] + shift[c] <= 0.0F ? 0.0F : dy[p * channels + c];
    return;
  }
  memset(dz, 0, (size_t)(samples * pp_shape_elements(layer->middle)) * sizeof *dz);
  for (int n = 0; n < samples; n++)
    for (int64_t row = 0; row < layer->output.height; row++)
      for (int64_t column = 0; column < layer->output.width; column++, dy += channels) {
        int64_t at = (((int64_t)n * layer->middle.height + 2 * row) * width + 2 * column) * channels;
        const float *a = z + at, *b = a + width * channels;
        float *da = dz + at, *db = da + width * channels;
        for (int64_t c = 0; c < channels; c++) {
          float v0 = (a[c] - mean[c]) * scale[c] + shift[c], v1 = (a[c + channels] - mean[c]) * scale[c] + shift[c];
          float v2 = (b[c] - mean[c]) * scale[c] + shift[c], v3 = (b[c + channels] - mean[c]) * scale[c] + shift[c];
          float best = larger(larger(v0, v1), larger(v2, v3)), gradient = best <= 0.0F ? 0.0F : dy[c];
          bool is0 = v0 == best || v0 != v0, is1 = !is0 && (v1 == best || v1 != v1);
          bool is2 = !is0 && !is1 && (v2 == best || v2 != v2), is3 = !is0 && !is1 && !is2;
          da[c] = is0 ? gradient : 0.0F;
          da[c + channels] = is1 ? gradient : 0.0F;
          db[c] = is2 ? gradient : 0.0F;
          db[c + channels] = is3 ? gradient : 0.0F;
        }
      }
}

/* Sums over all pixels of dz and of dz x (z - mean), per channel: fixed parts in float, joined in double. */
static void gradient_sums(const pp_layer *layer, int samples, const conv_kept *kept, const float *dz, float *sums,
                          double *plain, double *product, int64_t c0, int64_t width) {
  int64_t channels = layer->middle.channels, pixels = samples * pixels_of(layer->middle);
  enum { PART = 256 };
  memset(plain, 0, (size_t)width * sizeof *plain);
  memset(product, 0, (size_t)width * sizeof *product);
  for (int64_t first = 0; first < pixels; first += PART) {
    int64_t count = pixels - first < PART ? pixels - first : PART;
    const float *dpart = dz + first * channels + c0, *part = kept->z + first * channels + c0;
    const float *restrict mean = kept->mean + c0;
    float *restrict a = sums, *restrict b = sums + width;
    memset(sums, 0, (size_t)(2 * width) * sizeof *sums);
    for (int64_t p = 0; p < count; p++)
      for (int64_t c = 0; c < width; c++) {
        a[c] += dpart[p * channels + c];
        b[c] += dpart[p * channels + c] * (part[p * channels + c] - mean[c]);
      }
    for (int64_t c = 0; c < width; c++) {
      plain[c] += (double)a[c];
      product[c] += (double)b[c];
    }
  }
}

/* Through batch norm: dz becomes the convolution's gradient; gamma's and beta's (or the bias's) are added. */
static void denormalise(const pp_layer_run *run, const conv_kept *kept, float *sums, float *dz) {
  const pp_layer *layer = run->layer;
  int64_t channels = layer->middle.channels, pixels = run->samples * pixels_of(layer->middle);
  for (int64_t c0 = 0; c0 < channels; c0 += 64) {
    int64_t width = channels - c0 < 64 ? channels - c0 : 64;
    double plain[64], product[64];
    gradient_sums(layer, run->samples, kept, dz, sums, plain, product, c0, width);
    if (!layer->norm) {
      for (int64_t c = 0; c < width; c++)
        run->grads[layer->bias + c0 + c] += (float)plain[c];
      continue;
    }
    /* dz = scale x (dy - mean(dy) - (z - mean) x inverse^2 x mean(dy x (z - mean))): Ioffe and Szegedy, 2015 */
    float slope[64], offset[64], factor[64];
    for (int64_t c = 0; c < width; c++) {
      double scale = (double)kept->scale[c0 + c];
      double inverse = (double)kept->inverse[c0 + c];
      run->grads[layer->gamma + c0 + c] += (float)(product[c] * inverse);
      run->grads[layer->beta + c0 + c] += (float)plain[c];
      double along = -scale * inverse * inverse * product[c] / (double)pixels;
      factor[c] = (float)scale;
      slope[c] = (float)along;
      offset[c] = (float)(-scale * plain[c] / (double)pixels);
    }
    for (int64_t p = 0; p < pixels; p++) {
      float *restrict d = dz + p * channels + c0;
      const float *restrict v = kept->z + p * channels + c0, *restrict mean = kept->mean + c0;
      for (int64_t c = 0; c < width; c++)
        d[c] = d[c] * factor[c] + ((v[c] - mean[c]) * slope[c] + offset[c]);
    }
  }
}

static void backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  int64_t in = layer->input.channels, out = layer->middle.channels;
  conv_scratch scratch = cut_scratch(layer, run->max_samples, true, &(pp_cutter){.base = run->scratch});
  conv_kept kept = cut_kept(layer, run->max_samples, &(pp_cutter){.base = run->kept});
  deactivate(layer, run->samples, &kept, dy, scratch.dz);
  denormalise(run, &kept, scratch.sums, scratch.dz);
  int64_t total = (int64_t)run->samples * layer->input.height, step = chunk_rows(layer), depth = TAPS * in;
  for (int64_t row = 0; row < total; row += step) {
    int64_t rows = total - row < step ? total - row : step;
    lower(x, layer->input, row, rows, scratch.matrix);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)depth, (int)out, (int)(rows * layer->input.width), 1.0F,
                scratch.matrix, (int)depth, scratch.dz + row * layer->input.width * out, (int)out,
                row == 0 ? 0.0F : 1.0F, scratch.dweight, (int)out);
  }
  float *dweight = run->grads + layer->weight;
  for (int64_t o = 0; o < out; o++)
    for (int64_t c = 0; c < in; c++)
      for (int64_t tap = 0; tap < TAPS; tap++)
        dweight[(o * in + c) * TAPS + tap] += scratch.dweight[(tap * in + c) * out + o];
  if (dx == NULL)
    return;
  pack_backward(layer, run->params + layer->weight, scratch.weights);
  convolve(layer, run->samples, layer->middle, in, scratch.dz, scratch.weights, scratch.matrix, dx);
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
