#include "app/report_why.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "pipar/results.h"
#include "runtime/run.h"
#include "timeline/path.h"

typedef struct what_if {
  pp_change_kind change;
  int group; /* -1: the server's, or all groups' */
  int64_t makespan_ns;
} what_if;

typedef struct why {
  int run;
  char method[16];
  double makespan_s; /* as the file has it */
  pp_path path;
  int change_count;
  what_if *changes; /* (change_count), most gained first */
} why;

static void describe(const what_if *change, char *out, size_t size) {
  switch (change->change) {
  case PP_CHANGE_SERVER:
    snprintf(out, size, "server 10 %% faster");
    break;
  case PP_CHANGE_SLOT:
    snprintf(out, size, "one more server slot");
    break;
  case PP_CHANGE_UPLINK:
    snprintf(out, size, "uplink of group %d +10 %%", change->group);
    break;
  case PP_CHANGE_DOWNLINK:
    snprintf(out, size, "downlink of group %d +10 %%", change->group);
    break;
  case PP_CHANGE_LINKS:
    if (change->group == PP_CHANGE_OF_ALL)
      snprintf(out, size, "all links both ways +10 %%");
    else
      snprintf(out, size, "links of group %d both ways +10 %%", change->group);
    break;
  case PP_CHANGE_SERVER_UPLINK:
    snprintf(out, size, "server's uplink +10 %%");
    break;
  case PP_CHANGE_SERVER_DOWNLINK:
    snprintf(out, size, "server's downlink +10 %%");
    break;
  case PP_CHANGE_SERVER_LINKS:
    snprintf(out, size, "server's link both ways +10 %%");
    break;
  case PP_CHANGE_LATENCY:
    snprintf(out, size, "latency of group %d -10 %%", change->group);
    break;
  case PP_CHANGE_DEVICE:
    snprintf(out, size, "devices of group %d 10 %% faster", change->group);
    break;
  case PP_CHANGE_COUNT:
    break;
  }
}

static int compare_changes(const void *a, const void *b) {
  const what_if *x = a, *y = b;
  if (x->makespan_ns != y->makespan_ns)
    return x->makespan_ns < y->makespan_ns ? -1 : 1;
  if (x->group != y->group)
    return x->group < y->group ? -1 : 1;
  return x->change < y->change ? -1 : x->change > y->change;
}

static pp_status try_change(why *of, const pp_scenario *scenario, pp_change_kind change, int group) {
  what_if *next = &of->changes[of->change_count];
  *next = (what_if){.change = change, .group = group};
  PP_TRY(pp_change_makespan(scenario, change, group, &next->makespan_ns));
  of->change_count++;
  return NULL;
}

static pp_status try_changes(why *of, const pp_config *config, const pp_scenario *scenario) {
  static const pp_change_kind of_group[] = {PP_CHANGE_UPLINK, PP_CHANGE_DOWNLINK, PP_CHANGE_LINKS, PP_CHANGE_LATENCY,
                                            PP_CHANGE_DEVICE};
  enum { kinds = sizeof of_group / sizeof of_group[0] };
  PP_TRY(pp_alloc((size_t)config->group_count * kinds + 6, sizeof *of->changes, "the changes", &of->changes));
  for (int group = 0; group < config->group_count; group++)
    for (int kind = 0; kind < kinds; kind++)
      PP_TRY(try_change(of, scenario, of_group[kind], group));
  if (config->group_count > 1)
    PP_TRY(try_change(of, scenario, PP_CHANGE_LINKS, PP_CHANGE_OF_ALL));
  PP_TRY(try_change(of, scenario, PP_CHANGE_SERVER, -1));
  if (scenario->policy != PP_POLICY_SPACE_SHARE)
    PP_TRY(try_change(of, scenario, PP_CHANGE_SLOT, -1));
  if (scenario->server_up != NULL) {
    PP_TRY(try_change(of, scenario, PP_CHANGE_SERVER_UPLINK, -1));
    PP_TRY(try_change(of, scenario, PP_CHANGE_SERVER_DOWNLINK, -1));
    PP_TRY(try_change(of, scenario, PP_CHANGE_SERVER_LINKS, -1));
  }
  qsort(of->changes, (size_t)of->change_count, sizeof *of->changes, compare_changes);
  return NULL;
}

/* From the experiment as the file holds it to what the run's times followed from. */
static pp_status explain(why *of, const char *path, const pp_config *config) {
  pp_model *model = NULL;
  pp_scenario *scenario = NULL;
  if (config->clock == PP_CLOCK_WALL)
    return pp_fail(PP_CODE_INPUT, "%s: run %d was under the wall clock: --why explains times of the virtual clock",
                   path, of->run);
  if (config->groups[0].cost.kind == PP_COST_MEASURED)
    return pp_fail(PP_CODE_INPUT,
                   "%s: run %d has measured costs, which are not the same again: --why explains the other kinds", path,
                   of->run);
  pp_status status = pp_run_model(config, &model);
  if (status == NULL)
    status = pp_scenario_create(config, model, &scenario);
  if (status == NULL)
    status = pp_path_of_scenario(scenario, &of->path);
  if (status == NULL && !(fabs(pp_seconds(of->path.makespan_ns) - of->makespan_s) <= 1e-9 * of->makespan_s))
    status =
        pp_fail(PP_CODE_INPUT,
                "%s: run %d took %.9g s, but running its timeline again gives %.9g s: another version wrote it, or "
                "it changed its plan on the way",
                path, of->run, of->makespan_s, pp_seconds(of->path.makespan_ns));
  if (status == NULL)
    status = try_changes(of, config, scenario);
  pp_scenario_destroy(scenario);
  pp_model_destroy(model);
  return status;
}

