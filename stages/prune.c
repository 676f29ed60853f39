/* prune: a smaller model from a trained one, then fine-tuning.
 *
 * magnitude, wanda, taylor, movement and nm set masks, which belong to the params and hold from here on through every
 * later stage; structured and fisher remove units for good. Masks that the input has already stay and count. Without
 * epochs the stage only prunes. With a teacher the fine-tuning distills. */
#include "stages/prune_accept.h"
#include "stages/prune_fisher.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

static int check(const void *options, const struct model_spec *input_spec, const char **key)
{
	return prune_options_check(options, input_spec, key);
}

/* What `technique` begins with. */
static const char *word_of(const struct prune_options *o)
{
	if (prune_removes_units(o))
		return o->method == PRUNE_STRUCTURED ? "structured" : "fisher";
	if (o->method == PRUNE_MOVEMENT)
		return "movement";
	return prune_is_calibrated(o) ? prune_score_names[prune_score_of(o)] : "pruned";
}

/* "2of4", "50", "2.5ms": what the technique and the plan call it. */
static void describe(const struct prune_options *o, char *text, size_t cap)
{
	if (o->method == PRUNE_NM)
		snprintf(text, cap, "%" PRId64 "of%" PRId64, o->n, o->m);
	else if (o->target.latency_ms > 0)
		snprintf(text, cap, "%gms", o->target.latency_ms);
	else
		snprintf(text, cap, "%g", 100 * o->sparsity);
}

/* Widths follow from the data, or from times on this machine. */
static size_t plan_fisher(const struct prune_options *o, const char *amount, char *text, size_t cap)
{
	static const char open[] = "the data says which, and at most what is here now is left";
	if (o->target.latency_ms > 0)
		return (size_t)snprintf(text, cap,
		    "remove units until static INT8 takes %g ms at batch %" PRId64 ", by measured times; %s",
		    o->target.latency_ms, o->target.batch, open);
	return (size_t)snprintf(text, cap, "remove %s %% of the multiply-adds of layers with units; %s", amount, open);
}

static int plan_text(const struct prune_options *o, const struct dataset *d, const struct model_spec *before,
    const struct model_spec *after, char *text, size_t cap)
{
	const struct calibration_size size = prune_calibration_size(o, d);
	struct prune_set set;
	char amount[32], name[64];
	size_t len = 0;
	describe(o, amount, sizeof(amount));
	if (o->method == PRUNE_STRUCTURED) {
		len = (size_t)snprintf(text, cap, "remove %s %% of the units", amount);
		if (prune_is_calibrated(o) && len < cap)
			len += (size_t)snprintf(text + len, cap - len, " by %s on %" PRId64 " samples from %s",
			    prune_score_names[o->score], size.batches * size.batch, split_names[size.split]);
		len += len < cap ? (size_t)snprintf(text + len, cap - len, ":") : 0;
		for (int i = 0; i < before->n_width && len < cap; i++)
			len +=
			    (size_t)snprintf(text + len, cap - len, " %s %d -> %d%s", spec_width_name(before, i, name),
				before->width[i], after->width[i], i + 1 < before->n_width ? "," : "");
	} else if (o->method == PRUNE_FISHER) {
		len = plan_fisher(o, amount, text, cap);
	} else {
		int rc = prune_set_init(&set, before, o);
		if (rc)
			return rc;
		len = (size_t)snprintf(text, cap, "mask %s%s of %" PRId64 " weights in %d layers", amount,
		    o->method == PRUNE_NM ? "" : " %", set.total, set.n);
		prune_set_clear(&set);
		if (o->method == PRUNE_MOVEMENT && len < cap)
			len += (size_t)snprintf(text + len, cap - len,
			    ", those that training moves to zero, compared %s", prune_scope_texts[prune_scope_of(o)]);
		if (prune_is_calibrated(o) && len < cap)
			len += (size_t)snprintf(text + len, cap - len,
			    ", those that are small times their %s%s%s, of %" PRId64 " samples from %s",
			    prune_score_of(o) == SCORE_TAYLOR ? "gradient" : "input's norm",
			    prune_has_target(o) ? ", compared " : "",
			    prune_has_target(o) ? prune_scope_texts[prune_scope_of(o)] : "", size.batches * size.batch,
			    split_names[size.split]);
	}
	const int rounds = prune_rounds(o);
	if (rounds > 1 && len < cap)
		len += (size_t)snprintf(text + len, cap - len, "; in %d rounds", rounds);
	if (len < cap)
		snprintf(text + len, cap - len, "; %s for %" PRId64 " epochs%s",
		    o->rewind ? "train what is left from its early weights" : "fine-tune", o->train.epochs,
		    rounds > 1 ? " after each" : "");
	return 0;
}

