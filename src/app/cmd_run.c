/* pipar run */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/app.h"
#include "app/commands.h"
#include "app/options.h"
#include "app/spread.h"
#include "base/mem.h"
#include "runtime/run.h"

typedef struct run_options {
  pp_app_experiment experiment;
  const char *output;
  const char *only; /* the number of the one run that is wanted, as given */
  bool force, quiet;
} run_options;

static void print_help(void) {
  printf("usage: pipar run EXP.yaml [-o OUT.h5] [--set KEY=VALUE ...] [--run N] [--force] [-q]\n\n"
         "Runs every run of the experiment's sweep and writes one results file. Alone, one rank plays the server and\n"
         "all devices; under mpirun or srun the devices are spread over the ranks. The results are the same.\n\n"
         "  -o, --output OUT.h5   default: results/<name>.h5; OUT.h5.part until complete\n"
         "      --set KEY=VALUE   override a key of the experiment, e.g. --set training.epochs=3\n"
         "      --run N           only that run of the sweep, in a file of its own (results/<name>-N.h5) for `pipar "
         "merge`\n"
         "      --force           replace an existing output, and what a stopped run left\n"
         "  -q, --quiet           no progress\n\n"
         "Exit codes: 0 done; 1 usage; 2 the experiment or an input file is wrong; 3 a run failed; 4 stopped by a\n"
         "signal after a round, OUT.h5.part holds what is complete.\n");
}

