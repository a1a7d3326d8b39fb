/* The passes of a convolution with the batch norm, activation and 2x2 max pool that follow it, over the products of
 * conv_products.c.
 *
 * Pooling happens before the normalisation, which then runs on a quarter of the values; backward, no gradient of z is
 * ever written but for the groups at hand. In training the bias cancels in the batch norm: it enters the running mean
 * only and its gradient is exactly 0.
 *
 * A thread has some of the groups. Of the weights' gradient each of a fixed number of shares of the groups has a sum of
 * its own. Where there are few groups, or so many weights that the sums would not stay in the cache, a thread has some
 * of the images or output channels, and weights. Either way a value's sums have an order that does not depend on the
 * threads, so it is the same bits whoever computes it. */
#include "nn/conv_pass.h"

enum {
  CHANNEL_UNIT = 16, /* that one thread takes, at least, of what follows the product */
  IMAGE_PIXELS = 48, /* of a part of the inputs' gradient, at least */
  PARTS = 4,         /* that gradients are cut into for each thread: of many, the threads' own are alike */
};

/* Zeros into the borders of this thread's buffers of the input. */
static void clear_x(const pp_conv_pass *pass) {
  const pp_layer *layer = pass->run->layer;
  bool zeros = pp_conv_copies_x(layer) && pp_has_border(pp_conv_bordered_x(layer), layer->input);
  pp_range buffers = pp_own(pass->run, zeros ? pass->buffers : 0, 1);
  pp_clear(pass->x + buffers.first * pp_conv_x_elements(pass),
           (buffers.end - buffers.first) * pp_conv_x_elements(pass));
}

/* Whether a thread that has some channels of the only group does all that is to be done with them. */
static bool is_alone(const pp_conv_pass *pass) {
  const pp_layer *layer = pass->run->layer;
  return pass->groups == 1 && !(pp_conv_copies_x(layer) && pp_has_border(pp_conv_bordered_x(layer), layer->input));
}

/* A group's z and m; in evaluation those of a buffer. */
static float *z_of(const pp_conv_pass *pass, int64_t group, int64_t buffer) {
  return pass->z + (pass->run->training ? group : buffer) * pass->group * pp_shape_elements(pass->run->layer->middle);
}
static float *m_of(const pp_conv_pass *pass, int64_t group, int64_t buffer) {
  return pass->m + (pass->run->training ? group : buffer) * pass->group * pp_shape_elements(pass->run->layer->output);
}

static void pool_images(const pp_conv_pass *pass, int64_t group, int64_t buffer, pp_range images, pp_range at) {
  const pp_layer *layer = pass->run->layer;
  pp_shape middle = layer->middle;
  const float *z = z_of(pass, group, buffer) + at.first, *scale = pass->norm.scale + at.first;
  float *m = m_of(pass, group, buffer) + at.first;
  for (int64_t g = images.first; g < images.end && layer->pool; g++)
    pass->run->kernels->pool(z + g * pp_shape_elements(middle), middle.height, middle.width, at.end - at.first,
                             middle.channels, scale, m + g * pp_shape_elements(layer->output));
}

static void activate_images(const pp_conv_pass *pass, int64_t group, int64_t buffer, pp_range images, pp_range at) {
  const pp_layer *layer = pass->run->layer;
  int64_t elements = pp_shape_elements(layer->output);
  pp_affine affine = pp_norm_affine(layer, &pass->norm, at.first);
  pass->run->kernels->activate(m_of(pass, group, buffer) + images.first * elements + at.first,
                               (images.end - images.first) * pp_pixels(layer->output), at.end - at.first,
                               layer->output.channels, &affine,
                               pass->output + (group * pass->group + images.first) * elements + at.first);
}

/* Some channels of a group's z, and all that needs no other group. */
static void forward_group(const pp_conv_pass *pass, int64_t group, int64_t buffer, pp_range at) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_range images = {0, pp_conv_images(pass, group)};
  float *z = z_of(pass, group, buffer);
  pp_conv_product(pass, buffer, images, pp_conv_input(pass, group, buffer), z, (pp_weight_part){at, -1, 0, 1, 0});
  if (run->training && layer->norm)
    pp_norm_add(run, &pass->norm, z, group, images.end * pp_pixels(layer->middle), at);
  pool_images(pass, group, buffer, images, at);
  if (!run->training)
    activate_images(pass, group, buffer, images, at);
}

