/* Planners against each other, against every plan run by hand, and against the published rule written out again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan_case.h"
#include "suite.h"
#include "timeline/scenario.h"

/* Every plan through the public interface, with numbers given. */
static int64_t least_of_all(plan_case *c) {
  int blocks = pp_model_block_count(c->model), batch = c->config.training.batch_size;
  int per_group = blocks * batch, groups = c->config.group_count;
  int64_t least = INT64_MAX;
  for (int both = 0; both < (groups == 2 ? per_group * per_group : per_group); both++) {
    int number[2] = {both % per_group, both / per_group};
    for (int group = 0; group < groups; group++) {
      c->groups[group].pipeline.split = 1 + number[group] / batch;
      c->groups[group].pipeline.micro_batches = 1 + number[group] % batch;
    }
    pp_scenario *scenario = NULL;
    pp_timeline *timeline = NULL;
    pp_round_times round;
    pp_status status = pp_scenario_create(&c->config, c->model, &scenario);
    if (status != NULL) { /* a batch norm without variance */
      pp_error_free(status);
      continue;
    }
    plan_case_must(pp_timeline_create(scenario, false, &timeline));
    plan_case_must(pp_timeline_next_round(timeline, &round));
    least = round.end_ns < least ? round.end_ns : least;
    pp_timeline_destroy(timeline);
    pp_scenario_destroy(scenario);
  }
  return least;
}

START_TEST(exhaustive_search_finds_the_least_of_all_plans) {
  for (uint64_t number = 1000; number < 1012; number++) {
    plan_case c;
    plan_case_init(&c, number, 600);
    plan_case_set(&c, PP_PLANNER_EXHAUSTIVE);
    int64_t found = plan_case_run(&c, NULL);
    ck_assert_msg(found == least_of_all(&c), "case %d", (int)number);
    plan_case_fini(&c);
  }
}
END_TEST

/* 1 %: the mark that `search` is built to. */
START_TEST(search_is_within_a_hundredth_of_exhaustive_search) {
  for (uint64_t number = 2000; number < 2040; number++) {
    plan_case c;
    plan_case_init(&c, number, 1200);
    plan_case_set(&c, PP_PLANNER_EXHAUSTIVE);
    int64_t least = plan_case_run(&c, NULL);
    plan_case_set(&c, PP_PLANNER_SEARCH);
    int64_t found = plan_case_run(&c, NULL);
    ck_assert_int_ge(found, least);
    ck_assert_msg(found <= least + least / 100, "case %d: %lld against %lld", (int)number, (long long)found,
                  (long long)least);
    static const pp_planner others[] = {PP_PLANNER_APS, PP_PLANNER_APS_AS_PUBLISHED};
    for (int other = 0; other < 2; other++) {
      plan_case_set(&c, others[other]);
      ck_assert_int_ge(plan_case_run(&c, NULL), least);
    }
    plan_case_fini(&c);
  }
}
END_TEST

static const pp_planner all[] = {PP_PLANNER_SEARCH, PP_PLANNER_EXHAUSTIVE, PP_PLANNER_APS, PP_PLANNER_APS_AS_PUBLISHED};
enum { ALL = 4 };

START_TEST(what_is_given_stays_and_micro_batches_are_not_below_their_bound) {
  for (uint64_t number = 3000; number < 3008; number++)
    for (int planner = 0; planner < ALL; planner++)
      for (int given = 0; given < 3; given++) {
        plan_case c;
        pp_scenario *scenario = NULL;
        plan_case_init(&c, number, 400);
        plan_case_set(&c, all[planner]);
        int group = c.config.group_count - 1, least = 2;
        pp_pipeline_config *pipeline = &c.groups[group].pipeline;
        pipeline->min_micro_batch = least;
        if (given == 1)
          pipeline->split = 2;
        if (given == 2)
          pipeline->micro_batches = 1;
        plan_case_run(&c, &scenario);
        const pp_device_class *class = &scenario->classes[scenario->class_count - 1];
        ck_assert_int_eq(class->group, group);
        ck_assert_int_le(class->micro_batches * least, c.config.training.batch_size);
        ck_assert(given != 1 || class->split == 2);
        ck_assert(given != 2 || class->micro_batches == 1);
        int chosen[2] = {0, 0};
        for (int64_t row = 0; row < scenario->plan_count; row++) {
          chosen[scenario->plan[row].group] += scenario->plan[row].chosen;
          ck_assert(!scenario->plan[row].chosen || scenario->plan[row].makespan_s > 0);
        }
        for (int of = 0; of < c.config.group_count; of++)
          ck_assert_int_eq(chosen[of], 1);
        pp_scenario_destroy(scenario);
        plan_case_fini(&c);
      }
}
END_TEST

