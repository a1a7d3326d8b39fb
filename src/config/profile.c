#include "config/profile.h"

#include <stdio.h>
#include <string.h>

#include "config/architecture.h"
#include "config/file.h"
#include "config/parse.h"

/* A profile as its file has it. */
typedef struct document {
  int64_t version;
  char network[64], machine[128];
  int input[3];
  int classes;
  bool extrapolate;
  pp_reals sizes;
  const pp_node *blocks, *loss, *aggregate;
} document;

typedef struct averaging {
  double add_s, finish_s;
} averaging;

enum { MOST_SIZE = 1000000, MOST_BLOCKS = 1000 };

#define AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)
#define END                                                                                                            \
  { .key = NULL }
#define LONGEST_S 3e9 /* as long as a stage may be */

static const pp_choice formats[] = {{"pipar-profile", 0, true}, {NULL, 0, 0}};
static const pp_field document_fields[] = {
    {.key = "format", .type = PP_FIELD_FIXED, .required = true, .choices = formats},
    {.key = "format_version",
     .type = PP_FIELD_INT,
     .required = true,
     AT(document, version),
     .low = PP_PROFILE_VERSION,
     .high = PP_PROFILE_VERSION},
    {.key = "machine", .type = PP_FIELD_LABEL, AT(document, machine)},
    {.key = "network", .type = PP_FIELD_LABEL, .required = true, AT(document, network)},
    {.key = "input", .type = PP_FIELD_SHAPE, .required = true, AT(document, input), .low = 1, .high = 4096},
    {.key = "classes", .type = PP_FIELD_INT, .required = true, AT(document, classes), .low = 2, .high = 1000000},
    {.key = "batch_sizes", .type = PP_FIELD_REALS, .required = true, AT(document, sizes), .max = MOST_SIZE},
    {.key = "extrapolate", .type = PP_FIELD_BOOL, .fallback = "false", AT(document, extrapolate)},
    {.key = "blocks", .type = PP_FIELD_NODE, .required = true, AT(document, blocks)},
    {.key = "loss", .type = PP_FIELD_NODE, .required = true, AT(document, loss)},
    {.key = "aggregate", .type = PP_FIELD_NODE, AT(document, aggregate)},
    END};

#define PASS(name, is_required)                                                                                        \
  {                                                                                                                    \
    .key = #name, .type = PP_FIELD_REALS, .required = is_required, AT(pp_profile_passes, name), .unit = "seconds",     \
    .max = LONGEST_S                                                                                                   \
  }
