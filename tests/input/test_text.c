/* Texts as packed ids: the vocabulary and its file, batches and their capacities, and the adapter in a checkpoint. */
#include "input/texts.h"

#include "base/fs.h"
#include "data/sampler.h"
#include "text/vocabulary.h"

static const char *const train[] = {"the cat sat", "the dog sat on the mat", "a cat", "the end of the story", "dog",
    "the cat and the dog and the mat and the cat and the dog", NULL};
static const char *const val[] = {"a zebra sat", "", "the cat", NULL};

static char dir[256];

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s/pipeline-input-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	return !mkdtemp(dir);
}

static int tear_down(void **state)
{
	(void)state;
	return fs_remove_tree(dir);
}

static const char *at(const char *name)
{
	static char path[2][512];
	static int k;
	k = !k;
	snprintf(path[k], sizeof(path[k]), "%s/%s", dir, name);
	return path[k];
}

struct world {
	struct dataset data;
	struct adapter adapter;
	struct encoding e;
	struct feed feed;
};

static void open_world(struct world *w, const char *options)
{
	*w = (struct world){.data = texts_of(TARGET_CLASS, 2, train)};
	texts_add(&w->data, SPLIT_VAL, val);
	assert_ok(texts_adapter(&w->adapter, &w->data, options, NULL));
	assert_ok(encoding_open(&w->e, &w->adapter, &w->data, SPLIT_TRAIN));
}

static void close_world(struct world *w)
{
	feed_clear(&w->feed);
	encoding_close(&w->e);
	adapter_clear(&w->adapter);
	dataset_close(&w->data);
}

static int32_t id_of(const struct world *w, const char *token)
{
	return vocabulary_id(&w->adapter.coder->vocabulary, token, strlen(token));
}

static void text__the_vocabulary_is_learned_from_the_training_texts(void **state)
{
	struct world w;
	(void)state;
	open_world(&w, "{vocabulary_size: 100, min_count: 2}");
	assert_true(id_of(&w, "the") > 0 && id_of(&w, "cat") > 0 && id_of(&w, "sat") > 0);
	assert_int_equal(id_of(&w, "story"), -1); /* once */
	assert_int_equal(id_of(&w, "zebra"), -1); /* of the validation split */
	assert_int_equal(id_of(&w, "z"), -1);
	assert_int_equal(w.adapter.spec.vocabulary, w.adapter.coder->vocabulary.tokens);
	assert_true(w.adapter.spec.vocabulary <= 100);
	assert_int_equal(w.adapter.spec.kind, INPUT_TEXT);
	assert_int_equal(w.adapter.spec.longest, 128);
	close_world(&w);
}

static void text__a_batch_is_packed_ids_and_starts(void **state)
{
	struct world w;
	const uint32_t index[] = {2, 0};
	(void)state;
	open_world(&w, "{}");
	const struct build_shape shape = encoding_shape(&w.e, index, 2, 3);
	assert_int_equal(shape.sequences, 3);
	assert_int_equal(shape.longest, 128);
	assert_ok(encoding_fill(&w.e, index, 2, &shape, NULL, &w.feed));
	const struct feed_tensor *ids = feed_find(&w.feed, "ids"), *starts = feed_find(&w.feed, "starts");
	const int32_t *id = ids->data, *start = starts->data;
	const int32_t cls = id_of(&w, "[CLS]"), sep = id_of(&w, "[SEP]");
	assert_int_equal(w.feed.n, 2);
	assert_int_equal(ids->dtype, DT_S32);
	assert_int_equal(starts->dtype, DT_S32);
	assert_int_equal(ids->count, shape.tokens);
	assert_int_equal(starts->count, 4);
	const int32_t want[] = {
	    cls, id_of(&w, "a"), id_of(&w, "cat"), sep, cls, id_of(&w, "the"), id_of(&w, "cat"), id_of(&w, "sat"), sep};
	assert_memory_equal(id, want, sizeof(want));
	assert_int_equal(
	    start[0] * 1000 + start[1] * 100 + start[2] * 10 + start[3], 499); /* 0 4 9 9: the last is empty */
	for (int64_t i = 9; i < shape.tokens; i++)
		assert_int_equal(id[i], -1); /* slack */
	close_world(&w);
}

