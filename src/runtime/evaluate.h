/* Test accuracy of a whole network, the batches spread over the ranks. */
#ifndef PP_RUNTIME_EVALUATE_H
#define PP_RUNTIME_EVALUATE_H

#include "runtime/job.h"

typedef struct pp_evaluator pp_evaluator;

PP_MUST_CHECK pp_status pp_evaluator_create(const pp_job *job, pp_evaluator **out);
void pp_evaluator_destroy(pp_evaluator *evaluator);
/* Collective. params, stats: the same on every rank. *accuracy: fraction of the test samples, on every rank. */
PP_MUST_CHECK pp_status pp_evaluator_run(pp_evaluator *evaluator, float *params, float *stats, double *accuracy);

#endif
