/* Command lines that name a network: --input CxHxW, --classes N. */
#ifndef PP_APP_NETWORK_OPTIONS_H
#define PP_APP_NETWORK_OPTIONS_H

#include "pipar/nn.h"

/* `command` begins the errors (PP_CODE_USAGE). */
PP_MUST_CHECK pp_status pp_app_parse_input(const char *command, const char *text, pp_shape *out);
PP_MUST_CHECK pp_status pp_app_parse_classes(const char *command, const char *text, int *out);

/* A network by its name, or of a FILE.yaml. The caller destroys it. */
PP_MUST_CHECK pp_status pp_app_create_model(const char *name, pp_shape input, int classes, pp_model **out);

/* A positive integer up to `most` at *text, which is moved behind it; 0 if there is none. */
int pp_app_take_integer(const char **text, int most);

#endif
