#include "app/spread.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* ---- Who works out what ---- */

static double stages_of(const pp_config *config) {
  double stages = 0;
  for (int group = 0; group < config->group_count; group++)
    stages += config->groups[group].count * config->training.epochs * pp_config_guess_iterations(config, group) *
              pp_config_guess_stages(config, group);
  return stages;
}

static double groups_to_plan(const pp_config *config) {
  double groups = 0;
  for (int group = 0; group < config->group_count; group++) {
    const pp_pipeline_config *pipeline = &config->groups[group].pipeline;
    groups += pipeline->split == PP_AUTO || pipeline->micro_batches == PP_AUTO;
  }
  return groups;
}

/* Whether devices are woken to choose, which takes longer than to work their lists out. */
static bool is_reactive(const pp_config *config) {
  const pp_aggregate_config *aggregate = &config->aggregate;
  bool reactive = config->method == PP_METHOD_1F1B || aggregate->mode == PP_AGGREGATE_ASYNC ||
                  aggregate->deadline_ns > 0 || aggregate->min_devices > 0;
  for (int group = 0; group < config->group_count; group++) {
    const pp_device_group *of = &config->groups[group];
    reactive = reactive || of->network.half_duplex || of->arrives_ns > 0 || of->departs_ns > 0 || of->dropout > 0;
  }
  return reactive;
}

/* Seconds, roughly, as measured on one machine: nothing but the balance depends on them. */
static double guess_work(const pp_config *config) {
  const double fixed_s = 1e-3, plan_s = 10e-3, stage_s = 55e-9, woken_stage_s = 210e-9, share_s = 0.7e-9;
  bool shares = config->server.link.up.count > 0;
  double each_s = is_reactive(config) || shares ? woken_stage_s : stage_s;
  if (shares)
    each_s += share_s * pp_config_device_count(config);
  return fixed_s + each_s * stages_of(config) + plan_s * groups_to_plan(config);
}
static double guess_writing(const pp_config *config) {
  return 4e-3 + (config->record_stages ? 100e-9 * stages_of(config) : 0);
}

pp_status pp_spread_share(const pp_experiment *experiment, int ranks, int count, const int *runs, int **owners) {
  double *loads = NULL;
  *owners = NULL;
  pp_status status = pp_alloc((size_t)count, sizeof **owners, "the runs' ranks", owners);
  if (status == NULL)
    status = pp_alloc((size_t)ranks, sizeof *loads, "the runs' ranks", &loads);
  for (int index = 0; status == NULL && index < count; index++) {
    const pp_config *config = pp_experiment_run(experiment, runs[index]);
    int least = 0;
    for (int rank = 1; rank < ranks; rank++)
      if (loads[rank] < loads[least])
        least = rank;
    (*owners)[index] = least;
    loads[least] += guess_work(config);
    loads[0] += guess_writing(config);
  }
  free(loads);
  return status;
}

/* ---- What is worked out and not yet written ---- */

typedef struct parcel {
  struct parcel *next;
  pp_sink sink;
} parcel;

typedef struct queue {
  parcel *first, **end;
  size_t bytes;
} queue;

/* Finished runs that wait take up to this much memory on a rank; then it waits too. */
static const size_t MOST_WAITING = (size_t)64 << 20;
static const size_t PIECE_BYTES = (size_t)1 << 30; /* of a parcel, a message */
enum { PARCEL_TAG = 0x7a5ce1 };

/* Takes over the sink's rows. */
static pp_status enqueue(queue *of, const pp_sink *sink) {
  parcel *item = NULL;
  PP_TRY(pp_alloc(1, sizeof *item, "a run's rows", &item));
  item->sink = *sink;
  *of->end = item;
  of->end = &item->next;
  of->bytes += sink->capacity + sizeof *item;
  return NULL;
}

static void drop_first(queue *of) {
  parcel *item = of->first;
  of->first = item->next;
  if (of->first == NULL)
    of->end = &of->first;
  of->bytes -= item->sink.capacity + sizeof *item;
  pp_sink_fini(&item->sink);
  free(item);
}

/* A rank offers the parcels of its runs in their order, one at a time, and sends what rank 0 wants. */
typedef struct offer {
  _Alignas(PP_COMM_LINE) uint64_t bytes;
} offer;

typedef struct answer {
  _Alignas(PP_COMM_LINE) bool wanted;
} answer;

static pp_status send_pieces(pp_comm *comm, const char *from, size_t bytes, int *under_way) {
  for (size_t done = 0; done < bytes; done += PIECE_BYTES, ++*under_way)
    PP_TRY(pp_comm_isend(comm, 0, PARCEL_TAG, from + done, bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES, 0));
  return NULL;
}

