/* See kernels.h. Compiled once per instruction set, with its vectors' bytes and the name of the table; products and
 * sums are contracted where the set has a fused multiply-add. */
#include "nn/kernels.h"

#include <string.h>

enum {
  LANES = PP_VECTOR_BYTES / 4,
  PANEL = 2 * LANES,
  TILE = PP_TILE,        /* pixels of a tile: TILE x 2 accumulators stay in registers */
  ROWS = PP_ROWS,        /* weights of a weight-gradient tile */
  GRADIENT_PIXELS = 128, /* whose gradients stay in the first-level cache */
};

typedef float vec __attribute__((vector_size(PP_VECTOR_BYTES)));

#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const float *p) {
  vec v;
  memcpy(&v, p, sizeof v);
  return v;
}
INLINE void store(float *p, vec v) { memcpy(p, &v, sizeof v); }

/* Stores the first `count` of a panel's lanes. */
INLINE void store_panel(float *to, const vec *from, int64_t count) {
  if (count >= PANEL) {
    store(to, from[0]);
    store(to + LANES, from[1]);
  } else {
    memcpy(to, from, (size_t)count * sizeof(float));
  }
}

INLINE void convolve_tile(const int vectors, const pp_window *window, const float *x, const int32_t *offsets,
                          const float *weights, vec out[TILE][2]) {
  const float *pixel[TILE];
  vec sum[TILE][2];
#pragma GCC unroll 16
  for (int t = 0; t < TILE; t++) {
    pixel[t] = x + offsets[t];
    sum[t][0] = sum[t][1] = (vec){0};
  }
  for (int64_t run = 0; run < window->runs; run++) {
    for (int64_t k = 0; k < window->run_length; k++) {
      vec w0 = load(weights), w1 = vectors > 1 ? load(weights + LANES) : w0;
      weights += PANEL;
#pragma GCC unroll 16
      for (int t = 0; t < TILE; t++) {
        sum[t][0] += w0 * pixel[t][k];
        if (vectors > 1)
          sum[t][1] += w1 * pixel[t][k];
      }
    }
#pragma GCC unroll 16
    for (int t = 0; t < TILE; t++)
      pixel[t] += window->run_stride;
  }
#pragma GCC unroll 16
  for (int t = 0; t < TILE; t++) {
    out[t][0] = sum[t][0];
    out[t][1] = sum[t][1];
  }
}

static void convolve(const pp_window *window, const float *x, const float *weights, int64_t outputs, float *y) {
  int64_t depth = window->runs * window->run_length;
  for (int64_t o = 0; o < outputs; o += PANEL, weights += depth * PANEL) {
    int64_t width = outputs - o < PANEL ? outputs - o : PANEL;
    for (int64_t first = 0; first < window->pixels; first += TILE) {
      int64_t count = window->pixels - first < TILE ? window->pixels - first : TILE;
      int32_t offsets[TILE]; /* a ragged tile computes its last pixel again */
      for (int t = 0; t < TILE; t++)
        offsets[t] = window->offsets[first + (t < count ? t : count - 1)];
      vec sum[TILE][2];
      if (width > LANES)
        convolve_tile(2, window, x, offsets, weights, sum);
      else
        convolve_tile(1, window, x, offsets, weights, sum);
      for (int64_t t = 0; t < count; t++)
        store_panel(y + (first + t) * outputs + o, sum[t], width);
    }
  }
}

