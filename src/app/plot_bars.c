/* Where bars stand: by cell and panel, with labels under them and a common head of columns in their data. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"
#include "base/mem.h"

enum { MOST_CELLS_TOGETHER = 6 };

static const pp_report_run *run_of(const pp_report *report, int group) {
  return &report->runs[report->groups[group].runs[0]];
}

/* Planners are compared side by side, as methods are. */
static bool is_compared(const char *key) { return strcmp(key, "pipeline.planner") == 0; }

static bool compares_planners(const pp_report *report) {
  for (int key = 0; key < report->varying_count; key++)
    if (is_compared(report->varying[key]))
      return true;
  return false;
}

static bool same_cell(const pp_report *report, const pp_report_run *a, const pp_report_run *b) {
  for (int key = 0; key < report->varying_count; key++)
    if (!is_compared(report->varying[key]) &&
        strcmp(pp_report_setting_text(a, report->varying[key]), pp_report_setting_text(b, report->varying[key])) != 0)
      return false;
  return true;
}

/* Where a method stands more than once in a cell the plan tells them apart, and then the file. */
static void label_bars(const pp_report *report, pp_plot_bars *out) {
  for (int index = 0; index < out->count; index++) {
    pp_plot_bar *bar = &out->bars[index];
    const pp_report_run *run = run_of(report, bar->group);
    if (compares_planners(report)) {
      bool one_method = true;
      for (int other = 0; other < out->count; other++)
        one_method = one_method && strcmp(run_of(report, out->bars[other].group)->info.method, run->info.method) == 0;
      snprintf(bar->label, sizeof bar->label, one_method ? "%.0s%.40s" : "%s %.40s", run->info.method,
               pp_report_setting_text(run, "pipeline.planner"));
      continue;
    }
    bool twice = false, alike = false;
    for (int other = 0; other < out->count; other++) {
      const pp_report_run *against = run_of(report, out->bars[other].group);
      if (other == index || out->bars[other].cell != bar->cell || strcmp(against->info.method, run->info.method) != 0)
        continue;
      twice = true;
      alike =
          alike || (against->most_split == run->most_split && against->most_micro_batches == run->most_micro_batches);
    }
    char file[24];
    pp_report_file_label(pp_results_path(report->files[run->file]), sizeof file, file);
    if (alike && report->file_count > 1)
      snprintf(bar->label, sizeof bar->label, "%s %s", run->info.method, file);
    else if (alike)
      snprintf(bar->label, sizeof bar->label, "%s (%d)", run->info.method, run->info.run);
    else if (twice)
      snprintf(bar->label, sizeof bar->label, "%s P=%d N=%d", run->info.method, run->most_split,
               run->most_micro_batches);
    else
      snprintf(bar->label, sizeof bar->label, "%s", run->info.method);
  }
}

/* Numbers cells in order of their first groups. */
static void find_cells(const pp_report *report, pp_plot_bars *out) {
  for (int group = 0; group < report->group_count; group++) {
    const pp_report_run *run = run_of(report, group);
    if (!pp_report_is_complete(run))
      continue;
    int cell = out->cell_count;
    for (int bar = 0; bar < out->count && cell == out->cell_count; bar++)
      if (same_cell(report, run_of(report, out->bars[bar].group), run))
        cell = out->bars[bar].cell;
    out->cell_count += cell == out->cell_count;
    out->bars[out->count++] = (pp_plot_bar){.group = group, .cell = cell};
  }
}

/* The network has panels of its own where it varies: times of large and small ones have no scale in common. */
static void find_panels(const pp_report *report, pp_plot_bars *out) {
  out->panel_count = out->count > 0;
  if (out->cell_count <= MOST_CELLS_TOGETHER || report->varying_count < 2)
    return;
  out->panel_key = report->varying[is_compared(report->varying[0])];
  for (int key = 0; key < report->varying_count; key++)
    if (strcmp(report->varying[key], "model") == 0)
      out->panel_key = report->varying[key];
  out->panel_count = 0;
  for (int index = 0; index < out->count; index++) {
    pp_plot_bar *bar = &out->bars[index];
    const char *value = pp_report_setting_text(run_of(report, bar->group), out->panel_key);
    bar->panel = out->panel_count;
    for (int other = 0; other < index && bar->panel == out->panel_count; other++)
      if (strcmp(pp_report_setting_text(run_of(report, out->bars[other].group), out->panel_key), value) == 0)
        bar->panel = out->bars[other].panel;
    out->panel_count += bar->panel == out->panel_count;
  }
}

