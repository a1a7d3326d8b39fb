/* What privacy costs: final accuracy against epsilon, a line a method, seeds as mean and 95 % interval; beside the axis
 * runs that clip without noise (epsilon is infinite) and those without privacy. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"
#include "base/mem.h"

enum { MOST_LINES = 8, LABEL = 96, WIDTH = 820 };
enum { CLIPPED = 1, NONE = 2 }; /* places beside the axis; 0: on it */

typedef struct point {
  int group, line, place;
  double epsilon, x;
  pp_report_mean accuracy;
} point;

typedef struct privacy_chart {
  const pp_plot *plot;
  int point_count, line_count;
  point *points; /* (point_count), by line and x */
  double least, most;
  bool mechanisms_differ;
  char labels[MOST_LINES][LABEL];
} privacy_chart;

static const char *mechanism_of(const pp_report_run *run) { return pp_report_setting_text(run, "privacy.mechanism"); }

static bool is_privacy(const char *key) { return strncmp(key, "privacy.", 8) == 0; }

static void label_of(const privacy_chart *chart, const pp_report_run *run, size_t room, char *out) {
  pp_plot_line_label(chart->plot->report, run, is_privacy, room, out);
  size_t used = strlen(out);
  if (chart->mechanisms_differ)
    snprintf(out + used, room - used, ", %s %s", mechanism_of(run), pp_report_setting_text(run, "privacy.noise"));
}

/* -1: there are too many. */
static int line_of(privacy_chart *chart, const pp_report_run *run) {
  char label[LABEL];
  label_of(chart, run, sizeof label, label);
  for (int line = 0; line < chart->line_count; line++)
    if (strcmp(chart->labels[line], label) == 0)
      return line;
  if (chart->line_count == MOST_LINES)
    return -1;
  snprintf(chart->labels[chart->line_count], LABEL, "%s", label);
  return chart->line_count++;
}

static int compare_points(const void *a, const void *b) {
  const point *left = a, *right = b;
  if (left->line != right->line)
    return (left->line > right->line) - (left->line < right->line);
  return (left->x > right->x) - (left->x < right->x);
}

static void find_points(privacy_chart *chart) {
  const pp_report *report = chart->plot->report;
  const char *mechanism = NULL, *noise = NULL;
  for (int group = 0; group < report->group_count; group++) {
    const pp_report_run *run = &report->runs[report->groups[group].runs[0]];
    if (isnan(run->epsilon))
      continue;
    const char *kind = pp_report_setting_text(run, "privacy.noise");
    chart->mechanisms_differ = chart->mechanisms_differ ||
                               (mechanism != NULL && strcmp(mechanism, mechanism_of(run)) != 0) ||
                               (noise != NULL && strcmp(noise, kind) != 0);
    mechanism = mechanism_of(run);
    noise = kind;
  }
  for (int group = 0; group < report->group_count; group++) {
    const pp_report_run *run = &report->runs[report->groups[group].runs[0]];
    point next = {group, -1, 0, run->epsilon, 0, pp_report_mean_of(report, &report->groups[group], PP_FIGURE_ACCURACY)};
    if (!pp_report_is_complete(run) || next.accuracy.count == 0)
      continue;
    next.place = isnan(next.epsilon) ? NONE : isinf(next.epsilon) || next.epsilon <= 0 ? CLIPPED : 0;
    next.line = line_of(chart, run);
    if (next.line < 0)
      continue;
    if (next.place == 0) {
      chart->least = chart->most == 0 || next.epsilon < chart->least ? next.epsilon : chart->least;
      chart->most = next.epsilon > chart->most ? next.epsilon : chart->most;
    }
    chart->points[chart->point_count++] = next;
  }
}

/* On an axis of logarithms, as far beyond its end as looks apart. */
static double beside(const privacy_chart *chart, int place) {
  return chart->most * pow(10 * chart->most / chart->least, 0.13 * place);
}

