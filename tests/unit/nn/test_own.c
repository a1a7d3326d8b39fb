/* Networks of one's own: written out they are the built-in ones to the bit, and what does not fit is refused where it
 * stands. */
#include <stdio.h>

#include "config/architecture.h"
#include "nn_support.h"

#define HEAD "format: pipar-network\nformat_version: 1\n"

static pp_status parse(pp_arena *arena, const char *text, const pp_architecture **out) {
  return pp_architecture_parse(arena, "own.yaml", "own.yaml", text, strlen(text), out);
}

static void fixture_own(fixture *f, const char *text, pp_shape input, int classes) {
  pp_arena arena = {0};
  const pp_architecture *own = NULL;
  memset(f, 0, sizeof *f);
  pp_status status = parse(&arena, text, &own);
  if (status == NULL)
    status = pp_model_create_own(own, input, classes, &f->model);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  pp_arena_fini(&arena);
  fixture_allocate(f);
  pp_model_init(f->model, 5, f->state.params, f->state.stats);
}

static const char vgg5[] = HEAD "blocks:\n"
                                "  - [{conv: 32}, batch_norm, relu, {max_pool: 2}]\n"
                                "  - [{conv: 64}, batch_norm, relu, {max_pool: {kernel: 2, stride: 2}}]\n"
                                "  - [{conv: {channels: 64, kernel: 3, padding: 1}}, batch_norm, relu]\n"
                                "  - [{linear: 128}, relu]\n"
                                "  - [{linear: classes}]\n";

#define RESIDUAL(channels, stride, shortcut, end)                                                                      \
  "  - - residual: {layers: [{conv: {channels: " #channels ", stride: " #stride                                        \
  ", bias: false}}, batch_norm, relu, {conv: {channels: " #channels ", bias: false}}, batch_norm]" shortcut "}\n"      \
  "    - relu\n" end
#define PROJECTED(channels)                                                                                            \
  ", shortcut: [{conv: {channels: " #channels ", kernel: 1, stride: 2, padding: 0, bias: false}}, batch_norm]"
static const char resnet18[] = HEAD
    "initial: kaiming\n"
    "blocks:\n"
    "  - [{conv: {channels: 64, kernel: 7, stride: 2, bias: false}}, batch_norm, relu, {max_pool: {kernel: 3, stride: "
    "2, padding: 1}}]\n" RESIDUAL(64, 1, ", shortcut: identity", "") RESIDUAL(64, 1, "", "")
        RESIDUAL(128, 2, PROJECTED(128), "") RESIDUAL(128, 1, "", "") RESIDUAL(256, 2, ", shortcut: auto", "")
            RESIDUAL(256, 1, "", "") RESIDUAL(512, 2, "", "")
                RESIDUAL(512, 1, "", "    - global_average_pool\n") "  - [{linear: classes}]\n";

#define INVERTED(k, e, c, s, a, t)                                                                                     \
  "  - [{inverted_residual: {kernel: " #k ", expanded: " #e ", channels: " #c ", squeeze_excite: " #s                  \
  ", activation: " #a ", stride: " #t "}}]\n"
static const char mobilenet[] = HEAD
    "initial: mobilenet\n"
    "batch_norm: {epsilon: 0.001, momentum: 0.01}\n"
    "blocks:\n"
    "  - [{conv: {channels: 16, stride: 2, bias: false}}, batch_norm, hard_swish]\n" INVERTED(3, 16, 16, true, relu, 2)
        INVERTED(3, 72, 24, false, relu, 2) INVERTED(3, 88, 24, false, relu, 1) INVERTED(5, 96, 40, true, hard_swish, 2)
            INVERTED(5, 240, 40, true, hard_swish, 1) INVERTED(5, 240, 40, true, hard_swish, 1)
                INVERTED(5, 120, 48, true, hard_swish, 1)
    /* the same written out in layers: */
    "  - - residual:\n"
    "        layers:\n"
    "          - {conv: {channels: 144, kernel: 1, bias: false}}\n"
    "          - batch_norm\n"
    "          - hard_swish\n"
    "          - {conv: {channels: 144, kernel: 5, groups: 144, bias: false}}\n"
    "          - batch_norm\n"
    "          - hard_swish\n"
    "          - squeeze_excite: 40\n"
    "          - {conv: {channels: 48, kernel: 1, bias: false}}\n"
    "          - batch_norm\n" INVERTED(5, 288, 96, true, hard_swish, 2) INVERTED(5, 576, 96, true, hard_swish, 1)
        INVERTED(
            5, 576, 96, true, hard_swish,
            1) "  - [{conv: {channels: 576, kernel: 1, bias: false}}, batch_norm, hard_swish, global_average_pool]\n"
               "  - [{linear: {features: 1024}}, hard_swish, {dropout: 0.2}]\n"
               "  - [{linear: classes}]\n";

