/* `pipar trace`: the stages of a run as trace events, which Perfetto and chrome://tracing draw. */
#ifndef PP_APP_TRACE_EVENTS_H
#define PP_APP_TRACE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "pipar/results.h"

typedef struct pp_device_range {
  int32_t first, last;
} pp_device_range;

/* What is shown: stages that lie partly in [from_ns, to_ns), of the devices in the ranges (none: of all), on the server
 * those of their micro-batches. Aggregation belongs to all. */
typedef struct pp_trace_window {
  int64_t from_ns, to_ns;
  int range_count;
  const pp_device_range *ranges; /* (range_count) */
} pp_trace_window;

bool pp_trace_window_holds(const pp_trace_window *window, const pp_stage_record *row);

/* Streams the events of a run. *events: how many stages were written. Errors: reading; memory. */
PP_MUST_CHECK pp_status pp_trace_events_write(const pp_results *results, const pp_results_run *run,
                                              const pp_trace_window *window, FILE *stream, int64_t *events);

#endif
