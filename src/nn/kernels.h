/* The hot loops of convolutions, one table per instruction set, all compiled from kernels.c.
 *
 * A convolution reads images that carry their zero padding, channels last, so that the taps of one kernel row are one
 * contiguous run of kernel width x C floats. A window says where: output pixel p's first tap is at x + offsets[p], and
 * its rows of taps lie `run_stride` floats apart. Weights are packed into panels of as many output channels as the
 * registers take: (outputs / panel, runs x run_length, panel), zero-filled. Every output is one sum in a fixed order,
 * whatever tile computes it. */
#ifndef PP_NN_KERNELS_H
#define PP_NN_KERNELS_H

#include <stdint.h>

typedef struct pp_window {
  const int32_t *offsets; /* (pixels) */
  int64_t pixels;
  int64_t runs, run_length, run_stride;
} pp_window;

enum {
  PP_KERNEL_SLACK = 64, /* floats that are read past the end of an input, a gradient or its last pixel, and unused */
};

struct pp_undo;

typedef struct pp_kernels {
  const char *name;
  int panel; /* output channels of a panel */
  /* y: (pixels, outputs). */
  void (*convolve)(const pp_window *window, const float *x, const float *weights, int64_t outputs, float *y);
  /* dweights += sum over pixels of x's windows times dy's pixels. dy's pixel p is at dy + dy_offsets[p]; dweights is
   * packed as the weights are. */
  void (*weight_gradient)(const pp_window *window, const float *x, const float *dy, const int32_t *dy_offsets,
                          int64_t outputs, float *dweights);
  /* mean: (channels) over the pixels; square: (channels) sum of (z - mean)^2. */
  void (*moments)(const float *z, int64_t pixels, int64_t channels, float *mean, float *square);
  /* y = ReLU of (z - mean) x scale + shift; (pixels, channels). NaN stays. */
  void (*activate)(const float *z, int64_t pixels, int64_t channels, const float *mean, const float *scale,
                   const float *shift, float *y);
  /* Of each 2x2 window of an image (height, width, channels) the largest value where scale >= 0, else the smallest:
   * what the largest is after the normalisation. m: (height / 2, width / 2, channels). NaN stays. */
  void (*pool)(const float *z, int64_t height, int64_t width, int64_t channels, const float *scale, float *m);
  /* Over the pixels, where m passes the ReLU: plain = sum of dy, product = sum of dy x (m - mean). (channels) */
  void (*gradient_sums)(const float *dy, const float *m, int64_t pixels, int64_t channels, const float *mean,
                        const float *scale, const float *shift, float *plain, float *product);
  /* The gradient of z from that of y, through ReLU and normalisation: dz = scale x dy, where z passes the ReLU,
   * + (z - mean) x slope + offset. Rows of `width` pixels are `pitch` floats apart in dz. */
  void (*undo)(const float *dy, const float *z, int64_t height, int64_t width, int64_t channels,
               const struct pp_undo *undo, int64_t pitch, float *dz);
  /* As undo, through the pooling too: dy and m: (height / 2, width / 2, channels); the first of equal values counts. */
  void (*undo_pool)(const float *dy, const float *z, const float *m, int64_t height, int64_t width, int64_t channels,
                    const struct pp_undo *undo, int64_t pitch, float *dz);
} pp_kernels;

typedef struct pp_undo {
  const float *mean, *scale, *shift, *slope, *offset; /* (channels) */
} pp_undo;

/* The best that this processor runs, and all that it runs, NULL-terminated, for tests. */
const pp_kernels *pp_kernels_best(void);
void pp_kernels_all(const pp_kernels *out[4]);

#endif
