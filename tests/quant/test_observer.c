/* Observers against brute force on the raw values. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/observer.h"
#include "quant/values.h"

static struct observer *observe(const float *x, size_t n, size_t batch)
{
	struct observer *o = mem_alloc(1, sizeof(*o));

	assert_non_null(o);
	observer_init(o);
	for (size_t i = 0; i < n; i += batch)
		assert_int_equal(observer_add(o, x + i, n - i < batch ? n - i : batch), 0);
	return o;
}

/* The quantized range that a plan would give such data. */
static struct qrange range_for(enum shape_of_data kind, int bits)
{
	return kind == RELU || kind == SHIFTED ? qrange_unsigned(bits, 0) : qrange_signed(bits);
}

static void observer__doubling_equals_a_one_shot_histogram(void **state)
{
	float *x = make_values(HEAVY, COUNT);
	struct observer *grown, *once;

	(void)state;
	for (size_t i = 0; i < COUNT; i++) /* grows slowly from tiny values */
		x[i] *= ldexpf(1, (int)(i / 1000) - 40);
	grown = observe(x, COUNT, 17);
	once = observe(x, COUNT, COUNT);
	assert_true(grown->range == once->range);
	assert_memory_equal(grown->count, once->count, sizeof(once->count));
	assert_memory_equal(grown->fine, once->fine, sizeof(once->fine));
	assert_true(grown->low[0] == once->low[0] && grown->low[1] == once->low[1] && once->low[0] > 0);
	assert_true(grown->zeros == once->zeros && grown->n == once->n);
	assert_true(grown->min == once->min && grown->max == once->max);
	mem_free(x);
	mem_free(grown);
	mem_free(once);
}

static void observer__bins_hold_the_values_they_claim(void **state)
{
	float *x = make_values(NORMAL, COUNT);
	struct observer *o = observe(x, COUNT, 999);
	double want[OBSERVER_BINS] = {0};

	(void)state;
	x[5] = 0;
	for (size_t i = 0; i < COUNT; i++) {
		for (int b = (int)(((double)x[i] / o->range + 1) * OBSERVER_BINS / 2) - 2; b < OBSERVER_BINS; b++) {
			double width = 2.0 * (double)o->range / OBSERVER_BINS, low = b * width - (double)o->range;

			if (b >= 0 && (double)x[i] >= low && (double)x[i] < low + width) {
				want[b] += x[i] != 0;
				break;
			}
		}
	}
	mem_free(o);
	o = observe(x, COUNT, 999);
	assert_memory_equal(o->count, want, sizeof(want));
	assert_true(o->zeros == 1);
	mem_free(x);
	mem_free(o);
}

/* The ends of a histogram are powers of two, which lie in the first bin behind them. */
static void observer__a_value_on_the_end_widens_the_range(void **state)
{
	struct observer o;

	(void)state;
	observer_init(&o);
	assert_int_equal(observer_add(&o, (float[]){1.5f, -0.5f}, 2), 0);
	assert_true(o.range == 2);
	assert_int_equal(observer_add(&o, (float[]){2, -2}, 2), 0);
	assert_true(o.range == 4);
	assert_true(o.count[OBSERVER_BINS / 2 + OBSERVER_BINS / 4] == 1 && o.count[OBSERVER_BINS / 4] == 1);
}

static void observer__leading_zeros_are_counted(void **state)
{
	float x[10] = {0}, y[3] = {0, 2, -1};
	struct observer o;
	float lo, hi;

	(void)state;
	observer_init(&o);
	assert_int_equal(observer_range(&o, OBSERVE_MINMAX, qrange_signed(8), 99, &lo, &hi), ERR_FAIL);
	assert_int_equal(observer_add(&o, x, 10), 0);
	assert_int_equal(observer_range(&o, OBSERVE_ENTROPY, qrange_signed(8), 99, &lo, &hi), 0);
	assert_true(lo == 0 && hi == 0);
	assert_true(observer_sqnr(&o, qrange_signed(8), lo, hi) >= 200);
	assert_int_equal(observer_add(&o, y, 3), 0);
	assert_true(o.zeros == 11 && o.n == 13 && o.range == 4 && o.batches == 2);
}

