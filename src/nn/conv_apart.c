/* A convolution whose threads keep to their own samples: each packs all weights for itself, and has a buffer of some
 * images. They meet where batch norm needs all samples' sums, and for the weights' gradient: either every share of the
 * samples has a sum of its own, and the threads add those up, or, where weights are many beside the values, the
 * gradient of all samples' z is at hand at once, and a thread has some of the weights. */
#include "nn/conv_pass.h"

/* Some groups of the pass, and their images, which follow one another. */
typedef struct chunk {
  pp_range groups, images;
} chunk;

/* The groups from `first` on that a buffer has room for. */
static chunk chunk_at(const pp_conv_pass *pass, int64_t first, int64_t end) {
  chunk some = {{first, first + 1}, pp_group_samples(&pass->cut, first)};
  for (; some.groups.end < end && pass->images > pass->cut.group; some.groups.end++) {
    pp_range next = pp_group_samples(&pass->cut, some.groups.end);
    if (next.end - some.images.first > pass->images)
      break;
    some.images.end = next.end;
  }
  return some;
}

static pp_range own_groups(const pp_conv_pass *pass) {
  pp_range shares = pp_own(pass->run, pass->cut.shares, 1);
  int64_t in_share = pp_groups_of_share(&pass->cut);
  return (pp_range){shares.first * in_share, shares.end * in_share};
}

static pp_range all_channels(pp_shape shape) { return (pp_range){0, shape.channels}; }

static void clear_border(float *images, int64_t count, pp_bordered b, pp_shape shape) {
  if (pp_has_border(b, shape))
    pp_clear(images, count * pp_bordered_elements(b));
}

/* Zeros for the borders of the input's copy and, backward, of the gradient of z: of the first images of a buffer. */
static void clear_borders(const pp_conv_pass *pass, int64_t images, bool backward) {
  const pp_layer *layer = pass->run->layer;
  if (pp_conv_copies_x(layer))
    clear_border(pass->x, images, pp_conv_bordered_x(layer), layer->input);
  if (backward)
    clear_border(pass->dz, images, pp_conv_bordered_dz(layer), layer->middle);
}

static void activate(const pp_conv_pass *pass, const float *m, pp_range images) {
  int64_t elements = pp_shape_elements(pass->run->layer->output);
  pp_conv_activate(pass, m, images.end - images.first, all_channels(pass->run->layer->output),
                   pass->output + images.first * elements);
}

static void forward_chunk(const pp_conv_pass *pass, const chunk *some) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_range images = {0, some->images.end - some->images.first}, all = all_channels(layer->middle);
  int64_t held = run->training ? some->images.first : 0;
  float *z = pass->z + held * pp_shape_elements(layer->middle), *m = pass->m + held * pp_shape_elements(layer->output);
  for (int64_t image = 0; image < images.end; image++)
    pp_conv_read_image(pass, some->images.first + image, 0, image);
  pp_conv_product(pass, 0, images, pp_conv_input(pass, some->images.first, 0), z,
                  (pp_weight_part){.at = all, .ky = -1});
  if (run->training && layer->norm)
    pp_norm_add(run, &pass->norm, pass->z, some->groups, all);
  pp_conv_pool(pass, z, images.end, all, m);
  if (!run->training || !layer->norm)
    activate(pass, m, some->images);
}

void pp_conv_forward_apart(pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_range groups = own_groups(pass), all = all_channels(layer->middle);
  pp_conv_pack(pass, false, all);
  clear_borders(pass, pass->images, false);
  for (chunk some; groups.first < groups.end; groups.first = some.groups.end) {
    some = chunk_at(pass, groups.first, groups.end);
    forward_chunk(pass, &some);
  }
  if (!run->training)
    return;
  if (layer->norm) {
    pp_range own = pp_own_samples(run->samples, run->pool, run->thread);
    pp_meet(run);
    pp_norm_finish(run, &pass->norm, all);
    activate(pass, pass->m + own.first * pp_shape_elements(layer->output), own);
  }
  pp_norm_keep(run, &pass->norm, pp_own(run, layer->middle.channels, PP_NORM_UNIT));
}

/* The pass with the buffers of all images for its own, from a chunk's first on. */
static pp_conv_pass with_all(const pp_conv_pass *pass, const chunk *some) {
  const pp_layer *layer = pass->run->layer;
  pp_conv_pass all = *pass;
  if (pp_conv_is_transformed(layer)) {
    int64_t tiles = some->groups.first * pp_conv_tile_elements(pass, layer->middle);
    all.x = pass->all_x + some->groups.first * pp_conv_x_elements(pass);
    all.dz = pass->all_dz + some->groups.first * pp_conv_dz_elements(pass);
    all.spread = pass->all_spread + tiles;
    all.patches = pass->all_patches + tiles;
  } else {
    all.x = pass->all_x + some->images.first * pp_bordered_elements(pp_conv_bordered_x(layer));
    all.dz = pass->all_dz + some->images.first * pp_bordered_elements(pp_conv_bordered_dz(layer));
  }
  return all;
}

