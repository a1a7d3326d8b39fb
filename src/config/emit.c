/* Settings on their way out: visited, dumped, documented. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/architecture.h"
#include "config/decimal.h"
#include "config/fields.h"
#include "pipar/config.h"

/* One line of a dump: a setting, or the head of a section (setting NULL). */
typedef struct line {
  const char *key;    /* the last part of the dotted key */
  int depth;          /* of indentation */
  bool first_of_item; /* it begins an item of a list */
  const pp_setting *setting;
  bool is_yaml; /* a text that is YAML, not to be quoted */
} line;

typedef pp_status (*line_writer)(const line *what, void *context);

typedef struct walk {
  line_writer write;
  void *context;
  char key[256]; /* dotted */
} walk;

typedef struct level {
  int depth;
  bool begins_item; /* the next line begins an item of a list */
} level;

/* Goes down by one part of the key; the return value undoes it. */
static size_t push(walk *w, const char *key) {
  size_t length = strlen(w->key);
  snprintf(w->key + length, sizeof w->key - length, "%s%s", length > 0 ? "." : "", key);
  return length;
}

static pp_status write_line(walk *w, level *at, const char *key, pp_setting *setting, bool is_yaml) {
  size_t above = push(w, key);
  if (setting != NULL)
    setting->key = w->key;
  line what = {key, at->depth, at->begins_item, setting, is_yaml};
  at->begins_item = false;
  pp_status status = w->write(&what, w->context);
  w->key[above] = '\0';
  return status;
}

static pp_status write_text(walk *w, level *at, const char *key, const char *text, bool is_yaml) {
  pp_setting setting = {.type = PP_SETTING_TEXT, .text = text};
  return write_line(w, at, key, &setting, is_yaml);
}

static pp_status write_scaled(walk *w, level *at, const char *key, int64_t value, int scale) {
  char text[PP_DECIMAL_TEXT];
  pp_decimal_print(value, scale, text);
  pp_setting setting = {.type = PP_SETTING_REAL, .real = strtod(text, NULL), .text = text};
  return write_line(w, at, key, &setting, true);
}

static const void *member(const void *base, const pp_field *field) { return (const char *)base + field->offset; }

static int64_t load(const void *base, const pp_field *field) {
  int64_t wide = 0;
  int narrow = 0;
  bool flag = false;
  if (field->size == sizeof wide)
    memcpy(&wide, member(base, field), sizeof wide);
  else if (field->size == sizeof narrow)
    memcpy(&narrow, member(base, field), sizeof narrow);
  else
    memcpy(&flag, member(base, field), sizeof flag);
  return field->size == sizeof wide ? wide : field->size == sizeof narrow ? narrow : flag;
}

static pp_status write_trace(walk *w, level *at, const char *key, const pp_rate_trace *trace) {
  char *text = NULL;
  size_t length = 0;
  FILE *stream = open_memstream(&text, &length);
  if (stream == NULL)
    return pp_fail_memory("a trace", (unsigned long long)trace->count);
  for (int step = 0; step < trace->count; step++) {
    char time[PP_DECIMAL_TEXT], rate[PP_DECIMAL_TEXT];
    pp_decimal_print(trace->steps[step].start_ns, pp_time_field.scale, time);
    pp_decimal_print(trace->steps[step].rate_bps, pp_rate_field.scale, rate);
    fprintf(stream, "%s[%s, %s]", step == 0 ? "[" : ", ", time, rate);
  }
  fputc(']', stream);
  pp_status status = NULL;
  if (fclose(stream) != 0)
    status = pp_fail_memory("a trace", (unsigned long long)trace->count);
  else
    status = write_text(w, at, key, text, true);
  free(text);
  return status;
}

static pp_status write_floats(walk *w, level *at, const char *key, const float *values, int count) {
  char text[4 * (PP_DECIMAL_TEXT + 2) + 2] = "[", number[PP_DECIMAL_TEXT];
  for (int channel = 0; channel < count; channel++) {
    pp_real_print((double)values[channel], true, number);
    strcat(text, channel > 0 ? ", " : "");
    strcat(text, number);
  }
  return write_text(w, at, key, strcat(text, "]"), true);
}

static pp_status walk_fields(walk *w, level *at, const pp_field *fields, const void *base);

/* A section inside: its head, then its fields one level deeper. */
static pp_status walk_section(walk *w, level *at, const char *key, const pp_field *fields, const void *base) {
  PP_TRY(write_line(w, at, key, NULL, false));
  level inside = {at->depth + 1, false};
  size_t above = push(w, key);
  pp_status status = walk_fields(w, &inside, fields, base);
  w->key[above] = '\0';
  return status;
}

