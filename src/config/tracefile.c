#include "config/tracefile.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "config/decimal.h"
#include "config/fields.h"
#include "config/file.h"
#include "config/node.h"

enum { most_columns = 16 };
/* A line t of a packet trace is so much spread over the millisecond before t. */
static const int64_t packet_bits = 12000, ns_per_ms = 1000000, ms_per_s = 1000;

typedef struct reader {
  const char *shown; /* path as errors show it */
  int line;
  pp_rate_step *steps; /* (room), malloc'd */
  int count, room;
  int64_t period_ns;
} reader;

static PP_PRINTF(2, 3) pp_status refuse(const reader *r, const char *format, ...) {
  char why[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  return pp_fail(PP_CODE_INPUT, "%s:%d: %s", r->shown, r->line, why);
}

/* A rate that repeats the last one says nothing new. */
static pp_status add_step(reader *r, int64_t start_ns, int64_t rate_bps) {
  if (r->count > 0 && r->steps[r->count - 1].rate_bps == rate_bps)
    return NULL;
  if (r->count == PP_MOST_STEPS)
    return refuse(r, "the trace is too long: allowed are %d changes of rate", PP_MOST_STEPS);
  if (r->count == r->room) {
    int room = r->room == 0 ? 64 : 2 * r->room;
    pp_rate_step *steps = realloc(r->steps, (size_t)room * sizeof *steps);
    if (steps == NULL)
      return pp_fail_memory("a trace", (size_t)room * sizeof *steps);
    r->steps = steps;
    r->room = room;
  }
  r->steps[r->count++] = (pp_rate_step){start_ns, rate_bps};
  return NULL;
}

static pp_status read_number(const reader *r, const char *text, const char *what, const pp_field *field, int64_t *out) {
  char shown[64];
  if (!pp_text_is_number(text) || !pp_decimal_parse(text, field->scale, out) || *out < field->low ||
      *out > field->high) {
    char allowed[PP_ALLOWED_TEXT];
    return refuse(r, "%s: %s: allowed is %s", what, pp_escape(shown, sizeof shown, false, text),
                  pp_field_allowed(field, allowed));
  }
  return NULL;
}

/* The last time of the file, whether or not its rate was new. */
static pp_status add_row(reader *r, const char *seconds, const char *rate, int64_t *last_ns) {
  int64_t start_ns = 0, rate_bps = 0;
  PP_TRY(read_number(r, seconds, "seconds", &pp_time_field, &start_ns));
  PP_TRY(read_number(r, rate, "Mbit/s", &pp_rate_field, &rate_bps));
  if (*last_ns < 0 && start_ns != 0)
    return refuse(r, "the first time is %s: allowed is 0", seconds);
  if (start_ns <= *last_ns)
    return refuse(r, "the time %s is not later than the one before it", seconds);
  *last_ns = start_ns;
  return add_step(r, start_ns, rate_bps);
}

/* Cuts a line at any of `separators`, in place; returns the number of fields, most_columns + 1 if there are more. */
static int split(char *line, const char *separators, char **fields) {
  int count = 0;
  for (char *field = strtok_r(line, separators, &line); field != NULL; field = strtok_r(NULL, separators, &line)) {
    if (count == most_columns)
      return most_columns + 1;
    fields[count++] = field;
  }
  return count;
}

/* Cuts a line at commas, in place, without the blanks around them; returns as split. */
static int split_commas(char *line, char **fields) {
  line[strcspn(line, "\r\n")] = '\0';
  if (line[strspn(line, " \t")] == '\0')
    return 0;
  int count = 0;
  for (char *field; (field = strsep(&line, ",")) != NULL;) {
    if (count == most_columns)
      return most_columns + 1;
    field += strspn(field, " \t");
    field[strcspn(field, " \t")] = '\0';
    fields[count++] = field;
  }
  return count;
}

/* SimGrid's profiles: `seconds rate` a line, # comments, LOOPAFTER seconds. */
static pp_status take_profile_line(reader *r, char *line, int64_t *last_ns) {
  char *fields[most_columns];
  line[strcspn(line, "#")] = '\0';
  int count = split(line, " \t\r\n", fields);
  if (count == 0)
    return NULL;
  if (r->period_ns != 0)
    return refuse(r, "nothing may follow LOOPAFTER");
  if (count != 2)
    return refuse(r, "a line has %d values: allowed are `seconds rate` and `LOOPAFTER seconds`", count);
  if (strcmp(fields[0], "LOOPAFTER") != 0)
    return add_row(r, fields[0], fields[1], last_ns);
  int64_t after_ns = 0;
  PP_TRY(read_number(r, fields[1], "LOOPAFTER", &pp_time_field, &after_ns));
  if (*last_ns < 0 || after_ns == 0)
    return refuse(r, "LOOPAFTER: allowed is a time above 0, after at least one rate");
  r->period_ns = *last_ns + after_ns;
  return NULL;
}

/* A table with columns `seconds` and `mbps`, others are not looked at. */
static pp_status take_csv_line(reader *r, char *line, int *seconds, int *rate, int64_t *last_ns) {
  char *fields[most_columns];
  int count = split_commas(line, fields);
  if (count == 0)
    return NULL;
  if (count > most_columns)
    return refuse(r, "more than %d columns", most_columns);
  if (*seconds < 0) {
    for (int column = 0; column < count; column++) {
      if (strcmp(fields[column], "seconds") == 0)
        *seconds = column;
      if (strcmp(fields[column], "mbps") == 0)
        *rate = column;
    }
    if (*seconds < 0 || *rate < 0)
      return refuse(r, "the header names no column `%s`: needed are seconds and mbps",
                    *seconds < 0 ? "seconds" : "mbps");
    return NULL;
  }
  if (count <= *seconds || count <= *rate)
    return refuse(r, "a row has %d values, fewer than the header's columns", count);
  return add_row(r, fields[*seconds], fields[*rate], last_ns);
}

/* Mahimahi: a millisecond a line, one for each packet that may leave; the trace starts over after the last. */
typedef struct packets {
  int64_t ms;    /* of the lines being counted */
  int64_t count; /* of such lines */
  int64_t first; /* lines of millisecond 0, which is the end of the last before it */
  int64_t covered_ms;
} packets;

static pp_status flush_packets(reader *r, packets *p) {
  if (p->count == 0 || p->ms == 0)
    return NULL;
  if (p->ms - 1 > p->covered_ms)
    PP_TRY(add_step(r, p->covered_ms * ns_per_ms, 0));
  PP_TRY(add_step(r, (p->ms - 1) * ns_per_ms, p->count * packet_bits * ms_per_s));
  p->covered_ms = p->ms;
  return NULL;
}

static pp_status take_packet_line(reader *r, char *line, packets *p) {
  char *fields[most_columns];
  int count = split(line, " \t\r\n", fields);
  if (count == 0)
    return NULL;
  int64_t ms = 0;
  char shown[64];
  if (count != 1 || !pp_text_is_integer(fields[0]) || !pp_decimal_parse(fields[0], 0, &ms) || ms < p->ms ||
      ms > PP_NS_LONGEST / 2 / ns_per_ms)
    return refuse(r, "%s: allowed is one whole number of milliseconds, not below the line before it",
                  pp_escape(shown, sizeof shown, false, fields[0]));
  if (ms != p->ms) {
    PP_TRY(flush_packets(r, p));
    p->first += p->ms == 0 ? p->count : 0;
    p->ms = ms;
    p->count = 0;
  }
  p->count++;
  return NULL;
}

static pp_status end_packets(reader *r, packets *p) {
  if (p->ms == 0)
    return refuse(r, "no packet leaves after 0 ms: a packet trace needs one");
  p->count += p->first;
  PP_TRY(flush_packets(r, p));
  r->period_ns = p->ms * ns_per_ms;
  return NULL;
}

static bool ends_in(const char *path, const char *ending) {
  size_t length = strlen(path), tail = strlen(ending);
  return length > tail && strcmp(path + length - tail, ending) == 0;
}

static pp_status read_lines(reader *r, FILE *file, const char *path) {
  bool is_packets = ends_in(path, ".up") || ends_in(path, ".down"), is_csv = ends_in(path, ".csv");
  packets p = {0};
  int seconds = -1, rate = -1;
  int64_t last_ns = -1;
  char *line = NULL;
  size_t room = 0;
  pp_status status = NULL;
  while (status == NULL && getline(&line, &room, file) >= 0) {
    r->line++;
    if (is_packets)
      status = take_packet_line(r, line, &p);
    else if (is_csv)
      status = take_csv_line(r, line, &seconds, &rate, &last_ns);
    else
      status = take_profile_line(r, line, &last_ns);
  }
  free(line);
  PP_TRY(status);
  if (ferror(file))
    return refuse(r, "cannot be read to its end");
  if (is_packets)
    PP_TRY(end_packets(r, &p));
  if (r->count == 0)
    return refuse(r, "holds no rate");
  return NULL;
}

pp_status pp_trace_file_read(pp_arena *arena, const char *directory, const char *path, pp_rate_trace *out) {
  char *whole = NULL;
  bool relative = directory != NULL && path[0] != '/';
  if (asprintf(&whole, "%s%s%s", relative ? directory : "", relative ? "/" : "", path) < 0)
    return pp_fail_memory("a path", strlen(path));
  char shown[PP_SHOWN_PATH];
  reader r = {.shown = pp_escape(shown, sizeof shown, true, whole)};
  const char *text = NULL;
  size_t length = 0;
  FILE *file = NULL;
  pp_status status = NULL;
  if (!pp_file_is_held(arena, whole) && access(whole, R_OK) != 0)
    status = pp_fail(PP_CODE_INPUT, "%s: the trace cannot be opened: %s", shown, strerror(errno));
  else
    status = pp_file_read(arena, whole, shown, "a trace", &length, &text);
  if (status == NULL) {
    file = fmemopen((void *)(uintptr_t)text, length, "r");
    status = file == NULL ? pp_fail_memory("a trace", length) : read_lines(&r, file, whole);
  }
  if (status == NULL)
    status = pp_arena_alloc(arena, (size_t)r.count, sizeof *out->steps, &out->steps);
  if (status == NULL) {
    memcpy(out->steps, r.steps, (size_t)r.count * sizeof *out->steps);
    out->count = r.count;
    out->period_ns = r.period_ns;
  }
  if (file != NULL)
    fclose(file);
  free(r.steps);
  free(whole);
  return status;
}
