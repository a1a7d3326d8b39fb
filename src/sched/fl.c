#include "sched/generators.h"

/* Federated averaging: the device trains the whole network on the mini-batch. */
void pp_generate_fl(pp_schedule_builder *builder) {
  int forward = pp_schedule_add(builder, PP_STAGE_FORWARD, 0, -1, -1);
  int backward = pp_schedule_add(builder, PP_STAGE_BACKWARD, 0, forward, -1);
  pp_schedule_add(builder, PP_STAGE_DEVICE_UPDATE, -1, backward, -1);
}
