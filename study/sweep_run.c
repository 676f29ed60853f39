/* The loop that starts cells and waits for them. */
#include "study/sweep_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "study/sweep_cell.h"

#define TICK_NS      20000000
#define FAILED_NAMED 5 /* failed cells that the message names */

enum fate { FATE_OPEN, FATE_RUNNING, FATE_FINISHED, FATE_FAILED, FATE_ELSEWHERE };

struct job {
	int cell; /* -1: free */
	pid_t pid;
	double begin;
	int done; /* stages */
};

struct scheduler {
	const struct sweep *s;
	enum fate *fate;     /* per cell */
	int *status;         /* per cell: of those that failed */
	const char **broken; /* signs of stages that have failed, each of one cell */
	int n_broken;
	struct job job[SWEEP_MAX_JOBS];
	int jobs, running, ended, failed;
	bool told; /* all were told to end */
};

static enum err error_of(int status)
{
	for (int rc = ERR_GATE; rc <= ERR_CONFIG; rc++)
		if (err_exit_status(rc) == status)
			return (enum err)rc;
	return ERR_FAIL;
}

static void count_end(struct scheduler *k, int cell, enum fate fate, int status)
{
	k->fate[cell] = fate;
	k->status[cell] = status;
	k->ended++;
	k->failed += fate == FATE_FAILED;
}

/* What is finished is not started again; whatever another process is working on is its own. */
static int look_at_all(struct scheduler *k)
{
	int finished = 0, elsewhere = 0, other = 0;
	for (int i = 0; i < k->s->n; i++) {
		struct cell_report r;
		cell_look(k->s, &k->s->cell[i], &r);
		other += r.state == CELL_FINISHED && r.other_program;
		finished += r.state == CELL_FINISHED;
		elsewhere += r.state == CELL_RUNNING;
		if (r.state == CELL_FINISHED || r.state == CELL_RUNNING)
			count_end(k, i, r.state == CELL_FINISHED ? FATE_FINISHED : FATE_ELSEWHERE, 0);
	}
	if (finished)
		fprintf(stderr, "%d of %d cells are finished\n", finished, k->s->n);
	if (other)
		fprintf(stderr,
		    "warning: %d of them were finished by another version of this program; a cell whose "
		    "finished.json is removed is run again\n",
		    other);
	if (elsewhere)
		fprintf(stderr, "%d cells are at work in other processes\n", elsewhere);
	return 0;
}

static bool is_broken(const struct scheduler *k, const char *sign)
{
	for (int i = 0; i < k->n_broken; i++)
		if (strcmp(k->broken[i], sign) == 0)
			return true;
	return false;
}

/* Whether a running cell is yet to finish a stage of this sign. */
static bool is_being_made(const struct scheduler *k, const char *sign)
{
	for (int j = 0; j < k->jobs; j++) {
		const struct sweep_cell *c = k->job[j].cell < 0 ? NULL : &k->s->cell[k->job[j].cell];
		for (int i = k->job[j].done; c && i < c->n_stage; i++)
			if (strcmp(c->stage[i].sign, sign) == 0)
				return true;
	}
	return false;
}

static bool can_start(const struct scheduler *k, const struct sweep_cell *c)
{
	for (int i = 0; i < c->n_stage; i++)
		if (is_being_made(k, c->stage[i].sign))
			return false;
	return true;
}

/* A stage that failed for a reason of its own (config, data, checkpoint, device, gate) fails in every cell. */
static bool skip_broken(struct scheduler *k, int cell)
{
	const struct sweep_cell *c = &k->s->cell[cell];
	for (int i = 0; i < c->n_stage; i++) {
		if (!is_broken(k, c->stage[i].sign))
			continue;
		count_end(k, cell, FATE_FAILED, k->status[cell]);
		fprintf(stderr, "[%d/%d] %s: not started: its stage %s failed in another cell\n", k->ended, k->s->n,
		    c->folder, c->stage[i].name);
		return true;
	}
	return false;
}

