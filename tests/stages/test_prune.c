/* prune: units that are really removed, and whole runs on the embedded digits. */
#include "stages/rig.h"

#include <math.h>

#include "base/hash.h"
#include "graph/pass.h"
#include "stages/prune.h"
#include "worst.h"

static const struct model_spec cnn_spec = {.family = &family_cnn,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 3,
    .width = (int[]){6, 10, 24},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){1, 1}},
	.pool = {2, (int[]){2, 2}},
	.batchnorm = true,
	.conv_bias = true}};
static const struct model_spec resnet_spec = {.family = &family_resnet,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 4,
    .width = (int[]){6, 7, 9, 10},
    .own = &(struct resnet_spec){.blocks = {2, (int[]){1, 1}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 1}};
static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){16, 12},
    .own = &(struct mlp_spec){0}};
static int set_up(void **state)
{
	static struct rig r;
	rig_open(&r, "source: digits");
	*state = &r;
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "cnn", .options = "{epochs: 4, batch_size: 64, lr: 0.005}", .spec = &cnn_spec}));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "resnet", .options = "{epochs: 1, lr: 0.005}", .spec = &resnet_spec}));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "mlp", .options = "{epochs: 3, batch_size: 64, lr: 0.01}", .spec = &mlp_spec}));
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

static const struct named_tensor *tensor(const struct checkpoint *c, const char *name)
{
	const struct named_tensor *t = tensor_file_find(&c->tensors, name);
	if (!t)
		fail_msg("no tensor '%s'", name);
	return t;
}

static int64_t zeros_under_mask(const struct checkpoint *c, const char *weight)
{
	char name[128];
	snprintf(name, sizeof(name), "%s.mask", weight);
	const float *w = tensor(c, weight)->t.data;
	const struct named_tensor *m = tensor(c, name);
	int64_t n = shape_count(tensor(c, weight)->t.shape), masked = 0;
	for (int64_t i = 0; i < n; i++) {
		masked += !checkpoint_mask_keeps(m, i);
		assert_true(checkpoint_mask_keeps(m, i) || w[i] == 0);
	}
	return masked;
}

static void prune__masks_are_exactly_zero_after_fine_tuning(void **state)
{
	struct rig *r = *state;
	struct checkpoint c, parent;
	cJSON *s = NULL;
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "p50",
		.options = "{sparsity: 0.5, epochs: 2, batch_size: 64}",
		.input = "cnn",
		.summary = &s}));
	RIG_OK(checkpoint_load(&c, rig_path(r, "p50")));
	RIG_OK(checkpoint_load(&parent, rig_path(r, "cnn")));
	int64_t masked = 0, total = 0;
	const char *const weights[] = {"conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"};
	for (int i = 0; i < 4; i++) {
		masked += zeros_under_mask(&c, weights[i]);
		total += shape_count(tensor(&c, weights[i])->t.shape);
	}
	assert_int_equal(masked, llround(0.5 * (double)total));
	assert_true(rig_number(s, "nonzero") == rig_number(s, "parameters") - (double)masked);
	assert_true(fabs(rig_number(s, "sparsity_pct") - 100. * (double)masked / (double)total) < 1e-3);
	assert_true(rig_val(s, "accuracy") > 0.8);
	assert_string_equal(cJSON_GetObjectItem(c.info, "technique")->valuestring, "pruned_50");
	assert_string_equal(cJSON_GetObjectItem(c.info, "parent_sha256")->valuestring, parent.sha256);
	/* the fine-tuning did move what stays */
	assert_true(memcmp(tensor(&c, "bn1.weight")->t.data, tensor(&parent, "bn1.weight")->t.data, 6 * 4) != 0);
	cJSON_Delete(s);
	checkpoint_clear(&c);
	checkpoint_clear(&parent);
}

