#include "timeline/fair.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const pp_int128 nanobits_per_byte = (pp_int128)8 * 1000000000;

pp_status pp_fair_init(pp_fair *fair, const pp_link *shared, int room) {
  *fair = (pp_fair){.shared = shared, .room = room, .change_ns = PP_NS_NEVER, .next_ns = PP_NS_NEVER};
  return pp_alloc((size_t)room, sizeof *fair->flows, "transfers over the server's link", &fair->flows);
}

void pp_fair_fini(pp_fair *fair) {
  free(fair->flows);
  *fair = (pp_fair){0};
}

static bool comes_before(const pp_flow *a, const pp_flow *b) {
  return a->own_bps < b->own_bps || (a->own_bps == b->own_bps && a->id < b->id);
}

/* The device's rate now. */
static void look_up(pp_fair *fair, pp_flow *flow) {
  pp_ns change;
  flow->own_bps = pp_link_rate(flow->own, fair->now_ns, &change);
  if (change < fair->change_ns)
    fair->change_ns = change;
}

/* Puts the flow at `from` into its place among those before it. */
static void sift(pp_fair *fair, int from) {
  pp_flow flow = fair->flows[from];
  int at = from;
  for (; at > 0 && comes_before(&flow, &fair->flows[at - 1]); at--)
    fair->flows[at] = fair->flows[at - 1];
  fair->flows[at] = flow;
}

/* Whoever wants less than an equal share of what is left gets what it wants, the others the share. */
static void divide(pp_fair *fair) {
  pp_ns change;
  int64_t left_bps = pp_link_rate(fair->shared, fair->now_ns, &change);
  for (int at = 0; at < fair->count; at++) {
    pp_flow *flow = &fair->flows[at];
    int64_t share = left_bps / (fair->count - at);
    flow->rate_bps = flow->own_bps < share ? flow->own_bps : share;
    left_bps -= flow->rate_bps;
  }
}

/* All rates anew, after a change of the links. */
static void renew(pp_fair *fair) {
  pp_link_rate(fair->shared, fair->now_ns, &fair->change_ns);
  for (int at = 0; at < fair->count; at++) {
    look_up(fair, &fair->flows[at]);
    sift(fair, at);
  }
  fair->stale = true;
}

/* The next end or change, with rates as they are. */
static pp_ns find_next(const pp_fair *fair) {
  if (fair->count == 0)
    return PP_NS_NEVER;
  pp_int128 next = fair->change_ns;
  for (int at = 0; at < fair->count; at++) {
    const pp_flow *flow = &fair->flows[at];
    if (flow->left <= 0)
      return fair->now_ns;
    pp_int128 rate = flow->rate_bps;
    if (rate > 0 && fair->now_ns + (flow->left + rate - 1) / rate < next)
      next = fair->now_ns + (flow->left + rate - 1) / rate;
  }
  return next < PP_NS_NEVER ? (pp_ns)next : PP_NS_NEVER;
}

pp_ns pp_fair_next(pp_fair *fair) {
  if (fair->stale) {
    divide(fair);
    fair->next_ns = find_next(fair);
    fair->stale = false;
  }
  return fair->next_ns;
}

void pp_fair_advance(pp_fair *fair, pp_ns now_ns) {
  if (now_ns == fair->now_ns && fair->change_ns > now_ns)
    return;
  pp_ns next_ns = pp_fair_next(fair);
  PP_ASSERT(now_ns >= fair->now_ns && now_ns <= next_ns);
  for (int at = 0; at < fair->count; at++)
    fair->flows[at].left -= (pp_int128)fair->flows[at].rate_bps * (now_ns - fair->now_ns);
  fair->now_ns = now_ns;
  if (fair->count > 0 && fair->change_ns <= now_ns)
    renew(fair);
}

static void drop(pp_fair *fair, int at) {
  fair->count--;
  memmove(&fair->flows[at], &fair->flows[at + 1], (size_t)(fair->count - at) * sizeof *fair->flows);
  fair->stale = true;
}

bool pp_fair_take(pp_fair *fair, int64_t *id) {
  int first = -1;
  for (int at = 0; at < fair->count; at++)
    if (fair->flows[at].left <= 0 && (first < 0 || fair->flows[at].id < fair->flows[first].id))
      first = at;
  if (first < 0)
    return false;
  *id = fair->flows[first].id;
  drop(fair, first);
  return true;
}

void pp_fair_start(pp_fair *fair, int64_t id, const pp_link *own, int64_t bytes) {
  PP_ASSERT(fair->count < fair->room);
  if (fair->count == 0) /* nobody looked while the link was idle */
    pp_link_rate(fair->shared, fair->now_ns, &fair->change_ns);
  fair->flows[fair->count] = (pp_flow){.id = id, .own = own, .left = nanobits_per_byte * bytes};
  look_up(fair, &fair->flows[fair->count]);
  sift(fair, fair->count++);
  fair->stale = true;
}

void pp_fair_stop(pp_fair *fair, int64_t id) {
  for (int at = 0; at < fair->count; at++)
    if (fair->flows[at].id == id) {
      drop(fair, at);
      return;
    }
}