static double share(const why *of, int64_t length_ns) { return (double)length_ns / (double)of->path.makespan_ns; }

/* Of the device's group, or of the server. */
static void print_whose(int group, char *out, size_t size) {
  if (group < 0)
    snprintf(out, size, "server");
  else
    snprintf(out, size, "group %d", group);
}

static void print_text(const why *of) {
  char text[64];
  printf("run %d, %s: %.9f s\n\nthe critical path: what held what, from the last event back to the start\n", of->run,
         of->method, pp_seconds(of->path.makespan_ns));
  printf("%14s %8s %10s  %-22s %s\n", "seconds", "share", "pieces", "stage", "of");
  for (int part = 0; part < of->path.part_count; part++) {
    const pp_path_part *at = &of->path.parts[part];
    print_whose(at->group, text, sizeof text);
    printf("%14.9f %6.2f %% %10" PRId64 "  %-22s %s\n", pp_seconds(at->length_ns), 100 * share(of, at->length_ns),
           at->count, pp_path_kind_name(at->kind), text);
  }
  printf("%14.9f %6.2f %%\n\nwhat if, each run again with the same plans\n", pp_seconds(of->path.makespan_ns), 100.0);
  for (int change = 0; change < of->change_count; change++) {
    const what_if *at = &of->changes[change];
    int64_t gain_ns = at->makespan_ns - of->path.makespan_ns;
    describe(at, text, sizeof text);
    printf("  %-36s makespan %14.9f s  %+14.9f s  (%+.2f %%)\n", text, pp_seconds(at->makespan_ns), pp_seconds(gain_ns),
           100 * share(of, gain_ns));
  }
}

static void print_json(const why *of) {
  char text[64];
  printf("{\"run\": %d, \"method\": \"%s\", \"makespan_ns\": %" PRId64 ", \"path\": [", of->run, of->method,
         of->path.makespan_ns);
  for (int part = 0; part < of->path.part_count; part++) {
    const pp_path_part *at = &of->path.parts[part];
    printf("%s\n  {\"stage\": \"%s\", \"group\": %d, \"pieces\": %" PRId64 ", \"length_ns\": %" PRId64 "}",
           part > 0 ? "," : "", pp_path_kind_name(at->kind), at->group, at->count, at->length_ns);
  }
  printf("],\n \"what_if\": [");
  for (int change = 0; change < of->change_count; change++) {
    const what_if *at = &of->changes[change];
    describe(at, text, sizeof text);
    printf("%s\n  {\"change\": \"%s\", \"group\": %d, \"makespan_ns\": %" PRId64 ", \"gain_ns\": %" PRId64 "}",
           change > 0 ? "," : "", text, at->group, at->makespan_ns, of->path.makespan_ns - at->makespan_ns);
  }
  printf("]}\n");
}

pp_status pp_report_experiment(const pp_results *results, pp_experiment **out) {
  pp_results_inputs inputs;
  PP_TRY(pp_results_read_inputs(results, &inputs));
  pp_status status = NULL;
  if (inputs.file_count == 0)
    status = pp_fail(PP_CODE_INPUT, "%s: holds no experiment", pp_results_path(results));
  else
    status = pp_experiment_load_from(inputs.files[0].path, (const pp_override *)inputs.overrides, inputs.override_count,
                                     inputs.files, inputs.file_count, out);
  pp_results_inputs_fini(&inputs);
  return status;
}

static pp_status report(const pp_results *results, int run, bool json) {
  const char *path = pp_results_path(results);
  int count = pp_results_run_count(results);
  if (run < 0 && count != 1)
    return pp_fail(PP_CODE_USAGE, "report: %s holds %d runs: --why needs --run N, 0 to %d", path, count, count - 1);
  pp_results_run info;
  PP_TRY(pp_results_read_run(results, run < 0 ? 0 : run, &info));
  if (strcmp(info.status, "complete") != 0)
    return pp_fail(PP_CODE_INPUT, "%s: run %d is %s: --why explains complete runs", path, info.run, info.status);
  pp_experiment *experiment = NULL;
  PP_TRY(pp_report_experiment(results, &experiment));
  why of = {.run = info.run, .makespan_s = info.summary.makespan_s};
  memcpy(of.method, info.method, sizeof of.method);
  pp_status status = NULL;
  if (pp_experiment_run_count(experiment) != count)
    status =
        pp_fail(PP_CODE_INPUT, "%s: has %d runs, its experiment %d", path, count, pp_experiment_run_count(experiment));
  else
    status = explain(&of, path, pp_experiment_run(experiment, info.run));
  if (status == NULL && json)
    print_json(&of);
  else if (status == NULL)
    print_text(&of);
  pp_path_fini(&of.path);
  free(of.changes);
  pp_experiment_destroy(experiment);
  return status;
}

pp_status pp_report_why(const char *path, int run, bool json) {
  pp_results *results = NULL;
  PP_TRY(pp_results_open(path, &results));
  pp_status status = report(results, run, json);
  pp_results_close(results);
  return status;
}
