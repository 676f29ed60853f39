/* comparison_results.json and training_results.json of the satellite project: an object for one run, a list for
 * several. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "study/report_figure.h"

bool report_is_integer(const cJSON *m)
{
	const char *p = study_text(m, "precision");
	return !strncmp(p, "int", 3) || (p[0] == 'w' && p[1] >= '1' && p[1] <= '8');
}

/* The last model of integers, and the FP32 model that it was made from, else the first of FP32. */
const cJSON *report_integer_model(const struct study_run *run, const cJSON **fp32)
{
	const cJSON *models = cJSON_GetObjectItemCaseSensitive(run->evaluation, "models"), *m, *last = NULL;
	const cJSON *stages =
	    cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(run->run, "resolved"), "stages");
	*fp32 = NULL;
	cJSON_ArrayForEach(m, models) last = report_is_integer(m) ? m : last;
	const char *input =
	    last ? study_text(cJSON_GetObjectItemCaseSensitive(stages, study_text(last, "name")), "input") : "";
	cJSON_ArrayForEach(m, models)
	{
		const bool plain = !strcmp(study_text(m, "precision"), "fp32");
		if (plain && (!*fp32 || !strcmp(study_text(m, "name"), input)))
			*fp32 = m;
	}
	return last;
}

static double test_of(const cJSON *m, const char *key)
{
	const cJSON *test = cJSON_GetObjectItemCaseSensitive(m, "test");
	const double v = study_number(test, key);
	return isfinite(v) || strcmp(key, "accuracy") ? v : study_number(test, "exact_match");
}

static void put_side(struct json_out parent, const char *key, const cJSON *m)
{
	struct json_out o = json_out_object(parent, key);
	json_out_number(o, "size_mb", study_number(m, "bytes") / 1e6);
	json_out_number(o, "accuracy", test_of(m, "accuracy"));
	json_out_number(o, "loss", test_of(m, "loss"));
	json_out_number(
	    o, "inference_time_ms", study_number(cJSON_GetObjectItemCaseSensitive(m, "latency"), "latency_ms_median"));
}

static double seconds_of(const struct study_run *run, const cJSON *m)
{
	const struct study_stage *s = study_run_stage(run, study_text(m, "name"));
	return s ? study_number(s->record, "seconds") : NAN;
}

static void put_ratios(struct json_out parent, const cJSON *fp32, const cJSON *int8)
{
	const double big = study_number(fp32, "bytes"), small = study_number(int8, "bytes");
	const double slow = study_number(cJSON_GetObjectItemCaseSensitive(fp32, "latency"), "latency_ms_median");
	const double fast = study_number(cJSON_GetObjectItemCaseSensitive(int8, "latency"), "latency_ms_median");
	struct json_out o = json_out_object(parent, "comparison");
	json_out_number(o, "compression_ratio", big / small);
	json_out_number(o, "size_reduction_percent", 100 * (1 - small / big));
	json_out_number(o, "accuracy_drop_percent", 100 * (test_of(fp32, "accuracy") - test_of(int8, "accuracy")));
	json_out_number(o, "speedup", slow / fast);
}

static void put_name(struct json_out o, const struct report *r, int run, int runs)
{
	char label[256];
	if (runs > 1)
		json_out_text(o, "run", report_run_label(r, run, label));
}

static void put_comparison(struct json_out list, const struct report *r, int run, int runs)
{
	const struct study_run *own = &r->study->run[run];
	const cJSON *fp32, *int8 = report_integer_model(own, &fp32);
	if (!int8 || !fp32)
		return;
	struct json_out o = json_out_object(list, NULL), training, comparison;
	put_name(o, r, run, runs);
	training = json_out_object(o, "training");
	json_out_number(training, "training_time", seconds_of(own, fp32));
	json_out_number(training, "test_accuracy", test_of(fp32, "accuracy"));
	json_out_number(training, "test_loss", test_of(fp32, "loss"));
	comparison = json_out_object(o, "comparison");
	put_side(comparison, "fp32", fp32);
	put_side(comparison, "int8", int8);
	put_ratios(comparison, fp32, int8);
	json_out_text(o, "timestamp", study_text(own->evaluation, "timestamp"));
}

/* ---- training_results.json ---- */

double report_bits(const struct study_run *run, const cJSON *m)
{
	const cJSON *stages =
	    cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(run->run, "resolved"), "stages");
	const double bits =
	    study_number(cJSON_GetObjectItemCaseSensitive(stages, study_text(m, "name")), "weight_bits");
	if (isfinite(bits) && report_is_integer(m))
		return bits;
	return !strcmp(study_text(m, "precision"), "fp32") ? 32 : report_is_integer(m) ? 8 : 16;
}

/* The last epoch that the log has. */
static double last_loss(const struct study_run *run, const cJSON *m)
{
	const struct study_stage *s = study_run_stage(run, study_text(m, "name"));
	struct report_log log = {0};
	double v = NAN;
	if (s && report_log_read(&log, run, s, study_text(m, "name")) == 0 && log.n)
		v = log.train_loss[log.n - 1];
	report_log_clear(&log);
	err_clear();
	return v;
}

