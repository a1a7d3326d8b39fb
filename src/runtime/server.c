#include "runtime/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/message.h"
#include "runtime/privacy.h"

/* The server's side of one device. */
typedef struct replica_role {
  int device;
  int split, micro_batches;
  int64_t elements; /* per sample of the boundary */
  pp_weights weights;
  pp_replica_net *net; /* shared by replicas of one split */
  pp_score score;
  int window;
  pp_message *inbox[PP_RECEIVE_WINDOW];
  pp_message *outbox[PP_RECEIVE_WINDOW];
  bool outbox_busy[PP_RECEIVE_WINDOW];
  int64_t posted, computed; /* micro-batches of the round: receives posted, taken by a slot */
  int64_t expected;         /* in the round */
  int64_t iteration, end;
  const pp_schedule *schedule;
  int cursor;                /* next operation of the list to be looked at by a slot */
  int computed_of_iteration; /* micro-batches taken by slots */
  bool busy;                 /* in a slot */
  pp_ns free_ns;             /* modelled end of what it did last */
  pp_message round_message;
  bool round_arrived;
} replica_role;

/* A micro-batch that has arrived. */
typedef struct waiting_entry {
  int device;
  int buffer;
  pp_ns at_ns;
} waiting_entry;

enum { MAX_SLOT_STAGES = 4 }; /* server_forward, server_backward or its two halves, server_update */

/* A slot is a timer: its micro-batch was computed when it was dispatched and each stage is held until the slot would
 * have ended it. */
typedef struct slot_timer {
  replica_role *replica; /* NULL: free */
  int buffer;
  int64_t iteration;
  bool last; /* micro-batch of the iteration */
  int stage_count, next;
  const pp_op *stages[MAX_SLOT_STAGES];
  pp_ns deadlines_ns[MAX_SLOT_STAGES]; /* modelled ends */
  pp_ns start_ns;                      /* of the next stage, as it was */
  pp_ns free_ns;                       /* modelled end of what it did last */
} slot_timer;

struct pp_server_rank {
  const pp_job *job;
  int replica_count;
  replica_role *replicas; /* (replica_count) */
  int net_count;
  pp_replica_net *nets;
  int slot_count;
  slot_timer *slots; /* (slot_count) */
  int waiting, capacity;
  waiting_entry *line;    /* (capacity) in order of arrival */
  int sends;              /* under way */
  int first, end;         /* devices of the round under way */
  float *shared_momentum; /* sl: of the one server-side network (parameters of the whole); else NULL */
  int64_t round;
  pp_journal records;
  pp_journal received; /* room for another rank's; its count stays 0 */
};

enum { TOKEN_ACTIVATION, TOKEN_GRADIENT, TOKEN_ROUND };
static uint64_t token_of(int device, int kind, int buffer) {
  return (uint64_t)device << 32 | (uint64_t)kind << 28 | (uint64_t)buffer;
}

/* One net a split, large enough for any device's micro-batches. */
static pp_status net_of(pp_server_rank *rank, int split, pp_replica_net **out) {
  const pp_job *job = rank->job;
  for (int i = 0; i < rank->net_count; i++)
    if (rank->nets[i].split == split) {
      *out = &rank->nets[i];
      return NULL;
    }
  int largest = 0;
  for (int class = 0; class < job->scenario->class_count; class ++) {
    const pp_schedule *full = job->scenario->classes[class].full;
    int samples = pp_micro_batch_size(full->batch, full->micro_batches, 0);
    if (job->scenario->classes[class].split == split && samples > largest)
      largest = samples;
  }
  PP_TRY(pp_replica_net_init(&rank->nets[rank->net_count], job, split, largest));
  *out = &rank->nets[rank->net_count++];
  return NULL;
}

