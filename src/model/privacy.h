/* What clipping and noise cost (docs/cost.md): operations at the device's rate for linear layers, or passes over
 * memory, whichever takes longer. */
#ifndef PP_MODEL_PRIVACY_H
#define PP_MODEL_PRIVACY_H

#include "model/cost.h"

/* Seconds that protected activations add to a device's forward, and their gradient to its backward; 0 where they are
 * not protected. */
double pp_privacy_forward_seconds(const pp_cost_inputs *inputs, const pp_schedule *schedule, int samples);
double pp_privacy_backward_seconds(const pp_cost_inputs *inputs, const pp_schedule *schedule, int samples);

/* Local. What a protected update adds to the last device_update of a round, and what that of one device's replica adds
 * to aggregate; 0 where updates are not protected. Errors as pp_cost_fill. */
PP_MUST_CHECK pp_status pp_cost_device_privacy(const pp_cost_inputs *inputs, int split, pp_ns *out);
PP_MUST_CHECK pp_status pp_cost_replica_privacy(const pp_cost_inputs *inputs, int split, pp_ns *out);

#endif
