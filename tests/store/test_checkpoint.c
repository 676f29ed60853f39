/* Checkpoints in each form: what is saved is what is loaded, and what does not fit is refused with its name. */
#include "store/checkpoint_rig.h"
#include "store/seal.h"

static void checkpoint__round_trip_keeps_params_and_masks(void **state)
{
	struct checkpoint c, d;
	struct param_store a, b;
	struct graph g;

	(void)state;
	fill_float(&c, &a);
	must_save(&c, at("one"));
	if (checkpoint_load(&d, at("one")) != 0)
		fail_msg("%s", err_message());
	params_init(&b, dev);
	assert_int_equal(checkpoint_graph(&d, &(struct build_shape){.sequences = 3}, false, &g), 0);
	assert_int_equal(checkpoint_to_params(&d, &g, &b), 0);
	assert_int_equal(a.n, b.n);
	for (int i = 0; i < a.n; i++) {
		const struct param *x = a.item[i], *y = params_find(&b, x->name);
		int64_t n = shape_count(x->value.shape);

		assert_non_null(y);
		assert_memory_equal(x->value.data, y->value.data, tensor_bytes(&x->value));
		assert_int_equal(!!x->mask, !!y->mask);
		if (x->mask)
			assert_memory_equal(x->mask, y->mask, (size_t)n);
	}
	assert_true(checkpoint_has_masks(&d));
	/* What a store held before does not stay: the file has no mask of this one. */
	const uint8_t mask[28] = {0};
	assert_int_equal(params_set_mask(&b, "fc2.weight", mask), 0);
	assert_int_equal(checkpoint_to_params(&d, &g, &b), 0);
	assert_null(params_find(&b, "fc2.weight")->mask);
	tensor_file_clear(&d.tensors);
	assert_false(checkpoint_has_masks(&d));
	graph_clear(&g);
	params_clear(&a);
	params_clear(&b);
	checkpoint_clear(&c);
	checkpoint_clear(&d);
}

static void checkpoint__derived_fields_are_true(void **state)
{
	struct checkpoint c;
	struct param_store a;
	uint64_t bytes;
	double sum = 0;
	const cJSON *item;
	/* conv 3*3*3*2+3, 5*3*3*3+5; bn 2*3, 2*5; fc 7*(3*3*5)+7; 4*7+4 */
	const int parameters = 57 + 140 + 6 + 10 + 322 + 32, weights = 54 + 135 + 315 + 28;

	(void)state;
	fill_float(&c, &a);
	must_save(&c, at("fields"));
	assert_int_equal(number(c.info, "num_parameters", NULL), parameters);
	assert_int_equal(number(c.info, "parameters", "total"), parameters);
	assert_int_equal(number(c.info, "parameters", "removed"), 12);
	assert_int_equal(number(c.info, "parameters", "zero"), 157); /* 315 / 2 */
	assert_true(number(c.info, "sparsity_pct", NULL) - 15700.0 / weights < 1e-3);
	assert_true(number(c.info, "sparsity_pct", NULL) - 15700.0 / weights > -1e-3);
	item = cJSON_GetObjectItem(cJSON_GetObjectItem(c.info, "sparsity"), "fc1.weight");
	assert_int_equal(number(item, "zero", NULL), 157);
	assert_int_equal(number(item, "total", NULL), 315);
	assert_int_equal(fs_size(at("fields/model.safetensors"), &bytes), 0);
	assert_int_equal(number(c.info, "size_bytes", NULL), bytes);
	cJSON_ArrayForEach(item, cJSON_GetObjectItem(c.info, "bytes_by_dtype")) sum += item->valuedouble;
	assert_int_equal(sum, bytes);
	assert_int_equal(number(c.info, "bytes_by_dtype", "U8"), 40); /* 315 bits */
	/* The order of numpy.packbits, written out: elements 0, 2, 4, ... are kept. */
	const struct named_tensor *mask = tensor_file_find(&c.tensors, "fc1.weight.mask");
	assert_int_equal(((const uint8_t *)mask->t.data)[0], 0xaa);
	assert_int_equal(((const uint8_t *)mask->t.data)[39], 0xa0); /* 312 and 314; then padding */
	assert_true(checkpoint_mask_keeps(mask, 314));
	assert_false(checkpoint_mask_keeps(mask, 313));
	assert_int_equal(
	    number(c.info, "bytes_by_dtype", "F32"), 4 * (parameters + 2 * 8)); /* and running statistics */
	char hex[HASH_HEX];
	assert_int_equal(hash_file(at("fields/model.safetensors"), hex), 0);
	assert_string_equal(hex, cJSON_GetObjectItem(c.info, "sha256")->valuestring);
	assert_string_equal(hex, c.sha256);
	assert_string_equal(cJSON_GetObjectItem(c.info, "model_name")->valuestring, "small");
	params_clear(&a);
	checkpoint_clear(&c);
}

