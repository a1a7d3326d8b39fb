#include "config/parse.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "config/decimal.h"
#include "config/fields.h"
#include "config/tracefile.h"

/* Where in the file the parser is, for errors only. */
typedef struct place {
  const struct place *above;
  const char *key; /* NULL: `index` of a list */
  int index;
} place;

typedef struct parser {
  pp_arena *arena;
  const pp_presets *presets; /* NULL: none can be referred to */
  pp_config *config;         /* NULL while presets themselves are parsed */
  const char *directory;     /* of the file, for the files it names */
} parser;

enum { KEY_TEXT = 200 };

static void print_place(const place *at, char *out) {
  size_t used = 0;
  if (at->above != NULL) {
    print_place(at->above, out);
    used = strlen(out);
    if (used > 0 && used + 1 < KEY_TEXT)
      out[used++] = '.';
  }
  if (at->key != NULL)
    snprintf(out + used, KEY_TEXT - used, "%s", at->key);
  else
    snprintf(out + used, KEY_TEXT - used, "%d", at->index);
}

/* "PLACE: KEY: VALUE is WHY: allowed is WHAT". */
static pp_status refuse(const place *at, const pp_node *node, const pp_field *field, const char *why) {
  char key[KEY_TEXT], value[PP_SHOWN_VALUE], allowed[PP_ALLOWED_TEXT];
  print_place(at, key);
  return pp_fail_at(node, key, "%s is %s: allowed is %s", pp_node_show(node, value), why,
                    pp_field_allowed(field, allowed));
}

static pp_status fail(const place *at, const pp_node *node, const char *message) {
  char key[KEY_TEXT];
  print_place(at, key);
  return pp_fail_at(node, key, "%s", message);
}

static void *member(void *base, const pp_field *field) { return (char *)base + field->offset; }

static void store(void *base, const pp_field *field, int64_t value) {
  void *to = member(base, field);
  if (field->size == sizeof(int64_t)) {
    memcpy(to, &value, sizeof value);
  } else if (field->size == sizeof(int)) {
    int narrow = (int)value;
    memcpy(to, &narrow, sizeof narrow);
  } else {
    bool narrow = value != 0;
    memcpy(to, &narrow, sizeof narrow);
  }
}

/* ---- Scalars ---- */

static pp_status check_built(const place *at, const pp_node *node, const pp_field *field) {
  if (field->built == NULL || strcmp(node->text, field->built) == 0)
    return NULL;
  char key[KEY_TEXT], value[PP_SHOWN_VALUE];
  print_place(at, key);
  return pp_fail_at(node, key, "%s is not built yet; built is: %s", pp_node_show(node, value), field->built);
}

static pp_status parse_integer(const place *at, const pp_node *node, const pp_field *field, int64_t *out) {
  if (node->kind != PP_NODE_SCALAR || !node->plain || !pp_text_is_integer(node->text))
    return refuse(at, node, field, "not an integer");
  int64_t value = 0;
  if (!pp_decimal_parse(node->text, 0, &value) || value < field->low || value > field->high)
    return refuse(at, node, field, "out of range");
  *out = value;
  return NULL;
}

static pp_status check_number(const place *at, const pp_node *node, const pp_field *field) {
  if (node->kind == PP_NODE_SCALAR && node->plain) {
    if (pp_text_is_number(node->text))
      return NULL;
    if (pp_text_is_not_finite(node->text))
      return refuse(at, node, field, "not a finite number");
  }
  return refuse(at, node, field, "not a number");
}

static pp_status parse_scaled(const place *at, const pp_node *node, const pp_field *field, int64_t *out) {
  PP_TRY(check_number(at, node, field));
  int64_t value = 0;
  if (!pp_decimal_parse(node->text, field->scale, &value) || value < field->low || value > field->high)
    return refuse(at, node, field, "out of range");
  *out = value;
  return NULL;
}

static pp_status parse_real(const place *at, const pp_node *node, const pp_field *field, double *out) {
  PP_TRY(check_number(at, node, field));
  double value = strtod(node->text, NULL);
  if (!isfinite(value) || value < field->min || value > field->max || (field->above_min && value <= field->min) ||
      (field->below_max && value >= field->max))
    return refuse(at, node, field, "out of range");
  *out = value == 0 ? 0 : value; /* no negative zero */
  return NULL;
}

