#include "model/conformance.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "model/session.h"

#define SEAL         "conformance_sha256"
#define SAMPLES      4
#define VALUES_MOST  262144 /* of the inputs together, where one sample has no more */
#define SEED         1
#define INPUT_PREFIX "input."
#define HASH_PREFIX  "sha256."
#define DIGITS       (HASH_HEX - 1)
#define NAME_ROOM    320

/* What is run: tensors on the host and the shape that they fill. */
struct vectors {
	struct build_shape shape;
	struct feed feed;
};

bool conformance_applies(const struct checkpoint *c)
{
	return c->form == FORM_INTEGER && c->adapter.kind && c->plan.method != QUANT_FP16 &&
	       c->plan.method != QUANT_BF16;
}

/* No token is left without a text, so every row of every value is a sample's. */
static int make_inputs_of(const struct adapter *a, int samples, struct vectors *v)
{
	v->shape = (struct build_shape){.sequences = samples};
	if (a->kind->typical)
		a->kind->typical(a, samples, &v->shape);
	const int64_t most = (int64_t)samples * a->spec.longest;
	if (v->shape.tokens > most)
		v->shape.tokens = most;
	return a->kind->random(a, SEED, &v->shape, &v->feed);
}

/* Fewer samples where they are large. */
static int make_inputs(const struct adapter *a, struct vectors *v)
{
	int64_t values = 0;
	int rc = make_inputs_of(a, 1, v);
	for (int i = 0; i < v->feed.n; i++)
		values += v->feed.tensor[i].count;
	int64_t n = values > 0 ? VALUES_MOST / values : 1;
	return rc ? rc : make_inputs_of(a, n < 1 ? 1 : n > SAMPLES ? SAMPLES : (int)n, v);
}

typedef int (*visitor)(void *user, const struct node *n, const void *value, size_t bytes);

static int visit_nodes(struct executor *ex, visitor visit, void *user)
{
	const struct graph *g = executor_graph(ex);
	int rc = 0;
	for (int i = 0; !rc && i < g->n; i++) {
		const struct node *n = &g->node[i];
		const size_t bytes = (size_t)shape_count(n->shape) * dtype_size(n->dtype);
		if (n->op == OP_INPUT || n->op == OP_PARAM)
			continue;
		void *value = mem_alloc(bytes ? bytes : 1, 1);
		rc = value ? executor_output(ex, n->name, value, bytes) : ERR_NOMEM;
		if (!rc)
			rc = visit(user, n, value, bytes);
		mem_free(value);
	}
	return rc;
}

/* Every value of one run that keeps all. */
static int run_values(struct model *m, const struct vectors *v, visitor visit, void *user)
{
	struct session s = {0};
	int rc = session_open_model(&s, m, &(struct session_options){.batch = v->shape.sequences, .keep_all = true});
	if (!rc)
		rc = session_push_feed(&s, &v->shape, &v->feed);
	if (!rc)
		rc = visit_nodes(s.ex, visit, user);
	session_close(&s);
	return rc;
}

/* The logits of one run as users run it. out: owned by the caller, (samples, *width). */
static int run_logits(struct model *m, const struct vectors *v, float **out, int *width)
{
	struct session s = {0};
	*out = NULL;
	int rc = session_open_model(&s, m, &(struct session_options){.batch = v->shape.sequences});
	if (!rc)
		rc = session_push_feed(&s, &v->shape, &v->feed);
	if (!rc) {
		const struct graph *g = executor_graph(s.ex);
		const struct node *n = &g->node[g->output];
		const size_t count = (size_t)shape_count(n->shape);
		*width = s.classes;
		*out = mem_alloc(count, sizeof(**out));
		rc = *out ? executor_output(s.ex, n->name, *out, count * sizeof(**out)) : ERR_NOMEM;
	}
	session_close(&s);
	return rc;
}

/* ---- saving ---- */

static int add_tensor(
    struct tensor_file *f, const char *prefix, const char *name, enum dtype t, struct shape s, const void *data)
{
	char full[NAME_ROOM];
	snprintf(full, sizeof(full), "%s%s", prefix, name);
	struct named_tensor *item = tensor_file_add(f, full, t, s);
	if (!item)
		return ERR_NOMEM;
	memcpy(item->t.data, data, tensor_bytes(&item->t));
	return 0;
}

static int add_hash(void *user, const struct node *n, const void *value, size_t bytes)
{
	char hex[HASH_HEX];
	int rc = hash_bytes(value, bytes, hex);
	return rc ? rc : add_tensor(user, HASH_PREFIX, n->name, DT_U8, (struct shape){.ndim = 1, .dim = {DIGITS}}, hex);
}