static void prune__keeps_the_masks_of_its_input(void **state)
{
	struct rig *r = *state;
	struct checkpoint a, b;
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "first", .options = "{sparsity: 0.3, epochs: 0}", .input = "mlp"}));
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "second",
		.options = "{sparsity: 0.6, scope: layer, epochs: 1, teacher_gate: 0.1}",
		.input = "first",
		.teacher = "cnn"}));
	RIG_OK(checkpoint_load(&a, rig_path(r, "first")));
	RIG_OK(checkpoint_load(&b, rig_path(r, "second")));
	const struct named_tensor *m1 = tensor(&a, "fc1.weight.mask"), *m2 = tensor(&b, "fc1.weight.mask");
	for (int i = 0; i < 64 * 16; i++)
		assert_true(checkpoint_mask_keeps(m1, i) || !checkpoint_mask_keeps(m2, i));
	assert_int_equal(zeros_under_mask(&b, "fc1.weight"), llround(0.6 * 64 * 16));
	assert_true(cJSON_IsString(cJSON_GetObjectItem(b.info, "teacher_sha256")));
	checkpoint_clear(&a);
	checkpoint_clear(&b);
	int rc = rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "less", .options = "{sparsity: 0.4, epochs: 0}", .input = "second"});
	assert_int_equal(rc, ERR_CONFIG);
	assert_non_null(strstr(err_message(), "masks are never lifted"));
}

static void prune__ramps_hit_the_target(void **state)
{
	struct rig *r = *state;
	const char *const ramps[] = {"linear", "cubic", "exponential"};
	for (int i = 0; i < 3; i++) {
		char options[128];
		struct checkpoint c;
		cJSON *s = NULL;
		snprintf(options, sizeof(options),
		    "{sparsity: 0.7, ramp: %s, begin_epoch: 1, end_epoch: 3, epochs: 5, exclude: [fc3]}", ramps[i]);
		RIG_OK(rig_run(r, &stage_prune,
		    &(struct rig_case){.name = ramps[i], .options = options, .input = "mlp", .summary = &s}));
		RIG_OK(checkpoint_load(&c, rig_path(r, ramps[i])));
		int64_t masked = zeros_under_mask(&c, "fc1.weight") + zeros_under_mask(&c, "fc2.weight");
		assert_int_equal(masked, llround(0.7 * (64 * 16 + 16 * 12)));
		assert_null(tensor_file_find(&c.tensors, "fc3.weight.mask"));
		assert_true(rig_number(s, "best_epoch") > 3); /* earlier epochs were not at the target */
		cJSON_Delete(s);
		checkpoint_clear(&c);
	}
}

static void prune__nm_pattern_holds_after_fine_tuning(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "nm", .options = "{method: nm, epochs: 2, batch_size: 64}", .input = "mlp"}));
	RIG_OK(checkpoint_load(&c, rig_path(r, "nm")));
	const char *const weights[] = {"fc1.weight", "fc2.weight", "fc3.weight"};
	for (int k = 0; k < 3; k++) {
		const float *w = tensor(&c, weights[k])->t.data;
		int64_t n = shape_count(tensor(&c, weights[k])->t.shape);
		for (int64_t at = 0; at < n; at += 4) {
			int nonzero = 0;
			for (int i = 0; i < 4; i++)
				nonzero += w[at + i] < 0 || w[at + i] > 0;
			assert_true(nonzero <= 2);
		}
		assert_int_equal(zeros_under_mask(&c, weights[k]), n / 2);
	}
	assert_string_equal(cJSON_GetObjectItem(c.info, "technique")->valuestring, "pruned_2of4");
	checkpoint_clear(&c);
}

static const char *text_of(const struct checkpoint *c, const char *block, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetObjectItem(c->info, block), key));
	return text ? text : "";
}

