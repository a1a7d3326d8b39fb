/* MNIST's own format: a magic number whose last byte is the rank, the dimensions (all big-endian 32 bits), the bytes.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "data/input.h"

enum { IDX_BYTES_1D = 0x00000801, IDX_BYTES_3D = 0x00000803, LONGEST_RANK = 3 };

static const char *const file_names[PP_SUBSET_COUNT][2][3] = {
    {{"train-images-idx3-ubyte", "train-images.idx3-ubyte", NULL},
     {"train-labels-idx1-ubyte", "train-labels.idx1-ubyte", NULL}},
    {{"t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte", NULL},
     {"t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte", NULL}},
};

static uint32_t big_endian(const unsigned char *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Reads and checks the header: dims (rank). */
static pp_status read_header(pp_input *input, uint32_t magic, int rank, uint32_t *dims) {
  unsigned char bytes[4 * (1 + LONGEST_RANK)];
  PP_TRY(pp_input_read(input, bytes, 4 * (size_t)(1 + rank)));
  if (big_endian(bytes) != magic)
    return pp_fail(PP_CODE_INPUT, "%s: starts with 0x%08x; an IDX file of bytes with %d dimension%s starts with 0x%08x",
                   input->path, big_endian(bytes), rank, rank == 1 ? "" : "s", magic);
  for (int axis = 0; axis < rank; axis++)
    dims[axis] = big_endian(bytes + 4 * (1 + axis));
  return NULL;
}

/* The body must fit in a file of this size before anything is made of what the header says. */
static pp_status check_size(const pp_input *input, int64_t body) {
  if (body > input->bytes_possible - input->bytes_read)
    return pp_fail(PP_CODE_INPUT,
                   "%s: cut off, or a wrong header: it announces %lld more bytes, the file can hold %lld", input->path,
                   (long long)body, (long long)(input->bytes_possible - input->bytes_read));
  return NULL;
}

static pp_status read_images(pp_input *input, const pp_dataset_config *config, pp_subset subset, pp_dataset *dataset,
                             int64_t *held) {
  uint32_t dims[3] = {0};
  const pp_shape shape = dataset->info.shape;
  PP_TRY(read_header(input, IDX_BYTES_3D, 3, dims));
  if (dims[1] != (uint32_t)shape.height || dims[2] != (uint32_t)shape.width)
    return pp_fail(PP_CODE_INPUT, "%s: images of %ux%u pixels; those of %s have %dx%d", input->path, dims[1], dims[2],
                   dataset->source->name, shape.height, shape.width);
  *held = dims[0];
  PP_TRY(check_size(input, *held * dataset->image_bytes));
  PP_TRY(pp_subset_check(config, subset, *held, input->path));
  const int64_t wanted = pp_subset_wanted(config, subset);
  PP_TRY(pp_samples_create(dataset, subset, wanted));
  PP_TRY(pp_input_read(input, dataset->subsets[subset].pixels, (size_t)(wanted * dataset->image_bytes)));
  PP_TRY(pp_input_skip(input, (*held - wanted) * dataset->image_bytes));
  return pp_input_expect_end(input);
}

static pp_status read_labels(pp_input *input, const char *images_path, int64_t images, pp_dataset *dataset,
                             pp_samples *samples) {
  uint32_t count = 0;
  PP_TRY(read_header(input, IDX_BYTES_1D, 1, &count));
  if (count != images)
    return pp_fail(PP_CODE_INPUT, "%s: %u labels for the %lld images of %s", input->path, count, (long long)images,
                   images_path);
  PP_TRY(check_size(input, count));
  unsigned char bytes[4096];
  for (int64_t first = 0; first < count;) {
    int64_t part = count - first < (int64_t)sizeof bytes ? count - first : (int64_t)sizeof bytes;
    PP_TRY(pp_input_read(input, bytes, (size_t)part));
    for (int64_t place = 0; place < part; place++) {
      if (bytes[place] >= dataset->info.classes)
        return pp_fail(PP_CODE_INPUT, "%s: label %d of sample %lld; allowed are 0 to %d", input->path, bytes[place],
                       (long long)(first + place), dataset->info.classes - 1);
      if (first + place < samples->count)
        samples->labels[first + place] = bytes[place];
    }
    first += part;
  }
  return pp_input_expect_end(input);
}

static pp_status load_subset(const pp_dataset_config *config, const char *directory, pp_subset subset,
                             pp_dataset *dataset) {
  char images_path[PATH_MAX], labels_path[PATH_MAX];
  PP_TRY(pp_input_find(dataset->source, directory, file_names[subset][0], images_path));
  PP_TRY(pp_input_find(dataset->source, directory, file_names[subset][1], labels_path));
  pp_input input;
  int64_t held = 0;
  PP_TRY(pp_input_open(&input, images_path));
  pp_status status = read_images(&input, config, subset, dataset, &held);
  pp_input_close(&input);
  PP_TRY(status);
  PP_TRY(pp_input_open(&input, labels_path));
  status = read_labels(&input, images_path, held, dataset, &dataset->subsets[subset]);
  pp_input_close(&input);
  return status;
}

pp_status pp_idx_load(const pp_dataset_config *config, uint64_t seed, pp_dataset *dataset) {
  (void)seed;
  return pp_input_load_subsets(config, dataset, load_subset);
}
