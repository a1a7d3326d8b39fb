#include "app/report_table.h"

#include <stdlib.h>
#include <string.h>

enum { GAP = 2 };

void pp_text_table_init(pp_text_table *table) { memset(table, 0, sizeof *table); }

void pp_text_table_fini(pp_text_table *table) {
  free(table->cells);
  pp_text_table_init(table);
}

/* Characters, not bytes: UTF-8 continuation bytes take no place. */
static int width_of(const char *text) {
  int width = 0;
  for (; *text != '\0'; text++)
    width += ((unsigned char)*text & 0xc0) != 0x80;
  return width;
}

static void widen(pp_text_column *column, const char *text) {
  int width = width_of(text);
  if (width > column->width)
    column->width = width;
}

void pp_text_table_column(pp_text_table *table, bool left, const char *upper, const char *lower) {
  PP_ASSERT(table->column_count < PP_TEXT_COLUMNS && table->row_count == 0);
  pp_text_column *column = &table->columns[table->column_count++];
  column->left = left;
  snprintf(column->head[0], PP_TEXT_CELL, "%s", upper);
  snprintf(column->head[1], PP_TEXT_CELL, "%s", lower);
  widen(column, column->head[0]);
  widen(column, column->head[1]);
}

pp_status pp_text_table_row(pp_text_table *table) {
  if (table->row_count == table->row_capacity) {
    int capacity = table->row_capacity == 0 ? 16 : 2 * table->row_capacity;
    size_t bytes = (size_t)capacity * (size_t)table->column_count * PP_TEXT_CELL;
    void *grown = realloc(table->cells, bytes);
    if (grown == NULL)
      return pp_fail_memory("a table", bytes);
    table->cells = grown;
    table->row_capacity = capacity;
  }
  for (int column = 0; column < table->column_count; column++)
    table->cells[table->row_count * table->column_count + column][0] = '\0';
  table->row_count++;
  return NULL;
}

void pp_text_table_set(pp_text_table *table, int column, const char *text) {
  char *cell = table->cells[(table->row_count - 1) * table->column_count + column];
  size_t length = strlen(text);
  if (length < PP_TEXT_CELL) {
    memcpy(cell, text, length + 1);
  } else {
    size_t kept = PP_TEXT_CELL - 3;
    while (kept > 0 && ((unsigned char)text[kept] & 0xc0) == 0x80)
      kept--;
    memcpy(cell, text, kept);
    memcpy(cell + kept, "..", 3);
  }
  widen(&table->columns[column], cell);
}

int pp_text_table_width(const pp_text_table *table) {
  int width = 0;
  for (int column = 0; column < table->column_count; column++)
    width += table->columns[column].width + (column == 0 ? 0 : GAP);
  return width;
}

/* Gaps are printed before what follows them, so that no line ends in spaces. */
static void print_cell(const pp_text_column *column, const char *text, int *pending, FILE *stream) {
  int spare = column->width - width_of(text);
  if (text[0] == '\0') {
    *pending += column->width;
  } else {
    fprintf(stream, "%*s%s", *pending + (column->left ? 0 : spare), "", text);
    *pending = column->left ? spare : 0;
  }
  *pending += GAP;
}

void pp_text_table_print(const pp_text_table *table, FILE *stream) {
  for (int line = 0; line < 2; line++) {
    int pending = 0;
    bool empty = true;
    for (int column = 0; column < table->column_count; column++)
      empty = empty && table->columns[column].head[line][0] == '\0';
    for (int column = 0; column < table->column_count && !empty; column++)
      print_cell(&table->columns[column], table->columns[column].head[line], &pending, stream);
    if (!empty)
      fputc('\n', stream);
  }
  int width = pp_text_table_width(table);
  for (int dash = 0; dash < width; dash++)
    fputc('-', stream);
  fputc('\n', stream);
  for (int row = 0; row < table->row_count; row++) {
    int pending = 0;
    for (int column = 0; column < table->column_count; column++)
      print_cell(&table->columns[column], table->cells[row * table->column_count + column], &pending, stream);
    fputc('\n', stream);
  }
}
