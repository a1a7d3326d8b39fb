/* The report for programs: CSV and JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/report.h"

/* Shared by both forms: names, in order, of the figures that have no place in an enum of causes. */
static const struct {
  const char *name;
  pp_report_figure figure;
} figures[] = {
    {"makespan_s", PP_FIGURE_TIME},           {"speedup", PP_FIGURE_SPEEDUP},
    {"server_idle_s", PP_FIGURE_SERVER_IDLE}, {"server_idle_reduction", PP_FIGURE_SERVER_REDUCTION},
    {"device_idle_s", PP_FIGURE_DEVICE_IDLE}, {"device_idle_reduction", PP_FIGURE_DEVICE_REDUCTION},
    {"test_accuracy", PP_FIGURE_ACCURACY},    {"train_loss", PP_FIGURE_LOSS},
    {"bytes_up", PP_FIGURE_BYTES_UP},         {"bytes_down", PP_FIGURE_BYTES_DOWN},
};
enum { FIGURES = sizeof figures / sizeof figures[0] };

static void print_shortest(FILE *stream, double value) {
  char text[40];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value)
      break;
  }
  fputs(text, stream);
}

void pp_csv_print_real(FILE *stream, double value) {
  if (!isnan(value))
    fprintf(stream, "%.12g", value);
}

void pp_csv_print_text(FILE *stream, const char *text) {
  if (strpbrk(text, ",\"\r\n") == NULL) {
    fputs(text, stream);
    return;
  }
  fputc('"', stream);
  for (; *text != '\0'; text++) {
    if (*text == '"')
      fputc('"', stream);
    fputc(*text, stream);
  }
  fputc('"', stream);
}

/* A run's only group has the figures of all its devices: columns of their own begin with two. */
static int most_groups(const pp_report *report) {
  int most = 0;
  for (int run = 0; run < report->run_count; run++)
    most = report->runs[run].device_group_count > most ? report->runs[run].device_group_count : most;
  return most < 2 ? 0 : most;
}

static void print_csv_group(const pp_report *report, const pp_report_run *run, int group, FILE *stream) {
  bool there = group < run->device_group_count;
  pp_report_device_group none = {0};
  const pp_report_device_group *of = there ? &run->device_groups[group] : &none;
  fputc(',', stream);
  if (there)
    fprintf(stream, "%" PRId64, of->devices);
  fputc(',', stream);
  pp_csv_print_real(stream, there ? of->busy_s : NAN);
  fputc(',', stream);
  pp_csv_print_real(stream, there ? of->idle_s : NAN);
  fputc(',', stream);
  pp_csv_print_real(stream, pp_report_group_reduction(report, run, group));
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++) {
    fputc(',', stream);
    pp_csv_print_real(stream, there ? of->cause_s[cause] : NAN);
  }
}

static void print_csv_head(const pp_report *report, FILE *stream) {
  fputs("file,run,status,method,model,dataset,seed,devices,slots,rounds,split_least,split_most,micro_batches_least,"
        "micro_batches_most,last_round_s,server_busy_s,device_busy_s",
        stream);
  for (int figure = 0; figure < FIGURES; figure++)
    fprintf(stream, ",%s", figures[figure].name);
  for (int server = 1; server >= 0; server--)
    for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
      fprintf(stream, ",%s_idle_%s_s", server ? "server" : "device", pp_cause_name((pp_cause)cause));
  fputs(",overrun_s,epsilon,reference_file,reference_run", stream);
  for (int key = 0; key < report->swept_count; key++) {
    fputc(',', stream);
    pp_csv_print_text(stream, report->swept[key]);
  }
  for (int group = 0; group < most_groups(report); group++) {
    static const char *const heads[] = {"devices", "busy_s", "idle_s", "idle_reduction"};
    for (int head = 0; head < 4; head++)
      fprintf(stream, ",group%d_%s", group, heads[head]);
    for (int cause = 0; cause < PP_CAUSE_COUNT; cause++)
      fprintf(stream, ",group%d_idle_%s_s", group, pp_cause_name((pp_cause)cause));
  }
  fputs("\r\n", stream);
}

