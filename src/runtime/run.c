#include "runtime/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/device.h"
#include "runtime/evaluate.h"
#include "runtime/inputs.h"
#include "runtime/local.h"
#include "runtime/memory.h"
#include "runtime/privacy.h"
#include "runtime/server.h"
#include "runtime/updates.h"
#include "timeline/replan.h"

struct pp_run {
  pp_run_request request;
  pp_job job;
  pp_clock_state clock;
  pp_model *model;
  pp_scenario *scenario;
  pp_dataset *dataset;
  pp_partition *partition;
  float *params, *stats; /* the averaged model, on every rank */
  pp_evaluator *evaluator;
  /* What this rank plays. */
  pp_local *local; /* alone: everything, with `work` */
  pp_weights work;
  pp_server_rank *server;
  pp_device_rank *devices;
  float *chunk; /* sl: of a model on its way to this device's rank */
  /* Where plans change: (group_count) those told, and the scenario they make; NULL while the first hold. */
  pp_group_plan *plans;
  pp_scenario *replanned;
  /* Rank 0 only. */
  pp_aggregate aggregate;
  pp_timeline *timeline;
  pp_replan *replan;       /* NULL: plans hold for the whole run */
  pp_score *scores;        /* (device_count) */
  pp_score *totals;        /* (device_count) of a round in which a device may have several updates; NULL in others */
  bool *members;           /* (device_count + 1) of the round in hand, then whether it is the last */
  pp_round_times times;    /* of the round in hand, where they come first */
  pp_round_row row;        /* of the last round: under the wall clock it waits for its last model to arrive */
  pp_stage_record *stages; /* scratch: the rows of one round under the wall clock */
  int64_t *arrivals_ns;    /* likewise */
  int64_t stage_room;      /* of both */
};

static bool is_first(const pp_run *run) { return pp_comm_rank(run->job.comm) == 0; }
static bool is_real(const pp_run *run) { return run->job.config->compute == PP_COMPUTE_REAL; }
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

/* The numbers of a run, without any of its memory. */
static pp_status describe(pp_job *job, pp_model **model, pp_scenario **scenario) {
  const pp_config *config = job->config;
  if (needs_model(config)) {
    pp_dataset_info info;
    PP_TRY(create_model(config, &info, model));
    job->model = *model;
    job->blocks = pp_model_block_count(*model);
    job->parameters = pp_model_parameter_offset(*model, job->blocks);
    job->statistics = pp_model_statistic_offset(*model, job->blocks);
    job->image_elements = pp_shape_elements(info.shape);
  }
  PP_TRY(pp_scenario_create(config, *model, scenario));
  job->scenario = *scenario;
  if ((*scenario)->buffer > 0 && config->compute == PP_COMPUTE_REAL)
    return pp_updates_create(*scenario, &job->updates);
  return NULL;
}

static bool has_batch_norm(const pp_model *model) {
  for (int block = 0; model != NULL && block < pp_model_block_count(model); block++)
    for (int layer = 0; layer < pp_model_block(model, block)->layer_count; layer++)
      if (strcmp(pp_model_block(model, block)->layers[layer].name, "bn") == 0)
        return true;
  return false;
}

/* The smallest part that a full mini-batch is cut into; 0: none is cut. */
static int smallest_micro_batch(const pp_scenario *scenario) {
  int smallest = 0;
  for (int index = 0; index < scenario->class_count; index++) {
    const pp_schedule *full = scenario->classes[index].full;
    int size = pp_micro_batch_size(full->batch, full->micro_batches, full->micro_batches - 1);
    if (full->micro_batches > 1 && (smallest == 0 || size < smallest))
      smallest = size;
  }
  return smallest;
}

pp_status pp_run_estimate(const pp_config *config, int ranks, pp_run_memory *memory) {
  pp_job job = {.config = config};
  pp_model *model = NULL;
  pp_scenario *scenario = NULL;
  *memory = (pp_run_memory){0};
  pp_status status = describe(&job, &model, &scenario);
  if (status == NULL && has_batch_norm(model))
    memory->smallest_micro_batch = smallest_micro_batch(scenario);
  if (status == NULL && config->compute == PP_COMPUTE_NONE)
    memory->total = memory->server = pp_memory_of_timed(&job);
  for (int rank = 0; status == NULL && config->compute == PP_COMPUTE_REAL && rank < ranks; rank++) {
    int64_t bytes = pp_memory_of_rank(&job, rank, ranks);
    int64_t *kind = rank == 0 ? &memory->server : &memory->device;
    if (bytes > *kind)
      *kind = bytes;
    memory->total = pp_memory_sum(memory->total, bytes);
  }
  pp_updates_destroy(job.updates);
  pp_scenario_destroy(scenario);
  pp_model_destroy(model);
  return status;
}

