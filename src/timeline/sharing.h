/* Transfers over the server's link, one a device and direction at most: what a span's end is, once it is known. */
#ifndef PP_TIMELINE_SHARING_H
#define PP_TIMELINE_SHARING_H

#include "timeline/engine.h"

/* Devices and rates of timeline->scenario. */
PP_MUST_CHECK pp_status pp_sharing_create(pp_timeline *timeline);
void pp_sharing_destroy(pp_sharing *sharing);

/* The next instant at which a transfer may end; PP_NS_NEVER: none is known. */
pp_ns pp_sharing_next(pp_sharing *sharing);
/* Whether any transfer is under way. */
bool pp_sharing_is_busy(const pp_sharing *sharing);
/* Whether one is under way that began before `time`. */
bool pp_sharing_has_from_before(const pp_timeline *timeline, pp_ns time);
/* At `now`, at most pp_sharing_next: a device's transfer begins in a direction. Its span, which must stay where it is,
 * gets its start; its end is PP_NS_NEVER until it is taken. The device's own link is then taken for as long. */
void pp_sharing_start(pp_timeline *timeline, int64_t device, bool up, pp_span *span, int64_t bytes, pp_ns now);
/* A transfer that has ended by `now`: its span has its end, the device's link is free. NULL: there is none left. */
pp_span *pp_sharing_take(pp_timeline *timeline, pp_ns now, int64_t *device);
/* Where no other transfer is under way in the direction, nor begins before its end: when the device's ends that starts
 * at `start`, not before the last one's end; PP_NS_NEVER: too late. */
pp_ns pp_sharing_finish(pp_timeline *timeline, int64_t device, bool up, pp_ns start, int64_t bytes);
/* The device's transfers are given up at `now`. */
void pp_sharing_stop(pp_timeline *timeline, int64_t device, pp_ns now);

#endif
