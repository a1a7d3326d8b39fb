/* The timeline against the oracle, to the nanosecond, on random small scenarios.
 *   test_against_timeline [COUNT [FIRST_SEED]] */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "oracle_bounds.h"
#include "oracle_shrink.h"
#include "pipar/timeline.h"
#include "timeline/path.h"

enum { blocks = 5, split = 2 };

static const pp_method methods[] = {
    [ORACLE_FL] = PP_METHOD_FL,       [ORACLE_SL] = PP_METHOD_SL,     [ORACLE_SFL] = PP_METHOD_SFL,
    [ORACLE_PIPAR] = PP_METHOD_PIPAR, [ORACLE_1F1B] = PP_METHOD_1F1B, [ORACLE_BW_SPLIT] = PP_METHOD_BW_SPLIT};
static const pp_policy policies[] = {[ORACLE_FIFO] = PP_POLICY_FIFO,
                                     [ORACLE_SPACE_SHARE] = PP_POLICY_SPACE_SHARE,
                                     [ORACLE_PRIORITY] = PP_POLICY_PRIORITY};
static const pp_cause causes[] = {[ORACLE_CAUSE_DEVICE_COMPUTE] = PP_CAUSE_DEVICE_COMPUTE,
                                  [ORACLE_CAUSE_UPLOAD] = PP_CAUSE_UPLOAD,
                                  [ORACLE_CAUSE_SERVER_QUEUE] = PP_CAUSE_SERVER_QUEUE,
                                  [ORACLE_CAUSE_SERVER_COMPUTE] = PP_CAUSE_SERVER_COMPUTE,
                                  [ORACLE_CAUSE_DOWNLOAD] = PP_CAUSE_DOWNLOAD,
                                  [ORACLE_CAUSE_LATENCY] = PP_CAUSE_LATENCY,
                                  [ORACLE_CAUSE_AGGREGATION] = PP_CAUSE_AGGREGATION,
                                  [ORACLE_CAUSE_DRAIN] = PP_CAUSE_DRAIN,
                                  [ORACLE_CAUSE_ABSENT] = PP_CAUSE_ABSENT};

/* The first difference found, in words; "" for none. */
typedef struct verdict {
  char text[400];
} verdict;

static PP_PRINTF(2, 3) void differ(verdict *v, const char *format, ...) {
  if (v->text[0] != '\0')
    return;
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(v->text, sizeof v->text, format, arguments);
  va_end(arguments);
}

/* ---- the case as the library takes it ---- */

typedef struct library_case {
  pp_scenario scenario;
  pp_device_class classes[CASE_DEVICES];
  int32_t class_of[CASE_DEVICES];
  pp_network_config networks[CASE_DEVICES];
  pp_rate_step steps[CASE_DEVICES][3][CASE_RATES];
  pp_rate_trace slowdowns[CASE_DEVICES];
  pp_rate_step shared_steps[2][CASE_RATES];
  pp_rate_trace shared[2];                 /* the server's link up, down */
  pp_schedule *schedules[CASE_DEVICES][4]; /* full, ragged; the same as a round's last */
} library_case;

static int64_t cost_of(const case_iteration *iteration, const pp_op *op) {
  const oracle_micro_batch *m = &iteration->micro_batches[op->micro_batch > 0 ? op->micro_batch : 0];
  switch (op->stage) {
  case PP_STAGE_FORWARD:
    return m->forward;
  case PP_STAGE_UPLOAD:
    return m->upload_bytes;
  case PP_STAGE_SERVER_FORWARD:
    return m->server_forward;
  case PP_STAGE_SERVER_BACKWARD:
  case PP_STAGE_SERVER_BACKWARD_INPUT:
    return m->server_backward;
  case PP_STAGE_SERVER_BACKWARD_WEIGHT:
    return m->server_backward_weight;
  case PP_STAGE_DOWNLOAD:
    return m->download_bytes;
  case PP_STAGE_BACKWARD:
    return m->backward;
  case PP_STAGE_DEVICE_UPDATE:
    return iteration->device_update;
  case PP_STAGE_SERVER_UPDATE:
    return iteration->server_update;
  case PP_STAGE_MODEL_UPLOAD:
  case PP_STAGE_AGGREGATE:
  case PP_STAGE_MODEL_DOWNLOAD:
    break; /* of no iteration */
  }
  return 0;
}

