/* The CPU backend against PyTorch. */
#include "cpu/cpu.h"
#include "golden/golden.h"

static void cpu__mlp_agrees_with_pytorch(void **state)
{
	(void)state;
	golden_mlp(&cpu_backend, 1e-4);
}

static void cpu__cnn_agrees_with_pytorch(void **state)
{
	(void)state;
	golden_cnn(&cpu_backend, 1e-4);
}

static void cpu__resnet_agrees_with_pytorch(void **state)
{
	(void)state;
	golden_resnet(&cpu_backend, 1e-4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cpu__mlp_agrees_with_pytorch),
	    cmocka_unit_test(cpu__cnn_agrees_with_pytorch),
	    cmocka_unit_test(cpu__resnet_agrees_with_pytorch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