static pp_status check_ranks(const pp_run *run) {
  const pp_config *config = run->job.config;
  int ranks = pp_comm_size(run->job.comm), wanted = run->job.scenario->device_count + 1;
  if (config->clock == PP_CLOCK_WALL && !is_real(run))
    return pp_fail(PP_CODE_INPUT, "clock: wall needs compute: real (compute: none has no real time to keep)");
  if (config->clock == PP_CLOCK_WALL && config->method == PP_METHOD_SL)
    return pp_fail(PP_CODE_INPUT, "clock: wall with method: sl is not built yet");
  if (config->clock == PP_CLOCK_WALL && ranks != wanted)
    return pp_fail(PP_CODE_USAGE,
                   "clock: wall needs exactly %d ranks (the server and %d devices), not %d: mpirun -n %d", wanted,
                   wanted - 1, ranks, wanted);
  if (is_real(run) && ranks > wanted)
    return pp_fail(PP_CODE_USAGE, "%d ranks are more than the server and %d devices can use: at most %d", ranks,
                   wanted - 1, wanted);
  return NULL;
}

static double mebibytes(int64_t bytes) { return (double)bytes / (1 << 20); }

/* Refused before anything is allocated: memory that is only promised fails when it is touched, by a kill. */
static pp_status check_memory(const pp_run *run) {
  int64_t node_bytes = 0;
  int64_t own_bytes = pp_memory_of_timed(&run->job);
  if (is_real(run))
    own_bytes = pp_memory_of_rank(&run->job, pp_comm_rank(run->job.comm), pp_comm_size(run->job.comm));
  PP_TRY(pp_comm_node_sum(run->job.comm, own_bytes, &node_bytes));
  int64_t available = pp_memory_available();
  if (node_bytes <= available)
    return NULL;
  return pp_fail(PP_CODE_RUN,
                 "not enough memory: the run's ranks on this machine need %.0f MiB, %.0f MiB are available",
                 mebibytes(node_bytes), mebibytes(available));
}

static pp_status load_data(pp_run *run) {
  const pp_config *config = run->job.config;
  PP_TRY(pp_dataset_load(&config->dataset, config->seed, &run->dataset));
  PP_TRY(pp_partition_create(config, run->dataset, &run->partition));
  run->job.dataset = run->dataset;
  run->job.partition = run->partition;
  return NULL;
}

static pp_status create_training(pp_run *run) {
  pp_job *job = &run->job;
  PP_TRY(pp_alloc((size_t)job->parameters, sizeof(float), "the averaged model", &run->params));
  PP_TRY(pp_alloc((size_t)job->statistics, sizeof(float), "the averaged model", &run->stats));
  pp_model_init(job->model, job->config->seed, run->params, run->stats);
  if (strcmp(job->config->init, "random") != 0)
    PP_TRY(pp_results_read_tensors(job->config->directory, job->config->init, job->model, run->params, run->stats));
  if (job->updates != NULL)
    PP_TRY(pp_updates_keep(job->updates, job, 0, run->params, run->stats));
  job->start_params = run->params;
  job->start_stats = run->stats;
  if (job->config->training.threads > 1)
    PP_TRY(pp_pool_create(job->config->training.threads, &job->pool));
  PP_TRY(pp_evaluator_create(job, &run->evaluator));
  if (pp_comm_size(job->comm) == 1) {
    PP_TRY(pp_local_create(job, &run->local));
    PP_TRY(pp_weights_init_with(&run->work, job->model, 0, job->blocks, true, false));
  } else if (is_first(run)) {
    PP_TRY(pp_server_rank_create(job, &run->server));
  } else {
    PP_TRY(pp_device_rank_create(job, &run->devices));
    if (job->config->method == PP_METHOD_SL)
      PP_TRY(pp_alloc(PP_CHUNK_ELEMENTS, sizeof(float), "a chunk of a model", &run->chunk));
  }
  if (is_first(run))
    PP_TRY(pp_aggregate_init(&run->aggregate, job));
  return NULL;
}

static pp_status check(pp_run *run) {
  pp_comm *comm = run->job.comm;
  PP_TRY(pp_comm_agree(comm, describe(&run->job, &run->model, &run->scenario)));
  PP_TRY(pp_comm_agree(comm, check_ranks(run)));
  return pp_comm_agree(comm, check_memory(run));
}

