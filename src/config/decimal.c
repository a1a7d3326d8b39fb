#include "config/decimal.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_sign(const char *text) { return *text == '+' || *text == '-' ? text + 1 : text; }

static const char *skip_digits(const char *text) {
  while (*text >= '0' && *text <= '9')
    text++;
  return text;
}

bool pp_text_is_integer(const char *text) {
  const char *first = skip_sign(text);
  const char *end = skip_digits(first);
  return end > first && *end == '\0' && (*first != '0' || end == first + 1);
}

bool pp_text_is_number(const char *text) {
  const char *first = skip_sign(text);
  const char *end = skip_digits(first);
  long digits = end - first;
  if (*end == '.') {
    const char *fraction = end + 1;
    end = skip_digits(fraction);
    digits += end - fraction;
  }
  if (digits == 0)
    return false;
  if (*end == 'e' || *end == 'E') {
    const char *exponent = skip_sign(end + 1);
    end = skip_digits(exponent);
    if (end == exponent)
      return false;
  }
  return *end == '\0';
}

bool pp_text_is_not_finite(const char *text) {
  static const char *const words[] = {".inf", ".nan", "inf", "nan", "infinity"};
  text = skip_sign(text);
  for (size_t word = 0; word < sizeof words / sizeof *words; word++)
    if (strcasecmp(text, words[word]) == 0)
      return true;
  return false;
}

bool pp_decimal_parse(const char *text, int scale, int64_t *out) {
  bool negative = *text == '-';
  const char *first = skip_sign(text);
  const char *mantissa_end = first + strspn(first, "0123456789.");
  /* Exponents past this are 0 or overflow whatever the digits; those of a file are fewer. */
  const int64_t far = INT64_C(1) << 40;
  int64_t exponent = 0;
  if (*mantissa_end != '\0') {
    const char *digit = skip_sign(mantissa_end + 1);
    for (; *digit != '\0' && exponent < far; digit++)
      exponent = exponent * 10 + (*digit - '0');
    if (mantissa_end[1] == '-')
      exponent = -exponent;
  }
  /* The value is 0.d0d1d2... x 10^point once leading zeros are dropped. */
  const char *dot = memchr(first, '.', (size_t)(mantissa_end - first));
  int64_t point = (dot != NULL ? dot : mantissa_end) - first;
  while (first < mantissa_end && (*first == '0' || *first == '.')) {
    if (*first == '0')
      point--;
    first++;
  }
  if (first == mantissa_end) {
    *out = 0;
    return true;
  }
  point += exponent + scale;
  if (point > 19)
    return false;
  if (point < 0) {
    *out = 0;
    return true;
  }
  uint64_t value = 0;
  const char *digit = first;
  for (int64_t place = 0; place <= point; place++) {
    if (digit < mantissa_end && *digit == '.')
      digit++;
    unsigned d = digit < mantissa_end ? (unsigned)(*digit++ - '0') : 0;
    if (place == point) {
      if (d >= 5 && __builtin_add_overflow(value, 1, &value))
        return false;
    } else if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, d, &value)) {
      return false;
    }
  }
  if (value > INT64_MAX)
    return false;
  *out = negative ? -(int64_t)value : (int64_t)value;
  return true;
}

void pp_decimal_print(int64_t value, int scale, char *out) {
  uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
  char digits[32];
  int length = snprintf(digits, sizeof digits, "%0*" PRIu64, scale + 1, magnitude);
  int whole = length - scale, end = length;
  while (end > whole && digits[end - 1] == '0')
    end--;
  snprintf(out, PP_DECIMAL_TEXT, "%s%.*s%s%.*s", value < 0 ? "-" : "", whole, digits, end > whole ? "." : "",
           end - whole, digits + whole);
}

void pp_real_print(double value, bool as_float, char *out) {
  if (value == floor(value) && fabs(value) < 1e15) {
    snprintf(out, PP_DECIMAL_TEXT, "%.0f", value);
    return;
  }
  for (int precision = 1; precision <= 17; precision++) {
    snprintf(out, PP_DECIMAL_TEXT, "%.*g", precision, value);
    double back = strtod(out, NULL);
    if (as_float ? (float)back == (float)value : back == value)
      return;
  }
}
