#include "sched/generators.h"

static void add_outbound(pp_schedule_builder *builder, int micro_batch, int after) {
  int forward = pp_schedule_add(builder, PP_STAGE_FORWARD, micro_batch, after, -1);
  pp_schedule_add(builder, PP_STAGE_UPLOAD, micro_batch, forward, -1);
}

/* One forward, one backward (PipeDream: Narayanan et al., SOSP 2019) on the device: a backward as soon as its gradient
 * is there, and no forward while in_flight micro-batches lie between their forward and their backward. */
void pp_generate_1f1b(pp_schedule_builder *builder) {
  enum { ops_between = 6 };
  int micro_batches = builder->schedule->micro_batches;
  int in_flight = builder->in_flight < micro_batches ? builder->in_flight : micro_batches;
  int server_backward = -1, backward = -1;
  for (int micro_batch = 0; micro_batch < in_flight; micro_batch++)
    add_outbound(builder, micro_batch, -1);
  for (int micro_batch = 0; micro_batch < micro_batches; micro_batch++) {
    /* Two operations each in the first lot; later ones follow the micro-batch that made room for them. */
    int own_upload = micro_batch < in_flight
                         ? 2 * micro_batch + 1
                         : 2 * in_flight + ops_between * (micro_batch - in_flight) + ops_between - 1;
    int server_forward = pp_schedule_add(builder, PP_STAGE_SERVER_FORWARD, micro_batch, own_upload, -1);
    server_backward = pp_schedule_add(builder, PP_STAGE_SERVER_BACKWARD, micro_batch, server_forward, -1);
    int download = pp_schedule_add(builder, PP_STAGE_DOWNLOAD, micro_batch, server_backward, -1);
    backward = pp_schedule_add(builder, PP_STAGE_BACKWARD, micro_batch, download, -1);
    if (micro_batch + in_flight < micro_batches)
      add_outbound(builder, micro_batch + in_flight, backward);
  }
  if (builder->server_trains)
    pp_schedule_add(builder, PP_STAGE_SERVER_UPDATE, -1, server_backward, -1);
  pp_schedule_add(builder, PP_STAGE_DEVICE_UPDATE, -1, backward, -1);
}
