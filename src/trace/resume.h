/* What a stopped run has left: PATH.part, of which complete runs are kept. */
#ifndef PP_TRACE_RESUME_H
#define PP_TRACE_RESUME_H

#include <hdf5.h>

#include "pipar/results.h"

typedef struct pp_remains {
  char *path;  /* PATH.part */
  int lock_fd; /* held as long as this is open: no other process goes on with it */
  pp_results *results;
  bool *complete; /* (runs of the experiment) */
} pp_remains;

/* As pp_results_find_complete, for one that will go on with it. */
PP_MUST_CHECK pp_status pp_remains_open(const char *path, bool force, const pp_experiment *experiment, int only,
                                        const pp_identity *identity, pp_remains *out);
void pp_remains_close(pp_remains *remains);
/* Copies a complete run into the group `runs` of a file that is being made; `path` names it in errors. */
PP_MUST_CHECK pp_status pp_remains_copy_run(const pp_remains *remains, int run, hid_t runs, const char *path);

#endif