static pp_status make_schedule(const oracle_case *c, const case_class *class, const case_iteration *iteration,
                               pp_schedule **out) {
  /* A sample a micro-batch where there is no remainder to spread. */
  int count = iteration->micro_batch_count;
  PP_TRY(pp_schedule_create(methods[c->method], count, class->full.micro_batch_count,
                            c->method == ORACLE_FL ? blocks : split, class->in_flight, blocks, out));
  for (int op = 0; op < (*out)->op_count; op++)
    (*out)->ops[op].cost = cost_of(iteration, &(*out)->ops[op]);
  (*out)->model_upload_bytes = class->model_upload_bytes;
  (*out)->model_download_bytes = class->model_download_bytes;
  return NULL;
}

static pp_rate_trace make_trace(const case_trace *from, pp_rate_step *steps) {
  for (int place = 0; place < from->count; place++)
    steps[place] = (pp_rate_step){from->rates[place].from, from->rates[place].bits_per_second};
  return (pp_rate_trace){.count = from->count, .steps = steps, .period_ns = from->period};
}

static pp_status make_library_case(const oracle_case *c, library_case *out) {
  *out = (library_case){0};
  for (int class = 0; class < c->class_count; class ++) {
    const case_class *from = &c->classes[class];
    PP_TRY(make_schedule(c, from, &from->full, &out->schedules[class][0]));
    if (from->has_ragged)
      PP_TRY(make_schedule(c, from, &from->ragged, &out->schedules[class][1]));
    for (int kind = 0; kind < 2 && from->protection > 0; kind++) {
      case_iteration last = kind == 0 ? from->full : from->ragged;
      last.device_update += from->protection;
      if (kind == 0 || from->has_ragged)
        PP_TRY(make_schedule(c, from, &last, &out->schedules[class][2 + kind]));
    }
    out->networks[class] = (pp_network_config){.up = make_trace(&from->up, out->steps[class][0]),
                                               .down = make_trace(&from->down, out->steps[class][1]),
                                               .up_latency_ns = from->up_latency,
                                               .down_latency_ns = from->down_latency,
                                               .half_duplex = from->half_duplex};
    out->slowdowns[class] = make_trace(&from->slowdown, out->steps[class][2]);
    out->classes[class] = (pp_device_class){.group = class,
                                            .samples = 1,
                                            .split = out->schedules[class][0]->split,
                                            .micro_batches = from->full.micro_batch_count,
                                            .iterations_per_epoch = from->iterations_per_epoch,
                                            .iterations_per_round = from->iterations_per_round,
                                            .iterations = (int64_t)c->epochs * from->iterations_per_epoch,
                                            .full = out->schedules[class][0],
                                            .ragged = out->schedules[class][from->has_ragged ? 1 : 0],
                                            .closing_full = out->schedules[class][2],
                                            .closing_ragged = out->schedules[class][from->has_ragged ? 3 : 2],
                                            .network = &out->networks[class],
                                            .arrives_ns = from->arrives,
                                            .departs_ns = from->departs,
                                            .dropout = from->dropout_percent / 100.0,
                                            .slowdown = &out->slowdowns[class]};
  }
  for (int device = 0; device < c->device_count; device++)
    out->class_of[device] = c->class_of[device];
  const pp_device_class *first = &out->classes[c->class_of[0]];
  if (c->shared) {
    out->shared[0] = make_trace(&c->shared_up, out->shared_steps[0]);
    out->shared[1] = make_trace(&c->shared_down, out->shared_steps[1]);
  }
  out->scenario =
      (pp_scenario){.method = methods[c->method],
                    .policy = policies[c->policy],
                    .slots = c->slots,
                    .device_count = c->device_count,
                    .class_count = c->class_count,
                    .classes = out->classes,
                    .class_of = out->class_of,
                    .rounds = (first->iterations + first->iterations_per_round - 1) / first->iterations_per_round,
                    .aggregate_ns = c->method == ORACLE_SL ? 0 : c->aggregate,
                    .has_presence = c->presence,
                    .deadline_ns = c->deadline,
                    .min_devices = c->min_devices,
                    .server_up = c->shared ? &out->shared[0] : NULL,
                    .server_down = c->shared ? &out->shared[1] : NULL,
                    .seed = c->silence_seed};
  if (c->buffer > 0) {
    int64_t updates = 0;
    for (int device = 0; device < c->device_count; device++)
      updates += pp_class_rounds(&out->classes[c->class_of[device]]);
    out->scenario.buffer = c->buffer;
    out->scenario.rounds = (updates + c->buffer - 1) / c->buffer;
  }
  return NULL;
}

