/* SVHN's cropped digits: a MAT file (version 5) with X (32 rows, 32 columns, 3, N) and y (N, 1), columns first; the
 * digit 0 has label 10. */
#include <errno.h>
#include <matio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "data/input.h"

enum { SIDE = 32, PIXELS = 3 * SIDE * SIDE, HEADER_BYTES = 128, TAG_BYTES = 8, TYPE_MATRIX = 14, TYPE_COMPRESSED = 15 };

static const char *const file_names[PP_SUBSET_COUNT] = {"train_32x32.mat", "test_32x32.mat"};

static uint32_t little_endian(const unsigned char *bytes) {
  return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

static pp_status damaged(const pp_input *input, int64_t place) {
  return pp_fail(PP_CODE_INPUT, "%s: damaged: no whole variable at byte %lld", input->path, (long long)place);
}

/* Unpacks the `bytes` of a compressed variable that starts at `place`, up to its checksum; *unpacked: its length. */
static pp_status check_compressed(pp_input *input, int64_t place, int64_t bytes, int64_t *unpacked) {
  unsigned char in[16 * 1024], out[64 * 1024], tag[TAG_BYTES] = {0};
  z_stream stream = {.next_in = in};
  if (inflateInit(&stream) != Z_OK)
    return pp_fail_memory("unpacking", sizeof out);
  pp_status status = NULL;
  int result = Z_OK;
  *unpacked = 0;
  while (status == NULL && result != Z_STREAM_END) {
    if (stream.avail_in == 0 && bytes > 0) {
      stream.next_in = in;
      stream.avail_in = (uInt)(bytes < (int64_t)sizeof in ? bytes : (int64_t)sizeof in);
      bytes -= stream.avail_in;
      PP_TRY_GOTO(status, pp_input_read(input, in, stream.avail_in), done);
    }
    stream.next_out = out;
    stream.avail_out = sizeof out;
    result = inflate(&stream, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END)
      status = damaged(input, place);
    const size_t got = sizeof out - stream.avail_out;
    for (size_t byte = 0; byte < got && *unpacked + (int64_t)byte < TAG_BYTES; byte++)
      tag[*unpacked + (int64_t)byte] = out[byte];
    *unpacked += (int64_t)got;
  }
  if (status == NULL && (bytes > 0 || stream.avail_in > 0 || little_endian(tag) != TYPE_MATRIX ||
                         *unpacked < (int64_t)little_endian(tag + 4) + TAG_BYTES))
    status = damaged(input, place);
done:
  (void)inflateEnd(&stream);
  return status;
}

/* The library makes something even of files that are cut or damaged: so each variable must lie inside the file and
 * unpack without error before it is given to it. *largest: bytes of the largest variable, unpacked. */
static pp_status check_variables(pp_input *input, int64_t *largest) {
  unsigned char header[HEADER_BYTES], tag[TAG_BYTES];
  *largest = 0;
  PP_TRY(pp_input_read(input, header, sizeof header));
  if (memcmp(header + HEADER_BYTES - 4, "\0\1IM", 4) != 0)
    return pp_fail(PP_CODE_INPUT, "%s: not a MAT file of version 5, little-endian", input->path);
  for (;;) {
    const int64_t place = input->bytes_read;
    size_t got = 0;
    PP_TRY(pp_input_read_some(input, tag, sizeof tag, &got));
    if (got == 0)
      return NULL;
    const uint32_t type = little_endian(tag);
    int64_t bytes = little_endian(tag + 4);
    if (got < sizeof tag || (type != TYPE_MATRIX && type != TYPE_COMPRESSED))
      return damaged(input, place);
    if (type == TYPE_COMPRESSED)
      PP_TRY(check_compressed(input, place, bytes, &bytes));
    else
      PP_TRY(pp_input_skip(input, bytes));
    *largest = bytes > *largest ? bytes : *largest;
  }
}

/* Opens a variable of these dimensions but for the one called `count_axis`, whose length goes to *count. */
static pp_status open_variable(mat_t *mat, const char *path, const char *name, int rank, const size_t *dims,
                               int count_axis, matvar_t **out, int64_t *count) {
  matvar_t *variable = Mat_VarReadInfo(mat, name);
  if (variable == NULL)
    return pp_fail(PP_CODE_INPUT, "%s: the variable %s is not in it, or damaged", path, name);
  bool fits = variable->rank == rank && variable->dims != NULL && !variable->isComplex &&
              (variable->class_type == MAT_C_UINT8 || (variable->class_type == MAT_C_DOUBLE && rank == 2));
  for (int axis = 0; fits && axis < rank; axis++)
    fits = axis == count_axis ? variable->dims[axis] <= INT_MAX / (rank == 2 ? 1 : PIXELS)
                              : variable->dims[axis] == dims[axis];
  if (!fits) {
    Mat_VarFree(variable);
    return pp_fail(PP_CODE_INPUT, "%s: the variable %s is not of %s numbers", path, name,
                   rank == 2 ? "N x 1 uint8 or double" : "32 x 32 x 3 x N uint8");
  }
  *out = variable;
  *count = (int64_t)variable->dims[count_axis];
  return NULL;
}

static pp_status read_images(mat_t *mat, const char *path, const pp_dataset_config *config, pp_subset subset,
                             int64_t largest, pp_dataset *dataset, int64_t *held) {
  matvar_t *variable = NULL;
  PP_TRY(open_variable(mat, path, "X", 4, (const size_t[]){SIDE, SIDE, 3, 0}, 3, &variable, held));
  const int64_t wanted = pp_subset_wanted(config, subset);
  pp_status status = NULL;
  if (*held > largest / PIXELS) { /* what comes with the pixels is less than one image */
    status = pp_fail(PP_CODE_INPUT, "%s: damaged: the variable X announces %lld images and has no room for them", path,
                     (long long)*held);
    goto done;
  }
  PP_TRY_GOTO(status, pp_subset_check(config, subset, *held, path), done);
  PP_TRY_GOTO(status, pp_samples_create(dataset, subset, wanted), done);
  uint8_t *pixels = dataset->subsets[subset].pixels;
  if (Mat_VarReadDataLinear(mat, variable, pixels, 0, 1, (int)(wanted * PIXELS)) != 0) {
    status = pp_fail(PP_CODE_INPUT, "%s: damaged: the images of the variable X cannot be read", path);
    goto done;
  }
  for (int64_t sample = 0; sample < wanted; sample++) {
    uint8_t columns[PIXELS]; /* (C, W, H) */
    uint8_t *rows = pixels + sample * PIXELS;
    memcpy(columns, rows, PIXELS);
    for (int channel = 0; channel < 3; channel++)
      for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
          *rows++ = columns[(channel * SIDE + x) * SIDE + y];
  }
done:
  Mat_VarFree(variable);
  return status;
}

static pp_status read_labels(mat_t *mat, const char *path, int64_t images, const pp_dataset *dataset,
                             pp_samples *samples) {
  matvar_t *variable = NULL;
  int64_t count = 0;
  PP_TRY(open_variable(mat, path, "y", 2, (const size_t[]){0, 1}, 0, &variable, &count));
  pp_status status = NULL;
  double *numbers = NULL; /* (count), or uint8_t of them */
  if (count != images) {
    status = pp_fail(PP_CODE_INPUT, "%s: %lld labels for %lld images", path, (long long)count, (long long)images);
    goto done;
  }
  PP_TRY_GOTO(status, pp_alloc((size_t)count, sizeof *numbers, "labels", &numbers), done);
  if (Mat_VarReadDataLinear(mat, variable, numbers, 0, 1, (int)count) != 0) {
    status = pp_fail(PP_CODE_INPUT, "%s: damaged: the labels of the variable y cannot be read", path);
    goto done;
  }
  const bool small = variable->class_type == MAT_C_UINT8;
  for (int64_t sample = 0; sample < count; sample++) {
    const double number = small ? ((const uint8_t *)numbers)[sample] : numbers[sample];
    const int classes = dataset->info.classes;
    if (!(number >= 1 && number <= classes) || number != (double)(int)number) {
      status = pp_fail(PP_CODE_INPUT, "%s: label %g of sample %lld; allowed are 1 to %d", path, number,
                       (long long)sample, classes);
      goto done;
    }
    if (sample < samples->count)
      samples->labels[sample] = (int32_t)number % classes;
  }
done:
  free(numbers);
  Mat_VarFree(variable);
  return status;
}

static pp_status load_subset(const pp_dataset_config *config, const char *directory, pp_subset subset,
                             pp_dataset *dataset) {
  char path[PATH_MAX];
  PP_TRY(pp_input_join(directory, file_names[subset], path));
  struct stat info;
  if (stat(path, &info) != 0)
    return pp_fail(PP_CODE_INPUT, "dataset %s: %s: %s (%s)", dataset->source->name, path, strerror(errno),
                   dataset->source->advice);
  pp_input input;
  int64_t largest = 0, held = 0;
  PP_TRY(pp_input_open(&input, path));
  pp_status status = check_variables(&input, &largest);
  pp_input_close(&input);
  PP_TRY(status);
  mat_t *mat = Mat_Open(path, MAT_ACC_RDONLY);
  if (mat == NULL)
    return pp_fail(PP_CODE_INPUT, "%s: not a MAT file, or damaged", path);
  status = read_images(mat, path, config, subset, largest, dataset, &held);
  if (status == NULL)
    status = read_labels(mat, path, held, dataset, &dataset->subsets[subset]);
  (void)Mat_Close(mat);
  return status;
}

pp_status pp_svhn_load(const pp_dataset_config *config, uint64_t seed, pp_dataset *dataset) {
  (void)seed;
  return pp_input_load_subsets(config, dataset, load_subset);
}
