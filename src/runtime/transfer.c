#include "runtime/transfer.h"

#include <stdlib.h>

#include "base/mem.h"

pp_status pp_links_init(pp_links *links, const pp_job *job, int device, int capacity) {
  *links = (pp_links){.job = job, .device = device, .capacity = capacity};
  const pp_network_config *network = pp_job_class(job, device)->network;
  PP_TRY(pp_alloc((size_t)capacity, sizeof *links->transfers, "transfers under way", &links->transfers));
  PP_TRY(pp_link_init(&links->up, &network->up, "an uplink"));
  return pp_link_init(&links->down, &network->down, "a downlink");
}

void pp_links_fini(pp_links *links) {
  free(links->transfers);
  pp_link_fini(&links->up);
  pp_link_fini(&links->down);
  *links = (pp_links){0};
}

static bool is_up(const pp_transfer *transfer) {
  return transfer->stage == PP_STAGE_UPLOAD || transfer->stage == PP_STAGE_MODEL_UPLOAD;
}

void pp_links_add(pp_links *links, pp_transfer transfer) {
  PP_ASSERT(links->count < links->capacity);
  links->transfers[links->count++] = transfer;
}

/* timing-model.md "Links": ready first, then the lower micro-batch, then upload before download. */
static bool goes_before(const pp_transfer *a, const pp_transfer *b) {
  if (a->ready_ns != b->ready_ns)
    return a->ready_ns < b->ready_ns;
  if (a->micro_batch != b->micro_batch)
    return a->micro_batch < b->micro_batch;
  return is_up(a) && !is_up(b);
}

static pp_transfer *next_waiting(pp_links *links, bool up, bool either) {
  pp_transfer *best = NULL;
  for (int i = 0; i < links->count; i++) {
    pp_transfer *transfer = &links->transfers[i];
    if (!transfer->started && (either || is_up(transfer) == up) && (best == NULL || goes_before(transfer, best)))
      best = transfer;
  }
  return best;
}

static void start_waiting(pp_links *links, bool up, bool either, pp_ns now_ns) {
  const pp_network_config *network = pp_job_class(links->job, links->device)->network;
  for (;;) {
    pp_transfer *transfer = next_waiting(links, up, either);
    if (transfer == NULL)
      return;
    pp_ns *free_ns = is_up(transfer) ? &links->up_free_ns : &links->down_free_ns;
    pp_ns start_ns = transfer->ready_ns > *free_ns ? transfer->ready_ns : *free_ns;
    if (start_ns > now_ns)
      return;
    transfer->started = true;
    if (!links->job->clock->wall)
      continue;
    transfer->start_ns = start_ns;
    transfer->end_ns = pp_link_finish(is_up(transfer) ? &links->up : &links->down, start_ns, transfer->bytes);
    transfer->arrival_ns = transfer->end_ns + (is_up(transfer) ? network->up_latency_ns : network->down_latency_ns);
    *free_ns = transfer->end_ns;
    if (either)
      links->up_free_ns = links->down_free_ns = transfer->end_ns;
  }
}

bool pp_links_take_arrived(pp_links *links, pp_journal *records, pp_transfer *out) {
  bool half = pp_job_class(links->job, links->device)->network->half_duplex;
  pp_ns now_ns = pp_clock_now(links->job->clock);
  start_waiting(links, true, half, now_ns);
  if (!half)
    start_waiting(links, false, false, now_ns);
  int first = -1;
  for (int i = 0; i < links->count; i++) {
    const pp_transfer *transfer = &links->transfers[i];
    if (transfer->started && transfer->arrival_ns <= now_ns &&
        (first < 0 || transfer->arrival_ns < links->transfers[first].arrival_ns))
      first = i;
  }
  if (first < 0)
    return false;
  *out = links->transfers[first];
  links->count--;
  for (int i = first; i < links->count; i++)
    links->transfers[i] = links->transfers[i + 1];
  /* A link that made up for a late producer still cannot be shown to have started before it. */
  pp_ns start_ns = out->start_ns > out->produced_ns ? out->start_ns : out->produced_ns;
  pp_journal_add(records, links->job,
                 (pp_journal_row){.stage = {.device = links->device,
                                            .slot = -1,
                                            .round = (int32_t)out->round,
                                            .iteration = (int32_t)out->iteration,
                                            .micro_batch = out->micro_batch,
                                            .stage = (int32_t)out->stage,
                                            .start_ns = start_ns,
                                            .end_ns = out->end_ns > start_ns ? out->end_ns : start_ns + 1,
                                            .bytes = out->bytes},
                                  .arrival_ns = now_ns});
  return true;
}

pp_ns pp_links_next_ns(const pp_links *links) {
  pp_ns next_ns = PP_NS_NEVER;
  for (int i = 0; i < links->count; i++) {
    const pp_transfer *transfer = &links->transfers[i];
    pp_ns free_ns = is_up(transfer) ? links->up_free_ns : links->down_free_ns;
    pp_ns at_ns = transfer->started ? transfer->arrival_ns : free_ns;
    if (at_ns < next_ns)
      next_ns = at_ns;
  }
  return next_ns;
}
