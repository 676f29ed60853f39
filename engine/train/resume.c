/* The state of a fit between two steps as one file, so that an interrupted fit goes on as if nothing had happened:
 * params with statistics, quantization steps and masks, moments, the best weights, the update's state (loss scale
 * included), the step, the best figures and the log. The order of samples and all random numbers follow from the step.
 *
 * Two generations are kept: what was kept before stays under a name of its own until the next is kept, for where the
 * newest is damaged.
 *
 * A safetensors file: params.N, masks.N, moments.m.N, moments.v.N, best.N, best_masks.N for a param N, beside.N for
 * what hooks hold, `state`, the bytes of a JSON object, and `sha256`, the digits of the hash of all others. */
#include <float.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/json.h"
#include "store/safetensors.h"
#include "train/fit_state.h"

#define NAME_ROOM   (NODE_NAME + 32)
#define HASH_TENSOR "sha256"

static struct shape vector(size_t n)
{
	return shape_of(1, (const int64_t[]){(int64_t)n});
}

static const char *join(char buf[NAME_ROOM], const char *group, const char *name)
{
	snprintf(buf, NAME_ROOM, "%s.%s", group, name);
	return buf;
}

/* --- generations -------------------------------------------------------------------------------------------------- */

#define PATH_ROOM 1200

static const char *before_path(char path[PATH_ROOM], const char *newest)
{
	snprintf(path, PATH_ROOM, "%s.before", newest);
	return path;
}

bool resume_exists(const char *path)
{
	char before[PATH_ROOM];
	return fs_exists(path) || fs_exists(before_path(before, path));
}

void resume_remove(const char *path)
{
	char before[PATH_ROOM];
	unlink(path);
	unlink(before_path(before, path));
}

int resume_rename(const char *from, const char *to)
{
	char before[2][PATH_ROOM];
	if (fs_exists(from) && rename(from, to) < 0)
		return err_set(ERR_IO, "%s: %s", from, strerror(errno));
	if (rename(before_path(before[0], from), before_path(before[1], to)) < 0 && errno != ENOENT)
		return err_set(ERR_IO, "%s: %s", before[0], strerror(errno));
	return 0;
}

/* At every moment one of the two names has a whole state. Where there are no hard links, the newest has its place alone
 * until the next one is written. */
static void keep_before(const char *path)
{
	char before[PATH_ROOM];
	unlink(before_path(before, path));
	if (link(path, before) < 0 && errno != ENOENT)
		rename(path, before);
}

/* --- saving ------------------------------------------------------------------------------------------------------- */

/* Memory of the host is written as it is: when a state is kept, all that may be taken is in use. */
static int add_device(struct tensor_file *file, const char *group, const struct param *p, struct device dev,
    const void *data, enum dtype t)
{
	char name[NAME_ROOM];
	if (device_traits(dev)->on_host)
		return tensor_file_borrow(file, join(name, group, p->name), t, p->value.shape, data);
	struct named_tensor *to = tensor_file_add(file, join(name, group, p->name), t, p->value.shape);
	return to ? dev.backend->download(dev.ctx, to->t.data, data, tensor_bytes(&to->t)) : ERR_NOMEM;
}

static int add_params(struct tensor_file *file, const char *group, const char *masks, const struct param_store *s)
{
	int rc = 0;
	for (int i = 0; !rc && i < s->n; i++) {
		const struct param *p = s->item[i];
		if (p->set)
			rc = add_device(file, group, p, s->dev, p->value.data, p->value.dtype);
		if (!rc && p->mask)
			rc = add_device(file, masks, p, s->dev, p->mask, DT_U8);
	}
	return rc;
}

static int add_beside(struct tensor_file *file, const struct tensor_file *beside)
{
	char name[NAME_ROOM];
	int rc = 0;
	for (int i = 0; !rc && beside && i < beside->n; i++) {
		const struct named_tensor *b = &beside->item[i];
		rc = tensor_file_borrow(file, join(name, "beside", b->name), b->t.dtype, b->t.shape, b->t.data);
	}
	return rc;
}

static int add_moments(struct tensor_file *file, const struct optimizer *o)
{
	int rc = 0;
	for (int i = 0; !rc && i < o->n; i++) {
		const struct moment *m = &o->moment[i];
		rc = add_device(file, "moments.m", m->param, o->store->dev, m->m, DT_F32);
		if (!rc && m->v)
			rc = add_device(file, "moments.v", m->param, o->store->dev, m->v, DT_F32);
	}
	return rc;
}

