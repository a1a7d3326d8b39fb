#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "suite.h"

static const pp_shape shape = {1, 28, 28};
static char directory[PATH_MAX];

static void setup(void) { make_directory(directory); }
static void teardown(void) { remove_tree(directory); }

START_TEST(gzipped_files_give_their_images_and_labels) {
  write_mnist(directory, 20, 7);
  pp_dataset_config config = plain_config("fashion-mnist", directory, 1, 20, 7);
  pp_dataset *dataset = load(&config, 1);
  check_test_set(dataset, shape, 10, 0);
  check_train_set(dataset, &config, shape, 10);
  pp_dataset_destroy(dataset);
}
END_TEST

START_TEST(plain_files_under_either_name_are_read_too) {
  bytes images = idx_images(5), labels = idx_labels(5);
  write_file(directory, "train-images.idx3-ubyte", &images);
  write_file(directory, "train-labels-idx1-ubyte", &labels);
  write_file(directory, "t10k-images-idx3-ubyte", &images);
  write_file(directory, "t10k-labels.idx1-ubyte.gz", &labels);
  free_bytes(&images);
  free_bytes(&labels);
  pp_dataset_config config = plain_config("mnist", directory, 1, 5, 5);
  pp_dataset *dataset = load(&config, 1);
  check_test_set(dataset, shape, 10, 0);
  check_train_set(dataset, &config, shape, 10);
  pp_dataset_destroy(dataset);
}
END_TEST

START_TEST(the_first_samples_are_taken_when_fewer_are_wanted) {
  write_mnist(directory, 20, 7);
  pp_dataset_config config = plain_config("mnist", directory, 1, 3, 2);
  pp_dataset *dataset = load(&config, 1);
  ck_assert_int_eq(pp_dataset_test_count(dataset), 2);
  check_test_set(dataset, shape, 10, 0);
  check_train_set(dataset, &config, shape, 10);
  pp_dataset_destroy(dataset);
}
END_TEST

START_TEST(the_data_sets_own_normalisation_is_the_default) {
  write_mnist(directory, 1, 3);
  pp_dataset_config config = plain_config("mnist", directory, 0, 1, 3);
  pp_dataset *dataset = load(&config, 1);
  float x[28 * 28];
  int32_t label = -1;
  ck_assert_ptr_null(pp_dataset_test_fill(dataset, 2, 1, x, &label));
  ck_assert_int_eq(label, (int)label_of(2, 10));
  /* Three float operations of relative error 2^-24 each on values below 10. */
  for (int place = 0; place < 28 * 28; place++)
    ck_assert(fabs((double)x[place] - (pixel_of(2, 0, place / 28, place % 28) / 255.0 - 0.1307) / 0.3081) < 1e-5);
  pp_dataset_destroy(dataset);
}
END_TEST

START_TEST(auto_looks_below_the_environments_directory) {
  char below[PATH_MAX];
  ck_assert_int_lt(snprintf(below, sizeof below, "%.4000s/mnist", directory), PATH_MAX);
  bytes marker = {NULL, 0};
  write_file(directory, "mnist/marker", &marker);
  write_mnist(below, 2, 2);
  ck_assert_int_eq(setenv("PIPAR_DATA", directory, 1), 0);
  char path[] = "auto";
  pp_dataset_config config = plain_config("mnist", path, 1, 2, 2);
  pp_dataset *dataset = load(&config, 1);
  check_test_set(dataset, shape, 10, 0);
  pp_dataset_destroy(dataset);
}
END_TEST

START_TEST(auto_without_files_says_what_to_install_or_set) {
  char path[] = "auto";
  pp_dataset_config config = plain_config("mnist", path, 1, 2, 2);
  ck_assert_int_eq(unsetenv("PIPAR_DATA"), 0);
  load_fails(&config, "set dataset.path or PIPAR_DATA", "$PIPAR_DATA (not set)");
  ck_assert_int_eq(setenv("PIPAR_DATA", directory, 1), 0);
  load_fails(&config, "set dataset.path or PIPAR_DATA", directory);
}
END_TEST

