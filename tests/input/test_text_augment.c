/* Tokens that are dropped and replaced: how many, by what, and that chance is addressed, not counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "input/text_augment.h"

enum { LONG = 402, TEXTS = 200 };

/* Special tokens are neither first nor side by side. */
static const char *const tokens[] = {
    "a", "[PAD]", "b", "[CLS]", "[SEP]", "c", "d", "[UNK]", "e", "f", "g", "[MASK]", "h", "i"};
enum { PAD = 1, CLS = 3, SEP = 4, UNK = 7, MASK = 11, TOKENS = 14 };
static struct vocabulary vocabulary;

static int set_up(void **state)
{
	(void)state;
	return vocabulary_from_tokens(&vocabulary, "test", tokens, TOKENS);
}

static int tear_down(void **state)
{
	(void)state;
	vocabulary_clear(&vocabulary);
	return 0;
}

/* A text of n tokens: 0 2 5 6 ... between [CLS] and [SEP]. */
static void make(int32_t *ids, int n)
{
	static const int32_t ordinary[] = {0, 2, 5, 6, 8, 9, 10, 12, 13};
	for (int i = 1; i < n - 1; i++)
		ids[i] = ordinary[i % 9];
	ids[0] = CLS;
	ids[n - 1] = SEP;
}

static int change(const struct augment_options *a, uint64_t step, uint64_t sample, int n, int32_t *out)
{
	int32_t ids[LONG];
	const struct augmentation g = {.options = a, .seed = 3, .stage = "student", .step = step};
	make(ids, n);
	memset(out, 0xff, (size_t)n * sizeof(*out));
	return text_augment(&g, &vocabulary, sample, ids, n, NULL, out);
}

static void near(int64_t k, int64_t n, double p)
{
	const double want = (double)n * p, away = (double)k - want;
	if (away * away > 36 * want * (1 - p)) /* six standard deviations */
		fail_msg("%lld of %lld, where %g is to be expected", (long long)k, (long long)n, want);
}

static void tokens__are_dropped_at_the_rate_in_their_order(void **state)
{
	const struct augment_options a = {.token_drop = 0.2};
	int32_t ids[LONG], out[LONG];
	int64_t left = 0;
	(void)state;
	make(ids, LONG);
	for (int k = 0; k < TEXTS; k++) {
		const int n = change(&a, 5, (uint64_t)k, LONG, out);
		assert_int_equal(out[0], CLS);
		assert_int_equal(out[n - 1], SEP);
		int at = 1; /* what is left is found in the text, in order */
		for (int i = 1; i < n - 1; i++, at++) {
			while (at < LONG - 1 && ids[at] != out[i])
				at++;
			assert_true(at < LONG - 1);
		}
		left += n - 2;
	}
	near(left, (int64_t)TEXTS * (LONG - 2), 0.8);
}

static void tokens__are_replaced_by_ordinary_ones(void **state)
{
	const struct augment_options a = {.token_replace = 0.3};
	int32_t ids[LONG], out[LONG];
	int64_t changed = 0, of[TOKENS] = {0};
	(void)state;
	make(ids, LONG);
	for (int k = 0; k < TEXTS; k++) {
		assert_int_equal(change(&a, 5, (uint64_t)k, LONG, out), LONG);
		assert_int_equal(out[0], CLS);
		assert_int_equal(out[LONG - 1], SEP);
		for (int i = 1; i < LONG - 1; i++) {
			assert_true(out[i] >= 0 && out[i] < TOKENS);
			changed += out[i] != ids[i];
			of[out[i]] += out[i] != ids[i];
		}
	}
	/* one of nine is replaced by itself */
	near(changed, (int64_t)TEXTS * (LONG - 2), 0.3 * 8 / 9);
	assert_int_equal(of[PAD] + of[CLS] + of[SEP] + of[UNK] + of[MASK], 0);
	for (int t = 0; t < TOKENS; t++)
		if (t != PAD && t != CLS && t != SEP && t != UNK && t != MASK)
			near(of[t], changed, 1.0 / 9);
}

static void tokens__are_replaced_by_the_mask(void **state)
{
	const struct augment_options a = {.token_replace = 0.3, .token_replace_by = REPLACE_BY_MASK};
	int32_t ids[LONG], out[LONG];
	int64_t masked = 0;
	(void)state;
	make(ids, LONG);
	for (int k = 0; k < TEXTS; k++) {
		assert_int_equal(change(&a, 5, (uint64_t)k, LONG, out), LONG);
		for (int i = 0; i < LONG; i++) {
			assert_true(out[i] == ids[i] || out[i] == MASK);
			masked += out[i] == MASK;
		}
	}
	near(masked, (int64_t)TEXTS * (LONG - 2), 0.3);
}