static pp_status parse_bool(const place *at, const pp_node *node, const pp_field *field, bool *out) {
  bool plain = node->kind == PP_NODE_SCALAR && node->plain;
  *out = plain && strcmp(node->text, "true") == 0;
  if (!*out && !(plain && strcmp(node->text, "false") == 0))
    return refuse(at, node, field, "neither true nor false");
  return NULL;
}

/* A word that stands for any file of a suffix, "FILE.yaml" or "FILE.h5[:GROUP]". */
static bool is_file_of(const char *word, const char *text) {
  if (strncmp(word, "FILE", 4) != 0)
    return false;
  char suffix[16];
  size_t length = strcspn(word + 4, "[");
  snprintf(suffix, sizeof suffix, "%.*s", (int)length, word + 4);
  const char *found = strstr(text, suffix);
  return found != NULL && (found[length] == '\0' || (word[4 + length] == '[' && found[length] == ':'));
}

static pp_status parse_choice(const place *at, const pp_node *node, const pp_field *field, const pp_choice **out) {
  char key[KEY_TEXT], value[PP_SHOWN_VALUE], built[PP_ALLOWED_TEXT], planned[PP_ALLOWED_TEXT];
  if (node->kind != PP_NODE_SCALAR || pp_node_is_null(node))
    return refuse(at, node, field, "not one word");
  const pp_choice *near = NULL, *found = pp_choice_find(field->choices, node->text);
  for (const pp_choice *choice = field->choices; found == NULL && choice->name != NULL; choice++) {
    if (is_file_of(choice->name, node->text))
      found = choice;
    else if (near == NULL && pp_text_is_near(node->text, choice->name))
      near = choice;
  }
  *out = found;
  if (found != NULL && found->built)
    return NULL;
  print_place(at, key);
  pp_node_show(node, value);
  if (found != NULL)
    return pp_fail_at(node, key, "%s is not built yet; built %s: %s", value,
                      strchr(pp_choices_print(field->choices, true, ", ", built), ',') != NULL ? "are" : "is", built);
  pp_choices_print(field->choices, true, " | ", built);
  pp_choices_print(field->choices, false, ", ", planned);
  return pp_fail_at(node, key, "%s is unknown%s%s%s: allowed is %s%s%s%s", value, near ? ", did you mean " : "",
                    near ? near->name : "", near ? "?" : "", built, planned[0] ? " (not built yet: " : "", planned,
                    planned[0] ? ")" : "");
}

static pp_status parse_text(const place *at, const pp_node *node, const pp_field *field, size_t size,
                            const char **out) {
  if (node->kind != PP_NODE_SCALAR || pp_node_is_null(node))
    return refuse(at, node, field, "not a text");
  if (node->text[0] == '\0')
    return refuse(at, node, field, "empty");
  if (strlen(node->text) >= size)
    return refuse(at, node, field, "too long");
  bool is_name = field->type != PP_FIELD_PATH && field->type != PP_FIELD_FILE;
  if (!pp_text_is_plain(node->text) ||
      (is_name && (strchr(node->text, '/') != NULL || strcmp(node->text, ".") == 0 || strcmp(node->text, "..") == 0)))
    return refuse(at, node, field, "not such a text");
  *out = node->text;
  return NULL;
}

/* ---- Lists ---- */

static pp_status parse_shape(const place *at, const pp_node *node, const pp_field *field, int *shape) {
  if (node->kind != PP_NODE_LIST || node->count != 3)
    return refuse(at, node, field, "not a list of three");
  for (int axis = 0; axis < 3; axis++) {
    place inside = {at, NULL, axis};
    int64_t value = 0;
    pp_field item = {.type = PP_FIELD_INT, .low = field->low, .high = field->high};
    PP_TRY(parse_integer(&inside, node->items[axis], &item, &value));
    shape[axis] = (int)value;
  }
  return NULL;
}

