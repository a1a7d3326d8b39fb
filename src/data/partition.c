#include "data/dataset.h"

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
