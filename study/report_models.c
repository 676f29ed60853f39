/* Metrics of every model by stage, over folds, and a summary of the last models: the tables of the compression
 * framework for comments, with its names. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "study/report.h"

/* Which of the files a model belongs to. */
static const char *stage_of(const struct study_run *run, const cJSON *m)
{
	static const char *const kinds[][2] = {{"train", "baseline"}, {"distill", "after_kd"},
	    {"prune", "after_pruning"}, {"quantize", "after_quantization"}, {"joint", "after_quantization"}};
	const struct study_stage *s = study_run_stage(run, study_text(m, "name"));
	for (size_t i = 0; s && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(study_text(s->record, "kind"), kinds[i][0]))
			return kinds[i][1];
	return "baseline";
}

/* The first of two metrics that a task has. */
static double either(const cJSON *test, const char *one, const char *other)
{
	const double v = study_number(test, one);
	return isfinite(v) ? v : study_number(test, other);
}

static void put_list(struct json_out o, const char *key, const cJSON *per_class, const char *figure)
{
	struct json_out list = json_out_list(o, key);
	const cJSON *c;
	bool any = false;
	cJSON_ArrayForEach(c, per_class) any |= isfinite(study_number(c, figure));
	if (!any)
		return;
	cJSON_ArrayForEach(c, per_class) json_out_number(list, NULL, study_number(c, figure));
}

static void put_metrics(struct json_out o, const cJSON *test)
{
	const cJSON *per_class = cJSON_GetObjectItemCaseSensitive(test, "per_class");
	json_out_number(o, "accuracy_exact", either(test, "exact_match", "accuracy"));
	json_out_number(o, "accuracy_per_label", either(test, "label_accuracy", "accuracy"));
	json_out_number(o, "f1_macro", study_number(test, "f1_macro"));
	json_out_number(o, "f1_weighted", study_number(test, "f1_weighted"));
	json_out_number(o, "f1_micro", study_number(test, "f1_micro"));
	json_out_number(o, "precision_macro", study_number(test, "precision_macro"));
	json_out_number(o, "recall_macro", study_number(test, "recall_macro"));
	json_out_number(o, "hamming_loss", study_number(test, "hamming_loss"));
	put_list(o, "per_label_f1", per_class, "f1");
	put_list(o, "per_label_precision", per_class, "precision");
	put_list(o, "per_label_recall", per_class, "recall");
	put_list(o, "per_label_accuracy", per_class, "accuracy");
	json_out_number(o, "roc_auc_macro", study_number(test, "roc_auc_macro"));
	put_list(o, "roc_auc_per_label", per_class, "roc_auc");
	json_out_number(o, "priority_weighted_f1", study_number(test, "f1_priority"));
}

/* Peak memory stands in the checkpoint's own description; one that is damaged says nothing of it, and is noted. */
static double peak_memory(struct report *r, const struct study_run *run, const cJSON *m)
{
	const struct study_stage *s = study_run_stage(run, study_text(m, "name"));
	struct fs_bytes b = {0};
	double v = NAN;
	const char *at = NULL;
	if (s && study_stage_file(run, s, "checkpoint_info.json", &b) != 0)
		report_note(r, "no peak memory: %s", err_message());
	if (b.data)
		at = strstr((const char *)b.data, "\n\t\"peak_memory\":");
	if (at && sscanf(at, "\n\t\"peak_memory\": %lf", &v) != 1)
		v = NAN;
	fs_bytes_clear(&b);
	err_clear();
	return v;
}

static void put_model(struct json_out list, struct report *r, int run, const cJSON *m)
{
	const struct study_run *own = &r->study->run[run];
	const cJSON *latency = cJSON_GetObjectItemCaseSensitive(m, "latency");
	struct json_out o = json_out_object(list, NULL);
	char label[256];
	json_out_text(o, "run", report_run_label(r, run, label));
	json_out_text(o, "model", study_text(m, "name"));
	json_out_text(o, "stage", stage_of(own, m));
	json_out_text(o, "technique", study_text(m, "technique"));
	json_out_text(o, "precision", study_text(m, "precision"));
	json_out_number(o, "seed", own->seed);
	json_out_number(o, "fold", own->fold < 0 ? NAN : (double)own->fold);
	json_out_number(o, "model_size_mb", study_number(m, "bytes") / 1e6);
	json_out_number(o, "num_parameters", study_number(m, "parameters"));
	json_out_number(o, "trainable_parameters", study_number(m, "parameters"));
	json_out_number(o, "sparsity_percent", study_number(m, "sparsity_pct"));
	put_metrics(o, cJSON_GetObjectItemCaseSensitive(m, "test"));
	json_out_number(o, "inference_latency_mean_ms", study_number(latency, "latency_ms_mean"));
	json_out_number(o, "inference_latency_p50_ms", study_number(latency, "latency_ms_median"));
	json_out_number(o, "inference_latency_p95_ms", study_number(latency, "latency_ms_p95"));
	json_out_number(o, "inference_latency_p99_ms", study_number(latency, "latency_ms_p99"));
	json_out_number(o, "throughput_samples_per_sec", study_number(latency, "throughput_sps"));
	json_out_number(o, "peak_memory_mb", peak_memory(r, own, m) / 1e6);
	json_out_number(o, "size_compression_ratio", study_number(m, "compression_ratio"));
	json_out_number(o, "speedup_ratio", study_number(m, "speedup"));
}

