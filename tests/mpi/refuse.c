/* Preloaded into the program: on the rank $PIPAR_REFUSING_RANK, or on all, the program's own threads are refused
 * (PIPAR_REFUSED=threads) or its Nth block of memory is (PIPAR_REFUSED=N). Libraries have what they ask for. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

extern void *__libc_memalign(size_t alignment, size_t bytes);

static atomic_long blocks;

static bool is_refused(const void *caller, const char *what) {
  const char *refused = getenv("PIPAR_REFUSED"), *where = getenv("PIPAR_REFUSING_RANK");
  const char *rank = getenv("OMPI_COMM_WORLD_RANK");
  Dl_info program, library;
  if (refused == NULL || (where != NULL && strcmp(where, rank != NULL ? rank : "0") != 0))
    return false;
  if (dladdr((const void *)getauxval(AT_ENTRY), &program) == 0 || dladdr(caller, &library) == 0 ||
      library.dli_fbase != program.dli_fbase)
    return false;
  return what != NULL ? strcmp(refused, what) == 0 : atomic_fetch_add(&blocks, 1) + 1 == atol(refused);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  if (!is_refused(__builtin_return_address(0), NULL))
    return __libc_memalign(alignment, bytes);
  errno = ENOMEM;
  return NULL;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
  int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = NULL;
  *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
  return is_refused(__builtin_return_address(0), "threads") ? EAGAIN : create(thread, attributes, start, argument);
}
