/* pipar check */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/commands.h"
#include "app/options.h"
#include "app/warnings.h"
#include "runtime/run.h"
#include "timeline/scenario.h"

static void print_help(void) {
  printf(
      "usage: pipar check EXP.yaml [--set KEY=VALUE ...] [--resolved | --runs | --inputs]\n"
      "       pipar check --keys\n\n"
      "Validates every run of the experiment; prints its runs, the ranks and memory they want, what the simulation\n"
      "idealises, which settings have no effect, and warnings. Runs nothing.\n\n"
      "      --set KEY=VALUE   override a key of the experiment\n"
      "      --resolved        print the experiment with every default filled in and nothing else: YAML that loads to\n"
      "                        the same run; of a sweep run 0\n"
      "      --runs            print the number of runs and nothing else, for scripts\n"
      "      --inputs          print the files that it is loaded from and nothing else, one a line: the experiment's,\n"
      "                        then profiles, traces, networks and initial weights; not those of data sets\n"
      "      --keys            print the reference of all keys instead: type, default, unit, range, help\n");
}

typedef enum question {
  QUESTION_EXPERIMENT,
  QUESTION_HELP,
  QUESTION_KEYS,
  QUESTION_RUNS,
  QUESTION_INPUTS,
  QUESTION_RESOLVED
} question;

static pp_status parse(int argc, char **argv, pp_app_experiment *experiment, question *asked) {
  enum { OPT_SET = 256, OPT_KEYS, OPT_RUNS, OPT_INPUTS, OPT_RESOLVED };
  static const struct option longs[] = {{"set", required_argument, NULL, OPT_SET},
                                        {"keys", no_argument, NULL, OPT_KEYS},
                                        {"runs", no_argument, NULL, OPT_RUNS},
                                        {"inputs", no_argument, NULL, OPT_INPUTS},
                                        {"resolved", no_argument, NULL, OPT_RESOLVED},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};
  PP_TRY(pp_app_check_values(argc, argv, ":h", longs));
  for (int c; (c = getopt_long(argc, argv, ":h", longs, NULL)) != -1;) {
    if (c == 'h' || c == OPT_KEYS) {
      *asked = c == 'h' ? QUESTION_HELP : QUESTION_KEYS;
      return NULL;
    }
    if (c == OPT_RUNS || c == OPT_INPUTS || c == OPT_RESOLVED) {
      question wanted = c == OPT_RUNS ? QUESTION_RUNS : c == OPT_INPUTS ? QUESTION_INPUTS : QUESTION_RESOLVED;
      if (*asked != QUESTION_EXPERIMENT && *asked != wanted)
        return pp_fail(PP_CODE_USAGE, "--resolved, --runs and --inputs exclude each other");
      *asked = wanted;
      continue;
    }
    if (c != OPT_SET)
      return pp_app_bad_option(argc, argv, c);
    PP_TRY(pp_app_experiment_set(experiment, optarg));
  }
  return pp_app_experiment_file(experiment, argc, argv);
}

static double mebibytes(int64_t bytes) { return (double)bytes / (1 << 20); }

/* The most that any run takes. */
typedef struct most_memory {
  int64_t alone, spread;
  int ranks; /* of the run that takes most when spread; 0: all are of time alone */
} most_memory;

static void note_memory(most_memory *most, const pp_run_memory *alone, const pp_run_memory *spread, int ranks) {
  most->alone = alone->total > most->alone ? alone->total : most->alone;
  if (ranks == 0 || spread->total <= most->spread)
    return;
  most->spread = spread->total;
  most->ranks = ranks;
}

static pp_status print_run(const pp_experiment *experiment, int number, most_memory *most, FILE *out) {
  const pp_config *config = pp_experiment_run(experiment, number);
  int devices = pp_config_device_count(config), ranks = devices + 1;
  pp_run_memory alone, spread;
  PP_TRY(pp_run_estimate(config, 1, &alone));
  PP_TRY(pp_run_estimate(config, ranks, &spread));
  note_memory(most, &alone, &spread, config->compute == PP_COMPUTE_NONE ? 0 : ranks);
  fprintf(out, "run %d: %s, %s, %d device%s", number, pp_method_name(config->method), config->model, devices,
          devices == 1 ? "" : "s");
  if (config->compute == PP_COMPUTE_NONE)
    fprintf(out, "; time only: any number of ranks; memory: %.0f MiB\n", mebibytes(alone.total));
  else
    fprintf(out, "; ranks: %s%d; memory: alone %.0f MiB, with %d ranks %.0f MiB (server %.0f, device up to %.0f)\n",
            config->clock == PP_CLOCK_WALL ? "exactly " : "1 to ", ranks, mebibytes(alone.total), ranks,
            mebibytes(spread.total), mebibytes(spread.server), mebibytes(spread.device));
  if (alone.checkpoint > 0)
    fprintf(out, "run %d: checkpoint: %.1f MiB every %d round%s, in OUT.h5.ckpt beside the results\n", number,
            mebibytes(alone.checkpoint), config->checkpoint_every_rounds,
            config->checkpoint_every_rounds == 1 ? "" : "s");
  return NULL;
}