START_TEST(missing_files_are_named) {
  pp_dataset_config config = plain_config("fashion-mnist", directory, 1, 2, 2);
  load_fails(&config, "train-images-idx3-ubyte is missing", "dataset-fashion-mnist");
  char nowhere[] = "/nonexistent/place";
  config.path = nowhere;
  load_fails(&config, "dataset.path: /nonexistent/place: No such file or directory", "dataset-fashion-mnist");
  write_mnist(directory, 2, 2);
  char path[PATH_MAX];
  ck_assert_int_lt(snprintf(path, sizeof path, "%.4000s/t10k-labels-idx1-ubyte.gz", directory), PATH_MAX);
  ck_assert_int_eq(remove(path), 0);
  config.path = directory;
  load_fails(&config, "t10k-labels-idx1-ubyte is missing", directory);
  config.path = path;
  load_fails(&config, "t10k-labels-idx1-ubyte.gz", "No such file");
}
END_TEST

START_TEST(a_file_for_a_directory_and_a_directory_for_a_file_are_refused) {
  write_mnist(directory, 2, 2);
  char path[PATH_MAX];
  ck_assert_int_lt(snprintf(path, sizeof path, "%.4000s/train-images-idx3-ubyte.gz", directory), PATH_MAX);
  pp_dataset_config config = plain_config("mnist", path, 1, 2, 2);
  load_fails(&config, "train-images-idx3-ubyte.gz is not a directory", NULL);
  bytes nothing = {NULL, 0};
  write_file(directory, "train-images-idx3-ubyte/inside", &nothing);
  config.path = directory;
  load_fails(&config, "train-images-idx3-ubyte: not a regular file", NULL);
}
END_TEST

START_TEST(more_samples_than_held_are_refused) {
  write_mnist(directory, 20, 7);
  pp_dataset_config config = plain_config("mnist", directory, 1, 21, 7);
  load_fails(&config, "dataset.train_samples: 21 are wanted", "train-images-idx3-ubyte.gz holds 20");
  config = plain_config("mnist", directory, 1, 20, 8);
  load_fails(&config, "dataset.test_samples: 8 are wanted", "t10k-images-idx3-ubyte.gz holds 7");
  config = plain_config("mnist", directory, 1, INT64_MAX, 8);
  load_fails(&config, "dataset.train_samples: 9223372036854775807", NULL);
}
END_TEST

/* Every prefix of a valid file is refused, plain and compressed. */
START_TEST(files_cut_anywhere_are_refused) {
  write_mnist(directory, 3, 3);
  pp_dataset_config config = plain_config("mnist", directory, 1, 2, 2);
  bytes images = idx_images(3), labels = idx_labels(3);
  for (size_t length = 0; length < labels.count; length++) {
    write_plain(directory, "train-labels-idx1-ubyte", &(bytes){labels.data, length});
    load_fails(&config, "train-labels-idx1-ubyte: cut off", NULL);
  }
  write_plain(directory, "train-labels-idx1-ubyte", &labels);
  const size_t lengths[] = {0, 1, 3, 4, 15, 16, 17, 16 + 784, 16 + 2 * 784, 16 + 3 * 784 - 1};
  for (size_t place = 0; place < sizeof lengths / sizeof lengths[0]; place++) {
    write_plain(directory, "train-images-idx3-ubyte", &(bytes){images.data, lengths[place]});
    load_fails(&config, "train-images-idx3-ubyte: cut off", NULL);
  }
  write_plain(directory, "train-images-idx3-ubyte", &images);
  pp_dataset_destroy(load(&config, 1));
  for (long length = file_length(directory, "t10k-images-idx3-ubyte.gz") - 1; length >= 0; length -= 7) {
    cut_file(directory, "t10k-images-idx3-ubyte.gz", length);
    load_fails(&config, "t10k-images-idx3-ubyte.gz:", NULL);
  }
  free_bytes(&images);
  free_bytes(&labels);
}
END_TEST

