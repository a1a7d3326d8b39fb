#include "base/time.h"

#include <math.h>

pp_status pp_ns_from_seconds(double seconds, const char *what, pp_ns *out) {
  double ns = round(seconds * 1e9);
  if (!(ns >= 0.0 && ns <= (double)PP_NS_LONGEST))
    return pp_fail(PP_CODE_INPUT, "%s is %g s: allowed are 0 s to %g s", what, seconds, pp_seconds(PP_NS_LONGEST));
  *out = (pp_ns)ns;
  return NULL;
}

double pp_seconds(pp_ns ns) { return (double)ns / 1e9; }
