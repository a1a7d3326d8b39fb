/* Stopping between two rounds and going on: what a run has become goes into its checkpoint, and comes back out of it on
 * any number of ranks. Its times need not be kept: the timeline runs the rounds once more. */
#ifndef PP_RUNTIME_CHECKPOINT_H
#define PP_RUNTIME_CHECKPOINT_H

#include "runtime/run_state.h"

/* Bytes of one. */
int64_t pp_checkpoint_bytes(const pp_job *job);
/* Local. All memory that saving takes. */
PP_MUST_CHECK pp_status pp_run_prepare_checkpoint(pp_run *run);
/* Whether a round is followed by a checkpoint. */
bool pp_run_is_checkpoint_due(const pp_run *run, int64_t round, bool stopped);
/* Collective. The rounds up to this one are complete; durable when it returns. */
PP_MUST_CHECK pp_status pp_run_save(pp_run *run, int64_t round);
/* Collective. The run becomes what it was, but for its momentum; its rows go into the results file again. A failure of
 * any rank is every rank's. */
PP_MUST_CHECK pp_status pp_run_restore(pp_run *run);
/* Collective, after it. A failure may be this rank's alone. */
PP_MUST_CHECK pp_status pp_run_restore_momentum(pp_run *run);

#endif
