#include "task/paired.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "task/statistics.h"
#include "task/task.h"

/* Samples that have truth and both decisions in common are one cell: a resample counts cells, of which there are few.
 */
struct cells {
	int n;
	int32_t *of;    /* (samples): the cell of each */
	int32_t *first; /* (cells): a sample of each */
	int64_t *count; /* (cells): in the resample */
	const struct paired_run *run;
};

/* Counts of one model's decisions, from which every figure follows. */
struct tally {
	struct metrics m;
};

int decisions_class(const struct decisions *d, const uint8_t *rows, int64_t i)
{
	int32_t class;
	if (d->width == 1)
		return rows[i];
	memcpy(&class, rows + i * d->width, sizeof(class));
	return class;
}

bool paired_knows(const struct metric_row *row)
{
	static const char *const names[] = {"f1_macro", "f1_micro", "f1_weighted", "precision_macro", "recall_macro"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(row->name, names[i]))
			return true;
	return row->of_samples;
}

static int tally_init(struct tally *t, const struct decisions *d)
{
	*t = (struct tally){.m = {.classes = d->classes}};
	t->m.of_class = mem_alloc((size_t)d->classes, sizeof(*t->m.of_class));
	return t->m.of_class ? 0 : ERR_NOMEM;
}

static void tally_clear(struct tally *t)
{
	mem_free(t->m.of_class);
}

static void tally_reset(struct tally *t)
{
	memset(t->m.of_class, 0, (size_t)t->m.classes * sizeof(*t->m.of_class));
	t->m.n = t->m.right = 0;
}

/* Adds a sample `times` times. */
static void tally_add(struct tally *t, const struct decisions *d, const uint8_t *rows, int64_t i, int64_t times)
{
	struct class_figures *of = t->m.of_class;
	const uint8_t *truth = d->truth + i * d->width, *given = rows + i * d->width;
	t->m.n += times;
	if (!d->several) {
		const int there = decisions_class(d, d->truth, i), said = decisions_class(d, rows, i);
		*(there == said ? &of[there].tp : &of[there].fn) += times;
		of[said].fp += there == said ? 0 : times;
		of[there].support += times;
		t->m.right += there == said ? times : 0;
		return;
	}
	t->m.right += memcmp(truth, given, (size_t)d->width) ? 0 : times;
	for (int c = 0; c < d->classes; c++) {
		of[c].tp += truth[c] && given[c] ? times : 0;
		of[c].fn += truth[c] && !given[c] ? times : 0;
		of[c].fp += !truth[c] && given[c] ? times : 0;
		of[c].support += truth[c] ? times : 0;
	}
}

/* As metrics_class_means, without its exact sums: a resample's figure is compared with no limit. */
static double mean_value(const struct metrics *m, const struct metric_row *row)
{
	const bool precision = !strcmp(row->name, "precision_macro"), recall = !strcmp(row->name, "recall_macro");
	const bool weighted = !strcmp(row->name, "f1_weighted");
	double sum = 0, weights = 0;
	for (int c = 0; c < m->classes; c++) {
		const struct class_figures *f = &m->of_class[c];
		const double wrong = precision ? (double)f->fp : recall ? (double)f->fn : (double)(f->fp + f->fn) / 2;
		const double weight = weighted ? (double)f->support : 1;
		sum += f->tp ? weight * (double)f->tp / ((double)f->tp + wrong) : 0;
		weights += weight;
	}
	return weights > 0 ? sum / weights : 0;
}

static double tally_value(struct tally *t, const struct metric_row *row)
{
	int64_t tp = 0, wrong = 0;
	if (row->of_samples)
		return t->m.n ? (double)t->m.right / (double)t->m.n : 0;
	if (!strcmp(row->name, "f1_micro")) {
		for (int c = 0; c < t->m.classes; c++) {
			tp += t->m.of_class[c].tp;
			wrong += t->m.of_class[c].fp + t->m.of_class[c].fn;
		}
		return tp ? 2 * (double)tp / (double)(2 * tp + wrong) : 0;
	}
	return mean_value(&t->m, row);
}