static pp_status parse_floats(const place *at, const pp_node *node, const pp_field *field, float *out) {
  if (node->kind != PP_NODE_LIST || node->count < 1 || node->count > 4)
    return refuse(at, node, field, "not such a list");
  pp_field item = *field;
  item.type = PP_FIELD_REAL;
  for (int channel = 0; channel < node->count; channel++) {
    place inside = {at, NULL, channel};
    double value = 0;
    PP_TRY(parse_real(&inside, node->items[channel], &item, &value));
    out[channel] = (float)value;
  }
  return NULL;
}

static pp_status parse_reals(const parser *p, const place *at, const pp_node *node, const pp_field *field,
                             pp_reals *out) {
  if (node->kind != PP_NODE_LIST || node->count == 0)
    return refuse(at, node, field, "not such a list");
  double *values = NULL;
  pp_field item = *field;
  item.type = PP_FIELD_REAL;
  PP_TRY(pp_arena_alloc(p->arena, (size_t)node->count, sizeof *values, &values));
  for (int index = 0; index < node->count; index++) {
    place inside = {at, NULL, index};
    PP_TRY(parse_real(&inside, node->items[index], &item, &values[index]));
  }
  *out = (pp_reals){node->count, values};
  return NULL;
}

static pp_status parse_section(const parser *p, const place *at, const pp_field *fields, const pp_node *node,
                               void *base, bool defaults);

static pp_status parse_normalize(const parser *p, const place *at, const pp_node *node, const pp_field *field,
                                 pp_dataset_config *out) {
  if (node->kind == PP_NODE_SCALAR && node->plain && strcmp(node->text, field->word) == 0) {
    out->normalize_channels = 0;
    return NULL;
  }
  if (node->kind != PP_NODE_MAP)
    return refuse(at, node, field, "neither");
  PP_TRY(parse_section(p, at, field->fields, node, out, true));
  const pp_node *mean = pp_node_find(node, "mean", NULL), *deviation = pp_node_find(node, "std", NULL);
  if (mean->count != deviation->count) {
    char key[KEY_TEXT];
    print_place(at, key);
    return pp_fail_at(deviation, key, "mean has %d values and std %d: allowed is one a channel in both", mean->count,
                      deviation->count);
  }
  out->normalize_channels = mean->count;
  return NULL;
}

/* ---- Networks and devices ---- */

static pp_status parse_rate(const parser *p, const place *at, const pp_node *node, const pp_field *field,
                            pp_rate_trace *out) {
  int64_t rate_bps = 0;
  PP_TRY(parse_scaled(at, node, field, &rate_bps));
  PP_TRY(pp_arena_alloc(p->arena, 1, sizeof *out->steps, &out->steps));
  out->steps[0].rate_bps = rate_bps;
  out->count = 1;
  return NULL;
}

static pp_status parse_trace(const parser *p, const place *at, const pp_node *node, const pp_field *field,
                             pp_rate_trace *out) {
  bool factors = field->type == PP_FIELD_SLOWDOWN;
  char key[KEY_TEXT];
  if (node->kind == PP_NODE_SCALAR && !pp_node_is_null(node)) {
    pp_status status = pp_trace_file_read(p->arena, p->directory, node->text, out);
    if (status == NULL || pp_error_code(status) != PP_CODE_INPUT)
      return status;
    print_place(at, key);
    pp_status whole = pp_fail_at(node, key, "%s", pp_error_message(status));
    pp_error_free(status);
    return whole;
  }
  if (node->kind != PP_NODE_LIST || node->count == 0)
    return refuse(at, node, field, "not such a list");
  if (node->count > PP_MOST_STEPS)
    return refuse(at, node, field, "too long, at most 1000000 steps");
  PP_TRY(pp_arena_alloc(p->arena, (size_t)node->count, sizeof *out->steps, &out->steps));
  for (int step = 0; step < node->count; step++) {
    const pp_node *pair = node->items[step];
    place inside = {at, NULL, step};
    if (pair->kind != PP_NODE_LIST || pair->count != 2)
      return fail(&inside, pair,
                  factors ? "not a pair: allowed is [seconds, factor]" : "not a pair: allowed is [seconds, Mbit/s]");
    pp_rate_step *to = &out->steps[step];
    place first = {&inside, NULL, 0}, second = {&inside, NULL, 1};
    PP_TRY(parse_scaled(&first, pair->items[0], &pp_time_field, &to->start_ns));
    PP_TRY(parse_scaled(&second, pair->items[1], factors ? &pp_factor_field : &pp_rate_field, &to->rate_bps));
    if (step == 0 && to->start_ns != 0)
      return fail(&first, pair->items[0], "a trace starts later: allowed is a first step at 0");
    if (step > 0 && to->start_ns <= out->steps[step - 1].start_ns)
      return fail(&first, pair->items[0], "not later than the step before it: allowed are times that rise");
  }
  out->count = node->count;
  return NULL;
}

