/* Results files with figures chosen by the test. */
#ifndef PP_TEST_SAMPLES_H
#define PP_TEST_SAMPLES_H

#include "pipar/results.h"

typedef struct sample_run {
  const char *method, *network, *status; /* status NULL: still running after `rounds` rounds */
  int64_t seed;
  int micro_batches;
  double makespan_s, server_idle_s, device_idle_s, test_accuracy;
  int rounds;
} sample_run;

/* Writes PATH, two devices and one slot; PATH.part where a run is still running. Every idle time is made up of upload
 * (a quarter), server_compute (a quarter) and device_compute (a half). */
void sample_write(const char *path, int run_count, const sample_run *runs);

#endif
