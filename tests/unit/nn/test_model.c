/* What networks say of themselves, how they start, and what they refuse. */
#include <math.h>

#include "nn_support.h"

static pp_model *model_of(const char *name, pp_shape input, int classes) {
  pp_model *model = NULL;
  ck_assert_ptr_null(pp_model_create(name, input, classes, &model));
  return model;
}

/* Counted by hand: C(o) has o x c x 9 + o weights and 2 x o of batch norm, D(o) has o x i + o. */
START_TEST(networks_have_their_published_blocks) {
  pp_model *model = model_of("vgg5", (pp_shape){3, 32, 32}, 10);
  ck_assert_int_eq(pp_model_block_count(model), 5);
  static const int64_t parameters[] = {960, 18624, 37056, 524416, 1290};
  static const pp_shape outputs[] = {{32, 16, 16}, {64, 8, 8}, {64, 8, 8}, {128, 1, 1}, {10, 1, 1}};
  static const int64_t macs[] = {884736, 4718592, 2359296, 524288, 1280};
  int64_t offset = 0, statistics = 0;
  for (int block = 0; block < 5; block++) {
    const pp_block_info *info = pp_model_block(model, block);
    ck_assert_int_eq(info->parameters, parameters[block]);
    ck_assert_int_eq(pp_model_parameter_offset(model, block), offset);
    ck_assert_int_eq(pp_model_statistic_offset(model, block), statistics);
    ck_assert(memcmp(&info->output, &outputs[block], sizeof outputs[block]) == 0);
    int64_t sum = 0;
    for (int layer = 0; layer < info->layer_count; layer++)
      sum += info->layers[layer].parameters;
    ck_assert_int_eq(sum, info->parameters);
    ck_assert_int_eq(info->layers[0].macs, macs[block]);
    offset += info->parameters;
    statistics += info->statistics;
  }
  ck_assert_int_eq(pp_model_parameter_offset(model, 5), offset);
  ck_assert_int_eq(pp_model_statistic_offset(model, 5), 2 * (32 + 64 + 64));
  ck_assert_str_eq(pp_model_block(model, 0)->name, "C32 max2");
  ck_assert_int_eq(pp_model_block(model, 0)->layer_count, 4);
  ck_assert_str_eq(pp_model_block(model, 0)->layers[3].name, "pool");
  ck_assert_int_eq(pp_model_block(model, 4)->layer_count, 1);
  pp_model_destroy(model);

  model = model_of("vgg8", (pp_shape){1, 28, 28}, 47);
  ck_assert_int_eq(pp_model_block_count(model), 8);
  ck_assert_int_eq(pp_model_block(model, 5)->output.height, 7);
  ck_assert_int_eq(pp_model_block(model, 6)->parameters, 128 * 7 * 7 * 128 + 128);
  ck_assert_int_eq(pp_model_block(model, 7)->output.channels, 47);
  pp_model_destroy(model);
}
END_TEST

/* torchvision's counts at 224x224 and 1,000 classes (pipar.md), and the blocks that it lists. */
START_TEST(networks_have_their_published_size) {
  static const struct {
    const char *name;
    int blocks;
    int64_t parameters;
  } published[] = {{"vgg11", 11, 132868840},   {"vgg16", 16, 138365992},           {"resnet18", 10, 11689512},
                   {"resnet50", 18, 25557032}, {"mobilenetv3-small", 15, 2542856}, {"mobilenetv3-large", 19, 5483032}};
  for (size_t n = 0; n < sizeof published / sizeof published[0]; n++) {
    pp_model *model = model_of(published[n].name, (pp_shape){3, 224, 224}, 1000);
    ck_assert_int_eq(pp_model_block_count(model), published[n].blocks);
    ck_assert_int_eq(pp_model_parameter_offset(model, published[n].blocks), published[n].parameters);
    pp_model_destroy(model);
  }
}
END_TEST

START_TEST(small_images_are_given_a_border_for_the_large_vgg_networks) {
  pp_model *model = model_of("vgg16", (pp_shape){1, 28, 28}, 10);
  ck_assert_int_eq(pp_model_block(model, 0)->output.height, 32);
  ck_assert_int_eq(pp_model_block(model, 12)->output.height, 1);
  ck_assert(pp_model_is_random(model));
  pp_model_destroy(model);
  model = model_of("vgg5", (pp_shape){1, 28, 28}, 10);
  ck_assert(!pp_model_is_random(model));
  pp_model_destroy(model);
}
END_TEST

START_TEST(tensors_tile_the_buffers_and_are_named_as_in_a_state_dict) {
  pp_model *model = model_of("vgg5", (pp_shape){1, 28, 28}, 10);
  static const char *const first[] = {"block0.conv.weight", "block0.conv.bias",       "block0.bn.weight",
                                      "block0.bn.bias",     "block0.bn.running_mean", "block0.bn.running_var"};
  for (int t = 0; t < 6; t++)
    ck_assert_str_eq(pp_model_tensor(model, t)->name, first[t]);
  int64_t params = 0, stats = 0;
  for (int t = 0; t < pp_model_tensor_count(model); t++) {
    const pp_tensor_info *tensor = pp_model_tensor(model, t);
    int64_t *next = tensor->is_statistic ? &stats : &params;
    ck_assert_int_eq(tensor->offset, *next);
    *next += tensor->elements;
  }
  ck_assert_int_eq(params, pp_model_parameter_offset(model, 5));
  ck_assert_int_eq(stats, pp_model_statistic_offset(model, 5));
  const pp_tensor_info *linear = pp_model_tensor(model, 18);
  ck_assert_str_eq(linear->name, "block3.linear.weight");
  ck_assert_int_eq(linear->shape[0], 128);
  ck_assert_int_eq(linear->shape[1], 7 * 7 * 64);
  pp_model_destroy(model);
}
END_TEST

