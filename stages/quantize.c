/* quantize: post-training quantization (dynamic, static), quantization-aware training, and half-precision weights.
 *
 * What is trained or calibrated is the annotated graph; what is saved and validated is the lowered one, whose integers
 * are the same. Bits without integer kernels are saved and run as the annotated graph and called `simulated`. */
#include "stages/quantize_accept.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "graph/pass.h"
#include "model/conformance.h"

static int check(const void *options, const struct model_spec *input_spec, const char **key)
{
	(void)input_spec;
	return quantize_options_check(options, key);
}

int quantize_job_check(const struct quantize_options *o, const struct stage_run *run)
{
	const char *key;

	if (run->teacher_dir && o->method != QUANT_QAT)
		return err_set(ERR_CONFIG, "a teacher has no effect with method %s", quant_method_names[o->method]);
	if (!run->teacher_dir)
		return 0;
	int rc = kd_options_check(&o->train, &key);
	return rc ? rc : quantize_labels_check(o, true);
}

/* ---- plan ---- */

/* AdamW divides a gradient by its own size, so a scale would change nothing but the norm that clipping looks at. */
static void prepare_step(const struct quantize_options *o, bool learn, struct param_attr *step)
{
	step->lr_factor = learn ? (float)o->step_lr_factor : 1;
	if (o->train.optimizer != OPTIMIZER_SGD)
		step->gradient_scale = 1;
}

/* Of the annotated graph: what the model itself has stays as it is, and nothing drops out; steps learn, and projections
 * of a distillation. */
static int freeze_model(const struct quantize_job *job, struct graph *out)
{
	struct graph own;
	int rc = spec_build(&own, &job->input.ckpt.spec, &shape_one);
	for (int i = 0; !rc && i < out->n; i++) {
		struct node *n = &out->node[i];
		n->attr.rate = 0;
		if (n->op == OP_PARAM && n->param.kind == PARAM_TRAINED && graph_find(&own, n->name) >= 0)
			n->param.kind = PARAM_FROZEN;
	}
	graph_clear(&own);
	return rc;
}

/* The trainer's graph: fold, annotate, steps with their learning rate. */
static int transform(void *user, const struct graph *g, bool train, struct graph *out)
{
	const struct quantize_job *job = user;
	bool learn = train && job->o->step_lr_factor > 0;
	struct graph folded;
	int rc;

	graph_init(&folded);
	rc = pass_fold(g, &folded);
	if (!rc)
		rc = pass_annotate(&folded, &job->plan, learn, out);
	for (int i = 0; !rc && i < out->n; i++)
		if (out->node[i].op == OP_PARAM && out->node[i].param.relative)
			prepare_step(job->o, learn, &out->node[i].param);
	if (!rc && train && job->o->train_only == TRAIN_STEPS)
		rc = freeze_model(job, out);
	graph_clear(&folded);
	return rc;
}

static int plan_text(const struct quantize_options *o, const struct dataset *d, const struct quant_plan *p,
    int equalized, char *text, size_t cap)
{
	struct str s = {0};
	int real = 0;

	str_addf(&s, "quantize: %s", quant_method_names[o->method]);
	if (quantize_has_steps(o) || o->method == QUANT_DYNAMIC)
		str_addf(&s, ", weights %d bits, activations %d bits", (int)o->weight_bits, (int)o->act_bits);
	if (quantize_has_steps(o)) {
		const struct calibration_size size = quantize_calibration_size(o, d); /* a split may have fewer */
		str_addf(&s, ", calibrated on %" PRId64 " batch%s of %d from %s", size.batches,
		    size.batches == 1 ? "" : "es", size.batch, o->calibration_split);
	}
	if (quantize_learns_rounding(o, quant_plan_least_bits(p), d->kind == SAMPLE_IMAGE)) {
		str_add(&s, ", rounding learned");
		if (o->rounding_iterations)
			str_addf(&s, " for %" PRId64 " iterations a layer", o->rounding_iterations);
	}
	if (quantize_corrects_biases(o, p))
		str_add(&s, ", biases corrected");
	if (equalized)
		str_addf(&s, ", %d pair%s of layers equalized", equalized, equalized > 1 ? "s" : "");
	if (o->method == QUANT_QAT)
		str_addf(&s, ", %s for %" PRId64 " epochs",
		    o->train_only == TRAIN_STEPS ? "steps alone trained" : "trained", o->train.epochs);
	if (quantize_saves_float(o))
		str_add(&s, "; its float weights are saved");
	else if (p->simulated)
		str_add(&s, "; simulated in FP32: no integer kernels for these bits");
	for (int i = 0; i < p->n_layer; i++)
		if (!p->layer[i].quantized)
			str_addf(&s, "%s%s", real++ ? ", " : "; stays FP32: ", p->layer[i].name);
	int rc = s.failed ? ERR_NOMEM : 0;
	snprintf(text, cap, "%s", str_text(&s));
	str_clear(&s);
	return rc;
}

