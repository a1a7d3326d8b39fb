#include "runtime/message.h"

pp_status pp_message_check(const pp_message *message, pp_message_kind kind, int device, int64_t iteration,
                           const pp_op *op) {
  if (message->kind == (uint32_t)kind && message->device == device && message->iteration == iteration &&
      message->micro_batch == op->micro_batch && message->samples == op->samples)
    return NULL;
  return pp_fail(PP_CODE_RUN,
                 "ranks disagree: wanted message %x of device %d, iteration %lld, micro-batch %d, %d samples; got %x, "
                 "%d, %lld, %d, %d (do all ranks read the same experiment file?)",
                 (unsigned)kind, device, (long long)iteration, op->micro_batch, op->samples, message->kind,
                 message->device, (long long)message->iteration, message->micro_batch, message->samples);
}
