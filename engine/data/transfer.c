#include "data/transfer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/source.h"
#include "data/text_column.h"

/* What a content must not be equal to. */
struct known {
	struct prints split[SPLIT_COUNT];
};

static int append(struct transfer *t, const char *text, size_t bytes, uint64_t print)
{
	if (t->n == t->cap) {
		const int64_t cap = t->cap ? 2 * t->cap : 1024;
		int64_t *start = mem_grow(t->start, (size_t)t->cap + 1, (size_t)cap + 1, sizeof(*start));
		if (!start)
			return ERR_NOMEM;
		t->start = start;
		uint64_t *prints = mem_grow(t->print, (size_t)t->cap, (size_t)cap, sizeof(*prints));
		if (!prints)
			return ERR_NOMEM;
		t->print = prints;
		t->cap = cap;
	}
	if (t->bytes + bytes + 1 > t->room) {
		const size_t room = 2 * t->room + bytes + 1;
		char *grown = mem_grow(t->text, t->room, room, 1);
		if (!grown)
			return ERR_NOMEM;
		t->text = grown;
		t->room = room;
	}
	memcpy(t->text + t->bytes, text, bytes);
	t->bytes += bytes;
	t->text[t->bytes++] = '\0';
	t->print[t->n++] = print;
	t->start[t->n] = (int64_t)t->bytes;
	return t->n < INT32_MAX / 2
		   ? 0
		   : err_set(ERR_DATA, "more than %d transfer %s", INT32_MAX / 2, samples_word(SAMPLE_TEXT, t->pairs));
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static bool holds(const struct prints *p, uint64_t print)
{
	return p->n && bsearch(&print, p->v, (size_t)p->n, sizeof(print), compare);
}

/* A text that is in several splits counts for the one where it does most harm. */
static bool is_left_out(struct transfer *t, const struct known *k, uint64_t print)
{
	static const enum split order[] = {SPLIT_TEST, SPLIT_VAL, SPLIT_TRAIN};
	for (int i = 0; i < SPLIT_COUNT; i++)
		if (holds(&k->split[order[i]], print)) {
			t->in_split[order[i]]++;
			return true;
		}
	return false;
}

/* A pair is empty where one of its texts is. */
static bool is_empty(const char *text, size_t bytes)
{
	return bytes == 0 || !text[0] || !text[bytes - 1];
}

static int add_file(struct transfer *t, const struct known *k, const struct text_column *c)
{
	int rc = 0;
	t->rows += c->n;
	for (int64_t i = 0; !rc && i < c->n; i++) {
		size_t bytes;
		int line;
		uint64_t print;
		const char *text = text_column_row(c, i, &bytes, &line);
		t->empty += is_empty(text, bytes);
		if (is_empty(text, bytes))
			continue;
		rc = print_bytes(text, bytes, &print);
		if (!rc && !is_left_out(t, k, print))
			rc = append(t, text, bytes, print);
	}
	return rc;
}

/* What the files of transfer texts are read with. */
struct reading {
	struct text_column_options columns;
	const char *base_dir;
};

static int read_file(struct transfer *t, const struct known *k, const char *name, const struct reading *r)
{
	struct text_column column;
	char path[1024];
	int rc = source_path(path, sizeof(path), r->base_dir, NULL, name);
	if (!rc)
		rc = text_column_read(&column, path, &r->columns);
	if (rc)
		return rc;
	rc = add_file(t, k, &column);
	text_column_clear(&column);
	return rc;
}

struct place {
	uint64_t print;
	int64_t i;
};

static int by_print(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	return x->print != y->print ? (x->print < y->print ? -1 : 1) : (x->i > y->i) - (x->i < y->i);
}

static void keep(struct transfer *t, const bool *drop)
{
	int64_t n = 0, from = 0;
	for (int64_t i = 0; i < t->n; i++) {
		const int64_t end = t->start[i + 1];
		t->repeated += drop[i];
		if (!drop[i]) {
			memmove(t->text + t->start[n], t->text + from, (size_t)(end - from));
			t->start[n + 1] = t->start[n] + end - from;
			t->print[n++] = t->print[i];
		}
		from = end;
	}
	t->n = n;
}

/* Keeps the first of equal texts, in the order of the files. */
static int drop_repeated(struct transfer *t)
{
	struct place *p = mem_alloc((size_t)t->n, sizeof(*p));
	bool *drop = mem_alloc((size_t)t->n, sizeof(*drop));
	if (p && drop) {
		for (int64_t i = 0; i < t->n; i++)
			p[i] = (struct place){t->print[i], i};
		qsort(p, (size_t)t->n, sizeof(*p), by_print);
		for (int64_t i = 1; i < t->n; i++)
			drop[p[i].i] = p[i].print == p[i - 1].print;
		keep(t, drop);
	}
	const int rc = p && drop ? 0 : ERR_NOMEM;
	mem_free(p);
	mem_free(drop);
	return rc;
}

static int make_hash(struct transfer *t)
{
	return hash_bytes(t->text, (size_t)t->start[t->n], t->hash);
}

static int read_all(
    struct transfer *t, const struct known *k, const struct option_strings *files, const struct reading *r)
{
	int rc = 0;
	for (int i = 0; !rc && i < files->n; i++)
		rc = read_file(t, k, files->v[i], r);
	if (!rc && t->n > 0)
		rc = drop_repeated(t);
	if (!rc && t->n == 0) {
		char words[320];
		transfer_words(t, words, sizeof(words));
		rc = err_set(ERR_DATA, "transfer: no %s is left: %s", t->pairs ? "pair" : "text", words);
	}
	return rc ? rc : make_hash(t);
}

int transfer_read(struct transfer *out, const struct transfer_options *o, const struct data_options *like,
    const char *base_dir, const struct dataset *data)
{
	const struct dataset all = dataset_with_test(data);
	const struct reading reading = {
	    {o->column, o->pair_column, data->pairs, "transfer_text", "transfer_text_pair", like}, base_dir};
	struct known k = {0};
	int rc = 0;
	*out = (struct transfer){.pairs = data->pairs};
	if (data->kind != SAMPLE_TEXT)
		return err_set(ERR_CONFIG, "transfer: texts, but the data set is of images");
	if (o->pair_column && !data->pairs)
		return err_set(ERR_CONFIG, "transfer_text_pair has no effect: the data set is of single texts");
	for (int s = 0; !rc && s < SPLIT_COUNT; s++)
		if (dataset_has(&all, (enum split)s))
			rc = dataset_split_prints(&all, (enum split)s, &k.split[s]);
	if (!rc)
		rc = read_all(out, &k, &o->files, &reading);
	for (int s = 0; s < SPLIT_COUNT; s++)
		prints_clear(&k.split[s]);
	if (rc)
		transfer_clear(out);
	return rc;
}

void transfer_words(const struct transfer *t, char *text, size_t cap)
{
	const struct {
		const char *what;
		int64_t n;
	} out[] = {{"test", t->in_split[SPLIT_TEST]}, {"validation", t->in_split[SPLIT_VAL]},
	    {"training", t->in_split[SPLIT_TRAIN]}, {"repeated", t->repeated}, {"empty", t->empty}};
	const char *lead = "; left out: ";
	int at = snprintf(
	    text, cap, "%" PRId64 " of %" PRId64 " transfer %s", t->n, t->rows, samples_word(SAMPLE_TEXT, t->pairs));
	for (size_t i = 0; i < sizeof(out) / sizeof(*out); i++)
		if (out[i].n && at > 0 && (size_t)at < cap) {
			at += snprintf(text + at, cap - (size_t)at, "%s%" PRId64 " %s", lead, out[i].n, out[i].what);
			lead = ", ";
		}
}

int transfer_prints(const struct transfer *t, struct prints *out)
{
	*out = (struct prints){.v = mem_alloc((size_t)t->n, sizeof(*out->v)), .n = t->n};
	if (!out->v)
		return ERR_NOMEM;
	memcpy(out->v, t->print, (size_t)t->n * sizeof(*out->v));
	qsort(out->v, (size_t)t->n, sizeof(*out->v), compare);
	return 0;
}

cJSON *transfer_to_json(const struct transfer *t)
{
	cJSON *j = cJSON_CreateObject();
	bool ok = j && cJSON_AddNumberToObject(j, "texts", (double)t->n) &&
		  cJSON_AddNumberToObject(j, "rows", (double)t->rows) &&
		  cJSON_AddNumberToObject(j, "left_out_test", (double)t->in_split[SPLIT_TEST]) &&
		  cJSON_AddNumberToObject(j, "left_out_validation", (double)t->in_split[SPLIT_VAL]) &&
		  cJSON_AddNumberToObject(j, "left_out_training", (double)t->in_split[SPLIT_TRAIN]) &&
		  cJSON_AddNumberToObject(j, "left_out_repeated", (double)t->repeated) &&
		  cJSON_AddNumberToObject(j, "left_out_empty", (double)t->empty) &&
		  cJSON_AddStringToObject(j, "sha256", t->hash);
	if (ok)
		return j;
	cJSON_Delete(j);
	err_set(ERR_NOMEM, "out of memory");
	return NULL;
}

void transfer_clear(struct transfer *t)
{
	mem_free(t->text);
	mem_free(t->start);
	mem_free(t->print);
	*t = (struct transfer){0};
}

/* --- beside training samples ---------------------------------------------------------------------------------------
 */

static int join_texts(struct dataset *v, const struct dataset *d, const struct transfer *t)
{
	const struct split_data *from = &d->split[SPLIT_TRAIN];
	struct split_data *to = &v->split[SPLIT_TRAIN];
	const int64_t n = d->n[SPLIT_TRAIN], bytes = from->text_start[n];
	char *text = to->text = mem_alloc((size_t)(bytes + t->start[t->n]), 1);
	int64_t *start = to->text_start = mem_alloc((size_t)(n + t->n) + 1, sizeof(*start));
	uint64_t *print = to->print = from->print ? mem_alloc((size_t)(n + t->n), sizeof(*print)) : NULL;
	if (!text || !start || (from->print && !print))
		return ERR_NOMEM;
	memcpy(text, from->text, (size_t)bytes);
	memcpy(text + bytes, t->text, (size_t)t->start[t->n]);
	memcpy(start, from->text_start, (size_t)(n + 1) * sizeof(*start));
	for (int64_t i = 1; i <= t->n; i++)
		start[n + i] = bytes + t->start[i];
	if (print) {
		memcpy(print, from->print, (size_t)n * sizeof(*print));
		memcpy(print + n, t->print, (size_t)t->n * sizeof(*print));
	}
	return 0;
}

static int join_labels(struct dataset *v, const struct dataset *d, const struct transfer *t)
{
	const struct split_data *from = &d->split[SPLIT_TRAIN];
	struct split_data *to = &v->split[SPLIT_TRAIN];
	const size_t n = (size_t)d->n[SPLIT_TRAIN], more = (size_t)t->n, classes = (size_t)d->classes;
	if (d->target == TARGET_SET) {
		uint8_t *set = to->label_set = mem_alloc(n + more, classes);
		if (!set)
			return ERR_NOMEM;
		memcpy(set, from->label_set, n * classes);
		memset(set + n * classes, LABEL_SET_NONE, more * classes);
		return 0;
	}
	int32_t *label = to->label = mem_alloc(n + more, sizeof(*label));
	if (!label)
		return ERR_NOMEM;
	memcpy(label, from->label, n * sizeof(*label));
	for (size_t i = 0; i < more; i++)
		label[n + i] = LABEL_NONE;
	return 0;
}

int dataset_join_transfer(struct dataset *out, const struct dataset *d, const struct transfer *t)
{
	*out = *d;
	out->split[SPLIT_TRAIN] = (struct split_data){0};
	out->n[SPLIT_TRAIN] += t->n;
	int rc = join_texts(out, d, t);
	if (!rc)
		rc = join_labels(out, d, t);
	if (rc)
		dataset_leave_transfer(out);
	return rc;
}

void dataset_leave_transfer(struct dataset *view)
{
	const struct split_data *x = &view->split[SPLIT_TRAIN];
	mem_free(x->label);
	mem_free(x->label_set);
	mem_free(x->print);
	mem_free(x->text);
	mem_free(x->text_start);
	*view = (struct dataset){0};
}
