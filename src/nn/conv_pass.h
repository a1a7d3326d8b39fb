/* A pass of a convolution over a micro-batch: what its threads share, and the products they are made of. Private to
 * conv_*.c. */
#ifndef PP_NN_CONV_PASS_H
#define PP_NN_CONV_PASS_H

#include <string.h>

#include "nn/norm.h"
#include "nn/winograd.h"

/* An image inside a buffer with a border of zeros. */
typedef struct pp_bordered {
  int64_t channels, height, width; /* of the buffer */
  int64_t top, left;               /* of the image in it */
} pp_bordered;
static inline int64_t pp_bordered_elements(pp_bordered b) { return b.channels * b.height * b.width; }
static inline bool pp_has_border(pp_bordered b, pp_shape image) {
  return b.height != image.height || b.width != image.width;
}
static inline void pp_clear(float *x, int64_t count) { memset(x, 0, (size_t)count * sizeof *x); }

/* Asks for what other threads wrote, all at once: one line after the other each would be waited for. */
static inline void pp_fetch(const pp_layer_run *run, const float *x, int64_t count) {
  const size_t line = PP_LINE * sizeof *x;
  if (pp_pool_threads(run->pool) > 1)
    for (uintptr_t at = (uintptr_t)x / line * line; at < (uintptr_t)(x + count); at += line)
      __builtin_prefetch((const void *)at, 0, 2);
}

/* A pass as one thread sees it. */
typedef struct pp_conv_pass {
  const pp_layer_run *run;
  const float *input; /* of the layer */
  float *output;
  float *dy, *dx;
  float *z; /* kept: (N, H, W, O), the convolution without its bias; in evaluation a group of it per buffer */
  float *m; /* kept: (N, H/2, W/2, O), what pooling chose of it; without pooling z itself; likewise */
  pp_norm norm;
  float *weights;  /* packed panels, for forward or for the input's gradient; depthwise (taps, C) */
  float *dweights; /* (weight_sums) packed as forward's; of a 1x1 kernel as the weights are, NULL for one sum */
  int64_t weight_sums, sum_elements;
  float *x, *dz; /* (buffers) images, with borders of zeros; x transformed where the product is */
  /* (buffers) transformed: the product, the gradient of z as the weights' and as the inputs' gradient read it. */
  float *sums, *spread, *patches;
  /* The same of all images at once, where threads that are apart share out the weights' gradient. */
  float *all_x, *all_dz, *all_spread, *all_patches;
  float *zeros; /* (channels); this thread's own, as are the lists of pixels and what is its own in norm */
  /* Where a buffer's pixels lie: of forward in x and in z; in the bordered dz; of the input's gradient, class after
   * class, in the bordered dz and in dx. */
  int32_t *in_x, *in_z, *in_dz, *back_dz, *back_dx; /* in_x and in_z alone, of tiles, where it is transformed */
  pp_groups cut;
  int64_t images, buffers;     /* images of a buffer: a group, or several where threads are apart */
  int64_t first_group, groups; /* at hand */
  uint64_t live;               /* taps that some pixel reads, a bit each */
} pp_conv_pass;

/* Some of the weights' gradient: of the channels `at`, of kernel row ky or all (-1). */
typedef struct pp_weight_part {
  pp_range at;
  int64_t ky; /* where it is transformed, a place */
  /* Where it is not the whole of it: which floats of a kernel row; when it is added to the weights' own, which inputs
   * of every tap; of a 1x1 kernel which outputs, whatever `at`. */
  pp_range run;
  int64_t sum; /* which of the sums it is added to */
} pp_weight_part;
static inline pp_range pp_run_of(pp_weight_part part, int64_t whole) {
  return part.run.end == 0 ? (pp_range){0, whole} : part.run;
}

/* Whether every position of the image is a class of its own. */
bool pp_conv_is_small(const pp_layer *layer);
/* Whether the products are Winograd's. */
bool pp_conv_is_transformed(const pp_layer *layer);
/* Whether the kernel is 1x1: the weights' gradient is then not packed but has their own layout, (O, C), and where there
 * is one sum it is added straight to run->grads. */
