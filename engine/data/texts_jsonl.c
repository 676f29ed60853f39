/* Rows of a file of JSON Lines: one object a line. What the fields are called is settled by the first line, and
 * whether the label is one name or a list of names. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/texts.h"

#define LINE_MAX_BYTES (1 << 24) /* the parser takes up to 32 times as much memory */
#define NUMBER_MAX     24        /* bytes of a whole number below 2^53, or of true and false, with its NUL */

struct json_reader {
	struct text_file *f;
	const struct data_options *o;
	/* Names of the fields; owned; pair NULL where samples are single texts, label NULL with o->labels, or where
	 * labels are not read. */
	char *text, *pair, *label;
	char *out; /* next free byte of f->strings */
};

static char zero[] = "0", one[] = "1"; /* never written to: they end in no blank */

/* Splits are named by columns of CSV alone; who has a field for them would take them for read. */
static int note_splits(struct data_notes *notes, const char *where, const cJSON *object)
{
	const char *slash = strrchr(where, '/');
	const cJSON *item;
	int rc = 0, at;

	cJSON_ArrayForEach(item, object)
	{
		const char *s = cJSON_IsString(item) ? item->valuestring : "";
		const char *const name = item->string;
		char *text;

		if (rc || split_of_word(s, strlen(s)) == SPLIT_NONE ||
		    columns_find(&name, 1, columns_of_split, 2, &at) == 0)
			continue;
		text = mem_printf("%s: field %.20s", slash ? slash + 1 : where, name);
		rc = text ? note_add(notes, NOTE_FIELD, text) : ERR_NOMEM;
		mem_free(text);
	}
	return rc;
}

static int choose_fields(struct json_reader *r, const char *where, const cJSON *object)
{
	bool one_field = r->o->labels.n == 0 && !r->f->unlabelled;
	struct text_columns text = {0, -1};
	int n = cJSON_GetArraySize(object), i = 0, label = 0, rc;
	const char **name = mem_alloc((size_t)n + 1, sizeof(*name));
	const cJSON *item;

	if (!name)
		return ERR_NOMEM;
	cJSON_ArrayForEach(item, object) name[i++] = item->string;
	rc = text_choose_columns(where, r->f, r->o, name, n, &text);
	if (!rc && one_field)
		rc = text_choose(where, "label", "label", r->o->label, columns_of_label, name, n, &label);
	if (!rc && one_field)
		rc = text_check_label(where, &text, label, name);
	if (!rc)
		text_columns_found(r->f, r->o, &text, name, n);
	if (!rc && one_field && !r->o->label && !columns_is_plain(name[label], columns_of_label))
		text_file_found(r->f, "label", name[label]);
	if (!rc) {
		r->f->pairs = text.pair >= 0;
		r->text = mem_strdup(name[text.text]);
		r->pair = r->f->pairs ? mem_strdup(name[text.pair]) : NULL;
		r->label = one_field ? mem_strdup(name[label]) : NULL;
		rc = r->text && (r->pair || !r->f->pairs) && (r->label || !one_field) ? 0 : ERR_NOMEM;
	}
	if (!rc && r->o->labels.n > 0)
		r->f->form = LABEL_COLUMNS;
	else if (!rc && one_field)
		r->f->form = cJSON_IsArray(cJSON_GetArrayItem(object, label)) ? LABEL_NAMES : LABEL_ONE;
	mem_free(name);
	return !rc && r->f->notes ? note_splits(r->f->notes, where, object) : rc;
}

static int find_field(const char *where, const cJSON *object, const char *name, cJSON **out)
{
	const cJSON *item;
	struct str list = {0};
	int rc = 0;

	*out = cJSON_GetObjectItemCaseSensitive(object, name);
	if (*out)
		return 0;
	cJSON_ArrayForEach(item, object) str_addf(&list, "%s%s", list.len ? ", " : "", item->string);
	rc = err_set(ERR_DATA, "%s: no field '%s'; there are: %.500s", where, name, str_text(&list));
	str_clear(&list);
	return rc;
}

static char *keep(struct json_reader *r, const char *s)
{
	size_t n = strlen(s) + 1;
	char *at = memcpy(r->out, s, n);

	r->out += n;
	return at;
}

/* A class by its name or number. */
static int add_name(struct json_reader *r, const char *where, const cJSON *v)
{
	char number[NUMBER_MAX];

	if (cJSON_IsString(v))
		return text_file_value(r->f, keep(r, v->valuestring));
	if (cJSON_IsBool(v))
		return text_file_value(r->f, keep(r, cJSON_IsTrue(v) ? "true" : "false"));
	if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble) || fabs(v->valuedouble) >= 9007199254740992.0)
		return err_set(ERR_DATA,
		    "%s: the label is neither a string nor a whole number below 2^53 nor true or false", where);
	snprintf(number, sizeof(number), "%.0f", v->valuedouble + 0.0);
	return text_file_value(r->f, keep(r, number));
}

