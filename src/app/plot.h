/* `pipar plot`: figures of runs, drawn by gnuplot. */
#ifndef PP_APP_PLOT_H
#define PP_APP_PLOT_H

#include <stdio.h>

#include "app/report_runs.h"

/* Local. Makes `directory` where it is missing and writes into it, for each figure that the runs have data for,
 * NAME.csv, NAME.gnuplot, NAME.svg and NAME.png; `as_published`: idle time by the published code's definitions
 * (app/idle_as_published.h) instead of by cause. Names what it made on `log`. The same runs give the same bytes. Errors
 * (PP_CODE_RUN): not writable; gnuplot missing or failing, after all CSV files are written. */
PP_MUST_CHECK pp_status pp_plot_all(const pp_report *report, const char *directory, bool as_published, FILE *log);

#endif
