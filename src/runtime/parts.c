#include "runtime/parts.h"

#include <stdlib.h>

#include "base/mem.h"
#include "nn/privacy.h"

pp_status pp_weights_init(pp_weights *weights, const pp_model *model, int first, int end, bool trained) {
  return pp_weights_init_with(weights, model, first, end, trained, trained);
}

pp_status pp_weights_init_with(pp_weights *weights, const pp_model *model, int first, int end, bool grads,
                               bool momentum) {
  *weights = (pp_weights){
      .parameters = pp_model_parameter_offset(model, end) - pp_model_parameter_offset(model, first),
      .statistics = pp_model_statistic_offset(model, end) - pp_model_statistic_offset(model, first),
  };
  size_t parameters = (size_t)weights->parameters, statistics = (size_t)weights->statistics;
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc(parameters, sizeof(float), "weights", &weights->params), fail);
  PP_TRY_GOTO(status, pp_alloc(statistics, sizeof(float), "running statistics", &weights->stats), fail);
  if (grads)
    PP_TRY_GOTO(status, pp_alloc(parameters, sizeof(float), "gradients", &weights->grads), fail);
  if (momentum)
    PP_TRY_GOTO(status, pp_alloc(parameters, sizeof(float), "momentum", &weights->momentum), fail);
  return NULL;
fail:
  pp_weights_fini(weights);
  return status;
}

void pp_weights_fini(pp_weights *weights) {
  free(weights->params);
  free(weights->stats);
  free(weights->grads);
  free(weights->momentum);
  *weights = (pp_weights){0};
}

pp_status pp_device_part_init(pp_device_part *part, const pp_job *job, int device, int in_flight) {
  const pp_device_class *class = pp_job_class(job, device);
  const pp_schedule *full = class->full;
  bool whole = job->config->method == PP_METHOD_FL;
  int split = whole ? job->blocks : class->split;
  *part = (pp_device_part){.job = job, .device = device, .split = split, .in_flight = in_flight, .iteration = -1};
  int largest = pp_micro_batch_size(full->batch, full->micro_batches, 0);
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_net_create(job->model, 0, split, largest, in_flight, PP_NET_TRAIN, &part->net), fail);
  PP_TRY_GOTO(status, pp_net_share(part->net, job->pool), fail);
  PP_TRY_GOTO(status,
              pp_alloc((size_t)full->batch * (size_t)job->image_elements, sizeof(float), "a mini-batch", &part->x),
              fail);
  if (whole) {
    size_t classes = (size_t)pp_model_classes(job->model);
    PP_TRY_GOTO(status, pp_alloc((size_t)full->batch * classes, sizeof(float), "logits", &part->logits), fail);
    PP_TRY_GOTO(status, pp_alloc((size_t)full->batch, sizeof(int32_t), "labels", &part->labels), fail);
  }
  if (job->config->privacy.mechanism == PP_PRIVACY_ACTIVATION)
    PP_TRY_GOTO(status, pp_alloc((size_t)full->batch, sizeof(float), "factors of activations", &part->factors), fail);
  return NULL;
fail:
  pp_device_part_fini(part);
  return status;
}

void pp_device_part_fini(pp_device_part *part) {
  pp_net_destroy(part->net);
  free(part->x);
  free(part->logits);
  free(part->labels);
  free(part->factors);
  *part = (pp_device_part){0};
}

void pp_device_part_assign(pp_device_part *part, int device, pp_state state) {
  part->device = device;
  part->state = state;
  part->score = (pp_score){0};
}

static void place(pp_net *net, const pp_job *job, int device, int64_t iteration, const pp_op *op) {
  pp_net_place(net, (pp_sample_place){.seed = job->config->seed,
                                      .device = (uint32_t)device,
                                      .iteration = (uint32_t)iteration,
                                      .first_sample = op->first_sample});
}

static pp_rng activation_stream(const pp_job *job, int device, int64_t iteration) {
  enum { STREAM_ACTIVATION = 1 }; /* updates have 0 */
  return pp_rng_stream(job->config->seed, PP_RNG_PRIVACY, (uint32_t)device, (uint32_t)iteration, STREAM_ACTIVATION);
}

