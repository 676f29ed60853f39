/* The state of a federation between two rounds: the common weights, the best ones, what the clients' updates have lost,
 * and the figures of the rounds. Who takes part, and every random number, follow from the round. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/json_out.h"
#include "stages/federate.h"
#include "store/safetensors.h"

static struct shape vector(int64_t n)
{
	return shape_of(1, (const int64_t[]){n});
}

static size_t errors(const struct federation *f)
{
	return f->error ? (size_t)(f->o->clients * f->params.trained) : 0;
}

/* --- saving ------------------------------------------------------------------------------------------------------- */

static void put_round(struct json_out list, const struct federate_round *r)
{
	const double numbers[] = {r->loss, r->train_loss, r->train_figure, r->val_loss, r->val_figure,
	    (double)r->clients, (double)r->bytes_up, (double)r->bytes_down, r->seconds};
	struct json_out row = json_out_list(list, NULL);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		json_out_exact(row, NULL, numbers[i]); /* a figure need not be defined */
}

static int put_numbers(const struct federation *f, const struct train_result *r, cJSON **o)
{
	bool ok;
	struct json_out out = json_out_begin(&ok);
	json_out_text(out, "key", f->run->key ? f->run->key : "");
	json_out_number(out, "bad_rounds", (double)f->bad_rounds);
	json_out_number(out, "best_round", (double)f->best_round);
	json_out_number(out, "steps", (double)f->steps);
	json_out_number(out, "resumed", (double)f->resumed);
	json_out_number(out, "trained_samples", (double)f->trained_samples);
	json_out_exact(out, "train_seconds", f->train_seconds);
	json_out_exact(out, "seconds", f->earlier_seconds + clock_now() - f->start);
	json_out_item(out, "best", metrics_save(&r->best));
	struct json_out list = json_out_list(out, "rounds");
	for (int64_t i = 0; i < f->done; i++)
		put_round(list, &f->round[i]);
	return json_out_end(out, o);
}

int federate_save(const struct federation *f, const struct train_result *r)
{
	struct tensor_file file = {0};
	cJSON *o = NULL;
	int rc = put_numbers(f, r, &o);
	if (!rc)
		rc = tensor_file_borrow(&file, "params", DT_F32, vector(f->params.values), f->global);
	if (!rc)
		rc = tensor_file_borrow(&file, "best", DT_F32, vector(f->params.values), f->best);
	if (!rc && f->error)
		rc = tensor_file_borrow(&file, "errors", DT_F32, vector((int64_t)errors(f)), f->error);
	if (!rc)
		rc = resume_put(&file, o, f->run->resume_path);
	cJSON_Delete(o);
	tensor_file_clear(&file);
	return rc;
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static int not_a_state(const struct federation *f, const char *what)
{
	return err_set(ERR_CHECKPOINT,
	    "%s: no state of this stage: %s; remove the file to start the stage from its beginning",
	    f->run->resume_path, what);
}

static int take_values(
    const struct federation *f, const struct tensor_file *file, const char *name, size_t n, float *out)
{
	const struct named_tensor *t = tensor_file_find(file, name);
	if (!t || t->t.dtype != DT_F32 || tensor_bytes(&t->t) != n * sizeof(float))
		return not_a_state(f, name);
	memcpy(out, t->t.data, n * sizeof(float));
	return 0;
}

static bool take_count(const cJSON *o, const char *key, int64_t most, int64_t *out)
{
	uint64_t n;
	if (!json_uint(cJSON_GetObjectItemCaseSensitive(o, key), &n) || n > (uint64_t)most)
		return false;
	*out = (int64_t)n;
	return true;
}

static bool take_seconds(const cJSON *o, const char *key, double *out)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
	*out = cJSON_IsNumber(item) ? item->valuedouble : -1;
	return *out >= 0 && *out <= (double)FLT_MAX;
}

static bool take_round(const cJSON *row, struct federate_round *r)
{
	double v[9];
	int n = 0;
	const cJSON *item;
	cJSON_ArrayForEach(item, row)
	{
		if (n == 9 || (!cJSON_IsNumber(item) && !cJSON_IsNull(item)))
			return false;
		v[n++] = cJSON_IsNull(item) ? NAN : item->valuedouble;
	}
	if (n != 9 || !(v[5] >= 1 && v[5] <= 1e9 && v[6] >= 0 && v[6] <= 0x1p53 && v[7] >= 0 && v[7] <= 0x1p53))
		return false;
	*r = (struct federate_round){.loss = v[0],
	    .train_loss = v[1],
	    .train_figure = v[2],
	    .val_loss = v[3],
	    .val_figure = v[4],
	    .clients = (int64_t)v[5],
	    .bytes_up = (int64_t)v[6],
	    .bytes_down = (int64_t)v[7],
	    .seconds = v[8]};
	return true;
}

static int take_numbers(struct federation *f, const cJSON *o, struct train_result *r)
{
	const cJSON *rounds = cJSON_GetObjectItemCaseSensitive(o, "rounds"), *row;
	bool ok =
	    cJSON_IsArray(rounds) && cJSON_GetArraySize(rounds) >= 1 && cJSON_GetArraySize(rounds) <= f->o->rounds;
	f->done = 0;
	if (!ok)
		return not_a_state(f, "its rounds");
	cJSON_ArrayForEach(row, rounds)
	{
		ok = take_round(row, &f->round[f->done++]) && ok;
	}
	ok = ok && take_count(o, "bad_rounds", f->done, &f->bad_rounds) &&
	     take_count(o, "best_round", f->done, &f->best_round) && f->best_round > 0 &&
	     take_count(o, "steps", INT64_MAX, &f->steps) && take_count(o, "resumed", INT32_MAX, &f->resumed) &&
	     take_count(o, "trained_samples", INT64_MAX, &f->trained_samples) &&
	     take_seconds(o, "train_seconds", &f->train_seconds) && take_seconds(o, "seconds", &f->earlier_seconds);
	if (!ok)
		return not_a_state(f, "its numbers");
	f->resumed++;
	int rc = metrics_init(&r->best, f->t->task);
	if (!rc && metrics_restore(&r->best, cJSON_GetObjectItemCaseSensitive(o, "best")))
		rc = not_a_state(f, "best");
	return rc;
}

int federate_load(struct federation *f, struct train_result *r)
{
	struct tensor_file file;
	cJSON *o;
	if (!f->run->resume_path)
		return 0;
	int rc = resume_get(&file, &o, f->run->resume_path, f->run->key, f->run->progress);
	if (rc != 1)
		return rc;
	rc = take_numbers(f, o, r);
	if (!rc)
		rc = take_values(f, &file, "params", (size_t)f->params.values, f->global);
	if (!rc)
		rc = take_values(f, &file, "best", (size_t)f->params.values, f->best);
	if (!rc && f->error)
		rc = take_values(f, &file, "errors", errors(f), f->error);
	cJSON_Delete(o);
	tensor_file_clear(&file);
	return rc ? rc : 1;
}
