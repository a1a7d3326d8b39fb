/* A profile: what each block of a network takes on one machine, measured or written by hand (docs/cost.md). */
#ifndef PP_CONFIG_PROFILE_H
#define PP_CONFIG_PROFILE_H

#include "config/fields.h"
#include "config/node.h"

enum { PP_PROFILE_VERSION = 1 };

/* Seconds of the passes over a block, each one number a batch size; count 0 where a pass is not given. */
typedef struct pp_profile_passes {
  char name[64]; /* of the block; "" where it is not given */
  pp_reals forward_s, backward_s;
  pp_reals backward_input_s, backward_weight_s; /* the two halves of backward */
  double update_s;                              /* whatever the batch size */
} pp_profile_passes;

typedef struct pp_profile {
  const pp_node *root; /* to say where something stands */
  char network[64];
  int input[3]; /* channels, height, width of a sample */
  int classes;
  bool extrapolate; /* beyond the batch sizes the line through the nearest two goes on */
  int size_count;
  const int *sizes; /* (size_count) batch sizes that rise; a first one of 0 gives the constants */
  int block_count;
  const pp_profile_passes *blocks; /* (block_count) */
  const pp_profile_passes *loss;   /* forward and backward */
  bool has_aggregate;
  double add_s, finish_s; /* averaging: per model, and once */
} pp_profile;

/* The profiles that were read so far; {0} is none. */
typedef struct pp_profile_list {
  struct pp_profile_entry *first;
} pp_profile_list;

/* Parses a profile's text; `source` is its name in errors. All memory is the arena's. */
PP_MUST_CHECK pp_status pp_profile_parse(pp_arena *arena, const char *source, const char *text, size_t length,
                                         const pp_profile **out);

/* Reads the files that the groups' costs name, each once, into config->groups. A path that is not absolute is taken
 * from `directory` (NULL: the current one); `root` tells where the experiment names it. */
PP_MUST_CHECK pp_status pp_config_read_profiles(pp_arena *arena, pp_profile_list *list, const char *directory,
                                                const pp_node *root, pp_config *config);

#endif
