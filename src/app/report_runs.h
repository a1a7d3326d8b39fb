/* The runs of some results files side by side: their figures, which settings tell them apart, which `fl` run each is
 * measured against, and which differ in nothing but the seed. */
#ifndef PP_APP_REPORT_RUNS_H
#define PP_APP_REPORT_RUNS_H

#include "pipar/results.h"

typedef struct pp_report_setting {
  char *key;
  pp_setting_type type;
  char *text; /* of any type: 10, 0.01, true, pipar */
} pp_report_setting;

/* The devices of one group of the experiment's `devices`; times are means over them. */
typedef struct pp_report_device_group {
  int64_t devices;
  int least_split, most_split, least_micro_batches, most_micro_batches;
  double busy_s, idle_s;
  double cause_s[PP_CAUSE_COUNT];
} pp_report_device_group;

typedef struct pp_report_run {
  int file; /* in pp_report.files */
  pp_results_run info;
  int setting_count;
  pp_report_setting *settings; /* (setting_count), in the file's order */
  int least_split, most_split; /* over the devices; 0 while running */
  int least_micro_batches, most_micro_batches;
  int device_group_count;
  pp_report_device_group *device_groups; /* (device_group_count); none while running */
  double device_busy_s;                  /* mean over the devices */
  double server_cause_s[PP_CAUSE_COUNT]; /* mean over the slots; NaN while running */
  double device_cause_s[PP_CAUSE_COUNT]; /* mean over the devices; NaN while running */
  double last_round_s;                   /* end of the last complete round; NaN: none yet */
  double epsilon;                        /* after the last complete round; NaN: no privacy */
  int reference;                         /* the fl run of the same cell and seed; -1: there is none that is complete */
  int group;                             /* in pp_report.groups */
  uint64_t cell;  /* equal for runs that differ in nothing but the method and what no method needs alike */
  uint64_t setup; /* equal for runs that differ in nothing but the seed */
} pp_report_run;

/* Runs that differ in nothing but the seed, mostly one. */
typedef struct pp_report_group {
  int count;
  int *runs; /* (count) */
} pp_report_group;

typedef struct pp_report {
  int file_count;
  pp_results **files; /* (file_count) */
  int run_count;
  pp_report_run *runs; /* (run_count), in order of files and runs */
  int group_count;
  pp_report_group *groups; /* (group_count), in order of their first runs */
  int varying_count;
  const char **varying; /* (varying_count): keys that tell runs apart, besides method, seed, split and micro-batches */
  int swept_count;
  const char **swept; /* (swept_count): likewise, split and micro-batches as they were asked for too */
} pp_report;

/* Local. Opens and reads the files (a name's .part where only that is there). The caller destroys the report. */
PP_MUST_CHECK pp_status pp_report_create(int file_count, char *const *paths, pp_report **out);
void pp_report_destroy(pp_report *report);

/* Text of a setting, or "" where the run does not have it. */
const char *pp_report_setting_text(const pp_report_run *run, const char *key);
/* Groups of devices that the run has. */
int pp_report_group_count(const pp_report_run *run);
/* The key as a short heading: "network" for devices.0.network.name. */
void pp_report_label(const char *key, size_t room, char *out);
/* "out" for dir/out.h5 and dir/out.h5.part. */
void pp_report_file_label(const char *path, size_t room, char *out);
bool pp_report_is_part(const pp_report *report, int file);
bool pp_report_is_complete(const pp_report_run *run);

/* Idle time of the fl run's group of the same number, divided by this group's; NaN where there is none. */
double pp_report_group_reduction(const pp_report *report, const pp_report_run *run, int group);

/* Figures of a run that may be averaged over seeds. */
typedef enum pp_report_figure {
  PP_FIGURE_TIME,
  PP_FIGURE_SPEEDUP,
  PP_FIGURE_SERVER_IDLE,
  PP_FIGURE_SERVER_REDUCTION,
  PP_FIGURE_DEVICE_IDLE,
  PP_FIGURE_DEVICE_REDUCTION,
  PP_FIGURE_ACCURACY,
  PP_FIGURE_LOSS,
  PP_FIGURE_BYTES_UP,
  PP_FIGURE_BYTES_DOWN,
  PP_FIGURE_COUNT,
} pp_report_figure;
/* NaN where it does not apply. */
double pp_report_figure_of(const pp_report *report, const pp_report_run *run, pp_report_figure figure);

typedef struct pp_report_mean {
  int count;         /* runs that have the figure */
  double mean;       /* NaN: none has it */
  double half_width; /* of the 95 % interval, Student's t with count - 1 degrees of freedom; NaN: fewer than two */
} pp_report_mean;
pp_report_mean pp_report_mean_of(const pp_report *report, const pp_report_group *group, pp_report_figure figure);
/* The 0.975 quantile of Student's t distribution. */
double pp_student_t(int degrees_of_freedom);

#endif
