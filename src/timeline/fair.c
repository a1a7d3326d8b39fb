#include "timeline/fair.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const pp_int128 nanobits_per_byte = (pp_int128)8 * 1000000000;

pp_status pp_fair_init(pp_fair *fair, const pp_link *shared, int room) {
  *fair = (pp_fair){.shared = shared, .room = room, .change_ns = PP_NS_NEVER, .next_ns = PP_NS_NEVER};
  PP_TRY(pp_alloc((size_t)room, sizeof *fair->ended, "transfers over the server's link", &fair->ended));
  PP_TRY(pp_alloc((size_t)room, sizeof *fair->tail, "transfers over the server's link", &fair->tail));
  return pp_alloc((size_t)room, sizeof *fair->flows, "transfers over the server's link", &fair->flows);
}

void pp_fair_fini(pp_fair *fair) {
  free(fair->flows);
  free(fair->ended);
  free(fair->tail);
  *fair = (pp_fair){0};
}

static int compare_flows(const void *a, const void *b) {
  const pp_flow *x = a, *y = b;
  if (x->own_bps != y->own_bps)
    return x->own_bps < y->own_bps ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

static int compare_ids(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? 1 : x > y ? -1 : 0; /* the highest first */
}

/* Merges those that are not in their place into the others. */
static void sort(pp_fair *fair) {
  pp_flow *flows = fair->flows, *tail = fair->tail;
  int from = fair->sorted > 0 ? fair->sorted : 1;
  while (from < fair->count && compare_flows(&flows[from - 1], &flows[from]) < 0)
    from++;
  fair->sorted = fair->count;
  if (from >= fair->count)
    return;
  int left = fair->count - from;
  memcpy(tail, flows + from, (size_t)left * sizeof *tail);
  qsort(tail, (size_t)left, sizeof *tail, compare_flows);
  for (int to = fair->count - 1; left > 0; to--)
    if (from > 0 && compare_flows(&flows[from - 1], &tail[left - 1]) > 0)
      flows[to] = flows[--from];
    else
      flows[to] = tail[--left];
}

/* The device's rate now. */
static void look_up(pp_fair *fair, pp_flow *flow) {
  pp_ns change;
  flow->own_bps = pp_link_rate(flow->own, fair->now_ns, &change);
  if (change < fair->change_ns)
    fair->change_ns = change;
}

/* Whoever wants less than an equal share of what is left gets what it wants, the others the share: what is left over
 * the number of those left, anew after each. It stays, or is one more where nothing of it remained, after one that got
 * it. */
static void divide(pp_fair *fair) {
  pp_ns change;
  int64_t left_bps = pp_link_rate(fair->shared, fair->now_ns, &change), share = 0, remainder = 0;
  bool took_share = false;
  for (int at = 0; at < fair->count; at++) {
    pp_flow *flow = &fair->flows[at];
    int flows = fair->count - at;
    if (!took_share) {
      share = left_bps / flows;
      remainder = left_bps % flows;
    } else if (remainder == flows) {
      share++;
      remainder = 0;
    }
    took_share = flow->own_bps >= share;
    flow->rate_bps = took_share ? share : flow->own_bps;
    left_bps -= flow->rate_bps;
  }
}

/* All rates anew, after a change of the links. */
static void renew(pp_fair *fair) {
  pp_link_rate(fair->shared, fair->now_ns, &fair->change_ns);
  for (int at = 0; at < fair->count; at++)
    look_up(fair, &fair->flows[at]);
  fair->sorted = 0;
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
    if (flow->left <= rate * (next - 1 - fair->now_ns)) /* it is the next, and dividing is slow */
      next = fair->now_ns + (flow->left + rate - 1) / rate;
  }
  return next < PP_NS_NEVER ? (pp_ns)next : PP_NS_NEVER;
}

pp_ns pp_fair_next(pp_fair *fair) {
  if (fair->stale) {
    sort(fair);
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
  fair->spent = 0;
  for (int at = 0; at < fair->count; at++) {
    fair->flows[at].left -= (pp_int128)fair->flows[at].rate_bps * (now_ns - fair->now_ns);
    fair->spent += fair->flows[at].left <= 0 ? 1 : 0;
  }
  fair->now_ns = now_ns;
  if (fair->count > 0 && fair->change_ns <= now_ns)
    renew(fair);
}

/* Those whose bits have all passed are under way no more. */
static void collect(pp_fair *fair) {
  int left = 0, sorted = 0;
  for (int at = 0; at < fair->count; at++) {
    if (fair->flows[at].left <= 0) {
      fair->ended[fair->ended_count++] = fair->flows[at].id;
      continue;
    }
    fair->flows[left++] = fair->flows[at];
    sorted += at < fair->sorted ? 1 : 0;
  }
  fair->count = left;
  fair->sorted = sorted;
  fair->spent = 0;
  fair->stale = true;
  qsort(fair->ended, (size_t)fair->ended_count, sizeof *fair->ended, compare_ids);
}

bool pp_fair_take(pp_fair *fair, int64_t *id) {
  if (fair->spent > 0)
    collect(fair);
  if (fair->ended_count == 0)
    return false;
  *id = fair->ended[--fair->ended_count];
  return true;
}

void pp_fair_start(pp_fair *fair, int64_t id, const pp_link *own, int64_t bytes) {
  PP_ASSERT(fair->count < fair->room && fair->spent == 0 && fair->ended_count == 0);
  if (fair->count == 0) /* nobody looked while the link was idle */
    pp_link_rate(fair->shared, fair->now_ns, &fair->change_ns);
  fair->flows[fair->count] = (pp_flow){.id = id, .own = own, .left = nanobits_per_byte * bytes};
  look_up(fair, &fair->flows[fair->count++]);
  fair->stale = true;
}

void pp_fair_stop(pp_fair *fair, int64_t id) {
  PP_ASSERT(fair->spent == 0 && fair->ended_count == 0);
  for (int at = 0; at < fair->count; at++)
    if (fair->flows[at].id == id) {
      fair->count--;
      fair->sorted -= at < fair->sorted ? 1 : 0;
      memmove(&fair->flows[at], &fair->flows[at + 1], (size_t)(fair->count - at) * sizeof *fair->flows);
      fair->stale = true;
      return;
    }
}
