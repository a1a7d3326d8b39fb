/* The passes of a convolution with the batch norm, activation and 2x2 max pool that follow it, over the products of
 * conv_products.c.
 *
 * Pooling happens before the normalisation, which then runs on a quarter of the values; backward, no gradient of z is
 * ever written but for the groups at hand. In training the bias cancels in the batch norm: it enters the running mean
 * only and its gradient is exactly 0.
 *
 * Threads share out groups. Of the weights' gradient each of a fixed number of shares of the groups has a sum of its
 * own. Where there are few groups, or so many weights that the sums would not stay in the cache, threads share out
 * images or output channels, and weights. Either way a value's sums have an order that does not depend on the threads,
 * so it is the same bits however it is shared. */
#include "nn/conv_pass.h"

enum {
  CHANNEL_UNIT = 8,  /* that one task takes, at least, of what follows the product */
  IMAGE_PIXELS = 48, /* that one task takes, at least, of the inputs' gradient */
};

/* Zeros into the borders of some buffers of the input. */
static void clear_x(const pp_conv_pass *pass, int64_t parts, int64_t part) {
  const pp_layer *layer = pass->run->layer;
  bool zeros = pp_conv_copies_x(layer) && pp_has_border(pp_conv_bordered_x(layer), layer->input);
  pp_range buffers = pp_range_part(zeros ? pass->buffers : 0, 1, parts, part);
  pp_clear(pass->x + buffers.first * pp_conv_x_elements(pass),
           (buffers.end - buffers.first) * pp_conv_x_elements(pass));
}

static void prepare_forward(void *context, int64_t task, int thread) {
  const pp_conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  int64_t parts = pp_parts(run->pool, INT32_MAX);
  pp_conv_pack(pass, false, pp_range_part(run->layer->middle.channels, pp_conv_unit(pass), parts, task));
  clear_x(pass, parts, task);
  (void)thread;
}

/* Images of the groups at hand; buffers are numbered with them. */
static void read_images(void *context, int64_t task, int thread) {
  const pp_conv_pass *pass = context;
  int64_t images = pp_conv_images(pass, pass->first_group);
  pp_range some = pp_range_part(images, 1, pp_parts(pass->run->pool, images), task);
  for (int64_t image = some.first; image < some.end; image++)
    pp_conv_read_image(pass, pass->first_group, image, 0);
  (void)thread;
}

/* Whether a task that has some channels of the only group does all that is to be done with them. */
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

/* A group's z, or some channels of it, and all that needs no other group. */
static void forward_part(void *context, int64_t task, int thread) {
  const pp_conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  int64_t group = pass->first_group + task / pass->cuts, channels = layer->middle.channels;
  int64_t buffer = pass->cuts == 1 ? thread : 0;
  pp_range images = {0, pp_conv_images(pass, group)};
  pp_range at = pp_range_part(channels, pp_conv_unit(pass), pass->cuts, task % pass->cuts);
  float *z = z_of(pass, group, buffer);
  for (int64_t image = 0; image < images.end && pass->cuts == 1; image++)
    pp_conv_read_image(pass, group, image, buffer);
  if (is_alone(pass))
    pp_conv_pack(pass, false, at);
  pp_conv_product(pass, buffer, images, pp_conv_input(pass, group, buffer), z, (pp_weight_part){at, -1, 0, 1, 0});
  if (run->training && layer->norm)
    pp_norm_add(run, &pass->norm, z, group, images.end * pp_pixels(layer->middle), at);
  if (run->training && layer->norm && is_alone(pass))
    pp_norm_finish_some(run, &pass->norm, at);
  pool_images(pass, group, buffer, images, at);
  if (!run->training || is_alone(pass))
    activate_images(pass, group, buffer, images, at);
}

