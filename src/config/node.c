#include "config/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct reader {
  pp_arena *arena;
  const char *source;
  bool places;
  const char *text;
  size_t length;
  yaml_parser_t parser;
} reader;

/* ---- Text for people ---- */

/* Length of the UTF-8 character at `text` that a terminal may show, 0 if it may not. */
static size_t printable(const unsigned char *text) {
  unsigned lead = text[0];
  if (lead < 0x80)
    return lead >= 0x20 && lead != 0x7f;
  size_t length = lead >= 0xf0 && lead <= 0xf4 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (length == 0 || lead > 0xf4)
    return 0;
  for (size_t byte = 1; byte < length; byte++)
    if ((text[byte] & 0xc0) != 0x80)
      return 0;
  unsigned second = text[1];
  bool bad = (lead == 0xc2 && second < 0xa0)                                              /* C1 controls */
             || (lead == 0xe0 && second < 0xa0) || (lead == 0xed && second >= 0xa0)       /* overlong, surrogates */
             || (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second >= 0x90)       /* overlong, past the last */
             || (lead == 0xe2 && second == 0x80 && (text[2] == 0xa8 || text[2] == 0xa9)); /* line separators */
  return bad ? 0 : length;
}

/* Writes the next character of *text, moves it on, and returns how many bytes were written (at most 4, no 0). */
static size_t escape_one(const unsigned char **text, char *out) {
  static const char hex[] = "0123456789abcdef";
  size_t length = printable(*text);
  if (length > 0) {
    memcpy(out, *text, length);
    *text += length;
    return length;
  }
  unsigned byte = *(*text)++;
  out[0] = '\\';
  if (byte == '\n' || byte == '\t' || byte == '\r') {
    out[1] = byte == '\n' ? 'n' : byte == '\t' ? 't' : 'r';
    return 2;
  }
  out[1] = 'x';
  out[2] = hex[byte >> 4];
  out[3] = hex[byte & 15];
  return 4;
}

bool pp_text_is_plain(const char *text) {
  const unsigned char *at = (const unsigned char *)text;
  size_t length = 0;
  for (; *at != '\0'; at += length)
    if ((length = printable(at)) == 0)
      return false;
  return true;
}

char *pp_escape(char *out, size_t size, bool keep_end, const char *text) {
  char piece[4];
  size_t total = 0;
  for (const unsigned char *at = (const unsigned char *)text; *at != '\0';)
    total += escape_one(&at, piece);
  bool cut = total >= size;
  size_t used = 0, skip = cut && keep_end ? total - (size - 4) : 0;
  size_t room = cut && !keep_end ? size - 4 : size - 1;
  if (skip > 0) {
    memcpy(out, "...", 3);
    used = 3;
  }
  for (const unsigned char *at = (const unsigned char *)text; *at != '\0';) {
    size_t length = escape_one(&at, piece);
    if (skip > 0) {
      skip = skip > length ? skip - length : 0;
      continue;
    }
    if (used + length > room)
      break;
    memcpy(out + used, piece, length);
    used += length;
  }
  if (cut && !keep_end) {
    memcpy(out + used, "...", 3);
    used += 3;
  }
  out[used] = '\0';
  return out;
}

char *pp_node_place(const pp_node *node, char *out) {
  if (node->line == 0)
    snprintf(out, PP_SHOWN_PLACE, "%s", node->source);
  else
    snprintf(out, PP_SHOWN_PLACE, "%s:%d:%d", node->source, node->line, node->column);
  return out;
}

char *pp_node_show(const pp_node *node, char *out) {
  if (node->kind == PP_NODE_LIST)
    return strcpy(out, "a list");
  if (node->kind == PP_NODE_MAP)
    return strcpy(out, "a mapping");
  if (pp_node_is_null(node))
    return strcpy(out, "nothing");
  if (node->plain)
    return pp_escape(out, PP_SHOWN_VALUE, false, node->text);
  out[0] = '"';
  pp_escape(out + 1, PP_SHOWN_VALUE - 2, false, node->text);
  return strcat(out, "\"");
}

