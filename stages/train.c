/* train: a model from its spec, by cross-entropy on the train split; the best epoch on validation is kept. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "stages/fit.h"

struct train_stage_options {
	struct train_options train;
	int64_t rewind_epoch; /* -1 = not given */
};

static const struct option table[] = {TRAIN_OPTION_ROWS(struct train_stage_options, train, NULL, 0),
    {.key = "rewind_epoch",
	.type = OPT_INT,
	.offset = offsetof(struct train_stage_options, rewind_epoch),
	.def = "-1",
	.min = -1,
	.max = 100000,
	.help = "keeps the weights after this many epochs too, for pruning that rewinds to them; 0 = the initial ones, "
		"-1 = no"},
    OPTION_END};

static int check(const void *options, const struct model_spec *input_spec, const char **key)
{
	const struct train_stage_options *o = options;
	(void)input_spec;
	*key = "rewind_epoch";
	if (o->rewind_epoch >= o->train.epochs)
		return err_set(ERR_CONFIG,
		    "rewind_epoch is %" PRId64 ", the training has %" PRId64 " epochs; it must be below",
		    o->rewind_epoch, o->train.epochs);
	if (o->train.patience > 0 && o->rewind_epoch > o->train.patience)
		return err_set(ERR_CONFIG,
		    "with patience %" PRId64 " the training may end before rewind_epoch %" PRId64 " is reached",
		    o->train.patience, o->rewind_epoch);
	return train_options_check(&o->train, key);
}

static int plan(const struct stage_run *s, const struct model_spec *input_spec, struct stage_plan *out)
{
	const struct train_stage_options *o = s->options;
	(void)input_spec;
	size_t kept = 0;
	int rc = o->rewind_epoch < 0 ? 0 : early_bytes(s->spec, &kept);
	if (!rc)
		rc = fit_plan(s, s->spec, &(struct fit_job){.train = &o->train, .host_bytes = kept}, out);
	out->keeps_early = o->rewind_epoch >= 0;
	snprintf(out->text, sizeof(out->text), "train %s for %" PRId64 " epochs, batch %" PRId64 "%s%s",
	    spec_family(s->spec), o->train.epochs, o->train.batch_size,
	    s->pretrained_dir ? ", beginning with the weights of " : "", s->pretrained_dir ? s->pretrained_dir : "");
	return rc;
}

static int run(struct stage_run *s)
{
	const struct train_stage_options *o = s->options;
	struct early_weights early = {.epoch = o->rewind_epoch};
	struct fit_new n = {.kind = "train", .technique = "baseline", .table = table, .train = &o->train};
	int rc = 0;
	if (o->rewind_epoch >= 0) {
		n.early = &early;
		rc = early_bytes(s->spec, &n.host_bytes);
	}
	if (!rc)
		rc = fit_new_model(s, &n);
	early_clear(&early);
	return rc;
}

const struct stage_kind stage_train = {.name = "train",
    .help = "trains a model from scratch",
    .table = table,
    .options_size = sizeof(struct train_stage_options),
    .trains = true,
    .ranks = STAGE_SHARES_STEPS,
    .makes_checkpoint = true,
    .needs_model = true,
    .check = check,
    .plan = plan,
    .run = run};
