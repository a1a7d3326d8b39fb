/* How many stages a second the timeline works out: `compute: none`, pipar, 10 micro-batches, 2 iterations, one slot,
 * one core.
 *   simulate [--csv FILE] [--simgrid SPEED.PY BUILD] [DEVICES ...]      default: 1000 8192 131072 1048576, ascending
 * Beside it a loop written by hand for this one schedule, without records of stages or causes: what an interpreter
 * could at best approach. Processor time, the best of some turns, so that other load matters less. Memory is kept
 * between turns: on a virtual machine the first touch of a page measures the host. What the first turn took, whose
 * memory is new, stands beside it. FILE is what bench/simulate/scale.gnuplot draws. In the end
 * SPEED.PY (bench/simgrid) compares `pipar run` with SimGrid on one scenario; the exit code is its own then. */
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "pipar/timeline.h"

enum { micro_batches = 10, iterations = 2, stages_per_iteration = 6 * micro_batches + 2 };

static const pp_cost_table costs = {.forward_ns = 1000003,
                                    .backward_ns = 2000003,
                                    .update_ns = 500009,
                                    .server_forward_ns = 5003,
                                    .server_backward_ns = 10007,
                                    .server_update_ns = 20011,
                                    .aggregate_ns = 5000011,
                                    .upload_bytes = 125000,
                                    .download_bytes = 125000,
                                    .model_upload_bytes = 1250000,
                                    .model_download_bytes = 1250000};

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(pp_status status) {
  if (status == NULL)
    return;
  fprintf(stderr, "simulate: %s\n", pp_error_message(status));
  exit(EXIT_FAILURE);
}

/* Devices in ten groups that differ a little, so that they do not move in step. */
enum { group_count = 10 };
typedef struct setup {
  pp_config config;
  pp_device_group groups[group_count];
  pp_rate_step up, down;
} setup;

static void prepare(setup *s, int devices) {
  *s = (setup){.up = {0, 1000000000}, .down = {0, 2500000000}};
  s->config = (pp_config){.compute = PP_COMPUTE_NONE,
                          .method = PP_METHOD_PIPAR,
                          .training = {.epochs = 1, .batch_size = 100},
                          .server = {.slots = 1},
                          .group_count = group_count < devices ? group_count : devices,
                          .groups = s->groups};
  for (int group = 0; group < s->config.group_count; group++) {
    int rest = devices % s->config.group_count;
    s->groups[group] = (pp_device_group){.count = devices / s->config.group_count + (group < rest ? 1 : 0),
                                         .network = {.up = {1, &s->up, 0},
                                                     .down = {1, &s->down, 0},
                                                     .up_latency_ns = 20000000,
                                                     .down_latency_ns = 20000000},
                                         .pipeline = {.split = 1, .micro_batches = micro_batches},
                                         .cost = {.kind = PP_COST_TABLE, .table = costs},
                                         .samples = -1};
    s->groups[group].cost.table.iterations = iterations;
    s->groups[group].cost.table.forward_ns += 10007 * group;
  }
}

typedef struct figures {
  double seconds;
  int64_t stages, makespan_ns;
} figures;

static figures run_timeline(const pp_config *config) {
  pp_scenario *scenario = NULL;
  pp_timeline *timeline = NULL;
  pp_timeline_totals totals;
  double start = now_s();
  must(pp_scenario_create(config, NULL, &scenario));
  must(pp_timeline_create(scenario, false, &timeline));
  for (int64_t round = 0; round < scenario->rounds; round++) {
    pp_round_times times;
    must(pp_timeline_next_round(timeline, &times));
  }
  must(pp_timeline_finish(timeline, &totals));
  figures f = {now_s() - start, totals.stage_count, totals.makespan_ns};
  pp_timeline_destroy(timeline);
  pp_scenario_destroy(scenario);
  return f;
}

/* The same schedule by hand. The server takes the device whose next micro-batch arrived first: a binary heap. */
typedef struct device {
  int64_t compute_free, down_free, arrival, arrivals[micro_batches], last_backward;
  int64_t forward_ns;
  int iteration, micro_batch;
} device;

static void forwards(device *d, int64_t upload_ns) {
  int64_t forward = d->compute_free, up_free = 0;
  for (int micro_batch = 0; micro_batch < micro_batches; micro_batch++) {
    forward += d->forward_ns;
    up_free = (forward > up_free ? forward : up_free) + upload_ns;
    d->arrivals[micro_batch] = up_free + 20000000;
  }
  d->compute_free = forward;
  d->micro_batch = 0;
}

static bool earlier(const device *devices, int a, int b) {
  return devices[a].arrival < devices[b].arrival || (devices[a].arrival == devices[b].arrival && a < b);
}

