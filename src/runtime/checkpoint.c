#include "runtime/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "runtime/message.h"
#include "runtime/records.h"
#include "runtime/training.h"

bool pp_run_has_checkpoints(const pp_config *config) {
  return config->compute == PP_COMPUTE_REAL && config->checkpoint_every_rounds > 0 &&
         config->clock == PP_CLOCK_VIRTUAL && config->groups[0].cost.kind != PP_COST_MEASURED;
}

static bool takes_turns(const pp_job *job) { return job->config->method == PP_METHOD_SL; }

int64_t pp_checkpoint_bytes(const pp_job *job) {
  int64_t models = 1 + (job->updates != NULL ? job->updates->most_kept : 0);
  int64_t momenta = job->scenario->device_count + takes_turns(job);
  return ((models + momenta) * job->parameters + models * job->statistics) * (int64_t)sizeof(float) +
         job->scenario->rounds * (int64_t)sizeof(pp_round_row);
}

/* ---- What is where ---- */

static float *local_momentum(const pp_run *run, int device) { return pp_local_momentum(run->local, device); }

static float *shared_momentum(const pp_run *run) {
  return run->local != NULL ? pp_local_shared_momentum(run->local) : pp_server_rank_shared_momentum(run->server);
}

/* The device's part of its momentum, on its rank. */
static pp_weights device_momentum(const pp_run *run, int device) {
  const pp_weights *weights = pp_device_rank_weights(run->devices, device);
  return (pp_weights){.parameters = weights->parameters, .params = weights->momentum};
}

/* Elements of the device's part; where its replica's begin. */
static int64_t part_of_device(const pp_run *run, int device) {
  return pp_model_parameter_offset(
      run->model, run->job.config->method == PP_METHOD_FL ? run->job.blocks : pp_job_class(&run->job, device)->split);
}

static void mix(int64_t *digest, const void *data, size_t bytes) {
  *digest = (int64_t)pp_digest_add((uint64_t)*digest, data, bytes);
}

/* Tells another data set by its first samples. */
static pp_status fingerprint(const pp_run *run, int64_t *out) {
  enum { few = 16 };
  const pp_job *job = &run->job;
  float *x = NULL;
  int32_t label = 0;
  *out = (int64_t)pp_dataset_test_count(job->dataset);
  PP_TRY(pp_alloc((size_t)job->image_elements, sizeof *x, "a sample", &x));
  pp_status status = NULL;
  for (int sample = 0; status == NULL && sample < few; sample++) {
    if (sample < pp_batch_size(job->partition, job->config, 0, 0)) {
      status = pp_batch_fill(job->dataset, job->partition, job->config, 0, 0, sample, 1, x, &label);
      mix(out, x, (size_t)job->image_elements * sizeof *x);
      mix(out, &label, sizeof label);
    }
    if (status == NULL && sample < pp_dataset_test_count(job->dataset)) {
      status = pp_dataset_test_fill(job->dataset, sample, 1, x, &label);
      mix(out, x, (size_t)job->image_elements * sizeof *x);
      mix(out, &label, sizeof label);
    }
  }
  free(x);
  return status;
}

static pp_checkpoint_head head_of(const pp_run *run, int64_t rounds) {
  const pp_job *job = &run->job;
  pp_checkpoint_head head = {.run = run->request.sink->run,
                             .rounds = rounds,
                             .devices = job->scenario->device_count,
                             .parameters = job->parameters,
                             .statistics = job->statistics,
                             .data = run->data};
  for (int64_t version = 0; job->updates != NULL && version < job->updates->version_count; version++)
    head.versions += job->updates->versions[version] != NULL;
  return head;
}

pp_status pp_run_prepare_checkpoint(pp_run *run) {
  const pp_run_request *request = &run->request;
  if (request->checkpoint_path == NULL)
    return NULL;
  if (run->devices != NULL && run->chunk == NULL)
    PP_TRY(pp_alloc(PP_CHUNK_ELEMENTS, sizeof(float), "a chunk of a model", &run->chunk));
  if (!pp_run_is_first(run))
    return NULL;
  PP_TRY(pp_alloc((size_t)run->scenario->rounds, sizeof *run->rows, "rows of rounds", &run->rows));
  PP_TRY(fingerprint(run, &run->data));
  return pp_checkpoint_writer_create(request->checkpoint_path, request->identity, &run->checkpoint);
}

