/* One look for all figures: colours, lines, fonts, margins, and how settings are called. */
#ifndef PP_APP_PLOT_STYLE_H
#define PP_APP_PLOT_STYLE_H

#include <stdio.h>

#include "app/report_runs.h"

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
#define PP_COLOUR_EDGE       "#333333"
/* For values: lightness falls evenly (viridis, reversed). */
#define PP_PALETTE "set palette defined (0 '#FDE725', 1 '#5EC962', 2 '#21918C', 3 '#3B528B', 4 '#440154')\n"

/* Sizes of text: title, panels' titles and what is written under bars, axes of panels, numbers at bars. */
enum { PP_FONT_TITLE = 13, PP_FONT_PANEL = 11, PP_FONT_AXIS = 10, PP_FONT_NUMBER = 9 };

/* The terminal, SVG or PNG, with what holds for all figures. Pixels are those of the SVG. */
void pp_plot_terminal(FILE *script, const char *name, bool png, int width, int height);
/* A grid at these marks, as gnuplot names them: "xtics ytics". */
void pp_plot_grid(FILE *script, const char *tics);
/* The key to the right of the frame. */
void pp_plot_key_beside(FILE *script);
/* Starts a row of nothing but a key, in a strip this high at the bottom of a multiplot; then `keyentry` follows. */
void pp_plot_key_row(FILE *script, double share);
/* Pixels that such a row wants in a figure of this width, its longest entry of this many letters. */
int pp_plot_key_row_pixels(int entries, size_t longest, int width);

/* Colour, dash and point of the line with this number, as gnuplot's `with` takes them; told apart in grey too. */
void pp_plot_line_style(FILE *script, int line);
const char *pp_plot_line_colour(int line);
/* A box with an edge, as gnuplot's `with` takes it. */
void pp_plot_box_style(FILE *script, const char *fill, const char *colour);

/* Marks at 1, 2 and 5 times powers of ten, fewer where they are many. `axis`: x, y or cb. */
void pp_plot_log_tics(FILE *script, const char *axis, double from, double to);
/* A round step between marks of an axis from 0 to `highest` that gives three to six of them. */
double pp_plot_tic_step(double highest);
/* Defines round3(v): a number of three digits. */
void pp_plot_define_round3(FILE *script);

/* Text as gnuplot reads it literally. */
void pp_plot_quote(FILE *script, const char *text);
/* What the run's setting is called in a key: "code-50-50", "clip 5", "uplink 10 Mbit/s in group 0", "planned once"; ""
 * where it says nothing. */
void pp_plot_setting_label(const pp_report_run *run, const char *key, size_t room, char *out);
/* The same under a bar, where the axis' label has what they have in common: "10" and "uplink of group 0 [Mbit/s]". The
 * title is "" where values speak for themselves. */
void pp_plot_setting_value(const pp_report_run *run, const char *key, size_t room, char *out);
void pp_plot_key_title(const pp_report_run *run, const char *key, size_t room, char *out);
/* The titles of the varying keys but those that `skips` (NULL: none), for an axis; "" where all values say it. */
void pp_plot_axis_title(const pp_report *report, bool (*skips)(const char *key, const void *context),
                        const void *context, size_t room, char *out);
/* Such a title, so many lines below the axis; nothing where it is "". */
void pp_plot_axis_label(FILE *script, const char *title, double lines);
/* The run's method and what else tells its line from others: settings that vary, but those that `skips` (NULL: none).
 */
void pp_plot_line_label(const pp_report *report, const pp_report_run *run, bool (*skips)(const char *key), size_t room,
                        char *out);
/* What runs have in common: "vgg5, fashion-mnist; 4 x raspberry-pi-4b (code-10-25), server-cpu". `run`: of this run
 * alone, with its plan; NULL: of all. */
void pp_plot_facts(const pp_report *report, const pp_report_run *run, size_t room, char *out);
/* What is shown, and under it the facts, in as many lines as a figure of this width takes. */
void pp_plot_title(FILE *script, const pp_report *report, const pp_report_run *run, int width, const char *text);
/* Pixels that such a title takes. */
int pp_plot_title_pixels(const pp_report *report, const pp_report_run *run, int width);

#endif
