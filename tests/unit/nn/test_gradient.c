/* Gradients of every layer against finite differences of an independent forward pass in double (double_forward.h). */
#include <math.h>
#include <stdio.h>

#include "double_forward.h"
#include "nn_support.h"

static const pp_sample_place place = {.seed = 3, .device = 1, .iteration = 2};

/* Sum over samples and outputs of y x dy, for the whole network. */
static double objective(const pp_model *model, const double *params, int samples, const double *x, const double *dy) {
  double *y = double_forward(model, params, place, samples, x), sum = 0;
  for (int64_t i = 0; i < (int64_t)samples * pp_model_classes(model); i++)
    sum += y[i] * dy[i];
  free(y);
  return sum;
}

static double *doubles(const float *x, int64_t count) {
  double *d = malloc((size_t)count * sizeof *d);
  ck_assert_ptr_nonnull(d);
  for (int64_t i = 0; i < count; i++)
    d[i] = (double)x[i];
  return d;
}

/* Central differences with step h are off by h^2/6 times the third derivative: 1e-8 of the gradient, unless a ReLU or a
 * pool turns over within the step. That happens to few entries (a value within 1e-4 of its kink), and what it changes
 * shrinks with the step: an entry that disagrees is tried again at a smaller one. Gradients of float nets are then
 * compared within 1e-4 of the tensor's root mean square (see test_pytorch.c). */
static void assert_slope(const char *what, int64_t index, const pp_model *model, double *params, double *x,
                         double *entry, int samples, const double *dy, double gradient, double scale) {
  double step = 1e-4, slope = 0, tolerance = 1e-4 * (scale + fabs(gradient)) + 1e-6;
  for (int attempt = 0; attempt < 3; attempt++, step /= 30) {
    double middle = *entry;
    *entry = middle + step;
    double above = objective(model, params, samples, x, dy);
    *entry = middle - step;
    double below = objective(model, params, samples, x, dy);
    *entry = middle;
    slope = (above - below) / (2 * step);
    if (fabs(slope - gradient) <= tolerance)
      return;
  }
  ck_abort_msg("%s[%ld]: gradient %.6e, slope %.6e", what, (long)index, gradient, slope);
}

static double root_mean_square(const float *x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++)
    sum += (double)x[i] * (double)x[i];
  return sqrt(sum / (double)count);
}

static void build_strided(pp_builder *b) {
  pp_builder_block(b, "7x7/2 and 5x5/3");
  int end = conv(b, PP_FROM_BLOCK, "conv1",
                 (pp_conv_spec){.channels = 3, .kernel = 7, .stride = 2, .padding = 3, .act = PP_ACT_HARD_SWISH});
  conv(b, end, "conv2",
       (pp_conv_spec){
           .channels = 4, .kernel = 5, .stride = 3, .padding = 2, .biased = true, .act = PP_ACT_HARD_SIGMOID});
  dense_end(b);
}

/* 16 channels on more than 16 pixels: transformed (winograd.h). */
static void build_transformed(pp_builder *b) {
  pp_builder_block(b, "3x3");
  int end = conv(b, PP_FROM_BLOCK, "conv1",
                 (pp_conv_spec){.channels = 16, .kernel = 1, .stride = 1, .plain = true, .biased = true});
  end = conv(b, end, "conv2",
             (pp_conv_spec){.channels = 16, .kernel = 3, .stride = 1, .padding = 1, .pool = true, .act = PP_ACT_RELU});
  pp_builder_average(b, end);
  dense_end(b);
}

static void build_depthwise(pp_builder *b) {
  pp_builder_block(b, "3x3/2 and 5x5");
  int end = conv(
      b, PP_FROM_BLOCK, "conv1",
      (pp_conv_spec){.channels = 5, .kernel = 3, .stride = 2, .padding = 1, .depthwise = true, .act = PP_ACT_RELU});
  conv(b, end, "conv2",
       (pp_conv_spec){.channels = 5,
                      .kernel = 5,
                      .stride = 1,
                      .padding = 2,
                      .depthwise = true,
                      .biased = true,
                      .plain = true,
                      .act = PP_ACT_HARD_SWISH});
  dense_end(b);
}

