/* OpenBLAS as a process-wide service. */
#include <cblas.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "pipar/nn.h"

/* What OpenBLAS maps for each thread that is in it at a time, and keeps. */
enum { BUFFER_MIB = 128, PRODUCT_SIDE = 128 };

void pp_nn_set_threads(int threads) { openblas_set_num_threads(threads < 1 ? 1 : threads); }

const char *pp_nn_library(void) { return openblas_get_config(); }

static bool is_limited(void) {
  struct rlimit addresses, data;
  return (getrlimit(RLIMIT_AS, &addresses) == 0 && addresses.rlim_cur != RLIM_INFINITY) ||
         (getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur != RLIM_INFINITY);
}

static bool is_room(size_t bytes) {
  void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return room != MAP_FAILED && munmap(room, bytes) == 0;
}

/* Large enough for every version to want its buffer. */
static pp_status take_buffer(void) {
  enum { n = PRODUCT_SIDE };
  float *x = NULL;
  PP_TRY(pp_alloc((size_t)2 * n * n, sizeof *x, "a product", &x));
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, x, n, x, n, 0, x + n * n, n);
  free(x);
  return NULL;
}

pp_status pp_nn_reserve(int threads, int64_t other_bytes) {
  static int reserved; /* buffers: the library has them process-wide */
  if (!is_limited())
    return NULL;
  int more = threads > reserved ? threads - reserved : 0;
  size_t mebibytes = (size_t)more * BUFFER_MIB + (size_t)(other_bytes >> 20) + 1;
  if (!is_room(mebibytes << 20))
    return pp_fail(PP_CODE_RUN,
                   "not enough memory: %zu MiB of addresses are needed, %d of them for OpenBLAS, and a limit of the "
                   "process (ulimit -v or -d) leaves less",
                   mebibytes, more * BUFFER_MIB);
  if (reserved == 0)
    PP_TRY(take_buffer());
  reserved = threads > reserved ? threads : reserved;
  return NULL;
}
