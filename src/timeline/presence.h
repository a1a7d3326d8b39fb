/* Devices that come, go and fall silent, and aggregates that do not wait for all: what of a round is decided by who is
 * there. In such runs every device is woken to choose (reactive.c), and a round ends at the end of its aggregate. */
#ifndef PP_TIMELINE_PRESENCE_H
#define PP_TIMELINE_PRESENCE_H

#include "timeline/engine.h"

/* Where a device stands in the round. */
typedef enum pp_standing {
  PP_STANDING_AWAY,   /* was not present when it began */
  PP_STANDING_COMING, /* at work, or its model on its way */
  PP_STANDING_THERE,  /* its model is at the server */
  PP_STANDING_SILENT, /* fell silent */
  PP_STANDING_GONE,   /* departed before its model had left it */
  PP_STANDING_LATE,   /* was cut when the aggregate was due */
} pp_standing;

typedef struct pp_attendance {
  pp_ns arrives_ns, departs_ns; /* departs_ns: PP_NS_NEVER where it stays */
  pp_ns joined_ns;              /* when the round's model arrives at it */
  pp_ns cut_ns;                 /* it does nothing from then on in this round; PP_NS_NEVER: it was not cut */
  pp_ns explained_ns;           /* busy and causes add up to this; during a round to its begin */
  int64_t silent_at;            /* iteration of the round that does not begin; -1: none */
  pp_standing standing;
  bool gets_model, sends_model; /* model_down and model_up are of this round */
} pp_attendance;

struct pp_presence {
  pp_attendance *devices; /* (device_count) */
  int32_t *members;       /* (device_count) of the last round */
  int64_t member_count;
  int64_t began, coming, there; /* devices of the round */
  int64_t needed;               /* models, once the deadline has passed */
  pp_ns deadline_ns;            /* PP_NS_NEVER: none */
  pp_ns due_ns;                 /* the aggregate could have started then */
  pp_ns next_begin_ns;          /* of the next round; PP_NS_NEVER: there is none */
  pp_ns previous_end_ns;        /* of the round before */
  pp_int128 late_server_busy;   /* pieces that outlast the last round's aggregate, after it */
};

PP_MUST_CHECK pp_status pp_presence_create(pp_timeline *timeline);
void pp_presence_destroy(pp_presence *presence);

/* An instant of the timeline's queue that is no wake: ids below 0. */
void pp_presence_take(pp_timeline *timeline, int64_t id, pp_ns now);
/* Transfers over the server's link that have ended by `now`. */
void pp_presence_end_transfers(pp_timeline *timeline, pp_ns now);
/* Whether the round's aggregate is due; whoever is late is cut then. */
bool pp_presence_is_due(pp_timeline *timeline, pp_ns now);
/* Whether the device does nothing more in this round. */
bool pp_presence_is_cut(const pp_timeline *timeline, int64_t device);
/* The device's iteration in hand ends at its compute_free. */
void pp_presence_end_iteration(pp_timeline *timeline, int64_t device, const pp_program *program);

PP_MUST_CHECK pp_status pp_presence_next_round(pp_timeline *timeline, pp_round_times *out);
/* Explains what is left of the devices' time up to the makespan. */
void pp_presence_finish(pp_timeline *timeline);

#endif
