#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "suite.h"

static char no_path[] = "auto";

static pp_dataset_config synthetic(int channels, int height, int width, int classes, int64_t train, int64_t test) {
  pp_dataset_config config = plain_config("synthetic", no_path, channels <= 4 ? channels : 0, train, test);
  config.shape[0] = channels;
  config.shape[1] = height;
  config.shape[2] = width;
  config.classes = classes;
  return config;
}

typedef struct sample_set {
  int count, elements;
  float *x; /* (count, elements) */
  int32_t *labels;
} sample_set;

static sample_set all_test_samples(const pp_dataset_config *config, uint64_t seed) {
  pp_dataset *dataset = load(config, seed);
  sample_set set = {(int)config->test_samples, config->shape[0] * config->shape[1] * config->shape[2], NULL, NULL};
  set.x = calloc((size_t)set.count * (size_t)set.elements, sizeof *set.x);
  set.labels = calloc((size_t)set.count, sizeof *set.labels);
  ck_assert_ptr_null(pp_dataset_test_fill(dataset, 0, set.count, set.x, set.labels));
  pp_dataset_destroy(dataset);
  return set;
}

static sample_set all_train_samples(const pp_dataset_config *dataset_config, uint64_t seed) {
  pp_device_group group = {.count = 1, .samples = -1};
  pp_config config = {.seed = seed, .dataset = *dataset_config, .group_count = 1, .groups = &group};
  config.training.batch_size = (int)dataset_config->train_samples;
  pp_dataset *dataset = load(dataset_config, seed);
  pp_partition *partition = NULL;
  ck_assert_ptr_null(pp_partition_create(&config, dataset, &partition));
  sample_set set = {(int)dataset_config->train_samples,
                    dataset_config->shape[0] * dataset_config->shape[1] * dataset_config->shape[2], NULL, NULL};
  set.x = calloc((size_t)set.count * (size_t)set.elements, sizeof *set.x);
  set.labels = calloc((size_t)set.count, sizeof *set.labels);
  ck_assert_ptr_null(pp_batch_fill(dataset, partition, &config, 0, 0, 0, set.count, set.x, set.labels));
  pp_partition_destroy(partition);
  pp_dataset_destroy(dataset);
  return set;
}

static void free_set(sample_set *set) {
  free(set->x);
  free(set->labels);
}

static bool same_start(const sample_set *a, const sample_set *b, int count) {
  return memcmp(a->x, b->x, (size_t)count * (size_t)a->elements * sizeof *a->x) == 0 &&
         memcmp(a->labels, b->labels, (size_t)count * sizeof *a->labels) == 0;
}

START_TEST(samples_depend_on_the_seed_alone) {
  pp_dataset_config few = synthetic(3, 32, 32, 10, 10, 10), many = synthetic(3, 32, 32, 10, 100, 40);
  sample_set test = all_test_samples(&few, 5), more = all_test_samples(&many, 5), other = all_test_samples(&few, 6);
  ck_assert(same_start(&test, &more, 10));
  ck_assert(!same_start(&test, &other, 10));
  sample_set train = all_train_samples(&few, 5), more_train = all_train_samples(&many, 5);
  ck_assert(same_start(&train, &more_train, 10));
  ck_assert(!same_start(&train, &test, 10));
  free_set(&test), free_set(&more), free_set(&other), free_set(&train), free_set(&more_train);
}
END_TEST

/* The mean image of each class, from the training samples, tells the test samples apart: far better than by chance
 * (10 %), and not without error, so that there is something to learn. */
START_TEST(classes_can_be_learnt) {
  pp_dataset_config config = synthetic(1, 28, 28, 10, 3000, 1000);
  sample_set train = all_train_samples(&config, 1994), test = all_test_samples(&config, 1994);
  static double means[10][784];
  int of_class[10] = {0};
  for (int sample = 0; sample < train.count; sample++) {
    of_class[train.labels[sample]]++;
    for (int place = 0; place < 784; place++)
      means[train.labels[sample]][place] += (double)train.x[sample * 784 + place];
  }
  for (int label = 0; label < 10; label++) {
    ck_assert_int_gt(of_class[label], 300 - 83); /* 5 standard deviations: 5 sqrt(3000 x 0.1 x 0.9) */
    ck_assert_int_lt(of_class[label], 300 + 83);
    for (int place = 0; place < 784; place++)
      means[label][place] /= of_class[label];
  }
  int right = 0;
  for (int sample = 0; sample < test.count; sample++) {
    int best = -1;
    double nearest = INFINITY;
    for (int label = 0; label < 10; label++) {
      double distance = 0;
      for (int place = 0; place < 784; place++)
        distance += pow((double)test.x[sample * 784 + place] - means[label][place], 2);
      if (distance < nearest) {
        nearest = distance;
        best = label;
      }
    }
    right += best == test.labels[sample];
  }
  fprintf(stderr, "nearest class mean: %d of %d right\n", right, test.count);
  ck_assert_int_gt(right, 500);
  ck_assert_int_lt(right, 990);
  free_set(&train), free_set(&test);
}
END_TEST

