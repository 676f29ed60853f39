/* What a checkpoint says of its input and its task: it comes back with the model, older checkpoints have it among the
 * facts of their data, and what does not fit the model is refused. */
#include <unistd.h>

#include "base/fs.h"
#include "exec/rig.h"
#include "input/texts.h"
#include "store/checkpoint.h"
#include "store/folder.h"
#include "store/seal.h"

static char *names[] = {"no", "yes", "maybe"};

/* Tensors for the spec; adapter and task are the caller's. */
static void fill(struct checkpoint *c)
{
	struct param_store store;
	struct graph g;
	params_init(&store, dev);
	graph_init(&g);
	assert_ok(checkpoint_graph(c, &shape_one, false, &g));
	assert_ok(params_add_graph(&store, &g, 5));
	assert_ok(checkpoint_from_params(c, &g, &store));
	graph_clear(&g);
	params_clear(&store);
	c->info = cJSON_CreateObject();
	cJSON_AddStringToObject(c->info, "model_name", "m");
}

static void fill_image(struct checkpoint *c)
{
	*c = (struct checkpoint){.form = FORM_FLOAT,
	    .adapter = {.kind = &adapter_image,
		.spec = {.height = 5, .width = 4, .channels = 2},
		.mean = {0.1f, 0.2f},
		.std = {0.3f, 0.4f},
		.norm_source = "train split"}};
	const struct model_spec spec = {.family = &family_mlp,
	    .input = c->adapter.spec,
	    .classes = 3,
	    .n_width = 1,
	    .width = (int[]){6},
	    .own = &(struct mlp_spec){0}};
	assert_ok(spec_copy(&c->spec, &spec));
	assert_ok(task_default(&c->task, TARGET_CLASS, names, 3));
	c->task.primary = task_metric_find(&c->task, "f1_macro");
	fill(c);
}

static void fill_text(struct checkpoint *c)
{
	static const char *const train[] = {"the cat sat", "the dog sat", "the cat", NULL};
	struct dataset d = texts_of(TARGET_SET, 3, train);
	*c = (struct checkpoint){.form = FORM_FLOAT};
	assert_ok(texts_adapter(&c->adapter, &d, "{longest: 12}", NULL));
	const struct model_spec spec = {.family = &family_bag,
	    .input = c->adapter.spec,
	    .classes = 3,
	    .n_width = 1,
	    .width = (int[]){6},
	    .own = &(struct bag_spec){0}};
	assert_ok(spec_copy(&c->spec, &spec));
	assert_ok(task_default(&c->task, TARGET_SET, names, 3));
	c->task.threshold = mem_alloc(3, sizeof(*c->task.threshold));
	for (int i = 0; i < 3; i++)
		c->task.threshold[i] = 0.3 + 0.1 * i;
	fill(c);
	dataset_close(&d);
}

static void save(struct checkpoint *c, const char *folder)
{
	assert_ok(fs_mkdirs(at(folder)));
	assert_ok(checkpoint_save(c, at(folder)));
}

static void parts__of_images_come_back(void **state)
{
	struct checkpoint c, back;
	(void)state;
	fill_image(&c);
	save(&c, "image");
	assert_ok(checkpoint_load(&back, at("image")));
	assert_ptr_equal(back.adapter.kind, &adapter_image);
	assert_memory_equal(back.adapter.mean, c.adapter.mean, sizeof(c.adapter.mean));
	assert_memory_equal(back.adapter.std, c.adapter.std, sizeof(c.adapter.std));
	assert_ptr_equal(back.task.kind, &task_single_label);
	assert_string_equal(task_metric_name(&back.task, back.task.primary), "f1_macro");
	assert_string_equal(back.task.class_name[2], "maybe");
	assert_false(fs_exists(at("image/vocab.txt")));
	checkpoint_clear(&back);
	checkpoint_clear(&c);
}

static void parts__of_texts_come_back_with_their_vocabulary(void **state)
{
	struct checkpoint c, back;
	char key[HASH_HEX], same[HASH_HEX];
	(void)state;
	fill_text(&c);
	save(&c, "text");
	assert_true(fs_exists(at("text/vocab.txt")));
	assert_ok(checkpoint_load(&back, at("text")));
	assert_ok(adapter_key(&c.adapter, key));
	assert_ok(adapter_key(&back.adapter, same));
	assert_string_equal(key, same);
	assert_ptr_equal(back.task.kind, &task_multi_label);
	assert_true(back.task.threshold[2] == c.task.threshold[2]);
	save(&back, "again");
	struct checkpoint twice;
	assert_ok(checkpoint_load(&twice, at("again")));
	assert_string_equal(twice.sha256, back.sha256);
	checkpoint_clear(&twice);
	checkpoint_clear(&back);
	checkpoint_clear(&c);
}

/* Loads DIR/folder with `from` in its info replaced by `to`; puts it back. */
static void refused(const char *folder, const char *from, const char *to, const char *part)
{
	char path[64];
	struct fs_bytes b;
	struct checkpoint c;
	snprintf(path, sizeof(path), "%s/checkpoint_info.json", folder);
	assert_ok(fs_read(at(path), &b));
	char *edited = strdup((char *)b.data);
	drop_seal(edited);
	const char *found = strstr(edited, from);
	if (!found)
		fail_msg("no '%s' in %s", from, edited);
	char *text = malloc(b.size + strlen(to) + 1);
	const int head = (int)(found - edited);
	const int n = sprintf(text, "%.*s%s%s", head, edited, to, found + strlen(from));
	assert_ok(fs_write(at(path), text, (size_t)n));
	free(text);
	free(edited);
	assert_error(checkpoint_load(&c, at(folder)), ERR_CHECKPOINT, part);
	assert_null(c.adapter.kind);
	assert_ok(fs_write(at(path), b.data, b.size));
	fs_bytes_clear(&b);
}

