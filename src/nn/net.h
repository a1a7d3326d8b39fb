/* A net with kernels of one's choice, for tests. */
#ifndef PP_NN_NET_H
#define PP_NN_NET_H

#include "nn/kernels.h"
#include "pipar/nn.h"

PP_MUST_CHECK pp_status pp_net_create_with(const pp_model *model, int first, int end, int max_samples, int in_flight,
                                           pp_net_use use, const pp_kernels *kernels, pp_net **out);

#endif
