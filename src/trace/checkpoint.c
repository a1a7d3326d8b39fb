#include "trace/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "trace/h5.h"
#include "trace/identity.h"
#include "trace/sync.h"
#include "trace/table.h"

enum { FORMAT_VERSION = 1, HEAD_LENGTH = sizeof(pp_checkpoint_head) / sizeof(int64_t) };
enum { CHUNK_VALUES = 1 << 18 }; /* a chunk fits into HDF5's cache, so it is written once */
static const char format[] = "pipar-checkpoint";

/* Everything in the file that tells whether it fits: one attribute. */
typedef struct preamble {
  char format[32];
  int64_t version;
  pp_identity identity;
  pp_checkpoint_head head;
} preamble;

struct pp_checkpoint_writer {
  char *path, *part;
  preamble preamble;
  hid_t file, table;
  int64_t columns;
  hid_t row_file_type, row_memory_type;
};

struct pp_checkpoint {
  char *path;
  hid_t file;
  preamble preamble;
  int64_t preamble_bytes; /* in the file; 0: there is none */
};

static pp_status copy_name(const char *path, const char *suffix, char **out) {
  if (asprintf(out, "%s%s", path, suffix) >= 0)
    return NULL;
  *out = NULL;
  return pp_fail_memory("a file name", strlen(path));
}

pp_status pp_checkpoint_writer_create(const char *path, const pp_identity *identity, pp_checkpoint_writer **out) {
  pp_h5_begin();
  pp_checkpoint_writer *writer = NULL;
  PP_TRY(pp_alloc(1, sizeof *writer, "the checkpoint", &writer));
  writer->file = writer->table = writer->row_file_type = writer->row_memory_type = H5I_INVALID_HID;
  memcpy(writer->preamble.format, format, sizeof format);
  writer->preamble.version = FORMAT_VERSION;
  writer->preamble.identity = *identity;
  pp_status status = copy_name(path, "", &writer->path);
  if (status == NULL)
    status = copy_name(path, ".part", &writer->part);
  if (status == NULL)
    status = pp_table_file_type(pp_table_of(PP_TABLE_ROUNDS), path, &writer->row_file_type);
  if (status == NULL)
    status = pp_table_memory_type(pp_table_of(PP_TABLE_ROUNDS), path, &writer->row_memory_type);
  if (status == NULL)
    *out = writer;
  else
    pp_checkpoint_writer_destroy(writer);
  return status;
}

static void abandon(pp_checkpoint_writer *writer) {
  pp_h5_close(&writer->table);
  if (writer->file < 0)
    return;
  pp_error_free(pp_h5_file_close(&writer->file, writer->part));
  unlink(writer->part);
}

void pp_checkpoint_writer_destroy(pp_checkpoint_writer *writer) {
  if (writer == NULL)
    return;
  abandon(writer);
  pp_h5_close(&writer->row_file_type);
  pp_h5_close(&writer->row_memory_type);
  free(writer->path);
  free(writer->part);
  free(writer);
}

static pp_status create_file(pp_checkpoint_writer *writer) {
  PP_H5_AUTO access = H5I_INVALID_HID;
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  const hsize_t bytes = sizeof writer->preamble;
  const char *path = writer->part;
  PP_TRY_H5(PP_CODE_RUN, "create", path, access = H5Pcreate(H5P_FILE_ACCESS));
  PP_TRY_H5(PP_CODE_RUN, "create", path, H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110));
  PP_TRY_H5(PP_CODE_RUN, "create", path, H5Pset_fclose_degree(access, H5F_CLOSE_STRONG));
  PP_TRY_H5(PP_CODE_RUN, "create", path, writer->file = H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, access));
  PP_TRY_H5(PP_CODE_RUN, "write", path, space = H5Screate_simple(1, &bytes, NULL));
  PP_TRY_H5(PP_CODE_RUN, "write", path,
            attribute = H5Acreate2(writer->file, "preamble", H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Awrite(attribute, H5T_NATIVE_UINT8, &writer->preamble));
  return NULL;
}

