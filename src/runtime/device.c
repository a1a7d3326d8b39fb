#include "runtime/device.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/aggregate.h"
#include "runtime/message.h"
#include "runtime/privacy.h"
#include "runtime/transfer.h"

/* One device as this rank plays it. */
typedef struct device_role {
  int device;
  int64_t elements; /* per sample of the boundary */
  pp_device_part part;
  pp_weights weights; /* the device's blocks */
  pp_links links;
  /* The iteration under way. */
  int64_t round, iteration, end;
  const pp_schedule *schedule;
  int next_forward, next_other; /* operations of the list to be looked at by the compute unit */
  pp_ns *done_ns;               /* (op_count) when an operation ended or arrived; PP_NS_NEVER */
  int max_ops;
  int slots;           /* buffers each way: micro-batches of the largest mini-batch */
  pp_message **outbox; /* (slots) */
  bool *outbox_busy;   /* (slots) */
  pp_message **inbox;  /* (slots) */
  pp_message round_message;
  bool round_sent;
  int sends; /* under way */
  /* The compute unit: what it holds until its modelled end, and that end. */
  int running;
  pp_ns start_ns, deadline_ns;
  pp_ns free_ns; /* modelled end of what ran last */
  pp_ns wait_ns; /* the next iteration starts no earlier: a model arrived */
  bool waits_for_model;
} device_role;

struct pp_device_rank {
  const pp_job *job;
  int count;
  device_role *roles; /* (count) in order of device */
  pp_journal records;
};

/* Tokens of messages: role, kind, buffer. */
enum { TOKEN_SEND, TOKEN_RECEIVE, TOKEN_ROUND };
static uint64_t token_of(int role, int kind, int buffer) {
  return (uint64_t)role << 32 | (uint64_t)kind << 28 | (uint64_t)buffer;
}

static pp_status init_role(device_role *role, const pp_job *job, int device) {
  const pp_device_class *class = pp_job_class(job, device);
  const pp_schedule *full = class->full;
  *role = (device_role){.device = device, .slots = full->micro_batches, .running = -1};
  PP_TRY(pp_device_part_init(&role->part, job, device, role->slots));
  PP_TRY(pp_weights_init(&role->weights, job->model, 0, role->part.split, true));
  PP_TRY(pp_links_init(&role->links, job, device, 2 * role->slots + 2));
  size_t slots = (size_t)role->slots;
  role->max_ops = full->op_count > class->ragged->op_count ? full->op_count : class->ragged->op_count;
  PP_TRY(pp_alloc((size_t)role->max_ops, sizeof *role->done_ns, "a device's operations", &role->done_ns));
  PP_TRY(pp_alloc(slots, sizeof *role->outbox, "messages", &role->outbox));
  PP_TRY(pp_alloc(slots, sizeof *role->outbox_busy, "messages", &role->outbox_busy));
  PP_TRY(pp_alloc(slots, sizeof *role->inbox, "messages", &role->inbox));
  if (job->config->method == PP_METHOD_FL)
    return NULL;
  role->elements = pp_job_boundary_elements(job, role->part.split);
  int samples = pp_micro_batch_size(full->batch, full->micro_batches, 0);
  for (int slot = 0; slot < role->slots; slot++) {
    PP_TRY(pp_alloc(1, pp_message_bytes(samples, role->elements, true), "activations", &role->outbox[slot]));
    PP_TRY(pp_alloc(1, pp_message_bytes(samples, role->elements, false), "gradients", &role->inbox[slot]));
  }
  return NULL;
}

static void fini_role(device_role *role) {
  pp_device_part_fini(&role->part);
  pp_weights_fini(&role->weights);
  pp_links_fini(&role->links);
  for (int slot = 0; slot < role->slots; slot++) {
    if (role->outbox != NULL)
      free(role->outbox[slot]);
    if (role->inbox != NULL)
      free(role->inbox[slot]);
  }
  free(role->done_ns);
  free(role->outbox);
  free(role->outbox_busy);
  free(role->inbox);
}

pp_status pp_device_rank_create(const pp_job *job, pp_device_rank **out) {
  pp_device_rank *rank = NULL;
  PP_TRY(pp_alloc(1, sizeof *rank, "the device's runtime", &rank));
  rank->job = job;
  int me = pp_comm_rank(job->comm), devices = job->scenario->device_count;
  for (int device = 0; device < devices; device++)
    rank->count += pp_job_rank_of(job, device) == me;
  pp_status status = pp_alloc((size_t)rank->count, sizeof *rank->roles, "devices", &rank->roles);
  int next = 0;
  for (int device = 0; status == NULL && device < devices; device++)
    if (pp_job_rank_of(job, device) == me)
      status = init_role(&rank->roles[next++], job, device);
  if (status != NULL) {
    pp_device_rank_destroy(rank);
    return status;
  }
  *out = rank;
  return NULL;
}

