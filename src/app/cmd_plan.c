/* pipar plan */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/commands.h"
#include "app/options.h"
#include "base/mem.h"
#include "pipar/results.h"
#include "runtime/run.h"
#include "timeline/forecast.h"

typedef enum plan_format { FORMAT_TEXT, FORMAT_CSV, FORMAT_JSON } plan_format;

enum { most_columns = 12, planner_count = 4 };

static const struct {
  const char *name;
  pp_planner planner;
} planners[planner_count] = {{"search", PP_PLANNER_SEARCH},
                             {"exhaustive", PP_PLANNER_EXHAUSTIVE},
                             {"aps", PP_PLANNER_APS},
                             {"aps-as-published", PP_PLANNER_APS_AS_PUBLISHED}};

enum { MOST_RUNS = 1000000 /* of the sweep that a file holds some of */ };

typedef struct plan_request {
  pp_app_experiment experiment;
  plan_format format;
  int wanted[planner_count]; /* indices of planners; none: the experiment's */
  int wanted_count;
  const char *only; /* the number of the one run that is wanted, as given; NULL: all */
  bool help;
} plan_request;

static void print_help(void) {
  printf("usage: pipar plan EXP.yaml [--planner NAME[,NAME...]] [--run N] [--csv | --json] [--set KEY=VALUE ...]\n"
         "       pipar plan OUT.h5 [--run N] [--csv | --json]\n\n"
         "For each run and group of devices: the predicted round for splits and numbers of micro-batches, the other\n"
         "groups at their chosen plans, what limits each split's best plan, and the plan that is chosen (or given),\n"
         "marked *. Of a results file: what the planner looked at when it was run.\n\n"
         "      --planner NAME,...   search, exhaustive, aps, aps-as-published: what each would choose, side by side,\n"
         "                           numbers that are given taken as auto\n"
         "      --run N              only that run of the sweep\n"
         "      --csv, --json        every plan of the table as a row\n"
         "      --set KEY=VALUE      override a key of the experiment\n\n"
         "Limits: the busiest of device, uplink, server and downlink with the share of the round it works, and the\n"
         "cause of most of the devices' idle time with its share. docs/planner.md says how the planners choose.\n");
}

static pp_status take_planners(plan_request *request, const char *text) {
  while (*text != '\0') {
    size_t length = strcspn(text, ",");
    int found = -1;
    for (int index = 0; index < planner_count; index++)
      if (strlen(planners[index].name) == length && strncmp(planners[index].name, text, length) == 0)
        found = index;
    if (found < 0)
      return pp_fail(PP_CODE_USAGE,
                     "plan: --planner %.*s: allowed are search, exhaustive, aps and aps-as-published, with commas",
                     (int)(length < 64 ? length : 64), text);
    for (int at = 0; at < request->wanted_count; at++)
      if (request->wanted[at] == found)
        return pp_fail(PP_CODE_USAGE, "plan: --planner names %s twice: allowed is once", planners[found].name);
    request->wanted[request->wanted_count++] = found;
    text += length + (text[length] == ',');
  }
  if (request->wanted_count == 0)
    return pp_fail(PP_CODE_USAGE, "plan: --planner is empty: allowed are search, exhaustive, aps and aps-as-published");
  return NULL;
}

static pp_status parse(int argc, char **argv, plan_request *request) {
  enum { OPT_SET = 256, OPT_CSV, OPT_JSON, OPT_PLANNER, OPT_RUN };
  static const struct option longs[] = {{"set", required_argument, NULL, OPT_SET},
                                        {"csv", no_argument, NULL, OPT_CSV},
                                        {"json", no_argument, NULL, OPT_JSON},
                                        {"planner", required_argument, NULL, OPT_PLANNER},
                                        {"run", required_argument, NULL, OPT_RUN},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};
  PP_TRY(pp_app_check_values(argc, argv, ":h", longs));
  for (int c; (c = getopt_long(argc, argv, ":h", longs, NULL)) != -1;) {
    switch (c) {
    case 'h':
      request->help = true;
      return NULL;
    case OPT_SET:
      PP_TRY(pp_app_experiment_set(&request->experiment, optarg));
      break;
    case OPT_CSV:
    case OPT_JSON:
      if (request->format != FORMAT_TEXT)
        return pp_fail(PP_CODE_USAGE, "plan: --csv and --json: allowed is one of them, once");
      request->format = c == OPT_CSV ? FORMAT_CSV : FORMAT_JSON;
      break;
    case OPT_RUN:
      request->only = optarg;
      break;
    case OPT_PLANNER:
      request->wanted_count = 0;
      PP_TRY(take_planners(request, optarg));
      break;
    default:
      return pp_app_bad_option(argc, argv, c);
    }
  }
  return pp_app_experiment_file(&request->experiment, argc, argv);
}

