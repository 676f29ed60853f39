/* report.html: one file that needs nothing beside it and asks nothing of a network. Whatever comes from runs is text of
 * the page or of its JSON, escaped for its place; scripts run by a nonce alone, so that nothing else on the page can.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json_out.h"
#include "base/utf8.h"
#include "pipeline/report.h"
#include "pipeline/version.h"
#include "study/compare_out.h"
#include "study/report.h"
#include "study/report_page_text.h"
#include "task/task.h"

#define SCRIPT_MAX (8 << 20)

/* Where distributions keep them; the first that is there. */
static const char *const chart_js[] = {"/usr/share/javascript/chart.js/chart.min.js",
    "/usr/share/javascript/chart.js/Chart.min.js", "/usr/local/share/javascript/chart.js/chart.min.js", NULL};
static const char *const dygraph_js[] = {
    "/usr/share/javascript/dygraphs/dygraph.min.js", "/usr/local/share/javascript/dygraphs/dygraph.min.js", NULL};
static const char *const dygraph_css[] = {
    "/usr/share/javascript/dygraphs/dygraph.min.css", "/usr/local/share/javascript/dygraphs/dygraph.min.css", NULL};

/* For text and for attributes in double quotes. What is not UTF-8 or a control character is "?". */
static void add_html(struct str *s, const char *text)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + strlen(text);
	while (p < end) {
		const char *at = (const char *)p;
		const int32_t c = utf8_decode(&p, end);
		const char *as = c == '&'               ? "&amp;"
				 : c == '<'             ? "&lt;"
				 : c == '>'             ? "&gt;"
				 : c == '"'             ? "&quot;"
				 : c == '\''            ? "&#39;"
				 : c < ' ' && c != '\n' ? "?"
							: NULL;
		if (as)
			str_add(s, as);
		else
			str_addn(s, at, (size_t)((const char *)p - at));
	}
}

/* JSON in a script element: no "<" can end it or begin a comment. */
static void add_json(struct str *s, const cJSON *json)
{
	char *text = json_print(json, false);
	s->failed |= !text;
	for (const char *p = text ? text : ""; *p; p++) {
		if (*p == '<')
			str_add(s, "\\u003c");
		else
			str_addn(s, p, 1);
	}
	cJSON_free(text);
}

static void add_base64(struct str *s, const unsigned char *b, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < n; i += 3) {
		const unsigned v =
		    (unsigned)b[i] << 16 | (i + 1 < n ? (unsigned)b[i + 1] << 8 : 0) | (i + 2 < n ? b[i + 2] : 0);
		const char four[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
		    i + 2 < n ? digits[v & 63] : '='};
		str_addn(s, four, 4);
	}
}

/* A library's text inside an element that `end` would close. False: it is not installed. */
static bool add_library(struct str *s, const char *const *paths, const char *end)
{
	struct fs_bytes b = {0};
	while (*paths && !fs_exists(*paths))
		paths++;
	if (!*paths || fs_read_regular(*paths, SCRIPT_MAX, &b) < 0) {
		err_clear();
		return false;
	}
	const char *at = (const char *)b.data, *mark;
	while ((mark = strstr(at, end)) != NULL) {
		str_addn(s, at, (size_t)(mark - at));
		str_addf(s, "<\\%s", end + 1);
		at = mark + strlen(end);
	}
	str_add(s, at);
	fs_bytes_clear(&b);
	return true;
}

/* ---- the table of models ---- */

static void add_head(struct str *s, const char *key, const char *title)
{
	str_addf(s, "<th scope=\"col\" data-key=\"%s\">", key);
	add_html(s, title);
	str_add(s, "</th>");
}

static void add_number(struct str *s, const char *format, double v, double shown)
{
	char buf[48];
	figure_text(buf, format, shown, "-");
	if (isfinite(v))
		str_addf(s, "<td data-v=\"%.17g\">%s</td>", v, buf);
	else
		str_addf(s, "<td>%s</td>", buf);
}

static void add_text(struct str *s, const char *text)
{
	str_add(s, "<td>");
	add_html(s, text);
	str_add(s, "</td>");
}

static void add_states(struct str *s, const struct compare_row *row)
{
	str_add(s, "<td class=\"bad\">");
	for (int k = STUDY_FINISHED + 1, any = 0; k < STUDY_STATES; k++)
		if (row->count[k])
			str_addf(s, "%s%d %s", any++ ? ", " : "", row->count[k], study_state_names[k]);
	str_add(s, "</td>");
}

