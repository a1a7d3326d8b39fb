/* How far runs are from the lower bounds of their schedules. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/bounds.h"
#include "app/plot_figures.h"
#include "app/report.h"

enum { MOST_BARS = 40, BAR_PIXELS = 68, NARROWEST = 620 };

typedef struct bounds_chart {
  const pp_plot *plot;
  const pp_plot_bars *bars;
} bounds_chart;

static pp_status write_csv(FILE *csv, const bounds_chart *chart, bool *any) {
  const pp_report *report = chart->plot->report;
  pp_plot_bars_csv_head(csv, report, "makespan_s,busiest_resource_s,critical_path_s,lower_bound_s,gap");
  for (int index = 0; index < chart->bars->count; index++) {
    const pp_plot_bar *bar = &chart->bars->bars[index];
    const pp_report_run *run = &report->runs[report->groups[bar->group].runs[0]];
    pp_bounds bounds;
    PP_TRY(pp_bounds_of(report, run, &bounds));
    double bound_s = fmax(bounds.busiest_s, bounds.path_s), makespan_s = run->info.summary.makespan_s;
    *any = *any || !isnan(bound_s);
    pp_plot_bars_csv_start(csv, report, bar);
    const double values[] = {makespan_s, bounds.busiest_s, bounds.path_s, bound_s, makespan_s / bound_s - 1};
    for (int value = 0; value < 5; value++) {
      fputc(',', csv);
      pp_csv_print_real(csv, values[value]);
    }
    pp_plot_bars_csv_end(csv, report, bar);
  }
  return NULL;
}

static void draw_bounds(FILE *script, const char *csv, void *context) {
  const bounds_chart *chart = context;
  fputs("set title ", script);
  pp_plot_title(script, chart->plot, "Time, and how far above the lower bound of the same stages");
  fputs(" font ',13'\n", script);
  pp_plot_bars_axis(script, chart->plot->report, chart->bars, 0);
  fprintf(script,
          "set ylabel 'emulated time [s]'\nset yrange [0:*]\nset offsets 0, 0, graph 0.12, 0\nset lmargin 9\nset key "
          "outside right center vertical Left reverse samplen 2 width 1\n"
          "plot '%s' skip 1 using 1:5:($1-0.36):($1+0.36):(0):5 with boxxyerror fillstyle solid 1 border linecolor "
          "'#333333' fillcolor '%s' linewidth 0.7 title 'time', \\\n",
          csv, PP_COLOUR_SKY);
  fprintf(
      script,
      "  '%s' skip 1 using ($1-0.42):6:(0.84):(0) with vectors nohead linecolor '%s' linewidth 2.5 dashtype 2 title "
      "'busiest resource', \\\n  '%s' skip 1 using ($1-0.42):7:(0.84):(0) with vectors nohead linecolor '%s' "
      "linewidth 2.5 title 'critical path', \\\n  '%s' skip 1 using "
      "1:5:(valid(9)?sprintf('+%%.1f %%%%',100*$9):'') with labels offset 0,0.7 font ',10' notitle\n",
      csv, PP_COLOUR_VERMILLION, csv, PP_COLOUR_BLACK, csv);
}

pp_status pp_plot_bounds(pp_plot *plot) {
  pp_plot_bars bars;
  bool any = false, several = false;
  FILE *csv = NULL;
  PP_TRY(pp_plot_bars_create(plot->report, &bars));
  bounds_chart chart = {.plot = plot, .bars = &bars};
  pp_status status = NULL;
  /* Worth a figure where schedules are compared. */
  for (int run = 0; run < plot->report->run_count; run++)
    several = several || (plot->report->runs[run].info.stage_count > 0 &&
                          (strcmp(plot->report->runs[run].info.method, "1f1b") == 0 ||
                           strcmp(plot->report->runs[run].info.method, "bw-split") == 0));
  if (!several || bars.count == 0 || bars.count > MOST_BARS || bars.panel_count > 1)
    goto done;
  PP_TRY_GOTO(status, pp_plot_open_csv(plot, "bounds", &csv), done);
  status = write_csv(csv, &chart, &any);
  status = pp_status_first(status, pp_plot_close_csv(plot, "bounds", csv));
  if (status == NULL && any) {
    int width = 330 + (int)(pp_plot_bars_width(&bars) * BAR_PIXELS);
    status = pp_plot_write_script(plot, "bounds", width < NARROWEST ? NARROWEST : width, 440, draw_bounds, &chart);
  }
done:
  free(bars.bars);
  return status;
}