bool pp_run_is_checkpoint_due(const pp_run *run, int64_t round, bool stopped) {
  int64_t every = run->job.config->checkpoint_every_rounds; /* 0: going on from one, only to stop again */
  return run->request.checkpoint_path != NULL && (stopped || (every > 0 && (round + 1) % every == 0));
}

/* ---- Saving ---- */

static pp_status save_row(pp_run *run, const char *name, int64_t count, const float *values) {
  PP_TRY(pp_checkpoint_add_table(run->checkpoint, name, 1, count));
  return pp_checkpoint_put(run->checkpoint, 0, 0, count, values);
}

/* The other side of pp_weights_send, straight into the file. */
static pp_status save_device_part(pp_run *run, int device) {
  int64_t count = part_of_device(run, device);
  float *chunk = run->aggregate.chunk;
  for (int64_t done = 0; done < count; done += PP_CHUNK_ELEMENTS) {
    int64_t size = count - done < PP_CHUNK_ELEMENTS ? count - done : PP_CHUNK_ELEMENTS;
    PP_TRY(pp_comm_recv(run->job.comm, pp_job_rank_of(&run->job, device), pp_tag_model(device), chunk,
                        (size_t)size * sizeof(float)));
    PP_TRY(pp_checkpoint_put(run->checkpoint, device, done, size, chunk));
  }
  return NULL;
}

static pp_status save_momentum(pp_run *run) {
  const pp_job *job = &run->job;
  PP_TRY(pp_checkpoint_add_table(run->checkpoint, "momentum", job->scenario->device_count, job->parameters));
  for (int device = 0; device < job->scenario->device_count; device++) {
    if (run->local != NULL) {
      PP_TRY(pp_checkpoint_put(run->checkpoint, device, 0, job->parameters, local_momentum(run, device)));
      continue;
    }
    PP_TRY(save_device_part(run, device));
    const float *replica = pp_server_rank_momentum(run->server, device);
    int64_t first = part_of_device(run, device);
    if (replica != NULL)
      PP_TRY(pp_checkpoint_put(run->checkpoint, device, first, job->parameters - first, replica));
  }
  return takes_turns(job) ? save_row(run, "shared_momentum", job->parameters, shared_momentum(run)) : NULL;
}

/* Models that updates to come will begin with, and which they are. */
static pp_status save_versions(pp_run *run, int64_t count) {
  const pp_job *job = &run->job;
  const pp_updates *updates = job->updates;
  int64_t row = 0, elements = job->parameters + job->statistics;
  PP_TRY(pp_checkpoint_add_table(run->checkpoint, "versions", count, elements));
  for (int64_t version = 0; version < updates->version_count; version++)
    if (updates->versions[version] != NULL)
      PP_TRY(pp_checkpoint_put(run->checkpoint, row++, 0, elements, updates->versions[version]));
  return NULL;
}

static pp_status save_on_first(pp_run *run, int64_t rounds) {
  const pp_job *job = &run->job;
  pp_checkpoint_head head = head_of(run, rounds);
  PP_TRY(pp_checkpoint_begin(run->checkpoint, &head));
  PP_TRY(pp_checkpoint_put_rounds(run->checkpoint, run->rows));
  PP_TRY(save_row(run, "params", job->parameters, run->params));
  PP_TRY(save_row(run, "stats", job->statistics, run->stats));
  PP_TRY(save_momentum(run));
  if (job->updates != NULL)
    PP_TRY(save_versions(run, head.versions));
  return pp_checkpoint_commit(run->checkpoint);
}

