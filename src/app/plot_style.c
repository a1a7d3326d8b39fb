/* The look of figures: every colour, font, line and margin that more than one has. */
#include "app/plot_style.h"

#include <math.h>

static const char *const FONT = "DejaVu Sans";
#define GRID "linecolor '#DDDDDD' linetype 1"

void pp_plot_terminal(FILE *script, const char *name, bool png, int width, int height) {
  if (png)
    fprintf(script, "set terminal pngcairo noenhanced size %d,%d font '%s,12' fontscale 1.6 linewidth 1.6\n",
            width * 8 / 5, height * 8 / 5, FONT);
  else
    fprintf(script, "set terminal svg noenhanced size %d,%d font '%s,12' linewidth 1 background 'white'\n", width,
            height, FONT);
  fprintf(script,
          "set output '%s.%s'\nset datafile separator ','\nset encoding utf8\nset border 3 linecolor '#444444'\n"
          "set format '%%g'\nset tics nomirror out scale 0.6 textcolor 'black'\nset grid ytics " GRID "\n",
          name, png ? "png" : "svg");
}

void pp_plot_grid(FILE *script, const char *tics) { fprintf(script, "set grid %s " GRID "\n", tics); }

void pp_plot_key_beside(FILE *script) {
  fputs("set key outside right center vertical maxcols 1 Left reverse samplen 3 spacing 1.25 width 1\n", script);
}

int pp_plot_key_row_pixels(int entries, size_t longest, int width) {
  enum { letter = 7, sample = 70, row = 18, around = 16 };
  int columns = width / (sample + letter * (int)longest);
  columns = columns < 1 ? 1 : columns;
  return around + row * ((entries + columns - 1) / columns);
}

void pp_plot_key_row(FILE *script, double share) {
  fprintf(
      script,
      "unset title\nunset label\nunset arrow\nunset logscale\nunset xtics\nunset ytics\nunset xlabel\nunset ylabel\n"
      "unset border\nunset grid\nset xrange [0:1]\nset yrange [0:1]\nset margins 0, 0, 0, 0\nset origin 0,0\nset size "
      "1,%.5f\nset key center center horizontal Left reverse samplen 3 width 1 font ',%d'\nplot NaN notitle",
      share, PP_FONT_PANEL);
}

const char *pp_plot_line_colour(int line) {
  static const char *const colours[] = {PP_COLOUR_BLUE,   PP_COLOUR_VERMILLION, PP_COLOUR_GREEN, PP_COLOUR_PURPLE,
                                        PP_COLOUR_ORANGE, PP_COLOUR_SKY,        PP_COLOUR_BLACK};
  return colours[(size_t)line % (sizeof colours / sizeof colours[0])];
}

void pp_plot_line_style(FILE *script, int line) {
  static const char *const dashes[] = {"solid", "(8,4)", "(2,3)", "(10,3,2,3)", "(14,5)"};
  static const int points[] = {7, 5, 9, 4, 6, 8, 12};
  fprintf(script, "linecolor '%s' linewidth 1.8 dashtype %s pointtype %d pointsize 0.8", pp_plot_line_colour(line),
          dashes[(size_t)line % (sizeof dashes / sizeof dashes[0])],
          points[(size_t)line % (sizeof points / sizeof points[0])]);
}

void pp_plot_box_style(FILE *script, const char *fill, const char *colour) {
  fprintf(script, "boxxyerror fillstyle %s border linecolor '" PP_COLOUR_EDGE "' fillcolor '%s' linewidth 0.7", fill,
          colour);
}

void pp_plot_log_tics(FILE *script, const char *axis, double from, double to) {
  double decades = log10(to / from);
  fprintf(script, "set %stics (", axis);
  const char *between = "";
  int first = (int)floor(log10(from)), last = (int)floor(log10(to)), every = 1 + (int)(decades / 7);
  for (int power = first; power <= last; power++)
    for (int step = 1; step <= 5; step += step == 1 ? 1 : 3) {
      double value = step * pow(10, power);
      if (value < from * (1 - 1e-9) || value > to * (1 + 1e-9) || (decades > 2.5 && step > 1) ||
          (step == 1 && power % every != 0))
        continue;
      if (value >= 1e-3 && value < 1e5)
        fprintf(script, "%s'%g' %g", between, value, value);
      else
        fprintf(script, "%s'1e%d' %g", between, power, value);
      between = ", ";
    }
  fprintf(script, ")\nunset m%stics\n", axis);
}

double pp_plot_tic_step(double highest) {
  enum { most = 6 };
  static const double steps[] = {1, 2, 5, 10};
  if (!(highest > 0) || !isfinite(highest))
    return 1;
  double base = pow(10, floor(log10(highest / most)));
  for (size_t step = 0; step < sizeof steps / sizeof steps[0]; step++)
    if (highest <= most * steps[step] * base)
      return steps[step] * base;
  return 10 * base;
}

void pp_plot_define_round3(FILE *script) {
  fputs("round3(v) = v >= 99.95 ? sprintf('%.0f', v) : v >= 9.995 ? sprintf('%.1f', v) : v >= 0.01 || v == 0 ? "
        "sprintf('%.2f', v) : sprintf('%.0e', v)\n",
        script);
}
