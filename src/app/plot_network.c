/* Links that change: their rate over time, and under it how long the rounds of each run take. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"
#include "base/mem.h"

enum { MOST_LINES = 8, WIDTH = 860, HEIGHT = 600 };
enum { BLOCK_ROWS = 1024 };

typedef struct network_chart {
  const pp_plot *plot;
  int group;    /* the first whose uplink changes */
  double end_s; /* of the longest run */
  int line_count;
  bool new_plans; /* any run changed its plan */
  char labels[MOST_LINES][128];
} network_chart;

/* The steps of a trace as settings have it, [[0, 50], [40, 5]], and the end of the figure. False where it is none. */
static bool write_trace(FILE *csv, const char *text, int group, double end_s) {
  double at_s = 0, rate = 0;
  int steps = 0;
  for (const char *from = text; *from != '\0'; from++) {
    char *end = NULL;
    if (strchr("[], ", *from) != NULL)
      continue;
    at_s = strtod(from, &end);
    if (end == from || *end != ',')
      return false;
    from = end + 1;
    rate = strtod(from, &end);
    if (end == from)
      return false;
    from = end;
    steps++;
    if (csv != NULL && at_s < end_s)
      fprintf(csv, "%.9g,%.9g,uplink of group %d\n", at_s, rate, group);
    if (*from == '\0')
      break;
  }
  if (csv != NULL)
    fprintf(csv, "%.9g,%.9g,uplink of group %d\n", end_s, rate, group);
  return steps > 1;
}

/* What the groups' plans were, in rising rounds: whether those of a round differ from those of the round before. */
static pp_status find_changes(const pp_report *report, const pp_report_run *run, bool *changes) {
  const pp_results *results = report->files[run->file];
  pp_round_plan_row *rows = NULL, before = {0};
  PP_TRY(pp_alloc(BLOCK_ROWS, sizeof *rows, "plans", &rows));
  pp_status status = NULL;
  /* Group after group, so that a row need only be compared to the one before it of its group. */
  for (int group = 0; group < run->device_group_count && status == NULL; group++)
    for (int64_t first = 0; first < run->info.round_plan_count && status == NULL; first += BLOCK_ROWS) {
      int64_t left = run->info.round_plan_count - first, count = left < BLOCK_ROWS ? left : BLOCK_ROWS;
      status = pp_results_read_round_plans(results, run->info.run, first, count, rows);
      for (int64_t row = 0; row < count && status == NULL; row++) {
        const pp_round_plan_row *of = &rows[row];
        if (of->group != group || of->round < 0 || of->round >= run->info.round_count)
          continue;
        changes[of->round] =
            changes[of->round] ||
            (of->round > 0 && (of->split != before.split || of->micro_batches != before.micro_batches));
        before = *of;
      }
    }
  free(rows);
  return status;
}

/* Middle and length of a round, and its length once more where it begins a new plan. */
static pp_status write_run(FILE *csv, network_chart *chart, const pp_report_run *run, const char *label) {
  const pp_report *report = chart->plot->report;
  bool *changes = NULL;
  PP_TRY(pp_alloc((size_t)run->info.round_count, sizeof *changes, "rounds", &changes));
  pp_status status = find_changes(report, run, changes);
  double before_s = 0;
  for (int64_t round = 0; round < run->info.round_count && status == NULL; round++) {
    pp_round_row row;
    status = pp_results_read_rounds(report->files[run->file], run->info.run, round, 1, &row);
    if (status != NULL)
      break;
    pp_csv_print_real(csv, (before_s + row.end_s) / 2);
    fputc(',', csv);
    pp_csv_print_real(csv, row.end_s - before_s);
    fputc(',', csv);
    pp_csv_print_text(csv, label);
    fputc(',', csv);
    if (changes[round])
      pp_csv_print_real(csv, row.end_s - before_s);
    fputc('\n', csv);
    chart->new_plans = chart->new_plans || changes[round];
    before_s = row.end_s;
  }
  free(changes);
  return status;
}

static pp_status write_rounds(FILE *csv, network_chart *chart) {
  const pp_report *report = chart->plot->report;
  for (int index = 0; index < report->run_count && chart->line_count < MOST_LINES; index++) {
    const pp_report_run *run = &report->runs[index];
    char *label = chart->labels[chart->line_count];
    if (!pp_report_is_complete(run) || run->info.round_count < 2)
      continue;
    pp_plot_line_label(report, run, NULL, sizeof chart->labels[0], label);
    fputs("\n\n", csv);
    PP_TRY(write_run(csv, chart, run, label));
    chart->line_count++;
  }
  return NULL;
}