/* What the keys of one direction say together. */
static pp_status check_trace(const place *at, const pp_node *node, const char *direction, pp_rate_trace *trace) {
  char rate_key[32], trace_key[32], loop_key[32], message[192];
  snprintf(rate_key, sizeof rate_key, "%s_mbps", direction);
  snprintf(trace_key, sizeof trace_key, "%s_trace", direction);
  snprintf(loop_key, sizeof loop_key, "%s_loop_after_s", direction);
  const pp_node *rate = pp_node_find(node, rate_key, NULL), *steps = pp_node_find(node, trace_key, NULL);
  const pp_node *loop = pp_node_find(node, loop_key, NULL);
  if ((rate != NULL) == (steps != NULL)) {
    snprintf(message, sizeof message, "%s %s and %s: allowed is one of them", rate != NULL ? "both" : "neither",
             rate_key, trace_key);
    return fail(at, rate != NULL ? steps : node, message);
  }
  if (loop != NULL && steps == NULL) {
    snprintf(message, sizeof message, "%s without %s: allowed are both", loop_key, trace_key);
    return fail(at, loop, message);
  }
  if (steps == NULL)
    return NULL;
  place inside = {at, trace_key, 0};
  bool moves = false;
  for (int step = 0; step < trace->count; step++)
    moves = moves || trace->steps[step].rate_bps > 0;
  if (trace->period_ns == 0 && trace->steps[trace->count - 1].rate_bps == 0)
    return fail(&inside, steps->kind == PP_NODE_LIST ? steps->items[trace->count - 1] : steps,
                "ends at rate 0 and does not start over: allowed is a last rate above 0, or a loop");
  if (!moves)
    return fail(&inside, steps, "is 0 all the time: allowed is a trace with a rate above 0");
  if (trace->count == 1)
    trace->period_ns = 0; /* a constant, however often it starts over */
  return NULL;
}

static pp_status check_rates(const place *at, const pp_node *node, pp_network_config *network) {
  PP_TRY(check_trace(at, node, "up", &network->up));
  return check_trace(at, node, "down", &network->down);
}

static pp_status parse_network_map(const parser *p, const place *at, const pp_node *node, pp_network_config *out) {
  PP_TRY(parse_section(p, at, pp_network_fields, node, out, true));
  bool up = pp_node_find(node, "up_latency_ms", NULL) != NULL;
  bool down = pp_node_find(node, "down_latency_ms", NULL) != NULL;
  const pp_node *both = pp_node_find(node, "latency_ms", NULL);
  if (both == NULL && !(up && down))
    return fail(at, node, "latency_ms is missing: allowed is latency_ms, or up_latency_ms and down_latency_ms");
  if (both != NULL && up && down)
    return fail(at, both, "latency_ms beside up_latency_ms and down_latency_ms: allowed is one or the other");
  return check_rates(at, node, out);
}

