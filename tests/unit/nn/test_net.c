/* Fast layers against the plain ones, and what must not change a bit. */
#include <math.h>
#include <stdio.h>

#include "nn_support.h"

/* Everything one micro-batch leaves behind. */
typedef struct outcome {
  float *y, *dx, *grads, *stats;
} outcome;

static outcome run_with(fixture *f, pp_net_use use, int samples, int max_samples, int in_flight, int slot,
                        const pp_kernels *kernels) {
  int blocks = pp_model_block_count(f->model);
  int64_t in = samples * output_elements(f, -1), out = samples * output_elements(f, blocks - 1);
  outcome o = {floats(out), floats(in), floats(f->parameters), floats(f->statistics)};
  float *x = floats(in), *dy = floats(out);
  fill_normal(x, in, 100, 1.0, 0.3);
  fill_normal(dy, out, 101, 1.0, 0.0);
  memset(f->state.grads, 0, (size_t)f->parameters * sizeof(float));
  fixture_fill(f);
  pp_net *net = net_with(f, max_samples, in_flight, use, kernels);
  pp_net_place(net, (pp_sample_place){.seed = 3});
  pp_net_forward(net, &f->state, slot, samples, x, o.y);
  if (use != PP_NET_EVALUATE)
    pp_net_backward(net, &f->state, slot, dy, o.dx);
  memcpy(o.grads, f->state.grads, (size_t)f->parameters * sizeof(float));
  memcpy(o.stats, f->state.stats, (size_t)f->statistics * sizeof(float));
  pp_net_destroy(net);
  free(x);
  free(dy);
  return o;
}

static outcome run_whole(fixture *f, pp_net_use use, int samples, int max_samples, int in_flight, int slot) {
  return run_with(f, use, samples, max_samples, in_flight, slot, pp_kernels_best());
}

static void outcome_fini(outcome *o) {
  free(o->y);
  free(o->dx);
  free(o->grads);
  free(o->stats);
}

static void assert_close(const char *what, const float *a, const float *b, int64_t count, double tolerance) {
  double difference = 0.0, norm = 0.0;
  for (int64_t i = 0; i < count; i++) {
    ck_assert_msg(isfinite(a[i]) && isfinite(b[i]), "%s: not finite", what);
    difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    norm += (double)b[i] * (double)b[i];
  }
  ck_assert_msg(sqrt(difference) <= tolerance * sqrt(norm) + 1e-5, "%s: off by %g of %g", what, sqrt(difference),
                sqrt(norm));
}

static void assert_same(const char *what, const float *a, const float *b, int64_t count) {
  ck_assert_msg(memcmp(a, b, (size_t)count * sizeof *a) == 0, "%s differs", what);
}

/* A stem, a residual block with the plain way and one with a projection. */
static void build_residual(pp_builder *b) {
  pp_builder_block(b, "stem");
  int end = conv(b, PP_FROM_BLOCK, "conv",
                 (pp_conv_spec){.channels = 20, .kernel = 7, .stride = 2, .padding = 3, .act = PP_ACT_RELU});
  pp_builder_maxpool(b, end, 3, 2, 1);
  pp_builder_block(b, "residual");
  end = conv(b, PP_FROM_BLOCK, "conv1",
             (pp_conv_spec){.channels = 20, .kernel = 3, .stride = 1, .padding = 1, .act = PP_ACT_RELU});
  end = conv(b, end, "conv2", (pp_conv_spec){.channels = 20, .kernel = 3, .stride = 1, .padding = 1});
  pp_builder_add(b, end, PP_FROM_BLOCK, PP_ACT_RELU);
  pp_builder_block(b, "projection");
  end = conv(b, PP_FROM_BLOCK, "conv1",
             (pp_conv_spec){.channels = 35, .kernel = 3, .stride = 2, .padding = 1, .act = PP_ACT_RELU});
  end = conv(b, end, "conv2", (pp_conv_spec){.channels = 35, .kernel = 3, .stride = 1, .padding = 1});
  int way = conv(b, PP_FROM_BLOCK, "downsample", (pp_conv_spec){.channels = 35, .kernel = 1, .stride = 2});
  pp_builder_add(b, end, way, PP_ACT_RELU);
  dense_end(b);
}