/* Uniform in +-b: variance b^2/3, and the mean of n values within 5 x b / sqrt(3 n) of 0. */
START_TEST(weights_start_xavier_uniform_keyed_by_seed_and_tensor) {
  fixture f = {.model = model_of("vgg5", (pp_shape){3, 32, 32}, 10)};
  fixture_allocate(&f);
  pp_model_init(f.model, 3, f.state.params, f.state.stats);
  const pp_tensor_info *conv = pp_model_tensor(f.model, 6); /* block1.conv.weight */
  ck_assert_str_eq(conv->name, "block1.conv.weight");
  double bound = sqrt(6.0 / (32 * 9 + 64 * 9)), sum = 0, squares = 0, largest = 0;
  for (int64_t i = 0; i < conv->elements; i++) {
    double v = (double)f.state.params[conv->offset + i];
    sum += v;
    squares += v * v;
    largest = fmax(largest, fabs(v));
  }
  double n = (double)conv->elements;
  ck_assert(largest <= bound && largest > 0.999 * bound);
  ck_assert(fabs(sum / n) < 5 * bound / sqrt(3 * n));
  ck_assert(fabs(squares / n / (bound * bound / 3) - 1) < 0.05);
  for (int t = 0; t < pp_model_tensor_count(f.model); t++) {
    const pp_tensor_info *tensor = pp_model_tensor(f.model, t);
    float expected = strstr(tensor->name, "bn.weight") || strstr(tensor->name, "running_var") ? 1.0F : 0.0F;
    const float *values = (tensor->is_statistic ? f.state.stats : f.state.params) + tensor->offset;
    for (int64_t i = 0; tensor->rank == 1 && i < tensor->elements; i++)
      ck_assert(values[i] == expected);
  }
  float *again = floats(f.parameters), *stats = floats(f.statistics);
  pp_model_init(f.model, 3, again, stats);
  ck_assert_int_eq(memcmp(again, f.state.params, (size_t)f.parameters * sizeof(float)), 0);
  pp_model_init(f.model, 4, again, stats);
  ck_assert(again[0] != f.state.params[0]);
  ck_assert(f.state.params[conv->offset] != f.state.params[0]);
  free(again);
  free(stats);
  fixture_fini(&f);
}
END_TEST

static void assert_refused(const char *name, pp_shape input, int classes, const char *says) {
  pp_model *model = NULL;
  pp_status status = pp_model_create(name, input, classes, &model);
  ck_assert_msg(status != NULL, "%s is not refused", name);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  ck_assert_msg(strstr(pp_error_message(status), says) != NULL, "%s", pp_error_message(status));
  ck_assert_ptr_null(model);
  pp_error_free(status);
}

START_TEST(what_cannot_be_built_is_refused) {
  assert_refused("vgg6", (pp_shape){3, 32, 32}, 10, "model \"vgg6\" is not known");
  assert_refused("vgg11", (pp_shape){3, 16, 16}, 10, "1x1 is left at block 7");
  assert_refused("vgg5", (pp_shape){3, 32, 32}, 1, "1 classes");
  assert_refused("vgg5", (pp_shape){0, 32, 32}, 10, "0 channels");
  assert_refused("vgg5", (pp_shape){3, 3, 32}, 10, "3x3x32 is too small: 1x16 is left at block 1 (C64 max2)");
  pp_model *model = NULL;
  static const char *const chains[] = {"E3, D", "C, D", "C3 max3, D", "D3 max2, D", "C0, D", "D-1", "C3x, D", ""};
  for (size_t c = 0; c < sizeof chains / sizeof chains[0]; c++) {
    pp_status status = pp_model_create_chain("own", chains[c], (pp_shape){1, 8, 8}, 2, &model);
    ck_assert_msg(status != NULL, "\"%s\" is not refused", chains[c]);
    pp_error_free(status);
  }
}
END_TEST

START_TEST(every_name_that_is_listed_can_be_built) {
  for (const char *const *name = pp_model_names(); *name != NULL; name++) {
    pp_model *model = model_of(*name, (pp_shape){3, 32, 32}, 10);
    ck_assert_str_eq(pp_model_name(model), *name);
    pp_model_destroy(model);
  }
}
END_TEST

START_TEST(a_batch_norm_of_one_value_a_channel_needs_two_samples) {
  pp_model *model = model_of("vgg5", (pp_shape){3, 4, 4}, 10);
  ck_assert(!pp_model_needs_two_samples(model, 0));
  ck_assert(!pp_model_needs_two_samples(model, 1)); /* 2x2 */
  ck_assert(pp_model_needs_two_samples(model, 2));  /* 1x1 */
  ck_assert(!pp_model_needs_two_samples(model, 3)); /* no batch norm */
  pp_model_destroy(model);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("model");
  tcase_add_test(tests, networks_have_their_published_blocks);
  tcase_add_test(tests, networks_have_their_published_size);
  tcase_add_test(tests, small_images_are_given_a_border_for_the_large_vgg_networks);
  tcase_add_test(tests, tensors_tile_the_buffers_and_are_named_as_in_a_state_dict);
  tcase_add_test(tests, weights_start_xavier_uniform_keyed_by_seed_and_tensor);
  tcase_add_test(tests, what_cannot_be_built_is_refused);
  tcase_add_test(tests, every_name_that_is_listed_can_be_built);
  tcase_add_test(tests, a_batch_norm_of_one_value_a_channel_needs_two_samples);
  return run_case("model", tests);
}
