#include "comm/comm.h"

#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

struct pp_comm {
  bool alone; /* MPI was never initialised */
  int rank, size;
  MPI_Comm mpi;
  MPI_Datatype line; /* PP_COMM_LINE bytes */
  /* Messages under way, side by side: request, token. Completed ones are taken out at once. */
  int pending, capacity;
  MPI_Request *requests;
  uint64_t *tokens;
  int *indices;        /* (capacity) scratch of MPI_Testsome */
  uint64_t *completed; /* (capacity) tokens of the last pp_comm_progress */
};

static pp_status fail_mpi(const char *call, int code) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS)
    snprintf(text, sizeof text, "error %d", code);
  return pp_fail(PP_CODE_RUN, "%s: %s", call, text);
}

#define PP_TRY_MPI(call)                                                                                               \
  do {                                                                                                                 \
    int pp_mpi_ = (call);                                                                                              \
    if (pp_mpi_ != MPI_SUCCESS)                                                                                        \
      return fail_mpi(#call, pp_mpi_);                                                                                 \
  } while (0)

static bool env_is_set(const char *name) { return getenv(name) != NULL; }

static int env_number(const char *name) {
  const char *text = getenv(name);
  return text == NULL ? 0 : atoi(text);
}

static pp_status open_mpi(pp_comm *comm, int *argc, char ***argv) {
  /* More ranks than cores are normal here and not every launcher says so; set by the user, it stays. */
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
  /* On one machine messages go through its memory. That this is so, Open MPI finds out by looking for network adapters,
   * which takes most of its start: 0.2 of 0.3 s with those that Debian's looks for. */
  int ranks_here = env_number("OMPI_COMM_WORLD_LOCAL_SIZE");
  if (ranks_here > 0 && ranks_here == env_number("OMPI_COMM_WORLD_SIZE"))
    setenv("OMPI_MCA_pml", "ob1", 0);
  PP_TRY_MPI(MPI_Init(argc, argv));
  comm->alone = false;
  PP_TRY_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &comm->mpi));
  PP_TRY_MPI(MPI_Comm_set_errhandler(comm->mpi, MPI_ERRORS_RETURN));
  PP_TRY_MPI(MPI_Comm_rank(comm->mpi, &comm->rank));
  PP_TRY_MPI(MPI_Comm_size(comm->mpi, &comm->size));
  PP_TRY_MPI(MPI_Type_contiguous(PP_COMM_LINE, MPI_BYTE, &comm->line));
  PP_TRY_MPI(MPI_Type_commit(&comm->line));
  return NULL;
}

pp_status pp_comm_open_alone(pp_comm **out) {
  pp_comm *comm = NULL;
  PP_TRY(pp_alloc(1, sizeof *comm, "the communicator", &comm));
  comm->alone = true;
  comm->size = 1;
  *out = comm;
  return NULL;
}

pp_status pp_comm_open(int *argc, char ***argv, pp_comm **out) {
  bool launched = env_is_set("OMPI_COMM_WORLD_SIZE") || env_is_set("PMIX_RANK");
  if (!launched && env_number("SLURM_STEP_NUM_TASKS") > 1 && env_is_set("SLURM_PROCID"))
    return pp_fail(PP_CODE_USAGE,
                   "srun started %d tasks that cannot see each other: use srun --mpi=pmix, or mpirun, or one task",
                   env_number("SLURM_STEP_NUM_TASKS"));
  pp_comm *comm = NULL;
  PP_TRY(pp_comm_open_alone(&comm));
  pp_status status = launched ? open_mpi(comm, argc, argv) : NULL;
  if (status != NULL) {
    free(comm);
    return status;
  }
  *out = comm;
  return NULL;
}

void pp_comm_close(pp_comm *comm) {
  if (comm == NULL)
    return;
  if (!comm->alone) {
    MPI_Type_free(&comm->line);
    MPI_Comm_free(&comm->mpi);
    MPI_Finalize();
  }
  free(comm->requests);
  free(comm->tokens);
  free(comm->indices);
  free(comm->completed);
  free(comm);
}

void pp_comm_abort(pp_comm *comm, int exit_code) {
  fflush(NULL);
  if (comm != NULL && !comm->alone)
    MPI_Abort(comm->mpi, exit_code);
  _Exit(exit_code);
}

int pp_comm_rank(const pp_comm *comm) { return comm->rank; }
int pp_comm_size(const pp_comm *comm) { return comm->size; }