/* Every output of every layer has lost its share, and the output says how weights were compared. */
static void wanda__prunes_each_output_alike(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	cJSON *s = NULL;
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "wanda",
		.options = "{method: wanda, sparsity: 0.5, epochs: 1, batch_size: 64, exclude: [conv1]}",
		.input = "cnn",
		.summary = &s}));
	RIG_OK(checkpoint_load(&c, rig_path(r, "wanda")));
	static const struct {
		const char *name;
		int outputs, inputs;
	} weights[] = {{"conv2.weight", 10, 54}, {"fc1.weight", 24, 40}, {"fc2.weight", 10, 24}};
	for (int k = 0; k < 3; k++) {
		char name[64];
		snprintf(name, sizeof(name), "%s.mask", weights[k].name);
		for (int o = 0; o < weights[k].outputs; o++) {
			int masked = 0;
			for (int i = 0; i < weights[k].inputs; i++)
				masked += !checkpoint_mask_keeps(tensor(&c, name), o * weights[k].inputs + i);
			assert_int_equal(masked, weights[k].inputs / 2);
		}
		zeros_under_mask(&c, weights[k].name);
	}
	assert_true(rig_val(s, "accuracy") > 0.7);
	assert_string_equal(cJSON_GetObjectItem(c.info, "technique")->valuestring, "wanda_50");
	assert_string_equal(text_of(&c, "pruning", "score"), "wanda");
	assert_string_equal(text_of(&c, "pruning", "scope"), "row");
	assert_string_equal(text_of(&c, "pruning", "calibration_split"), "train");
	assert_true(rig_number(cJSON_GetObjectItem(c.info, "pruning"), "calibration_samples") == 512);
	cJSON_Delete(s);
	checkpoint_clear(&c);
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "wanda_all",
		.options = "{method: wanda, scope: global, sparsity: 0.5, epochs: 0, calibration_batches: 3, "
			   "calibration_batch_size: 20, calibration_split: validation}",
		.input = "mlp"}));
	RIG_OK(checkpoint_load(&c, rig_path(r, "wanda_all")));
	assert_int_equal(zeros_under_mask(&c, "fc1.weight") + zeros_under_mask(&c, "fc2.weight") +
			     zeros_under_mask(&c, "fc3.weight"),
	    llround(0.5 * (64 * 16 + 16 * 12 + 12 * 10)));
	assert_string_equal(text_of(&c, "pruning", "scope"), "global");
	assert_string_equal(text_of(&c, "pruning", "calibration_split"), "validation");
	assert_true(rig_number(cJSON_GetObjectItem(c.info, "pruning"), "calibration_samples") == 60);
	checkpoint_clear(&c);
}

/* Weights masked in the named layers of DIR/folder, and what its info says of them. */
static int masked_in(struct rig *r, const char *folder, const char *scope, const char *const *weights, int n)
{
	struct checkpoint c;
	int masked = 0;
	RIG_OK(checkpoint_load(&c, rig_path(r, folder)));
	for (int i = 0; i < n; i++)
		masked += (int)zeros_under_mask(&c, weights[i]);
	assert_string_equal(cJSON_GetObjectItem(c.info, "technique")->valuestring, "taylor_50");
	assert_string_equal(text_of(&c, "pruning", "score"), "taylor");
	assert_string_equal(text_of(&c, "pruning", "scope"), scope);
	assert_true(rig_number(cJSON_GetObjectItem(c.info, "pruning"), "calibration_samples") == 128);
	checkpoint_clear(&c);
	return masked;
}

/* Everywhere the share is exact, of all, of each layer and of each output; and the loss is hurt less than by random or
 * small weights: the scores are of the loss. */
static void taylor__masks_what_the_loss_misses_least(void **state)
{
	static const char *const weights[] = {"fc1.weight", "fc2.weight", "fc3.weight"};
	static const int total[] = {64 * 16, 16 * 12, 12 * 10};
	struct rig *r = *state;
	char options[160];
	double loss[2];
	for (int i = 0; i < 3; i++) {
		static const char *const scopes[] = {"global", "layer", "row"};
		cJSON *s = NULL;
		snprintf(options, sizeof(options),
		    "{method: taylor%s%s, sparsity: 0.5, epochs: 0, calibration_batches: 4}", i ? ", scope: " : "",
		    i ? scopes[i] : "");
		RIG_OK(rig_run(r, &stage_prune,
		    &(struct rig_case){
			.name = "taylor", .folder = scopes[i], .options = options, .input = "mlp", .summary = &s}));
		if (i == 0)
			loss[0] = rig_val(s, "loss");
		cJSON_Delete(s);
		assert_int_equal(masked_in(r, scopes[i], scopes[i], weights, 3), 1336 / 2);
		for (int k = 0; i && k < 3; k++)
			assert_int_equal(masked_in(r, scopes[i], scopes[i], &weights[k], 1), total[k] / 2);
	}
	cJSON *s = NULL;
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){
		.name = "small", .options = "{sparsity: 0.5, epochs: 0}", .input = "mlp", .summary = &s}));
	loss[1] = rig_val(s, "loss");
	cJSON_Delete(s);
	assert_true(loss[0] < loss[1]);
}

