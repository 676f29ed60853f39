/* Lines for people have columns divided by tabs. One class: name, index, class, probability, then class and probability
 * of further classes, then `right` or the true class. Any of several labels: name, the labels that are given (- if
 * none), then each label with its probability, then `right` or the true labels. */
#include "pipeline/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json_out.h"
#include "pipeline/output.h"
#include "text/escape.h"

static bool is_set(const struct answer *a)
{
	return a->task->kind->target == TARGET_SET;
}

static bool chosen(const struct answer *a, int c)
{
	return a->task->kind->chosen(a->task, a->p, c);
}

static bool is_true(const struct answer *a, int c)
{
	return is_set(a) ? a->truth->set[c] : a->truth->label[0] == c;
}

static void add_name(struct str *out, const struct answer *a, int c)
{
	escape_add(out, a->task->class_name[c], strlen(a->task->class_name[c]));
}

/* The classes of a decision or of the truth: "a, b", or "-". */
static void add_classes(struct str *out, const struct answer *a, bool (*in)(const struct answer *a, int c))
{
	bool any = false;
	for (int c = 0; c < a->task->classes; c++) {
		if (!in(a, c))
			continue;
		str_add(out, any ? ", " : "");
		add_name(out, a, c);
		any = true;
	}
	if (!any)
		str_add(out, "-");
}

static void add_class(struct str *out, const struct answer *a)
{
	for (int c = 0; c < a->task->classes; c++)
		if (chosen(a, c))
			str_addf(out, "%d\t", c);
	add_classes(out, a, chosen);
	str_addf(out, "\t%.4f", a->p[a->best[0]]);
	for (int k = 1; k < a->top && k < a->task->classes; k++) {
		str_add(out, "\t");
		add_name(out, a, a->best[k]);
		str_addf(out, "\t%.4f", a->p[a->best[k]]);
	}
}

static void add_labels(struct str *out, const struct answer *a)
{
	add_classes(out, a, chosen);
	for (int c = 0; c < a->task->classes; c++) {
		str_add(out, "\t");
		add_name(out, a, c);
		str_addf(out, " %.4f", a->p[c]);
	}
}

static int print_line(struct str *line)
{
	int rc = line->failed ? err_set(ERR_NOMEM, "out of memory") : 0;
	if (!rc && puts(str_text(line)) == EOF)
		rc = output_check();
	str_clear(line);
	return rc;
}

int answer_print(const struct answer *a)
{
	struct str line = {0};
	if (a->text || a->name) {
		if (a->name)
			escape_add(&line, a->name, strlen(a->name));
		else
			escape_add(&line, a->text, a->bytes);
		str_add(&line, "\t");
	}
	if (a->text && a->pair && !a->name) {
		escape_add(&line, a->pair, a->pair_bytes);
		str_add(&line, "\t");
	}
	if (is_set(a))
		add_labels(&line, a);
	else
		add_class(&line, a);
	if (a->truth && a->right) {
		str_add(&line, "\tright");
	} else if (a->truth) {
		str_add(&line, "\t");
		add_classes(&line, a, is_true);
	}
	return print_line(&line);
}

static void put_text(struct json_out out, const char *key, const char *text, size_t n)
{
	struct str valid = {0};
	escape_utf8(&valid, text, n);
	if (valid.failed)
		*out.ok = false;
	else
		json_out_text(out, key, str_text(&valid));
	str_clear(&valid);
}

/* Class names come from a JSON file: they are UTF-8. */
static void put_classes(
    struct json_out out, const char *key, const struct answer *a, bool (*in)(const struct answer *a, int c))
{
	struct json_out list = json_out_list(out, key);
	for (int c = 0; c < a->task->classes; c++)
		if (in(a, c))
			json_out_text(list, NULL, a->task->class_name[c]);
}

static void put_decision(struct json_out out, const struct answer *a)
{
	if (is_set(a)) {
		put_classes(out, "labels", a, chosen);
		return;
	}
	for (int c = 0; c < a->task->classes; c++) {
		if (!chosen(a, c))
			continue;
		json_out_number(out, "class", c);
		json_out_text(out, "class_name", a->task->class_name[c]);
	}
}

static void put_truth(struct json_out out, const struct answer *a)
{
	if (is_set(a))
		put_classes(out, "true_labels", a, is_true);
	else
		json_out_number(out, "label", a->truth->label[0]);
	json_out_bool(out, "right", a->right);
}

static int print_json(struct json_out out, const char *before, const char *after)
{
	cJSON *json;
	int rc = json_out_end(out, &json);
	char *text = rc ? NULL : json_print(json, false);
	cJSON_Delete(json);
	if (!rc && !text)
		rc = err_set(ERR_NOMEM, "out of memory");
	if (!rc && printf("%s%s%s", before, text, after) < 0)
		rc = output_check();
	cJSON_free(text);
	return rc;
}

/* Of one class: the probabilities in the order of the classes. Of several labels: each by its name. */
static void put_probabilities(struct json_out out, const struct answer *a)
{
	struct json_out p = is_set(a) ? json_out_object(out, "probabilities") : json_out_list(out, "probabilities");
	for (int c = 0; c < a->task->classes; c++)
		json_out_number(p, is_set(a) ? a->task->class_name[c] : NULL, a->p[c]);
}

int answer_print_json(const struct answer *a, const char *before, const char *after)
{
	bool ok;
	struct json_out out = json_out_begin(&ok);
	if (a->name)
		put_text(out, "name", a->name, strlen(a->name));
	if (a->text)
		put_text(out, "text", a->text, a->bytes);
	if (a->text && a->pair)
		put_text(out, "text_pair", a->pair, a->pair_bytes);
	if (a->without_token)
		json_out_bool(out, "without_token", true);
	put_decision(out, a);
	put_probabilities(out, a);
	if (a->truth)
		put_truth(out, a);
	return print_json(out, before, after);
}

int answer_print_fault(const char *name, const char *message, const char *before, const char *after)
{
	bool ok;
	struct json_out out = json_out_begin(&ok);
	if (name)
		put_text(out, "name", name, strlen(name));
	put_text(out, "error", message, strlen(message));
	return print_json(out, before, after);
}
