/* Bits per layer in the plan: which weights have them, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "quant/models.h"
#include "quant/plan.h"

/* Bits of the weight, or -1 where it is not quantized. */
static int bits_of(const struct quant_plan *p, const char *weight)
{
	const struct quant_value *v = quant_plan_value(p, weight);
	return v && v->weight ? v->q.bits : -1;
}

static int make(struct quant_plan *p, enum quant_method method, int edge_bits, char **entries, int n, char **exclude)
{
	const struct model_spec s = model_cnn(0);
	struct quant_rules rules = {.method = method,
	    .weight_bits = 8,
	    .act_bits = 8,
	    .edge_bits = edge_bits,
	    .per_channel = true,
	    .layer_bits = {entries, n},
	    .exclude = {exclude, exclude ? 1 : 0}};
	struct graph g;
	assert_int_equal(model_folded(&s, 2, false, &g), 0);
	int rc = quant_plan_make(p, &g, &rules);
	graph_clear(&g);
	return rc;
}

static void layer_bits__are_of_the_weights_that_they_name_alone(void **state)
{
	char *entries[] = {"conv*=4", "conv2=3", "fc1=2"};
	const struct quant_value *v;
	struct quant_plan p;
	(void)state;
	assert_int_equal(make(&p, QUANT_STATIC, 0, entries, 3, NULL), 0);
	assert_int_equal(bits_of(&p, "conv1.weight.folded"), 4);
	assert_int_equal(bits_of(&p, "conv2.weight.folded"), 3); /* the last that matches */
	assert_int_equal(bits_of(&p, "conv3.weight.folded"), 4);
	assert_int_equal(bits_of(&p, "fc1.weight"), 2);
	assert_int_equal(bits_of(&p, "fc2.weight"), 8);
	assert_int_equal(bits_of(&p, "fc3.weight"), 8);
	assert_false(p.simulated);
	for (int i = 0; i < p.n_layer; i++)
		assert_true(p.layer[i].quantized);
	v = quant_plan_value(&p, "bn1");
	assert_int_equal(v->q.bits, 8); /* activations keep theirs */
	quant_plan_clear(&p);
	char *last[] = {"fc3=4"};
	assert_int_equal(make(&p, QUANT_DYNAMIC, 6, &entries[2], 1, NULL), 0);
	assert_int_equal(bits_of(&p, "fc1.weight"), 2);
	assert_int_equal(bits_of(&p, "fc2.weight"), 8);
	assert_int_equal(bits_of(&p, "fc3.weight"), 6);
	quant_plan_clear(&p);
	assert_int_equal(make(&p, QUANT_DYNAMIC, 6, last, 1, NULL), 0);
	assert_int_equal(bits_of(&p, "fc3.weight"), 4); /* before edge_bits */
	quant_plan_clear(&p);
}

static void layer_bits__refuse_what_is_no_entry_or_matches_nothing(void **state)
{
	static const struct {
		const char *entry, *part;
	} wrong[] = {{"fc1", "found 'fc1'"}, {"fc1=", "found 'fc1='"}, {"=4", "found '=4'"}, {"fc1=0", "1 to 8 bits"},
	    {"fc1=9", "1 to 8 bits"}, {"fc1=32", "found 'fc1=32'"}, {"fc1=4.5", "found 'fc1=4.5'"},
	    {"fc9=4", "layer_bits: no layer matches 'fc9'; did you mean 'fc"},
	    {"avgpool=4", "layer_bits: no layer matches 'avgpool'"}};
	char text[32], *entry = text, *exclude = "fc1";
	struct quant_plan p;
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "%s", wrong[i].entry);
		assert_int_equal(make(&p, QUANT_STATIC, 0, &entry, 1, NULL), ERR_CONFIG);
		if (!strstr(err_message(), wrong[i].part))
			fail_msg("'%s' is not in '%s'", wrong[i].part, err_message());
		assert_null(p.layer);
	}
	snprintf(text, sizeof(text), "fc1=4"); /* a layer that stays FP32 has no bits */
	assert_int_equal(make(&p, QUANT_STATIC, 0, &entry, 1, &exclude), ERR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(layer_bits__are_of_the_weights_that_they_name_alone),
	    cmocka_unit_test(layer_bits__refuse_what_is_no_entry_or_matches_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
