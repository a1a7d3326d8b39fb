/* Training time: a bar a group of runs, with the 95 % interval where there are seeds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"

enum { BAR_PIXELS = 52, NARROWEST = 560, PANEL_HEIGHT = 170, LINE_PIXELS = 17, COLUMNS = 2 };

typedef struct time_chart {
  const pp_plot *plot;
  const pp_plot_bars *bars;
  bool intervals, ratios;
} time_chart;

static void write_time_csv(FILE *csv, const time_chart *chart) {
  const pp_report *report = chart->plot->report;
  pp_plot_bars_csv_head(csv, report, "makespan_s,half_width_95_s,speedup");
  for (int bar = 0; bar < chart->bars->count; bar++) {
    const pp_report_group *group = &report->groups[chart->bars->bars[bar].group];
    pp_report_mean time = pp_report_mean_of(report, group, PP_FIGURE_TIME);
    const double values[] = {time.mean, time.half_width, pp_report_mean_of(report, group, PP_FIGURE_SPEEDUP).mean};
    pp_plot_bars_csv_start(csv, report, &chart->bars->bars[bar]);
    for (int value = 0; value < 3; value++) {
      fputc(',', csv);
      pp_csv_print_real(csv, values[value]);
    }
    pp_plot_bars_csv_end(csv, report, &chart->bars->bars[bar]);
  }
}

static int columns_of(const time_chart *chart) { return chart->bars->panel_count > 1 ? COLUMNS : 1; }
static int rows_of(const time_chart *chart) {
  return (chart->bars->panel_count + columns_of(chart) - 1) / columns_of(chart);
}
static int row_pixels(const time_chart *chart) {
  return PANEL_HEIGHT + (int)(LINE_PIXELS * pp_plot_bars_label_lines(chart->plot->report, chart->bars)) +
         (chart->bars->panel_count == 1 ? 140 : 0);
}
static int chart_height(const time_chart *chart) { return 60 + rows_of(chart) * row_pixels(chart); }
static int chart_width(const time_chart *chart) {
  int pixels = columns_of(chart) > 1 ? BAR_PIXELS * 2 / 3 : BAR_PIXELS;
  int width = columns_of(chart) * (100 + (int)(pp_plot_bars_width(chart->bars) * pixels));
  return width < NARROWEST ? NARROWEST : width;
}

static void draw_panel(FILE *script, const char *csv, const time_chart *chart, int panel) {
  bool many = chart->bars->panel_count > 1;
  pp_plot_bars_axis(script, chart->plot->report, chart->bars, panel);
  double highest_s = 0;
  for (int bar = 0; bar < chart->bars->count; bar++)
    if (chart->bars->bars[bar].panel == panel) {
      const pp_report_group *group = &chart->plot->report->groups[chart->bars->bars[bar].group];
      highest_s = fmax(highest_s, pp_report_mean_of(chart->plot->report, group, PP_FIGURE_TIME).mean);
    }
  if (many) {
    char name[112];
    pp_plot_panel_name(chart->plot->report, chart->bars, panel, sizeof name, name);
    fputs("set title ", script);
    pp_plot_quote(script, name);
    fputs(" font ',11' offset 0,-0.6\n", script);
  }
  fprintf(script,
          "set ylabel 'emulated time [s]' font ',%d'\nset ytics %.6g font ',%d'\nset yrange [0:*]\nset offsets 0, 0, "
          "graph %s, 0\nunset key\n"
          "plot '%s' skip 1 using 1:5:($1-0.36):($1+0.36):(0):5 with boxxyerror fillstyle solid 1 border "
          "linecolor '#333333' fillcolor '%s' linewidth 0.7",
          many ? 10 : 12, pp_plot_tic_step(highest_s), many ? 10 : 12, many ? "0.2" : "0.14", csv, PP_COLOUR_SKY);
  if (chart->intervals)
    fprintf(script, ", \\\n  '%s' skip 1 using 1:5:6 with yerrorbars linecolor 'black' pointsize 0 linewidth 1.2", csv);
  /* The label stands above the interval where there is one. */
  fprintf(script, ", \\\n  '%s' skip 1 using 1:($5+%s):(round3($5)%s) with labels offset 0,%s font ',%d'\n", csv,
          chart->intervals ? "(valid(6)?$6:0)" : "0", chart->ratios ? ".(valid(7)?\"\\n\".round3($7).'x':'')" : "",
          chart->ratios ? "1.2" : "0.7", many ? 8 : 10);
}

static void draw_time(FILE *script, const char *csv, void *context) {
  const time_chart *chart = context;
  double width = chart_width(chart), height = chart_height(chart);
  fputs("set multiplot title ", script);
  pp_plot_title(script, chart->plot,
                chart->ratios ? "Training time, and how many times faster than fl" : "Training time");
  fputs(" font ',13'\nset lmargin 9\nset rmargin 1\n", script);
  for (int panel = 0; panel < chart->bars->panel_count; panel++) {
    int column = panel % columns_of(chart), row = panel / columns_of(chart);
    double across = (width - 6) / columns_of(chart);
    fprintf(script, "set origin %.5f,%.5f\nset size %.5f,%.5f\n", column * across / width,
            (height - 52 - (row + 1) * row_pixels(chart)) / height, across / width, row_pixels(chart) / height);
    draw_panel(script, csv, chart, panel);
  }
  fputs("unset multiplot\n", script);
}

pp_status pp_plot_time(pp_plot *plot) {
  pp_plot_bars bars;
  PP_TRY(pp_plot_bars_create(plot->report, &bars));
  time_chart chart = {.plot = plot, .bars = &bars};
  for (int bar = 0; bar < bars.count; bar++) {
    const pp_report_group *group = &plot->report->groups[bars.bars[bar].group];
    const pp_report_run *run = &plot->report->runs[group->runs[0]];
    pp_report_mean time = pp_report_mean_of(plot->report, group, PP_FIGURE_TIME);
    chart.intervals = chart.intervals || time.half_width > 1e-3 * time.mean; /* else too small to be seen */
    chart.ratios = chart.ratios || (run->reference >= 0 && strcmp(run->info.method, "fl") != 0);
  }
  FILE *csv = NULL;
  pp_status status = NULL;
  if (bars.count == 0)
    goto done;
  PP_TRY_GOTO(status, pp_plot_open_csv(plot, "time", &csv), done);
  write_time_csv(csv, &chart);
  PP_TRY_GOTO(status, pp_plot_close_csv(plot, "time", csv), done);
  status = pp_plot_write_script(plot, "time", chart_width(&chart), chart_height(&chart), draw_time, &chart);
done:
  free(bars.bars);
  return status;
}
