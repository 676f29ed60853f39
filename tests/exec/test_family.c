/* Families: what executors of several shapes share, that none of them sees another's values, and what it costs. */
#include <math.h>

#include "exec/family.h"
#include "exec/internal.h"
#include "exec/limited.h"
#include "exec/rig.h"
#include "graph/pass.h"

/* A model at any batch. */
struct model {
	struct model_spec spec;
	bool loss, fold;
	int frozen_from; /* batches from here on train nothing but the biases; 0: none */
	const char *keep;
};

static int build(void *user, const struct build_shape *shape, struct graph *out)
{
	const struct model *m = user;
	struct graph g;
	graph_init(&g);
	int rc = spec_build(m->fold ? &g : out, &m->spec, shape);
	if (!rc && m->fold)
		rc = pass_fold(&g, out);
	if (!rc && m->loss)
		rc = graph_add_ce(out, 0);
	for (int i = 0; !rc && m->frozen_from && shape->sequences >= m->frozen_from && i < out->n; i++)
		if (out->node[i].op == OP_PARAM && out->node[i].shape.ndim > 1)
			out->node[i].param.kind = PARAM_FROZEN;
	graph_clear(&g);
	return rc;
}

static int bind_keep(void *user, struct executor *ex)
{
	const struct model *m = user;
	return m->keep ? executor_keep(ex, m->keep) : 0;
}

struct world {
	struct device dev;
	struct model model;
	struct param_store store;
	struct exec_family *family;
};

static void world_open(struct world *w, const struct backend *b, struct model model, enum exec_mode mode)
{
	const struct executor_options o = {.mode = mode, .seed = 3, .stage = "rig"};
	struct graph g;
	w->dev = rig_open(b);
	w->model = model;
	params_init(&w->store, w->dev);
	graph_init(&g);
	assert_ok(build(&w->model, &(struct build_shape){.sequences = 1}, &g));
	assert_ok(params_add_graph(&w->store, &g, 1));
	graph_clear(&g);
	assert_ok(exec_family_create(&w->family, &w->store, &o, build, &w->model));
	exec_family_on_bind(w->family, bind_keep);
}

static void world_close(struct world *w)
{
	exec_family_free(w->family);
	params_clear(&w->store);
	rig_close(w->dev);
}

static struct executor *member(struct world *w, int batch)
{
	const struct build_shape shape = shape_samples(batch);
	struct executor *ex;
	assert_ok(exec_family_at(w->family, &shape, &ex));
	return ex;
}

static struct executor *alone(struct world *w, int batch, enum exec_mode mode, bool keep_all)
{
	const struct build_shape shape = shape_samples(batch);
	struct graph g;
	graph_init(&g);
	assert_ok(build(&w->model, &shape, &g));
	struct executor *ex = rig_executor(&g, &w->store, mode, keep_all);
	graph_clear(&g);
	return ex;
}

/* The outputs of samples first .. first+batch-1; owned by the caller. */
static float *outputs(struct executor *ex, int first)
{
	rig_feed(ex, first, 1);
	assert_ok(executor_forward(ex));
	return rig_value(ex, rig_output_name(ex));
}

static void family__members_say_what_single_executors_say(void **state)
{
	const struct model_spec specs[] = {rig_mlp(), rig_cnn(), rig_resnet()};
	const int batches[] = {1, 3, 2, 5, 1, 3};
	(void)state;
	for (int k = 0; k < 6; k++) {
		struct world w;
		world_open(&w, &ref_backend, (struct model){.spec = specs[k / 2], .fold = k % 2}, EXEC_INFER);
		for (int i = 0; i < 6; i++) {
			struct executor *ex = member(&w, batches[i]);
			struct executor *single = alone(&w, batches[i], EXEC_INFER, false);
			float *a = outputs(ex, i), *b = outputs(single, i);
			assert_memory_equal(a, b, (size_t)batches[i] * 5 * sizeof(float));
			free(a);
			free(b);
			executor_free(single);
		}
		assert_ptr_equal(member(&w, 3), member(&w, 3)); /* made once */
		world_close(&w);
	}
}

