/* The binary version of CIFAR-10 and CIFAR-100: records of one or two label bytes and the 32x32 pixels of red, green
 * and blue, in files of their own or in the archive they come in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/input.h"
#include "data/tar.h"

enum { PIXELS = 3 * 32 * 32, MOST_LABELS = 2, MOST_RECORD = MOST_LABELS + PIXELS, MOST_PARTS = 6 };

typedef struct pp_cifar_layout {
  int classes;
  const char *directory, *archive; /* as distributed */
  int label_bytes;                 /* the last one is the class */
  int part_count;
  struct {
    const char *name;
    pp_subset subset;
  } parts[MOST_PARTS]; /* each subset's samples are those of its parts in this order */
} pp_cifar_layout;

static const pp_cifar_layout layouts[] = {
    {10,
     "cifar-10-batches-bin",
     "cifar-10-binary.tar",
     1,
     6,
     {{"data_batch_1.bin", PP_SUBSET_TRAIN},
      {"data_batch_2.bin", PP_SUBSET_TRAIN},
      {"data_batch_3.bin", PP_SUBSET_TRAIN},
      {"data_batch_4.bin", PP_SUBSET_TRAIN},
      {"data_batch_5.bin", PP_SUBSET_TRAIN},
      {"test_batch.bin", PP_SUBSET_TEST}}},
    {100,
     "cifar-100-binary",
     "cifar-100-binary.tar",
     2,
     2,
     {{"train.bin", PP_SUBSET_TRAIN}, {"test.bin", PP_SUBSET_TEST}}},
};

/* What one file gave. */
typedef struct pp_cifar_part {
  bool found;
  int64_t held;     /* records in the file */
  int64_t kept;     /* of which the first are in memory */
  int64_t room;     /* records that fit into `records` */
  uint8_t *records; /* (kept, label bytes + pixels) */
} pp_cifar_part;

static pp_status keep(pp_cifar_part *part, const uint8_t *record, size_t bytes) {
  if (part->kept == part->room) {
    /* By what was read, not by what a header says. */
    int64_t room = part->room == 0 ? 64 : 2 * part->room;
    uint8_t *records = realloc(part->records, (size_t)room * bytes);
    if (records == NULL)
      return pp_fail_memory("images", (unsigned long long)room * bytes);
    part->records = records;
    part->room = room;
  }
  memcpy(part->records + (size_t)part->kept++ * bytes, record, bytes);
  return NULL;
}

