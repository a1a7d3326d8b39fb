#include "oracle_bounds.h"

__extension__ typedef __int128 wide;

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t bound_highest_rate(const case_trace *trace) {
  int64_t highest = 0;
  for (int place = 0; place < trace->count; place++)
    highest = later(highest, trace->rates[place].bits_per_second);
  return highest;
}

bool bounds_hold(const oracle_case *c) {
  bool hold = c->deadline == 0 && c->min_devices == 0;
  for (int class = 0; class < c->class_count; class ++) {
    const case_class *at = &c->classes[class];
    hold = hold && at->arrives == 0 && at->departs == 0 && at->dropout_percent == 0;
  }
  return hold;
}

static int64_t at_rate(wide bytes, int64_t rate) { return (int64_t)((bytes * 8000000000 + rate - 1) / rate); }

/* The shortest that a message can take: all of it at the highest rate of its way. */
static int64_t shortest(const oracle_case *c, const case_class *class, bool up, int64_t bytes) {
  int64_t rate = bound_highest_rate(up ? &class->up : &class->down);
  if (c->shared) {
    int64_t server = bound_highest_rate(up ? &c->shared_up : &c->shared_down);
    rate = server < rate ? server : rate;
  }
  return at_rate(bytes, rate);
}

static int64_t sharing(const oracle_case *c) { return c->policy == ORACLE_SPACE_SHARE ? c->device_count : 1; }

/* How many iterations the device does in all, and the rounds they make. */
static int iterations_of(const oracle_case *c, const case_class *class) {
  return c->epochs * class->iterations_per_epoch;
}
static int rounds_of(const oracle_case *c, const case_class *class) {
  return (iterations_of(c, class) + class->iterations_per_round - 1) / class->iterations_per_round;
}

static const case_iteration *work_of(const oracle_case *c, const case_class *class, int iteration) {
  bool is_ragged = class->has_ragged && (iteration + 1) % class->iterations_per_epoch == 0;
  bool is_later = c->changes_at > 0 && iteration / class->iterations_per_round >= c->changes_at;
  if (is_later)
    return is_ragged ? &class->later_ragged : &class->later_full;
  return is_ragged ? &class->ragged : &class->full;
}

static bool closes_round(const oracle_case *c, const case_class *class, int iteration) {
  return (iteration + 1) % class->iterations_per_round == 0 || iteration + 1 == iterations_of(c, class);
}

static int64_t server_piece(const oracle_case *c, const oracle_micro_batch *m) {
  return m->server_forward + m->server_backward + (c->method == ORACLE_BW_SPLIT ? m->server_backward_weight : 0);
}

/* ---- The busiest resource ---- */

typedef struct work {
  int64_t compute, up, down, server; /* ns; server: of the modelled lengths */
  wide bytes_up, bytes_down;
} work;

static work work_of_device(const oracle_case *c, int device) {
  const case_class *class = &c->classes[c->class_of[device]];
  work sum = {0};
  for (int iteration = 0; iteration < iterations_of(c, class); iteration++) {
    const case_iteration *at = work_of(c, class, iteration);
    for (int j = 0; j < at->micro_batch_count; j++) {
      const oracle_micro_batch *m = &at->micro_batches[j];
      sum.compute += m->forward + m->backward;
      if (c->method == ORACLE_FL)
        continue;
      sum.up += shortest(c, class, true, m->upload_bytes);
      sum.down += shortest(c, class, false, m->download_bytes);
      sum.server += server_piece(c, m);
      sum.bytes_up += m->upload_bytes;
      sum.bytes_down += m->download_bytes;
    }
    sum.compute += at->device_update + (closes_round(c, class, iteration) ? class->protection : 0);
    sum.server += c->method == ORACLE_FL ? 0 : at->server_update;
  }
  /* In sl the first device has the first model, and the last model goes down to nobody. */
  int models_up = rounds_of(c, class), models_down = models_up - (c->method == ORACLE_SL && device == 0 ? 1 : 0);
  sum.up += models_up * shortest(c, class, true, class->model_upload_bytes);
  sum.down += models_down * shortest(c, class, false, class->model_download_bytes);
  sum.bytes_up += (wide)models_up * class->model_upload_bytes;
  sum.bytes_down += (wide)models_down * class->model_download_bytes;
  return sum;
}

int64_t bound_of_busiest(const oracle_case *c) {
  wide bytes_up = 0, bytes_down = 0, server = 0;
  int64_t busiest = 0;
  int updates = 0;
  for (int device = 0; device < c->device_count; device++) {
    const case_class *class = &c->classes[c->class_of[device]];
    work of = work_of_device(c, device);
    busiest = later(busiest, of.compute);
    busiest = later(busiest, class->half_duplex ? of.up + of.down : later(of.up, of.down));
    busiest = later(busiest, sharing(c) * of.server); /* the replica, or the device's own slot */
    server += of.server;
    bytes_up += of.bytes_up;
    bytes_down += of.bytes_down;
    updates += rounds_of(c, class);
  }
  int aggregates = c->buffer > 0            ? (updates + c->buffer - 1) / c->buffer
                   : c->method == ORACLE_SL ? 0
                                            : rounds_of(c, &c->classes[c->class_of[0]]);
  wide averaging = (wide)aggregates * c->aggregate;
  busiest = later(busiest, (int64_t)averaging);
  if (c->policy != ORACLE_SPACE_SHARE)
    busiest = later(busiest, (int64_t)((server + averaging + c->slots - 1) / c->slots));
  if (c->method == ORACLE_SL)
    busiest = later(busiest, (int64_t)(server * sharing(c))); /* one network on the server */
  if (c->shared) {
    busiest = later(busiest, at_rate(bytes_up, bound_highest_rate(&c->shared_up)));
    busiest = later(busiest, at_rate(bytes_down, bound_highest_rate(&c->shared_down)));
  }
  return busiest;
}

