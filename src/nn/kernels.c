/* See kernels.h. Compiled once per instruction set, with its vectors' bytes and the name of the table; products and
 * sums are contracted where the set has a fused multiply-add. */
#include "nn/kernels.h"
#include "nn/vector.h"

enum {
  PANEL = 2 * LANES,
  TILE = PP_TILE,            /* pixels of a tile: TILE x 2 accumulators stay in registers */
  ROWS = PP_ROWS,            /* weights of a weight-gradient tile */
  FEW = TILE < 4 ? TILE : 4, /* pixels of a smaller tile, for what is left of a window */
  DEPTH_TILE = 4,            /* pixels, or taps, of a depthwise tile */
  GRADIENT_PIXELS = 128,     /* whose gradients stay in the first-level cache */
};

typedef int32_t mask __attribute__((vector_size(PP_VECTOR_BYTES)));

/* The first `count` of a vector's lanes; the others are 0, or stay. */
INLINE vec load_some(const float *p, int64_t count) {
  vec v = {0};
  memcpy(&v, p, (size_t)count * sizeof *p);
  return v;
}
INLINE void store_some(float *p, vec v, int64_t count) { memcpy(p, &v, (size_t)count * sizeof *p); }

INLINE vec choose(mask which, vec yes, vec no) { return (vec)((which & (mask)yes) | (~which & (mask)no)); }
/* NaN stays in both. */
INLINE vec larger(vec a, vec b) { return choose((b > a) | (b != b), b, a); }
INLINE vec smaller(vec a, vec b) { return choose((b < a) | (b != b), b, a); }

/* Weights turn over in blocks of this many floats of every output, so that both sides are touched by whole lines. */
enum { BLOCK = 144 };

INLINE bool is_live(uint64_t live, int64_t tap) { return (live >> tap & 1) != 0; }

/* Weights of one tap turn over in squares of four, a line of every output at a time. */
typedef float quad __attribute__((vector_size(16)));
enum { QUAD = 4 };

/* Column r of the square at `from` becomes row r at `to`. */
INLINE void turn_square(const float *restrict from, int64_t pitch, float *restrict to, int64_t to_pitch) {
  quad row[QUAD];
  for (int r = 0; r < QUAD; r++)
    memcpy(&row[r], from + r * pitch, sizeof row[r]);
  quad a = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5), b = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
  quad c = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7), d = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  const quad column[QUAD] = {
      __builtin_shufflevector(a, b, 0, 1, 4, 5),
      __builtin_shufflevector(a, b, 2, 3, 6, 7),
      __builtin_shufflevector(c, d, 0, 1, 4, 5),
      __builtin_shufflevector(c, d, 2, 3, 6, 7),
  };
  for (int r = 0; r < QUAD; r++)
    memcpy(to + r * to_pitch, &column[r], sizeof column[r]);
}

/* Packs the weights (PANEL, in) of a panel's outputs, those of the inputs in whole lines; returns how many. */
INLINE int64_t pack_lines(const float *restrict weight, int64_t in, float *restrict packed) {
  int64_t count = in / PP_LINE * PP_LINE;
  for (int64_t first = 0; first < count; first += PP_LINE)
    for (int lane = 0; lane < PANEL; lane += QUAD)
      for (int64_t c = first; c < first + PP_LINE; c += QUAD)
        turn_square(weight + lane * in + c, in, packed + c * PANEL + lane, PANEL);
  return count;
}

static void pack(const float *weight, int64_t in, int64_t taps, uint64_t live, int64_t width, float *packed) {
  float block[PANEL][BLOCK];
  int64_t step = BLOCK / taps; /* input channels */
  memset(block, 0, sizeof block);
  for (int64_t first = taps == 1 && width == PANEL ? pack_lines(weight, in, packed) : 0; first < in; first += step) {
    int64_t count = in - first < step ? in - first : step;
    for (int64_t lane = 0; lane < width; lane++)
      memcpy(block[lane], weight + (lane * in + first) * taps, (size_t)(count * taps) * sizeof(float));
    for (int64_t tap = 0; tap < taps; tap++)
      for (int64_t c = 0; c < count && is_live(live, tap); c++) {
        float *row = packed + (tap * in + first + c) * PANEL;
        for (int lane = 0; lane < PANEL; lane++)
          row[lane] = block[lane][c * taps + tap];
      }
  }
}

