/* Command lines that name an experiment: EXP.yaml and any number of --set. */
#ifndef PP_APP_OPTIONS_H
#define PP_APP_OPTIONS_H

#include <getopt.h>

#include "pipar/config.h"

typedef struct pp_app_experiment {
  const char *path;
  int override_count;
  pp_override *overrides; /* (override_count) */
} pp_app_experiment;

/* The text stays the caller's. */
PP_MUST_CHECK pp_status pp_app_experiment_set(pp_app_experiment *experiment, const char *text);
/* After getopt_long: takes the one argument that is left. */
PP_MUST_CHECK pp_status pp_app_experiment_file(pp_app_experiment *experiment, int argc, char **argv);
PP_MUST_CHECK pp_status pp_app_experiment_load(const pp_app_experiment *experiment, pp_experiment **out);
/* Names the experiment's file, and the run if there are several, in an error of that run; usage needs no such place. */
PP_MUST_CHECK pp_status pp_app_in_run(const pp_app_experiment *named, const pp_experiment *experiment, int run,
                                      pp_status status);
void pp_app_experiment_fini(pp_app_experiment *experiment);

/* Before getopt_long with the same arguments, which begins anew: no option but --set has two values (PP_CODE_USAGE).
 * The same one twice is none; what getopt_long does not accept is left to it. */
PP_MUST_CHECK pp_status pp_app_check_values(int argc, char **argv, const char *shorts, const struct option *longs);
/* The runs [*first, *end) that --run names of the `count` that `path` has: one, or all where text is NULL. most:
 * numbers are below it, as a file may hold some of a sweep's runs. Errors (PP_CODE_USAGE) name the command. */
PP_MUST_CHECK pp_status pp_app_choose_runs(const char *command, const char *text, const char *path, int count, int most,
                                           int *first, int *end);
/* The error for what getopt_long, its short options beginning with ':', did not accept: it returned ':' or '?'. */
PP_MUST_CHECK pp_status pp_app_bad_option(int argc, char **argv, int returned);

#endif