static const struct {
  const char *text, *name;
  pp_shape input;
  int samples;
} twins[] = {{vgg5, "vgg5", {3, 32, 32}, 5},
             {vgg5, "vgg5", {1, 28, 28}, 2},
             {resnet18, "resnet18", {3, 32, 32}, 4},
             {mobilenet, "mobilenetv3-small", {3, 32, 32}, 6},
             {mobilenet, "mobilenetv3-small", {1, 64, 64}, 3}};

/* Loss of a step from initial weights, gradients left in the fixture. */
static double step(fixture *f, int samples) {
  int classes = pp_model_classes(f->model);
  int64_t in = samples * output_elements(f, -1);
  float *x = floats(in), *logits = floats((int64_t)samples * classes);
  int32_t labels[16];
  fill_normal(x, in, 9, 1.0, 0.1);
  for (int n = 0; n < samples; n++)
    labels[n] = n % classes;
  pp_net *net = net_of(f, 0, pp_model_block_count(f->model), samples, 1, PP_NET_TRAIN);
  pp_net_place(net, (pp_sample_place){.seed = 4, .device = 1});
  pp_net_forward(net, &f->state, 0, samples, x, logits);
  double loss = pp_softmax_cross_entropy(samples, classes, logits, labels, 0.5F, logits, NULL);
  pp_net_backward(net, &f->state, 0, logits, NULL);
  pp_net_destroy(net);
  free(x);
  free(logits);
  return loss;
}

START_TEST(a_built_in_network_written_out_gives_the_same_bits) {
  fixture ours, theirs = {0};
  fixture_own(&ours, twins[_i].text, twins[_i].input, 10);
  ck_assert_ptr_null(pp_model_create(twins[_i].name, twins[_i].input, 10, &theirs.model));
  fixture_allocate(&theirs);
  pp_model_init(theirs.model, 5, theirs.state.params, theirs.state.stats);
  ck_assert_int_eq(pp_model_block_count(ours.model), pp_model_block_count(theirs.model));
  ck_assert_int_eq(ours.parameters, theirs.parameters);
  ck_assert_int_eq(ours.statistics, theirs.statistics);
  ck_assert_int_eq(pp_model_tensor_count(ours.model), pp_model_tensor_count(theirs.model));
  for (int t = 0; t < pp_model_tensor_count(ours.model); t++) {
    const pp_tensor_info *a = pp_model_tensor(ours.model, t), *b = pp_model_tensor(theirs.model, t);
    ck_assert_int_eq(a->elements, b->elements);
    ck_assert_int_eq(a->offset, b->offset);
    ck_assert_int_eq(a->rank, b->rank);
    if (strcmp(twins[_i].name, "mobilenetv3-small") != 0) /* there one block is written out */
      ck_assert_str_eq(a->name, b->name);
  }
  size_t bytes = (size_t)ours.parameters * sizeof(float);
  ck_assert_mem_eq(ours.state.params, theirs.state.params, bytes);
  double loss = step(&ours, twins[_i].samples);
  ck_assert(loss == step(&theirs, twins[_i].samples));
  ck_assert_mem_eq(ours.state.grads, theirs.state.grads, bytes);
  ck_assert_mem_eq(ours.state.stats, theirs.state.stats, (size_t)ours.statistics * sizeof(float));
  fixture_fini(&ours);
  fixture_fini(&theirs);
}
END_TEST

