/* Candidates run through the timeline, contention included. `search` leaves out those whose lower bound is no better
 * than what is known, and improves several starts group by group; `exhaustive` leaves out nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "timeline/planner.h"

enum {
  small_batch = 24,   /* of several groups: up to here every number of micro-batches is tried */
  large_batch = 256,  /* of one group, likewise */
  most_passes = 6,    /* over the groups */
  most_failures = 40, /* candidates of one of several groups in turn without a better one */
  most_pairs = 400,   /* of plans of two groups */
  most_pairs_looked_at = 1 << 20,
  pairs_of_splits = 3, /* of the same two splits */
  more_starts = 3,
  most_refined = 100,
  finalists = 12,
  most_exhaustive = 200000
};

/* A candidate with what is known of it whatever the others do. */
typedef struct option {
  pp_candidate candidate;
  pp_group_bound bound;
  pp_ns joint;     /* with the others' plans */
  pp_int128 score; /* among equal bounds: a guess of its round alone */
} option;

typedef struct option_list {
  option *items; /* (count) by bound once sorted */
  int64_t count;
} option_list;

typedef struct finalist {
  pp_group_plan *plans; /* (group_count) */
  pp_outlook outlook;
} finalist;

/* What was said of plans, by the plans: groups are improved again and again beside the same others. */
typedef struct memory {
  pp_group_plan *plans; /* (room, group_count) */
  pp_outlook *outlooks; /* (room) */
  bool *taken;          /* (room) */
  size_t room, count;   /* room: a power of 2, or 0 */
} memory;

typedef struct search {
  pp_planning *planning;
  int group_count, open_count;
  option_list *groups;    /* (group_count); empty where nothing is open */
  pp_group_bound *bounds; /* (group_count) of the plans in hand */
  pp_group_plan *best;    /* (group_count) of the best so far */
  pp_outlook best_outlook;
  finalist pool[finalists]; /* the best few, best first */
  int pool_count;
  memory known;
} search;

static bool is_open(const pp_planning *planning, int group) {
  return planning->choices[group].split || planning->choices[group].micro_batches;
}

static size_t plans_size(const search *s) { return (size_t)s->group_count * sizeof(pp_group_plan); }

static pp_status bound_entry(search *s, int group, option *entry) {
  PP_TRY(pp_bounds_of_group(s->planning, group, entry->candidate.plan, &entry->bound));
  int slots = s->planning->inputs->config->server.slots;
  pp_int128 shared = entry->bound.server_ns / (slots > 0 ? slots : 1);
  entry->score = entry->bound.device_ns > shared ? entry->bound.device_ns : shared;
  return NULL;
}

static bool has_every_count(const search *s) {
  return s->planning->inputs->config->training.batch_size <= (s->open_count == 1 ? large_batch : small_batch);
}

static pp_status list_entries(search *s, int group) {
  pp_candidates candidates;
  bool every = has_every_count(s);
  PP_TRY(pp_planning_candidates(s->planning, group, every, &candidates));
  option_list *of = &s->groups[group];
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc((size_t)candidates.count, sizeof *of->items, "the planner's candidates", &of->items),
              done);
  for (int64_t index = 0; index < candidates.count; index++) {
    option *entry = &of->items[of->count];
    entry->candidate = candidates.items[index];
    PP_TRY_GOTO(status, bound_entry(s, group, entry), done);
    of->count += !entry->bound.refused;
  }
done:
  free(candidates.items);
  return status;
}

static int compare_entries(const void *a, const void *b) {
  const option *left = a, *right = b;
  if (left->joint != right->joint)
    return left->joint < right->joint ? -1 : 1;
  if (left->score != right->score)
    return left->score < right->score ? -1 : 1;
  if (left->candidate.plan.micro_batches != right->candidate.plan.micro_batches)
    return left->candidate.plan.micro_batches - right->candidate.plan.micro_batches;
  return left->candidate.plan.split - right->candidate.plan.split;
}

