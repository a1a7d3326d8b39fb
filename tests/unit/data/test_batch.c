#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "suite.h"

enum { TRAIN = 101, BATCH = 7, ELEMENTS = 784, LARGEST_BATCH = 101 };

static char directory[PATH_MAX];
static pp_device_group groups[2];
static float x[LARGEST_BATCH * ELEMENTS], y[LARGEST_BATCH * ELEMENTS];
static int32_t labels[LARGEST_BATCH], other_labels[LARGEST_BATCH];

static void setup(void) {
  make_directory(directory);
  write_mnist(directory, TRAIN, 3);
}

static void teardown(void) { remove_tree(directory); }

/* Four devices: 26, 25, 25 and 25 of the 101 samples. */
static pp_config experiment(bool shuffle, bool augment) {
  groups[0] = (pp_device_group){.count = 3, .samples = -1};
  groups[1] = (pp_device_group){.count = 1, .samples = -1};
  pp_config config = {.seed = 1994, .group_count = 2, .groups = groups};
  config.dataset = plain_config("mnist", directory, 1, TRAIN, 3);
  config.dataset.shuffle = shuffle;
  config.dataset.augment = augment;
  config.training.batch_size = BATCH;
  return config;
}

/* Pixel value behind an output. */
static int pixel(float value) { return (int)lrint((double)value * 255.0); }

/* Which sample an unchanged image is: pixel_of (sample, 0, 0, 0) is sample x 37 mod 256, and 37 is odd. */
static int sample_of(const float *image) {
  for (int sample = 0; sample < TRAIN; sample++)
    if (pixel(image[0]) == (int)pixel_of(sample, 0, 0, 0) && pixel(image[29]) == (int)pixel_of(sample, 0, 1, 1))
      return sample;
  ck_abort_msg("an image that is no sample");
  return -1;
}

typedef struct fixture {
  pp_config config;
  pp_dataset *dataset;
  pp_partition *partition;
} fixture;

static fixture open_fixture(pp_config config) {
  fixture all = {.config = config};
  all.dataset = load(&config.dataset, config.seed);
  pp_status status = pp_partition_create(&config, all.dataset, &all.partition);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return all;
}

static void close_fixture(fixture *all) {
  pp_partition_destroy(all->partition);
  pp_dataset_destroy(all->dataset);
}

static int fill(const fixture *all, int device, int64_t iteration, int first, int count, float *to,
                int32_t *to_labels) {
  ck_assert_ptr_null(
      pp_batch_fill(all->dataset, all->partition, &all->config, device, iteration, first, count, to, to_labels));
  return count;
}

static int fill_whole(const fixture *all, int device, int64_t iteration) {
  int size = pp_batch_size(all->partition, &all->config, device, iteration);
  return fill(all, device, iteration, 0, size, x, labels);
}

/* The device's samples in the order of an epoch, one after the other; returns how many. */
static int epoch_order(const fixture *all, int device, int epoch, int *samples) {
  int iterations = ((int)pp_partition_samples(all->partition, device) + BATCH - 1) / BATCH, count = 0;
  for (int iteration = 0; iteration < iterations; iteration++) {
    int size = fill_whole(all, device, (int64_t)epoch * iterations + iteration);
    for (int place = 0; place < size; place++) {
      samples[count] = sample_of(x + place * ELEMENTS);
      ck_assert_int_eq(labels[place], (int)label_of(samples[count], 10));
      count++;
    }
  }
  return count;
}

START_TEST(without_shuffling_devices_have_contiguous_shares_in_order) {
  fixture all = open_fixture(experiment(false, false));
  int next = 0;
  for (int device = 0; device < 4; device++) {
    int samples[TRAIN];
    int count = epoch_order(&all, device, 0, samples);
    ck_assert_int_eq(count, device == 0 ? 26 : 25);
    for (int place = 0; place < count; place++)
      ck_assert_int_eq(samples[place], next++);
    int again[TRAIN];
    ck_assert_int_eq(epoch_order(&all, device, 5, again), count);
    ck_assert_mem_eq(samples, again, (size_t)count * sizeof *samples);
  }
  ck_assert_int_eq(next, TRAIN);
  close_fixture(&all);
}
END_TEST

START_TEST(only_the_last_batch_of_an_epoch_is_ragged) {
  fixture all = open_fixture(experiment(false, false));
  const int sizes[] = {7, 7, 7, 5, 7, 7, 7, 5, 7};
  for (int iteration = 0; iteration < 9; iteration++)
    ck_assert_int_eq(pp_batch_size(all.partition, &all.config, 0, iteration), sizes[iteration]);
  ck_assert_int_eq(pp_batch_size(all.partition, &all.config, 1, 3), 4);
  close_fixture(&all);
  pp_config config = experiment(false, false);
  config.training.batch_size = 1000;
  all = open_fixture(config);
  ck_assert_int_eq(pp_batch_size(all.partition, &all.config, 0, 0), 26);
  ck_assert_int_eq(pp_batch_size(all.partition, &all.config, 3, 17), 25);
  close_fixture(&all);
}
END_TEST

