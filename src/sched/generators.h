/* What generators of schedules are made of. */
#ifndef PP_SCHED_GENERATORS_H
#define PP_SCHED_GENERATORS_H

#include "pipar/schedule.h"

/* A schedule under construction; room for every operation is there. */
typedef struct pp_schedule_builder {
  pp_schedule *schedule;
  int in_flight;
  bool server_trains; /* the server has parameters to update */
} pp_schedule_builder;

/* Appends an operation that waits for operations `after` and `also_after` (-1: none); returns its index. A micro_batch
 * of -1 stands for the whole mini-batch. */
int pp_schedule_add(pp_schedule_builder *builder, pp_stage stage, int micro_batch, int after, int also_after);

/* One a method. The order of the list is the order of each resource, and a topological order. */
void pp_generate_fl(pp_schedule_builder *builder);
void pp_generate_pipar(pp_schedule_builder *builder); /* sfl: with one micro-batch */
void pp_generate_sl(pp_schedule_builder *builder);
void pp_generate_1f1b(pp_schedule_builder *builder);
void pp_generate_bw_split(pp_schedule_builder *builder);

#endif
