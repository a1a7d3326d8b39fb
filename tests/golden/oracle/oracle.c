#include "oracle_simulation.h"

#include <string.h>

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

void *oracle_zeroed(int count, size_t size) {
  void *memory = calloc((size_t)count + 1, size);
  DEMAND(memory != NULL);
  return memory;
}

void oracle_list_add(list *to, int item) {
  if (to->count == to->room) {
    to->room = to->room * 2 + 4;
    to->items = realloc(to->items, (size_t)to->room * sizeof *to->items);
    DEMAND(to->items != NULL);
  }
  to->items[to->count++] = item;
}

void oracle_list_remove_at(list *from, int place) {
  from->count--;
  memmove(from->items + place, from->items + place + 1, (size_t)(from->count - place) * sizeof *from->items);
}

static const oracle_iteration *iteration_in_hand(const simulation *sim, int device) {
  return &sim->scenario->devices[device].iterations[sim->devices[device].iteration];
}

int oracle_round_of(const oracle_device *device, int iteration) { return iteration / device->iterations_per_round; }

static link_state *link_of(simulation *sim, int device, oracle_kind kind) {
  bool first = goes_up(kind) || sim->scenario->devices[device].half_duplex;
  return &sim->links[2 * device + (first ? 0 : 1)];
}

bool *oracle_replica_of(simulation *sim, int device) {
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
int64_t oracle_rate_at(const oracle_trace *trace, int64_t now, int64_t *until) {
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
    int64_t until = never, factor = oracle_rate_at(slowdown, now, &until);
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
  int stage = add_stage(sim, kind, device, oracle_round_of(&sim->scenario->devices[device], state->iteration),
                        state->iteration, micro_batch);
  sim->stages[stage].start = sim->now;
  sim->stages[stage].end = slowed_end(&sim->scenario->devices[device].slowdown, sim->now, length);
  sim->stages[stage].data = data;
  sim->stages[stage].previous = state->last;
  state->running = state->last = stage;
}

void oracle_start_on_slot(simulation *sim, int slot, oracle_kind kind, int device, int round, int iteration,
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
  oracle_start_on_slot(sim, slot, kind, like.device, like.round, like.iteration,
                       kind == ORACLE_SERVER_UPDATE ? -1 : like.micro_batch, length, data);
}

void oracle_make_ready(simulation *sim, oracle_kind kind, int device, int round, int iteration, int micro_batch,
                       int64_t bytes, int producer) {
  DEMAND(bytes >= 1);
  int stage = add_stage(sim, kind, device, round, iteration, micro_batch);
  sim->stages[stage].bytes = bytes;
  sim->stages[stage].producer = producer;
  oracle_list_add(&link_of(sim, device, kind)->waiting, stage);
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
  oracle_list_remove_at(&link->waiting, first);
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
    if (oracle_round_of(device, later) == upload->round)
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
    if (arrived->count == 0 || *oracle_replica_of(sim, device))
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
    oracle_list_remove_at(&sim->devices[device].activations, 0);
    *oracle_replica_of(sim, device) = true;
    start_server_work(sim, slot, ORACLE_SERVER_FORWARD, sim->stages[upload], upload);
  }
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
      oracle_make_ready(sim, ORACLE_UPLOAD, device, stage.round, stage.iteration, stage.micro_batch,
                        iteration_in_hand(sim, device)->micro_batches[stage.micro_batch].upload_bytes, ended);
  } else if (stage.kind == ORACLE_BACKWARD) {
    state->backwards++;
  } else {
    state->iteration++;
    state->forwards = state->backwards = 0;
    state->gradients.count = 0;
    bool round_is_over =
        state->iteration == facts->iteration_count || oracle_round_of(facts, state->iteration) != stage.round;
    if (round_is_over) {
      state->has_model = false;
      oracle_make_ready(sim, ORACLE_MODEL_UPLOAD, device, stage.round, -1, -1, facts->model_upload_bytes, ended);
    }
  }
}

