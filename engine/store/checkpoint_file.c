/* The folder of a checkpoint. model.safetensors first, checkpoint_info.json last: where the second is, the first is
 * whole. What was written is read again and compared before a save counts as done. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/hashed_read.h"
#include "store/checkpoint_impl.h"
#include "store/sealed.h"

#define MODEL_FILE "model.safetensors"
#define INFO_FILE  "checkpoint_info.json"
#define PATH_ROOM  1024

/* Puts every field of `from` into `to`, replacing what is there; `from` is used up. */
static int merge(cJSON *to, cJSON *from)
{
	cJSON *item;
	int rc = 0;

	while (!rc && (item = from->child) != NULL) {
		cJSON_DetachItemViaPointer(from, item);
		cJSON_DeleteItemFromObjectCaseSensitive(to, item->string);
		/* AddItemToObject copies the key, and the item still owns the one it had. */
		char *key = mem_strdup(item->string);

		if (!key || !cJSON_AddItemToObject(to, key, item)) {
			cJSON_Delete(item);
			rc = err_set(ERR_NOMEM, "out of memory");
		}
		mem_free(key);
	}
	cJSON_Delete(from);
	return rc;
}

static int complete_info(struct checkpoint *c, const char *model_path)
{
	uint64_t bytes;
	cJSON *fields, *hash;
	int rc = fs_size(model_path, &bytes);

	if (!rc)
		rc = hash_file(model_path, c->sha256);
	if (rc != 0)
		return rc;
	fields = checkpoint_derive(c, bytes);
	if (!fields)
		return ERR_NOMEM;
	hash = cJSON_AddStringToObject(fields, "sha256", c->sha256);
	if (!hash) {
		cJSON_Delete(fields);
		return err_set(ERR_NOMEM, "out of memory");
	}
	return merge(c->info, fields);
}

static int write_info(struct checkpoint *c, const char *path)
{
	char *text;
	int rc = sealed_print(c->info, CHECKPOINT_SEAL, &text);

	if (!rc)
		rc = hash_bytes(text, strlen(text), c->info_sha256);
	if (!rc)
		rc = fs_write(path, text, strlen(text));
	mem_free(text);
	return rc;
}

static int compare_tensors(const struct tensor_file *a, const struct tensor_file *b, const char *path)
{
	bool same = a->n == b->n;

	for (int i = 0; i < a->n && same; i++) {
		const struct named_tensor *x = &a->item[i], *y = &b->item[i];

		same = strcmp(x->name, y->name) == 0 && x->t.dtype == y->t.dtype &&
		       shape_equal(x->t.shape, y->t.shape) && memcmp(x->t.data, y->t.data, tensor_bytes(&x->t)) == 0;
	}
	return same ? 0 : err_set(ERR_IO, "%s: what was read back is not what was written", path);
}

static int verify(const struct checkpoint *c, const char *dir, const char *info_path)
{
	struct checkpoint again;
	int rc = checkpoint_load(&again, dir);

	if (rc != 0)
		return rc;
	rc = compare_tensors(&c->tensors, &again.tensors, dir);
	if (!rc && !cJSON_Compare(c->info, again.info, 1))
		rc = err_set(ERR_IO, "%s: what was read back is not what was written (NaN in a field?)", info_path);
	checkpoint_clear(&again);
	return rc;
}

int checkpoint_save(struct checkpoint *c, const char *dir)
{
	char model[PATH_ROOM], info[PATH_ROOM];
	int rc;

	rc = fs_join(model, sizeof(model), dir, MODEL_FILE);
	if (!rc)
		rc = fs_join(info, sizeof(info), dir, INFO_FILE);
	if (!rc)
		rc = checkpoint_check_tensors(c, "checkpoint to be saved");
	if (!rc && !c->info && !(c->info = cJSON_CreateObject()))
		rc = err_set(ERR_NOMEM, "out of memory");
	if (!rc)
		rc = fs_mkdirs(dir);
	/* An old info file beside a new model would promise what is not there. */
	if (!rc && fs_exists(info) && remove(info) != 0)
		rc = err_set(ERR_IO, "%s: cannot be replaced", info);
	if (!rc)
		rc = tensor_file_write(&c->tensors, model);
	if (!rc && c->adapter.kind)
		rc = adapter_save(&c->adapter, dir);
	if (!rc)
		rc = complete_info(c, model);
	if (!rc)
		rc = write_info(c, info);
	if (rc != 0)
		return rc;
	rc = verify(c, dir, info);
	if (rc != 0)
		remove(info);
	return rc;
}

int checkpoint_folder(char *out, size_t cap, const char *path)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	int n;

	if (fs_is_dir(path))
		n = snprintf(out, cap, "%s", path);
	else if (!fs_exists(path))
		return err_set(ERR_CHECKPOINT, "%s: no such checkpoint", path);
	else if (strcmp(file, MODEL_FILE) != 0 && strcmp(file, INFO_FILE) != 0)
		return err_set(
		    ERR_CHECKPOINT, "%s: not a checkpoint (a folder, its %s or its %s)", path, INFO_FILE, MODEL_FILE);
	else
		n = slash ? snprintf(out, cap, "%.*s", (int)(slash == path ? 1 : slash - path), path)
			  : snprintf(out, cap, ".");
	if (n < 0 || (size_t)n >= cap)
		return err_set(ERR_CHECKPOINT, "%s: path is too long", path);
	return 0;
}

