#include "base/rng.h"

#include <math.h>

#include "base/int128.h"

/* Random123's own header is not written for our warnings. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <Random123/philox.h>
#pragma GCC diagnostic pop

pp_rng pp_rng_stream(uint64_t seed, pp_rng_purpose purpose, uint32_t device, uint32_t iteration, uint32_t layer) {
  philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
  philox4x32_ctr_t counter = {{(uint32_t)purpose, device, iteration, layer}};
  philox4x32_ctr_t words = philox4x32(counter, key);
  return (pp_rng){{words.v[0], words.v[1]}};
}

void pp_rng_words(pp_rng rng, uint64_t major, uint64_t minor, uint32_t out[4]) {
  philox4x32_key_t key = {{rng.key[0], rng.key[1]}};
  philox4x32_ctr_t counter = {{(uint32_t)minor, (uint32_t)(minor >> 32), (uint32_t)major, (uint32_t)(major >> 32)}};
  philox4x32_ctr_t words = philox4x32(counter, key);
  for (int lane = 0; lane < 4; lane++)
    out[lane] = words.v[lane];
}

uint32_t pp_rng_word(pp_rng rng, uint64_t major, uint64_t minor) {
  uint32_t words[4];
  pp_rng_words(rng, major, minor / 4, words);
  return words[minor % 4];
}

static double unit_interval(uint32_t high, uint32_t low) {
  uint64_t bits = ((uint64_t)high << 32 | low) >> 11; /* 53 bits */
  return (double)bits * 0x1p-53;
}

double pp_rng_uniform(pp_rng rng, uint64_t major, uint64_t minor) {
  uint32_t words[4];
  pp_rng_words(rng, major, minor, words);
  return unit_interval(words[0], words[1]);
}

double pp_rng_normal(pp_rng rng, uint64_t major, uint64_t minor) {
  uint32_t words[4];
  pp_rng_words(rng, major, minor, words);
  double radius = sqrt(-2.0 * log1p(-unit_interval(words[0], words[1])));
  return radius * cos(6.283185307179586476925 * unit_interval(words[2], words[3]));
}

uint64_t pp_rng_below(pp_rng rng, uint64_t major, uint64_t minor, uint64_t bound) {
  uint32_t words[4];
  pp_rng_words(rng, major, minor, words);
  uint64_t bits = (uint64_t)words[0] << 32 | words[1];
  return (uint64_t)(((pp_uint128)bits * bound) >> 64);
}
