// One round of pipar as an MPI program for SMPI, SimGrid's simulator of MPI: rank 0 is the server with one slot, all
// others are devices. SMPI shares a link among messages that overlap, where pipar sends one after the other, so that
// the makespan is only close to pipar's. Arguments, in the order of scenario.py: iterations, micro-batches, lengths of
// forward, backward, update, server forward, server backward, server update and aggregate in seconds, then bytes of
// upload, download and model.
#include <mpi.h>
#include <smpi/smpi.h>
#include <stdio.h>
#include <stdlib.h>

struct input {
  int iterations, micro_batches;
  double forward_s, backward_s, update_s, server_forward_s, server_backward_s, server_update_s, aggregate_s;
  int upload_bytes, download_bytes, model_bytes;
};

// Nothing is read from it, so all messages may share it.
static char *create_buffer(const struct input *in) {
  const int most = in->upload_bytes > in->download_bytes ? in->upload_bytes : in->download_bytes;
  return calloc(1, (size_t)(most > in->model_bytes ? most : in->model_bytes));
}

static void run_server(const struct input *in, int devices) {
  char *buffer = create_buffer(in);
  int *done = calloc((size_t)devices, sizeof *done);
  MPI_Request *uploads = malloc((size_t)devices * sizeof *uploads);
  for (int k = 0; k < devices; k++)
    MPI_Irecv(buffer, in->upload_bytes, MPI_BYTE, k + 1, 0, MPI_COMM_WORLD, &uploads[k]);
  const int of_device = in->iterations * in->micro_batches;
  for (int left = devices * of_device; left > 0; left--) {
    int k;
    MPI_Waitany(devices, uploads, &k, MPI_STATUS_IGNORE);
    done[k]++;
    if (done[k] < of_device)
      MPI_Irecv(buffer, in->upload_bytes, MPI_BYTE, k + 1, 0, MPI_COMM_WORLD, &uploads[k]);
    smpi_execute(in->server_forward_s);
    smpi_execute(in->server_backward_s);
    MPI_Request download;
    MPI_Isend(buffer, in->download_bytes, MPI_BYTE, k + 1, 0, MPI_COMM_WORLD, &download);
    MPI_Request_free(&download);
    if (done[k] % in->micro_batches == 0)
      smpi_execute(in->server_update_s);
  }
  for (int k = 0; k < devices; k++)
    MPI_Irecv(buffer, in->model_bytes, MPI_BYTE, k + 1, 0, MPI_COMM_WORLD, &uploads[k]);
  MPI_Waitall(devices, uploads, MPI_STATUSES_IGNORE);
  smpi_execute(in->aggregate_s);
  for (int k = 0; k < devices; k++)
    MPI_Isend(buffer, in->model_bytes, MPI_BYTE, k + 1, 0, MPI_COMM_WORLD, &uploads[k]);
  MPI_Waitall(devices, uploads, MPI_STATUSES_IGNORE);
  free(uploads);
  free(done);
  free(buffer);
}

static void run_device(const struct input *in) {
  char *buffer = create_buffer(in);
  MPI_Request *uploads = malloc((size_t)in->micro_batches * sizeof *uploads);
  MPI_Request *downloads = malloc((size_t)in->micro_batches * sizeof *downloads);
  for (int iteration = 0; iteration < in->iterations; iteration++) {
    for (int j = 0; j < in->micro_batches; j++)
      MPI_Irecv(buffer, in->download_bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD, &downloads[j]);
    for (int j = 0; j < in->micro_batches; j++) {
      smpi_execute(in->forward_s);
      MPI_Isend(buffer, in->upload_bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD, &uploads[j]);
    }
    for (int j = 0; j < in->micro_batches; j++) {
      MPI_Wait(&downloads[j], MPI_STATUS_IGNORE);
      smpi_execute(in->backward_s);
    }
    MPI_Waitall(in->micro_batches, uploads, MPI_STATUSES_IGNORE);
    smpi_execute(in->update_s);
  }
  MPI_Send(buffer, in->model_bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
  MPI_Recv(buffer, in->model_bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  free(downloads);
  free(uploads);
  free(buffer);
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  if (argc != 13) {
    fprintf(stderr, "smpi_pipar: wants 12 numbers, has %d\n", argc - 1);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  double seconds[7];
  for (int i = 0; i < 7; i++)
    seconds[i] = atof(argv[3 + i]);
  const struct input in = {atoi(argv[1]), atoi(argv[2]), seconds[0], seconds[1],     seconds[2],     seconds[3],
                           seconds[4],    seconds[5],    seconds[6], atoi(argv[10]), atoi(argv[11]), atoi(argv[12])};
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (rank == 0)
    run_server(&in, ranks - 1);
  else
    run_device(&in);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0)
    printf("%.9f\n", MPI_Wtime());
  MPI_Finalize();
  return 0;
}
