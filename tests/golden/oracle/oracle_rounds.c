/* Rounds where devices come and go, or do not wait for each other. */
#include "oracle_simulation.h"

/* ---- devices that come and go ---- */

static bool is_present(const simulation *sim, int device) {
  const oracle_device *facts = &sim->scenario->devices[device];
  return facts->arrives <= sim->now && (facts->departs == 0 || sim->now < facts->departs);
}

static void begin_round(simulation *sim) {
  round_log *log = &sim->log[sim->round];
  log->begin = sim->now;
  log->visits = oracle_zeroed(sim->scenario->device_count, sizeof *log->visits);
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
    oracle_make_ready(sim, ORACLE_MODEL_DOWNLOAD, device, sim->round, -1, -1, facts->model_download_bytes, -1);
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
    oracle_list_remove_at(&sim->flying, place);
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
    if (*oracle_replica_of(sim, device))
      return;
    if (last < 0 || sim->stages[own].arrival > sim->stages[last].arrival)
      last = own;
  }
  sim->is_due = false;
  sim->log[sim->round].aggregate = sim->stage_count;
  oracle_start_on_slot(sim, 0, ORACLE_AGGREGATE, -1, sim->round, -1, -1, sim->scenario->aggregate, last);
  sim->stages[sim->log[sim->round].aggregate].ready = sim->due;
}

void oracle_end_partial_aggregate(simulation *sim) {
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
      oracle_make_ready(sim, ORACLE_MODEL_DOWNLOAD, device, sim->round - 1, -1, -1,
                        sim->scenario->devices[device].model_download_bytes, -1);
    }
}

/* ---- nobody waits for the others ---- */

int oracle_rounds_of(const oracle_device *device) {
  return (device->iteration_count + device->iterations_per_round - 1) / device->iterations_per_round;
}

static void send_newest_model(simulation *sim, int device, int producer) {
  const oracle_device *facts = &sim->scenario->devices[device];
  device_state *state = &sim->devices[device];
  state->wants_model = false;
  state->version = sim->aggregate_count;
  oracle_make_ready(sim, ORACLE_MODEL_DOWNLOAD, device, sim->stages[state->model_out_at_all].round, -1, -1,
                    facts->model_download_bytes, producer);
}

void oracle_end_async_aggregate(simulation *sim, int aggregate) {
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
    state->wants_model = local_round + 1 < oracle_rounds_of(&scenario->devices[device]);
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
    oracle_start_on_slot(sim, 0, ORACLE_AGGREGATE, -1, sim->aggregate_count, -1, -1, scenario->aggregate, model);
  }
  for (int device = 0; device < scenario->device_count && !sim->aggregates_now && !sim->wants_aggregate; device++)
    if (sim->devices[device].wants_model)
      send_newest_model(sim, device, sim->devices[device].model_out_at_all);
}

/* Arrivals, departures and silences of this instant. */
void oracle_come_and_go(simulation *sim) {
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

void oracle_start_aggregate(simulation *sim) {
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
    if (model < 0 || *oracle_replica_of(sim, device))
      return;
    if (last_model < 0 || sim->stages[model].arrival > sim->stages[last_model].arrival)
      last_model = model;
  }
  for (int device = 0; device < sim->scenario->device_count; device++)
    sim->devices[device].model_out = -1;
  oracle_start_on_slot(sim, 0, ORACLE_AGGREGATE, -1, sim->round, -1, -1, sim->scenario->aggregate, last_model);
  sim->round++;
}

/* The next departure that cuts something, arrival that is waited for, or deadline. */
int64_t oracle_next_change(const simulation *sim) {
  int64_t next = never;
  for (int device = 0; device < sim->scenario->device_count; device++) {
    const oracle_device *facts = &sim->scenario->devices[device];
    bool busy = sim->links[2 * device].running >= 0 || sim->links[2 * device + 1].running >= 0;
    for (int place = 0; place < sim->flying.count; place++)
      busy |= sim->stages[sim->flying.items[place]].device == device;
    if (facts->departs > sim->now && (sim->is_open || busy))
      next = oracle_earlier(next, facts->departs);
    if (sim->nobody && facts->arrives > sim->now)
      next = oracle_earlier(next, facts->arrives);
  }
  if (sim->is_open && deadline_of(sim) > sim->now)
    next = oracle_earlier(next, deadline_of(sim));
  return next;
}