/* Every layer, in places where no built-in network has it. */
static const char every[] = HEAD
    "blocks:\n"
    "  - [hard_swish, squeeze_excite, {conv: {channels: 12, bias: false}}, hard_sigmoid, {average_pool: {kernel: 3, "
    "stride: 2}}]\n"
    "  - [{max_pool: {kernel: 3, stride: 1, padding: 1}}, {conv: {channels: 16, groups: 4}}, batch_norm, relu, "
    "{max_pool: 2}, relu]\n"
    "  - - residual: {layers: [{residual: {layers: [{conv: 16}, hard_swish]}}, {conv: {channels: 24, groups: 2, "
    "stride: 2, kernel: 2, padding: 0}}, batch_norm]}\n"
    "    - hard_swish\n"
    "    - squeeze_excite: 5\n"
    "    - squeeze_excite\n"
    "    - {inverted_residual: {expanded: 30, channels: 24}}\n"
    "  - [{linear: 20}, {linear: 15}, hard_sigmoid, {dropout: 0.3}]\n"
    "  - [{linear: classes}]\n";

static void run(fixture *f, int first, int end, pp_net_use use, int samples, const float *x, float *y, float *dy,
                float *dx) {
  pp_net *net = net_of(f, first, end, samples, 1, use);
  pp_state state = state_from(f, first);
  pp_net_place(net, (pp_sample_place){.seed = 4});
  pp_net_forward(net, &state, 0, samples, x, y);
  if (dy != NULL)
    pp_net_backward(net, &state, 0, dy, dx);
  pp_net_destroy(net);
}

START_TEST(a_split_at_any_boundary_of_an_own_network_gives_the_whole_ones_bits) {
  static const int sizes[] = {1, 3, 8};
  int samples = sizes[_i];
  fixture f;
  fixture_own(&f, every, (pp_shape){2, 21, 18}, 4);
  int blocks = pp_model_block_count(f.model);
  size_t bytes = (size_t)f.parameters * sizeof(float);
  int64_t in = samples * output_elements(&f, -1), out = samples * output_elements(&f, blocks - 1);
  float *x = floats(in), *y = floats(out), *dy = floats(out), *dx = floats(in), *whole = floats(f.parameters);
  float *y2 = floats(out), *dx2 = floats(in);
  fill_normal(x, in, 3, 1.0, 0.2);
  fill_normal(dy, out, 4, 1.0, 0.0);
  run(&f, 0, blocks, PP_NET_TRAIN, samples, x, y, dy, dx);
  memcpy(whole, f.state.grads, bytes);
  for (int split = 1; split < blocks; split++) {
    int64_t middle = samples * output_elements(&f, split - 1);
    float *a = floats(middle), *da = floats(middle);
    memset(f.state.grads, 0, bytes);
    fill_normal(dy, out, 4, 1.0, 0.0);
    pp_model_init(f.model, 5, f.state.params, f.state.stats);
    pp_net *device = net_of(&f, 0, split, samples, 1, PP_NET_TRAIN);
    pp_net_place(device, (pp_sample_place){.seed = 4});
    pp_net_forward(device, &f.state, 0, samples, x, a);
    run(&f, split, blocks, PP_NET_TRAIN, samples, a, y2, dy, da);
    pp_net_backward(device, &f.state, 0, da, dx2);
    ck_assert_mem_eq(y, y2, (size_t)out * sizeof *y);
    ck_assert_mem_eq(dx, dx2, (size_t)in * sizeof *y);
    ck_assert_mem_eq(whole, f.state.grads, bytes);
    pp_net_destroy(device);
    free(a), free(da);
  }
  free(x), free(y), free(dy), free(dx), free(whole), free(y2), free(dx2);
  fixture_fini(&f);
}
END_TEST