START_TEST(shuffled_devices_share_all_samples_and_see_each_once_an_epoch) {
  fixture all = open_fixture(experiment(true, false));
  int owner[TRAIN];
  memset(owner, -1, sizeof owner);
  int in_place = 0, moved = 0;
  for (int device = 0; device < 4; device++) {
    int first[TRAIN], second[TRAIN];
    int count = epoch_order(&all, device, 0, first);
    ck_assert_int_eq(epoch_order(&all, device, 1, second), count);
    int seen[TRAIN] = {0};
    for (int place = 0; place < count; place++) {
      ck_assert_int_eq(owner[first[place]], -1);
      owner[first[place]] = device;
      in_place += first[place] / 26 == device;
      moved += first[place] != second[place];
      seen[second[place]]++;
    }
    for (int place = 0; place < count; place++)
      ck_assert_int_eq(seen[first[place]], 1);
  }
  for (int sample = 0; sample < TRAIN; sample++)
    ck_assert_int_ge(owner[sample], 0);
  /* A random assignment leaves a quarter of the samples with the device of the contiguous one: 101/4 = 25 +- 4.3. */
  ck_assert_int_lt(in_place, 51);
  ck_assert_int_gt(moved, 80);
  close_fixture(&all);
}
END_TEST

START_TEST(orders_depend_on_the_seed_and_the_device) {
  fixture all = open_fixture(experiment(true, false));
  int samples[TRAIN];
  int count = epoch_order(&all, 1, 0, samples);
  close_fixture(&all);
  pp_config config = experiment(true, false);
  all = open_fixture(config);
  int again[TRAIN];
  ck_assert_int_eq(epoch_order(&all, 1, 0, again), count);
  ck_assert_mem_eq(samples, again, (size_t)count * sizeof *samples);
  close_fixture(&all);
  config.seed++;
  all = open_fixture(config);
  epoch_order(&all, 1, 0, again);
  ck_assert_mem_ne(samples, again, (size_t)count * sizeof *samples);
  close_fixture(&all);
}
END_TEST

/* The whole batches of all devices and six epochs, read in order, are what a reader sees that jumps about and takes
 * micro-batches of changing sizes. */
START_TEST(batches_are_the_same_in_any_order_and_however_they_are_cut) {
  for (int augment = 0; augment < 2; augment++) {
    fixture all = open_fixture(experiment(true, augment != 0));
    fixture jumping = open_fixture(experiment(true, augment != 0));
    for (int step = 0; step < 96; step++) {
      int device = step * 5 % 4;
      int64_t iteration = step * 11 % 24;
      int size = fill_whole(&all, device, iteration);
      for (int first = 0; first < size;) {
        int count = 1 + (step + first) % 3;
        if (count > size - first)
          count = size - first;
        fill(&jumping, device, iteration, first, count, y + first * ELEMENTS, other_labels + first);
        first += count;
      }
      ck_assert_mem_eq(x, y, (size_t)size * ELEMENTS * sizeof *x);
      ck_assert_mem_eq(labels, other_labels, (size_t)size * sizeof *labels);
    }
    close_fixture(&all);
    close_fixture(&jumping);
  }
}
END_TEST

/* Pixel of the padded, cropped and perhaps mirrored image, straight from the definition. */
static int augmented_pixel(int sample, int top, int left, bool flip, int row, int column) {
  int padded[36][36] = {{0}};
  for (int y_place = 0; y_place < 28; y_place++)
    for (int x_place = 0; x_place < 28; x_place++)
      padded[y_place + 4][x_place + 4] = (int)pixel_of(sample, 0, y_place, x_place);
  return padded[row + top][left + (flip ? 27 - column : column)];
}

static bool is_augmented(const float *image, int sample, int top, int left, bool flip) {
  for (int row = 0; row < 28; row += 3)
    for (int column = 0; column < 28; column += 3)
      if (pixel(image[row * 28 + column]) != augmented_pixel(sample, top, left, flip, row, column))
        return false;
  for (int row = 0; row < 28; row++)
    for (int column = 0; column < 28; column++)
      ck_assert_int_eq(pixel(image[row * 28 + column]), augmented_pixel(sample, top, left, flip, row, column));
  return true;
}

/* Every image is one of the 9 x 9 x 2 that the definition allows, and these are equally likely: in 404 draws each of
 * the 9 corners and 2 mirrorings is within 5 standard deviations of its share. */