static void checkpoint__saving_twice_gives_the_same_bytes(void **state)
{
	static const char *const files[] = {"model.safetensors", "checkpoint_info.json"};
	struct checkpoint c, d;
	struct param_store a, b;

	(void)state;
	fill_float(&c, &a);
	fill_float(&d, &b);
	must_save(&c, at("x"));
	must_save(&d, at("y"));
	must_save(&d, at("y")); /* over itself */
	for (int i = 0; i < 2; i++) {
		char p[600], q[600], hp[HASH_HEX], hq[HASH_HEX];

		snprintf(p, sizeof(p), "%s/x/%s", dir, files[i]);
		snprintf(q, sizeof(q), "%s/y/%s", dir, files[i]);
		assert_int_equal(hash_file(p, hp), 0);
		assert_int_equal(hash_file(q, hq), 0);
		assert_string_equal(hp, hq);
	}
	params_clear(&a);
	params_clear(&b);
	checkpoint_clear(&c);
	checkpoint_clear(&d);
}

static void checkpoint__is_found_by_folder_or_file(void **state)
{
	struct checkpoint c, d;
	struct param_store a;
	static const char *const ways[] = {"w", "w/", "w/model.safetensors", "w/checkpoint_info.json"};

	(void)state;
	fill_float(&c, &a);
	must_save(&c, at("w"));
	for (int i = 0; i < 4; i++) {
		assert_int_equal(checkpoint_load(&d, at(ways[i])), 0);
		checkpoint_clear(&d);
	}
	assert_int_equal(fs_write(at("other"), "x", 1), 0);
	assert_int_equal(checkpoint_load(&d, at("other")), ERR_CHECKPOINT);
	assert_int_equal(checkpoint_load(&d, at("nowhere")), ERR_CHECKPOINT);
	assert_int_equal(checkpoint_load(&d, dir), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "holds no checkpoint_info.json"));
	params_clear(&a);
	checkpoint_clear(&c);
}

/* Converts the float model of fill_float to the plan's integer or simulated form, as a stage does. */
static int weight_bits = 8;
static void fill_quantized(struct checkpoint *c, struct param_store *store, enum quant_method method, int act_bits)
{
	struct quant_rules rules = {
	    .method = method, .weight_bits = weight_bits, .act_bits = act_bits, .per_channel = true};
	struct checkpoint f;
	struct param_store floats;
	struct graph folded, made, frozen;
	struct executor *ex;
	struct executor_options eo = {.mode = EXEC_INFER, .keep_all = true, .stage = "test"};

	fill_float(&f, &floats);
	*c = (struct checkpoint){.info = f.info};
	f.info = NULL;
	assert_int_equal(spec_copy(&c->spec, &f.spec), 0);
	params_init(store, dev);
	assert_int_equal(checkpoint_graph(&f, &shape_one, true, &folded), 0);
	assert_int_equal(quant_plan_make(&c->plan, &folded, &rules), 0);
	graph_init(&made);
	graph_init(&frozen);
	c->form = c->plan.simulated ? FORM_SIMULATED : FORM_INTEGER;
	if (c->plan.simulated)
		assert_int_equal(pass_annotate(&folded, &c->plan, false, &made), 0);
	else
		assert_int_equal(pass_lower(&folded, &c->plan, &made), 0);
	assert_int_equal(params_add_graph(&floats, &made, 1), 0);
	for (int i = 0; i < floats.n; i++) {
		float step[16];
		struct param *p = floats.item[i];

		for (int k = 0; k < 16; k++)
			step[k] = 0.02f;
		if (!p->set)
			assert_int_equal(params_write(&floats, p->name, step), 0);
	}
	if (c->form == FORM_SIMULATED) {
		assert_int_equal(checkpoint_from_params(c, &made, &floats), 0);
	} else {
		assert_int_equal(pass_freeze(&made, &frozen), 0);
		assert_int_equal(executor_create(&ex, &made, &floats, &eo), 0);
		if (executor_prepare(ex) != 0)
			fail_msg("%s", err_message());
		float x[72] = {0};
		assert_int_equal(executor_input(ex, "input", x, sizeof(x)), 0);
		assert_int_equal(executor_forward(ex), 0);
		assert_int_equal(params_add_graph(store, &frozen, 1), 0);
		if (executor_export_constants(ex, &frozen, store) != 0)
			fail_msg("%s", err_message());
		executor_free(ex);
		if (checkpoint_from_params(c, &frozen, store) != 0)
			fail_msg("%s", err_message());
	}
	graph_clear(&folded);
	graph_clear(&made);
	graph_clear(&frozen);
	params_clear(&floats);
	checkpoint_clear(&f);
}