static void add_row(struct str *s, const struct report *r, const struct compare_row *row)
{
	const bool share = row->of && row->of->share;
	const double scale = share ? 100 : 1;
	const char *format = share ? "%.2f" : "%.4f";
	char count[32];
	str_addf(s, "<tr><td><a href=\"#run-%d\">", row->group->run[0]);
	add_html(s, row->group->label);
	str_add(s, "</a></td>");
	add_text(s, row->model ? row->model : "-");
	add_text(s, row->precision);
	add_number(s, "%.0f", row->n, row->n);
	add_text(s, row->of ? row->of->title : row->metric);
	add_number(s, format, row->spread.mean, scale * row->spread.mean);
	add_number(s, format, row->spread.sd, scale * row->spread.sd);
	add_number(s, format, row->low, scale * row->low);
	add_number(s, format, row->high, scale * row->high);
	if (r->compare->has_baseline) {
		add_number(s, share ? "%+.2f" : "%+.4f", row->difference, scale * row->difference);
		add_number(s, "%.4f", row->p_holm, row->p_holm);
		add_text(s, compare_verdict_names[row->verdict]);
	}
	if (isfinite(row->bytes))
		str_addf(s, "<td data-v=\"%.17g\">%s</td>", row->bytes, report_count(row->bytes, count));
	else
		str_add(s, "<td>-</td>");
	add_number(s, "%.4f", row->latency_ms, row->latency_ms);
	if (r->compare->has_acceptance)
		add_text(s, row->acceptance);
	add_states(s, row);
	str_add(s, "</tr>\n");
}

static void add_models(struct str *s, const struct report *r)
{
	struct str words = {0};
	str_add(s, "<h2>Models</h2><div class=\"wide\"><table class=\"sort\" id=\"models\"><thead><tr>");
	add_head(s, "run", "run");
	add_head(s, "model", "model");
	add_head(s, "precision", "precision");
	add_head(s, "n", "runs");
	add_head(s, "metric", "metric");
	add_head(s, "mean", "mean");
	add_head(s, "sd", "sd");
	add_head(s, "low_95", "95 % from");
	add_head(s, "high_95", "to");
	if (r->compare->has_baseline) {
		add_head(s, "difference", "against baseline");
		add_head(s, "p_holm", "p (Holm)");
		add_head(s, "verdict", "verdict");
	}
	add_head(s, "bytes", "bytes");
	add_head(s, "latency_ms_median", "ms (b1)");
	if (r->compare->has_acceptance)
		add_head(s, "acceptance", "accepted");
	add_head(s, "state", "state");
	str_add(s, "</tr></thead><tbody>\n");
	for (int i = 0; i < r->compare->n; i++)
		add_row(s, r, &r->compare->row[i]);
	str_add(s, "</tbody></table></div><p>");
	compare_explain(r->compare, &words);
	add_html(s, str_text(&words));
	s->failed |= words.failed;
	str_clear(&words);
	str_add(s, "</p>\n");
}

/* ---- figures ---- */

static const char *data_hash(const struct study_run *run)
{
	return study_text(run->evaluation, "data_key");
}

/* Where a figure comes from: the run, its config, the hash of its data, the program. */
static void add_origin(struct str *s, const struct report *r, int run)
{
	const struct study_run *own = &r->study->run[run];
	char label[256];
	str_addf(s, "<a href=\"#run-%d\">", run);
	add_html(s, report_run_label(r, run, label));
	str_add(s, "</a>, config ");
	add_html(s, study_text(own->run, "config"));
	str_addf(s, ", data %.12s, pipeline ", data_hash(own));
	add_html(s, study_text(own->evaluation, "program_version"));
	str_add(s, " (");
	add_html(s, study_text(own->evaluation, "program_commit"));
	str_add(s, ")");
}

static void add_figure(struct str *s, const struct report *r, const struct report_figure *f)
{
	char path[1400];
	struct fs_bytes b = {0};
	str_addf(s, "<figure id=\"%s\"><h3>", f->name);
	add_html(s, f->title);
	str_add(s, "</h3>");
	snprintf(path, sizeof(path), "%s/figures/%s.svg", r->out, f->name);
	if (f->drawn && fs_read_regular(path, SCRIPT_MAX, &b) == 0) {
		str_addf(s, "<img alt=\"%s\" src=\"data:image/svg+xml;base64,", f->title);
		add_base64(s, b.data, b.size);
		str_add(s, "\">");
	}
	fs_bytes_clear(&b);
	err_clear();
	str_add(s, "<figcaption>");
	add_html(s, f->caption);
	str_add(s, " From ");
	if (f->run >= 0)
		add_origin(s, r, f->run);
	else
		str_addf(s, "<a href=\"#runs\">all finished runs</a>");
	str_addf(s, "; <code>figures/%s.dat</code></figcaption></figure>\n", f->name);
}

/* ---- runs ---- */

