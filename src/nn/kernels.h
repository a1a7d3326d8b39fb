/* The hot loops of convolutions, one table per instruction set, all compiled from kernels.c; the optimiser's step from
 * sgd.c.
 *
 * A window says what each pixel of a product reads: some runs of `run_length` floats, each at the same distance from
 * the pixel's own offset, and where in the weights a run's rows begin. Channels last, a kernel row's taps inside the
 * image are one run. Weights of a dense convolution are packed into panels of as many output channels as the registers
 * take, (rows, panel), zero-filled; of a depthwise one they are (rows), a run being one tap. Every output is one sum in
 * the runs' order, whatever tile computes it. */
#ifndef PP_NN_KERNELS_H
#define PP_NN_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

enum {
  PP_LINE = 16,         /* floats of a line of the caches */
  PP_MAX_RUNS = 49,     /* a tap each of 7x7 */
  PP_KERNEL_SLACK = 64, /* floats that are read past a gradient's last pixel, and of a depthwise input, and unused */
};

typedef struct pp_window {
  const int32_t *x_offsets, *y_offsets; /* (pixels) */
  int64_t pixels;
  int runs;
  int64_t run_length;
  int32_t x_run[PP_MAX_RUNS]; /* floats from the pixel's offset */
  int32_t w_run[PP_MAX_RUNS]; /* rows of the weights */
} pp_window;

/* The transforms of winograd.h. */
typedef enum pp_transform {
  PP_TRANSFORM_READ,    /* 4x4 inputs to 16 places */
  PP_TRANSFORM_WRITE,   /* 16 places to 2x2 outputs, and its transpose: */
  PP_TRANSFORM_SPREAD,  /* 2x2 gradients to 16 places */
  PP_TRANSFORM_WEIGH,   /* 3x3 weights to 16 places, and its transpose: */
  PP_TRANSFORM_UNWEIGH, /* 16 places to 3x3 gradients */
} pp_transform;

/* What follows a product, after the normalisation. */
typedef enum pp_activation { PP_ACT_NONE, PP_ACT_RELU, PP_ACT_HARD_SWISH, PP_ACT_HARD_SIGMOID } pp_activation;

/* Per channel: y = act((z - mean) x scale + shift), and backward dz = scale x (gradient before the normalisation) +
 * (z - mean) x slope + offset. */
typedef struct pp_affine {
  pp_activation act;
  const float *mean, *scale, *shift, *slope, *offset; /* (channels) */
} pp_affine;

/* Rates of a step of SGD. */
typedef struct pp_sgd {
  float learning_rate, momentum, weight_decay;
} pp_sgd;

typedef struct pp_kernels {
  const char *name;
  int panel; /* output channels of a panel */
  /* One panel of a dense convolution's weights: `width` outputs of (O, in, taps) to rows (taps, in); turned, `width`
   * inputs to rows (taps, out), `weight` being the first input's first; and the gradient's way back, of the inputs
   * [first, end). Rows of taps that are not a bit of `live` are left alone: on small images no pixel reads them. */
  void (*pack)(const float *weight, int64_t in, int64_t taps, uint64_t live, int64_t width, float *packed);
  void (*pack_turned)(const float *weight, int64_t in, int64_t out, int64_t taps, uint64_t live, int64_t width,
                      float *packed);
  void (*unpack_add)(const float *packed, int64_t in, int64_t first, int64_t end, int64_t taps, uint64_t live,
                     int64_t width, float *dweight);
  /* `width` <= panel outputs of every pixel from one panel of weights; pixel p's first is y[y_offsets[p]]. */
  void (*convolve)(const pp_window *window, const float *x, const float *weights, int64_t width, float *y);
  /* dweights (rows, pitch) += sum over the pixels of x's windows times dy's `width` <= panel values at
   * dy[y_offsets[p]]. Where pitch is a panel, dy is read and dweights written beyond `width`, up to a panel. */
  void (*weight_gradient)(const pp_window *window, const float *x, const float *dy, int64_t width, int64_t pitch,
                          float *dweights);
  /* The same where every channel has taps of its own: y (channels) of every pixel. */
  void (*depthwise)(const pp_window *window, const float *x, const float *weights, float *y);
  void (*depthwise_gradient)(const pp_window *window, const float *x, const float *dy, float *dweights);
  /* Of `count` channels, a multiple of 16: from and to are arrays of pixels, row by row. What a row of `to` has as NULL
   * is left out. A pixel of `to` may be one of `from`. */
  void (*transform)(pp_transform transform, const float *const *from, int64_t count, float *const *to);
  /* An activation alone, in place; backward dy times its slope where it was given a. */
  void (*act)(pp_activation act, int64_t count, float *y);
  void (*undo_act)(pp_activation act, const float *a, int64_t count, float *dy);
  /* What follows may take some of the channels: `stride` floats lie between two pixels.
   * mean: (channels) over the pixels; square: (channels) sum of (z - mean)^2. */
  void (*moments)(const float *z, int64_t pixels, int64_t channels, int64_t stride, float *mean, float *square);
  /* z and y: (pixels, channels). NaN stays. */
  void (*activate)(const float *z, int64_t pixels, int64_t channels, int64_t stride, const pp_affine *affine, float *y);
  /* Of each 2x2 window of an image (height, width, channels) the largest value where scale >= 0, else the smallest:
   * what the largest is after the normalisation. m: (height / 2, width / 2, channels). NaN stays. */
  void (*pool)(const float *z, int64_t height, int64_t width, int64_t channels, int64_t stride, const float *scale,
               float *m);
  /* Over the pixels: plain = sum of the gradient before the activation, product = sum of it x (m - mean). (channels) */
  void (*gradient_sums)(const float *dy, const float *m, int64_t pixels, int64_t channels, int64_t stride,
                        const pp_affine *affine, float *plain, float *product);
  /* dz of an image from dy; rows of `width` pixels are `pitch` floats apart in dz. */
  void (*undo)(const float *dy, const float *z, int64_t height, int64_t width, int64_t channels,
               const pp_affine *affine, int64_t pitch, float *dz);
  /* As undo, through the pooling too: dy and m: (height / 2, width / 2, channels); the first of equal values counts. */
  void (*undo_pool)(const float *dy, const float *z, const float *m, int64_t height, int64_t width, int64_t channels,
                    const pp_affine *affine, int64_t pitch, float *dz);
  /* pp_sgd_step of `count` weights w, gradients g and momenta m. past: whole lines of weights are written past the
   * caches, for where other threads read them, too: a line that two cores have in their caches is taken from the other
   * before it is written, at a quarter of the memory's rate on some machines. */
  void (*sgd)(const pp_sgd *rates, int64_t count, bool past, float *w, float *g, float *m);
} pp_kernels;
#ifdef PP_KERNELS_SGD
void PP_KERNELS_SGD(const pp_sgd *rates, int64_t count, bool past, float *w, float *g, float *m);
#endif

/* The best that this processor runs, and all that it runs, NULL-terminated, for tests. */
const pp_kernels *pp_kernels_best(void);
void pp_kernels_all(const pp_kernels *out[4]);

#endif
