/* Speed of training steps on one thread, beside PyTorch's on the same core, beside the machine's matrix product and
 * beside two threads: ratios within one run. Each figure is the best of several turns, which alternate, since other
 * load only ever makes a turn slower.
 *
 *     bench_train [--markdown] [SCRIPT [NETWORK ...]]
 *
 * SCRIPT is train.py beside this file, or "" for none. --markdown prints the machine, the table of docs/performance.md
 * and whether each mark is met. */
#include <cblas.h>

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "nn/kernels.h"
#include "pipar/nn.h"

enum { BATCH = 100, CLASSES = 10, TURNS = 5, STEPS = 12 /* a turn, at most */, SGEMM = 2048 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *floats(int64_t count, double deviation) {
  float *x = NULL;
  pp_status status = pp_alloc((size_t)count, sizeof *x, "benchmark", &x);
  if (status != NULL) {
    fprintf(stderr, "%s\n", pp_error_message(status));
    exit(EXIT_FAILURE);
  }
  pp_rng rng = pp_rng_stream(1, PP_RNG_SYNTHETIC, 0, 0, 0);
  for (int64_t i = 0; i < count && deviation > 0; i++)
    x[i] = (float)(deviation * pp_rng_normal(rng, 0, (uint64_t)i));
  return x;
}

static void check(pp_status status) {
  if (status == NULL)
    return;
  fprintf(stderr, "%s\n", pp_error_message(status));
  exit(EXIT_FAILURE);
}

/* GFLOP/s of a 2048^3 matrix product: the best of two. abc: (3, SGEMM, SGEMM). */
static double sgemm_rate(float *abc) {
  const int64_t elements = (int64_t)SGEMM * SGEMM;
  double best = 1e9;
  for (int turn = 0; turn < 2; turn++) {
    double start = now();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SGEMM, SGEMM, SGEMM, 1.0F, abc, SGEMM, abc + elements, SGEMM,
                0.0F, abc + 2 * elements, SGEMM);
    double length = now() - start;
    best = length < best ? length : best;
  }
  return 2.0 * SGEMM * SGEMM * SGEMM / best * 1e-9;
}

typedef struct trainer {
  pp_model *model;
  pp_net *net;
  pp_pool *pool; /* the second thread */
  pp_state state;
  int64_t parameters;
  float *x, *logits;
  int32_t labels[BATCH];
} trainer;

static void trainer_init(trainer *t, const char *network, pp_shape shape) {
  check(pp_model_create(network, shape, CLASSES, &t->model));
  int blocks = pp_model_block_count(t->model);
  check(pp_net_create(t->model, 0, blocks, BATCH, 1, PP_NET_TRAIN, &t->net));
  check(pp_pool_create(2, &t->pool));
  t->parameters = pp_model_parameter_offset(t->model, blocks);
  t->state = (pp_state){.params = floats(t->parameters, 0),
                        .stats = floats(pp_model_statistic_offset(t->model, blocks), 0),
                        .grads = floats(t->parameters, 0),
                        .momentum = floats(t->parameters, 0)};
  pp_model_init(t->model, 1994, t->state.params, t->state.stats);
  t->x = floats(BATCH * pp_shape_elements(shape), 1);
  t->logits = floats((int64_t)BATCH * CLASSES, 0);
  for (int n = 0; n < BATCH; n++)
    t->labels[n] = n % CLASSES;
}

static void trainer_fini(trainer *t) {
  pp_net_destroy(t->net);
  pp_pool_destroy(t->pool);
  pp_model_destroy(t->model);
  free(t->state.params);
  free(t->state.stats);
  free(t->state.grads);
  free(t->state.momentum);
  free(t->x);
  free(t->logits);
}

/* Seconds of one training step, the best of `steps`, with the pool's threads or (NULL) one. */
static double best_step(trainer *t, int steps, pp_pool *pool) {
  double best = 1e9;
  check(pp_net_share(t->net, pool));
  for (int step = 0; step < steps; step++) {
    double start = now();
    pp_net_place(t->net, (pp_sample_place){.iteration = (uint32_t)step});
    pp_net_forward(t->net, &t->state, 0, BATCH, t->x, t->logits);
    pp_softmax_cross_entropy(BATCH, CLASSES, t->logits, t->labels, 1.0F / BATCH, t->logits, NULL);
    pp_net_backward(t->net, &t->state, 0, t->logits, NULL);
    pp_net_step(t->net, &t->state, 0.01F, 0.9F, 0.0F);
    double length = now() - start;
    best = length < best ? length : best;
  }
  return best;
}

/* GFLOP of a step: three times the forward pass, less the first layer's input gradient; 2 FLOP a MAC. */
static double step_gflop(const pp_model *model) {
  int64_t macs = 0;
  for (int block = 0; block < pp_model_block_count(model); block++) {
    const pp_block_info *info = pp_model_block(model, block);
    for (int layer = 0; layer < info->layer_count; layer++)
      macs += (block == 0 && layer == 0 ? 2 : 3) * info->layers[layer].macs;
  }
  return 2e-9 * (double)macs * BATCH;
}

