#include "data/tar.h"

#include <string.h>

enum {
  BLOCK = 512,
  NAME = 0,
  NAME_BYTES = 100,
  SIZE = 124,
  SIZE_BYTES = 12,
  CHECKSUM = 148,
  CHECKSUM_BYTES = 8,
  TYPE = 156
};

/* Octal digits, after spaces, up to a space or zero byte; -1: something else. */
static int64_t octal(const unsigned char *field, int length) {
  int place = 0;
  while (place < length && field[place] == ' ')
    place++;
  int64_t value = 0;
  for (; place < length && field[place] >= '0' && field[place] <= '7'; place++)
    value = value * 8 + (field[place] - '0');
  return place == length || field[place] == ' ' || field[place] == '\0' ? value : -1;
}

/* The sum of the header's bytes, its own field counted as spaces. */
static int64_t checksum(const unsigned char *header) {
  int64_t sum = 0;
  for (int place = 0; place < BLOCK; place++)
    sum += place >= CHECKSUM && place < CHECKSUM + CHECKSUM_BYTES ? ' ' : header[place];
  return sum;
}

/* Reads the rest of the file, so that damage to compressed data is found. */
static pp_status drain(pp_input *input) {
  char buffer[4096];
  size_t got = sizeof buffer;
  while (got == sizeof buffer)
    PP_TRY(pp_input_read_some(input, buffer, sizeof buffer, &got));
  return NULL;
}

pp_status pp_tar_next(pp_tar *tar, pp_tar_entry *entry, bool *found) {
  pp_input *input = tar->input;
  static const unsigned char zeros[BLOCK];
  unsigned char header[BLOCK];
  PP_TRY(pp_input_skip(input, tar->next_header - input->bytes_read));
  PP_TRY(pp_input_read(input, header, sizeof header));
  if (memcmp(header, zeros, sizeof zeros) == 0) {
    *found = false;
    return drain(input);
  }
  int64_t size = octal(header + SIZE, SIZE_BYTES);
  if (checksum(header) != octal(header + CHECKSUM, CHECKSUM_BYTES) || size < 0)
    return pp_fail(PP_CODE_INPUT, "%s: not a tar archive, or damaged: no valid header at byte %lld", input->path,
                   (long long)tar->next_header);
  memcpy(entry->name, header + NAME, NAME_BYTES);
  entry->name[NAME_BYTES] = '\0';
  entry->size = size;
  entry->regular = header[TYPE] == '0' || header[TYPE] == '\0';
  tar->next_header = input->bytes_read + (size + BLOCK - 1) / BLOCK * BLOCK;
  *found = true;
  return NULL;
}
