/* A run under way, shared by the files that carry it out. */
#ifndef PP_RUNTIME_RUN_STATE_H
#define PP_RUNTIME_RUN_STATE_H

#include "runtime/device.h"
#include "runtime/evaluate.h"
#include "runtime/local.h"
#include "runtime/run.h"
#include "runtime/server.h"
#include "runtime/updates.h"
#include "timeline/replan.h"
#include "trace/checkpoint.h"

struct pp_run {
  pp_run_request request;
  pp_job job;
  pp_clock_state clock;
  const pp_model *model;
  const pp_scenario *scenario; /* with the first plans */
  pp_dataset *dataset;
  pp_partition *partition;
  float *params, *stats; /* the averaged model, on every rank */
  pp_evaluator *evaluator;
  /* What this rank plays. */
  pp_local *local; /* alone: everything, with `work` */
  pp_weights work;
  pp_server_rank *server;
  pp_device_rank *devices;
  float *chunk;         /* of a model on its way to this device's rank; NULL where none comes in chunks */
  int64_t saved_rounds; /* in the checkpoint */
  /* Where plans change: (group_count) those told, and the scenario they make; NULL while the first hold. */
  pp_group_plan *plans;
  pp_scenario *replanned;
  /* Rank 0 only. */
  pp_aggregate aggregate;
  pp_timeline *timeline;
  pp_replan *replan;    /* NULL: plans hold for the whole run */
  pp_score *scores;     /* (device_count) */
  pp_score *totals;     /* (device_count) of a round in which a device may have several updates; NULL in others */
  bool *members;        /* (device_count + 1) of the round in hand, then whether it is the last */
  pp_round_times times; /* of the round in hand, where they come first */
  pp_round_row row;     /* of the last round: under the wall clock it waits for its last model to arrive */
  pp_round_row *rows;   /* (rounds) what training gave, for checkpoints; else NULL */
  pp_checkpoint_writer *checkpoint; /* NULL: none are written */
  int64_t data;                     /* fingerprint */
  pp_checkpoint *resumed;           /* from which the run goes on, until it does; else NULL */
  pp_stage_record *stages;          /* scratch: the rows of one round under the wall clock */
  int64_t *arrivals_ns;             /* likewise */
  int64_t stage_room;               /* of both */
};

static inline bool pp_run_is_first(const pp_run *run) { return pp_comm_rank(run->job.comm) == 0; }
static inline bool pp_run_is_real(const pp_run *run) { return run->job.config->compute == PP_COMPUTE_REAL; }

#endif