static void print_unused(const pp_experiment *experiment) {
  for (int number = 0; number < pp_experiment_run_count(experiment); number++) {
    const pp_config *config = pp_experiment_run(experiment, number);
    const char *method = pp_method_name(config->method);
    if (!pp_method_splits(config->method) && config->pipeline.split != PP_AUTO)
      printf("run %d: pipeline.split is unused in %s: the device has the whole network\n", number, method);
    if (!pp_method_pipelines(config->method) && config->pipeline.micro_batches != PP_AUTO)
      printf("run %d: pipeline.micro_batches is unused in %s: a mini-batch is not cut\n", number, method);
    if (config->pipeline.in_flight != 0 && config->method != PP_METHOD_1F1B)
      printf("run %d: pipeline.in_flight is unused in %s\n", number, method);
    if (config->aggregate.mode == PP_AGGREGATE_SYNC && config->aggregate.buffer > 0)
      printf("run %d: aggregate.buffer is unused in mode sync: an aggregate takes every device's model\n", number);
    if (config->pipeline.replan > 0 && config->method == PP_METHOD_SL)
      printf("run %d: pipeline.replan is unused in sl: nothing is averaged, and the first plan holds\n", number);
    else if (config->pipeline.replan > 0 && !pp_scenario_replans(config))
      printf("run %d: pipeline.replan is unused: nothing is `auto`\n", number);
    const pp_privacy_config *privacy = &config->privacy;
    if (privacy->mechanism == PP_PRIVACY_NONE && (privacy->clip > 0 || privacy->noise_multiplier > 0))
      printf("run %d: the keys of privacy are unused: its mechanism is none\n", number);
    if (privacy->mechanism == PP_PRIVACY_DP_FEDAVG && (privacy->epsilon > 0 || privacy->noise == PP_NOISE_LAPLACE))
      printf("run %d: privacy.noise and privacy.epsilon are unused in dp-fedavg: its noise is Gaussian\n", number);
    if (config->compute == PP_COMPUTE_NONE && config->record_model)
      printf("run %d: record.model is unused with compute: none: there is no model\n", number);
  }
}

/* Whether one cost table serves several methods. */
static bool warns_of_table(const pp_experiment *experiment) {
  bool table = false, many_methods = false;
  for (int number = 0; number < pp_experiment_run_count(experiment); number++) {
    const pp_config *config = pp_experiment_run(experiment, number);
    many_methods = many_methods || config->method != pp_experiment_run(experiment, 0)->method;
    for (int group = 0; group < config->group_count; group++)
      table = table || config->groups[group].cost.kind == PP_COST_TABLE;
  }
  return table && many_methods;
}

static void print_table_warning(const pp_experiment *experiment) {
  if (warns_of_table(experiment))
    printf("warning: one cost table serves several methods, whose stages differ (fl: whole network, whole mini-batch;\n"
           "         sfl: whole mini-batch; pipar: micro-batch)\n");
}

static void print_idealisations(const pp_experiment *experiment) {
  bool roofline = false, table = false, profile = false, measured = false, trains = false;
  for (int number = 0; number < pp_experiment_run_count(experiment); number++) {
    const pp_config *config = pp_experiment_run(experiment, number);
    trains = trains || config->compute == PP_COMPUTE_REAL;
    for (int group = 0; group < config->group_count; group++) {
      roofline = roofline || config->groups[group].cost.kind == PP_COST_ROOFLINE;
      table = table || config->groups[group].cost.kind == PP_COST_TABLE;
      profile = profile || config->groups[group].cost.kind == PP_COST_PROFILE;
      measured = measured || config->groups[group].cost.kind == PP_COST_MEASURED;
    }
  }
  bool updates = false, activations = false, shares_all = true;
  for (int number = 0; number < pp_experiment_run_count(experiment); number++) {
    const pp_config *config = pp_experiment_run(experiment, number);
    shares_all = shares_all && config->server.link.up.count > 0;
    updates = updates || (config->privacy.mechanism == PP_PRIVACY_DP_FEDAVG && config->method != PP_METHOD_FL);
    activations = activations || config->privacy.mechanism == PP_PRIVACY_ACTIVATION;
  }
  printf("idealised:\n"
         "  - links are rates and latencies: no packets, losses, TCP windows or protocol headers\n"
         "%s"
         "  - stages take the same time whenever they run, but for slowdowns; a device computes one thing at a time\n"
         "  - testing, reading data and shuffling take no emulated time\n",
         shares_all
             ? "  - transfers share the server's link max-min fair at once, as no transport protocol quite does\n"
             : "  - without server.link the server's own network is not a bottleneck: each device has its links to "
               "itself\n");
  if (roofline)
    printf("  - roofline costs: a layer takes the longer of arithmetic and memory traffic plus a constant overhead\n");
  if (profile)
    printf(
        "  - profile costs: blocks take their measured times one by one; between batch sizes the times are a line\n");
  if (measured)
    printf("  - measured costs: thread CPU time of this machine times the slowdown; times are not the same again, "
           "trained bits are\n");
  if (table)
    printf("  - table costs: stage lengths are as given, also for a shorter last mini-batch\n");
  if (updates)
    printf("  - dp-fedavg in split methods protects a device from other devices, not from the server\n");
  if (activations)
    printf("  - activation: epsilon is of a sample's own uploads; labels and models go up in clear\n");
  if (!trains)
    printf("  - compute: none: nothing is trained, there is no accuracy\n");
}