static void expect_refused(const plan_case *c, const char *says) {
  pp_scenario *scenario = NULL;
  pp_status status = pp_scenario_create(&c->config, c->model, &scenario);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  ck_assert_msg(strstr(pp_error_message(status), says) != NULL, "\"%s\" does not say \"%s\"", pp_error_message(status),
                says);
  pp_error_free(status);
}

START_TEST(exhaustive_search_has_a_limit_and_no_neighbour) {
  plan_case c;
  uint64_t number = 4000;
  do
    plan_case_init(&c, number++, 400);
  while (c.config.group_count < 2 && (plan_case_fini(&c), true));
  plan_case_set(&c, PP_PLANNER_EXHAUSTIVE);
  c.groups[1].pipeline.planner = PP_PLANNER_SEARCH;
  expect_refused(&c, "exhaustive beside search");
  c.groups[1].pipeline.planner = PP_PLANNER_EXHAUSTIVE;
  c.config.training.batch_size = 200;
  c.config.dataset.train_samples = 4000;
  expect_refused(&c, "candidates: allowed are at most 200000");
  plan_case_fini(&c);
}
END_TEST

/* ---- The rule, written out again from costs of a whole mini-batch ---- */

typedef struct chain {
  double cf, cb, sf, sb, u, d; /* seconds */
} chain;

/* When stage `kind` of micro-batch j of n ends: the longest path that leads to it. Kinds: forward, upload, server,
 * download, backward. */
static double path(const chain *c, int n, int kind, int j, bool published, double up_latency, double down_latency) {
  if (j < 0)
    return 0;
  double own[] = {c->cf / n, c->u / n, (c->sf + c->sb) / n, c->d / n, c->cb / n};
  double before = 0, beside = 0;
  switch (kind) {
  case 0:
    beside = path(c, n, 0, j - 1, published, up_latency, down_latency);
    break;
  case 1:
  case 2:
    before = path(c, n, kind - 1, j, published, up_latency, down_latency) + (kind == 2 ? up_latency : 0);
    beside = path(c, n, kind, j - 1, published, up_latency, down_latency);
    break;
  case 3:
    before = path(c, n, 2, j, published, up_latency, down_latency);
    beside = published ? 0 : path(c, n, 3, j - 1, published, up_latency, down_latency);
    break;
  default:
    before = path(c, n, 3, j, published, up_latency, down_latency) + down_latency;
    beside = j > 0 ? path(c, n, 4, j - 1, published, up_latency, down_latency) : published ? 0 : c->cf;
    break;
  }
  return fmax(before, beside) + own[kind];
}

static int count_of(const chain *c, double latencies, int batch) {
  double wanted = ceil((c->u + c->sf + c->sb + c->d + latencies) / (fmin(c->cf, c->cb) + 1e-8)) + 1;
  int n = (int)fmin(wanted, fmin(batch / 2, 100));
  n = n < 1 ? 1 : n;
  return batch / (batch / n);
}

static void chain_at(const pp_scenario_inputs *inputs, int split, int batch, chain *out) {
  pp_schedule *schedule = NULL;
  pp_cost_inputs costs = pp_scenario_cost_inputs(inputs, 0);
  plan_case_must(pp_schedule_create(PP_METHOD_PIPAR, batch, 1, split, 0, inputs->block_count, &schedule));
  plan_case_must(pp_cost_fill(&costs, schedule));
  double cost[PP_STAGE_COUNT] = {0};
  for (int op = 0; op < schedule->op_count; op++)
    cost[schedule->ops[op].stage] = (double)schedule->ops[op].cost;
  *out =
      (chain){cost[PP_STAGE_FORWARD] / 1e9,         cost[PP_STAGE_BACKWARD] / 1e9, cost[PP_STAGE_SERVER_FORWARD] / 1e9,
              cost[PP_STAGE_SERVER_BACKWARD] / 1e9, cost[PP_STAGE_UPLOAD],         cost[PP_STAGE_DOWNLOAD]};
  pp_schedule_destroy(schedule);
}