static void family__every_part_of_a_shape_has_its_own_member(void **state)
{
	struct world w;
	const struct build_shape shape[] = {{2, 8, 4}, {3, 8, 4}, {2, 12, 4}, {2, 8, 6}};
	struct executor *ex[4], *again;
	(void)state;
	world_open(&w, &ref_backend, (struct model){.spec = rig_mlp()}, EXEC_INFER);
	for (int i = 0; i < 4; i++)
		assert_ok(exec_family_at(w.family, &shape[i], &ex[i]));
	for (int i = 0; i < 4; i++) {
		assert_ok(exec_family_at(w.family, &shape[i], &again));
		for (int k = 0; k < 4; k++)
			assert_int_equal(again == ex[k], i == k);
	}
	world_close(&w);
}

static void family__a_larger_member_moves_the_others(void **state)
{
	struct world w;
	(void)state;
	world_open(&w, &ref_backend, (struct model){.spec = rig_cnn()}, EXEC_INFER);
	struct executor *small = member(&w, 2);
	float *before = outputs(small, 0);
	const uint64_t generation = small->shared->arena->generation;
	struct executor *large = member(&w, 40);
	assert_true(small->shared->arena->generation > generation);
	assert_int_equal(small->shared->arena->bytes[ARENA_VALUES], large->memory.activations);
	assert_error(executor_forward(small), ERR_FAIL, "input 'input' is gone");
	float *b = outputs(large, 0), *after = outputs(small, 0);
	assert_memory_equal(before, after, 2 * 5 * sizeof(float));
	assert_memory_equal(b, after, 2 * 5 * sizeof(float));
	assert_ptr_equal(small->call[small->g.n - 1].out.data, small->slot[small->g.n - 1].tensor.data);
	const char *at = small->slot[small->g.output].tensor.data, *block = small->shared->arena->block[ARENA_VALUES];
	assert_true(at >= block && at < block + small->shared->arena->bytes[ARENA_VALUES]);
	free(before);
	free(after);
	free(b);
	world_close(&w);
}

static void family__what_another_member_overwrote_cannot_be_read(void **state)
{
	struct world w;
	float x[3 * 5], loss;
	(void)state;
	world_open(&w, &ref_backend, (struct model){.spec = rig_cnn(), .loss = true}, EXEC_TRAIN);
	struct executor *a = member(&w, 3), *b = member(&w, 2);
	const char *loss_name = a->g.node[a->g.loss].name;
	rig_feed(a, 0, 3);
	assert_ok(executor_forward(a));
	assert_ok(executor_output(a, loss_name, &loss, sizeof(loss)));
	rig_feed(b, 0, 2);
	assert_error(executor_output(a, loss_name, &loss, sizeof(loss)), ERR_FAIL, "has run since");
	assert_error(executor_output(a, rig_output_name(a), x, sizeof(x)), ERR_FAIL, "has run since");
	assert_error(executor_backward(a, false), ERR_FAIL, "no forward before");
	assert_error(executor_forward(a), ERR_FAIL, "is gone");
	int node;
	assert_error(executor_find_nonfinite(a, &node), ERR_FAIL, "has run since");
	assert_ok(executor_forward(b));
	assert_ok(executor_backward(b, false));
	/* one input given, the other still lost */
	const float pixels[3 * 7 * 6 * 3] = {0};
	assert_ok(executor_input(a, "input", pixels, sizeof(pixels)));
	assert_error(executor_forward(a), ERR_FAIL, "was never given");
	assert_error(executor_forward(b), ERR_FAIL, "is gone");
	world_close(&w);
}

static void compare(const float *a, const float *b, size_t n, float tolerance)
{
	for (size_t i = 0; i < n; i++)
		if (!(fabsf(a[i] - b[i]) <= tolerance * (1 + fabsf(b[i]))))
			fail_msg("value %zu is %g, must be %g", i, (double)a[i], (double)b[i]);
}

/* Every param's gradient in `ex` and in `single`. */
static void compare_gradients(struct executor *ex, struct executor *single)
{
	int n = 0;
	for (int i = 0; i < ex->g.n; i++) {
		if (ex->g.node[i].op != OP_PARAM || !ex->slot[i].gradient)
			continue;
		const char *name = ex->g.node[i].name;
		float *a = rig_gradient(ex, name), *b = rig_gradient(single, name);
		compare(a, b, rig_bytes(ex, name) / sizeof(float), 1e-5f);
		free(a);
		free(b);
		n++;
	}
	assert_true(n >= 4);
}

static void train_micro(struct executor *ex, int first, bool accumulate)
{
	rig_feed(ex, first, 5);
	assert_ok(executor_forward(ex));
	assert_ok(executor_backward(ex, accumulate));
}

