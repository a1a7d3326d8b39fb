/* A convolution of many weights, which are packed once: its threads share out groups of images or, where these are few,
 * the images of a group or the output channels. They meet before it and after it. Every value's sums have an order that
 * does not depend on the threads. */
#include "nn/conv_pass.h"

enum {
  IMAGE_PIXELS = 48, /* of a part of the inputs' gradient, at least */
  PARTS = 4,         /* that it is cut into for each thread: of many, the threads' own are alike */
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
  return pass->z + (pass->run->training ? group : buffer) * pass->images * pp_shape_elements(pass->run->layer->middle);
}
static float *m_of(const pp_conv_pass *pass, int64_t group, int64_t buffer) {
  return pass->m + (pass->run->training ? group : buffer) * pass->images * pp_shape_elements(pass->run->layer->output);
}

static void pool_images(const pp_conv_pass *pass, int64_t group, int64_t buffer, pp_range images, pp_range at) {
  const pp_layer *layer = pass->run->layer;
  pp_conv_pool(pass, z_of(pass, group, buffer) + images.first * pp_shape_elements(layer->middle),
               images.end - images.first, at,
               m_of(pass, group, buffer) + images.first * pp_shape_elements(layer->output));
}

static void activate_images(const pp_conv_pass *pass, int64_t group, int64_t buffer, pp_range images, pp_range at) {
  int64_t elements = pp_shape_elements(pass->run->layer->output);
  pp_conv_activate(pass, m_of(pass, group, buffer) + images.first * elements, images.end - images.first, at,
                   pass->output + (group * pass->images + images.first) * elements);
}

/* Some images of a group into a buffer, and as the kernels read it. */
static const float *read_images(const pp_conv_pass *pass, int64_t group, int64_t buffer, pp_range images) {
  for (int64_t image = images.first; image < images.end; image++)
    pp_conv_read_image(pass, group * pass->images + image, buffer, image);
  return pp_conv_input(pass, group * pass->images, buffer);
}

/* Some channels of a group's z, and all that needs no other group. */
static void forward_group(const pp_conv_pass *pass, int64_t group, int64_t buffer, pp_range at) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_range images = {0, pp_conv_images(pass, group)};
  float *z = z_of(pass, group, buffer);
  pp_conv_product(pass, buffer, images, pp_conv_input(pass, group * pass->images, buffer), z,
                  (pp_weight_part){.at = at, .ky = -1});
  if (run->training && layer->norm)
    pp_norm_add(run, &pass->norm, pass->z, (pp_range){group, group + 1}, at);
  pool_images(pass, group, buffer, images, at);
  if (!run->training)
    activate_images(pass, group, buffer, images, at);
}

/* This thread's groups, all channels of them. */
static void forward_groups(const pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  pp_range groups = pp_own(run, pass->groups, 1);
  for (int64_t group = groups.first; group < groups.end; group++) {
    read_images(pass, group, run->thread, (pp_range){0, pp_conv_images(pass, group)});
    forward_group(pass, group, run->thread, (pp_range){0, run->layer->middle.channels});
  }
}

/* This thread's channels of all groups. */
static void forward_channels(const pp_conv_pass *pass, pp_range at) {
  if (pp_conv_copies_x(pass->run->layer)) {
    for (int64_t group = 0; group < pass->groups; group++)
      read_images(pass, group, group, pp_own(pass->run, pp_conv_images(pass, group), 1));
    pp_meet(pass->run);
  }
  for (int64_t group = 0; group < pass->groups; group++)
    forward_group(pass, group, group, at);
}

