/* A YAML text as a tree that remembers where each value was written. Nodes are never changed once built, so that the
 * runs of a sweep can share them; all memory is the arena's. */
#ifndef PP_CONFIG_NODE_H
#define PP_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/arena.h"
#include "pipar/status.h"

/* Limits of a file, stated in errors when they are met. */
enum {
  PP_NODE_DEPTH = 32,        /* lists and mappings inside each other */
  PP_NODE_KEYS = 256,        /* of one mapping */
  PP_NODE_TEXT = 4096,       /* bytes of one scalar */
  PP_SHOWN_VALUE = 128,      /* room for a value as errors show it */
  PP_SHOWN_PATH = 320,       /* room for a file's path as errors show it */
  PP_SHOWN_PLACE = 320 + 48, /* and with line and column */
};

typedef enum pp_node_kind { PP_NODE_SCALAR, PP_NODE_LIST, PP_NODE_MAP } pp_node_kind;

typedef struct pp_node pp_node;

typedef struct pp_entry {
  const pp_node *key;
  const pp_node *value;
} pp_entry;

struct pp_node {
  pp_node_kind kind;
  bool plain;         /* a scalar without quotes */
  int line, column;   /* from 1; line 0: `source` alone says where, as with --set */
  const char *source; /* as errors show it */
  const char *text;   /* of a scalar; UTF-8 without a 0 inside */
  int count;          /* of a list or mapping */
  const pp_node **items;
  const pp_entry *entries;
};

/* Builds the tree of a text that holds one document. *out is NULL when it holds none. `source` must be fit to be shown
 * (pp_escape) and live as long as the arena; places: with lines and columns. Errors (PP_CODE_INPUT): what YAML forbids,
 * anchors, aliases, tags, duplicate keys, keys that are not scalars, more than one document, the limits above. */
PP_MUST_CHECK pp_status pp_node_parse(pp_arena *arena, const char *source, bool places, const char *text, size_t length,
                                      const pp_node **out);
/* A plain scalar that stands for no place of a file. */
pp_node pp_node_scalar(const char *source, const char *text);

/* Value of a key of a mapping, or NULL; *entry (may be NULL) is the whole entry. */
const pp_node *pp_node_find(const pp_node *map, const char *key, const pp_entry **entry);
/* The node at a dotted key, or the nearest one above it that exists: where to point when it is missing. */
const pp_node *pp_node_nearest(const pp_node *root, const char *key);
bool pp_node_is_null(const pp_node *node);

/* A tree equal to `root` but for the value at the dotted key ("devices.0.network"), with mappings added where they are
 * missing. `place` says where the key was written. Errors: a list's index that it does not have, a key inside a scalar.
 */
PP_MUST_CHECK pp_status pp_node_with(pp_arena *arena, const pp_node *root, const char *key, const pp_node *place,
                                     const pp_node *value, const pp_node **out);
/* A mapping with one entry changed or added. */
PP_MUST_CHECK pp_status pp_node_with_entry(pp_arena *arena, const pp_node *map, const pp_node *key,
                                           const pp_node *value, const pp_node **out);
/* A mapping without one of its keys. */
PP_MUST_CHECK pp_status pp_node_without(pp_arena *arena, const pp_node *map, const char *key, const pp_node **out);

/* Copies text as one line fit for a terminal: control characters and bytes that are not UTF-8 as \n or \xNN, cut to
 * `size` with "..." at the end (keep_end: at the beginning). Returns out. */
char *pp_escape(char *out, size_t size, bool keep_end, const char *text);
/* Whether text is UTF-8 that pp_escape leaves as it is (line breaks and control characters are not). */
bool pp_text_is_plain(const char *text);
/* "FILE:LINE:COLUMN" or "--set KEY=VALUE". out: (PP_SHOWN_PLACE). Returns out. */
char *pp_node_place(const pp_node *node, char *out);
/* A scalar's text, or "a list", "a mapping", "nothing". out: (PP_SHOWN_VALUE). Returns out. */
char *pp_node_show(const pp_node *node, char *out);

/* PP_CODE_INPUT: "PLACE: KEY: message"; key may be NULL. */
PP_MUST_CHECK pp_status pp_fail_at(const pp_node *node, const char *key, const char *format, ...) PP_PRINTF(3, 4);

#endif
