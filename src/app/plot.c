#include "app/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/leftover.h"
#include "app/plot_figures.h"
#include "app/plot_files.h"
#include "app/report.h"

void pp_plot_quote(FILE *script, const char *text) {
  /* In single quotes gnuplot substitutes nothing; a quote is written twice. */
  fputc('\'', script);
  for (; *text != '\0'; text++) {
    if (*text == '\'')
      fputc('\'', script);
    fputc((unsigned char)*text < 0x20 ? ' ' : *text, script);
  }
  fputc('\'', script);
}

static void append(char *out, size_t room, const char *text) {
  size_t used = strlen(out);
  snprintf(out + used, room - used, "%s%s", used == 0 ? "" : ", ", text);
}

void pp_plot_facts(const pp_plot *plot, size_t room, char *out) {
  const pp_report *report = plot->report;
  static const char *const keys[] = {"model", "dataset.name", "devices.0.network.name"};
  out[0] = '\0';
  for (size_t key = 0; key < sizeof keys / sizeof keys[0]; key++) {
    const char *text = pp_report_setting_text(&report->runs[0], keys[key]);
    bool same = text[0] != '\0';
    for (int run = 1; run < report->run_count && same; run++)
      same = strcmp(pp_report_setting_text(&report->runs[run], keys[key]), text) == 0;
    if (same)
      append(out, room, text);
  }
  int64_t devices = report->runs[0].info.device_count;
  for (int run = 1; run < report->run_count; run++)
    if (report->runs[run].info.device_count != devices)
      devices = 0;
  char text[48];
  snprintf(text, sizeof text, "%lld device%s", (long long)devices, devices == 1 ? "" : "s");
  if (devices > 0)
    append(out, room, text);
}

void pp_plot_title(FILE *script, const pp_plot *plot, const char *text) {
  char facts[256];
  pp_plot_facts(plot, sizeof facts, facts);
  pp_plot_quote(script, text);
  if (facts[0] != '\0') {
    fputs(".\"\\n\".", script);
    pp_plot_quote(script, facts);
  }
}

pp_status pp_plot_write_script(pp_plot *plot, const char *name, int width, int height, pp_plot_drawing draw,
                               void *context) {
  FILE *script = NULL;
  PP_ASSERT(plot->figure_count < PP_PLOT_MOST);
  PP_TRY(pp_plot_open_file(plot, name, "gnuplot", &script));
  char csv[PP_PLOT_NAME + 8];
  snprintf(csv, sizeof csv, "%s.csv", name);
  static const char *const font = "DejaVu Sans";
  for (int png = 0; png < 2; png++) {
    if (png)
      fprintf(script, "set terminal pngcairo noenhanced size %d,%d font '%s,12' fontscale 1.6 linewidth 1.6\n",
              width * 8 / 5, height * 8 / 5, font);
    else
      fprintf(script, "set terminal svg noenhanced size %d,%d font '%s,12' linewidth 1 background 'white'\n", width,
              height, font);
    fprintf(script, "set output '%s.%s'\n", name, png ? "png" : "svg");
    fputs("set datafile separator ','\nset encoding utf8\nset border 3 linecolor '#444444'\n"
          "set format '%g'\nset tics nomirror out scale 0.6 textcolor 'black'\nset grid ytics linecolor '#DDDDDD' "
          "linetype 1\n",
          script);
    draw(script, csv, context);
    fputs("unset output\nreset\n", script);
  }
  PP_TRY(pp_plot_close_file(plot, name, "gnuplot", script));
  snprintf(plot->figures[plot->figure_count++], PP_PLOT_NAME, "%s", name);
  return NULL;
}

void pp_plot_line_style(FILE *script, int line) {
  static const char *const colours[] = {PP_COLOUR_BLUE,   PP_COLOUR_VERMILLION, PP_COLOUR_GREEN, PP_COLOUR_PURPLE,
                                        PP_COLOUR_ORANGE, PP_COLOUR_SKY,        PP_COLOUR_BLACK};
  static const int points[] = {7, 5, 9, 4, 6, 8, 12};
  enum { styles = sizeof colours / sizeof colours[0] };
  fprintf(script, "linecolor '%s' linewidth 1.8 dashtype %d pointtype %d pointsize 0.8", colours[line % styles],
          line % 4 + 1, points[line % styles]);
}

void pp_plot_line_label(const pp_report *report, const pp_report_run *run, bool (*skips)(const char *key), size_t room,
                        char *out) {
  size_t used = (size_t)snprintf(out, room, "%s", run->info.method);
  for (int key = 0; key < report->varying_count && used < room; key++) {
    const char *text = pp_report_setting_text(run, report->varying[key]);
    if (!skips(report->varying[key]) && text[0] != '\0')
      used += (size_t)snprintf(out + used, room - used, ", %.24s", text);
  }
}

/* In the child: gnuplot alone, without the user's settings, what it says going to `log`. It ends when we do. */
static _Noreturn void become_gnuplot(const char *directory, const char *script, int log, pid_t parent) {
  enum { not_started = 127 };
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent)
    _exit(not_started);
  signal(SIGXFSZ, SIG_DFL); /* it would not look whether it has written */
  int nothing = open("/dev/null", O_RDWR);
  if (chdir(directory) == 0 && nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0 &&
      dup2(log, STDERR_FILENO) >= 0) {
    setenv("LC_ALL", "C.UTF-8", 1);
    unsetenv("GNUTERM");
    execlp("gnuplot", "gnuplot", "-d", script, (char *)NULL);
  }
  _exit(not_started);
}