static void observer__nan_and_infinity_are_refused(void **state)
{
	float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
	struct observer o;

	(void)state;
	for (int i = 0; i < 4; i++) {
		float x[5] = {1, 2, 0, -1, 3};

		x[i] = bad[i];
		observer_init(&o);
		assert_int_equal(observer_add(&o, x, 5), ERR_DATA);
		assert_true(o.n == 0);
	}
}

static void observer__tiny_and_huge_values_have_bins(void **state)
{
	float x[] = {1e-44f, -3e-44f, 2e-45f}, y[] = {8e37f, -1e-30f};
	struct observer o;
	double sum = 0;

	(void)state;
	observer_init(&o);
	assert_int_equal(observer_add(&o, x, 3), 0);
	assert_int_equal(observer_add(&o, y, 2), 0);
	for (int i = 0; i < OBSERVER_BINS; i++)
		sum += o.count[i];
	assert_true(sum == 5);
	/* beside so large a value all others are next to 0 */
	assert_true(o.count[OBSERVER_BINS / 2] == 2 && o.count[OBSERVER_BINS / 2 - 1] == 2);
	assert_true(isfinite(o.range) && o.range > 8e37f);
}

static void observer__minmax_and_moving_average_follow_their_definitions(void **state)
{
	float a[] = {-1, 4}, b[] = {-3, 2}, lo, hi;
	struct observer o;

	(void)state;
	observer_init(&o);
	assert_int_equal(observer_add(&o, a, 2), 0);
	assert_int_equal(observer_add(&o, b, 2), 0);
	assert_int_equal(observer_range(&o, OBSERVE_MINMAX, qrange_unsigned(8, 0), 99, &lo, &hi), 0);
	assert_true(lo == -3 && hi == 4);
	assert_int_equal(observer_range(&o, OBSERVE_MINMAX, qrange_signed(8), 99, &lo, &hi), 0);
	assert_true(lo == -4 && hi == 4);
	assert_int_equal(observer_range(&o, OBSERVE_MOVING_AVERAGE, qrange_unsigned(8, 0), 99, &lo, &hi), 0);
	assert_near(lo, -1.2, 1e-6); /* 0.9 * -1 + 0.1 * -3 */
	assert_near(hi, 3.8, 1e-6);
	/* Of a signed value the farther end counts, wherever it is. */
	a[0] = -5;
	observer_init(&o);
	assert_int_equal(observer_add(&o, a, 2), 0);
	assert_int_equal(observer_add(&o, b, 2), 0);
	assert_int_equal(observer_range(&o, OBSERVE_MINMAX, qrange_signed(8), 99, &lo, &hi), 0);
	assert_true(lo == -5 && hi == 5);
	assert_int_equal(observer_range(&o, OBSERVE_MOVING_AVERAGE, qrange_signed(8), 99, &lo, &hi), 0);
	assert_near(hi, 4.8, 1e-6);
}

