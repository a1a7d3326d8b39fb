#include "app/html.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/json.h"
#include "app/leftover.h"
#include "app/output.h"
#include "app/plot.h"
#include "app/report.h"
#include "base/mem.h"
#include "pipar/schedule.h"

#ifdef PP_WITH_PAGE

enum { MOST_STAGES = 300000, FEWEST_OF_A_RUN = 1000, BLOCK_ROWS = 8192 };

/* Made while building, from src/app/page/ and from D3's package. */
extern const unsigned char pp_page_html[], pp_page_css[], pp_page_js[], pp_page_d3[], pp_page_licence[];
extern const unsigned long pp_page_html_length, pp_page_css_length, pp_page_js_length, pp_page_d3_length,
    pp_page_licence_length;

typedef struct page {
  const pp_report *report;
  FILE *stream;
  char *figures; /* markup */
} page;

pp_status pp_html_require(void) { return pp_json_require("report --html"); }

static void print_escaped(FILE *stream, const char *text, size_t length) {
  for (size_t at = 0; at < length; at++) {
    switch (text[at]) {
    case '&':
      fputs("&amp;", stream);
      break;
    case '<':
      fputs("&lt;", stream);
      break;
    case '>':
      fputs("&gt;", stream);
      break;
    case '"':
      fputs("&quot;", stream);
      break;
    default:
      fputc(text[at], stream);
    }
  }
}

/* ---- Figures ---- */

/* A picture as an address: what is neither a letter nor harmless in a quoted attribute is written in hexadecimal. */
static pp_status print_picture(FILE *stream, const char *directory, const char *name) {
  char *path = NULL;
  if (asprintf(&path, "%s/%s.svg", directory, name) < 0)
    return pp_fail_memory("a file name", strlen(directory));
  FILE *file = fopen(path, "r");
  pp_status status = file == NULL ? pp_fail(PP_CODE_RUN, "cannot read %s: %s", path, strerror(errno)) : NULL;
  free(path);
  if (file == NULL)
    return status;
  fputs("<figure><img alt=\"", stream);
  print_escaped(stream, name, strlen(name));
  fputs("\" src=\"data:image/svg+xml;charset=utf-8,", stream);
  for (int c = getc(file); c != EOF; c = getc(file)) {
    if (c < 0x20 || c >= 0x7f || strchr("%#<>\"'&?{}|\\^`", c) != NULL)
      fprintf(stream, "%%%02X", (unsigned)c);
    else
      fputc(c, stream);
  }
  fputs("\"></figure>\n", stream);
  fclose(file);
  return NULL;
}

/* Takes those that `pipar plot` names, in its order. */
static pp_status print_pictures(FILE *stream, const char *directory, const char *log) {
  size_t prefix = strlen(directory) + 1;
  for (const char *line = log; *line != '\0';) {
    size_t length = strcspn(line, "\n");
    const char *end = memmem(line, length, ".svg", 4);
    if (end != NULL && length > prefix && strncmp(line, directory, prefix - 1) == 0) {
      char name[256];
      snprintf(name, sizeof name, "%.*s", (int)(end - line - (ptrdiff_t)prefix), line + prefix);
      PP_TRY(print_picture(stream, directory, name));
    }
    line += length + (line[length] == '\n');
  }
  return NULL;
}

static void remove_directory(const char *path) {
  DIR *directory = opendir(path);
  for (struct dirent *entry = NULL; directory != NULL && (entry = readdir(directory)) != NULL;)
    unlinkat(dirfd(directory), entry->d_name, 0);
  if (directory != NULL)
    closedir(directory);
  rmdir(path);
}