static void add_runs(struct str *s, const struct report *r)
{
	char label[256];
	str_add(s, "<h2 id=\"runs\">Runs</h2><div class=\"wide\"><table class=\"sort\" id=\"provenance\"><thead><tr>");
	static const char *const heads[] = {
	    "run", "state", "seed", "folder", "config", "data", "version", "commit", "evaluated", "why"};
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		add_head(s, heads[i], heads[i]);
	str_add(s, "</tr></thead><tbody>\n");
	for (int i = 0; i < r->study->n; i++) {
		const struct study_run *run = &r->study->run[i];
		str_addf(s, "<tr id=\"run-%d\"><td>", i);
		add_html(s, report_run_label(r, i, label));
		str_addf(s, "</td><td%s>%s</td>", run->state ? " class=\"bad\"" : "", study_state_names[run->state]);
		add_number(s, "%.0f", run->seed, run->seed);
		add_text(s, run->path);
		add_text(s, study_text(run->run, "config"));
		str_addf(s, "<td title=\"%.64s\"><code>%.12s</code></td>", data_hash(run), data_hash(run));
		add_text(s, study_text(run->state ? run->run : run->evaluation, "program_version"));
		add_text(s, study_text(run->state ? run->run : run->evaluation, "program_commit"));
		add_text(s, study_text(run->evaluation, "timestamp"));
		add_text(s, run->why ? run->why : "");
		str_add(s, "</tr>\n");
	}
	str_add(s, "</tbody></table></div>\n");
}

static int add_data(struct str *s, const struct report *r)
{
	bool ok;
	cJSON *json;
	struct json_out o = json_out_begin(&ok), list = json_out_list(o, "figures");
	for (int i = 0; i < r->n_figure; i++) {
		struct json_out f = json_out_object(list, NULL);
		json_out_text(f, "name", r->figure[i].name);
		json_out_item(f, "data", cJSON_Duplicate(r->figure[i].data, true));
	}
	int rc = json_out_end(o, &json);
	if (!rc)
		add_json(s, json);
	cJSON_Delete(json);
	return rc;
}

static void add_notes(struct str *s, const struct report *r)
{
	str_add(s, "<div id=\"notes\">");
	for (const char *p = str_text(&r->notes); *p; p += strcspn(p, "\n") + 1) {
		struct str line = {0};
		str_addn(&line, p, strcspn(p, "\n"));
		str_add(s, "<p class=\"bad\">");
		add_html(s, str_text(&line));
		str_add(s, "</p>");
		str_clear(&line);
	}
	str_add(s, "</div>\n");
}

/* A nonce that no run could have known: from the time and the page's own content. */
static int make_nonce(const struct report *r, char hex[HASH_HEX])
{
	struct str s = {0};
	str_addf(&s, "%.9f %p %s", clock_now(), (const void *)r, r->out);
	int rc = hash_bytes(str_text(&s), s.len, hex);
	str_clear(&s);
	return rc;
}

static void add_body(struct str *s, const struct report *r)
{
	char now[32];
	int finished = 0;
	clock_utc(now);
	for (int i = 0; i < r->study->n; i++)
		finished += r->study->run[i].state == STUDY_FINISHED;
	str_addf(s,
	    "<button id=\"theme\" type=\"button\">light / dark</button><h1>Report</h1><p>%d run%s, %d finished; "
	    "written %s by "
	    "pipeline %s (%s)</p>\n",
	    r->study->n, r->study->n == 1 ? "" : "s", finished, now, program_version, program_commit);
	add_models(s, r);
	str_add(s, "<h2>Figures</h2><div class=\"figures\">\n");
	for (int i = 0; i < r->n_figure; i++)
		add_figure(s, r, &r->figure[i]);
	str_add(s, "</div>\n");
	add_runs(s, r);
}

int report_page_write(struct report *r)
{
	struct str s = {0}, chart = {0}, dygraph = {0}, css = {0};
	char nonce[HASH_HEX];
	int rc = make_nonce(r, nonce);
	if (rc)
		return rc;
	if (!add_library(&chart, chart_js, "</script"))
		report_note(r,
		    "Chart.js is not installed (Debian: libjs-chart.js): report.html shows gnuplot's pictures instead");
	if (!add_library(&dygraph, dygraph_js, "</script") || !add_library(&css, dygraph_css, "</style"))
		report_note(
		    r, "dygraphs is not installed (Debian: libjs-dygraphs): report.html shows losses without zoom");
	str_addf(&s,
	    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
	    "content=\"width=device-width,"
	    "initial-scale=1\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src "
	    "'nonce-%s'; style-src 'unsafe-inline'; img-src data:\"><title>pipeline "
	    "report</title><style>\n%s%s</style></head><body>\n",
	    nonce, str_text(&css), report_page_style);
	add_body(&s, r);
	add_notes(&s, r);
	str_addf(&s, "<script type=\"application/json\" id=\"data\" nonce=\"%s\">", nonce);
	rc = add_data(&s, r);
	str_addf(&s, "</script>\n<script nonce=\"%s\">", nonce);
	str_add(&s, str_text(&chart));
	str_addf(&s, "</script>\n<script nonce=\"%s\">", nonce);
	str_add(&s, str_text(&dygraph));
	str_addf(&s, "</script>\n<script nonce=\"%s\">%s</script></body></html>\n", nonce, report_page_script);
	s.failed |= chart.failed || dygraph.failed || css.failed;
	if (!rc)
		rc = report_save(r, "report.html", &s);
	str_clear(&s);
	str_clear(&chart);
	str_clear(&dygraph);
	str_clear(&css);
	return rc;
}
