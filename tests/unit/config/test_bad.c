/* What is refused, and that the message names the place, the key, the value and what is allowed. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "files.h"

typedef struct bad {
  const char *text;
  const char *message; /* how it begins */
} bad;

static void check_all(const bad *cases, int count) {
  for (int at = 0; at < count; at++) {
    const char *message = error_of(cases[at].text);
    ck_assert_msg(strncmp(message, cases[at].message, strlen(cases[at].message)) == 0, "%s\nnot\n%s\nfrom\n%s", message,
                  cases[at].message, cases[at].text);
  }
}
#define CHECK_ALL(cases) check_all(cases, (int)(sizeof(cases) / sizeof *(cases)))

START_TEST(keys_that_are_unknown_missing_or_given_twice) {
  static const bad cases[] = {
      {LEAST "metod: fl\n", "exp.yaml:3:1: metod: is not a key, did you mean method?: allowed is name | seed | clock"},
      {"metod: fl\n" DEVICES, "exp.yaml:1:1: metod: is not a key, did you mean method?"},
      {LEAST "zzz: 1\n", "exp.yaml:3:1: zzz: is not a key: allowed is name | seed"},
      {LEAST "training: {epoch: 3}\n", "exp.yaml:3:12: training.epoch: is not a key, did you mean epochs?: allowed is"},
      {LEAST "? \"a\\nb\"\n: 3\n", "exp.yaml:3:3: a\\nb: is not a key: allowed is"},
      {"method: fl\ndevices: [{device: raspberry-pi-4b, netwrk: x}]\n",
       "exp.yaml:2:37: devices.0.netwrk: is not a key, did you mean network?"},
      {DEVICES, "exp.yaml:1:1: method: is missing: allowed is fl | sl | sfl | pipar | 1f1b | bw-split"},
      {"method: fl\n", "exp.yaml:1:1: devices: is missing: allowed is a list"},
      {"method: fl\ndevices: [{device: raspberry-pi-4b}]\n",
       "exp.yaml:2:11: devices.0.network: is missing: allowed is"},
      {"method: fl\ndevices: [{network: code-10-25}]\n", "exp.yaml:2:11: devices.0.device: is missing: allowed is"},
      {LEAST "server: {device: {dense_conv_gflops: 1}}\n", "exp.yaml:3:18: server.device.pointwise_gflops: is missing"},
      {LEAST "method: fl\n", "exp.yaml:3:1: method: is given twice, first in line 1: allowed is once"},
      {LEAST "training: {epochs: 1, epochs: 1}\n", "exp.yaml:3:23: epochs: is given twice, first in line 3"},
  };
  CHECK_ALL(cases);
}
END_TEST

START_TEST(values_of_the_wrong_type) {
  static const bad cases[] = {
      {LEAST "seed: x\n",
       "exp.yaml:3:7: seed: x is not an integer: allowed is an integer from 0 to 9223372036854775807"},
      {LEAST "seed: 1.0\n", "exp.yaml:3:7: seed: 1.0 is not an integer"},
      {LEAST "seed: 0x10\n", "exp.yaml:3:7: seed: 0x10 is not an integer"},
      {LEAST "seed: 010\n", "exp.yaml:3:7: seed: 010 is not an integer"},
      {LEAST "seed: '1'\n", "exp.yaml:3:7: seed: \"1\" is not an integer"},
      {LEAST "seed:\n", "exp.yaml:3:6: seed: nothing is not an integer"},
      {LEAST "seed: [1]\n", "exp.yaml:3:7: seed: a list is not an integer"},
      {LEAST "seed: {a: 1}\n", "exp.yaml:3:7: seed: a mapping is not an integer"},
      {LEAST "seed: \"a\\n\\e[31mb\"\n", "exp.yaml:3:7: seed: \"a\\n\\x1b[31mb\" is not an integer"},
      {LEAST "training: {momentum: high}\n", "exp.yaml:3:22: training.momentum: high is not a number: allowed is"},
      {LEAST "training: {momentum: '0.5'}\n", "exp.yaml:3:22: training.momentum: \"0.5\" is not a number"},
      {LEAST "training: {momentum: 0.5.5}\n", "exp.yaml:3:22: training.momentum: 0.5.5 is not a number"},
      {LEAST "training: {momentum: 1e}\n", "exp.yaml:3:22: training.momentum: 1e is not a number"},
      {LEAST "training: 3\n", "exp.yaml:3:11: training: 3 is not a mapping"},
      {LEAST "training: [3]\n", "exp.yaml:3:11: training: a list is not a mapping"},
      {LEAST "record: {stages: yes}\n", "exp.yaml:3:18: record.stages: yes is neither true nor false: allowed is true"},
      {LEAST "name: [x]\n", "exp.yaml:3:7: name: a list is not a text"},
      {LEAST "name: ''\n", "exp.yaml:3:7: name: \"\" is empty"},
      {LEAST "name: ~\n", "exp.yaml:3:7: name: nothing is not a text"},
      {LEAST "name: a/b\n",
       "exp.yaml:3:7: name: a/b is not such a text: allowed is a text of 1 to 127 bytes without /"},
      {LEAST "name: \"a\\tb\"\n", "exp.yaml:3:7: name: \"a\\tb\" is not such a text"},
      {LEAST "name: \"a\\x85b\"\n", "exp.yaml:3:7: name: \"a\\xc2\\x85b\" is not such a text"},
      {LEAST "name: ..\n", "exp.yaml:3:7: name: .. is not such a text"},
      {LEAST "name: \"a\\0b\"\n", "exp.yaml:3:7: a text with the character 0 in it"},
      {LEAST "dataset: {shape: [3, 32]}\n", "exp.yaml:3:18: dataset.shape: a list is not a list of three"},
      {LEAST "dataset: {shape: [3, 0, 1]}\n", "exp.yaml:3:22: dataset.shape.1: 0 is out of range"},
      {LEAST "dataset: {normalize: {mean: [0.5]}}\n", "exp.yaml:3:22: dataset.normalize.std: is missing"},
      {LEAST "dataset: {normalize: {mean: [], std: []}}\n",
       "exp.yaml:3:29: dataset.normalize.mean: a list is not such"},
      {LEAST "dataset: {normalize: {mean: [0.5], std: [0]}}\n", "exp.yaml:3:42: dataset.normalize.std.0: 0 is out of"},
      {"method: fl\ndevices: {}\n", "exp.yaml:2:10: devices: a mapping is not a list"},
      {"method: fl\ndevices: []\n", "exp.yaml:2:10: devices: a list is empty"},
      {"method: fl\ndevices: [3]\n", "exp.yaml:2:11: devices.0: 3 is not a mapping"},
  };
  CHECK_ALL(cases);
}
END_TEST

