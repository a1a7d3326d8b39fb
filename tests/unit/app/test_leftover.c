#include "app/leftover.h"
#include "suite.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIMES = 50, FILES = 50, STEP_US = 20 };

static char folder[64]; /* of the process that is signalled */
static pthread_t other;

/* A library's thread: it takes the signal while the main thread works. */
static void *take_signal(void *delay) {
  struct timespec wait = {.tv_nsec = (long)(*(int *)delay) * 1000};
  nanosleep(&wait, NULL);
  pthread_kill(pthread_self(), SIGTERM);
  return NULL;
}

static void join_other(void) { pthread_join(other, NULL); }

static void make_files(void) {
  for (;;)
    for (int file = 0; file < FILES; file++) {
      char path[sizeof folder + 16];
      snprintf(path, sizeof path, "%s/%d", folder, file);
      pp_leftover_note(path);
      close(open(path, O_WRONLY | O_CREAT, 0666));
      unlink(path);
      pp_leftover_forget(path);
    }
}

/* As OpenBLAS does it: the threads are waited for before the process is doubled. */
static void make_file_and_fork(void) {
  char path[sizeof folder + 16];
  snprintf(path, sizeof path, "%s/file", folder);
  pp_leftover_note(path);
  close(open(path, O_WRONLY | O_CREAT, 0666));
  pthread_atfork(join_other, NULL, NULL);
  pid_t pid = pp_leftover_fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  int how = 0;
  pp_leftover_wait(pid, &how);
}

/* How a process of this work ended that a signal in another thread stops after `delay_us`. */
static int stopped(void (*work)(void), int delay_us) {
  snprintf(folder, sizeof folder, "leftover-%d.XXXXXX", (int)getpid());
  int how = 0, end[2];
  ck_assert_int_eq(pipe(end), 0);
  pid_t pid = fork();
  ck_assert_int_ge(pid, 0);
  if (pid == 0) {
    signal(SIGTERM, SIG_DFL);
    pp_leftover_begin();
    if (!pp_leftover_make_directory(folder) || write(end[1], folder, sizeof folder) != sizeof folder ||
        pthread_create(&other, NULL, take_signal, &delay_us) != 0)
      _exit(1);
    work();
    _exit(0);
  }
  ck_assert_int_eq(read(end[0], folder, sizeof folder), sizeof folder);
  close(end[0]);
  close(end[1]);
  ck_assert_int_eq(waitpid(pid, &how, 0), pid);
  return how;
}

static void check_stops(void (*work)(void)) {
  for (int time = 0; time < TIMES; time++) {
    int how = stopped(work, time * STEP_US);
    ck_assert_msg(WIFSIGNALED(how) && WTERMSIG(how) == SIGTERM, "after %d us: ended by %d", time * STEP_US, how);
    struct stat about;
    ck_assert_msg(stat(folder, &about) != 0, "after %d us: %s is left", time * STEP_US, folder);
  }
}

START_TEST(a_signal_in_another_thread_leaves_nothing) { check_stops(make_files); }
END_TEST

START_TEST(a_signal_in_a_thread_that_a_fork_waits_for_leaves_nothing) { check_stops(make_file_and_fork); }
END_TEST

int main(void) {
  TCase *tests = tcase_create("leftover");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, a_signal_in_another_thread_leaves_nothing);
  tcase_add_test(tests, a_signal_in_a_thread_that_a_fork_waits_for_leaves_nothing);
  return run_case("leftover", tests);
}