/* Keeps the best few joint plans. */
static void remember(search *s, const pp_outlook *outlook) {
  const pp_group_plan *plans = s->planning->plans;
  for (int place = 0; place < s->pool_count; place++)
    if (memcmp(s->pool[place].plans, plans, plans_size(s)) == 0)
      return;
  if (s->pool_count == finalists && !pp_outlook_is_better(outlook, &s->pool[finalists - 1].outlook))
    return;
  int place = s->pool_count < finalists ? s->pool_count++ : finalists - 1;
  finalist taken = s->pool[place];
  for (; place > 0 && pp_outlook_is_better(outlook, &s->pool[place - 1].outlook); place--)
    s->pool[place] = s->pool[place - 1];
  taken.outlook = *outlook;
  memcpy(taken.plans, plans, plans_size(s));
  s->pool[place] = taken;
}

/* Where plans are in the memory, or would be. */
static size_t find(const memory *known, const pp_group_plan *plans, int group_count) {
  uint64_t hash = 0;
  for (int group = 0; group < group_count; group++) {
    hash = (hash ^ (uint32_t)plans[group].split) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ (uint32_t)plans[group].micro_batches) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 32;
  }
  size_t place = (size_t)hash & (known->room - 1), bytes = (size_t)group_count * sizeof *plans;
  while (known->taken[place] && memcmp(known->plans + place * (size_t)group_count, plans, bytes) != 0)
    place = (place + 1) & (known->room - 1);
  return place;
}

static void forget(memory *known) {
  free(known->plans);
  free(known->outlooks);
  free(known->taken);
  *known = (memory){0};
}

static pp_status grow(memory *known, int group_count) {
  memory grown = {.room = known->room == 0 ? 1024 : 2 * known->room, .count = known->count};
  size_t groups = (size_t)group_count;
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc(grown.room * groups, sizeof *grown.plans, "the planner's memory", &grown.plans), fail);
  PP_TRY_GOTO(status, pp_alloc(grown.room, sizeof *grown.outlooks, "the planner's memory", &grown.outlooks), fail);
  PP_TRY_GOTO(status, pp_alloc(grown.room, sizeof *grown.taken, "the planner's memory", &grown.taken), fail);
  for (size_t from = 0; from < known->room; from++) {
    if (!known->taken[from])
      continue;
    const pp_group_plan *plans = known->plans + from * groups;
    size_t to = find(&grown, plans, group_count);
    memcpy(grown.plans + to * groups, plans, groups * sizeof *plans);
    grown.outlooks[to] = known->outlooks[from];
    grown.taken[to] = true;
  }
  forget(known);
  *known = grown;
  return NULL;
fail:
  forget(&grown);
  return status;
}

/* What the timeline says of the plans in hand, asked once. */
static pp_status predict(search *s, pp_outlook *out) {
  memory *known = &s->known;
  if (2 * known->count >= known->room)
    PP_TRY(grow(known, s->group_count));
  size_t place = find(known, s->planning->plans, s->group_count);
  if (!known->taken[place]) {
    PP_TRY(pp_predict(s->planning, s->planning->coarse, &known->outlooks[place]));
    memcpy(known->plans + place * (size_t)s->group_count, s->planning->plans, plans_size(s));
    known->taken[place] = true;
    known->count++;
  }
  *out = known->outlooks[place];
  return NULL;
}

/* Runs the plans in hand. */
static pp_status run(search *s, pp_outlook *out) {
  PP_TRY(predict(s, out));
  if (out->makespan == PP_NS_NEVER)
    return NULL;
  remember(s, out);
  if (pp_outlook_is_better(out, &s->best_outlook)) {
    s->best_outlook = *out;
    memcpy(s->best, s->planning->plans, plans_size(s));
  }
  return NULL;
}