static int compare_floats(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/* The ends of the bin that holds v, or beyond them. */
static float below(float v)
{
	return v - fabsf(v) / OBSERVER_STEPS;
}

static float above(float v)
{
	return v + fabsf(v) / OBSERVER_STEPS;
}

static void observer__percentile_is_within_a_bin_of_the_sorted_values(void **state)
{
	double levels[] = {99.99, 99.9, 99, 90, 60};

	(void)state;
	for (int kind = 0; kind < SHAPES; kind++) {
		float *x = make_values((enum shape_of_data)kind, COUNT),
		      *sorted = make_values((enum shape_of_data)kind, COUNT);
		struct observer *o = observe(x, COUNT, 1000);
		struct qrange q = range_for((enum shape_of_data)kind, 8);
		size_t count = 0; /* zeros do not count */

		for (size_t i = 0; i < COUNT; i++)
			if (x[i] != 0)
				sorted[count++] = q.is_signed ? fabsf(x[i]) : x[i];
		qsort(sorted, count, sizeof(*sorted), compare_floats);
		for (int l = 0; l < 5; l++) {
			size_t at = (size_t)(levels[l] / 100 * (double)count), low = count - at;
			float lo, hi;

			assert_int_equal(observer_range(o, OBSERVE_PERCENTILE, q, levels[l], &lo, &hi), 0);
			assert_true(hi >= fmaxf(below(sorted[at - 1]), 0) && hi <= above(sorted[at]));
			if (!q.is_signed && o->min < 0)
				assert_true(lo <= fminf(above(sorted[low]), 0) &&
					    lo >= fminf(below(sorted[low > 0 ? low - 1 : 0]), 0));
			else
				assert_true(lo == (q.is_signed ? -hi : 0));
		}
		mem_free(x);
		mem_free(sorted);
		mem_free(o);
	}
}

/* The share of values that an outlier is decides, not how far away it is: the bins must not grow with it. */
static void observer__percentile_stays_where_it_is_while_an_outlier_goes(void **state)
{
	struct qrange forms[] = {qrange_signed(8), qrange_unsigned(8, 0), qrange_unsigned(8, 0)};

	(void)state;
	for (int form = 0; form < 3; form++) {
		float *x = make_values(form == 1 ? RELU : NORMAL, COUNT), lo, hi, least = 0, most = 0;
		for (double far = 10; far < 1e7; far *= 10) {
			struct observer *o;

			x[0] = (float)far;
			x[1] = form == 1 ? 0 : -(float)far;
			o = observe(x, COUNT, 1000);
			assert_int_equal(observer_range(o, OBSERVE_PERCENTILE, forms[form], 99.9, &lo, &hi), 0);
			least = far == 10 ? lo : least;
			most = far == 10 ? hi : most;
			assert_true(hi > 3 && hi < 8 && (form == 1 ? lo == 0 : lo < -3 && lo > -8));
			assert_near(hi, most, most / OBSERVER_STEPS);
			assert_near(lo, least, most / OBSERVER_STEPS);
			mem_free(o);
		}
		mem_free(x);
	}
}

static void observer__a_percentile_that_a_bin_completes_ends_there(void **state)
{
	float x[100], lo, hi;
	struct observer o;

	(void)state;
	for (int i = 0; i < 100; i++)
		x[i] = i < 50 ? 1 : 3;
	observer_init(&o);
	assert_int_equal(observer_add(&o, x, 100), 0);
	assert_int_equal(observer_range(&o, OBSERVE_PERCENTILE, qrange_unsigned(8, 0), 50, &lo, &hi), 0);
	assert_near(hi, 1, 2 * o.range / OBSERVER_BINS);
	assert_int_equal(observer_range(&o, OBSERVE_PERCENTILE, qrange_unsigned(8, 0), 51, &lo, &hi), 0);
	assert_near(hi, 3, 2 * o.range / OBSERVER_BINS);
	assert_int_equal(observer_range(&o, OBSERVE_PERCENTILE, qrange_unsigned(8, 0), 100, &lo, &hi), 0);
	assert_true(hi == 3); /* no more than there is */
}

/* Nearly all is zero: not a percentile, not an average of batches may take that for the range. */
static void observer__mostly_zeros_have_a_range_that_holds_the_rest(void **state)
{
	struct qrange forms[] = {qrange_unsigned(8, 0), qrange_signed(8), qrange_unsigned(8, 0)};

	(void)state;
	for (int form = 0; form < 3; form++) {
		float *x = mem_alloc(COUNT, sizeof(*x));
		struct observer *o;

		assert_non_null(x);
		for (size_t i = 0; i < 40; i++) /* one batch of forty, and a few values of it */
			x[20000 + 3 * i] = (form == 2 && i % 2 ? -1.0f : 1.0f) * (1 + (float)i / 40);
		o = observe(x, COUNT, 1000);
		assert_false(observer_is_empty(o));
		for (int kind = 0; kind < OBSERVER_COUNT; kind++) {
			float lo, hi;

			assert_int_equal(observer_range(o, (enum observer_kind)kind, forms[form], 98, &lo, &hi), 0);
			assert_true(hi >= 1 && hi <= 2 && lo == (form == 0 ? 0 : form == 1 ? -hi : lo));
			assert_true(form != 2 || (lo <= -1 && lo >= -2));
			assert_true(observer_sqnr(o, forms[form], lo, hi) > 20);
		}
		mem_free(x);
		mem_free(o);
	}
}

static void observer__nothing_but_zeros_is_empty(void **state)
{
	float zeros[5] = {0, -0.0f}, lo, hi, step;
	struct observer o;

	(void)state;
	observer_init(&o);
	assert_int_equal(observer_add(&o, zeros, 5), 0);
	assert_int_equal(observer_add(&o, zeros, 3), 0);
	assert_true(observer_is_empty(&o));
	for (int kind = 0; kind < OBSERVER_COUNT; kind++) {
		struct qrange q = qrange_unsigned(8, 0);

		assert_int_equal(observer_range(&o, (enum observer_kind)kind, q, 99, &lo, &hi), 0);
		assert_true(lo == 0 && hi == 0);
		quant_step_of_range(&q, lo, hi, &step);
		assert_true(step == 1 && q.zero == 0);
	}
	zeros[2] = 1e-3f;
	assert_int_equal(observer_add(&o, zeros, 5), 0);
	assert_false(observer_is_empty(&o));
}

static void observer__sqnr_agrees_with_quantizing_the_values(void **state)
{
	(void)state;
	for (int kind = 0; kind < SHAPES; kind++) {
		float *x = make_values((enum shape_of_data)kind, COUNT);
		struct observer *o = observe(x, COUNT, 1000);
		double squares = 0;

		for (size_t i = 0; i < COUNT; i++)
			squares += (double)x[i] * (double)x[i];
		for (int bits = 2; bits <= 8; bits++) {
			struct qrange q = range_for((enum shape_of_data)kind, bits);

			for (int method = 0; method < OBSERVER_COUNT; method++) {
				float lo, hi;
				double signal = squares / COUNT, want, got;

				assert_int_equal(observer_range(o, (enum observer_kind)method, q, 99.9, &lo, &hi), 0);
				want = 10 * log10(signal / true_error(x, COUNT, q, lo, hi));
				got = observer_sqnr(o, q, lo, hi);
				/* 8 bits: a step is 2 to 8 bins, so the spread within a bin is felt */
				assert_near(got, want, bits == 8 ? 0.4 : 0.15);
			}
		}
		mem_free(x);
		mem_free(o);
	}
}

static void observer__mse_range_is_near_the_best_of_all_ranges(void **state)
{
	(void)state;
	for (int kind = 0; kind < SHAPES; kind++) {
		float *x = make_values((enum shape_of_data)kind, COUNT / 4);
		struct observer *o = observe(x, COUNT / 4, 1000);

		for (int bits = 2; bits <= 8; bits += 2) {
			struct qrange q = range_for((enum shape_of_data)kind, bits);
			float lo, hi, min_lo, min_hi;
			double best = 1e300;

			assert_int_equal(observer_range(o, OBSERVE_MSE, q, 99.9, &lo, &hi), 0);
			assert_int_equal(observer_range(o, OBSERVE_MINMAX, q, 99.9, &min_lo, &min_hi), 0);
			for (int i = 1; i <= 150; i++)
				best = fmin(best,
				    true_error(x, COUNT / 4, q, min_lo * (float)i / 150, min_hi * (float)i / 150));
			assert_true(true_error(x, COUNT / 4, q, lo, hi) <= best * 1.03);
		}
		mem_free(x);
		mem_free(o);
	}
}

/* One far value on either side: the range gives it up without giving up the other side. */
static void observer__mse_moves_each_end_by_itself(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		const struct qrange q = qrange_unsigned(4, 0);
		const size_t n = 4001;
		float *x = mem_alloc(n, sizeof(*x)), lo, hi;
		struct observer *o;

		assert_non_null(x);
		for (size_t i = 0; i < n; i++)
			x[i] = (float)i / 4000 - (side ? 0.9f : 0.1f);
		x[5] = side ? 1 : -1;
		o = observe(x, n, n);
		assert_int_equal(observer_range(o, OBSERVE_MSE, q, 99, &lo, &hi), 0);
		assert_true(side ? lo < -0.8f && hi < 0.3f : lo > -0.3f && hi > 0.8f);
		mem_free(x);
		mem_free(o);
	}
}

