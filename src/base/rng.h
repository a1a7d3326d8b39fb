/* Counter-based random numbers (Random123 Philox 4x32-10: Salmon et al., SC 2011): every draw is a function of what
 * it is for, so results depend neither on order nor on how a run is spread over ranks. */
#ifndef PP_BASE_RNG_H
#define PP_BASE_RNG_H

#include <stdint.h>

/* What a stream is for; part of its key. Append only: the numbers are part of every result. */
typedef enum pp_rng_purpose {
  PP_RNG_INIT = 1,      /* initial weights */
  PP_RNG_SHUFFLE = 2,   /* order of samples in an epoch */
  PP_RNG_AUGMENT = 3,   /* crops and flips */
  PP_RNG_PARTITION = 4, /* samples among devices */
  PP_RNG_SYNTHETIC = 5, /* the synthetic data set */
  PP_RNG_DROPOUT = 6,
  PP_RNG_PRIVACY = 7,
  PP_RNG_SILENCE = 8, /* devices that drop out of a round */
} pp_rng_purpose;

typedef struct pp_rng {
  uint32_t key[2];
} pp_rng;

/* Derives the stream of (seed, purpose, device, iteration, layer); unused indices are 0. */
pp_rng pp_rng_stream(uint64_t seed, pp_rng_purpose purpose, uint32_t device, uint32_t iteration, uint32_t layer);

/* Four uniform 32-bit words of the stream at the counter (major, minor): e.g. sample and element / 4. */
void pp_rng_words(pp_rng rng, uint64_t major, uint64_t minor, uint32_t out[4]);

/* Word minor % 4 of block minor / 4. */
uint32_t pp_rng_word(pp_rng rng, uint64_t major, uint64_t minor);
/* Uniform in [0, 1), 53 bits: from the first two words of block `minor`. */
double pp_rng_uniform(pp_rng rng, uint64_t major, uint64_t minor);
/* Standard normal (Box-Muller on the four words of block `minor`). */
double pp_rng_normal(pp_rng rng, uint64_t major, uint64_t minor);
/* Uniform integer in [0, bound), bound >= 1, by 64-bit multiply-shift: bias below bound / 2^64; block `minor`. */
uint64_t pp_rng_below(pp_rng rng, uint64_t major, uint64_t minor, uint64_t bound);

#endif