/* Fewer micro-batches, then the lower split, where all else is equal. */
static bool is_better(const pp_outlook *a, pp_group_plan plan_a, const pp_outlook *b, pp_group_plan plan_b) {
  if (pp_outlook_is_better(a, b) || pp_outlook_is_better(b, a))
    return pp_outlook_is_better(a, b);
  if (plan_a.micro_batches != plan_b.micro_batches)
    return plan_a.micro_batches < plan_b.micro_batches;
  return plan_a.split < plan_b.split;
}

/* Finds the group's best plan against those of the others; *least: what is known of the plans in hand. */
static pp_status improve_group(search *s, int group, pp_outlook *least, bool *changed) {
  option_list *of = &s->groups[group];
  pp_group_plan *plan = &s->planning->plans[group], chosen = *plan;
  pp_group_bound chosen_bound = s->bounds[group];
  for (int64_t index = 0; index < of->count; index++) {
    s->bounds[group] = of->items[index].bound;
    of->items[index].joint = pp_bounds_join(s->planning, s->bounds);
    of->items[index].candidate.outlook = (pp_outlook){.makespan = PP_NS_NEVER};
  }
  qsort(of->items, (size_t)of->count, sizeof *of->items, compare_entries);
  int failures = 0;
  for (int64_t index = 0; index < of->count && (s->open_count == 1 || failures < most_failures); index++) {
    option *entry = &of->items[index];
    if (entry->joint > least->makespan)
      break;
    *plan = entry->candidate.plan;
    PP_TRY(run(s, &entry->candidate.outlook));
    failures++;
    if (!is_better(&entry->candidate.outlook, *plan, least, chosen))
      continue;
    *changed = *changed || plan->split != chosen.split || plan->micro_batches != chosen.micro_batches;
    *least = entry->candidate.outlook;
    chosen = *plan;
    chosen_bound = entry->bound;
    failures = 0;
  }
  *plan = chosen;
  s->bounds[group] = chosen_bound;
  return NULL;
}

static pp_status bound_plans(search *s) {
  for (int group = 0; group < s->group_count; group++)
    PP_TRY(pp_bounds_of_group(s->planning, group, s->planning->plans[group], &s->bounds[group]));
  return NULL;
}

/* Improves the plans in hand, group after group, until none changes. */
static pp_status descend(search *s) {
  pp_outlook least;
  PP_TRY(bound_plans(s));
  PP_TRY(run(s, &least));
  bool changed = true;
  for (int pass = 0; changed && pass < (s->open_count > 1 ? most_passes : 1); pass++) {
    changed = false;
    for (int group = 0; group < s->group_count; group++)
      if (is_open(s->planning, group))
        PP_TRY(improve_group(s, group, &least, &changed));
  }
  return NULL;
}

/* ---- Starts ---- */

typedef enum start {
  START_LEAST_ALONE,  /* what each group would do with the server to itself */
  START_LEAST_SHARED, /* what it would do if all did likewise */
  START_LEAST_SERVER, /* what asks least of the server */
} start;
enum { START_COUNT = 3 };

static pp_int128 start_value(const search *s, int group, const option *entry, start which) {
  const pp_config *config = s->planning->inputs->config;
  pp_int128 shared = entry->bound.server_ns * s->planning->inputs->device_count / config->groups[group].count;
  shared /= config->server.slots > 0 ? config->server.slots : 1;
  switch (which) {
  case START_LEAST_ALONE:
    return entry->bound.device_ns;
  case START_LEAST_SHARED:
    return entry->bound.device_ns > shared ? entry->bound.device_ns : shared;
  case START_LEAST_SERVER:
    return entry->bound.server_ns;
  }
  return 0;
}

static void take_start(search *s, start which) {
  for (int group = 0; group < s->group_count; group++) {
    const option_list *of = &s->groups[group];
    pp_int128 least = 0;
    for (int64_t index = 0; index < of->count; index++) {
      pp_int128 value = start_value(s, group, &of->items[index], which);
      if (index > 0 && value >= least)
        continue;
      least = value;
      s->planning->plans[group] = of->items[index].candidate.plan;
    }
  }
}

/* ---- Two groups: plans that only win together ---- */

