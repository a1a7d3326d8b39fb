#include "data/jpeg.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "base/mem.h"

enum {
  MOST_FILE_BYTES = 1 << 28,
  MOST_PIXELS = 1 << 25, /* after halving: more is no photograph */
  CHANNELS = 3,
  USUAL_TAPS = 5, /* of a side that shrinks by up to 2 */
};

/* A buffer that keeps its size from image to image. */
typedef struct pp_buffer {
  void *data;
  size_t bytes;
} pp_buffer;

struct pp_jpeg {
  tjhandle handle;
  pp_buffer file;    /* as read */
  pp_buffer decoded; /* (height, width, 3 or 4) */
  pp_buffer rows;    /* (rows of the crop, 224, 3) floats: resized along x */
  pp_buffer weights[2];
};

static pp_status buffer_reserve(pp_buffer *buffer, size_t bytes, const char *what) {
  if (bytes <= buffer->bytes)
    return NULL;
  free(buffer->data);
  *buffer = (pp_buffer){NULL, 0};
  PP_TRY(pp_alloc(bytes, 1, what, &buffer->data));
  buffer->bytes = bytes;
  return NULL;
}

pp_status pp_jpeg_create(pp_jpeg **out) {
  pp_jpeg *jpeg = NULL;
  PP_TRY(pp_alloc(1, sizeof *jpeg, "the JPEG decoder", &jpeg));
  jpeg->handle = tjInitDecompress();
  if (jpeg->handle == NULL) {
    pp_jpeg_destroy(jpeg);
    return pp_fail(PP_CODE_RUN, "the JPEG decoder cannot be started: %s", tjGetErrorStr2(NULL));
  }
  const size_t weights = (size_t)PP_JPEG_SIDE * USUAL_TAPS * sizeof(float);
  pp_status status = NULL;
  PP_TRY_GOTO(status, buffer_reserve(&jpeg->file, PP_JPEG_FILE, "an image file"), fail);
  PP_TRY_GOTO(status, buffer_reserve(&jpeg->decoded, PP_JPEG_DECODED, "an image"), fail);
  PP_TRY_GOTO(status, buffer_reserve(&jpeg->rows, PP_JPEG_ROWS, "a resized image"), fail);
  PP_TRY_GOTO(status, buffer_reserve(&jpeg->weights[0], weights, "weights"), fail);
  PP_TRY_GOTO(status, buffer_reserve(&jpeg->weights[1], weights, "weights"), fail);
  *out = jpeg;
  return NULL;
fail:
  pp_jpeg_destroy(jpeg);
  return status;
}

void pp_jpeg_destroy(pp_jpeg *jpeg) {
  if (jpeg == NULL)
    return;
  if (jpeg->handle != NULL)
    (void)tjDestroy(jpeg->handle);
  free(jpeg->file.data);
  free(jpeg->decoded.data);
  free(jpeg->rows.data);
  free(jpeg->weights[0].data);
  free(jpeg->weights[1].data);
  free(jpeg);
}

static pp_status read_all(pp_jpeg *jpeg, const char *path, int file, size_t *bytes) {
  struct stat info;
  if (fstat(file, &info) != 0)
    return pp_fail(PP_CODE_INPUT, "%s: %s", path, strerror(errno));
  if (!S_ISREG(info.st_mode) || info.st_size > MOST_FILE_BYTES)
    return pp_fail(PP_CODE_INPUT, "%s: not a regular file of at most %d bytes", path, MOST_FILE_BYTES);
  const size_t size = (size_t)info.st_size;
  PP_TRY(buffer_reserve(&jpeg->file, size, "an image file"));
  size_t have = 0;
  while (have < size) {
    ssize_t got = read(file, (char *)jpeg->file.data + have, size - have);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return pp_fail(PP_CODE_INPUT, "%s: %s", path, strerror(errno));
    if (got == 0)
      break;
    have += (size_t)got;
  }
  *bytes = have;
  return NULL;
}

static pp_status read_file(pp_jpeg *jpeg, const char *path, size_t *bytes) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return pp_fail(PP_CODE_INPUT, "%s: %s", path, strerror(errno));
  pp_status status = read_all(jpeg, path, file, bytes);
  (void)close(file);
  return status;
}