START_TEST(augmented_images_are_random_crops_of_the_padded_image) {
  pp_config config = experiment(false, true);
  groups[0].count = 1;
  config.group_count = 1;
  config.training.batch_size = TRAIN;
  fixture all = open_fixture(config);
  int tops[9] = {0}, lefts[9] = {0}, flips[2] = {0};
  enum { EPOCHS = 4, DRAWS = EPOCHS * TRAIN };
  for (int epoch = 0; epoch < EPOCHS; epoch++) {
    fill_whole(&all, 0, epoch);
    for (int sample = 0; sample < TRAIN; sample++) {
      int found = 0;
      for (int change = 0; change < 9 * 9 * 2 && found == 0; change++) {
        if (!is_augmented(x + sample * ELEMENTS, sample, change / 18, change / 2 % 9, change % 2 != 0))
          continue;
        tops[change / 18]++;
        lefts[change / 2 % 9]++;
        flips[change % 2]++;
        found = 1;
      }
      ck_assert_int_eq(found, 1);
      ck_assert_int_eq(labels[sample], (int)label_of(sample, 10));
    }
  }
  const double spread9 = 5 * sqrt(DRAWS * (1.0 / 9) * (8.0 / 9)), spread2 = 5 * sqrt(DRAWS * 0.25);
  for (int corner = 0; corner < 9; corner++) {
    ck_assert(fabs(tops[corner] - DRAWS / 9.0) < spread9);
    ck_assert(fabs(lefts[corner] - DRAWS / 9.0) < spread9);
  }
  ck_assert(fabs(flips[0] - DRAWS / 2.0) < spread2);
  close_fixture(&all);
}
END_TEST

START_TEST(test_samples_are_never_shuffled_nor_augmented) {
  fixture all = open_fixture(experiment(true, true));
  check_test_set(all.dataset, (pp_shape){1, 28, 28}, 10, 0);
  close_fixture(&all);
}
END_TEST

START_TEST(a_partition_that_cannot_be_is_refused) {
  pp_config config = experiment(true, false);
  groups[0].samples = 40;
  pp_dataset *dataset = load(&config.dataset, 1);
  pp_partition *partition = NULL;
  pp_status status = pp_partition_create(&config, dataset, &partition);
  ck_assert_ptr_null(partition);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  pp_error_free(status);
  pp_dataset_destroy(dataset);
}
END_TEST

START_TEST(normalisation_must_fit_the_channels) {
  pp_config config = experiment(false, false);
  config.dataset.normalize_channels = 3;
  load_fails(&config.dataset, "dataset.normalize: 3 values for the 1 channels of mnist", NULL);
  config.dataset.normalize_channels = 1;
  config.dataset.deviation[0] = 0;
  load_fails(&config.dataset, "dataset.normalize.std: 0 for channel 0", NULL);
}
END_TEST

/* Every data set can be described, for runs without computing; those of optional libraries may not be there to load. */
START_TEST(data_sets_are_described_without_their_files_or_libraries) {
  const struct {
    const char *name;
    int channels, side, classes;
  } known[] = {{"fashion-mnist", 1, 28, 10}, {"mnist", 1, 28, 10}, {"cifar-10", 3, 32, 10},
               {"cifar-100", 3, 32, 100},    {"svhn", 3, 32, 10},  {"imagenet", 3, 224, 1000}};
  char nowhere[] = "/nonexistent/place";
  for (size_t of = 0; of < sizeof known / sizeof known[0]; of++) {
    pp_dataset_config config = plain_config(known[of].name, nowhere, 0, 10, 10);
    pp_dataset_info info;
    ck_assert_ptr_null(pp_dataset_describe(&config, &info));
    ck_assert_int_eq(info.shape.channels, known[of].channels);
    ck_assert_int_eq(info.shape.height, known[of].side);
    ck_assert_int_eq(info.shape.width, known[of].side);
    ck_assert_int_eq(info.classes, known[of].classes);
    pp_dataset *dataset = NULL;
    pp_status status = pp_dataset_load(&config, 1, &dataset);
    ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
    ck_assert_msg(strstr(pp_error_message(status), "/nonexistent/place: No such file") != NULL ||
                      strstr(pp_error_message(status), "this program was built without lib") != NULL,
                  "%s", pp_error_message(status));
    pp_error_free(status);
  }
}
END_TEST

START_TEST(unknown_data_sets_are_refused_with_those_known) {
  pp_config config = experiment(false, false);
  strcpy(config.dataset.name, "imagenot");
  load_fails(&config.dataset, "dataset.name: 'imagenot'", "fashion-mnist, mnist");
  pp_dataset_info info;
  pp_status status = pp_dataset_describe(&config.dataset, &info);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  pp_error_free(status);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("batch");
  tcase_set_timeout(tests, 60);
  tcase_add_checked_fixture(tests, setup, teardown);
  tcase_add_test(tests, without_shuffling_devices_have_contiguous_shares_in_order);
  tcase_add_test(tests, only_the_last_batch_of_an_epoch_is_ragged);
  tcase_add_test(tests, shuffled_devices_share_all_samples_and_see_each_once_an_epoch);
  tcase_add_test(tests, orders_depend_on_the_seed_and_the_device);
  tcase_add_test(tests, batches_are_the_same_in_any_order_and_however_they_are_cut);
  tcase_add_test(tests, augmented_images_are_random_crops_of_the_padded_image);
  tcase_add_test(tests, test_samples_are_never_shuffled_nor_augmented);
  tcase_add_test(tests, a_partition_that_cannot_be_is_refused);
  tcase_add_test(tests, normalisation_must_fit_the_channels);
  tcase_add_test(tests, data_sets_are_described_without_their_files_or_libraries);
  tcase_add_test(tests, unknown_data_sets_are_refused_with_those_known);
  return run_case("batch", tests);
}
