/* Where bars stand: by cell and panel, with labels under them and a common head of columns in their data. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"
#include "base/mem.h"

enum { MOST_CELLS_TOGETHER = 6, MOST_BARS_TOGETHER = 16 };
static const double GAP = 0.8;     /* between cells, in bars */
static const double WIDEST = 11.6; /* panel, likewise; a cell is not broken */
enum { LETTERS_A_LINE = 15 /* under a cell */, LETTERS_TURNED = 10 };

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
  if ((out->cell_count <= MOST_CELLS_TOGETHER && out->count <= MOST_BARS_TOGETHER) || report->varying_count < 2)
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

/* Cells of bars [first, end), and the width of the widest `cells` of them that stand side by side from the first on. */
static int count_cells(const pp_plot_bars *bars, int first, int end) {
  int cells = 0;
  for (int bar = first; bar < end; bar++)
    cells += bar == first || bars->bars[bar].cell != bars->bars[bar - 1].cell;
  return cells;
}

static double widest_row(const pp_plot_bars *bars, int first, int end, int cells) {
  double widest = 0, width = 0;
  int in_row = 0;
  for (int bar = first; bar < end; bar++) {
    bool begins = bar == first || bars->bars[bar].cell != bars->bars[bar - 1].cell;
    if (begins && in_row++ % cells == 0)
      width = 0;
    width += 1 + (begins && width > 0 ? GAP : 0);
    widest = fmax(widest, width);
  }
  return widest;
}

void pp_plot_bars_break(pp_plot_bars *out) {
  int panels = 0;
  for (int first = 0, end = 0; first < out->count; first = end) {
    int panel = out->bars[first].panel, rows = 1;
    while (end < out->count && out->bars[end].panel == panel)
      end++;
    int cells = count_cells(out, first, end);
    while (rows < cells && widest_row(out, first, end, (cells + rows - 1) / rows) > WIDEST)
      rows++;
    int a_row = (cells + rows - 1) / rows, cell = -1, before = -1;
    for (int bar = first; bar < end; bar++) {
      cell += out->bars[bar].cell != before;
      before = out->bars[bar].cell;
      out->bars[bar].panel = panels + cell / a_row;
    }
    panels += cell / a_row + 1;
  }
  out->panel_count = panels;
}

int pp_plot_bars_pixels(const pp_plot_bars *bars, int wanted) {
  enum { least = 4 };
  double width = pp_plot_bars_width(bars);
  int pixels = width > WIDEST ? (int)(wanted * WIDEST / width) : wanted;
  return pixels < least ? least : pixels;
}

pp_status pp_plot_bars_create(const pp_report *report, pp_plot_bars *out) {
  *out = (pp_plot_bars){0};
  if (pp_plot_is_scale(report) || pp_plot_is_map(report))
    return NULL;
  PP_TRY(pp_alloc((size_t)report->group_count, sizeof *out->bars, "bars", &out->bars));
  find_cells(report, out);
  find_panels(report, out);
  qsort(out->bars, (size_t)out->count, sizeof *out->bars, compare_bars);
  double x = 0;
  for (int bar = 0; bar < out->count; bar++) {
    x += bar > 0 && out->bars[bar].cell != out->bars[bar - 1].cell ? GAP : 0;
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
      char label[96];
      pp_plot_setting_label(run_of(report, bars->bars[bar].group), bars->panel_key, sizeof label, label);
      snprintf(out, room, "%s", label);
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

/* Where a label that stands on its side is broken: after a space or hyphen, so that both parts are short. 0: nowhere.
 */
static size_t break_of(const char *label) {
  size_t length = strlen(label), best = 0;
  for (size_t at = 1; at < length && length > LETTERS_TURNED; at++) {
    size_t longer = at > length - at ? at : length - at, before = best > length - best ? best : length - best;
    if ((label[at - 1] == '-' || label[at - 1] == ' ') && (best == 0 || longer < before))
      best = at;
  }
  return best;
}

static size_t longest_label(const pp_plot_bars *bars, bool turned) {
  size_t longest = 0;
  for (int bar = 0; bar < bars->count; bar++) {
    size_t length = strlen(bars->bars[bar].label), at = turned ? break_of(bars->bars[bar].label) : 0;
    length = at == 0 ? length : at > length - at ? at : length - at;
    longest = length > longest ? length : longest;
  }
  return longest;
}

/* Labels stand upright where they fit under their bars. */
static bool is_turned(const pp_plot_bars *bars) {
  static const double letter_pixels = 6.4;
  return letter_pixels * (double)longest_label(bars, false) > bars->bar_pixels;
}

/* Lines that the methods under their bars take. */
static double method_lines(const pp_plot_bars *bars) {
  return is_turned(bars) ? 0.9 + 0.37 * (double)longest_label(bars, true) : 1.1;
}

/* Breaks text into lines, in place; returns their number. */
static int break_lines(char *text) {
  int lines = text[0] != '\0';
  char *line = text, *space = NULL;
  for (char *at = text; *at != '\0'; at++) {
    space = *at == ' ' ? at : space;
    if (at - line >= LETTERS_A_LINE && space != NULL) {
      *space = '\n';
      line = space + 1;
      space = NULL;
      lines++;
    }
  }
  return lines;
}

/* Whether the key's values do not stand under cells. */
static bool is_elsewhere(const char *key, const void *context) {
  const pp_plot_bars *bars = context;
  return key == bars->panel_key || is_compared(key) || bars->cell_count < 2;
}

/* Most lines that a run's setting takes. */
static int lines_of(const pp_report *report, const char *key) {
  int most = 0;
  for (int run = 0; run < report->run_count; run++) {
    char text[96];
    pp_plot_setting_value(&report->runs[run], key, sizeof text, text);
    int lines = break_lines(text);
    most = lines > most ? lines : most;
  }
  return most;
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
  char axis[200];
  pp_plot_axis_title(report, is_elsewhere, bars, sizeof axis, axis);
  return method_lines(bars) + cell_lines(report, bars) + (axis[0] != '\0' ? 1.2 : 0);
}

/* Lines of text as a gnuplot expression. */
static void print_lines(FILE *script, char *text) {
  const char *between = "";
  for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest)) != NULL; between = ".\"\\n\".") {
    fputs(between, script);
    pp_plot_quote(script, line);
  }
}