/* How often rounds are planned is in the keys; where they began with a new plan is ringed. */
static void draw_network(FILE *script, const char *csv, void *context) {
  const network_chart *chart = context;
  double key_share = 0.08,
         height = 1 - key_share - (double)pp_plot_title_pixels(chart->plot->report, NULL, WIDTH) / HEIGHT;
  char whose[32] = "";
  if (pp_report_group_count(&chart->plot->report->runs[0]) > 1)
    snprintf(whose, sizeof whose, " of group %d", chart->group);
  fputs("set multiplot title ", script);
  pp_plot_title(script, chart->plot->report, NULL, WIDTH, "Rounds while links change");
  fprintf(
      script,
      "set lmargin 10\nset rmargin 3\nset tmargin 1.5\nset xrange [0:%.9g]\nset origin 0,%.5f\nset size 1,%.5f\nset "
      "tics font "
      "',%d'\nset ylabel 'uplink%s [Mbit/s]' font ',%d'\nset yrange [0:*]\nset offsets 0, 0, graph 0.1, 0\nunset key\n",
      chart->end_s, key_share + 0.6 * height, 0.4 * height, PP_FONT_AXIS, whose, PP_FONT_AXIS);
  pp_plot_grid(script, "xtics ytics");
  fprintf(script,
          "plot '%s' skip 1 index 0 using 1:2 with steps linecolor '%s' linewidth 2\nset origin 0,%.5f\nset size "
          "1,%.5f\nset xlabel 'emulated time [s]' font ',%d'\nset ylabel 'length of a round [s]' font ',%d'\nplot ",
          csv, PP_COLOUR_BLACK, key_share, 0.6 * height, PP_FONT_AXIS, PP_FONT_AXIS);
  for (int line = 0; line < chart->line_count; line++) {
    fprintf(script, "%s'%s' index %d using 1:2 with linespoints ", line == 0 ? "" : ", \\\n  ", csv, line + 1);
    pp_plot_line_style(script, line);
    if (chart->new_plans)
      fprintf(script, ", \\\n  '' index %d using 1:4 with points pointtype 6 pointsize 2 linewidth 1.8 linecolor '%s'",
              line + 1, PP_COLOUR_BLACK);
  }
  fputc('\n', script);
  pp_plot_key_row(script, key_share);
  for (int line = 0; line < chart->line_count; line++) {
    fputs(", \\\n  keyentry with linespoints ", script);
    pp_plot_line_style(script, line);
    fputs(" title ", script);
    pp_plot_quote(script, chart->labels[line]);
  }
  if (chart->new_plans)
    fprintf(
        script,
        ", \\\n  keyentry with points pointtype 6 pointsize 2 linewidth 1.8 linecolor '%s' title 'begins a new plan'",
        PP_COLOUR_BLACK);
  fputs("\nunset multiplot\n", script);
}

pp_status pp_plot_network(pp_plot *plot) {
  const pp_report *report = plot->report;
  network_chart chart = {.plot = plot};
  int groups = pp_report_group_count(&report->runs[0]);
  char key[64];
  const char *trace = "";
  bool worth = false;
  for (int group = 0; group < groups && !worth; group++) {
    snprintf(key, sizeof key, "devices.%d.network.up_trace", group);
    trace = pp_report_setting_text(&report->runs[0], key);
    worth = write_trace(NULL, trace, group, 0);
    chart.group = group;
  }
  for (int run = 0; run < report->run_count && worth; run++) {
    worth = strcmp(pp_report_setting_text(&report->runs[run], key), trace) == 0 &&
            report->runs[run].info.round_count > 1 && pp_report_is_complete(&report->runs[run]);
    chart.end_s = fmax(chart.end_s, report->runs[run].last_round_s);
  }
  if (!worth)
    return NULL;
  FILE *csv = NULL;
  PP_TRY(pp_plot_open_csv(plot, "network", &csv));
  fputs("# seconds,mbps_then_round_s,what,round_s_of_new_plan\n", csv);
  write_trace(csv, trace, chart.group, chart.end_s);
  pp_status status = write_rounds(csv, &chart);
  status = pp_status_first(status, pp_plot_close_csv(plot, "network", csv));
  if (status == NULL)
    status = pp_plot_write_script(plot, "network", WIDTH, HEIGHT, draw_network, &chart);
  return status;
}