/* The rungs are few, and no batch is larger than its own. */
static void text__capacities_are_on_the_ladder_and_large_enough(void **state)
{
	struct world w;
	(void)state;
	open_world(&w, "{}");
	for (uint32_t i = 0; i < 6; i++)
		for (int count = 1; count <= 40; count++) {
			uint32_t index[40];
			int64_t tokens = 0;
			for (int k = 0; k < count; k++) {
				index[k] = (i + (uint32_t)(k * k)) % 6;
				tokens += w.e.start[index[k] + 1] - w.e.start[index[k]];
			}
			struct build_shape s = encoding_shape(&w.e, index, count, 40);
			assert_int_equal(s.tokens, shape_capacity(tokens));
			assert_int_equal(s.tokens, shape_capacity(s.tokens));
			assert_true(s.tokens >= tokens && s.tokens <= tokens + tokens / 16 + 4);
			assert_ok(encoding_fill(&w.e, index, count, &s, NULL, &w.feed));
		}
	close_world(&w);
}

static void text__a_capacity_that_is_too_small_is_an_error(void **state)
{
	struct world w;
	(void)state;
	open_world(&w, "{}");
	const struct build_shape small = {.sequences = 2, .tokens = 8, .longest = 128};
	assert_error(encoding_fill(&w.e, (uint32_t[]){2, 0}, 2, &small, NULL, &w.feed), ERR_FAIL, "more than 8 tokens");
	assert_error(encoding_fill(&w.e, (uint32_t[]){0, 1, 2}, 3, &small, NULL, &w.feed), ERR_FAIL, "3 samples for");
	assert_error(encoding_fill(&w.e, (uint32_t[]){6}, 1, &small, NULL, &w.feed), ERR_FAIL, "sample 6 of 6");
	close_world(&w);
}

/* A training batch runs on into the next permutation and may hold the longest text twice. */
static void text__the_largest_shape_holds_any_training_batch(void **state)
{
	struct world w;
	(void)state;
	open_world(&w, "{}");
	for (int batch = 1; batch <= 20; batch++) {
		const int64_t most = encoding_largest(&w.e, batch).tokens;
		for (uint64_t seed = 0; seed < 20; seed++) {
			struct sampler s;
			assert_ok(sampler_init(&s, seed, "train", w.e.n));
			for (int step = 0; step < 30; step++) {
				uint32_t index[20];
				assert_ok(sampler_take(&s, (int64_t)step * batch, batch, index));
				if (encoding_shape(&w.e, index, batch, batch).tokens > most)
					fail_msg("batches of %d: more than %d tokens", batch, (int)most);
			}
			sampler_clear(&s);
		}
	}
	close_world(&w);
}

/* By looking at them: neither more than any of them needs nor less. Too many to look at are bounded instead. */
static void text__the_largest_batch_of_an_order_is_found(void **state)
{
	enum { STEPS = 30 };
	struct world w;
	int smaller = 0;
	(void)state;
	open_world(&w, "{}");
	for (int batch = 1; batch <= 20; batch++)
		for (uint64_t seed = 0; seed < 5; seed++) {
			const struct build_shape any = encoding_largest(&w.e, batch);
			struct build_shape found;
			struct sampler s;
			int64_t most = 0;
			assert_ok(sampler_init(&s, seed, "train", w.e.n));
			for (int step = 0; step < STEPS; step++) {
				uint32_t index[20];
				assert_ok(sampler_take(&s, (int64_t)step * batch, batch, index));
				const int64_t tokens = encoding_shape(&w.e, index, batch, batch).tokens;
				most = tokens > most ? tokens : most;
			}
			assert_ok(encoding_largest_of(&w.e, &s, STEPS, batch, &found));
			assert_int_equal(found.tokens, most);
			assert_int_equal(found.sequences, batch);
			assert_int_equal(found.longest, any.longest);
			smaller += most < any.tokens;
			assert_ok(encoding_largest_of(&w.e, &s, INT64_C(1) << 40, batch, &found));
			assert_int_equal(found.tokens, any.tokens);
			sampler_clear(&s);
		}
	assert_true(smaller > 50);
	close_world(&w);
}

