#include "pipeline/predictor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/images.h"
#include "pipeline/answer.h"
#include "pipeline/output.h"
#include "pipeline/registry.h"
#include "text/escape.h"

void predictor_close(struct predictor *p)
{
	if (p->printed)
		puts("\n]");
	for (int i = 0; p->held && p->name && i < p->o.batch; i++) {
		mem_free(p->name[i]);
		mem_free(p->held[i]);
	}
	mem_free(p->view);
	mem_free(p->name);
	mem_free(p->held);
	mem_free(p->p);
	mem_free(p->top);
	notes_clear(&p->notes);
	session_close(&p->session);
	model_clear(&p->model);
	if (p->dev.backend)
		p->dev.backend->close(p->dev.ctx);
	*p = (struct predictor){0};
}

static int open_device(struct predictor *p)
{
	const struct open_options o = {.threads = p->o.threads};
	int rc = registry_backend("cpu", &p->dev.backend);
	if (!rc)
		rc = p->dev.backend->open(&p->dev.ctx, &o);
	if (rc)
		p->dev.backend = NULL;
	return rc;
}

int predictor_open(struct predictor *p, const char *dir, const struct predictor_options *o)
{
	size_t batch = (size_t)o->batch;
	*p = (struct predictor){.o = *o};
	int rc = open_device(p);
	if (!rc)
		rc = model_load_to_run(&p->model, dir, p->dev);
	if (!rc)
		rc = model_check_answers(&p->model.ckpt, dir);
	if (!rc)
		rc = session_open_model(&p->session, &p->model, &(struct session_options){.batch = o->batch});
	if (rc)
		return rc;
	p->view = mem_alloc(batch, sizeof(*p->view));
	p->name = mem_alloc(batch, sizeof(*p->name));
	p->held = mem_alloc(batch, sizeof(*p->held));
	p->p = mem_alloc((size_t)p->session.classes, sizeof(*p->p));
	p->top = mem_alloc((size_t)p->session.classes, sizeof(*p->top));
	return p->view && p->name && p->held && p->p && p->top ? 0 : ERR_NOMEM;
}

bool predictor_takes_images(const struct predictor *p)
{
	return p->model.ckpt.adapter.kind->takes == SAMPLE_IMAGE;
}

bool predictor_takes_pairs(const struct predictor *p)
{
	return p->model.ckpt.adapter.spec.pairs;
}

/* ---- answers ---- */

/* Whether class a comes before class b: by descending probability, equal ones in their order. */
static bool before(const double *p, int a, int b)
{
	return p[a] > p[b] || (!(p[a] < p[b]) && a < b);
}

/* The classes that a line shows, the most probable first. */
static void find_top(struct predictor *p)
{
	for (int k = 0; k < p->o.top && k < p->session.classes; k++) {
		int next = -1;
		for (int c = 0; c < p->session.classes; c++)
			if ((k == 0 || before(p->p, p->top[k - 1], c)) && (next < 0 || before(p->p, c, next)))
				next = c;
		p->top[k] = next;
	}
}

/* What stands in front of the next object, and behind it. */
static const char *json_before(struct predictor *p)
{
	return !p->o.list ? "" : p->printed++ ? ",\n" : "[\n";
}

static const char *json_after(const struct predictor *p)
{
	return p->o.list ? "" : "\n";
}

/* Of sample i of an encoding. */
static int answer(struct predictor *p, const struct encoding *e, int64_t i, const char *name, const float *logits,
    const struct targets *truth)
{
	struct sample_view v;
	const struct task *task = &p->model.ckpt.task;
	struct answer a = {.task = task,
	    .p = p->p,
	    .best = p->top,
	    .name = name,
	    .without_token = encoding_is_empty(e, i),
	    .truth = truth,
	    .top = p->o.top};
	encoding_sample(e, i, &v);
	task->kind->probabilities(logits, task->classes, p->p);
	find_top(p);
	if (v.kind == SAMPLE_TEXT && !p->o.nameless) {
		a.text = v.text;
		a.bytes = v.bytes;
		a.pair = v.pair;
		a.pair_bytes = v.pair_bytes;
	}
	if (truth)
		a.right = task_right(task, logits, truth, 0);
	p->answered++;
	return p->o.json ? answer_print_json(&a, json_before(p), json_after(p)) : answer_print(&a);
}

static void note_texts(struct predictor *p, const struct encoding *e)
{
	p->truncated += e->truncated;
	p->without_tokens += e->without_tokens;
}

int predictor_flush(struct predictor *p)
{
	struct encoding e = {0};
	int count = p->count, rc;
	if (!count)
		return 0;
	rc = encoding_of_samples(&e, &p->model.ckpt.adapter, p->view, count, "the model");
	for (int i = 0; i < count; i++)
		p->session.index[i] = (uint32_t)i;
	if (!rc)
		rc = session_forward(&p->session, &e, p->session.index, count);
	rc = model_prove(&p->model, rc);
	for (int i = 0; !rc && i < count; i++)
		rc = answer(p, &e, i, p->name[i], p->session.logits + (int64_t)i * p->session.classes, NULL);
	note_texts(p, &e);
	encoding_close(&e);
	for (int i = 0; i < count; i++) {
		mem_free(p->name[i]);
		mem_free(p->held[i]);
		p->name[i] = NULL;
		p->held[i] = NULL;
	}
	p->count = 0;
	return rc ? rc : output_check();
}

