/* Cutting, seen on texts: by distinct content, in the shares that were asked for. */
#include "data/fixture.h"

#define LABELS 4

/* A table of rows "t<number>,..." whose labels follow from the number. */
struct table {
	char *text;
	size_t n;
};

static void add(struct table *t, const char *row)
{
	size_t n = strlen(row);

	t->text = realloc(t->text, t->n + n + 1);
	memcpy(t->text + t->n, row, n + 1);
	t->n += n;
}

/* Half are of class A, 3 of 10 of B, 2 of 10 of C. */
static char class_of(int i)
{
	return "AAAAABBBCC"[i * 7 % 10];
}

static void put_classes(const char *name, int first, int last, bool backwards)
{
	struct table t = {0};
	char row[64];

	add(&t, "text,label\n");
	for (int k = first; k < last; k++) {
		int i = backwards ? last - 1 - (k - first) : k;

		snprintf(row, sizeof(row), "t%d,%c\n", i, class_of(i));
		add(&t, row);
	}
	put(name, t.text, t.n);
	free(t.text);
}

/* Labels of 40, 20, 8 and 2 percent, drawn apart from each other. */
static void put_sets(const char *name, int n)
{
	static const float p[LABELS] = {0.4f, 0.2f, 0.08f, 0.02f};
	struct table t = {0};
	char row[64];

	add(&t, "text,w,x,y,z\n");
	for (int i = 0; i < n; i++) {
		struct rng_words w = rng_draw(rng_make(5, "", RNG_BENCH, ""), 0, (uint64_t)i, 0);
		int set[LABELS];

		for (int k = 0; k < LABELS; k++)
			set[k] = rng_uniform(w.w[k]) < p[k];
		snprintf(row, sizeof(row), "t%d,%d,%d,%d,%d\n", i, set[0], set[1], set[2], set[3]);
		add(&t, row);
	}
	put(name, t.text, t.n);
	free(t.text);
}

static struct dataset must_open(const char *yaml_text, uint64_t seed)
{
	struct data_options o = options(yaml_text);
	struct dataset d;

	if (dataset_open(&d, &o, NULL, seed, true) != 0)
		fail_msg("%s", err_message());
	option_clear(data_option_table, &o);
	return d;
}

static const char *text_at(const struct dataset *d, int s, int64_t i)
{
	return d->split[s].text + d->split[s].text_start[i];
}

#define NUMBERS 20000

/* Which split holds text "t<i>", -1: none. */
static void find_splits(const struct dataset *d, int split[NUMBERS])
{
	for (int i = 0; i < NUMBERS; i++)
		split[i] = -1;
	for (int s = 0; s < SPLIT_COUNT; s++) {
		for (int64_t i = 0; i < d->n[s]; i++) {
			int number = atoi(text_at(d, s, i) + 1);

			assert_true(split[number] < 0 || split[number] == s);
			split[number] = s;
		}
	}
}

static int64_t count_class(const struct dataset *d, int s, int label)
{
	int64_t n = 0;

	for (int64_t i = 0; i < d->n[s]; i++)
		n += d->split[s].label[i] == label;
	return n;
}

static int64_t count_label(const struct dataset *d, int s, int label)
{
	int64_t n = 0;

	for (int64_t i = 0; i < d->n[s]; i++)
		n += d->split[s].label_set[i * d->classes + label];
	return n;
}

static void classes__come_near_their_shares(void **state)
{
	static const int64_t all[3] = {500, 300, 200};
	int64_t test = 0;
	struct dataset d;

	(void)state;
	put_classes("t.csv", 0, 1000, false);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		d = must_open("{source: csv, path: DIR/t.csv, test_fraction: 0.15, val_fraction: 0.1}", seed);
		for (int c = 0; c < 3; c++) {
			assert_true(likely(count_class(&d, SPLIT_TEST, c), all[c], 0.15));
			assert_true(likely(count_class(&d, SPLIT_VAL, c), all[c], 0.1));
			assert_true(likely(count_class(&d, SPLIT_TRAIN, c), all[c], 0.75));
		}
		test += d.n[SPLIT_TEST];
		dataset_close(&d);
	}
	assert_true(likely(test, 20 * 1000, 0.15));
}

static void splits__are_what_the_ranks_of_the_texts_say(void **state)
{
	struct dataset d;

	(void)state;
	put_classes("t.csv", 0, 1000, false);
	d = must_open("{source: csv, path: DIR/t.csv, test_fraction: 0.15, val_fraction: 0.1}", 9);
	for (int s = 0; s < SPLIT_COUNT; s++) {
		for (int64_t i = 0; i < d.n[s]; i++) {
			struct sample_view v;

			assert_int_equal(dataset_sample(&d, (enum split)s, i, &v), 0);
			assert_int_equal(s, split_of(rank_of(&v, 9, "texts"), 0.15, 0.1));
		}
	}
	dataset_close(&d);
}

