#include "app/leftover.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Signal handlers reach nothing but globals. These change in the main thread alone and with all signals blocked in it.
 */
enum { MOST_PATHS = 256 };
static char *paths[MOST_PATHS];
static pid_t child = -1;
static pthread_t main_thread;

/* A library's threads, OpenBLAS's for one, take signals too: theirs go on to the main thread, which makes nothing while
 * its handler runs. The last path is first: a directory is empty by then. The signal is set back to what it does by
 * itself, and comes again as soon as this is over. */
static void clean_up(int number) {
  if (!pthread_equal(pthread_self(), main_thread)) {
    pthread_kill(main_thread, number);
    return;
  }
  if (child > 0 && kill(child, SIGKILL) == 0)
    waitpid(child, NULL, 0);
  for (int path = MOST_PATHS - 1; path >= 0; path--)
    if (paths[path] != NULL && unlink(paths[path]) != 0)
      rmdir(paths[path]);
  signal(number, SIG_DFL);
  raise(number);
}

void pp_leftover_begin(void) {
  static const int numbers[] = {SIGHUP, SIGINT, SIGPIPE, SIGTERM};
  struct sigaction before, action = {.sa_handler = clean_up};
  main_thread = pthread_self();
  sigfillset(&action.sa_mask);
  for (size_t at = 0; at < sizeof numbers / sizeof numbers[0]; at++)
    if (sigaction(numbers[at], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
      sigaction(numbers[at], &action, NULL);
}

static void block(sigset_t *before) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, before);
}

static void unblock(const sigset_t *before) { pthread_sigmask(SIG_SETMASK, before, NULL); }

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

/* A number that has been reaped may be another process's: it is forgotten in the same step. */
pid_t pp_leftover_wait(pid_t pid, int *how) {
  siginfo_t about;
  while (waitid(P_PID, (id_t)pid, &about, WEXITED | WNOWAIT) != 0 && errno == EINTR)
    ;
  sigset_t before;
  block(&before);
  pid_t ended = waitpid(pid, how, 0);
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