/* An input that is never anything but 0 keeps no weight while others do, however large it is. */
static void wanda__drops_what_multiplies_nothing(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	struct model m;
	float w[16 * 64], bias[16], reads[12 * 16];
	rig_load(r, "mlp", &m);
	RIG_OK(params_read(&m.params, "fc1.weight", w));
	RIG_OK(params_read(&m.params, "fc1.bias", bias));
	RIG_OK(params_read(&m.params, "fc2.weight", reads));
	for (int i = 0; i < 64; i++)
		w[5 * 64 + i] = 0;
	bias[5] = -1; /* behind the ReLU */
	for (int o = 0; o < 12; o++)
		reads[o * 16 + 5] = 10;
	RIG_OK(params_write(&m.params, "fc1.weight", w));
	RIG_OK(params_write(&m.params, "fc1.bias", bias));
	RIG_OK(params_write(&m.params, "fc2.weight", reads));
	rig_save(r, &m, "dead");
	model_clear(&m);
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "dead_wanda",
		.options = "{method: wanda, sparsity: 0.25, epochs: 0, exclude: [fc1, fc3]}",
		.input = "dead"}));
	RIG_OK(checkpoint_load(&c, rig_path(r, "dead_wanda")));
	for (int o = 0; o < 12; o++)
		assert_false(checkpoint_mask_keeps(tensor(&c, "fc2.weight.mask"), o * 16 + 5));
	assert_int_equal(zeros_under_mask(&c, "fc2.weight"), 12 * 16 / 4);
	checkpoint_clear(&c);
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "nm_wanda",
		.options = "{method: nm, score: wanda, exclude: [fc3], epochs: 0}",
		.input = "dead"}));
	RIG_OK(checkpoint_load(&c, rig_path(r, "nm_wanda")));
	for (int o = 0; o < 12; o++)
		assert_false(checkpoint_mask_keeps(tensor(&c, "fc2.weight.mask"), o * 16 + 5));
	assert_int_equal(zeros_under_mask(&c, "fc2.weight"), 12 * 16 / 2);
	assert_string_equal(cJSON_GetObjectItem(c.info, "technique")->valuestring, "wanda_2of4");
	checkpoint_clear(&c);
}

/* Silences the units that `keep` drops: every value that produces them becomes 0, gamma and beta included. */
static void silence(struct model *m, const struct graph *g, const struct slice *keep)
{
	for (int i = 0; i < g->n; i++) {
		const struct node *p = &g->node[i];
		int width = p->op == OP_PARAM && p->param.kind == PARAM_TRAINED ? p->param.axis[0].width : -1;
		if (width < 0 || !keep->keep[width])
			continue;
		int64_t n = shape_count(p->shape), inner = shape_inner(p->shape, 0);
		uint8_t *mask = mem_alloc((size_t)n, 1);
		for (int k = 0; k < keep->n_keep[width]; k++)
			memset(mask + keep->keep[width][k] * inner, 1, (size_t)inner);
		RIG_OK(params_set_mask(&m->params, p->name, mask));
		mem_free(mask);
	}
}

/* Which old units stand at each place of the sliced model: found by comparing a vector that structured pruning copies
 * untouched, the running variance or a bias. */
static void find_kept(
    const struct checkpoint *old, const struct checkpoint *cut, const char *vector, int width, struct slice *keep)
{
	const float *a = tensor(old, vector)->t.data, *b = tensor(cut, vector)->t.data;
	int n_old = (int)shape_count(tensor(old, vector)->t.shape), n = (int)shape_count(tensor(cut, vector)->t.shape);
	keep->n_keep[width] = n;
	keep->keep[width] = mem_alloc((size_t)n, sizeof(int));
	int from = 0;
	for (int i = 0; i < n; i++, from++) {
		while (from < n_old && (a[from] < b[i] || a[from] > b[i]))
			from++;
		assert_true(from < n_old);
		keep->keep[width][i] = from;
	}
}