pp_status pp_run_check(pp_comm *comm, const pp_config *config) {
  pp_run run = {.job = {.comm = comm, .config = config}};
  pp_status status = check(&run);
  pp_updates_destroy(run.job.updates);
  pp_scenario_destroy(run.scenario);
  pp_model_destroy(run.model);
  return status;
}

static pp_status prepare(pp_run *run) {
  const pp_config *config = run->job.config;
  pp_comm *comm = run->job.comm;
  PP_TRY(check(run));
  if (is_real(run)) {
    PP_TRY(pp_comm_agree(comm, load_data(run)));
    PP_TRY(pp_comm_agree(comm, create_training(run)));
  }
  size_t devices = (size_t)run->scenario->device_count;
  pp_status status = pp_alloc(devices + 1, sizeof *run->members, "the members of a round", &run->members);
  if (status == NULL && run->job.updates != NULL)
    status = pp_alloc(devices, sizeof *run->totals, "scores", &run->totals);
  if (is_real(run) && status == NULL && pp_scenario_replans(config))
    status = pp_alloc((size_t)config->group_count, sizeof *run->plans, "plans", &run->plans);
  if (is_first(run) && status == NULL) {
    status = pp_timeline_create(run->scenario, config->record_stages, &run->timeline);
    if (status == NULL && pp_scenario_replans(config))
      status = pp_replan_create(run->scenario, &run->replan);
    if (status == NULL && run->replan != NULL)
      pp_timeline_replan_by(run->timeline, pp_replan_replanner(run->replan));
    if (status == NULL)
      status = pp_alloc((size_t)run->scenario->device_count, sizeof *run->scores, "scores", &run->scores);
  }
  return pp_comm_agree(comm, status);
}

pp_status pp_run_create(const pp_run_request *request, pp_run **out) {
  pp_run *run = NULL;
  PP_TRY(pp_comm_agree(request->comm, pp_alloc(1, sizeof *run, "a run", &run)));
  run->request = *request;
  run->clock.wall = request->config->clock == PP_CLOCK_WALL;
  run->job =
      (pp_job){.comm = request->comm, .config = request->config, .clock = &run->clock, .stopped = request->stopped};
  pp_nn_set_threads(1);
  pp_status status = prepare(run);
  if (status != NULL) {
    pp_run_destroy(run);
    return status;
  }
  *out = run;
  return NULL;
}

void pp_run_destroy(pp_run *run) {
  if (run == NULL)
    return;
  pp_timeline_destroy(run->timeline);
  pp_replan_destroy(run->replan);
  pp_local_destroy(run->local);
  pp_server_rank_destroy(run->server);
  pp_device_rank_destroy(run->devices);
  pp_evaluator_destroy(run->evaluator);
  pp_pool_destroy(run->job.pool);
  pp_weights_fini(&run->work);
  pp_aggregate_fini(&run->aggregate);
  pp_updates_destroy(run->job.updates);
  pp_partition_destroy(run->partition);
  pp_dataset_destroy(run->dataset);
  pp_scenario_destroy(run->replanned);
  pp_scenario_destroy(run->scenario);
  pp_model_destroy(run->model);
  free(run->plans);
  free(run->params);
  free(run->stats);
  free(run->scores);
  free(run->totals);
  free(run->stages);
  free(run->members);
  free(run->arrivals_ns);
  free(run->chunk);
  free(run);
}

/* Every device in turn, each from the averaged model. */
static pp_status train_alone(pp_run *run, int64_t round) {
  const pp_job *job = &run->job;
  double total = pp_job_member_samples(job);
  for (int device = 0; device < job->scenario->device_count; device++) {
    run->scores[device] = (pp_score){0};
    if (!pp_job_is_member(job, device))
      continue;
    memcpy(run->work.params, run->params, (size_t)job->parameters * sizeof(float));
    memcpy(run->work.stats, run->stats, (size_t)job->statistics * sizeof(float));
    PP_TRY(pp_local_train(run->local, device, round, &run->work, &run->scores[device]));
    pp_privacy_whole_update(job, device, round, &run->work);
    pp_aggregate_add(&run->aggregate, &run->work, 0, 0, (double)pp_job_class(job, device)->samples / total);
  }
  pp_aggregate_finish(&run->aggregate, run->params, run->stats);
  pp_privacy_average(job, run->stats);
  return NULL;
}

