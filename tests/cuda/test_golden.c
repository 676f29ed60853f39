/* The CUDA backend against PyTorch's golden values, on a real GPU; 77 (skipped) where there is none. */
#include "cuda/cuda.h"
#include "golden/golden.h"

static void cuda__mlp_agrees_with_pytorch(void **state)
{
	(void)state;
	golden_mlp(&cuda_backend, 1e-4);
}

static void cuda__cnn_agrees_with_pytorch(void **state)
{
	(void)state;
	golden_cnn(&cuda_backend, 1e-4);
}

static void cuda__resnet_agrees_with_pytorch(void **state)
{
	(void)state;
	golden_resnet(&cuda_backend, 1e-4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cuda__mlp_agrees_with_pytorch),
	    cmocka_unit_test(cuda__cnn_agrees_with_pytorch),
	    cmocka_unit_test(cuda__resnet_agrees_with_pytorch),
	};
	void *ctx;
	if (cuda_backend.open(&ctx, &(struct open_options){0})) {
		printf("skipped: %s\n", err_message());
		return 77;
	}
	cuda_backend.close(ctx);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
