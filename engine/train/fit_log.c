/* The CSV grows row by row and every row is flushed, so that a killed run leaves the epochs it finished. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "train/fit_log.h"

#define SECONDS_BETWEEN_UPDATES 0.25

static int flush_row(struct fit_log *l, int written)
{
	if (written >= 0 && !fflush(l->csv))
		return 0;
	return err_set(ERR_IO, "%s: %s", l->path, strerror(errno));
}

/* Whether row i of the task is shown: the primary metric and those that tables have. */
static bool is_shown(const struct task *t, int i)
{
	return i == t->primary || t->kind->metric[i].table;
}

static int write_heading(struct fit_log *l, const struct task *t)
{
	int rc = fputs("epoch,train_loss,val_loss", l->csv);
	for (int i = 0; rc >= 0 && i < task_metrics(t); i++)
		rc = is_shown(t, i) ? fprintf(l->csv, ",val_%s", t->kind->metric[i].name) : rc;
	return flush_row(l, rc < 0 ? rc : fputs(",lr,seconds\n", l->csv));
}

static int write_row(struct fit_log *l, const struct fit_row *r)
{
	const struct task *t = r->val->task;
	int rc = fprintf(l->csv, "%" PRId64 ",%.9g,%.9g", r->epoch, r->train_loss, r->val->loss);
	for (int i = 0; rc >= 0 && i < task_metrics(t); i++)
		rc = is_shown(t, i) ? fprintf(l->csv, ",%.6f", r->val->value[i]) : rc;
	return flush_row(l, rc < 0 ? rc : fprintf(l->csv, ",%.9g,%.3f\n", r->lr, r->seconds));
}

/* "  accuracy 0.9712  f1_macro 0.9695" */
static void show_metrics(const struct metrics *m, char *text, size_t room)
{
	size_t used = 0;
	text[0] = '\0';
	for (int i = 0; i < task_metrics(m->task) && used < room; i++)
		if (is_shown(m->task, i))
			used += (size_t)snprintf(
			    text + used, room - used, "  %s %.4f", m->task->kind->metric[i].name, m->value[i]);
}

int fit_log_open(struct fit_log *l, const struct trainer *t, int64_t total_steps)
{
	*l = (struct fit_log){
	    .path = t->log_path, .progress = t->progress, .epochs = t->o->epochs, .total = total_steps};
	if (!l->path)
		return 0;
	l->csv = fopen(l->path, "w");
	if (!l->csv)
		return err_set(ERR_IO, "%s: %s", l->path, strerror(errno));
	return write_heading(l, t->task);
}

void fit_log_step(struct fit_log *l, int64_t epoch, int64_t done, double loss)
{
	char text[128];
	double now;
	if (!l->progress || !l->progress->update)
		return;
	now = clock_now();
	if (now - l->last < SECONDS_BETWEEN_UPDATES && done < l->total)
		return;
	l->last = now;
	snprintf(text, sizeof(text), "epoch %" PRId64 "/%" PRId64 " loss %.4f", epoch + 1, l->epochs, loss);
	l->progress->update(l->progress, text, (double)done, (double)l->total);
}

int fit_log_epoch(struct fit_log *l, const struct fit_row *r)
{
	if (l->progress && l->progress->line) {
		char text[384], metrics[192];
		show_metrics(r->val, metrics, sizeof(metrics));
		snprintf(text, sizeof(text),
		    "epoch %" PRId64 "/%" PRId64 "  train loss %.4f  val loss %.4f%s  %.1f s%s", r->epoch, l->epochs,
		    r->train_loss, r->val->loss, metrics, r->seconds, r->best ? "  best" : "");
		l->progress->line(l->progress, text);
	}
	return l->csv ? write_row(l, r) : 0;
}

int fit_log_text(const struct fit_log *l, char **text)
{
	struct fs_bytes bytes = {0};
	int rc = l->csv ? fs_read(l->path, &bytes) : 0; /* every row was flushed */
	if (rc)
		return rc;
	*text = mem_strdup(bytes.data ? (const char *)bytes.data : "");
	fs_bytes_clear(&bytes);
	return *text ? 0 : ERR_NOMEM;
}

int fit_log_restore(struct fit_log *l, const char *text)
{
	if (!l->csv)
		return 0;
	if (fseek(l->csv, 0, SEEK_SET))
		return err_set(ERR_IO, "%s: %s", l->path, strerror(errno));
	return flush_row(l, fputs(text, l->csv)); /* it begins with the heading that is there */
}

void fit_log_close(struct fit_log *l)
{
	if (l->csv)
		fclose(l->csv);
	*l = (struct fit_log){0};
}
