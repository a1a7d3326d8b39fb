#include "oracle_shrink.h"

#include <string.h>

static bool trace_is_valid(const case_trace *trace) {
  bool flows = false;
  for (int place = 0; place < trace->count; place++)
    flows |= trace->rates[place].bits_per_second > 0;
  return trace->count >= 1 && trace->rates[0].from == 0 &&
         (trace->period > 0 ? flows : trace->rates[trace->count - 1].bits_per_second > 0);
}

static int rounds_of(const oracle_case *c, const case_class *class) {
  return (c->epochs * class->iterations_per_epoch + class->iterations_per_round - 1) / class->iterations_per_round;
}

static bool is_valid(const oracle_case *c) {
  if (c->device_count < 1 || c->slots < 1 || c->epochs < 1)
    return false;
  for (int device = 0; device < c->device_count; device++) {
    const case_class *class = &c->classes[c->class_of[device]];
    if (class->iterations_per_epoch < 1 || class->iterations_per_round < 1 || class->full.micro_batch_count < 1 ||
        class->ragged.micro_batch_count < 1 || class->ragged.micro_batch_count > class->full.micro_batch_count ||
        (c->changes_at > 0 && c->changes_at >= rounds_of(c, class)) || class->in_flight < 1 ||
        !trace_is_valid(&class->up) || !trace_is_valid(&class->down) ||
        rounds_of(c, class) != rounds_of(c, &c->classes[c->class_of[0]]))
      return false;
    if (class->departs > 0 && class->departs <= class->arrives)
      return false;
  }
  return case_ends(c) && (!c->shared || c->presence || c->method == ORACLE_SL || c->buffer > 0);
}

static void drop_device(oracle_case *c, int device) {
  c->device_count--;
  memmove(c->class_of + device, c->class_of + device + 1, (size_t)(c->device_count - device) * sizeof *c->class_of);
  if (c->policy == ORACLE_SPACE_SHARE)
    c->slots--;
  for (int class = 0; class < c->class_count;) {
    bool used = false;
    for (int other = 0; other < c->device_count; other++)
      used |= c->class_of[other] == class;
    if (used) {
      class ++;
      continue;
    }
    c->class_count--;
    memmove(c->classes + class, c->classes + class + 1, (size_t)(c->class_count - class) * sizeof *c->classes);
    for (int other = 0; other < c->device_count; other++)
      c->class_of[other] -= c->class_of[other] > class;
  }
}

static void drop_rate(case_trace *trace, int place) {
  if (place >= trace->count)
    return;
  trace->count--;
  memmove(trace->rates + place, trace->rates + place + 1, (size_t)(trace->count - place) * sizeof *trace->rates);
  trace->rates[0].from = 0;
}

/* Ways to make a class simpler, each of which takes something away (a round too), so that shrinking ends; false: there
 * is no such way. */
static bool simplify_class(const oracle_case *c, case_class *class, int way) {
  enum { ways_before_traces = 13 };
  switch (way) {
  case 0:
    class->has_ragged = false;
    return true;
  case 1:
    class->iterations_per_epoch--;
    return true;
  case 2:
    class->iterations_per_epoch--;
    class->iterations_per_round--;
    return true;
  case 3:
    class->iterations_per_round = class->iterations_per_epoch * c->epochs;
    return true;
  case 4:
    class->full.micro_batch_count--;
    return true;
  case 5:
    class->ragged.micro_batch_count--;
    return true;
  case 6:
    class->full.micro_batch_count--;
    class->ragged.micro_batch_count--;
    return true;
  case 7:
    class->half_duplex = false;
    return true;
  case 8:
    if (class->has_ragged)
      class->full = class->ragged;
    class->has_ragged = false;
    return true;
  case 9:
    class->arrives = 0;
    return true;
  case 10:
    class->departs = 0;
    return true;
  case 11:
    class->dropout_percent = 0;
    return true;
  case 12:
    class->protection = 0;
    return true;
  default: {
    way -= ways_before_traces;
    case_trace *const traces[] = {&class->up, &class->down, &class->slowdown};
    case_trace *trace = traces[way % 3];
    if (way / 3 < CASE_RATES)
      drop_rate(trace, way / 3);
    else if (way / 3 == CASE_RATES)
      trace->period = 0;
    else
      return false;
    return true;
  }
  }
}

/* All classes must have the same number of rounds, so some steps are for all at once. */
static bool simplify_all(oracle_case *c, int way) {
  for (int class = 0; class < c->class_count; class ++)
    if (!simplify_class(c, &c->classes[class], way))
      return false;
  return true;
}