/* Adobe's CMYK JPEGs hold the inks inverted, so that light is the product of ink and black. */
static void cmyk_to_rgb(uint8_t *pixels, size_t count) {
  for (size_t pixel = 0; pixel < count; pixel++) {
    uint8_t inks[4];
    memcpy(inks, pixels + 4 * pixel, sizeof inks);
    for (int channel = 0; channel < CHANNELS; channel++)
      pixels[CHANNELS * pixel + (size_t)channel] = (uint8_t)((inks[channel] * inks[3] + 127) / 255);
  }
}

/* Decodes to (height, width, 3), halved by the decoder (which is fast) as long as the shorter side stays above 256. */
static pp_status decode(pp_jpeg *jpeg, const char *path, size_t bytes, int *width, int *height) {
  int subsampling = 0, colorspace = 0;
  if (tjDecompressHeader3(jpeg->handle, jpeg->file.data, (unsigned long)bytes, width, height, &subsampling,
                          &colorspace) != 0)
    return pp_fail(PP_CODE_INPUT, "%s: not a JPEG image, or damaged: %s", path, tjGetErrorStr2(jpeg->handle));
  if (*width < 1 || *height < 1) /* as of a file that ends before its image */
    return pp_fail(PP_CODE_INPUT, "%s: cut off or damaged: it holds no image", path);
  tjscalingfactor factor = {1, 1};
  const int shorter = *width < *height ? *width : *height;
  while (factor.denom < 8 && shorter / (2 * factor.denom) >= PP_JPEG_SHORTER)
    factor.denom *= 2;
  *width = TJSCALED(*width, factor);
  *height = TJSCALED(*height, factor);
  const size_t count = (size_t)*width * (size_t)*height;
  if (count > MOST_PIXELS)
    return pp_fail(PP_CODE_INPUT, "%s: %d x %d pixels (1/%d of its size) are too large, or it is damaged", path, *width,
                   *height, factor.denom);
  const bool inks = colorspace == TJCS_CMYK || colorspace == TJCS_YCCK;
  PP_TRY(buffer_reserve(&jpeg->decoded, count * (inks ? 4 : CHANNELS), "an image"));
  if (tjDecompress2(jpeg->handle, jpeg->file.data, (unsigned long)bytes, jpeg->decoded.data, *width, 0, *height,
                    inks ? TJPF_CMYK : TJPF_RGB, TJFLAG_LIMITSCANS) != 0) {
    /* Photographs from everywhere have faults around the pixels that do no harm; missing data does. */
    const char *reason = tjGetErrorStr2(jpeg->handle);
    if (strstr(reason, "remature end") != NULL)
      return pp_fail(PP_CODE_INPUT, "%s: cut off or damaged: %s", path, reason);
    if (tjGetErrorCode(jpeg->handle) != TJERR_WARNING)
      return pp_fail(PP_CODE_INPUT, "%s: damaged: %s", path, reason);
  }
  if (inks)
    cmyk_to_rgb(jpeg->decoded.data, count);
  return NULL;
}

/* How 224 places of a resized line are made from a line of `length` pixels: each from `taps` of them at most. */
typedef struct pp_resampling {
  int taps;
  int first[PP_JPEG_SIDE]; /* pixel */
  int count[PP_JPEG_SIDE]; /* of pixels, at most taps */
  float *weights;          /* (224, taps) */
} pp_resampling;

/* Triangle filter, widened when shrinking, as PIL's and torchvision's bilinear resize with antialiasing: pixel i of the
 * source counts for the place p by max(0, 1 - |i + 1/2 - c| / w), c = (p + 1/2) s, w = max(s, 1), s = length/resized.
 */