static double model_bytes(const pp_scenario_inputs *inputs, int split) {
  int64_t elements = 0;
  for (int block = 0; block < split; block++)
    elements += inputs->blocks[block]->parameters + inputs->blocks[block]->statistics;
  return 4 * (double)elements;
}

static void expect_rule(plan_case *c, bool published) {
  const pp_network_config *network = &c->groups[0].network;
  const double mebi = 1024 * 1024;
  int batch = c->config.training.batch_size, best_split = 0, best_count = 0;
  double least = INFINITY;
  pp_scenario_inputs inputs;
  plan_case_must(pp_scenario_inputs_init(&inputs, &c->config, c->model));
  double up = (double)network->up.steps[0].rate_bps, down = (double)network->down.steps[0].rate_bps;
  double share = fmax(1, (double)c->groups[0].count / c->config.server.slots);
  double iterations = (double)inputs.classes[0].iterations_per_round;
  iterations = fmin(iterations, (double)inputs.classes[0].iterations);
  for (int split = 1; split <= inputs.block_count - published; split++) {
    chain of, before = {0};
    chain_at(&inputs, split, batch, &of);
    double latency[2] = {0, 0};
    if (published) {
      if (split > 1)
        chain_at(&inputs, split - 1, batch, &before);
      double elements = (double)batch * (double)inputs.blocks[0]->layers[0].outputs;
      of.u = (split == 1 ? elements : of.cf - before.cf) * 8 / (up / 1e6 * mebi);
      of.d = (split == 1 ? elements : before.sf - of.sf) * 8 / (down / 1e6 * mebi);
    } else {
      of.u *= 8 / up;
      of.d *= 8 / down;
      of.sf *= share;
      of.sb *= share;
      latency[0] = (double)network->up_latency_ns / 1e9;
      latency[1] = (double)network->down_latency_ns / 1e9;
    }
    int n = count_of(&of, latency[0] + latency[1], batch);
    double length = path(&of, n, 4, n - 1, published, latency[0], latency[1]);
    if (!published) /* a round: its iterations, and the models up and back */
      length = length * iterations + model_bytes(&inputs, split) * (8 / up + 8 / down) + latency[0] + latency[1];
    if (length < least * (1 - 1e-9)) { /* the same sums in another order: 1e-9 is far above their rounding */
      least = length;
      best_split = split;
      best_count = n;
    }
  }
  pp_scenario *scenario = NULL;
  plan_case_run(c, &scenario);
  ck_assert_int_eq(scenario->classes[0].split, best_split);
  ck_assert_int_eq(scenario->classes[0].micro_batches, best_count);
  pp_scenario_destroy(scenario);
  pp_scenario_inputs_fini(&inputs);
}

/* The recursion takes 2^n steps and more, so batches are small. */
START_TEST(aps_is_the_published_rule_with_and_without_its_defects) {
  int seen = 0;
  for (uint64_t number = 5000; seen < 30; number++) {
    plan_case c;
    plan_case_init(&c, number, 150);
    bool fits = c.config.group_count == 1 && c.config.method == PP_METHOD_PIPAR && c.config.training.batch_size <= 12 &&
                c.config.server.policy == PP_POLICY_FIFO && c.groups[0].network.up.count == 1 &&
                c.groups[0].network.down.count == 1;
    c.config.dataset.train_samples = 3L * c.config.training.batch_size * c.groups[0].count;
    for (int published = 0; fits && published < 2; published++) {
      plan_case_set(&c, published ? PP_PLANNER_APS_AS_PUBLISHED : PP_PLANNER_APS);
      expect_rule(&c, published);
    }
    seen += fits;
    plan_case_fini(&c);
  }
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("planner");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, exhaustive_search_finds_the_least_of_all_plans);
  tcase_add_test(tests, search_is_within_a_hundredth_of_exhaustive_search);
  tcase_add_test(tests, what_is_given_stays_and_micro_batches_are_not_below_their_bound);
  tcase_add_test(tests, exhaustive_search_has_a_limit_and_no_neighbour);
  tcase_add_test(tests, aps_is_the_published_rule_with_and_without_its_defects);
  return run_case("planner", tests);
}
