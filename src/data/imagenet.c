/* ImageNet as directories of JPEG files by class: train/CLASS/ and val/CLASS/. The files are listed when the data set
 * is loaded and decoded when used, by a thread that keeps ahead. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "data/ahead.h"
#include "data/input.h"
#include "data/jpeg.h"

static const char *const subset_directories[PP_SUBSET_COUNT] = {"train", "val"};

/* Names in the order of their bytes, each from malloc. */
typedef struct pp_names {
  int64_t count;
  char **names; /* (count) */
} pp_names;

typedef struct pp_imagenet {
  char directory[PATH_MAX];
  const pp_dataset *dataset;
  pp_names classes;                 /* a label is a place in it */
  char **files[PP_SUBSET_COUNT];    /* (samples of the subset): names inside the class's directory */
  pp_jpeg *decoder, *ahead_decoder; /* of the caller, of the thread */
  pp_ahead *ahead;
} pp_imagenet;

static void names_fini(pp_names *of) {
  for (int64_t name = 0; name < of->count; name++)
    free(of->names[name]);
  free(of->names);
  *of = (pp_names){0, NULL};
}

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool is_image(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot != NULL && name[0] != '.' && (strcasecmp(dot, ".jpeg") == 0 || strcasecmp(dot, ".jpg") == 0);
}

/* The images in a directory, or the directories in it. */
static pp_status list(const char *directory, bool images, pp_names *out) {
  *out = (pp_names){0, NULL};
  DIR *entries = opendir(directory);
  if (entries == NULL)
    return pp_fail(PP_CODE_INPUT, "%s: %s", directory, strerror(errno));
  pp_status status = NULL;
  int64_t room = 0;
  for (struct dirent *entry; status == NULL && (entry = readdir(entries)) != NULL;) {
    char path[PATH_MAX];
    if (entry->d_name[0] == '.' || (images && !is_image(entry->d_name)))
      continue;
    if (!images) {
      PP_TRY_GOTO(status, pp_input_join(directory, entry->d_name, path), done);
      if (!pp_input_is_directory(path))
        continue;
    }
    if (out->count == room) {
      room = room == 0 ? 64 : 2 * room;
      char **names = realloc(out->names, (size_t)room * sizeof *names);
      if (names == NULL) {
        status = pp_fail_memory("names of images", (unsigned long long)room * sizeof *names);
        break;
      }
      out->names = names;
    }
    char *name = strdup(entry->d_name);
    if (name == NULL)
      status = pp_fail_memory("names of images", strlen(entry->d_name));
    else
      out->names[out->count++] = name;
  }
done:
  (void)closedir(entries);
  if (status != NULL)
    names_fini(out);
  else if (out->count > 0)
    qsort(out->names, (size_t)out->count, sizeof *out->names, compare);
  return status;
}

/* Takes the first of every class, then the second of every class, and so on: so the first samples are of all classes.
 * The names taken go over to the data set. */
static pp_status take_samples(pp_imagenet *imagenet, pp_subset subset, int64_t wanted, pp_names *files,
                              pp_dataset *dataset) {
  PP_TRY(pp_samples_create(dataset, subset, wanted));
  PP_TRY(pp_alloc((size_t)wanted, sizeof *imagenet->files[subset], "names of images", &imagenet->files[subset]));
  int64_t sample = 0;
  for (int64_t turn = 0; sample < wanted; turn++) {
    for (int64_t label = 0; label < imagenet->classes.count && sample < wanted; label++) {
      if (turn >= files[label].count)
        continue;
      dataset->subsets[subset].labels[sample] = (int32_t)label;
      imagenet->files[subset][sample++] = files[label].names[turn];
      files[label].names[turn] = NULL;
    }
  }
  return NULL;
}

/* files: (classes), empty; the caller frees them. */
static pp_status list_subset(const pp_dataset_config *config, pp_imagenet *imagenet, pp_subset subset, pp_names *files,
                             pp_dataset *dataset) {
  char directory[PATH_MAX], path[PATH_MAX];
  PP_TRY(pp_input_join(imagenet->directory, subset_directories[subset], directory));
  int64_t held = 0;
  for (int64_t label = 0; label < imagenet->classes.count; label++) {
    PP_TRY(pp_input_join(directory, imagenet->classes.names[label], path));
    PP_TRY(list(path, true, &files[label]));
    if (files[label].count == 0)
      return pp_fail(PP_CODE_INPUT, "%s: a class without images (*.JPEG, *.jpg)", path);
    held += files[label].count;
  }
  PP_TRY(pp_subset_check(config, subset, held, directory));
  return take_samples(imagenet, subset, pp_subset_wanted(config, subset), files, dataset);
}