/* A text of one token cannot lose it, and one of none has nothing to lose. */
static void text__keeps_its_last_tokens(void **state)
{
	const struct augment_options a = {.token_drop = 0.9};
	int32_t out[LONG];
	(void)state;
	for (int k = 0; k < TEXTS; k++) {
		assert_int_equal(change(&a, 1, (uint64_t)k, 3, out), 3);
		assert_int_equal(out[0], CLS);
		assert_int_equal(out[1], 2);
		assert_int_equal(out[2], SEP);
		assert_int_equal(change(&a, 1, (uint64_t)k, 2, out), 2);
		assert_int_equal(out[1], SEP);
		assert_true(change(&a, 1, (uint64_t)k, 4, out) >= 3);
	}
}

/* A token's fate depends on step, text and place: not on how long the text is, nor on what else is asked for. */
static void chance__is_addressed(void **state)
{
	const struct augment_options replace = {.token_replace = 0.5},
				     both = {.token_drop = 1e-9, .token_replace = 0.5};
	int32_t a[LONG], b[LONG];
	(void)state;
	change(&replace, 4, 7, 40, a);
	change(&replace, 4, 7, 30, b);
	assert_memory_equal(a, b, 29 * sizeof(*a));
	change(&both, 4, 7, 40, b);
	assert_memory_equal(a, b, 40 * sizeof(*a));
	change(&replace, 5, 7, 40, b);
	assert_memory_not_equal(a, b, 40 * sizeof(*a));
	change(&replace, 4, 8, 40, b);
	assert_memory_not_equal(a, b, 40 * sizeof(*a));
}

/* Each of both texts keeps its end, and one that would lose all tokens loses none. */
static void pair__keeps_what_divides_it(void **state)
{
	const struct augment_options most = {.token_drop = 0.5}, all = {.token_drop = 0.999999, .token_replace = 0.5};
	enum { N = 40, SECOND = 12 };
	int32_t ids[N], out[N], alone[N], second;
	int64_t left[2] = {0};
	(void)state;
	make(ids, N);
	ids[SECOND - 1] = SEP;
	for (int k = 0; k < TEXTS; k++) {
		const struct augmentation g = {.options = &most, .seed = 3, .stage = "student", .step = 5};
		second = SECOND;
		const int n = text_augment(&g, &vocabulary, (uint64_t)k, ids, N, &second, out);
		assert_int_equal(out[0], CLS);
		assert_int_equal(out[n - 1], SEP);
		assert_int_equal(out[second - 1], SEP);
		left[0] += second - 2;
		left[1] += n - 1 - second;
		for (int i = 1; i < n - 1; i++)
			assert_true(i == second - 1 || out[i] != SEP);
		/* Chance is drawn by the place: the first text is changed as if it were alone. */
		memcpy(alone, ids, sizeof(alone));
		const int m = text_augment(&g, &vocabulary, (uint64_t)k, alone, SECOND, NULL, alone + SECOND);
		assert_int_equal(m, second);
		assert_memory_equal(alone + SECOND, out, (size_t)m * sizeof(*out));
	}
	near(left[0], (int64_t)TEXTS * (SECOND - 2), 0.5);
	near(left[1], (int64_t)TEXTS * (N - 1 - SECOND), 0.5);
	const struct augmentation g = {.options = &all, .seed = 3, .stage = "student", .step = 5};
	second = SECOND;
	assert_int_equal(text_augment(&g, &vocabulary, 1, ids, N, &second, out), N);
	assert_int_equal(second, SECOND);
	/* Texts without a token. */
	const int32_t none[] = {CLS, SEP, SEP};
	second = 2;
	assert_int_equal(text_augment(&g, &vocabulary, 1, none, 3, &second, out), 3);
	assert_memory_equal(out, none, sizeof(none));
	assert_int_equal(second, 2);
}

static void mask__must_be_in_the_vocabulary(void **state)
{
	static const char *const few[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"};
	const struct augment_options random = {.token_replace = 0.1},
				     mask = {.token_replace = 0.1, .token_replace_by = REPLACE_BY_MASK};
	const struct wordpiece_options o = wordpiece_options_default();
	struct vocabulary v;
	struct adapter a;
	(void)state;
	assert_int_equal(vocabulary_from_tokens(&v, "few", few, 5), 0);
	assert_int_equal(adapter_of_vocabulary(&a, &v, &o, 16), 0);
	assert_int_equal(adapter_check_augment(&a, &random), 0);
	assert_int_equal(adapter_check_augment(&a, &mask), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "the vocabulary has no [MASK]"));
	adapter_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tokens__are_dropped_at_the_rate_in_their_order),
	    cmocka_unit_test(tokens__are_replaced_by_ordinary_ones),
	    cmocka_unit_test(tokens__are_replaced_by_the_mask),
	    cmocka_unit_test(text__keeps_its_last_tokens),
	    cmocka_unit_test(chance__is_addressed),
	    cmocka_unit_test(pair__keeps_what_divides_it),
	    cmocka_unit_test(mask__must_be_in_the_vocabulary),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
