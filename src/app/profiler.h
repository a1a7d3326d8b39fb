/* Times the blocks of a network on this machine, with the layers that training uses. */
#ifndef PP_APP_PROFILER_H
#define PP_APP_PROFILER_H

#include "pipar/nn.h"

/* Medians in seconds. The loss is row block_count of forward_s and backward_s. The caller owns the arrays. */
typedef struct pp_timings {
  int block_count, size_count;
  const int *sizes;               /* (size_count) batch sizes, borrowed */
  double *forward_s, *backward_s; /* (block_count + 1, size_count) */
  double *update_s;               /* (block_count) */
  double add_s, finish_s;         /* averaging the whole network */
} pp_timings;

/* Local; on one thread. Each measurement is done once to warm up, then `repeats` times. Errors: memory. */
PP_MUST_CHECK pp_status pp_timings_measure(const pp_model *model, int size_count, const int *sizes, int repeats,
                                           pp_timings *out);
void pp_timings_fini(pp_timings *timings);

#endif
