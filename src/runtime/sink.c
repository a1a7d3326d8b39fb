#include "runtime/sink.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A parcel is a sequence of items: a head, then its rows. */
typedef enum item_kind { ITEM_INPUTS, ITEM_PLAN, ITEM_ROUND_PLANS, ITEM_ROUND, ITEM_END } item_kind;

typedef struct item_head {
  item_kind kind;
  int64_t count; /* blocks, rows of a plan, stages of a round, devices of an end */
  int64_t extra; /* rows of costs, rounds of the run, slots of an end */
} item_head;

void pp_sink_fini(pp_sink *sink) {
  free(sink->parcel);
  *sink = (pp_sink){0};
}

static pp_status put(pp_sink *sink, const void *data, size_t bytes) {
  if (sink->bytes + bytes > sink->capacity) {
    size_t capacity = 2 * (sink->bytes + bytes) + 4096;
    char *parcel = NULL;
    PP_TRY(pp_alloc(capacity, 1, "the rows of a run", &parcel));
    if (sink->bytes > 0)
      memcpy(parcel, sink->parcel, sink->bytes);
    free(sink->parcel);
    sink->parcel = parcel;
    sink->capacity = capacity;
  }
  if (bytes > 0)
    memcpy(sink->parcel + sink->bytes, data, bytes);
  sink->bytes += bytes;
  return NULL;
}

static pp_status put_rows(pp_sink *sink, const void *rows, int64_t count, size_t size) {
  return put(sink, rows, (size_t)count * size);
}

pp_status pp_sink_plan(pp_sink *sink, const pp_plan_row *rows, int64_t count) {
  if (sink->writer != NULL)
    return pp_results_append_plan(sink->writer, sink->run, rows, count);
  PP_TRY(put(sink, &(item_head){.kind = ITEM_PLAN, .count = count}, sizeof(item_head)));
  return put_rows(sink, rows, count, sizeof *rows);
}

pp_status pp_sink_round_plans(pp_sink *sink, const pp_round_plan_row *rows, int64_t count) {
  if (sink->writer != NULL)
    return pp_results_append_round_plans(sink->writer, sink->run, rows, count);
  PP_TRY(put(sink, &(item_head){.kind = ITEM_ROUND_PLANS, .count = count}, sizeof(item_head)));
  return put_rows(sink, rows, count, sizeof *rows);
}

static pp_status write_inputs(pp_sink *sink, const pp_network_row *network, int64_t blocks, const pp_cost_row *costs,
                              int64_t count) {
  PP_TRY(pp_results_append_network(sink->writer, sink->run, network, blocks));
  return pp_results_append_costs(sink->writer, sink->run, costs, count);
}

pp_status pp_sink_inputs(pp_sink *sink, const pp_network_row *network, int64_t blocks, const pp_cost_row *costs,
                         int64_t count) {
  if (sink->writer != NULL)
    return write_inputs(sink, network, blocks, costs, count);
  PP_TRY(put(sink, &(item_head){.kind = ITEM_INPUTS, .count = blocks, .extra = count}, sizeof(item_head)));
  PP_TRY(put_rows(sink, network, blocks, sizeof *network));
  return put_rows(sink, costs, count, sizeof *costs);
}

static pp_status write_round(pp_sink *sink, const pp_stage_record *stages, int64_t count, const pp_round_row *row,
                             int64_t rounds) {
  if (count > 0)
    PP_TRY(pp_results_append_stages(sink->writer, sink->run, stages, count));
  PP_TRY(pp_results_append_round(sink->writer, sink->run, row));
  PP_TRY(pp_results_flush(sink->writer));
  sink->rounds++;
  if (sink->watcher != NULL)
    sink->watcher(row, rounds, sink->context);
  return NULL;
}

pp_status pp_sink_round(pp_sink *sink, const pp_stage_record *stages, int64_t count, const pp_round_row *row,
                        int64_t rounds) {
  if (sink->writer != NULL)
    return write_round(sink, stages, count, row, rounds);
  PP_TRY(put(sink, &(item_head){.kind = ITEM_ROUND, .count = count, .extra = rounds}, sizeof(item_head)));
  PP_TRY(put(sink, row, sizeof *row));
  return put_rows(sink, stages, count, sizeof *stages);
}

