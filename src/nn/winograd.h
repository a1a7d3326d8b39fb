/* 3x3 convolutions by Winograd's F(2x2, 3x3) (Lavin and Gray, 2016, section 4.1): a tile of 2x2 outputs comes of a
 * patch of 4x4 inputs by 16 products instead of 36. Patches and weights are transformed, each of the 16 places is a
 * product over the channels, and the sums are transformed to outputs. The transforms add, subtract and halve only, so
 * digits are lost hardly more than in the sum itself. The weights' gradient is the same, the other way round.
 *
 * A tensor of transformed tiles is 16 planes of (tiles, channels), `plane` floats apart; the images of a group follow
 * one another in each. */
#ifndef PP_NN_WINOGRAD_H
#define PP_NN_WINOGRAD_H

#include "nn/layer.h"

enum { PP_PLACES = 16 /* of a transformed tile */ };

/* Whether the layer's shape suits it: 3x3, stride 1, padding 1, whole vectors of channels, an image that stays in the
 * cache when it is transformed. */
bool pp_winograd_suits(const pp_layer *layer);
int64_t pp_winograd_tiles(pp_shape image);
/* Floats of `images` transformed images. */
int64_t pp_winograd_elements(pp_shape image, int64_t images);

/* One transformed image of the group, or an image that is read or written: the first tile's first channel. */
typedef struct pp_winograd_image {
  pp_shape shape;
  int64_t plane;
  const float *zeros; /* (channels), for what lies beside the image */
} pp_winograd_image;

/* image: (H, W, C); tiles: the image's first in the first plane. Patches of the input, and of the outputs' gradients as
 * the inputs' gradient reads them. */
void pp_winograd_read(const pp_kernels *kernels, const pp_winograd_image *of, const float *image, float *tiles);
/* Tiles of the outputs' gradients, for the weights' gradient. */
void pp_winograd_spread(const pp_kernels *kernels, const pp_winograd_image *of, const float *image, float *tiles);
/* Some channels of an image from the sums. */
void pp_winograd_write(const pp_kernels *kernels, const pp_winograd_image *of, const float *tiles, pp_range channels,
                       float *image);

/* One panel in place: the taps lie in the last 9 of the 16 places of `rows` x panel floats, and so do the gradients
 * that come of the places'. `turned`: the taps in the other order, for the inputs' gradient. */
float *pp_winograd_taps(const pp_kernels *kernels, float *panel, int64_t rows);
void pp_winograd_weigh(const pp_kernels *kernels, int64_t rows, bool turned, float *panel);
void pp_winograd_unweigh(const pp_kernels *kernels, int64_t rows, float *panel);

#endif