/* Beside a value that is far enough away the last candidate, a 256th of the range, is the best. */
static void observer__mse_tries_ranges_down_to_a_256th(void **state)
{
	const size_t n = 10 * (size_t)COUNT; /* whose noise weighs more than that one value's */
	float *x = make_values(NORMAL, n), lo, hi;
	struct observer *o;

	(void)state;
	x[5] = 400;
	o = observe(x, n, n);
	assert_int_equal(observer_range(o, OBSERVE_MSE, qrange_signed(2), 99, &lo, &hi), 0);
	assert_true(hi == 400.0f / 256);
	mem_free(x);
	mem_free(o);
}

/* Where the step is 1 whatever the range, for its reciprocal would be none, nothing is gained by clipping. */
static void observer__of_equal_errors_the_widest_range_is_taken(void **state)
{
	float x[] = {1e-37f, 3e-38f, 2e-38f}, lo, hi;
	struct observer o;

	(void)state;
	observer_init(&o);
	assert_int_equal(observer_add(&o, x, 3), 0);
	assert_int_equal(observer_range(&o, OBSERVE_MSE, qrange_unsigned(8, 0), 99, &lo, &hi), 0);
	assert_true(lo == 0 && hi == x[0]);
}

/* The bins of |x| by the definition: 512 per octave, 24 octaves, those narrower than `least` merged. Returns how many.
 */