static bool is_computed(const pp_op *op) {
  pp_resource resource = pp_stage_resource(op->stage);
  return resource == PP_RESOURCE_DEVICE || resource == PP_RESOURCE_SERVER;
}

/* From now on what is computed takes what pp_timeline_take_lengths says. */
static void measure_library_case(library_case *library) {
  library->scenario.is_measured = true;
  library->scenario.aggregate_ns = 0;
  for (int class = 0; class < CASE_DEVICES; class ++)
    for (int kind = 0; kind < 2 && library->schedules[class][kind] != NULL; kind++)
      for (int op = 0; op < library->schedules[class][kind]->op_count; op++)
        if (is_computed(&library->schedules[class][kind]->ops[op]))
          library->schedules[class][kind]->ops[op].cost = 0;
}

static void release_library_case(library_case *library) {
  for (int class = 0; class < CASE_DEVICES; class ++)
    for (int kind = 0; kind < 4; kind++)
      pp_schedule_destroy(library->schedules[class][kind]);
}

/* ---- comparing ---- */

static void compare(verdict *v, const char *what, int which, int64_t timeline, int64_t oracle) {
  if (timeline != oracle)
    differ(v, "%s %d: timeline %" PRId64 ", oracle %" PRId64, what, which, timeline, oracle);
}

/* Means in seconds come from sums of ns through at most four roundings of 2^-53 each. */
static void compare_mean(verdict *v, const char *what, int which, double timeline_s, int64_t oracle_sum_ns, int count) {
  double oracle_s = (double)oracle_sum_ns / count / 1e9;
  if (!(fabs(timeline_s - oracle_s) <= 4 * 0x1p-53 * oracle_s + 4 * 0x1p-53 * timeline_s))
    differ(v, "%s %d: timeline %.17g, oracle %.17g", what, which, timeline_s, oracle_s);
}

static int compare_keys(int64_t a, int64_t b) { return (a > b) - (a < b); }

/* In the order of records: by start, then end, device, stage. */
static int by_start(const void *left, const void *right) {
  const oracle_stage *a = left, *b = right;
  int order = compare_keys(a->start, b->start);
  order = order != 0 ? order : compare_keys(a->end, b->end);
  order = order != 0 ? order : compare_keys(a->device, b->device);
  return order != 0 ? order : compare_keys((int64_t)a->kind, (int64_t)b->kind);
}

static void describe(const pp_stage_record *record, char *out, size_t size) {
  (void)snprintf(out, size,
                 "%s %d of device %d, iteration %d, slot %d, round %d, %" PRId64 "-%" PRId64 ", %" PRId64 " B",
                 pp_stage_name((pp_stage)record->stage), record->micro_batch, record->device, record->iteration,
                 record->slot, record->round, record->start_ns, record->end_ns, record->bytes);
}

