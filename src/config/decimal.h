/* Numbers as an experiment file writes them: exact decimals, so that no length or rate is rounded twice. */
#ifndef PP_CONFIG_DECIMAL_H
#define PP_CONFIG_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* [+-] digits without leading zeros. */
bool pp_text_is_integer(const char *text);
/* [+-] digits, point, exponent: what YAML's core schema calls a number, infinities and NaN excepted. */
bool pp_text_is_number(const char *text);
/* YAML's .inf and .nan, and what other software writes for them. */
bool pp_text_is_not_finite(const char *text);

/* text x 10^scale, rounded to the nearest integer, halves away from zero. `text` must be a number. False: it does not
 * fit an int64. */
bool pp_decimal_parse(const char *text, int scale, int64_t *out);

enum { PP_DECIMAL_TEXT = 48 };
/* value / 10^scale without trailing zeros; 0 <= scale <= 18. out: (PP_DECIMAL_TEXT). */
void pp_decimal_print(int64_t value, int scale, char *out);
/* The shortest text that reads back as the same double (as_float: the same float). */
void pp_real_print(double value, bool as_float, char *out);

#endif
