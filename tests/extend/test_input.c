/* A kind of input that the library does not have: texts as their bytes, without a vocabulary. The kind is what stands
 * up to `adapter_bytes`, its registration is one call. All else here shows that models learn from it, save it, are
 * distilled through it, and find it again. */
#include "base/str.h"
#include "stages/texts.h"

enum { BYTES = 256, LONGEST = 200 };

/* Sample i as ids, at most LONGEST of them. A text without a byte has none. */
static int bytes_prepare(struct encoding *e)
{
	int64_t total = 0;
	e->start = mem_alloc((size_t)e->n + 1, sizeof(*e->start));
	e->by_length = mem_alloc((size_t)e->n, sizeof(*e->by_length));
	e->ids = mem_alloc((size_t)e->n * LONGEST, sizeof(*e->ids));
	if (!e->start || !e->by_length || !e->ids)
		return ERR_NOMEM;
	for (int64_t i = 0; i < e->n; i++) {
		struct sample_view v;
		encoding_sample(e, i, &v);
		int64_t n = v.bytes < LONGEST ? (int64_t)v.bytes : LONGEST;
		for (int64_t k = 0; k < n; k++)
			e->ids[total + k] = (unsigned char)v.text[k];
		e->truncated += v.bytes > LONGEST;
		e->without_tokens += n == 0;
		e->by_length[i] = LONGEST; /* longest first: an upper bound will do */
		e->start[i + 1] = total += n;
	}
	return 0;
}

/* The rest is what packed ids of any kind need. */
static void bytes_measure(const struct encoding *e, const uint32_t *index, int count, struct build_shape *shape)
{
	adapter_text.measure(e, index, count, shape);
}

static int bytes_fill(const struct encoding *e, const uint32_t *index, int count, const struct build_shape *shape,
    const struct augmentation *g, struct feed *f)
{
	return adapter_text.fill(e, index, count, shape, g, f);
}

static int bytes_random(const struct adapter *a, uint64_t seed, const struct build_shape *shape, struct feed *f)
{
	return adapter_text.random(a, seed, shape, f);
}

static void bytes_typical(const struct adapter *a, int sequences, struct build_shape *shape)
{
	adapter_text.typical(a, sequences, shape);
}

static int bytes_make(struct adapter *a, const struct input_options *o, const struct dataset *d,
    const struct data_options *data, const char *base_dir, const char **key)
{
	(void)o, (void)d, (void)data, (void)base_dir, (void)key;
	a->spec.vocabulary = BYTES;
	a->spec.longest = LONGEST;
	return 0;
}

static int bytes_check(const struct adapter *a, const struct sample_view *v, const char *name)
{
	(void)a;
	return v->kind == SAMPLE_TEXT ? 0 : err_set(ERR_DATA, "%s takes bytes of texts; this is an image", name);
}

static int bytes_read(const struct adapter *a, const char *name, const void *bytes, size_t n, void **held,
    struct sample_view *out, unsigned *changes)
{
	return adapter_text.read(a, name, bytes, n, held, out, changes);
}

static int bytes_to_json(const struct adapter *a, cJSON *json)
{
	return cJSON_AddNumberToObject(json, "longest", a->spec.longest) ? 0 : ERR_NOMEM;
}

static int bytes_from_json(struct adapter *a, const cJSON *json, const char *dir)
{
	const cJSON *longest = cJSON_GetObjectItemCaseSensitive(json, "longest");
	if (!cJSON_IsNumber(longest) || longest->valueint != LONGEST)
		return err_set(ERR_CHECKPOINT, "input.longest must be %d", LONGEST);
	return bytes_make(a, NULL, NULL, NULL, dir, NULL);
}

static int bytes_hash(const struct adapter *a, struct hash *h)
{
	return hash_add(h, &a->spec.longest, sizeof(a->spec.longest));
}

static void bytes_describe(const struct adapter *a, char buf[160])
{
	snprintf(buf, 160, "texts of up to %d bytes", a->spec.longest);
}

static const struct adapter_kind adapter_bytes = {.name = "bytes",
    .takes = SAMPLE_TEXT,
    .input = INPUT_TEXT,
    .make = bytes_make,
    .read = bytes_read,
    .check = bytes_check,
    .prepare = bytes_prepare,
    .measure = bytes_measure,
    .fill = bytes_fill,
    .random = bytes_random,
    .typical = bytes_typical,
    .to_json = bytes_to_json,
    .from_json = bytes_from_json,
    .hash = bytes_hash,
    .describe = bytes_describe};

/* --- it is like any other ------------------------------------------------------------------------------------------
 */

static struct model_spec spec_for(const struct adapter *a)
{
	static struct bag_spec own;
	static int width[] = {24, 16};
	return (struct model_spec){
	    .family = &family_bag, .input = a->spec, .classes = 3, .n_width = 2, .width = width, .own = &own};
}

static void use_bytes(struct rig *r)
{
	adapter_clear(&r->adapter);
	r->adapter = (struct adapter){.kind = &adapter_bytes, .spec = {.kind = INPUT_TEXT}};
	RIG_OK(adapter_bytes.make(&r->adapter, NULL, &r->data, &r->data_options, ".", NULL));
}

