/* Collectors: observers see the values that the plan quantizes, and nothing of the slack behind a packed batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/collector.h"
#include "quant/models.h"

static struct quant_plan plan_of_mlp(void)
{
	struct quant_rules rules = {.method = QUANT_STATIC, .weight_bits = 8, .act_bits = 8, .per_channel = true};
	struct model_spec s = model_mlp();
	struct quant_plan p;
	struct graph g;

	assert_int_equal(model_folded(&s, 2, false, &g), 0);
	assert_int_equal(quant_plan_make(&p, &g, &rules), 0);
	graph_clear(&g);
	return p;
}

/* (5, 3) values of which the first three rows are samples. */
static void fill(float *x, int seed, bool slack)
{
	for (int i = 0; i < 15; i++)
		x[i] = (float)((i * 7 + seed) % 11) - 5;
	for (int i = 9; i < 15 && slack; i++)
		x[i] = i % 2 ? NAN : 1e30f;
}

static void give(struct collector *c, int i, const float *x, int64_t rows)
{
	assert_int_equal(c->add(c->user, i, &(struct collected){.x = x, .rows = rows, .valid = 3, .width = 3}), 0);
}

static void observers__want_the_activations_of_the_plan(void **state)
{
	struct quant_plan p = plan_of_mlp();
	struct observers o;
	struct collector c;

	(void)state;
	assert_int_equal(observers_init(&o, &p), 0);
	c = observers_collector(&o);
	assert_int_equal(c.n, 3);
	for (int i = 0; i < c.n; i++)
		assert_false(quant_plan_value(&p, c.name(c.user, i))->weight);
	observers_clear(&o);
	quant_plan_clear(&p);
}

static void observers__rows_beyond_the_valid_ones_change_nothing(void **state)
{
	struct quant_plan p = plan_of_mlp();
	struct observers packed, exact;
	struct collector a, b;
	float x[15];

	(void)state;
	assert_int_equal(observers_init(&packed, &p), 0);
	assert_int_equal(observers_init(&exact, &p), 0);
	a = observers_collector(&packed);
	b = observers_collector(&exact);
	assert_int_equal(a.begin(a.user), 0);
	assert_int_equal(b.begin(b.user), 0);
	for (int batch = 0; batch < 4; batch++) {
		for (int i = 0; i < a.n; i++) {
			fill(x, batch + i, true);
			give(&a, i, x, 5);
			fill(x, batch + i, false);
			give(&b, i, x, 3);
		}
	}
	assert_int_equal(a.end(a.user), 0);
	assert_memory_equal(packed.of, exact.of, (size_t)p.n_value * sizeof(*packed.of));
	for (int i = 0; i < a.n; i++)
		assert_true(packed.of[packed.activation[i]].n == 4 * 9);
	observers_clear(&packed);
	observers_clear(&exact);
	quant_plan_clear(&p);
}

static void observers__say_which_value_was_bad_or_never_seen(void **state)
{
	struct quant_plan p = plan_of_mlp();
	struct observers o;
	struct collector c;
	float x[15];

	(void)state;
	assert_int_equal(observers_init(&o, &p), 0);
	c = observers_collector(&o);
	assert_int_equal(c.begin(c.user), 0);
	fill(x, 0, false);
	give(&c, 0, x, 3);
	assert_int_equal(c.end(c.user), ERR_FAIL);
	assert_non_null(strstr(err_message(), c.name(c.user, 1)));
	fill(x, 0, true);
	assert_int_equal(c.add(c.user, 2, &(struct collected){.x = x, .rows = 5, .valid = 5, .width = 3}), ERR_DATA);
	assert_non_null(strstr(err_message(), c.name(c.user, 2)));
	observers_clear(&o);
	quant_plan_clear(&p);
}

static void observers__begin_forgets_what_was_collected(void **state)
{
	struct quant_plan p = plan_of_mlp();
	struct observers o;
	struct collector c;
	float x[15];

	(void)state;
	assert_int_equal(observers_init(&o, &p), 0);
	c = observers_collector(&o);
	fill(x, 3, false);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(c.begin(c.user), 0);
		give(&c, 1, x, 3);
		assert_true(o.of[o.activation[1]].n == 9);
	}
	observers_clear(&o);
	quant_plan_clear(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(observers__want_the_activations_of_the_plan),
	    cmocka_unit_test(observers__rows_beyond_the_valid_ones_change_nothing),
	    cmocka_unit_test(observers__say_which_value_was_bad_or_never_seen),
	    cmocka_unit_test(observers__begin_forgets_what_was_collected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