void pp_device_rank_destroy(pp_device_rank *rank) {
  if (rank == NULL)
    return;
  for (int i = 0; rank->roles != NULL && i < rank->count; i++)
    fini_role(&rank->roles[i]);
  free(rank->roles);
  pp_journal_fini(&rank->records);
  free(rank);
}

/* The role's blocks are others now: those that it keeps go on with their momentum, that of the others comes from the
 * server or goes there. */
static pp_status adopt(const pp_job *job, device_role *role) {
  const pp_schedule *full = pp_job_class(job, role->device)->full;
  if (full->split == role->part.split && full->micro_batches == role->slots)
    return NULL;
  float *momentum = role->weights.momentum;
  int64_t before = role->weights.parameters;
  role->weights.momentum = NULL;
  fini_role(role);
  pp_status status = init_role(role, job, role->device);
  if (status == NULL)
    status = pp_momentum_move(job, 0, role->device, before, momentum, &role->weights);
  free(momentum);
  return status;
}

pp_status pp_device_rank_adopt(pp_device_rank *rank) {
  for (int i = 0; i < rank->count; i++)
    PP_TRY(adopt(rank->job, &rank->roles[i]));
  return NULL;
}

void pp_device_rank_load(pp_device_rank *rank, const float *params, const float *stats) {
  for (int i = 0; i < rank->count; i++) {
    pp_weights *weights = &rank->roles[i].weights;
    memcpy(weights->params, params, (size_t)weights->parameters * sizeof(float));
    memcpy(weights->stats, stats, (size_t)weights->statistics * sizeof(float));
  }
}

static pp_status begin_iteration(pp_device_rank *rank, device_role *role) {
  const pp_job *job = rank->job;
  if (role->iteration == role->end)
    return NULL;
  role->schedule = pp_scenario_schedule(job->scenario, role->device, role->iteration);
  role->part.iteration = role->iteration;
  role->next_forward = role->next_other = 0;
  for (int op = 0; op < role->schedule->op_count; op++) {
    role->done_ns[op] = PP_NS_NEVER;
    const pp_op *download = &role->schedule->ops[op];
    if (download->stage == PP_STAGE_DOWNLOAD)
      PP_TRY(pp_comm_irecv(job->comm, 0, pp_tag_pipeline(role->device), role->inbox[download->micro_batch],
                           pp_message_bytes(download->samples, role->elements, false),
                           token_of((int)(role - rank->roles), TOKEN_RECEIVE, op)));
  }
  return NULL;
}

/* Under the wall clock a round but the first begins with the averaged model on its way. */
static pp_status begin_round(pp_device_rank *rank, device_role *role, int64_t round) {
  const pp_job *job = rank->job;
  role->round = round;
  role->round_sent = false;
  pp_job_round_iterations(job, role->device, round, &role->iteration, &role->end);
  pp_state state = {role->weights.params, role->weights.stats, role->weights.grads, role->weights.momentum};
  pp_device_part_assign(&role->part, role->device, state);
  role->waits_for_model = job->clock->wall && round > 0;
  if (role->waits_for_model) {
    pp_ns now_ns = pp_clock_now(job->clock);
    pp_links_add(&role->links, (pp_transfer){.stage = PP_STAGE_MODEL_DOWNLOAD,
                                             .op = -1,
                                             .micro_batch = -1,
                                             .iteration = -1,
                                             .round = round - 1,
                                             .bytes = role->schedule->model_download_bytes,
                                             .ready_ns = now_ns,
                                             .produced_ns = now_ns});
  }
  return begin_iteration(rank, role);
}

static pp_status send_activation(pp_device_rank *rank, device_role *role, int op_index) {
  const pp_op *op = &role->schedule->ops[op_index];
  role->done_ns[op_index] = pp_clock_now(rank->job->clock);
  role->sends++;
  return pp_comm_isend(rank->job->comm, 0, pp_tag_pipeline(role->device), role->outbox[op->micro_batch],
                       pp_message_bytes(op->samples, role->elements, true),
                       token_of((int)(role - rank->roles), TOKEN_SEND, op->micro_batch));
}

