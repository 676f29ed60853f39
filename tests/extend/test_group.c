/* A kind of fusion group that the library does not have: the sum of two values, each read as integers. The kind is what
 * stands up to `group_sum`, its registration is one call. All else here shows that it is planned, simulated,
 * lowered and saved like any other. */
#include "quant/equal.h"
#include "quant/rewrite.h"

static bool is_sum(const struct node *node)
{
	return node->op == OP_ADD && !node->attr.relu;
}

static unsigned demand(const struct graph *g, const struct group *group, int value)
{
	const struct node *sum = &g->node[group->layer];

	return sum->in[ADD_A] == value || sum->in[ADD_B] == value ? DEMAND_INTEGERS : 0;
}

/* The same in both graphs: what an operand's integers stand for, added in f32. */
static int emit(struct rewrite *r, const struct group *g)
{
	const struct node *sum = &r->in->node[g->layer];
	int in[2];

	for (int k = 0; k < 2; k++) {
		const struct quant_value *v = rewrite_value(r, sum->in[k]);
		int grid = v ? rewrite_grid(r, sum->in[k]) : ERR_CHECKPOINT,
		    step = grid < 0 ? grid : rewrite_step(r, v->name);

		if (step < 0)
			return step;
		in[k] = rewrite_add(
		    r, OP_DEQUANT, ROLE_REAL, sum->in[k], (int[]){grid, step}, 2, &(struct attr){.q = v->q});
		if (in[k] < 0)
			return in[k];
	}
	return r->real[g->out] = graph_add(r->out, OP_ADD, sum->name, in, 2, &sum->attr);
}

static const struct group_kind group_sum = {.name = "sum",
    .match = is_sum,
    .methods = GROUP_INTEGERS,
    .why = "sums have no integers of their own at run time",
    .weight = NODE_NONE,
    .real_output = true,
    .demand = demand,
    .annotate = emit,
    .lower = emit};

/* Two hidden layers with ReLU, which cannot fuse, their sum, and a layer on it. */
static int build(int batch, struct graph *g)
{
	struct shape x = {.ndim = 2, .dim = {batch, 9}}, square = {.ndim = 2, .dim = {9, 9}};
	struct param_attr w = {.init = INIT_KAIMING, .fan_in = 9};
	struct attr relu = {.relu = true};
	static const char *const layers[] = {"left", "right", "last"};
	int input, layer[3], in[3];

	graph_init(g);
	input = graph_input(g, "input", DT_F32, x);
	for (int k = 0; k < 3; k++) {
		char weight[32];

		snprintf(weight, sizeof(weight), "%s.weight", layers[k]);
		in[0] = k < 2 ? input : graph_add(g, OP_ADD, "sum", layer, 2, NULL);
		in[1] = graph_param(g, weight, DT_F32, square, &w);
		in[2] = NODE_NONE;
		layer[k] = graph_add(g, OP_LINEAR, layers[k], in, 3, k < 2 ? &relu : NULL);
	}
	g->output = layer[2];
	return g->output < 0 ? g->output : 0;
}

static void feed(struct executor *ex, int batch)
{
	float x[64 * 9];

	rig_random(x, 64 * 9, "sum");
	assert_ok(executor_input(ex, "input", x, (size_t)batch * 9 * sizeof(*x)));
}

static const struct quant_rules rules = {.method = QUANT_STATIC, .weight_bits = 8, .act_bits = 8, .per_channel = true};

static void extended__a_sum_is_planned_and_lowered(void **state)
{
	struct quant_plan p;
	struct graph g, low;

	(void)state;
	assert_ok(build(4, &g));
	assert_ok(quant_plan_make(&p, &g, &rules));
	assert_int_equal(p.n_layer, 4);
	assert_string_equal(p.layer[2].name, "sum");
	assert_true(p.layer[2].quantized);
	assert_non_null(quant_plan_value(&p, "left"));
	graph_init(&low);
	assert_ok(pass_lower(&g, &p, &low));
	assert_int_equal(low.node[graph_find(&low, "left.q")].dtype, DT_U8);
	assert_int_equal(low.node[graph_find(&low, "sum")].in[0], graph_find_role(&low, ROLE_REAL, "left"));
	graph_clear(&low);
	graph_clear(&g);
	quant_plan_clear(&p);
}

static void extended__what_is_simulated_is_executed(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct equal_case c = {.name = "sum", .build = build, .feed = feed, .batch = 37, .rules = rules, .clip = 0.9f};
	struct equal_result r = equal_run(&c, dev, dev);

	(void)state;
	assert_int_equal(r.different, 0);
	assert_true(r.compared > 1000 && r.saturated > 0);
	rig_close(dev);
}

/* A saved plan holds the kind's own reason, and is read where the kind is known. */
static void extended__its_reason_is_saved_and_read(void **state)
{
	struct quant_rules dynamic = rules;
	struct quant_plan p, back;
	struct graph g;
	cJSON *json;

	(void)state;
	dynamic.method = QUANT_DYNAMIC;
	assert_ok(build(4, &g));
	assert_ok(quant_plan_make(&p, &g, &dynamic));
	assert_string_equal(p.layer[2].why, group_sum.why);
	json = quant_plan_to_json(&p);
	assert_ok(quant_plan_from_json(&back, json));
	assert_ptr_equal(back.layer[2].why, group_sum.why);
	cJSON_Delete(json);
	graph_clear(&g);
	quant_plan_clear(&p);
	quant_plan_clear(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(extended__a_sum_is_planned_and_lowered),
	    cmocka_unit_test(extended__what_is_simulated_is_executed),
	    cmocka_unit_test(extended__its_reason_is_saved_and_read),
	};

	if (group_kind_register(&group_sum))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
