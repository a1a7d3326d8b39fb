#include "app/plot_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/leftover.h"

static const char *const extensions[] = {"csv", "gnuplot", "svg", "png"};
enum { EXTENSION_COUNT = sizeof extensions / sizeof extensions[0] };

static pp_status name_file(const char *directory, const char *name, const char *extension, char **out) {
  if (asprintf(out, "%s/%s.%s", directory, name, extension) < 0)
    return pp_fail_memory("a file name", strlen(directory));
  return NULL;
}

static pp_status make_directory(const char *path) {
  char *partial = strdup(path);
  if (partial == NULL)
    return pp_fail_memory("a file name", strlen(path));
  for (char *slash = strchr(partial + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(partial, 0777);
    *slash = '/';
  }
  free(partial);
  struct stat about;
  if (mkdir(path, 0777) != 0 && (errno != EEXIST || stat(path, &about) != 0 || !S_ISDIR(about.st_mode)))
    return pp_fail(PP_CODE_RUN, "cannot make the directory %s: %s", path, strerror(errno));
  return NULL;
}

pp_status pp_plot_open_staging(pp_plot *plot) {
  PP_TRY(make_directory(plot->directory));
  if (asprintf(&plot->staging, "%s/.pipar-plot.XXXXXX", plot->directory) < 0) {
    plot->staging = NULL;
    return pp_fail_memory("a file name", strlen(plot->directory));
  }
  if (pp_leftover_make_directory(plot->staging))
    return NULL;
  pp_status status = pp_fail(PP_CODE_RUN, "cannot write into %s: %s", plot->directory, strerror(errno));
  free(plot->staging);
  plot->staging = NULL;
  return status;
}

void pp_plot_close_staging(pp_plot *plot) {
  if (plot->staging == NULL)
    return;
  DIR *directory = opendir(plot->staging);
  for (struct dirent *entry = NULL; directory != NULL && (entry = readdir(directory)) != NULL;)
    unlinkat(dirfd(directory), entry->d_name, 0);
  if (directory != NULL)
    closedir(directory);
  rmdir(plot->staging);
  pp_leftover_forget(plot->staging);
  free(plot->staging);
  plot->staging = NULL;
}

pp_status pp_plot_open_file(const pp_plot *plot, const char *name, const char *extension, FILE **out) {
  /* All that will be made of the figure. */
  for (int at = 0; at < EXTENSION_COUNT; at++) {
    char *path = NULL;
    PP_TRY(name_file(plot->staging, name, extensions[at], &path));
    pp_leftover_note(path);
    free(path);
  }
  char *path = NULL;
  PP_TRY(name_file(plot->staging, name, extension, &path));
  *out = fopen(path, "w");
  free(path);
  return *out != NULL
             ? NULL
             : pp_fail(PP_CODE_RUN, "cannot write %s/%s.%s: %s", plot->directory, name, extension, strerror(errno));
}

pp_status pp_plot_close_file(const pp_plot *plot, const char *name, const char *extension, FILE *stream) {
  bool failed = ferror(stream) != 0;
  if (fclose(stream) != 0 || failed)
    return pp_fail(PP_CODE_RUN, "cannot write %s/%s.%s: %s", plot->directory, name, extension, strerror(errno));
  return NULL;
}

pp_status pp_plot_open_csv(const pp_plot *plot, const char *name, FILE **out) {
  return pp_plot_open_file(plot, name, "csv", out);
}

pp_status pp_plot_close_csv(const pp_plot *plot, const char *name, FILE *stream) {
  return pp_plot_close_file(plot, name, "csv", stream);
}

static bool is_read(const pp_report *report, const struct stat *about) {
  for (int file = 0; file < report->file_count; file++) {
    struct stat read;
    if (stat(pp_results_path(report->files[file]), &read) == 0 && read.st_dev == about->st_dev &&
        read.st_ino == about->st_ino)
      return true;
  }
  return false;
}

static pp_status check_file(const pp_plot *plot, const char *name, const char *extension) {
  char *path = NULL;
  struct stat about;
  pp_status status = NULL;
  PP_TRY(name_file(plot->directory, name, extension, &path));
  if (stat(path, &about) == 0 && S_ISDIR(about.st_mode))
    status = pp_fail(PP_CODE_USAGE, "%s is a directory where a figure goes: -o names another directory", path);
  else if (stat(path, &about) == 0 && is_read(plot->report, &about))
    status = pp_fail(PP_CODE_USAGE, "%s is read: -o names another directory", path);
  free(path);
  return status;
}

pp_status pp_plot_check_files(const pp_plot *plot) {
  for (int figure = 0; figure < plot->figure_count; figure++)
    for (int at = 0; at < EXTENSION_COUNT; at++)
      PP_TRY(check_file(plot, plot->figures[figure], extensions[at]));
  return NULL;
}

pp_status pp_plot_place_file(const pp_plot *plot, const char *name, const char *extension) {
  char *from = NULL, *to = NULL;
  pp_status status = NULL;
  PP_TRY_GOTO(status, name_file(plot->staging, name, extension, &from), done);
  PP_TRY_GOTO(status, name_file(plot->directory, name, extension, &to), done);
  if (!pp_leftover_rename(from, to))
    status = pp_fail(PP_CODE_RUN, "cannot write %s: %s", to, strerror(errno));
done:
  free(from);
  free(to);
  return status;
}
