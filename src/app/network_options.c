#include "app/network_options.h"

#include "config/architecture.h"

int pp_app_take_integer(const char **text, int most) {
  long value = 0;
  const char *digit = *text;
  for (; *digit >= '0' && *digit <= '9' && value <= most; digit++)
    value = value * 10 + (*digit - '0');
  *text = digit;
  return value <= most ? (int)value : 0;
}

pp_status pp_app_parse_input(const char *command, const char *text, pp_shape *out) {
  enum { largest = 4096 };
  const char *at = text;
  int size[3] = {0};
  for (int axis = 0; axis < 3; axis++) {
    size[axis] = pp_app_take_integer(&at, largest);
    if (size[axis] == 0 || *at != (axis < 2 ? 'x' : '\0'))
      return pp_fail(PP_CODE_USAGE, "%s: --input %.64s: allowed is CxHxW, each from 1 to %d", command, text, largest);
    at++;
  }
  *out = (pp_shape){size[0], size[1], size[2]};
  return NULL;
}

pp_status pp_app_parse_classes(const char *command, const char *text, int *out) {
  const char *at = text;
  int classes = pp_app_take_integer(&at, 1000000);
  if (classes < 2 || *at != '\0')
    return pp_fail(PP_CODE_USAGE, "%s: --classes %.64s: allowed is an integer from 2 to 1000000", command, text);
  *out = classes;
  return NULL;
}

pp_status pp_app_create_model(const char *name, pp_shape input, int classes, pp_model **out) {
  if (!pp_architecture_is_file(name))
    return pp_model_create(name, input, classes, out);
  pp_arena arena = {0};
  const pp_architecture *own = NULL;
  pp_status status = pp_architecture_read(&arena, NULL, name, NULL, &own);
  if (status == NULL)
    status = pp_model_create_own(own, input, classes, out);
  pp_arena_fini(&arena);
  return status;
}
