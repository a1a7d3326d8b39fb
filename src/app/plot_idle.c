/* Idle time of server and devices: stacked by cause, or by the published code's definitions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/idle_as_published.h"
#include "app/plot_figures.h"
#include "app/report.h"
#include "base/mem.h"

enum { BAR_PIXELS = 38, KEY_PIXELS = 210, NARROWEST = 760, PANEL_HEIGHT = 176, LINE_PIXELS = 17 };
enum { FIRST_COLUMN = 5 /* of the server's values in the data; those of the devices follow */ };

typedef struct segment {
  pp_cause cause;
  const char *title, *colour, *fill;
} segment;

/* Causes in order from the axis up, the same in every figure; light and dark alternate, so that they can be told apart
 * in grey. */
static const segment by_cause[PP_CAUSE_COUNT] = {
    {PP_CAUSE_DEVICE_COMPUTE, "device computes", PP_COLOUR_GREEN, "solid 1"},
    {PP_CAUSE_UPLOAD, "upload", PP_COLOUR_YELLOW, "solid 1"},
    {PP_CAUSE_SERVER_QUEUE, "queue at the server", PP_COLOUR_PURPLE, "solid 1"},
    {PP_CAUSE_SERVER_COMPUTE, "server computes", PP_COLOUR_BLUE, "solid 1"},
    {PP_CAUSE_DOWNLOAD, "download", PP_COLOUR_VERMILLION, "pattern 4"},
    {PP_CAUSE_LATENCY, "latency", PP_COLOUR_SKY, "solid 1"},
    {PP_CAUSE_AGGREGATION, "aggregation", PP_COLOUR_BLACK, "solid 1"},
    {PP_CAUSE_DRAIN, "drain (all done)", PP_COLOUR_GREY, "pattern 1"},
    {PP_CAUSE_OVERRUN, "overrun", PP_COLOUR_ORANGE, "pattern 2"},
    {PP_CAUSE_ABSENT, "absent", PP_COLOUR_GREY, "pattern 2"},
};

static const segment published[1] = {{PP_CAUSE_OVERRUN, "idle as published", PP_COLOUR_SKY, "solid 1"}};

typedef struct idle_chart {
  const pp_plot *plot;
  const pp_plot_bars *bars;
  const char *name, *title;
  int count; /* segments */
  const segment *segments;
  bool shown[PP_CAUSE_COUNT];
  double (*highest_s)[2]; /* (panel_count): of the bars, of devices and server */
} idle_chart;

static double cause_mean(const pp_report *report, const pp_report_group *group, bool server, pp_cause cause) {
  double sum = 0;
  for (int member = 0; member < group->count; member++) {
    const pp_report_run *of = &report->runs[group->runs[member]];
    sum += (server ? of->server_cause_s : of->device_cause_s)[cause];
  }
  return sum / group->count;
}

static void note_height(const idle_chart *chart, int panel, bool server, double value_s) {
  if (value_s > chart->highest_s[panel][server])
    chart->highest_s[panel][server] = value_s;
}

static void write_cause_csv(FILE *csv, const idle_chart *chart) {
  const pp_report *report = chart->plot->report;
  char heads[64 * 2 * (PP_CAUSE_COUNT + 1)];
  size_t used = 0;
  for (int server = 1; server >= 0; server--) {
    const char *who = server ? "server" : "device";
    for (int index = 0; index < PP_CAUSE_COUNT; index++)
      used +=
          (size_t)snprintf(heads + used, sizeof heads - used, "%s_%s_s,", who, pp_cause_name(by_cause[index].cause));
    used += (size_t)snprintf(heads + used, sizeof heads - used, "%s_idle_s%s", who, server ? "," : "");
  }
  pp_plot_bars_csv_head(csv, report, heads);
  for (int bar = 0; bar < chart->bars->count; bar++) {
    const pp_report_group *group = &report->groups[chart->bars->bars[bar].group];
    pp_plot_bars_csv_start(csv, report, &chart->bars->bars[bar]);
    for (int server = 1; server >= 0; server--) {
      for (int index = 0; index < PP_CAUSE_COUNT; index++) {
        fputc(',', csv);
        pp_csv_print_real(csv, cause_mean(report, group, server, by_cause[index].cause));
      }
      double idle_s = pp_report_mean_of(report, group, server ? PP_FIGURE_SERVER_IDLE : PP_FIGURE_DEVICE_IDLE).mean;
      note_height(chart, chart->bars->bars[bar].panel, server, idle_s);
      fputc(',', csv);
      pp_csv_print_real(csv, idle_s);
    }
    pp_plot_bars_csv_end(csv, report, &chart->bars->bars[bar]);
  }
}