static void check_form(
    enum quant_method method, int act_bits, enum checkpoint_form form, const char *dtype, double bytes)
{
	struct checkpoint c, d;
	struct param_store store;
	struct graph g;

	fill_quantized(&c, &store, method, act_bits);
	assert_int_equal(c.form, form);
	must_save(&c, at("form"));
	if (checkpoint_load(&d, at("form")) != 0)
		fail_msg("%s", err_message());
	assert_int_equal(d.form, form);
	assert_false(d.without_steps);
	assert_int_equal(d.plan.n_value, c.plan.n_value);
	assert_int_equal(checkpoint_graph(&d, &(struct build_shape){.sequences = 2}, true, &g), 0);
	graph_clear(&g);
	/* As many parameters as the float model has, whatever is stored. */
	assert_int_equal(number(d.info, "num_parameters", NULL), 567);
	assert_int_equal(number(d.info, "bytes_by_dtype", dtype), bytes);
	assert_true(number(d.info, "parameters", "zero") >= 157);
	params_clear(&store);
	checkpoint_clear(&c);
	checkpoint_clear(&d);
}

/* Also inside a chain, where m, c and k are all that a run needs. */
static void checkpoint__integers_keep_the_step_of_every_value(void **state)
{
	struct checkpoint c, d;
	struct param_store store;
	char name[NODE_NAME];
	double bytes = 0;

	(void)state;
	fill_quantized(&c, &store, QUANT_STATIC, 8);
	must_save(&c, at("steps"));
	assert_int_equal(checkpoint_load(&d, at("steps")), 0);
	assert_false(d.without_steps);
	assert_true(d.plan.n_value >= 8);
	for (int i = 0; i < d.plan.n_value; i++) {
		const struct named_tensor *step;

		assert_int_equal(quant_step_name(name, d.plan.value[i].name), 0);
		step = tensor_file_find(&d.tensors, name);
		if (!step)
			fail_msg("'%s' is not there", name);
		assert_int_equal(shape_count(step->t.shape), d.plan.value[i].channels);
		assert_true(((const float *)step->t.data)[0] == 0.02f);
	}
	for (int i = 0; i < d.tensors.n; i++)
		if (d.tensors.item[i].t.dtype == DT_F32)
			bytes += (double)tensor_bytes(&d.tensors.item[i].t);
	assert_true(number(d.info, "bytes_by_dtype", "F32") == bytes);
	params_clear(&store);
	checkpoint_clear(&c);
	checkpoint_clear(&d);
}

static void checkpoint__every_form_loads_again(void **state)
{
	(void)state;
	check_form(QUANT_STATIC, 8, FORM_INTEGER, "I8", 54 + 135 + 315 + 28);
	check_form(QUANT_QAT, 8, FORM_INTEGER, "I8", 54 + 135 + 315 + 28);
	check_form(QUANT_DYNAMIC, 8, FORM_INTEGER, "I8", 315 + 28);
	check_form(QUANT_FP16, 8, FORM_INTEGER, "F16", 2 * (54 + 135 + 315 + 28));
	check_form(QUANT_BF16, 8, FORM_INTEGER, "BF16", 2 * (54 + 135 + 315 + 28));
	/* No integer kernel for 4-bit activations: float weights and their mask stay as they were. */
	check_form(QUANT_STATIC, 4, FORM_SIMULATED, "U8", 40);
}

/* Saves a good checkpoint, lets `damage` change the loaded tensors, writes them with a matching hash, and expects
 * `part` when it is loaded. */