pp_status pp_sink_end(pp_sink *sink, const pp_run_summary *summary, const pp_device_row *devices, int64_t device_count,
                      const pp_server_row *server, int64_t slot_count, const pp_model *model, const float *params,
                      const float *stats) {
  if (sink->writer != NULL)
    return pp_results_end_run(sink->writer, sink->run, "complete", summary, devices, device_count, server, slot_count,
                              model, params, stats);
  PP_ASSERT(model == NULL); /* only runs that train nothing are spread */
  PP_TRY(put(sink, &(item_head){.kind = ITEM_END, .count = device_count, .extra = slot_count}, sizeof(item_head)));
  PP_TRY(put(sink, summary, sizeof *summary));
  PP_TRY(put_rows(sink, devices, device_count, sizeof *devices));
  return put_rows(sink, server, slot_count, sizeof *server);
}

static void get(const char **from, void *data, size_t bytes) {
  memcpy(data, *from, bytes);
  *from += bytes;
}

/* Rows leave the parcel aligned: items have any length. */
static pp_status get_rows(const char **from, int64_t count, size_t size, void *out) {
  void *rows = NULL;
  PP_TRY(pp_alloc((size_t)count, size, "the rows of a run", &rows));
  get(from, rows, (size_t)count * size);
  memcpy(out, &rows, sizeof rows);
  return NULL;
}

static pp_status unpack_round(pp_sink *sink, const item_head *head, const char **from) {
  pp_round_row row;
  pp_stage_record *stages = NULL;
  get(from, &row, sizeof row);
  PP_TRY(get_rows(from, head->count, sizeof *stages, &stages));
  pp_status status = write_round(sink, stages, head->count, &row, head->extra);
  free(stages);
  return status;
}

static pp_status unpack_plan(pp_sink *sink, const item_head *head, const char **from) {
  pp_plan_row *rows = NULL;
  PP_TRY(get_rows(from, head->count, sizeof *rows, &rows));
  pp_status status = pp_sink_plan(sink, rows, head->count);
  free(rows);
  return status;
}

static pp_status unpack_round_plans(pp_sink *sink, const item_head *head, const char **from) {
  pp_round_plan_row *rows = NULL;
  PP_TRY(get_rows(from, head->count, sizeof *rows, &rows));
  pp_status status = pp_sink_round_plans(sink, rows, head->count);
  free(rows);
  return status;
}

static pp_status unpack_inputs(pp_sink *sink, const item_head *head, const char **from) {
  pp_network_row *network = NULL;
  pp_cost_row *costs = NULL;
  pp_status status = get_rows(from, head->count, sizeof *network, &network);
  if (status == NULL)
    status = get_rows(from, head->extra, sizeof *costs, &costs);
  if (status == NULL)
    status = write_inputs(sink, network, head->count, costs, head->extra);
  free(network);
  free(costs);
  return status;
}

static pp_status unpack_end(pp_sink *sink, const item_head *head, const char **from) {
  pp_run_summary summary;
  pp_device_row *devices = NULL;
  pp_server_row *server = NULL;
  get(from, &summary, sizeof summary);
  pp_status status = get_rows(from, head->count, sizeof *devices, &devices);
  if (status == NULL)
    status = get_rows(from, head->extra, sizeof *server, &server);
  if (status == NULL)
    status = pp_sink_end(sink, &summary, devices, head->count, server, head->extra, NULL, NULL, NULL);
  free(devices);
  free(server);
  return status;
}

pp_status pp_sink_deliver(pp_sink *sink, const char *parcel, size_t bytes, bool *complete) {
  *complete = false;
  PP_TRY(pp_results_settle(sink->writer)); /* a run that has been worked out */
  for (const char *from = parcel; from < parcel + bytes;) {
    item_head head;
    get(&from, &head, sizeof head);
    switch (head.kind) {
    case ITEM_INPUTS:
      PP_TRY(unpack_inputs(sink, &head, &from));
      break;
    case ITEM_PLAN:
      PP_TRY(unpack_plan(sink, &head, &from));
      break;
    case ITEM_ROUND_PLANS:
      PP_TRY(unpack_round_plans(sink, &head, &from));
      break;
    case ITEM_ROUND:
      PP_TRY(unpack_round(sink, &head, &from));
      break;
    case ITEM_END:
      PP_TRY(unpack_end(sink, &head, &from));
      *complete = true;
      break;
    }
  }
  return NULL;
}
