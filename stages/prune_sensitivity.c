/* Which layers feel pruning: each alone loses a share of its weights, or each width a share of its units, and the model
 * is measured on the validation split without any fine-tuning. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/prune_accept.h"

static int measure(struct prune_job *job, struct model *m, struct sensitivity_row *row, struct sensitivity *out)
{
	struct metrics figures = {0};
	int rc = stage_measure(job->run, m, model_build, m, SPLIT_VAL, &figures);
	if (rc)
		return rc;
	row->value = task_metric_value(&figures, out->metric);
	row->loss = figures.loss;
	metrics_clear(&figures);
	return sensitivity_add(out, row);
}

/* What weights are compared by, where it is not their size; NULL: it is. */
struct compared {
	struct channel_norms norms;
	float *score; /* of the set's weights */
};

/* One layer's weights; masks that are there already count. at: of its first score. */
static int mask_layer(struct prune_job *job, const struct prune_set *set, int layer, double share,
    const struct compared *by, int64_t at, struct sensitivity *out)
{
	struct prune_weight *w = &set->weight[layer];
	const struct prune_set one = {.weight = w, .n = 1, .total = w->n};
	const enum prune_scope scope = prune_scope_of(job->o) == SCOPE_ROW ? SCOPE_ROW : SCOPE_LAYER;
	struct sensitivity_row row = {.amount = share, .weights = (double)w->n};
	struct model m = {0};
	int64_t left = 0;
	int rc = model_copy(&m, &job->model, job->run->train_dev);
	if (!rc && by->score)
		rc = prune_lowest(&one, &m.params, by->score + at, scope, share);
	else if (!rc)
		rc = prune_smallest(&one, &m.params, by->norms.n ? &by->norms : NULL, scope, share);
	if (!rc)
		rc = prune_left(&m.params, params_find(&m.params, w->param), &left);
	snprintf(row.layer, sizeof(row.layer), "%s", w->layer);
	row.size = (double)left;
	if (!rc)
		rc = measure(job, &m, &row, out);
	model_clear(&m);
	return rc;
}

static int scan_masks(struct prune_job *job, struct sensitivity *out)
{
	const struct prune_options *o = job->o;
	const struct calibration_size size = prune_calibration_size(o, job->run->data);
	struct compared by = {0};
	struct prune_set set = {0};
	int64_t at = 0;
	int rc = prune_set_init(&set, &job->model.ckpt.spec, o);
	if (!rc && prune_score_of(o) == SCORE_WANDA)
		rc = prune_norms(&set, job->run, &job->model, &size, &by.norms);
	if (!rc && prune_score_of(o) == SCORE_TAYLOR)
		rc = prune_taylor(&set, job->run, &job->model, &size, &by.score);
	for (int i = 0; !rc && i < set.n; at += set.weight[i++].n)
		for (int k = 0; !rc && k < o->sensitivity_sparsity.n; k++)
			rc = mask_layer(job, &set, i, o->sensitivity_sparsity.v[k], &by, at, out);
	channel_norms_clear(&by.norms);
	mem_free(by.score);
	prune_set_clear(&set);
	return rc;
}

/* One width; `want` is the input's spec but for it. */
static int cut_width(
    struct prune_job *job, struct model_spec *want, int width, int units, double share, struct sensitivity *out)
{
	const int before = want->width[width];
	struct sensitivity_row row = {.amount = share, .weights = before, .size = units};
	struct model m = {0};
	char name[64];
	snprintf(row.layer, sizeof(row.layer), "%s", spec_width_name(want, width, name));
	want->width[width] = units;
	int rc = model_copy(&m, &job->model, job->run->train_dev);
	if (!rc)
		rc = prune_units(job->o, job->run, want, &m);
	want->width[width] = before;
	if (!rc)
		rc = measure(job, &m, &row, out);
	model_clear(&m);
	return rc;
}

/* Widths of which the share removes nothing are left out. */
static int scan_widths(struct prune_job *job, struct sensitivity *out)
{
	const struct prune_options *o = job->o;
	struct model_spec want = {0};
	int rc = spec_copy(&want, &job->model.ckpt.spec);
	for (int k = 0; !rc && k < o->sensitivity_sparsity.n; k++) {
		const double share = o->sensitivity_sparsity.v[k];
		struct model_spec after = {0};
		rc = prune_units_spec(o, &want, share, &after);
		if (rc == ERR_CONFIG) {
			stage_line(
			    job->run, "warning: sensitivity_sparsity %g is not in the table: %s", share, err_message());
			err_clear();
			rc = 0;
			continue;
		}
		for (int i = 0; !rc && i < want.n_width; i++)
			if (after.width[i] < want.width[i])
				rc = cut_width(job, &want, i, after.width[i], share, out);
		spec_clear(&after);
	}
	spec_clear(&want);
	return rc;
}

int prune_scan(struct prune_job *job)
{
	struct sensitivity table = {.task = job->run->task,
	    .metric = job->run->task->primary,
	    .amount = "sparsity",
	    .unit = prune_removes_units(job->o) ? "units" : "weights",
	    .size = "left"};
	struct metrics m = {0};
	stage_line(job->run, "each layer alone at %d sparsit%s, on the validation split",
	    job->o->sensitivity_sparsity.n, job->o->sensitivity_sparsity.n == 1 ? "y" : "ies");
	int rc = stage_measure(job->run, &job->model, model_build, &job->model, SPLIT_VAL, &m);
	if (!rc) {
		table.value = task_metric_value(&m, table.metric);
		table.loss = m.loss;
		rc = prune_removes_units(job->o) ? scan_widths(job, &table) : scan_masks(job, &table);
	}
	if (!rc)
		rc = sensitivity_write(&table, job->run->out_dir);
	metrics_clear(&m);
	sensitivity_clear(&table);
	return rc;
}