static inline bool pp_conv_is_pointwise(const pp_layer *layer) { return layer->kernel == 1 && !layer->depthwise; }
/* The input as forward reads it, and the gradient of z as the gradient of the input does. */
pp_bordered pp_conv_bordered_x(const pp_layer *layer);
pp_bordered pp_conv_bordered_dz(const pp_layer *layer);
/* Whether the input is copied or transformed for the kernels. */
bool pp_conv_copies_x(const pp_layer *layer);
/* Floats of a buffer: of transformed images with the channels of that shape; of the input; of the gradient of z. */
int64_t pp_conv_tile_elements(const pp_conv_pass *pass, pp_shape shape);
int64_t pp_conv_x_elements(const pp_conv_pass *pass);
int64_t pp_conv_dz_elements(const pp_conv_pass *pass);
/* A pass over the run's samples, its offsets listed for as much as it needs. */
pp_conv_pass pp_conv_pass_of(const pp_layer_run *run, bool backward);
/* Images of a group, where there is one share of them. */
int64_t pp_conv_images(const pp_conv_pass *pass, int64_t group);
/* What channels are shared out by: panels, or vectors where each channel is for itself; and how many that makes. */
int64_t pp_conv_unit(const pp_conv_pass *pass);
int64_t pp_conv_units(const pp_conv_pass *pass, int64_t channels);
/* The weights of some channels, of the outputs or, turned, of the inputs. */
void pp_conv_pack(const pp_conv_pass *pass, bool turned, pp_range to);
/* Zeros part of a sum of the gradients; of a 1x1 kernel all of it, where it is not run->grads. */
void pp_conv_clear_gradient(const pp_conv_pass *pass, pp_weight_part part);
/* Adds up the sums of some channels' gradients, of all kernel rows, and adds them to the weights' own. */
void pp_conv_add_gradient(const pp_conv_pass *pass, pp_weight_part part);
/* An image of a transformed buffer. */
pp_winograd_image pp_conv_transformed(const pp_conv_pass *pass, pp_shape shape);
/* Copies or transforms a sample of the input into a buffer's place, where it is; what the kernels then read. */
void pp_conv_read_image(const pp_conv_pass *pass, int64_t sample, int64_t buffer, int64_t place);
const float *pp_conv_input(const pp_conv_pass *pass, int64_t first_sample, int64_t buffer);
/* z = x * weights for some images of a buffer, or where z is NULL the weights' gradient from the buffer's gradient of
 * z: part of it. x and z: of the buffer's first image. */
void pp_conv_product(const pp_conv_pass *pass, int64_t buffer, pp_range images, const float *x, float *z,
                     pp_weight_part part);
/* dx = dz * turned weights, for some images of a buffer and some of the input's channels. dx: of the buffer's first
 * image. */
void pp_conv_input_gradient(const pp_conv_pass *pass, int64_t buffer, pp_range images, pp_range at, float *dx);
/* Part of a group's images, cut so that the kernels' tiles are full. pixels: of an image. */
pp_range pp_conv_some_images(const pp_conv_pass *pass, int64_t group, int64_t pixels, int64_t parts, int64_t part);

/* What surrounds the products, for some channels. z, m, y: of the first of the images. */
void pp_conv_pool(const pp_conv_pass *pass, const float *z, int64_t images, pp_range at, float *m);
void pp_conv_activate(const pp_conv_pass *pass, const float *m, int64_t images, pp_range at, float *y);
/* The gradient of a sample's z, and its input, into a buffer's place. */
void pp_conv_undo_image(const pp_conv_pass *pass, int64_t sample, int64_t buffer, int64_t place);
/* This thread's part of the weights' gradient: `weigh` adds up one part of it, of all images; `add_own` adds it to the
 * weights' own. Whether both are the same part; and the channels that the first is about. */
void pp_conv_weigh_own(const pp_conv_pass *pass, void (*weigh)(const pp_conv_pass *pass, pp_weight_part part));
void pp_conv_add_own(const pp_conv_pass *pass);
bool pp_conv_adds_what_it_weighs(const pp_layer *layer);
pp_range pp_conv_weigh_channels(const pp_conv_pass *pass);

/* Whether a thread keeps its own samples, and what it then does: conv_apart.c; otherwise conv_together.c. What the
 * passes set up together is done. */
void pp_conv_forward_apart(pp_conv_pass *pass);
void pp_conv_backward_apart(pp_conv_pass *pass);
void pp_conv_forward_together(pp_conv_pass *pass);
void pp_conv_backward_together(pp_conv_pass *pass);

/* The memory of a pass. */
void pp_conv_plan(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out);

#endif