static void print_csv_run(const pp_report *report, const pp_report_run *run, FILE *stream) {
  const pp_results_run *info = &run->info;
  pp_csv_print_text(stream, pp_results_path(report->files[run->file]));
  fprintf(stream, ",%d,%s,%s,", info->run, info->status, info->method);
  pp_csv_print_text(stream, info->model);
  fputc(',', stream);
  pp_csv_print_text(stream, info->dataset);
  fprintf(stream, ",%" PRIu64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%d,%d,%d,%d", info->seed, info->device_count,
          info->slot_count, info->round_count, run->least_split, run->most_split, run->least_micro_batches,
          run->most_micro_batches);
  const double reals[] = {run->last_round_s, info->summary.server_busy_s, run->device_busy_s};
  for (int real = 0; real < 3; real++) {
    fputc(',', stream);
    pp_csv_print_real(stream, reals[real]);
  }
  for (int figure = 0; figure < FIGURES; figure++) {
    fputc(',', stream);
    pp_csv_print_real(stream, pp_report_figure_of(report, run, figures[figure].figure));
  }
  for (int server = 1; server >= 0; server--)
    for (int cause = 0; cause < PP_CAUSE_COUNT; cause++) {
      fputc(',', stream);
      pp_csv_print_real(stream, (server ? run->server_cause_s : run->device_cause_s)[cause]);
    }
  fputc(',', stream);
  pp_csv_print_real(stream, info->summary.overrun_s);
  fputc(',', stream);
  pp_csv_print_real(stream, run->epsilon);
  fputc(',', stream);
  if (run->reference >= 0) {
    pp_csv_print_text(stream, pp_results_path(report->files[report->runs[run->reference].file]));
    fprintf(stream, ",%d", report->runs[run->reference].info.run);
  } else {
    fputc(',', stream);
  }
  for (int key = 0; key < report->swept_count; key++) {
    fputc(',', stream);
    pp_csv_print_text(stream, pp_report_setting_text(run, report->swept[key]));
  }
  for (int group = 0; group < most_groups(report); group++)
    print_csv_group(report, run, group, stream);
  fputs("\r\n", stream);
}

void pp_report_print_csv(const pp_report *report, FILE *stream) {
  print_csv_head(report, stream);
  for (int run = 0; run < report->run_count; run++)
    print_csv_run(report, &report->runs[run], stream);
}

/* JSON is UTF-8: bytes that are none, from a file's name or a setting, become the replacement character. */
static void print_json_text(FILE *stream, const char *text) {
  fputc('"', stream);
  for (const unsigned char *c = (const unsigned char *)text; *c != '\0';) {
    int length = *c < 0x80                  ? 1
                 : *c >= 0xc2 && *c <= 0xdf ? 2
                 : (*c & 0xf0) == 0xe0      ? 3
                 : *c >= 0xf0 && *c <= 0xf4 ? 4
                                            : 0;
    for (int byte = 1; byte < length; byte++)
      if ((c[byte] & 0xc0) != 0x80)
        length = 0;
    /* Overlong forms, surrogates, beyond the last code point. */
    if ((*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f) || (*c == 0xf0 && c[1] < 0x90) ||
        (*c == 0xf4 && c[1] > 0x8f))
      length = 0;
    if (length == 0)
      fputs("\\ufffd", stream);
    else if (*c == '"' || *c == '\\')
      fprintf(stream, "\\%c", *c);
    else if (*c < 0x20)
      fprintf(stream, "\\u%04x", *c);
    else
      fwrite(c, 1, (size_t)length, stream);
    c += length == 0 ? 1 : length;
  }
  fputc('"', stream);
}

static void print_json_real(FILE *stream, double value) {
  if (isfinite(value))
    print_shortest(stream, value);
  else
    fputs("null", stream);
}

static void print_json_causes(FILE *stream, const char *key, const double cause_s[PP_CAUSE_COUNT]) {
  fprintf(stream, ",\n     \"%s\": {", key);
  for (int cause = 0; cause < PP_CAUSE_COUNT; cause++) {
    fprintf(stream, "%s\"%s\": ", cause == 0 ? "" : ", ", pp_cause_name((pp_cause)cause));
    print_json_real(stream, cause_s[cause]);
  }
  fputc('}', stream);
}

static void print_json_device_groups(const pp_report *report, const pp_report_run *run, FILE *stream) {
  fputs(",\n     \"device_groups\": [", stream);
  for (int index = 0; index < run->device_group_count; index++) {
    const pp_report_device_group *group = &run->device_groups[index];
    fprintf(stream,
            "%s\n      {\"group\": %d, \"devices\": %" PRId64 ", \"split\": [%d, %d], \"micro_batches\": [%d, %d]",
            index == 0 ? "" : ",", index, group->devices, group->least_split, group->most_split,
            group->least_micro_batches, group->most_micro_batches);
    const struct {
      const char *key;
      double value;
    } reals[] = {{"busy_s", group->busy_s},
                 {"idle_s", group->idle_s},
                 {"idle_reduction", pp_report_group_reduction(report, run, index)}};
    for (size_t real = 0; real < sizeof reals / sizeof reals[0]; real++) {
      fprintf(stream, ", \"%s\": ", reals[real].key);
      print_json_real(stream, reals[real].value);
    }
    print_json_causes(stream, "idle_by_cause_s", group->cause_s);
    fputc('}', stream);
  }
  fputc(']', stream);
}

