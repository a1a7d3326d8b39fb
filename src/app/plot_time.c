/* Training time: a bar a group of runs, with the 95 % interval where there are seeds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"

enum { BAR_PIXELS = 52, NARROWEST = 660, PANEL_HEIGHT = 186, LINE_PIXELS = 17, COLUMNS = 2 };

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
static int chart_width(const time_chart *chart) {
  int width = columns_of(chart) * (100 + (int)(pp_plot_bars_width(chart->bars) * chart->bars->bar_pixels));
  return width < NARROWEST ? NARROWEST : width;
}
static int title_pixels(const time_chart *chart) {
  return pp_plot_title_pixels(chart->plot->report, NULL, chart_width(chart));
}
static int chart_height(const time_chart *chart) {
  return title_pixels(chart) + 6 + rows_of(chart) * row_pixels(chart);
}

/* Of the panel's bars, with their intervals. */
static double highest_of(const time_chart *chart, int panel) {
  double highest_s = 0;
  for (int bar = 0; bar < chart->bars->count; bar++) {
    const pp_report_group *group = &chart->plot->report->groups[chart->bars->bars[bar].group];
    pp_report_mean time = pp_report_mean_of(chart->plot->report, group, PP_FIGURE_TIME);
    if (chart->bars->bars[bar].panel == panel)
      highest_s = fmax(highest_s, time.mean + (chart->intervals && time.half_width > 0 ? time.half_width : 0));
  }
  return highest_s;
}

static void draw_panel(FILE *script, const char *csv, const time_chart *chart, int panel) {
  bool many = chart->bars->panel_count > 1;
  pp_plot_bars_axis(script, chart->plot->report, chart->bars, panel);
  double highest_s = highest_of(chart, panel), room = chart->ratios ? (many ? 1.36 : 1.2) : (many ? 1.2 : 1.12);
  if (many) {
    char name[112];
    pp_plot_panel_name(chart->plot->report, chart->bars, panel, sizeof name, name);
    fputs("set title ", script);
    pp_plot_quote(script, name);
    fprintf(script, " font ',%d' offset 0,-0.6\n", PP_FONT_PANEL);
  }
  fprintf(script,
          "set ylabel 'emulated time [s]' font ',%d' offset 0.5,0\nset ytics %.6g font ',%d'\nset yrange [0:%.6g]\n"
          "unset key\nplot '%s' skip 1 using 1:5:($1-0.36):($1+0.36):(0):5 with ",
          PP_FONT_AXIS, pp_plot_tic_step(highest_s), PP_FONT_AXIS, highest_s > 0 ? room * highest_s : 1, csv);
  pp_plot_box_style(script, "solid 1", PP_COLOUR_SKY);
  if (chart->intervals)
    fprintf(script, ", \\\n  '%s' skip 1 using 1:5:6 with yerrorbars linecolor 'black' pointsize 0 linewidth 1.2", csv);
  /* Labels stand above the interval where there is one; of fl, which is the measure, there is no ratio. */
  const char *top = chart->intervals ? "(valid(6)?$6:0)" : "0",
             *has = chart->ratios ? "(valid(7)&&strcol(2) ne 'fl')" : "0";
  fprintf(script, ", \\\n  '%s' skip 1 using 1:($5+%s):(%s?'':round3($5)) with labels offset 0,0.6 font ',%d'", csv,
          top, has, PP_FONT_NUMBER);
  if (chart->ratios)
    fprintf(
        script,
        ", \\\n  '%s' skip 1 using 1:($5+%s):(%s?round3($5):'') with labels offset 0,1.5 font ',%d', \\\n  '%s' skip 1 "
        "using 1:($5+%s):(%s?round3($7).'x':'') with labels offset 0,0.6 font ',%d'",
        csv, top, has, PP_FONT_NUMBER, csv, top, has, PP_FONT_NUMBER);
  fputc('\n', script);
}

static void draw_time(FILE *script, const char *csv, void *context) {
  const time_chart *chart = context;
  double width = chart_width(chart), height = chart_height(chart);
  char title[96];
  snprintf(title, sizeof title, "Training time%s%s", chart->ratios ? ", and how many times faster than fl" : "",
           chart->intervals ? " (bars: 95 % intervals)" : "");
  fputs("set multiplot title ", script);
  pp_plot_title(script, chart->plot->report, NULL, chart_width(chart), title);
  fputs("set lmargin 9\nset rmargin 1\nset tmargin 1.6\n", script);
  for (int panel = 0; panel < chart->bars->panel_count; panel++) {
    int column = panel % columns_of(chart), row = panel / columns_of(chart);
    double across = (width - 6) / columns_of(chart);
    fprintf(script, "set origin %.5f,%.5f\nset size %.5f,%.5f\n", column * across / width,
            (height - title_pixels(chart) - (row + 1) * row_pixels(chart)) / height, across / width,
            row_pixels(chart) / height);
    draw_panel(script, csv, chart, panel);
  }
  fputs("unset multiplot\n", script);
}

pp_status pp_plot_time(pp_plot *plot) {
  pp_plot_bars bars;
  PP_TRY(pp_plot_bars_create(plot->report, &bars));
  pp_plot_bars_break(&bars);
  time_chart chart = {.plot = plot, .bars = &bars};
  bars.bar_pixels = pp_plot_bars_pixels(&bars, bars.panel_count > 1 ? BAR_PIXELS * 3 / 4 : BAR_PIXELS);
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
