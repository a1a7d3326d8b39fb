/* The synthetic data set: each class is a smooth pattern, given by random values on a coarse grid; a sample is its
 * class's pattern, a smooth pattern of its own of twice that strength, and noise. Integers only: the same bytes on
 * every machine. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/source.h"

enum {
  GRID = 5, /* values a side */
  NODES = GRID * GRID,
  FRACTION_BITS = 8,
};

/* Streams of the purpose: what the numbers are for. */
enum { STREAM_PATTERN = 0, STREAM_LABEL = 1, STREAM_OWN = 3, STREAM_NOISE = 5 }; /* + subset, but for the pattern */

typedef struct pp_synthetic {
  uint64_t seed;
  pp_shape shape;
  const pp_dataset *dataset; /* for the labels */
} pp_synthetic;

/* Where a pixel lies between grid values: the one before it and how far on, in 1/256. */
static void locate(int place, int length, int *node, int *fraction) {
  int position = length > 1 ? (int)((int64_t)place * ((GRID - 1) << FRACTION_BITS) / (length - 1)) : 0;
  *node = position >> FRACTION_BITS;
  *fraction = position & ((1 << FRACTION_BITS) - 1);
  if (*node == GRID - 1) {
    *node = GRID - 2;
    *fraction = 1 << FRACTION_BITS;
  }
}

static pp_status make_image(void *state, pp_subset subset, int64_t sample, uint8_t *pixels) {
  const pp_synthetic *synthetic = state;
  const pp_shape shape = synthetic->shape;
  const int32_t label = synthetic->dataset->subsets[subset].labels[sample];
  const pp_rng pattern = pp_rng_stream(synthetic->seed, PP_RNG_SYNTHETIC, 0, 0, STREAM_PATTERN);
  const pp_rng own = pp_rng_stream(synthetic->seed, PP_RNG_SYNTHETIC, 0, 0, STREAM_OWN + (uint32_t)subset);
  const pp_rng noise = pp_rng_stream(synthetic->seed, PP_RNG_SYNTHETIC, 0, 0, STREAM_NOISE + (uint32_t)subset);
  const int one = 1 << FRACTION_BITS;
  uint64_t element = 0; /* of the image */
  uint32_t words[4] = {0, 0, 0, 0};
  for (int channel = 0; channel < shape.channels; channel++) {
    int grid[NODES]; /* from 128 to 893: 512 is grey */
    for (int node = 0; node < NODES; node++) {
      uint64_t minor = (uint64_t)channel * NODES + (uint64_t)node;
      grid[node] = 128 + (int)(pp_rng_word(pattern, (uint64_t)label, minor) & 255) +
                   2 * (int)(pp_rng_word(own, (uint64_t)sample, minor) & 255);
    }
    for (int y = 0; y < shape.height; y++) {
      int node_y, part_y;
      locate(y, shape.height, &node_y, &part_y);
      int row[GRID]; /* the grid's values at this y, times 256 */
      for (int node = 0; node < GRID; node++)
        row[node] = grid[node_y * GRID + node] * (one - part_y) + grid[(node_y + 1) * GRID + node] * part_y;
      for (int x = 0; x < shape.width; x++, element++) {
        int node_x, part_x;
        locate(x, shape.width, &node_x, &part_x);
        int smooth = (row[node_x] * (one - part_x) + row[node_x + 1] * part_x) >> (2 * FRACTION_BITS + 2);
        if (element % 16 == 0)
          pp_rng_words(noise, (uint64_t)sample, element / 16, words);
        int rough = (int)(words[element % 16 / 4] >> (8 * (element % 4)) & 255) >> 2; /* 0..63 */
        *pixels++ = (uint8_t)(smooth + rough - 32);                                   /* smooth: 32..223 */
      }
    }
  }
  return NULL;
}

pp_status pp_synthetic_load(const pp_dataset_config *config, uint64_t seed, pp_dataset *dataset) {
  pp_synthetic *synthetic = NULL;
  PP_TRY(pp_alloc(1, sizeof *synthetic, "the synthetic data set", &synthetic));
  *synthetic = (pp_synthetic){.seed = seed, .shape = dataset->info.shape, .dataset = dataset};
  dataset->maker = (pp_maker){.state = synthetic, .image = make_image, .destroy = free};
  for (int subset = 0; subset < PP_SUBSET_COUNT; subset++) {
    pp_samples *samples = &dataset->subsets[subset];
    PP_TRY(pp_samples_create(dataset, (pp_subset)subset, pp_subset_wanted(config, (pp_subset)subset)));
    const pp_rng rng = pp_rng_stream(seed, PP_RNG_SYNTHETIC, 0, 0, STREAM_LABEL + (uint32_t)subset);
    for (int64_t sample = 0; sample < samples->count; sample++) {
      samples->labels[sample] = (int32_t)pp_rng_below(rng, (uint64_t)sample, 0, (uint64_t)dataset->info.classes);
      if (samples->pixels != NULL)
        PP_TRY(make_image(synthetic, (pp_subset)subset, sample, samples->pixels + sample * dataset->image_bytes));
    }
  }
  return NULL;
}