/* ---- One run ---- */

typedef struct choice {
  const char *planner;  /* "given" where nothing is auto */
  pp_group_plan *plans; /* (group_count) */
} choice;

typedef struct sheet {
  const plan_request *request;
  int run;
  const pp_config *config;
  pp_model *model;
  pp_forecaster *forecaster;
  int choice_count;
  choice choices[planner_count];
  int column_count, columns[most_columns]; /* numbers of micro-batches */
  bool any_row;                            /* of JSON */
  bool is_first;                           /* of those that are printed */
} sheet;

static bool is_pipelined(const pp_config *config) { return pp_method_pipelines(config->method); }

/* What `planner` would choose; -1: the experiment's own planners and numbers. */
static pp_status choose(sheet *s, int planner) {
  pp_config config = *s->config;
  pp_device_group *groups = NULL;
  pp_scenario *scenario = NULL;
  size_t count = (size_t)config.group_count;
  choice *out = &s->choices[s->choice_count++];
  PP_TRY(pp_alloc(count, sizeof *out->plans, "plans", &out->plans));
  PP_TRY(pp_alloc(count, sizeof *groups, "plans", &groups));
  memcpy(groups, config.groups, count * sizeof *groups);
  config.groups = groups;
  for (size_t group = 0; planner >= 0 && group < count; group++) {
    groups[group].pipeline.planner = planners[planner].planner;
    if (groups[group].cost.kind != PP_COST_TABLE)
      groups[group].pipeline.split = groups[group].pipeline.micro_batches = PP_AUTO;
  }
  pp_status status = pp_scenario_create(&config, s->model, &scenario);
  if (status == NULL) {
    for (int index = 0; index < scenario->class_count; index++)
      out->plans[scenario->classes[index].group] =
          (pp_group_plan){scenario->classes[index].split, scenario->classes[index].micro_batches};
    out->planner = planner >= 0 ? planners[planner].name : "given";
    for (int64_t row = 0; planner < 0 && row < scenario->plan_count; row++)
      for (int index = 0; index < planner_count; index++)
        if (planners[index].planner == groups[scenario->plan[row].group].pipeline.planner)
          out->planner = planners[index].name;
  }
  pp_scenario_destroy(scenario);
  free(groups);
  return status;
}

static void add_column(sheet *s, int micro_batches) {
  int place = 0;
  while (place < s->column_count && s->columns[place] < micro_batches)
    place++;
  if (s->column_count == most_columns || (place < s->column_count && s->columns[place] == micro_batches))
    return;
  memmove(&s->columns[place + 1], &s->columns[place], (size_t)(s->column_count - place) * sizeof *s->columns);
  s->columns[place] = micro_batches;
  s->column_count++;
}

/* The chosen numbers, then all there are, or powers of 2. */
static void choose_columns(sheet *s, int group) {
  int batch = s->config->training.batch_size;
  s->column_count = 0;
  for (int at = 0; at < s->choice_count; at++)
    add_column(s, s->choices[at].plans[group].micro_batches);
  if (!is_pipelined(s->config) || pp_forecaster_block_count(s->forecaster) == 0)
    return;
  bool all = batch <= most_columns - s->column_count;
  for (int count = 1; count <= batch; count = all ? count + 1 : 2 * count)
    add_column(s, count);
}

static bool is_chosen(const choice *by, int group, int split, int micro_batches) {
  return by->plans[group].split == split && by->plans[group].micro_batches == micro_batches;
}

static void print_row(sheet *s, const char *planner, int group, pp_group_plan plan, const pp_forecast *f, bool chosen) {
  const char *busiest = pp_resource_name(f->busiest), *cause = pp_cause_name(f->cause);
  if (s->request->format == FORMAT_CSV)
    printf("%d,%s,%d,%d,%d,%.9g,%.9g,%s,%.4f,%s,%.4f,%d\n", s->run, planner, group, plan.split, plan.micro_batches,
           f->round_s, f->iteration_s, busiest, f->busy_share[f->busiest], cause, f->cause_share, chosen);
  else
    printf("%s\n  {\"run\": %d, \"planner\": \"%s\", \"group\": %d, \"split\": %d, \"micro_batches\": %d, \"round_s\": "
           "%.9g, \"iteration_s\": %.9g, \"busiest\": \"%s\", \"busiest_share\": %.4f, \"idle_cause\": \"%s\", "
           "\"idle_share\": %.4f, \"chosen\": %s}",
           s->any_row ? "," : "", s->run, planner, group, plan.split, plan.micro_batches, f->round_s, f->iteration_s,
           busiest, f->busy_share[f->busiest], cause, f->cause_share, chosen ? "true" : "false");
  s->any_row = true;
}

