/* The heat map: time of every split and number of micro-batches, of runs that differ in nothing else. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"

enum { LEAST_VALUES = 3, MOST_VALUES = 64 };

typedef struct axis {
  int count;
  int values[MOST_VALUES]; /* rising */
} axis;

typedef struct map_chart {
  const pp_plot *plot;
  axis splits, micro_batches;
  int best; /* run */
} map_chart;

static void add_value(axis *of, int value) {
  int place = 0;
  while (place < of->count && of->values[place] < value)
    place++;
  if ((place < of->count && of->values[place] == value) || of->count == MOST_VALUES)
    return;
  memmove(&of->values[place + 1], &of->values[place], (size_t)(of->count - place) * sizeof of->values[0]);
  of->values[place] = value;
  of->count++;
}

static int place_of(const axis *of, int value) {
  int place = 0;
  while (place + 1 < of->count && of->values[place] < value)
    place++;
  return place;
}

static bool find_axes(const pp_report *report, map_chart *out) {
  if (report->varying_count > 0 || report->run_count < LEAST_VALUES * LEAST_VALUES)
    return false;
  out->splits.count = out->micro_batches.count = 0;
  out->best = 0;
  for (int index = 0; index < report->run_count; index++) {
    const pp_report_run *run = &report->runs[index];
    if (!pp_report_is_complete(run) || run->least_split != run->most_split ||
        run->least_micro_batches != run->most_micro_batches ||
        strcmp(run->info.method, report->runs[0].info.method) != 0)
      return false;
    add_value(&out->splits, run->most_split);
    add_value(&out->micro_batches, run->most_micro_batches);
    if (run->info.summary.makespan_s < report->runs[out->best].info.summary.makespan_s)
      out->best = index;
  }
  return out->splits.count >= LEAST_VALUES && out->micro_batches.count >= LEAST_VALUES;
}

bool pp_plot_is_map(const pp_report *report) {
  map_chart chart = {0};
  return find_axes(report, &chart);
}

static void write_csv(FILE *csv, const map_chart *chart) {
  const pp_report *report = chart->plot->report;
  fputs("column,row,makespan_s,server_idle_s,device_idle_s,split,micro_batches\n", csv);
  for (int index = 0; index < report->run_count; index++) {
    const pp_report_run *run = &report->runs[index];
    fprintf(csv, "%d,%d,", place_of(&chart->micro_batches, run->most_micro_batches),
            place_of(&chart->splits, run->most_split));
    const double values[] = {run->info.summary.makespan_s, run->info.summary.server_idle_s,
                             run->info.summary.device_idle_s};
    for (int value = 0; value < 3; value++) {
      pp_csv_print_real(csv, values[value]);
      fputc(',', csv);
    }
    fprintf(csv, "%d,%d\n", run->most_split, run->most_micro_batches);
  }
}

static void print_tics(FILE *script, char which, const axis *of) {
  fprintf(script, "set %ctics scale 0 (", which);
  for (int place = 0; place < of->count; place++)
    fprintf(script, "%s'%d' %d", place == 0 ? "" : ", ", of->values[place], place);
  fputs(")\n", script);
}

/* Marks as far as the times go: gnuplot itself would mark powers of ten alone. */
static void print_colour_tics(FILE *script, const map_chart *chart) {
  double least = INFINITY, most = 0;
  for (int run = 0; run < chart->plot->report->run_count; run++) {
    least = fmin(least, chart->plot->report->runs[run].info.summary.makespan_s);
    most = fmax(most, chart->plot->report->runs[run].info.summary.makespan_s);
  }
  pp_plot_log_tics(script, "cb", least, most);
}

static int chart_width(const map_chart *chart) {
  int width = 230 + 50 * chart->micro_batches.count;
  return width < 560 ? 560 : width;
}

static int chart_height(const map_chart *chart) {
  int height = 80 + 34 * chart->splits.count + pp_plot_title_pixels(chart->plot->report, NULL, chart_width(chart));
  return height < 320 ? 320 : height;
}

static void draw_map(FILE *script, const char *csv, void *context) {
  const map_chart *chart = context;
  const pp_report_run *best = &chart->plot->report->runs[chart->best];
  char title[120];
  snprintf(title, sizeof title, "%s: time by split and number of micro-batches (framed: least)", best->info.method);
  fputs("set title ", script);
  pp_plot_title(script, chart->plot->report, NULL, chart_width(chart), title);
  fputs("set xlabel 'micro-batches'\nset ylabel 'split: blocks on the device'\nunset grid\nunset key\n", script);
  fprintf(script, "stats '%s' skip 1 using 3 nooutput\n",
          csv); /* before there are ranges that would leave values out */
  print_tics(script, 'x', &chart->micro_batches);
  print_tics(script, 'y', &chart->splits);
  fprintf(script, "set xrange [-0.5:%d.5]\nset yrange [-0.5:%d.5]\n", chart->micro_batches.count - 1,
          chart->splits.count - 1);
  /* Lightness falls evenly, so the map reads in grey too; logarithmic, as times differ by factors. */
  fputs(PP_PALETTE "set logscale cb\nset "
                   "cblabel 'emulated time [s]' offset 1.5,0\nset colorbox\nset rmargin at screen 0.8\n",
        script);
  pp_plot_define_round3(script);
  print_colour_tics(script, chart);
  int column = place_of(&chart->micro_batches, best->most_micro_batches),
      row = place_of(&chart->splits, best->most_split);
  fprintf(
      script,
      "set object 1 rectangle from %.2f,%.2f to %.2f,%.2f front fillstyle empty border linecolor '%s' linewidth 3\n",
      column - 0.49, row - 0.49, column + 0.49, row + 0.49, PP_COLOUR_VERMILLION);
  fprintf(
      script,
      "plot '%s' skip 1 using 1:2:($1-0.5):($1+0.5):($2-0.5):($2+0.5):3 with boxxyerror fillstyle solid 1 noborder "
      "linecolor palette, \\\n  '%s' skip 1 using 1:2:($3 < sqrt(STATS_min*STATS_max) ? round3($3) : '') with labels "
      "font ',9' textcolor 'black', \\\n  '%s' skip 1 using 1:2:($3 < sqrt(STATS_min*STATS_max) ? '' : round3($3)) "
      "with labels font ',9' textcolor 'white'\nunset object 1\n",
      csv, csv, csv);
}

pp_status pp_plot_map(pp_plot *plot) {
  map_chart chart = {.plot = plot};
  if (!find_axes(plot->report, &chart))
    return NULL;
  FILE *csv = NULL;
  PP_TRY(pp_plot_open_csv(plot, "map", &csv));
  write_csv(csv, &chart);
  PP_TRY(pp_plot_close_csv(plot, "map", csv));
  return pp_plot_write_script(plot, "map", chart_width(&chart), chart_height(&chart), draw_map, &chart);
}
