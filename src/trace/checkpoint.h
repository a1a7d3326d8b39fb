/* The file of a checkpoint: what a round of training ends with. It is there whole or not at all, and damage shows: its
 * data have checksums, its HDF5 metadata too. */
#ifndef PP_TRACE_CHECKPOINT_H
#define PP_TRACE_CHECKPOINT_H

#include "pipar/results.h"

typedef struct pp_checkpoint_head {
  int64_t run;    /* its number in the experiment */
  int64_t rounds; /* that are complete */
  int64_t devices, parameters, statistics;
  int64_t versions; /* older models that updates will begin with */
  int64_t data;     /* a fingerprint of the data set */
} pp_checkpoint_head;

/* Writer. Allocated once; saving allocates nothing of ours. */
typedef struct pp_checkpoint_writer pp_checkpoint_writer;
PP_MUST_CHECK pp_status pp_checkpoint_writer_create(const char *path, const pp_identity *identity,
                                                    pp_checkpoint_writer **out);
/* What was not committed is removed. */
void pp_checkpoint_writer_destroy(pp_checkpoint_writer *writer);
/* Begins a new file beside the old one. */
PP_MUST_CHECK pp_status pp_checkpoint_begin(pp_checkpoint_writer *writer, const pp_checkpoint_head *head);
/* The rows of its rounds: (head->rounds). */
PP_MUST_CHECK pp_status pp_checkpoint_put_rounds(pp_checkpoint_writer *writer, const pp_round_row *rows);
/* A table of `rows` x `columns` values; what is not put into it is 0. */
PP_MUST_CHECK pp_status pp_checkpoint_add_table(pp_checkpoint_writer *writer, const char *name, int64_t rows,
                                                int64_t columns);
/* Values [first, first + count) of a row of the table that was added last. */
PP_MUST_CHECK pp_status pp_checkpoint_put(pp_checkpoint_writer *writer, int64_t row, int64_t first, int64_t count,
                                          const float *values);
/* Durable under its name when this returns. */
PP_MUST_CHECK pp_status pp_checkpoint_commit(pp_checkpoint_writer *writer);

/* Reader. */
typedef struct pp_checkpoint pp_checkpoint;
/* *out stays NULL where there is no such file. Errors (PP_CODE_INPUT): damaged, of another version of the format, or of
 * another identity. */
PP_MUST_CHECK pp_status pp_checkpoint_open(const char *path, const pp_identity *identity, pp_checkpoint **out);
void pp_checkpoint_close(pp_checkpoint *checkpoint);
const pp_checkpoint_head *pp_checkpoint_head_of(const pp_checkpoint *checkpoint);
PP_MUST_CHECK pp_status pp_checkpoint_get_rounds(const pp_checkpoint *checkpoint, pp_round_row *rows);
/* Values [first, first + count) of a row. The table must have `columns` columns. */
PP_MUST_CHECK pp_status pp_checkpoint_get(const pp_checkpoint *checkpoint, const char *name, int64_t columns,
                                          int64_t row, int64_t first, int64_t count, float *values);

/* Local. The file, and one that was not committed, are gone durably; it need not be there. */
PP_MUST_CHECK pp_status pp_checkpoint_remove(const char *path);

#endif