/* A training in one place is one round of one node. */
static void put_round(struct json_out o, const struct study_run *own, const cJSON *m)
{
	struct json_out rounds = json_out_list(o, "results_per_round"), round = json_out_object(rounds, NULL);
	json_out_number(round, "round", 1);
	json_out_number(round, "train_loss", last_loss(own, m));
	json_out_null(round, "train_accuracy");
	json_out_number(round, "test_loss", test_of(m, "loss"));
	json_out_number(round, "test_accuracy", test_of(m, "accuracy"));
}

static bool is_federated(const struct study_run *run, const cJSON *m)
{
	const struct study_stage *s = study_run_stage(run, study_text(m, "name"));
	return s && !strcmp(study_text(s->record, "kind"), "federate");
}

/* The rounds as the stage has kept them, with the split that their test_* are of. */
static void put_rounds(struct json_out o, struct report *r, const struct study_run *own, const cJSON *m)
{
	const struct study_stage *s = study_run_stage(own, study_text(m, "name"));
	cJSON *kept = NULL;
	if (study_stage_json(own, s, "training_results.json", &kept) < 0) {
		report_note(r, "training_results.json: %s", err_message());
		err_clear();
	}
	const cJSON *rounds = cJSON_GetObjectItemCaseSensitive(kept, "results_per_round");
	const char *split = study_text(kept, "test_split");
	json_out_item(o, "results_per_round", rounds ? cJSON_Duplicate(rounds, true) : cJSON_CreateArray());
	json_out_text(o, "test_split_of_rounds", *split ? split : NULL);
	cJSON_Delete(kept);
}

static void put_training(struct json_out list, struct report *r, int run, const cJSON *m)
{
	const struct study_run *own = &r->study->run[run];
	const cJSON *stages =
	    cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(own->run, "resolved"), "stages");
	const cJSON *stage = cJSON_GetObjectItemCaseSensitive(stages, study_text(m, "name"));
	const bool federated = is_federated(own, m);
	struct json_out o = json_out_object(list, NULL), sizes;
	char label[256];
	json_out_text(o, "run", report_run_label(r, run, label));
	json_out_text(o, "model", study_text(m, "name"));
	json_out_number(o, "bit_width", report_bits(own, m));
	json_out_number(o, "num_rounds", federated ? study_number(stage, "rounds") : 1);
	json_out_number(o, "fraction_train", federated ? study_number(stage, "fraction") : 1);
	json_out_number(o, "local_epochs", study_number(stage, federated ? "local_epochs" : "epochs"));
	json_out_number(o, "batch_size", study_number(stage, "batch_size"));
	json_out_number(o, "learning_rate", study_number(stage, "lr"));
	json_out_number(o, "training_time_seconds", seconds_of(own, m));
	json_out_number(o, "final_test_accuracy", test_of(m, "accuracy"));
	json_out_number(o, "final_test_loss", test_of(m, "loss"));
	if (federated)
		put_rounds(o, r, own, m);
	else
		put_round(o, own, m);
	sizes = json_out_object(o, "compression_metrics");
	json_out_number(sizes, "size_mb", study_number(m, "bytes") / 1e6);
	json_out_number(sizes, "compression_ratio", study_number(m, "compression_ratio"));
	json_out_number(sizes, "num_parameters", study_number(m, "parameters"));
	json_out_number(sizes, "sparsity_percent", study_number(m, "sparsity_pct"));
	json_out_text(o, "timestamp", study_text(own->evaluation, "timestamp"));
}

/* Trained: a stage with epochs, here or at clients. */
static bool is_trained(const struct study_run *run, const cJSON *m)
{
	const cJSON *stages =
	    cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(run->run, "resolved"), "stages");
	return is_federated(run, m) ||
	       study_number(cJSON_GetObjectItemCaseSensitive(stages, study_text(m, "name")), "epochs") > 0;
}

static int write_list(struct report *r, const char *name, cJSON *list, bool ok, int runs)
{
	int rc = ok ? 0 : err_set(ERR_NOMEM, "out of memory");
	if (!rc && list->child)
		rc = report_save_json(r, name, runs == 1 && !list->child->next ? list->child : list);
	cJSON_Delete(list);
	return rc;
}

int report_comparison_write(struct report *r)
{
	bool ok = true, ok_training = true;
	struct json_out pairs = {cJSON_CreateArray(), &ok}, trained = {cJSON_CreateArray(), &ok_training};
	int runs = 0;
	ok = pairs.at;
	ok_training = trained.at;
	for (int i = 0; i < r->study->n; i++)
		runs += r->study->run[i].state == STUDY_FINISHED;
	for (int i = 0; ok && ok_training && i < r->study->n; i++) {
		const struct study_run *run = &r->study->run[i];
		const cJSON *m;
		if (run->state != STUDY_FINISHED)
			continue;
		put_comparison(pairs, r, i, runs);
		cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(run->evaluation,
					  "models")) if (is_trained(run, m)) put_training(trained, r, i, m);
	}
	int rc = write_list(r, "comparison_results.json", pairs.at, ok, runs);
	if (rc)
		cJSON_Delete(trained.at);
	return rc ? rc : write_list(r, "training_results.json", trained.at, ok_training, 0);
}
