/* Writes a small results file with something in every table, for tests that read it with other software:
 * sample OUT.h5 [running], where `running` leaves OUT.h5.part as a killed writer does. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake_experiment.h"
#include "pipar/results.h"

static pp_status write_file(const char *path, bool running, pp_experiment *experiment) {
  const pp_stage_record stages[] = {{0, -1, 0, 0, 0, PP_STAGE_FORWARD, 0, 1000000000, 0},
                                    {0, -1, 0, 0, 0, PP_STAGE_UPLOAD, 1000000000, 2000000000, 1250000},
                                    {-1, 0, 0, -1, -1, PP_STAGE_AGGREGATE, 8900000000, 8950000000, 0}};
  const pp_round_row round = {0, 1, 9.1, 0.5, NAN, 0.75, 5.8, 2.6, NAN};
  const pp_plan_row plan[] = {{0, 1, 2, 9.1, 1, 0}, {0, 2, 2, NAN, 0, 0}};
  const pp_device_row device = {0, 0, 1, 2, 100, 6.5, 2.6, {0, 0.1, 0, 1.5, 0.55, 0.4, 0.05, 0, 0}, 2625000, 2625000};
  const pp_server_row slot = {0, 3.3, 5.8, {4.35, 1.1, 0, 0, 0, 0.2, 0, 0.15, 0}};
  const pp_run_summary summary = {9.1, 3.3, 5.8, 2.6, 0.5, 0.75, 2625000, 2625000, NAN};
  const float params[6] = {0, 1, 2, 3, 4, 5}, stats[2] = {6, 7};
  const pp_provenance provenance[] = {{"host", "localhost"}};
  pp_results_writer *writer = NULL;
  PP_TRY(pp_results_create(path, true, experiment, -1, provenance, 1, &writer));
  PP_TRY(pp_results_append_plan(writer, 0, plan, 2));
  PP_TRY(pp_results_append_stages(writer, 0, stages, 3));
  PP_TRY(pp_results_append_round(writer, 0, &round));
  PP_TRY(pp_results_flush(writer));
  if (running)
    _exit(0);
  PP_TRY(pp_results_end_run(writer, 0, "complete", &summary, &device, 1, &slot, 1, fake_model(), params, stats));
  return pp_results_commit(writer);
}

int main(int argc, char **argv) {
  if (argc < 2)
    return 1;
  pp_experiment *experiment = fake_experiment_create("method: pipar\n", 1, 1);
  fake_set_real(experiment, 0, "training.learning_rate", 0.01);
  fake_set_bool(experiment, 0, "record.model", true);
  pp_status status = write_file(argv[1], argc > 2 && strcmp(argv[2], "running") == 0, experiment);
  fake_experiment_destroy(experiment);
  if (status != NULL)
    fprintf(stderr, "%s\n", pp_error_message(status));
  int code = (int)pp_error_code(status);
  pp_error_free(status);
  return code;
}