/* Of the executors that calibrate, with a batch as large as any of these samples. */
static int plan_memory(struct quantize_job *job, const struct encoding *samples, int batch, struct stage_plan *out)
{
	struct param_store params;
	const struct build_shape largest = encoding_largest(samples, batch);
	struct session s = {0};
	struct graph g;
	size_t buffers;
	params_init(&params, job->run->cpu_dev);
	graph_init(&g);
	int rc = quantize_build_folded(job, &shape_one, &g);
	if (!rc)
		rc = params_plan_graph(&params, &g);
	if (!rc)
		rc = quantize_open_observed(&s, job, &params, batch);
	if (!rc)
		rc = session_plan(&s, samples, &largest, &out->memory, &buffers);
	session_close(&s);
	graph_clear(&g);
	params_clear(&params);
	return rc;
}

/* Multiply-accumulates of calibration, by the split's first samples. */
static int plan_macs(
    struct quantize_job *job, const struct encoding *samples, const struct calibration_size *size, double *macs)
{
	struct graph g;
	uint32_t *index = mem_alloc((size_t)size->batch, sizeof(*index));
	if (!index)
		return ERR_NOMEM;
	for (int i = 0; i < size->batch; i++)
		index[i] = (uint32_t)i;
	const struct build_shape shape = encoding_shape(samples, index, size->batch, size->batch);
	graph_init(&g);
	int rc = quantize_build_folded(job, &shape, &g);
	if (!rc)
		*macs += (double)graph_macs(&g) * (double)size->batches;
	graph_clear(&g);
	mem_free(index);
	return rc;
}

static int plan_calibration(struct quantize_job *job, struct stage_plan *out)
{
	const struct stage_run *s = job->run;
	const struct calibration_size size = quantize_calibration_size(job->o, s->data);
	struct encoding samples;
	int rc = encoding_open(&samples, s->adapter, s->data, size.split);
	if (rc)
		return rc;
	if (job->o->method != QUANT_QAT)
		rc = plan_memory(job, &samples, size.batch, out);
	if (!rc && quantize_has_steps(job->o))
		rc = plan_macs(job, &samples, &size, &out->macs);
	if (!rc && size.batches > 0)
		rc = quantize_correct_plan(job, &samples, out->macs / (double)size.batches, out);
	encoding_close(&samples);
	return rc;
}

static int before_epoch(void *user, int64_t epoch)
{
	const struct quantize_job *job = user;
	return job->before_epoch(job->user, epoch);
}

/* What trains the job's input; model and run are the caller's to add. */
static struct fit_job make_fit(struct quantize_job *job)
{
	return (struct fit_job){.train = &job->o->train,
	    .kd = &job->o->kd,
	    .user = job,
	    .transform = transform,
	    .before_epoch = job->before_epoch ? before_epoch : NULL,
	    .masks = job->before_epoch,
	    .steps = job->steps,
	    .min_best_epoch = job->min_best_epoch,
	    .without_labels = quantize_without_labels(job->o, job->run->teacher_dir)};
}

/* Masks hold through the training and are saved with the weights. */
static int plan_float(const struct quantize_job *job, struct stage_plan *out)
{
	out->values = VALUES_FLOAT;
	return job->run->input_masks ? mask_forecast_copy(&out->masks, job->run->input_masks) : 0;
}

int quantize_job_plan(struct quantize_job *job, const struct model_spec *input_spec, struct stage_plan *out)
{
	const struct quantize_options *o = job->o;
	struct equal_pair *pair = NULL;
	struct quant_rules rules;
	struct graph g;
	int rc = quantize_job_check(o, job->run), equalized = 0;
	if (rc)
		return rc;
	job->input = (struct model){.ckpt = {.spec = *input_spec}}; /* spec: borrowed */
	graph_init(&g);
	quantize_rules(o, &rules);
	rc = quantize_build_folded(job, &shape_one, &g);
	if (!rc)
		rc = quant_plan_make(&job->plan, &g, &rules);
	if (!rc)
		rc = quantize_refuse_masked(job, &g);
	if (!rc && o->equalize)
		rc = quantize_equal_pairs(&g, &job->plan, &pair, &equalized);
	if (!rc)
		rc = plan_text(o, job->run->data, &job->plan, equalized, out->text, sizeof(out->text));
	if (rc)
		goto out;
	const bool half = o->method == QUANT_FP16 || o->method == QUANT_BF16;
	if (quantize_saves_float(o))
		rc = plan_float(job, out);
	else
		out->values = half || job->plan.simulated ? VALUES_QUANTIZED : VALUES_INTEGER;
	if (rc)
		goto out;
	if (o->method == QUANT_QAT) {
		struct fit_job fit = make_fit(job);
		rc = fit_plan(job->run, input_spec, &fit, out);
	} else {
		out->parameters = graph_parameters(&g);
		rc = spec_copy(&out->spec, input_spec);
	}
	if (!rc)
		rc = plan_calibration(job, out);
out:
	mem_free(pair);
	quant_plan_clear(&job->plan);
	job->input = (struct model){0};
	graph_clear(&g);
	return rc;
}

