/* pipar merge */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/commands.h"
#include "app/options.h"
#include "app/output.h"
#include "pipar/results.h"

static void print_help(void) {
  printf(
      "usage: pipar merge A.h5 B.h5 ... -o OUT.h5 [--force]\n\n"
      "Puts results files of single runs of one sweep (pipar run --run N) together in one, as one `pipar run` would\n"
      "have written it: every run of the sweep must be there once and be complete.\n\n"
      "  -o, --output OUT.h5\n"
      "      --force           replace an existing output\n");
}

static pp_status merge(int file_count, char *const *paths, const char *path, bool force) {
  pp_output output;
  if (!force && access(path, F_OK) == 0)
    return pp_output_exists(path);
  PP_TRY(pp_output_open(&output, path, paths, force));
  output.keeps = !force;
  char *text = NULL;
  size_t bytes = 0;
  FILE *log = open_memstream(&text, &bytes);
  pp_status status = log == NULL ? pp_fail_memory("the log", 0) : NULL;
  if (status == NULL)
    status = pp_results_merge(file_count, paths, output.part, log);
  if (status == NULL)
    status = pp_output_commit(&output, NULL);
  pp_output_abandon(&output);
  if (log != NULL)
    fclose(log);
  if (status == NULL)
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
      fprintf(stderr, "pipar: warning: %s\n", line);
  free(text);
  if (status == NULL)
    printf("%s\n", path);
  return status;
}

pp_status pp_cmd_merge(int argc, char **argv, int *exit_code) {
  (void)exit_code;
  enum { OPT_FORCE = 256 };
  static const struct option longs[] = {{"output", required_argument, NULL, 'o'},
                                        {"force", no_argument, NULL, OPT_FORCE},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};
  const char *path = NULL;
  bool force = false;
  PP_TRY(pp_app_check_values(argc, argv, ":ho:", longs));
  for (int c; (c = getopt_long(argc, argv, ":ho:", longs, NULL)) != -1;) {
    if (c == 'h') {
      print_help();
      return NULL;
    }
    if (c != 'o' && c != OPT_FORCE)
      return pp_app_bad_option(argc, argv, c);
    force = force || c == OPT_FORCE;
    path = c == 'o' ? optarg : path;
  }
  if (optind == argc)
    return pp_fail(PP_CODE_USAGE, "merge: results files are missing: pipar merge A.h5 B.h5 ... -o OUT.h5");
  if (path == NULL)
    return pp_fail(PP_CODE_USAGE, "merge: -o OUT.h5 is missing: where the merged results go");
  return merge(argc - optind, argv + optind, path, force);
}
