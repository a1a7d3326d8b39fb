/* What was run, as far as all runs have it in common: what tells them apart is the table's. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "app/report.h"

enum { WIDEST = 120, MOST_GROUPS = 6 };

/* Several short pieces, commas between them. */
typedef struct line {
  FILE *stream;
  int width, indent;
} line;

static void add(line *to, const char *format, ...) PP_PRINTF(2, 3);
static void add(line *to, const char *format, ...) {
  char piece[160];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(piece, sizeof piece, format, arguments);
  va_end(arguments);
  if (to->width > to->indent && to->width + length + 3 > WIDEST) {
    fprintf(to->stream, ",\n%*s", to->indent, "");
    to->width = to->indent;
  }
  to->width += fprintf(to->stream, "%s%s", to->width > to->indent ? ", " : "", piece);
}

static line begin(FILE *stream, const char *head) {
  int length = fprintf(stream, "%s: ", head);
  return (line){.stream = stream, .width = length, .indent = length};
}

/* The setting's text where all runs agree in it; NULL: they do not; "": none has it. */
static const char *common(const pp_report *report, const char *key) {
  const char *text = pp_report_setting_text(&report->runs[0], key);
  for (int run = 1; run < report->run_count; run++)
    if (strcmp(pp_report_setting_text(&report->runs[run], key), text) != 0)
      return NULL;
  return text;
}

static bool is_there(const char *text) { return text != NULL && text[0] != '\0'; }
static bool is(const char *text, const char *other) { return text != NULL && strcmp(text, other) == 0; }

static const char *of_group(const pp_report *report, int group, const char *field) {
  char key[96];
  snprintf(key, sizeof key, "devices.%d.%s", group, field);
  return common(report, key);
}

static const char *of_link(const pp_report *report, const char *stem, const char *field) {
  char key[96];
  snprintf(key, sizeof key, "%s%s", stem, field);
  return common(report, key);
}

/* "10 Mbit/s": of a direction, or what else it is. */
static void print_rate(const pp_report *report, const char *stem, const char *direction, size_t room, char *out) {
  char field[32];
  snprintf(field, sizeof field, "%s_mbps", direction);
  const char *rate = of_link(report, stem, field);
  snprintf(field, sizeof field, "%s_trace", direction);
  const char *trace = of_link(report, stem, field);
  if (rate == NULL || trace == NULL)
    snprintf(out, room, "a varying rate %s", direction);
  else if (is_there(trace) && trace[0] != '[' && strlen(trace) <= 40)
    snprintf(out, room, "%s %s", trace, direction);
  else if (is_there(trace))
    snprintf(out, room, "a trace %s", direction);
  else
    snprintf(out, room, "%.12s Mbit/s %s", rate, direction);
}

/* "code-10-25 (10 Mbit/s up, 25 Mbit/s down, 10.5 ms)" */
static void add_link(line *to, const pp_report *report, const char *what, const char *stem) {
  char rates[2][64];
  const char *name = of_link(report, stem, "name"), *latency = of_link(report, stem, "latency_ms"),
             *duplex = of_link(report, stem, "duplex");
  print_rate(report, stem, "up", sizeof rates[0], rates[0]);
  print_rate(report, stem, "down", sizeof rates[1], rates[1]);
  bool named = is_there(name), varies = name == NULL || (strstr(rates[0], "varying") && strstr(rates[1], "varying"));
  if (varies) {
    add(to, "%s varies", what);
    return;
  }
  char delay[48] = "";
  if (latency == NULL)
    snprintf(delay, sizeof delay, ", latency varies");
  else if (latency[0] != '\0')
    snprintf(delay, sizeof delay, ", %.12s ms", latency);
  add(to, "%s %.40s%s%s, %s%s%s%s", what, named ? name : "of ", named ? " (" : "", rates[0], rates[1], delay,
      is(duplex, "half") ? ", half duplex" : "", named ? ")" : "");
}

static bool has_table_costs(const pp_report *report, int group) {
  return is(of_group(report, group, "cost.kind"), "table");
}

