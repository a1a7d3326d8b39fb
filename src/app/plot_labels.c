/* What settings are called in figures, and titles that say which runs are shown. */
#include <stdlib.h>
#include <string.h>

#include "app/plot_style.h"

void pp_plot_quote(FILE *script, const char *text) {
  /* In single quotes gnuplot substitutes nothing; a quote is written twice. */
  fputc('\'', script);
  for (; *text != '\0'; text++) {
    if (*text == '\'')
      fputc('\'', script);
    fputc((unsigned char)*text < 0x20 ? ' ' : *text, script);
  }
  fputc('\'', script);
}

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), of_end = strlen(end);
  return length >= of_end && strcmp(text + length - of_end, end) == 0;
}

/* How often plans are made, whose device it is, and privacy, which is said once where there is none. */
static bool label_specially(const pp_report_run *run, const char *key, const char *text, size_t room, char *out) {
  if (ends_with(key, "pipeline.replan")) {
    if (strcmp(text, "0") == 0)
      snprintf(out, room, "planned once");
    else if (strcmp(text, "1") == 0)
      snprintf(out, room, "planned every round");
    else
      snprintf(out, room, "planned every %.20s rounds", text);
    return true;
  }
  if (strcmp(key, "server.device.name") == 0) {
    snprintf(out, room, "server %.40s", text);
    return true;
  }
  if (strncmp(key, "privacy.", 8) != 0 || strcmp(pp_report_setting_text(run, "privacy.mechanism"), "none") != 0)
    return false;
  snprintf(out, room, "%s", strcmp(key, "privacy.mechanism") == 0 ? "no privacy" : "");
  return true;
}

static bool is_number(const char *text) {
  char *end = NULL;
  (void)strtod(text, &end);
  return text[0] != '\0' && *end == '\0';
}

/* What the key is in words, without its group; returns its unit, or "". */
static const char *name_quantity(const char *key, size_t room, char *out) {
  static const struct {
    const char *end, *name, *unit;
  } known[] = {{"network.up_mbps", "uplink", "Mbit/s"},
               {"network.down_mbps", "downlink", "Mbit/s"},
               {"network.latency_ms", "latency", "ms"},
               {"server.link.up_mbps", "server's uplink", "Mbit/s"},
               {"server.link.down_mbps", "server's downlink", "Mbit/s"}};
  for (size_t quantity = 0; quantity < sizeof known / sizeof known[0]; quantity++)
    if (ends_with(key, known[quantity].end)) {
      snprintf(out, room, "%s", known[quantity].name);
      return known[quantity].unit;
    }
  pp_report_label(key, room, out);
  char *group = strstr(out, " (");
  if (group != NULL)
    *group = '\0';
  for (char *letter = out; *letter != '\0'; letter++)
    *letter = *letter == '_' ? ' ' : *letter;
  return "";
}

/* " of group 0" for a key of devices where there are several groups; else "". */
static void name_group(const pp_report_run *run, const char *key, const char *before, size_t room, char *out) {
  out[0] = '\0';
  if (strncmp(key, "devices.", 8) == 0 && pp_report_group_count(run) > 1)
    snprintf(out, room, "%sgroup %d", before, atoi(key + 8));
}

void pp_plot_setting_label(const pp_report_run *run, const char *key, size_t room, char *out) {
  const char *text = pp_report_setting_text(run, key);
  if (label_specially(run, key, text, room, out))
    return;
  /* Names speak for themselves; a number needs to be said what it is of. */
  char quantity[64], group[24];
  const char *unit = name_quantity(key, sizeof quantity, quantity);
  name_group(run, key, " in ", sizeof group, group);
  if (is_number(text))
    snprintf(out, room, "%s %.40s%s%s%s", quantity, text, unit[0] != '\0' ? " " : "", unit, group);
  else
    snprintf(out, room, "%.40s%s", text, text[0] != '\0' ? group : "");
}

void pp_plot_setting_value(const pp_report_run *run, const char *key, size_t room, char *out) {
  const char *text = pp_report_setting_text(run, key);
  if (!label_specially(run, key, text, room, out))
    snprintf(out, room, "%.40s", text);
}

void pp_plot_key_title(const pp_report_run *run, const char *key, size_t room, char *out) {
  char quantity[64], group[24], text[96];
  out[0] = '\0';
  if (label_specially(run, key, pp_report_setting_text(run, key), sizeof text, text))
    return;
  const char *unit = name_quantity(key, sizeof quantity, quantity);
  name_group(run, key, " of ", sizeof group, group);
  if (is_number(pp_report_setting_text(run, key)) || group[0] != '\0')
    snprintf(out, room, "%s%s%s%s%s", quantity, group, unit[0] != '\0' ? " [" : "", unit, unit[0] != '\0' ? "]" : "");
}