START_TEST(values_out_of_range) {
  static const bad cases[] = {
      {LEAST "seed: -1\n", "exp.yaml:3:7: seed: -1 is out of range: allowed is an integer from 0 to"},
      {LEAST "seed: 9223372036854775808\n", "exp.yaml:3:7: seed: 9223372036854775808 is out of range"},
      {LEAST "seed: 99999999999999999999999\n", "exp.yaml:3:7: seed: 99999999999999999999999 is out of range"},
      {LEAST "training: {epochs: 0}\n",
       "exp.yaml:3:20: training.epochs: 0 is out of range: allowed is an integer from 1"},
      {LEAST "training: {epochs: 4294967297}\n", "exp.yaml:3:20: training.epochs: 4294967297 is out of range"},
      {LEAST "training: {batch_size: 0}\n", "exp.yaml:3:24: training.batch_size: 0 is out of range"},
      {LEAST "training: {momentum: 1}\n",
       "exp.yaml:3:22: training.momentum: 1 is out of range: allowed is a number from "
       "0 to below 1"},
      {LEAST "training: {learning_rate: -0.1}\n", "exp.yaml:3:27: training.learning_rate: -0.1 is out of range"},
      {LEAST "training: {learning_rate: .nan}\n", "exp.yaml:3:27: training.learning_rate: .nan is not a finite number"},
      {LEAST "training: {learning_rate: -.INF}\n",
       "exp.yaml:3:27: training.learning_rate: -.INF is not a finite number"},
      {LEAST "training: {learning_rate: inf}\n", "exp.yaml:3:27: training.learning_rate: inf is not a finite number"},
      {LEAST "training: {learning_rate: 1e999}\n", "exp.yaml:3:27: training.learning_rate: 1e999 is out of range"},
      {LEAST "dataset: {alpha: 0}\n", "exp.yaml:3:18: dataset.alpha: 0 is out of range: allowed is a number above 0"},
      {LEAST "pipeline: {split: 0}\n",
       "exp.yaml:3:19: pipeline.split: 0 is out of range: allowed is auto or an integer "
       "from 1"},
      {LEAST "server: {slots: 0}\n", "exp.yaml:3:17: server.slots: 0 is out of range"},
      {"method: fl\ndevices: [{count: 0, device: raspberry-pi-4b, network: code-10-25}]\n",
       "exp.yaml:2:19: devices.0.count: 0 is out of range"},
      {"method: fl\ndevices: [{count: 10000001, device: raspberry-pi-4b, network: code-10-25}]\n",
       "exp.yaml:2:19: devices.0.count: 10000001 is out of range"},
      {"method: fl\ndevices:\n- {count: 6000000, device: raspberry-pi-4b, network: code-10-25}\n"
       "- {count: 6000000, device: raspberry-pi-4b, network: code-10-25}\n",
       "exp.yaml:4:3: devices: 12000000 devices in all: allowed are at most 10000000"},
      {LEAST "cost: {kind: table, device: {forward_s: 1e-10}}\n",
       "exp.yaml:3:41: cost.device.forward_s: 1e-10 is out of range: allowed is a number from 0.000000001 to"},
      {LEAST "cost: {kind: table, device: {forward_s: 1e99999999999999999999999}}\n",
       "exp.yaml:3:41: cost.device.forward_s: 1e99999999999999999999999 is out of range"},
      {LEAST "cost: {kind: table, bytes: {upload: 0}}\n", "exp.yaml:3:37: cost.bytes.upload: 0 is out of range"},
  };
  CHECK_ALL(cases);
}
END_TEST