INLINE void pack_turned_by(const int64_t taps, const float *restrict weight, int64_t in, int64_t out, uint64_t live,
                           int64_t width, float *restrict packed) {
  for (int64_t o = 0; o < out; o++)
    for (int64_t tap = 0; tap < taps; tap++) {
      if (!is_live(live, tap))
        continue;
      const float *source = weight + o * in * taps + tap;
      float *row = packed + (tap * out + o) * PANEL;
      if (width == PANEL) {
        for (int lane = 0; lane < PANEL; lane++)
          row[lane] = source[lane * taps];
        continue;
      }
      memset(row, 0, PANEL * sizeof *row);
      for (int64_t lane = 0; lane < width; lane++)
        row[lane] = source[lane * taps];
    }
}

static void pack_turned(const float *weight, int64_t in, int64_t out, int64_t taps, uint64_t live, int64_t width,
                        float *packed) {
  if (taps == 9) /* known strides load by shuffles */
    pack_turned_by(9, weight, in, out, live, width, packed);
  else if (taps == 1)
    pack_turned_by(1, weight, in, out, live, width, packed);
  else
    pack_turned_by(taps, weight, in, out, live, width, packed);
}

static void unpack_add(const float *restrict packed, int64_t in, int64_t first, int64_t end, int64_t taps,
                       uint64_t live, int64_t width, float *restrict dweight) {
  float block[PANEL][BLOCK];
  memset(block, 0, sizeof block);
  int64_t step = BLOCK / taps;
  for (; first < end; first += step) {
    int64_t count = end - first < step ? end - first : step;
    for (int64_t c = 0; c < count; c++)
      for (int64_t tap = 0; tap < taps; tap++) {
        if (!is_live(live, tap))
          continue;
        const float *row = packed + (tap * in + first + c) * PANEL;
        for (int lane = 0; lane < PANEL; lane++)
          block[lane][c * taps + tap] = row[lane];
      }
    for (int64_t lane = 0; lane < width; lane++) {
      float *to = dweight + (lane * in + first) * taps;
      for (int64_t i = 0; i < count * taps; i++)
        to[i] += block[lane][i];
    }
  }
}

/* Stores the first `count` of a panel's lanes. */
INLINE void store_panel(float *to, const vec *from, int64_t count) {
  if (count >= PANEL) {
    store(to, from[0]);
    store(to + LANES, from[1]);
  } else {
    memcpy(to, from, (size_t)count * sizeof(float));
  }
}

/* Adds to the first `count` lanes of one or two vectors. */
INLINE void add_panel(float *to, const vec *sum, const int vectors, int64_t count) {
  if (count >= vectors * LANES) {
    store(to, load(to) + sum[0]);
    if (vectors > 1)
      store(to + LANES, load(to + LANES) + sum[1]);
    return;
  }
  float lanes[PANEL];
  store(lanes, sum[0]);
  store(lanes + LANES, sum[1]);
  for (int64_t lane = 0; lane < count; lane++)
    to[lane] += lanes[lane];
}

