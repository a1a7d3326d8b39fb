/* A file that is written whole or not at all: under a name of its own until it is complete. */
#ifndef PP_APP_OUTPUT_H
#define PP_APP_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "pipar/status.h"

typedef struct pp_output {
  const char *path; /* the caller's */
  char *part;
  FILE *stream;
  bool keeps; /* the caller's choice: a file that has taken PATH meanwhile stays, which is an error (PP_CODE_USAGE) */
} pp_output;

/* Local. Whether PATH is to be in a directory that is there (PP_CODE_USAGE). */
PP_MUST_CHECK pp_status pp_output_check_directory(const char *path);
/* Local. Begins a file that will be PATH, replacing what is there only when it is complete. `inputs` (NULL-ended) are
 * files that it must not replace. Errors: PATH is a directory, in none or no regular file, an input or, without
 * `force`, an HDF5 file (PP_CODE_USAGE); not writable (PP_CODE_RUN). */
PP_MUST_CHECK pp_status pp_output_open(pp_output *output, const char *path, char *const *inputs, bool force);
/* Gives the file its name; *bytes is its size (may be NULL). What was begun is over, whatever is returned. */
PP_MUST_CHECK pp_status pp_output_commit(pp_output *output, int64_t *bytes);
/* The error for a PATH that is taken (PP_CODE_USAGE). */
PP_MUST_CHECK pp_status pp_output_exists(const char *path);
/* Removes what was begun; nothing where there is nothing. */
void pp_output_abandon(pp_output *output);

#endif