#define WITH(method) "method: " method "\n" DEVICES
START_TEST(privacy_that_cannot_be_is_named) {
  static const bad cases[] = {
      {LEAST "privacy: {clip: 0}\n", "exp.yaml:3:17: privacy.clip: 0 is out of range: allowed is a number above 0 to"},
      {LEAST "privacy: {clip: -1}\n", "exp.yaml:3:17: privacy.clip: -1 is out of range"},
      {LEAST "privacy: {clip: .nan}\n", "exp.yaml:3:17: privacy.clip: .nan is not a finite number"},
      {LEAST "privacy: {delta: 1}\n",
       "exp.yaml:3:18: privacy.delta: 1 is out of range: allowed is a number above 0 to below 1"},
      {LEAST "privacy: {delta: 0}\n", "exp.yaml:3:18: privacy.delta: 0 is out of range"},
      {LEAST "privacy: {noise_multiplier: -0.5}\n", "exp.yaml:3:29: privacy.noise_multiplier: -0.5 is out of range"},
      {LEAST "privacy: {epsilon: 0}\n", "exp.yaml:3:20: privacy.epsilon: 0 is out of range"},
      {LEAST "privacy: {noise: uniform}\n",
       "exp.yaml:3:18: privacy.noise: uniform is unknown: allowed is gaussian | laplace"},
      {LEAST "privacy: {mechanism: dp-sgd}\n",
       "exp.yaml:3:22: privacy.mechanism: dp-sgd is unknown: allowed is none | dp-fedavg | activation"},
      {LEAST "privacy: {mechanism: dp-fedavg, noise_multiplier: 1}\n",
       "exp.yaml:3:10: privacy.clip: is missing: with `mechanism: dp-fedavg` allowed is a number above 0"},
      {LEAST "privacy: {mechanism: dp-fedavg, clip: 1}\n", "exp.yaml:3:10: privacy.noise_multiplier: is missing"},
      {WITH("pipar") "privacy: {mechanism: activation, clip: 1}\n",
       "exp.yaml:3:10: privacy.noise_multiplier: is missing"},
      {WITH("pipar") "privacy: {mechanism: activation, clip: 1, noise: laplace}\n",
       "exp.yaml:3:10: privacy.epsilon: is missing: with `noise: laplace`"},
      {WITH("pipar") "privacy: {mechanism: activation, clip: 1, noise: laplace, epsilon: 1, noise_multiplier: 2}\n",
       "exp.yaml:3:89: privacy.noise_multiplier: contradicts `noise: laplace`, which takes epsilon"},
      {WITH("pipar") "privacy: {mechanism: activation, clip: 1, epsilon: 1, noise_multiplier: 2}\n",
       "exp.yaml:3:52: privacy.epsilon: contradicts `noise: gaussian`, which takes noise_multiplier"},
      {WITH("fl") "privacy: {mechanism: activation, clip: 1, noise_multiplier: 2}\n",
       "exp.yaml:3:22: privacy.mechanism: activation contradicts `method: fl`, which sends no activations"},
      {WITH("sl") "privacy: {mechanism: dp-fedavg, clip: 1, noise_multiplier: 2}\n",
       "exp.yaml:3:22: privacy.mechanism: dp-fedavg contradicts `method: sl`, which averages no updates"},
      {"method: fl\ncompute: none\ndevices: [{network: uk-5g}]\n"
       "privacy: {mechanism: dp-fedavg, clip: 1, noise_multiplier: 1}\n"
       "cost: {kind: table, iterations: 2, device: {forward_s: 3, backward_s: 6, update_s: 0.75},\n"
       "       server: {aggregate_s: 0.05}, bytes: {model_upload: 500000, model_download: 500000}}\n",
       "exp.yaml:5:44: cost.device.privacy_s: is missing for device group 0"},
      {LEAST "cost: {device: {privacy_s: 1}}\n",
       "exp.yaml:3:28: cost.device.privacy_s: is of use with `cost: {kind: table}` alone"},
  };
  CHECK_ALL(cases);
}
END_TEST

#define MEASURED "pipeline: {split: 1, micro_batches: 2}\ncost: {kind: measured}\n"
START_TEST(what_wants_lengths_before_they_are_measured) {
  static const bad cases[] = {
      {LEAST "pipeline: {split: 1}\ncost: {kind: measured}\n",
       "exp.yaml:3:11: pipeline.micro_batches: with `cost: {kind: measured}`, auto"},
      {LEAST "pipeline: {micro_batches: 2}\ncost: {kind: measured}\n",
       "exp.yaml:3:11: pipeline.split: with `cost: {kind: measured}`, auto"},
      {LEAST MEASURED "compute: none\n", "exp.yaml:5:10: compute: with `cost: {kind: measured}`, none"},
      {LEAST MEASURED "clock: wall\n", "exp.yaml:5:8: clock: with `cost: {kind: measured}`, wall"},
      {"method: bw-split\n" DEVICES MEASURED, "exp.yaml:1:9: method: with `cost: {kind: measured}`, bw-split"},
      {LEAST MEASURED "server: {policy: priority}\n", "exp.yaml:5:18: server.policy: with `cost: {kind: measured}`"},
      {LEAST MEASURED "aggregate: {min_devices: 1}\n",
       "exp.yaml:5:12: aggregate: contradicts `cost: {kind: measured}`"},
      {LEAST MEASURED "training: {threads: 2}\n", "exp.yaml:5:21: training.threads: 2 is not allowed"},
      {LEAST MEASURED "privacy: {mechanism: dp-fedavg, clip: 1, noise_multiplier: 1}\n",
       "exp.yaml:5:22: privacy.mechanism: dp-fedavg has no cost with `cost: {kind: measured}`"},
      {LEAST "pipeline: {split: 1, micro_batches: 2, replan: 1}\ncost: {kind: measured}\n",
       "exp.yaml:3:48: pipeline.replan: with `cost: {kind: measured}`"},
      {LEAST "pipeline: {split: 1, micro_batches: 2}\ncost: {kind: measured, device: {slowdown: 0}}\n",
       "exp.yaml:4:43: cost.device.slowdown: 0 is out of range"},
      {LEAST "cost: {device: {slowdown: 2}}\n",
       "exp.yaml:3:27: cost.device.slowdown: is of use with `cost: {kind: measured}` alone, and kind is roofline"},
      {"method: fl\ndevices:\n- {device: raspberry-pi-4b, network: code-10-25}\n"
       "- {device: raspberry-pi-4b, network: code-10-25, cost: {server: {slowdown: 3}}}\ncost: {kind: measured}\n",
       "exp.yaml:4:76: cost.server.slowdown: differs from device group 0"},
  };
  CHECK_ALL(cases);
}
END_TEST

START_TEST(what_is_not_built_yet_is_named_with_what_is) {
  static const bad cases[] = {
      {"method: pippar\n" DEVICES,
       "exp.yaml:1:9: method: pippar is unknown, did you mean pipar?: allowed is fl | sl | sfl | pipar | 1f1b | "
       "bw-split"},
      {LEAST "model: nets/mine.yaml\n", "exp.yaml:3:8: model: "},
      {LEAST "dataset: {name: emnist}\n", "exp.yaml:3:17: dataset.name: emnist is unknown, did you mean mnist?"},
      {LEAST "pipeline: {planner: guess}\n", "exp.yaml:3:21: pipeline.planner: guess"},
      {LEAST "checkpoint: {every_rounds: -1}\n", "exp.yaml:3:28: checkpoint.every_rounds: -1"},
      {LEAST "init: no/best.h5:/runs/0/model\n", "exp.yaml:3:7: init: no/best.h5:/runs/0/model cannot be read: "},
      {LEAST "init: [1]\n", "exp.yaml:3:7: init: "},
      {"method: fl\ndevices: [{device: raspberry-pi-4b, network: {up_trace: no/a.up, down_mbps: 1, latency_ms: 0}}]\n",
       "exp.yaml:2:57: devices.0.network.up_trace: "},
  };
  CHECK_ALL(cases);
}
END_TEST