/* Whether the stages of `fl` belong to a micro-batch is not said: its forward and backward may be of 0 or of none. */
static bool same_micro_batch(const oracle_case *c, const pp_stage_record *record, const pp_stage_record *wanted) {
  return record->micro_batch == wanted->micro_batch ||
         (c->method == ORACLE_FL && record->micro_batch == -1 && wanted->micro_batch == 0);
}

static void compare_records(verdict *v, const oracle_case *c, const pp_round_times *round, oracle_stage *stages,
                            int count) {
  qsort(stages, (size_t)count, sizeof *stages, by_start);
  int64_t common = round->record_count < count ? round->record_count : count;
  for (int64_t place = 0; place < common; place++) {
    const pp_stage_record *record = &round->records[place];
    const oracle_stage *stage = &stages[place];
    pp_stage_record wanted = {.device = stage->device,
                              .slot = stage->slot,
                              .round = stage->round,
                              .iteration = stage->iteration,
                              .micro_batch = stage->micro_batch,
                              .stage = (int32_t)stage->kind,
                              .start_ns = stage->start,
                              .end_ns = stage->end,
                              .bytes = stage->bytes};
    if (record->device == wanted.device && record->slot == wanted.slot && record->round == wanted.round &&
        record->iteration == wanted.iteration && same_micro_batch(c, record, &wanted) &&
        record->stage == wanted.stage && record->start_ns == wanted.start_ns && record->end_ns == wanted.end_ns &&
        record->bytes == wanted.bytes)
      continue;
    char timeline_text[160], oracle_text[160];
    describe(record, timeline_text, sizeof timeline_text);
    describe(&wanted, oracle_text, sizeof oracle_text);
    differ(v, "timeline: %s; oracle: %s", timeline_text, oracle_text);
    return;
  }
  compare(v, "records of round", (int)round->round, round->record_count, count);
}

static void compare_times(verdict *v, const char *what, int which, const pp_resource_times *timeline,
                          const oracle_times *oracle) {
  char name[64];
  (void)snprintf(name, sizeof name, "busy of %s", what);
  compare(v, name, which, timeline->busy_ns, oracle->busy);
  for (int cause = 0; cause < ORACLE_CAUSE_COUNT; cause++) {
    (void)snprintf(name, sizeof name, "%s of %s", oracle_cause_name((oracle_cause)cause), what);
    compare(v, name, which, timeline->cause_ns[causes[cause]], oracle->causes[cause]);
  }
  (void)snprintf(name, sizeof name, "overrun of %s", what);
  compare(v, name, which, timeline->cause_ns[PP_CAUSE_OVERRUN], 0);
  (void)snprintf(name, sizeof name, "idle of %s", what);
  compare(v, name, which, timeline->idle_ns, oracle->idle);
  (void)snprintf(name, sizeof name, "bytes up of %s", what);
  compare(v, name, which, timeline->bytes_up, oracle->bytes_up);
  (void)snprintf(name, sizeof name, "bytes down of %s", what);
  compare(v, name, which, timeline->bytes_down, oracle->bytes_down);
}

/* Hands over what the stages of a round took, the last first, as if they had been measured. */
static pp_status give_lengths(const oracle_case *c, const pp_scenario *scenario, int64_t round, pp_timeline *timeline) {
  enum { most = CASE_DEVICES * CASE_ITERATIONS * (5 * CASE_MICRO_BATCHES + 2) + 1 };
  static pp_stage_record lengths[most];
  int64_t count = 0;
  for (int device = c->device_count - 1; device >= 0; device--) {
    const case_class *class = &c->classes[c->class_of[device]];
    for (int iteration = c->epochs * class->iterations_per_epoch - 1; iteration >= 0; iteration--) {
      bool last_of_epoch = (iteration + 1) % class->iterations_per_epoch == 0;
      const case_iteration *like = last_of_epoch && class->has_ragged ? &class->ragged : &class->full;
      const pp_schedule *schedule = pp_scenario_schedule(scenario, device, iteration);
      for (int op = schedule->op_count - 1; op >= 0 && iteration / class->iterations_per_round == round; op--)
        if (is_computed(&schedule->ops[op]))
          lengths[count++] = (pp_stage_record){.device = device,
                                               .iteration = iteration,
                                               .micro_batch = schedule->ops[op].micro_batch,
                                               .stage = (int32_t)schedule->ops[op].stage,
                                               .end_ns = cost_of(like, &schedule->ops[op])};
    }
  }
  if (c->method != ORACLE_SL)
    lengths[count++] = (pp_stage_record){
        .device = -1, .iteration = -1, .micro_batch = -1, .stage = PP_STAGE_AGGREGATE, .end_ns = c->aggregate};
  return pp_timeline_take_lengths(timeline, round, count, lengths);
}