INLINE void convolve_tile(const int tile, const int vectors, const pp_window *window, const float *x,
                          const int32_t *offsets, const float *weights, vec out[TILE][2]) {
  const float *pixel[TILE];
  vec sum[TILE][2];
#pragma GCC unroll 16
  for (int t = 0; t < tile; t++) {
    pixel[t] = x + offsets[t];
    sum[t][0] = sum[t][1] = (vec){0};
  }
  for (int run = 0; run < window->runs; run++) {
    const float *w = weights + (int64_t)window->w_run[run] * PANEL;
    int64_t first = window->x_run[run], end = first + window->run_length;
    for (int64_t k = first; k < end; k++) {
      vec w0 = load(w), w1 = vectors > 1 ? load(w + LANES) : w0;
      w += PANEL;
#pragma GCC unroll 16
      for (int t = 0; t < tile; t++) {
        sum[t][0] += w0 * pixel[t][k];
        if (vectors > 1)
          sum[t][1] += w1 * pixel[t][k];
      }
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < tile; t++) {
    out[t][0] = sum[t][0];
    out[t][1] = sum[t][1];
  }
}

/* The pixels [first, first + count), of which there are at most `tile`. */
INLINE void convolve_pixels(const int tile, const pp_window *window, int64_t first, int64_t count, const float *x,
                            const float *weights, int64_t width, float *y) {
  int32_t offsets[TILE]; /* a ragged tile computes its last pixel again */
  for (int t = 0; t < tile; t++)
    offsets[t] = window->x_offsets[first + (t < count ? t : count - 1)];
  vec sum[TILE][2];
  if (width > LANES)
    convolve_tile(tile, 2, window, x, offsets, weights, sum);
  else
    convolve_tile(tile, 1, window, x, offsets, weights, sum);
  for (int64_t t = 0; t < count; t++)
    store_panel(y + window->y_offsets[first + t], sum[t], width);
}

static void convolve(const pp_window *window, const float *x, const float *weights, int64_t width, float *y) {
  for (int64_t first = 0; first < window->pixels;) {
    int64_t left = window->pixels - first, most = left <= (TILE - 1) / FEW * FEW ? FEW : TILE;
    int64_t count = left < most ? left : most;
    if (most == FEW)
      convolve_pixels(FEW, window, first, count, x, weights, width, y);
    else
      convolve_pixels(TILE, window, first, count, x, weights, width, y);
    first += count;
  }
}

/* Some pixels, and where their values lie in x and in dy. */
typedef struct gradient_pixels {
  const int32_t *x_offsets, *y_offsets;
  int64_t count;
} gradient_pixels;

/* `rows` weights of one run: adds the first `width` of a panel's gradients to each. */
INLINE void gradient_tile(const int rows, const int vectors, const gradient_pixels *pixels, const float *x,
                          const float *dy, int64_t pitch, int64_t width, float *dweights) {
  vec sum[ROWS][2];
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++) {
    sum[r][0] = sum[r][1] = (vec){0};
    for (int v = 0; v < vectors; v++)
      __builtin_prefetch(dweights + r * pitch + v * LANES, 1);
  }
  for (int64_t p = 0; p < pixels->count; p++) {
    const float *from = x + pixels->x_offsets[p], *gradient = dy + pixels->y_offsets[p];
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
    add_panel(dweights + r * pitch, sum[r], vectors, width);
}

INLINE void gradient_rows(int64_t rows, const int vectors, const gradient_pixels *pixels, const float *x,
                          const float *dy, int64_t pitch, int64_t width, float *dweights) {
#define ROWS_CASE(n)                                                                                                   \
  case n:                                                                                                              \
    if (n <= ROWS)                                                                                                     \
      gradient_tile(n <= ROWS ? n : 1, vectors, pixels, x, dy, pitch, width, dweights);                                \
    break;
  switch (rows) {
    ROWS_CASE(1)
    ROWS_CASE(2)
    ROWS_CASE(3)
    ROWS_CASE(4)
    ROWS_CASE(5)
    ROWS_CASE(6)
    ROWS_CASE(7)
    ROWS_CASE(8)
    ROWS_CASE(9)
    ROWS_CASE(10)
    ROWS_CASE(11)
    ROWS_CASE(12)
  }
#undef ROWS_CASE
}

static void weight_gradient(const pp_window *window, const float *x, const float *dy, int64_t width, int64_t pitch,
                            float *dweights) {
  float panels[GRADIENT_PIXELS][PANEL]; /* of dy, where neither it nor dweights has more than `width` */
  int32_t offsets[GRADIENT_PIXELS];
  bool packed = pitch == PANEL, ragged = !packed && width % LANES != 0;
  int64_t stored = packed ? PANEL : width;
  memset(panels, 0, ragged ? sizeof panels : 0);
  for (int64_t first = 0; first < window->pixels; first += GRADIENT_PIXELS) {
    int64_t count = window->pixels - first < GRADIENT_PIXELS ? window->pixels - first : GRADIENT_PIXELS;
    for (int p = 0; p < count && ragged; p++) {
      memcpy(panels[p], dy + window->y_offsets[first + p], (size_t)width * sizeof(float));
      offsets[p] = p * PANEL;
    }
    const gradient_pixels pixels = {window->x_offsets + first, ragged ? offsets : window->y_offsets + first, count};
    const float *gradient = ragged ? panels[0] : dy;
    for (int run = 0; run < window->runs; run++)
      for (int64_t k = 0; k < window->run_length; k += ROWS) {
        int64_t rows = window->run_length - k < ROWS ? window->run_length - k : ROWS;
        const float *from = x + window->x_run[run] + k;
        float *to = dweights + (window->w_run[run] + k) * pitch;
        if (width > LANES)
          gradient_rows(rows, 2, &pixels, from, gradient, pitch, stored, to);
        else
          gradient_rows(rows, 1, &pixels, from, gradient, pitch, stored, to);
      }
  }
}

/* `count` channels of a tile of `pixels` pixels; a ragged tile computes its last one again. */
INLINE void depthwise_tile(const pp_window *window, int64_t first, int64_t pixels, const float *x, const float *weights,
                           const int64_t count, float *y) {
  const float *pixel[DEPTH_TILE];
  vec sum[DEPTH_TILE];
#pragma GCC unroll 8
  for (int t = 0; t < DEPTH_TILE; t++) {
    pixel[t] = x + window->x_offsets[first + (t < pixels ? t : pixels - 1)];
    sum[t] = (vec){0};
  }
  for (int run = 0; run < window->runs; run++) {
    vec w = load_some(weights + window->w_run[run], count);
    int64_t at = window->x_run[run];
#pragma GCC unroll 8
    for (int t = 0; t < DEPTH_TILE; t++)
      sum[t] += w * load_some(pixel[t] + at, count);
  }
  for (int64_t t = 0; t < pixels; t++)
    store_some(y + window->y_offsets[first + t], sum[t], count);
}

static void depthwise(const pp_window *window, const float *x, const float *weights, float *y) {
  int64_t channels = window->run_length;
  for (int64_t c = 0; c < channels; c += LANES)
    for (int64_t first = 0; first < window->pixels; first += DEPTH_TILE) {
      int64_t pixels = window->pixels - first < DEPTH_TILE ? window->pixels - first : DEPTH_TILE;
      if (channels - c >= LANES)
        depthwise_tile(window, first, pixels, x + c, weights + c, LANES, y + c);
      else
        depthwise_tile(window, first, pixels, x + c, weights + c, channels - c, y + c);
    }
}

static void depthwise_gradient(const pp_window *window, const float *x, const float *dy, float *dweights) {
  int64_t channels = window->run_length;
  for (int64_t first = 0; first < window->pixels; first += GRADIENT_PIXELS) {
    int64_t end = window->pixels - first < GRADIENT_PIXELS ? window->pixels : first + GRADIENT_PIXELS;
    for (int64_t c = 0; c < channels; c += LANES)
      for (int run = 0; run < window->runs; run += DEPTH_TILE) {
        int count = window->runs - run < DEPTH_TILE ? window->runs - run : DEPTH_TILE;
        int64_t at[DEPTH_TILE];
        vec sum[DEPTH_TILE];
#pragma GCC unroll 8
        for (int t = 0; t < DEPTH_TILE; t++) {
          at[t] = window->x_run[run + (t < count ? t : count - 1)] + c;
          sum[t] = (vec){0};
        }
        for (int64_t p = first; p < end; p++) {
          vec d = load(dy + window->y_offsets[p] + c);
          const float *from = x + window->x_offsets[p];
#pragma GCC unroll 8
          for (int t = 0; t < DEPTH_TILE; t++)
            sum[t] += d * load(from + at[t]);
        }
        for (int t = 0; t < count; t++) {
          float *to = dweights + window->w_run[run + t] + c;
          float lanes[LANES];
          store(lanes, sum[t]);
          int64_t width = channels - c < LANES ? channels - c : LANES;
          for (int64_t lane = 0; lane < width; lane++)
            to[lane] += lanes[lane];
        }
      }
  }
}

/* One axis of a transform: the rows of Lavin and Gray's matrices B^T, A^T, A, G and G^T. */
INLINE void transform_axis(const pp_transform transform, const vec *in, const int step, vec *out) {
  vec a = in[0], b = in[step], c = in[2 * step], d = in[3 * step];
  switch (transform) {
  case PP_TRANSFORM_READ:
    out[0] = a - c;
    out[step] = b + c;
    out[2 * step] = c - b;
    out[3 * step] = b - d;
    break;
  case PP_TRANSFORM_WRITE:
    out[0] = a + b + c;
    out[step] = b - c - d;
    break;
  case PP_TRANSFORM_SPREAD:
    out[0] = a;
    out[step] = a + b;
    out[2 * step] = a - b;
    out[3 * step] = -b;
    break;
  case PP_TRANSFORM_WEIGH:
    out[0] = a;
    out[step] = (a + c + b) * 0.5F;
    out[2 * step] = (a + c - b) * 0.5F;
    out[3 * step] = c;
    break;
  case PP_TRANSFORM_UNWEIGH:
    out[0] = a + (b + c) * 0.5F;
    out[step] = (b - c) * 0.5F;
    out[2 * step] = (b + c) * 0.5F + d;
    break;
  }
}

INLINE void transform_as(const pp_transform transform, const int size, const int to_size, const float *const *from,
                         int64_t count, float *const *to) {
  for (int64_t channel = 0; channel < count; channel += LANES) {
    vec in[16] = {0}, half[16] = {0}, out[16]; /* rows of 4 */
#pragma GCC unroll 16
    for (int i = 0; i < size * size; i++)
      in[i / size * 4 + i % size] = load(from[i] + channel);
#pragma GCC unroll 4
    for (int row = 0; row < size; row++)
      transform_axis(transform, in + row * 4, 1, half + row * 4);
#pragma GCC unroll 4
    for (int column = 0; column < to_size; column++)
      transform_axis(transform, half + column, 4, out + column);
#pragma GCC unroll 16
    for (int i = 0; i < to_size * to_size; i++)
      if (to_size != 2 || to[i] != NULL)
        store(to[i] + channel, out[i / to_size * 4 + i % to_size]);
  }
}

static void transform_tile(pp_transform transform, const float *const *from, int64_t count, float *const *to) {
  switch (transform) {
  case PP_TRANSFORM_READ:
    transform_as(PP_TRANSFORM_READ, 4, 4, from, count, to);
    break;
  case PP_TRANSFORM_WRITE:
    transform_as(PP_TRANSFORM_WRITE, 4, 2, from, count, to);
    break;
  case PP_TRANSFORM_SPREAD:
    transform_as(PP_TRANSFORM_SPREAD, 2, 4, from, count, to);
    break;
  case PP_TRANSFORM_WEIGH:
    transform_as(PP_TRANSFORM_WEIGH, 3, 4, from, count, to);
    break;
  case PP_TRANSFORM_UNWEIGH:
    transform_as(PP_TRANSFORM_UNWEIGH, 4, 3, from, count, to);
    break;
  }
}

/* The rest are plain loops over channels, for the compiler to vectorise. */

static void moments(const float *restrict z, int64_t pixels, int64_t channels, int64_t stride, float *restrict mean,
                    float *restrict square) {
  memset(mean, 0, (size_t)channels * sizeof *mean);
  memset(square, 0, (size_t)channels * sizeof *square);
  for (int64_t p = 0; p < pixels; p++)
    for (int64_t c = 0; c < channels; c++)
      mean[c] += z[p * stride + c];
  for (int64_t c = 0; c < channels; c++)
    mean[c] /= (float)pixels;
  for (int64_t p = 0; p < pixels; p++)
    for (int64_t c = 0; c < channels; c++) {
      float difference = z[p * stride + c] - mean[c];
      square[c] += difference * difference;
    }
}

/* NaN stays in all of these. */
INLINE float relu(float v) { return 0.0F > v ? 0.0F : v; }
INLINE float gate(float v) { /* (v + 3) / 6 between 0 and 1 */
  float up = relu(v + 3.0F);
  return (up > 6.0F ? 6.0F : up) * (1.0F / 6.0F);
}

INLINE float value(const pp_activation act, float a) {
  return act == PP_ACT_RELU           ? relu(a)
         : act == PP_ACT_HARD_SWISH   ? a * gate(a)
         : act == PP_ACT_HARD_SIGMOID ? gate(a)
                                      : a;
}

/* dy times the slope at a; PyTorch's choices at the kinks. */
INLINE float slope_of(const pp_activation act, float a, float dy) {
  if (act == PP_ACT_RELU)
    return a <= 0.0F ? 0.0F : dy;
  if (act == PP_ACT_HARD_SWISH) {
    float inner = dy * (a * (1.0F / 3.0F) + 0.5F);
    float below = a > 3.0F ? dy : inner;
    return a < -3.0F ? 0.0F : below;
  }
  if (act == PP_ACT_HARD_SIGMOID)
    return a <= -3.0F || a >= 3.0F ? 0.0F : dy * (1.0F / 6.0F);
  return dy;
}

/* One copy of a loop per activation. */
#define PER_ACTIVATION(act, call)                                                                                      \
  switch (act) {                                                                                                       \
  case PP_ACT_RELU:                                                                                                    \
    call(PP_ACT_RELU);                                                                                                 \
    break;                                                                                                             \
  case PP_ACT_HARD_SWISH:                                                                                              \
    call(PP_ACT_HARD_SWISH);                                                                                           \
    break;                                                                                                             \
  case PP_ACT_HARD_SIGMOID:                                                                                            \
    call(PP_ACT_HARD_SIGMOID);                                                                                         \
    break;                                                                                                             \
  case PP_ACT_NONE:                                                                                                    \
    call(PP_ACT_NONE);                                                                                                 \
    break;                                                                                                             \
  }

INLINE void act_as(const pp_activation act, int64_t count, float *y) {
  for (int64_t i = 0; i < count; i++)
    y[i] = value(act, y[i]);
}

static void act(pp_activation act, int64_t count, float *y){
#define CALL(act) act_as(act, count, y)
    PER_ACTIVATION(act, CALL)
#undef CALL
}

INLINE void undo_act_as(const pp_activation act, const float *restrict a, int64_t count, float *restrict dy) {
  for (int64_t i = 0; i < count; i++)
    dy[i] = slope_of(act, a[i], dy[i]);
}

static void undo_act(pp_activation act, const float *a, int64_t count, float *dy){
#define CALL(act) undo_act_as(act, a, count, dy)
    PER_ACTIVATION(act, CALL)
#undef CALL
}

INLINE void activate_as(const pp_activation act, const float *restrict z, int64_t pixels, int64_t channels,
                        int64_t stride, const pp_affine *u, float *restrict y) {
  const float *restrict mean = u->mean, *restrict scale = u->scale, *restrict shift = u->shift;
  for (int64_t p = 0; p < pixels; p++)
    for (int64_t c = 0; c < channels; c++)
      y[p * stride + c] = value(act, (z[p * stride + c] - mean[c]) * scale[c] + shift[c]);
}

static void activate(const float *z, int64_t pixels, int64_t channels, int64_t stride, const pp_affine *u, float *y){
#define CALL(act) activate_as(act, z, pixels, channels, stride, u, y)
    PER_ACTIVATION(u->act, CALL)
#undef CALL
}

/* `count` channels of a pooled pixel, from rows a and b of the image. */
INLINE
    void pool_pixel(const float *a, const float *b, int64_t stride, const float *scale, const int64_t count, float *m) {
  vec top = load_some(a, count), right = load_some(a + stride, count);
  vec bottom = load_some(b, count), corner = load_some(b + stride, count);
  vec most = larger(larger(top, right), larger(bottom, corner));
  vec least = smaller(smaller(top, right), smaller(bottom, corner));
  store_some(m, choose(load_some(scale, count) < 0.0F, least, most), count);
}

static void pool(const float *z, int64_t height, int64_t width, int64_t channels, int64_t stride, const float *scale,
                 float *m) {
  int64_t whole = channels / LANES * LANES;
  for (int64_t row = 0; row < height / 2; row++)
    for (int64_t column = 0; column < width / 2; column++, m += stride) {
      const float *a = z + (2 * row * width + 2 * column) * stride, *b = a + width * stride;
      for (int64_t c = 0; c < whole; c += LANES)
        pool_pixel(a + c, b + c, stride, scale + c, LANES, m + c);
      if (whole < channels)
        pool_pixel(a + whole, b + whole, stride, scale + whole, channels - whole, m + whole);
    }
}

INLINE void gradient_sums_as(const pp_activation act, const float *restrict dy, const float *restrict m, int64_t pixels,
                             int64_t channels, int64_t stride, const pp_affine *u, float *restrict plain,
                             float *restrict product) {
  const float *restrict mean = u->mean, *restrict scale = u->scale, *restrict shift = u->shift;
  memset(plain, 0, (size_t)channels * sizeof *plain);
  memset(product, 0, (size_t)channels * sizeof *product);
  for (int64_t p = 0; p < pixels; p++)
    for (int64_t c = 0; c < channels; c++) {
      float difference = m[p * stride + c] - mean[c];
      float gradient = slope_of(act, difference * scale[c] + shift[c], dy[p * stride + c]);
      plain[c] += gradient;
      product[c] += gradient * difference;
    }
}

static void gradient_sums(const float *dy, const float *m, int64_t pixels, int64_t channels, int64_t stride,
                          const pp_affine *u, float *plain, float *product){
#define CALL(act) gradient_sums_as(act, dy, m, pixels, channels, stride, u, plain, product)
    PER_ACTIVATION(u->act, CALL)
#undef CALL
}

INLINE void undo_as(const pp_activation act, const float *restrict dy, const float *restrict z, int64_t height,
                    int64_t width, int64_t channels, const pp_affine *u, int64_t pitch, float *restrict dz) {
  const float *restrict mean = u->mean, *restrict scale = u->scale, *restrict shift = u->shift;
  const float *restrict slope = u->slope, *restrict offset = u->offset;
  for (int64_t row = 0; row < height; row++, dz += pitch)
    for (int64_t column = 0; column < width; column++, dy += channels, z += channels)
      for (int64_t c = 0; c < channels; c++) {
        float difference = z[c] - mean[c];
        float gradient = slope_of(act, difference * scale[c] + shift[c], dy[c]);
        dz[column * channels + c] = gradient * scale[c] + (difference * slope[c] + offset[c]);
      }
}

static void undo(const float *dy, const float *z, int64_t height, int64_t width, int64_t channels, const pp_affine *u,
                 int64_t pitch, float *dz){
#define CALL(act) undo_as(act, dy, z, height, width, channels, u, pitch, dz)
    PER_ACTIVATION(u->act, CALL)
#undef CALL
}

/* `count` channels, from c on, of a pooled pixel's gradient: into the four pixels that it came from. */
INLINE void undo_pool_pixel(const float *dy, const float *z, const float *m, const pp_affine *u, int64_t c,
                            const int64_t count, const int64_t z_at[4], const int64_t dz_at[4], float *dz) {
  vec mean = load_some(u->mean + c, count), scale = load_some(u->scale + c, count), best = load_some(m + c, count);
  vec slope = load_some(u->slope + c, count), offset = load_some(u->offset + c, count), zero = {0};
  vec gradient = load_some(dy + c, count) * scale;
  gradient = choose((best - mean) * scale + load_some(u->shift + c, count) <= 0.0F, zero, gradient);
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) { /* the first that is as large gets it */
    vec v = load_some(z + z_at[i] + c, count);
    vec mine = i == 3 ? gradient : choose(v == best, gradient, zero);
    gradient = choose(v == best, zero, gradient);
    store_some(dz + dz_at[i] + c, mine + ((v - mean) * slope + offset), count);
  }
}

