/* The oracle of gradients: a network's forward pass in double, channels first, by the definitions of its layers. It
 * reads what a model says of its layers and shares no arithmetic with src/nn. */
#ifndef PP_TESTS_DOUBLE_FORWARD_H
#define PP_TESTS_DOUBLE_FORWARD_H

#include "nn/model.h"

/* The training outputs (samples, features of the last block) of x (samples, C, H, W), from malloc. params: as the
 * model's flat buffer. Dropout drops what `place` says. */
double *double_forward(const pp_model *model, const double *params, pp_sample_place place, int samples,
                       const double *x);

#endif
