/* What is worked out about a run before anything of it is allocated. */
#ifndef PP_RUNTIME_DRAFT_H
#define PP_RUNTIME_DRAFT_H

#include "runtime/job.h"
#include "runtime/run.h"

struct pp_run_draft {
  pp_job job; /* its numbers, scenario, network and updates; no more */
  pp_model *model;
  pp_scenario *scenario;
};

/* Collective. Refused before anything is allocated: memory that is only promised fails when it is touched, by a kill.
 */
PP_MUST_CHECK pp_status pp_draft_check_memory(const pp_run_draft *draft, pp_comm *comm);

#endif
