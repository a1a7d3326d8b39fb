/* The commands that read results files, as a program of their own: commands report|plot|diff ARGUMENTS. */
#include <stdio.h>
#include <string.h>

#include "app/commands.h"
#include "app/report_why.h"
#include "app/warnings.h"

/* Runs timelines, for which this program is not linked with what it takes. */
pp_status pp_report_why(const char *path, int run, bool json) {
  (void)run;
  (void)json;
  return pp_fail(PP_CODE_USAGE, "%s: not here", path);
}

pp_status pp_warnings_of_report(const pp_report *report, FILE *stream) {
  (void)report;
  (void)stream;
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 2)
    return 1;
  int exit_code = 0;
  pp_status status = strcmp(argv[1], "report") == 0 ? pp_cmd_report(argc - 1, argv + 1, &exit_code)
                     : strcmp(argv[1], "plot") == 0 ? pp_cmd_plot(argc - 1, argv + 1, &exit_code)
                                                    : pp_cmd_diff(argc - 1, argv + 1, &exit_code);
  if (status == NULL)
    return exit_code;
  fprintf(stderr, "pipar: %s\n", pp_error_message(status));
  exit_code = (int)pp_error_code(status);
  pp_error_free(status);
  return exit_code;
}
