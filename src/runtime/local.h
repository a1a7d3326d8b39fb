/* One rank playing everything: each device and its replica in turn, stepping through the same lists of operations depth
 * first, so that one micro-batch is in memory at a time. */
#ifndef PP_RUNTIME_LOCAL_H
#define PP_RUNTIME_LOCAL_H

#include "runtime/journal.h"
#include "runtime/parts.h"

typedef struct pp_local pp_local;

PP_MUST_CHECK pp_status pp_local_create(const pp_job *job, pp_local **out);
void pp_local_destroy(pp_local *local);
/* Between two rounds: job->scenario has other plans now. Momentum stays. */
PP_MUST_CHECK pp_status pp_local_adopt(pp_local *local);
/* A device's momentum (parameters of the whole network), and that of the server-side network that devices share; NULL
 * unless they do. */
float *pp_local_momentum(const pp_local *local, int device);
float *pp_local_shared_momentum(const pp_local *local);
/* With measured costs: how long what was trained took. */
pp_journal *pp_local_journal(pp_local *local);
/* The device's iterations of the round, from the weights in `work` (whole network, trained), which it changes; its
 * momentum is the device's own and kept from round to round. */
PP_MUST_CHECK pp_status pp_local_train(pp_local *local, int device, int64_t round, pp_weights *work, pp_score *score);

#endif
