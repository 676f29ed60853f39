/* What a plan knows of masks, against what pruning does to random weights: every bound holds, and what is certain is
 * refused before anything is trained. */
#include "stages/rig.h"

#include "base/rng.h"
#include "stages/prune.h"

static const struct model_spec spec = {.family = &family_mlp,
    .input = {.height = 4, .width = 4, .channels = 1},
    .classes = 4,
    .n_width = 2,
    .width = (int[]){12, 8},
    .own = &(struct mlp_spec){0}};

static struct device dev = {.backend = &cpu_backend};

static int set_up(void **state)
{
	(void)state;
	return cpu_backend.open(&dev.ctx, &(struct open_options){.threads = 1});
}

static int tear_down(void **state)
{
	(void)state;
	cpu_backend.close(dev.ctx);
	return 0;
}

/* A plan that goes on in `f`; what was said last in `line`. */
struct listener {
	struct progress base;
	char line[512];
};

static void listen(struct progress *p, const char *text)
{
	snprintf(((struct listener *)p)->line, sizeof(((struct listener *)p)->line), "%s", text);
}

static int forecast(const char *options, struct mask_forecast *f, char *line)
{
	struct listener l = {.base = {.line = listen}};
	struct stage_run run = {.progress = &l.base};
	struct prune_options o = {0};
	struct prune_set set = {0};
	RIG_OK(rig_options(prune_option_table, &o, options));
	RIG_OK(prune_set_init(&set, &spec, &o));
	int rc = prune_forecast_masks(&o, &set, &run, f);
	prune_set_clear(&set);
	option_clear(prune_option_table, &o);
	if (line)
		strcpy(line, l.line);
	return rc;
}

/* Forecasts the first, then the second, whose refusal or warning must hold `part`; NULL: neither. */
static void expect(const char *first, const char *second, int want, const char *part)
{
	struct mask_forecast f = {0};
	char line[512];
	RIG_OK(forecast(first, &f, NULL));
	int rc = forecast(second, &f, line);
	if (rc != want)
		fail_msg("%s after %s gives %d: %s", second, first, rc, rc ? err_message() : "");
	if (!part)
		assert_string_equal(line, "");
	else if (!strstr(rc ? err_message() : line, part))
		fail_msg("'%s' lacks '%s'", rc ? err_message() : line, part);
	mask_forecast_clear(&f);
}

static void plan__a_sparsity_below_that_of_the_input_is_refused(void **state)
{
	(void)state;
	expect("{sparsity: 0.5}", "{sparsity: 0.5}", 0, NULL);
	expect("{sparsity: 0.5}", "{sparsity: 0.6}", 0, NULL);
	expect("{sparsity: 0.5}", "{sparsity: 0.4}", ERR_CONFIG, "sparsity 0.4 is below the 0.5000");
	expect("{sparsity: 0.5}", "{sparsity: 0.4, scope: layer}", ERR_CONFIG, "below the 0.5000");
	expect("{sparsity: 0.5, scope: layer}", "{sparsity: 0.4}", ERR_CONFIG, "below the 0.5000");
	expect("{method: nm}", "{sparsity: 0.4}", ERR_CONFIG, "below the 0.5000");
	expect("{method: nm, n: 1}", "{sparsity: 0.75}", 0, NULL);
	expect("{sparsity: 0.5}", "{method: nm}", 0, NULL);
	/* Weights: 192 of fc1, 96 of fc2, 32 of fc3. */
	expect("{sparsity: 0.5, scope: layer, exclude: [fc1]}", "{sparsity: 0.1}", ERR_CONFIG, "below the 0.2000");
	expect("{sparsity: 0.5, scope: layer, exclude: [fc1]}", "{sparsity: 0.1, exclude: [fc2, fc3]}", 0, NULL);
	expect("{sparsity: 0.9}", "{sparsity: 0.1, exclude: [fc2, fc3]}", ERR_CONFIG, "below the 0.8333");
}

static void plan__what_depends_on_the_weights_is_a_warning(void **state)
{
	(void)state;
	expect("{sparsity: 0.5}", "{sparsity: 0.6, exclude: [fc3]}", 0, NULL); /* 160 of 288 at most */
	expect("{sparsity: 0.5}", "{sparsity: 0.5, exclude: [fc3]}", 0, "between 0.4444 and 0.5556 will be masked");
	expect("{sparsity: 0.5}", "{sparsity: 0.5, exclude: [fc1]}", 0, "between 0.0000 and 1.0000 will be masked");
}

static void plan__masks_of_units_that_are_removed_may_go(void **state)
{
	struct mask_forecast f = {0};
	struct model_spec after = spec;
	(void)state;
	after.width = (int[]){12, 4};
	RIG_OK(forecast("{sparsity: 0.5, scope: layer}", &f, NULL));
	RIG_OK(prune_forecast_units(&after, &f));
	/* Of fc2 are 48 of 96 elements left, of which 0 to 48 are masked; of fc3 16 of 32. */
	const struct masked_param *p = mask_forecast_find(&f, "fc2.weight");
	assert_non_null(p);
	assert_int_equal(p->n, 48);
	assert_int_equal(p->least, 0);
	assert_int_equal(p->most, 48);
	p = mask_forecast_find(&f, "fc1.weight");
	assert_int_equal(p->least, 96);
	assert_int_equal(p->most, 96);
	mask_forecast_clear(&f);
}

