/* The op suite must accept the reference itself and find what is wrong with a broken copy of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "ops/op_suite.h"
#include "ref/ref.h"

static struct kernel kernels[OP_COUNT];
static struct backend broken;

static struct device broken_device(void)
{
	broken = ref_backend;
	broken.name = "broken";
	ref_own_kernels(&broken, kernels);
	return (struct device){.backend = &broken};
}

static const struct kernel *good(const struct call *s)
{
	return ref_backend.kernels[s->node->op];
}

static float *last(const struct tensor *t)
{
	return (float *)t->data + shape_count(t->shape) - 1;
}

static int forward_one_ulp_off(struct call *s)
{
	int rc = good(s)->forward(s);
	*last(&s->out) = nextafterf(*last(&s->out), 1e30f);
	return rc;
}

static int forward_skips_the_last(struct call *s)
{
	float before = *last(&s->out);
	int rc = good(s)->forward(s);
	*last(&s->out) = before;
	return rc;
}

static int forward_writes_behind_the_end(struct call *s)
{
	int rc = good(s)->forward(s);
	last(&s->out)[1] = 0;
	return rc;
}

static int forward_writes_an_input(struct call *s)
{
	int rc = good(s)->forward(s);
	*last(&s->in[1]) += 1;
	return rc;
}

static int backward_always_overwrites(struct call *s)
{
	memset(s->accumulate, 0, sizeof(s->accumulate));
	return good(s)->backward(s);
}

static int backward_always_adds(struct call *s)
{
	memset(s->accumulate, 1, sizeof(s->accumulate));
	return good(s)->backward(s);
}

static int backward_forgets_the_weights(struct call *s)
{
	bool want = s->want[1];
	int rc;
	s->want[1] = false;
	rc = good(s)->backward(s);
	s->want[1] = want;
	return rc;
}

static void op_suite__accepts_the_reference(void **state)
{
	(void)state;
	int rc = op_suite_run((struct device){.backend = &ref_backend}, NULL);
	if (rc)
		print_error("%s\n", err_message());
	assert_int_equal(rc, 0);
	assert_int_equal(op_suite_update((struct device){.backend = &ref_backend}), 0);
}

static void op_suite__a_filter_without_a_case_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(op_suite_run((struct device){.backend = &ref_backend}, "conv3d/*"), ERR_FAIL);
}

static void op_suite__finds_a_missing_row(void **state)
{
	(void)state;
	struct device dev = broken_device();
	broken.kernels[OP_RQ_RESIDUAL] = NULL;
	assert_int_equal(op_suite_run(dev, "rq_residual/*"), ERR_FAIL);
}

static void op_suite__finds_broken_forwards(void **state)
{
	(void)state;
	static int (*const forwards[])(struct call *) = {
	    forward_one_ulp_off, forward_skips_the_last, forward_writes_behind_the_end, forward_writes_an_input};
	for (size_t i = 0; i < sizeof(forwards) / sizeof(forwards[0]); i++) {
		struct device dev = broken_device();
		kernels[OP_FAKE_QUANT].forward = forwards[i];
		assert_int_equal(op_suite_run(dev, "fake_quant/infer s8*"), ERR_FAIL);
	}
}

static void op_suite__finds_broken_backwards(void **state)
{
	(void)state;
	static int (*const backwards[])(struct call *) = {
	    backward_always_overwrites, backward_always_adds, backward_forgets_the_weights};
	for (size_t i = 0; i < sizeof(backwards) / sizeof(backwards[0]); i++) {
		struct device dev = broken_device();
		kernels[OP_LINEAR].backward = backwards[i];
		assert_int_equal(op_suite_run(dev, "linear/train N3 K5*"), ERR_FAIL);
	}
}

/* Finishes input 1 before input 0: right unless both are one memory. */
static int backward_in_the_wrong_order(struct call *s)
{
	bool want = s->want[0];
	int rc;
	s->want[0] = false;
	rc = good(s)->backward(s);
	s->want[0] = want;
	s->want[1] = false;
	if (!rc)
		rc = good(s)->backward(s);
	s->want[1] = true;
	return rc;
}

static void op_suite__finds_a_wrong_order_of_gradients(void **state)
{
	(void)state;
	struct device dev = broken_device();
	kernels[OP_ADD].backward = backward_in_the_wrong_order;
	assert_int_equal(op_suite_run(dev, "add/train*"), ERR_FAIL);
}

static int update_without_mask(void *ctx, const struct update_job *job)
{
	struct update_item *item = test_calloc((size_t)job->n + 1, sizeof(*item));
	struct update_job copy = *job;
	copy.item = item;
	for (int i = 0; i < job->n; i++) {
		item[i] = job->item[i];
		item[i].mask = NULL;
	}
	int rc = ref_backend.update(ctx, &copy);
	test_free(item);
	return rc;
}

static void op_suite__finds_an_update_that_ignores_masks(void **state)
{
	(void)state;
	struct device dev = broken_device();
	broken.update = update_without_mask;
	assert_int_equal(op_suite_update(dev), ERR_FAIL);
}

static int add_all_but_the_last(void *ctx, float *to, const float *from, size_t n)
{
	return ref_backend.add(ctx, to, from, n > 1000 ? n - 1 : n);
}

static void op_suite__finds_a_sum_that_is_cut_off(void **state)
{
	(void)state;
	struct device dev = broken_device();
	broken.add = add_all_but_the_last;
	assert_int_equal(op_suite_update(dev), ERR_FAIL);
}

/* Takes gradients as they are. */
static int update_with_the_scale(void *ctx, const struct update_job *job)
{
	const float scale = job->args.state->scale;
	job->args.state->scale = 1;
	int rc = ref_backend.update(ctx, job);
	job->args.state->scale *= scale;
	return rc;
}

/* Counts skipped updates as done in the bias correction. */
static int update_with_the_wrong_count(void *ctx, const struct update_job *job)
{
	const int skipped = job->args.state->skipped;
	job->args.state->t += skipped;
	int rc = ref_backend.update(ctx, job);
	job->args.state->t -= skipped;
	return rc;
}

/* As a device whose copy of the arguments is never refreshed. */
static int update_at_the_first_rate(void *ctx, const struct update_job *job)
{
	static float rate;
	struct update_job copy = *job;
	if (job->args.state->t == 0)
		rate = job->args.lr;
	copy.args.lr = rate;
	return ref_backend.update(ctx, &copy);
}

static void op_suite__finds_updates_that_mistake_the_loss_scale(void **state)
{
	(void)state;
	struct device dev = broken_device();
	broken.update = update_with_the_scale;
	assert_int_equal(op_suite_update(dev), ERR_FAIL);
	broken.update = update_with_the_wrong_count;
	assert_int_equal(op_suite_update(dev), ERR_FAIL);
	broken.update = update_at_the_first_rate;
	assert_int_equal(op_suite_update(dev), ERR_FAIL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(op_suite__accepts_the_reference),
	    cmocka_unit_test(op_suite__a_filter_without_a_case_is_an_error),
	    cmocka_unit_test(op_suite__finds_a_missing_row),
	    cmocka_unit_test(op_suite__finds_broken_forwards),
	    cmocka_unit_test(op_suite__finds_broken_backwards),
	    cmocka_unit_test(op_suite__finds_a_wrong_order_of_gradients),
	    cmocka_unit_test(op_suite__finds_an_update_that_ignores_masks),
	    cmocka_unit_test(op_suite__finds_a_sum_that_is_cut_off),
	    cmocka_unit_test(op_suite__finds_updates_that_mistake_the_loss_scale),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
