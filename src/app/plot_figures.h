/* The figures: each writes its data as NAME.csv and its drawing as NAME.gnuplot. */
#ifndef PP_APP_PLOT_FIGURES_H
#define PP_APP_PLOT_FIGURES_H

#include <stdio.h>

#include "app/plot_style.h"
#include "app/report_runs.h"

enum { PP_PLOT_NAME = 64, PP_PLOT_MOST = 16 };

typedef struct pp_plot {
  const pp_report *report;
  const char *directory; /* where the figures go */
  char *staging;         /* where they are made: a directory in that one */
  int figure_count;
  char figures[PP_PLOT_MOST][PP_PLOT_NAME]; /* names of those written so far */
} pp_plot;

/* Adds nothing where the runs have no data for it. */
PP_MUST_CHECK pp_status pp_plot_idle(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_idle_as_published(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_time(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_accuracy(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_loss(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_gantt(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_scale(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_map(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_ratios(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_bounds(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_network(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_privacy(pp_plot *plot);

/* The drawing in both forms: `draw` writes what comes between the terminal's setting and the next one. */
typedef void (*pp_plot_drawing)(FILE *script, const char *csv, void *context);
PP_MUST_CHECK pp_status pp_plot_write_script(pp_plot *plot, const char *name, int width, int height,
                                             pp_plot_drawing draw, void *context);
PP_MUST_CHECK pp_status pp_plot_open_csv(const pp_plot *plot, const char *name, FILE **out);
PP_MUST_CHECK pp_status pp_plot_close_csv(const pp_plot *plot, const char *name, FILE *stream);

/* A place for a group of runs (equal but for the seed) in a bar chart. */
typedef struct pp_plot_bar {
  int group;
  int cell;  /* bars whose runs differ in the method alone stand together */
  int panel; /* cells that agree in the panel's key; those that are too many for a row go on in the next */
  double x;
  char label[PP_PLOT_NAME]; /* the method, and what else is needed to tell it from its neighbours */
} pp_plot_bar;

typedef struct pp_plot_bars {
  int count;
  pp_plot_bar *bars; /* (count), by x; freed by the caller */
  int cell_count;
  const char *panel_key; /* NULL: there is one panel */
  int panel_count;
  int bar_pixels; /* from a bar to the next, set by who draws them: labels that are wider are turned */
} pp_plot_bars;

/* The complete groups of the report; many cells are spread over panels. None where a figure of lines or a map shows the
 * runs better. */
PP_MUST_CHECK pp_status pp_plot_bars_create(const pp_report *report, pp_plot_bars *out);
/* Sets range, marks and labels of the x axis for the bars of a panel, and defines round3(v), a number of three digits.
 */
void pp_plot_bars_axis(FILE *script, const pp_report *report, const pp_plot_bars *bars, int panel);
/* What the panel's runs have in common, or "" where there is one panel. */
void pp_plot_panel_name(const pp_report *report, const pp_plot_bars *bars, int panel, size_t room, char *out);
/* Bars of the widest panel, with the gaps between cells. */
double pp_plot_bars_width(const pp_plot_bars *bars);
/* Panels that are too wide for a figure become rows of as many cells each, as few as it takes. */
void pp_plot_bars_break(pp_plot_bars *out);
/* Pixels from a bar to the next: as wanted, less where they are very many, so that the width of figures is bounded. */
int pp_plot_bars_pixels(const pp_plot_bars *bars, int wanted);
/* Lines that the labels under an axis take. */
double pp_plot_bars_label_lines(const pp_report *report, const pp_plot_bars *bars);
/* What all figures of bars have in common: the columns x, method, file, run, then `heads`, then the varying settings.
 */
void pp_plot_bars_csv_head(FILE *csv, const pp_report *report, const char *heads);
void pp_plot_bars_csv_start(FILE *csv, const pp_report *report, const pp_plot_bar *bar);
void pp_plot_bars_csv_end(FILE *csv, const pp_report *report, const pp_plot_bar *bar);

/* Whether the runs differ in the number of devices: three numbers or more. */
bool pp_plot_is_scale(const pp_report *report);
/* Whether the runs of a method cover a grid of splits and micro-batches. */
bool pp_plot_is_map(const pp_report *report);

#endif
