/* A schedule as the interpreter reads it: what each operation waits for, and its length where that never changes. */
#ifndef PP_TIMELINE_PROGRAM_H
#define PP_TIMELINE_PROGRAM_H

#include "model/link.h"
#include "pipar/timeline.h"

/* The order in which operations of the list take turns. A device serves returns before outbound. */
typedef enum pp_lane {
  PP_LANE_OUTBOUND, /* device: forwards */
  PP_LANE_RETURN,   /* device: backwards and updates */
  PP_LANE_UPLINK,
  PP_LANE_SERVER,
  PP_LANE_DOWNLINK,
} pp_lane;
enum { PP_LANE_COUNT = 5 };

typedef struct pp_step {
  uint8_t resource;         /* pp_resource */
  bool starts_piece;        /* server: waits for an upload and a slot; what follows runs at once on that slot */
  int32_t micro_batch;      /* as in the schedule */
  int32_t source;           /* transfers: what produces the data; compute: the transfer that brings it; -1: none */
  int32_t also_after;       /* a compute stage of the device that must have ended, -1: none */
  int32_t previous;         /* before it in the list on the same resource, -1: none */
  int64_t length_ns;        /* how long it takes where that is known and does not depend on when it starts; else 0 */
  int64_t work_ns;          /* compute: what the schedule says */
  int64_t bytes;            /* transfers */
  int64_t device_before_ns; /* start of a piece: what the device computes earlier in the list */
} pp_step;

typedef struct pp_program {
  const pp_schedule *schedule;
  int count;
  pp_step *steps; /* (count) */
  int lane_count[PP_LANE_COUNT];
  int32_t *lane[PP_LANE_COUNT]; /* (lane_count) indices of steps */
  int last_device_step;
  /* Of one iteration. */
  pp_ns device_work_ns; /* as the schedule says */
  pp_ns device_busy_ns; /* as slowed down; 0 where that changes over time or is measured */
  int64_t bytes_up, bytes_down;
  void *memory;
} pp_program;

/* What a device class needs to be interpreted. */
typedef struct pp_class_plan {
  const pp_device_class *class;
  pp_program full, ragged;                 /* ragged is empty where the class has none */
  pp_program closing_full, closing_ragged; /* of the last iteration of a round; empty where it is like others */
  pp_link up, down;
  pp_ns up_latency_ns, down_latency_ns;
  pp_link speed; /* of the device's compute unit, millionths; no steps: 1,000,000 all the time */
  pp_rate_step *speed_steps;
  bool lengths_vary; /* of the device's compute stages: its speed changes, or they are measured */
  bool shared_link;  /* half duplex */
  bool event_driven; /* the order on a resource depends on time */
  int64_t stride;    /* operations of the longest iteration */
  int64_t server_factor;
} pp_class_plan;

/* Server stages take `server_factor` times as long as the schedules say. */
PP_MUST_CHECK pp_status pp_class_plan_init(pp_class_plan *plan, const pp_device_class *class, int64_t server_factor,
                                           bool is_measured);
void pp_class_plan_fini(pp_class_plan *plan);

/* The first nanosecond by which work_ns >= 1 have been done on the device's compute unit; PP_NS_NEVER: too late. */
static inline pp_ns pp_speed_finish(const pp_link *speed, pp_ns start_ns, int64_t work_ns) {
  return pp_link_finish_amount(speed, start_ns, (pp_int128)work_ns * 1000000);
}

/* The program of iteration `iteration` of the run. */
static inline const pp_program *pp_class_program(const pp_class_plan *plan, int64_t iteration) {
  int64_t epoch = plan->class->iterations_per_epoch; /* in the first, which planners look at, nothing is divided */
  bool ragged = plan->ragged.count > 0 && iteration + 1 >= epoch && (iteration + 1) % epoch == 0;
  if (plan->closing_full.count > 0 && pp_class_closes_round(plan->class, iteration))
    return ragged ? &plan->closing_ragged : &plan->closing_full;
  return ragged ? &plan->ragged : &plan->full;
}

/* The operation of a stage and micro-batch; -1: it has none. */
int pp_program_find(const pp_program *program, pp_stage stage, int micro_batch);

#endif
