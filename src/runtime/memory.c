#include "runtime/memory.h"

#include <sys/resource.h>

#include "runtime/aggregate.h"
#include "runtime/cgroup.h"
#include "runtime/journal.h"
#include "runtime/message.h"
#include "runtime/updates.h"
#include "timeline/scenario.h"

/* What a process takes beside its tensors: code, and the libraries' own. Peaks (VmHWM) of runs with next to no tensors,
 * with OpenBLAS 0.3.21, HDF5 1.10.8 and Open MPI 4.1.4; they do not grow with the number of ranks (2 to 9). */
static const int64_t ALONE_BYTES = 20 << 20;       /* no MPI */
static const int64_t TIMED_BYTES = 19 << 20;       /* and no training */
static const int64_t SERVER_RANK_BYTES = 31 << 20; /* HDF5 and MPI */
static const int64_t DEVICE_RANK_BYTES = 24 << 20; /* MPI, no HDF5 */

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

static class_shape shape_with(const pp_job *job, const pp_device_class *class, int split, int micro_batches) {
  class_shape shape = {.batch = class->full->batch,
                       .micro_batch = pp_micro_batch_size(class->full->batch, micro_batches, 0),
                       .slots = micro_batches,
                       .whole = job->config->method == PP_METHOD_FL};
  shape.split = shape.whole ? job->blocks : split;
  shape.elements = shape.whole ? 0 : pp_job_boundary_elements(job, shape.split);
  return shape;
}

static class_shape shape_of(const pp_job *job, const pp_device_class *class) {
  return shape_with(job, class, class->split, class->full->micro_batches);
}

typedef int64_t (*shape_bytes)(const pp_job *job, class_shape shape);

/* The most micro-batches that a plan of the class may come to have. */
static int most_micro_batches(const pp_job *job, const pp_device_class *class) {
  const pp_pipeline_config *pipeline = &job->config->groups[class->group].pipeline;
  bool open = pp_method_pipelines(job->config->method) && pipeline->micro_batches == PP_AUTO;
  if (!pp_scenario_replans(job->config) || !open)
    return class->full->micro_batches;
  int most = class->full->batch / (pipeline->min_micro_batch > 1 ? pipeline->min_micro_batch : 1);
  return most > class->full->micro_batches ? most : class->full->micro_batches;
}

/* What a class takes; where plans change, with the plan of its group that takes most. Of all numbers of micro-batches
 * of one size the largest takes most. */