typedef struct pair {
  pp_ns bound;
  int32_t first, second;
} pair;

static int compare_pairs(const void *a, const void *b) {
  const pair *left = a, *right = b;
  if (left->bound != right->bound)
    return left->bound < right->bound ? -1 : 1;
  if (left->first != right->first)
    return left->first < right->first ? -1 : 1;
  return (left->second > right->second) - (left->second < right->second);
}

static pp_status try_pairs(search *s, int first_group, int second_group) {
  const option_list *first = &s->groups[first_group], *second = &s->groups[second_group];
  if (first->count * second->count > most_pairs_looked_at)
    return NULL;
  pair *pairs = NULL;
  int64_t count = 0;
  PP_TRY(pp_alloc((size_t)(first->count * second->count), sizeof *pairs, "the planner's pairs", &pairs));
  memcpy(s->planning->plans, s->best, plans_size(s));
  pp_status status = bound_plans(s);
  for (int64_t a = 0; status == NULL && a < first->count; a++)
    for (int64_t b = 0; b < second->count; b++) {
      s->bounds[first_group] = first->items[a].bound;
      s->bounds[second_group] = second->items[b].bound;
      pp_ns bound = pp_bounds_join(s->planning, s->bounds);
      if (bound < s->best_outlook.makespan)
        pairs[count++] = (pair){bound, (int32_t)a, (int32_t)b};
    }
  qsort(pairs, (size_t)count, sizeof *pairs, compare_pairs);
  int tried = 0, splits = s->planning->splits;
  int *seen = NULL; /* by splits: how many were tried */
  if (status == NULL)
    status = pp_alloc((size_t)splits * (size_t)splits, sizeof *seen, "the planner's pairs", &seen);
  for (int64_t index = 0; status == NULL && index < count && tried < most_pairs; index++) {
    pp_outlook outlook;
    if (pairs[index].bound >= s->best_outlook.makespan)
      break;
    pp_group_plan a = first->items[pairs[index].first].candidate.plan;
    pp_group_plan b = second->items[pairs[index].second].candidate.plan;
    if (seen[(a.split - 1) * splits + b.split - 1]++ >= pairs_of_splits)
      continue;
    s->planning->plans[first_group] = a;
    s->planning->plans[second_group] = b;
    status = run(s, &outlook);
    tried++;
  }
  free(seen);
  free(pairs);
  return status;
}

static pp_status try_open_pair(search *s) {
  int open[2] = {-1, -1};
  for (int group = 0, seen = 0; group < s->group_count && seen < 2; group++)
    if (is_open(s->planning, group))
      open[seen++] = group;
  return try_pairs(s, open[0], open[1]);
}

/* The numbers of micro-batches that were skipped, from half to twice the best. */
static pp_status refine(search *s, int group) {
  int batch = s->planning->inputs->config->training.batch_size;
  int most = pp_planning_most_micro_batches(s->planning, group);
  if (!s->planning->choices[group].micro_batches || has_every_count(s))
    return NULL;
  pp_group_plan from = s->best[group];
  int last = 2 * (int64_t)from.micro_batches < most ? 2 * from.micro_batches : most;
  memcpy(s->planning->plans, s->best, plans_size(s));
  int count = from.micro_batches / 2 + 1;
  if (count < from.micro_batches - most_refined)
    count = from.micro_batches - most_refined;
  for (; count <= last && count <= from.micro_batches + most_refined; count++) {
    if (pp_is_worth_trying(batch, count))
      continue;
    option *grown = NULL;
    option_list *of = &s->groups[group];
    PP_TRY(pp_alloc((size_t)of->count + 1, sizeof *grown, "the planner's candidates", &grown));
    memcpy(grown, of->items, (size_t)of->count * sizeof *grown);
    free(of->items);
    of->items = grown;
    option *entry = &grown[of->count];
    entry->candidate = (pp_candidate){.plan = {from.split, count}, .outlook = {.makespan = PP_NS_NEVER}};
    PP_TRY(bound_entry(s, group, entry));
    if (entry->bound.refused)
      continue;
    of->count++;
    s->planning->plans[group] = entry->candidate.plan;
    PP_TRY(run(s, &entry->candidate.outlook));
  }
  return NULL;
}

