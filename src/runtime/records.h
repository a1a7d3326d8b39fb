/* From what happened in a round to its rows in the results file. */
#ifndef PP_RUNTIME_RECORDS_H
#define PP_RUNTIME_RECORDS_H

#include "runtime/run_state.h"

/* Whether the timeline has to say who takes part in a round before it is trained. */
bool pp_run_goes_first(const pp_run *run);
/* Rank 0: the round's times, and its rows. Under the wall clock a round is known once its last model has arrived, which
 * is a round later. */
PP_MUST_CHECK pp_status pp_run_finish_round(pp_run *run, int64_t round, const pp_round_row *row);
/* Collective. Under the wall clock: the last round's models are still on their way. */
PP_MUST_CHECK pp_status pp_run_drain(pp_run *run, pp_ns aggregated_ns);
/* Rank 0: what the run comes to. */
PP_MUST_CHECK pp_status pp_run_end_in_file(pp_run *run);

#endif