static pp_status init_replica(pp_server_rank *rank, replica_role *replica, int device) {
  const pp_job *job = rank->job;
  const pp_device_class *class = pp_job_class(job, device);
  replica->device = device;
  replica->split = class->full->split;
  replica->micro_batches = class->full->micro_batches;
  if (job->config->method == PP_METHOD_FL)
    return NULL;
  int samples = pp_micro_batch_size(class->full->batch, class->full->micro_batches, 0);
  replica->elements = pp_job_boundary_elements(job, class->split);
  replica->window = class->full->micro_batches < PP_RECEIVE_WINDOW ? class->full->micro_batches : PP_RECEIVE_WINDOW;
  PP_TRY(pp_weights_init_with(&replica->weights, job->model, class->split, job->blocks, true,
                              job->config->method != PP_METHOD_SL));
  PP_TRY(net_of(rank, class->split, &replica->net));
  for (int i = 0; i < replica->window; i++) {
    PP_TRY(pp_alloc(1, pp_message_bytes(samples, replica->elements, true), "activations", &replica->inbox[i]));
    PP_TRY(pp_alloc(1, pp_message_bytes(samples, replica->elements, false), "gradients", &replica->outbox[i]));
  }
  return NULL;
}

pp_status pp_server_rank_create(const pp_job *job, pp_server_rank **out) {
  pp_server_rank *rank = NULL;
  PP_TRY(pp_alloc(1, sizeof *rank, "the server's runtime", &rank));
  rank->job = job;
  rank->replica_count = job->scenario->device_count;
  rank->slot_count = job->scenario->slots;
  rank->capacity = rank->replica_count * PP_RECEIVE_WINDOW;
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc((size_t)rank->replica_count, sizeof *rank->replicas, "replicas", &rank->replicas), fail);
  PP_TRY_GOTO(status, pp_alloc((size_t)job->blocks + 1, sizeof *rank->nets, "replicas", &rank->nets), fail);
  PP_TRY_GOTO(status, pp_alloc((size_t)rank->slot_count, sizeof *rank->slots, "slots", &rank->slots), fail);
  PP_TRY_GOTO(status, pp_alloc((size_t)rank->capacity, sizeof *rank->line, "arrivals", &rank->line), fail);
  if (job->config->method == PP_METHOD_SL)
    PP_TRY_GOTO(status, pp_alloc((size_t)job->parameters, sizeof(float), "momentum", &rank->shared_momentum), fail);
  for (int device = 0; device < rank->replica_count; device++)
    PP_TRY_GOTO(status, init_replica(rank, &rank->replicas[device], device), fail);
  *out = rank;
  return NULL;
fail:
  pp_server_rank_destroy(rank);
  return status;
}

static void fini_replica(replica_role *replica) {
  pp_weights_fini(&replica->weights);
  for (int i = 0; i < PP_RECEIVE_WINDOW; i++) {
    free(replica->inbox[i]);
    free(replica->outbox[i]);
  }
  *replica = (replica_role){0};
}

static void fini_nets(pp_server_rank *rank) {
  for (int i = 0; i < rank->net_count; i++)
    pp_replica_net_fini(&rank->nets[i]);
  rank->net_count = 0;
}

/* The other half of a device's change: see device.c. The nets are new for all. */
static pp_status adopt(pp_server_rank *rank, replica_role *replica, int device) {
  const pp_job *job = rank->job;
  const pp_device_class *class = pp_job_class(job, device);
  if (class->full->split == replica->split && class->full->micro_batches == replica->micro_batches)
    return net_of(rank, class->split, &replica->net);
  float *momentum = replica->weights.momentum;
  int64_t before = replica->weights.parameters;
  replica->weights.momentum = NULL;
  fini_replica(replica);
  pp_status status = init_replica(rank, replica, device);
  if (status == NULL)
    status = pp_momentum_move(job, pp_job_rank_of(job, device), device, before, momentum, &replica->weights);
  free(momentum);
  return status;
}

pp_status pp_server_rank_adopt(pp_server_rank *rank) {
  fini_nets(rank);
  for (int device = 0; device < rank->replica_count; device++)
    PP_TRY(adopt(rank, &rank->replicas[device], device));
  return NULL;
}

void pp_server_rank_destroy(pp_server_rank *rank) {
  if (rank == NULL)
    return;
  for (int device = 0; rank->replicas != NULL && device < rank->replica_count; device++)
    fini_replica(&rank->replicas[device]);
  fini_nets(rank);
  free(rank->replicas);
  free(rank->nets);
  free(rank->slots);
  free(rank->line);
  free(rank->shared_momentum);
  pp_journal_fini(&rank->records);
  pp_journal_fini(&rank->received);
  free(rank);
}