/* sl, alone: each device goes on from where the one before it stopped. */
static pp_status train_in_turns_alone(pp_run *run, int64_t round) {
  const pp_job *job = &run->job;
  memcpy(run->work.params, run->params, (size_t)job->parameters * sizeof(float));
  memcpy(run->work.stats, run->stats, (size_t)job->statistics * sizeof(float));
  for (int device = 0; device < job->scenario->device_count; device++)
    PP_TRY(pp_local_train(run->local, device, round, &run->work, &run->scores[device]));
  memcpy(run->params, run->work.params, (size_t)job->parameters * sizeof(float));
  memcpy(run->stats, run->work.stats, (size_t)job->statistics * sizeof(float));
  return NULL;
}

/* sl: the device's part of the model travels from rank 0 to the device's rank and back, the server's stays. */
static pp_status train_turn(pp_run *run, int64_t round, int device) {
  const pp_job *job = &run->job;
  int owner = pp_job_rank_of(job, device);
  if (run->devices != NULL) {
    if (owner != pp_comm_rank(job->comm))
      return NULL;
    const pp_weights *weights = pp_device_rank_weights(run->devices, device);
    PP_TRY(pp_weights_receive(job->comm, 0, device, weights, run->chunk));
    PP_TRY(pp_device_rank_round(run->devices, round, device, device + 1));
    return pp_weights_send(job->comm, 0, device, weights);
  }
  int split = pp_job_class(job, device)->split;
  pp_weights part = {.parameters = pp_model_parameter_offset(job->model, split),
                     .statistics = pp_model_statistic_offset(job->model, split),
                     .params = run->params,
                     .stats = run->stats};
  pp_ns end_ns = 0;
  PP_TRY(pp_weights_send(job->comm, owner, device, &part));
  pp_server_rank_load_replica(run->server, device, run->params, run->stats);
  PP_TRY(pp_server_rank_round(run->server, round, device, device + 1, run->scores, &end_ns));
  pp_server_rank_store_replica(run->server, device, run->params, run->stats);
  return pp_weights_receive(job->comm, owner, device, &part, run->aggregate.chunk);
}

/* All devices at once, then their average. */
static pp_status train_together(pp_run *run, int64_t round, pp_ns *aggregated_ns) {
  int devices = run->scenario->device_count;
  if (run->server != NULL) {
    pp_server_rank_load(run->server, run->params, run->stats);
    PP_TRY(pp_server_rank_round(run->server, round, 0, devices, run->scores, aggregated_ns));
    PP_TRY(pp_server_rank_take_records(run->server));
    PP_TRY(pp_server_rank_aggregate(run->server, &run->aggregate, NULL));
    pp_aggregate_finish(&run->aggregate, run->params, run->stats);
    pp_privacy_average(&run->job, run->stats);
    return NULL;
  }
  pp_device_rank_load(run->devices, run->params, run->stats);
  PP_TRY(pp_device_rank_round(run->devices, round, 0, devices));
  PP_TRY(pp_device_rank_send_records(run->devices));
  return pp_device_rank_send_models(run->devices);
}

static void start_from(const pp_job *job, int device, const pp_weights *weights) {
  memcpy(weights->params, pp_updates_start_params(job->updates, device), (size_t)weights->parameters * sizeof(float));
  memcpy(weights->stats, pp_updates_start_stats(job->updates, job, device),
         (size_t)weights->statistics * sizeof(float));
}

static pp_status train_updates_alone(pp_run *run) {
  const pp_job *job = &run->job;
  for (int device = 0; device < job->scenario->device_count; device++) {
    run->scores[device] = (pp_score){0};
    if (!pp_job_is_member(job, device))
      continue;
    start_from(job, device, &run->work);
    PP_TRY(pp_local_train(run->local, device, job->local_rounds[device], &run->work, &run->scores[device]));
    pp_aggregate_add(&run->aggregate, &run->work, 0, 0, job->updates->weights[device]);
  }
  return NULL;
}

static pp_status train_updates_together(pp_run *run, int64_t round) {
  const pp_job *job = &run->job;
  int devices = job->scenario->device_count;
  for (int device = 0; device < devices; device++) {
    if (!pp_job_is_member(job, device))
      continue;
    if (run->server != NULL)
      pp_server_rank_load_replica(run->server, device, pp_updates_start_params(job->updates, device),
                                  pp_updates_start_stats(job->updates, job, device));
    else if (pp_job_rank_of(job, device) == pp_comm_rank(job->comm))
      start_from(job, device, pp_device_rank_weights(run->devices, device));
  }
  if (run->server != NULL) {
    pp_ns end_ns = 0;
    PP_TRY(pp_server_rank_round(run->server, round, 0, devices, run->scores, &end_ns));
    return pp_server_rank_aggregate(run->server, &run->aggregate, job->updates->weights);
  }
  PP_TRY(pp_device_rank_round(run->devices, round, 0, devices));
  return pp_device_rank_send_models(run->devices);
}

