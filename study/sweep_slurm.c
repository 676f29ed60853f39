/* Writing what Slurm is given. */
#include "study/sweep_slurm.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/files.h"
#include "pipeline/outside.h"
#include "study/sweep_cell.h"
#include "study/sweep_levels.h"

#define ASK_SECONDS    10.0
#define SUBMIT_SECONDS 300.0
#define MAX_ARRAY      1001 /* of a Slurm that nobody has set up otherwise */
#define MAX_TRIES      10000

/* A level's arrays, each of at most max_array tasks. */
struct submission {
	const struct sweep *s;
	const struct sweep_args *a;
	struct sweep_levels levels;
	char dir[SWEEP_PATH]; /* OUT/slurm/NN */
	long max_array;
};

/* Paths stand in scripts as they are. */
static int check_path(const char *what, const char *path)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+=@,-";
	size_t n = strspn(path, ok);
	return path[n]
		   ? err_set(ERR_CONFIG, "--slurm: %s has the character '%c', which a job script would need quoted: %s",
			 what, path[n], path)
		   : 0;
}

static void ask_max_array(struct submission *m)
{
	char *argv[] = {"scontrol", "show", "config", NULL};
	struct str text = {0};
	long n = 0;
	m->max_array = m->a->max_array;
	if (m->max_array)
		return;
	if (outside_ask(argv, ASK_SECONDS, &text) == 0) {
		const char *at = strstr(str_text(&text), "MaxArraySize");
		at = at ? strchr(at, '=') : NULL;
		n = at ? strtol(at + 1, NULL, 10) : 0;
	}
	m->max_array = n > 0 ? n : MAX_ARRAY;
	if (n <= 0)
		fprintf(stderr,
		    "warning: scontrol does not say MaxArraySize (%s); arrays are split at %d (--max-array)\n",
		    err_message()[0] ? err_message() : "scontrol: its answer has none", MAX_ARRAY);
	err_clear();
	str_clear(&text);
}

/* OUT/slurm/NN, a new one for each submission, so that the tasks of earlier ones stay what they were. */
static int make_folder(struct submission *m)
{
	char path[SWEEP_PATH + 16];
	snprintf(path, sizeof(path), "%s/slurm", m->s->out);
	int rc = fs_mkdirs(path);
	for (int i = 1; !rc && i <= MAX_TRIES; i++) {
		snprintf(m->dir, sizeof(m->dir), "%s/slurm/%02d", m->s->out, i);
		if (mkdir(m->dir, 0777) == 0) {
			snprintf(path, sizeof(path), "%s/logs", m->dir);
			return fs_mkdirs(path);
		}
		if (!fs_exists(m->dir))
			return err_set(ERR_IO, "%s: the folder cannot be made", m->dir);
	}
	return rc ? rc : err_set(ERR_IO, "%s: too many submissions", m->dir);
}

static int cells_per_task(const struct submission *m, int level)
{
	return level == m->levels.n - 1 ? (int)m->a->per_task : 1;
}

static int tasks_of(const struct submission *m, int level)
{
	const int per = cells_per_task(m, level);
	return (m->levels.level[level].n + per - 1) / per;
}

static int write_level(const struct submission *m, int level)
{
	const struct sweep_level *l = &m->levels.level[level];
	const int per = cells_per_task(m, level);
	char name[32];
	struct str text = {0};
	for (int i = 0; i < l->n; i++) {
		const struct sweep_task *t = &l->task[i];
		str_addf(&text, "%d", m->s->cell[t->cell].index);
		if (t->until)
			str_addf(&text, " until %s", t->until);
		str_add(&text, (i + 1) % per == 0 || i + 1 == l->n ? "\n" : " ");
	}
	snprintf(name, sizeof(name), "level-%d.txt", level + 1);
	int rc = text.failed ? err_set(ERR_NOMEM, "out of memory") : files_write_text(m->dir, name, str_text(&text));
	str_clear(&text);
	return rc;
}

static void add_options(struct str *o, const struct submission *m)
{
	const struct sweep_args *a = m->a;
	const struct {
		const char *name, *value;
	} option[] = {{"partition", a->partition}, {"account", a->account}, {"gres", a->gres}, {"mem", a->memory},
	    {"time", a->time}};
	str_addf(o, "#SBATCH --job-name=%s\n#SBATCH --output=%s/logs/%%A_%%a.log\n", m->s->name, m->dir);
	str_addf(o, "#SBATCH --cpus-per-task=%d\n", a->cpus ? (int)a->cpus : m->s->threads);
	for (size_t i = 0; i < sizeof(option) / sizeof(*option); i++)
		if (option[i].value)
			str_addf(o, "#SBATCH --%s=%s\n", option[i].name, option[i].value);
	str_add(o, "#SBATCH --requeue\n#SBATCH --open-mode=append\n#SBATCH --signal=B:USR1@120\n");
	for (int i = 0; i < a->n_option; i++)
		str_addf(o, "#SBATCH %s\n", a->option[i]);
}