/* ---- The end ---- */

/* Compares the best few by more of the round. */
static pp_status decide(search *s) {
  pp_planning *planning = s->planning;
  int best = 0;
  for (int place = 0; place < s->pool_count && planning->fine > planning->coarse; place++) {
    memcpy(planning->plans, s->pool[place].plans, plans_size(s));
    PP_TRY(pp_predict(planning, planning->fine, &s->pool[place].outlook));
    if (pp_outlook_is_better(&s->pool[place].outlook, &s->pool[best].outlook))
      best = place;
  }
  if (s->pool_count > 0) {
    memcpy(planning->plans, s->pool[best].plans, plans_size(s));
    s->best_outlook = s->pool[best].outlook;
    return NULL;
  }
  pp_status refusal = planning->refusal;
  planning->refusal = NULL;
  return refusal != NULL ? refusal : pp_fail(PP_CODE_INPUT, "the planner found no plan that ends in time");
}

static pp_status report(const search *s, pp_candidates *looked_at) {
  for (int group = 0; group < s->group_count; group++) {
    const option_list *of = &s->groups[group];
    if (of->count == 0)
      continue;
    PP_TRY(pp_alloc((size_t)of->count, sizeof *looked_at[group].items, "the planner's table", &looked_at[group].items));
    looked_at[group].count = of->count;
    for (int64_t index = 0; index < of->count; index++) {
      pp_candidate *candidate = &looked_at[group].items[index];
      *candidate = of->items[index].candidate;
      if (candidate->plan.split == s->planning->plans[group].split &&
          candidate->plan.micro_batches == s->planning->plans[group].micro_batches)
        candidate->outlook = s->best_outlook;
    }
  }
  return NULL;
}

/* Improves the best few once more. */
static pp_status descend_from_best(search *s) {
  pp_group_plan *starts = NULL;
  int count = s->pool_count < more_starts ? s->pool_count : more_starts;
  PP_TRY(pp_alloc((size_t)more_starts, plans_size(s), "the planner's starts", &starts));
  for (int place = 0; place < count; place++)
    memcpy(starts + place * s->group_count, s->pool[place].plans, plans_size(s));
  pp_status status = NULL;
  for (int place = count - 1; status == NULL && place >= 0; place--) {
    memcpy(s->planning->plans, starts + place * s->group_count, plans_size(s));
    status = descend(s);
  }
  free(starts);
  return status;
}

static pp_status search_groups(search *s) {
  for (int which = 0; which < (s->open_count > 1 ? START_COUNT : 1); which++) {
    take_start(s, (start)which);
    PP_TRY(descend(s));
  }
  if (s->open_count == 2)
    PP_TRY(try_open_pair(s));
  if (s->open_count == 2)
    PP_TRY(descend_from_best(s));
  if (s->pool_count > 0)
    for (int group = 0; group < s->group_count; group++)
      if (is_open(s->planning, group))
        PP_TRY(refine(s, group));
  return decide(s);
}

static pp_status search_init(search *s, pp_planning *planning) {
  size_t groups = (size_t)planning->inputs->config->group_count;
  *s = (search){.planning = planning, .group_count = (int)groups, .best_outlook = {.makespan = PP_NS_NEVER}};
  PP_TRY(pp_alloc(groups, sizeof *s->groups, "the planner's candidates", &s->groups));
  PP_TRY(pp_alloc(groups, sizeof *s->bounds, "the planner's bounds", &s->bounds));
  PP_TRY(pp_alloc(groups, sizeof *s->best, "the planner's candidates", &s->best));
  for (int place = 0; place < finalists; place++)
    PP_TRY(pp_alloc(groups, sizeof *s->pool[place].plans, "the planner's candidates", &s->pool[place].plans));
  for (int group = 0; group < s->group_count; group++)
    s->open_count += is_open(planning, group);
  return NULL;
}

