/* Aligned, zeroed memory. */
#ifndef PP_BASE_MEM_H
#define PP_BASE_MEM_H

#include <stddef.h>

#include "pipar/status.h"

enum { PP_ALIGNMENT = 64 }; /* bytes: a cache line, and the widest vector */

/* Local. Allocates count x size zeroed bytes at PP_ALIGNMENT; *out is set only on success and released with
 * free(). A count of 0 gives a valid pointer. `what` names the thing in the error ("activations of device 3"). */
PP_MUST_CHECK pp_status pp_alloc(size_t count, size_t size, const char *what, void *out);

#endif
