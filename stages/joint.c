/* joint: pruning, quantization and distillation in one training, as NNCF's recipe JPQD has it: fake quantization and
 * the teacher from the first step to the last; the masks wait for a warm-up, grow over the middle epochs and stay. The
 * masked weights are the smallest, or, as JPQD has it, those that move to zero. What is saved is what quantize saves:
 * integers, compared with their simulation, and a zero for every masked weight. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "stages/prune.h"
#include "stages/quantize_rows.h"

static const char *const scopes[] = {"global", "layer", NULL};
static const char *const scores[] = {"magnitude", "movement", NULL};
static const char *const ramps[] = {"linear", "cubic", "exponential", NULL};
static const enum prune_ramp ramp_of[] = {RAMP_LINEAR, RAMP_CUBIC, RAMP_EXPONENTIAL};

struct joint_options {
	struct quantize_options quantize; /* first: its rows name places in it. Its method is always qat */
	double sparsity;
	int score, scope, ramp;         /* indices into their choices */
	int64_t begin_epoch, end_epoch; /* 0-based; -1 and 0: not given */
	struct option_strings keep_dense;
	bool embeddings;
};

#define AT(m) offsetof(struct joint_options, m)
static const struct option table[] = {{.key = "sparsity",
					  .type = OPT_FLOAT,
					  .offset = AT(sparsity),
					  .def = "0.5",
					  .min = 0.001,
					  .max = 0.999,
					  .help = "share of weights that is masked in the end"},
    {.key = "score",
	.type = OPT_CHOICE,
	.offset = AT(score),
	.def = "magnitude",
	.choices = scores,
	.help = "what is masked: small weights, or those that the training moves to zero"},
    {.key = "scope",
	.type = OPT_CHOICE,
	.offset = AT(scope),
	.def = "global",
	.choices = scopes,
	.help = "where weights compete"},
    {.key = "ramp",
	.type = OPT_CHOICE,
	.offset = AT(ramp),
	.def = "cubic",
	.choices = ramps,
	.help = "course of the sparsity from begin_epoch to end_epoch"},
    {.key = "begin_epoch",
	.type = OPT_INT,
	.offset = AT(begin_epoch),
	.def = "-1",
	.min = -1,
	.max = 100000,
	.help = "epochs before the masks begin to grow; -1 = a fifth of the epochs"},
    {.key = "end_epoch",
	.type = OPT_INT,
	.offset = AT(end_epoch),
	.def = "0",
	.min = 0,
	.max = 100000,
	.help =
	    "epochs until the masks reach the sparsity; from then on they stay, and the best epoch is one of these; "
	    "0 = four fifths of the epochs"},
    {.key = "keep_dense",
	.type = OPT_STRINGS,
	.offset = AT(keep_dense),
	.help = "patterns of layers that keep all their weights, e.g. [conv1, fc*]"},
    {.key = "embeddings",
	.type = OPT_BOOL,
	.offset = AT(embeddings),
	.def = "false",
	.help = "masks also on the tables of embeddings"},
    QUANTIZE_OPTION_ROWS(NULL, 0, 0), QUANTIZE_STEP_ROW(NULL, 0),
    KD_OPTION_ROWS_WITH(struct joint_options, quantize.kd, "kd_method", "2", "0.9"),
    TRAIN_OPTION_ROWS(struct joint_options, quantize.train, NULL, 0), OPTION_END};

struct joint_job {
	const struct stage_run *run;
	struct quantize_options options; /* borrowed from the stage's, with the method */
	struct prune_options prune;      /* likewise */
	struct quantize_job quantize;
	struct prune_set set;
	double initial; /* share that was masked before */
	struct movement movement;
	struct fit_steps steps; /* by score movement */
	bool *said;             /* prune_warn_of_empty */
	int n_said;
};

/* Options of the two halves, with the ramp's epochs resolved. */
static void split_options(const struct joint_options *o, struct joint_job *job)
{
	const int64_t epochs = o->quantize.train.epochs;
	const int64_t begin = o->begin_epoch < 0 ? epochs / 5 : o->begin_epoch;
	const int64_t end = 4 * epochs / 5 > begin ? 4 * epochs / 5 : begin + 1;
	job->options = o->quantize;
	job->options.method = QUANT_QAT;
	job->prune = (struct prune_options){.method = o->score == 0 ? PRUNE_MAGNITUDE : PRUNE_MOVEMENT,
	    .scope = o->scope == 0 ? SCOPE_GLOBAL : SCOPE_LAYER,
	    .ramp = (int)ramp_of[o->ramp],
	    .sparsity = o->sparsity,
	    .begin_epoch = begin,
	    .end_epoch = o->end_epoch > 0 ? o->end_epoch : end,
	    .exclude = o->keep_dense,
	    .exclude_key = "keep_dense",
	    .embeddings = o->embeddings,
	    .train = o->quantize.train};
}

static int check_ramp(const struct joint_job *job, const char **key)
{
	const int64_t begin = job->prune.begin_epoch, end = job->prune.end_epoch, epochs = job->options.train.epochs;
	*key = "end_epoch";
	if (end <= begin)
		return err_set(
		    ERR_CONFIG, "the ramp ends at epoch %" PRId64 ", not after begin_epoch %" PRId64, end, begin);
	*key = "epochs";
	if (end >= epochs)
		return err_set(ERR_CONFIG,
		    "the masks reach their sparsity after %" PRId64 " epochs, so epochs (%" PRId64
		    ") must be more than that",
		    end, epochs);
	*key = "precision";
	if (job->prune.method == PRUNE_MOVEMENT && job->options.train.precision == PRECISION_FP16)
		return err_set(ERR_CONFIG, "gradients under fp16 are scaled: score movement does not take it");
	return 0;
}

