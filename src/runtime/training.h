/* A round of training, whatever this rank plays. */
#ifndef PP_RUNTIME_TRAINING_H
#define PP_RUNTIME_TRAINING_H

#include "runtime/run_state.h"

/* Collective. One round of training on every rank; *aggregated_ns: emulated time when it ended, under the wall clock.
 * A signal may end it with PP_CODE_STOPPED. */
PP_MUST_CHECK pp_status pp_run_train(pp_run *run, int64_t round, pp_ns *aggregated_ns);
/* Rank 0: loss and accuracy of the round that was trained, into its row. */
void pp_run_summarise_scores(const pp_run *run, pp_round_row *row);

#endif
