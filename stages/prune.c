/* prune: a smaller model from a trained one, then fine-tuning.
 *
 * magnitude, wanda and nm set masks, which belong to the params and hold from here on through every later stage;
 * structured removes channels and neurons for good. Masks that the input has already stay and count. Without epochs the
 * stage only prunes. With a teacher the fine-tuning distills. */
#include "stages/prune.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

struct prune_job {
	const struct prune_options *o;
	struct stage_run *run;
	struct model model;
	struct prune_set set;
	double initial;     /* share that was masked before */
	double removed;     /* parameters, by this and earlier stages */
	int64_t calibrated; /* samples that scores were taken from */
	char parent[HASH_HEX];
	double started;
	bool *empty; /* (params of the model) those that a warning was about */
};

static int check(const void *options, const struct model_spec *input_spec, const char **key)
{
	return prune_options_check(options, input_spec, key);
}

static bool by_wanda(const struct prune_options *o)
{
	return o->method == PRUNE_WANDA || (o->method == PRUNE_NM && o->score == SCORE_WANDA);
}

/* "2of4", "50": what the technique and the plan call it. */
static void describe(const struct prune_options *o, char *text, size_t cap)
{
	if (o->method == PRUNE_NM)
		snprintf(text, cap, "%" PRId64 "of%" PRId64, o->n, o->m);
	else
		snprintf(text, cap, "%g", 100 * o->sparsity);
}

static int plan_text(const struct prune_options *o, const struct dataset *d, const struct model_spec *before,
    const struct model_spec *after, char *text, size_t cap)
{
	struct prune_set set;
	char amount[32], name[64];
	size_t len = 0;
	describe(o, amount, sizeof(amount));
	if (o->method == PRUNE_STRUCTURED) {
		len = (size_t)snprintf(text, cap, "remove %s %% of the units:", amount);
		for (int i = 0; i < before->n_width && len < cap; i++)
			len +=
			    (size_t)snprintf(text + len, cap - len, " %s %d -> %d%s", spec_width_name(before, i, name),
				before->width[i], after->width[i], i + 1 < before->n_width ? "," : "");
	} else {
		int rc = prune_set_init(&set, before, o);
		if (rc < 0)
			return rc;
		len = (size_t)snprintf(text, cap, "mask %s%s of %" PRId64 " weights in %d layers", amount,
		    o->method == PRUNE_NM ? "" : " %", set.total, set.n);
		prune_set_clear(&set);
		if (prune_is_calibrated(o) && len < cap) {
			const struct calibration_size size = prune_calibration_size(o, d);
			len += (size_t)snprintf(text + len, cap - len,
			    ", those that are small times their input's norm%s%s, of %" PRId64 " samples from %s",
			    o->method == PRUNE_WANDA ? ", compared " : "",
			    o->method == PRUNE_WANDA ? prune_scope_texts[prune_scope_of(o)] : "",
			    size.batches * size.batch, split_names[size.split]);
		}
	}
	if (len < cap)
		snprintf(text + len, cap - len, "; fine-tune for %" PRId64 " epochs", o->train.epochs);
	return 0;
}

static int plan_masks(
    const struct prune_options *o, const struct stage_run *s, const struct model_spec *after, struct mask_forecast *out)
{
	struct prune_set set = {0};
	int rc = s->input_masks ? mask_forecast_copy(out, s->input_masks) : 0;
	if (!rc && o->method == PRUNE_STRUCTURED)
		return prune_forecast_units(after, out);
	if (!rc)
		rc = prune_set_init(&set, after, o);
	if (!rc)
		rc = prune_forecast_masks(o, &set, s, out);
	prune_set_clear(&set);
	return rc;
}