START_TEST(a_flipped_bit_in_compressed_data_is_found) {
  write_mnist(directory, 3, 3);
  pp_dataset_config config = plain_config("mnist", directory, 1, 2, 2);
  char path[PATH_MAX];
  ck_assert_int_lt(snprintf(path, sizeof path, "%.4000s/train-images-idx3-ubyte.gz", directory), PATH_MAX);
  FILE *file = fopen(path, "r+b");
  ck_assert_ptr_nonnull(file);
  ck_assert_int_eq(fseek(file, -6, SEEK_END), 0); /* in the checksum */
  int byte = fgetc(file);
  ck_assert_int_eq(fseek(file, -6, SEEK_END), 0);
  ck_assert_int_ne(fputc(byte ^ 1, file), EOF);
  ck_assert_int_eq(fclose(file), 0);
  load_fails(&config, "train-images-idx3-ubyte.gz: damaged", NULL);
}
END_TEST

START_TEST(extra_bytes_are_refused) {
  write_mnist(directory, 3, 3);
  pp_dataset_config config = plain_config("mnist", directory, 1, 2, 2);
  bytes content = idx_images(3);
  add_byte(&content, 0);
  write_plain(directory, "train-images-idx3-ubyte", &content);
  load_fails(&config, "train-images-idx3-ubyte: goes on after the 2368 bytes", NULL);
  content.count--;
  write_plain(directory, "train-images-idx3-ubyte", &content);
  free_bytes(&content);
  content = idx_labels(3);
  add_byte(&content, 0);
  write_file(directory, "train-labels-idx1-ubyte.gz", &content);
  load_fails(&config, "train-labels-idx1-ubyte.gz: goes on after the 11 bytes", NULL);
  free_bytes(&content);
}
END_TEST

/* The header of the training images with one word changed. */
static void with_header_word(int word, uint32_t value) {
  bytes content = idx_images(3);
  for (int byte = 0; byte < 4; byte++)
    content.data[4 * word + byte] = (unsigned char)(value >> (24 - 8 * byte));
  write_plain(directory, "train-images-idx3-ubyte", &content);
  free_bytes(&content);
}

START_TEST(headers_that_say_something_else_are_refused) {
  write_mnist(directory, 3, 3);
  pp_dataset_config config = plain_config("mnist", directory, 1, 2, 2);
  with_header_word(0, 0x00000802);
  load_fails(&config, "train-images-idx3-ubyte: starts with 0x00000802", "0x00000803");
  with_header_word(0, 0x03080000);
  load_fails(&config, "train-images-idx3-ubyte: starts with 0x03080000", NULL);
  with_header_word(2, 32);
  load_fails(&config, "images of 32x28 pixels", "28x28");
  with_header_word(3, UINT32_MAX);
  load_fails(&config, "images of 28x4294967295 pixels", NULL);
  with_header_word(1, 2);
  load_fails(&config, "train-images-idx3-ubyte: goes on", NULL);
  with_header_word(1, 0);
  load_fails(&config, "2 are wanted", "holds 0");
  with_header_word(1, UINT32_MAX);
  load_fails(&config, "train-images-idx3-ubyte: cut off, or a wrong header", NULL);
}
END_TEST

START_TEST(labels_that_do_not_belong_are_refused) {
  write_mnist(directory, 3, 3);
  pp_dataset_config config = plain_config("mnist", directory, 1, 2, 2);
  bytes content = idx_labels(4);
  write_plain(directory, "train-labels-idx1-ubyte", &content);
  load_fails(&config, "train-labels-idx1-ubyte: 4 labels for the 3 images", "train-images-idx3-ubyte.gz");
  free_bytes(&content);
  content = idx_labels(3);
  content.data[10] = 10; /* of a sample that is not wanted, yet the file is broken */
  write_plain(directory, "train-labels-idx1-ubyte", &content);
  load_fails(&config, "train-labels-idx1-ubyte: label 10 of sample 2", "0 to 9");
  content.data[3] = 3;
  write_plain(directory, "train-labels-idx1-ubyte", &content);
  load_fails(&config, "train-labels-idx1-ubyte: starts with 0x00000803", "0x00000801");
  free_bytes(&content);
}
END_TEST

