/* Stage records of what really happened, kept by a rank under the wall clock. */
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
/* Under the virtual clock nothing is kept. */
void pp_journal_add(pp_journal *journal, const pp_job *job, pp_journal_row record);

#endif
