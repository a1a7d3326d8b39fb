#include "nn/winograd.h"

enum {
  TILE = 2,
  PATCH = 4,
  TAPS = 9,
  UNIT = 16,         /* of channels: the widest vector */
  PLANE = 32 * 1024, /* floats of one image, at most: more would leave the cache between two steps */
  LINE = 16, /* floats between planes, so that a tile's places do not all fall into the same lines of the cache */
};

bool pp_winograd_suits(const pp_layer *layer) {
  int64_t in = layer->input.channels, out = layer->middle.channels;
  return layer->kernel == 3 && layer->stride == 1 && layer->padding == 1 && !layer->depthwise && in % UNIT == 0 &&
         out % UNIT == 0 && pp_winograd_tiles(layer->middle) * pp_most(in, out) <= PLANE;
}

int64_t pp_winograd_tiles(pp_shape image) {
  return (int64_t)((image.height + TILE - 1) / TILE) * ((image.width + TILE - 1) / TILE);
}

int64_t pp_winograd_elements(pp_shape image, int64_t images) {
  return PP_PLACES * (images * pp_winograd_tiles(image) * image.channels + LINE);
}

/* The pixels of the `size` x `size` window at (y, x), or zeros. */
static void list_pixels(const pp_winograd_image *of, const float *image, int64_t y, int64_t x, int64_t size,
                        const float *pixels[PP_PLACES]) {
  for (int64_t row = y; row < y + size; row++)
    for (int64_t column = x; column < x + size; column++) {
      bool inside = row >= 0 && row < of->shape.height && column >= 0 && column < of->shape.width;
      *pixels++ = inside ? image + (row * of->shape.width + column) * of->shape.channels : of->zeros;
    }
}

/* Windows of `size`, the first at (-border, -border), one per tile. */
static void read_windows(const pp_kernels *kernels, pp_transform transform, const pp_winograd_image *of, int64_t border,
                         int64_t size, const float *image, float *tiles) {
  for (int64_t y = 0; y < of->shape.height; y += TILE)
    for (int64_t x = 0; x < of->shape.width; x += TILE, tiles += of->shape.channels) {
      const float *from[PP_PLACES];
      float *to[PP_PLACES];
      list_pixels(of, image, y - border, x - border, size, from);
      for (int place = 0; place < PP_PLACES; place++)
        to[place] = tiles + place * of->plane;
      kernels->transform(transform, from, of->shape.channels, to);
    }
}

void pp_winograd_read(const pp_kernels *kernels, const pp_winograd_image *of, const float *image, float *tiles) {
  read_windows(kernels, PP_TRANSFORM_READ, of, 1, PATCH, image, tiles);
}

void pp_winograd_spread(const pp_kernels *kernels, const pp_winograd_image *of, const float *image, float *tiles) {
  read_windows(kernels, PP_TRANSFORM_SPREAD, of, 0, TILE, image, tiles);
}

void pp_winograd_write(const pp_kernels *kernels, const pp_winograd_image *of, const float *tiles, pp_range channels,
                       float *image) {
  tiles += channels.first;
  image += channels.first;
  for (int64_t y = 0; y < of->shape.height; y += TILE)
    for (int64_t x = 0; x < of->shape.width; x += TILE, tiles += of->shape.channels) {
      const float *from[PP_PLACES];
      float *to[TILE * TILE];
      for (int place = 0; place < PP_PLACES; place++)
        from[place] = tiles + place * of->plane;
      for (int64_t i = 0; i < TILE * TILE; i++) {
        int64_t row = y + i / TILE, column = x + i % TILE;
        bool inside = row < of->shape.height && column < of->shape.width;
        to[i] = inside ? image + (row * of->shape.width + column) * of->shape.channels : NULL;
      }
      kernels->transform(PP_TRANSFORM_WRITE, from, channels.end - channels.first, to);
    }
}

float *pp_winograd_taps(const pp_kernels *kernels, float *panel, int64_t rows) {
  return panel + (PP_PLACES - TAPS) * rows * kernels->panel;
}

void pp_winograd_weigh(const pp_kernels *kernels, int64_t rows, bool turned, float *panel) {
  int64_t plane = rows * kernels->panel;
  const float *from[PP_PLACES];
  float *to[PP_PLACES];
  for (int tap = 0; tap < TAPS; tap++)
    from[tap] = pp_winograd_taps(kernels, panel, rows) + (turned ? TAPS - 1 - tap : tap) * plane;
  for (int place = 0; place < PP_PLACES; place++)
    to[place] = panel + place * plane;
  kernels->transform(PP_TRANSFORM_WEIGH, from, plane, to);
}

void pp_winograd_unweigh(const pp_kernels *kernels, int64_t rows, float *panel) {
  int64_t plane = rows * kernels->panel;
  const float *from[PP_PLACES];
  float *to[TAPS];
  for (int place = 0; place < PP_PLACES; place++)
    from[place] = panel + place * plane;
  for (int tap = 0; tap < TAPS; tap++)
    to[tap] = pp_winograd_taps(kernels, panel, rows) + tap * plane;
  kernels->transform(PP_TRANSFORM_UNWEIGH, from, plane, to);
}
