/* The ranks of a run and the messages between them: Open MPI under a launcher, or one rank alone without MPI. */
#ifndef PP_COMM_COMM_H
#define PP_COMM_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "pipar/status.h"

typedef struct pp_comm pp_comm;

/* Collective over what the launcher started. Under mpirun or srun with PMIx initialises MPI; alone never calls MPI at
 * all. Errors: a launcher that started several programs which cannot see each other (PP_CODE_USAGE), MPI. */
PP_MUST_CHECK pp_status pp_comm_open(int *argc, char ***argv, pp_comm **out);
/* Local. A rank alone, for what one rank does by itself in a larger run. */
PP_MUST_CHECK pp_status pp_comm_open_alone(pp_comm **out);
/* Collective. Finalises MPI. NULL is fine. */
void pp_comm_close(pp_comm *comm);
/* Local. Ends every rank at once with this exit code; for failures that the others cannot know of. */
_Noreturn void pp_comm_abort(pp_comm *comm, int exit_code);

int pp_comm_rank(const pp_comm *comm);
int pp_comm_size(const pp_comm *comm);

/* Messages are whole lines of PP_COMM_LINE bytes, so that counts stay far below 2^31 up to 128 GiB: a buffer of `bytes`
 * must have room for bytes rounded up to that. pp_alloc gives such buffers. */
enum { PP_COMM_LINE = 64 };

/* Local. Start a message from or into `buffer`, which must stay untouched until its completion is reported; `token`
 * comes back with it. Messages of one (source, tag) pair match receives in the order they were sent, but complete in
 * any order. */
PP_MUST_CHECK pp_status pp_comm_isend(pp_comm *comm, int rank, int tag, const void *buffer, size_t bytes,
                                      uint64_t token);
PP_MUST_CHECK pp_status pp_comm_irecv(pp_comm *comm, int rank, int tag, void *buffer, size_t bytes, uint64_t token);
/* Local. Drives messages on and tells how many were completed; their tokens are pp_comm_completed(comm, 0 ...) until
 * the next call. Without `wait` returns at once, possibly with none; with it only when there is one (an error if
 * nothing is under way). Waiting yields the core. */
PP_MUST_CHECK pp_status pp_comm_progress(pp_comm *comm, bool wait, int *count);
/* Local. Waits as pp_comm_progress does, but leaves the core to others meanwhile: for waits of milliseconds and more.
 */
PP_MUST_CHECK pp_status pp_comm_nap(pp_comm *comm, int *count);
uint64_t pp_comm_completed(const pp_comm *comm, int index);

/* Local, blocking; not to be mixed with messages under way on the same (rank, tag). */
PP_MUST_CHECK pp_status pp_comm_send(pp_comm *comm, int rank, int tag, const void *buffer, size_t bytes);
PP_MUST_CHECK pp_status pp_comm_recv(pp_comm *comm, int rank, int tag, void *buffer, size_t bytes);

/* Collective. */
PP_MUST_CHECK pp_status pp_comm_broadcast(pp_comm *comm, int root, void *buffer, size_t bytes);
PP_MUST_CHECK pp_status pp_comm_barrier(pp_comm *comm);
/* Collective. Every rank contributes an integer; all get the sum. */
PP_MUST_CHECK pp_status pp_comm_sum(pp_comm *comm, int64_t value, int64_t *sum);
/* Collective. As pp_comm_sum over the ranks that share this rank's memory. */
PP_MUST_CHECK pp_status pp_comm_node_sum(pp_comm *comm, int64_t value, int64_t *sum);
/* Collective. Agrees on whether all ranks are well: takes over `mine`; where any rank failed, every rank gets the error
 * of the lowest failing one. */
PP_MUST_CHECK pp_status pp_comm_agree(pp_comm *comm, pp_status mine);

/* Writes "Open MPI v4.1.4" of the library in use, cut to `size`. */
void pp_comm_library(char *text, size_t size);

#endif
