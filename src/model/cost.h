/* What stages last and messages weigh: fills the costs of a schedule. */
#ifndef PP_MODEL_COST_H
#define PP_MODEL_COST_H

#include "base/time.h"
#include "pipar/config.h"
#include "pipar/nn.h"
#include "pipar/schedule.h"

/* All that costs depend on. `blocks` is the network; block_count 0 where `cost: table` stands alone. */
typedef struct pp_cost_inputs {
  const pp_cost_config *cost;
  const pp_device_config *device; /* of the group */
  const pp_device_config *server; /* one slot */
  int block_count;
  const pp_block_info *const *blocks; /* (block_count) */
  int64_t classes;                    /* outputs of the last block */
  int group;                          /* for errors */
  const pp_privacy_config *privacy;   /* NULL: none */
} pp_cost_inputs;

/* Local. Fills pp_op.cost of every operation and the bytes of the model; with PP_COST_MEASURED compute stages stay 0.
 * Errors (PP_CODE_INPUT) name the group and the stage: a cost that is missing, rounds to 0 or is too long. */
PP_MUST_CHECK pp_status pp_cost_fill(const pp_cost_inputs *inputs, pp_schedule *schedule);

/* Length of an aggregate that averages the models of `device_count` devices whose parts join to the whole network. */
PP_MUST_CHECK pp_status pp_cost_aggregate(const pp_cost_inputs *inputs, int64_t device_count, pp_ns *out);

#endif
