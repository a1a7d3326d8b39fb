/* The tables of a run: which columns they have in the file, and where these lie in the row structs. */
#ifndef PP_TRACE_TABLE_H
#define PP_TRACE_TABLE_H

#include <hdf5.h>
#include <stddef.h>

#include "pipar/results.h"

typedef enum pp_table_id {
  PP_TABLE_DEVICES,
  PP_TABLE_SERVER,
  PP_TABLE_ROUNDS,
  PP_TABLE_STAGES,
  PP_TABLE_PLAN,
  PP_TABLE_ROUND_PLANS,
  PP_TABLE_NETWORK,
  PP_TABLE_COSTS,
  PP_TABLE_COUNT,
} pp_table_id;

typedef enum pp_column_type { PP_COLUMN_I32, PP_COLUMN_I64, PP_COLUMN_F64, PP_COLUMN_STAGE } pp_column_type;

typedef struct pp_column {
  const char *name;
  const char *unit; /* "" for numbers that name or count something */
  pp_column_type type;
  size_t offset; /* in the row struct */
} pp_column;

typedef struct pp_table {
  const char *name;
  size_t row_bytes;
  int column_count;
  const pp_column *columns; /* (column_count) */
} pp_table;

const pp_table *pp_table_of(pp_table_id id);

/* The compound type as it is in the file (packed, little-endian) and as the row struct is in memory. The caller closes
 * them. `path` names the file in errors. */
PP_MUST_CHECK pp_status pp_table_file_type(const pp_table *table, const char *path, hid_t *out);
PP_MUST_CHECK pp_status pp_table_memory_type(const pp_table *table, const char *path, hid_t *out);

/* Names of the attributes of a run that are results; all others are its settings. */
extern const char *const pp_summary_reals[7];
extern const char *const pp_summary_integers[2];
bool pp_is_summary(const char *attribute);
/* Where the attribute's value lies in the summary; `attribute` counts in the arrays above. */
double *pp_summary_real(pp_run_summary *summary, int attribute);
int64_t *pp_summary_integer(pp_run_summary *summary, int attribute);

#endif