static void family__micro_batches_of_two_shapes_add_up_to_the_whole_batch(void **state)
{
	(void)state;
	for (int as_step = 0; as_step < 2; as_step++) {
		struct world w;
		world_open(&w, &ref_backend, (struct model){.spec = rig_mlp(), .loss = true}, EXEC_TRAIN);
		struct executor *whole = alone(&w, 5, EXEC_TRAIN, false), *two = member(&w, 2);
		train_micro(whole, 0, false);
		train_micro(two, 0, false);
		struct executor *three = member(&w, 3); /* made, and the arena grown, between two micro-batches */
		if (as_step) {
			rig_feed(three, 2, 5);
			assert_ok(executor_step(three, true, NULL));
		} else
			train_micro(three, 2, true);
		compare_gradients(three, whole);
		compare_gradients(two, whole); /* they are the family's */
		train_micro(three, 2, false);  /* begins anew whoever was last */
		train_micro(two, 0, true);
		compare_gradients(two, whole);
		executor_free(whole);
		world_close(&w);
	}
}

/* The weights after one step with micro-batches of 2 and 3, updated by the first or the second of them, and after the
 * same step of one executor. */
static void family__any_member_updates_with_the_sum(void **state)
{
	struct world w[3];
	struct optimizer opt[3];
	const struct update_args args = rig_adamw();
	(void)state;
	for (int k = 0; k < 3; k++) {
		world_open(&w[k], &ref_backend, (struct model){.spec = rig_cnn(), .loss = true}, EXEC_TRAIN);
		optimizer_init(&opt[k], &w[k].store, &args);
		if (k < 2)
			assert_ok(optimizer_scale_loss(&opt[k]));
		struct executor *two = member(&w[k], 2), *other = k < 2 ? member(&w[k], 2 + k) : two;
		if (k < 2)
			assert_ok(executor_scale_loss(other, opt[k].args.state)); /* for all of the family */
		train_micro(two, 0, false);
		if (k == 1) {
			rig_feed(other, 0, 5);
			assert_ok(executor_forward(other)); /* its values are not the sum's */
		}
		train_micro(two, 2, true);
		assert_ok(executor_update(other, &opt[k]));
		assert_error(executor_update(two, &opt[k]), ERR_FAIL, "no backward before");
	}
	for (int i = 0; i < w[0].store.n; i++) {
		const struct param *p = w[0].store.item[i];
		size_t n = tensor_bytes(&p->value) / sizeof(float);
		float *v[3];
		for (int k = 0; k < 3; k++) {
			v[k] = malloc(n * sizeof(float));
			assert_ok(params_read(&w[k].store, p->name, v[k]));
		}
		compare(v[0], v[2], n, 1e-6f);
		compare(v[1], v[2], n, 1e-6f);
		for (int k = 0; k < 3; k++)
			free(v[k]);
	}
	for (int k = 0; k < 3; k++) {
		optimizer_clear(&opt[k]);
		world_close(&w[k]);
	}
}

static void family__members_train_the_same_params(void **state)
{
	struct world w;
	struct executor *ex;
	const struct build_shape shape = shape_samples(4);
	(void)state;
	world_open(&w, &ref_backend, (struct model){.spec = rig_mlp(), .loss = true, .frozen_from = 4}, EXEC_TRAIN);
	struct executor *two = member(&w, 2);
	assert_error(exec_family_at(w.family, &shape, &ex), ERR_FAIL, "must train the same params");
	assert_null(ex);
	train_micro(two, 0, false); /* which does no harm */
	world_close(&w);
}

/* The reference, but its convolutions read packed weights: a copy behind a byte that says whose it is. */
static struct kernel kernels[OP_COUNT];
static struct backend packing;
static int n_fold, n_pack, n_copied, wish[8], n_wish, other_from;
static size_t other_bytes; /* what the others need more; 0: they have another layout instead */

static int fold_forward(struct call *s)
{
	n_fold++;
	return ref_backend.kernels[OP_FOLD_WEIGHT]->forward(s);
}

static int conv_prepare(struct call *s)
{
	const struct kernel *k = ref_backend.kernels[OP_CONV2D];
	if (n_wish < 8)
		wish[n_wish++] = s->layout;
	const bool other = s->out.shape.dim[0] >= other_from;
	s->packed = tensor_bytes(&s->in[1]) + (other ? other_bytes : 0);
	s->layout = other && !other_bytes ? 2 : 1;
	return k->prepare ? k->prepare(s) : 0;
}

