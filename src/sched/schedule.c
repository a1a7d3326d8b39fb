#include "pipar/schedule.h"

#include <stdlib.h>

#include "base/mem.h"
#include "sched/generators.h"

static const struct {
  const char *name;
  pp_resource resource;
} stages[PP_STAGE_COUNT] = {
    [PP_STAGE_FORWARD] = {"forward", PP_RESOURCE_DEVICE},
    [PP_STAGE_UPLOAD] = {"upload", PP_RESOURCE_UPLINK},
    [PP_STAGE_SERVER_FORWARD] = {"server_forward", PP_RESOURCE_SERVER},
    [PP_STAGE_SERVER_BACKWARD] = {"server_backward", PP_RESOURCE_SERVER},
    [PP_STAGE_DOWNLOAD] = {"download", PP_RESOURCE_DOWNLINK},
    [PP_STAGE_BACKWARD] = {"backward", PP_RESOURCE_DEVICE},
    [PP_STAGE_DEVICE_UPDATE] = {"device_update", PP_RESOURCE_DEVICE},
    [PP_STAGE_SERVER_UPDATE] = {"server_update", PP_RESOURCE_SERVER},
    [PP_STAGE_MODEL_UPLOAD] = {"model_upload", PP_RESOURCE_UPLINK},
    [PP_STAGE_AGGREGATE] = {"aggregate", PP_RESOURCE_SERVER},
    [PP_STAGE_MODEL_DOWNLOAD] = {"model_download", PP_RESOURCE_DOWNLINK},
    [PP_STAGE_SERVER_BACKWARD_INPUT] = {"server_backward_input", PP_RESOURCE_SERVER},
    [PP_STAGE_SERVER_BACKWARD_WEIGHT] = {"server_backward_weight", PP_RESOURCE_SERVER},
};

const char *pp_stage_name(pp_stage stage) { return stages[stage].name; }

pp_resource pp_stage_resource(pp_stage stage) { return stages[stage].resource; }

int pp_micro_batch_size(int batch, int micro_batches, int micro_batch) {
  return batch / micro_batches + (micro_batch < batch % micro_batches ? 1 : 0);
}

int pp_micro_batch_first(int batch, int micro_batches, int micro_batch) {
  int larger = batch % micro_batches;
  return micro_batch * (batch / micro_batches) + (micro_batch < larger ? micro_batch : larger);
}

int pp_schedule_add(pp_schedule_builder *builder, pp_stage stage, int micro_batch, int after, int also_after) {
  pp_schedule *schedule = builder->schedule;
  bool whole = micro_batch < 0;
  schedule->ops[schedule->op_count] = (pp_op){
      .stage = stage,
      .micro_batch = micro_batch,
      .first_sample = whole ? 0 : pp_micro_batch_first(schedule->batch, schedule->micro_batches, micro_batch),
      .samples = whole ? schedule->batch : pp_micro_batch_size(schedule->batch, schedule->micro_batches, micro_batch),
      .after = {after, also_after},
  };
  return schedule->op_count++;
}

/* A new method is a generator and a line here. What it is made of is in pp_method_splits and pp_method_pipelines. */
static const struct {
  void (*generate)(pp_schedule_builder *builder);
  int ops_per_micro_batch; /* at most, besides updates */
} methods[] = {
    [PP_METHOD_FL] = {pp_generate_fl, .ops_per_micro_batch = 2},
    [PP_METHOD_SL] = {pp_generate_sl, .ops_per_micro_batch = 6},
    [PP_METHOD_SFL] = {pp_generate_pipar, .ops_per_micro_batch = 6},
    [PP_METHOD_PIPAR] = {pp_generate_pipar, .ops_per_micro_batch = 6},
    [PP_METHOD_1F1B] = {pp_generate_1f1b, .ops_per_micro_batch = 6},
    [PP_METHOD_BW_SPLIT] = {pp_generate_bw_split, .ops_per_micro_batch = 7},
};
enum { updates = 2 };

/* Gradients are added up in this order wherever the ranks are: one alone goes through a mini-batch depth first. */
static bool micro_batches_rise(const pp_schedule *schedule) {
  int next[PP_STAGE_COUNT] = {0};
  for (int index = 0; index < schedule->op_count; index++) {
    const pp_op *op = &schedule->ops[index];
    if (op->micro_batch >= 0 && op->micro_batch != next[op->stage]++)
      return false;
  }
  return true;
}

pp_status pp_schedule_create(pp_method method, int batch, int micro_batches, int split, int in_flight, int blocks,
                             pp_schedule **out) {
  size_t count = sizeof methods / sizeof methods[0];
  if ((size_t)method >= count || methods[method].generate == NULL)
    return pp_fail(PP_CODE_INPUT, "method: %s is not built yet", pp_method_name(method));
  PP_ASSERT(batch >= 1 && split >= 1 && split <= blocks);
  if (!pp_method_pipelines(method))
    micro_batches = 1;
  PP_ASSERT(micro_batches >= 1);
  if (micro_batches > batch)
    micro_batches = batch;
  pp_schedule *schedule = NULL;
  PP_TRY(pp_alloc(1, sizeof *schedule, "a schedule", &schedule));
  schedule->method = method;
  schedule->batch = batch;
  schedule->micro_batches = micro_batches;
  schedule->split = pp_method_splits(method) ? split : blocks;
  size_t room = (size_t)micro_batches * (size_t)methods[method].ops_per_micro_batch + updates;
  pp_status status = pp_alloc(room, sizeof *schedule->ops, "the operations of a schedule", &schedule->ops);
  if (status != NULL) {
    pp_schedule_destroy(schedule);
    return status;
  }
  pp_schedule_builder builder = {.schedule = schedule,
                                 .in_flight = in_flight > 0 ? in_flight : micro_batches,
                                 .server_trains = schedule->split < blocks};
  methods[method].generate(&builder);
  PP_ASSERT((size_t)schedule->op_count <= room && micro_batches_rise(schedule));
  *out = schedule;
  return NULL;
}

void pp_schedule_destroy(pp_schedule *schedule) {
  if (schedule == NULL)
    return;
  free(schedule->ops);
  free(schedule);
}
