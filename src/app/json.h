/* JSON, written as a stream by yajl. Without yajl at build time there is only pp_json_require's refusal. */
#ifndef PP_APP_JSON_H
#define PP_APP_JSON_H

#include <stdint.h>
#include <stdio.h>

#include "pipar/status.h"

typedef struct pp_json pp_json;

/* Refuses in one line where the program was built without yajl. */
PP_MUST_CHECK pp_status pp_json_require(const char *command);

/* Local. Writes to `stream`, which stays the caller's. `<` is written as an escape, so that the text may stand inside
 * a page's script element. */
PP_MUST_CHECK pp_status pp_json_create(FILE *stream, pp_json **out);
/* Frees the writer (NULL is fine); errors are those of memory, met by any of the calls below. */
PP_MUST_CHECK pp_status pp_json_finish(pp_json *json);

void pp_json_begin_map(pp_json *json);
void pp_json_end_map(pp_json *json);
void pp_json_begin_array(pp_json *json);
void pp_json_end_array(pp_json *json);
void pp_json_key(pp_json *json, const char *key);
/* Bytes that are not UTF-8 make every byte beyond ASCII a question mark. */
void pp_json_text(pp_json *json, const char *text);
void pp_json_integer(pp_json *json, int64_t value);
/* Nanoseconds as microseconds, to the nanosecond: 1234 is 1.234. */
void pp_json_microseconds(pp_json *json, int64_t value_ns);
/* A line break between two values, for the eye. */
void pp_json_break(pp_json *json);

#endif
