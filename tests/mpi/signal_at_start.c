/* Preloaded into the program: raises the signal $PIPAR_SIGNAL when libraries begin (PIPAR_SIGNAL_AT=libraries), or on
 * rank 1 when MPI does (PIPAR_SIGNAL_AT=mpi). */
#include <mpi.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void raise_at(const char *moment) {
  const char *number = getenv("PIPAR_SIGNAL"), *at = getenv("PIPAR_SIGNAL_AT");
  if (number != NULL && at != NULL && strcmp(at, moment) == 0)
    raise(atoi(number));
}

static __attribute__((constructor)) void begin(void) { raise_at("libraries"); }

int MPI_Init(int *argc, char ***argv) {
  const char *rank = getenv("OMPI_COMM_WORLD_RANK");
  if (rank != NULL && strcmp(rank, "1") == 0)
    raise_at("mpi");
  return PMPI_Init(argc, argv);
}
