/* What all roles on a rank share during one run. */
#ifndef PP_RUNTIME_JOB_H
#define PP_RUNTIME_JOB_H

#include <signal.h>

#include "base/pool.h"
#include "comm/comm.h"
#include "data/dataset.h"
#include "pipar/config.h"
#include "pipar/nn.h"
#include "pipar/timeline.h"
#include "runtime/clock.h"

typedef struct pp_job {
  pp_comm *comm;
  const pp_config *config;
  const pp_scenario *scenario;
  const pp_model *model;
  const pp_dataset *dataset;
  const pp_partition *partition;
  pp_pool *pool;                        /* the rank's threads; NULL: one */
  pp_clock_state *clock;                /* paces the roles; stands still at 0 under the virtual clock */
  const bool *members;                  /* (device_count) of the round in hand; NULL: all devices */
  struct pp_updates *updates;           /* NULL where all devices wait for each other */
  const int64_t *local_rounds;          /* (device_count) of the updates in hand; NULL: all devices are in one round */
  const volatile sig_atomic_t *stopped; /* set by a signal */
  int blocks;
  int64_t parameters, statistics;          /* of the whole network */
  int64_t image_elements;                  /* of one sample */
  const float *start_params, *start_stats; /* the model that the round began with */
} pp_job;

/* What a device or its replica has seen of its training samples in a round. */
typedef struct pp_score {
  double loss_sum; /* over samples, in order */
  int64_t correct, samples;
} pp_score;

/* A device's iterations of a round: [*first, *end) over the whole run. */
void pp_job_round_iterations(const pp_job *job, int device, int64_t round, int64_t *first, int64_t *end);
/* The class of a device. */
const pp_device_class *pp_job_class(const pp_job *job, int device);
/* Whether the device's model is averaged in the round in hand; what others do is lost, and not computed. */
static inline bool pp_job_is_member(const pp_job *job, int device) {
  return job->members == NULL || job->members[device];
}
/* `cost: measured`: how long stages took is recorded. */
static inline bool pp_job_is_measured(const pp_job *job) { return job->scenario->is_measured; }
/* What the calling thread has computed so far, ns; 0 where costs are not measured. */
int64_t pp_job_cpu_ns(const pp_job *job);
/* Training samples of the round's members. */
double pp_job_member_samples(const pp_job *job);
/* The rank that plays a device. */
int pp_job_rank_of(const pp_job *job, int device);
/* Elements per sample of the activation between device and server. */
int64_t pp_job_boundary_elements(const pp_job *job, int split);

#endif