static int conv_pack(struct call *s)
{
	n_pack++;
	if (s->is_packed)
		return 0;
	n_copied++;
	memcpy(s->packed_mem, s->in[1].data, tensor_bytes(&s->in[1]));
	return 0;
}

static int conv_forward(struct call *s)
{
	struct call other = *s;
	other.in[1].data = s->packed_mem;
	return ref_backend.kernels[OP_CONV2D]->forward(&other);
}

static const struct backend *packing_backend(int from)
{
	packing = ref_backend;
	ref_own_kernels(&packing, kernels);
	kernels[OP_FOLD_WEIGHT].forward = fold_forward;
	kernels[OP_CONV2D].prepare = conv_prepare;
	kernels[OP_CONV2D].pack = conv_pack;
	kernels[OP_CONV2D].forward = conv_forward;
	n_fold = n_pack = n_copied = n_wish = 0;
	other_from = from;
	other_bytes = 0;
	return &packing;
}

static void family__constants_and_packed_weights_are_made_once_per_version(void **state)
{
	const int batches[] = {1, 4, 2, 1, 4};
	(void)state;
	/* one packing for all, then from batch 4 on one of another layout, or of another size */
	for (int k = 0; k < 3; k++) {
		const int copies = k ? 2 : 1;
		struct world w;
		float bias[4] = {1, 2, 3, 4};
		world_open(
		    &w, packing_backend(k ? 4 : 99), (struct model){.spec = rig_cnn(), .fold = true}, EXEC_INFER);
		other_bytes = k == 2 ? 64 : 0;
		for (int version = 1; version <= 2; version++) {
			for (int i = 0; i < 5; i++) {
				float *a = outputs(member(&w, batches[i]), i);
				struct executor *single = alone(&w, batches[i], EXEC_INFER, false);
				const int fold = n_fold, pack = n_pack, copied = n_copied;
				float *b = outputs(single, i);
				assert_memory_equal(a, b, (size_t)batches[i] * 5 * sizeof(float));
				n_fold = fold;
				n_pack = pack;
				n_copied = copied;
				executor_free(single);
				free(a);
				free(b);
			}
			assert_int_equal(n_fold, 2 * version);
			assert_int_equal(n_pack, 2 * 3 * version); /* each of three members is asked once */
			assert_int_equal(n_copied, 2 * copies * version);
			assert_ok(params_write(&w.store, "conv1.bias", bias));
		}
		struct executor_memory m;
		const struct build_shape two = shape_samples(2);
		assert_ok(exec_family_plan(w.family, &two, &m));
		struct executor *single = alone(&w, 2, EXEC_INFER, false);
		assert_int_equal(m.packed, (size_t)copies * single->memory.packed + 2 * other_bytes);
		assert_int_equal(m.constants, single->memory.constants);
		executor_free(single);
		world_close(&w);
	}
}

static void family__a_kernel_is_told_which_layout_is_in_use(void **state)
{
	struct world w;
	(void)state;
	world_open(&w, packing_backend(1), (struct model){.spec = rig_cnn()}, EXEC_INFER);
	member(&w, 1);
	member(&w, 2);
	assert_int_equal(n_wish, 4);
	assert_int_equal(wish[0], 0);
	assert_int_equal(wish[1], 0);
	assert_int_equal(wish[2], 2);
	assert_int_equal(wish[3], 2);
	world_close(&w);
}

/* Folding that leaves something for backward, which every member then finds there. */
static int saving_prepare(struct call *s)
{
	s->saved = NODE_NAME;
	return 0;
}

static int saving_forward(struct call *s)
{
	memcpy(s->saved_mem, s->node->name, NODE_NAME);
	return fold_forward(s);
}

static int saving_backward(struct call *s)
{
	assert_string_equal((const char *)s->saved_mem, s->node->name);
	return ref_backend.kernels[OP_FOLD_WEIGHT]->backward(s);
}