static pp_status line_count(size_t bytes, int *out) {
  size_t lines = (bytes + PP_COMM_LINE - 1) / PP_COMM_LINE;
  if (lines > INT_MAX)
    return pp_fail(PP_CODE_RUN, "a message of %zu bytes: at most %zu can be sent", bytes,
                   (size_t)INT_MAX * PP_COMM_LINE);
  *out = (int)lines;
  return NULL;
}

static pp_status grow(void *array, size_t size, int used, int capacity) {
  void *old = NULL, *new = NULL;
  memcpy(&old, array, sizeof old);
  PP_TRY(pp_alloc((size_t)capacity, size, "messages under way", &new));
  if (used > 0)
    memcpy(new, old, (size_t)used * size);
  free(old);
  memcpy(array, &new, sizeof new);
  return NULL;
}

/* The place of the next message; it counts only once the caller has started it and raised `pending`. */
static pp_status reserve(pp_comm *comm, uint64_t token, MPI_Request **out) {
  if (comm->alone)
    return pp_fail(PP_CODE_RUN, "a message was started by a rank that is alone");
  if (comm->pending == comm->capacity) {
    int capacity = comm->capacity == 0 ? 64 : 2 * comm->capacity;
    PP_TRY(grow(&comm->requests, sizeof *comm->requests, comm->pending, capacity));
    PP_TRY(grow(&comm->tokens, sizeof *comm->tokens, comm->pending, capacity));
    PP_TRY(grow(&comm->indices, sizeof *comm->indices, 0, capacity));
    PP_TRY(grow(&comm->completed, sizeof *comm->completed, comm->capacity, capacity));
    comm->capacity = capacity;
  }
  comm->tokens[comm->pending] = token;
  *out = &comm->requests[comm->pending];
  return NULL;
}

pp_status pp_comm_isend(pp_comm *comm, int rank, int tag, const void *buffer, size_t bytes, uint64_t token) {
  int lines = 0;
  MPI_Request *request = NULL;
  PP_TRY(line_count(bytes, &lines));
  PP_TRY(reserve(comm, token, &request));
  PP_TRY_MPI(MPI_Isend(buffer, lines, comm->line, rank, tag, comm->mpi, request));
  comm->pending++;
  return NULL;
}

pp_status pp_comm_irecv(pp_comm *comm, int rank, int tag, void *buffer, size_t bytes, uint64_t token) {
  int lines = 0;
  MPI_Request *request = NULL;
  PP_TRY(line_count(bytes, &lines));
  PP_TRY(reserve(comm, token, &request));
  PP_TRY_MPI(MPI_Irecv(buffer, lines, comm->line, rank, tag, comm->mpi, request));
  comm->pending++;
  return NULL;
}

pp_status pp_comm_progress(pp_comm *comm, bool wait, int *count) {
  *count = 0;
  if (comm->pending == 0)
    return wait ? pp_fail(PP_CODE_RUN, "waiting for a message while none is under way") : NULL;
  int completed = 0;
  if (wait)
    PP_TRY_MPI(MPI_Waitsome(comm->pending, comm->requests, &completed, comm->indices, MPI_STATUSES_IGNORE));
  else
    PP_TRY_MPI(MPI_Testsome(comm->pending, comm->requests, &completed, comm->indices, MPI_STATUSES_IGNORE));
  if (completed == MPI_UNDEFINED || completed == 0)
    return NULL;
  for (int i = 0; i < completed; i++)
    comm->completed[i] = comm->tokens[comm->indices[i]];
  /* MPI has set completed requests to null: close the gaps, keeping the order in which messages were started. */
  int kept = 0;
  for (int i = 0; i < comm->pending; i++)
    if (comm->requests[i] != MPI_REQUEST_NULL) {
      comm->requests[kept] = comm->requests[i];
      comm->tokens[kept++] = comm->tokens[i];
    }
  comm->pending = kept;
  *count = completed;
  return NULL;
}

/* Between two looks: at first the core is offered to others, then it is left to them, longer and longer. */
static void nap(int looks) {
  enum { yields = 200, shortest_ns = 10000, doublings = 6 };
  if (looks < yields) {
    sched_yield();
    return;
  }
  int doubled = (looks - yields) / 8 < doublings ? (looks - yields) / 8 : doublings;
  nanosleep(&(struct timespec){0, shortest_ns << doubled}, NULL);
}

