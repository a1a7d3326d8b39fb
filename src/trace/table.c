#include "trace/table.h"

#include <string.h>

#include "pipar/schedule.h"
#include "trace/h5.h"

#define COLUMN_COUNT(columns) ((int)(sizeof(columns) / sizeof((columns)[0])))

#define CAUSE_COLUMNS(row)                                                                                             \
  {"device_compute_s", "s", PP_COLUMN_F64, offsetof(row, cause_s[PP_CAUSE_DEVICE_COMPUTE])},                           \
      {"upload_s", "s", PP_COLUMN_F64, offsetof(row, cause_s[PP_CAUSE_UPLOAD])},                                       \
      {"server_queue_s", "s", PP_COLUMN_F64, offsetof(row, cause_s[PP_CAUSE_SERVER_QUEUE])},                           \
      {"server_compute_s", "s", PP_COLUMN_F64, offsetof(row, cause_s[PP_CAUSE_SERVER_COMPUTE])},                       \
      {"download_s", "s", PP_COLUMN_F64, offsetof(row, cause_s[PP_CAUSE_DOWNLOAD])},                                   \
      {"latency_s", "s", PP_COLUMN_F64, offsetof(row, cause_s[PP_CAUSE_LATENCY])},                                     \
      {"aggregation_s", "s", PP_COLUMN_F64, offsetof(row, cause_s[PP_CAUSE_AGGREGATION])},                             \
      {"drain_s", "s", PP_COLUMN_F64, offsetof(row, cause_s[PP_CAUSE_DRAIN])},                                         \
      {"overrun_s", "s", PP_COLUMN_F64, offsetof(row, cause_s[PP_CAUSE_OVERRUN])}, {                                   \
    "absent_s", "s", PP_COLUMN_F64, offsetof(row, cause_s[PP_CAUSE_ABSENT])                                            \
  }

static const pp_column device_columns[] = {
    {"device", "", PP_COLUMN_I32, offsetof(pp_device_row, device)},
    {"group", "", PP_COLUMN_I32, offsetof(pp_device_row, group)},
    {"split", "blocks", PP_COLUMN_I32, offsetof(pp_device_row, split)},
    {"micro_batches", "", PP_COLUMN_I32, offsetof(pp_device_row, micro_batches)},
    {"samples", "samples", PP_COLUMN_I64, offsetof(pp_device_row, samples)},
    {"busy_s", "s", PP_COLUMN_F64, offsetof(pp_device_row, busy_s)},
    {"idle_s", "s", PP_COLUMN_F64, offsetof(pp_device_row, idle_s)},
    CAUSE_COLUMNS(pp_device_row),
    {"bytes_up", "bytes", PP_COLUMN_I64, offsetof(pp_device_row, bytes_up)},
    {"bytes_down", "bytes", PP_COLUMN_I64, offsetof(pp_device_row, bytes_down)},
};

static const pp_column server_columns[] = {
    {"slot", "", PP_COLUMN_I32, offsetof(pp_server_row, slot)},
    {"busy_s", "s", PP_COLUMN_F64, offsetof(pp_server_row, busy_s)},
    {"idle_s", "s", PP_COLUMN_F64, offsetof(pp_server_row, idle_s)},
    CAUSE_COLUMNS(pp_server_row),
};

static const pp_column round_columns[] = {
    {"round", "", PP_COLUMN_I32, offsetof(pp_round_row, round)},
    {"iterations", "", PP_COLUMN_I64, offsetof(pp_round_row, iterations)},
    {"end_s", "s", PP_COLUMN_F64, offsetof(pp_round_row, end_s)},
    {"train_loss", "", PP_COLUMN_F64, offsetof(pp_round_row, train_loss)},
    {"train_accuracy", "fraction", PP_COLUMN_F64, offsetof(pp_round_row, train_accuracy)},
    {"test_accuracy", "fraction", PP_COLUMN_F64, offsetof(pp_round_row, test_accuracy)},
    {"server_idle_s", "s", PP_COLUMN_F64, offsetof(pp_round_row, server_idle_s)},
    {"device_idle_s", "s", PP_COLUMN_F64, offsetof(pp_round_row, device_idle_s)},
    {"epsilon", "", PP_COLUMN_F64, offsetof(pp_round_row, epsilon)},
};