static pp_status resampling_init(pp_resampling *of, pp_buffer *buffer, int length, int resized) {
  const double scale = (double)length / resized, reach = scale > 1 ? scale : 1;
  const int begin = (resized - PP_JPEG_SIDE) / 2;
  of->taps = 2 * (int)ceil(reach) + 1;
  PP_TRY(buffer_reserve(buffer, (size_t)PP_JPEG_SIDE * (size_t)of->taps * sizeof(float), "weights"));
  of->weights = buffer->data;
  for (int place = 0; place < PP_JPEG_SIDE; place++) {
    const double centre = (begin + place + 0.5) * scale;
    const int low = (int)floor(centre - reach), high = (int)ceil(centre + reach);
    const int first = low > 0 ? low : 0, end = high < length ? high : length;
    float *weights = of->weights + (ptrdiff_t)place * of->taps;
    double sum = 0;
    int count = 0;
    of->first[place] = -1;
    for (int pixel = first; pixel < end; pixel++) {
      double weight = 1 - fabs(pixel + 0.5 - centre) / reach;
      if (weight <= 0)
        continue;
      if (of->first[place] < 0)
        of->first[place] = pixel;
      PP_ASSERT(count < of->taps);
      weights[count++] = (float)weight;
      sum += weight;
    }
    PP_ASSERT(count > 0);
    of->count[place] = count;
    for (int tap = 0; tap < count; tap++)
      weights[tap] = (float)(weights[tap] / sum);
  }
  return NULL;
}

static uint8_t rounded(float value) { return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value + 0.5F); }

/* from: (height, width, 3); pixels: (3, 224, 224) */
static pp_status resize(pp_jpeg *jpeg, int width, int height, uint8_t *pixels) {
  const int shorter = width < height ? width : height;
  const int resized_width = (int)((int64_t)PP_JPEG_SHORTER * width / shorter);
  const int resized_height = (int)((int64_t)PP_JPEG_SHORTER * height / shorter);
  pp_resampling across, down;
  PP_TRY(resampling_init(&across, &jpeg->weights[0], width, resized_width));
  PP_TRY(resampling_init(&down, &jpeg->weights[1], height, resized_height));
  const int top = down.first[0], last = PP_JPEG_SIDE - 1;
  const int row_count = down.first[last] + down.count[last] - top;
  enum { LINE = PP_JPEG_SIDE * CHANNELS };
  PP_TRY(buffer_reserve(&jpeg->rows, (size_t)row_count * LINE * sizeof(float), "a resized image"));
  float *rows = jpeg->rows.data;
  for (int row = 0; row < row_count; row++) {
    const uint8_t *from = (const uint8_t *)jpeg->decoded.data + (ptrdiff_t)(top + row) * width * CHANNELS;
    float *to = rows + (ptrdiff_t)row * LINE;
    for (int place = 0; place < PP_JPEG_SIDE; place++) {
      const float *weights = across.weights + (ptrdiff_t)place * across.taps;
      const uint8_t *pixel = from + (ptrdiff_t)across.first[place] * CHANNELS;
      float sum[CHANNELS] = {0};
      for (int tap = 0; tap < across.count[place]; tap++, pixel += CHANNELS)
        for (int channel = 0; channel < CHANNELS; channel++)
          sum[channel] += weights[tap] * (float)pixel[channel];
      memcpy(to + (ptrdiff_t)place * CHANNELS, sum, sizeof sum);
    }
  }
  for (int place = 0; place < PP_JPEG_SIDE; place++) {
    const float *weights = down.weights + (ptrdiff_t)place * down.taps;
    float line[LINE] = {0};
    for (int tap = 0; tap < down.count[place]; tap++) {
      const float *from = rows + (ptrdiff_t)(down.first[place] - top + tap) * LINE;
      for (int value = 0; value < LINE; value++)
        line[value] += weights[tap] * from[value];
    }
    for (int channel = 0; channel < CHANNELS; channel++)
      for (int x = 0; x < PP_JPEG_SIDE; x++)
        pixels[(channel * PP_JPEG_SIDE + place) * PP_JPEG_SIDE + x] = rounded(line[x * CHANNELS + channel]);
  }
  return NULL;
}

pp_status pp_jpeg_read(pp_jpeg *jpeg, const char *path, uint8_t *pixels) {
  size_t bytes = 0;
  int width = 0, height = 0;
  if (jpeg->handle == NULL)
    return pp_fail(PP_CODE_RUN, "the JPEG decoder cannot be started: %s", tjGetErrorStr2(NULL));
  PP_TRY(read_file(jpeg, path, &bytes));
  pp_status status = decode(jpeg, path, bytes, &width, &height);
  if (status != NULL) {
    /* The library's decoder does not always recover from what it met: the next image gets a fresh one. */
    (void)tjDestroy(jpeg->handle);
    jpeg->handle = tjInitDecompress();
    return status;
  }
  return resize(jpeg, width, height, pixels);
}