/* The classes are the directories of the training set; the test set has the same. */
static pp_status list_classes(const pp_dataset_config *config, pp_imagenet *imagenet, const pp_dataset *dataset) {
  char directory[PATH_MAX];
  PP_TRY(pp_input_join(imagenet->directory, subset_directories[PP_SUBSET_TRAIN], directory));
  PP_TRY(list(directory, false, &imagenet->classes));
  const int64_t count = imagenet->classes.count;
  if (count < 1 || count > dataset->info.classes)
    return pp_fail(PP_CODE_INPUT, "%s: %lld directories of classes; allowed are 1 to %d", directory, (long long)count,
                   dataset->info.classes);
  if (pp_subset_wanted(config, PP_SUBSET_TEST) == 0)
    return NULL;
  PP_TRY(pp_input_join(imagenet->directory, subset_directories[PP_SUBSET_TEST], directory));
  pp_names classes;
  PP_TRY(list(directory, false, &classes));
  bool same = classes.count == count;
  for (int64_t label = 0; label < count && same; label++)
    same = strcmp(classes.names[label], imagenet->classes.names[label]) == 0;
  const int64_t test_count = classes.count;
  names_fini(&classes);
  if (!same)
    return pp_fail(PP_CODE_INPUT,
                   "%s: its %lld directories of classes are not those of the training images (%lld, the first %s)",
                   directory, (long long)test_count, (long long)count, imagenet->classes.names[0]);
  return NULL;
}

static pp_status decode(const pp_imagenet *imagenet, pp_jpeg *decoder, int64_t key, uint8_t *pixels) {
  const pp_subset subset = (pp_subset)(key & 1);
  const int64_t sample = key >> 1;
  const char *class_name = imagenet->classes.names[imagenet->dataset->subsets[subset].labels[sample]];
  char path[PATH_MAX];
  int length = snprintf(path, sizeof path, "%s/%s/%s/%s", imagenet->directory, subset_directories[subset], class_name,
                        imagenet->files[subset][sample]);
  if (length < 0 || length >= (int)sizeof path)
    return pp_fail(PP_CODE_INPUT, "%.200s...: path longer than %d bytes", path, PATH_MAX - 1);
  return pp_jpeg_read(decoder, path, pixels);
}

static int64_t key_of(pp_subset subset, int64_t sample) { return sample << 1 | (int64_t)subset; }

static pp_status make_ahead(void *context, int64_t key, uint8_t *pixels) {
  const pp_imagenet *imagenet = context;
  return decode(imagenet, imagenet->ahead_decoder, key, pixels);
}

static pp_status make_image(void *state, pp_subset subset, int64_t sample, uint8_t *pixels) {
  const pp_imagenet *imagenet = state;
  const int64_t key = key_of(subset, sample);
  return pp_ahead_take(imagenet->ahead, key, pixels) ? NULL : decode(imagenet, imagenet->decoder, key, pixels);
}

static void ask_ahead(void *state, pp_subset subset, int64_t sample) {
  const pp_imagenet *imagenet = state;
  pp_ahead_ask(imagenet->ahead, key_of(subset, sample));
}

static void destroy(void *state) {
  pp_imagenet *imagenet = state;
  pp_ahead_destroy(imagenet->ahead);
  pp_jpeg_destroy(imagenet->decoder);
  pp_jpeg_destroy(imagenet->ahead_decoder);
  for (int subset = 0; subset < PP_SUBSET_COUNT; subset++) {
    for (int64_t sample = 0; imagenet->files[subset] != NULL && sample < imagenet->dataset->subsets[subset].count;
         sample++)
      free(imagenet->files[subset][sample]);
    free(imagenet->files[subset]);
  }
  names_fini(&imagenet->classes);
  free(imagenet);
}

pp_status pp_imagenet_load(const pp_dataset_config *config, uint64_t seed, pp_dataset *dataset) {
  (void)seed;
  pp_imagenet *imagenet = NULL;
  PP_TRY(pp_alloc(1, sizeof *imagenet, "the list of images", &imagenet));
  imagenet->dataset = dataset;
  dataset->maker = (pp_maker){imagenet, make_image, ask_ahead, destroy}; /* destroys it in any case */
  PP_TRY(pp_input_directory(dataset->source, config->path, imagenet->directory));
  PP_TRY(list_classes(config, imagenet, dataset));
  for (int subset = 0; subset < PP_SUBSET_COUNT; subset++) {
    if (pp_subset_wanted(config, (pp_subset)subset) == 0)
      continue;
    pp_names *files = NULL; /* (classes) */
    PP_TRY(pp_alloc((size_t)imagenet->classes.count, sizeof *files, "the list of images", &files));
    pp_status status = list_subset(config, imagenet, (pp_subset)subset, files, dataset);
    for (int64_t label = 0; label < imagenet->classes.count; label++)
      names_fini(&files[label]);
    free(files);
    PP_TRY(status);
  }
  PP_TRY(pp_jpeg_create(&imagenet->decoder));
  PP_TRY(pp_jpeg_create(&imagenet->ahead_decoder));
  return pp_ahead_create(make_ahead, imagenet, PP_JPEG_BYTES, &imagenet->ahead);
}
