/* Where the CUDA toolkit is installed: our headers have its numbers, our half types its roundings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "simt/values.h"
#include "simt_half.h"

static void toolkit__has_the_same_numbers(void **state)
{
	int n = 0;
	(void)state;
	for (; own_values[n].name && toolkit_values[n].name; n++) {
		assert_string_equal(own_values[n].name, toolkit_values[n].name);
		if (own_values[n].value != toolkit_values[n].value)
			fail_msg("%s is %lld here and %lld in the toolkit", own_values[n].name, own_values[n].value,
			    toolkit_values[n].value);
	}
	assert_null(own_values[n].name);
	assert_null(toolkit_values[n].name);
	assert_true(n > 100);
}

/* Every half, and of the floats every one at which the result may change: the last 13 bits below, at and above a tie.
 */
static void toolkit__rounds_halves_alike(void **state)
{
	static const uint32_t low[] = {0, 1, 0xfff, 0x1000, 0x1001, 0x1fff};
	(void)state;
	for (uint32_t i = 0; i < 65536; i++) {
		float a = simt_half_to_float((uint16_t)i), b = toolkit_from_half((uint16_t)i);
		assert_true(a == b || (isnan(a) && isnan(b)));
	}
	for (uint32_t high = 0; high < 1u << 19; high++) {
		for (size_t k = 0; k < sizeof(low) / sizeof(low[0]); k++) {
			float f = simt_bits_float(high << 13 | low[k]);
			if (simt_float_to_half(f) != toolkit_to_half(f))
				fail_msg("f16 of %a is %#x, in the toolkit %#x", (double)f, simt_float_to_half(f),
				    toolkit_to_half(f));
			if (simt_float_to_bf16(f) != toolkit_to_bfloat16(f))
				fail_msg("bf16 of %a is %#x, in the toolkit %#x", (double)f, simt_float_to_bf16(f),
				    toolkit_to_bfloat16(f));
			float tie = simt_bits_float(high << 13 | (low[k] & 1) | 0x8000u);
			assert_int_equal(simt_float_to_bf16(tie), toolkit_to_bfloat16(tie));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(toolkit__has_the_same_numbers), cmocka_unit_test(toolkit__rounds_halves_alike)};
	return cmocka_run_group_tests_name("simt toolkit", tests, NULL, NULL);
}
