/* Files of the true formats for tests, in a directory of their own. */
#ifndef TEST_DATA_FILES_H
#define TEST_DATA_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "data/dataset.h"

/* A new directory (PATH_MAX); removed with everything in it by remove_tree. */
void make_directory(char *directory);
void remove_tree(const char *directory);

/* A growing array of bytes. */
typedef struct bytes {
  unsigned char *data;
  size_t count;
} bytes;
void add_byte(bytes *to, unsigned value);
void add_bytes(bytes *to, const void *data, size_t count);
void add_zeros(bytes *to, size_t count);
void add_big_endian(bytes *to, uint32_t value);
void free_bytes(bytes *of);

/* Writes directory/name, making the directories between; gzipped when the name ends in .gz. */
void write_file(const char *directory, const char *name, const bytes *content);
/* The same without compressing, whatever the name. */
void write_plain(const char *directory, const char *name, const bytes *content);
/* Cuts the file to this many bytes. */
void cut_file(const char *directory, const char *name, long length);
long file_length(const char *directory, const char *name);

/* Pixel of a test image: any formula that tells samples, channels and places apart. */
unsigned pixel_of(int64_t sample, int channel, int y, int x);
unsigned label_of(int64_t sample, int classes);

/* IDX content: images of 28x28 with pixel_of, labels with label_of of 10 classes. */
bytes idx_images(uint32_t count);
bytes idx_labels(uint32_t count);
/* The four files of an MNIST, gzipped. */
void write_mnist(const char *directory, uint32_t train, uint32_t test);

/* A configuration of the data set at `path`, unshuffled, with pixels left as they are / 255. */
pp_dataset_config plain_config(const char *name, char *path, int channels, int64_t train, int64_t test);

/* Loading fails as bad input, with both texts in the message (NULL: not asked). */
void load_fails(const pp_dataset_config *config, const char *text, const char *other);
/* Loads, or fails the test with the message. */
pp_dataset *load(const pp_dataset_config *config, uint64_t seed);

/* The test samples are those of pixel_of and label_of(first + place). */
void check_test_set(const pp_dataset *dataset, pp_shape shape, int classes, int64_t first);
/* The training samples, read as the one batch of one device. */
void check_train_set(const pp_dataset *dataset, const pp_dataset_config *config, pp_shape shape, int classes);

#endif
