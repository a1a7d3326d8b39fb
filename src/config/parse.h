/* From a tree of nodes to the structs, through the table of fields. */
#ifndef PP_CONFIG_PARSE_H
#define PP_CONFIG_PARSE_H

#include "config/fields.h"
#include "config/node.h"
#include "pipar/config.h"

/* The named devices and networks that an experiment can refer to. */
typedef struct pp_presets {
  int device_count, network_count;
  pp_device_config *devices;   /* (device_count) */
  pp_network_config *networks; /* (network_count) */
  const pp_node *tree;         /* with kinds and sources */
} pp_presets;

/* Fills in a zeroed config: every key of `root` is known and in range, the rest gets its default; what keys say
 * together is pp_config_check's. The name is left empty where it is not given. Traces in files are looked for in
 * `directory` (NULL: the current one). Memory is the arena's. */
PP_MUST_CHECK pp_status pp_config_parse(pp_arena *arena, const pp_presets *presets, const char *directory,
                                        const pp_node *root, pp_config *out);
/* What cannot hold together: `root` tells where to point. */
PP_MUST_CHECK pp_status pp_config_check(const pp_config *config, const pp_node *root);

/* The group's own key ("cost.kind") where it has one, else the experiment's, else the nearest above it. */
const pp_node *pp_group_place(const pp_node *root, int group, const char *key);

/* Any mapping through a table of fields into a zeroed struct; `key` is its name in errors, NULL: it has none. */
PP_MUST_CHECK pp_status pp_fields_parse(pp_arena *arena, const char *key, const pp_field *fields, const pp_node *node,
                                        void *out);

/* A device or network given in place (a mapping), zeroed before; `key` is its name in errors. */
PP_MUST_CHECK pp_status pp_device_parse(pp_arena *arena, const char *key, const pp_node *node, pp_device_config *out);
PP_MUST_CHECK pp_status pp_network_parse(pp_arena *arena, const char *key, const pp_node *node, pp_network_config *out);

#endif