static void text__the_largest_batch_of_a_pass_is_found(void **state)
{
	struct world w;
	(void)state;
	open_world(&w, "{}");
	for (int batch = 1; batch <= 8; batch++) {
		struct build_shape found;
		int64_t most = 0;
		for (int at = 0; at < (int)w.e.n; at += batch) {
			const int end = at + batch < (int)w.e.n ? at + batch : (int)w.e.n;
			const int64_t tokens = shape_capacity(w.e.start[end] - w.e.start[at]);
			most = tokens > most ? tokens : most;
		}
		assert_ok(encoding_largest_in_turn(&w.e, batch, &found));
		assert_int_equal(found.tokens, most);
		assert_int_equal(found.sequences, batch);
	}
	close_world(&w);
}

static void text__long_texts_are_cut_and_counted(void **state)
{
	struct world w;
	struct encoding e;
	(void)state;
	open_world(&w, "{longest: 5}");
	assert_int_equal(w.e.truncated, 3);
	for (int64_t i = 0; i < w.e.n; i++)
		assert_true(w.e.start[i + 1] - w.e.start[i] <= 5);
	assert_int_equal(w.e.ids[w.e.start[2] - 1], id_of(&w, "[SEP]")); /* behind what is left */
	assert_int_equal(w.e.without_tokens, 0);
	assert_ok(encoding_open(&e, &w.adapter, &w.data, SPLIT_VAL));
	assert_int_equal(e.without_tokens, 1);
	assert_int_equal(e.truncated, 0);
	assert_int_equal(e.ids[1 + e.start[0] + 1], id_of(&w, "[UNK]")); /* zebra */
	encoding_close(&e);
	close_world(&w);
}

static void text__samples_by_themselves_are_cut_alike(void **state)
{
	struct world w;
	struct encoding e;
	struct sample_view views[2];
	(void)state;
	open_world(&w, "{}");
	for (int i = 0; i < 2; i++)
		assert_ok(dataset_sample(&w.data, SPLIT_TRAIN, 4 + i, &views[i]));
	assert_ok(encoding_of_samples(&e, &w.adapter, views, 2, "m"));
	assert_memory_equal(e.ids, w.e.ids + w.e.start[4], (size_t)e.start[2] * sizeof(*e.ids));
	assert_int_equal(e.n, 2);
	encoding_close(&e);
	views[1] = (struct sample_view){.kind = SAMPLE_IMAGE};
	assert_error(encoding_of_samples(&e, &w.adapter, views, 2, "m"), ERR_DATA, "m takes texts of up to 128 tokens");
	w.data.kind = SAMPLE_IMAGE;
	assert_error(adapter_check_data(&w.adapter, &w.data, "m"), ERR_DATA, "the data set has images");
	w.data.kind = SAMPLE_TEXT;
	close_world(&w);
}

static void text__a_vocabulary_is_read_from_a_file(void **state)
{
	const char *lines = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\ncat\n", *key = NULL;
	struct dataset d = texts_of(TARGET_CLASS, 2, train);
	struct adapter a;
	char options[600];
	(void)state;
	assert_ok(fs_write(at("v.txt"), lines, strlen(lines)));
	snprintf(options, sizeof(options), "{vocabulary: %s}", at("v.txt"));
	assert_ok(texts_adapter(&a, &d, options, &key));
	assert_int_equal(a.spec.vocabulary, 6);
	adapter_clear(&a);
	assert_error(
	    texts_adapter(&a, &d, "{vocabulary: nowhere.txt}", &key), ERR_CONFIG, "no vocabulary 'nowhere.txt'");
	assert_string_equal(key, "vocabulary");
	lines = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\nthe\n";
	assert_ok(fs_write(at("v.txt"), lines, strlen(lines)));
	assert_error(texts_adapter(&a, &d, options, &key), ERR_DATA, "v.txt:6");
	assert_null(a.kind);
	snprintf(options, sizeof(options), "{vocabulary: %s, keep_faults: true}", at("v.txt"));
	assert_ok(texts_adapter(&a, &d, options, &key));
	assert_int_equal(a.coder->vocabulary.duplicates, 1);
	adapter_clear(&a);
	dataset_close(&d);
}

