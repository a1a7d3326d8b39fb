/* The state of the emulated-time interpreter, shared by the files of this folder.
 *
 * What a device does between two visits to the server follows from its own schedule, so it is worked out at once, by
 * walking the list (pp_device_advance); where the order on a resource depends on time, the device is woken at each
 * instant at which it has to choose (reactive.c). The server alone needs a global order: a queue of instants, and a
 * queue of micro-batches that wait for a slot. */
#ifndef PP_TIMELINE_ENGINE_H
#define PP_TIMELINE_ENGINE_H

#include "base/int128.h"
#include "timeline/program.h"
#include "timeline/queue.h"

/* When a stage happened. */
typedef struct pp_span {
  pp_ns start_ns, end_ns;
} pp_span;

/* One cache line: of many devices every visit misses the caches. */
typedef struct pp_device_state {
  pp_ns compute_free, up_free, down_free; /* down_free is not used where the link is shared */
  pp_ns replica_free;
  pp_ns arrival;     /* of the upload that the replica takes next */
  int64_t base;      /* its first span of the round */
  int32_t iteration; /* in the round */
  int32_t next;      /* operation of the iteration, for devices whose order is static */
  int32_t plan;
} pp_device_state;
_Static_assert(sizeof(pp_device_state) <= 64, "a device's state fits a cache line");

/* Of a device that is woken to choose. */
typedef struct pp_device_lanes {
  int32_t next[PP_LANE_COUNT];
  bool waits_for_slot; /* its next micro-batch is in the queue of the server */
  bool finished;       /* its round's last operation has started */
  pp_ns wake;
} pp_device_lanes;

typedef struct pp_presence pp_presence;
typedef struct pp_sharing pp_sharing;
typedef struct pp_async pp_async;

struct pp_timeline {
  const pp_scenario *scenario;
  pp_replanner replanner;
  const pp_scenario *next; /* decided, and not yet in force; NULL: none */
  int64_t device_count;
  int slot_count;
  bool has_own_slots;   /* slot k serves device k alone */
  pp_class_plan *plans; /* (class_count) */
  pp_device_state *devices;
  pp_ns *left_ns;         /* (device_count) what a device computes from the iteration in hand to the end of the round */
  pp_device_lanes *lanes; /* (device_count), NULL where no device is woken */

  pp_presence *presence; /* presence.c; NULL where all devices are always there and waited for */
  pp_async *async;       /* async.c; NULL where rounds are the same for all */
  pp_sharing *sharing;   /* sharing.c; NULL where devices do not share the server's link */

  /* The round that is being worked out. */
  int64_t round;
  int64_t *round_iterations; /* (class_count) */
  pp_span *spans;            /* by device, iteration of the round, operation */
  int64_t span_count;
  int32_t *slot_of; /* (span_count) of server stages; NULL unless recording */
  /* What compute stages took, as measured; all NULL where costs are not. lengths is that of the round in hand. */
  const pp_ns *lengths;    /* (span_count) */
  pp_ns *round_lengths[2]; /* (span_count) of even and of odd rounds */
  pp_ns aggregate_length[2];
  int64_t rounds_measured;
  /* What was observed; NULL under the virtual clock: when the transfers of spans arrived, when a stage could have
   * started by what really preceded it, and when the models arrived at the server. */
  pp_ns *arrivals, *due;          /* (span_count) */
  pp_ns *model_up_arrivals;       /* (device_count) */
  pp_span *model_up, *model_down; /* (device_count) model_down is what the round began with */
  int64_t unfinished;             /* devices */
  pp_ns last_arrival;             /* of a model */
  int64_t last_device;
  pp_ns round_start;     /* end of the previous round's aggregate */
  pp_ns previous_end_ns; /* of the previous round: its last model's arrival */

  /* The server. */
  pp_queue instants, waiting, busy_slots, free_slots;
  pp_ns *slot_free;                      /* (slot_count) end of the slot's last stage */
  pp_ns (*slot_pending)[PP_CAUSE_COUNT]; /* (slot_count) causes of an open gap up to round_start */
  pp_ns now;
  int32_t dispatch_slot;

  /* `sl`: the causes of all time from 0 to round_start, to the end of each device's last turn (device_count), and in
   * slot_pending to the end of each slot's last stage. There is one path through the whole run. */
  pp_ns chain[PP_CAUSE_COUNT];
  pp_ns (*device_chain)[PP_CAUSE_COUNT];
  int32_t outlasting_slot;     /* its last stage ends within the turn in hand, not the last; -1: none */
  pp_ns turn_end;              /* arrival of the last model on its way */
  pp_ns previous_replica_free; /* end of the last turn's last server stage */
  pp_int128 late_server_busy;  /* of the last round, after its end */

