#include "config/architecture.h"

#include <stdio.h>
#include <string.h>

#include "config/fields.h"
#include "config/file.h"
#include "config/parse.h"

enum { MOST_BLOCKS = 64, MOST_LAYERS = 64, MOST_CHANNELS = 1000000, KEY_TEXT = 160 };

/* A file as it is written. */
typedef struct document {
  int64_t version;
  pp_own_initial initial;
  double epsilon, momentum;
  const pp_node *batch_norm, *blocks;
} document;

/* A layer as it is written. */
typedef struct written {
  pp_own_layer layer;
  const pp_node *body, *shortcut;
} written;

#define AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)
#define END                                                                                                            \
  { .key = NULL }
#define WHOLE(name, member, from, to, standard)                                                                        \
  { .key = name, .type = PP_FIELD_INT, AT(written, layer.member), .low = from, .high = to, .fallback = standard }
#define NEEDED(name, member, from, to)                                                                                 \
  { .key = name, .type = PP_FIELD_INT, AT(written, layer.member), .low = from, .high = to, .required = true }
#define OR_WORD(name, member, from, to, standard, stands, value)                                                       \
  {                                                                                                                    \
    .key = name, .type = PP_FIELD_INT, AT(written, layer.member), .low = from, .high = to, .fallback = standard,       \
    .word = stands, .word_value = value                                                                                \
  }

static const pp_choice formats[] = {{"pipar-network", 0, true}, {NULL, 0, 0}};
static const pp_choice initials[] = {{"xavier", PP_OWN_XAVIER, true},
                                     {"kaiming", PP_OWN_KAIMING, true},
                                     {"mobilenet", PP_OWN_MOBILENET, true},
                                     {NULL, 0, 0}};
static const pp_choice activations[] = {
    {"relu", PP_OWN_RELU, true}, {"hard_swish", PP_OWN_HARD_SWISH, true}, {NULL, 0, 0}};

static const pp_field document_fields[] = {
    {.key = "format", .type = PP_FIELD_FIXED, .required = true, .choices = formats},
    {.key = "format_version", .type = PP_FIELD_INT, .required = true, AT(document, version), .low = 1, .high = 1},
    {.key = "initial", .type = PP_FIELD_CHOICE, AT(document, initial), .fallback = "xavier", .choices = initials},
    {.key = "batch_norm", .type = PP_FIELD_NODE, AT(document, batch_norm)},
    {.key = "blocks", .type = PP_FIELD_NODE, .required = true, AT(document, blocks)},
    END};
static const pp_field norm_fields[] = {
    {.key = "epsilon", .type = PP_FIELD_REAL, AT(document, epsilon), .fallback = "1e-5", .max = 1, .above_min = true},
    {.key = "momentum", .type = PP_FIELD_REAL, AT(document, momentum), .fallback = "0.1", .max = 1},
    END};

static const pp_field conv_fields[] = {
    NEEDED("channels", channels, 1, MOST_CHANNELS),
    WHOLE("kernel", kernel, 1, 7, "3"),
    WHOLE("stride", stride, 1, 64, "1"),
    OR_WORD("padding", padding, 0, 7, "same", "same", -1),
    WHOLE("groups", groups, 1, MOST_CHANNELS, "1"),
    {.key = "bias", .type = PP_FIELD_BOOL, AT(written, layer.bias), .fallback = "true"},
    END};
static const pp_field maximum_fields[] = {NEEDED("kernel", kernel, 1, 64),
                                          OR_WORD("stride", stride, 1, 64, "kernel", "kernel", 0),
                                          WHOLE("padding", padding, 0, 32, "0"), END};
static const pp_field average_fields[] = {NEEDED("kernel", kernel, 1, 64),
                                          OR_WORD("stride", stride, 1, 64, "kernel", "kernel", 0), END};
static const pp_field squeeze_fields[] = {OR_WORD("channels", channels, 1, MOST_CHANNELS, "quarter", "quarter", 0),
                                          END};
static const pp_field residual_fields[] = {
    {.key = "layers", .type = PP_FIELD_NODE, .required = true, AT(written, body)},
    {.key = "shortcut", .type = PP_FIELD_NODE, AT(written, shortcut)},
    END};
