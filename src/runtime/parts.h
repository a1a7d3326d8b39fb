/* The two halves of a split network at work: what a schedule's compute operations do to tensors. Neither knows of
 * messages or time. */
#ifndef PP_RUNTIME_PARTS_H
#define PP_RUNTIME_PARTS_H

#include "runtime/job.h"

/* A model's tensors, or the part of them that blocks [first, end) hold. */
typedef struct pp_weights {
  int64_t parameters, statistics; /* elements */
  float *params, *stats;
  float *grads, *momentum; /* (parameters); NULL where not trained */
} pp_weights;

/* Zeroed; the first holds gradients and momentum too where `trained`, the second what is asked for. */
PP_MUST_CHECK pp_status pp_weights_init(pp_weights *weights, const pp_model *model, int first, int end, bool trained);
PP_MUST_CHECK pp_status pp_weights_init_with(pp_weights *weights, const pp_model *model, int first, int end, bool grads,
                                             bool momentum);
void pp_weights_fini(pp_weights *weights);

/* The device's half: blocks [0, split); all of them, and the loss, in fl. */
typedef struct pp_device_part {
  const pp_job *job;
  int device, split;
  pp_net *net;    /* owned; a slot per micro-batch in flight */
  pp_state state; /* not owned */
  int in_flight;
  float *x;          /* (batch, C, H, W) of the mini-batch under way */
  int64_t iteration; /* of the mini-batch under way */
  float *logits;     /* (batch, classes), fl only */
  int32_t *labels;   /* (batch), fl only */
  pp_score score;    /* fl only */
  int64_t cpu_ns;    /* that the last operation took the thread, without reading data; 0 unless costs are measured */
  float *factors;    /* (batch) what clipping multiplied activations by; NULL unless they are protected */
} pp_device_part;

/* `in_flight`: micro-batches between forward and backward. */
PP_MUST_CHECK pp_status pp_device_part_init(pp_device_part *part, const pp_job *job, int device, int in_flight);
void pp_device_part_fini(pp_device_part *part);
/* Changes device, whose class must have the same split, micro-batches and batch size or smaller, and the tensors that
 * are worked on, which stay the caller's. */
void pp_device_part_assign(pp_device_part *part, int device, pp_state state);
/* op: PP_STAGE_FORWARD. Writes activation (samples, boundary elements) and labels (samples); both NULL in fl, which
 * keeps them. Errors: pp_batch_fill's. */
PP_MUST_CHECK pp_status pp_device_part_forward(pp_device_part *part, const pp_op *op, float *activation,
                                               int32_t *labels);
/* op: PP_STAGE_BACKWARD. gradient: (samples, boundary elements), overwritten; NULL in fl. */
void pp_device_part_backward(pp_device_part *part, const pp_schedule *schedule, const pp_op *op, float *gradient);
void pp_device_part_update(pp_device_part *part);

/* The server's half of one device's network: blocks [split, L) and the loss. */
typedef struct pp_replica_net {
  pp_net *net;    /* one micro-batch in flight: shared by replicas of the same split */
  float *logits;  /* (largest micro-batch, classes) */
  float *dlogits; /* likewise */
  int split;
} pp_replica_net;

PP_MUST_CHECK pp_status pp_replica_net_init(pp_replica_net *net, const pp_job *job, int split, int max_samples);
void pp_replica_net_fini(pp_replica_net *net);
/* Forward and loss of one micro-batch: activation (samples, boundary elements) must stay as it is until the backward
 * that follows, which writes the gradient (likewise; not the activation's own buffer) and adds to state->grads. */
void pp_replica_forward(pp_replica_net *net, const pp_job *job, int device, int64_t iteration, const pp_state *state,
                        const pp_schedule *schedule, const pp_op *op, const float *activation, const int32_t *labels,
                        pp_score *score);
void pp_replica_backward(pp_replica_net *net, const pp_state *state, float *gradient);
void pp_replica_update(pp_replica_net *net, const pp_job *job, const pp_state *state);

#endif
