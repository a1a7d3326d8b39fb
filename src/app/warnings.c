#include "app/warnings.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "app/report_why.h"
#include "base/mem.h"
#include "nn/model.h"
#include "runtime/draft.h"
#include "timeline/scenario.h"

enum { FEW_SAMPLES = 8 }; /* an estimate: below it batch norm's moments of a micro-batch are rough */
/* Of the initial statistics, added up over the network's batch norms, for each layer passes on what the one before got
 * wrong. Between what mobilenetv3-small still learns to evaluate with and what it does not (docs/networks.md). */
static const double MUCH_LEFT = 0.25;

typedef struct batch_norms {
  int count;
  double momentum; /* the least of them */
} batch_norms;

static batch_norms batch_norms_of(const pp_model *model) {
  batch_norms found = {0, 1};
  for (int layer = 0; model != NULL && layer < model->layer_count; layer++)
    if (model->layers[layer].norm) {
      found.count++;
      found.momentum = fmin(found.momentum, (double)model->layers[layer].momentum);
    }
  return found;
}

static pp_status add_run(pp_warning *warning, int run) {
  size_t bytes = ((size_t)warning->run_count + 1) * sizeof *warning->runs;
  int *grown = realloc(warning->runs, bytes);
  if (grown == NULL)
    return pp_fail_memory("warnings", bytes);
  warning->runs = grown;
  warning->runs[warning->run_count++] = run;
  return NULL;
}

static pp_status add(pp_warnings *warnings, int run, const char *format, ...) PP_PRINTF(3, 4);
static pp_status add(pp_warnings *warnings, int run, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  for (int at = 0; at < warnings->count; at++)
    if (strcmp(warnings->of[at].text, text) == 0)
      return add_run(&warnings->of[at], run);
  size_t bytes = ((size_t)warnings->count + 1) * sizeof *warnings->of;
  pp_warning *grown = realloc(warnings->of, bytes);
  if (grown == NULL)
    return pp_fail_memory("warnings", bytes);
  warnings->of = grown;
  pp_warning *next = &grown[warnings->count];
  *next = (pp_warning){.text = strdup(text)};
  if (next->text == NULL)
    return pp_fail_memory("warnings", sizeof text);
  warnings->count++;
  return add_run(next, run);
}

/* The smallest part that a full mini-batch is cut into; 0: none is cut. */
static int smallest_micro_batch(const pp_scenario *scenario) {
  int smallest = 0;
  for (int index = 0; index < scenario->class_count; index++) {
    const pp_schedule *full = scenario->classes[index].full;
    int size = pp_micro_batch_size(full->batch, full->micro_batches, full->micro_batches - 1);
    if (full->micro_batches > 1 && (smallest == 0 || size < smallest))
      smallest = size;
  }
  return smallest;
}

/* Micro-batches that running statistics see: each device's replica those of its device, in sl the one network all. */
static int64_t add_steps(int64_t so_far, int64_t of_device, pp_method method) {
  if (method == PP_METHOD_SL)
    return so_far + of_device;
  return so_far == 0 || of_device < so_far ? of_device : so_far;
}

static int64_t steps_of(const pp_scenario *scenario) {
  int64_t steps = 0;
  for (int device = 0; device < scenario->device_count; device++) {
    const pp_device_class *class = &scenario->classes[scenario->class_of[device]];
    steps = add_steps(steps, class->iterations * class->micro_batches, scenario->method);
  }
  return steps;
}

/* Each step leaves 1 - momentum of what was there: Ioffe and Szegedy's moving average. */
static pp_status add_running(pp_warnings *warnings, int run, batch_norms norms, int64_t steps) {
  double left = pow(1 - norms.momentum, (double)steps);
  if (norms.count == 0 || left * norms.count <= MUCH_LEFT)
    return NULL;
  char wanted[64] = "";
  if (norms.momentum > 0)
    snprintf(wanted, sizeof wanted, "; from %.0f steps on that is little",
             ceil(log(MUCH_LEFT / norms.count) / log1p(-norms.momentum)));
  return add(warnings, run,
             "test accuracies mean little: running statistics of %d batch norms see %" PRId64
             " micro-batches with momentum %.4g, so that (1 - %.4g)^%" PRId64
             " = %.*f %% of their initial values is left%s (more epochs, smaller or more micro-batches)",
             norms.count, steps, norms.momentum, norms.momentum, steps, left < 0.1, 100 * left, wanted);
}

/* Where training starts from a file its statistics are not the initial ones. */
static bool starts_at_random(const pp_config *config) { return strcmp(config->init, "random") == 0; }

static pp_status add_of(pp_warnings *warnings, int run, const pp_config *config, const pp_model *model,
                        const pp_scenario *scenario) {
  batch_norms norms = batch_norms_of(model);
  if (norms.count == 0)
    return NULL;
  int smallest = smallest_micro_batch(scenario);
  if (smallest > 0 && smallest < FEW_SAMPLES)
    PP_TRY(add(warnings, run,
               "micro-batches of %d sample%s: batch norm's statistics suffer below %d (pipeline.min_micro_batch "
               "bounds what is planned)",
               smallest, smallest == 1 ? "" : "s", FEW_SAMPLES));
  if (config->compute == PP_COMPUTE_REAL && starts_at_random(config))
    return add_running(warnings, run, norms, steps_of(scenario));
  return NULL;
}

