/* Vectors of PP_VECTOR_BYTES, which the instruction set that a file is compiled for may have or not. */
#ifndef PP_NN_VECTOR_H
#define PP_NN_VECTOR_H

#include <string.h>

enum { LANES = PP_VECTOR_BYTES / 4 };

typedef float vec __attribute__((vector_size(PP_VECTOR_BYTES)));

#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const float *p) {
  vec v;
  memcpy(&v, p, sizeof v);
  return v;
}
INLINE void store(float *p, vec v) { memcpy(p, &v, sizeof v); }

#endif
