/* What a rank records of a round: under the wall clock the stages that really happened, with measured costs how long
 * each took to compute. */
#ifndef PP_RUNTIME_JOURNAL_H
#define PP_RUNTIME_JOURNAL_H

#include "runtime/job.h"

typedef struct pp_journal_row {
  pp_stage_record stage;
  int64_t arrival_ns; /* transfers */
} pp_journal_row;

typedef struct pp_journal {
  int64_t count, capacity;
  pp_journal_row *rows; /* (capacity) */
} pp_journal;

/* Room for `count` records more than there are now, so that none is allocated while stages run. */
PP_MUST_CHECK pp_status pp_journal_reserve(pp_journal *journal, int64_t count);
void pp_journal_fini(pp_journal *journal);
/* Under the wall clock alone; else nothing is kept. */
void pp_journal_add(pp_journal *journal, const pp_job *job, pp_journal_row record);

/* With measured costs alone: an operation of the device, or the aggregate (device -1, op NULL), took cpu_ns >= 0 of the
 * rank's thread. The row has 0 as its start and as its end that many times the slowdown, 1 ns at least. */
void pp_journal_add_length(pp_journal *journal, const pp_job *job, int device, int64_t round, int64_t iteration,
                           const pp_op *op, int64_t cpu_ns);
static inline bool pp_journal_is_kept(const pp_job *job) { return job->clock->wall || pp_job_is_measured(job); }

#endif