void pp_server_rank_load_replica(pp_server_rank *rank, int device, const float *params, const float *stats) {
  const pp_job *job = rank->job;
  const pp_weights *weights = &rank->replicas[device].weights;
  if (weights->params == NULL)
    return;
  memcpy(weights->params, params + (job->parameters - weights->parameters),
         (size_t)weights->parameters * sizeof(float));
  memcpy(weights->stats, stats + (job->statistics - weights->statistics), (size_t)weights->statistics * sizeof(float));
}

void pp_server_rank_store_replica(const pp_server_rank *rank, int device, float *params, float *stats) {
  const pp_job *job = rank->job;
  const pp_weights *weights = &rank->replicas[device].weights;
  memcpy(params + (job->parameters - weights->parameters), weights->params,
         (size_t)weights->parameters * sizeof(float));
  memcpy(stats + (job->statistics - weights->statistics), weights->stats, (size_t)weights->statistics * sizeof(float));
}

void pp_server_rank_load(pp_server_rank *rank, const float *params, const float *stats) {
  for (int device = 0; device < rank->replica_count; device++)
    pp_server_rank_load_replica(rank, device, params, stats);
}

float *pp_server_rank_momentum(const pp_server_rank *rank, int device) {
  return rank->replicas[device].weights.momentum;
}

float *pp_server_rank_shared_momentum(const pp_server_rank *rank) { return rank->shared_momentum; }

static pp_state state_of(const pp_server_rank *rank, const replica_role *replica) {
  const pp_weights *weights = &replica->weights;
  float *momentum = weights->momentum;
  if (rank->shared_momentum != NULL)
    momentum = rank->shared_momentum + (rank->job->parameters - weights->parameters);
  return (pp_state){weights->params, weights->stats, weights->grads, momentum};
}

static pp_status post_receives(pp_server_rank *rank, replica_role *replica) {
  const pp_schedule *full = pp_job_class(rank->job, replica->device)->full;
  size_t bytes = pp_message_bytes(pp_micro_batch_size(full->batch, full->micro_batches, 0), replica->elements, true);
  while (replica->posted < replica->expected && replica->posted < replica->computed + replica->window) {
    int buffer = (int)(replica->posted++ % replica->window);
    PP_TRY(pp_comm_irecv(rank->job->comm, pp_job_rank_of(rank->job, replica->device), pp_tag_pipeline(replica->device),
                         replica->inbox[buffer], bytes, token_of(replica->device, TOKEN_ACTIVATION, buffer)));
  }
  return NULL;
}

static pp_status begin_round(pp_server_rank *rank, replica_role *replica) {
  const pp_job *job = rank->job;
  pp_job_round_iterations(job, replica->device, rank->round, &replica->iteration, &replica->end);
  replica->score = (pp_score){0};
  replica->round_arrived = false;
  replica->cursor = replica->computed_of_iteration = 0;
  replica->posted = replica->computed = replica->expected = 0;
  if (replica->weights.params != NULL)
    for (int64_t iteration = replica->iteration; iteration < replica->end; iteration++)
      replica->expected += pp_scenario_schedule(job->scenario, replica->device, iteration)->micro_batches;
  replica->schedule = pp_scenario_schedule(job->scenario, replica->device, replica->iteration);
  PP_TRY(pp_comm_irecv(job->comm, pp_job_rank_of(job, replica->device), pp_tag_model(replica->device),
                       &replica->round_message, sizeof(pp_message), token_of(replica->device, TOKEN_ROUND, 0)));
  return post_receives(rank, replica);
}

static pp_status take_message(pp_server_rank *rank, uint64_t token) {
  replica_role *replica = &rank->replicas[token >> 32];
  int kind = (int)(token >> 28 & 15), buffer = (int)(token & 0xfffffff);
  if (kind == TOKEN_GRADIENT) {
    replica->outbox_busy[buffer] = false;
    rank->sends--;
  } else if (kind == TOKEN_ROUND) {
    replica->round_arrived = true;
    if (replica->weights.params == NULL) /* fl: the loss is the device's to tell */
      replica->score = replica->round_message.score;
  } else {
    PP_ASSERT(rank->waiting < rank->capacity);
    rank->line[rank->waiting++] = (waiting_entry){replica->device, buffer, pp_clock_now(rank->job->clock)};
  }
  return NULL;
}

