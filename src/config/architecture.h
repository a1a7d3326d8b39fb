/* A network of one's own, as its file describes it: blocks, each a list of layers (docs/networks.md). What shapes they
 * have depends on the input, and is nn's to say. */
#ifndef PP_CONFIG_ARCHITECTURE_H
#define PP_CONFIG_ARCHITECTURE_H

#include "config/arena.h"
#include "config/node.h"
#include "pipar/config.h"

enum { PP_ARCHITECTURE_BYTES = 32000 }; /* of a file: results hold it as one attribute */

typedef enum pp_own_kind {
  PP_OWN_CONV,
  PP_OWN_BATCH_NORM,
  PP_OWN_RELU,
  PP_OWN_HARD_SWISH,
  PP_OWN_HARD_SIGMOID,
  PP_OWN_MAX_POOL,
  PP_OWN_AVERAGE_POOL,
  PP_OWN_GLOBAL_AVERAGE,
  PP_OWN_SQUEEZE,
  PP_OWN_RESIDUAL,
  PP_OWN_INVERTED,
  PP_OWN_LINEAR,
  PP_OWN_DROPOUT,
} pp_own_kind;

typedef enum pp_own_initial { PP_OWN_XAVIER, PP_OWN_KAIMING, PP_OWN_MOBILENET } pp_own_initial;
typedef enum pp_own_shortcut { PP_OWN_SHORTCUT_AUTO, PP_OWN_SHORTCUT_IDENTITY, PP_OWN_SHORTCUT_LAYERS } pp_own_shortcut;

typedef struct pp_own_layer pp_own_layer;
typedef struct pp_own_layers {
  int count;
  const pp_own_layer *layers; /* (count) */
} pp_own_layers;

struct pp_own_layer {
  pp_own_kind kind;
  const pp_node *node; /* where it was written */
  int channels;        /* of the output; of a squeeze 0: a quarter; of a linear layer 0: the classes */
  int expanded;        /* of an inverted residual */
  int kernel, stride;  /* a pooling's stride 0: its kernel */
  int padding;         /* -1: half the kernel */
  int groups;
  bool bias, squeeze;
  int activation; /* of an inverted residual: PP_OWN_RELU or PP_OWN_HARD_SWISH */
  double rate;
  pp_own_layers body, shortcut; /* of a residual block */
  pp_own_shortcut shortcut_kind;
  const pp_node *body_node, *shortcut_node;
};

typedef struct pp_own_block {
  const pp_node *node;
  pp_own_layers layers;
} pp_own_block;

typedef struct pp_architecture {
  const char *name; /* the file's own, "small.yaml" */
  const char *text;
  const pp_node *root;
  pp_own_initial initial;
  double epsilon, momentum; /* of batch norms */
  int block_count;
  const pp_own_block *blocks; /* (block_count) */
} pp_architecture;

/* Whether a model's name is that of a file. */
bool pp_architecture_is_file(const char *model);

/* Parses a file's text; `source` is its name in errors, `name` the network's. All memory is the arena's. */
PP_MUST_CHECK pp_status pp_architecture_parse(pp_arena *arena, const char *source, const char *name, const char *text,
                                              size_t length, const pp_architecture **out);
/* Reads the file at `path`, from `directory` where it is relative (NULL: the current one). `place` (may be NULL) is
 * where an experiment names it. */
PP_MUST_CHECK pp_status pp_architecture_read(pp_arena *arena, const char *directory, const char *path,
                                             const pp_node *place, const pp_architecture **out);

#endif
