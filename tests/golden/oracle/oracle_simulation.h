/* The oracle's state, shared by its parts: oracle.c runs a scenario, oracle_rounds.c begins and ends rounds where
 * devices come and go or do not wait for each other, oracle_links.c says how fast transfers are, oracle_idle.c
 * explains. */
#ifndef ORACLE_SIMULATION_H
#define ORACLE_SIMULATION_H

#include <stdlib.h>

#include "oracle.h"

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

static inline bool is_transfer(oracle_kind kind) {
  return kind == ORACLE_UPLOAD || kind == ORACLE_DOWNLOAD || kind == ORACLE_MODEL_UPLOAD ||
         kind == ORACLE_MODEL_DOWNLOAD;
}

static inline bool goes_up(oracle_kind kind) { return kind == ORACLE_UPLOAD || kind == ORACLE_MODEL_UPLOAD; }

/* A short list of stages. */
typedef struct list {
  int count, room;
  int *items;
} list;

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

/* oracle.c */
void *oracle_zeroed(int count, size_t size);
void oracle_list_add(list *to, int item);
void oracle_list_remove_at(list *from, int place);
int oracle_round_of(const oracle_device *device, int iteration);
bool *oracle_replica_of(simulation *sim, int device);
int64_t oracle_rate_at(const oracle_trace *trace, int64_t now, int64_t *until);
void oracle_start_on_slot(simulation *sim, int slot, oracle_kind kind, int device, int round, int iteration,
                          int micro_batch, int64_t length, int data);
void oracle_make_ready(simulation *sim, oracle_kind kind, int device, int round, int iteration, int micro_batch,
                       int64_t bytes, int producer);

/* oracle_rounds.c */
void oracle_come_and_go(simulation *sim);
void oracle_start_aggregate(simulation *sim);
void oracle_end_partial_aggregate(simulation *sim);
void oracle_end_async_aggregate(simulation *sim, int aggregate);
int oracle_rounds_of(const oracle_device *device);
int64_t oracle_next_change(const simulation *sim);

/* oracle_links.c */
int64_t oracle_earlier(int64_t a, int64_t b);
void oracle_set_rates(simulation *sim);
int64_t oracle_link_next(const simulation *sim, const link_state *link);
void oracle_link_advance(const simulation *sim, link_state *link, int64_t to);

/* oracle_idle.c */
void oracle_report(const simulation *sim, oracle_result *result);

#endif
