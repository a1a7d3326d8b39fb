/* Real training where nobody waits for the others: which update begins with which version of the model, as the timeline
 * has it, and the versions that are still to be begun with. Every rank works the same out for itself. */
#ifndef PP_RUNTIME_UPDATES_H
#define PP_RUNTIME_UPDATES_H

#include "runtime/aggregate.h"

typedef struct pp_updates {
  const pp_scenario *scenario;
  int64_t count;
  pp_update *updates; /* (count) `buffer` an aggregate */
  int64_t version_count;
  int64_t *uses;     /* (version_count) updates to come that begin with a version */
  float **versions;  /* (version_count) parameters, then statistics of the whole network; NULL where not kept */
  int64_t most_kept; /* versions at once */
  /* The updates in hand, at most one a device. */
  int64_t first, end;
  bool *members;         /* (device_count) */
  int64_t *local_rounds; /* (device_count) */
  double *weights;       /* (device_count) */
  double rest;           /* what of the weight of 1 the round's updates so far have not */
} pp_updates;

/* Local. Runs the scenario through a timeline. It must outlive the updates. */
PP_MUST_CHECK pp_status pp_updates_create(const pp_scenario *scenario, pp_updates **out);
void pp_updates_destroy(pp_updates *updates);

/* The model of that version has come to be: kept if an update will begin with it. */
PP_MUST_CHECK pp_status pp_updates_keep(pp_updates *updates, const pp_job *job, int64_t version, const float *params,
                                        const float *stats);
/* The next updates of the round, at most one a device; false: there are no more. */
bool pp_updates_next(pp_updates *updates, const pp_job *job, int64_t round);
/* What an update in hand began with. */
const float *pp_updates_start_params(const pp_updates *updates, int device);
const float *pp_updates_start_stats(const pp_updates *updates, const pp_job *job, int device);
/* The updates in hand, whose models have been added, are differences from what they began with. aggregate: NULL on
 * other ranks than 0. */
void pp_updates_finish(pp_updates *updates, const pp_job *job, pp_aggregate *aggregate);
/* The round's updates are all in: the newest version becomes the next. */
void pp_updates_finish_round(const pp_updates *updates, const pp_job *job, pp_aggregate *aggregate, float *params,
                             float *stats);

#endif