/* The replica's next operation of this iteration, without taking it; NULL after the last. */
static const pp_op *peek_op(replica_role *replica) {
  const pp_schedule *schedule = replica->schedule;
  while (replica->cursor < schedule->op_count &&
         pp_stage_resource(schedule->ops[replica->cursor].stage) != PP_RESOURCE_SERVER)
    replica->cursor++;
  return replica->cursor < schedule->op_count ? &schedule->ops[replica->cursor] : NULL;
}

static pp_ns later(pp_ns a, pp_ns b) { return a > b ? a : b; }

/* The stages that a slot runs through at once: the operations of the replica's next micro-batch and, after the
 * iteration's last, the update (none where the device has the whole network). */
static void plan_slot(slot_timer *slot, replica_role *replica) {
  slot->stage_count = slot->next = 0;
  int micro_batch = replica->computed_of_iteration++;
  for (const pp_op *op = NULL; (op = peek_op(replica)) != NULL; replica->cursor++) {
    if (op->micro_batch != micro_batch && op->micro_batch != -1)
      break;
    PP_ASSERT(slot->stage_count < MAX_SLOT_STAGES);
    slot->stages[slot->stage_count++] = op;
  }
  slot->last = micro_batch == replica->schedule->micro_batches - 1;
}

static void record_length(pp_server_rank *rank, const slot_timer *slot, const pp_op *op, int64_t cpu_ns) {
  pp_journal_add_length(&rank->records, rank->job, slot->replica->device, rank->round, slot->iteration, op, cpu_ns);
}

/* Gives a free slot a micro-batch, and computes it. */
static pp_status dispatch(pp_server_rank *rank, slot_timer *slot, waiting_entry arrival) {
  const pp_job *job = rank->job;
  replica_role *replica = &rank->replicas[arrival.device];
  pp_message *activation = replica->inbox[arrival.buffer], *gradient = replica->outbox[arrival.buffer];
  plan_slot(slot, replica);
  const pp_op *forward = slot->stages[0];
  PP_TRY(pp_message_check(activation, PP_MESSAGE_ACTIVATION, replica->device, replica->iteration, forward));
  slot->replica = replica;
  slot->buffer = arrival.buffer;
  slot->iteration = replica->iteration;
  slot->start_ns = pp_clock_now(job->clock);
  pp_ns end_ns = later(later(slot->free_ns, replica->free_ns), arrival.at_ns);
  for (int stage = 0; stage < slot->stage_count; stage++) {
    end_ns += job->clock->wall ? slot->stages[stage]->cost : 0;
    slot->deadlines_ns[stage] = end_ns;
  }
  replica->busy = true;
  replica->computed++;

  pp_state state = state_of(rank, replica);
  *gradient = *activation;
  gradient->kind = PP_MESSAGE_GRADIENT;
  int64_t begin_ns = pp_job_cpu_ns(job);
  pp_replica_forward(replica->net, job, replica->device, replica->iteration, &state, replica->schedule, forward,
                     pp_message_payload(activation), pp_message_labels(activation, replica->elements), &replica->score);
  int64_t between_ns = pp_job_cpu_ns(job);
  pp_replica_backward(replica->net, &state, pp_message_payload(gradient));
  int64_t end_cpu_ns = pp_job_cpu_ns(job);
  record_length(rank, slot, forward, between_ns - begin_ns);
  record_length(rank, slot, slot->stages[1], end_cpu_ns - between_ns);
  replica->outbox_busy[arrival.buffer] = true;
  return post_receives(rank, replica);
}

static pp_status send_gradient(pp_server_rank *rank, const slot_timer *slot) {
  const replica_role *replica = slot->replica;
  const pp_message *gradient = replica->outbox[slot->buffer];
  rank->sends++;
  return pp_comm_isend(rank->job->comm, pp_job_rank_of(rank->job, replica->device), pp_tag_pipeline(replica->device),
                       gradient, pp_message_bytes(gradient->samples, replica->elements, false),
                       token_of(replica->device, TOKEN_GRADIENT, slot->buffer));
}

static void free_slot(pp_server_rank *rank, slot_timer *slot) {
  replica_role *replica = slot->replica;
  replica->busy = false;
  replica->free_ns = slot->free_ns = slot->deadlines_ns[slot->stage_count - 1];
  slot->replica = NULL;
  if (!slot->last)
    return;
  replica->cursor = replica->computed_of_iteration = 0;
  replica->iteration++;
  if (replica->iteration < replica->end)
    replica->schedule = pp_scenario_schedule(rank->job->scenario, replica->device, replica->iteration);
}

