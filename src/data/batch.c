#include <string.h>

#include "base/rng.h"
#include "data/source.h"

enum { CROP_PADDING = 4 }; /* zeros on each side, as the published code has it */

/* How a sample is changed: the crop's corner in the padded image, and whether it is mirrored. */
typedef struct pp_augmentation {
  int top, left;
  bool flip;
} pp_augmentation;

static const pp_augmentation unchanged = {CROP_PADDING, CROP_PADDING, false};

/* Uniform in [0, bound) for a small bound: bias below bound / 2^32. */
static int below(uint32_t word, uint32_t bound) { return (int)(((uint64_t)word * bound) >> 32); }

static pp_augmentation draw(pp_rng rng, uint64_t place) {
  uint32_t words[4];
  pp_rng_words(rng, place, 0, words);
  return (pp_augmentation){below(words[0], 2 * CROP_PADDING + 1), below(words[1], 2 * CROP_PADDING + 1),
                           below(words[2], 2) != 0};
}

/* pixels: (C, H, W), x: (C, H, W) */
static void normalize(const pp_dataset *dataset, const uint8_t *pixels, pp_augmentation change, float *x) {
  const pp_shape shape = dataset->info.shape;
  const int step = change.flip ? -1 : 1;
  for (int channel = 0; channel < shape.channels; channel++) {
    const float *table = dataset->normalize + (int64_t)channel * 256;
    const uint8_t *plane = pixels + (int64_t)channel * shape.height * shape.width;
    for (int row = 0; row < shape.height; row++) {
      const int from = row + change.top - CROP_PADDING;
      const bool inside = from >= 0 && from < shape.height;
      const uint8_t *line = plane + (int64_t)(inside ? from : 0) * shape.width;
      int column = change.left - CROP_PADDING + (change.flip ? shape.width - 1 : 0);
      for (int place = 0; place < shape.width; place++, column += step)
        *x++ = table[inside && column >= 0 && column < shape.width ? line[column] : 0];
    }
  }
}

/* Puts the device's samples in the order of an epoch, which depends on the seed, the device and the epoch alone. */
static void arrange_epoch(const pp_partition *partition, int device, int64_t epoch) {
  if (partition->epoch[device] == epoch)
    return;
  const int64_t first = partition->offset[device];
  const int64_t count = partition->offset[device + 1] - first;
  int32_t *order = partition->order + first;
  memcpy(order, partition->samples + first, (size_t)count * sizeof *order);
  pp_shuffle(pp_rng_stream(partition->seed, PP_RNG_SHUFFLE, (uint32_t)device, (uint32_t)epoch, 0), 0, order, count);
  partition->epoch[device] = epoch;
}

int pp_batch_size(const pp_partition *partition, const pp_config *config, int device, int64_t iteration) {
  const int64_t samples = pp_partition_samples(partition, device);
  const int64_t batch = config->training.batch_size;
  const int64_t iterations = (samples + batch - 1) / batch;
  const int64_t left = samples - iteration % iterations * batch;
  return (int)(left < batch ? left : batch);
}

pp_status pp_batch_fill(const pp_dataset *dataset, const pp_partition *partition, const pp_config *config, int device,
                        int64_t iteration, int first, int count, float *x, int32_t *labels) {
  PP_ASSERT(device >= 0 && device < partition->device_count && iteration >= 0);
  PP_ASSERT(first >= 0 && count >= 0 && first + count <= pp_batch_size(partition, config, device, iteration));
  const int64_t batch = config->training.batch_size;
  const int64_t iterations = (pp_partition_samples(partition, device) + batch - 1) / batch;
  if (partition->shuffle)
    arrange_epoch(partition, device, iteration / iterations);
  const int32_t *own = (partition->shuffle ? partition->order : partition->samples) + partition->offset[device];
  const int32_t *wanted = own + iteration % iterations * batch + first;
  /* These samples and as many again are wanted soon, as far as the epoch goes. */
  const int64_t soon = partition->offset[device + 1] - partition->offset[device] - (wanted - own);
  for (int64_t place = 0; place < 2 * (int64_t)count && place < soon && dataset->maker.ahead != NULL; place++)
    dataset->maker.ahead(dataset->maker.state, PP_SUBSET_TRAIN, wanted[place]);
  const pp_rng rng = pp_rng_stream(partition->seed, PP_RNG_AUGMENT, (uint32_t)device, (uint32_t)iteration, 0);
  for (int place = 0; place < count; place++) {
    const uint8_t *pixels = NULL;
    PP_TRY(pp_sample_pixels(dataset, PP_SUBSET_TRAIN, wanted[place], &pixels));
    pp_augmentation change = config->dataset.augment ? draw(rng, (uint64_t)(first + place)) : unchanged;
    normalize(dataset, pixels, change, x + place * dataset->image_bytes);
    labels[place] = dataset->subsets[PP_SUBSET_TRAIN].labels[wanted[place]];
  }
  return NULL;
}

pp_status pp_dataset_test_fill(const pp_dataset *dataset, int64_t first, int count, float *x, int32_t *labels) {
  const pp_samples *samples = &dataset->subsets[PP_SUBSET_TEST];
  PP_ASSERT(first >= 0 && count >= 0 && first + count <= samples->count);
  for (int64_t sample = first; sample < first + 2 * (int64_t)count && sample < samples->count; sample++)
    if (dataset->maker.ahead != NULL)
      dataset->maker.ahead(dataset->maker.state, PP_SUBSET_TEST, sample);
  for (int place = 0; place < count; place++) {
    const uint8_t *pixels = NULL;
    PP_TRY(pp_sample_pixels(dataset, PP_SUBSET_TEST, first + place, &pixels));
    normalize(dataset, pixels, unchanged, x + place * dataset->image_bytes);
    labels[place] = samples->labels[first + place];
  }
  return NULL;
}
