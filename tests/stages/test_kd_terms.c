/* Which layers a distillation compares, and how much each comparison counts, before anything is trained. */
#include "stages/texts.h"

#include <math.h>

#include "stages/kd.h"

static struct rig texts;

static const struct encoder_spec own = {.hidden = 24,
    .head_size = 8,
    .positions = 128,
    .norm = ENCODER_NORM_POST,
    .activation = ENCODER_GELU,
    .pooling = ENCODER_POOLING_MEAN,
    .pooler = ENCODER_POOLER_NONE,
    .eps = 1e-12f};
static struct encoder_spec deep_own, flat_own;
static int deep_width[] = {3, 40, 3, 40, 3, 40}, flat_width[] = {3, 40, 3, 40};
static struct model_spec deep, flat;

static int set_up(void **state)
{
	(void)state;
	texts_open(&texts, false);
	deep_own = flat_own = own;
	deep = (struct model_spec){.family = &family_encoder,
	    .input = texts.adapter.spec,
	    .classes = texts.data.classes,
	    .n_width = 6,
	    .width = deep_width,
	    .own = &deep_own};
	flat = deep;
	flat.n_width = 4;
	flat.width = flat_width;
	flat.own = &flat_own;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&texts);
	return 0;
}

static int make(struct kd_terms *t, const struct kd_options *kd)
{
	return kd_terms_make(t, kd, &flat, &texts.adapter, &deep, &texts.adapter);
}

/* A term for each layer of the student, of which the mean counts. */
static void terms__are_one_for_each_layer_and_kind(void **state)
{
	static int64_t map[] = {0, 2};
	const struct kd_options kd = {
	    .method = KD_MULTI_LEVEL, .hidden_weight = 0.5, .attention_weight = 0.25, .layer_map = {.v = map, .n = 2}};
	struct kd_terms t;
	(void)state;
	RIG_OK(make(&t, &kd));
	assert_int_equal(t.n, 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(t.item[i].kind, i < 2 ? LAYER_HIDDEN : LAYER_ATTENTION);
		assert_int_equal(t.item[i].layer, i % 2);
		assert_int_equal(t.item[i].from, (int)map[i % 2]);
		assert_true(fabsf(t.item[i].factor - (i < 2 ? 0.25f : 0.125f)) < 1e-7f);
	}
	kd_terms_clear(&t);
	/* Evenly where no map is given, and one kind alone where one is asked for. */
	RIG_OK(make(&t, &(struct kd_options){.method = KD_ATTENTION, .attention_weight = 1}));
	assert_int_equal(t.n, 2);
	assert_int_equal(t.item[0].kind, LAYER_ATTENTION);
	assert_int_equal(t.item[0].from * 10 + t.item[1].from, 2);
	kd_terms_clear(&t);
}

static void relation__is_of_the_students_last_layer(void **state)
{
	struct kd_options kd = {.method = KD_RELATION, .relation_weight = 2, .relation_layer = -1};
	struct kd_terms t;
	(void)state;
	RIG_OK(make(&t, &kd));
	assert_int_equal(t.n, 1);
	assert_int_equal(t.item[0].kind, LAYER_RELATION);
	assert_int_equal(t.item[0].layer, 1);
	assert_int_equal(t.item[0].from, 2); /* -1: the last */
	assert_true(t.item[0].factor == 2);
	kd_terms_clear(&t);
	kd.relation_layer = 1;
	RIG_OK(make(&t, &kd));
	assert_int_equal(t.item[0].from, 1);
	kd_terms_clear(&t);
	kd.relation_layer = 3;
	assert_int_equal(make(&t, &kd), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "layer 3 of the teacher: it has layers 0 to 2"));
	kd.relation_layer = 1;
	kd.relation_heads = 5;
	assert_int_equal(make(&t, &kd), ERR_CONFIG);
	assert_null(t.item);
}

/* Tokens have partners only where both models cut a text into the same. */
static void terms__need_the_same_tokens(void **state)
{
	const struct kd_options kd = {.method = KD_HIDDEN, .hidden_weight = 1};
	struct adapter shorter = texts.adapter;
	struct kd_terms t;
	(void)state;
	shorter.spec.longest--;
	assert_int_equal(kd_terms_make(&t, &kd, &flat, &shorter, &deep, &texts.adapter), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "the teacher cuts texts in another way"));
	RIG_OK(kd_terms_make(&t, &(struct kd_options){.method = KD_LOGIT}, &flat, &shorter, &deep, &texts.adapter));
	assert_int_equal(t.n, 0); /* logits are of whole texts */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(terms__are_one_for_each_layer_and_kind),
	    cmocka_unit_test(relation__is_of_the_students_last_layer),
	    cmocka_unit_test(terms__need_the_same_tokens),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
