/* The host's memory as files of a made-up system say it, and as this one says it. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/host_memory.h"

#define MIB ((size_t)1 << 20)

static char root[64];

static int enter(void **state)
{
	(void)state;
	strcpy(root, "/tmp/host_memory_XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int leave(void **state)
{
	(void)state;
	return fs_remove_tree(root);
}

static void put(const char *name, const char *text)
{
	char path[256], dir[256];
	assert_int_equal(fs_join(path, sizeof(path), root, name), 0);
	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	assert_int_equal(fs_mkdirs(dir), 0);
	assert_int_equal(fs_write(path, text, strlen(text)), 0);
}

static void put_machine(void)
{
	put("proc/meminfo", "MemTotal:       2048000 kB\nMemFree:  1 kB\nMemAvailable:   1024000 kB\nSwapFree: 9 kB\n");
}

static void expect(size_t available, size_t total)
{
	size_t a, t;
	host_memory(root, &a, &t);
	assert_int_equal(a, available);
	assert_int_equal(t, total);
}

static void host_memory__without_groups_is_the_machines(void **state)
{
	(void)state;
	put_machine();
	expect(1000 * MIB, 2000 * MIB);
	put("proc/self/cgroup", "0::/\n");
	expect(1000 * MIB, 2000 * MIB);
}

static void host_memory__a_group_limits_what_is_within(void **state)
{
	(void)state;
	put_machine();
	put("proc/self/cgroup", "1:name=systemd:/x\n0::/job/step\n");
	put("sys/fs/cgroup/job/memory.max", "524288000\n");
	put("sys/fs/cgroup/job/memory.current", "209715200\n");
	put("sys/fs/cgroup/job/step/memory.max", "max\n");
	put("sys/fs/cgroup/job/step/memory.current", "104857600\n");
	expect(300 * MIB, 500 * MIB);
	/* cached files give way; shared memory does not */
	put("sys/fs/cgroup/job/memory.stat",
	    "anon 7\nfile 900\ninactive_file 52428800\nactive_file 20971520\nshmem 9\n");
	expect(370 * MIB, 500 * MIB);
	put("sys/fs/cgroup/job/step/memory.max", "115343360\n");
	expect(10 * MIB, 110 * MIB);
	put("sys/fs/cgroup/job/step/memory.current", "115343361\n");
	expect(0, 110 * MIB);
	/* more than the machine has is no limit */
	put("sys/fs/cgroup/job/step/memory.max", "max\n");
	put("sys/fs/cgroup/job/memory.max", "99999999999999\n");
	expect(1000 * MIB, 2000 * MIB);
}

static void host_memory__version_1_groups_count_too(void **state)
{
	(void)state;
	put_machine();
	put("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a/b\n3:memoryless:/c\n0::/\n");
	put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n");
	expect(1000 * MIB, 2000 * MIB);
	put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "524288000\n");
	put("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "209715200\n");
	put("sys/fs/cgroup/memory/a/memory.stat",
	    "inactive_file 9\ntotal_inactive_file 52428800\ntotal_active_file 0\n");
	expect(350 * MIB, 500 * MIB);
	/* in a container: the path is the host's, the mount is the own group */
	put("proc/self/cgroup", "4:hugetlb,memory:/docker/1234\n");
	put("sys/fs/cgroup/memory/memory.limit_in_bytes", "104857600\n");
	expect(100 * MIB - 1, 100 * MIB);
}

static void host_memory__what_nobody_tells_is_not_known(void **state)
{
	(void)state;
	expect(SIZE_MAX, SIZE_MAX);
	put("proc/meminfo", "MemTotal: 5 kB\nMemFree: 3 kB\n"); /* before Linux 3.14 */
	expect(SIZE_MAX, SIZE_MAX);
}

/* What the machine has changes while others work on it: no two answers are compared. */
static void host_memory__of_this_system(void **state)
{
	size_t available, total;
	(void)state;
	host_memory("", &available, &total);
	if (total == SIZE_MAX)
		skip();
	assert_true(total > 16 * MIB && available <= total);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(host_memory__without_groups_is_the_machines, enter, leave),
	    cmocka_unit_test_setup_teardown(host_memory__a_group_limits_what_is_within, enter, leave),
	    cmocka_unit_test_setup_teardown(host_memory__version_1_groups_count_too, enter, leave),
	    cmocka_unit_test_setup_teardown(host_memory__what_nobody_tells_is_not_known, enter, leave),
	    cmocka_unit_test(host_memory__of_this_system),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