pp_status pp_fail_at(const pp_node *node, const char *key, const char *format, ...) {
  char place[PP_SHOWN_PLACE], message[640];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  pp_node_place(node, place);
  if (key == NULL)
    return pp_fail(PP_CODE_INPUT, "%s: %s", place, message);
  return pp_fail(PP_CODE_INPUT, "%s: %s: %s", place, key, message);
}

/* ---- Looking up ---- */

pp_node pp_node_scalar(const char *source, const char *text) {
  return (pp_node){.kind = PP_NODE_SCALAR, .plain = true, .source = source, .text = text};
}

bool pp_node_is_null(const pp_node *node) {
  if (node->kind != PP_NODE_SCALAR || !node->plain)
    return false;
  return node->text[0] == '\0' || strcmp(node->text, "~") == 0 || strcasecmp(node->text, "null") == 0;
}

const pp_node *pp_node_find(const pp_node *map, const char *key, const pp_entry **entry) {
  if (map == NULL || map->kind != PP_NODE_MAP)
    return NULL;
  for (int at = 0; at < map->count; at++)
    if (strcmp(map->entries[at].key->text, key) == 0) {
      if (entry != NULL)
        *entry = &map->entries[at];
      return map->entries[at].value;
    }
  return NULL;
}

/* Cuts the first segment off a dotted key. False: it is empty or too long. */
static bool next_segment(const char **key, char *segment, size_t size) {
  const char *dot = strchrnul(*key, '.');
  size_t length = (size_t)(dot - *key);
  if (length == 0 || length >= size)
    return false;
  memcpy(segment, *key, length);
  segment[length] = '\0';
  *key = *dot == '.' ? dot + 1 : dot;
  return true;
}

/* The index a segment stands for, or -1. */
static int list_index(const char *segment) {
  size_t digits = strspn(segment, "0123456789");
  if (digits == 0 || digits > 9 || segment[digits] != '\0' || (segment[0] == '0' && digits > 1))
    return -1;
  return atoi(segment);
}

const pp_node *pp_node_nearest(const pp_node *root, const char *key) {
  char segment[128];
  while (*key != '\0' && next_segment(&key, segment, sizeof segment)) {
    const pp_node *next = pp_node_find(root, segment, NULL);
    int index = list_index(segment);
    if (root->kind == PP_NODE_LIST && index >= 0 && index < root->count)
      next = root->items[index];
    if (next == NULL)
      break;
    root = next;
  }
  return root;
}

/* ---- Changing a copy ---- */

static pp_status copy_node(pp_arena *arena, const pp_node *node, pp_node **out) {
  PP_TRY(pp_arena_alloc(arena, 1, sizeof **out, out));
  **out = *node;
  return NULL;
}

pp_status pp_node_with_entry(pp_arena *arena, const pp_node *map, const pp_node *key, const pp_node *value,
                             const pp_node **out) {
  int count = map->count, at = 0;
  while (at < count && strcmp(map->entries[at].key->text, key->text) != 0)
    at++;
  pp_entry *entries = NULL;
  PP_TRY(pp_arena_alloc(arena, (size_t)count + 1, sizeof *entries, &entries));
  if (count > 0)
    memcpy(entries, map->entries, (size_t)count * sizeof *entries);
  entries[at] = (pp_entry){key, value};
  pp_node *copy = NULL;
  PP_TRY(copy_node(arena, map, &copy));
  copy->entries = entries;
  copy->count = at == count ? count + 1 : count;
  *out = copy;
  return NULL;
}

