#include "app/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/report_table.h"
#include "base/mem.h"

enum { WIDEST = 120, LABEL_ROOM = 48, MOST_SETTINGS = 16 };
enum { MOST_CHANGES = 4, MOST_GROUPS_OF_PLANS = 4 }; /* of plans; the results file has all */

const char *const pp_report_cause_heads[PP_CAUSE_COUNT][2] = {
    [PP_CAUSE_DEVICE_COMPUTE] = {"device", "compute"},
    [PP_CAUSE_UPLOAD] = {"", "upload"},
    [PP_CAUSE_SERVER_QUEUE] = {"server", "queue"},
    [PP_CAUSE_SERVER_COMPUTE] = {"server", "compute"},
    [PP_CAUSE_DOWNLOAD] = {"", "download"},
    [PP_CAUSE_LATENCY] = {"", "latency"},
    [PP_CAUSE_AGGREGATION] = {"aggre-", "gation"},
    [PP_CAUSE_DRAIN] = {"", "drain"},
    [PP_CAUSE_OVERRUN] = {"", "overrun"},
    [PP_CAUSE_ABSENT] = {"", "absent"},
};

/* Decimals with which the largest of a column has about four digits that matter. */
static int decimals_for(double largest) {
  return largest >= 1000 ? 0 : largest >= 100 ? 1 : largest >= 10 ? 2 : largest >= 0.01 ? 3 : 6;
}

/* As a table shows a figure: seconds, per cent, megabytes, times. */
static double scale_of(pp_report_figure figure) {
  switch (figure) {
  case PP_FIGURE_ACCURACY:
    return 100;
  case PP_FIGURE_BYTES_UP:
  case PP_FIGURE_BYTES_DOWN:
    return 1e-6;
  default:
    return 1;
  }
}

static bool is_ratio(pp_report_figure figure) {
  return figure == PP_FIGURE_SPEEDUP || figure == PP_FIGURE_SERVER_REDUCTION || figure == PP_FIGURE_DEVICE_REDUCTION;
}

static void print_mean(char out[PP_TEXT_CELL], pp_report_mean mean, double scale, int decimals, const char *unit) {
  if (mean.count == 0)
    snprintf(out, PP_TEXT_CELL, "-");
  else if (!isfinite(mean.mean))
    snprintf(out, PP_TEXT_CELL, "inf");
  else if (mean.count == 1 || mean.half_width <= 1e-9 * fabs(mean.mean)) /* equal but for rounding */
    snprintf(out, PP_TEXT_CELL, "%.*f%s", decimals, mean.mean * scale, unit);
  else
    snprintf(out, PP_TEXT_CELL, "%.*f ± %.*f%s", decimals, mean.mean * scale, decimals, mean.half_width * scale, unit);
}

typedef struct figure_column {
  pp_report_figure figure;
  const char *upper, *lower;
} figure_column;

static const figure_column figure_columns[] = {
    {PP_FIGURE_TIME, "time", "[s]"},
    {PP_FIGURE_SPEEDUP, "speed-up", "over fl"},
    {PP_FIGURE_SERVER_IDLE, "server", "idle [s]"},
    {PP_FIGURE_SERVER_REDUCTION, "reduced", "vs fl"},
    {PP_FIGURE_DEVICE_IDLE, "devices", "idle [s]"},
    {PP_FIGURE_DEVICE_REDUCTION, "reduced", "vs fl"},
    {PP_FIGURE_ACCURACY, "accuracy", "[%]"},
    {PP_FIGURE_BYTES_UP, "up", "[MB]"},
    {PP_FIGURE_BYTES_DOWN, "down", "[MB]"},
};
enum {
  SPEEDUP_COLUMN = 1,
  DEVICE_REDUCTION_COLUMN = 5,
  ACCURACY_COLUMN = 6,
  UP_COLUMN = 7,
  DOWN_COLUMN = 8,
  FIGURE_COLUMNS = sizeof figure_columns / sizeof figure_columns[0],
};

