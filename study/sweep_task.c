/* From an index that a batch system gives to the cells that are to be run. */
#include "study/sweep_task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "pipeline/command.h"
#include "study/sweep_run.h"

#define MAX_TASKS_FILE (64U << 20)

static int find_index(const struct sweep_args *a, long *index)
{
	static const char *const names[] = {"SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "PBS_ARRAY_INDEX"};
	const char *text = a->cell, *from = "--cell";
	if (strcmp(a->cell, "auto") == 0) {
		text = NULL;
		for (size_t i = 0; !text && i < sizeof(names) / sizeof(*names); i++)
			text = getenv(from = names[i]);
		if (!text)
			return err_set(ERR_CONFIG, "--cell auto: none of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX and "
						   "PBS_ARRAY_INDEX is set");
	}
	int rc = args_number(from, text, 0, 100000000, index);
	*index += a->offset;
	return rc;
}

static int no_such_cell(const struct sweep *s, long index)
{
	return err_set(ERR_CONFIG, "%s has no cell %ld; it has %d cells, numbered %d to %d", s->out, index, s->n,
	    s->n ? s->cell[0].index : 0, s->n ? s->cell[s->n - 1].index : 0);
}

/* The line of this number, NUL-terminated in the text, or NULL. */
static char *find_line(char *text, long number)
{
	for (char *p = text; p && *p; number--) {
		char *end = strchr(p, '\n');
		if (number == 0) {
			if (end)
				*end = '\0';
			return p;
		}
		p = end ? end + 1 : NULL;
	}
	return NULL;
}

/* "3 4 5" or "0 until teacher". The first error stays, and the others run all the same. */
static int run_line(const struct sweep *s, char *line, const char *file, const volatile sig_atomic_t *stop)
{
	const char *until = NULL;
	char *mark = strstr(line, " until "), *end;
	int first = 0;
	if (mark) {
		*mark = '\0';
		until = mark + strlen(" until ");
	}
	if (!*line)
		return err_set(ERR_CONFIG, "%s: a line of a task names no cell", file);
	for (char *p = line; *p && first != ERR_INTERRUPTED; p = end) {
		long index = strtol(p, &end, 10);
		const struct sweep_cell *c = end == p ? NULL : sweep_find(s, index);
		if (!c)
			return end == p ? err_set(ERR_CONFIG, "%s: '%.40s' is no list of cells", file, line)
					: no_such_cell(s, index);
		int rc = sweep_run_cell(s, c, until, stop);
		if (rc && first)
			fprintf(stderr, "%s\n", err_message());
		if (rc && (!first || rc == ERR_INTERRUPTED))
			first = rc;
	}
	return first;
}

static int run_tasks(const struct sweep *s, const char *file, long index, const volatile sig_atomic_t *stop)
{
	struct fs_bytes bytes;
	int rc = fs_read_regular(file, MAX_TASKS_FILE, &bytes);
	if (rc)
		return rc == ERR_IO ? err_set(ERR_CONFIG, "%s", err_message()) : rc;
	char *line = find_line((char *)bytes.data, index);
	rc = line ? run_line(s, line, file, stop) : err_set(ERR_CONFIG, "%s has no line %ld", file, index);
	fs_bytes_clear(&bytes);
	return rc;
}

int sweep_task_run(const struct sweep *s, const struct sweep_args *a, const volatile sig_atomic_t *stop)
{
	long index;
	int rc = find_index(a, &index);
	if (rc)
		return rc;
	if (a->tasks)
		return run_tasks(s, a->tasks, index, stop);
	const struct sweep_cell *c = sweep_find(s, index);
	return c ? sweep_run_cell(s, c, a->until, stop) : no_such_cell(s, index);
}
