/* Where a run's rows go: into the results file on rank 0, or into a parcel that goes there later. */
#ifndef PP_RUNTIME_SINK_H
#define PP_RUNTIME_SINK_H

#include "pipar/results.h"

/* What a round looked like, for whoever watches. */
typedef void (*pp_round_watcher)(const pp_round_row *row, int64_t rounds, void *context);

typedef struct pp_sink {
  int run;                   /* its number in the experiment */
  pp_results_writer *writer; /* NULL: rows are kept in the parcel */
  pp_round_watcher watcher;  /* may be NULL; told when a row reaches the file */
  void *context;
  int64_t rounds; /* that reached the file */
  size_t bytes, capacity;
  char *parcel; /* (capacity), used up to bytes */
} pp_sink;

void pp_sink_fini(pp_sink *sink);

PP_MUST_CHECK pp_status pp_sink_plan(pp_sink *sink, const pp_plan_row *rows, int64_t count);
PP_MUST_CHECK pp_status pp_sink_round_plans(pp_sink *sink, const pp_round_plan_row *rows, int64_t count);
/* What the run's times follow from. */
PP_MUST_CHECK pp_status pp_sink_inputs(pp_sink *sink, const pp_network_row *network, int64_t blocks,
                                       const pp_cost_row *costs, int64_t count);
/* A round: its stages, its row; durable in the file when this returns. rounds: of the run. */
PP_MUST_CHECK pp_status pp_sink_round(pp_sink *sink, const pp_stage_record *stages, int64_t count,
                                      const pp_round_row *row, int64_t rounds);
/* The end of a complete run. model, params and stats may be NULL. */
PP_MUST_CHECK pp_status pp_sink_end(pp_sink *sink, const pp_run_summary *summary, const pp_device_row *devices,
                                    int64_t device_count, const pp_server_row *server, int64_t slot_count,
                                    const pp_model *model, const float *params, const float *stats);

/* Puts the rows of a parcel, an incomplete run's too, into the sink's file. *complete: the run's end was among them. */
PP_MUST_CHECK pp_status pp_sink_deliver(pp_sink *sink, const char *parcel, size_t bytes, bool *complete);

#endif