pp_status pp_run_save(pp_run *run, int64_t round) {
  const pp_job *job = &run->job;
  if (pp_run_is_first(run))
    PP_TRY(save_on_first(run, round + 1));
  for (int device = 0; run->devices != NULL && device < job->scenario->device_count; device++) {
    if (pp_job_rank_of(job, device) != pp_comm_rank(job->comm))
      continue;
    pp_weights momentum = device_momentum(run, device);
    PP_TRY(pp_weights_send(job->comm, 0, device, &momentum));
  }
  run->saved_rounds = round + 1;
  return NULL;
}

/* ---- Restoring ---- */

typedef struct restored {
  _Alignas(PP_COMM_LINE) int64_t rounds;
} restored;

static pp_status check_head(const pp_run *run, const pp_checkpoint_head *head) {
  pp_checkpoint_head wanted = head_of(run, head->rounds);
  const char *path = run->request.checkpoint_path;
  if (head->data != wanted.data)
    return pp_fail(PP_CODE_INPUT, "%s was trained with other data: --resume wants the data set that it was begun with",
                   path);
  if (head->devices != wanted.devices || head->parameters != wanted.parameters ||
      head->statistics != wanted.statistics || head->rounds < 1 || head->rounds >= run->scenario->rounds)
    return pp_fail(PP_CODE_INPUT, "%s does not fit the experiment", path);
  return NULL;
}

/* Damage is to be found before anything is handed out. */
static pp_status verify(const pp_run *run, const char *name, int64_t rows, int64_t columns) {
  float *chunk = run->aggregate.chunk;
  for (int64_t row = 0; row < rows; row++)
    for (int64_t done = 0; done < columns; done += PP_CHUNK_ELEMENTS) {
      int64_t size = columns - done < PP_CHUNK_ELEMENTS ? columns - done : PP_CHUNK_ELEMENTS;
      PP_TRY(pp_checkpoint_get(run->resumed, name, columns, row, done, size, chunk));
    }
  return NULL;
}

static pp_status open_checkpoint(pp_run *run) {
  PP_TRY(pp_checkpoint_open(run->request.checkpoint_path, run->request.identity, &run->resumed));
  if (run->resumed == NULL)
    return pp_fail(PP_CODE_INPUT, "%s is gone", run->request.checkpoint_path);
  const pp_checkpoint_head *head = pp_checkpoint_head_of(run->resumed);
  PP_TRY(check_head(run, head));
  PP_TRY(verify(run, "momentum", head->devices, head->parameters));
  if (takes_turns(&run->job))
    PP_TRY(verify(run, "shared_momentum", 1, head->parameters));
  PP_TRY(pp_checkpoint_get_rounds(run->resumed, run->rows));
  PP_TRY(pp_checkpoint_get(run->resumed, "params", head->parameters, 0, 0, head->parameters, run->params));
  return pp_checkpoint_get(run->resumed, "stats", head->statistics, 0, 0, head->statistics, run->stats);
}

/* The timeline goes through the complete rounds again, and their rows into the file. */
static pp_status replay(pp_run *run, int64_t rounds) {
  pp_sink *sink = run->request.sink;
  pp_round_watcher watcher = sink->watcher;
  pp_status status = NULL;
  sink->watcher = NULL;
  for (int64_t round = 0; status == NULL && round < rounds; round++) {
    pp_round_row row = run->rows[round];
    if (round + 1 == rounds)
      sink->watcher = watcher;
    if (pp_run_goes_first(run))
      status = pp_timeline_next_round(run->timeline, &run->times);
    if (status == NULL)
      status = pp_run_finish_round(run, round, &row);
  }
  sink->watcher = watcher;
  return status;
}

/* The updates of the complete rounds have been trained; what is left of older models comes from the file, in the order
 * of their versions. */