static pp_status receive_pieces(pp_comm *comm, int rank, char *into, size_t bytes, int *under_way) {
  for (size_t done = 0; done < bytes; done += PIECE_BYTES, ++*under_way)
    PP_TRY(
        pp_comm_irecv(comm, rank, PARCEL_TAG, into + done, bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES, 0));
  return NULL;
}

static pp_status progress(pp_comm *comm, bool wait, int *under_way) {
  int count = 0;
  if (*under_way > 0)
    PP_TRY(wait ? pp_comm_nap(comm, &count) : pp_comm_progress(comm, false, &count));
  *under_way -= count;
  return NULL;
}

/* ---- A rank that works for rank 0 ---- */

typedef enum worker_state { WORKER_HAS_NONE, WORKER_OFFERS, WORKER_SENDS } worker_state;

typedef struct worker {
  const pp_spread *spread;
  queue done;
  worker_state state; /* of the first of the queue */
  int under_way;      /* messages of it */
  offer offered;
  answer reply;
  bool refused;
} worker;

static pp_status offer_first(worker *of) {
  pp_comm *comm = of->spread->comm;
  of->state = WORKER_OFFERS;
  of->offered.bytes = of->done.first->sink.bytes;
  PP_TRY(pp_comm_isend(comm, 0, PARCEL_TAG, &of->offered, sizeof of->offered, 0));
  of->under_way++;
  PP_TRY(pp_comm_irecv(comm, 0, PARCEL_TAG, &of->reply, sizeof of->reply, 0));
  of->under_way++;
  return NULL;
}

/* All messages of the state have gone and come. */
static pp_status leave_state(worker *of) {
  if (of->state == WORKER_OFFERS && of->reply.wanted) {
    of->state = WORKER_SENDS;
    return send_pieces(of->spread->comm, of->done.first->sink.parcel, of->offered.bytes, &of->under_way);
  }
  if (of->state == WORKER_OFFERS)
    of->refused = true;
  if (of->state == WORKER_OFFERS || of->state == WORKER_SENDS)
    drop_first(&of->done);
  of->state = WORKER_HAS_NONE;
  return of->done.first == NULL || of->refused ? NULL : offer_first(of);
}

/* Goes on with the parcels as far as can be without waiting, and until no more than `most` bytes wait. */
static pp_status attend(worker *of, size_t most) {
  PP_TRY(progress(of->spread->comm, false, &of->under_way));
  while (of->done.first != NULL && !of->refused) {
    if (of->under_way > 0 && of->done.bytes <= most)
      return NULL;
    PP_TRY(progress(of->spread->comm, true, &of->under_way));
    if (of->under_way == 0)
      PP_TRY(leave_state(of));
  }
  return NULL;
}

static pp_status do_run(worker *of, int run, bool *stopped) {
  pp_sink sink = {.run = run};
  pp_status status = of->spread->execute(of->spread->context, &sink, stopped);
  if (status == NULL)
    status = enqueue(&of->done, &sink);
  if (status != NULL)
    pp_sink_fini(&sink);
  return status;
}

static pp_status work(const pp_spread *spread, bool *stopped) {
  worker of = {.spread = spread};
  of.done.end = &of.done.first;
  int rank = pp_comm_rank(spread->comm);
  pp_status status = NULL;
  for (int index = 0; status == NULL && index < spread->count && !*stopped && !of.refused; index++) {
    if (spread->owners[index] != rank)
      continue;
    status = do_run(&of, spread->runs[index], stopped);
    if (status == NULL)
      status = attend(&of, MOST_WAITING);
  }
  if (status == NULL)
    status = attend(&of, 0);
  *stopped = *stopped || of.refused;
  while (of.done.first != NULL)
    drop_first(&of.done);
  return status;
}

/* ---- Rank 0 ---- */

typedef enum desk_state { DESK_IS_FREE, DESK_AWAITS_OFFER, DESK_RECEIVES } desk_state;

typedef struct desk {
  const pp_spread *spread;
  queue own;        /* rank 0's finished runs whose turn has not come */
  int next;         /* the first run that is not written: its place in the list */
  desk_state state; /* of the next one, where another rank has it */
  int under_way;
  offer offered;
  answer reply;
  pp_sink arriving;
  bool stopped; /* the run before `next` did not end */
  int64_t rounds;
} desk;

static int owner_of(const desk *of, int index) { return of->spread->owners[index]; }

/* The next run's rows into the file. */
static pp_status write_next(desk *of, const pp_sink *rows) {
  pp_sink sink = {.run = of->spread->runs[of->next]};
  bool complete = false;
  of->spread->direct(of->spread->context, sink.run, &sink);
  PP_TRY(pp_sink_deliver(&sink, rows->parcel, rows->bytes, &complete));
  of->rounds += sink.rounds;
  of->stopped = !complete;
  of->next++;
  return NULL;
}