/* ---- samples ---- */

int predictor_failed(struct predictor *p, const char *name, int rc)
{
	struct str message = {0};
	rc = model_prove(&p->model, rc);
	if (rc != ERR_DATA && rc != ERR_IO)
		return rc;
	escape_add(&message, err_message(), strlen(err_message()));
	p->failed++;
	if (message.failed)
		rc = err_set(ERR_NOMEM, "out of memory");
	else if (p->o.alone)
		rc = err_set(ERR_DATA, "%s", str_text(&message));
	else
		rc = predictor_flush(p); /* those before it come first */
	if (!rc) {
		fprintf(stderr, "%s\n", str_text(&message));
		rc = p->o.json ? answer_print_fault(name, str_text(&message), json_before(p), json_after(p)) : 0;
		fflush(stdout);
	}
	str_clear(&message);
	return rc;
}

/* name is shown with the answer, `where` is for messages. */
static int add_sample(struct predictor *p, const char *name, const char *where, const void *bytes, size_t n)
{
	const struct adapter *a = &p->model.ckpt.adapter;
	unsigned changes;
	int i = p->count, rc = a->kind->read(a, where, bytes, n, &p->held[i], &p->view[i], &changes);
	if (rc)
		return predictor_failed(p, name ? name : where, rc);
	for (int k = 0; !rc && k < CHANGE_COUNT; k++)
		if (changes & CHANGE_BIT(k))
			rc = note_add(&p->notes, (enum note_kind)(NOTE_RESIZED + k), where);
	if (rc)
		return rc;
	p->name[i] = name ? mem_strdup(name) : NULL;
	if (name && !p->name[i])
		return ERR_NOMEM;
	p->count++;
	return p->count == p->o.batch ? predictor_flush(p) : 0;
}

int predictor_file(struct predictor *p, const char *path)
{
	struct fs_bytes bytes = {0};
	int rc = fs_read_regular(path, IMAGE_FILE_MAX, &bytes);
	rc = rc ? predictor_failed(p, path, rc) : add_sample(p, path, path, bytes.data, bytes.size);
	fs_bytes_clear(&bytes);
	return rc;
}

int predictor_image(struct predictor *p, const char *name, const void *bytes, size_t n)
{
	return add_sample(p, name, name, bytes, n);
}

int predictor_text(struct predictor *p, const char *where, const char *text, size_t bytes)
{
	return add_sample(p, NULL, where, text, bytes);
}

/* ---- samples of a split, and the end ---- */

struct split_rows {
	struct predictor *p;
	const struct encoding *e;
};

static int answer_rows(void *user, struct session *s, int64_t first, int count)
{
	const struct split_rows *r = user;
	const struct encoding *e = r->e;
	int rc = 0;
	for (int i = 0; !rc && i < count; i++) {
		struct targets truth = task_targets(e->data, e->split, first + i);
		char place[64];
		const char *name = place;
		snprintf(place, sizeof(place), "%s:%" PRId64, split_names[e->split], first + i);
		if (e->data->split[e->split].file)
			name = e->data->split[e->split].file[first + i];
		rc = answer(r->p, e, first + i, name, s->logits + (int64_t)i * s->classes, &truth);
	}
	return rc;
}

static void say_converted(const struct data_notes *notes)
{
	struct str text = {0};
	notes_converted(notes, &text);
	if (text.len)
		fprintf(stderr, "converted: %s\n", str_text(&text));
	str_clear(&text);
}

int predictor_split(struct predictor *p, const struct dataset *d, enum split s, int64_t first, int64_t last)
{
	struct encoding e = {0};
	struct split_rows rows = {p, &e};
	int rc = model_prove(&p->model, encoding_open(&e, &p->model.ckpt.adapter, d, s));
	if (!rc)
		rc = session_run(&p->session, &e, first, last - first + 1, NULL, answer_rows, &rows);
	encoding_close(&e);
	if (!rc)
		say_converted(&d->notes);
	return rc;
}

int predictor_finish(struct predictor *p)
{
	int rc = model_prove(&p->model, predictor_flush(p));
	if (rc)
		return rc;
	if (p->o.json && p->o.list && !p->printed)
		puts("[]");
	say_converted(&p->notes);
	const char *word = samples_word(SAMPLE_TEXT, predictor_takes_pairs(p));
	if (p->truncated)
		fprintf(stderr, "%" PRId64 " of %" PRId64 " %s %s longer than the %d tokens that the model reads\n",
		    p->truncated, p->answered, word, p->truncated == 1 ? "is" : "are",
		    p->model.ckpt.adapter.spec.longest);
	if (p->without_tokens)
		fprintf(stderr, "%" PRId64 " of %" PRId64 " %s %s without a token\n", p->without_tokens, p->answered,
		    word, p->without_tokens == 1 ? "is" : "are");
	if (p->failed)
		return err_set(ERR_DATA, "%" PRId64 " of %" PRId64 " inputs could not be answered", p->failed,
		    p->failed + p->answered);
	return 0;
}