static void family__what_a_constant_saved_is_there_for_everyones_backward(void **state)
{
	struct world w;
	(void)state;
	packing_backend(99);
	kernels[OP_FOLD_WEIGHT].prepare = saving_prepare;
	kernels[OP_FOLD_WEIGHT].forward = saving_forward;
	kernels[OP_FOLD_WEIGHT].backward = saving_backward;
	world_open(&w, &packing, (struct model){.spec = rig_cnn(), .loss = true, .fold = true}, EXEC_TRAIN);
	train_micro(member(&w, 1), 0, false);
	train_micro(member(&w, 3), 1, true);
	train_micro(member(&w, 1), 4, true);
	assert_int_equal(n_fold, 2);
	/* Two layers are folded; what they leave is in the family's plan, once. */
	struct executor_memory m;
	const struct build_shape two = shape_samples(2);
	assert_ok(exec_family_plan(w.family, &two, &m));
	assert_int_equal(m.constants, member(&w, 1)->memory.constants);
	world_close(&w);
}

static int fails(struct call *s)
{
	(void)s;
	return err_set(ERR_DEVICE, "made to fail");
}

/* A constant whose computation failed is not taken for right by anyone. */
static void family__a_failed_constant_is_computed_again(void **state)
{
	struct world w;
	(void)state;
	world_open(&w, packing_backend(99), (struct model){.spec = rig_cnn(), .fold = true}, EXEC_INFER);
	struct executor *a = member(&w, 1), *b = member(&w, 2);
	for (int which = 0; which < 2; which++) {
		const enum op op = which ? OP_CONV2D : OP_FOLD_WEIGHT;
		params_touch(&w.store);
		rig_feed(a, 0, 1);
		if (which)
			kernels[op].pack = fails;
		else
			kernels[op].forward = fails;
		assert_error(executor_forward(a), ERR_DEVICE, "made to fail");
		packing_backend(99);
		float *x = outputs(b, 0);
		assert_int_equal(n_fold, 2);
		assert_int_equal(n_copied, 2);
		free(x);
	}
	world_close(&w);
}

static void family__costs_as_much_as_its_largest_member(void **state)
{
	struct world w;
	const struct build_shape one = shape_samples(1), many = shape_samples(32);
	struct executor_memory m[2], both;
	(void)state;
	world_open(&w, limited_backend(&ref_backend), (struct model){.spec = rig_cnn(), .loss = true}, EXEC_TRAIN);
	assert_ok(exec_family_plan(w.family, &one, &m[0]));
	assert_ok(exec_family_plan(w.family, &many, &m[1]));
	size_t before = limited.live;
	assert_ok(exec_family_reserve(w.family, &many));
	assert_int_equal(limited.live - before, memory_executor(&m[1]));
	member(&w, 1);
	assert_int_equal(limited.live - before, memory_executor(&m[1]));
	assert_ok(exec_family_plan(w.family, &one, &both));
	assert_int_equal(both.total, m[1].total);
	assert_true(both.total < m[0].total + m[1].total);
	/* no room for more: said before anything is given up */
	struct executor *ex;
	const struct build_shape more = shape_samples(640);
	limited_set(limited.live + 1000);
	assert_error(exec_family_at(w.family, &more, &ex), ERR_NOMEM, "are available");
	train_micro(member(&w, 1), 0, false);
	limited_set(SIZE_MAX);
	world_close(&w);
	assert_int_equal(limited.live, 0);
}

static void family__two_families_take_turns_in_one_arena(void **state)
{
	struct exec_arena arena;
	struct world w;
	struct executor *infer;
	struct graph g;
	(void)state;
	world_open(&w, limited_backend(&ref_backend), (struct model){.spec = rig_cnn(), .loss = true}, EXEC_TRAIN);
	exec_arena_init(&arena, w.dev);
	const struct executor_options train = {.mode = EXEC_TRAIN, .arena = &arena},
				      eval = {.mode = EXEC_INFER, .arena = &arena};
	exec_family_free(w.family);
	assert_ok(exec_family_create(&w.family, &w.store, &train, build, &w.model));
	graph_init(&g);
	assert_ok(spec_build(&g, &w.model.spec, &(struct build_shape){.sequences = 4}));
	assert_ok(executor_create(&infer, &g, &w.store, &eval));
	assert_ok(executor_prepare(infer));
	float *before = outputs(infer, 0);
	struct executor *ex = member(&w, 5), *single = alone(&w, 5, EXEC_TRAIN, false);
	train_micro(ex, 0, false);
	float *after = outputs(infer, 0);
	assert_memory_equal(before, after, 4 * 5 * sizeof(float));
	train_micro(single, 0, false);
	compare_gradients(ex, single);
	struct executor *bound;
	assert_ok(executor_create(&bound, &g, &w.store, &eval));
	assert_error(executor_bind(bound, "input", infer, "input"), ERR_FAIL, "both use the same memory");
	executor_free(bound);
	free(before);
	free(after);
	executor_free(single);
	executor_free(infer);
	graph_clear(&g);
	exec_family_free(w.family);
	w.family = NULL;
	exec_arena_clear(&arena);
	world_close(&w);
}