static int raw_edges(double range, double least, double *edge)
{
	int n = 0;

	edge[0] = 0;
	for (int k = 0; k <= 24 * 512; k++) {
		double to =
		    k == 0 ? range / 16777216 : range / pow(2, 24 - (k - 1) / 512) * (1 + ((k - 1) % 512 + 1) / 512.0);

		if (to - edge[n] >= least || k == 24 * 512)
			edge[++n] = to;
	}
	return n;
}

/* KL divergence of a clip at edge[last], bin by bin. */
static double raw_divergence(const double *edge, const double *count, int n, int last, int levels)
{
	double total = 0, inside = 0, step = edge[last] / levels, d = 0;

	for (int i = 0; i < n; i++) {
		total += count[i];
		inside += i < last ? count[i] : 0;
	}
	for (int from = 0, level = 1; level <= levels; level++) {
		double mass = 0, width = 0;
		int to = from;

		for (; to < last && (level == levels || (edge[to] + edge[to + 1]) / 2 < step * level); to++) {
			mass += count[to];
			width += count[to] > 0 ? edge[to + 1] - edge[to] : 0;
		}
		for (; from < to; from++) {
			double p = count[from] + (from == last - 1 ? total - inside : 0);
			double q = count[from] > 0 ? mass / inside * (edge[from + 1] - edge[from]) / width : 0;

			d += p > 0 ? p / total * log(p / total / q) : 0;
		}
	}
	return d;
}

/* No edge has less than the range that was found, beyond the tolerance, and no narrower one as little. */
static void observer__entropy_range_has_the_least_divergence(void **state)
{
	enum shape_of_data kinds[] = {NORMAL, HEAVY, RELU};
	double *edge = mem_alloc(24 * 512 + 2, sizeof(*edge)), *count = mem_alloc(24 * 512 + 2, sizeof(*count));
	const size_t n = COUNT / 8;

	(void)state;
	assert_true(edge && count);
	for (int k = 0; k < 6; k++) {
		float *x = make_values(kinds[k / 2], n), *sorted = mem_alloc(n, sizeof(*sorted)), lo, hi;
		struct observer *o = observe(x, n, 700);
		struct qrange q = range_for(kinds[k / 2], k % 2 ? 8 : 4);
		double best = 1e300, limit = fmax(-(double)o->min, (double)o->max), found = -1, middle = 0;
		double whole = observer_sqnr(o, q, 0, (float)limit);
		size_t nonzero = 0;

		assert_non_null(sorted);
		for (size_t i = 0; i < n; i++)
			if (x[i] != 0)
				sorted[nonzero++] = fabsf(x[i]);
		qsort(sorted, nonzero, sizeof(*sorted), compare_floats);
		int bins = raw_edges((double)o->range, 0, edge);
		for (int i = 0; i < bins && middle == 0; i++) /* the upper edge of the median's bin */
			middle = edge[i + 1] > (double)sorted[(nonzero - 1) / 2] ? edge[i + 1] : 0;
		bins = raw_edges((double)o->range, middle / (4 * (q.hi + 1)), edge);
		memset(count, 0, (size_t)bins * sizeof(*count));
		for (size_t i = 0, b = 0; i < nonzero; i++) {
			while ((double)sorted[i] >= edge[b + 1])
				b++;
			count[b]++;
		}
		assert_int_equal(observer_range(o, OBSERVE_ENTROPY, q, 99.9, &lo, &hi), 0);
		for (int last = bins; edge[last] > middle; last--) {
			if (count[last - 1] == 0)
				continue; /* a range ends with something */
			double d = raw_divergence(edge, count, bins, last, q.hi + 1), outside = 0;

			for (int i = last; i < bins; i++)
				outside += count[i];
			if (outside > 1e-3 * (double)nonzero && observer_sqnr(o, q, 0, (float)edge[last]) < whole - 6)
				break; /* no outliers any more */
			best = fmin(best, d);
			if (fabs(edge[last] - (double)hi) < 1e-6 * (double)hi)
				found = d;
		}
		assert_true(found >= 0 || hi == (float)limit);
		assert_true(found < best + 6e-4); /* candidates are 1/256 apart, ties 1e-4 */
		assert_true(lo == (q.is_signed ? -hi : 0));
		mem_free(x);
		mem_free(sorted);
		mem_free(o);
	}
	mem_free(edge);
	mem_free(count);
}

