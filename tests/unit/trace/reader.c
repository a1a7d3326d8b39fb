/* Opens the file of its argument as another process would: exits with the number of rounds of run 0, 10 more where the
 * run is complete. */
#include <stdio.h>
#include <string.h>

#include "pipar/results.h"

int main(int argc, char **argv) {
  pp_results *results = NULL;
  pp_results_run run;
  if (argc != 2)
    return 98;
  pp_status status = pp_results_open(argv[1], &results);
  if (status == NULL)
    status = pp_results_read_run(results, 0, &run);
  if (status != NULL) {
    fprintf(stderr, "%s\n", pp_error_message(status));
    return 97;
  }
  pp_results_close(results);
  return (int)run.round_count + (strcmp(run.status, "complete") == 0 ? 10 : 0);
}
