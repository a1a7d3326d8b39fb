/* Why resources were idle, and what a run reports. */
#include "oracle_simulation.h"

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
    iterations += oracle_round_of(device, iteration) == local_round;
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

void oracle_report(const simulation *sim, oracle_result *result) {
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
        oracle_list_add(&on, stage);
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
        oracle_list_add(&on, stage);
    account(sim, &on, -1, -1, result->makespan, &result->slots[slot]);
  }
  free(on.items);
  report_rounds(sim, result);
}
