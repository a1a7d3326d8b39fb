#include "runtime/records.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Rank 0: a round whose times are known goes into the file. */
static pp_status write_round(pp_run *run, const pp_round_times *times, pp_round_row *row) {
  row->round = (int32_t)times->round;
  row->iterations = times->iterations;
  row->end_s = pp_seconds(times->end_ns);
  row->server_idle_s = times->server_idle_s;
  row->device_idle_s = times->device_idle_s;
  return pp_sink_round(run->request.sink, times->records, times->record_count, row, run->scenario->rounds);
}

/* Rows for as many records as the journal has room for, so that it is the journal that decides when to grow. */
static pp_status reserve_observed(pp_run *run, int64_t count) {
  if (count <= run->stage_room)
    return NULL;
  free(run->stages);
  free(run->arrivals_ns);
  run->stages = NULL;
  run->arrivals_ns = NULL;
  run->stage_room = 0;
  PP_TRY(pp_alloc((size_t)count, sizeof *run->stages, "stage records", &run->stages));
  PP_TRY(pp_alloc((size_t)count, sizeof *run->arrivals_ns, "stage records", &run->arrivals_ns));
  run->stage_room = count;
  return NULL;
}

/* Rank 0: takes a round's rows out of its journal, into run->stages and run->arrivals_ns. */
static pp_status take_rows(pp_run *run, int64_t round, int64_t *taken) {
  pp_journal *records = run->local != NULL ? pp_local_journal(run->local) : pp_server_rank_journal(run->server);
  PP_TRY(reserve_observed(run, records->capacity));
  int64_t count = 0, kept = 0;
  for (int64_t i = 0; i < records->count; i++) {
    if (records->rows[i].stage.round == round) {
      run->stages[count] = records->rows[i].stage;
      run->arrivals_ns[count++] = records->rows[i].arrival_ns;
    } else {
      records->rows[kept++] = records->rows[i];
    }
  }
  records->count = kept;
  *taken = count;
  return NULL;
}

/* Rank 0, wall clock: what was recorded of a round, now complete, goes through the timeline and into the file. */
static pp_status observe_round(pp_run *run, int64_t round, pp_round_row *row) {
  int64_t count = 0;
  PP_TRY(take_rows(run, round, &count));
  pp_round_times times;
  PP_TRY(pp_timeline_observe_round(run->timeline, count, run->stages, run->arrivals_ns, &times));
  return write_round(run, &times, row);
}

static pp_status write_next_round(pp_run *run) {
  pp_round_times times;
  PP_TRY(pp_timeline_next_round(run->timeline, &times));
  return write_round(run, &times, &run->row);
}

/* Rank 0, measured costs: a round's figures need the lengths of the next one, which begins before it ends. */
static pp_status finish_measured(pp_run *run, int64_t round, const pp_round_row *row) {
  pp_journal *lengths = run->local != NULL ? pp_local_journal(run->local) : pp_server_rank_journal(run->server);
  int64_t count = 0;
  if (run->job.config->method != PP_METHOD_SL) {
    PP_TRY(pp_journal_reserve(lengths, 1));
    pp_journal_add_length(lengths, &run->job, -1, round, -1, NULL, run->aggregate.cpu_ns);
    run->aggregate.cpu_ns = 0;
  }
  PP_TRY(take_rows(run, round, &count));
  PP_TRY(pp_timeline_take_lengths(run->timeline, round, count, run->stages));
  if (round > 0)
    PP_TRY(write_next_round(run));
  run->row = *row;
  return round + 1 == run->scenario->rounds ? write_next_round(run) : NULL;
}

/* Rank 0: the plans of a round, before the timeline goes over to others. */
static pp_status write_round_plans(pp_run *run, int64_t round) {
  if (run->replan == NULL)
    return NULL;
  const pp_group_plan *plans = pp_replan_plans(run->replan);
  pp_round_plan_row *rows = NULL;
  int groups = run->job.config->group_count;
  PP_TRY(pp_alloc((size_t)groups, sizeof *rows, "the plans of a round", &rows));
  for (int group = 0; group < groups; group++)
    rows[group] = (pp_round_plan_row){(int32_t)round, group, plans[group].split,
                                      pp_method_pipelines(run->job.config->method) ? plans[group].micro_batches : 1};
  pp_status status = pp_sink_round_plans(run->request.sink, rows, groups);
  free(rows);
  return status;
}

/* Whether the timeline has to say who takes part in a round before it is trained. */
bool pp_run_goes_first(const pp_run *run) {
  return run->scenario->has_presence && !pp_scenario_waits_for_all(run->scenario);
}

