#include "runtime/journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/int128.h"
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

static int64_t slowed_ns(const pp_job *job, int device, const pp_op *op, int64_t cpu_ns) {
  bool on_device = op != NULL && pp_stage_resource(op->stage) == PP_RESOURCE_DEVICE;
  const pp_cost_config *cost = &job->config->groups[device < 0 ? 0 : pp_job_class(job, device)->group].cost;
  int64_t factor = on_device ? cost->slowdown : cost->server_slowdown, one = 1000000;
  pp_int128 ns = ((pp_int128)cpu_ns * (factor > 0 ? factor : one) + one / 2) / one;
  return ns < 1 ? 1 : ns > PP_NS_LONGEST ? PP_NS_LONGEST : (int64_t)ns;
}

void pp_journal_add_length(pp_journal *journal, const pp_job *job, int device, int64_t round, int64_t iteration,
                           const pp_op *op, int64_t cpu_ns) {
  if (!pp_job_is_measured(job))
    return;
  PP_ASSERT(journal->count < journal->capacity);
  journal->rows[journal->count++] =
      (pp_journal_row){.stage = {.device = device,
                                 .slot = -1,
                                 .round = (int32_t)round,
                                 .iteration = (int32_t)iteration,
                                 .micro_batch = op != NULL ? op->micro_batch : -1,
                                 .stage = (int32_t)(op != NULL ? op->stage : PP_STAGE_AGGREGATE),
                                 .end_ns = slowed_ns(job, device, op, cpu_ns)}};
}
