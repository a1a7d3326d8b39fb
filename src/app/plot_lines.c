/* Accuracy and loss against emulated time: a line a group of runs, with a band where there are seeds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"
#include "base/mem.h"

enum { MOST_LINES = 14, MOST_TOGETHER = 7, MOST_PANELS = 4, HEIGHT = 440, PANEL_HEIGHT = 330, COLUMNS = 2 };

typedef struct line {
  int group;
  int64_t points;
  bool band;
  double first_s;
  int panel, style; /* lines of a style differ in the method alone: each method has a panel */
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
  int panel_count, style_count;
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

/* A block of rows a line, two empty lines between blocks: gnuplot's `index`. */
static pp_status write_lines(const pp_report *report, FILE *csv, line_chart *chart) {
  for (int group = 0; group < report->group_count && chart->line_count < MOST_LINES; group++) {
    const pp_report_group *of = &report->groups[group];
    const pp_report_run *run = &report->runs[of->runs[0]];
    line *next = &chart->lines[chart->line_count];
    *next = (line){.group = group};
    pp_plot_line_label(report, run, NULL, sizeof next->label, next->label);
    for (int64_t round = 0; round < run->info.round_count; round++) {
      point at;
      PP_TRY(read_point(report, chart->quantity, of, round, &at));
      if (at.count == 0)
        continue;
      if (next->points == 0 && chart->line_count > 0)
        fputs("\n\n", csv);
      next->first_s = next->points == 0 ? at.end_s : next->first_s;
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

/* The method and the values that tell its bar from others, a piece each; returns the longest piece's length. What the
 * values are of is the axis' label. */
static size_t print_bar_label(FILE *script, const line_chart *chart, const line *of, const char *between) {
  const pp_report *report = chart->plot->report;
  const pp_report_run *run = &report->runs[report->groups[of->group].runs[0]];
  size_t longest = strlen(run->info.method);
  if (script != NULL)
    pp_plot_quote(script, run->info.method);
  for (int key = 0; key < report->varying_count; key++) {
    char value[96];
    pp_plot_setting_value(run, report->varying[key], sizeof value, value);
    if (value[0] == '\0')
      continue;
    longest = strlen(value) > longest ? strlen(value) : longest;
    if (script != NULL) {
      fprintf(script, ".\"%s\".", between);
      pp_plot_quote(script, value);
    }
  }
  return longest;
}

/* What stands under the bars: upright where it fits, a piece a line, else turned. */
typedef struct bar_labels {
  bool turned;
  double lines;
  char axis[200];
} bar_labels;

static bar_labels labels_of(const line_chart *chart) {
  enum { fits = 9 /* letters under a bar */ };
  const pp_report *report = chart->plot->report;
  size_t longest = 0, pieces = 1 + (size_t)report->varying_count;
  for (int index = 0; index < chart->line_count; index++) {
    size_t length = print_bar_label(NULL, chart, &chart->lines[index], "");
    longest = length > longest ? length : longest;
  }
  bar_labels out = {.turned = longest > fits};
  pp_plot_axis_title(report, NULL, NULL, sizeof out.axis, out.axis);
  /* Turned, in lines of its own, the longest piece is as high as it is long. */
  out.lines = out.turned ? 1 + 0.42 * (double)longest : (double)pieces;
  return out;
}

/* With a single round there is nothing to follow over time: bars of the final value instead of lone points. */
static void draw_bars(FILE *script, const char *csv, const line_chart *chart) {
  bar_labels labels = labels_of(chart);
  fprintf(script, "set xrange [-0.7:%d.7]\nset xtics scale 0 %s font ',%d' (", chart->line_count - 1,
          labels.turned ? "rotate by 90 right" : "norotate", PP_FONT_AXIS);
  for (int index = 0; index < chart->line_count; index++) {
    fputs(index == 0 ? "" : ", ", script);
    print_bar_label(script, chart, &chart->lines[index], "\\n");
    fprintf(script, " %d", index);
  }
  fprintf(
      script,
      ")\nset ylabel '%s'\nset yrange [0:%s]\nset offsets 0, 0, graph 0.1, 0\nunset key\nset lmargin 9\nset bmargin "
      "%.3g\n",
      chart->quantity->unit, chart->quantity == &accuracy ? "100" : "*",
      labels.lines + (labels.axis[0] != '\0' ? 2.2 : 1));
  pp_plot_axis_label(script, labels.axis, labels.lines + 1.2);
  fputs("plot ", script);
  for (int index = 0; index < chart->line_count; index++) {
    fprintf(script, "'%s' index %d using (%d):2:(%d-0.3):(%d+0.3):(0):2 with ", csv, index, index, index, index);
    pp_plot_box_style(script, "solid 1", PP_COLOUR_SKY);
    fputs(", \\\n  ", script);
    if (chart->lines[index].band)
      fprintf(script, "'%s' index %d using (%d):2:3 with yerrorbars linecolor 'black' pointsize 0, \\\n  ", csv, index,
              index);
    fprintf(script, "%s'%s' index %d using (%d):($2+%s):(sprintf('%%.4g',$2)) with labels offset 0,0.7 font ',10'", "",
            csv, index, index, chart->lines[index].band ? "(valid(3)?$3:0)" : "0");
    fputs(index + 1 < chart->line_count ? ", \\\n  " : "\n", script);
  }
}

/* Many lines are spread over panels, one a method. */
static void find_panels(line_chart *chart) {
  const pp_report *report = chart->plot->report;
  const char *methods[MOST_LINES], *rests[MOST_LINES];
  for (int index = 0; index < chart->line_count; index++) {
    line *of = &chart->lines[index];
    const char *method = report->runs[report->groups[of->group].runs[0]].info.method,
               *rest = of->label + strlen(method);
    of->panel = chart->panel_count;
    for (int panel = chart->panel_count - 1; panel >= 0; panel--)
      of->panel = strcmp(methods[panel], method) == 0 ? panel : of->panel;
    if (of->panel == chart->panel_count)
      methods[chart->panel_count++] = method;
    of->style = chart->style_count;
    for (int style = chart->style_count - 1; style >= 0; style--)
      of->style = strcmp(rests[style], rest) == 0 ? style : of->style;
    if (of->style == chart->style_count)
      rests[chart->style_count++] = rest;
  }
  if (chart->line_count > MOST_TOGETHER && chart->panel_count > 1 && chart->panel_count <= MOST_PANELS)
    return;
  chart->panel_count = 1;
  chart->style_count = chart->line_count;
  for (int index = 0; index < chart->line_count; index++) {
    chart->lines[index].panel = 0;
    chart->lines[index].style = index;
  }
}

/* The axis of time, from 0 or, where runs differ much in length, logarithmic as far as there are points. */
static void set_time_axis(FILE *script, const line_chart *chart) {
  double first_s = INFINITY, last_s = 0;
  for (int index = 0; index < chart->line_count; index++) {
    first_s = fmin(first_s, chart->lines[index].first_s);
    last_s = fmax(
        last_s, chart->plot->report->runs[chart->plot->report->groups[chart->lines[index].group].runs[0]].last_round_s);
  }
  if (chart->spread && first_s > 0) {
    fprintf(script, "set logscale x\nset xrange [%.6g:%.6g]\n", first_s / 1.15, last_s * 1.15);
    pp_plot_log_tics(script, "x", first_s / 1.15, last_s * 1.15);
  } else
    fprintf(script, "set xrange [0:%.6g]\nset xtics %.6g\n", last_s > 0 ? 1.04 * last_s : 1, pp_plot_tic_step(last_s));
}

/* Bands end where the quantity does: an interval from few seeds can be wider than what is possible. */
static void plot_panel(FILE *script, const char *csv, const line_chart *chart, int panel) {
  const char *between = "plot ", *most = chart->quantity == &accuracy ? "100" : "1e300";
  for (int index = 0; index < chart->line_count; index++) {
    const line *of = &chart->lines[index];
    if (!of->band || of->panel != panel)
      continue;
    fprintf(script,
            "%s'%s' index %d using 1:(valid(3)?($3<$2?$2-$3:0):$2):(valid(3)?($2+$3>%s?%s:$2+$3):$2) with filledcurves "
            "linecolor '%s' fillstyle transparent solid 0.18 noborder notitle",
            between, csv, index, most, most, pp_plot_line_colour(of->style));
    between = ", \\\n  ";
  }
  for (int index = 0; index < chart->line_count; index++) {
    const line *of = &chart->lines[index];
    if (of->panel != panel)
      continue;
    fprintf(script, "%s'%s' index %d using 1:2 with linespoints ", between, csv, index);
    pp_plot_line_style(script, of->style);
    fputs(" title ", script);
    pp_plot_quote(script, of->label);
    between = ", \\\n  ";
  }
  fputc('\n', script);
}

static const char *method_of(const line_chart *chart, const line *of) {
  const pp_report *report = chart->plot->report;
  return report->runs[report->groups[of->group].runs[0]].info.method;
}

/* The key stands beside the frame, or under the panels. */
static int chart_width(const line_chart *chart) {
  enum { frame_and_tics = 640, letter = 8, panel = 470, margins = 120, bar = 62 };
  if (chart->points)
    return margins + bar * chart->line_count < frame_and_tics ? frame_and_tics : margins + bar * chart->line_count;
  size_t longest = 0;
  for (int index = 0; index < chart->line_count; index++)
    longest = strlen(chart->lines[index].label) > longest ? strlen(chart->lines[index].label) : longest;
  return chart->panel_count > 1 ? COLUMNS * panel : frame_and_tics + letter * (int)longest;
}

/* A title is centred over the frame, not over the key beside it. */
static int title_width(const line_chart *chart) {
  enum { frame_and_tics = 660 };
  return chart->panel_count > 1 || chart->points ? chart_width(chart) : frame_and_tics;
}

static int title_pixels(const line_chart *chart) {
  return pp_plot_title_pixels(chart->plot->report, NULL, title_width(chart));
}

static int rows_of(const line_chart *chart) { return (chart->panel_count + COLUMNS - 1) / COLUMNS; }

static int key_pixels(const line_chart *chart) {
  size_t longest = 0;
  for (int index = 0; index < chart->line_count; index++) {
    size_t length = strlen(chart->lines[index].label) - strlen(method_of(chart, &chart->lines[index]));
    longest = length > longest ? length : longest;
  }
  return pp_plot_key_row_pixels(chart->style_count, longest, chart_width(chart));
}

static int chart_height(const line_chart *chart) {
  enum { label_pixels = 16 };
  if (chart->points)
    return HEIGHT + (int)(label_pixels * labels_of(chart).lines);
  return chart->panel_count > 1 ? title_pixels(chart) + PANEL_HEIGHT * rows_of(chart) + key_pixels(chart) : HEIGHT;
}

/* Panels have the same axes. */
static void draw_panels(FILE *script, const char *csv, const line_chart *chart) {
  double height = chart_height(chart);
  fprintf(script,
          "set lmargin 9\nset rmargin 2\nset tmargin 2\nset tics font ',%d'\nunset key\nset ylabel font ',%d'\nset "
          "xlabel font ',%d'\n",
          PP_FONT_AXIS, PP_FONT_AXIS, PP_FONT_AXIS);
  for (int panel = 0; panel < chart->panel_count; panel++) {
    const line *first = chart->lines;
    while (first->panel != panel)
      first++;
    fprintf(script, "set origin %.5f,%.5f\nset size %.5f,%.5f\nset title '%s' font ',%d' offset 0,-0.6\n",
            (double)(panel % COLUMNS) / COLUMNS,
            (height - title_pixels(chart) - (panel / COLUMNS + 1) * PANEL_HEIGHT) / height, 1.0 / COLUMNS,
            PANEL_HEIGHT / height, method_of(chart, first), PP_FONT_PANEL);
    plot_panel(script, csv, chart, panel);
  }
  pp_plot_key_row(script, key_pixels(chart) / height);
  for (int style = 0; style < chart->style_count; style++) {
    const line *first = chart->lines;
    while (first->style != style)
      first++;
    const char *rest = first->label + strlen(method_of(chart, first));
    fputs(", \\\n  keyentry with linespoints ", script);
    pp_plot_line_style(script, style);
    fputs(" title ", script);
    pp_plot_quote(script, rest + strspn(rest, ", "));
  }
  fputs("\nunset multiplot\n", script);
}

static void draw_lines(FILE *script, const char *csv, void *context) {
  const line_chart *chart = context;
  char title[96];
  bool bands = false;
  for (int index = 0; index < chart->line_count; index++)
    bands = bands || chart->lines[index].band;
  snprintf(title, sizeof title, "%s%s%s", chart->quantity->title, chart->cut ? " (first runs)" : "",
           !bands          ? ""
           : chart->points ? " (lines: 95 % intervals)"
                           : " (bands: 95 % intervals)");
  fputs(chart->panel_count > 1 ? "set multiplot title " : "set title ", script);
  pp_plot_title(script, chart->plot->report, NULL, title_width(chart), title);
  if (chart->points) {
    draw_bars(script, csv, chart);
    return;
  }
  bool percent = chart->quantity == &accuracy, many = chart->panel_count > 1;
  fprintf(script, "set xlabel 'emulated time [s]'\nset ylabel '%s'\nset yrange [%s:%s]\n", chart->quantity->unit,
          many ? "0" : "0<*", percent ? (many ? "100" : "*<100") : "*");
  set_time_axis(script, chart);
  pp_plot_grid(script, "xtics ytics");
  if (chart->panel_count > 1) {
    draw_panels(script, csv, chart);
    return;
  }
  pp_plot_key_beside(script);
  plot_panel(script, csv, chart, 0);
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
  find_panels(chart);
  if (chart->points)
    chart->panel_count = 1;
  if (status == NULL)
    status = pp_plot_write_script(plot, of->name, chart_width(chart), chart_height(chart), draw_lines, chart);
done:
  free(chart);
  return status;
}

pp_status pp_plot_accuracy(pp_plot *plot) { return plot_lines(plot, &accuracy); }
pp_status pp_plot_loss(pp_plot *plot) { return plot_lines(plot, &loss); }