/* PyTorch's best steps in seconds, channels first and last; false where there is none. */
static bool pytorch_steps(const char *script, const char *network, pp_shape shape, int steps, double best[2]) {
  char command[2048];
  snprintf(command, sizeof command, "/usr/bin/python3 '%s' %s %d %d %d %d %d", script, network, shape.channels,
           shape.height, shape.width, BATCH, steps);
  FILE *pipe = popen(command, "r");
  if (pipe == NULL)
    return false;
  double first = 0, last = 0;
  bool read = fscanf(pipe, "%lf %lf", &first, &last) == 2;
  if (pclose(pipe) != 0 || !read)
    return false;
  best[0] = first * 1e-3 < best[0] ? first * 1e-3 : best[0];
  best[1] = last * 1e-3 < best[1] ? last * 1e-3 : best[1];
  return true;
}

/* Keeps the thread, and what it starts, on the first of the cores it may use, or lets it go to all of them. */
static void pin(const cpu_set_t *all, bool one) {
  cpu_set_t set = *all;
  size_t first = 0;
  while (one && first < CPU_SETSIZE && !CPU_ISSET(first, all))
    first++;
  if (one) {
    CPU_ZERO(&set);
    CPU_SET(first, &set);
  }
  sched_setaffinity(0, sizeof set, &set);
}

/* Of one network. */
typedef struct result {
  double ours, shared, theirs[2]; /* seconds of a step: one thread, two, PyTorch's channels first and last (0: none) */
  double gflops, sgemm;           /* GFLOP/s of the step and of the matrix product */
} result;

static result compare(const char *script, const char *network, pp_shape shape, float *abc) {
  trainer t = {0};
  cpu_set_t all;
  sched_getaffinity(0, sizeof all, &all);
  trainer_init(&t, network, shape);
  int steps = (int)(1.0 / best_step(&t, 2, NULL)); /* about a second's */
  steps = steps > STEPS ? STEPS : steps < 2 ? 2 : steps;
  result r = {.ours = 1e9, .shared = 1e9, .theirs = {1e9, 1e9}};
  bool beside = script != NULL;
  for (int turn = 0; turn < TURNS; turn++) {
    pin(&all, false);
    r.shared = fmin(r.shared, best_step(&t, steps, t.pool));
    pin(&all, true);
    r.ours = fmin(r.ours, best_step(&t, steps, NULL));
    r.sgemm = fmax(r.sgemm, sgemm_rate(abc));
    beside = beside && pytorch_steps(script, network, shape, steps, r.theirs);
  }
  pin(&all, false);
  r.gflops = step_gflop(t.model) / r.ours;
  if (!beside)
    r.theirs[0] = r.theirs[1] = 0;
  trainer_fini(&t);
  return r;
}

static void print_line(const char *network, pp_shape shape, const result *r) {
  printf("%-17s %dx%dx%d: %7.2f ms, %6.0f samples/s, %5.1f GFLOP/s = %3.0f %% of sgemm's %.0f", network, shape.height,
         shape.width, shape.channels, r->ours * 1e3, BATCH / r->ours, r->gflops, 100 * r->gflops / r->sgemm, r->sgemm);
  printf("; two threads %.2f ms: ratio %.2f", r->shared * 1e3, r->ours / r->shared);
  if (r->theirs[0] > 0)
    printf("; PyTorch %.2f ms (channels last %.2f): ratio %.2f (%.2f)\n", r->theirs[0] * 1e3, r->theirs[1] * 1e3,
           r->theirs[0] / r->ours, r->theirs[1] / r->ours);
  else
    printf("; no PyTorch to compare with\n");
}

static void print_row(const char *network, pp_shape shape, const result *r) {
  printf("| %s %dx%dx%d | %.1f | %.0f | %.1f | %.0f %% | ", network, shape.height, shape.width, shape.channels,
         r->ours * 1e3, BATCH / r->ours, r->gflops, 100 * r->gflops / r->sgemm);
  if (r->theirs[0] > 0)
    printf("%.1f (%.1f) | %.2f (%.2f) | ", r->theirs[0] * 1e3, r->theirs[1] * 1e3, r->theirs[0] / r->ours,
           r->theirs[1] / r->ours);
  else
    printf("- | - | ");
  printf("%.1f | %.2f |\n", r->shared * 1e3, r->ours / r->shared);
}

/* The value of the first line of a file that begins with `key`, after its colon; "unknown" where there is none. */
static void read_value(const char *path, const char *key, char out[128]) {
  FILE *file = fopen(path, "r");
  char line[512];
  snprintf(out, 128, "unknown");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    char *value = strchr(line, ':');
    if (strncmp(line, key, strlen(key)) != 0 || value == NULL)
      continue;
    value += 1 + strspn(value + 1, " \t");
    value[strcspn(value, "\n")] = '\0';
    snprintf(out, 128, "%.127s", value);
    break;
  }
  if (file != NULL)
    fclose(file);
}

