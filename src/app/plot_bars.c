/* Bar charts: idle time by cause, and training time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"
#include "base/mem.h"

enum { FRAME_WIDTH = 300, BAR_PIXELS = 46, WIDEST = 3600, NARROWEST = 760 };

/* Causes in order from the axis up, the same in every figure; light and dark alternate, so that they can be told apart
 * in grey. */
static const struct {
  pp_cause cause;
  const char *title, *colour, *fill;
} segments[PP_CAUSE_COUNT] = {
    {PP_CAUSE_DEVICE_COMPUTE, "device computes", PP_COLOUR_GREEN, "solid 1"},
    {PP_CAUSE_UPLOAD, "upload", PP_COLOUR_YELLOW, "solid 1"},
    {PP_CAUSE_SERVER_QUEUE, "queue at the server", PP_COLOUR_PURPLE, "solid 1"},
    {PP_CAUSE_SERVER_COMPUTE, "server computes", PP_COLOUR_BLUE, "solid 1"},
    {PP_CAUSE_DOWNLOAD, "download", PP_COLOUR_VERMILLION, "pattern 4"},
    {PP_CAUSE_LATENCY, "latency", PP_COLOUR_SKY, "solid 1"},
    {PP_CAUSE_AGGREGATION, "aggregation", PP_COLOUR_BLACK, "solid 1"},
    {PP_CAUSE_DRAIN, "drain (all done)", PP_COLOUR_GREY, "pattern 1"},
    {PP_CAUSE_OVERRUN, "overrun", PP_COLOUR_ORANGE, "pattern 2"},
};

static bool same_cell(const pp_report *report, const pp_report_run *a, const pp_report_run *b) {
  for (int key = 0; key < report->varying_count; key++)
    if (strcmp(pp_report_setting_text(a, report->varying[key]), pp_report_setting_text(b, report->varying[key])) != 0)
      return false;
  return true;
}

static const pp_report_run *run_of(const pp_report *report, int group) {
  return &report->runs[report->groups[group].runs[0]];
}

