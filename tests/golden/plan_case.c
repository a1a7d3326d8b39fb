#include "plan_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A 64-bit linear congruential generator (Knuth's MMIX constants), its upper bits. */
static double draw(uint64_t *state) {
  *state = *state * 6364136223846793005U + 1442695040888963407U;
  return (double)(*state >> 11) / 9007199254740992.0;
}
static int draw_int(uint64_t *state, int least, int most) {
  return least + (int)(draw(state) * (double)(most - least + 1));
}
static double draw_log(uint64_t *state, double least, double most) { return least * pow(most / least, draw(state)); }

void plan_case_must(pp_status status) {
  if (status == NULL)
    return;
  fprintf(stderr, "plan_case: %s\n", pp_error_message(status));
  exit(EXIT_FAILURE);
}

static pp_device_config draw_device(uint64_t *state, double slowest, double fastest) {
  double gflops = draw_log(state, slowest, fastest);
  return (pp_device_config){.dense_conv_gflops = gflops,
                            .pointwise_gflops = gflops * draw_log(state, 0.2, 1),
                            .depthwise_gflops = gflops * draw_log(state, 0.05, 0.5),
                            .linear_gflops = gflops * draw_log(state, 0.1, 1),
                            .memory_gbs = gflops * draw_log(state, 0.1, 1),
                            .overhead_us = draw_log(state, 1, 200)};
}

static pp_rate_trace draw_link(uint64_t *state, pp_rate_step *steps) {
  double mbps = draw_log(state, 0.5, 2000);
  bool varies = draw(state) < 0.2;
  pp_rate_trace trace = {.count = varies ? PLAN_CASE_STEPS : 1, .steps = steps};
  for (int step = 0; step < trace.count; step++)
    steps[step] = (pp_rate_step){.start_ns = step * (int64_t)draw_int(state, 200000000, 2000000000) + step,
                                 .rate_bps = (int64_t)(mbps * 1e6 * (varies ? draw_log(state, 0.1, 3) : 1))};
  for (int step = 1; step < trace.count; step++)
    if (steps[step].start_ns <= steps[step - 1].start_ns)
      steps[step].start_ns = steps[step - 1].start_ns + 1000000;
  return trace;
}

void plan_case_init(plan_case *c, uint64_t number, int most_candidates) {
  static const pp_method methods[] = {PP_METHOD_PIPAR, PP_METHOD_PIPAR, PP_METHOD_PIPAR,
                                      PP_METHOD_PIPAR, PP_METHOD_1F1B,  PP_METHOD_BW_SPLIT};
  static const pp_policy policies[] = {PP_POLICY_FIFO, PP_POLICY_FIFO, PP_POLICY_FIFO, PP_POLICY_PRIORITY,
                                       PP_POLICY_SPACE_SHARE};
  uint64_t state = number * 0x9e3779b97f4a7c15U + 1;
  const char *const *names = pp_model_names();
  int networks = 0;
  for (int draws = 0; draws < 8; draws++)
    draw(&state);
  while (names[networks] != NULL)
    networks++;
  const char *name = names[draw_int(&state, 0, networks - 1)];
  int groups = draw_int(&state, 1, 2);
  int side = draw(&state) < 0.8 ? 32 : 224;
  *c = (plan_case){.config = {.compute = PP_COMPUTE_NONE,
                              .method = methods[draw_int(&state, 0, 5)],
                              .group_count = groups,
                              .dataset = {.partition = PP_PARTITION_IID}}};
  plan_case_must(pp_model_create(name, (pp_shape){3, side, side}, 10, &c->model));
  snprintf(c->config.model, sizeof c->config.model, "%s", name);
  int blocks = pp_model_block_count(c->model);
  int largest = (int)(groups == 2 ? sqrt(most_candidates) : most_candidates) / blocks;
  largest = largest < 3 ? 3 : largest > 64 ? 64 : largest;
  int batch = draw_int(&state, 3, largest), devices = 0;
  c->config.groups = c->groups;
  for (int group = 0; group < groups; group++) {
    pp_device_group *g = &c->groups[group];
    *g = (pp_device_group){.count = draw_int(&state, 1, 4), .samples = -1, .cost = {.kind = PP_COST_ROOFLINE}};
    devices += g->count;
    g->device = draw_device(&state, 1, 200);
    g->network.up = draw_link(&state, c->steps[2 * group]);
    g->network.down = draw_link(&state, c->steps[2 * group + 1]);
    g->network.up_latency_ns = (int64_t)draw_log(&state, 1e4, 5e7);
    g->network.down_latency_ns = g->network.up_latency_ns;
    g->network.half_duplex = draw(&state) < 0.2;
    g->pipeline.min_micro_batch = 1;
  }
  /* No ragged mini-batch of one sample: batch norm over a map of 1x1 would refuse every plan. */
  int iterations = (int)draw_log(&state, 1, 60), ragged = draw(&state) < 0.3 ? draw_int(&state, 2, batch) : 0;
  c->config.dataset.train_samples = (int64_t)devices * (iterations * batch + ragged % batch);
  if (ragged % batch == 1)
    c->config.dataset.train_samples += devices;
  c->config.training = (pp_training_config){.epochs = 1, .batch_size = batch};
  c->config.server.device = draw_device(&state, 20, 10000);
  c->config.server.slots = draw_int(&state, 1, 3);
  c->config.server.policy = policies[draw_int(&state, 0, 4)];
}

void plan_case_fini(plan_case *c) { pp_model_destroy(c->model); }

void plan_case_set(plan_case *c, pp_planner planner) {
  for (int group = 0; group < c->config.group_count; group++)
    c->groups[group].pipeline = (pp_pipeline_config){.planner = planner, .min_micro_batch = 1};
}

int64_t plan_case_run(const plan_case *c, pp_scenario **out) {
  pp_scenario *scenario = NULL;
  pp_timeline *timeline = NULL;
  pp_round_times round;
  plan_case_must(pp_scenario_create(&c->config, c->model, &scenario));
  plan_case_must(pp_timeline_create(scenario, false, &timeline));
  plan_case_must(pp_timeline_next_round(timeline, &round));
  pp_timeline_destroy(timeline);
  if (out != NULL)
    *out = scenario;
  else
    pp_scenario_destroy(scenario);
  return round.end_ns;
}