pp_status pp_checkpoint_begin(pp_checkpoint_writer *writer, const pp_checkpoint_head *head) {
  writer->preamble.head = *head;
  unlink(writer->part); /* what a killed run left; nothing is written through a link */
  return create_file(writer);
}

/* Tables of chunks with checksums. */
static pp_status create_table(pp_checkpoint_writer *writer, const char *name, hid_t type, int rank,
                              const hsize_t *shape) {
  const char *path = writer->part;
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_H5_AUTO properties = H5I_INVALID_HID;
  hsize_t chunk[2] = {1, 1};
  chunk[rank - 1] = shape[rank - 1] < CHUNK_VALUES ? shape[rank - 1] : CHUNK_VALUES;
  pp_h5_close(&writer->table);
  PP_TRY_H5(PP_CODE_RUN, "write", path, space = H5Screate_simple(rank, shape, NULL));
  PP_TRY_H5(PP_CODE_RUN, "write", path, properties = H5Pcreate(H5P_DATASET_CREATE));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Pset_chunk(properties, rank, chunk));
  PP_TRY_H5(PP_CODE_RUN, "write", path, H5Pset_fletcher32(properties));
  PP_TRY_H5(PP_CODE_RUN, "write", path,
            writer->table = H5Dcreate2(writer->file, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT));
  return NULL;
}

pp_status pp_checkpoint_put_rounds(pp_checkpoint_writer *writer, const pp_round_row *rows) {
  const hsize_t count = (hsize_t)writer->preamble.head.rounds;
  PP_TRY(create_table(writer, "rounds", writer->row_file_type, 1, &count));
  PP_TRY_H5(PP_CODE_RUN, "write", writer->part,
            H5Dwrite(writer->table, writer->row_memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows));
  return NULL;
}

pp_status pp_checkpoint_add_table(pp_checkpoint_writer *writer, const char *name, int64_t rows, int64_t columns) {
  writer->columns = columns;
  if (rows == 0 || columns == 0)
    return NULL;
  return create_table(writer, name, H5T_IEEE_F32LE, 2, (const hsize_t[]){(hsize_t)rows, (hsize_t)columns});
}

static pp_status select_values(const char *path, hid_t table, int64_t row, int64_t first, int64_t count,
                               hid_t *out_space, hid_t *out_memory) {
  const hsize_t start[] = {(hsize_t)row, (hsize_t)first}, size[] = {1, (hsize_t)count};
  PP_TRY_H5(PP_CODE_RUN, "select in", path, *out_space = H5Dget_space(table));
  PP_TRY_H5(PP_CODE_RUN, "select in", path, H5Sselect_hyperslab(*out_space, H5S_SELECT_SET, start, NULL, size, NULL));
  PP_TRY_H5(PP_CODE_RUN, "select in", path, *out_memory = H5Screate_simple(1, &size[1], NULL));
  return NULL;
}

pp_status pp_checkpoint_put(pp_checkpoint_writer *writer, int64_t row, int64_t first, int64_t count,
                            const float *values) {
  if (count == 0)
    return NULL;
  PP_ASSERT(first + count <= writer->columns);
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_H5_AUTO memory = H5I_INVALID_HID;
  PP_TRY(select_values(writer->part, writer->table, row, first, count, &space, &memory));
  PP_TRY_H5(PP_CODE_RUN, "write", writer->part,
            H5Dwrite(writer->table, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, values));
  return NULL;
}

static pp_status sync_named(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool failed = fd < 0 || (fsync(fd) != 0 && errno != EINVAL && errno != EROFS);
  pp_status status = failed ? pp_fail(PP_CODE_RUN, "cannot write %s: %s", path, strerror(errno)) : NULL;
  if (fd >= 0)
    close(fd);
  return status;
}

