/* A round of training, whatever this rank plays. */
#ifndef PP_RUNTIME_TRAINING_H
#define PP_RUNTIME_TRAINING_H

#include "runtime/run_state.h"

/* Collective. One round of training on every rank; *aggregated_ns: emulated time when it ended, under the wall clock.
 * A signal may end it with PP_CODE_STOPPED. */
PP_MUST_CHECK pp_status pp_run_train(pp_run *run, int64_t round, pp_ns *aggregated_ns);
/* Rank 0: loss and accuracy of the round that was trained, into its row. */
void pp_run_summarise_scores(const pp_run *run, pp_round_row *row);
/* Collective. Where it depends on time who takes part, the timeline goes first and rank 0 tells all ranks. */
PP_MUST_CHECK pp_status pp_run_announce_members(pp_run *run, bool *is_last);
/* Collective. Real training, between two rounds: rank 0 tells the plans that the timeline has gone over to, and every
 * rank cuts the network anew. The models are whole now, and are handed out when the round begins. */
PP_MUST_CHECK pp_status pp_run_follow_plans(pp_run *run);

#endif
