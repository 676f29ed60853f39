/* Pairs of texts as batches: tokens of both and where the second begins, the adapter in a checkpoint, and what meets a
 * model of the other kind. */
#include "input/rig.h"

#include "base/fs.h"
#include "data/prints.h"

enum { PAIRS = 4 };
static const char *const first[PAIRS] = {"the cat sat", "a dog", "the end of the story", "cat"};
static const char *const second[PAIRS] = {"the dog", "a cat sat on the mat", "story of the end", "a"};

/* Classes are of no interest. */
static struct dataset pairs_of(const char *const *a, const char *const *b, int n)
{
	struct dataset d = {.kind = SAMPLE_TEXT, .target = TARGET_CLASS, .classes = 2, .pairs = b != NULL};
	size_t bytes = 0;
	d.n[SPLIT_TRAIN] = n;
	d.split[SPLIT_TRAIN].text = mem_alloc(1024, 1);
	d.split[SPLIT_TRAIN].text_start = mem_alloc((size_t)n + 1, sizeof(int64_t));
	d.split[SPLIT_TRAIN].label = mem_alloc((size_t)n, sizeof(int32_t));
	for (int i = 0; i < n; i++) {
		char *at = d.split[SPLIT_TRAIN].text + bytes;
		bytes += (size_t)sprintf(at, "%s", a[i]) + 1;
		if (b)
			bytes += (size_t)sprintf(d.split[SPLIT_TRAIN].text + bytes, "%s", b[i]) + 1;
		d.split[SPLIT_TRAIN].text_start[i + 1] = (int64_t)bytes;
	}
	return d;
}

static int adapter_of(struct adapter *a, const struct dataset *d, const char *text, const char **key)
{
	struct input_options o = {0};
	const struct data_options none = {0};
	parse(input_option_table, &o, text);
	int rc = adapter_make(a, &o, d, &none, NULL, key);
	option_clear(input_option_table, &o);
	return rc;
}

static void pairs__are_packed_with_the_place_of_the_second_text(void **state)
{
	static const uint32_t index[] = {3, 0};
	struct dataset d = pairs_of(first, second, PAIRS);
	struct adapter a;
	struct encoding e;
	struct feed f = {0};
	(void)state;
	assert_ok(adapter_of(&a, &d, "{vocabulary_size: 100, min_count: 1, longest: 11}", NULL));
	assert_true(a.spec.pairs);
	assert_ok(encoding_open(&e, &a, &d, SPLIT_TRAIN));
	assert_int_equal(e.truncated, 1); /* 2 + 6 tokens are as many as are read, 5 + 4 are not */
	const struct build_shape shape = encoding_shape(&e, index, 2, 3);
	assert_int_equal(encoding_bytes(&e, &shape), (shape.tokens + 4 + 3) * 4);
	assert_ok(encoding_fill(&e, index, 2, &shape, NULL, &f));
	assert_int_equal(f.n, 3);
	const int32_t *ids = feed_find(&f, "ids")->data, *starts = feed_find(&f, "starts")->data,
		      *at = feed_find(&f, "second")->data;
	const struct vocabulary *v = &a.coder->vocabulary;
	const int32_t cls = v->special[VOCABULARY_CLS], sep = v->special[VOCABULARY_SEP];
#define ID(word) vocabulary_id(v, word, strlen(word))
	const int32_t want[] = {
	    cls, ID("cat"), sep, ID("a"), sep, cls, ID("the"), ID("cat"), ID("sat"), sep, ID("the"), ID("dog"), sep};
	assert_memory_equal(ids, want, sizeof(want));
	assert_int_equal(feed_find(&f, "second")->count, 3);
	assert_int_equal(starts[1] * 100 + starts[2], 513);
	assert_int_equal(at[0] * 100 + at[1] * 10 + at[2], 350);
	feed_clear(&f);
	encoding_close(&e);
	adapter_clear(&a);
	dataset_close(&d);
}

static void pairs__that_are_changed_keep_their_places(void **state)
{
	static const uint32_t index[] = {0, 1, 2, 3};
	const struct augment_options o = {.token_drop = 0.5};
	const struct augmentation g = {.options = &o, .seed = 1, .stage = "s", .step = 3};
	struct dataset d = pairs_of(first, second, PAIRS);
	struct adapter a;
	struct encoding e;
	struct feed f = {0};
	bool moved = false;
	(void)state;
	assert_ok(adapter_of(&a, &d, "{vocabulary_size: 100, min_count: 1}", NULL));
	assert_ok(encoding_open(&e, &a, &d, SPLIT_TRAIN));
	const struct build_shape shape = encoding_shape(&e, index, PAIRS, PAIRS);
	assert_ok(encoding_fill(&e, index, PAIRS, &shape, &g, &f));
	const int32_t *ids = feed_find(&f, "ids")->data, *starts = feed_find(&f, "starts")->data,
		      *at = feed_find(&f, "second")->data;
	for (int i = 0; i < PAIRS; i++) {
		assert_int_equal(ids[starts[i] + at[i] - 1], a.coder->vocabulary.special[VOCABULARY_SEP]);
		assert_in_range(starts[i] + at[i], starts[i] + 3, starts[i + 1] - 2);
		moved |= at[i] != e.second[i];
	}
	assert_true(moved);
	feed_clear(&f);
	encoding_close(&e);
	adapter_clear(&a);
	dataset_close(&d);
}

