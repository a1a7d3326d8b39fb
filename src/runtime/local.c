#include "runtime/local.h"

#include <stdlib.h>

#include "base/mem.h"

/* What devices of one class share on this rank. */
typedef struct class_tools {
  pp_device_part part;
  pp_replica_net replica; /* not in fl */
} class_tools;

struct pp_local {
  const pp_job *job;
  bool whole;             /* fl: no replicas */
  class_tools *tools;     /* (class_count) */
  float **momentum;       /* (device_count) of (parameters) */
  float *shared_momentum; /* sl: of the one server-side network; else NULL */
  float *activation;      /* of the micro-batch under way; then its gradient */
  float *gradient;
  int32_t *labels;
  pp_journal lengths; /* with measured costs */
};

static pp_status init_tools_of(pp_local *local, int device) {
  const pp_job *job = local->job;
  class_tools *tools = &local->tools[job->scenario->class_of[device]];
  if (tools->part.net != NULL)
    return NULL;
  PP_TRY(pp_device_part_init(&tools->part, job, device, 1));
  if (local->whole)
    return NULL;
  const pp_schedule *full = pp_job_class(job, device)->full;
  return pp_replica_net_init(&tools->replica, job, tools->part.split,
                             pp_micro_batch_size(full->batch, full->micro_batches, 0));
}

/* What depends on the plans in force. */
static pp_status init_tools(pp_local *local) {
  const pp_job *job = local->job;
  size_t largest = 0, samples = 0;
  PP_TRY(pp_alloc((size_t)job->scenario->class_count, sizeof *local->tools, "device parts", &local->tools));
  for (int device = 0; device < job->scenario->device_count; device++) {
    PP_TRY(init_tools_of(local, device));
    const pp_device_class *class = pp_job_class(job, device);
    size_t micro_batch = (size_t)pp_micro_batch_size(class->full->batch, class->full->micro_batches, 0);
    size_t elements = micro_batch * (size_t)pp_job_boundary_elements(job, class->split);
    largest = elements > largest ? elements : largest;
    samples = micro_batch > samples ? micro_batch : samples;
  }
  if (local->whole)
    return NULL;
  PP_TRY(pp_alloc(largest, sizeof(float), "an activation", &local->activation));
  PP_TRY(pp_alloc(largest, sizeof(float), "its gradient", &local->gradient));
  return pp_alloc(samples, sizeof(int32_t), "labels", &local->labels);
}

static void fini_tools(pp_local *local) {
  for (int class = 0; local->tools != NULL && class < local->job->scenario->class_count; class ++) {
    pp_device_part_fini(&local->tools[class].part);
    pp_replica_net_fini(&local->tools[class].replica);
  }
  free(local->tools);
  free(local->activation);
  free(local->gradient);
  free(local->labels);
  local->tools = NULL;
  local->activation = local->gradient = NULL;
  local->labels = NULL;
}

pp_status pp_local_create(const pp_job *job, pp_local **out) {
  pp_local *local = NULL;
  PP_TRY(pp_alloc(1, sizeof *local, "the local runtime", &local));
  local->job = job;
  local->whole = job->config->method == PP_METHOD_FL;
  size_t devices = (size_t)job->scenario->device_count;
  pp_status status = NULL;
  PP_TRY_GOTO(status, init_tools(local), fail);
  PP_TRY_GOTO(status, pp_alloc(devices, sizeof *local->momentum, "momentum", &local->momentum), fail);
  for (int device = 0; device < job->scenario->device_count; device++)
    PP_TRY_GOTO(status, pp_alloc((size_t)job->parameters, sizeof(float), "momentum", &local->momentum[device]), fail);
  if (job->config->method == PP_METHOD_SL)
    PP_TRY_GOTO(status, pp_alloc((size_t)job->parameters, sizeof(float), "momentum", &local->shared_momentum), fail);
  *out = local;
  return NULL;
fail:
  pp_local_destroy(local);
  return status;
}

void pp_local_destroy(pp_local *local) {
  if (local == NULL)
    return;
  fini_tools(local);
  for (int device = 0; local->momentum != NULL && device < local->job->scenario->device_count; device++)
    free(local->momentum[device]);
  free(local->momentum);
  free(local->shared_momentum);
  pp_journal_fini(&local->lengths);
  free(local);
}

pp_status pp_local_adopt(pp_local *local) {
  fini_tools(local);
  return init_tools(local);
}

float *pp_local_momentum(const pp_local *local, int device) { return local->momentum[device]; }

float *pp_local_shared_momentum(const pp_local *local) { return local->shared_momentum; }

pp_journal *pp_local_journal(pp_local *local) { return &local->lengths; }