/* A block a line, two empty lines between blocks; one empty line where a line ends before what is beside the axis. */
static void write_csv(FILE *csv, const privacy_chart *chart) {
  const pp_report *report = chart->plot->report;
  fputs("# x,test_accuracy_percent,half_width_95,epsilon,method,noise_multiplier,label\n", csv);
  for (int index = 0; index < chart->point_count; index++) {
    const point *at = &chart->points[index];
    const pp_report_run *run = &report->runs[report->groups[at->group].runs[0]];
    if (index > 0)
      fputs(at->line != at[-1].line ? "\n\n" : at->place != 0 ? "\n" : "", csv);
    const double values[] = {at->x, 100 * at->accuracy.mean, 100 * at->accuracy.half_width, at->epsilon};
    for (int value = 0; value < 4; value++) {
      pp_csv_print_real(csv, values[value]);
      fputc(',', csv);
    }
    fprintf(csv, "%s,%s,", run->info.method, pp_report_setting_text(run, "privacy.noise_multiplier"));
    pp_csv_print_text(csv, chart->labels[at->line]);
    fputc('\n', csv);
  }
}

static void draw_privacy(FILE *script, const char *csv, void *context) {
  const privacy_chart *chart = context;
  bool beside_axis[NONE + 1] = {false}, intervals = false;
  for (int index = 0; index < chart->point_count; index++) {
    beside_axis[chart->points[index].place] = true;
    intervals = intervals || !isnan(chart->points[index].accuracy.half_width);
  }
  fputs("set title ", script);
  pp_plot_title(script, chart->plot->report, NULL, WIDTH - 110 /* the key's */,
                intervals ? "Test accuracy after the last round against epsilon (bars: 95 % intervals)"
                          : "Test accuracy after the last round against epsilon");
  fputs("set logscale x\nset xtics (", script);
  int first = (int)floor(log10(chart->least)), last = (int)ceil(log10(chart->most) - 1e-9),
      step = 1 + (last - first) / 9;
  const char *between = "";
  for (int exponent = first; exponent <= last; exponent += step)
    if (pow(10, exponent) <= chart->most * 1.5) {
      fprintf(script, "%s'1e%d' 1e%d", between, exponent, exponent);
      between = ", ";
    }
  static const char *const names[] = {"", "clipped\\nonly", "no\\nprivacy"};
  for (int place = CLIPPED; place <= NONE; place++)
    if (beside_axis[place])
      fprintf(script, ", \"%s\" %.6g", names[place], beside(chart, place));
  fprintf(script,
          ")\nset xlabel 'epsilon (smaller is more private)'\nset ylabel 'accuracy [%%]'\nset xrange [%.6g:%.6g]\nset "
          "yrange [0:100]\n",
          fmin(chart->least, pow(10, first)) / 1.5, beside(chart, NONE + 1));
  pp_plot_grid(script, "xtics ytics");
  pp_plot_key_beside(script);
  fputs("plot ", script);
  /* Intervals of one place side by side. */
  double apart = pow(10 * chart->most / chart->least, 0.006);
  for (int line = 0; line < chart->line_count; line++) {
    double factor = pow(apart, 2.0 * line - chart->line_count + 1);
    fprintf(
        script,
        "%s'%s' index %d using ($1*%.6g):2:(valid(3)&&$3<$2?$2-$3:valid(3)?0:$2):(valid(3)?($2+$3<100?$2+$3:100):$2) "
        "with yerrorbars linecolor '" PP_COLOUR_EDGE "' linewidth 0.8 "
        "pointtype 0 notitle, \\\n  '' index %d using ($1*%.6g):2 with linespoints ",
        line == 0 ? "" : ", \\\n  ", csv, line, factor, line, factor);
    pp_plot_line_style(script, line);
    fputs(" title ", script);
    pp_plot_quote(script, chart->labels[line]);
  }
  fputc('\n', script);
}

pp_status pp_plot_privacy(pp_plot *plot) {
  privacy_chart chart = {.plot = plot};
  PP_TRY(pp_alloc((size_t)plot->report->group_count, sizeof *chart.points, "points", &chart.points));
  find_points(&chart);
  FILE *csv = NULL;
  pp_status status = NULL;
  if (chart.least == chart.most) /* one epsilon, or none, is no axis */
    goto done;
  for (int index = 0; index < chart.point_count; index++) {
    point *at = &chart.points[index];
    at->x = at->place == 0 ? at->epsilon : beside(&chart, at->place);
  }
  qsort(chart.points, (size_t)chart.point_count, sizeof *chart.points, compare_points);
  PP_TRY_GOTO(status, pp_plot_open_csv(plot, "privacy", &csv), done);
  write_csv(csv, &chart);
  PP_TRY_GOTO(status, pp_plot_close_csv(plot, "privacy", csv), done);
  status = pp_plot_write_script(plot, "privacy", WIDTH, 440, draw_privacy, &chart);
done:
  free(chart.points);
  return status;
}
