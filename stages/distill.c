/* distill: a student from its spec, taught by the logits of a frozen teacher (Hinton et al. 2015):
 *   loss = alpha * T^2 * KL(softmax(teacher / T) || softmax(student / T)) + (1 - alpha) * CE(student, labels)
 * T^2 keeps the soft part's gradient at the same size when T changes (their section 2). */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "stages/fit.h"

struct distill_options {
	struct kd_options kd;
	struct train_options train;
};

static const struct option table[] = {
    KD_OPTION_ROWS(struct distill_options, kd), TRAIN_OPTION_ROWS(struct distill_options, train, NULL, 0), OPTION_END};

static int check(const void *options, const struct model_spec *input_spec, const char **key)
{
	const struct distill_options *o = options;
	(void)input_spec;
	*key = "epochs";
	if (o->train.epochs < 1)
		return err_set(ERR_CONFIG, "epochs must be 1 or more: a model of random weights is no use");
	int rc = kd_options_check(&o->train, key);
	return rc < 0 ? rc : train_options_check(&o->train, key);
}

static int plan(const struct stage_run *s, const struct model_spec *input_spec, struct stage_plan *out)
{
	const struct distill_options *o = s->options;
	(void)input_spec;
	int rc = fit_plan(s, s->spec, &(struct fit_job){.train = &o->train, .kd = &o->kd}, out);
	snprintf(out->text, sizeof(out->text),
	    "distill a %s for %" PRId64 " epochs, batch %" PRId64
	    ", temperature %g, alpha %g (the teacher's forward pass "
	    "comes on top)",
	    spec_family(s->spec), o->train.epochs, o->train.batch_size, o->kd.temperature, o->kd.alpha);
	return rc;
}

static int run(struct stage_run *s)
{
	const struct distill_options *o = s->options;
	return fit_new_model(s, "distill", "vanilla_kd", table, &o->train, &o->kd);
}

const struct stage_kind stage_distill = {.name = "distill",
    .help = "trains a student on a teacher's logits and the labels",
    .table = table,
    .options_size = sizeof(struct distill_options),
    .trains = true,
    .makes_checkpoint = true,
    .needs_model = true,
    .teacher = {REF_ONE, REF_REQUIRED},
    .check = check,
    .plan = plan,
    .run = run};