/* Goes on with what another rank has of the next run; *came: all of it is there and written. */
static pp_status take_in(desk *of, bool wait, bool *came) {
  pp_comm *comm = of->spread->comm;
  int rank = owner_of(of, of->next);
  if (of->state == DESK_IS_FREE) {
    of->state = DESK_AWAITS_OFFER;
    PP_TRY(pp_comm_irecv(comm, rank, PARCEL_TAG, &of->offered, sizeof of->offered, 0));
    of->under_way++;
  }
  do {
    PP_TRY(progress(comm, wait, &of->under_way));
    if (of->under_way > 0)
      continue;
    if (of->state == DESK_AWAITS_OFFER) {
      of->state = DESK_RECEIVES;
      of->reply.wanted = true;
      PP_TRY(pp_comm_isend(comm, rank, PARCEL_TAG, &of->reply, sizeof of->reply, 0));
      of->under_way++;
      of->arriving.bytes = of->offered.bytes;
      PP_TRY(pp_alloc(of->offered.bytes, 1, "a run's rows", &of->arriving.parcel));
      PP_TRY(receive_pieces(comm, rank, of->arriving.parcel, of->arriving.bytes, &of->under_way));
      continue;
    }
    PP_TRY(write_next(of, &of->arriving));
    pp_sink_fini(&of->arriving);
    of->state = DESK_IS_FREE;
    *came = true;
    return NULL;
  } while (wait || of->under_way == 0);
  return NULL;
}

/* Writes what is there, in order, as far as it goes; with `wait` one run at least. */
static pp_status clear_desk(desk *of, bool wait) {
  bool came = true;
  while (came && !of->stopped && of->next < of->spread->count) {
    if (owner_of(of, of->next) == 0 && of->own.first == NULL)
      return NULL;
    came = false;
    if (owner_of(of, of->next) == 0) {
      PP_TRY(write_next(of, &of->own.first->sink));
      drop_first(&of->own);
      came = true;
    } else {
      PP_TRY(take_in(of, wait, &came));
    }
    wait = false;
  }
  return NULL;
}

/* A run of rank 0's own: straight into the file if it is its turn. */
static pp_status do_own(desk *of, int index, bool *stopped) {
  pp_sink sink = {.run = of->spread->runs[index]};
  bool in_turn = index == of->next;
  if (in_turn)
    of->spread->direct(of->spread->context, sink.run, &sink);
  pp_status status = of->spread->execute(of->spread->context, &sink, stopped);
  if (status == NULL && in_turn) {
    of->rounds += sink.rounds;
    of->stopped = *stopped;
    of->next++;
  } else if (status == NULL) {
    status = enqueue(&of->own, &sink);
    if (status == NULL)
      return NULL;
  }
  pp_sink_fini(&sink);
  return status;
}

/* After a run that did not end: every other rank offers, or will, the next run that it owns; but not the rank whose run
 * it was. */
static pp_status refuse_others(desk *of) {
  pp_comm *comm = of->spread->comm;
  for (int rank = 1; rank < pp_comm_size(comm); rank++) {
    int index = of->next;
    while (index < of->spread->count && owner_of(of, index) != rank)
      index++;
    if (index == of->spread->count || rank == owner_of(of, of->next - 1))
      continue;
    PP_TRY(pp_comm_irecv(comm, rank, PARCEL_TAG, &of->offered, sizeof of->offered, 0));
    for (of->under_way = 1; of->under_way > 0;)
      PP_TRY(progress(comm, true, &of->under_way));
    of->reply.wanted = false;
    PP_TRY(pp_comm_send(comm, rank, PARCEL_TAG, &of->reply, sizeof of->reply));
  }
  return NULL;
}

static pp_status lead(desk *of, bool *stopped) {
  for (int index = 0; index < of->spread->count && !*stopped && !of->stopped; index++) {
    PP_TRY(clear_desk(of, false));
    while (of->own.bytes > MOST_WAITING && !of->stopped)
      PP_TRY(clear_desk(of, true));
    if (owner_of(of, index) == 0 && !of->stopped)
      PP_TRY(do_own(of, index, stopped));
  }
  while (of->next < of->spread->count && !of->stopped)
    PP_TRY(clear_desk(of, true));
  if (of->stopped)
    PP_TRY(refuse_others(of));
  *stopped = *stopped || of->stopped;
  return NULL;
}

pp_status pp_spread_runs(const pp_spread *spread, bool *stopped, int64_t *rounds) {
  *stopped = false;
  *rounds = 0;
  if (pp_comm_rank(spread->comm) != 0)
    return work(spread, stopped);
  desk of = {.spread = spread};
  of.own.end = &of.own.first;
  pp_status status = lead(&of, stopped);
  while (of.own.first != NULL)
    drop_first(&of.own);
  pp_sink_fini(&of.arriving);
  *rounds = of.rounds;
  return status;
}
