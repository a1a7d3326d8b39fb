/* The results file (HDF5): written by rank 0 while a run goes on, read by report, plot and diff. */
#ifndef PIPAR_RESULTS_H
#define PIPAR_RESULTS_H

#include <stdint.h>
#include <stdio.h>

#include "pipar/config.h"
#include "pipar/status.h"
#include "pipar/timeline.h"

typedef struct pp_device_row {
  int32_t device, group, split, micro_batches;
  int64_t samples;
  double busy_s, idle_s;
  double cause_s[PP_CAUSE_COUNT]; /* columns device_compute_s ... overrun_s */
  int64_t bytes_up, bytes_down;
} pp_device_row;

typedef struct pp_server_row {
  int32_t slot;
  double busy_s, idle_s;
  double cause_s[PP_CAUSE_COUNT];
} pp_server_row;

typedef struct pp_round_row {
  int32_t round;
  int64_t iterations;
  double end_s;
  double train_loss, train_accuracy, test_accuracy; /* NaN: does not apply */
  double server_idle_s, device_idle_s;
  double epsilon;
} pp_round_row;

typedef struct pp_run_summary {
  double makespan_s, server_busy_s, server_idle_s, device_idle_s;
  double train_loss, test_accuracy;
  int64_t bytes_up, bytes_down;
  double overrun_s; /* NaN under the virtual clock */
} pp_run_summary;

/* What the devices of a group had in a round, in runs that plan again. */
typedef struct pp_round_plan_row {
  int32_t round, group, split, micro_batches;
} pp_round_plan_row;

/* A block of the network: what a run's costs follow from. */
typedef struct pp_network_row {
  int32_t block;
  int64_t forward_flops, parameters, statistics, activation_bytes; /* FLOPs and bytes per sample */
} pp_network_row;

/* The cost of a stage as the run's scenario has it, of the devices of a group. */
typedef struct pp_cost_row {
  int32_t group; /* -1: aggregate */
  int32_t stage; /* pp_stage */
  int32_t split;
  int32_t samples; /* of the micro-batch; 0: does not depend on any */
  double seconds;  /* compute stages; else NaN */
  int64_t bytes;   /* transfers; else 0 */
} pp_cost_row;

/* A provenance attribute of the root: never affects the payload. */
typedef struct pp_provenance {
  const char *key;
  const char *value;
} pp_provenance;

/* What must be the same for the bits of a run to be the same, as it stands in the provenance. */
enum { PP_IDENTITY_VERSION, PP_IDENTITY_REVISION, PP_IDENTITY_BLAS, PP_IDENTITY_KERNELS, PP_IDENTITY_EXPERIMENT };
enum { PP_IDENTITY_PARTS = 5, PP_IDENTITY_ROOM = 512 };
extern const char *const pp_identity_names[PP_IDENTITY_PARTS];
typedef struct pp_identity {
  char part[PP_IDENTITY_PARTS][PP_IDENTITY_ROOM]; /* "": does not matter */
} pp_identity;
/* Local. Sets PP_IDENTITY_EXPERIMENT: a digest of all that the experiment's runs follow from but the data. */
PP_MUST_CHECK pp_status pp_identity_digest(const pp_experiment *experiment, pp_identity *out);

/* Writer. Local, rank 0 only. While it is open the file is called PATH.part and can be read; what was appended and
 * flushed survives a kill. pp_results_commit gives it its name. */
typedef struct pp_results_writer pp_results_writer;

/* Creates PATH.part with the tables of every run of the experiment, or of the run `only` alone (-1: all) under its
 * number in the experiment, so that rows can be appended while others read. Errors: PATH or PATH.part exists and not
 * `force` (PP_CODE_USAGE), not writable (PP_CODE_RUN). */
PP_MUST_CHECK pp_status pp_results_create(const char *path, bool force, const pp_experiment *experiment, int only,
                                          const pp_provenance *provenance, int provenance_count,
                                          pp_results_writer **out);
/* Local. Which runs a stopped writer has left complete in PATH.part: (run count of the experiment). Errors: nothing to
 * resume (PP_CODE_USAGE), a file that is damaged or of another identity, or does not have these runs (PP_CODE_INPUT),
 * or is being written (PP_CODE_RUN). */
PP_MUST_CHECK pp_status pp_results_find_complete(const char *path, bool force, const pp_experiment *experiment,
                                                 int only, const pp_identity *identity, bool *complete);
/* As pp_results_create, with the complete runs of PATH.part as they are and the others empty. It is made beside
 * PATH.part, which stays as it is until pp_results_settle. Errors: pp_results_find_complete's too. */
PP_MUST_CHECK pp_status pp_results_resume(const char *path, bool force, const pp_experiment *experiment, int only,
                                          const pp_provenance *provenance, int provenance_count,
                                          const pp_identity *identity, pp_results_writer **out);
/* Local. After pp_results_resume PATH.part is replaced in one step, by all that was appended until then; otherwise
 * nothing happens. To be called once nothing can refuse to go on. Errors (PP_CODE_RUN): not writable. */
PP_MUST_CHECK pp_status pp_results_settle(pp_results_writer *writer);
/* Rows of the run; each append is one write. */
PP_MUST_CHECK pp_status pp_results_append_stages(pp_results_writer *writer, int run, const pp_stage_record *rows,
                                                 int64_t count);
PP_MUST_CHECK pp_status pp_results_append_plan(pp_results_writer *writer, int run, const pp_plan_row *rows,
                                               int64_t count);
PP_MUST_CHECK pp_status pp_results_append_round_plans(pp_results_writer *writer, int run, const pp_round_plan_row *rows,
                                                      int64_t count);
