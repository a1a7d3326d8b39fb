#include "app/leftover.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Signal handlers reach nothing but globals. */
enum { MOST_PATHS = 256 };
static char *paths[MOST_PATHS];
static pid_t child = -1;
/* Held while these change, with all signals blocked: a handler may run in another thread. */
static atomic_flag changing = ATOMIC_FLAG_INIT;

static void lock(void) {
  while (atomic_flag_test_and_set(&changing))
    sched_yield();
}

/* Keeps the lock: nothing new is made any more. The last path is first: a directory is empty by then. The signal is
 * set back to what it does by itself, and comes again as soon as this is over. */
static void clean_up(int number) {
  lock();
  if (child > 0 && kill(child, SIGKILL) == 0)
    waitpid(child, NULL, 0);
  for (int path = MOST_PATHS - 1; path >= 0; path--)
    if (paths[path] != NULL && unlink(paths[path]) != 0)
      rmdir(paths[path]);
  raise(number);
}

void pp_leftover_begin(void) {
  static const int numbers[] = {SIGHUP, SIGINT, SIGPIPE, SIGTERM};
  struct sigaction before, action = {.sa_handler = clean_up, .sa_flags = (int)SA_RESETHAND};
  sigfillset(&action.sa_mask);
  for (size_t at = 0; at < sizeof numbers / sizeof numbers[0]; at++)
    if (sigaction(numbers[at], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
      sigaction(numbers[at], &action, NULL);
}

static void block(sigset_t *before) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, before);
  lock();
}

static void unblock(const sigset_t *before) {
  atomic_flag_clear(&changing);
  pthread_sigmask(SIG_SETMASK, before, NULL);
}

static void note(const char *path) {
  for (int at = 0; at < MOST_PATHS; at++)
    if (paths[at] == NULL) {
      paths[at] = strdup(path);
      return;
    }
}

int pp_leftover_make_file(char *path) {
  sigset_t before;
  block(&before);
  int fd = mkstemp(path);
  if (fd >= 0)
    note(path);
  unblock(&before);
  return fd;
}

bool pp_leftover_make_directory(char *path) {
  sigset_t before;
  block(&before);
  bool made = mkdtemp(path) != NULL;
  if (made)
    note(path);
  unblock(&before);
  return made;
}

pid_t pp_leftover_fork(void) {
  sigset_t before;
  block(&before);
  pid_t pid = fork();
  child = pid == 0 ? -1 : pid;
  unblock(&before);
  return pid;
}

pid_t pp_leftover_wait(pid_t pid, int *how) {
  pid_t ended = 0;
  while ((ended = waitpid(pid, how, 0)) < 0 && errno == EINTR)
    ;
  sigset_t before;
  block(&before);
  child = -1;
  unblock(&before);
  return ended;
}

void pp_leftover_note(const char *path) {
  sigset_t before;
  block(&before);
  note(path);
  unblock(&before);
}

static bool lies_within(const char *path, const char *directory) {
  size_t length = strlen(directory);
  return strncmp(path, directory, length) == 0 && path[length] == '/';
}

bool pp_leftover_rename(const char *from, const char *to) {
  sigset_t before;
  block(&before);
  bool renamed = rename(from, to) == 0, within = false;
  for (int at = 0; at < MOST_PATHS; at++)
    within = within || (paths[at] != NULL && lies_within(to, paths[at]));
  if (renamed && within)
    note(to);
  unblock(&before);
  return renamed;
}

void pp_leftover_forget(const char *path) {
  sigset_t before;
  block(&before);
  for (int at = 0; at < MOST_PATHS; at++)
    if (paths[at] != NULL && (strcmp(paths[at], path) == 0 || lies_within(paths[at], path))) {
      free(paths[at]);
      paths[at] = NULL;
    }
  unblock(&before);
}