/* An inverted residual with squeeze and excite, every activation, an average, and dropout. */
static void build_inverted(pp_builder *b) {
  pp_builder_block(b, "stem");
  conv(b, PP_FROM_BLOCK, "conv",
       (pp_conv_spec){.channels = 24, .kernel = 3, .stride = 2, .padding = 1, .act = PP_ACT_HARD_SWISH});
  pp_builder_block(b, "inverted");
  int end =
      conv(b, PP_FROM_BLOCK, "expand", (pp_conv_spec){.channels = 40, .kernel = 1, .stride = 1, .act = PP_ACT_RELU});
  end = conv(b, end, "depth",
             (pp_conv_spec){
                 .channels = 40, .kernel = 5, .stride = 1, .padding = 2, .depthwise = true, .act = PP_ACT_HARD_SWISH});
  int factors = pp_builder_average(b, end);
  factors = pp_builder_squeeze(b, factors, 8, PP_ACT_RELU, "fc1");
  factors = pp_builder_squeeze(b, factors, 40, PP_ACT_HARD_SIGMOID, "fc2");
  end = pp_builder_scale(b, end, factors);
  end = conv(b, end, "project", (pp_conv_spec){.channels = 24, .kernel = 1, .stride = 1});
  pp_builder_add(b, end, PP_FROM_BLOCK, PP_ACT_NONE);
  pp_builder_block(b, "depth /2");
  end = conv(
      b, PP_FROM_BLOCK, "depth",
      (pp_conv_spec){.channels = 24, .kernel = 3, .stride = 2, .padding = 1, .depthwise = true, .act = PP_ACT_RELU});
  pp_builder_average(b, end);
  pp_builder_block(b, "D drop");
  end = pp_builder_linear(b, PP_FROM_BLOCK, 30, PP_ACT_HARD_SWISH, "linear");
  pp_builder_dropout(b, end, 0.4);
  dense_end(b);
}

/* Convolutions of unusual geometry: more padding than the kernel reaches, a 5x5 over two strides, a bias before
 * nothing. */
static void build_odd(pp_builder *b) {
  pp_builder_block(b, "bordered");
  conv(b, PP_FROM_BLOCK, "conv",
       (pp_conv_spec){
           .channels = 9, .kernel = 3, .stride = 1, .padding = 3, .biased = true, .pool = true, .act = PP_ACT_RELU});
  pp_builder_block(b, "5x5/3");
  conv(b, PP_FROM_BLOCK, "conv",
       (pp_conv_spec){
           .channels = 18, .kernel = 5, .stride = 3, .biased = true, .plain = true, .act = PP_ACT_HARD_SWISH});
  pp_builder_block(b, "even");
  conv(b, PP_FROM_BLOCK, "conv", (pp_conv_spec){.channels = 7, .kernel = 2, .stride = 1, .padding = 1, .plain = true});
  dense_end(b);
}

/* Groups, averages of windows that overlap and that leave a rest, and activations on their own. */
static void build_grouped(pp_builder *b) {
  pp_builder_block(b, "grouped");
  int end = conv(b, PP_FROM_BLOCK, "conv1", (pp_conv_spec){.channels = 18, .kernel = 3, .stride = 1, .padding = 1});
  end = pp_builder_activation(b, end, PP_ACT_HARD_SWISH);
  end = conv(b, end, "conv2", (pp_conv_spec){.channels = 12, .kernel = 3, .stride = 2, .padding = 1, .groups = 6});
  pp_builder_average_pool(b, end, 3, 2);
  pp_builder_block(b, "biased");
  end = conv(b, PP_FROM_BLOCK, "conv",
             (pp_conv_spec){.channels = 40,
                            .kernel = 3,
                            .stride = 1,
                            .padding = 2,
                            .groups = 2,
                            .biased = true,
                            .plain = true,
                            .pool = true,
                            .act = PP_ACT_RELU});
  pp_builder_activation(b, end, PP_ACT_HARD_SIGMOID);
  pp_builder_block(b, "two a group");
  conv(b, PP_FROM_BLOCK, "conv", (pp_conv_spec){.channels = 80, .kernel = 2, .stride = 1, .groups = 40, .plain = true});
  dense_end(b);
}

