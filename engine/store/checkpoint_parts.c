/* What a checkpoint says of its input and its task: the fields `input` and `task`, and the adapter's files. Checkpoints
 * that are older have the same facts among those of their data set. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/checkpoint_impl.h"

static const cJSON *get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* An `input` object from data.shape and data.normalisation. NULL: the data set is not described. */
static cJSON *older_input(const cJSON *data)
{
	static const char *const keys[] = {"height", "width", "channels"};
	const cJSON *shape = get(data, "shape"), *norm = get(data, "normalisation");
	if (!cJSON_IsArray(shape) || cJSON_GetArraySize(shape) != 3 || !cJSON_IsObject(norm))
		return NULL;
	cJSON *input = cJSON_CreateObject();
	bool ok = input && cJSON_AddStringToObject(input, "kind", adapter_image.name);
	for (int i = 0; ok && i < 3; i++)
		ok = cJSON_AddItemToObject(input, keys[i], cJSON_Duplicate(cJSON_GetArrayItem(shape, i), true));
	const cJSON *copied[] = {get(norm, "mean"), get(norm, "std"), get(norm, "source")};
	const char *const names[] = {"mean", "std", "normalisation"};
	for (int i = 0; ok && i < 3; i++)
		ok = !copied[i] || cJSON_AddItemToObject(input, names[i], cJSON_Duplicate(copied[i], true));
	if (ok)
		return input;
	cJSON_Delete(input);
	return NULL;
}

static int read_older(struct checkpoint *c, const char *dir)
{
	const cJSON *data = get(c->info, "data"), *names = get(data, "class_names"), *name;
	cJSON *input = older_input(data);
	int rc = input ? adapter_from_json(&c->adapter, input, dir) : 0, n = 0;
	cJSON_Delete(input);
	if (rc || !cJSON_IsArray(names) || cJSON_GetArraySize(names) < 1)
		return rc;
	char **list = mem_alloc((size_t)cJSON_GetArraySize(names), sizeof(*list));
	if (!list)
		return ERR_NOMEM;
	cJSON_ArrayForEach(name, names)
	{
		list[n] = cJSON_IsString(name) && name->valuestring[0] ? name->valuestring : NULL;
		if (!list[n++])
			rc = err_set(ERR_CHECKPOINT, "data.class_names must be a list of names that are not empty");
	}
	if (!rc)
		rc = task_check_names("data.class_names", list, n);
	if (!rc)
		rc = task_default(&c->task, TARGET_CLASS, list, n);
	mem_free(list);
	return rc;
}

static int check_parts(const struct checkpoint *c)
{
	char takes[160], model[96];
	if (c->adapter.kind && !input_equal(&c->adapter.spec, &c->spec.input)) {
		c->adapter.kind->describe(&c->adapter, takes);
		return err_set(
		    ERR_CHECKPOINT, "'input' gives %s, the model takes %s", takes, input_text(&c->spec.input, model));
	}
	if (c->task.kind && c->task.classes != c->spec.classes)
		return err_set(ERR_CHECKPOINT, "'task' names %d classes, the model has %d outputs", c->task.classes,
		    c->spec.classes);
	return 0;
}

int checkpoint_read_parts(struct checkpoint *c, const char *dir, const char *name)
{
	const cJSON *input = get(c->info, "input"), *task = get(c->info, "task");
	int rc = 0;
	if (!input && !task)
		rc = read_older(c, dir);
	if (input)
		rc = adapter_from_json(&c->adapter, input, dir);
	if (!rc && task)
		rc = task_from_json(&c->task, task);
	if (!rc)
		rc = check_parts(c);
	return rc ? err_context(rc, "%s", name) : 0;
}
