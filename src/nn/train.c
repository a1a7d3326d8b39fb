/* What training needs besides a network: loss, optimiser, averaging. */
#include <math.h>

#include "nn/kernels.h"
#include "pipar/nn.h"

enum { KEPT = 1024 /* exponentials of a sample, which the gradient takes again */ };

double pp_softmax_cross_entropy(int samples, int classes, const float *logits, const int32_t *labels, float scale,
                                float *dlogits, int64_t *correct) {
  double total = 0.0, kept[KEPT];
  int64_t hits = 0;
  for (int n = 0; n < samples; n++) {
    const float *row = logits + (int64_t)n * classes;
    int best = 0;
    for (int c = 1; c < classes; c++)
      if (row[c] > row[best] || (isnan(row[c]) && !isnan(row[best])))
        best = c;
    hits += best == labels[n];
    double top = (double)row[best], sum = 0.0;
    for (int c = 0; c < classes; c++) {
      double power = exp((double)row[c] - top);
      sum += power;
      if (c < KEPT)
        kept[c] = power;
    }
    total += log(sum) - ((double)row[labels[n]] - top);
    if (dlogits == NULL)
      continue;
    float *gradient = dlogits + (int64_t)n * classes; /* may be the row itself */
    for (int c = 0; c < classes; c++) {
      double softmax = (c < KEPT ? kept[c] : exp((double)row[c] - top)) / sum;
      gradient[c] = (float)((softmax - (c == labels[n] ? 1.0 : 0.0)) * (double)scale);
    }
  }
  if (correct != NULL)
    *correct = hits;
  return total;
}

void pp_sgd_step(const pp_state *state, int64_t count, float learning_rate, float momentum, float weight_decay) {
  pp_kernels_best()->sgd(&(pp_sgd){learning_rate, momentum, weight_decay}, count, false, state->params, state->grads,
                         state->momentum);
}

void pp_average_add(double *accumulator, const float *x, double weight, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    accumulator[i] += weight * (double)x[i];
}

void pp_average_finish(float *out, const double *accumulator, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    out[i] = (float)accumulator[i];
}
