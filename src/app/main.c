/* pipar: the program. Subcommands are in cmd_*.c. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "app/commands.h"
#include "app/leftover.h"
#include "app/start.h"

typedef struct command {
  const char *name;
  const char *summary;
  pp_status (*run)(int argc, char **argv, int *exit_code);
} command;

static const command commands[] = {
    {"run", "run an experiment, alone or under mpirun or srun", pp_cmd_run},
    {"check", "validate an experiment and tell what it will take", pp_cmd_check},
    {"plan", "what the planners choose, and what limits it", pp_cmd_plan},
    {"models", "networks, and the blocks of one", pp_cmd_models},
    {"profile", "time the blocks of a network on this machine", pp_cmd_profile},
    {"presets", "devices and networks, with their sources", pp_cmd_presets},
    {"report", "tables of results files", pp_cmd_report},
    {"plot", "figures of results files", pp_cmd_plot},
    {"trace", "timeline of a run, for Perfetto and chrome://tracing", pp_cmd_trace},
    {"merge", "one results file from those of single runs", pp_cmd_merge},
    {"diff", "whether two results files hold the same results", pp_cmd_diff},
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *stream) {
  fprintf(stream, "usage: pipar COMMAND [ARGUMENTS]\n\n"
                  "Simulates pipelined training of neural networks across devices and a server (PiPar).\n\n");
  for (int i = 0; i < COMMAND_COUNT; i++)
    fprintf(stream, "  %-8s %s\n", commands[i].name, commands[i].summary);
  fprintf(stream, "\n`pipar COMMAND --help` tells more; `pipar --version` names the libraries in use.\n");
}

static pp_status dispatch(int argc, char **argv, int *exit_code) {
  if (argc < 2) {
    print_usage(stderr);
    return pp_fail(PP_CODE_USAGE, "a command is missing");
  }
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
    print_usage(stdout);
    return NULL;
  }
  if (strcmp(argv[1], "--version") == 0) {
    pp_app_print_versions(stdout);
    return NULL;
  }
  for (int i = 0; i < COMMAND_COUNT; i++)
    if (strcmp(argv[1], commands[i].name) == 0) {
      if (commands[i].run != pp_cmd_run) /* which has handlers of its own */
        pp_start_release_signals();
      return commands[i].run(argc - 1, argv + 1, exit_code);
    }
  return pp_fail(PP_CODE_USAGE, "there is no command '%s': see pipar --help", argv[1]);
}

/* The next file opened would take the number of a standard stream that is closed, and messages would go into it. What
 * is put there instead cannot be read or written, as before. */
static pp_status hold_standard_streams(void) {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
    if (fcntl(stream, F_GETFD) >= 0 || errno != EBADF)
      continue;
    if (open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) != stream)
      return pp_fail(PP_CODE_RUN, "/dev/null cannot be opened: %s", strerror(errno));
  }
  return NULL;
}

int main(int argc, char **argv) {
  int exit_code = EXIT_SUCCESS;
  signal(SIGXFSZ, SIG_IGN); /* a write past the limit fails, and is told */
  pp_leftover_begin();
  pp_status status = hold_standard_streams();
  if (status == NULL)
    status = dispatch(argc, argv, &exit_code);
  if (status == NULL && (fflush(stdout) != 0 || ferror(stdout)))
    status = pp_fail(PP_CODE_RUN, "standard output could not be written: %s", strerror(errno));
  return status != NULL ? pp_app_finish(status) : exit_code;
}