static pp_status walk_normalize(walk *w, level *at, const pp_field *field, const pp_dataset_config *dataset) {
  if (dataset->normalize_channels == 0)
    return write_text(w, at, field->key, field->word, true);
  PP_TRY(write_line(w, at, field->key, NULL, false));
  level inside = {at->depth + 1, false};
  size_t above = push(w, field->key);
  pp_status status = write_floats(w, &inside, "mean", dataset->mean, dataset->normalize_channels);
  if (status == NULL)
    status = write_floats(w, &inside, "std", dataset->deviation, dataset->normalize_channels);
  w->key[above] = '\0';
  return status;
}

static pp_status walk_groups(walk *w, level *at, const pp_field *field, const pp_config *config) {
  PP_TRY(write_line(w, at, field->key, NULL, false));
  size_t above = push(w, field->key);
  pp_status status = NULL;
  for (int group = 0; status == NULL && group < config->group_count; group++) {
    char index[16];
    snprintf(index, sizeof index, "%d", group);
    level inside = {at->depth + 2, true};
    size_t list = push(w, index);
    status = walk_fields(w, &inside, field->fields, &config->groups[group]);
    w->key[list] = '\0';
  }
  w->key[above] = '\0';
  return status;
}

/* Whether a section has anything to say: a cost table or a server's link that is not given has not. */
static bool is_empty(const pp_field *fields, const void *base) {
  if (fields == pp_server_link_fields)
    return ((const pp_network_config *)base)->up.count == 0;
  for (; fields->key != NULL; fields++)
    if (fields->fallback != NULL || fields->required ||
        (fields->type != PP_FIELD_INT && fields->type != PP_FIELD_SCALED) || load(base, fields) != 0)
      return false;
  return true;
}

static pp_status walk_field(walk *w, level *at, const pp_field *field, const void *base) {
  const void *from = member(base, field);
  const char *text = from;
  char number[PP_DECIMAL_TEXT];
  pp_setting setting = {.text = number};
  const pp_rate_trace *trace = from;
  switch (field->type) {
  case PP_FIELD_INT:
    setting.type = PP_SETTING_INT;
    setting.integer = load(base, field);
    if (field->word != NULL && setting.integer == field->word_value)
      return write_text(w, at, field->key, field->word, true);
    if (setting.integer == 0 && field->fallback == NULL)
      return NULL;
    snprintf(number, sizeof number, "%" PRId64, setting.integer);
    return write_line(w, at, field->key, &setting, true);
  case PP_FIELD_BOOL:
    setting.type = PP_SETTING_BOOL;
    setting.integer = load(base, field);
    setting.text = setting.integer != 0 ? "true" : "false";
    return write_line(w, at, field->key, &setting, true);
  case PP_FIELD_REAL:
    setting.type = PP_SETTING_REAL;
    memcpy(&setting.real, from, sizeof setting.real);
    if (setting.real == 0 && field->fallback == NULL && !field->required) /* not given */
      return NULL;
    pp_real_print(setting.real, false, number);
    return write_line(w, at, field->key, &setting, true);
  case PP_FIELD_CHOICE:
    for (const pp_choice *choice = field->choices; choice->name != NULL; choice++)
      if (choice->value == load(base, field))
        return write_text(w, at, field->key, choice->name, true);
    return NULL;
  case PP_FIELD_FIXED:
    return write_text(w, at, field->key, field->fallback, true);
  case PP_FIELD_LABEL:
    return text[0] == '\0' ? NULL : write_text(w, at, field->key, text, false);
  case PP_FIELD_NAME:
  case PP_FIELD_TEXT:
    return write_text(w, at, field->key, text, false);
  case PP_FIELD_PATH:
    memcpy(&text, from, sizeof text);
    return write_text(w, at, field->key, text, false);
  case PP_FIELD_FILE:
    memcpy(&text, from, sizeof text);
    return text == NULL ? NULL : write_text(w, at, field->key, text, false);
  case PP_FIELD_SCALED:
    if (field->low > 0 && load(base, field) == 0) /* not given */
      return NULL;
    return write_scaled(w, at, field->key, load(base, field), field->scale);
  case PP_FIELD_SECTION:
    return is_empty(field->fields, from) ? NULL : walk_section(w, at, field->key, field->fields, from);
  case PP_FIELD_DEVICE:
    if (((const pp_device_config *)from)->memory_gbs == 0) /* not given */
      return NULL;
    return walk_section(w, at, field->key, pp_device_fields, from);
  case PP_FIELD_NETWORK:
    return walk_section(w, at, field->key, pp_network_fields, from);
  case PP_FIELD_GROUPS:
    return walk_groups(w, at, field, base);
  case PP_FIELD_RATE:
    return trace->count != 1 ? NULL : write_scaled(w, at, field->key, trace->steps[0].rate_bps, field->scale);
  case PP_FIELD_TRACE:
    return trace->count == 1 ? NULL : write_trace(w, at, field->key, trace);
  case PP_FIELD_SLOWDOWN:
    return trace->count == 0 ? NULL : write_trace(w, at, field->key, trace);
  case PP_FIELD_LOOP:
    if (trace->period_ns == 0)
      return NULL;
    return write_scaled(w, at, field->key, trace->period_ns - trace->steps[trace->count - 1].start_ns, field->scale);
  case PP_FIELD_SHAPE: {
    int shape[3];
    char list[64];
    memcpy(shape, from, sizeof shape);
    snprintf(list, sizeof list, "[%d, %d, %d]", shape[0], shape[1], shape[2]);
    return write_text(w, at, field->key, list, true);
  }
  case PP_FIELD_NORMALIZE:
    return walk_normalize(w, at, field, base);
  case PP_FIELD_BOTH:
  case PP_FIELD_FLOATS:
  case PP_FIELD_REALS:
  case PP_FIELD_NODE:
  case PP_FIELD_UNBUILT:
  case PP_FIELD_SWEEP:
    break;
  }
  return NULL;
}