static pp_status with_value(pp_arena *arena, const pp_node *node, const char *whole, const char *rest,
                            const pp_node *place, const pp_node *value, int depth, const pp_node **out) {
  if (*rest == '\0') {
    *out = value;
    return NULL;
  }
  char shown[PP_SHOWN_VALUE], segment[128];
  pp_escape(shown, sizeof shown, false, whole);
  int above = (int)(rest - whole);
  if (depth == PP_NODE_DEPTH || !next_segment(&rest, segment, sizeof segment) || (*rest == '\0' && rest[-1] == '.'))
    return pp_fail_at(place, shown, "is not a key: allowed are names and indices joined by dots, as devices.0.network");
  if (node->kind == PP_NODE_SCALAR) {
    char text[PP_SHOWN_VALUE], prefix[PP_SHOWN_VALUE];
    snprintf(prefix, sizeof prefix, "%.*s", above > 0 ? above - 1 : 0, whole);
    pp_escape(shown, sizeof shown, false, prefix);
    return pp_fail_at(place, shown, "%s has no keys of its own: set it as a whole", pp_node_show(node, text));
  }
  if (node->kind == PP_NODE_LIST) {
    int index = list_index(segment);
    if (index < 0 || index >= node->count)
      return pp_fail_at(place, shown, "there is no such item: allowed is an index from 0 to %d", node->count - 1);
    const pp_node *item = NULL;
    PP_TRY(with_value(arena, node->items[index], whole, rest, place, value, depth + 1, &item));
    const pp_node **items = NULL;
    PP_TRY(pp_arena_alloc(arena, (size_t)node->count, sizeof *items, &items));
    memcpy(items, node->items, (size_t)node->count * sizeof *items);
    items[index] = item;
    pp_node *copy = NULL;
    PP_TRY(copy_node(arena, node, &copy));
    copy->items = items;
    *out = copy;
    return NULL;
  }
  const pp_entry *entry = NULL;
  const pp_node *child = pp_node_find(node, segment, &entry);
  pp_node *empty = NULL, *key = NULL;
  PP_TRY(copy_node(arena, place, &key));
  key->kind = PP_NODE_SCALAR;
  PP_TRY(pp_arena_copy(arena, segment, strlen(segment), &key->text));
  if (child == NULL || pp_node_is_null(child)) {
    PP_TRY(copy_node(arena, place, &empty));
    *empty = (pp_node){.kind = PP_NODE_MAP, .source = place->source, .line = place->line, .column = place->column};
    child = empty;
  }
  const pp_node *changed = NULL;
  PP_TRY(with_value(arena, child, whole, rest, place, value, depth + 1, &changed));
  return pp_node_with_entry(arena, node, key, changed, out);
}

pp_status pp_node_with(pp_arena *arena, const pp_node *root, const char *key, const pp_node *place,
                       const pp_node *value, const pp_node **out) {
  if (*key == '\0')
    return pp_fail_at(place, NULL, "the key is missing: allowed are names and indices joined by dots");
  return with_value(arena, root, key, key, place, value, 0, out);
}

pp_status pp_node_without(pp_arena *arena, const pp_node *map, const char *key, const pp_node **out) {
  pp_entry *entries = NULL;
  PP_TRY(pp_arena_alloc(arena, (size_t)map->count, sizeof *entries, &entries));
  pp_node *copy = NULL;
  PP_TRY(copy_node(arena, map, &copy));
  copy->count = 0;
  copy->entries = entries;
  for (int at = 0; at < map->count; at++)
    if (strcmp(map->entries[at].key->text, key) != 0)
      entries[copy->count++] = map->entries[at];
  *out = copy;
  return NULL;
}

/* ---- Reading ---- */

static pp_status fail_here(const reader *r, yaml_mark_t mark, const char *message) {
  pp_node place = {.source = r->source, .line = r->places ? (int)mark.line + 1 : 0, .column = (int)mark.column + 1};
  return pp_fail_at(&place, NULL, "%s", message);
}

