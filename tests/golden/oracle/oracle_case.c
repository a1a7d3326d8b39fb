#include "oracle_case.h"

#include <math.h>

#include <inttypes.h>

uint64_t case_rng_next(case_rng *rng) {
  uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

int64_t case_rng_range(case_rng *rng, int64_t lowest, int64_t highest) {
  return lowest + (int64_t)(case_rng_next(rng) % (uint64_t)(highest - lowest + 1));
}

static bool one_in(case_rng *rng, int64_t n) { return case_rng_range(rng, 1, n) == 1; }

static oracle_trace trace_of(const case_trace *from) {
  return (oracle_trace){.count = from->count, .rates = from->rates, .period = from->period};
}

bool case_ends(const oracle_case *c) {
  int steady = 0;
  bool any_fails = false;
  for (int device = 0; device < c->device_count; device++) {
    const case_class *class = &c->classes[c->class_of[device]];
    bool fails = class->departs > 0 || class->dropout_percent > 0;
    any_fails |= fails;
    steady += !fails && class->arrives == 0;
  }
  return c->deadline > 0 || !any_fails || (c->min_devices > 0 && c->min_devices <= steady);
}

oracle_case case_later(const oracle_case *c) {
  oracle_case later = *c;
  later.changes_at = 0;
  for (int class = 0; class < c->class_count; class ++) {
    later.classes[class].full = c->classes[class].later_full;
    later.classes[class].ragged = c->classes[class].later_ragged;
  }
  return later;
}

void case_expand(const oracle_case *from, case_scenario *out) {
  for (int device = 0; device < from->device_count; device++) {
    const case_class *class = &from->classes[from->class_of[device]];
    int count = from->epochs * class->iterations_per_epoch;
    for (int iteration = 0; iteration < count; iteration++) {
      bool last_of_epoch = (iteration + 1) % class->iterations_per_epoch == 0;
      bool last_of_round = (iteration + 1) % class->iterations_per_round == 0 || iteration + 1 == count;
      bool later = from->changes_at > 0 && iteration / class->iterations_per_round >= from->changes_at;
      const case_iteration *full = later ? &class->later_full : &class->full;
      const case_iteration *ragged = later ? &class->later_ragged : &class->ragged;
      const case_iteration *like = last_of_epoch && class->has_ragged ? ragged : full;
      out->iterations[device][iteration] =
          (oracle_iteration){.micro_batch_count = like->micro_batch_count,
                             .micro_batches = like->micro_batches,
                             .device_update = like->device_update + (last_of_round ? class->protection : 0),
                             .server_update = like->server_update};
    }
    out->devices[device] = (oracle_device){.iteration_count = count,
                                           .iterations = out->iterations[device],
                                           .iterations_per_round = class->iterations_per_round,
                                           .in_flight = class->in_flight,
                                           .model_upload_bytes = class->model_upload_bytes,
                                           .model_download_bytes = class->model_download_bytes,
                                           .up = trace_of(&class->up),
                                           .down = trace_of(&class->down),
                                           .slowdown = trace_of(&class->slowdown),
                                           .up_latency = class->up_latency,
                                           .down_latency = class->down_latency,
                                           .half_duplex = class->half_duplex,
                                           .arrives = class->arrives,
                                           .departs = class->departs,
                                           .silent_at = from->presence ? from->silent_at[device] : NULL};
  }
  out->scenario = (oracle_scenario){.method = from->method,
                                    .policy = from->policy,
                                    .slots = from->slots,
                                    .device_count = from->device_count,
                                    .devices = out->devices,
                                    .aggregate = from->aggregate,
                                    .presence = from->presence,
                                    .deadline = from->deadline,
                                    .min_devices = from->min_devices,
                                    .buffer = from->buffer};
  if (from->shared) {
    out->scenario.shared_up = trace_of(&from->shared_up);
    out->scenario.shared_down = trace_of(&from->shared_down);
  }
}

/* What the numbers of a random case are drawn from. */
typedef struct scale {
  int64_t longest; /* stages */
  int64_t largest; /* messages, bytes */
  int64_t rates[4];
  int64_t longest_latency;
  int64_t longest_step; /* of a trace */
} scale;

static const scale scales[] = {
    /* Nanoseconds and bytes by the handful, a byte a nanosecond: many things happen at the same instant. */
    {6, 8, {8000000000, 4000000000, 16000000000, 8000000000}, 3, 12},
    /* The same, and divisions that leave a remainder. */
    {6, 8, {3000000000, 8000000000, 7000000001, 1000000000}, 2, 12},
    /* As in experiments: seconds, megabytes, megabits per second. */
    {2000000000, 2000000, {10000000, 25000000, 50000000, 1234567}, 50000000, 1000000000},
    /* Hours and terabytes: bits times 10^9 do not fit 64 bits. */
    {3600000000000, 2000000000000, {1000000000, 100000000000, 3333333333, 700000000}, 1000000000000, 3600000000000},
    /* Messages that outlast hundreds of laps of a trace, and others that pass within a nanosecond. */
    {400, 4000, {8000000000, 1000000000000, 5000000000, 7000000001}, 300, 3},
    /* The slowest link of all. */
    {1000000000000, 100, {1, 2, 3, 8}, 1000000000, 100000000000},
};
enum { scale_count = sizeof scales / sizeof scales[0] };

static void random_iteration(case_rng *rng, const scale *s, int micro_batch_count, case_iteration *out) {
  out->micro_batch_count = micro_batch_count;
  bool alike = one_in(rng, 2);
  for (int micro_batch = 0; micro_batch < micro_batch_count; micro_batch++)
    out->micro_batches[micro_batch] =
        alike && micro_batch > 0 ? out->micro_batches[0]
                                 : (oracle_micro_batch){.forward = case_rng_range(rng, 1, s->longest),
                                                        .backward = case_rng_range(rng, 1, s->longest),
                                                        .server_forward = case_rng_range(rng, 1, s->longest),
                                                        .server_backward = case_rng_range(rng, 1, s->longest),
                                                        .server_backward_weight = case_rng_range(rng, 1, s->longest),
                                                        .upload_bytes = case_rng_range(rng, 1, s->largest),
                                                        .download_bytes = case_rng_range(rng, 1, s->largest)};
  out->device_update = case_rng_range(rng, 1, s->longest);
  /* Now and then so long that the aggregate waits for it. */
  out->server_update = case_rng_range(rng, 1, one_in(rng, 4) ? 8 * s->longest : s->longest);
}

static int64_t random_rate(case_rng *rng, const scale *s) { return s->rates[case_rng_range(rng, 0, 3)]; }

static void random_trace(case_rng *rng, const scale *s, case_trace *out) {
  out->count = one_in(rng, 2) ? 1 : (int)case_rng_range(rng, 2, CASE_RATES);
  int64_t from = 0;
  bool flows = false;
  for (int place = 0; place < out->count; place++) {
    bool outage = out->count > 1 && one_in(rng, 3);
    int64_t rate = outage ? 0 : random_rate(rng, s);
    out->rates[place] = (oracle_rate){from, rate};
    flows |= rate > 0;
    from += case_rng_range(rng, 1, s->longest_step);
  }
  bool loops = one_in(rng, 2);
  out->period = loops ? from : 0;
  if (loops ? !flows : out->rates[out->count - 1].bits_per_second == 0)
    out->rates[out->count - 1].bits_per_second = s->rates[0];
}

static void random_slowdown(case_rng *rng, const scale *s, case_trace *out) {
  static const int64_t factors[] = {1000000, 1000000, 1500000, 2500000, 3000000, 1000001, 7654321, 50000000};
  out->count = one_in(rng, 3) ? (int)case_rng_range(rng, 1, CASE_RATES) : 0;
  int64_t from = 0;
  for (int place = 0; place < out->count; place++) {
    out->rates[place] = (oracle_rate){from, factors[case_rng_range(rng, 0, 7)]};
    from += case_rng_range(rng, 1, s->longest_step);
  }
  out->period = out->count > 1 && one_in(rng, 2) ? from : 0;
}

static void random_class(case_rng *rng, const scale *s, oracle_method method, int iterations_per_epoch,
                         int iterations_per_round, case_class *out) {
  bool whole = method == ORACLE_FL || method == ORACLE_SFL || method == ORACLE_SL;
  int micro_batches = whole ? 1 : (int)case_rng_range(rng, 1, CASE_MICRO_BATCHES);
  *out = (case_class){.iterations_per_epoch = iterations_per_epoch,
                      .iterations_per_round = iterations_per_round,
                      .in_flight = (int)case_rng_range(rng, 1, micro_batches),
                      .has_ragged = one_in(rng, 2),
                      .model_upload_bytes = case_rng_range(rng, 1, s->largest),
                      .model_download_bytes = case_rng_range(rng, 1, s->largest),
                      .up_latency = one_in(rng, 3) ? 0 : case_rng_range(rng, 0, s->longest_latency),
                      .down_latency = one_in(rng, 3) ? 0 : case_rng_range(rng, 0, s->longest_latency),
                      .half_duplex = one_in(rng, 3)};
  random_iteration(rng, s, micro_batches, &out->full);
  random_iteration(rng, s, (int)case_rng_range(rng, 1, micro_batches), &out->ragged);
  random_trace(rng, s, &out->up);
  random_trace(rng, s, &out->down);
  random_slowdown(rng, s, &out->slowdown);
}

static void let_nobody_go(oracle_case *out) {
  out->presence = true;
  for (int device = 0; device < CASE_DEVICES; device++)
    for (int round = 0; round < CASE_ITERATIONS; round++)
      out->silent_at[device][round] = -1;
}

/* Rates from too low for anyone's to enough for all. Not one that loops and falls to 0, which with a device's like it
 * might never carry anything. */
static void random_shared_trace(case_rng *rng, const scale *s, int devices, case_trace *out) {
  random_trace(rng, s, out);
  for (int place = 0; place < out->count; place++) {
    oracle_rate *rate = &out->rates[place];
    if (rate->bits_per_second == 0 && out->period > 0)
      rate->bits_per_second = s->rates[0];
    rate->bits_per_second *= case_rng_range(rng, 1, devices);
  }
}

static void random_presence(case_rng *rng, const scale *s, oracle_case *out) {
  let_nobody_go(out);
  out->silence_seed = case_rng_next(rng);
  int64_t length = s->longest * case_rng_range(rng, 1, 60);
  for (int class = 0; class < out->class_count; class ++) {
    case_class *at = &out->classes[class];
    at->arrives = one_in(rng, 3) ? case_rng_range(rng, 0, length) : 0;
    at->departs = one_in(rng, 3) ? at->arrives + case_rng_range(rng, 1, 2 * length) : 0;
    at->dropout_percent = one_in(rng, 3) ? (int)case_rng_range(rng, 1, 10) * 10 : 0;
  }
  out->min_devices = one_in(rng, 2) ? (int)case_rng_range(rng, 1, out->device_count) : 0;
  out->deadline = one_in(rng, 2) ? case_rng_range(rng, 1, length) : 0;
  if (!case_ends(out))
    out->deadline = case_rng_range(rng, 1, length);
}

/* Others from some round on, with other numbers of micro-batches, as where plans are made anew. */
static void random_change(case_rng *rng, const scale *s, oracle_case *out) {
  const case_class *first = &out->classes[out->class_of[0]];
  int rounds =
      (out->epochs * first->iterations_per_epoch + first->iterations_per_round - 1) / first->iterations_per_round;
  if (rounds < 2)
    return;
  out->changes_at = (int)case_rng_range(rng, 1, rounds - 1);
  bool whole = out->method == ORACLE_FL || out->method == ORACLE_SFL;
  for (int class = 0; class < out->class_count; class ++) {
    int micro_batches = whole ? 1 : (int)case_rng_range(rng, 1, CASE_MICRO_BATCHES);
    random_iteration(rng, s, micro_batches, &out->classes[class].later_full);
    random_iteration(rng, s, (int)case_rng_range(rng, 1, micro_batches), &out->classes[class].later_ragged);
  }
}

/* Whether plans may be made anew: all devices are there all the time, and every aggregate waits for them. */
static bool may_change(const oracle_case *c) {
  bool may = c->method != ORACLE_SL && c->buffer == 0 && c->deadline == 0 && c->min_devices == 0;
  for (int class = 0; class < c->class_count; class ++) {
    const case_class *at = &c->classes[class];
    may = may && at->arrives == 0 && at->departs == 0 && at->dropout_percent == 0;
  }
  return may;
}

void case_random(uint64_t seed, unsigned methods, unsigned policies, oracle_case *out) {
  *out = (oracle_case){0};
  case_rng rng = {seed};
  const scale *s = &scales[one_in(&rng, 2) ? 0 : case_rng_range(&rng, 1, scale_count - 1)];
  do {
    /* Most of all the method that this is about. */
    out->method = one_in(&rng, 2) ? ORACLE_PIPAR : (oracle_method)case_rng_range(&rng, ORACLE_FL, ORACLE_BW_SPLIT);
  } while ((methods >> out->method & 1) == 0);
  out->device_count = (int)case_rng_range(&rng, 1, CASE_DEVICES);
  do {
    out->policy = one_in(&rng, 5) ? ORACLE_SPACE_SHARE : one_in(&rng, 4) ? ORACLE_PRIORITY : ORACLE_FIFO;
  } while ((policies >> out->policy & 1) == 0);
  out->slots = out->policy == ORACLE_SPACE_SHARE ? out->device_count : (int)case_rng_range(&rng, 1, 3);
  out->epochs = (int)case_rng_range(&rng, 1, 3);
  out->aggregate = case_rng_range(&rng, 1, s->longest);
  out->class_count = (int)case_rng_range(&rng, 1, out->device_count);
  for (int device = 0; device < out->device_count; device++)
    out->class_of[device] = device < out->class_count ? device : (int)case_rng_range(&rng, 0, out->class_count - 1);
  bool by_epoch = one_in(&rng, 2);
  int iterations_per_epoch = (int)case_rng_range(&rng, 1, 4);
  int iterations_per_round = (int)case_rng_range(&rng, 1, iterations_per_epoch * out->epochs);
  for (int class = 0; class < out->class_count; class ++) {
    if (by_epoch)
      iterations_per_round = iterations_per_epoch = (int)case_rng_range(&rng, 1, 4);
    random_class(&rng, s, out->method, iterations_per_epoch, iterations_per_round, &out->classes[class]);
  }
  bool comes_and_goes = out->method != ORACLE_SL && one_in(&rng, 2);
  if (comes_and_goes)
    random_presence(&rng, s, out);
  if (out->method != ORACLE_SL && one_in(&rng, 3)) {
    if (!out->presence)
      let_nobody_go(out);
    out->shared = true;
    random_shared_trace(&rng, s, out->device_count, &out->shared_up);
    random_shared_trace(&rng, s, out->device_count, &out->shared_down);
  }
  if (out->method == ORACLE_SL && one_in(&rng, 3)) {
    out->shared = true;
    random_shared_trace(&rng, s, out->device_count, &out->shared_up);
    random_shared_trace(&rng, s, out->device_count, &out->shared_down);
  }
  bool waits = out->method == ORACLE_SL || comes_and_goes;
  if (!waits && one_in(&rng, 2)) {
    out->buffer = (int)case_rng_range(&rng, 1, out->device_count + 1);
    out->presence = false;
  }
  bool protects = one_in(&rng, 3);
  for (int class = 0; class < out->class_count && protects; class ++)
    out->classes[class].protection = case_rng_range(&rng, 1, one_in(&rng, 4) ? 8 * s->longest : s->longest);
  if (may_change(out) && one_in(&rng, 3))
    random_change(&rng, s, out);
}

const char *case_method_name(oracle_method method) {
  static const char *const names[] = {"fl", "sl", "sfl", "pipar", "1f1b", "bw-split"};
  return names[method];
}

static void print_iteration(const char *name, const case_iteration *iteration, oracle_method method, FILE *stream) {
  fprintf(stream, "    %s:", name);
  for (int micro_batch = 0; micro_batch < iteration->micro_batch_count; micro_batch++) {
    const oracle_micro_batch *at = &iteration->micro_batches[micro_batch];
    if (method == ORACLE_FL) {
      fprintf(stream, " [f %" PRId64 " b %" PRId64 "]", at->forward, at->backward);
      continue;
    }
    fprintf(stream, " [f %" PRId64 " up %" PRId64 " sf %" PRId64 " sb %" PRId64, at->forward, at->upload_bytes,
            at->server_forward, at->server_backward);
    if (method == ORACLE_BW_SPLIT)
      fprintf(stream, " sbw %" PRId64, at->server_backward_weight);
    fprintf(stream, " down %" PRId64 " b %" PRId64 "]", at->download_bytes, at->backward);
  }
  fprintf(stream, " device_update %" PRId64, iteration->device_update);
  if (method != ORACLE_FL)
    fprintf(stream, " server_update %" PRId64, iteration->server_update);
  fprintf(stream, "\n");
}

static void print_trace(const char *name, const case_trace *trace, int64_t latency, FILE *stream) {
  fprintf(stream, "    %s:", name);
  for (int place = 0; place < trace->count; place++)
    fprintf(stream, " %" PRId64 ":%" PRId64 "bps", trace->rates[place].from, trace->rates[place].bits_per_second);
  if (trace->period > 0)
    fprintf(stream, " period %" PRId64, trace->period);
  fprintf(stream, " latency %" PRId64 "\n", latency);
}

void case_print(const oracle_case *c, FILE *stream) {
  fprintf(stream,
          "%s, %s, %d slots, %d epochs, aggregate %" PRId64 "; class of each device:", case_method_name(c->method),
          c->policy == ORACLE_FIFO       ? "fifo"
          : c->policy == ORACLE_PRIORITY ? "priority"
                                         : "space-share",
          c->slots, c->epochs, c->aggregate);
  for (int device = 0; device < c->device_count; device++)
    fprintf(stream, " %d", c->class_of[device]);
  if (c->presence)
    fprintf(stream, "; deadline %" PRId64 " least %d", c->deadline, c->min_devices);
  if (c->buffer > 0)
    fprintf(stream, "; buffer %d", c->buffer);
  if (c->changes_at > 0)
    fprintf(stream, "; others from round %d", c->changes_at);
  fprintf(stream, "\n");
  if (c->shared) {
    print_trace("server up", &c->shared_up, 0, stream);
    print_trace("server down", &c->shared_down, 0, stream);
  }
  for (int class = 0; class < c->class_count; class ++) {
    const case_class *at = &c->classes[class];
    fprintf(stream, "  class %d: %d iterations an epoch, %d a round%s, model up %" PRId64 " down %" PRId64, class,
            at->iterations_per_epoch, at->iterations_per_round, at->half_duplex ? ", half duplex" : "",
            at->model_upload_bytes, at->model_download_bytes);
    if (at->protection > 0)
      fprintf(stream, ", a round's last update %" PRId64 " more", at->protection);
    if (c->method == ORACLE_1F1B)
      fprintf(stream, ", in flight %d", at->in_flight);
    fprintf(stream, "\n");
    print_iteration("full", &at->full, c->method, stream);
    if (at->has_ragged)
      print_iteration("ragged", &at->ragged, c->method, stream);
    if (c->changes_at > 0)
      print_iteration("later full", &at->later_full, c->method, stream);
    if (c->changes_at > 0 && at->has_ragged)
      print_iteration("later ragged", &at->later_ragged, c->method, stream);
    print_trace("up", &at->up, at->up_latency, stream);
    print_trace("down", &at->down, at->down_latency, stream);
    if (c->presence)
      fprintf(stream, "    arrives %" PRId64 " departs %" PRId64 " drops out %d %%\n", at->arrives, at->departs,
              at->dropout_percent);
    if (at->slowdown.count > 0)
      print_trace("slowdown (millionths)", &at->slowdown, 0, stream);
  }
}

int64_t case_seconds(double seconds) { return (int64_t)llround(seconds * 1000) * 1000000; }

case_trace case_constant(int64_t rate) { return (case_trace){.count = 1, .rates = {{0, rate}}}; }

/* The examples' device with its mini-batch in `micro_batches` micro-batches. */
static case_class example_class(int micro_batches) {
  case_class class = {.iterations_per_epoch = 1,
                      .iterations_per_round = 1,
                      .in_flight = micro_batches,
                      .model_upload_bytes = 125000,
                      .model_download_bytes = 125000,
                      .up = case_constant(10000000),
                      .down = case_constant(20000000),
                      .up_latency = case_seconds(0.1),
                      .down_latency = case_seconds(0.1)};
  class.full.micro_batch_count = micro_batches;
  class.full.device_update = case_seconds(0.5);
  class.full.server_update = case_seconds(0.25);
  for (int micro_batch = 0; micro_batch < micro_batches; micro_batch++)
    class.full.micro_batches[micro_batch] = (oracle_micro_batch){.forward = case_seconds(1),
                                                                 .backward = case_seconds(2),
                                                                 .server_forward = case_seconds(0.5),
                                                                 .server_backward = case_seconds(1),
                                                                 .upload_bytes = 1250000,
                                                                 .download_bytes = 1250000};
  return class;
}

oracle_case case_example(oracle_method method, int devices, int micro_batches) {
  oracle_case c = {.method = method,
                   .slots = 1,
                   .epochs = 1,
                   .aggregate = case_seconds(0.05),
                   .device_count = devices,
                   .class_count = devices};
  for (int device = 0; device < devices; device++) {
    c.class_of[device] = device;
    c.classes[device] = example_class(micro_batches);
  }
  return c;
}

oracle_result case_run(const oracle_case *c) {
  case_scenario expanded;
  case_expand(c, &expanded);
  return oracle_run(&expanded.scenario);
}