#define GROUP(text) "method: fl\ndevices:\n- {device: raspberry-pi-4b, network: code-10-25, " text "}\n"

START_TEST(changes_over_time_that_cannot_be) {
  static const bad cases[] = {
      {GROUP("slowdown: [[0, 0.5]]"), "exp.yaml:3:65: devices.0.slowdown.0.1: 0.5"},
      {GROUP("slowdown: [[1, 2]]"), "exp.yaml:3:62: devices.0.slowdown.0.0: a trace starts later"},
      {GROUP("slowdown: 2"), "exp.yaml:3:60: devices.0.slowdown: "},
      {GROUP("slowdown_loop_after_s: 2"),
       "exp.yaml:3:73: devices.0: slowdown_loop_after_s without slowdown: allowed are both"},
      {GROUP("arrives_s: 2, departs_s: 2"), "exp.yaml:3:75: devices.0.departs_s: is not after arrives_s"},
      {GROUP("dropout: 1.1"), "exp.yaml:3:59: devices.0.dropout: 1.1"},
      {GROUP("dropout: 0.1"), "exp.yaml:3:59: devices.0.dropout: makes rounds that never end"},
      {GROUP("departs_s: 1") "aggregate: {min_devices: 1}\n", "exp.yaml:3:61: devices.0.departs_s: makes rounds"},
      {GROUP("count: 2") "aggregate: {min_devices: 3}\n",
       "exp.yaml:4:26: aggregate.min_devices: 3 are more than the 2 devices"},
      {GROUP("arrives_s: 1") "clock: wall\n", "exp.yaml:3:61: devices.0.arrives_s: contradicts `clock: wall`"},
      {GROUP("count: 2") "aggregate: {deadline_s: 3}\nclock: wall\n", "exp.yaml:4:12: aggregate: contradicts `clock"},
      {"method: sl\ndevices: [{device: raspberry-pi-4b, network: code-10-25}]\naggregate: {deadline_s: 3}\n",
       "exp.yaml:3:12: aggregate: contradicts `method: sl`"},
      {GROUP("count: 2") "server: {link: {up_mbps: 10}}\n",
       "exp.yaml:4:16: server.link: neither down_mbps and down_trace"},
      {GROUP("count: 2") "server: {link: {up_mbps: 10, down_mbps: 0.000001}}\n",
       "exp.yaml:4:16: server.link: a rate of the downlink is 1 bit/s, less than one for each of 2 devices"},
      {GROUP("count: 2") "server: {link: {up_mbps: 10, down_mbps: 10, latency_ms: 1}}\n",
       "exp.yaml:4:45: server.link.latency_ms: is not a key"},
      {GROUP("count: 2") "server: {link: {up_mbps: 10, down_mbps: 10}}\nclock: wall\n",
       "exp.yaml:4:16: server.link: contradicts `clock: wall`, where a device's rank paces its own links and sees no "
       "other's transfers: allowed is `clock: virtual`"},
      {GROUP("count: 2, arrives_s: 1") "server: {link: {up_mbps: 10, down_mbps: 10}}\nprivacy: {mechanism: dp-fedavg, "
                                       "clip: 1, noise_multiplier: 1}\n",
       "exp.yaml:3:71: devices.0.arrives_s: contradicts `privacy`"},
      {"devices: [{device: raspberry-pi-4b, network: {up_trace: [[0, 1], [1, 0]], up_loop_after_s: 1, down_mbps: 1, "
       "latency_ms: 0}}]\nmethod: fl\nserver: {link: {up_trace: [[0, 0], [1, 1]], up_loop_after_s: 1, down_mbps: 1}}\n",
       "exp.yaml:3:16: server.link: the uplink's trace loops and falls to 0"},
      {GROUP("count: 2") "aggregate: {mode: async}\n", "exp.yaml:4:19: aggregate.buffer: is missing"},
      {GROUP("count: 2") "aggregate: {mode: asinc, buffer: 2}\n", "exp.yaml:4:19: aggregate.mode: asinc"},
      {GROUP("count: 2") "aggregate: {mode: async, buffer: 0}\n", "exp.yaml:4:34: aggregate.buffer: 0"},
      {GROUP("count: 2") "aggregate: {mode: async, buffer: 1, staleness_exponent: -1}\n",
       "exp.yaml:4:57: aggregate.staleness_exponent: -1"},
      {GROUP("count: 2") "aggregate: {mode: async, buffer: 1, deadline_s: 1}\n",
       "exp.yaml:4:19: aggregate.mode: async contradicts deadline_s"},
      {GROUP("count: 2") "aggregate: {mode: async, buffer: 1, min_devices: 1}\n",
       "exp.yaml:4:19: aggregate.mode: async contradicts min_devices"},
      {GROUP("count: 2") "aggregate: {mode: async, buffer: 1}\nclock: wall\n",
       "exp.yaml:4:19: aggregate.mode: async contradicts `clock: wall`"},
      {GROUP("count: 2") "aggregate: {mode: async, buffer: 1}\nprivacy: {mechanism: dp-fedavg, clip: 1, "
                         "noise_multiplier: 1}\n",
       "exp.yaml:4:19: aggregate.mode: async contradicts `privacy`"},
      {GROUP("count: 2") "aggregate: {mode: async, buffer: 1}\npipeline: {replan: 1}\n",
       "exp.yaml:4:19: aggregate.mode: async contradicts pipeline.replan"},
      {GROUP("count: 2") "aggregate: {mode: async, buffer: 1}\ncost: {kind: measured}\n",
       "exp.yaml:4:19: aggregate.mode: async contradicts `cost: {kind: measured}`"},
      {GROUP("arrives_s: 1") "aggregate: {mode: async, buffer: 1}\n",
       "exp.yaml:4:19: aggregate.mode: async contradicts arrives_s, departs_s and dropout"},
      {GROUP("dropout: 0.1") "aggregate: {mode: async, buffer: 1}\n",
       "exp.yaml:4:19: aggregate.mode: async contradicts arrives_s, departs_s and dropout"},
      {"method: sl\ndevices: [{device: raspberry-pi-4b, network: code-10-25}]\naggregate: {mode: async, buffer: 1}\n",
       "exp.yaml:3:19: aggregate.mode: async contradicts `method: sl`"},
      {GROUP("count: 2") "aggregate: {deadline_s: 0}\n", "exp.yaml:4:25: aggregate.deadline_s: 0"},
      {GROUP("slowdown: [[0, 2]]") "clock: wall\n", "exp.yaml:3:60: devices.0.slowdown: contradicts `clock: wall`"},
  };
  CHECK_ALL(cases);
}
END_TEST