/* Of each class there is one text at least in each split, however few there are. */
static void classes__of_three_texts_are_in_every_split(void **state)
{
	(void)state;
	put_text("t.csv", "text,label\na1,A\na2,A\na3,A\nb1,B\nb2,B\nb3,B\nb4,B\n");
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct dataset d = must_open("{source: csv, path: DIR/t.csv, test_fraction: 0.5}", seed);

		for (int s = 0; s < SPLIT_COUNT; s++) {
			assert_int_equal(count_class(&d, s, 0), 1);
			assert_in_range(count_class(&d, s, 1), 1, 2);
		}
		dataset_close(&d);
	}
}

/* A text has the class that most of its rows have, wherever that stands among its labels. */
static void texts__are_of_the_class_that_most_rows_say(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv", "text,label\na1,A\na2,A\nx,A\nx,B\nx,A\nb1,B\nb2,B\nb3,B\n");
	d = must_open("{source: csv, path: DIR/t.csv}", 1);
	assert_int_equal(d.contradicting_texts, 1);
	dataset_close(&d);
	put_text("t.csv", "text,label\na1,A\na2,A\na3,A\nx,B\nx,A\nx,B\nb1,B\nb2,B\n");
	d = must_open("{source: csv, path: DIR/t.csv}", 1);
	assert_int_equal(d.contradicting_texts, 1);
	dataset_close(&d);
}

static void texts__are_never_in_two_splits(void **state)
{
	struct table t = {0};
	struct dataset d;
	char row[64];
	int split[NUMBERS];

	(void)state;
	add(&t, "text,label\n");
	/* Each text some times, every fifth with more than one label. */
	for (int i = 0; i < 2000; i++) {
		int number = i * i % 701;

		snprintf(row, sizeof(row), "t%d,%c\n", number, class_of(number % 5 ? number : i));
		add(&t, row);
	}
	put("t.csv", t.text, t.n);
	free(t.text);
	d = must_open("{source: csv, path: DIR/t.csv}", 3);
	find_splits(&d, split); /* asserts it */
	assert_int_equal(d.n[0] + d.n[1] + d.n[2], 2000);
	assert_true(d.contradicting_texts > 10 && d.repeated_texts > 100);
	assert_int_equal(d.duplicates_train_val + d.duplicates_train_test + d.duplicates_val_test, 0);
	dataset_close(&d);
	d = must_open("{source: csv, path: DIR/t.csv, folds: 4, fold: 2, fraction: 0.5}", 3);
	find_splits(&d, split);
	dataset_close(&d);
}

static void splits__do_not_know_the_order_of_rows(void **state)
{
	struct dataset d;
	int a[NUMBERS], b[NUMBERS], c[NUMBERS];

	(void)state;
	put_classes("t.csv", 0, 1000, false);
	d = must_open("{source: csv, path: DIR/t.csv}", 1);
	find_splits(&d, a);
	dataset_close(&d);
	put_classes("other.csv", 0, 1000, true);
	d = must_open("{source: csv, path: DIR/other.csv}", 1);
	find_splits(&d, b);
	dataset_close(&d);
	assert_memory_equal(a, b, sizeof(a));
	d = must_open("{source: csv, path: DIR/other.csv}", 2);
	find_splits(&d, c);
	dataset_close(&d);
	assert_memory_not_equal(a, c, sizeof(a));
}

/* Rows that are added or taken away move no text. */
static void splits__stay_when_rows_come_and_go(void **state)
{
	static const struct {
		int first, last;
	} other[] = {{0, 1001}, {0, 1100}, {0, 2000}, {1, 1000}, {100, 1000}, {100, 1100}};
	struct dataset d;
	int a[NUMBERS], b[NUMBERS];

	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		put_classes("t.csv", 0, 1000, false);
		d = must_open("{source: csv, path: DIR/t.csv}", seed);
		find_splits(&d, a);
		dataset_close(&d);
		for (size_t k = 0; k < sizeof(other) / sizeof(other[0]); k++) {
			put_classes("t.csv", other[k].first, other[k].last, true);
			d = must_open("{source: csv, path: DIR/t.csv}", seed);
			find_splits(&d, b);
			dataset_close(&d);
			for (int i = other[k].first; i < 1000; i++)
				assert_int_equal(a[i], b[i]);
		}
	}
}

static void splits__test_part_does_not_move_with_the_others(void **state)
{
	struct dataset a, b;

	(void)state;
	put_classes("t.csv", 0, 1000, false);
	a = must_open("{source: csv, path: DIR/t.csv}", 1);
	b = must_open("{source: csv, path: DIR/t.csv, val_fraction: 0.3, fraction: 0.2}", 1);
	assert_string_equal(a.hash[SPLIT_TEST], b.hash[SPLIT_TEST]);
	assert_string_not_equal(a.hash[SPLIT_VAL], b.hash[SPLIT_VAL]);
	dataset_close(&a);
	dataset_close(&b);
}

