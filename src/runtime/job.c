#include "runtime/job.h"

#include <time.h>

int64_t pp_job_cpu_ns(const pp_job *job) {
  struct timespec now = {0};
  if (pp_job_is_measured(job))
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

const pp_device_class *pp_job_class(const pp_job *job, int device) {
  return &job->scenario->classes[job->scenario->class_of[device]];
}

void pp_job_round_iterations(const pp_job *job, int device, int64_t round, int64_t *first, int64_t *end) {
  const pp_device_class *class = pp_job_class(job, device);
  if (job->local_rounds != NULL)
    round = job->local_rounds[device];
  pp_class_round_iterations(class, round, first, end);
  if (*first > *end)
    *first = *end;
}

double pp_job_member_samples(const pp_job *job) {
  double total = 0;
  for (int device = 0; device < job->scenario->device_count; device++)
    if (pp_job_is_member(job, device))
      total += (double)pp_job_class(job, device)->samples;
  return total;
}

int pp_job_rank_of(const pp_job *job, int device) {
  int ranks = pp_comm_size(job->comm);
  return ranks == 1 ? 0 : 1 + device % (ranks - 1);
}

int64_t pp_job_boundary_elements(const pp_job *job, int split) {
  return pp_shape_elements(pp_model_block(job->model, split - 1)->output);
}
