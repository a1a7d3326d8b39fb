/* pipar run */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/app.h"
#include "app/commands.h"
#include "app/options.h"
#include "app/output.h"
#include "app/spread.h"
#include "app/start.h"
#include "app/warnings.h"
#include "base/mem.h"
#include "runtime/run.h"
#include "trace/checkpoint.h"

typedef struct run_options {
  pp_app_experiment experiment;
  const char *output;
  const char *only; /* the number of the one run that is wanted, as given */
  bool force, resume, quiet;
} run_options;

static void print_help(void) {
  printf("usage: pipar run EXP.yaml [-o OUT.h5] [--set KEY=VALUE ...] [--run N] [--resume] [--force] [-q]\n\n"
         "Runs every run of the experiment's sweep and writes one results file. Alone, one rank plays the server and\n"
         "all devices; under mpirun or srun the devices are spread over the ranks. The results are the same.\n\n"
         "  -o, --output OUT.h5   default: results/<name>.h5; OUT.h5.part until complete\n"
         "      --set KEY=VALUE   override a key of the experiment, e.g. --set training.epochs=3\n"
         "      --run N           only that run of the sweep, in a file of its own (results/<name>-N.h5) for `pipar "
         "merge`\n"
         "      --resume          go on with OUT.h5.part and OUT.h5.ckpt, which a stopped or killed run left, on any "
         "number of ranks\n"
         "      --force           replace an existing output, and what a stopped run left\n"
         "  -q, --quiet           no progress, no warnings\n\n"
         "Exit codes: 0 done; 1 usage; 2 the experiment or an input file is wrong; 3 a run failed; 4 stopped by a\n"
         "signal (TERM, INT, USR1) after a round, --resume goes on.\n");
}

