/* Masks by hand-computed cases: by magnitude, by Wanda's score, n of m. */
#include "stages/rig.h"

#include <math.h>

#include "stages/prune.h"

static int set_up(void **state)
{
	static struct rig r; /* of which only the device is used */
	r.dev.backend = &cpu_backend;
	RIG_OK(cpu_backend.open(&r.dev.ctx, &(struct open_options){.threads = 2}));
	*state = &r;
	return 0;
}

static int tear_down(void **state)
{
	cpu_backend.close(((struct rig *)*state)->dev.ctx);
	return 0;
}

/* A linear layer of (4, 4) and one of (2, 4): what the sets below point to. */
static void small_store(struct rig *r, struct param_store *s, struct prune_set *p)
{
	static struct prune_weight weights[2] = {{.layer = "a", .param = "a.weight", .n = 16, .row = 4, .outputs = 4},
	    {.layer = "b", .param = "b.weight", .n = 8, .row = 4, .outputs = 2}};
	static const float a[16] = {.1f, -.2f, .3f, .4f, 1, 1, -1, 1, 0, -0.f, 5, 6, -7, 8, 9, 10};
	static const float b[8] = {.15f, 20, -30, .05f, 2, 2, 2, 2};
	struct param *unused;
	*p = (struct prune_set){.weight = weights, .n = 2, .total = 24};
	params_init(s, r->dev);
	RIG_OK(params_add(s, "a.weight", DT_F32, (struct shape){.ndim = 2, .dim = {4, 4}}, &unused));
	RIG_OK(params_add(s, "b.weight", DT_F32, (struct shape){.ndim = 2, .dim = {2, 4}}, &unused));
	RIG_OK(params_write(s, "a.weight", a));
	RIG_OK(params_write(s, "b.weight", b));
}

static void assert_masks(struct param_store *s, const char *a, const char *b)
{
	uint8_t mask[16];
	float w[16];
	const char *const name[] = {"a.weight", "b.weight"}, *const want[] = {a, b};
	for (int k = 0; k < 2; k++) {
		RIG_OK(params_get_mask(s, name[k], mask));
		RIG_OK(params_read(s, name[k], w));
		for (size_t i = 0; i < strlen(want[k]); i++) {
			if (mask[i] != (want[k][i] == '1'))
				fail_msg("%s[%zu]: mask %d", name[k], i, mask[i]);
			assert_true(mask[i] || w[i] == 0);
		}
	}
}

static void magnitude__global_takes_the_smallest_of_all(void **state)
{
	struct param_store s;
	struct prune_set p;
	double share;
	small_store(*state, &s, &p);
	RIG_OK(prune_smallest(&p, &s, NULL, SCOPE_GLOBAL, 0.25)); /* 6 of 24: 0, -0, .05, .1, .15, .2 */
	assert_masks(&s, "0011111100111111", "01101111");
	RIG_OK(prune_masked_share(&p, &s, &share));
	assert_true(share == 0.25);
	RIG_OK(prune_smallest(&p, &s, NULL, SCOPE_GLOBAL, 0.25)); /* nothing more to do */
	assert_masks(&s, "0011111100111111", "01101111");
	RIG_OK(prune_smallest(&p, &s, NULL, SCOPE_GLOBAL, 0.1)); /* masks are never lifted */
	assert_masks(&s, "0011111100111111", "01101111");
	RIG_OK(
	    prune_smallest(&p, &s, NULL, SCOPE_GLOBAL, 10. / 24)); /* .3, .4, then two of the four ones, by position */
	assert_masks(&s, "0000001100111111", "01101111");
	params_clear(&s);
}

static void magnitude__layer_takes_the_same_share_of_each(void **state)
{
	struct param_store s;
	struct prune_set p;
	small_store(*state, &s, &p);
	RIG_OK(prune_smallest(&p, &s, NULL, SCOPE_LAYER, 0.25));
	assert_masks(&s, "0011111100111111", "01101111");
	RIG_OK(prune_smallest(&p, &s, NULL, SCOPE_LAYER, 0.5));
	assert_masks(&s, "0000001100111111", "01100011");
	params_clear(&s);
}

static void magnitude__keeps_what_was_masked_whatever_its_size(void **state)
{
	struct param_store s;
	struct prune_set p;
	uint8_t mask[8] = {1, 0, 0, 1, 1, 1, 1, 1}; /* the two largest of b */
	small_store(*state, &s, &p);
	RIG_OK(params_set_mask(&s, "b.weight", mask));
	RIG_OK(prune_smallest(&p, &s, NULL, SCOPE_GLOBAL, 4. / 24));
	assert_masks(&s, "1111111100111111", "10011111");
	params_clear(&s);
}

static void magnitude__leaves_one_where_the_share_rounds_to_all(void **state)
{
	struct param_store s;
	struct prune_set p;
	small_store(*state, &s, &p);
	RIG_OK(prune_smallest(&p, &s, NULL, SCOPE_GLOBAL, 0.999));
	assert_masks(&s, "0000000000000000", "00100000");
	RIG_OK(prune_smallest(&p, &s, NULL, SCOPE_GLOBAL, 0.999));
	assert_masks(&s, "0000000000000000", "00100000");
	params_clear(&s);
	small_store(*state, &s, &p);
	RIG_OK(prune_smallest(&p, &s, NULL, SCOPE_LAYER, 0.999));
	assert_masks(&s, "0000000000000001", "00100000");
	params_clear(&s);
}

