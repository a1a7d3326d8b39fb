/* Private to data/: a data set in memory, and what a loader of one kind of files provides. */
#ifndef PP_DATA_SOURCE_H
#define PP_DATA_SOURCE_H

#include "base/rng.h"
#include "data/dataset.h"

/* Images larger than this are made when used, so that memory does not grow with their number. */
enum { PP_HELD_IMAGE_BYTES = 16 * 1024 };

typedef enum pp_subset { PP_SUBSET_TRAIN, PP_SUBSET_TEST } pp_subset;
enum { PP_SUBSET_COUNT = 2 };

typedef struct pp_samples {
  int64_t count;
  int32_t *labels; /* (count) */
  uint8_t *pixels; /* (count, C, H, W); NULL: images are made when used (PP_HELD_IMAGE_BYTES) */
} pp_samples;

/* Makes images when they are used, for data sets too large to hold. Used by one thread at a time. */
typedef struct pp_maker {
  void *state;
  /* pixels: (C, H, W) */
  pp_status (*image)(void *state, pp_subset subset, int64_t sample, uint8_t *pixels);
  /* Hint that the sample is wanted soon; may be NULL. */
  void (*ahead)(void *state, pp_subset subset, int64_t sample);
  void (*destroy)(void *state);
} pp_maker;

/* One data set that an experiment can name. */
typedef struct pp_source {
  const char *name;
  pp_dataset_info info;          /* `synthetic`: all 0, the experiment says */
  float mean[3], deviation[3];   /* of pixels in 0..1, per channel; `synthetic`: the first for every channel */
  const char *package_directory; /* where Debian's package puts its files; NULL: there is none */
  const char *advice;            /* what to install or to fetch when files are missing */
  const char *missing_library;   /* not NULL: built without it, with what to install and to configure */
  int64_t working_bytes;         /* that it holds beside its samples */
  /* Fills labels, and pixels or the maker, of the wanted numbers of samples of both subsets. */
  pp_status (*load)(const pp_dataset_config *config, uint64_t seed, pp_dataset *dataset);
} pp_source;

struct pp_dataset {
  const pp_source *source;
  pp_dataset_info info;
  int64_t image_bytes; /* of an image: its elements */
  pp_samples subsets[PP_SUBSET_COUNT];
  pp_maker maker;
  uint8_t *image;   /* (C, H, W): the one being made; NULL where all are held */
  float *normalize; /* (C, 256): what each pixel value becomes */
};

struct pp_partition {
  int device_count;
  uint64_t seed;
  bool shuffle;
  int64_t *offset;  /* (device_count + 1): of a device's first sample in the arrays below */
  int32_t *samples; /* (offset[device_count]): indices into the training set */
  int32_t *order;   /* as samples: each device's in the order of its current epoch; NULL without shuffling */
  int64_t *epoch;   /* (device_count): the epoch that `order` is of; -1: none yet */
};

/* How many samples the experiment wants of a subset, and the key that says so. */
int64_t pp_subset_wanted(const pp_dataset_config *config, pp_subset subset);
const char *pp_subset_key(pp_subset subset);

/* Room for the labels of `count` samples of the subset, and for their pixels where images are held. Check the count
 * against the file first. */
PP_MUST_CHECK pp_status pp_samples_create(pp_dataset *dataset, pp_subset subset, int64_t count);
/* The pixels of a sample: (C, H, W), valid until the next call. */
PP_MUST_CHECK pp_status pp_sample_pixels(const pp_dataset *dataset, pp_subset subset, int64_t sample,
                                         const uint8_t **pixels);
/* Error when fewer samples are there than wanted. `holder` names the file or directory. */
PP_MUST_CHECK pp_status pp_subset_check(const pp_dataset_config *config, pp_subset subset, int64_t held,
                                        const char *holder);

/* Streams of PP_RNG_PARTITION: what the numbers are for. */
enum { PP_STREAM_ASSIGN = 0, PP_STREAM_MIX = 1, PP_STREAM_DRAW = 2 };

/* Fisher-Yates with the draws (major, i) of the stream. */
void pp_shuffle(pp_rng rng, uint64_t major, int32_t *values, int64_t count);

/* Label skew at the shares of `partition->offset`: fills partition->samples. */
PP_MUST_CHECK pp_status pp_partition_assign_dirichlet(const pp_config *config, const pp_dataset *dataset,
                                                      pp_partition *partition);

pp_status pp_cifar_load(const pp_dataset_config *config, uint64_t seed, pp_dataset *dataset);
pp_status pp_imagenet_load(const pp_dataset_config *config, uint64_t seed, pp_dataset *dataset);
pp_status pp_idx_load(const pp_dataset_config *config, uint64_t seed, pp_dataset *dataset);
pp_status pp_svhn_load(const pp_dataset_config *config, uint64_t seed, pp_dataset *dataset);
pp_status pp_synthetic_load(const pp_dataset_config *config, uint64_t seed, pp_dataset *dataset);

#endif