static void print_json_settings(FILE *stream, const pp_report_run *run) {
  fputs(",\n     \"settings\": {", stream);
  for (int index = 0; index < run->setting_count; index++) {
    const pp_report_setting *setting = &run->settings[index];
    fputs(index == 0 ? "" : ", ", stream);
    print_json_text(stream, setting->key);
    fputs(": ", stream);
    if (setting->type == PP_SETTING_TEXT)
      print_json_text(stream, setting->text);
    else if (setting->type == PP_SETTING_REAL)
      print_json_real(stream, strtod(setting->text, NULL));
    else
      fputs(setting->text, stream);
  }
  fputc('}', stream);
}

static void print_json_run(const pp_report *report, const pp_report_run *run, FILE *stream) {
  const pp_results_run *info = &run->info;
  fputs("    {\"file\": ", stream);
  print_json_text(stream, pp_results_path(report->files[run->file]));
  fprintf(stream, ", \"run\": %d, \"status\": ", info->run);
  print_json_text(stream, info->status);
  fputs(", \"method\": ", stream);
  print_json_text(stream, info->method);
  fputs(", \"model\": ", stream);
  print_json_text(stream, info->model);
  fputs(", \"dataset\": ", stream);
  print_json_text(stream, info->dataset);
  fprintf(stream,
          ", \"seed\": %" PRIu64 ",\n     \"devices\": %" PRId64 ", \"slots\": %" PRId64 ", \"rounds\": %" PRId64
          ", \"split\": [%d, %d], \"micro_batches\": [%d, %d]",
          info->seed, info->device_count, info->slot_count, info->round_count, run->least_split, run->most_split,
          run->least_micro_batches, run->most_micro_batches);
  const struct {
    const char *key;
    double value;
  } reals[] = {{"last_round_s", run->last_round_s},
               {"server_busy_s", info->summary.server_busy_s},
               {"device_busy_s", run->device_busy_s},
               {"overrun_s", info->summary.overrun_s},
               {"epsilon", run->epsilon}};
  for (size_t real = 0; real < sizeof reals / sizeof reals[0]; real++) {
    fprintf(stream, ", \"%s\": ", reals[real].key);
    print_json_real(stream, reals[real].value);
  }
  for (int figure = 0; figure < FIGURES; figure++) {
    fprintf(stream, "%s\"%s\": ", figure == 0 ? ",\n     " : ", ", figures[figure].name);
    print_json_real(stream, pp_report_figure_of(report, run, figures[figure].figure));
  }
  print_json_causes(stream, "server_idle_by_cause_s", run->server_cause_s);
  print_json_causes(stream, "device_idle_by_cause_s", run->device_cause_s);
  print_json_device_groups(report, run, stream);
  if (run->reference >= 0)
    fprintf(stream, ",\n     \"reference\": %d", run->reference);
  else
    fputs(",\n     \"reference\": null", stream);
  fprintf(stream, ", \"group\": %d", run->group);
  print_json_settings(stream, run);
  fputc('}', stream);
}

static void print_json_group(const pp_report *report, const pp_report_group *group, FILE *stream) {
  fputs("    {\"runs\": [", stream);
  for (int member = 0; member < group->count; member++)
    fprintf(stream, "%s%d", member == 0 ? "" : ", ", group->runs[member]);
  fputc(']', stream);
  for (int figure = 0; figure < FIGURES; figure++) {
    pp_report_mean mean = pp_report_mean_of(report, group, figures[figure].figure);
    fprintf(stream, ",\n     \"%s\": {\"count\": %d, \"mean\": ", figures[figure].name, mean.count);
    print_json_real(stream, mean.mean);
    fputs(", \"half_width_95\": ", stream);
    print_json_real(stream, mean.half_width);
    fputc('}', stream);
  }
  fputc('}', stream);
}

void pp_report_print_json(const pp_report *report, FILE *stream) {
  fputs("{\"format\": \"pipar-report\", \"format_version\": 1,\n  \"varying\": [", stream);
  for (int key = 0; key < report->varying_count; key++) {
    fputs(key == 0 ? "" : ", ", stream);
    print_json_text(stream, report->varying[key]);
  }
  fputs("],\n  \"runs\": [", stream);
  for (int run = 0; run < report->run_count; run++) {
    fputs(run == 0 ? "\n" : ",\n", stream);
    print_json_run(report, &report->runs[run], stream);
  }
  fputs("],\n  \"groups\": [", stream);
  for (int group = 0; group < report->group_count; group++) {
    fputs(group == 0 ? "\n" : ",\n", stream);
    print_json_group(report, &report->groups[group], stream);
  }
  fputs("]}\n", stream);
}