static void refused(enum quant_method method, bool quantized, void (*damage)(struct checkpoint *c), const char *part)
{
	struct checkpoint c, d;
	struct param_store store;

	if (quantized)
		fill_quantized(&c, &store, method, 8);
	else
		fill_float(&c, &store);
	damage(&c);
	/* Saving is refused too, before anything is written. */
	fs_remove_tree(at("bad"));
	assert_int_equal(checkpoint_save(&c, at("bad")), ERR_CHECKPOINT);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' lacks '%s'", err_message(), part);
	assert_false(fs_exists(at("bad")));
	params_clear(&store);
	checkpoint_clear(&c);
	/* A file on disk with these tensors, its hash corrected in the info. */
	if (quantized)
		fill_quantized(&c, &store, method, 8);
	else
		fill_float(&c, &store);
	must_save(&c, at("bad"));
	damage(&c);
	assert_int_equal(tensor_file_write(&c.tensors, at("bad/model.safetensors")), 0);
	char hex[HASH_HEX], *text;
	assert_int_equal(hash_file(at("bad/model.safetensors"), hex), 0);
	cJSON_ReplaceItemInObject(c.info, "sha256", cJSON_CreateString(hex));
	cJSON_DeleteItemFromObject(c.info, "info_sha256");
	text = cJSON_Print(c.info);
	assert_int_equal(fs_write(at("bad/checkpoint_info.json"), text, strlen(text)), 0);
	free(text);
	assert_int_equal(checkpoint_load(&d, at("bad")), ERR_CHECKPOINT);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' lacks '%s'", err_message(), part);
	assert_null(d.info);
	params_clear(&store);
	checkpoint_clear(&c);
}

static struct named_tensor *item(struct checkpoint *c, const char *name)
{
	for (int i = 0; i < c->tensors.n; i++)
		if (strcmp(c->tensors.item[i].name, name) == 0)
			return &c->tensors.item[i];
	fail_msg("no tensor %s", name);
	return NULL;
}

static void rename_one(struct checkpoint *c)
{
	item(c, "fc1.bias")->name[0] = 'g';
}
static void add_one(struct checkpoint *c)
{
	tensor_file_add(&c->tensors, "extra", DT_F32, (struct shape){0});
}
static void add_orphan_mask(struct checkpoint *c)
{
	tensor_file_add(&c->tensors, "fc9.weight.mask", DT_U8, (struct shape){0});
}
static void reshape_one(struct checkpoint *c)
{
	struct shape *s = &item(c, "fc1.weight")->t.shape;

	s->dim[0] = 45;
	s->dim[1] = 7;
}
static void retype_one(struct checkpoint *c)
{
	item(c, "fc1.bias")->t.dtype = DT_S32;
}
static void mask_past_end(struct checkpoint *c)
{
	((uint8_t *)item(c, "fc1.weight.mask")->t.data)[315 / 8] |= 1; /* bit 319 of 315 */
}
static void mask_just_past_end(struct checkpoint *c)
{
	((uint8_t *)item(c, "fc1.weight.mask")->t.data)[315 / 8] |= 1 << (7 - 315 % 8);
}
static void mask_of_bytes(struct checkpoint *c)
{
	struct named_tensor *mask = item(c, "fc1.weight.mask");

	mask->t.shape = (struct shape){.ndim = 1, .dim = {39}};
}
static void regrow(struct checkpoint *c)
{
	((float *)item(c, "fc1.weight")->t.data)[5] = 1e-30f;
}
static void negative_variance(struct checkpoint *c)
{
	((float *)item(c, "bn2.running_var")->t.data)[1] = -1e-3f;
}
static void zero_step(struct checkpoint *c)
{
	((float *)item(c, "input.step")->t.data)[0] = 0;
}
static void zero_weight_step(struct checkpoint *c)
{
	((float *)item(c, "fc1.weight.step")->t.data)[2] = 0;
}
static void negative_unread_step(struct checkpoint *c)
{
	((float *)item(c, "fc1.step")->t.data)[0] = -1;
}
static void lose_a_step(struct checkpoint *c)
{
	item(c, "fc1.weight.step")->name[0] = 'g';
}
static void out_of_range(struct checkpoint *c)
{
	((int8_t *)item(c, "fc1.weight.q")->t.data)[3] = -128;
}

