/* Convolution in groups: each group of output channels reads its own group of input channels, and has its own share of
 * the batch norm, activation and pooling. So a group is a dense convolution of its own, of channels gathered from the
 * image and scattered into it; what this layer adds is the gathering. */
#include "nn/layer.h"

#include <string.h>

void pp_grouped_setup(pp_layer *layer) {
  int channels = layer->input.channels;
  layer->input.channels = channels / layer->groups;
  pp_conv_setup(layer);
  layer->input.channels = channels;
  layer->type = &pp_grouped_type;
}

static pp_layer part_of(const pp_layer *layer, int group) {
  pp_layer part = *layer;
  part.type = &pp_conv_type;
  part.groups = 1;
  part.input.channels = layer->input.channels / layer->groups;
  part.middle.channels = part.output.channels = layer->middle.channels / layer->groups;
  int64_t first = (int64_t)group * part.middle.channels;
  part.weight += first * part.input.channels * layer->kernel * layer->kernel;
  part.bias += first;
  part.gamma += first;
  part.beta += first;
  part.mean += first;
  part.variance += first;
  return part;
}

/* One group's images, beside its convolution's own scratch. */
typedef struct group_images {
  float *x, *y, *dx, *dy; /* dx and dy in training only */
} group_images;

static group_images cut(const pp_layer *part, const pp_layer_request *request, pp_cutter *scratch) {
  int64_t in = request->max_samples * pp_shape_elements(part->input);
  int64_t out = request->max_samples * pp_shape_elements(part->output);
  group_images images = {.x = pp_cut(scratch, in), .y = pp_cut(scratch, out)};
  images.dx = pp_cut(scratch, request->training ? in : 0);
  images.dy = pp_cut(scratch, request->training ? out : 0);
  return images;
}

static void plan(const pp_layer *layer, const pp_layer_request *request, pp_layer_plan *out) {
  pp_layer part = part_of(layer, 0);
  pp_cutter scratch = {0};
  pp_layer_plan dense;
  pp_conv_type.fast->plan(&part, request, &dense);
  cut(&part, request, &scratch);
  *out = (pp_layer_plan){.kept = layer->groups * pp_cut_round(dense.kept),
                         .scratch = scratch.used + dense.scratch,
                         .sums = dense.sums,
                         .own = dense.own};
}

/* Channels `first` and those after it of this thread's pixels, to images that have no others, and back. */
static void gather(const pp_layer_run *run, const float *from, int64_t pixels, int64_t channels, int64_t first,
                   int64_t width, float *to) {
  pp_range own = pp_own(run, pixels, 1);
  for (int64_t p = own.first; p < own.end; p++)
    memcpy(to + p * width, from + p * channels + first, (size_t)width * sizeof *to);
}

static void scatter(const pp_layer_run *run, const float *from, int64_t pixels, int64_t channels, int64_t first,
                    int64_t width, float *to) {
  pp_range own = pp_own(run, pixels, 1);
  for (int64_t p = own.first; p < own.end; p++)
    memcpy(to + p * channels + first, from + p * width, (size_t)width * sizeof *to);
}

/* A group's part in the micro-batch; *part and *images are filled in. */
static pp_layer_run run_of(const pp_layer_run *run, int group, pp_layer *part, group_images *images) {
  pp_layer_request request = {run->max_samples, run->training, run->kernels, pp_pool_threads(run->pool)};
  pp_cutter scratch = {.base = run->scratch};
  pp_layer_plan dense;
  pp_layer_run own = *run;
  *part = part_of(run->layer, group);
  pp_conv_type.fast->plan(part, &request, &dense);
  *images = cut(part, &request, &scratch);
  own.layer = part;
  own.kept = run->kept == NULL ? NULL : run->kept + group * pp_cut_round(dense.kept);
  own.scratch = run->scratch + scratch.used;
  return own;
}

static void forward(const pp_layer_run *run, const float *x, float *y) {
  const pp_layer *layer = run->layer;
  int64_t before = run->samples * pp_pixels(layer->input), after = run->samples * pp_pixels(layer->output);
  for (int group = 0; group < layer->groups; group++) {
    pp_layer part;
    group_images images;
    pp_layer_run own = run_of(run, group, &part, &images);
    int64_t in = part.input.channels, out = part.output.channels;
    gather(run, x, before, layer->input.channels, group * in, in, images.x);
    pp_meet(run);
    pp_conv_type.fast->forward(&own, images.x, images.y);
    pp_meet(run);
    scatter(run, images.y, after, layer->output.channels, group * out, out, y);
  }
}

static void backward(const pp_layer_run *run, const float *x, float *dy, float *dx) {
  const pp_layer *layer = run->layer;
  int64_t before = run->samples * pp_pixels(layer->input), after = run->samples * pp_pixels(layer->output);
  for (int group = 0; group < layer->groups; group++) {
    pp_layer part;
    group_images images;
    pp_layer_run own = run_of(run, group, &part, &images);
    int64_t in = part.input.channels, out = part.output.channels;
    gather(run, x, before, layer->input.channels, group * in, in, images.x);
    gather(run, dy, after, layer->output.channels, group * out, out, images.dy);
    pp_meet(run);
    pp_conv_type.fast->backward(&own, images.x, images.dy, dx == NULL ? NULL : images.dx);
    pp_meet(run);
    if (dx != NULL)
      scatter(run, images.dx, before, layer->input.channels, group * in, in, dx);
  }
}

static int info(const pp_layer *layer, pp_layer_info out[PP_LAYER_MAX_INFOS]) { return pp_conv_type.info(layer, out); }

static int tensors(const pp_layer *layer, pp_layer_tensor out[PP_LAYER_MAX_TENSORS]) {
  int count = pp_conv_type.tensors(layer, out);
  out[0].shape[1] = layer->input.channels / layer->groups;
  return count;
}

static const pp_layer_ops fast = {.plan = plan, .forward = forward, .backward = backward};

const pp_layer_type pp_grouped_type = {
    .fast = &fast,
    .reference = &pp_conv_reference,
    .inputs = 1,
    .info = info,
    .tensors = tensors,
};