static pp_status parse(int argc, char **argv, run_options *options, bool *help) {
  enum { OPT_SET = 256, OPT_FORCE, OPT_RESUME, OPT_RUN };
  static const struct option longs[] = {
      {"output", required_argument, NULL, 'o'},  {"set", required_argument, NULL, OPT_SET},
      {"run", required_argument, NULL, OPT_RUN}, {"force", no_argument, NULL, OPT_FORCE},
      {"quiet", no_argument, NULL, 'q'},         {"resume", no_argument, NULL, OPT_RESUME},
      {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
  optind = 0;
  opterr = 0;
  for (int c; (c = getopt_long(argc, argv, ":o:qh", longs, NULL)) != -1;) {
    switch (c) {
    case 'o':
      options->output = optarg;
      break;
    case 'q':
      options->quiet = true;
      break;
    case 'h':
      *help = true;
      return NULL;
    case OPT_SET:
      PP_TRY(pp_app_experiment_set(&options->experiment, optarg));
      break;
    case OPT_RUN:
      options->only = optarg;
      break;
    case OPT_FORCE:
      options->force = true;
      break;
    case OPT_RESUME:
      return pp_fail(PP_CODE_USAGE, "run: --resume is not built yet");
    default:
      return pp_app_bad_option(argc, argv, c);
    }
  }
  return pp_app_experiment_file(&options->experiment, argc, argv);
}

/* What the progress shows beside a round. */
typedef struct progress {
  bool terminal;
  int run, runs;
  const pp_config *config;
} progress;

static void show_round(const pp_round_row *row, int64_t rounds, void *context) {
  const progress *p = context;
  char accuracy[48] = "";
  if (row->test_accuracy == row->test_accuracy)
    snprintf(accuracy, sizeof accuracy, ", test accuracy %.2f %%", 100 * row->test_accuracy);
  int64_t done = row->round + 1;
  if (p->terminal) {
    enum { WIDTH = 30 };
    int filled = (int)(((double)p->run + (double)done / (double)rounds) / p->runs * WIDTH);
    fprintf(stderr, "\r[%.*s%*s] run %d of %d (%s, %s), round %lld of %lld, %.1f s emulated%s   ", filled,
            "##############################", WIDTH - filled, "", p->run + 1, p->runs,
            pp_method_name(p->config->method), p->config->model, (long long)done, (long long)rounds, row->end_s,
            accuracy);
    if (done == rounds && p->run + 1 == p->runs)
      fputc('\n', stderr);
  } else {
    fprintf(stderr, "run %d of %d (%s, %s): round %lld of %lld, %.3f s emulated%s\n", p->run + 1, p->runs,
            pp_method_name(p->config->method), p->config->model, (long long)done, (long long)rounds, row->end_s,
            accuracy);
  }
  fflush(stderr);
}

typedef struct session {
  pp_comm *comm;
  const run_options *options;
  pp_experiment *experiment;
  int first, end;            /* the runs that are wanted */
  int *owners;               /* (end - first) the rank that works a run out; NULL: all ranks do each together */
  pp_run_draft **drafts;     /* (runs) of those that this rank will take part in; NULL: another's, or done */
  pp_results_writer *writer; /* rank 0 */
  char *overrides;           /* every --set, a line each */
  char path[4096];
  const volatile sig_atomic_t *signals;
  progress progress;
  bool local_failure; /* the others do not know of it */
} session;

static bool is_same_file(const char *one, const char *other) {
  struct stat a, b;
  return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* `--run N`: that run alone, otherwise all. */
static pp_status choose_runs(session *s) {
  int runs = pp_experiment_run_count(s->experiment);
  const char *only = s->options->only;
  s->first = 0;
  s->end = runs;
  if (only == NULL)
    return NULL;
  char *rest = NULL;
  long number = strtol(only, &rest, 10);
  if (only[0] < '0' || only[0] > '9' || *rest != '\0' || number >= runs)
    return pp_fail(PP_CODE_USAGE, "run: --run %s: %s has runs 0 to %d", only, s->options->experiment.path, runs - 1);
  s->first = (int)number;
  s->end = s->first + 1;
  return NULL;
}

static pp_status join_overrides(session *s) {
  const pp_app_experiment *named = &s->options->experiment;
  size_t room = 1;
  for (int at = 0; at < named->override_count; at++)
    room += strlen(named->overrides[at]) + 1;
  PP_TRY(pp_alloc(room, 1, "--set", &s->overrides));
  char *end = s->overrides;
  for (int at = 0; at < named->override_count; at++)
    end += sprintf(end, "%s%s", at == 0 ? "" : "\n", named->overrides[at]);
  return NULL;
}

static pp_status open_output(session *s, int argc, char **argv) {
  const char *name = pp_experiment_name(s->experiment);
  if (s->options->output != NULL) {
    snprintf(s->path, sizeof s->path, "%s", s->options->output);
  } else {
    if (mkdir("results", 0777) != 0 && errno != EEXIST)
      return pp_fail(PP_CODE_RUN, "results: the directory cannot be made: %s", strerror(errno));
    if (s->options->only != NULL)
      snprintf(s->path, sizeof s->path, "results/%s-%d.h5", name, s->first);
    else
      snprintf(s->path, sizeof s->path, "results/%s.h5", name);
  }
  if (pp_comm_rank(s->comm) != 0)
    return NULL;
  char part[sizeof s->path + 8];
  snprintf(part, sizeof part, "%s.part", s->path);
  if (is_same_file(s->path, s->options->experiment.path) || is_same_file(part, s->options->experiment.path))
    return pp_fail(PP_CODE_USAGE, "%s would overwrite the experiment file %s: -o names another file", s->path,
                   s->options->experiment.path);
  pp_app_provenance provenance;
  pp_app_provenance_collect(&provenance, s->comm, argc, argv);
  PP_TRY(join_overrides(s));
  PP_ASSERT(provenance.count < PP_APP_PROVENANCE_MAX);
  provenance.entries[provenance.count++] = (pp_provenance){"overrides", s->overrides};
  int only = s->options->only == NULL ? -1 : s->first;
  return pp_results_create(s->path, s->options->force, s->experiment, only, provenance.entries, provenance.count,
                           &s->writer);
}

static pp_status in_run(const session *s, int run, pp_status status) {
  return pp_app_in_run(&s->options->experiment, s->experiment, run, status);
}

/* Devices of all drafts that are kept from checking until their run: a sweep may have thousands of runs. */
enum { MOST_DEVICES_DRAFTED = 1 << 23 };

static pp_status draft_run(session *s, pp_comm *comm, int run) {
  return in_run(s, run, pp_run_check(comm, pp_experiment_run(s->experiment, run), &s->drafts[run]));
}

static void drop_draft(session *s, int run) {
  pp_run_draft_destroy(s->drafts[run]);
  s->drafts[run] = NULL;
}

/* One run by the ranks of `comm`, its rows into `sink`. */
static pp_status execute(session *s, pp_comm *comm, pp_sink *sink, const volatile sig_atomic_t *signals,
                         bool *stopped) {
  if (s->drafts[sink->run] == NULL)
    PP_TRY(draft_run(s, comm, sink->run));
  pp_run_request request = {.comm = comm, .draft = s->drafts[sink->run], .sink = sink, .stopped = signals};
  pp_run *run = NULL;
  PP_TRY(in_run(s, sink->run, pp_run_create(&request, &run)));
  pp_status status = in_run(s, sink->run, pp_run_execute(run, stopped));
  s->local_failure = status != NULL && pp_comm_size(s->comm) > 1;
  pp_run_destroy(run);
  drop_draft(s, sink->run);
  return status;
}

/* A run that only one rank computes. */
static pp_status execute_alone(void *context, pp_sink *sink, bool *stopped) {
  session *s = context;
  pp_comm *alone = NULL;
  PP_TRY(pp_comm_open_alone(&alone));
  pp_status status = execute(s, alone, sink, s->signals, stopped);
  pp_comm_close(alone);
  return status;
}

/* Where a run's rows go on rank 0, and who watches. */
static void direct(void *context, int run, pp_sink *sink) {
  session *s = context;
  s->progress = (progress){.terminal = isatty(STDERR_FILENO),
                           .run = run,
                           .runs = pp_experiment_run_count(s->experiment),
                           .config = pp_experiment_run(s->experiment, run)};
  sink->writer = s->writer;
  sink->watcher = s->options->quiet ? NULL : show_round;
  sink->context = &s->progress;
}

static bool is_time_only(const pp_experiment *experiment) {
  for (int number = 0; number < pp_experiment_run_count(experiment); number++)
    if (pp_experiment_run(experiment, number)->compute != PP_COMPUTE_NONE)
      return false;
  return true;
}

/* A fault of the last run is better known before the first. What is worked out for it is kept for the run. */
static pp_status check_runs(session *s) {
  int64_t devices = 0;
  pp_comm *alone = NULL;
  size_t runs = (size_t)pp_experiment_run_count(s->experiment);
  PP_TRY(pp_comm_agree(s->comm, pp_alloc(runs, sizeof *s->drafts, "runs", &s->drafts)));
  pp_status status = s->owners != NULL ? pp_comm_open_alone(&alone) : NULL;
  for (int number = s->first; status == NULL && number < s->end; number++) {
    if (alone != NULL && s->owners[number - s->first] != pp_comm_rank(s->comm))
      continue;
    status = draft_run(s, alone != NULL ? alone : s->comm, number);
    devices += pp_config_device_count(pp_experiment_run(s->experiment, number));
    if (devices > MOST_DEVICES_DRAFTED)
      drop_draft(s, number);
  }
  pp_comm_close(alone);
  return pp_comm_agree(s->comm, status);
}

/* *rounds: in the file. */
static pp_status execute_all(session *s, bool *stopped, int64_t *rounds) {
  if (s->owners != NULL) {
    pp_spread spread = {.comm = s->comm,
                        .first = s->first,
                        .end = s->end,
                        .owners = s->owners,
                        .execute = execute_alone,
                        .direct = direct,
                        .context = s};
    pp_status status = pp_spread_runs(&spread, stopped, rounds);
    s->local_failure = status != NULL;
    return status;
  }
  for (int number = s->first; number < s->end && !*stopped; number++) {
    pp_sink sink = {.run = number};
    direct(s, number, &sink);
    pp_status status = execute(s, s->comm, &sink, s->signals, stopped);
    *rounds += sink.rounds;
    pp_sink_fini(&sink);
    PP_TRY(status);
  }
  return NULL;
}

static pp_status run_all(session *s, int argc, char **argv) {
  s->signals = pp_app_catch_signals();
  PP_TRY(pp_comm_agree(s->comm, pp_app_experiment_load(&s->options->experiment, &s->experiment)));
  PP_TRY(pp_comm_agree(s->comm, choose_runs(s)));
  bool stopped = false;
  int ranks = pp_comm_size(s->comm);
  int64_t rounds = 0; /* rank 0 knows, and speaks */
  if (ranks > 1 && is_time_only(s->experiment))
    PP_TRY(pp_comm_agree(s->comm, pp_spread_share(s->experiment, ranks, s->first, s->end, &s->owners)));
  PP_TRY(check_runs(s));
  PP_TRY(pp_comm_agree(s->comm, open_output(s, argc, argv)));
  PP_TRY(execute_all(s, &stopped, &rounds));
  int64_t stops = 0;
  PP_TRY(pp_comm_sum(s->comm, stopped, &stops));
  if (stops > 0 && rounds == 0)
    return pp_fail(PP_CODE_STOPPED, "stopped by a signal before a round was complete: nothing is kept");
  if (stops > 0)
    return pp_fail(PP_CODE_STOPPED, "stopped by a signal: %s.part holds the %lld rounds that were complete", s->path,
                   (long long)rounds);
  pp_status status = NULL;
  if (s->writer != NULL) {
    pp_results_writer *writer = s->writer;
    s->writer = NULL;
    status = pp_results_commit(writer);
  }
  return pp_comm_agree(s->comm, status);
}

/* A failure that all ranks share is told by the first, one of a single rank by itself, and it ends all of them. It is
 * told while all are still there: a launcher ends what is left as soon as one has gone with an error. */
static int finish(session *s, pp_status status) {
  pp_results_abandon(s->writer);
  for (int run = 0; s->drafts != NULL && run < pp_experiment_run_count(s->experiment); run++)
    drop_draft(s, run);
  free(s->drafts);
  free(s->owners);
  free(s->overrides);
  pp_experiment_destroy(s->experiment);
  int code = (int)pp_error_code(status);
  if (s->local_failure || pp_comm_rank(s->comm) == 0)
    pp_app_finish(status);
  else
    pp_error_free(status);
  if (s->local_failure)
    pp_comm_abort(s->comm, code);
  pp_comm_close(s->comm);
  return code;
}

pp_status pp_cmd_run(int argc, char **argv, int *exit_code) {
  run_options options = {0};
  bool help = false;
  pp_status status = parse(argc, argv, &options, &help);
  if (help)
    print_help();
  session s = {.options = &options};
  if (status == NULL && !help)
    status = pp_comm_open(&argc, &argv, &s.comm);
  if (s.comm != NULL) {
    bool tells = pp_comm_rank(s.comm) == 0;
    *exit_code = finish(&s, run_all(&s, argc, argv));
    if (*exit_code == 0 && tells && !options.quiet)
      printf("%s\n", s.path);
  }
  pp_app_experiment_fini(&options.experiment);
  return status;
}
