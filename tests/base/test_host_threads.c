/* How many threads a made-up system and environment ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/host_threads.h"

static char root[64];

static int enter(void **state)
{
	(void)state;
	unsetenv("SLURM_CPUS_PER_TASK");
	unsetenv("OMP_NUM_THREADS");
	strcpy(root, "/tmp/host_threads_XXXXXX");
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

static void expect(int n, const char *from)
{
	struct host_threads have, t;
	host_cores(root, 8, "usable cores", &have);
	host_threads(&have, &t);
	assert_int_equal(t.n, n);
	assert_string_equal(t.from, from);
}

static void host_threads__are_the_cores_within_the_quota(void **state)
{
	(void)state;
	expect(8, "usable cores");
	put("proc/self/cgroup", "1:name=systemd:/x\n0::/job/step\n");
	put("sys/fs/cgroup/job/cpu.max", "max 100000\n");
	put("sys/fs/cgroup/job/step/cpu.max", "1200000 100000\n");
	expect(8, "usable cores");
	put("sys/fs/cgroup/job/step/cpu.max", "400000 100000\n");
	expect(4, "a CPU quota of 4 cores");
	put("sys/fs/cgroup/job/cpu.max", "75000 50000\n"); /* limits hold for what is within */
	expect(2, "a CPU quota of 1.5 cores");
	put("sys/fs/cgroup/cpu.max", "20000 100000\n");
	expect(1, "a CPU quota of 0.2 cores");
	put("sys/fs/cgroup/cpu.max", "300000 100000\n"); /* and allow no more than those within */
	expect(2, "a CPU quota of 1.5 cores");
	put("sys/fs/cgroup/cpu.max", "nonsense\n");
	expect(2, "a CPU quota of 1.5 cores");
}

static void host_threads__version_1_quotas_count_too(void **state)
{
	(void)state;
	put("proc/self/cgroup", "4:cpuset:/c\n3:cpu,cpuacct:/a/b\n2:cpuacct2:/d\n");
	put("sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\n");
	put("sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n");
	put("sys/fs/cgroup/cpuset/c/cpu.cfs_quota_us", "1\n");
	put("sys/fs/cgroup/cpuset/c/cpu.cfs_period_us", "1\n");
	expect(8, "usable cores");
	put("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "250000\n");
	put("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
	expect(3, "a CPU quota of 2.5 cores");
}

static void expect_share(int n, int have, int processes, int machine, const char *from)
{
	struct host_threads t = {.n = have, .from = "usable cores"};
	host_share(&t, processes, machine);
	assert_int_equal(t.n, n);
	assert_string_equal(t.from, from);
}

/* A launcher has bound the processes if what they believe to have is there for all of them. */
static void host_threads__processes_of_one_run_share_what_nobody_has_dealt_out(void **state)
{
	(void)state;
	expect_share(8, 8, 0, 8, "usable cores");
	expect_share(8, 8, 1, 8, "usable cores");
	expect_share(4, 8, 2, 8, "usable cores, shared by 2 processes");
	expect_share(2, 8, 3, 8, "usable cores, shared by 3 processes");
	expect_share(1, 2, 4, 2, "usable cores, shared by 4 processes");
	expect_share(4, 4, 2, 8, "usable cores");
	expect_share(1, 1, 8, 8, "usable cores");
}

/* Some systems have the controllers' folder under both names only. */
static void host_threads__version_1_mounts_may_have_two_names(void **state)
{
	(void)state;
	put("proc/self/cgroup", "3:cpu,cpuacct:/\n");
	put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000\n");
	put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
	expect(1, "a CPU quota of 1 cores");
}

static void host_threads__version_2_may_be_mounted_beside_version_1(void **state)
{
	(void)state;
	put("proc/self/cgroup", "3:cpuset:/\n0::/job\n");
	put("sys/fs/cgroup/unified/job/cpu.max", "300000 100000\n");
	put("sys/fs/cgroup/job/cpu.max", "100000 100000\n");
	expect(3, "a CPU quota of 3 cores");
}

static void host_threads__the_environment_comes_first(void **state)
{
	(void)state;
	put("proc/self/cgroup", "0::/\n");
	put("sys/fs/cgroup/cpu.max", "700000 100000\n");
	setenv("OMP_NUM_THREADS", "6,2", 1);
	expect(6, "OMP_NUM_THREADS");
	setenv("SLURM_CPUS_PER_TASK", "3", 1);
	expect(3, "SLURM_CPUS_PER_TASK");
	setenv("SLURM_CPUS_PER_TASK", "", 1);
	expect(6, "OMP_NUM_THREADS");
	setenv("OMP_NUM_THREADS", "7", 1);
	expect(7, "OMP_NUM_THREADS");
}

static void host_threads__are_no_more_than_there_are_cores(void **state)
{
	(void)state;
	setenv("OMP_NUM_THREADS", "9", 1);
	expect(8, "usable cores; OMP_NUM_THREADS asks for 9");
	setenv("OMP_NUM_THREADS", "2", 1);
	setenv("SLURM_CPUS_PER_TASK", "1024", 1);
	expect(8, "usable cores; SLURM_CPUS_PER_TASK asks for 1024");
	put("proc/self/cgroup", "0::/\n");
	put("sys/fs/cgroup/cpu.max", "150000 100000\n");
	expect(2, "a CPU quota of 1.5 cores; SLURM_CPUS_PER_TASK asks for 1024");
	setenv("SLURM_CPUS_PER_TASK", "none", 1);
	setenv("OMP_NUM_THREADS", "1024", 1);
	expect(2, "a CPU quota of 1.5 cores; OMP_NUM_THREADS asks for 1024; SLURM_CPUS_PER_TASK is no number from 1 "
		  "to 1024");
}

static void host_threads__what_is_no_number_is_said_to_be_none(void **state)
{
	static const char *const bad[] = {"x", "0", "-2", "3x", "1025", "99999999999999999999", "2.5"};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		setenv("SLURM_CPUS_PER_TASK", bad[i], 1);
		expect(8, "usable cores; SLURM_CPUS_PER_TASK is no number from 1 to 1024");
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(host_threads__are_the_cores_within_the_quota),
	    TEST(host_threads__version_1_quotas_count_too),
	    TEST(host_threads__processes_of_one_run_share_what_nobody_has_dealt_out),
	    TEST(host_threads__version_1_mounts_may_have_two_names),
	    TEST(host_threads__version_2_may_be_mounted_beside_version_1),
	    TEST(host_threads__the_environment_comes_first),
	    TEST(host_threads__are_no_more_than_there_are_cores),
	    TEST(host_threads__what_is_no_number_is_said_to_be_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
