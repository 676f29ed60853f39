#include "study/compare_out.h"
#include "study/other_data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "pipeline/report.h"
#include "pipeline/screen.h"
#include "pipeline/table.h"
#include "task/task.h"

const char *const compare_format_names[COMPARE_FORMATS + 1] = {"text", "md", "csv", "latex", "json", NULL};

/* ---- texts of other formats ---- */

static void csv_cell(struct str *out, const char *text)
{
	char *end;
	const bool formula = *text && strchr("=+-@\t\r", *text) && (strtod(text, &end), *end);
	if (!formula && !strpbrk(text, ",\"\n\r")) {
		str_add(out, text);
		return;
	}
	str_add(out, formula ? "\"'" : "\"");
	for (; *text; text++)
		str_addf(out, *text == '"' ? "\"%c" : "%c", *text);
	str_add(out, "\"");
}

void latex_text(struct str *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("&%$#_{}", *text))
			str_addf(out, "\\%c", *text);
		else if (*text == '\\')
			str_add(out, "\\textbackslash{}");
		else if (*text == '~' || *text == '^')
			str_addf(out, "\\%c{}", *text);
		else if (*text == '<' || *text == '>')
			str_addf(out, "$%c$", *text); /* as they are, the usual fonts have other signs in their place */
		else if (*text == '|')
			str_add(out, "\\textbar{}");
		else
			str_addn(out, (unsigned char)*text < ' ' ? "?" : text, 1);
	}
}

void figure_text(char buf[48], const char *format, double v, const char *none)
{
	if (!isfinite(v))
		snprintf(buf, 48, "%s", none);
	else
		snprintf(buf, 48, format, v);
}

/* ---- columns ---- */

enum column {
	COL_RUN,
	COL_MODEL,
	COL_PRECISION,
	COL_N,
	COL_METRIC,
	COL_MEAN,
	COL_SD,
	COL_LOW,
	COL_HIGH,
	COL_DIFFERENCE,
	COL_LOST,
	COL_WON,
	COL_P,
	COL_HOLM,
	COL_VERDICT,
	COL_BYTES,
	COL_LATENCY,
	COL_ACCEPTANCE,
	COL_STATE,
	COLUMNS
};
static const struct {
	const char *key, *title;
	bool tested; /* only where there is a baseline */
} columns[COLUMNS] = {{"run", "run", false}, {"model", "model", false}, {"precision", "precision", false},
    {"n", "runs", false}, {"metric", "metric", false}, {"mean", "mean", false}, {"sd", "sd", false},
    {"low_95", "95 % from", false}, {"high_95", "to", false}, {"difference", "against baseline", true},
    {"right_to_wrong", "lost", true}, {"wrong_to_right", "won", true}, {"p", "p", true}, {"p_holm", "p (Holm)", true},
    {"verdict", "verdict", true}, {"bytes", "bytes", false}, {"latency_ms_median", "ms (b1)", false},
    {"acceptance", "accepted", false}, {"state", "state", false}};

static bool has_column(const struct compare *c, int col)
{
	return (c->has_baseline || !columns[col].tested) && (c->has_acceptance || col != COL_ACCEPTANCE);
}

static void add_figure(struct table *t, const struct compare_row *r, double v, bool exact, bool points)
{
	const bool share = r->of && r->of->share;
	char buf[48];
	figure_text(buf,
	    exact    ? "%.17g"
	    : points ? (share ? "%+.2f" : "%+.4f")
	    : share  ? "%.2f"
		     : "%.4f",
	    share && !exact ? 100 * v : v, exact ? "" : "-");
	table_add(t, "%s", buf);
}

static void add_p(struct table *t, double p, bool exact)
{
	char buf[48];
	figure_text(buf, exact ? "%.17g" : "%.4f", p, exact ? "" : "-");
	table_add(t, "%s", !exact && p < 0.0001 ? "< 0.0001" : buf);
}

static void add_flips(struct table *t, const struct compare_row *r, int64_t n, bool exact)
{
	if (r->has_flips)
		table_add(t, "%lld", (long long)n);
	else
		table_add(t, "%s", exact ? "" : "-");
}

/* "3", "3 of 5": those with results. */
static void add_runs(struct table *t, const struct compare_row *r, bool exact)
{
	if (exact || r->n == r->group->n)
		table_add(t, "%d", r->n);
	else
		table_add(t, "%d of %d", r->n, r->group->n);
}

