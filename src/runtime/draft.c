#include "runtime/draft.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/checkpoint.h"
#include "runtime/memory.h"
#include "runtime/updates.h"

static bool needs_model(const pp_config *config) {
  if (config->compute == PP_COMPUTE_REAL)
    return true;
  for (int group = 0; group < config->group_count; group++)
    if (config->groups[group].cost.kind != PP_COST_TABLE)
      return true;
  return false;
}

static pp_status create_model(const pp_config *config, pp_dataset_info *info, pp_model **out) {
  PP_TRY(pp_dataset_describe(&config->dataset, info));
  if (config->architecture != NULL)
    return pp_model_create_own(config->architecture, info->shape, info->classes, out);
  return pp_model_create(config->model, info->shape, info->classes, out);
}

pp_status pp_run_model(const pp_config *config, pp_model **out) {
  pp_dataset_info info;
  return needs_model(config) ? create_model(config, &info, out) : NULL;
}

void pp_run_draft_destroy(pp_run_draft *draft) {
  if (draft == NULL)
    return;
  pp_updates_destroy(draft->job.updates);
  pp_scenario_destroy(draft->scenario);
  pp_model_destroy(draft->model);
  free(draft);
}

static pp_status describe(pp_run_draft *draft, const pp_config *config) {
  pp_job *job = &draft->job;
  job->config = config;
  if (needs_model(config)) {
    pp_dataset_info info;
    PP_TRY(create_model(config, &info, &draft->model));
    job->model = draft->model;
    job->blocks = pp_model_block_count(job->model);
    job->parameters = pp_model_parameter_offset(job->model, job->blocks);
    job->statistics = pp_model_statistic_offset(job->model, job->blocks);
    job->image_elements = pp_shape_elements(info.shape);
  }
  PP_TRY(pp_scenario_create(config, draft->model, &draft->scenario));
  job->scenario = draft->scenario;
  if (job->scenario->buffer > 0 && config->compute == PP_COMPUTE_REAL)
    return pp_updates_create(job->scenario, &job->updates);
  return NULL;
}

static pp_status create(const pp_config *config, pp_run_draft **out) {
  pp_run_draft *draft = NULL;
  PP_TRY(pp_alloc(1, sizeof *draft, "a run", &draft));
  pp_status status = describe(draft, config);
  if (status == NULL)
    *out = draft;
  else
    pp_run_draft_destroy(draft);
  return status;
}

pp_status pp_run_estimate(const pp_config *config, int ranks, pp_run_memory *memory) {
  pp_run_draft *draft = NULL;
  PP_TRY(create(config, &draft));
  const pp_job *job = &draft->job;
  *memory = (pp_run_memory){0};
  if (config->compute == PP_COMPUTE_NONE)
    memory->total = memory->server = pp_memory_of_timed(job);
  for (int rank = 0; config->compute == PP_COMPUTE_REAL && rank < ranks; rank++) {
    int64_t bytes = pp_memory_of_rank(job, rank, ranks);
    int64_t *kind = rank == 0 ? &memory->server : &memory->device;
    if (bytes > *kind)
      *kind = bytes;
    memory->total = pp_memory_sum(memory->total, bytes);
  }
  memory->checkpoint = pp_run_has_checkpoints(config) ? pp_checkpoint_bytes(job) : 0;
  pp_run_draft_destroy(draft);
  return NULL;
}

static pp_status check_ranks(const pp_job *job, const pp_comm *comm) {
  const pp_config *config = job->config;
  bool is_real = config->compute == PP_COMPUTE_REAL;
  int ranks = pp_comm_size(comm), wanted = job->scenario->device_count + 1;
  if (config->clock == PP_CLOCK_WALL && !is_real)
    return pp_fail(PP_CODE_INPUT, "clock: wall needs compute: real (compute: none has no real time to keep)");
  if (config->clock == PP_CLOCK_WALL && config->method == PP_METHOD_SL)
    return pp_fail(PP_CODE_INPUT, "clock: wall with method: sl is not built yet");
  if (config->clock == PP_CLOCK_WALL && ranks != wanted)
    return pp_fail(PP_CODE_USAGE,
                   "clock: wall needs exactly %d ranks (the server and %d devices), not %d: mpirun -n %d", wanted,
                   wanted - 1, ranks, wanted);
  if (is_real && ranks > wanted)
    return pp_fail(PP_CODE_USAGE, "%d ranks are more than the server and %d devices can use: at most %d", ranks,
                   wanted - 1, wanted);
  return NULL;
}

static double mebibytes(int64_t bytes) { return (double)bytes / (1 << 20); }

pp_status pp_draft_check_memory(const pp_run_draft *draft, pp_comm *comm) {
  const pp_job *job = &draft->job;
  int64_t node_bytes = 0;
  int64_t own_bytes = pp_memory_of_timed(job);
  bool is_real = job->config->compute == PP_COMPUTE_REAL;
  if (is_real)
    own_bytes = pp_memory_of_rank(job, pp_comm_rank(comm), pp_comm_size(comm));
  PP_TRY(pp_comm_node_sum(comm, own_bytes, &node_bytes));
  int64_t available = pp_memory_available();
  if (node_bytes <= available)
    return is_real ? pp_nn_reserve(job->config->training.threads, own_bytes) : NULL;
  return pp_fail(PP_CODE_RUN,
                 "not enough memory: the run's ranks on this machine need %.0f MiB, %.0f MiB are available",
                 mebibytes(node_bytes), mebibytes(available));
}

pp_status pp_run_check(pp_comm *comm, const pp_config *config, pp_run_draft **out) {
  pp_run_draft *draft = NULL;
  PP_TRY(pp_comm_agree(comm, create(config, &draft)));
  pp_status status = pp_comm_agree(comm, check_ranks(&draft->job, comm));
  if (status == NULL)
    status = pp_comm_agree(comm, pp_draft_check_memory(draft, comm));
  if (status == NULL)
    *out = draft;
  else
    pp_run_draft_destroy(draft);
  return status;
}
