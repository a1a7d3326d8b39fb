/* What releases of noisy data give away: Renyi differential privacy (Mironov, CSF 2017) and its conversion. */
#ifndef PP_NN_ACCOUNTANT_H
#define PP_NN_ACCOUNTANT_H

#include <stdint.h>

#include "pipar/config.h"

/* Renyi divergence of `order` > 1 of one Gaussian release whose noise has `multiplier` times the sensitivity as
 * standard deviation (Mironov 2017, Proposition 7). Those of several releases add up (Proposition 1). */
double pp_rdp_gaussian(double order, double multiplier);
/* The same of one Laplace release that is (epsilon, 0)-private, noise of the L1 sensitivity over epsilon as scale
 * (Mironov 2017, table II). Holds for a vector with noise in each element too: the formula is convex in epsilon, the
 * logarithm of a sum of exponentials, and 0 at 0, so what is shared among elements adds up to no more than in one. */
double pp_rdp_laplace(double order, double epsilon);
/* The epsilon of the (epsilon, delta) that a divergence of that order implies (Canonne, Kamath and Steinke, NeurIPS
 * 2020, Proposition 12); at least 0. 0 < delta < 1. */
double pp_rdp_epsilon(double order, double divergence, double delta);
/* The least epsilon over all orders for so many Gaussian releases; infinite without noise, 0 without releases. */
double pp_epsilon_gaussian(double multiplier, int64_t releases, double delta);
/* The same for Laplace releases that are (epsilon, 0)-private each, epsilon > 0; never above their plain sum, which
 * holds with any delta (Dwork and Roth, 2014, theorem 3.16). */
double pp_epsilon_laplace(double epsilon, int64_t releases, double delta);
/* The epsilon of so many releases of an experiment's mechanism. NaN without a mechanism. */
double pp_privacy_epsilon(const pp_privacy_config *privacy, int64_t releases);

#endif