pp_status pp_warnings_add(pp_warnings *warnings, int run, const pp_config *config) {
  pp_model *model = NULL;
  pp_scenario *scenario = NULL;
  PP_TRY(pp_run_model(config, &model));
  pp_status status = batch_norms_of(model).count > 0 ? pp_scenario_create(config, model, &scenario) : NULL;
  if (scenario != NULL)
    status = add_of(warnings, run, config, model, scenario);
  pp_scenario_destroy(scenario);
  pp_model_destroy(model);
  return status;
}

pp_status pp_warnings_add_draft(pp_warnings *warnings, int run, const pp_config *config, const pp_run_draft *draft) {
  return add_of(warnings, run, config, draft->model, draft->scenario);
}

static void print_runs(const pp_warning *warning, FILE *stream) {
  fprintf(stream, "run%s ", warning->run_count == 1 ? "" : "s");
  for (int first = 0, end = 1; first < warning->run_count; first = end++) {
    while (end < warning->run_count && warning->runs[end] == warning->runs[end - 1] + 1)
      end++;
    fprintf(stream, "%s%d", first == 0 ? "" : ", ", warning->runs[first]);
    if (end > first + 1)
      fprintf(stream, "-%d", warning->runs[end - 1]);
  }
  fputs(": ", stream);
}

void pp_warnings_print(const pp_warnings *warnings, int run_count, FILE *stream) {
  for (int at = 0; at < warnings->count; at++) {
    fputs("warning: ", stream);
    if (run_count > 1)
      print_runs(&warnings->of[at], stream);
    fprintf(stream, "%s\n", warnings->of[at].text);
  }
}

void pp_warnings_fini(pp_warnings *warnings) {
  for (int at = 0; at < warnings->count; at++) {
    free(warnings->of[at].text);
    free(warnings->of[at].runs);
  }
  free(warnings->of);
  *warnings = (pp_warnings){0};
}

/* ---- What has been run ---- */

static pp_status steps_of_file(const pp_results *results, const pp_results_run *info, const pp_config *config,
                               int64_t *steps) {
  enum { BLOCK_ROWS = 4096 };
  pp_device_row *rows = NULL;
  PP_TRY(pp_alloc(BLOCK_ROWS, sizeof *rows, "rows of devices", &rows));
  pp_status status = NULL;
  int64_t batch = config->training.batch_size;
  for (int64_t first = 0; first < info->device_count && status == NULL; first += BLOCK_ROWS) {
    int64_t block = info->device_count - first < BLOCK_ROWS ? info->device_count - first : BLOCK_ROWS;
    status = pp_results_read_devices(results, info->run, first, block, rows);
    for (int64_t row = 0; row < block && status == NULL; row++)
      *steps = add_steps(*steps,
                         config->training.epochs * ((rows[row].samples + batch - 1) / batch) * rows[row].micro_batches,
                         config->method);
  }
  free(rows);
  return status;
}

static bool has_accuracy(const pp_report_run *run) {
  return pp_report_is_complete(run) && !isnan(run->info.summary.test_accuracy);
}

static pp_status add_of_file(pp_warnings *warnings, const pp_report *report, int file,
                             const pp_experiment *experiment) {
  for (int index = 0; index < report->run_count; index++) {
    const pp_report_run *run = &report->runs[index];
    if (run->file != file || !has_accuracy(run) || run->info.run >= pp_experiment_run_count(experiment))
      continue;
    const pp_config *config = pp_experiment_run(experiment, run->info.run);
    if (!starts_at_random(config))
      continue;
    pp_model *model = NULL;
    int64_t steps = 0;
    PP_TRY(pp_run_model(config, &model));
    batch_norms norms = batch_norms_of(model);
    pp_model_destroy(model);
    PP_TRY(steps_of_file(report->files[file], &run->info, config, &steps));
    PP_TRY(add_running(warnings, run->info.run, norms, steps));
  }
  return NULL;
}

pp_status pp_warnings_of_report(const pp_report *report, FILE *stream) {
  pp_status status = NULL;
  for (int file = 0; file < report->file_count && status == NULL; file++) {
    bool tells = false;
    for (int run = 0; run < report->run_count; run++)
      tells = tells || (report->runs[run].file == file && has_accuracy(&report->runs[run]));
    pp_experiment *experiment = NULL;
    pp_status unknown = tells ? pp_report_experiment(report->files[file], &experiment) : NULL;
    pp_error_free(unknown);
    if (experiment == NULL)
      continue;
    pp_warnings warnings = {0};
    status = add_of_file(&warnings, report, file, experiment);
    if (warnings.count > 0) {
      fputc('\n', stream);
      if (report->file_count > 1)
        fprintf(stream, "%s:\n", pp_results_path(report->files[file]));
      pp_warnings_print(&warnings, pp_experiment_run_count(experiment), stream);
    }
    pp_warnings_fini(&warnings);
    pp_experiment_destroy(experiment);
  }
  return status;
}
