#include "app/bounds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/stage_scan.h"
#include "base/mem.h"

typedef enum stage_part { FORWARD, UPLOAD, SERVER, DOWNLOAD, BACKWARD, PARTS } stage_part;

typedef struct device_state {
  int64_t up_latency_ns, down_latency_ns;
  int micro_batches;            /* seen in the current iteration */
  int64_t (*lengths_ns)[PARTS]; /* (micro_batches) */
  int64_t round_ns;             /* its iterations in the current round */
  int64_t busy_ns[3];           /* in all: device, uplink, downlink */
} device_state;

typedef struct bound_state {
  int64_t device_count;
  int micro_batches;
  device_state *devices; /* (device_count) */
  bool is_async;         /* devices do not wait for each other: no round ends for all */
  int32_t round;
  int64_t aggregate_ns, longest_ns, longest_download_ns; /* of the current round */
  int64_t path_ns;                                       /* of the rounds before */
} bound_state;

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* The iteration's bound: for each part, what must come before its first, all of it, and what must come after its last.
 */
static int64_t iteration_bound(const device_state *of) {
  int64_t longest = 0, device = 0;
  for (int micro_batch = 0; micro_batch < of->micro_batches; micro_batch++)
    device += of->lengths_ns[micro_batch][FORWARD] + of->lengths_ns[micro_batch][BACKWARD];
  longest = device;
  for (int part = UPLOAD; part <= DOWNLOAD; part++) {
    int64_t sum = 0, before = INT64_MAX, after = INT64_MAX;
    for (int micro_batch = 0; micro_batch < of->micro_batches; micro_batch++) {
      const int64_t *length_ns = of->lengths_ns[micro_batch];
      int64_t head = 0, tail = 0;
      for (int other = FORWARD; other < part; other++)
        head += length_ns[other] + (other == UPLOAD ? of->up_latency_ns : 0);
      for (int other = part + 1; other < PARTS; other++)
        tail += length_ns[other] + (other == DOWNLOAD ? of->down_latency_ns : 0);
      if (part == UPLOAD)
        tail += of->up_latency_ns;
      if (part == DOWNLOAD)
        tail += of->down_latency_ns;
      sum += length_ns[part];
      before = smaller(before, head);
      after = smaller(after, tail);
      longest = larger(longest, head + length_ns[part] + tail);
    }
    if (sum > 0)
      longest = larger(longest, before + sum + after);
  }
  return longest;
}

static void end_round(bound_state *state) {
  for (int64_t device = 0; device < state->device_count; device++) {
    state->longest_ns = larger(state->longest_ns, state->devices[device].round_ns);
    state->devices[device].round_ns = 0;
  }
  state->path_ns += state->longest_ns + state->aggregate_ns + state->longest_download_ns;
  state->longest_ns = state->aggregate_ns = state->longest_download_ns = 0;
}

static void take_part(device_state *of, int most, int micro_batch, stage_part which, int64_t length_ns) {
  if (micro_batch < 0 || micro_batch >= most)
    return;
  for (; of->micro_batches <= micro_batch; of->micro_batches++)
    memset(of->lengths_ns[of->micro_batches], 0, sizeof of->lengths_ns[0]);
  of->lengths_ns[micro_batch][which] += length_ns;
}

