/* What training needs besides a network: loss, optimiser, averaging. */
#include <math.h>
#include <string.h>
#if defined __SSE__
#include <xmmintrin.h>
#endif

#include "nn/net.h"
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

typedef struct step_rates {
  float learning_rate, momentum, weight_decay;
} step_rates;

/* to: the new parameters; may be w. */
static inline void step(const step_rates *by, int64_t count, const float *w, float *restrict g, float *restrict m,
                        float *to) {
  for (int64_t i = 0; i < count; i++) {
    float gradient = g[i] + by->weight_decay * w[i];
    m[i] = by->momentum * m[i] + gradient;
    to[i] = w[i] - by->learning_rate * m[i];
    g[i] = 0.0F;
  }
}

void pp_sgd_step(const pp_state *state, int64_t count, float learning_rate, float momentum, float weight_decay) {
  const step_rates by = {learning_rate, momentum, weight_decay};
  step(&by, count, state->params, state->grads, state->momentum, state->params);
}

/* A whole line at its place in memory, past the caches where the processor can. */
static inline void write_line(float *to, const float *line) {
#if defined __SSE__
  for (int i = 0; i < PP_LINE; i += 4)
    _mm_stream_ps(to + i, _mm_loadu_ps(line + i));
#else
  memcpy(to, line, PP_LINE * sizeof *to);
#endif
}

void pp_sgd_step_shared(const pp_state *state, int64_t count, float learning_rate, float momentum, float weight_decay) {
  const step_rates by = {learning_rate, momentum, weight_decay};
  float *w = state->params, *g = state->grads, *m = state->momentum, line[PP_LINE];
  int64_t at = (int64_t)(-((uintptr_t)w / sizeof *w) % PP_LINE); /* where the first line begins */
  at = at < count ? at : count;
  step(&by, at, w, g, m, w);
  for (; at + PP_LINE <= count; at += PP_LINE) {
    step(&by, PP_LINE, w + at, g + at, m + at, line);
    write_line(w + at, line);
  }
  step(&by, count - at, w + at, g + at, m + at, w + at);
#if defined __SSE__
  _mm_sfence(); /* before the threads meet */
#endif
}

void pp_average_add(double *accumulator, const float *x, double weight, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    accumulator[i] += weight * (double)x[i];
}

void pp_average_finish(float *out, const double *accumulator, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    out[i] = (float)accumulator[i];
}
