/* The optimiser's step, see kernels.h. Compiled once per instruction set as kernels.c is, but nothing is contracted:
 * the step is the same bits on all. */
#include "nn/kernels.h"
#include "nn/vector.h"

#if defined __SSE__
#include <immintrin.h>
#endif

enum { AHEAD = 256 /* floats between what is asked for and what is read: the caches' own guesses come late */ };

static void step_some(const pp_sgd *by, int64_t count, float *w, float *g, float *m) {
  for (int64_t i = 0; i < count; i++) {
    m[i] = by->momentum * m[i] + (g[i] + by->weight_decay * w[i]);
    w[i] -= by->learning_rate * m[i];
    g[i] = 0.0F;
  }
}

/* A vector of a whole line at its place in memory, past the caches where the processor can. */
INLINE void write_past(float *to, vec v) {
#if PP_VECTOR_BYTES == 64 && defined __AVX512F__
  _mm512_stream_ps(to, (__m512)v);
#elif PP_VECTOR_BYTES == 32 && defined __AVX__
  _mm256_stream_ps(to, (__m256)v);
#elif PP_VECTOR_BYTES == 16 && defined __SSE__
  _mm_stream_ps(to, (__m128)v);
#else
  store(to, v);
#endif
}

static void step_lines(const pp_sgd *by, int64_t count, bool past, float *w, float *g, float *m) {
  const vec zero = {0};
  for (int64_t at = 0; at < count; at += PP_LINE) {
    if (at + AHEAD < count) { /* what lies after is another thread's */
      __builtin_prefetch(w + at + AHEAD);
      __builtin_prefetch(g + at + AHEAD);
      __builtin_prefetch(m + at + AHEAD);
    }
    for (int64_t i = at; i < at + PP_LINE; i += LANES) {
      vec weight = load(w + i), momentum = by->momentum * load(m + i) + (load(g + i) + by->weight_decay * weight);
      weight -= by->learning_rate * momentum;
      store(m + i, momentum);
      store(g + i, zero);
      if (past)
        write_past(w + i, weight);
      else
        store(w + i, weight);
    }
  }
}

void PP_KERNELS_SGD(const pp_sgd *rates, int64_t count, bool past, float *w, float *g, float *m) {
  int64_t first = (int64_t)(-((uintptr_t)w / sizeof *w) % PP_LINE); /* where the first line begins */
  first = first < count ? first : count;
  int64_t lines = (count - first) / PP_LINE * PP_LINE, rest = first + lines;
  step_some(rates, first, w, g, m);
  step_lines(rates, lines, past, w + first, g + first, m + first);
  step_some(rates, count - rest, w + rest, g + rest, m + rest);
#if defined __SSE__
  if (past)
    _mm_sfence(); /* before the threads meet */
#endif
}
