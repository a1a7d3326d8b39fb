/* Reading a run's stages from first to last, in blocks. */
#ifndef PP_APP_STAGE_SCAN_H
#define PP_APP_STAGE_SCAN_H

#include "app/report_runs.h"

/* Returns false to end the scan. */
typedef bool (*pp_stage_visitor)(const pp_stage_record *row, void *context);

/* Local. Calls `take` for the run's stages in the file's order: round by round, by start. */
PP_MUST_CHECK pp_status pp_stage_scan(const pp_report *report, const pp_report_run *run, pp_stage_visitor take,
                                      void *context);
/* A link's latency as the run's settings have it, in nanoseconds. */
int64_t pp_stage_latency_ns(const pp_report_run *run, int group, bool up);
/* The group of every device, (device_count); freed by the caller. */
PP_MUST_CHECK pp_status pp_stage_groups(const pp_report *report, const pp_report_run *run, int32_t **out);

#endif
