/* FNV-1a, 64 bits: tells data apart, against mistakes, not against malice. */
#ifndef PP_BASE_DIGEST_H
#define PP_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define PP_DIGEST_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t pp_digest_add(uint64_t digest, const void *data, size_t bytes) {
  for (const unsigned char *at = data; bytes > 0; bytes--)
    digest = (digest ^ *at++) * UINT64_C(0x100000001b3);
  return digest;
}

#endif