static const pp_field inverted_fields[] = {
    NEEDED("expanded", expanded, 1, MOST_CHANNELS),
    NEEDED("channels", channels, 1, MOST_CHANNELS),
    WHOLE("kernel", kernel, 1, 7, "3"),
    WHOLE("stride", stride, 1, 64, "1"),
    {.key = "squeeze_excite", .type = PP_FIELD_BOOL, AT(written, layer.squeeze), .fallback = "false"},
    {.key = "activation",
     .type = PP_FIELD_CHOICE,
     AT(written, layer.activation),
     .fallback = "relu",
     .choices = activations},
    END};
static const pp_field linear_fields[] = {{.key = "features",
                                          .type = PP_FIELD_INT,
                                          .required = true,
                                          AT(written, layer.channels),
                                          .low = 1,
                                          .high = MOST_CHANNELS,
                                          .word = "classes",
                                          .word_value = 0},
                                         END};
static const pp_field dropout_fields[] = {
    {.key = "rate", .type = PP_FIELD_REAL, .required = true, AT(written, layer.rate), .max = 1, .below_max = true},
    END};
static const pp_field no_fields[] = {END};

/* A layer is `name: {keys}`, `name: value` for the key that it is best known by, or its name alone. */
static const struct {
  const char *name, *main;
  pp_own_kind kind;
  const pp_field *fields;
} kinds[] = {
    {"conv", "channels", PP_OWN_CONV, conv_fields},
    {"batch_norm", NULL, PP_OWN_BATCH_NORM, no_fields},
    {"relu", NULL, PP_OWN_RELU, no_fields},
    {"hard_swish", NULL, PP_OWN_HARD_SWISH, no_fields},
    {"hard_sigmoid", NULL, PP_OWN_HARD_SIGMOID, no_fields},
    {"max_pool", "kernel", PP_OWN_MAX_POOL, maximum_fields},
    {"average_pool", "kernel", PP_OWN_AVERAGE_POOL, average_fields},
    {"global_average_pool", NULL, PP_OWN_GLOBAL_AVERAGE, no_fields},
    {"squeeze_excite", "channels", PP_OWN_SQUEEZE, squeeze_fields},
    {"residual", NULL, PP_OWN_RESIDUAL, residual_fields},
    {"inverted_residual", NULL, PP_OWN_INVERTED, inverted_fields},
    {"linear", "features", PP_OWN_LINEAR, linear_fields},
    {"dropout", "rate", PP_OWN_DROPOUT, dropout_fields},
};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