/* Reads `bytes` of the input (-1: up to its end) as the records of the part called `name`; keeps the first `wanted`. */
static pp_status read_part(pp_input *input, const char *name, int64_t bytes, const pp_cifar_layout *layout,
                           int64_t wanted, pp_cifar_part *part) {
  const size_t record_bytes = (size_t)layout->label_bytes + PIXELS;
  if (part->found)
    return pp_fail(PP_CODE_INPUT, "%s: %s is there twice", input->path, name);
  part->found = true;
  uint8_t record[MOST_RECORD];
  while (bytes != 0) {
    size_t got = 0;
    size_t next = bytes < 0 || bytes > (int64_t)record_bytes ? record_bytes : (size_t)bytes;
    PP_TRY(pp_input_read_some(input, record, next, &got));
    if (bytes < 0 && got == 0)
      break;
    if (got < record_bytes)
      return pp_fail(PP_CODE_INPUT, "%s: %s: cut off: %zu bytes after %lld records of %zu bytes", input->path, name,
                     got, (long long)part->held, record_bytes);
    const int label = record[layout->label_bytes - 1];
    if (label >= layout->classes)
      return pp_fail(PP_CODE_INPUT, "%s: %s: label %d of record %lld; allowed are 0 to %d", input->path, name, label,
                     (long long)part->held, layout->classes - 1);
    if (part->held++ < wanted)
      PP_TRY(keep(part, record, record_bytes));
    bytes -= bytes < 0 ? 0 : (int64_t)record_bytes;
  }
  if (part->held == 0)
    return pp_fail(PP_CODE_INPUT, "%s: %s: empty", input->path, name);
  return NULL;
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

static pp_status read_archive(pp_input *input, const pp_dataset_config *config, const pp_cifar_layout *layout,
                              pp_cifar_part *parts) {
  pp_tar tar = {.input = input};
  for (;;) {
    pp_tar_entry entry;
    bool found = false;
    PP_TRY(pp_tar_next(&tar, &entry, &found));
    if (!found)
      break;
    for (int part = 0; part < layout->part_count && entry.regular; part++) {
      int64_t wanted = pp_subset_wanted(config, layout->parts[part].subset);
      if (wanted > 0 && strcmp(base_name(entry.name), layout->parts[part].name) == 0)
        PP_TRY(read_part(input, layout->parts[part].name, entry.size, layout, wanted, &parts[part]));
    }
  }
  for (int part = 0; part < layout->part_count; part++)
    if (!parts[part].found && pp_subset_wanted(config, layout->parts[part].subset) > 0)
      return pp_fail(PP_CODE_INPUT, "%s: %s is not in it", input->path, layout->parts[part].name);
  return NULL;
}

static pp_status read_files(const pp_source *source, const char *directory, const pp_dataset_config *config,
                            const pp_cifar_layout *layout, pp_cifar_part *parts) {
  for (int part = 0; part < layout->part_count; part++) {
    const int64_t wanted = pp_subset_wanted(config, layout->parts[part].subset);
    if (wanted == 0)
      continue;
    char path[PATH_MAX];
    PP_TRY(pp_input_find(source, directory, (const char *const[]){layout->parts[part].name, NULL}, path));
    pp_input input;
    PP_TRY(pp_input_open(&input, path));
    pp_status status = read_part(&input, layout->parts[part].name, -1, layout, wanted, &parts[part]);
    pp_input_close(&input);
    PP_TRY(status);
  }
  return NULL;
}

/* Moves the pixels of a part behind those of the samples before it, and forgets the part. The first part's memory
 * becomes the samples': there is never more than one part twice. */
static pp_status append(pp_cifar_part *part, int64_t count, int64_t label_bytes, int64_t before, pp_samples *samples) {
  const int64_t record_bytes = label_bytes + PIXELS;
  uint8_t *pixels = before == 0 ? part->records : NULL;
  if (pixels == NULL) {
    pixels = realloc(samples->pixels, (size_t)((before + count) * PIXELS));
    if (pixels == NULL)
      return pp_fail_memory("images", (unsigned long long)((before + count) * PIXELS));
    samples->pixels = pixels;
  }
  for (int64_t record = 0; record < count; record++) {
    const uint8_t *bytes = part->records + record * record_bytes + label_bytes;
    samples->labels[before + record] = bytes[-1];
    memmove(pixels + (before + record) * PIXELS, bytes, PIXELS);
  }
  if (before == 0)
    samples->pixels = part->records;
  else
    free(part->records);
  part->records = NULL;
  return NULL;
}

/* Puts the wanted samples of a subset together from its parts. */
static pp_status assemble(const pp_dataset_config *config, const char *place, const pp_cifar_layout *layout,
                          pp_subset subset, pp_cifar_part *parts, pp_dataset *dataset) {
  const int64_t wanted = pp_subset_wanted(config, subset);
  int64_t held = 0;
  for (int part = 0; part < layout->part_count; part++)
    held += layout->parts[part].subset == subset ? parts[part].held : 0;
  PP_TRY(pp_subset_check(config, subset, held, place));
  pp_samples *samples = &dataset->subsets[subset];
  PP_TRY(pp_alloc((size_t)wanted, sizeof *samples->labels, "labels", &samples->labels));
  samples->count = wanted;
  for (int part = 0, before = 0; part < layout->part_count && before < wanted; part++) {
    if (layout->parts[part].subset != subset)
      continue;
    const int64_t left = wanted - before, count = parts[part].kept < left ? parts[part].kept : left;
    PP_TRY(append(&parts[part], count, layout->label_bytes, before, samples));
    before += (int)count;
  }
  return NULL;
}

/* Where the data is: the files' directory, or the archive. `place` is given by the experiment. */
static pp_status locate(const pp_source *source, const pp_cifar_layout *layout, char *place) {
  char inside[PATH_MAX];
  if (!pp_input_is_directory(place))
    return NULL;
  PP_TRY(pp_input_join(place, layout->directory, inside));
  if (!pp_input_is_directory(inside)) {
    /* The files themselves win over an archive beside them. */
    pp_status status =
        pp_input_find(source, place, (const char *const[]){layout->parts[layout->part_count - 1].name, NULL}, inside);
    if (status == NULL)
      return NULL;
    pp_error_free(status);
    status = pp_input_find(source, place, (const char *const[]){layout->archive, NULL}, inside);
    if (status != NULL) {
      pp_error_free(status); /* the files will be missed by their own names */
      return NULL;
    }
  }
  memcpy(place, inside, PATH_MAX);
  return NULL;
}

static pp_status load_parts(const pp_dataset_config *config, const pp_cifar_layout *layout, pp_cifar_part *parts,
                            pp_dataset *dataset) {
  char place[PATH_MAX];
  PP_TRY(pp_input_place(dataset->source, config->path, place));
  PP_TRY(locate(dataset->source, layout, place));
  if (pp_input_is_directory(place)) {
    PP_TRY(read_files(dataset->source, place, config, layout, parts));
  } else {
    pp_input input;
    PP_TRY(pp_input_open(&input, place));
    pp_status status = read_archive(&input, config, layout, parts);
    pp_input_close(&input);
    PP_TRY(status);
  }
  for (int subset = 0; subset < PP_SUBSET_COUNT; subset++)
    PP_TRY(assemble(config, place, layout, (pp_subset)subset, parts, dataset));
  return NULL;
}

pp_status pp_cifar_load(const pp_dataset_config *config, uint64_t seed, pp_dataset *dataset) {
  (void)seed;
  const pp_cifar_layout *layout = &layouts[0];
  while (layout->classes != dataset->info.classes)
    layout++;
  pp_cifar_part parts[MOST_PARTS] = {{.found = false}};
  pp_status status = load_parts(config, layout, parts, dataset);
  for (int part = 0; part < MOST_PARTS; part++)
    free(parts[part].records);
  return status;
}