/* ---- The critical path ---- */

/* When a device and its replica are free. */
typedef struct stand {
  int64_t clock, uplink, downlink, replica;
} stand;

/* One iteration. In 1f1b a backward may come before a forward, so that it waits for its gradient and the backwards
 * before it alone; the device has done everything when the last has ended. */
static void iterate(const oracle_case *c, const case_class *class, int iteration, stand *at) {
  const case_iteration *does = work_of(c, class, iteration);
  bool interleaves = c->method == ORACLE_1F1B;
  int64_t gradient[CASE_MICRO_BATCHES] = {0}, all = at->clock, begin = at->clock;
  for (int j = 0; j < does->micro_batch_count; j++) {
    const oracle_micro_batch *m = &does->micro_batches[j];
    at->clock += m->forward;
    all += m->forward + m->backward;
    if (c->method == ORACLE_FL)
      continue;
    at->uplink = later(at->uplink, at->clock) + shortest(c, class, true, m->upload_bytes);
    at->replica =
        later(at->replica, at->uplink + class->up_latency) + sharing(c) * (m->server_forward + m->server_backward);
    at->downlink = later(at->downlink, at->replica) + shortest(c, class, false, m->download_bytes);
    gradient[j] = at->downlink + class->down_latency;
    if (c->method == ORACLE_BW_SPLIT)
      at->replica += sharing(c) * m->server_backward_weight;
  }
  if (c->method != ORACLE_FL)
    at->replica += sharing(c) * does->server_update;
  int64_t backwards = interleaves ? begin : at->clock;
  for (int j = 0; j < does->micro_batch_count; j++)
    backwards = later(backwards, gradient[j]) + does->micro_batches[j].backward;
  at->clock = later(backwards, all) + does->device_update;
  if (closes_round(c, class, iteration))
    at->clock += class->protection;
}

/* A round of the device from `begin` on: when its model is at the server, and when its replica is idle. */
static void do_round(const oracle_case *c, const case_class *class, int round, int64_t begin, int64_t *model,
                     int64_t *replica) {
  stand at = {.clock = begin, .replica = *replica};
  int end = (round + 1) * class->iterations_per_round;
  for (int iteration = round * class->iterations_per_round; iteration < end && iteration < iterations_of(c, class);
       iteration++)
    iterate(c, class, iteration, &at);
  *model = later(at.clock, at.uplink) + shortest(c, class, true, class->model_upload_bytes) + class->up_latency;
  *replica = at.replica;
}

static int64_t model_down(const oracle_case *c, const case_class *class) {
  return shortest(c, class, false, class->model_download_bytes) + class->down_latency;
}

/* All wait for each other. */
static int64_t path_of_rounds(const oracle_case *c) {
  int64_t begins[CASE_DEVICES] = {0}, end = 0;
  int rounds = rounds_of(c, &c->classes[c->class_of[0]]);
  for (int round = 0; round < rounds; round++) {
    int64_t ready = 0;
    for (int device = 0; device < c->device_count; device++) {
      int64_t model = 0, replica = 0;
      do_round(c, &c->classes[c->class_of[device]], round, begins[device], &model, &replica);
      ready = later(ready, later(model, replica));
    }
    end = 0;
    for (int device = 0; device < c->device_count; device++) {
      begins[device] = ready + c->aggregate + model_down(c, &c->classes[c->class_of[device]]);
      end = later(end, begins[device]);
    }
  }
  return end;
}

/* Nobody waits for another: each device by itself, with the last aggregate after it. */
static int64_t path_without_waiting(const oracle_case *c) {
  int64_t end = 0;
  for (int device = 0; device < c->device_count; device++) {
    const case_class *class = &c->classes[c->class_of[device]];
    int64_t begin = 0, replica = 0, model = 0;
    for (int round = 0; round < rounds_of(c, class); round++) {
      do_round(c, class, round, begin, &model, &replica);
      begin = later(model, replica) + model_down(c, class);
    }
    end = later(end, begin + c->aggregate);
  }
  return end;
}

/* One device after the other, with one network on the server. */
static int64_t path_of_turns(const oracle_case *c) {
  int64_t model = 0, replica = 0, begin = 0;
  int rounds = rounds_of(c, &c->classes[c->class_of[0]]);
  for (int round = 0; round < rounds; round++)
    for (int device = 0; device < c->device_count; device++) {
      const case_class *class = &c->classes[c->class_of[device]];
      begin = round + device > 0 ? model + model_down(c, class) : 0;
      do_round(c, class, round, begin, &model, &replica);
    }
  return later(model, replica);
}

int64_t bound_of_path(const oracle_case *c) {
  if (c->method == ORACLE_SL)
    return path_of_turns(c);
  return c->buffer > 0 ? path_without_waiting(c) : path_of_rounds(c);
}
