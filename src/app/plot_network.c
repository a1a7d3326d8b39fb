/* Links that change: their rate over time, and under it how long the rounds of each run take. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"

enum { MOST_LINES = 8 };

typedef struct network_chart {
  const pp_plot *plot;
  double end_s; /* of the longest run */
  int line_count;
  char labels[MOST_LINES][128];
} network_chart;

/* The steps of a trace as settings have it, [[0, 50], [40, 5]], and the end of the figure. False where it is none. */
static bool write_trace(FILE *csv, const char *text, double end_s) {
  double at_s = 0, rate = 0;
  int steps = 0;
  for (const char *from = text; *from != '\0'; from++) {
    char *end = NULL;
    if (strchr("[], ", *from) != NULL)
      continue;
    at_s = strtod(from, &end);
    if (end == from || *end != ',')
      return false;
    from = end + 1;
    rate = strtod(from, &end);
    if (end == from)
      return false;
    from = end;
    steps++;
    if (csv != NULL && at_s < end_s)
      fprintf(csv, "%.9g,%.9g,uplink of group 0\n", at_s, rate);
    if (*from == '\0')
      break;
  }
  if (csv != NULL)
    fprintf(csv, "%.9g,%.9g,uplink of group 0\n", end_s, rate);
  return steps > 1;
}

static pp_status write_rounds(FILE *csv, network_chart *chart) {
  const pp_report *report = chart->plot->report;
  for (int index = 0; index < report->run_count && chart->line_count < MOST_LINES; index++) {
    const pp_report_run *run = &report->runs[index];
    char *label = chart->labels[chart->line_count];
    if (!pp_report_is_complete(run) || run->info.round_count < 2)
      continue;
    size_t used = (size_t)snprintf(label, sizeof chart->labels[0], "%s", run->info.method);
    for (int key = 0; key < report->varying_count && used < sizeof chart->labels[0]; key++) {
      char name[48];
      pp_report_label(report->varying[key], sizeof name, name);
      used += (size_t)snprintf(label + used, sizeof chart->labels[0] - used, ", %s %.24s", name,
                               pp_report_setting_text(run, report->varying[key]));
    }
    fputs("\n\n", csv);
    double before_s = 0;
    for (int64_t round = 0; round < run->info.round_count; round++) {
      pp_round_row row;
      PP_TRY(pp_results_read_rounds(report->files[run->file], run->info.run, round, 1, &row));
      pp_csv_print_real(csv, (before_s + row.end_s) / 2);
      fputc(',', csv);
      pp_csv_print_real(csv, row.end_s - before_s);
      fputc(',', csv);
      pp_csv_print_text(csv, label);
      fputc('\n', csv);
      before_s = row.end_s;
    }
    chart->line_count++;
  }
  return NULL;
}

static void draw_network(FILE *script, const char *csv, void *context) {
  const network_chart *chart = context;
  fputs("set multiplot title ", script);
  pp_plot_title(script, chart->plot, "Rounds while links change");
  fprintf(script,
          " font ',13'\nset lmargin 10\nset rmargin 3\nset xrange [0:%.9g]\nset grid xtics ytics linecolor '#DDDDDD' "
          "linetype 1\nset origin 0,0.58\nset size 1,0.32\nset ylabel 'uplink [Mbit/s]'\nset yrange [0:*]\nset offsets "
          "0, 0, graph 0.1, 0\nunset key\nplot '%s' skip 1 index 0 using 1:2 with steps linecolor '%s' linewidth "
          "2\nset origin 0,0\nset size 1,0.58\nset xlabel 'emulated time [s]'\nset ylabel 'length of a round [s]'\nset "
          "key top left Left reverse samplen 3.4\nplot ",
          chart->end_s, csv, PP_COLOUR_BLACK);
  for (int line = 0; line < chart->line_count; line++) {
    fprintf(script, "%s'%s' index %d using 1:2 with linespoints ", line == 0 ? "" : ", \\\n  ", csv, line + 1);
    pp_plot_line_style(script, line);
    fputs(" title ", script);
    pp_plot_quote(script, chart->labels[line]);
  }
  fputs("\nunset multiplot\n", script);
}

pp_status pp_plot_network(pp_plot *plot) {
  static const char *const key = "devices.0.network.up_trace";
  const pp_report *report = plot->report;
  network_chart chart = {.plot = plot};
  const char *trace = pp_report_setting_text(&report->runs[0], key);
  bool worth = write_trace(NULL, trace, 0);
  for (int run = 0; run < report->run_count && worth; run++) {
    worth = strcmp(pp_report_setting_text(&report->runs[run], key), trace) == 0 &&
            report->runs[run].info.round_count > 1 && pp_report_is_complete(&report->runs[run]);
    chart.end_s = fmax(chart.end_s, report->runs[run].last_round_s);
  }
  if (!worth)
    return NULL;
  FILE *csv = NULL;
  PP_TRY(pp_plot_open_csv(plot, "network", &csv));
  fputs("# seconds,mbps_then_round_s,what\n", csv);
  write_trace(csv, trace, chart.end_s);
  pp_status status = write_rounds(csv, &chart);
  status = pp_status_first(status, pp_plot_close_csv(plot, "network", csv));
  if (status == NULL)
    status = pp_plot_write_script(plot, "network", 800, 560, draw_network, &chart);
  return status;
}