/* A value far away, however far, changes nothing; the same range scaled by a power of two is found exactly. */
static void observer__entropy_clips_rare_outliers_of_any_size(void **state)
{
	struct qrange forms[] = {qrange_signed(8), qrange_unsigned(8, 0), qrange_signed(4), qrange_unsigned(8, 0)};

	(void)state;
	for (int form = 0; form < 4; form++) {
		bool affine = form == 3;
		float *x = make_values(form == 1 ? RELU : NORMAL, COUNT), lo, hi, none;
		struct qrange q = forms[form];
		struct observer *o = observe(x, COUNT, 700);

		assert_int_equal(observer_range(o, OBSERVE_ENTROPY, q, 99.9, &lo, &none), 0);
		for (double far = 100; far < 1e6; far *= 10) {
			for (int many = 1; many <= 8; many *= 8) {
				for (int i = 0; i < many; i++)
					x[997 * i] = (float)(far * (1 + i / 50.0));
				mem_free(o);
				o = observe(x, COUNT, 700);
				assert_int_equal(observer_range(o, OBSERVE_ENTROPY, q, 99.9, &lo, &hi), 0);
				assert_near(hi, none, 0.25 * (double)none);
				assert_true(!affine || lo < -3);
			}
		}
		for (size_t i = 0; i < COUNT; i++)
			x[i] *= 0x1p-30f;
		mem_free(o);
		o = observe(x, COUNT, 700);
		none = hi;
		assert_int_equal(observer_range(o, OBSERVE_ENTROPY, q, 99.9, &lo, &hi), 0);
		assert_true(hi == none * 0x1p-30f);
		mem_free(x);
		mem_free(o);
	}
}

/* Beyond the octaves of the histogram the other values are in one bin, which ends the search: the narrowest range that
 * is known, which holds all of them. */
static void observer__entropy_ends_where_an_outlier_is_beyond_all_bins(void **state)
{
	struct qrange forms[] = {qrange_signed(8), qrange_unsigned(8, 0), qrange_unsigned(4, 0)};

	(void)state;
	alarm(60); /* a search without end fails too */
	for (int form = 0; form < 3; form++) {
		float *x = make_values(form == 1 ? RELU : NORMAL, COUNT), lo, hi;
		for (double far = 1e9; far < 1e35; far *= 1e5) {
			struct observer *o;

			x[3 * 997] = (float)far;
			o = observe(x, COUNT, 700);
			assert_int_equal(observer_range(o, OBSERVE_ENTROPY, forms[form], 99.9, &lo, &hi), 0);
			assert_true(hi == ldexpf(o->range, -OBSERVER_OCTAVES) && hi >= 8);
			assert_true(lo == (form == 0 ? -hi : form == 1 ? 0 : o->min));
			mem_free(o);
		}
		mem_free(x);
	}
	alarm(0);
}

/* Ranges that differ by a value in 100,000 are alike, and the narrowest of them is taken. */
static void observer__entropy_takes_the_narrowest_of_equals(void **state)
{
	const size_t n = 400000;
	float *x = mem_alloc(n, sizeof(*x)), lo, hi;
	struct observer *o;

	(void)state;
	assert_non_null(x);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)i / (float)n;
	x[7] = 1.05f;
	x[9] = 1.02f;
	o = observe(x, n, n);
	assert_int_equal(observer_range(o, OBSERVE_ENTROPY, qrange_unsigned(8, 0), 99.9, &lo, &hi), 0);
	assert_true(hi > 0.99f && hi < 1.01f);
	mem_free(x);
	mem_free(o);
}