static int plan(const struct stage_run *s, const struct model_spec *input_spec, struct stage_plan *out)
{
	const struct prune_options *o = s->options;
	struct model_spec after = {0};
	const char *key;
	int rc = 0;
	if (s->teacher_dir)
		rc = kd_options_check(&o->train, &key);
	if (!rc && s->teacher_dir && o->train.epochs == 0)
		rc = err_set(ERR_CONFIG, "a teacher without epochs of fine-tuning has no effect");
	if (!rc)
		rc = o->method == PRUNE_STRUCTURED ? prune_units_spec(o, input_spec, &after)
						   : spec_copy(&after, input_spec);
	if (!rc)
		rc = plan_text(o, s->data, input_spec, &after, out->text, sizeof(out->text));
	if (!rc)
		rc = plan_masks(o, s, &after, &out->masks);
	struct fit_job fit = {.train = &o->train, .kd = &o->kd, .masks = o->method != PRUNE_STRUCTURED};
	if (!rc)
		rc = fit_plan(s, &after, &fit, out);
	spec_clear(&after);
	return rc;
}

static int apply_magnitude(struct prune_job *job, double sparsity)
{
	return prune_smallest(&job->set, &job->model.params, NULL, prune_scope_of(job->o), sparsity);
}

/* The ramp: before each epoch, mask on. */
static int before_epoch(void *user, int64_t epoch)
{
	struct prune_job *job = user;
	int rc = apply_magnitude(job, prune_ramp_at(job->o, job->initial, epoch));
	return rc ? rc : prune_warn_of_empty(job->run, &job->model.params, &job->empty);
}

/* By scores |w| * ||x||. */
static int apply_wanda(struct prune_job *job)
{
	const struct prune_options *o = job->o;
	struct channel_norms norms = {0};
	const struct calibration_size size = prune_calibration_size(o, job->run->data);
	int rc = prune_norms(&job->set, job->run, &job->model, &size, &norms);
	if (!rc && o->method == PRUNE_NM)
		rc = prune_nm(&job->set, &job->model.params, &norms, (int)o->n, (int)o->m);
	else if (!rc)
		rc = prune_smallest(&job->set, &job->model.params, &norms, prune_scope_of(o), o->sparsity);
	job->calibrated = size.batches * size.batch;
	if (!rc)
		stage_line(job->run, "weights scored by Wanda, compared %s, on %" PRId64 " samples of the %s split",
		    o->method == PRUNE_NM ? "in their group" : prune_scope_texts[prune_scope_of(o)], job->calibrated,
		    split_names[size.split]);
	channel_norms_clear(&norms);
	return rc;
}

static int prune_now(struct prune_job *job)
{
	const struct prune_options *o = job->o;
	if (o->method == PRUNE_STRUCTURED)
		return prune_units(o, &job->model);
	int rc = prune_set_init(&job->set, &job->model.ckpt.spec, o);
	if (!rc)
		rc = prune_masked_share(&job->set, &job->model.params, &job->initial);
	if (rc < 0)
		return rc;
	if (o->method == PRUNE_NM)
		return prune_is_calibrated(o) ? apply_wanda(job)
					      : prune_nm(&job->set, &job->model.params, NULL, (int)o->n, (int)o->m);
	rc = prune_check_target(&job->set, job->initial, o->sparsity);
	if (rc < 0)
		return rc;
	if (o->method == PRUNE_WANDA)
		return apply_wanda(job);
	return o->ramp == RAMP_ONE_SHOT ? apply_magnitude(job, o->sparsity) : 0;
}

static int load_float(struct prune_job *job)
{
	struct stage_run *s = job->run;
	int rc = stage_model_load(&job->model, s->input_dir, s->train_dev, s);
	if (!rc && job->model.ckpt.form != FORM_FLOAT)
		rc = err_set(ERR_CONFIG, "input %s is quantized already; prune comes before quantize", s->input_dir);
	return rc;
}

/* What decided which weights stay, in checkpoint_info.json: defaults that depend on other options are resolved here. */
static int put_choice(struct prune_job *job)
{
	const struct prune_options *o = job->o;
	struct checkpoint *c = &job->model.ckpt;
	bool ok;
	if (!c->info && !(c->info = cJSON_CreateObject()))
		return err_set(ERR_NOMEM, "out of memory");
	struct json_out out = json_out_object(json_out_into(c->info, &ok), "pruning");
	json_out_text(out, "score", by_wanda(o) ? "wanda" : "magnitude");
	if (o->method != PRUNE_NM)
		json_out_text(out, "scope", prune_scope_names[prune_scope_of(o)]);
	if (prune_is_calibrated(o)) {
		json_out_number(out, "calibration_samples", (double)job->calibrated);
		json_out_text(out, "calibration_split", split_names[prune_calibration_size(o, job->run->data).split]);
	}
	return ok ? 0 : err_set(ERR_NOMEM, "out of memory");
}

