/* Half precision on this CPU: bf16 products where it has them, and clear errors where it has none. The numbers of each
 * op are test_ops.c's subject; CPUs without bf16 are played by test_half_without.c. */
#include <math.h>

#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "cpu/kernels.h"
#include "quant/equal.h"
#include "worst.h"

enum { BATCH = 6, STEPS = 4 };

/* Trains a few steps with casts to `half` (DT_F32: none); the weights of the last layer into w, their number returned.
 */
static size_t train(const struct backend *backend, enum dtype half, float *w, float *loss)
{
	struct device dev = rig_open(backend);
	const struct update_args args = rig_adamw();
	struct param_store s;
	struct optimizer opt;
	struct graph g, h;
	params_init(&s, dev);
	rig_graph(&g, rig_resnet(), BATCH, true);
	graph_init(&h);
	assert_ok(half == DT_F32 ? graph_copy(&h, &g) : pass_autocast(&g, half, &h));
	assert_ok(params_add_graph(&s, &h, 5));
	optimizer_init(&opt, &s, &args);
	struct executor *ex = rig_executor(&h, &s, EXEC_TRAIN, false);
	for (int i = 0; i < STEPS; i++) {
		rig_feed(ex, i * BATCH, BATCH);
		assert_ok(executor_forward(ex));
		assert_ok(executor_backward(ex, false));
		assert_ok(executor_update(ex, &opt));
	}
	assert_ok(executor_output(ex, "loss", loss, sizeof(*loss)));
	size_t bytes = rig_bytes(ex, "fc.weight");
	assert_ok(executor_output(ex, "fc.weight", w, bytes));
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&s);
	graph_clear(&g);
	graph_clear(&h);
	rig_close(dev);
	return bytes / sizeof(float);
}

static void half__bf16_training_follows_the_reference_and_repeats(void **state)
{
	float a[64], b[64], ref[64], f32[64], loss, again, ref_loss, f32_loss;
	double worst = 0, off = 0;
	(void)state;
	if (!cpu_has_bf16())
		skip();
	size_t n = train(&cpu_backend, DT_BF16, a, &loss);
	train(&cpu_backend, DT_BF16, b, &again);
	assert_memory_equal(a, b, n * sizeof(float));
	assert_true(loss == again);
	train(&ref_backend, DT_BF16, ref, &ref_loss);
	train(&cpu_backend, DT_F32, f32, &f32_loss);
	for (size_t i = 0; i < n; i++) {
		worst = worst_of(worst, fabs((double)a[i] - (double)ref[i]));
		off = fmax(off, fabs((double)a[i] - (double)f32[i]));
	}
	/* a rounding that falls to the other side moves a bf16 operand by 1/256: not as near as f32 backends are */
	assert_true(fabs((double)loss - (double)ref_loss) < 1e-3 * (double)ref_loss && worst < 2e-3);
	assert_true(off > 1e-5); /* it is not f32 that was computed */
	assert_true(fabs((double)loss - (double)f32_loss) < 0.05 * (double)f32_loss);
}

static void half__quantized_layers_give_the_same_integers(void **state)
{
	const struct model_spec spec[] = {model_mlp(), model_cnn(0), model_resnet()};
	(void)state;
	if (!cpu_has_bf16())
		skip();
	for (int k = 0; k < 3; k++) {
		struct device cpu = rig_open(&cpu_backend);
		struct equal_case c = {.name = "half",
		    .spec = spec[k],
		    .batch = 33,
		    .rules = {.method = QUANT_QAT, .weight_bits = 8, .act_bits = 8, .per_channel = true},
		    .clip = 0.9f,
		    .autocast = DT_BF16};
		struct equal_result r = equal_run(&c, cpu, cpu);
		assert_int_equal(r.different, 0);
		assert_true(r.compared > 2000 && r.saturated > 0);
		rig_close(cpu);
	}
}

static void half__what_the_cpu_cannot_multiply_is_an_error(void **state)
{
	static const char *const text[] = {"node fc1 (linear): no f16 products on the CPU; use precision",
	    "node fc1 (linear): no TF32 products on the CPU; use precision"};
	struct device dev = rig_open(&cpu_backend);
	const struct executor_options o = {.mode = EXEC_TRAIN, .stage = "test"};
	(void)state;
	for (int k = 0; k < 2; k++) {
		struct param_store s;
		struct graph g, h;
		struct executor *ex;
		params_init(&s, dev);
		rig_graph(&g, rig_mlp(), BATCH, true);
		graph_init(&h);
		assert_ok(k ? pass_tf32(&g, &h) : pass_autocast(&g, DT_F16, &h));
		assert_ok(params_add_graph(&s, &h, 5));
		assert_ok(executor_create(&ex, &h, &s, &o));
		assert_error(executor_prepare(ex), ERR_DEVICE, text[k]);
		executor_free(ex);
		params_clear(&s);
		graph_clear(&g);
		graph_clear(&h);
	}
	rig_close(dev);
}

/* The vector loops against the definition: every upper half of an f32, with lower halves around the tie; NaN and
 * infinity among them. */
static void half__casts_have_the_bits_of_the_definition(void **state)
{
	static const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
	enum { N = 65536 * 6 };
	float *x = malloc(N * sizeof(*x)), *wide = malloc(N * sizeof(*wide));
	uint16_t *h = malloc(N * sizeof(*h));
	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		uint32_t u = i / 6 << 16 | low[i % 6];
		memcpy(&x[i], &u, sizeof(u));
	}
	cpu_convert(h, DT_BF16, x, DT_F32, N);
	cpu_convert(wide, DT_F32, h, DT_BF16, N);
	for (int i = 0; i < N; i++) {
		uint16_t want = f32_to_bf16(x[i]);
		float back = bf16_to_f32(want);
		if (h[i] != want || memcmp(&wide[i], &back, sizeof(back)) != 0)
			fail_msg("%a became %04x, must be %04x", (double)x[i], h[i], want);
	}
	free(x);
	free(wide);
	free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(half__bf16_training_follows_the_reference_and_repeats),
	    cmocka_unit_test(half__quantized_layers_give_the_same_integers),
	    cmocka_unit_test(half__what_the_cpu_cannot_multiply_is_an_error),
	    cmocka_unit_test(half__casts_have_the_bits_of_the_definition),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
