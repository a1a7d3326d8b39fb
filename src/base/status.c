#include "pipar/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct pp_error {
  pp_code code;
  char message[1024];
};

/* Returned when an error itself cannot be allocated; never freed. */
static pp_error out_of_memory = {PP_CODE_RUN, "out of memory"};

pp_status pp_fail(pp_code code, const char *format, ...) {
  pp_error *error = malloc(sizeof *error);
  if (error == NULL)
    return &out_of_memory;
  error->code = code;
  va_list args;
  va_start(args, format);
  vsnprintf(error->message, sizeof error->message, format, args);
  va_end(args);
  /* Names of files may hold anything. */
  for (char *at = error->message; *at != '\0'; at++)
    if ((unsigned char)*at < ' ' || *at == 0x7f)
      *at = '?';
  return error;
}

pp_status pp_fail_in(pp_status status, const char *format, ...) {
  if (status == NULL || status == &out_of_memory)
    return status;
  char place[512];
  va_list args;
  va_start(args, format);
  vsnprintf(place, sizeof place, format, args);
  va_end(args);
  pp_status placed = pp_fail(status->code, "%s: %s", place, status->message);
  pp_error_free(status);
  return placed;
}

pp_status pp_fail_memory(const char *what, unsigned long long bytes) {
  return pp_fail(PP_CODE_RUN, "not enough memory for %s: %llu bytes could not be allocated", what, bytes);
}

pp_code pp_error_code(const pp_error *error) { return error == NULL ? PP_CODE_OK : error->code; }

const char *pp_error_message(const pp_error *error) { return error == NULL ? "" : error->message; }

void pp_error_free(pp_error *error) {
  if (error != &out_of_memory)
    free(error);
}

pp_status pp_status_first(pp_status first, pp_status second) {
  if (first == NULL)
    return second;
  pp_error_free(second);
  return first;
}

void pp_assert_failed(const char *cond, const char *file, int line) {
  fprintf(stderr, "pipar: internal error: %s does not hold (%s:%d)\n", cond, file, line);
  abort();
}
