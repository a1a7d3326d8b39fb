/* The runs of a time-only sweep, spread over the ranks. Each rank works out its own, one after the other, and never
 * waits for another while it has one to do; rank 0 writes all of them in their order. */
#ifndef PP_APP_SPREAD_H
#define PP_APP_SPREAD_H

#include "comm/comm.h"
#include "pipar/config.h"
#include "runtime/sink.h"

typedef struct pp_spread {
  pp_comm *comm;
  int count;
  const int *runs;   /* (count) the numbers of those that are wanted, rising */
  const int *owners; /* (count) the rank of each */
  /* Works out a run alone, its rows into the sink. */
  pp_status (*execute)(void *context, pp_sink *sink, bool *stopped);
  /* On rank 0: sets where the rows of a run go and who watches. */
  void (*direct)(void *context, int run, pp_sink *sink);
  void *context;
} pp_spread;

/* Local. Shares the runs out by what they are guessed to cost, the same way on every rank. The caller frees `owners`.
 */
PP_MUST_CHECK pp_status pp_spread_share(const pp_experiment *experiment, int ranks, int count, const int *runs,
                                        int **owners);
/* Collective. *stopped: a run of this rank was stopped, or rank 0 wants no more. *rounds: that reached the file. A
 * failure is this rank's own: the others do not know of it. */
PP_MUST_CHECK pp_status pp_spread_runs(const pp_spread *spread, bool *stopped, int64_t *rounds);

#endif