/* Of the runs of one experiment, into `stream`; why there are none, in one line, as `*warning`. */
static pp_status draw_figures(const pp_report *report, FILE *stream, char **warning) {
  const char *base = getenv("TMPDIR");
  char *directory = NULL, *log = NULL;
  size_t log_bytes = 0;
  if (asprintf(&directory, "%s/pipar-figures.XXXXXX", base == NULL || base[0] == '\0' ? "/tmp" : base) < 0)
    return pp_fail_memory("a file name", sizeof "/pipar-figures.XXXXXX");
  if (!pp_leftover_make_directory(directory)) {
    pp_status status = pp_fail(PP_CODE_RUN, "cannot make the directory %s: %s", directory, strerror(errno));
    free(directory);
    return status;
  }
  FILE *log_stream = open_memstream(&log, &log_bytes);
  pp_status status = log_stream == NULL ? pp_fail_memory("figures", 0) : NULL;
  if (status == NULL) {
    pp_status drawn = pp_plot_all(report, directory, false, log_stream);
    fflush(log_stream);
    status = print_pictures(stream, directory, log);
    if (drawn != NULL) {
      fputs("<p class=\"note\">", stream);
      print_escaped(stream, pp_error_message(drawn), strcspn(pp_error_message(drawn), ":"));
      fputs(".</p>\n", stream);
      *warning = strdup(pp_error_message(drawn));
    }
    pp_error_free(drawn);
  }
  if (log_stream != NULL)
    fclose(log_stream);
  free(log);
  remove_directory(directory);
  pp_leftover_forget(directory);
  free(directory);
  return status;
}

/* The experiment that a file's runs are of; "" where it has none yet. */
static const char *experiment_of(const pp_report *report, int file) {
  for (int run = 0; run < report->run_count; run++)
    if (report->runs[run].file == file)
      return pp_report_setting_text(&report->runs[run], "name");
  return "";
}

static bool is_of_one_experiment(const pp_report *report) {
  for (int file = 1; file < report->file_count; file++)
    if (strcmp(experiment_of(report, file), experiment_of(report, 0)) != 0)
      return false;
  return true;
}

static pp_status draw_figures_of(const pp_report *report, int first, FILE *stream, char **warning) {
  const char *name = experiment_of(report, first);
  char **paths = NULL;
  int count = 0;
  pp_report *own = NULL;
  PP_TRY(pp_alloc((size_t)report->file_count, sizeof *paths, "file names", &paths));
  for (int file = first; file < report->file_count; file++)
    if (strcmp(experiment_of(report, file), name) == 0)
      paths[count++] = (char *)pp_results_path(report->files[file]);
  pp_status status = pp_report_create(count, paths, &own);
  free(paths);
  PP_TRY(status);
  fputs("<h3>", stream);
  print_escaped(stream, name, strlen(name));
  fputs("</h3>\n", stream);
  status = draw_figures(own, stream, warning);
  pp_report_destroy(own);
  return status;
}

/* What unlike experiments have in common says nothing: each has figures of its own. */
static pp_status draw_all(const pp_report *report, char **markup, char **warning) {
  size_t bytes = 0;
  FILE *stream = open_memstream(markup, &bytes);
  if (stream == NULL)
    return pp_fail_memory("figures", 0);
  pp_status status = NULL;
  if (is_of_one_experiment(report))
    status = draw_figures(report, stream, warning);
  else
    for (int file = 0; file < report->file_count && status == NULL && *warning == NULL; file++) {
      bool is_first = true;
      for (int before = 0; before < file; before++)
        is_first = is_first && strcmp(experiment_of(report, before), experiment_of(report, file)) != 0;
      if (is_first && experiment_of(report, file)[0] != '\0')
        status = draw_figures_of(report, file, stream, warning);
    }
  fclose(stream);
  return status;
}

/* ---- Data ---- */

/* Memory becomes part of a script element: `<` stands in strings alone there. */
static pp_status print_report(const page *of) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *stream = open_memstream(&text, &bytes);
  if (stream == NULL)
    return pp_fail_memory("the report", 0);
  pp_report_print_json(of->report, stream);
  bool failed = ferror(stream) != 0;
  if (fclose(stream) != 0 || failed) {
    free(text);
    return pp_fail_memory("the report", bytes);
  }
  for (size_t at = 0; at < bytes; at++) {
    if (text[at] == '<')
      fputs("\\u003c", of->stream);
    else
      fputc(text[at], of->stream);
  }
  free(text);
  return NULL;
}

