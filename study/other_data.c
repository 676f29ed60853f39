#include "study/other_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define LISTED_MAX 8 /* names in a sentence */

struct entry {
	char key[HASH_HEX]; /* of what decides which samples there are */
	int run;
};

static void add_others(const struct compare *c, struct str *out)
{
	const struct study_group *last = NULL;
	int n = 0;
	for (int i = 0; i < c->n; i++) {
		const struct compare_row *r = &c->row[i];
		if (!r->other_samples || r->group == last)
			continue;
		last = r->group;
		if (n < LISTED_MAX)
			str_addf(out, "%s%s", n ? ", " : "Other test samples than the baseline's: ", r->group->label);
		n++;
	}
	if (n)
		str_addf(out, "%s; their differences are of the data as well.\n", n > LISTED_MAX ? ", ..." : "");
}

static int make_key(const struct study_run *r, char key[HASH_HEX])
{
	const cJSON *resolved = cJSON_GetObjectItemCaseSensitive(r->run, "resolved");
	char *data = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(resolved, "data"));
	char *text = data ? mem_printf("%s\n%.0f\n%d\n%s", r->sweep ? r->sweep : study_text(r->run, "name"), r->seed,
				r->fold, data)
			  : NULL;
	int rc = text ? hash_bytes(text, strlen(text), key) : ERR_NOMEM;
	cJSON_free(data);
	mem_free(text);
	return rc;
}

static int by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	const int order = strcmp(x->key, y->key);
	return order ? order : x->run - y->run;
}

static int by_run(const void *a, const void *b)
{
	return ((const struct data_change *)a)->run - ((const struct data_change *)b)->run;
}

/* Of all three splits. Older evaluations have no hashes. */
static bool same_samples(const struct study_run *a, const struct study_run *b)
{
	static const char *const names[] = {"train", "validation", "test"};
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(a->evaluation, "data");
	const cJSON *y = cJSON_GetObjectItemCaseSensitive(b->evaluation, "data");
	x = cJSON_GetObjectItemCaseSensitive(x, "splits");
	y = cJSON_GetObjectItemCaseSensitive(y, "splits");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *own = study_text(cJSON_GetObjectItemCaseSensitive(x, names[i]), "sha256");
		const char *other = study_text(cJSON_GetObjectItemCaseSensitive(y, names[i]), "sha256");
		if (*own && *other && strcmp(own, other) != 0)
			return false;
	}
	return true;
}

int other_data_changes(const struct study *s, struct data_change **out, int *n)
{
	struct entry *list = mem_alloc((size_t)s->n + 1, sizeof(*list));
	int rc = 0, entries = 0;
	*n = 0;
	*out = mem_alloc((size_t)s->n + 1, sizeof(**out));
	if (!list || !*out)
		rc = ERR_NOMEM;
	for (int i = 0; !rc && i < s->n; i++) {
		if (s->run[i].state != STUDY_FINISHED)
			continue;
		list[entries].run = i;
		rc = make_key(&s->run[i], list[entries++].key);
	}
	if (!rc)
		qsort(list, (size_t)entries, sizeof(*list), by_key);
	for (int i = 0, first = 0; !rc && i < entries; i++) {
		if (strcmp(list[i].key, list[first].key) != 0)
			first = i;
		if (!same_samples(&s->run[list[first].run], &s->run[list[i].run]))
			(*out)[(*n)++] = (struct data_change){list[first].run, list[i].run};
	}
	if (!rc)
		qsort(*out, (size_t)*n, sizeof(**out), by_run);
	mem_free(list);
	return rc;
}

/* How many test samples of any of its runs the model was trained on, and chosen by; n: how many there are. */
static void find_seen(const struct compare *c, const struct compare_row *r, double *trained, double *chosen, double *n)
{
	*trained = *chosen = *n = 0;
	for (int i = 0; i < r->n; i++) {
		const cJSON *seen = cJSON_GetObjectItemCaseSensitive(r->figures[i], "seen");
		const cJSON *data = cJSON_GetObjectItemCaseSensitive(c->study->run[r->run[i]].evaluation, "data");
		const cJSON *splits = cJSON_GetObjectItemCaseSensitive(data, "splits");
		const double of = study_number(cJSON_GetObjectItemCaseSensitive(splits, "test"), "samples");
		const double t = study_number(seen, "train"), v = study_number(seen, "validation");
		if (!((t > 0 || v > 0) && of > 0) || (t <= *trained && v <= *chosen))
			continue;
		*trained = t > 0 ? t : 0;
		*chosen = v > 0 ? v : 0;
		*n = of;
	}
}

static void add_seen(const struct compare *c, struct str *out)
{
	int n = 0;
	for (int i = 0; i < c->n; i++) {
		double trained, chosen, of;
		find_seen(c, &c->row[i], &trained, &chosen, &of);
		if (!(of > 0))
			continue;
		if (n < LISTED_MAX)
			str_addf(out, "%s%s/%s (%.0f and %.0f of %.0f)",
			    n ? ", "
			      : "Test samples that a model was trained on, or chosen by, make its figures too good: ",
			    c->row[i].group->label, c->row[i].model, trained, chosen, of);
		n++;
	}
	if (n)
		str_addf(out, "%s.\n", n > LISTED_MAX ? ", ..." : "");
}

void other_data_words(const struct compare *c, struct str *out)
{
	struct data_change *change = NULL;
	int n = 0;
	add_others(c, out);
	add_seen(c, out);
	if (other_data_changes(c->study, &change, &n) < 0)
		out->failed = true;
	for (int i = 0; i < n && i < LISTED_MAX; i++)
		str_addf(out, "%s%s (%s has others)",
		    i ? ", " : "Data have changed, for the same options and seed: ", c->study->run[change[i].run].path,
		    c->study->run[change[i].first].path);
	if (n)
		str_addf(out, "%s; means and differences are of the data as well.\n", n > LISTED_MAX ? ", ..." : "");
	mem_free(change);
}