static void add_state(struct table *t, const struct compare_row *r)
{
	struct str text = {0};
	for (int s = STUDY_FINISHED + 1; s < STUDY_STATES; s++)
		if (r->count[s])
			str_addf(&text, "%s%d %s", text.len ? ", " : "", r->count[s], study_state_names[s]);
	table_add(t, "%s", text.failed ? "?" : str_text(&text));
	str_clear(&text);
}

static void add_bytes(struct table *t, double v, bool exact)
{
	char buf[48];
	figure_text(buf, "%.17g", v, exact ? "" : "-");
	if (exact || !isfinite(v))
		table_add(t, "%s", buf);
	else
		table_add(t, "%s", report_count(v, buf));
}

static void add_latency(struct table *t, double v, bool exact)
{
	char buf[48];
	figure_text(buf, exact ? "%.17g" : "%.4f", v, exact ? "" : "-");
	table_add(t, "%s", buf);
}

static void add_cell(struct table *t, const struct compare_row *r, int col, bool exact)
{
	switch (col) {
	case COL_RUN:
		table_add(t, "%s", r->group->label);
		break;
	case COL_MODEL:
		table_add(t, "%s", r->model ? r->model : exact ? "" : "-");
		break;
	case COL_PRECISION:
		table_add(t, "%s", r->precision);
		break;
	case COL_N:
		add_runs(t, r, exact);
		break;
	case COL_METRIC:
		table_add(t, "%s", exact || !r->of ? r->metric : r->of->title);
		break;
	case COL_MEAN:
		add_figure(t, r, r->spread.mean, exact, false);
		break;
	case COL_SD:
		add_figure(t, r, r->spread.sd, exact, false);
		break;
	case COL_LOW:
		add_figure(t, r, r->low, exact, false);
		break;
	case COL_HIGH:
		add_figure(t, r, r->high, exact, false);
		break;
	case COL_DIFFERENCE:
		add_figure(t, r, r->difference, exact, true);
		break;
	case COL_LOST:
		add_flips(t, r, r->paired.right_to_wrong, exact);
		break;
	case COL_WON:
		add_flips(t, r, r->paired.wrong_to_right, exact);
		break;
	case COL_P:
		add_p(t, r->p, exact);
		break;
	case COL_HOLM:
		add_p(t, r->p_holm, exact);
		break;
	case COL_VERDICT:
		table_add(t, "%s", compare_verdict_names[r->verdict]);
		break;
	case COL_BYTES:
		add_bytes(t, r->bytes, exact);
		break;
	case COL_LATENCY:
		add_latency(t, r->latency_ms, exact);
		break;
	case COL_ACCEPTANCE:
		table_add(t, "%s", r->acceptance);
		break;
	default:
		add_state(t, r);
	}
}

/* Axes stand behind the run; runs of one sweep are called by them, so the label alone serves the eye. */
static void make_table(const struct compare *c, struct table *t, bool exact)
{
	const char *head[COLUMNS + STUDY_AXES_MAX];
	int n = 0;
	for (int col = 0; col < COLUMNS; col++) {
		if (has_column(c, col))
			head[n++] = exact ? columns[col].key : columns[col].title;
		for (int a = 0; col == COL_RUN && exact && a < c->groups.n_axes; a++)
			head[n++] = c->groups.axis[a];
	}
	table_open(t, head, n);
	for (int i = 0; i < c->n; i++) {
		for (int col = 0; col < COLUMNS; col++) {
			if (has_column(c, col))
				add_cell(t, &c->row[i], col, exact);
			for (int a = 0; col == COL_RUN && exact && a < c->groups.n_axes; a++) {
				struct str text = {0};
				study_axis_text(c->row[i].group, c->groups.axis[a], &text);
				table_add(t, "%s", str_text(&text));
				str_clear(&text);
			}
		}
	}
}

void csv_write(const struct table *t, struct str *out)
{
	for (int i = 0; i < t->cells; i++) {
		csv_cell(out, t->cell[i]);
		str_add(out, (i + 1) % t->columns ? "," : "\n");
	}
	out->failed |= t->failed;
}

static void write_latex(const struct table *t, struct str *out)
{
	str_add(out, "\\begin{tabular}{l");
	for (int i = 1; i < t->columns; i++)
		str_add(out, "r");
	str_add(out, "}\n\\toprule\n");
	for (int i = 0; i < t->cells; i++) {
		latex_text(out, t->cell[i]);
		str_add(out, (i + 1) % t->columns ? " & " : " \\\\\n");
		if (i + 1 == t->columns)
			str_add(out, "\\midrule\n");
	}
	str_add(out, "\\bottomrule\n\\end{tabular}\n");
	out->failed |= t->failed;
}

/* ---- words ---- */

