/* What a run's batch norms warn of: statistics of few samples, and running statistics of few steps. */
#ifndef PP_APP_WARNINGS_H
#define PP_APP_WARNINGS_H

#include <stdio.h>

#include "app/report_runs.h"
#include "pipar/config.h"
#include "runtime/run.h"

typedef struct pp_warning {
  char *text;
  int run_count;
  int *runs; /* (run_count) */
} pp_warning;

typedef struct pp_warnings {
  int count;
  pp_warning *of; /* (count), each text once */
} pp_warnings;

/* Local. Looks at run `run`, whose numbers only grow; what it warns of is not printed yet. Errors:
 * pp_scenario_create's.
 */
PP_MUST_CHECK pp_status pp_warnings_add(pp_warnings *warnings, int run, const pp_config *config);
/* The same from what was worked out about the run when it was checked. Errors: memory (PP_CODE_RUN). */
PP_MUST_CHECK pp_status pp_warnings_add_draft(pp_warnings *warnings, int run, const pp_config *config,
                                              const pp_run_draft *draft);
/* A line each, with the runs where the experiment has several. */
void pp_warnings_print(const pp_warnings *warnings, int run_count, FILE *stream);
void pp_warnings_fini(pp_warnings *warnings);

/* Local. Warns of the report's complete runs that have an accuracy; says nothing of files that do not hold their
 * experiment. */
PP_MUST_CHECK pp_status pp_warnings_of_report(const pp_report *report, FILE *stream);

#endif