/* Only ReLU commutes with the pooling. */
static void undo_pool(const float *dy, const float *z, const float *m, int64_t height, int64_t width, int64_t channels,
                      const pp_affine *u, int64_t pitch, float *dz) {
  int64_t whole = channels / LANES * LANES;
  for (int64_t row = 0; row < height; row++)
    for (int64_t column = 0; column < width; column++) {
      if (row < height / 2 * 2 && column < width / 2 * 2)
        continue; /* below */
      const float *from = z + (row * width + column) * channels;
      float *to = dz + row * pitch + column * channels;
      for (int64_t c = 0; c < channels; c++)
        to[c] = (from[c] - u->mean[c]) * u->slope[c] + u->offset[c];
    }
  const int64_t z_at[4] = {0, channels, width * channels, (width + 1) * channels};
  const int64_t dz_at[4] = {0, channels, pitch, pitch + channels};
  for (int64_t row = 0; row < height / 2; row++)
    for (int64_t column = 0; column < width / 2; column++, m += channels, dy += channels) {
      const float *from = z + (2 * row * width + 2 * column) * channels;
      float *to = dz + 2 * row * pitch + 2 * column * channels;
      for (int64_t c = 0; c < whole; c += LANES)
        undo_pool_pixel(dy, from, m, u, c, LANES, z_at, dz_at, to);
      if (whole < channels)
        undo_pool_pixel(dy, from, m, u, whole, channels - whole, z_at, dz_at, to);
    }
}

extern const pp_kernels PP_KERNELS_TABLE;
const pp_kernels PP_KERNELS_TABLE = {
    .name = PP_KERNELS_NAME,
    .panel = PANEL,
    .pack = pack,
    .pack_turned = pack_turned,
    .unpack_add = unpack_add,
    .convolve = convolve,
    .weight_gradient = weight_gradient,
    .depthwise = depthwise,
    .depthwise_gradient = depthwise_gradient,
    .transform = transform_tile,
    .act = act,
    .undo_act = undo_act,
    .moments = moments,
    .activate = activate,
    .pool = pool,
    .gradient_sums = gradient_sums,
    .undo = undo,
    .undo_pool = undo_pool,
    .sgd = PP_KERNELS_SGD,
};
