/* pipar trace */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/commands.h"
#include "app/json.h"
#include "app/options.h"
#include "app/output.h"
#include "app/trace_events.h"
#include "base/mem.h"

/* Beyond this browsers take long to load a trace. */
enum { LARGE_BYTES = 100000000 };

typedef struct trace_options {
  const char *input, *output;
  int run; /* -1: the only one */
  pp_trace_window window;
  pp_device_range *ranges;
} trace_options;

static void print_help(void) {
  printf("usage: pipar trace OUT.h5 -o T.json [--run N] [--from S] [--to S] [--devices LIST]\n\n"
         "Writes the stages of a run as trace events, for Perfetto (https://ui.perfetto.dev) or chrome://tracing: a\n"
         "process a device and one for the server, a thread a resource, arrows along the way of each micro-batch.\n"
         "The run must have recorded its stages (record: {stages: true}, the default).\n\n"
         "  -o, --output T.json   replaces what is there, once it is complete\n"
         "      --run N           which run; needed where the file has several\n"
         "      --from S, --to S  only stages that lie partly in this time, in emulated seconds\n"
         "      --devices LIST    only these devices, e.g. 0,4-7\n");
}

static pp_status parse_integer(const char *option, const char *text, const char **end, int32_t *out) {
  char *rest = NULL;
  errno = 0;
  long value = strtol(text, &rest, 10);
  if (text[0] < '0' || text[0] > '9' || errno != 0 || value > INT32_MAX || (end == NULL && *rest != '\0'))
    return pp_fail(PP_CODE_USAGE, "trace: %s %s: allowed is a whole number from 0", option, text);
  if (end != NULL)
    *end = rest;
  *out = (int32_t)value;
  return NULL;
}

static pp_status parse_time(const char *option, const char *text, int64_t *out_ns) {
  char *rest = NULL;
  double value = strtod(text, &rest);
  if (rest == text || *rest != '\0' || !(value >= 0) || value > 9e9)
    return pp_fail(PP_CODE_USAGE, "trace: %s %s: allowed are seconds from 0 to 9e9", option, text);
  *out_ns = (int64_t)llround(value * 1e9);
  return NULL;
}

/* "0,4-7" */
static pp_status parse_devices(const char *text, trace_options *options) {
  size_t most = 1;
  for (const char *c = text; *c != '\0'; c++)
    most += *c == ',';
  free(options->ranges);
  options->ranges = NULL;
  PP_TRY(pp_alloc(most, sizeof *options->ranges, "--devices", &options->ranges));
  options->window.ranges = options->ranges;
  options->window.range_count = 0;
  for (const char *next = text;; next++) {
    pp_device_range range;
    PP_TRY(parse_integer("--devices", next, &next, &range.first));
    range.last = range.first;
    if (*next == '-')
      PP_TRY(parse_integer("--devices", next + 1, &next, &range.last));
    if (range.last < range.first || (*next != ',' && *next != '\0'))
      return pp_fail(PP_CODE_USAGE, "trace: --devices %s: allowed are numbers and ranges, 0,4-7", text);
    options->ranges[options->window.range_count++] = range;
    if (*next == '\0')
      return NULL;
  }
}

