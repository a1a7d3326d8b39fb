#include "runtime/cgroup.h"

#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 4096 };

int64_t pp_file_number(const char *path, const char *key) {
  FILE *file = fopen(path, "r");
  if (file == NULL)
    return INT64_MAX;
  char line[256];
  int64_t found = INT64_MAX;
  while (found == INT64_MAX && fgets(line, sizeof line, file) != NULL) {
    long long number = 0;
    if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), " %lld", &number) == 1)
      found = number;
  }
  fclose(file);
  return found;
}

/* The names of version 2 and of version 1. Pages of files that nobody uses count as used and can be had. */
typedef struct names {
  const char *mount, *limit, *used, *cached;
} names;
static const names version_2 = {"", "memory.max", "memory.current", "inactive_file "};
static const names version_1 = {"/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "};

static int64_t number_in(const char *folder, const char *name, const char *key) {
  char path[PATH_ROOM + 64];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return pp_file_number(path, key);
}

static int64_t left_in(const char *folder, const names *of) {
  int64_t limit = number_in(folder, of->limit, ""), used = number_in(folder, of->used, "");
  if (limit == INT64_MAX || used == INT64_MAX)
    return INT64_MAX;
  int64_t cached = number_in(folder, "memory.stat", of->cached);
  used -= cached != INT64_MAX && cached < used ? cached : 0;
  return limit > used ? limit - used : 0;
}

/* A group is held to its own limit and to those of all above it. In a container the group's own path may not be there:
 * what is then at the top is the container's. */
static int64_t left_up(const char *mount, const char *group, const names *of) {
  char folder[PATH_ROOM];
  int64_t least = INT64_MAX;
  snprintf(folder, sizeof folder, "%s%s%s", mount, of->mount, group);
  size_t top = strlen(mount) + strlen(of->mount);
  while (strlen(folder) >= top) {
    int64_t left = left_in(folder, of);
    least = left < least ? left : least;
    char *slash = strrchr(folder, '/');
    if (slash == NULL || strlen(folder) == top)
      break;
    *slash = '\0';
  }
  return least;
}

int64_t pp_cgroup_available(const char *groups, const char *mount) {
  FILE *file = fopen(groups, "r");
  int64_t least = INT64_MAX;
  char line[PATH_ROOM / 2];
  if (file == NULL)
    return INT64_MAX;
  while (fgets(line, sizeof line, file) != NULL) { /* "HIERARCHY:CONTROLLERS:/PATH" */
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':'), *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (path == NULL)
      continue;
    *controllers++ = *path++ = '\0';
    char wanted[PATH_ROOM / 2 + 2];
    snprintf(wanted, sizeof wanted, ",%s,", controllers);
    const names *of = controllers[0] == '\0' ? &version_2 : strstr(wanted, ",memory,") != NULL ? &version_1 : NULL;
    int64_t left = of == NULL ? INT64_MAX : left_up(mount, strcmp(path, "/") == 0 ? "" : path, of);
    least = left < least ? left : least;
  }
  fclose(file);
  return least;
}
