#include "samples.h"
#include "suite.h"

#include <math.h>
#include <string.h>

#include "fake_experiment.h"

static void ok(pp_status status) {
  if (status != NULL)
    ck_abort_msg("%s", pp_error_message(status));
}

static pp_experiment *create_experiment(int run_count, const sample_run *runs) {
  pp_experiment *experiment = fake_experiment_create("sample\n", run_count, 2);
  for (int run = 0; run < run_count; run++) {
    fake_set_integer(experiment, run, "seed", runs[run].seed);
    fake_set_text(experiment, run, "method", runs[run].method);
    fake_set_text(experiment, run, "dataset.name", "fashion-mnist");
    fake_set_integer(experiment, run, "pipeline.micro_batches", runs[run].micro_batches);
    fake_set_text(experiment, run, "devices.0.network.name", runs[run].network);
    fake_set_real(experiment, run, "devices.0.network.up_mbps", strcmp(runs[run].network, "slow") == 0 ? 0.1 : 10);
    fake_set_integer(experiment, run, "devices.0.pipeline.micro_batches", runs[run].micro_batches);
    fake_set_bool(experiment, run, "record.model", run % 2 == 0);
  }
  return experiment;
}

/* One iteration of each device in round 0: forward, upload, server, download, backward, update, one after another. */
static void append_stages(pp_results_writer *writer, int run) {
  static const pp_stage chain[] = {PP_STAGE_FORWARD,         PP_STAGE_UPLOAD,   PP_STAGE_SERVER_FORWARD,
                                   PP_STAGE_SERVER_BACKWARD, PP_STAGE_DOWNLOAD, PP_STAGE_BACKWARD,
                                   PP_STAGE_DEVICE_UPDATE};
  enum { length = sizeof chain / sizeof chain[0], stage_ns = 500000000 };
  pp_stage_record rows[2 * length];
  for (int row = 0; row < 2 * length; row++) {
    int device = row % 2, step = row / 2;
    int64_t start = (int64_t)step * stage_ns + device * (stage_ns / 4);
    bool server = step == 2 || step == 3, transfer = step == 1 || step == 4;
    rows[row] = (pp_stage_record){device,           server ? 0 : -1,    0, 0, 0, (int32_t)chain[step], start,
                                  start + stage_ns, transfer ? 1000 : 0};
  }
  ok(pp_results_append_stages(writer, run, rows, 2 * length));
}

static void write_run(pp_results_writer *writer, int run, const sample_run *of) {
  append_stages(writer, run);
  for (int round = 0; round < of->rounds; round++) {
    double share = (round + 1.0) / of->rounds;
    pp_round_row row = {round, 1,  of->makespan_s * share, 1 - share / 2, NAN, of->test_accuracy * sqrt(share), 0,
                        0,     NAN};
    ok(pp_results_append_round(writer, run, &row));
  }
  ok(pp_results_flush(writer));
  if (of->status == NULL)
    return;
  pp_device_row devices[2];
  for (int device = 0; device < 2; device++) {
    double idle_s = of->device_idle_s;
    devices[device] = (pp_device_row){device, 0, 2, of->micro_batches, 500, of->makespan_s - idle_s, idle_s, {0}, 0, 0};
    devices[device].cause_s[PP_CAUSE_UPLOAD] = idle_s / 4;
    devices[device].cause_s[PP_CAUSE_SERVER_COMPUTE] = idle_s / 4;
    devices[device].cause_s[PP_CAUSE_DEVICE_COMPUTE] = idle_s / 2;
  }
  pp_server_row slot = {0, of->makespan_s - of->server_idle_s, of->server_idle_s, {0}};
  slot.cause_s[PP_CAUSE_UPLOAD] = slot.cause_s[PP_CAUSE_SERVER_COMPUTE] = of->server_idle_s / 4;
  slot.cause_s[PP_CAUSE_DEVICE_COMPUTE] = of->server_idle_s / 2;
  const pp_run_summary summary = {
      of->makespan_s, slot.busy_s, of->server_idle_s, of->device_idle_s, 0.5, of->test_accuracy, 2500000, 1500000, NAN};
  ok(pp_results_end_run(writer, run, of->status, &summary, devices, 2, &slot, 1, NULL, NULL, NULL));
}

void sample_write(const char *path, int run_count, const sample_run *runs) {
  pp_experiment *experiment = create_experiment(run_count, runs);
  pp_results_writer *writer = NULL;
  ok(pp_results_create(path, true, experiment, -1, NULL, 0, &writer));
  bool running = false;
  for (int run = 0; run < run_count; run++) {
    write_run(writer, run, &runs[run]);
    running = running || runs[run].status == NULL;
  }
  if (running)
    pp_results_abandon(writer);
  else
    ok(pp_results_commit(writer));
  fake_experiment_destroy(experiment);
}