static pp_status parse(int argc, char **argv, run_options *options, bool *help) {
  enum { OPT_SET = 256, OPT_FORCE, OPT_RESUME, OPT_RUN };
  static const struct option longs[] = {
      {"output", required_argument, NULL, 'o'},  {"set", required_argument, NULL, OPT_SET},
      {"run", required_argument, NULL, OPT_RUN}, {"force", no_argument, NULL, OPT_FORCE},
      {"quiet", no_argument, NULL, 'q'},         {"resume", no_argument, NULL, OPT_RESUME},
      {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
  PP_TRY(pp_app_check_values(argc, argv, ":o:qh", longs));
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
      options->resume = true;
      break;
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
  int first, end; /* the runs that are wanted */
  bool *complete; /* (runs) that are kept from what is gone on with */
  int todo_count;
  int *todo;                 /* (todo_count) runs that are wanted and not complete */
  int *owners;               /* (todo_count) the rank that works a run out; NULL: all ranks do each together */
  pp_run_draft **drafts;     /* (runs) of those that this rank will take part in; NULL: another's, or done */
  pp_results_writer *writer; /* rank 0 */
  char *overrides;           /* every --set, a line each */
  char path[4096];
  char checkpoint[4096 + 8];
  pp_identity identity; /* rank 0 */
  int resumed_run;      /* which goes on from the checkpoint; -1: none */
  int64_t saved_rounds; /* of the last run, in the checkpoint */
  const volatile sig_atomic_t *signals;
  progress progress;
  bool local_failure;   /* the others do not know of it */
  pp_warnings warnings; /* rank 0's, until they are printed */
} session;

static bool is_same_file(const char *one, const char *other) {
  struct stat a, b;
  return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
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

static pp_status name_output(session *s) {
  const char *name = pp_experiment_name(s->experiment);
  int length = 0;
  if (s->options->output != NULL)
    length = snprintf(s->path, sizeof s->path, "%s", s->options->output);
  else if (s->options->only != NULL)
    length = snprintf(s->path, sizeof s->path, "results/%s-%d.h5", name, s->first);
  else
    length = snprintf(s->path, sizeof s->path, "results/%s.h5", name);
  if (length >= (int)sizeof s->path)
    return pp_fail(PP_CODE_USAGE, "a results file's name has at most %zu characters", sizeof s->path - 1);
  snprintf(s->checkpoint, sizeof s->checkpoint, "%s.ckpt", s->path);
  return NULL;
}

/* Whether the checkpoint is of the run that is next. Runs are complete before their checkpoints go. */
static pp_status find_checkpoint(session *s) {
  pp_checkpoint *found = NULL;
  PP_TRY(pp_checkpoint_open(s->checkpoint, &s->identity, &found));
  if (found == NULL)
    return NULL;
  int64_t run = pp_checkpoint_head_of(found)->run;
  pp_checkpoint_close(found);
  int next = s->first;
  while (next < s->end && s->complete[next])
    next++;
  if (run >= s->first && run < s->end && s->complete[run])
    return NULL;
  if (run != next)
    return pp_fail(PP_CODE_INPUT,
                   "%s is of run %lld, but %s.part has no complete run %d: without it --resume begins "
                   "that run again",
                   s->checkpoint, (long long)run, s->path, next);
  s->resumed_run = next;
  return NULL;
}

static int choice_only(const session *s) { return s->options->only == NULL ? -1 : s->first; }

static pp_status look_back(session *s) {
  PP_TRY(
      pp_results_find_complete(s->path, s->options->force, s->experiment, choice_only(s), &s->identity, s->complete));
  return find_checkpoint(s);
}

/* What there is to do; rank 0 looks and tells. */
static pp_status plan_work(session *s) {
  struct {
    _Alignas(PP_COMM_LINE) int run;
  } resumed = {-1};
  size_t runs = (size_t)pp_experiment_run_count(s->experiment);
  pp_status status = pp_alloc(runs, sizeof *s->complete, "runs", &s->complete);
  if (status == NULL)
    status = pp_alloc(runs, sizeof *s->todo, "runs", &s->todo);
  if (status == NULL && pp_comm_rank(s->comm) == 0) {
    status = pp_app_identify(s->experiment, &s->identity);
    if (status == NULL && s->options->resume)
      status = look_back(s);
    resumed.run = s->resumed_run;
  }
  PP_TRY(pp_comm_agree(s->comm, status));
  PP_TRY(pp_comm_broadcast(s->comm, 0, s->complete, runs * sizeof *s->complete));
  PP_TRY(pp_comm_broadcast(s->comm, 0, &resumed, sizeof resumed));
  s->resumed_run = resumed.run;
  for (int run = s->first; run < s->end; run++)
    if (!s->complete[run])
      s->todo[s->todo_count++] = run;
  return NULL;
}

static pp_status collect_provenance(session *s, int argc, char **argv, pp_app_provenance *provenance) {
  pp_app_provenance_collect(provenance, s->comm, argc, argv);
  PP_TRY(join_overrides(s));
  PP_ASSERT(provenance->count + 2 <= PP_APP_PROVENANCE_MAX);
  provenance->entries[provenance->count++] = (pp_provenance){"overrides", s->overrides};
  provenance->entries[provenance->count++] =
      (pp_provenance){pp_identity_names[PP_IDENTITY_EXPERIMENT], s->identity.part[PP_IDENTITY_EXPERIMENT]};
  return NULL;
}

static pp_status open_output(session *s, int argc, char **argv) {
  if (s->options->output == NULL && mkdir("results", 0777) != 0 && errno != EEXIST)
    return pp_fail(PP_CODE_RUN, "results: the directory cannot be made: %s", strerror(errno));
  if (pp_comm_rank(s->comm) != 0)
    return NULL;
  const run_options *options = s->options;
  char part[sizeof s->path + 8];
  snprintf(part, sizeof part, "%s.part", s->path);
  if (is_same_file(s->path, options->experiment.path) || is_same_file(part, options->experiment.path))
    return pp_fail(PP_CODE_USAGE, "%s would overwrite the experiment file %s: -o names another file", s->path,
                   options->experiment.path);
  pp_app_provenance provenance;
  PP_TRY(collect_provenance(s, argc, argv, &provenance));
  if (options->resume)
    return pp_results_resume(s->path, options->force, s->experiment, choice_only(s), provenance.entries,
                             provenance.count, &s->identity, &s->writer);
  if (!options->force && access(s->checkpoint, F_OK) == 0 && access(part, F_OK) != 0)
    return pp_fail(PP_CODE_USAGE, "%s was left by a run that did not end: --force removes it, -o names another file",
                   s->checkpoint);
  PP_TRY(pp_results_create(s->path, options->force, s->experiment, choice_only(s), provenance.entries, provenance.count,
                           &s->writer));
  return pp_checkpoint_remove(s->checkpoint);
}

static pp_status in_run(const session *s, int run, pp_status status) {
  return pp_app_in_run(&s->options->experiment, s->experiment, run, status);
}

/* Devices of all drafts that are kept from checking until their run: a sweep may have thousands of runs. */
enum { MOST_DEVICES_DRAFTED = 1 << 23 };

static pp_status draft_run(session *s, pp_comm *comm, int run) {
  return in_run(s, run, pp_run_check(comm, pp_experiment_run(s->experiment, run), &s->drafts[run]));
}

/* Rank 0, where the run is to be trained and not to be quiet. */
static pp_status note_warnings(session *s, int run) {
  const pp_config *config = pp_experiment_run(s->experiment, run);
  if (pp_comm_rank(s->comm) > 0 || s->options->quiet || config->compute != PP_COMPUTE_REAL)
    return NULL;
  return pp_warnings_add_draft(&s->warnings, run, config, s->drafts[run]);
}

static void drop_draft(session *s, int run) {
  pp_run_draft_destroy(s->drafts[run]);
  s->drafts[run] = NULL;
}

/* Rank 0, once nothing can refuse to go on: what a stopped run left is replaced. A checkpoint that is not gone on from
 * is of a run that is complete. */
static pp_status settle(const session *s) {
  PP_TRY(pp_results_settle(s->writer));
  return s->options->resume && s->resumed_run < 0 ? pp_checkpoint_remove(s->checkpoint) : NULL;
}

/* Before the first run is trained: what is wrong with its inputs is known then. */
static void warn(session *s) {
  pp_warnings_print(&s->warnings, pp_experiment_run_count(s->experiment), stderr);
  pp_warnings_fini(&s->warnings);
}

/* One run by the ranks of `comm`, its rows into `sink`. */
static pp_status execute(session *s, pp_comm *comm, pp_sink *sink, const volatile sig_atomic_t *signals,
                         bool *stopped) {
  if (s->drafts[sink->run] == NULL)
    PP_TRY(draft_run(s, comm, sink->run));
  bool resumes = sink->run == s->resumed_run;
  bool has_checkpoints = resumes || pp_run_has_checkpoints(pp_experiment_run(s->experiment, sink->run));
  pp_run_request request = {.comm = comm,
                            .draft = s->drafts[sink->run],
                            .sink = sink,
                            .stopped = signals,
                            .checkpoint_path = has_checkpoints ? s->checkpoint : NULL,
                            .identity = &s->identity,
                            .resume = resumes};
  pp_run *run = NULL;
  PP_TRY(in_run(s, sink->run, pp_run_create(&request, &run)));
  pp_status status = in_run(s, sink->run, pp_run_begin(run));
  if (status == NULL)
    status = pp_comm_agree(comm, sink->writer != NULL ? settle(s) : NULL);
  if (status == NULL) {
    warn(s);
    status = in_run(s, sink->run, pp_run_execute(run, stopped));
    s->local_failure = status != NULL && pp_comm_size(s->comm) > 1;
  }
  s->saved_rounds = pp_run_saved_rounds(run);
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
  pp_status status = s->owners != NULL ? pp_comm_open_alone(&alone) : NULL, noted = NULL;
  for (int index = 0; status == NULL && index < s->todo_count; index++) {
    if (alone != NULL && s->owners[index] != pp_comm_rank(s->comm))
      continue;
    int number = s->todo[index];
    status = draft_run(s, alone != NULL ? alone : s->comm, number);
    if (status == NULL && noted == NULL)
      noted = note_warnings(s, number);
    devices += pp_config_device_count(pp_experiment_run(s->experiment, number));
    if (devices > MOST_DEVICES_DRAFTED)
      drop_draft(s, number);
  }
  pp_comm_close(alone);
  return pp_comm_agree(s->comm, pp_status_first(status, noted));
}

/* Rank 0: the run is complete, and then its checkpoint goes. */
static pp_status end_checkpoint(session *s) {
  if (s->writer == NULL || s->saved_rounds == 0)
    return NULL;
  s->saved_rounds = 0;
  pp_status status = pp_results_sync(s->writer);
  if (status == NULL)
    status = pp_checkpoint_remove(s->checkpoint);
  s->local_failure = status != NULL && pp_comm_size(s->comm) > 1;
  return status;
}

/* *rounds: in the file. */
static pp_status execute_all(session *s, bool *stopped, int64_t *rounds) {
  if (s->owners != NULL) {
    pp_spread spread = {.comm = s->comm,
                        .count = s->todo_count,
                        .runs = s->todo,
                        .owners = s->owners,
                        .execute = execute_alone,
                        .direct = direct,
                        .context = s};
    pp_status status = pp_spread_runs(&spread, stopped, rounds);
    s->local_failure = status != NULL;
    return status;
  }
  for (int index = 0; index < s->todo_count && !*stopped; index++) {
    pp_sink sink = {.run = s->todo[index]};
    direct(s, sink.run, &sink);
    pp_status status = execute(s, s->comm, &sink, s->signals, stopped);
    *rounds += sink.rounds;
    pp_sink_fini(&sink);
    PP_TRY(status);
    if (!*stopped)
      PP_TRY(end_checkpoint(s));
  }
  return NULL;
}

static pp_status nothing_kept(void) {
  return pp_fail(PP_CODE_RUN, "stopped by a signal before a round was complete: nothing is kept");
}

/* Rank 0 knows how many rounds are in the file, and speaks; all end with its exit code. */
static pp_status tell_stop(const session *s, int64_t own_rounds) {
  int64_t rounds = 0;
  PP_TRY(pp_comm_sum(s->comm, own_rounds, &rounds));
  if (rounds == 0 && !s->options->resume)
    return nothing_kept();
  return pp_fail(PP_CODE_STOPPED, "stopped by a signal: %s.part holds %lld complete round%s, --resume %s", s->path,
                 (long long)rounds, rounds == 1 ? "" : "s",
                 s->saved_rounds > 0 ? "goes on" : "keeps complete runs and begins the others again");
}

/* A signal that any rank has had so far: nothing has been touched. */
static pp_status stop_early(const session *s) {
  int64_t signals = 0;
  PP_TRY(pp_comm_sum(s->comm, *s->signals != 0, &signals));
  if (signals == 0)
    return NULL;
  if (s->options->resume)
    return pp_fail(PP_CODE_STOPPED, "stopped by a signal: %s.part is as it was, --resume goes on", s->path);
  return nothing_kept();
}

static pp_status run_all(session *s, int argc, char **argv) {
  PP_TRY(pp_comm_agree(s->comm, pp_app_experiment_load(&s->options->experiment, &s->experiment)));
  int runs = pp_experiment_run_count(s->experiment);
  PP_TRY(pp_comm_agree(s->comm, pp_app_choose_runs("run", s->options->only, s->options->experiment.path, runs, runs,
                                                   &s->first, &s->end)));
  PP_TRY(pp_comm_agree(s->comm, name_output(s)));
  bool makes = pp_comm_rank(s->comm) == 0 && s->options->output != NULL; /* or results/ is made */
  PP_TRY(pp_comm_agree(s->comm, makes ? pp_output_check_directory(s->path) : NULL));
  PP_TRY(plan_work(s));
  PP_TRY(stop_early(s));
  bool stopped = false;
  int ranks = pp_comm_size(s->comm);
  int64_t rounds = 0, stops = 0;
  if (ranks > 1 && is_time_only(s->experiment))
    PP_TRY(pp_comm_agree(s->comm, pp_spread_share(s->experiment, ranks, s->todo_count, s->todo, &s->owners)));
  PP_TRY(check_runs(s));
  PP_TRY(stop_early(s));
  PP_TRY(pp_comm_agree(s->comm, open_output(s, argc, argv)));
  PP_TRY(execute_all(s, &stopped, &rounds));
  PP_TRY(pp_comm_sum(s->comm, stopped, &stops));
  if (stops > 0)
    return tell_stop(s, rounds);
  pp_status status = s->writer != NULL ? settle(s) : NULL;
  if (s->writer != NULL && status == NULL) {
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
  pp_warnings_fini(&s->warnings);
  free(s->owners);
  free(s->complete);
  free(s->todo);
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
  /* Before MPI, where a rank that goes would leave the others, or the launcher, waiting. */
  session s = {.options = &options, .resumed_run = -1, .signals = pp_app_catch_signals()};
  pp_start_release_signals();
  if (status == NULL && !help)
    status = pp_comm_open(&argc, &argv, &s.comm);
  if (s.comm != NULL) {
    bool tells = pp_comm_rank(s.comm) == 0;
    /* Who reads the progress may go; the run goes on. */
    struct sigaction before, ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, &before);
    *exit_code = finish(&s, run_all(&s, argc, argv));
    sigaction(SIGPIPE, &before, NULL);
    if (*exit_code == 0 && tells && !options.quiet)
      printf("%s\n", s.path);
  }
  pp_app_experiment_fini(&options.experiment);
  return status;
}
