#include "runtime/evaluate.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

struct pp_evaluator {
  const pp_job *job;
  int batch;
  pp_net *net;
  float *x;      /* (batch, C, H, W) */
  float *logits; /* (batch, classes) */
  int32_t *labels;
};

pp_status pp_evaluator_create(const pp_job *job, pp_evaluator **out) {
  pp_evaluator *evaluator = NULL;
  PP_TRY(pp_alloc(1, sizeof *evaluator, "the evaluation", &evaluator));
  evaluator->job = job;
  evaluator->batch = job->config->training.batch_size;
  size_t batch = (size_t)evaluator->batch;
  size_t classes = (size_t)pp_model_classes(job->model);
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_net_create(job->model, 0, job->blocks, evaluator->batch, 1, PP_NET_EVALUATE, &evaluator->net),
              fail);
  PP_TRY_GOTO(status, pp_net_share(evaluator->net, job->pool), fail);
  PP_TRY_GOTO(status, pp_alloc(batch * (size_t)job->image_elements, sizeof(float), "test images", &evaluator->x), fail);
  PP_TRY_GOTO(status, pp_alloc(batch * classes, sizeof(float), "logits", &evaluator->logits), fail);
  PP_TRY_GOTO(status, pp_alloc(batch, sizeof(int32_t), "labels", &evaluator->labels), fail);
  *out = evaluator;
  return NULL;
fail:
  pp_evaluator_destroy(evaluator);
  return status;
}

void pp_evaluator_destroy(pp_evaluator *evaluator) {
  if (evaluator == NULL)
    return;
  pp_net_destroy(evaluator->net);
  free(evaluator->x);
  free(evaluator->logits);
  free(evaluator->labels);
  free(evaluator);
}

pp_status pp_evaluator_run(pp_evaluator *evaluator, float *params, float *stats, double *accuracy) {
  const pp_job *job = evaluator->job;
  int64_t count = pp_dataset_test_count(job->dataset);
  *accuracy = (double)NAN;
  if (count == 0)
    return NULL;
  int rank = pp_comm_rank(job->comm), ranks = pp_comm_size(job->comm), batch = evaluator->batch;
  pp_state state = {.params = params, .stats = stats};
  int64_t correct = 0;
  for (int64_t first = (int64_t)rank * batch; first < count; first += (int64_t)ranks * batch) {
    int samples = (int)(count - first < batch ? count - first : batch);
    PP_TRY(pp_dataset_test_fill(job->dataset, first, samples, evaluator->x, evaluator->labels));
    pp_net_forward(evaluator->net, &state, 0, samples, evaluator->x, evaluator->logits);
    int64_t hits = 0;
    pp_softmax_cross_entropy(samples, pp_model_classes(job->model), evaluator->logits, evaluator->labels, 1.0F, NULL,
                             &hits);
    correct += hits;
  }
  int64_t total = 0;
  PP_TRY(pp_comm_sum(job->comm, correct, &total));
  *accuracy = (double)total / (double)count;
  return NULL;
}
