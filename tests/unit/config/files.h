/* Experiments written to a scratch file, loaded, and taken away again. */
#ifndef PP_TEST_CONFIG_FILES_H
#define PP_TEST_CONFIG_FILES_H

#include <stdlib.h>
#include <string.h>

#include "pipar/config.h"
#include "suite.h"

/* The smallest experiment: what every other one adds to. */
#define DEVICES "devices: [{device: raspberry-pi-4b, network: code-10-25}]\n"
#define LEAST   "method: pipar\n" DEVICES

/* Loads a text as the file "exp.yaml" of a scratch directory; overrides end with NULL. */
pp_status load_text(const char *text, size_t length, pp_experiment **out, const pp_override *overrides);
/* The experiment, which must load. The caller destroys it. */
pp_experiment *must_load(const char *text);
pp_experiment *must_load_with(const char *text, const pp_override *overrides);
/* The message of an error that must come, less the directory of the file, checked to be one printable line. Valid until
 * the next call. */
const char *error_of(const char *text);
const char *error_with(const char *text, const pp_override *overrides);
void check_one_line(const char *message);
/* What pp_config_dump writes; the caller frees it. */
char *dump_of(const pp_config *config);

#define SET(...) ((const pp_override[]){__VA_ARGS__, NULL})

/* Runs one test case's tests; returns main's exit code. */
int run_tests(const char *name, const TTest *const *tests, int count);
#define RUN_TESTS(name, tests) run_tests(name, tests, (int)(sizeof(tests) / sizeof *(tests)))

#endif