static int add_inputs(struct tensor_file *f, struct model *m, const struct vectors *v)
{
	const int32_t shape[] = {v->shape.sequences, (int32_t)v->shape.tokens, v->shape.longest};
	struct graph g;
	graph_init(&g);
	int rc = model_build(m, &v->shape, &g);
	for (int i = 0; !rc && i < g.n; i++) {
		const struct node *n = &g.node[i];
		const struct feed_tensor *t = n->op == OP_INPUT ? feed_find(&v->feed, n->name) : NULL;
		if (t)
			rc = add_tensor(f, INPUT_PREFIX, n->name, t->dtype, n->shape, t->data);
	}
	graph_clear(&g);
	return rc ? rc : add_tensor(f, "", "shape", DT_S32, (struct shape){.ndim = 1, .dim = {3}}, shape);
}

static int write_file(struct tensor_file *f, const char *dir, cJSON *info)
{
	char path[1024], hex[HASH_HEX];
	int rc = fs_join(path, sizeof(path), dir, CONFORMANCE_FILE);
	if (!rc)
		rc = tensor_file_write(f, path);
	if (!rc)
		rc = hash_file(path, hex);
	cJSON_DeleteItemFromObjectCaseSensitive(info, SEAL);
	if (!rc && !cJSON_AddStringToObject(info, SEAL, hex))
		rc = err_set(ERR_NOMEM, "out of memory");
	return rc;
}

int conformance_save(struct model *m, const char *dir)
{
	struct vectors v = {0};
	struct tensor_file f = {0};
	float *logits = NULL;
	int width = 0;
	if (!conformance_applies(&m->ckpt))
		return 0;
	int rc = make_inputs(&m->ckpt.adapter, &v);
	if (!rc)
		rc = add_inputs(&f, m, &v);
	if (!rc)
		rc = run_values(m, &v, add_hash, &f);
	if (!rc)
		rc = run_logits(m, &v, &logits, &width);
	if (!rc)
		rc = add_tensor(
		    &f, "", "logits", DT_F32, (struct shape){.ndim = 2, .dim = {v.shape.sequences, width}}, logits);
	if (!rc)
		rc = write_file(&f, dir, m->ckpt.info);
	mem_free(logits);
	tensor_file_clear(&f);
	feed_clear(&v.feed);
	return rc;
}

/* ---- checking ---- */

static int wrong(const char *path, const char *what)
{
	return err_set(ERR_CHECKPOINT, "%s: %s", path, what);
}

static const struct named_tensor *find(const struct tensor_file *f, const char *prefix, const char *name)
{
	char full[NAME_ROOM];
	snprintf(full, sizeof(full), "%s%s", prefix, name);
	return tensor_file_find(f, full);
}

/* Tokens and the places where texts begin address memory, so they are looked at one by one. */
static int check_texts(const struct vectors *v, const struct input_spec *s, const char *path)
{
	const struct feed_tensor *ids = feed_find(&v->feed, "ids"), *starts = feed_find(&v->feed, "starts");
	if (s->kind != INPUT_TEXT)
		return 0;
	if (!ids || !starts || ids->dtype != DT_S32 || starts->dtype != DT_S32)
		return wrong(path, "the inputs are no texts");
	const int32_t *id = ids->data, *at = starts->data;
	for (int64_t i = 0; i < ids->count; i++)
		if (id[i] < 0 || id[i] >= s->vocabulary)
			return wrong(path, "a token is not in the vocabulary");
	for (int i = 0; i < v->shape.sequences; i++)
		if (at[i + 1] < at[i] || at[i + 1] - at[i] > s->longest)
			return wrong(path, "a text is longer than the model reads");
	return at[0] == 0 && at[v->shape.sequences] == v->shape.tokens
		   ? 0
		   : wrong(path, "the texts are not all of the tokens");
}

static int read_shape(struct vectors *v, const struct tensor_file *f, const struct input_spec *s, const char *path)
{
	const struct named_tensor *t = tensor_file_find(f, "shape");
	if (!t || t->t.dtype != DT_S32 || t->t.shape.ndim != 1 || t->t.shape.dim[0] != 3)
		return wrong(path, "has no 'shape' of three numbers");
	const int32_t *n = t->t.data;
	const bool text = s->kind == INPUT_TEXT;
	if (n[0] < 1 || n[0] > SAMPLES || n[1] < text || n[1] > (text ? n[0] * (int64_t)s->longest : 0) ||
	    n[2] != (text ? s->longest : 0))
		return wrong(path, "'shape' does not fit the model");
	v->shape = (struct build_shape){.sequences = n[0], .tokens = n[1], .longest = n[2]};
	return 0;
}

/* A feed borrows its names. */
static const char *input_name(const char *name)
{
	static const char *const names[] = {"input", "ids", "starts", "second"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(names[i], name) == 0)
			return names[i];
	return NULL;
}