static void observer__entropy_without_memory_is_an_error(void **state)
{
	float *x = make_values(NORMAL, COUNT / 8), lo, hi;
	struct observer *o = observe(x, COUNT / 8, 700);
	uint64_t n;

	(void)state;
	mem_fail_at(0);
	assert_int_equal(observer_range(o, OBSERVE_ENTROPY, qrange_signed(8), 99.9, &lo, &hi), 0);
	n = mem_count();
	assert_true(n > 5);
	for (uint64_t i = 1; i <= n; i++) {
		mem_fail_at(i);
		assert_int_equal(observer_range(o, OBSERVE_ENTROPY, qrange_signed(8), 99.9, &lo, &hi), ERR_NOMEM);
	}
	mem_fail_at(0);
	mem_free(x);
	mem_free(o);
}

/* One value in a hundred is no outlier, however far it is. */
static void observer__entropy_keeps_what_is_not_rare(void **state)
{
	float *x = make_values(NORMAL, COUNT), lo, hi;
	struct observer *o;

	(void)state;
	for (size_t i = 0; i < COUNT; i += 100)
		x[i] = 300 * (1 + (float)i / COUNT / 10);
	o = observe(x, COUNT, 700);
	assert_int_equal(observer_range(o, OBSERVE_ENTROPY, qrange_signed(8), 99.9, &lo, &hi), 0);
	assert_true(hi > 295);
	mem_free(x);
	mem_free(o);
}

static void observer__entropy_of_affine_values_stays_inside_and_keeps_zero(void **state)
{
	float *x = make_values(SHIFTED, COUNT);
	struct observer *o = observe(x, COUNT, 700);
	float lo, hi;

	(void)state;
	x[0] = 60; /* an outlier that clipping should drop */
	mem_free(o);
	o = observe(x, COUNT, 700);
	assert_int_equal(observer_range(o, OBSERVE_ENTROPY, qrange_unsigned(4, 0), 99.9, &lo, &hi), 0);
	assert_true(lo <= 0 && lo >= o->min && hi <= o->max && hi > 1.5f);
	assert_true(hi < 30);
	mem_free(x);
	mem_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(observer__doubling_equals_a_one_shot_histogram),
	    cmocka_unit_test(observer__bins_hold_the_values_they_claim),
	    cmocka_unit_test(observer__a_value_on_the_end_widens_the_range),
	    cmocka_unit_test(observer__leading_zeros_are_counted),
	    cmocka_unit_test(observer__nan_and_infinity_are_refused),
	    cmocka_unit_test(observer__tiny_and_huge_values_have_bins),
	    cmocka_unit_test(observer__minmax_and_moving_average_follow_their_definitions),
	    cmocka_unit_test(observer__percentile_is_within_a_bin_of_the_sorted_values),
	    cmocka_unit_test(observer__percentile_stays_where_it_is_while_an_outlier_goes),
	    cmocka_unit_test(observer__a_percentile_that_a_bin_completes_ends_there),
	    cmocka_unit_test(observer__mostly_zeros_have_a_range_that_holds_the_rest),
	    cmocka_unit_test(observer__nothing_but_zeros_is_empty),
	    cmocka_unit_test(observer__sqnr_agrees_with_quantizing_the_values),
	    cmocka_unit_test(observer__mse_range_is_near_the_best_of_all_ranges),
	    cmocka_unit_test(observer__mse_moves_each_end_by_itself),
	    cmocka_unit_test(observer__mse_tries_ranges_down_to_a_256th),
	    cmocka_unit_test(observer__of_equal_errors_the_widest_range_is_taken),
	    cmocka_unit_test(observer__entropy_range_has_the_least_divergence),
	    cmocka_unit_test(observer__entropy_clips_rare_outliers_of_any_size),
	    cmocka_unit_test(observer__entropy_ends_where_an_outlier_is_beyond_all_bins),
	    cmocka_unit_test(observer__entropy_takes_the_narrowest_of_equals),
	    cmocka_unit_test(observer__entropy_without_memory_is_an_error),
	    cmocka_unit_test(observer__entropy_keeps_what_is_not_rare),
	    cmocka_unit_test(observer__entropy_of_affine_values_stays_inside_and_keeps_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