/* Beside the value its total, so that both charts have the same columns. */
static pp_status write_published_csv(FILE *csv, const idle_chart *chart) {
  const pp_report *report = chart->plot->report;
  pp_plot_bars_csv_head(csv, report, "server_waiting_s,server_idle_s,device_waiting_s,device_idle_s");
  for (int bar = 0; bar < chart->bars->count; bar++) {
    const pp_report_group *group = &report->groups[chart->bars->bars[bar].group];
    pp_idle_as_published idle = {0}, sum = {0};
    for (int member = 0; member < group->count; member++) {
      PP_TRY(pp_idle_as_published_of(report, &report->runs[group->runs[member]], &idle));
      sum.server_s += idle.server_s / group->count;
      sum.device_s += idle.device_s / group->count;
    }
    pp_plot_bars_csv_start(csv, report, &chart->bars->bars[bar]);
    note_height(chart, chart->bars->bars[bar].panel, true, sum.server_s);
    note_height(chart, chart->bars->bars[bar].panel, false, sum.device_s);
    const double values[] = {sum.server_s, sum.server_s, sum.device_s, sum.device_s};
    for (int value = 0; value < 4; value++) {
      fputc(',', csv);
      pp_csv_print_real(csv, values[value]);
    }
    pp_plot_bars_csv_end(csv, report, &chart->bars->bars[bar]);
  }
  return NULL;
}

/* The sum of the first `count` values as a gnuplot expression of columns from `first` on. */
static void print_sum(FILE *script, int first, int count) {
  fputs("(0", script);
  for (int column = first; column < first + count; column++)
    fprintf(script, "+$%d", column);
  fputc(')', script);
}

static void draw_panel(FILE *script, const char *csv, const idle_chart *chart, int panel, bool server) {
  int first = FIRST_COLUMN + (server ? 0 : chart->count + 1);
  int total = first + chart->count;
  char name[112];
  pp_plot_panel_name(chart->plot->report, chart->bars, panel, sizeof name, name);
  pp_plot_bars_axis(script, chart->plot->report, chart->bars, panel);
  fputs("set title ", script);
  pp_plot_quote(script, name);
  double highest_s = chart->highest_s[panel][server];
  fprintf(script,
          ".'%s%s' font ',%d' offset 0,-0.6\nset ylabel 'idle time [s]' font ',%d' offset 0.5,0\nset ytics font ',%d' "
          "%.6g\nset yrange [0:%.6g]\nunset key\n",
          name[0] == '\0' ? "" : ": ", server ? "server (mean over its slots)" : "devices (mean)", PP_FONT_PANEL,
          PP_FONT_AXIS, PP_FONT_AXIS, pp_plot_tic_step(highest_s), highest_s > 0 ? 1.17 * highest_s : 1);
  fputs("plot ", script);
  for (int index = 0; index < chart->count; index++) {
    if (!chart->shown[index])
      continue;
    fprintf(script, "'%s' skip 1 using 1:", csv);
    print_sum(script, first, index + 1);
    fputs(":($1-0.38):($1+0.38):", script);
    print_sum(script, first, index);
    fputc(':', script);
    print_sum(script, first, index + 1);
    fputs(" with ", script);
    pp_plot_box_style(script, chart->segments[index].fill, chart->segments[index].colour);
    fputs(", \\\n  ", script);
  }
  fprintf(script, "'%s' skip 1 using 1:%d:(round3($%d)) with labels offset 0,0.6 font ',%d' notitle\n", csv, total,
          total, PP_FONT_NUMBER);
}

/* A plot of nothing but the key. */
static void draw_key(FILE *script, const idle_chart *chart) {
  fputs(
      "unset title\nunset label\nunset xtics\nunset ytics\nunset ylabel\nunset border\nunset grid\nset xrange "
      "[0:1]\nset yrange [0:1]\nset lmargin 0\nset rmargin 0\nset tmargin 3\nset key left top vertical maxcols 1 Left "
      "reverse invert samplen 1.2 spacing 1.25 width 1 font '"
      ",11'\nplot NaN notitle",
      script);
  for (int index = 0; index < chart->count; index++)
    if (chart->shown[index])
      fprintf(script,
              ", \\\n  keyentry with boxes fillstyle %s border linecolor '" PP_COLOUR_EDGE
              "' fillcolor '%s' linewidth 0.7 title "
              "'%s'",
              chart->segments[index].fill, chart->segments[index].colour, chart->segments[index].title);
  fputc('\n', script);
}

static int row_pixels(const idle_chart *chart) {
  return PANEL_HEIGHT + (int)(LINE_PIXELS * pp_plot_bars_label_lines(chart->plot->report, chart->bars)) +
         (chart->bars->panel_count == 1 ? 130 : 0);
}

static int chart_width(const idle_chart *chart) {
  int width = KEY_PIXELS + 150 + (int)(2 * pp_plot_bars_width(chart->bars) * chart->bars->bar_pixels);
  return width < NARROWEST ? NARROWEST : width;
}