/* A student's teacher_logits are bound to a teacher whose family grows afterwards. */
static void family__a_bound_value_is_found_where_it_has_moved(void **state)
{
	struct world w;
	struct executor *student[2];
	struct graph g;
	float loss[2];
	const struct executor_options o = {.mode = EXEC_TRAIN};
	(void)state;
	world_open(&w, &ref_backend, (struct model){.spec = rig_cnn()}, EXEC_INFER);
	struct executor *teacher = member(&w, 3);
	graph_init(&g);
	assert_ok(spec_build(&g, &w.model.spec, &(struct build_shape){.sequences = 3}));
	assert_ok(graph_add_kd(&g, 2, 0.5f));
	for (int k = 0; k < 2; k++) {
		assert_ok(executor_create(&student[k], &g, &w.store, &o));
		assert_ok(executor_bind(student[k], "teacher_logits", teacher, rig_output_name(teacher)));
		assert_ok(executor_prepare(student[k]));
		if (k == 0)
			member(&w, 50);
	}
	for (int k = 0; k < 2; k++) {
		free(outputs(teacher, 7));
		for (int i = 0; i < g.n; i++) {
			const struct node *node = &g.node[i];
			size_t bytes = (size_t)shape_count(node->shape) * sizeof(float);
			float *host = calloc(bytes, 1);
			if (node->op == OP_INPUT && strcmp(node->name, "teacher_logits") != 0)
				assert_ok(executor_input(student[k], node->name, host, bytes));
			free(host);
		}
		assert_ok(executor_forward(student[k]));
		assert_ok(executor_output(student[k], g.node[g.loss].name, &loss[k], sizeof(loss[k])));
	}
	assert_memory_equal(&loss[0], &loss[1], sizeof(loss[0]));
	assert_ptr_equal(student[0]->slot[graph_find(&g, "teacher_logits")].tensor.data,
	    teacher->slot[teacher->g.output].tensor.data);
	rig_feed(member(&w, 50), 0, 1);
	assert_error(executor_forward(student[0]), ERR_FAIL, "'teacher_logits' is bound to a value that is gone");
	executor_free(student[0]);
	executor_free(student[1]);
	graph_clear(&g);
	world_close(&w);
}

static void executor__keeps_the_values_it_is_asked_for(void **state)
{
	struct world w;
	float x[3];
	(void)state;
	world_open(&w, &ref_backend, (struct model){.spec = rig_cnn(), .keep = "bn1"}, EXEC_INFER);
	struct executor *ex = member(&w, 3), *full = alone(&w, 3, EXEC_INFER, true);
	w.model.keep = NULL;
	struct executor *lean = alone(&w, 3, EXEC_INFER, false);
	assert_true(lean->memory.activations < full->memory.activations);
	assert_true(ex->memory.activations < full->memory.activations);
	assert_int_equal(ex->slot[graph_find(&ex->g, "bn1")].last_use, ex->g.n);
	free(outputs(ex, 0));
	free(outputs(full, 0));
	float *a = rig_value(ex, "bn1"), *b = rig_value(full, "bn1");
	assert_memory_equal(a, b, rig_bytes(full, "bn1"));
	free(a);
	free(b);
	a = rig_value(ex, rig_output_name(ex));
	b = rig_value(full, rig_output_name(full));
	assert_memory_equal(a, b, 3 * 5 * sizeof(float));
	free(a);
	free(b);
	assert_error(executor_output(ex, "conv1", x, sizeof(x)), ERR_FAIL, "its memory is used again");
	assert_error(executor_output(lean, "bn1", x, sizeof(x)), ERR_FAIL, "its memory is used again");
	assert_error(executor_keep(ex, "conv1"), ERR_FAIL, "before prepare");
	assert_error(executor_keep(ex, "nobody"), ERR_FAIL, "nobody");
	executor_free(lean);
	executor_free(full);
	world_close(&w);
}