static const struct {
  const char *chain;
  void (*build)(pp_builder *builder); /* instead of the chain */
  pp_shape input;
  int samples;
} cases[] = {
    {"C5 max2, D", NULL, {3, 7, 9}, 3},
    {"C32, C16 max2, D7, D", NULL, {1, 8, 8}, 1},
    {"C32 max2, C64 max2, C64, D128, D", NULL, {1, 28, 28}, 2},
    {"C4N, C6N max2, D", NULL, {2, 5, 4}, 4},
    {"C70, C33 max2, D", NULL, {5, 6, 6}, 5},
    {"C8, C8, D", NULL, {3, 1, 2}, 3},
    {"C12 max2, D", NULL, {3, 40, 37}, 2},
    {"D9, D", NULL, {4, 3, 3}, 6},
    {"C16 max2, C24 max2, C16, D20, D", NULL, {3, 12, 12}, 7},
    {"C40 max2, C72 max2, C40, D20 drop, D", NULL, {3, 8, 8}, 13},
    {NULL, build_residual, {3, 32, 32}, 3},
    {NULL, build_residual, {1, 29, 45}, 2},
    {NULL, build_residual, {2, 9, 14}, 11},
    {NULL, build_inverted, {3, 32, 32}, 2},
    {NULL, build_inverted, {2, 7, 6}, 9},
    {NULL, build_inverted, {1, 13, 21}, 3},
    {NULL, build_odd, {2, 28, 28}, 2},
    {NULL, build_odd, {3, 15, 22}, 4},
    {NULL, build_grouped, {3, 18, 22}, 8},
    {NULL, build_grouped, {2, 20, 26}, 5},
    /* So many groups of images that the weights' gradients are sums of shares: dense, transformed, depthwise. */
    {"C21 max2, D", NULL, {3, 17, 17}, 19},
    {"C16, C32 max2, D", NULL, {16, 16, 18}, 17},
    {NULL, build_inverted, {2, 24, 23}, 33},
    /* Few groups and few weights: fewer shares. */
    {"C8 max2, C8 max2, C12, C12, D", NULL, {3, 18, 20}, 21},
    {NULL, build_inverted, {3, 9, 9}, 22},
};

static void fixture_case(fixture *f, int number) {
  if (cases[number].build != NULL)
    fixture_build(f, cases[number].build, cases[number].input, 10);
  else
    fixture_init(f, cases[number].chain, cases[number].input, 10);
}

/* Both sum the same products in float, or in double, from the same inputs: up to 8,192 of them with 6e-8 of rounding
 * each, adding up like a random walk to 5e-6; the gradients come through a few such sums. */
static void assert_agrees(const fixture *f, const outcome *fast, const outcome *plain, int samples) {
  int blocks = pp_model_block_count(f->model);
  assert_close("y", fast->y, plain->y, samples * output_elements(f, blocks - 1), 1e-5);
  assert_close("dx", fast->dx, plain->dx, samples * output_elements(f, -1), 1e-4);
  assert_close("statistics", fast->stats, plain->stats, f->statistics, 1e-5);
  for (int t = 0; t < pp_model_tensor_count(f->model); t++) {
    const pp_tensor_info *tensor = pp_model_tensor(f->model, t);
    if (tensor->is_statistic)
      continue;
    const float *ours = fast->grads + tensor->offset, *theirs = plain->grads + tensor->offset;
    if (strstr(tensor->name, "block0.conv.bias") != NULL && f->model->layers[0].norm) /* cancels: exactly 0 */
      assert_close(tensor->name, theirs, ours, tensor->elements, 0.0);
    else
      assert_close(tensor->name, ours, theirs, tensor->elements, 1e-4);
  }
}

START_TEST(fast_layers_agree_with_the_plain_ones_on_every_instruction_set) {
  fixture f;
  fixture_case(&f, _i);
  int samples = cases[_i].samples;
  outcome plain = run_whole(&f, PP_NET_REFERENCE, samples, samples, 1, 0);
  const pp_kernels *kernels[MAX_KERNELS];
  tested_kernels(kernels);
  for (int k = 0; kernels[k] != NULL; k++) {
    outcome fast = run_with(&f, PP_NET_TRAIN, samples, samples, 1, 0, kernels[k]);
    assert_agrees(&f, &fast, &plain, samples);
    outcome_fini(&fast);
  }
  outcome_fini(&plain);
  fixture_fini(&f);
}
END_TEST

