/* `pipar report --html`: one page with the tables, the figures and a timeline, which needs nothing but a browser. */
#ifndef PP_APP_HTML_H
#define PP_APP_HTML_H

#include "app/report_runs.h"

/* Refuses in one line where the program was built without yajl or D3. */
PP_MUST_CHECK pp_status pp_html_require(void);

/* Local. Writes the page to PATH, whole or not at all. Stages are taken in up to a number that browsers draw smoothly,
 * shared evenly by the runs. Without gnuplot the page has no figures, says so, and so does `*warning` (one line, to be
 * freed; NULL where there is nothing to say). */
PP_MUST_CHECK pp_status pp_html_write(const pp_report *report, const char *path, char **warning);

#endif
