/* The passes of a convolution with the batch norm, activation and 2x2 max pool that follow it, over the products of
 * conv_products.c.
 *
 * Pooling happens before the normalisation, which then runs on a quarter of the values; backward, no gradient of z is
 * ever written but for some images. In training the bias cancels in the batch norm: it enters the running mean only and
 * its gradient is exactly 0. */
#include "nn/conv_pass.h"

enum { RUN_UNIT = 4 /* of a pp_weight_part's run, that one thread takes, at least */ };

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

/* What the weights' gradient is shared out by: some rows of every panel, or of every vector of channels, and pieces of
 * a row. */
typedef struct weight_rows {
  int64_t panels, rows, length; /* length: of a row that may be cut; otherwise 1 */
} weight_rows;

/* As the kernels add it up: kernel rows, or places. */
static weight_rows weighed_rows(const pp_conv_pass *pass) {
  const pp_layer *layer = pass->run->layer;
  if (pp_conv_is_pointwise(layer))
    return (weight_rows){1, 1, layer->middle.channels};
  bool cuts = !layer->depthwise && !pp_conv_is_transformed(layer) && !pp_conv_is_small(layer);
  return (weight_rows){
      .panels = pp_conv_units(pass, layer->middle.channels),
      .rows = layer->depthwise                ? 1
              : pp_conv_is_transformed(layer) ? PP_PLACES
                                              : layer->kernel,
      .length = cuts ? (int64_t)layer->kernel * layer->input.channels : 1,
  };
}

bool pp_conv_adds_what_it_weighs(const pp_layer *layer) { return pp_conv_is_pointwise(layer) || layer->depthwise; }

/* As it is added to the weights' own: some inputs of all taps. */
static weight_rows added_rows(const pp_conv_pass *pass) {
  const pp_layer *layer = pass->run->layer;
  if (pp_conv_adds_what_it_weighs(layer))
    return weighed_rows(pass);
  return (weight_rows){pp_conv_units(pass, layer->middle.channels), 1,
                       pp_conv_is_transformed(layer) ? 1 : layer->input.channels};
}

static int64_t pieces_of(const weight_rows *of) { return (of->length + RUN_UNIT - 1) / RUN_UNIT; }

static pp_range own_pieces(const pp_conv_pass *pass, const weight_rows *of) {
  return pp_own(pass->run, of->panels * of->rows * pieces_of(of), 1);
}

static pp_range channels_of(const pp_conv_pass *pass, const weight_rows *of, int64_t piece) {
  return pp_range_part(pass->run->layer->middle.channels, pp_conv_unit(pass), of->panels,
                       piece / pieces_of(of) / of->rows);
}

/* This thread's part, row by row. */
static void visit_own(const pp_conv_pass *pass, const weight_rows *of,
                      void (*visit)(const pp_conv_pass *pass, pp_weight_part part)) {
  int64_t pieces = pieces_of(of);
  pp_range own = own_pieces(pass, of);
  while (own.first < own.end) {
    int64_t row = own.first / pieces, end = pp_least(own.end, (row + 1) * pieces);
    pp_weight_part part = {.at = channels_of(pass, of, own.first), .ky = of->rows == 1 ? -1 : row % of->rows};
    if (end - own.first < pieces)
      part.run = (pp_range){own.first % pieces * RUN_UNIT, pp_least((end - row * pieces) * RUN_UNIT, of->length)};
    visit(pass, part);
    own.first = end;
  }
}

void pp_conv_weigh_own(const pp_conv_pass *pass, void (*weigh)(const pp_conv_pass *pass, pp_weight_part part)) {
  weight_rows rows = weighed_rows(pass);
  if (pp_pool_threads(pass->run->pool) == 1)
    weigh(pass, (pp_weight_part){.at = {0, pass->run->layer->middle.channels}, .ky = -1});
  else
    visit_own(pass, &rows, weigh);
}

void pp_conv_add_own(const pp_conv_pass *pass) {
  weight_rows rows = added_rows(pass);
  visit_own(pass, &rows, pp_conv_add_gradient);
}

pp_range pp_conv_weigh_channels(const pp_conv_pass *pass) {
  weight_rows rows = weighed_rows(pass);
  pp_range own = own_pieces(pass, &rows);
  if (pp_conv_is_pointwise(pass->run->layer))
    return (pp_range){own.first * RUN_UNIT, pp_least(own.end * RUN_UNIT, rows.length)};
  if (own.first == own.end)
    return (pp_range){0, 0};
  return (pp_range){channels_of(pass, &rows, own.first).first, channels_of(pass, &rows, own.end - 1).end};
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
