/* Lower bounds of a run's makespan, from the stages that it recorded. */
#ifndef PP_APP_BOUNDS_H
#define PP_APP_BOUNDS_H

#include "app/report_runs.h"

typedef struct pp_bounds {
  double busiest_s; /* work of the busiest device, link, or of the server spread evenly over its slots */
  double path_s;    /* no order of a device's stages is shorter, with a server that is always free */
} pp_bounds;

/* Local. With every stage as long as it was: no schedule of the same split and micro-batches ends before either bound.
 * An iteration of a device takes at least, with f, u, s, d, b the lengths of forward, upload, server forward and
 * backward (of the input, where it is apart), download and backward of a micro-batch, latencies with their transfers,
 * and w the device's update, the longest of max (f+u+s+d+b) + w,  sum f + sum b + w,  min f + sum u + min (s+d+b) + w,
 * min (f+u) + sum s + min (d+b) + w, min (f+u+s) + sum d + min b + w; a device's iterations follow each other. A round
 * takes the longest device with its model's upload, the aggregate, and the longest model download. Both are NaN where
 * no stages were recorded, for `sl`, whose devices take turns, and where aggregations do not wait for all devices. */
PP_MUST_CHECK pp_status pp_bounds_of(const pp_report *report, const pp_report_run *run, pp_bounds *out);

#endif