static pp_status restore_versions(pp_run *run, int64_t rounds) {
  const pp_job *job = &run->job;
  const pp_checkpoint *checkpoint = run->resumed;
  pp_updates *updates = job->updates;
  int64_t row = 0, elements = job->parameters + job->statistics;
  for (int64_t round = 0; round < rounds; round++)
    while (pp_updates_next(updates, job, round))
      pp_updates_finish(updates, job, NULL);
  float *model = NULL;
  PP_TRY(pp_comm_agree(job->comm, pp_alloc((size_t)elements, sizeof *model, "a version of the model", &model)));
  pp_status status = NULL;
  for (int64_t version = 0; status == NULL && version <= rounds && version < updates->version_count; version++) {
    if (updates->uses[version] == 0)
      continue;
    if (checkpoint != NULL)
      status = pp_checkpoint_get(checkpoint, "versions", elements, row++, 0, elements, model);
    status = pp_comm_agree(job->comm, status);
    if (status == NULL)
      status = pp_comm_broadcast(job->comm, 0, model, (size_t)elements * sizeof *model);
    if (status == NULL) {
      if (updates->versions[version] == NULL)
        status = pp_updates_keep(updates, job, version, model, model + job->parameters);
      status = pp_comm_agree(job->comm, status);
    }
  }
  free(model);
  return status;
}

static pp_status restore_device_part(pp_run *run, const pp_checkpoint *checkpoint, int device) {
  const pp_job *job = &run->job;
  int64_t count = part_of_device(run, device);
  float *chunk = run->aggregate.chunk;
  for (int64_t done = 0; done < count; done += PP_CHUNK_ELEMENTS) {
    int64_t size = count - done < PP_CHUNK_ELEMENTS ? count - done : PP_CHUNK_ELEMENTS;
    PP_TRY(pp_checkpoint_get(checkpoint, "momentum", job->parameters, device, done, size, chunk));
    PP_TRY(pp_comm_send(job->comm, pp_job_rank_of(job, device), pp_tag_model(device), chunk,
                        (size_t)size * sizeof(float)));
  }
  return NULL;
}

pp_status pp_run_restore_momentum(pp_run *run) {
  const pp_job *job = &run->job;
  const pp_checkpoint *checkpoint = run->resumed;
  int64_t all = job->parameters;
  for (int device = 0; device < job->scenario->device_count; device++) {
    if (run->local != NULL) {
      PP_TRY(pp_checkpoint_get(checkpoint, "momentum", all, device, 0, all, local_momentum(run, device)));
    } else if (run->server != NULL) {
      float *replica = pp_server_rank_momentum(run->server, device);
      int64_t first = part_of_device(run, device);
      PP_TRY(restore_device_part(run, checkpoint, device));
      if (replica != NULL)
        PP_TRY(pp_checkpoint_get(checkpoint, "momentum", all, device, first, all - first, replica));
    } else if (pp_job_rank_of(job, device) == pp_comm_rank(job->comm)) {
      pp_weights momentum = device_momentum(run, device);
      PP_TRY(pp_weights_receive(job->comm, 0, device, &momentum, run->chunk));
    }
  }
  if (checkpoint != NULL && takes_turns(job))
    PP_TRY(pp_checkpoint_get(checkpoint, "shared_momentum", all, 0, 0, all, shared_momentum(run)));
  pp_checkpoint_close(run->resumed);
  run->resumed = NULL;
  return NULL;
}

pp_status pp_run_restore(pp_run *run) {
  pp_job *job = &run->job;
  restored told = {.rounds = 0};
  PP_TRY(pp_comm_agree(job->comm, pp_run_is_first(run) ? open_checkpoint(run) : NULL));
  if (run->resumed != NULL)
    told.rounds = pp_checkpoint_head_of(run->resumed)->rounds;
  PP_TRY(pp_comm_broadcast(job->comm, 0, &told, sizeof told));
  PP_TRY(pp_comm_broadcast(job->comm, 0, run->params, (size_t)job->parameters * sizeof(float)));
  PP_TRY(pp_comm_broadcast(job->comm, 0, run->stats, (size_t)job->statistics * sizeof(float)));
  if (job->updates != NULL)
    PP_TRY(restore_versions(run, told.rounds));
  PP_TRY(pp_comm_agree(job->comm, pp_run_is_first(run) ? replay(run, told.rounds) : NULL));
  run->saved_rounds = told.rounds;
  return pp_comm_agree(job->comm, pp_run_follow_plans(run));
}
