/* FedAvg: the weighted mean of the devices' models, in device order, so that its bits depend on nothing else. */
#ifndef PP_RUNTIME_AGGREGATE_H
#define PP_RUNTIME_AGGREGATE_H

#include "runtime/parts.h"

enum { PP_CHUNK_ELEMENTS = 1 << 20 }; /* 4 MiB: large against a message's latency, small against a model */

/* The running sum of one round, on rank 0. */
typedef struct pp_aggregate {
  int64_t parameters, statistics; /* of the whole network */
  double *params, *stats;
  const pp_job *job;
  int64_t cpu_ns; /* what the sum under way has taken so far; 0 unless costs are measured */
  float *chunk;   /* of a model that another rank sends */
} pp_aggregate;

PP_MUST_CHECK pp_status pp_aggregate_init(pp_aggregate *aggregate, const pp_job *job);
void pp_aggregate_fini(pp_aggregate *aggregate);
/* Adds weights whose first elements are the network's number `first_parameter` and `first_statistic`. */
void pp_aggregate_add(pp_aggregate *aggregate, const pp_weights *weights, int64_t first_parameter,
                      int64_t first_statistic, double weight);
/* With pp_weights_send on the device's rank: receives the first elements of the network in chunks and adds them. */
PP_MUST_CHECK pp_status pp_aggregate_receive(pp_aggregate *aggregate, pp_comm *comm, int rank, int device,
                                             int64_t parameters, int64_t statistics, double weight);
/* Weights as they are, from one rank to another; both sides name the device they belong to. */
PP_MUST_CHECK pp_status pp_weights_send(pp_comm *comm, int rank, int device, const pp_weights *weights);
/* chunk: (PP_CHUNK_ELEMENTS), scratch. */
PP_MUST_CHECK pp_status pp_weights_receive(pp_comm *comm, int rank, int device, const pp_weights *weights,
                                           float *chunk);
/* Writes the mean and starts over; cpu_ns stays what it all took until the next sum begins. */
void pp_aggregate_finish(pp_aggregate *aggregate, float *params, float *stats);

/* A device's blocks are others now: its rank and the server, each with its half of the weights as they are now and the
 * `before` elements of the momentum it had, move momentum along with the blocks. rank: of the other. */
PP_MUST_CHECK pp_status pp_momentum_move(const pp_job *job, int rank, int device, int64_t before, const float *momentum,
                                         const pp_weights *now);

#endif