static void parts__that_do_not_fit_are_refused(void **state)
{
	struct checkpoint c;
	(void)state;
	fill_image(&c);
	save(&c, "image");
	checkpoint_clear(&c);
	fill_text(&c);
	save(&c, "text");
	checkpoint_clear(&c);
	refused("image", "\"single_label\"", "\"sorting\"", "'sorting' is no kind of task");
	refused("image", "\"f1_macro\"", "\"best\"", "task.metric");
	refused("image", "\"maybe\"]", "\"yes\"]", "task.class_names: 'yes' is there twice");
	refused("image", "\"maybe\"]", "\"\"]", "task.class_names must be a list of names that are not empty");
	refused("image", "\"maybe\"]", "3]", "task.class_names");
	refused("image", ", \"maybe\"]", "]", "'task' names 2 classes, the model has 3 outputs");
	refused("image", "\"kind\":\t\"image\"", "\"kind\":\t\"sound\"", "'sound' is no kind of input");
	refused("text", "\"longest\":\t12,\n\t\t\"lowercase\"", "\"longest\":\t13,\n\t\t\"lowercase\"",
	    "'input' gives texts of up to 13 tokens");
	refused("text", "\"lowercase\":\ttrue", "\"lowercase\":\t1", "input.lowercase");
	assert_int_equal(unlink(at("text/vocab.txt")), 0);
	assert_error(checkpoint_load(&c, at("text")), ERR_CHECKPOINT, "vocab.txt");
}

/* As programs wrote it before models had parts: the facts stand in `data`. */
static void parts__of_older_checkpoints_are_in_their_data(void **state)
{
	static const char *const data = "{\"class_names\": [\"no\", \"yes\", \"maybe\"], \"shape\": [5, 4, 2], "
					"\"normalisation\": {\"mean\": [0.1, 0.2], \"std\": [0.3, 0.4], "
					"\"source\": \"config\"}}";
	struct checkpoint c, back;
	(void)state;
	fill_image(&c);
	c.adapter = (struct adapter){0};
	task_clear(&c.task);
	save(&c, "nothing");
	assert_ok(checkpoint_load(&back, at("nothing")));
	assert_null(back.adapter.kind);
	assert_null(back.task.kind);
	checkpoint_clear(&back);
	cJSON_AddItemToObject(c.info, "data", cJSON_Parse(data));
	save(&c, "older");
	assert_ok(checkpoint_load(&back, at("older")));
	assert_ptr_equal(back.adapter.kind, &adapter_image);
	assert_int_equal(
	    back.adapter.spec.height * 100 + back.adapter.spec.width * 10 + back.adapter.spec.channels, 542);
	assert_true(back.adapter.mean[1] == 0.2f && back.adapter.std[0] == 0.3f);
	assert_string_equal(back.adapter.norm_source, "config");
	assert_ptr_equal(back.task.kind, &task_single_label);
	assert_string_equal(task_metric_name(&back.task, back.task.primary), "accuracy");
	assert_string_equal(back.task.class_name[1], "yes");
	checkpoint_clear(&back);
	checkpoint_clear(&c);
	refused("older", "0.3", "0", "input.std: each number must be");
	refused("older", "0.4", "\"x\"", "input.std: each number must be");
	refused("older", "0.4", "-1", "input.std: each number must be");
	refused("older", "0.4", "1e999", "'std' must be finite");
	refused("older", "0.4", "NaN", "not valid JSON");
	refused("older", "\"maybe\"", "\"no\"", "data.class_names: 'no' is there twice");
	refused("older", "\"maybe\"", "\"\"", "data.class_names must be a list of names");
	refused("older", "\"maybe\"", "7", "data.class_names must be a list of names");
	refused("older", "[\"no\", ", "[", "'task' names 2 classes");
}

static void parts__survive_each_failing_allocation(void **state)
{
	struct checkpoint c;
	int rc = ERR_NOMEM;
	(void)state;
	fill_text(&c);
	save(&c, "text");
	for (uint64_t i = 1; rc; i++) {
		struct checkpoint back;
		mem_fail_at(i);
		rc = checkpoint_load(&back, at("text"));
		mem_fail_at(0);
		if (rc && rc != ERR_NOMEM)
			fail_msg("allocation %d: %s", (int)i, err_message());
		checkpoint_clear(&back);
		assert_true(rc || i > 20);
	}
	rc = ERR_NOMEM;
	for (uint64_t i = 1; rc; i++) {
		mem_fail_at(i);
		rc = checkpoint_save(&c, at("text"));
		mem_fail_at(0);
		assert_true(!rc || rc == ERR_NOMEM);
	}
	checkpoint_clear(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parts__of_images_come_back),
	    cmocka_unit_test(parts__of_texts_come_back_with_their_vocabulary),
	    cmocka_unit_test(parts__that_do_not_fit_are_refused),
	    cmocka_unit_test(parts__of_older_checkpoints_are_in_their_data),
	    cmocka_unit_test(parts__survive_each_failing_allocation),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
