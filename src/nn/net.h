/* A net with kernels of one's choice, for tests. */
#ifndef PP_NN_NET_H
#define PP_NN_NET_H

#include "nn/kernels.h"
#include "pipar/nn.h"

PP_MUST_CHECK pp_status pp_net_create_with(const pp_model *model, int first, int end, int max_samples, int in_flight,
                                           pp_net_use use, const pp_kernels *kernels, pp_net **out);

/* pp_sgd_step where all threads of a pass read the parameters, and this one takes the step of some of them: it writes
 * whole lines past the caches. A line that two cores have in their caches is taken from the other before it is written,
 * at a quarter of the memory's rate on some machines. */
void pp_sgd_step_shared(const pp_state *state, int64_t count, float learning_rate, float momentum, float weight_decay);

#endif
