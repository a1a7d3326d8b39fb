/* Label skew among devices (after Hsu, Qi and Brown, arXiv 1909.06335, section 3): each device draws how it mixes the
 * classes from a Dirichlet distribution, then its samples by that mix, as long as a class has some. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "data/source.h"

/* The logarithm of a gamma variate of this shape (Marsaglia and Tsang, ACM TOMS 26(3), 2000): small shapes give
 * variates below the smallest double. Draws (major, 0), (major, 1), ... */
static double log_gamma_variate(pp_rng rng, uint64_t major, double shape) {
  double boost = 0;
  uint64_t minor = 0;
  if (shape < 1) {
    boost = log1p(-pp_rng_uniform(rng, major, minor++)) / shape;
    shape += 1;
  }
  const double d = shape - 1.0 / 3.0, c = 1 / sqrt(9 * d);
  for (;; minor += 2) {
    double normal = pp_rng_normal(rng, major, minor);
    double root = 1 + c * normal;
    if (root <= 0)
      continue;
    double log_cube = 3 * log(root);
    double log_uniform = log1p(-pp_rng_uniform(rng, major, minor + 1));
    if (log_uniform < 0.5 * normal * normal + d - d * exp(log_cube) + d * log_cube)
      return boost + log(d) + log_cube;
  }
}

/* The training samples, class by class. */
typedef struct pp_classes {
  int count;
  int64_t *first; /* (count + 1): of each class in `samples` */
  int64_t *taken; /* (count): how many of its samples are given away */
  int32_t *samples;
} pp_classes;

static void classes_fini(pp_classes *classes) {
  free(classes->first);
  free(classes->taken);
  free(classes->samples);
}

static pp_status classes_init(const pp_config *config, const pp_dataset *dataset, pp_classes *classes) {
  const pp_samples *train = &dataset->subsets[PP_SUBSET_TRAIN];
  const int count = dataset->info.classes;
  *classes = (pp_classes){.count = count};
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc((size_t)count + 1, sizeof *classes->first, "classes", &classes->first), fail);
  PP_TRY_GOTO(status, pp_alloc((size_t)count, sizeof *classes->taken, "classes", &classes->taken), fail);
  PP_TRY_GOTO(status, pp_alloc((size_t)train->count, sizeof *classes->samples, "classes", &classes->samples), fail);
  for (int64_t sample = 0; sample < train->count; sample++)
    classes->first[train->labels[sample] + 1]++;
  for (int label = 0; label < count; label++)
    classes->first[label + 1] += classes->first[label];
  for (int64_t sample = 0; sample < train->count; sample++) {
    int32_t label = train->labels[sample];
    classes->samples[classes->first[label] + classes->taken[label]++] = (int32_t)sample;
  }
  const pp_rng rng = pp_rng_stream(config->seed, PP_RNG_PARTITION, 0, 0, PP_STREAM_ASSIGN);
  for (int label = 0; label < count; label++) {
    classes->taken[label] = 0;
    if (config->dataset.shuffle)
      pp_shuffle(rng, (uint64_t)label, classes->samples + classes->first[label],
                 classes->first[label + 1] - classes->first[label]);
  }
  return NULL;
fail:
  classes_fini(classes);
  return status;
}

/* A device's mix of the classes: mix (classes), the largest 1. The distribution's mean is the whole training set's mix,
 * and its parameters' mean over the classes there are is alpha. */
static void draw_mix(const pp_config *config, const pp_classes *classes, int device, double *mix) {
  const pp_rng rng = pp_rng_stream(config->seed, PP_RNG_PARTITION, (uint32_t)device, 0, PP_STREAM_MIX);
  int present = 0;
  for (int label = 0; label < classes->count; label++)
    present += classes->first[label + 1] > classes->first[label];
  double largest = -INFINITY;
  for (int label = 0; label < classes->count; label++) {
    int64_t size = classes->first[label + 1] - classes->first[label];
    double frequency = (double)size / (double)classes->first[classes->count];
    mix[label] =
        size == 0 ? -INFINITY : log_gamma_variate(rng, (uint64_t)label, config->dataset.alpha * present * frequency);
    largest = fmax(largest, mix[label]);
  }
  for (int label = 0; label < classes->count; label++)
    mix[label] = exp(mix[label] - largest);
}

/* Picks a class that still has samples, by the mix; where the mix has none of them, by how many are left. */
static int pick_class(const pp_classes *classes, const double *mix, double uniform) {
  double mixed = 0, left = 0;
  for (int label = 0; label < classes->count; label++) {
    int64_t rest = classes->first[label + 1] - classes->first[label] - classes->taken[label];
    left += (double)rest;
    mixed += rest > 0 ? mix[label] : 0;
  }
  double place = uniform * (mixed > 0 ? mixed : left);
  int last = -1; /* that can be picked: rounding may leave `place` beyond all */
  for (int label = 0; label < classes->count; label++) {
    int64_t rest = classes->first[label + 1] - classes->first[label] - classes->taken[label];
    double weight = mixed > 0 ? (rest > 0 ? mix[label] : 0) : (double)rest;
    if (weight <= 0)
      continue;
    last = label;
    if (place < weight)
      break;
    place -= weight;
  }
  return last;
}

static int compare(const void *a, const void *b) {
  int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
  return (left > right) - (left < right);
}

/* Devices take one sample each in turn, so that what is left over at the end is not the last device's alone. */
static void deal(const pp_config *config, pp_classes *classes, const double *mixes, pp_partition *partition) {
  int64_t most = 0;
  for (int device = 0; device < partition->device_count; device++)
    if (pp_partition_samples(partition, device) > most)
      most = pp_partition_samples(partition, device);
  for (int64_t turn = 0; turn < most; turn++) {
    for (int device = 0; device < partition->device_count; device++) {
      if (turn >= pp_partition_samples(partition, device))
        continue;
      pp_rng rng = pp_rng_stream(config->seed, PP_RNG_PARTITION, (uint32_t)device, 0, PP_STREAM_DRAW);
      int label = pick_class(classes, mixes + (int64_t)device * classes->count, pp_rng_uniform(rng, 0, (uint64_t)turn));
      PP_ASSERT(label >= 0);
      partition->samples[partition->offset[device] + turn] =
          classes->samples[classes->first[label] + classes->taken[label]++];
    }
  }
}

pp_status pp_partition_assign_dirichlet(const pp_config *config, const pp_dataset *dataset, pp_partition *partition) {
  if (!(config->dataset.alpha > 0) || !isfinite(config->dataset.alpha))
    return pp_fail(PP_CODE_INPUT, "dataset.alpha: %g; it must be positive", config->dataset.alpha);
  pp_classes classes;
  PP_TRY(classes_init(config, dataset, &classes));
  double *mixes = NULL; /* (devices, classes) */
  pp_status status = pp_alloc((size_t)partition->device_count * (size_t)classes.count, sizeof *mixes,
                              "the devices' mixes of classes", &mixes);
  if (status == NULL) {
    for (int device = 0; device < partition->device_count; device++)
      draw_mix(config, &classes, device, mixes + (int64_t)device * classes.count);
    deal(config, &classes, mixes, partition);
    for (int device = 0; device < partition->device_count && !config->dataset.shuffle; device++)
      qsort(partition->samples + partition->offset[device], (size_t)pp_partition_samples(partition, device),
            sizeof *partition->samples, compare);
  }
  free(mixes);
  classes_fini(&classes);
  return status;
}
