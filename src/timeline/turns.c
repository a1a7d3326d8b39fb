/* `sl`: devices take turns. When one is done its part of the network goes up and at once down to the next, from the
 * last to the first for the next round. timeline->round_start is where the turn in hand began. */
#include "timeline/sharing.h"

/* The device that has the next turn; -1: the run is over. */
static int64_t next_device(const pp_timeline *timeline, int64_t device) {
  if (device + 1 < timeline->device_count)
    return device + 1;
  return timeline->round + 1 < timeline->scenario->rounds ? 0 : -1;
}

static bool is_last_turn(const pp_timeline *timeline) { return timeline->round + 1 == timeline->scenario->rounds; }

void pp_turns_hand_over(pp_timeline *timeline, int64_t device, pp_ns arrival) {
  pp_device_state *state = &timeline->devices[device];
  int64_t next = next_device(timeline, device);
  pp_ns start = arrival;
  timeline->previous_replica_free = state->replica_free;
  timeline->turn_end = arrival;
  if (next >= 0) {
    pp_device_state *receiver = &timeline->devices[next];
    const pp_class_plan *plan = &timeline->plans[receiver->plan];
    int64_t bytes = plan->class->full->model_download_bytes;
    pp_span down = {arrival, timeline->sharing != NULL ? pp_sharing_finish(timeline, next, false, arrival, bytes)
                                                       : pp_link_finish(&plan->down, arrival, bytes)};
    timeline->overflow = timeline->overflow || down.end_ns == PP_NS_NEVER;
    start = pp_later(timeline, down.end_ns, plan->down_latency_ns);
    timeline->model_down[next] = down;
    timeline->device_times[next].bytes_down = pp_later(timeline, timeline->device_times[next].bytes_down, bytes);
    timeline->turn_end = start;
    pp_causes_turn(timeline, device, next, start);
    receiver->up_free = receiver->down_free = down.end_ns;
    receiver->replica_free = state->replica_free;
    receiver->compute_free = start;
    timeline->round_start = start;
  }
  if (is_last_turn(timeline)) {
    pp_causes_last_turn(timeline, device, arrival);
    state->compute_free = arrival;
  }
  if (next > device)
    pp_engine_begin_turn(timeline, next);
}
