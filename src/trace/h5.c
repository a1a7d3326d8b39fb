#include "trace/h5.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

void pp_h5_begin(void) { H5dont_atexit(); }

void pp_h5_close(hid_t *id) {
  if (*id < 0)
    return;
  H5E_BEGIN_TRY { H5Idec_ref(*id); }
  H5E_END_TRY
  *id = H5I_INVALID_HID;
}

typedef struct reason {
  char text[400];
  char unwritten[400]; /* the file that a write failed on, "" where none has */
  bool from_system;
} reason;

/* The text in quotes after `marker`, cut to `room`; whether it is there. */
static bool take_quoted(const char *text, const char *marker, size_t room, char *out) {
  const char *start = strstr(text, marker);
  if (start == NULL)
    return false;
  start += strlen(marker);
  snprintf(out, room, "%.*s", (int)strcspn(start, "'"), start);
  return true;
}

/* Called from the innermost entry outwards. */
static herr_t take_reason(unsigned n, const H5E_error2_t *entry, void *context) {
  reason *why = context;
  const char *text = entry->desc == NULL ? "" : entry->desc;
  if (why->from_system)
    return 0;
  if (take_quoted(text, "error message = '", sizeof why->text, why->text)) {
    why->from_system = true;
    if (strncmp(text, "file write failed", strlen("file write failed")) == 0)
      take_quoted(text, "filename = '", sizeof why->unwritten, why->unwritten);
  } else if (n == 0) {
    snprintf(why->text, sizeof why->text, "%s", text);
  }
  return 0;
}

pp_status pp_h5_fail(pp_code code, const char *doing, const char *path) {
  reason why = {0};
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, &why);
  H5Eclear2(H5E_DEFAULT);
  for (char *c = why.text; *c != '\0'; c++)
    if (*c == '\n')
      *c = ' ';
  if (why.unwritten[0] != '\0')
    return pp_fail(PP_CODE_RUN, "cannot write %s: %s", why.unwritten, why.text);
  return pp_fail(code, "cannot %s %s: %s", doing, path, why.text[0] == '\0' ? "HDF5 gave no reason" : why.text);
}

pp_status pp_h5_file_close(hid_t *file, const char *path) {
  if (*file < 0)
    return NULL;
  hid_t id = *file;
  *file = H5I_INVALID_HID;
  pp_status status = NULL;
  H5E_BEGIN_TRY {
    if (H5Fclose(id) < 0)
      status = pp_h5_fail(PP_CODE_RUN, "finish", path);
  }
  H5E_END_TRY
  return status;
}

static pp_status create_text_type(const char *path, size_t length, hid_t *out) {
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_RUN, "write", path, type = H5Tcopy(H5T_C_S1));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Tset_size(type, length));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Tset_strpad(type, H5T_STR_NULLPAD));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Tset_cset(type, H5T_CSET_UTF8));
  *out = type;
  type = H5I_INVALID_HID;
  return NULL;
}

/* length < 0: a scalar; otherwise an array of that length. */
static pp_status write_attribute(hid_t location, const char *path, const char *name, hid_t file_type, hid_t memory_type,
                                 int length, const void *value) {
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  hsize_t size = (hsize_t)(length < 0 ? 0 : length);
  PP_TRY_H5(PP_CODE_RUN, "write", path, space = length < 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &size, NULL));
  PP_TRY_H5(PP_CODE_RUN, "write", path,
            attribute = H5Acreate2(location, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Awrite(attribute, memory_type, value));
  return NULL;
}

pp_status pp_h5_attribute_text(hid_t location, const char *path, const char *name, const char *text, size_t room) {
  size_t length = strlen(text);
  size_t size = length < room ? room : length;
  if (size == 0)
    size = 1; /* HDF5 has no empty strings */
  char *padded = NULL;
  PP_TRY(pp_alloc(size, 1, name, &padded));
  memcpy(padded, text, length);
  PP_H5_AUTO type = H5I_INVALID_HID;
  pp_status status = create_text_type(path, size, &type);
  if (status == NULL)
    status = write_attribute(location, path, name, type, type, -1, padded);
  free(padded);
  return status;
}

pp_status pp_h5_attribute_integer(hid_t location, const char *path, const char *name, int64_t value) {
  return write_attribute(location, path, name, H5T_STD_I64LE, H5T_NATIVE_INT64, -1, &value);
}

pp_status pp_h5_attribute_real(hid_t location, const char *path, const char *name, double value) {
  return write_attribute(location, path, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, -1, &value);
}

