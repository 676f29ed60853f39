/* The state of a sweep: files first, the batch system's word where files say nothing. */
#include "study/sweep_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/command.h"
#include "pipeline/outside.h"
#include "study/sweep_cell.h"

#define ASK_SECONDS 10.0
#define SHOWN       20
#define FILE_MAX    (64U << 20)

struct cell_row {
	struct cell_report r;
	char queue[64]; /* "PENDING (job 12_3)"; "" if the batch system says nothing of it */
	bool is_queued; /* by squeue's word */
	long job;       /* whose it is */
};

/* An array that was submitted: task i is line i + offset of the file. */
struct array_job {
	long id, offset;
	char file[SWEEP_PATH + 32];
};

struct view {
	const struct sweep *s;
	struct cell_row *row;
	struct array_job *job;
	int n_job;
	struct str notes; /* lines: what could not be asked */
};

/* A line of jobs.txt: "ID FILE OFFSET". */
static int add_job(struct view *v, const char *dir, const char *line)
{
	char name[64];
	struct array_job j;
	if (sscanf(line, "%ld %63s %ld", &j.id, name, &j.offset) != 3 || strchr(name, '/'))
		return 0; /* a line that was cut off */
	snprintf(j.file, sizeof(j.file), "%s/%s", dir, name);
	struct array_job *more = mem_grow(v->job, (size_t)v->n_job, (size_t)v->n_job + 1, sizeof(*more));
	if (!more)
		return ERR_NOMEM;
	v->job = more;
	v->job[v->n_job++] = j;
	return 0;
}

static int read_lines(const char *path, struct fs_bytes *bytes)
{
	*bytes = (struct fs_bytes){0};
	int rc = fs_exists(path) ? fs_read_regular(path, FILE_MAX, bytes) : 0;
	err_clear();
	return rc == ERR_NOMEM ? rc : 0;
}

static int find_jobs(struct view *v)
{
	char dir[SWEEP_PATH], path[SWEEP_PATH + 32];
	int rc = 0;
	for (int i = 1;; i++) {
		struct fs_bytes bytes;
		snprintf(dir, sizeof(dir), "%s/slurm/%02d", v->s->out, i);
		if (!fs_is_dir(dir))
			return rc;
		snprintf(path, sizeof(path), "%s/jobs.txt", dir);
		rc = read_lines(path, &bytes);
		char *rest = NULL, *line = bytes.data ? strtok_r((char *)bytes.data, "\n", &rest) : NULL;
		for (; !rc && line; line = strtok_r(NULL, "\n", &rest))
			rc = add_job(v, dir, line);
		fs_bytes_clear(&bytes);
		if (rc)
			return rc;
	}
}

static struct cell_row *row_of(const struct view *v, long index)
{
	const struct sweep_cell *c = sweep_find(v->s, index);
	return c ? &v->row[c - v->s->cell] : NULL;
}

/* A cell's own files know better that it is finished or at work. An earlier submission's task, which is in the
 * accounting, says nothing of a cell that is queued again, nor where a later one was. */
static void note_cell(struct cell_row *row, long job, long task, const char *state, bool is_past)
{
	if (row->r.state == CELL_FINISHED || row->r.state == CELL_RUNNING)
		return;
	if (is_past && (row->is_queued || job < row->job))
		return;
	row->is_queued = !is_past;
	row->job = job;
	snprintf(row->queue, sizeof(row->queue), "%.32s (job %ld_%ld)", state, job, task);
}

/* Notes the state for the cells of one task. */
static void note_task(struct view *v, const struct array_job *j, long task, const char *state, bool is_past)
{
	struct fs_bytes bytes;
	if (read_lines(j->file, &bytes) || !bytes.data)
		return;
	const char *line = (const char *)bytes.data;
	for (long i = task + j->offset; i > 0 && line; i--) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	for (char *end; line && *line >= '0' && *line <= '9'; line = *end == ' ' ? end + 1 : "") {
		struct cell_row *row = row_of(v, strtol(line, &end, 10));
		if (row)
			note_cell(row, j->id, task, state, is_past);
	}
	fs_bytes_clear(&bytes);
}

/* "12_3 PENDING", or with '|'. 1: it is of this form, whosever job it is. */
static int note_line(struct view *v, const char *line, bool is_past)
{
	long id, task;
	char state[33], sign;
	if (sscanf(line, "%ld_%ld%c%32[A-Z_]", &id, &task, &sign, state) != 4) {
		/* a job that is no array, the part of an array that waits as one, or a state with a word behind */
		return strspn(line, "0123456789") > 0 && strpbrk(line, " |") != NULL;
	}
	for (int i = 0; i < v->n_job; i++)
		if (v->job[i].id == id && (!is_past || strcmp(state, "COMPLETED") != 0))
			note_task(v, &v->job[i], task, state, is_past);
	return 1;
}

