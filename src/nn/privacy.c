#include "nn/privacy.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 256 }; /* draws at a time; even, as one block of the generator gives two */

/* Of 53 bits, in [0, 1). */
static double unit_interval(uint32_t high, uint32_t low) {
  return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

/* Box and Muller, 1958: both of the pair. */
static void draw_gaussian(const uint32_t words[4], double out[2]) {
  double radius = sqrt(-2.0 * log1p(-unit_interval(words[0], words[1])));
  double angle = 6.283185307179586476925 * unit_interval(words[2], words[3]);
  out[0] = radius * cos(angle);
  out[1] = radius * sin(angle);
}

/* An exponential draw by inversion, whose sign is the bit that the inversion leaves over. */
static void draw_laplace(const uint32_t words[4], double out[2]) {
  for (int lane = 0; lane < 2; lane++) {
    double size = -log1p(-unit_interval(words[2 * lane], words[2 * lane + 1]));
    out[lane] = (words[2 * lane + 1] & 1U) != 0 ? -size : size;
  }
}

void pp_noise_fill(pp_noise noise, pp_rng rng, uint64_t major, int64_t first, int64_t count, double *out) {
  for (int64_t block = first / 2; 2 * block < first + count; block++) {
    uint32_t words[4];
    double pair[2];
    pp_rng_words(rng, major, (uint64_t)block, words);
    if (noise == PP_NOISE_LAPLACE)
      draw_laplace(words, pair);
    else
      draw_gaussian(words, pair);
    for (int64_t lane = 0; lane < 2; lane++) {
      int64_t at = 2 * block + lane - first;
      if (at >= 0 && at < count)
        out[at] = pair[lane];
    }
  }
}

double pp_update_square(const float *values, const float *start, int64_t count) {
  double square = 0;
  for (int64_t i = 0; i < count; i++) {
    double difference = (double)values[i] - (double)start[i];
    square += difference * difference;
  }
  return square;
}

/* 0 for a norm that is not finite: what diverged must not pass unclipped. */
static double factor_of(double norm, double clip) {
  if (!isfinite(norm))
    return 0;
  return norm > clip ? clip / norm : 1;
}

double pp_update_factor(double square, double clip) { return factor_of(sqrt(square), clip); }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

void pp_update_protect(float *values, const float *start, pp_update_place place, double factor, double deviation) {
  double noise[CHUNK] = {0};
  if (factor == 1 && deviation == 0)
    return; /* -0 + 0 is 0 */
  if (factor == 0)
    memcpy(values, start, (size_t)place.count * sizeof *values);
  for (int64_t done = 0; done < place.count; done += CHUNK) {
    int64_t count = least(place.count - done, CHUNK);
    if (deviation > 0)
      pp_noise_fill(PP_NOISE_GAUSSIAN, place.rng, place.major, place.first + done, count, noise);
    for (int64_t i = 0; i < count; i++) {
      double value = (double)values[done + i], from = (double)start[done + i];
      values[done + i] = (float)(value + (factor - 1) * (value - from) + deviation * noise[i]);
    }
  }
}

static double norm_of(pp_noise noise, const float *x, int64_t elements) {
  double sum = 0;
  for (int64_t i = 0; i < elements; i++)
    sum += noise == PP_NOISE_LAPLACE ? fabs((double)x[i]) : (double)x[i] * (double)x[i];
  return noise == PP_NOISE_LAPLACE ? sum : sqrt(sum);
}

void pp_activation_protect(const pp_privacy_config *privacy, pp_rng rng, int first_sample, int samples,
                           int64_t elements, float *x, float *factors) {
  double scale =
      2 * privacy->clip * (privacy->noise == PP_NOISE_LAPLACE ? 1 / privacy->epsilon : privacy->noise_multiplier);
  double noise[CHUNK] = {0};
  for (int sample = 0; sample < samples; sample++) {
    float *vector = x + sample * elements;
    double factor = factor_of(norm_of(privacy->noise, vector, elements), privacy->clip);
    factors[sample] = (float)factor;
    if (factor == 1 && scale == 0)
      continue;
    if (factor == 0)
      memset(vector, 0, (size_t)elements * sizeof *vector);
    for (int64_t done = 0; done < elements; done += CHUNK) {
      int64_t count = least(elements - done, CHUNK);
      if (scale > 0)
        pp_noise_fill(privacy->noise, rng, (uint64_t)(first_sample + sample), done, count, noise);
      for (int64_t i = 0; i < count; i++)
        vector[done + i] = (float)(factor * (double)vector[done + i] + scale * noise[i]);
    }
  }
}

void pp_activation_gradient(int samples, int64_t elements, const float *factors, float *dx) {
  for (int sample = 0; sample < samples; sample++)
    for (int64_t i = 0; factors[sample] != 1.0F && i < elements; i++)
      dx[sample * elements + i] *= factors[sample];
}
