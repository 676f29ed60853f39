/* The order of training samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "data/sampler.h"

static void sampler__each_permutation_has_every_sample_once(void **state)
{
	struct sampler s;
	uint32_t index[77];
	int seen[11] = {0};

	(void)state;
	assert_int_equal(sampler_init(&s, 3, "train", 11), 0);
	assert_int_equal(sampler_take(&s, 0, 77, index), 0);
	for (int i = 0; i < 77; i++) {
		assert_int_equal(seen[index[i]], i / 11);
		seen[index[i]]++;
	}
	assert_memory_not_equal(index, index + 11, 11 * sizeof(*index));
	sampler_clear(&s);
}

static void sampler__order_follows_from_the_position_alone(void **state)
{
	struct sampler a, b, c, none;
	uint32_t all[60], part[60], other[60];

	(void)state;
	assert_int_equal(sampler_init(&a, 3, "train", 13), 0);
	assert_int_equal(sampler_init(&b, 3, "train", 13), 0);
	assert_int_equal(sampler_init(&c, 3, "distill", 13), 0);
	sampler_take(&a, 0, 60, all);
	for (int first = 56; first >= 0; first -= 4) /* backwards, across permutations */
		sampler_take(&b, first, 4, part + first);
	sampler_take(&c, 0, 60, other);
	assert_memory_equal(all, part, sizeof(all));
	assert_memory_not_equal(all, other, sizeof(all));
	assert_int_equal(sampler_init(&none, 3, "x", 0), ERR_FAIL);
	sampler_clear(&a);
	sampler_clear(&b);
	sampler_clear(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sampler__each_permutation_has_every_sample_once),
	    cmocka_unit_test(sampler__order_follows_from_the_position_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
