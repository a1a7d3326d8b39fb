#include "config/presets.h"

#include <stdlib.h>
#include <string.h>

#include "config/fields.h"

enum { SOURCE_COLUMN = 56, SOURCE_WIDTH = 84 }; /* of what `pipar presets` prints */

static const char *const kinds[] = {"measured", "datasheet", "estimate", "fitted"};

/* The string of a key of a preset or of one of its numbers. */
static pp_status text_of(const pp_node *map, const char *name, const char *key, const char **out) {
  const pp_node *node = pp_node_find(map, key, NULL);
  if (node == NULL || node->kind != PP_NODE_SCALAR || node->text[0] == '\0')
    return pp_fail_at(map, name, "%s is missing: allowed is a text", key);
  *out = node->text;
  return NULL;
}

/* {key: {value: V, kind: K, source: S}} becomes {key: V}, which an experiment could give in place. */
static pp_status plain_values(pp_arena *arena, const char *name, const pp_node *preset, const pp_node **out) {
  pp_node *plain = NULL;
  pp_entry *entries = NULL;
  if (preset->kind != PP_NODE_MAP)
    return pp_fail_at(preset, name, "allowed is a mapping");
  PP_TRY(pp_arena_alloc(arena, 1, sizeof *plain, &plain));
  PP_TRY(pp_arena_alloc(arena, (size_t)preset->count, sizeof *entries, &entries));
  *plain = *preset;
  plain->entries = entries;
  plain->count = 0;
  for (int at = 0; at < preset->count; at++) {
    const pp_node *key = preset->entries[at].key, *number = preset->entries[at].value;
    const char *kind = NULL, *source = NULL;
    if (strcmp(key->text, "is") == 0)
      continue;
    const pp_node *value = pp_node_find(number, "value", NULL);
    if (value == NULL || number->count != 3)
      return pp_fail_at(number, name, "%s: allowed is {value: .., kind: .., source: ..}", key->text);
    PP_TRY(text_of(number, name, "kind", &kind));
    PP_TRY(text_of(number, name, "source", &source));
    bool known = false;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
      known = known || strcmp(kinds[k], kind) == 0;
    if (!known)
      return pp_fail_at(number, name, "%s: kind: allowed is measured | datasheet | estimate | fitted", key->text);
    entries[plain->count++] = (pp_entry){key, value};
  }
  *out = plain;
  return NULL;
}

static pp_status section_of(const pp_node *tree, const char *key, const pp_node **out) {
  *out = pp_node_find(tree, key, NULL);
  if (*out == NULL || (*out)->kind != PP_NODE_MAP)
    return pp_fail_at(tree, key, "is missing: allowed is a mapping");
  return NULL;
}

static pp_status copy_name(const pp_node *key, char *out, size_t size) {
  if (strlen(key->text) >= size)
    return pp_fail_at(key, key->text, "too long: allowed are %zu bytes", size - 1);
  strcpy(out, key->text);
  return NULL;
}

pp_status pp_presets_parse(pp_arena *arena, const char *text, size_t length, pp_presets *out) {
  const pp_node *devices = NULL, *networks = NULL, *values = NULL;
  pp_presets presets = {0};
  PP_TRY(pp_node_parse(arena, "presets.yaml", true, text, length, &presets.tree));
  if (presets.tree == NULL)
    return pp_fail(PP_CODE_INPUT, "presets.yaml: is empty");
  PP_TRY(section_of(presets.tree, "devices", &devices));
  PP_TRY(section_of(presets.tree, "networks", &networks));
  PP_TRY(pp_arena_alloc(arena, (size_t)devices->count, sizeof *presets.devices, &presets.devices));
  PP_TRY(pp_arena_alloc(arena, (size_t)networks->count, sizeof *presets.networks, &presets.networks));
  for (; presets.device_count < devices->count; presets.device_count++) {
    const pp_entry *entry = &devices->entries[presets.device_count];
    pp_device_config *device = &presets.devices[presets.device_count];
    PP_TRY(plain_values(arena, entry->key->text, entry->value, &values));
    PP_TRY(pp_device_parse(arena, entry->key->text, values, device));
    PP_TRY(copy_name(entry->key, device->name, sizeof device->name));
  }
  for (; presets.network_count < networks->count; presets.network_count++) {
    const pp_entry *entry = &networks->entries[presets.network_count];
    pp_network_config *network = &presets.networks[presets.network_count];
    PP_TRY(plain_values(arena, entry->key->text, entry->value, &values));
    PP_TRY(pp_network_parse(arena, entry->key->text, values, network));
    PP_TRY(copy_name(entry->key, network->name, sizeof network->name));
  }
  *out = presets;
  return NULL;
}

pp_status pp_presets_load(pp_arena *arena, pp_presets *out) {
  return pp_presets_parse(arena, (const char *)pp_presets_yaml, pp_presets_yaml_length, out);
}

static const char *unit_of(const pp_field *fields, const char *key) {
  for (; fields->key != NULL; fields++)
    if (strcmp(fields->key, key) == 0 && fields->unit != NULL)
      return fields->unit;
  return "";
}

static const char *scalar_of(const pp_node *map, const char *key) {
  const pp_node *node = pp_node_find(map, key, NULL);
  return node != NULL && node->kind == PP_NODE_SCALAR ? node->text : "";
}

/* A text in lines of at most `width` bytes, broken at spaces, those after the first indented. */
static void print_wrapped(FILE *stream, const char *text, size_t width, int indent) {
  while (strlen(text) > width) {
    size_t end = width;
    while (end > 0 && text[end] != ' ')
      end--;
    if (end == 0)
      end = strcspn(text, " "); /* a word longer than a line stays whole */
    fprintf(stream, "%.*s", (int)end, text);
    text += end;
    if (*text == '\0')
      break;
    text++;
    fprintf(stream, "\n%*s", indent, "");
  }
  fprintf(stream, "%s\n", text);
}

static void print_section(FILE *stream, const pp_node *section, const pp_field *fields) {
  for (int at = 0; at < section->count; at++) {
    const pp_node *preset = section->entries[at].value;
    fprintf(stream, "\n%s: %s\n", section->entries[at].key->text, scalar_of(preset, "is"));
    for (int number = 0; number < preset->count; number++) {
      const pp_node *values = preset->entries[number].value;
      const char *key = preset->entries[number].key->text;
      if (strcmp(key, "is") == 0)
        continue;
      fprintf(stream, "  %-18s %9s %-13s %-9s  ", key, scalar_of(values, "value"), unit_of(fields, key),
              scalar_of(values, "kind"));
      print_wrapped(stream, scalar_of(values, "source"), SOURCE_WIDTH, SOURCE_COLUMN);
    }
  }
}

pp_status pp_presets_print(FILE *stream) {
  pp_arena arena = {0};
  pp_presets presets;
  const pp_node *devices = NULL, *networks = NULL;
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_presets_load(&arena, &presets), fail);
  PP_TRY_GOTO(status, section_of(presets.tree, "devices", &devices), fail);
  PP_TRY_GOTO(status, section_of(presets.tree, "networks", &networks), fail);
  fprintf(stream, "Devices (also of server slots)\n");
  print_section(stream, devices, pp_device_fields);
  fprintf(stream, "\nNetworks\n");
  print_section(stream, networks, pp_network_fields);
  if (fflush(stream) != 0 || ferror(stream))
    status = pp_fail(PP_CODE_RUN, "the presets could not be written");
fail:
  pp_arena_fini(&arena);
  return status;
}