/* At 32x32 the last maps of resnets are single values, of which a batch norm wants several. */
START_TEST(a_split_at_any_boundary_of_a_built_in_network_gives_the_whole_ones_bits) {
  enum { SAMPLES = 2, CLASSES = 3 };
  fixture f = {0};
  ck_assert_ptr_null(pp_model_create(pp_model_names()[_i], (pp_shape){3, 32, 32}, CLASSES, &f.model));
  fixture_allocate(&f);
  int blocks = pp_model_block_count(f.model);
  size_t bytes = (size_t)f.parameters * sizeof(float);
  int64_t in = SAMPLES * output_elements(&f, -1), out = SAMPLES * CLASSES;
  float *x = floats(in), *y = floats(out), *y2 = floats(out), *dy = floats(out), *whole = floats(f.parameters),
        *stats = floats(f.statistics);
  float *middle = floats(SAMPLES * 65536L), *gradient = floats(SAMPLES * 65536L);
  fill_normal(x, in, 3, 1.0, 0.2);
  fill_normal(dy, out, 4, 1.0, 0.0);
  pp_model_init(f.model, 5, f.state.params, f.state.stats);
  memcpy(stats, f.state.stats, (size_t)f.statistics * sizeof(float));
  run(&f, 0, blocks, PP_NET_TRAIN, SAMPLES, x, y, dy, NULL);
  memcpy(whole, f.state.grads, bytes);
  for (int split = 1; split <= blocks; split++) {
    ck_assert_int_le(output_elements(&f, split - 1), 65536);
    memset(f.state.grads, 0, bytes);
    fill_normal(dy, out, 4, 1.0, 0.0);
    memcpy(f.state.stats, stats, (size_t)f.statistics * sizeof(float));
    pp_net *device = net_of(&f, 0, split, SAMPLES, 1, PP_NET_TRAIN);
    pp_net_place(device, (pp_sample_place){.seed = 4});
    pp_net_forward(device, &f.state, 0, SAMPLES, x, middle);
    run(&f, split, blocks, PP_NET_TRAIN, SAMPLES, middle, y2, dy, gradient);
    pp_net_backward(device, &f.state, 0, gradient, NULL);
    ck_assert_msg(memcmp(y, y2, (size_t)out * sizeof *y) == 0, "split %d: outputs differ", split);
    ck_assert_msg(memcmp(whole, f.state.grads, bytes) == 0, "split %d: gradients differ", split);
    pp_net_destroy(device);
  }
  free(x), free(y), free(y2), free(dy), free(whole), free(stats), free(middle), free(gradient);
  fixture_fini(&f);
}
END_TEST

static const struct {
  const char *blocks, *error;
} bad[] = {
    {"  - [{conv: 8}, {pool: 2}]\n", "own.yaml:4:18: blocks.0.1: layer pool is unknown: allowed are conv, batch_norm"},
    {"  - [{convv: 8}]\n", "layer convv is unknown, did you mean conv?"},
    {"  - [flatten]\n", "own.yaml:4:6: blocks.0.0: layer flatten is unknown"},
    {"  - [{conv: 8, relu: }]\n", "a mapping with several keys: allowed is one layer"},
    {"  - [{conv: eight}]\n", "own.yaml:4:13: blocks.0.0.conv.channels: eight"},
    {"  - [{conv: {kernel: 3}}]\n", "channels"},
    {"  - [{conv: {channels: 4, kernel: 9}}]\n", "own.yaml:4:35: blocks.0.0.conv.kernel: 9"},
    {"  - [{conv: {channels: 4, size: 3}}]\n", "size"},
    {"  - [{relu: 4}]\n", "own.yaml:4:13: blocks.0.0.relu: 4: allowed is nothing"},
    {"  - []\n", "own.yaml:4:5: blocks.0: too few or too many layers: allowed is a list of 1 to 64 layers"},
    {"  - {conv: 8}\n", "own.yaml:4:5: blocks.0: a mapping: allowed is a list of 1 to 64 layers"},
    {"  - [{dropout: 1}]\n", "own.yaml:4:16: blocks.0.0.dropout.rate: 1"},
    {"  - [{max_pool: {kernel: 2, padding: 2}}]\n", "own.yaml:4:38: blocks.0.0.max_pool: a padding of 2"},
    {"  - [{residual: {layers: [{conv: 8}], shortcut: none}}]\n",
     "own.yaml:4:49: blocks.0.0.residual.shortcut: none: allowed is auto, identity or a list of layers"},
    {"  - [batch_norm, {linear: classes}]\n", "own.yaml:4:6: batch_norm: a batch norm stands directly behind a conv"},
    {"  - [{conv: {channels: 8, groups: 2}}, {linear: classes}]\n",
     "own.yaml:4:7: conv: 2 groups do not divide 3 input and 8 output channels"},
    {"  - [{conv: 8}]\n  - [{max_pool: 4}]\n  - [{max_pool: 3}, {linear: classes}]\n",
     "own.yaml:6:7: max_pool: a kernel of 3 with a padding of 0 leaves nothing of a map of 2x2"},
    {"  - [{conv: {channels: 8, kernel: 7, padding: 0}}, {conv: {channels: 8, kernel: 5, padding: 0}}]\n",
     "own.yaml:4:53: conv: a kernel of 5 with a padding of 0 leaves nothing of a map of 2x2"},
    {"  - [{residual: {layers: [{conv: 8}], shortcut: identity}}, {linear: classes}]\n",
     "own.yaml:4:49: identity: 3x8x8 cannot be added to the 8x8x8"},
    {"  - [{residual: {layers: [{conv: 8}], shortcut: [{conv: {channels: 8, stride: 2}}]}}]\n",
     "own.yaml:4:49: 8x4x4 cannot be added to the 8x8x8"},
    {"  - [{residual: {layers: [{conv: {channels: 8, kernel: 4, padding: 2}}]}}]\n",
     "own.yaml:4:7: residual: 3x8x8 cannot be added to the 8x9x9"},
    {"  - [{conv: 8}, global_average_pool]\n", "own.yaml:4:5: the network ends in 8x1x1 for 10 classes"},
    {"  - [{linear: classes}]\n  - [relu, {linear: 11}]\n", "own.yaml:5:5: the network ends in 11x1x1 for 10 classes"},
    {"  - [{linear: 1000000}, {linear: 1000000}]\n", "own.yaml:4:26: linear: 1000000000000 weights"},
#define EIGHT "relu, relu, relu, relu, relu, relu, relu, relu, "
    {"  - [" EIGHT EIGHT EIGHT EIGHT "{linear: classes}]\n", "own.yaml:4:199: own.yaml: too many layers in block 0"},
};

