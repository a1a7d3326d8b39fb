#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "suite.h"

enum { CLASSES = 10 };

static char no_path[] = "auto";
static pp_device_group groups[2];

static pp_config experiment(int64_t train, double alpha, int devices, int64_t samples) {
  groups[0] = (pp_device_group){.count = devices, .samples = samples};
  pp_config config = {.seed = 1994, .group_count = 1, .groups = groups};
  config.dataset = plain_config("synthetic", no_path, 1, train, 1);
  config.dataset.shape[1] = config.dataset.shape[2] = 1;
  config.dataset.classes = CLASSES;
  config.dataset.partition = PP_PARTITION_DIRICHLET;
  config.dataset.alpha = alpha;
  config.dataset.shuffle = true;
  config.training.batch_size = 100;
  return config;
}

/* counts: (devices, CLASSES), how many samples of each class each device has. */
static void count_classes(const pp_config *config, int devices, int *counts) {
  pp_dataset *dataset = load(&config->dataset, config->seed);
  pp_partition *partition = NULL;
  pp_status status = pp_partition_create(config, dataset, &partition);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  memset(counts, 0, sizeof *counts * (size_t)devices * CLASSES);
  float x[100];
  int32_t labels[100];
  for (int device = 0; device < devices; device++) {
    int64_t iterations = (pp_partition_samples(partition, device) + 99) / 100;
    for (int64_t iteration = 0; iteration < iterations; iteration++) {
      int size = pp_batch_size(partition, config, device, iteration);
      ck_assert_ptr_null(pp_batch_fill(dataset, partition, config, device, iteration, 0, size, x, labels));
      for (int place = 0; place < size; place++)
        counts[device * CLASSES + labels[place]]++;
    }
  }
  pp_partition_destroy(partition);
  pp_dataset_destroy(dataset);
}

static int sum_of(const int *counts, int count, int step) {
  int sum = 0;
  for (int place = 0; place < count; place++)
    sum += counts[place * step];
  return sum;
}

START_TEST(devices_have_their_shares_and_every_sample_has_one_device) {
  const double alphas[] = {1e-3, 0.1, 1, 1e6};
  for (int of = 0; of < 4; of++) {
    pp_config config = experiment(1003, alphas[of], 3, -1);
    groups[1] = (pp_device_group){.count = 1, .samples = 1};
    config.group_count = 2;
    int skewed[4 * CLASSES], even[4 * CLASSES];
    count_classes(&config, 4, skewed);
    const int shares[] = {334, 334, 334, 1};
    for (int device = 0; device < 4; device++)
      ck_assert_int_eq(sum_of(skewed + device * CLASSES, CLASSES, 1), shares[device]);
    config.dataset.partition = PP_PARTITION_IID; /* has all samples, once each */
    count_classes(&config, 4, even);
    for (int label = 0; label < CLASSES; label++)
      ck_assert_int_eq(sum_of(skewed + label, 4, CLASSES), sum_of(even + label, 4, CLASSES));
  }
}
END_TEST

/* Many devices with few of the samples, so that no class runs out: the counts of a class are Dirichlet-multinomial,
 * with variance n p (1 - p) (n + A) / (1 + A), p = 1/10, A = 10 alpha. Over 400 devices and 10 classes the mean square
 * deviation has a relative standard error below sqrt(kurtosis / 4000), and the kurtosis of these counts stays below
 * 1/p = 10 when a device has one class alone: 5 %; classes of unequal size (500 +- 21) add 1 %. Allowed: 4 times that.
 */
START_TEST(class_counts_have_the_variance_of_the_distribution) {
  const double alphas[] = {0.01, 0.1, 0.5, 2, 100};
  enum { DEVICES = 400, SAMPLES = 20 };
  for (int of = 0; of < 5; of++) {
    static int counts[DEVICES * CLASSES];
    pp_config config = experiment(200000, alphas[of], DEVICES, SAMPLES);
    count_classes(&config, DEVICES, counts);
    double squares = 0;
    for (int place = 0; place < DEVICES * CLASSES; place++)
      squares += pow(counts[place] - SAMPLES / 10.0, 2);
    squares /= DEVICES * CLASSES;
    double sum = 10 * alphas[of];
    double expected = SAMPLES * 0.1 * 0.9 * (SAMPLES + sum) / (1 + sum);
    ck_assert_msg(fabs(squares / expected - 1) < 0.24, "alpha %g: variance %g, expected %g", alphas[of], squares,
                  expected);
  }
}
END_TEST

START_TEST(small_alphas_give_a_device_few_classes_and_large_ones_all) {
  enum { DEVICES = 20, SAMPLES = 100 };
  int counts[DEVICES * CLASSES];
  pp_config config = experiment(100000, 1e-6, DEVICES, SAMPLES);
  count_classes(&config, DEVICES, counts);
  for (int place = 0; place < DEVICES * CLASSES; place++)
    ck_assert(counts[place] == 0 || counts[place] == SAMPLES);
  config = experiment(100000, 1e9, DEVICES, SAMPLES);
  count_classes(&config, DEVICES, counts);
  for (int place = 0; place < DEVICES * CLASSES; place++)
    ck_assert_int_lt(abs(counts[place] - 10), 18); /* 6 standard deviations of 3 */
}
END_TEST

START_TEST(the_same_seed_gives_the_same_partition) {
  int first[4 * CLASSES], second[4 * CLASSES];
  pp_config config = experiment(1000, 0.5, 4, -1);
  count_classes(&config, 4, first);
  count_classes(&config, 4, second);
  ck_assert_mem_eq(first, second, sizeof first);
  config.seed++;
  count_classes(&config, 4, second);
  ck_assert_mem_ne(first, second, sizeof first);
}
END_TEST

START_TEST(alpha_must_be_positive) {
  const double alphas[] = {0, -1, NAN, INFINITY};
  for (int of = 0; of < 4; of++) {
    pp_config config = experiment(100, alphas[of], 4, -1);
    pp_dataset *dataset = load(&config.dataset, 1);
    pp_partition *partition = NULL;
    pp_status status = pp_partition_create(&config, dataset, &partition);
    ck_assert_ptr_null(partition);
    ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
    ck_assert_ptr_nonnull(strstr(pp_error_message(status), "dataset.alpha"));
    pp_error_free(status);
    pp_dataset_destroy(dataset);
  }
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("dirichlet");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, devices_have_their_shares_and_every_sample_has_one_device);
  tcase_add_test(tests, class_counts_have_the_variance_of_the_distribution);
  tcase_add_test(tests, small_alphas_give_a_device_few_classes_and_large_ones_all);
  tcase_add_test(tests, the_same_seed_gives_the_same_partition);
  tcase_add_test(tests, alpha_must_be_positive);
  return run_case("dirichlet", tests);
}
