#include "app/trace_events.h"

#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "app/json.h"
#include "base/mem.h"
#include "pipar/schedule.h"

enum {
  BLOCK_ROWS = 8192,
  SERVER_PROCESS = 1,
  FIRST_DEVICE_PROCESS = 2, /* viewers take process 0 for idle time */
  DEVICE_THREADS = 3,
};

/* Colours are names that chrome://tracing knows; Perfetto chooses its own by name. */
static const struct {
  const char *kind, *colour;
} looks[PP_STAGE_COUNT] = {
    [PP_STAGE_FORWARD] = {"forward", "good"},
    [PP_STAGE_UPLOAD] = {"upload", "yellow"},
    [PP_STAGE_SERVER_FORWARD] = {"forward", "good"},
    [PP_STAGE_SERVER_BACKWARD] = {"backward", "rail_response"},
    [PP_STAGE_DOWNLOAD] = {"download", "terrible"},
    [PP_STAGE_BACKWARD] = {"backward", "rail_response"},
    [PP_STAGE_DEVICE_UPDATE] = {"update", "black"},
    [PP_STAGE_SERVER_UPDATE] = {"update", "black"},
    [PP_STAGE_MODEL_UPLOAD] = {"model_upload", "thread_state_iowait"},
    [PP_STAGE_AGGREGATE] = {"aggregate", "background_memory_dump"},
    [PP_STAGE_MODEL_DOWNLOAD] = {"model_download", "detailed_memory_dump"},
    [PP_STAGE_SERVER_BACKWARD_INPUT] = {"backward", "rail_response"},
    [PP_STAGE_SERVER_BACKWARD_WEIGHT] = {"backward", "rail_response"},
};

/* A place in the trace: an event's process and thread. */
typedef struct place {
  int64_t process;
  int thread;
} place;

/* A micro-batch on its way: where its last stage was. An arrow is written when the next stage is met, so that there is
 * none with an open end, whatever the window. */
typedef struct flow {
  int32_t device, iteration, micro_batch;
  place at;
  int64_t end_ns;
} flow;

typedef struct exporter {
  pp_json *json;
  int64_t events, arrows;
  bool has_server;
  void *flows;     /* tsearch's tree of flow */
  void *processes; /* tsearch's tree of int64_t: those that have been named, a device's number or -1 - slot */
} exporter;

bool pp_trace_window_holds(const pp_trace_window *window, const pp_stage_record *row) {
  if (row->end_ns <= window->from_ns || row->start_ns >= window->to_ns)
    return false;
  bool held = window->range_count == 0 || row->device < 0;
  for (int range = 0; range < window->range_count && !held; range++)
    held = row->device >= window->ranges[range].first && row->device <= window->ranges[range].last;
  return held;
}

static int compare_flows(const void *a, const void *b) {
  const flow *x = a, *y = b;
  if (x->device != y->device)
    return x->device < y->device ? -1 : 1;
  if (x->iteration != y->iteration)
    return x->iteration < y->iteration ? -1 : 1;
  return (x->micro_batch > y->micro_batch) - (x->micro_batch < y->micro_batch);
}