/* Everything that is a number. The norm is left out: it may be infinite,
 * and the next update makes it anew. */
static void add_numbers(
    struct json_out out, const struct fit *f, const struct train_result *r, const struct update_state *u)
{
	const struct {
		const char *key;
		double value;
	} number[] = {{"step", (double)f->step}, {"epochs_done", (double)f->epochs_done}, {"loss_sum", f->loss_sum},
	    {"bad_epochs", (double)f->bad_epochs}, {"best_epoch", (double)r->best_epoch}, {"train_loss", r->train_loss},
	    {"epochs_run", (double)r->epochs_run}, {"resumed", (double)r->resumed}, {"updates", (double)u->t},
	    {"scale", (double)u->scale}, {"good", u->good}, {"skipped", u->skipped},
	    {"train_seconds", f->train_seconds}, {"epoch_seconds", f->epoch_seconds},
	    {"seconds", f->earlier_seconds + clock_now() - f->start}};
	json_out_text(out, "key", f->t->resume_key ? f->t->resume_key : "");
	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		json_out_exact(out, number[i].key, number[i].value);
	if (f->has_best)
		json_out_item(out, "best", metrics_save(&r->best));
}

static int add_state(struct tensor_file *file, const struct fit *f, const struct train_result *r)
{
	bool ok;
	struct json_out out = json_out_begin(&ok);
	cJSON *o = NULL;
	char *text = NULL, *log = NULL;
	struct update_state u;
	int rc = optimizer_read_state(&f->opt, &u);
	if (!rc)
		rc = fit_log_text(&f->log, &log);
	if (!rc)
		add_numbers(out, f, r, &u);
	if (!rc)
		json_out_text(out, "log", log);
	if (!rc && f->t->resume_note)
		json_out_text(out, "note", f->t->resume_note);
	int made = json_out_end(out, &o);
	rc = rc ? rc : made;
	if (!rc)
		text = cJSON_PrintUnformatted(o);
	if (!rc) {
		struct named_tensor *to = text ? tensor_file_add(file, "state", DT_U8, vector(strlen(text))) : NULL;
		if (to)
			memcpy(to->t.data, text, strlen(text));
		else
			rc = ERR_NOMEM;
	}
	cJSON_free(text);
	mem_free(log);
	cJSON_Delete(o);
	return rc == ERR_NOMEM ? err_set(rc, "out of memory") : rc;
}

static int add_hash(struct tensor_file *file)
{
	char hex[HASH_HEX];
	int rc = tensor_file_hash(file, HASH_TENSOR, hex);
	struct named_tensor *to = rc ? NULL : tensor_file_add(file, HASH_TENSOR, DT_U8, vector(HASH_HEX - 1));
	if (to)
		memcpy(to->t.data, hex, HASH_HEX - 1);
	return rc || to ? rc : ERR_NOMEM;
}

/* Unless it could not be filled (rc): the new generation, with the hash of all that is in it. */
static int write_state(struct tensor_file *file, const char *path, int rc)
{
	if (!rc)
		rc = add_hash(file);
	if (!rc) {
		keep_before(path);
		rc = tensor_file_write(file, path);
	}
	return rc ? err_context(rc, "the state of the training cannot be kept") : 0;
}

int resume_save(const struct fit *f, const struct train_result *r)
{
	struct tensor_file file = {0};
	int rc = add_params(&file, "params", "masks", f->t->params);
	if (!rc && f->has_best)
		rc = add_params(&file, "best", "best_masks", &f->best_params);
	if (!rc)
		rc = add_moments(&file, &f->opt);
	if (!rc)
		rc = add_beside(&file, f->t->beside);
	if (!rc)
		rc = add_state(&file, f, r);
	rc = write_state(&file, f->t->resume_path, rc);
	tensor_file_clear(&file);
	return rc;
}

