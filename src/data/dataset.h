/* Data sets in memory, their partition among devices, and mini-batches. */
#ifndef PP_DATA_DATASET_H
#define PP_DATA_DATASET_H

#include <stdint.h>

#include "pipar/config.h"
#include "pipar/nn.h"
#include "pipar/status.h"

typedef struct pp_dataset pp_dataset;

typedef struct pp_dataset_info {
  pp_shape shape;
  int classes;
} pp_dataset_info;

/* Shape and classes of the data set an experiment names, without touching its files (they are the same for every copy
 * of a data set). Errors: unknown or not built yet (PP_CODE_INPUT). */
PP_MUST_CHECK pp_status pp_dataset_describe(const pp_dataset_config *config, pp_dataset_info *out);

/* Local. Loads the first train_samples and test_samples. Errors (PP_CODE_INPUT) name the file: missing, truncated,
 * wrong magic, label out of range, more samples wanted than it holds. The caller destroys it. */
PP_MUST_CHECK pp_status pp_dataset_load(const pp_dataset_config *config, uint64_t seed, pp_dataset **out);
void pp_dataset_destroy(pp_dataset *dataset);
/* Bytes pp_dataset_load will hold. */
int64_t pp_dataset_memory(const pp_dataset_config *config);

/* Samples per device (device_count values): groups' own `samples`, the rest shared so that shares differ by at most
 * one, larger first. Errors (PP_CODE_INPUT): a device without a sample, more samples asked than there are. */
PP_MUST_CHECK pp_status pp_partition_shares(const pp_config *config, int64_t *samples);

/* Which samples of the training set each device has. */
typedef struct pp_partition pp_partition;
PP_MUST_CHECK pp_status pp_partition_create(const pp_config *config, const pp_dataset *dataset, pp_partition **out);
void pp_partition_destroy(pp_partition *partition);
int64_t pp_partition_samples(const pp_partition *partition, int device);

/* Training samples [first, first + count) of the device's mini-batch number `iteration` (over the whole run, epochs of
 * ceil(samples / batch_size) iterations), shuffled and augmented as configured. Allocates nothing (decoders' own
 * buffers aside, which grow with the largest image); one thread at a time may use a partition and its data set. x:
 * (count, C, H, W) normalised, labels: (count). Bits depend on nothing but the experiment. Errors (PP_CODE_INPUT) only
 * from data sets that are decoded when used: a broken image, by its name. */
PP_MUST_CHECK pp_status pp_batch_fill(const pp_dataset *dataset, const pp_partition *partition, const pp_config *config,
                                      int device, int64_t iteration, int first, int count, float *x, int32_t *labels);
/* Size of that mini-batch: batch_size, or less for a ragged last one. */
int pp_batch_size(const pp_partition *partition, const pp_config *config, int device, int64_t iteration);

/* Test samples [first, first + count), normalised. Errors as pp_batch_fill. */
int64_t pp_dataset_test_count(const pp_dataset *dataset);
PP_MUST_CHECK pp_status pp_dataset_test_fill(const pp_dataset *dataset, int64_t first, int count, float *x,
                                             int32_t *labels);

#endif