START_TEST(evaluation_agrees_with_training_where_the_statistics_are_the_batchs) {
  fixture f;
  fixture_case(&f, _i);
  for (int l = 0; l < f.model->layer_count; l++)
    f.model->layers[l].rate = 0.0F;
  int samples = cases[_i].samples, blocks = pp_model_block_count(f.model);
  for (int l = 0; l < f.model->layer_count; l++)
    f.model->layers[l].momentum = 1.0F; /* running statistics = the micro-batch's, but the variance is unbiased */
  outcome train = run_whole(&f, PP_NET_TRAIN, samples, samples, 1, 0);
  for (int l = 0; l < f.model->layer_count; l++) {
    const pp_layer *layer = &f.model->layers[l];
    double count = (double)samples * layer->middle.height * layer->middle.width;
    for (int64_t c = 0; layer->norm && c < layer->middle.channels; c++)
      train.stats[layer->stats + layer->variance + c] *= (float)((count - 1) / count);
  }
  int64_t in = samples * output_elements(&f, -1), out = samples * output_elements(&f, blocks - 1);
  float *x = floats(in), *y = floats(out);
  fill_normal(x, in, 100, 1.0, 0.3);
  pp_state state = f.state;
  state.stats = train.stats;
  pp_net *net = net_of(&f, 0, blocks, samples, 1, PP_NET_EVALUATE);
  pp_net_forward(net, &state, 0, samples, x, y);
  assert_close("y", y, train.y, out, 1e-4);
  pp_net_destroy(net);
  free(x);
  free(y);
  outcome_fini(&train);
  fixture_fini(&f);
}
END_TEST

START_TEST(room_does_not_change_a_bit_of_an_evaluation) {
  fixture f;
  fixture_case(&f, _i);
  int blocks = pp_model_block_count(f.model), samples = cases[_i].samples;
  outcome a = run_whole(&f, PP_NET_EVALUATE, samples, samples, 1, 0);
  outcome b = run_whole(&f, PP_NET_EVALUATE, samples, samples + 3, 2, 1);
  assert_same("y", a.y, b.y, samples * output_elements(&f, blocks - 1));
  outcome_fini(&a);
  outcome_fini(&b);
  fixture_fini(&f);
}
END_TEST

/* Objective sum(y x dy) of a plain net at params + step x direction. */
static double objective_at(const fixture *f, pp_net *net, const float *params, const float *direction, double step,
                           int samples, const float *x, const float *dy, float *y) {
  int64_t out = samples * output_elements(f, pp_model_block_count(f->model) - 1);
  for (int64_t i = 0; i < f->parameters; i++)
    f->state.params[i] = (float)((double)params[i] + step * (double)direction[i]);
  pp_net_place(net, (pp_sample_place){.seed = 3});
  pp_net_forward(net, &f->state, 0, samples, x, y);
  double sum = 0;
  for (int64_t i = 0; i < out; i++)
    sum += (double)y[i] * (double)dy[i];
  return sum;
}

/* Along a random direction v of a tensor, gradient . v is the slope. Values are floats, 6e-8 each, so a step h leaves
 * 1e-7 / h of rounding and h^2 of curvature, and turns over a share of the ReLUs and maxima that is proportional to h,
 * each of which changes the slope: 1 % of |gradient| |v| for h = 1e-3. */