INLINE void gradient_tile(const int rows, const int vectors, const float *x, const int32_t *x_offsets, const float *dy,
                          const int32_t *dy_offsets, int64_t pixels, int64_t used, float *dweights) {
  vec sum[ROWS][2];
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
    sum[r][0] = sum[r][1] = (vec){0};
  for (int64_t p = 0; p < pixels; p++) {
    const float *from = x + x_offsets[p], *gradient = dy + dy_offsets[p];
    vec d0 = load(gradient), d1 = vectors > 1 ? load(gradient + LANES) : d0;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
      sum[r][0] += d0 * from[r];
      if (vectors > 1)
        sum[r][1] += d1 * from[r];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
    if (r < used) {
      store(dweights + r * PANEL, load(dweights + r * PANEL) + sum[r][0]);
      if (vectors > 1)
        store(dweights + r * PANEL + LANES, load(dweights + r * PANEL + LANES) + sum[r][1]);
    }
}

/* The smallest tile that holds `used` weights; what it computes beyond them is dropped. */
INLINE void gradient_rows(const int vectors, const float *x, const int32_t *x_offsets, const float *dy,
                          const int32_t *dy_offsets, int64_t pixels, int64_t used, float *dweights) {
  if (used > ROWS * 3 / 4)
    gradient_tile(ROWS, vectors, x, x_offsets, dy, dy_offsets, pixels, used, dweights);
  else if (used > ROWS / 2)
    gradient_tile(ROWS * 3 / 4, vectors, x, x_offsets, dy, dy_offsets, pixels, used, dweights);
  else
    gradient_tile(ROWS / 2, vectors, x, x_offsets, dy, dy_offsets, pixels, used, dweights);
}

static void weight_gradient(const pp_window *window, const float *x, const float *dy, const int32_t *dy_offsets,
                            int64_t outputs, float *dweights) {
  for (int64_t o = 0; o < outputs; o += PANEL)
    for (int64_t first = 0; first < window->pixels; first += GRADIENT_PIXELS) {
      int64_t count = window->pixels - first < GRADIENT_PIXELS ? window->pixels - first : GRADIENT_PIXELS;
      float *to = dweights + o * window->runs * window->run_length;
      for (int64_t run = 0; run < window->runs; run++)
        for (int64_t k = 0; k < window->run_length; k += ROWS) {
          int64_t used = window->run_length - k < ROWS ? window->run_length - k : ROWS;
          const float *from = x + run * window->run_stride + k;
          float *at = to + (run * window->run_length + k) * PANEL;
          if (outputs - o > LANES)
            gradient_rows(2, from, window->offsets + first, dy + o, dy_offsets + first, count, used, at);
          else
            gradient_rows(1, from, window->offsets + first, dy + o, dy_offsets + first, count, used, at);
        }
    }
}

/* The rest are plain loops over channels, for the compiler to vectorise. */

static void moments(const float *restrict z, int64_t pixels, int64_t channels, float *restrict mean,
                    float *restrict square) {
  memset(mean, 0, (size_t)channels * sizeof *mean);
  memset(square, 0, (size_t)channels * sizeof *square);
  for (int64_t p = 0; p < pixels; p++)
    for (int64_t c = 0; c < channels; c++)
      mean[c] += z[p * channels + c];
  for (int64_t c = 0; c < channels; c++)
    mean[c] /= (float)pixels;
  for (int64_t p = 0; p < pixels; p++)
    for (int64_t c = 0; c < channels; c++) {
      float difference = z[p * channels + c] - mean[c];
      square[c] += difference * difference;
    }
}

/* NaN stays in all three. */
INLINE float relu(float v) { return 0.0F > v ? 0.0F : v; }
INLINE float larger(float a, float b) { return b > a || b != b ? b : a; }
INLINE float smaller(float a, float b) { return b < a || b != b ? b : a; }

static void activate(const float *restrict z, int64_t pixels, int64_t channels, const float *restrict mean,
                     const float *restrict scale, const float *restrict shift, float *restrict y) {
  for (int64_t p = 0; p < pixels; p++)
    for (int64_t c = 0; c < channels; c++)
      y[p * channels + c] = relu((z[p * channels + c] - mean[c]) * scale[c] + shift[c]);
}

static void pool(const float *restrict z, int64_t height, int64_t width, int64_t channels, const float *restrict scale,
                 float *restrict m) {
  for (int64_t row = 0; row < height / 2; row++)
    for (int64_t column = 0; column < width / 2; column++, m += channels) {
      const float *a = z + (2 * row * width + 2 * column) * channels, *b = a + width * channels;
      for (int64_t c = 0; c < channels; c++) {
        float top = a[c], right = a[c + channels], bottom = b[c], corner = b[c + channels];
        float most = larger(larger(top, right), larger(bottom, corner));
        float least = smaller(smaller(top, right), smaller(bottom, corner));
        m[c] = scale[c] < 0.0F ? least : most;
      }
    }
}

static void gradient_sums(const float *restrict dy, const float *restrict m, int64_t pixels, int64_t channels,
                          const float *restrict mean, const float *restrict scale, const float *restrict shift,
                          float *restrict plain, float *restrict product) {
  memset(plain, 0, (size_t)channels * sizeof *plain);
  memset(product, 0, (size_t)channels * sizeof *product);
  for (int64_t p = 0; p < pixels; p++)
    for (int64_t c = 0; c < channels; c++) {
      float difference = m[p * channels + c] - mean[c];
      float gradient = difference * scale[c] + shift[c] <= 0.0F ? 0.0F : dy[p * channels + c];
      plain[c] += gradient;
      product[c] += gradient * difference;
    }
}

static void undo(const float *restrict dy, const float *restrict z, int64_t height, int64_t width, int64_t channels,
                 const pp_undo *u, int64_t pitch, float *restrict dz) {
  const float *restrict mean = u->mean, *restrict scale = u->scale, *restrict shift = u->shift;
  const float *restrict slope = u->slope, *restrict offset = u->offset;
  for (int64_t row = 0; row < height; row++, dz += pitch)
    for (int64_t p = row * width; p < (row + 1) * width; p++)
      for (int64_t c = 0; c < channels; c++) {
        float difference = z[p * channels + c] - mean[c];
        float gradient = difference * scale[c] + shift[c] <= 0.0F ? 0.0F : dy[p * channels + c];
        dz[(p - row * width) * channels + c] = gradient * scale[c] + (difference * slope[c] + offset[c]);
      }
}

static void undo_pool(const float *restrict dy, const float *restrict z, const float *restrict m, int64_t height,
                      int64_t width, int64_t channels, const pp_undo *u, int64_t pitch, float *restrict dz) {
  const float *restrict mean = u->mean, *restrict scale = u->scale, *restrict shift = u->shift;
  const float *restrict slope = u->slope, *restrict offset = u->offset;
  for (int64_t row = 0; row < height; row++)
    for (int64_t column = 0; column < width; column++) {
      if (row < height / 2 * 2 && column < width / 2 * 2)
        continue; /* below */
      const float *from = z + (row * width + column) * channels;
      float *to = dz + row * pitch + column * channels;
      for (int64_t c = 0; c < channels; c++)
        to[c] = (from[c] - mean[c]) * slope[c] + offset[c];
    }
  for (int64_t row = 0; row < height / 2; row++)
    for (int64_t column = 0; column < width / 2; column++, m += channels, dy += channels) {
      const float *a = z + (2 * row * width + 2 * column) * channels, *b = a + width * channels;
      float *restrict da = dz + 2 * row * pitch + 2 * column * channels, *restrict db = da + pitch;
      for (int64_t c = 0; c < channels; c++) {
        float best = m[c];
        float gradient = (best - mean[c]) * scale[c] + shift[c] <= 0.0F ? 0.0F : dy[c] * scale[c];
        float v0 = a[c], v1 = a[c + channels], v2 = b[c], v3 = b[c + channels];
        float g0 = v0 == best ? gradient : 0.0F;
        gradient = v0 == best ? 0.0F : gradient;
        float g1 = v1 == best ? gradient : 0.0F;
        gradient = v1 == best ? 0.0F : gradient;
        float g2 = v2 == best ? gradient : 0.0F;
        float g3 = v2 == best ? 0.0F : gradient;
        da[c] = g0 + ((v0 - mean[c]) * slope[c] + offset[c]);
        da[c + channels] = g1 + ((v1 - mean[c]) * slope[c] + offset[c]);
        db[c] = g2 + ((v2 - mean[c]) * slope[c] + offset[c]);
        db[c + channels] = g3 + ((v3 - mean[c]) * slope[c] + offset[c]);
      }
    }
}

extern const pp_kernels PP_KERNELS_TABLE;
const pp_kernels PP_KERNELS_TABLE = {
    .name = PP_KERNELS_NAME,
    .panel = PANEL,
    .convolve = convolve,
    .weight_gradient = weight_gradient,
    .moments = moments,
    .activate = activate,
    .pool = pool,
    .gradient_sums = gradient_sums,
    .undo = undo,
    .undo_pool = undo_pool,
};