/* latency_ms where both ways are alike, else one key each. */
static bool is_left_out(const pp_field *fields, const pp_field *field, const void *base) {
  if (field->only_synthetic)
    return strcmp(((const pp_dataset_config *)base)->name, "synthetic") != 0;
  if (fields != pp_network_fields || field->scale != 6 || field->type != PP_FIELD_SCALED)
    return false;
  const pp_network_config *network = base;
  return network->up_latency_ns == network->down_latency_ns;
}

static pp_status walk_fields(walk *w, level *at, const pp_field *fields, const void *base) {
  for (const pp_field *field = fields; field->key != NULL; field++) {
    if (is_left_out(fields, field, base))
      continue;
    if (field->type == PP_FIELD_BOTH) {
      const pp_network_config *network = base;
      if (network->up_latency_ns == network->down_latency_ns)
        PP_TRY(write_scaled(w, at, field->key, network->up_latency_ns, field->scale));
      continue;
    }
    PP_TRY(walk_field(w, at, field, base));
  }
  return NULL;
}

static pp_status walk_config(const pp_config *config, line_writer write, void *context) {
  walk w = {.write = write, .context = context};
  level top = {0, false};
  return walk_fields(&w, &top, pp_experiment_fields, config);
}

/* ---- Visiting ---- */

typedef struct visit {
  pp_setting_visitor visitor;
  void *context;
} visit;

static pp_status visit_line(const line *what, void *context) {
  const visit *v = context;
  return what->setting == NULL ? NULL : v->visitor(what->setting, v->context);
}

pp_status pp_config_visit(const pp_config *config, pp_setting_visitor visitor, void *context) {
  visit v = {visitor, context};
  PP_TRY(walk_config(config, visit_line, &v));
  if (config->architecture == NULL)
    return NULL;
  pp_setting file = {.key = "model_file", .type = PP_SETTING_TEXT, .text = config->architecture->text};
  return visitor(&file, context);
}

/* ---- Dumping ---- */

/* Plain where no reader of YAML could take it for anything but a word, else in single quotes, which keep every
 * character as it is; texts hold no line breaks. */
static void print_text(FILE *stream, const char *text) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  static const char *const other_types[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
  bool plain = strchr(letters, text[0]) != NULL;
  for (const char *c = text; plain && *c != '\0'; c++)
    plain = strchr(letters, *c) != NULL || strchr("0123456789._/-", *c) != NULL;
  for (size_t word = 0; word < sizeof other_types / sizeof *other_types; word++)
    plain = plain && strcasecmp(text, other_types[word]) != 0;
  if (plain) {
    fputs(text, stream);
    return;
  }
  fputc('\'', stream);
  for (; *text != '\0'; text++) {
    if (*text == '\'')
      fputc('\'', stream);
    fputc(*text, stream);
  }
  fputc('\'', stream);
}

static pp_status dump_line(const line *what, void *context) {
  FILE *stream = context;
  int indent = 2 * what->depth;
  if (what->first_of_item)
    fprintf(stream, "%*s- %s:", indent - 2, "", what->key);
  else
    fprintf(stream, "%*s%s:", indent, "", what->key);
  if (what->setting != NULL && what->is_yaml) {
    fprintf(stream, " %s", what->setting->text);
  } else if (what->setting != NULL) {
    fputc(' ', stream);
    print_text(stream, what->setting->text);
  }
  fputc('\n', stream);
  return NULL;
}