static pp_status send_round(pp_device_rank *rank, device_role *role) {
  role->round_message = (pp_message){.kind = PP_MESSAGE_ROUND,
                                     .device = role->device,
                                     .iteration = role->end,
                                     .micro_batch = -1,
                                     .score = role->part.score};
  role->round_sent = true;
  role->sends++;
  return pp_comm_isend(rank->job->comm, 0, pp_tag_model(role->device), &role->round_message, sizeof(pp_message),
                       token_of((int)(role - rank->roles), TOKEN_ROUND, 0));
}

/* Hands over what the links have delivered. *moved tells whether there was anything. */
static pp_status pump_links(pp_device_rank *rank, device_role *role, bool *moved) {
  pp_transfer transfer;
  while (pp_links_take_arrived(&role->links, &rank->records, &transfer)) {
    *moved = true;
    switch (transfer.stage) {
    case PP_STAGE_UPLOAD:
      PP_TRY(send_activation(rank, role, transfer.op));
      break;
    case PP_STAGE_DOWNLOAD:
      role->done_ns[transfer.op] = transfer.arrival_ns;
      break;
    case PP_STAGE_MODEL_UPLOAD:
      PP_TRY(send_round(rank, role));
      break;
    default: /* the averaged model */
      role->waits_for_model = false;
      role->wait_ns = transfer.arrival_ns;
      break;
    }
  }
  return NULL;
}

static bool can_run(const device_role *role, const pp_op *op, pp_ns *ready_ns) {
  *ready_ns = 0;
  for (int i = 0; i < 2; i++)
    if (op->after[i] >= 0) {
      pp_ns done_ns = role->done_ns[op->after[i]];
      if (done_ns == PP_NS_NEVER)
        return false;
      if (done_ns > *ready_ns)
        *ready_ns = done_ns;
    }
  if (op->stage == PP_STAGE_FORWARD && role->elements > 0)
    return !role->outbox_busy[op->micro_batch];
  return true;
}

static pp_status compute(device_role *role, const pp_op *op) {
  pp_message *message = role->elements > 0 && op->micro_batch >= 0 ? role->outbox[op->micro_batch] : NULL;
  switch (op->stage) {
  case PP_STAGE_FORWARD:
    if (message == NULL)
      return pp_device_part_forward(&role->part, op, NULL, NULL);
    *message = (pp_message){.kind = PP_MESSAGE_ACTIVATION,
                            .device = role->device,
                            .iteration = role->iteration,
                            .micro_batch = op->micro_batch,
                            .samples = op->samples};
    role->outbox_busy[op->micro_batch] = true;
    return pp_device_part_forward(&role->part, op, pp_message_payload(message),
                                  pp_message_labels(message, role->elements));
  case PP_STAGE_BACKWARD:
    pp_device_part_backward(&role->part, role->schedule, op,
                            message == NULL ? NULL : pp_message_payload(role->inbox[op->micro_batch]));
    return NULL;
  case PP_STAGE_DEVICE_UPDATE:
    pp_device_part_update(&role->part);
    return NULL;
  default:
    return pp_fail(PP_CODE_RUN, "the runtime has no rule for stage %s on a device", pp_stage_name(op->stage));
  }
}

/* The list's next forward, or its next backward or update, that the compute unit has not begun; op_count: none. */
static int next_op(const device_role *role, bool forward) {
  const pp_schedule *schedule = role->schedule;
  int op = forward ? role->next_forward : role->next_other;
  while (op < schedule->op_count && (pp_stage_resource(schedule->ops[op].stage) != PP_RESOURCE_DEVICE ||
                                     (schedule->ops[op].stage == PP_STAGE_FORWARD) != forward))
    op++;
  return op;
}

/* Which operation the compute unit begins now; -1: none can run. The list's order holds, but in 1f1b a backward goes as
 * soon as its gradient is there. */
static int choose_op(const pp_device_rank *rank, device_role *role, pp_ns *ready_ns) {
  const pp_schedule *schedule = role->schedule;
  int forward = role->next_forward = next_op(role, true), other = role->next_other = next_op(role, false);
  int first = forward < other ? forward : other, second = schedule->op_count;
  if (rank->job->config->method == PP_METHOD_1F1B) {
    first = other;
    second = forward;
  }
  if (first < schedule->op_count && can_run(role, &schedule->ops[first], ready_ns))
    return first;
  if (second < schedule->op_count && can_run(role, &schedule->ops[second], ready_ns))
    return second;
  return -1;
}