static const pp_column stage_columns[] = {
    {"device", "", PP_COLUMN_I32, offsetof(pp_stage_record, device)},
    {"slot", "", PP_COLUMN_I32, offsetof(pp_stage_record, slot)},
    {"round", "", PP_COLUMN_I32, offsetof(pp_stage_record, round)},
    {"iteration", "", PP_COLUMN_I32, offsetof(pp_stage_record, iteration)},
    {"micro_batch", "", PP_COLUMN_I32, offsetof(pp_stage_record, micro_batch)},
    {"stage", "", PP_COLUMN_STAGE, offsetof(pp_stage_record, stage)},
    {"start_ns", "ns", PP_COLUMN_I64, offsetof(pp_stage_record, start_ns)},
    {"end_ns", "ns", PP_COLUMN_I64, offsetof(pp_stage_record, end_ns)},
    {"bytes", "bytes", PP_COLUMN_I64, offsetof(pp_stage_record, bytes)},
};

static const pp_column plan_columns[] = {
    {"group", "", PP_COLUMN_I32, offsetof(pp_plan_row, group)},
    {"split", "blocks", PP_COLUMN_I32, offsetof(pp_plan_row, split)},
    {"micro_batches", "", PP_COLUMN_I32, offsetof(pp_plan_row, micro_batches)},
    {"makespan_s", "s", PP_COLUMN_F64, offsetof(pp_plan_row, makespan_s)},
    {"chosen", "", PP_COLUMN_I32, offsetof(pp_plan_row, chosen)},
    {"round", "", PP_COLUMN_I32, offsetof(pp_plan_row, round)},
};

static const pp_column round_plan_columns[] = {
    {"round", "", PP_COLUMN_I32, offsetof(pp_round_plan_row, round)},
    {"group", "", PP_COLUMN_I32, offsetof(pp_round_plan_row, group)},
    {"split", "blocks", PP_COLUMN_I32, offsetof(pp_round_plan_row, split)},
    {"micro_batches", "", PP_COLUMN_I32, offsetof(pp_round_plan_row, micro_batches)},
};

static const pp_column network_columns[] = {
    {"block", "", PP_COLUMN_I32, offsetof(pp_network_row, block)},
    {"forward_flops", "FLOP/sample", PP_COLUMN_I64, offsetof(pp_network_row, forward_flops)},
    {"parameters", "", PP_COLUMN_I64, offsetof(pp_network_row, parameters)},
    {"statistics", "", PP_COLUMN_I64, offsetof(pp_network_row, statistics)},
    {"activation_bytes", "bytes/sample", PP_COLUMN_I64, offsetof(pp_network_row, activation_bytes)},
};

static const pp_column cost_columns[] = {
    {"group", "", PP_COLUMN_I32, offsetof(pp_cost_row, group)},
    {"stage", "", PP_COLUMN_STAGE, offsetof(pp_cost_row, stage)},
    {"split", "blocks", PP_COLUMN_I32, offsetof(pp_cost_row, split)},
    {"samples", "samples", PP_COLUMN_I32, offsetof(pp_cost_row, samples)},
    {"seconds", "s", PP_COLUMN_F64, offsetof(pp_cost_row, seconds)},
    {"bytes", "bytes", PP_COLUMN_I64, offsetof(pp_cost_row, bytes)},
};

static const pp_table tables[PP_TABLE_COUNT] = {
    [PP_TABLE_DEVICES] = {"devices", sizeof(pp_device_row), COLUMN_COUNT(device_columns), device_columns},
    [PP_TABLE_SERVER] = {"server", sizeof(pp_server_row), COLUMN_COUNT(server_columns), server_columns},
    [PP_TABLE_ROUNDS] = {"rounds", sizeof(pp_round_row), COLUMN_COUNT(round_columns), round_columns},
    [PP_TABLE_STAGES] = {"stages", sizeof(pp_stage_record), COLUMN_COUNT(stage_columns), stage_columns},
    [PP_TABLE_PLAN] = {"plan", sizeof(pp_plan_row), COLUMN_COUNT(plan_columns), plan_columns},
    [PP_TABLE_ROUND_PLANS] = {"round_plans", sizeof(pp_round_plan_row), COLUMN_COUNT(round_plan_columns),
                              round_plan_columns},
    [PP_TABLE_NETWORK] = {"network", sizeof(pp_network_row), COLUMN_COUNT(network_columns), network_columns},
    [PP_TABLE_COSTS] = {"costs", sizeof(pp_cost_row), COLUMN_COUNT(cost_columns), cost_columns},
};