/* What the bar's cell has that others have not. */
static void print_cell_label(FILE *script, const pp_report *report, const pp_plot_bars *bars, const pp_plot_bar *bar) {
  const char *between = "";
  for (int key = 0; key < report->varying_count; key++) {
    char text[96];
    if (report->varying[key] == bars->panel_key || is_compared(report->varying[key]))
      continue;
    pp_plot_setting_value(run_of(report, bar->group), report->varying[key], sizeof text, text);
    if (break_lines(text) == 0)
      continue;
    fputs(between, script);
    print_lines(script, text);
    between = ".\"\\n\".";
  }
  if (between[0] == '\0')
    fputs("''", script);
}

static void print_bar_label(FILE *script, const pp_plot_bar *bar, bool turned) {
  char label[PP_PLOT_NAME + 2];
  size_t at = turned ? break_of(bar->label) : 0;
  if (at == 0)
    snprintf(label, sizeof label, "%s", bar->label);
  else
    snprintf(label, sizeof label, "%.*s\n%s", (int)at, bar->label, bar->label + at);
  print_lines(script, label);
}

void pp_plot_bars_axis(FILE *script, const pp_report *report, const pp_plot_bars *bars, int panel) {
  bool turned = is_turned(bars);
  int start = 0, stop = 0;
  panel_range(bars, panel, &start, &stop);
  double from = bars->bars[start].x;
  fprintf(script, "set xrange [%.4g:%.4g]\nset xtics scale 0 %s font ',%d' (", from - 0.7,
          from + pp_plot_bars_width(bars) - 0.3, turned ? "rotate by 90 right" : "norotate", PP_FONT_AXIS);
  for (int bar = start; bar < stop; bar++) {
    fputs(bar == start ? "" : ", ", script);
    print_bar_label(script, &bars->bars[bar], turned);
    fprintf(script, " %.4g", bars->bars[bar].x);
  }
  fputs(")\nunset label\n", script);
  for (int first = start; first < stop && cell_lines(report, bars) > 0;) {
    int end = first;
    while (end < stop && bars->bars[end].cell == bars->bars[first].cell)
      end++;
    fputs("set label ", script);
    print_cell_label(script, report, bars, &bars->bars[first]);
    fprintf(script, " at %.4g, graph 0 center offset 0,%.3g font ',%d'\n",
            (bars->bars[first].x + bars->bars[end - 1].x) / 2, -method_lines(bars) - 0.9, PP_FONT_AXIS);
    first = end;
  }
  char axis[200];
  pp_plot_axis_title(report, is_elsewhere, bars, sizeof axis, axis);
  pp_plot_axis_label(script, axis, method_lines(bars) + cell_lines(report, bars) + 1.0);
  fprintf(script, "set bmargin %.3g\n", 0.8 + pp_plot_bars_label_lines(report, bars));
  pp_plot_define_round3(script);
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