/* Keeps the first line of what gnuplot said that is more than white space and its pointer to a column. */
static void first_line(FILE *log, size_t room, char *out) {
  out[0] = '\0';
  rewind(log);
  char line[256];
  while (fgets(line, sizeof line, log) != NULL) {
    size_t start = strspn(line, " \t\n^");
    line[strcspn(line, "\n")] = '\0';
    if (start < strlen(line)) {
      const char *said = strstr(line, "line ");
      snprintf(out, room, "%s", said != NULL ? said : line + start);
      if (said != NULL)
        return;
    }
  }
}

static pp_status run_gnuplot(const pp_plot *plot, const char *name) {
  char script[PP_PLOT_NAME + 16];
  snprintf(script, sizeof script, "%s.gnuplot", name);
  FILE *log = tmpfile();
  if (log == NULL)
    return pp_fail(PP_CODE_RUN, "cannot make a temporary file: %s", strerror(errno));
  fflush(NULL);
  pid_t parent = getpid(), child = pp_leftover_fork();
  if (child == 0)
    become_gnuplot(plot->staging, script, fileno(log), parent);
  int how = 0;
  pp_status status = NULL;
  if (child > 0)
    pp_leftover_wait(child, &how);
  char said[256];
  first_line(log, sizeof said, said);
  if (child < 0)
    status = pp_fail(PP_CODE_RUN, "cannot start gnuplot: %s", strerror(errno));
  else if (WIFEXITED(how) && WEXITSTATUS(how) == 127)
    status =
        pp_fail(PP_CODE_RUN, "gnuplot could not be started (Debian: gnuplot-nox): no figures, but their data is in %s",
                plot->directory);
  else if (WIFSIGNALED(how))
    status = pp_fail(PP_CODE_RUN, "gnuplot was ended on %s/%s: %s", plot->directory, script, strsignal(WTERMSIG(how)));
  else if (!WIFEXITED(how) || WEXITSTATUS(how) != 0)
    status = pp_fail(PP_CODE_RUN, "gnuplot failed on %s/%s: %s", plot->directory, script,
                     said[0] == '\0' ? "it gave no reason" : said);
  fclose(log);
  return status;
}

#ifdef PP_WITHOUT_FIGURES
enum { HAS_FIGURES = 0 };
#else
enum { HAS_FIGURES = 1 };
#endif

static pp_status write_figures(pp_plot *plot, bool as_published) {
  if (as_published)
    PP_TRY(pp_plot_idle_as_published(plot));
  else
    PP_TRY(pp_plot_idle(plot));
  PP_TRY(pp_plot_time(plot));
  PP_TRY(pp_plot_scale(plot));
  PP_TRY(pp_plot_map(plot));
  PP_TRY(pp_plot_bounds(plot));
  PP_TRY(pp_plot_network(plot));
  PP_TRY(pp_plot_accuracy(plot));
  PP_TRY(pp_plot_loss(plot));
  PP_TRY(pp_plot_privacy(plot));
  PP_TRY(pp_plot_gantt(plot));
  if (plot->figure_count == 0)
    return pp_fail(PP_CODE_INPUT, "there is nothing to plot yet: no run is complete and none has stages");
  return NULL;
}

/* Of a figure that could not be drawn the data, which are of use without it. */
static pp_status place_figure(const pp_plot *plot, const char *name, bool drawn) {
  PP_TRY(pp_plot_place_file(plot, name, "csv"));
  PP_TRY(pp_plot_place_file(plot, name, "gnuplot"));
  if (!drawn)
    return NULL;
  PP_TRY(pp_plot_place_file(plot, name, "svg"));
  return pp_plot_place_file(plot, name, "png");
}

static pp_status draw_figures(const pp_plot *plot, FILE *log) {
  PP_TRY(pp_plot_check_files(plot));
  pp_status drawn = NULL, placed = NULL;
  for (int figure = 0; figure < plot->figure_count && placed == NULL; figure++) {
    if (drawn == NULL)
      drawn = run_gnuplot(plot, plot->figures[figure]);
    placed = place_figure(plot, plot->figures[figure], drawn == NULL);
    if (drawn == NULL && placed == NULL)
      fprintf(log, "%s/%s.svg (.png, data .csv)\n", plot->directory, plot->figures[figure]);
  }
  return pp_status_first(drawn, placed);
}

pp_status pp_plot_all(const pp_report *report, const char *directory, bool as_published, FILE *log) {
  if (!HAS_FIGURES)
    return pp_fail(PP_CODE_USAGE, "figures are not in this pipar: it was built without them (meson option `figures`)");
  pp_plot plot = {.report = report, .directory = directory};
  if (report->run_count == 0)
    return pp_fail(PP_CODE_INPUT, "there are no runs to plot");
  PP_TRY(pp_plot_open_staging(&plot));
  pp_status status = write_figures(&plot, as_published);
  if (status == NULL)
    status = draw_figures(&plot, log);
  pp_plot_close_staging(&plot);
  return status;
}