/* The next cell that needs nothing of what is being made, or -1. */
static int choose(struct scheduler *k)
{
	for (int i = 0; i < k->s->n; i++)
		if (k->fate[i] == FATE_OPEN && !(k->n_broken && skip_broken(k, i)) && can_start(k, &k->s->cell[i]))
			return i;
	return -1;
}

/* Another process may have taken the cell since it was looked at, and may have ended it. */
static bool is_of_another(struct scheduler *k, int cell)
{
	const struct sweep_cell *c = &k->s->cell[cell];
	struct cell_report r;
	cell_look(k->s, c, &r);
	if (r.state != CELL_RUNNING && r.state != CELL_FINISHED)
		return false;
	count_end(k, cell, r.state == CELL_FINISHED ? FATE_FINISHED : FATE_ELSEWHERE, 0);
	fprintf(stderr, "[%d/%d] %s: %s another process\n", k->ended, k->s->n, c->folder,
	    r.state == CELL_FINISHED ? "was finished by" : "is at work in");
	return true;
}

static int start(struct scheduler *k, struct job *job, int cell)
{
	const struct sweep_cell *c = &k->s->cell[cell];
	if (is_of_another(k, cell))
		return 0;
	int rc = cell_start(k->s, c, NULL, &job->pid);
	if (rc)
		return rc;
	*job = (struct job){.cell = cell, .pid = job->pid, .begin = clock_now(), .done = cell_stages_done(k->s, c, 0)};
	k->fate[cell] = FATE_RUNNING;
	k->running++;
	fprintf(stderr, "%s: %s\n", c->folder, job->done ? "going on" : "begun");
	return 0;
}

static int fill_jobs(struct scheduler *k)
{
	int rc = 0;
	for (int j = 0; j < k->jobs; j++) {
		int cell = 0;
		while (!rc && cell >= 0 && k->job[j].cell < 0) {
			cell = choose(k);
			if (cell >= 0)
				rc = start(k, &k->job[j], cell);
		}
	}
	return rc;
}

static void end_job(struct scheduler *k, struct job *job, int wait_status)
{
	const int cell = job->cell;
	const struct sweep_cell *c = &k->s->cell[cell];
	struct cell_report r = {0};
	int status = cell_end(k->s, c, wait_status, true);
	job->cell = -1;
	k->running--;
	if (status == 75) {
		k->fate[cell] = FATE_OPEN;
		fprintf(stderr, "%s: interrupted; it goes on from there\n", c->folder);
		return;
	}
	if (status && is_of_another(k, cell))
		return;
	count_end(k, cell, status ? FATE_FAILED : FATE_FINISHED, status);
	if (!status) {
		fprintf(
		    stderr, "[%d/%d] %s: finished in %.1f s\n", k->ended, k->s->n, c->folder, clock_now() - job->begin);
		return;
	}
	cell_look(k->s, c, &r);
	fprintf(stderr, "[%d/%d] %s: failed with status %d%s%s\n", k->ended, k->s->n, c->folder, status,
	    *r.message ? ": " : "", r.message);
	for (int i = 0; status <= 6 && status >= 2 && i < c->n_stage; i++)
		if (strcmp(c->stage[i].name, r.stage) == 0)
			k->broken[k->n_broken++] = c->stage[i].sign;
}

static void tell_all(struct scheduler *k)
{
	for (int j = 0; j < k->jobs; j++)
		if (k->job[j].cell >= 0)
			kill(k->job[j].pid, SIGTERM);
	if (k->running)
		fprintf(stderr, "interrupted: %d cells save their state\n", k->running);
	k->told = true;
}

static void reap(struct scheduler *k)
{
	int wait_status;
	for (int j = 0; j < k->jobs; j++) {
		struct job *job = &k->job[j];
		if (job->cell < 0)
			continue;
		if (waitpid(job->pid, &wait_status, WNOHANG) == job->pid)
			end_job(k, job, wait_status);
		else
			job->done = cell_stages_done(k->s, &k->s->cell[job->cell], job->done);
	}
}