static void compare_with_masked(
    struct rig *r, const char *input, const char *options, const char *const *vectors, int n)
{
	char cut_name[64], masked_name[64];
	struct checkpoint cut;
	struct model m;
	struct slice keep;
	struct graph g;
	snprintf(cut_name, sizeof(cut_name), "%s_cut", input);
	snprintf(masked_name, sizeof(masked_name), "%s_masked", input);
	RIG_OK(rig_run(r, &stage_prune, &(struct rig_case){.name = cut_name, .options = options, .input = input}));
	RIG_OK(checkpoint_load(&cut, rig_path(r, cut_name)));
	rig_load(r, input, &m);
	RIG_OK(slice_init(&keep, m.ckpt.spec.n_width));
	for (int i = 0; i < n; i++) {
		find_kept(&m.ckpt, &cut, vectors[i], i, &keep);
		assert_true(keep.n_keep[i] < m.ckpt.spec.width[i]);
		assert_int_equal(keep.n_keep[i], cut.spec.width[i]);
	}
	assert_true(rig_number(cJSON_GetObjectItem(cut.info, "parameters"), "removed") > 0);
	RIG_OK(spec_build(&g, &m.ckpt.spec, &shape_one));
	silence(&m, &g, &keep);
	rig_save(r, &m, masked_name);
	float *a = rig_logits(r, cut_name, 50), *b = rig_logits(r, masked_name, 50), *c = rig_logits(r, input, 50);
	double worst = 0, moved = 0;
	for (int i = 0; i < 500; i++) {
		worst = worst_of(worst, fabs((double)a[i] - (double)b[i]));
		moved = fmax(moved, fabs((double)a[i] - (double)c[i]));
	}
	assert_true(worst < 1e-4);
	assert_true(moved > 0.1);
	mem_free(a);
	mem_free(b);
	mem_free(c);
	slice_clear(&keep);
	graph_clear(&g);
	checkpoint_clear(&cut);
	model_clear(&m);
}

static void structured__gives_the_logits_of_the_masked_model(void **state)
{
	struct rig *r = *state;
	const char *const cnn[] = {"bn1.running_var", "bn2.running_var", "fc1.bias"};
	compare_with_masked(r, "cnn", "{method: structured, sparsity: 0.4, epochs: 0}", cnn, 3);
	const char *const resnet[] = {"bn1.running_var", "stage1.block0.bn1.running_var",
	    "stage2.block0.bn2.running_var", "stage2.block0.bn1.running_var"};
	compare_with_masked(r, "resnet", "{method: structured, sparsity: 0.3, norm: l2, epochs: 0}", resnet, 4);
	const char *const mlp[] = {"fc1.bias", "fc2.bias"};
	compare_with_masked(r, "mlp", "{method: structured, sparsity: 0.5, epochs: 0}", mlp, 2);
}

static void structured__removes_the_weakest_units(void **state)
{
	struct rig *r = *state;
	struct model m;
	struct checkpoint cut;
	float w[16 * 64], kept[13 * 64];
	rig_load(r, "mlp", &m);
	RIG_OK(params_read(&m.params, "fc1.weight", w));
	for (int i = 0; i < 64; i++)
		w[2 * 64 + i] = w[7 * 64 + i] = w[15 * 64 + i] = 1e-4f * (float)(i % 3);
	RIG_OK(params_write(&m.params, "fc1.weight", w));
	rig_save(r, &m, "weak");
	model_clear(&m);
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "weak_cut",
		.options = "{method: structured, sparsity: 0.2, exclude: [fc2], epochs: 0}",
		.input = "weak"}));
	RIG_OK(checkpoint_load(&cut, rig_path(r, "weak_cut")));
	assert_int_equal(cut.spec.width[0], 13);
	assert_int_equal(cut.spec.width[1], 12);
	for (int u = 0, at = 0; u < 16; u++)
		if (u != 2 && u != 7 && u != 15)
			memcpy(kept + 64 * at++, w + 64 * u, 64 * sizeof(*w));
	assert_memory_equal(tensor(&cut, "fc1.weight")->t.data, kept, sizeof(kept));
	checkpoint_clear(&cut);
}