static int plan_masks(
    const struct prune_options *o, const struct stage_run *s, const struct model_spec *after, struct mask_forecast *out)
{
	struct prune_set set = {0};
	int rc = s->input_masks ? mask_forecast_copy(out, s->input_masks) : 0;
	if (!rc && o->method == PRUNE_FISHER)
		prune_forecast_open(out);
	if (!rc && prune_removes_units(o))
		return prune_forecast_units(after, out);
	if (!rc)
		rc = prune_set_init(&set, after, o);
	if (!rc)
		rc = prune_forecast_masks(o, &set, s, out);
	prune_set_clear(&set);
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

static int spec_after(const struct prune_options *o, const struct model_spec *input, int round, struct model_spec *out)
{
	return o->method == PRUNE_STRUCTURED ? prune_units_spec(o, input, prune_share(o, round), out)
					     : spec_copy(out, input);
}

/* The first round trains the largest model; the last one's is what the stage makes. */
static int plan_rounds(
    const struct stage_run *s, const struct model_spec *input, const struct model_spec *after, struct stage_plan *out)
{
	const struct prune_options *o = s->options;
	const int rounds = prune_rounds(o);
	struct fit_job fit = {.train = &o->train, .kd = &o->kd, .masks = !prune_removes_units(o)};
	struct model_spec first = {0};
	int rc = spec_after(o, input, 1, &first);
	if (!rc && o->rewind)
		rc = early_bytes(input, &fit.host_bytes);
	if (!rc && o->method == PRUNE_MOVEMENT) {
		struct prune_set set;
		rc = prune_set_init(&set, input, o);
		fit.host_bytes = rc ? 0 : movement_bytes(&set);
		prune_set_clear(&set);
	}
	if (!rc)
		rc = fit_plan(s, &first, &fit, out);
	spec_clear(&first);
	out->macs *= rounds;
	if (rc || rounds == 1)
		return rc;
	spec_clear(&out->spec);
	rc = spec_copy(&out->spec, after);
	return rc ? rc : count(after, &out->parameters);
}

/* Adds the sensitivity table and the ship rule to the text. */
static int plan_rule(const struct prune_options *o, const struct stage_run *s, char *text, size_t cap)
{
	struct str rule = {0};
	size_t used = strlen(text);
	if (o->sensitivity_sparsity.n)
		snprintf(text + used, cap - used, "; each layer measured alone at %d sparsit%s first",
		    o->sensitivity_sparsity.n, o->sensitivity_sparsity.n == 1 ? "y" : "ies");
	used = strlen(text);
	if (!accept_is_asked(&o->accept))
		return 0;
	int rc = accept_check(&o->accept, s->task);
	if (rc)
		return rc;
	accept_describe(&o->accept, s->task, "nonzero_parameters", &rule);
	snprintf(text + used, cap - used, "%s", str_text(&rule));
	rc = rule.failed ? err_set(ERR_NOMEM, "out of memory") : 0;
	str_clear(&rule);
	accept_warn_of_noise(&o->accept, s);
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
	if (!rc && o->rewind && s->input_lacks_early)
		rc = err_set(ERR_CONFIG, "rewind: the input " EARLY_REFUSAL);
	if (!rc && s->teacher_dir && o->train.epochs == 0)
		rc = err_set(ERR_CONFIG, "a teacher without epochs of fine-tuning has no effect");
	if (!rc)
		rc = spec_after(o, input_spec, prune_rounds(o), &after);
	if (!rc)
		rc = plan_text(o, s->data, input_spec, &after, out->text, sizeof(out->text));
	if (!rc)
		rc = plan_rule(o, s, out->text, sizeof(out->text));
	if (!rc)
		rc = plan_masks(o, s, &after, &out->masks);
	if (!rc)
		rc = plan_rounds(s, input_spec, &after, out);
	if (!rc)
		rc = prune_plan_memory(s, input_spec, out);
	out->open_widths = o->method == PRUNE_FISHER;
	spec_clear(&after);
	return rc;
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
	struct json_out info = json_out_into(c->info, &ok);
	if (o->method == PRUNE_FISHER) {
		json_out_item(info, "pruning", job->choice);
		job->choice = NULL;
		return json_out_check(info);
	}
	struct json_out out = json_out_object(info, "pruning");
	json_out_text(out, "score", o->method == PRUNE_MOVEMENT ? "movement" : prune_score_names[prune_score_of(o)]);
	if (o->method != PRUNE_NM)
		json_out_text(out, "scope", prune_scope_names[prune_scope_of(o)]);
	if (o->rewind)
		json_out_number(out, "rewind_epoch", (double)job->early.epoch);
	if (prune_is_calibrated(o)) {
		json_out_number(out, "calibration_samples", (double)job->calibrated);
		json_out_text(out, "calibration_split", split_names[prune_calibration_size(o, job->run->data).split]);
	}
	return ok ? 0 : err_set(ERR_NOMEM, "out of memory");
}

/* rule: the verdict that goes with it, or NULL. */
static int save(struct prune_job *job, const struct acceptance *rule)
{
	const struct prune_options *o = job->o;
	char amount[32], technique[64];
	int64_t left;
	describe(o, amount, sizeof(amount));
	snprintf(technique, sizeof(technique), "%s_%s", word_of(o), amount);
	struct fit_job fit = {.run = job->run, .train = &o->train, .kd = &o->kd, .model = &job->model};
	struct stage_result result = {.technique = technique, .parent_sha256 = job->parent, .started = job->started};
	int rc = count(&job->model.ckpt.spec, &left);
	result.removed = job->removed_before + (double)(job->parameters - left);
	if (!rc)
		rc = put_choice(job);
	if (!rc && rule)
		rc = accept_record(rule, job->model.ckpt.info, job->run->summary);
	return rc ? rc : fit_save(&fit, "prune", prune_option_table, &result, &job->report);
}

/* From here on the model is another than its input's tensors and info describe. */
static int part_from_input(struct prune_job *job)
{
	struct checkpoint *c = &job->model.ckpt;
	struct checkpoint fresh = {.form = FORM_FLOAT};
	int rc = spec_copy(&job->input, &c->spec);
	if (!rc)
		rc = count(&c->spec, &job->parameters);
	if (rc)
		return rc;
	job->removed_before = stage_removed(c);
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
	const bool ruled = accept_is_asked(&job.o->accept);
	struct acceptance rule = {0};
	int rc = load_float(&job);
	if (!rc && job.o->rewind)
		rc = early_read(&job.early, s->input_dir, &job.model.ckpt);
	if (!rc)
		rc = part_from_input(&job);
	if (!rc && job.o->sensitivity_sparsity.n)
		rc = prune_scan(&job);
	if (!rc)
		rc = prune_all_rounds(&job);
	if (!rc && ruled)
		rc = prune_judge(&job, &rule);
	if (!rc)
		rc = save(&job, ruled ? &rule : NULL);
	if (!rc)
		prune_target_forget(s);
	if (!rc && ruled)
		rc = accept_verdict(&rule);
	accept_close(&rule);
	prune_job_clear(&job);
	return rc;
}

/* A single training, before which nothing is timed: after the first one the other ranks have left. */
static bool shares(const void *options)
{
	const struct prune_options *o = options;
	return o->train.epochs > 0 && prune_rounds(o) == 1 && !accept_is_asked(&o->accept) &&
	       !(o->target.latency_ms > 0);
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
    .run = run,
    .ranks = STAGE_SHARES_STEPS,
    .shares = shares};
