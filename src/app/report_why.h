/* pipar report --why: the critical path of a run, and what would make it shorter. */
#ifndef PP_APP_REPORT_WHY_H
#define PP_APP_REPORT_WHY_H

#include "pipar/results.h"
#include "pipar/status.h"

/* Prints to stdout. run: -1 takes the only one. Errors (PP_CODE_USAGE): several runs and none chosen; (PP_CODE_INPUT):
 * a file that does not hold its inputs, or a run whose times the timeline does not give again. */
PP_MUST_CHECK pp_status pp_report_why(const char *path, int run, bool json);

/* The experiment that the file holds. Errors (PP_CODE_INPUT): it holds none. The caller destroys it. */
PP_MUST_CHECK pp_status pp_report_experiment(const pp_results *results, pp_experiment **out);

#endif