/* Other plans from a round on. */
typedef struct change {
  const pp_scenario *later;
  int at, rounds_ended;
} change;

static pp_status decide(void *context, const pp_timeline *timeline, const pp_scenario **next) {
  change *of = context;
  (void)timeline;
  if (++of->rounds_ended == of->at)
    *next = of->later;
  return NULL;
}

/* later: from round c->changes_at on. */
static pp_status compare_run(verdict *v, const oracle_case *c, const oracle_result *result, bool records,
                             const pp_scenario *scenario, const pp_scenario *later) {
  pp_status status = NULL;
  pp_timeline *timeline = NULL;
  oracle_stage *stages = calloc((size_t)result->stage_count, sizeof *stages);
  PP_TRY_GOTO(status, pp_timeline_create(scenario, records, &timeline), done);
  if (!c->presence)
    compare(v, "rounds", 0, scenario->rounds, result->round_count);
  int64_t given = 0;
  change other_plans = {later, c->changes_at, 0};
  if (c->changes_at > 0)
    pp_timeline_replan_by(timeline, (pp_replanner){decide, &other_plans});
  for (int round = 0; round < result->round_count; round++) {
    const oracle_round *wanted = &result->rounds[round];
    pp_round_times times = {0};
    for (; scenario->is_measured && given < scenario->rounds && given <= round + 1; given++)
      PP_TRY_GOTO(status, give_lengths(c, scenario, given, timeline), done);
    PP_TRY_GOTO(status, pp_timeline_next_round(timeline, &times), done);
    compare(v, "last of round", round, times.is_last, round + 1 == result->round_count);
    uint64_t members = 0;
    for (int64_t member = 0; member < times.member_count && times.members != NULL; member++)
      members |= UINT64_C(1) << times.members[member];
    compare(v, "members of round", round, (int64_t)members, (int64_t)wanted->members);
    for (int64_t update = 0; update < times.update_count; update++) {
      const pp_update *at = &times.updates[update];
      const oracle_update *like = &result->updates[round * c->buffer + update];
      compare(v, "device of update", (int)update, at->device, like->device);
      compare(v, "round of update", (int)update, at->local_round, like->local_round);
      compare(v, "version of update", (int)update, at->version, like->version);
    }
    int64_t updates_left = result->update_count - (int64_t)round * c->buffer;
    compare(v, "updates of round", round, times.update_count, updates_left < c->buffer ? updates_left : c->buffer);
    int count = 0;
    for (int stage = 0; stage < result->stage_count && records; stage++)
      if (result->stages[stage].round == round)
        stages[count++] = result->stages[stage];
    compare_records(v, c, &times, stages, count);
    compare(v, "number of round", round, times.round, round);
    compare(v, "iterations of round", round, times.iterations, wanted->iterations);
    compare(v, "end of round", round, times.end_ns, wanted->end);
    compare_mean(v, "server idle in round", round, times.server_idle_s, wanted->server_idle, c->slots);
    compare_mean(v, "device idle in round", round, times.device_idle_s, wanted->device_idle, c->device_count);
  }
  pp_timeline_totals totals = {0};
  PP_TRY_GOTO(status, pp_timeline_finish(timeline, &totals), done);
  compare(v, "makespan", 0, totals.makespan_ns, result->makespan);
  if (bounds_hold(c) && (totals.makespan_ns < bound_of_busiest(c) || totals.makespan_ns < bound_of_path(c)))
    differ(v, "makespan %" PRId64 " beats a lower bound: busiest %" PRId64 ", path %" PRId64, totals.makespan_ns,
           bound_of_busiest(c), bound_of_path(c));
  compare(v, "stages", 0, totals.stage_count, result->stage_count);
  for (int device = 0; device < c->device_count; device++)
    compare_times(v, "device", device, &totals.devices[device], &result->devices[device]);
  for (int slot = 0; slot < c->slots; slot++)
    compare_times(v, "slot", slot, &totals.slots[slot], &result->slots[slot]);
done:
  free(stages);
  pp_timeline_destroy(timeline);
  return status;
}

