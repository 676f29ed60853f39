/* A model family that the library does not have: two linear layers side by side over the image, their sum, and the
 * classifier on it. The family is what stands up to `family_twin`, its registration is one call. All else
 * here shows that it is trained, distilled, pruned, quantized, saved and loaded like any other. */
#include "stages/rig.h"

#include "graph/model_options.h"

struct twin_options {
	int64_t units;
};
struct twin_spec {
	int branches; /* of every model 2; a later version may have more */
};

static const struct option twin_option_table[] = {
    {.key = "units",
	.type = OPT_INT,
	.offset = offsetof(struct twin_options, units),
	.def = "32",
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "units of each branch"},
    OPTION_END,
};
static const struct spec_field twin_fields[] = {
    {"branches", FIELD_INT, offsetof(struct twin_spec, branches), NULL}, {0}};

static int twin_from_options(struct model_spec *s, const void *given)
{
	const struct twin_options *o = given;
	int64_t units = o->units;
	((struct twin_spec *)s->own)->branches = 2;
	return family_widths(s, "units", (struct option_ints){.v = &units, .n = 1});
}

static int twin_check(const struct model_spec *s, enum err code)
{
	const struct twin_spec *own = s->own;
	if (s->n_width != 1)
		return err_set(code, "%d widths, must be 1: both branches have the same", s->n_width);
	return family_range(code, "branches", -1, own->branches, 2, 2);
}

/* The branches end in one width, so that pruning takes the same unit away from both. */
static void twin_build(struct builder *b)
{
	build_images(b);
	const struct builder image = *b;
	build_linear(b, "left", b->s->width[0], 0, false);
	const int left = b->x;
	if (b->rc < 0)
		return;
	b->x = image.x;
	b->channels = image.channels;
	build_linear(b, "right", b->s->width[0], 0, false);
	if (b->rc < 0)
		return;
	b->x = graph_add(b->g, OP_ADD, "sum", (int[]){left, b->x}, 2, &(struct attr){.relu = true});
	b->rc = b->x < 0 ? b->x : 0;
	build_linear(b, "out", b->s->classes, -1, false);
}

static void twin_width_name(const struct model_spec *s, int i, char buf[64])
{
	(void)s, (void)i;
	snprintf(buf, 64, "branches");
}

static const struct family_row family_twin = {.name = "twin",
    .help = "two linear layers side by side, and their sum",
    .input = INPUT_IMAGE,
    .option = twin_option_table,
    .option_size = sizeof(struct twin_options),
    .field = twin_fields,
    .own_size = sizeof(struct twin_spec),
    .from_options = twin_from_options,
    .check = twin_check,
    .build = twin_build,
    .width_name = twin_width_name};

/* --- it is like any other ------------------------------------------------------------------------------------------
 */

/* An entry of a config's block `models`. */
static int spec_of(struct model_spec *out, const struct input_spec *input, const char *text)
{
	struct model_options o;
	struct yaml y;
	RIG_OK(yaml_parse("test.yaml", text, strlen(text), &y));
	int rc = model_options_parse(&o, &y, y.root);
	yaml_clear(&y);
	if (rc)
		return rc;
	rc = spec_from_options(out, &o, input, 10);
	model_options_clear(&o);
	return rc;
}

static int set_up(void **state)
{
	static struct rig r;
	struct model_spec spec;
	rig_open(&r, "source: digits");
	*state = &r;
	RIG_OK(spec_of(&spec, &r.adapter.spec, "{family: twin, units: 24}"));
	assert_int_equal(spec.width[0], 24);
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "float", .options = "{epochs: 6, batch_size: 64, lr: 0.01}", .spec = &spec}));
	spec_clear(&spec);
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

/* Accuracy on validation that the stage's summary has. */
static double accuracy(struct rig *r, const struct stage_kind *kind, struct rig_case c)
{
	cJSON *summary;
	c.summary = &summary;
	RIG_OK(rig_run(r, kind, &c));
	double v = rig_val(summary, "accuracy");
	cJSON_Delete(summary);
	return v;
}

