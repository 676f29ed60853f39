#include "study/report.h"

#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "pipeline/version.h"
#include "study/compare_out.h"

#define MARK "report.json" /* the first file that a report writes: a folder that holds it may be written again */

static int check_folder(const char *out)
{
	struct fs_list list = {0};
	if (!fs_exists(out))
		return fs_mkdirs(out);
	int rc = fs_check_dir(out);
	if (!rc)
		rc = fs_list(out, &list);
	bool own = list.n == 0;
	for (int i = 0; i < list.n; i++)
		own |= !strcmp(list.name[i], MARK);
	fs_list_clear(&list);
	if (!rc && !own)
		rc = err_set(ERR_CONFIG,
		    "%s holds files and no %s: it is not a report's folder; choose a new or empty one as --out", out,
		    MARK);
	return rc;
}

static int write_mark(struct report *r)
{
	bool ok;
	cJSON *json;
	struct json_out o = json_out_begin(&ok), runs = json_out_list(o, "runs");
	json_out_text(o, "program_version", program_version);
	json_out_text(o, "program_commit", program_commit);
	for (int i = 0; i < r->study->n; i++) {
		struct json_out run = json_out_object(runs, NULL);
		json_out_text(run, "path", r->study->run[i].path);
		json_out_text(run, "state", study_state_names[r->study->run[i].state]);
		json_out_text(run, "data_key", study_text(r->study->run[i].evaluation, "data_key"));
		json_out_text(run, "key", study_text(r->study->run[i].evaluation, "key"));
	}
	int rc = json_out_end(o, &json);
	if (!rc)
		rc = report_save_json(r, MARK, json);
	cJSON_Delete(json);
	return rc;
}

static int write_tables(struct report *r)
{
	static const struct {
		enum compare_format format;
		const char *name;
	} tables[] = {{COMPARE_MD, "compare.md"}, {COMPARE_CSV, "compare.csv"}, {COMPARE_LATEX, "compare.tex"},
	    {COMPARE_JSON, "compare.json"}};
	int rc = 0;
	for (size_t i = 0; !rc && i < sizeof(tables) / sizeof(*tables); i++) {
		struct str text = {0};
		rc = compare_write(r->compare, tables[i].format, &text);
		if (!rc)
			rc = report_save(r, tables[i].name, &text);
		str_clear(&text);
	}
	return rc;
}

int report_make(struct report *r, struct compare *c, const char *out)
{
	*r = (struct report){.study = c->study, .compare = c, .out = out};
	int rc = check_folder(out);
	if (!rc)
		rc = write_mark(r);
	if (!rc)
		rc = report_models_make(r);
	if (!rc)
		rc = write_tables(r);
	if (!rc)
		rc = report_models_write(r);
	if (!rc)
		rc = report_benchmark_write(r);
	if (!rc)
		rc = report_comparison_write(r);
	if (!rc)
		rc = report_figures_make(r);
	if (!rc)
		rc = report_figures_draw(r);
	return rc ? rc : report_page_write(r);
}

void report_clear(struct report *r)
{
	for (int i = 0; i < r->n_figure; i++)
		cJSON_Delete(r->figure[i].data);
	cJSON_Delete(r->models);
	str_clear(&r->notes);
	*r = (struct report){0};
}
