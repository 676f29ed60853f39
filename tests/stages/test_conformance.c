/* Conformance vectors: what an integer checkpoint keeps of itself, that a changed integer is found in its layer, and
 * files that are not what was saved. */
#include "model/conformance.h"

#include <unistd.h>

#include "base/hash.h"
#include "graph/families.h"
#include "stages/rig.h"
#include "stages/texts.h"

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){32, 16},
    .own = &(struct mlp_spec){0}};

static struct rig rig;

static int set_up(void **state)
{
	(void)state;
	rig_open(&rig, "source: digits");
	RIG_OK(rig_run(&rig, &stage_train,
	    &(struct rig_case){.name = "mlp", .options = "{epochs: 2, batch_size: 64, lr: 0.01}", .spec = &mlp_spec}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&rig);
	return 0;
}

static void quantize(const char *name, const char *options)
{
	RIG_OK(rig_run(&rig, &stage_quantize, &(struct rig_case){.name = name, .options = options, .input = "mlp"}));
}

static int check(const char *name, struct conformance *r)
{
	struct model m = {0};
	RIG_OK(model_load(&m, rig_path(&rig, name), rig.dev));
	int rc = conformance_check(r, &m, rig_path(&rig, name));
	model_clear(&m);
	return rc;
}

static void assert_refused(const char *name, const char *part)
{
	struct conformance r;
	assert_int_equal(check(name, &r), ERR_CHECKPOINT);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

static void assert_equal_again(const char *name)
{
	struct conformance r;
	RIG_OK(check(name, &r));
	assert_true(r.kept);
	assert_int_equal(r.samples, 4);
	assert_true(r.values >= 3);
	assert_string_equal(r.first, "");
	assert_int_equal(r.different, 0);
	assert_false(r.logits_differ);
}

static void vectors__are_equal_when_nothing_has_changed(void **state)
{
	(void)state;
	quantize("static", "{method: static}");
	assert_equal_again("static");
	quantize("dynamic", "{method: dynamic}");
	assert_equal_again("dynamic");
	quantize("signs", "{method: static, weight_bits: 1}");
	assert_equal_again("signs");
}

/* Integers that are one more or less in the second layer, with all hashes as they must be. */
static void vectors__name_the_layer_of_changed_integers(void **state)
{
	struct checkpoint c;
	struct conformance r;
	(void)state;
	quantize("changed", "{method: static}");
	RIG_OK(checkpoint_load(&c, rig_path(&rig, "changed")));
	int8_t *q = tensor_file_find(&c.tensors, "fc2.weight.q")->t.data;
	int64_t n = shape_count(tensor_file_find(&c.tensors, "fc2.weight.q")->t.shape);
	for (int64_t i = 0; i < n; i++) /* inputs that are always 0 hide theirs, and so do outputs that ReLU makes 0 */
		q[i] = (int8_t)(q[i] > 0 ? q[i] - 1 : q[i] + 1);
	RIG_OK(checkpoint_save(&c, rig_path(&rig, "changed")));
	checkpoint_clear(&c);
	RIG_OK(check("changed", &r));
	if (strncmp(r.first, "fc2", 3) != 0)
		fail_msg("the first that differs is '%s'", r.first);
	assert_string_equal(r.op, "qlinear");
	assert_false(r.first_is_real);
	assert_true(r.different < r.values);
}

static void vectors__are_not_of_what_computes_with_real_numbers(void **state)
{
	struct conformance r;
	char path[512];
	(void)state;
	quantize("half", "{method: fp16}");
	snprintf(path, sizeof(path), "%s/%s", rig_path(&rig, "half"), CONFORMANCE_FILE);
	assert_false(fs_exists(path));
	RIG_OK(check("half", &r));
	assert_false(r.kept);
	RIG_OK(check("mlp", &r));
	assert_false(r.kept);
}

/* Takes the field away, as files of older programs lack it, or replaces it by the hash of the file as it is. */
static void seal(const char *name, bool named)
{
	struct checkpoint c;
	char path[512], hex[HASH_HEX];
	snprintf(path, sizeof(path), "%s/%s", rig_path(&rig, name), CONFORMANCE_FILE);
	RIG_OK(checkpoint_load(&c, rig_path(&rig, name)));
	cJSON_DeleteItemFromObjectCaseSensitive(c.info, "conformance_sha256");
	if (named) {
		RIG_OK(hash_file(path, hex));
		assert_non_null(cJSON_AddStringToObject(c.info, "conformance_sha256", hex));
	}
	RIG_OK(checkpoint_save(&c, rig_path(&rig, name)));
	checkpoint_clear(&c);
}

static void vectors__of_older_checkpoints_are_missing_without_an_error(void **state)
{
	struct conformance r;
	(void)state;
	quantize("old", "{method: static}");
	seal("old", false);
	RIG_OK(check("old", &r));
	assert_false(r.kept);
}

/* Sets 32-bit number `at` of a tensor of the file. */
static void change(const char *name, const char *tensor, int at, int32_t value, bool repair)
{
	struct tensor_file f = {0};
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", rig_path(&rig, name), CONFORMANCE_FILE);
	RIG_OK(tensor_file_read(&f, path));
	memcpy((char *)tensor_file_find(&f, tensor)->t.data + 4 * at, &value, sizeof(value));
	RIG_OK(tensor_file_write(&f, path));
	tensor_file_clear(&f);
	if (repair)
		seal(name, true);
}

static void vectors__that_are_not_what_was_saved_are_refused(void **state)
{
	char path[512];
	(void)state;
	quantize("bad", "{method: static}");
	change("bad", "shape", 0, 3, false);
	assert_refused("bad", "its SHA-256 is");
	seal("bad", true);
	assert_refused("bad", "has no input 'input' that fits the model");
	change("bad", "shape", 0, 2000000000, true);
	assert_refused("bad", "'shape' does not fit the model");
	change("bad", "shape", 0, 4, true);
	assert_equal_again("bad");
	snprintf(path, sizeof(path), "%s/%s", rig_path(&rig, "bad"), CONFORMANCE_FILE);
	assert_int_equal(unlink(path), 0);
	assert_refused("bad", "is missing");
}

/* Numbers of tokens and the places of texts address memory. */
static void vectors__of_texts_are_checked_before_they_are_used(void **state)
{
	static const struct {
		const char *tensor;
		int at;
		int32_t bad;
		const char *part;
	} cases[] = {{"input.ids", 1, 1 << 30, "not in the vocabulary"}, {"input.ids", 0, -1, "not in the vocabulary"},
	    {"input.starts", 1, 1 << 30, "longer than the model reads"},
	    {"input.starts", 1, -4, "longer than the model reads"}, {"input.starts", 0, 1, "not all of the tokens"}};
	const struct rig digits = rig;
	(void)state;
	texts_open(&rig, false);
	struct model_spec bag = {.family = &family_bag,
	    .input = rig.adapter.spec,
	    .classes = 2,
	    .n_width = 2,
	    .width = (int[]){8, 6},
	    .own = &(struct bag_spec){0}};
	RIG_OK(rig_run(&rig, &stage_train,
	    &(struct rig_case){.name = "mlp", .options = "{epochs: 1, batch_size: 64}", .spec = &bag}));
	quantize("texts", "{method: static}");
	assert_equal_again("texts");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tensor_file f = {0};
		char path[512];
		int32_t good;
		snprintf(path, sizeof(path), "%s/%s", rig_path(&rig, "texts"), CONFORMANCE_FILE);
		RIG_OK(tensor_file_read(&f, path));
		memcpy(&good, (char *)tensor_file_find(&f, cases[i].tensor)->t.data + 4 * cases[i].at, sizeof(good));
		tensor_file_clear(&f);
		change("texts", cases[i].tensor, cases[i].at, cases[i].bad, true);
		assert_refused("texts", cases[i].part);
		change("texts", cases[i].tensor, cases[i].at, good, true);
	}
	assert_equal_again("texts");
	rig_close(&rig);
	rig = digits;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(vectors__are_equal_when_nothing_has_changed),
	    cmocka_unit_test(vectors__name_the_layer_of_changed_integers),
	    cmocka_unit_test(vectors__are_not_of_what_computes_with_real_numbers),
	    cmocka_unit_test(vectors__of_older_checkpoints_are_missing_without_an_error),
	    cmocka_unit_test(vectors__that_are_not_what_was_saved_are_refused),
	    cmocka_unit_test(vectors__of_texts_are_checked_before_they_are_used)};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
