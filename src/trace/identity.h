/* What must be the same for the bits of a run to be the same. */
#ifndef PP_TRACE_IDENTITY_H
#define PP_TRACE_IDENTITY_H

#include <hdf5.h>

#include "pipar/results.h"

/* Error (PP_CODE_INPUT): what was made with other parts than `wanted`, where that has them ("" takes any). */
PP_MUST_CHECK pp_status pp_identity_compare(const char *path, const pp_identity *found, const pp_identity *wanted);
/* Reads the parts from a results file's root, where they are provenance; a missing one is "". */
PP_MUST_CHECK pp_status pp_identity_read(hid_t file, const char *path, pp_identity *out);

/* Whether a setting of this name can change a result. */
bool pp_setting_matters(const char *name);

#endif