static int set_up(void **state)
{
	static struct rig r;
	struct model_spec spec;
	texts_open(&r, true);
	*state = &r;
	use_bytes(&r);
	spec = spec_for(&r.adapter);
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "float", .options = "{epochs: 20, batch_size: 32, lr: 0.02}", .spec = &spec}));
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

static void input__is_saved_with_the_model(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	RIG_OK(checkpoint_load(&c, rig_path(r, "float")));
	assert_ptr_equal(c.adapter.kind, &adapter_bytes);
	assert_int_equal(c.adapter.spec.vocabulary, BYTES);
	assert_int_equal(tensor_file_find(&c.tensors, "embedding.weight")->t.shape.dim[0], BYTES);
	const cJSON *val = cJSON_GetObjectItem(cJSON_GetObjectItem(c.info, "metrics"), "validation");
	assert_true(rig_number(val, "label_accuracy") > 0.8);
	checkpoint_clear(&c);
	assert_false(fs_exists(rig_path(r, "float/vocab.txt")));
}

static void input__runs_as_integers(void **state)
{
	struct rig *r = *state;
	cJSON *s;
	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = "int8", .options = "{method: static}", .input = "float", .summary = &s}));
	assert_true(rig_val(s, "label_accuracy") > 0.8);
	cJSON_Delete(s);
}

/* The teacher reads bytes, its student words: each sees the samples through its own adapter. */
static void input__teaches_a_model_of_another_input(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	rig_make(r);
	struct model_spec spec = spec_for(&r->adapter);
	cJSON *s;
	assert_ptr_equal(r->adapter.kind, &adapter_text);
	RIG_OK(rig_run(r, &stage_distill,
	    &(struct rig_case){.name = "student",
		.options = "{epochs: 20, batch_size: 32, lr: 0.02, alpha: 0.5}",
		.teacher = "float",
		.spec = &spec,
		.summary = &s}));
	assert_true(rig_val(s, "label_accuracy") > 0.8);
	cJSON_Delete(s);
	RIG_OK(checkpoint_load(&c, rig_path(r, "student")));
	assert_ptr_equal(c.adapter.kind, &adapter_text);
	checkpoint_clear(&c);
	use_bytes(r);
}

static void input__refuses_what_it_cannot_read(void **state)
{
	struct rig *r = *state;
	struct dataset images = {.kind = SAMPLE_IMAGE};
	struct adapter a;
	assert_int_equal(adapter_check_data(&r->adapter, &images, "m"), ERR_DATA);
	assert_non_null(strstr(err_message(), "m takes texts of up to 200 bytes, the data set has images"));
	cJSON *json = adapter_to_json(&r->adapter);
	cJSON_SetNumberValue(cJSON_GetObjectItem(json, "longest"), 7);
	assert_int_equal(adapter_from_json(&a, json, "."), ERR_CHECKPOINT);
	cJSON_Delete(json);
}

/* What a config's block `input` makes, on the rig's texts. */
static int make(struct adapter *out, const struct rig *r, const char *text, const char **key)
{
	struct input_options o = {0};
	RIG_OK(rig_options(input_option_table, &o, text));
	int rc = adapter_make(out, &o, &r->data, &r->data_options, ".", key);
	option_clear(input_option_table, &o);
	return rc;
}

/* Texts have a kind already: the config says which it wants. */
static void input__is_chosen_by_the_config(void **state)
{
	struct rig *r = *state;
	struct adapter a;
	const char *key;
	RIG_OK(make(&a, r, "{kind: bytes}", &key));
	assert_ptr_equal(a.kind, &adapter_bytes);
	adapter_clear(&a);
	RIG_OK(make(&a, r, "{}", &key));
	assert_ptr_equal(a.kind, &adapter_text);
	adapter_clear(&a);
	RIG_OK(make(&a, r, "{kind: text}", &key));
	assert_ptr_equal(a.kind, &adapter_text);
	adapter_clear(&a);
	assert_int_equal(make(&a, r, "{kind: image}", &key), ERR_CONFIG);
	assert_string_equal(key, "kind");
	assert_string_equal(err_message(), "kind image takes images, the data set has texts");
	struct input_options o = {0};
	assert_int_equal(rig_options(input_option_table, &o, "{kind: byte}"), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "one of auto, image, text, bytes, found 'byte'; did you mean 'bytes'?"));
	struct str text = {0};
	option_explain(input_option_table, &text);
	assert_non_null(strstr(str_text(&text), "auto, image, text, bytes"));
	str_clear(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(input__is_saved_with_the_model),
	    cmocka_unit_test(input__runs_as_integers),
	    cmocka_unit_test(input__teaches_a_model_of_another_input),
	    cmocka_unit_test(input__is_chosen_by_the_config),
	    cmocka_unit_test(input__refuses_what_it_cannot_read),
	};
	if (adapter_kind_register(&adapter_bytes))
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