typedef int64_t (*column_value)(const pp_stage_record *row, const pp_stage_record *before);

static int64_t value_device(const pp_stage_record *row, const pp_stage_record *before) {
  (void)before;
  return row->device;
}
static int64_t value_slot(const pp_stage_record *row, const pp_stage_record *before) {
  (void)before;
  return row->slot;
}
static int64_t value_round(const pp_stage_record *row, const pp_stage_record *before) {
  (void)before;
  return row->round;
}
static int64_t value_iteration(const pp_stage_record *row, const pp_stage_record *before) {
  (void)before;
  return row->iteration;
}
static int64_t value_micro_batch(const pp_stage_record *row, const pp_stage_record *before) {
  (void)before;
  return row->micro_batch;
}
static int64_t value_stage(const pp_stage_record *row, const pp_stage_record *before) {
  (void)before;
  return row->stage;
}
/* Differences are short to write. */
static int64_t value_start(const pp_stage_record *row, const pp_stage_record *before) {
  return row->start_ns - (before == NULL ? 0 : before->start_ns);
}
static int64_t value_length(const pp_stage_record *row, const pp_stage_record *before) {
  (void)before;
  return row->end_ns - row->start_ns;
}
static int64_t value_bytes(const pp_stage_record *row, const pp_stage_record *before) {
  (void)before;
  return row->bytes;
}

static const struct {
  const char *key;
  column_value value;
} columns[] = {
    {"device", value_device},
    {"slot", value_slot},
    {"round", value_round},
    {"iteration", value_iteration},
    {"micro_batch", value_micro_batch},
    {"stage", value_stage},
    {"start_ns", value_start},
    {"length_ns", value_length},
    {"bytes", value_bytes},
};

static void print_run(pp_json *json, int index, const pp_report_run *run, int64_t shown, const pp_stage_record *rows) {
  pp_json_begin_map(json);
  pp_json_key(json, "index");
  pp_json_integer(json, index);
  pp_json_key(json, "total");
  pp_json_integer(json, run->info.stage_count);
  pp_json_key(json, "shown");
  pp_json_integer(json, shown);
  for (size_t column = 0; column < sizeof columns / sizeof columns[0]; column++) {
    pp_json_key(json, columns[column].key);
    pp_json_begin_array(json);
    for (int64_t row = 0; row < shown; row++)
      pp_json_integer(json, columns[column].value(&rows[row], row == 0 ? NULL : &rows[row - 1]));
    pp_json_end_array(json);
  }
  pp_json_end_map(json);
  pp_json_break(json);
}

/* Each run its share of what a page holds; what short runs leave is not redistributed. */
static int64_t share_of(const pp_report *report) {
  int with_stages = 0;
  for (int run = 0; run < report->run_count; run++)
    with_stages += report->runs[run].info.stage_count > 0;
  int64_t share = with_stages == 0 ? 0 : MOST_STAGES / with_stages;
  return share < FEWEST_OF_A_RUN ? FEWEST_OF_A_RUN : share;
}

static pp_status print_runs(pp_json *json, const pp_report *report) {
  int64_t share = share_of(report);
  pp_stage_record *rows = NULL;
  PP_TRY(pp_alloc((size_t)share, sizeof *rows, "rows of stages", &rows));
  pp_status status = NULL;
  for (int index = 0; index < report->run_count && status == NULL; index++) {
    const pp_report_run *run = &report->runs[index];
    int64_t shown = run->info.stage_count < share ? run->info.stage_count : share;
    if (shown == 0)
      continue;
    status = pp_results_read_stages(report->files[run->file], run->info.run, 0, shown, rows);
    if (status == NULL)
      print_run(json, index, run, shown, rows);
  }
  free(rows);
  return status;
}