void pp_plot_axis_title(const pp_report *report, bool (*skips)(const char *key, const void *context),
                        const void *context, size_t room, char *out) {
  size_t used = 0;
  out[0] = '\0';
  for (int key = 0; key < report->varying_count && used < room; key++) {
    char title[96] = "";
    if (skips != NULL && skips(report->varying[key], context))
      continue;
    for (int run = 0; run < report->run_count && title[0] == '\0'; run++)
      pp_plot_key_title(&report->runs[run], report->varying[key], sizeof title, title);
    if (title[0] != '\0')
      used += (size_t)snprintf(out + used, room - used, "%s%s", used > 0 ? " / " : "", title);
  }
}

void pp_plot_axis_label(FILE *script, const char *title, double lines) {
  if (title[0] == '\0')
    return;
  fputs("set label ", script);
  pp_plot_quote(script, title);
  fprintf(script, " at graph 0.5, graph 0 center offset 0,%.3g font ',%d'\n", -lines, PP_FONT_AXIS);
}

void pp_plot_line_label(const pp_report *report, const pp_report_run *run, bool (*skips)(const char *key), size_t room,
                        char *out) {
  size_t used = (size_t)snprintf(out, room, "%s", run->info.method);
  for (int key = 0; key < report->varying_count && used < room; key++) {
    char text[96];
    pp_plot_setting_label(run, report->varying[key], sizeof text, text);
    if ((skips == NULL || !skips(report->varying[key])) && text[0] != '\0')
      used += (size_t)snprintf(out + used, room - used, ", %s", text);
  }
}

static void append(char *out, size_t room, const char *between, const char *text) {
  size_t used = strlen(out);
  if (text[0] != '\0' && used + 1 < room)
    snprintf(out + used, room - used, "%s%s", used == 0 ? "" : between, text);
}

/* The setting's text where all runs, or this one, agree in it; else "". */
static const char *common_text(const pp_report *report, const pp_report_run *run, const char *key) {
  const char *text = pp_report_setting_text(run != NULL ? run : &report->runs[0], key);
  for (int other = 0; other < report->run_count && run == NULL; other++)
    if (strcmp(pp_report_setting_text(&report->runs[other], key), text) != 0)
      return "";
  return text;
}

static const char *group_text(const pp_report *report, const pp_report_run *run, int group, const char *field) {
  char key[64];
  snprintf(key, sizeof key, "devices.%d.%s", group, field);
  return common_text(report, run, key);
}

/* "3 x raspberry-pi-5 (code-50-50)": of a group of devices, as far as it is the same in all runs. */
static void describe_group(const pp_report *report, const pp_report_run *run, int group, bool table, size_t room,
                           char *out) {
  const char *count = group_text(report, run, group, "count"), *device = group_text(report, run, group, "device.name"),
             *network = group_text(report, run, group, "network.name"),
             *up = group_text(report, run, group, "network.up_mbps"),
             *down = group_text(report, run, group, "network.down_mbps");
  bool traced_up = group_text(report, run, group, "network.up_trace")[0] != '\0',
       traced_down = group_text(report, run, group, "network.down_trace")[0] != '\0';
  char link[64] = "";
  if (network[0] != '\0')
    snprintf(link, sizeof link, " (%.40s)", network);
  else if (traced_up && traced_down)
    snprintf(link, sizeof link, " (traces)");
  else if ((up[0] != '\0' || traced_up) && (down[0] != '\0' || traced_down))
    snprintf(link, sizeof link, " (%.12s/%.12s Mbit/s)", traced_up ? "trace" : up, traced_down ? "trace" : down);
  else if (pp_report_group_count(run != NULL ? run : &report->runs[0]) > 1)
    snprintf(link, sizeof link, " (group %d)", group);
  bool one = strcmp(count, "1") == 0;
  if (table || device[0] == '\0')
    device = one ? "device" : "devices";
  if (count[0] != '\0')
    snprintf(out, room, "%.12s%s %.40s%s", count, strncmp(device, "device", 6) == 0 ? "" : " x", device, link);
  else
    snprintf(out, room, "%.40s%s", device, link);
}