/* This thread's images: z, and in evaluation the output. */
static void forward_images(const pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_range all = {0, layer->middle.channels};
  for (int64_t group = 0; group < pass->groups; group++) {
    pp_range images =
        pp_conv_some_images(pass, group, pp_pixels(layer->middle), pp_pool_threads(run->pool), run->thread);
    pp_conv_product(pass, group, images, read_images(pass, group, group, images), z_of(pass, group, group),
                    (pp_weight_part){.at = all, .ky = -1});
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
      pp_norm_add(run, &pass->norm, pass->z, (pp_range){group, group + 1}, at);
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
  pp_norm_keep(run, &pass->norm, pp_own(run, run->layer->middle.channels, PP_NORM_UNIT));
  pp_affine affine = pp_norm_affine(run->layer, &pass->norm, 0);
  run->kernels->activate(pass->m + at.first * channels, at.end - at.first, channels, channels, &affine,
                         pass->output + at.first * channels);
}

void pp_conv_forward_together(pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  int64_t threads = pp_pool_threads(run->pool), unit = pp_conv_unit(pass);
  bool few = threads > 1 && pass->groups < 2 * threads, by_images = few && goes_by_images(pass);
  pp_range panels = pp_own(run, layer->middle.channels, unit);
  pp_conv_pack(pass, false, panels);
  clear_x(pass);
  if (!few || by_images || !is_alone(pass)) /* otherwise its own panels are all it reads */
    pp_meet(run);
  if (by_images) {
    forward_images(pass);
    if (run->training) {
      pp_meet(run);
      finish_channels(pass, pp_own(run, layer->middle.channels, PP_NORM_UNIT), false);
    }
  } else if (few) {
    forward_channels(pass, panels);
    if (run->training)
      finish_channels(pass, panels, true);
  } else {
    forward_groups(pass);
    if (run->training) {
      pp_meet(run);
      activate_own(pass);
    }
  }
}

/* This thread's images of the groups at hand. */
static void undo_own(const pp_conv_pass *pass) {
  int64_t first = pass->first_group * pass->images;
  pp_range some = pp_own(pass->run, pp_least(pass->run->samples - first, pass->groups * pass->images), 1);
  for (int64_t image = some.first; image < some.end; image++)
    pp_conv_undo_image(pass, first + image, image / pass->images, image % pass->images);
}

/* Part of the weights' gradient, from the groups at hand. */
static void weigh(const pp_conv_pass *pass, pp_weight_part part) {
  for (int64_t buffer = 0; buffer < pass->groups; buffer++) {
    int64_t group = pass->first_group + buffer;
    pp_conv_product(pass, buffer, (pp_range){0, pp_conv_images(pass, group)},
                    pp_conv_input(pass, group * pass->images, buffer), NULL, part);
  }
}

/* The inputs' gradient of this thread's part of the groups at hand: by images where there are enough, by channels. */
static void give_own(const pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  pp_shape in = run->layer->input;
  int64_t threads = pp_pool_threads(run->pool), wanted = threads == 1 ? 1 : PARTS * threads, groups = pass->groups;
  int64_t images = pp_most(pp_least(pass->images * pp_pixels(in) / IMAGE_PIXELS, wanted / groups), 1);
  int64_t cuts = pp_least(pp_conv_units(pass, in.channels), (wanted + groups * images - 1) / (groups * images));
  pp_range own = pp_own(run, groups * images * cuts, 1);
  for (int64_t part = own.first; part < own.end; part++) {
    int64_t buffer = part / cuts / images, group = pass->first_group + buffer;
    pp_conv_input_gradient(pass, buffer, pp_conv_some_images(pass, group, pp_pixels(in), images, part / cuts % images),
                           pp_range_part(in.channels, pp_conv_unit(pass), cuts, part % cuts),
                           pass->dx + group * pass->images * pp_shape_elements(in));
  }
}

void pp_conv_backward_together(pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  int64_t groups = pass->groups, unit = pp_conv_unit(pass);
  pp_range panels = pp_own(run, layer->middle.channels, unit);
  pp_norm_sums_take(run, &pass->norm, pass->dy, pass->m, pp_own(run, pp_norm_parts(&pass->norm), 1));
  if (pass->dx != NULL)
    pp_conv_pack(pass, true, pp_own(run, layer->input.channels, unit));
  clear_x(pass);
  bool bordered = pp_has_border(pp_conv_bordered_dz(layer), layer->middle);
  pp_range buffers = pp_own(run, bordered ? pass->buffers : 0, 1);
  pp_clear(pass->dz + buffers.first * pp_conv_dz_elements(pass),
           (buffers.end - buffers.first) * pp_conv_dz_elements(pass));
  pp_conv_clear_gradient(pass, (pp_weight_part){.at = panels, .ky = -1});
  pp_meet(run);
  pp_norm_sums_finish(run, &pass->norm, pp_own(run, layer->middle.channels, PP_NORM_UNIT));
  for (; pass->first_group < groups; pass->first_group += pass->buffers) {
    pass->groups = pp_least(groups - pass->first_group, pass->buffers);
    undo_own(pass);
    pp_meet(run);
    pp_conv_weigh_own(pass, weigh);
    if (pass->dx != NULL)
      give_own(pass);
    pp_meet(run);
  }
  pp_conv_add_own(pass);
}
