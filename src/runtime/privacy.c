#include "runtime/privacy.h"

#include <math.h>
#include <string.h>

#include "nn/accountant.h"
#include "nn/privacy.h"

enum { STREAM_UPDATE = 0, MAJOR_PARAMETERS = 0, MAJOR_STATISTICS = 1 };

static bool protects_updates(const pp_job *job) { return job->config->privacy.mechanism == PP_PRIVACY_DP_FEDAVG; }

/* Where the update comes in two parts each is clipped to 1 / sqrt(2) of the whole's norm, as neither place knows the
 * other's (McMahan et al., ICLR 2018, "per-layer clipping"). */
static double clip_of_part(const pp_job *job, int device) {
  double clip = job->config->privacy.clip;
  bool whole = job->config->method == PP_METHOD_FL || pp_job_class(job, device)->split == job->blocks;
  return whole ? clip : clip * sqrt(0.5);
}

void pp_privacy_update(const pp_job *job, int device, int64_t round, const pp_weights *weights, int64_t first_parameter,
                       int64_t first_statistic) {
  if (!protects_updates(job) || weights->parameters + weights->statistics == 0)
    return;
  const pp_privacy_config *privacy = &job->config->privacy;
  const float *params = job->start_params + first_parameter, *stats = job->start_stats + first_statistic;
  double square = pp_update_square(weights->params, params, weights->parameters) +
                  pp_update_square(weights->stats, stats, weights->statistics);
  double factor = pp_update_factor(square, clip_of_part(job, device));
  double deviation = 2 * privacy->clip * privacy->noise_multiplier;
  pp_rng rng = pp_rng_stream(job->config->seed, PP_RNG_PRIVACY, (uint32_t)device, (uint32_t)round, STREAM_UPDATE);
  pp_update_protect(weights->params, params,
                    (pp_update_place){rng, MAJOR_PARAMETERS, first_parameter, weights->parameters}, factor, deviation);
  pp_update_protect(weights->stats, stats,
                    (pp_update_place){rng, MAJOR_STATISTICS, first_statistic, weights->statistics}, factor, deviation);
}

void pp_privacy_whole_update(const pp_job *job, int device, int64_t round, const pp_weights *whole) {
  int split = job->config->method == PP_METHOD_FL ? job->blocks : pp_job_class(job, device)->split;
  int64_t parameters = pp_model_parameter_offset(job->model, split);
  int64_t statistics = pp_model_statistic_offset(job->model, split);
  pp_weights first = {
      .parameters = parameters, .statistics = statistics, .params = whole->params, .stats = whole->stats};
  pp_weights rest = {.parameters = whole->parameters - parameters,
                     .statistics = whole->statistics - statistics,
                     .params = whole->params + parameters,
                     .stats = whole->stats + statistics};
  pp_privacy_update(job, device, round, &first, 0, 0);
  pp_privacy_update(job, device, round, &rest, parameters, statistics);
}

void pp_privacy_average(const pp_job *job, float *stats) {
  if (!protects_updates(job))
    return;
  static const char ending[] = "running_var";
  for (int tensor = 0; tensor < pp_model_tensor_count(job->model); tensor++) {
    const pp_tensor_info *info = pp_model_tensor(job->model, tensor);
    size_t length = strlen(info->name), tail = sizeof ending - 1;
    if (!info->is_statistic || length < tail || strcmp(info->name + length - tail, ending) != 0)
      continue;
    for (int64_t i = info->offset; i < info->offset + info->elements; i++)
      if (stats[i] < 0.0F)
        stats[i] = 0.0F;
  }
}

/* How often the most frequent sample of any device has been uploaded. */
static int64_t passes_until(const pp_job *job, int64_t round) {
  int64_t most = 0;
  for (int index = 0; index < job->scenario->class_count; index++) {
    const pp_device_class *class = &job->scenario->classes[index];
    int64_t first = 0, iterations = 0;
    pp_class_round_iterations(class, round, &first, &iterations);
    int64_t passes = (iterations + class->iterations_per_epoch - 1) / class->iterations_per_epoch;
    most = passes > most ? passes : most;
  }
  return most;
}

double pp_privacy_spent(const pp_job *job, int64_t round) {
  return pp_privacy_epsilon(&job->config->privacy, protects_updates(job) ? round + 1 : passes_until(job, round));
}
