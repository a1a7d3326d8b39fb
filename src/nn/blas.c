/* OpenBLAS as a process-wide service. */
#include <cblas.h>

#include <stdio.h>

#include "pipar/nn.h"

void pp_nn_set_threads(int threads) { openblas_set_num_threads(threads < 1 ? 1 : threads); }

const char *pp_nn_library(void) { return openblas_get_config(); }