/* Whether something may happen at an instant of its own, which no stage has led to. */
static bool has_instants(const oracle_case *c) {
  bool has = c->deadline > 0;
  for (int device = 0; device < c->device_count; device++) {
    const case_class *class = &c->classes[c->class_of[device]];
    has = has || class->arrives > 0 || class->departs > 0;
  }
  return has;
}

/* The critical path is as long as the run, and something held every piece of it. */
static pp_status compare_path(verdict *v, const oracle_case *c, const oracle_result *result,
                              const pp_scenario *scenario) {
  pp_path path;
  int64_t sum = 0;
  PP_TRY(pp_path_of_scenario(scenario, &path));
  for (int part = 0; part < path.part_count; part++) {
    sum += path.parts[part].length_ns;
    if (path.parts[part].kind == PP_PATH_WAIT && !has_instants(c))
      differ(v, "the critical path waits for %" PRId64, path.parts[part].length_ns);
  }
  compare(v, "critical path", 0, sum, result->makespan);
  pp_path_fini(&path);
  return NULL;
}

/* Whether all devices are there all the time and every aggregate waits for them. */
static bool all_stay(const oracle_case *c) {
  bool stay = c->deadline == 0 && c->min_devices == 0;
  for (int device = 0; device < c->device_count; device++) {
    const case_class *class = &c->classes[c->class_of[device]];
    stay = stay && class->arrives == 0 && class->departs == 0 && class->dropout_percent == 0;
  }
  return stay;
}

/* What the program lets have `cost: measured`: nothing in time may depend on lengths that come later. */
static bool can_be_measured(const oracle_case *c) {
  bool can = all_stay(c) && c->buffer == 0 && c->changes_at == 0 && c->policy != ORACLE_PRIORITY &&
             c->method != ORACLE_BW_SPLIT;
  for (int class = 0; class < c->class_count; class ++)
    can = can && c->classes[class].protection == 0;
  return can;
}

/* Who falls silent is drawn as docs/timing-model.md says; whether the draws are fair is for other tests. */
static void draw_silences(oracle_case *c) {
  for (int device = 0; device < c->device_count; device++) {
    const case_class *class = &c->classes[c->class_of[device]];
    int total = c->epochs * class->iterations_per_epoch;
    for (int round = 0; round < CASE_ITERATIONS; round++) {
      int left = total - round * class->iterations_per_round;
      int iterations = left < class->iterations_per_round ? left : class->iterations_per_round;
      pp_rng rng = pp_rng_stream(c->silence_seed, PP_RNG_SILENCE, (uint32_t)device, (uint32_t)round, 0);
      bool drops = iterations > 0 && pp_rng_uniform(rng, 0, 0) < class->dropout_percent / 100.0;
      c->silent_at[device][round] = drops ? (int)pp_rng_below(rng, 1, 0, (uint64_t)iterations) : -1;
    }
  }
}

/* ---- what the scenarios cover ---- */