static int title_pixels(const idle_chart *chart) {
  return pp_plot_title_pixels(chart->plot->report, NULL, chart_width(chart));
}

static int chart_height(const idle_chart *chart) {
  return title_pixels(chart) + 6 + chart->bars->panel_count * row_pixels(chart);
}

/* Rows of panels, the server's to the left, the devices' to the right, the key beside them. */
static void draw_idle(FILE *script, const char *csv, void *context) {
  const idle_chart *chart = context;
  double height = chart_height(chart), width = chart_width(chart);
  fputs("set multiplot title ", script);
  pp_plot_title(script, chart->plot->report, NULL, chart_width(chart), chart->title);
  fputs("set lmargin 9\nset rmargin 0.5\nset tmargin 1.6\n", script);
  double columns = chart->count > 1 ? 1 - KEY_PIXELS / width : 1;
  for (int panel = 0; panel < chart->bars->panel_count; panel++)
    for (int server = 1; server >= 0; server--) {
      double bottom = height - title_pixels(chart) - (panel + 1) * row_pixels(chart);
      fprintf(script, "set origin %.5f,%.5f\nset size %.5f,%.5f\n", server ? 0 : columns / 2, bottom / height,
              columns / 2, row_pixels(chart) / height);
      draw_panel(script, csv, chart, panel, server);
    }
  if (chart->count > 1) {
    fprintf(script, "set origin %.5f,0\nset size %.5f,%.5f\n", columns, 1 - columns,
            (height - title_pixels(chart)) / height);
    draw_key(script, chart);
  }
  fputs("unset multiplot\n", script);
}

/* Causes too small to be seen in any bar get no entry in the key. */
static void choose_segments(idle_chart *chart) {
  static const double visible = 0.004; /* of the bar: about half a pixel */
  const pp_report *report = chart->plot->report;
  for (int run = 0; run < report->run_count; run++)
    for (int index = 0; index < chart->count; index++) {
      const pp_report_run *of = &report->runs[run];
      pp_cause cause = chart->segments[index].cause;
      chart->shown[index] = chart->shown[index] ||
                            of->server_cause_s[cause] > visible * of->info.summary.server_idle_s ||
                            of->device_cause_s[cause] > visible * of->info.summary.device_idle_s;
    }
}

pp_status pp_plot_idle(pp_plot *plot) {
  pp_plot_bars bars;
  FILE *csv = NULL;
  PP_TRY(pp_plot_bars_create(plot->report, &bars));
  pp_plot_bars_break(&bars);
  bars.bar_pixels = pp_plot_bars_pixels(&bars, BAR_PIXELS);
  idle_chart chart = {.plot = plot,
                      .bars = &bars,
                      .title = "Idle time by what it was spent waiting for",
                      .count = PP_CAUSE_COUNT,
                      .segments = by_cause};
  pp_status status = NULL;
  if (bars.count == 0)
    goto done;
  PP_TRY_GOTO(status, pp_alloc((size_t)bars.panel_count, sizeof *chart.highest_s, "panels", &chart.highest_s), done);
  choose_segments(&chart);
  PP_TRY_GOTO(status, pp_plot_open_csv(plot, "idle", &csv), done);
  write_cause_csv(csv, &chart);
  PP_TRY_GOTO(status, pp_plot_close_csv(plot, "idle", csv), done);
  status = pp_plot_write_script(plot, "idle", chart_width(&chart), chart_height(&chart), draw_idle, &chart);
done:
  free(chart.highest_s);
  free(bars.bars);
  return status;
}

pp_status pp_plot_idle_as_published(pp_plot *plot) {
  pp_plot_bars bars;
  FILE *csv = NULL;
  PP_TRY(pp_plot_bars_create(plot->report, &bars));
  pp_plot_bars_break(&bars);
  bars.bar_pixels = pp_plot_bars_pixels(&bars, BAR_PIXELS);
  idle_chart chart = {.plot = plot,
                      .bars = &bars,
                      .title = "Idle time by the published code's definitions",
                      .count = 1,
                      .segments = published,
                      .shown = {true}};
  pp_status status = NULL;
  if (bars.count == 0)
    goto done;
  PP_TRY_GOTO(status, pp_alloc((size_t)bars.panel_count, sizeof *chart.highest_s, "panels", &chart.highest_s), done);
  PP_TRY_GOTO(status, pp_plot_open_csv(plot, "idle-as-published", &csv), done);
  status = write_published_csv(csv, &chart);
  status = pp_status_first(status, pp_plot_close_csv(plot, "idle-as-published", csv));
  if (status == NULL)
    status =
        pp_plot_write_script(plot, "idle-as-published", chart_width(&chart), chart_height(&chart), draw_idle, &chart);
done:
  free(chart.highest_s);
  free(bars.bars);
  return status;
}
