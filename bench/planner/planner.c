/* How good the planners' choices are: the makespan of `search`, `aps` and `aps-as-published` over that of exhaustive
 * search, over random configurations, and how long a plan for vgg16 and 8 devices takes.
 *   planner [CONFIGURATIONS [MOST_CANDIDATES [FIRST]]]     default: 1000 10000 0 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "plan_case.h"

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

static const struct {
  const char *name;
  pp_planner planner;
} rivals[] = {
    {"search", PP_PLANNER_SEARCH}, {"aps", PP_PLANNER_APS}, {"aps-as-published", PP_PLANNER_APS_AS_PUBLISHED}};
enum { rival_count = 3 };

static void compare_planners(int cases, int most_candidates, uint64_t first) {
  double *ratios[rival_count], seconds[rival_count] = {0}, exhaustive_s = 0;
  uint64_t worst_case[rival_count] = {0};
  double worst[rival_count] = {0};
  for (int rival = 0; rival < rival_count; rival++)
    ratios[rival] = calloc((size_t)cases, sizeof(double));
  for (int number = 0; number < cases; number++) {
    plan_case c;
    plan_case_init(&c, first + (uint64_t)number, most_candidates);
    plan_case_set(&c, PP_PLANNER_EXHAUSTIVE);
    double start = now_s();
    int64_t least = plan_case_run(&c, NULL);
    exhaustive_s += now_s() - start;
    for (int rival = 0; rival < rival_count; rival++) {
      plan_case_set(&c, rivals[rival].planner);
      start = now_s();
      double ratio = (double)plan_case_run(&c, NULL) / (double)least;
      seconds[rival] += now_s() - start;
      ratios[rival][number] = ratio;
      if (ratio > worst[rival]) {
        worst[rival] = ratio;
        worst_case[rival] = first + (uint64_t)number;
      }
    }
    plan_case_fini(&c);
  }
  printf("%d configurations, exhaustive search %.3g s each\n", cases, exhaustive_s / cases);
  printf("%-18s %10s %10s %10s %12s %10s %12s\n", "makespan over it", "median", "99 %", "worst", "worst case",
         "over 1 %", "s each");
  for (int rival = 0; rival < rival_count; rival++) {
    int over = 0;
    for (int number = 0; number < cases; number++)
      over += ratios[rival][number] > 1.01;
    qsort(ratios[rival], (size_t)cases, sizeof(double), compare);
    printf("%-18s %10.5f %10.5f %10.5f %12llu %10d %12.3g\n", rivals[rival].name, ratios[rival][cases / 2],
           ratios[rival][cases * 99 / 100], worst[rival], (unsigned long long)worst_case[rival], over,
           seconds[rival] / cases);
    free(ratios[rival]);
  }
}

static const double most_plan_s = 0.5; /* what a plan may take */

/* `groups` groups of devices that differ a little, 8 devices in all. */
static void time_plan(int groups) {
  static pp_rate_step up = {0, 10000000}, down = {0, 25000000};
  pp_device_group of[8];
  pp_config config = {.compute = PP_COMPUTE_NONE,
                      .method = PP_METHOD_PIPAR,
                      .model = "vgg16",
                      .dataset = {.train_samples = 10000},
                      .training = {.epochs = 1, .batch_size = 100},
                      .group_count = groups,
                      .groups = of};
  config.server = (pp_server_config){.device = {.dense_conv_gflops = 500,
                                                .pointwise_gflops = 500,
                                                .depthwise_gflops = 100,
                                                .linear_gflops = 200,
                                                .memory_gbs = 100,
                                                .overhead_us = 5},
                                     .slots = 1};
  for (int group = 0; group < groups; group++) {
    double gflops = 20 + 3 * group;
    of[group] = (pp_device_group){
        .count = 8 / groups,
        .samples = -1,
        .cost = {.kind = PP_COST_ROOFLINE},
        .device = {.dense_conv_gflops = gflops,
                   .pointwise_gflops = gflops,
                   .depthwise_gflops = gflops / 5,
                   .linear_gflops = gflops / 3,
                   .memory_gbs = 4,
                   .overhead_us = 20},
        .network = {.up = {1, &up, 0}, .down = {1, &down, 0}, .up_latency_ns = 20000000, .down_latency_ns = 20000000},
        .pipeline = {.min_micro_batch = 1}};
  }
  pp_model *model = NULL;
  pp_scenario *scenario = NULL;
  plan_case_must(pp_model_create("vgg16", (pp_shape){3, 32, 32}, 10, &model));
  double start = now_s();
  plan_case_must(pp_scenario_create(&config, model, &scenario));
  double seconds = now_s() - start;
  printf("vgg16, 8 devices in %d group%s, batch 100: planned in %.3f s, below %g s: %s (split %d, %d micro-batches in "
         "group 0)\n",
         groups, groups == 1 ? "" : "s", seconds, most_plan_s, seconds < most_plan_s ? "yes" : "no",
         scenario->classes[0].split, scenario->classes[0].micro_batches);
  pp_scenario_destroy(scenario);
  pp_model_destroy(model);
}

int main(int argc, char **argv) {
  int cases = argc > 1 ? atoi(argv[1]) : 1000, most = argc > 2 ? atoi(argv[2]) : 10000;
  if (cases < 1 || most < 1) {
    fprintf(stderr, "planner: allowed are numbers above 0: planner [CONFIGURATIONS [MOST_CANDIDATES [FIRST]]]\n");
    return EXIT_FAILURE;
  }
  for (int groups = 1; groups <= 8; groups *= 2)
    time_plan(groups);
  compare_planners(cases, most, argc > 3 ? strtoull(argv[3], NULL, 10) : 0);
  return 0;
}
