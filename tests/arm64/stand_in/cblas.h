/* As much of CBLAS as src/nn uses, in plain loops, for processors that OpenBLAS is not there for. */
#ifndef PP_STAND_IN_CBLAS_H
#define PP_STAND_IN_CBLAS_H

enum CBLAS_ORDER { CblasRowMajor = 101 };
enum CBLAS_TRANSPOSE { CblasNoTrans = 111, CblasTrans = 112 };

void cblas_sgemm(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE turn_a, enum CBLAS_TRANSPOSE turn_b, int rows,
                 int columns, int depth, float alpha, const float *a, int lda, const float *b, int ldb, float beta,
                 float *c, int ldc);
void openblas_set_num_threads(int threads);
char *openblas_get_config(void);

#endif
