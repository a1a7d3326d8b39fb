/* A schedule is data: what one device and its server-side replica do in one iteration, as an ordered list of
 * operations. The timeline interprets it in emulated time, the runtime with tensors. */
#ifndef PIPAR_SCHEDULE_H
#define PIPAR_SCHEDULE_H

#include <stdint.h>

#include "pipar/config.h"
#include "pipar/status.h"

/* Numbered as in results files. */
typedef enum pp_stage {
  PP_STAGE_FORWARD = 0,
  PP_STAGE_UPLOAD = 1,
  PP_STAGE_SERVER_FORWARD = 2,
  PP_STAGE_SERVER_BACKWARD = 3,
  PP_STAGE_DOWNLOAD = 4,
  PP_STAGE_BACKWARD = 5,
  PP_STAGE_DEVICE_UPDATE = 6,
  PP_STAGE_SERVER_UPDATE = 7,
  PP_STAGE_MODEL_UPLOAD = 8,
  PP_STAGE_AGGREGATE = 9,
  PP_STAGE_MODEL_DOWNLOAD = 10,
  PP_STAGE_SERVER_BACKWARD_INPUT = 11,
  PP_STAGE_SERVER_BACKWARD_WEIGHT = 12,
} pp_stage;
enum { PP_STAGE_COUNT = 13 };
const char *pp_stage_name(pp_stage stage); /* "server_forward" */

typedef enum pp_resource {
  PP_RESOURCE_DEVICE,
  PP_RESOURCE_UPLINK,
  PP_RESOURCE_SERVER,
  PP_RESOURCE_DOWNLINK
} pp_resource;
pp_resource pp_stage_resource(pp_stage stage);

typedef struct pp_op {
  pp_stage stage;
  int micro_batch;  /* -1: belongs to none */
  int first_sample; /* within the mini-batch */
  int samples;
  int after[2]; /* operations of this list that must have ended (transfers: arrived) before; -1: none */
  int64_t cost; /* compute stages: ns; transfers: bytes. 0 until the cost model fills it in */
} pp_op;

/* One iteration of one device and its replica. The order within a resource is the list's order, except where a link
 * or, in 1f1b, the device takes what is ready first. */
typedef struct pp_schedule {
  pp_method method;
  int batch;         /* samples of the mini-batch */
  int micro_batches; /* N' = min(N, batch) */
  int split;         /* blocks on the device; all of them in fl */
  int op_count;
  pp_op *ops; /* (op_count) */
  /* What follows the last iteration of a round, per device: bytes of the model both ways. */
  int64_t model_upload_bytes, model_download_bytes;
} pp_schedule;

/* Emits the operations of `method` with costs of 0. micro_batches is cut down to batch where it is larger; fl and sfl
 * ignore it. `blocks` is the network's number of blocks, 1 <= split <= blocks. The caller destroys the schedule.
 * Errors: a method that is not built yet (PP_CODE_INPUT), memory. */
PP_MUST_CHECK pp_status pp_schedule_create(pp_method method, int batch, int micro_batches, int split, int in_flight,
                                           int blocks, pp_schedule **out);
void pp_schedule_destroy(pp_schedule *schedule);

/* Size and first sample of micro-batch j of N over `batch` samples: sizes differ by at most one, larger first. */
int pp_micro_batch_size(int batch, int micro_batches, int micro_batch);
int pp_micro_batch_first(int batch, int micro_batches, int micro_batch);

#endif
