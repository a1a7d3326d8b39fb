#include <getopt.h>
#include <stdio.h>

#include "app/commands.h"
#include "pipar/config.h"

static const char usage[] =
    "usage: pipar presets\n"
    "Devices and networks that an experiment file can name, with every number's unit, kind and source.\n"
    "Kinds: measured (by whom the source says), datasheet, fitted (from measured numbers), estimate (ours).\n";

pp_status pp_cmd_presets(int argc, char **argv, int *exit_code) {
  static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
  optind = 0; /* forget an earlier scan */
  opterr = 0;
  for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
    if (option != 'h')
      return pp_fail(PP_CODE_USAGE, "presets: %s is not an option: allowed is --help", argv[optind - 1]);
    fputs(usage, stdout);
    *exit_code = 0;
    return NULL;
  }
  if (optind < argc)
    return pp_fail(PP_CODE_USAGE, "presets: %s is one argument too many: allowed is none", argv[optind]);
  PP_TRY(pp_presets_print(stdout));
  *exit_code = 0;
  return NULL;
}
