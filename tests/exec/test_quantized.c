/* The annotated and the lowered graph give equal integers, on the reference backend. */
#include "quant/equal.h"

static struct equal_case base_case(const char *name, struct model_spec spec)
{
	return (struct equal_case){.name = name,
	    .spec = spec,
	    .batch = 3,
	    .rules = {.method = QUANT_STATIC, .weight_bits = 8, .act_bits = 8, .per_channel = true},
	    .clip = 0.9f};
}

/* Runs a case; all values must agree, and enough of them must be away from 0 and from the ends to mean something. */
static void assert_equal_integers(const struct equal_case *c)
{
	struct device dev = rig_open(&ref_backend);
	struct equal_result r = equal_run(c, dev, dev);

	if (r.different)
		fail_msg("%s: %lld of %lld values differ, worst %g", c->name, (long long)r.different,
		    (long long)r.compared, r.worst);
	assert_true(r.compared > 1000 && r.nodes >= 7);
	assert_true(r.saturated > 0 && r.saturated < r.compared * 7 / 10);
	rig_close(dev);
}

static void quantized__mlp_gives_equal_integers(void **state)
{
	struct equal_case c = base_case("mlp", model_mlp());

	(void)state;
	c.batch = 33;
	assert_equal_integers(&c);
	c.rules.affine = true;
	assert_equal_integers(&c);
	c.rules.per_channel = false;
	assert_equal_integers(&c);
}

static void quantized__cnn_gives_equal_integers(void **state)
{
	struct equal_case c = base_case("cnn", model_cnn(0));

	(void)state;
	assert_equal_integers(&c);
	c.rules.affine = true; /* a folded zero point before an unpadded convolution */
	assert_equal_integers(&c);
	c.spec = model_cnn(1); /* padded: no zero point */
	assert_equal_integers(&c);
}

static void quantized__resnet_gives_equal_integers(void **state)
{
	struct equal_case c = base_case("resnet", model_resnet());

	(void)state;
	assert_equal_integers(&c);
	c.rules.per_channel = false;
	assert_equal_integers(&c);
}

static void quantized__mixed_bits_give_equal_integers(void **state)
{
	struct equal_case c = base_case("resnet", model_resnet());

	(void)state;
	for (int bits = 2; bits < 8; bits += 2) {
		c.rules.weight_bits = bits;
		c.rules.edge_bits = 8;
		assert_equal_integers(&c);
	}
}

static void quantized__excluded_layers_keep_the_rest_equal(void **state)
{
	static const char *const patterns[] = {
	    "conv1", "stage1.block0.conv1", "stage2.block0.bn2", "stage2.block0.downsample*", "fc", "*conv2"};

	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		struct equal_case c = base_case("resnet", model_resnet());
		char pattern[64], *list[] = {pattern};

		snprintf(pattern, sizeof(pattern), "%s", patterns[i]);
		c.rules.exclude = (struct option_strings){list, 1};
		assert_equal_integers(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(quantized__mlp_gives_equal_integers),
	    cmocka_unit_test(quantized__cnn_gives_equal_integers),
	    cmocka_unit_test(quantized__resnet_gives_equal_integers),
	    cmocka_unit_test(quantized__mixed_bits_give_equal_integers),
	    cmocka_unit_test(quantized__excluded_layers_keep_the_rest_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
