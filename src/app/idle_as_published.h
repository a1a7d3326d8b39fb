/* Idle time by the definitions of the published code, from the stages that a run recorded. */
#ifndef PP_APP_IDLE_AS_PUBLISHED_H
#define PP_APP_IDLE_AS_PUBLISHED_H

#include "app/report_runs.h"

typedef struct pp_idle_as_published {
  double server_s; /* mean over the replicas */
  double device_s; /* mean over the devices */
} pp_idle_as_published;

/* Local. As github.com/blessonvar/PipeLearn at a53421e counts it (node/server_replica.py, node/client.py):
 * - A replica idles from the end of a backward, of its update or of sending its averaged model to the arrival of its
 * next activation. From the last backward of a round to that sending it does not idle, whoever it waits for.
 * - In `fl` a message with the loss, which has no length here, ends an interval after each backward and begins the
 * next.
 * - A device idles while it waits for a gradient, and from its update to the arrival of the averaged model.
 * Errors (PP_CODE_INPUT): no stages, or not the published server (`policy: space-share`, a slot a device), or `sl`,
 * which the code does not have. */
PP_MUST_CHECK pp_status pp_idle_as_published_of(const pp_report *report, const pp_report_run *run,
                                                pp_idle_as_published *out);

#endif
