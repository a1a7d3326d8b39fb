/* How ratios against fl depend on two settings: a line a value of the first, along the values of the second. */
#include <math.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"

enum { LEAST_VALUES = 3, MOST_VALUES = 12, LABEL = 96, PANELS = 2, WIDTH = 860, HEIGHT = 420 };

typedef struct setting_values {
  const char *key;
  int count;
  const pp_report_run *runs[MOST_VALUES]; /* the first run that has each */
} setting_values;

typedef struct ratios_chart {
  const pp_plot *plot;
  const char *method; /* the one that is compared to fl */
  setting_values lines, points;
} ratios_chart;

/* The value's number, added where it is new; -1: there are too many. */
static int find_value(setting_values *of, const pp_report_run *run) {
  const char *text = pp_report_setting_text(run, of->key);
  for (int value = 0; value < of->count; value++)
    if (strcmp(pp_report_setting_text(of->runs[value], of->key), text) == 0)
      return value;
  if (of->count == MOST_VALUES)
    return -1;
  of->runs[of->count] = run;
  return of->count++;
}

/* Worth a figure where one method has a ratio to fl over a grid of two settings. */
static bool find_axes(ratios_chart *chart) {
  const pp_report *report = chart->plot->report;
  if (report->varying_count != 2 || pp_plot_is_scale(report))
    return false;
  chart->lines.key = report->varying[0];
  chart->points.key = report->varying[1];
  for (int index = 0; index < report->run_count; index++) {
    const pp_report_run *run = &report->runs[index];
    if (!pp_report_is_complete(run) || find_value(&chart->lines, run) < 0 || find_value(&chart->points, run) < 0)
      return false;
    if (strcmp(run->info.method, "fl") == 0)
      continue;
    if (run->reference < 0 || (chart->method != NULL && strcmp(chart->method, run->info.method) != 0))
      return false;
    chart->method = run->info.method;
  }
  return chart->method != NULL && chart->lines.count >= LEAST_VALUES && chart->points.count >= LEAST_VALUES;
}

/* A block a line, two empty lines between blocks: gnuplot's `index`. */
static void write_csv(FILE *csv, ratios_chart *chart) {
  const pp_report *report = chart->plot->report;
  fputs("# place,server_idle_reduction,speedup,method,line,point\n", csv);
  for (int line = 0; line < chart->lines.count; line++) {
    fputs(line > 0 ? "\n\n" : "", csv);
    for (int place = 0; place < chart->points.count; place++)
      for (int group = 0; group < report->group_count; group++) {
        const pp_report_run *run = &report->runs[report->groups[group].runs[0]];
        if (strcmp(run->info.method, chart->method) != 0 || find_value(&chart->lines, run) != line ||
            find_value(&chart->points, run) != place)
          continue;
        fprintf(csv, "%d,", place);
        pp_csv_print_real(csv, pp_report_mean_of(report, &report->groups[group], PP_FIGURE_SERVER_REDUCTION).mean);
        fputc(',', csv);
        pp_csv_print_real(csv, pp_report_mean_of(report, &report->groups[group], PP_FIGURE_SPEEDUP).mean);
        fprintf(csv, ",%s,", run->info.method);
        pp_csv_print_text(csv, pp_report_setting_text(run, chart->lines.key));
        fputc(',', csv);
        pp_csv_print_text(csv, pp_report_setting_text(run, chart->points.key));
        fputc('\n', csv);
      }
  }
}

static void print_label(FILE *script, const setting_values *of, int value) {
  char label[LABEL];
  pp_plot_setting_label(of->runs[value], of->key, sizeof label, label);
  pp_plot_quote(script, label);
}

static int key_pixels(const ratios_chart *chart) {
  size_t longest = 0;
  for (int line = 0; line < chart->lines.count; line++) {
    char label[LABEL];
    pp_plot_setting_label(chart->lines.runs[line], chart->lines.key, sizeof label, label);
    longest = strlen(label) > longest ? strlen(label) : longest;
  }
  return pp_plot_key_row_pixels(chart->lines.count, longest, WIDTH);
}

static void draw_ratios(FILE *script, const char *csv, void *context) {
  const ratios_chart *chart = context;
  static const char *const titles[PANELS] = {"server idle time less by", "training faster by"};
  double key_share = (double)key_pixels(chart) / HEIGHT,
         title_share = (double)pp_plot_title_pixels(chart->plot->report, NULL, WIDTH) / HEIGHT;
  char title[96];
  snprintf(title, sizeof title, "%.40s against fl of the same cell", chart->method);
  fputs("set multiplot title ", script);
  pp_plot_title(script, chart->plot->report, NULL, WIDTH, title);
  fprintf(script,
          "set logscale y\nset format y '%%gx'\nset lmargin 10\nset rmargin 2\nset tmargin 2\nset tics font ',%d'\nset "
          "xrange "
          "[-0.3:%d.3]\nunset key\nset xtics (",
          PP_FONT_AXIS, chart->points.count - 1);
  for (int place = 0; place < chart->points.count; place++) {
    fputs(place == 0 ? "" : ", ", script);
    print_label(script, &chart->points, place);
    fprintf(script, " %d", place);
  }
  fputs(")\n", script);
  pp_plot_grid(script, "xtics ytics");
  for (int panel = 0; panel < PANELS; panel++) {
    fprintf(script, "set origin %.4f,%.4f\nset size %.4f,%.4f\nset title '%s' font ',%d' offset 0,-0.6\nplot ",
            (double)panel / PANELS, key_share, 1.0 / PANELS, 1 - title_share - key_share, titles[panel], PP_FONT_PANEL);
    for (int line = 0; line < chart->lines.count; line++) {
      fprintf(script, "%s'%s' index %d using 1:($%d > 0 ? $%d : NaN) with linespoints ", line == 0 ? "" : ", \\\n  ",
              csv, line, panel + 2, panel + 2);
      pp_plot_line_style(script, line);
    }
    fputc('\n', script);
  }
  pp_plot_key_row(script, key_share);
  for (int line = 0; line < chart->lines.count; line++) {
    fputs(", \\\n  keyentry with linespoints ", script);
    pp_plot_line_style(script, line);
    fputs(" title ", script);
    print_label(script, &chart->lines, line);
  }
  fputs("\nunset multiplot\n", script);
}

pp_status pp_plot_ratios(pp_plot *plot) {
  ratios_chart chart = {.plot = plot};
  if (!find_axes(&chart))
    return NULL;
  FILE *csv = NULL;
  PP_TRY(pp_plot_open_csv(plot, "ratios", &csv));
  write_csv(csv, &chart);
  PP_TRY(pp_plot_close_csv(plot, "ratios", csv));
  return pp_plot_write_script(plot, "ratios", WIDTH, HEIGHT, draw_ratios, &chart);
}
