#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "suite.h"

static const pp_shape shape = {3, 32, 32};
static char directory[PATH_MAX];

static void setup(void) { make_directory(directory); }
static void teardown(void) { remove_tree(directory); }

/* Records of the samples [first, first + count) of a subset. */
static bytes records(int classes, int64_t first, int count) {
  bytes content = {NULL, 0};
  for (int64_t sample = first; sample < first + count; sample++) {
    if (classes == 100)
      add_byte(&content, label_of(sample, 100) / 5); /* the coarse label */
    add_byte(&content, label_of(sample, classes));
    for (int place = 0; place < 3 * 32 * 32; place++)
      add_byte(&content, pixel_of(sample, place / 1024, place / 32 % 32, place % 32));
  }
  return content;
}

/* Training parts of 3, 4, 5, 6 and 7 samples, 8 test samples; the test set's samples are counted from 0 too. */
static const char *const part_names[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                         "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};
static const int part_first[] = {0, 3, 7, 12, 18, 0}, part_count[] = {3, 4, 5, 6, 7, 8};
enum { TRAIN = 25, TEST = 8 };

static void write_parts(const char *below, const char *suffix) {
  for (int part = 0; part < 6; part++) {
    char name[128];
    snprintf(name, sizeof name, "%s%s%s", below, part_names[part], suffix);
    bytes content = records(10, part_first[part], part_count[part]);
    write_file(directory, name, &content);
    free_bytes(&content);
  }
}

/* Header and content of a tar entry, padded to blocks; the fields' places are those of POSIX pax, "ustar". */
static void add_entry(bytes *tar, const char *name, char type, const bytes *content) {
  unsigned char header[512] = {0};
  memcpy(header, name, strlen(name));
  memcpy(header + 100, "0000644", 8);
  memcpy(header + 108, "0001750", 8);
  memcpy(header + 116, "0001750", 8);
  snprintf((char *)header + 124, 12, "%011o", (unsigned)content->count);
  memcpy(header + 136, "11177777777", 12);
  header[156] = (unsigned char)type;
  memcpy(header + 257, "ustar  ", 8);
  unsigned sum = 8 * ' ';
  for (int place = 0; place < 512; place++)
    sum += header[place];
  snprintf((char *)header + 148, 8, "%06o", sum);
  header[155] = ' ';
  add_bytes(tar, header, sizeof header);
  add_bytes(tar, content->data, content->count);
  add_zeros(tar, (512 - content->count % 512) % 512);
}

/* As distributed: a directory, parts out of order, other files between them. */
static bytes archive(void) {
  bytes tar = {NULL, 0}, none = {NULL, 0}, text = {NULL, 0};
  add_bytes(&text, "airplane\nautomobile\n", 20);
  add_entry(&tar, "cifar-10-batches-bin/", '5', &none);
  const int order[] = {0, 2, 3, 5, 4, 1};
  for (int place = 0; place < 6; place++) {
    char name[128];
    int part = order[place];
    snprintf(name, sizeof name, "cifar-10-batches-bin/%s", part_names[part]);
    bytes content = records(10, part_first[part], part_count[part]);
    add_entry(&tar, name, '0', &content);
    free_bytes(&content);
    if (place == 1)
      add_entry(&tar, "cifar-10-batches-bin/batches.meta.txt", '0', &text);
    if (place == 2) /* what another system's tar may add: not the part, in spite of its name */
      add_entry(&tar, "cifar-10-batches-bin/._data_batch_1.bin", '0', &text);
  }
  add_zeros(&tar, 1024);
  free_bytes(&text);
  return tar;
}

static void check_all(const pp_dataset_config *config) {
  pp_dataset *dataset = load(config, 1);
  check_train_set(dataset, config, shape, 10);
  check_test_set(dataset, shape, 10, 0);
  ck_assert_int_eq(pp_dataset_test_count(dataset), config->test_samples);
  pp_dataset_destroy(dataset);
}

START_TEST(files_in_a_directory_are_read_in_order) {
  write_parts("", "");
  pp_dataset_config config = plain_config("cifar-10", directory, 3, TRAIN, TEST);
  check_all(&config);
  config = plain_config("cifar-10", directory, 3, 5, 1); /* ends inside the second part */
  check_all(&config);
}
END_TEST

START_TEST(gzipped_files_and_the_directory_as_unpacked_are_found) {
  write_parts("cifar-10-batches-bin/", ".gz");
  pp_dataset_config config = plain_config("cifar-10", directory, 3, TRAIN, TEST);
  check_all(&config);
}
END_TEST

START_TEST(an_archive_is_read_without_unpacking_it) {
  bytes tar = archive();
  write_file(directory, "cifar-10-binary.tar.gz", &tar);
  pp_dataset_config config = plain_config("cifar-10", directory, 3, TRAIN, TEST);
  check_all(&config);
  config = plain_config("cifar-10", directory, 3, 4, 2);
  check_all(&config);
  char path[PATH_MAX];
  ck_assert_int_lt(snprintf(path, sizeof path, "%.4000s/cifar-10-binary.tar.gz", directory), PATH_MAX);
  config = plain_config("cifar-10", path, 3, TRAIN, TEST);
  check_all(&config);
  write_file(directory, "cifar-10-binary.tar", &tar);
  config.path = directory;
  check_all(&config);
  free_bytes(&tar);
}
END_TEST

START_TEST(cifar_100_takes_the_fine_label) {
  bytes train = records(100, 0, 30), test = records(100, 0, 4);
  write_file(directory, "train.bin", &train);
  write_file(directory, "test.bin", &test);
  free_bytes(&train), free_bytes(&test);
  pp_dataset_config config = plain_config("cifar-100", directory, 3, 30, 4);
  pp_dataset *dataset = load(&config, 1);
  check_train_set(dataset, &config, shape, 100);
  check_test_set(dataset, shape, 100, 0);
  pp_dataset_destroy(dataset);
}
END_TEST

START_TEST(missing_parts_are_named) {
  pp_dataset_config config = plain_config("cifar-10", directory, 3, TRAIN, TEST);
  load_fails(&config, "data_batch_1.bin is missing", "cifar-10-binary.tar.gz");
  write_parts("", "");
  char path[PATH_MAX];
  ck_assert_int_lt(snprintf(path, sizeof path, "%.4000s/data_batch_4.bin", directory), PATH_MAX);
  ck_assert_int_eq(remove(path), 0);
  load_fails(&config, "data_batch_4.bin is missing", directory);
}
END_TEST

START_TEST(files_that_are_cut_or_empty_are_refused) {
  write_parts("", "");
  pp_dataset_config config = plain_config("cifar-10", directory, 3, 2, 1);
  const int lengths[] = {1, 3072, 3074, 2 * 3073 - 1, 3 * 3073 - 1};
  for (int place = 4; place >= 0; place--) {
    cut_file(directory, "data_batch_1.bin", lengths[place]);
    load_fails(&config, "data_batch_1.bin: cut off", NULL);
  }
  cut_file(directory, "data_batch_1.bin", 0);
  load_fails(&config, "data_batch_1.bin: empty", NULL);
}
END_TEST

START_TEST(labels_out_of_range_are_refused) {
  write_parts("", "");
  pp_dataset_config config = plain_config("cifar-10", directory, 3, 2, 1);
  bytes content = records(10, 0, 4);
  content.data[(size_t)3 * 3073] = 10; /* of a sample that is not wanted, yet the file is broken */
  write_file(directory, "data_batch_2.bin", &content);
  load_fails(&config, "data_batch_2.bin: label 10 of record 3", "0 to 9");
  free_bytes(&content);
  /* A file of CIFAR-100 under the other's name shows too: its records are a byte longer. */
  content = records(100, 0, 3);
  write_file(directory, "data_batch_2.bin", &content);
  load_fails(&config, "data_batch_2.bin:", NULL);
  free_bytes(&content);
}
END_TEST

START_TEST(more_samples_than_held_are_refused) {
  write_parts("", "");
  pp_dataset_config config = plain_config("cifar-10", directory, 3, TRAIN + 1, TEST);
  load_fails(&config, "dataset.train_samples: 26 are wanted", "holds 25");
  config = plain_config("cifar-10", directory, 3, TRAIN, 1000000);
  load_fails(&config, "dataset.test_samples: 1000000 are wanted", "holds 8");
}
END_TEST

static void archive_fails(const bytes *tar, const char *text) {
  write_file(directory, "cifar-10-binary.tar.gz", tar);
  pp_dataset_config config = plain_config("cifar-10", directory, 3, 2, 1);
  load_fails(&config, text, "cifar-10-binary.tar.gz");
}

START_TEST(broken_archives_are_refused) {
  bytes tar = archive();
  /* Cut in a header, in a part, between parts, and before the end's zeros. */
  const size_t lengths[] = {0, 100, 512, 513, 1024 + 5 * 3073, tar.count - 1024};
  for (size_t place = 0; place < sizeof lengths / sizeof lengths[0]; place++)
    archive_fails(&(bytes){tar.data, lengths[place]}, "cut off");
  tar.data[512 + 124] = '7'; /* a size of 60 GB, under a header that no longer adds up */
  archive_fails(&tar, "no valid header at byte 512");
  free_bytes(&tar);

  /* A lying size with a right checksum. */
  tar = archive();
  tar.data[512 + 124] = '7';
  unsigned sum = 0;
  for (int place = 0; place < 512; place++)
    sum += place >= 148 && place < 156 ? ' ' : tar.data[512 + place];
  snprintf((char *)tar.data + 512 + 148, 8, "%06o", sum);
  tar.data[512 + 155] = ' ';
  archive_fails(&tar, "10-binary.tar.gz: data_batch_1.bin: ");
  free_bytes(&tar);

  /* A part that is no whole number of records. */
  tar = (bytes){NULL, 0};
  bytes content = records(10, 0, 2);
  content.count--;
  add_entry(&tar, "data_batch_1.bin", '0', &content);
  add_zeros(&tar, 1024);
  archive_fails(&tar, "data_batch_1.bin: cut off: 3072 bytes after 1 records");
  free_bytes(&tar), free_bytes(&content);

  /* Without the other parts, and with one of them twice. */
  content = records(10, 0, 2);
  add_entry(&tar, "data_batch_1.bin", '0', &content);
  size_t once = tar.count;
  add_zeros(&tar, 1024);
  archive_fails(&tar, "data_batch_2.bin is not in it");
  tar.count = once;
  add_entry(&tar, "data_batch_1.bin", '0', &content);
  add_zeros(&tar, 1024);
  archive_fails(&tar, "data_batch_1.bin is there twice");
  free_bytes(&tar), free_bytes(&content);

  bytes text = {NULL, 0};
  for (int place = 0; place < 2000; place++)
    add_byte(&text, 'x');
  archive_fails(&text, "not a tar archive");
  free_bytes(&text);
}
END_TEST

/* Compressed data cut or changed anywhere never gives a data set. */
START_TEST(damage_anywhere_in_a_compressed_archive_is_found) {
  bytes tar = archive();
  write_file(directory, "cifar-10-binary.tar.gz", &tar);
  pp_dataset_config config = plain_config("cifar-10", directory, 3, 2, 1);
  long length = file_length(directory, "cifar-10-binary.tar.gz");
  char path[PATH_MAX];
  ck_assert_int_lt(snprintf(path, sizeof path, "%.4000s/cifar-10-binary.tar.gz", directory), PATH_MAX);
  for (long place = 10; place < length; place += length / 60) {
    FILE *file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, place, SEEK_SET), 0);
    int byte = fgetc(file);
    ck_assert_int_eq(fseek(file, place, SEEK_SET), 0);
    ck_assert_int_ne(fputc(byte ^ 0x10, file), EOF);
    ck_assert_int_eq(fclose(file), 0);
    load_fails(&config, "cifar-10-binary.tar.gz:", NULL);
    write_file(directory, "cifar-10-binary.tar.gz", &tar);
  }
  for (long cut = length - 1; cut >= 0; cut -= length / 40) {
    cut_file(directory, "cifar-10-binary.tar.gz", cut);
    load_fails(&config, "cifar-10-binary.tar.gz:", NULL);
  }
  free_bytes(&tar);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("cifar");
  tcase_set_timeout(tests, 60);
  tcase_add_checked_fixture(tests, setup, teardown);
  tcase_add_test(tests, files_in_a_directory_are_read_in_order);
  tcase_add_test(tests, gzipped_files_and_the_directory_as_unpacked_are_found);
  tcase_add_test(tests, an_archive_is_read_without_unpacking_it);
  tcase_add_test(tests, cifar_100_takes_the_fine_label);
  tcase_add_test(tests, missing_parts_are_named);
  tcase_add_test(tests, files_that_are_cut_or_empty_are_refused);
  tcase_add_test(tests, labels_out_of_range_are_refused);
  tcase_add_test(tests, more_samples_than_held_are_refused);
  tcase_add_test(tests, broken_archives_are_refused);
  tcase_add_test(tests, damage_anywhere_in_a_compressed_archive_is_found);
  return run_case("cifar", tests);
}
