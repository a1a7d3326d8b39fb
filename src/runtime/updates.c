#include "runtime/updates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static pp_status collect(pp_updates *updates, pp_timeline *timeline) {
  pp_round_times times = {.is_last = false};
  while (!times.is_last) {
    PP_TRY(pp_timeline_next_round(timeline, &times));
    memcpy(updates->updates + updates->count, times.updates, (size_t)times.update_count * sizeof *times.updates);
    updates->count += times.update_count;
  }
  return NULL;
}

/* Versions are kept from when they come to be until the last update that begins with them has been trained. */
static void count_versions(pp_updates *updates) {
  for (int64_t which = 0; which < updates->count; which++)
    updates->uses[updates->updates[which].version]++;
  int64_t kept = 0, next = 0, *left = updates->uses;
  for (int64_t version = 0; version < updates->version_count; version++) {
    kept += left[version] > 0;
    updates->most_kept = kept > updates->most_kept ? kept : updates->most_kept;
    for (int64_t which = 0; which < updates->scenario->buffer && next < updates->count; which++)
      kept -= --left[updates->updates[next++].version] == 0;
  }
  for (int64_t which = 0; which < updates->count; which++)
    left[updates->updates[which].version]++;
}

static pp_status create(pp_updates *updates) {
  const pp_scenario *scenario = updates->scenario;
  int64_t count = pp_scenario_update_count(scenario);
  size_t devices = (size_t)scenario->device_count;
  updates->version_count = scenario->rounds;
  PP_TRY(pp_alloc((size_t)count, sizeof *updates->updates, "the updates", &updates->updates));
  PP_TRY(pp_alloc((size_t)scenario->rounds, sizeof *updates->uses, "the model's versions", &updates->uses));
  PP_TRY(pp_alloc((size_t)scenario->rounds, sizeof *updates->versions, "the model's versions", &updates->versions));
  PP_TRY(pp_alloc(devices, sizeof *updates->members, "the updates", &updates->members));
  PP_TRY(pp_alloc(devices, sizeof *updates->local_rounds, "the updates", &updates->local_rounds));
  PP_TRY(pp_alloc(devices, sizeof *updates->weights, "the updates", &updates->weights));
  pp_timeline *timeline = NULL;
  PP_TRY(pp_timeline_create(scenario, false, &timeline));
  pp_status status = collect(updates, timeline);
  pp_timeline_destroy(timeline);
  if (status == NULL)
    count_versions(updates);
  return status;
}

pp_status pp_updates_create(const pp_scenario *scenario, pp_updates **out) {
  pp_updates *updates = NULL;
  PP_TRY(pp_alloc(1, sizeof *updates, "the updates", &updates));
  updates->scenario = scenario;
  pp_status status = create(updates);
  if (status != NULL) {
    pp_updates_destroy(updates);
    return status;
  }
  *out = updates;
  return NULL;
}

void pp_updates_destroy(pp_updates *updates) {
  if (updates == NULL)
    return;
  for (int64_t version = 0; updates->versions != NULL && version < updates->version_count; version++)
    free(updates->versions[version]);
  free(updates->versions);
  free(updates->updates);
  free(updates->uses);
  free(updates->members);
  free(updates->local_rounds);
  free(updates->weights);
  free(updates);
}

pp_status pp_updates_keep(pp_updates *updates, const pp_job *job, int64_t version, const float *params,
                          const float *stats) {
  if (version >= updates->version_count || updates->uses[version] == 0)
    return NULL;
  float *copy = NULL;
  PP_TRY(pp_alloc((size_t)(job->parameters + job->statistics), sizeof *copy, "a version of the model", &copy));
  memcpy(copy, params, (size_t)job->parameters * sizeof *copy);
  memcpy(copy + job->parameters, stats, (size_t)job->statistics * sizeof *copy);
  updates->versions[version] = copy;
  return NULL;
}

static const pp_device_class *class_of(const pp_updates *updates, int device) {
  return &updates->scenario->classes[updates->scenario->class_of[device]];
}

/* The device's part in the average, less the older the model that it began with. */
static double weight_of(const pp_updates *updates, const pp_job *job, const pp_update *update, int64_t round,
                        double samples) {
  double staleness = (double)(round - update->version);
  return (double)class_of(updates, update->device)->samples / samples *
         pow(1 + staleness, -job->config->aggregate.staleness_exponent);
}

bool pp_updates_next(pp_updates *updates, const pp_job *job, int64_t round) {
  int64_t first = round * updates->scenario->buffer, end = first + updates->scenario->buffer;
  end = end < updates->count ? end : updates->count;
  if (updates->end <= first) {
    updates->end = first;
    updates->rest = 1;
  }
  updates->first = updates->end;
  memset(updates->members, 0, (size_t)updates->scenario->device_count * sizeof *updates->members);
  double samples = 0;
  for (int64_t which = first; which < end; which++)
    samples += (double)class_of(updates, updates->updates[which].device)->samples;
  for (; updates->end < end; updates->end++) {
    const pp_update *update = &updates->updates[updates->end];
    if (updates->members[update->device])
      break; /* it has two updates in this round */
    updates->members[update->device] = true;
    updates->local_rounds[update->device] = update->local_round;
    updates->weights[update->device] = weight_of(updates, job, update, round, samples);
    updates->rest -= updates->weights[update->device];
  }
  return updates->end > updates->first;
}

static float *start_of(const pp_updates *updates, int device) {
  for (int64_t which = updates->first; which < updates->end; which++)
    if (updates->updates[which].device == device)
      return updates->versions[updates->updates[which].version];
  return NULL;
}

const float *pp_updates_start_params(const pp_updates *updates, int device) { return start_of(updates, device); }

const float *pp_updates_start_stats(const pp_updates *updates, const pp_job *job, int device) {
  return start_of(updates, device) + job->parameters;
}

void pp_updates_finish(pp_updates *updates, const pp_job *job, pp_aggregate *aggregate) {
  for (int device = 0; aggregate != NULL && device < updates->scenario->device_count; device++)
    if (updates->members[device]) {
      pp_weights start = {.parameters = job->parameters, .params = start_of(updates, device)};
      pp_aggregate_add(aggregate, &start, 0, 0, -updates->weights[device]);
    }
  for (int64_t which = updates->first; which < updates->end; which++) {
    int64_t version = updates->updates[which].version;
    if (--updates->uses[version] == 0) {
      free(updates->versions[version]);
      updates->versions[version] = NULL;
    }
  }
}

void pp_updates_finish_round(const pp_updates *updates, const pp_job *job, pp_aggregate *aggregate, float *params,
                             float *stats) {
  pp_weights newest = {.parameters = job->parameters, .params = params};
  pp_weights moments = {.statistics = job->statistics, .stats = stats};
  pp_aggregate_add(aggregate, &newest, 0, 0, 1);
  pp_aggregate_add(aggregate, &moments, 0, 0, updates->rest);
  pp_aggregate_finish(aggregate, params, stats);
}