/* The updates that the round's aggregate takes, each from the version that its device had. */
static pp_status train_updates(pp_run *run, int64_t round) {
  pp_job *job = &run->job;
  int devices = job->scenario->device_count;
  memset(run->totals, 0, (size_t)devices * sizeof *run->totals);
  while (pp_updates_next(job->updates, job, round)) {
    job->members = job->updates->members;
    job->local_rounds = job->updates->local_rounds;
    PP_TRY(run->local != NULL ? train_updates_alone(run) : train_updates_together(run, round));
    pp_updates_finish(job->updates, job, is_first(run) ? &run->aggregate : NULL);
    for (int device = 0; is_first(run) && device < devices; device++) {
      run->totals[device].loss_sum += run->scores[device].loss_sum;
      run->totals[device].correct += run->scores[device].correct;
      run->totals[device].samples += run->scores[device].samples;
    }
  }
  if (is_first(run)) {
    memcpy(run->scores, run->totals, (size_t)devices * sizeof *run->scores);
    pp_updates_finish_round(job->updates, job, &run->aggregate, run->params, run->stats);
  }
  PP_TRY(pp_comm_broadcast(job->comm, 0, run->params, (size_t)job->parameters * sizeof(float)));
  PP_TRY(pp_comm_broadcast(job->comm, 0, run->stats, (size_t)job->statistics * sizeof(float)));
  return pp_updates_keep(job->updates, job, round + 1, run->params, run->stats);
}

/* One round of training on every rank; *aggregated_ns: emulated time when it ended, under the wall clock. */
static pp_status train(pp_run *run, int64_t round, pp_ns *aggregated_ns) {
  const pp_job *job = &run->job;
  if (job->updates != NULL)
    return train_updates(run, round);
  if (job->members != NULL && pp_job_member_samples(job) == 0) {
    for (int device = 0; is_first(run) && device < job->scenario->device_count; device++)
      run->scores[device] = (pp_score){0};
    return NULL; /* nobody's model came: it stays as it is */
  }
  bool turns = job->config->method == PP_METHOD_SL;
  if (run->local != NULL)
    return turns ? train_in_turns_alone(run, round) : train_alone(run, round);
  PP_TRY(pp_clock_resume(&run->clock, job->comm, *aggregated_ns));
  if (turns) {
    for (int device = 0; device < job->scenario->device_count; device++)
      PP_TRY(train_turn(run, round, device));
    PP_TRY(run->server != NULL ? pp_server_rank_take_records(run->server) : pp_device_rank_send_records(run->devices));
  } else {
    PP_TRY(train_together(run, round, aggregated_ns));
  }
  PP_TRY(pp_comm_broadcast(job->comm, 0, run->params, (size_t)job->parameters * sizeof(float)));
  PP_TRY(pp_comm_broadcast(job->comm, 0, run->stats, (size_t)job->statistics * sizeof(float)));
  pp_ns end_ns[PP_COMM_LINE / sizeof(pp_ns)] = {*aggregated_ns};
  PP_TRY(pp_comm_broadcast(job->comm, 0, end_ns, sizeof *end_ns));
  *aggregated_ns = end_ns[0];
  return NULL;
}

static void summarise_scores(const pp_run *run, pp_round_row *row) {
  double loss = 0;
  int64_t correct = 0, samples = 0;
  for (int device = 0; device < run->scenario->device_count; device++) {
    loss += run->scores[device].loss_sum;
    correct += run->scores[device].correct;
    samples += run->scores[device].samples;
  }
  if (samples == 0)
    return;
  row->train_loss = loss / (double)samples;
  row->train_accuracy = (double)correct / (double)samples;
}

/* Rank 0: a round whose times are known goes into the file. */
static pp_status write_round(pp_run *run, const pp_round_times *times, pp_round_row *row) {
  row->round = (int32_t)times->round;
  row->iterations = times->iterations;
  row->end_s = pp_seconds(times->end_ns);
  row->server_idle_s = times->server_idle_s;
  row->device_idle_s = times->device_idle_s;
  return pp_sink_round(run->request.sink, times->records, times->record_count, row, run->scenario->rounds);
}

