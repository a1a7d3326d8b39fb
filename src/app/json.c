#include "app/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#ifdef PP_WITH_YAJL
#include <yajl/yajl_gen.h>

#include "base/mem.h"

struct pp_json {
  FILE *stream;
  yajl_gen gen;
  bool failed;
};

pp_status pp_json_require(const char *command) {
  (void)command;
  return NULL;
}

/* `<` stands in strings alone; a page would take `</script>` or `<!--` in one for its own. */
static void print(void *context, const char *text, size_t length) {
  FILE *stream = context;
  for (const char *end = text + length; text < end;) {
    const char *less = memchr(text, '<', (size_t)(end - text));
    size_t plain = (size_t)((less == NULL ? end : less) - text);
    fwrite(text, 1, plain, stream);
    if (less != NULL)
      fputs("\\u003c", stream);
    text += plain + (less != NULL);
  }
}

static void check(pp_json *json, yajl_gen_status status) {
  json->failed = json->failed || (status != yajl_gen_status_ok && status != yajl_gen_generation_complete);
}

pp_status pp_json_create(FILE *stream, pp_json **out) {
  pp_json *json = NULL;
  PP_TRY(pp_alloc(1, sizeof *json, "the JSON writer", &json));
  json->stream = stream;
  json->gen = yajl_gen_alloc(NULL);
  if (json->gen == NULL) {
    free(json);
    return pp_fail_memory("the JSON writer", sizeof json->gen);
  }
  yajl_gen_config(json->gen, yajl_gen_print_callback, print, stream);
  yajl_gen_config(json->gen, yajl_gen_validate_utf8, 1);
  *out = json;
  return NULL;
}

pp_status pp_json_finish(pp_json *json) {
  if (json == NULL)
    return NULL;
  bool failed = json->failed;
  yajl_gen_free(json->gen);
  free(json);
  return failed ? pp_fail(PP_CODE_RUN, "the JSON writer failed: out of memory?") : NULL;
}

void pp_json_begin_map(pp_json *json) { check(json, yajl_gen_map_open(json->gen)); }
void pp_json_end_map(pp_json *json) { check(json, yajl_gen_map_close(json->gen)); }
void pp_json_begin_array(pp_json *json) { check(json, yajl_gen_array_open(json->gen)); }
void pp_json_end_array(pp_json *json) { check(json, yajl_gen_array_close(json->gen)); }

void pp_json_text(pp_json *json, const char *text) {
  size_t length = strlen(text);
  yajl_gen_status status = yajl_gen_string(json->gen, (const unsigned char *)text, length);
  if (status != yajl_gen_invalid_string) {
    check(json, status);
    return;
  }
  char *ascii = strdup(text);
  json->failed = json->failed || ascii == NULL;
  if (ascii == NULL)
    return;
  for (char *c = ascii; *c != '\0'; c++)
    if ((unsigned char)*c >= 0x80)
      *c = '?';
  check(json, yajl_gen_string(json->gen, (const unsigned char *)ascii, length));
  free(ascii);
}

void pp_json_key(pp_json *json, const char *key) { pp_json_text(json, key); }

static void number(pp_json *json, const char *text) { check(json, yajl_gen_number(json->gen, text, strlen(text))); }

void pp_json_integer(pp_json *json, int64_t value) {
  char text[32];
  snprintf(text, sizeof text, "%" PRId64, value);
  number(json, text);
}

void pp_json_microseconds(pp_json *json, int64_t value_ns) {
  char text[40];
  uint64_t size = value_ns < 0 ? -(uint64_t)value_ns : (uint64_t)value_ns;
  snprintf(text, sizeof text, "%s%" PRIu64 ".%03" PRIu64, value_ns < 0 ? "-" : "", size / 1000, size % 1000);
  number(json, text);
}

void pp_json_break(pp_json *json) { fputc('\n', json->stream); }

#else

pp_status pp_json_require(const char *command) {
  return pp_fail(PP_CODE_USAGE, "%s is not in this pipar: it was built without yajl (Debian: libyajl-dev)", command);
}

#endif
