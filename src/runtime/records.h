/* Stage records of what really happened, kept by a rank under the wall clock. */
#ifndef PP_RUNTIME_RECORDS_H
#define PP_RUNTIME_RECORDS_H

#include "runtime/job.h"

typedef struct pp_record {
  pp_stage_record stage;
  int64_t arrival_ns; /* transfers */
} pp_record;

typedef struct pp_records {
  int64_t count, capacity;
  pp_record *rows; /* (capacity) */
} pp_records;

/* Room for `count` records more than there are now, so that none is allocated while stages run. */
PP_MUST_CHECK pp_status pp_records_reserve(pp_records *records, int64_t count);
void pp_records_fini(pp_records *records);
/* Under the virtual clock nothing is kept. */
void pp_records_add(pp_records *records, const pp_job *job, pp_record record);

#endif
