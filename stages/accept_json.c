/* The object `acceptance` of checkpoint_info.json (docs/checkpoint.md). */
#include <math.h>

#include "base/err.h"
#include "stages/accept.h"

static void put_limit(struct json_out o, const char *key, double v, bool given)
{
	json_out_number(o, key, given ? v : NAN);
}

static void put_attempt(const struct acceptance *a, const struct accept_attempt *t, struct json_out o)
{
	json_out_text(o, "method", t->method);
	json_out_text(o, "metric", task_metric_name(a->run->task, a->row));
	json_out_number(o, "value", t->value);
	json_out_number(o, "drop", t->drop);
	json_out_number(o, "ratio", t->ratio);
	json_out_number(o, "latency_ms", t->latency_ms);
	json_out_number(o, "input_latency_ms", t->input_latency_ms);
	if (isfinite(t->flips.p)) {
		json_out_number(o, "right_to_wrong", (double)t->flips.right_to_wrong);
		json_out_number(o, "wrong_to_right", (double)t->flips.wrong_to_right);
		json_out_number(o, "p", t->flips.p);
	}
	json_out_number(o, "smallest_difference", t->smallest);
	json_out_text(o, "verdict", verdict_names[t->verdict]);
	json_out_text(o, "reason", t->reason);
}

static int to_json(const struct acceptance *a, cJSON **out)
{
	const struct accept_options *limit = a->o;
	const struct accept_attempt *best = a->best >= 0 ? &a->attempt[a->best] : NULL;
	bool ok;
	struct json_out o = json_out_begin(&ok);
	json_out_text(o, "verdict", verdict_names[best ? best->verdict : VERDICT_INFEASIBLE]);
	json_out_text(o, "chosen", best ? best->method : NULL);
	json_out_text(o, "metric", task_metric_name(a->run->task, a->row));
	json_out_text(o, "split", split_names[SPLIT_VAL]);
	json_out_number(o, "samples", (double)a->run->data->n[SPLIT_VAL]);
	json_out_text(o, "ratio_of", a->ratio_of);
	put_limit(o, "max_drop", limit->max_drop, limit->max_drop < ACCEPT_NO_LIMIT);
	put_limit(o, "min_ratio", limit->min_ratio, limit->min_ratio > 0);
	put_limit(o, "max_latency_ms", limit->max_latency_ms, limit->max_latency_ms > 0);
	json_out_number(o, "false_positives", limit->false_positives);
	json_out_number(o, "power", limit->power);
	json_out_number(o, "input_value", task_metric_value(&a->reference, a->row));
	json_out_number(o, "input_size", a->size);
	struct json_out list = json_out_list(o, "attempts");
	for (int i = 0; i < a->n; i++)
		put_attempt(a, &a->attempt[i], json_out_object(list, NULL));
	return json_out_end(o, out);
}

int accept_record(const struct acceptance *a, cJSON *info, cJSON *summary)
{
	cJSON *json;
	bool ok, also;
	int rc = to_json(a, &json);
	if (rc)
		return rc;
	json_out_item(json_out_into(summary, &also), "acceptance", cJSON_Duplicate(json, true));
	json_out_item(json_out_into(info, &ok), "acceptance", json);
	return ok && also ? 0 : err_set(ERR_NOMEM, "out of memory");
}