static bool is_outage(const case_trace *trace) {
  for (int place = 0; place < trace->count; place++)
    if (trace->rates[place].bits_per_second == 0)
      return true;
  return false;
}

#define OF_ANY_CLASS(name, condition)                                                                                  \
  static bool name(const oracle_case *c) {                                                                             \
    for (int place = 0; place < c->class_count; place++) {                                                             \
      const case_class *at = &c->classes[place];                                                                       \
      if (condition)                                                                                                   \
        return true;                                                                                                   \
    }                                                                                                                  \
    return false;                                                                                                      \
  }
#define OF_CASE(name, condition)                                                                                       \
  static bool name(const oracle_case *c) { return condition; }
OF_CASE(is_fl, c->method == ORACLE_FL)
OF_CASE(is_sl, c->method == ORACLE_SL)
OF_CASE(is_sfl, c->method == ORACLE_SFL)
OF_CASE(is_pipar, c->method == ORACLE_PIPAR)
OF_CASE(is_1f1b, c->method == ORACLE_1F1B)
OF_CASE(is_bw_split, c->method == ORACLE_BW_SPLIT)
OF_CASE(is_fifo, c->policy == ORACLE_FIFO)
OF_CASE(shares_space, c->policy == ORACLE_SPACE_SHARE)
OF_CASE(has_priority, c->policy == ORACLE_PRIORITY)
OF_CASE(has_slots, c->policy != ORACLE_SPACE_SHARE && c->slots > 1)
OF_CASE(has_deadline, c->deadline > 0)
OF_CASE(has_min_devices, c->min_devices > 0)
OF_CASE(is_async, c->buffer > 0)
OF_CASE(is_shared, c->shared)
OF_CASE(shares_async, c->shared && c->buffer > 0)
OF_CASE(replans, c->changes_at > 0)
OF_ANY_CLASS(changes_rate, at->up.count > 1 || at->down.count > 1)
OF_ANY_CLASS(loops, (at->up.count > 1 && at->up.period > 0) || (at->down.count > 1 && at->down.period > 0))
OF_ANY_CLASS(has_outage, is_outage(&at->up) || is_outage(&at->down))
OF_ANY_CLASS(is_half_duplex, at->half_duplex)
OF_ANY_CLASS(slows_down, at->slowdown.count > 0)
OF_ANY_CLASS(arrives, at->arrives > 0)
OF_ANY_CLASS(departs, at->departs > 0)
OF_ANY_CLASS(drops_out, at->dropout_percent > 0)
OF_ANY_CLASS(is_ragged, at->has_ragged)
OF_ANY_CLASS(is_protected, at->protection > 0)
OF_ANY_CLASS(has_rounds, at->iterations_per_round < c->epochs * at->iterations_per_epoch)

static struct {
  const char *name;
  bool (*has)(const oracle_case *c);
  long count;
} features[] = {
    {"fl", is_fl, 0},
    {"sl", is_sl, 0},
    {"sfl", is_sfl, 0},
    {"pipar", is_pipar, 0},
    {"1f1b", is_1f1b, 0},
    {"bw-split", is_bw_split, 0},
    {"fifo", is_fifo, 0},
    {"space-share", shares_space, 0},
    {"priority", has_priority, 0},
    {"two or three slots", has_slots, 0},
    {"two or more rounds", has_rounds, 0},
    {"ragged mini-batches", is_ragged, 0},
    {"rates that change", changes_rate, 0},
    {"traces that loop", loops, 0},
    {"outages", has_outage, 0},
    {"half duplex", is_half_duplex, 0},
    {"slowdowns", slows_down, 0},
    {"arrivals", arrives, 0},
    {"departures", departs, 0},
    {"dropout", drops_out, 0},
    {"deadlines", has_deadline, 0},
    {"min_devices", has_min_devices, 0},
    {"asynchronous", is_async, 0},
    {"the server's link", is_shared, 0},
    {"that and asynchronous", shares_async, 0},
    {"measured lengths", can_be_measured, 0},
    {"other plans from a round on", replans, 0},
    {"a longer last update", is_protected, 0},
    {"lower bounds", bounds_hold, 0},
};
enum { feature_count = sizeof features / sizeof features[0] };