/* Under the wall clock a round is known once its last model has arrived, which is a round later. */
pp_status pp_run_finish_round(pp_run *run, int64_t round, const pp_round_row *row) {
  if (pp_run_goes_first(run)) {
    run->row = *row;
    return write_round(run, &run->times, &run->row);
  }
  if (run->clock.wall) {
    if (round > 0)
      PP_TRY(observe_round(run, round - 1, &run->row));
    run->row = *row;
    return NULL;
  }
  if (run->scenario->is_measured)
    return finish_measured(run, round, row);
  pp_round_times times;
  run->row = *row;
  PP_TRY(write_round_plans(run, round));
  PP_TRY(pp_timeline_next_round(run->timeline, &times));
  int64_t count = 0;
  const pp_plan_row *rows = run->replan != NULL ? pp_replan_take_rows(run->replan, &count) : NULL;
  if (count > 0)
    PP_TRY(pp_sink_plan(run->request.sink, rows, count));
  return write_round(run, &times, &run->row);
}

/* Under the wall clock: the last round's models are still on their way. */

/* Under the wall clock: the last round's models are still on their way. */
pp_status pp_run_drain(pp_run *run, pp_ns aggregated_ns) {
  if (!run->clock.wall)
    return NULL;
  PP_TRY(pp_clock_resume(&run->clock, run->job.comm, aggregated_ns));
  int64_t rounds = run->scenario->rounds;
  if (run->server != NULL) {
    PP_TRY(pp_server_rank_take_records(run->server));
    return observe_round(run, rounds - 1, &run->row);
  }
  PP_TRY(pp_device_rank_drain(run->devices, rounds));
  return pp_device_rank_send_records(run->devices);
}

static void fill_causes(double cause_s[PP_CAUSE_COUNT], const pp_resource_times *times, double *overrun_s) {
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
    cause_s[cause] = pp_seconds(times->cause_ns[cause]);
  *overrun_s = fmax(*overrun_s, cause_s[PP_CAUSE_OVERRUN]);
}

/* rows: (device_count). Adds what the devices have to the summary. */
static void fill_devices(const pp_run *run, const pp_timeline_totals *totals, pp_device_row *rows,
                         pp_run_summary *summary, double *overrun_s) {
  int devices = run->scenario->device_count;
  for (int device = 0; device < devices; device++) {
    const pp_resource_times *times = &totals->devices[device];
    const pp_device_class *class = pp_job_class(&run->job, device);
    rows[device] = (pp_device_row){.device = device,
                                   .group = class->group,
                                   .split = class->split,
                                   .micro_batches = class->micro_batches,
                                   .samples = class->samples,
                                   .busy_s = pp_seconds(times->busy_ns),
                                   .idle_s = pp_seconds(times->idle_ns),
                                   .bytes_up = times->bytes_up,
                                   .bytes_down = times->bytes_down};
    fill_causes(rows[device].cause_s, times, overrun_s);
    summary->device_idle_s += rows[device].idle_s / devices;
    summary->bytes_up += times->bytes_up;
    summary->bytes_down += times->bytes_down;
  }
}

/* rows: (slots). */
static void fill_server(const pp_run *run, const pp_timeline_totals *totals, pp_server_row *rows,
                        pp_run_summary *summary, double *overrun_s) {
  int slots = run->scenario->slots;
  for (int slot = 0; slot < slots; slot++) {
    const pp_resource_times *times = &totals->slots[slot];
    rows[slot] =
        (pp_server_row){.slot = slot, .busy_s = pp_seconds(times->busy_ns), .idle_s = pp_seconds(times->idle_ns)};
    fill_causes(rows[slot].cause_s, times, overrun_s);
    summary->server_busy_s += rows[slot].busy_s;
    summary->server_idle_s += rows[slot].idle_s / slots;
  }
}

pp_status pp_run_end_in_file(pp_run *run) {
  const pp_scenario *scenario = run->scenario;
  pp_timeline_totals totals;
  PP_TRY(pp_timeline_finish(run->timeline, &totals));
  pp_device_row *devices = NULL;
  pp_server_row *server = NULL;
  pp_run_summary summary = {.makespan_s = pp_seconds(totals.makespan_ns),
                            .train_loss = run->row.train_loss,
                            .test_accuracy = run->row.test_accuracy};
  double overrun_s = 0;
  bool with_model = run->job.config->record_model && pp_run_is_real(run);
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc((size_t)scenario->device_count, sizeof *devices, "the devices' table", &devices), done);
  PP_TRY_GOTO(status, pp_alloc((size_t)scenario->slots, sizeof *server, "the server's table", &server), done);
  if (run->replan != NULL && !pp_run_is_real(run))
    run->job.scenario = pp_replan_scenario(run->replan); /* the last plans; those who train have them already */
  fill_devices(run, &totals, devices, &summary, &overrun_s);
  fill_server(run, &totals, server, &summary, &overrun_s);
  summary.overrun_s = run->clock.wall ? overrun_s : (double)NAN;
  status = pp_sink_end(run->request.sink, &summary, devices, scenario->device_count, server, scenario->slots,
                       with_model ? run->model : NULL, with_model ? run->params : NULL, with_model ? run->stats : NULL);
done:
  free(devices);
  free(server);
  return status;
}
