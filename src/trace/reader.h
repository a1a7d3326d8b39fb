/* What the comparison needs of an open results file beside pipar/results.h. */
#ifndef PP_TRACE_READER_H
#define PP_TRACE_READER_H

#include <hdf5.h>

#include "pipar/results.h"

hid_t pp_results_file(const pp_results *results);

#endif
