#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "files.h"
#include "suite.h"

static const pp_shape shape = {3, 32, 32};
static char directory[PATH_MAX];

static void setup(void) { make_directory(directory); }
static void teardown(void) { remove_tree(directory); }

/* MAT file format, version 5 (MathWorks): little-endian elements of type and length, padded to 8 bytes. */
enum { INT8 = 1, UINT8 = 2, INT32 = 5, UINT32 = 6, DOUBLE = 9, MATRIX = 14, COMPRESSED = 15 };
enum { CLASS_DOUBLE = 6, CLASS_UINT8 = 9 };

static void add_little_endian(bytes *to, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8)
    add_byte(to, value >> shift & 255);
}

static void add_element(bytes *to, uint32_t type, const bytes *content) {
  add_little_endian(to, type);
  add_little_endian(to, (uint32_t)content->count);
  add_bytes(to, content->data, content->count);
  add_zeros(to, (8 - content->count % 8) % 8);
}

static bytes file_header(void) {
  bytes content = {NULL, 0};
  char text[117];
  snprintf(text, sizeof text, "%-116s", "MATLAB 5.0 MAT-file, Platform: GLNXA64");
  add_bytes(&content, text, 116);
  add_zeros(&content, 8);
  add_bytes(&content, "\0\1IM", 4);
  return content;
}

/* A matrix of the class, stored as `type`. */
static bytes matrix(const char *name, int class, uint32_t type, int rank, const uint32_t *dims, const bytes *content) {
  bytes flags = {NULL, 0}, sizes = {NULL, 0}, all = {NULL, 0};
  add_little_endian(&flags, (uint32_t) class);
  add_little_endian(&flags, 0);
  for (int axis = 0; axis < rank; axis++)
    add_little_endian(&sizes, dims[axis]);
  bytes text = {NULL, 0};
  add_bytes(&text, name, strlen(name));
  add_element(&all, UINT32, &flags);
  add_element(&all, INT32, &sizes);
  add_element(&all, INT8, &text);
  add_element(&all, type, content);
  free_bytes(&flags), free_bytes(&sizes), free_bytes(&text);
  return all;
}

static void add_variable(bytes *file, const bytes *content, bool compress) {
  bytes element = {NULL, 0};
  add_element(&element, MATRIX, content);
  if (compress) {
    bytes packed = {malloc(compressBound(element.count)), compressBound(element.count)};
    uLongf length = packed.count;
    ck_assert_int_eq(compress2(packed.data, &length, element.data, element.count, 6), Z_OK);
    add_little_endian(file, COMPRESSED);
    add_little_endian(file, (uint32_t)length);
    add_bytes(file, packed.data, length);
    free_bytes(&packed);
  } else {
    add_bytes(file, element.data, element.count);
  }
  free_bytes(&element);
}

/* Columns first: the row changes fastest, then the column, the channel, the sample. */
static bytes image_bytes(int count) {
  bytes content = {NULL, 0};
  for (int sample = 0; sample < count; sample++)
    for (int channel = 0; channel < 3; channel++)
      for (int x = 0; x < 32; x++)
        for (int y = 0; y < 32; y++)
          add_byte(&content, pixel_of(sample, channel, y, x));
  return content;
}

/* 1 to 9, and 10 for the digit 0. */
static unsigned stored_label(int sample) { return label_of(sample, 10) == 0 ? 10 : label_of(sample, 10); }

static bytes label_bytes(int count, bool doubles) {
  bytes content = {NULL, 0};
  for (int sample = 0; sample < count; sample++) {
    if (doubles)
      add_bytes(&content, &(double){stored_label(sample)}, sizeof(double));
    else
      add_byte(&content, stored_label(sample));
  }
  return content;
}

typedef struct variant {
  bool compress, doubles; /* labels of class double, stored as such */
  int label_class;        /* 0: by `doubles` */
  uint32_t dims[4], label_dims[2];
  const char *image_name;
} variant;

static variant usual(int count) {
  return (variant){
      .compress = true, .dims = {32, 32, 3, (uint32_t)count}, .label_dims = {(uint32_t)count, 1}, .image_name = "X"};
}

