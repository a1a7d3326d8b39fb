/* Time and idle time against the number of devices, a line a method, both axes logarithmic. */
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"

enum { MOST_LINES = 8, LEAST_COUNTS = 3 };

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

static void draw_scale(FILE *script, const char *csv, void *context) {
  const scale_chart *chart = context;
  static const char *const titles[] = {"training time", "server idle (mean over its slots)", "devices idle (mean)"};
  fputs("set multiplot title ", script);
  pp_plot_title(script, chart->plot, "Time against the number of devices");
  fputs(" font ',13'\nset logscale xy\nset format x '10^{%T}'\nset xlabel 'devices'\nset lmargin 9\nset rmargin "
        "2\nset grid xtics ytics linecolor '#DDDDDD' linetype 1\nset termoption enhanced\n",
        script);
  for (int panel = 0; panel < 3; panel++) {
    fprintf(script, "set origin %.4f,0\nset size 0.333,0.86\nset title '%s'\nset ylabel 'emulated time [s]'\n",
            panel / 3.0, titles[panel]);
    fputs(panel == 0 ? "set key top left Left reverse samplen 2.4\nplot " : "unset key\nplot ", script);
    for (int line = 0; line < chart->line_count; line++) {
      fprintf(script, "%s'%s' index %d using 1:($%d > 0 ? $%d : NaN) with linespoints ", line == 0 ? "" : ", \\\n  ",
              csv, line, panel + 2, panel + 2);
      pp_plot_line_style(script, line);
      fputs(" title ", script);
      pp_plot_quote(script, chart->labels[line]);
    }
    fputc('\n', script);
  }
  fputs("unset multiplot\n", script);
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
  status = pp_plot_write_script(plot, "scale", 1140, 400, draw_scale, &chart);
done:
  free(runs);
  return status;
}