/* A missing or unreadable part is a broken checkpoint, not a full disk. */
static int as_broken(int rc)
{
	return rc == ERR_IO ? err_set(ERR_CHECKPOINT, "%s", err_message()) : rc;
}

static int read_file(const char *path, uint64_t limit, struct fs_bytes *out)
{
	uint64_t size = 0;
	int rc = fs_size(path, &size);

	if (!rc && size > limit)
		return err_set(ERR_CHECKPOINT, "%s: %llu bytes; the limit is %llu", path, (unsigned long long)size,
		    (unsigned long long)limit);
	return as_broken(!rc ? fs_read(path, out) : rc);
}

static int no_checkpoint(const char *folder)
{
	char run[PATH_ROOM];

	if (fs_join(run, sizeof(run), folder, "run.json") == 0 && fs_exists(run))
		return err_set(ERR_CHECKPOINT,
		    "%s: is the folder of a run; the checkpoints are the folders of its stages, as in %s/01-train",
		    folder, folder);
	return err_set(
	    ERR_CHECKPOINT, "%s: holds no %s: not a checkpoint, or one whose writing was cut off", folder, INFO_FILE);
}

/* What the info says about the model must be what the model is. */
static int compare_fields(const struct checkpoint *c, const char *info_path, const char *model_path)
{
	uint64_t bytes = 0;
	cJSON *fields;
	const cJSON *field, *said;
	int rc = fs_size(model_path, &bytes);

	if (rc != 0)
		return err_set(ERR_CHECKPOINT, "%s", err_message());
	fields = checkpoint_derive(c, bytes);
	if (!fields)
		return ERR_NOMEM;
	cJSON_ArrayForEach(field, fields)
	{
		said = cJSON_GetObjectItemCaseSensitive(c->info, field->string);
		if (!said && (strcmp(field->string, "input") == 0 || strcmp(field->string, "task") == 0))
			continue; /* older: read from what the file says of its data set */
		if (!rc && !said)
			rc = err_set(ERR_CHECKPOINT, "%s: '%s' is missing", info_path, field->string);
		else if (!rc && !cJSON_Compare(field, said, 1))
			rc = err_set(
			    ERR_CHECKPOINT, "%s: '%s' does not agree with %s", info_path, field->string, MODEL_FILE);
	}
	cJSON_Delete(fields);
	return rc;
}

static int open_info(struct checkpoint *out, const char *dir, char folder[PATH_ROOM], char info[PATH_ROOM])
{
	struct fs_bytes b = {0};
	int rc;

	*out = (struct checkpoint){0};
	rc = checkpoint_folder(folder, PATH_ROOM, dir);
	if (!rc)
		rc = fs_join(info, PATH_ROOM, folder, INFO_FILE);
	if (!rc && !fs_exists(info))
		rc = no_checkpoint(folder);
	if (!rc)
		rc = read_file(info, CHECKPOINT_INFO_MAX, &b);
	if (!rc)
		rc = checkpoint_info_parse(out, info, (const char *)b.data, b.size);
	fs_bytes_clear(&b);
	return rc;
}

int checkpoint_read_info(struct checkpoint *out, const char *dir)
{
	char folder[PATH_ROOM], info[PATH_ROOM];

	return open_info(out, dir, folder, info);
}

/* The tensors of a file that was read, and their bytes, unless they are none. */
static int take_tensors(struct checkpoint *c, const char *path, struct fs_bytes *b)
{
	int rc = tensor_file_take(&c->tensors, path, b);

	if (!rc)
		rc = checkpoint_note_steps(c);
	return !rc ? checkpoint_check_tensors(c, path) : rc;
}

static int load_model(struct checkpoint *c, const char *path, const char *info)
{
	struct fs_bytes b;
	int rc = as_broken(hashed_read_bytes(c->reading, &b));

	if (rc)
		return rc;
	rc = take_tensors(c, path, &b);
	if (!rc)
		rc = compare_fields(c, info, path);
	if (rc) /* waits, too: the thread may still look at the bytes */
		rc = checkpoint_prove(c, rc);
	fs_bytes_clear(&b);
	return rc;
}

int checkpoint_load_unproven(struct checkpoint *out, const char *dir)
{
	char folder[PATH_ROOM], model[PATH_ROOM], info[PATH_ROOM];
	int rc = open_info(out, dir, folder, info);

	if (!rc)
		rc = fs_join(model, sizeof(model), folder, MODEL_FILE);
	if (!rc)
		rc = hashed_read_begin(&out->reading, model);
	if (!rc)
		rc = checkpoint_read_parts(out, folder, info);
	if (!rc)
		rc = load_model(out, model, info);
	if (rc)
		checkpoint_clear(out);
	return rc;
}

int checkpoint_prove(struct checkpoint *c, int rc)
{
	char sha256[HASH_HEX];
	int wrong;

	if (!c->reading)
		return rc;
	wrong = hashed_read_hash(c->reading, sha256);
	if (!wrong && strcmp(sha256, c->sha256) != 0)
		wrong = err_set(ERR_CHECKPOINT, "%s: its SHA-256 is %s, but %s says %s", hashed_read_path(c->reading),
		    sha256, INFO_FILE, c->sha256);
	hashed_read_close(c->reading);
	c->reading = NULL;
	return wrong ? wrong : rc;
}

int checkpoint_load(struct checkpoint *out, const char *dir)
{
	int rc = checkpoint_load_unproven(out, dir);

	if (!rc)
		rc = checkpoint_prove(out, 0);
	if (rc)
		checkpoint_clear(out);
	return rc;
}
