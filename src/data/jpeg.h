/* Private to data/: JPEG files as training images: shorter side resized to 256, the 224x224 in the middle. */
#ifndef PP_DATA_JPEG_H
#define PP_DATA_JPEG_H

#include <stdint.h>

#include "pipar/status.h"

enum {
  PP_JPEG_SIDE = 224,
  PP_JPEG_SHORTER = 256,
  PP_JPEG_BYTES = 3 * PP_JPEG_SIDE * PP_JPEG_SIDE,
  /* What a decoder sets aside: a file of 512 KiB, its image once halved (shorter side below 512, as wide as 3:2), and
   * that resized along one axis. Only larger ones make it grow. */
  PP_JPEG_FILE = 512 * 1024,
  PP_JPEG_DECODED = 3 * 512 * 768,
  PP_JPEG_ROWS = 512 * PP_JPEG_SIDE * 3 * 4,
  PP_JPEG_WORKING_BYTES = PP_JPEG_FILE + PP_JPEG_DECODED + PP_JPEG_ROWS,
};

/* A decoder with its buffers. Used by one thread at a time. */
typedef struct pp_jpeg pp_jpeg;

PP_MUST_CHECK pp_status pp_jpeg_create(pp_jpeg **out);
void pp_jpeg_destroy(pp_jpeg *jpeg);
/* pixels: (3, 224, 224). Grey images become RGB, CMYK ones are taken as Adobe's inverted. Errors (PP_CODE_INPUT):
 * missing, no JPEG, cut off, damaged so that pixels are lost, too large. */
PP_MUST_CHECK pp_status pp_jpeg_read(pp_jpeg *jpeg, const char *path, uint8_t *pixels);

#endif