/* Starts the compute unit's next operation if one can run, and computes it for real. */
static pp_status start_compute(pp_device_rank *rank, device_role *role, bool *moved) {
  if (role->running >= 0 || role->iteration == role->end || role->waits_for_model)
    return NULL;
  pp_ns ready_ns = 0;
  int chosen = choose_op(rank, role, &ready_ns);
  if (chosen < 0)
    return NULL;
  const pp_op *op = &role->schedule->ops[chosen];
  if (op->stage == PP_STAGE_FORWARD)
    role->next_forward = chosen + 1;
  else
    role->next_other = chosen + 1;
  if (ready_ns < role->wait_ns)
    ready_ns = role->wait_ns;
  if (ready_ns < role->free_ns)
    ready_ns = role->free_ns;
  role->running = chosen;
  role->start_ns = pp_clock_now(rank->job->clock);
  role->deadline_ns = rank->job->clock->wall ? ready_ns + op->cost : 0;
  *moved = true;
  PP_TRY(compute(role, op));
  pp_journal_add_length(&rank->records, rank->job, role->device, role->round, role->iteration, op, role->part.cpu_ns);
  return NULL;
}

/* Puts in line what an ended operation lets go. */
static void release(device_role *role, int op_index, pp_ns now_ns) {
  const pp_schedule *schedule = role->schedule;
  for (int i = 0; i < schedule->op_count; i++) {
    const pp_op *op = &schedule->ops[i];
    if (op->stage == PP_STAGE_UPLOAD && (op->after[0] == op_index || op->after[1] == op_index))
      pp_links_add(&role->links, (pp_transfer){.stage = op->stage,
                                               .op = i,
                                               .micro_batch = op->micro_batch,
                                               .iteration = role->iteration,
                                               .round = role->round,
                                               .bytes = op->cost,
                                               .ready_ns = role->deadline_ns,
                                               .produced_ns = now_ns});
  }
}

static pp_status end_compute(pp_device_rank *rank, device_role *role, bool *moved) {
  pp_ns now_ns = pp_clock_now(rank->job->clock);
  if (role->running < 0 || now_ns < role->deadline_ns)
    return NULL;
  int op_index = role->running;
  const pp_op *op = &role->schedule->ops[op_index];
  pp_journal_add(&rank->records, rank->job,
                 (pp_journal_row){.stage = {.device = role->device,
                                            .slot = -1,
                                            .round = (int32_t)role->round,
                                            .iteration = (int32_t)role->iteration,
                                            .micro_batch = op->micro_batch,
                                            .stage = (int32_t)op->stage,
                                            .start_ns = role->start_ns,
                                            .end_ns = now_ns}});
  role->running = -1;
  role->done_ns[op_index] = now_ns;
  role->free_ns = role->deadline_ns;
  *moved = true;
  release(role, op_index, now_ns);
  if (op->stage != PP_STAGE_DEVICE_UPDATE)
    return NULL;
  role->iteration++;
  if (role->iteration == role->end)
    pp_links_add(&role->links, (pp_transfer){.stage = PP_STAGE_MODEL_UPLOAD,
                                             .op = -1,
                                             .micro_batch = -1,
                                             .iteration = -1,
                                             .round = role->round,
                                             .bytes = role->schedule->model_upload_bytes,
                                             .ready_ns = role->deadline_ns,
                                             .produced_ns = now_ns});
  return begin_iteration(rank, role);
}

static pp_status take_message(pp_device_rank *rank, uint64_t token) {
  device_role *role = &rank->roles[token >> 32];
  int kind = (int)(token >> 28 & 15), index = (int)(token & 0xfffffff);
  if (kind != TOKEN_RECEIVE) {
    role->sends--;
    if (kind == TOKEN_SEND)
      role->outbox_busy[index] = false;
    return NULL;
  }
  const pp_op *op = &role->schedule->ops[index];
  PP_TRY(pp_message_check(role->inbox[op->micro_batch], PP_MESSAGE_GRADIENT, role->device, role->iteration, op));
  pp_ns now_ns = pp_clock_now(rank->job->clock);
  pp_links_add(&role->links, (pp_transfer){.stage = PP_STAGE_DOWNLOAD,
                                           .op = index,
                                           .micro_batch = op->micro_batch,
                                           .iteration = role->iteration,
                                           .round = role->round,
                                           .bytes = op->cost,
                                           .ready_ns = now_ns,
                                           .produced_ns = now_ns});
  return NULL;
}

static bool is_finished(const device_role *role) { return role->round_sent && role->sends == 0; }