static bool any_test(const struct compare *c, bool several)
{
	for (int i = 0; i < c->n; i++)
		if (isfinite(c->row[i].p) && (c->row[i].pairs > 1) == several)
			return true;
	return false;
}

static bool is_first_untested(const struct compare *c, int at)
{
	for (int i = 0; i < at; i++)
		if (c->row[i].verdict == COMPARE_UNTESTED && c->row[i].no_p == c->row[at].no_p)
			return false;
	return true;
}

static void explain_tests(const struct compare *c, bool resampled, struct str *out)
{
	if (any_test(c, false))
		str_addf(out, "One run against one: %s.\n",
		    resampled
			? "McNemar's exact test for shares of samples, else a normal test by a paired bootstrap of "
			  "the test samples"
			: "McNemar's exact test of the samples that one has right and the other wrong");
	if (any_test(c, true))
		str_add(out, "Several runs: the larger p of a paired t test over the runs and a paired test over their "
			     "test samples, for a difference must stand out of both noises.\n");
	str_add(out,
	    "Holm's correction is over all rows, a model that chains share counted once; p (Holm) from 0.05 on is a "
	    "tie.\n");
	for (int i = 0; i < c->n; i++)
		if (c->row[i].verdict == COMPARE_UNTESTED && is_first_untested(c, i))
			str_addf(out, "Untested: %s.\n", c->row[i].no_p);
}

void compare_explain(const struct compare *c, struct str *out)
{
	bool samples = false, resampled = false;
	for (int i = 0; i < c->n; i++) {
		samples |= c->row[i].of_samples;
		resampled |= c->row[i].paired.replicates > 0;
	}
	str_add(out, "Mean, standard deviation (sd) and 95 % interval (Student's t) are over seeds and folds");
	str_add(out, samples ? "; of a single run the interval is that of its test samples (Wilson).\n" : ".\n");
	if (c->has_baseline)
		explain_tests(c, resampled, out);
	other_data_words(c, out);
}
void compare_marks(const struct compare *c, struct str *out)
{
	for (int i = 0; i < c->study->n; i++) {
		const struct study_run *r = &c->study->run[i];
		if (r->state != STUDY_FINISHED)
			str_addf(out, "%s: %s: %s\n", r->path, study_state_names[r->state], r->why ? r->why : "");
	}
}

/* ---- JSON ---- */

static void put_test(struct json_out o, const struct compare *c, const struct compare_row *r)
{
	struct json_out t = json_out_object(o, "against");
	const struct compare_row *base = &c->row[r->baseline];
	json_out_text(t, "run", base->group->label);
	json_out_text(t, "model", base->model);
	json_out_text(t, "verdict", *compare_verdict_names[r->verdict] ? compare_verdict_names[r->verdict] : NULL);
	json_out_text(t, "untested_because", r->no_p);
	json_out_number(t, "pairs", r->pairs);
	json_out_number(t, "pairs_of_other_samples", r->other_samples);
	json_out_exact(t, "difference", r->difference);
	json_out_exact(t, "standard_error_of_samples", r->has_flips ? r->paired.error : NAN);
	json_out_exact(t, "p_of_samples", r->has_flips ? r->paired.p : NAN);
	json_out_exact(t, "p_of_runs", r->p_runs);
	json_out_exact(t, "p", r->p);
	json_out_exact(t, "p_holm", r->p_holm);
	if (!r->has_flips)
		return;
	json_out_number(t, "right_to_wrong", (double)r->paired.right_to_wrong);
	json_out_number(t, "wrong_to_right", (double)r->paired.wrong_to_right);
	json_out_text(t, "test_of_samples",
	    r->paired.exact        ? "mcnemar_exact"
	    : r->paired.replicates ? "paired_bootstrap"
				   : "paired_shares");
}

/* Every figure of the test split that all runs have. */
static void put_metrics(struct json_out o, const struct compare_row *r)
{
	struct json_out metrics = json_out_object(o, "metrics");
	double *v = mem_alloc((size_t)r->n + 1, sizeof(*v));
	const cJSON *f, *test = r->n ? cJSON_GetObjectItemCaseSensitive(r->figures[0], "test") : NULL;
	*o.ok &= v != NULL;
	cJSON_ArrayForEach(f, test)
	{
		struct spread s;
		bool all = v && cJSON_IsNumber(f);
		for (int i = 0; all && i < r->n; i++) {
			v[i] = study_number(cJSON_GetObjectItemCaseSensitive(r->figures[i], "test"), f->string);
			all = isfinite(v[i]);
		}
		if (!all)
			continue;
		struct json_out one = json_out_object(metrics, f->string);
		spread_of(&s, v, r->n);
		json_out_exact(one, "mean", s.mean);
		json_out_exact(one, "sd", s.sd);
	}
	mem_free(v);
}

