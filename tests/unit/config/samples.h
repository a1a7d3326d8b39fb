/* Valid experiments that between them use every key: for what must hold of all of them. */
#ifndef PP_TEST_CONFIG_SAMPLES_H
#define PP_TEST_CONFIG_SAMPLES_H

static const char *const samples[] = {
    "method: pipar\ndevices: [{device: raspberry-pi-4b, network: code-10-25}]\n",
    "name: 'it''s a \"test\": {1}'\nseed: 9223372036854775807\nclock: wall\ncompute: real\nmethod: sfl\nmodel: vgg8\n"
    "dataset: {name: synthetic, path: '/data/x y', train_samples: 12, test_samples: 3, partition: iid, alpha: 0.1,\n"
    "          shuffle: false, augment: false, normalize: {mean: [0.4914, -1], std: [1e-1, 3]},\n"
    "          shape: [2, 8, 9], classes: 4}\n"
    "training: {epochs: 7, batch_size: 5, learning_rate: 1.2345678901234567e-3, momentum: 0.3, weight_decay: 5e-4,\n"
    "           aggregate_every: 2}\n"
    "pipeline: {split: 3, micro_batches: 5, in_flight: 2, planner: search}\ncost: {kind: roofline}\n"
    "server: {device: {name: big one, dense_conv_gflops: 1e8, pointwise_gflops: 0.1, depthwise_gflops: 3e-7,\n"
    "                  linear_gflops: 4, memory_gbs: 5, overhead_us: 6.5}, slots: 2, policy: fifo}\n"
    "devices:\n"
    "  - {count: 3, samples: 4, device: raspberry-pi-5, network: {name: 'null', up_mbps: 0.1, down_mbps: 0.000001,\n"
    "     latency_ms: 20, up_latency_ms: 0, duplex: half}, pipeline: {split: auto, in_flight: 1}}\n"
    "privacy: {mechanism: activation, clip: 2.5e-3, noise: laplace, epsilon: 0.125, delta: 1e-6, noise_multiplier: 0}\n"
    "record: {stages: false, model: true}\ncheckpoint: {every_rounds: 0}\ninit: random\n",
    "method: fl\ncompute: none\nname: 'null'\ndevices:\n"
    "  - device: server-cpu\n"
    "    network: {up_trace: [[0, 10], [2.5, 0], [3.000000001, 5]], latency_ms: 0.000001,\n"
    "              down_trace: [[0, 0], [1.25, 1000000000]], down_loop_after_s: 0.1}\n"
    "  - {network: uk-3g, device: {dense_conv_gflops: 1, pointwise_gflops: 2, depthwise_gflops: 3, linear_gflops: 4,\n"
    "     memory_gbs: 0.3333333333333333}}\n",
    "method: pipar\ncompute: none\npipeline: {micro_batches: 2}\ncost:\n  kind: table\n  iterations: 1\n"
    "  device: {forward_s: 0.1, backward_s: 2.000000001, update_s: 1234567890.123456789}\n"
    "  server: {forward_s: 0.5, backward_s: 1e-9, update_s: 0.25, aggregate_s: 0.05}\n"
    "  bytes: {upload: 1250000, download: 1250000, model_upload: 1, model_download: 1000000000000000}\n"
    "devices: [{network: {up_mbps: 10, down_mbps: 20, latency_ms: 100}},\n"
    "          {network: code-50-50, count: 3, cost: {bytes: {upload: 9}, device: {forward_s: 7}}}]\n"
    "sweep: {seed: [1, 2], training.epochs: [3], devices.1.network: [uk-4g, {up_mbps: 1, down_mbps: 2, latency_ms: "
    "3}]}\n",
    "method: fl\ncompute: none\ndevices: [{count: 2, network: uk-5g}]\n"
    "privacy: {mechanism: dp-fedavg, clip: 1e30, noise_multiplier: 0}\n"
    "cost: {kind: table, iterations: 2, device: {forward_s: 3, backward_s: 6, update_s: 0.75, privacy_s: 0.1},\n"
    "       server: {aggregate_s: 0.05}, bytes: {model_upload: 500000, model_download: 500000}}\n",
};
enum { SAMPLE_COUNT = sizeof samples / sizeof *samples };

#endif