/* Units that nothing reads lose nothing when they go, however large the weights are that make them. */
static void taylor__removes_what_the_loss_does_not_feel(void **state)
{
	struct rig *r = *state;
	struct model m;
	struct checkpoint c;
	float reads[10 * 9 * 6], makes[6 * 9];
	rig_load(r, "cnn", &m);
	RIG_OK(params_read(&m.params, "conv2.weight", reads));
	RIG_OK(params_read(&m.params, "conv1.weight", makes));
	for (int i = 0; i < 10 * 9; i++)
		reads[i * 6 + 1] = reads[i * 6 + 4] = 0;
	for (int i = 0; i < 9; i++)
		makes[9 + i] = makes[4 * 9 + i] = 3;
	RIG_OK(params_write(&m.params, "conv2.weight", reads));
	RIG_OK(params_write(&m.params, "conv1.weight", makes));
	rig_save(r, &m, "unread");
	model_clear(&m);
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "unread_cut",
		.options = "{method: structured, score: taylor, sparsity: 0.34, exclude: [conv2, fc1], epochs: 0, "
			   "calibration_batches: 4, calibration_batch_size: 10}",
		.input = "unread"}));
	RIG_OK(checkpoint_load(&c, rig_path(r, "unread_cut")));
	assert_int_equal(c.spec.width[0], 4);
	const float *left = tensor(&c, "conv1.weight")->t.data;
	static const int kept[] = {0, 2, 3, 5};
	for (int u = 0; u < 4; u++)
		assert_memory_equal(left + 9 * u, makes + 9 * kept[u], 9 * sizeof(float));
	assert_string_equal(text_of(&c, "pruning", "score"), "taylor");
	assert_true(rig_number(cJSON_GetObjectItem(c.info, "pruning"), "calibration_samples") == 40);
	checkpoint_clear(&c);
	/* The stage's output is the same model: nobody read what went. */
	float *a = rig_logits(r, "unread", 50), *b = rig_logits(r, "unread_cut", 50);
	for (int i = 0; i < 500; i++)
		assert_true(fabs((double)a[i] - (double)b[i]) < 1e-4);
	mem_free(a);
	mem_free(b);
	struct prune_options o = {0};
	const char *key = NULL;
	RIG_OK(rig_options(prune_option_table, &o, "{method: structured, score: taylor, sparsity: 0.34}"));
	assert_int_equal(stage_prune.check(&o, &resnet_spec, &key), ERR_CONFIG);
	assert_string_equal(key, "score");
	assert_non_null(strstr(err_message(), "the units of stage1 are read at"));
	option_clear(prune_option_table, &o);
}

static void structured__slices_masks_and_can_be_fine_tuned(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	cJSON *s = NULL;
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){
		.name = "sparse", .options = "{sparsity: 0.5, scope: layer, epochs: 0}", .input = "cnn"}));
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "sparse_cut",
		.options = "{method: structured, sparsity: 0.3, epochs: 3, batch_size: 64}",
		.input = "sparse",
		.summary = &s}));
	RIG_OK(checkpoint_load(&c, rig_path(r, "sparse_cut")));
	assert_true(zeros_under_mask(&c, "fc1.weight") > 0);
	assert_int_equal(
	    tensor(&c, "fc1.weight.mask")->t.shape.dim[0], (shape_count(tensor(&c, "fc1.weight")->t.shape) + 7) / 8);
	assert_true(rig_val(s, "accuracy") > 0.6);
	cJSON_Delete(s);
	checkpoint_clear(&c);
}

static void structured__widths_are_rounded_and_never_empty(void **state)
{
	(void)state;
	struct model_spec in = {.family = &family_mlp,
			      .input = {.height = 8, .width = 8, .channels = 1},
			      .classes = 10,
			      .n_width = 5,
			      .width = (int[]){100, 32, 31, 3, 1},
			      .own = &(struct mlp_spec){0}},
			  out;
	struct prune_options o = {.method = PRUNE_STRUCTURED, .sparsity = 0.9, .min_units = 1};
	RIG_OK(prune_units_spec(&o, &in, o.sparsity, &out));
	assert_int_equal(out.width[0], 16); /* 10 -> the next multiple of 8 */
	assert_int_equal(out.width[1], 8);  /* 4 */
	assert_int_equal(out.width[2], 4);  /* narrow: not rounded */
	assert_int_equal(out.width[3], 1);
	assert_int_equal(out.width[4], 1);
	spec_clear(&out);
	o.round_to = 3, o.min_units = 2;
	RIG_OK(prune_units_spec(&o, &in, o.sparsity, &out));
	assert_int_equal(out.width[0], 12);
	assert_int_equal(out.width[2], 6);
	assert_int_equal(out.width[3], 3);
	assert_int_equal(out.width[4], 1);
	spec_clear(&out);
	o.round_to = 1, o.min_units = 5;
	RIG_OK(prune_units_spec(&o, &in, o.sparsity, &out));
	assert_int_equal(out.width[0], 10);
	assert_int_equal(out.width[2], 5); /* 4 */
	assert_int_equal(out.width[3], 3);
	spec_clear(&out);
}

