#include "stages/prune_curve.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "stages/common.h"
#include "stages/prune.h"

/* Heads of all attentions, and trained params. */
static int count_model(const struct model_spec *spec, int64_t *heads, int64_t *parameters)
{
	struct graph g;
	int rc = spec_build(&g, spec, &shape_one);
	*heads = *parameters = 0;
	if (!rc)
		*parameters = graph_parameters(&g);
	for (int i = 0; !rc && i < g.n; i++)
		*heads += g.node[i].op == OP_ATTENTION ? g.node[i].attr.heads : 0;
	graph_clear(&g);
	return rc;
}

static int64_t count_units(const struct model_spec *spec)
{
	int64_t n = 0;
	for (int i = 0; i < spec->n_width; i++)
		n += spec->width[i];
	return n;
}

static int count_masked(const struct model *m, int64_t *masked)
{
	int rc = 0;
	*masked = 0;
	for (int i = 0; !rc && i < m->params.n; i++) {
		const struct param *p = m->params.item[i];
		int64_t left;
		if (!p->mask)
			continue;
		rc = prune_left(&m->params, p, &left);
		*masked += rc ? 0 : shape_count(p->value.shape) - left;
	}
	return rc;
}

static int file_bytes(const struct model *m, uint64_t *bytes)
{
	struct checkpoint c = {.form = FORM_FLOAT};
	struct graph g;
	int rc = spec_build(&g, &m->ckpt.spec, &shape_one);
	if (!rc)
		rc = checkpoint_from_params(&c, &g, &m->params);
	if (!rc)
		rc = tensor_file_bytes(&c.tensors, bytes);
	tensor_file_clear(&c.tensors);
	graph_clear(&g);
	return rc;
}

static double share_gone(int64_t before, int64_t after)
{
	return before > 0 ? 100 * (double)(before - after) / (double)before : NAN;
}

int prune_row_fill(struct prune_row *row, const struct model_spec *input, const struct model *m)
{
	int64_t heads, heads_left, parameters, left, masked;
	uint64_t bytes;
	int rc = count_model(input, &heads, &parameters);
	if (!rc)
		rc = count_model(&m->ckpt.spec, &heads_left, &left);
	if (!rc)
		rc = count_masked(m, &masked);
	if (!rc)
		rc = file_bytes(m, &bytes);
	if (rc)
		return rc;
	row->heads_pct = share_gone(heads, heads_left);
	row->units_pct = share_gone(count_units(input), count_units(&m->ckpt.spec));
	row->sparsity = share_gone(parameters, left - masked);
	row->parameters = (double)left;
	row->bytes = (double)bytes;
	return 0;
}

struct prune_figures prune_figures_of(const struct metrics *m)
{
	const struct metric_row *row = m->task->kind->metric;
	struct prune_figures f = {.f1 = NAN, .primary = metrics_primary(m), .loss = m->loss};
	for (int i = 0; row[i].name; i++)
		if (strcmp(row[i].name, "f1_macro") == 0)
			f.f1 = m->value[i];
	return f;
}

/* ---- in a state ---- */

static const struct {
	const char *key;
	size_t offset;
} numbers[] = {
    {"target", offsetof(struct prune_row, target)},
    {"heads_pct", offsetof(struct prune_row, heads_pct)},
    {"units_pct", offsetof(struct prune_row, units_pct)},
    {"sparsity", offsetof(struct prune_row, sparsity)},
    {"parameters", offsetof(struct prune_row, parameters)},
    {"bytes", offsetof(struct prune_row, bytes)},
    {"before_f1", offsetof(struct prune_row, before.f1)},
    {"before_primary", offsetof(struct prune_row, before.primary)},
    {"before_loss", offsetof(struct prune_row, before.loss)},
    {"after_f1", offsetof(struct prune_row, after.f1)},
    {"after_primary", offsetof(struct prune_row, after.primary)},
    {"after_loss", offsetof(struct prune_row, after.loss)},
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

void prune_row_save(struct json_out list, const struct prune_row *row)
{
	const struct json_out o = json_out_object(list, NULL);
	json_out_number(o, "round", (double)row->round);
	for (size_t i = 0; i < NUMBERS; i++) {
		const double v = *(const double *)((const char *)row + numbers[i].offset);
		if (isfinite(v))
			json_out_exact(o, numbers[i].key, v);
	}
}

bool prune_row_restore(struct prune_row *row, const cJSON *json)
{
	uint64_t round;
	if (!json_uint(cJSON_GetObjectItemCaseSensitive(json, "round"), &round) || round < 1 || round > PRUNE_ROUNDS)
		return false;
	*row = (struct prune_row){.round = (int64_t)round};
	for (size_t i = 0; i < NUMBERS; i++) {
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, numbers[i].key);
		*(double *)((char *)row + numbers[i].offset) = cJSON_IsNumber(v) ? v->valuedouble : NAN;
	}
	return true;
}

/* ---- the file ---- */

static void add_number(struct str *s, const char *format, double v)
{
	str_add(s, ",");
	if (isfinite(v))
		str_addf(s, format, v);
}

int prune_curve_write(const struct prune_curve *c, const struct task *task, const char *dir)
{
	const char *metric = task_metric_name(task, task->primary);
	const bool own = strcmp(metric, "f1_macro") != 0; /* else it is val_f1 */
	char path[1024];
	struct str s = {0};
	str_add(&s, "round,heads_pruned_pct,val_f1,model_size_mb,target_sparsity,sparsity_pct,units_pruned_pct,"
		    "num_parameters,size_bytes,val_loss,val_f1_before,val_loss_before");
	if (own)
		str_addf(&s, ",val_%s,val_%s_before", metric, metric);
	str_add(&s, "\n");
	for (int i = 0; i < c->n; i++) {
		const struct prune_row *r = &c->row[i];
		str_addf(&s, "%" PRId64, r->round);
		add_number(&s, "%.4f", r->heads_pct);
		add_number(&s, "%.6f", r->after.f1);
		add_number(&s, "%.2f", r->bytes / 1e6);
		add_number(&s, "%.6g", r->target);
		add_number(&s, "%.4f", r->sparsity);
		add_number(&s, "%.4f", r->units_pct);
		add_number(&s, "%.0f", r->parameters);
		add_number(&s, "%.0f", r->bytes);
		add_number(&s, "%.9g", r->after.loss);
		add_number(&s, "%.6f", r->before.f1);
		add_number(&s, "%.9g", r->before.loss);
		if (own) {
			add_number(&s, "%.6f", r->after.primary);
			add_number(&s, "%.6f", r->before.primary);
		}
		str_add(&s, "\n");
	}
	int rc = s.failed ? ERR_NOMEM : fs_join(path, sizeof(path), dir, "pruning_curve.csv");
	if (!rc)
		rc = fs_write(path, str_text(&s), s.len);
	str_clear(&s);
	return rc;
}