static void weigh_all(const pp_conv_pass *pass, pp_weight_part part) {
  chunk some;
  pp_conv_clear_gradient(pass, part);
  for (int64_t group = 0; group < pass->groups; group = some.groups.end) {
    some = chunk_at(pass, group, pass->groups);
    pp_conv_pass all = with_all(pass, &some);
    pp_conv_product(&all, 0, (pp_range){0, some.images.end - some.images.first},
                    pp_conv_input(&all, some.images.first, 0), NULL, part);
  }
}

/* Asks for what weigh_all reads and other threads wrote, where it is neither a copy nor has borders. */
static void fetch_images(const pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  pp_range at = pp_conv_weigh_channels(pass);
  int64_t channels = layer->middle.channels, pixels = run->samples * pp_pixels(layer->middle);
  if (pp_conv_copies_x(layer) || pp_conv_is_transformed(layer) ||
      pp_has_border(pp_conv_bordered_dz(layer), layer->middle) || at.first == at.end)
    return;
  pp_fetch(run, pass->input, run->samples * pp_shape_elements(layer->input));
  for (int64_t pixel = 0; pixel < pixels; pixel++)
    pp_fetch(run, pass->all_dz + pixel * channels + at.first, at.end - at.first);
}

/* Adds to the sum of each group's share. */
static void weigh_chunk(const pp_conv_pass *pass, const chunk *some) {
  const float *x = pp_conv_input(pass, some->images.first, 0);
  for (int64_t group = some->groups.first; group < some->groups.end; group++) {
    pp_range samples = pp_group_samples(&pass->cut, group);
    pp_range images = {samples.first - some->images.first, samples.end - some->images.first};
    pp_conv_product(pass, 0, images, x, NULL,
                    (pp_weight_part){.at = all_channels(pass->run->layer->middle),
                                     .ky = -1,
                                     .sum = group / pp_groups_of_share(&pass->cut)});
  }
}

static void backward_chunk(const pp_conv_pass *pass, const chunk *some) {
  pp_shape in = pass->run->layer->input;
  pp_range images = {0, some->images.end - some->images.first};
  for (int64_t image = 0; image < images.end; image++)
    pp_conv_undo_image(pass, some->images.first + image, 0, image);
  if (pass->weight_sums > 1)
    weigh_chunk(pass, some);
  if (pass->dx != NULL)
    pp_conv_input_gradient(pass, 0, images, all_channels(in), pass->dx + some->images.first * pp_shape_elements(in));
}

void pp_conv_backward_apart(pp_conv_pass *pass) {
  const pp_layer_run *run = pass->run;
  const pp_layer *layer = run->layer;
  bool at_once = pass->weight_sums == 1;
  pp_range groups = own_groups(pass), shares = pp_own(run, pass->cut.shares, 1);
  pp_norm_sums_take(run, &pass->norm, pass->dy, pass->m,
                    (pp_range){groups.first * pass->norm.parts, groups.end * pass->norm.parts});
  pp_arrive(run);
  if (pass->dx != NULL)
    pp_conv_pack(pass, true, all_channels(layer->input));
  if (!at_once)
    clear_borders(pass, pass->images, true);
  pp_await(run);
  pp_norm_sums_finish(run, &pass->norm, pp_own(run, layer->middle.channels, PP_NORM_UNIT));
  for (int64_t share = shares.first; share < shares.end && !at_once; share++)
    pp_conv_clear_gradient(pass, (pp_weight_part){.at = all_channels(layer->middle), .ky = -1, .sum = share});
  for (chunk some; groups.first < groups.end; groups.first = some.groups.end) {
    some = chunk_at(pass, groups.first, groups.end);
    if (at_once) {
      pp_conv_pass of_all = with_all(pass, &some);
      clear_borders(&of_all, some.images.end - some.images.first, true);
      backward_chunk(&of_all, &some);
    } else {
      backward_chunk(pass, &some);
    }
  }
  pp_meet(run);
  if (at_once) {
    fetch_images(pass);
    pp_conv_weigh_own(pass, weigh_all);
    if (!pp_conv_adds_what_it_weighs(layer))
      pp_meet(run);
  }
  pp_conv_add_own(pass);
}