/* What is worth a column: where no run has the figure there is none. */
typedef struct shown {
  bool files, states, seeds;
  bool figures[FIGURE_COLUMNS];
  int decimals[FIGURE_COLUMNS];
  bool causes[PP_CAUSE_COUNT];
  int cause_decimals;
  bool settings; /* as columns; otherwise as lines of their own */
} shown;

static shown choose_columns(const pp_report *report) {
  shown out = {.files = report->file_count > 1};
  double largest_cause = 0;
  for (int column = 0; column < FIGURE_COLUMNS; column++) {
    double largest = 0;
    for (int run = 0; run < report->run_count; run++) {
      pp_report_figure figure = figure_columns[column].figure;
      double value = pp_report_figure_of(report, &report->runs[run], figure);
      out.figures[column] = out.figures[column] || !isnan(value);
      if (isfinite(value) && value * scale_of(figure) > largest)
        largest = value * scale_of(figure);
    }
    bool ratio = is_ratio(figure_columns[column].figure);
    out.decimals[column] = ratio ? 2 : figure_columns[column].figure == PP_FIGURE_ACCURACY ? 2 : decimals_for(largest);
  }
  out.figures[0] = true;
  for (int run = 0; run < report->run_count; run++)
    for (int cause = 0; cause < PP_CAUSE_COUNT; cause++) {
      double server = report->runs[run].server_cause_s[cause], device = report->runs[run].device_cause_s[cause];
      out.causes[cause] = out.causes[cause] || server > 0 || device > 0;
      largest_cause = fmax(largest_cause, fmax(server, device));
    }
  out.cause_decimals = decimals_for(largest_cause);
  for (int group = 0; group < report->group_count; group++) {
    out.seeds = out.seeds || report->groups[group].count > 1;
    out.states = out.states || !pp_report_is_complete(&report->runs[report->groups[group].runs[0]]);
  }
  return out;
}

static void print_range(char out[PP_TEXT_CELL], int least, int most) {
  if (most == 0)
    snprintf(out, PP_TEXT_CELL, "-");
  else if (least == most)
    snprintf(out, PP_TEXT_CELL, "%d", least);
  else
    snprintf(out, PP_TEXT_CELL, "%d-%d", least, most);
}

/* The columns that say which run a row is about; `settings` with those that tell runs apart. */
static void add_run_columns(pp_text_table *table, const pp_report *report, const shown *columns, bool settings) {
  if (columns->files)
    pp_text_table_column(table, true, "", "file");
  pp_text_table_column(table, false, "", "run");
  pp_text_table_column(table, true, "", "method");
  for (int key = 0; settings && key < report->varying_count; key++) {
    char label[LABEL_ROOM];
    pp_report_label(report->varying[key], sizeof label, label);
    pp_text_table_column(table, true, "", label);
  }
}

static int set_run_cells(pp_text_table *table, const pp_report *report, const shown *columns, bool settings,
                         const pp_report_run *run) {
  char cell[PP_TEXT_CELL];
  int column = 0;
  if (columns->files) {
    pp_report_file_label(pp_results_path(report->files[run->file]), sizeof cell, cell);
    pp_text_table_set(table, column++, cell);
  }
  snprintf(cell, sizeof cell, "%d", run->info.run);
  pp_text_table_set(table, column++, cell);
  pp_text_table_set(table, column++, run->info.method);
  for (int key = 0; settings && key < report->varying_count; key++) {
    const char *text = pp_report_setting_text(run, report->varying[key]);
    pp_text_table_set(table, column++, text[0] == '\0' ? "-" : text);
  }
  return column;
}

