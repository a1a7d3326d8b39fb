/* The files of figures: each is made in a directory of its own and gets its name when it is whole. */
#ifndef PP_APP_PLOT_FILES_H
#define PP_APP_PLOT_FILES_H

#include <stdio.h>

#include "app/plot_figures.h"

/* Makes the plot's directory where it is missing, and one in it for what is not whole (PP_CODE_RUN: it cannot). */
PP_MUST_CHECK pp_status pp_plot_open_staging(pp_plot *plot);
/* Removes what has not got its name; nothing where there is nothing. */
void pp_plot_close_staging(pp_plot *plot);

PP_MUST_CHECK pp_status pp_plot_open_file(const pp_plot *plot, const char *name, const char *extension, FILE **out);
/* Closes it whatever is returned. */
PP_MUST_CHECK pp_status pp_plot_close_file(const pp_plot *plot, const char *name, const char *extension, FILE *stream);

/* Whether all figures may have their names: none is a directory or a file that is read (PP_CODE_USAGE). */
PP_MUST_CHECK pp_status pp_plot_check_files(const pp_plot *plot);
/* Gives NAME.EXTENSION its name, which replaces what has it. */
PP_MUST_CHECK pp_status pp_plot_place_file(const pp_plot *plot, const char *name, const char *extension);

#endif
