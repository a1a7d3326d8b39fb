#include "runtime/clock.h"

#include <sched.h>
#include <time.h>

enum {
  ROUND_TRIPS = 20,
  SYNC_TAG = 0x5c10c,
  RESUME_LEAD_NS = 2000000, /* rank 0 announces the start this much ahead, so that it is still to come everywhere */
  NAP_NS = 50000,           /* keeps an idle rank's polling below a fifth of a core */
  SPIN_NS = 100000,         /* nearer than this to a deadline a rank only yields: naps overshoot */
};

static pp_ns monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (pp_ns)now.tv_sec * 1000000000 + now.tv_nsec;
}

pp_ns pp_clock_now(const pp_clock_state *clock) { return clock->wall ? monotonic_ns() - clock->origin_ns : 0; }

typedef struct sync_message {
  _Alignas(PP_COMM_LINE) pp_ns time_ns;
} sync_message;

/* How far rank 0's monotonic clock is ahead of this rank's, from the quickest of 20 round trips. */
static pp_status measure_offset(pp_comm *comm, pp_ns *offset_ns) {
  pp_ns best = PP_NS_NEVER;
  *offset_ns = 0;
  for (int trip = 0; trip < ROUND_TRIPS; trip++) {
    sync_message message = {.time_ns = 0};
    pp_ns sent_ns = monotonic_ns();
    PP_TRY(pp_comm_send(comm, 0, SYNC_TAG, &message, sizeof message));
    PP_TRY(pp_comm_recv(comm, 0, SYNC_TAG, &message, sizeof message));
    pp_ns trip_ns = monotonic_ns() - sent_ns;
    if (trip_ns < best) {
      best = trip_ns;
      *offset_ns = message.time_ns - (sent_ns + trip_ns / 2);
    }
  }
  return NULL;
}

static pp_status answer_offsets(pp_comm *comm) {
  for (int rank = 1; rank < pp_comm_size(comm); rank++)
    for (int trip = 0; trip < ROUND_TRIPS; trip++) {
      sync_message message;
      PP_TRY(pp_comm_recv(comm, rank, SYNC_TAG, &message, sizeof message));
      message.time_ns = monotonic_ns();
      PP_TRY(pp_comm_send(comm, rank, SYNC_TAG, &message, sizeof message));
    }
  return NULL;
}

pp_status pp_clock_resume(pp_clock_state *clock, pp_comm *comm, pp_ns emulated_ns) {
  if (!clock->wall)
    return NULL;
  pp_ns offset_ns = 0;
  PP_TRY(pp_comm_barrier(comm));
  if (pp_comm_rank(comm) == 0)
    PP_TRY(answer_offsets(comm));
  else
    PP_TRY(measure_offset(comm, &offset_ns));
  sync_message start = {.time_ns = monotonic_ns() + RESUME_LEAD_NS};
  PP_TRY(pp_comm_broadcast(comm, 0, &start, sizeof start));
  clock->origin_ns = start.time_ns - offset_ns - emulated_ns;
  while (pp_clock_now(clock) < emulated_ns)
    sched_yield();
  return NULL;
}

void pp_clock_nap(const pp_clock_state *clock, pp_ns until_ns) {
  pp_ns left_ns = until_ns - pp_clock_now(clock);
  if (left_ns < SPIN_NS) {
    sched_yield();
    return;
  }
  pp_ns nap_ns = left_ns - SPIN_NS < NAP_NS ? left_ns - SPIN_NS : NAP_NS;
  nanosleep(&(struct timespec){.tv_nsec = (long)nap_ns}, NULL);
}
