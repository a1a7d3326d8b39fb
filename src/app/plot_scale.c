/* Time and idle time against the number of devices, a line a method, both axes logarithmic. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"

enum { MOST_LINES = 8, LEAST_COUNTS = 3, PANELS = 3, WIDTH = 1080, HEIGHT = 380 };

bool pp_plot_is_scale(const pp_report *report) {
  int64_t seen[LEAST_COUNTS];
  int count = 0;
  for (int run = 0; run < report->run_count && count < LEAST_COUNTS; run++) {
    int64_t devices = report->runs[run].info.device_count;
    bool again = devices == 0 || !pp_report_is_complete(&report->runs[run]);
    for (int other = 0; other < count; other++)
      again = again || seen[other] == devices;
    if (!again)
      seen[count++] = devices;
  }
  return count == LEAST_COUNTS;
}

typedef struct scale_chart {
  const pp_plot *plot;
  int line_count;
  char labels[MOST_LINES][96];
} scale_chart;

static bool is_count(const char *key) {
  size_t length = strlen(key);
  return strncmp(key, "devices.", 8) == 0 && length > 6 && strcmp(key + length - 6, ".count") == 0;
}

static int compare_runs(const void *a, const void *b) {
  const pp_report_run *left = *(const pp_report_run *const *)a, *right = *(const pp_report_run *const *)b;
  return (left->info.device_count > right->info.device_count) - (left->info.device_count < right->info.device_count);
}

/* A block a line, two empty lines between blocks: gnuplot's `index`. */
static void write_csv(FILE *csv, scale_chart *chart, const pp_report_run **runs) {
  const pp_report *report = chart->plot->report;
  fputs("# devices,makespan_s,server_idle_s,device_idle_s,server_idle_share,method,label\n", csv);
  for (int run = 0; run < report->run_count; run++) {
    char label[96];
    pp_plot_line_label(report, &report->runs[run], is_count, sizeof label, label);
    bool again = !pp_report_is_complete(&report->runs[run]) || chart->line_count == MOST_LINES;
    for (int line = 0; line < chart->line_count && !again; line++)
      again = strcmp(chart->labels[line], label) == 0;
    if (again)
      continue;
    int count = 0;
    for (int other = 0; other < report->run_count; other++) {
      char of_other[96];
      pp_plot_line_label(report, &report->runs[other], is_count, sizeof of_other, of_other);
      if (pp_report_is_complete(&report->runs[other]) && strcmp(of_other, label) == 0)
        runs[count++] = &report->runs[other];
    }
    qsort(runs, (size_t)count, sizeof *runs, compare_runs);
    fputs(chart->line_count > 0 ? "\n\n" : "", csv);
    for (int point = 0; point < count; point++) {
      const pp_run_summary *of = &runs[point]->info.summary;
      const double values[] = {of->makespan_s, of->server_idle_s, of->device_idle_s,
                               of->server_idle_s / of->makespan_s};
      fprintf(csv, "%lld", (long long)runs[point]->info.device_count);
      for (int value = 0; value < 4; value++) {
        fputc(',', csv);
        pp_csv_print_real(csv, values[value]);
      }
      fprintf(csv, ",%s,", runs[point]->info.method);
      pp_csv_print_text(csv, label);
      fputc('\n', csv);
    }
    snprintf(chart->labels[chart->line_count++], sizeof chart->labels[0], "%s", label);
  }
}

/* Least and most number of devices. */
static void find_range(const pp_report *report, double *least, double *most) {
  *least = INFINITY;
  *most = 0;
  for (int run = 0; run < report->run_count; run++)
    if (pp_report_is_complete(&report->runs[run])) {
      *least = fmin(*least, (double)report->runs[run].info.device_count);
      *most = fmax(*most, (double)report->runs[run].info.device_count);
    }
}

static void draw_scale(FILE *script, const char *csv, void *context) {
  const scale_chart *chart = context;
  static const char *const titles[] = {"training time", "server (mean over its slots)", "devices (mean)"};
  static const double key_share = 0.1;
  double least = 0, most = 0, title = (double)pp_plot_title_pixels(chart->plot->report, NULL, WIDTH) / HEIGHT;
  find_range(chart->plot->report, &least, &most);
  fputs("set multiplot title ", script);
  pp_plot_title(script, chart->plot->report, NULL, WIDTH, "Time against the number of devices");
  fprintf(script,
          "set logscale xy\nset xlabel 'devices' font ',%d'\nset lmargin 10\nset rmargin 2\nset tmargin 2\nset xrange "
          "[%.6g:%.6g]\nset tics font ',%d'\nunset key\n",
          PP_FONT_AXIS, least / 1.5, most * 1.5, PP_FONT_AXIS);
  pp_plot_log_tics(script, "x", least / 1.5, most * 1.5);
  pp_plot_grid(script, "xtics ytics");
  for (int panel = 0; panel < PANELS; panel++) {
    fprintf(script,
            "set origin %.4f,%.4f\nset size %.4f,%.4f\nset title '%s' font ',%d' offset 0,-0.6\nset ylabel '%s' "
            "font ',%d'\nplot ",
            (double)panel / PANELS, key_share, 1.0 / PANELS, 1 - title - key_share, titles[panel], PP_FONT_PANEL,
            panel == 0 ? "emulated time [s]" : "idle time [s]", PP_FONT_AXIS);
    for (int line = 0; line < chart->line_count; line++) {
      fprintf(script, "%s'%s' index %d using 1:($%d > 0 ? $%d : NaN) with linespoints ", line == 0 ? "" : ", \\\n  ",
              csv, line, panel + 2, panel + 2);
      pp_plot_line_style(script, line);
    }
    fputc('\n', script);
  }
  pp_plot_key_row(script, key_share);
  for (int line = 0; line < chart->line_count; line++) {
    fputs(", \\\n  keyentry with linespoints ", script);
    pp_plot_line_style(script, line);
    fputs(" title ", script);
    pp_plot_quote(script, chart->labels[line]);
  }
  fputs("\nunset multiplot\n", script);
}

pp_status pp_plot_scale(pp_plot *plot) {
  if (!pp_plot_is_scale(plot->report))
    return NULL;
  scale_chart chart = {.plot = plot};
  const pp_report_run **runs = calloc((size_t)plot->report->run_count, sizeof *runs);
  if (runs == NULL)
    return pp_fail_memory("runs", (size_t)plot->report->run_count * sizeof *runs);
  FILE *csv = NULL;
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_plot_open_csv(plot, "scale", &csv), done);
  write_csv(csv, &chart, runs);
  PP_TRY_GOTO(status, pp_plot_close_csv(plot, "scale", csv), done);
  status = pp_plot_write_script(plot, "scale", WIDTH, HEIGHT, draw_scale, &chart);
done:
  free(runs);
  return status;
}