static void print_machine(void) {
  char processor[128], cache[128];
  struct utsname system = {0};
  double load[1] = {0};
  uname(&system);
  read_value("/proc/cpuinfo", "model name", processor);
  read_value("/proc/cpuinfo", "cache size", cache);
  if (getloadavg(load, 1) != 1)
    load[0] = 0;
  printf("Machine: %s (cache %s), %ld processors, %s %s; kernels %s; compiler %s; %s; load at the start %.1f. "
         "Batch %d, %d classes.\n\n",
         processor, cache, sysconf(_SC_NPROCESSORS_ONLN), system.sysname, system.machine, pp_kernels_best()->name,
         __VERSION__, pp_nn_library(), load[0], BATCH, CLASSES);
}

/* What a network has to reach on 32x32x3; 0: no mark. */
typedef struct mark {
  const char *network;
  double pytorch, sgemm;
} mark;
static const mark marks[] = {
    {"vgg5", 2.5, 0.7}, {"resnet18", 2.0, 0}, {"vgg11", 1.3, 0}, {"mobilenetv3-small", 4.0, 0}};
static const double two_threads = 1.6;

static void print_mark(const char *what, const char *network, pp_shape shape, double least, double reached) {
  printf("- %s %dx%dx%d, %s at least %.2f: %.2f, %s\n", network, shape.height, shape.width, shape.channels, what, least,
         reached, reached >= least ? "yes" : "no");
}

static void print_marks(const char *network, pp_shape shape, const result *r) {
  for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
    if (strcmp(network, marks[i].network) != 0 || shape.channels != 3)
      continue;
    if (r->theirs[0] > 0)
      print_mark("times PyTorch's speed", network, shape, marks[i].pytorch, r->theirs[0] / r->ours);
    if (marks[i].sgemm > 0)
      print_mark("of sgemm's rate", network, shape, marks[i].sgemm, r->gflops / r->sgemm);
  }
  print_mark("times one thread's speed on two", network, shape, two_threads, r->ours / r->shared);
}

int main(int argc, char **argv) {
  enum { MOST = 64 };
  bool markdown = argc > 1 && strcmp(argv[1], "--markdown") == 0;
  argc -= markdown;
  argv += markdown;
  const char *script = argc > 1 && argv[1][0] != '\0' ? argv[1] : NULL;
  if (script != NULL && access(script, R_OK) != 0) {
    fprintf(stderr,
            "bench_train: no file %s: bench_train [--markdown] [SCRIPT [NETWORK ...]], SCRIPT train.py or \"\"\n",
            script);
    return EXIT_FAILURE;
  }
  static const struct {
    const char *network;
    pp_shape shape;
  } usual[] = {{"vgg5", {3, 32, 32}},
               {"vgg5", {1, 28, 28}},
               {"vgg8", {3, 32, 32}},
               {"vgg11", {3, 32, 32}},
               {"vgg16", {3, 32, 32}},
               {"resnet18", {3, 32, 32}},
               {"resnet18", {1, 28, 28}},
               {"resnet50", {3, 32, 32}},
               {"mobilenetv3-small", {3, 32, 32}},
               {"mobilenetv3-large", {3, 32, 32}}};
  int count = argc < 3 ? (int)(sizeof usual / sizeof usual[0]) : argc - 2;
  result results[MOST];
  if (count > MOST) {
    fprintf(stderr, "bench_train: %d networks given, at most %d are allowed\n", count, MOST);
    return EXIT_FAILURE;
  }
  float *abc = floats(3 * (int64_t)SGEMM * SGEMM, 0);
  for (int64_t i = 0; i < 2 * (int64_t)SGEMM * SGEMM; i++)
    abc[i] = (float)(i % 17) * 0.1F - 0.8F;
  pp_nn_set_threads(1);
  if (markdown) {
    print_machine();
    printf("| network, input | ms a step | samples/s | GFLOP/s | of sgemm | PyTorch ms (channels last) | ratio | two "
           "threads ms | "
           "ratio |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  } else {
    printf("training steps of %d samples, one thread; %s\n", BATCH, pp_nn_library());
  }
  for (int i = 0; i < count; i++) {
    const char *network = argc < 3 ? usual[i].network : argv[i + 2];
    pp_shape shape = argc < 3 ? usual[i].shape : (pp_shape){3, 32, 32};
    results[i] = compare(script, network, shape, abc);
    (markdown ? print_row : print_line)(network, shape, &results[i]);
    fflush(stdout);
  }
  printf("\n");
  for (int i = 0; i < count; i++)
    print_marks(argc < 3 ? usual[i].network : argv[i + 2], argc < 3 ? usual[i].shape : (pp_shape){3, 32, 32},
                &results[i]);
  free(abc);
  return EXIT_SUCCESS;
}