/* Rows for as many records as the journal has room for, so that it is the journal that decides when to grow. */
static pp_status reserve_observed(pp_run *run, int64_t count) {
  if (count <= run->stage_room)
    return NULL;
  free(run->stages);
  free(run->arrivals_ns);
  run->stages = NULL;
  run->arrivals_ns = NULL;
  run->stage_room = 0;
  PP_TRY(pp_alloc((size_t)count, sizeof *run->stages, "stage records", &run->stages));
  PP_TRY(pp_alloc((size_t)count, sizeof *run->arrivals_ns, "stage records", &run->arrivals_ns));
  run->stage_room = count;
  return NULL;
}

/* Rank 0: takes a round's rows out of its journal, into run->stages and run->arrivals_ns. */
static pp_status take_rows(pp_run *run, int64_t round, int64_t *taken) {
  pp_journal *records = run->local != NULL ? pp_local_journal(run->local) : pp_server_rank_journal(run->server);
  PP_TRY(reserve_observed(run, records->capacity));
  int64_t count = 0, kept = 0;
  for (int64_t i = 0; i < records->count; i++) {
    if (records->rows[i].stage.round == round) {
      run->stages[count] = records->rows[i].stage;
      run->arrivals_ns[count++] = records->rows[i].arrival_ns;
    } else {
      records->rows[kept++] = records->rows[i];
    }
  }
  records->count = kept;
  *taken = count;
  return NULL;
}

/* Rank 0, wall clock: what was recorded of a round, now complete, goes through the timeline and into the file. */
static pp_status observe_round(pp_run *run, int64_t round, pp_round_row *row) {
  int64_t count = 0;
  PP_TRY(take_rows(run, round, &count));
  pp_round_times times;
  PP_TRY(pp_timeline_observe_round(run->timeline, count, run->stages, run->arrivals_ns, &times));
  return write_round(run, &times, row);
}

static pp_status write_next_round(pp_run *run) {
  pp_round_times times;
  PP_TRY(pp_timeline_next_round(run->timeline, &times));
  return write_round(run, &times, &run->row);
}

/* Rank 0, measured costs: a round's figures need the lengths of the next one, which begins before it ends. */
static pp_status finish_measured(pp_run *run, int64_t round, const pp_round_row *row) {
  pp_journal *lengths = run->local != NULL ? pp_local_journal(run->local) : pp_server_rank_journal(run->server);
  int64_t count = 0;
  if (run->job.config->method != PP_METHOD_SL) {
    PP_TRY(pp_journal_reserve(lengths, 1));
    pp_journal_add_length(lengths, &run->job, -1, round, -1, NULL, run->aggregate.cpu_ns);
    run->aggregate.cpu_ns = 0;
  }
  PP_TRY(take_rows(run, round, &count));
  PP_TRY(pp_timeline_take_lengths(run->timeline, round, count, run->stages));
  if (round > 0)
    PP_TRY(write_next_round(run));
  run->row = *row;
  return round + 1 == run->scenario->rounds ? write_next_round(run) : NULL;
}

/* Rank 0: the plans of a round, before the timeline goes over to others. */
static pp_status write_round_plans(pp_run *run, int64_t round) {
  if (run->replan == NULL)
    return NULL;
  const pp_group_plan *plans = pp_replan_plans(run->replan);
  pp_round_plan_row *rows = NULL;
  int groups = run->job.config->group_count;
  PP_TRY(pp_alloc((size_t)groups, sizeof *rows, "the plans of a round", &rows));
  for (int group = 0; group < groups; group++)
    rows[group] = (pp_round_plan_row){(int32_t)round, group, plans[group].split,
                                      pp_method_pipelines(run->job.config->method) ? plans[group].micro_batches : 1};
  pp_status status = pp_sink_round_plans(run->request.sink, rows, groups);
  free(rows);
  return status;
}

/* Whether the timeline has to say who takes part in a round before it is trained. */
static bool goes_first(const pp_run *run) {
  return run->scenario->has_presence && !pp_scenario_waits_for_all(run->scenario);
}

/* Under the wall clock a round is known once its last model has arrived, which is a round later. */
static pp_status finish_round(pp_run *run, int64_t round, const pp_round_row *row) {
  if (goes_first(run)) {
    run->row = *row;
    return write_round(run, &run->times, &run->row);
  }
  if (run->clock.wall) {
    if (round > 0)
      PP_TRY(observe_round(run, round - 1, &run->row));
    run->row = *row;
    return NULL;
  }
  if (run->scenario->is_measured)
    return finish_measured(run, round, row);
  pp_round_times times;
  run->row = *row;
  PP_TRY(write_round_plans(run, round));
  PP_TRY(pp_timeline_next_round(run->timeline, &times));
  int64_t count = 0;
  const pp_plan_row *rows = run->replan != NULL ? pp_replan_take_rows(run->replan, &count) : NULL;
  if (count > 0)
    PP_TRY(pp_sink_plan(run->request.sink, rows, count));
  return write_round(run, &times, &run->row);
}