/* What libyaml says, with a line: its reader counts bytes only. */
static pp_status fail_syntax(const reader *r) {
  const yaml_parser_t *parser = &r->parser;
  if (parser->error == YAML_MEMORY_ERROR)
    return pp_fail_memory("the experiment file", r->length);
  yaml_mark_t mark = parser->problem_mark;
  char message[256];
  const char *problem = parser->problem != NULL ? parser->problem : "unreadable";
  if (parser->error == YAML_READER_ERROR) {
    mark = (yaml_mark_t){0};
    for (size_t at = 0; at < parser->problem_offset && at < r->length; at++) {
      mark.column++;
      if (r->text[at] == '\n') {
        mark.line++;
        mark.column = 0;
      }
    }
    if (parser->problem_value >= 0)
      snprintf(message, sizeof message, "%s (0x%02x): allowed is text in UTF-8 without control characters", problem,
               (unsigned)parser->problem_value);
    else
      snprintf(message, sizeof message, "%s: allowed is text in UTF-8", problem);
  } else {
    snprintf(message, sizeof message, "not valid YAML: %s%s%s", parser->context != NULL ? parser->context : "",
             parser->context != NULL ? ", " : "", problem);
  }
  return fail_here(r, mark, message);
}

static pp_status next_event(reader *r, yaml_event_t *event) {
  if (!yaml_parser_parse(&r->parser, event))
    return fail_syntax(r);
  return NULL;
}

static pp_status check_plain(const reader *r, const yaml_event_t *event, const yaml_char_t *anchor,
                             const yaml_char_t *tag) {
  if (anchor != NULL)
    return fail_here(r, event->start_mark, "anchors (&) are not supported: write the value out where it is wanted");
  if (tag != NULL)
    return fail_here(r, event->start_mark, "tags (!) are not supported: a value's type follows from its key");
  return NULL;
}

static pp_status read_node(reader *r, const yaml_event_t *event, int depth, pp_node **out);

/* Appends to an array of the arena's that doubles as it grows. */
static pp_status append(pp_arena *arena, void **array, int *capacity, int count, size_t size, const void *item) {
  if (count == *capacity) {
    int grown = *capacity == 0 ? 4 : 2 * *capacity;
    void *larger = NULL;
    PP_TRY(pp_arena_alloc(arena, (size_t)grown, size, &larger));
    if (count > 0)
      memcpy(larger, *array, (size_t)count * size);
    *array = larger;
    *capacity = grown;
  }
  memcpy((char *)*array + (size_t)count * size, item, size);
  return NULL;
}

static pp_status read_list(reader *r, int depth, pp_node *node) {
  void *items = NULL;
  int capacity = 0;
  for (;;) {
    yaml_event_t event;
    PP_TRY(next_event(r, &event));
    if (event.type == YAML_SEQUENCE_END_EVENT) {
      yaml_event_delete(&event);
      node->items = items;
      return NULL;
    }
    pp_node *item = NULL;
    pp_status status = read_node(r, &event, depth + 1, &item);
    yaml_event_delete(&event);
    PP_TRY(status);
    PP_TRY(append(r->arena, &items, &capacity, node->count, sizeof item, &item));
    node->count++;
  }
}

static pp_status read_key(reader *r, const pp_node *map, const pp_node *key) {
  char shown[PP_SHOWN_VALUE];
  if (key->kind != PP_NODE_SCALAR)
    return pp_fail_at(key, NULL, "%s cannot be a key: allowed is a word", pp_node_show(key, shown));
  if (map->count == PP_NODE_KEYS)
    return pp_fail_at(key, NULL, "more than %d keys in one mapping", PP_NODE_KEYS);
  const pp_entry *first = NULL;
  if (pp_node_find(map, key->text, &first) == NULL)
    return NULL;
  pp_escape(shown, sizeof shown, false, key->text);
  if (r->places)
    return pp_fail_at(key, shown, "is given twice, first in line %d: allowed is once", first->key->line);
  return pp_fail_at(key, shown, "is given twice: allowed is once");
}