  /* Busy time of the round's stages, and the part of it before the end of the previous round. */
  pp_int128 device_busy, server_busy, early_device_busy, early_server_busy;
  bool overflow;

  pp_resource_times *device_times, *slot_times;
  bool times_only; /* nobody asks why resources were idle */
  int64_t stage_count;
  pp_ns makespan;
  bool record_stages;
  pp_stage_record *records;
  int64_t record_count, record_room;
};

static inline pp_ns pp_later(pp_timeline *timeline, pp_ns time, pp_ns length) {
  pp_ns later;
  if (__builtin_expect(__builtin_add_overflow(time, length, &later), 0)) {
    timeline->overflow = true;
    later = PP_NS_NEVER;
  }
  return later;
}

static inline pp_span *pp_iteration_spans(const pp_timeline *timeline, int64_t device, int64_t iteration) {
  const pp_device_state *state = &timeline->devices[device];
  return timeline->spans + state->base + iteration * timeline->plans[state->plan].stride;
}

/* The device's class as its model goes out at the end of the round. */
static inline const pp_device_class *pp_returning_class(const pp_timeline *timeline, int64_t device) {
  int32_t plan = timeline->devices[device].plan;
  return timeline->next != NULL ? &timeline->next->classes[plan] : timeline->plans[plan].class;
}

/* The program of the device's iteration of this round. */
static inline const pp_program *pp_round_program(const pp_timeline *timeline, int64_t device, int64_t iteration) {
  const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
  return pp_class_program(plan, timeline->round * plan->class->iterations_per_round + iteration);
}

static inline pp_ns pp_transfer_end(pp_timeline *timeline, const pp_link *link, const pp_step *step, pp_ns start) {
  if (step->length_ns > 0)
    return pp_later(timeline, start, step->length_ns);
  pp_ns end = pp_link_finish(link, start, step->bytes);
  timeline->overflow = timeline->overflow || end == PP_NS_NEVER;
  return end;
}

/* The end of a compute stage of the device, to be kept in *span, that starts then. */
static inline pp_ns pp_compute_end(pp_timeline *timeline, const pp_class_plan *plan, const pp_step *step,
                                   const pp_span *span, pp_ns start) {
  if (__builtin_expect(step->length_ns > 0, 1))
    return pp_later(timeline, start, step->length_ns);
  pp_ns work = timeline->lengths != NULL ? timeline->lengths[span - timeline->spans] : step->work_ns;
  if (plan->speed.count == 0)
    return pp_later(timeline, start, work);
  pp_ns end = pp_speed_finish(&plan->speed, start, work);
  timeline->overflow = timeline->overflow || end == PP_NS_NEVER;
  return end;
}

/* The end of a stage of the server that starts then. */
static inline pp_ns pp_server_end(pp_timeline *timeline, const pp_step *step, const pp_span *span, pp_ns start) {
  if (__builtin_expect(step->length_ns > 0, 1))
    return pp_later(timeline, start, step->length_ns);
  return pp_later(timeline, start, timeline->lengths[span - timeline->spans]);
}

/* Seconds of idle time, of `count` resources on average, in a time of that length. */
static inline double pp_mean_idle_s(pp_ns length_ns, int64_t count, pp_int128 busy_ns) {
  return (double)((pp_int128)length_ns * count - busy_ns) / (double)count / 1e9;
}

/* timeline.c: between two rounds takes over what the replanner has decided, if anything. */
PP_MUST_CHECK pp_status pp_timeline_adopt(pp_timeline *timeline);

/* engine.c */
/* The device's next micro-batch, which begins at operation `index`, can start: puts it in the server's queue, by when
 * it arrived or by how much it keeps its device waiting. */
void pp_engine_enqueue(pp_timeline *timeline, int64_t device, int index);
/* Counts the iterations of timeline->round and forgets the sums of the last one. */
void pp_engine_reset_round(pp_timeline *timeline);
void pp_engine_begin_round(pp_timeline *timeline);
/* Works out everything that is decided before `limit`. */
void pp_engine_run(pp_timeline *timeline, pp_ns limit);
/* Everything of an iteration is known: adds it up. */
void pp_engine_count_iteration(pp_timeline *timeline, int64_t device, const pp_program *program);
/* The device's last update of the round is known: uploads its model. */
void pp_engine_finish_device(pp_timeline *timeline, int64_t device);
/* A compute stage of a device that lies before the end of the previous round. */
static inline void pp_count_early(pp_timeline *timeline, pp_int128 *early, pp_ns start, pp_ns end) {
  if (__builtin_expect(start < timeline->previous_end_ns, 0))
    *early += (end < timeline->previous_end_ns ? end : timeline->previous_end_ns) - start;
}