static int compare_bars(const void *a, const void *b) {
  const pp_plot_bar *left = a, *right = b;
  if (left->panel != right->panel)
    return left->panel - right->panel;
  return left->cell != right->cell ? left->cell - right->cell : left->group - right->group;
}

pp_status pp_plot_bars_create(const pp_report *report, pp_plot_bars *out) {
  static const double gap = 0.8;
  *out = (pp_plot_bars){0};
  if (pp_plot_is_scale(report) || pp_plot_is_map(report))
    return NULL;
  PP_TRY(pp_alloc((size_t)report->group_count, sizeof *out->bars, "bars", &out->bars));
  find_cells(report, out);
  find_panels(report, out);
  qsort(out->bars, (size_t)out->count, sizeof *out->bars, compare_bars);
  double x = 0;
  for (int bar = 0; bar < out->count; bar++) {
    x += bar > 0 && out->bars[bar].cell != out->bars[bar - 1].cell ? gap : 0;
    out->bars[bar].x = x;
    x += 1;
  }
  label_bars(report, out);
  return NULL;
}

void pp_plot_panel_name(const pp_report *report, const pp_plot_bars *bars, int panel, size_t room, char *out) {
  out[0] = '\0';
  for (int bar = 0; bar < bars->count && bars->panel_key != NULL; bar++)
    if (bars->bars[bar].panel == panel) {
      const char *value = pp_report_setting_text(run_of(report, bars->bars[bar].group), bars->panel_key);
      char label[48];
      pp_report_label(bars->panel_key, sizeof label, label);
      bool speaks = strcmp(bars->panel_key, "model") == 0;
      snprintf(out, room, speaks ? "%.0s%.60s" : "%s %.60s", label, value);
      return;
    }
}

static void panel_range(const pp_plot_bars *bars, int panel, int *first, int *end) {
  *first = 0;
  while (*first < bars->count && bars->bars[*first].panel != panel)
    ++*first;
  *end = *first;
  while (*end < bars->count && bars->bars[*end].panel == panel)
    ++*end;
}

double pp_plot_bars_width(const pp_plot_bars *bars) {
  double widest = 0;
  for (int panel = 0; panel < bars->panel_count; panel++) {
    int first = 0, end = 0;
    panel_range(bars, panel, &first, &end);
    widest = fmax(widest, bars->bars[end - 1].x - bars->bars[first].x + 1);
  }
  return widest;
}

static size_t longest_label(const pp_plot_bars *bars) {
  size_t longest = 0;
  for (int bar = 0; bar < bars->count; bar++)
    longest = strlen(bars->bars[bar].label) > longest ? strlen(bars->bars[bar].label) : longest;
  return longest;
}

static bool is_crowded(const pp_plot_bars *bars) { return pp_plot_bars_width(bars) > 4 && longest_label(bars) > 3; }

/* Lines that the methods under their bars take: upright or, where there are many, turned. */
static double method_lines(const pp_plot_bars *bars) {
  return is_crowded(bars) ? 0.9 + 0.37 * (double)longest_label(bars) : 1.1;
}

/* Whether a number with its key before it is too long for a line. */
static bool is_long(const pp_report *report, const char *key) {
  enum { most_letters = 17 };
  char label[48];
  pp_report_label(key, sizeof label, label);
  for (int run = 0; run < report->run_count; run++) {
    const char *text = pp_report_setting_text(&report->runs[run], key);
    char *end = NULL;
    (void)strtod(text, &end);
    if (text[0] != '\0' && *end == '\0' && strlen(label) + 1 + strlen(text) > most_letters)
      return true;
  }
  return false;
}

/* Such a key takes a line a word, and one for the number. */
static int lines_of(const pp_report *report, const char *key) {
  int lines = 1;
  if (!is_long(report, key))
    return lines;
  char label[48];
  pp_report_label(key, sizeof label, label);
  for (const char *letter = label; *letter != '\0'; letter++)
    lines += *letter == '_';
  return lines + 1;
}

/* Lines that label the cells of a panel. */
static int cell_lines(const pp_report *report, const pp_plot_bars *bars) {
  int lines = 0;
  for (int key = 0; key < report->varying_count; key++)
    if (report->varying[key] != bars->panel_key && !is_compared(report->varying[key]))
      lines += lines_of(report, report->varying[key]);
  return bars->cell_count < 2 ? 0 : lines;
}

double pp_plot_bars_label_lines(const pp_report *report, const pp_plot_bars *bars) {
  return method_lines(bars) + cell_lines(report, bars);
}