static bytes mat_file(int count, variant how) {
  bytes file = file_header(), images = image_bytes(count), labels = label_bytes(count, how.doubles);
  int label_class = how.label_class != 0 ? how.label_class : how.doubles ? CLASS_DOUBLE : CLASS_UINT8;
  bytes x = matrix(how.image_name, CLASS_UINT8, UINT8, 4, how.dims, &images);
  bytes y = matrix("y", label_class, how.doubles ? DOUBLE : UINT8, 2, how.label_dims, &labels);
  add_variable(&file, &x, how.compress);
  add_variable(&file, &y, how.compress);
  free_bytes(&images), free_bytes(&labels), free_bytes(&x), free_bytes(&y);
  return file;
}

static void write_mat(const char *name, int count, variant how) {
  bytes file = mat_file(count, how);
  write_plain(directory, name, &file);
  free_bytes(&file);
}

static void check_all(int64_t train, int64_t test) {
  pp_dataset_config config = plain_config("svhn", directory, 3, train, test);
  pp_dataset *dataset = load(&config, 1);
  check_train_set(dataset, &config, shape, 10);
  check_test_set(dataset, shape, 10, 0);
  pp_dataset_destroy(dataset);
}

START_TEST(images_are_turned_and_ten_is_the_digit_zero) {
  write_mat("train_32x32.mat", 12, usual(12));
  write_mat("test_32x32.mat", 5, usual(5));
  check_all(12, 5);
  check_all(7, 1);
}
END_TEST

START_TEST(variables_may_be_plain_and_labels_doubles_however_stored) {
  variant plain = usual(12), doubles = usual(12), packed = usual(12);
  plain.compress = false;
  doubles.doubles = true;
  packed.label_class = CLASS_DOUBLE; /* doubles that fit are stored as bytes */
  const variant variants[] = {plain, doubles, packed};
  for (int of = 0; of < 3; of++) {
    write_mat("train_32x32.mat", 12, variants[of]);
    write_mat("test_32x32.mat", 12, variants[(of + 1) % 3]);
    check_all(12, 10);
  }
}
END_TEST

static void train_fails(const bytes *file, const char *text) {
  write_plain(directory, "train_32x32.mat", file);
  pp_dataset_config config = plain_config("svhn", directory, 3, 2, 2);
  load_fails(&config, text, "train_32x32.mat");
}

static void variant_fails(variant how, const char *text) {
  bytes file = mat_file(4, how);
  train_fails(&file, text);
  free_bytes(&file);
}

START_TEST(missing_files_are_named) {
  pp_dataset_config config = plain_config("svhn", directory, 3, 2, 2);
  load_fails(&config, "train_32x32.mat: No such file", "fetch its cropped digits");
  write_mat("train_32x32.mat", 4, usual(4));
  load_fails(&config, "test_32x32.mat: No such file", directory);
}
END_TEST

START_TEST(more_samples_than_held_are_refused) {
  write_mat("train_32x32.mat", 4, usual(4));
  write_mat("test_32x32.mat", 4, usual(4));
  pp_dataset_config config = plain_config("svhn", directory, 3, 5, 2);
  load_fails(&config, "dataset.train_samples: 5 are wanted", "train_32x32.mat holds 4");
}
END_TEST

START_TEST(files_of_another_kind_are_refused) {
  bytes text = {NULL, 0};
  train_fails(&text, "cut off");
  for (int place = 0; place < 3000; place++)
    add_byte(&text, 'x');
  train_fails(&text, "not a MAT file of version 5");
  free_bytes(&text);
  bytes file = file_header();
  train_fails(&file, "the variable X is not in it");
  add_zeros(&file, 64);
  train_fails(&file, "no whole variable at byte 128");
  free_bytes(&file);
}
END_TEST

START_TEST(variables_of_other_shapes_are_refused) {
  variant how = usual(4);
  how.image_name = "Z";
  variant_fails(how, "the variable X is not in it");
  how = usual(4);
  how.dims[0] = 33;
  variant_fails(how, "the variable X is not of 32 x 32 x 3 x N");
  how = usual(4);
  how.dims[2] = 1;
  variant_fails(how, "the variable X is not of 32 x 32 x 3 x N");
  how = usual(4);
  how.label_dims[1] = 2;
  variant_fails(how, "the variable y is not of N x 1");
  how = usual(4);
  how.label_dims[0] = 3;
  variant_fails(how, "3 labels for 4 images");
  how = usual(4);
  how.label_class = 12;
  variant_fails(how, "the variable y is not of N x 1");
}
END_TEST