static pp_status build_figures(pp_text_table *table, const pp_report *report, const shown *columns) {
  add_run_columns(table, report, columns, columns->settings);
  if (columns->seeds)
    pp_text_table_column(table, false, "", "seeds");
  if (columns->states)
    pp_text_table_column(table, true, "", "state");
  pp_text_table_column(table, false, "", "split");
  pp_text_table_column(table, false, "", "N");
  for (int column = 0; column < FIGURE_COLUMNS; column++)
    if (columns->figures[column])
      pp_text_table_column(table, false, figure_columns[column].upper, figure_columns[column].lower);
  for (int group = 0; group < report->group_count; group++) {
    const pp_report_group *of = &report->groups[group];
    const pp_report_run *run = &report->runs[of->runs[0]];
    char cell[PP_TEXT_CELL];
    PP_TRY(pp_text_table_row(table));
    int next = set_run_cells(table, report, columns, columns->settings, run);
    if (columns->seeds) {
      snprintf(cell, sizeof cell, "%d", of->count);
      pp_text_table_set(table, next++, cell);
    }
    if (columns->states)
      pp_text_table_set(table, next++, run->info.status);
    print_range(cell, run->least_split, run->most_split);
    pp_text_table_set(table, next++, cell);
    print_range(cell, run->least_micro_batches, run->most_micro_batches);
    pp_text_table_set(table, next++, cell);
    for (int column = 0; column < FIGURE_COLUMNS; column++) {
      pp_report_figure figure = figure_columns[column].figure;
      if (!columns->figures[column])
        continue;
      print_mean(cell, pp_report_mean_of(report, of, figure), scale_of(figure), columns->decimals[column],
                 is_ratio(figure) ? "x" : "");
      pp_text_table_set(table, next++, cell);
    }
  }
  return NULL;
}

/* Who waits: the server, the devices, or one group of them from 0. */
enum { WHO_SERVER = -2, WHO_DEVICES = -1 };

static double cause_of(const pp_report_run *run, int who, int cause) {
  if (who == WHO_SERVER)
    return run->server_cause_s[cause];
  if (who == WHO_DEVICES)
    return run->device_cause_s[cause];
  return who < run->device_group_count ? run->device_groups[who].cause_s[cause] : NAN;
}

/* Mean over the group's runs of one cause. */
static pp_report_mean cause_mean(const pp_report *report, const pp_report_group *group, int who, int cause) {
  pp_report_mean out = {1, 0, NAN}; /* without an interval: the causes of the means add up */
  for (int member = 0; member < group->count; member++)
    out.mean += cause_of(&report->runs[group->runs[member]], who, cause) / group->count;
  return out;
}

static pp_report_mean idle_mean(const pp_report *report, const pp_report_group *group, int who) {
  pp_report_mean out = {1, 0, NAN};
  if (who < 0) {
    out = pp_report_mean_of(report, group, who == WHO_SERVER ? PP_FIGURE_SERVER_IDLE : PP_FIGURE_DEVICE_IDLE);
    out.count = out.count > 0;
    return out;
  }
  for (int member = 0; member < group->count; member++) {
    const pp_report_run *run = &report->runs[group->runs[member]];
    out.mean += (who < run->device_group_count ? run->device_groups[who].idle_s : NAN) / group->count;
  }
  return out;
}

/* Rows of device groups, where there are several but not very many. */
static int device_rows(const pp_report *report, int group) {
  enum { most_rows = 12 };
  int count = report->runs[report->groups[group].runs[0]].device_group_count;
  return count > 1 && count <= most_rows ? count : 0;
}

static pp_status build_causes(pp_text_table *table, const pp_report *report, const shown *columns) {
  add_run_columns(table, report, columns, false);
  pp_text_table_column(table, true, "", "waiting");
  pp_text_table_column(table, false, "idle", "[s]");
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
    if (columns->causes[cause])
      pp_text_table_column(table, false, pp_report_cause_heads[cause][0], pp_report_cause_heads[cause][1]);
  for (int group = 0; group < report->group_count; group++)
    for (int who = WHO_SERVER; who < device_rows(report, group); who++) {
      const pp_report_group *of = &report->groups[group];
      const pp_report_run *run = &report->runs[of->runs[0]];
      if (!pp_report_is_complete(run))
        continue;
      char cell[PP_TEXT_CELL];
      PP_TRY(pp_text_table_row(table));
      int next = set_run_cells(table, report, columns, false, run);
      if (who >= 0)
        snprintf(cell, sizeof cell, "  group %d", who);
      pp_text_table_set(table, next++, who == WHO_SERVER ? "server" : who == WHO_DEVICES ? "devices" : cell);
      pp_report_mean idle = idle_mean(report, of, who);
      print_mean(cell, idle, 1, columns->cause_decimals, "");
      pp_text_table_set(table, next++, cell);
      for (int cause = 0; cause < PP_CAUSE_COUNT; cause++) {
        pp_report_mean mean = cause_mean(report, of, who, cause);
        if (!columns->causes[cause])
          continue;
        if (mean.mean == 0)
          snprintf(cell, sizeof cell, "0");
        else
          print_mean(cell, mean, 1, columns->cause_decimals, "");
        pp_text_table_set(table, next++, cell);
      }
    }
  return NULL;
}