/* Some images of a group: z, and in evaluation the output. */
static void forward_images(void *context, int64_t task, int thread) {
  const pp_conv_pass *pass = context;
  const pp_layer *layer = pass->run->layer;
  int64_t group = task % pass->groups;
  pp_range all = {0, layer->middle.channels};
  pp_range images = pp_conv_some_images(pass, group, pp_pixels(layer->middle), pass->image_cuts, task / pass->groups);
  for (int64_t image = images.first; image < images.end; image++)
    pp_conv_read_image(pass, group, image, group);
  pp_conv_product(pass, group, images, pp_conv_input(pass, group, group), z_of(pass, group, group),
                  (pp_weight_part){all, -1, 0, 1, 0});
  if (!pass->run->training) {
    pool_images(pass, group, group, images, all);
    activate_images(pass, group, group, images, all);
  }
  (void)thread;
}

/* What follows z in training: some channels of all images. */
static void finish_channels(void *context, int64_t task, int thread) {
  const pp_conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_range at = pp_range_part(layer->middle.channels, CHANNEL_UNIT, pass->cuts, task);
  for (int64_t group = 0; group < pass->groups && layer->norm; group++)
    pp_norm_add(run, &pass->norm, z_of(pass, group, group), group,
                pp_conv_images(pass, group) * pp_pixels(layer->middle), at);
  if (layer->norm)
    pp_norm_finish_some(run, &pass->norm, at);
  for (int64_t group = 0; group < pass->groups; group++) {
    pp_range images = {0, pp_conv_images(pass, group)};
    pool_images(pass, group, group, images, at);
    activate_images(pass, group, group, images, at);
  }
  (void)thread;
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

static void activate_part(void *context, int64_t task, int thread) {
  const pp_conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  int64_t channels = run->layer->output.channels;
  pp_range at = pp_range_part(run->samples * pp_pixels(run->layer->output), 1, pass->cuts, task);
  pp_affine affine = pp_norm_affine(run->layer, &pass->norm, 0);
  run->kernels->activate(pass->m + at.first * channels, at.end - at.first, channels, channels, &affine,
                         pass->output + at.first * channels);
  (void)thread;
}

/* Few groups, each shared out by channels. */
static void forward_by_channels(pp_conv_pass *pass) {
  const pp_layer *layer = pass->run->layer;
  pp_pool *pool = pass->run->pool;
  pass->cuts = pp_parts(pool, pp_conv_units(pass, layer->middle.channels));
  for (pass->first_group = 0; pass->first_group < pass->groups; pass->first_group++) {
    if (pp_conv_copies_x(layer) && pass->cuts > 1)
      pp_pool_run(pool, pp_parts(pool, pp_conv_images(pass, pass->first_group)), read_images, pass);
    pp_pool_run(pool, pass->cuts, forward_part, pass);
  }
}

static void forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  pp_conv_pass pass = pp_conv_pass_of(run, false);
  bool few = pass.groups < pp_parts(run->pool, 2 * (int64_t)pp_pool_threads(run->pool));
  bool by_images = few && goes_by_images(&pass);
  pass.input = x;
  pass.output = y;
  pp_norm_begin(run, &pass.norm);
  if (by_images || !is_alone(&pass))
    pp_pool_run(pp_pool_for(run->pool,
                            2 * layer->bias + (pp_conv_copies_x(layer) ? pass.buffers * pp_conv_x_elements(&pass) : 0)),
                pp_parts(run->pool, INT32_MAX), prepare_forward, &pass);
  if (by_images) {
    pass.image_cuts = pp_pool_threads(run->pool);
    pp_pool_run(run->pool, pass.groups * pass.image_cuts, forward_images, &pass);
    pass.cuts = pp_parts(run->pool, (layer->middle.channels + CHANNEL_UNIT - 1) / CHANNEL_UNIT);
    if (run->training)
      pp_pool_run(pp_pool_for(run->pool, run->samples * pp_shape_elements(layer->middle)), pass.cuts, finish_channels,
                  &pass);
    return;
  }
  pass.cuts = 1;
  if (few)
    forward_by_channels(&pass);
  else
    pp_pool_run(run->pool, pass.groups, forward_part, &pass);
  if (!run->training || is_alone(&pass))
    return;
  if (layer->norm)
    pp_norm_finish(run, &pass.norm);
  pass.cuts = pp_parts(run->pool, run->samples * pp_pixels(layer->output));
  pp_pool_run(pp_pool_for(run->pool, run->samples * pp_shape_elements(layer->output)), pass.cuts, activate_part, &pass);
}

