#include "oracle.h"

#include <stdlib.h>
#include <string.h>

__extension__ typedef __int128 wide;

/* The scenario or this program is wrong. */
#define DEMAND(cond)                                                                                                   \
  do {                                                                                                                 \
    if (!(cond)) {                                                                                                     \
      fprintf(stderr, "oracle: %s:%d: not so: %s\n", __FILE__, __LINE__, #cond);                                       \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

static const int64_t never = INT64_MAX;

const char *oracle_kind_name(oracle_kind kind) {
  static const char *const names[] = {"forward",
                                      "upload",
                                      "server_forward",
                                      "server_backward",
                                      "download",
                                      "backward",
                                      "device_update",
                                      "server_update",
                                      "model_upload",
                                      "aggregate",
                                      "model_download",
                                      "server_backward_input",
                                      "server_backward_weight"};
  return names[kind];
}

const char *oracle_cause_name(oracle_cause cause) {
  static const char *const names[] = {"device_compute", "upload",      "server_queue", "server_compute", "download",
                                      "latency",        "aggregation", "drain",        "absent"};
  return names[cause];
}

static bool is_transfer(oracle_kind kind) {
  return kind == ORACLE_UPLOAD || kind == ORACLE_DOWNLOAD || kind == ORACLE_MODEL_UPLOAD ||
         kind == ORACLE_MODEL_DOWNLOAD;
}

static bool goes_up(oracle_kind kind) { return kind == ORACLE_UPLOAD || kind == ORACLE_MODEL_UPLOAD; }

static void *zeroed(int count, size_t size) {
  void *memory = calloc((size_t)count + 1, size);
  DEMAND(memory != NULL);
  return memory;
}

/* A short list of stages. */
typedef struct list {
  int count, room;
  int *items;
} list;

static void list_add(list *to, int item) {
  if (to->count == to->room) {
    to->room = to->room * 2 + 4;
    to->items = realloc(to->items, (size_t)to->room * sizeof *to->items);
    DEMAND(to->items != NULL);
  }
  to->items[to->count++] = item;
}

static void list_remove_at(list *from, int place) {
  from->count--;
  memmove(from->items + place, from->items + place + 1, (size_t)(from->count - place) * sizeof *from->items);
}

typedef struct device_state {
  int running, last;       /* stages on the compute unit; -1: none */
  int iteration;           /* in hand, over the run */
  int forwards, backwards; /* of it that have ended */
  list gradients;          /* downloads of it that have arrived, in order */
  bool has_model;          /* false from its model_upload on until a model_download arrives */
  int model_in;            /* the model_download that brought the model; -1: it started with it */
  int model_out;           /* the model_upload of the round, once it has arrived; -1 */
  list activations;        /* uploads that have arrived and no slot has taken, in order */
  /* Where devices come and go: */
  bool takes_part, is_cut; /* in the round that is open */
  /* Where nobody waits for the others: */
  int version;          /* of the model it has */
  bool wants_model;     /* its update is complete and it has a round to go */
  int model_out_at_all; /* the last model_upload that was complete */
} device_state;

/* What happened to a device in a round where devices come and go. */
typedef struct visit {
  bool takes_part, silent;
  int64_t cut;       /* never: it was not */
  int download, own; /* the model that began the round for it; its own model, had it come in time; -1 */
} visit;

typedef struct round_log {
  int64_t begin;
  int aggregate; /* its stage */
  visit *visits; /* (device_count) */
} round_log;

typedef struct link_state {
  int running, last;
  list waiting;
  wide left;                /* billionths of a bit of `running` that have not passed */
  int64_t own, rate, until; /* of the device's link; what `running` has, and until when */
} link_state;

typedef struct slot_state {
  int running, last;
} slot_state;

typedef struct simulation {
  const oracle_scenario *scenario;
  int64_t now;
  int stage_count, stage_room;
  oracle_stage *stages;
  device_state *devices;
  link_state *links; /* two a device: up, down; half duplex uses the first */
  slot_state *slots;
  bool *replica_busy; /* one a device; sl uses the first */
  list flying;        /* transfers that have ended and not arrived */
  int round, round_count;
  /* Where devices come and go: */
  bool is_open, is_due; /* a round is on; its aggregate may start */
  bool nobody;          /* the next round waits for an arrival */
  int began;
  int64_t due;      /* when the aggregate to come could have started */
  round_log *log;   /* (round_count) */
  int *last_models; /* (device_count) model_downloads after the last aggregate; -1 */
  /* Where nobody waits for the others: */
  int update_count, complete_count, taken_count, aggregate_count;
  oracle_update *updates; /* (update_count) as they are complete */
  int *aggregates;        /* stages */
  bool aggregates_now, wants_aggregate;
} simulation;

static const oracle_iteration *iteration_in_hand(const simulation *sim, int device) {
  return &sim->scenario->devices[device].iterations[sim->devices[device].iteration];
}

static int round_of(const oracle_device *device, int iteration) { return iteration / device->iterations_per_round; }

static link_state *link_of(simulation *sim, int device, oracle_kind kind) {
  bool first = goes_up(kind) || sim->scenario->devices[device].half_duplex;
  return &sim->links[2 * device + (first ? 0 : 1)];
}

static bool *replica_of(simulation *sim, int device) {
  return &sim->replica_busy[sim->scenario->method == ORACLE_SL ? 0 : device];
}

static int add_stage(simulation *sim, oracle_kind kind, int device, int round, int iteration, int micro_batch) {
  if (sim->stage_count == sim->stage_room) {
    sim->stage_room = sim->stage_room * 2 + 64;
    sim->stages = realloc(sim->stages, (size_t)sim->stage_room * sizeof *sim->stages);
    DEMAND(sim->stages != NULL);
  }
  sim->stages[sim->stage_count] = (oracle_stage){.kind = kind,
                                                 .device = device,
                                                 .slot = -1,
                                                 .round = round,
                                                 .iteration = iteration,
                                                 .micro_batch = micro_batch,
                                                 .ready = sim->now,
                                                 .start = never,
                                                 .end = never,
                                                 .arrival = never,
                                                 .producer = -1,
                                                 .data = -1,
                                                 .previous = -1};
  return sim->stage_count++;
}

/* ---- links and slowdowns in time ---- */

/* The rate in force from `now` on, and until when it stays. */
static int64_t rate_at(const oracle_trace *trace, int64_t now, int64_t *until) {
  int64_t lap_start = trace->period > 0 ? now - now % trace->period : 0;
  int in_force = 0;
  while (in_force + 1 < trace->count && lap_start + trace->rates[in_force + 1].from <= now)
    in_force++;
  *until = in_force + 1 < trace->count ? lap_start + trace->rates[in_force + 1].from
           : trace->period > 0         ? lap_start + trace->period
                                       : never;
  return trace->rates[in_force].bits_per_second;
}

/* When a compute stage of a device ends that starts now. */
static int64_t slowed_end(const oracle_trace *slowdown, int64_t now, int64_t length) {
  if (slowdown->count == 0)
    return now + length;
  wide left = (wide)length * 1000000;
  for (;;) {
    int64_t until = never, factor = rate_at(slowdown, now, &until);
    wide speed = ((wide)1000000 * 1000000 * 2 / factor + 1) / 2;
    if ((left + speed - 1) / speed <= (wide)(until - now))
      return now + (int64_t)((left + speed - 1) / speed);
    left -= speed * (until - now);
    now = until;
  }
}

/* ---- starting ---- */

static void start_on_device(simulation *sim, int device, oracle_kind kind, int micro_batch, int64_t length, int data) {
  device_state *state = &sim->devices[device];
  DEMAND(length >= 1 && state->running < 0);
  int stage = add_stage(sim, kind, device, round_of(&sim->scenario->devices[device], state->iteration),
                        state->iteration, micro_batch);
  sim->stages[stage].start = sim->now;
  sim->stages[stage].end = slowed_end(&sim->scenario->devices[device].slowdown, sim->now, length);
  sim->stages[stage].data = data;
  sim->stages[stage].previous = state->last;
  state->running = state->last = stage;
}

static void start_on_slot(simulation *sim, int slot, oracle_kind kind, int device, int round, int iteration,
                          int micro_batch, int64_t length, int data) {
  slot_state *state = &sim->slots[slot];
  DEMAND(length >= 1 && state->running < 0);
  int stage = add_stage(sim, kind, device, round, iteration, micro_batch);
  sim->stages[stage].slot = slot;
  sim->stages[stage].start = sim->now;
  sim->stages[stage].end = sim->now + length;
  sim->stages[stage].data = data;
  sim->stages[stage].previous = state->last;
  state->running = state->last = stage;
}

/* What a slot does for a micro-batch or an update of the iteration that `like` belongs to. */
static void start_server_work(simulation *sim, int slot, oracle_kind kind, oracle_stage like, int data) {
  const oracle_iteration *iteration = &sim->scenario->devices[like.device].iterations[like.iteration];
  const oracle_micro_batch *micro_batch = &iteration->micro_batches[like.micro_batch];
  int64_t length = kind == ORACLE_SERVER_FORWARD           ? micro_batch->server_forward
                   : kind == ORACLE_SERVER_BACKWARD        ? micro_batch->server_backward
                   : kind == ORACLE_SERVER_BACKWARD_INPUT  ? micro_batch->server_backward
                   : kind == ORACLE_SERVER_BACKWARD_WEIGHT ? micro_batch->server_backward_weight
                                                           : iteration->server_update;
  if (sim->scenario->policy == ORACLE_SPACE_SHARE)
    length *= sim->scenario->device_count;
  start_on_slot(sim, slot, kind, like.device, like.round, like.iteration,
                kind == ORACLE_SERVER_UPDATE ? -1 : like.micro_batch, length, data);
}

static void make_ready(simulation *sim, oracle_kind kind, int device, int round, int iteration, int micro_batch,
                       int64_t bytes, int producer) {
  DEMAND(bytes >= 1);
  int stage = add_stage(sim, kind, device, round, iteration, micro_batch);
  sim->stages[stage].bytes = bytes;
  sim->stages[stage].producer = producer;
  list_add(&link_of(sim, device, kind)->waiting, stage);
}

/* The device's compute unit, when free, begins what its schedule lets it begin. */
static void start_device(simulation *sim, int device) {
  const oracle_scenario *scenario = sim->scenario;
  device_state *state = &sim->devices[device];
  if (state->running >= 0 || !state->has_model || state->iteration == scenario->devices[device].iteration_count)
    return;
  const oracle_iteration *iteration = iteration_in_hand(sim, device);
  int count = iteration->micro_batch_count;
  bool gradient_is_there =
      state->backwards < count &&
      (scenario->method == ORACLE_FL ? state->forwards == count : state->backwards < state->gradients.count);
  bool may_go_forward = state->forwards < count;
  bool may_go_backward = gradient_is_there && state->forwards == count;
  if (scenario->method == ORACLE_1F1B) {
    may_go_backward = gradient_is_there;
    may_go_forward = may_go_forward && !gradient_is_there &&
                     state->forwards - state->backwards < scenario->devices[device].in_flight;
  }
  if (state->backwards == count) {
    start_on_device(sim, device, ORACLE_DEVICE_UPDATE, -1, iteration->device_update, -1);
  } else if (may_go_forward) {
    bool first_of_model = state->forwards == 0 && state->model_in >= 0;
    start_on_device(sim, device, ORACLE_FORWARD, state->forwards, iteration->micro_batches[state->forwards].forward,
                    first_of_model ? state->model_in : -1);
    state->model_in = -1;
  } else if (may_go_backward) {
    start_on_device(sim, device, ORACLE_BACKWARD, state->backwards, iteration->micro_batches[state->backwards].backward,
                    scenario->method == ORACLE_FL ? -1 : state->gradients.items[state->backwards]);
  }
}

/* Of two waiting transfers, the one the link takes first: ready first, then lower micro-batch, then upload. */
static bool goes_first(const oracle_stage *a, const oracle_stage *b) {
  if (a->ready != b->ready)
    return a->ready < b->ready;
  if (a->micro_batch != b->micro_batch)
    return a->micro_batch < b->micro_batch;
  return goes_up(a->kind) && !goes_up(b->kind);
}

static void start_link(simulation *sim, link_state *link) {
  if (link->running >= 0 || link->waiting.count == 0)
    return;
  int first = 0;
  for (int place = 1; place < link->waiting.count; place++)
    if (goes_first(&sim->stages[link->waiting.items[place]], &sim->stages[link->waiting.items[first]]))
      first = place;
  int stage = link->waiting.items[first];
  list_remove_at(&link->waiting, first);
  sim->stages[stage].start = sim->now;
  sim->stages[stage].previous = link->last;
  link->left = (wide)sim->stages[stage].bytes * 8 * 1000000000;
  link->running = link->last = stage;
}

static int64_t device_work(const oracle_iteration *iteration) {
  int64_t work = iteration->device_update;
  for (int micro_batch = 0; micro_batch < iteration->micro_batch_count; micro_batch++)
    work += iteration->micro_batches[micro_batch].forward + iteration->micro_batches[micro_batch].backward;
  return work;
}

/* What the device has left to compute in the round after the micro-batch of this upload: the stages listed after it. A
 * forward is listed after the backward that makes room for it. */
static int64_t left_after(const simulation *sim, const oracle_stage *upload) {
  const oracle_device *device = &sim->scenario->devices[upload->device];
  const oracle_iteration *iteration = &device->iterations[upload->iteration];
  int64_t left = iteration->device_update;
  int room = sim->scenario->method == ORACLE_1F1B ? device->in_flight : iteration->micro_batch_count;
  for (int micro_batch = upload->micro_batch; micro_batch < iteration->micro_batch_count; micro_batch++)
    left += iteration->micro_batches[micro_batch].backward;
  for (int micro_batch = upload->micro_batch + room; micro_batch < iteration->micro_batch_count; micro_batch++)
    left += iteration->micro_batches[micro_batch].forward;
  for (int later = upload->iteration + 1; later < device->iteration_count; later++)
    if (round_of(device, later) == upload->round)
      left += device_work(&device->iterations[later]);
  return left;
}

/* The device whose micro-batch the slot takes, or -1: among those that can start, the one that arrived first; by
 * priority the one whose device has the most left. */
static int device_for_slot(simulation *sim, int slot) {
  int best = -1;
  int64_t best_key = never;
  for (int device = 0; device < sim->scenario->device_count; device++) {
    const list *arrived = &sim->devices[device].activations;
    if (arrived->count == 0 || *replica_of(sim, device))
      continue;
    if (sim->scenario->policy == ORACLE_SPACE_SHARE && slot != device)
      continue;
    const oracle_stage *upload = &sim->stages[arrived->items[0]];
    int64_t key = sim->scenario->policy == ORACLE_PRIORITY ? -left_after(sim, upload) : upload->arrival;
    if (key < best_key) {
      best = device;
      best_key = key;
    }
  }
  return best;
}

static void start_slots(simulation *sim) {
  for (int slot = 0; slot < sim->scenario->slots; slot++) {
    int device = sim->slots[slot].running < 0 ? device_for_slot(sim, slot) : -1;
    if (device < 0)
      continue;
    int upload = sim->devices[device].activations.items[0];
    list_remove_at(&sim->devices[device].activations, 0);
    *replica_of(sim, device) = true;
    start_server_work(sim, slot, ORACLE_SERVER_FORWARD, sim->stages[upload], upload);
  }
}

/* ---- devices that come and go ---- */

static bool is_present(const simulation *sim, int device) {
  const oracle_device *facts = &sim->scenario->devices[device];
  return facts->arrives <= sim->now && (facts->departs == 0 || sim->now < facts->departs);
}

static void begin_round(simulation *sim) {
  round_log *log = &sim->log[sim->round];
  log->begin = sim->now;
  log->visits = zeroed(sim->scenario->device_count, sizeof *log->visits);
  sim->began = 0;
  sim->is_open = true;
  sim->nobody = false;
  for (int device = 0; device < sim->scenario->device_count; device++) {
    device_state *state = &sim->devices[device];
    const oracle_device *facts = &sim->scenario->devices[device];
    state->takes_part = is_present(sim, device);
    state->is_cut = false;
    log->visits[device] = (visit){.takes_part = state->takes_part, .cut = never, .download = -1, .own = -1};
    if (!state->takes_part)
      continue;
    sim->began++;
    state->iteration = sim->round * facts->iterations_per_round;
    state->forwards = state->backwards = 0;
    state->gradients.count = state->activations.count = 0;
    state->model_in = state->model_out = -1;
    state->has_model = sim->now == 0;
    if (sim->now == 0)
      continue;
    log->visits[device].download = sim->stage_count;
    make_ready(sim, ORACLE_MODEL_DOWNLOAD, device, sim->round, -1, -1, facts->model_download_bytes, -1);
  }
}

/* The device does nothing more: what it has under way ends here and brings nothing. */
static void cut_device(simulation *sim, int device) {
  device_state *state = &sim->devices[device];
  if (state->running >= 0)
    sim->stages[state->running].end = sim->now;
  state->running = -1;
  state->has_model = false;
  state->is_cut = true;
  state->activations.count = 0;
  for (int link = 2 * device; link < 2 * device + 2; link++) {
    int running = sim->links[link].running;
    if (running >= 0) {
      sim->stages[running].end = sim->stages[running].arrival = sim->now;
      sim->stages[running].bytes = 0;
    }
    sim->links[link].running = -1;
    sim->links[link].waiting.count = 0;
  }
  for (int place = 0; place < sim->flying.count;) {
    oracle_stage *stage = &sim->stages[sim->flying.items[place]];
    if (stage->device != device) {
      place++;
      continue;
    }
    stage->arrival = sim->now;
    list_remove_at(&sim->flying, place);
  }
}

static void cut_in_round(simulation *sim, int device, bool silent) {
  cut_device(sim, device);
  sim->log[sim->round].visits[device].cut = sim->now;
  sim->log[sim->round].visits[device].silent = silent;
}

static bool has_sent_its_model(const simulation *sim, int device) {
  for (int stage = 0; stage < sim->stage_count; stage++) {
    const oracle_stage *at = &sim->stages[stage];
    if (at->kind == ORACLE_MODEL_UPLOAD && at->device == device && at->round == sim->round && at->end <= sim->now)
      return true;
  }
  return false;
}

static void cut_who_leaves(simulation *sim) {
  for (int device = 0; device < sim->scenario->device_count; device++) {
    device_state *state = &sim->devices[device];
    const oracle_device *facts = &sim->scenario->devices[device];
    bool leaves = facts->departs > 0 && facts->departs == sim->now;
    if (!sim->is_open) {
      if (leaves)
        cut_device(sim, device);
      continue;
    }
    if (!state->takes_part || state->is_cut || state->model_out >= 0)
      continue;
    if (leaves && !has_sent_its_model(sim, device)) {
      cut_in_round(sim, device, false);
      continue;
    }
    int of_round = state->iteration - sim->round * facts->iterations_per_round;
    bool begins = state->has_model && state->running < 0 && state->forwards == 0 && state->backwards == 0;
    if (begins && facts->silent_at != NULL && facts->silent_at[sim->round] == of_round)
      cut_in_round(sim, device, true);
  }
}

static int64_t deadline_of(const simulation *sim) {
  if (sim->scenario->deadline > 0)
    return sim->log[sim->round].begin + sim->scenario->deadline;
  return sim->scenario->min_devices > 0 ? sim->log[sim->round].begin : never;
}

/* Whether the aggregate is due; who is late is cut. */
static void decide(simulation *sim) {
  int there = 0, may_come = 0;
  if (!sim->is_open)
    return;
  for (int device = 0; device < sim->scenario->device_count; device++) {
    const device_state *state = &sim->devices[device];
    bool is_there = state->takes_part && state->model_out >= 0;
    there += is_there;
    may_come += state->takes_part && !state->is_cut && !is_there;
  }
  int needed = sim->scenario->min_devices > 0 ? sim->scenario->min_devices : 1;
  if (needed > sim->began)
    needed = sim->began;
  bool by_deadline = sim->now >= deadline_of(sim) && (there >= needed || there + may_come < needed);
  if (there < sim->began && !by_deadline)
    return;
  for (int device = 0; device < sim->scenario->device_count; device++) {
    device_state *state = &sim->devices[device];
    if (state->takes_part && !state->is_cut && state->model_out < 0)
      cut_in_round(sim, device, false);
    if (state->takes_part)
      sim->log[sim->round].visits[device].own = state->model_out;
  }
  sim->is_open = false;
  sim->is_due = true;
  sim->log[sim->round].aggregate = -1;

  sim->due = sim->now;
}

static void start_partial_aggregate(simulation *sim) {
  if (!sim->is_due || sim->slots[0].running >= 0)
    return;
  int last = -1;
  for (int device = 0; device < sim->scenario->device_count; device++) {
    int own = sim->log[sim->round].visits[device].own;
    if (own < 0)
      continue;
    if (*replica_of(sim, device))
      return;
    if (last < 0 || sim->stages[own].arrival > sim->stages[last].arrival)
      last = own;
  }
  sim->is_due = false;
  sim->log[sim->round].aggregate = sim->stage_count;
  start_on_slot(sim, 0, ORACLE_AGGREGATE, -1, sim->round, -1, -1, sim->scenario->aggregate, last);
  sim->stages[sim->log[sim->round].aggregate].ready = sim->due;
}

static void end_partial_aggregate(simulation *sim) {
  sim->round++;
  bool anybody = false;
  for (int device = 0; device < sim->scenario->device_count; device++)
    anybody |= is_present(sim, device);
  if (sim->round < sim->round_count) {
    sim->nobody = !anybody;
    if (anybody)
      begin_round(sim);
    return;
  }
  for (int device = 0; device < sim->scenario->device_count; device++)
    if (is_present(sim, device)) {
      sim->last_models[device] = sim->stage_count;
      make_ready(sim, ORACLE_MODEL_DOWNLOAD, device, sim->round - 1, -1, -1,
                 sim->scenario->devices[device].model_download_bytes, -1);
    }
}

/* ---- nobody waits for the others ---- */

static int rounds_of(const oracle_device *device) {
  return (device->iteration_count + device->iterations_per_round - 1) / device->iterations_per_round;
}

static void send_newest_model(simulation *sim, int device, int producer) {
  const oracle_device *facts = &sim->scenario->devices[device];
  device_state *state = &sim->devices[device];
  state->wants_model = false;
  state->version = sim->aggregate_count;
  make_ready(sim, ORACLE_MODEL_DOWNLOAD, device, sim->stages[state->model_out_at_all].round, -1, -1,
             facts->model_download_bytes, producer);
}

static void end_async_aggregate(simulation *sim, int aggregate) {
  sim->aggregates[sim->aggregate_count++] = aggregate;
  sim->aggregates_now = false;
  bool was_last = sim->taken_count == sim->update_count;
  for (int device = 0; device < sim->scenario->device_count; device++)
    if (sim->devices[device].wants_model || was_last)
      send_newest_model(sim, device, aggregate);
}

/* Updates that are complete by now, whether they make an aggregate due, and models for those that need not wait. */
static void collect_updates(simulation *sim) {
  const oracle_scenario *scenario = sim->scenario;
  for (int device = 0; device < scenario->device_count; device++) {
    device_state *state = &sim->devices[device];
    if (state->model_out < 0 || sim->replica_busy[device])
      continue;
    int local_round = sim->stages[state->model_out].round;
    sim->updates[sim->complete_count++] = (oracle_update){device, local_round, state->version};
    state->model_out_at_all = state->model_out;
    state->model_out = -1;
    state->wants_model = local_round + 1 < rounds_of(&scenario->devices[device]);
  }
  int in_buffer = sim->complete_count - sim->taken_count;
  bool all_are_complete = sim->complete_count == sim->update_count;
  if (!sim->aggregates_now && !sim->wants_aggregate)
    sim->wants_aggregate = in_buffer >= scenario->buffer || (in_buffer > 0 && all_are_complete);
  if (sim->wants_aggregate && sim->slots[0].running < 0) {
    int takes = in_buffer < scenario->buffer ? in_buffer : scenario->buffer;
    sim->taken_count += takes;
    sim->wants_aggregate = false;
    sim->aggregates_now = true;
    oracle_update last = sim->updates[sim->taken_count - 1];
    int model = -1;
    for (int stage = 0; stage < sim->stage_count; stage++)
      if (sim->stages[stage].kind == ORACLE_MODEL_UPLOAD && sim->stages[stage].device == last.device &&
          sim->stages[stage].round == last.local_round)
        model = stage;
    start_on_slot(sim, 0, ORACLE_AGGREGATE, -1, sim->aggregate_count, -1, -1, scenario->aggregate, model);
  }
  for (int device = 0; device < scenario->device_count && !sim->aggregates_now && !sim->wants_aggregate; device++)
    if (sim->devices[device].wants_model)
      send_newest_model(sim, device, sim->devices[device].model_out_at_all);
}

/* Arrivals, departures and silences of this instant. */
static void come_and_go(simulation *sim) {
  if (sim->scenario->buffer > 0)
    collect_updates(sim);
  if (!sim->scenario->presence)
    return;
  cut_who_leaves(sim);
  for (int device = 0; device < sim->scenario->device_count && sim->nobody; device++)
    if (is_present(sim, device))
      begin_round(sim);
  cut_who_leaves(sim);
  decide(sim);
}

static void start_aggregate(simulation *sim) {
  if (sim->scenario->buffer > 0)
    return; /* it went first */
  if (sim->scenario->presence) {
    start_partial_aggregate(sim);
    return;
  }
  if (sim->scenario->method == ORACLE_SL || sim->round == sim->round_count || sim->slots[0].running >= 0)
    return;
  int last_model = -1;
  for (int device = 0; device < sim->scenario->device_count; device++) {
    int model = sim->devices[device].model_out;
    if (model < 0 || *replica_of(sim, device))
      return;
    if (last_model < 0 || sim->stages[model].arrival > sim->stages[last_model].arrival)
      last_model = model;
  }
  for (int device = 0; device < sim->scenario->device_count; device++)
    sim->devices[device].model_out = -1;
  start_on_slot(sim, 0, ORACLE_AGGREGATE, -1, sim->round, -1, -1, sim->scenario->aggregate, last_model);
  sim->round++;
}

/* ---- ending ---- */

static void end_on_device(simulation *sim, int device) {
  const oracle_device *facts = &sim->scenario->devices[device];
  device_state *state = &sim->devices[device];
  int ended = state->running;
  oracle_stage stage = sim->stages[ended];
  state->running = -1;
  if (stage.kind == ORACLE_FORWARD) {
    state->forwards++;
    if (sim->scenario->method != ORACLE_FL)
      make_ready(sim, ORACLE_UPLOAD, device, stage.round, stage.iteration, stage.micro_batch,
                 iteration_in_hand(sim, device)->micro_batches[stage.micro_batch].upload_bytes, ended);
  } else if (stage.kind == ORACLE_BACKWARD) {
    state->backwards++;
  } else {
    state->iteration++;
    state->forwards = state->backwards = 0;
    state->gradients.count = 0;
    bool round_is_over = state->iteration == facts->iteration_count || round_of(facts, state->iteration) != stage.round;
    if (round_is_over) {
      state->has_model = false;
      make_ready(sim, ORACLE_MODEL_UPLOAD, device, stage.round, -1, -1, facts->model_upload_bytes, ended);
    }
  }
}

static void end_on_slot(simulation *sim, int slot) {
  const oracle_scenario *scenario = sim->scenario;
  int ended = sim->slots[slot].running;
  oracle_stage stage = sim->stages[ended];
  sim->slots[slot].running = -1;
  if (stage.kind == ORACLE_AGGREGATE && scenario->presence) {
    end_partial_aggregate(sim);
    return;
  }
  if (stage.kind == ORACLE_AGGREGATE && scenario->buffer > 0) {
    end_async_aggregate(sim, ended);
    return;
  }
  if (stage.kind == ORACLE_AGGREGATE) {
    for (int device = 0; device < scenario->device_count; device++)
      make_ready(sim, ORACLE_MODEL_DOWNLOAD, device, stage.round, -1, -1,
                 scenario->devices[device].model_download_bytes, ended);
    return;
  }
  if (stage.kind == ORACLE_SERVER_UPDATE) {
    *replica_of(sim, stage.device) = false;
    return;
  }
  const oracle_iteration *iteration = &scenario->devices[stage.device].iterations[stage.iteration];
  if (stage.kind == ORACLE_SERVER_FORWARD) {
    bool split = scenario->method == ORACLE_BW_SPLIT;
    start_server_work(sim, slot, split ? ORACLE_SERVER_BACKWARD_INPUT : ORACLE_SERVER_BACKWARD, stage, -1);
    return;
  }
  bool lost = scenario->presence && (!sim->is_open || stage.round != sim->round || sim->devices[stage.device].is_cut);
  if (!lost && (stage.kind == ORACLE_SERVER_BACKWARD || stage.kind == ORACLE_SERVER_BACKWARD_INPUT))
    make_ready(sim, ORACLE_DOWNLOAD, stage.device, stage.round, stage.iteration, stage.micro_batch,
               iteration->micro_batches[stage.micro_batch].download_bytes, ended);
  if (stage.kind == ORACLE_SERVER_BACKWARD_INPUT)
    start_server_work(sim, slot, ORACLE_SERVER_BACKWARD_WEIGHT, stage, -1);
  else if (stage.micro_batch == iteration->micro_batch_count - 1)
    start_server_work(sim, slot, ORACLE_SERVER_UPDATE, stage, -1);
  else
    *replica_of(sim, stage.device) = false;
}

static void end_on_link(simulation *sim, link_state *link) {
  oracle_stage *stage = &sim->stages[link->running];
  const oracle_device *facts = &sim->scenario->devices[stage->device];
  stage->end = sim->now;
  stage->arrival = sim->now + (goes_up(stage->kind) ? facts->up_latency : facts->down_latency);
  list_add(&sim->flying, link->running);
  link->running = -1;
}

static void arrive(simulation *sim, int transfer) {
  const oracle_scenario *scenario = sim->scenario;
  oracle_stage stage = sim->stages[transfer];
  device_state *state = &sim->devices[stage.device];
  switch (stage.kind) {
  case ORACLE_UPLOAD:
    list_add(&state->activations, transfer);
    break;
  case ORACLE_DOWNLOAD:
    list_add(&state->gradients, transfer);
    break;
  case ORACLE_MODEL_DOWNLOAD:
    state->has_model = !scenario->presence || sim->is_open;
    state->model_in = transfer;
    break;
  case ORACLE_MODEL_UPLOAD:
    state->model_out = transfer;
    if (scenario->method == ORACLE_SL) {
      int next = (stage.device + 1) % scenario->device_count;
      if (next > 0 || stage.round + 1 < sim->round_count)
        make_ready(sim, ORACLE_MODEL_DOWNLOAD, next, stage.round, -1, -1, scenario->devices[next].model_download_bytes,
                   transfer);
    }
    break;
  default:
    DEMAND(is_transfer(stage.kind));
  }
}

/* ---- links in time ---- */

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t own_rate(const simulation *sim, const link_state *link, int64_t *until) {
  const oracle_stage *stage = &sim->stages[link->running];
  const oracle_device *facts = &sim->scenario->devices[stage->device];
  return rate_at(goes_up(stage->kind) ? &facts->up : &facts->down, sim->now, until);
}

static bool goes(const simulation *sim, const link_state *link, bool up) {
  return link->running >= 0 && goes_up(sim->stages[link->running].kind) == up;
}

/* What the transfers under way in a direction would carry together if none had more than `level`. */
static wide carried_at(const simulation *sim, bool up, int64_t level) {
  wide sum = 0;
  for (int place = 0; place < 2 * sim->scenario->device_count; place++)
    if (goes(sim, &sim->links[place], up))
      sum += earlier(sim->links[place].own, level);
  return sum;
}

/* How many transfers of the direction come before this one when single bits are given away above the level. */
static int before_it(const simulation *sim, const link_state *link, bool up) {
  int before = 0;
  for (int place = 0; place < 2 * sim->scenario->device_count; place++) {
    const link_state *other = &sim->links[place];
    if (other != link && goes(sim, other, up))
      before += other->own > link->own ||
                (other->own == link->own && sim->stages[other->running].device > sim->stages[link->running].device);
  }
  return before;
}

/* The highest level at which all fit into the server's rate. */
static int64_t find_level(const simulation *sim, bool up, int64_t rate) {
  int64_t level = 0, too_high = rate + 1;
  while (too_high - level > 1) {
    int64_t middle = level + (too_high - level) / 2;
    if (carried_at(sim, up, middle) <= rate)
      level = middle;
    else
      too_high = middle;
  }
  return level;
}

/* The rates of the direction's transfers from now on, and until when no trace that they depend on changes. */
static void share(simulation *sim, bool up, const oracle_trace *shared) {
  int64_t change = never, rate = rate_at(shared, sim->now, &change);
  for (int place = 0; place < 2 * sim->scenario->device_count; place++)
    if (goes(sim, &sim->links[place], up))
      change = earlier(change, sim->links[place].until);
  bool all_fit = carried_at(sim, up, never) <= rate;
  int64_t level = all_fit ? never : find_level(sim, up, rate);
  int64_t left = all_fit ? 0 : rate - (int64_t)carried_at(sim, up, level);
  for (int place = 0; place < 2 * sim->scenario->device_count; place++) {
    link_state *link = &sim->links[place];
    if (!goes(sim, link, up))
      continue;
    link->until = change;
    link->rate = earlier(link->own, level) + (link->own > level && before_it(sim, link, up) < left ? 1 : 0);
  }
}

static void set_rates(simulation *sim) {
  for (int place = 0; place < 2 * sim->scenario->device_count; place++)
    if (sim->links[place].running >= 0)
      sim->links[place].rate = sim->links[place].own = own_rate(sim, &sim->links[place], &sim->links[place].until);
  if (sim->scenario->shared_up.count == 0)
    return;
  share(sim, true, &sim->scenario->shared_up);
  share(sim, false, &sim->scenario->shared_down);
}

/* When the link's transfer ends, or its rate may change, whichever comes first. */
static int64_t link_next(const simulation *sim, const link_state *link) {
  if (link->rate == 0)
    return link->until;
  wide length = (link->left + link->rate - 1) / link->rate;
  return length < (wide)(link->until - sim->now) ? sim->now + (int64_t)length : link->until;
}

static void link_advance(const simulation *sim, link_state *link, int64_t to) {
  link->left -= (wide)link->rate * (to - sim->now);
  DEMAND(to <= link->until);
}

/* ---- the loop ---- */

static int link_count(const simulation *sim) { return 2 * sim->scenario->device_count; }

/* First everything that ends or arrives now has ended or arrived. */
static void end_everything(simulation *sim) {
  for (int device = 0; device < sim->scenario->device_count; device++)
    if (sim->devices[device].running >= 0 && sim->stages[sim->devices[device].running].end == sim->now)
      end_on_device(sim, device);
  for (int slot = 0; slot < sim->scenario->slots; slot++)
    if (sim->slots[slot].running >= 0 && sim->stages[sim->slots[slot].running].end == sim->now)
      end_on_slot(sim, slot);
  for (int link = 0; link < link_count(sim); link++)
    if (sim->links[link].running >= 0 && sim->links[link].left <= 0)
      end_on_link(sim, &sim->links[link]);
  for (int place = 0; place < sim->flying.count;) {
    int transfer = sim->flying.items[place];
    if (sim->stages[transfer].arrival == sim->now) {
      list_remove_at(&sim->flying, place);
      arrive(sim, transfer);
    } else {
      place++;
    }
  }
}

/* Then whatever can start starts; nothing that starts now can end now. */
static void start_everything(simulation *sim) {
  for (int device = 0; device < sim->scenario->device_count; device++)
    start_device(sim, device);
  for (int link = 0; link < link_count(sim); link++)
    start_link(sim, &sim->links[link]);
  start_slots(sim);
  start_aggregate(sim);
}

/* The next departure that cuts something, arrival that is waited for, or deadline. */
static int64_t next_change(const simulation *sim) {
  int64_t next = never;
  for (int device = 0; device < sim->scenario->device_count; device++) {
    const oracle_device *facts = &sim->scenario->devices[device];
    bool busy = sim->links[2 * device].running >= 0 || sim->links[2 * device + 1].running >= 0;
    for (int place = 0; place < sim->flying.count; place++)
      busy |= sim->stages[sim->flying.items[place]].device == device;
    if (facts->departs > sim->now && (sim->is_open || busy))
      next = earlier(next, facts->departs);
    if (sim->nobody && facts->arrives > sim->now)
      next = earlier(next, facts->arrives);
  }
  if (sim->is_open && deadline_of(sim) > sim->now)
    next = earlier(next, deadline_of(sim));
  return next;
}

static int64_t next_instant(const simulation *sim) {
  int64_t next = sim->scenario->presence ? next_change(sim) : never;
  for (int device = 0; device < sim->scenario->device_count; device++)
    if (sim->devices[device].running >= 0)
      next = earlier(next, sim->stages[sim->devices[device].running].end);
  for (int slot = 0; slot < sim->scenario->slots; slot++)
    if (sim->slots[slot].running >= 0)
      next = earlier(next, sim->stages[sim->slots[slot].running].end);
  for (int link = 0; link < link_count(sim); link++)
    if (sim->links[link].running >= 0)
      next = earlier(next, link_next(sim, &sim->links[link]));
  for (int place = 0; place < sim->flying.count; place++)
    next = earlier(next, sim->stages[sim->flying.items[place]].arrival);
  return next;
}

static void simulate(simulation *sim) {
  for (;;) {
    end_everything(sim);
    come_and_go(sim);
    start_everything(sim);
    set_rates(sim);
    int64_t next = next_instant(sim);
    if (next == never)
      break;
    DEMAND(next > sim->now);
    for (int link = 0; link < link_count(sim); link++)
      if (sim->links[link].running >= 0)
        link_advance(sim, &sim->links[link], next);
    sim->now = next;
  }
  for (int device = 0; device < sim->scenario->device_count && !sim->scenario->presence; device++)
    DEMAND(sim->devices[device].iteration == sim->scenario->devices[device].iteration_count);
  for (int link = 0; link < link_count(sim); link++)
    DEMAND(sim->links[link].running < 0 && sim->links[link].waiting.count == 0);
}

/* ---- why resources were idle ---- */

/* A walk back through a gap: `here` moves from the gap's end towards its start. */
typedef struct walk {
  const oracle_stage *stages;
  int64_t gap_start, here;
  int64_t *causes;
} walk;

/* Goes back to `to`; what of it lies in the gap is because of `cause`. */
static void go_back(walk *w, int64_t to, oracle_cause cause) {
  DEMAND(to <= w->here);
  if (to < w->gap_start)
    to = w->gap_start;
  w->causes[cause] += w->here - to;
  w->here = to;
}

static bool gap_is_explained(const walk *w) { return w->here == w->gap_start; }

static oracle_cause cause_of_compute(oracle_kind kind) {
  if (kind == ORACLE_AGGREGATE)
    return ORACLE_CAUSE_AGGREGATION;
  bool on_device = kind == ORACLE_FORWARD || kind == ORACLE_BACKWARD || kind == ORACLE_DEVICE_UPDATE;
  return on_device ? ORACLE_CAUSE_DEVICE_COMPUTE : ORACLE_CAUSE_SERVER_COMPUTE;
}

/* The model_upload of a device in a round. */
static int own_model(const simulation *sim, int device, int round) {
  for (int stage = 0; stage < sim->stage_count; stage++)
    if (sim->stages[stage].kind == ORACLE_MODEL_UPLOAD && sim->stages[stage].device == device &&
        sim->stages[stage].round == round)
      return stage;
  DEMAND(false);
  return -1;
}

/* Where devices come and go: over an aggregate's wait, or a model's way to a device, and what lies before the round. */
static int before_round(const simulation *sim, walk *w, const oracle_stage *at) {
  const round_log *log = &sim->log[at->round];
  if (at->kind == ORACLE_AGGREGATE) {
    go_back(w, at->ready, ORACLE_CAUSE_SERVER_QUEUE);
    go_back(w, at->data >= 0 ? w->stages[at->data].arrival : log->begin, ORACLE_CAUSE_AGGREGATION);
    if (at->data >= 0)
      return at->data;
  } else {
    go_back(w, at->end, ORACLE_CAUSE_LATENCY);
    go_back(w, at->start, ORACLE_CAUSE_DOWNLOAD);
  }
  if (gap_is_explained(w))
    return -1;
  DEMAND(w->here == log->begin);
  if (at->round == 0) {
    go_back(w, 0, ORACLE_CAUSE_ABSENT);
    return -1;
  }
  const oracle_stage *previous = &w->stages[log[-1].aggregate];
  go_back(w, previous->end, ORACLE_CAUSE_ABSENT);
  go_back(w, previous->start, ORACLE_CAUSE_AGGREGATION);
  return log[-1].aggregate;
}

/* Explains the gap that ends at `gap_end`: the start of compute stage `stage`, or the arrival of transfer `stage`.
 * `device`: whose walk it is; -1: a slot's. */
static void explain_gap(const simulation *sim, int stage, int device, int64_t gap_start, int64_t gap_end,
                        int64_t *causes) {
  walk w = {sim->stages, gap_start, gap_end, causes};
  while (!gap_is_explained(&w)) {
    DEMAND(stage >= 0);
    const oracle_stage *at = &w.stages[stage];
    if (sim->scenario->presence && (at->kind == ORACLE_AGGREGATE || at->kind == ORACLE_MODEL_DOWNLOAD)) {
      stage = before_round(sim, &w, at);
      continue;
    }
    int before; /* what the walk goes over next; it ended or arrived `here` */
    if (is_transfer(at->kind)) {
      if (w.here > at->end)
        go_back(&w, at->end, ORACLE_CAUSE_LATENCY);
      go_back(&w, at->start, goes_up(at->kind) ? ORACLE_CAUSE_UPLOAD : ORACLE_CAUSE_DOWNLOAD);
      if (gap_is_explained(&w))
        break;
      bool waited = at->start > at->ready;
      before = waited ? at->previous : at->producer;
      DEMAND(before >= 0);
      if (!waited && device >= 0 && w.stages[before].kind == ORACLE_AGGREGATE) {
        DEMAND(at->device == device);
        before = own_model(sim, device, at->round);
        go_back(&w, w.stages[before].arrival, ORACLE_CAUSE_AGGREGATION);
      } else if (!waited && w.stages[before].kind == ORACLE_MODEL_UPLOAD && w.stages[before].device == at->device) {
        /* The model came at once, when the replica was idle. */
        if (w.stages[before].arrival < w.here)
          go_back(&w, w.stages[before].arrival, device >= 0 ? ORACLE_CAUSE_AGGREGATION : ORACLE_CAUSE_SERVER_QUEUE);
      }
    } else if (at->kind == ORACLE_SERVER_FORWARD || at->kind == ORACLE_AGGREGATE) {
      before = at->data;
      go_back(&w, w.stages[before].arrival, ORACLE_CAUSE_SERVER_QUEUE);
    } else {
      bool started_by_data = at->data >= 0 && w.stages[at->data].arrival == at->start;
      before = started_by_data ? at->data : at->previous;
      DEMAND(before >= 0);
    }
    if (!gap_is_explained(&w)) {
      const oracle_stage *next = &w.stages[before];
      DEMAND(w.here == next->end || w.here == next->arrival);
      if (!is_transfer(next->kind))
        go_back(&w, next->start, cause_of_compute(next->kind));
    }
    stage = before;
  }
}

/* Busy, idle and causes of the compute unit whose stages are `on`. `last_event`: what of it comes after its last
 * stage, a transfer, or -1. */
static void account(const simulation *sim, const list *on, int device, int last_event, int64_t makespan,
                    oracle_times *out) {
  int64_t until = 0; /* explained so far */
  for (int place = 0; place < on->count; place++) {
    const oracle_stage *stage = &sim->stages[on->items[place]];
    DEMAND(stage->start >= until);
    explain_gap(sim, on->items[place], device, until, stage->start, out->causes);
    out->busy += stage->end - stage->start;
    until = stage->end;
  }
  if (last_event >= 0) {
    explain_gap(sim, last_event, device, until, sim->stages[last_event].arrival, out->causes);
    until = sim->stages[last_event].arrival;
  }
  out->causes[ORACLE_CAUSE_DRAIN] += makespan - until;
  out->idle = makespan - out->busy;
}

/* A device's time from *until to `to`, of which the part in which it was not there is absence. */
static void spend(const oracle_device *facts, int64_t *until, int64_t to, oracle_cause cause, int64_t *causes) {
  for (; *until < to;) {
    bool there = facts->arrives <= *until && (facts->departs == 0 || *until < facts->departs);
    int64_t change = to;
    if (*until < facts->arrives && facts->arrives < change)
      change = facts->arrives;
    if (*until < facts->departs && facts->departs < change)
      change = facts->departs;
    causes[there ? cause : ORACLE_CAUSE_ABSENT] += change - *until;
    *until = change;
  }
}

/* From *until over a model's way down, if it arrived. */
static bool spend_download(const simulation *sim, int download, int64_t cut, int64_t *until, int64_t *causes) {
  if (download < 0)
    return true;
  const oracle_stage *at = &sim->stages[download];
  if (at->arrival > cut || at->bytes == 0 || at->arrival < at->end + sim->scenario->devices[at->device].down_latency)
    return false;
  causes[ORACLE_CAUSE_DOWNLOAD] += at->end - at->start;
  causes[ORACLE_CAUSE_LATENCY] += at->arrival - at->end;
  *until = at->arrival;
  return true;
}

/* As account, for a device where devices come and go. */
static void account_presence(const simulation *sim, int device, int64_t makespan, oracle_times *out) {
  const oracle_device *facts = &sim->scenario->devices[device];
  int64_t until = 0;
  for (int round = 0; round < sim->round; round++) {
    const round_log *log = &sim->log[round];
    const visit *v = &log->visits[device];
    int64_t end = sim->stages[log->aggregate].end;
    spend(facts, &until, log->begin, ORACLE_CAUSE_AGGREGATION, out->causes);
    if (v->takes_part && spend_download(sim, v->download, v->cut, &until, out->causes)) {
      for (int stage = 0; stage < sim->stage_count; stage++) {
        const oracle_stage *at = &sim->stages[stage];
        if (at->device != device || at->slot >= 0 || is_transfer(at->kind) || at->round != round)
          continue;
        explain_gap(sim, stage, device, until, at->start, out->causes);
        out->busy += at->end - at->start;
        until = at->end;
      }
    }
    if (v->own >= 0) {
      int64_t to = facts->departs > 0 && facts->departs < end ? facts->departs : end;
      walk w = {sim->stages, until, to, out->causes};
      const oracle_stage *own = &sim->stages[v->own];
      const int64_t marks[] = {own->arrival, own->end, own->start};
      const oracle_cause why[] = {ORACLE_CAUSE_AGGREGATION, ORACLE_CAUSE_LATENCY, ORACLE_CAUSE_UPLOAD};
      for (int part = 0; part < 3; part++)
        if (marks[part] < w.here)
          go_back(&w, marks[part], why[part]);
      DEMAND(gap_is_explained(&w));
      until = to;
    }
    if (v->silent) {
      spend(facts, &until, v->cut, ORACLE_CAUSE_AGGREGATION, out->causes);
      out->causes[ORACLE_CAUSE_ABSENT] += end - until;
      until = end;
    }
    spend(facts, &until, end, ORACLE_CAUSE_AGGREGATION, out->causes);
  }
  int last = sim->last_models[device];
  if (!spend_download(sim, last, never, &until, out->causes))
    spend(facts, &until, sim->stages[last].arrival, ORACLE_CAUSE_AGGREGATION, out->causes);
  spend(facts, &until, makespan, ORACLE_CAUSE_DRAIN, out->causes);
  out->idle = makespan - out->busy;
}

static int64_t overlap(int64_t a_start, int64_t a_end, int64_t b_start, int64_t b_end) {
  int64_t start = a_start > b_start ? a_start : b_start, end = a_end < b_end ? a_end : b_end;
  return end > start ? end - start : 0;
}

/* The iterations of a device's local round. */
static int iterations_in(const oracle_device *device, int local_round) {
  int iterations = 0;
  for (int iteration = 0; iteration < device->iteration_count; iteration++)
    iterations += round_of(device, iteration) == local_round;
  return iterations;
}

static void report_rounds(const simulation *sim, oracle_result *result) {
  const oracle_scenario *scenario = sim->scenario;
  int64_t previous_end = 0;
  for (int round = 0; round < result->round_count; round++) {
    oracle_round *out = &result->rounds[round];
    for (int update = round * scenario->buffer; update < (round + 1) * scenario->buffer && update < sim->update_count;
         update++) {
      int iterations = iterations_in(&scenario->devices[sim->updates[update].device], sim->updates[update].local_round);
      if (iterations > out->iterations)
        out->iterations = iterations;
    }
    for (int device = 0; device < scenario->device_count && scenario->buffer == 0; device++) {
      int iterations = iterations_in(&scenario->devices[device], round);
      if (iterations > out->iterations)
        out->iterations = iterations;
    }
    /* The last round of sl brings no model down: it ends when its last model is up. */
    for (int stage = 0; stage < sim->stage_count; stage++) {
      oracle_kind kind = sim->stages[stage].kind;
      if ((kind == ORACLE_MODEL_UPLOAD || kind == ORACLE_MODEL_DOWNLOAD) && sim->stages[stage].round == round &&
          sim->stages[stage].arrival > out->end)
        out->end = sim->stages[stage].arrival;
    }
    if (scenario->presence) {
      /* A round ends with its aggregate, the last with the run. */
      out->end = round + 1 < result->round_count ? sim->stages[sim->log[round].aggregate].end : result->makespan;
      for (int device = 0; device < scenario->device_count; device++)
        if (sim->log[round].visits[device].own >= 0)
          out->members |= UINT64_C(1) << device;
    }
    if (scenario->buffer > 0)
      out->end = round + 1 < result->round_count ? sim->stages[sim->aggregates[round]].end : result->makespan;
    out->server_idle = (out->end - previous_end) * scenario->slots;
    out->device_idle = (out->end - previous_end) * scenario->device_count;
    for (int stage = 0; stage < sim->stage_count; stage++) {
      const oracle_stage *at = &sim->stages[stage];
      if (is_transfer(at->kind) || at->start == never)
        continue;
      int64_t busy = overlap(at->start, at->end, previous_end, out->end);
      if (at->slot >= 0)
        out->server_idle -= busy;
      else
        out->device_idle -= busy;
    }
    previous_end = out->end;
  }
}

static void report(const simulation *sim, oracle_result *result) {
  const oracle_scenario *scenario = sim->scenario;
  for (int stage = 0; stage < sim->stage_count; stage++) {
    const oracle_stage *at = &sim->stages[stage];
    if (at->start == never) /* it waited for a link when it was cut */
      continue;
    int64_t over = is_transfer(at->kind) ? at->arrival : at->end;
    if (over > result->makespan)
      result->makespan = over;
  }
  list on = {0};
  for (int device = 0; device < scenario->device_count; device++) {
    int last_event = -1;
    on.count = 0;
    for (int stage = 0; stage < sim->stage_count; stage++) {
      const oracle_stage *at = &sim->stages[stage];
      if (at->device != device || at->slot >= 0 || at->start == never)
        continue;
      if (!is_transfer(at->kind))
        list_add(&on, stage);
      else if (goes_up(at->kind))
        result->devices[device].bytes_up += at->bytes;
      else
        result->devices[device].bytes_down += at->bytes;
      if (at->kind == ORACLE_MODEL_UPLOAD || at->kind == ORACLE_MODEL_DOWNLOAD)
        last_event = stage;
    }
    if (scenario->presence)
      account_presence(sim, device, result->makespan, &result->devices[device]);
    else
      account(sim, &on, device, last_event, result->makespan, &result->devices[device]);
  }
  for (int slot = 0; slot < scenario->slots; slot++) {
    on.count = 0;
    for (int stage = 0; stage < sim->stage_count; stage++)
      if (sim->stages[stage].slot == slot)
        list_add(&on, stage);
    account(sim, &on, -1, -1, result->makespan, &result->slots[slot]);
  }
  free(on.items);
  report_rounds(sim, result);
}

/* From now on a stage's round is that in which it began: between the ends of two aggregates. */
static void number_rounds(const simulation *sim) {
  for (int stage = 0; stage < sim->stage_count; stage++) {
    int round = 0;
    while (round + 1 < sim->aggregate_count && sim->stages[sim->aggregates[round]].end <= sim->stages[stage].start)
      round++;
    sim->stages[stage].round = round;
  }
}

/* Leaves out what never started. */
static void drop_unstarted(oracle_result *result) {
  int kept = 0;
  for (int stage = 0; stage < result->stage_count; stage++)
    if (result->stages[stage].start != never)
      result->stages[kept++] = result->stages[stage];
  result->stage_count = kept;
}

static void demand_end(const oracle_trace *trace) {
  bool flows = false;
  for (int place = 0; place < trace->count; place++)
    flows |= trace->rates[place].bits_per_second > 0;
  DEMAND(trace->period > 0 ? flows : trace->rates[trace->count - 1].bits_per_second > 0);
}

oracle_result oracle_run(const oracle_scenario *scenario) {
  int devices = scenario->device_count;
  DEMAND(devices >= 1 && scenario->slots >= 1);
  DEMAND(scenario->policy != ORACLE_SPACE_SHARE || scenario->slots == devices);
  simulation sim = {.scenario = scenario,
                    .devices = zeroed(devices, sizeof *sim.devices),
                    .links = zeroed(2 * devices, sizeof *sim.links),
                    .slots = zeroed(scenario->slots, sizeof *sim.slots),
                    .replica_busy = zeroed(devices, sizeof *sim.replica_busy),
                    .round_count = rounds_of(&scenario->devices[0])};
  for (int device = 0; device < devices; device++) {
    DEMAND(rounds_of(&scenario->devices[device]) == sim.round_count);
    demand_end(&scenario->devices[device].up);
    demand_end(&scenario->devices[device].down);
    bool starts_with_model = !scenario->presence && (scenario->method != ORACLE_SL || device == 0);
    sim.devices[device] =
        (device_state){.running = -1, .last = -1, .has_model = starts_with_model, .model_in = -1, .model_out = -1};
  }
  for (int link = 0; link < 2 * devices; link++)
    sim.links[link].running = sim.links[link].last = -1;
  for (int slot = 0; slot < scenario->slots; slot++)
    sim.slots[slot] = (slot_state){-1, -1};

  if (scenario->presence) {
    DEMAND(scenario->method != ORACLE_SL);
    sim.log = zeroed(sim.round_count, sizeof *sim.log);
    sim.last_models = zeroed(devices, sizeof *sim.last_models);
    for (int device = 0; device < devices; device++)
      sim.last_models[device] = -1;
    sim.nobody = true;
  }
  if (scenario->buffer > 0) {
    DEMAND(scenario->method != ORACLE_SL && !scenario->presence);
    for (int device = 0; device < devices; device++)
      sim.update_count += rounds_of(&scenario->devices[device]);
    sim.updates = zeroed(sim.update_count, sizeof *sim.updates);
    sim.aggregates = zeroed(sim.update_count, sizeof *sim.aggregates);
    sim.round_count = (sim.update_count + scenario->buffer - 1) / scenario->buffer;
  }
  simulate(&sim);
  DEMAND(scenario->buffer == 0 || sim.aggregate_count == sim.round_count);
  oracle_result result = {.update_count = sim.update_count,
                          .updates = sim.updates,
                          .stage_count = sim.stage_count,
                          .stages = sim.stages,
                          .devices = zeroed(devices, sizeof *result.devices),
                          .slots = zeroed(scenario->slots, sizeof *result.slots),
                          .round_count = scenario->presence ? sim.round : sim.round_count,
                          .rounds = zeroed(sim.round_count, sizeof *result.rounds)};
  report(&sim, &result);
  if (scenario->buffer > 0)
    number_rounds(&sim);
  drop_unstarted(&result);

  for (int device = 0; device < devices; device++) {
    free(sim.devices[device].gradients.items);
    free(sim.devices[device].activations.items);
  }
  for (int link = 0; link < 2 * devices; link++)
    free(sim.links[link].waiting.items);
  free(sim.devices);
  free(sim.links);
  free(sim.slots);
  for (int round = 0; round < sim.round_count && scenario->presence; round++)
    free(sim.log[round].visits);
  free(sim.log);
  free(sim.last_models);
  free(sim.aggregates);
  free(sim.replica_busy);
  free(sim.flying.items);
  return result;
}

void oracle_release(oracle_result *result) {
  free(result->stages);
  free(result->devices);
  free(result->slots);
  free(result->rounds);
  free(result->updates);
  *result = (oracle_result){0};
}

const oracle_stage *oracle_find(const oracle_result *result, oracle_kind kind, int device, int round, int iteration,
                                int micro_batch) {
  for (int stage = 0; stage < result->stage_count; stage++) {
    const oracle_stage *at = &result->stages[stage];
    if (at->kind == kind && at->device == device && at->round == round && at->iteration == iteration &&
        at->micro_batch == micro_batch)
      return at;
  }
  return NULL;
}
