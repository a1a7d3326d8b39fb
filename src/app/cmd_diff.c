/* pipar diff */
#include <getopt.h>
#include <stdio.h>

#include "app/commands.h"
#include "app/options.h"
#include "pipar/results.h"

static void print_help(void) {
  printf(
      "usage: pipar diff A.h5 B.h5\n\n"
      "Are the results the same, to the bit? Compares settings, tables, tensors and figures of every run, not where\n"
      "the files come from (names, times, hosts, versions). Prints the first difference. Exit code 0: the same, 1:\n"
      "they differ.\n");
}

pp_status pp_cmd_diff(int argc, char **argv, int *exit_code) {
  static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
  optind = 0;
  opterr = 0;
  for (int c; (c = getopt_long(argc, argv, ":h", longs, NULL)) != -1;) {
    if (c != 'h')
      return pp_app_bad_option(argc, argv, c);
    print_help();
    return NULL;
  }
  if (argc - optind != 2)
    return pp_fail(PP_CODE_USAGE, "diff: two results files are wanted, %d given: pipar diff A.h5 B.h5", argc - optind);
  bool same = false;
  PP_TRY(pp_results_diff(argv[optind], argv[optind + 1], stdout, &same));
  if (!same)
    *exit_code = 1;
  return NULL;
}
