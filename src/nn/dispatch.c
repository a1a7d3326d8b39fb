/* Which kernels this processor runs. */
#include <stddef.h>

#include "nn/kernels.h"
#include "pipar/nn.h"

extern const pp_kernels pp_kernels_plain;
#ifdef PP_KERNELS_X86
extern const pp_kernels pp_kernels_avx2, pp_kernels_avx512;
#endif

void pp_kernels_all(const pp_kernels *out[4]) {
  int count = 0;
#ifdef PP_KERNELS_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    out[count++] = &pp_kernels_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    out[count++] = &pp_kernels_avx2;
#endif
  out[count++] = &pp_kernels_plain;
  out[count] = NULL;
}

const pp_kernels *pp_kernels_best(void) {
  const pp_kernels *all[4];
  pp_kernels_all(all);
  return all[0];
}

const char *pp_nn_kernels(void) { return pp_kernels_best()->name; }