static void print_limits(const pp_forecast *f) {
  printf("%s %.0f %%, idle by %s %.0f %%\n", pp_resource_name(f->busiest), 100 * f->busy_share[f->busiest],
         pp_cause_name(f->cause), 100 * f->cause_share);
}

/* A row of the table: one split. `others`: (group_count) plans, of which the group's is replaced. */
static pp_status print_split(sheet *s, const choice *by, int group, int split, pp_group_plan *others) {
  pp_forecast best = {.refused = true};
  int best_count = 0;
  bool text = s->request->format == FORMAT_TEXT;
  if (text)
    printf("  %5d", split);
  for (int column = 0; column < s->column_count; column++) {
    pp_forecast forecast;
    others[group] = (pp_group_plan){split, s->columns[column]};
    PP_TRY(pp_forecaster_run(s->forecaster, others, group, &forecast));
    bool chosen = is_chosen(by, group, split, s->columns[column]);
    if (text && forecast.refused)
      printf(" %10s ", "-");
    else if (text)
      printf(" %10.4g%c", forecast.round_s, chosen ? '*' : ' ');
    else if (!forecast.refused)
      print_row(s, by->planner, group, others[group], &forecast, chosen);
    if (!forecast.refused && (best.refused || forecast.round_s < best.round_s)) {
      best = forecast;
      best_count = s->columns[column];
    }
  }
  if (text && best.refused)
    printf("  -\n");
  else if (text) {
    printf("  N %d: ", best_count);
    print_limits(&best);
  }
  return NULL;
}

static pp_status print_choices(sheet *s, int group) {
  printf("  %-18s %5s %5s %12s %12s  %s\n", "chosen by", "split", "N", "round s", "iteration s", "limits");
  for (int at = 0; at < s->choice_count; at++) {
    const choice *by = &s->choices[at];
    pp_forecast forecast;
    PP_TRY(pp_forecaster_run(s->forecaster, by->plans, group, &forecast));
    printf("  %-18s %5d %5d %12.6g %12.6g  ", by->planner, by->plans[group].split, by->plans[group].micro_batches,
           forecast.round_s, forecast.iteration_s);
    print_limits(&forecast);
  }
  return NULL;
}

static pp_status print_group(sheet *s, int group) {
  const pp_device_group *g = &s->config->groups[group];
  int blocks = pp_forecaster_block_count(s->forecaster);
  bool splits = pp_method_splits(s->config->method) && blocks > 0, text = s->request->format == FORMAT_TEXT;
  pp_group_plan *others = NULL;
  size_t count = (size_t)s->config->group_count;
  choose_columns(s, group);
  if (text) {
    printf("\ngroup %d: %d x %s, %s\n", group, g->count, g->device.name[0] != '\0' ? g->device.name : "a device",
           g->network.name[0] != '\0' ? g->network.name : "a network of its own");
    PP_TRY(print_choices(s, group));
    printf("  seconds of the round by split and number of micro-batches N%s\n  %5s",
           count > 1 ? ", other groups as chosen" : "", "split");
    for (int column = 0; column < s->column_count; column++)
      printf(" %10d ", s->columns[column]);
    printf("  best, limits\n");
  }
  PP_TRY(pp_alloc(count, sizeof *others, "plans", &others));
  pp_status status = NULL;
  for (int at = 0; status == NULL && at < (text ? 1 : s->choice_count); at++) {
    const choice *by = &s->choices[at];
    memcpy(others, by->plans, count * sizeof *others);
    int first = splits ? 1 : by->plans[group].split, last = splits ? blocks : first;
    for (int split = first; status == NULL && split <= last; split++)
      status = print_split(s, by, group, split, others);
  }
  free(others);
  return status;
}

static pp_status print_run(sheet *s) {
  PP_TRY(pp_run_model(s->config, &s->model));
  if (s->request->wanted_count == 0)
    PP_TRY(choose(s, -1));
  for (int at = 0; at < s->request->wanted_count; at++)
    PP_TRY(choose(s, s->request->wanted[at]));
  PP_TRY(pp_forecaster_create(s->config, s->model, &s->forecaster));
  if (s->request->format == FORMAT_TEXT)
    printf("%srun %d: %s, %s, %d devices\n", s->is_first ? "" : "\n", s->run, pp_method_name(s->config->method),
           s->config->model, pp_config_device_count(s->config));
  for (int group = 0; group < s->config->group_count; group++)
    PP_TRY(print_group(s, group));
  return NULL;
}