static void checkpoint__tensors_that_do_not_fit_are_refused_by_name(void **state)
{
	(void)state;
	refused(QUANT_STATIC, false, rename_one, "tensor 'fc1.bias' is missing");
	refused(QUANT_STATIC, false, add_one, "tensor 'extra' does not belong");
	refused(QUANT_STATIC, false, add_orphan_mask, "tensor 'fc9.weight.mask' does not belong");
	refused(QUANT_STATIC, false, reshape_one, "'fc1.weight' has shape (45, 7), the model needs (7, 45)");
	refused(QUANT_STATIC, false, retype_one, "'fc1.bias' is I32, the model needs F32");
	refused(QUANT_STATIC, false, mask_past_end, "'fc1.weight.mask': bit 319 is set, but the mask ends after 315");
	refused(QUANT_STATIC, false, mask_just_past_end, "bit 315 is set, but the mask ends after 315");
	refused(QUANT_STATIC, false, mask_of_bytes,
	    "'fc1.weight.mask' is U8 (39), the mask of 'fc1.weight' must be U8 (40)");
	refused(QUANT_STATIC, false, regrow, "'fc1.weight': element 5 is masked but not zero");
	refused(QUANT_STATIC, false, negative_variance, "'bn2.running_var': element 1 is -0.001");
	refused(QUANT_STATIC, true, zero_step, "'input.step': element 0 is 0");
	refused(QUANT_STATIC, true, zero_weight_step, "'fc1.weight.step': element 2 is 0");
	refused(QUANT_STATIC, true, negative_unread_step, "'fc1.step': element 0 is -1");
	refused(QUANT_STATIC, true, lose_a_step, "tensor 'fc1.weight.step' is missing");
	refused(QUANT_STATIC, true, out_of_range, "'fc1.weight.q': element 3 is -128; 8-bit weights are in -127..127");
}

static void a_zero(struct checkpoint *c)
{
	((int8_t *)item(c, "fc1.weight.q")->t.data)[3] = 0;
}
static void a_two(struct checkpoint *c)
{
	((int8_t *)item(c, "fc1.weight.q")->t.data)[4] = 2;
}

static void checkpoint__weights_of_1_bit_are_signs(void **state)
{
	(void)state;
	weight_bits = 1;
	refused(QUANT_STATIC, true, a_zero, "'fc1.weight.q': element 3 is 0; 1-bit weights are -1 or 1");
	refused(QUANT_STATIC, true, a_two, "'fc1.weight.q': element 4 is 2; 1-bit weights are in -1..1");
	weight_bits = 8;
}

/* Replaces text in checkpoint_info.json and expects an error with `part`. */
static void info_refused(const char *from, const char *to, const char *part)
{
	struct checkpoint c, d;
	struct param_store store;
	struct fs_bytes b;
	char *hit, *text;

	fill_float(&c, &store);
	must_save(&c, at("info"));
	assert_int_equal(fs_read(at("info/checkpoint_info.json"), &b), 0);
	drop_seal((char *)b.data);
	hit = strstr((char *)b.data, from);
	if (!hit)
		fail_msg("no '%s' in %s", from, (char *)b.data);
	text = mem_printf("%.*s%s%s", (int)(hit - (char *)b.data), (char *)b.data, to, hit + strlen(from));
	assert_int_equal(fs_write(at("info/checkpoint_info.json"), text, strlen(text)), 0);
	assert_int_equal(checkpoint_load(&d, at("info")), ERR_CHECKPOINT);
	if (!strstr(err_message(), part) || !strstr(err_message(), "checkpoint_info.json"))
		fail_msg("message '%s' lacks '%s'", err_message(), part);
	mem_free(text);
	fs_bytes_clear(&b);
	params_clear(&store);
	checkpoint_clear(&c);
}

