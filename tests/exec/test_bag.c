/* Family bag at work on the reference: it learns, and a text's logits are its own. */
#include "exec/rig.h"

enum { TEXTS = 8, LENGTH = 4, TOKENS = TEXTS * LENGTH, WORDS = 30, CLASSES = 3 };

static const struct model_spec bag = {.family = &family_bag,
    .input = {.kind = INPUT_TEXT, .vocabulary = WORDS, .longest = LENGTH},
    .classes = CLASSES,
    .n_width = 2,
    .width = (int[]){6, 5},
    .own = &(struct bag_spec){0}};

/* Texts of one to four words; text n is about class n % 3, of which one of its words tells. */
static int write_texts(int32_t ids[TOKENS], int32_t starts[TEXTS + 1], int32_t labels[TEXTS])
{
	int at = 0;
	for (int n = 0; n < TEXTS; n++) {
		starts[n] = at;
		labels[n] = n % CLASSES;
		for (int k = 0; k <= n % LENGTH; k++)
			ids[at++] = k ? 10 + (7 * n + k) % 20 : labels[n];
	}
	starts[TEXTS] = at;
	for (int i = at; i < TOKENS; i++)
		ids[i] = -1;
	return at;
}

static struct executor *make(
    struct param_store *s, const struct build_shape *shape, enum exec_mode mode, struct graph *g)
{
	assert_ok(spec_build(g, &bag, shape));
	if (mode == EXEC_TRAIN)
		assert_ok(graph_add_ce(g, 0));
	assert_ok(params_add_graph(s, g, 1));
	return rig_executor(g, s, mode, false);
}

static void bag__learns_the_words_that_tell(void **state)
{
	(void)state;
	const struct build_shape shape = {.sequences = TEXTS, .tokens = TOKENS, .longest = LENGTH};
	const struct update_args args = rig_adamw();
	int32_t ids[TOKENS], starts[TEXTS + 1], labels[TEXTS];
	float weight[TEXTS], first = 0, last = 0;
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct optimizer opt;
	struct graph g;
	params_init(&s, dev);
	struct executor *ex = make(&s, &shape, EXEC_TRAIN, &g);
	optimizer_init(&opt, &s, &args);
	opt.args.lr = 0.05f;
	write_texts(ids, starts, labels);
	for (int n = 0; n < TEXTS; n++)
		weight[n] = 1.0f / TEXTS;
	assert_ok(executor_input(ex, "ids", ids, sizeof(ids)));
	assert_ok(executor_input(ex, "starts", starts, sizeof(starts)));
	assert_ok(executor_input(ex, "labels", labels, sizeof(labels)));
	assert_ok(executor_input(ex, "weight", weight, sizeof(weight)));
	for (int step = 0; step < 60; step++) {
		assert_ok(executor_step(ex, false, &opt));
		assert_ok(executor_output(ex, "loss", &last, sizeof(last)));
		first = step ? first : last;
	}
	if (!(first > 0.9f && last < 0.05f))
		fail_msg("the loss went from %g to %g", (double)first, (double)last);
	optimizer_clear(&opt);
	executor_free(ex);
	params_clear(&s);
	graph_clear(&g);
	rig_close(dev);
}

static void bag__a_text_has_the_same_logits_alone_and_in_every_capacity(void **state)
{
	(void)state;
	int32_t ids[TOKENS], starts[TEXTS + 1], labels[TEXTS];
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct graph g;
	params_init(&s, dev);
	int used = write_texts(ids, starts, labels);
	struct executor *ex = make(&s, &(struct build_shape){TEXTS, TOKENS, LENGTH}, EXEC_INFER, &g);
	assert_ok(executor_input(ex, "ids", ids, sizeof(ids)));
	assert_ok(executor_input(ex, "starts", starts, sizeof(starts)));
	assert_ok(executor_forward(ex));
	float *together = rig_value(ex, "fc2");
	executor_free(ex);
	graph_clear(&g);
	assert_true(used < TOKENS);
	for (int n = 0; n < TEXTS; n++) {
		int length = starts[n + 1] - starts[n];
		for (int64_t m = shape_capacity(length); m <= 12; m += 4) {
			int32_t own[12], bounds[2] = {0, length};
			for (int i = 0; i < m; i++)
				own[i] = i < length ? ids[starts[n] + i] : -1;
			ex = make(&s, &(struct build_shape){1, m, LENGTH}, EXEC_INFER, &g);
			assert_ok(executor_input(ex, "ids", own, (size_t)m * sizeof(*own)));
			assert_ok(executor_input(ex, "starts", bounds, sizeof(bounds)));
			assert_ok(executor_forward(ex));
			float *alone = rig_value(ex, "fc2");
			assert_memory_equal(alone, together + n * CLASSES, CLASSES * sizeof(float));
			free(alone);
			executor_free(ex);
			graph_clear(&g);
		}
	}
	free(together);
	params_clear(&s);
	rig_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bag__learns_the_words_that_tell),
	    cmocka_unit_test(bag__a_text_has_the_same_logits_alone_and_in_every_capacity),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
