#include "runtime/journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

pp_status pp_journal_reserve(pp_journal *journal, int64_t count) {
  if (journal->count + count <= journal->capacity)
    return NULL;
  pp_journal_row *rows = NULL;
  int64_t capacity = 2 * (journal->count + count); /* rounds differ by what the one before left under way */
  PP_TRY(pp_alloc((size_t)capacity, sizeof *rows, "stage records", &rows));
  if (journal->count > 0)
    memcpy(rows, journal->rows, (size_t)journal->count * sizeof *rows);
  free(journal->rows);
  journal->rows = rows;
  journal->capacity = capacity;
  return NULL;
}

void pp_journal_fini(pp_journal *journal) {
  free(journal->rows);
  *journal = (pp_journal){0};
}

void pp_journal_add(pp_journal *journal, const pp_job *job, pp_journal_row record) {
  if (!job->clock->wall)
    return;
  PP_ASSERT(journal->count < journal->capacity);
  journal->rows[journal->count++] = record;
}