static void sink(const device *devices, int *heap, int count, int hole) {
  int moved = heap[hole];
  for (int child; (child = 2 * hole + 1) < count; hole = child) {
    if (child + 1 < count && earlier(devices, heap[child + 1], heap[child]))
      child++;
    if (!earlier(devices, heap[child], moved))
      break;
    heap[hole] = heap[child];
  }
  heap[hole] = moved;
}

static figures run_by_hand(int device_count) {
  double start = now_s();
  device *devices = calloc((size_t)device_count, sizeof *devices);
  int *heap = calloc((size_t)device_count, sizeof *heap);
  int groups = group_count < device_count ? group_count : device_count, rest = device_count % groups, index = 0;
  for (int group = 0; group < groups; group++)
    for (int member = 0; member < device_count / groups + (group < rest ? 1 : 0); member++)
      devices[index++].forward_ns = costs.forward_ns + 10007 * group;
  const int64_t upload_ns = costs.upload_bytes * 8, download_ns = (costs.download_bytes * 80 + 24) / 25;
  for (int k = 0; k < device_count; k++) {
    forwards(&devices[k], upload_ns);
    devices[k].arrival = devices[k].arrivals[0];
    heap[k] = k;
  }
  for (int hole = device_count / 2; hole >= 0; hole--)
    sink(devices, heap, device_count, hole);
  int count = device_count;
  int64_t server_free = 0, last = 0;
  while (count > 0) {
    device *d = &devices[heap[0]];
    server_free =
        (server_free > d->arrival ? server_free : d->arrival) + costs.server_forward_ns + costs.server_backward_ns;
    d->down_free = (server_free > d->down_free ? server_free : d->down_free) + download_ns;
    int64_t gradient = d->down_free + 20000000;
    d->compute_free = (d->compute_free > gradient ? d->compute_free : gradient) + costs.backward_ns;
    if (++d->micro_batch == micro_batches) {
      server_free += costs.server_update_ns;
      d->compute_free += costs.update_ns;
      if (++d->iteration == iterations) {
        int64_t arrival = d->compute_free + costs.model_upload_bytes * 8 + 20000000;
        last = arrival > last ? arrival : last;
        heap[0] = heap[--count];
        sink(devices, heap, count, 0);
        continue;
      }
      forwards(d, upload_ns);
    }
    d->arrival = d->arrivals[d->micro_batch];
    sink(devices, heap, count, 0);
  }
  last = last > server_free ? last : server_free;
  int64_t makespan = last + costs.aggregate_ns + (costs.model_download_bytes * 80 + 24) / 25 + 20000000;
  figures f = {now_s() - start,
               (int64_t)device_count * iterations * stages_per_iteration + 2 * (int64_t)device_count + 1, makespan};
  free(devices);
  free(heap);
  return f;
}

typedef struct result {
  int devices;
  double first_s; /* a run's processor time with new memory */
  figures timeline, by_hand;
  double memory_mib; /* the process's peak: sizes ascend */
} result;

/* A turn: as many runs as make up a measurable time; the figures are one run's. */
static figures turn_of(int runs, const setup *s, int devices, bool by_hand) {
  figures f = {0};
  double seconds = 0;
  for (int run = 0; run < runs; run++) {
    f = by_hand ? run_by_hand(devices) : run_timeline(&s->config);
    seconds += f.seconds;
  }
  f.seconds = seconds / runs;
  return f;
}

