/* Tables of text: columns as wide as their widest cell, headings of two lines. */
#ifndef PP_APP_REPORT_TABLE_H
#define PP_APP_REPORT_TABLE_H

#include <stdio.h>

#include "pipar/status.h"

enum { PP_TEXT_COLUMNS = 40, PP_TEXT_CELL = 64 };

typedef struct pp_text_column {
  char head[2][PP_TEXT_CELL]; /* upper and lower line */
  bool left;                  /* words: aligned left */
  int width;                  /* kept by pp_text_table_add */
} pp_text_column;

typedef struct pp_text_table {
  int column_count;
  pp_text_column columns[PP_TEXT_COLUMNS];
  int row_count, row_capacity;
  char (*cells)[PP_TEXT_CELL]; /* (row_count, column_count) */
} pp_text_table;

/* Starts with no columns; pp_text_table_fini frees. Columns are added before the first row. */
void pp_text_table_init(pp_text_table *table);
void pp_text_table_fini(pp_text_table *table);
void pp_text_table_column(pp_text_table *table, bool left, const char *upper, const char *lower);
/* A new row of empty cells. */
PP_MUST_CHECK pp_status pp_text_table_row(pp_text_table *table);
/* Sets a cell of the last row; what does not fit ends in "..". */
void pp_text_table_set(pp_text_table *table, int column, const char *text);
/* Characters of a line of the table. */
int pp_text_table_width(const pp_text_table *table);
void pp_text_table_print(const pp_text_table *table, FILE *stream);

#endif
