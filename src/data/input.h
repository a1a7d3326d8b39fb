/* Private to data/: finding a data set's files and reading them, gzipped or not, never further than they go. */
#ifndef PP_DATA_INPUT_H
#define PP_DATA_INPUT_H

#include <limits.h>
#include <zlib.h>

#include "data/source.h"

/* Finds the place of a data set's files: `path`, or with `auto` $PIPAR_DATA/<name>, then where Debian's package puts
 * them. place: (PATH_MAX). Errors (PP_CODE_INPUT) say what to install or set. */
PP_MUST_CHECK pp_status pp_input_place(const pp_source *source, const char *path, char *place);

/* As pp_input_place, for data sets whose place can only be a directory. */
PP_MUST_CHECK pp_status pp_input_directory(const pp_source *source, const char *path, char *directory);

bool pp_input_is_directory(const char *path);

/* Finds the first of `names` (NULL-terminated) in the directory, plain or with .gz. path: (PATH_MAX). Error: there is
 * none. */
PP_MUST_CHECK pp_status pp_input_find(const pp_source *source, const char *directory, const char *const *names,
                                      char *path);

/* Loads what the experiment wants of each subset from the data set's directory. */
typedef pp_status (*pp_subset_loader)(const pp_dataset_config *config, const char *directory, pp_subset subset,
                                      pp_dataset *dataset);
PP_MUST_CHECK pp_status pp_input_load_subsets(const pp_dataset_config *config, pp_dataset *dataset,
                                              pp_subset_loader load);

/* directory/name into path (PATH_MAX). */
PP_MUST_CHECK pp_status pp_input_join(const char *directory, const char *name, char *path);

/* A file read from its beginning to its end. */
typedef struct pp_input {
  gzFile file;
  char path[PATH_MAX];
  int64_t bytes_read;
  int64_t bytes_possible; /* what a file of this size can hold at most, unpacked: bounds what headers claim */
} pp_input;

PP_MUST_CHECK pp_status pp_input_open(pp_input *input, const char *path);
void pp_input_close(pp_input *input);
/* Reads at most `bytes`; *got < bytes only at the file's end. Error: damaged or cut off inside compressed data. */
PP_MUST_CHECK pp_status pp_input_read_some(pp_input *input, void *buffer, size_t bytes, size_t *got);
/* Reads exactly `bytes`. Error: the file ends before. */
PP_MUST_CHECK pp_status pp_input_read(pp_input *input, void *buffer, size_t bytes);
PP_MUST_CHECK pp_status pp_input_skip(pp_input *input, int64_t bytes);
/* Error: the file goes on. */
PP_MUST_CHECK pp_status pp_input_expect_end(pp_input *input);

#endif