static void build_grouped(pp_builder *b) {
  pp_builder_block(b, "2 and 3 groups");
  int end =
      conv(b, PP_FROM_BLOCK, "conv1",
           (pp_conv_spec){.channels = 6, .kernel = 3, .stride = 1, .padding = 1, .groups = 2, .act = PP_ACT_RELU});
  conv(b, end, "conv2",
       (pp_conv_spec){.channels = 9,
                      .kernel = 2,
                      .stride = 1,
                      .groups = 3,
                      .biased = true,
                      .plain = true,
                      .pool = true,
                      .act = PP_ACT_RELU});
  dense_end(b);
}

static void build_pools(pp_builder *b) {
  pp_builder_block(b, "max, mean");
  int end = pp_builder_maxpool(b, PP_FROM_BLOCK, 3, 2, 1);
  pp_builder_average_pool(b, end, 3, 2);
  dense_end(b);
}

static void build_activations(pp_builder *b) {
  static const pp_activation acts[] = {PP_ACT_RELU, PP_ACT_HARD_SWISH, PP_ACT_HARD_SIGMOID};
  for (int a = 0; a < 3; a++) {
    pp_builder_block(b, "activation");
    pp_builder_activation(b, PP_FROM_BLOCK, acts[a]);
    pp_builder_linear(b, b->model->layer_count - 1, 7, acts[a], "linear");
  }
  dense_end(b);
}

/* Both ways of a sum, with a projection and as it is, and the block's input read twice. */
static void build_residual(pp_builder *b) {
  pp_builder_block(b, "projection");
  int end = conv(b, PP_FROM_BLOCK, "conv1",
                 (pp_conv_spec){.channels = 4, .kernel = 3, .stride = 2, .padding = 1, .act = PP_ACT_RELU});
  end = conv(b, end, "conv2", (pp_conv_spec){.channels = 4, .kernel = 3, .stride = 1, .padding = 1});
  int way = conv(b, PP_FROM_BLOCK, "downsample", (pp_conv_spec){.channels = 4, .kernel = 1, .stride = 2});
  pp_builder_add(b, end, way, PP_ACT_RELU);
  pp_builder_block(b, "identity");
  end = conv(b, PP_FROM_BLOCK, "conv1", (pp_conv_spec){.channels = 4, .kernel = 3, .stride = 1, .padding = 1});
  pp_builder_add(b, end, PP_FROM_BLOCK, PP_ACT_NONE);
  dense_end(b);
}

static void build_squeeze(pp_builder *b) {
  pp_builder_block(b, "squeeze and excite");
  pp_builder_squeeze_excite(b, PP_FROM_BLOCK, 2, "fc1", "fc2");
  dense_end(b);
}

static void build_inverted(pp_builder *b) {
  int part = 0;
  pp_builder_block(b, "inverted");
  pp_builder_inverted(
      b, PP_FROM_BLOCK,
      &(pp_inverted){.kernel = 3, .expanded = 6, .channels = 4, .squeeze = true, .swish = true, .stride = 1}, &part);
  dense_end(b);
}

static void build_dropout(pp_builder *b) {
  pp_builder_block(b, "dropout of a map and of features");
  int end = pp_builder_dropout(b, PP_FROM_BLOCK, 0.3);
  end = pp_builder_linear(b, end, 12, PP_ACT_HARD_SWISH, "linear");
  pp_builder_dropout(b, end, 0.5);
  dense_end(b);
}

static const struct {
  const char *chain;                  /* of one layer, where possible, and of all together */
  void (*build)(pp_builder *builder); /* instead of the chain */
  pp_shape input;
  int samples;
} cases[] = {
    {"D", NULL, {5, 2, 3}, 3},
    {"D6, D", NULL, {3, 2, 2}, 1},
    {"C4N, D", NULL, {2, 3, 4}, 2},
    {"C4, D", NULL, {2, 4, 3}, 2},
    {"C3N max2, D", NULL, {1, 5, 4}, 2},
    {"C4 max2, D", NULL, {2, 4, 6}, 3},
    {"C4 max2, D", NULL, {1, 4, 5}, 1},
    {"C4, C3 max2, D5, D", NULL, {2, 4, 4}, 4},
    {NULL, build_strided, {2, 13, 11}, 4},
    {NULL, build_transformed, {2, 6, 5}, 2},
    {NULL, build_depthwise, {5, 7, 6}, 2},
    {NULL, build_grouped, {4, 6, 5}, 2},
    {NULL, build_pools, {3, 11, 9}, 2},
    {NULL, build_activations, {3, 2, 2}, 3},
    {NULL, build_residual, {3, 6, 7}, 3},
    {NULL, build_squeeze, {5, 3, 4}, 3},
    {NULL, build_inverted, {4, 5, 4}, 3},
    {NULL, build_dropout, {3, 3, 2}, 3},
};
enum { MOST_ENTRIES = 80 /* of a tensor that are looked at, evenly spread */ };