int report_models_make(struct report *r)
{
	bool ok = true;
	r->models = cJSON_CreateArray();
	struct json_out list = {r->models, &ok};
	ok = r->models != NULL;
	for (int i = 0; i < r->study->n; i++) {
		const cJSON *m;
		if (r->study->run[i].state != STUDY_FINISHED)
			continue;
		cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(r->study->run[i].evaluation, "models"))
		    put_model(list, r, i, m);
	}
	return json_out_check(list);
}

static bool is_last_of_run(const cJSON *row)
{
	return !row->next || strcmp(study_text(row, "run"), study_text(row->next, "run"));
}

/* A list that borrows the rows of a stage; NULL stage: the last model of each run. */
static int write_stage(struct report *r, const char *name, const char *stage)
{
	cJSON *rows = cJSON_CreateArray();
	const cJSON *row;
	bool ok = rows != NULL;
	cJSON_ArrayForEach(row, r->models)
	{
		if (ok && (stage ? !strcmp(study_text(row, "stage"), stage) : is_last_of_run(row)))
			ok = cJSON_AddItemToArray(rows, cJSON_Duplicate(row, true));
	}
	int rc = ok ? report_save_rows(r, name, rows) : err_set(ERR_NOMEM, "out of memory");
	cJSON_Delete(rows);
	return rc;
}

/* Names before the figures: what differs between the runs, for the last models. */
static int write_final(struct report *r)
{
	cJSON *rows = cJSON_CreateArray();
	bool ok = rows != NULL;
	struct json_out list = {rows, &ok};
	const cJSON *row = r->models->child, *m, *v;
	for (int i = 0; i < r->study->n; i++) {
		const struct study_run *run = &r->study->run[i];
		const cJSON *models = cJSON_GetObjectItemCaseSensitive(run->evaluation, "models");
		if (run->state != STUDY_FINISHED)
			continue;
		cJSON_ArrayForEach(m, models)
		{
			if (!m->next) {
				struct json_out o = json_out_object(list, NULL);
				for (int g = 0; g < r->compare->groups.n; g++) {
					const struct study_group *group = &r->compare->groups.group[g];
					for (int k = 0; k < group->n; k++)
						for (int a = 0; group->run[k] == i && a < r->compare->groups.n_axes;
						     a++) {
							struct str text = {0};
							study_axis_text(group, r->compare->groups.axis[a], &text);
							json_out_text(o, r->compare->groups.axis[a], str_text(&text));
							str_clear(&text);
						}
				}
				cJSON_ArrayForEach(v, row) json_out_item(o, v->string, cJSON_Duplicate(v, true));
			}
			row = row->next;
		}
	}
	int rc = ok ? report_save_rows(r, "results_final", rows) : err_set(ERR_NOMEM, "out of memory");
	cJSON_Delete(rows);
	return rc;
}

static int write_ablation(struct report *r)
{
	bool ok = true;
	cJSON *rows = cJSON_CreateArray();
	struct json_out list = {rows, &ok};
	ok = rows != NULL;
	for (int i = 0; i < r->compare->n; i++) {
		const struct compare_row *row = &r->compare->row[i];
		if (!row->model || (i + 1 < r->compare->n && r->compare->row[i + 1].group == row->group))
			continue;
		struct json_out o = json_out_object(list, NULL);
		json_out_text(o, "pipeline", row->group->label);
		json_out_text(o, "model", row->model);
		json_out_text(o, "metric", row->metric);
		json_out_number(o, "mean", row->spread.mean);
		json_out_number(o, "std", row->spread.sd);
		json_out_number(o, "min", row->spread.min);
		json_out_number(o, "max", row->spread.max);
		json_out_number(o, "n", row->n);
		json_out_number(o, "model_size_mb", row->bytes / 1e6);
		json_out_number(o, "inference_latency_p50_ms", row->latency_ms);
	}
	int rc = json_out_check(list);
	if (!rc && rows->child)
		rc = report_save_csv(r, "ablation_summary.csv", rows);
	cJSON_Delete(rows);
	return rc;
}

int report_models_write(struct report *r)
{
	static const char *const stages[] = {"baseline", "after_kd", "after_pruning", "after_quantization"};
	int rc = 0;
	char name[64];
	for (size_t i = 0; !rc && i < sizeof(stages) / sizeof(*stages); i++) {
		snprintf(name, sizeof(name), "results_%s", stages[i]);
		rc = write_stage(r, name, stages[i]);
	}
	if (!rc && r->models->child)
		rc = report_save_csv(r, "results_all.csv", r->models);
	if (!rc)
		rc = write_final(r);
	return rc ? rc : write_ablation(r);
}