int resume_put(struct tensor_file *file, const cJSON *o, const char *path)
{
	char *text = cJSON_PrintUnformatted(o);
	struct named_tensor *to = text ? tensor_file_add(file, "state", DT_U8, vector(strlen(text))) : NULL;
	const int rc = to ? 0 : err_set(ERR_NOMEM, "out of memory");
	if (to)
		memcpy(to->t.data, text, strlen(text));
	cJSON_free(text);
	return write_state(file, path, rc);
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

#define REMEDY "remove the file to start the stage from its beginning"

static int not_a_state(const struct fit *f, const char *what)
{
	return err_set(ERR_CHECKPOINT, "%s: no state of this stage: %s; " REMEDY, f->t->resume_path, what);
}

static bool take_number(const cJSON *o, const char *key, double least, double *out)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
	if (!cJSON_IsNumber(item) || !(item->valuedouble >= least && item->valuedouble <= (double)FLT_MAX))
		return false;
	*out = item->valuedouble;
	return true;
}

static bool take_count(const cJSON *o, const char *key, int64_t most, int64_t *out)
{
	uint64_t n;
	if (!json_uint(cJSON_GetObjectItemCaseSensitive(o, key), &n) || n > (uint64_t)most)
		return false;
	*out = (int64_t)n;
	return true;
}

static int load_best(struct fit *f, const cJSON *o, struct train_result *r)
{
	const cJSON *best = cJSON_GetObjectItemCaseSensitive(o, "best");
	if (!best)
		return 0;
	int rc = metrics_init(&r->best, f->t->task);
	if (rc)
		return rc;
	f->has_best = true;
	return metrics_restore(&r->best, best) ? not_a_state(f, "best") : 0;
}

static int load_numbers(struct fit *f, const cJSON *o, struct train_result *r)
{
	struct update_state u = {.dynamic = f->opt.scaled};
	int64_t good = 0, skipped = 0;
	double scale = 1;
	bool ok = take_count(o, "step", f->total, &f->step) &&
		  take_count(o, "epochs_done", f->t->o->epochs, &f->epochs_done) &&
		  take_count(o, "bad_epochs", f->t->o->epochs, &f->bad_epochs) &&
		  take_count(o, "best_epoch", f->t->o->epochs, &r->best_epoch) &&
		  take_count(o, "epochs_run", f->t->o->epochs, &r->epochs_run) &&
		  take_count(o, "resumed", INT32_MAX, &r->resumed) && take_count(o, "updates", f->total, &u.t) &&
		  take_count(o, "good", INT32_MAX, &good) && take_count(o, "skipped", INT32_MAX, &skipped) &&
		  take_number(o, "scale", 0, &scale) && take_number(o, "loss_sum", -(double)FLT_MAX, &f->loss_sum) &&
		  take_number(o, "train_loss", -(double)FLT_MAX, &r->train_loss) &&
		  take_number(o, "train_seconds", 0, &f->train_seconds) &&
		  take_number(o, "epoch_seconds", 0, &f->epoch_seconds) &&
		  take_number(o, "seconds", 0, &f->earlier_seconds);
	const int64_t first = f->epochs_done * f->steps_per_epoch;
	if (!ok || f->step < first || f->step > first + f->steps_per_epoch || !(scale > 0))
		return not_a_state(f, "its numbers");
	r->resumed++;
	u.scale = (float)scale;
	u.good = (int32_t)good;
	u.skipped = (int32_t)skipped;
	int rc = optimizer_prepare(&f->opt);
	return rc ? rc : f->t->dev.backend->upload(f->t->dev.ctx, f->opt.args.state, &u, sizeof(u));
}

/* The tensor of a param in a group, or NULL if there is none; *rc: another type or shape is an error. */
static const struct named_tensor *find(const struct fit *f, const struct tensor_file *file, const char *group,
    const struct param *p, enum dtype t, int *rc)
{
	char name[NAME_ROOM];
	const struct named_tensor *from = tensor_file_find(file, join(name, group, p->name));
	if (from && (from->t.dtype != t || !shape_equal(from->t.shape, p->value.shape)))
		*rc = not_a_state(f, from->name);
	return *rc ? NULL : from;
}

static int load_params(
    const struct fit *f, const struct tensor_file *file, const char *group, const char *masks, struct param_store *s)
{
	int rc = 0;
	for (int i = 0; !rc && i < s->n; i++) {
		const struct param *p = s->item[i];
		const struct named_tensor *value = find(f, file, group, p, p->value.dtype, &rc);
		const struct named_tensor *mask = find(f, file, masks, p, DT_U8, &rc);
		if (!rc && !value)
			rc = p->set ? not_a_state(f, p->name) : 0;
		else if (!rc)
			rc = params_write(s, p->name, value->t.data);
		if (!rc)
			rc = params_set_mask(s, p->name, mask ? mask->t.data : NULL);
	}
	return rc;
}

