/* Accuracy and loss against emulated time: a line a group of runs, with a band where there are seeds. */
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

/* What is drawn: a column of the rounds. */
typedef struct quantity {
  const char *name, *title, *unit, *column;
  double scale;
} quantity;
static const quantity accuracy = {"accuracy", "Test accuracy of the averaged network", "accuracy [%]",
                                  "test_accuracy_percent", 100};
static const quantity loss = {"loss", "Training loss (mean of the round)", "cross entropy [nat]", "train_loss", 1};

static double value_of(const quantity *of, const pp_round_row *row) {
  return of == &accuracy ? row->test_accuracy : row->train_loss;
}

typedef struct line_chart {
  const pp_plot *plot;
  const quantity *quantity;
  bool points; /* no run has more than one: an axis of time would show points alone */
  bool cut;    /* there are more runs than lines */
  bool spread; /* the longest run takes several times as long as the shortest: an axis of logarithms */
  int line_count;
  line lines[MOST_LINES];
} line_chart;

/* Mean and 95 % interval over the group's runs after a round; runs that have no such round do not count. */
typedef struct point {
  double end_s, value, half_width;
  int count;
} point;

static pp_status read_point(const pp_report *report, const quantity *of, const pp_report_group *group, int64_t round,
                            point *out) {
  double sum = 0, squares = 0, end_s = 0;
  int count = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int member = 0; member < group->count; member++) {
      const pp_report_run *run = &report->runs[group->runs[member]];
      pp_round_row row;
      if (round >= run->info.round_count)
        continue;
      PP_TRY(pp_results_read_rounds(report->files[run->file], run->info.run, round, 1, &row));
      if (isnan(value_of(of, &row)))
        continue;
      if (pass == 0) {
        sum += value_of(of, &row);
        end_s += row.end_s;
        count++;
      } else {
        squares += (value_of(of, &row) - sum / count) * (value_of(of, &row) - sum / count);
      }
    }
  *out = (point){NAN, NAN, NAN, count};
  if (count > 0) {
    out->end_s = end_s / count;
    out->value = sum / count;
  }
  if (count > 1)
    out->half_width = pp_student_t(count - 1) * sqrt(squares / (count - 1) / count);
  return NULL;
}

