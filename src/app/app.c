#include "app/app.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "pipar/nn.h"

int pp_app_finish(pp_status status) {
  if (status == NULL)
    return 0;
  int code = (int)pp_error_code(status);
  fflush(stdout);
  fprintf(stderr, "pipar: %s\n", pp_error_message(status));
  pp_error_free(status);
  return code;
}

/* Signal handlers reach nothing but globals. */
static volatile sig_atomic_t signal_seen;

static void on_signal(int number) { signal_seen = number; }

const volatile sig_atomic_t *pp_app_catch_signals(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, NULL);
  action.sa_flags = (int)(SA_RESTART | SA_RESETHAND);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  return &signal_seen;
}

static const char *revision(void) { return strchr(pp_app_revision, ':') + 1; }

static void add(pp_app_provenance *provenance, const char *key, const char *value) {
  int entry = provenance->count++;
  PP_ASSERT(entry < PP_APP_PROVENANCE_MAX);
  snprintf(provenance->text[entry], sizeof provenance->text[entry], "%s", value);
  provenance->entries[entry] = (pp_provenance){key, provenance->text[entry]};
}

static void cpu_model(char *text, size_t size) {
  snprintf(text, size, "unknown");
  FILE *file = fopen("/proc/cpuinfo", "r");
  if (file == NULL)
    return;
  char line[512];
  while (fgets(line, sizeof line, file) != NULL) {
    const char *colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) != 0 || colon == NULL)
      continue;
    snprintf(text, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
    text[strcspn(text, "\n")] = '\0';
    break;
  }
  fclose(file);
}

void pp_app_provenance_collect(pp_app_provenance *provenance, const pp_comm *comm, int argc, char **argv) {
  char text[512] = "";
  provenance->count = 0;
  add(provenance, "pipar_version", PP_VERSION);
  add(provenance, "git_revision", revision());
  size_t used = (size_t)snprintf(text, sizeof text, "pipar");
  for (int i = 0; i < argc && used < sizeof text; i++)
    used += (size_t)snprintf(text + used, sizeof text - used, " %s", argv[i]);
  add(provenance, "command_line", text);
  if (gethostname(text, sizeof text) != 0)
    snprintf(text, sizeof text, "unknown");
  text[sizeof text - 1] = '\0';
  add(provenance, "host", text);
  cpu_model(text, sizeof text);
  add(provenance, "cpu", text);
  add(provenance, "blas", pp_nn_library());
  add(provenance, "kernels", pp_nn_kernels());
  pp_comm_library(text, sizeof text);
  add(provenance, "mpi", text);
  add(provenance, "hdf5", pp_results_library());
  snprintf(text, sizeof text, "%d", pp_comm_size(comm));
  add(provenance, "ranks", text);
}

/* What is only timed has the same bits on any processor. */
pp_status pp_app_identify(const pp_experiment *experiment, pp_identity *out) {
  bool trains = false;
  for (int run = 0; run < pp_experiment_run_count(experiment); run++)
    trains = trains || pp_experiment_run(experiment, run)->compute == PP_COMPUTE_REAL;
  *out = (pp_identity){0};
  snprintf(out->part[PP_IDENTITY_VERSION], PP_IDENTITY_ROOM, "%s", PP_VERSION);
  snprintf(out->part[PP_IDENTITY_REVISION], PP_IDENTITY_ROOM, "%s", revision());
  snprintf(out->part[PP_IDENTITY_BLAS], PP_IDENTITY_ROOM, "%s", trains ? pp_nn_library() : "");
  snprintf(out->part[PP_IDENTITY_KERNELS], PP_IDENTITY_ROOM, "%s", trains ? pp_nn_kernels() : "");
  return pp_identity_digest(experiment, out);
}

void pp_app_print_versions(FILE *stream) {
  char mpi[256];
  pp_comm_library(mpi, sizeof mpi);
  fprintf(stream, "pipar %s (%s)\n", PP_VERSION, revision());
  fprintf(stream, "%s\n%s\nHDF5 %s\nlibyaml %s\n", mpi, pp_nn_library(), pp_results_library(),
          yaml_get_version_string());
}