START_TEST(announced_numbers_that_are_not_there_are_refused) {
  for (int compress = 0; compress < 2; compress++) {
    variant how = usual(4);
    how.compress = compress != 0;
    how.dims[3] = 600000;
    variant_fails(how, "the variable X announces 600000 images");
    how.dims[3] = 0x7fffffff;
    variant_fails(how, "the variable X is not of");
  }
}
END_TEST

/* One image and one label more than the variables hold, and wanted. */
START_TEST(variables_shorter_than_announced_are_refused) {
  for (int compress = 0; compress < 2; compress++) {
    variant how = usual(4);
    how.compress = compress != 0;
    how.dims[3] = 5;
    how.label_dims[0] = 5;
    write_mat("train_32x32.mat", 4, how);
    pp_dataset_config config = plain_config("svhn", directory, 3, 5, 2);
    load_fails(&config, "train_32x32.mat: damaged", "X");
    how.dims[3] = 4;
    write_mat("train_32x32.mat", 4, how);
    config = plain_config("svhn", directory, 3, 4, 2);
    load_fails(&config, "train_32x32.mat:", NULL);
  }
}
END_TEST

START_TEST(labels_out_of_range_are_refused) {
  const double wrong[] = {0, 11, -1, 2.5, NAN, INFINITY, 1e300};
  for (int of = 0; of < 7; of++) {
    bytes file = file_header(), images = image_bytes(4), labels = label_bytes(4, true);
    memcpy(labels.data + 3 * sizeof(double), &wrong[of], sizeof(double));
    variant how = usual(4);
    bytes x = matrix("X", CLASS_UINT8, UINT8, 4, how.dims, &images);
    bytes y = matrix("y", CLASS_DOUBLE, DOUBLE, 2, how.label_dims, &labels);
    add_variable(&file, &x, true);
    add_variable(&file, &y, true);
    train_fails(&file, "of sample 3; allowed are 1 to 10");
    free_bytes(&file), free_bytes(&images), free_bytes(&labels), free_bytes(&x), free_bytes(&y);
  }
}
END_TEST

START_TEST(files_cut_anywhere_are_refused) {
  for (int compress = 0; compress < 2; compress++) {
    variant how = usual(4);
    how.compress = compress != 0;
    bytes file = mat_file(4, how);
    for (size_t length = 1; length < file.count; length += file.count / 70)
      train_fails(&(bytes){file.data, length}, "train_32x32.mat:");
    train_fails(&(bytes){file.data, file.count - 1}, "cut off");
    free_bytes(&file);
  }
}
END_TEST

/* What a changed byte does to compressed data: an error, or at worst other pixels; never a crash. */
START_TEST(a_changed_byte_never_does_harm) {
  write_mat("test_32x32.mat", 4, usual(4));
  bytes file = mat_file(4, usual(4));
  pp_dataset_config config = plain_config("svhn", directory, 3, 2, 2);
  for (size_t place = 0; place < file.count; place += 1 + place / 40) {
    for (int bit = 1; bit < 256; bit *= 8) {
      file.data[place] ^= (unsigned char)bit;
      write_plain(directory, "train_32x32.mat", &file);
      file.data[place] ^= (unsigned char)bit;
      pp_dataset *dataset = NULL;
      pp_status status = pp_dataset_load(&config, 1, &dataset);
      ck_assert(status == NULL || pp_error_code(status) == PP_CODE_INPUT);
      pp_error_free(status);
      pp_dataset_destroy(dataset);
    }
  }
  free_bytes(&file);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("svhn");
  tcase_set_timeout(tests, 60);
  tcase_add_checked_fixture(tests, setup, teardown);
  tcase_add_test(tests, images_are_turned_and_ten_is_the_digit_zero);
  tcase_add_test(tests, variables_may_be_plain_and_labels_doubles_however_stored);
  tcase_add_test(tests, missing_files_are_named);
  tcase_add_test(tests, more_samples_than_held_are_refused);
  tcase_add_test(tests, files_of_another_kind_are_refused);
  tcase_add_test(tests, variables_of_other_shapes_are_refused);
  tcase_add_test(tests, announced_numbers_that_are_not_there_are_refused);
  tcase_add_test(tests, variables_shorter_than_announced_are_refused);
  tcase_add_test(tests, labels_out_of_range_are_refused);
  tcase_add_test(tests, files_cut_anywhere_are_refused);
  tcase_add_test(tests, a_changed_byte_never_does_harm);
  return run_case("svhn", tests);
}