static void plan__masks_of_open_widths_refuse_nothing(void **state)
{
	struct mask_forecast f = {0};
	char line[512];
	(void)state;
	RIG_OK(forecast("{sparsity: 0.5, scope: layer}", &f, NULL));
	prune_forecast_open(&f);
	const struct masked_param *p = mask_forecast_find(&f, "fc2.weight");
	assert_non_null(p);
	assert_int_equal(p->least, 0);
	assert_int_equal(p->most, 48);
	RIG_OK(forecast("{sparsity: 0.4}", &f, line));
	assert_non_null(strstr(line, "of a number that the data decides; if it is more than sparsity 0.4"));
	RIG_OK(forecast("{sparsity: 0.6, scope: layer, exclude: [fc1]}", &f, NULL));
	for (int i = 0; i < f.n; i++) /* a share of fewer elements than are here now */
		assert_int_equal(f.param[i].least, 0);
	RIG_OK(forecast("{sparsity: 0.1}", &f, line));
	mask_forecast_clear(&f);
	prune_forecast_open(&f);
	RIG_OK(forecast("{sparsity: 0.4}", &f, line));
	assert_string_equal(line, "");
	mask_forecast_clear(&f);
}

static int64_t masked(const struct param_store *s, const char *name, int64_t n)
{
	int64_t left;
	RIG_OK(prune_left(s, params_find(s, name), &left));
	return n - left;
}

/* Prunes for real and by forecast. false: refused by both. */
static bool prune_both(const char *options, struct param_store *s, struct mask_forecast *f)
{
	struct prune_options o = {0};
	struct prune_set set = {0};
	double share;
	char line[512];
	RIG_OK(rig_options(prune_option_table, &o, options));
	RIG_OK(prune_set_init(&set, &spec, &o));
	RIG_OK(prune_masked_share(&set, s, &share));
	const bool magnitude = o.method != PRUNE_NM; /* or rows, which Wanda compares by other scores */
	const bool refused =
	    magnitude && (int64_t)(share * (double)set.total + 0.5) > (int64_t)(o.sparsity * (double)set.total + 0.5);
	int rc = forecast(options, f, line);
	if (rc && !refused)
		fail_msg("%s is refused with a share of %g: %s", options, share, err_message());
	if (!rc && refused && !line[0])
		fail_msg("%s is not refused with a share of %g", options, share);
	if (!rc && !refused && magnitude)
		RIG_OK(prune_smallest(&set, s, NULL, prune_scope_of(&o), o.sparsity));
	else if (!rc && !refused)
		RIG_OK(prune_nm(&set, s, NULL, (int)o.n, (int)o.m));
	prune_set_clear(&set);
	option_clear(prune_option_table, &o);
	return !refused;
}

static void assert_within(const struct mask_forecast *f, const struct param_store *s)
{
	int64_t total[FORECAST_SUMS] = {0};
	for (int i = 0; i < f->n; i++) {
		const struct masked_param *p = &f->param[i];
		const int64_t n = masked(s, p->name, p->n);
		if (n < p->least || n > p->most)
			fail_msg("%s: %lld masked, not %lld to %lld", p->name, (long long)n, (long long)p->least,
			    (long long)p->most);
		for (int k = 0; k < f->n_sum; k++)
			total[k] += p->sums >> k & 1 ? n : 0;
	}
	for (int k = 0; k < f->n_sum; k++)
		assert_true(total[k] >= f->sum[k].least && total[k] <= f->sum[k].most);
}

static void bounds__hold_for_all_weights(void **state)
{
	static const char *const ways[] = {"{method: nm}", "{method: nm, n: 3}", "{method: nm, exclude: [fc2]}",
	    "{sparsity: 0.1}", "{sparsity: 0.3}", "{sparsity: 0.3, scope: layer}", "{sparsity: 0.3, exclude: [fc1]}",
	    "{sparsity: 0.55, exclude: [fc3]}", "{sparsity: 0.6, scope: layer, exclude: [fc2]}", "{sparsity: 0.7}",
	    "{sparsity: 0.8, exclude: [fc1, fc3]}", "{method: wanda, sparsity: 0.4}",
	    "{method: wanda, sparsity: 0.75, exclude: [fc1]}", "{sparsity: 0.999, exclude: [fc1]}",
	    "{sparsity: 0.999}"};
	int refused = 0;
	(void)state;
	for (int trial = 0; trial < 400; trial++) {
		const struct rng r = rng_make(1, "", RNG_BENCH, "trial");
		struct mask_forecast f = {0};
		struct param_store s;
		struct graph g;
		graph_init(&g);
		params_init(&s, dev);
		RIG_OK(spec_build(&g, &spec, &shape_one));
		RIG_OK(params_add_graph(&s, &g, (uint64_t)trial + 1));
		for (int step = 0; step < 5; step++) {
			const uint32_t draw = rng_draw(r, (uint64_t)trial, (uint64_t)step, 0).w[0];
			if (!prune_both(ways[draw % (sizeof(ways) / sizeof(*ways))], &s, &f)) {
				refused++;
				break;
			}
			assert_within(&f, &s);
		}
		mask_forecast_clear(&f);
		params_clear(&s);
		graph_clear(&g);
	}
	assert_true(refused > 20 && refused < 390);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plan__a_sparsity_below_that_of_the_input_is_refused),
	    cmocka_unit_test(plan__what_depends_on_the_weights_is_a_warning),
	    cmocka_unit_test(plan__masks_of_units_that_are_removed_may_go),
	    cmocka_unit_test(plan__masks_of_open_widths_refuse_nothing),
	    cmocka_unit_test(bounds__hold_for_all_weights),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