static int empty_conv1, empty_others;

static void count_empty(struct progress *p, const char *text)
{
	(void)p;
	if (strncmp(text, "warning: all ", 13) != 0)
		return;
	empty_conv1 += strstr(text, "'conv1.weight' are masked") != NULL;
	empty_others += !strstr(text, "'conv1.weight' are masked");
}

/* Weights of conv1 that are smaller than all others lose every global competition. */
static void prune__says_which_layer_is_left_empty(void **state)
{
	static const struct {
		const char *options;
		int empty;
	} cases[] = {{"{sparsity: 0.5, epochs: 0}", 1}, {"{sparsity: 0.5, epochs: 0, scope: layer}", 0},
	    {"{sparsity: 0.5, epochs: 0, exclude: [conv1]}", 0},
	    {"{sparsity: 0.5, ramp: linear, epochs: 4, end_epoch: 3, batch_size: 256}", 1},
	    {"{method: nm, exclude: [conv1], epochs: 0}", 0}};
	struct rig *r = *state;
	struct progress progress = {.line = count_empty};
	struct model m;
	rig_load(r, "cnn", &m);
	const struct param *p = params_find(&m.params, "conv1.weight");
	const int64_t n = shape_count(p->value.shape);
	float *w = mem_alloc((size_t)n, sizeof(*w));
	RIG_OK(params_read(&m.params, p->name, w));
	for (int64_t i = 0; i < n; i++)
		w[i] *= 1e-6f;
	RIG_OK(params_write(&m.params, p->name, w));
	mem_free(w);
	rig_save(r, &m, "faint");
	model_clear(&m);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		empty_conv1 = empty_others = 0;
		RIG_OK(rig_run(r, &stage_prune,
		    &(struct rig_case){
			.name = "emptied", .options = cases[i].options, .input = "faint", .progress = &progress}));
		assert_int_equal(empty_conv1, cases[i].empty);
		assert_int_equal(empty_others, 0);
	}
	/* the mask of the input is still empty, whatever is done to it */
	RIG_OK(rig_run(
	    r, &stage_prune, &(struct rig_case){.name = "emptied", .options = cases[0].options, .input = "faint"}));
	empty_conv1 = 0;
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "again",
		.options = "{method: structured, sparsity: 0.25, epochs: 0}",
		.input = "emptied",
		.progress = &progress}));
	assert_int_equal(empty_conv1, 1);
}

static void prune__same_config_twice_gives_the_same_bytes(void **state)
{
	struct rig *r = *state;
	const char *const options[] = {"{sparsity: 0.6, ramp: cubic, epochs: 3}",
	    "{method: structured, sparsity: 0.5, epochs: 1}", "{method: wanda, sparsity: 0.5, epochs: 1}"};
	for (int i = 0; i < 3; i++) {
		char first[16], second[16];
		snprintf(first, sizeof(first), "same%d", i);
		snprintf(second, sizeof(second), "again%d", i);
		struct rig_case c = {.name = "same", .folder = first, .options = options[i], .input = "cnn"};
		char x[HASH_HEX], y[HASH_HEX], path[64];
		RIG_OK(rig_run(r, &stage_prune, &c));
		snprintf(path, sizeof(path), "%s/model.safetensors", c.folder);
		RIG_OK(hash_file(rig_path(r, path), x));
		c.folder = second;
		RIG_OK(rig_run(r, &stage_prune, &c));
		snprintf(path, sizeof(path), "%s/model.safetensors", c.folder);
		RIG_OK(hash_file(rig_path(r, path), y));
		assert_string_equal(x, y);
	}
}