/* Devices and server; more than three groups are counted only. */
static void describe_hardware(const pp_report *report, const pp_report_run *run, size_t room, char *out) {
  enum { most_groups = 3 };
  const pp_report_run *first = run != NULL ? run : &report->runs[0];
  bool table = strcmp(common_text(report, run, "cost.kind"), "table") == 0;
  int groups = pp_report_group_count(first);
  char text[160];
  out[0] = '\0';
  for (int group = 0; group < groups && groups <= most_groups; group++) {
    describe_group(report, run, group, table, sizeof text, text);
    append(out, room, " + ", text);
  }
  if (groups > most_groups) {
    snprintf(text, sizeof text, "%lld devices in %d groups", (long long)first->info.device_count, groups);
    append(out, room, "", text);
  }
  const char *server = common_text(report, run, "server.device.name"),
             *slots = common_text(report, run, "server.slots");
  if (!table)
    append(out, room, ", ", server);
  if (slots[0] != '\0' && strcmp(slots, "1") != 0) {
    snprintf(text, sizeof text, "%.12s slots", slots);
    append(out, room, ", ", text);
  }
}

static int most_seeds(const pp_report *report) {
  int most = 0;
  for (int group = 0; group < report->group_count; group++)
    most = report->groups[group].count > most ? report->groups[group].count : most;
  return most;
}

void pp_plot_facts(const pp_report *report, const pp_report_run *run, size_t room, char *out) {
  char text[256];
  out[0] = '\0';
  if (strcmp(common_text(report, run, "cost.kind"), "table") != 0) {
    append(out, room, ", ", common_text(report, run, "model"));
    append(out, room, ", ", common_text(report, run, "dataset.name"));
  }
  describe_hardware(report, run, sizeof text, text);
  append(out, room, "; ", text);
  if (run != NULL && run->most_split > 0 && run->least_split == run->most_split &&
      run->least_micro_batches == run->most_micro_batches && strcmp(run->info.method, "fl") != 0) {
    snprintf(text, sizeof text, "split %d, %d micro-batch%s", run->most_split, run->most_micro_batches,
             run->most_micro_batches == 1 ? "" : "es");
    append(out, room, "; ", text);
  }
  if (run == NULL && most_seeds(report) > 1) {
    snprintf(text, sizeof text, "means of %d seeds", most_seeds(report));
    append(out, room, "; ", text);
  }
}

/* Where a line of more than `most` letters is broken, the space after what fits: best after a semicolon, else between
 * groups, then anywhere. NULL: nowhere. */
static char *break_of(char *line, size_t most) {
  static const char *const places[] = {"; ", " + ", ", ", " "};
  for (size_t place = 0; place < sizeof places / sizeof places[0]; place++) {
    char *best = NULL;
    for (char *at = line; (at = strstr(at, places[place])) != NULL; at++) {
      char *space = at + strlen(places[place]) - 1;
      best = (size_t)(space - line) <= most || (best == NULL && places[place][0] == ' ' && place > 1) ? space : best;
    }
    if (best != NULL)
      return best;
  }
  return NULL;
}

/* Writes the lines of the facts, where there is a script, and counts them; broken where they are longer than the figure
 * is wide. */
static int break_facts(char *facts, int width, FILE *script) {
  enum { letter_pixels = 9, margin = 30 };
  size_t most = width > margin ? (size_t)(width - margin) / letter_pixels : 1;
  int lines = 0;
  for (char *line = facts; line != NULL && line[0] != '\0'; lines++) {
    char *end = strlen(line) <= most ? NULL : break_of(line, most);
    if (end != NULL)
      *end = '\0';
    if (end != NULL && end > line && end[-1] == ';')
      end[-1] = '\0';
    if (script != NULL) {
      fputs(".\"\\n\".", script);
      pp_plot_quote(script, line);
    }
    line = end != NULL ? end + 1 : NULL;
  }
  return lines;
}

void pp_plot_title(FILE *script, const pp_report *report, const pp_report_run *run, int width, const char *text) {
  char facts[400];
  pp_plot_facts(report, run, sizeof facts, facts);
  pp_plot_quote(script, text);
  break_facts(facts, width, script);
  fprintf(script, " font ',%d'\n", PP_FONT_TITLE);
}

int pp_plot_title_pixels(const pp_report *report, const pp_report_run *run, int width) {
  enum { row = 19, around = 18 };
  char facts[400];
  pp_plot_facts(report, run, sizeof facts, facts);
  return around + row * (1 + break_facts(facts, width, NULL));
}