START_TEST(what_does_not_fit_is_refused_where_it_stands) {
  char text[1024];
  pp_arena arena = {0};
  const pp_architecture *own = NULL;
  pp_model *model = NULL;
  snprintf(text, sizeof text, HEAD "blocks:\n%s", bad[_i].blocks);
  pp_status status = parse(&arena, text, &own);
  if (status == NULL)
    status = pp_model_create_own(own, (pp_shape){3, 8, 8}, 10, &model);
  ck_assert_msg(status != NULL, "accepted: %s", text);
  ck_assert_msg(strstr(pp_error_message(status), bad[_i].error) != NULL, "%s\nnot: %s", pp_error_message(status),
                bad[_i].error);
  pp_error_free(status);
  pp_arena_fini(&arena);
}
END_TEST

START_TEST(what_is_no_description_is_refused) {
  static const char *const texts[] = {"",
                                      "[]\n",
                                      "blocks: []\n",
                                      "format: pipar-profile\n",
                                      HEAD,
                                      HEAD "blocks: 3\n",
                                      HEAD "blocks: []\n",
                                      "format: pipar-network\nformat_version: 2\nblocks:\n  - [{linear: classes}]\n",
                                      HEAD "initial: zero\nblocks:\n  - [{linear: classes}]\n",
                                      HEAD "blocks:\n  - [{linear: classes}]\nlayers: 3\n",
                                      HEAD "batch_norm: {epsilon: 0}\nblocks:\n  - [{linear: classes}]\n"};
  for (size_t at = 0; at < sizeof texts / sizeof texts[0]; at++) {
    pp_arena arena = {0};
    const pp_architecture *own = NULL;
    pp_status status = parse(&arena, texts[at], &own);
    ck_assert_msg(status != NULL, "accepted: %s", texts[at]);
    ck_assert_ptr_nonnull(strstr(pp_error_message(status), "own.yaml"));
    pp_error_free(status);
    pp_arena_fini(&arena);
  }
}
END_TEST

int main(void) {
  pp_nn_set_threads(1);
  TCase *tests = tcase_create("own");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, a_built_in_network_written_out_gives_the_same_bits, 0,
                      (int)(sizeof twins / sizeof twins[0]));
  tcase_add_loop_test(tests, a_split_at_any_boundary_of_an_own_network_gives_the_whole_ones_bits, 0, 3);
  int networks = 0;
  while (pp_model_names()[networks] != NULL)
    networks++;
  tcase_add_loop_test(tests, a_split_at_any_boundary_of_a_built_in_network_gives_the_whole_ones_bits, 0, networks);
  tcase_add_loop_test(tests, what_does_not_fit_is_refused_where_it_stands, 0, (int)(sizeof bad / sizeof bad[0]));
  tcase_add_test(tests, what_is_no_description_is_refused);
  return run_case("own", tests);
}
