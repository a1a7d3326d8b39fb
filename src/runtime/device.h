/* A rank that plays devices: forwards back to back, activations sent as they exist, backwards as gradients come. */
#ifndef PP_RUNTIME_DEVICE_H
#define PP_RUNTIME_DEVICE_H

#include "runtime/journal.h"
#include "runtime/parts.h"

typedef struct pp_device_rank pp_device_rank;

/* Local. All memory of the rank's devices is allocated here. */
PP_MUST_CHECK pp_status pp_device_rank_create(const pp_job *job, pp_device_rank **out);
void pp_device_rank_destroy(pp_device_rank *rank);
/* With the server's pp_server_rank_adopt, between two rounds: job->scenario has other plans now. */
PP_MUST_CHECK pp_status pp_device_rank_adopt(pp_device_rank *rank);
/* The rank's devices take over the first elements of the averaged model. */
void pp_device_rank_load(pp_device_rank *rank, const float *params, const float *stats);
/* With the server's pp_server_rank_round: the iterations of a round of the rank's devices among [first, end), and what
 * they saw of it. Emulated time goes on from where the clock stands; under the wall clock it begins with the download
 * of the model, except in round 0. */
PP_MUST_CHECK pp_status pp_device_rank_round(pp_device_rank *rank, int64_t round, int first, int end);
/* Under the wall clock, after the last round: waits for the last model to arrive. */
PP_MUST_CHECK pp_status pp_device_rank_drain(pp_device_rank *rank, int64_t rounds);
/* The weights of a device of this rank. */
const pp_weights *pp_device_rank_weights(const pp_device_rank *rank, int device);
/* With the server's pp_aggregate_receive: sends the devices' weights, in device order. */
PP_MUST_CHECK pp_status pp_device_rank_send_models(pp_device_rank *rank);
/* With the server's pp_server_rank_take_records: sends what was recorded since the last time. */
PP_MUST_CHECK pp_status pp_device_rank_send_records(pp_device_rank *rank);

#endif
