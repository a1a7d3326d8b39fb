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

pp_status pp_plot_write_script(pp_plot *plot, const char *name, int width, int height, pp_plot_drawing draw,
                               void *context) {
  FILE *script = NULL;
  PP_ASSERT(plot->figure_count < PP_PLOT_MOST);
  PP_TRY(pp_plot_open_file(plot, name, "gnuplot", &script));
  char csv[PP_PLOT_NAME + 8];
  snprintf(csv, sizeof csv, "%s.csv", name);
  for (int png = 0; png < 2; png++) {
    pp_plot_terminal(script, name, png, width, height);
    draw(script, csv, context);
    fputs("unset output\nreset\n", script);
  }
  PP_TRY(pp_plot_close_file(plot, name, "gnuplot", script));
  snprintf(plot->figures[plot->figure_count++], PP_PLOT_NAME, "%s", name);
  return NULL;
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
  PP_TRY(pp_plot_ratios(plot));
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