static void fraction__thins_the_train_split_by_class(void **state)
{
	static const char *const yaml[] = {"{source: csv, path: DIR/t.csv, fraction: 1}",
	    "{source: csv, path: DIR/t.csv, fraction: 0.5}", "{source: csv, path: DIR/t.csv, fraction: 0.1}",
	    "{source: csv, path: DIR/t.csv, fraction: 0.0001}"};
	static const double fraction[] = {1, 0.5, 0.1, 0};
	int64_t most[3] = {0};
	struct dataset d;
	int before[NUMBERS], now[NUMBERS];

	(void)state;
	put_classes("t.csv", 0, 1000, false);
	for (int k = 0; k < 4; k++) {
		d = must_open(yaml[k], 1);
		for (int c = 0; c < 3; c++) {
			int64_t n = count_class(&d, SPLIT_TRAIN, c);

			most[c] = k == 0 ? n : most[c];
			assert_true(k == 3 ? n == 1 : likely(n, most[c], fraction[k]));
		}
		find_splits(&d, now);
		dataset_close(&d);
		for (int i = 0; i < 1000 && k > 0; i++) {
			if (now[i] >= 0)
				assert_int_equal(now[i], before[i]); /* the smaller part is in the larger */
			else
				assert_true(before[i] == SPLIT_TRAIN || before[i] < 0);
		}
		memcpy(before, now, sizeof(now));
	}
}

static void folds__share_out_every_text_once(void **state)
{
	static const int64_t all[3] = {500, 300, 200};
	struct dataset d;
	int times[1000] = {0}, split[NUMBERS];
	char yaml[128];

	(void)state;
	put_classes("t.csv", 0, 1000, false);
	for (int f = 0; f < 7; f++) {
		snprintf(yaml, sizeof(yaml), "{source: csv, path: DIR/t.csv, folds: 7, fold: %d}", f);
		d = must_open(yaml, 1);
		for (int c = 0; c < 3; c++) {
			assert_in_range(count_class(&d, SPLIT_TEST, c), all[c] / 7, all[c] / 7 + 1);
			assert_true(likely(count_class(&d, SPLIT_VAL, c), all[c] * 6 / 7, 0.1));
		}
		assert_in_range(d.n[SPLIT_TEST], 142, 143);
		find_splits(&d, split);
		for (int i = 0; i < 1000; i++)
			times[i] += split[i] == SPLIT_TEST;
		dataset_close(&d);
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(times[i], 1);
}

static void too_few__names_class_and_count(void **state)
{
	(void)state;
	put_text("t.csv", "text,label\na1,A\na2,A\na3,A\nb1,B\nb2,B\nb1,B\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA,
	    "class 'B' has 2 distinct texts: too few to cut off 2 for validation and test");
	must_fail(
	    "{source: csv, path: DIR/t.csv, folds: 3}", ERR_DATA, "class 'B' has 2 distinct texts: too few for 3");
	put_text("t.csv", "text,label\na1,A\na2,A\na3,A\nb1,B\nb2,B\nb3,B\n");
	must_fail("{source: csv, path: DIR/t.csv, val_fraction: 0}", ERR_CONFIG, "names no validation split");
	put_text("t.csv", "text,x,y\na,1,0\nb,0,1\n");
	must_fail(
	    "{source: csv, path: DIR/t.csv, labels: [x, y], val_fraction: 0}", ERR_CONFIG, "names no validation split");
	must_fail("{source: csv, path: DIR/t.csv, labels: [x, y], test_fraction: 0.5, val_fraction: 0.5}", ERR_CONFIG,
	    "test_fraction 0.5 and val_fraction 0.5 are the whole");
}

static void sets__come_in_shares_of_every_label(void **state)
{
	static const double share[SPLIT_COUNT] = {0.7, 0.1, 0.2};
	struct dataset d;

	(void)state;
	put_sets("t.csv", 3000);
	for (uint64_t seed = 1; seed <= 5; seed++) {
		int64_t n[SPLIT_COUNT];

		d = must_open("{source: csv, path: DIR/t.csv, labels: [w, x, y, z]}", seed);
		memcpy(n, d.n, sizeof(n));
		for (int s = 0; s < SPLIT_COUNT; s++)
			assert_in_range(n[s], (int)(3000 * share[s]) - 2, (int)(3000 * share[s]) + 2);
		for (int k = 0; k < LABELS; k++) {
			int64_t all = 0;

			for (int s = 0; s < SPLIT_COUNT; s++)
				all += count_label(&d, s, k);
			for (int s = 0; s < SPLIT_COUNT; s++) {
				double off = (double)count_label(&d, s, k) - (double)all * share[s];

				assert_true(off >= -2 && off <= 2);
			}
		}
		dataset_close(&d);
	}
}

static void sets__come_in_folds(void **state)
{
	int64_t all[LABELS] = {0}, in[5][LABELS];
	int times[3000] = {0}, split[NUMBERS];
	char yaml[128];

	(void)state;
	put_sets("t.csv", 3000);
	for (int f = 0; f < 5; f++) {
		snprintf(
		    yaml, sizeof(yaml), "{source: csv, path: DIR/t.csv, labels: [w, x, y, z], folds: 5, fold: %d}", f);
		struct dataset d = must_open(yaml, 1);

		assert_in_range(d.n[SPLIT_TEST], 598, 602);
		for (int k = 0; k < LABELS; k++)
			all[k] += in[f][k] = count_label(&d, SPLIT_TEST, k);
		find_splits(&d, split);
		for (int i = 0; i < 3000; i++)
			times[i] += split[i] == SPLIT_TEST;
		dataset_close(&d);
	}
	for (int i = 0; i < 3000; i++)
		assert_int_equal(times[i], 1);
	for (int f = 0; f < 5; f++)
		for (int k = 0; k < LABELS; k++)
			assert_in_range(in[f][k], all[k] / 5 - 2, all[k] / 5 + 3);
}

static void sets__stay_when_rows_come(void **state)
{
	struct dataset d;
	int a[NUMBERS], b[NUMBERS];

	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		int moved = 0;

		put_sets("t.csv", 3000);
		d = must_open("{source: csv, path: DIR/t.csv, labels: [w, x, y, z]}", seed);
		find_splits(&d, a);
		dataset_close(&d);
		put_sets("t.csv", 3100);
		d = must_open("{source: csv, path: DIR/t.csv, labels: [w, x, y, z]}", seed);
		find_splits(&d, b);
		dataset_close(&d);
		for (int i = 0; i < 3000; i++) {
			moved += a[i] != b[i];
			assert_false(a[i] == SPLIT_TRAIN && b[i] == SPLIT_TEST);
		}
		assert_true(moved <= 40);
	}
}

