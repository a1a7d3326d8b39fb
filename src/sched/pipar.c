#include "sched/generators.h"

/* PiPar: all forwards back to back, each activation uploaded as soon as it exists; the server turns every micro-batch
 * round at once; then all backwards, and one update on both sides. With one micro-batch this is SplitFed. */
void pp_generate_pipar(pp_schedule_builder *builder) {
  int micro_batches = builder->schedule->micro_batches;
  int last_forward = -1, first_upload = 1;
  for (int micro_batch = 0; micro_batch < micro_batches; micro_batch++) {
    last_forward = pp_schedule_add(builder, PP_STAGE_FORWARD, micro_batch, -1, -1);
    pp_schedule_add(builder, PP_STAGE_UPLOAD, micro_batch, last_forward, -1);
  }
  int server_backward = -1, backward = -1;
  for (int micro_batch = 0; micro_batch < micro_batches; micro_batch++) {
    int upload = first_upload + 2 * micro_batch;
    int server_forward = pp_schedule_add(builder, PP_STAGE_SERVER_FORWARD, micro_batch, upload, -1);
    server_backward = pp_schedule_add(builder, PP_STAGE_SERVER_BACKWARD, micro_batch, server_forward, -1);
    int download = pp_schedule_add(builder, PP_STAGE_DOWNLOAD, micro_batch, server_backward, -1);
    backward = pp_schedule_add(builder, PP_STAGE_BACKWARD, micro_batch, download, last_forward);
  }
  if (builder->server_trains)
    pp_schedule_add(builder, PP_STAGE_SERVER_UPDATE, -1, server_backward, -1);
  pp_schedule_add(builder, PP_STAGE_DEVICE_UPDATE, -1, backward, -1);
}
