#include "app/profiler.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"

/* What all measurements share. */
typedef struct profiler {
  const pp_model *model;
  int repeats;
  float *params, *stats, *grads, *momentum; /* of the whole network */
  double *accumulator;
  double *samples; /* (repeats) */
  double *updates; /* (repeats) */
} profiler;

static double now_s(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b) {
  double x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  return (x > y) - (x < y);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, compare);
  return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Values as activations have them: normal, so that no unit is always on or off. Cheap: words of a small table. */
static void fill(float *values, int64_t count, uint32_t stream) {
  enum { table_size = 4093 };
  float table[table_size];
  pp_rng rng = pp_rng_stream(1, PP_RNG_SYNTHETIC, 0, 0, stream);
  for (int at = 0; at < table_size; at++)
    table[at] = (float)pp_rng_normal(rng, 0, (uint64_t)at);
  for (int64_t at = 0; at < count; at++)
    values[at] = table[at % table_size];
}

/* ---- One block ---- */

typedef struct block_buffers {
  float *x, *y, *dy, *dx;
  int64_t outputs; /* elements of dy */
} block_buffers;

static void buffers_fini(block_buffers *buffers) {
  free(buffers->x);
  free(buffers->y);
  free(buffers->dy);
  free(buffers->dx);
}

static pp_status buffers_init(block_buffers *buffers, const pp_block_info *info, int samples) {
  int64_t inputs = samples * pp_shape_elements(info->input);
  buffers->outputs = samples * pp_shape_elements(info->output);
  PP_TRY(pp_alloc((size_t)inputs, sizeof(float), "a block's input", &buffers->x));
  PP_TRY(pp_alloc((size_t)inputs, sizeof(float), "a block's input", &buffers->dx));
  PP_TRY(pp_alloc((size_t)buffers->outputs, sizeof(float), "a block's output", &buffers->y));
  PP_TRY(pp_alloc((size_t)buffers->outputs, sizeof(float), "a block's output", &buffers->dy));
  fill(buffers->x, inputs, 0);
  return NULL;
}

static pp_status measure_block(profiler *p, int block, int samples, double *forward_s, double *backward_s,
                               double *update_s) {
  const pp_block_info *info = pp_model_block(p->model, block);
  int64_t parameter = pp_model_parameter_offset(p->model, block);
  pp_state state = {.params = p->params + parameter,
                    .stats = p->stats + pp_model_statistic_offset(p->model, block),
                    .grads = p->grads + parameter,
                    .momentum = p->momentum + parameter};
  block_buffers buffers = {0};
  pp_net *net = NULL;
  double *backwards = NULL;
  pp_status status = NULL;
  PP_TRY_GOTO(status, buffers_init(&buffers, info, samples), done);
  PP_TRY_GOTO(status, pp_alloc((size_t)p->repeats, sizeof *backwards, "times", &backwards), done);
  PP_TRY_GOTO(status, pp_net_create(p->model, block, block + 1, samples, 1, PP_NET_TRAIN, &net), done);
  for (int repeat = -1; repeat < p->repeats; repeat++) {
    fill(buffers.dy, buffers.outputs, 1); /* backward may have overwritten it */
    double start = now_s();
    pp_net_forward(net, &state, 0, samples, buffers.x, buffers.y);
    double middle = now_s();
    pp_net_backward(net, &state, 0, buffers.dy, block > 0 ? buffers.dx : NULL);
    double end = now_s();
    /* Rate 0: as long as any, and the weights stay. */
    pp_sgd_step(&state, info->parameters, 0.0F, 0.9F, 0.0F);
    double updated = now_s();
    if (repeat < 0)
      continue;
    p->samples[repeat] = middle - start;
    backwards[repeat] = end - middle;
    p->updates[repeat] = updated - end;
  }
  *forward_s = median(p->samples, p->repeats);
  *backward_s = median(backwards, p->repeats);
  *update_s = info->parameters > 0 ? median(p->updates, p->repeats) : 0;
done:
  pp_net_destroy(net);
  free(backwards);
  buffers_fini(&buffers);
  return status;
}

/* ---- The loss and averaging ---- */

/* Of each value: calls at a time, so that they last long against the clock's own steps. */
enum { LOSS_CALLS = 100 };

