/* The param store: initial values, masks, copies. */
#include <math.h>

#include "exec/rig.h"

static struct shape vec(int64_t n)
{
	return (struct shape){.ndim = 1, .dim = {n}};
}

static void one_param(struct graph *g, const char *name, int64_t n, struct param_attr a)
{
	graph_init(g);
	assert_true(graph_param(g, name, DT_F32, vec(n), &a) >= 0);
}

static void read_initial(const char *name, int64_t n, struct param_attr a, uint64_t seed, float *out)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct graph g;
	one_param(&g, name, n, a);
	params_init(&s, dev);
	assert_ok(params_add_graph(&s, &g, seed));
	assert_true(params_find(&s, name)->set);
	assert_ok(params_read(&s, name, out));
	params_clear(&s);
	graph_clear(&g);
	rig_close(dev);
}

static void params__initial_values_follow_seed_and_name(void **state)
{
	const struct param_attr a = {.init = INIT_UNIFORM, .fan_in = 4};
	float x[33], same[33], seed[33], name[33], shorter[5];
	(void)state;
	read_initial("w", 33, a, 1, x);
	read_initial("w", 33, a, 1, same);
	read_initial("w", 33, a, 2, seed);
	read_initial("v", 33, a, 1, name);
	read_initial("w", 5, a, 1, shorter);
	assert_memory_equal(x, same, sizeof(x));
	assert_memory_not_equal(x, seed, sizeof(x));
	assert_memory_not_equal(x, name, sizeof(x));
	assert_memory_equal(x, shorter, sizeof(shorter));
}

static void params__random_values_have_their_distribution(void **state)
{
	enum { N = 40001 };
	float *x = malloc(N * sizeof(*x));
	double sum = 0, squares = 0, top = 0;
	(void)state;
	read_initial("k", N, (struct param_attr){.init = INIT_KAIMING, .fan_in = 50}, 1, x);
	for (int i = 0; i < N; i++) {
		sum += (double)x[i];
		squares += (double)x[i] * (double)x[i];
	}
	assert_true(fabs(sum / N) < 0.003);
	assert_true(fabs(sqrt(squares / N) - 0.2) < 0.003); /* sqrt(2/50) */
	read_initial("u", N, (struct param_attr){.init = INIT_UNIFORM, .fan_in = 25}, 1, x);
	sum = squares = 0;
	for (int i = 0; i < N; i++) {
		sum += (double)x[i];
		squares += (double)x[i] * (double)x[i];
		top = fmax(top, fabs((double)x[i]));
	}
	assert_true(top <= 0.2 && top > 0.1999); /* 1/sqrt(25) */
	assert_true(fabs(sum / N) < 0.003);
	assert_true(fabs(sqrt(squares / N) - 0.2 / sqrt(3)) < 0.002);
	read_initial("c", 7, (struct param_attr){.init = INIT_CONSTANT, .init_value = 1.5f}, 1, x);
	assert_true(x[0] == 1.5f && x[6] == 1.5f);
	free(x);
}

static void params__contradictions_are_errors(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct param *p;
	struct graph g;
	float x[3] = {0};
	char longer[NODE_NAME + 8];
	(void)state;
	params_init(&s, dev);
	assert_ok(params_add(&s, "w", DT_F32, vec(3), &p));
	assert_false(p->set);
	assert_error(params_add(&s, "w", DT_F32, vec(4), &p), ERR_FAIL, "'w' is f32 (3), but f32 (4)");
	assert_error(params_add(&s, "w", DT_S8, vec(3), &p), ERR_FAIL, "s8");
	assert_error(params_write(&s, "nothing", x), ERR_FAIL, "nothing");
	assert_error(params_read(&s, "nothing", x), ERR_FAIL, "nothing");
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	assert_error(params_add(&s, longer, DT_F32, vec(3), &p), ERR_FAIL, "longer");
	one_param(&g, "r", 3, (struct param_attr){.init = INIT_KAIMING});
	assert_error(params_add_graph(&s, &g, 1), ERR_FAIL, "fan-in");
	graph_clear(&g);
	params_clear(&s);
	params_clear(&s);
	rig_close(dev);
}

static void params__every_write_changes_the_version(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct param *p;
	float x[3] = {1, 2, 3};
	uint8_t mask[3] = {1, 0, 1};
	uint64_t before;
	(void)state;
	params_init(&s, dev);
	assert_ok(params_add(&s, "w", DT_F32, vec(3), &p));
	before = s.version;
	assert_ok(params_write(&s, "w", x));
	assert_true(s.version != before);
	before = s.version;
	assert_ok(params_set_mask(&s, "w", mask));
	assert_true(s.version != before);
	params_clear(&s);
	rig_close(dev);
}

static void params__a_mask_holds_whatever_is_written(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct param *p;
	const float x[5] = {1, 2, 3, 4, 5}, masked[5] = {1, 0, 3, 0, 5};
	const uint8_t mask[5] = {1, 0, 1, 0, 1}, ones[5] = {1, 1, 1, 1, 1}, bad[5] = {1, 0, 2, 0, 1};
	float y[5];
	uint8_t m[5];
	(void)state;
	params_init(&s, dev);
	assert_ok(params_add(&s, "w", DT_F32, vec(5), &p));
	assert_ok(params_write(&s, "w", x));
	assert_ok(params_get_mask(&s, "w", m));
	assert_memory_equal(m, ones, 5);
	assert_error(params_set_mask(&s, "w", bad), ERR_FAIL, "not 0 or 1");
	assert_ok(params_set_mask(&s, "w", mask));
	assert_ok(params_read(&s, "w", y));
	assert_memory_equal(y, masked, sizeof(y));
	assert_ok(params_write(&s, "w", x));
	assert_ok(params_read(&s, "w", y));
	assert_memory_equal(y, masked, sizeof(y));
	assert_ok(params_get_mask(&s, "w", m));
	assert_memory_equal(m, mask, 5);
	assert_ok(params_set_mask(&s, "w", NULL));
	assert_ok(params_write(&s, "w", x));
	assert_ok(params_read(&s, "w", y));
	assert_memory_equal(y, x, sizeof(y));
	params_clear(&s);
	rig_close(dev);
}

