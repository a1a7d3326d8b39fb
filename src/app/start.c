/* What is arranged by a function that the loader calls before those of any library.
 *
 * OpenBLAS starts a thread a core as soon as it is loaded. We want none of them, pp_pool has ours: each asks for 128
 * MiB of addresses, and where these are limited (ulimit -v) it asks forever; where processes are (ulimit -u, pids.max)
 * it ends the program with SIGINT. It counts the cores that the program may run on, which for that moment is the one it
 * runs on. OPENBLAS_NUM_THREADS would do the same, but only in the environment that the program is started with. */
#include "app/start.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

/* No library is ready: there is no malloc, and no sanitizer's memory. */
#define WITHOUT_LIBRARIES __attribute__((no_sanitize("address", "undefined")))

enum { MOST_CORES = 1 << 15, WORD_BITS = 8 * sizeof(unsigned long), WORDS = MOST_CORES / WORD_BITS };

/* The kernel's sets, as large as its own. */
static unsigned long allowed[WORDS], one[WORDS];
static long set_bytes; /* 0: nothing was changed */
static sigset_t signals_before;
static bool signals_are_held;

static WITHOUT_LIBRARIES void take_one_core(void) {
  unsigned core = 0;
  long bytes = syscall(SYS_sched_getaffinity, 0, sizeof allowed, allowed);
  if (bytes <= 0 || syscall(SYS_getcpu, &core, NULL, NULL) != 0 || core >= MOST_CORES)
    return;
  one[core / WORD_BITS] = 1UL << core % WORD_BITS;
  if (syscall(SYS_sched_setaffinity, 0, bytes, one) == 0)
    set_bytes = bytes;
}

/* A function of the program is called after those of the libraries. */
static __attribute__((constructor)) void take_all_cores(void) {
  if (set_bytes > 0)
    syscall(SYS_sched_setaffinity, 0, set_bytes, allowed);
}

static WITHOUT_LIBRARIES void hold_signals(void) {
  sigset_t held;
  sigemptyset(&held);
  sigaddset(&held, SIGINT);
  sigaddset(&held, SIGTERM);
  sigaddset(&held, SIGUSR1);
  signals_are_held = sigprocmask(SIG_BLOCK, &held, &signals_before) == 0;
}

void pp_start_release_signals(void) {
  if (signals_are_held)
    sigprocmask(SIG_SETMASK, &signals_before, NULL);
  signals_are_held = false;
}

static WITHOUT_LIBRARIES void before_libraries(int argc, char **argv, char **environment) {
  (void)argc;
  (void)argv;
  (void)environment;
  hold_signals();
  take_one_core();
}

typedef void (*initializer)(int, char **, char **);
__attribute__((section(".preinit_array"), used)) static const initializer before_all = before_libraries;