static void checkpoint__info_that_is_wrong_is_refused_by_field(void **state)
{
	(void)state;
	info_refused("\"format_version\":\t1", "\"format_version\": 2", "use a newer pipeline");
	info_refused("\"format_version\":\t1", "\"format_version\": 0.5", "'format_version'");
	info_refused("\"format_version\":\t1,", "", "'format_version' is missing");
	info_refused("\"form\":\t\"float\"", "\"form\": \"integer\"", "'quantization'");
	info_refused("\"form\":\t\"float\"", "\"form\": \"floaty\"", "'form'");
	info_refused("\"quantization\":\tnull", "\"quantization\": 3", "null, as form 'float' demands");
	info_refused("\"model_name\"", "\"parent_sha256\": \"00\", \"model_name\"", "'parent_sha256'");
	info_refused("\"model_name\"", "\"parent_sha256\": 7, \"model_name\"", "'parent_sha256'");
	info_refused("\"num_parameters\":\t567", "\"num_parameters\": 566", "'num_parameters' does not agree");
	info_refused("\"size_mb\":", "\"size_mib\":", "'size_mb' is missing");
	info_refused("\"family\":\t\"cnn\"", "\"family\": \"cnm\"", "family");
	info_refused("\"model_name\":\t\"small\"", "\"model_name\": 7", "'model_name'");
	info_refused("\"hyperparameters\":\t{", "\"hyperparameters\": 1, \"x\": {", "'hyperparameters'");
	info_refused(
	    "\"model_name\":\t\"small\"", "\"model_name\": \"small\", \"form\": \"float\"", "'form' occurs twice");
	info_refused(",\n\t\"sha256\"", " \"sha256\"", "not valid JSON");
	info_refused("\"sha256\":\t\"", "\"sha256\": \"A", "'sha256'");
	info_refused("\"classes\":\t4", "\"classes\": 2e9", "classes");
}

/* A field that a stage adds, with a value that no stage gives it. */
static void field_refused(const char *field, const char *part)
{
	char to[160];

	snprintf(to, sizeof(to), "\"model_name\":\t\"small\", %s", field);
	info_refused("\"model_name\":\t\"small\"", to, part);
}

static void checkpoint__each_field_of_a_stage_has_its_type_and_range(void **state)
{
	static const char *const refused[][2] = {{"\"seed\": -1", "'seed' must be from 0"},
	    {"\"seed\": 1.5", "'seed' must be a whole number"}, {"\"seed\": \"7\"", "'seed' is not a number"},
	    {"\"seed\": 1e300", "'seed' must be from 0 to 9007199254740992"},
	    {"\"seed\": 1e999", "'seed' must be finite"}, {"\"threads\": 0.5", "'threads' must be a whole number"},
	    {"\"seconds\": -0.1", "'seconds' must be from 0"},
	    {"\"val_macro_f1\": 1.01", "'val_macro_f1' must be from 0 to 1"},
	    {"\"peak_memory\": true", "'peak_memory'"},
	    {"\"parent_sha256\": \"../../x\"", "'parent_sha256' is not a SHA-256"},
	    {"\"key\": \"../zz\"", "'key' is not"}, {"\"teacher_sha256\": 1", "'teacher_sha256'"},
	    {"\"config\": []", "'config' is not a text"},
	    {"\"data_options\": \"x\"", "'data_options' is not an object"},
	    {"\"simulated\": 1", "'simulated' is not true"},
	    {"\"training\": {\"best_epoch\": -1}", "'best_epoch' must be from 0"},
	    {"\"metrics\": {\"validation\": {\"accuracy\": 1.5}}", "'accuracy' must be from 0 to 1, found 1.5"},
	    {"\"metrics\": {\"validation\": {\"f1_macro\": \"x\"}}", "'f1_macro' must be a number"},
	    {"\"metrics\": {\"train\": {\"per_class\": [{\"recall\": -0.5}]}}", "'recall' must be from 0 to 1"},
	    {"\"metrics\": {\"train\": {\"samples\": 2.5}}", "'samples' must be a whole number"},
	    {"\"int8_report\": {\"layers\": [{\"fp32_ms\": 1e999}]}", "'fp32_ms' must be finite"},
	    {"\"data\": {\"splits\": {\"test\": {\"sha256\": \"7\"}}}", "'data.splits.test.sha256'"},
	    {"\"data\": {\"splits\": 7}", "'data.splits' is not an object"},
	    {"\"data_prints_sha256\": \"0\"", "'data_prints_sha256'"}};

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		field_refused(refused[i][0], refused[i][1]);
}

/* Writes `text` as the info of the checkpoint "sealed", and loads that. */
static int load_with(const char *text)
{
	struct checkpoint d;
	int rc;

	assert_int_equal(fs_write(at("sealed/checkpoint_info.json"), text, strlen(text)), 0);
	rc = checkpoint_load(&d, at("sealed"));
	checkpoint_clear(&d);
	return rc;
}

