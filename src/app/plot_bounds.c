/* How far runs are from the lower bounds of their schedules. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/bounds.h"
#include "app/plot_figures.h"
#include "app/report.h"

enum { MOST_BARS = 40, BAR_PIXELS = 66, FRAME_AND_KEY = 310, WIDEST = 1200, NARROWEST = 680, HEIGHT = 400 };

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

static int chart_width(const bounds_chart *chart) {
  int width = FRAME_AND_KEY + (int)(pp_plot_bars_width(chart->bars) * chart->bars->bar_pixels);
  return width < NARROWEST ? NARROWEST : width;
}

/* A bound is a line across its bar. */
static void draw_bound(FILE *script, const char *csv, int column, double half_width, const char *style,
                       const char *title) {
  fprintf(script, "  '%s' skip 1 using ($1-%.2f):%d:(%.2f):(0) with vectors nohead %s title '%s', \\\n", csv,
          half_width, column, 2 * half_width, style, title);
}

static void draw_bounds(FILE *script, const char *csv, void *context) {
  const bounds_chart *chart = context;
  fputs("set title ", script);
  pp_plot_title(script, chart->plot->report, NULL, chart_width(chart),
                "Time, and per cent above the lower bound of the same stages");
  pp_plot_bars_axis(script, chart->plot->report, chart->bars, 0);
  fputs("set ylabel 'emulated time [s]'\nset yrange [0:*]\nset offsets 0, 0, graph 0.12, 0\nset lmargin 9\n", script);
  pp_plot_key_beside(script);
  fprintf(script, "plot '%s' skip 1 using 1:5:($1-0.36):($1+0.36):(0):5 with ", csv);
  pp_plot_box_style(script, "solid 1", PP_COLOUR_SKY);
  fputs(" title 'time', \\\n", script);
  draw_bound(script, csv, 7, 0.46, "linecolor '" PP_COLOUR_BLACK "' linewidth 1.6", "bound: critical path");
  draw_bound(script, csv, 6, 0.36, "linecolor '" PP_COLOUR_VERMILLION "' linewidth 3 dashtype (3,2)",
             "bound: busiest resource");
  fprintf(script,
          "  '%s' skip 1 using 1:5:(valid(9)?sprintf('+%%.1f',100*$9):'') with labels offset 0,0.7 font ',%d' "
          "notitle\n",
          csv, PP_FONT_NUMBER);
}

pp_status pp_plot_bounds(pp_plot *plot) {
  pp_plot_bars bars;
  bool any = false, several = false;
  FILE *csv = NULL;
  PP_TRY(pp_plot_bars_create(plot->report, &bars));
  bounds_chart chart = {.plot = plot, .bars = &bars};
  if (bars.count > 0)
    bars.bar_pixels = (int)fmin(BAR_PIXELS, (WIDEST - FRAME_AND_KEY) / pp_plot_bars_width(&bars));
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
  if (status == NULL && any)
    status = pp_plot_write_script(plot, "bounds", chart_width(&chart), HEIGHT, draw_bounds, &chart);
done:
  free(bars.bars);
  return status;
}
