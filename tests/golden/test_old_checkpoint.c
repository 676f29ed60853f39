/* An integer checkpoint from before all steps were kept: the digits of configs/kd_prune_quant.yaml, static INT8,
 * written by version 0.1.0. It loads, computes the logits that it computed then, and is saved again as it was. Of its
 * info the fields that follow from the model are left. */
#include <unistd.h>

#include "base/fs.h"
#include "cpu/cpu.h"
#include "exec/rig.h"
#include "store/checkpoint.h"

#define OLD TEST_SOURCE_DIR "/golden/integer_without_steps"

/* Of two images, the first all 0.5, the second (i % 17 - 8) / 8; printed by version 0.1.0. */
static const float logits[20] = {0x1.922e8cp-5f, -0x1.33bbeap+1f, 0x1.99cf22p+0f, -0x1.71ea48p+1f, -0x1.4ebfdp+0f,
    -0x1.fa132p-2f, -0x1.4377eep+0f, -0x1.99b258p+0f, -0x1.b5e14ep+0f, -0x1.3d1abcp-5f, -0x1.e9f35ap-1f, 0x1.8cd74cp-2f,
    -0x1.0703fcp+0f, -0x1.cadbe6p+1f, -0x1.264d6ap+2f, -0x1.421d12p+0f, -0x1.e8397p-8f, -0x1.899046p+1f,
    -0x1.c45a7ep+1f, -0x1.e20e4ap+1f};

static void load_old(struct checkpoint *c)
{
	if (checkpoint_load(c, OLD) != 0)
		fail_msg("%s", err_message());
	/* It says nothing of its data, where the normalisation and the class names of its time were. */
	assert_null(c->adapter.kind);
	assert_null(c->task.kind);
}

static void run_old(const struct backend *backend)
{
	struct device dev = rig_open(backend);
	struct executor_options o = {.mode = EXEC_INFER, .stage = "test"};
	struct param_store params;
	struct executor *ex;
	struct checkpoint c;
	struct graph g;
	float x[128], y[20];

	load_old(&c);
	for (int i = 0; i < 128; i++)
		x[i] = i < 64 ? 0.5f : (float)((i - 64) % 17 - 8) / 8;
	params_init(&params, dev);
	assert_ok(checkpoint_graph(&c, &(struct build_shape){.sequences = 2}, true, &g));
	assert_ok(checkpoint_to_params(&c, &g, &params));
	assert_ok(executor_create(&ex, &g, &params, &o));
	assert_ok(executor_prepare(ex));
	assert_ok(executor_input(ex, "input", x, sizeof(x)));
	assert_ok(executor_forward(ex));
	assert_ok(executor_output(ex, "fc2", y, sizeof(y)));
	for (int i = 0; i < 20; i++)
		if (y[i] != logits[i])
			fail_msg("logit %d is %a, was %a", i, (double)y[i], (double)logits[i]);
	executor_free(ex);
	params_clear(&params);
	graph_clear(&g);
	checkpoint_clear(&c);
	rig_close(dev);
}

static void old__logits_are_the_same_on_the_cpu(void **state)
{
	(void)state;
	run_old(&cpu_backend);
}

static void old__logits_are_the_same_on_the_reference(void **state)
{
	(void)state;
	run_old(&ref_backend);
}

static void old__graph_has_the_steps_that_are_read(void **state)
{
	struct checkpoint c;
	struct graph g;

	(void)state;
	load_old(&c);
	assert_true(c.without_steps);
	assert_ok(checkpoint_graph(&c, &shape_one, false, &g));
	assert_true(graph_find_role(&g, ROLE_STEP, "input") >= 0);
	assert_int_equal(graph_find_role(&g, ROLE_STEP, "fc1"), NODE_NONE);
	assert_int_equal(graph_find_role(&g, ROLE_WEIGHT_STEP, "fc1.weight"), NODE_NONE);
	graph_clear(&g);
	checkpoint_clear(&c);
}

static void old__is_saved_again_as_it_was(void **state)
{
	char dir[256], hex[HASH_HEX];
	struct checkpoint c;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/pipeline-old-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(dir));
	load_old(&c);
	memcpy(hex, c.sha256, sizeof(hex));
	assert_ok(checkpoint_save(&c, dir));
	assert_string_equal(c.sha256, hex);
	assert_ok(fs_remove_tree(dir));
	checkpoint_clear(&c);
}

/* Half of the steps is no form at all. */
static void old__with_some_of_the_steps_is_refused(void **state)
{
	char dir[256];
	struct checkpoint c;
	struct named_tensor *step;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/pipeline-old-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(dir));
	load_old(&c);
	step = tensor_file_add(&c.tensors, "bn1.step", DT_F32, (struct shape){.ndim = 1, .dim = {1}});
	((float *)step->t.data)[0] = 0.01f;
	c.without_steps = false;
	assert_int_equal(checkpoint_save(&c, dir), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), ".step' is missing"));
	assert_ok(fs_remove_tree(dir));
	checkpoint_clear(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(old__logits_are_the_same_on_the_cpu),
	    cmocka_unit_test(old__logits_are_the_same_on_the_reference),
	    cmocka_unit_test(old__graph_has_the_steps_that_are_read),
	    cmocka_unit_test(old__is_saved_again_as_it_was),
	    cmocka_unit_test(old__with_some_of_the_steps_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
