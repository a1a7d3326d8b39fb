/* The subcommands. Each gets its own arguments, argv[0] being its name, and prints to stdout. Errors come back as
 * status, those of its command line as PP_CODE_USAGE; *exit_code is for outcomes that are none (`diff`: differing). */
#ifndef PP_APP_COMMANDS_H
#define PP_APP_COMMANDS_H

#include "pipar/status.h"

PP_MUST_CHECK pp_status pp_cmd_run(int argc, char **argv, int *exit_code);
PP_MUST_CHECK pp_status pp_cmd_check(int argc, char **argv, int *exit_code);
/* What the planners choose, from what, and what limits it. */
PP_MUST_CHECK pp_status pp_cmd_plan(int argc, char **argv, int *exit_code);
/* Blocks of the networks that can be built. */
PP_MUST_CHECK pp_status pp_cmd_models(int argc, char **argv, int *exit_code);
/* Times the blocks of a network on this machine, for `cost: {kind: profile}`. */
PP_MUST_CHECK pp_status pp_cmd_profile(int argc, char **argv, int *exit_code);
/* Devices and networks with numbers, kinds and sources. */
PP_MUST_CHECK pp_status pp_cmd_presets(int argc, char **argv, int *exit_code);
PP_MUST_CHECK pp_status pp_cmd_report(int argc, char **argv, int *exit_code);
PP_MUST_CHECK pp_status pp_cmd_plot(int argc, char **argv, int *exit_code);
/* Stages as trace events for Perfetto and chrome://tracing. */
PP_MUST_CHECK pp_status pp_cmd_trace(int argc, char **argv, int *exit_code);
/* Files of single runs of a sweep into one. */
PP_MUST_CHECK pp_status pp_cmd_merge(int argc, char **argv, int *exit_code);
PP_MUST_CHECK pp_status pp_cmd_diff(int argc, char **argv, int *exit_code);

#endif