/* The case's lengths, sizes and latencies, numbered; NULL past the last. */
static int64_t *number_of(oracle_case *c, int index) {
  if (index == 0)
    return &c->aggregate;
  if (index <= 2 * c->class_count && index >= 1) {
    case_class *class = &c->classes[(index - 1) / 2];
    return index % 2 == 1 ? &class->arrives : &class->departs;
  }
  index -= 1 + 2 * c->class_count;
  enum { in_micro_batch = 7, in_iteration = CASE_MICRO_BATCHES * in_micro_batch + 2, in_class = 2 * in_iteration + 4 };
  if (index >= c->class_count * in_class)
    return NULL;
  case_class *class = &c->classes[index / in_class];
  index %= in_class;
  if (index >= 2 * in_iteration) {
    int64_t *const of_class[] = {&class->model_upload_bytes, &class->model_download_bytes, &class->up_latency,
                                 &class->down_latency};
    return of_class[index - 2 * in_iteration];
  }
  case_iteration *iteration = index < in_iteration ? &class->full : &class->ragged;
  index %= in_iteration;
  if (index >= CASE_MICRO_BATCHES * in_micro_batch)
    return index % 2 == 0 ? &iteration->device_update : &iteration->server_update;
  oracle_micro_batch *m = &iteration->micro_batches[index / in_micro_batch];
  int64_t *const of_micro_batch[] = {
      &m->forward,      &m->backward,       &m->server_forward,        &m->server_backward,
      &m->upload_bytes, &m->download_bytes, &m->server_backward_weight};
  return of_micro_batch[index % in_micro_batch];
}

static bool keep_if_it_fails(oracle_case *c, const oracle_case *smaller, case_check fails, void *context) {
  if (memcmp(c, smaller, sizeof *c) == 0 || !is_valid(smaller) || !fails(smaller, context))
    return false;
  *c = *smaller;
  return true;
}

static bool shrink_structure(oracle_case *c, case_check fails, void *context) {
  oracle_case smaller;
  bool any = false;
  for (int device = c->device_count - 1; device >= 0 && c->device_count > 1; device--) {
    smaller = *c;
    drop_device(&smaller, device);
    any |= keep_if_it_fails(c, &smaller, fails, context);
  }
  smaller = *c;
  smaller.epochs--;
  any |= keep_if_it_fails(c, &smaller, fails, context);
  smaller = *c;
  smaller.presence = smaller.shared = false;
  any |= keep_if_it_fails(c, &smaller, fails, context);
  smaller = *c;
  smaller.shared = false;
  any |= keep_if_it_fails(c, &smaller, fails, context);
  for (int rates = 0; rates < 2 * (CASE_RATES + 1) && c->shared; rates++) {
    smaller = *c;
    case_trace *trace = rates % 2 == 0 ? &smaller.shared_up : &smaller.shared_down;
    if (rates / 2 < CASE_RATES)
      drop_rate(trace, rates / 2);
    else
      trace->period = 0;
    if (trace_is_valid(trace))
      any |= keep_if_it_fails(c, &smaller, fails, context);
  }
  smaller = *c;
  smaller.min_devices -= smaller.min_devices > 0;
  any |= keep_if_it_fails(c, &smaller, fails, context);
  smaller = *c;
  smaller.buffer -= smaller.buffer > 0;
  any |= keep_if_it_fails(c, &smaller, fails, context);
  smaller = *c;
  smaller.changes_at = 0;
  any |= keep_if_it_fails(c, &smaller, fails, context);
  smaller = *c;
  smaller.deadline = 0;
  any |= keep_if_it_fails(c, &smaller, fails, context);
  smaller = *c;
  smaller.slots -= c->policy != ORACLE_SPACE_SHARE;
  any |= keep_if_it_fails(c, &smaller, fails, context);
  smaller = *c;
  for (int way = 0; simplify_all(&smaller, way); way++) {
    any |= keep_if_it_fails(c, &smaller, fails, context);
    smaller = *c;
  }
  for (int class = 0; class < c->class_count; class ++) {
    smaller = *c;
    for (int way = 0; simplify_class(&smaller, &smaller.classes[class], way); way++) {
      any |= keep_if_it_fails(c, &smaller, fails, context);
      smaller = *c;
    }
  }
  return any;
}

static bool shrink_numbers(oracle_case *c, case_check fails, void *context) {
  bool any = false;
  for (int index = 0; number_of(c, index) != NULL; index++) {
    int64_t value = *number_of(c, index);
    /* By one only where few steps lead down. */
    const int64_t tries[] = {0, 1, value / 2, value - value / 8, value < 100 ? value - 1 : value};
    bool is_latency = false;
    for (int class = 0; class < c->class_count; class ++)
      is_latency |= number_of(c, index) == &c->classes[class].up_latency ||
                    number_of(c, index) == &c->classes[class].down_latency;
    for (int attempt = is_latency ? 0 : 1; attempt < 5; attempt++) {
      if (tries[attempt] >= value || tries[attempt] < (is_latency ? 0 : 1))
        continue;
      oracle_case smaller = *c;
      *number_of(&smaller, index) = tries[attempt];
      if (keep_if_it_fails(c, &smaller, fails, context)) {
        any = true;
        break;
      }
    }
  }
  return any;
}

void case_shrink(oracle_case *c, case_check fails, void *context) {
  bool smaller = true;
  while (smaller) {
    smaller = shrink_structure(c, fails, context);
    smaller = shrink_numbers(c, fails, context) || smaller;
  }
}