/* Of Debian's copy, where it is installed: its published labels, and mean and deviation as the normalisation has them
 * (four digits). */
START_TEST(fashion_mnist_is_what_it_is_known_to_be) {
  if (access("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz", R_OK) != 0) {
    fprintf(stderr, "skipped: Fashion-MNIST is not installed (Debian: dataset-fashion-mnist)\n");
    return;
  }
  unsetenv("PIPAR_DATA");
  char path[] = "auto";
  pp_dataset_config config = plain_config("fashion-mnist", path, 1, 60000, 10000);
  pp_dataset *dataset = load(&config, 1);
  pp_device_group group = {.count = 1, .samples = -1};
  pp_config whole = {.seed = 1, .dataset = config, .group_count = 1, .groups = &group};
  whole.training.batch_size = 1000;
  pp_partition *partition = NULL;
  ck_assert_ptr_null(pp_partition_create(&whole, dataset, &partition));
  static float x[1000 * 784];
  static int32_t labels[1000];
  double sum = 0, squares = 0;
  int of_class[10] = {0};
  for (int batch = 0; batch < 60; batch++) {
    ck_assert_ptr_null(pp_batch_fill(dataset, partition, &whole, 0, batch, 0, 1000, x, labels));
    for (int place = 0; place < 1000 * 784; place++) {
      sum += (double)x[place];
      squares += (double)x[place] * (double)x[place];
    }
    for (int place = 0; place < 1000; place++)
      of_class[labels[place]]++;
    const int32_t first[] = {9, 0, 0, 3, 0, 2, 7, 2, 5, 5};
    ck_assert(batch > 0 || memcmp(labels, first, sizeof first) == 0);
  }
  for (int label = 0; label < 10; label++)
    ck_assert_int_eq(of_class[label], 6000);
  double mean = sum / (60000.0 * 784);
  ck_assert(fabs(mean - 0.2860) < 5e-5);
  ck_assert(fabs(sqrt(squares / (60000.0 * 784) - mean * mean) - 0.3530) < 5e-5);
  pp_partition_destroy(partition);
  pp_dataset_destroy(dataset);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("idx");
  tcase_set_timeout(tests, 60);
  tcase_add_checked_fixture(tests, setup, teardown);
  tcase_add_test(tests, gzipped_files_give_their_images_and_labels);
  tcase_add_test(tests, plain_files_under_either_name_are_read_too);
  tcase_add_test(tests, the_first_samples_are_taken_when_fewer_are_wanted);
  tcase_add_test(tests, the_data_sets_own_normalisation_is_the_default);
  tcase_add_test(tests, auto_looks_below_the_environments_directory);
  tcase_add_test(tests, auto_without_files_says_what_to_install_or_set);
  tcase_add_test(tests, missing_files_are_named);
  tcase_add_test(tests, a_file_for_a_directory_and_a_directory_for_a_file_are_refused);
  tcase_add_test(tests, more_samples_than_held_are_refused);
  tcase_add_test(tests, files_cut_anywhere_are_refused);
  tcase_add_test(tests, a_flipped_bit_in_compressed_data_is_found);
  tcase_add_test(tests, extra_bytes_are_refused);
  tcase_add_test(tests, headers_that_say_something_else_are_refused);
  tcase_add_test(tests, labels_that_do_not_belong_are_refused);
  tcase_add_test(tests, fashion_mnist_is_what_it_is_known_to_be);
  return run_case("idx", tests);
}
