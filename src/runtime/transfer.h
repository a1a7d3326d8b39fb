/* A device's two links as its rank plays them: a transfer is held until the link would have delivered it. Under the
 * virtual clock everything is delivered at once. */
#ifndef PP_RUNTIME_TRANSFER_H
#define PP_RUNTIME_TRANSFER_H

#include "base/time.h"
#include "model/link.h"
#include "runtime/journal.h"

typedef struct pp_transfer {
  pp_stage stage;
  int op;          /* of the schedule; -1: a model */
  int micro_batch; /* -1: a model */
  int64_t iteration, round;
  int64_t bytes;
  pp_ns ready_ns;    /* as its owner saw it */
  pp_ns produced_ns; /* when what is sent really existed: not later than the transfer's recorded start */
  pp_ns start_ns, end_ns, arrival_ns;
  bool started;
} pp_transfer;

typedef struct pp_links {
  const pp_job *job;
  int device;
  pp_link up, down;
  pp_ns up_free_ns, down_free_ns; /* equal in half duplex */
  int count, capacity;
  pp_transfer *transfers; /* (capacity) waiting, on a link, or between its end and its arrival */
} pp_links;

PP_MUST_CHECK pp_status pp_links_init(pp_links *links, const pp_job *job, int device, int capacity);
void pp_links_fini(pp_links *links);
/* Local. Puts a transfer in line. */
void pp_links_add(pp_links *links, pp_transfer transfer);
/* Starts what can start; takes out the next transfer that has arrived by now and records it. False if
 * there is none. */
bool pp_links_take_arrived(pp_links *links, pp_journal *records, pp_transfer *out);
/* When to look again; PP_NS_NEVER if nothing is under way. */
pp_ns pp_links_next_ns(const pp_links *links);

#endif