static void prune__survives_each_failed_allocation(void **state)
{
	struct rig *r = *state;
	struct prune_options o = {.method = PRUNE_STRUCTURED, .sparsity = 0.5, .min_units = 1};
	int rc = -1, failed = 0;
	for (uint64_t n = 1; rc < 0; n++) {
		struct model m;
		struct prune_set set = {0};
		rig_load(r, "cnn", &m);
		mem_fail_at(n);
		struct model_spec want = {0};
		rc = prune_units_spec(&o, &m.ckpt.spec, o.sparsity, &want);
		if (!rc)
			rc = prune_units(&o, NULL, &want, &m);
		spec_clear(&want);
		if (!rc)
			rc = prune_set_init(&set, &m.ckpt.spec, &o);
		if (!rc)
			rc = prune_smallest(&set, &m.params, NULL, SCOPE_GLOBAL, 0.5);
		mem_fail_at(0);
		assert_true(!rc || rc == ERR_NOMEM);
		failed += rc < 0;
		prune_set_clear(&set);
		model_clear(&m);
	}
	assert_true(failed > 50);
}

static int plan_prune(
    struct rig *r, const char *text, const struct model_spec *spec, const char *teacher, struct stage_plan *p)
{
	struct prune_options o = {0};
	*p = (struct stage_plan){0};
	int rc = rig_options_with(prune_option_table, &o, text, teacher);
	if (rc < 0)
		return rc;
	struct stage_run run = {.name = "p",
	    .options = &o,
	    .data = &r->data,
	    .data_options = &r->data_options,
	    .train_dev = r->dev,
	    .cpu_dev = r->dev,
	    .teacher_dir = teacher,
	    .adapter = &r->adapter,
	    .task = &r->task};
	rc = stage_prune.plan(&run, spec, p);
	if (rc < 0)
		spec_clear(&p->spec);
	mask_forecast_clear(&p->masks); /* nobody looks at them here */
	option_clear(prune_option_table, &o);
	return rc;
}

static void plan__knows_the_widths_that_will_be_left(void **state)
{
	struct rig *r = *state;
	struct stage_plan p;
	RIG_OK(plan_prune(r, "{method: structured, sparsity: 0.5, epochs: 2}", &cnn_spec, NULL, &p));
	assert_int_equal(p.spec.width[0], 3);
	spec_clear(&p.spec);
	assert_non_null(strstr(p.text, "conv2 10 -> 5"));
	assert_true(p.memory.total > 0 && p.macs > 0);
	RIG_OK(plan_prune(r, "{sparsity: 0.5, epochs: 0, exclude: [fc*]}", &cnn_spec, NULL, &p));
	assert_int_equal(p.spec.width[0], 6);
	spec_clear(&p.spec);
	assert_non_null(strstr(p.text, "mask 50 % of 594 weights in 2 layers"));
	assert_int_equal(plan_prune(r, "{sparsity: 0.5, temperature: 2}", &cnn_spec, NULL, &p), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "no effect without 'teacher'"));
	assert_int_equal(plan_prune(r, "{sparsity: 0.5, epochs: 0}", &cnn_spec, "t", &p), ERR_CONFIG);
	assert_int_equal(plan_prune(r, "{sparsity: 0.5, label_smoothing: 0.1}", &cnn_spec, "t", &p), ERR_CONFIG);
	RIG_OK(plan_prune(r, "{sparsity: 0.5, temperature: 2}", &cnn_spec, "t", &p));
	spec_clear(&p.spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wanda__prunes_each_output_alike),
	    cmocka_unit_test(taylor__masks_what_the_loss_misses_least),
	    cmocka_unit_test(wanda__drops_what_multiplies_nothing),
	    cmocka_unit_test(prune__says_which_layer_is_left_empty),
	    cmocka_unit_test(prune__masks_are_exactly_zero_after_fine_tuning),
	    cmocka_unit_test(prune__keeps_the_masks_of_its_input),
	    cmocka_unit_test(prune__ramps_hit_the_target),
	    cmocka_unit_test(prune__nm_pattern_holds_after_fine_tuning),
	    cmocka_unit_test(structured__gives_the_logits_of_the_masked_model),
	    cmocka_unit_test(structured__removes_the_weakest_units),
	    cmocka_unit_test(taylor__removes_what_the_loss_does_not_feel),
	    cmocka_unit_test(structured__slices_masks_and_can_be_fine_tuned),
	    cmocka_unit_test(structured__widths_are_rounded_and_never_empty),
	    cmocka_unit_test(prune__same_config_twice_gives_the_same_bytes),
	    cmocka_unit_test(prune__survives_each_failed_allocation),
	    cmocka_unit_test(plan__knows_the_widths_that_will_be_left),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