/* Ends the slot's stage under way, at now_ns; what it computed is let go, and an update that follows is done. */
static pp_status end_stage(pp_server_rank *rank, slot_timer *slot, pp_ns now_ns) {
  const pp_op *op = slot->stages[slot->next++];
  pp_journal_add(&rank->records, rank->job,
                 (pp_journal_row){.stage = {.device = slot->replica->device,
                                            .slot = (int32_t)(slot - rank->slots),
                                            .round = (int32_t)rank->round,
                                            .iteration = (int32_t)slot->iteration,
                                            .micro_batch = op->micro_batch,
                                            .stage = (int32_t)op->stage,
                                            .start_ns = slot->start_ns,
                                            .end_ns = now_ns}});
  slot->start_ns = now_ns;
  if (op->stage == PP_STAGE_SERVER_BACKWARD || op->stage == PP_STAGE_SERVER_BACKWARD_INPUT)
    PP_TRY(send_gradient(rank, slot));
  if (slot->next == slot->stage_count) {
    free_slot(rank, slot);
  } else if (slot->stages[slot->next]->stage == PP_STAGE_SERVER_UPDATE) {
    pp_state state = state_of(rank, slot->replica);
    int64_t begin_ns = pp_job_cpu_ns(rank->job);
    pp_replica_update(slot->replica->net, rank->job, &state);
    record_length(rank, slot, slot->stages[slot->next], pp_job_cpu_ns(rank->job) - begin_ns);
  }
  return NULL;
}

static pp_status end_slots(pp_server_rank *rank, bool *moved) {
  for (int i = 0; i < rank->slot_count; i++) {
    slot_timer *slot = &rank->slots[i];
    while (slot->replica != NULL) {
      pp_ns now_ns = pp_clock_now(rank->job->clock);
      if (now_ns < slot->deadlines_ns[slot->next])
        break;
      PP_TRY(end_stage(rank, slot, later(now_ns, slot->start_ns + 1)));
      *moved = true;
    }
  }
  return NULL;
}

/* Whether a waiting micro-batch can start: its replica is free, the buffer for its gradient too, and it is the
 * replica's next. Messages arrive in any order: a short one overtakes a long one that still waits for its sender. */
static bool can_start(const pp_server_rank *rank, waiting_entry entry) {
  const replica_role *replica = &rank->replicas[entry.device];
  return !replica->busy && !replica->outbox_busy[entry.buffer] && entry.buffer == replica->computed % replica->window;
}

static pp_status fill_slots(pp_server_rank *rank, bool *moved) {
  for (int i = 0; i < rank->slot_count; i++) {
    slot_timer *slot = &rank->slots[i];
    for (int next = 0; slot->replica == NULL && next < rank->waiting; next++) {
      if (!can_start(rank, rank->line[next]))
        continue;
      waiting_entry taken = rank->line[next];
      rank->waiting--;
      memmove(&rank->line[next], &rank->line[next + 1], (size_t)(rank->waiting - next) * sizeof *rank->line);
      PP_TRY(dispatch(rank, slot, taken));
      *moved = true;
    }
  }
  return NULL;
}

static bool is_finished(const pp_server_rank *rank) {
  if (rank->sends > 0 || rank->waiting > 0)
    return false;
  for (int device = rank->first; device < rank->end; device++) {
    const replica_role *replica = &rank->replicas[device];
    if (!pp_job_is_member(rank->job, device))
      continue;
    if (!replica->round_arrived || replica->busy || replica->computed < replica->expected)
      return false;
  }
  return true;
}

static pp_ns next_deadline(const pp_server_rank *rank) {
  pp_ns next_ns = PP_NS_NEVER;
  for (int i = 0; i < rank->slot_count; i++) {
    const slot_timer *slot = &rank->slots[i];
    if (slot->replica != NULL && slot->deadlines_ns[slot->next] < next_ns)
      next_ns = slot->deadlines_ns[slot->next];
  }
  return next_ns;
}

static pp_status reserve_records(pp_server_rank *rank) {
  if (!pp_journal_is_kept(rank->job))
    return NULL;
  int64_t count = 1;
  for (int device = rank->first; device < rank->end; device++)
    count += (MAX_SLOT_STAGES - 1) * rank->replicas[device].expected +
             (rank->replicas[device].end - rank->replicas[device].iteration);
  return pp_journal_reserve(&rank->records, count);
}