static int read_input(struct vectors *v, const struct tensor_file *f, const struct node *n, const char *path)
{
	const struct named_tensor *t = find(f, INPUT_PREFIX, n->name);
	const char *name = input_name(n->name);
	if (!name || !t || t->t.dtype != n->dtype || !shape_equal(t->t.shape, n->shape))
		return err_set(ERR_CHECKPOINT, "%s: has no input '%s' that fits the model", path, n->name);
	void *data = feed_tensor(&v->feed, name, n->dtype, shape_count(n->shape));
	if (!data)
		return ERR_NOMEM;
	memcpy(data, t->t.data, tensor_bytes(&t->t));
	return 0;
}

static int read_inputs(struct vectors *v, const struct tensor_file *f, struct model *m, const char *path)
{
	struct graph g;
	int rc = read_shape(v, f, &m->ckpt.spec.input, path);
	graph_init(&g);
	if (!rc)
		rc = model_build(m, &v->shape, &g);
	for (int i = 0; !rc && i < g.n; i++)
		if (g.node[i].op == OP_INPUT)
			rc = read_input(v, f, &g.node[i], path);
	graph_clear(&g);
	return rc ? rc : check_texts(v, &m->ckpt.spec.input, path);
}

struct comparison {
	const struct tensor_file *file;
	const char *path;
	struct conformance *out;
};

static int compare_value(void *user, const struct node *n, const void *value, size_t bytes)
{
	const struct comparison *c = user;
	const struct named_tensor *t = find(c->file, HASH_PREFIX, n->name);
	char hex[HASH_HEX];
	if (!t || t->t.dtype != DT_U8 || tensor_bytes(&t->t) != DIGITS)
		return err_set(ERR_CHECKPOINT, "%s: has no hash of '%s'", c->path, n->name);
	int rc = hash_bytes(value, bytes, hex);
	if (rc)
		return rc;
	c->out->values++;
	if (memcmp(hex, t->t.data, DIGITS) == 0)
		return 0;
	if (c->out->different++ == 0) {
		snprintf(c->out->first, sizeof(c->out->first), "%s", n->name);
		snprintf(c->out->op, sizeof(c->out->op), "%s", op_info(n->op)->name);
		c->out->first_is_real = n->dtype == DT_F32;
	}
	return 0;
}

static int compare_logits(const struct comparison *c, struct model *m, const struct vectors *v)
{
	const struct named_tensor *t = tensor_file_find(c->file, "logits");
	float *logits;
	int width;
	int rc = run_logits(m, v, &logits, &width);
	if (!rc && (!t || t->t.dtype != DT_F32 || t->t.shape.ndim != 2 || t->t.shape.dim[0] != v->shape.sequences ||
		       t->t.shape.dim[1] != width))
		rc = wrong(c->path, "has no 'logits' that fit the model");
	const float *kept = rc ? NULL : t->t.data;
	for (int64_t i = 0; !rc && i < (int64_t)v->shape.sequences * width; i++) {
		c->out->largest = fmax(c->out->largest, fabs((double)logits[i] - (double)kept[i]));
		c->out->logits_differ |= memcmp(&logits[i], &kept[i], sizeof(*logits)) != 0;
	}
	mem_free(logits);
	return rc;
}

/* The bytes are read once: what is hashed is what is used. */
static int open_file(struct tensor_file *f, const char *path, const char *want)
{
	struct fs_bytes b = {0};
	char hex[HASH_HEX];
	int rc = fs_exists(path) ? fs_read(path, &b) : wrong(path, "is missing");
	if (!rc)
		rc = hash_bytes(b.data, b.size, hex);
	if (rc == ERR_IO)
		rc = err_set(ERR_CHECKPOINT, "%s", err_message());
	if (!rc && strcmp(hex, want) != 0)
		rc =
		    err_set(ERR_CHECKPOINT, "%s: its SHA-256 is %s, but checkpoint_info.json says %s", path, hex, want);
	if (!rc)
		rc = tensor_file_take(f, path, &b);
	fs_bytes_clear(&b);
	return rc;
}

int conformance_check(struct conformance *out, struct model *m, const char *dir)
{
	char folder[1024], path[1024];
	struct tensor_file f = {0};
	struct vectors v = {0};
	const char *want = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(m->ckpt.info, SEAL));
	*out = (struct conformance){0};
	if (!want || !conformance_applies(&m->ckpt))
		return 0;
	int rc = checkpoint_folder(folder, sizeof(folder), dir);
	if (!rc)
		rc = fs_join(path, sizeof(path), folder, CONFORMANCE_FILE);
	if (!rc)
		rc = open_file(&f, path, want);
	if (!rc)
		rc = read_inputs(&v, &f, m, path);
	struct comparison c = {&f, path, out};
	if (!rc)
		rc = run_values(m, &v, compare_value, &c);
	if (!rc)
		rc = compare_logits(&c, m, &v);
	out->kept = !rc;
	out->samples = v.shape.sequences;
	feed_clear(&v.feed);
	tensor_file_clear(&f);
	return rc;
}
