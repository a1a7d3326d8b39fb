/* The optimiser's step, see kernels.h. Compiled once per instruction set as kernels.c is, but nothing is contracted:
 * the step is the same bits on all. */
#include "nn/kernels.h"

#include <string.h>
#if defined __SSE__
#include <immintrin.h>
#endif

enum {
  LANES = PP_VECTOR_BYTES / 4,
  AHEAD = 256, /* floats between what is asked for and what is read: the caches' own guesses come late */
};

typedef float vec __attribute__((vector_size(PP_VECTOR_BYTES)));

static void step_some(const pp_sgd *by, int64_t count, float *w, float *g, float *m) {
  for (int64_t i = 0; i < count; i++) {
    m[i] = by->momentum * m[i] + (g[i] + by->weight_decay * w[i]);
    w[i] -= by->learning_rate * m[i];
    g[i] = 0.0F;
  }
}

/* A vector of a whole line at its place in memory, past the caches where the processor can. */
static inline void write_past(float *to, vec v) {
#if PP_VECTOR_BYTES == 64 && defined __AVX512F__
  _mm512_stream_ps(to, (__m512)v);
#elif PP_VECTOR_BYTES == 32 && defined __AVX__
  _mm256_stream_ps(to, (__m256)v);
#elif PP_VECTOR_BYTES == 16 && defined __SSE__
  _mm_stream_ps(to, (__m128)v);
#else
  memcpy(to, &v, sizeof v);
#endif
}

static inline void step_lines(const pp_sgd *by, int64_t count, const bool past, float *w, float *g, float *m) {
  const vec zero = {0};
  for (int64_t at = 0; at < count; at += PP_LINE) {
    if (at + AHEAD < count) { /* what lies after is another thread's */
      __builtin_prefetch(w + at + AHEAD);
      __builtin_prefetch(g + at + AHEAD);
      __builtin_prefetch(m + at + AHEAD);
    }
    for (int64_t i = at; i < at + PP_LINE; i += LANES) {
      vec weight, gradient, momentum;
      memcpy(&weight, w + i, sizeof weight);
      memcpy(&gradient, g + i, sizeof gradient);
      memcpy(&momentum, m + i, sizeof momentum);
      momentum = by->momentum * momentum + (gradient + by->weight_decay * weight);
      weight -= by->learning_rate * momentum;
      memcpy(m + i, &momentum, sizeof momentum);
      memcpy(g + i, &zero, sizeof zero);
      if (past)
        write_past(w + i, weight);
      else
        memcpy(w + i, &weight, sizeof weight);
    }
  }
}

void PP_KERNELS_SGD(const pp_sgd *rates, int64_t count, bool past, float *w, float *g, float *m) {
  int64_t first = (int64_t)(-((uintptr_t)w / sizeof *w) % PP_LINE); /* where the first line begins */
  first = first < count ? first : count;
  int64_t lines = (count - first) / PP_LINE * PP_LINE, rest = first + lines;
  step_some(rates, first, w, g, m);
  if (past)
    step_lines(rates, lines, true, w + first, g + first, m + first);
  else
    step_lines(rates, lines, false, w + first, g + first, m + first);
  step_some(rates, count - rest, w + rest, g + rest, m + rest);
#if defined __SSE__
  if (past)
    _mm_sfence(); /* before the threads meet */
#endif
}
