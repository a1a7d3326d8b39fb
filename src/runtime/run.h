/* One run of an experiment, from its configuration to its rows in the results file. */
#ifndef PP_RUNTIME_RUN_H
#define PP_RUNTIME_RUN_H

#include <signal.h>

#include "comm/comm.h"
#include "pipar/config.h"
#include "pipar/results.h"
#include "runtime/sink.h"

typedef struct pp_run_draft pp_run_draft;

typedef struct pp_run_request {
  pp_comm *comm;
  pp_run_draft *draft;                  /* outlives the run, and serves only one */
  pp_sink *sink;                        /* where its rows go; used by the first of its ranks */
  const volatile sig_atomic_t *stopped; /* set by a signal */
  const char *checkpoint_path;          /* NULL: no checkpoints */
  const pp_identity *identity;          /* of the checkpoints */
  bool resume;                          /* goes on from the checkpoint */
} pp_run_request;

/* Memory of a run, in bytes. */
typedef struct pp_run_memory {
  int64_t server, device; /* of the largest rank of each kind; alone: the server's */
  int64_t total;
  int64_t checkpoint; /* of its file; 0: none are written */
} pp_run_memory;

typedef struct pp_run pp_run;

/* Collective. Whether the run could be created, short of loading its data: what the rank count allows, the network, its
 * plan, its costs, and memory. *out, the caller's, is what was worked out for it; `config` must outlive it. Errors: as
 * pp_run_create's. */
PP_MUST_CHECK pp_status pp_run_check(pp_comm *comm, const pp_config *config, pp_run_draft **out);
void pp_run_draft_destroy(pp_run_draft *draft);

/* Collective. Everything a run needs, allocated and loaded; a failure of any rank is every rank's. Errors: what the
 * rank count allows (PP_CODE_USAGE), the data set and the network (PP_CODE_INPUT), memory (PP_CODE_RUN). */
PP_MUST_CHECK pp_status pp_run_create(const pp_run_request *request, pp_run **out);
void pp_run_destroy(pp_run *run);
/* Collective. Begins the run in the results file; with `resume` brings it, and its rows, to where its checkpoint is. A
 * failure of any rank is every rank's. Errors: a checkpoint that is damaged or does not fit (PP_CODE_INPUT). */
PP_MUST_CHECK pp_status pp_run_begin(pp_run *run);
/* Collective, once begun. Runs it and ends it in the results file. A failure may be this rank's alone. *stopped: a
 * signal ended it after a round. */
PP_MUST_CHECK pp_status pp_run_execute(pp_run *run, bool *stopped);

/* Local. Rounds that the checkpoint holds; 0: there is none. */
int64_t pp_run_saved_rounds(const pp_run *run);

/* Local. The run's network; *out stays as it is where its costs need none. The caller destroys it. */
PP_MUST_CHECK pp_status pp_run_model(const pp_config *config, pp_model **out);

/* Local. Whether checkpoints of such a run are written. */
bool pp_run_has_checkpoints(const pp_config *config);

/* Local. What `config` would take with `ranks` ranks, without allocating it. */
PP_MUST_CHECK pp_status pp_run_estimate(const pp_config *config, int ranks, pp_run_memory *memory);

#endif