/* False: something is never tried. */
static bool show_features(void) {
  bool all = true;
  for (int feature = 0; feature < feature_count; feature++) {
    printf("%8ld with %s\n", features[feature].count, features[feature].name);
    all = all && features[feature].count > 0;
  }
  return all;
}

static verdict examine(const oracle_case *from, int64_t *stage_count) {
  oracle_case drawn = *from;
  const oracle_case *c = &drawn;
  draw_silences(&drawn);
  verdict v = {.text = ""};
  oracle_result result = case_run(c);
  *stage_count += result.stage_count;
  library_case library;
  oracle_case later = case_later(c);
  library_case library_later = {0};
  pp_status status = make_library_case(c, &library);
  if (status == NULL && c->changes_at > 0)
    status = make_library_case(&later, &library_later);
  /* What is recorded changes nothing else. */
  if (status == NULL)
    status = compare_run(&v, c, &result, true, &library.scenario, &library_later.scenario);
  if (status == NULL)
    status = compare_run(&v, c, &result, false, &library.scenario, &library_later.scenario);
  if (status == NULL && c->changes_at == 0)
    status = compare_path(&v, c, &result, &library.scenario);
  if (status == NULL && can_be_measured(c)) {
    measure_library_case(&library);
    status = compare_run(&v, c, &result, true, &library.scenario, &library_later.scenario);
  }
  if (status != NULL) {
    differ(&v, "the library says: %s", pp_error_message(status));
    pp_error_free(status);
  }
  release_library_case(&library);
  release_library_case(&library_later);
  oracle_release(&result);
  return v;
}

static bool still_differs(const oracle_case *c, void *context) {
  int64_t *runs = context;
  enum { most_runs = 50000 };
  int64_t stages = 0;
  return ++*runs <= most_runs && examine(c, &stages).text[0] != '\0';
}

/* What an assertion of the library leaves behind: the seed. */
static volatile sig_atomic_t seed_in_hand;
static void say_seed(int signal_number) {
  (void)signal_number;
  char text[] = "aborted at seed 0000000000\n";
  long seed = seed_in_hand;
  for (size_t digit = sizeof text - 3; seed > 0 && text[digit] == '0'; digit--, seed /= 10)
    text[digit] = (char)('0' + seed % 10);
  (void)!write(STDERR_FILENO, text, sizeof text - 1);
}

int main(int argc, char **argv) {
  long count = argc > 1 ? strtol(argv[1], NULL, 10) : 5000;
  long first = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
  signal(SIGABRT, say_seed);
  int differences = 0;
  int64_t stages = 0;
  for (long seed = first; seed < first + count; seed++) {
    seed_in_hand = (sig_atomic_t)seed;
    oracle_case c;
    case_random((uint64_t)seed, CASE_EVERY_METHOD, CASE_EVERY_POLICY, &c);
    for (int feature = 0; feature < feature_count; feature++)
      features[feature].count += features[feature].has(&c) ? 1 : 0;
    verdict v = examine(&c, &stages);
    if (v.text[0] == '\0')
      continue;
    printf("seed %ld: %s\n", seed, v.text);
    int64_t runs = 0;
    case_shrink(&c, still_differs, &runs);
    v = examine(&c, &stages);
    printf("shrunk: %s\n", v.text);
    case_print(&c, stdout);
    enum { enough = 5 };
    if (++differences == enough)
      break;
  }
  printf("%ld scenarios, %" PRId64 " stages, %d differences\n", count, stages, differences);
  enum { tries_all = 5000 };
  bool tried = show_features();
  if (count >= tries_all && differences == 0 && !tried) {
    printf("a feature was never tried\n");
    return EXIT_FAILURE;
  }
  return differences == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
