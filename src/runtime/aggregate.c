#include "runtime/aggregate.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/message.h"

pp_status pp_aggregate_init(pp_aggregate *aggregate, const pp_job *job) {
  const pp_model *model = job->model;
  int blocks = pp_model_block_count(model);
  *aggregate = (pp_aggregate){.job = job,
                              .parameters = pp_model_parameter_offset(model, blocks),
                              .statistics = pp_model_statistic_offset(model, blocks)};
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc((size_t)aggregate->parameters, sizeof(double), "the average", &aggregate->params), fail);
  PP_TRY_GOTO(status, pp_alloc((size_t)aggregate->statistics, sizeof(double), "the average", &aggregate->stats), fail);
  PP_TRY_GOTO(status, pp_alloc(PP_CHUNK_ELEMENTS, sizeof(float), "a chunk of a model", &aggregate->chunk), fail);
  return NULL;
fail:
  pp_aggregate_fini(aggregate);
  return status;
}

void pp_aggregate_fini(pp_aggregate *aggregate) {
  free(aggregate->params);
  free(aggregate->stats);
  free(aggregate->chunk);
  *aggregate = (pp_aggregate){0};
}

void pp_aggregate_add(pp_aggregate *aggregate, const pp_weights *weights, int64_t first_parameter,
                      int64_t first_statistic, double weight) {
  int64_t begin_ns = pp_job_cpu_ns(aggregate->job);
  pp_average_add(aggregate->params + first_parameter, weights->params, weight, weights->parameters);
  pp_average_add(aggregate->stats + first_statistic, weights->stats, weight, weights->statistics);
  aggregate->cpu_ns += pp_job_cpu_ns(aggregate->job) - begin_ns;
}

static int64_t chunk_size(int64_t done, int64_t count) {
  return count - done < PP_CHUNK_ELEMENTS ? count - done : PP_CHUNK_ELEMENTS;
}

static pp_status receive(pp_aggregate *aggregate, double *sum, int64_t count, pp_comm *comm, int rank, int device,
                         double weight) {
  float *chunk = aggregate->chunk;
  for (int64_t done = 0; done < count; done += PP_CHUNK_ELEMENTS) {
    int64_t size = chunk_size(done, count);
    PP_TRY(pp_comm_recv(comm, rank, pp_tag_model(device), chunk, (size_t)size * sizeof(float)));
    int64_t begin_ns = pp_job_cpu_ns(aggregate->job);
    pp_average_add(sum + done, chunk, weight, size);
    aggregate->cpu_ns += pp_job_cpu_ns(aggregate->job) - begin_ns;
  }
  return NULL;
}

pp_status pp_aggregate_receive(pp_aggregate *aggregate, pp_comm *comm, int rank, int device, int64_t parameters,
                               int64_t statistics, double weight) {
  PP_TRY(receive(aggregate, aggregate->params, parameters, comm, rank, device, weight));
  return receive(aggregate, aggregate->stats, statistics, comm, rank, device, weight);
}

static pp_status send(const float *values, int64_t count, pp_comm *comm, int rank, int device) {
  for (int64_t done = 0; done < count; done += PP_CHUNK_ELEMENTS)
    PP_TRY(
        pp_comm_send(comm, rank, pp_tag_model(device), values + done, (size_t)chunk_size(done, count) * sizeof(float)));
  return NULL;
}

pp_status pp_weights_send(pp_comm *comm, int rank, int device, const pp_weights *weights) {
  PP_TRY(send(weights->params, weights->parameters, comm, rank, device));
  return send(weights->stats, weights->statistics, comm, rank, device);
}

/* A message is whole lines: what it has beyond the values must not land on what stands behind them. */
static pp_status receive_values(float *values, int64_t count, float *chunk, pp_comm *comm, int rank, int device) {
  for (int64_t done = 0; done < count; done += PP_CHUNK_ELEMENTS) {
    size_t bytes = (size_t)chunk_size(done, count) * sizeof(float);
    PP_TRY(pp_comm_recv(comm, rank, pp_tag_model(device), chunk, bytes));
    memcpy(values + done, chunk, bytes);
  }
  return NULL;
}

pp_status pp_weights_receive(pp_comm *comm, int rank, int device, const pp_weights *weights, float *chunk) {
  PP_TRY(receive_values(weights->params, weights->parameters, chunk, comm, rank, device));
  return receive_values(weights->stats, weights->statistics, chunk, comm, rank, device);
}

/* The device has the first blocks, so its half ends where the other begins. A message is whole lines, so what goes is
 * copied from the middle of the momentum first, as what comes is into it. */
pp_status pp_momentum_move(const pp_job *job, int rank, int device, int64_t before, const float *momentum,
                           const pp_weights *now) {
  int64_t kept = before < now->parameters ? before : now->parameters;
  int64_t gone = before - kept, came = now->parameters - kept;
  bool is_device = rank == 0;
  memcpy(now->momentum + (is_device ? 0 : came), momentum + (is_device ? 0 : gone), (size_t)kept * sizeof(float));
  if (gone == 0 && came == 0)
    return NULL;
  float *moved = NULL, *chunk = NULL;
  pp_status status = NULL;
  PP_TRY(pp_alloc((size_t)(gone + came), sizeof *moved, "momentum", &moved));
  PP_TRY_GOTO(status, pp_alloc(PP_CHUNK_ELEMENTS, sizeof *chunk, "a chunk of a model", &chunk), done);
  if (gone > 0) {
    memcpy(moved, momentum + (is_device ? kept : 0), (size_t)gone * sizeof *moved);
    status = send(moved, gone, job->comm, rank, device);
  } else {
    status = receive_values(now->momentum + (is_device ? kept : 0), came, chunk, job->comm, rank, device);
  }
done:
  free(chunk);
  free(moved);
  return status;
}

void pp_aggregate_finish(pp_aggregate *aggregate, float *params, float *stats) {
  int64_t begin_ns = pp_job_cpu_ns(aggregate->job);
  pp_average_finish(params, aggregate->params, aggregate->parameters);
  pp_average_finish(stats, aggregate->stats, aggregate->statistics);
  aggregate->cpu_ns += pp_job_cpu_ns(aggregate->job) - begin_ns;
  memset(aggregate->params, 0, (size_t)aggregate->parameters * sizeof(double));
  memset(aggregate->stats, 0, (size_t)aggregate->statistics * sizeof(double));
}
