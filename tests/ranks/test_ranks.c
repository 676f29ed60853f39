/* What one process knows of ranks; what several do with one another is many.sh's. */
#include "ranks/ranks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "SLURM_STEP_NUM_TASKS",
    "SLURM_PROCID", "SLURM_NTASKS", "PMI_SIZE", "PMI_RANK"};

static int forget(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unsetenv(names[i]);
	return 0;
}

static struct ranks_started look(void)
{
	struct ranks_started s;
	ranks_look(&s);
	return s;
}

static void ranks__a_process_that_nobody_started_is_alone(void **state)
{
	(void)state;
	struct ranks_started s = look();
	assert_int_equal(s.n, 1);
	assert_int_equal(s.me, 0);
	assert_int_equal(ranks_open(&s), 0);
	assert_null(ranks_world());
	assert_int_equal(ranks_end(ERR_INTERRUPTED), 75);
}

static void ranks__mpirun_and_srun_say_how_many_there_are(void **state)
{
	(void)state;
	setenv("SLURM_STEP_NUM_TASKS", "3", 1);
	setenv("SLURM_PROCID", "2", 1);
	struct ranks_started s = look();
	assert_int_equal(s.n, 3);
	assert_int_equal(s.me, 2);
	assert_string_equal(s.by, "srun");
	setenv("OMPI_COMM_WORLD_SIZE", "4", 1); /* within a job of Slurm */
	setenv("OMPI_COMM_WORLD_RANK", "1", 1);
	s = look();
	assert_int_equal(s.n, 4);
	assert_int_equal(s.me, 1);
	assert_string_equal(s.by, "mpirun");
}

/* A job script has the number of tasks that it asked for, and is one process. */
static void ranks__a_job_script_is_alone(void **state)
{
	(void)state;
	setenv("SLURM_NTASKS", "8", 1);
	setenv("SLURM_PROCID", "0", 1);
	assert_int_equal(look().n, 1);
}

static void ranks__numbers_that_are_none_are_not_believed(void **state)
{
	(void)state;
	static const char *const bad[][2] = {{"2", "2"}, {"two", "0"}, {"2", ""}, {"", "0"}, {"-2", "0"}, {"0", "0"}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		setenv("OMPI_COMM_WORLD_SIZE", bad[i][0], 1);
		setenv("OMPI_COMM_WORLD_RANK", bad[i][1], 1);
		assert_int_equal(look().n, 1);
	}
}

/* Two processes that do not know of each other would work in one folder. */
static void ranks__a_program_without_mpi_refuses_to_be_several(void **state)
{
	(void)state;
	char version[128];
	if (ranks_built(version, sizeof(version)))
		skip();
	assert_int_equal(ranks_open(&(struct ranks_started){.n = 2, .by = "mpirun"}), ERR_DEVICE);
	assert_non_null(strstr(err_message(), "mpirun started 2 processes"));
	assert_non_null(strstr(err_message(), "without MPI"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(ranks__a_process_that_nobody_started_is_alone, forget),
	    cmocka_unit_test_setup(ranks__mpirun_and_srun_say_how_many_there_are, forget),
	    cmocka_unit_test_setup(ranks__a_job_script_is_alone, forget),
	    cmocka_unit_test_setup(ranks__numbers_that_are_none_are_not_believed, forget),
	    cmocka_unit_test_setup(ranks__a_program_without_mpi_refuses_to_be_several, forget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