static pp_status measure_loss(profiler *p, int samples, double *forward_s, double *backward_s) {
  int classes = pp_model_classes(p->model);
  int64_t count = (int64_t)samples * classes;
  float *logits = NULL, *gradient = NULL;
  int32_t *labels = NULL;
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc((size_t)count, sizeof *logits, "logits", &logits), done);
  PP_TRY_GOTO(status, pp_alloc((size_t)count, sizeof *gradient, "logits", &gradient), done);
  PP_TRY_GOTO(status, pp_alloc((size_t)samples, sizeof *labels, "labels", &labels), done);
  fill(logits, count, 2);
  for (int sample = 0; sample < samples; sample++)
    labels[sample] = sample % classes;
  for (int backward = 0; backward < 2; backward++) {
    for (int repeat = -1; repeat < p->repeats; repeat++) {
      double start = now_s();
      for (int call = 0; call < LOSS_CALLS; call++)
        pp_softmax_cross_entropy(samples, classes, logits, labels, 1.0F, backward ? gradient : NULL, NULL);
      if (repeat >= 0)
        p->samples[repeat] = (now_s() - start) / LOSS_CALLS;
    }
    *(backward ? backward_s : forward_s) = median(p->samples, p->repeats);
  }
done:
  free(logits);
  free(gradient);
  free(labels);
  return status;
}

static void measure_averaging(profiler *p, int64_t elements, pp_timings *out) {
  for (int finish = 0; finish < 2; finish++) {
    for (int repeat = -1; repeat < p->repeats; repeat++) {
      double start = now_s();
      if (finish)
        pp_average_finish(p->grads, p->accumulator, elements);
      else
        pp_average_add(p->accumulator, p->params, 0.5, elements);
      if (repeat >= 0)
        p->samples[repeat] = now_s() - start;
    }
    *(finish ? &out->finish_s : &out->add_s) = median(p->samples, p->repeats);
  }
}

/* ---- Together ---- */

static pp_status prepare(profiler *p, int64_t parameters, int64_t statistics) {
  size_t count = (size_t)parameters;
  PP_TRY(pp_alloc(count, sizeof *p->params, "the network's weights", &p->params));
  PP_TRY(pp_alloc(count, sizeof *p->grads, "the network's gradients", &p->grads));
  PP_TRY(pp_alloc(count, sizeof *p->momentum, "the network's momentum", &p->momentum));
  PP_TRY(pp_alloc((size_t)statistics, sizeof *p->stats, "the network's statistics", &p->stats));
  PP_TRY(pp_alloc(count, sizeof *p->accumulator, "the average", &p->accumulator));
  PP_TRY(pp_alloc((size_t)p->repeats, sizeof *p->samples, "times", &p->samples));
  PP_TRY(pp_alloc((size_t)p->repeats, sizeof *p->updates, "times", &p->updates));
  pp_model_init(p->model, 1, p->params, p->stats);
  return NULL;
}

static pp_status measure(profiler *p, pp_timings *out) {
  int blocks = out->block_count, sizes = out->size_count;
  int64_t parameters = pp_model_parameter_offset(p->model, blocks);
  PP_TRY(prepare(p, parameters, pp_model_statistic_offset(p->model, blocks)));
  size_t rows = (size_t)blocks + 1;
  PP_TRY(pp_alloc(rows * (size_t)sizes, sizeof(double), "times", &out->forward_s));
  PP_TRY(pp_alloc(rows * (size_t)sizes, sizeof(double), "times", &out->backward_s));
  PP_TRY(pp_alloc(rows, sizeof(double), "times", &out->update_s));
  /* The update does not depend on the batch: that after the largest one stays. */
  for (int block = 0; block < blocks; block++)
    for (int size = 0; size < sizes; size++) {
      int at = block * sizes + size;
      PP_TRY(
          measure_block(p, block, out->sizes[size], &out->forward_s[at], &out->backward_s[at], &out->update_s[block]));
    }
  for (int size = 0; size < sizes; size++) {
    int at = blocks * sizes + size;
    PP_TRY(measure_loss(p, out->sizes[size], &out->forward_s[at], &out->backward_s[at]));
  }
  measure_averaging(p, parameters, out);
  return NULL;
}

pp_status pp_timings_measure(const pp_model *model, int size_count, const int *sizes, int repeats, pp_timings *out) {
  PP_ASSERT(size_count > 0 && repeats > 0);
  profiler p = {.model = model, .repeats = repeats};
  pp_timings timings = {.block_count = pp_model_block_count(model), .size_count = size_count, .sizes = sizes};
  pp_nn_set_threads(1);
  PP_TRY(pp_nn_reserve(1, 0));
  pp_status status = measure(&p, &timings);
  free(p.params);
  free(p.grads);
  free(p.momentum);
  free(p.stats);
  free(p.accumulator);
  free(p.samples);
  free(p.updates);
  if (status != NULL)
    pp_timings_fini(&timings);
  else
    *out = timings;
  return status;
}

void pp_timings_fini(pp_timings *timings) {
  free(timings->forward_s);
  free(timings->backward_s);
  free(timings->update_s);
  *timings = (pp_timings){0};
}