static pp_status print_timeline(const page *of) {
  pp_json *json = NULL;
  PP_TRY(pp_json_create(of->stream, &json));
  pp_json_begin_map(json);
  pp_json_key(json, "stages");
  pp_json_begin_array(json);
  for (int stage = 0; stage < PP_STAGE_COUNT; stage++)
    pp_json_text(json, pp_stage_name((pp_stage)stage));
  pp_json_end_array(json);
  pp_json_key(json, "runs");
  pp_json_begin_array(json);
  pp_status status = print_runs(json, of->report);
  pp_json_end_array(json);
  pp_json_end_map(json);
  return pp_status_first(status, pp_json_finish(json));
}

/* ---- The page ---- */

static pp_status print_title(const page *of) {
  const pp_report *report = of->report;
  char label[256];
  for (int file = 0; file < report->file_count; file++) {
    pp_report_file_label(pp_results_path(report->files[file]), sizeof label, label);
    fputs(file == 0 ? "" : ", ", of->stream);
    print_escaped(of->stream, label, strlen(label));
  }
  return NULL;
}

static pp_status print_bytes(const page *of, const unsigned char *bytes, unsigned long length) {
  fwrite(bytes, 1, length, of->stream);
  return NULL;
}

/* One of the template's {{NAME}}. */
static pp_status print_part(const page *of, const char *name, size_t length) {
  if (strncmp(name, "title", length) == 0)
    return print_title(of);
  if (strncmp(name, "style", length) == 0)
    return print_bytes(of, pp_page_css, pp_page_css_length);
  if (strncmp(name, "script", length) == 0)
    return print_bytes(of, pp_page_js, pp_page_js_length);
  if (strncmp(name, "library", length) == 0)
    return print_bytes(of, pp_page_d3, pp_page_d3_length);
  if (strncmp(name, "figures", length) == 0)
    fputs(of->figures, of->stream);
  else if (strncmp(name, "licence", length) == 0)
    print_escaped(of->stream, (const char *)pp_page_licence, pp_page_licence_length);
  else if (strncmp(name, "version", length) == 0)
    fputs(PP_VERSION, of->stream);
  else if (strncmp(name, "report", length) == 0)
    return print_report(of);
  else if (strncmp(name, "timeline", length) == 0)
    return print_timeline(of);
  else
    return pp_fail(PP_CODE_RUN, "the page's template has an unknown part: %.*s", (int)length, name);
  return NULL;
}

static pp_status print_page(const page *of) {
  const char *next = (const char *)pp_page_html, *end = next + pp_page_html_length;
  while (next < end) {
    const char *part = memmem(next, (size_t)(end - next), "{{", 2);
    const char *close = part == NULL ? NULL : memmem(part, (size_t)(end - part), "}}", 2);
    fwrite(next, 1, (size_t)((close == NULL ? end : part) - next), of->stream);
    if (close == NULL)
      return NULL;
    PP_TRY(print_part(of, part + 2, (size_t)(close - part - 2)));
    next = close + 2;
  }
  return NULL;
}

pp_status pp_html_write(const pp_report *report, const char *path, char **warning) {
  if (report->run_count == 0)
    return pp_fail(PP_CODE_INPUT, "there are no runs to show");
  char **inputs = NULL;
  PP_TRY(pp_alloc((size_t)report->file_count + 1, sizeof *inputs, "file names", &inputs));
  for (int file = 0; file < report->file_count; file++)
    inputs[file] = (char *)pp_results_path(report->files[file]);
  pp_output output;
  pp_status status = pp_output_open(&output, path, inputs, false);
  free(inputs);
  PP_TRY(status);
  page of = {report, output.stream, NULL};
  status = draw_all(report, &of.figures, warning);
  if (status == NULL)
    status = print_page(&of);
  if (status == NULL)
    status = pp_output_commit(&output, NULL);
  free(of.figures);
  pp_output_abandon(&output);
  return status;
}

#else

pp_status pp_html_require(void) {
  PP_TRY(pp_json_require("report --html"));
  return pp_fail(PP_CODE_USAGE, "report --html is not in this pipar: it was built without D3 (Debian: node-d3)");
}

pp_status pp_html_write(const pp_report *report, const char *path, char **warning) {
  (void)report;
  (void)path;
  (void)warning;
  return pp_html_require();
}

#endif
