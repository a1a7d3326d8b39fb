/* The subcommands. argv[0] is the subcommand's name. Errors come back as status; *exit_code is for outcomes that are
 * none (`diff`: differing). */
#ifndef PP_APP_COMMANDS_H
#define PP_APP_COMMANDS_H

#include "pipar/status.h"

PP_MUST_CHECK pp_status pp_cmd_run(int argc, char **argv, int *exit_code);
PP_MUST_CHECK pp_status pp_cmd_check(int argc, char **argv, int *exit_code);

#endif
