/* What no run can beat, from the case's numbers alone: no event is simulated. */
#ifndef ORACLE_BOUNDS_H
#define ORACLE_BOUNDS_H

#include "oracle_case.h"

/* Whether all devices are there all the time and every aggregate waits for them, or nobody waits for another: then all
 * the work is done. */
bool bounds_hold(const oracle_case *c);
/* The busiest compute unit, link, replica or slot, or the server's link: all its work at the best rates of its traces,
 * without a pause. */
int64_t bound_of_busiest(const oracle_case *c);
/* The longest way through the stages, had every device a slot of its own and each link its best rate throughout. */
int64_t bound_of_path(const oracle_case *c);

int64_t bound_highest_rate(const case_trace *trace);

#endif
