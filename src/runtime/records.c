#include "runtime/records.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

pp_status pp_records_reserve(pp_records *records, int64_t count) {
  if (records->count + count <= records->capacity)
    return NULL;
  pp_record *rows = NULL;
  PP_TRY(pp_alloc((size_t)(records->count + count), sizeof *rows, "stage records", &rows));
  if (records->count > 0)
    memcpy(rows, records->rows, (size_t)records->count * sizeof *rows);
  free(records->rows);
  records->rows = rows;
  records->capacity = records->count + count;
  return NULL;
}

void pp_records_fini(pp_records *records) {
  free(records->rows);
  *records = (pp_records){0};
}

void pp_records_add(pp_records *records, const pp_job *job, pp_record record) {
  if (!job->clock->wall)
    return;
  PP_ASSERT(records->count < records->capacity);
  records->rows[records->count++] = record;
}