/* Under the wall clock: the last round's models are still on their way. */
static pp_status drain(pp_run *run, pp_ns aggregated_ns) {
  if (!run->clock.wall)
    return NULL;
  PP_TRY(pp_clock_resume(&run->clock, run->job.comm, aggregated_ns));
  int64_t rounds = run->scenario->rounds;
  if (run->server != NULL) {
    PP_TRY(pp_server_rank_take_records(run->server));
    return observe_round(run, rounds - 1, &run->row);
  }
  PP_TRY(pp_device_rank_drain(run->devices, rounds));
  return pp_device_rank_send_records(run->devices);
}

static void fill_causes(double cause_s[PP_CAUSE_COUNT], const pp_resource_times *times, double *overrun_s) {
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
    cause_s[cause] = pp_seconds(times->cause_ns[cause]);
  *overrun_s = fmax(*overrun_s, cause_s[PP_CAUSE_OVERRUN]);
}

/* rows: (device_count). Adds what the devices have to the summary. */
static void fill_devices(const pp_run *run, const pp_timeline_totals *totals, pp_device_row *rows,
                         pp_run_summary *summary, double *overrun_s) {
  int devices = run->scenario->device_count;
  for (int device = 0; device < devices; device++) {
    const pp_resource_times *times = &totals->devices[device];
    const pp_device_class *class = pp_job_class(&run->job, device);
    rows[device] = (pp_device_row){.device = device,
                                   .group = class->group,
                                   .split = class->split,
                                   .micro_batches = class->micro_batches,
                                   .samples = class->samples,
                                   .busy_s = pp_seconds(times->busy_ns),
                                   .idle_s = pp_seconds(times->idle_ns),
                                   .bytes_up = times->bytes_up,
                                   .bytes_down = times->bytes_down};
    fill_causes(rows[device].cause_s, times, overrun_s);
    summary->device_idle_s += rows[device].idle_s / devices;
    summary->bytes_up += times->bytes_up;
    summary->bytes_down += times->bytes_down;
  }
}

/* rows: (slots). */
static void fill_server(const pp_run *run, const pp_timeline_totals *totals, pp_server_row *rows,
                        pp_run_summary *summary, double *overrun_s) {
  int slots = run->scenario->slots;
  for (int slot = 0; slot < slots; slot++) {
    const pp_resource_times *times = &totals->slots[slot];
    rows[slot] =
        (pp_server_row){.slot = slot, .busy_s = pp_seconds(times->busy_ns), .idle_s = pp_seconds(times->idle_ns)};
    fill_causes(rows[slot].cause_s, times, overrun_s);
    summary->server_busy_s += rows[slot].busy_s;
    summary->server_idle_s += rows[slot].idle_s / slots;
  }
}

static pp_status end_in_file(pp_run *run) {
  const pp_scenario *scenario = run->scenario;
  pp_timeline_totals totals;
  PP_TRY(pp_timeline_finish(run->timeline, &totals));
  pp_device_row *devices = NULL;
  pp_server_row *server = NULL;
  pp_run_summary summary = {.makespan_s = pp_seconds(totals.makespan_ns),
                            .train_loss = run->row.train_loss,
                            .test_accuracy = run->row.test_accuracy};
  double overrun_s = 0;
  bool with_model = run->job.config->record_model && is_real(run);
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc((size_t)scenario->device_count, sizeof *devices, "the devices' table", &devices), done);
  PP_TRY_GOTO(status, pp_alloc((size_t)scenario->slots, sizeof *server, "the server's table", &server), done);
  if (run->replan != NULL && !is_real(run))
    run->job.scenario = pp_replan_scenario(run->replan); /* the last plans; those who train have them already */
  fill_devices(run, &totals, devices, &summary, &overrun_s);
  fill_server(run, &totals, server, &summary, &overrun_s);
  summary.overrun_s = run->clock.wall ? overrun_s : (double)NAN;
  status = pp_sink_end(run->request.sink, &summary, devices, scenario->device_count, server, scenario->slots,
                       with_model ? run->model : NULL, with_model ? run->params : NULL, with_model ? run->stats : NULL);
done:
  free(devices);
  free(server);
  return status;
}

/* Any rank's signal stops all of them after the same round. */
static pp_status agree_to_stop(pp_run *run, bool *stopped) {
  int64_t signals = 0;
  PP_TRY(pp_comm_sum(run->job.comm, *run->request.stopped != 0, &signals));
  *stopped = signals > 0;
  return NULL;
}