static void put_row(struct json_out list, const struct compare *c, const struct compare_row *r)
{
	struct json_out o = json_out_object(list, NULL), states, values, axes = json_out_object(o, "axes");
	const cJSON *v;
	json_out_text(o, "run", r->group->label);
	for (int a = 0; a < c->groups.n_axes; a++)
		if ((v = cJSON_GetObjectItemCaseSensitive(r->group->axes, c->groups.axis[a])))
			json_out_item(axes, v->string, cJSON_Duplicate(v, true));
	json_out_text(o, "model", r->model);
	json_out_text(o, "technique", r->technique);
	json_out_text(o, "precision", r->precision);
	json_out_text(o, "metric", r->metric);
	values = json_out_list(o, "values");
	for (int i = 0; i < r->n; i++) {
		struct json_out one = json_out_object(values, NULL);
		json_out_text(one, "path", c->study->run[r->run[i]].path);
		json_out_exact(one, "seed", c->study->run[r->run[i]].seed);
		json_out_exact(
		    one, "fold", c->study->run[r->run[i]].fold < 0 ? NAN : (double)c->study->run[r->run[i]].fold);
		json_out_exact(one, "value", r->value[i]);
	}
	put_metrics(o, r);
	json_out_number(o, "n", r->n);
	json_out_exact(o, "mean", r->spread.mean);
	json_out_exact(o, "sd", r->spread.sd);
	json_out_exact(o, "min", r->spread.min);
	json_out_exact(o, "max", r->spread.max);
	json_out_exact(o, "low_95", r->low);
	json_out_exact(o, "high_95", r->high);
	json_out_exact(o, "bytes", r->bytes);
	json_out_exact(o, "latency_ms_median", r->latency_ms);
	json_out_text(o, "acceptance", *r->acceptance ? r->acceptance : NULL);
	states = json_out_object(o, "states");
	for (int s = 0; s < STUDY_STATES; s++)
		if (r->count[s])
			json_out_number(states, study_state_names[s], r->count[s]);
	if (r->baseline >= 0)
		put_test(o, c, r);
}

static void put_changes(struct json_out root, const struct study *s)
{
	struct json_out list = json_out_list(root, "changed_data");
	struct data_change *change = NULL;
	int n = 0;
	if (other_data_changes(s, &change, &n) < 0)
		*root.ok = false;
	for (int i = 0; i < n; i++) {
		struct json_out o = json_out_object(list, NULL);
		json_out_text(o, "path", s->run[change[i].run].path);
		json_out_text(o, "not_as", s->run[change[i].first].path);
	}
	mem_free(change);
}

static int write_json(const struct compare *c, struct str *out)
{
	bool ok;
	cJSON *json;
	struct json_out root = json_out_begin(&ok), rows = json_out_list(root, "rows"),
			marks = json_out_list(root, "marked");
	for (int i = 0; i < c->n; i++)
		put_row(rows, c, &c->row[i]);
	for (int i = 0; i < c->study->n; i++) {
		const struct study_run *r = &c->study->run[i];
		if (r->state == STUDY_FINISHED)
			continue;
		struct json_out o = json_out_object(marks, NULL);
		json_out_text(o, "path", r->path);
		json_out_text(o, "state", study_state_names[r->state]);
		json_out_text(o, "why", r->why);
	}
	put_changes(root, c->study);
	int rc = json_out_end(root, &json);
	char *text = rc ? NULL : json_print(json, true);
	cJSON_Delete(json);
	if (!rc && !text)
		rc = err_set(ERR_NOMEM, "out of memory");
	if (!rc)
		str_addf(out, "%s\n", text);
	cJSON_free(text);
	return rc;
}

int compare_write(const struct compare *c, enum compare_format format, struct str *out)
{
	struct table t;
	int rc = 0;
	if (format == COMPARE_JSON) {
		rc = write_json(c, out);
	} else {
		make_table(c, &t, format == COMPARE_CSV);
		if (format == COMPARE_CSV)
			csv_write(&t, out);
		else if (format == COMPARE_LATEX)
			write_latex(&t, out);
		else if (format == COMPARE_MD)
			table_markdown(&t, out);
		else
			table_write(&t, screen_width(STDOUT_FILENO), out);
		table_close(&t);
	}
	if (!rc && out->failed)
		rc = err_set(ERR_NOMEM, "out of memory");
	return rc;
}
