#include "runtime/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/checkpoint.h"
#include "runtime/draft.h"
#include "runtime/inputs.h"
#include "runtime/privacy.h"
#include "runtime/records.h"
#include "runtime/training.h"

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
  } else if (pp_run_is_first(run)) {
    PP_TRY(pp_server_rank_create(job, &run->server));
  } else {
    PP_TRY(pp_device_rank_create(job, &run->devices));
    if (job->config->method == PP_METHOD_SL)
      PP_TRY(pp_alloc(PP_CHUNK_ELEMENTS, sizeof(float), "a chunk of a model", &run->chunk));
  }
  if (pp_run_is_first(run))
    PP_TRY(pp_aggregate_init(&run->aggregate, job));
  return NULL;
}

static pp_status prepare(pp_run *run) {
  const pp_config *config = run->job.config;
  pp_comm *comm = run->job.comm;
  PP_TRY(pp_comm_agree(comm, pp_draft_check_memory(run->request.draft, comm)));
  if (pp_run_is_real(run)) {
    PP_TRY(pp_comm_agree(comm, load_data(run)));
    PP_TRY(pp_comm_agree(comm, create_training(run)));
    PP_TRY(pp_comm_agree(comm, pp_run_prepare_checkpoint(run)));
  }
  size_t devices = (size_t)run->scenario->device_count;
  pp_status status = pp_alloc(devices + 1, sizeof *run->members, "the members of a round", &run->members);
  if (status == NULL && run->job.updates != NULL)
    status = pp_alloc(devices, sizeof *run->totals, "scores", &run->totals);
  if (pp_run_is_real(run) && status == NULL && pp_scenario_replans(config))
    status = pp_alloc((size_t)config->group_count, sizeof *run->plans, "plans", &run->plans);
  if (pp_run_is_first(run) && status == NULL) {
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
  run->clock.wall = request->draft->job.config->clock == PP_CLOCK_WALL;
  run->job = request->draft->job;
  run->model = run->job.model;
  run->scenario = run->job.scenario;
  run->job.comm = request->comm;
  run->job.clock = &run->clock;
  run->job.stopped = request->stopped;
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
  pp_partition_destroy(run->partition);
  pp_dataset_destroy(run->dataset);
  pp_scenario_destroy(run->replanned);
  free(run->plans);
  free(run->params);
  free(run->stats);
  free(run->scores);
  free(run->totals);
  free(run->stages);
  free(run->members);
  free(run->arrivals_ns);
  free(run->chunk);
  free(run->rows);
  pp_checkpoint_writer_destroy(run->checkpoint);
  pp_checkpoint_close(run->resumed);
  free(run);
}

int64_t pp_run_saved_rounds(const pp_run *run) { return run->saved_rounds; }

/* Any rank's signal stops all of them after the same round. */
static pp_status agree_to_stop(pp_run *run, bool *stopped) {
  int64_t signals = 0;
  PP_TRY(pp_comm_sum(run->job.comm, *run->request.stopped != 0, &signals));
  *stopped = signals > 0;
  return NULL;
}

/* A round that is not in the checkpoint yet is finished and saved before a signal is heard. */
static void choose_signal(pp_run *run, int64_t round) {
  static const volatile sig_atomic_t never = 0;
  bool saved = run->request.checkpoint_path == NULL || run->saved_rounds == round;
  run->job.stopped = saved ? run->request.stopped : &never;
}

/* Trains a round and tests what it gave. */
static pp_status train(pp_run *run, int64_t round, pp_ns *aggregated_ns, pp_round_row *row) {
  choose_signal(run, round);
  PP_TRY(pp_run_train(run, round, aggregated_ns));
  if (pp_run_is_first(run))
    pp_run_summarise_scores(run, row);
  return pp_evaluator_run(run->evaluator, run->params, run->stats, &row->test_accuracy);
}

/* Between two rounds: whether a signal stops the run here, a checkpoint, other plans. */
static pp_status between_rounds(pp_run *run, int64_t round, bool *stopped) {
  PP_TRY(agree_to_stop(run, stopped));
  if (pp_run_is_checkpoint_due(run, round, *stopped))
    PP_TRY(pp_run_save(run, round));
  if (!*stopped && run->plans != NULL && (round + 1) % run->job.config->pipeline.replan == 0)
    PP_TRY(pp_run_follow_plans(run));
  return NULL;
}

static pp_status run_rounds(pp_run *run, bool *stopped) {
  pp_ns aggregated_ns = 0;
  bool is_last = false;
  for (int64_t round = run->saved_rounds; !is_last; round++) {
    is_last = round + 1 == run->scenario->rounds;
    if (pp_run_goes_first(run))
      PP_TRY(pp_run_announce_members(run, &is_last));
    pp_round_row row = {.train_loss = (double)NAN,
                        .train_accuracy = (double)NAN,
                        .test_accuracy = (double)NAN,
                        .epsilon = pp_privacy_spent(&run->job, round)};
    if (pp_run_is_real(run)) {
      pp_status status = train(run, round, &aggregated_ns, &row);
      *stopped = pp_error_code(status) == PP_CODE_STOPPED;
      if (*stopped) {
        pp_error_free(status);
        return NULL;
      }
      PP_TRY(status);
    }
    if (run->rows != NULL)
      run->rows[round] = row;
    if (pp_run_is_first(run))
      PP_TRY(pp_run_finish_round(run, round, &row));
    if (!is_last)
      PP_TRY(between_rounds(run, round, stopped));
    if (*stopped)
      return NULL;
  }
  return pp_run_drain(run, aggregated_ns);
}

static pp_status write_inputs(pp_run *run) {
  if (!pp_run_is_first(run))
    return NULL;
  PP_TRY(pp_run_inputs_write(run->request.sink, run->scenario, run->model));
  if (run->scenario->plan_count == 0)
    return NULL;
  return pp_sink_plan(run->request.sink, run->scenario->plan, run->scenario->plan_count);
}

pp_status pp_run_begin(pp_run *run) {
  PP_TRY(pp_comm_agree(run->job.comm, write_inputs(run)));
  return run->request.resume ? pp_run_restore(run) : NULL;
}

pp_status pp_run_execute(pp_run *run, bool *stopped) {
  *stopped = false;
  if (run->request.resume)
    PP_TRY(pp_run_restore_momentum(run));
  PP_TRY(run_rounds(run, stopped));
  return pp_run_is_first(run) && !*stopped ? pp_run_end_in_file(run) : NULL;
}
