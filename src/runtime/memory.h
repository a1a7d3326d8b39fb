/* What a run allocates, computed from its shapes before anything is allocated. */
#ifndef PP_RUNTIME_MEMORY_H
#define PP_RUNTIME_MEMORY_H

#include "runtime/job.h"

/* Bytes that rank `rank` of `ranks` will hold for a run with real training. job->comm is not looked at. */
int64_t pp_memory_of_rank(const pp_job *job, int rank, int ranks);
/* Bytes that a rank will hold for a run that is only timed. */
int64_t pp_memory_of_timed(const pp_job *job);
/* Of two amounts; INT64_MAX where that is too little. */
int64_t pp_memory_sum(int64_t a, int64_t b);
/* Local. Bytes this process could still get: the least of free memory, of its control group, and of its own limit. */
int64_t pp_memory_available(void);

#endif
