#include "app/options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

pp_status pp_app_experiment_set(pp_app_experiment *experiment, const char *text) {
  pp_override *overrides = NULL;
  size_t count = (size_t)experiment->override_count;
  PP_TRY(pp_alloc(count + 1, sizeof *overrides, "--set", &overrides));
  if (count > 0)
    memcpy(overrides, experiment->overrides, count * sizeof *overrides);
  overrides[count] = text;
  free(experiment->overrides);
  experiment->overrides = overrides;
  experiment->override_count++;
  return NULL;
}

pp_status pp_app_experiment_file(pp_app_experiment *experiment, int argc, char **argv) {
  if (optind == argc)
    return pp_fail(PP_CODE_USAGE, "%s: an experiment file is missing: see pipar %s --help", argv[0], argv[0]);
  if (optind + 1 < argc)
    return pp_fail(PP_CODE_USAGE, "%s: '%s' is one argument too many: see pipar %s --help", argv[0], argv[optind + 1],
                   argv[0]);
  experiment->path = argv[optind];
  return NULL;
}

pp_status pp_app_experiment_load(const pp_app_experiment *experiment, pp_experiment **out) {
  return pp_experiment_load(experiment->path, experiment->overrides, experiment->override_count, out);
}

pp_status pp_app_in_run(const pp_app_experiment *named, const pp_experiment *experiment, int run, pp_status status) {
  if (pp_error_code(status) == PP_CODE_USAGE)
    return status;
  if (pp_experiment_run_count(experiment) == 1)
    return pp_fail_in(status, "%s", named->path);
  return pp_fail_in(status, "%s: run %d", named->path, run);
}

void pp_app_experiment_fini(pp_app_experiment *experiment) {
  free(experiment->overrides);
  *experiment = (pp_app_experiment){0};
}

pp_status pp_app_check_values(int argc, char **argv, const char *shorts, const struct option *longs) {
  enum { MOST_CODES = 512 }; /* what getopt_long returns: a letter, or a command's own number beyond */
  const char *values[MOST_CODES] = {NULL};
  optind = 0; /* forget an earlier scan */
  opterr = 0;
  for (int c; (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1 && c != '?' && c != ':' && c != 'h';) {
    const struct option *option = longs;
    while (option->name != NULL && option->val != c)
      option++;
    PP_ASSERT(c > 0 && c < MOST_CODES);
    if (optarg == NULL || (option->name != NULL && strcmp(option->name, "set") == 0))
      continue;
    const char letter[] = {(char)c, '\0'};
    if (values[c] != NULL && strcmp(values[c], optarg) != 0)
      return pp_fail(PP_CODE_USAGE, "%s: -%s%s is given twice, as '%s' and '%s': allowed is once", argv[0],
                     option->name != NULL ? "-" : "", option->name != NULL ? option->name : letter, values[c], optarg);
    values[c] = optarg;
  }
  optind = 0;
  return NULL;
}

pp_status pp_app_choose_runs(const char *command, const char *text, const char *path, int count, int most, int *first,
                             int *end) {
  *first = 0;
  *end = count;
  if (text == NULL)
    return NULL;
  char *rest = NULL;
  long number = strtol(text, &rest, 10);
  if (text[0] < '0' || text[0] > '9' || *rest != '\0' || number >= most)
    return pp_fail(PP_CODE_USAGE, "%s: --run %.64s: %s has runs 0 to %d", command, text, path, count - 1);
  *first = (int)number;
  *end = *first + 1;
  return NULL;
}

pp_status pp_app_bad_option(int argc, char **argv, int returned) {
  /* Of short options that stand together getopt_long names the one in optopt; of long ones it has gone past the word.
   */
  bool is_short = optopt > 0 && optopt < 128;
  char letter[] = {'-', (char)optopt, '\0'};
  const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
  const char *given = is_short ? letter : word;
  if (returned == ':')
    return pp_fail(PP_CODE_USAGE, "%s: option '%s' needs a value: see pipar %s --help", argv[0], given, argv[0]);
  return pp_fail(PP_CODE_USAGE, "%s: there is no option '%s': see pipar %s --help", argv[0], given, argv[0]);
}