pp_status pp_comm_nap(pp_comm *comm, int *count) {
  PP_TRY(pp_comm_progress(comm, false, count));
  for (int looks = 0; *count == 0; looks += looks < INT_MAX) {
    if (comm->pending == 0)
      return pp_fail(PP_CODE_RUN, "waiting for a message while none is under way");
    nap(looks);
    PP_TRY(pp_comm_progress(comm, false, count));
  }
  return NULL;
}

static pp_status wait_for(MPI_Request *request) {
  int done = 0;
  PP_TRY_MPI(MPI_Test(request, &done, MPI_STATUS_IGNORE));
  for (int looks = 0; !done; looks += looks < INT_MAX) {
    nap(looks);
    PP_TRY_MPI(MPI_Test(request, &done, MPI_STATUS_IGNORE));
  }
  return NULL;
}

uint64_t pp_comm_completed(const pp_comm *comm, int index) { return comm->completed[index]; }

pp_status pp_comm_send(pp_comm *comm, int rank, int tag, const void *buffer, size_t bytes) {
  int lines = 0;
  PP_TRY(line_count(bytes, &lines));
  PP_TRY_MPI(MPI_Send(buffer, lines, comm->line, rank, tag, comm->mpi));
  return NULL;
}

pp_status pp_comm_recv(pp_comm *comm, int rank, int tag, void *buffer, size_t bytes) {
  int lines = 0;
  PP_TRY(line_count(bytes, &lines));
  PP_TRY_MPI(MPI_Recv(buffer, lines, comm->line, rank, tag, comm->mpi, MPI_STATUS_IGNORE));
  return NULL;
}

pp_status pp_comm_broadcast(pp_comm *comm, int root, void *buffer, size_t bytes) {
  if (comm->size == 1)
    return NULL;
  int lines = 0;
  PP_TRY(line_count(bytes, &lines));
  PP_TRY_MPI(MPI_Bcast(buffer, lines, comm->line, root, comm->mpi));
  return NULL;
}

pp_status pp_comm_barrier(pp_comm *comm) {
  if (comm->size > 1)
    PP_TRY_MPI(MPI_Barrier(comm->mpi));
  return NULL;
}

pp_status pp_comm_sum(pp_comm *comm, int64_t value, int64_t *sum) {
  *sum = value;
  MPI_Request request = MPI_REQUEST_NULL;
  if (comm->size == 1)
    return NULL;
  PP_TRY_MPI(MPI_Iallreduce(&value, sum, 1, MPI_INT64_T, MPI_SUM, comm->mpi, &request));
  return wait_for(&request);
}

pp_status pp_comm_node_sum(pp_comm *comm, int64_t value, int64_t *sum) {
  *sum = value;
  if (comm->size == 1)
    return NULL;
  MPI_Comm node = MPI_COMM_NULL;
  PP_TRY_MPI(MPI_Comm_split_type(comm->mpi, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &node));
  PP_TRY_MPI(MPI_Allreduce(&value, sum, 1, MPI_INT64_T, MPI_SUM, node));
  PP_TRY_MPI(MPI_Comm_free(&node));
  return NULL;
}

pp_status pp_comm_agree(pp_comm *comm, pp_status mine) {
  if (comm->size == 1)
    return mine;
  int failed_rank = mine == NULL ? comm->size : comm->rank;
  int first = comm->size;
  MPI_Request request = MPI_REQUEST_NULL;
  PP_TRY_MPI(MPI_Iallreduce(&failed_rank, &first, 1, MPI_INT, MPI_MIN, comm->mpi, &request));
  PP_TRY(wait_for(&request));
  if (first == comm->size)
    return NULL;
  struct {
    int code;
    char message[1020];
  } text = {.code = (int)pp_error_code(mine)};
  snprintf(text.message, sizeof text.message, "%s", pp_error_message(mine));
  PP_TRY_MPI(MPI_Bcast(&text, (int)sizeof text, MPI_BYTE, first, comm->mpi));
  pp_error_free(mine);
  return pp_fail((pp_code)text.code, "%s", text.message);
}

void pp_comm_library(char *text, size_t size) {
  char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  if (MPI_Get_library_version(version, &length) != MPI_SUCCESS)
    version[0] = '\0';
  version[strcspn(version, ",\n")] = '\0';
  snprintf(text, size, "%s", version);
}
