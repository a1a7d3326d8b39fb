#include "data/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/ahead.h"
#include "data/jpeg.h"

/* Images decoded ahead, and two decoders. */
#define WORKING_BYTES_IMAGENET (PP_AHEAD_IMAGES * PP_JPEG_BYTES + 2 * PP_JPEG_WORKING_BYTES)
enum { NAME_BYTES = 56 }; /* of a file that is opened when used: pointer, name, allocation */

static const pp_source sources[] = {
    {.name = "fashion-mnist",
     .info = {{1, 28, 28}, 10},
     .mean = {0.2860F},
     .deviation = {0.3530F},
     .package_directory = "/usr/share/datasets/fashion-mnist",
     .advice = "install Debian's dataset-fashion-mnist",
     .load = pp_idx_load},
    {.name = "mnist",
     .info = {{1, 28, 28}, 10},
     .mean = {0.1307F},
     .deviation = {0.3081F},
     .advice = "fetch its four files, train-images-idx3-ubyte.gz and so on",
     .load = pp_idx_load},
    {.name = "cifar-10",
     .info = {{3, 32, 32}, 10},
     .mean = {0.4914F, 0.4822F, 0.4465F},
     .deviation = {0.2470F, 0.2435F, 0.2616F},
     .advice = "fetch its binary version, cifar-10-binary.tar.gz",
     .load = pp_cifar_load},
    {.name = "cifar-100",
     .info = {{3, 32, 32}, 100},
     .mean = {0.5071F, 0.4865F, 0.4409F},
     .deviation = {0.2673F, 0.2564F, 0.2762F},
     .advice = "fetch its binary version, cifar-100-binary.tar.gz",
     .load = pp_cifar_load},
    {.name = "svhn",
     .info = {{3, 32, 32}, 10},
     .mean = {0.4377F, 0.4438F, 0.4728F},
     .deviation = {0.1980F, 0.2010F, 0.1970F},
     .advice = "fetch its cropped digits, train_32x32.mat and test_32x32.mat",
#ifdef PP_WITH_MATIO
     .load = pp_svhn_load},
#else
     .missing_library = "libmatio (Debian: libmatio-dev, then meson configure -Dsvhn=enabled and build again)"},
#endif
    {.name = "imagenet",
     .info = {{3, 224, 224}, 1000},
     .mean = {0.485F, 0.456F, 0.406F},
     .deviation = {0.229F, 0.224F, 0.225F},
     .advice = "fetch it from its owners; it is not freely distributed: train/CLASS/*.JPEG, val/CLASS/*.JPEG",
     .working_bytes = WORKING_BYTES_IMAGENET,
#ifdef PP_WITH_TURBOJPEG
     .load = pp_imagenet_load},
#else
     .missing_library = "libturbojpeg (Debian: libturbojpeg0-dev, then meson configure -Dimagenet=enabled and build "
                        "again)"},
#endif
    {.name = "synthetic", .mean = {0.5F}, .deviation = {0.25F}, .load = pp_synthetic_load},
};
enum { SOURCE_COUNT = sizeof sources / sizeof sources[0] };

static pp_status find_source(const char *name, const pp_source **out) {
  char known[256] = "";
  for (int source = 0; source < SOURCE_COUNT; source++) {
    if (strcmp(sources[source].name, name) == 0) {
      *out = &sources[source];
      return NULL;
    }
    size_t length = strlen(known);
    snprintf(known + length, sizeof known - length, "%s%s", source > 0 ? ", " : "", sources[source].name);
  }
  return pp_fail(PP_CODE_INPUT, "dataset.name: '%s' is not a data set; allowed are %s", name, known);
}

/* Values of an image up to which every product of sizes fits its type. */
enum { MOST_ELEMENTS = 1 << 28 };

static pp_status describe_synthetic(const pp_dataset_config *config, pp_dataset_info *out) {
  int64_t elements = 1;
  for (int axis = 0; axis < 3; axis++) {
    if (config->shape[axis] < 1 || config->shape[axis] > MOST_ELEMENTS / elements)
      return pp_fail(PP_CODE_INPUT,
                     "dataset.shape: [%d, %d, %d]; allowed are positive sizes of at most %d values in all",
                     config->shape[0], config->shape[1], config->shape[2], MOST_ELEMENTS);
    elements *= config->shape[axis];
  }
  if (config->classes < 2)
    return pp_fail(PP_CODE_INPUT, "dataset.classes: %d; at least 2 are needed", config->classes);
  *out = (pp_dataset_info){{config->shape[0], config->shape[1], config->shape[2]}, config->classes};
  return NULL;
}

static pp_status describe(const pp_dataset_config *config, const pp_source **source, pp_dataset_info *out) {
  PP_TRY(find_source(config->name, source));
  pp_dataset_info info = (*source)->info;
  if (info.classes == 0)
    PP_TRY(describe_synthetic(config, &info));
  if (config->normalize_channels != 0 && config->normalize_channels != info.shape.channels)
    return pp_fail(PP_CODE_INPUT, "dataset.normalize: %d values for the %d channels of %s", config->normalize_channels,
                   info.shape.channels, config->name);
  for (int channel = 0; channel < config->normalize_channels; channel++)
    if (!(config->deviation[channel] > 0))
      return pp_fail(PP_CODE_INPUT, "dataset.normalize.std: %g for channel %d; it must be positive",
                     (double)config->deviation[channel], channel);
  *out = info;
  return NULL;
}

pp_status pp_dataset_describe(const pp_dataset_config *config, pp_dataset_info *out) {
  const pp_source *source = NULL;
  return describe(config, &source, out);
}

