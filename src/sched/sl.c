#include "sched/generators.h"

/* Vanilla split learning: one device at a time does what SplitFed does in parallel. That devices take turns, and hand
 * their part of the network on, is the timeline's and the runtime's to know. */
void pp_generate_sl(pp_schedule_builder *builder) { pp_generate_pipar(builder); }