static pp_ns next_deadline(const pp_device_rank *rank) {
  pp_ns next_ns = PP_NS_NEVER;
  for (int i = 0; i < rank->count; i++) {
    const device_role *role = &rank->roles[i];
    pp_ns at_ns = pp_links_next_ns(&role->links);
    if (role->running >= 0 && role->deadline_ns < at_ns)
      at_ns = role->deadline_ns;
    if (at_ns < next_ns)
      next_ns = at_ns;
  }
  return next_ns;
}

static pp_status reserve_records(pp_device_rank *rank) {
  if (!pp_journal_is_kept(rank->job))
    return NULL;
  int64_t count = 0;
  for (int i = 0; i < rank->count; i++)
    count += (rank->roles[i].end - rank->roles[i].iteration) * rank->roles[i].max_ops + 2;
  return pp_journal_reserve(&rank->records, count);
}

const pp_weights *pp_device_rank_weights(const pp_device_rank *rank, int device) {
  for (int i = 0; i < rank->count; i++)
    if (rank->roles[i].device == device)
      return &rank->roles[i].weights;
  return NULL;
}

/* Looks once at everything that a device could do. */
static pp_status step(pp_device_rank *rank, device_role *role, bool *moved) {
  PP_TRY(pump_links(rank, role, moved));
  PP_TRY(end_compute(rank, role, moved));
  return start_compute(rank, role, moved);
}

/* Takes what messages have come; waits for one if `wait`. */
static pp_status take_messages(pp_device_rank *rank, bool wait, bool *moved) {
  int completed = 0;
  PP_TRY(pp_comm_progress(rank->job->comm, wait, &completed));
  for (int i = 0; i < completed; i++)
    PP_TRY(take_message(rank, pp_comm_completed(rank->job->comm, i)));
  *moved = completed > 0;
  return NULL;
}

pp_status pp_device_rank_round(pp_device_rank *rank, int64_t round, int first, int end) {
  const pp_job *job = rank->job;
  int begin = 0, stop = rank->count;
  while (begin < stop && rank->roles[begin].device < first)
    begin++;
  while (stop > begin && rank->roles[stop - 1].device >= end)
    stop--;
  bool works = false;
  for (int i = begin; i < stop; i++)
    if (pp_job_is_member(job, rank->roles[i].device)) {
      PP_TRY(begin_round(rank, &rank->roles[i], round));
      works = true;
    }
  PP_TRY(reserve_records(rank));
  for (bool finished = !works, moved = true; !finished;) {
    bool wait = !moved && !job->clock->wall;
    if (!moved && !wait)
      pp_clock_nap(job->clock, next_deadline(rank));
    PP_TRY(take_messages(rank, wait, &moved));
    finished = true;
    for (int i = begin; i < stop; i++) {
      if (!pp_job_is_member(job, rank->roles[i].device))
        continue;
      PP_TRY(step(rank, &rank->roles[i], &moved));
      finished = finished && is_finished(&rank->roles[i]);
    }
  }
  return NULL;
}

pp_status pp_device_rank_drain(pp_device_rank *rank, int64_t rounds) {
  PP_TRY(pp_journal_reserve(&rank->records, rank->count));
  for (int i = 0; i < rank->count; i++) {
    device_role *role = &rank->roles[i];
    PP_TRY(begin_round(rank, role, rounds));
    bool moved = false;
    while (role->waits_for_model) {
      PP_TRY(pump_links(rank, role, &moved));
      if (role->waits_for_model)
        pp_clock_nap(rank->job->clock, pp_links_next_ns(&role->links));
    }
  }
  return NULL;
}

pp_status pp_device_rank_send_models(pp_device_rank *rank) {
  for (int i = 0; i < rank->count; i++) {
    const device_role *role = &rank->roles[i];
    if (!pp_job_is_member(rank->job, role->device))
      continue;
    pp_privacy_update(rank->job, role->device, role->round, &role->weights, 0, 0);
    PP_TRY(pp_weights_send(rank->job->comm, 0, role->device, &role->weights));
  }
  return NULL;
}

pp_status pp_device_rank_send_records(pp_device_rank *rank) {
  const pp_job *job = rank->job;
  if (!pp_journal_is_kept(job))
    return NULL;
  pp_message header = {.kind = PP_MESSAGE_ROUND, .record_count = rank->records.count};
  int tag = pp_tag_model(rank->roles[0].device);
  PP_TRY(pp_comm_send(job->comm, 0, tag, &header, sizeof header));
  PP_TRY(pp_comm_send(job->comm, 0, tag, rank->records.rows, (size_t)rank->records.count * sizeof *rank->records.rows));
  rank->records.count = 0;
  return NULL;
}
