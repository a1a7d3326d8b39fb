/* What ranks send each other: one contiguous buffer, a header of one line, then the payload. */
#ifndef PP_RUNTIME_MESSAGE_H
#define PP_RUNTIME_MESSAGE_H

#include "runtime/job.h"

typedef enum pp_message_kind {
  PP_MESSAGE_ACTIVATION = 0x50a1,
  PP_MESSAGE_GRADIENT = 0x50a2,
  PP_MESSAGE_ROUND = 0x50a3
} pp_message_kind;

typedef struct pp_message {
  _Alignas(PP_COMM_LINE) uint32_t kind;
  int32_t device;
  int64_t iteration;
  int32_t micro_batch;
  int32_t samples;
  /* PP_MESSAGE_ROUND: what a device's rank saw of the round */
  pp_score score;
  int64_t record_count; /* stage records that follow, under the wall clock */
} pp_message;

_Static_assert(sizeof(pp_message) == PP_COMM_LINE, "a header is one line");

static inline size_t pp_message_bytes(int samples, int64_t elements, bool labels) {
  return sizeof(pp_message) + (size_t)samples * ((size_t)elements * sizeof(float) + (labels ? sizeof(int32_t) : 0));
}
/* activation: (samples, elements), then labels (samples) int32; gradient: (samples, elements) */
static inline float *pp_message_payload(pp_message *message) { return (float *)(void *)(message + 1); }
static inline int32_t *pp_message_labels(pp_message *message, int64_t elements) {
  return (int32_t *)(void *)(pp_message_payload(message) + (int64_t)message->samples * elements);
}

enum { PP_RECEIVE_WINDOW = 8 }; /* the most receives that the server posts ahead for a device */

/* Tags: what a device and its replica exchange within a round, and models between rounds. */
static inline int pp_tag_pipeline(int device) { return 2 * device; }
static inline int pp_tag_model(int device) { return 2 * device + 1; }

/* An error unless the message is the one that the receiver's own list has next. */
PP_MUST_CHECK pp_status pp_message_check(const pp_message *message, pp_message_kind kind, int device, int64_t iteration,
                                         const pp_op *op);

#endif
