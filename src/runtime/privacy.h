/* Where a run's data meets clipping and noise (docs/privacy.md). */
#ifndef PP_RUNTIME_PRIVACY_H
#define PP_RUNTIME_PRIVACY_H

#include "runtime/parts.h"

/* dp-fedavg, else nothing: clips what a device's part of the network, or its replica's, has changed since the round
 * began, and adds noise. `weights`: a piece of the network that begins at these elements of its buffers. */
void pp_privacy_update(const pp_job *job, int device, int64_t round, const pp_weights *weights, int64_t first_parameter,
                       int64_t first_statistic);
/* As pp_privacy_update, of the whole network in one place: the device's part, then the replica's. */
void pp_privacy_whole_update(const pp_job *job, int device, int64_t round, const pp_weights *whole);
/* The average of noisy running variances, put right: none below 0. stats: (statistics of the network) */
void pp_privacy_average(const pp_job *job, float *stats);
/* What has been given away when the round is over, as results report it; NaN without a mechanism. */
double pp_privacy_spent(const pp_job *job, int64_t round);

#endif
