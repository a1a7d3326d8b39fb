#include "app/idle_as_published.h"

#include <stdlib.h>
#include <string.h>

#include "app/stage_scan.h"
#include "base/mem.h"

typedef struct replica {
  int64_t up_latency_ns, down_latency_ns;
  int64_t server_free_ns; /* end of what it last did */
  int64_t device_free_ns;
  int64_t server_idle_ns, device_idle_ns;
  int64_t *arrivals_ns; /* (micro_batches), of the uploads of the current iteration */
} replica;

typedef struct idle_state {
  bool local; /* fl */
  int micro_batches;
  replica *replicas; /* (device_count) */
} idle_state;

static void wait_server(replica *of, int64_t until_ns) {
  if (until_ns > of->server_free_ns)
    of->server_idle_ns += until_ns - of->server_free_ns;
}

static void take_device(replica *of, const pp_stage_record *row) {
  if (row->start_ns > of->device_free_ns)
    of->device_idle_ns += row->start_ns - of->device_free_ns;
  of->device_free_ns = row->end_ns;
}

static bool take_stage(const pp_stage_record *row, void *context) {
  idle_state *state = context;
  if (row->device < 0)
    return true;
  replica *of = &state->replicas[row->device];
  switch ((pp_stage)row->stage) {
  case PP_STAGE_UPLOAD:
    if (row->micro_batch >= 0 && row->micro_batch < state->micro_batches)
      of->arrivals_ns[row->micro_batch] = row->end_ns + of->up_latency_ns;
    break;
  case PP_STAGE_SERVER_FORWARD:
    if (row->micro_batch >= 0 && row->micro_batch < state->micro_batches)
      wait_server(of, of->arrivals_ns[row->micro_batch]);
    of->server_free_ns = row->end_ns;
    break;
  case PP_STAGE_SERVER_BACKWARD:
  case PP_STAGE_SERVER_BACKWARD_INPUT:
  case PP_STAGE_SERVER_BACKWARD_WEIGHT:
  case PP_STAGE_SERVER_UPDATE:
    of->server_free_ns = row->end_ns;
    break;
  case PP_STAGE_BACKWARD:
    take_device(of, row);
    if (state->local) {
      wait_server(of, row->end_ns + of->up_latency_ns);
      of->server_free_ns = row->end_ns + of->up_latency_ns;
    }
    break;
  case PP_STAGE_FORWARD:
  case PP_STAGE_DEVICE_UPDATE:
    take_device(of, row);
    break;
  case PP_STAGE_MODEL_DOWNLOAD:
    of->server_free_ns = row->end_ns;
    of->device_idle_ns += row->end_ns + of->down_latency_ns - of->device_free_ns;
    of->device_free_ns = row->end_ns + of->down_latency_ns;
    break;
  default:
    break;
  }
  return true;
}

static pp_status check_run(const pp_report_run *run) {
  const char *policy = pp_report_setting_text(run, "server.policy");
  if (run->info.stage_count == 0)
    return pp_fail(PP_CODE_INPUT,
                   "run %d has no stages, which idle time as published is computed from: allowed is "
                   "record.stages: true",
                   run->info.run);
  if (strcmp(policy, "space-share") != 0 || run->info.slot_count != run->info.device_count)
    return pp_fail(PP_CODE_INPUT,
                   "run %d has server.policy %s and %lld slots for %lld devices: idle time as published allows "
                   "space-share and a slot a device",
                   run->info.run, policy, (long long)run->info.slot_count, (long long)run->info.device_count);
  if (strcmp(run->info.method, "sl") == 0)
    return pp_fail(PP_CODE_INPUT,
                   "run %d: idle time as published is not defined for sl, which the published code does "
                   "not have",
                   run->info.run);
  return NULL;
}

pp_status pp_idle_as_published_of(const pp_report *report, const pp_report_run *run, pp_idle_as_published *out) {
  PP_TRY(check_run(run));
  size_t devices = (size_t)run->info.device_count;
  idle_state state = {.local = strcmp(run->info.method, "fl") == 0,
                      .micro_batches = run->most_micro_batches > 0 ? run->most_micro_batches : 1};
  int64_t *arrivals_ns = NULL;
  int32_t *groups = NULL;
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc(devices, sizeof *state.replicas, "replicas", &state.replicas), done);
  PP_TRY_GOTO(status, pp_alloc(devices * (size_t)state.micro_batches, sizeof *arrivals_ns, "arrivals", &arrivals_ns),
              done);
  PP_TRY_GOTO(status, pp_stage_groups(report, run, &groups), done);
  for (size_t device = 0; device < devices; device++) {
    replica *of = &state.replicas[device];
    of->up_latency_ns = pp_stage_latency_ns(run, groups[device], true);
    of->down_latency_ns = pp_stage_latency_ns(run, groups[device], false);
    of->arrivals_ns = arrivals_ns + device * (size_t)state.micro_batches;
  }
  PP_TRY_GOTO(status, pp_stage_scan(report, run, take_stage, &state), done);
  *out = (pp_idle_as_published){0, 0};
  for (size_t device = 0; device < devices; device++) {
    out->server_s += (double)state.replicas[device].server_idle_ns * 1e-9 / (double)devices;
    out->device_s += (double)state.replicas[device].device_idle_ns * 1e-9 / (double)devices;
  }
done:
  free(state.replicas);
  free(arrivals_ns);
  free(groups);
  return status;
}
