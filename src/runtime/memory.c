#include "runtime/memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/message.h"

/* A rank before it holds anything: code, and the buffers of Open MPI, OpenBLAS and HDF5. Measured with VmRSS. */
static const int64_t RANK_BYTES = 40 << 20;

static int64_t weights_bytes(const pp_job *job, int first, int end, int copies) {
  int64_t parameters = pp_model_parameter_offset(job->model, end) - pp_model_parameter_offset(job->model, first);
  int64_t statistics = pp_model_statistic_offset(job->model, end) - pp_model_statistic_offset(job->model, first);
  return (copies * parameters + statistics) * (int64_t)sizeof(float);
}

static int64_t net_bytes(const pp_job *job, int first, int end, int samples, int in_flight, pp_net_use use) {
  return (int64_t)pp_net_memory(job->model, first, end, samples, in_flight, use, job->config->training.threads);
}

typedef struct class_shape {
  int split, micro_batch, slots, batch;
  int64_t elements;
  bool whole;
} class_shape;

static class_shape shape_of(const pp_job *job, const pp_device_class *class) {
  class_shape shape = {.batch = class->full->batch,
                       .micro_batch = pp_micro_batch_size(class->full->batch, class->full->micro_batches, 0),
                       .slots = class->full->micro_batches,
                       .whole = job->config->method == PP_METHOD_FL};
  shape.split = shape.whole ? job->blocks : class->split;
  shape.elements = shape.whole ? 0 : pp_job_boundary_elements(job, shape.split);
  return shape;
}

static int64_t mini_batch_bytes(const pp_job *job, class_shape shape) {
  int64_t elements = job->image_elements + (shape.whole ? pp_model_classes(job->model) + 1 : 0);
  return shape.batch * elements * (int64_t)sizeof(float);
}

static int64_t messages_bytes(class_shape shape, int64_t buffers) {
  return buffers * (int64_t)(pp_message_bytes(shape.micro_batch, shape.elements, true) +
                             pp_message_bytes(shape.micro_batch, shape.elements, false));
}

static int64_t device_bytes(const pp_job *job, class_shape shape) {
  return net_bytes(job, 0, shape.split, shape.micro_batch, shape.slots, PP_NET_TRAIN) + mini_batch_bytes(job, shape) +
         weights_bytes(job, 0, shape.split, 3) + (shape.whole ? 0 : messages_bytes(shape, shape.slots));
}

static int64_t replica_bytes(const pp_job *job, class_shape shape) {
  if (shape.whole)
    return 0;
  return weights_bytes(job, shape.split, job->blocks, 3) +
         messages_bytes(shape, shape.slots < PP_RECEIVE_WINDOW ? shape.slots : PP_RECEIVE_WINDOW);
}

static int64_t replica_net_bytes(const pp_job *job, class_shape shape) {
  if (shape.whole)
    return 0;
  return net_bytes(job, shape.split, job->blocks, shape.micro_batch, 1, PP_NET_TRAIN) +
         2 * (int64_t)shape.micro_batch * pp_model_classes(job->model) * (int64_t)sizeof(float);
}

/* What every rank holds whatever it plays: the averaged model, the data set, and the evaluation. */
static int64_t common_bytes(const pp_job *job) {
  int64_t batch = job->config->training.batch_size;
  return RANK_BYTES + weights_bytes(job, 0, job->blocks, 1) + pp_dataset_memory(&job->config->dataset) +
         net_bytes(job, 0, job->blocks, (int)batch, 1, PP_NET_EVALUATE) +
         batch * (job->image_elements + pp_model_classes(job->model)) * (int64_t)sizeof(float);
}

static int64_t alone_bytes(const pp_job *job) {
  int64_t bytes = weights_bytes(job, 0, job->blocks, 2); /* the working copy and its gradients */
  bytes += job->scenario->device_count * job->parameters * (int64_t)sizeof(float);
  int64_t largest = 0;
  for (int class = 0; class < job->scenario->class_count; class ++) {
    class_shape shape = shape_of(job, &job->scenario->classes[class]);
    bytes += net_bytes(job, 0, shape.split, shape.micro_batch, 1, PP_NET_TRAIN) + mini_batch_bytes(job, shape) +
             replica_net_bytes(job, shape);
    if (messages_bytes(shape, 1) > largest && !shape.whole)
      largest = messages_bytes(shape, 1);
  }
  return bytes + largest;
}

static int64_t aggregate_bytes(const pp_job *job) {
  return (job->parameters + job->statistics) * (int64_t)sizeof(double) + (4 << 20);
}

int64_t pp_memory_sum(int64_t a, int64_t b) { return a > INT64_MAX - b ? INT64_MAX : a + b; }

/* A replica a device, and for each split one net, as large as the largest of its classes wants it. */
static int64_t server_bytes(const pp_job *job) {
  const pp_scenario *scenario = job->scenario;
  int64_t bytes = 0;
  for (int device = 0; device < scenario->device_count; device++)
    bytes = pp_memory_sum(bytes, replica_bytes(job, shape_of(job, &scenario->classes[scenario->class_of[device]])));
  for (int split = 1; split <= job->blocks; split++) {
    int64_t largest = 0;
    for (int class = 0; class < scenario->class_count; class ++) {
      class_shape shape = shape_of(job, &scenario->classes[class]);
      int64_t net = shape.split == split ? replica_net_bytes(job, shape) : 0;
      largest = net > largest ? net : largest;
    }
    bytes = pp_memory_sum(bytes, largest);
  }
  return bytes;
}

int64_t pp_memory_of_rank(const pp_job *job, int rank, int ranks) {
  const pp_scenario *scenario = job->scenario;
  int64_t bytes = common_bytes(job) + (rank == 0 ? aggregate_bytes(job) : 0);
  if (ranks == 1)
    return bytes + alone_bytes(job);
  if (rank == 0)
    return pp_memory_sum(bytes, server_bytes(job));
  for (int64_t device = rank - 1; device < scenario->device_count; device += ranks - 1)
    bytes = pp_memory_sum(bytes, device_bytes(job, shape_of(job, &scenario->classes[scenario->class_of[device]])));
  return bytes;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t read_number(const char *path, const char *key, int64_t unit) {
  FILE *file = fopen(path, "r");
  if (file == NULL)
    return INT64_MAX;
  char line[256];
  int64_t found = INT64_MAX;
  while (found == INT64_MAX && fgets(line, sizeof line, file) != NULL) {
    long long number = 0;
    if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), " %lld", &number) == 1)
      found = number * unit;
  }
  fclose(file);
  return found;
}

int64_t pp_memory_available(void) {
  int64_t available = read_number("/proc/meminfo", "MemAvailable:", 1024);
  int64_t limit = read_number("/sys/fs/cgroup/memory.max", "", 1);
  int64_t used = read_number("/sys/fs/cgroup/memory.current", "", 1);
  if (limit != INT64_MAX && used != INT64_MAX)
    available = least(available, limit - used);
  struct rlimit own;
  if (getrlimit(RLIMIT_AS, &own) == 0 && own.rlim_cur != RLIM_INFINITY)
    available = least(available, (int64_t)own.rlim_cur -
                                     least(read_number("/proc/self/status", "VmSize:", 1024), (int64_t)own.rlim_cur));
  return available;
}