/* Values of settings: names speak for themselves, a number needs to be said what it is of. */
static void label_line(const pp_report *report, const pp_report_run *run, line *out) {
  size_t used = (size_t)snprintf(out->label, sizeof out->label, "%s", run->info.method);
  for (int key = 0; key < report->varying_count && used < sizeof out->label; key++) {
    const char *text = pp_report_setting_text(run, report->varying[key]);
    char name[48], *end = NULL;
    if (text[0] == '\0')
      continue;
    (void)strtod(text, &end);
    pp_report_label(report->varying[key], sizeof name, name);
    used += (size_t)snprintf(out->label + used, sizeof out->label - used, *end == '\0' ? ", %s %.40s" : ",%.0s %.40s",
                             name, text);
  }
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
      PP_TRY(read_point(report, chart->quantity, of, round, &at));
      if (at.count == 0)
        continue;
      if (next->points == 0 && chart->line_count > 0)
        fputs("\n\n", csv);
      next->points++;
      next->band = next->band || at.count > 1;
      pp_csv_print_real(csv, at.end_s);
      fputc(',', csv);
      pp_csv_print_real(csv, chart->quantity->scale * at.value);
      fputc(',', csv);
      pp_csv_print_real(csv, chart->quantity->scale * at.half_width);
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

/* With a single round there is nothing to follow over time: bars of the final value instead of lone points. */
static void draw_bars(FILE *script, const char *csv, const line_chart *chart) {
  fprintf(script, "set xrange [-0.7:%d.7]\nset xtics scale 0 rotate by 20 right (", chart->line_count - 1);
  for (int index = 0; index < chart->line_count; index++) {
    fputs(index == 0 ? "" : ", ", script);
    pp_plot_quote(script, chart->lines[index].label);
    fprintf(script, " %d", index);
  }
  fprintf(
      script,
      ")\nset ylabel '%s'\nset yrange [0:%s]\nset offsets 0, 0, graph 0.1, 0\nunset key\nset lmargin 9\nset bmargin "
      "4\nplot ",
      chart->quantity->unit, chart->quantity == &accuracy ? "100" : "*");
  for (int index = 0; index < chart->line_count; index++) {
    fprintf(script,
            "%s'%s' index %d using (%d):2:(%d-0.3):(%d+0.3):(0):2 with boxxyerror fillstyle solid 1 border linecolor "
            "'#333333' fillcolor '%s' linewidth 0.7, \\\n  ",
            "", csv, index, index, index, index, PP_COLOUR_SKY);
    if (chart->lines[index].band)
      fprintf(script, "'%s' index %d using (%d):2:3 with yerrorbars linecolor 'black' pointsize 0, \\\n  ", csv, index,
              index);
    fprintf(script, "%s'%s' index %d using (%d):($2+%s):(sprintf('%%.4g',$2)) with labels offset 0,0.7 font ',10'", "",
            csv, index, index, chart->lines[index].band ? "(valid(3)?$3:0)" : "0");
    fputs(index + 1 < chart->line_count ? ", \\\n  " : "\n", script);
  }
}

static void draw_lines(FILE *script, const char *csv, void *context) {
  const line_chart *chart = context;
  char title[96];
  snprintf(title, sizeof title, "%s%s", chart->quantity->title, chart->cut ? " (first runs)" : "");
  fputs("set title ", script);
  pp_plot_title(script, chart->plot, title);
  fputs(" font ',13'\n", script);
  if (chart->points) {
    draw_bars(script, csv, chart);
    return;
  }
  static const char *const colours[] = {PP_COLOUR_BLUE,   PP_COLOUR_VERMILLION, PP_COLOUR_GREEN, PP_COLOUR_PURPLE,
                                        PP_COLOUR_ORANGE, PP_COLOUR_SKY,        PP_COLOUR_BLACK};
  enum { colour_count = sizeof colours / sizeof colours[0] };
  fprintf(script,
          "set xlabel 'emulated time [s]'\nset ylabel '%s'\n%s\nset yrange "
          "[0<*:*%s]\nset grid xtics ytics linecolor '#DDDDDD' linetype 1\n"
          "set key outside right center vertical Left reverse samplen 3.4 spacing 1.25\nplot ",
          chart->quantity->unit,
          chart->spread ? "set logscale x" : "set offsets graph 0.04, graph 0.04, 0, 0\nset xrange [0:*]",
          chart->quantity == &accuracy ? "<100" : "");
  for (int index = 0; index < chart->line_count; index++) {
    const line *of = &chart->lines[index];
    if (of->band)
      fprintf(script,
              "'%s' index %d using 1:(valid(3)?$2-$3:$2):(valid(3)?$2+$3:$2) with filledcurves linecolor '%s' "
              "fillstyle transparent solid 0.18 noborder notitle, \\\n  ",
              csv, index, colours[index % colour_count]);
  }
  for (int index = 0; index < chart->line_count; index++) {
    fprintf(script, "%s'%s' index %d using 1:2 with linespoints ", index == 0 ? "" : ", \\\n  ", csv, index);
    pp_plot_line_style(script, index);
    fputs(" title ", script);
    pp_plot_quote(script, chart->lines[index].label);
  }
  fputc('\n', script);
}

/* The key stands beside the frame. */
static int chart_width(const line_chart *chart) {
  enum { frame_and_tics = 640, letter = 8 };
  size_t longest = 0;
  for (int index = 0; index < chart->line_count; index++)
    longest = strlen(chart->lines[index].label) > longest ? strlen(chart->lines[index].label) : longest;
  return frame_and_tics + letter * (int)longest;
}

/* On an axis from 0 the short runs would be crowded into a corner. */
static bool is_spread(const line_chart *chart) {
  const pp_report *report = chart->plot->report;
  double least = INFINITY, most = 0;
  for (int index = 0; index < chart->line_count; index++) {
    double last = report->runs[report->groups[chart->lines[index].group].runs[0]].last_round_s;
    least = fmin(least, last);
    most = fmax(most, last);
  }
  return most > 5 * least;
}

static pp_status plot_lines(pp_plot *plot, const quantity *of) {
  bool any = false;
  for (int run = 0; run < plot->report->run_count && !any; run++) {
    const pp_report_run *from = &plot->report->runs[run];
    for (int64_t round = 0; round < from->info.round_count && !any; round++) {
      pp_round_row row;
      PP_TRY(pp_results_read_rounds(plot->report->files[from->file], from->info.run, round, 1, &row));
      any = !isnan(value_of(of, &row));
    }
  }
  if (!any)
    return NULL;
  line_chart *chart = NULL;
  FILE *csv = NULL;
  PP_TRY(pp_alloc(1, sizeof *chart, "lines", &chart));
  chart->plot = plot;
  chart->quantity = of;
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_plot_open_csv(plot, of->name, &csv), done);
  fprintf(csv, "# end_s,%s,half_width_95,round,method,label\n", of->column);
  status = write_lines(plot->report, csv, chart);
  status = pp_status_first(status, pp_plot_close_csv(plot, of->name, csv));
  chart->spread = is_spread(chart);
  chart->points = true;
  for (int index = 0; index < chart->line_count; index++)
    chart->points = chart->points && chart->lines[index].points == 1;
  if (status == NULL)
    status = pp_plot_write_script(plot, of->name, chart_width(chart), 440, draw_lines, chart);
done:
  free(chart);
  return status;
}

pp_status pp_plot_accuracy(pp_plot *plot) { return plot_lines(plot, &accuracy); }
pp_status pp_plot_loss(pp_plot *plot) { return plot_lines(plot, &loss); }
