#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/source.h"

pp_status pp_partition_shares(const pp_config *config, int64_t *samples) {
  const int64_t total = config->dataset.train_samples;
  int64_t left = total; /* by groups with a number of their own */
  int64_t sharers = 0;  /* devices that share what is left */
  int64_t devices = 0;
  for (int group = 0; group < config->group_count; group++) {
    const pp_device_group *g = &config->groups[group];
    devices += g->count;
    if (g->samples < 0) {
      sharers += g->count;
      continue;
    }
    if (g->samples == 0)
      return pp_fail(PP_CODE_INPUT, "devices.%d.samples is 0: every device needs at least one training sample", group);
    int64_t wanted = 0;
    if (__builtin_mul_overflow(g->samples, (int64_t)g->count, &wanted) || wanted > left)
      return pp_fail(PP_CODE_INPUT,
                     "devices.%d.samples: %d devices with %lld samples each want more than the %lld of "
                     "dataset.train_samples (%lld) that the groups before leave",
                     group, g->count, (long long)g->samples, (long long)left, (long long)total);
    left -= wanted;
  }
  if (sharers > left)
    return pp_fail(PP_CODE_INPUT,
                   "dataset.train_samples: %lld training samples leave %lld for the %lld devices (of %lld) without "
                   "`samples` of their own; every device needs at least one",
                   (long long)total, (long long)left, (long long)sharers, (long long)devices);
  int64_t larger = sharers == 0 ? 0 : left % sharers; /* this many sharers get one more */
  int64_t share = sharers == 0 ? 0 : left / sharers;
  int64_t device = 0;
  for (int group = 0; group < config->group_count; group++) {
    const pp_device_group *g = &config->groups[group];
    for (int member = 0; member < g->count; member++)
      samples[device++] = g->samples >= 0 ? g->samples : share + (larger-- > 0 ? 1 : 0);
  }
  return NULL;
}

void pp_shuffle(pp_rng rng, uint64_t major, int32_t *values, int64_t count) {
  for (int64_t last = count - 1; last > 0; last--) {
    int64_t other = (int64_t)pp_rng_below(rng, major, (uint64_t)last, (uint64_t)last + 1);
    int32_t moved = values[last];
    values[last] = values[other];
    values[other] = moved;
  }
}

/* Device k gets the k-th contiguous share of the training set, or of a random order of it. */
static pp_status assign_iid(const pp_config *config, int64_t train_count, pp_partition *partition) {
  int32_t *all = NULL; /* (train_count) */
  PP_TRY(pp_alloc((size_t)train_count, sizeof *all, "the order of the training samples", &all));
  for (int64_t sample = 0; sample < train_count; sample++)
    all[sample] = (int32_t)sample;
  if (config->dataset.shuffle)
    pp_shuffle(pp_rng_stream(config->seed, PP_RNG_PARTITION, 0, 0, PP_STREAM_ASSIGN), 0, all, train_count);
  memcpy(partition->samples, all, (size_t)partition->offset[partition->device_count] * sizeof *all);
  free(all);
  return NULL;
}

static pp_status fill_partition(const pp_config *config, const pp_dataset *dataset, pp_partition *partition) {
  const int devices = partition->device_count;
  const int64_t train_count = dataset->subsets[PP_SUBSET_TRAIN].count;
  PP_ASSERT(train_count == config->dataset.train_samples);
  PP_TRY(pp_alloc((size_t)devices + 1, sizeof *partition->offset, "the partition", &partition->offset));
  PP_TRY(pp_alloc((size_t)devices, sizeof *partition->epoch, "the partition", &partition->epoch));
  PP_TRY(pp_partition_shares(config, partition->offset + 1));
  for (int device = 0; device < devices; device++) {
    partition->offset[device + 1] += partition->offset[device];
    partition->epoch[device] = -1;
  }
  const size_t total = (size_t)partition->offset[devices];
  PP_TRY(pp_alloc(total, sizeof *partition->samples, "the partition", &partition->samples));
  if (partition->shuffle)
    PP_TRY(pp_alloc(total, sizeof *partition->order, "the order of an epoch", &partition->order));
  if (config->dataset.partition == PP_PARTITION_DIRICHLET)
    return pp_partition_assign_dirichlet(config, dataset, partition);
  return assign_iid(config, train_count, partition);
}

pp_status pp_partition_create(const pp_config *config, const pp_dataset *dataset, pp_partition **out) {
  pp_partition *partition = NULL;
  PP_TRY(pp_alloc(1, sizeof *partition, "the partition", &partition));
  for (int group = 0; group < config->group_count; group++)
    partition->device_count += config->groups[group].count;
  partition->seed = config->seed;
  partition->shuffle = config->dataset.shuffle;
  pp_status status = fill_partition(config, dataset, partition);
  if (status != NULL) {
    pp_partition_destroy(partition);
    return status;
  }
  *out = partition;
  return NULL;
}

void pp_partition_destroy(pp_partition *partition) {
  if (partition == NULL)
    return;
  free(partition->offset);
  free(partition->samples);
  free(partition->order);
  free(partition->epoch);
  free(partition);
}

int64_t pp_partition_samples(const pp_partition *partition, int device) {
  PP_ASSERT(device >= 0 && device < partition->device_count);
  return partition->offset[device + 1] - partition->offset[device];
}