/* Slot 0 is held for the aggregate's length; the models themselves are joined while the clock stands still. */
static void hold_aggregate(pp_server_rank *rank, pp_ns *end_ns) {
  const pp_job *job = rank->job;
  pp_ns start_ns = pp_clock_now(job->clock);
  *end_ns = start_ns;
  if (!job->clock->wall)
    return;
  while (*end_ns < start_ns + job->scenario->aggregate_ns) {
    pp_clock_nap(job->clock, start_ns + job->scenario->aggregate_ns);
    *end_ns = pp_clock_now(job->clock);
  }
  pp_journal_add(&rank->records, job,
                 (pp_journal_row){.stage = {.device = -1,
                                            .slot = 0,
                                            .round = (int32_t)rank->round,
                                            .iteration = -1,
                                            .micro_batch = -1,
                                            .stage = PP_STAGE_AGGREGATE,
                                            .start_ns = start_ns,
                                            .end_ns = *end_ns}});
}

pp_status pp_server_rank_round(pp_server_rank *rank, int64_t round, int first, int end, pp_score *scores,
                               pp_ns *end_ns) {
  const pp_job *job = rank->job;
  rank->round = round;
  rank->first = first;
  rank->end = end;
  for (int device = first; device < end; device++)
    if (pp_job_is_member(job, device))
      PP_TRY(begin_round(rank, &rank->replicas[device]));
    else
      rank->replicas[device].score = (pp_score){0};
  PP_TRY(reserve_records(rank));
  bool moved = true;
  while (!is_finished(rank)) {
    bool wait = !moved && !job->clock->wall;
    if (!moved && !wait)
      pp_clock_nap(job->clock, next_deadline(rank));
    int completed = 0;
    PP_TRY(pp_comm_progress(job->comm, wait, &completed));
    for (int i = 0; i < completed; i++)
      PP_TRY(take_message(rank, pp_comm_completed(job->comm, i)));
    moved = completed > 0;
    PP_TRY(end_slots(rank, &moved));
    PP_TRY(fill_slots(rank, &moved));
  }
  for (int device = first; device < end; device++)
    scores[device] = rank->replicas[device].score;
  hold_aggregate(rank, end_ns);
  return NULL;
}

pp_status pp_server_rank_aggregate(pp_server_rank *rank, pp_aggregate *aggregate, const double *weights) {
  const pp_job *job = rank->job;
  double total = pp_job_member_samples(job);
  for (int device = 0; device < rank->replica_count; device++) {
    if (!pp_job_is_member(job, device))
      continue;
    const pp_weights *own = &rank->replicas[device].weights;
    double weight = weights != NULL ? weights[device] : (double)pp_job_class(job, device)->samples / total;
    int64_t parameters = job->parameters - own->parameters, statistics = job->statistics - own->statistics;
    PP_TRY(pp_aggregate_receive(aggregate, job->comm, pp_job_rank_of(job, device), device, parameters, statistics,
                                weight));
    pp_privacy_update(job, device, rank->round, own, parameters, statistics);
    pp_aggregate_add(aggregate, own, parameters, statistics, weight);
  }
  return NULL;
}

pp_status pp_server_rank_take_records(pp_server_rank *rank) {
  const pp_job *job = rank->job;
  if (!pp_journal_is_kept(job))
    return NULL;
  for (int sender = 1; sender < pp_comm_size(job->comm); sender++) {
    int tag = pp_tag_model(sender - 1);
    pp_message header;
    PP_TRY(pp_comm_recv(job->comm, sender, tag, &header, sizeof header));
    pp_journal *records = &rank->records;
    /* Received on the side: messages are whole lines, and rows are not. */
    pp_journal *received = &rank->received;
    PP_TRY(pp_journal_reserve(received, header.record_count + 1));
    size_t bytes = (size_t)header.record_count * sizeof *received->rows;
    PP_TRY(pp_comm_recv(job->comm, sender, tag, received->rows, bytes));
    PP_TRY(pp_journal_reserve(records, header.record_count));
    if (header.record_count > 0)
      memcpy(records->rows + records->count, received->rows, bytes);
    records->count += header.record_count;
  }
  return NULL;
}

pp_journal *pp_server_rank_journal(pp_server_rank *rank) { return &rank->records; }
