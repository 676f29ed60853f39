/* Random numbers against the authors' known answers, and their distributions; SHA-256 against FIPS 180-4 examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"

static void rng__philox_gives_the_known_answers(void **state)
{
	(void)state;
	/* Random123 1.14, kat_vectors, philox4x32 with 10 rounds. */
	static const struct {
		uint32_t key[2], ctr[4], out[4];
	} kat[] = {
	    {{0, 0}, {0, 0, 0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
	    {{0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
		{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
	    {{0xa4093822, 0x299f31d0}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
		{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	};
	for (size_t i = 0; i < sizeof(kat) / sizeof(*kat); i++) {
		struct rng_words w = rng_philox(kat[i].key, kat[i].ctr);
		assert_memory_equal(w.w, kat[i].out, sizeof(w.w));
	}
}

static void rng__counter_holds_the_coordinates(void **state)
{
	(void)state;
	struct rng r = {{11, 22}};
	const uint32_t ctr[4] = {9, 0x55667788, 0x11223344U ^ 0xAABBCCDDU, 0x01020304};
	struct rng_words a = rng_draw(r, 0xAABBCCDD01020304U, 0x1122334455667788U, 9), b = rng_philox(r.key, ctr);
	assert_memory_equal(a.w, b.w, sizeof(a.w));
}

static void rng__every_part_of_a_key_matters(void **state)
{
	(void)state;
	struct rng r[] = {
	    rng_make(1, "train", RNG_INIT, "conv0.weight"),
	    rng_make(2, "train", RNG_INIT, "conv0.weight"),
	    rng_make(1ULL << 32, "train", RNG_INIT, "conv0.weight"),
	    rng_make(1ULL << 32 | 1, "train", RNG_INIT, "conv0.weight"), /* the 1 of the first, and more */
	    rng_make(1, "trai", RNG_INIT, "nconv0.weight"),
	    rng_make(1, "traincon", RNG_INIT, "v0.weight"),
	    rng_make(1, "train", RNG_DROPOUT, "conv0.weight"),
	    rng_make(1, "train", RNG_INIT, "conv1.weight"),
	    rng_make(1, "train", RNG_INIT, "a name that is longer than one block of sixteen bytes, 1"),
	    rng_make(1, "train", RNG_INIT, "a name that is longer than one block of sixteen bytes, 2"),
	    rng_make(1, "", RNG_INIT, "train"),
	    rng_make(1, "train", RNG_INIT, ""),
	    rng_make(1, "", RNG_INIT, ""),
	};
	size_t n = sizeof(r) / sizeof(*r);
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			assert_memory_not_equal(r[i].key, r[j].key, sizeof(r[i].key));
	struct rng again = rng_make(1, "train", RNG_INIT, "conv0.weight");
	assert_memory_equal(again.key, r[0].key, sizeof(again.key));
}

static void rng__keys_never_change_between_versions(void **state)
{
	(void)state;
	/* Frozen by the first release: another value would silently change every run that is to be reproduced. */
	struct rng r = rng_make(42, "prune", RNG_SHUFFLE, "fc1.weight");
	struct rng_words w = rng_draw(r, 7, 3, 1);
	const uint32_t expected[4] = {0x87da61a6, 0xe3a202a8, 0xdf1f6a12, 0x23f76c18};
	assert_memory_equal(w.w, expected, sizeof(expected));
}

static void rng__uniform_covers_zero_to_below_one(void **state)
{
	(void)state;
	assert_true(rng_uniform(0) == 0.0F);
	assert_true(rng_uniform(UINT32_MAX) < 1.0F);
	assert_true(rng_uniform(UINT32_MAX) == 1.0F - 0x1p-24F);
	struct rng r = rng_make(5, "", RNG_BENCH, "");
	double sum = 0.0, squares = 0.0;
	const int n = 40000;
	for (int i = 0; i < n; i++) {
		double u = (double)rng_uniform(rng_draw(r, 0, (uint64_t)i, 0).w[i % 4]);
		sum += u;
		squares += u * u;
	}
	assert_true(fabs(sum / n - 0.5) < 0.01); /* standard error 0.0014 */
	assert_true(fabs(squares / n - 1.0 / 3.0) < 0.01);
}

static void rng__normal_has_the_moments_of_a_normal(void **state)
{
	(void)state;
	float z[2];
	rng_normal2(0, 0, z); /* the largest value there is: finite */
	assert_true(isfinite(z[0]) && z[0] > 6.0F && z[0] < 7.0F);
	rng_normal2(UINT32_MAX, 0, z);
	assert_true(z[0] == 0.0F);
	struct rng r = rng_make(6, "", RNG_BENCH, "");
	double sum = 0.0, squares = 0.0, fourth = 0.0, product = 0.0;
	const int n = 40000;
	for (int i = 0; i < n; i++) {
		struct rng_words w = rng_draw(r, 1, (uint64_t)i, 0);
		rng_normal2(w.w[0], w.w[1], z);
		double a = (double)z[0], b = (double)z[1];
		sum += a + b;
		squares += a * a + b * b;
		fourth += a * a * a * a + b * b * b * b;
		product += a * b;
	}
	assert_true(fabs(sum / (2 * n)) < 0.02);
	assert_true(fabs(squares / (2 * n) - 1.0) < 0.03);
	assert_true(fabs(fourth / (2 * n) - 3.0) < 0.2);
	assert_true(fabs(product / n) < 0.03);
}

static void rng__below_reaches_both_ends_and_no_further(void **state)
{
	(void)state;
	assert_int_equal(rng_below(0, 7), 0);
	assert_int_equal(rng_below(UINT64_MAX, 7), 6);
	assert_int_equal(rng_below(UINT64_MAX, 1), 0);
	assert_int_equal(rng_below(UINT64_MAX, UINT32_MAX), UINT32_MAX - 1);
	assert_int_equal(rng_below(1ULL << 63, 10), 5);
}

static void rng__permutation_is_one_and_changes_with_the_epoch(void **state)
{
	(void)state;
	enum { N = 101 };
	uint32_t a[N], b[N], again[N];
	struct rng r = rng_make(3, "train", RNG_SHUFFLE, "");
	rng_permutation(r, 0, a, N);
	rng_permutation(r, 1, b, N);
	rng_permutation(r, 0, again, N);
	assert_memory_equal(a, again, sizeof(a));
	assert_memory_not_equal(a, b, sizeof(a));
	int seen[N] = {0}, fixed = 0;
	for (int i = 0; i < N; i++) {
		assert_true(a[i] < N);
		seen[a[i]]++;
		fixed += a[i] == (uint32_t)i;
	}
	for (int i = 0; i < N; i++)
		assert_int_equal(seen[i], 1);
	assert_true(fixed < 8); /* one is expected */
	rng_permutation(r, 0, a, 0);
	rng_permutation(r, 0, a, 1);
	assert_int_equal(a[0], 0);
}

static void rng__all_orders_of_a_short_permutation_are_as_likely(void **state)
{
	(void)state;
	int count[27] = {0};
	struct rng r = rng_make(4, "", RNG_SHUFFLE, "");
	for (uint64_t epoch = 0; epoch < 6000; epoch++) {
		uint32_t p[3];
		rng_permutation(r, epoch, p, 3);
		count[p[0] * 9 + p[1] * 3 + p[2]]++;
	}
	int orders = 0;
	for (int i = 0; i < 27; i++) {
		if (count[i] == 0)
			continue;
		orders++;
		assert_true(count[i] > 850 && count[i] < 1150); /* 1000 expected, standard deviation 29 */
	}
	assert_int_equal(orders, 6);
}

static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char nothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static void hash__sha256_gives_the_known_answers(void **state)
{
	(void)state;
	char hex[HASH_HEX];
	assert_int_equal(hash_bytes("abc", 3, hex), 0);
	assert_string_equal(hex, abc);
	assert_int_equal(hash_bytes(NULL, 0, hex), 0);
	assert_string_equal(hex, nothing);
}

static void hash__a_text_is_one_by_its_form_alone(void **state)
{
	char text[HASH_HEX + 1];
	(void)state;
	assert_true(hash_is_hex(abc) && hash_is_hex(nothing));
	assert_false(hash_is_hex(NULL) || hash_is_hex("") || hash_is_hex("../../zz") || hash_is_hex(abc + 1));
	for (int i = 0; i < HASH_HEX - 1; i += 21) {
		memcpy(text, abc, HASH_HEX);
		text[i] = "/.gA"[i % 4];
		assert_false(hash_is_hex(text));
	}
	memcpy(text, abc, HASH_HEX);
	strcat(text, "0");
	assert_false(hash_is_hex(text));
	text[HASH_HEX - 1] = '/';
	assert_false(hash_is_hex(text));
}

static void hash__parts_add_up_and_strings_are_separated(void **state)
{
	(void)state;
	char hex[HASH_HEX], other[HASH_HEX];
	struct hash *h;
	assert_int_equal(hash_open(&h), 0);
	assert_int_equal(hash_add(h, "a", 1), 0);
	assert_int_equal(hash_add(h, "bc", 2), 0);
	assert_int_equal(hash_hex(h, hex), 0);
	hash_close(h);
	assert_string_equal(hex, abc);
	const char *words[2][2] = {{"ab", "c"}, {"a", "bc"}};
	char *out[2] = {hex, other};
	for (int i = 0; i < 2; i++) {
		assert_int_equal(hash_open(&h), 0);
		assert_int_equal(hash_add_str(h, words[i][0]), 0);
		assert_int_equal(hash_add_str(h, words[i][1]), 0);
		assert_int_equal(hash_hex(h, out[i]), 0);
		hash_close(h);
	}
	assert_string_not_equal(hex, other);
	hash_close(NULL);
}

static void hash__file_equals_its_bytes_or_names_the_path(void **state)
{
	(void)state;
	char hex[HASH_HEX], expected[HASH_HEX];
	enum { N = 200001 }; /* more than one read, and no multiple of it */
	unsigned char *bytes = mem_alloc(N, 1);
	for (int i = 0; i < N; i++)
		bytes[i] = (unsigned char)(i * 7 >> 3);
	assert_int_equal(fs_write("hash_test.bin", bytes, N), 0);
	assert_int_equal(hash_file("hash_test.bin", hex), 0);
	assert_int_equal(hash_bytes(bytes, N, expected), 0);
	assert_string_equal(hex, expected);
	mem_free(bytes);
	assert_int_equal(fs_remove_tree("hash_test.bin"), 0);
	assert_int_equal(hash_file("hash_test.bin", hex), ERR_IO);
	assert_string_equal(err_message(), "hash_test.bin: No such file or directory");
	assert_int_equal(hash_file(".", hex), ERR_IO);
	assert_string_equal(err_message(), ".: is a folder, not a file");
	assert_int_equal(hash_file("/dev/null", hex), ERR_IO);
	assert_string_equal(err_message(), "/dev/null: is a device, not a file");
	assert_int_equal(hash_file("/proc/self/mem", hex), ERR_IO); /* opens, but nothing lies at its beginning */
	assert_string_equal(err_message(), "/proc/self/mem: Input/output error");
	assert_string_equal(hex, "");
	assert_int_equal(fs_write("hash_test.bin", NULL, 0), 0);
	mem_fail_at(1);
	assert_int_equal(hash_file("hash_test.bin", hex), ERR_NOMEM);
	mem_fail_at(0);
	assert_int_equal(hash_file("hash_test.bin", hex), 0);
	assert_string_equal(hex, nothing);
	assert_int_equal(fs_remove_tree("hash_test.bin"), 0);
}

/* Mean and variance of a gamma variate are its shape, the mean of its logarithm is the digamma function. */
static void rng__gamma_and_beta_variates_have_their_moments(void **state)
{
	static const struct {
		double shape, digamma;
	} of[] = {{0.1, -10.423754940411076}, {0.5, -1.9635100260214235}, {1, -0.5772156649015329},
	    {3.5, 1.103156640645243}, {1e-4, -10000.577051183515}};
	const struct rng r = rng_make(5, "t", RNG_BENCH, "gamma");
	enum { N = 20000 };
	(void)state;
	for (size_t k = 0; k < sizeof(of) / sizeof(*of); k++) {
		double sum = 0, squares = 0, logs = 0, shape = of[k].shape;
		for (uint64_t i = 0; i < N; i++) {
			const double log_g = rng_log_gamma(r, 2, i, shape), g = exp(log_g);
			sum += g;
			squares += g * g;
			logs += log_g;
		}
		const double mean = sum / N, variance = squares / N - mean * mean;
		assert_true(fabs(mean - shape) < 5 * sqrt(shape / N));
		if (shape > 0.05)
			assert_true(fabs(variance - shape) < 0.12 * shape + 0.02);
		/* The logarithm's deviation is below 1 / shape + 2. */
		assert_true(fabs(logs / N - of[k].digamma) < 5 * (1 / shape + 2) / sqrt(N));
	}
	double sum = 0;
	for (uint64_t i = 0; i < N; i++) {
		const double b = rng_beta(r, 2, i, 2, 6);
		assert_true(b > 0 && b < 1);
		sum += b;
	}
	assert_true(fabs(sum / N - 0.25) < 5 * sqrt(0.25 * 0.75 / 9 / N));
	assert_true(rng_beta(r, 3, 1, 1e-9, 1e-9) >= 0); /* both underflow: still no NaN */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rng__gamma_and_beta_variates_have_their_moments),
	    cmocka_unit_test(rng__philox_gives_the_known_answers),
	    cmocka_unit_test(rng__counter_holds_the_coordinates),
	    cmocka_unit_test(rng__every_part_of_a_key_matters),
	    cmocka_unit_test(rng__keys_never_change_between_versions),
	    cmocka_unit_test(rng__uniform_covers_zero_to_below_one),
	    cmocka_unit_test(rng__normal_has_the_moments_of_a_normal),
	    cmocka_unit_test(rng__below_reaches_both_ends_and_no_further),
	    cmocka_unit_test(rng__permutation_is_one_and_changes_with_the_epoch),
	    cmocka_unit_test(rng__all_orders_of_a_short_permutation_are_as_likely),
	    cmocka_unit_test(hash__a_text_is_one_by_its_form_alone),
	    cmocka_unit_test(hash__sha256_gives_the_known_answers),
	    cmocka_unit_test(hash__parts_add_up_and_strings_are_separated),
	    cmocka_unit_test(hash__file_equals_its_bytes_or_names_the_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