double pp_plot_tic_step(double highest) {
  enum { most = 6 };
  static const double steps[] = {1, 2, 5, 10};
  if (!(highest > 0) || !isfinite(highest))
    return 1;
  double base = pow(10, floor(log10(highest / most)));
  for (size_t step = 0; step < sizeof steps / sizeof steps[0]; step++)
    if (highest <= most * steps[step] * base)
      return steps[step] * base;
  return 10 * base;
}

/* What the bar's cell has that others have not, values of settings one a line as a gnuplot expression. */
static void print_cell_label(FILE *script, const pp_report *report, const pp_plot_bars *bars, const pp_plot_bar *bar) {
  const pp_report_run *run = run_of(report, bar->group);
  bool first = true;
  for (int key = 0; key < report->varying_count; key++) {
    if (report->varying[key] == bars->panel_key || is_compared(report->varying[key]))
      continue;
    const char *text = pp_report_setting_text(run, report->varying[key]);
    char label[48], line[112];
    /* Names speak for themselves; a number needs to be said what it is of. */
    char *end = NULL;
    (void)strtod(text, &end);
    bool number = text[0] != '\0' && *end == '\0';
    pp_report_label(report->varying[key], sizeof label, label);
    fputs(first ? "" : ".\"\\n\".", script);
    if (number && is_long(report, report->varying[key])) {
      for (char *rest = label, *word; (word = strtok_r(rest, "_", &rest)) != NULL;) {
        pp_plot_quote(script, word);
        fputs(".\"\\n\".", script);
      }
      pp_plot_quote(script, text);
      first = false;
      continue;
    }
    snprintf(line, sizeof line, number ? "%s %.60s" : "%.0s%.60s", label, text);
    pp_plot_quote(script, line);
    first = false;
  }
}

void pp_plot_bars_axis(FILE *script, const pp_report *report, const pp_plot_bars *bars, int panel) {
  bool crowded = is_crowded(bars);
  int start = 0, stop = 0;
  panel_range(bars, panel, &start, &stop);
  double from = bars->bars[start].x;
  fprintf(script, "set xrange [%.4g:%.4g]\nset xtics scale 0 %s(", from - 0.7, from + pp_plot_bars_width(bars) - 0.3,
          crowded ? "rotate by 90 right font ',10' " : "");
  for (int bar = start; bar < stop; bar++) {
    fputs(bar == start ? "" : ", ", script);
    pp_plot_quote(script, bars->bars[bar].label);
    fprintf(script, " %.4g", bars->bars[bar].x);
  }
  fputs(")\nunset label\n", script);
  for (int first = start; first < stop && cell_lines(report, bars) > 0;) {
    int end = first;
    while (end < stop && bars->bars[end].cell == bars->bars[first].cell)
      end++;
    fputs("set label ", script);
    print_cell_label(script, report, bars, &bars->bars[first]);
    fprintf(script, " at %.4g, graph 0 center offset 0,%.3g font ',10'\n",
            (bars->bars[first].x + bars->bars[end - 1].x) / 2, -method_lines(bars) - 0.7);
    first = end;
  }
  fprintf(script, "set bmargin %.3g\n", 0.6 + pp_plot_bars_label_lines(report, bars));
  fputs("round3(v) = v >= 99.95 ? sprintf('%.0f', v) : v >= 9.995 ? sprintf('%.1f', v) : v >= 0.01 || v == 0 ? "
        "sprintf('%.2f', v) : sprintf('%.0e', v)\n",
        script);
}

void pp_plot_bars_csv_head(FILE *csv, const pp_report *report, const char *heads) {
  fprintf(csv, "x,method,file,run,%s", heads);
  for (int key = 0; key < report->varying_count; key++) {
    fputc(',', csv);
    pp_csv_print_text(csv, report->varying[key]);
  }
  fputc('\n', csv);
}

void pp_plot_bars_csv_start(FILE *csv, const pp_report *report, const pp_plot_bar *bar) {
  const pp_report_run *run = run_of(report, bar->group);
  char file[64];
  pp_report_file_label(pp_results_path(report->files[run->file]), sizeof file, file);
  fprintf(csv, "%.4g,%s,", bar->x, run->info.method);
  pp_csv_print_text(csv, file);
  fprintf(csv, ",%d", run->info.run);
}

void pp_plot_bars_csv_end(FILE *csv, const pp_report *report, const pp_plot_bar *bar) {
  for (int key = 0; key < report->varying_count; key++) {
    fputc(',', csv);
    pp_csv_print_text(csv, pp_report_setting_text(run_of(report, bar->group), report->varying[key]));
  }
  fputc('\n', csv);
}
