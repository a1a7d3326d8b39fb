/* The figures: each writes its data as NAME.csv and its drawing as NAME.gnuplot. */
#ifndef PP_APP_PLOT_FIGURES_H
#define PP_APP_PLOT_FIGURES_H

#include <stdio.h>

#include "app/report_runs.h"

enum { PP_PLOT_NAME = 64, PP_PLOT_MOST = 16 };

typedef struct pp_plot {
  const pp_report *report;
  const char *directory;
  int figure_count;
  char figures[PP_PLOT_MOST][PP_PLOT_NAME]; /* names of those written so far */
} pp_plot;

/* Adds nothing where the runs have no data for it. */
PP_MUST_CHECK pp_status pp_plot_idle(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_time(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_accuracy(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_gantt(pp_plot *plot);

/* The drawing in both forms: `draw` writes what comes between the terminal's setting and the next one. */
typedef void (*pp_plot_drawing)(FILE *script, const char *csv, void *context);
PP_MUST_CHECK pp_status pp_plot_write_script(pp_plot *plot, const char *name, int width, int height,
                                             pp_plot_drawing draw, void *context);
PP_MUST_CHECK pp_status pp_plot_open_csv(const pp_plot *plot, const char *name, FILE **out);
PP_MUST_CHECK pp_status pp_plot_close_csv(const pp_plot *plot, const char *name, FILE *stream);

/* Text as gnuplot reads it literally. */
void pp_plot_quote(FILE *script, const char *text);
/* A title of two lines: what is shown, and what all runs have in common. */
void pp_plot_title(FILE *script, const pp_plot *plot, const char *text);
/* What runs have in common: "vgg5, fashion-mnist, 4 devices". */
void pp_plot_facts(const pp_plot *plot, size_t room, char *out);

/* The palette of Okabe and Ito, told apart by colour-blind readers too. */
#define PP_COLOUR_BLACK      "#000000"
#define PP_COLOUR_ORANGE     "#E69F00"
#define PP_COLOUR_SKY        "#56B4E9"
#define PP_COLOUR_GREEN      "#009E73"
#define PP_COLOUR_YELLOW     "#F0E442"
#define PP_COLOUR_BLUE       "#0072B2"
#define PP_COLOUR_VERMILLION "#D55E00"
#define PP_COLOUR_PURPLE     "#CC79A7"
#define PP_COLOUR_GREY       "#999999"

/* A place for a group of runs (equal but for the seed) in a bar chart. */
typedef struct pp_plot_bar {
  int group;
  int cell; /* bars whose runs differ in the method alone stand together */
  double x;
  char label[PP_PLOT_NAME]; /* the method, and what else is needed to tell it from its neighbours */
} pp_plot_bar;

typedef struct pp_plot_bars {
  int count;
  pp_plot_bar *bars; /* (count), by x; freed by the caller */
  int cell_count;
  double width; /* of the x axis */
} pp_plot_bars;

/* The complete groups of the report. */
PP_MUST_CHECK pp_status pp_plot_bars_create(const pp_report *report, pp_plot_bars *out);
/* What the bar's cell has that other cells have not, values of settings one a line as a gnuplot expression. */
void pp_plot_cell_label(FILE *script, const pp_report *report, const pp_plot_bar *bar);

#endif