/* Where a method stands more than once in a cell the plan tells them apart, and then the file. */
static void label_bars(const pp_report *report, pp_plot_bars *out) {
  for (int index = 0; index < out->count; index++) {
    pp_plot_bar *bar = &out->bars[index];
    const pp_report_run *run = run_of(report, bar->group);
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

pp_status pp_plot_bars_create(const pp_report *report, pp_plot_bars *out) {
  static const double gap = 0.8;
  *out = (pp_plot_bars){0};
  PP_TRY(pp_alloc((size_t)report->group_count, sizeof *out->bars, "bars", &out->bars));
  double x = 0;
  for (int first = 0; first < report->group_count; first++) {
    const pp_report_run *leader = run_of(report, first);
    bool placed = !pp_report_is_complete(leader);
    for (int bar = 0; bar < out->count && !placed; bar++)
      placed = same_cell(report, run_of(report, out->bars[bar].group), leader);
    if (placed)
      continue;
    x += out->count == 0 ? 0 : gap;
    for (int group = first; group < report->group_count; group++)
      if (pp_report_is_complete(run_of(report, group)) && same_cell(report, run_of(report, group), leader)) {
        out->bars[out->count++] = (pp_plot_bar){.group = group, .cell = out->cell_count, .x = x};
        x += 1;
      }
    out->cell_count++;
  }
  out->width = x;
  label_bars(report, out);
  return NULL;
}

void pp_plot_cell_label(FILE *script, const pp_report *report, const pp_plot_bar *bar) {
  const pp_report_run *run = run_of(report, bar->group);
  for (int key = 0; key < report->varying_count; key++) {
    const char *text = pp_report_setting_text(run, report->varying[key]);
    char label[48], line[112];
    /* Names speak for themselves; a number needs to be said what it is of. */
    char *end = NULL;
    (void)strtod(text, &end);
    bool number = text[0] != '\0' && *end == '\0';
    pp_report_label(report->varying[key], sizeof label, label);
    snprintf(line, sizeof line, number ? "%s %.60s" : "%.0s%.60s", label, text);
    fputs(key == 0 ? "" : ".\"\\n\".", script);
    pp_plot_quote(script, line);
  }
}

typedef struct bar_chart {
  const pp_plot *plot;
  const pp_plot_bars *bars;
  bool shown[PP_CAUSE_COUNT];
  bool stacked; /* panels above each other */
  bool intervals, ratios;
} bar_chart;

static bool is_crowded(const pp_plot_bars *bars) {
  size_t longest = 0;
  for (int bar = 0; bar < bars->count; bar++)
    longest = strlen(bars->bars[bar].label) > longest ? strlen(bars->bars[bar].label) : longest;
  return bars->count > 4 && longest > 5;
}

/* Methods under their bars, and under each cell what it stands for. */
static void draw_axis(FILE *script, const bar_chart *chart) {
  const pp_plot_bars *bars = chart->bars;
  bool crowded = is_crowded(bars);
  fprintf(script, "set xrange [-0.7:%.4g]\nset xtics scale 0 %s(", bars->width - 0.3,
          crowded ? "rotate by 40 right " : "");
  for (int bar = 0; bar < bars->count; bar++) {
    fputs(bar == 0 ? "" : ", ", script);
    pp_plot_quote(script, bars->bars[bar].label);
    fprintf(script, " %.4g", bars->bars[bar].x);
  }
  fputs(")\nunset label\n", script);
  for (int first = 0; first < bars->count && bars->cell_count > 1;) {
    int end = first;
    while (end < bars->count && bars->bars[end].cell == bars->bars[first].cell)
      end++;
    fputs("set label ", script);
    pp_plot_cell_label(script, chart->plot->report, &bars->bars[first]);
    fprintf(script, " at %.4g, graph 0 center offset 0,%s font ',10'\n",
            (bars->bars[first].x + bars->bars[end - 1].x) / 2, crowded ? "-4.6" : "-1.9");
    first = end;
  }
  int lines = bars->cell_count > 1 ? chart->plot->report->varying_count : 0;
  fprintf(script, "set bmargin %.3g\n", 2.0 + (crowded ? 2.8 : 0) + 1.0 * lines);
  fputs("round3(v) = v >= 999.5 ? sprintf('%.0f', v) : v >= 99.95 ? sprintf('%.0f', v) : v >= 9.995 ? "
        "sprintf('%.1f', v) : v >= 0.01 || v == 0 ? sprintf('%.2f', v) : sprintf('%.1e', v)\n",
        script);
}

enum { FIRST_CAUSE_COLUMN = 5 }; /* in idle.csv, of the server; those of the devices follow */

static void write_idle_csv(FILE *csv, const bar_chart *chart) {
  const pp_report *report = chart->plot->report;
  fputs("x,method,file,run", csv);
  for (int server = 1; server >= 0; server--) {
    for (int segment = 0; segment < PP_CAUSE_COUNT; segment++)
      fprintf(csv, ",%s_%s_s", server ? "server" : "device", pp_cause_name(segments[segment].cause));
    fprintf(csv, ",%s_idle_s", server ? "server" : "device");
  }
  for (int key = 0; key < report->varying_count; key++) {
    fputc(',', csv);
    pp_csv_print_text(csv, report->varying[key]);
  }
  fputc('\n', csv);
  for (int bar = 0; bar < chart->bars->count; bar++) {
    const pp_report_group *group = &report->groups[chart->bars->bars[bar].group];
    const pp_report_run *run = &report->runs[group->runs[0]];
    char file[64];
    pp_report_file_label(pp_results_path(report->files[run->file]), sizeof file, file);
    fprintf(csv, "%.4g,%s,", chart->bars->bars[bar].x, run->info.method);
    pp_csv_print_text(csv, file);
    fprintf(csv, ",%d", run->info.run);
    for (int server = 1; server >= 0; server--) {
      for (int segment = 0; segment < PP_CAUSE_COUNT; segment++) {
        double sum = 0;
        for (int member = 0; member < group->count; member++) {
          const pp_report_run *of = &report->runs[group->runs[member]];
          sum += (server ? of->server_cause_s : of->device_cause_s)[segments[segment].cause];
        }
        fputc(',', csv);
        pp_csv_print_real(csv, sum / group->count);
      }
      fputc(',', csv);
      pp_csv_print_real(csv,
                        pp_report_mean_of(report, group, server ? PP_FIGURE_SERVER_IDLE : PP_FIGURE_DEVICE_IDLE).mean);
    }
    for (int key = 0; key < report->varying_count; key++) {
      fputc(',', csv);
      pp_csv_print_text(csv, pp_report_setting_text(run, report->varying[key]));
    }
    fputc('\n', csv);
  }
}

/* The sum of the first `count` causes as a gnuplot expression of columns from `first` on. */
static void print_sum(FILE *script, int first, int count) {
  fputs("(0", script);
  for (int column = first; column < first + count; column++)
    fprintf(script, "+$%d", column);
  fputc(')', script);
}

static void draw_idle_panel(FILE *script, const char *csv, const bar_chart *chart, bool server, bool key) {
  int first = FIRST_CAUSE_COLUMN + (server ? 0 : PP_CAUSE_COUNT + 1);
  int total = first + PP_CAUSE_COUNT;
  fprintf(script, "set title '%s'\nset ylabel 'idle time [s]'\nset yrange [0:*]\nset offsets 0, 0, graph 0.08, 0\n",
          server ? "server (mean over its slots)" : "devices (mean)");
  const char *place = chart->stacked ? "at screen 0.995, 0.45 right center" : "outside right center";
  if (key)
    fprintf(script, "set key %s vertical maxcols 1 Left reverse invert samplen 1.2 spacing 1.25 width 1\n", place);
  else
    fputs("unset key\n", script);
  fputs("plot ", script);
  for (int segment = 0; segment < PP_CAUSE_COUNT; segment++) {
    if (!chart->shown[segment])
      continue;
    fprintf(script, "'%s' skip 1 using 1:", csv);
    print_sum(script, first, segment + 1);
    fputs(":($1-0.36):($1+0.36):", script);
    print_sum(script, first, segment);
    fputc(':', script);
    print_sum(script, first, segment + 1);
    fprintf(script,
            " with boxxyerror fillstyle %s border linecolor '#333333' fillcolor '%s' linewidth 0.7 title '%s', \\\n  ",
            segments[segment].fill, segments[segment].colour, segments[segment].title);
  }
  fprintf(script, "'%s' skip 1 using 1:%d:(round3($%d)) with labels offset 0,0.7 font ',10' notitle\n", csv, total,
          total);
}

static void draw_idle(FILE *script, const char *csv, void *context) {
  const bar_chart *chart = context;
  /* Panels have the same frame; the key has a place of its own, beside or below them. */
  fputs("set multiplot title ", script);
  pp_plot_title(script, chart->plot, "Idle time by what it was spent waiting for");
  fputs(" font ',13'\n", script);
  draw_axis(script, chart);
  if (chart->stacked) {
    fputs("set lmargin 9\nset rmargin 27\nset origin 0,0.46\nset size 1,0.46\n", script);
    draw_idle_panel(script, csv, chart, true, true);
    fputs("set origin 0,0\nset size 1,0.46\n", script);
    draw_idle_panel(script, csv, chart, false, false);
  } else {
    fputs("set lmargin 8\nset rmargin 1\nset origin 0,0\nset size 0.38,0.87\n", script);
    draw_idle_panel(script, csv, chart, true, false);
    fputs("set origin 0.38,0\nset size 0.62,0.87\nset rmargin 26\n", script);
    draw_idle_panel(script, csv, chart, false, true);
  }
  fputs("unset multiplot\n", script);
}

static int chart_width(const pp_plot_bars *bars) {
  int width = FRAME_WIDTH + (int)(bars->width * BAR_PIXELS);
  return width < NARROWEST ? NARROWEST : width > WIDEST ? WIDEST : width;
}

/* Causes too small to be seen in any bar get no entry in the key. */
static void choose_segments(bar_chart *chart) {
  static const double visible = 0.002; /* of the highest bar of its panel: about half a pixel */
  const pp_report *report = chart->plot->report;
  double highest_server = 0, highest_device = 0;
  for (int run = 0; run < report->run_count; run++) {
    highest_server = fmax(highest_server, report->runs[run].info.summary.server_idle_s);
    highest_device = fmax(highest_device, report->runs[run].info.summary.device_idle_s);
  }
  for (int run = 0; run < report->run_count; run++)
    for (int segment = 0; segment < PP_CAUSE_COUNT; segment++)
      chart->shown[segment] = chart->shown[segment] ||
                              report->runs[run].server_cause_s[segments[segment].cause] > visible * highest_server ||
                              report->runs[run].device_cause_s[segments[segment].cause] > visible * highest_device;
}

static pp_status write_idle(pp_plot *plot, bar_chart *chart) {
  FILE *csv = NULL;
  choose_segments(chart);
  chart->stacked = chart->bars->width > 5;
  PP_TRY(pp_plot_open_csv(plot, "idle", &csv));
  write_idle_csv(csv, chart);
  PP_TRY(pp_plot_close_csv(plot, "idle", csv));
  return pp_plot_write_script(plot, "idle", chart->stacked ? chart_width(chart->bars) : 860, chart->stacked ? 720 : 440,
                              draw_idle, chart);
}

pp_status pp_plot_idle(pp_plot *plot) {
  pp_plot_bars bars;
  PP_TRY(pp_plot_bars_create(plot->report, &bars));
  bar_chart chart = {.plot = plot, .bars = &bars};
  pp_status status = bars.count == 0 ? NULL : write_idle(plot, &chart);
  free(bars.bars);
  return status;
}

static void write_time_csv(FILE *csv, const bar_chart *chart) {
  const pp_report *report = chart->plot->report;
  fputs("x,method,file,run,makespan_s,half_width_95_s,speedup", csv);
  for (int key = 0; key < report->varying_count; key++) {
    fputc(',', csv);
    pp_csv_print_text(csv, report->varying[key]);
  }
  fputc('\n', csv);
  for (int bar = 0; bar < chart->bars->count; bar++) {
    const pp_report_group *group = &report->groups[chart->bars->bars[bar].group];
    const pp_report_run *run = &report->runs[group->runs[0]];
    pp_report_mean time = pp_report_mean_of(report, group, PP_FIGURE_TIME);
    char file[64];
    pp_report_file_label(pp_results_path(report->files[run->file]), sizeof file, file);
    fprintf(csv, "%.4g,%s,", chart->bars->bars[bar].x, run->info.method);
    pp_csv_print_text(csv, file);
    fprintf(csv, ",%d,", run->info.run);
    pp_csv_print_real(csv, time.mean);
    fputc(',', csv);
    pp_csv_print_real(csv, time.half_width);
    fputc(',', csv);
    pp_csv_print_real(csv, pp_report_mean_of(report, group, PP_FIGURE_SPEEDUP).mean);
    for (int key = 0; key < report->varying_count; key++) {
      fputc(',', csv);
      pp_csv_print_text(csv, pp_report_setting_text(run, report->varying[key]));
    }
    fputc('\n', csv);
  }
}

static void draw_time(FILE *script, const char *csv, void *context) {
  const bar_chart *chart = context;
  fputs("set title ", script);
  pp_plot_title(script, chart->plot,
                chart->ratios ? "Training time, and how many times faster than fl" : "Training time");
  fputs(" font ',13'\n", script);
  draw_axis(script, chart);
  fprintf(script,
          "set ylabel 'emulated time [s]'\nset yrange [0:*]\nset offsets 0, 0, graph 0.14, 0\nunset key\n"
          "set lmargin 9\nset rmargin 3\n"
          "plot '%s' skip 1 using 1:5:($1-0.36):($1+0.36):(0):5 with boxxyerror fillstyle solid 1 border "
          "linecolor '#333333' fillcolor '%s' linewidth 0.7",
          csv, PP_COLOUR_SKY);
  if (chart->intervals)
    fprintf(script, ", \\\n  '%s' skip 1 using 1:5:6 with yerrorbars linecolor 'black' pointsize 0 linewidth 1.2", csv);
  /* The label stands above the interval where there is one. */
  fprintf(script, ", \\\n  '%s' skip 1 using 1:($5+%s):(round3($5)%s) with labels offset 0,%s font ',10'\n", csv,
          chart->intervals ? "(valid(6)?$6:0)" : "0", chart->ratios ? ".(valid(7)?\"\\n\".round3($7).'x':'')" : "",
          chart->ratios ? "1.3" : "0.7");
}

pp_status pp_plot_time(pp_plot *plot) {
  pp_plot_bars bars;
  PP_TRY(pp_plot_bars_create(plot->report, &bars));
  bar_chart chart = {.plot = plot, .bars = &bars};
  bool others = false;
  for (int bar = 0; bar < bars.count; bar++) {
    const pp_report_group *group = &plot->report->groups[bars.bars[bar].group];
    const pp_report_run *run = &plot->report->runs[group->runs[0]];
    pp_report_mean time = pp_report_mean_of(plot->report, group, PP_FIGURE_TIME);
    chart.intervals = chart.intervals || time.half_width > 1e-3 * time.mean; /* else too small to be seen */
    others = others || (run->reference >= 0 && strcmp(run->info.method, "fl") != 0);
  }
  chart.ratios = others;
  FILE *csv = NULL;
  pp_status status = NULL;
  if (bars.count == 0)
    goto done;
  PP_TRY_GOTO(status, pp_plot_open_csv(plot, "time", &csv), done);
  write_time_csv(csv, &chart);
  PP_TRY_GOTO(status, pp_plot_close_csv(plot, "time", csv), done);
  int width = 200 + (int)(bars.width * BAR_PIXELS * 1.4);
  status = pp_plot_write_script(plot, "time",
                                width < 560      ? 560
                                : width > WIDEST ? WIDEST
                                                 : width,
                                420, draw_time, &chart);
done:
  free(bars.bars);
  return status;
}