static pp_status print_experiment(const plan_request *request) {
  pp_experiment *experiment = NULL;
  PP_TRY(pp_app_experiment_load(&request->experiment, &experiment));
  int first = 0, end = 0;
  bool any_row = false;
  int runs = pp_experiment_run_count(experiment);
  pp_status status = pp_app_choose_runs("plan", request->only, request->experiment.path, runs, runs, &first, &end);
  if (status != NULL) {
    pp_experiment_destroy(experiment);
    return status;
  }
  if (request->format == FORMAT_CSV)
    printf("run,planner,group,split,micro_batches,round_s,iteration_s,busiest,busiest_share,idle_cause,idle_share,"
           "chosen\n");
  else if (request->format == FORMAT_JSON)
    printf("[");
  for (int run = first; status == NULL && run < end; run++) {
    sheet s = {.request = request,
               .run = run,
               .config = pp_experiment_run(experiment, run),
               .any_row = any_row,
               .is_first = run == first};
    status = pp_app_in_run(&request->experiment, experiment, run, print_run(&s));
    any_row = s.any_row;
    for (int at = 0; at < planner_count; at++)
      free(s.choices[at].plans);
    pp_forecaster_destroy(s.forecaster);
    pp_model_destroy(s.model);
  }
  if (status == NULL && request->format == FORMAT_JSON)
    printf("\n]\n");
  pp_experiment_destroy(experiment);
  return status;
}

/* ---- What a results file holds ---- */

static pp_status print_recorded_run(const pp_results *results, int run, plan_format format, bool *any_row) {
  pp_results_run info;
  pp_plan_row *rows = NULL;
  PP_TRY(pp_results_read_run(results, run, &info));
  if (format == FORMAT_TEXT)
    printf("run %d: %s, %s%s\n", run, info.method, info.model, info.plan_count == 0 ? ": nothing was planned" : "");
  if (info.plan_count == 0)
    return NULL;
  PP_TRY(pp_alloc((size_t)info.plan_count, sizeof *rows, "the planner's table", &rows));
  pp_status status = pp_results_read_plan(results, run, 0, info.plan_count, rows);
  if (status == NULL && format == FORMAT_TEXT)
    printf("  %5s %5s %5s %12s\n", "group", "split", "N", "round s");
  for (int64_t row = 0; status == NULL && row < info.plan_count; row++) {
    const pp_plan_row *r = &rows[row];
    bool known = r->makespan_s == r->makespan_s;
    char makespan[32] = "";
    if (known)
      snprintf(makespan, sizeof makespan, "%.9g", r->makespan_s);
    if (format == FORMAT_TEXT && known)
      printf("  %5d %5d %5d %12.6g%s\n", r->group, r->split, r->micro_batches, r->makespan_s, r->chosen ? " *" : "");
    else if (format == FORMAT_CSV)
      printf("%d,%d,%d,%d,%s,%d\n", run, r->group, r->split, r->micro_batches, makespan, r->chosen);
    else if (format == FORMAT_JSON)
      printf(
          "%s\n  {\"run\": %d, \"group\": %d, \"split\": %d, \"micro_batches\": %d, \"round_s\": %s, \"chosen\": %s}",
          *any_row ? "," : "", run, r->group, r->split, r->micro_batches, known ? makespan : "null",
          r->chosen ? "true" : "false");
    *any_row = true;
  }
  free(rows);
  return status;
}

static pp_status print_recorded(const plan_request *request) {
  pp_results *results = NULL;
  bool any_row = false;
  if (request->wanted_count > 0 || request->experiment.override_count > 0)
    return pp_fail(PP_CODE_USAGE, "plan: --planner and --set are for experiments, and %s is a results file",
                   request->experiment.path);
  PP_TRY(pp_results_open(request->experiment.path, &results));
  int first = 0, end = 0;
  pp_results_run info;
  pp_status status = pp_app_choose_runs("plan", request->only, request->experiment.path, pp_results_run_count(results),
                                        MOST_RUNS, &first, &end);
  if (status == NULL && request->only != NULL)
    status = pp_results_read_run(results, first, &info);
  if (status != NULL) {
    pp_results_close(results);
    return status;
  }
  if (request->format == FORMAT_CSV)
    printf("run,group,split,micro_batches,round_s,chosen\n");
  else if (request->format == FORMAT_JSON)
    printf("[");
  for (int index = first; status == NULL && index < end; index++) {
    int run = request->only != NULL ? index : pp_results_run_number(results, index);
    status = print_recorded_run(results, run, request->format, &any_row);
  }
  if (status == NULL && request->format == FORMAT_JSON)
    printf("\n]\n");
  pp_results_close(results);
  return status;
}

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), wanted = strlen(end);
  return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

pp_status pp_cmd_plan(int argc, char **argv, int *exit_code) {
  (void)exit_code;
  plan_request request = {0};
  pp_status status = parse(argc, argv, &request);
  if (status == NULL && request.help)
    print_help();
  else if (status == NULL &&
           (ends_with(request.experiment.path, ".h5") || ends_with(request.experiment.path, ".h5.part")))
    status = print_recorded(&request);
  else if (status == NULL)
    status = print_experiment(&request);
  pp_app_experiment_fini(&request.experiment);
  return status;
}