#define NETWORK(text) "method: fl\ndevices:\n- device: raspberry-pi-4b\n  network: {" text "}\n"

START_TEST(networks_that_cannot_be) {
  static const bad cases[] = {
      {"method: fl\ndevices: [{device: raspberry-pi-4, network: code-10-25}]\n",
       "exp.yaml:2:20: devices.0.device: raspberry-pi-4 is unknown, did you mean raspberry-pi-4b?: allowed is "
       "raspberry-pi-4b | "},
      {"method: fl\ndevices: [{device: raspberry-pi-4b, network: code-10-52}]\n",
       "exp.yaml:2:46: devices.0.network: code-10-52 is unknown, did you mean code-10-25?: allowed is code-10-25 |"},
      {NETWORK("up_mbps: 1, down_mbps: 1"), "exp.yaml:4:12: devices.0.network: latency_ms is missing"},
      {NETWORK("up_mbps: 1, down_mbps: 1, up_latency_ms: 1"),
       "exp.yaml:4:12: devices.0.network: latency_ms is missing"},
      {NETWORK("up_mbps: 1, down_mbps: 1, latency_ms: 1, up_latency_ms: 1, down_latency_ms: 1"),
       "exp.yaml:4:51: devices.0.network: latency_ms beside up_latency_ms"},
      {NETWORK("up_mbps: 1, latency_ms: 1"), "exp.yaml:4:12: devices.0.network: neither down_mbps and down_trace"},
      {NETWORK("up_mbps: 1, up_trace: [[0, 1]], down_mbps: 1, latency_ms: 1"),
       "exp.yaml:4:35: devices.0.network: both up_mbps and up_trace: allowed is one of them"},
      {NETWORK("up_mbps: 1, up_loop_after_s: 1, down_mbps: 1, latency_ms: 1"),
       "exp.yaml:4:42: devices.0.network: up_loop_after_s without up_trace"},
      {NETWORK("up_mbps: 0, down_mbps: 1, latency_ms: 1"),
       "exp.yaml:4:22: devices.0.network.up_mbps: 0 is out of range"},
      {NETWORK("up_mbps: 1, down_mbps: 1, latency_ms: -1"),
       "exp.yaml:4:51: devices.0.network.latency_ms: -1 is out of"},
      {NETWORK("up_trace: [[1, 1]], down_mbps: 1, latency_ms: 1"),
       "exp.yaml:4:25: devices.0.network.up_trace.0.0: a trace starts later: allowed is a first step at 0"},
      {NETWORK("up_trace: [[0, 1], [0, 2]], down_mbps: 1, latency_ms: 1"),
       "exp.yaml:4:33: devices.0.network.up_trace.1.0: not later than the step before it"},
      {NETWORK("up_trace: [[0, 1], [1, 0]], down_mbps: 1, latency_ms: 1"),
       "exp.yaml:4:32: devices.0.network.up_trace: ends at rate 0 and does not start over"},
      {NETWORK("up_trace: [[0, 0], [1, 0]], up_loop_after_s: 1, down_mbps: 1, latency_ms: 1"),
       "exp.yaml:4:23: devices.0.network.up_trace: is 0 all the time"},
      {NETWORK("up_trace: [[0, -1]], down_mbps: 1, latency_ms: 1"),
       "exp.yaml:4:28: devices.0.network.up_trace.0.1: -1"},
      {NETWORK("up_trace: [[0, 1, 2]], down_mbps: 1, latency_ms: 1"),
       "exp.yaml:4:24: devices.0.network.up_trace.0: not a pair"},
      {NETWORK("up_trace: [], down_mbps: 1, latency_ms: 1"),
       "exp.yaml:4:23: devices.0.network.up_trace: a list is not"},
      {NETWORK("up_trace: [[0, 1], [1, 2]], up_loop_after_s: 0, down_mbps: 1, latency_ms: 1"),
       "exp.yaml:4:58: devices.0.network.up_loop_after_s: 0 is out of range"},
  };
  CHECK_ALL(cases);
}
END_TEST

#define TABLE                                                                                                          \
  "cost:\n  kind: table\n  iterations: 10\n  device: {forward_s: 1, backward_s: 2, update_s: 0.5}\n"                   \
  "  server: {forward_s: 0.5, backward_s: 1, update_s: 0.25, aggregate_s: 0.05}\n"                                     \
  "  bytes: {upload: 5, download: 6, model_upload: 7, model_download: 8}\n"

