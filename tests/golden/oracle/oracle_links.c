/* How fast transfers are, alone and over the server's link. */
#include "oracle_simulation.h"

int64_t oracle_earlier(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t own_rate(const simulation *sim, const link_state *link, int64_t *until) {
  const oracle_stage *stage = &sim->stages[link->running];
  const oracle_device *facts = &sim->scenario->devices[stage->device];
  return oracle_rate_at(goes_up(stage->kind) ? &facts->up : &facts->down, sim->now, until);
}

static bool goes(const simulation *sim, const link_state *link, bool up) {
  return link->running >= 0 && goes_up(sim->stages[link->running].kind) == up;
}

/* What the transfers under way in a direction would carry together if none had more than `level`. */
static wide carried_at(const simulation *sim, bool up, int64_t level) {
  wide sum = 0;
  for (int place = 0; place < 2 * sim->scenario->device_count; place++)
    if (goes(sim, &sim->links[place], up))
      sum += oracle_earlier(sim->links[place].own, level);
  return sum;
}

/* How many transfers of the direction come before this one when single bits are given away above the level. */
static int before_it(const simulation *sim, const link_state *link, bool up) {
  int before = 0;
  for (int place = 0; place < 2 * sim->scenario->device_count; place++) {
    const link_state *other = &sim->links[place];
    if (other != link && goes(sim, other, up))
      before += other->own > link->own ||
                (other->own == link->own && sim->stages[other->running].device > sim->stages[link->running].device);
  }
  return before;
}

/* The highest level at which all fit into the server's rate. */
static int64_t find_level(const simulation *sim, bool up, int64_t rate) {
  int64_t level = 0, too_high = rate + 1;
  while (too_high - level > 1) {
    int64_t middle = level + (too_high - level) / 2;
    if (carried_at(sim, up, middle) <= rate)
      level = middle;
    else
      too_high = middle;
  }
  return level;
}

/* The rates of the direction's transfers from now on, and until when no trace that they depend on changes. */
static void share(simulation *sim, bool up, const oracle_trace *shared) {
  int64_t change = never, rate = oracle_rate_at(shared, sim->now, &change);
  for (int place = 0; place < 2 * sim->scenario->device_count; place++)
    if (goes(sim, &sim->links[place], up))
      change = oracle_earlier(change, sim->links[place].until);
  bool all_fit = carried_at(sim, up, never) <= rate;
  int64_t level = all_fit ? never : find_level(sim, up, rate);
  int64_t left = all_fit ? 0 : rate - (int64_t)carried_at(sim, up, level);
  for (int place = 0; place < 2 * sim->scenario->device_count; place++) {
    link_state *link = &sim->links[place];
    if (!goes(sim, link, up))
      continue;
    link->until = change;
    link->rate = oracle_earlier(link->own, level) + (link->own > level && before_it(sim, link, up) < left ? 1 : 0);
  }
}

void oracle_set_rates(simulation *sim) {
  for (int place = 0; place < 2 * sim->scenario->device_count; place++)
    if (sim->links[place].running >= 0)
      sim->links[place].rate = sim->links[place].own = own_rate(sim, &sim->links[place], &sim->links[place].until);
  if (sim->scenario->shared_up.count == 0)
    return;
  share(sim, true, &sim->scenario->shared_up);
  share(sim, false, &sim->scenario->shared_down);
}

/* When the link's transfer ends, or its rate may change, whichever comes first. */
int64_t oracle_link_next(const simulation *sim, const link_state *link) {
  if (link->rate == 0)
    return link->until;
  wide length = (link->left + link->rate - 1) / link->rate;
  return length < (wide)(link->until - sim->now) ? sim->now + (int64_t)length : link->until;
}

void oracle_link_advance(const simulation *sim, link_state *link, int64_t to) {
  link->left -= (wide)link->rate * (to - sim->now);
  DEMAND(to <= link->until);
}
