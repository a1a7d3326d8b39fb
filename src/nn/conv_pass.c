/* The passes of a convolution with the batch norm, activation and 2x2 max pool that follow it, over the products of
 * conv_products.c.
 *
 * Pooling happens before the normalisation, which then runs on a quarter of the values; backward, no gradient of z is
 * ever written but for some images. In training the bias cancels in the batch norm: it enters the running mean only and
 * its gradient is exactly 0. */
#include "nn/conv_pass.h"

enum { PARTS = 4 /* that the weights' gradient is cut into for each thread: of many, the threads' own are alike */ };

void pp_conv_pool(const pp_conv_pass *pass, const float *z, int64_t images, pp_range at, float *m) {
  const pp_layer *layer = pass->run->layer;
  pp_shape middle = layer->middle;
  for (int64_t image = 0; image < images && layer->pool; image++)
    pass->run->kernels->pool(z + image * pp_shape_elements(middle) + at.first, middle.height, middle.width,
                             at.end - at.first, middle.channels, pass->norm.scale + at.first,
                             m + image * pp_shape_elements(layer->output) + at.first);
}

void pp_conv_activate(const pp_conv_pass *pass, const float *m, int64_t images, pp_range at, float *y) {
  const pp_layer *layer = pass->run->layer;
  pp_affine affine = pp_norm_affine(layer, &pass->norm, at.first);
  pass->run->kernels->activate(m + at.first, images * pp_pixels(layer->output), at.end - at.first,
                               layer->output.channels, &affine, y + at.first);
}

void pp_conv_undo_image(const pp_conv_pass *pass, int64_t sample, int64_t buffer, int64_t place) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_shape middle = layer->middle, output = layer->output;
  pp_bordered bz = pp_conv_bordered_dz(layer);
  int64_t pitch = bz.width * bz.channels;
  pp_affine affine = pp_norm_affine(layer, &pass->norm, 0);
  const float *z = pass->z + sample * pp_shape_elements(middle), *m = pass->m + sample * pp_shape_elements(output);
  const float *dy = pass->dy + sample * pp_shape_elements(output);
  float *dz = pass->dz + buffer * pp_conv_dz_elements(pass) + place * pp_bordered_elements(bz) + bz.top * pitch +
              bz.left * bz.channels;
  if (layer->pool)
    run->kernels->undo_pool(dy, z, m, middle.height, middle.width, middle.channels, &affine, pitch, dz);
  else
    run->kernels->undo(dy, z, middle.height, middle.width, middle.channels, &affine, pitch, dz);
  if (pp_conv_is_transformed(layer)) {
    pp_winograd_image of = pp_conv_transformed(pass, middle);
    int64_t tiles = buffer * pp_conv_tile_elements(pass, middle) + place * pp_winograd_tiles(middle) * middle.channels;
    pp_winograd_spread(run->kernels, &of, dz, pass->spread + tiles);
    if (pass->dx != NULL)
      pp_winograd_read(run->kernels, &of, dz, pass->patches + tiles);
  }
  pp_conv_read_image(pass, sample, buffer, place);
}

/* This thread's part of the weights' gradient: of panels by kernel rows, or places, by parts of a row. */
void pp_conv_weigh_own(const pp_conv_pass *pass, void (*weigh)(const pp_conv_pass *pass, pp_weight_part part)) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  int64_t threads = pp_pool_threads(run->pool), channels = layer->middle.channels;
  int64_t units = pp_conv_units(pass, channels), cuts = 1;
  int64_t rows = layer->depthwise ? 1 : pp_conv_is_transformed(layer) ? PP_PLACES : layer->kernel;
  if (threads == 1) {
    weigh(pass, (pp_weight_part){{0, channels}, -1, 0, 1, 0});
    return;
  }
  if (!pp_conv_is_small(layer) && !pp_conv_is_transformed(layer) && !layer->depthwise)
    cuts = (PARTS * threads + units * rows - 1) / (units * rows);
  pp_range own = pp_own(run, units * rows * cuts, 1);
  for (int64_t part = own.first; part < own.end; part++) {
    pp_range at = pp_range_part(channels, pp_conv_unit(pass), units, part / rows / cuts);
    weigh(pass, layer->depthwise ? (pp_weight_part){at, -1, 0, 1, 0}
                                 : (pp_weight_part){at, part / cuts % rows, part % cuts, cuts, 0});
  }
}

static void forward(const pp_layer_run *run, const float *x, float *y) {
  pp_conv_pass pass = pp_conv_pass_of(run, false);
  pass.input = x;
  pass.output = y;
  pp_norm_begin(run, &pass.norm);
  if (pp_conv_keeps_apart(run->layer))
    pp_conv_forward_apart(&pass);
  else
    pp_conv_forward_together(&pass);
}

static void backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  pp_conv_pass pass = pp_conv_pass_of(run, true);
  pass.input = x;
  pass.dy = dy;
  pass.dx = dx;
  pp_norm_recall(run, &pass.norm);
  if (pp_conv_keeps_apart(run->layer))
    pp_conv_backward_apart(&pass);
  else
    pp_conv_backward_together(&pass);
}

const pp_layer_ops pp_conv_fast = {.plan = pp_conv_plan, .forward = forward, .backward = backward};