static pp_status find_kind(const pp_node *name, const char *key, int *out) {
  char shown[PP_SHOWN_VALUE], known[320] = "";
  const char *near = NULL;
  for (int kind = 0; kind < KIND_COUNT; kind++) {
    if (strcmp(name->text, kinds[kind].name) == 0) {
      *out = kind;
      return NULL;
    }
    if (near == NULL && pp_text_is_near(name->text, kinds[kind].name))
      near = kinds[kind].name;
    strcat(strcat(known, kind == 0 ? "" : ", "), kinds[kind].name);
  }
  return pp_fail_at(name, key, "layer %s is unknown%s%s%s: allowed are %s", pp_node_show(name, shown),
                    near != NULL ? ", did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "", known);
}

static pp_status parse_layers(pp_arena *arena, const pp_node *node, const char *key, pp_own_layers *out);

static pp_status parse_residual(pp_arena *arena, const written *from, const char *key, pp_own_layer *out) {
  char inside[2 * KEY_TEXT], shown[PP_SHOWN_VALUE];
  const pp_node *shortcut = from->shortcut;
  snprintf(inside, sizeof inside, "%.150s.layers", key);
  out->body_node = from->body;
  PP_TRY(parse_layers(arena, from->body, inside, &out->body));
  snprintf(inside, sizeof inside, "%.150s.shortcut", key);
  out->shortcut_node = shortcut != NULL ? shortcut : out->node;
  if (shortcut == NULL || (shortcut->kind == PP_NODE_SCALAR && strcmp(shortcut->text, "auto") == 0))
    return NULL;
  if (shortcut->kind == PP_NODE_SCALAR && strcmp(shortcut->text, "identity") == 0) {
    out->shortcut_kind = PP_OWN_SHORTCUT_IDENTITY;
    return NULL;
  }
  if (shortcut->kind != PP_NODE_LIST)
    return pp_fail_at(shortcut, inside, "%s: allowed is auto, identity or a list of layers",
                      pp_node_show(shortcut, shown));
  out->shortcut_kind = PP_OWN_SHORTCUT_LAYERS;
  return parse_layers(arena, shortcut, inside, &out->shortcut);
}

/* The name and what stands behind it: NULL for a name alone. */
static pp_status open_layer(const pp_node *node, const char *key, const pp_node **name, const pp_node **value) {
  char shown[PP_SHOWN_VALUE];
  if (node->kind == PP_NODE_SCALAR && !pp_node_is_null(node)) {
    *name = node;
    *value = NULL;
    return NULL;
  }
  if (node->kind != PP_NODE_MAP || node->count != 1)
    return pp_fail_at(node, key, "%s%s: allowed is one layer, as relu, {linear: 128} or {conv: {channels: 32}}",
                      pp_node_show(node, shown), node->kind == PP_NODE_MAP ? " with several keys" : "");
  *name = node->entries[0].key;
  *value = pp_node_is_null(node->entries[0].value) ? NULL : node->entries[0].value;
  return NULL;
}

static pp_status parse_layer(pp_arena *arena, const pp_node *node, const char *key, pp_own_layer *out) {
  const pp_node *name = NULL, *value = NULL;
  char inside[2 * KEY_TEXT], shown[PP_SHOWN_VALUE];
  int kind = 0;
  written from = {.layer = {.groups = 1}};
  PP_TRY(open_layer(node, key, &name, &value));
  PP_TRY(find_kind(name, key, &kind));
  snprintf(inside, sizeof inside, "%.150s.%s", key, kinds[kind].name);
  pp_node empty = {.kind = PP_NODE_MAP, .source = name->source, .line = name->line, .column = name->column};
  const pp_node *keys = value != NULL ? value : &empty;
  if (value != NULL && value->kind == PP_NODE_SCALAR) {
    if (kinds[kind].main == NULL)
      return pp_fail_at(value, inside, "%s: allowed is %s", pp_node_show(value, shown),
                        kinds[kind].fields[0].key == NULL ? "nothing" : "a mapping of its keys");
    pp_node *head = NULL;
    PP_TRY(pp_arena_alloc(arena, 1, sizeof *head, &head));
    *head = *value;
    head->text = kinds[kind].main;
    empty.line = value->line;
    empty.column = value->column;
    PP_TRY(pp_node_with_entry(arena, &empty, head, value, &keys));
  }
  PP_TRY(pp_fields_parse(arena, inside, kinds[kind].fields, keys, &from));
  *out = from.layer;
  out->kind = kinds[kind].kind;
  out->node = name;
  if (out->kind == PP_OWN_RESIDUAL)
    return parse_residual(arena, &from, inside, out);
  if (out->kind == PP_OWN_MAX_POOL && 2 * out->padding > out->kernel)
    return pp_fail_at(pp_node_nearest(keys, "padding"), inside, "a padding of %d is more than half the kernel of %d",
                      out->padding, out->kernel);
  return NULL;
}

static pp_status parse_layers(pp_arena *arena, const pp_node *node, const char *key, pp_own_layers *out) {
  char shown[PP_SHOWN_VALUE], inside[2 * KEY_TEXT];
  pp_own_layer *layers = NULL;
  if (node->kind != PP_NODE_LIST || node->count == 0 || node->count > MOST_LAYERS)
    return pp_fail_at(node, key, "%s: allowed is a list of 1 to %d layers, as [{conv: 32}, batch_norm, relu]",
                      node->kind == PP_NODE_LIST ? "too few or too many layers" : pp_node_show(node, shown),
                      MOST_LAYERS);
  PP_TRY(pp_arena_alloc(arena, (size_t)node->count, sizeof *layers, &layers));
  for (int layer = 0; layer < node->count; layer++) {
    snprintf(inside, sizeof inside, "%.150s.%d", key, layer);
    PP_TRY(parse_layer(arena, node->items[layer], inside, &layers[layer]));
  }
  out->count = node->count;
  out->layers = layers;
  return NULL;
}

static pp_status parse_blocks(pp_arena *arena, const pp_node *node, pp_architecture *out) {
  pp_own_block *blocks = NULL;
  char key[32];
  if (node->kind != PP_NODE_LIST || node->count == 0 || node->count > MOST_BLOCKS)
    return pp_fail_at(node, "blocks", "allowed is a list of 1 to %d blocks, each a list of layers", MOST_BLOCKS);
  PP_TRY(pp_arena_alloc(arena, (size_t)node->count, sizeof *blocks, &blocks));
  for (int block = 0; block < node->count; block++) {
    snprintf(key, sizeof key, "blocks.%d", block);
    blocks[block].node = node->items[block];
    PP_TRY(parse_layers(arena, node->items[block], key, &blocks[block].layers));
  }
  out->blocks = blocks;
  out->block_count = node->count;
  return NULL;
}

pp_status pp_architecture_parse(pp_arena *arena, const char *source, const char *name, const char *text, size_t length,
                                const pp_architecture **out) {
  const pp_node *root = NULL;
  pp_architecture *made = NULL;
  document from = {0};
  if (length > PP_ARCHITECTURE_BYTES)
    return pp_fail(PP_CODE_INPUT, "%s: %zu bytes: a network's file has at most %d", source, length,
                   PP_ARCHITECTURE_BYTES);
  PP_TRY(pp_node_parse(arena, source, true, text, length, &root));
  if (root == NULL || root->kind != PP_NODE_MAP)
    return pp_fail(PP_CODE_INPUT,
                   "%s: is not a network: allowed is a mapping with `format: pipar-network`, "
                   "`format_version: 1` and `blocks`",
                   source);
  PP_TRY(pp_fields_parse(arena, NULL, document_fields, root, &from));
  const pp_node none = {.kind = PP_NODE_MAP, .source = source};
  PP_TRY(pp_fields_parse(arena, "batch_norm", norm_fields, from.batch_norm != NULL ? from.batch_norm : &none, &from));
  PP_TRY(pp_arena_alloc(arena, 1, sizeof *made, &made));
  *made = (pp_architecture){.root = root, .initial = from.initial, .epsilon = from.epsilon, .momentum = from.momentum};
  PP_TRY(pp_arena_copy(arena, name, strlen(name), &made->name));
  PP_TRY(pp_arena_copy(arena, text, length, &made->text));
  PP_TRY(parse_blocks(arena, from.blocks, made));
  *out = made;
  return NULL;
}

bool pp_architecture_is_file(const char *model) {
  size_t length = strlen(model);
  return length > 5 && strcmp(model + length - 5, ".yaml") == 0;
}

pp_status pp_architecture_read(pp_arena *arena, const char *directory, const char *path, const pp_node *place,
                               const pp_architecture **out) {
  char shown[PP_SHOWN_PATH], at[PP_SHOWN_PLACE], where[PP_SHOWN_PATH + PP_SHOWN_PLACE + 16];
  const char *source = NULL, *text = NULL, *base = strrchr(path, '/');
  char *whole = NULL;
  size_t length = 0;
  bool relative = directory != NULL && path[0] != '/';
  size_t room = strlen(path) + (relative ? strlen(directory) : 0) + 2;
  PP_TRY(pp_arena_alloc(arena, room, 1, &whole));
  snprintf(whole, room, "%s%s%s", relative ? directory : "", relative ? "/" : "", path);
  pp_escape(shown, sizeof shown, true, whole);
  PP_TRY(pp_arena_copy(arena, shown, strlen(shown), &source));
  snprintf(where, sizeof where, "%s%s%s", place != NULL ? pp_node_place(place, at) : "",
           place != NULL ? ": model: " : "", shown);
  PP_TRY(pp_file_read(arena, whole, where, "a network's description", &length, &text));
  return pp_architecture_parse(arena, source, base == NULL ? path : base + 1, text, length, out);
}
