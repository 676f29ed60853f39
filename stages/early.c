#include "stages/early.h"

#include <string.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_out.h"

#define FIELD "early_weights" /* of checkpoint_info.json */

void early_clear(struct early_weights *e)
{
	tensor_file_clear(&e->tensors);
	*e = (struct early_weights){0};
}

int early_bytes(const struct model_spec *spec, size_t *bytes)
{
	struct graph g;
	int rc = spec_build(&g, spec, &shape_one);
	*bytes = 0;
	for (int i = 0; !rc && i < g.n; i++)
		if (g.node[i].op == OP_PARAM)
			*bytes += (size_t)shape_count(g.node[i].shape) * sizeof(float);
	graph_clear(&g);
	return rc;
}

int early_take(struct early_weights *e, const struct param_store *s)
{
	int rc = 0;
	tensor_file_clear(&e->tensors);
	for (int i = 0; !rc && i < s->n; i++) {
		const struct param *p = s->item[i];
		struct named_tensor *to = tensor_file_add(&e->tensors, p->name, p->value.dtype, p->value.shape);
		rc = to ? params_read(s, p->name, to->t.data) : ERR_NOMEM;
	}
	return rc;
}

int early_save(struct early_weights *e, const char *dir, cJSON **info)
{
	char path[1024], hex[HASH_HEX];
	int rc = fs_join(path, sizeof(path), dir, EARLY_FILE);
	if (!rc)
		rc = tensor_file_write(&e->tensors, path);
	if (!rc)
		rc = hash_file(path, hex);
	if (!rc && !*info && !(*info = cJSON_CreateObject()))
		rc = err_set(ERR_NOMEM, "out of memory");
	if (rc)
		return rc;
	bool ok;
	struct json_out out = json_out_object(json_out_into(*info, &ok), FIELD);
	json_out_number(out, "epoch", (double)e->epoch);
	json_out_text(out, "sha256", hex);
	return ok ? 0 : err_set(ERR_NOMEM, "out of memory");
}

bool early_is_kept(const cJSON *info)
{
	return cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(info, FIELD));
}

/* Every param of the model, with its shape, and nothing else. */
static int check_model(const struct early_weights *e, const char *path, const struct model_spec *spec)
{
	struct graph g;
	int params = 0;
	int rc = spec_build(&g, spec, &shape_one);
	for (int i = 0; !rc && i < g.n; i++) {
		const struct node *p = &g.node[i];
		if (p->op != OP_PARAM)
			continue;
		const struct named_tensor *t = tensor_file_find(&e->tensors, p->name);
		params++;
		if (!t || t->t.dtype != p->dtype || !shape_equal(t->t.shape, p->shape))
			rc = err_set(ERR_CHECKPOINT, "%s: '%s' is %s the model has", path, p->name,
			    t ? "not of the type and shape that" : "missing, which");
	}
	if (!rc && params != e->tensors.n)
		rc = err_set(ERR_CHECKPOINT, "%s: %d tensors, the model has %d", path, e->tensors.n, params);
	graph_clear(&g);
	return rc;
}

static int read_file(struct early_weights *e, const char *path, const struct checkpoint *c)
{
	const cJSON *field = cJSON_GetObjectItemCaseSensitive(c->info, FIELD);
	const char *want = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(field, "sha256"));
	char hex[HASH_HEX];
	uint64_t epoch;
	if (!want || !json_uint(cJSON_GetObjectItemCaseSensitive(field, "epoch"), &epoch) || epoch > INT32_MAX)
		return err_set(ERR_CHECKPOINT, "%s: checkpoint_info.json lacks its epoch or its hash", path);
	e->epoch = (int64_t)epoch;
	if (!fs_exists(path))
		return err_set(ERR_CHECKPOINT, "%s: missing, but checkpoint_info.json has its hash", path);
	int rc = hash_file(path, hex);
	if (!rc && strcmp(want, hex) != 0)
		rc =
		    err_set(ERR_CHECKPOINT, "%s: its SHA-256 is %s, but checkpoint_info.json says %s", path, hex, want);
	if (!rc)
		rc = tensor_file_read(&e->tensors, path);
	return rc ? rc : check_model(e, path, &c->spec);
}

int early_read(struct early_weights *e, const char *dir, const struct checkpoint *c)
{
	char folder[1024], path[1024];
	*e = (struct early_weights){0};
	if (!early_is_kept(c->info))
		return err_set(ERR_CONFIG, "%s: " EARLY_REFUSAL, dir);
	int rc = checkpoint_folder(folder, sizeof(folder), dir);
	if (!rc)
		rc = fs_join(path, sizeof(path), folder, EARLY_FILE);
	if (!rc)
		rc = read_file(e, path, c);
	if (rc)
		early_clear(e);
	return rc;
}

/* A mask holds whatever is written. */
int early_put(const struct early_weights *e, struct param_store *s)
{
	int rc = 0;
	for (int i = 0; !rc && i < e->tensors.n; i++) {
		const struct named_tensor *t = &e->tensors.item[i];
		rc = params_write(s, t->name, t->t.data);
	}
	return rc;
}