static int write_script(const struct submission *m, const char *program)
{
	struct str o = {0};
	str_addf(&o,
	    "#!/bin/bash\n"
	    "# One task of the sweep %s: runs the cells on one line of the file $1, whose number is the task's plus "
	    "$2.\n"
	    "# Two minutes before its time is up, or when it is preempted, the state of what runs is saved, and the "
	    "task is\n"
	    "# queued again, at most %ld times. What is finished is never run twice. submit.sh submits it.\n",
	    m->s->name, m->a->requeues);
	add_options(&o, m);
	str_add(&o, "set -u\n");
	for (int i = 0; i < m->a->n_module; i++)
		str_addf(&o, "module load %s\n", m->a->module[i]);
	str_addf(&o,
	    "%s sweep %s --cell auto --tasks %s/$1 --offset $2 &\n"
	    "pid=$!\n"
	    "# The signal reaches this shell alone; its wait ends then, before the program does.\n"
	    "trap 'kill -TERM $pid 2>/dev/null' USR1 TERM INT XCPU\n"
	    "wait $pid\n"
	    "status=$?\n"
	    "while kill -0 $pid 2>/dev/null; do\n"
	    "\twait $pid\n"
	    "\tstatus=$?\n"
	    "done\n"
	    "if [ $status -eq 75 ]; then\n"
	    "\tif [ \"${SLURM_RESTART_COUNT:-0}\" -lt %ld ]; then\n"
	    "\t\tscontrol requeue \"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}\"\n"
	    "\telse\n"
	    "\t\techo \"queued again %ld times already; submit the sweep again to go on\" >&2\n"
	    "\tfi\n"
	    "fi\n"
	    "exit $status\n",
	    program, m->s->out, m->dir, m->a->requeues, m->a->requeues);
	int rc =
	    o.failed ? err_set(ERR_NOMEM, "out of memory") : files_write_text(m->dir, "sweep.sbatch", str_text(&o));
	str_clear(&o);
	return rc;
}

/* Task i of this level needs task i of the one before, and nothing else. */
static bool is_one_to_one(const struct submission *m, int level)
{
	const struct sweep_level *l = &m->levels.level[level];
	const int per = cells_per_task(m, level);
	bool is = tasks_of(m, level) == tasks_of(m, level - 1);
	for (int i = 0; is && i < l->n; i++)
		is = l->task[i].parent == i / per;
	return is;
}

/* What a level waits for. One shared piece is needed by all. Of several, those whose piece has failed run it again and
 * fail by themselves, while the others must not be held up. */
static void add_dependency(struct str *o, const struct submission *m, int level, int chunk)
{
	if (level == 0)
		return;
	const int before = tasks_of(m, level - 1);
	const int chunks = (int)((before + m->max_array - 1) / m->max_array);
	if (is_one_to_one(m, level)) {
		str_addf(o, "aftercorr:$level%d_%d", level, chunk);
		return;
	}
	str_add(o, before == 1 ? "afterok" : "afterany");
	for (int i = 0; i < chunks; i++)
		str_addf(o, ":$level%d_%d", level, i);
}

static void add_level(struct str *o, const struct submission *m, int level)
{
	const long n = tasks_of(m, level);
	const bool last = level == m->levels.n - 1;
	str_addf(o, "\n# Level %d: %ld task%s, %s.\n", level + 1, n, n == 1 ? "" : "s",
	    last ? "the cells themselves" : "what several cells share");
	int chunk = 0;
	for (long from = 0; from < n; from += m->max_array, chunk++) {
		long end = n - from < m->max_array ? n - from : m->max_array;
		str_addf(o, "submit 0-%ld", end - 1);
		if (m->a->at_once)
			str_addf(o, "%%%ld", m->a->at_once);
		str_addf(o, " level-%d.txt %ld \"", level + 1, from);
		add_dependency(o, m, level, chunk);
		str_addf(o, "\"\nlevel%d_%d=$id\n", level + 1, chunk);
	}
}