static int verdict(const struct scheduler *k, bool stopped)
{
	struct str names = {0};
	int left = 0, named = 0, status = 0;
	bool agree = true;
	for (int i = 0; i < k->s->n; i++) {
		left += k->fate[i] == FATE_OPEN;
		if (k->fate[i] != FATE_FAILED)
			continue;
		if (k->status[i]) {
			agree &= !status || status == k->status[i];
			status = k->status[i];
		}
		if (named++ < FAILED_NAMED)
			str_addf(&names, "%s%s", named > 1 ? ", " : "", k->s->cell[i].folder);
	}
	int rc = 0;
	if (stopped)
		rc = err_set(
		    ERR_INTERRUPTED, "interrupted with %d of %d cells to do; the same command goes on", left, k->s->n);
	else if (named)
		rc = err_set(agree ? error_of(status) : ERR_FAIL,
		    "%d of %d cells failed: %s%s; error.json and run.log in %s/cells say why", named, k->s->n,
		    str_text(&names), named > FAILED_NAMED ? ", ..." : "", k->s->out);
	str_clear(&names);
	return rc;
}

int sweep_run(const struct sweep *s, int jobs, const volatile sig_atomic_t *stop)
{
	struct scheduler k = {.s = s, .jobs = jobs < SWEEP_MAX_JOBS ? jobs : SWEEP_MAX_JOBS};
	k.fate = mem_alloc((size_t)s->n, sizeof(*k.fate));
	k.status = mem_alloc((size_t)s->n, sizeof(*k.status));
	k.broken = mem_alloc((size_t)s->n, sizeof(*k.broken));
	for (int j = 0; j < k.jobs; j++)
		k.job[j].cell = -1;
	int rc = k.fate && k.status && k.broken ? look_at_all(&k) : ERR_NOMEM;
	while (!rc || k.running) {
		if ((rc || *stop) && !k.told)
			tell_all(&k);
		if (!k.told)
			rc = fill_jobs(&k);
		if (!k.running)
			break;
		nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
		reap(&k);
	}
	if (!rc)
		rc = verdict(&k, *stop);
	mem_free(k.fate);
	mem_free(k.status);
	mem_free(k.broken);
	return rc;
}

int sweep_run_cell(
    const struct sweep *s, const struct sweep_cell *c, const char *until, const volatile sig_atomic_t *stop)
{
	struct cell_report r;
	pid_t pid;
	int wait_status;
	bool told = false;
	int rc = sweep_check_config(s, c);
	if (rc)
		return rc;
	cell_look(s, c, &r);
	int least = c->n_stage + 1;
	for (int i = 0; until && i < c->n_stage; i++)
		if (strcmp(c->stage[i].name, until) == 0)
			least = i + 1;
	if (until && least > c->n_stage)
		return err_set(ERR_CONFIG, "--until: %s has no stage '%s'", c->folder, until);
	if (r.state == CELL_FINISHED || r.done >= least) {
		fprintf(stderr, "%s: is finished\n", c->folder);
		return 0;
	}
	if (r.state == CELL_RUNNING) {
		fprintf(stderr, "%s: is at work in another process\n", c->folder);
		return 0;
	}
	fprintf(stderr, "%s: %s%s%s\n", c->folder, r.done ? "going on" : "begun", until ? ", up to " : "",
	    until ? until : "");
	rc = cell_start(s, c, until, &pid);
	if (rc)
		return rc;
	while (waitpid(pid, &wait_status, WNOHANG) != pid) {
		if (*stop && !told)
			kill(pid, SIGTERM);
		told = *stop;
		nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
	}
	int status = cell_end(s, c, wait_status, !until);
	if (status == 75)
		return err_set(ERR_INTERRUPTED, "%s: interrupted; it goes on from there", c->folder);
	if (status == 0)
		return 0;
	cell_look(s, c, &r);
	if (r.state == CELL_RUNNING || r.state == CELL_FINISHED) {
		fprintf(stderr, "%s: another process has taken it\n", c->folder);
		return 0;
	}
	return err_set(error_of(status), "%s: %s", c->folder, r.message);
}
