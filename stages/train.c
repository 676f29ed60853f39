/* train: a model from its spec, by cross-entropy on the train split; the best epoch on validation is kept. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "stages/fit.h"

struct train_stage_options {
	struct train_options train;
};

static const struct option table[] = {TRAIN_OPTION_ROWS(struct train_stage_options, train, NULL, 0), OPTION_END};

static int check(const void *options, const struct model_spec *input_spec, const char **key)
{
	const struct train_stage_options *o = options;
	(void)input_spec;
	return train_options_check(&o->train, key);
}

static int plan(const struct stage_run *s, const struct model_spec *input_spec, struct stage_plan *out)
{
	const struct train_stage_options *o = s->options;
	(void)input_spec;
	int rc = fit_plan(s, s->spec, &(struct fit_job){.train = &o->train}, out);
	snprintf(out->text, sizeof(out->text), "train %s for %" PRId64 " epochs, batch %" PRId64 "%s%s",
	    spec_family(s->spec), o->train.epochs, o->train.batch_size,
	    s->pretrained_dir ? ", beginning with the weights of " : "", s->pretrained_dir ? s->pretrained_dir : "");
	return rc;
}

static int run(struct stage_run *s)
{
	const struct train_stage_options *o = s->options;
	return fit_new_model(
	    s, &(struct fit_new){.kind = "train", .technique = "baseline", .table = table, .train = &o->train});
}

const struct stage_kind stage_train = {.name = "train",
    .help = "trains a model from scratch",
    .table = table,
    .options_size = sizeof(struct train_stage_options),
    .trains = true,
    .makes_checkpoint = true,
    .needs_model = true,
    .check = check,
    .plan = plan,
    .run = run};