/* The device begins its iterations of the round, of any kind. */
void pp_engine_begin_work(pp_timeline *timeline, int64_t device);
/* The device begins its iterations of the round. */
void pp_engine_begin_turn(pp_timeline *timeline, int64_t device);

/* turns.c: the device's model has arrived at the server. */
void pp_turns_hand_over(pp_timeline *timeline, int64_t device, pp_ns arrival);
static inline bool pp_takes_turns(const pp_timeline *timeline) { return timeline->scenario->method == PP_METHOD_SL; }

/* reactive.c: devices that are woken to choose. */
void pp_reactive_begin_round(pp_timeline *timeline, int64_t device);
void pp_reactive_wake(pp_timeline *timeline, int64_t device, pp_ns now);
/* The device is to be woken at that time, instead of when it was. */
void pp_reactive_wake_at(pp_timeline *timeline, int64_t device, pp_ns wake);
/* The replica's next micro-batch starts at timeline->now on timeline->dispatch_slot. */
void pp_reactive_dispatch(pp_timeline *timeline, int64_t device);

/* causes.c: each adds the causes of one gap to those of its resource. */
/* The device computed nothing from `from` until operation `index` of the round's iteration started at `start`. */
void pp_causes_device_gap(pp_timeline *timeline, int64_t device, int64_t iteration, int index, pp_ns from, pp_ns start);
/* From the device's last update until its model came back. */
void pp_causes_model_gap(pp_timeline *timeline, int64_t device, pp_ns from, pp_ns arrival, pp_span aggregate,
                         pp_ns aggregate_due);
/* Until `until` the device, whose last compute stage ended at `from`, waited for its model's aggregate. */
void pp_causes_own_model(pp_timeline *timeline, int64_t device, pp_ns from, pp_ns until);
/* A slot was idle until operation `index` started at `start`. */
void pp_causes_slot_gap(pp_timeline *timeline, int slot, int64_t device, int64_t iteration, int index, pp_ns start);
/* Every slot was idle before the aggregate, slot 0 until it and the others still are. */
void pp_causes_aggregate(pp_timeline *timeline, pp_span aggregate, pp_ns aggregate_due);
/* Slot 0 was idle until that aggregate; nobody waits for the others. */
void pp_causes_async_aggregate(pp_timeline *timeline, int64_t aggregate);
/* `sl`: the turn of `device` is over, that of `next` begins at `start`. */
void pp_causes_turn(pp_timeline *timeline, int64_t device, int64_t next, pp_ns start);
/* `sl`: from the device's last update of the run to its model's arrival. */
void pp_causes_last_turn(pp_timeline *timeline, int64_t device, pp_ns arrival);
/* Fills in drain and idle, and checks that busy and causes add up to the makespan. */
void pp_causes_finish(pp_timeline *timeline);

/* measured.c */
PP_MUST_CHECK pp_status pp_measured_create(pp_timeline *timeline);
/* timeline->round begins: its lengths are in force. */
PP_MUST_CHECK pp_status pp_measured_begin_round(pp_timeline *timeline);
static inline pp_ns pp_aggregate_length(const pp_timeline *timeline) {
  return timeline->lengths != NULL ? timeline->aggregate_length[timeline->round % 2] : timeline->scenario->aggregate_ns;
}

/* records.c */
PP_MUST_CHECK pp_status pp_records_reserve(pp_timeline *timeline);
PP_MUST_CHECK pp_status pp_records_make_room(pp_timeline *timeline, int64_t count);
/* Adds what of an iteration, or of a model's transfer, happened, with ends cut at cut_ns (PP_NS_NEVER: not at all). */
void pp_records_add_iteration(pp_timeline *timeline, int64_t device, int64_t iteration, pp_ns cut_ns);
/* Adds what of an iteration began in [from, to). */
void pp_records_add_begun(pp_timeline *timeline, int64_t device, int64_t iteration, pp_ns from, pp_ns to);
void pp_records_add_model(pp_timeline *timeline, int64_t device, pp_stage stage, pp_span span, pp_ns cut_ns);
void pp_records_add_aggregate(pp_timeline *timeline, pp_span span);
void pp_records_sort(pp_timeline *timeline);
/* The stages of the round, in order; aggregate: NULL where there is none. */
void pp_records_fill(pp_timeline *timeline, const pp_span *aggregate);
/* Takes over records of any order. */
void pp_records_copy(pp_timeline *timeline, const pp_stage_record *records, int64_t count);

#endif
