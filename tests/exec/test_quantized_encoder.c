/* Quantized encoders on the reference: what is simulated is what is executed. */
#include "quant/encoder_equal.h"

static struct device dev;

static void encoder__gives_equal_integers(void **state)
{
	int (*const build[])(int, struct graph *) = {
	    encoder_build_post, encoder_build_pre, encoder_build_pooled, encoder_build_pairs};

	(void)state;
	for (int k = 0; k < 14; k++) { /* pairs behind the others */
		struct equal_case c = encoder_case(build[k < 12 ? k % 3 : 3], k % 2 ? 8 : 3, k & 2);
		struct equal_result r;

		c.rules.per_channel = k < 6;
		r = equal_run(&c, dev, dev);
		if (r.different)
			fail_msg("case %d: %lld of %lld values differ, worst %g", k, (long long)r.different,
			    (long long)r.compared, r.worst);
		assert_true(r.nodes >= 40 && r.saturated > 0);
	}
}

/* A backend whose float kernels write the integers of their result too, where they are asked for. */
static struct kernel eager[OP_COUNT];
static int taken, left;

static int eager_prepare(struct call *s)
{
	const struct kernel *k = ref_backend.kernels[s->node->op];

	s->quantizes = s->quantize != NULL;
	return k->prepare ? k->prepare(s) : 0;
}

static int eager_forward(struct call *s)
{
	int rc = ref_backend.kernels[s->node->op]->forward(s);
	struct call copy = {
	    .node = s->quantize, .in = {s->out, s->quantize_step}, .has_in = {true, true}, .out = s->quantized};

	left += s->node->op == OP_QUANTIZE;
	if (rc || !s->quantizes)
		return rc;
	taken++;
	return ref_backend.kernels[OP_QUANTIZE]->forward(&copy);
}

static int build_post(const struct build_shape *shape, struct graph *out)
{
	return encoder_build_shape(shape, 0, false, out);
}

/* Integers are the same whoever writes them, in memory that values share. */
static void encoder__integers_are_left_to_kernels_that_take_them(void **state)
{
	struct equal_case c = encoder_case(encoder_build_post, 8, true);
	struct encoder_integers m = encoder_integers(dev, &c, build_post);
	float plain[8 * ENCODER_CLASSES], with[8 * ENCODER_CLASSES];
	const struct backend *const own = dev.backend;
	struct backend b = ref_backend;

	(void)state;
	ref_own_kernels(&b, eager);
	for (int op = 0; op < OP_COUNT; op++)
		if (eager[op].forward) {
			eager[op].prepare = eager_prepare;
			eager[op].forward = eager_forward;
		}
	encoder_logits(&m, 0, 8, 150, plain);
	m.constants.dev.backend = &b;
	taken = left = 0;
	encoder_logits(&m, 0, 8, 150, with);
	assert_memory_equal(plain, with, sizeof(with));
	assert_int_equal(left, 0);
	assert_int_equal(taken, 5); /* norms before q, k and v and before the units; the first rows */
	m.constants.dev.backend = own;
	encoder_integers_clear(&m);
}

static int setup(void **state)
{
	(void)state;
	dev = rig_open(&ref_backend);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_close(dev);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(encoder__gives_equal_integers),
	    cmocka_unit_test(encoder__integers_are_left_to_kernels_that_take_them)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