static void text__goes_through_a_checkpoint_unchanged(void **state)
{
	struct world w;
	struct adapter back, copy;
	struct encoding e;
	char hex[HASH_HEX], same[HASH_HEX], other[HASH_HEX];
	(void)state;
	open_world(&w, "{longest: 9, strip_accents: keep}");
	assert_ok(adapter_save(&w.adapter, dir));
	cJSON *json = adapter_to_json(&w.adapter);
	assert_ok(adapter_from_json(&back, json, dir));
	assert_true(input_equal(&w.adapter.spec, &back.spec));
	assert_int_equal(back.coder->options.strip_accents, w.adapter.coder->options.strip_accents);
	assert_ok(encoding_open(&e, &back, &w.data, SPLIT_TRAIN));
	assert_memory_equal(e.start, w.e.start, (size_t)(e.n + 1) * sizeof(*e.start));
	assert_memory_equal(e.ids, w.e.ids, (size_t)e.start[e.n] * sizeof(*e.ids));
	encoding_close(&e);
	assert_ok(adapter_key(&w.adapter, hex));
	assert_ok(adapter_key(&back, same));
	assert_string_equal(hex, same);
	back.spec.longest = 10;
	assert_ok(adapter_key(&back, other));
	assert_string_not_equal(hex, other);
	assert_ok(adapter_copy(&copy, &w.adapter));
	assert_ptr_equal(copy.coder, w.adapter.coder);
	adapter_clear(&copy);
	adapter_clear(&back);
	cJSON_Delete(json);
	close_world(&w);
}

static void text__another_vocabulary_than_the_models_is_refused(void **state)
{
	struct world w;
	struct adapter back;
	struct fs_bytes file;
	(void)state;
	open_world(&w, "{}");
	assert_ok(adapter_save(&w.adapter, dir));
	cJSON *json = adapter_to_json(&w.adapter);
	assert_ok(fs_read(at("vocab.txt"), &file));
	file.data[file.size - 2] ^= 1; /* a letter of the last token */
	assert_ok(fs_write(at("vocab.txt"), file.data, file.size));
	assert_error(adapter_from_json(&back, json, dir), ERR_CHECKPOINT, "checkpoint_info.json says");
	assert_null(back.kind);
	fs_bytes_clear(&file);
	assert_ok(fs_write(at("vocab.txt"), "[PAD]\n", 6));
	assert_error(adapter_from_json(&back, json, dir), ERR_CHECKPOINT, "vocab.txt");
	assert_int_equal(remove(at("vocab.txt")), 0);
	assert_error(adapter_from_json(&back, json, dir), ERR_CHECKPOINT, "vocab.txt");
	cJSON_Delete(json);
	close_world(&w);
}

static void text__damaged_fields_are_refused(void **state)
{
	static const struct {
		const char *key, *value, *part;
	} cases[] = {{"longest", "2", "input.longest must be"}, {"longest", "-1", "input.longest"},
	    {"longest", "1.5", "input.longest"}, {"longest", "\"9\"", "input.longest"},
	    {"longest", "1e9", "input.longest"}, {"longest", NULL, "input.longest"},
	    {"lowercase", "1", "input.lowercase must be true or false"}, {"clean_text", NULL, "input.clean_text"},
	    {"handle_chinese_chars", "null", "input.handle_chinese_chars"},
	    {"strip_accents", "\"maybe\"", "input.strip_accents"}, {"strip_accents", "true", "input.strip_accents"},
	    {"max_word_chars", "0", "input.max_word_chars"}, {"vocabulary", "3", "input.vocabulary.sha256 is missing"},
	    {"vocabulary", "{\"sha256\": 3}", "input.vocabulary.sha256 is missing"}};
	struct world w;
	(void)state;
	open_world(&w, "{}");
	assert_ok(adapter_save(&w.adapter, dir));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct adapter a;
		cJSON *json = adapter_to_json(&w.adapter);
		cJSON_DeleteItemFromObjectCaseSensitive(json, cases[i].key);
		if (cases[i].value)
			cJSON_AddItemToObject(json, cases[i].key, cJSON_Parse(cases[i].value));
		assert_error(adapter_from_json(&a, json, dir), ERR_CHECKPOINT, cases[i].part);
		assert_null(a.kind);
		cJSON_Delete(json);
	}
	close_world(&w);
}

