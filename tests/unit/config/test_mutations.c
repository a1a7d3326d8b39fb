/* Thousands of damaged copies of valid files: each loads, or is refused in one line that names the file. What loads is
 * dumped and loads again. */
#include <stdio.h>

#include "base/rng.h"
#include "files.h"
#include "samples.h"

enum { MUTATIONS = 3000, ROOM = 8192 };

/* Words at which a parser may stumble. */
static const char *const pieces[] = {
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    "\n",
    "\n  ",
    ", ",
    "- ",
    "? ",
    "#",
    "'",
    "\"",
    "&a ",
    "*a ",
    "!!x ",
    "|",
    ">",
    "---",
    "...",
    "%",
    "<<: ",
    "\t",
    "\0",
    "\xff",
    "\x80",
    "\xc2\x85",
    "~",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    ".nan",
    "1e-400",
    "auto",
    "epoch",
    "sweep",
    "devices",
    "99999999999999999999",
    "0x1",
    "\\x00",
    "\xe2\x80\xa8",
    "\xef\xbb\xbf",
    "none",
};
enum { PIECE_COUNT = sizeof pieces / sizeof *pieces };

typedef struct dice {
  pp_rng rng;
  uint64_t next;
} dice;

static size_t roll(dice *d, size_t sides) { return (size_t)pp_rng_below(d->rng, 0, d->next++, (uint32_t)sides); }

static void splice(char *text, size_t *length, size_t at, size_t removed, const char *added, size_t added_length) {
  if (removed > *length - at)
    removed = *length - at;
  if (*length - removed + added_length >= ROOM)
    return;
  memmove(text + at + added_length, text + at + removed, *length - at - removed);
  memcpy(text + at, added, added_length);
  *length += added_length - removed;
}

static void mutate(dice *d, char *text, size_t *length) {
  size_t at = roll(d, *length + 1), piece = roll(d, PIECE_COUNT);
  const char *other = samples[roll(d, SAMPLE_COUNT)];
  char byte = (char)roll(d, 256), copy[64];
  size_t from = 0, count = 0;
  switch (roll(d, 6)) {
  case 0:
    splice(text, length, at, 1, &byte, 1);
    break;
  case 1:
    splice(text, length, at, roll(d, 20), "", 0);
    break;
  case 2:
    splice(text, length, at, 0, pieces[piece], pieces[piece][0] == '\0' ? 1 : strlen(pieces[piece]));
    break;
  case 3:
    splice(text, length, at, roll(d, 8), pieces[piece], strlen(pieces[piece]));
    break;
  case 4: /* a part of another file */
    from = roll(d, strlen(other));
    count = roll(d, sizeof copy);
    if (count > strlen(other) - from)
      count = strlen(other) - from;
    splice(text, length, at, 0, other + from, count);
    break;
  default: /* a part again */
    from = roll(d, *length + 1);
    count = roll(d, sizeof copy);
    if (count > *length - from)
      count = *length - from;
    memcpy(copy, text + from, count);
    splice(text, length, at, 0, copy, count);
  }
}

START_TEST(damaged_files_load_or_fail_in_one_line) {
  dice d = {.rng = pp_rng_stream(2026, PP_RNG_SYNTHETIC, 0, 0, 0)};
  int loaded = 0;
  for (int at = 0; at < MUTATIONS; at++) {
    static char text[ROOM];
    const char *sample = samples[roll(&d, SAMPLE_COUNT)];
    size_t length = strlen(sample);
    memcpy(text, sample, length);
    for (size_t times = 1 + roll(&d, 3); times > 0; times--)
      mutate(&d, text, &length);
    pp_experiment *experiment = NULL;
    pp_status status = load_text(text, length, &experiment, NULL);
    if (status != NULL) {
      check_one_line(pp_error_message(status));
      ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
      ck_assert_msg(strstr(pp_error_message(status), "exp.yaml") != NULL, "%s", pp_error_message(status));
      pp_error_free(status);
      continue;
    }
    loaded++;
    char *dump = dump_of(pp_experiment_run(experiment, 0));
    pp_experiment *again = must_load(dump);
    char *second = dump_of(pp_experiment_run(again, 0));
    ck_assert_str_eq(dump, second);
    free(second);
    free(dump);
    pp_experiment_destroy(again);
    pp_experiment_destroy(experiment);
  }
  /* Both ways are walked often: neither the mutations nor the samples are too tame. */
  ck_assert_int_gt(loaded, MUTATIONS / 100);
  ck_assert_int_lt(loaded, MUTATIONS / 2);
}
END_TEST

START_TEST(damaged_overrides_load_or_fail_in_one_line) {
  dice d = {.rng = pp_rng_stream(2027, PP_RNG_SYNTHETIC, 0, 0, 0)};
  static const char *const sets[] = {"training.epochs=3", "devices.0.network={up_mbps: 1, down_mbps: 2, latency_ms: 3}",
                                     "sweep.seed=[1, 2]", "devices.0.pipeline.split=2", "name=x"};
  for (int at = 0; at < MUTATIONS / 4; at++) {
    static char text[ROOM];
    strcpy(text, sets[roll(&d, sizeof sets / sizeof *sets)]);
    size_t length = strlen(text);
    for (size_t times = 1 + roll(&d, 2); times > 0; times--)
      mutate(&d, text, &length);
    text[length] = '\0';
    pp_experiment *experiment = NULL;
    pp_status status = load_text(LEAST, strlen(LEAST), &experiment, SET(text));
    if (status != NULL) {
      check_one_line(pp_error_message(status));
      ck_assert_msg(strstr(pp_error_message(status), "--set") != NULL || strstr(pp_error_message(status), "exp.yaml"),
                    "%s", pp_error_message(status));
    }
    pp_error_free(status);
    if (status == NULL)
      pp_experiment_destroy(experiment);
  }
}
END_TEST

int main(void) {
  const TTest *const tests[] = {damaged_files_load_or_fail_in_one_line, damaged_overrides_load_or_fail_in_one_line};
  return RUN_TESTS("config mutations", tests);
}
