/* One direction of the server's own link, which the transfers of all devices share: at every instant each transfer has
 * its max-min fair rate, also bounded by its device's link (Bertsekas and Gallager, Data Networks, 1992, 6.5.2). Exact:
 * rates are whole bits per second, and what is left of a transfer is kept in nanobits. */
#ifndef PP_TIMELINE_FAIR_H
#define PP_TIMELINE_FAIR_H

#include "model/link.h"

typedef struct pp_flow {
  int64_t id;
  const pp_link *own; /* the device's link; borrowed */
  pp_int128 left;     /* nanobits at pp_fair's now_ns */
  int64_t own_bps, rate_bps;
} pp_flow;

typedef struct pp_fair {
  const pp_link *shared; /* borrowed */
  int count, room;
  pp_flow *flows; /* (room) the first `count` under way, of them the first `sorted` by own_bps, then id */
  pp_flow *tail;  /* (room) for sorting */
  int sorted;     /* the others have begun at now_ns */
  int spent;      /* of those under way, whose bits have all passed */
  int64_t *ended; /* (room) the first `ended_count` are to be taken, the highest id first */
  int ended_count;
  pp_ns now_ns;    /* up to when transfers have progressed */
  pp_ns change_ns; /* when a rate of the links changes next; PP_NS_NEVER: never */
  pp_ns next_ns;   /* as pp_fair_next says, unless `stale` */
  bool stale;      /* the rates are to be worked out anew */
} pp_fair;

/* Local. For at most `room` transfers at once over `shared`, which must outlive it. */
PP_MUST_CHECK pp_status pp_fair_init(pp_fair *fair, const pp_link *shared, int room);
void pp_fair_fini(pp_fair *fair);

/* The next instant at which a transfer ends or a rate changes; PP_NS_NEVER where none will. */
pp_ns pp_fair_next(pp_fair *fair);
/* Lets time pass until now_ns, at most pp_fair_next and not before the last call's. Then transfers whose bits have all
 * passed are to be taken one by one, lowest id first: false when there is none. */
void pp_fair_advance(pp_fair *fair, pp_ns now_ns);
bool pp_fair_take(pp_fair *fair, int64_t *id);
/* At now_ns, up to which time has passed, with nothing left to be taken: a transfer of `bytes` >= 1 begins, or the one
 * called `id` is given up. */
void pp_fair_start(pp_fair *fair, int64_t id, const pp_link *own, int64_t bytes);
void pp_fair_stop(pp_fair *fair, int64_t id);

#endif