static void text__random_tensors_are_batches(void **state)
{
	struct world w;
	struct build_shape shape;
	(void)state;
	open_world(&w, "{longest: 20}");
	adapter_text.typical(&w.adapter, 6, &shape);
	assert_int_equal(shape.sequences, 6);
	assert_int_equal(shape.tokens, shape_capacity(6 * 20));
	assert_ok(adapter_text.random(&w.adapter, 3, &shape, &w.feed));
	const struct feed_tensor *ids = feed_find(&w.feed, "ids"), *starts = feed_find(&w.feed, "starts");
	const int32_t *id = ids->data, *start = starts->data;
	for (int64_t i = 0; i < ids->count; i++)
		assert_in_range(id[i], 0, w.adapter.spec.vocabulary - 1);
	assert_int_equal(start[0], 0);
	assert_int_equal(start[6], shape.tokens);
	for (int i = 0; i < 6; i++)
		assert_true(start[i + 1] - start[i] <= shape.longest && start[i + 1] > start[i]);
	close_world(&w);
}

static void text__survives_each_failing_allocation(void **state)
{
	int rc = ERR_NOMEM;
	(void)state;
	for (uint64_t i = 1; rc; i++) {
		struct dataset d = texts_of(TARGET_CLASS, 2, train);
		struct input_options o = {0};
		const struct data_options none = {0};
		struct adapter a = {0};
		struct encoding e = {0};
		parse(input_option_table, &o, "{}");
		mem_fail_at(i);
		rc = adapter_make(&a, &o, &d, &none, NULL, NULL);
		if (!rc)
			rc = encoding_open(&e, &a, &d, SPLIT_TRAIN);
		mem_fail_at(0);
		assert_true(!rc || rc == ERR_NOMEM);
		assert_true(rc || i > 15);
		encoding_close(&e);
		adapter_clear(&a);
		option_clear(input_option_table, &o);
		dataset_close(&d);
	}
}

/* --- feeds ---------------------------------------------------------------------------------------------------------
 */

static void feed__keeps_its_memory_by_name(void **state)
{
	static const char *const names[FEED_TENSORS + 1] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
	struct feed f = {0};
	(void)state;
	float *x = feed_tensor(&f, "a", DT_F32, 8);
	x[7] = 3;
	assert_ptr_equal(feed_tensor(&f, "a", DT_S32, 4), x);
	assert_int_equal(feed_find(&f, "a")->count * 10 + (feed_find(&f, "a")->dtype == DT_S32), 41);
	assert_null(feed_find(&f, "b"));
	assert_non_null(feed_tensor(&f, "a", DT_F32, 1000));
	for (int i = 1; i < FEED_TENSORS; i++)
		assert_non_null(feed_tensor(&f, names[i], DT_F32, 1));
	assert_null(feed_tensor(&f, names[FEED_TENSORS], DT_F32, 1));
	assert_non_null(strstr(err_message(), "more than 8 inputs"));
	mem_fail_at(1);
	assert_null(feed_tensor(&f, "b", DT_F32, 100000));
	mem_fail_at(0);
	feed_clear(&f);
	feed_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text__the_vocabulary_is_learned_from_the_training_texts),
	    cmocka_unit_test(text__a_batch_is_packed_ids_and_starts),
	    cmocka_unit_test(text__capacities_are_on_the_ladder_and_large_enough),
	    cmocka_unit_test(text__a_capacity_that_is_too_small_is_an_error),
	    cmocka_unit_test(text__the_largest_shape_holds_any_training_batch),
	    cmocka_unit_test(text__the_largest_batch_of_an_order_is_found),
	    cmocka_unit_test(text__the_largest_batch_of_a_pass_is_found),
	    cmocka_unit_test(text__long_texts_are_cut_and_counted),
	    cmocka_unit_test(text__samples_by_themselves_are_cut_alike),
	    cmocka_unit_test(text__a_vocabulary_is_read_from_a_file),
	    cmocka_unit_test(text__goes_through_a_checkpoint_unchanged),
	    cmocka_unit_test(text__another_vocabulary_than_the_models_is_refused),
	    cmocka_unit_test(text__damaged_fields_are_refused),
	    cmocka_unit_test(text__random_tensors_are_batches),
	    cmocka_unit_test(text__survives_each_failing_allocation),
	    cmocka_unit_test(feed__keeps_its_memory_by_name),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