static int compare_numbers(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static place place_of(const pp_stage_record *row) {
  switch (pp_stage_resource((pp_stage)row->stage)) {
  case PP_RESOURCE_DEVICE:
    return (place){FIRST_DEVICE_PROCESS + (int64_t)row->device, 1};
  case PP_RESOURCE_UPLINK:
    return (place){FIRST_DEVICE_PROCESS + (int64_t)row->device, 2};
  case PP_RESOURCE_DOWNLINK:
    return (place){FIRST_DEVICE_PROCESS + (int64_t)row->device, 3};
  case PP_RESOURCE_SERVER:
    break;
  }
  return (place){SERVER_PROCESS, 1 + (row->slot < 0 ? 0 : row->slot)};
}

static void begin_event(exporter *of, const char *phase, place at) {
  pp_json *json = of->json;
  pp_json_begin_map(json);
  pp_json_key(json, "ph");
  pp_json_text(json, phase);
  pp_json_key(json, "pid");
  pp_json_integer(json, at.process);
  pp_json_key(json, "tid");
  pp_json_integer(json, at.thread);
}

static void end_event(exporter *of) {
  pp_json_end_map(of->json);
  pp_json_break(of->json);
}

static void write_metadata(exporter *of, place at, const char *name, const char *argument, const char *text,
                           int64_t value) {
  begin_event(of, "M", at);
  pp_json_key(of->json, "name");
  pp_json_text(of->json, name);
  pp_json_key(of->json, "args");
  pp_json_begin_map(of->json);
  pp_json_key(of->json, argument);
  if (text != NULL)
    pp_json_text(of->json, text);
  else
    pp_json_integer(of->json, value);
  pp_json_end_map(of->json);
  end_event(of);
}

static void name_thread(exporter *of, place at, const char *name) {
  write_metadata(of, at, "thread_name", "name", name, 0);
  write_metadata(of, at, "thread_sort_index", "sort_index", NULL, at.thread);
}

/* Names a device's process and threads, or a slot's thread, before the first event there. */
static pp_status introduce(exporter *of, const pp_stage_record *row, place at) {
  bool server = at.process == SERVER_PROCESS;
  int64_t *number = malloc(sizeof *number);
  if (number == NULL)
    return pp_fail_memory("the trace", sizeof *number);
  *number = server ? -(int64_t)at.thread : row->device;
  int64_t **found = tsearch(number, &of->processes, compare_numbers);
  bool known = found != NULL && *found != number;
  if (found == NULL || known)
    free(number);
  if (found == NULL)
    return pp_fail_memory("the trace", sizeof *number);
  if (known)
    return NULL;
  char name[48];
  if (server) {
    snprintf(name, sizeof name, "slot %d", at.thread - 1);
    if (!of->has_server)
      write_metadata(of, at, "process_name", "name", "server", 0);
    of->has_server = true;
    name_thread(of, at, name);
    return NULL;
  }
  static const char *const threads[DEVICE_THREADS] = {"compute", "uplink", "downlink"};
  snprintf(name, sizeof name, "device %" PRId32, row->device);
  write_metadata(of, at, "process_name", "name", name, 0);
  write_metadata(of, at, "process_sort_index", "sort_index", NULL, at.process);
  for (int thread = 0; thread < DEVICE_THREADS; thread++)
    name_thread(of, (place){at.process, 1 + thread}, threads[thread]);
  return NULL;
}

static void write_argument(exporter *of, const char *key, int64_t value) {
  if (value < 0)
    return;
  pp_json_key(of->json, key);
  pp_json_integer(of->json, value);
}

static void write_stage(exporter *of, const pp_stage_record *row, place at) {
  pp_json *json = of->json;
  begin_event(of, "X", at);
  pp_json_key(json, "ts");
  pp_json_microseconds(json, row->start_ns);
  pp_json_key(json, "dur");
  pp_json_microseconds(json, row->end_ns - row->start_ns);
  pp_json_key(json, "name");
  pp_json_text(json, pp_stage_name((pp_stage)row->stage));
  pp_json_key(json, "cat");
  pp_json_text(json, looks[row->stage].kind);
  pp_json_key(json, "cname");
  pp_json_text(json, looks[row->stage].colour);
  pp_json_key(json, "args");
  pp_json_begin_map(json);
  write_argument(of, "device", row->device);
  write_argument(of, "round", row->round);
  write_argument(of, "iteration", row->iteration);
  write_argument(of, "micro_batch", row->micro_batch);
  if (row->bytes > 0)
    write_argument(of, "bytes", row->bytes);
  pp_json_end_map(json);
  end_event(of);
  of->events++;
}

static void write_arrow_end(exporter *of, const char *phase, place at, int64_t time_ns) {
  pp_json *json = of->json;
  begin_event(of, phase, at);
  pp_json_key(json, "ts");
  pp_json_microseconds(json, time_ns);
  pp_json_key(json, "name");
  pp_json_text(json, "micro-batch");
  pp_json_key(json, "cat");
  pp_json_text(json, "flow");
  pp_json_key(json, "id");
  pp_json_integer(json, of->arrows);
  pp_json_key(json, "bp");
  pp_json_text(json, "e");
  end_event(of);
}

/* Remembers where the micro-batch is now. Arrows begin in the last nanosecond of a stage, which is still its own. */
static pp_status follow(exporter *of, const pp_stage_record *row, place at) {
  flow next = {row->device, row->iteration, row->micro_batch, at, row->end_ns};
  flow **found = tfind(&next, &of->flows, compare_flows);
  if (found == NULL) {
    if (row->stage == PP_STAGE_BACKWARD)
      return NULL;
    flow *added = malloc(sizeof *added);
    if (added != NULL)
      *added = next;
    if (added == NULL || tsearch(added, &of->flows, compare_flows) == NULL) {
      free(added);
      return pp_fail_memory("the trace", sizeof *added);
    }
    return NULL;
  }
  flow *last = *found;
  if (last->at.process != at.process || last->at.thread != at.thread) {
    of->arrows++;
    write_arrow_end(of, "s", last->at, last->end_ns - 1);
    write_arrow_end(of, "f", at, row->start_ns);
  }
  if (row->stage == PP_STAGE_BACKWARD) {
    tdelete(last, &of->flows, compare_flows);
    free(last);
  } else {
    *last = next;
  }
  return NULL;
}

/* Of the server's backward pass the part before the download counts. */
static bool is_on_the_way(const pp_stage_record *row) {
  switch ((pp_stage)row->stage) {
  case PP_STAGE_FORWARD:
  case PP_STAGE_UPLOAD:
  case PP_STAGE_SERVER_FORWARD:
  case PP_STAGE_SERVER_BACKWARD:
  case PP_STAGE_SERVER_BACKWARD_INPUT:
  case PP_STAGE_DOWNLOAD:
  case PP_STAGE_BACKWARD:
    return row->micro_batch >= 0;
  default:
    return false;
  }
}

static pp_status write_row(exporter *of, const pp_stage_record *row) {
  place at = place_of(row);
  PP_TRY(introduce(of, row, at));
  write_stage(of, row, at);
  return is_on_the_way(row) ? follow(of, row, at) : NULL;
}

static pp_status write_rows(exporter *of, const pp_results *results, const pp_results_run *run,
                            const pp_trace_window *window) {
  pp_stage_record *rows = NULL;
  PP_TRY(pp_alloc(BLOCK_ROWS, sizeof *rows, "rows of stages", &rows));
  pp_status status = NULL;
  for (int64_t first = 0; first < run->stage_count && status == NULL; first += BLOCK_ROWS) {
    int64_t count = run->stage_count - first < BLOCK_ROWS ? run->stage_count - first : BLOCK_ROWS;
    status = pp_results_read_stages(results, run->run, first, count, rows);
    for (int64_t row = 0; row < count && status == NULL; row++)
      if (pp_trace_window_holds(window, &rows[row]))
        status = write_row(of, &rows[row]);
  }
  free(rows);
  return status;
}

static void write_facts(pp_json *json, const pp_results *results, const pp_results_run *run) {
  pp_json_key(json, "displayTimeUnit");
  pp_json_text(json, "ms");
  pp_json_key(json, "otherData");
  pp_json_begin_map(json);
  pp_json_key(json, "file");
  pp_json_text(json, pp_results_path(results));
  pp_json_key(json, "run");
  pp_json_integer(json, run->run);
  pp_json_key(json, "experiment");
  pp_json_text(json, run->name);
  pp_json_key(json, "method");
  pp_json_text(json, run->method);
  pp_json_key(json, "model");
  pp_json_text(json, run->model);
  pp_json_end_map(json);
}

pp_status pp_trace_events_write(const pp_results *results, const pp_results_run *run, const pp_trace_window *window,
                                FILE *stream, int64_t *events) {
  exporter of = {0};
  PP_TRY(pp_json_create(stream, &of.json));
  pp_json_begin_map(of.json);
  write_facts(of.json, results, run);
  pp_json_key(of.json, "traceEvents");
  pp_json_begin_array(of.json);
  pp_json_break(of.json);
  pp_status status = write_rows(&of, results, run, window);
  pp_json_end_array(of.json);
  pp_json_end_map(of.json);
  pp_json_break(of.json);
  tdestroy(of.flows, free);
  tdestroy(of.processes, free);
  status = pp_status_first(status, pp_json_finish(of.json));
  if (status == NULL)
    *events = of.events;
  return status;
}
