/* Limits of control groups, from made-up trees of files. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "runtime/cgroup.h"
#include "suite.h"

static char folder[64];

static void make_folder(void) {
  snprintf(folder, sizeof folder, "/tmp/pipar-cgroup-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void) {
  char command[128];
  snprintf(command, sizeof command, "rm -r '%s'", folder);
  ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *name, const char *text) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  ck_assert_ptr_nonnull(file);
  fputs(text, file);
  fclose(file);
}

static void make(const char *name) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  ck_assert_int_eq(mkdir(path, 0700), 0);
}

static int64_t available(const char *groups) {
  char path[256];
  write_file("groups", groups);
  snprintf(path, sizeof path, "%s/groups", folder);
  return pp_cgroup_available(path, folder);
}

START_TEST(the_tightest_of_a_group_and_those_above_counts) {
  make("a");
  make("a/b");
  write_file("a/memory.max", "1000\n");
  write_file("a/memory.current", "400\n");
  write_file("a/b/memory.max", "max\n");
  write_file("a/b/memory.current", "300\n");
  ck_assert_int_eq(available("0::/a/b\n"), 600);
  write_file("a/b/memory.max", "500\n");
  ck_assert_int_eq(available("0::/a/b\n"), 200);
  write_file("a/b/memory.stat", "anon 250\ninactive_file 50\n");
  ck_assert_int_eq(available("0::/a/b\n"), 250);
  ck_assert_int_eq(available("0::/\n"), INT64_MAX);
  write_file("memory.max", "100\n"); /* a container's own, at the top of what it sees */
  write_file("memory.current", "120\n");
  ck_assert_int_eq(available("0::/not/seen/from/inside\n"), 0);
}
END_TEST

START_TEST(version_1_is_read_where_its_memory_controller_is) {
  make("memory");
  make("memory/job");
  write_file("memory/memory.limit_in_bytes", "9223372036854771712\n");
  write_file("memory/memory.usage_in_bytes", "5000\n");
  write_file("memory/job/memory.limit_in_bytes", "3000\n");
  write_file("memory/job/memory.usage_in_bytes", "2000\n");
  write_file("memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
  ck_assert_int_eq(available("12:cpu,cpuacct:/other\n4:memory:/job\n0::/\n"), 1500);
  ck_assert_int_gt(available("4:cpuset,memory:/\n"), 1LL << 60);
  ck_assert_int_eq(available("3:memoryless:/job\n"), INT64_MAX);
}
END_TEST

START_TEST(no_groups_are_no_limit) {
  ck_assert_int_eq(pp_cgroup_available("/tmp/pipar-there-is-no-such-file", folder), INT64_MAX);
  ck_assert_int_eq(available("nonsense\n"), INT64_MAX);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("cgroup");
  tcase_add_checked_fixture(tests, make_folder, remove_folder);
  tcase_add_test(tests, the_tightest_of_a_group_and_those_above_counts);
  tcase_add_test(tests, version_1_is_read_where_its_memory_controller_is);
  tcase_add_test(tests, no_groups_are_no_limit);
  return run_case("cgroup", tests);
}