static void params__copy_takes_values_and_masks_of_common_params(void **state)
{
	struct device dev = rig_open(&ref_backend), other = rig_open(&ref_backend);
	struct param_store a, b;
	struct param *p;
	const float x[3] = {1, 2, 3}, masked[3] = {0, 2, 3};
	const uint8_t mask[3] = {0, 1, 1};
	float y[3];
	uint8_t m[3];
	(void)state;
	params_init(&a, dev);
	params_init(&b, other);
	assert_ok(params_add(&a, "w", DT_F32, vec(3), &p));
	assert_ok(params_add(&a, "only a", DT_F32, vec(2), &p));
	assert_ok(params_add(&b, "w", DT_F32, vec(3), &p));
	assert_ok(params_write(&a, "w", x));
	assert_ok(params_set_mask(&a, "w", mask));
	assert_ok(params_copy(&b, &a));
	assert_int_equal(b.n, 1);
	assert_true(p->set);
	assert_ok(params_read(&b, "w", y));
	assert_memory_equal(y, masked, sizeof(y));
	assert_ok(params_get_mask(&b, "w", m));
	assert_memory_equal(m, mask, sizeof(m));
	assert_ok(params_set_mask(&a, "w", NULL));
	assert_ok(params_copy(&b, &a));
	assert_null(p->mask);
	assert_ok(params_add(&b, "only a", DT_F32, vec(3), &p));
	assert_ok(params_write(&a, "only a", x));
	assert_error(params_copy(&b, &a), ERR_FAIL, "only a");
	params_clear(&a);
	params_clear(&b);
	rig_close(dev);
	rig_close(other);
}

static int fill_store(struct param_store *s, const struct graph *g)
{
	struct param_store copy;
	uint8_t mask[9 * 126];
	int rc = params_add_graph(s, g, 1);
	params_init(&copy, s->dev);
	memset(mask, 0, sizeof(mask));
	if (!rc)
		rc = params_set_mask(s, "fc1.weight", mask);
	if (!rc)
		rc = params_add_graph(&copy, g, 2);
	if (!rc)
		rc = params_copy(&copy, s);
	params_clear(&copy);
	return rc;
}

static void params__survive_each_failing_allocation(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct graph g;
	uint64_t total = 1;
	(void)state;
	rig_graph(&g, rig_mlp(), 2, false);
	assert_int_equal(shape_count(g.node[graph_find(&g, "fc1.weight")].shape), 9 * 126);
	for (uint64_t i = 0; i <= total; i++) {
		struct param_store s;
		int rc;
		params_init(&s, dev);
		mem_fail_at(i);
		rc = fill_store(&s, &g);
		if (i == 0)
			total = mem_count();
		mem_fail_at(0);
		assert_int_equal(rc, i == 0 ? 0 : ERR_NOMEM);
		params_clear(&s);
	}
	assert_true(total > 10);
	graph_clear(&g);
	rig_close(dev);
}

static void params__what_is_lent_is_read_where_it_lies_and_never_written(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s, other;
	struct param *p;
	float x[3] = {1, 2, 3}, y[3];
	(void)state;
	params_init(&s, dev);
	params_init(&other, dev);
	const uint64_t version = s.version;
	assert_ok(params_lend(&s, "w", DT_F32, vec(3), x));
	assert_true(s.version != version);
	p = params_find(&s, "w");
	assert_true(p->set);
	assert_ptr_equal(p->value.data, x);
	assert_ok(params_read(&s, "w", y));
	assert_memory_equal(x, y, sizeof(x));
	assert_error(params_write(&s, "w", y), ERR_FAIL, "'w'");
	assert_error(params_lend(&s, "w", DT_F32, vec(3), y), ERR_FAIL, "'w'");
	assert_ok(params_add(&other, "w", DT_F32, vec(3), &p));
	assert_ok(params_copy(&other, &s)); /* from it, but not to it */
	assert_error(params_copy(&s, &other), ERR_FAIL, "'w'");
	const uint8_t keep[3] = {1, 0, 1};
	assert_error(params_set_mask(&s, "w", keep), ERR_FAIL, "'w'");
	assert_int_equal(x[1], 2);
	params_clear(&s); /* which frees nothing of it */
	params_clear(&other);
	rig_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(params__initial_values_follow_seed_and_name),
	    cmocka_unit_test(params__random_values_have_their_distribution),
	    cmocka_unit_test(params__contradictions_are_errors),
	    cmocka_unit_test(params__every_write_changes_the_version),
	    cmocka_unit_test(params__a_mask_holds_whatever_is_written),
	    cmocka_unit_test(params__copy_takes_values_and_masks_of_common_params),
	    cmocka_unit_test(params__what_is_lent_is_read_where_it_lies_and_never_written),
	    cmocka_unit_test(params__survive_each_failing_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
