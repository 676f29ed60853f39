/* Why a stage runs again, from the parts of two keys. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "pipeline/keys.h"
#include "text/escape.h"

#define SHOWN_MAX   5  /* differences that are told */
#define VALUE_BYTES 60 /* of a value that is shown */

struct differences {
	struct str text;
	int n;
};

static void add_value(struct str *out, const cJSON *v)
{
	char *text = v ? cJSON_PrintUnformatted(v) : NULL;
	const char *s = cJSON_IsString(v) ? v->valuestring : text ? text : "not given";
	size_t n = strlen(s), most = n > VALUE_BYTES ? VALUE_BYTES : n;
	if (cJSON_IsNull(v)) {
		s = "not given";
		most = n = strlen(s);
	}
	while (most < n && most > 0 && ((unsigned char)s[most] & 0xc0) == 0x80)
		most--;
	escape_add(out, s, most);
	str_add(out, most < n ? "..." : "");
	cJSON_free(text);
}

static bool is_hash(const cJSON *v)
{
	return cJSON_IsString(v) && hash_is_hex(v->valuestring);
}

/* Hashes say nothing to a person. */
static void add_difference(struct differences *d, const char *what, const cJSON *then, const cJSON *now)
{
	if (d->n++ >= SHOWN_MAX)
		return;
	str_add(&d->text, d->n > 1 ? "; " : "");
	escape_add(&d->text, what, strlen(what));
	if (is_hash(then) || is_hash(now)) {
		str_add(&d->text, !then ? " is new" : !now ? " is gone" : " has changed");
		return;
	}
	str_add(&d->text, " was ");
	add_value(&d->text, then);
	str_add(&d->text, ", is ");
	add_value(&d->text, now);
}

/* Values that are there on both sides, then those that are gone. */
static void compare(struct differences *d, const char *path, const cJSON *then, const cJSON *now, int depth)
{
	const cJSON *v;
	char at[256];
	if (!cJSON_IsObject(then) || !cJSON_IsObject(now) || depth == 0) {
		if ((!then && cJSON_IsNull(now)) || (!now && cJSON_IsNull(then)))
			return;
		if (!then || !now || !cJSON_Compare(then, now, true))
			add_difference(d, path, then, now);
		return;
	}
	cJSON_ArrayForEach(v, now)
	{
		snprintf(at, sizeof(at), "%s.%s", path, v->string);
		compare(d, at, cJSON_GetObjectItemCaseSensitive(then, v->string), v, depth - 1);
	}
	cJSON_ArrayForEach(v, then)
	{
		snprintf(at, sizeof(at), "%s.%s", path, v->string);
		if (!cJSON_GetObjectItemCaseSensitive(now, v->string))
			compare(d, at, v, NULL, depth - 1);
	}
}

static bool same(const cJSON *then, const cJSON *now, const char *part)
{
	const cJSON *a = cJSON_GetObjectItemCaseSensitive(then, part), *b = cJSON_GetObjectItemCaseSensitive(now, part);
	return (!a && !b) || (a && b && cJSON_Compare(a, b, true));
}

/* What the samples are of comes first, then that they are others. */
static void compare_data(struct differences *d, const cJSON *then, const cJSON *now)
{
	const struct {
		const char *part, *what;
	} samples[] = {{"data.train", "the content of the training split"},
	    {"data.validation", "the content of the validation split"}, {"data.test", "the content of the test split"}};
	const int before = d->n;
	if (same(then, now, "data") && same(then, now, "data.test"))
		return;
	compare(d, "data", cJSON_GetObjectItemCaseSensitive(then, KEY_DATA_OPTIONS),
	    cJSON_GetObjectItemCaseSensitive(now, KEY_DATA_OPTIONS), 3);
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++)
		if (!same(then, now, samples[i].part))
			add_difference(d, samples[i].what, cJSON_GetObjectItemCaseSensitive(then, samples[i].part),
			    cJSON_GetObjectItemCaseSensitive(now, samples[i].part));
	if (d->n == before)
		add_difference(d, "the data", cJSON_GetObjectItemCaseSensitive(then, "data"),
		    cJSON_GetObjectItemCaseSensitive(now, "data"));
}

static const char *name_of(const struct chain *c, const struct stage_ref *r)
{
	return r->stage >= 0 ? c->stage[r->stage].config->name : r->path;
}

static void words_of_part(const struct chain *c, const struct chain_stage *s, const char *part, char out[160])
{
	const struct stage_config *k = s->config;
	int input = -1;
	if (!strcmp(part, "options"))
		snprintf(out, 160, "stages.%s", k->name);
	else if (!strcmp(part, "adapter"))
		snprintf(out, 160, "how the model takes its input (normalisation, vocabulary)");
	else if (!strcmp(part, "transfer"))
		snprintf(out, 160, "the content of the transfer %s", samples_word(SAMPLE_TEXT, s->transfer.pairs));
	else if (!strcmp(part, KEY_PATHS))
		snprintf(out, 160, "the list of input paths");
	else if (!strcmp(part, "program"))
		snprintf(out, 160, "the program");
	else if (!strcmp(part, "pretrained"))
		snprintf(out, 160, "the checkpoint that the model begins with");
	else if ((!strcmp(part, "input") && k->has_input) || (!strcmp(part, "teacher") && k->has_teacher))
		snprintf(out, 160, "the %s '%.100s'", part, name_of(c, *part == 'i' ? &k->input : &k->teacher));
	else if (sscanf(part, "inputs[%d]", &input) == 1 && input >= 0 && input < k->n_input)
		snprintf(out, 160, "the input '%.100s'", name_of(c, &k->inputs[input]));
	else
		snprintf(out, 160, "%.150s", part);
}

static bool is_of_data(const char *part)
{
	return strncmp(part, "data", 4) == 0;
}

void key_differences(const struct chain *c, const struct chain_stage *s, const cJSON *then, char *out, size_t cap)
{
	const cJSON *now = s->key_parts, *v;
	struct differences d = {0};
	char what[160];
	*out = '\0';
	if (!cJSON_IsObject(then)) {
		snprintf(out, cap, "what has changed is not known: it was made by a program that kept no note of that");
		return;
	}
	cJSON_ArrayForEach(v, now)
	{
		words_of_part(c, s, v->string, what);
		if (!is_of_data(v->string))
			compare(&d, what, cJSON_GetObjectItemCaseSensitive(then, v->string), v, 3);
		else if (!strcmp(v->string, "data"))
			compare_data(&d, then, now);
	}
	cJSON_ArrayForEach(v, then)
	{
		words_of_part(c, s, v->string, what);
		if (!is_of_data(v->string) && !cJSON_GetObjectItemCaseSensitive(now, v->string))
			add_difference(&d, what, v, NULL);
	}
	if (d.n > SHOWN_MAX)
		str_addf(&d.text, "; and %d more", d.n - SHOWN_MAX);
	/* Keys that differ without a part that does: the way in which parts become a key has changed. */
	snprintf(out, cap, "%s", d.n ? str_text(&d.text) : "the key is made in another way");
	str_clear(&d.text);
}
