/* pipar report */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/commands.h"
#include "app/html.h"
#include "app/options.h"
#include "app/report.h"
#include "app/report_why.h"
#include "app/warnings.h"

typedef enum form { FORM_TEXT, FORM_CSV, FORM_JSON, FORM_HTML } form;

static void print_help(void) {
  printf("usage: pipar report OUT.h5 ... [--csv | --json | --html OUT.html]\n"
         "       pipar report --why OUT.h5 [--run N] [--json]\n\n"
         "Prints, for every run: its time, speed-up and idle time against the fl run with the same settings, what the\n"
         "idle time was spent waiting for, accuracy and bytes; runs that differ in the seed alone as their mean and\n"
         "95 %% interval. Reads files that are still being written too (OUT.h5.part, also found as OUT.h5).\n\n"
         "  --csv     a line a run, all figures, a column for every swept key\n"
         "  --json    all runs with all figures and settings\n"
         "  --html OUT.html  one page with tables, figures and a timeline to zoom, for any browser, without network\n"
         "  --why     the critical path of one run (which stages its time is made of), and what would make it shorter: "
         "the\n"
         "            timeline is run again with each change\n"
         "  --run N   which run, where the file holds several\n");
}

static pp_status write_page(const pp_report *report, const char *path) {
  char *warning = NULL;
  pp_status status = pp_html_write(report, path, &warning);
  if (status == NULL && warning != NULL)
    fprintf(stderr, "pipar: warning: %s has no figures: %s\n", path, warning);
  free(warning);
  if (status == NULL)
    printf("%s\n", path);
  return status;
}

static pp_status print_report(int file_count, char *const *paths, form as, const char *page) {
  pp_report *report = NULL;
  if (as == FORM_HTML)
    PP_TRY(pp_html_require());
  PP_TRY(pp_report_create(file_count, paths, &report));
  pp_status status = NULL;
  if (as == FORM_HTML)
    status = write_page(report, page);
  else if (as == FORM_CSV)
    pp_report_print_csv(report, stdout);
  else if (as == FORM_JSON)
    pp_report_print_json(report, stdout);
  else
    status = pp_report_print_text(report, stdout);
  if (status == NULL && as == FORM_TEXT)
    status = pp_warnings_of_report(report, stdout);
  pp_report_destroy(report);
  return status;
}

static pp_status explain(int file_count, char *const *paths, form as, bool why, const char *number) {
  if (!why)
    return pp_fail(PP_CODE_USAGE, "report: --run goes with --why alone");
  if (as == FORM_CSV || as == FORM_HTML)
    return pp_fail(PP_CODE_USAGE, "report: --why prints text or --json");
  if (file_count != 1)
    return pp_fail(PP_CODE_USAGE, "report: --why explains one results file, not %d", file_count);
  char *end = NULL;
  long run = number == NULL ? -1 : strtol(number, &end, 10);
  if (number != NULL && (*number < '0' || *number > '9' || *end != '\0' || run > 1000000))
    return pp_fail(PP_CODE_USAGE, "report: --run %.64s: allowed is a whole number from 0", number);
  return pp_report_why(paths[0], (int)run, as == FORM_JSON);
}

pp_status pp_cmd_report(int argc, char **argv, int *exit_code) {
  (void)exit_code;
  enum { OPT_CSV = 256, OPT_JSON, OPT_HTML, OPT_WHY, OPT_RUN };
  static const struct option longs[] = {{"csv", no_argument, NULL, OPT_CSV},
                                        {"json", no_argument, NULL, OPT_JSON},
                                        {"html", required_argument, NULL, OPT_HTML},
                                        {"why", no_argument, NULL, OPT_WHY},
                                        {"run", required_argument, NULL, OPT_RUN},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};
  form as = FORM_TEXT;
  const char *page = NULL, *number = NULL;
  bool why = false;
  PP_TRY(pp_app_check_values(argc, argv, ":h", longs));
  for (int c; (c = getopt_long(argc, argv, ":h", longs, NULL)) != -1;) {
    if (c == 'h') {
      print_help();
      return NULL;
    }
    if (c == OPT_WHY || c == OPT_RUN) {
      why = why || c == OPT_WHY;
      number = c == OPT_RUN ? optarg : number;
      continue;
    }
    if (c != OPT_CSV && c != OPT_JSON && c != OPT_HTML)
      return pp_app_bad_option(argc, argv, c);
    form wanted = c == OPT_CSV ? FORM_CSV : c == OPT_JSON ? FORM_JSON : FORM_HTML;
    page = c == OPT_HTML ? optarg : page;
    if (as != FORM_TEXT && as != wanted)
      return pp_fail(PP_CODE_USAGE, "report: --csv, --json and --html exclude each other");
    as = wanted;
  }
  if (why || number != NULL)
    return explain(argc - optind, argv + optind, as, why, number);
  if (optind == argc)
    return pp_fail(PP_CODE_USAGE, "report: a results file is missing: pipar report OUT.h5 ... [--csv | --json]");
  return print_report(argc - optind, argv + optind, as, page);
}
