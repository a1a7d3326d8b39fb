#include "model/link.h"

#include <stdlib.h>

#include "base/mem.h"

static const pp_int128 nanobits_per_byte = (pp_int128)8 * 1000000000;

pp_status pp_link_check(const pp_rate_trace *trace, const char *what) {
  if (trace->count < 1 || trace->steps == NULL)
    return pp_fail(PP_CODE_INPUT, "%s: the rate has no steps: at least one is needed", what);
  if (trace->steps[0].start_ns != 0)
    return pp_fail(PP_CODE_INPUT, "%s: the first rate starts at %g s: it must start at 0", what,
                   pp_seconds(trace->steps[0].start_ns));
  bool carries = false;
  for (int step = 0; step < trace->count; step++) {
    if (trace->steps[step].rate_bps < 0)
      return pp_fail(PP_CODE_INPUT, "%s: the rate at %g s is %lld bit/s: it must not be negative", what,
                     pp_seconds(trace->steps[step].start_ns), (long long)trace->steps[step].rate_bps);
    if (step > 0 && trace->steps[step].start_ns <= trace->steps[step - 1].start_ns)
      return pp_fail(PP_CODE_INPUT, "%s: the rate at %g s follows the one at %g s: times must increase", what,
                     pp_seconds(trace->steps[step].start_ns), pp_seconds(trace->steps[step - 1].start_ns));
    carries = carries || trace->steps[step].rate_bps > 0;
  }
  const pp_rate_step *last = &trace->steps[trace->count - 1];
  if (trace->period_ns == 0 && last->rate_bps == 0)
    return pp_fail(PP_CODE_INPUT, "%s: the rate stays 0 from %g s on: it must end above 0 or loop", what,
                   pp_seconds(last->start_ns));
  if (trace->period_ns != 0 && trace->period_ns <= last->start_ns)
    return pp_fail(PP_CODE_INPUT, "%s: the rate loops after %g s: that must be later than its last step at %g s", what,
                   pp_seconds(trace->period_ns), pp_seconds(last->start_ns));
  if (!carries)
    return pp_fail(PP_CODE_INPUT, "%s: the rate is 0 all the time: it must be above 0 somewhere", what);
  return NULL;
}

pp_status pp_link_init(pp_link *link, const pp_rate_trace *trace, const char *what) {
  PP_TRY(pp_link_check(trace, what));
  pp_int128 *passed = NULL;
  PP_TRY(pp_alloc((size_t)trace->count, sizeof *passed, "the steps of a link", &passed));
  for (int step = 1; step < trace->count; step++) {
    const pp_rate_step *before = &trace->steps[step - 1];
    passed[step] = passed[step - 1] + (pp_int128)before->rate_bps * (trace->steps[step].start_ns - before->start_ns);
  }
  const pp_rate_step *last = &trace->steps[trace->count - 1];
  *link = (pp_link){.count = trace->count,
                    .steps = trace->steps,
                    .period_ns = trace->period_ns,
                    .passed = passed,
                    .period_passed = trace->period_ns == 0
                                         ? 0
                                         : passed[trace->count - 1] +
                                               (pp_int128)last->rate_bps * (trace->period_ns - last->start_ns)};
  return NULL;
}

void pp_link_fini(pp_link *link) {
  free(link->passed);
  *link = (pp_link){0};
}

bool pp_link_is_constant(const pp_link *link) { return link->count == 1; }

/* The step in force at `time` of one run through them. */
static int step_at(const pp_link *link, pp_ns time) {
  int low = 0, high = link->count; /* steps[low] has started, steps[high] has not */
  while (high - low > 1) {
    int middle = low + (high - low) / 2;
    if (link->steps[middle].start_ns <= time)
      low = middle;
    else
      high = middle;
  }
  return low;
}

int64_t pp_link_rate(const pp_link *link, pp_ns now_ns, pp_ns *change_ns) {
  pp_ns begin = link->period_ns > 0 ? now_ns / link->period_ns * link->period_ns : 0;
  int step = step_at(link, now_ns - begin);
  pp_int128 change = PP_NS_NEVER;
  if (step + 1 < link->count)
    change = (pp_int128)begin + link->steps[step + 1].start_ns;
  else if (link->period_ns > 0)
    change = (pp_int128)begin + link->period_ns;
  *change_ns = change < PP_NS_NEVER ? (pp_ns)change : PP_NS_NEVER;
  return link->steps[step].rate_bps;
}

/* What has passed at `time` of one run through the steps. */
static pp_int128 passed_at(const pp_link *link, pp_ns time) {
  int low = step_at(link, time);
  return link->passed[low] + (pp_int128)link->steps[low].rate_bps * (time - link->steps[low].start_ns);
}

/* First time of one run through the steps at which `amount` >= 1 has passed. */
static pp_int128 time_of(const pp_link *link, pp_int128 amount) {
  int low = 0, high = link->count; /* passed[low] < amount <= passed[high] */
  while (high - low > 1) {
    int middle = low + (high - low) / 2;
    if (link->passed[middle] < amount)
      low = middle;
    else
      high = middle;
  }
  pp_int128 rate = link->steps[low].rate_bps;
  return link->steps[low].start_ns + (amount - link->passed[low] + rate - 1) / rate;
}

pp_ns pp_link_finish(const pp_link *link, pp_ns start_ns, int64_t bytes) {
  return pp_link_finish_amount(link, start_ns, nanobits_per_byte * bytes);
}

pp_ns pp_link_finish_amount(const pp_link *link, pp_ns start_ns, pp_int128 need) {
  pp_int128 end = 0;
  if (link->count == 1) {
    pp_int128 rate = link->steps[0].rate_bps;
    end = start_ns + (need + rate - 1) / rate;
  } else if (link->period_ns == 0) {
    end = time_of(link, passed_at(link, start_ns) + need);
  } else {
    pp_int128 target =
        (start_ns / link->period_ns) * link->period_passed + passed_at(link, start_ns % link->period_ns) + need;
    pp_int128 periods = (target - 1) / link->period_passed; /* whole ones that end before it */
    end = periods * link->period_ns + time_of(link, target - periods * link->period_passed);
  }
  return end < PP_NS_NEVER ? (pp_ns)end : PP_NS_NEVER;
}