PP_MUST_CHECK pp_status pp_results_append_network(pp_results_writer *writer, int run, const pp_network_row *rows,
                                                  int64_t count);
PP_MUST_CHECK pp_status pp_results_append_costs(pp_results_writer *writer, int run, const pp_cost_row *rows,
                                                int64_t count);
PP_MUST_CHECK pp_status pp_results_append_round(pp_results_writer *writer, int run, const pp_round_row *row);
/* Makes everything appended so far durable and visible to readers; against a crash of the machine within a second. */
PP_MUST_CHECK pp_status pp_results_flush(pp_results_writer *writer);
/* Likewise, against a crash of the machine now. */
PP_MUST_CHECK pp_status pp_results_sync(pp_results_writer *writer);
/* Local. Fills a network's parameters and statistics from `source`, FILE or FILE:GROUP (GROUP: the root): datasets of
 * numbers with the names and shapes of pp_model_tensor. A relative FILE is meant from `directory` unless that is NULL.
 * Errors (PP_CODE_INPUT): what cannot be read, a tensor that is missing or has another shape or a value that is not
 * finite. */
PP_MUST_CHECK pp_status pp_results_read_tensors(const char *directory, const char *source, const pp_model *model,
                                                float *params, float *stats);

/* Ends a run: its tables, its tensors (model, params, stats may be NULL: none are saved), and its attributes with
 * status "complete" or "failed". */
PP_MUST_CHECK pp_status pp_results_end_run(pp_results_writer *writer, int run, const char *status,
                                           const pp_run_summary *summary, const pp_device_row *devices,
                                           int64_t device_count, const pp_server_row *server, int64_t slot_count,
                                           const pp_model *model, const float *params, const float *stats);
/* Settled: closes PATH.part and renames it to PATH; the writer is gone, whatever is returned. */
PP_MUST_CHECK pp_status pp_results_commit(pp_results_writer *writer);
/* Closes and leaves PATH.part with what it holds, or removes it where no round is in it (NULL is fine). What was not
 * settled is removed. */
void pp_results_abandon(pp_results_writer *writer);

/* Reader: finished files, .part files, and files being written. */
typedef struct pp_results pp_results;

/* A setting of a run as the file holds it. */
typedef struct pp_results_run {
  int run;
  char status[16];
  char method[16], model[256], dataset[64], name[128];
  uint64_t seed;
  pp_run_summary summary; /* NaN / -1 while running */
  int64_t device_count, slot_count, round_count, stage_count, plan_count;
  int64_t round_plan_count; /* 0 unless plans were made again */
} pp_results_run;

PP_MUST_CHECK pp_status pp_results_open(const char *path, pp_results **out);
void pp_results_close(pp_results *results);
const char *pp_results_path(const pp_results *results);
int pp_results_run_count(const pp_results *results);
/* The number of the index-th run, which the functions below take: the index itself, but in a file of single runs. */
int pp_results_run_number(const pp_results *results, int index);
PP_MUST_CHECK pp_status pp_results_read_run(const pp_results *results, int run, pp_results_run *out);
/* Every resolved setting of a run (dotted keys), in the file's order: for labels and for finding the `fl` of the same
 * cell. */
PP_MUST_CHECK pp_status pp_results_visit_settings(const pp_results *results, int run, pp_setting_visitor visitor,
                                                  void *context);
/* Read rows [first, first + count) into caller's arrays. */
PP_MUST_CHECK pp_status pp_results_read_devices(const pp_results *results, int run, int64_t first, int64_t count,
                                                pp_device_row *rows);
PP_MUST_CHECK pp_status pp_results_read_server(const pp_results *results, int run, int64_t first, int64_t count,
                                               pp_server_row *rows);
PP_MUST_CHECK pp_status pp_results_read_rounds(const pp_results *results, int run, int64_t first, int64_t count,
                                               pp_round_row *rows);
PP_MUST_CHECK pp_status pp_results_read_stages(const pp_results *results, int run, int64_t first, int64_t count,
                                               pp_stage_record *rows);
PP_MUST_CHECK pp_status pp_results_read_plan(const pp_results *results, int run, int64_t first, int64_t count,
                                             pp_plan_row *rows);
PP_MUST_CHECK pp_status pp_results_read_round_plans(const pp_results *results, int run, int64_t first, int64_t count,
                                                    pp_round_plan_row *rows);

/* What the experiment was loaded from, as texts that pp_experiment_load_from takes. */
typedef struct pp_results_inputs {
  int override_count;
  char **overrides; /* (override_count) */
  int file_count;
  pp_input_file *files; /* (file_count), the experiment's own first */
} pp_results_inputs;
/* Errors (PP_CODE_INPUT): a file of a version that did not keep them. The caller ends it with
 * pp_results_inputs_fini. */
PP_MUST_CHECK pp_status pp_results_read_inputs(const pp_results *results, pp_results_inputs *out);
void pp_results_inputs_fini(pp_results_inputs *inputs);

/* Compares the payload of two files (NaN equals NaN, everything else to the bit), not the provenance, `name` or
 * `created`. *same tells; where they differ the first difference is written to `stream` as one line. */
PP_MUST_CHECK pp_status pp_results_diff(const char *path_a, const char *path_b, FILE *stream, bool *same);

/* Local. Puts files of single runs of one experiment together in PATH, which is replaced: every run as it is, the
 * root's attributes from the first file. What differs between the files and is no result (CPU, libraries) is named on
 * `log`, one line a file. Errors (PP_CODE_INPUT): another experiment, a run that is missing, twice there or not
 * complete. */
PP_MUST_CHECK pp_status pp_results_merge(int file_count, char *const *paths, const char *path, FILE *log);

/* The HDF5 library's version, "1.10.8". */
const char *pp_results_library(void);

#endif