static int write_submit(const struct submission *m, const char *folder)
{
	struct str o = {0};
	str_addf(&o,
	    "#!/bin/sh\n"
	    "# Submits the sweep %s to Slurm: one array of tasks per level. aftercorr: each task waits for the one of "
	    "the\n"
	    "# same number in the level before; afterok: all wait for its only task; afterany: all wait until it has "
	    "ended.\n"
	    "set -eu\n"
	    "cd %s\n"
	    "here=%s\n"
	    "if [ -e $here/jobs.txt ]; then\n"
	    "\techo \"it was submitted already; $here/jobs.txt has the numbers of its jobs\" >&2\n"
	    "\texit 1\n"
	    "fi\n"
	    "submit() { # ARRAY TASKS OFFSET DEPENDENCY\n"
	    "\tid=$(sbatch --parsable --array=$1 ${4:+--dependency=$4 --kill-on-invalid-dep=yes} $here/sweep.sbatch $2 "
	    "$3)\n"
	    "\tid=${id%%%%;*}\n"
	    "\tcase $id in\n"
	    "\t'' | *[!0-9]*)\n"
	    "\t\techo \"sbatch: no number of a job in its answer: $id\" >&2\n"
	    "\t\texit 1\n"
	    "\t\t;;\n"
	    "\tesac\n"
	    "\techo \"$id $2 $3\" >>$here/jobs.txt\n"
	    "\techo \"job $id: $2, tasks $1${4:+, $4}\"\n"
	    "}\n",
	    m->s->name, folder, m->dir);
	for (int i = 0; i < m->levels.n; i++)
		add_level(&o, m, i);
	int rc = o.failed ? err_set(ERR_NOMEM, "out of memory") : files_write_text(m->dir, "submit.sh", str_text(&o));
	str_clear(&o);
	return rc;
}

static int submit(const struct submission *m)
{
	char path[SWEEP_PATH + 16];
	char *argv[] = {"sh", path, NULL};
	struct str said = {0};
	snprintf(path, sizeof(path), "%s/submit.sh", m->dir);
	int rc = outside_ask(argv, SUBMIT_SECONDS, &said);
	fputs(str_text(&said), stdout);
	if (rc && said.len)
		rc = err_context(rc, "only some arrays were submitted (scancel ends them; %s/jobs.txt)", m->dir);
	else if (rc)
		rc = err_context(rc, "nothing was submitted");
	str_clear(&said);
	return rc;
}

static int write_all(struct submission *m, const char *program, const char *folder)
{
	int rc = make_folder(m);
	for (int i = 0; !rc && i < m->levels.n; i++)
		rc = write_level(m, i);
	if (!rc)
		rc = write_script(m, program);
	return rc ? rc : write_submit(m, folder);
}

/* What is finished or at work needs no task. */
static int find_work(struct submission *m)
{
	bool *skip = mem_alloc((size_t)m->s->n, sizeof(*skip));
	if (!skip)
		return ERR_NOMEM;
	for (int i = 0; i < m->s->n; i++) {
		struct cell_report r;
		cell_look(m->s, &m->s->cell[i], &r);
		skip[i] = r.state == CELL_FINISHED || r.state == CELL_RUNNING;
	}
	int rc = sweep_levels_make(&m->levels, m->s, skip);
	mem_free(skip);
	return rc;
}

int sweep_slurm(const struct sweep *s, const struct sweep_args *a)
{
	struct submission m = {.s = s, .a = a};
	char program[PATH_MAX], folder[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (n <= 0 || !getcwd(folder, sizeof(folder)))
		return err_set(ERR_FAIL, "the program or the current folder has no path");
	program[n] = '\0';
	int rc = check_path("the program's path", program);
	if (!rc)
		rc = check_path("the current folder", folder);
	if (!rc)
		rc = check_path("the sweep's folder", s->out);
	if (!rc)
		rc = check_path("the grid's name", s->name);
	if (!rc)
		rc = find_work(&m);
	if (!rc && m.levels.n == 0) {
		printf("nothing to submit: all %d cells are finished or at work\n", s->n);
		return 0;
	}
	if (!rc)
		ask_max_array(&m);
	if (!rc)
		rc = write_all(&m, program, folder);
	if (!rc && a->submit)
		rc = submit(&m);
	else if (!rc)
		printf("%s/sweep.sbatch and submit.sh are written; sh %s/submit.sh submits them\n", m.dir, m.dir);
	sweep_levels_clear(&m.levels);
	return rc;
}