pp_status pp_device_part_forward(pp_device_part *part, const pp_op *op, float *activation, int32_t *labels) {
  const pp_job *job = part->job;
  if (labels == NULL) {
    activation = part->logits;
    labels = part->labels;
  }
  float *x = part->x + (int64_t)op->first_sample * job->image_elements;
  PP_TRY(pp_batch_fill(job->dataset, job->partition, job->config, part->device, part->iteration, op->first_sample,
                       op->samples, x, labels));
  int64_t begin_ns = pp_job_cpu_ns(job);
  place(part->net, job, part->device, part->iteration, op);
  pp_net_forward(part->net, &part->state, op->micro_batch % part->in_flight, op->samples, x, activation);
  if (part->factors != NULL)
    pp_activation_protect(&job->config->privacy, activation_stream(job, part->device, part->iteration),
                          op->first_sample, op->samples, pp_job_boundary_elements(job, part->split), activation,
                          part->factors + op->first_sample);
  part->cpu_ns = pp_job_cpu_ns(job) - begin_ns;
  return NULL;
}

/* The loss of a micro-batch, its share of the mini-batch's mean as gradient, and what they add to the score. */
static void score_loss(pp_score *score, const pp_job *job, const pp_schedule *schedule, const pp_op *op,
                       const float *logits, const int32_t *labels, float *dlogits) {
  int64_t correct = 0;
  score->loss_sum += pp_softmax_cross_entropy(op->samples, pp_model_classes(job->model), logits, labels,
                                              1.0F / (float)schedule->batch, dlogits, &correct);
  score->correct += correct;
  score->samples += op->samples;
}

void pp_device_part_backward(pp_device_part *part, const pp_schedule *schedule, const pp_op *op, float *gradient) {
  int64_t begin_ns = pp_job_cpu_ns(part->job);
  if (gradient == NULL) {
    gradient = part->logits;
    score_loss(&part->score, part->job, schedule, op, part->logits, part->labels, gradient);
  }
  if (part->factors != NULL)
    pp_activation_gradient(op->samples, pp_job_boundary_elements(part->job, part->split),
                           part->factors + op->first_sample, gradient);
  pp_net_backward(part->net, &part->state, op->micro_batch % part->in_flight, gradient, NULL);
  part->cpu_ns = pp_job_cpu_ns(part->job) - begin_ns;
}

static void update(const pp_job *job, const pp_net *net, const pp_state *state) {
  const pp_training_config *training = &job->config->training;
  pp_net_step(net, state, (float)training->learning_rate, (float)training->momentum, (float)training->weight_decay);
}

void pp_device_part_update(pp_device_part *part) {
  int64_t begin_ns = pp_job_cpu_ns(part->job);
  update(part->job, part->net, &part->state);
  part->cpu_ns = pp_job_cpu_ns(part->job) - begin_ns;
}

pp_status pp_replica_net_init(pp_replica_net *net, const pp_job *job, int split, int max_samples) {
  *net = (pp_replica_net){.split = split};
  size_t logits = (size_t)max_samples * (size_t)pp_model_classes(job->model);
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_net_create(job->model, split, job->blocks, max_samples, 1, PP_NET_TRAIN, &net->net), fail);
  PP_TRY_GOTO(status, pp_net_share(net->net, job->pool), fail);
  PP_TRY_GOTO(status, pp_alloc(logits, sizeof(float), "logits", &net->logits), fail);
  PP_TRY_GOTO(status, pp_alloc(logits, sizeof(float), "gradient of the logits", &net->dlogits), fail);
  return NULL;
fail:
  pp_replica_net_fini(net);
  return status;
}

void pp_replica_net_fini(pp_replica_net *net) {
  pp_net_destroy(net->net);
  free(net->logits);
  free(net->dlogits);
  *net = (pp_replica_net){0};
}

void pp_replica_forward(pp_replica_net *net, const pp_job *job, int device, int64_t iteration, const pp_state *state,
                        const pp_schedule *schedule, const pp_op *op, const float *activation, const int32_t *labels,
                        pp_score *score) {
  place(net->net, job, device, iteration, op);
  pp_net_forward(net->net, state, 0, op->samples, activation, net->logits);
  score_loss(score, job, schedule, op, net->logits, labels, net->dlogits);
}

void pp_replica_backward(pp_replica_net *net, const pp_state *state, float *gradient) {
  pp_net_backward(net->net, state, 0, net->dlogits, gradient);
}

void pp_replica_update(pp_replica_net *net, const pp_job *job, const pp_state *state) { update(job, net->net, state); }
