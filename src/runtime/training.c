#include "runtime/training.h"

#include <string.h>

#include "runtime/privacy.h"

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
    pp_updates_finish(job->updates, job, pp_run_is_first(run) ? &run->aggregate : NULL);
    for (int device = 0; pp_run_is_first(run) && device < devices; device++) {
      run->totals[device].loss_sum += run->scores[device].loss_sum;
      run->totals[device].correct += run->scores[device].correct;
      run->totals[device].samples += run->scores[device].samples;
    }
  }
  if (pp_run_is_first(run)) {
    memcpy(run->scores, run->totals, (size_t)devices * sizeof *run->scores);
    pp_updates_finish_round(job->updates, job, &run->aggregate, run->params, run->stats);
  }
  PP_TRY(pp_comm_broadcast(job->comm, 0, run->params, (size_t)job->parameters * sizeof(float)));
  PP_TRY(pp_comm_broadcast(job->comm, 0, run->stats, (size_t)job->statistics * sizeof(float)));
  return pp_updates_keep(job->updates, job, round + 1, run->params, run->stats);
}

pp_status pp_run_train(pp_run *run, int64_t round, pp_ns *aggregated_ns) {
  const pp_job *job = &run->job;
  if (job->updates != NULL)
    return train_updates(run, round);
  if (job->members != NULL && pp_job_member_samples(job) == 0) {
    for (int device = 0; pp_run_is_first(run) && device < job->scenario->device_count; device++)
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

void pp_run_summarise_scores(const pp_run *run, pp_round_row *row) {
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

pp_status pp_run_announce_members(pp_run *run, bool *is_last) {
  int devices = run->scenario->device_count;
  pp_status status = NULL;
  if (pp_run_is_first(run)) {
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

pp_status pp_run_follow_plans(pp_run *run) {
  const pp_config *config = run->job.config;
  if (run->plans == NULL)
    return NULL;
  size_t bytes = (size_t)config->group_count * sizeof *run->plans;
  PP_ASSERT(!pp_run_is_first(run) || run->replan != NULL);
  if (pp_run_is_first(run))
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