static pp_status flushed(FILE *stream, const char *what) {
  if (fflush(stream) != 0 || ferror(stream))
    return pp_fail(PP_CODE_RUN, "%s could not be written", what);
  return NULL;
}

pp_status pp_config_dump(const pp_config *config, FILE *stream) {
  PP_TRY(walk_config(config, dump_line, stream));
  return flushed(stream, "the experiment");
}

/* ---- Documenting ---- */

/* A `|` would end a cell of the table. */
static void print_cell(FILE *stream, const char *text) {
  for (; *text != '\0'; text++) {
    if (*text == '|')
      fputc('\\', stream);
    fputc(*text, stream);
  }
}

static void document_field(FILE *stream, const char *prefix, const pp_field *field) {
  char text[PP_ALLOWED_TEXT];
  fprintf(stream, "| `%s%s` | ", prefix, field->key);
  print_cell(stream, field->type == PP_FIELD_GROUPS ? "a list of groups" : pp_field_allowed(field, text));
  if (field->choices != NULL && pp_choices_print(field->choices, false, ", ", text)[0] != '\0')
    fprintf(stream, "; not built yet: %s", text);
  if (field->built != NULL)
    fprintf(stream, "; built so far: %s", field->built);
  fprintf(stream, " | %s | ", field->fallback != NULL ? field->fallback : field->required ? "required" : "");
  print_cell(stream, field->help != NULL ? field->help : "");
  fprintf(stream, " |\n");
}

static void document_section(FILE *stream, walk *w, const pp_field *fields) {
  size_t above = push(w, "");
  for (const pp_field *field = fields; field->key != NULL; field++) {
    if (field->type == PP_FIELD_SECTION && !field->inherits) {
      w->key[above] = '\0';
      push(w, field->key);
      document_section(stream, w, field->fields);
      w->key[above] = '\0';
      push(w, "");
    } else if (field->type != PP_FIELD_UNBUILT) {
      document_field(stream, w->key, field);
    }
  }
  w->key[above] = '\0';
}

static void document_table(FILE *stream, const char *title, const char *prefix, const pp_field *fields) {
  fprintf(stream, "\n### %s\n\n| key | allowed | default | what it is |\n| --- | --- | --- | --- |\n", title);
  walk w = {.key = ""};
  push(&w, prefix);
  document_section(stream, &w, fields);
}

pp_status pp_config_document(FILE *stream) {
  fprintf(stream, "### The experiment\n\n| key | allowed | default | what it is |\n| --- | --- | --- | --- |\n");
  for (const pp_field *field = pp_experiment_fields; field->key != NULL; field++)
    if (field->type != PP_FIELD_SECTION)
      document_field(stream, "", field);
  for (const pp_field *field = pp_experiment_fields; field->key != NULL; field++) {
    char title[64];
    snprintf(title, sizeof title, "`%s`", field->key);
    if (field->type == PP_FIELD_SECTION)
      document_table(stream, title, field->key, field->fields);
    if (field->type == PP_FIELD_GROUPS)
      document_table(stream, "A group of `devices`", "devices.N", field->fields);
  }
  document_table(stream, "A device in place", "", pp_device_fields);
  document_table(stream, "A network in place", "", pp_network_fields);
  return flushed(stream, "the reference");
}

/* ---- Names ---- */

/* The word for a value of a setting, from the table that parses it. */
static const char *name_of(const pp_field *fields, const char *section, const char *key, int value) {
  for (; fields->key != NULL; fields++) {
    if (section != NULL && strcmp(fields->key, section) == 0)
      return name_of(fields->fields, NULL, key, value);
    if (section != NULL || strcmp(fields->key, key) != 0)
      continue;
    for (const pp_choice *choice = fields->choices; choice->name != NULL; choice++)
      if (choice->value == value)
        return choice->name;
  }
  return "unknown";
}

const char *pp_method_name(pp_method method) { return name_of(pp_experiment_fields, NULL, "method", (int)method); }
const char *pp_policy_name(pp_policy policy) { return name_of(pp_experiment_fields, "server", "policy", (int)policy); }
const char *pp_mechanism_name(pp_mechanism mechanism) {
  return name_of(pp_experiment_fields, "privacy", "mechanism", (int)mechanism);
}
const char *pp_cost_kind_name(pp_cost_kind kind) { return name_of(pp_experiment_fields, "cost", "kind", (int)kind); }