/* Adds the ship rule to the text, and what the validation split cannot show. */
static int plan_rule(const struct quantize_options *o, const struct stage_run *s, struct stage_plan *out)
{
	static const char head[] = "quantize: ";
	struct str text = {0};
	int rc = accept_check(&o->accept, s->task);
	if (rc)
		return rc;
	str_add(&text, head);
	if (o->method == QUANTIZE_AUTO)
		quantize_describe_attempts(o, &text);
	str_add(&text, out->text + strlen(head));
	accept_describe(&o->accept, s->task, "bytes", &text);
	snprintf(out->text, sizeof(out->text), "%s", str_text(&text));
	rc = text.failed ? err_set(ERR_NOMEM, "out of memory") : 0;
	str_clear(&text);
	accept_warn_of_noise(&o->accept, s);
	return rc;
}

static int plan(const struct stage_run *s, const struct model_spec *input_spec, struct stage_plan *out)
{
	const struct quantize_options *o = s->options, as = quantize_costliest(o);
	struct stage_run run = *s;
	int rc = quantize_job_plan(&(struct quantize_job){.o = &as, .run = &run}, input_spec, out);
	if (!rc && accept_is_asked(&o->accept))
		rc = plan_rule(o, s, out);
	const size_t used = strlen(out->text);
	if (!rc && o->sensitivity_bits.n)
		snprintf(out->text + used, sizeof(out->text) - used,
		    "; each layer measured alone at %d number%s of bits", o->sensitivity_bits.n,
		    o->sensitivity_bits.n == 1 ? "" : "s");
	return rc;
}

/* ---- run ---- */

int quantize_job_load(struct quantize_job *job)
{
	struct stage_run *run = job->run;
	struct device dev = job->o->method == QUANT_QAT ? run->train_dev : run->cpu_dev;
	int rc = stage_model_load(&job->input, run->input_dir, dev, run);

	if (!rc && job->input.ckpt.form != FORM_FLOAT)
		rc = err_set(ERR_CONFIG, "input %s is quantized already", run->input_dir);
	return rc;
}

int quantize_job_plan_layers(struct quantize_job *job)
{
	struct quant_rules rules;
	struct graph folded;
	int rc;

	graph_init(&folded);
	quantize_rules(job->o, &rules);
	rc = quantize_build_folded(job, &shape_one, &folded);
	if (!rc)
		rc = quant_plan_make(&job->plan, &folded, &rules);
	if (!rc)
		rc = quantize_refuse_masked(job, &folded);
	graph_clear(&folded);
	return rc;
}

/* Trains weights and steps in the annotated graph. */
static int train(struct quantize_job *job)
{
	struct fit_job fit = make_fit(job);
	fit.run = job->run;
	fit.model = &job->input;
	return fit_run(&fit, &job->fit);
}

const char *quantize_type(const struct quantize_options *o)
{
	static const char *const names[] = {"ptq_dynamic", "ptq_static", "qat", "fp16", "bf16"};

	return quantize_saves_float(o) ? "qat_float" : names[o->method];
}

static int measure(struct quantize_job *job, struct metrics *val, struct metrics *train)
{
	int rc = stage_validate(job->run, &job->output, model_build, &job->output, val);
	return rc ? rc : stage_measure(job->run, &job->output, model_build, &job->output, SPLIT_TRAIN, train);
}

/* What quantize adds to checkpoint_info.json: precision, and the INT8 report where there are integers. */
static int add_fields(struct quantize_job *job)
{
	bool half = job->o->method == QUANT_FP16 || job->o->method == QUANT_BF16;
	cJSON *info, *report = NULL;
	int rc;

	if (quantize_saves_float(job->o))
		return 0;
	job->output.ckpt.info = info = cJSON_CreateObject();
	if (!info || !cJSON_AddBoolToObject(info, "simulated", job->plan.simulated) ||
	    !cJSON_AddStringToObject(info, "quantization_type", quantize_type(job->o)) ||
	    (half && !cJSON_AddStringToObject(info, "computes_in", "f32")))
		return err_set(ERR_NOMEM, "out of memory");
	if (half)
		return 0;
	rc = quantize_report(job, &report);
	if (rc)
		return rc;
	if (!cJSON_AddItemToObject(info, "int8_report", report)) {
		cJSON_Delete(report);
		return err_set(ERR_NOMEM, "out of memory");
	}
	return 0;
}