static void sets__a_label_that_is_rare_stays_for_training(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv", "text,x,y\na,1,0\nb,1,0\nc,1,0\nd,1,0\ne,1,1\nf,0,0\ng,0,0\nh,0,0\n");
	for (uint64_t seed = 1; seed <= 20; seed++) {
		d = must_open("{source: csv, path: DIR/t.csv, labels: [x, y]}", seed);
		assert_int_equal(count_label(&d, SPLIT_TRAIN, 1), 1);
		dataset_close(&d);
	}
	/* The same where only one of the rows of a text has it, which need not be the last. */
	put_text("t.csv", "text,x,y\ne,0,1\ne,1,0\na,1,0\nb,1,0\nc,1,0\nd,1,0\nf,0,0\ng,0,0\nh,0,0\n");
	for (uint64_t seed = 1; seed <= 20; seed++) {
		d = must_open("{source: csv, path: DIR/t.csv, labels: [x, y]}", seed);
		assert_int_equal(count_label(&d, SPLIT_TRAIN, 1), 1);
		assert_int_equal(d.contradicting_texts, 1);
		dataset_close(&d);
	}
}

static void sets__a_small_share_is_one_text(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv", "text,x\na,1\nb,1\nc,1\nd,1\ne,1\nf,0\ng,0\nh,0\n");
	d = must_open("{source: csv, path: DIR/t.csv, labels: [x], val_fraction: 0.01, test_fraction: 0.01}", 1);
	assert_int_equal(count_label(&d, SPLIT_VAL, 0), 1);
	assert_int_equal(count_label(&d, SPLIT_TEST, 0), 1);
	dataset_close(&d);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(classes__come_near_their_shares),
	    TEST(splits__are_what_the_ranks_of_the_texts_say),
	    TEST(classes__of_three_texts_are_in_every_split),
	    TEST(texts__are_of_the_class_that_most_rows_say),
	    TEST(texts__are_never_in_two_splits),
	    TEST(splits__do_not_know_the_order_of_rows),
	    TEST(splits__stay_when_rows_come_and_go),
	    TEST(splits__test_part_does_not_move_with_the_others),
	    TEST(fraction__thins_the_train_split_by_class),
	    TEST(folds__share_out_every_text_once),
	    TEST(too_few__names_class_and_count),
	    TEST(sets__come_in_shares_of_every_label),
	    TEST(sets__come_in_folds),
	    TEST(sets__stay_when_rows_come),
	    TEST(sets__a_label_that_is_rare_stays_for_training),
	    TEST(sets__a_small_share_is_one_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