static int64_t most_bytes(const pp_job *job, const pp_device_class *class, shape_bytes bytes_of) {
  int64_t most = bytes_of(job, shape_of(job, class));
  if (!pp_scenario_replans(job->config))
    return most;
  bool open = job->config->groups[class->group].pipeline.split == PP_AUTO;
  int most_count = most_micro_batches(job, class), least_count = class->full->micro_batches;
  if (job->config->groups[class->group].pipeline.micro_batches == PP_AUTO)
    least_count = 1;
  for (int split = open ? 1 : class->split; split <= (open ? job->blocks : class->split); split++)
    for (int count = most_count, size = 0; count >= least_count; count--) {
      class_shape shape = shape_with(job, class, split, count);
      if (shape.micro_batch == size)
        continue;
      size = shape.micro_batch;
      int64_t bytes = bytes_of(job, shape);
      most = bytes > most ? bytes : most;
    }
  return most;
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

/* Alone: what a class has of its own, and a message of it. */
static int64_t replica_net_bytes(const pp_job *job, class_shape shape);
static int64_t tools_bytes(const pp_job *job, class_shape shape) {
  return net_bytes(job, 0, shape.split, shape.micro_batch, 1, PP_NET_TRAIN) + mini_batch_bytes(job, shape) +
         replica_net_bytes(job, shape);
}

static int64_t message_bytes(const pp_job *job, class_shape shape) {
  (void)job;
  return shape.whole ? 0 : messages_bytes(shape, 1);
}

/* Where devices take turns all share one momentum. */
static bool takes_turns(const pp_job *job) { return job->config->method == PP_METHOD_SL; }
static int64_t shared_bytes(const pp_job *job) {
  return takes_turns(job) ? job->parameters * (int64_t)sizeof(float) : 0;
}

static int64_t replica_bytes(const pp_job *job, class_shape shape) {
  if (shape.whole)
    return 0;
  return weights_bytes(job, shape.split, job->blocks, takes_turns(job) ? 2 : 3) +
         messages_bytes(shape, shape.slots < PP_RECEIVE_WINDOW ? shape.slots : PP_RECEIVE_WINDOW);
}

static int64_t replica_net_bytes(const pp_job *job, class_shape shape) {
  if (shape.whole)
    return 0;
  return net_bytes(job, shape.split, job->blocks, shape.micro_batch, 1, PP_NET_TRAIN) +
         2 * (int64_t)shape.micro_batch * pp_model_classes(job->model) * (int64_t)sizeof(float);
}

/* What every rank holds whatever it plays: the averaged model and older ones that updates begin with, the data set, and
 * the evaluation. */
static int64_t common_bytes(const pp_job *job) {
  int64_t batch = job->config->training.batch_size;
  int64_t models = 1 + (job->updates != NULL ? job->updates->most_kept : 0);
  return models * weights_bytes(job, 0, job->blocks, 1) + pp_dataset_memory(&job->config->dataset) +
         net_bytes(job, 0, job->blocks, (int)batch, 1, PP_NET_EVALUATE) +
         batch * (job->image_elements + pp_model_classes(job->model)) * (int64_t)sizeof(float);
}

static int64_t alone_bytes(const pp_job *job) {
  int64_t bytes = weights_bytes(job, 0, job->blocks, 2); /* the working copy and its gradients */
  bytes += job->scenario->device_count * job->parameters * (int64_t)sizeof(float);
  int64_t largest = 0;
  for (int class = 0; class < job->scenario->class_count; class ++) {
    int64_t message = most_bytes(job, &job->scenario->classes[class], message_bytes);
    bytes += most_bytes(job, &job->scenario->classes[class], tools_bytes);
    largest = message > largest ? message : largest;
  }
  return bytes + largest + shared_bytes(job);
}

static int64_t aggregate_bytes(const pp_job *job) {
  return (job->parameters + job->statistics) * (int64_t)sizeof(double) + (4 << 20);
}

int64_t pp_memory_sum(int64_t a, int64_t b) { return a > INT64_MAX - b ? INT64_MAX : a + b; }

/* A round's stages with their start and end, or those of the whole run where nobody waits for the others; where records
 * are kept also each one's slot, a round's records, and what sorting them takes (glibc's qsort: two pointers); and each
 * device's state. */
static int64_t timeline_bytes(const pp_job *job) {
  const pp_scenario *scenario = job->scenario;
  bool is_async = scenario->buffer > 0;
  double span = 16.0, row = 0, bytes = 0;
  if (job->config->record_stages) {
    span += 4.0;
    row += (double)sizeof(pp_stage_record) + 16.0;
  }
  /* Lengths of two rounds; and compute stages, up to two thirds of all, as rows that are collected with room to grow.
   */
  if (scenario->is_measured)
    span += 16.0 + 2.0 / 3 * 3.0 * (double)sizeof(pp_journal_row);
  /* What has begun by the first aggregate: the updates that it takes, and at most a round of every device. */
  if (is_async)
    row *= 1.0 + (double)scenario->buffer / scenario->device_count;
  for (int device = 0; device < scenario->device_count; device++) {
    const pp_device_class *class = &scenario->classes[scenario->class_of[device]];
    double more = (double)most_micro_batches(job, class) / class->full->micro_batches; /* than the plan's operations */
    /* Devices that are woken to choose: their lanes, and their places in the queue of instants. */
    bytes += scenario->has_presence || is_async ? 250.0 + 16.0 * (class->full->micro_batches + 8.0) : 0;
    /* Transfers over the server's link, both ways. */
    bytes += scenario->server_up != NULL ? 160.0 + 32.0 * (class->full->micro_batches + 1.0) : 0;
    bytes += 250.0 + row * ((double)class->iterations_per_round * more * class->full->op_count + 2.0);
    bytes +=
        span *
        ((double)(is_async ? class->iterations : class->iterations_per_round) * more * class->full->op_count + 2.0);
    bytes += is_async ? (double)pp_class_rounds(class) * (double)(sizeof(pp_update) + 64) : 0;
  }
  return bytes < 0x1p62 ? (int64_t)bytes : INT64_MAX / 2;
}

int64_t pp_memory_of_timed(const pp_job *job) { return TIMED_BYTES + timeline_bytes(job); }

/* Where plans change, a net a group at most. */
static int64_t changing_nets_bytes(const pp_job *job) {
  int64_t bytes = 0;
  for (int group = 0; group < job->config->group_count; group++) {
    int64_t largest = 0;
    for (int class = 0; class < job->scenario->class_count; class ++) {
      const pp_device_class *of = &job->scenario->classes[class];
      int64_t net = of->group == group ? most_bytes(job, of, replica_net_bytes) : 0;
      largest = net > largest ? net : largest;
    }
    bytes = pp_memory_sum(bytes, largest);
  }
  return bytes;
}

/* A replica a device, and for each split one net, as large as the largest of its classes wants it. */
static int64_t server_bytes(const pp_job *job) {
  const pp_scenario *scenario = job->scenario;
  int64_t bytes = shared_bytes(job);
  for (int device = 0; device < scenario->device_count; device++)
    bytes = pp_memory_sum(bytes, most_bytes(job, &scenario->classes[scenario->class_of[device]], replica_bytes));
  if (pp_scenario_replans(job->config))
    return pp_memory_sum(bytes, changing_nets_bytes(job));
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
  int64_t bytes = common_bytes(job);
  if (rank == 0)
    bytes = pp_memory_sum(bytes, aggregate_bytes(job) + timeline_bytes(job));
  if (ranks > 1 && pp_scenario_replans(job->config)) /* momentum on its way from one cut to another */
    bytes = pp_memory_sum(bytes, 2 * job->parameters * (int64_t)sizeof(float) + (4 << 20));
  if (ranks == 1)
    return pp_memory_sum(bytes, ALONE_BYTES + alone_bytes(job));
  bytes += rank == 0 ? SERVER_RANK_BYTES : DEVICE_RANK_BYTES;
  if (rank == 0)
    return pp_memory_sum(bytes, server_bytes(job));
  bytes += takes_turns(job) ? PP_CHUNK_ELEMENTS * (int64_t)sizeof(float) : 0;
  for (int64_t device = rank - 1; device < scenario->device_count; device += ranks - 1)
    bytes = pp_memory_sum(bytes, most_bytes(job, &scenario->classes[scenario->class_of[device]], device_bytes));
  return bytes;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t pp_memory_available(void) {
  int64_t available = pp_file_number("/proc/meminfo", "MemAvailable:");
  available = available > INT64_MAX / 1024 ? INT64_MAX : 1024 * available;
  available = least(available, pp_cgroup_available("/proc/self/cgroup", "/sys/fs/cgroup"));
  struct rlimit own;
  if (getrlimit(RLIMIT_AS, &own) == 0 && own.rlim_cur != RLIM_INFINITY) {
    int64_t used = pp_file_number("/proc/self/status", "VmSize:"), limit = (int64_t)own.rlim_cur;
    available = least(available, used > limit / 1024 ? 0 : limit - 1024 * used);
  }
  return available;
}
