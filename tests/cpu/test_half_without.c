/* bf16 on a CPU without bf16 products: oneDNN is limited before its first call, and with it the whole backend. */
#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "exec/rig.h"
#include "graph/pass.h"

static void half__bf16_is_an_error_where_the_cpu_has_none(void **state)
{
	const struct model_spec spec[] = {rig_mlp(), rig_cnn()};
	static const char *const layer[] = {"node fc1 (linear)", "node conv1 (conv2d)"};
	struct device dev = rig_open(&cpu_backend);
	(void)state;
	assert_false(cpu_has_bf16());
	for (int k = 0; k < 2; k++) {
		const struct executor_options o = {.mode = EXEC_TRAIN, .stage = "test"};
		struct executor_memory m;
		struct param_store s;
		struct graph g, h;
		struct executor *ex;
		params_init(&s, dev);
		rig_graph(&g, spec[k], 3, true);
		graph_init(&h);
		assert_ok(pass_autocast(&g, DT_BF16, &h));
		assert_ok(params_add_graph(&s, &h, 5));
		assert_ok(executor_create(&ex, &h, &s, &o));
		assert_error(executor_plan(ex, &m), ERR_DEVICE, "this CPU has no bf16 products");
		assert_non_null(strstr(err_message(), layer[k]));
		executor_free(ex);
		params_clear(&s);
		graph_clear(&g);
		graph_clear(&h);
	}
	rig_close(dev);
}

static void half__describe_says_what_is_missing(void **state)
{
	struct device dev = rig_open(&cpu_backend);
	cJSON *o = cJSON_CreateObject();
	(void)state;
	assert_false(device_traits(dev)->bf16 || device_traits(dev)->f16 || device_traits(dev)->amx);
	assert_ok(dev.backend->describe(dev.ctx, o));
	assert_true(cJSON_IsFalse(cJSON_GetObjectItem(o, "bf16")));
	assert_true(cJSON_IsFalse(cJSON_GetObjectItem(o, "f16")));
	cJSON_Delete(o);
	rig_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(half__bf16_is_an_error_where_the_cpu_has_none),
	    cmocka_unit_test(half__describe_says_what_is_missing),
	};
	if (setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI", 1))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