static void checkpoint__info_tells_any_change_of_itself(void **state)
{
	struct checkpoint c, d;
	struct param_store store;
	struct fs_bytes b;
	char hex[HASH_HEX], *text;

	(void)state;
	fill_float(&c, &store);
	must_save(&c, at("sealed"));
	assert_int_equal(hash_file(at("sealed/checkpoint_info.json"), hex), 0);
	assert_string_equal(c.info_sha256, hex);
	assert_int_equal(checkpoint_load(&d, at("sealed")), 0);
	assert_string_equal(d.info_sha256, hex);
	checkpoint_clear(&d);
	assert_int_equal(fs_read(at("sealed/checkpoint_info.json"), &b), 0);
	text = strdup((char *)b.data);
	/* A name, which nothing else would notice; then a blank. */
	memcpy(strstr(text, "\"small\""), "\"smell\"", 7);
	assert_int_equal(load_with(text), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "checkpoint_info.json: was changed since it was written"));
	memcpy(strstr(text, "\"smell\""), "\"small\"", 7);
	assert_int_equal(load_with(text), 0);
	*strchr(text, '\t') = ' ';
	assert_int_equal(load_with(text), ERR_CHECKPOINT);
	drop_seal(text);
	assert_int_equal(load_with(text), 0);
	free(text);
	fs_bytes_clear(&b);
	params_clear(&store);
	checkpoint_clear(&c);
}

static void checkpoint__a_changed_or_cut_model_is_refused(void **state)
{
	struct checkpoint c, d;
	struct param_store store;
	struct fs_bytes b;

	(void)state;
	fill_float(&c, &store);
	must_save(&c, at("cut"));
	assert_int_equal(fs_read(at("cut/model.safetensors"), &b), 0);
	b.data[b.size - 3] ^= 1;
	assert_int_equal(fs_write(at("cut/model.safetensors"), b.data, b.size), 0);
	assert_int_equal(checkpoint_load(&d, at("cut")), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "SHA-256"));
	b.data[b.size - 3] ^= 1;
	assert_int_equal(fs_write(at("cut/model.safetensors"), b.data, b.size - 1), 0);
	assert_int_equal(checkpoint_load(&d, at("cut")), ERR_CHECKPOINT);
	assert_int_equal(unlink(at("cut/model.safetensors")), 0);
	assert_int_equal(checkpoint_load(&d, at("cut")), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "model.safetensors"));
	fs_bytes_clear(&b);
	params_clear(&store);
	checkpoint_clear(&c);
}

static void checkpoint__a_save_that_fails_leaves_no_info(void **state)
{
	struct checkpoint c;
	struct param_store store;

	(void)state;
	fill_float(&c, &store);
	must_save(&c, at("twice"));
	assert_int_equal(unlink(at("twice/model.safetensors")), 0);
	assert_int_equal(fs_mkdirs(at("twice/model.safetensors")), 0); /* cannot be written */
	assert_true(checkpoint_save(&c, at("twice")) < 0);
	assert_false(fs_exists(at("twice/checkpoint_info.json")));
	params_clear(&store);
	checkpoint_clear(&c);
}

/* Of half-precision weights the two zeros count, of a file its megabytes of a million bytes. */
static void checkpoint__fields_count_both_zeros_and_decimal_megabytes(void **state)
{
	struct checkpoint c;
	struct param_store store;

	(void)state;
	fill_quantized(&c, &store, QUANT_FP16, 8);
	uint16_t *half = item(&c, "fc2.weight.half")->t.data;
	for (int i = 0; i < 28; i++)
		half[i] = (uint16_t)(i % 4 == 0 ? 0x8000 : i % 4 == 1 ? 0 : 0x3c00);
	cJSON *fields = checkpoint_derive(&c, 12345678);
	const cJSON *layer =
	    cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(fields, "sparsity"), "fc2.weight.half");
	assert_true(number(layer, "zero", NULL) == 14);
	assert_true(number(layer, "total", NULL) == 28);
	assert_true(number(layer, "pct", NULL) == 50);
	assert_true(number(fields, "size_mb", NULL) == 12.35);
	cJSON_Delete(fields);
	params_clear(&store);
	checkpoint_clear(&c);
}

static void checkpoint__a_simulated_plan_has_no_integer_form(void **state)
{
	struct checkpoint c, d;
	struct param_store store;

	(void)state;
	fill_quantized(&c, &store, QUANT_STATIC, 4);
	must_save(&c, at("simulated"));
	cJSON_ReplaceItemInObject(c.info, "form", cJSON_CreateString("integer"));
	char *text = cJSON_Print(c.info);
	drop_seal(text);
	assert_int_equal(fs_write(at("simulated/checkpoint_info.json"), text, strlen(text)), 0);
	assert_int_equal(checkpoint_load(&d, at("simulated")), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "contradicts the quantization plan"));
	cJSON_free(text);
	params_clear(&store);
	checkpoint_clear(&c);
}

