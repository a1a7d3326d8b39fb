#include "runtime/inputs.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/time.h"

typedef struct cost_list {
  int64_t count, room;
  pp_cost_row *rows;
} cost_list;

static pp_cost_row row_of(int group, pp_stage stage, int split, int samples, int64_t cost) {
  pp_resource resource = pp_stage_resource(stage);
  bool computes = resource == PP_RESOURCE_DEVICE || resource == PP_RESOURCE_SERVER;
  return (pp_cost_row){.group = group,
                       .stage = (int32_t)stage,
                       .split = split,
                       .samples = samples,
                       .seconds = computes && cost > 0 ? pp_seconds(cost) : (double)NAN, /* 0: measured */
                       .bytes = computes ? 0 : cost};
}

static bool is_same(const pp_cost_row *a, const pp_cost_row *b) {
  bool same_time = a->seconds == b->seconds || (isnan(a->seconds) && isnan(b->seconds));
  return a->group == b->group && a->stage == b->stage && a->split == b->split && a->samples == b->samples &&
         same_time && a->bytes == b->bytes;
}

/* Unless it is there: the rows of one group lie together. */
static pp_status add(cost_list *list, pp_cost_row row) {
  for (int64_t at = list->count - 1; at >= 0 && list->rows[at].group == row.group; at--)
    if (is_same(&list->rows[at], &row))
      return NULL;
  if (list->count == list->room) {
    int64_t room = 2 * list->room + 64;
    pp_cost_row *rows = realloc(list->rows, (size_t)room * sizeof *rows);
    if (rows == NULL)
      return pp_fail_memory("the costs of stages", (unsigned long long)room * sizeof *rows);
    list->rows = rows;
    list->room = room;
  }
  list->rows[list->count++] = row;
  return NULL;
}

static pp_status add_schedule(cost_list *list, int group, const pp_schedule *schedule) {
  if (schedule == NULL)
    return NULL;
  for (int index = 0; index < schedule->op_count; index++) {
    const pp_op *op = &schedule->ops[index];
    PP_TRY(add(list, row_of(group, op->stage, schedule->split, op->micro_batch < 0 ? 0 : op->samples, op->cost)));
  }
  PP_TRY(add(list, row_of(group, PP_STAGE_MODEL_UPLOAD, schedule->split, 0, schedule->model_upload_bytes)));
  return add(list, row_of(group, PP_STAGE_MODEL_DOWNLOAD, schedule->split, 0, schedule->model_download_bytes));
}

static pp_status list_costs(cost_list *list, const pp_scenario *scenario) {
  for (int index = 0; index < scenario->class_count; index++) {
    const pp_device_class *class = &scenario->classes[index];
    PP_TRY(add_schedule(list, class->group, class->full));
    PP_TRY(add_schedule(list, class->group, class->ragged));
    PP_TRY(add_schedule(list, class->group, class->closing_full));
    PP_TRY(add_schedule(list, class->group, class->closing_ragged));
  }
  if (scenario->aggregate_ns == 0)
    return NULL;
  return add(list, row_of(-1, PP_STAGE_AGGREGATE, 0, 0, scenario->aggregate_ns));
}

static pp_network_row describe_block(const pp_model *model, int block) {
  const pp_block_info *info = pp_model_block(model, block);
  pp_network_row row = {.block = block,
                        .parameters = info->parameters,
                        .statistics = info->statistics,
                        .activation_bytes = 4 * pp_shape_elements(info->output)};
  for (int layer = 0; layer < info->layer_count; layer++)
    row.forward_flops += 2 * info->layers[layer].macs;
  return row;
}

pp_status pp_run_inputs_write(pp_sink *sink, const pp_scenario *scenario, const pp_model *model) {
  cost_list list = {0};
  pp_network_row *network = NULL;
  int blocks = model == NULL ? 0 : pp_model_block_count(model);
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc((size_t)blocks, sizeof *network, "the blocks of the network", &network), done);
  for (int block = 0; block < blocks; block++)
    network[block] = describe_block(model, block);
  PP_TRY_GOTO(status, list_costs(&list, scenario), done);
  status = pp_sink_inputs(sink, network, blocks, list.rows, list.count);
done:
  free(network);
  free(list.rows);
  return status;
}