START_TEST(settings_that_contradict_each_other) {
  static const bad cases[] = {
      {LEAST "clock: wall\ncompute: none\n", "exp.yaml:3:8: clock: wall contradicts `compute: none`"},
      {LEAST "compute: none\nrecord: {model: true}\n", "exp.yaml:4:17: record.model: true contradicts `compute: none`"},
      {LEAST "pipeline: {micro_batches: 101}\n",
       "exp.yaml:3:27: pipeline.micro_batches: 101 is more than the 100 samples"},
      {LEAST "training: {batch_size: 7}\npipeline: {micro_batches: 8}\n",
       "exp.yaml:4:27: pipeline.micro_batches: 8 is"},
      {"method: fl\ndevices:\n- {device: raspberry-pi-4b, network: uk-4g, pipeline: {micro_batches: 101}}\n",
       "exp.yaml:3:71: pipeline.micro_batches: 101 is more than the 100 samples"},
      {LEAST "dataset: {train_samples: 3, shape: [1, 2, 3]}\n",
       "exp.yaml:3:29: dataset.shape: is of use with the data set synthetic alone: fashion-mnist has its own"},
      {LEAST "dataset: {normalize: {mean: [0, 0], std: [1, 1]}}\n", "exp.yaml:3:22: dataset.normalize: 2 values"},
      {LEAST "dataset: {normalize: {mean: [0, 0], std: [1]}}\n",
       "exp.yaml:3:42: dataset.normalize: mean has 2 values and "
       "std 1"},
      {"method: fl\ndevices: [{count: 4, device: raspberry-pi-4b, network: uk-4g}]\ndataset: {train_samples: 3}\n",
       "exp.yaml:3:26: dataset.train_samples: 3 leave 3 for 4 devices"},
      {"method: fl\ndevices: [{count: 4, samples: 10, device: raspberry-pi-4b, network: uk-4g}]\n"
       "dataset: {train_samples: 39}\n",
       "exp.yaml:3:26: dataset.train_samples: 39 are fewer than the device groups' `samples` ask for"},
      {"method: fl\ndevices: [{count: 10000000, samples: 1000000000000, device: raspberry-pi-4b, network: uk-4g}]\n",
       "exp.yaml:1:1: dataset.train_samples: 10000 are fewer"},
      {"method: fl\ndevices: [{count: 3, device: raspberry-pi-4b, network: uk-4g}]\n"
       "dataset: {train_samples: 301}\ntraining: {aggregate_every: 2}\n",
       "exp.yaml:4:29: training.aggregate_every: 2 needs as many iterations an epoch on all devices, which have 1 to "
       "2"},
      /* Cost tables. */
      {LEAST "cost: {device: {forward_s: 1}}\n", "exp.yaml:3:28: cost.device.forward_s: is of use with `cost: {kind: "
                                                 "table}` alone, and kind is roofline"},
      {LEAST "compute: none\ncost: {kind: table}\n", "exp.yaml:4:7: cost.iterations: is missing for device group 0"},
      {LEAST TABLE, "exp.yaml:1:1: pipeline.micro_batches: auto cannot be planned from `cost: {kind: table}`"},
      {LEAST "pipeline: {micro_batches: 2}\n" TABLE, "exp.yaml:3:11: pipeline.split: auto cannot be planned"},
      {LEAST "pipeline: {micro_batches: 2, split: 1}\n" TABLE, "exp.yaml:6:15: cost.iterations: 10 is not what the "
                                                               "training samples give, 100 to 100"},
      {"method: fl\ncompute: none\n" TABLE "devices: [{network: uk-4g}, {network: uk-4g, cost: {iterations: 9}}]\n",
       "exp.yaml:9:65: devices.1.cost.iterations: differs from device group 0"},
      {"method: fl\ncompute: none\n" TABLE
       "devices: [{network: uk-4g}, {network: uk-4g, cost: {server: {aggregate_s: 9}}}]\n",
       "exp.yaml:9:75: devices.1.cost.server.aggregate_s: differs from device group 0"},
      {"method: fl\ncompute: none\n" TABLE "devices: [{network: uk-4g}, {network: uk-4g, cost: {kind: roofline}}]\n",
       "exp.yaml:9:59: devices.1.cost.kind: roofline beside table: allowed is one kind for all groups"},
  };
  CHECK_ALL(cases);
}
END_TEST