static void assert_slopes(const char *what, const pp_model *model, double *params, double *x, double *entries,
                          int64_t count, int samples, const double *dy, const float *gradient) {
  double scale = root_mean_square(gradient, count);
  int64_t looked_at = count < MOST_ENTRIES ? count : MOST_ENTRIES;
  for (int64_t entry = 0; entry < looked_at; entry++) {
    int64_t i = entry * count / looked_at;
    assert_slope(what, i, model, params, x, &entries[i], samples, dy, (double)gradient[i], scale);
  }
}

static void check(int number, pp_net_use use, const pp_kernels *kernels) {
  fixture f;
  if (cases[number].build != NULL)
    fixture_build(&f, cases[number].build, cases[number].input, 3);
  else
    fixture_init(&f, cases[number].chain, cases[number].input, 3);
  int samples = cases[number].samples, blocks = pp_model_block_count(f.model);
  int64_t inputs = samples * output_elements(&f, -1), outputs = samples * output_elements(&f, blocks - 1);
  float *x = floats(inputs), *y = floats(outputs), *dy = floats(outputs), *dx = floats(inputs);
  fill_normal(x, inputs, 50, 1.0, 0.2);
  fill_normal(dy, outputs, 51, 1.0, 0.0);
  double *params = doubles(f.state.params, f.parameters), *x2 = doubles(x, inputs), *dy2 = doubles(dy, outputs);
  pp_net *net = net_with(&f, samples, 1, use, kernels);
  pp_net_place(net, place);
  pp_net_forward(net, &f.state, 0, samples, x, y);
  double sum = 0;
  for (int64_t i = 0; i < outputs; i++)
    sum += (double)y[i] * (double)dy[i];
  double expected = objective(f.model, params, samples, x2, dy2);
  ck_assert_msg(fabs(sum - expected) < 1e-4 * (1 + fabs(expected)), "forward: %g, not %g", sum, expected);
  pp_net_backward(net, &f.state, 0, dy, dx);
  assert_slopes("dx", f.model, params, x2, x2, inputs, samples, dy2, dx);
  for (int t = 0; t < pp_model_tensor_count(f.model); t++) {
    const pp_tensor_info *tensor = pp_model_tensor(f.model, t);
    if (!tensor->is_statistic)
      assert_slopes(tensor->name, f.model, params, x2, params + tensor->offset, tensor->elements, samples, dy2,
                    f.state.grads + tensor->offset);
  }
  /* The same bits where the input's gradient is not wanted. */
  float *grads = floats(f.parameters);
  memcpy(grads, f.state.grads, (size_t)f.parameters * sizeof *grads);
  memset(f.state.grads, 0, (size_t)f.parameters * sizeof *grads);
  fill_normal(dy, outputs, 51, 1.0, 0.0);
  pp_net_place(net, place);
  pp_net_forward(net, &f.state, 0, samples, x, y);
  pp_net_backward(net, &f.state, 0, dy, NULL);
  ck_assert_mem_eq(grads, f.state.grads, (size_t)f.parameters * sizeof *grads);
  free(grads);
  pp_net_destroy(net);
  fixture_fini(&f);
  free(x), free(y), free(dy), free(dx), free(params), free(x2), free(dy2);
}

START_TEST(fast_gradients_are_slopes_on_every_instruction_set) {
  const pp_kernels *kernels[MAX_KERNELS];
  tested_kernels(kernels);
  for (int k = 0; kernels[k] != NULL; k++)
    check(_i, PP_NET_TRAIN, kernels[k]);
}
END_TEST

START_TEST(plain_gradients_are_slopes) { check(_i, PP_NET_REFERENCE, pp_kernels_best()); }
END_TEST

int main(void) {
  int count = (int)(sizeof cases / sizeof cases[0]);
  pp_nn_set_threads(1);
  TCase *tests = tcase_create("gradient");
  tcase_set_timeout(tests, 60);
  tcase_add_loop_test(tests, fast_gradients_are_slopes_on_every_instruction_set, 0, count);
  tcase_add_loop_test(tests, plain_gradients_are_slopes, 0, count);
  return run_case("gradient", tests);
}