/* This thread's groups, all channels of them. */
static void forward_groups(const pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  pp_range groups = pp_own(run, pass->groups, 1);
  for (int64_t group = groups.first; group < groups.end; group++) {
    for (int64_t image = 0; image < pp_conv_images(pass, group); image++)
      pp_conv_read_image(pass, group, image, run->thread);
    forward_group(pass, group, run->thread, (pp_range){0, run->layer->middle.channels});
  }
}

/* This thread's channels of all groups, one group after the other. */
static void forward_channels(const pp_conv_pass *pass, pp_range at) {
  for (int64_t group = 0; group < pass->groups; group++) {
    if (pp_conv_copies_x(pass->run->layer)) {
      pp_range some = pp_own(pass->run, pp_conv_images(pass, group), 1);
      for (int64_t image = some.first; image < some.end; image++)
        pp_conv_read_image(pass, group, image, group);
      pp_meet(pass->run);
    }
    forward_group(pass, group, group, at);
  }
}

/* This thread's images: z, and in evaluation the output. */
static void forward_images(const pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_range all = {0, layer->middle.channels};
  for (int64_t group = 0; group < pass->groups; group++) {
    pp_range images =
        pp_conv_some_images(pass, group, pp_pixels(layer->middle), pp_pool_threads(run->pool), run->thread);
    for (int64_t image = images.first; image < images.end; image++)
      pp_conv_read_image(pass, group, image, group);
    pp_conv_product(pass, group, images, pp_conv_input(pass, group, group), z_of(pass, group, group),
                    (pp_weight_part){all, -1, 0, 1, 0});
    if (!run->training) {
      pool_images(pass, group, group, images, all);
      activate_images(pass, group, group, images, all);
    }
  }
}

/* What follows a whole z in training: some channels of all images. */
static void finish_channels(pp_conv_pass *pass, pp_range at, bool taken_in) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  for (int64_t group = 0; group < pass->groups && !taken_in; group++) {
    pp_range images = {0, pp_conv_images(pass, group)};
    if (layer->norm)
      pp_norm_add(run, &pass->norm, z_of(pass, group, group), group, images.end * pp_pixels(layer->middle), at);
    pool_images(pass, group, group, images, at);
  }
  if (layer->norm)
    pp_norm_finish(run, &pass->norm, at);
  pp_norm_keep(run, &pass->norm, at);
  for (int64_t group = 0; group < pass->groups; group++)
    activate_images(pass, group, group, (pp_range){0, pp_conv_images(pass, group)}, at);
}

/* Whether the only or few groups are shared out more evenly by images than by channels: by the largest thread's part.
 */
static bool goes_by_images(const pp_conv_pass *pass) {
  const pp_layer *layer = pass->run->layer;
  int64_t threads = pp_pool_threads(pass->run->pool), most_channels = 0, most_images = 0;
  for (int64_t part = 0; part < threads; part++) {
    pp_range channels = pp_range_part(layer->middle.channels, pp_conv_unit(pass), threads, part);
    int64_t images = 0;
    for (int64_t group = 0; group < pass->groups; group++) {
      pp_range some = pp_conv_some_images(pass, group, pp_pixels(layer->middle), threads, part);
      images += some.end - some.first;
    }
    most_channels = pp_most(most_channels, channels.end - channels.first);
    most_images = pp_most(most_images, images);
  }
  return most_images * layer->middle.channels < most_channels * pass->run->samples;
}

/* This thread's pixels of the output, when all groups are taken in. */
static void activate_own(const pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  int64_t channels = run->layer->output.channels, pixels = run->samples * pp_pixels(run->layer->output);
  pp_range all = {0, channels}, at = pp_own(run, pixels, 1);
  if (run->layer->norm)
    pp_norm_finish(run, &pass->norm, all);
  if (run->thread == 0)
    pp_norm_keep(run, &pass->norm, all);
  pp_affine affine = pp_norm_affine(run->layer, &pass->norm, 0);
  run->kernels->activate(pass->m + at.first * channels, at.end - at.first, channels, channels, &affine,
                         pass->output + at.first * channels);
}

