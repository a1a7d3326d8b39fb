/* What control groups leave a process of memory. */
#ifndef PP_RUNTIME_CGROUP_H
#define PP_RUNTIME_CGROUP_H

#include <stdint.h>

/* Bytes that the process may still get in its group and in all above it; INT64_MAX: there is no limit. `groups` lists
 * its groups ("/proc/self/cgroup"), `mount` holds their files ("/sys/fs/cgroup"); versions 1 and 2. */
int64_t pp_cgroup_available(const char *groups, const char *mount);

/* The number behind `key` at the start of a line of a file; INT64_MAX where there is none. */
int64_t pp_file_number(const char *path, const char *key);

#endif