pp_status pp_h5_attribute_bool(hid_t location, const char *path, const char *name, bool value) {
  PP_H5_AUTO type = H5I_INVALID_HID;
  const int8_t no = 0, yes = 1;
  PP_TRY_H5(PP_CODE_RUN, "write", path, type = H5Tenum_create(H5T_STD_I8LE));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Tenum_insert(type, "FALSE", &no));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Tenum_insert(type, "TRUE", &yes));
  return write_attribute(location, path, name, type, type, -1, value ? &yes : &no);
}

pp_status pp_h5_attribute_texts(hid_t location, const char *path, const char *name, int count,
                                const char *const *texts) {
  size_t size = 1;
  for (int text = 0; text < count; text++)
    size = strlen(texts[text]) > size ? strlen(texts[text]) : size;
  char *padded = NULL;
  PP_TRY(pp_alloc((size_t)count, size, name, &padded));
  for (int text = 0; text < count; text++)
    memcpy(padded + (size_t)text * size, texts[text], strlen(texts[text]));
  PP_H5_AUTO type = H5I_INVALID_HID;
  pp_status status = create_text_type(path, size, &type);
  if (status == NULL)
    status = write_attribute(location, path, name, type, type, count, padded);
  free(padded);
  return status;
}

pp_status pp_h5_attribute_set_text(hid_t location, const char *path, const char *name, const char *text) {
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_RUN, "write", path, attribute = H5Aopen(location, name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_RUN, "write", path, type = H5Aget_type(attribute));
  size_t size = H5Tget_size(type);
  size_t length = strlen(text);
  char *padded = NULL;
  PP_TRY(pp_alloc(size, 1, name, &padded));
  memcpy(padded, text, length < size ? length : size);
  pp_status status = NULL;
  H5E_BEGIN_TRY {
    if (H5Awrite(attribute, type, padded) < 0)
      status = pp_h5_fail(PP_CODE_RUN, "write", path);
  }
  H5E_END_TRY
  free(padded);
  return status;
}

static pp_status set_number(hid_t location, const char *path, const char *name, hid_t memory_type, const void *value) {
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_RUN, "write", path, attribute = H5Aopen(location, name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Awrite(attribute, memory_type, value));
  return NULL;
}

pp_status pp_h5_attribute_set_integer(hid_t location, const char *path, const char *name, int64_t value) {
  return set_number(location, path, name, H5T_NATIVE_INT64, &value);
}

pp_status pp_h5_attribute_set_real(hid_t location, const char *path, const char *name, double value) {
  return set_number(location, path, name, H5T_NATIVE_DOUBLE, &value);
}

/* Opens the attribute and checks that it is a scalar of the class wanted. */
static pp_status open_scalar(hid_t location, const char *path, const char *name, H5T_class_t wanted, hid_t *out_type,
                             hid_t *out) {
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_H5_AUTO space = H5I_INVALID_HID;
  htri_t there = 0;
  PP_TRY_H5(PP_CODE_INPUT, "read", path, there = H5Aexists(location, name));
  if (there == 0)
    return pp_fail(PP_CODE_INPUT, "%s is not a results file of pipar: attribute `%s` is missing", path, name);
  PP_TRY_H5(PP_CODE_INPUT, "read", path, attribute = H5Aopen(location, name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, type = H5Aget_type(attribute));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, space = H5Aget_space(attribute));
  H5T_class_t class = H5Tget_class(type);
  if (class != wanted || H5Sget_simple_extent_npoints(space) != 1 || H5Tis_variable_str(type) > 0)
    return pp_fail(PP_CODE_INPUT, "%s is not a results file of pipar: attribute `%s` has another type", path, name);
  *out_type = type;
  *out = attribute;
  type = attribute = H5I_INVALID_HID;
  return NULL;
}

pp_status pp_h5_attribute_get_text(hid_t location, const char *path, const char *name, char **out) {
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_TRY(open_scalar(location, path, name, H5T_STRING, &type, &attribute));
  char *text = NULL;
  PP_TRY(pp_alloc(H5Tget_size(type) + 1, 1, name, &text));
  pp_status status = NULL;
  H5E_BEGIN_TRY {
    if (H5Aread(attribute, type, text) < 0)
      status = pp_h5_fail(PP_CODE_INPUT, "read", path);
  }
  H5E_END_TRY
  if (status != NULL)
    free(text);
  else
    *out = text;
  return status;
}

pp_status pp_h5_attribute_get_integer(hid_t location, const char *path, const char *name, int64_t *out) {
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_TRY(open_scalar(location, path, name, H5T_INTEGER, &type, &attribute));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Aread(attribute, H5T_NATIVE_INT64, out));
  return NULL;
}