static void forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  pp_conv_pass pass = pp_conv_pass_of(run, false);
  int64_t threads = pp_pool_threads(run->pool), unit = pp_conv_unit(&pass);
  bool few = threads > 1 && pass.groups < 2 * threads, by_images = few && goes_by_images(&pass);
  pass.input = x;
  pass.output = y;
  pp_norm_begin(run, &pass.norm);
  pp_range panels = pp_own(run, layer->middle.channels, unit);
  pp_conv_pack(&pass, false, panels);
  clear_x(&pass);
  if (!few || by_images || !is_alone(&pass)) /* otherwise its own panels are all it reads */
    pp_meet(run);
  if (by_images) {
    forward_images(&pass);
    pp_meet(run);
    if (run->training)
      finish_channels(&pass, pp_own(run, layer->middle.channels, CHANNEL_UNIT), false);
  } else if (few) {
    forward_channels(&pass, panels);
    if (run->training)
      finish_channels(&pass, panels, true);
  } else {
    forward_groups(&pass);
    pp_meet(run);
    if (run->training)
      activate_own(&pass);
  }
}

/* The gradient of z of an image, and its input, in a buffer. */
static void undo_image(const pp_conv_pass *pass, int64_t group, int64_t image, int64_t buffer) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_shape middle = layer->middle, output = layer->output;
  pp_bordered bz = pp_conv_bordered_dz(layer);
  int64_t sample = group * pass->group + image, pitch = bz.width * bz.channels;
  pp_affine affine = pp_norm_affine(layer, &pass->norm, 0);
  const float *z = pass->z + sample * pp_shape_elements(middle), *m = pass->m + sample * pp_shape_elements(output);
  const float *dy = pass->dy + sample * pp_shape_elements(output);
  float *dz = pass->dz + buffer * pp_conv_dz_elements(pass) + image * pp_bordered_elements(bz) + bz.top * pitch +
              bz.left * bz.channels;
  if (layer->pool)
    run->kernels->undo_pool(dy, z, m, middle.height, middle.width, middle.channels, &affine, pitch, dz);
  else
    run->kernels->undo(dy, z, middle.height, middle.width, middle.channels, &affine, pitch, dz);
  if (pp_conv_is_transformed(layer)) {
    pp_winograd_image of = pp_conv_transformed(pass, middle);
    int64_t tiles = buffer * pp_conv_tile_elements(pass, middle) + image * pp_winograd_tiles(middle) * middle.channels;
    pp_winograd_spread(run->kernels, &of, dz, pass->spread + tiles);
    if (pass->dx != NULL)
      pp_winograd_read(run->kernels, &of, dz, pass->patches + tiles);
  }
  pp_conv_read_image(pass, group, image, buffer);
}

/* This thread's images of the groups at hand. */
static void undo_own(const pp_conv_pass *pass) {
  int64_t images = pp_least(pass->run->samples - pass->first_group * pass->group, pass->groups * pass->group);
  pp_range some = pp_own(pass->run, images, 1);
  for (int64_t image = some.first; image < some.end; image++)
    undo_image(pass, pass->first_group + image / pass->group, image % pass->group, image / pass->group);
}

/* Part of the weights' gradient, from the groups at hand. */
static void weigh_part(const pp_conv_pass *pass, pp_weight_part part) {
  for (int64_t buffer = 0; buffer < pass->groups; buffer++) {
    int64_t group = pass->first_group + buffer;
    pp_conv_product(pass, buffer, (pp_range){0, pp_conv_images(pass, group)}, pp_conv_input(pass, group, buffer), NULL,
                    part);
  }
}

/* This thread's part of the weights' gradient: of panels by kernel rows, or places, by parts of a row. */
static void weigh_own(const pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  int64_t threads = pp_pool_threads(run->pool), channels = layer->middle.channels;
  int64_t units = pp_conv_units(pass, channels), cuts = 1;
  int64_t rows = layer->depthwise ? 1 : pp_conv_is_transformed(layer) ? PP_PLACES : layer->kernel;
  if (threads == 1) {
    weigh_part(pass, (pp_weight_part){{0, channels}, -1, 0, 1, 0});
    return;
  }
  if (!pp_conv_is_small(layer) && !pp_conv_is_transformed(layer) && !layer->depthwise)
    cuts = (PARTS * threads + units * rows - 1) / (units * rows);
  pp_range own = pp_own(run, units * rows * cuts, 1);
  for (int64_t part = own.first; part < own.end; part++) {
    pp_range at = pp_range_part(channels, pp_conv_unit(pass), units, part / rows / cuts);
    weigh_part(pass, layer->depthwise ? (pp_weight_part){at, -1, 0, 1, 0}
                                      : (pp_weight_part){at, part / cuts % rows, part % cuts, cuts, 0});
  }
}

