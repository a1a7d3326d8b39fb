/* Rates over time from files of other tools. */
#ifndef PP_CONFIG_TRACEFILE_H
#define PP_CONFIG_TRACEFILE_H

#include "config/arena.h"
#include "pipar/config.h"

/* Reads a trace; its kind follows from the name: `.up` and `.down` are Mahimahi's packet traces, `.csv` is a table with
 * a header, anything else SimGrid's profile format. A path that is not absolute is taken from `directory` (NULL: the
 * current one). Memory is the arena's. Errors (PP_CODE_INPUT) name file and line. */
PP_MUST_CHECK pp_status pp_trace_file_read(pp_arena *arena, const char *directory, const char *path,
                                           pp_rate_trace *out);

#endif