START_TEST(gradients_are_slopes_along_random_directions) {
  fixture f;
  fixture_case(&f, _i);
  int samples = cases[_i].samples, blocks = pp_model_block_count(f.model);
  int64_t in = samples * output_elements(&f, -1), out = samples * output_elements(&f, blocks - 1);
  outcome fast = run_whole(&f, PP_NET_TRAIN, samples, samples, 1, 0);
  fixture_fill(&f);
  float *x = floats(in), *dy = floats(out), *y = floats(out), *params = floats(f.parameters);
  float *direction = floats(f.parameters);
  memcpy(params, f.state.params, (size_t)f.parameters * sizeof(float));
  fill_normal(x, in, 100, 1.0, 0.3);
  fill_normal(dy, out, 101, 1.0, 0.0);
  pp_net *net = net_of(&f, 0, blocks, samples, 1, PP_NET_TRAIN);
  for (int t = 0; t < pp_model_tensor_count(f.model); t++) {
    const pp_tensor_info *tensor = pp_model_tensor(f.model, t);
    if (tensor->is_statistic)
      continue;
    memset(direction, 0, (size_t)f.parameters * sizeof(float));
    fill_normal(direction + tensor->offset, tensor->elements, 200, 1.0, 0.0);
    double along = 0, size = 0, length = 0, step = 1e-3;
    for (int64_t i = tensor->offset; i < tensor->offset + tensor->elements; i++) {
      along += (double)fast.grads[i] * (double)direction[i];
      size += (double)fast.grads[i] * (double)fast.grads[i];
      length += (double)direction[i] * (double)direction[i];
    }
    step /= sqrt(length);
    double above = objective_at(&f, net, params, direction, step, samples, x, dy, y);
    double below = objective_at(&f, net, params, direction, -step, samples, x, dy, y);
    double slope = (above - below) / (2 * step);
    ck_assert_msg(fabs(slope - along) <= 0.01 * sqrt(size * length) + 1e-3 * sqrt(length),
                  "%s: gradient %g, slope %g of %g", tensor->name, along, slope, sqrt(size * length));
  }
  pp_net_destroy(net);
  free(x), free(dy), free(y), free(params), free(direction);
  outcome_fini(&fast);
  fixture_fini(&f);
}
END_TEST

START_TEST(slots_and_room_do_not_change_a_bit) {
  fixture f;
  fixture_case(&f, _i);
  int blocks = pp_model_block_count(f.model), samples = cases[_i].samples;
  outcome a = run_whole(&f, PP_NET_TRAIN, samples, samples, 1, 0);
  outcome b = run_whole(&f, PP_NET_TRAIN, samples, samples + 5, 3, 2);
  assert_same("y", a.y, b.y, samples * output_elements(&f, blocks - 1));
  assert_same("dx", a.dx, b.dx, samples * output_elements(&f, -1));
  assert_same("grads", a.grads, b.grads, f.parameters);
  assert_same("stats", a.stats, b.stats, f.statistics);
  outcome_fini(&a);
  outcome_fini(&b);
  fixture_fini(&f);
}
END_TEST

/* Both sides of everything that is shared out: more threads than panels, groups, shares or samples, and fewer; in nets
 * with room for more samples. */
START_TEST(threads_do_not_change_a_bit) {
  fixture f;
  fixture_case(&f, _i);
  int blocks = pp_model_block_count(f.model), samples = cases[_i].samples;
  int64_t in = samples * output_elements(&f, -1), out = samples * output_elements(&f, blocks - 1);
  outcome alone = run_whole(&f, PP_NET_TRAIN, samples, samples, 1, 0);
  float *x = floats(in), *y = floats(out), *dy = floats(out), *dx = floats(in), *tested = floats(out),
        *same = floats(out);
  static const int threads[] = {2, 5, 9};
  for (int i = 0; i < 3; i++) {
    pp_pool *pool = NULL;
    ck_assert_ptr_null(pp_pool_create(threads[i], &pool));
    pp_net *net = net_of(&f, 0, blocks, 1 + i * samples + samples, 2, PP_NET_TRAIN);
    pp_net *evaluating = net_of(&f, 0, blocks, samples, 1, PP_NET_EVALUATE);
    ck_assert_ptr_null(pp_net_share(net, pool));
    fill_normal(x, in, 100, 1.0, 0.3);
    fill_normal(dy, out, 101, 1.0, 0.0);
    memset(f.state.grads, 0, (size_t)f.parameters * sizeof(float));
    fixture_fill(&f);
    pp_net_place(net, (pp_sample_place){.seed = 3});
    pp_net_forward(net, &f.state, 1, samples, x, y);
    pp_net_backward(net, &f.state, 1, dy, dx);
    assert_same("y", alone.y, y, out);
    assert_same("dx", alone.dx, dx, in);
    assert_same("grads", alone.grads, f.state.grads, f.parameters);
    assert_same("stats", alone.stats, f.state.stats, f.statistics);
    pp_net_forward(evaluating, &f.state, 0, samples, x, tested);
    ck_assert_ptr_null(pp_net_share(evaluating, pool));
    pp_net_forward(evaluating, &f.state, 0, samples, x, same);
    assert_same("evaluation", tested, same, out);
    pp_net_step(net, &f.state, 0.1F, 0.9F, 0.01F);
    float *moved = floats(f.parameters);
    memcpy(moved, f.state.params, (size_t)f.parameters * sizeof *moved);
    fixture_fill(&f);
    memcpy(f.state.grads, alone.grads, (size_t)f.parameters * sizeof *moved);
    memset(f.state.momentum, 0, (size_t)f.parameters * sizeof *moved);
    pp_sgd_step(&f.state, f.parameters, 0.1F, 0.9F, 0.01F);
    assert_same("update", f.state.params, moved, f.parameters);
    memset(f.state.momentum, 0, (size_t)f.parameters * sizeof *moved);
    free(moved);
    pp_net_destroy(net);
    pp_net_destroy(evaluating);
    pp_pool_destroy(pool);
  }
  free(x), free(y), free(dy), free(dx), free(tested), free(same);
  outcome_fini(&alone);
  fixture_fini(&f);
}
END_TEST