static int check(const void *options, const struct model_spec *input_spec, const char **key)
{
	struct joint_job job = {0};
	split_options(options, &job);
	int rc = quantize_options_check(&job.options, key);
	if (!rc)
		rc = check_ramp(&job, key);
	if (rc)
		return rc;
	*key = "keep_dense";
	rc = prune_set_init(&job.set, input_spec, &job.prune);
	prune_set_clear(&job.set);
	return rc;
}

/* Before each epoch, mask on. */
static int before_epoch(void *user, int64_t epoch)
{
	struct joint_job *job = user;
	struct param_store *params = &job->quantize.input.params;
	const double sparsity = prune_ramp_at(&job->prune, job->initial, epoch);
	const enum prune_scope scope = prune_scope_of(&job->prune);
	int rc = job->prune.method == PRUNE_MOVEMENT ? movement_mask(&job->movement, params, scope, sparsity)
						     : prune_smallest(&job->set, params, NULL, scope, sparsity);
	return rc ? rc : prune_warn_of_empty(job->run, params, &job->said, &job->n_said);
}

static bool will_mask(void *user, const char *param)
{
	const struct joint_job *job = user;
	for (int i = 0; i < job->set.n; i++)
		if (strcmp(job->set.weight[i].param, param) == 0)
			return true;
	return false;
}

/* Once the set is known: who looks on at each step. */
static void look_on(struct joint_job *job)
{
	if (job->prune.method != PRUNE_MOVEMENT)
		return;
	job->steps = movement_steps(&job->movement);
	job->steps.host_bytes = movement_bytes(&job->set);
	job->quantize.steps = &job->steps;
}

/* technique: of the checkpoint; NULL in a plan. */
static void begin(struct joint_job *job, struct stage_run *run, const char *technique)
{
	*job = (struct joint_job){.run = run};
	split_options(run->options, job);
	job->quantize = (struct quantize_job){.o = &job->options,
	    .run = run,
	    .kind = "joint",
	    .technique = technique,
	    .table = table,
	    .before_epoch = before_epoch,
	    .will_mask = will_mask,
	    .user = job,
	    .min_best_epoch = job->prune.end_epoch};
}

static int plan(const struct stage_run *s, const struct model_spec *input_spec, struct stage_plan *out)
{
	char quantize[sizeof(out->text)];
	struct stage_run run = *s;
	struct joint_job job;
	struct mask_forecast masks = {0}; /* to be refused here where that is certain; integers have none */
	begin(&job, &run, NULL);
	int rc = prune_set_init(&job.set, input_spec, &job.prune);
	if (!rc && s->input_masks)
		rc = mask_forecast_copy(&masks, s->input_masks);
	if (!rc)
		rc = prune_forecast_masks(&job.prune, &job.set, s, &masks);
	look_on(&job);
	if (!rc)
		rc = quantize_job_plan(&job.quantize, input_spec, out);
	memcpy(quantize, out->text, sizeof(quantize));
	if (!rc)
		snprintf(out->text, sizeof(out->text),
		    "mask %g %% of %" PRId64 " weights in %d layers, more from epoch %" PRId64 " to epoch %" PRId64
		    "; %s",
		    100 * job.prune.sparsity, job.set.total, job.set.n, job.prune.begin_epoch + 2,
		    job.prune.end_epoch + 1, quantize);
	mask_forecast_clear(&masks);
	prune_set_clear(&job.set);
	return rc;
}

static int run(struct stage_run *s)
{
	const double started = clock_now();
	struct joint_job job;
	char technique[32];
	snprintf(technique, sizeof(technique), "joint_%g", 100 * ((const struct joint_options *)s->options)->sparsity);
	begin(&job, s, technique);
	int rc = quantize_job_check(&job.options, s);
	if (!rc)
		rc = quantize_job_load(&job.quantize);
	if (!rc)
		rc = prune_set_init(&job.set, &job.quantize.input.ckpt.spec, &job.prune);
	if (!rc)
		rc = prune_masked_share(&job.set, &job.quantize.input.params, &job.initial);
	if (!rc)
		rc = prune_check_target(&job.set, job.initial, job.prune.sparsity);
	if (!rc && job.prune.method == PRUNE_MOVEMENT)
		rc = movement_open(&job.movement, &job.set, &job.quantize.input.params);
	look_on(&job);
	if (!rc)
		rc = quantize_job_run(&job.quantize, started);
	quantize_job_clear(&job.quantize);
	movement_clear(&job.movement);
	prune_set_clear(&job.set);
	mem_free(job.said);
	return rc;
}

static const struct transfer_options *transfer_of(const void *options)
{
	return &((const struct joint_options *)options)->quantize.kd.transfer;
}

const struct stage_kind stage_joint = {.name = "joint",
    .help = "prunes, quantizes to integers and distills a model in one training",
    .table = table,
    .options_size = sizeof(struct joint_options),
    .trains = true,
    .makes_checkpoint = true,
    .input = {REF_ONE, REF_BEFORE},
    .teacher = {REF_ONE, REF_REQUIRED},
    .needs_float = true,
    .quantizes = true,
    .check = check,
    .transfer = transfer_of,
    .plan = plan,
    .run = run,
    .ranks = STAGE_SHARES_STEPS};
