/* The Gantt chart of an iteration: a lane per resource, a box per stage. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/plot_figures.h"
#include "app/report.h"
#include "base/mem.h"

enum { BLOCK_ROWS = 8192, MOST_DEVICES = 4, MOST_SLOTS = 4, MOST_BOXES = 20000, MOST_CHARTS = 8, WIDTH = 960 };

typedef struct kind {
  const char *name, *title, *colour, *text_colour;
} kind;

/* Numbered by kind_of. */
static const kind kinds[] = {
    {"forward", "forward", PP_COLOUR_GREEN, "white"},
    {"backward", "backward", PP_COLOUR_BLUE, "white"},
    {"upload", "upload", PP_COLOUR_YELLOW, "black"},
    {"download", "download", PP_COLOUR_VERMILLION, "white"},
    {"update", "update", PP_COLOUR_BLACK, "white"},
    {"model_upload", "model upload", PP_COLOUR_ORANGE, "black"},
    {"model_download", "model download", PP_COLOUR_PURPLE, "black"},
    {"aggregate", "aggregate", PP_COLOUR_SKY, "black"},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static int kind_of(int32_t stage) {
  switch ((pp_stage)stage) {
  case PP_STAGE_FORWARD:
  case PP_STAGE_SERVER_FORWARD:
    return 0;
  case PP_STAGE_BACKWARD:
  case PP_STAGE_SERVER_BACKWARD:
  case PP_STAGE_SERVER_BACKWARD_INPUT:
  case PP_STAGE_SERVER_BACKWARD_WEIGHT:
    return 1;
  case PP_STAGE_UPLOAD:
    return 2;
  case PP_STAGE_DOWNLOAD:
    return 3;
  case PP_STAGE_DEVICE_UPDATE:
  case PP_STAGE_SERVER_UPDATE:
    return 4;
  case PP_STAGE_MODEL_UPLOAD:
    return 5;
  case PP_STAGE_MODEL_DOWNLOAD:
    return 6;
  case PP_STAGE_AGGREGATE:
    return 7;
  }
  return 4;
}

typedef struct gantt {
  const pp_plot *plot;
  const pp_report_run *run;
  int device_count, slot_count; /* shown */
  int in_window; /* devices whose iteration is the window: the shown ones, but in turns the first alone */
  int64_t iteration;
  int updates;              /* of those devices in that iteration: their last stages */
  int64_t start_ns, end_ns; /* the window */
  bool used[KINDS], has_micro_batches;
  int64_t box_count;
  pp_stage_record *boxes; /* (MOST_BOXES) */
} gantt;

/* A device's lanes are its compute unit and links, then come the server's slots; the first lane is at the top. */
static int lane_of(const gantt *chart, const pp_stage_record *row) {
  switch (pp_stage_resource((pp_stage)row->stage)) {
  case PP_RESOURCE_DEVICE:
    return 3 * row->device;
  case PP_RESOURCE_UPLINK:
    return 3 * row->device + 1;
  case PP_RESOURCE_DOWNLINK:
    return 3 * row->device + 2;
  case PP_RESOURCE_SERVER:
    break;
  }
  return 3 * chart->device_count + row->slot;
}

static bool is_shown(const gantt *chart, const pp_stage_record *row) {
  bool on_server = pp_stage_resource((pp_stage)row->stage) == PP_RESOURCE_SERVER;
  return on_server ? row->slot >= 0 && row->slot < chart->slot_count
                   : row->device >= 0 && row->device < chart->device_count;
}

/* Calls `take` for the rows of the first round, in the file's order, until it returns false. */
static pp_status scan_round(const gantt *chart, pp_stage_record *block, bool (*take)(gantt *, const pp_stage_record *),
                            gantt *context) {
  const pp_results *results = chart->plot->report->files[chart->run->file];
  int64_t count = chart->run->info.stage_count;
  for (int64_t first = 0; first < count; first += BLOCK_ROWS) {
    int64_t rows = count - first < BLOCK_ROWS ? count - first : BLOCK_ROWS;
    PP_TRY(pp_results_read_stages(results, chart->run->info.run, first, rows, block));
    for (int64_t row = 0; row < rows; row++)
      if (!take(context, &block[row]))
        return NULL;
  }
  return NULL;
}

/* The second iteration, of every method, shows the pipeline running; with one iteration a round there is only the
 * first. */
static bool find_iteration(gantt *chart, const pp_stage_record *row) {
  if (row->round > 0)
    return false;
  if (row->iteration > chart->iteration && row->device < chart->device_count)
    chart->iteration = row->iteration;
  return chart->iteration == 0;
}

static bool find_window(gantt *chart, const pp_stage_record *row) {
  if (row->round > 0 || chart->updates == chart->in_window)
    return false;
  if (row->iteration == chart->iteration && row->device < chart->in_window) {
    if (row->start_ns < chart->start_ns)
      chart->start_ns = row->start_ns;
    if (row->end_ns > chart->end_ns)
      chart->end_ns = row->end_ns;
    chart->updates += row->stage == PP_STAGE_DEVICE_UPDATE;
  }
  return true;
}

/* Where the iteration is the round's last and aggregation is short beside it, that is shown too. */
static bool find_round_end(gantt *chart, const pp_stage_record *row) {
  if (row->round > 0)
    return false;
  if (row->iteration > chart->iteration)
    return false;
  bool of_round = row->iteration < 0 && row->device < chart->in_window;
  bool fits = row->end_ns - chart->start_ns < 2 * (chart->end_ns - chart->start_ns);
  if (of_round && row->end_ns > chart->end_ns && fits)
    chart->end_ns = row->end_ns;
  return true;
}

static bool take_box(gantt *chart, const pp_stage_record *row) {
  if (row->start_ns >= chart->end_ns || chart->box_count == MOST_BOXES)
    return false;
  if (row->end_ns <= chart->start_ns || !is_shown(chart, row))
    return true;
  chart->boxes[chart->box_count++] = *row;
  chart->used[kind_of(row->stage)] = true;
  chart->has_micro_batches = chart->has_micro_batches || row->micro_batch > 0;
  return true;
}

static double scale_of(const gantt *chart, const char **unit) {
  double seconds = (double)(chart->end_ns - chart->start_ns) * 1e-9;
  *unit = seconds >= 1 ? "s" : seconds >= 1e-3 ? "ms" : "µs";
  return seconds >= 1 ? 1e-9 : seconds >= 1e-3 ? 1e-6 : 1e-3;
}

/* Boxes that are wide enough carry the number of their micro-batch, where there are several, on the server after whose
 * it is. Returns whether it stands on its side: two digits are as high as a box, but wider than many. */
static bool label_box(const gantt *chart, const pp_stage_record *row, size_t room, char *out) {
  static const double margin = 0.005, character = 0.01, line = 0.01; /* of the chart's width */
  enum { most_turned = 2 };
  bool several = chart->has_micro_batches, named = row->slot >= 0 && chart->run->info.device_count > 1;
  double from = fmax((double)row->start_ns, (double)chart->start_ns),
         to = fmin((double)row->end_ns, (double)chart->end_ns);
  double share = (to - from) / (double)(chart->end_ns - chart->start_ns);
  int length = 0;
  if (row->micro_batch >= 0 && several && named)
    length = snprintf(out, room, "%d·%d", row->device, row->micro_batch) - 1; /* the dot has two bytes */
  else if (row->micro_batch >= 0 && (several || named))
    length = snprintf(out, room, "%d", named ? row->device : row->micro_batch);
  bool fits = length > 0 && share > margin + length * character,
       fits_turned = length > 1 && length <= most_turned && share > margin + line;
  if (!fits && !fits_turned)
    snprintf(out, room, "-"); /* gnuplot takes an empty field for a missing one */
  return !fits && fits_turned;
}

/* What the numbers are, as far as there are any. */
static const char *explain_labels(const gantt *chart) {
  bool on_device = false, on_server = false;
  for (int64_t box = 0; box < chart->box_count; box++) {
    char label[32];
    label_box(chart, &chart->boxes[box], sizeof label, label);
    bool named = chart->boxes[box].slot >= 0 && chart->run->info.device_count > 1;
    on_device = on_device || (label[0] != '-' && !named);
    on_server = on_server || (label[0] != '-' && named);
  }
  if (!chart->has_micro_batches)
    return on_server ? "Numbers on the server are devices." : "";
  return on_server   ? "Numbers are micro-batches, on the server after their device (2·0: micro-batch 0 of device 2)."
         : on_device ? "Numbers are micro-batches."
                     : "";
}

static void write_boxes(FILE *csv, const gantt *chart) {
  const char *unit = NULL;
  double scale = scale_of(chart, &unit);
  fprintf(csv, "lane,start_%s,end_%s,kind,stage,device,slot,iteration,micro_batch,bytes,label,angle\n",
          unit[0] == 's'   ? "s"
          : unit[0] == 'm' ? "ms"
                           : "us",
          unit[0] == 's'   ? "s"
          : unit[0] == 'm' ? "ms"
                           : "us");
  for (int64_t box = 0; box < chart->box_count; box++) {
    const pp_stage_record *row = &chart->boxes[box];
    char label[32];
    bool turned = label_box(chart, row, sizeof label, label);
    fprintf(csv, "%d,%.9g,%.9g,%s,%s,%d,%d,%d,%d,%lld,%s,%d\n", lane_of(chart, row),
            (double)(row->start_ns - chart->start_ns) * scale, (double)(row->end_ns - chart->start_ns) * scale,
            kinds[kind_of(row->stage)].name, pp_stage_name((pp_stage)row->stage), row->device, row->slot,
            row->iteration, row->micro_batch, (long long)row->bytes, label, turned ? 90 : 0);
  }
}

static void draw_gantt(FILE *script, const char *csv, void *context) {
  const gantt *chart = context;
  const char *unit = NULL;
  double scale = scale_of(chart, &unit);
  int lanes = 3 * chart->device_count + chart->slot_count;
  char title[160];
  const char *method = chart->run->info.method;
  snprintf(title, sizeof title, "%s: iteration %lld of round 0%s", method, (long long)chart->iteration,
           strcmp(method, "fl") == 0   ? " (models travel after the last one)"
           : strcmp(method, "sl") == 0 ? ", device 0's turn"
                                       : "");
  fputs("set title ", script);
  pp_plot_title(script, chart->plot->report, chart->run, WIDTH, title);
  fprintf(script, "set xlabel 'emulated time since %.3f s [%s]'", (double)chart->start_ns * 1e-9, unit);
  if (explain_labels(chart)[0] != '\0')
    fprintf(script, ".\"\\n\".'%s'", explain_labels(chart));
  fprintf(script, " font ',%d'\nset xrange [0:%.9g]\nset yrange [%d.5:-0.5]\nset xtics font ',%d'\n", PP_FONT_AXIS,
          (double)(chart->end_ns - chart->start_ns) * scale, lanes - 1, PP_FONT_AXIS);
  fprintf(script, "set ytics scale 0 font ',%d' (", PP_FONT_AXIS);
  static const char *const parts[] = {"compute", "uplink", "downlink"};
  for (int device = 0; device < chart->device_count; device++)
    for (int part = 0; part < 3; part++)
      fprintf(script, "'%s%d %s' %d, ", "device ", device, parts[part], 3 * device + part);
  for (int slot = 0; slot < chart->slot_count; slot++)
    fprintf(script, "%s'server slot %d' %d", slot == 0 ? "" : ", ", slot, 3 * chart->device_count + slot);
  fputs(")\nunset arrow\n", script);
  pp_plot_grid(script, "noytics xtics");
  for (int device = 1; device <= chart->device_count; device++)
    fprintf(script,
            "set arrow from graph 0, first %d.5 to graph 1, first %d.5 nohead linecolor '" PP_COLOUR_GREY
            "' linewidth 0.8\n",
            3 * device - 1, 3 * device - 1);
  /* A border would be all there is to see of a box that is a few pixels wide. */
  double narrow = 0.006 * (double)(chart->end_ns - chart->start_ns) * scale;
  pp_plot_key_beside(script);
  fputs("set key samplen 1.2\nplot ", script);
  for (int index = 0; index < KINDS; index++)
    for (int wide = 0; wide < 2 && chart->used[index]; wide++) {
      fprintf(script,
              "'%s' skip 1 using (strcol(4) eq '%s' && ($3-$2 %s %.6g) ? $2 : NaN):1:2:3:($1-0.38):($1+0.38) with "
              "boxxyerror fillstyle solid 1 border linecolor '%s' fillcolor '%s' linewidth 0.5 ",
              csv, kinds[index].name, wide ? ">" : "<=", narrow, wide ? PP_COLOUR_EDGE : kinds[index].colour,
              kinds[index].colour);
      fprintf(script, wide ? "notitle, \\\n  " : "title '%s', \\\n  ", kinds[index].title);
    }
  bool first = true;
  for (int index = 0; index < KINDS; index++)
    if (chart->used[index]) {
      fprintf(script,
              "%s'%s' skip 1 using (strcol(4) eq '%s' ? (($2 < 0 ? 0 : $2) + $3) / 2 : NaN):1:(strcol(11) eq '-' ? '' "
              ": strcol(11)):12 with labels rotate variable "
              "font ',8' "
              "textcolor '%s' notitle",
              first ? "" : ", \\\n  ", csv, kinds[index].name, kinds[index].text_colour);
      first = false;
    }
  fputc('\n', script);
}

static pp_status write_chart(pp_plot *plot, gantt *chart, pp_stage_record *block) {
  char name[PP_PLOT_NAME];
  snprintf(name, sizeof name, "gantt-%s", chart->run->info.method);
  chart->start_ns = INT64_MAX;
  PP_TRY(scan_round(chart, block, find_iteration, chart));
  PP_TRY(scan_round(chart, block, find_window, chart));
  if (chart->end_ns == 0)
    return NULL;
  PP_TRY(scan_round(chart, block, find_round_end, chart));
  PP_TRY(scan_round(chart, block, take_box, chart));
  FILE *csv = NULL;
  PP_TRY(pp_plot_open_csv(plot, name, &csv));
  write_boxes(csv, chart);
  PP_TRY(pp_plot_close_csv(plot, name, csv));
  int lanes = 3 * chart->device_count + chart->slot_count;
  int shown_lanes = lanes < KINDS ? KINDS : lanes; /* the key wants its height too */
  int height = pp_plot_title_pixels(plot->report, chart->run, WIDTH) + 84 + 27 * shown_lanes;
  return pp_plot_write_script(plot, name, WIDTH, height, draw_gantt, chart);
}

static int least(int64_t a, int b) { return a < b ? (int)a : b; }

/* Highest slot and device that the run's first round names: all there is to go by while a run is running. */
static bool count_resources(gantt *chart, const pp_stage_record *row) {
  if (row->round > 0)
    return false;
  if (row->device >= chart->device_count)
    chart->device_count = least((int64_t)row->device + 1, MOST_DEVICES);
  if (row->slot >= chart->slot_count)
    chart->slot_count = least((int64_t)row->slot + 1, MOST_SLOTS);
  return true;
}

static pp_status plot_run(pp_plot *plot, const pp_report_run *run) {
  gantt chart = {.plot = plot,
                 .run = run,
                 .device_count = least(run->info.device_count, MOST_DEVICES),
                 .slot_count = least(run->info.slot_count, MOST_SLOTS)};
  pp_stage_record *block = NULL;
  PP_TRY(pp_alloc(BLOCK_ROWS, sizeof *block, "stages", &block));
  pp_status status = pp_alloc(MOST_BOXES, sizeof *chart.boxes, "stages", &chart.boxes);
  if (status == NULL && run->info.device_count == 0)
    status = scan_round(&chart, block, count_resources, &chart);
  chart.in_window = strcmp(run->info.method, "sl") == 0 ? 1 : chart.device_count;
  if (status == NULL)
    status = write_chart(plot, &chart, block);
  free(chart.boxes);
  free(block);
  return status;
}

/* One chart a method: of the first run that has it and recorded its stages. */
pp_status pp_plot_gantt(pp_plot *plot) {
  const char *done[MOST_CHARTS];
  int count = 0;
  for (int index = 0; index < plot->report->run_count && count < MOST_CHARTS; index++) {
    const pp_report_run *run = &plot->report->runs[index];
    bool again = run->info.stage_count == 0;
    for (int other = 0; other < count && !again; other++)
      again = strcmp(done[other], run->info.method) == 0;
    if (again)
      continue;
    PP_TRY(plot_run(plot, run));
    done[count++] = run->info.method;
  }
  return NULL;
}
