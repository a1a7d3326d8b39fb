/* The figures: each writes its data as NAME.csv and its drawing as NAME.gnuplot. */
#ifndef PP_APP_PLOT_FIGURES_H
#define PP_APP_PLOT_FIGURES_H

#include <stdio.h>

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
PP_MUST_CHECK pp_status pp_plot_bounds(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_network(pp_plot *plot);
PP_MUST_CHECK pp_status pp_plot_privacy(pp_plot *plot);

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

/* Colour, dash and point of the line with this number, as gnuplot's `with` takes them; told apart in grey too. */
void pp_plot_line_style(FILE *script, int line);
/* The run's method and what else tells its line from others: settings that vary, but those that `skips`. */
void pp_plot_line_label(const pp_report *report, const pp_report_run *run, bool (*skips)(const char *key), size_t room,
                        char *out);

/* A place for a group of runs (equal but for the seed) in a bar chart. */
typedef struct pp_plot_bar {
  int group;
  int cell;  /* bars whose runs differ in the method alone stand together */
  int panel; /* cells that agree in the panel's key */
  double x;
  char label[PP_PLOT_NAME]; /* the method, and what else is needed to tell it from its neighbours */
} pp_plot_bar;

typedef struct pp_plot_bars {
  int count;
  pp_plot_bar *bars; /* (count), by x; freed by the caller */
  int cell_count;
  const char *panel_key; /* NULL: there is one panel */
  int panel_count;
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
/* Lines that the labels under an axis take. */
double pp_plot_bars_label_lines(const pp_report *report, const pp_plot_bars *bars);
/* A round step between marks of an axis from 0 to `highest` that gives three to six of them. */
double pp_plot_tic_step(double highest);
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
