/* Accuracy against emulated time: a line a group of runs, with a band where there are seeds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"
#include "base/mem.h"

enum { MOST_LINES = 14 };

typedef struct line {
  int group;
  int64_t points;
  bool band;
  char label[160];
} line;

typedef struct line_chart {
  const pp_plot *plot;
  bool cut; /* there are more runs than lines */
  int line_count;
  line lines[MOST_LINES];
} line_chart;

/* Mean and 95 % interval over the group's runs after a round; runs that have no such round do not count. */
typedef struct point {
  double end_s, accuracy, half_width;
  int count;
} point;

static pp_status read_point(const pp_report *report, const pp_report_group *group, int64_t round, point *out) {
  double sum = 0, squares = 0, end_s = 0;
  int count = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int member = 0; member < group->count; member++) {
      const pp_report_run *run = &report->runs[group->runs[member]];
      pp_round_row row;
      if (round >= run->info.round_count)
        continue;
      PP_TRY(pp_results_read_rounds(report->files[run->file], run->info.run, round, 1, &row));
      if (isnan(row.test_accuracy))
        continue;
      if (pass == 0) {
        sum += row.test_accuracy;
        end_s += row.end_s;
        count++;
      } else {
        squares += (row.test_accuracy - sum / count) * (row.test_accuracy - sum / count);
      }
    }
  *out = (point){NAN, NAN, NAN, count};
  if (count > 0) {
    out->end_s = end_s / count;
    out->accuracy = sum / count;
  }
  if (count > 1)
    out->half_width = pp_student_t(count - 1) * sqrt(squares / (count - 1) / count);
  return NULL;
}

static void label_line(const pp_report *report, const pp_report_run *run, line *out) {
  size_t used = (size_t)snprintf(out->label, sizeof out->label, "%s", run->info.method);
  for (int key = 0; key < report->varying_count && used < sizeof out->label; key++)
    used += (size_t)snprintf(out->label + used, sizeof out->label - used, ", %.40s",
                             pp_report_setting_text(run, report->varying[key]));
}

/* A block of rows a line, two empty lines between blocks: gnuplot's `index`. */
static pp_status write_lines(const pp_report *report, FILE *csv, line_chart *chart) {
  for (int group = 0; group < report->group_count && chart->line_count < MOST_LINES; group++) {
    const pp_report_group *of = &report->groups[group];
    const pp_report_run *run = &report->runs[of->runs[0]];
    line *next = &chart->lines[chart->line_count];
    *next = (line){.group = group};
    label_line(report, run, next);
    for (int64_t round = 0; round < run->info.round_count; round++) {
      point at;
      PP_TRY(read_point(report, of, round, &at));
      if (at.count == 0)
        continue;
      if (next->points == 0 && chart->line_count > 0)
        fputs("\n\n", csv);
      next->points++;
      next->band = next->band || at.count > 1;
      pp_csv_print_real(csv, at.end_s);
      fputc(',', csv);
      pp_csv_print_real(csv, 100 * at.accuracy);
      fputc(',', csv);
      pp_csv_print_real(csv, 100 * at.half_width);
      fprintf(csv, ",%lld,%s,", (long long)round, run->info.method);
      pp_csv_print_text(csv, next->label);
      fputc('\n', csv);
    }
    if (next->points > 0)
      chart->line_count++;
    chart->cut = chart->line_count == MOST_LINES && group + 1 < report->group_count;
  }
  return NULL;
}

static void draw_lines(FILE *script, const char *csv, void *context) {
  static const char *const colours[] = {PP_COLOUR_BLUE,   PP_COLOUR_VERMILLION, PP_COLOUR_GREEN, PP_COLOUR_PURPLE,
                                        PP_COLOUR_ORANGE, PP_COLOUR_SKY,        PP_COLOUR_BLACK};
  enum { colour_count = sizeof colours / sizeof colours[0] };
  static const int points[] = {7, 5, 9, 4, 6, 8, 12};
  const line_chart *chart = context;
  fputs("set title ", script);
  pp_plot_title(script, chart->plot,
                chart->cut ? "Test accuracy of the averaged network (first runs)"
                           : "Test accuracy of the averaged network");
  fputs(" font ',13'\nset xlabel 'emulated time [s]'\nset ylabel 'accuracy [%]'\nset offsets graph 0.04, graph 0.04, "
        "0, 0\nset yrange [0<*:*<100]\nset grid xtics ytics linecolor '#DDDDDD' linetype 1\n"
        "set key outside right center vertical Left reverse samplen 2.4 spacing 1.25\nplot ",
        script);
  for (int index = 0; index < chart->line_count; index++) {
    const line *of = &chart->lines[index];
    if (of->band)
      fprintf(script,
              "'%s' index %d using 1:(valid(3)?$2-$3:$2):(valid(3)?$2+$3:$2) with filledcurves linecolor '%s' "
              "fillstyle transparent solid 0.18 noborder notitle, \\\n  ",
              csv, index, colours[index % colour_count]);
  }
  for (int index = 0; index < chart->line_count; index++) {
    fprintf(
        script,
        "%s'%s' index %d using 1:2 with linespoints linecolor '%s' linewidth 1.8 dashtype %d pointtype %d pointsize "
        "0.8 title ",
        index == 0 ? "" : ", \\\n  ", csv, index, colours[index % colour_count], index % 4 + 1,
        points[index % colour_count]);
    pp_plot_quote(script, chart->lines[index].label);
  }
  fputc('\n', script);
}

pp_status pp_plot_accuracy(pp_plot *plot) {
  bool any = false;
  for (int run = 0; run < plot->report->run_count && !any; run++) {
    const pp_report_run *of = &plot->report->runs[run];
    for (int64_t round = 0; round < of->info.round_count && !any; round++) {
      pp_round_row row;
      PP_TRY(pp_results_read_rounds(plot->report->files[of->file], of->info.run, round, 1, &row));
      any = !isnan(row.test_accuracy);
    }
  }
  if (!any)
    return NULL;
  line_chart *chart = NULL;
  FILE *csv = NULL;
  PP_TRY(pp_alloc(1, sizeof *chart, "lines", &chart));
  chart->plot = plot;
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_plot_open_csv(plot, "accuracy", &csv), done);
  fputs("# end_s,test_accuracy_percent,half_width_95_percent,round,method,label\n", csv);
  status = write_lines(plot->report, csv, chart);
  status = pp_status_first(status, pp_plot_close_csv(plot, "accuracy", csv));
  if (status == NULL)
    status = pp_plot_write_script(plot, "accuracy", 800, 440, draw_lines, chart);
done:
  free(chart);
  return status;
}
