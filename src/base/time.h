/* Emulated time: int64 nanoseconds. Sizes are bytes, rates whole bits per second. */
#ifndef PP_BASE_TIME_H
#define PP_BASE_TIME_H

#include <stdint.h>

#include "pipar/status.h"

typedef int64_t pp_ns;

/* "No such time": later than every time that can occur. */
#define PP_NS_NEVER INT64_MAX
/* Longest length accepted from an experiment: 100 years. Sums of several are checked where they are made. */
#define PP_NS_LONGEST INT64_C(3155760000000000000)

/* Rounds seconds to the nearest nanosecond. `what` names the value in the error (not finite, negative, or longer than
 * PP_NS_LONGEST: PP_CODE_INPUT). */
PP_MUST_CHECK pp_status pp_ns_from_seconds(double seconds, const char *what, pp_ns *out);

double pp_seconds(pp_ns ns);

#endif
