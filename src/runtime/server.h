/* The rank that plays the server: a replica per device, each micro-batch computed as soon as it is there and a slot is
 * free. */
#ifndef PP_RUNTIME_SERVER_H
#define PP_RUNTIME_SERVER_H

#include "runtime/aggregate.h"
#include "runtime/journal.h"

typedef struct pp_server_rank pp_server_rank;

/* Local. All memory of the replicas is allocated here. */
PP_MUST_CHECK pp_status pp_server_rank_create(const pp_job *job, pp_server_rank **out);
void pp_server_rank_destroy(pp_server_rank *rank);
/* With pp_device_rank_adopt, between two rounds: job->scenario has other plans now. */
PP_MUST_CHECK pp_status pp_server_rank_adopt(pp_server_rank *rank);
/* Every replica takes over its blocks of the averaged model (whole network). */
void pp_server_rank_load(pp_server_rank *rank, const float *params, const float *stats);
/* Likewise one replica, and back into the model (whole network): devices that take turns share one server-side network.
 */
void pp_server_rank_load_replica(pp_server_rank *rank, int device, const float *params, const float *stats);
void pp_server_rank_store_replica(const pp_server_rank *rank, int device, float *params, float *stats);
/* A replica's momentum; NULL where there is none. Of the server-side network that devices share (parameters of the
 * whole network); NULL unless they do. */
float *pp_server_rank_momentum(const pp_server_rank *rank, int device);
float *pp_server_rank_shared_momentum(const pp_server_rank *rank);
/* With every device rank's pp_device_rank_round: a round of the devices [first, end). scores: (device_count). Ends when
 * the aggregate could start; under the wall clock, when it has ended: *end_ns. */
PP_MUST_CHECK pp_status pp_server_rank_round(pp_server_rank *rank, int64_t round, int first, int end, pp_score *scores,
                                             pp_ns *end_ns);
/* With pp_device_rank_send_models: adds every member's model and replica, in device order, weighed by samples, or by
 * weights (device_count) where these are not NULL. */
PP_MUST_CHECK pp_status pp_server_rank_aggregate(pp_server_rank *rank, pp_aggregate *aggregate, const double *weights);
/* With pp_device_rank_send_records: what all ranks recorded since the last time, added to rank->records. */
PP_MUST_CHECK pp_status pp_server_rank_take_records(pp_server_rank *rank);
pp_journal *pp_server_rank_journal(pp_server_rank *rank);

#endif
