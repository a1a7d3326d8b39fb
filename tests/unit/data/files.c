#include "files.h"
#include "suite.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

void make_directory(char *directory) {
  const char *root = getenv("TMPDIR");
  snprintf(directory, PATH_MAX, "%s/pipar-data-XXXXXX", root != NULL ? root : "/tmp");
  ck_assert_ptr_nonnull(mkdtemp(directory));
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
  (void)info, (void)kind, (void)walk;
  return remove(path);
}

void remove_tree(const char *directory) {
  ck_assert_int_eq(nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Powers of two: bytes that come one by one are not moved each time. */
static size_t room_for(size_t count) {
  size_t room = 64;
  while (room < count)
    room *= 2;
  return room;
}

void add_bytes(bytes *to, const void *data, size_t count) {
  size_t before = room_for(to->count), room = room_for(to->count + count);
  if (to->data == NULL || room != before)
    to->data = realloc(to->data, room);
  ck_assert_ptr_nonnull(to->data);
  if (count > 0)
    memcpy(to->data + to->count, data, count);
  to->count += count;
}

void add_byte(bytes *to, unsigned value) { add_bytes(to, &(unsigned char){(unsigned char)value}, 1); }

void add_zeros(bytes *to, size_t count) {
  for (size_t place = 0; place < count; place++)
    add_byte(to, 0);
}

void add_big_endian(bytes *to, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    add_byte(to, value >> shift & 255);
}

void free_bytes(bytes *of) {
  free(of->data);
  *of = (bytes){NULL, 0};
}

static void path_of(const char *directory, const char *name, char *path) {
  ck_assert_int_lt(snprintf(path, PATH_MAX, "%s/%s", directory, name), PATH_MAX);
  for (char *slash = path + strlen(directory) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
    *slash = '\0';
    mkdir(path, 0755);
    *slash = '/';
  }
}

void write_plain(const char *directory, const char *name, const bytes *content) {
  char path[PATH_MAX];
  path_of(directory, name, path);
  FILE *file = fopen(path, "wb");
  ck_assert_ptr_nonnull(file);
  if (content->count > 0)
    ck_assert_uint_eq(fwrite(content->data, 1, content->count, file), content->count);
  ck_assert_int_eq(fclose(file), 0);
}

void write_file(const char *directory, const char *name, const bytes *content) {
  size_t length = strlen(name);
  if (length < 3 || strcmp(name + length - 3, ".gz") != 0) {
    write_plain(directory, name, content);
    return;
  }
  char path[PATH_MAX];
  path_of(directory, name, path);
  gzFile file = gzopen(path, "wb");
  ck_assert_ptr_nonnull(file);
  if (content->count > 0)
    ck_assert_int_eq(gzwrite(file, content->data, (unsigned)content->count), (int)content->count);
  ck_assert_int_eq(gzclose(file), Z_OK);
}

void cut_file(const char *directory, const char *name, long length) {
  char path[PATH_MAX];
  path_of(directory, name, path);
  ck_assert_int_eq(truncate(path, length), 0);
}

long file_length(const char *directory, const char *name) {
  char path[PATH_MAX];
  path_of(directory, name, path);
  struct stat info;
  ck_assert_int_eq(stat(path, &info), 0);
  return (long)info.st_size;
}

unsigned pixel_of(int64_t sample, int channel, int y, int x) {
  return (unsigned)(sample * 37 + channel * 101 + y * 7 + x * 3 + x * y) & 255;
}

unsigned label_of(int64_t sample, int classes) { return (unsigned)((sample * 7 + 3) % classes); }

bytes idx_images(uint32_t count) {
  bytes content = {NULL, 0};
  add_big_endian(&content, 0x00000803);
  add_big_endian(&content, count);
  add_big_endian(&content, 28);
  add_big_endian(&content, 28);
  for (uint32_t sample = 0; sample < count; sample++)
    for (int y = 0; y < 28; y++)
      for (int x = 0; x < 28; x++)
        add_byte(&content, pixel_of(sample, 0, y, x));
  return content;
}

bytes idx_labels(uint32_t count) {
  bytes content = {NULL, 0};
  add_big_endian(&content, 0x00000801);
  add_big_endian(&content, count);
  for (uint32_t sample = 0; sample < count; sample++)
    add_byte(&content, label_of(sample, 10));
  return content;
}

void write_mnist(const char *directory, uint32_t train, uint32_t test) {
  bytes content = idx_images(train);
  write_file(directory, "train-images-idx3-ubyte.gz", &content);
  free_bytes(&content);
  content = idx_labels(train);
  write_file(directory, "train-labels-idx1-ubyte.gz", &content);
  free_bytes(&content);
  content = idx_images(test);
  write_file(directory, "t10k-images-idx3-ubyte.gz", &content);
  free_bytes(&content);
  content = idx_labels(test);
  write_file(directory, "t10k-labels-idx1-ubyte.gz", &content);
  free_bytes(&content);
}

pp_dataset_config plain_config(const char *name, char *path, int channels, int64_t train, int64_t test) {
  pp_dataset_config config = {.path = path,
                              .train_samples = train,
                              .test_samples = test,
                              .alpha = 0.5,
                              .normalize_channels = channels,
                              .deviation = {1, 1, 1, 1},
                              .shape = {channels, 32, 32},
                              .classes = 10};
  snprintf(config.name, sizeof config.name, "%s", name);
  return config;
}

void load_fails(const pp_dataset_config *config, const char *text, const char *other) {
  pp_dataset *dataset = NULL;
  pp_status status = pp_dataset_load(config, 1, &dataset);
  ck_assert_ptr_null(dataset);
  ck_assert_msg(status != NULL, "loading succeeded, expected: %s", text);
  ck_assert_msg(strstr(pp_error_message(status), text) != NULL, "'%s' has no '%s'", pp_error_message(status), text);
  ck_assert_msg(other == NULL || strstr(pp_error_message(status), other) != NULL, "'%s' has no '%s'",
                pp_error_message(status), other);
  ck_assert_msg(strchr(pp_error_message(status), '\n') == NULL, "'%s' has a newline", pp_error_message(status));
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  pp_error_free(status);
}

pp_dataset *load(const pp_dataset_config *config, uint64_t seed) {
  pp_dataset *dataset = NULL;
  pp_status status = pp_dataset_load(config, seed, &dataset);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  return dataset;
}

/* x: (count, C, H, W) is pixel_of / 255 of samples first, first + 1, ... */
static void check_samples(pp_shape shape, int classes, int64_t first, int count, const float *x,
                          const int32_t *labels) {
  for (int place = 0; place < count; place++) {
    ck_assert_int_eq(labels[place], (int)label_of(first + place, classes));
    for (int channel = 0; channel < shape.channels; channel++)
      for (int row = 0; row < shape.height; row++)
        for (int column = 0; column < shape.width; column++, x++)
          if (*x != (float)pixel_of(first + place, channel, row, column) / 255.0F)
            ck_abort_msg("sample %lld, pixel (%d, %d, %d): %g", (long long)(first + place), channel, row, column,
                         (double)*x * 255.0);
  }
}

void check_test_set(const pp_dataset *dataset, pp_shape shape, int classes, int64_t first) {
  int count = (int)pp_dataset_test_count(dataset);
  size_t elements = (size_t)(shape.channels * shape.height * shape.width);
  float *x = calloc((size_t)count * elements, sizeof *x);
  int32_t *labels = calloc((size_t)count, sizeof *labels);
  ck_assert_ptr_null(pp_dataset_test_fill(dataset, 0, count, x, labels));
  check_samples(shape, classes, first, count, x, labels);
  free(x);
  free(labels);
}

void check_train_set(const pp_dataset *dataset, const pp_dataset_config *dataset_config, pp_shape shape, int classes) {
  int count = (int)dataset_config->train_samples;
  pp_device_group group = {.count = 1, .samples = -1};
  pp_config config = {.seed = 1, .dataset = *dataset_config, .group_count = 1, .groups = &group};
  config.training.batch_size = count;
  size_t elements = (size_t)(shape.channels * shape.height * shape.width);
  float *x = calloc((size_t)count * elements, sizeof *x);
  int32_t *labels = calloc((size_t)count, sizeof *labels);
  pp_partition *partition = NULL;
  ck_assert_ptr_null(pp_partition_create(&config, dataset, &partition));
  ck_assert_ptr_null(pp_batch_fill(dataset, partition, &config, 0, 0, 0, count, x, labels));
  check_samples(shape, classes, 0, count, x, labels);
  pp_partition_destroy(partition);
  free(x);
  free(labels);
}
