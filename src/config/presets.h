/* Named devices and networks: presets.yaml, which is part of the program. */
#ifndef PP_CONFIG_PRESETS_H
#define PP_CONFIG_PRESETS_H

#include <stdio.h>

#include "config/parse.h"

/* Parses a text in the form of presets.yaml; all memory is the arena's. */
PP_MUST_CHECK pp_status pp_presets_parse(pp_arena *arena, const char *text, size_t length, pp_presets *out);
/* The program's own. */
PP_MUST_CHECK pp_status pp_presets_load(pp_arena *arena, pp_presets *out);

/* The text of presets.yaml, made by embed.c when the program is built. */
extern const unsigned char pp_presets_yaml[];
extern const unsigned long pp_presets_yaml_length;

#endif