START_TEST(any_shape_and_number_of_classes_will_do) {
  const int shapes[][4] = {{1, 1, 1, 2}, {2, 1, 9, 3}, {64, 8, 8, 5}, {3, 5, 2, 1000}, {4, 100, 3, 2}};
  for (size_t shape = 0; shape < sizeof shapes / sizeof shapes[0]; shape++) {
    const int *of = shapes[shape];
    pp_dataset_config config = synthetic(of[0], of[1], of[2], of[3], 20, 20);
    pp_dataset_info info;
    ck_assert_ptr_null(pp_dataset_describe(&config, &info));
    ck_assert(info.shape.channels == of[0] && info.shape.height == of[1] && info.shape.width == of[2]);
    ck_assert_int_eq(info.classes, of[3]);
    sample_set set = all_test_samples(&config, 3);
    for (int sample = 0; sample < set.count; sample++)
      ck_assert(set.labels[sample] >= 0 && set.labels[sample] < of[3]);
    free_set(&set);
  }
}
END_TEST

/* Images too large to hold are made when used: the same in any order, and of many samples none is held. */
START_TEST(large_images_do_not_need_memory_by_their_number) {
  pp_dataset_config config = synthetic(3, 224, 224, 1000, 1000000, 1000000);
  ck_assert_int_lt(pp_dataset_memory(&config), 10000000);
  pp_dataset *dataset = load(&config, 7);
  enum { ELEMENTS = 3 * 224 * 224 };
  static float x[2 * ELEMENTS], y[ELEMENTS];
  int32_t labels[2], label;
  ck_assert_ptr_null(pp_dataset_test_fill(dataset, 777776, 2, x, labels));
  ck_assert_ptr_null(pp_dataset_test_fill(dataset, 5, 1, y, &label));
  ck_assert_mem_ne(x + ELEMENTS, y, sizeof y);
  ck_assert_ptr_null(pp_dataset_test_fill(dataset, 777777, 1, y, &label));
  ck_assert_mem_eq(x + ELEMENTS, y, sizeof y);
  ck_assert_int_eq(label, labels[1]);
  pp_dataset_destroy(dataset);
}
END_TEST

START_TEST(memory_is_what_will_be_held) {
  pp_dataset_config config = synthetic(3, 32, 32, 10, 1000, 200);
  int64_t held = pp_dataset_memory(&config);
  ck_assert_int_ge(held, 1200 * (3072 + 4));
  ck_assert_int_lt(held, 1200 * (3072 + 4) + 8192);
}
END_TEST

START_TEST(shapes_and_classes_that_cannot_be_are_refused) {
  pp_dataset_config config = synthetic(3, 0, 32, 10, 10, 10);
  load_fails(&config, "dataset.shape: [3, 0, 32]", NULL);
  config = synthetic(3, 32, -1, 10, 10, 10);
  load_fails(&config, "dataset.shape: [3, 32, -1]", NULL);
  config = synthetic(3, 1 << 30, 1 << 30, 10, 10, 10);
  load_fails(&config, "dataset.shape", "at most 268435456");
  config = synthetic(3, 32, 32, 1, 10, 10);
  load_fails(&config, "dataset.classes: 1", "at least 2");
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("synthetic");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, samples_depend_on_the_seed_alone);
  tcase_add_test(tests, classes_can_be_learnt);
  tcase_add_test(tests, any_shape_and_number_of_classes_will_do);
  tcase_add_test(tests, large_images_do_not_need_memory_by_their_number);
  tcase_add_test(tests, memory_is_what_will_be_held);
  tcase_add_test(tests, shapes_and_classes_that_cannot_be_are_refused);
  return run_case("synthetic", tests);
}