START_TEST(a_split_at_any_boundary_gives_the_whole_networks_bits) {
  fixture f;
  fixture_case(&f, _i);
  int blocks = pp_model_block_count(f.model), samples = cases[_i].samples;
  outcome whole = run_whole(&f, PP_NET_TRAIN, samples, samples, 1, 0);
  for (int split = 0; split <= blocks; split++) {
    int64_t in = samples * output_elements(&f, -1), out = samples * output_elements(&f, blocks - 1);
    int64_t middle = samples * output_elements(&f, split - 1);
    float *x = floats(in), *a = floats(middle), *y = floats(out), *dy = floats(out), *da = floats(middle);
    float *dx = floats(in);
    fill_normal(x, in, 100, 1.0, 0.3);
    fill_normal(dy, out, 101, 1.0, 0.0);
    memset(f.state.grads, 0, (size_t)f.parameters * sizeof(float));
    fixture_fill(&f);
    pp_state upper = state_from(&f, split);
    pp_net *device = net_of(&f, 0, split, samples, 1, PP_NET_TRAIN);
    pp_net *server = net_of(&f, split, blocks, samples, 1, PP_NET_TRAIN);
    pp_net_place(device, (pp_sample_place){.seed = 3});
    pp_net_place(server, (pp_sample_place){.seed = 3});
    pp_net_forward(device, &f.state, 0, samples, x, a);
    pp_net_forward(server, &upper, 0, samples, a, y);
    pp_net_backward(server, &upper, 0, dy, da);
    pp_net_backward(device, &f.state, 0, da, dx);
    assert_same("y", whole.y, y, out);
    assert_same("dx", whole.dx, dx, in);
    assert_same("grads", whole.grads, f.state.grads, f.parameters);
    assert_same("stats", whole.stats, f.state.stats, f.statistics);
    pp_net_destroy(device);
    pp_net_destroy(server);
    free(x), free(a), free(y), free(dy), free(da), free(dx);
  }
  outcome_fini(&whole);
  fixture_fini(&f);
}
END_TEST

int main(void) {
  int count = (int)(sizeof cases / sizeof cases[0]);
  pp_nn_set_threads(1);
  TCase *tests = tcase_create("net");
  tcase_set_timeout(tests, 60);
  tcase_add_loop_test(tests, fast_layers_agree_with_the_plain_ones_on_every_instruction_set, 0, count);
  tcase_add_loop_test(tests, evaluation_agrees_with_training_where_the_statistics_are_the_batchs, 0, count);
  tcase_add_loop_test(tests, gradients_are_slopes_along_random_directions, 0, count);
  tcase_add_loop_test(tests, room_does_not_change_a_bit_of_an_evaluation, 0, count);
  tcase_add_loop_test(tests, slots_and_room_do_not_change_a_bit, 0, count);
  tcase_add_loop_test(tests, threads_do_not_change_a_bit, 0, count);
  tcase_add_loop_test(tests, a_split_at_any_boundary_gives_the_whole_networks_bits, 0, count);
  return run_case("net", tests);
}
