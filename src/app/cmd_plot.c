/* pipar plot */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "app/commands.h"
#include "app/options.h"
#include "app/plot.h"

static void print_help(void) {
  printf(
      "usage: pipar plot OUT.h5 ... -o DIR [--idle causes|as-published]\n\n"
      "Draws figures of all runs with gnuplot, each as SVG and PNG with its data as CSV and its gnuplot program "
      "beside\n"
      "it: idle time of server and devices by cause, training time, accuracy and loss against emulated time, and for\n"
      "each method the Gantt chart of an iteration (where stages were recorded); time against the number of devices\n"
      "where that varies, a map where runs cover splits and micro-batches, and lower bounds where schedules beyond\n"
      "pipar are compared. Makes DIR where it is missing.\n\n"
      "  --idle as-published    idle time by the published code's definitions (docs/reproduction.md) instead of by\n"
      "                         cause; needs recorded stages and server.policy space-share with a slot a device\n");
}

pp_status pp_cmd_plot(int argc, char **argv, int *exit_code) {
  (void)exit_code;
  enum { OPT_IDLE = 256 };
  static const struct option longs[] = {{"output", required_argument, NULL, 'o'},
                                        {"idle", required_argument, NULL, OPT_IDLE},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};
  bool as_published = false;
  const char *directory = NULL;
  PP_TRY(pp_app_check_values(argc, argv, ":ho:", longs));
  for (int c; (c = getopt_long(argc, argv, ":ho:", longs, NULL)) != -1;) {
    if (c == 'h') {
      print_help();
      return NULL;
    }
    if (c == OPT_IDLE) {
      as_published = strcmp(optarg, "as-published") == 0;
      if (!as_published && strcmp(optarg, "causes") != 0)
        return pp_fail(PP_CODE_USAGE, "plot: --idle %s: allowed is causes or as-published", optarg);
      continue;
    }
    if (c != 'o')
      return pp_app_bad_option(argc, argv, c);
    directory = optarg;
  }
  if (optind == argc)
    return pp_fail(PP_CODE_USAGE, "plot: a results file is missing: pipar plot OUT.h5 ... -o DIR");
  if (directory == NULL || directory[0] == '\0')
    return pp_fail(PP_CODE_USAGE, "plot: -o DIR is missing: where the figures go");
  pp_report *report = NULL;
  PP_TRY(pp_report_create(argc - optind, argv + optind, &report));
  pp_status status = pp_plot_all(report, directory, as_published, stdout);
  pp_report_destroy(report);
  return status;
}
