/* The clock that paces a rank's roles. Under the virtual clock it stands at 0 and nothing waits: emulated time is the
 * timeline's alone. Under the wall clock it is the rank's monotonic clock, less the pauses of the whole run. */
#ifndef PP_RUNTIME_CLOCK_H
#define PP_RUNTIME_CLOCK_H

#include "base/time.h"
#include "comm/comm.h"

typedef struct pp_clock_state {
  bool wall;
  pp_ns origin_ns; /* what the monotonic clock showed when emulated time was 0, were there no pauses */
} pp_clock_state;

/* Emulated now. */
pp_ns pp_clock_now(const pp_clock_state *clock);
/* Collective. Resumes a clock that stands still, on every rank at the same instant as far as 20 round trips with rank 0
 * can tell, so that its next reading is `emulated_ns`. */
PP_MUST_CHECK pp_status pp_clock_resume(pp_clock_state *clock, pp_comm *comm, pp_ns emulated_ns);
/* Sleeps until `until_ns` or a short while, whichever is sooner, so that messages are polled in between. */
void pp_clock_nap(const pp_clock_state *clock, pp_ns until_ns);

#endif