START_TEST(a_federated_table_needs_no_split_stages) {
  pp_experiment *experiment =
      must_load("method: fl\ncompute: none\ndevices: [{count: 2, network: uk-4g}]\n"
                "cost: {kind: table, iterations: 2, device: {forward_s: 3, backward_s: 6, update_s: 0.75},\n"
                "       server: {aggregate_s: 0.05}, bytes: {model_upload: 500000, model_download: 500000}}\n");
  ck_assert_int_eq(pp_experiment_run(experiment, 0)->groups[0].cost.table.upload_bytes, 0);
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(sweeps_that_cannot_be) {
  static const bad cases[] = {
      {LEAST "sweep: [1]\n", "exp.yaml:3:8: sweep: allowed is a mapping"},
      {LEAST "sweep: {method: []}\n", "exp.yaml:3:17: sweep.method: an empty list is not a list of values"},
      {LEAST "sweep: {seed: [1, 2, 1]}\n", "exp.yaml:3:22: sweep.seed: 1 is given twice: allowed is once"},
      {LEAST "sweep: {devices: [[{network: uk-4g}], [{network: uk-4g}]]}\n",
       "exp.yaml:3:39: sweep.devices: a list is given twice"},
      {LEAST "sweep: {devices.0.count: [1, 2], devices.00.count: [3]}\n",
       "exp.yaml:3:34: devices.00.count: there is no such item"},
      {LEAST "sweep: {method: fl}\n", "exp.yaml:3:17: sweep.method: fl is not a list of values"},
      {LEAST "sweep: {metod: [fl]}\n", "exp.yaml:3:9: metod: is not a key, did you mean method?"},
      {LEAST "sweep: {training.epoch: [1]}\n", "exp.yaml:3:9: training.epoch: is not a key, did you mean epochs?"},
      {LEAST "sweep: {name: [a, b]}\n", "exp.yaml:3:9: sweep.name: cannot be swept"},
      {LEAST "sweep: {sweep.seed: [[1]]}\n", "exp.yaml:3:9: sweep.sweep.seed: cannot be swept"},
      {LEAST "sweep: {devices.1.network: [uk-4g]}\n",
       "exp.yaml:3:9: devices.1.network: there is no such item: allowed is "
       "an index from 0 to 0"},
      {LEAST "sweep: {devices.x: [uk-4g]}\n", "exp.yaml:3:9: devices.x: there is no such item"},
      {LEAST "sweep: {devices.0.network.up_mbps: [3]}\n",
       "exp.yaml:3:9: devices.0.network: code-10-25 has no keys of its "
       "own: set it as a whole"},
      {LEAST "sweep: {pipeline: [{split: 1}], pipeline.split: [1]}\n",
       "exp.yaml:3:33: sweep.pipeline.split: and pipeline overlap: allowed are keys apart"},
      {LEAST "sweep: {training.: [1]}\n", "exp.yaml:3:9: training.: is not a key"},
      {LEAST "sweep: {'': [1]}\n", "exp.yaml:3:9: "},
  };
  CHECK_ALL(cases);
  char text[4096] = LEAST "sweep: {seed: [0";
  for (int value = 1; value <= 100; value++)
    sprintf(text + strlen(text), ",%d", value);
  strcat(text, "], training.epochs: [1");
  for (int value = 2; value <= 100; value++)
    sprintf(text + strlen(text), ",%d", value);
  strcat(text, "]}\n");
  ck_assert_ptr_nonnull(strstr(error_of(text), "exp.yaml:3:8: sweep: more than 10000 runs"));
}
END_TEST

START_TEST(an_override_is_named_as_it_was_given) {
  static const struct {
    const char *set, *message;
  } cases[] = {
      {"seed=-1", "--set seed=-1: seed: -1 is out of range: allowed is an integer from 0"},
      {"training.epoch=1", "--set training.epoch=1: training.epoch: is not a key, did you mean epochs?"},
      {"nothing=1", "--set nothing=1: nothing: is not a key"},
      {"seed=", "--set seed=: the value is missing: allowed is KEY=VALUE"},
      {"seed={a: ", "--set seed={a: : not valid YAML: "},
      {"seed=*a", "--set seed=*a: aliases (*) are not supported"},
      {"devices.1.network=x", "--set devices.1.network=x: devices.1.network: there is no such item"},
      {"devices.0.network.up_mbps=1", "--set devices.0.network.up_mbps=1: devices.0.network: code-10-25 has no keys"},
      {"training..epochs=1", "--set training..epochs=1: training..epochs: is not a key"},
      {".=1", "--set .=1: .: is not a key"},
      {"pipeline.micro_batches=1000", "--set pipeline.micro_batches=1000: pipeline.micro_batches: 1000 is more than"},
      {"name=a\nb", "--set name=a\\nb: "},
      {"training={epochs: 1, epochs: 2}", "--set training={epochs: 1, epochs: 2}: epochs: is given twice"},
  };
  for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
    if (strchr(cases[at].set, '\n') != NULL) { /* a folded text is fine */
      pp_experiment_destroy(must_load_with(LEAST, SET(cases[at].set)));
      continue;
    }
    const char *message = error_with(LEAST, SET(cases[at].set));
    ck_assert_msg(strncmp(message, cases[at].message, strlen(cases[at].message)) == 0, "%s\nnot\n%s", message,
                  cases[at].message);
  }
  static const char *const usage[] = {"seed", "=3", ""};
  for (int at = 0; at < 3; at++) {
    pp_experiment *experiment = NULL;
    pp_status status = load_text(LEAST, strlen(LEAST), &experiment, SET(usage[at]));
    ck_assert_int_eq(pp_error_code(status), PP_CODE_USAGE);
    ck_assert_ptr_nonnull(strstr(pp_error_message(status), "allowed is KEY=VALUE"));
    pp_error_free(status);
  }
}
END_TEST

START_TEST(text_that_is_not_one_plain_yaml_document) {
  static const bad cases[] = {
      {"", "exp.yaml: is empty"},
      {"# nothing\n", "exp.yaml: is empty"},
      {"---\n...\n", "exp.yaml: is empty"},
      {"- a\n", "exp.yaml:1:1: a list is not an experiment"},
      {"text\n", "exp.yaml:1:1: text is not an experiment"},
      {LEAST "---\n" LEAST, "exp.yaml:4:1: a second document begins here: allowed is one"},
      {"method: {fl\n", "exp.yaml:2:1: not valid YAML: "},
      {"method: fl\n  devices: 3\n", "exp.yaml:2:10: not valid YAML: "},
      {"\tmethod: fl\n", "exp.yaml:1:1: not valid YAML: "},
      {"method: fl\ndevices: 'x\n", "exp.yaml:3:1: not valid YAML: "},
      {"method: &a fl\n", "exp.yaml:1:9: anchors (&) are not supported"},
      {"method: *a\n", "exp.yaml:1:9: aliases (*) are not supported"},
      {"method: !!str fl\n", "exp.yaml:1:9: tags (!) are not supported"},
      {"method: !t [fl]\n", "exp.yaml:1:9: tags (!) are not supported"},
      {"<<: {method: fl}\n", "exp.yaml:1:1: <<: is not a key"},
      {"[a]: b\n", "exp.yaml:1:1: a list cannot be a key"},
      {"method: \x01\n", "exp.yaml:1:9: control characters are not allowed (0x01): allowed is text in UTF-8"},
      {"method: fl\nname: a\xff\n", "exp.yaml:2:8: invalid leading UTF-8 octet (0xff)"},
      {"method: fl\nname: \xe2\x82", "exp.yaml:2:7: incomplete UTF-8 octet sequence"},
      {"\xff\xfem\0e\0", "exp.yaml:1:1: invalid leading UTF-8 octet"},
  };
  CHECK_ALL(cases);
  static const char with_nul[] = "method: fl\nname: a\0b\n";
  pp_experiment *experiment = NULL;
  pp_status status = load_text(with_nul, sizeof with_nul - 1, &experiment, NULL);
  ck_assert_ptr_nonnull(strstr(pp_error_message(status), "exp.yaml:2:8: control characters are not allowed (0x00)"));
  pp_error_free(status);
}
END_TEST

/* `count` times `piece` after `head`, then `tail`; the caller frees it. */
static char *repeated(const char *head, const char *piece, int count, const char *tail) {
  size_t length = strlen(piece);
  char *text = malloc(strlen(head) + (size_t)count * length + strlen(tail) + 1);
  char *end = stpcpy(text, head);
  for (int at = 0; at < count; at++)
    end = mempcpy(end, piece, length);
  strcpy(end, tail);
  return text;
}

