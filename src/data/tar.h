/* Private to data/: a walk through a tar archive (POSIX ustar headers) that is read from its beginning to its end. */
#ifndef PP_DATA_TAR_H
#define PP_DATA_TAR_H

#include "data/input.h"

typedef struct pp_tar {
  pp_input *input;
  int64_t next_header; /* where it starts */
} pp_tar;

typedef struct pp_tar_entry {
  char name[101]; /* without directories of a prefix field */
  int64_t size;   /* bytes that follow; the reader may take any of them */
  bool regular;
} pp_tar_entry;

/* Goes to the next entry; *found is false at the archive's end, which is then read to the file's end. Errors
 * (PP_CODE_INPUT): not a tar archive, cut off. */
PP_MUST_CHECK pp_status pp_tar_next(pp_tar *tar, pp_tar_entry *entry, bool *found);

#endif
