/* Quantized embeddings on the reference: what is simulated is what is executed, masks stay zeros, the other methods. */
#include "quant/bag_equal.h"
#include "worst.h"

static struct device dev;

static void bag__gives_equal_integers(void **state)
{
	(void)state;
	for (int k = 0; k < 16; k++) {
		struct equal_case c = bag_case(k % 2 ? 11 : 64, k & 2);
		struct equal_result r;

		c.rules.per_channel = !(k & 4);
		c.rules.weight_bits = k & 8 ? 4 : 8;
		r = equal_run(&c, dev, dev);
		if (r.different)
			fail_msg("case %d: %lld of %lld values differ, worst %g", k, (long long)r.different,
			    (long long)r.compared, r.worst);
		/* the table, the rows read, their means, two layers with their inputs and weights */
		assert_true(r.nodes >= 8 && r.saturated > 0);
	}
}

/* The lowered bag with its constants, from the float weights of bag_weights. */
struct converted {
	struct graph folded, lowered, frozen;
	struct quant_plan plan;
	struct param_store floats, constants;
};

static struct converted convert(enum quant_method method, int weight_bits, int batch)
{
	struct equal_case c = bag_case(batch, false);
	struct converted v;
	struct executor *ex;

	c.rules.method = method;
	c.rules.weight_bits = weight_bits;
	graph_init(&v.lowered);
	graph_init(&v.frozen);
	assert_ok(bag_build(batch, &v.folded));
	assert_ok(quant_plan_make(&v.plan, &v.folded, &c.rules));
	equal_params(&v.floats, dev, &v.folded);
	bag_weights(&v.floats);
	ex = equal_executor(&c, &v.folded, &v.floats);
	equal_calibrate(ex, &v.plan, &v.floats, 1);
	executor_free(ex);
	assert_ok(pass_lower(&v.folded, &v.plan, &v.lowered));
	assert_ok(pass_freeze(&v.lowered, &v.frozen));
	ex = equal_executor(&c, &v.lowered, &v.floats);
	params_init(&v.constants, dev);
	assert_ok(params_add_graph(&v.constants, &v.frozen, 0));
	assert_ok(params_copy(&v.constants, &v.floats));
	assert_ok(executor_export_constants(ex, &v.frozen, &v.constants));
	executor_free(ex);
	return v;
}

static void converted_clear(struct converted *v)
{
	graph_clear(&v->folded);
	graph_clear(&v->lowered);
	graph_clear(&v->frozen);
	quant_plan_clear(&v->plan);
	params_clear(&v->floats);
	params_clear(&v->constants);
}

static void bag__masked_weights_are_zero_integers(void **state)
{
	(void)state;
	for (int bits = 2; bits <= 8; bits += 3) {
		struct converted v = convert(QUANT_STATIC, bits, 3);
		int8_t q[BAG_WORDS * BAG_CHANNELS];
		float step[BAG_WORDS];
		int others = 0;

		assert_ok(params_read(&v.constants, "embedding.weight.q", q));
		assert_ok(params_read(&v.constants, "embedding.weight.step", step));
		for (int r = 0; r < BAG_WORDS; r++) {
			assert_true(step[r] > 0 && isfinite(step[r]));
			for (int c = 0; c < BAG_CHANNELS; c++) {
				int x = q[r * BAG_CHANNELS + c];

				assert_true(abs(x) <= (1 << (bits - 1)) - 1);
				assert_true(x == 0 || !bag_masked(r, c));
				others += x != 0;
			}
		}
		assert_true(others > BAG_WORDS * BAG_CHANNELS / 4);
		assert_true(step[BAG_ZERO_ROW] == 1);
		converted_clear(&v);
	}
}

/* The rows that the lowered graph reads are integers times steps, and -1 reads zeros. */
static void bag__dynamic_reads_rows_of_integers(void **state)
{
	struct converted v = convert(QUANT_DYNAMIC, 8, 4);
	struct equal_case c = bag_case(4, false);
	struct executor *ex = equal_executor(&c, &v.frozen, &v.constants);
	int8_t q[BAG_WORDS * BAG_CHANNELS];
	float step[BAG_WORDS], rows[4 * BAG_TOKENS * BAG_CHANNELS];
	int32_t ids[4 * BAG_TOKENS], starts[5];

	(void)state;
	bag_batch(4, ids, starts);
	assert_true(ids[4 * BAG_TOKENS - 1] == -1 && starts[4] > 4);
	assert_ok(params_read(&v.constants, "embedding.weight.q", q));
	assert_ok(params_read(&v.constants, "embedding.weight.step", step));
	assert_ok(executor_output(ex, "embedding", rows, sizeof(rows)));
	for (int i = 0; i < 4 * BAG_TOKENS; i++)
		for (int k = 0; k < BAG_CHANNELS; k++) {
			float want = ids[i] < 0 ? 0 : (float)q[ids[i] * BAG_CHANNELS + k] * step[ids[i]];

			assert_true(rows[i * BAG_CHANNELS + k] == want);
		}
	executor_free(ex);
	converted_clear(&v);
}

static void bag__half_precision_is_near_the_float_model(void **state)
{
	(void)state;
	for (int m = 0; m < 2; m++) {
		struct converted v = convert(m ? QUANT_BF16 : QUANT_FP16, 8, 4);
		struct equal_case c = bag_case(4, false);
		struct executor *half = equal_executor(&c, &v.frozen, &v.constants),
				*real = equal_executor(&c, &v.folded, &v.floats);
		const struct param *p = params_find(&v.constants, "embedding.weight.half");
		float a[4 * BAG_CLASSES], b[4 * BAG_CLASSES], most = 0, off = 0;

		assert_non_null(p);
		assert_int_equal(p->value.dtype, m ? DT_BF16 : DT_F16);
		assert_null(params_find(&v.constants, "embedding.weight"));
		assert_ok(executor_output(half, "fc2", a, sizeof(a)));
		assert_ok(executor_output(real, "fc2", b, sizeof(b)));
		for (int i = 0; i < 4 * BAG_CLASSES; i++) {
			most = fmaxf(most, fabsf(b[i]));
			off = (float)worst_of((double)off, fabs((double)a[i] - (double)b[i]));
		}
		assert_true(off > 0 && off < most * (m ? 0.02f : 0.003f));
		executor_free(half);
		executor_free(real);
		converted_clear(&v);
	}
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
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bag__gives_equal_integers),
	    cmocka_unit_test(bag__masked_weights_are_zero_integers),
	    cmocka_unit_test(bag__dynamic_reads_rows_of_integers),
	    cmocka_unit_test(bag__half_precision_is_near_the_float_model),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
