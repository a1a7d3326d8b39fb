/* Costs from profiles: seconds of each block at several batch sizes, a line in between (docs/cost.md). */
#ifndef PP_MODEL_PROFILE_H
#define PP_MODEL_PROFILE_H

#include "model/cost.h"

/* Local. Whether both profiles are of the network at hand: input, classes, blocks. Errors (PP_CODE_INPUT) name the
 * profile's file and line, the key, the value and what is allowed. */
PP_MUST_CHECK pp_status pp_profile_check(const pp_cost_inputs *inputs);

/* Seconds of a compute stage but the aggregate, not yet rounded. Errors (PP_CODE_INPUT): a batch size outside the
 * profile's, a pass that it does not give, a line that falls below 0. */
PP_MUST_CHECK pp_status pp_profile_seconds(const pp_cost_inputs *inputs, const pp_schedule *schedule, const pp_op *op,
                                           double *out);

/* Seconds of an aggregate of `device_count` models. Errors (PP_CODE_INPUT): the server's profile gives none. */
PP_MUST_CHECK pp_status pp_profile_aggregate_seconds(const pp_cost_inputs *inputs, int64_t device_count, double *out);

#endif