static int fine_tune_and_save(struct prune_job *job)
{
	const struct prune_options *o = job->o;
	struct fit_report report = {0};
	char amount[32], technique[64];
	int64_t begin, end;
	prune_ramp_epochs(o, &begin, &end);
	describe(o, amount, sizeof(amount));
	snprintf(technique, sizeof(technique), "%s_%s",
	    o->method == PRUNE_STRUCTURED ? "structured"
	    : by_wanda(o)                 ? "wanda"
					  : "pruned",
	    amount);
	struct fit_job fit = {.run = job->run,
	    .train = &o->train,
	    .kd = &o->kd,
	    .model = &job->model,
	    .before_epoch = o->ramp == RAMP_ONE_SHOT ? NULL : before_epoch,
	    .user = job,
	    .min_best_epoch = end,
	    .masks = o->method != PRUNE_STRUCTURED};
	struct stage_result result = {
	    .technique = technique, .parent_sha256 = job->parent, .removed = job->removed, .started = job->started};
	int rc = fit_run(&fit, &report);
	if (!rc)
		rc = put_choice(job);
	if (!rc)
		rc = fit_save(&fit, "prune", prune_option_table, &result, &report);
	fit_report_clear(&report);
	return rc;
}

static int count(const struct model_spec *spec, int64_t *parameters)
{
	struct graph g;
	int rc = spec_build(&g, spec, &shape_one);
	*parameters = rc == 0 ? graph_parameters(&g) : 0;
	graph_clear(&g);
	return rc;
}

/* After pruning, the input's tensors and info describe another model. */
static int renew_checkpoint(struct prune_job *job, const struct model_spec *before)
{
	struct checkpoint *c = &job->model.ckpt;
	struct checkpoint fresh = {.form = FORM_FLOAT};
	int64_t old_count, new_count;
	int rc = count(before, &old_count);
	if (!rc)
		rc = count(&c->spec, &new_count);
	if (rc < 0)
		return rc;
	job->removed = stage_removed(c) + (double)(old_count - new_count);
	memcpy(job->parent, c->sha256, sizeof(job->parent));
	fresh.spec = c->spec; /* moved, as the two below */
	fresh.adapter = c->adapter;
	fresh.task = c->task;
	c->spec = (struct model_spec){0};
	c->adapter = (struct adapter){0};
	c->task = (struct task){0};
	checkpoint_clear(c);
	*c = fresh;
	return 0;
}

static int run(struct stage_run *s)
{
	struct prune_job job = {.o = s->options, .run = s, .started = clock_now()};
	struct model_spec before = {0};
	int rc = load_float(&job);
	if (!rc)
		rc = spec_copy(&before, &job.model.ckpt.spec);
	if (!rc)
		rc = prune_now(&job);
	if (!rc)
		rc = prune_warn_of_empty(s, &job.model.params, &job.empty);
	if (!rc)
		rc = renew_checkpoint(&job, &before);
	if (!rc)
		rc = fine_tune_and_save(&job);
	spec_clear(&before);
	mem_free(job.empty);
	prune_set_clear(&job.set);
	model_clear(&job.model);
	return rc;
}

static const struct transfer_options *transfer_of(const void *options)
{
	return &((const struct prune_options *)options)->kd.transfer;
}

const struct stage_kind stage_prune = {.name = "prune",
    .help = "zeroes weights or removes units, then fine-tunes",
    .table = prune_option_table,
    .options_size = sizeof(struct prune_options),
    .trains = true,
    .makes_checkpoint = true,
    .input = {REF_ONE, REF_BEFORE},
    .teacher = {REF_ONE, REF_OPTIONAL},
    .needs_float = true,
    .transfer = transfer_of,
    .check = check,
    .plan = plan,
    .run = run};