static void add_group(line *to, const pp_report *report, int group) {
  const char *count = of_group(report, group, "count"), *device = of_group(report, group, "device.name"),
             *numbers = of_group(report, group, "device.dense_conv_gflops"),
             *dropout = of_group(report, group, "dropout"), *slowdown = of_group(report, group, "slowdown");
  char times[24] = "a varying number of", stem[32];
  if (count != NULL)
    snprintf(times, sizeof times, "%.12s", count);
  if (has_table_costs(report, group))
    add(to, "%s device%s with a table of costs", times, is(count, "1") ? "" : "s");
  else if (device == NULL || numbers == NULL)
    add(to, "%s device%s that var%s", times, is(count, "1") ? "" : "s", is(count, "1") ? "ies" : "y");
  else if (device[0] != '\0')
    add(to, count == NULL ? "%s %s" : "%s x %.60s", times, device);
  else
    add(to, "%s device%s of %.12s GFLOP/s", times, is(count, "1") ? "" : "s", numbers);
  snprintf(stem, sizeof stem, "devices.%d.network.", group);
  add_link(to, report, "link", stem);
  if (slowdown == NULL || slowdown[0] != '\0')
    add(to, "with slowdowns");
  if (is_there(dropout) && strcmp(dropout, "0") != 0)
    add(to, "dropout %.12s", dropout);
}

/* Of the run with the fewest. */
static int group_count(const pp_report *report) {
  int least = pp_report_group_count(&report->runs[0]);
  for (int run = 1; run < report->run_count; run++) {
    int groups = pp_report_group_count(&report->runs[run]);
    least = groups < least ? groups : least;
  }
  return least;
}

static void print_devices(const pp_report *report, FILE *stream) {
  int groups = group_count(report);
  for (int group = 0; group < groups && group < MOST_GROUPS; group++) {
    char head[32];
    snprintf(head, sizeof head, groups > 1 ? "group %d" : "devices", group);
    line to = begin(stream, head);
    add_group(&to, report, group);
    fputc('\n', stream);
  }
  if (groups > MOST_GROUPS)
    fprintf(stream, "and %d more groups of devices\n", groups - MOST_GROUPS);
}

static void print_server(const pp_report *report, FILE *stream) {
  const char *device = common(report, "server.device.name"), *slots = common(report, "server.slots"),
             *policy = common(report, "server.policy"), *link = common(report, "server.link.up_mbps"),
             *trace = common(report, "server.link.up_trace");
  line to = begin(stream, "server");
  if (device == NULL)
    add(&to, "device varies");
  else if (!has_table_costs(report, 0))
    add(&to, "%.60s", device[0] != '\0' ? device : "numbers of its own");
  if (slots == NULL)
    add(&to, "slots vary");
  else
    add(&to, "%.12s slot%s", is_there(slots) ? slots : "1", is(slots, "1") || slots[0] == '\0' ? "" : "s");
  if (is_there(policy) && strcmp(policy, "fifo") != 0)
    add(&to, "%.20s", policy);
  if (link == NULL || trace == NULL || link[0] != '\0' || trace[0] != '\0')
    add_link(&to, report, "one link for all", "server.link.");
  fputc('\n', stream);
}

static void print_common(const pp_report *report, FILE *stream) {
  static const struct {
    const char *key, *format;
    bool of_network; /* which a table of costs stands for */
  } facts[] = {{"model", "model %.60s", true},
               {"dataset.name", "data set %.60s", true},
               {"dataset.train_samples", "%.20s samples", true},
               {"training.epochs", "epochs %.20s", false},
               {"training.batch_size", "batch size %.20s", true},
               {"training.aggregate_every", "models averaged every %.20s", false},
               {"clock", "%.20s clock", false},
               {"seed", "seed %.24s", false}};
  bool table = has_table_costs(report, 0) && is(common(report, "compute"), "none");
  line to = begin(stream, report->run_count > 1 ? "all" : "run");
  for (size_t fact = 0; fact < sizeof facts / sizeof facts[0]; fact++) {
    const char *text = common(report, facts[fact].key);
    if (!is_there(text) || (table && facts[fact].of_network))
      continue;
    char words[32];
    bool counts = strcmp(facts[fact].key, "training.aggregate_every") == 0 && strtol(text, NULL, 10) > 0;
    snprintf(words, sizeof words, "%.12s iteration%s", text, is(text, "1") ? "" : "s");
    char piece[96];
    snprintf(piece, sizeof piece, facts[fact].format, counts ? words : text);
    add(&to, "%s", piece);
  }
  if (!table && is(common(report, "compute"), "none"))
    add(&to, "time only");
  fputc('\n', stream);
}

void pp_report_print_heading(const pp_report *report, FILE *stream) {
  for (int file = 0; file < report->file_count; file++) {
    int runs = pp_results_run_count(report->files[file]);
    fprintf(stream, "%s: %d run%s%s\n", pp_results_path(report->files[file]), runs, runs == 1 ? "" : "s",
            pp_report_is_part(report, file) ? " (unfinished: being written, or its writer was stopped)" : "");
  }
  print_common(report, stream);
  print_devices(report, stream);
  print_server(report, stream);
}
