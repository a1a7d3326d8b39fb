#include "sched/generators.h"

/* PiPar, but the server sends the activations' gradient before it computes those of its weights (zero bubble: Qi et
 * al., ICLR 2024). */
void pp_generate_bw_split(pp_schedule_builder *builder) {
  int micro_batches = builder->schedule->micro_batches;
  int last_forward = -1;
  for (int micro_batch = 0; micro_batch < micro_batches; micro_batch++) {
    last_forward = pp_schedule_add(builder, PP_STAGE_FORWARD, micro_batch, -1, -1);
    pp_schedule_add(builder, PP_STAGE_UPLOAD, micro_batch, last_forward, -1);
  }
  int weight = -1, backward = -1;
  for (int micro_batch = 0; micro_batch < micro_batches; micro_batch++) {
    int upload = 2 * micro_batch + 1;
    int server_forward = pp_schedule_add(builder, PP_STAGE_SERVER_FORWARD, micro_batch, upload, -1);
    int input = pp_schedule_add(builder, PP_STAGE_SERVER_BACKWARD_INPUT, micro_batch, server_forward, -1);
    weight = pp_schedule_add(builder, PP_STAGE_SERVER_BACKWARD_WEIGHT, micro_batch, input, -1);
    int download = pp_schedule_add(builder, PP_STAGE_DOWNLOAD, micro_batch, input, -1);
    backward = pp_schedule_add(builder, PP_STAGE_BACKWARD, micro_batch, download, last_forward);
  }
  if (builder->server_trains)
    pp_schedule_add(builder, PP_STAGE_SERVER_UPDATE, -1, weight, -1);
  pp_schedule_add(builder, PP_STAGE_DEVICE_UPDATE, -1, backward, -1);
}
