/* The reference backend against PyTorch. */
#include "golden/golden.h"

static void ref__mlp_agrees_with_pytorch(void **state)
{
	(void)state;
	golden_mlp(&ref_backend, 1e-4);
}

static void ref__cnn_agrees_with_pytorch(void **state)
{
	(void)state;
	golden_cnn(&ref_backend, 1e-4);
}

static void ref__resnet_agrees_with_pytorch(void **state)
{
	(void)state;
	golden_resnet(&ref_backend, 1e-4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ref__mlp_agrees_with_pytorch),
	    cmocka_unit_test(ref__cnn_agrees_with_pytorch),
	    cmocka_unit_test(ref__resnet_agrees_with_pytorch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