static pp_status parse(int argc, char **argv, trace_options *options, bool *help) {
  enum { OPT_RUN = 256, OPT_FROM, OPT_TO, OPT_DEVICES };
  static const struct option longs[] = {{"output", required_argument, NULL, 'o'},
                                        {"run", required_argument, NULL, OPT_RUN},
                                        {"from", required_argument, NULL, OPT_FROM},
                                        {"to", required_argument, NULL, OPT_TO},
                                        {"devices", required_argument, NULL, OPT_DEVICES},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};
  PP_TRY(pp_app_check_values(argc, argv, ":ho:", longs));
  for (int c; (c = getopt_long(argc, argv, ":ho:", longs, NULL)) != -1;) {
    if (c == 'h') {
      *help = true;
      return NULL;
    }
    if (c == 'o')
      options->output = optarg;
    else if (c == OPT_RUN)
      PP_TRY(parse_integer("--run", optarg, NULL, &options->run));
    else if (c == OPT_FROM)
      PP_TRY(parse_time("--from", optarg, &options->window.from_ns));
    else if (c == OPT_TO)
      PP_TRY(parse_time("--to", optarg, &options->window.to_ns));
    else if (c == OPT_DEVICES)
      PP_TRY(parse_devices(optarg, options));
    else
      return pp_app_bad_option(argc, argv, c);
  }
  if (optind == argc)
    return pp_fail(PP_CODE_USAGE, "trace: a results file is missing: pipar trace OUT.h5 -o T.json");
  if (optind + 1 < argc)
    return pp_fail(PP_CODE_USAGE, "trace: '%s' is one argument too many: a trace is of one file", argv[optind + 1]);
  if (options->output == NULL)
    return pp_fail(PP_CODE_USAGE, "trace: -o T.json is missing: where the trace goes");
  if (options->window.to_ns <= options->window.from_ns)
    return pp_fail(PP_CODE_USAGE, "trace: --to must be later than --from");
  options->input = argv[optind];
  return NULL;
}

#ifdef PP_WITH_YAJL

static pp_status choose_run(const pp_results *results, const trace_options *options, pp_results_run *run) {
  int count = pp_results_run_count(results);
  if (options->run < 0 && count != 1)
    return pp_fail(PP_CODE_USAGE, "trace: %s has %d runs: --run N names one", pp_results_path(results), count);
  PP_TRY(pp_results_read_run(results, options->run < 0 ? pp_results_run_number(results, 0) : options->run, run));
  if (run->stage_count == 0)
    return pp_fail(PP_CODE_INPUT, "%s: run %d has no stages (record: {stages: true} keeps them)",
                   pp_results_path(results), run->run);
  return NULL;
}

static pp_status write_trace(const trace_options *options, const pp_results *results) {
  pp_results_run run;
  pp_output output;
  int64_t events = 0, bytes = 0;
  char *const inputs[] = {(char *)pp_results_path(results), NULL};
  PP_TRY(choose_run(results, options, &run));
  PP_TRY(pp_output_open(&output, options->output, inputs, false));
  pp_status status = pp_trace_events_write(results, &run, &options->window, output.stream, &events);
  if (status == NULL && events == 0)
    status = pp_fail(PP_CODE_USAGE, "trace: no stage of run %d lies in what --from, --to and --devices leave", run.run);
  if (status == NULL)
    status = pp_output_commit(&output, &bytes);
  pp_output_abandon(&output);
  PP_TRY(status);
  printf("%s: %" PRId64 " stages of run %d\n", options->output, events, run.run);
  if (bytes > LARGE_BYTES)
    fprintf(stderr, "pipar: warning: %s has %" PRId64 " MB, browsers are slow beyond %d: --from, --to, --devices\n",
            options->output, bytes / 1000000, LARGE_BYTES / 1000000);
  return NULL;
}

#endif

static pp_status trace(const trace_options *options) {
  PP_TRY(pp_json_require("trace"));
#ifdef PP_WITH_YAJL
  pp_results *results = NULL;
  PP_TRY(pp_results_open(options->input, &results));
  pp_status status = write_trace(options, results);
  pp_results_close(results);
  return status;
#else
  (void)options;
  return NULL;
#endif
}

pp_status pp_cmd_trace(int argc, char **argv, int *exit_code) {
  (void)exit_code;
  trace_options options = {.run = -1, .window = {.to_ns = INT64_MAX}};
  bool help = false;
  pp_status status = parse(argc, argv, &options, &help);
  if (status == NULL && help)
    print_help();
  else if (status == NULL)
    status = trace(&options);
  free(options.ranges);
  return status;
}