static int load_moments(struct fit *f, const struct tensor_file *file)
{
	const struct param_store *s = f->t->params;
	int rc = 0;
	for (int i = 0; !rc && i < s->n; i++) {
		const struct param *p = s->item[i];
		const struct named_tensor *m = find(f, file, "moments.m", p, DT_F32, &rc);
		const struct named_tensor *v = find(f, file, "moments.v", p, DT_F32, &rc);
		if (rc || !m)
			continue;
		if (!v != (f->opt.args.kind != OPTIMIZER_ADAMW))
			return not_a_state(f, m->name);
		rc = optimizer_load(&f->opt, p, m->t.data, v ? v->t.data : NULL);
	}
	return rc;
}

static int load_beside(const struct tensor_file *file, struct tensor_file *beside)
{
	static const char prefix[] = "beside.";
	int rc = 0;
	if (beside)
		tensor_file_clear(beside);
	for (int i = 0; !rc && beside && i < file->n; i++) {
		const struct named_tensor *from = &file->item[i];
		if (strncmp(from->name, prefix, sizeof(prefix) - 1) != 0)
			continue;
		struct named_tensor *to =
		    tensor_file_add(beside, from->name + sizeof(prefix) - 1, from->t.dtype, from->t.shape);
		if (to)
			memcpy(to->t.data, from->t.data, tensor_bytes(&from->t));
		else
			rc = ERR_NOMEM;
	}
	return rc;
}

static int load_all(struct fit *f, const struct tensor_file *file, const cJSON *o, struct train_result *r)
{
	const cJSON *log = cJSON_GetObjectItemCaseSensitive(o, "log");
	int rc = cJSON_IsString(log) ? load_numbers(f, o, r) : not_a_state(f, "log");
	if (!rc)
		rc = load_best(f, o, r);
	if (!rc)
		rc = load_params(f, file, "params", "masks", f->t->params);
	if (!rc && f->has_best)
		rc = load_params(f, file, "best", "best_masks", &f->best_params);
	if (!rc)
		rc = load_moments(f, file);
	if (!rc)
		rc = load_beside(file, f->t->beside);
	return rc ? rc : fit_log_restore(&f->log, log->valuestring);
}

/* Whether the text at a key is `want`; NULL: there is none. */
static bool has_text(const cJSON *o, const char *key, const char *want)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
	return text && want ? strcmp(text, want) == 0 : !text && !want;
}

static bool same_key(const cJSON *o, const char *key)
{
	return has_text(o, "key", key ? key : "");
}

static int check_hash(const char *path, const struct tensor_file *file)
{
	const struct named_tensor *kept = tensor_file_find(file, HASH_TENSOR);
	char hex[HASH_HEX];
	int rc = tensor_file_hash(file, HASH_TENSOR, hex);
	if (rc)
		return rc;
	if (!kept || tensor_bytes(&kept->t) != HASH_HEX - 1 || memcmp(kept->t.data, hex, HASH_HEX - 1) != 0)
		return err_set(ERR_CHECKPOINT, "%s: its tensors do not have the SHA-256 that it names", path);
	return 0;
}

/* The whole file, and the numbers in it. */
static int read_one(const char *path, struct tensor_file *file, cJSON **o)
{
	const struct named_tensor *state;
	int rc = tensor_file_map(file, path);
	if (!rc)
		rc = check_hash(path, file);
	state = rc ? NULL : tensor_file_find(file, "state");
	if (!rc && (!state || state->t.dtype != DT_U8))
		rc = err_set(ERR_CHECKPOINT, "%s: no state of a training", path);
	if (!rc)
		rc = json_parse(path, state->t.data, tensor_bytes(&state->t), o);
	if (rc)
		tensor_file_clear(file);
	return rc == ERR_CHECKPOINT ? err_set(rc, "%s; " REMEDY, err_message()) : rc;
}

/* Of the newest generation, or, where that is damaged or gone, of the one before. damaged: why not of the newest; "":
 * it is. */