static bool take_stage(const pp_stage_record *row, void *context) {
  bound_state *state = context;
  int64_t length_ns = row->end_ns - row->start_ns;
  if (row->round != state->round && !state->is_async) {
    end_round(state);
    state->round = row->round;
  }
  if (row->stage == PP_STAGE_AGGREGATE)
    state->aggregate_ns = length_ns + (state->is_async ? 0 : state->aggregate_ns);
  if (row->device < 0)
    return true;
  device_state *of = &state->devices[row->device];
  pp_resource resource = pp_stage_resource((pp_stage)row->stage);
  if (resource == PP_RESOURCE_DEVICE)
    of->busy_ns[0] += length_ns;
  else if (resource == PP_RESOURCE_UPLINK)
    of->busy_ns[1] += length_ns;
  else if (resource == PP_RESOURCE_DOWNLINK)
    of->busy_ns[2] += length_ns;
  switch ((pp_stage)row->stage) {
  case PP_STAGE_FORWARD:
    take_part(of, state->micro_batches, row->micro_batch, FORWARD, length_ns);
    break;
  case PP_STAGE_UPLOAD:
    take_part(of, state->micro_batches, row->micro_batch, UPLOAD, length_ns);
    break;
  case PP_STAGE_SERVER_FORWARD:
  case PP_STAGE_SERVER_BACKWARD:
  case PP_STAGE_SERVER_BACKWARD_INPUT:
    take_part(of, state->micro_batches, row->micro_batch, SERVER, length_ns);
    break;
  case PP_STAGE_DOWNLOAD:
    take_part(of, state->micro_batches, row->micro_batch, DOWNLOAD, length_ns);
    break;
  case PP_STAGE_BACKWARD:
    take_part(of, state->micro_batches, row->micro_batch, BACKWARD, length_ns);
    break;
  case PP_STAGE_DEVICE_UPDATE:
    of->round_ns += iteration_bound(of) + length_ns;
    of->micro_batches = 0;
    break;
  case PP_STAGE_MODEL_UPLOAD:
    of->round_ns += length_ns + of->up_latency_ns;
    break;
  case PP_STAGE_MODEL_DOWNLOAD:
    if (state->is_async) {
      of->round_ns += length_ns + of->down_latency_ns;
      break;
    }
    state->longest_download_ns = larger(state->longest_download_ns, length_ns + of->down_latency_ns);
    break;
  default:
    break;
  }
  return true;
}

/* Where nobody waits for the others a device's own path and the last aggregate are left. */
static bool is_async(const pp_report_run *run) {
  return strcmp(pp_report_setting_text(run, "aggregate.mode"), "async") == 0;
}

static bool has_barriers(const pp_report_run *run) {
  const char *deadline = pp_report_setting_text(run, "aggregate.deadline_s");
  return strcmp(run->info.method, "sl") != 0 && (deadline[0] == '\0' || strcmp(deadline, "none") == 0);
}

pp_status pp_bounds_of(const pp_report *report, const pp_report_run *run, pp_bounds *out) {
  *out = (pp_bounds){NAN, NAN};
  if (run->info.stage_count == 0 || run->info.device_count == 0 || !has_barriers(run))
    return NULL;
  bool local = strcmp(run->info.method, "fl") == 0;
  size_t devices = (size_t)run->info.device_count;
  bound_state state = {.is_async = is_async(run),
                       .device_count = run->info.device_count,
                       .micro_batches = local || run->most_micro_batches < 1 ? 1 : run->most_micro_batches};
  int64_t(*lengths_ns)[PARTS] = NULL;
  int32_t *groups = NULL;
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc(devices, sizeof *state.devices, "devices", &state.devices), done);
  PP_TRY_GOTO(status, pp_alloc(devices * (size_t)state.micro_batches, sizeof *lengths_ns, "stages", &lengths_ns), done);
  PP_TRY_GOTO(status, pp_stage_groups(report, run, &groups), done);
  for (size_t device = 0; device < devices; device++) {
    device_state *of = &state.devices[device];
    of->up_latency_ns = pp_stage_latency_ns(run, groups[device], true);
    of->down_latency_ns = pp_stage_latency_ns(run, groups[device], false);
    if (local) /* no transfers inside an iteration */
      of->up_latency_ns = of->down_latency_ns = 0;
    of->lengths_ns = lengths_ns + device * (size_t)state.micro_batches;
  }
  PP_TRY_GOTO(status, pp_stage_scan(report, run, take_stage, &state), done);
  end_round(&state);
  out->path_s = (double)state.path_ns * 1e-9;
  out->busiest_s = run->info.summary.server_busy_s / (double)run->info.slot_count;
  for (size_t device = 0; device < devices; device++)
    for (int resource = 0; resource < 3; resource++)
      out->busiest_s = fmax(out->busiest_s, (double)state.devices[device].busy_ns[resource] * 1e-9);
done:
  free(state.devices);
  free(lengths_ns);
  free(groups);
  return status;
}