static void print_settings_as_lines(const pp_report *report, FILE *stream) {
  for (int group = 0; group < report->group_count; group++) {
    const pp_report_run *run = &report->runs[report->groups[group].runs[0]];
    char name[PP_TEXT_CELL];
    pp_report_file_label(pp_results_path(report->files[run->file]), sizeof name, name);
    int width = fprintf(stream, "%s%srun %d:", report->file_count > 1 ? name : "", report->file_count > 1 ? " " : "",
                        run->info.run);
    for (int key = 0; key < report->varying_count; key++) {
      char label[LABEL_ROOM];
      pp_report_label(report->varying[key], sizeof label, label);
      const char *text = pp_report_setting_text(run, report->varying[key]);
      if (text[0] == '\0')
        continue;
      int length = (int)(strlen(label) + strlen(text)) + 2;
      if (width + length > WIDEST)
        width = fprintf(stream, "\n    ") - 1;
      width += length;
      fprintf(stream, " %s=%s", label, text);
    }
    fputc('\n', stream);
  }
}

static void print_unfinished(const pp_report *report, FILE *stream) {
  for (int index = 0; index < report->run_count; index++) {
    const pp_report_run *run = &report->runs[index];
    if (pp_report_is_complete(run))
      continue;
    char name[PP_TEXT_CELL];
    pp_report_file_label(pp_results_path(report->files[run->file]), sizeof name, name);
    fprintf(stream, "%s run %d is %s: %" PRId64 " round%s complete", name, run->info.run,
            strcmp(run->info.status, "failed") == 0 ? "failed" : "not finished", run->info.round_count,
            run->info.round_count == 1 ? "" : "s");
    if (!isnan(run->last_round_s))
      fprintf(stream, ", %.3f s", run->last_round_s);
    fputs(".\n", stream);
  }
}

/* What a group had before its `row`-th row; the rows of a round are in order of groups. */
static bool changes(const pp_round_plan_row *rows, int64_t row, int groups) {
  const pp_round_plan_row *before = row < groups ? NULL : &rows[row - groups];
  return before == NULL || before->split != rows[row].split || before->micro_batches != rows[row].micro_batches;
}

static void print_plans_of(const pp_round_plan_row *rows, int64_t count, const pp_report_run *run, FILE *stream) {
  int groups = 0;
  while (groups < count && rows[groups].round == rows[0].round)
    groups++;
  for (int group = 0; group < groups && group < MOST_GROUPS_OF_PLANS; group++) {
    int changed = -1;
    fprintf(stream, "run %d, plans of group %d (split x N):", run->info.run, group);
    for (int64_t row = group; row < count; row += groups) {
      if (!changes(rows, row, groups) || ++changed > MOST_CHANGES)
        continue;
      if (changed > 0)
        fprintf(stream, "; from round %d:", rows[row].round);
      fprintf(stream, " %d x %d", rows[row].split, rows[row].micro_batches);
    }
    if (changed > MOST_CHANGES)
      fprintf(stream, "; %d more changes", changed - MOST_CHANGES);
    fputs(".\n", stream);
  }
  if (groups > MOST_GROUPS_OF_PLANS)
    fprintf(stream, "run %d, plans of %d more groups are in its table round_plans.\n", run->info.run,
            groups - MOST_GROUPS_OF_PLANS);
}

