/* What valid files load to: defaults, values, groups, sweeps and overrides. */
#include <unistd.h>

#include "files.h"

static const pp_config *only_run(const pp_experiment *experiment) {
  ck_assert_int_eq(pp_experiment_run_count(experiment), 1);
  return pp_experiment_run(experiment, 0);
}

START_TEST(the_least_experiment_gets_the_documented_defaults) {
  pp_experiment *experiment = must_load(LEAST);
  ck_assert_str_eq(pp_experiment_name(experiment), "exp");
  ck_assert_str_eq(pp_experiment_text(experiment), LEAST);
  const pp_config *run = only_run(experiment);
  ck_assert_str_eq(run->name, "exp");
  ck_assert_uint_eq(run->seed, 1994);
  ck_assert_int_eq(run->clock, PP_CLOCK_VIRTUAL);
  ck_assert_int_eq(run->compute, PP_COMPUTE_REAL);
  ck_assert_int_eq(run->method, PP_METHOD_PIPAR);
  ck_assert_str_eq(run->model, "vgg5");
  ck_assert_str_eq(run->dataset.name, "fashion-mnist");
  ck_assert_str_eq(run->dataset.path, "auto");
  ck_assert_int_eq(run->dataset.train_samples, 10000);
  ck_assert_int_eq(run->dataset.test_samples, 10000);
  ck_assert_int_eq(run->dataset.partition, PP_PARTITION_IID);
  ck_assert(run->dataset.alpha == 0.5);
  ck_assert(run->dataset.shuffle && !run->dataset.augment);
  ck_assert_int_eq(run->dataset.normalize_channels, 0);
  ck_assert_int_eq(run->dataset.shape[0], 3);
  ck_assert_int_eq(run->dataset.shape[1], 32);
  ck_assert_int_eq(run->dataset.shape[2], 32);
  ck_assert_int_eq(run->dataset.classes, 10);
  ck_assert_int_eq(run->training.epochs, 1);
  ck_assert_int_eq(run->training.batch_size, 100);
  ck_assert(run->training.learning_rate == 0.01 && run->training.momentum == 0.9 && run->training.weight_decay == 0);
  ck_assert_int_eq(run->training.aggregate_every, 0);
  ck_assert_int_eq(run->pipeline.split, PP_AUTO);
  ck_assert_int_eq(run->pipeline.micro_batches, PP_AUTO);
  ck_assert_int_eq(run->pipeline.in_flight, 0);
  ck_assert_int_eq(run->pipeline.planner, PP_PLANNER_SEARCH);
  ck_assert_int_eq(run->cost.kind, PP_COST_ROOFLINE);
  ck_assert_str_eq(run->server.device.name, "server-cpu");
  ck_assert_int_eq(run->server.slots, 1);
  ck_assert_int_eq(run->server.policy, PP_POLICY_FIFO);
  ck_assert(run->record_stages && !run->record_model);
  ck_assert_int_eq(run->checkpoint_every_rounds, 1);
  ck_assert_int_eq(run->group_count, 1);
  ck_assert_int_eq(run->groups[0].count, 1);
  ck_assert_int_eq(run->groups[0].samples, -1);
  ck_assert_str_eq(run->groups[0].device.name, "raspberry-pi-4b");
  ck_assert_str_eq(run->groups[0].network.name, "code-10-25");
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(every_key_of_the_file_reaches_its_setting) {
  pp_experiment *experiment = must_load(
      "name: a b\nseed: 9223372036854775807\nclock: wall\nmethod: sfl\nmodel: vgg8\n"
      "dataset: {name: synthetic, path: /data/x, train_samples: 12, test_samples: 3, partition: iid, alpha: 2,\n"
      "          shuffle: false, augment: false, normalize: {mean: [0.25, -1], std: [1e-1, 3]},\n"
      "          shape: [2, 8, 9], classes: 4}\n"
      "training: {epochs: 7, batch_size: 5, learning_rate: 1.5e-3, momentum: 0, weight_decay: .5,\n"
      "           aggregate_every: 2}\n"
      "pipeline: {split: 3, micro_batches: 5, in_flight: 2, planner: search}\n"
      "server: {device: {dense_conv_gflops: 1, pointwise_gflops: 2, depthwise_gflops: 3, linear_gflops: 4,\n"
      "                  memory_gbs: 5, overhead_us: 6.5}, slots: 2, policy: fifo}\n"
      "devices: [{count: 3, samples: 4, device: raspberry-pi-4b, network: {up_mbps: 10, down_mbps: 0.000001,\n"
      "           latency_ms: 20, up_latency_ms: 0, duplex: half}}]\n"
      "privacy: {mechanism: activation, clip: 2, noise: laplace, epsilon: 0.5, delta: 0.25, noise_multiplier: 0}\n"
      "record: {stages: false, model: true}\ncheckpoint: {every_rounds: 0}\n"
      "init: random\nsweep: {}\n");
  const pp_config *run = only_run(experiment);
  ck_assert_str_eq(pp_experiment_name(experiment), "a b");
  ck_assert_uint_eq(run->seed, INT64_MAX);
  ck_assert_int_eq(run->clock, PP_CLOCK_WALL);
  ck_assert_int_eq(run->method, PP_METHOD_SFL);
  ck_assert_str_eq(run->model, "vgg8");
  ck_assert_str_eq(run->dataset.name, "synthetic");
  ck_assert_str_eq(run->dataset.path, "/data/x");
  ck_assert_int_eq(run->dataset.train_samples, 12);
  ck_assert_int_eq(run->dataset.test_samples, 3);
  ck_assert(run->dataset.alpha == 2 && !run->dataset.shuffle);
  ck_assert_int_eq(run->dataset.normalize_channels, 2);
  ck_assert(run->dataset.mean[0] == 0.25F && run->dataset.mean[1] == -1);
  ck_assert(run->dataset.deviation[0] == 0.1F && run->dataset.deviation[1] == 3);
  ck_assert_int_eq(run->dataset.shape[0], 2);
  ck_assert_int_eq(run->dataset.shape[1], 8);
  ck_assert_int_eq(run->dataset.shape[2], 9);
  ck_assert_int_eq(run->dataset.classes, 4);
  ck_assert_int_eq(run->privacy.mechanism, PP_PRIVACY_ACTIVATION);
  ck_assert_int_eq(run->privacy.noise, PP_NOISE_LAPLACE);
  ck_assert(run->privacy.clip == 2 && run->privacy.epsilon == 0.5 && run->privacy.delta == 0.25);
  ck_assert_int_eq(run->training.epochs, 7);
  ck_assert_int_eq(run->training.batch_size, 5);
  ck_assert(run->training.learning_rate == 0.0015 && run->training.momentum == 0);
  ck_assert(run->training.weight_decay == 0.5);
  ck_assert_int_eq(run->training.aggregate_every, 2);
  ck_assert_int_eq(run->pipeline.split, 3);
  ck_assert_int_eq(run->pipeline.micro_batches, 5);
  ck_assert_int_eq(run->pipeline.in_flight, 2);
  const pp_device_config *slot = &run->server.device;
  ck_assert_str_eq(slot->name, "");
  ck_assert(slot->dense_conv_gflops == 1 && slot->pointwise_gflops == 2 && slot->depthwise_gflops == 3);
  ck_assert(slot->linear_gflops == 4 && slot->memory_gbs == 5 && slot->overhead_us == 6.5);
  ck_assert_int_eq(run->server.slots, 2);
  const pp_device_group *group = &run->groups[0];
  ck_assert_int_eq(group->count, 3);
  ck_assert_int_eq(group->samples, 4);
  ck_assert_int_eq(group->network.up.count, 1);
  ck_assert_int_eq(group->network.up.steps[0].start_ns, 0);
  ck_assert_int_eq(group->network.up.steps[0].rate_bps, 10000000);
  ck_assert_int_eq(group->network.up.period_ns, 0);
  ck_assert_int_eq(group->network.down.steps[0].rate_bps, 1);
  ck_assert_int_eq(group->network.up_latency_ns, 0);
  ck_assert_int_eq(group->network.down_latency_ns, 20000000);
  ck_assert(group->network.half_duplex && !run->record_stages && run->record_model);
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(lengths_and_rates_are_rounded_once_from_the_decimal_text) {
  pp_experiment *experiment =
      must_load("method: pipar\ncompute: none\npipeline: {micro_batches: 2}\n"
                "cost: {kind: table, iterations: 1,\n"
                "       device: {forward_s: 0.1, backward_s: 2.5e-9, update_s: 1234567890.123456789},\n"
                "       server: {forward_s: 0.0000000014999999999999999999999, backward_s: 1e0, update_s: 0.5e-9,\n"
                "                aggregate_s: 3155759999.9999999994},\n"
                "       bytes: {upload: 1, download: 2, model_upload: 3, model_download: 1000000000000000}}\n"
                "devices: [{network: {up_mbps: 0.0000015, down_mbps: 1e3, latency_ms: 0.0000005}}]\n");
  const pp_cost_table *table = &only_run(experiment)->groups[0].cost.table;
  ck_assert_int_eq(table->forward_ns, 100000000);
  ck_assert_int_eq(table->backward_ns, 3);
  ck_assert_int_eq(table->update_ns, INT64_C(1234567890123456789));
  ck_assert_int_eq(table->server_forward_ns, 1);
  ck_assert_int_eq(table->server_backward_ns, 1000000000);
  ck_assert_int_eq(table->server_update_ns, 1);
  ck_assert_int_eq(table->aggregate_ns, INT64_C(3155759999999999999));
  ck_assert_int_eq(table->model_download_bytes, INT64_C(1000000000000000));
  const pp_network_config *network = &only_run(experiment)->groups[0].network;
  ck_assert_int_eq(network->up.steps[0].rate_bps, 2);
  ck_assert_int_eq(network->down.steps[0].rate_bps, 1000000000);
  ck_assert_int_eq(network->up_latency_ns, 1);
  ck_assert_int_eq(network->down_latency_ns, 1);
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(traces_keep_their_steps_and_loops) {
  pp_experiment *experiment = must_load(
      "method: fl\ndevices: [{device: raspberry-pi-5, network: {up_trace: [[0, 10], [2.5, 0], [3, 5]], latency_ms: 1,\n"
      "  down_trace: [[0, 1], [1.25, 0]], down_loop_after_s: 0.75}}, {device: raspberry-pi-5, network:\n"
      "  {up_trace: [[0, 7]], up_loop_after_s: 3, down_mbps: 1, latency_ms: 0}}]\n");
  const pp_network_config *network = &only_run(experiment)->groups[0].network;
  ck_assert_int_eq(network->up.count, 3);
  ck_assert_int_eq(network->up.steps[1].start_ns, 2500000000);
  ck_assert_int_eq(network->up.steps[1].rate_bps, 0);
  ck_assert_int_eq(network->up.steps[2].start_ns, 3000000000);
  ck_assert_int_eq(network->up.steps[2].rate_bps, 5000000);
  ck_assert_int_eq(network->up.period_ns, 0);
  ck_assert_int_eq(network->down.count, 2);
  ck_assert_int_eq(network->down.period_ns, 2000000000);
  ck_assert_int_eq(only_run(experiment)->groups[1].network.up.count, 1);
  ck_assert_int_eq(only_run(experiment)->groups[1].network.up.period_ns, 0);
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(groups_merge_pipeline_and_cost_key_by_key_over_the_experiments) {
  pp_experiment *experiment =
      must_load("devices:\n"
                "  - {count: 2, network: code-10-25}\n"
                "  - {count: 3, network: code-50-50, pipeline: {micro_batches: 4}, cost: {device: {forward_s: 1.2}}}\n"
                "method: pipar\ncompute: none\npipeline: {split: 2, micro_batches: 2}\n"
                "cost: {kind: table, iterations: 10, device: {forward_s: 1, backward_s: 2, update_s: 0.5},\n"
                "       server: {forward_s: 0.5, backward_s: 1, update_s: 0.25, aggregate_s: 0.05},\n"
                "       bytes: {upload: 5, download: 6, model_upload: 7, model_download: 8}}\n");
  const pp_config *run = only_run(experiment);
  ck_assert_int_eq(run->group_count, 2);
  ck_assert_int_eq(run->groups[0].pipeline.micro_batches, 2);
  ck_assert_int_eq(run->groups[1].pipeline.micro_batches, 4);
  ck_assert_int_eq(run->groups[1].pipeline.split, 2);
  ck_assert_int_eq(run->groups[0].cost.table.forward_ns, 1000000000);
  ck_assert_int_eq(run->groups[1].cost.table.forward_ns, 1200000000);
  ck_assert_int_eq(run->groups[1].cost.table.backward_ns, 2000000000);
  ck_assert_int_eq(run->groups[1].cost.table.iterations, 10);
  ck_assert_int_eq(pp_config_device_count(run), 5);
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(ten_million_devices_load) {
  pp_experiment *experiment = must_load("method: fl\ncompute: none\ndataset: {train_samples: 20000000}\n"
                                        "devices: [{count: 9999999, device: raspberry-pi-4b, network: uk-4g},\n"
                                        "          {device: raspberry-pi-4b, network: uk-5g}]\n");
  ck_assert_int_eq(pp_config_device_count(only_run(experiment)), 10000000);
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(a_sweep_is_cartesian_with_its_first_key_slowest) {
  pp_experiment *experiment =
      must_load(LEAST "sweep: {method: [fl, sfl, pipar], devices.0.network: [code-10-25, code-50-50]}\n");
  ck_assert_int_eq(pp_experiment_run_count(experiment), 6);
  static const char *const networks[] = {"code-10-25", "code-50-50"};
  static const pp_method methods[] = {PP_METHOD_FL, PP_METHOD_SFL, PP_METHOD_PIPAR};
  for (int run = 0; run < 6; run++) {
    const pp_config *config = pp_experiment_run(experiment, run);
    ck_assert_int_eq(config->method, methods[run / 2]);
    ck_assert_str_eq(config->groups[0].network.name, networks[run % 2]);
    ck_assert_str_eq(config->name, "exp");
  }
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(a_sweep_reaches_keys_the_file_does_not_have_and_whole_sections) {
  pp_experiment *experiment = must_load("devices: [{device: raspberry-pi-4b, network: code-10-25}]\n"
                                        "sweep: {method: [fl], dataset: [{name: mnist}, {name: synthetic, shape: [1, "
                                        "8, 8]}], training.epochs: [2, 3]}\n");
  ck_assert_int_eq(pp_experiment_run_count(experiment), 4);
  ck_assert_str_eq(pp_experiment_run(experiment, 1)->dataset.name, "mnist");
  ck_assert_str_eq(pp_experiment_run(experiment, 2)->dataset.name, "synthetic");
  ck_assert_int_eq(pp_experiment_run(experiment, 2)->dataset.shape[1], 8);
  ck_assert_int_eq(pp_experiment_run(experiment, 3)->training.epochs, 3);
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(a_set_overrides_the_file_and_later_ones_what_is_set_before) {
  pp_experiment *experiment =
      must_load_with(LEAST, SET("training={epochs: 2}", "training.epochs=3", "devices.0.network=code-50-50",
                                "pipeline={split: 2}", "pipeline.micro_batches=4", "name=other", "dataset.path=/x=y"));
  const pp_config *run = only_run(experiment);
  ck_assert_int_eq(run->training.epochs, 3);
  ck_assert_str_eq(run->groups[0].network.name, "code-50-50");
  ck_assert_int_eq(run->groups[0].pipeline.split, 2);
  ck_assert_int_eq(run->groups[0].pipeline.micro_batches, 4);
  ck_assert_str_eq(pp_experiment_name(experiment), "other");
  ck_assert_str_eq(run->dataset.path, "/x=y");
  ck_assert_str_eq(pp_experiment_text(experiment), LEAST);
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(a_set_fixes_a_key_that_the_file_sweeps) {
  const char *text = LEAST "sweep: {method: [fl, pipar], devices.0.network: [code-10-25, code-50-50]}\n";
  pp_experiment *experiment = must_load_with(text, SET("method=sfl"));
  ck_assert_int_eq(pp_experiment_run_count(experiment), 2);
  ck_assert_int_eq(pp_experiment_run(experiment, 1)->method, PP_METHOD_SFL);
  pp_experiment_destroy(experiment);
  experiment = must_load_with(text, SET("devices.0={device: raspberry-pi-5, network: uk-4g}"));
  ck_assert_int_eq(pp_experiment_run_count(experiment), 2);
  ck_assert_str_eq(pp_experiment_run(experiment, 1)->groups[0].network.name, "uk-4g");
  pp_experiment_destroy(experiment);
  experiment = must_load_with(text, SET("sweep={}"));
  ck_assert_int_eq(pp_experiment_run_count(experiment), 1);
  pp_experiment_destroy(experiment);
  experiment = must_load_with(text, SET("sweep.devices.0.network=[uk-3g]", "sweep.seed=[1, 2, 3]"));
  ck_assert_int_eq(pp_experiment_run_count(experiment), 6);
  ck_assert_uint_eq(pp_experiment_run(experiment, 5)->seed, 3);
  ck_assert_str_eq(pp_experiment_run(experiment, 5)->groups[0].network.name, "uk-3g");
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(a_byte_order_mark_and_dos_line_ends_are_taken) {
  pp_experiment *experiment = must_load("\xef\xbb\xbfmethod: fl\r\n" DEVICES);
  ck_assert_int_eq(only_run(experiment)->method, PP_METHOD_FL);
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(an_experiment_can_come_through_a_pipe) {
  int ends[2];
  ck_assert_int_eq(pipe(ends), 0);
  ck_assert_int_eq((int)write(ends[1], LEAST, strlen(LEAST)), (int)strlen(LEAST));
  close(ends[1]);
  char path[32];
  snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
  pp_experiment *experiment = NULL;
  ck_assert_ptr_null(pp_experiment_load(path, SET("name=piped"), 1, &experiment));
  close(ends[0]);
  ck_assert_str_eq(pp_experiment_name(experiment), "piped");
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(the_project_s_experiments_load) {
  static const struct {
    const char *name;
    int runs;
  } files[] = {{"01_quickstart", 3},     {"02_small_devices", 84},     {"03_gpu_server", 84}, {"04_accuracy", 12},
               {"05_heterogeneous", 24}, {"06_changing_bandwidth", 2}, {"07_privacy", 36},    {"08_aps", 48},
               {"09_scale", 21},         {"10_heat_map", 110},         {"11_beyond", 16},     {"12_sensitivity", 48},
               {"13_as_published", 24},  {"worked_example", 1}};
  for (size_t file = 0; file < sizeof files / sizeof files[0]; file++) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s.yaml", EXPERIMENTS, files[file].name);
    pp_experiment *experiment = NULL;
    pp_status status = pp_experiment_load(path, NULL, 0, &experiment);
    ck_assert_msg(status == NULL, "%s", pp_error_message(status));
    ck_assert_str_eq(pp_experiment_name(experiment), files[file].name);
    ck_assert_int_eq(pp_experiment_run_count(experiment), files[file].runs);
    pp_experiment_destroy(experiment);
  }
  pp_experiment_destroy(NULL);
}
END_TEST

int main(void) {
  const TTest *const tests[] = {
      the_least_experiment_gets_the_documented_defaults,
      every_key_of_the_file_reaches_its_setting,
      lengths_and_rates_are_rounded_once_from_the_decimal_text,
      traces_keep_their_steps_and_loops,
      groups_merge_pipeline_and_cost_key_by_key_over_the_experiments,
      ten_million_devices_load,
      a_sweep_is_cartesian_with_its_first_key_slowest,
      a_sweep_reaches_keys_the_file_does_not_have_and_whole_sections,
      a_set_overrides_the_file_and_later_ones_what_is_set_before,
      a_set_fixes_a_key_that_the_file_sweeps,
      a_byte_order_mark_and_dos_line_ends_are_taken,
      an_experiment_can_come_through_a_pipe,
      the_project_s_experiments_load,
  };
  return RUN_TESTS("config load", tests);
}