static void checkpoint__numbers_that_json_cannot_hold_are_refused(void **state)
{
	struct checkpoint c;
	struct param_store store;

	(void)state;
	fill_float(&c, &store);
	cJSON_AddNumberToObject(c.info, "val_macro_f1", (double)(0.0f / 0.0f));
	assert_true(checkpoint_save(&c, at("nan")) < 0);
	assert_false(fs_exists(at("nan/checkpoint_info.json")));
	params_clear(&store);
	checkpoint_clear(&c);
}

static void checkpoint__unset_params_are_not_saved(void **state)
{
	struct checkpoint c = {.spec = small_spec()};
	struct param_store store;
	struct graph g;

	(void)state;
	params_init(&store, dev);
	assert_int_equal(checkpoint_graph(&c, &shape_one, false, &g), 0);
	assert_int_equal(checkpoint_from_params(&c, &g, &store), ERR_FAIL);
	assert_non_null(strstr(err_message(), "'conv1.weight' does not exist"));
	struct param *p;
	for (int i = 0; i < g.n; i++) /* memory, and no value in it */
		if (g.node[i].op == OP_PARAM)
			assert_int_equal(params_add(&store, g.node[i].name, g.node[i].dtype, g.node[i].shape, &p), 0);
	assert_int_equal(checkpoint_from_params(&c, &g, &store), ERR_FAIL);
	assert_non_null(strstr(err_message(), "'conv1.weight' has no value"));
	graph_clear(&g);
	params_clear(&store);
	checkpoint_clear(&c);
}

static void checkpoint__survives_each_failing_allocation(void **state)
{
	struct checkpoint c, d;
	struct param_store store;
	uint64_t n = 0;
	int rc;

	(void)state;
	fill_quantized(&c, &store, QUANT_STATIC, 8);
	do {
		mem_fail_at(++n);
		rc = checkpoint_save(&c, at("alloc"));
		mem_fail_at(0);
		/* A failed save leaves no info file: nothing claims to be whole. */
		if (rc != 0)
			assert_false(fs_exists(at("alloc/checkpoint_info.json")));
	} while (rc == ERR_NOMEM);
	assert_int_equal(rc, 0);
	n = 0;
	do {
		mem_fail_at(++n);
		rc = checkpoint_load(&d, at("alloc"));
		mem_fail_at(0);
		if (rc != 0)
			assert_null(d.info);
	} while (rc == ERR_NOMEM);
	assert_int_equal(rc, 0);
	assert_true(n > 50);
	checkpoint_clear(&d);
	params_clear(&store);
	checkpoint_clear(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(checkpoint__round_trip_keeps_params_and_masks),
	    cmocka_unit_test(checkpoint__derived_fields_are_true),
	    cmocka_unit_test(checkpoint__saving_twice_gives_the_same_bytes),
	    cmocka_unit_test(checkpoint__is_found_by_folder_or_file),
	    cmocka_unit_test(checkpoint__integers_keep_the_step_of_every_value),
	    cmocka_unit_test(checkpoint__every_form_loads_again),
	    cmocka_unit_test(checkpoint__tensors_that_do_not_fit_are_refused_by_name),
	    cmocka_unit_test(checkpoint__weights_of_1_bit_are_signs),
	    cmocka_unit_test(checkpoint__info_that_is_wrong_is_refused_by_field),
	    cmocka_unit_test(checkpoint__each_field_of_a_stage_has_its_type_and_range),
	    cmocka_unit_test(checkpoint__info_tells_any_change_of_itself),
	    cmocka_unit_test(checkpoint__a_changed_or_cut_model_is_refused),
	    cmocka_unit_test(checkpoint__a_save_that_fails_leaves_no_info),
	    cmocka_unit_test(checkpoint__fields_count_both_zeros_and_decimal_megabytes),
	    cmocka_unit_test(checkpoint__a_simulated_plan_has_no_integer_form),
	    cmocka_unit_test(checkpoint__numbers_that_json_cannot_hold_are_refused),
	    cmocka_unit_test(checkpoint__unset_params_are_not_saved),
	    cmocka_unit_test(checkpoint__survives_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