static int add_names(struct json_reader *r, const char *where, const cJSON *list)
{
	const cJSON *v;

	if (!cJSON_IsArray(list))
		return err_set(ERR_DATA, "%s: '%s' is not a list, as it is on the first line", where, r->label);
	cJSON_ArrayForEach(v, list)
	{
		int rc = cJSON_IsString(v) ? text_file_value(r->f, keep(r, v->valuestring))
					   : err_set(ERR_DATA, "%s: '%s' holds what is not a string", where, r->label);

		if (rc)
			return rc;
	}
	return 0;
}

static int add_columns(struct json_reader *r, const char *where, const cJSON *object)
{
	for (int i = 0; i < r->o->labels.n; i++) {
		cJSON *v;
		int rc = find_field(where, object, r->o->labels.v[i], &v);

		if (rc)
			return rc;
		if (!cJSON_IsBool(v) && !(cJSON_IsNumber(v) && (v->valuedouble == 0 || v->valuedouble == 1)))
			return err_set(ERR_DATA, "%s: '%s' is not 0, 1, true or false", where, r->o->labels.v[i]);
		rc = text_file_value(r->f, cJSON_IsTrue(v) || (cJSON_IsNumber(v) && v->valuedouble == 1) ? one : zero);
		if (rc)
			return rc;
	}
	return 0;
}

static int find_text(const char *where, const cJSON *object, const char *name, const char **out)
{
	cJSON *v;
	int rc = find_field(where, object, name, &v);

	if (!rc && !cJSON_IsString(v))
		rc = err_set(ERR_DATA, "%s: '%s' is not a string", where, name);
	*out = !rc ? v->valuestring : NULL;
	return rc;
}

static int add_pair(struct json_reader *r, const char *where, int line, const char *text, const cJSON *object)
{
	const char *second;
	int rc = find_text(where, object, r->pair, &second);

	if (!rc)
		rc = text_file_add_pair(r->f, line, r->out, text, second);
	r->out += !rc ? r->f->row[r->f->n - 1].bytes + 1 : 0;
	return rc;
}

static int add_object(struct json_reader *r, const char *where, int line, const cJSON *object)
{
	const char *text;
	cJSON *label = NULL;
	int rc;

	if (!cJSON_IsObject(object))
		return err_set(ERR_DATA, "%s: not an object", where);
	rc = r->text ? 0 : choose_fields(r, where, object);
	if (!rc)
		rc = find_text(where, object, r->text, &text);
	if (!rc && r->pair) {
		rc = add_pair(r, where, line, text, object);
	} else if (!rc) {
		const char *s = keep(r, text);

		rc = text_file_add(r->f, line, s, strlen(s));
	}
	if (rc || r->f->unlabelled)
		return rc;
	if (r->f->form == LABEL_COLUMNS)
		return add_columns(r, where, object);
	rc = find_field(where, object, r->label, &label);
	if (rc)
		return rc;
	return r->f->form == LABEL_NAMES ? add_names(r, where, label) : add_name(r, where, label);
}

static int add_line(struct json_reader *r, int line, const char *p, size_t n)
{
	char where[1100];
	cJSON *object;
	int rc = json_parse_line(r->f->path, line, p, n, &object);

	snprintf(where, sizeof(where), "%s:%d", r->f->path, line);
	if (!rc)
		rc = add_object(r, where, line, object);
	cJSON_Delete(object);
	return rc;
}

int texts_read_jsonl(struct text_file *f, const struct data_options *o)
{
	struct json_reader r = {.f = f, .o = o};
	struct text_lines lines;
	struct fs_bytes b;
	size_t n, count = 1;
	char *p;
	int rc = text_file_read(f, ENCODING_UTF8, "", &b);

	for (size_t i = 0; !rc && i < b.size; i++)
		count += b.data[i] == '\n';
	/* A string in JSON is never shorter than what it stands for; a number may be (1e9), one a line. */
	f->strings = !rc ? mem_alloc(b.size + count * NUMBER_MAX, 1) : NULL;
	r.out = f->strings;
	if (!rc && !f->strings)
		rc = ERR_NOMEM;
	lines = text_lines((char *)b.data, b.size);
	while (!rc && text_next_line(&lines, &p, &n))
		rc = n <= LINE_MAX_BYTES ? add_line(&r, lines.line, p, n)
					 : err_set(ERR_DATA, "%s:%d: a line of %zu bytes; at most %d are read", f->path,
					       lines.line, n, LINE_MAX_BYTES);
	mem_free(r.text);
	mem_free(r.pair);
	mem_free(r.label);
	fs_bytes_clear(&b);
	return rc;
}