START_TEST(files_meant_to_exhaust_are_refused) {
  static const struct {
    const char *head, *piece;
    int count;
    const char *tail, *message;
  } cases[] = {
      {"a: ", "[", 1000000, "", "exp.yaml:1:35: nested too deeply: allowed are 32 levels"},
      {"", "{a: ", 100000, "", "nested too deeply: allowed are 32 levels"},
      {"", "- ", 100000, "", "nested too deeply: allowed are 32 levels"},
      {"", "? ", 100000, "", "nested too deeply: allowed are 32 levels"},
      {LEAST "name: ", "a", 128, "\n", "exp.yaml:3:7: name: aaaaaaaa"},
      {LEAST "name: ", "a", 5000, "\n", "exp.yaml:3:7: a text of 5000 bytes: allowed are at most 4096"},
      {LEAST "seed: ", "9", 4000, "\n", "exp.yaml:3:7: seed: 99999999"},
      {LEAST, "a", 3000000, ": 1\n", "exp.yaml:"},
      {LEAST "# ", "x", 8 << 20, "\n", "exp.yaml: is too large: allowed are 8 MiB"},
      {"method: fl\ndevices: [", "{device: raspberry-pi-4b, network: uk-4g},", 100001, "]",
       "exp.yaml:2:10: devices: 100001 groups: allowed are at most 100000"},
  };
  for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
    char *text = repeated(cases[at].head, cases[at].piece, cases[at].count, cases[at].tail);
    const char *message = error_of(text);
    ck_assert_msg(strstr(message, cases[at].message) != NULL, "%s\nnot\n%s", message, cases[at].message);
    free(text);
  }
  char text[8192] = "{";
  for (int key = 0; key < 300; key++)
    sprintf(text + strlen(text), "k%d: 1, ", key);
  strcat(text, "}");
  ck_assert_ptr_nonnull(strstr(error_of(text), "more than 256 keys in one mapping"));
}
END_TEST

START_TEST(a_sweep_larger_than_memory_allows_is_refused) {
  /* 2,000 runs of 100,000 steps: 3.2 GB of traces, and half a gigabyte is allowed. */
  char *steps = malloc(3000000), *end = stpcpy(steps, "method: fl\ndevices: [{device: raspberry-pi-4b, network: "
                                                      "{down_mbps: 1, latency_ms: 0, up_trace: [[0, 1]");
  for (int step = 1; step < 100000; step++)
    end += sprintf(end, ",[%d, 1]", step);
  end += sprintf(end, "]}}]\nsweep: {seed: [0");
  for (int seed = 1; seed < 2000; seed++)
    end += sprintf(end, ", %d", seed);
  strcpy(end, "]}\n");
  ck_assert_ptr_nonnull(strstr(error_of(steps), "the experiment is too large"));
  free(steps);
}
END_TEST

START_TEST(paths_that_are_no_readable_file) {
  static const struct {
    const char *path, *message;
  } cases[] = {
      {"/nonexistent/exp.yaml", "/nonexistent/exp.yaml: cannot be opened: No such file or directory"},
      {"/", "/: is a directory: allowed is an experiment file"},
      {"", ": cannot be opened: No such file or directory"},
      {"/tmp/no\nsuch\x1b[31m.yaml", "/tmp/no\\nsuch\\x1b[31m.yaml: cannot be opened: No such file or directory"},
      {"/dev/zero", "/dev/zero: is too large: allowed are 8 MiB"},
      {"/proc/self/mem", "/proc/self/mem: cannot be read: Input/output error"},
  };
  for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
    pp_experiment *experiment = NULL;
    pp_status status = pp_experiment_load(cases[at].path, NULL, 0, &experiment);
    ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
    ck_assert_str_eq(pp_error_message(status), cases[at].message);
    pp_error_free(status);
  }
  char path[4000];
  memset(path, 'x', sizeof path);
  path[sizeof path - 1] = '\0';
  pp_experiment *experiment = NULL;
  pp_status status = pp_experiment_load(path, NULL, 0, &experiment);
  ck_assert_ptr_nonnull(strstr(pp_error_message(status), "xxx: cannot be opened: File name too long"));
  pp_error_free(status);
}
END_TEST

START_TEST(a_file_s_name_that_is_no_name_asks_for_one) {
  char directory[] = "/tmp/pipar-config-XXXXXX", path[64];
  ck_assert_ptr_nonnull(mkdtemp(directory));
  snprintf(path, sizeof path, "%s/a\xff.yaml", directory);
  FILE *file = fopen(path, "w");
  ck_assert_ptr_nonnull(file);
  fputs(LEAST, file);
  fclose(file);
  pp_experiment *experiment = NULL;
  pp_status status = pp_experiment_load(path, NULL, 0, &experiment);
  pp_status named = pp_experiment_load(path, SET("name=a"), 1, &experiment);
  unlink(path);
  rmdir(directory);
  ck_assert_ptr_nonnull(strstr(pp_error_message(status), "a\\xff.yaml: name: the file's own name is not fit"));
  pp_error_free(status);
  ck_assert_ptr_null(named);
  pp_experiment_destroy(experiment);
}
END_TEST

int main(void) {
  const TTest *const tests[] = {
      keys_that_are_unknown_missing_or_given_twice,
      values_of_the_wrong_type,
      values_out_of_range,
      privacy_that_cannot_be_is_named,
      what_wants_lengths_before_they_are_measured,
      what_is_not_built_yet_is_named_with_what_is,
      changes_over_time_that_cannot_be,
      networks_that_cannot_be,
      settings_that_contradict_each_other,
      a_federated_table_needs_no_split_stages,
      sweeps_that_cannot_be,
      an_override_is_named_as_it_was_given,
      text_that_is_not_one_plain_yaml_document,
      files_meant_to_exhaust_are_refused,
      a_sweep_larger_than_memory_allows_is_refused,
      paths_that_are_no_readable_file,
      a_file_s_name_that_is_no_name_asks_for_one,
  };
  return RUN_TESTS("config errors", tests);
}