static void pairs__go_through_a_checkpoint(void **state)
{
	struct dataset d = pairs_of(first, second, PAIRS);
	char dir[] = "/tmp/pipeline-pairs-XXXXXX", hex[HASH_HEX], other[HASH_HEX], text[160];
	struct adapter a, back;
	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_ok(adapter_of(&a, &d, "{vocabulary_size: 100, min_count: 1}", NULL));
	assert_ok(adapter_save(&a, dir));
	cJSON *json = adapter_to_json(&a);
	assert_ok(adapter_from_json(&back, json, dir));
	assert_true(back.spec.pairs && input_equal(&a.spec, &back.spec));
	back.kind->describe(&back, text);
	assert_non_null(strstr(text, "pairs of texts of up to 128 tokens"));
	assert_ok(adapter_key(&a, hex));
	back.spec.pairs = false;
	assert_ok(adapter_key(&back, other));
	assert_string_not_equal(hex, other);
	adapter_clear(&back);
	cJSON_ReplaceItemInObject(json, "longest", cJSON_CreateNumber(3));
	assert_error(
	    adapter_from_json(&back, json, dir), ERR_CHECKPOINT, "input.longest must be a whole number from 5");
	cJSON_ReplaceItemInObject(json, "pairs", cJSON_CreateNumber(1));
	assert_error(adapter_from_json(&back, json, dir), ERR_CHECKPOINT, "input.pairs must be true or false");
	cJSON_Delete(json);
	adapter_clear(&a);
	dataset_close(&d);
	assert_ok(fs_remove_tree(dir));
}

static void pairs__and_single_texts_do_not_meet(void **state)
{
	struct dataset d = pairs_of(first, second, PAIRS), single = pairs_of(first, NULL, PAIRS);
	struct adapter a, b;
	const char *key;
	(void)state;
	assert_ok(adapter_of(&a, &d, "{vocabulary_size: 100, min_count: 1}", NULL));
	assert_ok(adapter_of(&b, &single, "{vocabulary_size: 100, min_count: 1}", NULL));
	assert_false(b.spec.pairs);
	assert_error(adapter_check_data(&a, &single, "it"), ERR_DATA,
	    "this is a single text; the option text_pair of the data (--pair-column) names the column of the second "
	    "text");
	assert_error(adapter_check_data(&b, &d, "it"), ERR_DATA,
	    "this is a pair of texts; the option text of the data, alone, names the column of a single text");
	adapter_clear(&a);
	assert_error(adapter_of(&a, &d, "{longest: 4}", &key), ERR_CONFIG, "pairs of texts need at least 5");
	assert_string_equal(key, "longest");
	adapter_clear(&b);
	dataset_close(&d);
	dataset_close(&single);
}

/* A pair from outside is two texts with a NUL byte between them, one and no more. */
static void pairs__are_read_as_two_texts(void **state)
{
	struct dataset d = pairs_of(first, second, PAIRS);
	struct adapter a;
	struct sample_view v;
	void *held;
	unsigned changes;
	uint64_t print, same;
	(void)state;
	assert_ok(adapter_of(&a, &d, "{vocabulary_size: 100, min_count: 1}", NULL));
	assert_ok(a.kind->read(&a, "x", "the cat sat\0the dog", 19, &held, &v, &changes));
	assert_string_equal(v.text, "the cat sat");
	assert_string_equal(v.pair, "the dog");
	assert_int_equal(v.pair_bytes, 7);
	assert_ok(print_sample(&v, &print));
	assert_ok(dataset_sample(&d, SPLIT_TRAIN, 0, &v));
	assert_ok(print_sample(&v, &same));
	assert_true(print == same);
	assert_ok(dataset_sample(&d, SPLIT_TRAIN, 0, &v));
	v.pair_bytes--; /* another second text */
	assert_ok(print_sample(&v, &same));
	assert_true(print != same);
	mem_free(held);
	assert_error(a.kind->read(&a, "x", "a\0b\0c", 5, &held, &v, &changes), ERR_DATA, "x: byte 4 is NUL");
	assert_error(
	    a.kind->read(&a, "x", "a\0b\xff", 4, &held, &v, &changes), ERR_DATA, "x: byte 4, 0xff, is not UTF-8");
	assert_ok(a.kind->read(&a, "x", "a", 1, &held, &v, &changes));
	assert_error(a.kind->check(&a, &v, "it"), ERR_DATA, "this is a single text");
	mem_free(held);
	adapter_clear(&a);
	dataset_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pairs__are_packed_with_the_place_of_the_second_text),
	    cmocka_unit_test(pairs__that_are_changed_keep_their_places),
	    cmocka_unit_test(pairs__go_through_a_checkpoint),
	    cmocka_unit_test(pairs__and_single_texts_do_not_meet),
	    cmocka_unit_test(pairs__are_read_as_two_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
