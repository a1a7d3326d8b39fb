/* The texts that an experiment was loaded from, in the results file: /inputs/<k> with the attribute `path`, and the
 * root's attribute `set`. */
#ifndef PP_TRACE_INPUTS_H
#define PP_TRACE_INPUTS_H

#include <hdf5.h>

#include "pipar/config.h"

/* Into a file that is being made; `path` names it in errors. */
PP_MUST_CHECK pp_status pp_inputs_write(hid_t file, const char *path, const pp_experiment *experiment);

#endif