/* A family's whole life, with growth, without an assertion that an allocation could fail. */
static int whole_life(struct device dev, const float *x, const int32_t *labels)
{
	struct model model = {.spec = rig_cnn(), .loss = true, .fold = true};
	const struct executor_options o = {.mode = EXEC_TRAIN, .stage = "x"};
	const struct update_args args = rig_adamw();
	struct exec_family *f = NULL;
	struct param_store s;
	struct optimizer opt;
	struct graph g;
	params_init(&s, dev);
	optimizer_init(&opt, &s, &args);
	graph_init(&g);
	int rc = build(&model, &(struct build_shape){.sequences = 1}, &g);
	if (!rc)
		rc = params_add_graph(&s, &g, 1);
	if (!rc)
		rc = exec_family_create(&f, &s, &o, build, &model);
	for (int batch = 1; !rc && batch <= 3; batch++) {
		const struct build_shape shape = shape_samples(batch);
		const size_t n = (size_t)batch;
		struct executor *ex;
		rc = exec_family_at(f, &shape, &ex);
		if (!rc)
			rc = executor_input(ex, "input", x, n * 7 * 6 * 3 * sizeof(*x));
		if (!rc)
			rc = executor_input(ex, "labels", labels, n * sizeof(*labels));
		if (!rc)
			rc = executor_input(ex, "weight", x, n * sizeof(*x));
		if (!rc)
			rc = executor_step(ex, batch > 1, batch > 1 ? &opt : NULL);
	}
	exec_family_free(f);
	optimizer_clear(&opt);
	params_clear(&s);
	graph_clear(&g);
	return rc;
}

static void family__survives_each_failing_allocation(void **state)
{
	struct device dev = rig_open(limited_backend(&ref_backend));
	float x[3 * 7 * 6 * 3];
	const int32_t labels[3] = {0, 1, 2};
	(void)state;
	rig_random(x, sizeof(x) / sizeof(*x), "x");
	mem_fail_at(0);
	assert_ok(whole_life(dev, x, labels));
	const uint64_t total = mem_count();
	assert_true(total > 100);
	for (uint64_t i = 1; i <= total; i++) {
		mem_fail_at(i);
		assert_int_equal(whole_life(dev, x, labels), ERR_NOMEM);
		mem_fail_at(0);
		assert_int_equal(limited.live, 0);
	}
	rig_close(dev);
}

/* An arena that cannot grow takes nothing from those who were there. */
static void family__a_member_that_gets_no_memory_leaves_the_others_working(void **state)
{
	struct world w;
	const struct build_shape more = shape_samples(64);
	(void)state;
	world_open(&w, &ref_backend, (struct model){.spec = rig_cnn(), .fold = true}, EXEC_INFER);
	struct executor *ex;
	float *before = outputs(member(&w, 2), 0);
	uint64_t i = 1;
	for (int rc = ERR_NOMEM; rc; i++) {
		mem_fail_at(i);
		rc = exec_family_at(w.family, &more, &ex);
		mem_fail_at(0);
		float *after = outputs(member(&w, 2), 0);
		assert_memory_equal(before, after, 2 * 5 * sizeof(float));
		free(after);
	}
	assert_true(i > 10); /* so many allocations failed */
	free(before);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(family__members_say_what_single_executors_say),
	    cmocka_unit_test(family__every_part_of_a_shape_has_its_own_member),
	    cmocka_unit_test(family__a_larger_member_moves_the_others),
	    cmocka_unit_test(family__what_another_member_overwrote_cannot_be_read),
	    cmocka_unit_test(family__micro_batches_of_two_shapes_add_up_to_the_whole_batch),
	    cmocka_unit_test(family__any_member_updates_with_the_sum),
	    cmocka_unit_test(family__members_train_the_same_params),
	    cmocka_unit_test(family__constants_and_packed_weights_are_made_once_per_version),
	    cmocka_unit_test(family__a_kernel_is_told_which_layout_is_in_use),
	    cmocka_unit_test(family__what_a_constant_saved_is_there_for_everyones_backward),
	    cmocka_unit_test(family__a_failed_constant_is_computed_again),
	    cmocka_unit_test(family__costs_as_much_as_its_largest_member),
	    cmocka_unit_test(family__two_families_take_turns_in_one_arena),
	    cmocka_unit_test(family__a_bound_value_is_found_where_it_has_moved),
	    cmocka_unit_test(executor__keeps_the_values_it_is_asked_for),
	    cmocka_unit_test(family__survives_each_failing_allocation),
	    cmocka_unit_test(family__a_member_that_gets_no_memory_leaves_the_others_working),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