static void family__learns_and_is_loaded_again(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	char name[64];
	RIG_OK(checkpoint_load(&c, rig_path(r, "float")));
	assert_ptr_equal(c.spec.family, &family_twin);
	assert_int_equal(((struct twin_spec *)c.spec.own)->branches, 2);
	assert_string_equal(spec_width_name(&c.spec, 0, name), "branches");
	const cJSON *val = cJSON_GetObjectItem(cJSON_GetObjectItem(c.info, "metrics"), "validation");
	assert_true(rig_number(val, "accuracy") > 0.9);
	checkpoint_clear(&c);
}

static void family__is_distilled(void **state)
{
	struct rig *r = *state;
	struct model_spec spec;
	RIG_OK(spec_of(&spec, &r->adapter.spec, "{family: twin, units: 8}"));
	assert_true(accuracy(r, &stage_distill,
			(struct rig_case){.name = "student",
			    .options = "{epochs: 8, batch_size: 64, lr: 0.01, alpha: 1}",
			    .teacher = "float",
			    .spec = &spec}) > 0.85);
	spec_clear(&spec);
}

/* A unit goes from both branches and from the classifier's inputs. */
static void family__is_pruned(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	assert_true(
	    accuracy(r, &stage_prune,
		(struct rig_case){.name = "masked", .options = "{sparsity: 0.5, epochs: 2}", .input = "float"}) > 0.85);
	assert_true(accuracy(r, &stage_prune,
			(struct rig_case){.name = "cut",
			    .options = "{method: structured, sparsity: 0.5, round_to: 1, epochs: 3, lr: 0.005}",
			    .input = "float"}) > 0.85);
	RIG_OK(checkpoint_load(&c, rig_path(r, "cut")));
	assert_int_equal(c.spec.width[0], 12);
	assert_int_equal(tensor_file_find(&c.tensors, "right.weight")->t.shape.dim[0], 12);
	assert_int_equal(tensor_file_find(&c.tensors, "out.weight")->t.shape.dim[1], 12);
	checkpoint_clear(&c);
}

static void family__is_quantized_by_every_method(void **state)
{
	static const char *const methods[] = {"static", "dynamic", "qat", "fp16", "bf16"};
	struct rig *r = *state;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		char options[64];
		struct checkpoint c;
		snprintf(
		    options, sizeof(options), "{method: %s%s}", methods[i], i == 2 ? ", epochs: 1, lr: 0.001" : "");
		assert_true(accuracy(r, &stage_quantize,
				(struct rig_case){.name = methods[i], .options = options, .input = "float"}) > 0.9);
		RIG_OK(checkpoint_load(&c, rig_path(r, methods[i])));
		assert_int_equal(c.form, FORM_INTEGER);
		checkpoint_clear(&c);
	}
}

static void family__bad_options_and_specs_are_refused(void **state)
{
	struct rig *r = *state;
	struct model_spec spec;
	assert_int_equal(spec_of(&spec, &r->adapter.spec, "{family: twin, units: 0}"), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "units"));
	assert_int_equal(spec_of(&spec, &r->adapter.spec, "{family: twin, hidden: [3]}"), ERR_CONFIG);
	RIG_OK(spec_of(&spec, &r->adapter.spec, "{family: twin}"));
	((struct twin_spec *)spec.own)->branches = 3;
	assert_int_equal(spec_check(&spec), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "branches is 3"));
	spec_clear(&spec);
}

/* A program that does not have the row says which it has. */
static void family__is_named_where_it_is_unknown(void **state)
{
	struct rig *r = *state;
	struct model_spec spec, back;
	RIG_OK(spec_of(&spec, &r->adapter.spec, "{family: twin}"));
	cJSON *json = spec_to_json(&spec);
	cJSON_SetValuestring(cJSON_GetObjectItem(json, "family"), "trio");
	assert_int_equal(spec_from_json(&back, json), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "'family' must be mlp, cnn, resnet, bag, encoder or twin"));
	cJSON_Delete(json);
	spec_clear(&spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(family__learns_and_is_loaded_again),
	    cmocka_unit_test(family__is_distilled),
	    cmocka_unit_test(family__is_pruned),
	    cmocka_unit_test(family__is_quantized_by_every_method),
	    cmocka_unit_test(family__bad_options_and_specs_are_refused),
	    cmocka_unit_test(family__is_named_where_it_is_unknown),
	};
	if (family_register(&family_twin))
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