static void search_fini(search *s) {
  for (int group = 0; s->groups != NULL && group < s->group_count; group++)
    free(s->groups[group].items);
  for (int place = 0; place < finalists; place++)
    free(s->pool[place].plans);
  forget(&s->known);
  free(s->groups);
  free(s->bounds);
  free(s->best);
}

pp_status pp_plan_by_search(pp_planning *planning, pp_candidates *looked_at) {
  search s;
  pp_status status = search_init(&s, planning);
  for (int group = 0; status == NULL && group < s.group_count; group++) {
    if (!is_open(planning, group))
      continue;
    status = list_entries(&s, group);
    if (status == NULL && s.groups[group].count == 0) {
      status = planning->refusal != NULL ? planning->refusal
                                         : pp_fail(PP_CODE_INPUT, "devices.%d: there is no plan to choose", group);
      planning->refusal = NULL;
    }
  }
  if (status == NULL)
    status = search_groups(&s);
  if (status == NULL)
    status = report(&s, looked_at);
  search_fini(&s);
  return status;
}

/* ---- Exhaustive ---- */

/* Moves on to the next combination, the last group fastest; false after the last. */
static bool next_combination(const pp_planning *planning, const pp_candidates *candidates, int64_t *place) {
  for (int group = planning->inputs->config->group_count - 1; group >= 0; group--) {
    if (candidates[group].count == 0)
      continue;
    if (++place[group] < candidates[group].count)
      return true;
    place[group] = 0;
  }
  return false;
}

static pp_status try_all(pp_planning *planning, pp_candidates *candidates, int64_t *place, pp_group_plan *best) {
  int groups = planning->inputs->config->group_count;
  pp_outlook least = {.makespan = PP_NS_NEVER};
  do {
    pp_outlook outlook;
    for (int group = 0; group < groups; group++)
      if (candidates[group].count > 0)
        planning->plans[group] = candidates[group].items[place[group]].plan;
    PP_TRY(pp_predict(planning, planning->fine, &outlook));
    if (outlook.makespan == PP_NS_NEVER)
      continue;
    for (int group = 0; group < groups; group++) {
      if (candidates[group].count == 0)
        continue;
      pp_outlook *of = &candidates[group].items[place[group]].outlook;
      if (pp_outlook_is_better(&outlook, of))
        *of = outlook;
    }
    if (pp_outlook_is_better(&outlook, &least)) {
      least = outlook;
      memcpy(best, planning->plans, (size_t)groups * sizeof *best);
    }
  } while (next_combination(planning, candidates, place));
  if (least.makespan == PP_NS_NEVER) {
    pp_status refusal = planning->refusal;
    planning->refusal = NULL;
    return refusal != NULL ? refusal : pp_fail(PP_CODE_INPUT, "the planner found no plan that ends in time");
  }
  memcpy(planning->plans, best, (size_t)groups * sizeof *best);
  return NULL;
}

pp_status pp_plan_exhaustively(pp_planning *planning, pp_candidates *looked_at) {
  int groups = planning->inputs->config->group_count;
  int64_t *place = NULL;
  pp_group_plan *best = NULL;
  double total = 1;
  for (int group = 0; group < groups; group++) {
    if (!is_open(planning, group))
      continue;
    PP_TRY(pp_planning_candidates(planning, group, true, &looked_at[group]));
    total *= (double)looked_at[group].count;
  }
  if (total > most_exhaustive)
    return pp_fail(PP_CODE_INPUT, "pipeline.planner: exhaustive has %.0f candidates: allowed are at most %d", total,
                   most_exhaustive);
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc((size_t)groups, sizeof *place, "the planner's candidates", &place), done);
  PP_TRY_GOTO(status, pp_alloc((size_t)groups, sizeof *best, "the planner's candidates", &best), done);
  status = try_all(planning, looked_at, place, best);
done:
  free(place);
  free(best);
  return status;
}
