/* The promise of the design on this CPU: given the same integers, the training graph (on the reference and on oneDNN)
 * and oneDNN's integer kernels give the same integers, logits included, on more than 10^7 values of a residual net. */
#include "quant/bag_equal.h"
#include "quant/encoder_equal.h"

#include "cpu/cpu.h"

static struct model_spec wide_resnet(void)
{
	static int widths[] = {32, 24, 40, 48, 64, 40};
	struct model_spec s = model_resnet();

	s.input.height = s.input.width = 32;
	s.width = widths;
	return s;
}

static struct model_spec wide_mlp(void)
{
	static int widths[] = {256, 128};
	struct model_spec s = model_mlp();

	s.input.height = s.input.width = 28;
	s.width = widths;
	return s;
}

static int64_t check_bits(
    const char *name, struct model_spec spec, int batch, bool affine, bool simulate_on_cpu, int bits)
{
	struct device cpu = rig_open(&cpu_backend), ref = rig_open(&ref_backend);
	struct equal_case c = {.name = name,
	    .spec = spec,
	    .batch = batch,
	    .rules =
		{.method = QUANT_STATIC, .weight_bits = bits, .act_bits = 8, .per_channel = true, .affine = affine},
	    .clip = 0.9f};
	struct equal_result r;

	r = equal_run(&c, simulate_on_cpu ? cpu : ref, cpu);
	if (r.different)
		fail_msg("%s: %lld of %lld values differ, worst %g", name, (long long)r.different,
		    (long long)r.compared, r.worst);
	assert_true(r.saturated > 0 && (bits == 1 || r.saturated < r.compared * 7 / 10)); /* a sign is an end */
	rig_close(ref);
	rig_close(cpu);
	return r.compared;
}

static int64_t check(const char *name, struct model_spec spec, int batch, bool affine, bool simulate_on_cpu)
{
	return check_bits(name, spec, batch, affine, simulate_on_cpu, 8);
}

/* Simulated by the vector code of the CPU, and by the plain loops of the reference. */
static void quantized__signs_equal_the_reference(void **state)
{
	(void)state;
	for (int on_cpu = 0; on_cpu < 2; on_cpu++) {
		check_bits("mlp of signs", model_mlp(), 5, false, on_cpu, 1);
		check_bits("cnn of signs", model_cnn(1), 3, true, on_cpu, 1);
		check_bits("resnet of signs", model_resnet(), 3, true, on_cpu, 1);
	}
}

static void quantized__small_nets_equal_the_reference(void **state)
{
	(void)state;
	check("mlp", model_mlp(), 5, false, false);
	check("mlp affine", model_mlp(), 1, true, false);
	check("cnn", model_cnn(0), 3, false, false);
	check("cnn affine", model_cnn(0), 2, true, false);
	check("cnn padded", model_cnn(1), 3, true, false);
	check("resnet", model_resnet(), 3, true, false);
	check("wide mlp", wide_mlp(), 1, false, false);
	check("wide mlp", wide_mlp(), 65, true, false);
}

/* Rows of a table by integers: not a value of them, of their means or of the layers behind differs. */
static void quantized__embeddings_equal_the_reference(void **state)
{
	struct device cpu = rig_open(&cpu_backend), ref = rig_open(&ref_backend);

	(void)state;
	for (int k = 0; k < 8; k++) {
		struct equal_case c = bag_case(k & 1 ? 64 : 7, k & 2);
		struct equal_result r;

		r = equal_run(&c, k & 4 ? cpu : ref, cpu);
		if (r.different)
			fail_msg("case %d: %lld of %lld values differ, worst %g", k, (long long)r.different,
			    (long long)r.compared, r.worst);
		assert_true(r.nodes >= 8 && r.saturated > 0);
	}
	rig_close(ref);
	rig_close(cpu);
}

/* Simulated on the reference, too, unless a tanh is left: it has its own last bits on every backend. */
static void quantized__encoders_equal_their_simulation(void **state)
{
	int (*const build[])(int, struct graph *) = {
	    encoder_build_post, encoder_build_pre, encoder_build_pooled, encoder_build_pairs};
	struct device cpu = rig_open(&cpu_backend), ref = rig_open(&ref_backend);

	(void)state;
	for (int k = 0; k < 14; k++) { /* pairs behind the others */
		struct equal_case c = encoder_case(build[k < 12 ? k % 3 : 3], k % 2 ? 29 : 2, k % 4 < 2);
		struct equal_result r;

		c.rules.prob_bits = k < 6 ? 16 : 8;
		r = equal_run(&c, (k < 12 && k % 3 == 2) || k % 2 ? cpu : ref, cpu);
		if (r.different)
			fail_msg("case %d: %lld of %lld values differ, worst %g", k, (long long)r.different,
			    (long long)r.compared, r.worst);
		assert_true(r.nodes >= 40 && r.saturated > 0);
	}
	rig_close(ref);
	rig_close(cpu);
}

static int build_pooled(const struct build_shape *shape, struct graph *out)
{
	return encoder_build_shape(shape, ENCODER_TANH_POOLER | ENCODER_PAIRS, false, out);
}

/* A text's logits are the same bits alone and in a batch, whatever the capacity. */
static void quantized__texts_have_equal_logits_alone_and_packed(void **state)
{
	enum { TEXTS = 24 };
	struct device cpu = rig_open(&cpu_backend);
	struct equal_case c = encoder_case(encoder_build_pooled, 16, true);
	struct encoder_integers m = encoder_integers(cpu, &c, build_pooled);
	float packed[TEXTS * ENCODER_CLASSES], alone[ENCODER_CLASSES];
	bool differ = false;

	(void)state;
	encoder_logits(&m, 0, TEXTS, TEXTS * ENCODER_TOKENS + 5, packed);
	for (int t = 0; t < TEXTS; t++) {
		encoder_logits(&m, t, 1, encoder_length(t) + 1 + t % 3, alone);
		assert_memory_equal(alone, packed + t * ENCODER_CLASSES, sizeof(alone));
		differ |= memcmp(alone, packed, sizeof(alone)) != 0;
	}
	assert_true(differ);
	encoder_integers_clear(&m);
	rig_close(cpu);
}

static void quantized__ten_million_values_of_a_residual_net_are_equal(void **state)
{
	(void)state;
	assert_true(check("wide resnet", wide_resnet(), 128, false, true) > 10000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(quantized__small_nets_equal_the_reference),
	    cmocka_unit_test(quantized__signs_equal_the_reference),
	    cmocka_unit_test(quantized__embeddings_equal_the_reference),
	    cmocka_unit_test(quantized__encoders_equal_their_simulation),
	    cmocka_unit_test(quantized__texts_have_equal_logits_alone_and_packed),
	    cmocka_unit_test(quantized__ten_million_values_of_a_residual_net_are_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
