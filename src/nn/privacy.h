/* Clipping and noise for differential privacy (docs/privacy.md). Noise is a function of its stream and of where an
 * element stands, so that it depends neither on ranks nor on how a mini-batch is cut. */
#ifndef PP_NN_PRIVACY_H
#define PP_NN_PRIVACY_H

#include <stdint.h>

#include "base/rng.h"
#include "pipar/config.h"

/* Independent draws for the elements [first, first + count) of `major`: of variance 1 (Gaussian), or of scale 1, that
 * is of variance 2 (Laplace). */
void pp_noise_fill(pp_noise noise, pp_rng rng, uint64_t major, int64_t first, int64_t count, double *out);

/* Sum of the squares of values - start. Arrays of `count` elements. */
double pp_update_square(const float *values, const float *start, int64_t count);
/* What an update of that square is multiplied by so that its norm is at most `clip`; 0 where it is not finite. */
double pp_update_factor(double square, double clip);

/* Where an update stands in the network: its elements are [first, first + count) of `major`. */
typedef struct pp_update_place {
  pp_rng rng;
  uint64_t major;
  int64_t first, count;
} pp_update_place;
/* values = start + factor x (values - start) + deviation x noise; with factor 1 and deviation 0 not a bit changes. */
void pp_update_protect(float *values, const float *start, pp_update_place place, double factor, double deviation);

/* Clips the vector of each sample to the mechanism's norm and adds its noise. x: (samples, elements); sample n is
 * `major` first_sample + n of the stream. factors: (samples), what each was multiplied by. */
void pp_activation_protect(const pp_privacy_config *privacy, pp_rng rng, int first_sample, int samples,
                           int64_t elements, float *x, float *factors);
/* Its gradient, the factors and the noise taken for constants. dx: (samples, elements) */
void pp_activation_gradient(int samples, int64_t elements, const float *factors, float *dx);

#endif