static int read_state(const char *path, struct tensor_file *file, cJSON **o, char damaged[512])
{
	char before[PATH_ROOM];
	damaged[0] = '\0';
	int rc = read_one(path, file, o);
	if (!rc || rc == ERR_NOMEM || !fs_exists(before_path(before, path)))
		return rc;
	snprintf(damaged, 512, "%s", err_message());
	if (read_one(before, file, o) == 0) {
		err_clear();
		return 0;
	}
	return err_set(rc, "%s", damaged); /* the newest is what is to be removed first */
}

int resume_key(const char *path, char key[HASH_HEX])
{
	struct tensor_file file = {0};
	cJSON *o = NULL;
	char damaged[512];
	int rc = read_state(path, &file, &o, damaged);
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "key"));
	if (!rc && !hash_is_hex(text))
		rc = err_set(ERR_CHECKPOINT, "%s: its key is no SHA-256", path);
	snprintf(key, HASH_HEX, "%s", rc ? "" : text);
	cJSON_Delete(o);
	tensor_file_clear(&file);
	return rc;
}

int resume_note(const char *path, const char *key, char **note)
{
	struct tensor_file file = {0};
	cJSON *o = NULL;
	char damaged[512];
	*note = NULL;
	if (!path || !resume_exists(path))
		return 0;
	int rc = read_state(path, &file, &o, damaged);
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "note"));
	if (!rc && text && same_key(o, key) && !(*note = mem_strdup(text)))
		rc = ERR_NOMEM;
	cJSON_Delete(o);
	tensor_file_clear(&file);
	return rc;
}

/* The one before becomes the newest: the next state that is kept must not put the damaged one in its place. */
static int go_back(const char *path, struct progress *p, const char *damaged)
{
	char line[640], before[PATH_ROOM];
	snprintf(line, sizeof(line), "warning: going on from the state before the last one: %s", damaged);
	if (p && p->line)
		p->line(p, line);
	if (rename(before_path(before, path), path) < 0)
		return err_set(ERR_IO, "%s: %s", before, strerror(errno));
	return 0;
}

int resume_get(struct tensor_file *file, cJSON **o, const char *path, const char *key, struct progress *progress)
{
	char damaged[512];
	*file = (struct tensor_file){0};
	*o = NULL;
	if (!resume_exists(path))
		return 0;
	int rc = read_state(path, file, o, damaged);
	const bool ours = !rc && same_key(*o, key);
	if (ours && damaged[0])
		rc = go_back(path, progress, damaged);
	if (ours && !rc)
		return 1;
	if (!ours && !rc)
		resume_remove(path); /* options or data have changed since */
	cJSON_Delete(*o);
	tensor_file_clear(file);
	*o = NULL;
	return rc;
}

/* The digits that stand in a file whose hash was checked. */
static void note_hash(const struct tensor_file *file, char hash[HASH_HEX])
{
	snprintf(hash, HASH_HEX, "%.*s", HASH_HEX - 1, (const char *)tensor_file_find(file, HASH_TENSOR)->t.data);
}

int resume_follow(struct fit *f, struct train_result *r, const char *hash)
{
	const char *path = f->t->resume_path;
	struct tensor_file file = {0};
	cJSON *o = NULL;
	char here[HASH_HEX] = "";
	int rc = path ? read_one(path, &file, &o) : err_set(ERR_FAIL, "there is no place for a state");
	if (!rc)
		note_hash(&file, here);
	if (!rc && strcmp(here, hash) != 0)
		rc = err_set(ERR_IO, "%s: another state than rank 0 has read; do both see the same file system?", path);
	if (!rc)
		rc = load_all(f, &file, o, r);
	cJSON_Delete(o);
	tensor_file_clear(&file);
	return rc;
}

int resume_load(struct fit *f, struct train_result *r, char hash[HASH_HEX])
{
	struct tensor_file file;
	cJSON *o;
	int rc = resume_get(&file, &o, f->t->resume_path, f->t->resume_key, f->t->progress);
	if (rc != 1)
		return rc;
	if (has_text(o, "note", f->t->resume_note)) {
		note_hash(&file, hash);
		rc = load_all(f, &file, o, r);
		rc = rc ? rc : 1;
	} else
		rc = 0;
	cJSON_Delete(o);
	tensor_file_clear(&file);
	return rc;
}