/* One operation on the half it belongs to. Transfers are nothing here: both halves use the same buffers. */
static pp_status step(pp_local *local, class_tools *tools, const pp_state *server, const pp_schedule *schedule,
                      const pp_op *op, pp_score *score) {
  switch (op->stage) {
  case PP_STAGE_FORWARD:
    return pp_device_part_forward(&tools->part, op, local->activation, local->labels);
  case PP_STAGE_SERVER_FORWARD:
    pp_replica_forward(&tools->replica, local->job, tools->part.device, tools->part.iteration, server, schedule, op,
                       local->activation, local->labels, score);
    return NULL;
  case PP_STAGE_SERVER_BACKWARD:
  case PP_STAGE_SERVER_BACKWARD_INPUT: /* both gradients at once: only emulated time tells them apart */
    pp_replica_backward(&tools->replica, server, local->gradient);
    return NULL;
  case PP_STAGE_BACKWARD:
    pp_device_part_backward(&tools->part, schedule, op, local->gradient);
    return NULL;
  case PP_STAGE_DEVICE_UPDATE:
    pp_device_part_update(&tools->part);
    return NULL;
  case PP_STAGE_SERVER_UPDATE:
    pp_replica_update(&tools->replica, local->job, server);
    return NULL;
  case PP_STAGE_UPLOAD:
  case PP_STAGE_DOWNLOAD:
  case PP_STAGE_SERVER_BACKWARD_WEIGHT:
    return NULL;
  case PP_STAGE_MODEL_UPLOAD:
  case PP_STAGE_AGGREGATE:
  case PP_STAGE_MODEL_DOWNLOAD:
    break;
  }
  return pp_fail(PP_CODE_RUN, "the runtime has no rule for stage %s", pp_stage_name(op->stage));
}

/* The same, with what it took recorded. */
static pp_status measure(pp_local *local, class_tools *tools, int64_t round, const pp_state *server,
                         const pp_schedule *schedule, const pp_op *op, pp_score *score) {
  const pp_job *job = local->job;
  pp_resource resource = pp_stage_resource(op->stage);
  int64_t begin_ns = pp_job_cpu_ns(job);
  PP_TRY(step(local, tools, server, schedule, op, score));
  int64_t cpu_ns = resource == PP_RESOURCE_DEVICE ? tools->part.cpu_ns : pp_job_cpu_ns(job) - begin_ns;
  if (resource == PP_RESOURCE_DEVICE || resource == PP_RESOURCE_SERVER)
    pp_journal_add_length(&local->lengths, job, tools->part.device, round, tools->part.iteration, op, cpu_ns);
  return NULL;
}

/* The operations of a micro-batch stand in the list in the order in which its data flows; those of none come last. */
static pp_status step_depth_first(pp_local *local, class_tools *tools, int64_t round, const pp_state *server,
                                  const pp_schedule *schedule, pp_score *score) {
  for (int micro_batch = 0; micro_batch <= schedule->micro_batches; micro_batch++) {
    int wanted = micro_batch < schedule->micro_batches ? micro_batch : -1;
    for (int i = 0; i < schedule->op_count; i++)
      if (schedule->ops[i].micro_batch == wanted)
        PP_TRY(measure(local, tools, round, server, schedule, &schedule->ops[i], score));
  }
  return NULL;
}

pp_status pp_local_train(pp_local *local, int device, int64_t round, pp_weights *work, pp_score *score) {
  const pp_job *job = local->job;
  class_tools *tools = &local->tools[job->scenario->class_of[device]];
  int64_t parameters = pp_model_parameter_offset(job->model, tools->part.split);
  int64_t statistics = pp_model_statistic_offset(job->model, tools->part.split);
  pp_state state = {
      .params = work->params, .stats = work->stats, .grads = work->grads, .momentum = local->momentum[device]};
  pp_state server = {.params = state.params + parameters,
                     .stats = state.stats + statistics,
                     .grads = state.grads + parameters,
                     .momentum =
                         (local->shared_momentum != NULL ? local->shared_momentum : state.momentum) + parameters};
  pp_device_part_assign(&tools->part, device, state);
  *score = (pp_score){0};
  int64_t first = 0, end = 0;
  pp_job_round_iterations(job, device, round, &first, &end);
  for (int64_t iteration = first; iteration < end; iteration++) {
    if (*job->stopped != 0)
      return pp_fail(PP_CODE_STOPPED, "stopped by a signal in round %lld", (long long)round);
    tools->part.iteration = iteration;
    const pp_schedule *schedule = pp_scenario_schedule(job->scenario, device, iteration);
    if (pp_job_is_measured(job))
      PP_TRY(pp_journal_reserve(&local->lengths, schedule->op_count + 1));
    PP_TRY(step_depth_first(local, tools, round, &server, schedule, score));
  }
  if (local->whole)
    *score = tools->part.score;
  return NULL;
}