int paired_value(const struct decisions *d, const uint8_t *rows, const struct metric_row *row, double *out)
{
	struct tally t;
	*out = NAN;
	int rc = tally_init(&t, d);
	if (rc)
		return rc;
	for (int64_t i = 0; i < d->n; i++)
		tally_add(&t, d, rows, i, 1);
	*out = paired_knows(row) ? tally_value(&t, row) : NAN;
	tally_clear(&t);
	return 0;
}

static bool same_cell(const struct paired_run *r, int64_t a, int64_t b)
{
	const size_t w = (size_t)r->of.width;
	const int64_t at = a * r->of.width, bt = b * r->of.width;
	return !memcmp(r->of.truth + at, r->of.truth + bt, w) && !memcmp(r->reference + at, r->reference + bt, w) &&
	       !memcmp(r->model + at, r->model + bt, w);
}

static uint64_t hash_rows(const struct paired_run *r, int64_t i)
{
	const uint8_t *rows[] = {r->of.truth, r->reference, r->model};
	uint64_t h = 1469598103934665603u; /* FNV-1a */
	for (int k = 0; k < 3; k++)
		for (int b = 0; b < r->of.width; b++)
			h = (h ^ rows[k][i * r->of.width + b]) * 1099511628211u;
	return h ^ h >> 32;
}

static void cells_clear(struct cells *c)
{
	mem_free(c->of);
	mem_free(c->first);
	mem_free(c->count);
}

static int cells_make(struct cells *c, const struct paired_run *r)
{
	size_t slots = 64;
	while (slots < 2 * (size_t)r->of.n)
		slots *= 2;
	int32_t *slot = mem_alloc(slots, sizeof(*slot)); /* cell + 1 */
	*c = (struct cells){.run = r};
	c->of = mem_alloc((size_t)r->of.n, sizeof(*c->of));
	c->first = mem_alloc((size_t)r->of.n, sizeof(*c->first));
	c->count = mem_alloc((size_t)r->of.n, sizeof(*c->count));
	const bool ok = slot && c->of && c->first && c->count;
	for (int64_t i = 0; ok && i < r->of.n; i++) {
		size_t at = hash_rows(r, i) & (slots - 1);
		while (slot[at] && !same_cell(r, c->first[slot[at] - 1], i))
			at = (at + 1) & (slots - 1);
		if (!slot[at]) {
			c->first[c->n] = (int32_t)i;
			slot[at] = ++c->n;
		}
		c->of[i] = slot[at] - 1;
	}
	mem_free(slot);
	return ok ? 0 : ERR_NOMEM;
}

/* The figure of both models on what the cells count, the model's less the reference's. */
static double difference_of(const struct cells *c, struct tally *t, const struct metric_row *row)
{
	const struct paired_run *r = c->run;
	double value[2];
	for (int k = 0; k < 2; k++) {
		tally_reset(t);
		for (int i = 0; i < c->n; i++)
			if (c->count[i])
				tally_add(t, &r->of, k ? r->model : r->reference, c->first[i], c->count[i]);
		value[k] = tally_value(t, row);
	}
	return value[1] - value[0];
}

static bool leads(const struct paired_run *run, int at)
{
	for (int k = 0; k < at; k++)
		if (!strcmp(run[k].split, run[at].split))
			return false;
	return true;
}

/* One resample: for every split, as many of its samples as it has, with replacement; counted into the cells of all runs
 * on it. */
static void resample(struct cells *c, const struct paired_run *run, int n, uint64_t replicate)
{
	for (int k = 0; k < n; k++)
		memset(c[k].count, 0, (size_t)c[k].n * sizeof(*c[k].count));
	for (int k = 0; k < n; k++) {
		if (!leads(run, k))
			continue;
		const struct rng r = rng_make(0, "paired", RNG_BENCH, run[k].split);
		const uint64_t size = (uint64_t)run[k].of.n;
		for (uint64_t i = 0; i < size; i += 4) {
			const struct rng_words w = rng_draw(r, replicate, i / 4, 0);
			for (uint64_t j = 0; j < 4 && i + j < size; j++) {
				const uint64_t at = (uint64_t)w.w[j] * size >> 32;
				for (int m = k; m < n; m++)
					if (m == k || !strcmp(run[m].split, run[k].split))
						c[m].count[c[m].of[at]]++;
			}
		}
	}
}

