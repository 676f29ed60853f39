/* The tensors of a folder: model.safetensors, or the shards that model.safetensors.index.json names. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "exchange/hf_impl.h"

#define SHARDS_MAX  256
#define SINGLE_FILE "model.safetensors"
#define SHARDS_FILE "model.safetensors.index.json"
#define NAMES_SHOWN 5

struct weights {
	struct tensor_file shard[SHARDS_MAX];
	char *file[SHARDS_MAX]; /* names within the folder */
	int n;
	bool *used[SHARDS_MAX]; /* tensors that a param was made of */
	struct str skipped;     /* names of tensors of types that no weight has */
};

static void weights_clear(struct weights *w)
{
	for (int i = 0; i < w->n; i++) {
		tensor_file_clear(&w->shard[i]);
		mem_free(w->file[i]);
		mem_free(w->used[i]);
	}
	str_clear(&w->skipped);
	mem_free(w);
}

static int add_shard(struct weights *w, const char *dir, const char *name)
{
	char path[1024];
	for (int i = 0; i < w->n; i++)
		if (strcmp(w->file[i], name) == 0)
			return 0;
	if (w->n == SHARDS_MAX)
		return err_set(ERR_CHECKPOINT, "%s/%s names more than %d files", dir, SHARDS_FILE, SHARDS_MAX);
	/* A file beside the index; a name that leads elsewhere is no shard of this model. */
	if (!*name || strchr(name, '/') || name[0] == '.')
		return err_set(ERR_CHECKPOINT, "%s/%s: '%.80s' is no name of a file", dir, SHARDS_FILE, name);
	int rc = fs_join(path, sizeof(path), dir, name);
	if (!rc && !(w->file[w->n] = mem_strdup(name)))
		rc = ERR_NOMEM;
	if (rc)
		return rc;
	const int i = w->n++;
	rc = tensor_file_read_known(&w->shard[i], path, &w->skipped);
	if (!rc && !(w->used[i] = mem_alloc((size_t)w->shard[i].n + 1, sizeof(bool))))
		rc = ERR_NOMEM;
	return rc == ERR_IO ? err_set(ERR_CHECKPOINT, "%s", err_message()) : rc;
}

/* Which of two would be the model's is not ours to guess, whatever the index says. */
static int check_once(const struct weights *w, const char *dir)
{
	for (int i = 1; i < w->n; i++)
		for (int k = 0; k < w->shard[i].n; k++)
			for (int before = 0; before < i; before++)
				if (tensor_file_find(&w->shard[before], w->shard[i].item[k].name))
					return err_set(ERR_CHECKPOINT, "%s: tensor '%.80s' is in %s and in %s", dir,
					    w->shard[i].item[k].name, w->file[before], w->file[i]);
	return 0;
}

static int add_shards(struct weights *w, const char *dir, const cJSON *index, const char *path)
{
	const cJSON *map = cJSON_GetObjectItemCaseSensitive(index, "weight_map"), *file;
	int rc = cJSON_IsObject(map) && map->child
		     ? 0
		     : err_set(ERR_CHECKPOINT, "%s: 'weight_map' must map tensors to files", path);
	cJSON_ArrayForEach(file, map)
	{
		if (!rc && !cJSON_IsString(file))
			rc = err_set(
			    ERR_CHECKPOINT, "%s: weight_map.%.80s must be the name of a file", path, file->string);
		if (!rc)
			rc = add_shard(w, dir, file->valuestring);
	}
	return rc ? rc : check_once(w, dir);
}