static pp_status read_map(reader *r, int depth, pp_node *node) {
  void *entries = NULL;
  int capacity = 0;
  for (;;) {
    pp_node *key = NULL, *value = NULL;
    yaml_event_t event;
    PP_TRY(next_event(r, &event));
    if (event.type == YAML_MAPPING_END_EVENT) {
      yaml_event_delete(&event);
      return NULL;
    }
    pp_status status = read_node(r, &event, depth + 1, &key);
    yaml_event_delete(&event);
    PP_TRY(status);
    PP_TRY(read_key(r, node, key));
    PP_TRY(next_event(r, &event));
    status = read_node(r, &event, depth + 1, &value);
    yaml_event_delete(&event);
    PP_TRY(status);
    pp_entry entry = {key, value};
    PP_TRY(append(r->arena, &entries, &capacity, node->count, sizeof entry, &entry));
    node->count++;
    node->entries = entries;
  }
}

static pp_status read_scalar(reader *r, const yaml_event_t *event, pp_node *node) {
  const char *text = (const char *)event->data.scalar.value;
  size_t length = event->data.scalar.length;
  PP_TRY(check_plain(r, event, event->data.scalar.anchor, event->data.scalar.tag));
  if (length > PP_NODE_TEXT)
    return pp_fail_at(node, NULL, "a text of %zu bytes: allowed are at most %d", length, PP_NODE_TEXT);
  if (memchr(text, 0, length) != NULL)
    return pp_fail_at(node, NULL, "a text with the character 0 in it is not allowed");
  node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  return pp_arena_copy(r->arena, text, length, &node->text);
}

static pp_status read_node(reader *r, const yaml_event_t *event, int depth, pp_node **out) {
  pp_node *node = NULL;
  if (depth >= PP_NODE_DEPTH && event->type != YAML_SCALAR_EVENT) {
    char message[96];
    snprintf(message, sizeof message, "nested too deeply: allowed are %d levels", PP_NODE_DEPTH);
    return fail_here(r, event->start_mark, message);
  }
  PP_TRY(pp_arena_alloc(r->arena, 1, sizeof *node, &node));
  node->source = r->source;
  if (r->places) {
    node->line = (int)event->start_mark.line + 1;
    node->column = (int)event->start_mark.column + 1;
  }
  *out = node;
  switch (event->type) {
  case YAML_SCALAR_EVENT:
    return read_scalar(r, event, node);
  case YAML_SEQUENCE_START_EVENT:
    PP_TRY(check_plain(r, event, event->data.sequence_start.anchor, event->data.sequence_start.tag));
    node->kind = PP_NODE_LIST;
    return read_list(r, depth, node);
  case YAML_MAPPING_START_EVENT:
    PP_TRY(check_plain(r, event, event->data.mapping_start.anchor, event->data.mapping_start.tag));
    node->kind = PP_NODE_MAP;
    return read_map(r, depth, node);
  default:
    return fail_here(r, event->start_mark, "aliases (*) are not supported: write the value out where it is wanted");
  }
}

static pp_status read_documents(reader *r, const pp_node **out) {
  const pp_node *document = NULL;
  for (bool more = true; more;) {
    yaml_event_t event;
    PP_TRY(next_event(r, &event));
    pp_status status = NULL;
    pp_node *node = NULL;
    switch (event.type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_END_EVENT:
      more = false;
      break;
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
      break;
    default:
      if (document != NULL)
        status = fail_here(r, event.start_mark, "a second document begins here: allowed is one");
      else
        status = read_node(r, &event, 0, &node);
      document = node;
    }
    yaml_event_delete(&event);
    PP_TRY(status);
  }
  *out = document;
  return NULL;
}

pp_status pp_node_parse(pp_arena *arena, const char *source, bool places, const char *text, size_t length,
                        const pp_node **out) {
  reader r = {.arena = arena, .source = source, .places = places, .text = text, .length = length};
  /* libyaml takes a byte order mark only where it guesses the encoding. */
  if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
    r.text += 3;
    r.length -= 3;
  }
  if (!yaml_parser_initialize(&r.parser))
    return pp_fail_memory("the YAML parser", sizeof r.parser);
  yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&r.parser, (const unsigned char *)r.text, r.length);
  pp_status status = read_documents(&r, out);
  yaml_parser_delete(&r.parser);
  return status;
}