static void nm__keeps_the_largest_of_every_group(void **state)
{
	struct param_store s;
	struct prune_set p;
	small_store(*state, &s, &p);
	RIG_OK(prune_nm(&p, &s, NULL, 2, 4));
	assert_masks(&s, "0011110000110011", "01101100");
	RIG_OK(prune_nm(&p, &s, NULL, 1, 2)); /* adds to what is there */
	assert_masks(&s, "0001100000010001", "01101000");
	params_clear(&s);
}

/* Norms of the four inputs that a and b share. */
static void small_norms(struct channel_norms *norms, struct prune_set *p)
{
	static const double sum[] = {10000, 4, 1, 0.25}; /* norms 100, 2, 1, 0.5 */
	*norms = (struct channel_norms){0};
	for (int i = 0; i < 2; i++)
		RIG_OK(channel_norms_add(norms, "x", 4, &p->weight[i].norm));
	memcpy(norms->item[0].sum, sum, sizeof(sum));
}

/* Scores of a: 10 .4 .3 .2 | 100 2 1 .5 | 0 0 5 3 | 700 16 9 5; of b: 15 40 30 .025 | 200 4 2 1. */
static void wanda__scores_by_norms_within_rows_layers_and_all(void **state)
{
	static const struct {
		enum prune_scope scope;
		const char *a, *b;
	} cases[] = {{SCOPE_ROW, "1100110000111100", "01101100"}, {SCOPE_LAYER, "1000100000111111", "11101000"},
	    {SCOPE_GLOBAL, "1000100000101111", "11101100"}};
	for (int i = 0; i < 3; i++) {
		struct param_store s;
		struct prune_set p;
		struct channel_norms norms;
		small_store(*state, &s, &p);
		small_norms(&norms, &p);
		RIG_OK(prune_smallest(&p, &s, &norms, cases[i].scope, 0.5));
		assert_masks(&s, cases[i].a, cases[i].b);
		channel_norms_clear(&norms);
		params_clear(&s);
	}
}

static void wanda__keeps_masks_and_one_weight_of_each_row(void **state)
{
	struct param_store s;
	struct prune_set p;
	struct channel_norms norms;
	uint8_t mask[8] = {1, 0, 1, 1, 1, 1, 1, 1};
	small_store(*state, &s, &p);
	small_norms(&norms, &p);
	RIG_OK(params_set_mask(&s, "b.weight", mask));
	RIG_OK(prune_smallest(&p, &s, &norms, SCOPE_ROW, 0.25));
	assert_masks(&s, "1110111001111110", "10111110");
	RIG_OK(prune_smallest(&p, &s, &norms, SCOPE_ROW, 0.999));
	assert_masks(&s, "1000100000101000", "00101000");
	channel_norms_clear(&norms);
	params_clear(&s);
}

static void nm__keeps_the_largest_scores_of_every_group(void **state)
{
	struct param_store s;
	struct prune_set p;
	struct channel_norms norms;
	small_store(*state, &s, &p);
	small_norms(&norms, &p);
	RIG_OK(prune_nm(&p, &s, &norms, 1, 2));
	assert_masks(&s, "1010101010101010", "01101010");
	channel_norms_clear(&norms);
	params_clear(&s);
}

static void magnitude__selection_agrees_with_sorting(void **state)
{
	struct rig *r = *state;
	enum { N = 5003 };
	static float w[N], sorted[N];
	static uint8_t mask[N];
	struct prune_weight weight = {.layer = "w", .param = "w.weight", .n = N, .row = 1};
	struct prune_set p = {.weight = &weight, .n = 1, .total = N};
	struct param_store s;
	struct param *unused;
	params_init(&s, r->dev);
	RIG_OK(params_add(&s, "w.weight", DT_F32, (struct shape){.ndim = 2, .dim = {N, 1}}, &unused));
	uint32_t x = 12345;
	for (int i = 0; i < N; i++) {
		x = x * 1664525u + 1013904223u;
		w[i] = ldexpf((float)(x >> 8) - 8388608.f, -(int)(x & 31) - 10);
		sorted[i] = fabsf(w[i]);
	}
	for (int i = 1; i < N; i++) /* insertion sort: slow and plain */
		for (int k = i; k > 0 && sorted[k - 1] > sorted[k]; k--) {
			float t = sorted[k];
			sorted[k] = sorted[k - 1];
			sorted[k - 1] = t;
		}
	RIG_OK(params_write(&s, "w.weight", w));
	for (int percent = 1; percent < 100; percent += 7) {
		RIG_OK(prune_smallest(&p, &s, NULL, SCOPE_GLOBAL, percent / 100.));
		RIG_OK(params_get_mask(&s, "w.weight", mask));
		int k = (int)llround(percent / 100. * N), masked = 0;
		for (int i = 0; i < N; i++) {
			masked += !mask[i];
			assert_true(mask[i] ? fabsf(w[i]) >= sorted[k - 1] : fabsf(w[i]) <= sorted[k - 1]);
		}
		assert_int_equal(masked, k);
	}
	params_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(magnitude__global_takes_the_smallest_of_all),
	    cmocka_unit_test(magnitude__layer_takes_the_same_share_of_each),
	    cmocka_unit_test(magnitude__keeps_what_was_masked_whatever_its_size),
	    cmocka_unit_test(magnitude__leaves_one_where_the_share_rounds_to_all),
	    cmocka_unit_test(nm__keeps_the_largest_of_every_group),
	    cmocka_unit_test(wanda__scores_by_norms_within_rows_layers_and_all),
	    cmocka_unit_test(wanda__keeps_masks_and_one_weight_of_each_row),
	    cmocka_unit_test(nm__keeps_the_largest_scores_of_every_group),
	    cmocka_unit_test(magnitude__selection_agrees_with_sorting),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