static pp_status print_inputs(const pp_experiment *experiment) {
  for (int input = 0; input < pp_experiment_input_count(experiment); input++)
    printf("%s\n", pp_experiment_input(experiment, input).path);
  for (int number = 0; number < pp_experiment_run_count(experiment); number++) {
    const pp_config *config = pp_experiment_run(experiment, number);
    if (strcmp(config->init, "random") == 0)
      continue;
    char *path = NULL;
    const char *group = NULL;
    PP_TRY(pp_init_find(config->directory, config->init, &path, &group));
    printf("%s\n", path);
    free(path);
  }
  return NULL;
}

static void print_head(const pp_experiment *experiment, const most_memory *most, int warning_count) {
  int runs = pp_experiment_run_count(experiment);
  printf("%s is valid: %d run%s; at most %.0f MiB", pp_experiment_name(experiment), runs, runs == 1 ? "" : "s",
         mebibytes(most->alone));
  if (most->ranks > 0)
    printf(" in one process, %.0f MiB with %d ranks", mebibytes(most->spread), most->ranks);
  if (warning_count == 0)
    printf("; no warnings\n");
  else
    printf("; %d warning%s below\n", warning_count, warning_count == 1 ? "" : "s");
}

/* Looks at all runs before it prints: the answer comes first. */
static pp_status look_at_runs(const pp_app_experiment *named, const pp_experiment *experiment, FILE *out,
                              most_memory *most, pp_warnings *warnings) {
  for (int number = 0; number < pp_experiment_run_count(experiment); number++) {
    PP_TRY(pp_app_in_run(named, experiment, number, print_run(experiment, number, most, out)));
    PP_TRY(pp_app_in_run(named, experiment, number,
                         pp_warnings_add(warnings, number, pp_experiment_run(experiment, number))));
  }
  return NULL;
}

static pp_status print_all(const pp_app_experiment *named, const pp_experiment *experiment) {
  most_memory most = {0};
  pp_warnings warnings = {0};
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  if (out == NULL)
    return pp_fail_memory("the runs", 0);
  pp_status status = look_at_runs(named, experiment, out, &most, &warnings);
  bool failed = ferror(out) != 0;
  if ((fclose(out) != 0 || failed) && status == NULL)
    status = pp_fail_memory("the runs", bytes);
  if (status == NULL) {
    print_head(experiment, &most, warnings.count + warns_of_table(experiment));
    fputs(text, stdout);
    print_idealisations(experiment);
    print_unused(experiment);
    print_table_warning(experiment);
    pp_warnings_print(&warnings, pp_experiment_run_count(experiment), stdout);
    printf("all settings with their defaults: pipar check --resolved %s\n", named->path);
  }
  free(text);
  pp_warnings_fini(&warnings);
  return status;
}

pp_status pp_cmd_check(int argc, char **argv, int *exit_code) {
  (void)exit_code;
  pp_app_experiment named = {0};
  question asked = QUESTION_EXPERIMENT;
  pp_experiment *experiment = NULL;
  pp_status status = parse(argc, argv, &named, &asked);
  if (status == NULL && asked == QUESTION_HELP)
    print_help();
  else if (status == NULL && asked == QUESTION_KEYS)
    status = pp_config_document(stdout);
  else if (status == NULL)
    status = pp_app_experiment_load(&named, &experiment);
  if (experiment != NULL && asked == QUESTION_RUNS)
    printf("%d\n", pp_experiment_run_count(experiment));
  else if (experiment != NULL && asked == QUESTION_INPUTS)
    status = print_inputs(experiment);
  else if (experiment != NULL && asked == QUESTION_RESOLVED)
    status = pp_config_dump(pp_experiment_run(experiment, 0), stdout);
  else if (experiment != NULL)
    status = print_all(&named, experiment);
  pp_experiment_destroy(experiment);
  pp_app_experiment_fini(&named);
  return status;
}