/* "raspberry-pi is unknown, did you mean ..." */
static pp_status fail_preset(const place *at, const pp_node *node, const char *near, const char *names) {
  char key[KEY_TEXT], value[PP_SHOWN_VALUE];
  print_place(at, key);
  return pp_fail_at(node, key, "%s is unknown%s%s%s: allowed is %s, or values in place", pp_node_show(node, value),
                    near != NULL ? ", did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "", names);
}

static void add_name(char *names, const char *name) {
  size_t used = strlen(names);
  snprintf(names + used, PP_ALLOWED_TEXT - used, "%s%s", used > 0 ? " | " : "", name);
}

static pp_status parse_network(const parser *p, const place *at, const pp_node *node, const pp_field *field,
                               pp_network_config *out) {
  *out = (pp_network_config){.name = ""};
  if (node->kind == PP_NODE_MAP)
    return parse_network_map(p, at, node, out);
  if (node->kind != PP_NODE_SCALAR || pp_node_is_null(node))
    return refuse(at, node, field, "neither");
  char names[PP_ALLOWED_TEXT] = "";
  const char *near = NULL;
  for (int preset = 0; p->presets != NULL && preset < p->presets->network_count; preset++) {
    const pp_network_config *network = &p->presets->networks[preset];
    if (strcmp(network->name, node->text) == 0) {
      *out = *network;
      return NULL;
    }
    add_name(names, network->name);
    if (near == NULL && pp_text_is_near(node->text, network->name))
      near = network->name;
  }
  return fail_preset(at, node, near, names);
}

static pp_status parse_device(const parser *p, const place *at, const pp_node *node, const pp_field *field,
                              pp_device_config *out) {
  *out = (pp_device_config){.name = ""};
  if (node->kind == PP_NODE_MAP)
    return parse_section(p, at, pp_device_fields, node, out, true);
  if (node->kind != PP_NODE_SCALAR || pp_node_is_null(node))
    return refuse(at, node, field, "neither");
  char names[PP_ALLOWED_TEXT] = "";
  const char *near = NULL;
  for (int preset = 0; p->presets != NULL && preset < p->presets->device_count; preset++) {
    const pp_device_config *device = &p->presets->devices[preset];
    if (strcmp(device->name, node->text) == 0) {
      *out = *device;
      return NULL;
    }
    add_name(names, device->name);
    if (near == NULL && pp_text_is_near(node->text, device->name))
      near = device->name;
  }
  return fail_preset(at, node, near, names);
}

/* ---- Groups ---- */

/* A file may hold what a list may not, and a loop needs something that starts over. */
static pp_status check_slowdown(const place *at, const pp_node *node, pp_rate_trace *slowdown) {
  const pp_node *steps = pp_node_find(node, "slowdown", NULL),
                *loop = pp_node_find(node, "slowdown_loop_after_s", NULL);
  place inside = {at, "slowdown", 0};
  if (loop != NULL && steps == NULL)
    return fail(at, loop, "slowdown_loop_after_s without slowdown: allowed are both");
  for (int step = 0; step < slowdown->count; step++)
    if (slowdown->steps[step].rate_bps < pp_factor_field.low || slowdown->steps[step].rate_bps > pp_factor_field.high)
      return fail(&inside, steps, "has a factor out of range: allowed are factors from 1 to 1000000");
  if (slowdown->count == 1)
    slowdown->period_ns = 0; /* a constant, however often it starts over */
  return NULL;
}

static pp_status parse_groups(const parser *p, const place *at, const pp_node *node, const pp_field *field) {
  char key[KEY_TEXT];
  if (node->kind != PP_NODE_LIST || node->count == 0)
    return refuse(at, node, field, node->kind == PP_NODE_LIST ? "empty" : "not a list");
  print_place(at, key);
  if (node->count > PP_MOST_GROUPS)
    return pp_fail_at(node, key, "%d groups: allowed are at most %d", node->count, PP_MOST_GROUPS);
  pp_config *config = p->config;
  PP_TRY(pp_arena_alloc(p->arena, (size_t)node->count, sizeof *config->groups, &config->groups));
  int64_t devices = 0;
  for (int group = 0; group < node->count; group++) {
    place inside = {at, NULL, group};
    pp_device_group *to = &config->groups[group];
    to->pipeline = config->pipeline;
    to->cost = config->cost;
    PP_TRY(parse_section(p, &inside, field->fields, node->items[group], to, true));
    PP_TRY(check_slowdown(&inside, node->items[group], &to->slowdown));
    devices += to->count;
    if (devices > PP_MOST_DEVICES)
      return pp_fail_at(node->items[group], key, "%" PRId64 " devices in all: allowed are at most %d", devices,
                        PP_MOST_DEVICES);
  }
  config->group_count = node->count;
  return NULL;
}

/* ---- Fields ---- */

static pp_status parse_field(const parser *p, const place *at, const pp_field *field, const pp_node *node, void *base) {
  const char *text = NULL;
  const pp_choice *choice = NULL;
  int64_t integer = 0;
  void *to = member(base, field);
  if (field->word != NULL && field->type == PP_FIELD_INT && node->kind == PP_NODE_SCALAR && node->plain &&
      strcmp(node->text, field->word) == 0) {
    store(base, field, field->word_value);
    return NULL;
  }
  switch (field->type) {
  case PP_FIELD_INT:
    PP_TRY(parse_integer(at, node, field, &integer));
    PP_TRY(check_built(at, node, field));
    store(base, field, integer);
    return NULL;
  case PP_FIELD_BOTH:
  case PP_FIELD_SCALED:
    PP_TRY(parse_scaled(at, node, field, &integer));
    store(base, field, integer);
    if (field->type == PP_FIELD_BOTH)
      memcpy((char *)to + sizeof integer, &integer, sizeof integer);
    return NULL;
  case PP_FIELD_REAL:
    return parse_real(at, node, field, to);
  case PP_FIELD_BOOL:
    PP_TRY(parse_bool(at, node, field, to));
    return check_built(at, node, field);
  case PP_FIELD_CHOICE:
    PP_TRY(parse_choice(at, node, field, &choice));
    store(base, field, choice->value);
    return NULL;
  case PP_FIELD_FIXED:
    return parse_choice(at, node, field, &choice);
  case PP_FIELD_NAME:
    PP_TRY(parse_choice(at, node, field, &choice));
    text = strncmp(choice->name, "FILE", 4) == 0 ? node->text : choice->name;
    if (strlen(text) >= field->size || !pp_text_is_plain(text))
      return refuse(at, node, field, "no fit name of a file");
    snprintf(to, field->size, "%s", text);
    return NULL;
  case PP_FIELD_LABEL:
  case PP_FIELD_TEXT:
    PP_TRY(parse_text(at, node, field, field->size, &text));
    snprintf(to, field->size, "%s", text);
    return NULL;
  case PP_FIELD_PATH:
  case PP_FIELD_FILE:
    PP_TRY(parse_text(at, node, field, PP_NODE_TEXT + 1, &text));
    PP_TRY(pp_arena_copy(p->arena, text, strlen(text), &text));
    memcpy(to, &text, sizeof text);
    return NULL;
  case PP_FIELD_SECTION:
    PP_TRY(parse_section(p, at, field->fields, node, to, !field->inherits));
    return field->fields == pp_server_link_fields ? check_rates(at, node, to) : NULL;
  case PP_FIELD_DEVICE:
    return parse_device(p, at, node, field, to);
  case PP_FIELD_NETWORK:
    return parse_network(p, at, node, field, to);
  case PP_FIELD_GROUPS:
    return parse_groups(p, at, node, field);
  case PP_FIELD_RATE:
    return parse_rate(p, at, node, field, to);
  case PP_FIELD_TRACE:
  case PP_FIELD_SLOWDOWN:
    return parse_trace(p, at, node, field, to);
  case PP_FIELD_LOOP: {
    PP_TRY(parse_scaled(at, node, field, &integer));
    pp_rate_trace *trace = to;
    if (trace->period_ns > 0)
      return fail(at, node, "beside a trace that says itself when it starts over: allowed is one or the other");
    if (trace->count > 0)
      trace->period_ns = trace->steps[trace->count - 1].start_ns + integer;
    return NULL;
  }
  case PP_FIELD_SHAPE:
    return parse_shape(at, node, field, to);
  case PP_FIELD_NORMALIZE:
    return parse_normalize(p, at, node, field, base);
  case PP_FIELD_FLOATS:
    return parse_floats(at, node, field, to);
  case PP_FIELD_REALS:
    return parse_reals(p, at, node, field, to);
  case PP_FIELD_NODE:
    memcpy(to, &node, sizeof node);
    return NULL;
  case PP_FIELD_UNBUILT:
    return fail(at, node, "is not built yet");
  case PP_FIELD_SWEEP:
    break;
  }
  return NULL;
}

static pp_status parse_default(const parser *p, const place *at, const pp_field *field, void *base) {
  pp_node scalar = pp_node_scalar("default", field->fallback);
  const pp_node *node = &scalar;
  if (field->fallback[0] == '[')
    PP_TRY(pp_node_parse(p->arena, "default", false, field->fallback, strlen(field->fallback), &node));
  return parse_field(p, at, field, node, base);
}

static pp_status check_keys(const place *at, const pp_field *fields, const pp_node *node) {
  for (int entry = 0; entry < node->count; entry++) {
    const pp_node *key = node->entries[entry].key;
    const pp_field *field = fields, *near = NULL;
    for (; field->key != NULL && strcmp(field->key, key->text) != 0; field++)
      if (near == NULL && pp_text_is_near(key->text, field->key))
        near = field;
    if (field->key != NULL)
      continue;
    char shown[PP_SHOWN_VALUE], whole[KEY_TEXT], keys[PP_ALLOWED_TEXT] = "";
    place inside = {at, pp_escape(shown, sizeof shown, false, key->text), 0};
    print_place(&inside, whole);
    for (field = fields; field->key != NULL; field++)
      if (field->type != PP_FIELD_UNBUILT)
        add_name(keys, field->key);
    return pp_fail_at(key, whole, "is not a key%s%s%s: allowed is %s", near != NULL ? ", did you mean " : "",
                      near != NULL ? near->key : "", near != NULL ? "?" : "", keys);
  }
  return NULL;
}

/* node NULL: nothing of the section is given. defaults: fill in what is not given. */
static pp_status parse_section(const parser *p, const place *at, const pp_field *fields, const pp_node *node,
                               void *base, bool defaults) {
  if (node != NULL && node->kind != PP_NODE_MAP) {
    char key[KEY_TEXT], value[PP_SHOWN_VALUE];
    print_place(at, key);
    return pp_fail_at(node, key, "%s is not a mapping: allowed is a mapping, {key: value}", pp_node_show(node, value));
  }
  if (node != NULL)
    PP_TRY(check_keys(at, fields, node));
  for (const pp_field *field = fields; field->key != NULL; field++) {
    const pp_node *value = pp_node_find(node, field->key, NULL);
    place inside = {at, field->key, 0};
    if (value != NULL) {
      PP_TRY(parse_field(p, &inside, field, value, base));
    } else if (!defaults) {
      continue;
    } else if (field->type == PP_FIELD_SECTION && !field->inherits) {
      PP_TRY(parse_section(p, &inside, field->fields, NULL, member(base, field), true));
    } else if (field->fallback != NULL) {
      PP_TRY(parse_default(p, &inside, field, base));
    } else if (field->required) {
      char key[KEY_TEXT], allowed[PP_ALLOWED_TEXT];
      print_place(&inside, key);
      return pp_fail_at(node, key, "is missing: allowed is %s", pp_field_allowed(field, allowed));
    }
  }
  return NULL;
}

pp_status pp_config_parse(pp_arena *arena, const pp_presets *presets, const char *directory, const pp_node *root,
                          pp_config *out) {
  parser p = {arena, presets, out, directory};
  PP_TRY(check_keys(NULL, pp_experiment_fields, root));
  return parse_section(&p, NULL, pp_experiment_fields, root, out, true);
}

pp_status pp_fields_parse(pp_arena *arena, const char *key, const pp_field *fields, const pp_node *node, void *out) {
  parser p = {arena, NULL, NULL, NULL};
  place at = {NULL, key, 0};
  PP_ASSERT(key != NULL || node->kind == PP_NODE_MAP);
  return parse_section(&p, key != NULL ? &at : NULL, fields, node, out, true);
}

pp_status pp_device_parse(pp_arena *arena, const char *key, const pp_node *node, pp_device_config *out) {
  parser p = {arena, NULL, NULL, NULL};
  place at = {NULL, key, 0};
  return parse_section(&p, &at, pp_device_fields, node, out, true);
}

pp_status pp_network_parse(pp_arena *arena, const char *key, const pp_node *node, pp_network_config *out) {
  parser p = {arena, NULL, NULL, NULL};
  place at = {NULL, key, 0};
  return parse_network_map(&p, &at, node, out);
}