pp_status pp_checkpoint_commit(pp_checkpoint_writer *writer) {
  pp_h5_close(&writer->table);
  pp_status status = pp_h5_file_close(&writer->file, writer->part);
  if (status == NULL)
    status = sync_named(writer->part);
  if (status == NULL && rename(writer->part, writer->path) != 0)
    status = pp_fail(PP_CODE_RUN, "cannot rename %s to %s: %s", writer->part, writer->path, strerror(errno));
  if (status != NULL) {
    unlink(writer->part);
    return status;
  }
  pp_sync_directory(writer->path);
  return NULL;
}

static pp_status damaged(const char *path, pp_status why) {
  pp_status status = pp_fail(PP_CODE_INPUT, "%s is damaged (%s): without it --resume begins the run again", path,
                             pp_error_message(why));
  pp_error_free(why);
  return status;
}

static pp_status read_preamble(pp_checkpoint *checkpoint) {
  const char *path = checkpoint->path;
  PP_H5_AUTO attribute = H5I_INVALID_HID;
  PP_H5_AUTO space = H5I_INVALID_HID;
  htri_t there = 0;
  PP_TRY_H5(PP_CODE_INPUT, "read", path, there = H5Aexists(checkpoint->file, "preamble"));
  if (there == 0)
    return NULL;
  PP_TRY_H5(PP_CODE_INPUT, "read", path, attribute = H5Aopen(checkpoint->file, "preamble", H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, space = H5Aget_space(attribute));
  checkpoint->preamble_bytes = H5Sget_simple_extent_npoints(space);
  if (checkpoint->preamble_bytes == (int64_t)sizeof checkpoint->preamble)
    PP_TRY_H5(PP_CODE_INPUT, "read", path, H5Aread(attribute, H5T_NATIVE_UINT8, &checkpoint->preamble));
  return NULL;
}

static pp_status check_preamble(const pp_checkpoint *checkpoint, const pp_identity *identity) {
  const preamble *found = &checkpoint->preamble;
  if (checkpoint->preamble_bytes > 0 && checkpoint->preamble_bytes != (int64_t)sizeof *found)
    return pp_fail(PP_CODE_INPUT, "%s is a checkpoint of another version of pipar", checkpoint->path);
  if (memcmp(found->format, format, sizeof format) != 0)
    return pp_fail(PP_CODE_INPUT, "%s is no checkpoint of pipar", checkpoint->path);
  if (found->version != FORMAT_VERSION)
    return pp_fail(PP_CODE_INPUT, "%s is a checkpoint of version %lld; this pipar reads %d", checkpoint->path,
                   (long long)found->version, FORMAT_VERSION);
  for (int part = 0; part < PP_IDENTITY_PARTS; part++)
    if (memchr(found->identity.part[part], '\0', PP_IDENTITY_ROOM) == NULL)
      return pp_fail(PP_CODE_INPUT, "%s is no checkpoint of pipar", checkpoint->path);
  return pp_identity_compare(checkpoint->path, &found->identity, identity);
}

pp_status pp_checkpoint_open(const char *path, const pp_identity *identity, pp_checkpoint **out) {
  if (access(path, F_OK) != 0 && errno == ENOENT)
    return NULL;
  if (access(path, R_OK) != 0)
    return pp_fail(PP_CODE_INPUT, "cannot read %s: %s", path, strerror(errno));
  pp_checkpoint *checkpoint = NULL;
  PP_TRY(pp_alloc(1, sizeof *checkpoint, "the checkpoint", &checkpoint));
  checkpoint->file = H5I_INVALID_HID;
  pp_status status = copy_name(path, "", &checkpoint->path);
  if (status == NULL) {
    status = pp_h5_open_reading(path, &checkpoint->file);
    if (status == NULL)
      status = read_preamble(checkpoint);
    if (status != NULL)
      status = damaged(path, status);
  }
  if (status == NULL)
    status = check_preamble(checkpoint, identity);
  if (status == NULL)
    *out = checkpoint;
  else
    pp_checkpoint_close(checkpoint);
  return status;
}

void pp_checkpoint_close(pp_checkpoint *checkpoint) {
  if (checkpoint == NULL)
    return;
  pp_error_free(pp_h5_file_close(&checkpoint->file, checkpoint->path));
  free(checkpoint->path);
  free(checkpoint);
}

const pp_checkpoint_head *pp_checkpoint_head_of(const pp_checkpoint *checkpoint) { return &checkpoint->preamble.head; }

/* Opens a table that must have this shape. */
static pp_status open_table(const pp_checkpoint *checkpoint, const char *name, int rank, int64_t last, hid_t *out) {
  const char *path = checkpoint->path;
  PP_H5_AUTO table = H5I_INVALID_HID;
  PP_H5_AUTO space = H5I_INVALID_HID;
  hsize_t shape[H5S_MAX_RANK] = {0};
  PP_TRY_H5(PP_CODE_INPUT, "read", path, table = H5Dopen2(checkpoint->file, name, H5P_DEFAULT));
  PP_TRY_H5(PP_CODE_INPUT, "read", path, space = H5Dget_space(table));
  if (H5Sget_simple_extent_ndims(space) != rank || H5Sget_simple_extent_dims(space, shape, NULL) < 0 ||
      shape[rank - 1] != (hsize_t)last)
    return pp_fail(PP_CODE_INPUT, "%s has another shape", name);
  *out = table;
  table = H5I_INVALID_HID;
  return NULL;
}

static pp_status read_rounds(const pp_checkpoint *checkpoint, pp_round_row *rows) {
  PP_H5_AUTO table = H5I_INVALID_HID;
  PP_H5_AUTO type = H5I_INVALID_HID;
  PP_TRY(open_table(checkpoint, "rounds", 1, checkpoint->preamble.head.rounds, &table));
  PP_TRY(pp_table_memory_type(pp_table_of(PP_TABLE_ROUNDS), checkpoint->path, &type));
  PP_TRY_H5(PP_CODE_INPUT, "read", checkpoint->path, H5Dread(table, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows));
  return NULL;
}

pp_status pp_checkpoint_get_rounds(const pp_checkpoint *checkpoint, pp_round_row *rows) {
  pp_status status = read_rounds(checkpoint, rows);
  return status == NULL ? NULL : damaged(checkpoint->path, status);
}

static pp_status read_values(const pp_checkpoint *checkpoint, const char *name, int64_t columns, int64_t row,
                             int64_t first, int64_t count, float *values) {
  PP_H5_AUTO table = H5I_INVALID_HID;
  PP_H5_AUTO space = H5I_INVALID_HID;
  PP_H5_AUTO memory = H5I_INVALID_HID;
  PP_TRY(open_table(checkpoint, name, 2, columns, &table));
  PP_TRY(select_values(checkpoint->path, table, row, first, count, &space, &memory));
  PP_TRY_H5(PP_CODE_INPUT, "read", checkpoint->path,
            H5Dread(table, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, values));
  return NULL;
}

pp_status pp_checkpoint_get(const pp_checkpoint *checkpoint, const char *name, int64_t columns, int64_t row,
                            int64_t first, int64_t count, float *values) {
  if (count == 0)
    return NULL;
  pp_status status = read_values(checkpoint, name, columns, row, first, count, values);
  return status == NULL ? NULL : damaged(checkpoint->path, status);
}

pp_status pp_checkpoint_remove(const char *path) {
  char *part = NULL;
  PP_TRY(copy_name(path, ".part", &part));
  unlink(part);
  free(part);
  if (unlink(path) == 0)
    pp_sync_directory(path);
  else if (errno != ENOENT)
    return pp_fail(PP_CODE_RUN, "cannot remove %s: %s", path, strerror(errno));
  return NULL;
}