static double mean_difference(const struct cells *c, int n, struct tally *t, const struct metric_row *row)
{
	double sum = 0;
	for (int k = 0; k < n; k++)
		sum += difference_of(&c[k], &t[k], row);
	return sum / n;
}

static int bootstrap(const struct paired_run *run, int n, const struct metric_row *row, struct paired_result *out)
{
	struct cells *c = mem_alloc((size_t)n, sizeof(*c));
	struct tally *t = mem_alloc((size_t)n, sizeof(*t));
	int rc = c && t ? 0 : ERR_NOMEM;
	double mean = 0, squares = 0;
	for (int k = 0; !rc && k < n; k++) {
		rc = cells_make(&c[k], &run[k]);
		if (!rc)
			rc = tally_init(&t[k], &run[k].of);
		for (int64_t i = 0; !rc && i < run[k].of.n; i++)
			c[k].count[c[k].of[i]]++;
	}
	if (!rc)
		out->difference = mean_difference(c, n, t, row);
	for (int b = 0; !rc && b < PAIRED_REPLICATES; b++) {
		resample(c, run, n, (uint64_t)b);
		const double v = mean_difference(c, n, t, row), step = v - mean;
		mean += step / (b + 1); /* Welford's sums */
		squares += step * (v - mean);
	}
	out->error = sqrt(squares / (PAIRED_REPLICATES - 1));
	out->replicates = PAIRED_REPLICATES;
	for (int k = 0; k < n; k++) {
		if (c)
			cells_clear(&c[k]);
		if (t)
			tally_clear(&t[k]);
	}
	mem_free(c);
	mem_free(t);
	return rc;
}

static int right_by(const struct decisions *d, const uint8_t *rows, int64_t i)
{
	const int64_t at = i * d->width;
	return !memcmp(d->truth + at, rows + at, (size_t)d->width);
}

static int change(const struct paired_run *r, int64_t i)
{
	return right_by(&r->of, r->model, i) - right_by(&r->of, r->reference, i);
}

/* A share: the mean over runs is a mean over samples of their mean differences, one term for each split. */
static void share(const struct paired_run *run, int n, struct paired_result *out)
{
	double variance = 0;
	for (int k = 0; k < n; k++) {
		if (!leads(run, k))
			continue;
		double sum = 0, squares = 0;
		const double size = (double)run[k].of.n;
		for (int64_t i = 0; i < run[k].of.n; i++) {
			int at = 0;
			for (int m = k; m < n; m++)
				if (m == k || !strcmp(run[m].split, run[k].split))
					at += change(&run[m], i);
			sum += at;
			squares += (double)at * at;
		}
		out->difference += sum / size / n;
		variance += fmax(squares / size - sum / size * (sum / size), 0) / size / n / n;
	}
	out->error = sqrt(variance);
}

/* Samples of all runs, those of one split counted once. */
static int64_t samples(const struct paired_run *run, int n)
{
	int64_t sum = 0;
	for (int k = 0; k < n; k++)
		sum += leads(run, k) ? run[k].of.n : 0;
	return sum;
}

int paired_compare(const struct paired_run *run, int n, const struct metric_row *row, struct paired_result *out)
{
	int rc = 0;
	*out = (struct paired_result){.p = NAN, .error = NAN, .difference = NAN};
	for (int k = 0; k < n; k++)
		for (int64_t i = 0; i < run[k].of.n; i++) {
			const int at = change(&run[k], i);
			out->right_to_wrong += at < 0;
			out->wrong_to_right += at > 0;
		}
	if (n < 1 || !paired_knows(row))
		return 0;
	out->difference = 0;
	if (row->of_samples)
		share(run, n, out);
	else
		rc = bootstrap(run, n, row, out);
	if (rc)
		return rc;
	out->exact = n == 1 && row->of_samples;
	if (out->exact)
		out->p = mcnemar_exact(out->right_to_wrong, out->wrong_to_right);
	else if (out->error > 0)
		out->p = normal_two_sided(out->difference / out->error);
	else /* no spread: no sample speaks for a difference, or each says the same, as in a sign test */
		out->p = out->difference < 0 || out->difference > 0 ? mcnemar_exact(samples(run, n), 0) : 1;
	return 0;
}