int64_t pp_subset_wanted(const pp_dataset_config *config, pp_subset subset) {
  return subset == PP_SUBSET_TRAIN ? config->train_samples : config->test_samples;
}

const char *pp_subset_key(pp_subset subset) {
  return subset == PP_SUBSET_TRAIN ? "dataset.train_samples" : "dataset.test_samples";
}

pp_status pp_subset_check(const pp_dataset_config *config, pp_subset subset, int64_t held, const char *holder) {
  int64_t wanted = pp_subset_wanted(config, subset);
  if (wanted > held)
    return pp_fail(PP_CODE_INPUT, "%s: %lld are wanted, %s holds %lld", pp_subset_key(subset), (long long)wanted,
                   holder, (long long)held);
  return NULL;
}

pp_status pp_samples_create(pp_dataset *dataset, pp_subset subset, int64_t count) {
  pp_samples *samples = &dataset->subsets[subset];
  PP_TRY(pp_alloc((size_t)count, sizeof *samples->labels, "labels", &samples->labels));
  if (dataset->image_bytes <= PP_HELD_IMAGE_BYTES)
    PP_TRY(pp_alloc((size_t)count, (size_t)dataset->image_bytes, "images", &samples->pixels));
  samples->count = count;
  return NULL;
}

pp_status pp_sample_pixels(const pp_dataset *dataset, pp_subset subset, int64_t sample, const uint8_t **pixels) {
  const pp_samples *samples = &dataset->subsets[subset];
  if (samples->pixels != NULL) {
    *pixels = samples->pixels + sample * dataset->image_bytes;
    return NULL;
  }
  PP_TRY(dataset->maker.image(dataset->maker.state, subset, sample, dataset->image));
  *pixels = dataset->image;
  return NULL;
}

/* What each pixel value becomes, per channel; in float, so that it gives PyTorch's ToTensor and Normalize to the bit.
 */
static pp_status create_normalize(const pp_dataset_config *config, pp_dataset *dataset) {
  const int channels = dataset->info.shape.channels;
  const bool given = config->normalize_channels != 0;
  const bool shared = dataset->source->info.classes == 0; /* one mean for any number of channels */
  PP_TRY(pp_alloc((size_t)channels * 256, sizeof *dataset->normalize, "normalisation", &dataset->normalize));
  for (int channel = 0; channel < channels; channel++) {
    int own = shared ? 0 : channel;
    float mean = given ? config->mean[channel] : dataset->source->mean[own];
    float deviation = given ? config->deviation[channel] : dataset->source->deviation[own];
    for (int value = 0; value < 256; value++)
      dataset->normalize[channel * 256 + value] = ((float)value / 255.0F - mean) / deviation;
  }
  return NULL;
}

pp_status pp_dataset_load(const pp_dataset_config *config, uint64_t seed, pp_dataset **out) {
  const pp_source *source = NULL;
  pp_dataset_info info;
  PP_TRY(describe(config, &source, &info));
  if (source->missing_library != NULL)
    return pp_fail(PP_CODE_INPUT, "dataset.name: %s: this program was built without %s", config->name,
                   source->missing_library);
  for (int subset = 0; subset < PP_SUBSET_COUNT; subset++) {
    int64_t wanted = pp_subset_wanted(config, (pp_subset)subset);
    if (wanted < 0 || wanted > INT32_MAX)
      return pp_fail(PP_CODE_INPUT, "%s: %lld; allowed are 0 to %d", pp_subset_key((pp_subset)subset),
                     (long long)wanted, INT32_MAX);
  }
  pp_dataset *dataset = NULL;
  PP_TRY(pp_alloc(1, sizeof *dataset, "the data set", &dataset));
  dataset->source = source;
  dataset->info = info;
  dataset->image_bytes = pp_shape_elements(info.shape);
  pp_status status = NULL;
  PP_TRY_GOTO(status, create_normalize(config, dataset), fail);
  if (dataset->image_bytes > PP_HELD_IMAGE_BYTES)
    PP_TRY_GOTO(status, pp_alloc(1, (size_t)dataset->image_bytes, "an image", &dataset->image), fail);
  PP_TRY_GOTO(status, source->load(config, seed, dataset), fail);
  *out = dataset;
  return NULL;
fail:
  pp_dataset_destroy(dataset);
  return status;
}

void pp_dataset_destroy(pp_dataset *dataset) {
  if (dataset == NULL)
    return;
  if (dataset->maker.destroy != NULL)
    dataset->maker.destroy(dataset->maker.state);
  for (int subset = 0; subset < PP_SUBSET_COUNT; subset++) {
    free(dataset->subsets[subset].labels);
    free(dataset->subsets[subset].pixels);
  }
  free(dataset->image);
  free(dataset->normalize);
  free(dataset);
}

int64_t pp_dataset_memory(const pp_dataset_config *config) {
  const pp_source *source = NULL;
  pp_dataset_info info;
  pp_status status = describe(config, &source, &info);
  if (status != NULL) {
    pp_error_free(status);
    return 0;
  }
  const int64_t image_bytes = pp_shape_elements(info.shape);
  const int64_t per_sample = (int64_t)sizeof(int32_t) + (image_bytes <= PP_HELD_IMAGE_BYTES ? image_bytes : 0) +
                             (source->working_bytes > 0 ? NAME_BYTES : 0);
  return (int64_t)sizeof(pp_dataset) + info.shape.channels * 256 * (int64_t)sizeof(float) + image_bytes +
         source->working_bytes + (config->train_samples + config->test_samples) * per_sample;
}

int64_t pp_dataset_test_count(const pp_dataset *dataset) { return dataset->subsets[PP_SUBSET_TEST].count; }