static void end_on_slot(simulation *sim, int slot) {
  const oracle_scenario *scenario = sim->scenario;
  int ended = sim->slots[slot].running;
  oracle_stage stage = sim->stages[ended];
  sim->slots[slot].running = -1;
  if (stage.kind == ORACLE_AGGREGATE && scenario->presence) {
    oracle_end_partial_aggregate(sim);
    return;
  }
  if (stage.kind == ORACLE_AGGREGATE && scenario->buffer > 0) {
    oracle_end_async_aggregate(sim, ended);
    return;
  }
  if (stage.kind == ORACLE_AGGREGATE) {
    for (int device = 0; device < scenario->device_count; device++)
      oracle_make_ready(sim, ORACLE_MODEL_DOWNLOAD, device, stage.round, -1, -1,
                        scenario->devices[device].model_download_bytes, ended);
    return;
  }
  if (stage.kind == ORACLE_SERVER_UPDATE) {
    *oracle_replica_of(sim, stage.device) = false;
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
    oracle_make_ready(sim, ORACLE_DOWNLOAD, stage.device, stage.round, stage.iteration, stage.micro_batch,
                      iteration->micro_batches[stage.micro_batch].download_bytes, ended);
  if (stage.kind == ORACLE_SERVER_BACKWARD_INPUT)
    start_server_work(sim, slot, ORACLE_SERVER_BACKWARD_WEIGHT, stage, -1);
  else if (stage.micro_batch == iteration->micro_batch_count - 1)
    start_server_work(sim, slot, ORACLE_SERVER_UPDATE, stage, -1);
  else
    *oracle_replica_of(sim, stage.device) = false;
}

static void end_on_link(simulation *sim, link_state *link) {
  oracle_stage *stage = &sim->stages[link->running];
  const oracle_device *facts = &sim->scenario->devices[stage->device];
  stage->end = sim->now;
  stage->arrival = sim->now + (goes_up(stage->kind) ? facts->up_latency : facts->down_latency);
  oracle_list_add(&sim->flying, link->running);
  link->running = -1;
}

static void arrive(simulation *sim, int transfer) {
  const oracle_scenario *scenario = sim->scenario;
  oracle_stage stage = sim->stages[transfer];
  device_state *state = &sim->devices[stage.device];
  switch (stage.kind) {
  case ORACLE_UPLOAD:
    oracle_list_add(&state->activations, transfer);
    break;
  case ORACLE_DOWNLOAD:
    oracle_list_add(&state->gradients, transfer);
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
        oracle_make_ready(sim, ORACLE_MODEL_DOWNLOAD, next, stage.round, -1, -1,
                          scenario->devices[next].model_download_bytes, transfer);
    }
    break;
  default:
    DEMAND(is_transfer(stage.kind));
  }
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
      oracle_list_remove_at(&sim->flying, place);
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
  oracle_start_aggregate(sim);
}

static int64_t next_instant(const simulation *sim) {
  int64_t next = sim->scenario->presence ? oracle_next_change(sim) : never;
  for (int device = 0; device < sim->scenario->device_count; device++)
    if (sim->devices[device].running >= 0)
      next = oracle_earlier(next, sim->stages[sim->devices[device].running].end);
  for (int slot = 0; slot < sim->scenario->slots; slot++)
    if (sim->slots[slot].running >= 0)
      next = oracle_earlier(next, sim->stages[sim->slots[slot].running].end);
  for (int link = 0; link < link_count(sim); link++)
    if (sim->links[link].running >= 0)
      next = oracle_earlier(next, oracle_link_next(sim, &sim->links[link]));
  for (int place = 0; place < sim->flying.count; place++)
    next = oracle_earlier(next, sim->stages[sim->flying.items[place]].arrival);
  return next;
}

static void simulate(simulation *sim) {
  for (;;) {
    end_everything(sim);
    oracle_come_and_go(sim);
    start_everything(sim);
    oracle_set_rates(sim);
    int64_t next = next_instant(sim);
    if (next == never)
      break;
    DEMAND(next > sim->now);
    for (int link = 0; link < link_count(sim); link++)
      if (sim->links[link].running >= 0)
        oracle_link_advance(sim, &sim->links[link], next);
    sim->now = next;
  }
  for (int device = 0; device < sim->scenario->device_count && !sim->scenario->presence; device++)
    DEMAND(sim->devices[device].iteration == sim->scenario->devices[device].iteration_count);
  for (int link = 0; link < link_count(sim); link++)
    DEMAND(sim->links[link].running < 0 && sim->links[link].waiting.count == 0);
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
                    .devices = oracle_zeroed(devices, sizeof *sim.devices),
                    .links = oracle_zeroed(2 * devices, sizeof *sim.links),
                    .slots = oracle_zeroed(scenario->slots, sizeof *sim.slots),
                    .replica_busy = oracle_zeroed(devices, sizeof *sim.replica_busy),
                    .round_count = oracle_rounds_of(&scenario->devices[0])};
  for (int device = 0; device < devices; device++) {
    DEMAND(oracle_rounds_of(&scenario->devices[device]) == sim.round_count);
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

  DEMAND(scenario->shared_up.count == 0 || scenario->presence || scenario->method == ORACLE_SL || scenario->buffer > 0);
  if (scenario->presence) {
    DEMAND(scenario->method != ORACLE_SL);
    sim.log = oracle_zeroed(sim.round_count, sizeof *sim.log);
    sim.last_models = oracle_zeroed(devices, sizeof *sim.last_models);
    for (int device = 0; device < devices; device++)
      sim.last_models[device] = -1;
    sim.nobody = true;
  }
  if (scenario->buffer > 0) {
    DEMAND(scenario->method != ORACLE_SL && !scenario->presence);
    for (int device = 0; device < devices; device++)
      sim.update_count += oracle_rounds_of(&scenario->devices[device]);
    sim.updates = oracle_zeroed(sim.update_count, sizeof *sim.updates);
    sim.aggregates = oracle_zeroed(sim.update_count, sizeof *sim.aggregates);
    sim.round_count = (sim.update_count + scenario->buffer - 1) / scenario->buffer;
  }
  simulate(&sim);
  DEMAND(scenario->buffer == 0 || sim.aggregate_count == sim.round_count);
  oracle_result result = {.update_count = sim.update_count,
                          .updates = sim.updates,
                          .stage_count = sim.stage_count,
                          .stages = sim.stages,
                          .devices = oracle_zeroed(devices, sizeof *result.devices),
                          .slots = oracle_zeroed(scenario->slots, sizeof *result.slots),
                          .round_count = scenario->presence ? sim.round : sim.round_count,
                          .rounds = oracle_zeroed(sim.round_count, sizeof *result.rounds)};
  oracle_report(&sim, &result);
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