#define SECONDS(of, member)                                                                                            \
  { .key = #member, .type = PP_FIELD_REAL, .required = true, AT(of, member), .unit = "seconds", .max = LONGEST_S }

static const pp_field block_fields[] = {{.key = "name", .type = PP_FIELD_LABEL, AT(pp_profile_passes, name)},
                                        PASS(forward_s, true),
                                        PASS(backward_s, true),
                                        PASS(backward_input_s, false),
                                        PASS(backward_weight_s, false),
                                        SECONDS(pp_profile_passes, update_s),
                                        END};
static const pp_field loss_fields[] = {PASS(forward_s, true), PASS(backward_s, true), PASS(backward_input_s, false),
                                       PASS(backward_weight_s, false), END};
static const pp_field aggregate_fields[] = {SECONDS(averaging, add_s), SECONDS(averaging, finish_s), END};

static pp_status parse_sizes(pp_arena *arena, const pp_node *root, const pp_reals *given, pp_profile *out) {
  static const char allowed[] = "allowed are whole numbers from 0 to 1000000 that rise, one above 0";
  const pp_node *node = pp_node_find(root, "batch_sizes", NULL);
  char key[48];
  int *sizes = NULL;
  PP_TRY(pp_arena_alloc(arena, (size_t)given->count, sizeof *sizes, &sizes));
  for (int at = 0; at < given->count; at++) {
    sizes[at] = (int)given->values[at];
    snprintf(key, sizeof key, "batch_sizes.%d", at);
    if ((double)sizes[at] != given->values[at])
      return pp_fail_at(node->items[at], key, "%s is not whole: %s", node->items[at]->text, allowed);
    if (at > 0 && sizes[at] <= sizes[at - 1])
      return pp_fail_at(node->items[at], key, "%d does not rise: %s", sizes[at], allowed);
  }
  if (sizes[given->count - 1] == 0)
    return pp_fail_at(node, "batch_sizes", "0 alone is no batch: %s", allowed);
  if (given->count == 1 && out->extrapolate)
    return pp_fail_at(node, "batch_sizes", "one size gives no line for `extrapolate: true`: allowed are two or more");
  out->sizes = sizes;
  out->size_count = given->count;
  return NULL;
}

static pp_status check_pass(const pp_profile *profile, const pp_node *map, const char *key, const char *pass,
                            const pp_reals *values) {
  char whole[64];
  if (values->count == 0 || values->count == profile->size_count)
    return NULL;
  snprintf(whole, sizeof whole, "%s.%s", key, pass);
  return pp_fail_at(pp_node_nearest(map, pass), whole, "%d values: allowed is one a batch size, and batch_sizes has %d",
                    values->count, profile->size_count);
}

static pp_status parse_passes(pp_arena *arena, const pp_profile *profile, const char *key, const pp_field *fields,
                              const pp_node *node, pp_profile_passes *out) {
  PP_TRY(pp_fields_parse(arena, key, fields, node, out));
  PP_TRY(check_pass(profile, node, key, "forward_s", &out->forward_s));
  PP_TRY(check_pass(profile, node, key, "backward_s", &out->backward_s));
  PP_TRY(check_pass(profile, node, key, "backward_input_s", &out->backward_input_s));
  return check_pass(profile, node, key, "backward_weight_s", &out->backward_weight_s);
}

static pp_status parse_blocks(pp_arena *arena, const pp_node *node, pp_profile *out) {
  char key[32];
  pp_profile_passes *blocks = NULL;
  if (node->kind != PP_NODE_LIST || node->count == 0 || node->count > MOST_BLOCKS)
    return pp_fail_at(node, "blocks", "allowed is a list of 1 to %d mappings, one a block, as - {forward_s: [..], ..}",
                      MOST_BLOCKS);
  PP_TRY(pp_arena_alloc(arena, (size_t)node->count, sizeof *blocks, &blocks));
  for (int block = 0; block < node->count; block++) {
    snprintf(key, sizeof key, "blocks.%d", block);
    PP_TRY(parse_passes(arena, out, key, block_fields, node->items[block], &blocks[block]));
  }
  out->blocks = blocks;
  out->block_count = node->count;
  return NULL;
}

pp_status pp_profile_parse(pp_arena *arena, const char *source, const char *text, size_t length,
                           const pp_profile **out) {
  const pp_node *root = NULL;
  pp_profile *profile = NULL;
  pp_profile_passes *loss = NULL;
  document from = {0};
  averaging average = {0};
  PP_TRY(pp_node_parse(arena, source, true, text, length, &root));
  if (root == NULL || root->kind != PP_NODE_MAP)
    return pp_fail(PP_CODE_INPUT, "%s: is not a profile: allowed is a file as `pipar profile` writes it", source);
  PP_TRY(pp_fields_parse(arena, NULL, document_fields, root, &from));
  PP_TRY(pp_arena_alloc(arena, 1, sizeof *profile, &profile));
  PP_TRY(pp_arena_alloc(arena, 1, sizeof *loss, &loss));
  profile->root = root;
  memcpy(profile->network, from.network, sizeof profile->network);
  memcpy(profile->input, from.input, sizeof profile->input);
  profile->classes = from.classes;
  profile->extrapolate = from.extrapolate;
  PP_TRY(parse_sizes(arena, root, &from.sizes, profile));
  PP_TRY(parse_blocks(arena, from.blocks, profile));
  PP_TRY(parse_passes(arena, profile, "loss", loss_fields, from.loss, loss));
  profile->loss = loss;
  if (from.aggregate != NULL)
    PP_TRY(pp_fields_parse(arena, "aggregate", aggregate_fields, from.aggregate, &average));
  profile->has_aggregate = from.aggregate != NULL;
  profile->add_s = average.add_s;
  profile->finish_s = average.finish_s;
  *out = profile;
  return NULL;
}

/* ---- Those of an experiment ---- */

struct pp_profile_entry {
  struct pp_profile_entry *next;
  const char *path;
  const pp_profile *profile;
};

/* Where an experiment names a file. */
typedef struct mention {
  const char *directory, *path, *key;
  const pp_node *node;
} mention;

static pp_status read_profile(pp_arena *arena, const mention *from, const pp_profile **out) {
  char shown[PP_SHOWN_PATH], place[PP_SHOWN_PLACE], where[PP_SHOWN_PATH + PP_SHOWN_PLACE + 64];
  const char *source = NULL, *text = NULL;
  char *whole = NULL;
  size_t length = 0;
  bool relative = from->directory != NULL && from->path[0] != '/';
  size_t room = strlen(from->path) + (relative ? strlen(from->directory) : 0) + 2;
  PP_TRY(pp_arena_alloc(arena, room, 1, &whole));
  snprintf(whole, room, "%s%s%s", relative ? from->directory : "", relative ? "/" : "", from->path);
  pp_escape(shown, sizeof shown, true, whole);
  snprintf(where, sizeof where, "%s: %s: %s", pp_node_place(from->node, place), from->key, shown);
  PP_TRY(pp_arena_copy(arena, shown, strlen(shown), &source));
  PP_TRY(pp_file_read(arena, whole, where, "a profile as `pipar profile` writes it", &length, &text));
  return pp_profile_parse(arena, source, text, length, out);
}

static pp_status find_profile(pp_arena *arena, pp_profile_list *list, const mention *from, const pp_profile **out) {
  struct pp_profile_entry *entry = list->first;
  while (entry != NULL && strcmp(entry->path, from->path) != 0)
    entry = entry->next;
  if (entry == NULL) {
    PP_TRY(pp_arena_alloc(arena, 1, sizeof *entry, &entry));
    PP_TRY(read_profile(arena, from, &entry->profile));
    entry->path = from->path;
    entry->next = list->first;
    list->first = entry;
  }
  *out = entry->profile;
  return NULL;
}

static pp_status check_network(const pp_profile *profile, const pp_config *config) {
  char shown[PP_SHOWN_VALUE];
  const char *network = config->architecture != NULL ? config->architecture->name : config->model;
  if (strcmp(profile->network, network) == 0)
    return NULL;
  return pp_fail_at(pp_node_nearest(profile->root, "network"), "network",
                    "%s is not the experiment's network: allowed is %s",
                    pp_escape(shown, sizeof shown, false, profile->network), network);
}

pp_status pp_config_read_profiles(pp_arena *arena, pp_profile_list *list, const char *directory, const pp_node *root,
                                  pp_config *config) {
  for (int group = 0; group < config->group_count; group++) {
    pp_cost_config *cost = &config->groups[group].cost;
    if (cost->kind != PP_COST_PROFILE)
      continue;
    mention device = {directory, cost->device_profile, "cost.device_profile", NULL};
    mention server = {directory, cost->server_profile, "cost.server_profile", NULL};
    device.node = pp_group_place(root, group, device.key);
    server.node = pp_group_place(root, group, server.key);
    PP_TRY(find_profile(arena, list, &device, &cost->on_device));
    PP_TRY(find_profile(arena, list, &server, &cost->on_server));
    PP_TRY(check_network(cost->on_device, config));
    PP_TRY(check_network(cost->on_server, config));
  }
  return NULL;
}