const pp_table *pp_table_of(pp_table_id id) { return &tables[id]; }

static pp_status create_stage_type(hid_t base, const char *path, hid_t *out) {
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_RUN, "open", path, type = H5Tenum_create(base));
  for (int32_t stage = 0; stage < PP_STAGE_COUNT; stage++) {
    /* Values are given in native numbers and kept in the base type. */
    int32_t value = stage;
    PP_TRY_H5(PP_CODE_RUN, "open", path, H5Tconvert(H5T_NATIVE_INT32, base, 1, &value, NULL, H5P_DEFAULT));
    PP_TRY_H5(PP_CODE_RUN, "open", path, H5Tenum_insert(type, pp_stage_name((pp_stage)stage), &value));
  }
  *out = type;
  type = H5I_INVALID_HID;
  return NULL;
}

static size_t column_bytes(pp_column_type type) {
  return type == PP_COLUMN_I32 || type == PP_COLUMN_STAGE ? sizeof(int32_t) : sizeof(int64_t);
}

static pp_status create_row_type(const pp_table *table, bool in_memory, const char *path, hid_t *out) {
  PP_H5_AUTO stage = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_TRY(create_stage_type(in_memory ? H5T_NATIVE_INT32 : H5T_STD_I32LE, path, &stage));
  const hid_t members[] = {
      [PP_COLUMN_I32] = in_memory ? H5T_NATIVE_INT32 : H5T_STD_I32LE,
      [PP_COLUMN_I64] = in_memory ? H5T_NATIVE_INT64 : H5T_STD_I64LE,
      [PP_COLUMN_F64] = in_memory ? H5T_NATIVE_DOUBLE : H5T_IEEE_F64LE,
      [PP_COLUMN_STAGE] = stage,
  };
  size_t bytes = 0;
  for (int column = 0; column < table->column_count; column++)
    bytes += column_bytes(table->columns[column].type);
  PP_TRY_H5(PP_CODE_RUN, "open", path, type = H5Tcreate(H5T_COMPOUND, in_memory ? table->row_bytes : bytes));
  size_t offset = 0;
  for (int column = 0; column < table->column_count; column++) {
    const pp_column *of = &table->columns[column];
    PP_TRY_H5(PP_CODE_RUN, "open", path, H5Tinsert(type, of->name, in_memory ? of->offset : offset, members[of->type]));
    offset += column_bytes(of->type);
  }
  *out = type;
  type = H5I_INVALID_HID;
  return NULL;
}

pp_status pp_table_file_type(const pp_table *table, const char *path, hid_t *out) {
  return create_row_type(table, false, path, out);
}

pp_status pp_table_memory_type(const pp_table *table, const char *path, hid_t *out) {
  return create_row_type(table, true, path, out);
}

const char *const pp_summary_reals[7] = {"makespan_s", "server_busy_s", "server_idle_s", "device_idle_s",
                                         "train_loss", "test_accuracy", "overrun_s"};
const char *const pp_summary_integers[2] = {"bytes_up", "bytes_down"};

bool pp_is_summary(const char *attribute) {
  if (strcmp(attribute, "status") == 0)
    return true;
  for (int real = 0; real < COLUMN_COUNT(pp_summary_reals); real++)
    if (strcmp(attribute, pp_summary_reals[real]) == 0)
      return true;
  for (int integer = 0; integer < COLUMN_COUNT(pp_summary_integers); integer++)
    if (strcmp(attribute, pp_summary_integers[integer]) == 0)
      return true;
  return false;
}

double *pp_summary_real(pp_run_summary *summary, int attribute) {
  double *const values[] = {&summary->makespan_s,    &summary->server_busy_s, &summary->server_idle_s,
                            &summary->device_idle_s, &summary->train_loss,    &summary->test_accuracy,
                            &summary->overrun_s};
  return values[attribute];
}

int64_t *pp_summary_integer(pp_run_summary *summary, int attribute) {
  return attribute == 0 ? &summary->bytes_up : &summary->bytes_down;
}