/* Runs that planned again: what changed when. */
static pp_status print_plans(const pp_report *report, FILE *stream) {
  for (int index = 0; index < report->run_count; index++) {
    const pp_report_run *run = &report->runs[index];
    int64_t count = run->info.round_plan_count;
    pp_round_plan_row *rows = NULL;
    if (count == 0)
      continue;
    PP_TRY(pp_alloc((size_t)count, sizeof *rows, "the plans of rounds", &rows));
    pp_status status = pp_results_read_round_plans(report->files[run->file], run->info.run, 0, count, rows);
    if (status == NULL)
      print_plans_of(rows, count, run, stream);
    free(rows);
    PP_TRY(status);
  }
  return NULL;
}

static void print_legend(const shown *columns, FILE *stream) {
  fputs(
      "split: blocks of the network on the device. N: micro-batches that a mini-batch is cut into.\n"
      "time: emulated, from the start to the last event. idle: not computing, mean over the server's slots or over the "
      "devices.\n",
      stream);
  if (columns->figures[SPEEDUP_COLUMN])
    fputs("speed-up, reduced: time, idle time of the fl run with the same settings, divided by this one's (below 1: "
          "longer).\n",
          stream);
  if (columns->figures[ACCURACY_COLUMN])
    fputs("accuracy: of the averaged network on the test samples, after the last round.\n", stream);
  if (columns->figures[UP_COLUMN])
    fputs("up, down: all devices together, 1 MB is 10^6 bytes.\n", stream);
  if (columns->seeds)
    fputs("±: 95 % interval of the mean over seeds (Student's t); run: the first of them.\n", stream);
}

/* Leaves out what a reader misses least until the table fits. */
static pp_status build_fitting(pp_text_table *table, const pp_report *report, shown *columns, FILE *stream) {
  static const int expendable[] = {UP_COLUMN, DOWN_COLUMN, DEVICE_REDUCTION_COLUMN, ACCURACY_COLUMN};
  columns->settings = report->varying_count <= MOST_SETTINGS;
  PP_TRY(build_figures(table, report, columns));
  if (columns->settings && pp_text_table_width(table) > WIDEST) {
    columns->settings = false;
    pp_text_table_fini(table);
    PP_TRY(build_figures(table, report, columns));
  }
  if (!columns->settings && report->varying_count > 0) {
    print_settings_as_lines(report, stream);
    fputc('\n', stream);
  }
  for (size_t next = 0; pp_text_table_width(table) > WIDEST && next < sizeof expendable / sizeof expendable[0];
       next++) {
    columns->figures[expendable[next]] = false;
    pp_text_table_fini(table);
    PP_TRY(build_figures(table, report, columns));
  }
  return NULL;
}

pp_status pp_report_print_text(const pp_report *report, FILE *stream) {
  if (report->run_count == 0) {
    fprintf(stream, "no runs\n");
    return NULL;
  }
  pp_report_print_heading(report, stream);
  fputc('\n', stream);
  shown columns = choose_columns(report);
  pp_text_table table;
  pp_text_table_init(&table);
  pp_status status = build_fitting(&table, report, &columns, stream);
  if (status == NULL) {
    pp_text_table_print(&table, stream);
    print_unfinished(report, stream);
    status = print_plans(report, stream);
    print_legend(&columns, stream);
  }
  pp_text_table_fini(&table);
  if (status == NULL)
    status = build_causes(&table, report, &columns);
  if (status == NULL && table.row_count > 0) {
    fprintf(stream, "\nwhat the idle time was spent waiting for [s]\n\n");
    pp_text_table_print(&table, stream);
    fprintf(stream, "drain: after a resource's own last event.%s\n",
            columns.causes[PP_CAUSE_OVERRUN] ? " overrun: later than the model says, by the wall clock." : "");
  }
  pp_text_table_fini(&table);
  return status;
}
