/* OpenBLAS starts a thread a core as soon as it is loaded, which asks for 128 MiB of addresses. Where there are none
 * (ulimit -v) it asks forever, and the program does not end. We want none of these threads: pp_pool has ours. OpenBLAS
 * takes their number from the environment alone and looks there before main. So where addresses are limited the program
 * is started again with the number set, by a function that the loader calls before those of any library. */
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char variable[] = "OPENBLAS_NUM_THREADS=";
static char one_thread[] = "OPENBLAS_NUM_THREADS=1";

static int is_limited(void) {
  struct rlimit addresses, data;
  return (getrlimit(RLIMIT_AS, &addresses) == 0 && addresses.rlim_cur != RLIM_INFINITY) ||
         (getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur != RLIM_INFINITY);
}

/* No library is ready: the environment is only what is handed in, and there is no malloc. */
static void start_without_threads(int argc, char **argv, char **environment) {
  (void)argc;
  enum { MOST_VARIABLES = 100000 };
  size_t count = 0, at = 0;
  if (!is_limited())
    return;
  while (environment[count] != NULL)
    count++;
  while (at < count && strncmp(environment[at], variable, sizeof variable - 1) != 0)
    at++;
  char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if ((at < count && strcmp(environment[at], one_thread) == 0) || count > MOST_VARIABLES || length <= 0)
    return;
  path[length] = '\0';
  char *with[count + 2];
  memcpy(with, environment, count * sizeof *with);
  with[at] = one_thread;
  with[at < count ? count : count + 1] = NULL;
  execve(path, argv, with);
}

typedef void (*initializer)(int, char **, char **);
__attribute__((section(".preinit_array"), used)) static const initializer before_all = start_without_threads;