/* Where it depends on time who takes part, the timeline goes first and rank 0 tells all ranks. */
static pp_status announce_members(pp_run *run, bool *is_last) {
  int devices = run->scenario->device_count;
  pp_status status = NULL;
  if (is_first(run)) {
    status = pp_timeline_next_round(run->timeline, &run->times);
    if (status == NULL) {
      memset(run->members, 0, (size_t)devices + 1);
      for (int64_t member = 0; member < run->times.member_count; member++)
        run->members[run->times.members[member]] = true;
      run->members[devices] = run->times.is_last;
    }
  }
  PP_TRY(pp_comm_agree(run->job.comm, status));
  PP_TRY(pp_comm_broadcast(run->job.comm, 0, run->members, (size_t)devices + 1));
  run->job.members = run->members;
  *is_last = run->members[devices];
  return NULL;
}

static bool plans_differ(const pp_run *run) {
  const pp_scenario *scenario = run->job.scenario;
  bool pipelines = pp_method_pipelines(run->job.config->method), differ = false;
  for (int index = 0; index < scenario->class_count; index++) {
    const pp_device_class *class = &scenario->classes[index];
    const pp_group_plan *plan = &run->plans[class->group];
    differ = differ || class->split != plan->split || (pipelines && class->micro_batches != plan->micro_batches);
  }
  return differ;
}

/* Real training, between two rounds: rank 0 tells the plans that the timeline has gone over to, and every rank cuts the
 * network anew. The models are whole now, and are handed out when the round begins. */
static pp_status follow_plans(pp_run *run, int64_t round) {
  const pp_config *config = run->job.config;
  if (run->plans == NULL || (round + 1) % config->pipeline.replan != 0)
    return NULL;
  size_t bytes = (size_t)config->group_count * sizeof *run->plans;
  PP_ASSERT(!is_first(run) || run->replan != NULL);
  if (is_first(run))
    memcpy(run->plans, pp_replan_plans(run->replan), bytes);
  PP_TRY(pp_comm_broadcast(run->job.comm, 0, run->plans, bytes));
  if (!plans_differ(run))
    return NULL;
  pp_scenario *made = NULL, *before = run->replanned;
  PP_TRY(pp_comm_agree(run->job.comm, pp_scenario_build(pp_scenario_inputs_of(run->scenario), run->plans, 0, &made)));
  run->job.scenario = run->replanned = made;
  pp_status status = NULL;
  if (run->local != NULL)
    status = pp_local_adopt(run->local);
  else
    status = run->server != NULL ? pp_server_rank_adopt(run->server) : pp_device_rank_adopt(run->devices);
  pp_scenario_destroy(before);
  return status;
}

static pp_status run_rounds(pp_run *run, bool *stopped) {
  pp_ns aggregated_ns = 0;
  bool is_last = false;
  for (int64_t round = 0; !is_last; round++) {
    is_last = round + 1 == run->scenario->rounds;
    if (goes_first(run))
      PP_TRY(announce_members(run, &is_last));
    pp_round_row row = {.train_loss = (double)NAN,
                        .train_accuracy = (double)NAN,
                        .test_accuracy = (double)NAN,
                        .epsilon = pp_privacy_spent(&run->job, round)};
    if (is_real(run)) {
      pp_status status = train(run, round, &aggregated_ns);
      *stopped = pp_error_code(status) == PP_CODE_STOPPED;
      if (*stopped) {
        pp_error_free(status);
        return NULL;
      }
      PP_TRY(status);
      if (is_first(run))
        summarise_scores(run, &row);
      PP_TRY(pp_evaluator_run(run->evaluator, run->params, run->stats, &row.test_accuracy));
    }
    if (is_first(run))
      PP_TRY(finish_round(run, round, &row));
    if (!is_last)
      PP_TRY(agree_to_stop(run, stopped));
    if (*stopped)
      return NULL;
    if (!is_last)
      PP_TRY(follow_plans(run, round));
  }
  return drain(run, aggregated_ns);
}

pp_status pp_run_execute(pp_run *run, bool *stopped) {
  *stopped = false;
  if (is_first(run))
    PP_TRY(pp_run_inputs_write(run->request.sink, run->scenario, run->model));
  if (is_first(run) && run->scenario->plan_count > 0)
    PP_TRY(pp_sink_plan(run->request.sink, run->scenario->plan, run->scenario->plan_count));
  PP_TRY(run_rounds(run, stopped));
  return is_first(run) && !*stopped ? end_in_file(run) : NULL;
}