/* Why a folder without safetensors is of no use here. */
static int no_weights(const char *dir)
{
	static const char *const pickled[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
	char path[1024];
	for (size_t i = 0; i < sizeof(pickled) / sizeof(*pickled); i++)
		if (fs_join(path, sizeof(path), dir, pickled[i]) == 0 && fs_exists(path))
			return err_set(ERR_CHECKPOINT,
			    "%s: pickled weights are programs and are not read; save the model as safetensors "
			    "(save_pretrained does)",
			    path);
	return err_set(ERR_CHECKPOINT, "%s holds no %s", dir, SINGLE_FILE);
}

static int open_weights(struct weights *w, const char *dir)
{
	char path[1024];
	cJSON *index;
	int rc = fs_join(path, sizeof(path), dir, SINGLE_FILE);
	if (!rc && fs_exists(path))
		return add_shard(w, dir, SINGLE_FILE);
	if (!rc)
		rc = hf_read_json(&index, dir, SHARDS_FILE, false, path);
	if (rc)
		return rc;
	rc = index ? add_shards(w, dir, index, path) : no_weights(dir);
	cJSON_Delete(index);
	return rc;
}

static const struct named_tensor *find(const struct weights *w, const char *name)
{
	for (int i = 0; i < w->n; i++) {
		const struct named_tensor *t = tensor_file_find(&w->shard[i], name);
		if (t) {
			w->used[i][t - w->shard[i].item] = true;
			return t;
		}
	}
	return NULL;
}

/* Layer norms were once called gamma and beta. */
static const struct named_tensor *find_norm(const struct weights *w, const char *name)
{
	static const char *const former[][2] = {{".weight", ".gamma"}, {".bias", ".beta"}};
	char text[3 * NODE_NAME];
	const char *dot = strrchr(name, '.');
	if (!strstr(name, "LayerNorm") || !dot)
		return NULL;
	for (int i = 0; i < 2; i++)
		if (strcmp(dot, former[i][0]) == 0) {
			snprintf(text, sizeof(text), "%.*s%s", (int)(dot - name), name, former[i][1]);
			return find(w, text);
		}
	return NULL;
}

/* By its full name or, in a file of the bare encoder, without the architecture's prefix. */
static const struct named_tensor *find_param(
    const struct weights *w, enum hf_architecture a, const char *ours, char theirs[3 * NODE_NAME])
{
	char buf[2 * NODE_NAME];
	bool prefixed;
	const char *name = hf_param_name(a, ours, buf, &prefixed);
	for (int bare = prefixed ? 0 : 1; bare < 2; bare++) {
		snprintf(theirs, 3 * NODE_NAME, "%s%s%s", bare ? "" : hf_architecture_names[a], bare ? "" : ".", name);
		const struct named_tensor *t = find(w, theirs);
		if (!t)
			t = find_norm(w, theirs);
		if (t)
			return t;
	}
	return NULL;
}

static bool is_float(enum dtype t)
{
	return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

static void convert(const struct tensor *from, float *to, int64_t n)
{
	const uint16_t *half = from->data;
	if (from->dtype == DT_F32)
		memcpy(to, from->data, (size_t)n * sizeof(*to));
	for (int64_t i = 0; from->dtype != DT_F32 && i < n; i++)
		to[i] = from->dtype == DT_F16 ? f16_to_f32(half[i]) : bf16_to_f32(half[i]);
}

/* The table of words may have more rows than there are tokens, to fill up a multiple of something. */
static struct shape their_shape(const struct node *param, const struct hf_config *config)
{
	struct shape s = param->shape;
	if (strcmp(param->name, "embeddings.word_embeddings.weight") == 0)
		s.dim[0] = config->table_rows;
	return s;
}

static int take(struct checkpoint *c, const struct node *param, const struct weights *w, const struct hf_config *config)
{
	char theirs[3 * NODE_NAME], have[64], want[64];
	const struct named_tensor *t = find_param(w, config->architecture, param->name, theirs);
	const struct shape asked = their_shape(param, config);
	if (!t && w->skipped.len)
		return err_set(ERR_CHECKPOINT,
		    "the weights have no tensor '%s' in FP32, FP16 or BF16; of other types: %s", theirs,
		    str_text(&w->skipped));
	if (!t)
		return err_set(ERR_CHECKPOINT, "the weights have no tensor '%s'", theirs);
	if (!is_float(t->t.dtype))
		return err_set(
		    ERR_CHECKPOINT, "tensor '%s' is %s, weights must be float", theirs, dtype_name(t->t.dtype));
	if (!shape_equal(t->t.shape, asked))
		return err_set(ERR_CHECKPOINT, "tensor '%s' has shape %s, config.json asks for %s", theirs,
		    shape_text(t->t.shape, have), shape_text(asked, want));
	struct named_tensor *own = tensor_file_add(&c->tensors, param->name, DT_F32, param->shape);
	if (!own)
		return ERR_NOMEM;
	convert(&t->t, own->t.data, shape_count(param->shape));
	return 0;
}

/* Tensors that an encoder's classifier does not have: the heads of other tasks, the pooler of a model that is not
 * pooled by it, and buffers that are no weights. */
static bool may_be_left(const char *name)
{
	static const char *const parts[] = {
	    "cls.", "vocab_", "qa_outputs.", "pooler.", "classifier.", "pre_classifier."};
	const char *dot = strrchr(name, '.');
	const char *at = name;
	if (dot && strcmp(dot, ".position_ids") == 0)
		return true;
	for (int i = 0; i < HF_ARCHITECTURES; i++) {
		const size_t n = strlen(hf_architecture_names[i]);
		if (strncmp(name, hf_architecture_names[i], n) == 0 && name[n] == '.')
			at = name + n + 1;
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (strncmp(at, parts[i], strlen(parts[i])) == 0)
			return true;
	return false;
}

/* What nothing was made of is named: heads in a note, anything else as an error. */
static int check_left(const struct weights *w, struct str *notes)
{
	struct str names = {0};
	int n = 0, rc = 0;
	for (int i = 0; i < w->n; i++)
		for (int k = 0; k < w->shard[i].n; k++) {
			const char *name = w->shard[i].item[k].name;
			if (w->used[i][k])
				continue;
			if (!rc && !may_be_left(name))
				rc = err_set(ERR_CHECKPOINT,
				    "tensor '%s' has no place in the model that config.json describes", name);
			if (n++ < NAMES_SHOWN)
				str_addf(&names, "%s%s", n > 1 ? ", " : "", name);
		}
	if (n > 0)
		str_addf(notes, "left out: %d tensors that the encoder does not use: %s%s\n", n, str_text(&names),
		    n > NAMES_SHOWN ? ", ..." : "");
	if (w->skipped.len)
		str_addf(notes, "left out: tensors that are no weights: %s\n", str_text(&w->skipped));
	rc = rc ? rc : names.failed || notes->failed ? ERR_NOMEM : 0;
	str_clear(&names);
	return rc;
}

int hf_weights_read(struct checkpoint *c, const struct hf_config *config, const char *dir, struct str *notes)
{
	struct weights *w = mem_alloc(1, sizeof(*w));
	struct graph g;
	if (!w)
		return ERR_NOMEM;
	graph_init(&g);
	int rc = open_weights(w, dir);
	if (!rc)
		rc = spec_build(&g, &c->spec, &shape_one);
	for (int i = 0; !rc && i < g.n; i++)
		if (g.node[i].op == OP_PARAM)
			rc = take(c, &g.node[i], w, config);
	if (!rc)
		rc = check_left(w, notes);
	graph_clear(&g);
	weights_clear(w);
	return rc ? err_context(rc, "%s", dir) : 0;
}
