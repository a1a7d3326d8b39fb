/* A link: a rate over time, integrated exactly. */
#ifndef PP_MODEL_LINK_H
#define PP_MODEL_LINK_H

#include "base/int128.h"
#include "base/time.h"
#include "pipar/config.h"

/* A rate trace with what has passed by the start of each step, in nanobits (10^-9 bit: bit/s x ns), so that a transfer
 * costs two binary searches, however long the trace and however often it loops. */
typedef struct pp_link {
  int count;
  const pp_rate_step *steps; /* (count), borrowed */
  pp_ns period_ns;           /* 0: the last rate stays */
  pp_int128 *passed;         /* (count) */
  pp_int128 period_passed;
} pp_link;

/* Local. Whether a trace makes a link. `what` names it in errors (PP_CODE_INPUT): no steps, not starting at 0 or not in
 * order of time, a negative rate, a period that ends before its last step, a trace after whose end nothing can pass. */
PP_MUST_CHECK pp_status pp_link_check(const pp_rate_trace *trace, const char *what);
/* Local. Prepares a link over `trace`, which must outlive it. Errors: as pp_link_check. */
PP_MUST_CHECK pp_status pp_link_init(pp_link *link, const pp_rate_trace *trace, const char *what);
void pp_link_fini(pp_link *link);

/* The first nanosecond by which `bytes` >= 1 bytes have passed when they start at start_ns >= 0; PP_NS_NEVER where that
 * is PP_NS_NEVER or later. Always later than start_ns. */
pp_ns pp_link_finish(const pp_link *link, pp_ns start_ns, int64_t bytes);

/* As pp_link_finish, for an amount >= 1 in units of the steps' rates times 1 ns. */
pp_ns pp_link_finish_amount(const pp_link *link, pp_ns start_ns, pp_int128 amount);

/* The rate in force from now_ns >= 0 on, in bit/s, and when the next step begins; PP_NS_NEVER: none does. */
int64_t pp_link_rate(const pp_link *link, pp_ns now_ns, pp_ns *change_ns);

/* True if a transfer takes equally long whenever it starts. */
bool pp_link_is_constant(const pp_link *link);

#endif
