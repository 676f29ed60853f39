#include "stages/sensitivity.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

void sensitivity_clear(struct sensitivity *s)
{
	mem_free(s->row);
	*s = (struct sensitivity){0};
}

int sensitivity_add(struct sensitivity *s, const struct sensitivity_row *row)
{
	struct sensitivity_row *rows = mem_grow(s->row, (size_t)s->n, (size_t)s->n + 1, sizeof(*rows));
	if (!rows)
		return ERR_NOMEM;
	s->row = rows;
	s->row[s->n++] = *row;
	return 0;
}

const struct sensitivity_row *sensitivity_find(const struct sensitivity *s, const char *layer, double amount)
{
	for (int i = 0; i < s->n; i++)
		if (strcmp(s->row[i].layer, layer) == 0 && fabs(s->row[i].amount - amount) < 1e-9)
			return &s->row[i];
	return NULL;
}

double sensitivity_drop(const struct sensitivity *s, const struct sensitivity_row *r)
{
	const bool higher = s->metric >= 0 && s->task->kind->metric[s->metric].higher_better;
	return 100 * (higher ? s->value - r->value : r->value - s->value);
}

double sensitivity_increase(const struct sensitivity *s, const struct sensitivity_row *r)
{
	return r->loss - s->loss;
}

int sensitivity_write(const struct sensitivity *s, const char *dir)
{
	char path[1024];
	struct str text = {0};
	str_addf(&text, "layer,%s,%s,%s", s->amount, s->unit, s->size);
	if (s->metric != TASK_METRIC_LOSS) /* which has its column anyway */
		str_addf(&text, ",val_%s", task_metric_name(s->task, s->metric));
	str_add(&text, ",drop_points,val_loss,loss_increase\n");
	for (int i = 0; i < s->n; i++) {
		const struct sensitivity_row *r = &s->row[i];
		str_addf(&text, "%s,%g,%.0f,%.0f", r->layer, r->amount, r->weights, r->size);
		if (s->metric != TASK_METRIC_LOSS)
			str_addf(&text, ",%.6f", r->value);
		str_addf(&text, ",%.4f,%.9g,%.9g\n", sensitivity_drop(s, r), r->loss, sensitivity_increase(s, r));
	}
	int rc =
	    text.failed ? err_set(ERR_NOMEM, "out of memory") : fs_join(path, sizeof(path), dir, "sensitivity.csv");
	if (!rc)
		rc = fs_write(path, str_text(&text), text.len);
	str_clear(&text);
	return rc;
}
