#include "nn/accountant.h"

#include <math.h>

double pp_rdp_gaussian(double order, double multiplier) { return order / (2 * multiplier * multiplier); }

/* log(A e^x + B e^-y) / (a - 1) of the formula, with e^x drawn out and A = 1 - B. */
double pp_rdp_laplace(double order, double epsilon) {
  double weight = (order - 1) / (2 * order - 1);
  double divergence = epsilon + log1p(weight * expm1(-(2 * order - 1) * epsilon)) / (order - 1);
  return divergence > 0 ? divergence : 0;
}

double pp_rdp_epsilon(double order, double divergence, double delta) {
  double epsilon = divergence + log1p(-1 / order) - log(delta * order) / (order - 1);
  return epsilon > 0 ? epsilon : 0;
}

typedef struct question {
  double (*divergence)(double order, double noise);
  double noise, delta;
  int64_t releases;
} question;

/* order = 1 + e^t */
static double epsilon_at(const question *asked, double t) {
  double order = 1 + exp(t);
  return pp_rdp_epsilon(order, (double)asked->releases * asked->divergence(order, asked->noise), asked->delta);
}

/* Every order gives a bound that holds, so how well the least one is found matters for its size alone. */
static double least_epsilon(const question *asked) {
  const double low = -24, step = 0.1, golden = 0.61803398874989484820;
  int best = 0;
  enum { steps = 560 };
  for (int at = 1; at <= steps; at++)
    if (epsilon_at(asked, low + at * step) < epsilon_at(asked, low + best * step))
      best = at;
  double left = low + (best - 1) * step, right = low + (best + 1) * step;
  for (int turn = 0; turn < 60; turn++) {
    double a = right - golden * (right - left), b = left + golden * (right - left);
    if (epsilon_at(asked, a) < epsilon_at(asked, b))
      right = b;
    else
      left = a;
  }
  return epsilon_at(asked, (left + right) / 2);
}

double pp_epsilon_gaussian(double multiplier, int64_t releases, double delta) {
  if (releases == 0)
    return 0;
  if (multiplier <= 0)
    return (double)INFINITY;
  question asked = {pp_rdp_gaussian, multiplier, delta, releases};
  return least_epsilon(&asked);
}

double pp_epsilon_laplace(double epsilon, int64_t releases, double delta) {
  if (releases == 0)
    return 0;
  question asked = {pp_rdp_laplace, epsilon, delta, releases};
  double sum = (double)releases * epsilon, least = least_epsilon(&asked);
  return least < sum ? least : sum;
}

double pp_privacy_epsilon(const pp_privacy_config *privacy, int64_t releases) {
  if (privacy->mechanism == PP_PRIVACY_NONE)
    return (double)NAN;
  if (privacy->mechanism == PP_PRIVACY_ACTIVATION && privacy->noise == PP_NOISE_LAPLACE)
    return pp_epsilon_laplace(privacy->epsilon, releases, privacy->delta);
  return pp_epsilon_gaussian(privacy->noise_multiplier, releases, privacy->delta);
}
