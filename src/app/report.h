/* `pipar report`: tables of runs as text, CSV and JSON. */
#ifndef PP_APP_REPORT_H
#define PP_APP_REPORT_H

#include <stdio.h>

#include "app/report_runs.h"

/* Tables of at most 120 columns, seeds averaged, with a legend. */
PP_MUST_CHECK pp_status pp_report_print_text(const pp_report *report, FILE *stream);
/* What was run, as far as the runs have it in common: model, data, schedule, devices by group, links, server. */
void pp_report_print_heading(const pp_report *report, FILE *stream);
/* RFC 4180: a line a run, every figure, and the settings that tell the runs apart under their keys; empty where one
 * does not apply. */
void pp_report_print_csv(const pp_report *report, FILE *stream);
/* Every run with all its settings and figures, then the groups that differ in the seed alone; null where a figure does
 * not apply. */
void pp_report_print_json(const pp_report *report, FILE *stream);

/* A field of a CSV line, quoted where it has to be. */
void pp_csv_print_text(FILE *stream, const char *text);
/* 12 digits, which leave out what rounding has made of sums; nothing for NaN. JSON has all. */
void pp_csv_print_real(FILE *stream, double value);

/* Heads of columns for causes of idle time, two lines each. */
extern const char *const pp_report_cause_heads[PP_CAUSE_COUNT][2];

#endif
