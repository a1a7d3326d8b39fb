#include "timeline/sharing.h"

#include <stdlib.h>

#include "base/mem.h"
#include "timeline/fair.h"

enum { UP, DOWN, DIRECTIONS };

struct pp_sharing {
  pp_link links[DIRECTIONS];
  pp_fair fairs[DIRECTIONS];
  pp_span **spans[DIRECTIONS]; /* (device_count) of the device's transfer under way */
};

static pp_status create_direction(pp_sharing *sharing, int direction, const pp_rate_trace *rates, int devices) {
  PP_TRY(pp_link_init(&sharing->links[direction], rates, "the server's link"));
  PP_TRY(pp_fair_init(&sharing->fairs[direction], &sharing->links[direction], devices));
  return pp_alloc((size_t)devices, sizeof *sharing->spans[direction], "transfers over the server's link",
                  &sharing->spans[direction]);
}

pp_status pp_sharing_create(pp_timeline *timeline) {
  const pp_scenario *scenario = timeline->scenario;
  PP_TRY(pp_alloc(1, sizeof *timeline->sharing, "the server's link", &timeline->sharing));
  PP_TRY(create_direction(timeline->sharing, UP, scenario->server_up, scenario->device_count));
  return create_direction(timeline->sharing, DOWN, scenario->server_down, scenario->device_count);
}

void pp_sharing_destroy(pp_sharing *sharing) {
  if (sharing == NULL)
    return;
  for (int direction = 0; direction < DIRECTIONS; direction++) {
    pp_link_fini(&sharing->links[direction]);
    pp_fair_fini(&sharing->fairs[direction]);
    free(sharing->spans[direction]);
  }
  free(sharing);
}

pp_ns pp_sharing_next(pp_sharing *sharing) {
  pp_ns up = pp_fair_next(&sharing->fairs[UP]), down = pp_fair_next(&sharing->fairs[DOWN]);
  return up < down ? up : down;
}

bool pp_sharing_is_busy(const pp_sharing *sharing) {
  return sharing->fairs[UP].count > 0 || sharing->fairs[DOWN].count > 0;
}

bool pp_sharing_has_from_before(const pp_timeline *timeline, pp_ns time) {
  for (int direction = 0; direction < DIRECTIONS; direction++)
    for (int64_t device = 0; device < timeline->device_count; device++) {
      const pp_span *span = timeline->sharing->spans[direction][device];
      if (span != NULL && span->start_ns < time)
        return true;
    }
  return false;
}

static void set_free(pp_timeline *timeline, int64_t device, int direction, pp_ns time) {
  pp_device_state *state = &timeline->devices[device];
  bool both = timeline->plans[state->plan].shared_link;
  if (direction == UP || both)
    state->up_free = time;
  if (direction == DOWN || both)
    state->down_free = time;
}

void pp_sharing_start(pp_timeline *timeline, int64_t device, bool up, pp_span *span, int64_t bytes, pp_ns now) {
  pp_sharing *sharing = timeline->sharing;
  const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
  int direction = up ? UP : DOWN;
  PP_ASSERT(sharing->spans[direction][device] == NULL);
  pp_fair_advance(&sharing->fairs[direction], now);
  pp_fair_start(&sharing->fairs[direction], device, up ? &plan->up : &plan->down, bytes);
  sharing->spans[direction][device] = span;
  *span = (pp_span){now, PP_NS_NEVER};
  set_free(timeline, device, direction, PP_NS_NEVER);
}

pp_span *pp_sharing_take(pp_timeline *timeline, pp_ns now, int64_t *device) {
  pp_sharing *sharing = timeline->sharing;
  for (int direction = 0; direction < DIRECTIONS; direction++) {
    pp_fair_advance(&sharing->fairs[direction], now);
    if (!pp_fair_take(&sharing->fairs[direction], device))
      continue;
    pp_span *span = sharing->spans[direction][*device];
    sharing->spans[direction][*device] = NULL;
    span->end_ns = now;
    set_free(timeline, *device, direction, now);
    return span;
  }
  return NULL;
}

pp_ns pp_sharing_finish(pp_timeline *timeline, int64_t device, bool up, pp_ns start, int64_t bytes) {
  const pp_class_plan *plan = &timeline->plans[timeline->devices[device].plan];
  pp_fair *fair = &timeline->sharing->fairs[up ? UP : DOWN];
  if (timeline->overflow)
    return PP_NS_NEVER;
  PP_ASSERT(fair->count == 0);
  pp_fair_advance(fair, start);
  pp_fair_start(fair, device, up ? &plan->up : &plan->down, bytes);
  int64_t taken = -1;
  do {
    pp_ns now = pp_fair_next(fair);
    if (now == PP_NS_NEVER) {
      pp_fair_stop(fair, device);
      timeline->overflow = true;
      return now;
    }
    pp_fair_advance(fair, now);
  } while (!pp_fair_take(fair, &taken));
  return fair->now_ns;
}

void pp_sharing_stop(pp_timeline *timeline, int64_t device, pp_ns now) {
  pp_sharing *sharing = timeline->sharing;
  for (int direction = 0; direction < DIRECTIONS; direction++) {
    if (sharing->spans[direction][device] == NULL)
      continue;
    pp_fair_advance(&sharing->fairs[direction], now);
    pp_fair_stop(&sharing->fairs[direction], device);
    sharing->spans[direction][device] = NULL;
  }
}