static void ask(struct view *v, char *const argv[], bool is_past)
{
	struct str text = {0};
	int understood = 0, lines = 0;
	if (outside_ask(argv, ASK_SECONDS, &text) < 0) {
		str_addf(&v->notes, "%s\n", err_message());
		err_clear();
		str_clear(&text);
		return;
	}
	char *rest = NULL, *line = text.text ? strtok_r(text.text, "\n", &rest) : NULL;
	char first[80] = "";
	for (; line; line = strtok_r(NULL, "\n", &rest)) {
		if (!lines++)
			snprintf(first, sizeof(first), "%s", line);
		understood += note_line(v, line, is_past);
	}
	if (lines && !understood)
		str_addf(&v->notes, "%s: its answer is not understood: '%.60s'\n", argv[0], first);
	str_clear(&text);
}

static void ask_squeue(struct view *v)
{
	char user[32];
	snprintf(user, sizeof(user), "%ld", (long)geteuid());
	char *argv[] = {"squeue", "--noheader", "--array", "--user", user, "--format", "%i %T", NULL};
	ask(v, argv, false);
}

/* Only of use for what neither files nor queue explain. */
static void ask_sacct(struct view *v)
{
	struct str ids = {0};
	bool wanted = false;
	for (int i = 0; i < v->s->n; i++)
		wanted |= !v->row[i].queue[0] && (v->row[i].r.state == CELL_NEW || v->row[i].r.state == CELL_BEGUN);
	for (int i = 0; i < v->n_job; i++)
		str_addf(&ids, "%s%ld", i ? "," : "", v->job[i].id);
	char *argv[] = {
	    "sacct", "--noheader", "--parsable2", "--allocations", "--jobs", ids.text, "--format", "JobID,State", NULL};
	if (wanted && ids.text)
		ask(v, argv, true);
	str_clear(&ids);
}

static int print_json(const struct view *v)
{
	bool ok;
	cJSON *json;
	struct json_out root = json_out_begin(&ok);
	json_out_text(root, "out", v->s->out);
	struct json_out list = json_out_list(root, "cells");
	for (int i = 0; i < v->s->n; i++) {
		const struct cell_row *row = &v->row[i];
		struct json_out o = json_out_object(list, NULL);
		json_out_number(o, "index", v->s->cell[i].index);
		json_out_text(o, "folder", v->s->cell[i].folder);
		json_out_text(o, "state", cell_state_names[row->r.state]);
		json_out_number(o, "stages_done", row->r.done);
		json_out_number(o, "stages", v->s->cell[i].n_stage);
		if (row->r.state == CELL_FAILED) {
			json_out_number(o, "status", row->r.status);
			json_out_text(o, "message", row->r.message);
		}
		if (row->queue[0])
			json_out_text(o, "queue", row->queue);
	}
	json_out_text(root, "notes", str_text(&v->notes));
	int rc = json_out_end(root, &json);
	return rc ? rc : command_print_json(json);
}

static void print_state(const struct view *v, enum cell_state state)
{
	int shown = 0, n = 0;
	for (int i = 0; i < v->s->n; i++) {
		const struct cell_row *row = &v->row[i];
		const struct sweep_cell *c = &v->s->cell[i];
		if (row->r.state != state || (state != CELL_FAILED && state != CELL_RUNNING && !row->queue[0]))
			continue;
		n++;
		if (shown == SHOWN)
			continue;
		shown++;
		printf("  %s: %s, %d of %d stages", c->folder, cell_state_names[state], row->r.done, c->n_stage);
		if (state == CELL_FAILED)
			printf(", status %d: %s", row->r.status, row->r.message);
		printf(row->queue[0] ? "; %s\n" : "\n", row->queue);
	}
	if (n > shown)
		printf("  ... and %d more\n", n - shown);
}

static void print_text(const struct view *v)
{
	int count[CELL_STATES] = {0}, other = 0;
	for (int i = 0; i < v->s->n; i++) {
		count[v->row[i].r.state]++;
		other += v->row[i].r.other_program;
	}
	printf("%s: %d cells:", v->s->out, v->s->n);
	for (int k = CELL_STATES - 1; k >= 0; k--)
		printf("%s %d %s", k < CELL_STATES - 1 ? "," : "", count[k], cell_state_names[k]);
	printf("\n");
	if (other)
		printf("%d were finished by another version of this program\n", other);
	print_state(v, CELL_FAILED);
	print_state(v, CELL_RUNNING);
	print_state(v, CELL_BEGUN);
	print_state(v, CELL_NEW);
	for (const char *p = str_text(&v->notes); *p; p += strcspn(p, "\n") + 1)
		printf("note: %.*s; the above is what the cells' own files say\n", (int)strcspn(p, "\n"), p);
}

int sweep_status(const struct sweep *s, bool json)
{
	struct view v = {.s = s, .row = mem_alloc((size_t)s->n + 1, sizeof(*v.row))};
	int rc = v.row ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < s->n; i++)
		cell_look(s, &s->cell[i], &v.row[i].r);
	if (!rc)
		rc = find_jobs(&v);
	if (!rc && v.n_job) {
		ask_squeue(&v);
		ask_sacct(&v);
	}
	if (!rc && json)
		rc = print_json(&v);
	else if (!rc)
		print_text(&v);
	str_clear(&v.notes);
	mem_free(v.row);
	mem_free(v.job);
	return rc;
}
