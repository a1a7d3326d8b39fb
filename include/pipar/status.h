/* Errors: raised once with a formatted reason, passed up with PP_TRY, printed by the program. */
#ifndef PIPAR_STATUS_H
#define PIPAR_STATUS_H

#include <stdbool.h>
#include <stddef.h>

/* What kind of failure; the program's exit codes are the same numbers. */
typedef enum pp_code {
  PP_CODE_OK = 0,
  PP_CODE_USAGE = 1,   /* the command line is wrong, or `diff` found a difference */
  PP_CODE_INPUT = 2,   /* the experiment or an input file is wrong */
  PP_CODE_RUN = 3,     /* a run failed */
  PP_CODE_STOPPED = 4, /* stopped by a signal */
} pp_code;

/* NULL is success. Anything else is an error that whoever receives it owns: pass it on or pp_error_free it. */
typedef struct pp_error pp_error;
typedef pp_error *pp_status;

#define PP_MUST_CHECK        __attribute__((warn_unused_result))
#define PP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Makes an error whose message is one line: control characters become `?`. Never returns NULL. */
PP_MUST_CHECK pp_status pp_fail(pp_code code, const char *format, ...) PP_PRINTF(2, 3);

/* Puts a place and ": " before an error's message; success stays success. */
PP_MUST_CHECK pp_status pp_fail_in(pp_status status, const char *format, ...) PP_PRINTF(2, 3);

/* An error for an allocation of `bytes` that failed (code PP_CODE_RUN). */
PP_MUST_CHECK pp_status pp_fail_memory(const char *what, unsigned long long bytes);

/* Both accept NULL (success): PP_CODE_OK and "". The text lives as long as the error. */
pp_code pp_error_code(const pp_error *error);
const char *pp_error_message(const pp_error *error);
void pp_error_free(pp_error *error);

/* Keeps the first of two failures and frees the other: for clean-up paths that can fail themselves. */
PP_MUST_CHECK pp_status pp_status_first(pp_status first, pp_status second);

#define PP_TRY(expr)                                                                                                   \
  do {                                                                                                                 \
    pp_status pp_try_ = (expr);                                                                                        \
    if (pp_try_ != NULL)                                                                                               \
      return pp_try_;                                                                                                  \
  } while (0)

/* As PP_TRY where something is held: sets `status` and jumps to `label`. */
#define PP_TRY_GOTO(status, expr, label)                                                                               \
  do {                                                                                                                 \
    (status) = (expr);                                                                                                 \
    if ((status) != NULL)                                                                                              \
      goto label;                                                                                                      \
  } while (0)

/* For our own bugs only, no side effects inside; input, files and MPI are checked with pp_status. */
#define PP_ASSERT(cond) ((cond) ? (void)0 : pp_assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void pp_assert_failed(const char *cond, const char *file, int line);

#endif
