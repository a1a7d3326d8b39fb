/* What a run's times follow from, as tables of the results file. */
#ifndef PP_RUNTIME_INPUTS_H
#define PP_RUNTIME_INPUTS_H

#include "runtime/sink.h"

/* model: NULL where the costs are a table. */
PP_MUST_CHECK pp_status pp_run_inputs_write(pp_sink *sink, const pp_scenario *scenario, const pp_model *model);

#endif