/* The inputs' gradient of this thread's part of the groups at hand: by images where there are enough, by channels. */
static void give_own(const pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  pp_shape in = run->layer->input;
  int64_t threads = pp_pool_threads(run->pool), wanted = threads == 1 ? 1 : PARTS * threads, groups = pass->groups;
  int64_t images = pp_most(pp_least(pass->group * pp_pixels(in) / IMAGE_PIXELS, wanted / groups), 1);
  int64_t cuts = pp_least(pp_conv_units(pass, in.channels), (wanted + groups * images - 1) / (groups * images));
  pp_range own = pp_own(run, groups * images * cuts, 1);
  for (int64_t part = own.first; part < own.end; part++) {
    int64_t buffer = part / cuts / images, group = pass->first_group + buffer;
    pp_conv_input_gradient(pass, buffer, pp_conv_some_images(pass, group, pp_pixels(in), images, part / cuts % images),
                           pp_range_part(in.channels, pp_conv_unit(pass), cuts, part % cuts),
                           pass->dx + group * pass->group * pp_shape_elements(in));
  }
}

/* All gradients of this thread's shares of the groups, one group after the other. */
static void backward_shares(const pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  pp_shape in = run->layer->input, middle = run->layer->middle;
  pp_range shares = pp_own(run, pass->shares, 1);
  int64_t buffer = shares.first;
  for (int64_t share = shares.first; share < shares.end; share++) {
    pp_range groups = pp_range_part(pass->groups, 1, pass->shares, share);
    pp_clear(pass->dweights + share * pass->share_elements, pass->share_elements);
    for (int64_t group = groups.first; group < groups.end; group++) {
      pp_range images = {0, pp_conv_images(pass, group)};
      for (int64_t image = 0; image < images.end; image++)
        undo_image(pass, group, image, buffer);
      pp_conv_product(pass, buffer, images, pp_conv_input(pass, group, buffer), NULL,
                      (pp_weight_part){{0, middle.channels}, -1, 0, 1, share});
      if (pass->dx != NULL)
        pp_conv_input_gradient(pass, buffer, images, (pp_range){0, in.channels},
                               pass->dx + group * pass->group * pp_shape_elements(in));
    }
  }
}

static void backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  pp_conv_pass pass = pp_conv_pass_of(run, true);
  int64_t groups = pass.groups, unit = pp_conv_unit(&pass);
  pp_range panels = pp_own(run, layer->middle.channels, unit);
  pass.input = x;
  pass.dy = dy;
  pass.dx = dx;
  pp_norm_recall(run, &pass.norm);
  pp_norm_sums sums = pp_norm_sums_of(&pass.norm, dy, pass.m, run->samples * pp_pixels(layer->output));
  pp_range parts = pp_own(run, sums.parts, 1);
  for (int64_t part = parts.first; part < parts.end; part++)
    pp_norm_sums_take(run, &pass.norm, &sums, part);
  if (dx != NULL)
    pp_conv_pack(&pass, true, pp_own(run, layer->input.channels, unit));
  clear_x(&pass);
  bool bordered = pp_has_border(pp_conv_bordered_dz(layer), layer->middle);
  pp_range buffers = pp_own(run, bordered ? pass.buffers : 0, 1);
  pp_clear(pass.dz + buffers.first * pp_conv_dz_elements(&pass),
           (buffers.end - buffers.first) * pp_conv_dz_elements(&pass));
  if (pass.shares == 1)
    pp_conv_clear_gradient(&pass, panels);
  pp_meet(run);
  pp_norm_sums_finish(run, &pass.norm, &sums, run->thread == 0);
  if (pass.shares > 1) {
    backward_shares(&pass);
    pp_meet(run);
  }
  for (; pass.shares == 1 && pass.first_group < groups; pass.first_group += pass.buffers) {
    pass.groups = pp_least(groups - pass.first_group, pass.buffers);
    undo_own(&pass);
    pp_meet(run);
    weigh_own(&pass);
    if (dx != NULL)
      give_own(&pass);
    pp_meet(run);
  }
  pp_conv_join_shares(&pass, panels);
  pp_conv_unpack_add(&pass, panels);
}

const pp_layer_ops pp_conv_fast = {.plan = pp_conv_plan, .forward = forward, .backward = backward};