pp_status pp_h5_attribute_get_real(hid_t location, const char *path, const char *name, double *out) {
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_TRY(open_scalar(location, path, name, H5T_FLOAT, &type, &attribute));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Aread(attribute, H5T_NATIVE_DOUBLE, out));
  return NULL;
}

pp_status pp_h5_attribute_get_bool(hid_t location, const char *path, const char *name, bool *out) {
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  int8_t value = 0;
  PP_TRY(open_scalar(location, path, name, H5T_ENUM, &type, &attribute));
  if (H5Tget_size(type) != sizeof value)
    return pp_fail(PP_CODE_INPUT, "%s is not a results file of pipar: attribute `%s` has another type", path, name);
  PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Aread(attribute, type, &value));
  *out = value != 0;
  return NULL;
}

/* What the operating system says of the file, and whether it begins as HDF5 does. *swmr: it is marked as written by a
 * SWMR writer, which may have been killed. */
static pp_status look_at_file(const char *path, bool *swmr) {
  enum { flags_byte = 11, swmr_flag = 4, head_bytes = 12 }; /* of the superblock, versions 2 and 3 */
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return pp_fail(PP_CODE_INPUT, "cannot open %s: %s", path, strerror(errno));
  struct stat about;
  pp_status status = NULL;
  static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  unsigned char head[head_bytes] = {0};
  if (fstat(fd, &about) != 0)
    status = pp_fail(PP_CODE_INPUT, "cannot open %s: %s", path, strerror(errno));
  else if (S_ISDIR(about.st_mode))
    status = pp_fail(PP_CODE_INPUT, "cannot open %s: it is a directory", path);
  else if (read(fd, head, sizeof head) != (ssize_t)sizeof head || memcmp(head, signature, sizeof signature) != 0)
    status = pp_fail(PP_CODE_INPUT, "%s is not an HDF5 file", path);
  close(fd);
  *swmr = head[sizeof signature] >= 2 && (head[flags_byte] & swmr_flag) != 0;
  return status;
}

/* Opens with `flags`; a negative result leaves HDF5's innermost reason in `why`. */
static hid_t try_open(const char *path, unsigned flags, reason *why) {
  /* HDF5 reads metadata that a writer is just changing again, with pauses that double from 1 ns: this many last about
   * a second. Its own default would never end on a damaged file. */
  enum { read_attempts = 30 };
  hid_t file = H5I_INVALID_HID;
  H5E_BEGIN_TRY {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    H5Pset_metadata_read_attempts(access, read_attempts);
#if H5_VERSION_GE(1, 10, 7)
    H5Pset_file_locking(access, true, true);
#endif
    file = H5Fopen(path, flags, access);
    if (file < 0)
      H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, why);
    H5Pclose(access);
  }
  H5E_END_TRY
  return file;
}

pp_status pp_h5_transfer(size_t row_bytes, int64_t rows, pp_code code, const char *doing, const char *path,
                         hid_t *out) {
  const size_t most = 1 << 20;
  size_t bytes = (size_t)rows < most / row_bytes ? (size_t)rows * row_bytes : most;
  if (bytes < row_bytes)
    bytes = row_bytes;
  PP_TRY_H5(code, doing, path, *out = H5Pcreate(H5P_DATASET_XFER));
  PP_TRY_H5(code, doing, path, H5Pset_buffer(*out, bytes, NULL, NULL));
  return NULL;
}

pp_status pp_h5_open_reading(const char *path, hid_t *out) {
  pp_h5_begin();
  /* A writer holds the file to itself for moments only: while it makes the tables and while it saves a network. */
  enum { attempts = 100, pause_ns = 20000000 };
  reason why = {0};
  for (int attempt = 0; attempt < attempts; attempt++) {
    bool swmr = false;
    PP_TRY(look_at_file(path, &swmr));
    why = (reason){0};
    hid_t file = try_open(path, swmr ? H5F_ACC_RDONLY | H5F_ACC_SWMR_READ : H5F_ACC_RDONLY, &why);
    if (file >= 0) {
      *out = file;
      return NULL;
    }
    if (strcmp(why.text, strerror(EAGAIN)) != 0)
      break;
    nanosleep(&(struct timespec){0, pause_ns}, NULL);
  }
  if (strncmp(why.text, "truncated file", strlen("truncated file")) == 0)
    return pp_fail(PP_CODE_INPUT, "%s is cut short: the end of the file is missing", path);
  if (strstr(why.text, "already open for write") != NULL)
    return pp_fail(
        PP_CODE_INPUT,
        "cannot open %s: its writer was killed while it saved a network (`h5clear -s --increment` may mend it)", path);
  return pp_fail(PP_CODE_INPUT, "cannot open %s: %s", path, why.text[0] == '\0' ? "it is damaged" : why.text);
}