/* First what the groups need, then the sums of the normalisation's gradient. */
static void prepare_backward(void *context, int64_t task, int thread) {
  const pp_conv_pass *pass = context;
  (void)thread;
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  int64_t parts = pp_parts(run->pool, INT32_MAX), unit = pp_conv_unit(pass);
  pp_range sums = pp_range_part(pp_norm_sums_tasks(&pass->norm_sums), 1, parts, task);
  for (int64_t some = sums.first; some < sums.end; some++)
    pp_norm_sums_take(&pass->norm_sums, some);
  if (pass->dx != NULL)
    pp_conv_pack(pass, true, pp_range_part(layer->input.channels, unit, parts, task));
  clear_x(pass, parts, task);
  pp_range buffers =
      pp_range_part(pp_has_border(pp_conv_bordered_dz(layer), layer->middle) ? pass->buffers : 0, 1, parts, task);
  pp_clear(pass->dz + buffers.first * pp_conv_dz_elements(pass),
           (buffers.end - buffers.first) * pp_conv_dz_elements(pass));
  if (pass->shares == 1)
    pp_conv_clear_gradient(pass, pp_range_part(layer->middle.channels, unit, parts, task));
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

/* Of the groups at hand. */
static void undo_at_hand(void *context, int64_t task, int thread) {
  const pp_conv_pass *pass = context;
  int64_t images = pp_least(pass->run->samples - pass->first_group * pass->group, pass->groups * pass->group);
  pp_range some = pp_range_part(images, 1, pp_parts(pass->run->pool, images), task);
  for (int64_t image = some.first; image < some.end; image++)
    undo_image(pass, pass->first_group + image / pass->group, image % pass->group, image / pass->group);
  (void)thread;
}

/* Kernel rows, or places, of the weights' gradient. */
static int64_t weight_rows(const pp_layer *layer) { return pp_conv_is_transformed(layer) ? PP_PLACES : layer->kernel; }

/* How the gradients of the groups at hand are shared out: first tasks of weights, then tasks of inputs. */
static int64_t weight_tasks(const pp_conv_pass *pass) {
  const pp_layer *layer = pass->run->layer;
  int64_t units = pp_conv_units(pass, layer->middle.channels);
  return pp_pool_threads(pass->run->pool) == 1 ? 1
         : layer->depthwise                    ? units
                                               : units * weight_rows(layer) * pass->row_cuts;
}

static pp_weight_part weights_of(const pp_conv_pass *pass, int64_t task) {
  const pp_layer *layer = pass->run->layer;
  int64_t channels = layer->middle.channels, units = pp_conv_units(pass, channels);
  if (pp_pool_threads(pass->run->pool) == 1)
    return (pp_weight_part){{0, channels}, -1, 0, 1, 0};
  int64_t rows = weight_rows(layer);
  return (pp_weight_part){pp_range_part(channels, pp_conv_unit(pass), units, task % units), task / units % rows,
                          task / units / rows, pass->row_cuts, 0};
}

static void gradient_part(void *context, int64_t task, int thread) {
  const pp_conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  pp_shape in = run->layer->input;
  int64_t first = weight_tasks(pass);
  if (task < first) {
    pp_weight_part part = weights_of(pass, task);
    for (int64_t buffer = 0; buffer < pass->groups; buffer++) {
      int64_t group = pass->first_group + buffer;
      pp_conv_product(pass, buffer, (pp_range){0, pp_conv_images(pass, group)}, pp_conv_input(pass, group, buffer),
                      NULL, part);
    }
    return;
  }
  int64_t buffer = (task - first) % pass->groups, group = pass->first_group + buffer,
          part = (task - first) / pass->groups;
  pp_conv_input_gradient(pass, buffer,
                         pp_conv_some_images(pass, group, pp_pixels(in), pass->image_cuts, part / pass->cuts),
                         pp_range_part(in.channels, pp_conv_unit(pass), pass->cuts, part % pass->cuts),
                         pass->dx + group * pass->group * pp_shape_elements(in));
  (void)thread;
}

/* All gradients of a share of the groups, one group after the other. */
static void share_part(void *context, int64_t share, int thread) {
  const pp_conv_pass *pass = context;
  const pp_layer_run *run = pass->run;
  pp_shape in = run->layer->input, middle = run->layer->middle;
  pp_range groups = pp_range_part(pass->groups, 1, pass->shares, share);
  int64_t buffer = pp_pool_threads(run->pool) == 1 ? 0 : share;
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
  (void)thread;
}

static void unpack_part(void *context, int64_t task, int thread) {
  const pp_conv_pass *pass = context;
  int64_t channels = pass->run->layer->middle.channels;
  pp_range at =
      pp_range_part(channels, pp_conv_unit(pass), pp_parts(pass->run->pool, pp_conv_units(pass, channels)), task);
  pp_conv_join_shares(pass, at);
  pp_conv_unpack_add(pass, at);
  (void)thread;
}

static void backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  pp_conv_pass pass = pp_conv_pass_of(run, true);
  int64_t groups = pass.groups, wanted = pp_parts(run->pool, INT32_MAX);
  int64_t units = pp_conv_units(&pass, layer->middle.channels), in_units = pp_conv_units(&pass, layer->input.channels);
  pass.input = x;
  pass.dy = dy;
  pass.dx = dx;
  pass.norm_sums = pp_norm_sums_of(run, &pass.norm, dy, pass.m, run->samples * pp_pixels(layer->output));
  pp_pool_run(pp_pool_for(run->pool, 2 * layer->bias + run->samples * pp_shape_elements(layer->output)), wanted,
              prepare_backward, &pass);
  pp_norm_sums_finish(&pass.norm_sums);
  pass.row_cuts = pp_conv_is_small(layer) || pp_conv_is_transformed(layer)
                      ? 1
                      : (wanted + units * layer->kernel - 1) / (units * layer->kernel);
  if (pass.shares > 1)
    pp_pool_run(run->pool, pass.shares, share_part, &pass);
  for (pass.first_group = 0; pass.shares == 1 && pass.first_group < groups; pass.first_group += pass.buffers) {
    pass.groups = pp_least(groups - pass.first_group, pass.buffers);
    pass.image_cuts = pp_most(pp_least(pass.group * pp_pixels(layer->input) / IMAGE_PIXELS, wanted / pass.groups), 1);
    int64_t parts = pass.groups * pass.image_cuts;
    pass.cuts = pp_least(in_units, (wanted + parts - 1) / parts);
    int64_t images = pp_least(run->samples - pass.first_group * pass.group, pass.groups * pass.group);
    pp_pool_run(pp_pool_for(run->pool, 2 * images * pp_shape_elements(layer->middle)), pp_parts(run->pool, images),
                undo_at_hand, &pass);
    pp_pool_run(run->pool, weight_tasks(&pass) + (dx == NULL ? 0 : parts * pass.cuts), gradient_part, &pass);
  }
  pp_pool_run(pp_pool_for(run->pool, pass.shares * layer->bias), pp_parts(run->pool, units), unpack_part, &pass);
}

const pp_layer_ops pp_conv_fast = {.plan = pp_conv_plan, .forward = forward, .backward = backward};