static result measure(int devices) {
  enum { turns = 9, turns_of_large = 3, large = 1000000, least_stages = 4000000 };
  const int runs = least_stages / (devices * iterations * stages_per_iteration) + 1;
  result r = {.devices = devices};
  setup s;
  prepare(&s, devices);
  r.first_s = run_timeline(&s.config).seconds;
  for (int turn = 0; turn < (devices >= large ? turns_of_large : turns); turn++) {
    figures timeline = turn_of(runs, &s, devices, false), by_hand = turn_of(runs, &s, devices, true);
    if (by_hand.makespan_ns != timeline.makespan_ns || by_hand.stages != timeline.stages) {
      fprintf(stderr, "simulate: %d devices: the timeline ends at %lld ns, the loop by hand at %lld ns\n", devices,
              (long long)timeline.makespan_ns, (long long)by_hand.makespan_ns);
      exit(EXIT_FAILURE);
    }
    if (turn == 0 || timeline.seconds < r.timeline.seconds)
      r.timeline = timeline;
    if (turn == 0 || by_hand.seconds < r.by_hand.seconds)
      r.by_hand = by_hand;
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  r.memory_mib = (double)usage.ru_maxrss / 1024;
  return r;
}

static double rate_of(figures f) { return (double)f.stages / f.seconds; }

/* What the project asks of a size. */
static void print_marks(const result *r, double cost, double log_ratio) {
  const char *const words[] = {"no", "yes"};
  if (r->devices == 1000)
    printf("  1000 devices: at least 5 M stages/s: %s\n", words[rate_of(r->timeline) >= 5e6]);
  if (r->devices == 131072)
    printf("  131072 devices: within 10 s: %s, within 1 GiB: %s\n", words[r->first_s <= 10],
           words[r->memory_mib <= 1024]);
  if (r->devices == 1048576)
    printf("  1048576 devices: within 120 s: %s, within 8 GiB: %s\n", words[r->first_s <= 120],
           words[r->memory_mib <= 8192]);
  if (log_ratio > 1)
    printf("  %d devices: cost per stage grows no faster than the logarithm: %s (%.2f, log %.2f)\n", r->devices,
           words[cost <= log_ratio], cost, log_ratio);
}

static void write_csv(const char *path, const result *results, int count) {
  FILE *file = fopen(path, "w");
  if (file == NULL) {
    fprintf(stderr, "simulate: %s: cannot be written\n", path);
    exit(EXIT_FAILURE);
  }
  fprintf(file, "devices,stages,cpu_s,first_cpu_s,ns_per_stage,log_ns_per_stage,by_hand_ns_per_stage,peak_mib\n");
  for (int place = 0; place < count; place++) {
    const result *r = &results[place];
    double log_cost = 1e9 / rate_of(results[0].timeline) * log(r->devices) / log(results[0].devices);
    fprintf(file, "%d,%lld,%.4f,%.4f,%.3f,%.3f,%.3f,%.0f\n", r->devices, (long long)r->timeline.stages,
            r->timeline.seconds, r->first_s, 1e9 / rate_of(r->timeline), log_cost, 1e9 / rate_of(r->by_hand),
            r->memory_mib);
  }
  fclose(file);
}

/* Becomes the comparison with SimGrid. */
static int compare_with_simgrid(const char *script, const char *build) {
  printf("beside SimGrid\n");
  fflush(stdout);
  execl("/usr/bin/python3", "python3", script, build, (char *)NULL); /* that for which Debian's packages are */
  execlp("python3", "python3", script, build, (char *)NULL);
  fprintf(stderr, "simulate: python3 cannot be run: %s\n", strerror(errno));
  return EXIT_FAILURE;
}

int main(int argc, char **argv) {
  enum { most = 32 };
  const char *csv = NULL, *script = NULL, *build = NULL;
  int sizes[most] = {1000, 8192, 131072, 1048576}, count = 0;
  for (int place = 1; place < argc; place++) {
    if (strcmp(argv[place], "--csv") == 0 && place + 1 < argc) {
      csv = argv[++place];
      continue;
    }
    if (strcmp(argv[place], "--simgrid") == 0 && place + 2 < argc) {
      script = argv[++place];
      build = argv[++place];
      continue;
    }
    int devices = atoi(argv[place]);
    if (devices < 2 || devices > 4194304 || count == most || (count > 0 && devices <= sizes[count - 1])) {
      fprintf(
          stderr,
          "simulate: %s: allowed are --csv FILE, --simgrid SPEED.PY BUILD and up to %d ascending numbers of devices, 2 "
          "to 4194304\n",
          argv[place], most);
      return EXIT_FAILURE;
    }
    sizes[count++] = devices;
  }
  if (count == 0)
    count = 4;
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  result results[most];
  printf("%9s %12s %9s %9s %10s %8s %8s %12s %10s %9s\n", "devices", "stages", "CPU s", "first s", "stages/s", "cost",
         "log", "by hand/s", "of by hand", "peak MiB");
  for (int place = 0; place < count; place++) {
    results[place] = measure(sizes[place]);
    const result *r = &results[place];
    printf("%9d %12lld %9.4f %9.4f %10.3g %8.2f %8.2f %12.3g %10.2f %9.0f\n", r->devices, (long long)r->timeline.stages,
           r->timeline.seconds, r->first_s, rate_of(r->timeline), rate_of(results[0].timeline) / rate_of(r->timeline),
           log(r->devices) / log(sizes[0]), rate_of(r->by_hand), rate_of(r->timeline) / rate_of(r->by_hand),
           r->memory_mib);
    fflush(stdout);
  }
  printf("marks\n");
  for (int place = 0; place < count; place++)
    print_marks(&results[place], rate_of(results[0].timeline) / rate_of(results[place].timeline),
                log(sizes[place]) / log(sizes[0]));
  if (csv != NULL)
    write_csv(csv, results, count);
  return script != NULL ? compare_with_simgrid(script, build) : 0;
}