int quantize_job_save(struct quantize_job *job, double started)
{
	struct metrics val = {0}, train = {0};
	struct stage_result r = {.technique = job->technique,
	    .parent_sha256 = job->input.ckpt.sha256,
	    .teacher_sha256 = job->fit.teacher_sha256[0] ? job->fit.teacher_sha256 : NULL,
	    .val = &val,
	    .train = &train,
	    .fit = job->o->method == QUANT_QAT ? &job->fit.result : NULL,
	    .removed = stage_removed(&job->input.ckpt),
	    .started = started};
	stage_say_slow_integers(job->run, &job->output.ckpt);
	int rc = measure(job, &val, &train);

	if (!rc)
		rc = add_fields(job);
	if (!rc && job->acceptance)
		rc = accept_record(job->acceptance, job->output.ckpt.info, job->run->summary);
	if (!rc)
		rc = conformance_save(&job->output, job->run->out_dir);
	if (!rc)
		rc = stage_save(job->run, job->kind, job->table, &r, &job->output.ckpt);
	if (!rc)
		rc = quantize_check_saved(job);
	metrics_clear(&val);
	metrics_clear(&train);
	return rc;
}

int quantize_job_make(struct quantize_job *job)
{
	int64_t masked;
	int rc = quantize_job_plan_layers(job);

	if (!rc)
		rc = quantize_take_bytes(job);
	if (!rc)
		rc = quantize_equalize(job);
	if (!rc)
		rc = quantize_calibrate(job);
	if (!rc)
		rc = quantize_correct(job);
	if (!rc && job->o->method == QUANT_QAT)
		rc = train(job);
	if (!rc)
		rc = quantize_convert(job);
	return rc ? rc : quantize_check_masks(job, &masked);
}

int quantize_job_run(struct quantize_job *job, double started)
{
	int rc = quantize_job_make(job);
	return rc ? rc : quantize_job_save(job, started);
}

void quantize_job_clear(struct quantize_job *job)
{
	model_clear(&job->input);
	model_clear(&job->output);
	quant_plan_clear(&job->plan);
	fit_report_clear(&job->fit);
	observers_clear(&job->observers);
	mem_free(job->corrected);
	cJSON_Delete(job->choices);
}

/* Each layer alone, before all are quantized. */
static int scan(struct quantize_job *job)
{
	const struct option_ints *bits = &job->o->sensitivity_bits;
	struct sensitivity table = {.metric = job->run->task->primary};
	int rc = quantize_scan(job->o, job->run, &job->input, bits->v, bits->n, false, &table);
	sensitivity_clear(&table);
	return rc;
}

static int run(struct stage_run *s)
{
	const struct quantize_options *o = s->options;
	const struct quantize_options as = quantize_costliest(o);
	struct quantize_job job = {
	    .o = o, .run = s, .kind = "quantize", .technique = quantize_type(&as), .table = quantize_option_table};
	const double started = clock_now();
	int rc = quantize_job_check(&as, s);

	if (!rc && accept_is_asked(&o->accept))
		return quantize_accepted(s, started);
	if (!rc)
		rc = quantize_job_load(&job);
	if (!rc && o->sensitivity_bits.n)
		rc = scan(&job);
	if (!rc)
		rc = quantize_job_run(&job, started);
	quantize_job_clear(&job);
	return rc;
}

/* A training that is sure to come: attempts are judged by their latency, too, on which ranks may not agree. */
static bool shares(const void *options)
{
	const struct quantize_options *o = options;
	return o->method == QUANT_QAT && !accept_is_asked(&o->accept);
}

static const struct transfer_options *transfer_of(const void *options)
{
	return &((const struct quantize_options *)options)->kd.transfer;
}

const struct stage_kind stage_quantize = {.name = "quantize",
    .help = "converts a model to integers (dynamic, static, qat) or half-precision weights",
    .table = quantize_option_table,
    .options_size = sizeof(struct quantize_options),
    .trains = true,
    .makes_checkpoint = true,
    .input = {REF_ONE, REF_BEFORE},
    .teacher = {REF_ONE, REF_OPTIONAL},
    .needs_float = true,
    .quantizes = true,
    .transfer = transfer_of,
    .check = check,
    .plan = plan,
    .run = run,
    .ranks = STAGE_SHARES_STEPS,
    .shares = shares};
