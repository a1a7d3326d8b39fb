#include "cblas.h"

void cblas_sgemm(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE turn_a, enum CBLAS_TRANSPOSE turn_b, int rows,
                 int columns, int depth, float alpha, const float *a, int lda, const float *b, int ldb, float beta,
                 float *c, int ldc) {
  (void)order;
  for (long i = 0; i < rows; i++)
    for (long j = 0; j < columns; j++) {
      float sum = 0.0F;
      for (long k = 0; k < depth; k++)
        sum +=
            a[turn_a == CblasTrans ? k * lda + i : i * lda + k] * b[turn_b == CblasTrans ? j * ldb + k : k * ldb + j];
      float *to = &c[i * ldc + j];
      *to = alpha * sum + (beta == 0.0F ? 0.0F : beta * *to);
    }
}

void openblas_set_num_threads(int threads) { (void)threads; }

char *openblas_get_config(void) {
  static char name[] = "a stand-in for OpenBLAS";
  return name;
}
